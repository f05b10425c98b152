"""The configuration as an administrator meets it: every mistake with file
and line in one run, certificates named, nothing changed by a bad reload."""
import os
import re

import pytest

from culver import (Pop, make_certificate, make_expired_certificate, numbered,
                    tls_context, until)

pytestmark = pytest.mark.once

# Forty mistakes, one a line that ends in "# !"; {dir} and {address} are put
# in.  The rest is right.
MISTAKES = '''
hostname = "mail example org"              # !
hostnam = "localhost"                      # !
run_dir = "relative/run"                   # !
state_dir = {"a", "b"}                     # !
log = "somewhere"                          # !
log_level = loud                           # !
control_group = "no-such-group-here"       # !
gates = many                               # !
colour = blue                              # !
login_time = "60s"                         # !
listen pop3 {
    address = {"{address}:99999"}          # !
    tls = sometimes                        # !
    plain_login = perhaps                  # !
    mode = "9999"                          # !
    path = "/x"                            # !
}
listen other { address = {"{address}"} }   # !
listen third { address = {"localhost:x"} } # !
listen {                                   # !
    address = {"{address}:3120"}
}
listen mail { address = {"{address}:3121"}
    protocol = imap                        # !
}
tls {
    certificate = "{dir}/tls/cert.pem"
    key = "{dir}/tls/key.pem"
    ciphers = "ALL"                        # !
    host "not a name" {                    # !
        certificate = "{dir}/tls/cert.pem"
        key = "{dir}/tls/key.pem"
    }
    host "mail.example.net" {              # !
        certificate = "{dir}/tls/cert.pem"
    }
}
auth passwdfile {
    path = "users"                         # !
    processes = 0                          # !
    colour = blue                          # !
    allow = {everything}                   # !
}
auth nosuchplugin { path = "/x" }          # !
storage maildir {
    path = "~/Maildir"
    create = perhaps                       # !
    groups = {"no-such-group-here"}        # !
    trust_sizes = 7                        # !
    maildir = yes                          # !
}
storage nosuchstorage { }                  # !
limits {
    idle_time = "10 bananas"               # !
    connections = 0                        # !
    connections_per_ip = -5                # !
    bad_commands = 1.5                     # !
    failure_delay = "1y"                   # !
    uid_ranges = {"5-1"}                   # !
    shared_uid = maybe                     # !
    expire = sometimes                     # !
    uid_min = 0                            # !
    connections = 20000                    # !
}
nosection { x = 1 }                        # !
'''


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=3)
    for user in inst.users:
        user.deliver_all(numbered(i) for i in (1, 2))
    return inst.start()


@pytest.fixture
def idle(one_instance):
    """Files and a configuration, nothing runs."""
    return one_instance(users=1)


def complaints(result, path):
    """Line number -> texts of FILE:LINE: lines; warnings are not among them."""
    found = {}
    for line in (result.stdout + result.stderr).splitlines():
        m = re.match(re.escape(str(path)) + r":(\d+): (.*)", line)
        if m and not re.search(r"\bwarning\b", m.group(2)):
            found.setdefault(int(m.group(1)), []).append(m.group(2))
    return found


def test_good(idle):
    result = idle.run("-t")
    assert result.returncode == 0, result.stderr


def test_forty_mistakes(idle):
    text = MISTAKES.replace("{address}", idle.address) \
        .replace("{dir}", str(idle.dir))
    wrong = {i for i, line in enumerate(text.splitlines(), 1)
             if line.rstrip().endswith("# !")}
    assert len(wrong) >= 40
    idle.write_conf(text)
    result = idle.run("-t")
    assert result.returncode == 78
    found = complaints(result, idle.conf)
    assert set(found) == wrong, result.stdout + result.stderr
    for line, texts in found.items():
        assert len(texts) == 1, (line, texts)
        assert len(texts[0]) > 20, "what is wrong, and what would be right"


