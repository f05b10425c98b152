"""The running binary is replaced while clients work: nobody is refused, no
session breaks; and what cannot replace it leaves everything as it was."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess

import pytest

from busy import MODES, logins
from culver import (Background, Failure, ServiceManager, alive,
                    all_processes, cmdline, halt, numbered, proc_status,
                    until, wire)
from lmtp import LISTEN, PORT, Lmtp

MESSAGES = [numbered(i, 3000) for i in range(1, 6)]
ROLES = ("manager", "log", "auth", "pool", "gate", "lmtp")


@pytest.fixture
def make(one_instance):
    def make(users=3, **kw):
        inst = one_instance(users=users, **kw)
        for user in inst.users:
            user.deliver_all(MESSAGES)
        return inst
    return make


def serving(inst):
    """Who is named in run_dir: the master that serves."""
    return int((inst.dir / "run/pid").read_text())


def upgrade(inst):
    """The process that serves from then on."""
    result = inst.ctl("-s", str(inst.dir / "run/control"), "--json",
                      "upgrade")
    if result.returncode != 0:
        raise Failure(f"upgrade: {result}\n{inst.log_text()}")
    pid = json.loads(result.stdout)["pid"]
    assert serving(inst) == pid
    return pid


def drained(inst):
    """An upgrade after which the old gates have seen that it is over."""
    old = serving(inst)
    pid = upgrade(inst)
    until("the end of the old gates", lambda: "gate" not in children(old))
    return pid


def older(inst):
    """pid -> sessions of those that still finish."""
    result = inst.ctl("--json", "status")
    assert result.returncode == 0, result.stderr
    return {o["pid"]: o["sessions"]
            for o in json.loads(result.stdout)["older"]}


def who(inst):
    result = inst.ctl("--json", "who")
    assert result.returncode == 0, result.stderr
    return sorted(s["user"] for s in json.loads(result.stdout))


def children(pid):
    """name -> pids; a worker's and a master's name is culverd's."""
    found = {}
    for child, (parent, _) in all_processes().items():
        if parent == pid:
            argv = cmdline(child)
            name = os.path.basename(argv[0]) if argv else ""
            found.setdefault(name, []).append(child)
    return found


def read_one(pop):
    if pop.multi("RETR 2") != wire(MESSAGES[1]):
        raise Failure("wrong octets")


@pytest.mark.timeout(240)
def test_three_upgrades_under_logins(make):
    """None refused, none broken; and sessions from before go on, delete and
    quit as if nothing had happened."""
    inst = make(users=11).start()
    before = [inst.login(u, m) for u, m in zip(inst.users[8:], MODES)]
    before[0].ok("DELE 1")
    clients = logins(inst, inst.users[:8], read_one)
    try:
        masters = [inst.pid]
        for _ in range(3):
            clients.more(100)
            masters.append(upgrade(inst))
        clients.more(100)
    finally:
        clients.join()
    assert len(set(masters)) == 4 and serving(inst) == masters[3]
    for pop, user in zip(before, inst.users[8:]):
        assert pop.multi("RETR 3") == wire(MESSAGES[2])
        pop.ok("DELE 3")
        assert pop.quit().startswith(b"+OK")
        assert wire(MESSAGES[2]) not in map(wire, user.contents().values())
    assert len(inst.users[8].contents()) == 3
    until("the end of the old sessions", lambda: older(inst) == {})
    assert not inst.log_lines("auth-error")


def test_what_is_under_way_finishes(make):
    """A login whose name is said, and a mail of which half has come."""
    inst = make(users=4, listen=LISTEN).start()
    half = [inst.connect(m) for m in MODES]
    for user, pop in zip(inst.users, half):
        pop.ok(f"USER {user.name}")
    with contextlib.closing(Lmtp((inst.address, PORT))) as mail:
        mail.expect("MAIL FROM:<a@example.org>", 250)
        mail.expect("RCPT TO:<user4>", 250)
        mail.expect("DATA", 354)
        mail.send("Subject: half\r\n\r\none\r\n")
        upgrade(inst)
        for user, pop in zip(inst.users, half):
            pop.ok(f"PASS {user.password}")
            assert pop.multi("RETR 1") == wire(MESSAGES[0])
            assert pop.quit().startswith(b"+OK")
        mail.send("two\r\n.\r\n")
        assert mail.reply()[0] == 250
    assert any(b"two" in m for m in inst.users[3].contents().values())
    # and the new one takes mail
    with contextlib.closing(Lmtp((inst.address, PORT))) as mail:
        mail.expect("MAIL FROM:<a@example.org>", 250)
    until("the end of the old one", lambda: older(inst) == {})


