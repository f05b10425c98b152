"""Kill a role at every system call of its path, again and again, with
numbered messages as the oracle: nothing is lost, nothing is doubled, no lock
is left, and each client gets an answer or a closed connection.

1,000 kills a role (--quick 20, --kills=N), in shards that run side by side.
As root a role is killed at its n-th system call (killat); else after a random
time.  The seed is in the report's header.
"""
import collections
import contextlib
import os
import random
import signal
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from culver import (ROOT, Failure, Instance, alive, locks_below, numbered,
                    proc_stat, until, wire)

MODES = ("plain", "stls", "tls")
CLOSED = (EOFError, ConnectionError, BrokenPipeError, ssl.SSLError)
ANSWER = 15             # seconds for an answer or a closed connection
KEEP = 8                # messages in the mailbox


class Oracle:
    """What must be in the mailbox, and what may be."""

    def __init__(self, user):
        self.user = user
        self.names = {}             # number -> base name
        self.certain, self.doubtful = set(), set()
        self.last = 0

    def fill(self):
        while len(self.certain) < KEEP:
            self.last += 1
            self.names[self.last] = self.user.deliver(numbered(self.last))
            self.certain.add(self.last)

    def number(self, uidl):
        return next(n for n, name in self.names.items() if name == uidl)

    def quit_sent(self, deleted):
        self.certain -= deleted
        self.doubtful |= deleted

    def quit_ok(self, deleted):
        self.doubtful -= deleted

    def check(self):
        """Look at the files, once nobody writes; settle what was in doubt."""
        there = {}
        for name, content in self.user.contents().items():
            n = self.number(name)
            if n in there:
                raise Failure(f"message {n} is there twice")
            if content != numbered(n):
                raise Failure(f"message {n} was changed")
            there[n] = name
        lost = self.certain - set(there)
        back = set(there) - self.certain - self.doubtful
        if lost or back:
            raise Failure(f"lost {lost}, came back {back}")
        self.certain, self.doubtful = set(there), set()
        if list((self.user.maildir / "tmp").iterdir()):
            raise Failure("something was left in tmp/")


