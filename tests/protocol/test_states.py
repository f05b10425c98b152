"""Every command in every state, RFC 1939 and its extensions, over plain TCP,
STLS and implicit TLS: right, missing, surplus, zero, negative, huge and
non-numeric arguments, and what the session is worth afterwards."""
import pytest

from culver import PASSWORD, Pop, b64, numbered

MODES = ("plain", "stls", "tls")
N = 3
HUGE = ("4294967295", "4294967296", "4294967297", "9223372036854775808",
        "18446744073709551615", "18446744073709551617", "9" * 100)
NOT_NUMBERS = ("x", "-1", "-0", "+1", "1x", "x1", "1.0", "1,2", "0x1", "1e0",
               "\xb9", "\t1", "''", "*", "1-2")

OK, ERR, MULTI = "+OK", "-ERR", "+OK and lines"

# What TRANSACTION knows and AUTHORIZATION does not, and the other way round.
OF_TRANSACTION = ("STAT", "LIST", "LIST 1", "RETR 1", "DELE 1", "NOOP",
                  "RSET", "TOP 1 0", "UIDL", "UIDL 1")
OF_AUTHORIZATION = ("USER user1", f"PASS {PASSWORD}", "AUTH", "AUTH PLAIN",
                    "AUTH LOGIN", "STLS",
                    "AUTH PLAIN " + b64(f"\0user1\0{PASSWORD}"))
NOWHERE = ("APOP user1 c4c9334bac560ecc979e58001b3e22fb", "APOP", "UTF8",
           "UTF8 USER", "LANG", "LANG *", "LAST", "XTND XLST", "EHLO x", "",
           " ", " NOOP", "\tNOOP", "NOO", "NOOPX", "NOOP\tx", "STAT,",
           "LIST1", "RETR1", "GET / HTTP/1.0", "\x80\xff\xfe", "+OK", ".")


def numeric(verb, suffix=""):
    """One message number in all wrong forms."""
    for n in ("0", str(N + 1), *HUGE, *NOT_NUMBERS, " 1"):
        yield f"{verb} {n}{suffix}", ERR


def transaction():
    yield from ((line, ERR) for line in OF_AUTHORIZATION)
    yield from ((line, ERR) for line in NOWHERE)
    for verb in ("STAT", "NOOP", "RSET"):
        yield from ((verb, OK), (verb.lower(), OK), (verb + "  ", OK),
                    (verb + " 1", ERR), (verb + " x y", ERR))
    yield from (("CAPA", MULTI), ("capa", MULTI), ("CAPA x", ERR))
    for verb in ("LIST", "UIDL"):
        yield from ((verb, MULTI), (verb.title(), MULTI), (verb + " 1", OK),
                    (f"{verb} {N}", OK), (verb + " 1 ", OK),
                    (verb + " 1 2", ERR), (verb + " 1 x", ERR),
                    (verb + "  1", ERR), (verb + " 001", OK))
        yield from numeric(verb)
    yield from (("RETR 1", MULTI), ("rEtR 3", MULTI), ("RETR", ERR),
                ("RETR ", ERR), ("RETR 1 2", ERR))
    yield from numeric("RETR")
    yield from (("DELE 1", OK), ("dele 3", OK), ("DELE", ERR),
                ("DELE 1 2", ERR))
    yield from numeric("DELE")
    yield from (("TOP 1 0", MULTI), ("top 3 10", MULTI), ("TOP", ERR),
                ("TOP 1", ERR), ("TOP 1 0 0", ERR), ("TOP 1  0", ERR))
    yield from numeric("TOP", " 0")
    yield from ((f"TOP 1 {n}", MULTI) for n in HUGE)
    yield from ((f"TOP 1 {n}", ERR) for n in NOT_NUMBERS)
    yield from (("QUIT x", ERR), ("QUIT 1 2", ERR))


