"""Quotas of an mbox and of a database: octets and messages, decided at commit
under the lock that keeps other deliveries out; answers as configured.
"""
import json
import threading

import pytest

from culver import modules, numbered
from lmtp import LISTEN, Lmtp

TEMP, FULL = (452, "4.2.2"), (552, "5.2.2")
SECTIONS = {
    "mbox": 'storage mbox { path = "~/mail/box" create = yes }',
    "sqlite": 'storage sqlite { path = "~/mail/box.db" create = yes }',
}
RULES = ("*:messages=3", "*:bytes=3000", "*:storage=1M:messages=4")


def instance(make_instance, kind, **kw):
    i = make_instance(users=3, listen=LISTEN, storage=SECTIONS[kind], **kw)
    for user, rule in zip(i.users, RULES):
        user.fields = f"userdb_quota_rule={rule}"
        (user.home / "mail").mkdir(mode=0o700)
        user.own(user.home / "mail")
    i.write_users()
    return i.start()


@pytest.fixture(scope="module", params=sorted(SECTIONS))
def inst(request, make_instance, tree):
    if f"storage_{request.param}.so" not in {p.name for p in
                                             modules(tree).iterdir()}:
        pytest.fail(f"this build has no {request.param}")
    return instance(make_instance, request.param)


def send(inst, user, message, **kw):
    """The reply: to RCPT if that is refused, else to the message."""
    with Lmtp(inst.dir / "run/lmtp") as c:
        reply = c.envelope([user.name], **kw)[0]
        if reply[0] != 250:
            return reply[:2]
        c.text(message)
        return c.reply()[:2]


def there(inst, user):
    """(messages, octets) as the mailbox itself says."""
    done = inst.ctl("--json", "mailbox", "stat", user.name)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return answer["messages"], answer["octets"]


def at_once(inst, user, n, size):
    """The replies to N deliveries in parallel."""
    replies, start = [], threading.Barrier(n)

    def one(k):
        start.wait(20)
        replies.append(send(inst, user, numbered(k, size)))
    threads = [threading.Thread(target=one, args=(k,)) for k in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert len(replies) == n
    return replies


def test_messages_at_once(inst):
    """Ten deliveries for three places."""
    user = inst.users[0]
    replies = at_once(inst, user, 10, 300)
    assert sorted(set(replies)) == [(250, "2.0.0"), TEMP]
    assert replies.count((250, "2.0.0")) == 3 == there(inst, user)[0]
    with inst.login(user) as pop:
        pop.ok("DELE 2")
        pop.ok("DELE 3")
        assert pop.quit().startswith(b"+OK")
    replies = at_once(inst, user, 6, 300)
    assert replies.count((250, "2.0.0")) == 2
    assert there(inst, user)[0] == 3


def test_octets_at_once(inst):
    """Never over, and no room is wasted that a message would have fit in."""
    user = inst.users[1]
    replies = at_once(inst, user, 12, 500)
    count, octets = there(inst, user)
    assert set(replies) == {(250, "2.0.0"), TEMP}
    assert replies.count((250, "2.0.0")) == count >= 3
    assert octets <= 3000 < octets + octets // count + 1
    assert send(inst, user, numbered(99, 4000), params=" SIZE=4200") == TEMP
    line = inst.wait_log(f"delivery user={user.name}", "reason=over-quota")
    assert line


def test_both(inst):
    """Whichever is reached first."""
    user = inst.users[2]
    assert send(inst, user, numbered(0, 2 << 20)) == TEMP
    for n in range(4):
        assert send(inst, user, numbered(n)) == (250, "2.0.0")
    assert send(inst, user, numbered(5)) == TEMP
    assert there(inst, user)[0] == 4


@pytest.mark.parametrize("kind", sorted(SECTIONS))
def test_permanent(make_instance, kind):
    inst = instance(make_instance, kind, top="quota_full = permanent")
    user = inst.users[0]
    for n in range(3):
        assert send(inst, user, numbered(n))[0] == 250
    assert send(inst, user, numbered(3)) == FULL
    assert there(inst, user)[0] == 3
