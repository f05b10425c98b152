"""Masters: who logs in as somebody else, whose mailbox that is, and what log,
`who` and culverctl say of it."""
import json
import os

import pytest

import fail2ban
from culver import PASSWORD, ROLE_IDS, ROOT, crypt, numbered, until
from scram import Scram

SECRET = "master's secret"


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(
        users=2, top='master_separator = "*"', auth="credentials = "
        "{SCRAM-SHA-256, PLAIN}", limits="bad_commands = 1000", extra='auth '
        'masters { plugin = passwdfile path = "{dir}/masters" masters = yes }')
    for user, n in zip(inst.users, (1, 2)):
        user.password = PASSWORD
        user.deliver_all([numbered(i) for i in range(n)])
    path = inst.dir / "masters"
    path.write_text(f"admin:{{SHA512-CRYPT}}{crypt(SECRET)}\n"
                    f"migration:{{PLAIN}}{SECRET}\n"
                    f"user2:{{SHA512-CRYPT}}{crypt(SECRET)}\n"
                    f"outside:{{SHA512-CRYPT}}{crypt(SECRET)}::::::"
                    "allow_nets=192.0.2.0/24\n")
    os.chmod(path, 0o600)
    if ROOT:
        os.chown(path, ROLE_IDS["auth"], ROLE_IDS["auth"])
    return inst.start()


def in_session(inst, log_in, master):
    """Of user1, by MASTER: all say so."""
    def attempt():
        pop = inst.connect()
        if log_in(pop).startswith(b"+OK"):
            return pop
        pop.close()
        return None
    before = len(inst.log_lines(" login ", f"user=user1 master={master}"))
    with until("a session", attempt, pause=0.1) as pop:
        assert pop.stat()[0] == 1
        (got,) = json.loads(inst.ctl("--json", "who").stdout)
        assert (got["user"], got["master"]) == ("user1", master)
        assert got["uid"] == inst.users[0].uid
        pop.quit()
    inst.wait_log(" login ", f"user=user1 master={master}", n=before + 1)
    inst.wait_log("session-end", f"user=user1 master={master}", n=before + 1)


def test_user_and_pass(instance):
    in_session(instance, lambda pop: pop.login("User1*Admin", SECRET),
               "admin")


def test_plain(instance):
    in_session(instance, lambda pop: pop.auth_plain("user1*admin", SECRET),
               "admin")


def test_plain_with_an_authzid(instance):
    in_session(instance, lambda pop: pop.auth_plain("admin", SECRET,
                                                    zid="user1"), "admin")


def test_scram(instance):
    for head, name in (("n,,", "user1*migration"),
                       ("n,a=user1,", "migration")):
        in_session(instance, lambda pop: Scram(name, SECRET, head=head).run(
            pop, "SCRAM-SHA-256"), "migration")


def test_the_user_is_no_master(instance):
    with instance.login(instance.users[0]) as pop:
        assert pop.stat()[0] == 1
        (got,) = json.loads(instance.ctl("--json", "who").stdout)
        assert got["master"] == ""


@pytest.mark.parametrize("name,password,reason", (
    ("user1*admin", PASSWORD, "bad-password"),
    ("user1*user1", PASSWORD, "unknown-user"),
    ("user1*nobody", SECRET, "unknown-user"),
    ("nobody*admin", SECRET, "unknown-user"),
    ("user2*admin", SECRET, "other-master"),
    ("admin*admin", SECRET, "other-master"),
    ("user1*user1*admin", SECRET, "bad-name"),
    ("*admin", SECRET, "bad-name"),
    ("user1*outside", SECRET, "disabled"),
    ("admin", SECRET, "unknown-user"),
))
def test_who_may_not(instance, name, password, reason):
    with instance.connect(source="127.0.0.78") as pop:
        before = len(instance.log_lines("auth-failed", f"reason={reason}"))
        assert pop.login(name, password).startswith(b"-ERR [AUTH]")
        line = instance.wait_log("auth-failed", f"reason={reason}",
                                 n=before + 1)[-1]
        assert fail2ban.matches(line) == "127.0.0.78"


def test_login_test(instance):
    done = instance.ctl("--json", "login-test", "user1*admin", input=SECRET)
    got = json.loads(done.stdout)
    assert (done.returncode, got["user"]) == (0, "user1")
    assert got["asked"] == [
        {"section": "masters", "asked": "password", "said": "right",
         "remembered": False},
        {"section": "passwdfile", "asked": "user", "said": "found",
         "remembered": False}]
    for name, status, text in (("user2*admin", 77, "is a master"),
                               ("nobody*admin", 67, "knows this user"),
                               ("user1*user1", 67, "knows this user")):
        done = instance.ctl("login-test", name, input=SECRET)
        assert done.returncode == status and text in done.stderr, name


@pytest.mark.parametrize("top,more,why", (
    ('master_separator = "*"', "", "there are no masters"),
    ('master_separator = "@"', "masters = yes", "could be part of a name"),
    ("", "masters = yes", "no other section"),
    ("", 'masters = yes user_data = passwdfile', "remove this"),
))
def test_mistakes(make_instance, top, more, why):
    done = make_instance(users=1, top=top, auth=more).run("-t")
    assert done.returncode == 78 and why in done.stdout + done.stderr


@pytest.mark.parametrize("top", ("", 'master_separator = ""',
                                 'master_separator = "*"'))
def test_masters_without_a_separator(make_instance, top):
    """They can log in, but not with USER and PASS: -t says so."""
    done = make_instance(users=1, top=top, extra='auth masters { plugin = '
                         'passwdfile path = "{dir}/masters" masters = yes }'
                         ).run("-t")
    assert done.returncode == 0, done.stderr
    assert ("auth masters: masters: without" in done.stdout + done.stderr) \
        == ("*" not in top)
