"""The passwd file as administrators write it: users without a home, names in
upper case, a file that is missing or not readable."""
import os

import pytest

from culver import PASSWORD, crypt

pytestmark = pytest.mark.once


@pytest.fixture
def instance(make_instance):
    return make_instance(users=2)


def entry(user, name=None, home="", extra=""):
    return f"{name or user.name}:{{SHA512-CRYPT}}{crypt(PASSWORD)}:" \
           f"{user.uid}:{user.gid}::{home}::{extra}\n"


def write(instance, text):
    """The users' own lines give way to these."""
    users, instance.users = instance.users, []
    instance.write_users(extra=text)
    instance.users = users


def test_mail_without_a_home(instance):
    a, b = instance.users
    a.deliver(b"Subject: here\n\nx\n")
    write(instance, entry(a, extra=f"mail={a.maildir}") +
          entry(b, extra="mail=~/Maildir"))
    instance.start()
    with instance.login(a) as pop:
        assert pop.cmd("STAT").split()[1] == b"1"
    with instance.connect() as pop:
        pop.cmd(f"USER {b.name}")
        assert pop.cmd(f"PASS {PASSWORD}").startswith(b"-ERR [SYS/PERM]")
    instance.wait_log(b.name, "has the user a home?")


def test_no_home_at_all(instance):
    a, _ = instance.users
    write(instance, entry(a))
    instance.start()
    with instance.connect() as pop:
        pop.cmd(f"USER {a.name}")
        assert pop.cmd(f"PASS {PASSWORD}").startswith(b"-ERR [SYS/PERM]")
    instance.wait_log(a.name, "option path", "no home")


def test_a_missing_file_is_told_at_the_start(instance):
    os.unlink(instance.userfile)
    instance.start()
    instance.wait_log(" error ", str(instance.userfile), "No such file")
    instance.write_users()
    instance.login(instance.users[0]).close()


@pytest.mark.needs_root
def test_an_unreadable_file_is_told_at_the_start(instance):
    os.chown(instance.userfile, 0, 0)
    os.chmod(instance.userfile, 0o640)
    instance.start()
    instance.wait_log(" error ", str(instance.userfile), "Permission denied")
    done = instance.ctl("user", instance.users[0].name)
    assert done.returncode != 0
    assert str(instance.userfile) in done.stderr + done.stdout


def test_names_in_upper_case_are_told(instance):
    a, b = instance.users
    write(instance, entry(a) + "# Remark\n" + entry(b, name="User2") +
          entry(b, name="Eve") + entry(b, name="eve"))
    instance.start()
    (line, *_) = instance.wait_log(" info ", "user_case = keep")
    assert f"{instance.userfile}: 2 users" in line and "line 3, 4)" in line
    with instance.connect() as pop:
        assert pop.login("User2").startswith(b"-ERR [AUTH]")
