"""An mbox that other programs had before, or have at the same time (DESIGN
section 5), as seen by the client."""
import hashlib
import os
import subprocess
import threading

import pytest

from culver import numbered, wire
from programs import DOVECOT, as_user, dovecot

N = 12


def mbox(messages, extra=lambda i: b""):
    """As a delivery agent writes them, with LF."""
    text = b""
    for i, m in enumerate(messages, 1):
        m = m.replace(b"\r\n", b"\n")
        if not m.endswith(b"\n"):
            m += b"\n"
        text += b"From a@b Thu Nov 29 22:%02d:52 2001\n" % i + extra(i) + \
            m.replace(b"\nFrom ", b"\n>From ") + b"\n"
    return text


@pytest.fixture
def start(one_instance):
    def make(options=""):
        instance = one_instance(users=1, storage="storage mbox {"
                                f' path = "~/mbox" create = yes {options} }}')
        instance.start()
        user = instance.users[0]
        user.file = user.home / "mbox"
        return instance, user
    return make


def put(user, text):
    user.file.write_bytes(text)
    user.own(user.file)


def two_columns(lines):
    return [line for line in lines
            if len(line.split()) == 2 and line[:1].isdigit()]


@pytest.mark.needs(DOVECOT)
def test_a_mailbox_of_dovecot(start):
    """UIDL and LIST, line for line as Dovecot gave them just before."""
    instance, user = start()
    put(user, mbox([numbered(i) for i in range(1, N + 1)],
                   lambda i: b"Status: RO\n" if i % 2 else b""))
    want = [two_columns(dovecot(user, c)) for c in ("UIDL", "LIST")]
    assert len(want[0]) == len(want[1]) == N
    for _ in range(2):
        with instance.login(user) as pop:
            got = [pop.multi(c).splitlines() for c in ("UIDL", "LIST")]
            assert got == want
    # Dovecot goes on, with what is left
    with instance.login(user) as pop:
        for n in (1, 4):
            pop.ok(f"DELE {n}")
        pop.ok("QUIT")
    left = [line.split()[1] for i, line in enumerate(want[0], 1)
            if i not in (1, 4)]
    again = two_columns(dovecot(user, "UIDL"))
    assert [line.split()[1] for line in again] == left


def popa3d_uidl(message):
    """What popa3d hashes of a message that has no Received header."""
    md5 = hashlib.md5()
    for line in message.split(b"\n\n")[0].splitlines(keepends=True):
        if line.lower().startswith((b"date:", b"message-id:")):
            md5.update(line if line.endswith(b"\n") else line + b"\n")
    d = md5.digest()
    return bytes(d[i] for i in (3, 2, 1, 0, 7, 6, 5, 4)).hex()


def test_a_mailbox_of_popa3d(start):
    instance, user = start("uidl = popa3d")
    messages = [b"Message-ID: <%d@x>\nDate: today\nSubject: %d\n\nhello\n"
                % (i, i) for i in range(1, 4)]
    put(user, mbox(messages, lambda i: b"Status: O\n"))
    with instance.login(user) as pop:
        assert pop.uidls() == {i: popa3d_uidl(m)
                               for i, m in enumerate(messages, 1)}
        assert pop.multi("RETR 1") == wire(b"Status: O\n" + messages[0])


@pytest.mark.needs("formail")
def test_formail_rewrites_the_file(start):
    """Moved, marked and removed during a session and between two."""
    instance, user = start()
    messages = [numbered(i) for i in range(1, N + 1)]
    put(user, mbox(messages))
    with instance.login(user) as pop:
        before = pop.uidls()
        texts = [m.decode() for m in map(wire, messages)]
        new = user.home / "new"
        with open(user.file, "rb") as old, open(new, "wb") as out:
            subprocess.run(["formail", "+3", "-I", "Status: RO", "-s"],
                           stdin=old, stdout=out, check=True, timeout=60)
        user.own(new)
        new.rename(user.file)
        assert pop.cmd("RETR 3").startswith(b"-ERR")
        assert pop.multi("RETR 4").decode() == texts[3]
        assert pop.multi(f"RETR {N}").decode() == texts[-1]
        pop.ok("DELE 4")
        pop.ok("QUIT")
    with instance.login(user) as pop:
        assert list(pop.uidls().values()) == \
            [before[i] for i in range(5, N + 1)]


@pytest.mark.needs("lockfile")
def test_delivered_while_sessions_delete(start):
    """By an agent that takes the dotlock: each message arrives once."""
    instance, user = start()
    put(user, b"")
    total, seen = 60, []

    def deliver():
        for i in range(1, total + 1):
            as_user(user, ["lockfile", "-1", f"{user.file}.lock"])
            with open(user.file, "ab") as f:
                f.write(mbox([numbered(i)]))
            (user.home / "mbox.lock").unlink()

    agent = threading.Thread(target=deliver)
    agent.start()
    while agent.is_alive() or user.file.stat().st_size > 0:
        with instance.login(user) as pop:
            for n in pop.uidls():
                seen.append(pop.multi(f"RETR {n}"))
                pop.ok(f"DELE {n}")
            pop.ok("QUIT")
    agent.join()
    assert sorted(seen) == sorted(wire(numbered(i))
                                  for i in range(1, total + 1))


@pytest.mark.needs_root
def test_a_directory_without_write_permission(start):
    """No dotlock there: said once, and done without."""
    instance, user = start("dotlock = try index_dir = \"~/own/index\"")
    (user.home / "own").mkdir()
    user.own(user.home / "own")
    put(user, mbox([numbered(1), numbered(2)]))
    os.chown(user.home, 0, 0)
    os.chmod(user.home, 0o755)
    with instance.login(user) as pop:
        assert pop.multi("RETR 2") == wire(numbered(2))
        pop.ok("DELE 1")
        pop.ok("QUIT")
    with instance.login(user) as pop:
        assert len(pop.uidls()) == 1
    instance.wait_log("mbox.lock", "done without")
