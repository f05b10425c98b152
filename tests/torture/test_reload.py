"""Crashes, reloads and stops while clients work: crashed roles come back,
reloads drop no session, a clean stop lets a worker finish its reply."""
import os
import signal
import socket
import time

import pytest

from busy import MODES, Busy, logins
from culver import (Failure, Instance, alive, make_certificate, numbered,
                    tls_context, until, unstuff, wire)

MESSAGES = [numbered(i, 3000) for i in range(1, 6)]


@pytest.fixture
def instance(one_instance):
    inst = one_instance(users=8)
    for user in inst.users:
        user.deliver_all(MESSAGES)
    return inst.start()


@pytest.mark.parametrize("role", ("gate", "auth", "pool", "log", "manager"))
def test_a_crashed_role_comes_back(instance, role):
    """And who was logged in does not notice, but through a dead TLS gate."""
    with instance.login(instance.users[0]) as pop:
        for pid in instance.role(role):
            os.kill(pid, signal.SIGKILL)
        pop.ok("NOOP")
        pop.multi("RETR 1")

        def works():
            try:
                with instance.connect(timeout=5) as other:
                    return other.login("user2").startswith(b"+OK")
            except (OSError, EOFError):
                return False
        until("a login", works)
        until("all roles", lambda: instance.role(role))
        assert pop.quit().startswith(b"+OK")
    instance.wait_log("session-end", "user=user2")


def test_a_killed_worker_is_logged(instance):
    with instance.login(instance.users[0], "tls") as pop:
        os.kill(instance.role("worker")[0], signal.SIGKILL)
        assert pop.eof() == b""
    instance.wait_log("session-end", "user=user1", "signal-9")
    instance.login(instance.users[0]).quit()


def read_all(pop):
    for n in (1, 2, 3, 4, 5) * 4:
        if pop.multi(f"RETR {n}") != wire(MESSAGES[n - 1]):
            raise Failure("wrong octets")
        if pop.stat()[0] != 5:
            raise Failure("wrong count")
        time.sleep(0.002)       # so that reloads come in the middle


@pytest.mark.timeout(240)
def test_fifty_reloads_under_load(instance):
    """Long sessions and short ones; not one is dropped or refused."""
    long = [instance.login(u, m) for u, m in zip(instance.users[6:],
                                                 ("plain", "tls"))]
    clients = logins(instance, instance.users[:6], read_all)
    try:
        for i in range(50):
            instance.reload()
            for pop in long:
                assert pop.stat()[0] == 5
            assert not clients.errors
    finally:
        clients.join()
    assert clients.count >= 10
    for pop in long:
        assert pop.multi("RETR 3") == wire(MESSAGES[2])
        assert pop.quit().startswith(b"+OK")
    # of fifty generations only the last one is left
    until("the end of the old ones", lambda: len(
        instance.role("gate")) <= (os.cpu_count() or 1))
    until("one coordinator", lambda: len(instance.role("auth")) == 1)


@pytest.mark.timeout(240)
def test_every_connection_is_served_during_reloads(instance):
    """Also when a certificate is renewed in place each time, so that the
    files change while gates start: they serve what was checked."""
    context = tls_context()

    def visit(mode):
        with instance.connect(mode, context=context) as pop:
            if not pop.quit().startswith(b"+OK"):
                raise Failure("QUIT")
    visitors = Busy(visit, [(m,) for m in ("tls", "tls", "stls", "plain")])
    try:
        for _ in range(30):
            make_certificate(instance.cert, instance.key, ("localhost",))
            instance.reload()
    finally:
        visitors.join()
    assert visitors.count >= 100
    assert not instance.log_lines("tls-not-available")


