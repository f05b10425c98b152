"""SCRAM, RFC 5802, 7677 and 9266: with passwords and with keys in the passwd
file, without and with a binding to the TLS channel, by a client that shows
each message and by GNU SASL's; what a failure tells; what CAPA shows."""
import base64
import re
import select
import ssl
import subprocess

import pytest

import culver
from culver import PASSWORD, TLS_PORT, b64, numbered
from scram import Gsasl, Scram, stored

pytestmark = pytest.mark.once

ALL = ("SCRAM-SHA-256", "SCRAM-SHA-1")
HASH = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-1": "sha1"}


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=4, auth="credentials = {PLAIN}",
                         limits="bad_commands = 1000", listen='''
listen never { address = {"{address}:3111"}  plain_login = never }''')
    inst.write_users({"user1": "{PLAIN}" + PASSWORD,
                      "user2": stored(PASSWORD),
                      "user3": stored(PASSWORD, name="sha1", count=5000)})
    for u in inst.users:
        u.deliver(numbered(1))
    return inst.start()


def free(instance, name):
    """A session of before may still hold the mailbox."""
    user = next(u for u in instance.users if u.name == name)
    instance.login(user).quit()


def tls12():
    context = culver.tls_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


# --- right ---------------------------------------------------------------

@pytest.mark.parametrize("mode", ("plain", "stls", "tls"))
@pytest.mark.parametrize("user, mech", [
    ("user1", "SCRAM-SHA-256"), ("user1", "SCRAM-SHA-1"),
    ("user2", "SCRAM-SHA-256"), ("user3", "SCRAM-SHA-1")])
def test_login(instance, user, mech, mode):
    free(instance, user)
    with instance.connect(mode) as pop:
        reply = Scram(user, PASSWORD, HASH[mech]).run(pop, mech)
        assert reply.startswith(b"+OK")
        assert pop.stat()[0] == 1
    instance.wait_log(f"login user={user}", f"mech={mech}")


def test_without_an_initial_response(instance):
    free(instance, "user2")
    with instance.connect("tls") as pop:
        assert Scram("user2", PASSWORD).run(pop, "SCRAM-SHA-256", False) \
            .startswith(b"+OK")


@pytest.mark.parametrize("user", ("user2", "user3"))
def test_keys_verify_a_password(instance, user):
    """{SCRAM-...} in the passwd file is good for PASS and PLAIN, too."""
    free(instance, user)
    with instance.connect() as pop:
        assert pop.login(user, "wrong").startswith(b"-ERR [AUTH]")
        assert pop.auth_plain(user).startswith(b"+OK")


@pytest.mark.parametrize("mech", ALL)
def test_gsasl(instance, mech):
    free(instance, "user1")
    with instance.connect("stls") as pop:
        assert Gsasl(mech, "user1", "wrong").run(pop, mech) \
            .startswith(b"-ERR [AUTH]")
        assert Gsasl(mech, "user1", PASSWORD).run(pop, mech) \
            .startswith(b"+OK")
        assert pop.stat()[0] == 1


@pytest.mark.parametrize("mech", ALL)
def test_gsasl_bound_to_tls12(instance, mech):
    free(instance, "user1")
    with instance.connect("tls", context=tls12()) as pop:
        unique = pop.sock.get_channel_binding("tls-unique")
        wrong = bytes(len(unique))
        assert Gsasl(mech + "-PLUS", "user1", PASSWORD, unique=wrong) \
            .run(pop, mech + "-PLUS").startswith(b"-ERR")
        assert Gsasl(mech + "-PLUS", "user1", PASSWORD, unique=unique) \
            .run(pop, mech + "-PLUS").startswith(b"+OK")
        assert pop.stat()[0] == 1


