"""CAPA in both states, RFC 2449 section 5, 2595, 5034, 6856 section 2."""
import pytest

from culver import numbered


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=2, listen='''
listen never { address = {"{address}:3111"}  plain_login = never }
listen notls { address = {"{address}:3112"}  tls = off }''')
    inst.users[0].deliver(numbered(1))
    return inst.start()


def words(pop):
    return {line.split(" ")[0]: line.split(" ")[1:]
            for line in pop.capabilities()}


@pytest.mark.parametrize("mode", ("plain", "stls", "tls"))
def test_both_states(instance, mode):
    with instance.connect(mode) as pop:
        before = words(pop)
        assert pop.login("user2").startswith(b"+OK")
        after = words(pop)
    for capa in (before, after):
        for name in ("TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE",
                     "PIPELINING", "USER", "IMPLEMENTATION"):
            assert name in capa
        assert {"PLAIN", "LOGIN"} <= set(capa["SASL"])
        assert "UTF8" not in capa and "LANG" not in capa
    assert ("STLS" in before) == (mode == "plain")
    # section 5: what AUTHORIZATION offers must be announced in both states
    assert set(before) <= set(after)


def test_expire_has_an_argument(instance):
    """Mailutils once printed EXPIRENEVER."""
    with instance.connect() as pop:
        for line in pop.capabilities():
            assert not line.startswith("EXPIRE") or \
                line in ("EXPIRE NEVER", "EXPIRE NEVER USER") or \
                line.split(" ")[1].isdigit()


def test_no_version(instance):
    with instance.connect() as pop:
        assert not any(c.isdigit() for c in
                       " ".join(words(pop)["IMPLEMENTATION"]))


def test_plain_login_never(instance):
    """Nothing is offered that would show a password, and none is taken."""
    with instance.connect(port=3111) as pop:
        capa = words(pop)
        assert "USER" not in capa and "SASL" not in capa and "STLS" in capa
        assert pop.login("user1").startswith(b"-ERR")
        assert pop.auth_plain("user1").startswith(b"-ERR")
        reply = pop.cmd("AUTH LOGIN")
        assert reply.startswith(b"-ERR")
        instance.wait_log("login-refused remote=127")
        pop.ok("STLS")
        pop.start_tls()
        capa = words(pop)
        assert "USER" in capa and "SASL" in capa
        assert pop.login("user1").startswith(b"+OK")
        assert pop.stat()[0] == 1


def test_tls_off(instance):
    with instance.connect(port=3112) as pop:
        assert "STLS" not in words(pop)
        assert pop.cmd("STLS").startswith(b"-ERR")
        pop.multi("CAPA")


def test_one_write(instance):
    """Some tools expect the reply to CAPA in one packet."""
    with instance.connect() as pop:
        pop.send("CAPA\r\n")
        pop.fill()
        assert pop.buf.endswith(b"\r\n.\r\n")
