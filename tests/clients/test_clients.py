"""Real clients against the corpus: curl, fetchmail, mpop, getmail6, fdm,
poplib and Net::POP3, each over plain TCP, STLS and implicit TLS where it
can: fetch and keep, twice, then fetch and delete.

What a client stores is compared octet for octet with what it makes of the
octets sent, which its `stored()` says:

    curl, poplib    the octets sent
    Net::POP3       CRLF becomes LF, over TLS not even that
    mpop            CRLF becomes LF
    fdm             CRLF becomes LF; NUL and the rest of its line are lost
    getmail         CRLF and a bare CR become LF, Return-Path in front, the
                    header gets its end: Python's email package
    fetchmail       every CR is lost, NUL in the header too, the header gets
                    its end

A message that a client cannot carry is in its `cannot`, and is left out of
the mailbox only then.  That it is the client is shown by curl and poplib,
which get every octet of all of them from the same server.
"""
import os
import pwd
import re
import shutil
import subprocess
import sys

import pytest

from corpus import CORPUS, HUGE, by_uidl, wire
from culver import PASSWORD, PORT, ROOT, TLS_PORT

NOBODY = pwd.getpwnam("nobody").pw_uid    # getmail and fdm look it up

MODES = ("plain", "stls", "tls")


class Client:
    """One program; knows how to fetch and what it makes of a message."""

    needs = ()
    needs_account = False   # looks the caller up
    modes = MODES
    keeps_uidls = True      # fetches nothing the second time
    cannot = {}             # name in the corpus -> why
    loose = {}              # name -> is this what the client makes of it?

    def __init__(self, instance, user, mode, home):
        self.instance, self.user, self.mode = instance, user, mode
        self.home = home
        self.port = TLS_PORT if mode == "tls" else PORT
        home.mkdir()
        # getmail and fetchmail will not be root, so none of them is
        self.ids = {"user": NOBODY, "group": NOBODY, "extra_groups": []} \
            if ROOT else {}
        self.cert = home / "cert.pem"
        shutil.copy(instance.cert, self.cert)
        self.cert.chmod(0o644)
        self.give(home)

    def give(self, path):
        if ROOT:
            os.chown(path, NOBODY, NOBODY)
        return path

    def run(self, *argv, ok=(0,), stdin=None, **env):
        # only what the client needs: nothing of the caller's environment
        full = {"PATH": os.environ["PATH"], "HOME": str(self.home),
                "LC_ALL": "C", "TMPDIR": str(self.home), **env}
        p = subprocess.run([str(a) for a in argv], env=full, cwd=self.home,
                           input=stdin, capture_output=True, timeout=100,
                           **self.ids)
        assert p.returncode in ok, \
            f"{argv[0]} ended with {p.returncode}\n" \
            f"{p.stdout[-2000:]!r}\n{p.stderr[-2000:]!r}"
        return p.stdout

    def write(self, name, text, mode=0o600):
        path = self.home / name
        path.write_text(text)
        path.chmod(mode)
        return self.give(path)

    def fetch(self, keep):
        """Fetch what is new; the list of what was stored."""
        raise NotImplementedError

    def stored(self, message):
        """What the client must make of a message of the mailbox."""
        return wire(message)

    def new_maildir(self):
        path = self.home / "in"
        if path.exists():
            shutil.rmtree(path)
        path.mkdir()
        for d in ("tmp", "new", "cur"):
            (path / d).mkdir()
            self.give(path / d)
        return self.give(path)

    def read_maildir(self, path):
        return [p.read_bytes() for d in ("new", "cur")
                for p in (path / d).iterdir()]


class Curl(Client):
    needs = ("curl",)
    keeps_uidls = False

    def options(self):
        scheme = "pop3s" if self.mode == "tls" else "pop3"
        # the name in the certificate, at the instance's address
        self.url = f"{scheme}://localhost:{self.port}/"
        return ["curl", "-sS", "--user", f"{self.user.name}:{PASSWORD}",
                "--connect-to", f"::{self.instance.address}:",
                *(["--cacert", self.cert]
                  if self.mode != "plain" else []),
                *(["--ssl-reqd"] if self.mode == "stls" else [])]

    def fetch(self, keep):
        curl = self.options()
        listing = self.run(*curl, self.url).decode()
        numbers = [int(line.split()[0]) for line in listing.splitlines()
                   if line]   # an empty listing: see stored()
        got = []
        if numbers:
            # one session, so that numbers stay
            argv = [a for n in numbers for a in
                    (f"{self.url}{n}", "-o", f"m{n}")]
            self.run(*curl, *argv)
            for n in numbers:
                got.append((self.home / f"m{n}").read_bytes())
                (self.home / f"m{n}").unlink()
            if not keep:
                self.run(*curl, "-I", "-X", "DELE",
                         *(f"{self.url}{n}" for n in numbers))
        return got


    def stored(self, message):
        # curl ends an empty message with the CRLF of the reply's line
        return wire(message) or b"\r\n"


