"""busy.py - clients that do the same again and again while something happens
to culverd."""
import threading

from culver import Failure, tls_context, until

MODES = ("plain", "stls", "tls")


class Busy:
    """A thread for each of `all_args`, which calls turn(*args) until all are
    told to end; any surprise is an error."""

    def __init__(self, turn, all_args):
        self.turn, self.errors, self.count = turn, [], 0
        self.end, self.lock = threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=args)
                        for args in all_args]
        for thread in self.threads:
            thread.start()

    def work(self, *args):
        try:
            while not self.end.is_set():
                self.turn(*args)
                with self.lock:
                    self.count += 1
        except BaseException as e:
            who = " ".join(getattr(a, "name", a) for a in args)
            self.errors.append(f"{who}: {e!r}")

    def more(self, n):
        """Until N more turns are done."""
        goal = self.count + n
        until(f"{n} more turns", lambda: self.count >= goal or self.errors)
        assert self.errors == []

    def join(self):
        self.end.set()
        for thread in self.threads:
            thread.join(60)
        assert not any(t.is_alive() for t in self.threads)
        assert self.errors == []


def logins(instance, users, use):
    """Each of USERS logs in, does use(pop) and quits, again and again."""
    context = tls_context()

    def turn(user, mode):
        with instance.login(user, mode, context=context) as pop:
            use(pop)
            if not pop.quit().startswith(b"+OK"):
                raise Failure("QUIT")
    return Busy(turn, zip(users, MODES * len(users)))
