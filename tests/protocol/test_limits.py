"""Time-outs and counts of the `limits` section, with small values."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from culver import PORT, Pop, halt, numbered, until
from metrics import by_ctl

MODES = ("plain", "stls", "tls")


@pytest.fixture(scope="module")
def short(make_instance):
    """Short times; idle_time below ten minutes is only warned about."""
    inst = make_instance(users=3, limits='login_time = "2s" idle_time = "2s"')
    for u in inst.users:
        u.deliver_all(numbered(i) for i in (1, 2))
    return inst.start()


def ends(pop, least=0.5, most=15):
    """The server closes, not at once and not never."""
    start = time.monotonic()
    rest = pop.eof()
    assert least <= time.monotonic() - start <= most
    return rest


@pytest.mark.parametrize("mode", MODES)
def test_login_time(short, mode):
    with short.connect(mode) as pop:
        ends(pop)


def test_login_time_counts_from_accept(short):
    """A client that keeps talking does not win time."""
    with short.connect() as pop:
        start = time.monotonic()
        with pytest.raises((EOFError, OSError)):
            while time.monotonic() - start < 15:
                pop.multi("CAPA")
                time.sleep(0.2)
        assert time.monotonic() - start < 10


@pytest.mark.parametrize("port", (3110, 3995))
def test_silent_from_the_start(short, port):
    with Pop(short.address, port=port, greet=False) as pop:
        rest = ends(pop)
        assert rest.startswith(b"+OK") or port == 3995


def test_silent_in_the_handshake(short):
    with Pop(short.address) as pop:
        pop.ok("STLS")
        pop.send(b"\x16\x03\x01\x02\x00\x01\x00")
        ends(pop)


@pytest.mark.parametrize("mode", MODES)
def test_idle_time(short, mode):
    """RFC 1939 section 3: closed without a reply that looks like an answer
    to the next command, and no UPDATE."""
    user = short.users[0]
    with short.login(user, mode) as pop:
        pop.ok("DELE 1")
        rest = ends(pop)
        assert rest == b"" or rest.startswith(b"-ERR")
    with short.login(user) as pop:
        assert pop.stat()[0] == 2
    short.wait_log("session-end", user.name, "timeout")


def test_idle_time_starts_again_with_each_command(short):
    user = short.users[1]
    with short.login(user) as pop:
        end = time.monotonic() + 4
        while time.monotonic() < end:
            pop.ok("NOOP")
            time.sleep(0.25)
        pop.quit()


def test_one_octet_a_second_is_idle(short):
    """Octets are no commands."""
    with short.login(short.users[1]) as pop:
        start = time.monotonic()
        with pytest.raises((EOFError, OSError)):
            while time.monotonic() - start < 15:
                pop.send("N")
                time.sleep(0.3)
                pop.sock.settimeout(0.01)
                try:
                    pop.fill()
                except TimeoutError:
                    pass
        assert time.monotonic() - start < 12


@pytest.mark.parametrize("mode", ("plain", "tls"))
def test_a_client_that_does_not_read(short, mode):
    """The reply is stuck: the session ends and frees the lock."""
    user = short.users[2]
    user.deliver(numbered(3, 20_000_000))
    try:
        with short.login(user, mode) as pop:
            pop.send("RETR 3\r\n")
            until("the end of the session", lambda: short.log_lines(
                "session-end", user.name), 25)
            with short.login(user) as other:
                other.quit()
    finally:
        user.empty()
        user.deliver_all(numbered(i) for i in (1, 2))


def held(inst, source, tries, most=None):
    """What a client of SOURCE gets with so many TRIES; at most MOST."""
    pops, refused = [], 0
    for _ in range(tries):
        if len(pops) == most:
            break
        try:
            pop = Pop(inst.address, source=source, timeout=20)
            if pop.greeting.startswith(b"+OK"):
                pops.append(pop)
                continue
            pop.close()
        except (EOFError, OSError):
            pass
        refused += 1
    return pops, refused


def few_an_address(make_instance, gates):
    inst = make_instance(users=1, top=f"gates = {gates}")
    inst.write_conf(inst.conf_text().replace(
        "connections_per_ip = 20000", "connections_per_ip = 5"))
    return inst.start()


def test_connections_per_ip(make_instance):
    """All gates together count them."""
    inst = few_an_address(make_instance, 4)
    pops, refused = held(inst, "127.0.0.9", 40)
    assert len(pops) == 5 and refused == 35
    with Pop(inst.address, source="127.0.0.10") as pop:
        pop.ok("QUIT")      # another address is not affected
    pops.pop().close()
    until("a place again", lambda: greeted(inst, "127.0.0.9"))
    for pop in pops:
        pop.close()


def test_connections_per_ip_of_old_gates(make_instance):
    """Those that gates from before a reload still hold count; those of a gate
    that died do not."""
    inst = few_an_address(make_instance, 3)
    pops, _ = held(inst, "127.0.0.9", 40)
    assert len(pops) == 5
    old = set(inst.role("gate"))
    inst.reload()
    until("other gates", lambda: set(inst.role("gate")) - old)
    assert held(inst, "127.0.0.9", 10) == ([], 10)
    for pid in old & set(inst.role("gate")):
        os.kill(pid, signal.SIGKILL)
    for pop in pops:
        with pytest.raises((EOFError, OSError)):
            pop.line()
        pop.close()
    again = []
    until("places for all again", lambda: again.extend(
        held(inst, "127.0.0.9", 40, 5 - len(again))[0]) or len(again) == 5)
    assert held(inst, "127.0.0.9", 10) == ([], 10)
    for pop in again:
        pop.close()


FEW = ("prlimit", "--nofile=400:400")   # room for 72 connections a gate


def test_few_descriptors_silence_no_client(make_instance):
    """Where there are too few for `connections`, so many are taken as there
    are descriptors for, by all gates, and the others are turned away; this
    is said once, and `status` shows it."""
    inst = make_instance(users=1, top="gates = 2")
    inst.start(prefix=FEW)
    assert len(inst.wait_log("at most 144 connections and 201 sessions")) == 1
    assert not inst.log_lines("gate", "descriptors")
    assert "connections at most 144," in inst.ctl("status").stdout
    status = json.loads(inst.ctl("status", "--json").stdout)
    assert status["connections_max"] == 144
    assert status["sessions_max"] == 201
    held = []
    for _ in range(144):
        held.append(inst.connect(timeout=10))
        assert held[-1].greeting.startswith(b"+OK")
    for _ in range(5):
        with inst.connect(timeout=10) as pop:
            assert pop.greeting.startswith(b"-ERR [SYS/TEMP]")
            assert pop.eof() == b""
    inst.wait_log("limit", "what=connections")
    for pop in held:
        pop.close()
    until("a place again", lambda: greeted(inst, None))


def switches(pid):
    """How often it has waited for something."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("voluntary_ctxt_switches:")[1].split()[0])


