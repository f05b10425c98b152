"""Users from programs: the examples of contrib/auth-exec in each language,
names that would like to be something else, programs that die and hang."""
import base64
import hashlib
import os
import signal
import subprocess
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

import databases
from culver import (PASSWORD, PORT, ROLE_IDS, ROOT, all_processes, b64, cmdline,
                    crypt, modules, numbered, until)

pytestmark = pytest.mark.once

EXAMPLES = Path(__file__).resolve().parents[2] / "contrib/auth-exec"


def pbkdf2(password):
    made = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 1000)
    return "1000$" + base64.b64encode(b"salt").decode() + "$" + \
        base64.b64encode(made).decode()


LANGUAGES = {"py": pbkdf2, "pl": crypt, "lua": crypt}

INJECTIONS = [
    "'", "\"", "`id`", "$(id)", "\\", "\\n", "%", "%0A", "%00", "%25",
    "user1%09uid=0", "user1\tuid=0", "user1\t", "\tuser=user1", "user1 ",
    " user1", "user1\nok\tid=1", "user1\r\n", "user1\0", "\0", "user1=",
    "=", "id=1", "us\u0435r1", "\uff55ser1", "user\uff11", "user1\u2028",
    "user1\u00a0", "user1\ufeff", "a;b", "|", "*", "-", "--help", "..",
    "user1:x", ":", "#user1", "x" * 255, "\u00e4" * 127,
]


class Backend:
    """A program in a folder of its own, and the section that runs it."""

    def __init__(self, instance, text, suffix="sh"):
        self.instance = instance
        self.dir = instance.dir / "auth"
        self.dir.mkdir(mode=0o755)
        self.path = self.dir / f"users.{suffix}"
        self.path.write_text(text)
        os.chmod(self.path, 0o755)
        self.users = self.dir / "users"

    def write_users(self, make_hash):
        new = self.dir / "new"
        new.write_text("".join(
            f"{u.name}:{make_hash(u.password)}:{u.uid}:{u.gid}:{u.home}\n"
            for u in self.instance.users))
        os.chmod(new, 0o640)
        if ROOT:
            os.chown(new, 0, ROLE_IDS["auth"])
        os.rename(new, self.users)

    def use(self, more="", allow="exec"):
        databases.use(
            self.instance, f'auth exec {{ allow = {{{allow}}}  processes = 1\n'
            f' program = {{"{self.path}", "{self.users}"}} {more} }}')

    def pids(self):
        return [pid for pid in all_processes()
                if str(self.path) in cmdline(pid)]


@pytest.fixture(params=["py", "pl", pytest.param(
    "lua", marks=pytest.mark.needs("lua5.4"))])
def example(request, make_instance):
    made = make_instance(users=2, limits="bad_commands = 1000")
    made.users[0].name = "o'br%ien@\u00fcser.example"
    suffix = request.param
    backend = Backend(made, (EXAMPLES / f"users.{suffix}").read_text(),
                      suffix)
    backend.write_users(LANGUAGES[suffix])
    backend.use()
    return backend


def plain(pop, name, password=PASSWORD):
    return pop.cmd("AUTH PLAIN " + b64(f"\0{name}\0{password}"))


def test_examples(example):
    inst = example.instance
    for u in inst.users:
        u.deliver(numbered(1))
    inst.start()
    for u in inst.users:
        with inst.connect() as pop:
            assert plain(pop, u.name).startswith(b"+OK")
            assert pop.stat()[0] == 1
    with inst.connect() as pop:
        for name, password in ((inst.users[0].name, "x"), ("nobody", "x"),
                               ("nobody", PASSWORD),
                               (inst.users[1].name, ""),
                               (inst.users[1].name, PASSWORD + "x"),
                               (inst.users[1].name, PASSWORD + "%00")):
            assert plain(pop, name, password).startswith(b"-ERR"), name
    assert inst.ctl("user", inst.users[0].name).returncode == 0
    assert inst.ctl("user", "nobody").returncode != 0
    assert not inst.log_lines("auth-error")
    assert len(example.pids()) == 1

    # a changed password works at once
    inst.users[1].password = "another"
    example.write_users(LANGUAGES[example.path.suffix[1:]])
    with inst.connect() as pop:
        assert plain(pop, "user2").startswith(b"-ERR [AUTH]")
        assert plain(pop, "user2", "another").startswith(b"+OK")

    # what cannot be read is no answer
    os.rename(example.users, f"{example.users}.away")
    with inst.connect() as pop:
        assert plain(pop, "user2", "another").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("auth-error", "users")


def test_examples_are_not_fooled(example):
    inst = example.instance.start()
    for name in INJECTIONS + ["x" * 65536]:
        with inst.connect() as pop:
            assert plain(pop, name).startswith(b"-ERR"), name
    with inst.connect() as pop:
        assert plain(pop, "user2").startswith(b"+OK")
    assert not inst.log_lines("auth-error")
    for line in inst.log_text().splitlines():
        assert not line.startswith(("ok", "user1"))


RECORDER = """#!/bin/sh
while IFS= read -r line; do
    printf '%s\\n' "$line" >&2
    case $line in
    hello*) printf 'hello\\tversion=1\\tcan=verify\\n' ;;
    *) id=${line#*id=}; printf 'unknown\\tid=%s\\n' "${id%%\t*}" ;;
    esac
done
"""


