"""Two hundred logins of users whose passwords take long to check: somebody
else's login, and mail that comes in, do not wait for them."""
import os
import signal

import pytest

import lmtp
from culver import PASSWORD, Pop, crypt, numbered, proc_stat, until

SLOW, PROCESSES = 200, 2
pytestmark = pytest.mark.maildir


@pytest.fixture
def instance(make_instance):
    inst = make_instance(users=2, listen=lmtp.LISTEN,
                         auth=f"processes = {PROCESSES}")
    quick, slow = inst.users
    hashed = crypt(PASSWORD, "$2b$15$abcdefghijklmnopqrstuu")   # two seconds
    inst.write_users({quick.name: "{PLAIN}" + PASSWORD}, extra="".join(
        f"slow{i}:{hashed}:{slow.uid}:{slow.gid}::{slow.home}::\n"
        for i in range(SLOW)))
    return inst.start()


def computed(pid):
    """The processor time that it has used, in ticks of the kernel's."""
    stat = proc_stat(pid)
    return int(stat[11]) if stat else 0


def hashing(before):
    """Those that have computed for half a second more than `before`: what is
    quick takes far less, and may be at it just now as well."""
    half = os.sysconf("SC_CLK_TCK") // 2
    return [p for p, ticks in before.items() if computed(p) - ticks > half]


def test_others_do_not_wait(instance):
    waiting = []
    stopped = []
    try:
        pools = instance.role("pool")
        assert len(pools) == PROCESSES + 1
        before = {pid: computed(pid) for pid in pools}
        for i in range(SLOW):
            pop = Pop(instance.address)
            waiting.append(pop)
            pop.ok(f"USER slow{i}")
            pop.send(f"PASS {PASSWORD}\r\n".encode())
        busy = until("processes that hash", lambda: len(
            now := hashing(before)) == PROCESSES and now)
        for pid in busy:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        # from now on nobody who is slow gets an answer
        with instance.login(instance.users[0]) as pop:
            assert pop.stat() == (0, 0)
            pop.quit()
        assert lmtp.Lmtp(instance.dir / "run" / "lmtp").cmd(
            "NOOP")[0] == 250
        deliver(instance)
        with instance.connect() as pop:
            assert pop.login(instance.users[0].name, "falsch") \
                .startswith(b"-ERR [AUTH]")
        with instance.login(instance.users[0]) as pop:
            assert pop.stat()[0] == 1
            pop.quit()
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        for pop in waiting:
            pop.close()
    # who was stopped goes on
    assert set(busy) <= set(instance.role("pool"))


def deliver(instance):
    client = lmtp.Lmtp(instance.dir / "run" / "lmtp")
    client.expect("MAIL FROM:<a@example.org>", 250)
    client.expect(f"RCPT TO:<{instance.users[0].name}>", 250)
    client.expect("DATA", 354)
    client.send(numbered(1).replace(b"\n", b"\r\n") + b".\r\n")
    assert client.reply()[0] == 250