def authorization():
    yield from ((line, ERR) for line in OF_TRANSACTION)
    yield from ((line, ERR) for line in NOWHERE)
    yield from (("USER user1", OK), ("user user1", OK), ("USER nobody", OK),
                ("USER user1 ", OK), ("USER", ERR), ("USER ", ERR),
                ("USER  user1", ERR), ("USER " + "u" * 300, ERR),
                ("PASS", ERR), ("PASS x", ERR), ("PASS " + PASSWORD, ERR),
                ("CAPA", MULTI), ("capa ", MULTI), ("CAPA x", ERR),
                ("STLS x", ERR), ("STLS 1 2", ERR), ("QUIT x", ERR),
                ("AUTH XYZ", ERR), ("AUTH XYZ x", ERR),
                ("AUTH PLAIN x y", ERR), ("AUTH PLAIN  " + b64("x"), ERR),
                ("AUTH CRAM-MD5", ERR), ("AUTH EXTERNAL =", ERR),
                ("AUTH plainx", ERR), ("AUTH " + "P" * 100, ERR))


def after_user():
    yield from ((line, ERR) for line in OF_TRANSACTION)
    yield from (("USER user2", OK), ("USER", ERR), ("CAPA", MULTI),
                ("PASS", ERR), ("PASS ", ERR), ("PASS wrong", ERR),
                (f"PASS {PASSWORD} ", ERR), (f"PASS  {PASSWORD}", ERR),
                (f"PASS {PASSWORD}x", ERR), (f"PASS {PASSWORD.upper()}", ERR),
                ("PASS " + "p" * 240, ERR), (f"PASS {PASSWORD}", OK),
                (f"pass {PASSWORD}", OK), ("XYZZY", ERR), ("QUIT 1", ERR))


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=6, limits="bad_commands = 1000")
    for user in inst.users:
        user.deliver_all(numbered(i) for i in range(1, N + 1))
    return inst.start()


@pytest.fixture(scope="module")
def next_user(instance):
    """Round robin: a session need not wait for the last one's lock."""
    turn = [0]

    def take():
        turn[0] += 1
        return instance.users[turn[0] % len(instance.users)]
    return take


def check(pop, line, expect):
    reply = pop.cmd(line)
    assert reply.startswith(b"+OK" if expect != ERR else b"-ERR"), \
        f"{line!r}: {reply!r}"
    assert len(reply) + 2 <= 512, "RFC 1939 section 3"
    assert reply[:4] in (b"+OK", b"+OK ") or reply[:5] in (b"-ERR", b"-ERR ")
    if expect == MULTI:
        pop.body()
    return reply


def ids(cases):
    return [c[0][:30].encode("unicode_escape").decode() or "empty"
            for c in cases]


TRANSACTION = list(transaction())
AUTHORIZATION = list(authorization())
AFTER_USER = list(after_user())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("line,expect", TRANSACTION, ids=ids(TRANSACTION))
def test_transaction(instance, next_user, mode, line, expect):
    with instance.login(next_user(), mode) as pop:
        check(pop, line, expect)
        # the session goes on, and only a DELE that was +OK changed it
        gone = expect == OK and line.upper().startswith("DELE")
        assert pop.stat()[0] == N - gone
        pop.ok("RSET")
        assert pop.quit().startswith(b"+OK")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("line,expect", AUTHORIZATION, ids=ids(AUTHORIZATION))
def test_authorization(instance, next_user, mode, line, expect):
    user = next_user()
    with instance.connect(mode) as pop:
        check(pop, line, expect)
        assert pop.cmd("STAT").startswith(b"-ERR")
        login_after(instance, pop, user)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("line,expect", AFTER_USER, ids=ids(AFTER_USER))
def test_after_user(instance, next_user, mode, line, expect):
    user = next_user()
    settle(instance, user)
    with instance.connect(mode) as pop:
        pop.ok(f"USER {user.name}")
        check(pop, line, expect)
        if expect == OK and line.lower().startswith("pass"):
            assert pop.stat()[0] == N
        else:
            assert pop.cmd("STAT").startswith(b"-ERR")
            login_after(instance, pop, user)


def settle(instance, user):
    """Until the lock of the last session is free."""
    instance.login(user).quit()


