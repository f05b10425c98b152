"""STLS and implicit TLS: versions, certificates, SNI, ALPN, tickets, and
that nothing sent in plain is believed afterwards (RFC 2595, 8314)."""
import contextlib
import socket
import ssl

import pytest

from culver import (PORT, PASSWORD, Pop, make_certificate, numbered,
                    tls_context)


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=3, tls='''
    host "mail.example.net" { certificate = "DIR/tls/sni.pem"
                              key = "DIR/tls/sni.key" }''')
    inst.parts["tls"] = inst.parts["tls"].replace("DIR", str(inst.dir))
    make_certificate(inst.dir / "tls/sni.pem", inst.dir / "tls/sni.key",
                     ("mail.example.net",), algo="rsa")
    inst.write_conf()
    for u in inst.users:
        u.deliver(numbered(1))
    return inst.start()


def context(cafile=None, **settings):
    c = tls_context(cafile)
    for name, value in settings.items():
        setattr(c, name, value)
    return c


@pytest.mark.parametrize("injected", (
    "USER user1\r\n", f"USER user1\r\nPASS {PASSWORD}\r\n", "CAPA\r\n",
    "QUIT\r\n", "\r\n", "XYZZY\r\n" * 200, "STLS\r\n"))
def test_plaintext_after_stls_is_discarded(instance, injected):
    """CVE-2011-0411 and its kin: what an attacker put behind STLS must not
    be executed under TLS."""
    with Pop(instance.address) as pop:
        pop.send("STLS\r\n" + injected)
        assert pop.line().startswith(b"+OK")
        assert pop.buf == b""
        try:
            pop.start_tls()
        except (ssl.SSLError, OSError):
            return          # it took them for a broken handshake: as good
        assert "STLS" not in pop.capabilities()
        assert pop.cmd("STAT").startswith(b"-ERR")
        assert pop.cmd(f"PASS {PASSWORD}").startswith(b"-ERR")
        assert pop.buf == b""


def test_user_in_plain_is_forgotten(instance):
    """RFC 2595 section 4: state from before the handshake is discarded."""
    with Pop(instance.address) as pop:
        pop.ok("USER user1")
        pop.ok("STLS")
        pop.start_tls()
        assert pop.cmd(f"PASS {PASSWORD}").startswith(b"-ERR")


@pytest.mark.parametrize("mode", ("stls", "tls"))
@pytest.mark.parametrize("version", ("TLSv1_2", "TLSv1_3"))
def test_versions(instance, mode, version):
    v = ssl.TLSVersion[version]
    c = context(minimum_version=v, maximum_version=v)
    with instance.login(instance.users[1], mode, context=c) as pop:
        assert pop.sock.version() == version.replace("_", ".")
        assert pop.stat()[0] == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", ("1", "1_1"))
def test_old_versions_are_refused(instance, version):
    c = context()
    c.set_ciphers("ALL:@SECLEVEL=0")
    c.minimum_version = c.maximum_version = \
        getattr(ssl.TLSVersion, f"TLSv{version}")
    with pytest.raises((ssl.SSLError, EOFError, OSError)):
        instance.connect("tls", context=c)
    instance.login(instance.users[1], "tls").quit()


@pytest.mark.parametrize("mode", ("stls", "tls"))
def test_certificate_verifies(instance, mode):
    with instance.login(instance.users[1], mode, cafile=instance.cert,
                        server_name="localhost") as pop:
        assert pop.stat()[0] == 1


@pytest.mark.parametrize("mode", ("stls", "tls"))
def test_sni(instance, mode):
    """A host block's certificate for its name, in any case."""
    for name in ("mail.example.net", "MAIL.Example.NET"):
        with instance.login(
                instance.users[1], mode, server_name=name.lower()
                if mode == "tls" else name, context=context(
                    instance.dir / "tls/sni.pem", check_hostname=False)):
            pass


def test_unknown_sni_gets_the_default(instance):
    with instance.connect("tls", server_name="other.example",
                          context=context(instance.cert,
                                          check_hostname=False)) as pop:
        pop.ok("QUIT")


def test_no_sni(instance):
    c = context(instance.cert, check_hostname=False)
    with Pop(instance.address, "tls", server_name=None, context=c) as pop:
        pop.ok("QUIT")


def test_alpn(instance):
    c = context()
    c.set_alpn_protocols(["pop3"])
    with instance.connect("tls", context=c) as pop:
        assert pop.sock.selected_alpn_protocol() == "pop3"
        pop.ok("QUIT")


def test_alpn_of_another_protocol(instance):
    """RFC 7301: refused (or ignored), never answered with another."""
    c = context()
    c.set_alpn_protocols(["http/1.1"])
    try:
        with instance.connect("tls", context=c) as pop:
            assert pop.sock.selected_alpn_protocol() is None
    except (ssl.SSLError, OSError, EOFError):
        pass


def test_tickets(instance):
    """A second connection resumes, whichever gate it meets."""
    c = context(maximum_version=ssl.TLSVersion.TLSv1_2)
    with Pop(instance.address, "tls", context=c) as pop:
        session = pop.sock.session
        pop.ok("QUIT")
    assert session is not None and session.has_ticket
    for _ in range(6):
        raw = socket.create_connection((instance.address, 3995), 20)
        with c.wrap_socket(raw, server_hostname="localhost",
                           session=session) as sock:
            assert sock.session_reused
            assert sock.recv(3) == b"+OK"


@pytest.mark.parametrize("rubbish", (
    b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + b"x" * 5000, b"QUIT\r\n",
    b"\0" * 1000, b"GET / HTTP/1.0\r\n\r\n", b"\x80\x2e\x01\x00\x02"))
def test_rubbish_for_a_handshake(instance, rubbish):
    for port in (PORT, 3995):
        with Pop(instance.address, port=port, greet=False) as pop:
            if port == PORT:
                pop.line()
                pop.ok("STLS")
            with contextlib.suppress(OSError):      # reset by the server
                pop.send(rubbish)
                pop.sock.shutdown(socket.SHUT_WR)
            pop.eof()       # a deadline passes if it hangs
    instance.login(instance.users[1], "tls").quit()


def test_close_without_close_notify(instance):
    """A vanished TLS client is no QUIT."""
    user = instance.users[2]
    with instance.login(user, "tls") as pop:
        pop.ok("DELE 1")
        pop.reset()
    with instance.login(user, "tls") as pop:
        assert pop.stat()[0] == 1


def test_one_octet_records(instance):
    with instance.connect("tls") as pop:
        for octet in f"USER user3\r\nPASS {PASSWORD}\r\nSTAT\r\n":
            pop.send(octet)
        assert [pop.line()[:3] for _ in range(3)] == [b"+OK"] * 3
