"""slapd over TLS, killed, restarted, one that does not answer, and two of
them: what logins are told meanwhile, and that they work again by themselves."""
import os
import shutil
import socket
import time

import pytest

from culver import PASSWORD, b64, make_certificate, until
from databases import use
from slapd import READER, directories

pytestmark = [pytest.mark.once,
              pytest.mark.needs("slapd", "slapadd", "ldapwhoami")]

SOON = 'connect_timeout = "500ms"'
MODES = ("", 'bind = no  attributes = {"uidNumber=uid", "gidNumber=gid",'
         ' "homeDirectory=home", "userPassword=password"}')


@pytest.fixture
def slapd(one_instance):
    inst = one_instance(users=2, limits="bad_commands = 1000")
    yield from directories(inst)


def answer(inst, name="user2", password=PASSWORD):
    with inst.connect() as pop:
        return pop.ended(pop.cmd(
            "AUTH PLAIN " + b64(f"\0{name}\0{password}")))


def works(inst):
    return answer(inst).startswith(b"+OK")


def away(inst):
    """Nobody is told that a password is wrong, or that he is unknown."""
    for args in ((), ("user2", "x"), ("nobody",)):
        assert answer(inst, *args).startswith(b"-ERR [SYS/TEMP]"), args


def back(inst):
    until("logins to work", lambda: works(inst), patience=20, pause=0.1)
    assert answer(inst, "user2", "x").startswith(b"-ERR [AUTH]")
    assert answer(inst, "nobody").startswith(b"-ERR [AUTH]")


# --- TLS -------------------------------------------------------------------------

@pytest.mark.parametrize("which", ("ldap", "ldaps"))
def test_tls(slapd, which):
    server = slapd(more="security tls=128")
    inst = server.instance
    use(inst, server.section([getattr(server, which)],
                              f'tls_ca = "{server.ca}"'))
    inst.start()
    assert works(inst)
    assert answer(inst, "user2", "x").startswith(b"-ERR [AUTH]")


@pytest.mark.parametrize("which", ("ldap", "ldaps"))
def test_a_certificate_that_nobody_signed(slapd, which, tmp_path):
    """Nor does another one's signature do, nor the environment's word."""
    server = slapd()
    inst = server.instance
    other = inst.dir / "other.pem"
    make_certificate(other, tmp_path / "key", ("localhost", inst.address))
    os.chmod(other, 0o644)
    use(inst, server.section([getattr(server, which)],
                              f'tls_ca = "{other}"'))
    inst.start(env={**os.environ, "LDAPTLS_REQCERT": "never"})
    away(inst)
    inst.wait_log("auth-error", "no TLS that can be trusted")
    use(inst, server.section([getattr(server, which)], "tls = require"))
    inst.reload()
    until("logins to work", lambda: works(inst))


def test_a_certificate_for_another_name(slapd):
    server = slapd()
    inst = server.instance
    make_certificate(inst.cert, inst.key, ("ldap.example.org",))
    shutil.copy(inst.cert, server.ca)
    os.chmod(server.ca, 0o644)
    server.stop()
    server.start()
    use(inst, server.section([server.ldaps], f'tls_ca = "{server.ca}"'))
    inst.start()
    away(inst)


def test_without_tls(slapd):
    """`off' is plain; a server that wants TLS is obeyed, not the user's
    fault."""
    server = slapd()
    inst = server.instance
    use(inst, server.section([server.ldap], "tls = off"))
    inst.start()
    assert works(inst)
    server.stop()
    text = (server.top / "slapd.conf").read_text()
    (server.top / "slapd.conf").write_text(text + "security tls=128\n")
    server.start()
    away(inst)
    inst.wait_log("auth-error", "onfidential")


# --- servers that end --------------------------------------------------------------

@pytest.mark.parametrize("more", MODES)
def test_killed_and_restarted(slapd, more):
    server = slapd()
    inst = server.instance
    use(inst, server.section(more=more))
    inst.start()
    assert works(inst)
    server.stop()
    away(inst)
    inst.wait_log("auth-error", "the directory is away")
    server.start()
    back(inst)


