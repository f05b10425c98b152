"""One session a mailbox, DELE and RSET and QUIT as RFC 1939 sections 5 and 6
have them, and that what QUIT promised is so."""
import poplib

import pytest

from culver import PASSWORD, numbered, until, wire

MODES = ("plain", "stls", "tls")
N = 6


@pytest.fixture(scope="module")
def instance(make_instance):
    return make_instance(users=3).start()


@pytest.fixture
def user(instance):
    user = instance.users[0]
    instance.login(user).quit()
    user.empty()
    user.messages = [numbered(i) for i in range(1, N + 1)]
    user.names = user.deliver_all(user.messages)
    return user


def left(user):
    """In wire form, which is how storage other than Maildir keeps them."""
    return sorted(map(wire, user.contents().values()))


@pytest.mark.parametrize("mode", MODES)
def test_dele_and_quit(instance, user, mode):
    with instance.login(user, mode) as pop:
        uidls = pop.uidls()
        by_number = {n: pop.multi(f"RETR {n}") for n in (2, 5)}
        pop.ok("DELE 2")
        pop.ok("DELE 5")
        assert len(left(user)) == N, "removed before UPDATE"
        assert pop.quit().startswith(b"+OK")
    # the reply to QUIT has come, so they are gone now
    keep = [m for m in user.messages
            if wire(m) not in by_number.values()]
    assert left(user) == sorted(map(wire, keep)) and len(keep) == N - 2
    with instance.login(user, mode) as pop:
        assert list(pop.uidls().values()) == \
            [u for n, u in uidls.items() if n not in (2, 5)]


def test_rset_then_quit(instance, user):
    with instance.login(user) as pop:
        for n in range(1, N + 1):
            pop.ok(f"DELE {n}")
        pop.ok("RSET")
        pop.ok("DELE 1")
        pop.quit()
    assert len(left(user)) == N - 1


def test_delete_all(instance, user):
    with instance.login(user) as pop:
        pop.send("".join(f"DELE {n}\r\n" for n in range(1, N + 1)) +
                 "QUIT\r\n")
        for _ in range(N + 1):
            assert pop.line().startswith(b"+OK")
        pop.eof()
    assert left(user) == []
    with instance.login(user) as pop:
        assert pop.stat() == (0, 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ("close", "reset", "shutdown"))
def test_no_update_without_quit(instance, user, mode, how):
    import socket
    with instance.login(user, mode) as pop:
        pop.ok("DELE 1")
        if how == "reset":
            pop.reset()
        elif how == "shutdown":
            pop.sock.shutdown(socket.SHUT_WR)
            pop.eof()
    instance.login(user).quit()
    assert len(left(user)) == N


def test_no_update_in_the_middle_of_retr(instance, user):
    user.deliver(numbered(99, 5_000_000))
    with instance.login(user) as pop:
        pop.ok("DELE 1")
        pop.ok(f"RETR {N + 1}")
        pop.reset()
    with instance.login(user) as pop:
        assert pop.stat()[0] == N + 1


@pytest.mark.parametrize("first", MODES)
@pytest.mark.parametrize("second", MODES)
def test_in_use(instance, user, first, second):
    """The second session is told so, then served once the first is gone;
    the first does not notice."""
    with instance.login(user, first) as pop:
        pop.ok("DELE 3")
        with instance.connect(second) as other:
            reply = other.login(user.name)
            assert reply.startswith(b"-ERR [IN-USE]")
        with instance.connect(second) as other:
            assert other.auth_plain(user.name).startswith(b"-ERR [IN-USE]")
        assert pop.stat()[0] == N - 1
        pop.quit()
    with instance.login(user, second) as pop:
        assert pop.stat()[0] == N - 1


def test_another_mailbox_is_not_in_use(instance, user):
    with instance.login(user), instance.login(instance.users[1]) as other:
        other.ok("STAT")


@pytest.mark.parametrize("how", ("close", "reset", "quit"))
def test_lock_is_free_soon(instance, user, how):
    pop = instance.login(user)
    getattr(pop, how)()
    instance.login(user).quit()


def test_a_message_that_comes_meanwhile(instance, user):
    """Fixed numbers within a session; the new one in the next."""
    with instance.login(user) as pop:
        before = pop.uidls()
        new = user.deliver(numbered(77))
        assert pop.uidls() == before
        assert pop.stat()[0] == N
        pop.ok("DELE 1")
        pop.quit()
    assert wire(numbered(77)) in left(user)
    with instance.login(user) as pop:
        assert pop.stat()[0] == N
        assert new in pop.uidls().values()


def test_uidl_is_what_delivery_said(instance, user):
    with instance.login(user) as pop:
        assert set(pop.uidls().values()) == set(user.names)


def test_uidls_are_kept(instance, user):
    """Over sessions, over flags that another program sets, over a restart
    of the daemon."""
    with instance.login(user) as pop:
        first = pop.uidls()
        pop.quit()
    if instance.kind == "maildir":
        for name, path in user.files().items():
            path.rename(user.maildir / "cur" / (name + ":2,S"))
    with instance.login(user) as pop:
        assert set(pop.uidls().values()) == set(first.values())
        pop.quit()
    instance.stop()
    instance.start()
    with instance.login(user) as pop:
        assert pop.uidls() == first


@pytest.mark.maildir
def test_retr_does_not_change_the_mailbox(instance, user):
    """Flags are left alone, new/ is not moved."""
    before = sorted(p.name for p in (user.maildir / "new").iterdir())
    with instance.login(user) as pop:
        for n in range(1, N + 1):
            pop.multi(f"RETR {n}")
        pop.quit()
    assert sorted(p.name for p in (user.maildir / "new").iterdir()) == before


def test_a_session_end_is_logged(instance, user):
    with instance.login(user) as pop:
        octets = len(pop.multi("RETR 1"))
        pop.ok("DELE 2")
        pop.quit()
    until("the session's line", lambda: instance.log_lines(
        "session-end", f"user={user.name}", "retr=1", f"octets={octets}",
        "deleted=1", f"left={N - 1}", "reason=quit"))


def test_poplib(instance, user):
    """A client that others wrote sees the same."""
    pop = poplib.POP3(instance.address, 3110, 20)
    pop.user(user.name)
    pop.pass_(PASSWORD)
    n, octets = pop.stat()
    assert n == N and octets == sum(len(wire(m)) for m in user.messages)
    got = [b"\r\n".join(pop.retr(i)[1]) + b"\r\n" for i in range(1, N + 1)]
    assert sorted(got) == sorted(map(wire, user.messages))
    pop.quit()
