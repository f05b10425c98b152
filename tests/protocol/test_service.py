"""culverd under a service manager: sockets that were made before it, what it
tells, and how often it says that it is alive."""
import contextlib
import os
import signal
import socket
import sys
import time

import pytest

from culver import PORT, TLS_PORT, ServiceManager, all_processes, until

pytestmark = pytest.mark.once

# argv: descriptors, comma separated, and the command.
LAUNCH = """
import os, sys
fds = [os.dup(int(x)) for x in sys.argv[1].split(",")]
for i, fd in enumerate(fds):
    os.dup2(fd, 100 + i)
for i in range(len(fds)):
    os.dup2(100 + i, 3 + i)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


def activate(inst, sockets):
    fds = [s.fileno() for s in sockets]
    return inst.start(prefix=[sys.executable, "-c", LAUNCH,
                              ",".join(map(str, fds))], pass_fds=fds)


def inode(fd):
    return os.stat(f"/proc/self/fd/{fd}").st_ino


def inodes(inst):
    """What gates have open; one may end, or close, meanwhile."""
    found = set()
    for pid in inst.role("gate"):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found.add(os.stat(f"/proc/{pid}/fd/{fd}").st_ino)
    return found


@pytest.mark.needs_root      # /proc shows nobody else what a gate has open
def test_sockets_of_the_service_manager(make_instance):
    """They are used, before and after a reload; what has no address of a
    listen section is named."""
    inst = make_instance(users=1)
    inst.parts["listen"] = 'listen local { address = {"unix:' \
        f'{inst.dir}/run/pop3"' + "} }"
    inst.write_conf()
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(
            socket.create_server((inst.address, PORT)))
        local = stack.enter_context(socket.socket(socket.AF_UNIX))
        local.bind(str(inst.dir / "run/pop3"))
        local.listen()
        other = stack.enter_context(
            socket.create_server((inst.address, 3132)))
        udp = stack.enter_context(
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        # we keep them open, so nobody else could bind to them
        activate(inst, [plain, other, local, udp])
        inst.login(inst.users[0]).quit()
        inst.login(inst.users[0], "tls").quit()     # which master made
        inst.reload()
        inst.login(inst.users[0]).quit()
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(str(inst.dir / "run/pop3"))
            assert c.recv(100).startswith(b"+OK")
        text = inst.log_text()
        assert "that no section listen has" in text and "no listening" in text
        assert text.count("no section listen has") == 1
        wanted = {inode(plain.fileno()), inode(local.fileno())}
        until("gates that listen there", lambda: wanted <= inodes(inst))
        inst.stop()


def test_sockets_go_on_to_the_next_binary(make_instance):
    """And stay the service manager's: a successor whose manager dies has them
    as one that was started with them."""
    inst = make_instance(users=1)
    with socket.create_server((inst.address, PORT)) as plain:
        activate(inst, [plain])
        for _ in range(2):
            result = inst.ctl("upgrade")
            assert (result.returncode, result.stderr) == (0, ""), result
            inst.login(inst.users[0]).quit()
        before, parents = inst.roles(), all_processes()
        master = int((inst.dir / "run/pid").read_text())
        newest, = (p for p in before["manager"]
                   if p in parents and parents[p][0] == master)
        os.kill(newest, signal.SIGKILL)
        until("the end of the gates", lambda: not (
            set(inst.role("gate")) & set(before["gate"])))
        until("a greeting", inst.greets)
        inst.login(inst.users[0]).quit()
        inst.stop()


@pytest.mark.needs_root      # as above: master
def test_descriptors_for_somebody_else(make_instance):
    """LISTEN_PID is not ours: what is open at the start is closed."""
    inst = make_instance(users=1)
    with socket.create_server((inst.address, 3133)) as other:
        inst.start(pass_fds=[other.fileno()], env={
            **os.environ, "LISTEN_FDS": "9", "LISTEN_PID": str(os.getpid())})
        mine = {os.stat(f"/proc/{inst.pid}/fd/{fd}").st_ino
                for fd in os.listdir(f"/proc/{inst.pid}/fd")}
        assert inode(other.fileno()) not in mine
        inst.stop()


def test_what_the_service_manager_hears(make_instance):
    inst = make_instance(users=1)
    heard = ServiceManager(inst)
    inst.start(env={**heard.env, "WATCHDOG_USEC": "500000"})
    assert heard.next("WATCHDOG=1") == "READY=1"
    for _ in range(3):      # more often than every 10 s
        assert heard.next("READY=1") == "WATCHDOG=1"
    before = time.monotonic_ns() // 1000
    os.kill(inst.pid, signal.SIGHUP)
    assert heard.next("READY=1", "WATCHDOG=1") == "RELOADING=1"
    told, = heard.more      # Type=notify-reload: after the signal
    name, number = told.split("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(number) <= time.monotonic_ns() // 1000
    assert heard.next("WATCHDOG=1") == "READY=1"
    inst.write_conf(inst.conf_text() + "colour = blue\n")
    os.kill(inst.pid, signal.SIGHUP)        # refused: ready all the same
    assert heard.next("READY=1", "WATCHDOG=1") == "RELOADING=1"
    assert heard.next("WATCHDOG=1") == "READY=1"
    os.kill(inst.pid, signal.SIGTERM)
    assert heard.next("READY=1", "WATCHDOG=1") == "STOPPING=1"
    until("the end", lambda: inst.proc.poll() is not None)
    assert inst.wait_gone() == []
    inst.proc = None
    heard.sock.close()


def test_log_under_a_service_manager(make_instance):
    """Without -F it stays, as a service manager wants it, and logs where the
    configuration says; what is wrong at the start it says on stderr."""
    inst = make_instance(users=1)
    heard = ServiceManager(inst)
    good = inst.conf_text()
    inst.write_conf(good + "colour = blue\n")
    inst.start(wait=False, flags=(), env=heard.env)
    until("the end", lambda: inst.proc.poll() is not None)
    assert inst.proc.returncode == 78
    assert "colour" in inst.errfile.read_text()
    inst.proc = None
    inst.errfile.unlink()
    inst.write_conf(good)
    inst.start(flags=(), env=heard.env)     # it ends with this process, too
    assert heard.next("WATCHDOG=1") == "READY=1"
    inst.login(inst.users[0]).quit()
    inst.wait_log("session-end", "user=user1")
    assert "session-end" in inst.logfile.read_text()
    assert inst.errfile.read_text() == ""
    inst.stop()
    heard.sock.close()
