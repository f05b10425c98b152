"""Logins by OAuth 2.0 tokens: keys from an identity provider or a file,
introspection, tokens that are wrong, providers that are away or worse."""
import hashlib
import hmac
import json
import os
import subprocess
import time

import pytest

import idp as idp_module
from culver import PASSWORD, ROLE_IDS, ROOT, modules, numbered, until
from idp import CLIENT, ISSUER, SECRET, Idp, Key, b64url, claims, login

pytestmark = pytest.mark.once

MECHS = ("OAUTHBEARER", "XOAUTH2")


@pytest.fixture
def idp():
    server = Idp()
    yield server
    server.remove()


def section(more, issuer=True):
    return "auth oauth2 { allow = {net}\n" + (
        f' issuer = {{"{ISSUER}"}}  audience = {{"mail", "mailbox"}}\n'
        if issuer else "") + f" {more} }}"


def by_keys(idp, more=""):
    return section(f'jwks_url = "{idp.url}/keys"  tls_ca = "{idp.ca}"'
                   f'  jwks_pause = "1s" {more}')


def by_asking(idp, more="", issuer=False):
    if not issuer and "scope" not in more:
        more += ' scope = {"mail"}'
    return section(f'introspection_url = "{idp.url}/introspect"'
                   f'  tls_ca = "{idp.ca}"  client_id = "{CLIENT}"'
                   f'  client_secret = "{SECRET}" {more}', issuer)


@pytest.fixture
def run(make_instance):
    """An instance with SECTION before its passwd file."""
    def start(section, users=2):
        inst = make_instance(users=users, limits="bad_commands = 1000")
        inst.users[0].deliver(numbered(1))
        inst.write_conf(inst.conf_text().replace(
            "auth passwdfile", f"{section}\nauth passwdfile"))
        return inst.start()
    return start


def word(inst, token, user="user1", mech="OAUTHBEARER", **kw):
    with inst.connect() as pop:
        return pop.ended(login(pop, mech, user, token, **kw)[0])


def good(inst, token, **kw):
    return word(inst, token, **kw).startswith(b"+OK")


def late(inst, token, **kw):
    return word(inst, token, **kw).startswith(b"-ERR [SYS/TEMP]")


# --- keys --------------------------------------------------------------------

@pytest.mark.parametrize("mech", MECHS)
@pytest.mark.parametrize("initial", (True, False))
def test_login(run, idp, mech, initial):
    inst = run(by_keys(idp, 'scope = {"mail"}'))
    with inst.connect() as pop:
        sasl = [c for c in pop.capabilities() if c.startswith("SASL")][0]
        assert set(MECHS) <= set(sasl.split())
        reply, said = login(pop, mech, "user1", idp.token("User1"), initial)
        assert reply.startswith(b"+OK") and said is None
        assert pop.stat()[0] == 1
    inst.wait_log("login user=user1", f"mech={mech}")
    # passwords go on as ever, and a token is none
    with inst.connect() as pop:
        assert pop.login("user2", idp.token("user2")).startswith(b"-ERR")
        assert pop.login("user2").startswith(b"+OK")


def test_whose_the_token_is(run, idp):
    inst = run(by_keys(idp))
    assert good(inst, idp.token("user2"), user="")
    inst.wait_log("login user=user2")
    assert word(inst, idp.token("nobody"), user="") \
        .startswith(b"-ERR [SYS/TEMP]")     # no section knows his uid
    assert word(inst, idp.token("../x"), user="").startswith(b"-ERR [AUTH]")


@pytest.mark.parametrize("top,own,bob", (
    ("lower", "", True), ("keep", "", False),
    ("keep", 'user_case = "lower"', True),
    ("lower", 'user_case = "keep"', False)))
def test_upper_case(make_instance, idp, top, own, bob):
    """The token of "User1" is that of user1 only where names of clients are
    turned to lower case, or if the section says so."""
    inst = make_instance(users=1, top=f'user_case = "{top}"')
    inst.write_conf(inst.conf_text().replace(
        "auth passwdfile", f"{by_asking(idp, own)}\nauth passwdfile"))
    inst.start()
    assert good(inst, idp.opaque("user1"))
    for name in ("user1", ""):
        assert good(inst, idp.opaque("User1"), user=name) == bob


