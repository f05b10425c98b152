"""The log: a line for a login, for a session's end, for a failure; the
fail2ban filter; nothing secret and nothing forged in it."""
import re
import shutil

import pytest

import fail2ban
from culver import PASSWORD, numbered, until


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=2)
    for user in inst.users:
        user.deliver_all(numbered(i) for i in (1, 2, 3))
    return inst.start()


def fields(line):
    """key=value, values perhaps in quotes."""
    return dict((k, v.strip('"')) for k, v in
                re.findall(r'([\w-]+)=("(?:[^"\\]|\\.)*"|\S*)', line))


@pytest.mark.parametrize("mode,mech", (("plain", "USER"), ("tls", "PLAIN"),
                                       ("stls", "PLAIN")))
def test_a_session(instance, mode, mech):
    user = instance.users[0]
    logins = len(instance.log_lines("login", f"user={user.name}"))
    with instance.connect(mode) as pop:
        reply = pop.login(user.name) if mech == "USER" \
            else pop.auth_plain(user.name)
        if not reply.startswith(b"+OK"):    # the last one's lock
            return test_a_session(instance, mode, mech)
        got = len(pop.multi("RETR 1")) + len(pop.multi("RETR 2"))
        pop.multi("TOP 3 1")
        pop.ok("DELE 1")
        pop.ok("RSET")
        pop.quit()
    line = instance.wait_log(" login ", f"user={user.name}",
                             n=logins + 1)[-1]
    f = fields(line)
    assert f["remote"].startswith("127.")
    assert f["tls"] == ("no" if mode == "plain" else "yes")
    assert f["mech"] == mech
    assert re.fullmatch(r"[0-9a-f]+", f["session"])
    assert int(f["uid"]) == user.uid and int(f["pid"]) > 1

    def end():
        return [x for x in instance.log_lines("session-end")
                if fields(x)["session"] == f["session"]]
    ends = until("the line of the session's end", end)
    assert len(ends) == 1
    e = fields(ends[0])
    assert e["user"] == user.name and e["tls"] == f["tls"]
    assert e["retr"] == "2" and e["octets"] == str(got)
    assert e["top"] == "1" and e["deleted"] == "0" and e["left"] == "3"
    assert e["reason"] == "quit" and int(e["duration-ms"]) >= 0
    assert int(e["left-octets"]) > 0
    assert len(instance.log_lines(" login ", f"user={user.name}")) >= logins


def end_reason(instance, user, act, word):
    pop = instance.login(user)
    n = len(instance.log_lines("session-end", f"user={user.name}"))
    act(pop)
    line = until("the line of the session's end", lambda: (
        instance.log_lines("session-end", f"user={user.name}")[n:]))[0]
    assert word in fields(line)["reason"], line


def test_reasons(instance):
    user = instance.users[1]
    end_reason(instance, user, lambda p: p.quit(), "quit")
    end_reason(instance, user, lambda p: p.close(), "disconnect")
    end_reason(instance, user, lambda p: p.reset(), "disconnect")


@pytest.mark.parametrize("user,reason", (("user1", "bad-password"),
                                         ("nobody", "unknown-user")))
def test_a_failure(instance, user, reason):
    source = "127.0.0.77"
    n = len(instance.log_lines("auth-failed", reason))
    with instance.connect(source=source) as pop:
        assert pop.login(user, "wrong").startswith(b"-ERR")
    line = instance.wait_log("auth-failed", reason, n=n + 1)[-1]
    f = fields(line)
    assert f["user"] == user and f["remote"] == source
    assert f["reason"] == reason


def test_nothing_secret(instance):
    with instance.connect() as pop:
        pop.login("user1", "S3cretW0rd")
        pop.cmd("AUTH PLAIN !!!S3cretW0rd")
        pop.cmd("XYZZY S3cretW0rd")
    instance.login().quit()
    instance.wait_log("auth-failed")
    log = instance.log_text()
    assert "S3cretW0rd" not in log and PASSWORD not in log
    assert "UzNjcmV0VzByZA" not in log


@pytest.mark.parametrize("name", (
    "x user=root", 'x" reason=ok', "x\x1b[31m", "x\x07\x08", "\xe9\xff",
    "x remote=192.0.2.66 reason=bad-password", "%s%s%n", "a" * 240))
def test_names_forge_no_lines(instance, name):
    source = "127.0.0.78"
    n = len(instance.log_lines("auth-failed", source))
    lines = len(instance.log_text().splitlines())
    with instance.connect(source=source) as pop:
        reply = pop.login(name, "wrong")
        assert reply.startswith(b"-ERR")
        pop.ok("QUIT")
    if b"[AUTH]" not in reply:
        return              # such a name was refused before it was asked for
    line = instance.wait_log("auth-failed", source, n=n + 1)[-1]
    assert all(" " <= c <= "~" for c in line), line
    assert fields(line)["remote"] == source
    assert len(instance.log_text().splitlines()) <= lines + 3
    assert "192.0.2.66" not in dict(re.findall(
        r"(?:^|\s)([\w-]+)=(\S+)", re.sub(r'"(?:[^"\\]|\\.)*"', '""',
                                          line))).values()


def test_fail2ban(instance):
    """Its filter finds the failures, all of them, and nothing else."""
    assert fail2ban.failregexes(), "no filter in contrib/fail2ban"
    source = "127.0.0.79"
    with instance.connect(source=source) as pop:
        for name in ("user1", "nobody", "x remote=192.0.2.66"):
            pop.login(name, "wrong")
    lines = instance.wait_log("auth-failed", source, n=3)
    assert [fail2ban.matches(line) for line in lines] == [source] * 3
    instance.login().quit()
    for line in instance.log_text().splitlines():
        if "auth-failed" not in line:
            assert fail2ban.matches(line) is None, line


@pytest.mark.needs("fail2ban-regex")
def test_fail2ban_itself(instance, tmp_path):
    import subprocess
    log = tmp_path / "log"
    with instance.connect() as pop:
        pop.login("nobody", "wrong")
    instance.wait_log("auth-failed", "nobody")
    n = len(instance.log_lines("auth-failed"))
    log.write_text(instance.log_text())
    conf = next(fail2ban.FILTER.rglob("filter.d/*.conf"))
    out = subprocess.run([shutil.which("fail2ban-regex"), str(log),
                          str(conf)], capture_output=True, text=True).stdout
    assert f"{n} matched" in out


def test_log_is_opened_again_on_reload(make_instance):
    """logrotate: moved away, then reload."""
    instance = make_instance(users=1).start_in_background()
    user = instance.users[0]
    instance.login(user).quit()
    until("a line in the file", lambda: instance.logfile.exists() and
          "session-end" in instance.logfile.read_text())
    assert instance.logfile.stat().st_mode & 0o007 == 0
    moved = instance.logfile.with_suffix(".1")
    instance.logfile.rename(moved)
    instance.reload()
    until("the new file", instance.logfile.exists)
    instance.login(user).quit()
    until("a line in the new file",
          lambda: "session-end" in instance.logfile.read_text())
    assert moved.read_text().count("session-end") == 1
