"""The passwd file is replaced every second while users log in: by rename, as
it should be, and by writing into the file that is there, with pauses in the
middle of it.  Nobody hears a wrong answer: whoever is in every version gets in
by the right password only, and who is in none is never let in."""
import os
import threading
import time

import pytest

from culver import PASSWORD, ROLE_IDS, ROOT, crypt

SECONDS, CLIENTS, LINES = 8, 4, 3000
SETTLE = 0.4    # s; with a margin what culver-passwdfile(5) says
pytestmark = pytest.mark.maildir


@pytest.fixture
def instance(make_instance):
    return make_instance(users=CLIENTS + 1)


def version(instance, n):
    """All users, each time elsewhere in a file of another length."""
    lines = [f"filler{i}-{n}@example.org:{{PLAIN}}x:70000:70000::/nowhere\n"
             for i in range(LINES + 500 * (n % 3))]
    step = len(lines) // (CLIENTS + 1)
    for i, u in enumerate(instance.users):
        lines.insert((i * step + n * 97) % len(lines),
                     f"{u.name}:{{SHA512-CRYPT}}{crypt(PASSWORD)}:{u.uid}:"
                     f"{u.gid}::{u.home}::\n")
    # one is always last: the first that half a file would not have
    u = instance.users[n % CLIENTS]
    lines.append(f"last-{n}:{{PLAIN}}x:{u.uid}:{u.gid}::{u.home}::\n")
    return lines


def by_rename(instance, lines, _):
    instance.users, users = [], instance.users
    instance.write_users(extra="".join(lines))
    instance.users = users
    return 0


def in_place(instance, lines, n):
    """As an editor or a script does it, now and then without a truncation.
    The longest pause that there was."""
    flags = os.O_WRONLY | (os.O_TRUNC if n % 2 else 0)
    times = [time.monotonic()]
    with os.fdopen(os.open(instance.userfile, flags), "w") as f:
        for part in range(6):
            f.write("".join(lines[part * len(lines) // 6:
                                  (part + 1) * len(lines) // 6]))
            f.flush()
            times.append(time.monotonic())
            time.sleep(0.03)        # what a slow writer does, waits for nobody
        f.truncate()
    times.append(time.monotonic())
    return max(b - a for a, b in zip(times, times[1:]))


class Client(threading.Thread):
    """Logs in as one user again and again, with both passwords."""

    def __init__(self, instance, user, end):
        super().__init__()
        self.instance, self.user, self.end = instance, user, end
        self.good, self.bad, self.wrong = [], [], []

    def answer(self, name, password):
        with self.instance.connect() as pop:
            reply = pop.login(name, password)
            if reply.startswith(b"+OK"):
                pop.quit()
            return reply

    def run(self):
        try:
            while not self.end.is_set():
                self.good.append(self.answer(self.user.name, PASSWORD))
                self.bad.append(self.answer(self.user.name, "falsch"))
                self.bad.append(self.answer("nobody@example.org", "x"))
        except Exception as e:      # for the main thread
            self.wrong.append(e)


def change(instance, how):
    """SECONDS versions; all answers to right and wrong passwords, and the
    longest pause of who wrote them."""
    by_rename(instance, version(instance, 0), 0)
    if ROOT:
        os.chown(instance.userfile, ROLE_IDS["auth"], ROLE_IDS["auth"])
    if not instance.proc:
        instance.start()
    end = threading.Event()
    clients = [Client(instance, u, end) for u in instance.users[:CLIENTS]]
    for c in clients:
        c.start()
    pause = 0
    for n in range(1, SECONDS + 1):
        due = time.monotonic() + 1
        pause = max(pause, how(instance, version(instance, n), n))
        time.sleep(max(0, due - time.monotonic()))
    end.set()
    for c in clients:
        c.join()
        assert not c.wrong
        assert c.good and c.bad
    return [r for c in clients for r in c.good], \
        [r for c in clients for r in c.bad], pause


def is_no(reply):
    return reply.startswith(b"-ERR [AUTH]")


def test_replaced_by_rename(instance):
    good, bad, _ = change(instance, by_rename)
    assert not [r for r in good if not r.startswith(b"+OK")]
    assert not [r for r in bad if not is_no(r)]
    # and the last version answers
    with instance.connect() as pop:
        assert is_no(pop.login(f"filler0-{SECONDS - 1}@example.org", "x"))


def test_written_in_place(instance):
    for _ in range(5):
        good, bad, pause = change(instance, in_place)
        if pause < SETTLE:
            break       # else a file that was not complete looked so
    else:
        pytest.fail("this machine is too slow to write files")
    temp = b"-ERR [SYS/TEMP]"
    assert not [r for r in good if not r.startswith((b"+OK", temp))]
    assert not [r for r in bad if not is_no(r) and not r.startswith(temp)]
    assert [r for r in good if r.startswith(b"+OK")]
    # when the file is left alone, all is as it says
    instance.login(instance.users[CLIENTS]).quit()
    with instance.connect() as pop:
        assert is_no(pop.login("nobody@example.org", "x"))
