"""Behind a proxy that speaks the PROXY protocol: Debian's HAProxy, and by
hand."""
import os
import socket

import pytest

from culver import PASSWORD, Pop, b64, numbered, until
from haproxy import Haproxy

pytestmark = pytest.mark.once

PLAIN, TLS, ENDED, STRICT = 3120, 3121, 3122, 3123
LISTEN = """
listen plain { address = "{address}:3120"  proxy = {"127.0.0.2"}
    plain_login = always  deny = {"127.0.0.66"} }
listen through { address = "{address}:3121"  tls = implicit
    proxy = {"127.0.0.2"} }
listen ended { address = "{address}:3122"  proxy = {"127.0.0.2"}
    proxy_tls = yes  plain_login = never }
listen strict { address = "{address}:3123"  proxy = {"127.0.0.2"}
    plain_login = never }
"""
V2 = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = "127.0.0.77"


@pytest.fixture(scope="module")
def inst(make_instance):
    inst = make_instance(users=2, listen=LISTEN, limits="login_time = 5s")
    inst.write_conf(inst.conf_text().replace("connections_per_ip = 20000",
                                             "connections_per_ip = 3"))
    for user in inst.users:
        user.deliver(numbered(1))
    return inst.start()


def header(client=CLIENT, to="127.0.0.5"):
    return f"PROXY TCP4 {client} {to} 40000 110\r\n".encode()


def binary(client=CLIENT, tls=None):
    rest = socket.inet_aton(client) + socket.inet_aton("127.0.0.5") + \
        b"\x9c\x40\0\x6e"
    if tls is not None:
        rest += b"\x20\0\x05" + bytes([tls]) + b"\0\0\0\0"
    return V2 + b"\x21\x11" + len(rest).to_bytes(2, "big") + rest


def proxied(inst, port=PLAIN, source=Haproxy.SOURCE):
    return Pop(inst.address, port=port, source=source, greet=False)


def session(pop, user):
    assert pop.login(user.name).startswith(b"+OK")
    assert pop.stat()[0] == 1
    pop.quit()


