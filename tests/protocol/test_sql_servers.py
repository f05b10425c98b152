"""Users in a real PostgreSQL and a real MariaDB: connections over TLS,
fail-over, servers that end, hang, are slow or are cut off."""
import socket
import threading

import pytest

from culver import PASSWORD, Failure, until
from databases import QUERY, SERVERS, Link, login_works, use

pytestmark = pytest.mark.once

AWAY = b"-ERR [SYS/TEMP]"
SOON = 30       # seconds in which a database that is back must be used again


@pytest.fixture(params=SERVERS)
def server(request, databases):
    return databases.get(request.param)


@pytest.fixture
def inst(server, one_instance):
    inst = one_instance(users=3)
    server.fill(inst.users)
    return inst


def verified(server, ca=None):
    return f'tls = verify  tls_ca = "{ca or server.ca}"'


def login(inst, user, password=PASSWORD):
    with inst.connect() as pop:
        return pop.ended(pop.login(user, password))


def works_again(inst):
    until("logins to work", lambda: login_works(inst, inst.users[1]),
          patience=SOON, pause=0.1)


# --- connections -------------------------------------------------------------

def test_tls(server, inst):
    """The server's certificate is checked, whatever names it: an address that
    it is not for, a signer that is not its own."""
    use(inst, server.section(verified(server), hosts=[server.address]))
    inst.start()
    assert login_works(inst, inst.users[1])
    assert server.encrypted()


@pytest.mark.parametrize("wrong", ["signer", "no signer", "name"])
def test_tls_that_is_wrong(server, inst, wrong):
    host = server.alias if wrong == "name" else server.address
    more = "" if wrong == "no signer" else verified(
        server, server.top / "other" if wrong == "signer" else server.ca)
    use(inst, server.section(more, hosts=[host]))
    inst.start()
    assert login(inst, "user2").startswith(AWAY)
    inst.wait_log("auth-error", "ertificate")
    use(inst, server.section("tls = require", hosts=[host]))
    inst.reload()
    works_again(inst)
    assert server.encrypted()


def test_a_password_of_the_database_that_is_wrong(server, inst):
    use(inst, server.section(verified(server), hosts=[server.address])
        .replace("cret", "cure"))
    inst.start()
    assert login(inst, "user2").startswith(AWAY)
    inst.wait_log("auth-error", "the database is away")
    assert "se'cure" not in inst.log_text()


def test_fail_over(databases, server, inst):
    """The first is killed, the second serves; the first returns, the second
    is killed."""
    other = databases.get(server.driver, 1)
    other.fill(inst.users)
    use(inst, server.section("tls = require",
                             hosts=[server.address, other.address]))
    inst.start()
    assert login_works(inst, inst.users[1])
    assert server.encrypted()
    server.kill()
    for user in inst.users:
        assert login_works(inst, user)
    assert other.encrypted()
    assert login(inst, "user2", "x").startswith(b"-ERR [AUTH]")
    inst.wait_log("warn", "database", server.address)
    server.start()
    other.kill()
    works_again(inst)
    assert server.encrypted()


def test_all_hosts_are_lost(server, inst):
    with Link(server) as one, Link(server) as two:
        use(inst, server.section("tls = require", hosts=[one.host, two.host]))
        inst.start()
        assert login_works(inst, inst.users[1])
        one.close()
        assert login_works(inst, inst.users[1])
        two.close()
        assert login(inst, "user2").startswith(AWAY)
        one.open()
        works_again(inst)


def test_a_server_that_says_nothing(server, inst):
    """It takes connections; the next one is asked."""
    with socket.socket() as mute:
        mute.bind((inst.address, 0))
        mute.listen(50)
        use(inst, server.section('connect_timeout = "500ms"', hosts=[
            f"{inst.address}:{mute.getsockname()[1]}", server.socket]))
        inst.start()
        assert login_works(inst, inst.users[1])
        inst.wait_log("warn", "database", inst.address)


# --- servers that fail -------------------------------------------------------

def test_killed_and_restarted(server, inst):
    use(inst, server.section())
    inst.start()
    assert login_works(inst, inst.users[1])
    server.kill()
    assert login(inst, "user2").startswith(AWAY)
    assert login(inst, "nobody").startswith(AWAY)
    inst.wait_log("auth-error", "the database is away")
    server.start()
    works_again(inst)
    assert login(inst, "user2", "x").startswith(b"-ERR [AUTH]")
    inst.wait_log("database: connected")


def test_away_before_another_section(server, inst):
    """Users whom the next section knows are let in if the first may be passed
    over; nobody hears that a password is wrong."""
    others, inst.users = inst.users[:2], inst.users[2:]
    server.fill(inst.users)
    theirs, inst.users = inst.users, others
    inst.write_users()
    use(inst, server.section("on_failure = next"), "passwdfile")
    inst.start()
    for user in theirs + others:
        assert login_works(inst, user)
    server.kill()
    for user in others:
        assert login_works(inst, user)
    for name, password in ((theirs[0].name, PASSWORD), ("nobody", PASSWORD),
                           (theirs[0].name, "x"), (others[0].name, "x")):
        assert login(inst, name, password).startswith(AWAY), name
    server.start()
    until("logins to work", lambda: login_works(inst, theirs[0]),
          patience=SOON, pause=0.1)
    assert login(inst, others[0].name, "x").startswith(b"-ERR [AUTH]")


