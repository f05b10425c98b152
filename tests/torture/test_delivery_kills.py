"""Kill a role at every system call of a delivery's path, with numbered
messages as the oracle: what was answered by 250 is there, once; what was not
is there at most once, and the sender knows that it may be; each client gets
an answer or a closed connection.
"""
import collections
import re

import pytest

from culver import Failure, Instance, alive, numbered, until
from lmtp import LISTEN, Lmtp, body, dotted
from test_kills import ANSWER, Shard, kill_many


class Mail:
    """What was sent to whom, and what must be in the mailboxes."""

    def __init__(self, users):
        self.users = users
        self.sent = {}          # number -> (message, {user: code or None})
        self.last = 0
        self.stored = self.doubtful = 0

    def fill(self):
        pass                    # the mailboxes may be empty

    def check(self):
        """Compare, once nobody writes; then the mailboxes are emptied."""
        for user in self.users:
            there = collections.Counter()
            for path in user.files().values():
                message = body(path.read_bytes())
                n = int(re.match(rb"Subject: n-(\d+)\n", message).group(1))
                if message != self.sent[n][0]:
                    raise Failure(f"message {n} was changed")
                there[n] += 1
                path.unlink()
            self.compare(user.name, there)
        self.sent.clear()

    def compare(self, name, there):
        for n, (_, codes) in self.sent.items():
            if name not in codes and there[n]:
                raise Failure(f"message {n} was not for {name}")
            if name not in codes:
                continue
            if codes[name] == 250 and there[n] != 1:
                raise Failure(f"message {n} is there {there[n]} times after"
                              f" its 250")
            if there[n] > 1:
                raise Failure(f"message {n} is there {there[n]} times")
            self.stored += there[n]
            self.doubtful += there[n] and codes[name] != 250


class DeliveryShard(Shard):
    def __init__(self, tree, build, role, kills, seed):
        super().__init__(tree, build, role, kills, seed)
        self.inst.remove()
        self.inst = Instance(tree, users=2, top="gates = 1", listen=LISTEN,
                             auth="processes = 1")
        self.oracle = Mail(self.inst.users)

    def dialogue(self, mode):
        """One message to one or two; the mode makes no difference."""
        mail, rng = self.oracle, self.rng
        mail.last += 1
        message = numbered(mail.last, rng.choice((50, 3000, 150000)))
        names = rng.sample([u.name for u in mail.users], rng.randrange(1, 3))
        codes = dict.fromkeys(names)
        mail.sent[mail.last] = (message, codes)
        with Lmtp(self.inst.dir / "run/lmtp", timeout=ANSWER) as client:
            return self.transaction(client, message, codes)

    def transaction(self, client, message, codes):
        if client.greeting[0] != 220:
            return "refused"
        code = client.code("MAIL FROM:<a@b>")
        if code == 421:         # lmtp ends with its coordinator
            return "refused"
        if code != 250:
            raise Failure(f"the answer to MAIL is {code}")
        accepted = [name for name in codes
                    if client.code(f"RCPT TO:<{name}@x>") == 250]
        if not accepted:
            return "refused"
        if self.rng.random() < .5:
            client.expect("DATA", 354)
            client.send(dotted(message))
        else:
            wire = message.replace(b"\n", b"\r\n")
            client.send(b"BDAT %d LAST\r\n%s" % (len(wire), wire))
        for name in accepted:
            codes[name] = client.reply()[0]
            if codes[name] not in (250, 451):
                raise Failure(f"the answer for {name} is {codes[name]}")
        return "quit" if set(codes.values()) == {250} else "refused"

    def target(self):
        if self.role == "lmtp":
            return until("a living lmtp", lambda: self.inst.role("lmtp"))[-1]
        return super().target()

    def settle(self):
        until("the workers' end", lambda: not [
            p for p in self.inst.role("worker") if alive(p)], ANSWER)
        self.oracle.check()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ("worker", "lmtp", "auth", "pool", "manager",
                                  "master"))
def test_delivery_kills(tree, build, kills, seed, role):
    shards = kill_many(DeliveryShard, tree, build, kills, seed, role)
    stored = sum(s.oracle.stored for s in shards)
    doubtful = sum(s.oracle.doubtful for s in shards)
    print(f"{stored} copies stored, {doubtful} of them without their 250")
