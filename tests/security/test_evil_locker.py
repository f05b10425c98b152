"""A worker that an attacker owns gets of its locker the one dotlock that is
its own (DESIGN section 3): tests/security/storage_grab tries for more."""
import os
import shutil

import pytest

import culver
from culver import until

MAIL = 8
OK, TEMP, PERM, GONE = 0, -1, -2, 1
# What a message out of turn gets: the locker is gone, its dotlock with it.
ENDED = dict(take=OK, own=1, sent=1, answer=GONE, victim=0, left=0, after=TEMP)
WAYS = {
    # said before the core says which mailbox it is
    "first": dict(sent=1, first=PERM, take=TEMP, own=0, victim=0,
                  after=TEMP),
    # said by paths()
    "name": dict(take=PERM, own=0, victim=0, after=PERM),
    # said later
    "again": ENDED,
    "twice": ENDED, "descriptor": ENDED, "answer": ENDED, "junk": ENDED,
    # a program of group mail
    "improve": dict(take=OK, own=1, held=1, chmod=0, setgid=0, victim=0, left=0,
                    after=OK)}
pytestmark = pytest.mark.needs_root


@pytest.fixture(scope="module")
def instance(make_instance, copy_tree, build):
    tree = copy_tree()
    made = build / "tests/security/.libs/storage_grab.so"
    if not made.exists():
        pytest.fail(f"{made} is missing: make check builds it")
    target = culver.modules(tree) / "storage_grab.so"
    shutil.copy(made, target)
    target.chmod(0o755)
    inst = make_instance(tree, users=len(WAYS) + 1, storage="\n".join(
        f'storage {way} {{ plugin = grab  way = "{way}"  lock_group = "mail"'
        f' path = "{{dir}}/spool/%{{user}}"'
        f' victim = "{{dir}}/spool/user{len(WAYS) + 1}" }}' for way in WAYS))
    spool = inst.dir / "spool"
    spool.mkdir()
    os.chown(spool, 0, MAIL)
    os.chmod(spool, 0o2775)
    for user, way in zip(inst.users, [*WAYS, ""]):
        file = spool / user.name
        file.write_text("")
        os.chown(file, user.uid, MAIL)
        os.chmod(file, 0o660)
        user.fields = f"storage={way}" if way else ""
    inst.write_users()
    return inst.start()


@pytest.mark.parametrize("way", WAYS)
def test_it_gets_nothing_more(instance, way):
    user = instance.users[list(WAYS).index(way)]
    with instance.login(user) as pop:
        text = pop.multi("RETR 1").decode()
        pop.quit()
    rows = [line.split() for line in text.split("\r\n\r\n", 1)[1]
            .splitlines() if line]
    found = {name: int(n) for name, n in rows}
    assert found.pop("provided") == 1
    want = dict(WAYS[way])
    for name in ("answer", "left"):
        if name not in want:
            found.pop(name, None)
    assert found == want
    until("the locks' end", lambda: not any(
        ".lock" in p.name for p in (instance.dir / "spool").iterdir()))
