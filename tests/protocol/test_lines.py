"""Command lines that are too long, end oddly, hold NUL, or never end."""
import pytest

from culver import PASSWORD, Pop, numbered

MODES = ("plain", "tls")


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=4, limits="bad_commands = 1000")
    for u in inst.users:
        u.deliver_all(numbered(i) for i in (1, 2))
    return inst.start()


@pytest.fixture(params=("authorization", "transaction"))
def state(request):
    return request.param


def enter(instance, state, mode, user=0):
    return instance.login(instance.users[user], mode) \
        if state == "transaction" else instance.connect(mode)


def works(pop, state):
    pop.multi("CAPA")
    if state == "transaction":
        assert pop.stat()[0] == 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("length", (256, 300, 512, 513, 1024, 4096, 8192,
                                    16384, 60000))
def test_too_long_is_one_error(instance, state, mode, length):
    """And nothing of it is executed, wherever it is cut."""
    with enter(instance, state, mode) as pop:
        line = ("QUIT " + "QUIT " * length)[:length]
        assert pop.cmd(line).startswith(b"-ERR")
        works(pop, state)


@pytest.mark.parametrize("mode", MODES)
def test_longest_line(instance, state, mode):
    """RFC 2449 section 4: 255 octets with the CRLF; trailing spaces are
    harmless, so such a line can be right."""
    with enter(instance, state, mode) as pop:
        line = "CAPA".ljust(253)
        pop.multi(line)
        assert pop.cmd(line + " ").startswith(b"-ERR")
        works(pop, state)


@pytest.mark.parametrize("mode", MODES)
def test_flood_without_an_end(instance, state, mode):
    with enter(instance, state, mode) as pop:
        try:
            for _ in range(64):
                pop.send(b"x" * 65536)
        except OSError:
            pass
        rest = pop.eof()
        assert rest == b"" or rest.startswith(b"-ERR")
    instance.login().quit()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("line", (b"\0", b"NOOP\0", b"\0NOOP", b"STAT\0\0",
                                  b"QUIT\0", b"QUIT\0\r\nQUIT\0",
                                  b"LIST 1\0", b"LIST\x001", b"CAPA\0x",
                                  b"DELE 1\0", b"\0" * 200))
def test_nul(instance, state, mode, line):
    """An error, never the end of a string."""
    with enter(instance, state, mode) as pop:
        for _ in range(line.count(b"\r\n") + 1):
            reply = pop.cmd(line) if not _ else pop.line()
            assert reply.startswith(b"-ERR")
        works(pop, state)


def test_nul_in_name_and_password(instance):
    with instance.connect() as pop:
        assert pop.cmd(b"USER user1\0").startswith(b"-ERR")
        assert pop.cmd(b"USER user1\0x").startswith(b"-ERR")
        pop.ok("USER user1")
        assert pop.cmd(f"PASS {PASSWORD}\0").startswith(b"-ERR")
        assert pop.cmd("STAT").startswith(b"-ERR")


@pytest.mark.parametrize("line", (b"NOOP\r", b"\rNOOP", b"QUIT\r", b"\r",
                                  b"DELE\r 1", b"LIST \r1"))
def test_bare_cr(instance, state, line):
    with enter(instance, state, "plain") as pop:
        assert pop.cmd(line).startswith(b"-ERR")
        works(pop, state)


@pytest.mark.parametrize("mode", MODES)
def test_lf_only(instance, mode):
    instance.login().quit()
    with instance.connect(mode) as pop:
        pop.send(f"USER user1\nPASS {PASSWORD}\nSTAT\nLIST\nQUIT\n")
        for _ in range(4):
            assert pop.line().startswith(b"+OK")
        assert pop.body().count(b"\r\n") == 2
        assert pop.line().startswith(b"+OK")
        assert pop.eof() == b""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", ("QUIT", "QUIT\r", "DELE 2\r\nQUIT", "QUI",
                                  "RSET\r\nDELE 2\r\nQUIT\r"))
def test_what_has_not_ended_is_not_executed(instance, mode, text):
    """A half line and then the end of the connection: no UPDATE."""
    import socket
    user = instance.users[1]
    for how in ("shutdown", "close", "reset"):
        with instance.login(user, mode) as pop:
            pop.ok("DELE 1")
            pop.send(text)
            if how == "shutdown" and mode == "plain":
                pop.sock.shutdown(socket.SHUT_WR)
                rest = pop.eof()
                assert rest.count(b"\r\n") <= text.count("\r\n")
            elif how == "reset":
                pop.reset()
        with instance.login(user) as pop:
            assert pop.stat()[0] == 2, "QUIT without an end was executed"


def test_half_password_then_close(instance):
    """No login, and so no lock, from a line that did not end."""
    with instance.connect() as pop:
        pop.ok("USER user3")
        pop.send(f"PASS {PASSWORD}")
    with instance.connect() as pop:
        assert pop.login("user3").startswith(b"+OK")


def test_nothing_at_all(instance):
    for mode in MODES:
        for _ in range(20):
            Pop(instance.address, mode).close()
            Pop(instance.address, port=3110, greet=False).reset()
    instance.login().quit()


def test_bad_commands(make_instance):
    """`bad_commands` of them and the connection is closed, in both states;
    right ones in between do not count."""
    inst = make_instance(users=1, limits="bad_commands = 5").start()
    for enter_state in ("authorization", "transaction"):
        with enter(inst, enter_state, "plain") as pop:
            pop.send("CAPA\r\n" * 20 + "XYZZY\r\n" * 30)
            for _ in range(20):
                assert pop.line().startswith(b"+OK")
                pop.body()
            rest = pop.eof()
            assert rest.count(b"-ERR") == rest.count(b"\r\n")
            assert 4 <= rest.count(b"-ERR") <= 6
    inst.wait_log("login")


def test_bad_commands_do_not_update(make_instance):
    inst = make_instance(users=1, limits="bad_commands = 3")
    inst.users[0].deliver(numbered(1))
    inst.start()
    with inst.login() as pop:
        pop.ok("DELE 1")
        pop.send("XYZZY\r\n" * 10)
        pop.eof()
    with inst.login() as pop:
        assert pop.stat()[0] == 1