def confusion(key):
    """An HMAC whose secret is what everybody may know."""
    text = ".".join(b64url(json.dumps(x).encode()) for x in (
        {"alg": "HS256", "kid": key.kid}, claims("user1")))
    return text + "." + b64url(hmac.new(key.pem, text.encode(),
                                        hashlib.sha256).digest())


def test_wrong_tokens(run, idp):
    inst = run(by_keys(idp))
    key, now = idp.keys[0], int(time.time())
    right = idp.token("user1")
    head, body, sig = right.split(".")
    none = b64url(b'{"alg":"none"}')
    stranger = Key(idp.dir / "stranger.key", key.kid)
    later = claims("user1", exp=now + 86400)
    bad = {
        "another user's": (idp.token("user2"), "it is user2's"),
        "expired": (idp.token("user1", exp=now - 60), "expired"),
        "not yet": (idp.token("user1", nbf=now + 300), "not valid yet"),
        "for others": (idp.token("user1", aud="account"), "aud"),
        "by others": (idp.token("user1", iss="https://x/"), "iss"),
        "unsigned": (f"{none}.{body}.", "algorithms"),
        "with a signature of something else": (f"{none}.{body}.{sig}",
                                               "algorithms"),
        "an HMAC": (confusion(key), "algorithms"),
        "by a stranger": (stranger.sign(claims("user1")), "signature"),
        "by a key that is none": (stranger.sign(claims("user1"), kid="x"),
                                  "no key has its kid"),
        "changed": (f"{head}.{b64url(json.dumps(later).encode())}.{sig}",
                    "signature"),
        "cut": (right[:-9], "signature"), "half": (f"{head}.{body}", "JWT"),
        "no token": ("x" * 4000, "no signed JWT"),
        "unverified": (idp.token("user1", email_verified=None),
                       "not a verified one"),
    }
    for mech in MECHS:
        with inst.connect() as pop:
            for name, (token, _) in bad.items():
                reply, said = login(pop, mech, "user1", token)
                assert reply.startswith(b"-ERR [AUTH]"), name
                assert said["status"] in ("401", "invalid_token"), name
            assert login(pop, mech, "user1", right)[0].startswith(b"+OK")
    for name, (_, why) in bad.items():
        inst.wait_log("token for user user1 refused", why)
    # too long for a line
    with inst.connect() as pop:
        assert pop.cmd("AUTH XOAUTH2 " + idp_module.response(
            "XOAUTH2", "user1", "x" * 65536)).startswith(b"-ERR")
    text = inst.log_text()
    for token, _ in bad.values():
        for part in token.split("."):
            assert part == "" or part[:40] not in text


def test_keys_that_change(run, idp):
    """A new key works at once; nobody can make it fetch all the time."""
    inst = run(by_keys(idp).replace("1s", "1h"))
    assert good(inst, idp.token("user1"))
    stranger = Key(idp.dir / "stranger.key", "x")
    for _ in range(20):
        assert word(inst, stranger.sign(claims("user1"))) \
            .startswith(b"-ERR [AUTH]")
    pools = len(inst.role("pool"))
    assert idp.fetched <= 2 * pools
    fast = run(by_keys(idp))
    assert good(fast, idp.token("user1"))
    old = idp.token("user1")
    idp.keys = [Key(idp.dir / "b.key", "b")]
    until("the new key", lambda: good(fast, idp.token("user1")), pause=0.1)
    until("the end of the old key", lambda: not good(fast, old), pause=0.1)


def test_away_at_the_start(run, idp):
    """Later, never "wrong"; and it works by itself when it is back."""
    token = idp.token("user1")
    idp.stop()
    inst = run(by_keys(idp))
    for user in ("user1", "nobody"):
        assert late(inst, token, user=user)
    inst.wait_log("auth-error", "jwks_url: https://localhost:")
    with inst.connect() as pop:
        assert pop.login("user2").startswith(b"+OK")
    idp.start()
    until("a login", lambda: good(inst, token), pause=0.1)


