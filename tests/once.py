"""once.py - numbered messages, of which each must arrive exactly once and
unchanged, and POP3 clients that fetch and delete them.
"""
import collections
import hashlib
import poplib
import random
import re
import sqlite3
import threading

from culver import PORT, Failure

ODD = (b"From here on", b"From a@b Thu Nov 29 22:22:52 2001", b"", b".",
       b"..", b".From", "Grüße aus Köln".encode(), b"X-Number: 7")


def message(n):
    """Number N, of 400 to 9,000 octets, the same each time."""
    rng = random.Random(n)
    size, body = rng.randrange(400, 9000), b""
    while len(body) < size:
        body += (rng.choice(ODD) if rng.randrange(8) == 0 else
                 b"%06d " % n + b"w" * rng.randrange(70)) + b"\n"
    body += b"%06d the end\n" % n
    return (f"From: me@example.test\nTo: you@example.test\n"
            f"Date: Mon, 02 Mar 2026 10:00:00 +0000\n"
            f"Subject: number {n}\nMessage-ID: <{n}@once.example.test>\n"
            f"X-Number: {n}\nX-Sum: {checksum(body)}\n"
            "\n").encode() + body


def checksum(body):
    return hashlib.sha256(body).hexdigest()


def number_of(text, quoted=False):
    """The number of a message that arrived; a Failure if it was changed.
    If QUOTED it is as mbox files have it."""
    head, _, body = text.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields = dict(re.findall(rb"(?mi)^(X-Number|X-Sum): (\w+)$", head))
    if quoted:
        body = re.sub(rb"(?m)^>From ", b"From ", body).rstrip(b"\n") + b"\n"
    if len(fields) != 2 or fields[b"X-Sum"].decode() != checksum(body) or \
            head.count(b"X-Number:") != 1 or \
            head.count(b"Return-Path: <me@example.test>") != 1 or \
            b"Delivered-To: " not in head:
        raise Failure(f"a message is torn: {text!r}")
    return int(fields[b"X-Number"])


class Book:
    """What is known of one user's messages."""

    def __init__(self):
        self.number = {}                        # of a UIDL, for ever
        self.uidl = {}                          # of a number
        self.deleted = collections.Counter()
        self.fetched = self.refused = self.cut = self.sessions = 0

    def found(self, uidl, n):
        self.fetched += 1
        if self.number.setdefault(uidl, n) != n:
            raise Failure(f"{uidl} was {self.number[uidl]} and is {n}")
        if self.uidl.setdefault(n, uidl) != uidl:
            raise Failure(f"{n} came twice: {self.uidl[n]}, {uidl}")
        if self.deleted[n]:
            raise Failure(f"{n} came again after it was deleted")


def is_refusal(error):
    """Said by the server; the rest is of poplib's own."""
    return isinstance(error.args[0], bytes) and \
        error.args[0].startswith(b"-ERR")


class Client(threading.Thread):
    """Fetches the mail of one user and deletes it, but for numbers that
    `keep` says; some sessions end without QUIT.  Where other programs REWRITE
    the mailbox a message that changed may be refused, until the next session;
    one that changes while it is sent ends the session."""

    def __init__(self, inst, user, book, keep, seed, rewritten=False,
                 quitting=None):
        super().__init__()
        self.inst, self.user, self.book, self.keep = inst, user, book, keep
        self.rng, self.rewritten = random.Random(seed), rewritten
        self.quitting = quitting or threading.Lock()
        self.error, self.stopped = None, threading.Event()

    def run(self):
        try:
            while not self.stopped.is_set():
                if not self.session():      # who polls pauses
                    self.stopped.wait(self.rng.uniform(0.05, 0.5))
        except BaseException as e:     # for the main thread
            self.error = e

    def session(self):
        """Was there anything to do?"""
        pop = poplib.POP3(self.inst.address, PORT, timeout=120)
        try:
            pop.user(self.user.name)
            pop.pass_(self.user.password)
        except poplib.error_proto as e:
            pop.close()
            if self.is_passing(e.args[0]):
                return False
            raise
        self.book.sessions += 1
        try:
            gone = self.look(pop)
            end = self.rng.randrange(8)
            if end == 0:
                pop.close()
            elif end == 1:
                pop.rset()
                pop.quit()
            elif self.quit(pop):
                self.book.deleted.update(gone)
        except poplib.error_proto as e:
            pop.close()
            if not self.rewritten or e.args[0] != "-ERR EOF":
                raise
            self.book.cut += 1
            return True
        return gone

    def is_passing(self, reply):
        """Is REPLY to a login one after which a client comes again?  The lock
        of an mbox may be with another program for longer than a login waits
        for it."""
        return b"[IN-USE]" in reply or \
            self.rewritten and b"[SYS/TEMP]" in reply

    def look(self, pop):
        """Fetch what is new, and a part of the rest; what is deleted."""
        sizes = dict(map(int, x.split()) for x in pop.list()[1])
        gone = []
        for line in pop.uidl()[1]:
            i, uidl = line.decode().split()
            n = self.book.number.get(uidl)
            if n is None or self.rng.randrange(10) == 0:
                n = self.fetch(pop, int(i), uidl, sizes)
            if n is not None and not self.keep(n):
                pop.dele(int(i))
                gone.append(n)
        return gone

    def fetch(self, pop, i, uidl, sizes):
        try:
            text = b"".join(x + b"\r\n" for x in pop.retr(i)[1])
        except poplib.error_proto as e:
            if not self.rewritten or not is_refusal(e):
                raise
            self.book.refused += 1
            return None
        n = number_of(text)
        if len(text) != sizes[i]:
            raise Failure(f"{n} has {len(text)} octets, not {sizes[i]}")
        self.book.found(uidl, n)
        return n

    def quit(self, pop):
        with self.quitting:
            try:
                pop.quit()
            except poplib.error_proto as e:
                pop.close()
                if not self.rewritten or not is_refusal(e):
                    raise
                self.book.refused += 1
                return False
        return True


# --- what is left, read without Culver ---------------------------------------

def in_maildir(path):
    for sub in ("new", "cur"):
        for f in (path / sub).iterdir():
            yield number_of(f.read_bytes())


def in_mbox(path):
    text = path.read_bytes()
    parts = re.split(rb"(?m)(?:\A|(?<=\n)\n)From [^\n]*\n", text)
    if parts.pop(0) != b"":
        raise Failure(f"no mbox: {text[:200]!r}")
    for part in parts:
        yield number_of(part, quoted=True)


def in_sqlite(path):
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with db:
        for first, chunks in db.execute("SELECT id, chunks FROM message"):
            yield number_of(b"".join(row[0] for row in db.execute(
                "SELECT data FROM chunk WHERE id BETWEEN ? AND ?"
                " ORDER BY id", (first, first + chunks - 1))))
    db.close()
