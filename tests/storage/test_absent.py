"""The absent mailbox: a fault never looks like an empty one.  Each time the
login says [SYS/TEMP], the log says why, and afterwards all is as before."""
import contextlib
import os
import shutil
import subprocess

import pytest

from culver import ROOT, Failure, numbered, own_mounts, until

N = 4


@pytest.fixture(scope="module")
def instance(make_instance):
    inst = make_instance(users=3, prefix="culver-absent-")
    for user in inst.users:
        user.deliver_all(numbered(i) for i in range(1, N + 1))
    # a mount namespace of its own: what is mounted ends with the daemon
    return inst.start(prefix=own_mounts() if ROOT else ())


@pytest.fixture
def user(instance):
    user = instance.users[0]
    with instance.login(user) as pop:
        user.uidls = pop.uidls()
        pop.quit()
    return user


def refused(instance, user, mode="plain", code=b"-ERR [SYS/TEMP]"):
    def reply():
        with instance.connect(mode) as pop:
            r = pop.login(user.name)
            pop.close()
            return None if b"[IN-USE]" in r else r
    got = until("an answer", reply)
    if not got.startswith(code):
        raise Failure(f"{got!r}\n{instance.log_text()[-2000:]}")


@contextlib.contextmanager
def without(path):
    """PATH is not there meanwhile."""
    away = path.with_name("." + path.name + ".away")
    path.rename(away)
    try:
        yield
    finally:
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.exists():
            shutil.rmtree(path)
        away.rename(path)


def as_before(instance, user):
    with instance.login(user) as pop:
        assert pop.uidls() == user.uidls
        assert pop.stat()[0] == N
        pop.quit()


@pytest.mark.parametrize("mode", ("plain", "tls"))
def test_missing(instance, user, mode):
    with without(user.maildir):
        refused(instance, user, mode)
    as_before(instance, user)


def test_missing_parent(instance, user):
    with without(user.home):
        refused(instance, user)
    as_before(instance, user)


@pytest.mark.parametrize("sub", ("new", "cur"))
def test_missing_sub(instance, user, sub):
    with without(user.maildir / sub):
        refused(instance, user)
    as_before(instance, user)


@pytest.mark.parametrize("sub", ("", "new", "cur"))
def test_chmod_0(instance, user, sub):
    path = user.maildir / sub
    path.chmod(0)
    try:
        refused(instance, user)
    finally:
        path.chmod(0o700)
    as_before(instance, user)


def test_chmod_0_parent(instance, user):
    user.home.chmod(0)
    try:
        refused(instance, user)
    finally:
        user.home.chmod(0o700)
    as_before(instance, user)


@pytest.mark.parametrize("sub", ("", "new", "cur"))
@pytest.mark.parametrize("kind", ("file", "dangling", "loop", "empty"))
def test_something_else_in_its_place(instance, user, sub, kind):
    path = user.maildir / sub if sub else user.maildir
    if kind == "empty" and sub:
        return              # an empty new/ or cur/ is right
    with without(path):
        if kind == "file":
            path.write_text("")
        elif kind == "dangling":
            path.symlink_to(user.home / "nowhere")
        elif kind == "loop":
            path.symlink_to(path)
        else:
            path.mkdir(mode=0o700)
        user.own(path)
        refused(instance, user)
    as_before(instance, user)


def test_root_owns_what_is_there(instance, user):
    """A bare mount point: root's, empty."""
    if not ROOT:
        return
    with without(user.maildir):
        user.maildir.mkdir(mode=0o755)
        refused(instance, user)
    as_before(instance, user)


def nsenter(instance, *argv):
    subprocess.run(["nsenter", "-t", str(instance.pid), "-m", "-r",
                    *map(str, argv)], check=True)


