"""An mbox that Dovecot, popa3d and Mailutils of Debian filled and served is
served by Culver with their LIST and UIDL, line for line; and by them again.

What Culver does not take over, and why (expected() counts each of them):
- a UIDL that another message has, too (popa3d hashes a few headers, and
  copies share X-UIDL), has more than 70 octets or a space in it: RFC 1939
  section 7 does not allow these; the first of equal ones keeps it
- the size of a message that ends the file without a line end, or has no
  empty line behind it: Dovecot says 2 octets less, popa3d 1 less than they
  send, and mean the line end that they add
- CR before LF: popa3d and Mailutils send CR CR LF, and count it; Culver sends
  a line end, as for all others
Nothing in the file tells of popa3d, so it is no case of `uidl = auto`.
"""
import os
import re
import shutil

import pytest

import peers
import programs
from corpus import CORPUS
from culver import Failure, unstuff, wire

pytestmark = [pytest.mark.needs_root, pytest.mark.timeout(300)]

NEEDS = {"Dovecot": "/usr/lib/dovecot/pop3-login", "Popa3d": "popa3d",
         "Mailutils": "/usr/sbin/pop3d"}


def cases(values=("",)):
    """Parameters NAME of the peer, OPTION and VALUE: `auto' with all VALUES
    where that can find the peer, and what names the peer with the first."""
    out = []
    for name, program in NEEDS.items():
        said = name.lower()
        for value in values:
            options = ["auto", said] if value == values[0] else ["auto"]
            for option in [said] if name == "Popa3d" else options:
                out.append(pytest.param(
                    name, f"uidl = {option}", value,
                    id="-".join(filter(None, (name, option, value))),
                    marks=pytest.mark.needs(program)))
    return pytest.mark.parametrize("name,option,value", out)


# --- the mail ----------------------------------------------------------------

FROM = b"From a@b.example Thu Nov 29 22:%02d:52 2001\n"
INTERNAL = FROM % 0 + b"""Date: 29 Nov 2001 22:00:52 +0000
From: Mail System Internal Data <MAILER-DAEMON@x.example>
Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA
Message-ID: <1006789012@x.example>
X-IMAP: 1006789012 0000000003
Status: RO

This text is part of the internal format of your mail folder, and is not
a real message.

"""


def mail(name, extra=b"", body=b"text\n"):
    name = name.encode("latin-1")
    return b"From: a@x\n" + extra + b"Subject: " + name + \
        b"\nMessage-ID: <" + name + b"@x>\n\n" + body


INNER = b"text\n\nFrom x@y Thu Nov 29 22:00:00 2001\nSubject: inner\n\nmore\n"
COPY = mail("copy", b"Date: today\n")
AWKWARD = [
    COPY, COPY, mail("grüße", body=bytes(range(128, 256)) + b"\n"),
    mail("status", b"Status: RO\nX-Status: A\nX-Keywords: foo bar\n"),
    b"Status: RO\n O\n" + mail("folded_status"),
    b"Status : RO\nX-Status\t: F\n" + mail("space_before_colon"),
    b"status: RO\nx-uid: 3\ncontent-length: 2\n" + mail("lower_case"),
    mail("length", b"Content-Length: 5\n"),
    mail("length_inner", b"Content-Length: %d\n" % len(INNER), INNER),
    mail("length_short", b"Content-Length: 3\n"),
    mail("length_long", b"Content-Length: 99999999\n"),
    mail("length_negative", b"Content-Length: -5\n"),
    b"Received: from x\n\tby y; today\nReceived: from z\n by w\n"
    b"Delivered-To: u\nX-Delivery-ID: 5\nDate: x\n" + mail("received"),
    b"Date: x\n folded\nReceived: by x\n\ty\n" + mail("received_late"),
    b"Date: Thu, 29 Nov 2001 22:22:52 +0000\n\nonly a date\n",
    mail("x_uidl", b"X-UIDL: abcdef0123456789\n"),
    mail("x_uidl_copy", b"X-UIDL: abcdef0123456789\n"),
    mail("x_uidl_mailutils", b"X-UIDL: 0123456789abcdef0123456789abcdef"
         b".1234567890.7\n"),
    mail("x_uidl_spaces", b"X-UIDL: with spaces in it\n"),
    mail("x_uidl_71", b"X-UIDL: " + b"q" * 71 + b"\n"),
    mail("x_uid_forged", b"X-UID: 999999\n"),
    mail("x_imapbase_forged", b"X-IMAPbase: 1234567890 77\n"),
    mail("quoted", body=b">From me\n>>From you\n"
         b">From a@b Thu Nov 29 22:22:52 2001\n\nend\n"),
    mail("unquoted", body=b"a\nFrom me\n\nb\n From you\n"),
    b">From x@y Thu Nov 29 22:22:52 2001\n" + mail("quoted_header"),
    mail("empty_lines_at_end", body=b"text\n\n\n\n"),
    mail("parts", b"Content-Type: multipart/mixed; boundary=b\n",
         b"--b\n\nx\n--b\n\nFrom: y\n\n--b--\n"),
]
# Dovecot does not stuff a dot that is the first octet of a message
DOTS = ("first_octet_dot", "only_dot", "only_dot_line")
# no CR before LF in headers: the peers' headers do not end there
MAIL = [m for n, m in CORPUS.items() if n not in (*DOTS, "crlf_stored")] + \
    AWKWARD
