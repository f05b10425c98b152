#!/usr/bin/python3
"""An auth backend for Culver in Python: checks passwords and looks users up.

    users.py FILE       answer requests, as culver-exec(5) has them
    users.py --hash     make the second field of a line, from a password

FILE has a line a user, name:hash:uid:gid:home, and is read for each request,
so that a change works at once.
"""
import base64
import getpass
import hashlib
import hmac
import os
import sys
from urllib.parse import quote_from_bytes, unquote_to_bytes

ROUNDS = 200000


def digest(password, salt, rounds):
    return hashlib.pbkdf2_hmac("sha256", password, salt, rounds)


def make_hash(password):
    salt = os.urandom(16)
    return "$".join((str(ROUNDS), base64.b64encode(salt).decode(), base64
                     .b64encode(digest(password, salt, ROUNDS)).decode()))


def is_right(stored, password):
    """In the same time for every password; what is no hash is never right."""
    if stored.count("$") != 2:
        return False
    rounds, salt, wanted = stored.split("$")
    return hmac.compare_digest(
        digest(password, base64.b64decode(salt), int(rounds)),
        base64.b64decode(wanted))


NOBODY = make_hash(b"")         # what an unknown user's password costs


def find(path, name):
    """The fields of the user's line, or None."""
    with open(path, "rb") as f:
        for line in f:
            fields = line.rstrip(b"\n").split(b":")
            if fields[0] == name and len(fields) == 5:
                return fields
    return None


def answer(path, word, asked):
    """The word of the answer, and its fields."""
    user = find(path, asked["user"])
    if word == "verify":
        stored = user[1].decode() if user else NOBODY
        right = is_right(stored, asked["password"])
        if user:
            return "ok" if right else "wrong", {}
    elif word == "user" and user:
        return "ok", {"uid": user[2], "gid": user[3], "home": user[4]}
    return "unknown", {}


def serve(path):
    for line in sys.stdin.buffer:
        word, *fields = line.decode("ascii").rstrip("\n").split("\t")
        asked = {}
        for field in fields:
            name, _, value = field.partition("=")
            asked[name] = unquote_to_bytes(value)
        if word == "hello":
            print("hello\tversion=1\tcan=verify,user", flush=True)
            continue
        try:
            word, given = answer(path, word, asked)
        except (OSError, ValueError, KeyError) as e:
            word, given = "temp", {"error": str(e).encode()}
        print(word, "id=" + asked["id"].decode(),
              *(f"{k}={quote_from_bytes(v)}" for k, v in given.items()),
              sep="\t", flush=True)


if sys.argv[1:] == ["--hash"]:
    print(make_hash(getpass.getpass().encode()))
elif len(sys.argv) == 2:
    serve(sys.argv[1])
else:
    sys.exit(__doc__)
