"""`culverctl mailbox copy`: content, order, dates and UIDLs from any storage
to any other; interrupted and begun again without a double; verified.
"""
import itertools
import json
import os
import signal
import subprocess

import pytest

from corpus import CORPUS
from culver import modules, numbered, until, wire

SECTIONS = {
    "maildir": 'storage maildir { path = "~/Maildir" create = yes }',
    "second": 'storage second { plugin = maildir path = "~/second/box" '
              'create = yes }',
    "mbox": 'storage mbox { path = "~/mail/box" create = yes }',
    "sqlite": 'storage sqlite { path = "~/mail/box.db" create = yes }',
}


@pytest.fixture(scope="module")
def kinds(tree):
    there = {p.name for p in modules(tree).iterdir()}
    return [k for k in SECTIONS if k in ("maildir", "second") or
            f"storage_{k}.so" in there]


@pytest.fixture(scope="module")
def inst(make_instance, kinds):
    i = make_instance(users=1, storage="\n".join(SECTIONS[k] for k in kinds))
    return i


@pytest.fixture
def box(inst):
    user = inst.users[0]
    subprocess.run(["rm", "-rf", user.home], check=True)
    user.make()
    for name in ("second", "mail"):
        (user.home / name).mkdir(mode=0o700)
        user.own(user.home / name)
    set_section(inst, "maildir")
    return user


def set_section(inst, kind):
    inst.users[0].fields = f"userdb_storage={kind}"
    inst.write_users()


def copy(inst, source, target, *args, **kw):
    return inst.ctl("mailbox", "copy", "user1", "--from", source, "--to",
                    target, *args, **kw)


def good(*args):
    done = copy(*args)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def look(inst, kind, where):
    """[(UIDL, message)] as `list` and `export` give them."""
    set_section(inst, kind)
    listing = inst.ctl("--json", "mailbox", "list", "user1")
    assert listing.returncode == 0, listing.stderr
    where.mkdir()
    done = inst.ctl("mailbox", "export", "user1", str(where))
    assert done.returncode == 0, done.stderr
    return [(m["uidl"], wire((where / f"{m['number']:04}.eml").read_bytes()))
            for m in json.loads(listing.stdout)]


def fill(user, n=20):
    """Messages whose dates are not in the order of the mailbox."""
    for i in range(n):
        user.deliver(numbered(i, 400))
        path = next(p for b, p in user.files().items()
                    if b == f"{1700000000 + user._count}.M{user._count}"
                            f"P{os.getpid()}.test")
        os.utime(path, (1600000000 + i * 7919 % 1000,) * 2)


def test_round_trip(inst, kinds, box, tmp_path):
    """Through every storage that there is, and all that was is still so."""
    fill(box)
    dates = [int(p.stat().st_mtime) for _, p in sorted(box.files().items(),
             key=lambda f: int(f[0].split(".")[0]))]
    first = look(inst, "maildir", tmp_path / "first")
    assert len(first) == 20
    way = ["maildir", *[k for k in kinds if k not in ("maildir", "second")],
           "second"]
    for a, b in itertools.pairwise(way):
        assert good(inst, a, b) == \
            "20 messages copied, 20 are there and equal\n"
        assert look(inst, b, tmp_path / b) == first, b
        assert good(inst, a, b) == \
            "0 messages copied, 20 are there and equal\n"
    files = (box.home / "second/box/new").iterdir()
    assert [int(p.stat().st_mtime) for p in sorted(
        files, key=lambda p: p.name)] == dates


def test_odd_messages(inst, kinds, box, tmp_path):
    """Whatever is in a message goes through every storage unchanged."""
    # what an mbox cannot tell from another message comes last
    wanted = sorted((m for m in CORPUS.values() if len(m) < 1 << 20),
                    key=lambda m: not m.strip(b"\r\n."))
    plain = [m for m in wanted if m.strip(b"\r\n.")]
    box.deliver_all(plain)
    if "mbox" in kinds:
        good(inst, "maildir", "mbox")
        assert sorted(m for _, m in look(inst, "mbox", tmp_path / "mbox")) \
            == sorted(map(wire, plain))
    box.deliver_all(wanted[len(plain):])
    for kind in set(kinds) - {"maildir", "mbox"}:
        good(inst, "maildir", kind)
        assert sorted(m for _, m in look(inst, kind, tmp_path / kind)) == \
            sorted(map(wire, wanted)), kind


