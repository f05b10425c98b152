"""postfix.py - Postfix from Debian, with a configuration and a queue of the
test's own.

It listens on the instance's loopback address, is no system service, and ends
by the process number that it wrote.  local(8) and pipe(8) look accounts up:
for them it lives in a mount namespace whose /etc has those of the test.
"""
import contextlib
import os
import shutil
import smtplib
import socket
import subprocess
import threading
from pathlib import Path

from culver import Failure, own_mounts, until, wire

PORT = 3025
PIPE_ID = 60009         # who pipe(8) runs commands as: `deliver_group`
DOMAIN = "example.test"
LMTP_DOMAIN = "lmtp.example.test"       # always by LMTP
SENDER = "me@example.test"
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
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
local_recipient_maps =
local_header_rewrite_clients =
smtpd_reject_unlisted_recipient = no
recipient_delimiter = +
biff = no
relay_domains = lmtp.example.test
relay_transport = {lmtp}
default_transport = error:only to example.test
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
deliver_lock_attempts = 3
default_destination_concurrency_limit = 8
culver_destination_recipient_limit = 1
virtual_destination_recipient_limit = 1
virtual_destination_concurrency_limit = 2
mailbox_delivery_lock = fcntl, dotlock
virtual_mailbox_lock = fcntl, dotlock
mailbox_size_limit = 0
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
local unix - n n - - local
virtual unix - n n - - virtual
culver unix - n n - 10 pipe null_sender= user=culverpipe:culverpipe
  argv={deliver} -u ${{user}} -f ${{sender}}
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
# nothing twice: each process warns of it, and postlogd, who reads what they
# warn of, waits for itself as soon as there are ten of them
NO_MAPS = "virtual_mailbox_maps =\n"
TO_VIRTUAL = f"mydestination =\nvirtual_mailbox_domains = {DOMAIN}\nvirtual_transport = "
TO_LOCAL = NO_MAPS + f"mydestination = {DOMAIN}\nlocal_transport = local\n"


class Postfix:
    """AGENT delivers what is for DOMAIN: lmtp, virtual (to BOX below each
    user's home), local (to BOX there, or with `spool` to a file below that
    folder), command (local's mailbox_command) or pipe; the last two run
    culver-deliver."""

    def __init__(self, inst, agent, box="Maildir/", spool=None):
        self.inst, self.dir = inst, inst.dir / "postfix"
        self.address = inst.address
        self.accounts = agent in ("local", "command", "pipe")
        for name in ("", "queue", "data"):
            (self.dir / name).mkdir(mode=0o755)
        shutil.chown(self.dir / "data", "postfix", "postfix")
        # the caller of culver-deliver cannot read the instance's
        (self.dir / "deliver.conf").write_text(f'run_dir = "{inst.dir}/run"')
        deliver = f"{inst.tree}/usr/local/bin/culver-deliver" \
            f" -c {self.dir}/deliver.conf"
        lmtp = f"lmtp:unix:{inst.dir}/run/lmtp"
        names = dict(dir=self.dir, address=self.address, port=PORT,
                     deliver=deliver, lmtp=lmtp)
        self.write("main.cf", MAIN.format(**names) + {
            "lmtp": NO_MAPS + TO_VIRTUAL + lmtp,
            "pipe": NO_MAPS + TO_VIRTUAL + "culver",
            "virtual": TO_VIRTUAL + "virtual" + self.maps(box),
            "local": TO_LOCAL + (f"mail_spool_directory = {spool}" if spool
                                 else f"home_mailbox = {box}"),
            "command": TO_LOCAL + f"mailbox_command = {deliver}"
            ' -u "$USER" -f "$SENDER"',
        }[agent] + "\n")
        self.write("master.cf", MASTER.format(**names))
        if self.accounts:
            self.write_accounts()

    def write(self, name, text):
        (self.dir / name).write_text(text)
        os.chmod(self.dir / name, 0o644)

    def maps(self, box):
        """The tables of virtual(8)."""
        lines = f"\nvirtual_mailbox_base = {self.inst.dir}/home\n"
        for name, value in (("mailbox", lambda u: f"{u.name}/{box}"),
                            ("uid", lambda u: u.uid),
                            ("gid", lambda u: u.gid)):
            self.write(name, "".join(f"{u.name}@{DOMAIN} {value(u)}\n"
                                     for u in self.inst.users))
            lines += f"virtual_{name}_maps = texthash:{self.dir}/{name}\n"
        return lines

    def write_accounts(self):
        """An /etc with links to the real one, but for passwd and group.  (A
        mount on a single file is gone when the system replaces that file.)
        Not below the configuration, which Postfix searches."""
        mine = [(u.name, u.uid, u.gid, u.home) for u in self.inst.users]
        mine.append(("culverpipe", PIPE_ID, PIPE_ID, "/"))
        self.etc, self.real = self.inst.dir / "etc", self.inst.dir / "real"
        self.etc.mkdir(mode=0o755)
        self.real.mkdir()
        for name in set(os.listdir("/etc")) - {"passwd", "group"}:
            (self.etc / name).symlink_to(self.real / name)
        self.write("../etc/passwd", Path("/etc/passwd").read_text() + "".join(
            f"{n}:x:{u}:{g}::{home}:/bin/sh\n" for n, u, g, home in mine))
        self.write("../etc/group", Path("/etc/group").read_text() + "".join(
            f"{n}:x:{g}:\n" for n, _, g, _ in mine))

    def run(self, command):
        argv = ["/usr/sbin/postfix", "-c", str(self.dir), command]
        if self.accounts and command == "start":
            binds = f"mount --bind /etc '{self.real}' && " \
                f"mount --bind '{self.etc}' /etc && "
            argv = [*own_mounts(), "sh", "-c", binds + 'exec "$@"', "sh",
                    *argv]
        return subprocess.run(argv, capture_output=True, text=True,
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
        try:
            until("Postfix's greeting", greets)
        except Failure as e:
            self.run("stop")
            raise Failure(f"{e}\n{self.log()}") from None
        return self

    def __exit__(self, *exc):
        self.run("stop")

    def queue_is_empty(self):
        return not any(
            files for q in ("active", "deferred", "incoming", "maildrop")
            for _, _, files in os.walk(self.dir / "queue" / q))

    def sent(self):
        """How many deliveries it counts as done."""
        return self.log().count(" status=sent ")


class Sender(threading.Thread):
    """Sends each of NUMBERS to all users by one connection."""

    def __init__(self, postfix, numbers, message, domain=lambda n: DOMAIN):
        super().__init__()
        self.postfix, self.numbers = postfix, numbers
        self.message, self.domain, self.error = message, domain, None

    def run(self):
        try:
            with smtplib.SMTP(self.postfix.address, PORT,
                              timeout=120) as smtp:
                for n in self.numbers:
                    to = [f"{u.name}+tag@{self.domain(n)}"
                          for u in self.postfix.inst.users]
                    smtp.sendmail(SENDER, to, wire(self.message(n)),
                                  ["BODY=8BITMIME"])
        except BaseException as e:     # for the main thread
            self.error = e
