"""What each role really has, read from /proc: uid, gid, groups, capabilities,
no_new_privs, seccomp, root directory and open descriptors (DESIGN section 3).
"""
import hashlib
import os
import re
import signal
import stat

import pytest

from culver import ROLE_IDS, Failure, cmdline, numbered, proc_status, until

ROLE_USER = {"gate": "gate", "auth": "auth", "pool": "auth", "log": "log",
             "manager": "config"}
CAP_SYS_RESOURCE = 24
pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=4, limits="gid_min = 100")
    for user in inst.users:
        user.deliver(numbered(1))
    return inst.start()


@pytest.fixture(scope="module")
def sessions(instance):
    """A plain and a TLS session with work done, so nothing is at its start."""
    pops = [instance.login(instance.users[0]),
            instance.login(instance.users[1], "tls"),
            instance.login(instance.users[2], "stls")]
    for pop in pops:
        pop.multi("RETR 1")
    yield pops
    for pop in pops:
        pop.quit()


def descriptors(pid):
    """fd -> where it leads."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            pass
    return found


def listening():
    """Inodes of the listening TCP sockets of this machine."""
    inodes = set()
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}") as f:
            for line in list(f)[1:]:
                fields = line.split()
                if fields[3] == "0A":
                    inodes.add(f"socket:[{fields[9]}]")
    return inodes


def tcp():
    with open("/proc/net/tcp") as f:
        return {f"socket:[{line.split()[9]}]" for line in list(f)[1:]}


def workers(instance):
    """uid -> pid."""
    return {int(proc_status(p)["Uid"].split()[0]): p
            for p in instance.role("worker")}


def check_ids(pid, uid, gid):
    status = proc_status(pid)
    assert status["Uid"].split() == [str(uid)] * 4
    assert status["Gid"].split() == [str(gid)] * 4
    assert status["Groups"].split() == []


def check_powerless(pid):
    status = proc_status(pid)
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    # not dumpable: /proc/PID belongs to root, whatever the process is
    assert os.stat(f"/proc/{pid}/mem").st_uid == 0


def test_every_role_is_there(instance):
    roles = instance.roles()
    assert len(roles["master"]) == 1 and len(roles["auth"]) == 1
    assert len(roles["log"]) == 1
    assert roles["pool"] and roles["gate"]
    # config and certcheck have ended
    assert "config" not in roles and "certcheck" not in roles


@pytest.mark.parametrize("role", sorted(ROLE_USER))
def test_executed_role(instance, sessions, role):
    number = ROLE_IDS[ROLE_USER[role]]
    for pid in instance.role(role):
        check_ids(pid, number, number)
        check_powerless(pid)
        assert int(proc_status(pid)["CapBnd"], 16) == 0


def test_master(instance, sessions):
    """root, but with the capabilities it needs and no other."""
    status = proc_status(instance.pid)
    assert status["Uid"].split() == ["0"] * 4
    sys_admin, sys_ptrace, sys_module, net_raw, net_admin = 21, 19, 16, 13, 12
    for cap in (sys_admin, sys_ptrace, sys_module, net_raw, net_admin):
        assert not int(status["CapEff"], 16) >> cap & 1, cap
    # what it executes can have no more than what a role needs to chroot
    sys_chroot = 18
    assert int(status["CapBnd"], 16) == 1 << sys_chroot


def test_master_maps_no_plugin_and_no_tls(instance, sessions):
    with open(f"/proc/{instance.pid}/maps") as f:
        maps = f.read()
    for word in ("/culver/0/", "libssl", "libcrypto", "libseccomp",
                 "libcrypt.so", "libsqlite", "libnss_", "storage_", "auth_"):
        assert word not in maps, word


def test_gate_lives_in_an_empty_root(instance, sessions):
    for pid in instance.role("gate"):
        assert os.listdir(f"/proc/{pid}/root/") == []
        with pytest.raises(OSError):
            os.stat(f"/proc/{pid}/root/etc")


def test_gate_descriptors(instance, sessions):
    """Listening sockets, its clients, channels: no file of the disk."""
    for pid in instance.role("gate"):
        for fd, where in descriptors(pid).items():
            assert where.startswith(("socket:", "anon_inode:", "/dev/null",
                                     "/memfd:", "pipe:")) or fd <= 2, where


def test_auth_coordinator_descriptors(instance, sessions):
    """No file, no network."""
    net = tcp()
    for pid in instance.role("auth"):
        for where in descriptors(pid).values():
            assert where.startswith(("socket:", "anon_inode:", "/dev/null",
                                     "/memfd:")), where
            assert where not in net


def test_pool_descriptors(instance, sessions):
    net = tcp()
    for pid in instance.role("pool"):
        for where in descriptors(pid).values():
            assert where.startswith(("socket:", "anon_inode:", "/dev/null",
                                     "/memfd:", str(instance.userfile))), \
                where
            assert where not in net


def test_log_descriptors(instance, sessions):
    for pid in instance.role("log"):
        for where in descriptors(pid).values():
            assert where.startswith(("socket:", "anon_inode:", "/dev/null",
                                     "/memfd:", "pipe:",
                                     str(instance.logfile),
                                     str(instance.errfile))), where


def test_worker_ids(instance, sessions):
    found = workers(instance)
    for user in instance.users[:3]:
        check_ids(found[user.uid], user.uid, user.gid)


def test_worker_is_powerless(instance, sessions):
    for pid in workers(instance).values():
        check_powerless(pid)
        assert int(proc_status(pid)["CapBnd"], 16) == 0
        with open(f"/proc/{pid}/limits") as f:
            limits = f.read()
        nproc = next(line for line in limits.splitlines()
                     if line.startswith("Max processes"))
        assert nproc.split()[2:4] == ["0", "0"]


def test_worker_descriptors(instance, sessions):
    """Its client, its channel, its mailbox: no listening socket, no user
    database, no other session's socket or mailbox."""
    found = workers(instance)
    listeners = listening()
    sockets = {}
    for user in instance.users[:3]:
        pid = found[user.uid]
        fds = descriptors(pid)
        assert len(fds) <= 12, fds
        for where in fds.values():
            assert where not in listeners
            assert where.startswith(("socket:", "/dev/null", "/memfd:",
                                     "anon_inode:", str(user.maildir))), where
            assert not where.startswith(str(instance.userfile))
        assert sum(w.startswith("socket:") for w in fds.values()) <= 2
        for where in fds.values():
            if where.startswith("socket:"):
                assert where not in sockets, "shared with another worker"
                sockets[where] = pid


