"""The units of contrib/systemd: what systemd's own tools say of them, and a
machine that runs them, with a master that is confined as they say.
"""
import contextlib
import json
import os
import re
import ssl
import subprocess
from pathlib import Path

import pytest

import culver
from culver import (PASSWORD, make_certificate, numbered, own_mounts, until,
                    wire)
from machine import CONF, ETC, ROLE_OPTIONS, ROLES, RUN, UNITS, Machine

pytestmark = pytest.mark.once
HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent.parent / "contrib/systemd"
EXPOSURE = 40       # of 100; README.md has the figure of one version
SECONDS = 8         # of which master may be late by half
WATCHDOG = f"[Service]\nWatchdogSec={SECONDS}s\n"


# --- what systemd's tools say ------------------------------------------------

@pytest.mark.needs("systemd-analyze")
@pytest.mark.needs_root     # a mount, for the paths in the units
def test_units_are_right(tree):
    units = [f"/{UNITS}/culver.{kind}" for kind in ("service", "socket")]
    done = subprocess.run(
        [*own_mounts(), "sh", "-euc",
         'mount --bind "$0" /usr/local; exec "$@"', tree / "usr/local",
         "systemd-analyze", "verify", "--man=no", *units],
        capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.needs("systemd-analyze")
def test_hardening(tree):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager",
         f"--threshold={EXPOSURE}", tree / UNITS / "culver.service"],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


def test_capabilities_are_those_of_master(tree):
    """One that is missing would show as a failure at some host, later."""
    unit = (tree / UNITS / "culver.service").read_text()
    master = (HERE.parent.parent / "core/master/master.c").read_text()
    caps = re.search(r"#define CAPS (.*?)\n\n", master, re.S).group(1)
    assert sorted(re.findall(r"CAP_\w+", unit.split("[Service]")[1])) == \
        sorted("CAP_" + c for c in re.findall(r"CAP\((\w+)\)", caps))


@pytest.mark.needs("systemd-sysusers", "systemd-tmpfiles")
@pytest.mark.needs_root     # what they make belongs to root
def test_users_and_folders(tree, tmp_path):
    text = (SOURCE / "culver.sysusers.conf.in").read_text()
    for role, name in ROLES.items():
        text = text.replace(f"@{role}_user@", name)
    assert "@" not in text
    # the tree's users are numbers, which need no account
    assert "\nu " not in (tree / "usr/local/lib/sysusers.d/culver.conf") \
        .read_text()
    (tmp_path / "etc").mkdir()
    users = tmp_path / "users.conf"
    users.write_text(text)
    for tool, conf in (("systemd-sysusers", users),
                       ("systemd-tmpfiles",
                        tree / "usr/local/lib/tmpfiles.d/culver.conf")):
        subprocess.run([tool, f"--root={tmp_path}", conf,
                        *["--create"][:tool == "systemd-tmpfiles"]],
                       check=True)
    rows = [line.split(":") for line in
            (tmp_path / "etc/passwd").read_text().splitlines()]
    assert sorted(row[0] for row in rows) == sorted(ROLES.values())
    for row in rows:
        assert row[5:] == ["/", "/usr/sbin/nologin"]
        assert 0 < int(row[2]) < 1000
    groups = [line.split(":")[0] for line in
              (tmp_path / "etc/group").read_text().splitlines()]
    assert set(ROLES.values()) | {"culver-deliver"} <= set(groups)
    for folder in ("run/culver", "var/lib/culver"):
        found = (tmp_path / folder).stat()
        assert (found.st_mode, found.st_uid, found.st_gid) == (0o40755, 0, 0)


# --- on a machine ------------------------------------------------------------

on_a_machine = pytest.mark.needs_systemd


@pytest.fixture(scope="module")
def whole_machine(tree):
    machine = Machine(tree)
    yield machine
    machine.close()


@pytest.fixture
def machine(whole_machine):
    """With culver.socket and nothing else; what it logged in the end is
    nothing that a confined process would have said."""
    m = whole_machine
    m.ctl("stop", "culver.socket", "culver.service")
    m.ctl("reset-failed")
    m.write_conf()
    m.must("systemctl", "start", "culver.socket")
    yield m
    for line in m.journal().splitlines():
        assert not re.search(r"not permitted|[Pp]ermission denied|EPERM|"
                             r"not implemented", line), m.journal()


@on_a_machine
def test_first_connection_starts_it(machine):
    assert machine.active() == "inactive"
    with machine.login() as pop:
        assert pop.stat() == (0, 0)
        pop.quit()
    until("the service", lambda: machine.active() == "active")
    for mode in ("stls", "tls"):
        machine.login(mode=mode, cafile=machine.dir / "cert.pem").quit()
    if os.path.exists("/proc/net/if_inet6"):
        machine.login(address="::1").quit()


