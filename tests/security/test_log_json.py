"""The log as JSON: every line is one object, whatever happens and whatever
users send; the keys of the text; syslog; fail2ban."""
import datetime
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

import fail2ban
from culver import PASSWORD, numbered, own_mounts, until

pytestmark = pytest.mark.once
OWN = {"time", "level", "role", "instance", "event", "message"}


def no_constant(text):
    raise ValueError(text)


def unique(pairs):
    assert len({k for k, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


def parse(octets):
    """One line, strictly: UTF-8, no NaN, no key twice."""
    got = json.loads(octets.decode("utf-8"), parse_constant=no_constant,
                     object_pairs_hook=unique)
    assert all(b >= 0x20 and b != 0x7f for b in octets), octets
    stamp = datetime.datetime.fromisoformat(got["time"])
    assert stamp.tzinfo is not None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}"
                        r"[+-]\d\d:\d\d", got["time"])
    assert got["level"] in ("debug", "info", "warn", "error")
    assert ("event" in got) or ("message" in got)
    return got


def entries(instance, path=None):
    octets = (path or instance.logfile).read_bytes()
    assert octets == b"" or octets.endswith(b"\n")
    return [parse(line) for line in octets.split(b"\n")[:-1]]


def wait_for(instance, what, n=1, **want):
    def found():
        got = [e for e in entries(instance)
               if want.items() <= e.items()]
        return len(got) >= n and got
    return until(what, found)


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=2, top="log_format = json",
                         extra="listen lmtp { protocol = lmtp address = "
                         "\"unix:{dir}/run/lmtp\" }")
    for user in inst.users:
        user.deliver_all(numbered(i) for i in (1, 2, 3))
    inst.start_in_background()
    until("the log", lambda: inst.logfile.exists() and
          inst.logfile.stat().st_size > 0)
    return inst


def session(instance, mode="plain"):
    user = instance.users[0]
    with instance.login(user, mode) as pop:
        pop.multi("RETR 1")
        pop.quit()


def test_a_session(instance):
    session(instance, "tls")
    (login,) = wait_for(instance, "the login", event="login", tls=True)
    user = instance.users[0]
    assert (login["user"], login["uid"], login["mech"], login["role"]) == \
        (user.name, user.uid, "USER", "master")
    assert login["instance"] == 0 and login["level"] == "info"
    assert isinstance(login["pid"], int)
    (end,) = wait_for(instance, "its end", event="session-end",
                      session=login["session"])
    assert (end["retr"], end["left"], end["reason"], end["tls"]) == \
        (1, 3, "quit", True)
    assert end["octets"] > 0 and isinstance(end["duration-ms"], int)


def pairs(line):
    """The keys of a line of text."""
    return re.findall(r'([\w-]+)=(?:"(?:[^"\\]|\\.)*"|\S*)', line)


def test_keys_are_those_of_the_text(instance, make_instance):
    text = make_instance(users=1).start()
    text.users[0].deliver_all([numbered(1)])
    for inst in (instance, text):
        session(inst)
        with inst.connect() as pop:
            pop.login("nobody", "wrong")
    for event in ("login", "session-end", "auth-failed"):
        line = text.wait_log(f" {event} ")[0]
        got = wait_for(instance, event, event=event)[0]
        assert [k for k in got if k not in OWN] == pairs(line), event


NAMES = (b'x","event":"login', b'x" reason=ok user=root', b"x\x1b[31m",
         b"x\\", b"\\u0000", "ü€😀".encode(), b"\xff\xfe", b"\xc0\xaf",
         b"\xed\xa0\x80", b"\xe2\x80\xa8x", b"\xc2\x9b31m", b"a" * 200,
         b"x\x7f\x01", b"x remote=192.0.2.66", b"}{", b"%s%n")


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_names_forge_nothing(instance, name):
    source = "127.0.0.81"
    before = len(entries(instance))
    with instance.connect(source=source) as pop:
        pop.send(b"USER " + name + b"\r\n")
        pop.line()
        pop.send(b"PASS wrong\r\n")
        reply = pop.line()
        pop.send(b"QUIT\r\n")
    assert reply.startswith(b"-ERR")
    if b"[AUTH]" not in reply:
        return              # such a name was refused before it was asked for

    def mine():
        return [e for e in entries(instance)[before:]
                if e.get("remote") == source and
                e.get("event") == "auth-failed"]
    (got,) = until("the line", mine)
    assert list(got) == ["time", "level", "role", "instance", "event",
                         "user", "remote", "mech", "reason"]
    assert got["role"] == "auth"
    try:
        assert got["user"] == name.decode().lower()
    except UnicodeDecodeError:
        assert got["user"].encode("latin-1") == name


def test_what_delivery_says(instance):
    path = str(instance.dir / "run/lmtp")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(path)
        f = s.makefile("rwb", buffering=0)
        f.readline()
        for line in (b"LHLO x", b'MAIL FROM:<a@example.org>',
                     b'RCPT TO:<"no \\" body"@example.org>'):
            f.write(line + b"\r\n")
            while f.readline()[3:4] == b"-":
                pass
    got = wait_for(instance, "the refusal", event="recipient-refused")[0]
    assert got["reason"] == "unknown-user" and '"' in got["recipient"]
    assert got["role"] == "lmtp"


