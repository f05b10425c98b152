"""Scrapers that are none: what they send is answered or cut off, keeps nobody
else out, and harms no other process."""
import contextlib
import os
import select
import signal
import socket
import time

import pytest

import culver
import metrics
from culver import halt, proc_status, until
from metrics import by_socket, connect, get, read_all, request

pytestmark = pytest.mark.once
PLACES = 32
TIME = 5            # seconds that a connection has
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=1, listen=metrics.LISTEN).start()
    inst.login().quit()
    until("all roles", lambda: inst.role("metrics") and
          len(inst.role("gate")) == (os.cpu_count() or 1))
    return inst


@pytest.fixture(autouse=True)
def unharmed(instance):
    """The same process answers before and after, as do the others."""
    pids = instance.roles()
    breaches = by_socket(instance).get("culver_breaches_total")
    yield
    m = by_socket(instance)
    assert m.get("culver_breaches_total") == breaches
    now = instance.roles()
    for role in ("metrics", "manager", "log", "auth", "gate"):
        assert now[role] == pids[role], role
    assert instance.ctl("status").returncode == 0
    instance.login().quit()


@pytest.mark.parametrize("octets,code", (
    (b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    (b"GET /metrics/../x HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    (b"DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd", 405),
    (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    (b"GET / HTTP/1.1\r\n\r\n", 400), (b"\0\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\0\x01\0\r\n\r\n", 400),
    (b"USER anna\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 5000 + b"\r\n\r\n", 431),
    (b"a" * 4096, 431)))
def test_wrong_requests(instance, octets, code):
    status, fields, body = request(instance, octets)
    assert status == code and fields["Connection"] == "close"
    assert len(body) == int(fields["Content-Length"])
    assert ("Allow" in fields) == (code == 405)


def test_head(instance):
    code, fields, body = get(instance, method="HEAD")
    assert code == 200 and body == b""
    assert int(fields["Content-Length"]) > 1000


def test_a_request_in_pieces(instance):
    with connect(instance) as s:
        for i in range(len(GET)):
            s.sendall(GET[i:i + 1])
        assert read_all(s).startswith(b"HTTP/1.1 200 ")


def test_more_than_one_request(instance):
    """The first one is answered, and the connection closed."""
    with connect(instance) as s:
        s.sendall(GET * 3)
        assert read_all(s).count(b"HTTP/1.1 200 ") == 1


def test_silence_ends(instance):
    with connect(instance) as s, connect(instance) as t:
        t.sendall(b"GET ")
        assert read_all(s) == b"" and read_all(t) == b""


def test_a_megabyte_of_head(instance):
    with connect(instance) as s:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            for _ in range(1024):
                s.sendall(b"X: " + b"a" * 1019 + b"\r\n")
        got = s.recv(4096)
        assert got.startswith(b"HTTP/1.1 431 ")


def test_an_octet_a_while(instance):
    """It is not the last octet that counts, but the first."""
    with connect(instance) as s:
        begin = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < begin + 20 * TIME:
                s.sendall(b"a")
                if select.select([s], [], [], 0.1)[0]:
                    assert s.recv(10) == b""
                    raise BrokenPipeError


def test_who_does_not_read(instance):
    """An answer that nobody takes holds a place for a while, and no more."""
    held = []
    try:
        for _ in range(2 * PLACES):
            s = connect(instance)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            s.sendall(GET)
            held.append(s)
            assert get(instance)[0] == 200
    finally:
        for s in held:
            s.close()


def test_hundreds_of_silent_ones(instance):
    held = []
    try:
        for i in range(400):
            s = connect(instance)
            if i % 2:
                s.sendall(b"GET /metrics HTTP/1.1\r\n")
            held.append(s)
            if i % 20 == 0:
                assert get(instance)[0] == 200
                assert instance.ctl("status").returncode == 0
        (pid,) = instance.role("metrics")
        if culver.ROOT:
            assert len(os.listdir(f"/proc/{pid}/fd")) < PLACES + 20
        assert get(instance)[0] == 200
    finally:
        for s in held:
            s.close()


def test_hundreds_at_once(instance):
    """Whole requests: who finds a place is answered, and they share what
    there is to say."""
    socks = [connect(instance) for _ in range(PLACES)]
    try:
        for s in socks:
            s.sendall(GET)
        answers = [read_all(s) for s in socks]
        assert all(a.startswith(b"HTTP/1.1 200 ") for a in answers)
    finally:
        for s in socks:
            s.close()
    for _ in range(10):
        socks = [connect(instance) for _ in range(100)]
        for s in socks:
            with contextlib.suppress(BrokenPipeError):  # it gave way
                s.sendall(GET)
        for s in socks:
            s.close()
    assert get(instance)[0] == 200


def test_answers_are_few(instance):
    """Each costs master a process, so whoever asks all the time waits."""
    begin = time.monotonic()
    for _ in range(15):
        assert get(instance)[0] == 200
    assert time.monotonic() - begin >= 1


def test_nobody_answers(instance):
    """A manager that does not: who asks is not held for ever, and who comes
    later is answered."""
    (pid,) = instance.role("manager")
    halt([pid])
    try:
        with connect(instance) as s:
            s.sendall(GET)
            assert read_all(s) == b""
    finally:
        os.kill(pid, signal.SIGCONT)
    until("an answer", lambda: get(instance)[0] == 200)


@pytest.mark.needs_root
def test_it_has_nothing(instance):
    """No root, no file, no group, no other process's memory."""
    (pid,) = instance.role("metrics")
    status = proc_status(pid)
    log = str(culver.ROLE_IDS["log"])
    assert status["Uid"].split() == [log] * 4
    assert status["Groups"].split() in ([], [log])
    assert int(status["CapEff"], 16) == 0 == int(status["CapBnd"], 16)
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    kinds = {os.readlink(f"/proc/{pid}/fd/{n}").split(":")[0]
             for n in os.listdir(f"/proc/{pid}/fd")}
    assert kinds <= {"socket", "/dev/null", "anon_inode", "pipe"} | {
        k for k in kinds if k.endswith("/stderr")}, kinds


def test_without_a_listener(one_instance):
    """Nothing of it runs, and culverctl tells the numbers all the same."""
    inst = one_instance(users=1).start()
    assert inst.role("metrics") == []
    assert metrics.by_ctl(inst).get("culver_processes", role="metrics") == 0
    inst.write_conf(inst.conf.read_text() + metrics.LISTEN)
    inst.reload()
    until("the socket", lambda: os.path.exists(metrics.path_of(inst)))
    until("the role", lambda: inst.role("metrics"))
    assert get(inst)[0] == 200
