"""What the machine does not give: each is in the status, and once in the log
with what it costs; culverd -t says what it can know."""
import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from culver import own_mounts, until

pytestmark = [pytest.mark.needs_root, pytest.mark.once]
LACKING = str(Path(__file__).parent.parent / "lacking.py")


def lacking(*names):
    return (sys.executable, LACKING, ",".join(names))


def undumpable(instance):
    """fs.suid_dumpable is 1, for who is started so."""
    fake = instance.dir / "suid_dumpable"
    fake.write_text("1\n")
    return (*own_mounts(), "sh", "-c",
            f'mount --bind {fake} /proc/sys/fs/suid_dumpable && exec "$@"',
            "sh")


def status(instance):
    done = instance.ctl("--json", "status")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def absent(instance):
    return {f["feature"] for f in status(instance)["features"]
            if not f["given"]}


def said(instance):
    """Feature -> lines of the log about it."""
    found = {}
    for line in instance.log_lines("feature-missing"):
        assert re.search(r"\bwarn feature-missing ", line), line
        assert re.search(r' needs="?\S.* costs="\S+ \S+', line), line
        name = re.search(r"feature=(\S+)", line).group(1)
        found.setdefault(name, []).append(line)
    return found


def all_run(instance):
    """Each role may find that something is missing."""
    until("all roles", lambda: all(
        r["phase"] == "running" for r in status(instance)["roles"]))


def is_said_once(instance, names):
    """Each is in the status, its cost too, and has one line in the log."""
    all_run(instance)
    until("the lines",
          lambda: names <= absent(instance) == set(said(instance)))
    lines = said(instance)
    assert all(len(found) == 1 for found in lines.values()), lines
    text = instance.ctl("status").stdout
    for f in status(instance)["features"]:
        row = re.search(rf"^{f['feature']} +(yes|no) .*", text, re.M)
        assert row.group(1) == ("yes" if f["given"] else "no")
        assert (f["costs"] in row.group(0)) == (not f["given"])
    return lines


ALL_OF_LANDLOCK = {"landlock", "landlock-refer", "landlock-truncate",
                   "landlock-net", "landlock-ioctl", "landlock-scope"}


@pytest.mark.parametrize("name,also", (
    ("landlock", ALL_OF_LANDLOCK), ("seccomp", {"seccomp"}),
    ("memory-lock", {"memory-lock"}), ("memfd-noexec", {"memfd-noexec"})))
def test_a_kernel_without(one_instance, name, also):
    instance = one_instance(users=1)
    instance.start(prefix=lacking(name))
    is_said_once(instance, also)
    instance.login().quit()         # it works all the same
    if name == "landlock":
        assert status(instance)["landlock"] == 0
    instance.reload()
    is_said_once(instance, also)    # and is not said again


def test_suid_dumpable(one_instance):
    instance = one_instance(users=1)
    instance.start(prefix=undumpable(instance))
    is_said_once(instance, {"undumpable"})
    done = subprocess.run([*undumpable(instance), *instance.argv("-t")],
                          capture_output=True, text=True)
    assert done.returncode == 0
    assert re.search(r"warning: .* undumpable .*0 or 2.*: ", done.stderr)


def test_few_descriptors(one_instance):
    instance = one_instance(users=1)
    instance.start(prefix=("prlimit", "--nofile=2500:2500"))
    is_said_once(instance, {"descriptors"})
    assert status(instance)["connections_max"] < 20000


def test_check_says_so_too(one_instance):
    instance = one_instance(users=1)
    done = subprocess.run([*lacking("landlock", "memfd-noexec"),
                           *instance.argv("-t")], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    for name in (*ALL_OF_LANDLOCK, "memfd-noexec"):
        assert re.search(rf"warning: .* {name} \(Linux [\d.]+\): \S",
                         done.stderr), name
    assert "shared_uid" in done.stderr


def test_not_root(one_instance, monkeypatch):
    """Nobody but root can chroot."""
    instance = one_instance(users=1)
    uid = instance.users[0].uid
    instance.start(prefix=instance.belong_to(uid))
    monkeypatch.setattr(instance, "ctl", functools.partial(
        instance.ctl, user=uid, group=uid, extra_groups=[]))
    found = is_said_once(instance, {"chroot"})
    assert "root" in found["chroot"][0]
    instance.login().quit()


def test_what_this_machine_gives(one_instance):
    """Without a fake: the status says what /proc and the kernel say."""
    instance = one_instance(users=1).start()
    all_run(instance)
    got = status(instance)
    assert got["landlock"] > 0
    given = {f["feature"]: f["given"] for f in got["features"]}
    assert len(given) == 12
    assert given["seccomp"] and given["landlock"] and given["chroot"]
    for version, name in ((2, "refer"), (3, "truncate"), (4, "net"),
                          (5, "ioctl"), (6, "scope")):
        assert given[f"landlock-{name}"] == (got["landlock"] >= version)
    with open("/proc/sys/fs/suid_dumpable") as f:
        assert given["undumpable"] == (f.read().strip() != "1")
    until("the lines", lambda: set(said(instance)) == absent(instance))
