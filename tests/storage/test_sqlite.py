"""SQLite databases that other programs lock, change and damage, as seen by
the client and by culverctl mailbox check."""
import os
import resource
import shutil
import sqlite3
import subprocess
import threading

import pytest

import culver
from culver import (Failure, Instance, numbered, own_mounts, proc_status,
                    until, wire)

N = 5
SECTION = '''storage sqlite {
    path = "~/mail/mail.db"
    create = yes
    vacuum = full
    busy_timeout = 3s
}'''


class SqliteInstance(Instance):
    kind = "sqlite"

    def nsenter(self, *argv):
        subprocess.run(["nsenter", "-t", str(self.pid), "-m", "-r",
                        *map(str, argv)], check=True, timeout=60)


def running(tree, prefix=(), **kw):
    inst = SqliteInstance(tree, storage=SECTION, prefix="culver-sqlite-", **kw)
    try:
        yield inst.start(prefix=prefix)
    finally:
        inst.stop()
        if not os.environ.get("CULVER_KEEP"):
            inst.remove()


@pytest.fixture(scope="module")
def instance(tree):
    yield from running(tree, users=1)


@pytest.fixture
def private(tree):
    """An instance with mounts of its own, which end with it."""
    yield from running(tree, users=1, prefix=own_mounts())


def path_of(user):
    return user.home / "mail" / "mail.db"


def fill(instance, user):
    user.empty()
    user.messages = [numbered(i) for i in range(1, N + 1)]
    user.uids = user.deliver_all(user.messages)
    return user


@pytest.fixture
def user(instance):
    return fill(instance, instance.users[0])


@pytest.fixture
def db(user):
    """What another program has open."""
    conn = sqlite3.connect(path_of(user), isolation_level=None, timeout=5)
    yield conn
    conn.close()


def refused(instance, user, code):
    """Login says CODE; [IN-USE] is of the session before."""
    def reply():
        with instance.connect() as pop:
            r = pop.login(user.name)
            return None if b"[IN-USE]" in r else r
    got = until("an answer", reply)
    if not got.startswith(b"-ERR " + code):
        raise Failure(f"{got!r}\n{instance.log_text()[-2000:]}")


def serves(instance, user, messages):
    with instance.login(user) as pop:
        assert pop.stat()[0] == len(messages)
        for i, message in enumerate(messages, 1):
            assert pop.multi(f"RETR {i}") == wire(message)
        assert pop.quit().startswith(b"+OK")


def test_a_writer_keeps_its_lock(instance, user, db):
    """[SYS/TEMP] from QUIT, nothing is deleted; readers do not wait."""
    db.execute("BEGIN IMMEDIATE")
    with instance.login(user) as pop:
        assert pop.multi("RETR 2") == wire(user.messages[1])
        pop.ok("DELE 1")
        assert pop.cmd("QUIT").startswith(b"-ERR [SYS/TEMP]")
    db.execute("ROLLBACK")
    serves(instance, user, user.messages)


