"""Metrics: what is counted is exact, never goes back, is in the format's own
parser's eyes right, and is in the manual."""
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

import lmtp
import metrics
from culver import (Failure, halt, make_certificate, numbered, proc_stat,
                    until)
from databases import login_works
from metrics import by_ctl, by_socket

pytestmark = pytest.mark.once
MANUAL = Path(__file__).resolve().parents[2] / \
    "core/metrics/culver-metrics.7"


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(
        users=4, listen=metrics.LISTEN +
        ' listen lmtp { protocol = lmtp address = "unix:{dir}/run/lmtp" }',
        extra="auth_cache { time = 1h }")
    inst.start()
    until("all roles", lambda: by_ctl(inst).get(
        "culver_processes", role="gate") == (os.cpu_count() or 1))
    return inst


def grown(instance, work, wanted):
    """After WORK all counters of WANTED (NAME or (NAME, {labels}): by how
    much) grew by that, and what is not in it did not, of those families."""
    before = by_ctl(instance)
    work()

    def value(m, key):
        name, labels = key if isinstance(key, tuple) else (key, ())
        return m.get(name, **dict(labels))

    def differences():
        now = by_ctl(instance)
        return {k: (value(now, k) - value(before, k), n)
                for k, n in wanted.items()
                if value(now, k) - value(before, k) != n}
    try:
        until("the counts", lambda: not differences())
    except Failure:
        raise Failure(f"counted, and expected: {differences()}") from None
    now = by_ctl(instance)
    for name in {k if isinstance(k, str) else k[0] for k in wanted}:
        assert now.get(name) - before.get(name) == sum(
            n for k, n in wanted.items()
            if (k if isinstance(k, str) else k[0]) == name), name


def of(name, **labels):
    return (name, tuple(labels.items()))


def test_a_set_of_sessions(instance):
    a, b, c, _ = instance.users
    for user in (a, b):
        user.empty()
        user.deliver_all(numbered(i) for i in (1, 2, 3))
    octets = 0

    def work():
        nonlocal octets
        for user, mode, mech in ((a, "plain", "USER"), (a, "tls", "PLAIN"),
                                 (b, "stls", "PLAIN")):
            with instance.connect(mode) as pop:
                reply = pop.login(user.name) if mech == "USER" \
                    else pop.auth_plain(user.name)
                assert reply.startswith(b"+OK"), reply
                octets += len(pop.multi("RETR 1")) + len(pop.multi("RETR 2"))
                pop.multi("TOP 1 0")
                pop.ok("DELE 1")
                pop.quit()
            instance.wait_log("session-end", f"user={user.name}")
        with instance.login(c):
            until("the others' end", lambda: by_ctl(instance).get(
                "culver_sessions") == 1)
        for name, n in ((a.name, 3), ("nobody", 2)):
            for _ in range(n):
                with instance.connect() as pop:
                    assert pop.login(name, "wrong").startswith(b"-ERR")

    wanted = {
        of("culver_logins_total", tls="no", mechanism="USER"): 2,
        of("culver_logins_total", tls="yes", mechanism="PLAIN"): 2,
        of("culver_login_failures_total", reason="bad-password"): 3,
        of("culver_login_failures_total", reason="unknown-user"): 2,
        of("culver_sessions_ended_total", tls="no", reason="quit"): 1,
        of("culver_sessions_ended_total", tls="yes", reason="quit"): 2,
        of("culver_sessions_ended_total", tls="no", reason="disconnect"): 1,
        "culver_messages_retrieved_total": 6,
        "culver_messages_previewed_total": 3,
        "culver_messages_deleted_total": 3,
        "culver_session_duration_seconds_count": 4,
        "culver_breaches_total": 0, "culver_log_lines_lost_total": 0,
    }
    before = by_ctl(instance)
    grown(instance, work, wanted)
    after = by_ctl(instance)
    name = "culver_retrieved_bytes_total"
    assert after.get(name) - before.get(name) == octets > 0
    assert after.get("culver_sessions") == 0
    assert after.get("culver_session_duration_seconds_sum") > \
        before.get("culver_session_duration_seconds_sum")


def test_deliveries(instance):
    a, b = instance.users[2:4]
    message = b"Subject: x\r\n\r\nhello\r\n"

    def work():
        with lmtp.Lmtp(instance.dir / "run/lmtp") as c:
            c.expect("MAIL FROM:<x@example.org>", 250)
            c.expect(f"RCPT TO:<{a.name}@localhost>", 250)
            c.expect("RCPT TO:<nobody@localhost>", 550)
            c.expect(f"RCPT TO:<{b.name}@localhost>", 250)
            c.text(message)
            assert [c.reply()[0] for _ in range(2)] == [250, 250]

    grown(instance, work, {
        of("culver_deliveries_total", result="delivered"): 2,
        of("culver_recipients_refused_total", reason="unknown-user"): 1,
        "culver_logins_total": 0, "culver_sessions_ended_total": 0,
        of("culver_connections_accepted_total", role="lmtp"): 1,
    })
    assert by_ctl(instance).get("culver_delivered_bytes_total") > \
        2 * len(message)


