"""culverctl mailbox uidl-diff: what another server showed, against what a
client of Culver will see."""
import json

import pytest

from culver import PASSWORD
from test_culverctl import answer

MAIL = [b"Subject: %d\n\ntext\n" % n for n in range(5)]


@pytest.fixture(scope="module")
def instance(make_instance):
    with make_instance(users=2) as inst:
        yield inst


@pytest.fixture
def user(instance):
    user = instance.users[0]
    user.empty()
    user.deliver_all(MAIL)
    return user


def transcript(instance, user):
    """A whole session, octet by octet as the client sees it."""
    pop = instance.connect()
    text = pop.greeting
    for line in (f"USER {user.name}", f"PASS {PASSWORD}", "STAT"):
        text += b"\r\n" + pop.cmd(line)
    for line in ("LIST", "UIDL"):
        text += b"\r\n" + pop.cmd(line) + b"\r\n" + pop.body() + b".\r\n"
    return text + b"+OK bye\r\n" * pop.quit().startswith(b"+OK")


def lines(sizes, uidls):
    """As curl prints the two."""
    return "".join(f"{n} {value}\r\n" for values in (sizes, uidls)
                   for n, value in enumerate(values, 1))


def diff(instance, user, path, text, *options):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return instance.ctl(*options, "mailbox", "uidl-diff", user.name,
                        str(path))


def test_the_same(instance, user, tmp_path):
    done = diff(instance, user, tmp_path / "dump", transcript(instance, user))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "5 messages there, 5 here, 0 differences\n"
    done = diff(instance, user, tmp_path / "dump",
                transcript(instance, user), "--json")
    assert (done.returncode, done.stdout) == (0, "[]\n")


def test_every_difference(instance, user, tmp_path):
    uidls = [m["uidl"] for m in answer(instance, "mailbox", "list",
                                       user.name)]
    sizes = [20] * 5
    was = [uidls[0], "gone", uidls[2], uidls[1], uidls[4]]
    done = diff(instance, user, tmp_path / "dump",
                lines([20, 20, 22, 20, 20], was), "--json")
    got = json.loads(done.stdout)
    assert done.returncode == 1
    assert [(row["difference"], row["old"], row["new"], row["uidl"])
            for row in got] == [
        ("missing", 2, 0, "gone"), ("order", 3, 3, uidls[2]),
        ("octets", 3, 3, uidls[2]), ("order", 4, 2, uidls[1]),
        ("added", 0, 4, uidls[3])]
    assert (got[2]["old_octets"], got[2]["new_octets"]) == (22, 20)
    # UIDL alone says nothing of sizes
    text = "".join(f"{n} {u}\n" for n, u in enumerate(uidls, 1))
    assert diff(instance, user, tmp_path / "dump", text).returncode == 0
    # and for people: nothing in it can steer a terminal
    done = diff(instance, user, tmp_path / "dump",
                lines(sizes, ["\x1b[2J", *uidls[1:]]))
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].split() == [
        "DIFFERENCE", "OLD", "NEW", "OLD-OCTETS", "NEW-OCTETS", "UIDL"]
    assert "missing" in done.stdout and "\\x1b[2J" in done.stdout
    assert done.stdout.endswith("5 messages there, 5 here, 2 differences\n")


def test_trouble_is_no_difference(instance, user, tmp_path):
    """As with diff(1), 1 says that it was looked at."""
    dump = tmp_path / "dump"
    done = diff(instance, user, dump, "+OK\r\n1 a\r\n2 b\r\n")
    assert done.returncode == 65 and f"{dump}:3: " in done.stderr
    assert "cut off" in done.stderr and done.stdout == ""
    done = instance.ctl("mailbox", "uidl-diff", user.name, str(dump) + "x")
    assert done.returncode == 66
    done = instance.ctl("mailbox", "uidl-diff", "nobody.here", str(dump))
    assert done.returncode == 65
    dump.write_text("1 a\n")
    done = instance.ctl("mailbox", "uidl-diff", "nobody.here", str(dump))
    assert done.returncode == 67
    away = user.home.rename(user.home.with_name("away"))
    try:
        done = instance.ctl("mailbox", "uidl-diff", user.name, str(dump))
    finally:
        away.rename(user.home)
    assert done.returncode == 75
    assert instance.ctl("mailbox", "uidl-diff", user.name).returncode == 64
    done = instance.ctl("mailbox", "uidl-diff", user.name, "-",
                        input=f"1 {user.name}\n")
    assert done.returncode == 1
