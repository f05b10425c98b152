"""An mbox in a spool where only a group may make dotlocks (/var/mail of many
systems): the session's locker makes them (core/DESIGN.md)."""
import contextlib
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

import culver
from culver import (ROLE_IDS, alive, cmdline, numbered, proc_status, until,
                    wire)
from lmtp import LISTEN, Lmtp

MAIL = 8                                    # of every Debian
pytestmark = pytest.mark.needs_root


def text_of(message):
    return b"From a@b Thu Nov 29 22:33:52 2001\n" + \
        message.replace(b"\r\n", b"\n") + b"\n"


def text(*numbers):
    return b"".join(text_of(numbered(n)) for n in numbers)


class Spool:
    """A directory root:mail 2775, a file a user of the instance in it."""

    def __init__(self, instance):
        self.instance = instance
        self.dir = instance.dir / "spool"
        self.dir.mkdir()
        os.chown(self.dir, 0, MAIL)
        os.chmod(self.dir, 0o2775)
        for user in instance.users:
            user.file = self.dir / user.name
            user.dot = self.dir / f"{user.name}.lock"
            self.put(user, text(1, 2, 3))

    def put(self, user, content):
        user.file.write_bytes(content)
        os.chown(user.file, user.uid, MAIL)
        os.chmod(user.file, 0o660)

    def names(self):
        return sorted(p.name for p in self.dir.iterdir())

    def clean(self):
        """Nothing was left in the spool."""
        return self.names() == sorted(u.name for u in self.instance.users)


def storage(options="", group='lock_group = "mail"'):
    return f'storage mbox {{ path = "{{dir}}/spool/%{{user}}" ' \
        f"dotlock = require {group} {options} }}"


@pytest.fixture
def start(one_instance):
    def make(options="", users=1, **kw):
        instance = one_instance(users=users, listen=LISTEN, **kw,
                                storage=storage(options))
        instance.spool = Spool(instance)
        return instance.start()
    return make


def forks(instance, locker):
    """Lockers, or workers: all that was forked of master and not executed."""
    found = []
    for pid in instance.role("worker"):
        try:
            gid = int(proc_status(pid)["Gid"].split()[0])
        except (OSError, KeyError):
            continue
        if (gid == MAIL) == locker and cmdline(pid):
            found.append(pid)
    return found


BIG = b"Subject: big\n\n" + 79 * b"x" + b"\n" + 400000 * (79 * b"y" + b"\n")


