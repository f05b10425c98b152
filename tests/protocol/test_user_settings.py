"""What a user's data says of logins, from a section that knows no passwords:
the core heeds it, whichever plugin says it."""
import os

import pytest

from culver import PASSWORD, ROLE_IDS, ROOT, until

pytestmark = pytest.mark.maildir


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(
        users=1, auth="provides = {passwords}",
        limits="bad_commands = 1000 expire = 9", extra='auth data { plugin = '
        'passwdfile path = "{dir}/data" provides = {users} }')
    return inst.start()


def settings(inst, fields):
    """What the second section says of user1."""
    path, user = inst.dir / "data", inst.users[0]
    new = inst.dir / "data.new"
    new.write_text(f"user1:*:{user.uid}:{user.gid}::{user.home}::{fields}\n")
    os.chmod(new, 0o600)
    if ROOT:
        os.chown(new, ROLE_IDS["auth"], ROLE_IDS["auth"])
    os.rename(new, path)


def login(inst, password=PASSWORD):
    """A session, or what was answered instead."""
    def attempt():
        pop = inst.connect()
        reply = pop.login("user1", password)
        if reply.startswith(b"+OK"):
            return pop
        pop.close()
        return None if b"[IN-USE]" in reply else reply
    return until("an answer", attempt, pause=0.05)


@pytest.mark.parametrize("fields,reason", (
    ("nologin=y", "disabled"), ("userdb_nologin", "disabled"),
    ("allow_nets=192.0.2.0/24", "address")))
def test_closed(instance, fields, reason):
    settings(instance, fields)
    before = len(instance.log_lines("auth-failed", f"reason={reason}"))
    assert login(instance).startswith(b"-ERR [AUTH]")
    instance.wait_log("auth-failed", f"reason={reason}", n=before + 1)
    done = instance.ctl("login-test", "user1", input=PASSWORD)
    assert (done.returncode == 77) == (reason == "disabled"), done.stderr


@pytest.mark.parametrize("fields,shown", (
    ("", "EXPIRE 9"), ("expire=30", "EXPIRE 30"),
    ("expire=never allow_nets=127.0.0.0/8,local nologin=no",
     "EXPIRE NEVER")))
def test_retention(instance, fields, shown):
    settings(instance, fields)
    with login(instance) as pop:
        assert shown in pop.capabilities()
        pop.quit()


def test_login_delay(instance):
    settings(instance, "login_delay=1h")
    with login(instance) as pop:
        assert "LOGIN-DELAY 3600" in pop.capabilities()
        pop.quit()
    assert login(instance).startswith(b"-ERR [LOGIN-DELAY]")
    assert login(instance, "x").startswith(b"-ERR [AUTH]")
    settings(instance, "")
    with login(instance) as pop:
        pop.quit()


def test_not_understood(instance):
    settings(instance, "expire=soon")
    assert login(instance).startswith(b"-ERR [SYS/TEMP]")
    instance.wait_log("auth-error", "expire cannot be understood")
