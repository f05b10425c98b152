"""OAuth 2.0 tokens: no process keeps one, good or bad, after the login."""
import secrets

import pytest

import idp
from culver import until
from test_processes import memory_holds

pytestmark = pytest.mark.needs_root


@pytest.fixture
def provider():
    server = idp.Idp()
    yield server
    server.remove()


def sent(mech, token):
    """What a client says, but for the user's name and the end."""
    return idp.response(mech, "user1", token)[-60:-4]


def seen_while_they_are_used(inst, provider):
    """The means to look for tokens find one that is still needed, in each
    process; afterwards, though nobody knows whether it is good, it is gone."""
    token = secrets.token_hex(40)
    line = idp.response("XOAUTH2", "user1", token)
    part = sent("XOAUTH2", token)

    def holds(role, *needles):
        return any(memory_holds(pid, needle.encode())
                   for pid in inst.role(role) for needle in needles)

    provider.mode = "slow"
    asked = provider.asked
    with inst.connect() as pop:
        pop.send(f"AUTH XOAUTH2 {line}")
        until("a line that has not ended", lambda: holds("gate", part))
        pop.send("\r\n")
        until("the question", lambda: provider.asked > asked)
        until("the token, of a login that waits", lambda: holds("auth", token)
              and holds("pool", token))
        provider.stop()
        assert pop.line().startswith(b"-ERR [SYS/TEMP]")
    for role in ("pool", "auth", "gate"):
        assert not holds(role, token, part), role


def test_no_token_stays_behind(make_instance, provider):
    """Signed ones, and others that a server is asked about."""
    inst = make_instance(users=2)
    net = f'plugin = oauth2  allow = {{net}}  tls_ca = "{provider.ca}"'
    inst.write_conf(inst.conf_text().replace("auth passwdfile", f'''
auth signed {{
    {net}  processes = 1
    jwks_url = "{provider.url}/keys"
    issuer = {{"{idp.ISSUER}"}}  audience = {{"mail"}}
}}
auth opaque {{
    {net}  processes = 1
    introspection_url = "{provider.url}/introspect"
    client_id = "{idp.CLIENT}"  client_secret = "{idp.SECRET}"  timeout = "20s"
    scope = {{"mail"}}
}}
auth passwdfile'''))
    inst.start()
    needles = []
    for mech in ("OAUTHBEARER", "XOAUTH2"):
        for user, word in (("user1", b"+OK"), ("user2", b"-ERR [AUTH]")):
            text = secrets.token_hex(20)
            opaque, signed = f"{text}/+==", provider.token(user)
            provider.tokens[opaque] = {"active": True, "email": user,
                                       "email_verified": True,
                                       "scope": "mail"}
            needles += [text, *(p[-60:-4] for p in signed.split(".")[1:])]
            for token in (opaque, signed):
                needles.append(sent(mech, token))
                with inst.connect() as pop:
                    reply, _ = idp.login(pop, mech, "user1", token)
                    assert reply.startswith(word)
    seen_while_they_are_used(inst, provider)
    for role in ("pool", "auth", "gate"):
        assert inst.role(role)
        for pid in inst.role(role):
            for needle in needles:
                assert not memory_holds(pid, needle.encode()), role