MORE = [mail("more1"), COPY, CORPUS["dotted_lines"], mail("more2")]


def mbox(messages, begin=1):
    """As a delivery agent writes them."""
    text = b""
    for i, m in enumerate(messages, begin):
        if m not in AWKWARD:
            m = m.replace(b"\nFrom ", b"\n>From ")
        text += FROM % (i % 60) + m + b"\n" * (not m.endswith(b"\n")) + b"\n"
    return text


BEGIN = {
    "plain": lambda text: text,
    "internal": lambda text: INTERNAL + text,
    "imapbase": lambda text: text.replace(
        b"\n\n", b"\nX-IMAPbase: 1006789012 0000000050 foo bar\nX-UID: 7"
        b"\n\n", 1),
}

ENDS = {
    "no_line_end": FROM % 1 + mail("x", body=b"the end"),
    "no_empty_line": FROM % 1 + mail("x"),
    "headers": FROM % 1 + b"Subject: x\n",
    "headers_no_line_end": FROM % 1 + b"Subject: x",
    "no_body": FROM % 1 + b"Subject: x\n\n",
    "empty_body": FROM % 1 + b"Subject: x\n\n\n",
    "empty_lines": FROM % 1 + mail("x") + b"\n\n\n\n",
    "no_empty_line_between": FROM % 1 + mail("x") + FROM % 1 + mail("y") +
    b"\n",
    "from_lines": b"\n".join(line + b"\n" + mail(f"from{i}")
                             for i, line in enumerate((
        b"From a Thu Nov 29 22:22 2001", b"From a  Thu Nov  9 22:22:52 2001",
        b"From x!y Thu Nov 29 22:22:52 2001 remote from x",
        b"From a@b Thu, 29 Nov 2001 22:22:52 +0100",
        b"From a@b Thu Nov 29 22:22:52 MET 2001",
        b"From a@b Thu Nov 29 22:22:52 2001 +0100"))) + b"\n",
}


# --- the servers -------------------------------------------------------------

@pytest.fixture
def start(one_instance):
    def make(option=""):
        instance = one_instance(
            users=1, storage='storage mbox { path = "~/spool/%{user}"'
            f' index_dir = "~/index" {option} }}')
        user = instance.users[0]
        spool = user.home / "spool"
        spool.mkdir()
        user.own(spool)
        user.file = spool / user.name
        instance.start()
        return instance, user
    return make


def put(user, text):
    """A new mailbox, of which nobody knows anything."""
    for name in ("index", "dovecot"):
        shutil.rmtree(user.home / name, ignore_errors=True)
    (user.home / "dovecot").mkdir()
    user.own(user.home / "dovecot")
    user.file.write_bytes(text)
    user.own(user.file)
    os.chmod(user.file, 0o600)


def append(user, messages):
    """What a delivery agent does when nobody holds a lock."""
    text = user.file.read_bytes()
    with open(user.file, "ab") as f:
        f.write(b"" if text.endswith(b"\n\n") else b"\n")
        f.write(mbox(messages, 30))


def rows(pop):
    """LIST and UIDL, as (size, UIDL)."""
    sizes, uidls = pop.sizes(), pop.uidls()
    assert list(sizes) == list(uidls) == list(range(1, len(sizes) + 1))
    return list(zip(sizes.values(), uidls.values()))


def session(server, delete=(), texts=True):
    """What a whole session shows: the rows, and the messages."""
    with server() as pop:
        before = pop.stat()
        seen = rows(pop)
        # Mailutils counts headers that it added meanwhile, UIDL by UIDL
        assert before == (len(seen), sum(size for size, _ in seen))
        got = [None] * len(seen)
        if texts:       # at once: a reply in pieces comes 40 ms later
            pop.send("".join(f"RETR {n + 1}\r\n" for n in range(len(seen))))
            for n in range(len(seen)):
                assert pop.line().startswith(b"+OK")
                got[n] = unstuff(pop.body())
        for n in delete:
            pop.ok(f"DELE {n}")
        assert pop.quit().startswith(b"+OK")
    return seen, got