@pytest.mark.parametrize("line", sorted(
    {line.strip().removesuffix("# !").strip() for line in
     MISTAKES.splitlines() if line.endswith("# !") and line[0] not in " }"
     and "{ " not in line and not line.rstrip(" #!").endswith("{")}))
def test_each_alone(idle, line):
    """The same complaint when nothing else is wrong."""
    idle.write_conf(idle.conf_text() + line.replace("{address}", idle.address)
                    + "\n")
    result = idle.run("-t")
    assert result.returncode == 78
    found = complaints(result, idle.conf)
    assert set(found) == {len(idle.conf.read_text().splitlines())} or \
        "twice" in str(found)


def test_a_bad_start_starts_nothing(idle):
    idle.write_conf(idle.conf_text() + "colour = blue\n")
    idle.start(wait=False)
    assert idle.proc.wait(20) == 78
    assert f"{idle.conf}:" in idle.log_text()
    assert not idle.wait_gone()
    idle.proc = None


def test_a_run_dir_whose_sockets_could_have_no_name(idle):
    text = re.sub("run_dir = .*", f'run_dir = "/{"x" * 100}"',
                  idle.conf_text())
    idle.write_conf(text)
    result = idle.run("-t")
    assert result.returncode == 78
    assert "too long" in str(complaints(result, idle.conf)), result.stderr


def test_syntax_mistakes_go_on(idle):
    """One broken line does not hide the next ones."""
    text = idle.conf_text().rstrip().splitlines()
    bad = ["user_case = = lower", 'log_level = "info', "}", "limits { x",
           "}", "colour = blue"]
    idle.write_conf("\n".join(text + bad) + "\n")
    result = idle.run("-t")
    assert result.returncode == 78
    found = complaints(result, idle.conf)
    n = len(text)
    assert {n + 1, n + 2, n + 3, n + 6} <= set(found), result.stderr


@pytest.mark.parametrize("text", (
    b"", b"\0", b"\xff\xfe" * 50, b"{" * 2000, b"}" * 2000, b'"', b"=", b"a",
    b"listen pop3 {", b"include", b'include "nosuch.conf"\n',
    b'include "../../../etc/passwd"\n', b'include "/etc/passwd"\n',
    b'include "culver.conf"\n', b"x" * 1000000, b"#" * 100000,
    b"a = {" + b'"x", ' * 20000 + b"}\n"), ids=range(17))
def test_rubbish(idle, text):
    idle.conf.write_bytes(text)
    result = idle.run("-t")
    assert result.returncode == 78
    assert "root:" not in result.stdout + result.stderr
    assert str(idle.conf) in result.stdout + result.stderr


def test_missing_file(idle):
    idle.conf.unlink()
    result = idle.run("-t")
    assert result.returncode != 0
    assert str(idle.conf) in result.stdout + result.stderr


def test_include(idle):
    idle.write_conf(idle.conf_text() + 'include "more.conf"\n')
    more = idle.dir / "more.conf"
    more.write_text("limits { bad_commands = 7 }\n")
    more.chmod(0o600)
    assert idle.run("-t").returncode == 0
    more.write_text("\n\nlimits { bad_commands = lots }\n")
    result = idle.run("-t")
    assert result.returncode == 78
    assert f"{more.name}:3:" in result.stdout + result.stderr


@pytest.mark.needs_root
@pytest.mark.parametrize("mode,uid", ((0o666, 0), (0o620, 0), (0o600, 61000)))
def test_an_include_that_others_could_write(idle, mode, uid):
    idle.write_conf(idle.conf_text() + 'include "more.conf"\n')
    more = idle.dir / "more.conf"
    more.write_text("limits { bad_commands = 7 }\n")
    os.chown(more, uid, uid)
    more.chmod(mode)
    result = idle.run("-t")
    assert result.returncode == 78
    assert "more.conf" in result.stdout + result.stderr


def test_version_and_usage(idle):
    result = idle.run("-V")
    assert result.returncode == 0 and "culver" in result.stdout.lower()


# --- certificates ------------------------------------------------------------


def rsa(idle):
    make_certificate(idle.cert, idle.key, algo="rsa")


