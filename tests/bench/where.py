#!/usr/bin/python3
"""where.py - where does the time of a login go?

Sessions (connect, USER, PASS, STAT, QUIT), one after the other, of --users
users with a uid each, on an unchanged mailbox of 20 messages.  Prints for each
role what a session costs it: processor time (µs), page faults, and, from
further --traced sessions under strace, system calls.  Needs root and strace.

Counts are the same on a busy machine, times are not; one client at a time
costs more than many do.  Page faults of the workers are those that master
waited for, with their time; what manager does now and then is in no row.
"""
import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import Client
from culver import Instance, proc_stat, until

TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")


def session(inst, user):
    client = Client(inst.address)
    for line in (b"USER " + user.name.encode(),
                 b"PASS " + user.password.encode(), b"STAT", b"QUIT"):
        answer = client.command(line)
        assert answer.startswith(b"+OK"), answer
    client.close()


def sessions(inst, n):
    for i in range(n):
        session(inst, inst.users[i % len(inst.users)])
    # the last one has ended, too
    until("every worker to end", lambda: not inst.role("worker"))


def snapshot(inst):
    """role -> (µs, page faults)"""
    found = collections.defaultdict(lambda: [0.0, 0])
    for role, pids in inst.roles().items():
        for pid in pids:
            found[role][0] += int(Path(f"/proc/{pid}/schedstat").read_text()
                                  .split()[0]) / 1000
            stat = proc_stat(pid)
            found[role][1] += int(stat[7])
            if role == "master":        # those that it waited for
                found["worker"][0] += (int(stat[13]) +
                                       int(stat[14])) * TICK_US
                found["worker"][1] += int(stat[8])
    return found


def calls(inst, n):
    """role -> Counter of system calls of N sessions"""
    roles = {pid: role for role, pids in inst.roles().items()
             for pid in pids}
    with tempfile.TemporaryDirectory() as folder:
        argv = ["strace", "-ff", "-qq", "-o", folder + "/t"]
        for pid in roles:
            argv += ["-p", str(pid)]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as strace:
            until("strace", lambda: all(
                "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status")
                .read_text() for pid in roles))
            sessions(inst, n)
            strace.terminate()
        found = collections.defaultdict(collections.Counter)
        for file in Path(folder).iterdir():
            role = roles.get(int(file.suffix[1:]), "worker")
            found[role].update(re.findall(r"^(\w+)\(", file.read_text(),
                                          re.MULTILINE))
    return found


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--culver-root", required=True, metavar="DIR",
                        help="what `make install DESTDIR=DIR` made")
    parser.add_argument("--sessions", type=int, default=2000)
    parser.add_argument("--traced", type=int, default=20)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--storage", default="maildir",
                        choices=("maildir", "mbox", "sqlite"))
    args = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("where.py: only root has a uid a user")
    Instance.kind = args.storage
    inst = Instance(Path(args.culver_root).resolve(), users=args.users,
                    prefix="culver-bench-")
    inst.write_users({u.name: "{PLAIN}" + u.password for u in inst.users})
    for user in inst.users:
        user.deliver_all([b"Subject: x\n\n" + b"text\n" * 1000] * 20)
    with inst:
        sessions(inst, args.users)
        time.sleep(2.1)     # a listing is believed when it is not too fresh
        sessions(inst, 2 * args.users)
        before = snapshot(inst)
        sessions(inst, args.sessions)
        after = snapshot(inst)
        traced = calls(inst, args.traced)
    print(f"{'role':10}{'µs':>8}{'faults':>8}{'calls':>8}  of these")
    for role in sorted(after, key=lambda r: -after[r][0]):
        us, faults = ((a - b) / args.sessions for a, b in
                      zip(after[role], before[role]))
        names = ", ".join(f"{name} {n / args.traced:.0f}" for name, n in
                          traced[role].most_common(8))
        print(f"{role:10}{us:8.0f}{faults:8.1f}"
              f"{traced[role].total() / args.traced:8.1f}  {names}")


if __name__ == "__main__":
    main()