@on_a_machine
def test_the_unit_takes_nothing_away(machine):
    """What culverd wants of the kernel it has in the unit as without it."""
    def status():
        done = machine.run("/usr/local/sbin/culverctl", "--json", "status")
        roles = json.loads(done.stdout)["roles"] \
            if done.returncode == 0 else []
        return len(roles) >= 6 and json.loads(done.stdout) if all(
            r["phase"] == "running" for r in roles) else None

    def missing():
        return {f["feature"] for f in until("all roles", status)["features"]
                if not f["given"]}

    machine.must("systemctl", "start", "culver.service")
    confined = missing()
    machine.must("systemctl", "stop", "culver.socket", "culver.service")
    free = subprocess.Popen(machine.command(
        "/usr/local/sbin/culverd", "-F", *ROLE_OPTIONS))
    assert confined <= missing()
    # nsenter waits for it
    pid = (machine.root / RUN / "pid").read_text().strip()
    machine.must("sh", "-c", f"kill -TERM {pid}")
    assert free.wait(3 * culver.PATIENCE) == 0


@on_a_machine
def test_mail_in_every_storage(machine):
    """Maildir below /home, mbox in a spool where only group mail may make
    dotlocks, SQLite below /srv: in by LMTP, out by POP3, deleted."""
    machine.must("systemctl", "start", "culver.service")
    for i, name in enumerate(("anna", "bert", "carl", "dora")):
        machine.deliver(name, numbered(i))
        with machine.login(name) as pop:
            assert pop.stat()[0] == 1
            got = pop.multi("RETR 1")
            assert got.endswith(wire(numbered(i)))
            pop.ok("DELE 1")
            pop.quit()
        with machine.login(name) as pop:
            assert pop.stat() == (0, 0)
            pop.quit()
    assert not list((machine.root / "var/mail").glob("*.lock"))


@on_a_machine
def test_password_by_pam(machine):
    machine.login("bert").quit()
    with machine.connect() as pop:
        assert pop.login("bert", PASSWORD + "x").startswith(b"-ERR [AUTH]")
    machine.wait_journal("user=bert", "mech=USER", "reason=bad-password")


@on_a_machine
@pytest.mark.needs("/usr/bin/python3")
def test_password_by_a_program(machine):
    machine.login("emil").quit()
    with machine.connect() as pop:
        assert pop.login("emil", PASSWORD + "x").startswith(b"-ERR [AUTH]")


@on_a_machine
def test_reload(machine):
    machine.must("systemctl", "start", "culver.service")
    make_certificate(machine.dir / "new.pem", machine.dir / "new.key")
    for new, name in (("new.pem", "cert.pem"), ("new.key", "key.pem")):
        machine.write(f"{ETC}/{name}", (machine.dir / new).read_text(), 0o600)
    machine.must("systemctl", "reload", "culver.service")

    def has_new_certificate():
        with contextlib.suppress(ssl.SSLCertVerificationError):
            machine.login(mode="tls", cafile=machine.dir / "new.pem").quit()
            return True
    # gates from before may take connections for a moment
    until("the new certificate", has_new_certificate)
    for old in ("cert.pem", "key.pem"):
        machine.write(f"{ETC}/{old}", (machine.dir / old).read_text(), 0o600)

    with machine.login("anna") as held:
        machine.write_conf(CONF + "colour = blue\n")
        done = machine.ctl("reload", "culver.service")
        assert done.returncode != 0
        line = CONF.count("\n") + 1
        machine.wait_journal(f"{ETC}/culver.conf:{line}: ")
        until("the end of the reload",
              lambda: machine.active() == "active")
        machine.login("dora").quit()
        held.quit()
    machine.write_conf()
    machine.must("systemctl", "reload", "culver.service")
    assert machine.show("NRestarts") == "0"


@on_a_machine
def test_wrong_configuration_at_the_start(machine):
    """It says what is wrong and is not tried again and again."""
    machine.must("systemctl", "stop", "culver.socket")
    machine.write_conf(CONF + "colour = blue\n")
    assert machine.ctl("start", "culver.service").returncode != 0
    assert machine.active() == "failed"
    assert machine.show("ExecMainStatus") == "78"
    assert machine.show("NRestarts") == "0"
    machine.wait_journal("culver.conf:", "colour")


@on_a_machine
def test_watchdog(machine):
    """A master that stands still is replaced."""
    machine.dropin("watchdog", WATCHDOG)
    machine.must("systemctl", "start", "culver.service")
    machine.login().quit()
    pid = machine.show("MainPID")
    machine.must("sh", "-c", f"kill -STOP {pid}")
    until("another master", lambda: machine.active() == "active"
          and machine.show("MainPID") not in ("0", pid), 60)
    machine.wait_journal("atchdog")
    machine.login().quit()
    assert machine.show("NRestarts") == "1"
    machine.dropin("watchdog", "")


