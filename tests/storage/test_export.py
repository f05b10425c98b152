"""`culverctl mailbox export`: each message once and whole, whenever it was
interrupted; a folder with anything else in it is left alone.
"""
import fcntl
import json
import os
import resource
import signal
import subprocess

import pytest

from culver import modules, numbered, until, wire

SECTIONS = {
    "maildir": 'storage maildir { path = "~/Maildir" create = yes }',
    "mbox": 'storage mbox { path = "~/mail/box" create = yes }',
    "sqlite": 'storage sqlite { path = "~/mail/box.db" create = yes }',
}
MARK = ".culver-export"
ROOM, BIG = 1 << 20, 3 << 20     # octets; the configuration has less


@pytest.fixture(scope="module")
def kinds(tree):
    there = {p.name for p in modules(tree).iterdir()}
    return [k for k in SECTIONS if f"storage_{k}.so" in there or
            k == "maildir"]


@pytest.fixture(scope="module")
def inst(make_instance, kinds):
    return make_instance(users=2, storage="\n".join(SECTIONS[k]
                                                    for k in kinds))


@pytest.fixture
def box(inst):
    user = inst.users[0]
    subprocess.run(["rm", "-rf", user.home], check=True)
    user.make()
    (user.home / "mail").mkdir(mode=0o700)
    user.own(user.home / "mail")
    set_section(inst, "maildir")
    return user


def set_section(inst, kind):
    inst.users[0].fields = f"userdb_storage={kind}"
    inst.write_users()


def export(inst, out, user="user1", **kw):
    return inst.ctl("mailbox", "export", user, str(out), **kw)


