"""A Maildir that Dovecot and Courier of Debian filled and served is served by
Culver with their LIST and UIDL, line for line, and fetchmail fetches nothing
twice.

What Culver does not take over, and why:
- the size of a message without a line end at its end: both say 2 octets less
  than they send, and mean the line end that they add
- CR before LF: Courier sends CR CR LF, and counts it; but not a CR that is the
  last octet
- a UIDL that another message has, too, or that is longer than 70 octets
  (RFC 1939 section 7)
"""
import os
import re
import subprocess

import pytest

import peers
from corpus import CORPUS, wire
from culver import PASSWORD, PORT

pytestmark = [pytest.mark.needs_root, pytest.mark.timeout(300)]

NOBODY = 65534
NEEDS = {"DovecotMaildir": "/usr/lib/dovecot/pop3-login",
         "Courier": "courierpop3d"}


def peer_cases(*names):
    return pytest.mark.parametrize("name", [
        pytest.param(name, marks=pytest.mark.needs(NEEDS[name]))
        for name in names or NEEDS])


@pytest.fixture
def start(one_instance):
    def make(options=""):
        instance = one_instance(users=1, storage='storage maildir { path ='
                                f' "~/Maildir" {options} }}')
        instance.start()
        return instance, instance.users[0]
    return make


def rows(login):
    """STAT, LIST and UIDL of a session: a list of (size, UIDL)."""
    with login() as pop:
        stat, sizes, uidls = pop.stat(), pop.sizes(), pop.uidls()
        assert list(sizes) == list(uidls) == list(range(1, len(sizes) + 1))
        assert stat == (len(sizes), sum(sizes.values()))
        assert pop.quit().startswith(b"+OK")
    return list(zip(sizes.values(), uidls.values()))


def retrieve(login, n, delete=()):
    with login() as pop:
        got = [pop.multi(f"RETR {i + 1}") for i in range(n)]
        for i in delete:
            pop.ok(f"DELE {i}")
        assert pop.quit().startswith(b"+OK")
    return got


def name(n, second):
    return f"{1600000000 + second}.M{n}P{n}.host"


def fill(user, peer):
    """Mail that comes in an order that is not that of its names, is served
    in between, removed, and marked by another reader; what is there now."""
    text = {}

    def deliver(n, second, message, **kw):
        text[user.deliver(message, name(n, second), **kw)] = message
    for n, message in enumerate(CORPUS.values()):
        deliver(n, 1000 + n % 7, message)
    before = rows(peer.login)
    assert len(before) == len(CORPUS)
    deliver(100, 1, CORPUS["dotted_lines"])
    deliver(101, 999999, CORPUS["dotted_lines"])
    deliver(99, 999999, CORPUS["dotted_lines"])
    rows(peer.login)
    with peer.login() as pop:
        pop.ok("DELE 2")
        pop.ok(f"DELE {len(before)}")
        pop.quit()
    # as a reader of mail that marks it
    for path in list((user.maildir / "cur").iterdir())[::2]:
        path.rename(path.with_name(path.name.split(":")[0] + ":2,FRS"))
    deliver(102, 500, CORPUS["dotted_lines"])
    rows(peer.login)
    left = user.files()
    return {base: message for base, message in text.items() if base in left}


def size_differs(peer, message):
    """What Culver adds to the size that the peer says."""
    added = 0 if message.endswith(b"\n") else 2
    if isinstance(peer, peers.Courier):
        added += message.endswith(b"\r") - message.count(b"\r\n")
    return added


def check(peer, got, want, texts):
    """Line for line, but for the sizes above; how many these are."""
    assert [uidl for _, uidl in got] == [uidl for _, uidl in want]
    odd = 0
    for (ours, _), (theirs, _), text in zip(got, want, texts):
        if ours != theirs:
            assert ours == theirs + size_differs(peer, text)
            odd += 1
    return odd


def stored(user, sent):
    """The files of messages that were sent, in their order."""
    by_wire = {}
    for message in user.contents().values():
        by_wire.setdefault(wire(message), []).append(message)
    return [by_wire[text].pop() for text in sent]