def test_away_later(run, idp):
    """Its keys are known then; of others nothing can be said."""
    inst = run(by_keys(idp).replace("auth oauth2 {",
                                    "auth oauth2 { processes = 1 "))
    token = idp.token("user1")
    assert good(inst, token)
    idp.stop()
    assert good(inst, token)
    stranger = Key(idp.dir / "stranger.key", "x")
    until("the end of its pause", lambda: late(inst, stranger.sign(
        claims("user1"))), pause=0.1)
    assert good(inst, token)
    assert word(inst, idp.token("user2")).startswith(b"-ERR [AUTH]")


@pytest.mark.parametrize("mode", ("slow", "garbage", "text", "maybe", "huge",
                                  "deep", "cut", "endless", "redirect", 500,
                                  404))
def test_bad_providers(run, idp, mode):
    inst = run(by_keys(idp, 'timeout = "400ms"') + "\n" + by_asking(
        idp, 'timeout = "400ms"').replace(
            "auth oauth2", "auth opaque").replace(
                "{ allow", "{ plugin = oauth2 allow"))
    signed, opaque = idp.token("user1"), idp.opaque("user1")
    idp.mode = mode
    for _ in range(3):
        assert late(inst, signed)
        assert late(inst, opaque)
        with inst.connect() as pop:
            assert pop.login("user2").startswith(b"+OK")
            pop.quit()
    inst.wait_log("auth-error", "jwks_url: https://localhost:" if mode not in
                  ("text", "garbage", "maybe", "deep") else "/keys")
    inst.wait_log("auth-error", "introspection")
    idp.mode = ""
    idp.awake.set()
    until("a login", lambda: good(inst, signed), pause=0.1)
    until("a login", lambda: good(inst, opaque), pause=0.1)


def test_nonsense_is_not_fetched_all_the_time(run, idp):
    inst = run(by_keys(idp).replace("{ allow", "{ processes = 1  allow"))
    token = idp.token("user1")
    idp.mode = "text"
    begun = time.monotonic()
    for _ in range(100):
        assert late(inst, token)
    assert idp.fetched <= 2 + (time.monotonic() - begun)


def test_whose_certificate(run, idp, make_instance):
    """A provider whose certificate nobody vouches for is not one."""
    token = idp.token("user1")
    inst = run(by_keys(idp).replace(f'tls_ca = "{idp.ca}"', ""))
    assert late(inst, token)
    inst.wait_log("auth-error", "certificate")
    assert idp.fetched == 0


def test_file_of_keys(run, idp, make_instance):
    """Without the network; another file is noticed."""
    folder = idp.dir / "keys"
    folder.mkdir(mode=0o755)
    path = folder / "keys"

    def write(data):
        new = folder / "new"
        new.write_bytes(data)
        os.chmod(new, 0o640)
        if ROOT:
            os.chown(new, 0, ROLE_IDS["auth"])
        os.rename(new, path)

    write(idp.jwks())
    inst = run(section(f'keys = "{path}"').replace("allow = {net}", ""))
    token = idp.token("user1")
    assert good(inst, token)
    write(Key(idp.dir / "b.key", "b").pem)
    assert word(inst, token).startswith(b"-ERR [AUTH]")
    write(b"half a f")
    assert late(inst, token)
    inst.wait_log("auth-error", "is neither JSON nor PEM")
    write(idp.keys[0].pem)
    assert good(inst, token)
    assert idp.connections == 0


# --- introspection -----------------------------------------------------------

def test_introspection(run, idp):
    inst = run(by_asking(idp, 'scope = {"mail"}'))
    token = idp.opaque("user1", scope="x mail", exp=int(time.time()) + 60)
    for mech in MECHS:
        assert good(inst, token, mech=mech)
    assert good(inst, token, user="")
    for bad in (idp.opaque("user2"), "unknown",
                idp.opaque("user1", scope=None),
                idp.opaque("user1", scope="openid"),
                idp.opaque("user1", active=False),
                idp.opaque("user1", exp=1), idp.opaque(None),
                idp.opaque("user1", cnf={"jkt": "x"})):
        assert word(inst, bad).startswith(b"-ERR [AUTH]"), bad
    # a token that ends takes its effect at once
    idp.tokens[token]["active"] = False
    assert word(inst, token).startswith(b"-ERR [AUTH]")
    assert token not in inst.log_text() and SECRET not in inst.log_text()


