"""LMTP: sessions over real sockets, what is stored, who may do what, and that
nothing but CRLF.CRLF ends a message.
"""
import itertools
import os
import re
import socket
import threading

import pytest

from culver import ROOT, numbered, until
from lmtp import LISTEN, PORT, Lmtp, body, dotted


@pytest.fixture(scope="module")
def inst(make_instance):
    i = make_instance(users=4, listen=LISTEN, limits='message_size = "100K"'
                      ' spool = "1M"')
    return i.start()


@pytest.fixture
def box(inst):
    """user1, whose mailbox is empty."""
    inst.users[0].empty()
    return inst.users[0]


@pytest.fixture
def lmtp(inst):
    with Lmtp(inst.dir / "run/lmtp") as client:
        yield client


def stored(user):
    return sorted(body(m) for m in user.contents().values())


def test_hello(lmtp):
    assert lmtp.greeting[0] == 220
    words = {line[4:] for line in lmtp.hello[2]}
    assert words == {"localhost", "PIPELINING", "SIZE 102400", "8BITMIME",
                     "SMTPUTF8", "CHUNKING", "ENHANCEDSTATUSCODES"}


@pytest.mark.parametrize("word", ("HELO", "EHLO"))
def test_smtp_is_refused(inst, word):
    with Lmtp(inst.dir / "run/lmtp", hello=False) as c:
        assert c.code(f"{word} x") == 500
        assert c.code("MAIL FROM:<a@b>") == 503
        assert c.code("LHLO x") == 250


def test_headers_and_text(inst, lmtp, box):
    assert [r[:2] for r in lmtp.message(
        ["user1@example.net"], b"Subject: x\n\n..a\n.\nb\0\xff\rc\n",
        sender="s@example.org")] == [(250, "2.0.0")]
    (text,) = box.contents().values()
    head, rest = text.split(b"Subject: ")
    assert rest == b"x\n\n..a\n.\nb\0\xff\rc\n"
    assert re.fullmatch(
        rb"Return-Path: <s@example.org>\n"
        rb"Delivered-To: user1@example.net\n"
        rb"Received: from test \(unix\)\n\tby localhost with LMTP id "
        rb"[0-9a-f]+-[0-9a-f]+\n\tfor <user1@example.net>; "
        rb"\w\w\w, \d+ \w\w\w \d{4} \d\d:\d\d:\d\d \+0000\n", head)
    with inst.login(box) as pop:
        assert pop.multi("RETR 1").endswith(b"x\r\n\r\n..a\r\n.\r\nb\0\xff"
                                            b"\rc\r\n")
    line = inst.wait_log("delivery user=user1", "reason=delivered")[-1]
    assert f"octets={len(text) + text.count(10)}" in line


def test_answer_for_each_recipient(inst, lmtp, box):
    other = inst.users[1]
    other.empty()
    message = numbered(1)
    codes = [r[:2] for r in lmtp.envelope(
        ["user1@x", "nobody@x", "user2+tag@x", "user1"], sender="")]
    assert codes == [(250, "2.1.5"), (550, "5.1.1"), (250, "2.1.5"),
                     (250, "2.1.5")]
    lmtp.text(message)
    replies = [lmtp.reply() for _ in range(3)]
    assert [r[0] for r in replies] == [250] * 3
    assert ["user1" in r[2][0] for r in replies] == [True, False, True]
    assert stored(box) == [message, message]
    assert stored(other) == [message]
    assert b"Return-Path: <>\nDelivered-To: user2+tag@x\n" in \
        list(other.contents().values())[0]


