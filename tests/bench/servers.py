"""servers.py - the servers that tests/bench/run measures: Culver, the sham
one, Dovecot and popa3d where they are installed.

Each has an address of its own on loopback and, where there is cgroup v2 and
it may be used, a cgroup of its own: what a server's processes cost is counted
there, of those that ended, too.  Elsewhere /proc says it, a little less
exactly.
"""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import peers
from culver import (PASSWORD, PORT, ROOT, TLS_PORT, Failure, Instance, Pop,
                    all_processes, alive, free_address, make_certificate, modules,
                    proc_stat, tempdir, until)

SECTIONS = {
    "maildir": 'storage maildir { path = "~/Maildir" }',
    "mbox": 'storage mbox { path = "~/mbox" }',
    "sqlite": 'storage sqlite { path = "~/mail.db" create = yes }',
}
TICK = os.sysconf("SC_CLK_TCK")


class Cgroup:
    """One of cgroup v2, or none."""

    def __init__(self, name):
        self.dir = None
        with open("/proc/mounts") as mounts:
            tops = [m.split()[1] for m in mounts if m.split()[2] == "cgroup2"]
        for top in tops if ROOT else ():
            path = Path(top, f"culver-bench-{os.getpid()}-{name}")
            with contextlib.suppress(OSError):
                path.mkdir()
                self.dir = path
                return

    def prefix(self):
        """What starts a command in it."""
        return () if self.dir is None else (
            "sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"',
            str(self.dir))

    def pids(self):
        text = (self.dir / "cgroup.procs").read_text()
        return [int(pid) for pid in text.split() if pid != "0"]

    def cpu(self):
        """Seconds."""
        for line in (self.dir / "cpu.stat").read_text().splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
        raise Failure(f"{self.dir}/cpu.stat has no usage_usec")

    def remove(self):
        if self.dir is not None:
            until("an empty cgroup", lambda: not self.pids())
            self.dir.rmdir()


class Server:
    """What they share.  Subclasses have start(boxes), end() and processes(),
    the pids by other means than the cgroup."""
    name = None
    storages = ("maildir",)
    keeps = None        # the only storage that it has, whatever others have
    inetd = False       # it is started for each connection
    real = True         # it has mailboxes
    one_user = True     # it is worth measuring where users do not matter
    copies = True       # it needs copies of the large mailboxes

    def __init__(self):
        self.address = free_address()
        self.cgroup = None
        self.files = None

    @contextlib.contextmanager
    def running(self, boxes, **kw):
        """With these users."""
        self.cgroup = Cgroup(self.name)
        self.files = Path(tempfile.mkdtemp(prefix="culver-bench-",
                                           dir=tempdir("culver-bench-")))
        os.chmod(self.files, 0o711)
        (self.files / "users").write_text(
            "".join(f"{box.name}:{PASSWORD}\n" for box in boxes))
        self.boxes, self.options = boxes, kw
        try:
            self.start(boxes, **kw)
            yield self
            self.end()
        except BaseException:
            with contextlib.suppress(Exception):
                self.kill()
            raise
        finally:
            shutil.rmtree(self.files, ignore_errors=True)
            self.cgroup.remove()

    def restart(self):
        self.end()
        self.start(self.boxes, **self.options)

    def only(self, number):
        """A file with only this one of its users."""
        path = self.files / f"user-{number}"
        path.write_text(f"{self.boxes[number].name}:{PASSWORD}\n")
        return path

    def start(self, boxes, **kw):
        raise NotImplementedError

    def end(self):
        raise NotImplementedError

    def processes(self):
        raise NotImplementedError

    def pids(self):
        return self.cgroup.pids() if self.cgroup.dir else \
            list(self.processes())

    def kill(self):
        for pid in self.pids():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    # --- what it costs -----------------------------------------------------

    def cpu(self):
        """Seconds of processor so far."""
        if self.cgroup.dir:
            return self.cgroup.cpu()
        stats = filter(None, map(proc_stat, self.processes()))
        return sum(sum(map(int, s[11:15])) for s in stats) / TICK

    def settled_cpu(self):
        """The same when it has nothing left to do."""
        before = self.cpu()
        for _ in range(20):
            time.sleep(0.1)
            now = self.cpu()
            if now - before < 0.001:
                break
            before = now
        return now

    def pss(self):
        """KiB."""
        total = 0
        for pid in self.pids():
            # it may have ended
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/{pid}/smaps_rollup") as f:
                    total += sum(int(line.split()[1]) for line in f
                                 if line.startswith("Pss:"))
        return total

    def greets(self):
        with contextlib.suppress(OSError, EOFError, Failure):
            with Pop(self.address, "plain", timeout=5) as plain, \
                    Pop(self.address, "tls", timeout=5) as tls:
                return plain.quit() and tls.quit()
        return False


