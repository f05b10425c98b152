"""slapd.py - a directory of a test's own: OpenLDAP's server with an instance's
users, on the instance's loopback address and on a socket in its folder.
"""
import base64
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from culver import Failure, crypt, halt, tempdir, until
from databases import quoted

SUFFIX = "dc=example,dc=org"
PEOPLE = f"ou=people,{SUFFIX}"
READER = f"cn=culver,{SUFFIX}"
NOBODY = f"cn=nobody,{SUFFIX}"
READER_PASSWORD = 'se"cr\\et'
MODULES = "/usr/lib/ldap"


def rdn(name):
    """NAME as a value in a DN."""
    return "".join(c if c.isascii() and c.isalnum() else "".join(
        f"\\{b:02x}" for b in c.encode()) for c in name)


def ldif(name, value):
    """A line of an entry."""
    return f"{name}:: " + base64.b64encode(str(value).encode()).decode()


class Slapd:
    """`top` has configuration, data and socket; PORT and the next one are
    used, on the address of `instance`.  MORE is added to slapd.conf behind the
    database's lines, ENTRIES to what is in it; the userPassword of all is
    STORED, or a hash of each one's password."""

    def __init__(self, instance, port=3389, more="", entries=(),
                 stored=None):
        self.instance, self.port, self.proc = instance, port, None
        self.top = Path(tempfile.mkdtemp(prefix="culver-ldap-",
                                         dir=tempdir("")))
        (self.top / "data").mkdir()
        os.chmod(self.top, 0o755)
        self.socket, self.log = self.top / "s", self.top / "log"
        self.ldapi = "ldapi://" + str(self.socket).replace("/", "%2F")
        self.ldap = f"ldap://{instance.address}:{port}"
        self.ldaps = f"ldaps://{instance.address}:{port + 1}"
        self.ca = self.top / "ca.pem"
        shutil.copy(instance.cert, self.ca)
        os.chmod(self.ca, 0o644)
        self.conf(more)
        self.load([self.person(u, stored) for u in instance.users] +
                  list(entries), stored or "{CRYPT}" + crypt("x"))
        self.start()

    def conf(self, more):
        (self.top / "slapd.conf").write_text(f"""
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
modulepath {MODULES}
moduleload back_mdb
moduleload ppolicy
pidfile {self.top}/pid
allow bind_anon_cred
TLSCACertificateFile {self.instance.cert}
TLSCertificateFile {self.instance.cert}
TLSCertificateKeyFile {self.instance.key}
database mdb
suffix "{SUFFIX}"
directory {self.top}/data
rootdn "cn=admin,{SUFFIX}"
rootpw admin
dbnosync
index uid eq
access to attrs=userPassword by dn.exact="{READER}" read by anonymous auth
access to * by dn.exact="{READER}" read by * none
{more}
""")

    @staticmethod
    def person(user, stored):
        stored = stored or "{CRYPT}" + crypt(user.password)
        return "\n".join([f"dn: uid={rdn(user.name)},{PEOPLE}",
                          "objectClass: account", "objectClass: posixAccount",
                          ldif("uid", user.name), ldif("cn", user.name),
                          f"uidNumber: {user.uid}", f"gidNumber: {user.gid}",
                          ldif("userPassword", stored),
                          ldif("homeDirectory", user.home or "/nowhere")])

    def load(self, entries, nobody):
        domain = SUFFIX.split(",", maxsplit=1)[0].removeprefix("dc=")
        text = "\n\n".join([
            f"dn: {SUFFIX}\nobjectClass: domain\ndc: {domain}",
            f"dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people",
            f"dn: {READER}\nobjectClass: organizationalRole\n"
            f"objectClass: simpleSecurityObject\ncn: culver\n"
            f"userPassword: {READER_PASSWORD}",
            f"dn: {NOBODY}\nobjectClass: organizationalRole\n"
            "objectClass: simpleSecurityObject\ncn: nobody\n" +
            ldif("userPassword", nobody), *entries]) + "\n"
        subprocess.run(["slapadd", "-q", "-f", str(self.top / "slapd.conf")],
                       input=text, check=True, text=True,
                       capture_output=True, timeout=60, cwd="/")

    def tool(self, program, text, *args):
        """ldapmodify and its kin, as the directory's administrator."""
        return subprocess.run(
            [program, "-x", "-H", self.ldapi, "-D", f"cn=admin,{SUFFIX}",
             "-w", "admin", *args], input=text, check=True, text=True,
            capture_output=True, timeout=60,
            env={**os.environ, "LDAPNOINIT": "1"}).stdout

    def answers(self):
        return subprocess.run(
            ["ldapwhoami", "-x", "-H", self.ldapi], capture_output=True,
            timeout=30, env={**os.environ, "LDAPNOINIT": "1"}).returncode == 0

    def start(self):
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(
                ["slapd", "-d", "stats", "-f", str(self.top / "slapd.conf"),
                 "-h", f"{self.ldap} {self.ldaps} {self.ldapi}"],
                stdout=log, stderr=log, cwd="/")
        until("slapd", lambda: self.proc.poll() is not None or
              self.answers(), patience=60, pause=0.05)
        if self.proc.poll() is not None:
            raise Failure("slapd ended: " + self.log.read_text())

    def hang(self):
        halt([self.proc.pid])

    def go_on(self):
        self.proc.send_signal(signal.SIGCONT)

    def stop(self):
        if self.proc is not None:
            self.proc.send_signal(signal.SIGKILL)
            self.proc.wait(60)
            self.proc = None

    def close(self):
        self.stop()
        shutil.rmtree(self.top, ignore_errors=True)

    def people(self):
        """Who is in it, as DNs."""
        found = self.tool("ldapsearch", "", "-LLL", "-o", "ldif-wrap=no",
                          "-b", PEOPLE, "-s", "one", "(uid=*)", "1.1")
        return re.findall(r"(?m)^dn::? (.*)$", found)

    def searches(self):
        """Base, scope and filter of all that was searched for."""
        return re.findall(r' SRCH base="(.*)" scope=(\d) deref=\d '
                          r'filter="(.*)"', self.log.read_text(
                              errors="surrogateescape"))

    def section(self, uris=None, more="", base=PEOPLE):
        uris = ", ".join(quoted(u) for u in (uris or [self.ldapi]))
        return (f"auth ldap {{ allow = {{net}}  uri = {{{uris}}}\n"
                f" bind_dn = {quoted(READER)}\n"
                f" bind_password = {quoted(READER_PASSWORD)}\n"
                f" base = {quoted(base)} {more} }}")


def directories(instance):
    """For a fixture: makes directories, each at ports of its own, and ends
    them."""
    made = []

    def make(**kw):
        made.append(Slapd(instance, 3389 + 2 * len(made), **kw))
        return made[-1]

    yield make
    for server in made:
        server.close()
