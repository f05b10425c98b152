"""A Maildir that others change while a session looks at it (DESIGN section
5), as seen by the client."""
import os

import pytest

from culver import numbered, unstuff, wire

N = 5


@pytest.fixture(scope="module")
def instance(make_instance):
    return make_instance(users=1).start()


@pytest.fixture
def user(instance):
    user = instance.users[0]
    instance.login(user).quit()
    user.empty()
    user.messages = [numbered(i) for i in range(1, N + 1)]
    user.names = user.deliver_all(user.messages)
    return user


def move_all_to_cur(user, flags="S"):
    for name, path in user.files().items():
        path.rename(user.maildir / "cur" / f"{name}:2,{flags}")


def test_vanished(instance, user):
    """Gone is gone, the others keep their numbers, QUIT succeeds."""
    with instance.login(user) as pop:
        uidls = pop.uidls()
        user.files()[uidls[2]].unlink()
        assert pop.cmd("RETR 2").startswith(b"-ERR")
        assert pop.uidls()[3] == uidls[3]
        assert pop.multi("RETR 3") == wire(user.messages[2])
        pop.ok("DELE 1")
        assert pop.quit().startswith(b"+OK")
    assert set(user.files()) == set(user.names) - {uidls[1], uidls[2]}


def test_vanished_after_dele(instance, user):
    with instance.login(user) as pop:
        uidls = pop.uidls()
        pop.ok("DELE 2")
        user.files()[uidls[2]].unlink()
        assert pop.quit().startswith(b"+OK")


@pytest.mark.parametrize("moment", ("before", "after"))
def test_renamed(instance, user, moment):
    """Another reader moves them to cur/ and sets flags."""
    with instance.login(user) as pop:
        if moment == "after":
            pop.sizes()
        move_all_to_cur(user)
        for n in range(1, N + 1):
            assert pop.multi(f"RETR {n}") == wire(user.messages[n - 1])
        move_all_to_cur(user, "RS")
        pop.ok("DELE 1")
        pop.ok("DELE 3")
        assert pop.quit().startswith(b"+OK")
    assert sorted(user.contents().values()) == \
        sorted(user.messages[i] for i in (1, 3, 4))


def test_replaced_by_another_size(instance, user):
    """A file whose size changed since it was listed: [SYS/TEMP] before the
    first octet."""
    with instance.login(user) as pop:
        pop.sizes()
        path = user.files()[pop.uidls()[2]]
        path.write_bytes(numbered(2) + b"more\n")
        assert pop.cmd("RETR 2").startswith(b"-ERR [SYS/TEMP]")
        assert pop.multi("RETR 1") == wire(user.messages[0])
        pop.quit()
    with instance.login(user) as pop:
        assert pop.multi("RETR 2") == wire(numbered(2) + b"more\n")
        pop.quit()


@pytest.mark.parametrize("mode", ("plain", "tls"))
def test_truncated_while_it_is_sent(instance, user, mode):
    """The connection ends; never a final dot behind half a message."""
    big = numbered(9, 30_000_000)
    user.deliver(big)
    with instance.login(user, mode) as pop:
        path = user.files()[pop.uidls()[N + 1]]
        assert pop.sizes()[N + 1] == len(wire(big))
        pop.ok(f"RETR {N + 1}")
        with open(path, "r+b") as f:
            f.truncate(1_500_000 if mode == "plain" else 20_000_000)
        try:
            body = unstuff(pop.body())
        except (EOFError, OSError):
            return
        assert body == wire(big), "half a message with a final dot"


def test_delivery_during_a_burst_of_logins(instance, user):
    """No login sees a message torn, twice, or loses one it saw."""
    seen = {}
    for i in range(60):
        new = user.deliver(numbered(100 + i))
        if i % 3 == 0:
            move_all_to_cur(user)
        with instance.login(user) as pop:
            uidls = list(pop.uidls().values())
            assert len(uidls) == len(set(uidls)) == N + 1 + i
            assert new in uidls
            assert set(seen) <= set(uidls)
            n = uidls.index(new) + 1
            assert pop.multi(f"RETR {n}") == wire(numbered(100 + i))
            seen = dict.fromkeys(uidls)
            pop.quit()


