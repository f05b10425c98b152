"""A role that hangs holds its channels open and looks alive: it is found out
and replaced, and nobody waits for ever."""
import os
import signal
import time

import pytest

from culver import ServiceManager, numbered, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

# role -> its processes here; a section has one more than it hashes with
ROLES = {"gate": 1, "auth": 1, "pool": 2, "log": 1, "manager": 1, "lmtp": 1}
LMTP = 'listen lmtp { address = {"{address}:3024"}  protocol = lmtp }'


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_hangs_is_replaced(make_instance, role):
    inst = make_instance(users=2, top="gates = 1", auth="processes = 1",
                         listen=LMTP)
    inst.users[0].deliver(numbered(1))
    inst.start()
    with inst.login(inst.users[0]) as session:
        old = set(inst.role(role))
        assert len(old) == ROLES[role]
        for pid in old:
            os.kill(pid, signal.SIGSTOP)

        def replaced():
            now = set(inst.role(role))
            return now and not now & old
        until(f"another {role}", replaced, 150, pause=0.5)
        assert "does not answer: killed" in inst.log_text()
        # a plain session needs none of them
        assert b"n-000001" in session.multi("RETR 1")
        session.quit()

    def login():
        with inst.login(inst.users[1]) as pop:
            pop.quit()
        return True
    until("a login", lambda: inst.greets() and login(), 30, pause=0.2)


def test_all_are_stopped_for_a_while(make_instance):
    """As by `systemctl freeze`, or a debugger: nobody was silent then."""
    inst = make_instance(users=1, top="gates = 1", auth="processes = 1")
    heard = ServiceManager(inst)
    inst.start(env=heard.env)
    pids = {role: inst.role(role) for role in ("gate", "manager", "auth")}
    everybody = [inst.pid] + [p for r in ROLES for p in inst.role(r)]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    # For longer than anybody may owe an answer: that such a time counts for
    # nothing is what this is about, and nothing happens in it to wait for.
    time.sleep(65)
    heard.forget()
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    # said with each round of questions, ten seconds apart
    for _ in range(2):
        assert heard.next() == "WATCHDOG=1"
    heard.sock.close()
    with inst.login(inst.users[0]) as pop:
        pop.quit()
    assert pids == {role: inst.role(role) for role in pids}
    assert "does not answer" not in inst.log_text()
