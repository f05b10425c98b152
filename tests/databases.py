"""databases.py - databases that hold an instance's users: SQLite, and real
PostgreSQL and MariaDB servers that the test starts.

A server has a directory, a loopback address and a certificate of its own, and
is ended by the pids of its processes.  All have the same table of users, with
which `section()` makes an auth section for culver.conf.
"""
import contextlib
import glob
import os
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from culver import (PATIENCE, ROLE_IDS, ROOT, all_processes, crypt,
                    free_address, halt, make_certificate, tempdir, until)

COLUMNS = ("name", "password", "uid", "gid", "home", "mail", "quota",
           "nologin", "nets", "canonical")
SELECT = ("SELECT password, uid AS userdb_uid, gid AS userdb_gid,"
          " home AS userdb_home, mail AS userdb_mail,"
          " quota AS userdb_quota_rule, nologin, nets AS allow_nets,"
          " canonical AS user FROM users")
QUERY = SELECT + " WHERE name = %{user} AND %{service} <> 'imap'"
SECRET = "se'cret"


def row(user):
    """The columns of a user; attributes of their names replace them."""
    usual = dict(name=user.name, uid=user.uid, gid=user.gid,
                 home=str(user.home) or None,
                 password="{SHA512-CRYPT}" + crypt(user.password))
    return [getattr(user, c, None) if c not in usual else usual[c]
            for c in COLUMNS]


def quoted(text):
    """A string of culver.conf."""
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def use(instance, *sections):
    """Put these auth sections into its configuration, in this order;
    "passwdfile" stands for the one that it has."""
    lines = []
    for line in instance.conf_text().splitlines():
        if line.startswith("auth "):
            lines += [line if s == "passwdfile" else s for s in sections]
        else:
            lines.append(line)
    instance.write_conf("\n".join(lines) + "\n")


def login_works(instance, user, password=None):
    with instance.connect() as pop:
        return pop.ended(pop.login(user.name, password or user.password)) \
            .startswith(b"+OK")


def section_text(name, options, more):
    return (f"auth {name} {{ plugin = sql  allow = {{net}}\n" +
            "".join(f" {k} = {v}\n" for k, v in options.items()) +
            f" {more} }}")


class Sqlite:
    """A database of an instance's users, in a folder of its own."""
    driver = "sqlite"

    def __init__(self):
        self.top = Path(tempfile.mkdtemp(prefix="culver-db-",
                                         dir=tempdir("")))
        os.chmod(self.top, 0o755)
        self.path = self.top / "users.db"

    def fill(self, users):
        """Replace the database, by a rename as administrators do."""
        new = self.path.with_suffix(".new")
        with contextlib.closing(sqlite3.connect(new)) as db, db:
            db.execute("CREATE TABLE users(name TEXT PRIMARY KEY, password"
                       " TEXT, uid INT, gid INT, home TEXT, mail TEXT,"
                       " quota TEXT, nologin TEXT, nets TEXT,"
                       " canonical TEXT)")
            db.executemany("INSERT INTO users VALUES(?,?,?,?,?,?,?,?,?,?)",
                           [row(u) for u in users])
        os.chmod(new, 0o640)
        if ROOT:
            os.chown(new, 0, ROLE_IDS["auth"])
        os.rename(new, self.path)

    def sql(self, text):
        with contextlib.closing(sqlite3.connect(self.path)) as db, db:
            return "".join("|".join(map(str, r)) + "\n"
                           for r in db.execute(text))

    def section(self, more="", query=QUERY, name="sql"):
        options = dict(driver="sqlite", path=quoted(self.path))
        if query:
            options["password_query"] = quoted(query)
        return section_text(name, options, more)

    def log_statements(self):
        pass

    def statements(self):
        """SQLite keeps no log of them."""
        return []

    def pids(self):
        """None: it runs in the pool processes."""
        return set()

    def revive(self):
        pass

    def close(self):
        shutil.rmtree(self.top, ignore_errors=True)


