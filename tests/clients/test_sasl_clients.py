"""Real clients by the mechanisms that they have: mpop (GNU SASL, GnuTLS),
curl and fetchmail by SCRAM, CRAM-MD5, APOP, and EXTERNAL with a certificate.

Each fetches a message, which shows that it was let in; what was used is in
the server's log.
"""
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import culver
from culver import PASSWORD, PORT, TLS_PORT, make_certificate
from test_clients import Client

pytestmark = pytest.mark.once

ALL = "sasl = {PLAIN, LOGIN, SCRAM-SHA-256-PLUS, SCRAM-SHA-256, " \
      "SCRAM-SHA-1-PLUS, SCRAM-SHA-1, CRAM-MD5, APOP, EXTERNAL}"


def authority(path):
    """A CA in `path`: its certificate and key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
         "-days", "10", "-subj", "/CN=People", "-keyout", path / "ca.key",
         "-out", path / "ca.pem", "-addext",
         "basicConstraints=critical,CA:TRUE"],
        check=True, capture_output=True)
    return path / "ca.pem"


def person(path, name, subject, san=None, by="ca"):
    """A certificate of `subject` by the CA; its files."""
    key, request, cert = (path / f"{name}.{x}" for x in ("key", "csr", "pem"))
    subprocess.run(["openssl", "req", "-newkey", "rsa:2048", "-nodes",
                    "-subj", subject, "-keyout", key, "-out", request],
                   check=True, capture_output=True)
    ext = path / f"{name}.ext"
    ext.write_text(f"subjectAltName={san}\n" if san else "")
    subprocess.run(["openssl", "x509", "-req", "-in", request, "-days", "10",
                    "-CA", path / f"{by}.pem", "-CAkey", path / f"{by}.key",
                    "-CAcreateserial", "-extfile", ext, "-out", cert],
                   check=True, capture_output=True)
    for f in (key, cert):
        f.chmod(0o644)
    return cert, key


@pytest.fixture(scope="module")
def pki():
    """Where clients that are nobody can read."""
    path = Path(tempfile.mkdtemp(prefix="culver-pki-",
                                 dir=culver.tempdir("")))
    path.chmod(0o755)
    authority(path)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def instance(make_instance, pki):
    inst = make_instance(users=3, top=ALL, auth="credentials = {PLAIN}",
                         tls=f'client_ca = "{pki}/ca.pem"')
    inst.write_users({u.name: "{PLAIN}" + PASSWORD for u in inst.users})
    return inst.start()


def mpop(instance, user, home, auth, mode="stls", extra="", ok=(0,)):
    client = Client(instance, user, mode, home)
    tls = "tls off" if mode == "plain" else \
        f"tls on\ntls_starttls {'on' if mode == 'stls' else 'off'}\n" \
        f"tls_trust_file {client.cert}\ntls_host_override localhost\n" + extra
    box = client.new_maildir()
    conf = client.write("mpoprc", f"""
account default
host {instance.address}
port {TLS_PORT if mode == "tls" else PORT}
user {user.name}
password {PASSWORD}
auth {auth}
{tls}
uidls_file {home}/uidls
delivery maildir {box}
""")
    client.run("mpop", f"--file={conf}", "-q", ok=ok)
    return client.read_maildir(box)


def curl(instance, user, home, *options, ok=(0,)):
    client = Client(instance, user, "tls", home)
    return client.run("curl", "-sS", f"pop3s://localhost:{TLS_PORT}/1",
                      "--connect-to", f"::{instance.address}:", "--cacert",
                      client.cert, *options, ok=ok)


@pytest.mark.parametrize("mode", ("plain", "stls", "tls"))
@pytest.mark.parametrize("auth", ("scram-sha-256", "scram-sha-1", "cram-md5",
                                  "apop"))
def test_mpop(instance, user, home, auth, mode):
    assert len(mpop(instance, user, home, auth, mode)) == 1
    instance.wait_log("login user=user1", f"mech={auth.upper()}")


def test_mpop_takes_the_best(instance, user, home):
    """Left to itself, where its password would be seen."""
    assert len(mpop(instance, user, home, "on", "plain")) == 1
    instance.wait_log("login user=user1", "mech=SCRAM-SHA-256")


@pytest.mark.parametrize("mech", ("CRAM-MD5", "+APOP", "PLAIN", "LOGIN"))
def test_curl(instance, user, home, mech):
    assert b"Subject" in curl(instance, user, home, "--user",
                              f"{user.name}:{PASSWORD}", "--login-options",
                              f"AUTH={mech}")
    instance.wait_log("login user=user1", f"mech={mech.strip('+')}")
    # 67: the login was refused
    curl(instance, user, home.with_name(home.name + "b"), "--user",
         f"{user.name}:wrong", "--login-options", f"AUTH={mech}", ok=(67,))


def test_fetchmail_by_apop(instance, user, home):
    client = Client(instance, user, "plain", home)
    out = client.give(home)
    rc = client.write("fetchmailrc", f"""
set invisible
poll {instance.address} protocol apop port {PORT} timeout 60
    user "{user.name}" password "{PASSWORD}" is "nobody" here
    sslproto ""
    nokeep fetchall mda "/bin/sh -c 'cat > {out}/message'"