def test_restarted_between_two_logins(server, inst):
    """Kept connections are dead; nobody notices."""
    use(inst, server.section())
    inst.start()
    for _ in range(4):
        assert login_works(inst, inst.users[1])
    server.kill()
    server.start()
    for _ in range(4):
        assert login_works(inst, inst.users[1])
    assert not inst.log_lines("auth-error")


def test_hangs(server, inst):
    """Stopped, it answers nothing: the other host is asked, and none is
    waited for for ever."""
    with Link(server) as link:
        use(inst, server.section("tls = require  query_timeout = \"1s\" "
                                 "connect_timeout = \"1s\"",
                                 hosts=[link.host, server.address]))
        inst.start()
        assert login_works(inst, inst.users[1])
        link.hold()
        assert login_works(inst, inst.users[1])
        inst.wait_log("warn", "database", link.address)
        server.pause()
        assert login(inst, "user2").startswith(AWAY)
        assert login(inst, "nobody").startswith(AWAY)
        server.resume()
        works_again(inst)


def test_cut_in_the_middle_of_an_answer(server, inst):
    with Link(server) as link:
        use(inst, server.section("tls = require", hosts=[link.host]))
        inst.start()
        for _ in range(4):
            assert login_works(inst, inst.users[1])
        link.cut(1)
        assert login_works(inst, inst.users[1])
        assert link.cuts == 1
        link.cut()
        assert login(inst, "user2").startswith(AWAY)
        assert login(inst, "nobody").startswith(AWAY)
        assert login(inst, "user2", "x").startswith(AWAY)
        link.cut(0)
        works_again(inst)


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_slow(server, inst, first):
    """Who waits for the database does not keep others waiting whom another
    section knows, and gets his answer."""
    slow, query = inst.users[0], QUERY + server.HELD
    slow.password, others = "of-the-database", inst.users[1:]
    server.fill([slow])
    inst.users = others
    inst.write_users()
    sections = ["passwdfile", server.section(
        "processes = 4 connect_timeout = 25s query_timeout = 25s",
        query=query)]
    use(inst, *(sections if not first else sections[::-1]))
    inst.start()
    replies = []
    waiting = threading.Thread(target=lambda: replies.append(
        login(inst, slow.name, slow.password)))
    with server.holding():
        waiting.start()
        until("the database to be asked", server.running)
        for user in others:
            assert login(inst, user.name, user.password) \
                .startswith(b"+OK"), inst.log_text()
        assert not replies
    waiting.join(60)
    assert replies[0].startswith(b"+OK")


# --- under load --------------------------------------------------------------

class Load(threading.Thread):
    """Logs a user in again and again, and with a wrong password; remembers
    which answers came."""

    def __init__(self, inst, user, number, may_be_away=True):
        super().__init__()
        self.inst, self.user, self.away = inst, user, may_be_away
        self.source = f"127.9.{number}.1"
        self.stopped, self.wrong, self.number = threading.Event(), [], {}

    def run(self):
        try:
            while not self.stopped.is_set() and not self.wrong:
                self.attempt(PASSWORD, b"+OK", b"-ERR [IN-USE]")
                self.attempt("x", b"-ERR [AUTH]")
        except (OSError, EOFError, Failure) as e:
            self.wrong.append(repr(e))

    def attempt(self, password, *right):
        with self.inst.connect(source=self.source) as pop:
            reply = pop.login(self.user.name, password)
            if reply.startswith(b"+OK"):
                pop.quit()
        kind = b"away" if reply.startswith(AWAY) and self.away else \
            next((r for r in right if reply.startswith(r)), None)
        if kind is None:
            self.wrong.append((password, reply))
        self.number[kind] = self.number.get(kind, 0) + 1

    def have(self, kind, more=1):
        """A condition: it has seen MORE of them from now on."""
        want = self.number.get(kind, 0) + more
        return lambda: self.wrong or self.number.get(kind, 0) >= want


def all_of(what, clients, kind, patience=SOON):
    seen = [c.have(kind, 2) for c in clients]
    until(what, lambda: all(condition() for condition in seen),
          patience=patience, pause=0.05)
    assert not [c.wrong for c in clients if c.wrong]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", ["killed", "stopped", "cut"])
def test_under_load(server, one_instance, how):
    """Right answers only, whenever it fails; users of the passwd file never
    notice; all is well again soon."""
    inst = one_instance(users=8)
    theirs, others = inst.users[:6], inst.users[6:]
    server.fill(theirs)
    inst.users = others
    inst.write_users()
    with Link(server) as link:
        use(inst, "passwdfile", server.section(
            'tls = require  query_timeout = "1s"  connect_timeout = "1s"',
            hosts=[link.host]))
        inst.start()
        clients = [Load(inst, u, i) for i, u in enumerate(theirs)]
        file_clients = [Load(inst, u, 100 + i, False)
                        for i, u in enumerate(others)]
        for client in clients + file_clients:
            client.start()
        try:
            all_of("logins", clients + file_clients, b"+OK")
            fail, mend = {
                "killed": (server.kill, server.start),
                "stopped": (server.pause, server.resume),
                "cut": (link.cut, lambda: link.cut(0))}[how]
            fail()
            all_of("temporary failures", clients, b"away")
            all_of("logins of others", file_clients, b"+OK")
            mend()
            all_of("logins again", clients + file_clients, b"+OK")
            all_of("wrong passwords", clients, b"-ERR [AUTH]")
        finally:
            for client in clients + file_clients:
                client.stopped.set()
            for client in clients + file_clients:
                client.join(60)
    assert not [c.wrong for c in clients + file_clients if c.wrong]