class Poplib(Client):
    keeps_uidls = False
    # poplib refuses lines of more than 2,048 octets unless told otherwise
    program = r"""
import os, poplib, ssl, sys
poplib._MAXLINE = 1 << 24
mode, host, port, user, password, cert, keep = sys.argv[1:]
context = ssl.create_default_context(cafile=cert)
context.check_hostname = False
if mode == "tls":
    pop = poplib.POP3_SSL(host, int(port), timeout=60, context=context)
else:
    pop = poplib.POP3(host, int(port), timeout=60)
if mode == "stls":
    pop.stls(context)
pop.user(user)
pop.pass_(password)
n, octets = pop.stat()
listed = [int(row.split()[1]) for row in pop.list()[1]]
assert len(listed) == n and sum(listed) == octets, (listed, n, octets)
assert len(pop.uidl()[1]) == n
for i in range(1, n + 1):
    reply, lines, size = pop.retr(i)
    data = b"".join(line + b"\r\n" for line in lines)
    # `size` counts stuffed dots, too; the rest must agree
    assert len(data) == listed[i - 1], (i, len(data), listed[i - 1])
    with open("m%d" % i, "wb") as f:
        f.write(data)
    if keep != "keep":
        pop.dele(i)
pop.quit()
"""

    def fetch(self, keep):
        self.run(sys.executable, "-c", self.program, self.mode,
                 self.instance.address, self.port, self.user.name, PASSWORD,
                 self.cert, "keep" if keep else "delete")
        return take_files(self.home, "m")


class NetPop3(Client):
    needs = ("perl",)
    keeps_uidls = False
    program = r"""
use strict; use warnings; use Net::POP3;
my ($mode, $host, $port, $user, $password, $cert, $keep) = @ARGV;
my @tls = (SSL_ca_file => $cert, SSL_verifycn_name => "localhost",
    SSL_hostname => "localhost");
my $pop = Net::POP3->new($host, Port => $port, Timeout => 60,
    $mode eq "tls" ? (SSL => 1, @tls) : ()) or die "connect: $@";
$pop->starttls(@tls) or die "stls: " . $pop->message if $mode eq "stls";
defined $pop->login($user, $password) or die "login: " . $pop->message;
my $list = $pop->list or die "list";
my $uidl = $pop->uidl or die "uidl";
keys(%$uidl) == keys(%$list) or die "counts differ";
for my $n (sort { $a <=> $b } keys %$list) {
    open my $f, ">", "m$n" or die; binmode $f;
    my $lines = $pop->get($n) or die "retr $n: " . $pop->message;
    print $f @$lines; close $f or die;
    $pop->delete($n) or die "dele $n" if $keep ne "keep";
}
$pop->quit or die "quit: " . $pop->message;
"""

    def fetch(self, keep):
        self.run("perl", "-e", self.program, self.mode,
                 self.instance.address, self.port, self.user.name, PASSWORD,
                 self.cert, "keep" if keep else "delete")
        return take_files(self.home, "m")

    def stored(self, message):
        text = wire(message)
        return lf(text) if self.mode == "plain" else text


class Mpop(Client):
    needs = ("mpop",)

    def fetch(self, keep):
        box = self.new_maildir()
        tls = {"plain": "tls off",
               "stls": "tls on\ntls_starttls on",
               "tls": "tls on\ntls_starttls off"}[self.mode]
        if self.mode != "plain":
            tls += f"\ntls_trust_file {self.cert}" \
                   "\ntls_host_override localhost"
        conf = self.write("mpoprc", f"""
account default
host {self.instance.address}
port {self.port}
user {self.user.name}
password {PASSWORD}
auth {"plain" if self.mode != "plain" else "user"}
{tls}
uidls_file {self.home}/uidls
keep {"on" if keep else "off"}
only_new {"on" if keep else "off"}
received_header off
delivery maildir {box}
""")
        self.run("mpop", f"--file={conf}", "-q")
        return self.read_maildir(box)

    def stored(self, message):
        return lf(wire(message))