class Server:
    """What PostgreSQL and MariaDB share."""
    driver = account = port = None
    memory = "16M"      # that it may keep pages in

    def __init__(self):
        self.proc = None
        self.top = Path(tempfile.mkdtemp(prefix="culver-db-",
                                         dir=tempdir("")))
        os.chmod(self.top, 0o755)
        self.address, self.alias = free_address(), free_address()
        self.who = {}
        if ROOT:
            user = pwd.getpwnam(self.account)
            self.who = dict(user=user.pw_uid, group=user.pw_gid,
                            extra_groups=[])
        self.give(self.top)
        self.ca = self.top / "cert"
        make_certificate(self.ca, self.top / "key", (self.address,))
        make_certificate(self.top / "other", self.top / "other-key",
                         (self.address,))
        for name in ("cert", "key"):
            self.give(self.top / name)
        os.chmod(self.top / "other", 0o644)
        os.chmod(self.ca, 0o644)
        try:
            self.install()
            self.start()
            self.create()
        except BaseException:
            self.close()
            raise

    def give(self, path):
        if ROOT:
            os.chown(path, self.who["user"], self.who["group"])

    def run(self, *argv, timeout=180, **kw):
        done = subprocess.run([*map(str, argv)], capture_output=True,
                              text=True, timeout=timeout, cwd="/", **self.who,
                              **kw)
        if done.returncode != 0:
            raise RuntimeError(f"{argv}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self):
        with open(self.top / "log", "ab") as log:
            self.proc = subprocess.Popen(
                [*map(str, self.argv())], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd="/", **self.who)
        until(f"{self.driver} to answer", self.answers, pause=0.1,
              patience=3 * PATIENCE)

    def answers(self):
        if self.proc.poll() is not None:
            raise RuntimeError(f"{self.driver} ended:\n" +
                               (self.top / "log").read_text("replace"))
        return subprocess.run([*map(str, self.ping())], timeout=60,
                              capture_output=True).returncode == 0

    def pids(self):
        """The server's and those of the processes that it started."""
        mine, table = {self.proc.pid}, all_processes()
        while more := {p for p, (parent, _) in table.items()
                       if parent in mine} - mine:
            mine |= more
        return mine

    def signal(self, sig):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sig)

    def kill(self):
        """As a power cut does."""
        if self.proc is None:
            return
        pids = self.pids()
        self.signal(signal.SIGKILL)
        self.proc.wait(60)
        self.proc = None
        until("the end of a killed database",
              lambda: not pids & set(all_processes()))

    def pause(self):
        halt(self.pids())

    def resume(self):
        self.signal(signal.SIGCONT)

    def revive(self):
        """Whatever a test did to it."""
        if self.proc is None:
            self.start()
        else:
            self.resume()

    def close(self):
        self.kill()
        shutil.rmtree(self.top, ignore_errors=True)

    @contextlib.contextmanager
    def holding(self):
        """Meanwhile whoever asks with HELD waits."""
        client = subprocess.Popen(
            [*map(str, self.shell())], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, cwd="/", **self.who)
        with client:
            client.stdin.write(self.HOLD)
            client.stdin.flush()
            assert client.stdout.readline() == "held\n"
            yield       # it ends with its input, and the lock with it

    def literal(self, value):
        if value is None:
            return "NULL"
        return "'" + str(value).replace("'", "''") + "'"

    def fill(self, users):
        rows = ",".join("(" + ",".join(map(self.literal, row(u))) + ")"
                        for u in users)
        self.sql("DELETE FROM users;" + (
            f"INSERT INTO users VALUES {rows};" if users else ""))

    def section(self, more="", query=QUERY, hosts=None, name="sql"):
        options = dict(driver=self.driver, database='"mail"', user='"mail"',
                       password=quoted(SECRET), host="{" + ", ".join(
                           map(quoted, hosts or [self.socket])) + "}")
        if query:
            options["password_query"] = quoted(query)
        return section_text(name, options, more)


