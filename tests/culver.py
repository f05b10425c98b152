"""culver.py - an instance of Culver for the black-box tests, and a client.

Instance makes a directory with a configuration, users and mailboxes, runs
culverd of an installed tree in it and stops it again; it knows the daemon by
its files, its sockets and /proc only.  As root every role and every user has
a number that no account has; otherwise all are the caller.  Nothing here
waits for a fixed time: until() polls for a condition up to a deadline.
"""
import base64
import contextlib
import ctypes
import ctypes.util
import glob
import json
import os
import pwd
import random
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = os.geteuid() == 0
ROLE_IDS = {"gate": 60001, "auth": 60002, "config": 60003, "log": 60004}
PORT, TLS_PORT = 3110, 3995
PASSWORD = "geheim"
STORAGE = {            # the sections that --culver-storage chooses from
    "maildir": 'storage maildir { path = "~/Maildir" }',
    "mbox": 'storage mbox { path = "~/mbox" create = yes }',
    "sqlite": 'storage sqlite { path = "~/mail/mail.db" create = yes }',
}
PATIENCE = 20.0        # seconds until something that must happen has failed
SANITIZED = False      # conftest.py knows from the build

_crypt = ctypes.CDLL(ctypes.util.find_library("crypt"))
_crypt.crypt.restype = ctypes.c_char_p
_crypt.crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)


class Failure(AssertionError):
    """The daemon did not do what it must."""


def slow_down(factor):
    """Of a build with sanitizers: all takes so much longer."""
    global PATIENCE, SANITIZED
    PATIENCE *= factor
    SANITIZED = True


def until(what, condition, patience=None, pause=0.01):
    """The first true value of condition(); a Failure after `patience`."""
    patience = patience or PATIENCE
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"not within {patience:g} s: {what}")
        time.sleep(pause)


def crypt(password, salt="$6$rounds=1000$abcdefgh"):
    """A crypt(3) hash, by default the cheapest that is not refused."""
    return _crypt.crypt(password.encode(), salt.encode()).decode()


def free_uids(first, n):
    """n numbers from `first` on that no account has."""
    uids = []
    while len(uids) < n:
        try:
            pwd.getpwuid(first)
        except KeyError:
            uids.append(first)
        first += 1
    return uids


def worker_number():
    """The number of this xdist worker; 0 without xdist."""
    return int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "0"))
               or 0)


_addresses = random.Random(os.getpid())


def free_address():
    """A loopback address on which nobody listens at our ports."""
    while True:
        r = _addresses.randrange
        address = f"127.{r(10, 250)}.{r(1, 250)}.{r(2, 250)}"
        try:
            for port in (PORT, TLS_PORT):
                with socket.socket() as s:
                    s.bind((address, port))
            return address
        except OSError:
            continue


