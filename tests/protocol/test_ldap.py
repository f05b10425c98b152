"""Users in a real slapd that the test starts: logins by a bind and by an
attribute, names that look like filters, what the tools say."""
import json
import subprocess

import pytest

from culver import PASSWORD, b64, modules, numbered, until
from databases import quoted, use
from scram import Scram
from slapd import PEOPLE, READER, READER_PASSWORD, SUFFIX, directories

pytestmark = [pytest.mark.once,
              pytest.mark.needs("slapd", "slapadd", "ldapwhoami")]

BY_ATTRIBUTE = '''bind = no  credentials = {PLAIN}
 attributes = {"uidNumber=uid", "gidNumber=gid", "homeDirectory=home",
               "userPassword=password", "description=allow_nets"}'''
BY_NAME = f'auth_bind_dn = "uid=%{{user}},{PEOPLE}"'

@pytest.fixture
def slapd(one_instance):
    inst = one_instance(users=3, limits="bad_commands = 1000")
    inst.users[0].name = "o'brien, \"tim\" (x)*\\@user.example"
    yield from directories(inst)


def refused(inst, name, password=PASSWORD):
    with inst.connect() as pop:
        return pop.ended(pop.cmd(
            "AUTH PLAIN " + b64(f"\0{name}\0{password}")))


# --- right and wrong ---------------------------------------------------------

@pytest.mark.parametrize("more", ("", BY_ATTRIBUTE, BY_NAME))
def test_logins(slapd, more):
    server = slapd()
    inst = server.instance
    use(inst, server.section(more=more))
    for u in inst.users:
        u.deliver(numbered(1))
    inst.start()
    for u in inst.users:
        with inst.connect() as pop:
            assert pop.cmd("AUTH PLAIN " + b64(
                f"\0{u.name}\0{u.password}")).startswith(b"+OK"), u.name
            assert pop.stat()[0] == 1
    for name, password in (("user2", "x"), ("nobody", PASSWORD),
                           ("user2", ""), ("nobody", ""),
                           ("user2", PASSWORD + "\0"), ("user2", "\0")):
        assert refused(inst, name, password).startswith(b"-ERR"), password
    with inst.connect() as pop:
        pop.cmd("USER user2")
        assert pop.cmd("PASS ").startswith(b"-ERR")
    with inst.connect() as pop:
        assert pop.login("user2", "x").startswith(b"-ERR [AUTH]")
        assert pop.login("nobody").startswith(b"-ERR [AUTH]")
    assert not inst.log_lines("auth-error")


def test_names_in_a_dn(slapd):
    """Without a search nobody sees whose entry it was: what a server may
    take for another name is nobody's."""
    server = slapd()
    inst = server.instance
    use(inst, server.section(more=BY_NAME))
    inst.start()
    for name in ("*", "\\75ser2", "user2,", f"user2,{PEOPLE}",
                 "user2+cn=user2", "uid=user2", "#75736572", "\"user2\"",
                 "user2\\", "user2\0", " user2", "user2 ", "user  2",
                 "\uff55ser2", "user\uff12", "us\u0435r2", "user2\u00ad",
                 "user\u00b2", "user2\u200b", "\u24e4ser2", "*" * 65536):
        assert refused(inst, name).startswith(b"-ERR"), name
    inst.login(inst.users[1]).quit()
    assert not inst.log_lines("auth-error")


def test_scram(slapd):
    """The attribute has the password itself."""
    server = slapd(stored=PASSWORD)
    inst = server.instance
    use(inst, server.section(more=BY_ATTRIBUTE + ' scheme = "PLAIN"'))
    inst.start()
    with inst.connect() as pop:
        assert Scram("user2", PASSWORD).run(
            pop, "SCRAM-SHA-256").startswith(b"+OK")
    for name, password in (("user2", "x"), ("nobody", PASSWORD)):
        with inst.connect() as pop:
            assert Scram(name, password).run(
                pop, "SCRAM-SHA-256").startswith(b"-ERR [AUTH]")


def test_fields(slapd):
    """allow_nets of several values; a field of the user's data."""
    server = slapd()
    inst = server.instance
    use(inst, server.section(more=BY_ATTRIBUTE))
    inst.start()
    change = (f"dn: uid=user2,{PEOPLE}\nchangetype: modify\n"
              "replace: description\ndescription: 192.0.2.1\n")
    server.tool("ldapmodify", change)
    assert refused(inst, "user2").startswith(b"-ERR [AUTH]")
    inst.wait_log("allow_nets does not have 127.")
    server.tool("ldapmodify", change + "description: 127.0.0.0/8\n")
    inst.login(inst.users[1]).quit()


