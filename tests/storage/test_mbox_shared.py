"""One mbox a user, to which Postfix delivers by its virtual(8) and over LMTP,
from which POP3 clients fetch and delete, and which Dovecot, mutt and formail
rewrite, all at the same time: each message arrives exactly once, and
afterwards all of them see the same messages.
"""
import os
import threading
import time

import pytest

import once
import programs
from culver import Failure, until
from lmtp import LISTEN
from postfix import DOMAIN, LMTP_DOMAIN, Postfix, Sender
from programs import DOVECOT

USERS, CLIENTS, SENDERS = 2, 2, 2


def dovecots(n):
    """What only Dovecot removes."""
    return n % 11 == 5


def keep(n):
    """What no POP3 client deletes."""
    return n % 7 == 3 or dovecots(n)


class Rewriter(threading.Thread):
    """The other programs, at one user's mbox, in turn.

    mutt writes back what it read before without a lock in between, and sees
    by the size and the line at the old end whether more was done than to add
    mail.  Removing and adding as much as that is what it cannot see, so no
    client removes mail while it runs: see `quitting`.
    """

    def __init__(self, user):
        super().__init__()
        self.user, self.quitting = user, threading.Lock()
        self.removed, self.rounds = [], 0
        self.error, self.stopped = None, threading.Event()

    def run(self):
        try:
            while not self.stopped.is_set():
                self.round()
        except BaseException as e:     # for the main thread
            self.error = e

    def round(self):
        odd = self.rounds % 2
        programs.doveadm(self.user, "flags", "remove" if odd else "add",
                         "\\Seen \\Answered", "mailbox", "INBOX", "all")
        with self.quitting:
            programs.mutt_flags(self.user)
        programs.formail(self.user, odd, "-I",
                         "Status: RO" if odd else "Status:")
        self.dovecot_removes()
        self.rounds += 1

    def dovecot_removes(self):
        rows = programs.doveadm(self.user, "-f", "tab", "fetch",
                                "uid hdr.x-number", "mailbox", "INBOX")[1:]
        mine = {uid: int(n) for uid, n in map(str.split, rows)
                if dovecots(int(n))}
        if mine:
            programs.doveadm(self.user, "expunge", "mailbox", "INBOX",
                             "uid", ",".join(mine))
            self.removed += mine.values()


@pytest.fixture
def start(one_instance):
    # `uidl = auto` would ask who was there first, Dovecot or a client
    inst = one_instance(users=USERS, listen=LISTEN, storage='storage mbox'
                        ' { path = "~/mbox" uidl = own quoting = mboxrd }')
    os.chmod(inst.dir, 0o755)
    for u in inst.users:
        u.file = u.home / "mbox"
        u.file.touch(0o600)
        u.own(u.file)
    return inst.start(), Postfix(inst, "virtual", "mbox")


def wait_for_all(total, books, rewriters, threads, log):
    want = {n for n in range(total) if not keep(n)}
    theirs = {n for n in range(total) if dovecots(n)}

    def all_done():
        return any(t.error for t in threads) or all(
            want <= set(b.deleted) and theirs <= set(r.removed)
            for b, r in zip(books, rewriters))
    try:
        until("all messages", all_done, 800, 0.2)
    except Failure as e:
        raise Failure(f"{e}: {[len(b.deleted) for b in books]} deleted,"
                      f" {[len(r.removed) for r in rewriters]} by Dovecot"
                      f" of {total}\n{log()}") from None


def seen_by_culver(inst, book, user):
    with inst.login(user, timeout=60) as pop:
        uidls = pop.uidls()
        found = [once.number_of(pop.multi(f"RETR {i}")) for i in uidls]
        assert pop.quit().startswith(b"+OK")
    assert [book.uidl.get(n, u) for n, u in zip(found, uidls.values())] == \
        list(uidls.values())
    return found


def seen(user):
    """The numbers of what is left, in order, by who reads them."""
    def numbers(messages):
        return [once.number_of(m, quoted=True) for m in messages]
    programs.mutt_copies(user, user.home / "copy")
    return {"the file": list(once.in_mbox(user.file)),
            "mutt": list(once.in_mbox(user.home / "copy")),
            "formail": numbers(programs.formail_messages(user)),
            "Dovecot": numbers(programs.dovecot_messages(user))}


@pytest.mark.needs_root
@pytest.mark.needs("postfix", "mutt", "formail", "lockfile", "doveadm",
                   DOVECOT)
@pytest.mark.timeout(1800)
def test_others_rewrite_the_mbox(start, request, seed):
    total = 50 if request.config.getoption("--quick") else 1000
    inst, postfix = start
    books = [once.Book() for _ in inst.users]
    rewriters = [Rewriter(u) for u in inst.users]
    clients = [once.Client(inst, r.user, book, keep,
                           f"{seed} {r.user.name} {k}", True, r.quitting)
               for r, book in zip(rewriters, books) for k in range(CLIENTS)]
    begin = time.monotonic()

    def log():
        return f"{postfix.log()[-3000:]}\n{inst.log_text()[-3000:]}"

    with postfix:
        senders = [Sender(postfix, range(k, total, SENDERS), once.message,
                          lambda n: LMTP_DOMAIN if n % 2 else DOMAIN)
                   for k in range(SENDERS)]
        threads = senders + rewriters + clients
        for t in threads:
            t.start()
        try:
            wait_for_all(total, books, rewriters, threads, log)
            # what is left in the queue is nobody's to remove; Postfix gives
            # up soon where others hold locks
            for t in rewriters + clients:
                t.stopped.set()
            until("an empty queue", postfix.queue_is_empty, 120)
        finally:
            for t in rewriters + clients:
                t.stopped.set()
            for t in threads:
                t.join()
        assert [t.error for t in threads if t.error] == [], log()
        assert postfix.sent() == total * USERS
        until("a line for each cut", lambda: sum(b.cut for b in books) <= sum(
            len(inst.log_lines("session-end", f"reason={why}"))
            for why in ("stale", "storage-error")))
    for book, r in zip(books, rewriters):
        left = seen_by_culver(inst, book, r.user)
        for who, numbers in seen(r.user).items():
            assert numbers == left, who
        assert set(book.deleted.values()) == {1}
        assert sorted([*book.deleted, *r.removed, *left]) == \
            list(range(total))
        r.left = len(left)
    print(f"{total * USERS} delivered,"
          f" {sum(b.fetched for b in books)} fetched,"
          f" {sum(len(b.deleted) for b in books)} deleted by POP3,"
          f" {sum(len(r.removed) for r in rewriters)} by Dovecot,"
          f" {sum(r.left for r in rewriters)} left, none lost, none twice;"
          f" rewritten {[r.rounds for r in rewriters]} times by each program,"
          f" {sum(b.refused for b in books)} replies -ERR for the moment,"
          f" {time.monotonic() - begin:.1f} s")