def login_after(instance, pop, user):
    """What came before did not spoil the connection."""
    settle(instance, user)
    assert pop.login(user.name).startswith(b"+OK")
    assert pop.stat()[0] == N
    assert pop.quit().startswith(b"+OK")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("state", ("authorization", "user", "transaction"))
@pytest.mark.parametrize("line", ("QUIT", "quit", "QUIT "))
def test_quit(instance, next_user, mode, state, line):
    user = next_user()
    pop = instance.login(user, mode) if state == "transaction" \
        else instance.connect(mode)
    with pop:
        if state == "user":
            pop.ok(f"USER {user.name}")
        pop.ok(line)
        assert pop.eof() == b""


@pytest.mark.parametrize("mode", ("stls", "tls"))
def test_stls_is_refused_under_tls(instance, mode):
    with instance.connect(mode) as pop:
        check(pop, "STLS", ERR)
        check(pop, "CAPA", MULTI)


def test_pass_needs_a_new_user_after_a_failure(instance):
    with instance.connect() as pop:
        assert pop.login("user1", "wrong").startswith(b"-ERR [AUTH]")
        check(pop, f"PASS {PASSWORD}", ERR)


def test_last_user_counts(instance, next_user):
    user = next_user()
    settle(instance, user)
    with instance.connect() as pop:
        pop.ok("USER nobody")
        pop.ok(f"USER {user.name}")
        pop.ok(f"PASS {PASSWORD}")


def test_a_command_between_user_and_pass(instance, next_user):
    """RFC 1939 section 7 allows only QUIT there; CAPA at least does no
    harm, and a session never starts without the right password."""
    user = next_user()
    settle(instance, user)
    with instance.connect() as pop:
        pop.ok(f"USER {user.name}")
        pop.multi("CAPA")
        reply = pop.cmd(f"PASS {PASSWORD}")
        assert reply.startswith((b"+OK", b"-ERR"))


def test_deleted_messages(instance, next_user):
    """RFC 1939 section 5: numbers stay, the deleted are not found."""
    with instance.login(next_user()) as pop:
        sizes, uidls = pop.sizes(), pop.uidls()
        pop.ok("DELE 2")
        for line in ("DELE 2", "RETR 2", "TOP 2 0", "LIST 2", "UIDL 2"):
            check(pop, line, ERR)
        assert pop.sizes() == {1: sizes[1], 3: sizes[3]}
        assert pop.uidls() == {1: uidls[1], 3: uidls[3]}
        assert pop.stat() == (2, sizes[1] + sizes[3])
        assert pop.ok("LIST 3") == b"+OK 3 %d" % sizes[3]
        assert pop.ok("UIDL 3") == b"+OK 3 %s" % uidls[3].encode()
        pop.ok("RSET")
        assert pop.sizes() == sizes and pop.uidls() == uidls
        assert pop.stat() == (N, sum(sizes.values()))
        for n in (1, 2, 3):
            pop.ok(f"DELE {n}")
        assert pop.sizes() == {} and pop.uidls() == {}
        assert pop.stat() == (0, 0)
        pop.ok("RSET")
        pop.quit()


def test_empty_mailbox(instance, make_instance):
    inst = make_instance(users=1).start()
    with inst.login() as pop:
        assert pop.stat() == (0, 0)
        assert pop.sizes() == {} and pop.uidls() == {}
        for line in ("LIST 1", "UIDL 1", "RETR 1", "DELE 1", "TOP 1 0",
                     "LIST 0"):
            check(pop, line, ERR)
        assert pop.quit().startswith(b"+OK")


def test_stat_format(instance, next_user):
    """RFC 1939 section 5: "+OK nn mm" and nothing that confuses."""
    with instance.login(next_user()) as pop:
        size = sum(pop.sizes().values())
        assert pop.cmd("STAT") == b"+OK %d %d" % (N, size)


def test_greeting_without_a_challenge(instance):
    """Clients take <...> in the greeting for APOP."""
    with Pop(instance.address) as pop:
        assert pop.greeting.startswith(b"+OK")
        assert b"<" not in pop.greeting
