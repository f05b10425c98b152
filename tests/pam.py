"""pam.py - a machine with accounts of its own for an instance of Culver: in a
mount namespace that only it is in, with other files for /etc/passwd,
/etc/shadow, /etc/nsswitch.conf, /etc/pam.d and /etc/security.
"""
import grp
import os
import shutil
import subprocess
from pathlib import Path

from culver import ROLE_IDS, Instance, crypt, own_mounts

UNIX = "auth required pam_unix.so\naccount required pam_unix.so\n"
FILES = ("passwd", "shadow", "nsswitch.conf", "pam.d", "security")
LOW_UID = 432


class PamInstance(Instance):
    """Its users are those of its machine, with mailboxes as usual, and in the
    section pam.  `unknown` is no user at all."""

    def __init__(self, tree, options="", extra="", users=1, **kw):
        self.etc = None
        super().__init__(tree, users=users, prefix="culver-pam-",
                         extra='auth pam { paths = {"{dir}/modules"} '
                         + options + " }\n" + extra, **kw)
        self.etc = self.dir / "etc"
        self.modules = self.dir / "modules"
        self.modules.mkdir(mode=0o755)
        self.etc.mkdir(mode=0o755)
        (self.etc / "pam.d").mkdir(mode=0o755)
        (self.etc / "security").mkdir(mode=0o755)
        (self.etc / "nsswitch.conf").write_text(
            "passwd: files\ngroup: files\nshadow: files\n")
        self.accounts = [(u.name, u.uid, u.home, {}) for u in self.users]
        self.write_users()
        self.write_accounts()
        self.service(UNIX)

    def write_users(self, hashes=None, extra=""):
        """Nobody is in the passwd file of the first section."""
        users, self.users = self.users, []
        super().write_users(extra="# all are in the section pam\n")
        self.users = users

    def add(self, name, uid, **shadow):
        """One more account; `hash`, `last`, `expire` are of its shadow."""
        self.accounts.append((name, uid, self.dir / "home", shadow))
        self.write_accounts()

    def write_accounts(self):
        passwd = Path("/etc/passwd").read_text()
        shadow = "root:" + crypt("geheim") + ":19000::::::\n"
        for name, uid, home, more in self.accounts:
            passwd += f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n"
            shadow += ":".join((name, more.get("hash", crypt("geheim")),
                                str(more.get("last", 19000)), "0",
                                "99999", "7", "",
                                str(more.get("expire", "")), "")) + "\n"
        self.put("passwd", passwd)
        self.put("shadow", shadow)
        os.chmod(self.etc / "shadow", 0o640)
        os.chown(self.etc / "shadow", 0, grp.getgrnam("shadow").gr_gid)

    def put(self, name, text):
        """Into the file in place: it is what the namespace has mounted."""
        (self.etc / name).write_text(text)
        os.chmod(self.etc / name, 0o644)

    def service(self, text, name="culver"):
        """What the PAM service is from now on."""
        self.put(f"pam.d/{name}", text.replace("odd.so",
                                               f"{self.modules}/odd.so"))

    def program(self, name):
        return str(self.tree / "usr/local/sbin" / name)

    def namespace(self):
        script = "".join(f"mount --bind {self.etc}/{f} /etc/{f}\n"
                         for f in FILES)
        return [*own_mounts(), "sh", "-ec", script + 'exec "$@"', "sh"]

    def start(self, wait=True, prefix=(), **kw):
        return super().start(wait, prefix=[*self.namespace(), *prefix], **kw)

    def ctl(self, *args, timeout=None, **kw):
        return subprocess.run(
            [*self.namespace(), self.program("culverctl"), "-c",
             str(self.conf), *self.ids(), *args], capture_output=True,
            text=True, timeout=timeout or 60, **kw)

    def login_reply(self, user, password="geheim", **kw):
        with self.connect(**kw) as pop:
            reply = pop.login(user, password)
            if reply.startswith(b"+OK"):
                pop.quit()
            return reply

    def put_module(self, build):
        shutil.copy(build / "tests/protocol/.libs/pam_odd.so",
                    self.modules / "odd.so")
        os.chmod(self.modules / "odd.so", 0o755)


def pools(instance, group=None):
    """Those with the supplementary groups GROUP, by /proc."""
    found = []
    for pid in instance.role("pool"):
        with open(f"/proc/{pid}/status") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f
                          if ":\t" in line)
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Uid"].split() == [str(ROLE_IDS["auth"])] * 4
        if group is None or status["Groups"].split() == group:
            found.append(pid)
    return found
