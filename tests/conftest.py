"""conftest.py - the options and fixtures that the black-box suites share.

    make install DESTDIR=$PWD/inst
    pytest ../tests --culver-root=$PWD/inst --culver-build=$PWD [--quick]

What cannot run here (no root, a program that is missing, --quick) is not
collected, and the summary says NOT RUN and why: nothing is skipped silently.
"""
import functools
import math
import os
import pwd
import random
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import culver
import machine
from databases import Databases

NOT_RUN = []
SLOWER = 4      # what a build with sanitizers is, at the most


def pytest_addoption(parser):
    group = parser.getgroup("culver")
    group.addoption("--culver-root", metavar="DIR",
                    help="the installed tree (make install DESTDIR=DIR)")
    group.addoption("--culver-build", metavar="DIR",
                    help="the build directory, for test programs"
                         " [parent of the installed tree]")
    group.addoption("--quick", action="store_true",
                    help="leave out what takes long; 20 kills a role")
    group.addoption("--kills", type=int, metavar="N",
                    help="kills a role [1000, with --quick 20]")
    group.addoption("--culver-storage", metavar="KIND", default="maildir",
                    choices=sorted(culver.STORAGE),
                    help="what the users have for a mailbox [maildir]")
    group.addoption("--seed", type=int, metavar="N",
                    help="of what is random [from the clock]")


def pytest_configure(config):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    culver.Instance.kind = config.getoption("--culver-storage")
    header = Path(config.getoption("--culver-build") or ".") / "config.h"
    if header.exists() and "define WITH_SANITIZERS" in header.read_text():
        culver.slow_down(SLOWER)
    if not config.getoption("--seed"):
        config.option.seed = random.SystemRandom().randrange(1, 1 << 31)


def has_account():
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


@functools.cache
def has_netns():
    try:
        return subprocess.run(
            ["unshare", "-n", "ip", "link", "add", "name", "cva", "type",
             "veth", "peer", "name", "cvb"], stderr=subprocess.DEVNULL).returncode == 0
    except FileNotFoundError:
        return False


def reason_not_to_run(item):
    if item.get_closest_marker("needs_root") and not culver.ROOT:
        return "needs root"
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            if shutil.which(program) is None and not (
                    os.path.isabs(program) and os.path.exists(program)):
                return f"{program} is not installed"
    if item.get_closest_marker("needs_account") and not has_account():
        return "the caller has no account, and the client looks it up"
    if item.get_closest_marker("needs_netns") and not has_netns():
        return "no network namespace with a veth pair can be made"
    if item.get_closest_marker("needs_systemd") and machine.cannot_boot():
        return machine.cannot_boot()
    if item.get_closest_marker("slow") and item.config.getoption("--quick"):
        return "--quick"
    return None


def long_ones_between(items):
    """Those that may take long scattered over the first two thirds, so that
    each process gets its share of them, and none waits at the end for the
    last one."""
    def is_long(item):
        marker = item.get_closest_marker("timeout")
        return marker is not None and marker.args[0] >= 300
    long = [i for i in items if is_long(i)]
    order = [i for i in items if not is_long(i)]
    step = next((s for s in range(int(0.618 * len(long)), len(long))
                 if math.gcd(s, len(long)) == 1), 1)
    for n in range(len(long)):
        order.insert(n + 2 * n * len(items) // (3 * len(long)),
                     long[n * step % len(long)])
    return order


def pytest_collection_modifyitems(config, items):
    keep, out = [], []
    other = config.getoption("--culver-storage") != "maildir"
    for item in items:
        reason = reason_not_to_run(item)
        if other and (item.get_closest_marker("maildir") or
                      item.get_closest_marker("once")):
            out.append(item)    # no test of this storage
        elif reason:
            out.append(item)
            NOT_RUN.append((item.nodeid.split("[")[0], reason))
        else:
            keep.append(item)
        if culver.SANITIZED:
            limit = item.get_closest_marker("timeout")
            limit = limit.args[0] if limit else float(
                config.getini("timeout"))
            item.add_marker(pytest.mark.timeout(SLOWER * limit), append=False)
    items[:] = long_ones_between(keep)
    config.hook.pytest_deselected(items=out)
    if hasattr(config, "workeroutput"):
        config.workeroutput["not_run"] = NOT_RUN


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    NOT_RUN.extend(map(tuple, getattr(node, "workeroutput", {})
                       .get("not_run", [])))


def pytest_report_header(config):
    return f"culver: seed {config.option.seed}," \
           f" {'root' if culver.ROOT else 'not root'}"


def pytest_terminal_summary(terminalreporter, config):
    terminalreporter.write_line(f"seed {config.option.seed}")
    for nodeid, reason in sorted(set(NOT_RUN)):
        terminalreporter.write_line(f"NOT RUN {nodeid}: {reason}")


def pytest_configure_node(node):
    node.workerinput["culver_seed"] = node.config.option.seed


@pytest.fixture(scope="session")
def seed(request):
    """One seed for the run, the same in all xdist workers."""
    inputs = getattr(request.config, "workerinput", {})
    return inputs.get("culver_seed", request.config.option.seed)


@pytest.fixture(scope="session")
def tree(request):
    """The installed tree, made searchable for roles that are not root."""
    given = request.config.getoption("--culver-root") or \
        os.environ.get("CULVER_ROOT")
    if not given:
        pytest.exit("say --culver-root=DIR, what `make install DESTDIR=DIR`"
                    " made", 4)
    path = Path(given).resolve()
    if not (path / "usr/local/sbin/culverd").exists():
        pytest.exit(f"{path}: no usr/local/sbin/culverd there", 4)
    return path


@pytest.fixture(scope="session")
def build(request, tree):
    given = request.config.getoption("--culver-build")
    return Path(given).resolve() if given else tree.parent


@pytest.fixture(scope="session")
def kills(request):
    given = request.config.getoption("--kills")
    if given:
        return given
    return 20 if request.config.getoption("--quick") else 1000


def instances(tree):
    """Make instances with a configuration of the test's own; end them."""
    made = []

    def make(tree=tree, **kw):
        instance = culver.Instance(tree, **kw)
        made.append(instance)
        return instance

    yield make
    failures = []
    for instance in made:
        try:
            instance.stop()
        except culver.Failure as e:
            failures.append(str(e))
        if not os.environ.get("CULVER_KEEP"):
            instance.remove()
    assert not failures, "\n".join(failures)


@pytest.fixture(scope="module")
def make_instance(tree):
    yield from instances(tree)


@pytest.fixture
def one_instance(tree):
    """As make_instance, but ended after the one test."""
    yield from instances(tree)


@pytest.fixture(scope="module")
def copy_tree(tree):
    """Copies of the installed tree, to put something else into; where the
    roles may search although they are not root."""
    made = []

    def copy():
        path = Path(tempfile.mkdtemp(prefix="culver-tree-",
                                     dir=culver.tempdir("")))
        path.chmod(0o711)
        made.append(path)
        shutil.copytree(tree, path / "inst", symlinks=True)
        return path / "inst"

    yield copy
    for path in made:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def databases():
    """Databases that tests share, by the names of their drivers."""
    made = Databases()
    yield made
    made.close()
