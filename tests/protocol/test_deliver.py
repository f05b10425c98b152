"""culver-deliver: what it stores, its exit statuses, and who may deliver to
whom.
"""
import os
import socket
import subprocess
import threading

import pytest

from culver import ROOT, numbered
from lmtp import LISTEN, Lmtp, body

EX_USAGE, EX_NOUSER, EX_CANTCREAT, EX_TEMPFAIL, EX_NOPERM = 64, 67, 73, 75, 77


@pytest.fixture(scope="module")
def inst(make_instance):
    i = make_instance(users=3, listen=LISTEN)
    i.write_users(extra=f"odd na\"me@x:x:{i.users[2].uid}:{i.users[2].gid}::"
                  f"{i.users[2].home}::\n")
    return i.start()


@pytest.fixture
def box(inst):
    inst.users[0].empty()
    return inst.users[0]


def deliver(inst, *args, text=b"x\n", uid=None, groups=()):
    ids = dict(user=uid, group=uid, extra_groups=list(groups)) if uid else {}
    return subprocess.run(
        [inst.tree / "usr/local/bin/culver-deliver", "-c", str(inst.conf),
         *args], input=text, capture_output=True, timeout=60, cwd="/", **ids)


def good(*args, **kw):
    done = deliver(*args, **kw)
    assert (done.returncode, done.stderr) == (0, b"")


def stored(user):
    return sorted(body(m) for m in user.contents().values())


@pytest.mark.parametrize("text,kept", (
    (b"Subject: a\n\nb\n", b"Subject: a\n\nb\n"),
    (b"Subject: a\r\n\r\nb\r\n", b"Subject: a\n\nb\n"),
    (b"no end", b"no end\n"),
    (b"", b""),
    (b".", b".\n"),
    (b".\n..\n.a\n", b".\n..\n.a\n"),
    (b"nul\0\xff\rbare\n", b"nul\0\xff\rbare\n"),
    (b"From x Mon\nSubject: a\n\nFrom b\n", b"Subject: a\n\nFrom b\n"),
    (b"From x Mon\nreturn-path:\n <x@y>\nReturn-Pat: a\nReturn-Path: b\n",
     b"Return-Pat: a\nReturn-Path: b\n"),
    (b"Return-Path: <", b""),
    (b"y" * 70000 + b"\n.\n" * 40000, b"y" * 70000 + b"\n.\n" * 40000),
), ids=lambda t: repr(t[:12]))
def test_text(inst, box, text, kept):
    good(inst, "-u", "user1", "-f", "me@example.org", text=text)
    assert stored(box) == [kept]
    assert list(box.contents().values())[0].startswith(
        b"Return-Path: <me@example.org>\nDelivered-To: user1\n")


@pytest.mark.parametrize("sender", ([], ["-f", ""], ["-f", "<>"]))
def test_no_sender(inst, box, sender):
    good(inst, "-u", "user1@example.org", *sender)
    assert list(box.contents().values())[0].startswith(
        b"Return-Path: <>\n")


def test_return_path_without_sender(inst, box):
    """Nobody else says what it was."""
    good(inst, "-u", "user1", text=b"Return-Path: <x@y>\n\nb\n")
    assert stored(box) == [b"Return-Path: <x@y>\n\nb\n"]


def test_odd_name(inst):
    inst.users[2].empty()
    good(inst, "-u", 'odd na"me@x')
    assert stored(inst.users[2]) == [b"x\n"]


def test_usage(inst):
    for args in ((), ("-u", "user1", "x"), ("-x",), ("-u",),
                 ("-u", "user1", "-f", "a b"), ("-u", "user1", "-f", "a\nb")):
        assert deliver(inst, *args).returncode == EX_USAGE


def test_unknown_user(inst):
    for name in ("nobody", "nobody@example.org", "a\nb", "x" * 300, ""):
        done = deliver(inst, "-u", name)
        assert done.returncode == EX_NOUSER, name
        assert done.stderr.startswith(b"culver-deliver: ")


