"""machine.py - a machine whose PID 1 is systemd (machine-init), with the units
of an installed tree of Culver, the users that they want, mailboxes and a
journal.
"""
import contextlib
import ctypes
import functools
import grp
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import culver
from culver import (PASSWORD, Failure, Pop, User, b64, crypt,
                    free_uids, make_certificate, own_mounts, until)
from lmtp import Lmtp

HERE = Path(__file__).resolve().parent
UNITS = "usr/local/lib/systemd/system"
TOOLS = ("systemctl", "journalctl", "systemd-sysusers", "systemd-tmpfiles",
         "nsenter", "unshare", "setpriv", "ip")
ROLES = {"gate": "culver", "auth": "culver-auth", "config": "culver-config",
         "log": "culver-log"}
ROLE_OPTIONS = [word for role, name in ROLES.items()
                for word in ("-u", f"{role}={name}")]
ETC = "usr/local/etc/culver"
RUN = "run/culver"
CLONE_NEWNET = 0x40000000
CONF = f'''hostname = "localhost"
listen pop3 {{ address = {{"0.0.0.0:110", "[::]:110"}} }}
listen pop3s {{ address = {{"0.0.0.0:995", "[::]:995"}} tls = implicit }}
listen lmtp {{ address = {{"unix:/{RUN}/lmtp"}} protocol = lmtp }}
tls {{ certificate = "/{ETC}/cert.pem" key = "/{ETC}/key.pem" }}
auth passwdfile {{ path = "/{ETC}/users" }}
auth pam {{ service = "culver" }}
auth exec {{
    allow = {{exec}}
    program = {{"/{ETC}/users.py", "/{ETC}/more"}}
}}
storage maildir {{ path = "~/Maildir" }}
storage spool {{ plugin = mbox path = "/var/mail/%{{user}}" lock_group = mail }}
storage base {{
    plugin = sqlite
    path = "/srv/mail/%{{user}}/mail.db"
    create = yes
}}
limits {{ failure_delay = "10ms" failure_delay_max = "10ms" }}
'''


def umount(path):
    """What a namespace in a chroot may have shown outside."""
    subprocess.run(["umount", path], stderr=subprocess.DEVNULL)


@functools.cache
def cannot_boot():
    """Why there can be no such machine here, or None."""
    if not culver.ROOT:
        return "needs root"
    for tool in TOOLS:
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if not os.path.exists("/lib/systemd/systemd"):
        return "systemd is not installed"
    with tempfile.TemporaryDirectory() as d:
        tried = subprocess.run(
            [*own_mounts(), "sh", "-euc", f"""
            mount --bind {d} {d}
            mount --make-rprivate {d}
            mkdir {d}/c {d}/t {d}/r
            mount -t cgroup2 cgroup2 {d}/c
            mkdir {d}/c/culver-test-$$
            rmdir {d}/c/culver-test-$$
            mount -t tmpfs tmpfs {d}/t
            mkdir {d}/t/u {d}/t/w
            mount -t overlay -o lowerdir=/,upperdir={d}/t/u,workdir={d}/t/w \
                overlay {d}/r
            """], capture_output=True, text=True)
        umount(d)
    return None if tried.returncode == 0 else \
        f"no cgroup or overlay can be made: {tried.stderr.strip()}"