def stays(instance, user, seen):
    """New mail comes, and nothing changes for what was there."""
    def login():
        return instance.login(user)
    for base in ("1.early", "1999999999.late"):
        user.deliver(b"Subject: new\n\ntext\n", base)
    later = rows(login)
    new = [row for row in later if row not in seen]
    assert [row for row in later if row in seen] == seen
    assert [uidl for _, uidl in new] == ["1.early", "1999999999.late"]
    instance.stop()
    (user.maildir / "culver-cache").unlink()
    instance.start()
    assert rows(login) == later
    retrieve(login, len(later), (1, len(seen)))
    assert rows(login) == later[1:len(seen) - 1] + later[len(seen):]


def take_over(instance, user, peer):
    """Served by the peer just now, and then by Culver; what Culver shows."""
    fill(user, peer)
    want = rows(peer.login)
    got = rows(lambda: instance.login(user))
    sent = retrieve(lambda: instance.login(user), len(got))
    assert [len(text) for text in sent] == [size for size, _ in got]
    odd = check(peer, got, want, stored(user, sent))
    print(f"{len(got)} messages; {odd} with another size")
    assert rows(lambda: instance.login(user)) == got
    return got


# --- Dovecot -----------------------------------------------------------------

FORMATS = ("%08Xu%08Xv", "%08Xv%08Xu", "%v.%u", "%u", "UID%u-%v", "%010u",
           "%f", "%Mf", "%g", "%Uf-%Xu")


@peer_cases("DovecotMaildir")
@pytest.mark.parametrize("fmt", FORMATS)
def test_dovecot(start, name, fmt):
    ours = {"%u": "%{uid}"}.get(fmt, fmt)       # as Dovecot 2.4 has it
    instance, user = start("" if fmt == FORMATS[0] else
                           f'uidl_format = "{ours}"')
    with peers.DovecotMaildir(user, f"pop3_uidl_format = {fmt}") as peer:
        got = take_over(instance, user, peer)
    instance.wait_log("UIDLs and order from dovecot-uidlist")
    names = [uidl for _, uidl in got]
    if fmt == "%f":     # the order is not that of the names
        assert names != sorted(names)
    stays(instance, user, got)


def uidlist(user, change):
    """Change the lines of dovecot-uidlist while nobody serves it."""
    path = user.maildir / "dovecot-uidlist"
    lines = change(path.read_text().splitlines())
    path.write_text("\n".join(lines) + "\n")
    user.own(path)
    for index in user.maildir.glob("dovecot.index*"):
        index.unlink()


@peer_cases("DovecotMaildir")
def test_dovecot_saved_uidls(start, name):
    """UIDLs that Dovecot kept under another format, and an order that a
    migration to Dovecot gave some messages."""
    instance, user = start('uidl = dovecot  uidl_format = "%v.%u"')
    save = "pop3_save_uidl = yes\npop3_uidl_format = "
    with peers.DovecotMaildir(user, save + "%f") as peer:
        fill(user, peer)
    with peers.DovecotMaildir(user, save + "UID%u-%v") as peer:
        user.deliver(b"Subject: kept\n\ntext\n")
        rows(peer.login)

    def order(lines):
        assert sum(" P" in line for line in lines) >= len(lines) - 2
        for i, n in ((5, 7), (6, 6), (9, 1)):
            lines[i] = lines[i].replace(" ", f" O{n} ", 1)
        return lines
    uidlist(user, order)
    with peers.DovecotMaildir(user, "pop3_uidl_format = %v.%u") as peer:
        user.deliver(b"Subject: not kept\n\ntext\n")
        want = rows(peer.login)
    got = rows(lambda: instance.login(user))
    assert [uidl for _, uidl in got] == [uidl for _, uidl in want]
    assert sum("UID" in uidl for _, uidl in got) == 1
    assert sum(re.fullmatch(r"\d+\.\d+", uidl) is not None
               for _, uidl in got) == 1
    stays(instance, user, got)


@peer_cases("DovecotMaildir")
def test_dovecot_version_1(start, name):
    """As Dovecot 1.0 and Courier's IMAP server wrote it."""
    instance, user = start()

    def old(lines):
        key = {word[0]: word[1:] for word in lines[0].split()[1:]}
        return [f"1 {key['V']} {key['N']}"] + [
            line.split()[0] + " " + line.partition(" :")[2]
            for line in lines[1:]]
    with peers.DovecotMaildir(user) as peer:
        fill(user, peer)
    uidlist(user, old)
    with peers.DovecotMaildir(user) as peer:
        uidlist(user, lambda lines: lines)
        want = rows(peer.login)
    uidlist(user, lambda lines: old(lines) if lines[0][0] == "3" else lines)
    got = rows(lambda: instance.login(user))
    assert [uidl for _, uidl in got] == [uidl for _, uidl in want]