def test_full_gate_leaves_clients_to_others(make_instance):
    """However long these need: only where no gate has room is one refused."""
    inst = make_instance(users=1, top="gates = 2",
                         limits="connections = 8").start()
    full, slow = inst.role("gate")
    until("nobody", lambda: by_ctl(inst).get("culver_connections") == 0)
    address = (inst.address, PORT)
    with contextlib.ExitStack() as stack:
        halt([slow])
        stack.callback(os.kill, slow, signal.SIGCONT)
        for _ in range(4):
            pop = stack.enter_context(inst.connect())
            assert pop.greeting.startswith(b"+OK")
        late = [stack.enter_context(socket.create_connection(address, 20))
                for _ in range(4)]
        before = switches(full)
        until("the full one to look again", lambda:
              switches(full) >= before + 3)
        os.kill(slow, signal.SIGCONT)
        for sock in late:
            assert sock.recv(512).startswith(b"+OK")
        with inst.connect() as pop:
            assert pop.greeting.startswith(b"-ERR [SYS/TEMP]")
    until("a place again", lambda: greeted(inst, None))


def test_more_connections_than_descriptors_is_a_warning(make_instance):
    """If somebody asked for them: with the line where he did."""
    inst = make_instance(users=1, top="gates = 2",
                         limits="connections = 5000\nsessions = 300")
    said = subprocess.run([*FEW, *inst.argv("-t")], capture_output=True,
                          text=True, timeout=60)
    assert said.returncode == 0
    lines = inst.conf.read_text().splitlines()
    for key, most in (("connections", 144), ("sessions", 201)):
        at = next(i for i, line in enumerate(lines, 1) if key + " =" in line)
        assert f"{inst.conf}:{at}: warning: limits: {key}: 400 " in \
            said.stderr
        assert f"enough for {most} of them" in said.stderr


