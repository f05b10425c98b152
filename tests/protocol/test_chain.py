"""Several auth sections: whose password counts, whose mailbox it is, and what
happens while one of them is away."""
import json
import os

import pytest

from culver import PASSWORD, ROLE_IDS, ROOT, crypt, numbered

pytestmark = pytest.mark.once

STAFF, CUSTOMERS = "staff's own", "customer's own"


class Two:
    """Staff in the first section and customers behind it; `user1` is the name
    of one of each, who have mailboxes of their own."""

    def __init__(self, make_instance, first="", second=""):
        self.inst = make_instance(
            users=3, auth=first, limits="bad_commands = 1000", extra='auth '
            'customers { plugin = passwdfile path = "{dir}/customers" '
            + second + " }")
        self.path = self.inst.dir / "customers"
        staff, customer, other = self.inst.users
        staff.password = STAFF
        staff.deliver(numbered(1))
        customer.deliver_all([numbered(i) for i in range(2)])
        other.deliver_all([numbered(i) for i in range(3)])
        lines = self.lines([("user1", customer), ("user3", other)])
        del self.inst.users[1:]
        self.inst.write_users()
        self.write(lines)

    @staticmethod
    def lines(accounts):
        return "".join(f"{name}:{{SHA512-CRYPT}}{crypt(CUSTOMERS)}:{u.uid}:"
                       f"{u.gid}::{u.home}::\n" for name, u in accounts)

    def write(self, text):
        self.path.write_text(text)
        os.chmod(self.path, 0o600)
        if ROOT:
            os.chown(self.path, ROLE_IDS["auth"], ROLE_IDS["auth"])

    def messages(self, user, password):
        """How many messages a login shows, or what it is answered."""
        with self.inst.connect() as pop:
            reply = pop.login(user, password)
            if not reply.startswith(b"+OK"):
                return reply
            n = pop.stat()[0]
            pop.quit()
            return n


def said(inst, user, password):
    """What each section says to `culverctl login-test`."""
    done = inst.ctl("login-test", user, input=password)
    return [line.split(" section ")[1] for line in done.stdout.splitlines()
            if line.startswith("asked ")], done


def test_same_name_in_two_sections(make_instance):
    two = Two(make_instance, "on_wrong = next")
    inst = two.inst.start()
    assert two.messages("user1", STAFF) == 1
    assert two.messages("user1", CUSTOMERS) == 2
    assert two.messages("user3", CUSTOMERS) == 3
    assert two.messages("user1", PASSWORD).startswith(b"-ERR [AUTH]")
    inst.wait_log("user=user1", "reason=bad-password")
    asked, done = said(inst, "user1", CUSTOMERS)
    assert asked == ["passwdfile: password wrong",
                     "customers: password right", "customers: user found"]
    assert done.returncode == 0 and "(section customers)" in done.stdout
    asked, done = said(inst, "nobody", "x")
    assert asked == ["passwdfile: password unknown",
                     "customers: password unknown"]
    assert done.returncode == 67


def test_by_default_a_wrong_password_ends_it(make_instance):
    two = Two(make_instance)
    two.inst.start()
    assert two.messages("user1", STAFF) == 1
    assert two.messages("user1", CUSTOMERS).startswith(b"-ERR [AUTH]")
    assert two.messages("user3", CUSTOMERS) == 3
    asked, done = said(two.inst, "user1", CUSTOMERS)
    assert asked == ["passwdfile: password wrong"]
    assert done.returncode == 77


@pytest.mark.parametrize("then", ("temporary", "next"))
def test_a_section_that_is_away(make_instance, then):
    two = Two(make_instance, f"on_failure = {then} on_wrong = next")
    inst = two.inst.start()
    os.rename(inst.userfile, f"{inst.userfile}.away")
    got = two.messages("user3", CUSTOMERS)
    if then == "next":
        assert got == 3
    else:
        assert got.startswith(b"-ERR [SYS/TEMP]")
    # nobody is told that a password is wrong, for it may be the other's
    for user, password in (("user1", STAFF), ("user3", "x"), ("x", "x")):
        assert two.messages(user, password).startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("auth-error", "section passwdfile")
    asked, done = said(inst, "nobody", "x")
    assert asked[0] == "passwdfile: password failed"
    assert done.returncode == 75


def test_whose_mailbox_it_is(make_instance):
    """Passwords from one section, mailboxes from the one that it names."""
    two = Two(make_instance, "user_data = customers", "provides = {users}")
    inst = two.inst.start()
    assert two.messages("user1", STAFF) == 2
    assert two.messages("user3", CUSTOMERS).startswith(b"-ERR [AUTH]")
    done = inst.ctl("--json", "login-test", "user1", input=STAFF)
    got = json.loads(done.stdout)
    assert got["found-by"] == "customers"
    assert got["asked"] == [
        {"section": "passwdfile", "asked": "password", "said": "right",
         "remembered": False},
        {"section": "customers", "asked": "user", "said": "found",
         "remembered": False}]


def test_mistakes(make_instance):
    inst = make_instance(auth="user_data = nobody on_unknown = maybe")
    done = inst.run("-t")
    assert done.returncode == 78
    for text in ("no section `auth nobody'", "next, stop, temporary"):
        assert text in done.stdout + done.stderr
