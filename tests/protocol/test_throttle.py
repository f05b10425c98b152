"""A flood of failing logins from one address: it gets no further than one
after the other would, and nobody else notices."""
import selectors
import time

import pytest

from culver import Pop, until

pytestmark = pytest.mark.once

DELAY = 0.01        # what tests/culver.py sets, and the most it grows to
ATTACKER = "127.0.9.1"


class Flood:
    """N connections from ATTACKER that guess passwords of USER, all at once;
    who is not even looked at (there is room for so many from an address)
    tries again for each answer that another one gets."""

    def __init__(self, inst, user, n):
        self.selector = selectors.DefaultSelector()
        self.user, self.refused, self.checked = user, [], 0
        self.pops = [Pop(inst.address, source=ATTACKER, timeout=60)
                     for _ in range(n)]
        for pop in self.pops:
            self.selector.register(pop.sock, selectors.EVENT_READ, pop)
        self.start = time.monotonic()
        for pop in self.pops:
            self.guess(pop)

    def guess(self, pop):
        pop.send(f"USER {self.user.name}\r\nPASS wrong\r\n")

    def answer(self, pop, line):
        if line.startswith(b"-ERR [SYS/TEMP]"):
            self.refused.append(pop)
            return
        assert line.startswith(b"-ERR [AUTH]"), line
        self.checked += 1
        if self.refused:
            self.guess(self.refused.pop())

    def go_on(self, patience):
        """Take the answers that have come, or wait for one."""
        for key, _ in self.selector.select(patience):
            key.data.fill()
            while b"\n" in key.data.buf:
                line = key.data.line()
                if not line.startswith(b"+OK"):
                    self.answer(key.data, line)

    def close(self):
        for pop in self.pops:
            pop.close()


def in_a_row(inst, user, n):
    with Pop(inst.address, source=ATTACKER) as pop:
        start = time.monotonic()
        for _ in range(n):
            assert pop.login(user.name, "wrong").startswith(b"-ERR [AUTH]")
        return time.monotonic() - start


def logs_in(inst, user, source):
    with inst.connect(source=source) as pop:
        assert pop.login(user.name).startswith(b"+OK")
        pop.quit()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("n", (500, pytest.param(
    5000, marks=pytest.mark.slow)))
def test_parallel_failures(make_instance, n):
    inst = make_instance(users=2, limits='login_time = 30m'
                         ' bad_commands = 10000').start()
    victim, other = inst.users
    assert in_a_row(inst, victim, 20) >= 20 * DELAY
    logs_in(inst, victim, "127.0.9.3")      # where the victim lives
    flood = Flood(inst, victim, n)
    try:
        for _ in range(10):
            # every one at once, while most of the flood still waits
            logs_in(inst, other, "127.0.9.4")
            logs_in(inst, victim, "127.0.9.3")
            flood.go_on(0)
        assert flood.checked < n
        until("a check of so many passwords", lambda: flood.go_on(1) or
              flood.checked >= n, 40 * n * DELAY + 60)
        assert time.monotonic() - flood.start >= n * DELAY
        logs_in(inst, victim, "127.0.9.3")
    finally:
        flood.close()
    logs_in(inst, victim, "127.0.9.6")
