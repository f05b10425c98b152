"""metrics.py - what culverd tells a scraper, parsed by somebody else's code."""
import socket
import time

from prometheus_client.openmetrics import parser

LISTEN = "listen metrics { protocol = metrics }"


class Metrics:
    """One answer: families by name, values by name and labels."""

    def __init__(self, text):
        self.text = text
        self.families = {f.name: f for f in
                         parser.text_string_to_metric_families(text)}
        self.values = {}
        for family in self.families.values():
            for s in family.samples:
                key = (s.name, tuple(sorted(s.labels.items())))
                assert key not in self.values, key
                self.values[key] = s.value

    def get(self, series, **labels):
        """The sum of all SERIES that have LABELS."""
        got = [v for (n, have), v in self.values.items()
               if n == series and labels.items() <= dict(have).items()]
        assert got, (series, labels)
        return sum(got)

    def counters(self):
        """What may only grow."""
        return {k: v for k, v in self.values.items()
                if k[0].endswith(("_total", "_bucket", "_count", "_sum"))}


def by_ctl(instance):
    done = instance.ctl("metrics")
    assert done.returncode == 0, done.stderr
    return Metrics(done.stdout)


def path_of(instance):
    return str(instance.dir / "run/metrics")


def connect(instance):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(path_of(instance))
    return s


def read_all(s):
    got = b""
    while True:
        part = s.recv(65536)
        if not part:
            return got
        got += part


def request(instance, octets):
    """Status, fields and body of the answer to OCTETS."""
    with connect(instance) as s:
        s.sendall(octets)
        got = read_all(s)
    head, _, body = got.partition(b"\r\n\r\n")
    status, *lines = head.decode("ascii").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines)
    version, code, _ = status.split(" ", 2)
    assert version == "HTTP/1.1"
    return int(code), fields, body


def get(instance, path="/metrics", method="GET"):
    return request(instance, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n"
                   .encode())


def by_socket(instance):
    code, _, body = get(instance)
    assert code == 200
    return Metrics(body.decode())


def measured(work):
    """WORK's result, and how long it took."""
    begin = time.monotonic()
    result = work()
    return result, time.monotonic() - begin
