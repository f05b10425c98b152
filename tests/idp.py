"""idp.py - an identity provider on loopback: keys as a JWKS, introspection,
tokens of every kind, and all that a bad one does.  Only openssl signs.
"""
import base64
import contextlib
import http.server
import json
import os
import shutil
import socket
import socketserver
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

import culver

ISSUER = "https://id.example.org/realms/mail"
CLIENT, SECRET = "culver", "ge heim&%=:ä"


def b64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def openssl(*args, data=None):
    return subprocess.run(["openssl", *map(str, args)], input=data,
                          check=True, capture_output=True).stdout


class Key:
    """An RSA key that signs by RS256."""

    def __init__(self, path, kid):
        self.path, self.kid = path, kid
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt",
                "rsa_keygen_bits:2048", "-out", path)
        self.pem = openssl("pkey", "-in", path, "-pubout")
        modulus = openssl("rsa", "-in", path, "-noout", "-modulus")
        self.jwk = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
                    "e": "AQAB", "n": b64url(bytes.fromhex(
                        modulus.decode().strip().split("=")[1]))}

    def sign(self, claims, **header):
        header = {"alg": "RS256", "typ": "JWT", "kid": self.kid, **header}
        text = ".".join(b64url(json.dumps(x).encode())
                        for x in (header, claims))
        return text + "." + b64url(openssl("dgst", "-sha256", "-sign",
                                           self.path, data=text.encode()))


def claims(user, **more):
    now = int(time.time())
    return {"iss": ISSUER, "aud": ["account", "mail"], "email": user,
            "email_verified": True, "exp": now + 600, "iat": now, "scope": "openid mail", **more}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def misbehave(self):
        """What a bad one does; False: nothing of that."""
        idp = self.server.idp
        if idp.mode == "slow":
            idp.awake.wait(60)
        elif idp.mode == "garbage":
            self.send(200, b"<html>\0\xff{")
        elif idp.mode == "text":
            self.send(200, b'"active"')
        elif idp.mode == "maybe":
            self.send(200, b'{"active":"true","keys":7}')
        elif idp.mode == "huge":
            self.send(200, b"[" + b" " * 2000000 + b"]")
        elif idp.mode == "deep":
            self.send(200, b'{"active":true,"keys":' + b"[" * 30000)
        elif idp.mode == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"
                             b'{"active":true')
            self.close_connection = True
        elif idp.mode == "endless":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200000)
            self.close_connection = True
        elif idp.mode == "redirect":
            self.send(302, b"", Location=f"https://localhost:{idp.port}/ok")
        elif isinstance(idp.mode, int):
            self.send(idp.mode, b'{"active":true}')
        else:
            return False
        return True

    def do_GET(self):
        self.server.idp.fetched += 1
        if not self.misbehave():
            self.send(200, self.server.idp.jwks())

    def do_POST(self):
        idp = self.server.idp
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body, strict_parsing=True))
        idp.asked += 1
        if self.misbehave():
            return
        if self.headers.get("Authorization") not in idp.credentials():
            self.send(401, b"{}")
            return
        answer = idp.tokens.get(form["token"], {"active": False})
        self.send(200, json.dumps(answer).encode())


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 100

    def finish_request(self, request, client_address):
        """In the connection's own thread, unlike get_request()."""
        self.idp.connections += 1
        with self.idp.context.wrap_socket(request, server_side=True) as tls:
            self.idp.open.add(tls)
            self.RequestHandlerClass(tls, client_address, self)

    def handle_error(self, request, client_address):
        pass


class Idp:
    """In a folder of its own, at https://localhost:PORT."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="culver-idp-",
                                         dir=culver.tempdir("")))
        self.dir.chmod(0o755)
        self.ca = self.dir / "cert.pem"
        culver.make_certificate(self.ca, self.dir / "tls.key")
        os.chmod(self.ca, 0o644)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.ca, self.dir / "tls.key")
        self.keys = [Key(self.dir / "a.key", "a")]
        self.tokens, self.open = {}, set()
        self.mode, self.awake = "", threading.Event()
        self.fetched = self.asked = self.connections = self.port = 0
        self.server = None
        self.start()

    def start(self):
        Server.allow_reuse_address = True
        self.server = Server(("127.0.0.1", self.port), Handler)
        self.server.idp = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,),
                         daemon=True).start()

    def stop(self):
        """Nobody listens, and what was connected is not any more."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
        for sock in self.open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self.open.clear()

    def remove(self):
        self.awake.set()
        self.stop()
        shutil.rmtree(self.dir)

    @property
    def url(self):
        return f"https://localhost:{self.port}"

    def jwks(self):
        return json.dumps({"keys": [k.jwk for k in self.keys]}).encode()

    @staticmethod
    def credentials():
        pair = ":".join(urllib.parse.quote(x, safe="")
                        for x in (CLIENT, SECRET))
        return ("Basic " + culver.b64(pair), "Bearer asks-for-others")

    def token(self, user, **more):
        return self.keys[-1].sign(claims(user, **more))

    def opaque(self, user, **more):
        """A token that only introspection knows."""
        token = f"opaque+/~.{len(self.tokens)}=="
        self.tokens[token] = {"active": True, "email": user,
                              "email_verified": True, "scope": "mail", **more}
        return token


# --- clients -----------------------------------------------------------------

def response(mech, user, token):
    """The first message of the client, whose name may be octets."""
    user = user if isinstance(user, bytes) else user.encode()
    if mech == "XOAUTH2":
        head = b"user=" + user
    elif user:
        head = b"n,a=" + user.replace(b"=", b"=3D").replace(b",", b"=2C") + b","
    else:
        head = b"n,,"
    return culver.b64(head + f"\x01auth=Bearer {token}\x01\x01".encode())


def login(pop, mech, user, token, initial=True):
    """The server's last word, and what it said of a token before that."""
    if initial:
        reply = pop.cmd(f"AUTH {mech} {response(mech, user, token)}")
    else:
        assert pop.cmd(f"AUTH {mech}").rstrip() == b"+"
        reply = pop.cmd(response(mech, user, token))
    said = None
    if reply.startswith(b"+ "):
        said = json.loads(base64.b64decode(reply[2:]))
        reply = pop.cmd("AQ==" if mech == "OAUTHBEARER" else "")
    return reply, said
