"""A login finds the mailbox taken: by an idle session, by one that is not, and
by one whose client is cut off in the middle of a message."""
import contextlib
import os
import random
import subprocess
import sys

import pytest

from culver import PASSWORD, Pop, numbered, until

MODES = ("plain", "stls", "tls")


@pytest.fixture(scope="module")
def inst(make_instance):
    return make_instance(users=3, limits="takeover = 1s").start()


def filled(user, *messages):
    user.empty()
    user.deliver_all(messages or (numbered(1), numbered(2)))
    return user


def gets_in(inst, user, mode="plain"):
    """A session as soon as the server lets in who has the password."""
    def attempt():
        pop = inst.connect(mode)
        reply = pop.login(user.name)
        if reply.startswith(b"+OK"):
            return pop
        pop.close()
        assert reply.startswith(b"-ERR [IN-USE]")
        return None
    return until(f"a login of {user.name}", attempt)


@pytest.mark.parametrize("mode", MODES)
def test_idle_session_gives_way(inst, mode):
    """Without UPDATE; sessions of others stay, however idle."""
    user, other = filled(inst.users[0]), filled(inst.users[1])
    bystander = inst.login(other)
    with inst.login(user, mode) as old:
        old.ok("DELE 1")
        with gets_in(inst, user) as pop:
            assert old.eof() == b""
            assert pop.stat()[0] == 2
            pop.quit()
    inst.wait_log("session-end", f"user={user.name}", "reason=takeover")
    bystander.ok("NOOP")
    bystander.quit()
    assert not inst.log_lines("session-end", f"user={other.name}",
                              "reason=takeover")


def test_several_wait(inst):
    """One of them gets it, and keeps it for as long as it is not idle."""
    user = filled(inst.users[0])
    with inst.login(user) as old:
        pops = [inst.connect() for _ in range(5)]

        def attempt():
            for pop in pops:
                pop.send(f"USER {user.name}\r\nPASS {PASSWORD}\r\n")
            for pop in pops:
                pop.line()
            replies = [pop.line() for pop in pops]
            won = [r for r in replies if r.startswith(b"+OK")]
            if won:
                assert len(won) == 1
                return True
            # a refused worker closes the connection
            for i, pop in enumerate(pops):
                pop.close()
                pops[i] = inst.connect()
            return False
        until("one of five", attempt)
        assert old.eof() == b""
    for pop in pops:
        pop.close()


@pytest.mark.parametrize("time", ("10m", "0s"))
def test_active_session_stays(make_instance, time):
    """Refused at once, and the session does not notice."""
    inst = make_instance(users=1, limits=f"takeover = {time}").start()
    user = filled(inst.users[0])
    with inst.login(user) as old:
        for _ in range(3):
            with inst.connect() as pop:
                assert pop.login(user.name).startswith(b"-ERR [IN-USE]")
        old.ok("DELE 1")
        old.quit()
    with inst.login(user) as pop:
        assert pop.stat()[0] == 1
        pop.quit()


@pytest.mark.parametrize("mode", ("plain", "tls"))
def test_client_that_takes_nothing(inst, mode):
    """In the middle of RETR, if no octet goes: as for a silent one.  It gets
    no final dot."""
    user = filled(inst.users[2], numbered(1), numbered(2, 20_000_000))
    with inst.login(user, mode) as old:
        old.ok("DELE 1")
        old.send("RETR 2\r\n")
        assert old.line().startswith(b"+OK")
        with gets_in(inst, user) as pop:
            assert pop.stat()[0] == 2
            pop.quit()
        with contextlib.suppress(EOFError, OSError):
            while len(old.buf) < 30_000_000:
                old.fill()
        assert not old.buf.endswith(b"\r\n.\r\n")
    inst.wait_log("session-end", f"user={user.name}", "reason=takeover")


