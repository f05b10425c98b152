"""Names and passwords that try to be SQL, filters, commands, paths or lines of
the log, against every auth plugin: each is a name like any other, and not one
that somebody has.

A plugin is a class in PLUGINS, made with an instance (of the class `instance`,
which may be another one), the fixture `databases` and `more` for its section.
It puts the instance's users behind the plugin; `sections` are for culver.conf
(None: it has them); unchanged() asserts that nothing but what is usual was
asked and that all is there still.
"""
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from culver import PASSWORD, ROLE_IDS, ROOT, Instance, b64, crypt, until
from databases import QUERY, SERVERS, use
from idp import CLIENT, SECRET, Idp, response
from pam import PamInstance
from slapd import PEOPLE, Slapd

pytestmark = pytest.mark.once

FORGED = "2026-01-01T00:00:00.000+00:00 culver[auth/1]: info forged=yes"
ODD = ["o'brien@user.example", "%{domain}@user.example", "a b; -- \"*)(|&",
       "\u00fcser\\", "user1@user1"]
NAMES = [
    # SQL
    "'", "''", "\\'", "\"", "`", "user1'--", "user1'-- ", "user1'#",
    "user1' OR '1'='1", "' OR 1=1 --", "' OR 1=1 -- ", "\\' OR 1=1 -- ",
    "\" OR \"\"=\"", "' UNION SELECT '{PLAIN}geheim' --",
    "'; DROP TABLE users; --", "\"; DROP TABLE users; -- ", ";--", "a;b",
    "user1;--", "/*", "*/", "--", "#", "$1", "$a$", "?", ":name", "@name",
    "E'\\''", "\\", "\\x27", "\\u0027", "_", "%", "user%", "user_",
    # our own, and others', variables and formats
    "%{user}", "%{domain}", "%{domain}@%{name}", "user1%{domain}", "%u", "%n",
    "%s%n%p", "%1$n", "%%", "${user}", "$(id)", "`id`", "$USER", "~user1",
    # filters, commands, paths, addresses
    "*", "user*", "*)(uid=*", "user1)(uid=*))(|(uid=*", "(|(uid=*))", "&", "|",
    "user1|id", "user1 -x", "-x", "--help", "../user1", "./user1", "user1/",
    "/etc/passwd", ".", "..", "user1@", "@", "@user1", "user1@@",
    # control characters, and lines of the log
    "user1\n", "user1\r", "user1\r\n", "\nuser1", "user1\n' OR 1=1",
    "user1\t", "user1\0", "\0user1", "user1\x7f", "user1\x1b[2J",
    "user1\x85", "user1\u2028", f"x\n{FORGED}", f"x\r\n{FORGED}",
    f"x\u2028{FORGED}", f'x" {FORGED}', "x\" forged=yes \"", "x forged=yes",
    "x\\\" forged=yes",
    # what looks like an apostrophe, and what looks like user1
    "\u02bc OR 1=1", "\uff07 OR 1=1 --", "\u2019 OR 1=1", "\u00b4",
    "us\u0435r1", "user\uff11", "\uff55\uff53\uff45\uff521", "user\u00b9",
    "\u00faser1", "u\u0308ser1", "us\u200ber1", "user1\u200b", "user1\u00ad",
    "\ufeffuser1", "\u202euser1", "user1 ", " user1",
    "u ser1", "user01", "user1.",
    # octets that are not text
    b"\xbf' OR 1=1 --", b"user1\xc0\x80", b"\xff", b"user1\xe2\x80",
    b"\xed\xa0\x80", b"user1\xf5\x80\x80\x80",
    # long ones
    "'" * 255, "\u00fc" * 127, "'" * 256, "u" * 1000, "'" * 65536,
    "%{user}" * 9000, "user1" + " " * 65536, "\n" * 65536,
]


class PasswdFile:
    """The users of the instance, as they are."""
    instance = Instance

    def __init__(self, inst, databases, more):
        self.inst, self.more = inst, more
        inst.write_users()
        self.text = inst.userfile.read_bytes()
        self.sections = [f'auth passwdfile {{ path = "{inst.userfile}" '
                         f'{more} }}']

    def unchanged(self):
        assert self.inst.userfile.read_bytes() == self.text


class Sql:
    driver, instance = "sqlite", Instance

    def __init__(self, inst, databases, more):
        self.database = databases.get(self.driver)
        self.database.fill(inst.users)
        self.users = len(inst.users)
        self.sections = [self.database.section(more)]
        self.database.log_statements()
        self.before = len(self.database.statements())

    def unchanged(self):
        count = self.database.sql("SELECT count(*) FROM users")
        assert int(count) == self.users
        ran = self.database.statements()[self.before:]
        assert {self.plain(s) for s in ran} <= {self.plain(QUERY)}
        assert bool(ran) == (self.driver != "sqlite")

    @staticmethod
    def plain(statement):
        """With one kind of placeholders."""
        return re.sub(r"%\{\w+\}|\$\d", "?", statement.strip())


class Pgsql(Sql):
    driver = "pgsql"


class Mysql(Sql):
    driver = "mysql"