def other_key(idle):
    make_certificate(idle.dir / "tls/x", idle.key)


def expired(idle):
    make_expired_certificate(idle.cert, idle.key)


def absent_cert(idle):
    idle.cert.unlink()


def absent_key(idle):
    idle.key.unlink()


def no_pem(idle):
    idle.cert.write_text("this is no certificate\n")


def no_key(idle):
    idle.key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n"
                        "-----END PRIVATE KEY-----\n")


def empty_cert(idle):
    idle.cert.write_text("")


def a_directory(idle):
    idle.key.unlink()
    idle.key.mkdir()


def swapped(idle):
    c, k = idle.cert.read_text(), idle.key.read_text()
    idle.cert.write_text(k)
    idle.key.write_text(c)


@pytest.mark.parametrize("spoil,names", (
    (other_key, "key.pem"), (expired, "cert.pem"), (absent_cert, "cert.pem"),
    (absent_key, "key.pem"), (no_pem, "cert.pem"), (no_key, "key.pem"),
    (empty_cert, "cert.pem"), (a_directory, "key.pem"),
    (swapped, "cert.pem")), ids=lambda x: getattr(x, "__name__", x))
def test_certificate_problem_is_named(idle, spoil, names):
    """`culverd -t` says which file, and where the configuration names it;
    start refuses."""
    spoil(idle)
    result = idle.run("-t")
    assert result.returncode == 78
    out = result.stdout + result.stderr
    assert re.search(re.escape(str(idle.conf)) + r":\d+: .*" +
                     re.escape(names), out), out


def test_rsa_is_good(idle):
    rsa(idle)
    assert idle.run("-t").returncode == 0, idle.run("-t").stderr


def test_rsa_beside_ecdsa(idle):
    make_certificate(idle.dir / "tls/r.pem", idle.dir / "tls/r.key",
                     algo="rsa")
    text = idle.conf_text().replace(
        f'certificate = "{idle.cert}"',
        f'certificate = {{"{idle.cert}", "{idle.dir}/tls/r.pem"}}').replace(
        f'key = "{idle.key}"',
        f'key = {{"{idle.key}", "{idle.dir}/tls/r.key"}}')
    idle.write_conf(text)
    assert idle.run("-t").returncode == 0, idle.run("-t").stderr
    idle.start()
    import ssl
    for cipher, kind in (("ECDHE-ECDSA-AES128-GCM-SHA256", b"ecdsa"),
                         ("ECDHE-RSA-AES128-GCM-SHA256", b"rsa")):
        c = tls_context()
        c.maximum_version = ssl.TLSVersion.TLSv1_2
        c.set_ciphers(cipher)
        with idle.connect("tls", context=c) as pop:
            assert pop.sock.cipher()[0] == cipher
            pop.ok("QUIT")


# --- reload -------------------------------------------------------------------


def serial(instance, mode="tls"):
    import hashlib
    with instance.connect(mode) as pop:
        der = pop.sock.getpeercert(binary_form=True)
        pop.ok("QUIT")
    return hashlib.sha256(der).hexdigest()


def test_bad_reload_changes_nothing(instance):
    """It says why; sessions, new logins, listeners and roles stay."""
    good = instance.conf.read_text()

    def roles():
        return {r: p for r, p in instance.roles().items() if r != "worker"}
    # what is no program yet counts as a worker
    until("every role", lambda: "pool" in instance.roles() and
          "worker" not in instance.roles())
    before = roles()
    with instance.login(instance.users[0]) as pop:
        # with run_dir: without it culverctl cannot know whom to ask
        for bad in (good + "colour = blue\n", "".join(
                good.splitlines(True)[:3]), good.replace(
                "passwdfile", "nosuchplugin")):
            instance.write_conf(bad)
            result = instance.ctl("reload")
            assert result.returncode != 0
            assert str(instance.conf) in result.stdout + result.stderr
            pop.ok("NOOP")
            instance.login(instance.users[1]).quit()
        instance.write_conf(good)
        pop.quit()
    until("the same roles", lambda: roles() == before)