@peer_cases("DovecotMaildir")
def test_dovecot_doubles(start, name):
    """pop3_uidl_duplicates = rename, which is what Culver does."""
    instance, user = start()
    with peers.DovecotMaildir(user) as peer:
        for n in range(6):
            user.deliver(b"Subject: x\n\ntext\n")
        rows(peer.login)
    uidlist(user, lambda lines: lines[:1] + [
        line.replace(" ", " Psame ", 1) if n % 2 else line
        for n, line in enumerate(lines[1:])])
    with peers.DovecotMaildir(user, "pop3_uidl_duplicates = rename") as peer:
        want = rows(peer.login)
    assert [uidl for _, uidl in want][1::2] == ["same", "same-2", "same-3"]
    assert rows(lambda: instance.login(user)) == want


# --- Courier -----------------------------------------------------------------

@peer_cases("Courier")
def test_courier(start, name):
    instance, user = start()
    with peers.Courier(user) as peer:
        got = take_over(instance, user, peer)
    instance.wait_log("UIDLs and order from courierpop3dsizelist")
    assert all(uidl.startswith("UID") for _, uidl in got)
    stays(instance, user, got)


@peer_cases("Courier")
def test_courier_older_versions(start, name):
    """Version 2, and messages that are in the list from the times of 0 and 1:
    names and numbers without a validity."""
    instance, user = start("uidl = courier")
    with peers.Courier(user) as peer:
        fill(user, peer)
    path = user.maildir / "courierpop3dsizelist"
    head, *lines = path.read_text().splitlines()
    lines = [re.sub(r"(\d+):\d+:\d+$", ("0:0", r"\1:0", r"\1:77")[n % 3],
                    line) for n, line in enumerate(lines)]
    text = "\n".join([head.replace("/3", "/2"), *lines]) + "\n"
    path.write_text(text)
    user.own(path)
    with peers.Courier(user) as peer:
        want = rows(peer.login)
    assert path.read_text().startswith("/3")
    path.write_text(text)
    got = rows(lambda: instance.login(user))
    assert [uidl for _, uidl in got] == [uidl for _, uidl in want]
    assert got[0][1].endswith(".host")
    assert re.fullmatch(r"UID\d+", got[1][1])
    assert re.fullmatch(r"UID\d+-77", got[2][1])


# --- the way there -----------------------------------------------------------

@peer_cases()
def test_looking_before_the_night(start, name):
    """culverctl shows what will be, and the old server goes on meanwhile."""
    instance, user = start()

    def listed():
        done = instance.ctl("mailbox", "list", user.name)
        assert done.returncode == 0, done.stderr
        return [line.split()[2] for line in done.stdout.splitlines()[1:]]
    with getattr(peers, name)(user) as peer:
        user.deliver_all([b"Subject: x\n\ntext\n"] * 3)
        want = rows(peer.login)
        assert listed() == [uidl for _, uidl in want]
        dump = user.home / "dump"
        with peer.login() as pop:
            dump.write_bytes(b"".join(
                pop.cmd(line) + b"\r\n" + pop.body() + b".\r\n"
                for line in ("LIST", "UIDL")))
        done = instance.ctl("mailbox", "uidl-diff", user.name, str(dump))
        assert done.returncode == 0, done.stdout
        assert not (user.maildir / "culver-uidl").exists()
        user.deliver_all([b"Subject: x\n\ntext\n"] * 3)
        want = rows(peer.login)
        assert listed() == [uidl for _, uidl in want]
        done = instance.ctl("mailbox", "uidl-diff", user.name, str(dump))
        assert done.returncode == 1 and done.stdout.count("added") == 3
    assert rows(lambda: instance.login(user)) == want


def dump_of(peer, user, with_curl):
    """What culver-migrate(7) says."""
    if with_curl:
        url = f"pop3://{user.name}:{PASSWORD}@{peer.address}:{PORT}/"
        return b"".join(subprocess.run(
            ["curl", "-s", url, *words], stdout=subprocess.PIPE, timeout=60,
            check=True).stdout for words in ((), ("-X", "UIDL")))
    if isinstance(peer, peers.Courier):
        return subprocess.run(
            peer.argv(), input=b"LIST\r\nUIDL\r\nQUIT\r\n",
            stdout=subprocess.PIPE, timeout=60, user=user.uid,
            group=user.gid, extra_groups=[], check=True,
            env={"AUTHENTICATED": user.name, "AUTHADDR": user.name,
                 "LD_LIBRARY_PATH": peer.libraries()}).stdout
    return subprocess.run(
        ["doveadm", "-c", peer.dir / "conf", "exec", "pop3", "-u",
         user.name], input=b"LIST\r\nUIDL\r\nQUIT\r\n",
        stdout=subprocess.PIPE, timeout=60, check=True).stdout


