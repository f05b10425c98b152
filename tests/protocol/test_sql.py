"""Users in SQLite, PostgreSQL and MariaDB: logins, the columns that Dovecot
knows, one query or two, passwords that change, queries that are refused, a
database file that goes away and comes back."""
import json
import os
import subprocess

import pytest

from culver import PASSWORD, crypt, modules, numbered, until
from databases import ALL, QUERY, SELECT, login_works, use

pytestmark = pytest.mark.once


@pytest.fixture(params=ALL)
def users(request, databases, one_instance):
    """An instance whose users are in a database, which is its `db`."""
    inst = one_instance(users=3)
    inst.users[0].name = "o'brien@user.example"
    inst.db = databases.get(request.param)
    inst.db.fill(inst.users)
    use(inst, inst.db.section())
    return inst


@pytest.fixture
def sqlite(databases, one_instance):
    inst = one_instance(users=1)
    inst.db = databases.get("sqlite")
    inst.db.fill(inst.users)
    use(inst, inst.db.section())
    return inst


def answer(inst, user, password=None):
    with inst.connect() as pop:
        return pop.ended(pop.login(getattr(user, "name", user),
                                   password or PASSWORD))


def looked_up(inst, name):
    done = inst.ctl("--json", "user", name)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_logins(users):
    for u in users.users:
        u.deliver(numbered(1))
    users.start()
    for u in users.users:
        with users.login(u) as pop:
            assert pop.stat()[0] == 1
    assert answer(users, users.users[1], "x").startswith(b"-ERR [AUTH]")
    assert answer(users, "nobody").startswith(b"-ERR [AUTH]")
    assert not users.log_lines("auth-error")


def test_columns(users):
    """nologin, allow_nets, user, home, mail, quota_rule, uid and gid."""
    closed, elsewhere, other = users.users
    closed.nologin, closed.nets = "y", "127.0.0.0/8"
    elsewhere.nets = "192.0.2.0/24,2001:db8::/32"
    other.nologin, other.nets = "no", "127.0.0.0/8"
    other.canonical = "canonical@user.example"
    other.quota, other.mail = "*:storage=3M", "maildir:~/elsewhere"
    users.db.fill(users.users)
    users.start()
    assert answer(users, closed).startswith(b"-ERR [AUTH]")
    assert answer(users, elsewhere).startswith(b"-ERR [AUTH]")
    users.wait_log("allow_nets does not have 127.")
    if users.kind == "maildir":     # others are made where they are told
        os.rename(other.maildir, other.home / "elsewhere")
        other.maildir = other.home / "elsewhere"
    other.deliver(numbered(1))
    with users.connect() as pop:
        assert pop.login(other.name).startswith(b"+OK")
        assert pop.stat()[0] == 1
        pop.quit()
    users.wait_log("user=canonical@user.example")
    assert users.log_lines("auth-failed", "reason=disabled")
    assert not users.log_lines("auth-error")


TWO = dict(query="SELECT password FROM users WHERE name = %{user}",
           more='user_query = "SELECT uid, gid, home, quota AS quota_rule,'
           ' mail FROM users WHERE name = %{user}"')


@pytest.mark.parametrize("queries", [{}, TWO], ids=["prefetch", "two"])
def test_one_query_or_two(users, queries):
    """With one query as with two, everything about a user is the same."""
    user = users.users[0]
    user.quota, user.mail = "*:storage=3M", "~/Maildir"
    users.db.fill(users.users)
    use(users, users.db.section(**queries))
    users.db.log_statements()
    users.start()
    before = len(users.db.statements())
    assert login_works(users, user)
    ran = users.db.statements()[before:]
    assert len([s for s in ran if "FROM users" in s]) <= 1 + bool(queries)
    found = looked_up(users, user.name)
    assert found["uid"] == user.uid and found["home"] == str(user.home)
    assert found["quota_octets"] == 3 << 20
    assert login_works(users, user)