@pytest.mark.parametrize("kill", range(5))
def test_interrupted(inst, kinds, box, tmp_path, kill):
    """Killed at some time, and begun again: nothing twice, nothing lost."""
    for i in range(300):
        box.deliver(numbered(i, 2000))
    first = look(inst, "maildir", tmp_path / "first")
    for kind in kinds[1:]:
        argv = [inst.program("culverctl"), "-c", str(inst.conf), *inst.ids(),
                "mailbox", "copy", "user1", "--from", "maildir", "--to", kind]
        with subprocess.Popen(argv, start_new_session=True,
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as p:
            try:
                p.wait(0.15 + 0.12 * kill)
            except subprocess.TimeoutExpired:
                os.killpg(p.pid, signal.SIGKILL)
        good(inst, "maildir", kind)
        assert look(inst, kind, tmp_path / kind) == first, kind


def test_new_mail_comes_behind(inst, box, tmp_path):
    """A second run takes what came since."""
    fill(box, 3)
    good(inst, "maildir", "second")
    box.deliver(numbered(7))
    assert good(inst, "maildir", "second").startswith("1 messages copied, 4")
    assert look(inst, "second", tmp_path / "b") == \
        look(inst, "maildir", tmp_path / "a")


def test_conflict(inst, box):
    """A UIDL that is another message's there is said, and nothing copied."""
    fill(box, 3)
    good(inst, "maildir", "second")
    path = sorted((box.home / "second/box/new").iterdir())[1]
    path.write_bytes(b"changed\n")
    box.deliver(numbered(9))
    done = copy(inst, "maildir", "second")
    assert done.returncode == 65
    assert "is another message" in done.stderr
    assert len(list((box.home / "second/box/new").iterdir())) == 3


def test_uidl_that_is_taken(inst, box):
    """Names that bring a UIDL which another message has, or a bad one."""
    for n, name in enumerate(("1.a,CU=x", "2.b,CU=x", "x", "4.d,CU=a%2Fb%3a",
                              "5.e,CU=", "6.f,CU=%", "7.g,CU=a%00b")):
        box.deliver(numbered(n), name)

    def uidls():
        done = inst.ctl("--json", "mailbox", "list", "user1")
        assert done.returncode == 0, done.stderr
        return [m["uidl"] for m in json.loads(done.stdout)]
    first = uidls()
    assert len(set(first)) == 7 and "x" in first and "a/b:" in first
    assert {"5.e,CU=", "6.f,CU=%", "7.g,CU=a%00b"} < set(first)
    assert uidls() == first
    box.deliver(numbered(8), "8.h,CU=x")
    assert uidls()[:7] == first and len(set(uidls())) == 8


def test_import_goes_on(inst, kinds, box, tmp_path):
    """--resume leaves out what is there, each as often as it is there."""
    wanted = [numbered(i) for i in range(9)] + [numbered(3)]
    for i, message in enumerate(wanted):
        text = message if i % 2 else message.replace(b"\n", b"\r\n")
        (tmp_path / f"{i}.eml").write_bytes(text)
    half = tmp_path / "half"
    half.mkdir()
    for i in range(4):
        (half / f"{i}.eml").write_bytes(wanted[i])
    for kind in kinds:
        set_section(inst, kind)
        for path, new, old in ((half, 4, 0), (tmp_path, 6, 4),
                               (tmp_path, 0, 10)):
            done = inst.ctl("mailbox", "import", "user1", str(path),
                            "--resume")
            assert done.returncode == 0, done.stderr
            lines = done.stdout.splitlines()
            assert lines[-1].startswith(f"{new} messages "), done.stdout
            assert old == 0 or lines[0] == \
                f"{old} messages were there already"
        there = look(inst, kind, tmp_path / kind)
        assert sorted(m for _, m in there) == sorted(map(wire, wanted)), kind


def test_usage(inst, box):
    for args, status in ((("maildir", "maildir"), 64),
                         (("maildir", "nowhere"), 64)):
        assert copy(inst, *args).returncode == status
    assert inst.ctl("mailbox", "copy", "user1").returncode == 64
    assert inst.ctl("mailbox", "copy", "--from", "a").returncode == 64


def test_busy(make_instance):
    """Who is logged in keeps his mailbox; the copy can come again."""
    inst = make_instance(users=1, storage=SECTIONS["maildir"] + "\n" +
                         SECTIONS["second"]).start()
    user = inst.users[0]
    (user.home / "second").mkdir()
    user.own(user.home / "second")
    user.deliver(numbered(1))
    with inst.login(user):
        assert copy(inst, "maildir", "second").returncode == 75
    until("the copy", lambda: copy(inst, "maildir", "second").returncode == 0)
