"""A client of SCRAM (RFC 5802) that shows each message, and GNU SASL's."""
import base64
import hashlib
import hmac
import os
import select
import subprocess


def b64(data):
    return base64.b64encode(data).decode()


def keys(password, salt, count, name="sha256"):
    """ClientKey, StoredKey, ServerKey."""
    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, count)
    client = hmac.digest(salted, b"Client Key", name)
    return (client, hashlib.new(name, client).digest(),
            hmac.digest(salted, b"Server Key", name))


def stored(password, salt=b"0123456789abcdef", count=4096, name="sha256"):
    """As doveadm pw writes it into a passwd file."""
    _, stored_key, server_key = keys(password, salt, count, name)
    mech = "SCRAM-SHA-256" if name == "sha256" else "SCRAM-SHA-1"
    return f"{{{mech}}}{count},{b64(salt)},{b64(stored_key)}," \
           f"{b64(server_key)}"


class Scram:
    """One exchange; `head` is the gs2-header, `binding` the octets for it."""

    def __init__(self, user, password, name="sha256", head="n,,",
                 binding=b"", nonce=None):
        self.user, self.password, self.name = user, password, name
        self.head, self.binding = head, binding
        self.nonce = nonce or b64(os.urandom(18))
        self.bare = f"n={user},r={self.nonce}"

    def first(self):
        return (self.head + self.bare).encode()

    def final(self, challenge):
        """The client's last message."""
        text = challenge.decode()
        self.parts = dict(p.split("=", 1) for p in text.split(","))
        assert self.parts["r"].startswith(self.nonce)
        assert len(self.parts["r"]) >= len(self.nonce) + 18
        client, stored_key, server = keys(
            self.password, base64.b64decode(self.parts["s"]),
            int(self.parts["i"]), self.name)
        bare = f"c={b64(self.head.encode() + self.binding)}," \
               f"r={self.parts['r']}"
        message = f"{self.bare},{text},{bare}".encode()
        proof = bytes(a ^ b for a, b in zip(
            client, hmac.digest(stored_key, message, self.name)))
        self.verifier = "v=" + b64(hmac.digest(server, message, self.name))
        return f"{bare},p={b64(proof)}".encode()

    def run(self, pop, mech, initial=True):
        """The last reply of the server; the exchange on `pop`."""
        if initial:
            reply = pop.cmd(f"AUTH {mech} {b64(self.first())}")
        else:
            assert pop.cmd(f"AUTH {mech}") == b"+ "
            reply = pop.cmd(b64(self.first()))
        if not reply.startswith(b"+ "):
            return reply
        reply = pop.cmd(b64(self.final(base64.b64decode(reply[2:]))))
        if not reply.startswith(b"+ "):
            return reply
        # the server has the keys, too
        assert base64.b64decode(reply[2:]).decode() == self.verifier
        return pop.cmd("")


class Gsasl:
    """GNU SASL's own client, over pipes."""

    def __init__(self, mech, user, password, exporter=None, unique=None):
        plus = mech.endswith("-PLUS")
        self.process = subprocess.Popen(
            ["gsasl", "--client", f"--mechanism={mech}", "-a", user,
             "-p", password, *([] if plus else ["--no-cb"])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, bufsize=0)
        self.seen = b""
        if plus:
            self.say(b64(exporter or b""))
            if not exporter:
                self.say(b64(unique or b""))

    def say(self, text):
        self.process.stdin.write(text.encode() + b"\n")

    def hear(self, patience=20):
        """What it would send, in base64."""
        mark = b"Output from client:\n"
        while b"\n" not in self.seen.partition(mark)[2]:
            ready = select.select([self.process.stdout], [], [], patience)[0]
            got = os.read(self.process.stdout.fileno(), 4096) if ready \
                else b""
            assert got, f"gsasl said {self.seen!r}"
            self.seen += got
        line, _, self.seen = self.seen.partition(mark)[2].partition(b"\n")
        return line.decode()

    def run(self, pop, mech):
        """The last reply of the server."""
        try:
            reply = pop.cmd(f"AUTH {mech} {self.hear()}")
            while reply.startswith(b"+ "):
                self.say(reply[2:].decode())
                reply = pop.cmd(self.hear())
            return reply
        finally:
            self.process.kill()
            self.process.communicate()