def test_server_that_is_down(make_instance):
    inst = make_instance(users=1, listen=LISTEN)
    done = deliver(inst, "-u", "user1")
    assert done.returncode == EX_TEMPFAIL
    assert b"run/deliver" in done.stderr
    missing = subprocess.run([inst.tree / "usr/local/bin/culver-deliver",
                              "-c", "/nonexistent", "-u", "x"], input=b"",
                             capture_output=True, timeout=60)
    assert missing.returncode == EX_TEMPFAIL


@pytest.mark.maildir
def test_mailbox_that_is_gone(inst, box):
    gone = box.maildir.with_name("gone")
    os.rename(box.maildir, gone)
    try:
        done = deliver(inst, "-u", "user1")
    finally:
        os.rename(gone, box.maildir)
    assert done.returncode == EX_TEMPFAIL
    assert b"451 4.3.0" in done.stderr
    assert stored(box) == []


@pytest.mark.parametrize("replies,status", (
    ([b""], EX_TEMPFAIL), ([b"junk\r\n"], EX_TEMPFAIL),
    ([b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n",
      b""], EX_TEMPFAIL),
    ([b"220 x\r\n", b"250-x\r\n250 x\r\n", b"250 x\r\n", b"250 x\r\n",
      b"354 x\r\n", b"552 5.2.2 full\r\n"], EX_CANTCREAT),
    ([b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"452 4.2.2 full\r\n"],
     EX_TEMPFAIL),
    ([b"x" * 5000], EX_TEMPFAIL),
))
def test_answers(tmp_path, tree, replies, status):
    """Against a server of the test's own."""
    conf = tmp_path / "culver.conf"
    conf.write_text(f'run_dir = "{tmp_path}"\n')
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "deliver"))
        server.listen(1)

        def serve():
            client, _ = server.accept()
            with client:
                for i, reply in enumerate(replies):
                    if i > 0:
                        client.recv(65536)
                    client.sendall(reply)
        thread = threading.Thread(target=serve)
        thread.start()
        done = subprocess.run([tree / "usr/local/bin/culver-deliver", "-c",
                               str(conf), "-u", "x"], input=b"m\n",
                              capture_output=True, timeout=60)
        thread.join()
    assert done.returncode == status, done.stderr


@pytest.mark.needs_root
def test_who_may(make_instance):
    """Root, the group, and everybody for himself."""
    inst = make_instance(users=2, listen=LISTEN,
                         top="deliver_group = 64999").start()
    one, two = inst.users
    inst.conf.chmod(0o644)
    assert ROOT
    good(inst, "-u", "user1", text=numbered(1))
    good(inst, "-u", "user1", text=numbered(2), uid=one.uid)
    done = deliver(inst, "-u", "user2", uid=one.uid)
    assert (done.returncode, stored(two)) == (EX_NOPERM, [])
    assert b"550 5.7.1" in done.stderr
    assert stored(one) == [numbered(1), numbered(2)]
    good(inst, "-u", "user2", uid=one.uid, groups=[64998, 64999])
    assert stored(two) == [b"x\n"]


@pytest.mark.needs_root
def test_one_user_does_not_keep_mail_out(make_instance):
    """A quarter of the connections, and no more, is for who comes for
    himself."""
    inst = make_instance(users=1, listen=LISTEN,
                         limits="connections = 8").start()
    inst.conf.chmod(0o644)
    (one,) = inst.users
    os.seteuid(one.uid)
    try:
        held = [Lmtp(inst.dir / "run/deliver") for _ in range(2)]
        with Lmtp(inst.dir / "run/deliver", hello=False) as third:
            assert third.greeting[0] == 421
    finally:
        os.seteuid(0)
    good(inst, "-u", "user1", text=numbered(1))
    with Lmtp(inst.dir / "run/lmtp") as mta:
        assert mta.message(["user1"], numbered(2))[0][0] == 250
    for c in held:
        c.close()
    inst.wait_log("limit what=lmtp-connections")