""")
    client.run("fetchmail", "-f", rc, "-i", home / "ids", "--pidfile",
               home / "pid", "--nosyslog", "--nodetach")
    assert b"Subject" in (home / "message").read_bytes()
    instance.wait_log("login user=user1", "mech=APOP")


# --- certificates ----------------------------------------------------------

def test_curl_with_a_certificate(instance, user, home, pki):
    cert, key = person(pki, "one", "/O=Example/CN=user1")
    assert b"Subject" in curl(instance, user, home, "--cert", cert, "--key",
                              key, "--user", "user1:", "--login-options",
                              "AUTH=EXTERNAL")
    instance.wait_log("login user=user1", "mech=EXTERNAL")


def test_mpop_with_a_certificate(instance, user, home, pki):
    cert, key = person(pki, "mpop", "/CN=user1")
    assert len(mpop(instance, user, home, "external", "stls",
                    f"tls_cert_file {cert}\ntls_key_file {key}")) == 1
    instance.wait_log("login user=user1", "mech=EXTERNAL")


def external(instance, files, zid="="):
    """The last reply to EXTERNAL, and whether CAPA had it."""
    context = culver.tls_context()
    if files:
        context.load_cert_chain(*files)
    with instance.connect("tls", context=context) as pop:
        shown = any("EXTERNAL" in c for c in pop.capabilities())
        return pop.cmd(f"AUTH EXTERNAL {zid}"), shown


def test_who_is_let_in(instance, user, pki):
    good = person(pki, "good", "/CN=user2")
    reply, shown = external(instance, good)
    assert shown and reply.startswith(b"+OK")
    instance.login(instance.users[1]).quit()
    reply, _ = external(instance, good, culver.b64("user2"))
    assert reply.startswith(b"+OK")
    # as somebody else
    reply, _ = external(instance, good, culver.b64("user1"))
    assert reply.startswith(b"-ERR")
    # nobody's, or with two names, or with none
    assert external(instance, person(pki, "no", "/CN=nobody"))[0] \
        .startswith(b"-ERR [AUTH]")
    for name, subject in (("two", "/CN=user1/CN=user2"), ("o", "/O=x"),
                          ("nl", "/CN=user1\nx")):
        reply, shown = external(instance, person(pki, name, subject))
        assert reply.startswith(b"-ERR") and not shown
    # without a certificate
    reply, shown = external(instance, None)
    assert reply.startswith(b"-ERR") and not shown
    # by somebody who is no CA of ours
    own = pki / "own"
    own.mkdir()
    make_certificate(own / "cert.pem", own / "key.pem", ("user1",))
    reply, shown = external(instance, (own / "cert.pem", own / "key.pem"))
    assert reply.startswith(b"-ERR") and not shown
    # who shows none of ours may still say a password
    context = culver.tls_context()
    context.load_cert_chain(own / "cert.pem", own / "key.pem")
    with instance.connect("tls", context=context) as pop:
        assert pop.login("user1").startswith(b"+OK")


def test_closed_account(instance, pki):
    """What closes an account closes it to certificates."""
    files = person(pki, "three", "/CN=user3")
    instance.write_users({"user1": "{PLAIN}" + PASSWORD, "user3": "!"})
    assert external(instance, files)[0].startswith(b"-ERR [AUTH]")
    instance.wait_log("user=user3", "mech=EXTERNAL reason=disabled")
    instance.write_users({u.name: "{PLAIN}" + PASSWORD
                          for u in instance.users})
    assert external(instance, files)[0].startswith(b"+OK")


def test_not_in_plain(instance):
    with instance.connect() as pop:
        assert not any("EXTERNAL" in c for c in pop.capabilities())
        assert pop.cmd("AUTH EXTERNAL =").startswith(b"-ERR")


@pytest.mark.parametrize("name, subject, san", [
    ("email", "/CN=x", "email:user1"), ("uid", "/CN=x/UID=user1", None)])
def test_other_names(one_instance, pki, name, subject, san):
    inst = one_instance(users=1, tls=f'client_ca = "{pki}/ca.pem"\n'
                        f'client_name = {name}').start()
    reply, shown = external(inst, person(pki, "n" + name, subject, san))
    assert shown and reply.startswith(b"+OK")
    # a CN does not count then
    reply, shown = external(inst, person(pki, "m" + name, "/CN=user1"))
    assert reply.startswith(b"-ERR") and not shown


def test_another_authority_after_a_reload(one_instance, pki, tmp_path):
    """The file is looked at again, as certificates are."""
    inst = one_instance(users=1, tls='client_ca = "{dir}/ca.pem"')
    first = person(pki, "first", "/CN=user1")
    (inst.dir / "ca.pem").write_bytes((pki / "ca.pem").read_bytes())
    inst.start()
    assert external(inst, first)[0].startswith(b"+OK")
    authority(tmp_path)
    second = person(tmp_path, "second", "/CN=user1")
    (inst.dir / "ca.pem").write_bytes((tmp_path / "ca.pem").read_bytes())
    inst.reload()
    # gates of before may take a client or two yet
    culver.until("the new authority", lambda: external(inst, second)[0]
                 .startswith(b"+OK"))
    culver.until("the end of the old one", lambda: external(inst, first)[0]
                 .startswith(b"-ERR"))


def test_mistakes(one_instance):
    inst = one_instance(users=1, tls='client_ca = "/nowhere/ca.pem"')
    done = inst.run("-t")
    assert done.returncode == 78
    assert "tls: client_ca /nowhere/ca.pem: cannot be opened" in done.stderr
    inst = one_instance(users=1, tls=f'client_ca = "{inst.conf}"')
    done = inst.run("-t")
    assert done.returncode == 78 and "client_ca" in done.stderr
    inst = one_instance(users=1, top="sasl = {PLAIN, EXTERNAL}")
    done = inst.run("-t")
    assert done.returncode == 78 and "set client_ca in tls" in done.stderr
