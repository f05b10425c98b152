"""Postfix from Debian, with a configuration and a queue of the test's own,
delivers numbered messages over LMTP while POP3 clients fetch and delete: each
arrives exactly once and unchanged.
"""
import contextlib
import os
import shutil
import smtplib
import socket
import subprocess
import threading

import pytest

from culver import Failure, numbered, until, wire
from lmtp import LISTEN

PORT = 3025
MAIN = """compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {dir}/maillog
maillog_file_prefixes = {dir}
myhostname = mx.example.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
virtual_mailbox_domains = example.test
virtual_mailbox_maps =
local_header_rewrite_clients =
smtpd_reject_unlisted_recipient = no
virtual_transport = lmtp:unix:{culver}/run/lmtp
default_transport = error:only to example.test
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
lmtp_destination_concurrency_limit = 8
"""
MASTER = """{address}:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, inst):
        self.dir = inst.dir / "postfix"
        self.address = inst.address
        for name in ("", "queue", "data"):
            (self.dir / name).mkdir(mode=0o755)
        shutil.chown(self.dir / "data", "postfix", "postfix")
        names = dict(dir=self.dir, culver=inst.dir, address=self.address,
                     port=PORT)
        (self.dir / "main.cf").write_text(MAIN.format(**names))
        (self.dir / "master.cf").write_text(MASTER.format(**names))

    def run(self, *args):
        return subprocess.run(["/usr/sbin/postfix", "-c", str(self.dir),
                               *args], capture_output=True, text=True,
                              timeout=120, cwd="/", start_new_session=True)

    def log(self):
        with contextlib.suppress(OSError):
            return (self.dir / "maillog").read_text(errors="replace")
        return ""

    def __enter__(self):
        done = self.run("start")
        if done.returncode != 0:
            raise Failure(f"postfix: {done.stdout}{done.stderr}{self.log()}")

        def greets():
            with contextlib.suppress(OSError):
                with socket.create_connection((self.address, PORT), 5) as s:
                    return s.recv(4) == b"220 "
            return False
        until("Postfix's greeting", greets)
        return self

    def __exit__(self, *exc):
        self.run("stop")


def send(address, numbers, users, size):
    """Each of NUMBERS to all of USERS, by one connection."""
    with smtplib.SMTP(address, PORT, timeout=60) as smtp:
        for n in numbers:
            smtp.sendmail("me@example.test",
                          [f"{u.name}+tag@example.test" for u in users],
                          wire(numbered(n, size)))


class Reader(threading.Thread):
    """Fetches and deletes the mail of one user until it has all numbers."""

    def __init__(self, inst, user, wanted):
        super().__init__()
        self.inst, self.user, self.wanted = inst, user, wanted
        self.found, self.error, self.stopped = {}, None, False

    def run(self):
        try:
            until("all messages", self.session, 500)
        except BaseException as e:     # for the main thread
            self.error = e

    def session(self):
        """One session; is it the last one?"""
        with self.inst.login(self.user, timeout=60) as pop:
            fetched = {i: self.number(pop.multi(f"RETR {i}"))
                       for i in pop.sizes()}
            for i in fetched:
                pop.ok(f"DELE {i}")
            if not pop.quit().startswith(b"+OK"):
                raise Failure("QUIT failed")
        for n in fetched.values():
            self.found[n] = self.found.get(n, 0) + 1
        return self.stopped or len(self.found) >= self.wanted

    def number(self, message):
        head, _, rest = message.partition(b"Subject: n-")
        n = int(rest[:6])
        # Postfix adds its headers in front; numbered() has all others
        text = (b"Subject: n-" + rest).replace(b"\r\n", b"\n")
        if text not in self.good(n):
            raise Failure(f"message {n} was changed: {message[:900]!r}")
        if head.count(b"Return-Path: <me@example.test>\r\n") != 1 or \
                head.count(b"Delivered-To: ") != 1:
            raise Failure(f"headers of message {n}: {head!r}")
        return n

    @staticmethod
    def good(n):
        return [numbered(n, size) for size in SIZES]


SIZES = (300, 20000)


@pytest.mark.needs_root
@pytest.mark.needs("postfix")
@pytest.mark.timeout(600)
def test_postfix(make_instance, request):
    quick = request.config.getoption("--quick")
    senders, each = (4, 25) if quick else (8, 250)
    inst = make_instance(users=3, listen=LISTEN)
    os.chmod(inst.dir, 0o755)
    inst.start()
    total = senders * each
    readers = [Reader(inst, u, total) for u in inst.users]
    with Postfix(inst) as postfix:
        threads = [threading.Thread(target=send, args=(
            inst.address, range(k * each, (k + 1) * each), inst.users,
            SIZES[k % 2])) for k in range(senders)]
        for t in threads + readers:
            t.start()
        for t in threads:
            t.join()
            inst.reload()
        try:
            until("all messages", lambda: all(
                len(r.found) == total or r.error for r in readers), 300)
        except Failure:
            raise Failure(f"{[len(r.found) for r in readers]} of {total}:\n"
                          f"{postfix.log()[-3000:]}\n"
                          f"{inst.log_text()[-3000:]}") from None
        finally:
            for r in readers:
                r.stopped = True
            for r in readers:
                r.join()
        # what Postfix would still send is one too many
        until("an empty queue", lambda: not any(
            files for q in ("active", "deferred", "incoming", "maildrop")
            for _, _, files in os.walk(postfix.dir / "queue" / q)), 60)
    for r in readers:
        assert r.error is None, r.error
        assert sorted(r.found) == list(range(total))
        assert set(r.found.values()) == {1}
        assert r.user.contents() == {}
    print(f"{total} messages to {len(readers)} users, each exactly once")
