"""A worker that misbehaves can do nothing to a mailbox of the same uid, to
its worker, or to the machine (DESIGN section 3): tests/security/storage_evil
tries it and reports."""
import errno
import os
import shutil

import pytest

import culver
from culver import alive, numbered

# stat of a name that one already knows cannot be denied on Linux, and so
# neither can a handle that only root could open (core/TRUST.md).
# Claims of mailboxes are read, and come to nothing.
HARMLESS = {"own-create", "own-read", "name-to-handle", "claims"}


@pytest.fixture(scope="module")
def evil_tree(copy_tree, build):
    """A copy of the tree with the evil plugin in it."""
    top = copy_tree()
    target = culver.modules(top) / "storage_evil.so"
    made = build / "tests/security/.libs/storage_evil.so"
    if not made.exists():
        pytest.fail(f"{made} is missing: make check builds it")
    shutil.copy(made, target)
    target.chmod(0o755)
    return top


@pytest.fixture(scope="module")
def instance(make_instance, evil_tree):
    inst = make_instance(evil_tree, users=3, same_uid=True,
                         limits='takeover = "10ms"', storage='''
storage maildir { path = "~/Maildir" }
storage evil { path = "~/Maildir" }''')
    inst.write_users()
    # the first user's section is the evil one
    text = inst.userfile.read_text().splitlines()
    text[0] += "storage=evil"
    inst.userfile.write_text("\n".join(text) + "\n")
    for user in inst.users[1:]:
        user.deliver(numbered(1))
        user.deliver(numbered(2))
    return inst.start()


def snapshot(top):
    """All that could have been changed below a directory."""
    found = {}
    for path in [top, *sorted(top.rglob("*"))]:
        st = path.lstat()
        found[str(path)] = (
            st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns,
            st.st_nlink, path.read_bytes() if path.is_file() else None,
            tuple(os.listxattr(path)))
    return found


@pytest.fixture(scope="module")
def outcome(instance):
    """Name of the attempt -> errno, 0 for success."""
    evil, victim = instance.users[0], instance.users[1]
    with instance.login(victim) as other:
        other.stat()
        pid = next(p for p in instance.role("worker"))
        message = next(iter(victim.files().values()))
        (evil.maildir / "attack").write_text(
            f"{victim.maildir} {message} {instance.dir}/run/control"
            f" {pid} {culver.PORT}\n")
        evil.own(evil.maildir / "attack")
        before = snapshot(victim.home)
        with instance.login(evil) as pop:
            text = pop.multi("RETR 1").decode()
            # while both live: the neighbour's session goes on
            assert alive(pid)
            other.ok("NOOP")
            other.multi("RETR 1")
            pop.quit()
        assert not instance.log_lines("reason=takeover")
        assert other.stat()[0] == 2
        after = snapshot(victim.home)
        other.quit()
    rows = [line.split() for line in text.split("\r\n\r\n", 1)[1]
            .split("\r\n") if line]
    found = {name: int(e) for name, e in rows}
    return found, before, after


def test_it_did_try(outcome):
    assert len(outcome[0]) > 100
    assert outcome[0]["own-create"] == 0 and outcome[0]["own-read"] == 0


def test_nothing_was_allowed(outcome):
    allowed = {name for name, e in outcome[0].items()
               if e == 0 and name not in HARMLESS}
    assert allowed == set()


def test_the_reason_is_the_sandbox(outcome):
    """Denied, not failed for a reason that another try would get round."""
    expected = {errno.EACCES, errno.EPERM, errno.ENOSYS, errno.EXDEV,
                errno.ENOENT, errno.EAGAIN, errno.ESRCH}
    odd = {name: errno.errorcode.get(e, e) for name, e in outcome[0].items()
           if e and e not in expected and name not in HARMLESS}
    assert odd == {}


def test_the_neighbours_mailbox_is_unchanged(outcome):
    _, before, after = outcome
    # the neighbour's own session may have made its cache
    ours = {k: v for k, v in before.items() if "culver-" not in k}
    now = {k: v for k, v in after.items() if "culver-" not in k}
    assert set(now) == set(ours)
    for path in ours:
        if not os.path.isdir(path):
            assert now[path] == ours[path], path


def test_it_was_logged(instance, outcome):
    """An administrator can see that a plugin did what it must not."""
    instance.wait_log("system call")


def test_another_session_of_the_evil_user_works(instance, outcome):
    with instance.login(instance.users[0]) as pop:
        assert pop.stat()[0] == 1