def test_a_name_is_one_value(make_instance):
    """What a client sends is in its place in the request, and nowhere else."""
    inst = make_instance(users=1, limits="bad_commands = 1000")
    Backend(inst, RECORDER).use()
    inst.start()
    secret = "p\tw=%41\u00fc"
    for name in INJECTIONS:     # the log has 400 octets of a line
        with inst.connect() as pop:
            assert len(name) > 100 or \
                plain(pop, name, secret).startswith(b"-ERR"), name
    with inst.connect() as pop:
        assert plain(pop, "last", secret).startswith(b"-ERR [AUTH]")
    inst.wait_log("user=last")
    asked = [line.split("verify", 1)[1] for line in
             inst.log_text().splitlines() if "sh: verify" in line]
    assert asked
    for line in asked:
        # the log writes a TAB its own way
        fields = line.replace("\\t", "\t").replace("\\x09", "\t") \
            .rstrip('"').split("\t")[1:]
        names = [f.partition("=")[0] for f in fields]
        assert names == ["id", "user", "service", "remote", "local",
                         "session", "tls", "password"], line
        assert unquote_to_bytes(fields[-1].partition("=")[2]) == \
            secret.encode()
        user = unquote_to_bytes(fields[1].partition("=")[2]).decode()
        assert user in [n.lower() for n in INJECTIONS] + ["last"]


DIES = """#!/bin/sh
while IFS= read -r line; do
    id=${line#*id=}; id=${id%%\t*}
    case $line in
    hello*) printf 'hello\\tversion=1\\tcan=verify\\n' ;;
    *user=dies*) echo "I must die" >&2; exit 1 ;;
    *user=hangs*) trap '' TERM; sleep 1000 ;;
    *user=lies*) printf 'ok\\tid=0\\n' ;;
    *) printf 'wrong\\tid=%s\\n' "$id" ;;
    esac
done
"""


def test_programs_that_fail(make_instance):
    inst = make_instance(users=1, limits="bad_commands = 1000")
    backend = Backend(inst, DIES)
    backend.use('timeout = "1s"')
    inst.start()

    def answers():
        with inst.connect() as pop:
            return plain(pop, "anna").startswith(b"-ERR [AUTH]")
    for name, why in (("dies", "ended with status 1"),
                      ("hangs", "did not answer in time"),
                      ("lies", "another id")):
        until("answers", answers)
        before = backend.pids()
        with inst.connect() as pop:
            assert plain(pop, name).startswith(b"-ERR [SYS/TEMP]")
        inst.wait_log("auth-error", why)
        until("the end of it", lambda: not set(before) & set(backend.pids()))
    inst.wait_log("I must die")
    until("answers", answers)

    # one that is killed while nobody asks is replaced at once
    os.kill(backend.pids()[0], signal.SIGKILL)
    until("its end", lambda: not backend.pids())
    assert answers()

    # and so is one whose pool process is killed
    lost = backend.pids()[0]
    os.kill(all_processes()[lost][0], signal.SIGKILL)
    until("its end", lambda: lost not in all_processes())
    until("answers", answers)

    # the end of Culver is the end of it
    inst.stop()
    assert not backend.pids()


def test_it_is_confined(make_instance):
    inst = make_instance(users=1)
    backend = Backend(inst, """#!/bin/sh
exec 3>&1 >&2
id -u
cat ../users /etc/shadow /etc/passwd && echo read it
echo x >/dev/null || echo cannot write to null
echo x >"${0%/*}/made" && echo made it
mkdir /tmp/culver-exec-test && echo made it
/bin/echo allowed to run
env
/usr/bin/python3 -c 'import socket; socket.socket(); print("has the net")'
exec >&3
while IFS= read -r line; do
    printf 'hello\\tversion=1\\tcan=verify\\n'
done
""")
    backend.use()
    inst.start()
    with inst.connect() as pop:
        assert plain(pop, "anna").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("allowed to run")
    log = inst.log_text()
    assert "read it" not in log and "made it" not in log
    assert "has the net" not in log
    assert "OSError" in log
    assert "cannot write to null" not in log
    assert f"users.sh: {ROLE_IDS['auth'] if ROOT else os.getuid()}" in log


def test_the_network_is_what_the_section_allows(make_instance):
    inst = make_instance(users=1)
    backend = Backend(inst, f"""#!/usr/bin/python3
import socket, sys
with socket.create_connection(("{inst.address}", {PORT})) as s:
    print(s.recv(100).decode(), file=sys.stderr)
""")
    backend.use(allow="exec, net")
    inst.start()
    with inst.connect() as pop:
        assert plain(pop, "anna").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log("users.sh: +OK")


def test_exec_must_be_allowed(make_instance):
    inst = make_instance(users=1)
    backend = Backend(inst, "")
    backend.use()
    text = inst.conf.read_text()
    inst.write_conf(text.replace("allow = {exec}", ""))
    done = inst.run("-t")
    assert done.returncode != 0
    assert "add `allow = {exec}'" in done.stdout + done.stderr
    inst.write_conf(text.replace(f'"{backend.path}"', '"users.sh"'))
    done = inst.run("-t")
    assert done.returncode != 0
    assert "not an absolute path" in done.stdout + done.stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", ["pl", "lua"], indirect=True)
@pytest.mark.parametrize("groups", [
    "elf,descriptor,options,auth,hygiene,versions,deadline",
    pytest.param("faults", marks=pytest.mark.slow)])
def test_plugin_check(example, tmp_path, tree, groups):
    """culver-plugin check finds nothing wrong with plugin and example."""
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    os.chmod(example.users, 0o644)
    done = subprocess.run(
        [str(tree / "usr/local/bin/culver-plugin"), "check", "--kind", "auth",
         "--user", "user2", "--password-file", str(password), "--only",
         groups, "--option",
         f'program={{"{example.path}", "{example.users}"}}',
         "--plugin-dir", str(modules(tree)), "exec"],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not ok" not in done.stdout
