"""culverctl: what runs, who is there, users, hashes, work in mailboxes; with
the daemon up and down."""
import json
import os
import re
import subprocess

import pytest

import culver
from culver import PASSWORD, numbered, until

pytestmark = pytest.mark.maildir

MESSAGES = [b"Subject: lf\n\n.dot\n..\n", b"Subject: crlf\r\n\r\nx\r\n",
            b"no header, no end", b"\xff\0 8 bit and NUL\r\rbare\n", b"\n"]


@pytest.fixture(scope="module")
def instance(make_instance):
    return make_instance(users=4).start()


@pytest.fixture
def box(instance):
    """A user whose mailbox holds MESSAGES."""
    user = instance.users[0]
    user.empty()
    user.deliver_all(MESSAGES)
    return user


def answer(instance, *args, **kw):
    done = instance.ctl("--json", *args, **kw)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# --- the daemon -------------------------------------------------------------

def test_status(instance):
    got = answer(instance, "status")
    assert got["pid"] == instance.pid
    roles = {(r["role"], r["pid"]) for r in got["roles"]}
    assert {r for r, _ in roles} == {"manager", "log", "auth",
                                         "pool", "gate"}
    for role, pid in roles:
        assert os.path.exists(f"/proc/{pid}"), role
    # the first gate greets before the last one runs
    until("all roles", lambda: all(
        r["phase"] == "running" for r in answer(instance, "status")["roles"]))
    text = instance.ctl("status").stdout
    assert f"process {instance.pid}" in text and "gate" in text


def test_who_and_kick(instance):
    user = instance.users[1]
    assert answer(instance, "who") == []
    with instance.login(user, "stls") as pop:
        (got,) = answer(instance, "who")
        assert (got["user"], got["uid"], got["tls"], got["mech"]) == \
            (user.name, user.uid, True, "USER")
        assert got["remote"].startswith("127.")
        assert user.name in instance.ctl("who").stdout
        assert instance.ctl("kick", "user2x").returncode == 1
        assert pop.cmd("NOOP").startswith(b"+OK")
        assert answer(instance, "kick", user.name) == {"ended": 1}
        assert pop.eof() == b""
    instance.wait_log("session-end", user.name, "reason=kick")
    until("nobody is there", lambda: answer(instance, "who") == [])


def test_kick_one_session(instance):
    with instance.login(instance.users[1]) as a, \
            instance.login(instance.users[2]) as b:
        ids = {s["user"]: s["session"] for s in answer(instance, "who")}
        assert instance.ctl("kick", "--session", ids["user2"]).returncode == 0
        assert a.eof() == b""
        assert b.cmd("NOOP").startswith(b"+OK")
    assert instance.ctl("kick", "--session", "xyz").returncode == 64


def test_reload_says_why_not(instance):
    good = instance.conf.read_text()
    instance.write_conf(good + "\nnonsense = 1\n")
    done = instance.ctl("reload")
    # what is wrong with the file keeps nobody from looking
    assert answer(instance, "status")["pid"] == instance.pid
    instance.write_conf(good)
    assert done.returncode == 1
    line = good.count("\n") + 2
    assert f"culver.conf:{line}: " in done.stderr
    assert instance.ctl("reload").returncode == 0


def test_config_and_plugins(instance):
    text = instance.ctl("config").stdout
    assert re.search(r'hostname = "localhost".*culver\.conf:1\b', text)
    assert "idle_time" in text and "default" in text
    names = {p["name"] for p in answer(instance, "plugins")}
    assert {"maildir", "passwdfile"} <= names


@pytest.mark.parametrize("args", ((), ("nonsense",), ("who", "x"),
                                  ("mailbox",), ("mailbox", "list"),
                                  ("mailbox", "delete", "user1"),
                                  ("mailbox", "copy", "user1", "user2")))
def test_wrong_use(instance, args):
    done = instance.ctl(*args)
    assert done.returncode == 64 and done.stderr
    if args[:1] == ("mailbox",) and "copy" not in args:
        assert "export" in done.stderr and "empty" in done.stderr


# --- users and passwords -------------------------------------------------------