def test_culverctl_reaches_both(make):
    """Two upgrades: who, status and kick know the sessions of all three."""
    inst = make(users=4).start()
    started = inst.pid
    first = inst.login(inst.users[0])
    second_master = drained(inst)
    second = inst.login(inst.users[1])
    assert who(inst) == ["user1", "user2"]
    drained(inst)
    third = inst.login(inst.users[2])
    assert who(inst) == ["user1", "user2", "user3"]
    assert older(inst) == {started: 1, second_master: 1}
    assert "still finishes 1 sessions" in inst.ctl("status").stdout
    # one session a mailbox, whichever serves it
    with inst.connect() as pop:
        assert b"[IN-USE]" in pop.login("user1")
    assert inst.ctl("kick", "user1").returncode == 0
    assert first.eof() == b""
    assert inst.ctl("kick", "user4").returncode == 1
    # its client hears of the end before its master does
    until("its end", lambda: who(inst) == ["user2", "user3"])
    sessions = json.loads(inst.ctl("--json", "who").stdout)
    assert len({s["session"] for s in sessions}) == 2
    number = next(s["session"] for s in sessions if s["user"] == "user2")
    assert inst.ctl("kick", "--session", number).returncode == 0
    assert second.eof() == b""
    inst.wait_log("session-end", "user=user2", "reason=kick")
    until("the end of both", lambda: older(inst) == {})
    inst.reload()
    third.ok("NOOP")
    third.quit()


def test_another_binary(make, copy_tree):
    """What a package manager does: another file by the same name."""
    tree = copy_tree()
    inst = make(tree=tree).start()
    program = tree / "usr/local/sbin/culverd"
    shutil.copy2(program, tree / "new")
    os.rename(tree / "new", program)
    pid = upgrade(inst)
    assert os.stat(f"/proc/{pid}/exe").st_ino == program.stat().st_ino
    assert os.readlink(f"/proc/{pid}/exe") == str(program)
    assert os.readlink(f"/proc/{inst.pid}/exe").endswith("(deleted)")
    inst.login(inst.users[0]).quit()


def refused(inst, why):
    """Nothing changes, and who asked and the log hear WHY."""
    before = serving(inst)
    roles = children(before)
    with inst.login(inst.users[0]) as pop:
        result = inst.ctl("upgrade")
        assert result.returncode == 1 and why in result.stderr, result
        pop.ok("NOOP")
        pop.quit()
    inst.wait_log("upgrade failed")
    inst.wait_log(why)
    assert serving(inst) == before
    assert set(roles["gate"]) <= set(children(before)["gate"])
    assert older(inst) == {}
    inst.login(inst.users[1], "tls").quit()


def test_what_cannot_start_is_refused(make, copy_tree):
    tree = copy_tree()
    inst = make(tree=tree).start()
    right = inst.conf_text()
    inst.write_conf(right + "colour = blue\n")
    refused(inst, "colour")
    inst.write_conf(right.replace(f"{inst.address}:3995",
                                  f"{inst.address}:3995\", \"192.0.2.1:99"))
    refused(inst, "192.0.2.1")
    inst.write_conf(right)
    program = tree / "usr/local/sbin/culverd"
    kept = tree / "kept"
    program.rename(kept)
    refused(inst, "No such file")
    program.write_text("nonsense\n")
    refused(inst, "Permission denied")
    program.chmod(0o755)
    refused(inst, "Exec format error")
    program.write_text("#!/bin/sh\necho a library is missing >&2\nexit 127\n")
    refused(inst, "a library is missing")
    kept.rename(program)
    upgrade(inst)
    inst.login(inst.users[0]).quit()


def never_serves(tree):
    """Its next culverd only sleeps; what puts the right one back."""
    program, kept = tree / "usr/local/sbin/culverd", tree / "kept"
    program.rename(kept)
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    return lambda: kept.rename(program)