def test_closed_for_other_passwords(slapd):
    """The password is from a file; that the account is closed counts."""
    server = slapd()
    inst = server.instance
    inst.write_users()
    server.tool("ldapmodify", f"dn: uid=user2,{PEOPLE}\nchangetype: modify\n"
                "add: description\ndescription: TRUE\n\n"
                f"dn: uid=user3,{PEOPLE}\nchangetype: modify\n"
                "add: description\ndescription: FALSE\n")
    only = f'auth passwdfile {{ path = "{inst.userfile}" }}'
    inst.userfile.write_text("".join(
        ":".join(line.split(":")[:2]) + "::::::\n"
        for line in inst.userfile.read_text().splitlines()))
    use(inst, only, server.section(more='attributes = {"uidNumber=uid",'
        ' "gidNumber=gid", "homeDirectory=home", "description=nologin"}'))
    inst.start()
    assert refused(inst, "user2").startswith(b"-ERR [AUTH]")
    assert refused(inst, "user3").startswith(b"+OK")


@pytest.mark.parametrize("more", (
    "(cn=%{domain})", "(description=%{remote})"))
def test_loose_names(slapd, more):
    """What a server takes for the user's name is not his, whatever else the
    filter compares."""
    server = slapd()
    inst = server.instance
    server.tool("ldapmodify", f"dn: uid=user2,{PEOPLE}\nchangetype: modify\n"
                "add: cn\ncn: user.example\n-\n"
                "add: description\ndescription: 127.0.0.1\n"
                f"description: {inst.address}\n")
    use(inst, server.section(more=f'filter = "(&(uid=%{{name}}){more})"'))
    inst.start()
    for name in ("\uff55ser2@user.example", "user\uff12@user.example",
                 " user2@user.example", "user2 @user.example"):
        assert refused(inst, name).startswith(b"-ERR [AUTH]"), name
    if "domain" in more:
        assert refused(inst, "user2@user.example ").startswith(b"-ERR [AUTH]")
    assert refused(inst, "user2@user.example").startswith(b"+OK")
    assert not inst.log_lines("auth-error")


def test_one_search(slapd):
    """A login searches once, also where the entry has no user's data."""
    server = slapd()
    inst = server.instance
    user = inst.users[1]
    use(inst, server.section(more=f'attributes = {{}} uid = {user.uid}'
                             f' gid = {user.gid} home = "{user.home}"'))
    inst.start()
    inst.login(user).quit()
    assert len([s for s in server.searches() if s[0] == PEOPLE]) == 1


def test_several_entries(slapd):
    """Which of two users it is nobody can know."""
    server = slapd(entries=[f"dn: ou=more,{SUFFIX}\nou: more\n"
                            "objectClass: organizationalUnit",
                            f"dn: uid=user2,ou=more,{SUFFIX}\nuid: user2\n"
                            "objectClass: account"])
    inst = server.instance
    use(inst, server.section(base=SUFFIX, more='filter = "(uid=%{user})"'))
    inst.start()
    assert refused(inst, "user2").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("auth-error", "several entries for user user2")
    inst.login(inst.users[2]).quit()


def test_several_values(slapd):
    server = slapd()
    inst = server.instance
    server.tool("ldapmodify", f"dn: uid=user2,{PEOPLE}\nchangetype: modify\n"
                "add: cn\ncn: another\n")
    use(inst, server.section(more='attributes = {"cn=user"}'
                              f' uid = {inst.users[1].uid}'
                              f' gid = {inst.users[1].gid}'
                              f' home = "{inst.dir}/home/%{{user}}"'))
    inst.start()
    assert refused(inst, "user2").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("auth-error", "attribute cn of user user2 has several")


def test_locked_and_expired(slapd):
    """What a password policy says is for the log; clients see the same."""
    server = slapd(more="overlay ppolicy\n"
                   f"ppolicy_default \"cn=policy,{SUFFIX}\"\n"
                   "ppolicy_use_lockout\n",
                   entries=[f"dn: cn=policy,{SUFFIX}\ncn: policy\n"
                            "objectClass: device\nobjectClass: pwdPolicy\n"
                            "pwdAttribute: userPassword\npwdLockout: TRUE\n"
                            "pwdMaxFailure: 3\n"])
    inst = server.instance
    use(inst, server.section())
    inst.start()
    for _ in range(3):
        assert refused(inst, "user2", "x").startswith(b"-ERR [AUTH]")
    assert refused(inst, "user2").startswith(b"-ERR [AUTH]")
    inst.wait_log("user user2 is refused: the account is locked")
    inst.wait_log("user2", "reason=disabled")
    inst.login(inst.users[2]).quit()
    server.tool("ldapmodify", f"dn: cn=policy,{SUFFIX}\nchangetype: modify\n"
                "add: pwdMaxAge\npwdMaxAge: 1\n")
    server.tool("ldapmodify", f"dn: uid=user3,{PEOPLE}\nchangetype: modify\n"
                "replace: pwdChangedTime\npwdChangedTime: 20200101000000Z\n",
                "-e", "relax")
    assert refused(inst, "user3").startswith(b"-ERR [AUTH]")
    inst.wait_log("user user3 is refused: the password has expired")
    inst.wait_log("user3", "reason=expired")