def test_connections_of_gates_that_end(instance):
    """Those that they took after they said how many are counted, too."""
    def work():
        for _ in range(20):
            with instance.connect() as pop:
                pop.quit()
        instance.reload()
    grown(instance, work, {
        of("culver_connections_accepted_total", role="gate"): 20})


def test_many_failures_are_all_counted(instance):
    """Also those that the log leaves out."""
    def work():
        for _ in range(40):
            with instance.connect(source="127.0.0.83") as pop:
                pop.login("nobody", "wrong")
    grown(instance, work, {
        of("culver_login_failures_total", reason="unknown-user"): 40})
    lines = instance.log_lines("auth-failed", "127.0.0.83")
    assert len(lines) < 40


def test_lines_that_are_lost(one_instance):
    """While the log role does not read: each is counted, as the log says."""
    inst = one_instance(users=1).start()
    (pid,) = inst.role("log")
    halt([pid])
    try:
        for i in range(40):
            with inst.connect() as pop:
                for k in range(19):
                    pop.login(f"nobody-{i}-{k}-{'x' * 200}", "wrong")
    finally:
        os.kill(pid, signal.SIGCONT)
    # or the last line is lost as well
    until("what there is to be read", lambda: proc_stat(pid)[0] == b"S")
    with inst.connect() as pop:
        pop.login("last", "wrong")
    inst.wait_log("auth-failed", "user=last")
    said = sum(int(n) for n in re.findall(r"(\d+) log lines were lost here",
                                          inst.log_text()))
    lines = len(inst.log_lines("auth-failed"))
    assert lines + said == 40 * 19 + 1 and said > 0
    until("they are counted", lambda: by_ctl(inst).get(
        "culver_log_lines_lost_total") == said)
    assert by_ctl(inst).get("culver_login_failures_total") == 40 * 19 + 1


def test_cache(instance):
    user = instance.users[3]
    instance.ctl("auth-flush", user.name)

    def work():
        for _ in range(3):
            instance.login(user).quit()
    before = by_ctl(instance)
    work()
    hits = "culver_auth_cache_lookups_total"
    until("hits", lambda: by_ctl(instance).get(hits, result="hit") -
          before.get(hits, result="hit") >= 2)
    assert by_ctl(instance).get(hits, result="miss") > \
        before.get(hits, result="miss")


def test_connections_now(instance):
    name = "culver_connections"
    until("nobody", lambda: by_ctl(instance).get(name, role="gate") == 0)
    pops = [instance.connect("tls") for _ in range(5)]
    try:
        until("all five", lambda: by_ctl(instance).get(
            name, role="gate") == 5)
    finally:
        for pop in pops:
            pop.close()
    until("nobody", lambda: by_ctl(instance).get(name, role="gate") == 0)


def never_back(before, after):
    lost = {k: (v, after.values.get(k)) for k, v in before.counters().items()
            if after.values.get(k, -1) < v}
    assert not lost


def test_reload_and_deaths(instance):
    """Of the log role, which counts, and of coordinator and gate."""
    user = instance.users[0]
    instance.login(user).quit()
    n = len(instance.log_lines("session-end"))
    last = by_ctl(instance)

    def step():
        nonlocal last
        until("an answer", instance.greets)
        now = by_ctl(instance)
        never_back(last, now)
        last = now

    instance.reload()
    step()
    assert last.get("culver_reloads_total", result="done") >= 1
    assert last.get("culver_generation") >= 2
    assert last.get("culver_role_restarts_total") == 0
    for role in ("log", "auth", "gate", "metrics", "pool"):
        before = last.get("culver_role_restarts_total", role=role)
        pids = instance.role(role)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        until(f"a new {role}", lambda: instance.role(role) and
              not set(instance.role(role)) & set(pids))
        step()
        until("the restart", lambda: by_ctl(instance).get(
            "culver_role_restarts_total", role=role) > before)
    logins = last.get("culver_logins_total")
    until("a login", lambda: login_works(instance, user))
    until("it counts", lambda: by_ctl(instance).get("culver_logins_total") >
          logins)
    instance.wait_log("session-end", n=n + 1)
    good = instance.conf.read_text()
    instance.write_conf(good + "nonsense = 1\n")
    refused = by_ctl(instance).get("culver_reloads_total", result="refused")
    assert instance.ctl("reload").returncode == 1
    instance.write_conf(good)
    step()
    assert last.get("culver_reloads_total", result="refused") == refused + 1
    assert last.get("culver_start_time_seconds") == \
        by_ctl(instance).get("culver_start_time_seconds")


