"""Users in a real MariaDB that the test starts: over its socket, names that
look like SQL, a server that ends and comes back."""
import os
import pwd
import signal
import subprocess

import pytest

from culver import PASSWORD, ROOT, b64, crypt, numbered, until

QUERY = ("SELECT password, uid AS userdb_uid, gid AS userdb_gid,"
         " home AS userdb_home FROM users"
         " WHERE name = %{user} AND %{service} = 'pop3'")


class MariaDB:
    """A server of an instance's own, without the network."""

    def __init__(self, instance):
        self.instance, self.proc = instance, None
        self.top = instance.dir / "my"
        self.top.mkdir()
        os.chmod(self.top, 0o755)
        self.socket = self.top / "s"
        self.who = {}
        if ROOT:
            user = pwd.getpwnam("mysql")
            self.who = dict(user=user.pw_uid, group=user.pw_gid,
                            extra_groups=[])
            os.chown(self.top, user.pw_uid, user.pw_gid)
        subprocess.run(["mariadb-install-db", "--no-defaults",
                        f"--datadir={self.top}/data", "--skip-test-db",
                        "--auth-root-authentication-method=normal"],
                       check=True, capture_output=True, timeout=180,
                       cwd="/", **self.who)
        self.start()
        rows = ",".join("(\"{}\",'{}',{},{},'{}')".format(
            u.name, "{SHA512-CRYPT}" + crypt(u.password), u.uid, u.gid,
            u.home) for u in instance.users)
        self.sql("CREATE DATABASE mail CHARACTER SET utf8mb4 COLLATE"
                 " utf8mb4_bin; USE mail; CREATE TABLE users("
                 "name varchar(255) PRIMARY KEY, password varchar(255),"
                 " uid int, gid int, home text);"
                 f"INSERT INTO users VALUES {rows};"
                 "CREATE USER mail@localhost IDENTIFIED BY 'se''cret';"
                 "GRANT SELECT ON mail.users TO mail@localhost;")

    def sql(self, text):
        return subprocess.run(
            ["mariadb", "--no-defaults", "-N", "-u", "root", "-S",
             str(self.socket)], input=text, check=True, text=True,
            capture_output=True, timeout=60).stdout

    def answers(self):
        return subprocess.run(
            ["mariadb-admin", "--no-defaults", "-u", "root", "-S",
             str(self.socket), "ping"], capture_output=True,
            timeout=30).returncode == 0

    def start(self):
        with open(self.instance.dir / "my.log", "ab") as log:
            self.proc = subprocess.Popen(
                ["/usr/sbin/mariadbd", "--no-defaults",
                 f"--datadir={self.top}/data", f"--socket={self.socket}",
                 f"--pid-file={self.top}/pid", "--skip-networking",
                 "--innodb-buffer-pool-size=16M"],
                stdout=log, stderr=log, cwd="/", **self.who)
        until("MariaDB", self.answers, patience=60, pause=0.1)

    def stop(self):
        if self.proc is not None:
            self.proc.send_signal(signal.SIGKILL)
            self.proc.wait(60)
            self.proc = None

    def use(self):
        section = (f'auth sql {{ driver = mysql  allow = {{net}}\n'
                   f' host = {{"{self.socket}"}}  database = "mail"\n'
                   f' user = "mail"  password = "se\'cret"\n'
                   f' password_query = "{QUERY}" }}')
        self.instance.write_conf("\n".join(
            section if line.startswith("auth ") else line
            for line in self.instance.conf_text().splitlines()) + "\n")


@pytest.fixture
def mariadb(make_instance):
    inst = make_instance(users=2)
    inst.users[0].name = "o'brien@user.example"
    server = MariaDB(inst)
    server.use()
    yield server
    server.stop()


def login_works(inst):
    with inst.connect() as pop:
        return pop.login(inst.users[1].name).startswith(b"+OK")


def test_names(mariadb):
    inst = mariadb.instance
    inst.users[0].deliver(numbered(1))
    inst.start()
    with inst.login(inst.users[0]) as pop:
        assert pop.stat()[0] == 1
    for name in ("'", "user2'-- ", "' OR 1=1 -- ", "\\' OR 1=1 -- ",
                 "\"; DROP TABLE users; -- ", "?", "%", "\u02bc OR 1=1",
                 "user2\0", "user2\n", "user2' #", "'" * 65536):
        with inst.connect() as pop:
            assert pop.cmd("AUTH PLAIN " + b64(
                f"\0{name}\0{PASSWORD}")).startswith(b"-ERR"), name
    with inst.connect() as pop:
        assert pop.login("user2", "x").startswith(b"-ERR [AUTH]")
        assert pop.login("nobody").startswith(b"-ERR [AUTH]")
    assert login_works(inst)
    assert not inst.log_lines("auth-error")
    assert mariadb.sql("SELECT count(*) FROM mail.users").strip() == "2"


def test_killed_and_restarted(mariadb):
    inst = mariadb.instance.start()
    assert login_works(inst)
    mariadb.stop()
    with inst.connect() as pop:
        assert pop.login("user2").startswith(b"-ERR [SYS/TEMP]")
        assert pop.login("nobody").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("auth-error", "the database is away")
    mariadb.start()
    until("logins to work", lambda: login_works(inst), patience=20, pause=0.1)