class Exec:
    """The example in Perl, over a file of its own."""
    instance = Instance
    EXAMPLE = Path(__file__).parents[2] / "contrib/auth-exec/users.pl"

    def __init__(self, inst, databases, more):
        top = inst.dir / "auth"
        top.mkdir(mode=0o755)
        shutil.copy(self.EXAMPLE, top)
        self.users = top / "users"
        self.users.write_text("".join(
            f"{u.name}:{crypt(u.password)}:{u.uid}:{u.gid}:{u.home}\n"
            for u in inst.users))
        os.chmod(self.users, 0o640)
        if ROOT:
            os.chown(self.users, 0, ROLE_IDS["auth"])
        self.text = self.users.read_bytes()
        self.sections = [f'auth exec {{ allow = {{exec}}  program = '
                         f'{{"{top}/users.pl", "{self.users}"}} {more} }}']

    def unchanged(self):
        assert self.users.read_bytes() == self.text


class Checkpassword(Exec):
    """The same users, by a program that is run for each login."""

    def __init__(self, inst, databases, more):
        super().__init__(inst, databases, more)
        program = inst.dir / "auth/check"
        program.write_text(f"""#!/usr/bin/perl
open my $asked, '<&=', 3 or exit 111;
my ($name, $password) = split /\\0/, join('', <$asked>), -1;
open my $users, '<', '{self.users}' or exit 111;
my ($user) = grep $$_[0] eq $name, map {{ chomp; [split /:/, $_, -1] }} <$users>;
my (undef, $hash, @data) = $user ? @$user : exit($ENV{{AUTHORIZED}} ? 3 : 1);
exit 1 if !$ENV{{AUTHORIZED}} && crypt($password, $hash) ne $hash;
$ENV{{AUTHORIZED}} &&= 2;
@ENV{{qw(userdb_uid userdb_gid HOME)}} = @data;
$ENV{{EXTRA}} = 'userdb_uid userdb_gid';
exec @ARGV;
""")
        os.chmod(program, 0o755)
        self.sections = [f'auth checkpassword {{ allow = {{exec}} '
                         f'program = {{"{program}"}} lookup = yes {more} }}']


class Pam:
    """pam_unix, with accounts of those names."""
    instance, sections = PamInstance, None

    def __init__(self, inst, databases, more):
        inst.accounts = [(u.name, u.uid, u.home, {}) for u in inst.users]
        inst.write_accounts()
        self.shadow = inst.etc / "shadow"
        self.text = self.shadow.read_bytes()

    def unchanged(self):
        assert self.shadow.read_bytes() == self.text


class Ldap:
    """A bind as the user."""
    instance = Instance
    fields = ""
    password = ""

    def __init__(self, inst, databases, more):
        self.server = databases.keep(Slapd(inst))
        self.users = len(inst.users)
        home = ', "homeDirectory=home"' if inst.users[0].home else ""
        self.sections = [self.server.section(more=f"""{self.fields} {more}
 attributes = {{"uidNumber=uid", "gidNumber=gid"{home}{self.password}}}""")]

    def unchanged(self):
        """Each search was for one name, whatever it was; slapd says when it
        took none of it for text."""
        searched = self.server.searches()
        assert searched and len(self.server.people()) == self.users
        name = r"(?:[^()*\\]|\\[0-9a-fA-F]{2})*"
        uid = rf"(?:\(uid={name}\)|\(\?=(?:false|undefined)\))"
        for base, scope, asked in searched:
            assert (base, scope) == (PEOPLE, "2")
            assert re.fullmatch(rf"\(&\(objectClass=posixAccount\){uid}\)",
                                asked), asked


class LdapHash(Ldap):
    """The user's password from an attribute."""
    fields = "bind = no"
    password = ', "userPassword=password"'


PLUGINS = [PasswdFile, Sql] + [
    pytest.param(kind, marks=pytest.mark.needs("slapd"))
    for kind in (Ldap, LdapHash)] + [
    pytest.param({"pgsql": Pgsql, "mysql": Mysql}[server.values[0]],
                 marks=server.marks) for server in SERVERS] + [
    Exec, Checkpassword, pytest.param(Pam, marks=[
        pytest.mark.needs_root, pytest.mark.maildir,
        pytest.mark.needs("unshare")])]


@pytest.fixture(params=PLUGINS)
def plugin(request):
    return request.param


@pytest.fixture
def inst(plugin, databases, tree):
    """An instance; its `plugin` is what asks about users."""
    inst = plugin.instance(tree, users=1 + len(ODD),
                           limits="bad_commands = 1000")
    for user, name in zip(inst.users[1:], ODD):
        user.name = name
    inst.plugin = plugin(inst, databases, "")
    if inst.plugin.sections:
        use(inst, *inst.plugin.sections)
    yield inst
    inst.stop()
    inst.remove()


def octets(text):
    return text if isinstance(text, bytes) else text.encode()


def refused(inst, what, *lines):
    """The client is told no, or hears nothing more; another one is served."""
    with inst.connect() as pop:
        try:
            for line in lines:
                reply = pop.cmd(line)
                if reply.startswith(b"-ERR"):
                    break
        except (EOFError, ConnectionError):
            return
    assert reply.startswith(b"-ERR"), what
    assert not reply.startswith(b"-ERR [SYS"), what