class Postgres(Server):
    driver, account, port = "pgsql", "postgres", 5432
    BIN = (sorted(glob.glob("/usr/lib/postgresql/*/bin")) or ["/usr/bin"])[-1]

    @property
    def socket(self):
        return self.top

    def install(self):
        secret = self.top / "pw"
        secret.write_text("admin\n")
        self.give(secret)
        self.run(f"{self.BIN}/initdb", "-D", self.top / "data", "-U", "admin",
                 "-N", "-E", "UTF8", "--locale=C", "-A", "scram-sha-256",
                 "--auth-local=trust", "--pwfile", secret)

    def argv(self):
        options = dict(listen_addresses=f"{self.address},{self.alias}",
                       unix_socket_directories=self.top, fsync="off",
                       ssl="on", ssl_cert_file=self.top / "cert",
                       ssl_key_file=self.top / "key", max_connections=40,
                       shared_buffers=f"{self.memory}B", max_wal_size="8GB",
                       log_line_prefix="@")
        return [f"{self.BIN}/postgres", "-D", self.top / "data"] + [
            x for k, v in options.items() for x in ("-c", f"{k}={v}")]

    def ping(self):
        return [f"{self.BIN}/pg_isready", "-q", "-h", self.top]

    def create(self):
        self.sql("CREATE DATABASE mail;", "postgres")
        self.sql("CREATE TABLE users(name text PRIMARY KEY, password text,"
                 " uid bigint, gid bigint, home text, mail text, quota text,"
                 " nologin text, nets text, canonical text);"
                 f"CREATE ROLE mail LOGIN PASSWORD {self.literal(SECRET)};"
                 "GRANT SELECT ON users TO mail;")

    # by CASE, as a plan may look at what stands after AND first
    HELD = (" AND CASE WHEN name = %{user} THEN"
            " pg_advisory_xact_lock_shared(7) IS NOT NULL END")
    HOLD = "SELECT 'held' FROM (SELECT pg_advisory_lock(7)) AS locked;\n"

    def shell(self, database="mail"):
        return [f"{self.BIN}/psql", "-X", "-h", self.top, "-U", "admin",
                "-d", database, "-v", "ON_ERROR_STOP=1", "-Atq"]

    def sql(self, text, database="mail", **kw):
        return self.run(*self.shell(database), input=text, **kw)

    def log_statements(self):
        self.sql("ALTER ROLE mail SET log_statement = 'all'")

    def statements(self):
        """What the connections of `mail` ran since the first
        log_statements()."""
        text = (self.top / "log").read_text(errors="replace")
        return [re.sub(r"^(execute [^:]*|statement): ", "", entry)
                for entry in re.findall(
                    r"^@LOG:  ((?:execute|statement)(?:.*\n)(?:\t.*\n)*)",
                    text, re.M)]

    def running(self):
        """How many of its queries are being answered."""
        return int(self.sql("SELECT count(*) FROM pg_stat_activity WHERE"
                            " usename = 'mail' AND state = 'active'"))

    def encrypted(self):
        """Are the connections of `mail`, of which there are some?"""
        return self.sql("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN"
                        " pg_stat_activity USING(pid) WHERE"
                        " usename = 'mail'").strip() == "t"


class MariaDB(Server):
    driver, account, port = "mysql", "mysql", 3306

    @property
    def socket(self):
        return self.top / "socket"

    def install(self):
        self.run("mariadb-install-db", "--no-defaults",
                 f"--datadir={self.top}/data", "--skip-test-db",
                 f"--tmpdir={self.top}",
                 "--auth-root-authentication-method=normal")

    def argv(self):
        return ["/usr/sbin/mariadbd", "--no-defaults",
                f"--datadir={self.top}/data", f"--socket={self.socket}",
                f"--pid-file={self.top}/pid", f"--tmpdir={self.top}",
                "--skip-name-resolve",
                f"--bind-address={self.address},{self.alias}",
                f"--ssl-cert={self.top}/cert", f"--ssl-key={self.top}/key",
                f"--innodb-buffer-pool-size={self.memory}", "--skip-innodb-doublewrite",
                "--innodb-flush-log-at-trx-commit=2"]

    def client(self, program, *args):
        return [program, "--no-defaults", "-u", "root", "-S", self.socket,
                *args]

    def ping(self):
        return self.client("mariadb-admin", "ping")

    def create(self):
        secret = self.literal(SECRET)
        self.sql("CREATE DATABASE mail CHARACTER SET utf8mb4 COLLATE"
                 " utf8mb4_nopad_bin; USE mail; CREATE TABLE users("
                 "name varchar(255) PRIMARY KEY, password varchar(255),"
                 " uid bigint, gid bigint, home text, mail text, quota text,"
                 " nologin text, nets text, canonical text);"
                 f"CREATE USER mail@localhost IDENTIFIED BY {secret};"
                 f"CREATE USER mail@'127.%' IDENTIFIED BY {secret}"
                 " REQUIRE SSL;"
                 "GRANT SELECT ON mail.users TO mail@localhost;"
                 "GRANT SELECT ON mail.users TO mail@'127.%';", "mysql")

    HELD = " AND GET_LOCK('held', 60) = 1"
    HOLD = "SELECT 'held' FROM DUAL WHERE GET_LOCK('held', 60) = 1;\n"

    def shell(self, database="mail"):
        return self.client("mariadb", "-N", "--unbuffered", database)

    def sql(self, text, database="mail", **kw):
        # ' and \ in literals as in standard SQL
        return self.run(*self.shell(database), input=(
            "SET sql_mode = 'NO_BACKSLASH_ESCAPES';" + text), **kw)

    def log_statements(self):
        self.sql(f"SET GLOBAL general_log_file = '{self.top}/general';"
                 "SET GLOBAL general_log = 1;")

    def statements(self):
        text = (self.top / "general").read_text(errors="replace")
        entry = re.compile(r"^\d{6} .{8}\t *(\d+) |^\t\t *(\d+) ", re.M)
        found, owners, at = [], {}, list(entry.finditer(text))
        for m, after in zip(at, at[1:] + [None]):
            number = m.group(1) or m.group(2)
            what, _, rest = text[m.end():after.start() if after else None] \
                .rstrip("\n").partition("\t")
            if what == "Connect":
                owners[number] = rest.startswith("mail@")
            elif owners.get(number) and what in ("Prepare", "Query"):
                found.append(rest)
        return found

    def running(self):
        return int(self.sql("SELECT count(*) FROM"
                            " information_schema.processlist WHERE user ="
                            " 'mail' AND command = 'Execute'"))

    def encrypted(self):
        """As for PostgreSQL; over the network there are no others."""
        return int(self.sql("SELECT count(*) FROM"
                            " information_schema.processlist WHERE user ="
                            " 'mail' AND host LIKE '127.%'")) > 0


