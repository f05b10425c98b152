"""What is remembered of logins, with users in an SQLite database: passwords
that change, a database that goes away, and what makes Culver forget."""
import os

import pytest

from culver import PASSWORD, until
from databases import SERVERS, use

pytestmark = pytest.mark.once


@pytest.fixture
def start(databases, one_instance):
    """An instance whose section auth_cache has TEXT."""
    def make(text, driver="sqlite"):
        inst = one_instance(users=2, limits="bad_commands = 1000",
                            extra=f"auth_cache {{ {text} }}")
        inst.db = databases.get(driver)
        inst.db.fill(inst.users)
        use(inst, inst.db.section())
        return inst.start()
    return make


def answers(inst, name, password=PASSWORD):
    """What a login is told, once nobody has the mailbox any more."""
    def attempt():
        with inst.connect() as pop:
            reply = pop.login(name, password)
            if b"[IN-USE]" in reply:
                return None
            if reply.startswith(b"+OK"):
                pop.quit()
            return reply
    return until("an answer", attempt, pause=0.05)


def change(inst, password):
    """The password of user1 in the database; Culver is not told."""
    inst.users[0].password = password
    inst.db.fill(inst.users)


def away(inst):
    os.rename(inst.db.path, f"{inst.db.path}.away")


def test_a_password_that_changes(start):
    inst = start('time = "1h"')
    assert answers(inst, "user1").startswith(b"+OK")
    change(inst, "new")
    # good until somebody shows the new one
    assert answers(inst, "user1").startswith(b"+OK")
    assert answers(inst, "user1", "new").startswith(b"+OK")
    assert answers(inst, "user1").startswith(b"-ERR [AUTH]")
    assert answers(inst, "user1", "new").startswith(b"+OK")


@pytest.mark.parametrize("user,forgotten", (
    (("user1",), True), ((), True), (("user2",), False)))
def test_flush(start, user, forgotten):
    inst = start('time = "1h"')
    assert answers(inst, "user1").startswith(b"+OK")
    change(inst, "new")
    done = inst.ctl("auth-flush", *user)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert answers(inst, "user1").startswith(
        b"-ERR [AUTH]" if forgotten else b"+OK")


def test_a_reload_forgets(start):
    inst = start('time = "1h"')
    assert answers(inst, "user1").startswith(b"+OK")
    change(inst, "new")
    inst.reload()
    # gates of before may still take a connection or two
    until("the new coordinator", lambda: answers(inst, "user1").startswith(
        b"-ERR [AUTH]"))


def test_away(start):
    inst = start('away_time = "1h"')
    assert answers(inst, "user1").startswith(b"+OK")
    change(inst, "new")
    # it is asked as long as it is there
    assert answers(inst, "user1").startswith(b"-ERR [AUTH]")
    assert answers(inst, "user1", "new").startswith(b"+OK")
    away(inst)
    assert answers(inst, "user1", "new").startswith(b"+OK")
    assert answers(inst, "user1").startswith(b"-ERR [SYS/TEMP]")
    assert answers(inst, "user2").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("auth-error", "user=user1", "users.db")


@pytest.mark.parametrize("driver", SERVERS)
def test_what_the_database_sees(start, driver):
    """One query, however often a user logs in."""
    inst = start('time = "1h"', driver)
    inst.db.log_statements()
    before = len(inst.db.statements())
    for _ in range(5):
        assert answers(inst, "user2").startswith(b"+OK")
    seen = [s for s in inst.db.statements()[before:] if "userdb_home" in s]
    assert len(seen) == 1, seen


def test_unknown_users(start):
    inst = start('negative_time = "1h"')
    assert answers(inst, "nobody").startswith(b"-ERR [AUTH]")
    inst.users[1].name = "nobody"
    inst.db.fill(inst.users)
    assert answers(inst, "nobody").startswith(b"-ERR [AUTH]")
    assert inst.ctl("auth-flush", "nobody").returncode == 0
    assert answers(inst, "nobody").startswith(b"+OK")


def test_wrong_use(start):
    inst = start("")
    assert inst.ctl("auth-flush", "--all").returncode == 64
    assert inst.ctl("auth-flush", "a", "b").returncode == 64
    inst.stop()
    assert inst.ctl("auth-flush").returncode == 69


def test_login_test_says_what_is_remembered(start):
    inst = start('time = "2m"')
    done = inst.ctl("login-test", "user1", input=PASSWORD)
    assert "asked    section sql: password right, remembered" in done.stdout
    done = inst.ctl("login-test", "nobody", input=PASSWORD)
    assert "asked    section sql: password unknown\n" in done.stdout


def test_mistakes(one_instance):
    inst = one_instance(users=1, extra="auth_cache { size = 1K tim = 3s }")
    done = inst.run("-t")
    assert done.returncode == 78
    said = done.stdout + done.stderr
    assert "auth_cache: size" in said and "did you mean time?" in said
