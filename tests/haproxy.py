"""haproxy.py - Debian's HAProxy in front of an instance."""
import socket
import subprocess

from culver import until


class Haproxy:
    """Frontends on the instance's address, each a tuple of its port, what
    `bind` says besides, the server's port, and what `server` says.  It speaks
    to Culver from SOURCE, and looks after it (`check`)."""

    SOURCE = "127.0.0.2"

    def __init__(self, inst, *frontends):
        self.inst, self.ports = inst, [f[0] for f in frontends]
        self.pem = inst.dir / "tls" / "haproxy.pem"
        self.pem.write_text(inst.cert.read_text() + inst.key.read_text())
        self.pem.chmod(0o600)
        self.conf = inst.dir / "haproxy.cfg"
        self.stats = inst.dir / "haproxy.sock"
        self.conf.write_text(f"global\n stats socket {self.stats}\n"
                             "defaults\n mode tcp\n timeout connect 20s\n"
                             " timeout client 60s\n timeout server 60s\n"
                             " default-server inter 200ms\n" +
                             "".join(map(self.section, frontends)))
        self.log = inst.dir / "haproxy.log"
        self.proc = None

    def section(self, frontend):
        port, bind, to, server = frontend
        bind = bind.replace("{pem}", str(self.pem))
        return (f"listen p{port}\n bind {self.inst.address}:{port} {bind}\n"
                f" option tcp-check\n tcp-check expect string +OK\n"
                f" server s {self.inst.address}:{to} source {self.SOURCE}"
                f" {server}\n")

    def listens(self):
        for port in self.ports:
            try:
                socket.create_connection((self.inst.address, port)).close()
            except OSError:
                return self.proc.poll() is not None
        return True

    def checks(self):
        """What it found when it looked last, as L7OK."""
        with socket.socket(socket.AF_UNIX) as s:
            try:
                s.connect(str(self.stats))
            except ConnectionRefusedError:      # it is bound, and no more yet
                return []
            s.sendall(b"show stat typed\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        return [line.rsplit(":", 1)[1] for line in text.splitlines()
                if ".check_status." in line]

    def __enter__(self):
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(
                ["haproxy", "-db", "-f", str(self.conf)], stderr=log,
                stdin=subprocess.DEVNULL, stdout=log)
        try:
            until("HAProxy", self.listens)
            assert self.proc.poll() is None, self.log.read_text()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        self.proc.kill()
        self.proc.wait()