def test_user(instance):
    user = instance.users[0]
    got = answer(instance, "user", user.name)
    assert (got["user"], got["uid"], got["gid"], got["home"]) == \
        (user.name, user.uid, user.gid, str(user.home))
    assert got["storage"] == "maildir"
    # the name as a client may send it: user_case
    assert answer(instance, "user", user.name.upper()) == got
    assert instance.ctl("user", "../x").returncode == 67
    done = instance.ctl("user", "nobody-here")
    assert done.returncode == 67 and "nobody-here" in done.stderr


@pytest.mark.parametrize("password,status", (
    (PASSWORD, 0), (PASSWORD + "\n", 0), ("wrong", 77), ("", 66),
    ("x" * 5000, 66)))
def test_login_test(instance, password, status):
    done = instance.ctl("login-test", "user1", input=password)
    assert done.returncode == status
    assert PASSWORD not in done.stdout + done.stderr


def test_login_test_says_what_a_login_would_meet(instance):
    """The password is right, and yet there is no session."""
    users = instance.dir / "users"
    good = users.read_text()
    hashed = instance.ctl("hash", input="x\n").stdout.strip()
    told = {}
    try:
        for rest in ("", "7:7::/home::", "700:700::/home::mail=mbox:~/x:y"):
            users.write_text(f"{good}tim:{hashed}:{rest}\n")
            told[rest] = instance.ctl("login-test", "tim", input="x\n")
    finally:
        users.write_text(good)
    assert all(done.returncode for done in told.values())
    nowhere, low, odd = (done.stderr for done in told.values())
    assert "uid, gid and home" in nowhere
    assert "uid_min" in low
    assert "not a path" in odd and "no auth section" not in odd


@pytest.mark.parametrize("scheme", (
    None, "SHA512-CRYPT", "SHA256-CRYPT", "BLF-CRYPT", "SCRYPT", "ARGON2ID",
    "ARGON2I", "PBKDF2", "SSHA512", "SSHA256", "SHA512", "SHA256",
    "SCRAM-SHA-256", "SCRAM-SHA-1"))
def test_hash_is_one_that_logs_in(instance, scheme):
    user = instance.users[3]
    args = ("--scheme", scheme) if scheme else ()
    done = instance.ctl("hash", *args, input="ein Wort\n")
    assert done.returncode == 0
    text = done.stdout.strip()
    end = "4096," if scheme and "SCRAM" in scheme else \
        "" if scheme and "SHA" in scheme and "CRYPT" not in scheme else "$"
    assert text.startswith("{" + (scheme or "YESCRYPT") + "}" + end)
    user.password = "ein Wort"
    instance.write_users({user.name: text})
    instance.login(user).quit()


def test_hash_of_an_unknown_scheme(instance):
    done = instance.ctl("hash", "--scheme", "rot13", input="x\n")
    assert done.returncode == 64 and "YESCRYPT" in done.stderr


# --- mailboxes --------------------------------------------------------------

def test_list_is_what_a_client_sees(instance, box):
    got = answer(instance, "mailbox", "list", box.name)
    with instance.login(box) as pop:
        sizes, uidls = pop.sizes(), pop.uidls()
    assert {m["number"]: m["octets"] for m in got} == sizes
    assert [m["uidl"].encode() for m in got] == \
        [u.encode() if isinstance(u, str) else u for u in uidls.values()]
    assert answer(instance, "mailbox", "stat", box.name) == \
        {"messages": len(MESSAGES), "octets": sum(sizes.values())}
    assert instance.ctl("mailbox", "check", box.name).returncode == 0


@pytest.mark.parametrize("options", ((), ("--json",)))
def test_no_list_of_what_cannot_be_opened(instance, box, options):
    box.maildir.rename(box.home / "away")
    try:
        done = instance.ctl(*options, "mailbox", "list", box.name)
    finally:
        (box.home / "away").rename(box.maildir)
    assert done.returncode != 0 and done.stdout == ""
    assert str(box.maildir) in done.stderr
    assert "status" not in done.stderr


def test_looking_needs_no_lock(instance, box):
    with instance.login(box):
        assert len(answer(instance, "mailbox", "list", box.name)) == \
            len(MESSAGES)
        done = instance.ctl("mailbox", "empty", box.name)
        assert done.returncode == 75 and "kick" in done.stderr
    assert len(box.files()) == len(MESSAGES)


