#!/usr/bin/python3
"""outage.py - logins while their database is killed, stopped, slow or cut.

Users of a database and, in a section before it, of a passwd file log in at
--rate a second each for --seconds; the database fails for the second of three
equal parts of that.  Prints for each part which answers came and how long they
took, when the first login worked again, and ends with 1 if an answer was wrong:
[AUTH] for a right password, +OK for a wrong one, anything but +OK for a user of
the passwd file.
"""
import statistics
import sys
import threading
import time

from bench import Client, Databases, arguments, instance
from culver import User, free_uids
from databases import Link

THREADS = 40        # a kind; each with a user of its own


def add_users(inst, name):
    uids = free_uids(61000, 1) * THREADS
    users = [User(f"{name}{i}", uid, uid, inst.dir / "home" / f"{name}{i}")
             for i, uid in enumerate(uids)]
    for u in users:
        u.make()
    return users


class Clients:
    """Threads that log in at a rate together, and what they were told."""

    def __init__(self, inst, users, rate, may_be_away):
        self.inst, self.may_be_away = inst, may_be_away
        self.pause = len(users) / rate
        self.seen = []          # (when it began, seconds, answer)
        self.wrong = []
        self.end = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(i, u))
                        for i, u in enumerate(users)]

    def run(self, number, user):
        due = time.monotonic() + self.pause * number / len(self.threads)
        turn = number
        while not self.end.wait(max(0, due - time.monotonic())):
            right = turn % 10 != 0
            self.attempt(number, user, right)
            turn += 1
            due = max(due + self.pause, time.monotonic())

    def attempt(self, number, user, right):
        begun = time.monotonic()
        try:
            client = Client(self.inst.address, f"127.8.{number}.1")
            client.command(b"USER " + user.name.encode())
            reply = client.command(b"PASS geheim" if right else b"PASS x")
            if reply.startswith(b"+OK"):
                client.command(b"QUIT")
            client.close()
        except (OSError, EOFError) as e:
            reply = repr(e).encode()
        kind = {b"-ERR [SYS/TEMP]": "away", b"-ERR [AUTH]": "auth",
                b"-ERR [IN-USE]": "in-use"}.get(
                    reply.split(b"]")[0] + b"]",
                    "ok" if reply.startswith(b"+OK") else "other")
        fits = {"ok", "in-use"} if right else {"auth"}
        if kind not in fits | ({"away"} if self.may_be_away else set()):
            self.wrong.append((right, reply))
        self.seen.append((begun, time.monotonic() - begun, kind))

    def report(self, name, marks):
        for part, (start, end) in zip(("before", "during", "after"),
                                      zip(marks, marks[1:])):
            rows = [s for s in self.seen if start <= s[0] < end]
            took = sorted(1000 * s[1] for s in rows) or [0]
            kinds = {}
            for _, _, kind in rows:
                kinds[kind] = kinds.get(kind, 0) + 1
            print(f"  {name} {part}: {len(rows) / (end - start):.0f}/s"
                  f" {kinds}, median {statistics.median(took):.1f} ms,"
                  f" 99 % {took[len(took) * 99 // 100]:.1f}, at the most"
                  f" {took[-1]:.0f}")


def measure(kind, how, databases, args):
    server = databases.get(kind)
    with Link(server) as link:
        def sections(inst):
            inst.theirs = add_users(inst, "db")
            inst.users = add_users(inst, "file")
            server.fill(inst.theirs)
            inst.write_users()
            return ["passwdfile", server.section(
                f"tls = require  {args.options}", hosts=[link.host])]
        fail, mend = {
            "killed": (server.kill, server.start),
            "stopped": (server.pause, server.resume),
            "cut": (link.cut, lambda: link.cut(0)),
            "slow": (lambda: link.slow(5), lambda: link.slow(0))}[how]
        with instance(args, sections) as inst:
            wrong = run(inst, fail, mend, f"{kind} {how}", args)
    return wrong


def run(inst, fail, mend, title, args):
    theirs = Clients(inst, inst.theirs, args.rate, True)
    others = Clients(inst, inst.users, args.rate, False)
    threads = theirs.threads + others.threads
    marks = [time.monotonic()]
    for t in threads:
        t.start()
    for step in (fail, mend, None):
        time.sleep(args.seconds / 3)
        if step:
            step()
        marks.append(time.monotonic())
    theirs.end.set()
    others.end.set()
    for t in threads:
        t.join()
    print(title)
    theirs.report("database", marks)
    others.report("passwd file", marks)
    back = [b + d for b, d, k in theirs.seen if k == "ok" and b + d > marks[2]]
    print(f"  the first login {1000 * (min(back) - marks[2]):.0f} ms after it"
          " was back" if back else "  it never came back")
    for right, reply in (theirs.wrong + others.wrong)[:5]:
        print(f"  WRONG: {'right' if right else 'wrong'} password: {reply}")
    sys.stdout.flush()
    return theirs.wrong + others.wrong


def main():
    parser = arguments(__doc__, "pgsql", "mysql")
    parser.add_argument("--how", default="killed,stopped,slow,cut")
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--options", default="", help="of the section")
    args = parser.parse_args()
    databases = Databases()
    wrong = []
    try:
        for kind in args.kinds.split(","):
            for how in args.how.split(","):
                wrong += measure(kind, how, databases, args)
    finally:
        databases.close()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
