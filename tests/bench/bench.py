"""bench.py - what the measurements of this folder share: arguments, an
instance whose users are in a section, logins, statistics."""
import argparse
import math
import os
import signal
import socket
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from culver import PORT, Instance, proc_stat    # noqa: E402
from databases import Databases, use        # noqa: E402

KINDS = ["passwdfile", "sqlite", "pgsql", "mysql"]


def arguments(text, *kinds):
    """A parser with what all have; SIGTERM ends as an exception does."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--culver-root", required=True, metavar="DIR",
                        help="what `make install DESTDIR=DIR` made")
    parser.add_argument("--kinds", default=",".join(kinds), metavar="A,B",
                        help="where users are [%(default)s]")
    return parser


def instance(args, sections, delay="0s", make=Instance, **kw):
    """A culverd for `with`; sections(instance) gives it users and what asks
    about them, if `make` has not.  Failures wait `delay`."""
    inst = make(Path(args.culver_root).resolve(), users=0,
                limits="bad_commands = 10000", **kw)
    if asked := sections(inst):
        use(inst, *asked)
    text = inst.conf.read_text()
    inst.write_conf(text.replace('failure_delay = "10ms"',
                                 f'failure_delay = "{delay}"')
                    .replace('failure_delay_max = "10ms"',
                             f'failure_delay_max = "{delay}"'))
    return inst


class Client:
    """As little of a POP3 client as there can be, so that it costs little."""

    def __init__(self, address, source=None):
        self.sock = socket.create_connection(
            (address, PORT), 60,
            source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.line()

    def line(self):
        got = b""
        while not got.endswith(b"\r\n"):
            more = self.sock.recv(4096)
            if not more:
                raise EOFError
            got += more
        return got

    def command(self, line):
        self.sock.sendall(line + b"\r\n")
        return self.line()

    def close(self):
        self.sock.close()


def processor_seconds(pids):
    """User and system time of those processes that live, by /proc."""
    total = 0
    for stat in filter(None, map(proc_stat, pids)):
        total += int(stat[11]) + int(stat[12])
    return total / os.sysconf("SC_CLK_TCK")


# --- statistics --------------------------------------------------------------

def two_sided(z):
    return math.erfc(abs(z) / math.sqrt(2))


def welch(a, b):
    """Is the mean another one?  t and p (of many samples: normal)."""
    t = (statistics.fmean(a) - statistics.fmean(b)) / math.sqrt(
        statistics.variance(a) / len(a) + statistics.variance(b) / len(b))
    return t, two_sided(t)


def mann_whitney(a, b):
    """Is one more often the larger?  z, p, and how often A's is."""
    both = sorted([(x, 0) for x in a] + [(x, 1) for x in b])
    rank_sum, i = 0.0, 0
    while i < len(both):
        j = i
        while j < len(both) and both[j][0] == both[i][0]:
            j += 1
        rank_sum += sum(which == 0 for _, which in both[i:j]) * (i + j + 1) / 2
        i = j
    n, m = len(a), len(b)
    u = rank_sum - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return z, two_sided(z), u / (n * m)


def kolmogorov_smirnov(a, b):
    """Is it another distribution?  D and p."""
    a, b = sorted(a), sorted(b)
    i = j = 0
    d = 0.0
    while i < len(a) and j < len(b):
        x = min(a[i], b[j])
        while i < len(a) and a[i] == x:
            i += 1
        while j < len(b) and b[j] == x:
            j += 1
        d = max(d, abs(i / len(a) - j / len(b)))
    lam = d * math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * lam) ** 2)
                for k in range(1, 101))
    return d, min(1.0, max(0.0, p))


__all__ = ["KINDS", "Client", "Databases", "arguments", "instance",
           "kolmogorov_smirnov", "mann_whitney", "processor_seconds", "welch"]
