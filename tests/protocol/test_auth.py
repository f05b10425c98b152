"""AUTH, RFC 5034 and 4616: PLAIN and LOGIN with and without an initial
response, cancelled, malformed, too long; what a failure tells."""
import pytest

from culver import PASSWORD, b64, numbered


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=4, limits="bad_commands = 1000")
    odd = inst.users[3]
    odd.name, odd.password = "odd@user.example", "pass word: \xe9$6$"
    inst.write_users()
    for u in inst.users:
        u.deliver(numbered(1))
    return inst.start()


@pytest.fixture(params=("plain", "stls", "tls"))
def pop(request, instance):
    with instance.connect(request.param) as pop:
        yield pop


GOOD = b64(f"\0user1\0{PASSWORD}")


def free(instance, n=0):
    instance.login(instance.users[n]).quit()


def test_plain_initial_response(instance, pop):
    free(instance)
    assert pop.cmd("AUTH PLAIN " + GOOD).startswith(b"+OK")
    assert pop.stat()[0] == 1


def test_plain_in_two_steps(instance, pop):
    """Thunderbird does it so; the challenge is "+ " and nothing."""
    free(instance)
    assert pop.cmd("AUTH PLAIN") == b"+ "
    assert pop.cmd(GOOD).startswith(b"+OK")
    assert pop.stat()[0] == 1


@pytest.mark.parametrize("mech", ("plain", "Plain", "PLAIN"))
def test_mechanism_in_any_case(instance, pop, mech):
    free(instance)
    assert pop.cmd(f"auth {mech} {GOOD}").startswith(b"+OK")


def test_plain_authzid_of_oneself(instance, pop):
    free(instance)
    assert pop.auth_plain("user1", zid="user1").startswith(b"+OK")


def test_plain_authzid_of_another(pop):
    assert pop.auth_plain("user1", zid="user2").startswith(b"-ERR")
    assert pop.cmd("STAT").startswith(b"-ERR")


def test_login_in_steps(instance, pop):
    free(instance)
    first = pop.cmd("AUTH LOGIN")
    assert first.startswith(b"+ ")
    second = pop.cmd(b64("user1"))
    assert second.startswith(b"+ ") and second != first
    assert pop.cmd(b64(PASSWORD)).startswith(b"+OK")
    assert pop.stat()[0] == 1


def test_login_initial_response(instance, pop):
    free(instance)
    assert pop.cmd("AUTH LOGIN " + b64("user1")).startswith(b"+ ")
    assert pop.cmd(b64(PASSWORD)).startswith(b"+OK")
    assert pop.stat()[0] == 1


def test_odd_name_and_password(instance, pop):
    user = instance.users[3]
    free_user = instance.connect()
    reply = pop.cmd("AUTH PLAIN " + b64(
        b"\0" + user.name.encode() + b"\0" + user.password.encode()))
    free_user.close()
    assert reply.startswith((b"+OK", b"-ERR [IN-USE]"))


@pytest.mark.parametrize("start", ("AUTH PLAIN", "AUTH LOGIN"))
def test_cancel(instance, pop, start):
    assert pop.cmd(start).startswith(b"+ ")
    assert pop.cmd("*").startswith(b"-ERR")
    free(instance)
    assert pop.login("user1").startswith(b"+OK")


def test_cancel_login_at_the_password(instance, pop):
    pop.cmd("AUTH LOGIN")
    pop.cmd(b64("user1"))
    assert pop.cmd("*").startswith(b"-ERR")
    free(instance)
    assert pop.login("user1").startswith(b"+OK")


BAD = ["!", "====", "AAA", "A", "AAAAA", "AB=C", " ", "AA==AA==", "\xff\xfe",
       GOOD + "=", GOOD[:-1] + "!", "*x", GOOD + "\t"]


@pytest.mark.parametrize("response", BAD)
def test_bad_base64(instance, pop, response):
    assert pop.cmd("AUTH PLAIN") == b"+ "
    assert pop.cmd(response).startswith(b"-ERR")
    assert pop.cmd("STAT").startswith(b"-ERR")
    pop.multi("CAPA")


BAD_PLAIN = ["", "user1", "user1\0" + PASSWORD, f"\0user1\0{PASSWORD}\0",
             "\0\0\0", f"\0\0{PASSWORD}", "\0user1\0", "\0" * 20,
             f"\0user1\0{PASSWORD}\0x", "\0" + "u" * 256 + "\0p",
             "\0user1\0" + "p" * 5000]


@pytest.mark.parametrize("initial", (False, True))
@pytest.mark.parametrize("data", BAD_PLAIN)
def test_bad_plain(instance, pop, data, initial):
    text = b64(data)
    if initial:
        reply = pop.cmd("AUTH PLAIN " + (text or "="))
    else:
        pop.cmd("AUTH PLAIN")
        reply = pop.cmd(text)
    assert reply.startswith(b"-ERR")
    assert pop.cmd("STAT").startswith(b"-ERR")
    pop.multi("CAPA")


def test_empty_initial_response(pop):
    """RFC 5034 section 4: "=" is an empty one, not an absent one."""
    assert pop.cmd("AUTH PLAIN =").startswith(b"-ERR")


@pytest.mark.parametrize("length", (12289, 20000, 65000))
def test_too_long(instance, pop, length):
    """One -ERR, and the octets of the line are no commands."""
    assert pop.cmd("AUTH PLAIN " + "A" * length).startswith(b"-ERR")
    assert pop.cmd("AUTH PLAIN") == b"+ "
    assert pop.cmd("A" * length).startswith(b"-ERR")
    free(instance)
    assert pop.login("user1").startswith(b"+OK")


def test_longest_response(pop):
    """12,288 octets with the line end must be taken (RFC 5034 section 4);
    that it is no user is another matter."""
    assert pop.cmd("AUTH PLAIN") == b"+ "
    text = b64(b"\0user1\0" + b"p" * (3 * (12284 // 4) - 7))
    assert len(text) <= 12286
    assert pop.cmd(text).startswith(b"-ERR")
    pop.multi("CAPA")


def test_failures_tell_nothing(pop):
    """The same words for a wrong password and an unknown user."""
    replies = {pop.login("user1", "wrong"), pop.login("nobody", "wrong"),
               pop.auth_plain("user1", "wrong"),
               pop.auth_plain("nobody", PASSWORD)}
    assert len(replies) == 1
    assert replies.pop().startswith(b"-ERR [AUTH]")


@pytest.mark.parametrize("name", ("../user2", "user2/../user1", "user1%00",
                                  "USER1\x01", "user1:x", "%s%n", "*", "root",
                                  "user1'--", "#", "u" * 200))
def test_hostile_names(pop, name):
    assert pop.auth_plain(name).startswith(b"-ERR")
    assert pop.login(name).startswith(b"-ERR")


def test_pipelined_exchange(instance, pop):
    """The responses sent along with the command (RFC 5034 forbids it to
    clients, and nothing but an answer each may come of it)."""
    free(instance)
    pop.send(f"AUTH LOGIN\r\n{b64('user1')}\r\n{b64(PASSWORD)}\r\nSTAT\r\n")
    assert pop.line().startswith(b"+ ")
    assert pop.line().startswith(b"+ ")
    assert pop.line().startswith(b"+OK")
    assert pop.line().startswith(b"+OK 1 ")


def test_disconnect_in_the_middle(instance):
    for start in ("AUTH PLAIN\r\n", "AUTH LOGIN\r\n", "AUTH PLAIN " + GOOD):
        with instance.connect() as pop:
            pop.send(start)
    free(instance)      # nobody logged in: the line had not ended
