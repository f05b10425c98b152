#!/usr/bin/python3
"""rows.py - does a login take longer where there are ten million users than
where there are a thousand?

For each database: one table with --few users and one with --many, whose
passwords cost nothing to check, and a culverd for each.  Rounds of --logins
sessions (connect, USER, PASS, QUIT) of users at random go to one and the other
in turn, from --clients clients.

Prints the rates, by round and in the median, the ratio of the medians, and
the processor time of the database and of the pool processes by login.
Needs about 2 GB below TMPDIR or /var/tmp for each database, one after the other.
"""
import random
import statistics
import threading
import time

from bench import Client, Databases, arguments, instance, processor_seconds
from culver import ROOT, User, free_uids
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


def sections(database, table):
    """What makes those of an instance whose users are in TABLE."""
    def made(inst):
        uid = free_uids(61000, 1)[0]
        for n in range(HOMES):
            User(f"home{n}", uid, uid, inst.dir / "home" / str(n)).make()
        place = PLACE[database.driver].format(dir=inst.dir)
        ids = f"uid = {uid}  gid = {uid}" if ROOT else ""
        return [database.section(ids, query=(
            f"SELECT password, {place} AS userdb_home FROM {table}"
            " WHERE name = %{user}"))]
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


def fill(database, table, rows):
    start = time.monotonic()
    for text in (CREATE[database.driver], FILL[database.driver]):
        database.sql(text.format(table=table, last=rows - 1, homes=HOMES),
                     **({} if database.driver == "sqlite" else
                        {"timeout": 3600}))
    print(f"{database.driver}: {rows} rows in"
          f" {time.monotonic() - start:.0f} s", flush=True)


def measure(database, args):
    database.fill([])
    rates = {"few": [], "many": []}
    times = {"few": 0.0, "many": 0.0}
    sizes = {"few": args.few, "many": args.many}
    for name, rows in sizes.items():
        fill(database, name, rows)
    with instance(args, sections(database, "few")) as few, \
            instance(args, sections(database, "many")) as many:
        for i in range(args.rounds + 1):
            for name, inst in (("few", few), ("many", many)):
                pids = [*inst.role("pool"), *database.pids()]
                before = processor_seconds(pids)
                rate = one_round(inst, sizes[name], args)
                if i == 0:          # fills caches
                    continue
                times[name] += processor_seconds(pids) - before
                rates[name].append(rate)
    report(database.driver, rates, times, args)


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
    parser = arguments(__doc__, "sqlite", "pgsql", "mysql")
    parser.add_argument("--few", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10 ** 7)
    parser.add_argument("--logins", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clients", type=int, default=4)
    args = parser.parse_args()
    Server.memory = "256M"
    for kind in args.kinds.split(","):
        databases = Databases()
        try:
            measure(databases.get(kind), args)
        finally:
            databases.close()


if __name__ == "__main__":
    main()