class Machine:
    """`root` is its / as seen from outside; users: anna has a Maildir in
    /home, bert the same and a password by PAM, carl an mbox in /var/mail,
    dora an SQLite database below /srv, emil a Maildir and a password that a
    program in Python knows."""

    def __init__(self, tree):
        self.dir = Path(tempfile.mkdtemp(prefix="culver-test-machine-",
                                         dir=culver.tempdir("machine")))
        self.said = open(self.dir / "said", "w+")
        self.proc = subprocess.Popen(
            [*own_mounts(), HERE / "machine-init", self.dir, tree],
            stdin=subprocess.PIPE, stdout=self.said, stderr=self.said)
        try:
            self.pid = int(until("PID 1", self.started))
            self.root = Path(f"/proc/{self.pid}/root")
            until("the end of the boot", lambda: self.ctl(
                "is-active", "culver-test.target").returncode == 0)
            self.install()
        except BaseException as e:
            self.said.seek(0)
            text = self.said.read()
            self.close()
            raise Failure(f"no systemd: {e}\n{text}") from e

    def started(self):
        if (self.dir / "pid").exists():
            return (self.dir / "pid").read_text()
        return None

    def close(self):
        """All of it ends with its PID 1."""
        self.proc.stdin.close()
        self.proc.wait(culver.PATIENCE)
        self.said.close()
        umount(self.dir)
        shutil.rmtree(self.dir)

    # --- what is in it ------------------------------------------------------

    def write(self, name, text, mode=0o644, owner=0):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.chmod(path, mode)
        os.chown(path, owner, owner)

    def install(self):
        """As README.md says, with users by name, which a tree for tests has
        by number."""
        names = (HERE.parent / "contrib/systemd/culver.sysusers.conf.in") \
            .read_text()
        for role, name in ROLES.items():
            names = names.replace(f"@{role}_user@", name)
        self.write("etc/sysusers.d/culver.conf", names)
        self.must("systemd-sysusers")
        self.must("systemd-tmpfiles", "--create", "culver.conf")
        self.dropin("users", "[Service]\nExecStart=\nExecStart="
                    f"/usr/local/sbin/culverd {' '.join(ROLE_OPTIONS)}\n")
        self.write("etc/nsswitch.conf",
                   "passwd: files\ngroup: files\nshadow: files\n")
        self.write("etc/pam.d/culver", "auth required pam_unix.so\n"
                   "account required pam_unix.so\n")
        self.add_users()
        make_certificate(self.dir / "cert.pem", self.dir / "key.pem")
        for name in ("cert.pem", "key.pem"):
            self.write(f"{ETC}/{name}", (self.dir / name).read_text(), 0o600)
        self.write_conf()

    def add_users(self):
        uids = dict(zip(("anna", "bert", "carl", "dora"), free_uids(61000, 4)))
        emil = free_uids(61010, 1)[0]
        for name, text in (("passwd", "{n}:x:{u}:{u}::/home/{n}:/bin/sh\n"),
                           ("group", "{n}:x:{u}:\n"),
                           ("shadow", "{n}:" + crypt(PASSWORD)
                            + ":19000:0:99999:7:::\n")):
            with open(self.root / "etc" / name, "a") as f:
                f.writelines(text.format(n=n, u=u) for n, u in uids.items())
        os.chmod(self.root / "etc/shadow", 0o640)
        os.chown(self.root / "etc/shadow", 0, grp.getgrnam("shadow").gr_gid)
        storage = {"carl": "spool", "dora": "base"}
        lines = [f"{n}:{{SHA512-CRYPT}}{crypt(PASSWORD)}:{u}:{u}::/home/{n}::"
                 f"storage={storage.get(n, 'maildir')}\n"
                 for n, u in uids.items() if n != "bert"]
        auth = next(int(line.split(":")[2]) for line in
                    (self.root / "etc/passwd").read_text().splitlines()
                    if line.startswith(ROLES["auth"] + ":"))
        self.write(f"{ETC}/users", "".join(lines), 0o600, auth)
        key = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), b"salt", 1000)
        self.write(f"{ETC}/more", f"emil:1000${b64(b'salt')}${b64(key)}:{emil}:"
                   f"{emil}:/home/emil\n", 0o600, auth)
        self.write(f"{ETC}/users.py", (HERE.parent /
                   "contrib/auth-exec/users.py").read_text(), 0o755)
        uids["emil"] = emil
        self.users = {n: User(n, u, u, self.root / "home" / n)
                      for n, u in uids.items()}
        for name in ("anna", "bert", "emil"):
            self.users[name].make()
        self.write("var/mail/carl", "", 0o600, uids["carl"])
        for name, path in (("carl", "home/carl"), ("dora", "srv/mail/dora")):
            (self.root / path).mkdir(mode=0o700, parents=True)
            os.chown(self.root / path, uids[name], uids[name])

    def write_conf(self, text=CONF):
        self.write(f"{ETC}/culver.conf", text, 0o600)

    def dropin(self, name, text):
        """Add TEXT to culver.service."""
        self.write(f"etc/systemd/system/culver.service.d/{name}.conf", text)
        self.must("systemctl", "daemon-reload")

    # --- commands, the journal ----------------------------------------------

    def command(self, *argv):
        return ["nsenter", "-t", str(self.pid), "-a", "-r", "-w", *argv]

    def run(self, *argv):
        return subprocess.run(self.command(*argv), capture_output=True,
                              text=True, stdin=subprocess.DEVNULL,
                              errors="replace", timeout=3 * culver.PATIENCE)

    def must(self, *argv):
        done = self.run(*argv)
        if done.returncode != 0:
            raise Failure(f"{argv}: {done.stdout}{done.stderr}"
                          + self.journal()[-3000:])
        return done.stdout

    def ctl(self, *argv):
        return self.run("systemctl", *argv)

    def show(self, name, unit="culver.service"):
        return self.must("systemctl", "show", "-P", name, unit).strip()

    def active(self, unit="culver.service"):
        return self.ctl("is-active", unit).stdout.strip()

    def journal(self):
        return self.run("journalctl", "-o", "cat", "--no-pager", "-u",
                        "culver.service", "-u", "culver.socket").stdout

    def wait_journal(self, *words):
        """For a line with all of WORDS."""
        until(f"{words} in the journal", lambda: any(
            all(w in line for w in words)
            for line in self.journal().splitlines()))

    # --- clients --------------------------------------------------------------

    @contextlib.contextmanager
    def network(self):
        """Sockets that are made meanwhile, by this thread, are of its
        network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as here, \
                open(f"/proc/{self.pid}/ns/net") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                if libc.setns(here.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")

    def connect(self, mode="plain", address="127.0.0.1", **kw):
        with self.network():
            return Pop(address, mode, port=995 if mode == "tls" else 110,
                       **kw)

    def login(self, name="anna", mode="plain", **kw):
        pop = self.connect(mode, **kw)
        reply = pop.login(name)
        if not reply.startswith(b"+OK"):
            raise Failure(f"{name}: {reply}\n{self.journal()[-3000:]}")
        return pop

    def deliver(self, name, message):
        with Lmtp(self.root / RUN / "lmtp") as lmtp:
            assert [r[0] for r in lmtp.message([name], message)] == [250]
