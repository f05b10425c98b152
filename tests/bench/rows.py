#!/usr/bin/python3
"""rows.py - does a login take longer where there are ten million users than
where there are a thousand?

For each database: one table with --few users and one with --many, whose
passwords cost nothing to check, and a culverd for each; for the passwd file one
file with --few lines and one with --many.  Rounds of --logins
sessions (connect, USER, PASS, QUIT) of users at random go to one and the other
in turn, from --clients clients.

Prints the rates, by round and in the median, the ratio of the medians, and
the processor time of the database and of the pool processes by login.
Needs about 2 GB below TMPDIR or /var/tmp for each of them, one after the other.
"""
import os
import random
import statistics
import threading
import time

from bench import Client, Databases, arguments, instance, processor_seconds
from culver import ROLE_IDS, ROOT, User, free_uids
from databases import Server

HOMES = 64

FILL = {
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c"
              " WHERE n < {last}) INSERT INTO {table} SELECT"
              " printf('user%08d@user.example', n), '{{PLAIN}}geheim',"
              " n % {homes} FROM c",
    "pgsql": "INSERT INTO {table} SELECT 'user' || lpad(n::text, 8, '0') ||"
             " '@user.example', '{{PLAIN}}geheim', n % {homes} FROM"
             " generate_series(0, {last}) n;"
             " ALTER TABLE {table} ADD PRIMARY KEY (name);"
             " GRANT SELECT ON {table} TO mail;"
             # or the first queries would write what they found out
             " VACUUM (FREEZE, ANALYZE) {table}; CHECKPOINT;",
    "mysql": "INSERT INTO {table} SELECT concat('user', lpad(seq, 8, '0'),"
             " '@user.example'), '{{PLAIN}}geheim', seq % {homes} FROM"
             " seq_0_to_{last};"
             " GRANT SELECT ON mail.{table} TO mail@localhost;"
             " ANALYZE TABLE {table};",
}
CREATE = {
    "sqlite": "CREATE TABLE {table}(name TEXT PRIMARY KEY, password TEXT,"
              " home INT) WITHOUT ROWID",
    "pgsql": "CREATE TABLE {table}(name text, password text, home int);",
    "mysql": "CREATE TABLE {table}(name varchar(255) PRIMARY KEY,"
             " password varchar(255), home int);",
}
PLACE = {"sqlite": "'{dir}/home/' || home", "pgsql": "'{dir}/home/' || home",
         "mysql": "concat('{dir}/home/', home)"}


def homes(inst):
    """The uid of all of them."""
    uid = free_uids(61000, 1)[0]
    for n in range(HOMES):
        User(f"home{n}", uid, uid, inst.dir / "home" / str(n)).make()
    return uid


class Tables:
    """Users in a database."""

    def __init__(self, kind):
        self.databases = Databases()
        self.database = self.databases.get(kind)
        self.close = self.databases.close
        self.pids = self.database.pids
        self.database.fill([])

    def fill(self, table, rows):
        driver = self.database.driver
        for text in (CREATE[driver], FILL[driver]):
            self.database.sql(text.format(table=table, last=rows - 1,
                                          homes=HOMES),
                              **({} if driver == "sqlite" else
                                 {"timeout": 3600}))

    def sections(self, table):
        """What makes those of an instance whose users are in TABLE."""
        def made(inst):
            uid = homes(inst)
            place = PLACE[self.database.driver].format(dir=inst.dir)
            ids = f"uid = {uid}  gid = {uid}" if ROOT else ""
            return [self.database.section(ids, query=(
                f"SELECT password, {place} AS userdb_home FROM {table}"
                " WHERE name = %{user}"))]
        return made


class Files:
    """Users in passwd files."""

    def __init__(self):
        self.rows = {}

    def close(self):
        pass

    def pids(self):
        return []

    def fill(self, name, rows):
        self.rows[name] = rows

    def sections(self, name):
        def made(inst):
            uid = homes(inst)
            with open(inst.dir / "lines", "w") as f:
                for n in range(self.rows[name]):
                    f.write(f"user{n:08d}@user.example:{{PLAIN}}geheim:{uid}:"
                            f"{uid}::{inst.dir}/home/{n % HOMES}\n")
            if ROOT:
                os.chown(inst.dir / "lines", ROLE_IDS["auth"], -1)
            return [f'auth passwdfile {{ path = "{inst.dir}/lines" }}']
        return made


def session(inst, n):
    client = Client(inst.address)
    client.command(b"USER user%08d@user.example" % n)
    reply = client.command(b"PASS geheim")
    if not reply.startswith((b"+OK", b"-ERR [IN-USE]")):
        raise RuntimeError(reply)
    client.command(b"QUIT")
    client.close()


def one_round(inst, rows, args):
    """Logins a second."""
    failed = []

    def work(number):
        chooser = random.Random()
        try:
            for _ in range(args.logins // args.clients):
                # clients do not meet in a mailbox
                n = chooser.randrange(rows // args.clients)
                session(inst, n * args.clients + number)
        except Exception as e:      # for the main thread
            failed.append(e)

    threads = [threading.Thread(target=work, args=(i,))
               for i in range(args.clients)]
    start = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise failed[0]
    return args.logins / (time.perf_counter() - start)


def measure(kind, users, args):
    rates = {"few": [], "many": []}
    times = {"few": 0.0, "many": 0.0}
    sizes = {"few": args.few, "many": args.many}
    for name, rows in sizes.items():
        start = time.monotonic()
        users.fill(name, rows)
        print(f"{kind}: {rows} rows in {time.monotonic() - start:.0f} s",
              flush=True)
    with instance(args, users.sections("few")) as few, \
            instance(args, users.sections("many")) as many:
        for i in range(args.rounds + 1):
            for name, inst in (("few", few), ("many", many)):
                pids = [*inst.role("pool"), *users.pids()]
                before = processor_seconds(pids)
                rate = one_round(inst, sizes[name], args)
                if i == 0:          # fills caches
                    continue
                times[name] += processor_seconds(pids) - before
                rates[name].append(rate)
        if kind == "passwdfile":
            print("passwdfile, many: private KiB of the processes: " + " ".join(
                str(private_kib(p)) for p in many.role("pool")))
    report(kind, rates, times, args)


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f
                   if line.startswith("Private_"))


def report(driver, rates, times, args):
    median = {k: statistics.median(v) for k, v in rates.items()}
    n = args.rounds * args.logins
    for k in rates:
        print(f"{driver}, {k}: {median[k]:.0f} logins/s (" +
              " ".join(f"{r:.0f}" for r in rates[k]) +
              f"), database and pools {1000 * times[k] / n:.3f} ms a login")
    change = 100 * median["many"] / median["few"] - 100
    print(f"{driver}: {change:+.1f} % logins/s with {args.many} users"
          f" instead of {args.few}", flush=True)


def main():
    parser = arguments(__doc__, "passwdfile", "sqlite", "pgsql", "mysql")
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10 ** 7)
    parser.add_argument("--logins", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clients", type=int, default=4)
    args = parser.parse_args()
    Server.memory = "256M"
    for kind in args.kinds.split(","):
        users = Files() if kind == "passwdfile" else Tables(kind)
        try:
            measure(kind, users, args)
        finally:
            users.close()


if __name__ == "__main__":
    main()