@on_a_machine
def test_restart_refuses_nobody(machine):
    """Who comes while it is restarted waits in the socket."""
    machine.must("systemctl", "start", "culver.service")
    pid = machine.show("MainPID")
    restart = subprocess.Popen(machine.command("systemctl", "restart",
                                               "culver.service"))
    served = 0
    while restart.poll() is None or served < 20:
        with machine.connect() as pop:      # which reads the greeting
            assert pop.greeting.startswith(b"+OK")
        served += 1
    assert restart.returncode == 0
    assert machine.show("MainPID") != pid
    machine.login().quit()


@on_a_machine
def test_upgrade(machine):
    """systemd follows from process to process, under the hardening; what the
    older ones still have is stopped with the newest one, in good order."""
    before = len(machine.journal())
    machine.must("systemctl", "start", "culver.service")
    machine.dropin("watchdog", WATCHDOG)
    machine.must("systemctl", "restart", "culver.service")
    pids = [machine.show("MainPID")]
    pops = []
    for name in ("anna", "bert", "carl"):
        pops.append(machine.login(name))
        machine.must("/usr/local/sbin/culverctl", "upgrade")
        pids.append(until("another main process", lambda: (
            lambda pid: pid not in ("0", *pids) and pid)(
                machine.show("MainPID"))))
        assert machine.active() == "active"
    pops[0].ok("NOOP")
    pops.pop(0).quit()
    until("the end of the first", lambda: not os.path.exists(
        machine.root / "proc" / pids[0]))

    def fed():
        return int(machine.show("WatchdogTimestampMonotonic")) / 1e6
    # who feeds it for longer than it waits is the main process
    since = fed()
    until("food for the watchdog", lambda: fed() > since + SECONDS,
          pause=0.5)
    assert machine.active() == "active"
    assert machine.show("MainPID") == pids[-1]
    assert machine.show("NRestarts") == "0"
    machine.login("dora").quit()
    machine.must("systemctl", "reload", "culver.service")
    machine.must("systemctl", "stop", "culver.socket", "culver.service")
    for pop in pops:
        assert pop.eof() == b""
    # all of the journal: who has gone when a line comes has no unit any more
    until("the ends of both sessions", lambda: all(re.search(
        f"session-end user={name} .* reason=shutdown", machine.run(
            "journalctl", "-o", "cat", "--no-pager").stdout)
        for name in ("bert", "carl")))
    assert machine.show("Result") == "success"
    assert not re.search("reception only permitted|SIGKILL|not our child",
                         machine.journal()[before:])
    machine.dropin("watchdog", "")


@on_a_machine
def test_stop(machine):
    """All ends, and a reply that is under way is finished before."""
    machine.must("systemctl", "start", "culver.service")
    long = numbered(1, 16 << 20)    # more than sockets hold
    machine.users["bert"].deliver(long)
    with machine.login() as idle, machine.login("bert") as busy:
        busy.ok("RETR 1")
        stop = subprocess.Popen(machine.command(
            "systemctl", "stop", "culver.socket", "culver.service"))
        machine.wait_journal("stopping: 2 sessions")
        assert busy.body() == wire(long)
        assert busy.eof() == idle.eof() == b""
        assert stop.wait(3 * culver.PATIENCE) == 0
    assert machine.active() == "inactive"
    assert machine.show("Result") == "success"
    group = machine.root / "sys/fs/cgroup/system.slice/culver.service"
    with contextlib.suppress(OSError):       # it is removed, too
        assert (group / "cgroup.procs").read_text() == ""
    with pytest.raises(ConnectionRefusedError):
        machine.connect(timeout=culver.PATIENCE)


@on_a_machine
def test_socket_for_lmtp(machine):
    """The example in culver.socket: mail that comes starts it, too."""
    machine.must("systemctl", "stop", "culver.socket")
    unit = (machine.root / UNITS / "culver.socket").read_text()
    example = re.findall(r"^#((?:ListenStream|SocketMode|SocketGroup)=.*)$",
                         unit, re.M)
    assert len(example) == 3
    text = "\n".join(example).replace("postfix", "mail")
    machine.write("etc/systemd/system/culver.socket.d/lmtp.conf",
                  f"[Socket]\n{text}\n")
    machine.must("systemctl", "daemon-reload")
    machine.must("systemctl", "start", "culver.socket")
    (machine.root / RUN / "lmtp").stat()
    machine.deliver("dora", numbered(9))
    assert machine.active() in ("active", "activating")
    with machine.login("dora") as pop:
        assert pop.multi("RETR 1").endswith(wire(numbered(9)))
        pop.ok("DELE 1")
        pop.quit()
    machine.must("systemctl", "reload", "culver.service")
    (machine.root / "etc/systemd/system/culver.socket.d/lmtp.conf").unlink()
    machine.must("systemctl", "daemon-reload")
