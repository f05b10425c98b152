#!/usr/bin/python3
"""upgrade.py - is a login refused, or a session broken, while the running
culverd is replaced?

Clients log in (connect, USER, PASS, STAT, QUIT) as fast as they are answered,
each as a user of its own, and check each reply; meanwhile culverctl upgrades
again and again.

Prints the sessions and their rate, what went wrong, how long the upgrades
took, and the slowest session beside the one in the middle.
"""
import statistics
import threading
import time

from bench import Client, arguments, instance
from culver import User, free_uids

PAUSE = 1.0     # seconds of logins before each upgrade, and after the last


def users_of(count):
    def sections(inst):
        inst.users = [User(f"user{i}", uid, uid, inst.dir / f"home/user{i}")
                      for i, uid in enumerate(free_uids(61000, count))]
        (inst.dir / "home").mkdir(mode=0o755, exist_ok=True)
        for user in inst.users:
            user.make()
        inst.write_users({u.name: "{PLAIN}right" for u in inst.users})
        return ["passwdfile"]
    return sections


def work(inst, user, end, took, wrong):
    while not end.is_set():
        began = time.perf_counter()
        try:
            client = Client(inst.address)
            for line in (b"USER " + user.name.encode(), b"PASS right",
                         b"STAT", b"QUIT"):
                reply = client.command(line)
                if not reply.startswith(b"+OK"):
                    wrong.append(reply)
            client.close()
        except (OSError, EOFError) as e:
            wrong.append(repr(e))
        took.append(time.perf_counter() - began)


def main():
    parser = arguments(__doc__)
    parser.add_argument("--clients", type=int, default=8, metavar="N")
    parser.add_argument("--upgrades", type=int, default=5, metavar="N")
    args = parser.parse_args()
    with instance(args, users_of(args.clients)) as inst:
        end, took, wrong, upgrades = threading.Event(), [], [], []
        threads = [threading.Thread(target=work, args=(
            inst, user, end, took, wrong)) for user in inst.users]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for _ in range(args.upgrades):
            time.sleep(PAUSE)
            start = time.perf_counter()
            done = inst.ctl("-s", str(inst.dir / "run/control"), "upgrade")
            upgrades.append(time.perf_counter() - start)
            if done.returncode != 0:
                wrong.append(done.stderr)
        time.sleep(PAUSE)
        end.set()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
    print(f"{len(took)} sessions in {seconds:.1f} s ({len(took) / seconds:.0f}"
          f" a second), {len(upgrades)} upgrades of"
          f" {' '.join(f'{s:.2f}' for s in upgrades)} s\n"
          f"slowest session {1000 * max(took):.0f} ms, median"
          f" {1000 * statistics.median(took):.1f} ms\n"
          f"{len(wrong)} wrong {wrong[:3]}")


if __name__ == "__main__":
    main()