def test_a_spent_gate_serves_until_another_does(copy_tree):
    """With one gate nobody has to wait for its successor to start."""
    tree = copy_tree()
    program = tree / "usr/local/libexec/culver/gate"
    with Instance(tree, users=1, top="gates = 1",
                  limits="gate_logins = 2") as inst:
        first = inst.role("gate")
        program.rename(program.with_suffix(".away"))
        for _ in range(4):
            inst.login().quit()
        inst.wait_log("gate", "ended with status")   # it cannot be started
        assert inst.role("gate") == first
        inst.login(mode="tls").quit()
        program.with_suffix(".away").rename(program)
        until("the successor", lambda: inst.role("gate") and
              first[0] not in inst.role("gate"))
        inst.login().quit()


def test_reload_by_signals_in_a_row(instance):
    """Twenty SIGHUPs at once are at least one reload and no trouble."""
    for _ in range(20):
        os.kill(instance.pid, signal.SIGHUP)
    instance.login(instance.users[0]).quit()
    # EBUSY as long as one of them is under way
    until("a reload", lambda: instance.ctl("reload").returncode == 0)
    instance.login(instance.users[1]).quit()


@pytest.mark.parametrize("mode", MODES)
def test_clean_stop_finishes_a_reply(instance, mode):
    """SIGTERM in the middle of a RETR: the message comes whole, then the
    connection ends; what is pipelined behind it is not begun."""
    user = instance.users[0]
    big = numbered(77, 15_000_000)
    name = user.deliver(big)
    with instance.login(user, mode) as pop:
        n = next(n for n, u in pop.uidls().items() if u == name)
        pop.ok("DELE 1")
        pop.send(f"RETR {n}\r\nQUIT\r\n")
        assert pop.line().startswith(b"+OK")
        instance.processes()
        os.kill(instance.pid, signal.SIGTERM)
        assert unstuff(pop.body()) == wire(big)
        rest = pop.eof()
        assert rest == b"" or rest.startswith((b"+OK", b"-ERR"))
    assert instance.proc.wait(20) == 0
    assert instance.wait_gone() == []
    instance.proc = None
    # QUIT was either not begun, or done in full
    assert len(user.files()) == (5 if rest.startswith(b"+OK") else 6)


@pytest.mark.parametrize("sig", (signal.SIGTERM, signal.SIGINT))
def test_clean_stop_ends_idle_sessions(instance, sig):
    pops = [instance.login(u, m) for u, m in zip(instance.users, MODES)]
    for pop in pops:
        pop.ok("DELE 1")
    start = time.monotonic()
    os.kill(instance.pid, sig)
    for pop in pops:
        rest = pop.eof()
        assert rest == b"" or rest.startswith(b"-ERR")
    assert instance.proc.wait(20) == 0
    assert time.monotonic() - start < 15
    assert instance.wait_gone() == []
    instance.proc = None
    for user in instance.users[:3]:
        assert len(user.files()) == 5       # no QUIT, no UPDATE


def test_stop_has_a_limit(one_instance):
    """A client that does not read cannot hold the stop up for ever."""
    inst = one_instance(users=1, limits='stop_grace = "2s"')
    inst.users[0].deliver(numbered(1, 30_000_000))
    inst.start()
    with inst.login() as pop:
        pop.send("RETR 1\r\n")
        pop.line()
        os.kill(inst.pid, signal.SIGTERM)
        inst.proc.wait(20)
        assert inst.wait_gone() == []
        inst.proc = None


def test_a_second_master_is_refused(instance):
    """The same run_dir: it says so, ends, and harms nothing."""
    result = instance.run("-F", timeout=30)
    assert result.returncode != 0
    assert instance.dir.name in result.stdout + result.stderr or \
        instance.address in result.stdout + result.stderr
    instance.login(instance.users[0]).quit()
    assert instance.ctl("status").returncode == 0


def test_kick(instance):
    with instance.login(instance.users[0], "tls") as pop, \
            instance.login(instance.users[1]) as other:
        pop.ok("DELE 1")
        result = instance.ctl("kick", instance.users[0].name)
        assert result.returncode == 0, result.stderr
        pop.eof()
        other.ok("NOOP")
        other.quit()
    assert len(instance.users[0].files()) == 5
    instance.login(instance.users[0]).quit()