@pytest.mark.parametrize("bind", ("yes", "no"))
def test_locked_without_a_bind(slapd, bind):
    """The server is not asked about the password: its lock counts."""
    server = slapd(stored=PASSWORD, more="overlay ppolicy\n")
    inst = server.instance
    use(inst, server.section(more=BY_ATTRIBUTE.replace("bind = no",
        f"bind = {bind}") + ' scheme = "PLAIN"'))
    inst.start()
    server.tool("ldapmodify", f"dn: uid=user2,{PEOPLE}\nchangetype: modify\n"
                "add: pwdAccountLockedTime\n"
                "pwdAccountLockedTime: 000001010000Z\n", "-e", "relax")
    for name, word in (("user2", b"-ERR [AUTH]"), ("user3", b"+OK")):
        with inst.connect() as pop:
            assert Scram(name, PASSWORD).run(
                pop, "SCRAM-SHA-256").startswith(word)
        if bind == "no":    # and the session before that has ended
            until(f"the other way for {name}",
                  lambda: refused(inst, name).startswith(word))
    inst.wait_log("user user2 is refused: the account is locked (pwd")
    inst.wait_log("user2", "reason=disabled")


# --- the tools -----------------------------------------------------------------

def test_culverctl(slapd):
    server = slapd()
    inst = server.instance
    use(inst, server.section())
    inst.start()
    user = inst.users[1]
    got = json.loads(inst.ctl("--json", "user", "user2").stdout)
    assert (got["user"], got["uid"], got["gid"], got["home"]) == \
        ("user2", user.uid, user.gid, str(user.home))
    assert inst.ctl("user", "nobody").returncode == 67
    assert inst.ctl("user", "user*").returncode == 67
    assert inst.ctl("login-test", "user2", input=PASSWORD).returncode == 0
    assert inst.ctl("login-test", "user2", input="x\n").returncode != 0
    assert inst.ctl("login-test", "user2", input="\n").returncode != 0
    server.stop()
    assert inst.ctl("user", "user2").returncode == 75


@pytest.mark.parametrize("option,why", (
    ('filter = "(uid=%{user}"', "a ) is missing"),
    ('filter = "(uid=%{password})"', "only %{user}"),
    ('filter = "(%{user}=x)"', "a variable stands"),
    ('filter = "(uid=%u)"', "written %{user}"),
    ('filter = "(uid=%{user}*)"', "whose entry is it?"),
    ('filter = "(&(uid=x)(host=%{remote}))"', "whose entry is it?"),
    ('attributes = {"uidNumber"}', "ATTRIBUTE=FIELD"),
    ('attributes = {"uid=user", "cn=user"}', "the same field"),
    ("bind = no", "userPassword=password"),
    ('auth_bind_dn = "uid=x"', "no %{user}"),
    ('dummy_dn = "uid=%{user}"', "the same for all"),
    ('tls_certificate = "/x"', "go together"),
    ('base = "people"', "is not a DN"),
    ('bind_password = ""', "go together"),
    ('uri = {"http://x"}', "is not ldap://"),
    ('uri = {"ldap://x/dc=y"}', "more than a server"),
    ('uri = {"ldap://"}', "names no server"),
    ('uri = {"ldap://a ldap://b"}', "is not ldap://"),
    ('uri = {"ldaps://x"} tls = off', "is TLS"),
))
def test_mistakes(one_instance, option, why):
    inst = one_instance(users=1)
    have = {"uri": '{"ldap://localhost"}', "bind_dn": '"cn=x"',
            "bind_password": '"y"', "base": quoted(PEOPLE)}
    section = "\n".join(f"{k} = {v}" for k, v in have.items()
                        if k not in option.split())
    use(inst, f"auth ldap {{ allow = {{net}}\n{section}\n{option} }}")
    done = inst.run("-t")
    assert done.returncode == 78
    assert why in done.stdout + done.stderr


@pytest.mark.parametrize("bind", ("bind=yes", "bind=no"))
@pytest.mark.timeout(600)
@pytest.mark.parametrize("groups", [
    "elf,descriptor,options,auth,hygiene,versions",
    pytest.param("deadline", marks=pytest.mark.slow)])
def test_plugin_check(slapd, tmp_path, tree, groups, bind):
    """culver-plugin check finds nothing wrong with it.  Not all groups:
    libldap itself asserts that there is memory."""
    server = slapd()
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    argv = [str(tree / "usr/local/bin/culver-plugin"), "check", "--kind",
            "auth", "--user", "user2", "--password-file", str(password),
            "--only", groups]
    for option in (f"uri={server.ldapi}", f"base={PEOPLE}", bind,
                   f"bind_dn={READER}", f"bind_password={READER_PASSWORD}",
                   'attributes={"uidNumber=uid", "gidNumber=gid",'
                   ' "homeDirectory=home", "userPassword=password"}'):
        argv += ["--option", option]
    done = subprocess.run(argv + ["--plugin-dir", str(modules(tree)), "ldap"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not ok" not in done.stdout
