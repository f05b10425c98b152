"""Users of the machine by PAM: the outcomes of real modules, accounts that
nobody is served as, what the log says, and what the pool's processes are.
"""
import glob
import grp
import json
import os

import pytest

from culver import PASSWORD, ROLE_IDS, crypt, free_uids, numbered
from pam import LOW_UID, UNIX, PamInstance, pools

pytestmark = [pytest.mark.needs_root, pytest.mark.once,
              pytest.mark.needs("unshare")]
SHADOW = grp.getgrnam("shadow").gr_gid
WRONG = b"-ERR [AUTH]"
DAY_LONG_AGO = 1
MATRIX = (*glob.glob("/usr/lib/*/pam_wrapper/pam_matrix.so"),
          "/usr/lib/pam_wrapper/pam_matrix.so")[0]


@pytest.fixture(scope="module")
def instance(tree):
    with PamInstance(tree) as inst:
        inst.users[0].deliver(numbered(1))
        uids = free_uids(64000, 4)
        inst.add("locked", uids[0], hash="!" + "x" * 20)
        inst.add("expired", uids[1], expire=DAY_LONG_AGO)
        inst.add("aged", uids[2], last=0)
        inst.add("low", LOW_UID)
        yield inst


@pytest.fixture(autouse=True)
def usual_service(instance):
    instance.service(UNIX)
    yield


def refused(instance, user, reason, password=PASSWORD, **kw):
    """Logs in in vain; the reply, which does not say why."""
    words = ("auth-failed", f"user={user} ", f"reason={reason}")
    before = len(instance.log_lines(*words))
    reply = instance.login_reply(user, password, **kw)
    assert reply.startswith(WRONG), (reply, instance.log_text()[-2000:])
    instance.wait_log(*words, n=before + 1)
    return reply


# --- outcomes ----------------------------------------------------------------

def test_right_password(instance):
    with instance.login() as pop:
        assert pop.stat()[0] == 1
        pop.quit()
    assert not instance.log_lines("not allowed here")
    instance.wait_log("user=user1", "uid=%d" % instance.users[0].uid)


def test_outcomes_are_told_apart_in_the_log_only(instance):
    replies = {refused(instance, "user1", "bad-password", "wrong"),
               refused(instance, "nobody-at-all", "unknown-user"),
               refused(instance, "locked", "bad-password"),
               refused(instance, "expired", "expired"),
               refused(instance, "aged", "expired"),
               refused(instance, "low", "unknown-user"),
               refused(instance, "root", "unknown-user")}
    assert len(replies) == 1
    instance.wait_log("plugin=pam", "user expired", "account check",
                      "expired")


def test_account_rules_can_be_left_out(tree):
    with PamInstance(tree, options="account = no") as inst:
        inst.add("expired", *free_uids(64100, 1), expire=DAY_LONG_AGO)
        reply = inst.login_reply("expired")
        # the password is right; the account has no mailbox
        assert not reply.startswith(WRONG)
        assert inst.log_lines("user=expired", "reason=expired") == []


def test_not_at_this_time(instance):
    instance.service(UNIX + "account required pam_time.so\n")
    instance.put("security/time.conf", "*;*;user1;!Al0000-2400\n")
    refused(instance, "user1", "disabled")
    instance.put("security/time.conf", "*;*;user1;Al0000-2400\n")
    assert instance.login_reply("user1").startswith(b"+OK")


@pytest.mark.parametrize("phase", ["auth", "account"])
def test_listed_users_only(instance, phase):
    allowed = instance.modules / "allowed"
    allowed.write_text("user1\n")
    os.chmod(allowed, 0o644)
    instance.service(f"{phase} required pam_listfile.so item=user"
                     f" sense=allow onerr=fail file={allowed}\n" + UNIX)
    assert instance.login_reply("user1").startswith(b"+OK")
    allowed.write_text("somebody-else\n")
    refused(instance, "user1", "bad-password" if phase == "auth" else
            "disabled")


def test_modules_see_the_clients_address(instance):
    instance.service(UNIX + "account required pam_access.so\n")
    instance.put("security/access.conf",
                 "+:user1:127.77.0.1\n-:ALL:ALL\n")
    assert instance.login_reply("user1", source="127.77.0.1") \
        .startswith(b"+OK")
    refused(instance, "user1", "disabled", source="127.77.0.2")


def test_program_of_a_module(instance):
    """pam_exec: it runs, sees who comes from where, and gets none of the
    pool's descriptors."""
    script = instance.modules / "check"
    script.write_text("#!/bin/sh\n[ \"$PAM_RHOST\" = 127.77.0.3 ] &&"
                      " [ \"$PAM_USER\" = user1 ] &&"
                      " [ \"$PAM_TTY\" = culver ] &&"
                      " ! ls -l /proc/self/fd/ | grep -q socket\n")
    os.chmod(script, 0o755)
    instance.service(f"auth required pam_exec.so {script}\n" + UNIX)
    assert instance.login_reply("user1", source="127.77.0.3") \
        .startswith(b"+OK")
    assert not instance.login_reply("user1", source="127.77.0.4") \
        .startswith(b"+OK")


@pytest.mark.needs(MATRIX)
def test_pam_matrix(instance):
    db = instance.modules / "matrix"
    db.write_text("user1:of the matrix:culver\n")
    os.chmod(db, 0o644)
    instance.service(f"auth required {MATRIX} passdb={db}\n"
                     f"account required {MATRIX} passdb={db}\n")
    assert instance.login_reply("user1", "of the matrix").startswith(b"+OK")
    refused(instance, "user1", "bad-password", PASSWORD)


