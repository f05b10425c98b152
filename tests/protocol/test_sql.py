"""Users in an SQLite database: logins, names that look like SQL, a database
that goes away and comes back, queries that are refused."""
import os
import sqlite3
import subprocess

import pytest

from culver import (PASSWORD, ROLE_IDS, ROOT, b64, crypt, modules, numbered,
                    until)

QUERY = ("SELECT password, uid AS userdb_uid, gid AS userdb_gid,"
         " home AS userdb_home, nets AS allow_nets"
         " FROM users WHERE name = %{user}")

INJECTIONS = [
    "'", "''", "\\'", "\"", "`", "user1'--", "user1' OR '1'='1",
    "' OR 1=1 --", "' UNION SELECT 'x' --", "'; DROP TABLE users; --",
    "%", "_", "user%", "%{user}", "%s%n", "$1", "?", ":name", "\\",
    "\u02bc OR 1=1", "\uff07 OR 1=1", "user1\n' OR 1=1", "user1\r",
    "user1\0", "us\u0435r1", "user\uff11", "a;b", "*/", "--", "#",
]


class Users:
    """A database of an instance's users."""

    def __init__(self, instance):
        self.instance = instance
        (instance.dir / "db").mkdir(mode=0o755)
        self.path = instance.dir / "db" / "users.db"
        self.write()

    def write(self, rows=None):
        new = self.path.with_suffix(".new")
        db = sqlite3.connect(new)
        db.execute("CREATE TABLE users(name TEXT PRIMARY KEY, password TEXT,"
                   " uid INT, gid INT, home TEXT, nets TEXT)")
        db.executemany("INSERT INTO users VALUES(?,?,?,?,?,?)", rows or [
            (u.name, "{SHA512-CRYPT}" + crypt(u.password), u.uid, u.gid,
             str(u.home), u.nets) for u in self.instance.users])
        db.commit()
        db.close()
        os.chmod(new, 0o640)
        if ROOT:
            os.chown(new, 0, ROLE_IDS["auth"])
        os.rename(new, self.path)

    def section(self, query=QUERY, more=""):
        query = query.replace("\\", "\\\\").replace('"', '\\"')
        return (f'auth sql {{ driver = sqlite  allow = {{net}}\n path = "{self.path}"\n'
                f' password_query = "{query}" {more} }}')

    def use(self, section):
        lines = self.instance.conf_text().splitlines()
        self.instance.write_conf("\n".join(
            section if line.startswith("auth ") else line
            for line in lines) + "\n")


@pytest.fixture
def users(make_instance):
    inst = make_instance(users=3, limits="bad_commands = 1000")
    for u, nets in zip(inst.users, (None, "127.0.0.0/8", "192.0.2.0/24")):
        u.nets = nets
    inst.users[0].name = "o'brien@user.example"
    users = Users(inst)
    users.use(users.section())
    return users


def test_logins(users):
    inst = users.instance
    for u in inst.users:
        u.deliver(numbered(1))
    inst.start()
    for u in inst.users[:2]:
        with inst.login(u) as pop:
            assert pop.stat()[0] == 1
    with inst.connect() as pop:
        assert pop.login(inst.users[2].name).startswith(b"-ERR [AUTH]")
        assert pop.login(inst.users[1].name, "x").startswith(b"-ERR [AUTH]")
        assert pop.login("nobody").startswith(b"-ERR [AUTH]")
    inst.wait_log("allow_nets does not have 127.")


def test_injections(users):
    inst = users.instance.start()
    for name in INJECTIONS + ["'" * 65536]:
        with inst.connect() as pop:
            assert pop.cmd("AUTH PLAIN " + b64(
                f"\0{name}\0{PASSWORD}")).startswith(b"-ERR"), name
    with inst.login(inst.users[0]) as pop:
        assert pop.stat()[0] == 0
    assert not inst.log_lines("auth-error")
    for line in inst.log_text().splitlines():
        assert not line.startswith("' OR 1=1")


def test_a_password_that_changes_works_at_once(users):
    inst = users.instance.start()
    user = inst.users[1]
    inst.login(user).quit()
    user.password = "another"
    users.write()
    with inst.connect() as pop:
        assert pop.login(user.name, PASSWORD).startswith(b"-ERR [AUTH]")
        assert pop.login(user.name, "another").startswith(b"+OK")


def test_away_is_temporary(users):
    inst = users.instance.start()
    user = inst.users[1]
    os.rename(users.path, f"{users.path}.away")
    with inst.connect() as pop:
        assert pop.login(user.name).startswith(b"-ERR [SYS/TEMP]")
        assert pop.login("nobody").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("auth-error", "users.db")
    os.rename(f"{users.path}.away", users.path)

    def answers():
        with inst.connect() as pop:
            return pop.login(user.name).startswith(b"+OK")
    until("logins to work", answers, patience=15, pause=0.1)


@pytest.mark.parametrize("query,why", (
    (QUERY.replace("%{user}", "'%{user}'"), "stands bare"),
    (QUERY.replace("%{user}", "%{password}"), "only %{user}"),
    (QUERY.replace("%{user}", "'%u'"), "stands bare"),
    (QUERY + "; DELETE FROM users", "more than one statement"),
    (QUERY.replace("%{user}", "?"), "placeholder of the database's own"),
))
def test_queries_that_are_refused(users, query, why):
    users.use(users.section(query))
    done = users.instance.run("-t")
    assert done.returncode != 0
    assert why in done.stdout + done.stderr
    assert "password_query" in done.stdout + done.stderr


@pytest.mark.parametrize("groups", [
    "elf,descriptor,options,auth,hygiene,versions,deadline",
    pytest.param("faults", marks=[pytest.mark.slow,
                                  pytest.mark.timeout(600)])])
def test_plugin_check(users, tmp_path, tree, groups):
    """culver-plugin check finds nothing wrong with it."""
    user = users.instance.users[1]
    user.nets = None
    users.write()
    os.chmod(users.path, 0o644)
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    argv = [str(tree / "usr/local/bin/culver-plugin"), "check", "--kind",
            "auth", "--user", user.name, "--password-file", str(password),
            "--only", groups]
    for option in ("driver=sqlite", f"path={users.path}",
                   f"password_query={QUERY}"):
        argv += ["--option", option]
    done = subprocess.run(argv + ["--plugin-dir", str(modules(tree)), "sql"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not ok" not in done.stdout