def test_a_successor_that_is_killed(make, copy_tree):
    """Before it serves: the old one goes on.  Who asks meanwhile, too, hears
    of the same one."""
    tree = copy_tree()
    inst = make(tree=tree).start()
    put_back = never_serves(tree)
    argv = [inst.program("culverctl"), "-c", str(inst.conf), *inst.ids(),
            "upgrade"]
    asking = [subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
              for _ in range(2)]
    until("the successor", lambda: children(inst.pid).get("sleep"))
    inst.login(inst.users[0]).quit()

    def answered():
        # who asked too late for this one has one of its own
        for pid in children(inst.pid).get("sleep", ()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return all(asked.poll() is not None for asked in asking)
    until("both answers", answered)
    for asked in asking:
        assert "ended before it served" in asked.communicate()[1]
        assert asked.returncode == 1
    put_back()
    assert serving(inst) == inst.pid
    upgrade(inst)
    inst.login(inst.users[0]).quit()


@pytest.mark.parametrize("what", ("stop", "manager"))
def test_something_else_meanwhile(make, copy_tree, what):
    """A stop, or manager dies, while the successor starts: it ends, too."""
    tree = copy_tree()
    inst = make(tree=tree).start()
    put_back = never_serves(tree)
    os.kill(inst.pid, signal.SIGUSR2)
    pid, = until("the successor", lambda: children(inst.pid).get("sleep"))
    if what == "stop":
        inst.stop()
    else:
        os.kill(children(inst.pid)["manager"][0], signal.SIGKILL)
    until("the end of the successor", lambda: not alive(pid))
    if what == "manager":
        put_back()
        # a gate of the one that died may greet until it notices
        until("another manager", lambda: inst.ctl("status").returncode == 0)
        upgrade(inst)
        inst.login(inst.users[0]).quit()


def test_a_stop_before_the_successor_is_known_to_serve(make):
    """It is one of both."""
    inst = make().start()
    manager, = children(inst.pid)["manager"]

    def control():
        with contextlib.suppress(FileNotFoundError):    # between two of them
            return os.stat(inst.dir / "run/control").st_ino

    before = control()
    # a role that has not been executed yet has the successor's name
    until("all roles", lambda: "culverd" not in children(inst.pid))
    os.kill(inst.pid, signal.SIGUSR2)
    until("the successor", lambda: children(inst.pid).get("culverd"))
    halt([manager])
    try:
        until("its control socket", lambda: control() not in (None, before))
        # when it answers there, it has said that it serves
        until("its answer", lambda: inst.ctl("metrics").returncode == 0)
        os.kill(inst.pid, signal.SIGTERM)
        inst.wait_log("stopping:")
    finally:
        os.kill(manager, signal.SIGCONT)
    assert inst.proc.wait(60) == 0
    assert inst.wait_gone() == []
    inst.proc = None


def test_an_old_one_whose_manager_dies(make):
    """Nobody is left who would end its sessions after reload_grace: they end
    now, and so does it."""
    inst = make().start_in_background()
    pop = inst.login(inst.users[0])
    old = inst.pid
    inst.proc = Background(drained(inst))
    os.kill(children(old)["manager"][0], signal.SIGKILL)
    assert pop.eof() == b""
    until("the end of the old one", lambda: not alive(old))
    inst.login(inst.users[0]).quit()


def test_a_third_one_is_kept_out(make):
    """Before, between and after: the run_dir is never free."""
    inst = make().start()
    with inst.login(inst.users[0]):
        for _ in range(2):
            other = inst.run("-F")
            assert other.returncode == 69
            assert "another culverd" in other.stderr
            upgrade(inst)
        assert inst.run("-F").returncode == 69
    until("the end of the old ones", lambda: older(inst) == {})
    assert inst.run("-F").returncode == 69
    assert inst.greets()


@pytest.mark.parametrize("how", ("SIGTERM", "SIGKILL"))
def test_who_was_started_stays(make, how):
    """In the foreground, without a service manager: it passes signals on, and
    ends as the last one ends."""
    inst = make().start()
    pop = inst.login(inst.users[0])
    for i in range(2):
        before = serving(inst)
        os.kill(inst.pid, signal.SIGUSR2)
        inst.wait_log("upgraded: process", n=i + 1)
        assert serving(inst) != before
        until("the old gates' end", lambda: "gate" not in children(before))
    pop.quit()
    os.kill(inst.pid, signal.SIGHUP)
    inst.wait_log("reloaded: generation 2")
    if how == "SIGTERM":
        inst.stop()             # sees to the status and to what is left
        return
    os.kill(serving(inst), signal.SIGKILL)
    assert inst.proc.wait(30) == 70
    assert inst.wait_gone() == []
    inst.proc = None


def test_in_the_background(make):
    """Who is replaced ends when its last session does; who is killed after
    that does no harm."""
    inst = make().start_in_background()
    first = inst.pid
    pop = inst.login(inst.users[0])
    second = drained(inst)
    inst.proc = Background(second)
    assert alive(first)
    assert pop.multi("RETR 1") == wire(MESSAGES[0])
    pop.quit()
    until("the end of the first", lambda: not alive(first))
    pop = inst.login(inst.users[0])
    third = drained(inst)
    inst.proc = Background(third)
    os.kill(second, signal.SIGKILL)
    until("the end of the second", lambda: not alive(second))
    assert pop.eof() == b""
    inst.login(inst.users[0]).quit()
    until("the end of all roles but the third's", lambda: older(inst) == {})


def test_a_stop_is_one_of_all(make):
    """Also of those that still finish sessions, in the background, where
    nobody is their parent."""
    inst = make().start_in_background()
    masters = [inst.pid]
    pops = []
    for user in inst.users:
        pops.append(inst.login(user))
        masters.append(drained(inst))
    pops[0].ok("DELE 1")
    inst.proc = Background(masters[3])
    inst.stop()
    until("the end of all", lambda: not any(map(alive, masters)))
    for pop, user in zip(pops, inst.users):
        assert pop.eof() == b""
        inst.wait_log("session-end", f"user={user.name}", "reason=shutdown")
    assert len(inst.users[0].contents()) == 5


def test_who_does_not_read_holds_no_stop_up(make):
    """Whose session is an older culverd's: it has stop_grace, too."""
    inst = make(users=1, limits="stop_grace = 1s idle_time = 1h")
    inst.users[0].deliver(numbered(1, 30_000_000))
    inst.start_in_background()
    old = inst.pid
    with inst.login(inst.users[0]) as pop:
        pop.send("RETR 6\r\n")
        pop.line()
        inst.proc = Background(drained(inst))
        inst.stop()
        until("the end of the old one", lambda: not alive(old))


def test_the_old_one_has_reload_grace(make):
    inst = make(limits="reload_grace = 1s").start()
    pop = inst.login(inst.users[0])
    drained(inst)
    assert pop.eof() == b""
    inst.wait_log("session-end", "user=user1", "reason=shutdown")
    until("the end of the old one", lambda: older(inst) == {})


def test_the_service_manager_hears_who_is_the_main_one(make):
    inst = make()
    heard = ServiceManager(inst)
    inst.start(env={**heard.env, "WATCHDOG_USEC": "1000000"})
    assert heard.next("WATCHDOG=1") == "READY=1"
    heard.forget()
    with inst.login(inst.users[0]) as pop:
        pid = upgrade(inst)
        assert heard.next("WATCHDOG=1") == "RELOADING=1"
        assert heard.next("WATCHDOG=1") == f"MAINPID={pid}"
        # from the new one now, and as often
        for _ in range(3):
            assert heard.next() == "WATCHDOG=1"
        pop.quit()
    # it may end now: nobody waits for it any more
    assert inst.proc.wait(30) == 0
    inst.proc = Background(pid)
    os.kill(pid, signal.SIGTERM)
    assert heard.next("WATCHDOG=1") == "STOPPING=1"
    inst.stop()
    heard.sock.close()


@pytest.mark.needs_root
def test_rights_are_as_before(make):
    """master's capabilities, and nobody else's."""
    inst = make(listen=LISTEN).start()
    before = proc_status(inst.pid)
    for _ in range(2):
        pid = drained(inst)
        after = proc_status(pid)
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
                     "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups"):
            assert after[name] == before[name], name
        assert os.stat(f"/proc/{pid}/mem").st_uid == 0
        with inst.login(inst.users[0]):
            # and the worker
            found = until("all roles", lambda: (
                lambda now: set(ROLES) < set(now) and now)(children(pid)))
            for name in found:
                for child in found[name]:
                    status = proc_status(child)
                    for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb",
                                 "CapBnd"):
                        assert int(status[caps], 16) == 0, (name, caps)
                    assert status["NoNewPrivs"].strip() == "1"
        with open(f"/proc/{inst.pid}/limits") as f, \
                open(f"/proc/{pid}/limits") as g:
            assert f.read() == g.read()
    # no file came along but the log's
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            where = os.readlink(f"/proc/{pid}/fd/{fd}")
            assert where.startswith((
                "/dev/null", "socket:", "anon_inode:", "/memfd:",
                f"{inst.dir}/run/", str(inst.errfile))), where