# --- accounts that nobody is served as -----------------------------------------

@pytest.mark.parametrize("user", ["root", "low"])
@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_unsafe_accounts_are_not_even_asked_about(instance, user, password):
    instance.service("auth required pam_permit.so\n"
                     "account required pam_permit.so\n")
    refused(instance, user, "unknown-user", password)
    instance.wait_log("plugin=pam", f"user {user}:", "not served")


def test_uid_min_is_that_of_limits(tree):
    with PamInstance(tree, users=2, limits="uid_min = 61000") as inst:
        inst.add("below", *free_uids(60900, 1))
        refused(inst, "below", "unknown-user")
        assert inst.login_reply("user1").startswith(b"+OK")


# --- processes, start ----------------------------------------------------------

def test_group_shadow_is_this_pools_only(instance):
    of_pam = pools(instance, [str(SHADOW)])
    others = pools(instance, [])
    assert of_pam and others
    assert sorted(of_pam + others) == instance.role("pool")
    for role in ("gate", "auth", "log", "manager"):
        for pid in instance.role(role):
            with open(f"/proc/{pid}/status") as f:
                assert "Groups:\t\n" in f.read().replace("Groups:\t \n",
                                                         "Groups:\t\n")


def test_start_says_what_is_missing(tree):
    with PamInstance(tree, options='service = "nosuch" group = "nogroup"',
                     extra='auth second { plugin = pam group = "nogroup" }'
                     ) as inst:
        inst.wait_log("auth pam", 'there is no PAM service "nosuch"',
                      "/etc/pam.d/nosuch")
        inst.wait_log("plugin=pam", "cannot read /etc/shadow", "every "
                      "password wrong")
        assert inst.login_reply("user1").startswith(b"-ERR [SYS/TEMP]")


def test_culverctl(instance):
    done = instance.ctl("login-test", "user1", input=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    assert "the password is right (section pam)" in done.stdout
    assert not done.stderr
    for user, password, status, why in (
            ("user1", "wrong", 77, "the password is wrong"),
            ("expired", PASSWORD, 77, "expired"),
            ("low", PASSWORD, 67, "no auth section knows"),
            ("root", PASSWORD, 67, "no auth section knows"),
            ("nobody-at-all", PASSWORD, 67, "no auth section knows")):
        done = instance.ctl("login-test", user, input=password + "\n")
        assert done.returncode == status and why in done.stderr, done
    done = instance.ctl("--json", "user", "user1")
    assert done.returncode == 0, done.stderr
    user = json.loads(done.stdout)
    assert user["uid"] == user["gid"] == instance.users[0].uid
    assert user["home"] == str(instance.users[0].home)
    assert user["found-by"] == "pam"
    assert instance.ctl("user", "nobody-at-all").returncode == 67
    assert instance.ctl("user", "low").returncode == 67


def test_culverctl_config_shows_what_pam_gets(instance):
    done = instance.ctl("config")
    assert done.returncode == 0, done.stderr
    assert 'group = "shadow"' in done.stdout
    assert 'allow = {"exec"}' in done.stdout
    assert "uid_min = 500" in done.stdout


def test_virtual_users(tree):
    """PAM knows them, and NSS does not."""
    with PamInstance(tree, users=1, options='uid = 61999  gid = 61999  '
                     'home = "{dir}/home/%{user}"') as inst:
        inst.service("auth required pam_permit.so\n"
                     "account required pam_permit.so\n")
        home = inst.dir / "home" / "virtual"
        for path in (home, home / "Maildir", *(home / "Maildir" / d for d in
                                               ("new", "cur", "tmp"))):
            path.mkdir(mode=0o700)
            os.chown(path, 61999, 61999)
        assert inst.login_reply("virtual", "anything").startswith(b"+OK")
        done = inst.ctl("--json", "user", "virtual")
        assert json.loads(done.stdout)["home"] == str(home)


def test_wrong_options(instance):
    text = instance.conf_text()
    for bad, why in (('service = "a/b"', "a file's name"),
                     ("paths = {\"etc\"}", "not an absolute path"),
                     ("uid = 1000", "uid and gid go together"),
                     ('group = "nosuchgroup"', 'no group "nosuchgroup"'),
                     ("group = 0", "group 0 is never given"),
                     ("allow = {net}", "exec"),
                     ("timeout = 0s", "timeout")):
        instance.write_conf(text + f"\nauth more {{ plugin = pam  {bad} }}\n")
        done = instance.run("-t")
        assert done.returncode == 78 and why in done.stderr, (bad, done)
    instance.write_conf(text)


def test_the_next_section_may_have_names_of_system_accounts(tree):
    inst = PamInstance(tree, extra='auth later { plugin = passwdfile '
                       'path = "{dir}/later" }\n')
    user = inst.users[0]
    inst.add("mailing", LOW_UID)
    later = inst.dir / "later"
    later.write_text(f"mailing:{{SHA512-CRYPT}}{crypt(PASSWORD)}:{user.uid}:"
                     f"{user.gid}::{user.home}::\n")
    os.chmod(later, 0o600)
    os.chown(later, ROLE_IDS["auth"], 0)
    with inst:
        assert inst.login_reply("mailing").startswith(b"+OK")
        inst.wait_log("plugin=pam", "user mailing:", "below uid_min")