class Exporting(culver.Pop):
    """TLS 1.3 by openssl's client, which shows the exported key."""

    def __init__(self, instance):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-connect",
             f"{instance.address}:{TLS_PORT}", "-nocommands", "-tls1_3",
             "-servername", "localhost", "-keymatexport",
             "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, bufsize=0)
        self.buf = bytearray()
        self.about = b""
        while not self.about.startswith(b"+OK"):
            self.about = self.line()
            found = re.search(rb"Keying material: ([0-9A-F]{64})", self.about)
            if found:
                self.exporter = bytes.fromhex(found[1].decode())

    def send(self, data):
        self.process.stdin.write(data.encode() if isinstance(data, str)
                                 else data)

    def fill(self):
        ready = select.select([self.process.stdout], [], [], 20)[0]
        got = self.process.stdout.read(65536) if ready else b""
        if not got:
            raise EOFError("openssl ended")
        self.buf += got

    def line(self):
        """s_client's own lines end in LF."""
        while b"\n" not in self.buf:
            self.fill()
        line, _, rest = bytes(self.buf).partition(b"\n")
        self.buf = bytearray(rest)
        return line.rstrip(b"\r")

    def cmd(self, line):
        """What s_client says between is none of the server's."""
        self.send(line + "\r\n")
        reply = self.line()
        while not reply.startswith((b"+", b"-ERR")):
            reply = self.line()
        return reply

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("mech", ALL)
def test_gsasl_bound_to_tls13(instance, mech):
    free(instance, "user1")
    pop = Exporting(instance)
    try:
        wrong = bytes(32)
        assert Gsasl(mech + "-PLUS", "user1", PASSWORD, exporter=wrong) \
            .run(pop, mech + "-PLUS").startswith(b"-ERR")
        assert Gsasl(mech + "-PLUS", "user1", PASSWORD,
                     exporter=pop.exporter) \
            .run(pop, mech + "-PLUS").startswith(b"+OK")
    finally:
        pop.close()


@pytest.mark.parametrize("context", (None, tls12()))
def test_bound_to_the_certificate(instance, context):
    """tls-server-end-point: SHA-256 of what the server showed."""
    import hashlib
    free(instance, "user2")
    with instance.connect("tls", context=context) as pop:
        cert = pop.sock.getpeercert(binary_form=True)
        end = hashlib.sha256(cert).digest()
        head = "p=tls-server-end-point,,"
        assert Scram("user2", PASSWORD, head=head, binding=end[::-1]) \
            .run(pop, "SCRAM-SHA-256-PLUS").startswith(b"-ERR")
        assert Scram("user2", PASSWORD, head=head, binding=end) \
            .run(pop, "SCRAM-SHA-256-PLUS").startswith(b"+OK")


# --- wrong ---------------------------------------------------------------

def test_downgrade(instance):
    """A client that could bind and was not shown -PLUS was lied to."""
    with instance.connect("tls") as pop:
        assert Scram("user2", PASSWORD, head="y,,") \
            .run(pop, "SCRAM-SHA-256").startswith(b"-ERR")
    instance.wait_log("auth-failed", "reason=channel-binding")
    free(instance, "user2")
    with instance.connect() as pop:     # nothing to bind to: it is right
        assert Scram("user2", PASSWORD, head="y,,") \
            .run(pop, "SCRAM-SHA-256").startswith(b"+OK")


def test_no_binding_without_tls(instance):
    with instance.connect() as pop:
        reply = pop.cmd("AUTH SCRAM-SHA-256-PLUS")
        assert reply.startswith(b"-ERR") and b"mechanism" in reply


def conversation(pop, user, password, mech):
    """(shape of the challenge, its salt, the last reply)"""
    s = Scram(user, password, HASH[mech])
    reply = s.run(pop, mech)
    shape = re.sub(r"[A-Za-z0-9+/]", "x", s.parts["s"]), s.parts["i"]
    return shape, s.parts["s"], reply


@pytest.mark.parametrize("mech", ALL)
def test_unknown_users_look_like_others(instance, mech):
    """The same steps, the same sizes, and the same salt each time."""
    user = {"SCRAM-SHA-256": "user2", "SCRAM-SHA-1": "user1"}[mech]
    with instance.connect() as pop:
        real = conversation(pop, user, "wrong", mech)
        nobody = conversation(pop, "nobody", "wrong", mech)
        again = conversation(pop, "nobody", "other", mech)
        other = conversation(pop, "nobody2", "wrong", mech)
        crypt = conversation(pop, "user4", PASSWORD, mech)
    assert real[0] == nobody[0] == again[0] == other[0] == crypt[0]
    assert real[2] == nobody[2] == again[2] == other[2] == crypt[2]
    assert nobody[1] == again[1] != other[1]
    assert real[2].startswith(b"-ERR [AUTH]")
    instance.wait_log("user=user4", f"mech={mech} reason=no-credentials")
    instance.wait_log("user=nobody", f"mech={mech} reason=unknown-user")


def test_salts_outlive_a_reload(instance):
    with instance.connect() as pop:
        before = conversation(pop, "nobody", "wrong", "SCRAM-SHA-256")
    instance.reload()
    with instance.connect() as pop:
        assert conversation(pop, "nobody", "wrong", "SCRAM-SHA-256") == before


@pytest.mark.parametrize("mech", ALL)
def test_cancel(instance, mech):
    free(instance, "user1")
    with instance.connect() as pop:
        s = Scram("user1", PASSWORD, HASH[mech])
        assert pop.cmd(f"AUTH {mech}") == b"+ "
        assert pop.cmd("*").startswith(b"-ERR")
        assert pop.cmd(f"AUTH {mech} {b64(s.first())}").startswith(b"+ ")
        assert pop.cmd("*").startswith(b"-ERR")
        assert s.run(pop, mech).startswith(b"+OK")