class Caught:
    """A login whose worker was stopped while it has the dotlock, to list a
    mailbox that is large."""

    def __init__(self, instance, user):
        self.instance, self.user = instance, user
        for _ in range(20):
            if self.attempt():
                return
        pytest.fail("its worker was never seen with the dotlock")

    def attempt(self):
        self.instance.spool.put(self.user, text(1) + text_of(BIG))
        (self.user.home / ".culver-mbox/culver-cache").unlink(True)
        self.pop = self.instance.connect()
        self.pop.ok(f"USER {self.user.name}")
        self.pop.send(f"PASS {self.user.password}\r\n".encode())
        until("the dotlock", self.user.dot.exists, pause=0.001)
        try:
            self.worker, = forks(self.instance, False)
            os.kill(self.worker, signal.SIGSTOP)
            until("its stop", lambda: state(self.worker) == "T")
            self.locker, = forks(self.instance, True)
            until("its sleep", lambda: state(self.locker) == "S")
        except (ValueError, OSError):
            pass
        if self.user.dot.exists():
            return True
        self.go_on()
        self.pop.line()
        self.pop.quit()
        until("the locker's end", lambda: not forks(self.instance, True))
        return False

    def go_on(self):
        with contextlib.suppress(ProcessLookupError):   # it may have ended
            if alive(self.worker):
                os.kill(self.worker, signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.go_on()
        self.pop.close()


def state(pid):
    return proc_status(pid)["State"].split()[0]


def switches(pid):
    return int(proc_status(pid)["voluntary_ctxt_switches"])


def test_read_delete_deliver(start):
    instance = start()
    user = instance.users[0]
    with instance.login(user) as pop:
        assert pop.stat()[0] == 3
        assert pop.multi("RETR 2") == wire(numbered(2))
        pop.ok("DELE 1")
        pop.ok("QUIT")
    with Lmtp(instance.dir / "run/lmtp") as c:
        c.envelope([user.name])
        c.text(numbered(4))
        assert c.reply()[0] == 250      # with a Received line before it
    assert instance.ctl("mailbox", "import", user.name, str(
        eml(instance, 5))).returncode == 0
    with instance.login(user) as pop:
        uidl = pop.uidls()[1]
        pop.quit()
    done = instance.ctl("mailbox", "delete", user.name, uidl)
    assert done.returncode == 0, done
    until("all locks' end", instance.spool.clean)
    with instance.login(user) as pop:
        left = [pop.multi(f"RETR {n}") for n in pop.uidls()]
        pop.quit()
    assert [wire(numbered(n)) for n in (3, 5)] == [left[0], left[2]]
    assert len(left) == 3 and wire(numbered(4)) in left[1]
    st = user.file.stat()
    assert (st.st_uid, st.st_gid) == (user.uid, MAIL)
    assert stat.S_IMODE(st.st_mode) == 0o660
    assert not instance.log_lines("lock", "done without")


def eml(instance, n):
    folder = instance.dir / f"import{n}"
    folder.mkdir()
    (folder / "1.eml").write_bytes(numbered(n))
    return folder


def test_the_dotlock_is_there_while_it_is_needed(start):
    instance = start()
    user = instance.users[0]
    with Caught(instance, user) as held:
        st = user.dot.stat()
        assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (
            ROLE_IDS["gate"], 0o600)
        assert user.dot.read_text() == f"{held.locker}\nculver\n"
        fds = descriptors(held.locker)
        assert sorted(fds) == [0, 1, 2, 3, 4, 5]
        assert fds[5].startswith(f"{user.dot}.")    # the name it began with
        held.go_on()
        assert held.pop.line().startswith(b"+OK")
        assert instance.spool.clean()       # before it answered
        held.pop.quit()
    until("the locker's end", lambda: not forks(instance, True))


def test_others_keep_it_out(start):
    instance = start()
    user = instance.users[0]
    user.dot.write_text("1\n")              # as a delivery agent's
    pop = instance.connect()
    pop.ok(f"USER {user.name}")
    pop.send(f"PASS {user.password}\r\n".encode())
    until("a locker", lambda: forks(instance, True))
    assert user.dot.read_text() == "1\n"
    instance.spool.put(user, text(1, 2, 3, 4))
    user.dot.unlink()
    assert pop.line().startswith(b"+OK")
    assert pop.stat()[0] == 4
    pop.quit()


def test_an_old_dotlock_is_removed(start):
    instance = start()
    user = instance.users[0]
    user.dot.write_text("1\n")
    os.utime(user.dot, (time.time() - 400,) * 2)
    with instance.login(user) as pop:
        assert pop.stat()[0] == 3
    instance.wait_log("user1.lock", "removed")
    assert instance.spool.clean()


def test_a_killed_worker_leaves_no_dotlock(start):
    instance = start()
    user = instance.users[0]
    with Caught(instance, user) as held:
        os.kill(held.worker, signal.SIGKILL)
        until("the dotlock's end", instance.spool.clean)
    until("the locker's end", lambda: not forks(instance, True))
    with instance.login(user) as pop:
        assert pop.stat()[0] == 2
        pop.quit()


def test_a_killed_locker(start):
    """The session ends what it does, which the dotlock goes on to protect,
    and gets no other; the next one takes the dotlock away at once."""
    instance = start("locks = {dotlock}")
    user = instance.users[0]
    with Caught(instance, user) as held:
        os.kill(held.locker, signal.SIGKILL)
        until("its end", lambda: not alive(held.locker))
        mine = user.dot.stat().st_ino
        with Lmtp(instance.dir / "run/lmtp") as c:
            c.envelope([user.name])
            c.text(numbered(4))
            until("another locker", lambda: forks(instance, True))
            other, = forks(instance, True)
            before = switches(other)
            until("its attempts", lambda: switches(other) > before + 10)
            assert user.dot.stat().st_ino == mine   # still needed
            os.kill(other, signal.SIGKILL)
            assert c.reply()[0] == 451
        held.go_on()
        assert held.pop.line().startswith(b"+OK")
        held.pop.ok("DELE 1")
        assert held.pop.cmd("QUIT").startswith(b"-ERR [SYS/TEMP]")
    instance.wait_log("locker", "gone")
    with instance.login(user) as pop:
        assert pop.stat()[0] == 2
        pop.ok("DELE 1")
        pop.ok("QUIT")
    assert instance.spool.clean()
    assert text(1) not in user.file.read_bytes()


def test_a_stopped_locker(start):
    """Its user may not do that to it; it harms its own session only."""
    instance = start()
    user = instance.users[0]
    with instance.login(user) as pop:
        locker, = forks(instance, True)
        tried = subprocess.run(
            [sys.executable, "-c", f"import os; os.kill({locker}, 19)"],
            user=user.uid, group=user.gid, extra_groups=[], timeout=60,
            capture_output=True, check=False)
        assert b"PermissionError" in tried.stderr
        worker, = forks(instance, False)
        os.kill(locker, signal.SIGSTOP)
        os.kill(worker, signal.SIGKILL)
        pop.close()
    with instance.login(user) as pop:
        assert pop.stat()[0] == 3
        pop.quit()
    os.kill(locker, signal.SIGCONT)
    until("the locker's end", lambda: not forks(instance, True))
    assert instance.spool.clean()


def test_what_a_locker_is(start):
    instance = start(users=2)
    user = instance.users[0]
    with instance.login(user) as pop:
        locker, = forks(instance, True)
        status = proc_status(locker)
        assert status["Uid"].split() == [str(ROLE_IDS["gate"])] * 4
        assert status["Gid"].split() == [str(MAIL)] * 4
        assert status["Groups"].split() == []
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd"):
            assert int(status[name], 16) == 0, name
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Seccomp"].strip() == "2"
        assert os.stat(f"/proc/{locker}/mem").st_uid == 0   # not dumpable
        assert limits(locker)["Max core file size"] == ["0", "0"]
        if not culver.SANITIZED:   # their runtime needs some of each
            assert limits(locker)["Max processes"] == ["0", "0"]
            assert int(limits(locker)["Max open files"][0]) <= 16
        fds = descriptors(locker)
        opened = [fds.pop(fd) for fd in range(3)]
        if culver.SANITIZED:   # keeps stderr for what they find
            opened.pop()
        assert set(opened) == {"/dev/null"}
        assert fds.pop(3).startswith("socket:")
        assert fds == {4: str(instance.spool.dir)}
        worker, = forks(instance, False)
        check_worker(instance, worker, user)
        pop.quit()


def check_worker(instance, pid, user):
    """It has not got the group, nor the directory."""
    status = proc_status(pid)
    assert status["Uid"].split() == [str(user.uid)] * 4
    assert status["Gid"].split() == [str(user.gid)] * 4
    assert status["Groups"].split() == []
    assert str(instance.spool.dir) not in descriptors(pid).values()


def limits(pid):
    with open(f"/proc/{pid}/limits") as f:
        return {line[:26].strip(): line[26:].split()[:2] for line in f}


def descriptors(pid):
    top = f"/proc/{pid}/fd"
    return {int(fd): os.readlink(f"{top}/{fd}") for fd in os.listdir(top)}


def test_no_locker_without_the_option(one_instance):
    """Nor where the user may make his dotlocks himself."""
    instance = one_instance(users=2, storage=storage("", "").replace(
        "require", "try"))
    spool = Spool(instance)
    instance.start()
    first, second = instance.users
    with instance.login(first) as pop:
        assert pop.stat()[0] == 3
        assert len(instance.role("worker")) == 1
        pop.quit()
    instance.wait_log("user1.lock", "done without", "lock_group")
    instance.parts["storage"] = storage()
    instance.write_conf()
    instance.reload()
    own = second.home / "mbox"
    own.write_bytes(text(1, 2))
    second.own(own)
    second.fields = f"userdb_mail=mbox:{own}"
    instance.write_users()

    def there():
        with instance.login(second) as pop:
            n = pop.stat()[0]
            pop.quit()
            return n == 2
    until("the other location", there)
    with instance.login(second) as pop:
        until("the locker's end", lambda: not forks(instance, True))
        pop.ok("DELE 1")
        pop.ok("QUIT")
    assert not (second.home / "mbox.lock").exists()
    assert spool.clean()


@pytest.mark.parametrize("how,why", (
    ("group", "lock_group may write"), ("mode", "lock_group may write"),
    ("owner", "no file of its user")))
def test_not_any_directory_or_file(start, how, why):
    """A directory that is not the group's spool; a file of another's."""
    instance = start(users=2)
    user, other = instance.users
    if how == "group":
        os.chown(instance.spool.dir, 0, 9)
    elif how == "mode":
        os.chmod(instance.spool.dir, 0o2755)
    else:
        os.chown(user.file, other.uid, user.gid)
    with instance.connect() as pop:
        assert pop.login(user.name).startswith(b"-ERR")
    instance.wait_log("no dotlock", why)
    assert instance.spool.clean()


def test_what_t_says(one_instance):
    instance = one_instance(users=1, storage=storage("", "")
                            .replace("require", "try"))
    spool = Spool(instance)
    done = instance.run("-t")
    assert done.returncode == 0, done
    assert "only group 8 may make dotlocks" in done.stderr
    assert 'lock_group = "8"' in done.stderr
    for good in ('lock_group = "8"', 'lock_group = "mail"',
                 "groups = {mail}", "locks = {fcntl}"):
        instance.parts["storage"] = storage("", good).replace(
            "require", "try")
        instance.write_conf()
        done = instance.run("-t")
        assert (done.returncode, done.stderr) == (0, ""), done
    for bad, why in (('lock_group = "nosuch"', "nosuch"),
                     ('lock_group = "0"', "group 0")):
        instance.parts["storage"] = storage("", bad)
        instance.write_conf()
        done = instance.run("-t")
        assert done.returncode == 78 and "lock_group" in done.stderr
        assert why in done.stderr
    instance.parts["storage"] = \
        'storage maildir { path = "~/Maildir" lock_group = "mail" }'
    instance.write_conf()
    done = instance.run("-t")
    assert done.returncode == 78
    assert "makes no dotlocks" in done.stderr
    assert spool.clean()