def test_worker_holds_no_ticket_key(instance, sessions):
    """Its only memfd is its storage section's snapshot, sealed."""
    import fcntl
    for pid in workers(instance).values():
        memfds = [fd for fd, where in descriptors(pid).items()
                  if where.startswith("/memfd:")]
        assert len(memfds) <= 1
        for fd in memfds:
            copy = os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY)
            try:
                seals = fcntl.fcntl(copy, 1034)     # F_GET_SEALS
                assert seals & 0xe == 0xe           # shrink, grow, write
                assert os.fstat(copy).st_size != 80
            finally:
                os.close(copy)


def test_worker_memory_holds_no_password(instance, sessions):
    """Neither the hash nor the plain text of anybody's reached it."""
    for pid in workers(instance).values():
        for needle in (b"$6$rounds=1000$", b"geheim"):
            assert not memory_holds(pid, needle), needle


def test_master_memory_holds_no_password(instance, sessions):
    """master is no way to a secret (DESIGN section 3)."""
    for needle in (b"$6$rounds=1000$", b"geheim", b"PRIVATE KEY"):
        assert not memory_holds(instance.pid, needle), needle


def mappings(pid):
    """(first line, VmFlags) of each."""
    head = None
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            if line.startswith("VmFlags:"):
                yield head, line.split()[1:]
            elif re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                head = line


def test_what_is_remembered_stays_in_the_coordinator(make_instance):
    """Of right passwords there is an HMAC, in memory that neither swap nor a
    core dump gets; nor does anything else of the coordinator, where master may
    raise a limit."""
    inst = make_instance(users=1, extra="auth_cache { time = 1h size = 2M }")
    user = inst.users[0]
    user.password = "ganz-geheimes-Wort"
    inst.write_users()
    inst.start()
    for _ in range(3):
        inst.login(user).quit()
    # the file says no by now, so it is the cache that lets in
    inst.write_users({user.name: "{PLAIN}x"})
    inst.login(user).quit()
    pid, = inst.role("auth")
    secret = user.password.encode()
    for needle in (secret, hashlib.sha256(secret).digest(),
                   hashlib.sha1(secret).digest(), hashlib.md5(secret).digest()):
        assert not memory_holds(pid, needle), needle
    found = list(mappings(pid))
    assert any("lo" in flags and "dd" in flags and
               2 << 20 <= size(head) for head, flags in found)
    assert os.stat(f"/proc/{pid}/status").st_uid == 0   # not dumpable
    with open(f"/proc/{pid}/limits") as f:
        limits = f.read()
    assert re.search(r"^Max core file size +0 +0 ", limits, re.M)
    may = int(proc_status(inst.pid)["CapEff"], 16) >> CAP_SYS_RESOURCE & 1
    if may:
        assert re.search(r"^Max locked memory +unlimited +unlimited ", limits,
                         re.M)
    for head, flags in found:
        if may and "w" in head.split()[1]:
            assert "lo" in flags, head