@pytest.mark.needs_root
@pytest.mark.needs("nsenter", "unshare", "mount")
@pytest.mark.parametrize("what", ("maildir", "home", "maildir-made"))
@pytest.mark.parametrize("kind", ("bind", "tmpfs"))
def test_empty_mount(instance, user, what, kind):
    """Another file system is mounted in its place, or over its parent; even
    one with empty new/ and cur/ in it (a fresh disk)."""
    path = user.home if what == "home" else user.maildir
    empty = instance.dir / "empty-mount"
    shutil.rmtree(empty, ignore_errors=True)
    empty.mkdir(mode=0o700)
    user.own(empty)
    if kind == "bind":
        nsenter(instance, "mount", "--bind", empty, path)
    else:
        nsenter(instance, "mount", "-t", "tmpfs", "-o",
                f"mode=700,uid={user.uid}", "none", path)
    try:
        if what == "maildir-made":
            code = "import os,sys\nfor d in sys.argv[2:]:\n" \
                   " os.mkdir(d, 0o700); os.chown(d, int(sys.argv[1]), -1)"
            nsenter(instance, "/usr/bin/python3", "-c", code, user.uid,
                    *(path / d for d in ("tmp", "new", "cur")))
            if "index_dir" not in instance.conf_text():
                return      # nothing is left that knew better
        refused(instance, user)
    finally:
        nsenter(instance, "umount", path)
    as_before(instance, user)


def test_all_messages_gone_at_once(make_instance):
    """The state, kept elsewhere, knows of messages; new/ and cur/ are fresh
    and empty: a disk that is not mounted or was restored without mail."""
    inst = make_instance(users=1)
    index = inst.dir / "home" / "user1" / "index"
    index.mkdir(mode=0o700)
    inst.users[0].own(index)
    inst.parts["storage"] = 'storage maildir { path = "~/Maildir"' \
                            ' index_dir = "~/index" }'
    inst.write_conf()
    inst.start()
    user = inst.users[0]
    user.deliver_all(numbered(i) for i in range(1, N + 1))
    with inst.login(user) as pop:
        user.uidls = pop.uidls()
        pop.sizes()
        pop.quit()
    with without(user.maildir):
        user.make()
        refused(inst, user)
    as_before(inst, user)
    # deleted by another reader, in the same directories: that is believed
    for path in user.files().values():
        path.unlink()
    with inst.login(user) as pop:
        assert pop.stat()[0] == 0
        pop.quit()


def test_index_dir_missing(make_instance):
    inst = make_instance(users=1, storage='storage maildir {'
                         ' path = "~/Maildir" index_dir = "~/index" }')
    inst.users[0].deliver(numbered(1))
    inst.start()
    refused(inst, inst.users[0])
    (inst.users[0].home / "index").mkdir(mode=0o700)
    inst.users[0].own(inst.users[0].home / "index")
    inst.login(inst.users[0]).quit()


class TestCreate:
    """`create = yes`: made if the parent exists and is the user's."""

    @pytest.fixture(scope="class")
    def creating(self, make_instance):
        return make_instance(users=4, storage='storage maildir {'
                             ' path = "~/mail/Maildir"'
                             ' create = yes }').start()

    @staticmethod
    def make_parent(user):
        (user.home / "mail").mkdir(mode=0o700)
        user.own(user.home / "mail")

    def test_made(self, creating):
        user = creating.users[0]
        self.make_parent(user)
        with creating.login(user) as pop:
            assert pop.stat() == (0, 0)
            pop.quit()
        made = user.home / "mail/Maildir"
        assert {p.name for p in made.iterdir() if p.is_dir()} >= \
            {"tmp", "new", "cur"}
        assert made.stat().st_mode & 0o077 == 0
        assert made.stat().st_uid == user.uid

    def test_parent_missing(self, creating):
        refused(creating, creating.users[1])
        assert not (creating.users[1].home / "mail").exists()

    @pytest.mark.needs_root
    def test_parent_is_roots(self, creating):
        """A bare mount point."""
        user = creating.users[2]
        (user.home / "mail").mkdir(mode=0o755)
        refused(creating, user)
        assert os.listdir(user.home / "mail") == []

    def test_a_known_mailbox_is_not_made_anew(self, creating):
        """With its new/ or cur/ missing it is broken, not absent."""
        user = creating.users[3]
        self.make_parent(user)
        creating.login(user).quit()
        made = user.home / "mail/Maildir"
        (made / "new/1700000001.M1P1.test").write_bytes(numbered(1))
        user.own(made / "new/1700000001.M1P1.test")
        with creating.login(user) as pop:
            assert pop.stat()[0] == 1
            pop.quit()
        with without(made / "new"):
            refused(creating, user)


def test_the_log_says_why(instance, user):
    n = len(instance.log_text())
    with without(user.maildir):
        refused(instance, user)
    until("the reason in the log",
          lambda: str(user.maildir) in instance.log_text()[n:])
