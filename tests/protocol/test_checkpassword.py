"""Users from programs with the checkpassword interface: the program of the
manual page, names and passwords that would like to be something else,
programs that fail."""
import os
import re
import subprocess
from pathlib import Path

import pytest

import databases
from culver import (PASSWORD, ROLE_IDS, ROOT, all_processes, b64, cmdline,
                    modules, numbered, until)
from lmtp import LISTEN, Lmtp

pytestmark = pytest.mark.once

PAGE = Path(__file__).resolve().parents[2] / \
    "plugins/auth_checkpassword/culver-checkpassword.5"

NAMES = ["'", "\"", "$(id)", "`id`", "\\", "%", "%{user}", "user1 ", " user1",
         "user1\n", "user1\0" + PASSWORD, "\0", "user1\t", "user1=", "=",
         "us\u0435r1", "\uff55ser1", "user1\u00a0", "-", "--help", "user1:x",
         "x" * 255, "\u00e4" * 127, "x" * 65536]


def manual_example(users):
    """The program of the manual page."""
    text = PAGE.read_text()
    text = text[text.index("#!/usr/bin/python3"):]
    text = text[:text.index(".Ed")].replace("\\e", "\\")
    return text.replace("/etc/culver/auth/users", str(users))


class Checker:
    def __init__(self, instance):
        self.instance = instance
        self.dir = instance.dir / "auth"
        self.dir.mkdir(mode=0o755)
        self.path = self.dir / "check"
        self.users = self.dir / "users"
        self.users.write_text("".join(
            f"{u.name}:{u.password}:{u.uid}:{u.gid}:{u.home}\n"
            for u in instance.users))
        os.chmod(self.users, 0o644)

    def use(self, text, more=""):
        self.path.write_text(text)
        os.chmod(self.path, 0o755)
        databases.use(
            self.instance, f'auth checkpassword {{ allow = {{exec}}\n'
            f' program = {{"{self.path}"}} {more} }}')
        return self.instance

    def pids(self):
        return [pid for pid in all_processes()
                if str(self.path) in cmdline(pid)]


@pytest.fixture
def checker(make_instance):
    return Checker(make_instance(
        users=2, limits="bad_commands = 1000", listen=LISTEN))


def plain(pop, name, password=PASSWORD):
    return pop.cmd("AUTH PLAIN " + b64(f"\0{name}\0{password}"))


def test_logins_and_lookups(checker):
    inst = checker.use(manual_example(checker.users), "lookup = yes")
    user = inst.users[0]
    user.deliver(numbered(1))
    inst.start()
    with inst.login(user) as pop:
        assert pop.stat()[0] == 1
    with inst.connect() as pop:
        for name, password in ((user.name, "x"), ("nobody", PASSWORD),
                               (user.name, ""), (user.name, PASSWORD + "x"),
                               (user.name, "x" * 600)):
            assert plain(pop, name, password).startswith(b"-ERR [AUTH]")
    with Lmtp(inst.dir / "run/lmtp") as lmtp:
        lmtp.expect("MAIL FROM:<>", 250)
        lmtp.expect(f"RCPT TO:<{user.name}>", 250)
        lmtp.expect("RCPT TO:<nobody>", 550)
    assert not inst.log_lines("auth-error")
    assert not checker.pids()


def test_without_lookups(checker):
    inst = checker.use(manual_example(checker.users)).start()
    inst.login(inst.users[0]).quit()
    assert inst.ctl("user", inst.users[0].name).returncode != 0


def test_a_program_that_knows_no_lookups_makes_nothing_bounce(checker):
    """To it a lookup is a wrong password."""
    inst = checker.use("#!/bin/sh\nexit 1\n", "lookup = yes").start()
    with Lmtp(inst.dir / "run/lmtp") as lmtp:
        lmtp.expect("MAIL FROM:<>", 250)
        lmtp.expect("RCPT TO:<anna>", 451)
    inst.wait_log("auth-error", "AUTHORIZED=2")


def test_it_is_not_fooled(checker):
    inst = checker.use(manual_example(checker.users)).start()
    for name in NAMES:
        with inst.connect() as pop:
            assert plain(pop, name).startswith(b"-ERR"), name
    inst.login(inst.users[0]).quit()
    assert not inst.log_lines("auth-error")