def test_who_and_status(instance):
    with instance.login(instance.users[0], "tls"):
        who = instance.ctl("who")
        assert who.returncode == 0 and instance.users[0].name in who.stdout
        assert instance.users[1].name not in who.stdout
        import json
        rows = json.loads(instance.ctl("who", "--json").stdout)
        rows = rows if isinstance(rows, list) else next(
            v for v in rows.values() if isinstance(v, list))
        assert [r["user"] for r in rows] == [instance.users[0].name]
        # the copy of master that has answered may not be gone yet
        until("no worker but this", lambda: [r["pid"] for r in rows] ==
              instance.role("worker"))
        status = instance.ctl("status")
        assert status.returncode == 0
        for pid in instance.role("gate") + instance.role("auth"):
            assert str(pid) in status.stdout
        json.loads(instance.ctl("status", "--json").stdout)
    until("an empty list", lambda: instance.users[0].name not in
          instance.ctl("who").stdout)
    assert all(alive(p) for p in instance.role("gate"))


def descriptors(instance, role):
    return len(os.listdir(f"/proc/{instance.role(role)[0]}/fd"))


def test_refused_reloads_leave_nothing_behind(instance):
    """However late it was found out: no descriptor stays open, neither in
    manager nor in master, and no memory."""
    good = instance.conf.read_text()
    other = instance.dir / "other.pem"
    make_certificate(instance.dir / "unused.pem", other, ("localhost",))
    with socket.create_server((instance.address, 3123)):
        late = {
            "mistake": good + "colour = blue\n",
            "certificate": good.replace(str(instance.key), str(other)),
            "address": good + 'listen busy { address = '
                              f'{{"{instance.address}:3123"}} }}\n',
            "run_dir": good.replace("/run\"", "/run2\""),
        }
        for round_ in range(4):
            if round_ == 1:     # what the first ones left may be kept
                before = {r: descriptors(instance, r)
                          for r in ("master", "manager")}
            for text in late.values():
                instance.write_conf(text)
                if text is late["run_dir"]:     # culverctl would look there
                    n = len(instance.log_lines("run_dir cannot change"))
                    os.kill(instance.pid, signal.SIGHUP)
                    instance.wait_log("run_dir cannot change", n=n + 1)
                else:
                    assert instance.ctl("reload").returncode != 0
    until("no surplus descriptor", lambda: {
        r: descriptors(instance, r) for r in before} == before, 5)
    instance.write_conf(good)
    instance.reload()
    instance.login(instance.users[0]).quit()


def test_a_manager_that_finds_a_bad_configuration(one_instance):
    """Nobody is at a terminal any more: what is wrong goes where the log went,
    once; sessions go on; when it is right again, so is the service."""
    inst = one_instance(users=1, top="log_level = info")
    inst.users[0].deliver_all(MESSAGES)
    inst.start_in_background()
    good = inst.conf.read_text()
    n = len(good.splitlines()) + 1
    with inst.login(inst.users[0]) as pop:
        inst.write_conf(good + "colour = blue\n")
        os.kill(inst.role("manager")[0], signal.SIGKILL)
        inst.wait_log(f"error {inst.conf}:{n}:", "colour")
        inst.write_conf(good + "\ncolour = red\n")
        os.kill(inst.pid, signal.SIGHUP)        # do not wait for the next try
        inst.wait_log(f"error {inst.conf}:{n + 1}:", "colour")
        os.kill(inst.pid, signal.SIGHUP)
        inst.write_conf(good)
        os.kill(inst.pid, signal.SIGHUP)
        until("the service", inst.greets)
        assert len(inst.log_lines(f"{inst.conf}:{n}:")) == 1
        assert len(inst.log_lines(f"{inst.conf}:{n + 1}:")) == 1
        assert pop.multi("RETR 1") == wire(MESSAGES[0])
        pop.quit()


def test_stop_in_the_middle_of_a_reload(instance):
    os.kill(instance.pid, signal.SIGHUP)
    os.kill(instance.pid, signal.SIGTERM)
    assert instance.proc.wait(15) == 0
    assert instance.wait_gone() == []
    instance.proc = None