def test_client_that_reads_stays(make_instance):
    """A message on its way is not cut off, though it takes longer."""
    inst = make_instance(users=1, limits="takeover = 1s").start()
    user = filled(inst.users[0], numbered(1, 30_000_000))
    refused = 0
    with inst.login(user) as old:
        old.send("RETR 1\r\n")
        while not old.buf.endswith(b"\r\n.\r\n"):
            for _ in range(8):
                old.fill()
                if old.buf.endswith(b"\r\n.\r\n"):
                    break
            if refused < 5:
                with inst.connect() as pop:
                    if pop.login(user.name).startswith(b"-ERR [IN-USE]"):
                        refused += 1
                    else:
                        assert old.buf.endswith(b"\r\n.\r\n")
        assert len(old.buf) > 30_000_000


# --- a network that ends -------------------------------------------------------

CLIENT = """
import socket, ssl, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
if sys.argv[3] == "tls":
    c = ssl.create_default_context()
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    s = c.wrap_socket(s)
f = s.makefile("rb")
for line in sys.argv[4:]:
    assert f.readline().startswith(b"+OK")
    s.sendall(line.encode() + b"\\r\\n")
assert f.readline().startswith(b"+OK")
assert len(f.read(100000)) == 100000
print("reading", flush=True)
sys.stdin.read()
"""


class Island:
    """A network namespace with one cable to this one, 198.18.X.Y/30."""

    def __init__(self):
        r = random.SystemRandom().randrange
        net = f"198.18.{r(256)}.{4 * r(64)}".rsplit(".", 1)
        self.here, self.there = (f"{net[0]}.{int(net[1]) + i}"
                                 for i in (1, 2))
        self.cable = f"cv{os.getpid()}n{r(1000)}"
        self.holder = subprocess.Popen(["unshare", "-n", "sleep", "1000"])
        self.inside = ["nsenter", "-t", str(self.holder.pid), "-n"]

    def __enter__(self):
        pid, end = self.holder.pid, f"{self.cable}b"
        try:
            until("the namespace", lambda: os.readlink(
                f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"))
            for line in (f"ip link add name {self.cable} type veth peer name {end}"
                         f" netns {pid}",
                         f"ip addr add {self.here}/30 dev {self.cable}",
                         f"ip link set {self.cable} up"):
                subprocess.run(line.split(), check=True)
            for line in (f"ip addr add {self.there}/30 dev {end}",
                         f"ip link set {end} up"):
                subprocess.run([*self.inside, *line.split()], check=True)
        except BaseException:
            self.__exit__()
            raise
        return self

    def cut(self):
        """Nothing goes either way any more, and nobody is told."""
        subprocess.run([*self.inside, "ip", "link", "set", f"{self.cable}b",
                        "down"], check=True)

    def __exit__(self, *exc):
        subprocess.run(["ip", "link", "del", self.cable],
                       stderr=subprocess.DEVNULL)
        self.holder.kill()
        self.holder.wait()


@pytest.mark.needs_root
@pytest.mark.needs_netns
@pytest.mark.parametrize("mode", ("plain", "tls"))
def test_half_dead_client(make_instance, mode):
    """Cut off in the middle of RETR, with a deletion marked: the same user is
    in again soon after `takeover`, and everything is still there."""
    with Island() as island:
        inst = make_instance(users=1, limits="takeover = 2s", listen=f"""
listen far {{ address = "{island.here}:3110"  plain_login = always }}
listen fars {{ address = "{island.here}:3995"  tls = implicit }}
""").start()
        user = filled(inst.users[0], numbered(1), numbered(2, 50_000_000))
        before = user.contents()
        port = {"plain": "3110", "tls": "3995"}[mode]
        client = subprocess.Popen(
            [*island.inside, sys.executable, "-c", CLIENT, island.here, port,
             mode, f"USER {user.name}", f"PASS {PASSWORD}", "DELE 1",
             "RETR 2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert client.stdout.readline() == b"reading\n"
            island.cut()
            with gets_in(inst, user) as pop:
                assert pop.stat()[0] == 2
                assert len(pop.multi("RETR 1")) > 0
                pop.quit()
        finally:
            client.kill()
            client.wait()
        assert user.contents() == before
        inst.wait_log("session-end", f"user={user.name}", "reason=takeover",
                      f"remote={island.there}")