def settled(peer, texts=True):
    """Sessions until nothing changes: Mailutils adds headers, and its UIDL
    of a message changes when it loses a folded one."""
    before, _ = session(peer.login, texts=texts)
    for _ in range(4):
        now, got = session(peer.login, texts=texts)
        if now == before:
            return now, got
        before = now
    raise Failure("the peer goes on changing the mailbox")


def legal(uidl):
    return re.fullmatch(r"[!-~]{1,70}", uidl) is not None


def expected(peer, seen, texts):
    """The rows that Culver must show: None for a UIDL of its own."""
    out, used, odd = [], set(), {"uidl": 0, "end": 0, "cr": 0}
    for (size, uidl), text in zip(seen, texts):
        if uidl in used or not legal(uidl):
            odd["uidl"] += 1
            uidl = None
        used.add(uidl)
        if text is not None and size != len(text):
            assert type(peer) is not peers.Mailutils
            assert size + (1, 2)[type(peer) is peers.Dovecot] == len(text)
            odd["end"] += 1
            size = len(text)
        if text is not None and type(peer) is not peers.Dovecot:
            odd["cr"] += b"\r\r\n" in text
            size -= text.count(b"\r\r\n")
        out.append((size, uidl))
    return out, odd


def check(got, want):
    """Line for line, and no UIDL twice."""
    uidls = [uidl for _, uidl in got]
    assert all(map(legal, uidls)) and len(set(uidls)) == len(uidls)
    known = {uidl for _, uidl in want}
    assert len(got) == len(want)
    for n, (a, b) in enumerate(zip(got, want), 1):
        assert a == b or (b[1] is None and a[0] == b[0] and
                          a[1] not in known), (n, a, b)


def text_only(message):
    """Without what peers note in it, and without CR before a line end."""
    message = re.sub(rb"\r+\n", b"\r\n", message)
    head, eoh, body = message.partition(b"\r\n\r\n")
    head = re.sub(rb"(?im)^(X-)?Status:.*\r\n", b"", head + b"\r\n")
    return head + eoh + body


# --- the tests ---------------------------------------------------------------

@cases(list(BEGIN))
def test_takeover(start, name, option, value):
    """Served by the peer, then by Culver, then by both in turn."""
    instance, user = start(option)
    put(user, BEGIN[value](mbox(MAIL)))

    def culver():
        return instance.login(user)
    with getattr(peers, name)(user) as peer:
        session(peer.login)
        append(user, MORE)
        first, _ = session(peer.login, (2, 7, len(MAIL) - 2))
        seen, texts = settled(peer)
        assert len(seen) == len(first) - 3
        want, odd = expected(peer, seen, texts)
        print(f"{name}: {len(seen)} messages, taken over differently: {odd}")
        got, sent = session(culver)
        check(got, want)
        assert [len(t) for t in sent] == [size for size, _ in got]
        assert list(map(text_only, sent)) == list(map(text_only, texts))
        instance.stop()
        instance.start()
        assert session(culver)[0] == got
        # mail that comes later
        append(user, [mail("late1"), COPY])
        later, _ = session(culver)
        assert later[:len(got)] == got and len(later) == len(got) + 2
        check(later, later)
        # the first one goes, and whatever the server kept in it
        gone = {1, 4, len(got), len(later)}
        session(culver, gone)
        left = [row for n, row in enumerate(later, 1) if n not in gone]
        now, _ = session(culver)
        assert [uidl for _, uidl in now] == [uidl for _, uidl in left]
        assert now[1:] == left[1:]      # may have got X-IMAPbase
        # the peer knows its own again, and Culver all
        again, _ = session(peer.login, texts=False)
        assert [uidl for _, uidl in again][:-1] == \
            [uidl for n, (_, uidl) in enumerate(seen, 1) if n not in gone]
        now, _ = session(culver)
        assert [uidl for _, uidl in now] == [uidl for _, uidl in left]


@cases()
def test_ends(start, name, option, value):
    """All the ways in which a file ends, and in which messages begin."""
    instance, user = start(option)
    with getattr(peers, name)(user) as peer:
        for end, text in ENDS.items():
            put(user, mbox(AWKWARD[:2] + [mail("z")]) + text)
            seen, texts = settled(peer)
            want, odd = expected(peer, seen, texts)
            print(f"{name}, {end}: {len(seen)} messages, {odd}")
            assert odd["end"] == 0 or end.startswith("no_") or \
                end.endswith("no_line_end")
            got, sent = session(lambda: instance.login(user))
            check(got, want)
            assert list(map(text_only, sent)) == list(map(text_only, texts))


