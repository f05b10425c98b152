"""Users in a real PostgreSQL that the test starts: over its socket and over
TLS, fail-over, and a server that ends, comes back, or does not answer."""
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess

import pytest

from culver import PASSWORD, ROOT, b64, crypt, numbered, until

BIN = (sorted(glob.glob("/usr/lib/postgresql/*/bin")) or ["/usr/bin"])[-1]
QUERY = ("SELECT password, uid AS userdb_uid, gid AS userdb_gid,"
         " home AS userdb_home FROM users"
         " WHERE name = %{user} AND %{service} = 'pop3'")


class Postgres:
    """A server of an instance's own; its socket is in `top`."""

    def __init__(self, instance):
        self.instance, self.proc = instance, None
        self.top = instance.dir / "pg"
        self.data = self.top / "data"
        self.top.mkdir()
        self.who = {}
        if ROOT:
            user = pwd.getpwnam("postgres")
            self.who = dict(user=user.pw_uid, group=user.pw_gid,
                            extra_groups=[])
        self.give(self.top)
        self.run("initdb", "-D", self.data, "-U", "admin", "-N", "-E", "UTF8",
                 "--locale=C", "-A", "scram-sha-256", "--auth-local=trust",
                 "--pwfile", self.file("pw", "admin\n"))
        for name in ("cert", "key"):
            self.file(name, getattr(instance, name).read_text())
        self.ca = instance.dir / "ca.pem"
        shutil.copy(instance.cert, self.ca)
        os.chmod(self.ca, 0o644)
        self.start()
        self.fill()

    def give(self, path):
        if ROOT:
            os.chown(path, self.who["user"], self.who["group"])

    def file(self, name, text):
        path = self.top / name
        path.write_text(text)
        os.chmod(path, 0o600)
        self.give(path)
        return path

    def run(self, program, *args, **kw):
        return subprocess.run([f"{BIN}/{program}", *map(str, args)],
                              check=True, capture_output=True, text=True,
                              timeout=120, cwd="/", **self.who, **kw)

    def sql(self, text):
        return self.run("psql", "-X", "-h", self.top, "-U", "admin", "-d",
                        "postgres", "-v", "ON_ERROR_STOP=1", "-Atq",
                        input=text).stdout

    def answers(self):
        return subprocess.run(
            [f"{BIN}/pg_isready", "-q", "-h", str(self.top)],
            timeout=30).returncode == 0

    def start(self):
        options = dict(listen_addresses=self.instance.address,
                       unix_socket_directories=self.top, fsync="off",
                       ssl="on", ssl_cert_file=self.top / "cert",
                       ssl_key_file=self.top / "key", max_connections=20,
                       shared_buffers="16MB")
        argv = [f"{BIN}/postgres", "-D", str(self.data)]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        with open(self.instance.dir / "pg.log", "ab") as log:
            self.proc = subprocess.Popen(argv, stdout=log, stderr=log,
                                         cwd="/", **self.who)
        until("PostgreSQL", self.answers, patience=60, pause=0.1)

    def stop(self, sig=signal.SIGQUIT):
        if self.proc is not None:
            self.proc.send_signal(signal.SIGCONT)
            self.proc.send_signal(sig)
            self.proc.wait(60)
            self.proc = None

    def fill(self):
        rows = ",".join(
            "('{}','{}',{},{},'{}')".format(
                u.name.replace("'", "''"), "{SHA512-CRYPT}" +
                crypt(u.password), u.uid, u.gid, u.home)
            for u in self.instance.users)
        self.sql("CREATE TABLE users(name text PRIMARY KEY, password text,"
                 " uid int, gid int, home text);"
                 f"INSERT INTO users VALUES {rows};"
                 "CREATE ROLE mail LOGIN PASSWORD 'se''cret';"
                 "GRANT SELECT ON users TO mail;")

    def use(self, hosts, more="", query=QUERY):
        section = (f'auth sql {{ driver = pgsql  allow = {{net}}\n'
                   f' host = {{{hosts}}}  database = "postgres"\n'
                   f' user = "mail"  password = "se\'cret"\n'
                   f' password_query = "{query}" {more} }}')
        self.instance.write_conf("\n".join(
            section if line.startswith("auth ") else line
            for line in self.instance.conf_text().splitlines()) + "\n")


@pytest.fixture
def postgres(make_instance):
    inst = make_instance(users=2)
    inst.users[0].name = "o'brien@user.example"
    server = Postgres(inst)
    yield server
    server.stop()


def login_works(inst):
    with inst.connect() as pop:
        return pop.login(inst.users[1].name).startswith(b"+OK")


def test_socket_and_names(postgres):
    inst = postgres.instance
    postgres.use(f'"{postgres.top}"')
    inst.users[0].deliver(numbered(1))
    inst.start()
    with inst.login(inst.users[0]) as pop:
        assert pop.stat()[0] == 1
    for name in ("'", "user2'--", "' OR 1=1 --", "\\' OR 1=1 --",
                 "'; DROP TABLE users; --", "$1", "%", "\u02bc OR 1=1",
                 "user2\0", "user2\n", "$a$", "E'\\''", "'" * 65536):
        with inst.connect() as pop:
            assert pop.cmd("AUTH PLAIN " + b64(
                f"\0{name}\0{PASSWORD}")).startswith(b"-ERR"), name
    with inst.connect() as pop:
        assert pop.login("user2", "x").startswith(b"-ERR [AUTH]")
        assert pop.login("nobody").startswith(b"-ERR [AUTH]")
    assert login_works(inst)
    assert not inst.log_lines("auth-error")
    assert postgres.sql("SELECT count(*) FROM users").strip() == "2"


def test_tls_and_fail_over(postgres):
    """The first host is not there; the second shows a certificate."""
    inst = postgres.instance
    postgres.use(f'"{inst.address}:1", "{inst.address}"',
                 f'tls = verify  tls_ca = "{postgres.ca}"')
    inst.start()
    assert login_works(inst)
    inst.wait_log("warn", "database", inst.address)
    assert postgres.sql("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN"
                        " pg_stat_activity USING(pid) WHERE"
                        " usename = 'mail'").strip() == "t"


def test_a_certificate_that_nobody_signed(postgres):
    inst = postgres.instance
    postgres.use(f'"{inst.address}"')
    inst.start()
    with inst.connect() as pop:
        assert pop.login("user2").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("auth-error", "certificate")


def test_killed_and_restarted(postgres):
    inst = postgres.instance
    postgres.use(f'"{postgres.top}"')
    inst.start()
    assert login_works(inst)
    postgres.stop()
    with inst.connect() as pop:
        assert pop.login("user2").startswith(b"-ERR [SYS/TEMP]")
        assert pop.login("nobody").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("auth-error", "the database is away")
    postgres.start()
    until("logins to work", lambda: login_works(inst), patience=20, pause=0.1)


def test_a_server_that_does_not_answer(postgres):
    """It takes connections and says nothing."""
    inst = postgres.instance
    with socket.socket() as mute:
        mute.bind((inst.address, 0))
        mute.listen(50)
        postgres.use(f'"{inst.address}:{mute.getsockname()[1]}",'
                     f' "{postgres.top}"', 'connect_timeout = "300ms"')
        inst.start()
        assert login_works(inst)
        inst.wait_log("database", "no answer in time")


def test_a_query_that_fails(postgres):
    inst = postgres.instance
    postgres.use(f'"{postgres.top}"', query=QUERY.replace("users", "no_table"))
    inst.start()
    with inst.connect() as pop:
        assert pop.login("user2").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("auth-error", "no_table")