@pytest.mark.parametrize("more", MODES)
def test_stopped(slapd, more):
    """It holds its connections and says nothing."""
    server = slapd()
    inst = server.instance
    use(inst, server.section(more=f"{SOON} {more}"))
    inst.start()
    assert works(inst)
    server.hang()
    away(inst)
    inst.wait_log("no answer in time")
    server.go_on()
    back(inst)


def test_restarted_in_between(slapd):
    """A connection that the server has ended costs nobody a login."""
    server = slapd()
    inst = server.instance
    use(inst, server.section(more="processes = 1"))
    inst.start()
    for _ in range(3):
        assert works(inst)
        assert answer(inst, "nobody").startswith(b"-ERR [AUTH]")
        server.stop()
        server.start()
    assert works(inst)


@pytest.mark.parametrize("more", MODES)
def test_fail_over(slapd, more):
    first, second = slapd(), slapd()
    inst = first.instance
    use(inst, first.section([first.ldapi, second.ldapi], f"{SOON} {more}"))
    inst.start()
    assert works(inst)
    first.stop()
    back(inst)
    second.hang()
    first.start()
    back(inst)
    second.go_on()
    first.hang()
    back(inst)
    first.go_on()


def test_a_server_that_does_not_answer(slapd):
    """It takes connections and says nothing; of TLS neither."""
    server = slapd()
    inst = server.instance
    with socket.socket() as mute:
        mute.bind((inst.address, 0))
        mute.listen(50)
        port = mute.getsockname()[1]
        use(inst, server.section(
            [f"ldap://{inst.address}:{port}",
             f"ldaps://{inst.address}:{port}", server.ldapi],
            f'{SOON} tls_ca = "{server.ca}"'))
        inst.start()
        assert works(inst)
        inst.wait_log("warn", "directory", "no answer in time")


def test_half_an_answer(slapd):
    """The rest of it does not come: the login ends all the same."""
    server = slapd()
    inst = server.instance
    with socket.socket() as half:
        half.bind((inst.address, 0))
        half.listen(50)
        use(inst, server.section(
            [f"ldap://{inst.address}:{half.getsockname()[1]}"],
            f"{SOON} tls = off processes = 1"))
        inst.start()
        with inst.connect() as pop:
            pop.send(f"AUTH PLAIN {b64(chr(0) + 'user2' + chr(0) + 'x')}\r\n")
            peer, _ = half.accept()
            with peer:
                assert peer.recv(1000)
                # a bind's answer of 12 octets, of which 6 come
                peer.sendall(b"\x30\x0c\x02\x01\x01\x61")
                started = time.monotonic()
                assert pop.line().startswith(b"-ERR [SYS/TEMP]")
                assert time.monotonic() - started < 25


def test_who_may_not_search(slapd):
    """That bind_dn's password is wrong is not the user's fault."""
    server = slapd()
    inst = server.instance
    use(inst, server.section().replace('bind_password = "',
                                        'bind_password = "x'))
    inst.start()
    away(inst)
    inst.wait_log("auth-error", "bind_dn may not bind")
    use(inst, server.section(base="ou=nowhere,dc=example,dc=org"))
    inst.reload()
    until("a search", lambda: answer(inst) and inst.log_lines(
        "auth-error", "No such object"))
    away(inst)


def test_what_may_not_be_read(slapd):
    """A name that cannot be compared is no "unknown user"."""
    server = slapd()
    inst = server.instance
    server.stop()
    conf = server.top / "slapd.conf"
    conf.write_text(conf.read_text().replace(
        "access to *", f'access to attrs=uid by dn.exact="{READER}" search\n'
        "access to *"))
    server.start()
    use(inst, server.section())
    inst.start()
    assert answer(inst).startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("auth-error", "attribute uid of user user2 may not be read")