@pytest.mark.needs_root
def test_without_root(make):
    """Everything the caller's; a capability that it had, it keeps."""
    inst = make(users=1)
    inst.start(prefix=(
        *inst.belong_to(inst.users[0].uid), "--inh-caps=+net_bind_service",
        "--ambient-caps=+net_bind_service"))
    before = proc_status(inst.pid)
    with inst.login(inst.users[0]) as pop:
        pid = upgrade(inst)
        after = proc_status(pid)
        assert after["CapEff"] == before["CapEff"]
        assert after["Uid"] == before["Uid"]
        pop.quit()
    inst.login(inst.users[0], "tls").quit()


def test_a_socket_that_nobody_wants_any_more(make):
    """It ends with an upgrade by a configuration that does not name it, though
    the old ones go on."""
    inst = make(listen='listen more { address = {"{address}:3133"} }')
    inst.start()
    pops = [inst.login(inst.users[0], "tls")]
    upgrade(inst)
    pops.append(inst.login(inst.users[1], "tls"))
    with socket.create_connection((inst.address, 3133)) as s:
        assert s.recv(100).startswith(b"+OK")
    inst.parts["listen"] = ""
    inst.write_conf()
    upgrade(inst)

    def closed():
        with socket.socket() as s:
            return s.connect_ex((inst.address, 3133)) != 0
    until("the end of the listener", closed)
    for pop in pops:
        assert pop.multi("RETR 1") == wire(MESSAGES[0])
        pop.quit()
    inst.login(inst.users[0]).quit()