class Link:
    """A way to a server that a test can close, hold up, or cut in the middle
    of an answer; `host` is its address and port."""

    def __init__(self, server):
        self.target = server.address, server.port
        self.address, self.port = free_address(), 0
        self.listener, self.flowing = None, threading.Event()
        self.connections, self.lock = set(), threading.Lock()
        self.count = self.cuts = self.to_cut = self.delay = 0
        self.flowing.set()
        self.open()

    @property
    def host(self):
        return f"{self.address}:{self.port}"

    def open(self):
        self.listener = socket.create_server((self.address, self.port),
                                             backlog=100)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,),
                         daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                client = listener.accept()[0]
            except OSError:
                return listener.close()
            self.count += 1
            try:
                server = socket.create_connection(self.target, PATIENCE)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            pair = client, server
            with self.lock:
                self.connections.add(pair)
            for a, b in (pair, pair[::-1]):
                threading.Thread(target=self.pump, args=(a, b, pair),
                                 daemon=True).start()

    def pump(self, a, b, pair):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                self.flowing.wait()
                if a is pair[1] and self.delay:
                    time.sleep(self.delay)
                if a is pair[1] and self.cuts_now():
                    b.sendall(data[:len(data) // 2])
                    break
                b.sendall(data)
        self.end(pair)

    def end(self, pair):
        with self.lock:
            self.connections.discard(pair)
        for sock in pair:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def cuts_now(self):
        with self.lock:
            if not self.to_cut:
                return False
            self.to_cut -= 1
            self.cuts += 1
            return True

    def cut(self, times=1 << 30):
        """Send half of an answer and close, this many times."""
        self.to_cut = times

    def slow(self, seconds):
        """Hold each part of an answer back for so long."""
        self.delay = seconds

    def hold(self):
        """Nothing gets through any more."""
        self.flowing.clear()

    def close(self):
        """Refuse connections, and end those that there are."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        for pair in list(self.connections):
            self.end(pair)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.flowing.set()
        self.close()


class Databases:
    """Made when they are wanted first: one of each kind, or some."""
    KINDS = {d.driver: d for d in (Sqlite, Postgres, MariaDB)}

    def __init__(self):
        self.made = {}

    def get(self, driver, number=0):
        key = driver, number
        if key in self.made:
            self.made[key].revive()
        else:
            self.made[key] = self.KINDS[driver]()
        return self.made[key]

    def keep(self, server):
        """End this one, too, with the others."""
        self.made[server] = server
        return server

    def close(self):
        for database in self.made.values():
            database.close()


SERVERS = [pytest.param("pgsql", marks=pytest.mark.needs("pg_ctlcluster")),
           pytest.param("mysql", marks=pytest.mark.needs("mariadbd"))]
ALL = ["sqlite", *SERVERS]