@cases()
def test_dots(start, name, option, value):
    """LIST and UIDL of messages that begin with a dot."""
    instance, user = start(option)
    put(user, mbox([CORPUS[n] for n in DOTS] + AWKWARD[2:4]))
    with getattr(peers, name)(user) as peer:
        seen, texts = settled(peer, texts=False)
    want, _ = expected(peer, seen, texts)
    check(session(lambda: instance.login(user))[0], want)


FORMATS = ("%08Xv%08Xu", "%v.%u", "%u", "UID%u-%v", "%010u", "%m", "%g-%Xu")


@pytest.mark.needs(NEEDS["Dovecot"])
@pytest.mark.parametrize("fmt", FORMATS)
def test_format(start, fmt):
    """Dovecot's pop3_uidl_format, with what an mbox has for it."""
    instance, user = start(f'uidl_format = "{fmt}"')
    put(user, mbox(AWKWARD))
    with peers.Dovecot(user, f"pop3_uidl_format = {fmt}") as peer:
        seen, texts = settled(peer)
        want, _ = expected(peer, seen, texts)
        got, _ = session(lambda: instance.login(user))
        check(got, want)
        append(user, MORE)
        later, _ = session(lambda: instance.login(user))
        assert later[:len(got)] == got


@cases()
def test_delivered_before_the_first_login(start, name, option, value):
    instance, user = start(option)
    put(user, mbox(AWKWARD))
    with getattr(peers, name)(user) as peer:
        seen, texts = settled(peer)
        want, _ = expected(peer, seen, texts)
    (user.home / "in").mkdir()
    (user.home / "in/1.eml").write_bytes(MORE[0])
    done = instance.ctl("mailbox", "import", user.name, str(user.home / "in"))
    assert done.returncode == 0, done.stderr
    got, sent = session(lambda: instance.login(user))
    check(got[:-1], want)
    assert sent[-1] == wire(MORE[0])
    # and what Culver put there changes nothing for the peer
    with getattr(peers, name)(user) as peer:
        again, sent = session(peer.login)
    assert [uidl for _, uidl in again][:-1] == [uidl for _, uidl in seen]
    assert essence(sent[-1]) == essence(MORE[0])


def essence(message):
    """What is the same wherever a message is: two headers and the text."""
    message = re.sub(rb"\r*\n", b"\n", message)
    message = re.sub(rb"(?m)^>+From ", b"From ", message)
    head, _, body = message.partition(b"\n\n")
    return re.findall(rb"(?im)^(?:subject|message-id):.*", head), \
        body.rstrip(b"\n")


@pytest.mark.needs("mutt")
def test_mutt(start):
    """Served by Culver first: mutt reads all of it, marks and deletes, and
    what it writes changes no UIDL.  (It ends headers at what it takes for
    none, so without messages that have such.)"""
    instance, user = start()
    put(user, mbox([m for m in MAIL if essence(m)[0] and b"\0" not in m
                    and not m.startswith((b"Status :", b">From "))]))
    (user.home / "in").mkdir()
    for i, m in enumerate([*MORE, *AWKWARD[:4]]):
        (user.home / "in" / f"{i}.eml").write_bytes(m)

    def culver():
        return instance.login(user)
    session(culver, (2,))
    done = instance.ctl("mailbox", "import", user.name, str(user.home / "in"))
    assert done.returncode == 0, done.stderr
    seen, texts = session(culver)
    programs.mutt(user, "<tag-pattern>~A<enter><tag-prefix><pipe-message>"
                  "cat >>all; echo ==END== >>all<enter><quit>",
                  "set pipe_split=yes pipe_decode=no\n")
    read = (user.home / "all").read_bytes().split(b"==END==\n")[:-1]
    assert list(map(essence, read)) == list(map(essence, texts))
    programs.mutt_flags(user)
    now, sent = session(culver)
    assert [uidl for _, uidl in now] == [uidl for _, uidl in seen]
    assert list(map(essence, sent)) == list(map(essence, texts))
    programs.mutt(user, "<first-entry><delete-message>"
                  "<last-entry><delete-message><quit>")
    now, sent = session(culver)
    assert [uidl for _, uidl in now] == [uidl for _, uidl in seen][1:-1]
    assert list(map(essence, sent)) == list(map(essence, texts))[1:-1]