def test_sessions_are_bounded_by_descriptors(make_instance):
    """Those over the bound are answered, and nobody is ended for it."""
    inst = make_instance(users=4, limits="sessions = 3")
    inst.start()
    pops = [inst.login(user) for user in inst.users[:3]]
    with inst.connect() as pop:
        assert pop.login("user4").startswith(b"-ERR [SYS/TEMP]")
        pops.pop().quit()
        until("a place again", lambda: pop.login("user4").startswith(b"+OK"))
    inst.wait_log("limit what=sessions")
    for pop in pops:
        pop.ok("NOOP")
        pop.quit()


def greeted(inst, source):
    try:
        with Pop(inst.address, source=source, timeout=5) as pop:
            return pop.greeting.startswith(b"+OK")
    except (EOFError, OSError):
        return False


def test_failure_delay(make_instance):
    """It doubles, and parallel attempts get a place each behind the other:
    n at once are not cheaper than n in a row."""
    inst = make_instance(users=1)
    inst.write_conf(inst.conf_text().replace(
        'failure_delay = "10ms"', 'failure_delay = "200ms"').replace(
        'failure_delay_max = "10ms"', 'failure_delay_max = "800ms"'))
    inst.start()
    start = time.monotonic()
    with inst.connect() as pop:
        for _ in range(3):
            assert pop.login("user1", "wrong").startswith(b"-ERR [AUTH]")
    in_a_row = time.monotonic() - start
    assert in_a_row >= 0.2 + 0.4
    start = time.monotonic()
    pops = [inst.connect() for _ in range(5)]
    for pop in pops:
        pop.send("USER nobody\r\nPASS wrong\r\n")
    for pop in pops:
        assert pop.line().startswith(b"+OK")
        assert pop.line().startswith(b"-ERR [AUTH]")
        pop.close()
    assert time.monotonic() - start >= 1.0


@pytest.mark.parametrize("how", ("reload", "crash"))
def test_failure_delay_outlives_the_coordinator(make_instance, how):
    """Who guesses gains nothing by a reload, or by a crash."""
    inst = make_instance(users=1)
    inst.write_conf(inst.conf_text().replace(
        'failure_delay = "10ms"', 'failure_delay = "500ms"').replace(
        'failure_delay_max = "10ms"', 'failure_delay_max = "2s"'))
    inst.start()
    with inst.connect() as pop:
        for _ in range(2):
            assert pop.login("user1", "wrong").startswith(b"-ERR [AUTH]")
    old = inst.role("auth")
    if how == "reload":
        inst.reload()
    else:
        os.kill(old[0], signal.SIGKILL)
    until("another coordinator", lambda: inst.role("auth") and
          old[0] not in inst.role("auth") and greeted(inst, None))

    def fails():
        """The time that a wrong password takes; 0: nobody looked at it."""
        start = time.monotonic()
        try:
            with inst.connect() as pop:
                if pop.login("user1", "wrong").startswith(b"-ERR [AUTH]"):
                    return time.monotonic() - start
        except EOFError:
            pass
        return 0
    # 0.5 s and 1 s are over: now 2 s, but 0.5 s again for a newcomer
    assert until("an answer", fails) >= 1.5


def test_right_password_is_not_delayed_by_others(make_instance):
    """A stranger's failures must not lock a user out."""
    inst = make_instance(users=1)
    inst.write_conf(inst.conf_text().replace("10ms", "15s"))
    inst.start()
    with inst.connect(source="127.0.0.11") as bad:
        bad.send("USER nobody\r\nPASS wrong\r\n")
        with inst.connect(source="127.0.0.12", timeout=10) as pop:
            assert pop.login("user1").startswith(b"+OK")