def good(inst, out):
    """[the answer's lines] of an export that ends well."""
    done = export(inst, out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(p.name for p in out.iterdir()) == names(out)
    return done.stdout.splitlines()


def names(out):
    return sorted(p.name for p in out.glob("[0-9]*.eml"))


def contents(out):
    return [wire((out / name).read_bytes()) for name in names(out)]


def interrupted(inst, out, room):
    """An export that dies where a file would have more than ROOM octets."""
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    done = export(inst, out, preexec_fn=limit)
    assert done.returncode == -signal.SIGXFSZ


def test_goes_on(inst, box, tmp_path):
    """Killed in the middle of a message: that has no name, and is next."""
    wanted = [numbered(i, BIG if i == 5 else 400) for i in range(9)]
    box.deliver_all(wanted)
    out = tmp_path / "out"
    interrupted(inst, out, ROOM)
    assert names(out) == [f"{i:04}.eml" for i in range(1, 6)]
    assert contents(out) == [wire(m) for m in wanted[:5]]
    assert (out / MARK).exists()
    before = [(out / n).stat() for n in names(out)]
    lines = good(inst, out)
    assert lines[0] == "5 messages were there already"
    assert lines[1].startswith("4 messages ")
    assert contents(out) == [wire(m) for m in wanted]
    assert [(out / n).stat().st_ino for n in names(out)[:5]] == \
        [s.st_ino for s in before]


@pytest.mark.parametrize("kill", range(4))
def test_killed(inst, kinds, box, tmp_path, kill):
    """At any time, and begun again: nothing twice, nothing lost or torn."""
    wanted = [wire(numbered(i % 290, 2000)) for i in range(300)]
    box.deliver_all(wanted)
    for kind in kinds:
        if kind != "maildir":
            done = inst.ctl("mailbox", "copy", "user1", "--from", "maildir",
                            "--to", kind)
            assert done.returncode == 0, done.stderr
        set_section(inst, kind)
        out = tmp_path / kind
        argv = [inst.program("culverctl"), "-c", str(inst.conf), *inst.ids(),
                "mailbox", "export", "user1", str(out)]
        with subprocess.Popen(argv, start_new_session=True,
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as p:
            until("some files", lambda: p.poll() is not None or
                  out.exists() and len(names(out)) >= 1 + 60 * kill,
                  pause=0)
            os.killpg(p.pid, signal.SIGKILL)
        there = contents(out)
        assert there == wanted[:len(there)]
        good(inst, out)
        assert contents(out) == wanted, kind


def test_again(inst, box, tmp_path):
    """A complete one copies nothing, then what is new."""
    box.deliver_all(numbered(i) for i in range(3))
    good(inst, tmp_path / "out")
    assert good(inst, tmp_path / "out") == [
        "3 messages were there already", "0 messages exported"]
    box.deliver(numbered(7))
    done = inst.ctl("--json", "mailbox", "export", "user1",
                    str(tmp_path / "out"))
    answer = json.loads(done.stdout)
    assert (answer["messages"], answer["exported"]) == (4, 1)
    assert contents(tmp_path / "out")[3] == wire(numbered(7))


def test_equal_messages(inst, box, tmp_path):
    """As many files as there are messages, also if those are the same."""
    box.deliver_all([numbered(1)] * 5 + [numbered(2, BIG)])
    interrupted(inst, tmp_path / "out", ROOM)
    (tmp_path / "out/0003.eml").unlink()
    good(inst, tmp_path / "out")
    assert sorted(contents(tmp_path / "out")) == \
        sorted([wire(numbered(1))] * 5 + [wire(numbered(2, BIG))])


def test_order(inst, box, tmp_path):
    """What is missing in between goes to where it was."""
    wanted = [numbered(i) for i in range(8)] + [numbered(8, BIG)]
    box.deliver_all(wanted)
    interrupted(inst, tmp_path / "out", ROOM)
    for n in (1, 4, 5):
        (tmp_path / f"out/{n:04}.eml").unlink()
    good(inst, tmp_path / "out")
    assert contents(tmp_path / "out") == [wire(m) for m in wanted]


def test_deleted_meanwhile(inst, box, tmp_path):
    """What left the mailbox stays in the folder of a begun export."""
    box.deliver_all([numbered(0), numbered(1), numbered(2, BIG)])
    interrupted(inst, tmp_path / "out", ROOM)
    next(p for p in box.files().values() if p.read_bytes() ==
         numbered(1)).unlink()
    done = export(inst, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "0002.eml" in done.stderr
    assert contents(tmp_path / "out") == [
        wire(numbered(i, BIG if i == 2 else 300)) for i in range(3)]


@pytest.mark.parametrize("name,text,says", (
    ("notes.txt", b"mine", "notes.txt"), ("0002.eml", b"mine", "0002.eml"),
    ("cur", None, "cur"), (".hidden", b"", ".hidden"),
    (MARK, b"culver-export 1 user2\n", "another mailbox")))
def test_foreign_folder(inst, box, tmp_path, name, text, says):
    """Nothing is done where other things are, and why is said."""
    box.deliver_all(numbered(i) for i in range(3))
    out = tmp_path / "out"
    out.mkdir()
    (out / "0001.eml").write_bytes(numbered(0))
    if text is None:
        (out / name).mkdir()
    else:
        (out / name).write_bytes(text)
    done = export(inst, out)
    assert done.returncode == 73
    assert says in done.stderr and "empty" in done.stderr
    assert sorted(p.name for p in out.iterdir()) == sorted(["0001.eml", name])


def test_link_is_not_followed(inst, box, tmp_path):
    box.deliver_all(numbered(i) for i in range(3))
    (tmp_path / "secret").write_bytes(numbered(0))
    out = tmp_path / "out"
    out.mkdir()
    for name in ("0001.eml", MARK, MARK + ".new"):
        link = out / name
        link.symlink_to(tmp_path / "secret")
        done = export(inst, out)
        if name == MARK + ".new":
            assert done.returncode == 0 and not link.exists()
        else:
            assert done.returncode == 73 and name in done.stderr
            link.unlink()
    assert (tmp_path / "secret").read_bytes() == numbered(0)


def test_two_at_once(inst, box, tmp_path):
    box.deliver(numbered(1))
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        done = export(inst, tmp_path)
    finally:
        os.close(fd)
    assert done.returncode == 73 and "another export" in done.stderr
    assert names(tmp_path) == []


def test_progress(inst, box, tmp_path):
    """On a terminal one sees how far it is; else only the result."""
    box.deliver_all(numbered(i) for i in range(3))
    main, side = os.openpty()
    try:
        argv = [inst.program("culverctl"), "-c", str(inst.conf), *inst.ids(),
                "mailbox", "export", "user1", str(tmp_path / "out")]
        subprocess.run(argv, stderr=side, check=True,
                       stdout=subprocess.DEVNULL)
        text = os.read(main, 65536)
    finally:
        os.close(main)
        os.close(side)
    assert b"exporting 3 of 3" in text and b"verifying 3 of 3" in text
    assert export(inst, tmp_path / "out").stderr == ""