@pytest.mark.parametrize("script,why", (
    ("exit 111", "cannot say now"),
    ("exit 2", "called wrong"),
    ("exit 77", "ended with status 77"),
    ("kill -9 $$", "was ended by signal 9"),
    ("exit 0", "did not run the program in its arguments"),
    ("printf 'user=x' >&4; exit 0", "did not run the program"),
    ("seq 9999 >&4; exec \"$1\"", "more than 16383 octets"),
    ("trap '' TERM; sleep 1000", "did not end in time"),
    ("EXTRA=a=b; export EXTRA; exec \"$1\"", "EXTRA is not names"),
    ("USER=$(printf 'a\\nb'); export USER; exec \"$1\"", "control octets"),
))
def test_programs_that_fail(checker, script, why):
    inst = checker.use(f"#!/bin/sh\n{script}\n", 'timeout = "2s"').start()
    with inst.connect() as pop:
        assert plain(pop, "anna").startswith(b"-ERR [SYS/TEMP]")
    inst.wait_log(why)
    until("the end of it", lambda: not checker.pids())


def test_its_surroundings(checker):
    """What it has: a clean environment, five descriptors, no rights; what it
    leaves running does not go on."""
    inst = checker.use("""#!/bin/sh
cat <&3 | od -An -tx1
env
for f in /proc/self/fd/*; do echo fd ${f##*/}; done
id -u
cat /etc/shadow && echo read it
sleep 1000 &
exit 1
""").start()
    with inst.connect() as pop:
        assert plain(pop, "anna", "pw").startswith(b"-ERR [AUTH]")
    inst.wait_log("PROTO=TCP")
    inst.wait_log("61 6e 6e 61 00 70 77 00 00")
    log = inst.log_text()
    assert "TCPREMOTEIP=127." in log and "SERVICE=pop3" in log
    assert "AUTHORIZED" not in log and "read it" not in log
    names = set(re.findall(r"check: ([A-Z_]+)=", log))
    assert names <= {"PATH", "LANG", "PROTO", "SERVICE", "TCPREMOTEIP",
                     "TCPLOCALIP", "PWD"}
    assert f"check: {ROLE_IDS['auth'] if ROOT else os.getuid()}" in log
    until("the end of it", lambda: not checker.pids())


@pytest.mark.parametrize("end", ["exit 1", "sleep 1000"])
def test_nothing_that_it_started_stays(checker, end):
    """Not even what wants a session or a process group of its own."""
    inst = checker.use(f"""#!/usr/bin/python3
import os, sys, time
pipe = os.pipe()
for leave in (os.setsid, os.setpgrp, lambda: None):
    if os.fork() == 0:
        leave()
        if os.fork() == 0:
            sys.stderr.write("it runs\\n")
            os.write(pipe[1], b"x")
            os.closerange(3, 10)
            time.sleep(1000)
        os._exit(0)
    os.read(pipe[0], 1)
os.execv("/bin/sh", ["sh", "-c", "{end}", "{checker.path}"])
""", 'timeout = "3s"').start()
    with inst.connect() as pop:
        assert plain(pop, "anna").startswith(b"-ERR")
    inst.wait_log("it runs")
    until("the end of all", lambda: not checker.pids())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("groups", [
    "elf,descriptor,options,auth,hygiene,versions,deadline",
    pytest.param("faults", marks=pytest.mark.slow)])
def test_plugin_check(checker, tmp_path, tree, groups):
    checker.use(manual_example(checker.users), "lookup = yes")
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    reply = tree / "usr/local/libexec/culver/checkpassword-reply"
    # not python, which starts slowly: all of it is asked for hundreds of times
    checker.path.write_text(f"""#!/bin/sh
IFS= read -r login <<E
$(head -c 512 <&3 | tr '\\0' '\\t')
E
tab=$(printf '\\t')
case $login in
"user1${{tab}}{PASSWORD}${{tab}}${{tab}}") ;;
"user1${{tab}}${{tab}}${{tab}}") [ "$AUTHORIZED" = 1 ] || exit 1 ;;
*) [ -z "$AUTHORIZED" ] || exit 3; exit 1 ;;
esac
[ -z "$AUTHORIZED" ] || AUTHORIZED=2
userdb_uid=7 userdb_gid=7 HOME=/home/anna EXTRA="userdb_uid userdb_gid"
export AUTHORIZED userdb_uid userdb_gid HOME EXTRA
exec "$1"
""")
    done = subprocess.run(
        [str(tree / "usr/local/bin/culver-plugin"), "check", "--kind", "auth",
         "--user", "user1", "--password-file", str(password), "--only",
         groups, "--option",
         f'program={{"{checker.path}"}}', "--option", "lookup=yes",
         "--option", f"reply={reply}",
         "--plugin-dir", str(modules(tree)), "checkpassword"],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not ok" not in done.stdout