class Getmail(Client):
    needs = ("getmail",)
    needs_account = True
    modes = ("plain", "tls")        # getmail6 knows no STLS
    # getmail asks after a child whose number it does not know yet if that ends
    # early, and waits for ever: it is run with a plain waitpid().
    program = r"""
import os, runpy, shutil, sys
from getmailcore.baseclasses import ForkingBase
def wait(self, pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
ForkingBase._prepare_child = lambda self: None
ForkingBase._wait_for_child = wait
sys.argv[0] = shutil.which("getmail")
runpy.run_path(sys.argv[0], run_name="__main__")
"""

    def fetch(self, keep):
        box = self.new_maildir()
        kind = "SimplePOP3SSLRetriever" if self.mode == "tls" \
            else "SimplePOP3Retriever"
        tls = f"ca_certs = {self.cert}" if self.mode == "tls" else ""
        conf = self.write("getmailrc", f"""
[retriever]
type = {kind}
server = {self.instance.address}
port = {self.port}
username = {self.user.name}
password = {PASSWORD}
timeout = 60
{tls}
[destination]
type = Maildir
path = {box}/
[options]
read_all = {"false" if keep else "true"}
delete = {"false" if keep else "true"}
delivered_to = false
received = false
verbose = 0
""")
        self.run("/usr/bin/python3", "-c", self.program,
                 f"--getmaildir={self.home}", f"--rcfile={conf}")
        return self.read_maildir(box)

    def stored(self, message):
        text = re.sub(rb"\r\n|\r", b"\n", lf(wire(message)))
        if text.startswith(b": odd\n"):        # no header field
            text = text.replace(b": odd", b"", 1)
        elif text == b".\n":                   # nor is this
            text = b"\n" + text
        return b"Return-Path: <unknown>\n" + end_of_header(text)


class Fetchmail(Client):
    needs = ("fetchmail",)
    needs_account = True
    cannot = {
        "empty_file": "sends a note about headerless mail instead",
        "only_newline": "sends a note about headerless mail instead",
        "only_dot": "takes it for a broken header and skips it",
        "only_dot_line": "takes it for a broken header and skips it",
        "bare_header_colon": "takes it for a broken header and skips it",
    }
    # its buffer is 8 KiB, and it puts octets of its own at the ends
    loose = {"long_line": lambda got: got.count(b"z") == 1000000,
             "chunk_edges": lambda got: got.count(b"y") == sum(
                 len(run) for run in re.findall(
                     b"y+", CORPUS["chunk_edges"]))}

    def fetch(self, keep):
        box = self.home / "in"
        if box.exists():
            shutil.rmtree(box)
        box.mkdir()
        self.give(box)
        mda = self.write("mda", f"""#!/bin/sh
umask 077
exec cat > "$(mktemp {box}/mXXXXXXXX)"
""", 0o700)
        tls = {"plain": 'sslproto ""',
               "stls": "sslproto TLS1.2+",
               "tls": "ssl"}[self.mode]
        if self.mode != "plain":
            tls += f' sslcertfile "{self.cert}" sslcertck' \
                   ' sslcommonname localhost'
        rc = self.write("fetchmailrc", f"""
set invisible
set no bouncemail
set no spambounce
poll {self.instance.address} protocol pop3 port {self.port} uidl timeout 60
    user "{self.user.name}" password "{PASSWORD}" is "nobody" here
    {tls}
    {"keep" if keep else "nokeep fetchall"}
    no rewrite no mimedecode pass8bits
    mda "{mda}"
""")
        # 1: nothing new
        self.run("fetchmail", "-f", rc, "-i", self.home / "ids", "--pidfile",
                 self.home / "pid", "--nosyslog", "--nodetach", ok=(0, 1))
        return take_files(box, "m")

    def stored(self, message):
        text = end_of_header(wire(message).replace(b"\r", b""))
        head, body = text.split(b"\n\n", 1)
        return head.replace(b"\0", b"") + b"\n\n" + body


