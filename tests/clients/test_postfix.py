"""Postfix from Debian delivers numbered messages over LMTP, and with its own
local(8), virtual(8) and pipe(8), while POP3 clients fetch and delete: each
arrives exactly once and unchanged, in each storage.
"""
import os
import shutil
import time

import pytest

import once
from culver import STORAGE, Failure, until
from lmtp import LISTEN
from postfix import PIPE_ID, Postfix, Sender

pytestmark = pytest.mark.once

USERS, CLIENTS, SENDERS = 3, 2, 4
SPOOL = 'storage mbox { path = "{dir}/spool/%{user}" groups = {mail} }'
BOX = {"maildir": "Maildir/", "mbox": "mbox", "sqlite": "mail/mail.db"}
LEFT = {"maildir": once.in_maildir, "mbox": once.in_mbox,
        "sqlite": once.in_sqlite}


def keep(n):
    """What no client deletes."""
    return n % 7 == 3


@pytest.fixture
def start(one_instance):
    def make(kind, agent):
        spool = kind == "mbox" and agent == "local"
        inst = one_instance(users=USERS, listen=LISTEN,
                            storage=SPOOL if spool else STORAGE[kind],
                            top=f'deliver_group = "{PIPE_ID}"')
        os.chmod(inst.dir, 0o755)
        for u in inst.users:
            (u.home / "mail").mkdir(mode=0o700)
            u.own(u.home / "mail")
            u.box = u.home / BOX[kind]
            if kind == "mbox":
                u.box.touch(0o600)
                u.own(u.box)
        if spool:
            make_spool(inst)
        return inst.start(), Postfix(inst, agent, BOX[kind],
                                     inst.dir / "spool" if spool else None)
    return make


def make_spool(inst):
    """As /var/mail is on Debian."""
    spool = inst.dir / "spool"
    spool.mkdir()
    shutil.chown(spool, "root", "mail")
    os.chmod(spool, 0o2775)
    for u in inst.users:
        u.box = spool / u.name
        u.box.touch(0o600)
        shutil.chown(u.box, u.uid, "mail")
        os.chmod(u.box, 0o660)


def wait_for_all(total, books, threads, log):
    """Until the clients have seen each number, and deleted what they are to
    delete; or one of them failed."""
    want = {n for n in range(total) if not keep(n)}

    def all_done():
        if " status=bounced " in log():
            raise Failure("a message was refused")
        return any(t.error for t in threads) or all(
            len(b.uidl) >= total and want <= set(b.deleted) for b in books)
    try:
        until("all messages", all_done, 400, 0.2)
    except Failure as e:
        raise Failure(f"{e}: {[len(b.uidl) for b in books]} of {total} seen,"
                      f" {[len(b.deleted) for b in books]} deleted\n"
                      + log()) from None


@pytest.mark.maildir        # the test says itself which storage it is about
@pytest.mark.needs_root
@pytest.mark.needs("postfix")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("agent,kind", (
    ("lmtp", "maildir"), ("lmtp", "mbox"), ("lmtp", "sqlite"),
    ("local", "maildir"), ("local", "mbox"), ("command", "sqlite"),
    ("virtual", "maildir"), ("virtual", "mbox"), ("pipe", "sqlite")))
def test_postfix(start, request, seed, agent, kind):
    total = 36 if request.config.getoption("--quick") else 700
    inst, postfix = start(kind, agent)
    books = [once.Book() for _ in inst.users]
    clients = [once.Client(inst, u, book, keep, f"{seed} {u.name} {k}")
               for u, book in zip(inst.users, books) for k in range(CLIENTS)]
    begin = time.monotonic()

    def log():
        return f"{postfix.log()[-3000:]}\n{inst.log_text()[-3000:]}"

    with postfix:
        senders = [Sender(postfix, range(k, total, SENDERS), once.message)
                   for k in range(SENDERS)]
        for t in senders + clients:
            t.start()
        try:
            for t in senders:
                t.join()
            inst.reload()
            wait_for_all(total, books, senders + clients, log)
            # what Postfix would still send is one too many
            until("an empty queue", postfix.queue_is_empty, 60)
        finally:
            for t in clients:
                t.stopped.set()
            for t in clients:
                t.join()
        assert [t.error for t in senders + clients if t.error] == [], log()
        assert postfix.sent() == total * USERS
    left = [sorted(LEFT[kind](u.box)) for u in inst.users]
    for book, there in zip(books, left):
        assert set(book.deleted.values()) == {1}
        assert sorted([*book.deleted, *there]) == list(range(total))
        assert there == [n for n in range(total) if keep(n)]
    print(f"{agent} to {kind}: {total * USERS} delivered,"
          f" {sum(b.fetched for b in books)} fetched in"
          f" {sum(b.sessions for b in books)} sessions,"
          f" {sum(len(b.deleted) for b in books)} deleted,"
          f" {sum(map(len, left))} left, none lost, none twice,"
          f" {time.monotonic() - begin:.1f} s")