def test_everything_at_once(inst, box):
    """PIPELINING for real: sent without waiting, also in single octets."""
    message = b"Subject: 1\n\nx\n"
    one = b"MAIL FROM:<a@b> BODY=8BITMIME\r\nRCPT TO:<user1@x>\r\n" \
        b"RCPT TO:<no@x>\r\nDATA\r\n" + dotted(message)
    with Lmtp(inst.dir / "run/lmtp") as c:
        c.send(one * 3 + b"QUIT\r\n")
        assert [c.reply()[0] for _ in range(16)] == \
            [250, 250, 550, 354, 250] * 3 + [221]
    with Lmtp(inst.dir / "run/lmtp") as c:
        for octet in one:
            c.send(bytes([octet]))
        assert [c.reply()[0] for _ in range(5)] == [250, 250, 550, 354, 250]
    assert stored(box) == [message] * 4


def test_chunks(lmtp, box):
    lmtp.envelope(["user1@x"])
    lmtp.send(b"BDAT 8\r\nSubject:BDAT 3\r\n x\rBDAT 0\r\n"
              b"BDAT 12 LAST\r\n\n\r\nend\r\n.\r\nyNOOP\r\n")
    assert [lmtp.reply()[0] for _ in range(5)] == [250] * 5
    assert stored(box) == [b"Subject: x\n\nend\n.\ny\n"]


# What a careless or hostile sender writes where a message ends, and how much
# of it must be part of the one message.
SMUGGLE = [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n",
           b"\n.\r", b"\r.\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\n\r\n.\n"]


@pytest.mark.parametrize("end", SMUGGLE, ids=lambda e: e.hex())
@pytest.mark.parametrize("pace", ("whole", "octets"))
def test_smuggling(lmtp, box, end, pace):
    """A second transaction inside the text is text."""
    hidden = b"MAIL FROM:<evil@x>\r\nRCPT TO:<user1@x>\r\nDATA\r\nevil"
    data = b"Subject: x\r\n\r\nfirst" + end + hidden + b"\r\n.\r\n"
    lmtp.envelope(["user1@x"])
    lmtp.expect("DATA", 354)
    if pace == "whole":
        lmtp.send(data)
    else:
        for octet in data:
            lmtp.send(bytes([octet]))
    assert lmtp.reply()[0] == 250
    assert lmtp.code("NOOP") == 250
    (message,) = stored(box)
    assert b"RCPT TO:<user1@x>" in message and b"evil" in message


def test_too_large(lmtp, box):
    assert lmtp.cmd("MAIL FROM:<a@b> SIZE=102401")[:2] == (552, "5.3.4")
    assert [r[:2] for r in lmtp.message(
        ["user1@x", "user2@x"], b"x" * 103000)] == [(552, "5.3.4")] * 2
    assert [r[0] for r in lmtp.message(["user1@x"], b"x" * 100000)] == [250]
    assert [len(m) for m in stored(box)] == [100001]


def test_spool_is_limited(inst, box):
    """Messages that are not complete yet fill it; then room is there again."""
    clients = [Lmtp(inst.dir / "run/lmtp") for _ in range(14)]
    for c in clients:
        c.envelope(["user1@x"])
        c.expect("DATA", 354)
        c.send(b"x" * 100000)
    codes = []
    for c in clients:
        c.send(b"\r\n.\r\n")
        codes.append(c.reply()[:2])
        c.close()
    assert set(codes) == {(250, "2.0.0"), (452, "4.3.1")}
    assert 8 <= codes.count((250, "2.0.0")) <= 12
    with Lmtp(inst.dir / "run/lmtp") as c:
        assert c.message(["user1@x"], b"x\n")[0][0] == 250


def test_client_that_leaves(inst, box):
    """A message without its end is none; nothing stays in the spool."""
    for text in (b"", b"Subject: x\r\n\r\nhalf", b"x\r\n.", b"x\r\n.\r"):
        c = Lmtp(inst.dir / "run/lmtp")
        c.envelope(["user1@x"])
        c.expect("DATA", 354)
        c.send(text)
        c.close()
    with Lmtp(inst.dir / "run/lmtp") as c:
        assert c.message(["user1@x"], b"whole\n")[0][0] == 250
    assert stored(box) == [b"whole\n"]
    assert list((inst.dir / "state/spool").iterdir()) == []


