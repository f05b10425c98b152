"""programs.py - Dovecot, mutt and formail at a user's mbox, each as the user
and with the locks that Debian's mail programs agree on: fcntl and dotlock.

Debian's policy takes them in this order, and so does mutt; Postfix takes the
dotlock first, holding it while it waits.  Who does the same in the other
order keeps Postfix from delivering and is kept out by it.  So Dovecot is told
to do as Postfix, and mutt, which cannot be told, to use fcntl only.
"""
import contextlib
import fcntl
import os
import pty
import re
import select
import subprocess
import time

from culver import ROOT, Failure, until

DOVECOT = "/usr/lib/dovecot/pop3"
DOVECOT_CONF = """protocols = pop3
base_dir = {home}/run
mail_location = mbox:{home}/dovecot:INBOX={box}
mbox_read_locks = fcntl
mbox_write_locks = dotlock fcntl
mbox_dirty_syncs = no
first_valid_uid = 1
ssl = no
pop3_no_flag_updates = yes
stats_writer_socket_path =
"""
MUTTRC = """set quit=yes delete=yes move=no record="" header_cache=""
set sort=mailbox-order mark_old=no mbox_type=mbox wait_key=no
set confirmappend=no confirmcreate=no sleep_time=0 folder="~"
set crypt_use_gpgme=no dotlock_program=/bin/true
"""


def ids(user):
    return dict(user=user.uid, group=user.gid, extra_groups=[]) \
        if ROOT else {}


def env(user, **kw):
    return {"HOME": str(user.home), "USER": user.name,
            "PATH": "/usr/bin:/bin", **kw}


def as_user(user, argv, check=True, **kw):
    return subprocess.run(argv, check=check, capture_output=True,
                          timeout=120, cwd=user.home, env=env(user),
                          **ids(user), **kw)


# --- Dovecot -----------------------------------------------------------------

def dovecot_conf(user):
    conf = user.home / "dovecot.conf"
    if not conf.exists():
        conf.write_text(DOVECOT_CONF.format(home=user.home, box=user.file))
        os.chmod(conf, 0o644)
        for name in ("run", "dovecot"):
            path = user.home / name
            path.mkdir(exist_ok=True)
            user.own(path)
    return str(conf)


def dovecot(user, *commands):
    """A POP3 session with Dovecot, from after the login: the reply lines."""
    done = as_user(user, [DOVECOT, "-c", dovecot_conf(user)],
                   input="".join(c + "\r\n" for c in (*commands, "QUIT"))
                   .encode())
    return done.stdout.split(b"\r\n")


def dovecot_messages(user):
    """All messages that Dovecot's POP3 server has, in order."""
    n = int(re.search(rb"(?m)^\+OK (\d+) \d+$",
                      b"\n".join(dovecot(user, "STAT"))).group(1))
    text = b"\r\n".join(dovecot(user, *(f"RETR {i}"
                                        for i in range(1, n + 1))))
    parts = re.split(rb"(?m)^\+OK \d+ octets\r\n", text)[1:]
    return [p[:p.index(b"\r\n.\r\n") + 2].replace(b"\r\n.", b"\r\n")
            for p in parts]


def doveadm(user, *args):
    """doveadm at the mbox; the lines that it printed, none if others removed
    a message meanwhile."""
    done = as_user(user, ["doveadm", "-c", dovecot_conf(user), *args], False)
    if b"Message was expunged" in done.stderr:
        return []
    if done.returncode != 0:
        raise Failure(f"doveadm {args}: {done.stderr!r}")
    return done.stdout.decode().splitlines()


# --- mutt --------------------------------------------------------------------

def mutt(user, keys, more=""):
    """mutt on a terminal of its own, with KEYS and MORE for its muttrc; if
    it finds no message it does nothing."""
    rc = user.home / "muttrc"
    rc.write_text(MUTTRC + more)
    os.chmod(rc, 0o644)
    near, far = pty.openpty()
    proc = subprocess.Popen(
        ["mutt", "-z", "-F", str(rc), "-f", str(user.file), "-e",
         f'push "{keys}"'], stdin=far, stdout=far, stderr=far,
        start_new_session=True, cwd=user.home,
        env=env(user, TERM="vt100", LANG="C.UTF-8"), **ids(user))
    os.close(far)
    now = time.monotonic()
    screen, again, end = b"", now + 2, now + 120
    with contextlib.suppress(OSError):      # EIO: it has ended
        while now < end:
            if now >= again:    # read after KEYS, unless an error drops both
                os.write(near, b"q")
                again = now + 2
            if select.select([near], [], [], max(0, again - now))[0]:
                screen += os.read(near, 65536)
            now = time.monotonic()
    os.close(near)
    if proc.poll() is None and time.monotonic() >= end:
        proc.kill()
    if proc.wait() not in (0, 1):
        raise Failure(f"mutt: {proc.returncode} {screen[-2000:]!r}")


def mutt_flags(user):
    """Turn the flag of each message; mutt rewrites from the first one on."""
    mutt(user, "<tag-pattern>~A<enter><tag-prefix><flag-message>"
         "<sync-mailbox><quit>")


def mutt_copies(user, path):
    """The mailbox as mutt reads it, as an mbox at PATH."""
    mutt(user, "<tag-pattern>~A<enter><tag-prefix><copy-message>"
         f"{path}<enter><quit>")


# --- formail -----------------------------------------------------------------

@contextlib.contextmanager
def locked(user):
    """The mbox, open, under both locks."""
    dot = f"{user.file}.lock"

    def attempt():
        f = open(user.file, "r+b")
        with contextlib.suppress(OSError):
            fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(f.fileno()), os.stat(user.file)) \
                    and as_user(user, ["lockfile", "-r0", dot],
                                False).returncode == 0:
                return f
        f.close()       # whoever waits holds no lock
        return None
    f = until("the locks of the mbox", attempt, 120)
    try:
        yield f
    finally:
        os.unlink(dot)
        f.close()


def formail(user, rename, *args):
    """Let formail write the mbox anew, into the same file or another."""
    new = user.home / "mbox.new"
    with locked(user) as f:
        with open(new, "wb") as out:
            subprocess.run(["formail", *args, "-s"], stdin=f, stdout=out,
                           check=True, timeout=120)
        if rename:
            user.own(new)
            os.chmod(new, 0o600)
            new.rename(user.file)
        else:
            f.seek(0)
            f.write(new.read_bytes())
            f.truncate()
            f.flush()


def formail_messages(user):
    """The messages into which formail cuts the mbox, in order."""
    parts = user.home / "parts"
    parts.mkdir()
    with open(user.file, "rb") as f:
        subprocess.run(["formail", "-s", "sh", "-c",
                        f"cat >'{parts}'/$FILENO"], stdin=f, check=True,
                       env={"FILENO": "00000", "PATH": "/usr/bin:/bin"},
                       timeout=300)
    return [p.read_bytes() for p in sorted(parts.iterdir())]
