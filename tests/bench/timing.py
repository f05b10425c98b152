#!/usr/bin/python3
"""timing.py - can the time of an answer tell an unknown user from a wrong
password?

Both are tried in random order, TRIES each, and the time from PASS to the
answer is taken.  Without --delay failures are answered at once, which shows
what checking costs, by one client that does nothing else.  With it they wait,
as they do unless switched off (1 s by default): each try comes from another
address, by 16 clients at a time.

Prints, for each place where users are and each scheme: the medians and means in
microseconds, and Welch's t, Mann-Whitney's z and Kolmogorov-Smirnov's D with
their p (how often chance alone would do as much).
"""
import itertools
import random
import statistics
import threading
import time

from bench import (KINDS, Client, Databases, arguments, instance,
                   kolmogorov_smirnov, mann_whitney, welch)
from culver import Instance, User, crypt
from databases import SELECT, quoted
from pam import PamInstance
from slapd import NOBODY, Slapd

SCHEMES = {
    "yescrypt": "$y$j9T$culverculver",
    "sha512": "$6$culverculver",
    "plain": None,
}
QUERY = SELECT + " WHERE name = %{user}"


def place(kind, databases, scheme, known):
    """What makes the sections for an instance, with KNOWN users."""
    setting = SCHEMES[scheme]
    stored = crypt("right", setting) if setting else "{PLAIN}right"

    def sections(inst):
        inst.users = [User("user%08d" % i, 60000, 60000, f"/srv/{i:08d}")
                      for i in range(known)]
        if kind == "passwdfile":
            inst.write_users({u.name: stored for u in inst.users})
            return ["passwdfile"]
        if kind == "pam":
            inst.accounts = [(u.name, u.uid, u.home, {"hash": stored})
                             for u in inst.users]
            inst.write_accounts()
            return None
        if kind == "ldap":
            server = databases.keep(Slapd(inst, stored="{CRYPT}" + stored
                                          if setting else "right"))
            return [server.section(more="dummy_dn = " + quoted(NOBODY))]
        database = databases.get(kind)
        database.fill(inst.users)
        database.sql(f"UPDATE users SET password = '{stored}'")
        return [database.section(query=QUERY)]
    return sections


def attempt(client, name):
    """Nanoseconds from PASS to its answer."""
    client.command(b"USER " + name)
    start = time.perf_counter_ns()
    reply = client.command(b"PASS wrong")
    took = time.perf_counter_ns() - start
    if not reply.startswith(b"-ERR [AUTH]"):
        raise RuntimeError(reply)
    return took


def plan(tries, names):
    """Names in random order: half are known; as long as each other."""
    guesses = [(True, random.choice(names)) for _ in range(tries)]
    # as many others, as often: the log leaves out what it said just now
    guesses += [(False, name.replace("user", "nope"))
                for name in random.choices(names, k=tries)]
    random.shuffle(guesses)
    return guesses


def one_by_one(inst, guesses):
    took, client = {True: [], False: []}, None
    for i, (known, name) in enumerate(guesses):
        if i % 100 == 0:
            if client:
                client.close()
            client = Client(inst.address)
            attempt(client, b"warm%08d" % i)
        took[known].append(attempt(client, name.encode()))
    client.close()
    return took


def with_delay(inst, guesses, clients=16):
    """Each from an address of its own, that never failed before."""
    took, lock = {True: [], False: []}, threading.Lock()
    number = itertools.count()

    def work():
        while True:
            with lock:
                if not guesses:
                    return
                known, name = guesses.pop()
                n = next(number)
            client = Client(inst.address, "127.%d.%d.%d" % (
                100 + n // 65024, n // 254 % 256, n % 254 + 1))
            ns = attempt(client, name.encode())
            client.close()
            with lock:
                took[known].append(ns)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return took


def report(title, took):
    wrong, unknown = took[True], took[False]
    us = [f(x) / 1000 for f in (statistics.median, statistics.fmean,
                                statistics.stdev) for x in (unknown, wrong)]
    t, tp = welch(unknown, wrong)
    z, zp, more = mann_whitney(unknown, wrong)
    d, dp = kolmogorov_smirnov(unknown, wrong)
    print(f"{title}: {len(unknown)} unknown, {len(wrong)} wrong\n"
          f"  median {us[0]:.1f} / {us[1]:.1f} us, mean {us[2]:.1f} /"
          f" {us[3]:.1f}, deviation {us[4]:.1f} / {us[5]:.1f}\n"
          f"  t {t:+.2f} (p {tp:.3g})  z {z:+.2f} (p {zp:.3g},"
          f" unknown is slower in {100 * more:.2f} %)  D {d:.4f}"
          f" (p {dp:.3g})", flush=True)


def main():
    parser = arguments(__doc__, *KINDS, "ldap", "pam")
    parser.add_argument("--tries", type=int, default=10000, metavar="N")
    parser.add_argument("--schemes", default=",".join(SCHEMES))
    parser.add_argument("--delay", metavar="TIME",
                        help="failure_delay, as 100ms [none]")
    args = parser.parse_args()
    databases = Databases()
    try:
        for kind in args.kinds.split(","):
            for scheme in args.schemes.split(","):
                if kind == "pam" and not SCHEMES[scheme]:
                    continue    # pam_unix knows hashes only
                # each of them has to wait for his own slots, too
                known = 2000 if args.delay else 200
                with instance(args, place(kind, databases, scheme, known),
                              args.delay or "0s", PamInstance if kind == "pam"
                              else Instance) as inst:
                    guesses = plan(args.tries, [u.name for u in inst.users])
                    took = with_delay(inst, guesses) if args.delay else \
                        one_by_one(inst, guesses)
                report(f"{kind}, {scheme}, delay {args.delay or 'none'}",
                       took)
    finally:
        databases.close()


if __name__ == "__main__":
    main()