def test_utf8(inst, lmtp, box):
    assert lmtp.cmd("MAIL FROM:<jörg@x>")[:2] == (553, "5.6.7")
    assert lmtp.message(["user1@köln.example"], b"x\n", sender="jörg@x",
                        params=" SMTPUTF8")[0][0] == 250
    (text,) = box.contents().values()
    assert "Return-Path: <jörg@x>\nDelivered-To: user1@köln.example\n" in \
        text.decode()
    assert b"with UTF8LMTP id" in text


@pytest.mark.maildir
def test_temporary_failure(inst, lmtp, box):
    """A mailbox that is not there is 451, and no message is lost by it."""
    gone = box.maildir.with_name("gone")
    os.rename(box.maildir, gone)
    try:
        assert lmtp.message(["user1@x", "user2@x"], b"x\n")[0][:2] == \
            (451, "4.3.0")
    finally:
        os.rename(gone, box.maildir)
    assert stored(box) == []
    inst.wait_log("delivery user=user1", "reason=storage-error")


def test_tcp_is_for_those_allowed(make_instance):
    networks = '{"127.0.0.0/9", "127.200.0.0/16"}'
    inst = make_instance(users=1, listen=LISTEN.replace(
        "protocol", f"allow = {networks} deny = {{\"127.200.9.0/24\"}}"
        " protocol")).start()
    for source, good in (("127.0.0.9", True), ("127.127.1.1", True),
                         ("127.128.1.1", False), ("127.200.1.1", True),
                         ("127.200.9.1", False)):
        with socket.socket() as s:
            s.settimeout(20)
            s.bind((source, 0))
            s.connect((inst.address, PORT))
            greeting = s.recv(100)
            assert greeting.startswith(b"220 " if good else b"554 5.7.1 ")
            if not good:
                assert until("the end", lambda: s.recv(100) == b"")
    with Lmtp((inst.address, PORT)) as c:
        assert c.message(["user1@x"], b"x\n")[0][0] == 250
    assert b"(127." in list(inst.users[0].contents().values())[0]


@pytest.mark.parametrize("kind,codes", (
    ("any", (250, 250, 250)), ("local", (250, 250, 550)),
    ("address", (550, 250, 250))))
def test_which_user(make_instance, kind, codes):
    inst = make_instance(users=1, listen=LISTEN,
                         top=f"recipient_name = {kind}\n"
                         'recipient_delimiter = "-"')
    user = inst.users[0]
    inst.write_users(extra=f"who@example.net:x:{user.uid}:{user.gid}::"
                     f"{user.home}::\n")
    inst.start()
    with Lmtp(inst.dir / "run/lmtp") as c:
        replies = c.envelope(["USER1-tag@example.org", "user1",
                              "who-x@example.net"])
        assert tuple(r[0] for r in replies) == codes


def test_socket_is_for_owner_and_group_only(one_instance):
    """Who comes in there may write to anybody."""
    inst = one_instance(users=1, listen='listen lmtp {'
                        ' address = {"unix:{dir}/run/lmtp"}'
                        ' protocol = lmtp }').start()
    assert (inst.dir / "run/lmtp").stat().st_mode & 0o777 == 0o660


def test_config_mistakes(make_instance):
    inst = make_instance(users=1, listen='''
listen a { protocol = lmtp }
listen b { address = "unix:/x" protocol = lmtp tls = starttls }
listen c { address = "127.0.0.1:9" protocol = lmtp proxy_tls = no }
listen d { address = "127.0.0.1:10" protocol = lmtp allow = {"x", "::1/200"} }
listen e { address = "127.0.0.1:11" protocol = lmtp proxy = {"::1"} }
''')
    done = inst.run("-t")
    assert done.returncode == 78
    for where, what in (("listen a: address", "required"),
                        ("listen b: tls", "not for protocol = lmtp"),
                        ("listen c: proxy_tls", "not for protocol = lmtp"),
                        ("listen d: allow", '"x" is no network'),
                        ("listen e: proxy", "not for protocol = lmtp")):
        assert [x for x in done.stderr.splitlines() if where in x and
                what in x], done.stderr


