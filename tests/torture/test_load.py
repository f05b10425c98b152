"""A thousand sessions on distinct mailboxes at once, mixed RETR, half of
them TLS, beside 500 silent clients and 500 that send an octet a second: every
reply is checked."""
import asyncio
import contextlib
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from culver import (PASSWORD, PORT, TLS_PORT, halt, numbered, tls_context,
                    unstuff, until, wire)

SESSIONS, SILENT, SLOW = 1000, 500, 500
MESSAGES = 3


@pytest.fixture(scope="module")
def scale(request):
    return 0.2 if request.config.getoption("--quick") else 1


@pytest.fixture(scope="module")
def instance(make_instance, scale):
    n = int(SESSIONS * scale)
    inst = make_instance(users=n, limits="connections = 20000")
    for i, user in enumerate(inst.users):
        for j in range(MESSAGES):
            user.deliver(message(i, j))
    return inst.start()


def message(i, j):
    """Of user I, the J-th: of all sizes, nobody else's is equal."""
    return numbered(i * 10 + j, 200 + (i * 7919 + j * 104729) % 30000,
                    tag=f"user{i}")


class Client:
    def __init__(self, instance, index, tls, source):
        self.instance, self.index, self.tls = instance, index, tls
        self.source = source
        self.rng = random.Random(index)

    async def open(self):
        context = tls_context() if self.tls else None
        self.r, self.w = await asyncio.open_connection(
            self.instance.address, TLS_PORT if self.tls else PORT,
            ssl=context, local_addr=(self.source, 0), limit=1 << 22)

    async def line(self):
        line = await asyncio.wait_for(self.r.readline(), 60)
        assert line.endswith(b"\r\n"), f"client {self.index}: {line!r}"
        return line[:-2]

    async def cmd(self, text):
        self.w.write(text.encode() + b"\r\n")
        return await self.line()

    async def ok(self, text):
        reply = await self.cmd(text)
        assert reply.startswith(b"+OK"), f"client {self.index}: {text}:" \
                                         f" {reply!r}"
        return reply

    async def multi(self, text):
        """The body of a reply that has one: none of ours is empty."""
        await self.ok(text)
        body = await asyncio.wait_for(self.r.readuntil(b"\r\n.\r\n"), 60)
        return unstuff(body[:-3])

    async def login(self):
        await self.open()
        assert (await self.line()).startswith(b"+OK")
        user = self.instance.users[self.index]
        await self.ok(f"USER {user.name}")
        await self.ok(f"PASS {PASSWORD}")

    async def use(self, rounds):
        mine = [wire(message(self.index, j)) for j in range(MESSAGES)]
        total = sum(map(len, mine))
        for _ in range(rounds):
            what = self.rng.randrange(6)
            j = self.rng.randrange(MESSAGES)
            if what == 0:
                assert await self.cmd("STAT") == \
                    b"+OK %d %d" % (MESSAGES, total)
            elif what == 1:
                assert await self.multi("LIST") == b"".join(
                    b"%d %d\r\n" % (i, len(m))
                    for i, m in enumerate(mine, 1))
            elif what == 2:
                assert (await self.multi("UIDL")).count(b"\r\n") == MESSAGES
            elif what == 3:
                head = await self.multi(f"TOP {j + 1} 0")
                assert mine[j].startswith(head) and len(head) > 50
            else:
                assert await self.multi(f"RETR {j + 1}") == mine[j], \
                    "another message than asked for"

    async def quit(self):
        await self.ok("QUIT")
        assert await self.r.read() == b""
        self.w.close()


async def drip(instance, source, silent, done):
    """A client that says nothing, or an octet a second."""
    r, w = await asyncio.open_connection(instance.address, PORT,
                                         local_addr=(source, 0))
    assert (await r.readline()).startswith(b"+OK")
    text = f"USER user1\r\nPASS {PASSWORD}"
    at = 0
    while not done.is_set():
        if not silent and at < len(text):
            w.write(text[at:at + 1].encode())
            at += 1
        try:
            await asyncio.wait_for(done.wait(), 1)
        except asyncio.TimeoutError:
            pass
        if r.at_eof():
            return          # login_time: it is allowed to end
    w.close()