def test_same_base_name_twice(instance, user):
    """A copy in new/ and one in cur/ are one message; both go."""
    name = user.names[0]
    os.link(user.maildir / "new" / name, user.maildir / "cur" / f"{name}:2,S")
    with instance.login(user) as pop:
        assert pop.stat()[0] == N
        number = next(n for n, u in pop.uidls().items() if u == name)
        pop.ok(f"DELE {number}")
        pop.quit()
    assert name not in user.files()


def test_names_that_are_no_uidl(instance, user):
    """Longer than 70 octets, spaces, 8-bit: they get one that stays."""
    odd = ["1700000100." + "x" * 100 + ".test", "1700000101.a b.test",
           "1700000102.gr\xfc\xdfe.test", "1700000103.\x01.test"]
    for i, name in enumerate(odd):
        user.deliver(numbered(200 + i), name)
    with instance.login(user) as pop:
        first = pop.uidls()
        assert len(first) == N + len(odd) == len(set(first.values()))
        for uid in first.values():
            assert 1 <= len(uid) <= 70
            assert all("!" <= c <= "~" for c in uid)
        for i in range(len(odd)):
            assert pop.multi(f"RETR {N + 1 + i}") == wire(numbered(200 + i))
        pop.quit()
    move_all_to_cur(user)
    for cache in user.maildir.glob("culver-cache*"):
        cache.unlink()          # may vanish at any time
    with instance.login(user) as pop:
        assert pop.uidls() == first
        pop.quit()


def test_not_messages(instance, user):
    """Dot files, directories, links, sockets in new/ and cur/."""
    new = user.maildir / "new"
    (new / ".hidden").write_text("x")
    (new / "1700000200.dir.test").mkdir()
    (new / "1700000201.link.test").symlink_to("/etc/passwd")
    (user.maildir / "cur" / "1700000202.loop.test").symlink_to("loop")
    os.mkfifo(new / "1700000203.fifo.test")
    for p in new.iterdir():
        user.own(p)
    with instance.login(user) as pop:
        for n, uid in pop.uidls().items():
            reply = pop.cmd(f"RETR {n}")
            if reply.startswith(b"+OK"):
                body = pop.body()
                assert b"root:" not in body
                assert uid in user.names
        pop.quit()
    assert set(user.names) <= set(user.files())


def test_cache_is_rubbish(instance, user):
    """Files are checked before use."""
    with instance.login(user) as pop:
        want = pop.uidls(), pop.sizes()
        pop.quit()
    for rubbish in (b"", b"\0" * 5000, b"\xff" * 5000, os.urandom(3000),
                    b"CULVER" * 100):
        for cache in list(user.maildir.glob("culver-cache*")) or \
                [user.maildir / "culver-cache"]:
            cache.write_bytes(rubbish)
            user.own(cache)
        with instance.login(user) as pop:
            assert (pop.uidls(), pop.sizes()) == want
            pop.quit()


def test_order_is_that_of_delivery(instance, user):
    with instance.login(user) as pop:
        assert list(pop.uidls().values()) == user.names
        pop.quit()


def test_a_mailbox_that_cannot_be_written(instance, user):
    """QUIT does not claim what it did not do."""
    with instance.login(user) as pop:
        pop.ok("DELE 1")
        (user.maildir / "new").chmod(0o500)
        try:
            assert pop.cmd("QUIT").startswith(b"-ERR [SYS/")
        finally:
            (user.maildir / "new").chmod(0o700)
    assert len(user.files()) == N
    instance.login(user).quit()


def test_many_messages(instance, user):
    """A listing of many pages."""
    n = 5000
    for i in range(n):
        name = f"1700001000.M{i:06d}P1.test"
        path = user.maildir / "cur" / (name + ":2,")
        path.write_bytes(b"Subject: %d\n\nx\n" % i)
        user.own(path)
    with instance.login(user) as pop:
        uidls, sizes = pop.uidls(), pop.sizes()
        assert len(uidls) == len(sizes) == N + n == pop.stat()[0]
        assert sorted(uidls) == list(range(1, N + n + 1))
        for i in range(0, n, 500):
            pop.ok(f"DELE {N + 1 + i}")
        pop.quit()
    assert len(user.files()) == N + n - 10