def test_all_lines_are_objects(one_instance):
    """From culverd's start to its end, with roles that die, a reload, and one
    that is refused with mistakes that name what the file says."""
    inst = one_instance(users=1, top="log_format = json")
    inst.start_in_background()
    inst.users[0].deliver_all([numbered(1)])
    session(inst)
    for role in ("gate", "pool", "log"):
        pid = inst.role(role)[0]
        os.kill(pid, signal.SIGKILL)
        until("another one", lambda: inst.role(role) and
              pid not in inst.role(role))
    good = inst.conf.read_text()
    inst.write_conf(good + 'what"\\is\x01this = 1\n')
    assert inst.ctl("reload").returncode == 1
    inst.write_conf(good)
    inst.reload()
    until("the gate that was killed is back", inst.greets)
    session(inst)
    os.kill(inst.pid, signal.SIGTERM)
    until("the end", lambda: inst.proc.poll() is not None)
    got = entries(inst)
    text = [e.get("message", "") for e in got]
    assert any("started" in t for t in text)
    assert any("ended with signal" in t for t in text)
    assert any("culver.conf:" in t for t in text)
    assert any("reloaded" in t for t in text)
    assert {"manager", "master"} <= {e["role"] for e in got}
    assert sum(e.get("event") == "session-end" for e in got) >= 2


def test_reload_changes_the_format(one_instance):
    """Also for what was started before."""
    inst = one_instance(users=1)
    inst.start_in_background()
    with inst.login(mode="tls") as pop:
        old = inst.logfile.with_suffix(".1")
        inst.logfile.rename(old)
        inst.write_conf(inst.conf.read_text() + "log_format = json\n")
        inst.reload()
        until("the new file", inst.logfile.exists)
        pop.quit()
    wait_for(inst, "the end of the session", event="session-end")
    entries(inst)
    assert "session-end" not in old.read_text()


@pytest.mark.needs_root
def test_syslog(one_instance):
    """Only what syslog demands stands before the object."""
    inst = one_instance(users=1, top="log_format = json")
    inst.users[0].deliver_all([numbered(1)])
    dev = inst.dir / "dev"
    dev.mkdir(mode=0o755)
    os.mknod(dev / "null", 0o666 | 0o020000, os.makedev(1, 3))
    os.chmod(dev / "null", 0o666)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(dev / "log"))
        os.chmod(dev / "log", 0o666)
        inst.write_conf(inst.conf.read_text().replace(
            f'log = "{inst.logfile}"', 'log = "syslog"'))
        inst.start_in_background((
            *own_mounts(), "sh", "-c",
            f'mount --bind {dev} /dev && exec "$@"', "sh"))
        session(inst)
        log.settimeout(20)
        events = set()
        while "session-end" not in events:
            got = log.recv(65536)
            m = re.fullmatch(rb"<\d+>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d "
                             rb"culver: (\{.*\})", got, re.S)
            assert m, got
            events.add(parse(m.group(1)).get("event"))


@pytest.mark.needs("fail2ban-regex")
def test_fail2ban(instance, tmp_path):
    """Its filter finds the failures, all of them, and nothing else."""
    source = "127.0.0.82"
    with instance.connect(source=source) as pop:
        for name in ("user1", "nobody", 'x","remote":"192.0.2.66'):
            pop.login(name, "wrong")
    wait_for(instance, "the failures", 3, event="auth-failed", remote=source)
    session(instance)
    log = instance.logfile.read_bytes()
    for line in log.decode().splitlines():
        got = parse(line.encode())
        wanted = got["remote"] if got.get("event") == "auth-failed" and \
            got["reason"] != "login-delay" else None
        assert fail2ban.matches(line) == wanted, line
    n = log.count(b'"event":"auth-failed"')
    conf = next(fail2ban.FILTER.rglob("filter.d/*.conf"))
    for name, text in (
            ("own", log),
            ("syslog", b"".join(b"Nov 15 03:43:20 host culver: %s\n" % x
                                for x in log.splitlines()))):
        path = tmp_path / name
        path.write_bytes(text)
        out = subprocess.run([shutil.which("fail2ban-regex"), str(path),
                              str(conf)], capture_output=True,
                             text=True).stdout
        assert f"{n} matched" in out, out[-2000:]


def test_no_event_is_forgotten():
    """core/log/record.c knows all events and keys that are logged."""
    core = Path(__file__).resolve().parents[2] / "core"
    table = (core / "log/record.c").read_text()
    calls = re.compile(
        r'(?:kv_start|kv_text|kv_u64|kv_hex)\(&?kv,\s*"([^"]+)"|'
        r'job_log\([^;"]*"([^"]+)",\s*"([^"]+)"|'
        r'limit_say\([^;"]*"([^"]+)",\s*&?[\w>-]+,\s*"([^"]+)"|'
        r'struct arrive_no \w+ = \{"([^"]+)",\s*"([^"]+)"')
    found = {w for path in core.rglob("*.c") for m in
             calls.finditer(path.read_text()) for w in m.groups() if w}
    assert {"login", "auth-failed", "limit", "tls-failed", "what", "reason",
            "retr", "recipient"} <= found
    assert {w for w in found if f'"{w}"' not in table} == set()


def test_no_secrets(instance):
    with instance.connect() as pop:
        pop.login("user1", "S3cretW0rd")
    wait_for(instance, "the failure", event="auth-failed", user="user1")
    text = instance.logfile.read_text()
    assert "S3cretW0rd" not in text and PASSWORD not in text
