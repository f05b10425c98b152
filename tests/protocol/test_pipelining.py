"""PIPELINING (RFC 2449 section 6.6) and input cut into pieces of any size:
the replies are the same however the octets arrive."""

import pytest

from culver import PASSWORD, Pop, numbered, wire

MODES = ("plain", "stls", "tls")
N = 5
MESSAGES = [numbered(i, 2000) for i in range(1, N + 1)]


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=4)
    for u in inst.users:
        u.deliver_all(MESSAGES)
    return inst.start()


def session_text(user, end="\r\n", quit=True):
    lines = ["CAPA", f"USER {user}", f"PASS {PASSWORD}", "STAT", "LIST",
             "UIDL", "TOP 1 1", "RETR 2", "NOPE", "DELE 3", "LIST 4", "RSET",
             "NOOP"] + (["QUIT"] if quit else [])
    return "".join(line + end for line in lines)


def check_session(pop, quit=True):
    """The replies to session_text(), in order."""
    pop.ok_line = lambda: check_ok(pop.line())
    pop.ok_line(), pop.body()
    pop.ok_line(), pop.ok_line()
    total = sum(len(wire(m)) for m in MESSAGES)
    assert pop.line() == b"+OK %d %d" % (N, total)
    pop.ok_line()
    assert len(pop.body().split(b"\r\n")) == N + 1
    pop.ok_line()
    assert len(pop.body().split(b"\r\n")) == N + 1
    pop.ok_line()
    assert pop.body().count(b"\r\n") == 5
    pop.ok_line()
    assert pop.body() == wire(MESSAGES[1])
    assert pop.line().startswith(b"-ERR")
    pop.ok_line()
    assert pop.line() == b"+OK 4 %d" % len(wire(MESSAGES[3]))
    pop.ok_line(), pop.ok_line()
    if quit:
        pop.ok_line()
        assert pop.eof() == b""


def check_ok(line):
    assert line.startswith(b"+OK"), line


def settle(instance, user):
    instance.login(user).quit()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", ("\r\n", "\n"), ids=("crlf", "lf"))
def test_whole_session_in_one_write(instance, mode, end):
    user = instance.users[0]
    settle(instance, user)
    with instance.connect(mode) as pop:
        pop.send(session_text(user.name, end))
        check_session(pop)


def test_before_the_greeting(instance):
    """All of it is there before the server has said a word."""
    user = instance.users[0]
    settle(instance, user)
    with Pop(instance.address, greet=False) as pop:
        pop.send(session_text(user.name))
        check_ok(pop.line())
        check_session(pop)


def test_before_the_greeting_tls(instance):
    user = instance.users[0]
    settle(instance, user)
    with Pop(instance.address, "tls", greet=False) as pop:
        pop.send(session_text(user.name))
        check_ok(pop.line())
        check_session(pop)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", (1, 2, 3, 7))
def test_pieces(instance, mode, size):
    user = instance.users[1]
    settle(instance, user)
    with instance.connect(mode) as pop:
        text = session_text(user.name)
        for i in range(0, len(text), size):
            pop.send(text[i:i + size])
        check_session(pop)


@pytest.mark.parametrize("mode", MODES)
def test_read_ahead_reaches_the_worker_exactly(instance, mode):
    """Commands behind the login, cut at every place around its end: the
    gate must take the login's line and not an octet more or less."""
    user = instance.users[2]
    head = f"USER {user.name}\r\nPASS {PASSWORD}\r\n"
    tail = "STAT\r\nNOOP\r\nQUIT\r\n"
    text = head + tail
    for cut in range(len(head) - 4, len(head) + 8):
        settle(instance, user)
        with instance.connect(mode) as pop:
            pop.send(text[:cut])
            pop.send(text[cut:])
            check_ok(pop.line()), check_ok(pop.line())
            assert pop.line().startswith(b"+OK 5 ")
            check_ok(pop.line()), check_ok(pop.line())
            assert pop.eof() == b""


@pytest.mark.parametrize("mode", MODES)
def test_login_and_a_lot_behind_it(instance, mode):
    """More behind PASS than a socket buffer holds."""
    user = instance.users[2]
    settle(instance, user)
    n = 30000
    with instance.connect(mode) as pop:
        send_and_read(pop, f"USER {user.name}\r\nPASS {PASSWORD}\r\n" +
                      "NOOP\r\n" * n + "QUIT\r\n", n + 3)
        assert pop.eof() == b""


def send_and_read(pop, text, replies):
    """Write TEXT and read that many one-line replies meanwhile: a client
    that does not read while it writes has itself to blame."""
    data = text.encode()
    sent = got = 0
    while got < replies:
        if sent < len(data):
            pop.send(data[sent:sent + 16384])
            sent += 16384
        if sent >= len(data) or b"\n" in pop.buf or readable(pop):
            check_ok(pop.line())
            got += 1
            while b"\n" in pop.buf:
                check_ok(pop.line())
                got += 1
    assert got == replies and pop.buf == b""


def readable(pop):
    import select
    return bool(select.select([pop.sock], [], [], 0)[0])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("command", ("NOOP", "LIST 2", "UIDL 3", "STAT"))
def test_ten_thousand_in_one_burst(instance, mode, command):
    with instance.login(instance.users[3], mode) as pop:
        send_and_read(pop, (command + "\r\n") * 10000, 10000)
        pop.quit()


def test_ten_thousand_listings(instance):
    with instance.login(instance.users[3]) as pop:
        expect = pop.multi("LIST")
        total = 10000
        for _ in range(total // 500):
            pop.send("LIST\r\n" * 500)
            for _ in range(500):
                check_ok(pop.line())
                assert pop.body() == expect
        pop.quit()


def test_replies_are_coalesced(instance):
    """A run of pipelined input is answered in few segments."""
    with instance.login(instance.users[3]) as pop:
        pop.send("NOOP\r\n" * 1000)
        got, reads = b"", 0
        while got.count(b"\n") < 1000:
            got += pop.sock.recv(1 << 20)
            reads += 1
        assert reads < 100
        pop.quit()


def test_quit_in_the_middle_of_a_burst(instance):
    """What follows QUIT is not executed, and the replies before it come
    whole although the client sent more than the server read."""
    user = instance.users[3]
    with instance.login(user) as pop:
        pop.send("LIST\r\n" * 20 + "QUIT\r\n" + "DELE 1\r\n" * 20)
        for _ in range(20):
            check_ok(pop.line())
            pop.body()
        check_ok(pop.line())
        assert pop.eof() == b""
    with instance.login(user) as pop:
        assert pop.stat()[0] == N


def test_a_reader_that_stops(instance):
    """A client that sends and does not read gets all of it in the end."""
    with instance.login(instance.users[3]) as pop:
        pop.send("RETR 1\r\n" * 2000)
        for _ in range(2000):
            check_ok(pop.line())
            assert pop.body() == wire(MESSAGES[0])
        pop.quit()
