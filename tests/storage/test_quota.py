"""Quotas of a Maildir: decided at commit, by the sum in maildirsize, which
other programs write, too; answers as configured.
"""
import re
import threading

import pytest

from culver import numbered
from lmtp import LISTEN, Lmtp

TEMP, FULL = (452, "4.2.2"), (552, "5.2.2")


@pytest.fixture(scope="module")
def inst(make_instance):
    i = make_instance(users=4, listen=LISTEN)
    for user, rule in zip(i.users, ("*:storage=10K:messages=5",
                                    "*:messages=3", "*:bytes=3000", None)):
        user.fields = f"userdb_quota_rule={rule}" if rule else ""
    i.write_users()
    return i.start()


def send(inst, user, message):
    """The reply: to RCPT if that is refused, else to the message."""
    with Lmtp(inst.dir / "run/lmtp") as c:
        reply = c.envelope([user.name])[0]
        if reply[0] != 250:
            return reply[:2]
        c.text(message)
        return c.reply()[:2]


def sums(user):
    """The quota line of maildirsize, and what its lines add up to."""
    lines = (user.maildir / "maildirsize").read_text().splitlines()
    pairs = [tuple(map(int, line.split())) for line in lines[1:]]
    return lines[0], sum(p[0] for p in pairs), sum(p[1] for p in pairs)


def real(user):
    files = user.files().values()
    return sum(f.stat().st_size for f in files), len(files)


def test_octets_and_messages(inst):
    user = inst.users[0]
    for n in range(4):
        assert send(inst, user, numbered(n, 1500))[0] == 250
    assert sums(user) == ("10240S,5C", *real(user))
    assert send(inst, user, numbered(4, 5000)) == TEMP
    assert len(user.files()) == 4
    # and without a transfer for a while, if as much is announced
    with Lmtp(inst.dir / "run/lmtp") as c:
        assert c.envelope([user.name], params=" SIZE=5000")[0][:2] == TEMP
    line = inst.wait_log("delivery user=user1", "reason=over-quota")
    assert len(line) == 1
    assert inst.wait_log("recipient-refused recipient=user1",
                         "reason=over-quota")
    # which keeps out nobody who may fit
    with Lmtp(inst.dir / "run/lmtp") as c:
        assert c.message([user.name], numbered(5, 500),
                         params=" SIZE=600")[0][0] == 250


def test_room_again(make_instance):
    """What POP3 deletes is taken off; a stale sum refuses nobody."""
    inst = make_instance(users=1, listen=LISTEN, top="quota_full = permanent")
    user = inst.users[0]
    user.fields = "userdb_quota_rule=*:messages=3"
    inst.write_users()
    inst.start()
    for n in range(3):
        assert send(inst, user, numbered(n))[0] == 250
    with inst.login(user) as pop:
        pop.ok("DELE 1")
        assert pop.quit().startswith(b"+OK")
    assert sums(user) == ("3C", *real(user))
    assert send(inst, user, numbered(3))[0] == 250
    # somebody else removes one and tells nobody
    next(iter(user.files().values())).unlink()
    assert send(inst, user, numbered(4))[0] == 250
    assert sums(user) == ("3C", *real(user))
    assert send(inst, user, numbered(5)) == FULL
    assert len(user.files()) == 3


@pytest.mark.parametrize("text,kept", (
    ("3C\n100 1\n", True), ("3C\n         100            1\n", True),
    ("99S,3C\n100 1\n", False), ("junk", False), ("3C\n", False),
    ("3C\n1 2 3\n", False), ("3C\n-5 -1\n", False), ("", False),
    ("3C\n9223372036854775807 1\n9223372036854775807 1\n", False),
    ("3C\n1 9223372036854775807\n1 9223372036854775807\n", False),
    ("3C\n" + "1 0\n" * 2000, False)))
def test_existing_file(inst, text, kept):
    """One that another program keeps goes on, in its format; one that is not
    ours, damaged or long is made anew."""
    user = inst.users[1]
    user.empty()
    user.deliver(b"x" * 10)
    path = user.maildir / "maildirsize"
    path.write_text(text)
    user.own(path)
    assert send(inst, user, numbered(1))[0] == 250
    size, count = real(user)
    quota, octets, messages = sums(user)
    assert (quota, messages) == ("3C", count)
    assert octets == (size + 90 if kept else size)
    if kept:
        assert path.read_text().startswith(text)


def test_no_quota(inst):
    """Without a quota of ours no file is made, but one that is there kept."""
    user = inst.users[3]
    assert send(inst, user, numbered(1))[0] == 250
    path = user.maildir / "maildirsize"
    assert not path.exists()
    path.write_text("1000000S\n400 1\n")
    user.own(path)
    assert send(inst, user, numbered(2))[0] == 250
    with inst.login(user) as pop:
        pop.ok("DELE 2")
        pop.quit()
    assert re.fullmatch(r"1000000S\n400 1\n(\d+) 1\n-\1 -1\n",
                        path.read_text())


def test_folders_count_but_not_the_trash(inst):
    user = inst.users[1]
    user.empty()
    for folder, name in ((".a", "cur/1.x"), (".b", "new/2.x"),
                         (".Trash", "cur/3.x")):
        path = user.maildir / folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"12345")
        for p in (path, path.parent, path.parent.parent):
            user.own(p)
    user.deliver(b"deleted", "4.x:2,ST", "cur")
    assert send(inst, user, b"x\n")[0] == 250
    quota, octets, messages = sums(user)
    assert messages == 3
    assert octets == 10 + real(user)[0] - len(b"deleted")


def test_two_at_once(inst):
    """Many deliveries for the last places: no more than fit get in."""
    user = inst.users[2]
    user.empty()
    replies = []

    def one(n):
        replies.append(send(inst, user, numbered(n, 500)))
    threads = [threading.Thread(target=one, args=(n,)) for n in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    size, count = real(user)
    assert replies.count((250, "2.0.0")) == count and count in (3, 4)
    assert size <= 3000
    assert set(replies) == {(250, "2.0.0"), TEMP}
    assert sums(user) == ("3000S", size, count)