def test_reload_and_stop(inst, box):
    """A reload takes a connection away between messages, never in one."""
    with Lmtp(inst.dir / "run/lmtp") as idle, \
            Lmtp(inst.dir / "run/lmtp") as busy:
        busy.envelope(["user1@x"])
        busy.expect("DATA", 354)
        inst.reload()
        assert idle.reply()[:2] == (421, "4.3.2")
        busy.send(b"over\r\n.\r\n")
        assert busy.reply()[0] == 250
        assert busy.reply()[:2] == (421, "4.3.2")
    assert stored(box) == [b"over\n"]
    with Lmtp(inst.dir / "run/lmtp") as c:
        assert c.message(["user1@x"], b"new\n")[0][0] == 250


def test_reload_before_the_first_message(inst, box):
    """Who was greeted may send a message, whatever comes before it."""
    with Lmtp(inst.dir / "run/lmtp", hello=False) as greeted, \
            Lmtp(inst.dir / "run/lmtp") as second:
        second.expect("MAIL FROM:<a@b>", 250)
        second.expect("RSET", 250)
        inst.reload()
        for c in (greeted, second):
            c.expect("LHLO again", 250)
            c.expect("NOOP", 250)
            assert c.envelope(["nobody@x"])[0][0] == 550
            c.expect("RSET", 250)
            assert c.message(["user1@x"], b"first\n")[0][0] == 250
            assert c.reply()[:2] == (421, "4.3.2")
    assert stored(box) == [b"first\n"] * 2


@pytest.mark.timeout(240)
def test_reloads_under_load(inst, box):
    """Twenty, and every connection's first message is taken, once."""
    end, errors, sent = threading.Event(), [], []

    def work(k):
        for n in itertools.count():
            if end.is_set():
                return
            text = f"{k}-{n}\n".encode()
            try:
                with Lmtp(inst.dir / "run/lmtp" if k % 2 else
                          (inst.address, PORT)) as c:
                    replies = c.message(["user1@x"], text)
                assert [r[0] for r in replies] == [250]
                sent.append(text)
            except (AssertionError, OSError, EOFError) as e:
                errors.append(repr(e))
    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for _ in range(20):
        inst.reload()
    end.set()
    for t in threads:
        t.join(60)
    assert errors == []
    assert len(sent) >= 20 and sorted(stored(box)) == sorted(sent)


@pytest.mark.needs_root
def test_confined(make_instance):
    inst = make_instance(users=1, listen=LISTEN).start()
    with Lmtp(inst.dir / "run/lmtp"):
        pass
    pid, = inst.role("lmtp")
    status = dict(line.rstrip("\n").split(":\t", 1)
                  for line in open(f"/proc/{pid}/status") if ":\t" in line)
    assert ROOT and status["Uid"].split() == ["60001"] * 4
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert os.readlink(f"/proc/{pid}/root") == str(inst.dir / "state/spool")


def test_a_user_database_that_fails_sends_no_mail_back(make_instance):
    """Damaged or unreadable: 451, for the users are there all the same."""
    inst = make_instance(users=1, listen=LISTEN).start()
    users = inst.dir / "users"
    text = users.read_text()
    with Lmtp(inst.dir / "run/lmtp") as c:
        assert c.envelope(["user1"])[0][0] == 250
        users.rename(inst.dir / "users.away")
        assert c.cmd("RCPT TO:<user1>")[:2] == (451, "4.3.0")
        users.mkdir()
        assert c.cmd("RCPT TO:<user1>")[:2] == (451, "4.3.0")
        users.rmdir()
        users.write_text(text)
        users.chmod(0)
        assert c.cmd("RCPT TO:<user1>")[:2] == (451, "4.3.0")
