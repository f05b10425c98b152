"""The corpus over the wire: sizes and octets exact, to the last dot."""
import pytest

import corpus
from corpus import CORPUS, HUGE
from culver import numbered, unstuff, wire

MODES = ("plain", "stls", "tls")


@pytest.fixture(scope="module")
def instance(make_instance):
    return make_instance(users=3).start()


@pytest.fixture(scope="module")
def names(instance):
    """UIDL -> name in the corpus."""
    return corpus.by_uidl(instance.users[0])


@pytest.fixture(params=MODES)
def session(request, instance, names):
    with instance.login(instance.users[0], request.param) as pop:
        pop.names = {n: names[u] for n, u in pop.uidls().items()}
        yield pop
        pop.quit()


def test_all_are_there(session):
    assert sorted(session.names.values()) == sorted(CORPUS)


def test_sizes(session):
    sizes = session.sizes()
    assert {session.names[n]: s for n, s in sizes.items()} == \
        {name: len(wire(m)) for name, m in CORPUS.items()}
    assert session.stat() == (len(CORPUS), sum(sizes.values()))
    for n, size in sizes.items():
        assert session.ok(f"LIST {n}") == b"+OK %d %d" % (n, size)


@pytest.mark.parametrize("name", CORPUS)
def test_retr(session, name):
    n = number(session, name)
    session.ok(f"RETR {n}")
    body = session.body()
    assert body == corpus.stuffed(CORPUS[name])
    assert unstuff(body) == wire(CORPUS[name])
    assert session.buf == b""
    session.ok("NOOP")      # nothing stray behind the final dot
    assert session.sizes()[n] == len(wire(CORPUS[name]))


@pytest.mark.parametrize("lines", (0, 1, 3, 1000, 99999999999999999999))
@pytest.mark.parametrize("name", CORPUS)
def test_top(session, name, lines):
    n = number(session, name)
    assert session.multi(f"TOP {n} {lines}") == \
        corpus.top(CORPUS[name], lines)
    session.ok("NOOP")


def number(session, name):
    return next(n for n, x in session.names.items() if x == name)


def test_all_pipelined(session):
    session.send("".join(f"RETR {n}\r\n" for n in session.names))
    for n, name in session.names.items():
        assert session.line().startswith(b"+OK")
        assert session.body() == corpus.stuffed(CORPUS[name]), name


def test_top_then_retr(session):
    """A TOP that stops in the middle leaves nothing behind."""
    n = number(session, "chunk_edges")
    for _ in range(3):
        session.multi(f"TOP {n} 2")
        assert session.multi(f"RETR {n}") == wire(CORPUS["chunk_edges"])


@pytest.mark.parametrize("mode", MODES)
def test_fifty_megabytes(instance, mode):
    user = instance.users[1]
    if not user.contents():
        user.deliver(HUGE())
    with instance.login(user, mode) as pop:
        expect = wire(HUGE())
        assert pop.sizes() == {1: len(expect)}
        assert pop.multi("RETR 1") == expect
        assert pop.multi("TOP 1 2") == corpus.top(HUGE()[:20000], 2)
        pop.quit()


@pytest.mark.maildir
def test_sizes_in_names_are_believed_until_a_retr(instance):
    """A wrong W= is told by LIST, RETR sends what is there, and from then
    on LIST says so (DESIGN section 5)."""
    user = instance.users[2]
    message = numbered(1)
    user.deliver(message, "1700000001.M1P1.test,S=%d,W=12345"
                 % len(message))
    with instance.login(user) as pop:
        assert pop.multi("RETR 1") == wire(message)
        pop.quit()
    with instance.login(user) as pop:
        assert pop.sizes() == {1: len(wire(message))}
        pop.quit()