def test_bad_sighup_changes_nothing(instance):
    import signal
    good = instance.conf.read_text()
    gates = instance.role("gate")
    instance.write_conf(good + "colour = blue\n")
    line = len(good.splitlines()) + 1
    os.kill(instance.pid, signal.SIGHUP)
    instance.wait_log(f"{instance.conf}:{line}:")
    instance.login(instance.users[1]).quit()
    assert instance.role("gate") == gates
    instance.write_conf(good)


def test_a_file_that_others_may_write_is_named_so(instance):
    instance.conf.chmod(0o666)
    try:
        done = instance.ctl("reload")
    finally:
        instance.conf.chmod(0o644)
    assert done.returncode == 78
    assert f"{instance.conf}:1: " in done.stderr and "chmod" in done.stderr


def test_control_group_needs_a_restart(instance):
    good = instance.conf.read_text()
    instance.write_conf(good + "control_group = 61234\n")
    done = instance.ctl("reload")
    instance.write_conf(good)
    assert done.returncode == 1
    assert "control_group" in done.stderr and "restart" in done.stderr


def test_bad_certificate_at_reload(instance):
    before = serial(instance)
    key = instance.key.read_text()
    instance.key.write_text("no key\n")
    try:
        assert instance.ctl("reload").returncode != 0
        assert serial(instance) == before
    finally:
        instance.key.write_text(key)


def test_reload_changes_what_it_says(instance):
    good = instance.conf.read_text()
    instance.write_conf(good.replace(
        "listen pop3s", f'listen third {{ address ='
        f' {{"{instance.address}:3113"}} }}\nlisten pop3s'))
    instance.reload()
    until("a greeting at the new listener", lambda: greets(instance, 3113))
    instance.write_conf(good)
    instance.reload()
    until("the end of the listener", lambda: not greets(instance, 3113))
    assert greets(instance, 3110)


def greets(instance, port):
    try:
        with Pop(instance.address, port=port, timeout=5) as pop:
            return pop.greeting.startswith(b"+OK")
    except (OSError, EOFError):
        return False


def test_sessions_outlive_a_reload(instance):
    """Plain and TLS, with their old gate and worker."""
    pops = [instance.login(u, m) for u, m in
            zip(instance.users, ("plain", "tls", "stls"))]
    instance.reload()
    until("new gates", lambda: greets(instance, 3110))
    for pop in pops:
        assert pop.stat()[0] == 2
        pop.multi("RETR 1")
        assert pop.quit().startswith(b"+OK")


def test_new_certificate_by_reload(instance):
    before = serial(instance)
    with instance.login(mode="tls") as pop:
        make_certificate(instance.cert, instance.key,
                         ("localhost", instance.address))
        instance.reload()
        until("the new certificate", lambda: serial(instance) != before)
        assert serial(instance, "stls") == serial(instance)
        pop.ok("NOOP")
        pop.quit()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_new_certificate_without_reload(instance):
    """Looked at every 30 s; renewals replace a link's target, too."""
    before = serial(instance)
    new = instance.dir / "tls/renewed.pem"
    make_certificate(new, instance.dir / "tls/renewed.key",
                     ("localhost", instance.address))
    for made, name in ((new, instance.cert),
                       (instance.dir / "tls/renewed.key", instance.key)):
        link = name.with_suffix(".link")
        link.symlink_to(made)
        os.rename(link, name)
    until("the new certificate", lambda: serial(instance) != before, 70,
          pause=0.5)
    instance.wait_log("certificates have changed")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_renewal_that_does_not_match_is_not_used(instance):
    """Half of a renewal: the pair is refused and the log says so."""
    before = serial(instance)
    make_certificate(instance.dir / "tls/half.pem",
                     instance.dir / "tls/half.key")
    n = len(instance.log_text())
    os.rename(instance.dir / "tls/half.pem", instance.cert)
    until("a word about it", lambda: str(instance.cert) in
          instance.log_text()[n:], 70, pause=0.5)
    assert serial(instance) == before