def check_log(inst):
    """Every line is one of ours, and has no word of a client outside of
    quotes; nobody says that something is wrong."""
    line = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d "
                      r"culver\[[a-z]+/\d+\]: (debug|info|warn|error) \S.*")
    for text in inst.errfile.read_bytes().split(b"\n")[:-1]:
        assert re.fullmatch(rb"[ -~]+", text), text
        text = text.decode()
        assert line.fullmatch(text), text
        assert "forged" not in re.sub(r'"(\\.|[^"\\])*"', "", text), text
    assert not inst.log_lines("auth-error")


def check_alive(inst, before):
    """Nothing died meanwhile, and those who may log in can."""
    for user in inst.users:
        with inst.connect() as pop:
            assert pop.auth_plain(user.name).startswith(b"+OK"), user.name
            pop.quit()
    # a program that a pool starts looks like the pool for a moment
    until("nothing but the same processes",
          lambda: (inst.role("pool"), inst.role("auth")) == before)
    inst.plugin.unchanged()
    check_log(inst)


@pytest.mark.timeout(300)
def test_names(inst):
    inst.start()
    before = inst.role("pool"), inst.role("auth")
    for name in map(octets, NAMES):
        refused(inst, name, b"AUTH PLAIN " + b64(
            b"\0" + name + b"\0" + PASSWORD.encode()).encode())
        # a line ends there, and blanks at the end of one are nobody's
        if not re.search(b"[\r\n]", name) and name.strip(b" ") != b"user1":
            refused(inst, name, b"USER " + name,
                    b"PASS " + PASSWORD.encode())
    check_alive(inst, before)


@pytest.mark.timeout(300)
def test_passwords(inst):
    inst.start()
    before = inst.role("pool"), inst.role("auth")
    for name in map(octets, NAMES + [PASSWORD + x for x in (
            "\0", "\0x", " ", "'", "\n")]):
        refused(inst, name, b"AUTH PLAIN " +
                b64(b"\0user1\0" + name).encode())
    check_alive(inst, before)


@pytest.fixture
def idp():
    server = Idp()
    yield server
    server.remove()


@pytest.mark.timeout(300)
def test_names_of_tokens(make_instance, idp):
    """What the client says, and what the provider says, is a name only."""
    inst = make_instance(users=1, limits="bad_commands = 1000")
    inst.write_conf(inst.conf_text().replace("auth passwdfile", f"""
auth oauth2 {{
    allow = {{net}}  tls_ca = "{idp.ca}"  scope = {{"mail"}}
    introspection_url = "{idp.url}/introspect"
    client_id = "{CLIENT}"  client_secret = "{SECRET}"
}}
auth passwdfile"""))
    inst.plugin = PasswdFile(inst, None, "")
    inst.start()
    before = inst.role("pool"), inst.role("auth")
    right = idp.opaque("user1")
    for name in map(octets, NAMES):
        for mech in ("XOAUTH2", "OAUTHBEARER"):
            refused(inst, name, f"AUTH {mech} {response(mech, name, right)}",
                    "*")
    for name in [x for x in NAMES if isinstance(x, str) and len(x) < 5000
                 and "\0" not in x]:     # it is no JSON with that
        token = idp.opaque(name)
        refused(inst, name, "AUTH XOAUTH2 " +
                response("XOAUTH2", "user1", token), "*")
    # it was asked, and did say what was wrong
    inst.wait_log("refused", 'token for user "x forged=yes"', "it is user1's")
    inst.wait_log("refused", "token for user user1", 'it is "x forged=yes"\'s')
    assert good_token(inst, right)
    check_alive(inst, before)


def good_token(inst, token):
    with inst.connect() as pop:
        return pop.cmd("AUTH XOAUTH2 " + response(
            "XOAUTH2", "user1", token)).startswith(b"+OK")


def test_names_that_are_odd(inst):
    """Those who have such a name are themselves, and nobody else."""
    for user in inst.users:
        user.deliver(user.name.encode() + b"\n")
    inst.start()
    for user in inst.users:
        with inst.connect() as pop:
            assert pop.auth_plain(user.name).startswith(b"+OK"), user.name
            assert pop.multi("RETR 1") == user.name.encode() + b"\r\n"
            pop.quit()
        done = inst.ctl("--json", "user", user.name)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["user"], found["home"]) == (user.name, str(user.home))
    inst.plugin.unchanged()
    check_log(inst)


@pytest.mark.parametrize("plugin", [PasswdFile, Sql])
def test_homes(databases, one_instance, plugin):
    """A name in a path stays one part of it, and is not expanded again."""
    inst = one_instance(users=len(ODD))
    for user, name in zip(inst.users, ODD):
        user.name, user.home = name, ""
    use(inst, *plugin(inst, databases,
                      'home = "/srv/%{user}/%{name}"').sections)
    for name in ODD:
        done = inst.ctl("--json", "user", name)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["home"] == \
            f"/srv/{name}/{name.rpartition('@')[0] or name}"
