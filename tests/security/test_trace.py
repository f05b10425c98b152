"""A system call trace of a whole life of culverd: nothing is mapped, executed
or looked up in a library by a process that is still root, but culverd's own
start (DESIGN section 3)."""
import os
import re
import signal

import pytest

from culver import modules, numbered, until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs("strace")]

CALLS = ("openat,openat2,open,mmap,execve,execveat,setresuid,clone,clone3,"
         "fork,vfork,sendmsg,chroot")
WORKER_UP = r'"F\0\0\0'       # the head of its message: number 70


@pytest.fixture(scope="module")
def trace(make_instance, tmp_path_factory, tree):
    """Lines of the trace: a start, logins of all kinds, a reload, a stop.  The
    storage plugin is that of the file, not the one that is linked in."""
    path = tmp_path_factory.mktemp("trace") / "trace"
    inst = make_instance(users=2, storage='storage maildir { path = "~/Maildir"'
                         f' plugin = "{modules(tree)}/storage_maildir" }}')
    inst.users[0].deliver(numbered(1))
    inst.start(prefix=("strace", "-f", "-y", "-q", "-o", str(path), "-e",
                       f"trace={CALLS}", "-e", "signal=none"))
    for mode in ("plain", "stls", "tls"):
        with inst.login(inst.users[0], mode) as pop:
            pop.multi("RETR 1")
            pop.quit()
    with inst.connect() as pop:
        pop.login("user2", "wrong")
    inst.reload()
    with inst.login(inst.users[1]) as pop:
        pop.quit()
    # strace passes no SIGTERM on: culverd is its child
    master = int(path.read_text().split(" ", 1)[0])
    os.kill(master, signal.SIGTERM)
    until("the end", lambda: inst.proc.poll() is not None)
    inst.wait_gone()
    inst.proc = None
    return joined(path.read_text().splitlines())


def joined(lines):
    """(pid, call, result) with unfinished calls put together."""
    pending, done = {}, []
    for line in lines:
        pid, text = line.split(None, 1)
        if text.endswith("<unfinished ...>"):
            pending[pid] = text[:-len("<unfinished ...>")]
            continue
        m = re.match(r"<\.\.\. \w+ resumed>(.*)", text)
        if m:
            text = pending.pop(pid, "") + m.group(1)
        m = re.match(r"(\w+)\((.*)\)\s+= (-?\w+)", text)
        if m:
            done.append((pid, m.group(1), m.group(2), m.group(3)))
    return done


def as_root(trace):
    """What processes did while they were root, after the first fork."""
    root, forked = {trace[0][0]}, False
    parents = {}
    for pid, call, args, result in trace:
        # a child may be seen before its parent's clone returned
        if pid not in root and pid not in parents:
            parents[pid] = True
            root.add(pid)
        if call in ("clone", "clone3", "fork", "vfork"):
            forked = True
        if call == "setresuid" and result == "0" and pid in root:
            root.discard(pid)
        elif forked and pid in root:
            yield pid, call, args, result


def test_the_trace_is_one(trace):
    calls = {call for _, call, _, _ in trace}
    assert {"execve", "setresuid", "openat"} <= calls
    # libraries and plugins were loaded, by somebody
    assert any("storage_maildir" in args for _, _, args, _ in trace)
    assert any("libcrypto" in args for _, _, args, _ in trace)
    # and root is seen at work
    done = list(as_root(trace))
    for word in ("culver.conf", "tls/key.pem", "run/pid"):
        assert any(word in args for _, _, args, _ in done), word
    assert sum(call == "setresuid" for _, call, _, _ in trace) > 10


def test_root_loads_nothing(trace):
    for pid, call, args, result in as_root(trace):
        if result == "-1":
            continue
        assert not re.search(r"\.so\b|/culver/0/|ld\.so|nsswitch", args), \
            (pid, call, args)
        assert call != "mmap" or "PROT_EXEC" not in args, (pid, args)


def test_who_parses_what_clients_or_files_say_is_chrooted(trace):
    """Also the first certcheck, before any gate runs."""
    for role in ("certcheck", "gate"):
        pids = {pid for pid, call, args, result in trace
                if call == "execve" and f"/{role}\"" in args
                and result == "0"}
        assert len(pids) >= 2
        assert {pid for pid, call, _, result in trace if call == "chroot"
                and result == "0"} >= pids, role


def test_root_executes_nothing(trace):
    for pid, call, args, result in as_root(trace):
        assert call not in ("execve", "execveat") or result == "-1", args


def test_root_opens_what_it_must_and_no_mail(trace):
    for _, call, args, _ in as_root(trace):
        if call in ("open", "openat", "openat2"):
            assert "Maildir" not in args and "/home/" not in args, args


def test_a_worker_is_up_before_its_user_can_stop_it(trace):
    """What master keeps for the start of a worker it gets back from root: a
    user who stops his own worker must not hold it."""
    executed = {pid for pid, call, _, _ in trace if call == "execve"}
    up, dropped = set(), set()
    for pid, call, args, result in trace:
        if call == "sendmsg" and WORKER_UP in args:
            assert pid not in dropped, args
            up.add(pid)
        elif call == "setresuid" and result == "0":
            dropped.add(pid)
            assert pid in up | executed, args
    assert len(up) == 4, up