async def many(instance, scale, peak):
    done = asyncio.Event()
    nuisance = [asyncio.create_task(drip(
        instance, f"127.1.{i % 100}.{i // 100 + 1}", i % 2 == 0, done))
        for i in range(int((SILENT + SLOW) * scale))]
    await asyncio.sleep(0)
    clients = [Client(instance, i, i % 2 == 1, f"127.2.{i % 100}.1")
               for i in range(len(instance.users))]
    gate = asyncio.Semaphore(100)       # that many connect at a time

    async def enter(c):
        async with gate:
            await c.login()

    await asyncio.gather(*map(enter, clients))
    peak.append(len(instance.role("worker")))
    await asyncio.gather(*(c.use(12) for c in clients))
    assert not any(t.done() and t.exception() for t in nuisance)
    await asyncio.gather(*(c.quit() for c in clients))
    done.set()
    await asyncio.gather(*nuisance)


@pytest.mark.timeout(300)
def test_a_thousand_sessions(instance, scale):
    peak = []
    asyncio.run(many(instance, scale, peak))
    assert peak[0] >= int(SESSIONS * scale)
    until("the end of all workers", lambda: not instance.role("worker"))
    # and the one-octet-a-second clients never logged in
    instance.wait_log("session-end", "reason=quit", n=int(SESSIONS * scale))


@contextlib.contextmanager
def all_at_the_password(inst):
    """A connection for each user, whose PASS was sent while master, where
    each login has to pass and fork, stands still."""
    with contextlib.ExitStack() as stack:
        pops = [stack.enter_context(inst.connect(timeout=120))
                for _ in inst.users]
        for pop, user in zip(pops, inst.users):
            pop.ok(f"USER {user.name}")
        halt([inst.pid])
        try:
            for pop, user in zip(pops, inst.users):
                pop.send(f"PASS {user.password}\r\n".encode())
            yield pops
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(inst.pid, signal.SIGCONT)


@pytest.mark.once
@pytest.mark.timeout(300)
def test_all_log_in_at_once(one_instance):
    """More than the channels between roles hold: nobody is turned away."""
    inst = one_instance(users=700).start()
    coordinator, = inst.role("auth")
    with all_at_the_password(inst) as pops:
        ran = [None]

        def waits():
            ran.append(Path(f"/proc/{coordinator}/schedstat").read_text())
            return ran[-1] == ran[-2]
        until("the coordinator to wait for master", waits, pause=0.1)
        os.kill(inst.pid, signal.SIGCONT)
        for pop in pops:
            assert pop.line().startswith(b"+OK")
        for pop in pops:
            pop.quit()
    assert inst.log_lines("auth-error") == []


@pytest.mark.once
@pytest.mark.timeout(300)
def test_master_takes_no_grants(one_instance):
    """For longer than it is waited for: who finds no room is told to come
    again, nobody else is, and afterwards all is as before."""
    inst, other = one_instance(users=350).start(), one_instance(users=1)
    with all_at_the_password(inst) as pops:
        inst.wait_log("auth-error", "master does not take grants")
        # clients on their way to workers count for all of the gates' user
        subprocess.run(other.argv("-t"), check=True, timeout=60)
        os.kill(inst.pid, signal.SIGCONT)
        replies = [pop.line() for pop in pops]
        good = [r.startswith(b"+OK") for r in replies]
        assert any(good) and not all(good)
        assert all(r.startswith((b"+OK", b"-ERR [SYS/TEMP]"))
                   for r in replies)
    until("the end of all workers", lambda: not inst.role("worker"))
    for user in inst.users[:3]:
        inst.login(user).quit()
