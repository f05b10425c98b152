"""test_run.py - the benchmark runs through, and counts no error as work.

Nothing here looks at a clock: how fast it is says tests/bench/run by hand.
"""
import json
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from culver import PASSWORD, free_address, tempdir

HERE = Path(__file__).resolve().parent
STEPS = "sessions-plain-1,sessions-tls-16,first,poll,retr-tls," \
    "maildir-one-new,sqlite,idle-many"


@pytest.fixture
def work():
    made = Path(tempfile.mkdtemp(prefix="culver-test-", dir=tempdir("")))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


def benchmark(tree, build, work, *args):
    return subprocess.run(
        [HERE / "run", "--culver-root", tree, "--build", build, "--work",
         work, "--scale", "small", "--reps", "1", *args],
        capture_output=True, text=True)


@pytest.mark.timeout(300)
def test_all_kinds_of_scenarios_are_measured(tree, build, work):
    out = work / "out.json"
    done = benchmark(tree, build, work, "--peers", "sham", "--scenario",
                     STEPS, "--json", out)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert result["failed"] == []
    for name in STEPS.split(","):
        # what is not built here is not measured
        row = next((r for r in result["figures"] if r.startswith(name)),
                   None)
        assert row is not None or f"NOT RUN {name}" in done.stderr
        assert row is None or row in done.stdout
    rate = result["figures"]["sessions-plain-1"]
    for server in ("culver", "sham"):
        assert all(x > 0 for x in rate[server]["sessions/s"])
    assert result["figures"]["idle-many"]["culver"]["held"] == [200]


@pytest.mark.timeout(300)
@pytest.mark.needs_root
def test_growth_has_an_exponent_for_each_cost(tree, build, work):
    out = work / "out.json"
    done = benchmark(tree, build, work, "--peers", "", "--growth", "--json",
                     out)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(out.read_text())["figures"]
    grown = figures["messages (maildir), ms"]
    assert [n for n, _ in grown["points"]] == [1, 100]
    assert isinstance(grown["exponent"], float)
    assert {name.split(",")[0] for name in figures} == {
        "messages (maildir)", "connections", "users"}


# --- a server that does one thing wrong --------------------------------------

def mark(number, octets, crc=0):
    return f"X-Bench: {number:08} {octets:08} {crc:08x}\r\n".encode()


def message(number, text=b""):
    """As the generators make it, but for the CRC."""
    return mark(number, 37 + len(text)) + text


RIGHT = {
    b"": b"+OK\r\n",
    b"USER": b"+OK\r\n",
    b"PASS": b"+OK\r\n",
    b"STAT": b"+OK 2 80\r\n",
    b"LIST": b"+OK\r\n1 37\r\n2 43\r\n.\r\n",
    b"UIDL": b"+OK\r\n1 a\r\n2 b\r\n.\r\n",
    b"RETR 1": b"+OK\r\n" + message(1) + b".\r\n",
    b"RETR 2": b"+OK\r\n" + message(2, b".abc\r\n").replace(b"\n.", b"\n..")
               + b".\r\n",
    b"DELE": b"+OK\r\n",
    b"QUIT": b"+OK\r\n",
}
WRONG = {
    "greeting": {b"": b"-ERR\r\n"},
    "login": {b"PASS": b"-ERR [AUTH] no\r\n"},
    "status": {b"STAT": b"+OKAY 2 80\r\n"},
    "count": {b"STAT": b"+OK 1 80\r\n"},
    "octets": {b"STAT": b"+OK 2 81\r\n"},
    "row missing": {b"LIST": b"+OK\r\n1 80\r\n.\r\n"},
    "row too many": {b"UIDL": b"+OK\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n"},
    "row order": {b"UIDL": b"+OK\r\n2 a\r\n1 b\r\n.\r\n"},
    "uidl": {b"UIDL": b"+OK\r\n1 a\r\n2 b c\r\n.\r\n"},
    "bare line end": {b"LIST": b"+OK\n1 37\r\n2 43\r\n.\r\n"},
    "other message": {b"RETR 1": b"+OK\r\n" + message(2) + b".\r\n"},
    "shorter": {b"RETR 2": b"+OK\r\n" + mark(2, 43) + b"..ab\r\n.\r\n"},
    "not as listed": {b"RETR 2": b"+OK\r\n" + message(2, b"longer\r\n") +
                      b".\r\n"},
    "dots": {b"RETR 2": b"+OK\r\n" + mark(2, 43) + b".abc\r\n.\r\n"},
    "no mark": {b"RETR 1": b"+OK\r\nSubject: something that is here\r\n"
                           b".\r\n"},
    "unasked": {b"DELE": b"+OK\r\n+OK\r\n"},
    "early end": {b"UIDL": None},
    "quit": {b"QUIT": b"-ERR [SYS/TEMP] not all is gone\r\n"},
}


class Scripted(threading.Thread):
    """One connection, with these replies."""

    def __init__(self, replies):
        super().__init__()
        self.replies = replies
        self.address = free_address()
        self.sock = socket.create_server((self.address, 3110))

    def reply(self, line):
        for length in (6, 4):
            if line[:length] in self.replies:
                return self.replies[line[:length]]
        return b"-ERR\r\n"

    def run(self):
        conn, _ = self.sock.accept()
        with conn, conn.makefile("rwb") as f:
            f.write(self.replies[b""])
            f.flush()
            for line in f:
                reply = self.reply(line.rstrip())
                if reply is None:
                    break
                f.write(reply)
                try:
                    f.flush()
                except ConnectionError:
                    break
                if line.startswith(b"QUIT"):
                    break

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.join()
        self.sock.close()


def load(build, work, server, *args):
    users = work / "users"
    users.write_text(f"user1:{PASSWORD}\n")
    return subprocess.run(
        [build / "tests/bench/popload", "load", "-a", server.address, "-p",
         "3110", "-u", users, "-m", "2", *args, "-s",
         "LOGIN STAT LIST UIDL RETR DELE=1 QUIT"],
        capture_output=True, text=True, stdin=subprocess.DEVNULL)


def test_a_right_server_is_counted(build, work):
    with Scripted(RIGHT) as server:
        done = load(build, work, server)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["sessions"], figures["failed"]) == (1, 0)
    assert (figures["messages"], figures["octets"]) == (2, 80)


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_reply_fails(build, work, what):
    with Scripted(RIGHT | WRONG[what]) as server:
        done = load(build, work, server)
    assert done.returncode == 1, what
    figures = json.loads(done.stdout)
    assert (figures["sessions"], figures["failed"]) == (0, 1)
    assert "popload: " in done.stderr


def test_wrong_content_fails_a_thorough_run(build, work):
    """The CRCs of RIGHT are wrong."""
    with Scripted(RIGHT) as server:
        done = load(build, work, server, "-x", "1")
    assert done.returncode == 1
    assert "not what was put there" in done.stderr