def test_a_database_that_is_locked_whole(instance, user, db):
    db.execute("PRAGMA locking_mode=EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    refused(instance, user, b"[SYS/TEMP]")
    instance.wait_log("another program")
    db.close()
    serves(instance, user, user.messages)


@pytest.mark.parametrize("what", ("pages", "header", "short", "empty"))
def test_damage(instance, user, what):
    """[SYS/PERM], the log says why, check finds it; and all is well again
    when the file is put back."""
    path = path_of(user)
    good = path.read_bytes()
    size = len(good)
    bad = {"pages": good[:8192] + b"\xa5" * (size - 8192),
           "header": b"\0" * 100 + good[100:],
           "short": good[:size // 2], "empty": b""}[what]
    path.write_bytes(bad)
    refused(instance, user, b"[SYS/PERM]")
    done = instance.ctl("mailbox", "check", user.name)
    assert done.returncode == 65, done
    assert "mail.db" in done.stderr
    assert instance.ctl("mailbox", "list", user.name).returncode != 0
    assert path.read_bytes() == bad, "it was written to"
    path.write_bytes(good)
    serves(instance, user, user.messages)


def test_a_newer_version(instance, user, db):
    db.execute("PRAGMA user_version=99")
    refused(instance, user, b"[SYS/PERM]")
    instance.wait_log("format 99")


def test_a_log_that_was_cut(instance, user, db):
    """What was committed last may be lost with the end of the -wal file; what
    is shown is whole, and what was in the database before is there."""
    path = path_of(user)
    for i in range(3):
        data = wire(numbered(100 + i))
        db.execute("BEGIN IMMEDIATE")
        row = db.execute("INSERT INTO chunk(data) VALUES(?)", (data,))
        db.execute("INSERT INTO message(id,uidl,octets,received,chunks) "
                   "VALUES(?,?,?,1,1)", (row.lastrowid, f"x{i}", len(data)))
        db.execute("COMMIT")
    wal = path.with_name("mail.db-wal")
    base, log = path.read_bytes(), wal.read_bytes()
    assert len(log) > 8192
    for cut in (0, 20, 32, len(log) // 3, len(log) - 8000, len(log)):
        fresh = path.with_name("cut")
        shutil.rmtree(fresh, ignore_errors=True)
        user.empty()
        path.write_bytes(base)
        wal.write_bytes(log[:cut])
        user.own(path)
        user.own(wal)
        with instance.login(user) as pop:
            n = pop.stat()[0]
            want = user.messages + [numbered(100 + i) for i in range(n - N)]
            assert N <= n <= N + 3
            assert cut < len(log) or n == N + 3
            for i, message in enumerate(want, 1):
                assert pop.multi(f"RETR {i}") == wire(message)
            pop.quit()


def test_check_says_what_is_wrong(instance, user, db):
    assert instance.ctl("mailbox", "check", user.name).returncode == 0
    db.execute("DELETE FROM chunk WHERE id=1")
    db.execute("UPDATE message SET octets=7 WHERE id=2")
    db.execute("INSERT INTO chunk(data) VALUES(x'00')")
    done = instance.ctl("mailbox", "check", user.name)
    assert done.returncode == 65
    for text in (f"message 1 ({user.uids[0]}) has 0 chunks of 1",
                 f"message 2 ({user.uids[1]}) has ",
                 f"chunk {N + 1} belongs to no message"):
        assert text in done.stderr, done.stderr
    with instance.login(user) as pop:
        assert pop.cmd("RETR 1").startswith(b"-ERR [SYS/PERM]")
        assert pop.multi("RETR 3") == wire(user.messages[2])
        pop.quit()


def test_other_programs_read_and_write(instance, user, db):
    """By the format that culver-sqlite(5) documents."""
    for uid, message in zip(user.uids, user.messages):
        rows = db.execute(
            "SELECT c.data FROM message m JOIN chunk c ON c.id BETWEEN m.id "
            "AND m.id + m.chunks - 1 WHERE m.uidl = ? ORDER BY c.id", (uid,))
        assert b"".join(r[0] for r in rows) == wire(message)
    with instance.login(user) as pop:
        db.executescript("""BEGIN IMMEDIATE;
            INSERT INTO chunk(data) VALUES(CAST('Subject: x' ||
                char(13,10,13,10) AS BLOB));
            INSERT INTO message(id, uidl, octets, received, chunks)
                VALUES(last_insert_rowid(), lower(hex(randomblob(16))), 14,
                strftime('%s'), 1);
            COMMIT;""")
        db.executescript(f"""BEGIN IMMEDIATE;
            DELETE FROM chunk WHERE id BETWEEN
                (SELECT id FROM message WHERE uidl = '{user.uids[0]}') AND
                (SELECT id + chunks - 1 FROM message
                 WHERE uidl = '{user.uids[0]}');
            DELETE FROM message WHERE uidl = '{user.uids[0]}';
            COMMIT;""")
        assert pop.stat()[0] == N
        assert pop.cmd("RETR 1").startswith(b"-ERR")
        assert pop.multi("RETR 2") == wire(user.messages[1])
        pop.quit()
    serves(instance, user, [*user.messages[1:], b"Subject: x\n\n"])
    assert instance.ctl("mailbox", "check", user.name).returncode == 0


def test_a_message_of_100_mb_in_little_memory(instance, user):
    line = b"a line of a large message, and no dot at its beginning" + b"\n"
    big = b"Subject: large\n\n" + line * (100_000_000 // len(line))
    want = big.replace(b"\n", b"\r\n")
    user.empty()
    user.deliver(big)
    with instance.login(user) as pop:
        assert pop.sizes()[1] == len(want)
        pop.ok("RETR 1")
        worker = instance.roles()["worker"][0]
        while len(pop.buf) < len(want) + 3:
            pop.fill()
        assert pop.take(len(want) + 3) == want + b".\r\n"
        peak = int(proc_status(worker)["VmHWM"].split()[0])
        if not culver.SANITIZED:   # which keep what was freed
            assert peak < 16384, f"{peak} KiB"
        pop.ok("DELE 1")
        assert pop.quit().startswith(b"+OK")
    # and the space is given back, when the client has its answer
    until("a small file", lambda: path_of(user).stat().st_size < 20_000_000)


def test_100_mb_go_in_and_out_of_a_process_of_16_mib(instance, user, tmp_path):
    """Delivered and read again where no more can be had."""
    # sanitizers map memory of their own; with them only the octets are tried
    room = resource.RLIM_INFINITY if culver.SANITIZED else 16 << 20
    line = b"a line of a large message, and no dot at its beginning\r\n"
    big = b"Subject: large\r\n\r\n" + line * (100_000_000 // len(line))
    user.empty()
    (tmp_path / "in").mkdir()
    (tmp_path / "in/0001.eml").write_bytes(big)

    def limited(*args):
        return instance.ctl(
            "mailbox", *args, timeout=180, preexec_fn=lambda:
            resource.setrlimit(resource.RLIMIT_DATA, (room, room)))
    done = limited("import", user.name, str(tmp_path / "in"))
    assert done.returncode == 0, done.stderr
    done = limited("export", user.name, str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/0001.eml").read_bytes() == big
    with instance.login(user) as pop:
        assert pop.sizes() == {1: len(big)}
        pop.ok("DELE 1")
        assert pop.quit().startswith(b"+OK")


def test_deliveries_while_others_are_fetched_and_deleted(instance, user):
    """Every message arrives exactly once."""
    user.empty()
    total, failures, seen = 120, [], []

    def deliver(first):
        try:
            for i in range(first, total, 2):
                where = user.home.parent / f"one{first}"
                where.mkdir(exist_ok=True)
                (where / "m.eml").write_bytes(numbered(i))
                done = instance.ctl("mailbox", "import", user.name,
                                    str(where))
                assert done.returncode == 0, done.stderr
        except BaseException as e:      # for the other thread
            failures.append(e)

    threads = [threading.Thread(target=deliver, args=(i,)) for i in (0, 1)]
    for t in threads:
        t.start()
    busy = True
    while busy:
        busy = any(t.is_alive() for t in threads)
        with instance.login(user) as pop:
            for i in range(1, pop.stat()[0] + 1):
                seen.append(pop.multi(f"RETR {i}"))
                pop.ok(f"DELE {i}")
            assert pop.quit().startswith(b"+OK")
    assert not failures
    assert sorted(seen) == sorted(wire(numbered(i)) for i in range(total))


def test_a_session_that_is_killed(instance, user):
    """Deletions are void, the lock is free."""
    with instance.login(user) as pop:
        pop.ok("DELE 1")
        os.kill(instance.roles()["worker"][0], 9)
    serves(instance, user, user.messages)


@pytest.mark.needs_root
@pytest.mark.needs("unshare", "nsenter")
def test_a_file_system_that_is_read_only(private):
    user = fill(private, private.users[0])
    mail = user.home / "mail"
    private.nsenter("mount", "--bind", mail, mail)
    private.nsenter("mount", "-o", "remount,bind,ro", mail)
    refused(private, user, b"[SYS/TEMP]")
    private.nsenter("umount", mail)
    serves(private, user, user.messages)


def fill_disk(instance, path):
    """dd fails when the disk is full: that is what it is for."""
    instance.nsenter("sh", "-c", f"! dd if=/dev/zero of={path} bs=4k "
                     "2>/dev/null")


@pytest.mark.needs_root
@pytest.mark.needs("unshare", "nsenter")
def test_a_full_disk(private):
    """QUIT does not claim what it did not do, nothing is lost, and there is
    room for it again."""
    user = fill(private, private.users[0])
    mail = user.home / "mail"
    private.nsenter("cp", "-a", mail / "mail.db", user.home)
    private.nsenter("mount", "-t", "tmpfs", "-o",
                    f"size=400k,mode=700,uid={user.uid},gid={user.gid}",
                    "tmpfs", mail)
    private.nsenter("cp", "-a", user.home / "mail.db", mail)
    with private.login(user) as pop:
        pop.ok("DELE 1")
        fill_disk(private, mail / "fill")
        assert pop.cmd("QUIT").startswith(b"-ERR [SYS/TEMP]")
    # the worker gives back what it could not use
    until("the worker's end", lambda: not private.roles().get("worker"))
    fill_disk(private, mail / "more")
    refused(private, user, b"[SYS/TEMP]")
    private.nsenter("rm", mail / "fill", mail / "more")
    serves(private, user, user.messages)
    with pytest.raises(subprocess.CalledProcessError):
        big = user.home.parent / "big"
        big.mkdir()
        (big / "1.eml").write_bytes(numbered(1, 2_000_000))
        private.nsenter(private.program("culverctl"), "-c", private.conf,
                        *private.ids(), "mailbox", "import", user.name, big)
    serves(private, user, user.messages)
