"""scenarios.py - what tests/bench/run measures.

A scenario has a name, the storage that it needs (None: any), prepare(), which
gives a server its mailboxes, and measure(), which is done --reps times and
returns figures by the name of their metric.
"""
import contextlib
import json
import os
import subprocess
import time

from culver import PORT, ROOT, TLS_PORT, Failure

SCALES = {
    "full": dict(users=600, messages=20, first=10000, seconds=3.0, polls=300,
                 fetch=15500, maildir=100000, mbox=10000, sqlite=100000,
                 idle=1000, idle_logged_in=500, idle_many=20000, clients=(
                     1, 16, 64), age=2.1),
    "small": dict(users=70, messages=5, first=80, seconds=0.2, polls=16,
                  fetch=60, maildir=300, mbox=100, sqlite=100, idle=60,
                  idle_logged_in=20, idle_many=200, clients=(1, 16, 64),
                  age=0.0),
}


class Load:
    """`popload load' against a server."""

    def __init__(self, popload):
        self.popload = popload

    def argv(self, server, plan, tls=False, **options):
        names = dict(clients="c", sessions="n", expected="m", ahead="r",
                     thorough="x", opening="o")
        argv = [self.popload, "load", "-a", server.address, "-p",
                str(TLS_PORT if tls else PORT), "-s", plan]
        users = options.pop("users", server.files / "users")
        if "LOGIN" in plan:
            argv += ["-u", str(users)]
        if tls:
            argv += ["-e", "1"]
        if "seconds" in options:
            argv += ["-d", str(int(1000 * options.pop("seconds")))]
        if "source" in options:
            argv += ["-b", options.pop("source")]
        for name, value in options.items():
            argv += ["-" + names[name], str(int(value))]
        return argv + ["-t", "120"]

    def __call__(self, server, plan, **options):
        """What it printed, and `cpu`, the server's milliseconds."""
        before = server.cpu()
        done = subprocess.run(self.argv(server, plan, **options),
                              stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.good(server, plan, done.returncode, done.stderr)
        figures = json.loads(done.stdout)
        figures["cpu"] = 1000 * (server.settled_cpu() - before)
        return figures

    @staticmethod
    def good(server, plan, status, stderr):
        if status != 0:
            raise Failure(f"{server.name}: {plan}: {stderr}")

    @contextlib.contextmanager
    def holding(self, server, plan, **options):
        """While it holds sessions; its first line."""
        with subprocess.Popen(self.argv(server, plan, **options), text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as proc:
            try:
                line = proc.stdout.readline()
                yield json.loads(line or '{"holding": 0, "seconds": 1}')
            finally:
                _, stderr = proc.communicate()
            self.good(server, plan, proc.returncode, stderr)


class Scenario:
    name = None
    storage = None      # or the only one that it is about
    options = {}        # of a server's running()
    inetd = False       # for servers that are started for each connection

    def __init__(self, bench):
        self.bench, self.scale = bench, bench.scale
        self.load = bench.load

    def fits(self, server, storage):
        return storage in server.storages and (self.inetd or
                                               not server.inetd)

    def prepare(self, server, storage):
        """The boxes that it is to be started with."""
        raise NotImplementedError

    def warm(self, server, boxes):
        """Once, after it was started."""

    def measure(self, server, boxes):
        raise NotImplementedError

    def done(self, server, boxes):
        """At the end."""

    def small(self, server, storage, users=None, **kw):
        return self.bench.mailboxes.small(
            server.name, storage, users or self.scale["users"],
            self.scale["messages"], real=server.real, **kw)


class Sessions(Scenario):
    """Log in, STAT, QUIT."""
    PLAN = "LOGIN STAT QUIT"

    def __init__(self, bench, tls, clients):
        super().__init__(bench)
        self.tls, self.clients = tls, clients
        self.name = f"sessions-{'tls' if tls else 'plain'}-{clients}"

    def prepare(self, server, storage):
        return self.small(server, storage)

    def warm(self, server, boxes):
        self.load(server, self.PLAN, clients=8, sessions=len(boxes))
        time.sleep(self.scale["age"])
        self.load(server, self.PLAN, clients=8, sessions=len(boxes))

    def measure(self, server, boxes):
        r = self.load(server, self.PLAN, clients=self.clients, tls=self.tls,
                      seconds=self.scale["seconds"],
                      expected=boxes[0].messages)
        return {"sessions/s": r["sessions"] / r["seconds"],
                "server ms": r["cpu"] / r["sessions"],
                "p50 ms": r["p50"], "p99 ms": r["p99"]}


class First(Sessions):
    """Users whose first login this is since the server was started, and the
    second of each."""

    def __init__(self, bench):
        super().__init__(bench, False, 16)
        self.name = "first-login"
        self.opened = {}

    def fits(self, server, storage):
        return server.real and server.one_user and \
            super().fits(server, storage)

    def prepare(self, server, storage):
        # so many users' mail is to fit into memory
        return self.small(server, storage, self.scale["first"], median=1000)

    def once_each(self, server, boxes):
        return self.load(server, self.PLAN, clients=16, sessions=len(boxes))

    def warm(self, server, boxes):
        """The first opening of each mailbox ever, as far as it knows."""
        for box in boxes:
            box.forget()
        r = self.once_each(server, boxes)
        self.opened[server.name] = r["cpu"] / r["sessions"]

    def measure(self, server, boxes):
        server.restart()
        first = self.once_each(server, boxes)
        second = self.once_each(server, boxes)
        return {"sessions/s": first["sessions"] / first["seconds"],
                "server ms": first["cpu"] / first["sessions"],
                "second login ms": second["cpu"] / second["sessions"],
                "first / second": first["cpu"] / second["cpu"],
                "first opening ms": self.opened[server.name]}


class Poll(Sessions):
    """What clients do that leave mail on the server, for a while."""

    def __init__(self, bench):
        super().__init__(bench, False, 8)
        self.name = "poll"
        # each user has three messages at every poll
        most = self.scale["users"] * (self.scale["messages"] - 1) // 2
        self.polls = min(self.scale["polls"], most // bench.reps)

    def warm(self, server, boxes):
        if server.real:
            self.bench.mailboxes.spoil(boxes)
        super().warm(server, boxes)

    def measure(self, server, boxes):
        r = self.load(server, "LOGIN STAT UIDL RETR=3 DELE=2 QUIT", clients=8,
                      sessions=self.polls)
        if r["messages"] != 3 * r["sessions"]:
            raise Failure(f"{server.name}: {r['messages']} messages")
        return {"sessions/s": r["sessions"] / r["seconds"],
                "server ms": r["cpu"] / r["sessions"]}


class Large(Scenario):
    """One user's large mailbox."""

    def fits(self, server, storage):
        return server.one_user and super().fits(server, storage)

    def large(self, server, storage, messages, **kw):
        box = self.bench.mailboxes.large(server.keeps or storage, messages,
                                         **kw)
        return [self.bench.mailboxes.copy_for(server.name, box)
                if server.copies and server.real else box]


class Retr(Large):
    """Every message."""

    def __init__(self, bench, tls, ahead):
        super().__init__(bench)
        self.tls, self.ahead = tls, ahead
        # replies in pieces make it wait for acknowledgements, one by one
        self.inetd = not tls and ahead > 1
        self.name = "retr-tls" if tls else \
            "retr-plain" if ahead > 1 else "retr-lockstep"

    def prepare(self, server, storage):
        return self.large(server, storage, self.scale["fetch"])

    def run(self, server, boxes, **kw):
        return self.load(server, "LOGIN STAT LIST RETR QUIT", tls=self.tls,
                         ahead=self.ahead, expected=boxes[0].messages, **kw)

    def warm(self, server, boxes):
        """And look at every octet, once."""
        self.run(server, boxes, thorough=1)

    def measure(self, server, boxes):
        r = self.run(server, boxes)
        seconds = r["steps"]["RETR"] / 1000
        rate = {"messages/s": r["messages"] / seconds} if self.ahead == 1 \
            else {"MB/s": r["octets"] / seconds / 1e6}
        return {**rate, "server ms": r["cpu"]}


class Open(Large):
    """A session that lists it, when it did not change."""
    PLAN = "LOGIN STAT LIST UIDL QUIT"

    def __init__(self, bench, storage, name="unchanged", messages=None, **kw):
        super().__init__(bench)
        self.name = f"{storage}-{name}"
        self.storage, self.mailbox = storage, kw
        self.inetd = storage == "mbox"
        self.messages = messages or self.scale[storage]

    def prepare(self, server, storage):
        boxes = self.large(server, storage, self.messages, **self.mailbox)
        if storage == "maildir" and server.real:
            self.bench.mailboxes.undeliver(boxes[0])
        return boxes

    def session(self, server, expected, **kw):
        return self.load(server, self.PLAN, expected=expected, **kw)

    def warm(self, server, boxes):
        """Twice: a listing is believed when it is not too fresh."""
        first = self.session(server, boxes[0].messages, thorough=1)
        time.sleep(self.scale["age"])
        again = self.session(server, boxes[0].messages, thorough=1)
        if again["uidl_crc"] != first["uidl_crc"]:
            raise Failure(f"{server.name}: other UIDLs of {boxes[0].name}")

    def measure(self, server, boxes):
        return self.figures(self.session(server, boxes[0].messages))

    @staticmethod
    def figures(r):
        steps = r["steps"]
        return {"ms": sum(steps.values()) - steps["close"],
                "server ms": r["cpu"],
                **{f"{step} ms": steps[step] for step in (
                    "PASS", "STAT", "LIST", "UIDL", "QUIT")}}


class OpenNew(Open):
    """One message came since."""

    def __init__(self, bench):
        super().__init__(bench, "maildir", "one-new")
        self.new = {}

    def measure(self, server, boxes):
        box = boxes[0]
        have = self.new.get(server.name, 0)
        if server.real:
            self.session(server, box.messages + have)
            time.sleep(self.scale["age"])
            self.session(server, box.messages + have)
            have = self.new[server.name] = have + 1
            self.bench.mailboxes.deliver(box, have)
        return self.figures(self.session(server, box.messages + have))

    def done(self, server, boxes):
        if server.real:
            self.bench.mailboxes.undeliver(boxes[0])


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")


class OpenFresh(Open):
    """Nothing that the server keeps for speed is there; files are not in
    memory either if cold."""

    def __init__(self, bench, name, cold=False, **kw):
        super().__init__(bench, "maildir", name, **kw)
        self.cold = cold

    def fits(self, server, storage):
        return server.real and super().fits(server, storage) and \
            (ROOT or not self.cold)

    def prepare(self, server, storage):
        return super().prepare(server, storage) + \
            self.small(server, storage, 1)

    def session(self, server, expected, **kw):
        return super().session(server, expected, users=server.only(0), **kw)

    def measure(self, server, boxes):
        boxes[0].forget()
        if self.cold:
            drop_caches()
            # the server's own files are not what this is about
            self.load(server, "LOGIN STAT QUIT", users=server.only(1))
        return super().measure(server, boxes)


class Idle(Scenario):
    """Memory of connections that do nothing; only root may look."""

    def __init__(self, bench, name, plan, clients, tls=False):
        super().__init__(bench)
        self.name, self.plan, self.tls = name, plan, tls
        self.clients = self.scale[clients]

    def fits(self, server, storage):
        return ROOT and server.real and super().fits(server, storage)

    def prepare(self, server, storage):
        return self.small(server, storage)

    def warm(self, server, boxes):
        self.load(server, "LOGIN STAT QUIT", clients=8, sessions=len(boxes))

    def measure(self, server, boxes):
        server.restart()
        self.load(server, "LOGIN STAT QUIT", clients=2, sessions=4)
        before = server.pss()
        with self.load.holding(server, self.plan, clients=self.clients,
                               tls=self.tls, opening=16) as held:
            time.sleep(1)   # a silent session gives memory back
            server.settled_cpu()
            after = server.pss()
        if held["holding"] != self.clients:
            raise Failure(f"{server.name}: {held}")
        return {"KiB (PSS)": (after - before) / self.clients,
                "connections/s": self.clients / held["seconds"]}


class IdleMany(Sessions):
    """Sessions beside very many idle connections, and without them."""
    # a gate may have no more than 20,000 descriptors, two a connection
    options = {"top": "gates = 4"}

    def __init__(self, bench):
        super().__init__(bench, False, 16)
        self.name = "idle-many"

    def fits(self, server, storage):
        return server.name == "culver" and super().fits(server, storage)

    def measure(self, server, boxes):
        many, alone = self.scale["idle_many"], super().measure
        without = alone(server, boxes)
        # a process has not descriptors enough for all of them, nor an
        # address ports
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(self.load.holding(
                server, "HOLD", clients=many // 2, source=f"127.0.1.{i}"))
                for i in (1, 2)]
            beside = alone(server, boxes)
        if sum(h["holding"] for h in held) != many // 2 * 2:
            raise Failure(f"{server.name}: {held}")
        return {"held": sum(h["holding"] for h in held),
                "sessions/s": beside["sessions/s"],
                "% of without": 100 * beside["sessions/s"] /
                without["sessions/s"]}


def scenarios(bench):
    """All of them, in the order of the table."""
    counts = bench.scale["clients"]
    return [
        *(Sessions(bench, tls, n) for tls in (False, True) for n in counts),
        First(bench), Poll(bench),
        Retr(bench, False, 50), Retr(bench, True, 50), Retr(bench, False, 1),
        Open(bench, "maildir"), OpenNew(bench),
        OpenFresh(bench, "no-sizes"), OpenFresh(bench, "cold", cold=True),
        OpenFresh(bench, "sw-cold", cold=True, names=True),
        Open(bench, "mbox"), Open(bench, "sqlite"),
        Idle(bench, "idle-plain", "HOLD", "idle"),
        Idle(bench, "idle-tls", "HOLD", "idle", tls=True),
        Idle(bench, "idle-logged-in", "LOGIN HOLD", "idle_logged_in"),
        IdleMany(bench),
    ]