@pytest.mark.needs("haproxy")
@pytest.mark.parametrize("how", ("v1", "v2", "through", "ended"))
def test_haproxy(inst, how):
    """A whole session; log and limits know the client, not the proxy."""
    user, client = inst.users[0], f"127.0.1.{len(how)}{ord(how[1]) % 10}"
    bind, to, server = {
        "v1": ("", PLAIN, "send-proxy"),
        "v2": ("", PLAIN, "send-proxy-v2"),
        "through": ("", TLS, "send-proxy-v2"),
        "ended": ("ssl crt {pem}", ENDED, "send-proxy-v2-ssl")}[how]
    mode = "tls" if how in ("through", "ended") else "plain"
    with Haproxy(inst, (3130, bind, to, server)):
        with Pop(inst.address, mode, port=3130, source=client) as pop:
            assert pop.login(user.name, "wrong").startswith(b"-ERR [AUTH]")
            session(pop, user)
        inst.wait_log("session-end", f"user={user.name}",
                      f"remote={client}")
        inst.wait_log("auth-failed", f"remote={client}")
        if mode == "tls":
            inst.wait_log("session", f"remote={client}", "tls=yes")
        held = [Pop(inst.address, mode, port=3130, source=client)
                for _ in range(3 // len(inst.role("gate")) or 1)]
        full = len(inst.role("gate")) * 3

        def refused():
            try:
                held.append(Pop(inst.address, mode, port=3130,
                                source=client))
                return held[-1].greeting.startswith(b"-ERR [SYS/TEMP]")
            except (EOFError, OSError):
                return True
        until("the limit", refused)
        assert len(held) <= full + 1
        inst.wait_log("limit", "connections-per-ip", f"remote={client}")
        with Pop(inst.address, mode, port=3130, source="127.0.1.200") as pop:
            pop.ok("QUIT")
        for pop in held:
            pop.close()
    assert not inst.log_lines("session", f"remote={Haproxy.SOURCE}")


@pytest.mark.needs("haproxy")
def test_haproxy_looks_after_it(inst):
    """Its own checks (LOCAL) are greeted and leave no complaint."""
    before = len(inst.log_lines("proxy-header"))
    with Haproxy(inst, (3131, "", PLAIN, "send-proxy-v2 check rise 1"
                        " check-send-proxy")) as haproxy:
        until("a good check", lambda: haproxy.checks() == ["L7OK"])
        with Pop(inst.address, port=3131, source="127.0.1.9") as pop:
            pop.ok("QUIT")
        assert "DOWN" not in haproxy.log.read_text()
    assert len(inst.log_lines("proxy-header")) == before


@pytest.mark.parametrize("head", (header(), binary()), ids=("v1", "v2"))
@pytest.mark.parametrize("port", (PLAIN, TLS, 3110, 3995))
def test_forged_header(inst, head, port):
    """From elsewhere, and where there are no proxies: nobody becomes another
    by it, and nobody is greeted after it."""
    source = f"127.0.2.{port % 100}"
    with Pop(inst.address, port=port, source=source, greet=False) as pop:
        pop.send(head + b"USER user1\r\nPASS " + PASSWORD.encode() + b"\r\n")
        if port == 3110:
            assert pop.line().startswith(b"+OK")
            assert pop.line().startswith(b"-ERR")
        else:
            rest = pop.eof()
            assert rest.count(b"+OK") <= 1 and b"Logged" not in rest
    if port == PLAIN:
        inst.wait_log("not-a-proxy", f"remote={source}")
    assert not inst.log_lines(f"remote={CLIENT}", "session")


def test_required(inst):
    """A trusted proxy without a header, or with a broken one."""
    for text in (b"CAPA\r\n", b"PROXY TCP4 x y 1 2\r\n",
                 b"PROXY " + b"x" * 120, V2 + b"\x21\x11\xff\xff",
                 V2 + b"\x21\x12\0\0"):
        with proxied(inst) as pop:
            pop.send(text)
            assert pop.eof() == b""
    inst.wait_log("proxy-header", f"remote={Haproxy.SOURCE}", n=5)


def test_slow_and_silent(inst):
    """No header, or one that never ends: over at login_time."""
    for text in (b"", b"PROXY TCP4 127.", V2 + b"\x21"):
        with proxied(inst) as pop:
            pop.send(text)
            assert pop.eof() == b""
    inst.wait_log("proxy-header-time", n=3)


def test_octet_by_octet(inst):
    with proxied(inst) as pop:
        for octet in binary(client="127.0.3.1"):
            pop.send(bytes([octet]))
        assert pop.line().startswith(b"+OK")
        session(pop, inst.users[1])
    inst.wait_log("session-end", "remote=127.0.3.1")


def test_all_at_once(inst):
    """What follows the header in its packet is the client's."""
    user = inst.users[1]
    with proxied(inst) as pop:
        pop.send(header("127.0.3.2") + b"AUTH PLAIN " + b64(
            f"\0{user.name}\0{PASSWORD}").encode() + b"\r\nQUIT\r\n")
        assert pop.line().startswith(b"+OK Culver")
        assert pop.line() == b"+OK Logged in"
        assert pop.line().startswith(b"+OK")


def test_unknown_client(inst):
    """The proxy's own address counts."""
    for head in (b"PROXY UNKNOWN\r\n", V2 + b"\x20\0\0\0",
                 V2 + b"\x21\0\0\0"):
        with proxied(inst) as pop:
            pop.send(head)
            assert pop.line().startswith(b"+OK")
            assert pop.login("user1", "wrong").startswith(b"-ERR [AUTH]")
    inst.wait_log("auth-failed", f"remote={Haproxy.SOURCE}", n=3)


@pytest.mark.parametrize("port,tls,good", (
    (ENDED, 1, True), (ENDED, 0, False), (ENDED, None, False),
    (STRICT, 1, False)))
def test_tls_at_the_proxy(inst, port, tls, good):
    """It counts where proxy_tls says so, if the client has it."""
    with proxied(inst, port) as pop:
        pop.send(binary(f"127.0.4.{port % 100 + (tls or 3) * 20}", tls))
        assert pop.line().startswith(b"+OK")
        assert (b"STLS" in pop.multi("CAPA")) != good
        reply = pop.login(inst.users[1].name)
        assert reply.startswith(b"+OK" if good else b"-ERR")


def test_networks_are_the_clients(inst):
    with proxied(inst) as pop:
        pop.send(header("127.0.0.66"))
        assert pop.line().startswith(b"-ERR [SYS/PERM]")
        assert pop.eof() == b""
    inst.wait_log("connection-refused", "remote=127.0.0.66",
                  "reason=network")


def test_allow_and_deny(make_instance):
    """Before the greeting, with a line that says so or without; a reload
    changes it."""
    inst = make_instance(users=1, listen="""
listen some { address = "{address}:3124"  allow = {"127.0.5.0/24"}
    deny = {"127.0.5.128/25"} }
listen quiet { address = "{address}:3125"  deny = {"127.0.5.9"}
    refusal = close }
listen secure { address = "{address}:3126"  tls = implicit
    deny = {"127.0.5.9"} }
""").start()

    def says(port, source):
        with Pop(inst.address, port=port, source=source,
                 greet=False) as pop:
            pop.send("QUIT\r\n")
            return pop.eof()
    assert says(3124, "127.0.5.9").startswith(b"+OK")
    for source in ("127.0.5.129", "127.0.6.1"):
        assert says(3124, source).startswith(b"-ERR [SYS/PERM]")
        inst.wait_log("connection-refused", f"remote={source}",
                      "reason=network")
    assert says(3125, "127.0.5.9") == says(3126, "127.0.5.9") == b""
    assert says(3125, "127.0.5.8").startswith(b"+OK")
    with Pop(inst.address, "tls", port=3126, source="127.0.5.8") as pop:
        pop.ok("QUIT")
    inst.write_conf(inst.conf_text().replace("127.0.5.128/25", "::/0"))
    inst.reload()
    until("the new networks", lambda:
          says(3124, "127.0.5.129").startswith(b"+OK"))


def test_config_mistakes(make_instance):
    inst = make_instance(users=1, listen='''
listen a { address = "127.0.0.1:9" proxy = {"192.0.2.0/33"} deny = "x" }
listen b { address = "127.0.0.1:10" proxy_tls = yes }
listen c { address = "unix:/x" allow = {"::1"} }
listen d { address = "127.0.0.1:11" refusal = rude }
''')
    done = inst.run("-t")
    assert done.returncode == os.EX_CONFIG
    for where, what in (("listen a: proxy", "is no network"),
                        ("listen a: deny", '"x" is no network'),
                        ("listen b: proxy_tls", "there is no proxy"),
                        ("listen c: allow", "this section has none"),
                        ("listen d: refusal", "reply, close")):
        assert [x for x in done.stderr.splitlines() if where in x and
                what in x], done.stderr