class Shard:
    """An instance, one user, and so many kills of one role."""

    def __init__(self, tree, build, role, kills, seed):
        self.role, self.kills = role, kills
        self.killat = build / "tests/torture/killat"
        self.rng = random.Random(f"{seed}-{role}")
        self.seed = seed
        self.inst = Instance(tree, users=1, top="gates = 1",
                             auth="processes = 1",
                             limits='login_time = "10s"')
        self.oracle = Oracle(self.inst.users[0])
        self.length = {}
        self.since_reload = 0
        self.hit = collections.Counter()

    # --- the client ----------------------------------------------------------

    def session(self, mode):
        """A whole session; it ends as it must or is cut off."""
        try:
            return self.dialogue(mode)
        except CLOSED:
            return "closed"
        except TimeoutError:
            raise Failure("neither an answer nor a closed connection in"
                          f" {ANSWER} s\n{self.inst.log_text()[-3000:]}"
                          ) from None

    def dialogue(self, mode):
        user = self.inst.users[0]
        with self.inst.connect(mode, timeout=ANSWER) as pop:
            reply = pop.auth_plain(user.name) if self.rng.random() < .5 \
                else pop.login(user.name)
            if not reply.startswith(b"+OK"):
                if not reply.startswith(b"-ERR [SYS/TEMP]"):
                    raise Failure(f"the login's answer: {reply!r}")
                return "refused"
            return self.transaction(pop)

    def transaction(self, pop):
        rng, oracle = self.rng, self.oracle
        found = {n: oracle.number(u) for n, u in pop.uidls().items()}
        if set(found.values()) != oracle.certain:
            raise Failure(f"listed {sorted(found.values())}, must be"
                          f" {sorted(oracle.certain)}")
        if len(set(found.values())) != len(found):
            raise Failure(f"listed twice: {found}")
        sizes = pop.sizes()
        n = rng.choice(list(found))
        body = pop.multi(f"RETR {n}")
        if body != wire(numbered(found[n])) or len(body) != sizes[n]:
            raise Failure(f"RETR {n} is not message {found[n]}")
        doomed = rng.sample(list(found), rng.randrange(4))
        for n in doomed:
            pop.ok(f"DELE {n}")
        deleted = {found[n] for n in doomed}
        if rng.random() < .1:
            pop.ok("RSET")
            deleted = set()
        if rng.random() < .1:
            return "left"           # no QUIT, no UPDATE
        oracle.quit_sent(deleted)
        reply = pop.cmd("QUIT")
        if reply.startswith(b"+OK"):
            oracle.quit_ok(deleted)
            # now they are gone, whatever is killed later
            return "quit"
        return "quit failed"

    @contextlib.contextmanager
    def beside(self):
        """What the role has to do beside a session: manager has no part in
        one, so a reload keeps it busy."""
        if self.role != "manager":
            yield
            return
        t = threading.Thread(target=self.inst.ctl, args=("reload",))
        t.start()
        try:
            yield
        finally:
            t.join()

    # --- the kill ------------------------------------------------------------

    def target(self):
        if self.role in ("worker", "master"):
            return self.inst.pid
        return until(f"a living {self.role}",
                     lambda: self.inst.role(self.role))[-1]

    def arm(self, n):
        """killat on the target, attached; N is huge to count only."""
        def attached():
            argv = [str(self.killat),
                    *(["-c"] if self.role == "worker" else []),
                    str(self.target()), str(n)]
            p = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True,
                                 stderr=subprocess.PIPE)
            if p.stdout.readline() == "ready\n":
                return p
            err = p.stderr.read()
            p.wait()
            # an old one, just gone or still a zombie
            if "No such process" not in err and "not permitted" not in err:
                raise Failure(err)
            return None
        return until("an attached killat", attached)

    def disarm(self, p):
        """(killed, calls) of killat."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            p.wait(1 if self.role == "worker" else 0.05)

        def let_go():       # again if it came just before a waitpid()
            p.send_signal(signal.SIGTERM)
            return p.poll() is not None
        until("killat's end", let_go, pause=0.02)
        # not communicate(): readline() may hold what it would look for
        words = p.stdout.read().split()
        if not words:
            raise Failure(f"killat said nothing: {p.stderr.read()}")
        p.stdout.close()
        p.stderr.close()
        return words[0] == "killed", int(words[2])

    def calibrate(self):
        """How many calls the path of a session has, in each mode.  The second
        time counts: a process that was just started has more to do."""
        for mode in [*MODES, *MODES]:
            p = self.arm(10 ** 9)
            with self.beside():
                outcome = self.session(mode)
            if outcome not in ("quit", "left"):
                raise Failure(f"without a kill: {outcome}")
            killed, calls = self.disarm(p)
            self.length[mode] = calls
            self.settle()

    def strike(self, mode):
        """One session with a kill in it; was it in time?"""
        if not ROOT:
            return self.strike_by_time(mode)
        # a role that has next to nothing to do in one session has more in some
        reach = max(self.length[mode], self.rng.choice((1, 10)))
        p = self.arm(self.rng.randrange(1, reach + 3))
        try:
            with self.beside():
                self.hit[self.session(mode)] += 1
        finally:
            killed, _ = self.disarm(p)
        return killed

    def strike_by_time(self, mode):
        """A kill after a random time, up to that of a session."""
        killed = []
        over = threading.Event()

        def kill():
            pid = self.next_worker(over) if self.role == "worker" \
                else self.target()
            over.wait(self.rng.random() * 0.02)
            if pid and alive(pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
        t = threading.Thread(target=kill)
        t.start()
        try:
            with self.beside():
                self.hit[self.session(mode)] += 1
        finally:
            over.set()
            t.join()
        return bool(killed)

    def next_worker(self, over):
        """The next child of master; looks at new pids only."""
        with open("/proc/loadavg") as f:
            last = int(f.read().split()[-1])
        while not over.is_set():
            with open("/proc/loadavg") as f:
                now = int(f.read().split()[-1])
            for pid in range(last + 1, now + 1):
                stat = proc_stat(pid)
                if stat and int(stat[1]) == self.inst.pid:
                    return pid
        return None

    # --- afterwards ----------------------------------------------------------

    def settle(self):
        """No worker any more, then the files are compared."""
        until("the workers' end", lambda: not [
            p for p in self.inst.role("worker") if alive(p)], ANSWER)
        self.oracle.check()
        self.oracle.fill()

    def recover(self, killed):
        if self.role == "master" and killed:
            self.inst.proc.wait(5)
            left = self.inst.wait_gone()
            if left:
                raise Failure(f"outlived master: {left}")
            held = locks_below(self.inst.dir)
            if held:
                raise Failure(f"locks left: {held}")
            self.inst.proc = None
            self.settle_files()
            self.inst.start()
            return
        self.settle()
        # restarts are delayed more and more; a reload starts afresh, but
        # for manager, which is of no generation
        self.since_reload += killed
        if self.since_reload < 2 or self.role in ("worker", "master"):
            return
        self.since_reload = 0
        if self.role == "manager":
            self.inst.stop()
            self.inst.start()
        else:
            until("a reload", lambda: self.inst.ctl("reload").returncode == 0)
            until("a greeting", self.inst.greets)

    def settle_files(self):
        self.oracle.check()
        self.oracle.fill()

    def clean_session(self):
        until("a session that ends well",
              lambda: self.session("plain") in ("quit", "left"))
        self.settle()

    def run(self):
        done = tries = 0
        try:
            self.oracle.fill()
            self.inst.start()
            if ROOT:
                self.calibrate()
            while done < self.kills:
                tries += 1
                if tries > 10 * self.kills + 20:
                    raise Failure(f"{done} of {tries} kills in time")
                killed = self.strike(self.rng.choice(MODES))
                done += killed
                self.recover(killed)
            self.clean_session()
            self.inst.stop()
            self.inst.remove()
            return self.hit
        except BaseException as e:
            with contextlib.suppress(Exception):
                self.inst.destroy_processes()
            raise Failure(f"{self.role}, seed {self.seed}, kill {done}:"
                          f" {e}\n{self.inst.log_text()[-3000:]}") from e


def kill_many(shard, tree, build, kills, seed, role):
    """Run objects of SHARD until ROLE was killed often enough; them."""
    n = 4 if kills >= 100 else 1
    if ROOT:
        assert (build / "tests/torture/killat").exists(), \
            "make check builds it: say --culver-build=DIR"
    shards = [shard(tree, build, role, -(-kills // n), seed + i)
              for i in range(n)]
    total = collections.Counter()
    with ThreadPoolExecutor(n) as pool:
        for hit in pool.map(shard.run, shards):
            total += hit
    print(f"{role}: {kills} kills, seed {seed}: {dict(total)}")
    assert sum(total.values()) >= kills
    return shards


@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ("worker", "gate", "auth", "pool",
                                  "manager", "master"))
def test_kills(tree, build, kills, seed, role):
    kill_many(Shard, tree, build, kills, seed, role)