class BenchInstance(Instance):
    """As the tests', with a configuration and users for measuring."""

    def conf_text(self):
        return f'''hostname = "localhost"
run_dir = "{self.dir}/run"
state_dir = "{self.dir}/state"
log = "{self.logfile}"
listen pop3 {{ address = {{"{self.address}:{PORT}"}} }}
listen pop3s {{ address = {{"{self.address}:{TLS_PORT}"}}  tls = implicit }}
tls {{
    certificate = "{self.cert}"
    key = "{self.key}"
}}
auth passwdfile {{ path = "{self.userfile}" }}
{self.parts["storage"]}
{self.parts["top"]}
limits {{
    connections = 30000
    connections_per_ip = 30000
    sessions = 15000
    login_time = "10m"
}}
'''

    def write_boxes(self, boxes):
        with open(self.userfile, "w") as f:
            for b in boxes:
                f.write(f"{b.name}:{{PLAIN}}{PASSWORD}:{b.uid}:{b.gid}::{b.home}::"
                        f"storage={b.storage}\n")


class Culver(Server):
    name = "culver"
    copies = False

    def __init__(self, tree):
        super().__init__()
        self.tree = tree
        self.instance = None
        there = {path.stem for path in modules(tree).glob("*.so")}
        self.storages = [kind for kind in SECTIONS
                         if not there or f"storage_{kind}" in there]

    def make(self, boxes, top=""):
        kinds = sorted({box.storage for box in boxes} or {"maildir"})
        self.instance = BenchInstance(
            self.tree, users=0, prefix="culver-bench-", top=top,
            storage="\n".join(SECTIONS[kind] for kind in kinds))
        self.instance.address = self.address
        self.instance.write_conf()
        self.instance.write_boxes(boxes)

    def start(self, boxes, more_users=0, top=""):
        """`more_users` have no mailbox: nobody logs in as one."""
        self.make(boxes, top)
        with open(self.instance.userfile, "a") as f:
            for i in range(more_users):
                f.write(f"x{i:07}:{{PLAIN}}{PASSWORD}:{300000 + i}:{300000 + i}::"
                        f"/nonexistent::\n")
        self.instance.start(prefix=self.cgroup.prefix())

    def end(self):
        self.instance.stop()
        self.instance.remove()

    def kill(self):
        if self.instance.proc is not None:
            super().kill()
            self.instance.wait_gone()
        told = [line for line in self.instance.log_text().splitlines()
                if " info login " not in line and
                " info session-end " not in line]
        print("\n".join(told[-20:]), file=sys.stderr)
        self.instance.remove()

    def processes(self):
        return self.instance.processes()

    def fill(self, box, maildir):
        """An importer for Mailboxes."""
        self.make([box])
        try:
            done = self.instance.ctl("mailbox", "import", box.name,
                                     str(maildir), timeout=7200)
            if done.returncode != 0:
                raise Failure(f"import: {done.stdout}{done.stderr}")
        finally:
            self.instance.remove()


class Spawned(Server):
    """One that is a command; ended by SIGTERM."""

    def spawn(self, argv):
        with open(self.files / "log", "ab") as log:
            self.proc = subprocess.Popen(
                [*self.cgroup.prefix(), *map(str, argv)], cwd="/",
                stdin=subprocess.PIPE, stdout=log, stderr=log,
                start_new_session=True)
        until(f"the greeting of {self.name}: {self.files}/log",
              self.ready)

    def ready(self):
        if self.proc.poll() is not None:
            raise Failure(f"{self.name} ended: " +
                          (self.files / "log").read_text(errors="replace"))
        return self.greets()

    def certificate(self):
        """A pair of files."""
        made = self.files / "cert.pem", self.files / "key.pem"
        make_certificate(*made)
        return made

    def processes(self):
        return [pid for pid, (_, session) in all_processes().items()
                if session == self.proc.pid]

    def end(self):
        self.proc.stdin.close()
        self.proc.terminate()
        self.proc.wait(20)
        until(f"the end of {self.name}", lambda: not any(
            map(alive, self.pids())))

    def kill(self):
        super().kill()
        self.proc.wait(20)