def test_export_is_byte_for_byte(instance, box, tmp_path):
    out = tmp_path / "out"
    assert answer(instance, "mailbox", "export", box.name,
                  str(out))["messages"] == len(MESSAGES)
    files = sorted(out.iterdir())
    assert [f.name for f in files] == [f"{i:04}.eml" for i in
                                       range(1, len(MESSAGES) + 1)]
    assert [f.read_bytes() for f in files] == MESSAGES
    assert len(box.files()) == len(MESSAGES)


def test_export_overwrites_nothing(instance, box, tmp_path):
    (tmp_path / "0002.eml").write_bytes(b"mine")
    done = instance.ctl("mailbox", "export", box.name, str(tmp_path))
    assert done.returncode == 73 and "0002.eml" in done.stderr
    assert (tmp_path / "0002.eml").read_bytes() == b"mine"
    assert not (tmp_path / "0003.eml").exists()


def lf(message):
    return message.replace(b"\r\n", b"\n")


def check_imported(user, messages):
    got = sorted(user.contents().values())
    assert got == sorted(lf(m) for m in messages)
    for path in user.files().values():
        assert (path.stat().st_uid, path.stat().st_gid) == \
            (user.uid, user.gid)


def test_import_eml_in_name_order(instance, tmp_path):
    user = instance.users[1]
    user.empty()
    for i, m in enumerate(MESSAGES):
        (tmp_path / f"{9 - i}.eml").write_bytes(m)
    (tmp_path / "other.txt").write_text("not this")
    assert answer(instance, "mailbox", "import", user.name,
                  str(tmp_path))["messages"] == len(MESSAGES)
    check_imported(user, MESSAGES)
    with instance.login(user) as pop:
        first = pop.multi("RETR 1")
    assert first == b"\r\n"       # the last of MESSAGES has the name 5.eml


def test_import_puts_10000_behind_9999(instance, tmp_path):
    """As `export` names them, so that a large mailbox keeps its order."""
    user = instance.users[1]
    user.empty()
    names = ["0999", "1000", "1001", "9999", "10000", "10001", "a2", "a10"]
    for i, name in enumerate(names):
        (tmp_path / f"{name}.eml").write_bytes(numbered(i))
    assert instance.ctl("mailbox", "import", user.name,
                        str(tmp_path)).returncode == 0
    with instance.login(user) as pop:
        for i in range(len(names)):
            assert lf(pop.multi(f"RETR {i + 1}")) == numbered(i)


def test_import_maildir(instance, box):
    user = instance.users[2]
    user.empty()
    name = box.deliver(numbered(7), sub="cur", name="1600000000.first:2,S")
    assert answer(instance, "mailbox", "import", user.name,
                  str(box.maildir))["messages"] == len(MESSAGES) + 1
    check_imported(user, MESSAGES + [numbered(7)])
    with instance.login(user) as pop:
        assert lf(numbered(7)) == lf(pop.multi("RETR 1"))
    assert name in box.files()


def test_import_mbox(instance, tmp_path):
    user = instance.users[1]
    user.empty()
    mbox = tmp_path / "mbox"
    mbox.write_bytes(b"From a@b Mon\nSubject: 1\n\n>From x\nFrom y\n\n"
                     b"From c@d Tue\nSubject: 2\n\nlast")
    assert answer(instance, "mailbox", "import", user.name,
                  str(mbox))["messages"] == 2
    check_imported(user, [b"Subject: 1\n\nFrom x\nFrom y\n",
                          b"Subject: 2\n\nlast"])
    mbox.write_bytes(b"hello\n")
    done = instance.ctl("mailbox", "import", user.name, str(mbox))
    assert done.returncode == 65 and "no" in done.stderr
    assert len(user.files()) == 2


def test_import_follows_no_link(instance, tmp_path):
    """In a folder that the user could have made, root must not be led."""
    user = instance.users[1]
    user.empty()
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    folder = tmp_path / "mail"
    folder.mkdir()
    (folder / "1.eml").symlink_to(secret)
    done = instance.ctl("mailbox", "import", user.name, str(folder))
    assert done.returncode != 0 and "1.eml" in done.stderr
    assert user.files() == {}