@pytest.mark.needs("curl")
@pytest.mark.parametrize("with_curl", (False, True))
@peer_cases()
def test_dumps_of_the_manual(start, name, with_curl):
    instance, user = start()
    user.deliver_all([b"Subject: x\n\ntext\n"] * 3)
    dump = user.home / "dump"
    with getattr(peers, name)(user) as peer:
        dump.write_bytes(dump_of(peer, user, with_curl))
        assert dump.read_bytes().startswith(b"+OK") != with_curl
        done = instance.ctl("mailbox", "uidl-diff", user.name, str(dump))
        assert done.returncode == 0, done.stdout + done.stderr
        rows(lambda: instance.login(user))
        done = instance.ctl("mailbox", "uidl-diff", user.name, str(dump))
        assert done.returncode == 0, done.stdout


@peer_cases()
def test_damage_is_no_empty_mailbox(start, name):
    """The login fails for the moment, the log says which line it is."""
    instance, user = start()
    with getattr(peers, name)(user) as peer:
        user.deliver_all([b"Subject: x\n\ntext\n"] * 3)
        want = rows(peer.login)
    path = user.maildir / {"Courier": "courierpop3dsizelist"}.get(
        name, "dovecot-uidlist")
    text = path.read_text()
    path.write_text(text.replace("\n", "\ngarbage\n", 2))
    pop = instance.connect()
    assert pop.login(user.name, PASSWORD).startswith(b"-ERR [SYS/TEMP]")
    pop.close()
    instance.wait_log(f"{path.name}, line 2: no ")
    assert not (user.maildir / "culver-uidl").exists()
    path.write_text(text)
    assert rows(lambda: instance.login(user)) == want


@pytest.mark.needs("fetchmail")
@peer_cases()
def test_fetchmail(start, name, tmp_path):
    """With the UIDLs that fetchmail saved, nothing comes twice."""
    instance, user = start()
    os.chmod(tmp_path, 0o711)
    for parent in list(tmp_path.parents)[:3]:
        os.chmod(parent, 0o711)
    home = tmp_path / "home"
    (home / "in").mkdir(parents=True)
    for path in (home, home / "in"):
        os.chown(path, NOBODY, NOBODY)

    def write(name, text, mode):
        path = home / name
        path.write_text(text)
        path.chmod(mode)
        os.chown(path, NOBODY, NOBODY)
        return path
    mda = write("mda", f'#!/bin/sh\nexec cat >"$(mktemp {home}/in/mXXXXXX)"\n',
                0o700)

    def fetch():
        """How many messages fetchmail takes from the server."""
        for path in (home / "in").iterdir():
            path.unlink()
        rc = write("rc", f"""set invisible
set no bouncemail
poll {instance.address} protocol pop3 port {PORT} uidl timeout 60
    user "{user.name}" password "{PASSWORD}" is "nobody" here
    sslproto "" keep no rewrite no mimedecode mda "{mda}"
""", 0o600)
        done = subprocess.run(
            ["fetchmail", "-f", rc, "-i", home / "ids", "--pidfile",
             home / "pid", "--nosyslog", "--nodetach"], cwd=home,
            env={"PATH": os.environ["PATH"], "HOME": str(home),
                 "LC_ALL": "C"}, capture_output=True, timeout=100,
            user=NOBODY, group=NOBODY, extra_groups=[])
        assert done.returncode in (0, 1), done.stderr   # 1: nothing new
        return len(list((home / "in").iterdir()))
    instance.stop()
    server = getattr(peers, name)(user)
    server.address = instance.address   # fetchmail keeps UIDLs by server
    with server:
        user.deliver_all([CORPUS["dotted_lines"]] * 5)
        assert fetch() == 5
        user.deliver(CORPUS["dotted_lines"], "1.early")
        assert fetch() == 1
        assert fetch() == 0
    instance.start()
    assert fetch() == 0
    user.deliver_all([CORPUS["dotted_lines"]] * 2)
    assert fetch() == 2
    assert fetch() == 0