def make_certificate(cert, key, names=("localhost",), days=30, algo="ec"):
    """A self-signed pair; as files that only the caller reads."""
    algos = {"ec": ["-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1"],
             "rsa": ["-newkey", "rsa:2048"]}
    san = ",".join(("IP:" if re.fullmatch(r"[\d.]+", n) else "DNS:") + n
                   for n in names)
    cmd = ["openssl", "req", "-x509", "-nodes", *algos[algo], "-keyout",
           str(key), "-out", str(cert), "-subj", f"/CN={names[0]}",
           "-addext", f"subjectAltName={san}", "-days", str(days)]
    subprocess.run(cmd, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.chmod(key, 0o600)


def make_expired_certificate(cert, key):
    """A pair that was good in January 2020."""
    with tempfile.TemporaryDirectory() as d:
        conf = Path(d, "ca.conf")
        conf.write_text(f"""[ca]
default_ca = x
[x]
dir = {d}
database = {d}/index
new_certs_dir = {d}
serial = {d}/serial
default_md = sha256
policy = p
[p]
commonName = supplied
""")
        Path(d, "index").touch()
        Path(d, "serial").write_text("01\n")
        quiet = dict(check=True, stdin=subprocess.DEVNULL,
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run(["openssl", "req", "-new", "-nodes", "-newkey", "ec",
                        "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-keyout", str(key), "-out", f"{d}/csr", "-subj",
                        "/CN=localhost"], **quiet)
        subprocess.run(["openssl", "ca", "-batch", "-notext", "-selfsign",
                        "-config", str(conf), "-keyfile", str(key), "-in",
                        f"{d}/csr", "-out", str(cert), "-startdate",
                        "20200101000000Z", "-enddate", "20200201000000Z"],
                       **quiet)
    os.chmod(key, 0o600)


# --- processes, by /proc -----------------------------------------------------

def proc_stat(pid):
    """The fields of /proc/PID/stat from the state on, or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rsplit(b")", 1)[1].split()
    except OSError:
        return None


def alive(pid):
    stat = proc_stat(pid)
    return stat is not None and stat[0] not in (b"Z", b"X")


def all_processes():
    """pid -> (parent, session) of every living process."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = proc_stat(name)
            if stat is not None and stat[0] not in (b"Z", b"X"):
                found[int(name)] = (int(stat[1]), int(stat[3]))
    return found


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().rstrip(b"\0").decode("latin-1").split("\0")
    except OSError:
        return []


def proc_status(pid):
    """/proc/PID/status as a dictionary; {} if it is gone."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return dict(line.rstrip("\n").split(":\t", 1)
                        for line in f if ":\t" in line)
    except OSError:
        return {}


def halt(pids):
    """SIGSTOP; when this returns, no thread of theirs runs."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)

    def still(thread):
        try:
            return thread.read_bytes().rsplit(b")", 1)[1].split()[0] in b"TZX"
        except OSError:
            return True
    until("all threads to stand still", lambda: all(
        still(thread) for pid in pids
        for thread in Path("/proc", str(pid), "task").glob("*/stat")))


def locks_below(directory):
    """Locks of /proc/locks on files below `directory`."""
    inodes = {}
    for top, _, files in os.walk(directory):
        for name in files:
            with contextlib.suppress(OSError):
                inodes[os.lstat(os.path.join(top, name)).st_ino] = \
                    os.path.join(top, name)
    held = []
    with open("/proc/locks") as f:
        for line in f:
            m = re.search(r" [0-9a-f]+:[0-9a-f]+:(\d+) ", line)
            if m and int(m.group(1)) in inodes:
                held.append((inodes[int(m.group(1))], line.strip()))
    return held


def own_mounts():
    """What starts a command in a mount namespace of its own.  In a chroot
    whose root is no mount the propagation can only stay what it is."""
    private = ("unshare", "-m", "--propagation", "private")
    tried = subprocess.run([*private, "true"], stderr=subprocess.DEVNULL)
    return private if tried.returncode == 0 else \
        ("unshare", "-m", "--propagation", "unchanged")


class Background:
    """As much of Popen as is needed for a process that is no child."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None and not alive(self.pid):
            self.returncode = 0     # nobody can know
        return self.returncode

    def send_signal(self, sig):
        os.kill(self.pid, sig)

    def wait(self, timeout=None):
        until("the end of the process", lambda: not alive(self.pid), timeout)
        return self.poll()


class ServiceManager:
    """What culverd tells a service manager, if it gets `env`."""

    def __init__(self, instance):
        path = str(instance.dir / "notify")
        self.env = {**os.environ, "NOTIFY_SOCKET": path}
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        os.chmod(path, 0o666)
        self.sock.settimeout(PATIENCE)

    def next(self, *ignored):
        """The first line of what comes; the others are `more`."""
        while True:
            text, *self.more = self.sock.recv(4096).decode().split("\n")
            if text not in ignored:
                return text

    def forget(self):
        """What has been told until now."""
        while select.select([self.sock], [], [], 0)[0]:
            self.sock.recv(4096)


# --- users and mailboxes -----------------------------------------------------

class User:
    """A user of an instance: its account and its Maildir."""

    def __init__(self, name, uid, gid, home, password=PASSWORD):
        self.name, self.password = name, password
        self.uid, self.gid = uid, gid
        self.home = Path(home)
        self.maildir = self.home / "Maildir"
        self.fields = ""        # further ones of the passwd file
        self._count = 0

    def own(self, path):
        if ROOT:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def make(self):
        for path in (self.home, self.maildir, *(self.maildir / d for d in
                                                ("tmp", "new", "cur"))):
            path.mkdir(mode=0o700, exist_ok=True)
            self.own(path)

    def empty(self):
        """Start again with an empty mailbox, indexes and all."""
        # a worker whose client has left may be writing its cache still
        until("an empty mailbox", lambda: not self.maildir.exists() or
              shutil.rmtree(self.maildir, ignore_errors=True))
        self._count = 0
        self.make()

    def next_name(self):
        self._count += 1
        return f"{1700000000 + self._count}.M{self._count}P{os.getpid()}" \
               f".test"

    def deliver(self, message, name=None, sub="new"):
        """What a delivery agent does: tmp, link into new; the base name."""
        name = name or self.next_name()
        tmp = self.maildir / "tmp" / name.split(":")[0]
        with open(tmp, "wb") as f:
            f.write(message)
        self.own(tmp)
        os.link(tmp, self.maildir / sub / name)
        os.unlink(tmp)
        return name.split(":")[0]

    def deliver_all(self, messages):
        """The base names, which are the UIDLs."""
        return [self.deliver(m) for m in messages]

    def files(self):
        """Base name -> path of every message that is there."""
        return {p.name.split(":")[0]: p
                for d in ("new", "cur") for p in (self.maildir / d).iterdir()}

    def contents(self):
        return {name: p.read_bytes() for name, p in self.files().items()}


class ToolUser(User):
    """A user whose mailbox is not a Maildir: mail gets in and is looked at
    by `culverctl mailbox`, so by the storage plugin's own delivery."""

    def __init__(self, *args, **kw):
        super().__init__(*args, **kw)
        self.maildir = self.home / \
            ("mbox" if Instance.kind == "mbox" else "mail")

    def make(self):
        self.home.mkdir(mode=0o700, exist_ok=True)
        self.own(self.home)
        (self.home / "mail").mkdir(mode=0o700, exist_ok=True)
        self.own(self.home / "mail")

    def empty(self):
        until("an empty home", lambda: not self.home.exists() or
              shutil.rmtree(self.home, ignore_errors=True))
        self.make()

    def mailbox(self, *args):
        done = self.instance.ctl("--json", "mailbox", args[0], self.name,
                                 *args[1:])
        if done.returncode != 0:
            raise Failure(f"mailbox {args}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def uidls(self):
        return [m["uidl"] for m in self.mailbox("list")]

    def deliver(self, message):
        return self.deliver_all([message])[0]

    def deliver_all(self, messages):
        """The UIDLs that they got."""
        before = set(self.uidls())
        with tempfile.TemporaryDirectory() as d:
            for i, message in enumerate(messages):
                Path(d, f"{i:08}.eml").write_bytes(message)
            self.mailbox("import", d)
        return [u for u in self.uidls() if u not in before]

    def contents(self):
        """UIDL -> the message, its lines ended by LF as in a Maildir."""
        uidls = self.uidls()
        with tempfile.TemporaryDirectory() as d:
            self.mailbox("export", d)
            return {u: Path(d, f"{i:04}.eml").read_bytes()
                    .replace(b"\r\n", b"\n")
                    for i, u in enumerate(uidls, 1)}


# --- the daemon --------------------------------------------------------------

class Instance:
    """culverd in a directory of its own.

    `limits`, `top`, `listen`, `tls`, `auth`, `storage` are text for the
    named part of the configuration; `extra` is appended.  A `{address}` in
    them is replaced, as is {dir}.  What test users have for a mailbox, unless `storage`
    says more, is `kind`.
    """
    kind = "maildir"

    def __init__(self, tree, users=3, limits="", top="", listen="", extra="",
                 tls="", auth="", storage=None, prefix="culver-test-",
                 same_uid=False):
        self.tree = Path(tree)
        self.dir = Path(tempfile.mkdtemp(prefix=prefix,
                                         dir=tempdir(prefix)))
        os.chmod(self.dir, 0o711)
        self.address = free_address()
        self.proc = None
        self.seen = set()
        self.cert = self.dir / "tls" / "cert.pem"
        self.key = self.dir / "tls" / "key.pem"
        self.userfile = self.dir / "users"
        self.conf = self.dir / "culver.conf"
        self.logfile = self.dir / "log" / "culver.log"
        self.errfile = self.dir / "stderr"
        self.parts = dict(limits=limits, top=top, listen=listen, extra=extra,
                          tls=tls, auth=auth, storage=storage)
        self.users = []
        self._make_dirs()
        make_certificate(self.cert, self.key, ("localhost", self.address))
        self.add_users(users, same_uid)
        self.write_conf()

    def _make_dirs(self):
        for name, mode in (("home", 0o711), ("tls", 0o700), ("log", 0o755),
                           ("run", 0o755), ("state", 0o755)):
            (self.dir / name).mkdir()
            os.chmod(self.dir / name, mode)

    def add_users(self, n, same_uid=False):
        first = 61000 + 1100 * (worker_number() % 3)
        have = len(self.users)
        if ROOT:
            uids = free_uids(first, 1) * n if same_uid \
                else free_uids(first + have, n)
        else:
            uids = [os.getuid()] * n
        for i, uid in enumerate(uids, have + 1):
            gid = uid if ROOT else os.getgid()
            make = User if self.kind == "maildir" else ToolUser
            user = make(f"user{i}", uid, gid, self.dir / "home" / f"user{i}")
            user.instance = self
            user.make()
            self.users.append(user)
        self.write_users()

    def write_users(self, hashes=None, extra=""):
        """The passwd file, readable by the auth role; `hashes` by name."""
        same = crypt(PASSWORD)
        lines = []
        for u in self.users:
            h = (hashes or {}).get(u.name) or "{SHA512-CRYPT}" + (
                same if u.password == PASSWORD else crypt(u.password))
            lines.append(f"{u.name}:{h}:{u.uid}:{u.gid}::{u.home}::"
                         f"{u.fields}\n")
        new = self.dir / "users.new"
        with open(new, "w", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write("".join(lines) + extra)
        if ROOT:
            os.chown(new, ROLE_IDS["auth"], ROLE_IDS["auth"])
        os.rename(new, self.userfile)

    def conf_text(self):
        p = {k: (v or "").replace("{address}", self.address)
             .replace("{dir}", str(self.dir)) for k, v in self.parts.items()}
        storage = p["storage"] or STORAGE[self.kind]
        return f'''hostname = "localhost"
run_dir = "{self.dir}/run"
state_dir = "{self.dir}/state"
log = "{self.logfile}"
{p["top"]}
listen pop3 {{ address = {{"{self.address}:{PORT}"}} }}
listen pop3s {{ address = {{"{self.address}:{TLS_PORT}"}}  tls = implicit }}
{p["listen"]}
tls {{
    certificate = "{self.cert}"
    key = "{self.key}"
    {p["tls"]}
}}
auth passwdfile {{ path = "{self.userfile}" {p["auth"]} }}
{storage}
limits {{
    connections_per_ip = 20000
    failure_delay = "10ms"
    failure_delay_max = "10ms"
    {p["limits"]}
}}
{p["extra"]}
'''

    def write_conf(self, text=None):
        self.conf.write_text(self.conf_text() if text is None else text)
        os.chmod(self.conf, 0o600)

    # --- running -----------------------------------------------------------

    def start_in_background(self, prefix=()):
        """Without -F: it logs where `log` says; its pid is in run_dir."""
        subprocess.run([*prefix, *self.argv()], check=True, timeout=20,
                       cwd="/",
                       stdin=subprocess.DEVNULL)
        pid = until("the pid file", lambda: (
            (self.dir / "run/pid").exists() and
            (self.dir / "run/pid").read_text().strip()))
        self.proc = Background(int(pid))
        self.wait_ready()
        return self

    def program(self, name):
        return str(self.tree / "usr/local/sbin" / name)

    def belong_to(self, uid):
        """From now on all of it is that user's, as if culverd had never been
        root's; what starts a command so."""
        for top, _, files in os.walk(self.dir):
            for name in (top, *(os.path.join(top, f) for f in files)):
                os.chown(name, uid, uid)
        self.ids = lambda: []
        return ("setpriv", f"--reuid={uid}", f"--regid={uid}",
                "--clear-groups")

    @staticmethod
    def ids():
        return [x for role, number in ROLE_IDS.items() if ROOT
                for x in ("-u", f"{role}={number}")]

    def argv(self, *args):
        return [self.program("culverd"), "-c", str(self.conf), *args,
                *self.ids()]

    def run(self, *args, timeout=None):
        """culverd with ARGS to its end, e.g. run("-t")."""
        return subprocess.run(self.argv(*args), capture_output=True,
                              text=True, timeout=timeout or 3 * PATIENCE,
                              errors="replace", stdin=subprocess.DEVNULL)

    def ctl(self, *args, timeout=None, **kw):
        return subprocess.run([self.program("culverctl"), "-c",
                               str(self.conf), *self.ids(), *args],
                              capture_output=True, text=True,
                              timeout=timeout or 3 * PATIENCE, **kw)

    def start(self, wait=True, prefix=(), flags=("-F",), **kw):
        """In the foreground; `kw` is Popen's."""
        assert self.proc is None
        with open(self.errfile, "ab") as err:
            self.proc = subprocess.Popen(
                [*prefix, *self.argv(*flags)], stdin=subprocess.DEVNULL,
                stdout=err, stderr=err, start_new_session=True,
                cwd="/", umask=0o022, **kw)
        if wait:
            self.wait_ready()
        return self

    @property
    def pid(self):
        return self.proc.pid

    def greets(self, tls=False):
        try:
            with self.connect("tls" if tls else "plain", timeout=5) as pop:
                pop.send("QUIT\r\n")
                return pop.greeting.startswith(b"+OK")
        except (OSError, EOFError):
            return False

    def wait_ready(self):
        def ready():
            if self.proc.poll() is not None:
                raise Failure(f"culverd ended with {self.proc.returncode}:\n"
                              + self.log_text())
            return self.greets() and self.greets(tls=True)
        try:
            until("a greeting", ready)
        except Failure as e:
            raise Failure(f"{e}\n{self.log_text()}") from None
        self.processes()

    def processes(self):
        """Living processes of this instance: children and the orphaned."""
        table = all_processes()
        mine = set()
        if self.proc is not None:
            mine = {p for p, (_, session) in table.items()
                    if session == self.proc.pid}
            grew = True
            mine |= {self.proc.pid} & set(table)
            while grew:
                more = {p for p, (parent, _) in table.items()
                        if parent in mine} - mine
                mine |= more
                grew = bool(more)
        self.seen |= mine
        return mine

    def roles(self):
        """Role -> sorted pids; workers are forked, so named by the rest."""
        found = {"master": [self.pid] if alive(self.pid) else []}
        for pid in sorted(self.processes() - {self.pid}):
            argv = cmdline(pid)
            name = os.path.basename(argv[0]) if argv else ""
            name = name.split(":")[0]
            if name not in ("config", "gate", "auth", "pool", "certcheck",
                            "log", "manager", "lmtp", "metrics"):
                name = "worker"
            found.setdefault(name, []).append(pid)
        return found

    def role(self, name):
        return self.roles().get(name, [])

    def reload(self):
        """SIGHUP, and wait for the new generation of gates to be all."""
        result = self.ctl("reload")
        if result.returncode != 0:
            raise Failure(f"reload: {result.stdout}{result.stderr}")
        return result

    def stop(self, patience=None, sig=signal.SIGTERM):
        """A clean stop; what it leaves behind is a Failure."""
        if self.proc is None:
            return
        self.processes()
        if self.proc.poll() is None:
            self.proc.send_signal(sig)
        try:
            status = self.proc.wait(patience or PATIENCE)
        except subprocess.TimeoutExpired:
            self.destroy_processes()
            raise Failure("culverd did not end after SIGTERM\n"
                          + self.log_text()) from None
        left = self.wait_gone()
        self.proc = None
        if left:
            raise Failure(f"processes left behind: {left}")
        held = locks_below(self.dir)
        if held:
            raise Failure(f"locks left behind: {held}")
        if sig == signal.SIGTERM and status not in (0, -signal.SIGTERM):
            raise Failure(f"culverd ended with {status}\n{self.log_text()}")

    def wait_gone(self, patience=10.0):
        """Until no process of it lives; what was left, which is killed."""
        try:
            until("the end of all processes", lambda: not self.processes(),
                  patience)
            return []
        except Failure:
            left = [(p, cmdline(p)) for p in self.processes()]
            self.destroy_processes()
            return left

    def destroy_processes(self):
        for pid in self.processes():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.proc.wait(5)

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            if self.proc is not None:
                self.destroy_processes()
            raise

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.stop()
            elif self.proc is not None:
                with contextlib.suppress(Failure):
                    self.stop(patience=5)
        finally:
            if kind is None and not os.environ.get("CULVER_KEEP"):
                self.remove()

    # --- the log -----------------------------------------------------------

    def log_text(self):
        text = ""
        for path in (self.errfile, self.logfile):
            with contextlib.suppress(OSError):
                text += path.read_text(errors="replace")
        return text

    def log_lines(self, *words):
        """Lines that hold every one of WORDS."""
        return [line for line in self.log_text().splitlines()
                if all(w in line for w in words)]

    def wait_log(self, *words, n=1, patience=None):
        return until(f"{n} log line(s) with {words}; the log:\n"
                     + self.log_text()[-3000:],
                     lambda: (lambda found: len(found) >= n and found)(
                         self.log_lines(*words)), patience)

    # --- clients -----------------------------------------------------------

    def connect(self, mode="plain", **kw):
        return Pop(self.address, mode, **kw)

    def login(self, user=None, mode="plain", **kw):
        """A session in the TRANSACTION state; waits for another's lock."""
        user = user or self.users[0]

        def attempt():
            pop = self.connect(mode, **kw)
            reply = pop.login(user.name, user.password)
            if reply.startswith(b"+OK"):
                return pop
            pop.close()
            if b"[IN-USE]" not in reply:
                raise Failure(f"login of {user.name}: {reply!r}\n"
                              + self.log_text()[-3000:])
            return None
        return until(f"the lock of {user.name}", attempt)


def tempdir(prefix):
    """Where others may search: roles without root load files from there."""
    for d in (os.environ.get("TMPDIR"), "/var/tmp", "/tmp"):
        if not d:
            continue
        path = os.path.realpath(d)
        while os.stat(path).st_mode & 0o001 and path != "/":
            path = os.path.dirname(path)
        if path == "/" and os.access(d, os.W_OK):
            return d
    raise RuntimeError(f"no directory for {prefix} that others can search")


def tls_context(cafile=None):
    """A client's; verifies if CAFILE is given.  Not that of the ssl module's
    create_default_context(), which loads the system's CAs each time."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if cafile is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_verify_locations(cafile)
    return context


# --- a client ----------------------------------------------------------------

def unstuff(body):
    """The inner lines of a multi-line reply, RFC 1939 section 3."""
    if body.startswith(b"."):
        body = body[1:]
    return body.replace(b"\r\n.", b"\r\n")


class Pop:
    """A client that shows every octet; EOFError if the server closes."""

    def __init__(self, address, mode="plain", timeout=None, source=None,
                 port=None, server_name="localhost", cafile=None,
                 greet=True, context=None):
        self.address, self.mode = address, mode
        self.server_name, self.context = server_name, context
        self.buf = bytearray()      # grows in place: 50 MB come in 16 KiB
        port = port or (TLS_PORT if mode == "tls" else PORT)
        self.sock = socket.create_connection(
            (address, port), timeout or PATIENCE,
            source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if mode == "tls":
                self.start_tls(cafile)
            self.greeting = self.line() if greet else None
            if mode == "stls":
                reply = self.cmd("STLS")
                if not reply.startswith(b"+OK"):
                    raise Failure(f"STLS: {reply!r}")
                self.start_tls(cafile)
        except BaseException:
            self.close()
            raise

    def start_tls(self, cafile=None):
        context = self.context or tls_context(cafile)
        self.sock = context.wrap_socket(self.sock,
                                        server_hostname=self.server_name)

    # --- octets ------------------------------------------------------------

    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        self.sock.sendall(data)

    def fill(self):
        try:
            got = self.sock.recv(262144)
        except ConnectionResetError:
            got = b""
        except ssl.SSLError as e:
            if e.reason and "EOF" in e.reason:
                got = b""
            else:
                raise
        if not got:
            raise EOFError("the server closed the connection")
        self.buf += got

    def take(self, n):
        """The first N octets of what has come."""
        taken = bytes(self.buf[:n])
        del self.buf[:n]
        return taken

    def line(self):
        """One line with its CRLF taken off; a bare LF is a Failure."""
        while b"\n" not in self.buf:
            self.fill()
        line = self.take(self.buf.index(b"\n") + 1)[:-1]
        if not line.endswith(b"\r"):
            raise Failure(f"a reply line without CR: {line!r}")
        return line[:-1]

    def body(self):
        """The octets of a multi-line reply up to the final dot, stuffed."""
        at = 0
        while True:
            if self.buf.startswith(b".\r\n"):
                self.take(3)
                return b""
            end = self.buf.find(b"\r\n.\r\n", max(0, at - 5))
            if end >= 0:
                return self.take(end + 5)[:-3]
            at = len(self.buf)
            self.fill()

    def eof(self):
        """Wait for the end of the connection; what came before it."""
        with contextlib.suppress(EOFError):
            while True:
                self.fill()
        return self.take(len(self.buf))

    # --- commands ----------------------------------------------------------

    def cmd(self, line):
        if isinstance(line, str):
            line = line.encode("latin-1")
        self.send(line + b"\r\n")
        return self.line()

    def ok(self, line):
        reply = self.cmd(line)
        if not reply.startswith(b"+OK"):
            raise Failure(f"{line!r}: {reply!r}")
        return reply

    def multi(self, line):
        """The unstuffed body of a multi-line reply that must be +OK."""
        self.ok(line)
        return unstuff(self.body())

    def table(self, line):
        """LIST or UIDL: message number -> the second word."""
        rows = self.multi(line).split(b"\r\n")[:-1]
        return {int(a): b.decode() for a, b in
                (row.split(b" ", 1) for row in rows)}

    def sizes(self):
        return {n: int(size) for n, size in self.table("LIST").items()}

    def uidls(self):
        return self.table("UIDL")

    def stat(self):
        _, n, octets = self.ok("STAT").split(b" ")[:3]
        return int(n), int(octets)

    def capabilities(self):
        return self.multi("CAPA").decode().split("\r\n")[:-1]

    def ended(self, reply):
        """REPLY to a login; after QUIT if it was good, for the next one may
        find the mailbox in use otherwise."""
        if reply.startswith(b"+OK"):
            self.quit()
        return reply

    def login(self, user, password=PASSWORD):
        reply = self.cmd(f"USER {user}")
        if reply.startswith(b"+OK"):
            reply = self.cmd(f"PASS {password}")
        return reply

    def auth_plain(self, user, password=PASSWORD, zid=""):
        return self.cmd("AUTH PLAIN " + b64(f"{zid}\0{user}\0{password}"))

    def quit(self):
        """QUIT, its reply, and the end of the connection."""
        reply = self.cmd("QUIT")
        rest = self.eof()
        self.close()
        if rest:
            raise Failure(f"after the reply to QUIT: {rest!r}")
        return reply

    def close(self):
        self.sock.close()

    def reset(self):
        """End the connection with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def b64(text):
    if isinstance(text, str):
        text = text.encode()
    return base64.b64encode(text).decode()


def numbered(n, size=300, tag="n"):
    """A message that says which one it is, in its head and on each line."""
    line = f"{tag}-{n:06d} line %d\n"
    body = "".join(line % i for i in range(size // len(line) + 1))
    return (f"Subject: {tag}-{n:06d}\nFrom: a@example.org\n"
            f"Message-ID: <{tag}-{n}@example.org>\n\n{body}").encode()


def wire(message):
    """What RETR sends, unstuffed: line ends as CRLF, the last one added."""
    out = re.sub(rb"\r?\n", b"\r\n", message)
    if out and not out.endswith(b"\r\n"):
        out += b"\r\n"
    return out


def modules(tree):
    """The directory of an installed tree that holds the plugins."""
    found = glob.glob(str(tree) + "/usr/local/lib/**/culver/*/",
                      recursive=True)
    return Path(found[0])