class Sham(Spawned):
    """`popload sham': what there is to compare with."""
    name = "sham"
    real = False
    storages = ("maildir", "mbox", "sqlite")

    def __init__(self, popload):
        super().__init__()
        self.popload = popload

    def start(self, boxes, **kw):
        cert, key = self.certificate()
        messages = max((box.messages for box in boxes), default=20)
        size = 35000 if len(boxes) == 1 else 14000
        self.spawn([self.popload, "sham", "-a", self.address, "-p", PORT,
                    "-e", TLS_PORT, "-c", cert, "-k", key,
                    "-n", messages, "-s", size])


DOVECOT = """protocols = pop3
listen = {address}
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
ssl = yes
ssl_cert = <{cert}
ssl_key = <{key}
disable_plaintext_auth = no
auth_mechanisms = plain
passdb {{
  driver = passwd-file
  args = {dir}/passwd
}}
userdb {{
  driver = passwd-file
  args = {dir}/passwd
}}
first_valid_uid = 1
mail_location = maildir:~/Maildir
pop3_no_flag_updates = yes
maildir_very_dirty_syncs = yes
stats_writer_socket_path =
protocol pop3 {{
  mail_max_userip_connections = 20000
}}
service pop3-login {{
  service_count = 0
  process_min_avail = 2
  process_limit = 2
  client_limit = 9000
  vsz_limit = 1G
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
}}
service anvil {{
  client_limit = 19000
}}
service auth {{
  client_limit = 19000
}}
service pop3 {{
  process_min_avail = 4
  process_limit = 6000
{pop3}
}}
"""


class Dovecot(Spawned):
    """Its high-performance login, and a process and a uid a session."""
    name = "dovecot-hp"
    pop3 = ""
    PROGRAM = "/usr/sbin/dovecot"

    def start(self, boxes, **kw):
        cert, key = self.certificate()
        (self.files / "state").mkdir(exist_ok=True)
        with open(self.files / "passwd", "w") as f:
            for box in boxes:
                f.write(f"{box.name}:{{PLAIN}}{PASSWORD}:{box.uid}:{box.gid}::"
                        f"{box.home}::\n")
        (self.files / "passwd").chmod(0o644)
        conf = self.files / "conf"
        conf.write_text(DOVECOT.format(
            address=self.address, dir=self.files, cert=cert, key=key,
            port=PORT, tls_port=TLS_PORT, pop3=self.pop3))
        self.spawn([self.PROGRAM, "-F", "-c", conf])


class DovecotVmail(Dovecot):
    """The same with one uid for all mail and processes used again: without
    any separation of users."""
    name = "dovecot-vmail"
    pop3 = "  service_count = 200"
    one_user = False    # the other one does the same then

    def start(self, boxes, **kw):
        one = boxes[0]
        for box in boxes:
            if (box.uid, box.gid) != (one.uid, one.gid):
                box.uid, box.gid = one.uid, one.gid
                subprocess.run(["chown", "-R", f"{one.uid}:{one.gid}",
                                str(box.home)], check=True)
        super().start(boxes, **kw)


class Popa3d(Server):
    """Its processes are started by a thread here, for each connection: only
    what takes much longer than that is worth measuring."""
    name = "popa3d"
    storages = ("maildir", "mbox")
    keeps = "mbox"
    inetd = True
    PROGRAM = "popa3d"

    def start(self, boxes, **kw):
        box, cgroup = boxes[0], self.cgroup
        spool = box.home / box.name
        if not spool.exists():
            os.link(box.path, spool)

        class InCgroup(peers.Popa3d):
            def argv(self):
                return [*cgroup.prefix(), *super().argv()]

        self.peer = InCgroup(SimpleNamespace(
            name=box.name, uid=box.uid, gid=box.gid, home=box.home,
            file=spool, instance=SimpleNamespace(dir=self.files)))
        self.peer.address = self.address
        self.peer.__enter__()

    def end(self):
        self.peer.__exit__()

    def processes(self):
        return [p.pid for p in self.peer.started if alive(p.pid)]


def installed(names, tree, popload):
    """The servers of these names that there are, Culver first."""
    made = [Culver(tree)]
    for name in names:
        if name == "sham":
            made.append(Sham(popload))
            continue
        kind = {"dovecot-hp": Dovecot, "dovecot-vmail": DovecotVmail,
                "popa3d": Popa3d}.get(name)
        if kind is None:
            sys.exit(f"{name}: no server that is known here")
        if ROOT and shutil.which(kind.PROGRAM):
            made.append(kind())
        else:
            print(f"NOT RUN {name}: not installed, or not root",
                  file=sys.stderr, flush=True)
    return made