def test_connections_are_kept(run, idp):
    inst = run(by_asking(idp))
    for _ in range(30):
        assert good(inst, idp.opaque("user1"))
    assert idp.asked == 30
    assert idp.connections <= len(inst.role("pool"))


def test_other_credentials(run, idp):
    inst = run(by_asking(idp).replace(
        f'client_id = "{CLIENT}"  client_secret = "{SECRET}"',
        'introspection_token = "asks-for-others"'))
    assert good(inst, idp.opaque("user1"))
    wrong = run(by_asking(idp).replace(SECRET, "wrong"))
    assert late(wrong, idp.opaque("user1"))
    wrong.wait_log("auth-error", "does not let this section ask")


def test_both(run, idp):
    """Signed, and not withdrawn."""
    inst = run(by_asking(idp, f'jwks_url = "{idp.url}/keys"', issuer=True))
    token = idp.token("user1")
    assert word(inst, token).startswith(b"-ERR [AUTH]")
    idp.tokens[token] = {"active": True}
    assert good(inst, token)
    idp.tokens[token] = {"active": True, "email": "user2"}
    assert word(inst, token).startswith(b"-ERR [AUTH]")
    inst.wait_log("refused", "different users")
    opaque = idp.opaque("user1")
    assert word(inst, opaque).startswith(b"-ERR [AUTH]")


def test_dies_while_it_is_asked(run, idp):
    """One login is lost, with "later"; the others of the time are not."""
    inst = run(by_asking(idp, 'timeout = "3s"'))
    token = idp.opaque("user1")
    assert good(inst, token)
    idp.mode = "slow"
    with inst.connect() as pop:
        asked = idp.asked
        pop.send(f"AUTH XOAUTH2 "
                 f"{idp_module.response('XOAUTH2', 'user1', token)}\r\n")
        until("the question", lambda: idp.asked > asked)
        with inst.connect() as other:
            assert other.login("user2").startswith(b"+OK")
        idp.stop()
        assert pop.line().startswith(b"-ERR [SYS/TEMP]")
    idp.mode = ""
    idp.start()
    until("a login", lambda: good(inst, token), pause=0.1)


# --- the section -------------------------------------------------------------

@pytest.mark.parametrize("text,why", (
    ("auth oauth2 { }", "one of keys, jwks_url and introspection_url"),
    ('auth oauth2 { jwks_url = "https://x/" issuer = {"x"} scope = {"y"} }',
     "add `allow = {net}'"),
    (section('jwks_url = "http://x/"'), "must begin with https://"),
    (section('jwks_url = "https://x/"  algorithms = {RS256, HS256}'),
     '"HS256" is not one of'),
    (section('jwks_url = "https://x/"').replace("audience", "scop"),
     "scop"),
    (section('introspection_url = "https://x/"', False), "client_id"),
    (section('introspection_url = "https://x/"  client_id = "x"'
             '  client_secret = "y"', False), "audience or scope is needed"),
))
def test_mistakes(make_instance, text, why):
    inst = make_instance(users=1)
    inst.write_conf(inst.conf_text() + text)
    done = inst.run("-t")
    assert done.returncode == 78
    assert why in done.stderr and "culver.conf:" in done.stderr


def test_secrets_are_not_shown(run, idp):
    inst = run(by_asking(idp))
    done = inst.ctl("config")
    assert done.returncode == 0 and SECRET not in done.stdout


def test_plugin_check(idp, tree):
    done = subprocess.run(
        [f"{tree}/usr/local/bin/culver-plugin", "check", "--module",
         modules(tree) / "auth_oauth2.so", "--option",
         f"jwks_url={idp.url}/keys", "--option", f"issuer={{\"{ISSUER}\"}}",
         "--option", "scope={mail}", "--option", f"tls_ca={idp.ca}",
         "--only", "elf,descriptor,options,auth,hygiene,versions,deadline"],
        capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
