"""Real clients with a token: curl and mpop by OAUTHBEARER and XOAUTH2.

Each fetches a message over STLS and over TLS, which shows that it was let in;
what was used is in the server's log.  curl takes OAUTHBEARER where it is shown
both, whatever it is told, so each is tried alone.  (gsasl, fetchmail and fdm
have no such mechanism.)
"""
import pytest

import culver
from culver import PORT, TLS_PORT, numbered
from databases import use
from idp import ISSUER, Idp
from test_clients import Client

pytestmark = pytest.mark.once

MECHS = ("OAUTHBEARER", "XOAUTH2")


@pytest.fixture(scope="module")
def idp():
    server = Idp()
    yield server
    server.remove()


@pytest.fixture(scope="module", params=MECHS)
def mech(request):
    return request.param


@pytest.fixture(scope="module")
def instance(make_instance, idp, mech):
    inst = make_instance(users=2, top=f"sasl = {{PLAIN, {mech}}}")
    use(inst, f'''auth oauth2 {{
    allow = {{net}}
    jwks_url = "{idp.url}/keys"  tls_ca = "{idp.ca}"
    issuer = {{"{ISSUER}"}}  audience = {{"mail"}}
}}''', "passwdfile")
    return inst.start()


def curl(instance, user, home, mode, token, *more, ok=(0,)):
    client = Client(instance, user, mode, home)
    scheme, port, tls = ("pop3s", TLS_PORT, ()) if mode == "tls" else \
        ("pop3", PORT, ("--ssl-reqd",))
    return client.run("curl", "-sS", f"{scheme}://localhost:{port}/1", *tls,
                      "--connect-to", f"::{instance.address}:", "--cacert",
                      client.cert, "--user", f"{user.name}:",
                      "--oauth2-bearer", token, *more, ok=ok)


@pytest.mark.parametrize("more", ((), ("--sasl-ir",)))
@pytest.mark.parametrize("mode", ("stls", "tls"))
def test_curl(instance, idp, user, home, mech, mode, more):
    assert curl(instance, user, home, mode, idp.token(user.name), *more) \
        == culver.wire(numbered(1))
    instance.wait_log("login user=user1", f"mech={mech}")


def test_curl_is_told(instance, idp, user, home, mech):
    """67: the login was refused."""
    curl(instance, user, home, "stls", idp.token("user2"), ok=(67,))
    instance.wait_log("auth-failed user=user1", f"mech={mech}")


@pytest.mark.parametrize("mode", ("stls", "tls"))
def test_mpop(instance, idp, user, home, mech, mode):
    client = Client(instance, user, mode, home)
    box = client.new_maildir()
    conf = client.write("mpoprc", f"""
account default
host {instance.address}
port {TLS_PORT if mode == "tls" else PORT}
user {user.name}
passwordeval cat {client.write("token", idp.token(user.name))}
auth {mech.lower()}
tls on
tls_starttls {'on' if mode == "stls" else 'off'}
tls_trust_file {client.cert}
tls_host_override localhost
uidls_file {home}/uidls
delivery maildir {box}
""")
    client.run("mpop", f"--file={conf}", "-q")
    assert len(client.read_maildir(box)) == 1
    instance.wait_log("login user=user1", f"mech={mech}")
