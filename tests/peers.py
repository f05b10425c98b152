"""peers.py - POP3 servers of Debian that serve one mailbox beside Culver.

Dovecot, Mailutils and popa3d with an mbox, Dovecot and Courier with a Maildir,
each started by the test itself, on loopback and with configuration, accounts
and data in a directory of its own, and ended by pid.  Mailutils and popa3d
look users up in /etc and mail in /var/mail: they see a mount namespace with an
/etc/passwd, /etc/pam.d and /var/mail of the test's.  Needs root.
"""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

from culver import PASSWORD, Failure, Pop, crypt, free_address, own_mounts, \
    until

PORT = 3110


class Peer:
    """What they share: a directory, an address, an end."""
    program = None

    def __init__(self, user, options=""):
        self.user, self.options = user, options
        self.dir = user.instance.dir / f"peer-{type(self).__name__.lower()}"
        shutil.rmtree(self.dir, ignore_errors=True)
        self.dir.mkdir()
        os.chmod(self.dir, 0o755)
        self.address = free_address()
        self.proc = None

    def log(self):
        with contextlib.suppress(OSError):
            return (self.dir / "log").read_text(errors="replace")
        return ""

    def write(self, name, text, mode=0o644):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.chmod(path, mode)
        return path

    def spawn(self, argv, **kw):
        with open(self.dir / "log", "ab") as log:
            return subprocess.Popen(
                argv, **{"stdin": subprocess.DEVNULL, "stdout": log,
                         "stderr": log} | kw, start_new_session=True,
                cwd="/", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def greets(self):
        if self.proc.poll() is not None:
            raise Failure(f"{self.program} ended:\n{self.log()}")
        with contextlib.suppress(OSError, EOFError, Failure):
            with Pop(self.address, timeout=5) as pop:
                pop.send("QUIT\r\n")
                return pop.greeting.startswith(b"+OK")
        return False

    def __enter__(self):
        self.proc = self.spawn(self.argv())
        try:
            until(f"the greeting of {self.program}", self.greets)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        self.proc.terminate()
        try:
            self.proc.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.proc.pid, signal.SIGKILL)
            self.proc.wait()

    def login(self):
        pop = Pop(self.address)
        reply = pop.login(self.user.name, PASSWORD)
        if not reply.startswith(b"+OK"):
            raise Failure(f"{self.program}: {reply!r}\n{self.log()}")
        return pop


class Dovecot(Peer):
    program = "dovecot"
    CONF = """protocols = pop3
listen = {address}
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}
}}
first_valid_uid = 1
mail_location = {location}
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
}}
{options}
"""

    def location(self):
        u = self.user
        (u.home / "dovecot").mkdir(exist_ok=True)
        u.own(u.home / "dovecot")
        return f"mbox:~/dovecot:INBOX={u.file}"

    def argv(self):
        u = self.user
        (self.dir / "state").mkdir()
        conf = self.write("conf", self.CONF.format(
            address=self.address, port=PORT, dir=self.dir, uid=u.uid,
            gid=u.gid, home=u.home, location=self.location(),
            password=PASSWORD, options=self.options))
        return ["/usr/sbin/dovecot", "-F", "-c", str(conf)]


class DovecotMaildir(Dovecot):
    def location(self):
        return f"maildir:{self.user.maildir}"


