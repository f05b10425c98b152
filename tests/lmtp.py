"""lmtp.py - an LMTP client for the black-box tests, and instances with a
listener for it.
"""
import socket

import culver
from culver import Failure

LISTEN = 'listen lmtp { address = {"unix:{dir}/run/lmtp", ' \
    '"{address}:3024"} protocol = lmtp mode = "0666" }'
PORT = 3024


class Lmtp:
    """A connection; where TO is a path or (address, port)."""

    def __init__(self, to, timeout=None, hello=True):
        timeout = timeout or culver.PATIENCE
        if isinstance(to, tuple):
            self.sock = socket.create_connection(to, timeout)
        else:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(str(to))
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply()
        self.hello = self.cmd("LHLO test") if hello else None

    def reply(self):
        """(code, enhanced status, all lines) of the next reply."""
        lines = []
        while True:
            line = self.file.readline()
            if not line.endswith(b"\r\n"):
                raise EOFError(f"a reply was cut: {line!r}")
            lines.append(line[:-2].decode("utf-8", "replace"))
            if line[3:4] != b"-":
                break
        words = lines[-1].split()
        status = words[1] if len(words) > 1 and words[1].count(".") == 2 \
            else ""
        return int(lines[-1][:3]), status, lines

    def send(self, data):
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def cmd(self, line):
        self.send(line if isinstance(line, bytes) else line.encode()
                  + b"\r\n")
        return self.reply()

    def code(self, line):
        return self.cmd(line)[0]

    def expect(self, line, code):
        got = self.cmd(line)
        if got[0] != code:
            raise Failure(f"{line!r}: {got}, wanted {code}")
        return got

    def envelope(self, recipients, sender="a@example.org", params=""):
        """MAIL and RCPT; the replies to RCPT."""
        self.expect(f"MAIL FROM:<{sender}>{params}", 250)
        return [self.cmd(f"RCPT TO:<{r}>") for r in recipients]

    def text(self, message):
        """DATA with MESSAGE (LF line ends are made CRLF), no replies."""
        self.expect("DATA", 354)
        self.send(dotted(message))

    def message(self, recipients, message, **kw):
        """A whole transaction; the replies for recipients that were
        accepted."""
        accepted = [r for r in self.envelope(recipients, **kw)
                    if r[0] == 250]
        self.text(message)
        return [self.reply() for _ in accepted]

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def dotted(message):
    """MESSAGE as DATA wants it, its last dot included."""
    wire = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if wire and not wire.endswith(b"\r\n"):
        wire += b"\r\n"
    lines = wire.split(b"\r\n")
    return b"\r\n".join(b"." + x if x.startswith(b".") else x
                        for x in lines) + b".\r\n"


def body(stored):
    """What was sent: STORED without the three headers of delivery."""
    head = [b"Return-Path:", b"Delivered-To:", b"Received:", b"\tby ",
            b"\tfor "]
    lines = stored.split(b"\n")
    for line, begin in zip(lines, head):
        if not line.startswith(begin):
            raise Failure(f"{begin!r} is missing: {stored[:400]!r}")
    return b"\n".join(lines[len(head):])