def test_a_password_that_changes_works_at_once(users):
    users.start()
    user = users.users[1]
    assert login_works(users, user)
    user.password = "another"
    users.db.fill(users.users)
    assert answer(users, user, PASSWORD).startswith(b"-ERR [AUTH]")
    assert login_works(users, user, "another")


def test_passwords_without_a_scheme(users):
    users.db.fill(users.users)
    users.db.sql(f"UPDATE users SET password = '{crypt(PASSWORD)}'")
    users.start()
    assert login_works(users, users.users[1])


def test_a_query_that_fails(users):
    use(users, users.db.section(query=QUERY.replace("users", "no_table")))
    users.start()
    assert answer(users, "user2").startswith(b"-ERR [SYS/TEMP]")
    users.wait_log("auth-error", "no_table")


def test_more_than_one_row(users):
    use(users, users.db.section(query=SELECT))
    users.start()
    assert answer(users, "user2").startswith(b"-ERR [SYS/TEMP]")
    users.wait_log("auth-error", "more than one row")


def test_a_file_that_is_away(sqlite):
    sqlite.start()
    user, path = sqlite.users[0], sqlite.db.path
    os.rename(path, f"{path}.away")
    assert answer(sqlite, user).startswith(b"-ERR [SYS/TEMP]")
    assert answer(sqlite, "nobody").startswith(b"-ERR [SYS/TEMP]")
    sqlite.wait_log("auth-error", "users.db")
    os.rename(f"{path}.away", path)
    until("logins to work", lambda: login_works(sqlite, user), patience=15,
          pause=0.1)


@pytest.mark.parametrize("query,why", (
    (QUERY.replace("%{user}", "'%{user}'"), "stands bare"),
    (QUERY.replace("%{user}", "%{password}"), "only %{user}"),
    (QUERY.replace("%{user}", "'%u'"), "stands bare"),
    (QUERY + "; DELETE FROM users", "more than one statement"),
    (QUERY.replace("%{user}", "?"), "placeholder of the database's own"),
))
def test_queries_that_are_refused(sqlite, query, why):
    use(sqlite, sqlite.db.section(query=query))
    done = sqlite.run("-t")
    assert done.returncode != 0
    assert why in done.stdout + done.stderr
    assert "password_query" in done.stdout + done.stderr


@pytest.mark.parametrize("groups", [
    "elf,descriptor,options,auth,hygiene,versions,deadline",
    pytest.param("faults", marks=[pytest.mark.slow,
                                  pytest.mark.timeout(600)])])
def test_plugin_check(sqlite, tmp_path, tree, groups):
    """culver-plugin check finds nothing wrong with it."""
    os.chmod(sqlite.db.path, 0o644)
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    argv = [str(tree / "usr/local/bin/culver-plugin"), "check", "--kind",
            "auth", "--user", sqlite.users[0].name, "--password-file",
            str(password), "--only", groups]
    for option in ("driver=sqlite", f"path={sqlite.db.path}",
                   f"password_query={QUERY}"):
        argv += ["--option", option]
    done = subprocess.run(argv + ["--plugin-dir", str(modules(tree)), "sql"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not ok" not in done.stdout


@pytest.mark.needs("mariadbd")
def test_names_that_a_collation_takes_for_one(databases, one_instance):
    """Where the query says who it is, all of them are that user."""
    inst = one_instance(users=1)
    user, db = inst.users[0], databases.get("mysql")
    user.canonical = user.name
    db.fill([user])
    query = QUERY.replace(" = %{user}",
                          " COLLATE utf8mb4_general_ci = %{user}")
    use(inst, db.section(query=query))
    inst.start()
    for n, name in enumerate(("\u00faser1", "user1 ", "us\u00e9r1"), 1):
        with inst.connect() as pop:
            assert pop.auth_plain(name).startswith(b"+OK"), name
            pop.quit()
        inst.wait_log("session-end user=user1 ", n=n)
