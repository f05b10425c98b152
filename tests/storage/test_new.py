"""A plugin of one's own: `culver-plugin new' makes one that builds against the
installed tree only, passes the kit, loads in culverd and serves mail; and the
same file does so in a host of the next minor of the ABI."""
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from culver import Failure, Pop, numbered, tempdir, until, wire

pytestmark = [pytest.mark.maildir, pytest.mark.needs("make", "pkg-config")]
NAME = "mymail"
N = 5


def run(*args, **kw):
    done = subprocess.run([str(a) for a in args], capture_output=True,
                          text=True, timeout=1200, check=False, **kw)
    if done.returncode != 0:
        raise Failure(f"{args}: {done.returncode}\n{done.stdout[-3000:]}"
                      f"{done.stderr[-3000:]}")
    return done.stdout


def make(tree, folder, *args):
    """make(1) there, with what is installed."""
    env = dict(os.environ, PKG_CONFIG_SYSROOT_DIR=str(tree),
               PKG_CONFIG_PATH=str(tree / "usr/local/lib/pkgconfig"),
               CULVER_PLUGIN=str(tree / "usr/local/bin/culver-plugin"))
    return run("make", "CFLAGS=-O2 -Wall -Wextra -Werror", *args, cwd=folder,
               env=env)


@pytest.fixture(scope="module")
def top():
    top = Path(tempfile.mkdtemp(prefix="culver-new-", dir=tempdir("new")))
    os.chmod(top, 0o755)
    yield top
    shutil.rmtree(top)


@pytest.fixture(scope="module")
def folder(tree, top):
    """The new plugin's folder, built with what is installed."""
    run(tree / "usr/local/bin/culver-plugin", "new", NAME, cwd=top)
    folder = top / f"storage_{NAME}"
    make(tree, folder)
    report = make(tree, folder, "check", "CHECKFLAGS=--soak 1 --only "
                  "elf,descriptor,options,storage,hygiene,power")
    assert re.search(r"^# losses +0$", report, re.M), report
    return folder


def fill(home, owner=None):
    """What a program that delivers would put there."""
    box = home / NAME
    box.mkdir(mode=0o700)
    for i in range(1, N + 1):
        (box / f"m{i}").write_bytes(numbered(i))
    for path in (box, *box.iterdir()):
        if owner:
            owner.own(path)


def fetch_and_delete(pop):
    assert pop.uidls() == {i: f"m{i}" for i in range(1, N + 1)}
    for i in range(1, N + 1):
        assert pop.multi(f"RETR {i}") == wire(numbered(i))
    assert pop.cmd("DELE 2").startswith(b"+OK")
    assert pop.cmd("QUIT").startswith(b"+OK")


def test_new_plugin_serves_mail(folder, make_instance):
    module = folder / f"storage_{NAME}.so"
    inst = make_instance(users=1, storage=f'storage {NAME} '
                         f'{{ plugin = "{module}"  path = "~/{NAME}" }}')
    user = inst.users[0]
    fill(user.home, user)
    inst.start()
    with inst.login(user) as pop:
        fetch_and_delete(pop)
    with inst.login(user) as pop:
        assert list(pop.uidls().values()) == ["m1", "m3", "m4", "m5"]
        pop.quit()


def test_same_file_in_the_next_minor(folder, build):
    tool = build / "tests/abi/culver-plugin-next"
    module = folder / f"storage_{NAME}.so"
    assert "ABI 0.1\n" in subprocess.run(
        [tool, "versions"], capture_output=True, text=True,
        check=False).stdout
    run(tool, "check", "--module", module, "--only",
        "descriptor,versions", "--fixture", folder / "test/fixture")
    home = folder / "home"
    home.mkdir()
    fill(home)
    server = subprocess.Popen([tool, "serve", "--module", module, "--home",
                               home], stdout=subprocess.PIPE, text=True)
    try:
        port, password = re.search(r"port (\d+), .*password (\w+),",
                                   server.stdout.readline()).groups()
        pop = until("the server", lambda: Pop("127.0.0.1", port=int(port)))
        assert pop.login("me", password).startswith(b"+OK")
        fetch_and_delete(pop)
        pop.close()
    finally:
        server.terminate()
        server.wait(20)
        server.stdout.close()
    assert sorted(p.name for p in (home / NAME).iterdir()) == \
        ["m1", "m3", "m4", "m5"]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_new_plugin_passes_the_whole_kit(tree, folder):
    """Every group: killed, failed and cut at each system call."""
    report = make(tree, folder, "check")
    for group in ("elf", "descriptor", "options", "storage", "hygiene",
                  "versions", "deadline", "crash", "faults", "power"):
        assert re.search(rf"^ok \d+ - {group}:", report, re.M), report
    for row in ("losses", "duplicates"):
        assert re.search(rf"^# {row} +0$", report, re.M), report


def test_new_auth_plugin_passes_the_kit(tree, top):
    run(tree / "usr/local/bin/culver-plugin", "new", "--kind", "auth",
        "myusers", cwd=top)
    folder = top / "auth_myusers"
    make(tree, folder)
    report = make(tree, folder, "check")
    assert re.search(r"^ok \d+ - auth: the right password, and wrong ones$",
                     report, re.M), report
    assert "not ok" not in report
    (folder / "test/password").write_text("battery staple\n")
    with pytest.raises(Failure, match="the right password: returned -20"):
        make(tree, folder, "check")


def test_versions_names_files_by_their_real_paths(tree):
    first, *rest = run(tree / "usr/local/bin/culver-plugin",
                       "versions").splitlines()
    assert re.fullmatch(r"culver \S+ ABI \d+\.\d+", first) and rest
    for line in rest:
        path = line.split()[-1]
        assert os.path.isfile(path) and path == os.path.realpath(path)