class Fdm(Client):
    needs = ("fdm",)
    needs_account = True
    cannot = {"empty_file": "ends its session there"}

    def fetch(self, keep):
        box = self.new_maildir()
        server = "pop3s" if self.mode == "tls" else "pop3"
        words = [f'account "x" {server} server "{self.instance.address}"',
                 f'port {self.port} user "{self.user.name}"',
                 f'pass "{PASSWORD}"']
        if keep:
            words.append(f'new-only cache "{self.home}/uidls"')
        if self.mode == "stls":
            words.append("starttls")
        if self.mode != "plain":
            words.append("insecure")    # it cannot be told a name to expect
        if keep:
            words.append("keep")
        conf = self.write("fdm.conf", f"""
set lock-types fcntl
set lock-file "{self.home}/lock"
set maximum-size 1G
set no-received
{" ".join(words)}
action "box" maildir "{box}"
match all action "box"
""")
        self.run("fdm", "-f", conf, "fetch")
        return self.read_maildir(box)

    def stored(self, message):
        return re.sub(rb"\0[^\n]*", b"", lf(wire(message)))


def lf(data):
    return data.replace(b"\r\n", b"\n")


def end_of_header(text):
    """With an empty line behind the header if there is none."""
    return text if text.startswith(b"\n") or b"\n\n" in text \
        else text + b"\n"


def take_files(directory, prefix):
    got = []
    for path in sorted(directory.iterdir()):
        if re.fullmatch(prefix + r"\w+", path.name):
            if path.is_file() and path.name != "mda":
                got.append(path.read_bytes())
                path.unlink()
    return got


CLIENTS = (Curl, Poplib, NetPop3, Mpop, Getmail, Fetchmail, Fdm)
CASES = [pytest.param(c, m, id=f"{c.__name__.lower()}-{m}",
                      marks=[pytest.mark.needs(*c.needs)] +
                      [pytest.mark.needs_account] * c.needs_account)
         for c in CLIENTS for m in c.modes]


@pytest.fixture(scope="module")
def instance(make_instance):
    return make_instance(users=1).start()


@pytest.fixture
def user(instance):
    user = instance.users[0]
    instance.login(user).quit()
    user.empty()
    return user


@pytest.fixture
def home(instance, request):
    """Searchable by the user that the clients run as."""
    path = instance.dir / "clients"
    path.mkdir(mode=0o711, exist_ok=True)
    path.chmod(0o711)
    return path / re.sub(r"\W", "_", request.node.name)


def check(client, messages, got):
    """GOT is what the client makes of MESSAGES, each once."""
    got = list(got)
    for name, test in client.loose.items():
        if name in messages:
            mine = [g for g in got
                    if f"<{name}@example.org>".encode() in g[:2000]]
            assert len(mine) == 1 and test(mine[0]), name
            got.remove(mine[0])
    for name, message in messages.items():
        if name not in client.loose:
            expect = client.stored(message)
            assert expect in got, f"{name}: {expect[:500]!r} is not there"
            got.remove(expect)
    assert got == []


@pytest.mark.parametrize("kind,mode", CASES)
def test_keep_twice_then_delete(instance, user, home, kind, mode):
    messages = {n: m for n, m in CORPUS.items() if n not in kind.cannot}
    by_uidl(user, messages)
    before = user.contents()
    client = kind(instance, user, mode, home)
    check(client, messages, client.fetch(keep=True))
    again = client.fetch(keep=True)
    if client.keeps_uidls:
        assert again == [], "fetched again what it has"
    else:
        check(client, messages, again)
    assert user.contents() == before
    check(client, messages, client.fetch(keep=False))
    assert user.contents() == {}
    assert client.fetch(keep=False) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind,mode", CASES)
def test_fifty_megabytes(instance, user, home, kind, mode):
    user.deliver(HUGE())
    client = kind(instance, user, mode, home)
    check(client, {"huge": HUGE()}, client.fetch(keep=False))
    assert user.contents() == {}


@pytest.mark.needs("mpop")
def test_new_mail_between_two_polls(instance, user, home):
    """Clients that remember UIDLs get the new message alone."""
    client = Mpop(instance, user, "plain", home)
    user.deliver(CORPUS["plain"])
    check(client, {"plain": CORPUS["plain"]}, client.fetch(keep=True))
    user.deliver(CORPUS["mixed"])
    if instance.kind == "maildir":          # another reader marks all seen
        for name, path in user.files().items():
            path.rename(user.maildir / "cur" / (name + ":2,S"))
    check(client, {"mixed": CORPUS["mixed"]}, client.fetch(keep=True))