def test_scrapers_notice_no_reload(instance):
    """Whoever asks while generations change is answered."""
    errors, end = [], threading.Event()

    def work():
        try:
            last = by_socket(instance)
            while not end.is_set():
                now = by_socket(instance)
                never_back(last, now)
                last = now
        except BaseException as e:
            errors.append(repr(e))
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            instance.reload()
    finally:
        end.set()
        for thread in threads:
            thread.join(60)
    assert errors == []


def test_upgrade(one_instance):
    """Counts go on, and what sessions of the older culverd do is among them;
    the socket is handed over."""
    inst = one_instance(users=2, listen=metrics.LISTEN).start()
    inst.users[0].deliver_all([numbered(1)])
    inst.login(inst.users[1]).quit()
    with inst.login(inst.users[0], "tls") as pop:
        until("they count", lambda: by_ctl(inst).get(
            "culver_logins_total") == 2)
        before = by_socket(inst)
        done = inst.ctl("upgrade")
        assert done.returncode == 0, done.stderr
        after = by_socket(inst)
        zero = ("culver_sessions_refused_total", "culver_breaches_total")
        never_back(before, after)
        assert after.get("culver_start_time_seconds") == \
            before.get("culver_start_time_seconds")
        pop.multi("RETR 1")
        pop.quit()
    until("the older one's session", lambda: by_socket(inst).get(
        "culver_sessions_ended_total", tls="yes", reason="quit") == 1)
    inst.login(inst.users[1]).quit()
    until("the new one's", lambda: by_socket(inst).get(
        "culver_logins_total") == 3)
    assert by_socket(inst).get("culver_messages_retrieved_total") == 1
    assert all(by_socket(inst).get(name) == 0 for name in zero)


def test_both_ways_say_the_same(instance):
    ctl, sock = by_ctl(instance), by_socket(instance)
    assert {k: f.type for k, f in ctl.families.items()} == \
        {k: f.type for k, f in sock.families.items()}
    assert set(ctl.values) == set(sock.values)
    assert ctl.get("culver_logins_total") == sock.get("culver_logins_total")
    body = metrics.get(instance)[2]
    assert body.endswith(b"\n# EOF\n")
    head = metrics.get(instance)[1]
    assert head["Content-Type"] == \
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert int(head["Content-Length"]) == len(metrics.get(instance)[2])


@pytest.mark.needs("curl")
def test_curl(instance):
    done = subprocess.run(["curl", "-sS", "--fail", "--unix-socket",
                           metrics.path_of(instance),
                           "http://culver/metrics"], capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert metrics.Metrics(done.stdout).get("culver_build_info") == 1


def test_what_is_constant(instance):
    m = by_ctl(instance)
    (build,) = m.families["culver_build"].samples
    version = subprocess.run([instance.program("culverd"), "-V"],
                             capture_output=True, text=True).stdout
    assert build.labels["version"] in version
    assert m.get("culver_feature", name="seccomp") == 1
    assert m.get("culver_auth_queue", section="passwdfile") >= 0
    text = instance.ctl("metrics", "--json")
    assert text.returncode == 64


def test_certificate(one_instance):
    """Also when a renewed one is taken."""
    inst = one_instance(users=1).start()

    def left():
        m = by_ctl(inst)
        return (m.get("culver_certificate_expiry_seconds") -
                m.get("culver_start_time_seconds")) / 86400
    assert 29 < left() < 31
    make_certificate(inst.cert, inst.key, days=90)
    inst.reload()
    assert 89 < left() < 91


def test_nothing_of_users(instance):
    """Names and addresses are no labels."""
    text = by_ctl(instance).text
    assert "user1" not in text and "127.0.0." not in text


def test_who_may_ask(instance):
    mode = os.stat(metrics.path_of(instance)).st_mode & 0o777
    assert mode == 0o660


@pytest.mark.parametrize("text,said", (
    ('listen m { protocol = metrics address = "127.0.0.1:9999" }',
     "unix sockets only"),
    ("listen m { protocol = metrics tls = starttls }",
     "not for protocol = metrics"),
    ("listen m { protocol = metrics allow = {\"127.0.0.1\"} }",
     "not for protocol = metrics"),
    ("listen m { protocol = metrics } listen n { protocol = metrics }",
     "is used by")))
def test_wrong_listeners(make_instance, text, said):
    done = make_instance(users=1, listen=text).run("-t")
    assert done.returncode == 78 and said in done.stderr


def test_manual(instance):
    """culver-metrics(7) has all of them, and no others; make check compares
    the texts (tests/unit/man-options)."""
    m = by_ctl(instance)
    page = MANUAL.read_text()
    listed = set(re.findall(r"^\.It Li (culver_\w+)", page, re.M))
    suffix = {"counter": "_total", "info": "_info"}
    assert listed == {name + suffix.get(f.type, "")
                      for name, f in m.families.items()}
    for family in m.families.values():
        assert family.documentation in re.sub(r"\s+", " ", page)