def test_replay(instance):
    """What one exchange was won with is worth nothing in the next."""
    free(instance, "user2")
    s = Scram("user2", PASSWORD, nonce="fixed")
    with instance.connect() as pop:
        reply = pop.cmd("AUTH SCRAM-SHA-256 " + b64(s.first()))
        final = s.final(base64.b64decode(reply[2:]))
        assert pop.cmd(b64(final)).startswith(b"+ ")
        assert pop.cmd("").startswith(b"+OK")
        pop.quit()
    with instance.connect() as pop:
        assert pop.cmd("AUTH SCRAM-SHA-256 " + b64(s.first())) != reply
        assert pop.cmd(b64(final)).startswith(b"-ERR")
        assert pop.cmd("STAT").startswith(b"-ERR")


BAD = ["", "n,,", "n,,n=user2", "n,,r=x,n=user2", "n,,n=,r=x",
       "n,,m=x,n=user2,r=x", "x,,n=user2,r=x", "n,a=user1,n=user2,r=x",
       "n,,n=us=er2,r=x", "n,,n=../user2,r=x", "n,,n=user2\x00,r=x",
       "n,,n=user2,r=" + "x" * 300, "n,,n=" + "u" * 300 + ",r=x",
       "p=tls-unique,,n=user2,r=x", "\x00" * 40, "n" * 9000]


@pytest.mark.parametrize("message", BAD)
def test_malformed(instance, message):
    with instance.connect() as pop:
        assert pop.cmd("AUTH SCRAM-SHA-256 " + (b64(message) or "=")) \
            .startswith(b"-ERR")
        assert pop.cmd("STAT").startswith(b"-ERR")
        pop.multi("CAPA")


# --- what is shown -------------------------------------------------------

def mechs(pop):
    return next(set(line.split()[1:]) for line in pop.capabilities()
                if line.startswith("SASL"))


SCRAM = {"SCRAM-SHA-256", "SCRAM-SHA-1"}
PLUS = {m + "-PLUS" for m in SCRAM}


def test_capa(instance):
    with instance.connect() as pop:
        assert mechs(pop) == {"PLAIN", "LOGIN"} | SCRAM
        pop.ok("STLS")
        pop.start_tls()
        before = mechs(pop)
        assert before == {"PLAIN", "LOGIN"} | SCRAM | PLUS
        pop.send("AUTH\r\n")
        assert pop.line().startswith(b"+OK")
        assert {m.decode() for m in pop.body().split()} == before
        assert pop.login("user4").startswith(b"+OK")
        assert mechs(pop) == before
    with instance.connect(port=3111) as pop:    # plain_login = never
        assert not [c for c in pop.capabilities() if c.startswith("SASL")]
        assert Scram("user2", PASSWORD).run(pop, "SCRAM-SHA-256") \
            .startswith(b"-ERR")


@pytest.mark.parametrize("credentials, shown", [
    ("", set()), ("credentials = {SCRAM-SHA-256}", {"SCRAM-SHA-256"}),
    ("credentials = {SCRAM-SHA-1}", {"SCRAM-SHA-1"})])
def test_only_what_users_have_is_shown(one_instance, credentials, shown):
    """A client that finds SCRAM tries nothing else."""
    inst = one_instance(users=1, auth=credentials)
    inst.write_users({"user1": stored(PASSWORD)})
    inst.start()
    with inst.connect() as pop:
        assert mechs(pop) == {"PLAIN", "LOGIN"} | shown
        # who asks for it by name gets it all the same
        assert Scram("user1", PASSWORD).run(pop, "SCRAM-SHA-256") \
            .startswith(b"+OK")


def test_list_of_mechanisms(one_instance):
    """`sasl' without PLAIN and LOGIN: no password crosses the wire."""
    inst = one_instance(users=1, top="sasl = {SCRAM-SHA-256}",
                        auth="credentials = {SCRAM-SHA-256}")
    inst.write_users({"user1": stored(PASSWORD)})
    inst.start()
    with inst.connect("tls") as pop:
        assert mechs(pop) == {"SCRAM-SHA-256"}
        assert "USER" not in pop.capabilities()
        assert pop.login("user1").startswith(b"-ERR")
        assert pop.auth_plain("user1").startswith(b"-ERR")
        assert Scram("user1", PASSWORD, "sha1").run(pop, "SCRAM-SHA-1") \
            .startswith(b"-ERR")
        assert Scram("user1", PASSWORD).run(pop, "SCRAM-SHA-256") \
            .startswith(b"+OK")