def test_what_cannot_be_locked_is_not_remembered(make_instance):
    inst = make_instance(users=1, extra="auth_cache { time = 1h size = 512M }")
    inst.start()
    inst.login(inst.users[0]).quit()
    pid, = inst.role("auth")
    for head, flags in mappings(pid):
        if "dd" in flags and "[v" not in head:
            assert "lo" in flags, head


def size(head):
    start, end = (int(x, 16) for x in head.split()[0].split("-"))
    return end - start


def memory_holds(pid, needle):
    with open(f"/proc/{pid}/maps") as maps, \
            open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            area, rights = line.split()[:2]
            if "w" not in rights or "[v" in line:
                continue
            start, end = (int(x, 16) for x in area.split("-"))
            try:
                mem.seek(start)
                if needle in mem.read(end - start):
                    return True
            except OSError:
                continue
    return False


def test_cmdline_and_environment_hold_no_secret(instance, sessions):
    for pid in instance.processes():
        assert not any("geheim" in a for a in cmdline(pid))
        with open(f"/proc/{pid}/environ", "rb") as f:
            assert b"geheim" not in f.read()


def test_no_file_for_others(instance, sessions):
    """What the daemon made itself: nothing that anybody may write."""
    for top in (instance.dir / "run", instance.dir / "state"):
        for name in [top, *top.rglob("*")]:
            mode = os.lstat(name).st_mode
            if not stat.S_ISLNK(mode):
                assert not mode & 0o002, name
    control = instance.dir / "run" / "control"
    assert stat.S_ISSOCK(control.stat().st_mode)
    assert control.stat().st_uid == 0 and not control.stat().st_mode & 0o077


@pytest.mark.parametrize("uid,gid,why", (
    (0, 0, "root"), (0, 65001, "uid 0"), (65001, 0, "gid 0"),
    (100, 65001, "below uid_min"),
    (65001, 42, "below gid_min"),
    (ROLE_IDS["auth"], ROLE_IDS["auth"], "a role's id")))
def test_refused_ids(instance, uid, gid, why):
    """A user database that says such a thing gives nobody a session."""
    user = instance.users[3]
    kept = user.uid, user.gid
    user.uid, user.gid = uid, gid
    instance.write_users()
    try:
        def refused():
            with instance.connect() as pop:
                reply = pop.login(user.name)
                assert reply.startswith((b"-ERR", b"+OK")), reply
                return reply.startswith(b"-ERR")
        # the pool looks at the file again when it changed
        until(f"refusal of {why}", refused)
        assert uid not in workers(instance) or uid == 0
        if why.startswith("below"):
            instance.wait_log(f"user={user.name}", why)
    finally:
        user.uid, user.gid = kept
        instance.write_users()
    instance.login(user).quit()


def test_worker_end_frees_everything(instance):
    with instance.login(instance.users[3]) as pop:
        pid = workers(instance)[instance.users[3].uid]
        pop.quit()
    until("the worker's end", lambda: not os.path.exists(f"/proc/{pid}"))
    before = len(descriptors(instance.pid))
    for _ in range(50):
        instance.login(instance.users[3]).quit()
    try:
        until("the descriptors' end",
              lambda: len(descriptors(instance.pid)) <= before)
    except Failure:
        raise Failure(f"master keeps descriptors: {before} before,"
                      f" {descriptors(instance.pid)}") from None


def test_no_gate_without_its_empty_root(make_instance):
    """Also when its name is gone: the folder is opened once, at the start."""
    inst = make_instance(users=1).start()
    (inst.dir / "run" / "empty").rmdir()
    before = inst.role("gate")
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    def confined():
        now = inst.role("gate")
        gates = [proc_status(p).get("Seccomp", "").strip() for p in now]
        return gates == ["2"] * len(before) and not set(now) & set(before)
    until("as many confined gates as before", confined)
    for pid in inst.role("gate"):
        check_powerless(pid)
        root = os.readlink(f"/proc/{pid}/root")
        assert root.endswith("/run/empty (deleted)"), root


def test_not_root_but_with_a_capability(make_instance):
    """What a service manager gives culverd to bind port 110 with, no other
    role has."""
    inst = make_instance(users=1)
    inst.start(prefix=(
        *inst.belong_to(inst.users[0].uid), "--inh-caps=+net_bind_service",
        "--ambient-caps=+net_bind_service"))
    with inst.login(inst.users[0]):
        roles = inst.roles()
        assert roles["worker"]
        for role in sorted(set(roles) - {"master"}):
            for pid in roles[role]:
                status = proc_status(pid)
                for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                    assert int(status[name], 16) == 0, (role, name)
