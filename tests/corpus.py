"""corpus.py - messages that break mail software, and their wire form.

The wire form is computed here by a reading of RFC 1939 that shares nothing
with the server: every line end is sent as CRLF, a last line without one gets
one, everything else stays as it is, bare CR and NUL included.
"""
import random

from culver import wire

__all__ = ["CORPUS", "HUGE", "wire", "stuffed", "top", "by_uidl"]

_HEAD = "From: a@example.org\nTo: b@example.org\nSubject: {}\n" \
        "Date: Mon, 02 Mar 2026 10:00:00 +0000\n" \
        "Message-ID: <{}@example.org>\n\n"


def _head(name):
    return _HEAD.format(name.replace("_", " "), name).encode()


def _eight_bit():
    return _head("eight_bit") + bytes(
        b for b in range(1, 256) if b not in (10, 13)) * 3 + b"\n" + \
        "Grüße aus Köln\n".encode("latin-1")


def _noise():
    """Octets of all kinds with line ends of all kinds, fixed by a seed."""
    rng = random.Random(1939)
    pieces = [b"\r\n", b"\n", b"\r", b".", b"..", b"\0", b"x" * 70, b"\xff",
              b".\r\n", b"\n.\n", b"\r\n.\r\n", b"\r.\r", b"From ", b" "]
    return _head("noise") + b"".join(rng.choice(pieces)
                                     for _ in range(5000))


CORPUS = {
    "plain": _head("plain") + b"one\ntwo\nthree\n",
    "empty_file": b"",
    "only_newline": b"\n",
    "empty_body": _head("empty_body"),
    "no_header_end": b"Subject: no end\nFrom: a@example.org\n",
    "header_unended": b"Subject: no end of line either",
    "no_final_newline": _head("no_final_newline") + b"the last line",
    "lone_dot": _head("lone_dot") + b"before\n.\nafter\n",
    "last_dot": _head("last_dot") + b"before\n.",
    "first_octet_dot": b".Subject: x\nSubject: dot\n\nbody\n",
    "only_dot": b".",
    "only_dot_line": b".\n",
    "dotted_lines": _head("dotted_lines") +
    b".\n..\n...\n.a\n.. b\n.\r\n..\r\n\n.\n.\n",
    "nul": _head("nul") + b"a\0b\n\0\n\0\0\0last\0\n",
    "nul_in_header": b"Subject: a\0b\nFrom: a@example.org\n\nbody\n",
    "eight_bit": _eight_bit(),
    "bare_cr": _head("bare_cr") + b"a\rb\n\r\r\rc\n\rd\r\r\ne\n",
    "cr_at_end": _head("cr_at_end") + b"the last octet is CR\r",
    "crlf_stored": (_head("crlf_stored") + b"one\n\n.two\nthree\n")
    .replace(b"\n", b"\r\n"),
    "mixed": _head("mixed") + b"lf\ncrlf\r\nlf\n.crlf\r\n\r\n\n.lf",
    "body_of_newlines": _head("body_of_newlines") + b"\n" * 50,
    "bare_header_colon": b": odd\nNo colon at all\n\nbody\n",
    "from_lines": _head("from_lines") +
    b"From the start\n>From quoted\n>>From twice\n\nFrom again\n",
    "chunk_edges": _head("chunk_edges") + b"".join(
        b"y" * n + b"\n." for n in (4093, 4094, 4095, 4096, 8190, 16383,
                                    65533, 65534, 65535, 65536)) + b"\n",
    "noise": _noise(),
    "long_line": _head("long_line") + b"z" * 1000000 + b"\nafter\n",
}


def huge(octets=50 * 1000 * 1000):
    """50 MB in lines of all lengths, some with dots."""
    rng = random.Random(50)
    block = b"".join(
        b"." * (rng.randrange(20) == 0) + b"%06d " % i +
        b"w" * rng.randrange(900) + b"\n" for i in range(2000))
    return _head("huge") + block * (octets // len(block) + 1)


def HUGE():
    """Made only when it is asked for."""
    if not hasattr(HUGE, "made"):
        HUGE.made = huge()
    return HUGE.made


def stuffed(message):
    """The octets between +OK and the final dot."""
    sent = wire(message)
    if sent.startswith(b"."):
        sent = b"." + sent
    return sent.replace(b"\r\n.", b"\r\n..")


def top(message, n):
    """TOP: the header, the empty line and N lines, unstuffed."""
    lines = wire(message).split(b"\r\n")
    lines.pop()             # what is behind the last CRLF: nothing
    out = []
    in_body = False
    for line in lines:
        if in_body:
            if n == 0:
                break
            n -= 1
        out.append(line + b"\r\n")
        if line == b"":
            in_body = True
    return b"".join(out)


def by_uidl(user, messages=None):
    """Deliver the corpus: UIDL -> name in the corpus."""
    messages = CORPUS if messages is None else messages
    return dict(zip(user.deliver_all(messages.values()), messages))