class Private(Peer):
    """One that sees accounts and a spool of the test's."""
    BINDS = ("passwd", "group", "shadow", "nsswitch.conf", "pam.d")

    def mounts(self):
        u = self.user
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
                   "nobody:x:65534:65534::/:/bin/sh\n"
                   "popa3d:x:60009:60009::/:/bin/false\n"
                   f"{u.name}:x:{u.uid}:{u.gid}::{u.home}:/bin/sh\n")
        self.write("etc/group", "root:x:0:\nmail:x:8:\npopa3d:x:60009:\n"
                   f"{u.name}:x:{u.gid}:\n")
        self.write("etc/shadow", f"{u.name}:{crypt(PASSWORD)}:19000:0:99999"
                   ":7:::\n", 0o600)
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\n"
                   "shadow: files\nhosts: files\n")
        for name in ("popa3d", "mu-pop3d", "gnu-mailutils", "other"):
            self.write(f"etc/pam.d/{name}", "auth required pam_unix.so\n"
                       "account required pam_unix.so\n"
                       "session required pam_permit.so\n")
        (self.dir / "lib/popa3d").mkdir(parents=True)
        binds = [(self.dir / "etc" / name, f"/etc/{name}")
                 for name in self.BINDS]
        binds += [(u.file.parent, "/var/mail"), (self.dir / "lib",
                                                 "/var/lib")]
        script = "".join(f"mount --bind '{a}' '{b}'\n" for a, b in binds)
        return [*own_mounts(), "sh", "-ec", script + 'exec "$@"', "sh"]


class Mailutils(Private):
    program = "pop3d"
    CONF = """mode daemon;
foreground yes;
pidfile "{dir}/pid";
max-children 10;
timeout 600;
logging {{
  syslog no;
}};
auth {{
  authentication "generic:system";
  authorization "system";
}};
mailbox {{
  mailbox-pattern "mbox:{spool}/${{user}}";
  autodetect-accuracy fast;
}};
server {address}:{port} {{
  tls-mode no;
}};
"""

    def argv(self):
        conf = self.write("conf", self.CONF.format(
            dir=self.dir, spool=self.user.file.parent, address=self.address,
            port=PORT))
        return [*self.mounts(), "/usr/sbin/pop3d", f"--config-file={conf}"]


class Inetd(Peer):
    """One that inetd starts, which is a thread here: a process a connection."""

    def __enter__(self):
        self.sock = socket.create_server((self.address, PORT))
        self.started, self.command = [], self.argv()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        return self

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.sock.accept()
                with client:
                    self.serve_one(client)

    def serve_one(self, client):
        self.started.append(self.spawn(self.command, stdin=client,
                                       stdout=client))

    def __exit__(self, *exc):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.sock.close()
        for proc in self.started:
            try:
                proc.wait(20)       # they end with their connection
            except subprocess.TimeoutExpired:
                proc.kill()
                proc.wait()


class Popa3d(Inetd, Private):
    program = "popa3d"

    def argv(self):
        return [*self.mounts(), shutil.which("popa3d")]


class Courier(Inetd):
    """courierpop3d, as courierpop3login starts it once it knows the user; that
    needs a daemon for users and passwords, so the test is that program."""
    program = "courierpop3d"

    def argv(self):
        return [shutil.which(self.program), str(self.user.maildir)]

    def libraries(self):
        """Of the packages that it was unpacked with."""
        top = Path(shutil.which(self.program)).resolve().parents[2]
        return ":".join(map(str, (top, *top.glob("*-linux-gnu"))))

    def ask(self, client, reply):
        """Send REPLY; the words of the line that comes."""
        client.sendall(reply.encode() + b"\r\n")
        line = b""
        while not line.endswith(b"\n"):
            byte = client.recv(1)
            if not byte:
                return []
            line += byte
        return line.decode().split()

    def serve_one(self, client):
        u, words = self.user, self.ask(client, "+OK Hello there.")
        while words and words[0].upper() != "PASS":
            words = self.ask(client, "-ERR Invalid command."
                             if words[0].upper() != "USER" else
                             "+OK Password required.")
        if words[1:] != [PASSWORD]:
            return
        with open(self.dir / "log", "ab") as log:
            self.started.append(subprocess.Popen(
                self.command, stdin=client, stdout=client, stderr=log,
                cwd=u.home, user=u.uid, group=u.gid, extra_groups=[],
                env={"LD_LIBRARY_PATH": self.libraries(),
                     "AUTHENTICATED": u.name, "AUTHADDR": u.name,
                     "TCPREMOTEIP": "127.0.0.1", "TCPREMOTEPORT": "1",
                     "HOME": str(u.home)}))