@pytest.mark.needs_root
def test_a_file_name_does_not_reach_the_terminal(instance, box):
    """U+009B begins an escape sequence, as ESC [ does."""
    box.deliver(b"x\n", name="1.\x9b2J\x1b[2J")
    path = next(p for n, p in box.files().items() if "2J" in n)
    path.chmod(0)
    done = instance.ctl("mailbox", "check", box.name)
    assert done.returncode == 65 and "2J" in done.stderr, done
    assert all(" " <= c <= "~" or c == "\n" for c in done.stderr)


def test_delete_by_uidl(instance, box):
    names = sorted(box.files())
    done = instance.ctl("mailbox", "delete", box.name, names[1], names[3])
    assert done.returncode == 0 and "2 messages deleted" in done.stdout
    assert sorted(box.files()) == [names[0], names[2], names[4]]
    done = instance.ctl("mailbox", "delete", box.name, names[0], "no-such")
    assert done.returncode == 1 and "no-such" in done.stderr
    assert sorted(box.files()) == [names[2], names[4]]


def test_delete_one_uidl_named_twice(instance, box):
    name = sorted(box.files())[0]
    done = instance.ctl("mailbox", "delete", box.name, name, name)
    assert done.returncode == 0 and "1 messages deleted" in done.stdout, done
    assert name not in box.files()


def test_empty(instance, box):
    assert instance.ctl("mailbox", "empty", box.name).returncode == 0
    assert box.files() == {}


def test_absent_mailbox_is_not_empty(instance, box):
    gone = box.maildir.with_name("gone")
    box.maildir.rename(gone)
    for command in ("list", "stat", "check", "empty"):
        done = instance.ctl("mailbox", command, box.name)
        assert done.returncode == 75, done
        assert str(box.maildir) in done.stderr
    gone.rename(box.maildir)


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return f.read().split()


@pytest.mark.needs_root
def test_the_mailbox_process_has_no_terminal_of_ours(instance):
    """It is the user's: what root's shell has open is not for it."""
    user = instance.users[3]
    user.empty()
    for i in range(4000):
        (user.maildir / "new" / f"{i}.x,W=3").write_bytes(b"x\n")
    with subprocess.Popen(
            [instance.program("culverctl"), "-c", str(instance.conf),
             *instance.ids(), "mailbox", "list", user.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE) as ctl:
        # it cannot end: we do not read what it prints
        def worker():
            return [p for p in children(ctl.pid)
                    if f"\nUid:\t{user.uid}\t" in
                    open(f"/proc/{p}/status").read()]
        until("the mailbox process", worker)
        opened = [os.readlink(f"/proc/{worker()[0]}/fd/{fd}")
                  for fd in range(3)]
        ctl.communicate()
    user.empty()
    if culver.SANITIZED:   # keeps stderr for what they find
        opened.pop()
    assert set(opened) == {"/dev/null"}


@pytest.mark.needs_root
def test_no_mailbox_of_a_system_uid(one_instance):
    inst = one_instance(users=1)
    inst.users[0].uid = 1
    inst.write_users()
    done = inst.ctl("mailbox", "list", "user1")
    assert done.returncode == 77 and "uid" in done.stderr


def test_with_the_daemon_down(one_instance):
    inst = one_instance(users=1)
    user = inst.users[0]
    user.deliver_all(MESSAGES)
    for command in ("status", "who", "reload"):
        done = inst.ctl(command)
        assert done.returncode == 69 and "running" in done.stderr
    assert answer(inst, "user", user.name)["uid"] == user.uid
    assert inst.ctl("login-test", user.name,
                    input=PASSWORD).returncode == 0
    assert answer(inst, "mailbox", "stat",
                  user.name)["messages"] == len(MESSAGES)


@pytest.mark.needs_root
def test_others_may_not_ask(instance):
    done = subprocess.run(
        ["setpriv", "--reuid=60999", "--regid=60999", "--clear-groups", "--",
         instance.program("culverctl"), "-s",
         str(instance.dir / "run/control"), "who"],
        capture_output=True, text=True)
    assert done.returncode == 77 and "root" in done.stderr
