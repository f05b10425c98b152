"""mailboxes.py - the mailboxes that tests/bench/run measures with.

They are made once, in a directory that stays, but for those that were changed.
All are the same for the same arguments: `popload mail` sees to that.
"""
import json
import os
import shutil
import subprocess
from pathlib import Path

from culver import ROOT

FIRST_UID = 200000      # of small mailboxes; the large ones have one uid less
PLACE = {"maildir": "Maildir", "mbox": "mbox", "sqlite": "mail.db"}


class Mailbox:
    """A user's account, and where the mail is."""

    def __init__(self, name, home, uid, storage, messages):
        self.name, self.home, self.storage = name, Path(home), storage
        self.uid = uid if ROOT else os.getuid()
        self.gid = uid if ROOT else os.getgid()
        self.messages = messages

    @property
    def path(self):
        return self.home / PLACE[self.storage]

    def forget(self):
        """Drop what servers keep only for speed."""
        for pattern in ("culver-cache", "dovecot*"):
            for path in self.path.glob(pattern):
                path.unlink()
        for path in self.home.glob("**/culver-cache"):
            path.unlink()


class Mailboxes:
    def __init__(self, popload, work, importer):
        """importer(box, maildir) fills a database."""
        self.popload, self.importer = popload, importer
        self.made = {}
        self.dir = Path(work) / "mail"
        self.dir.mkdir(exist_ok=True)
        os.chmod(self.dir, 0o711)

    def generate(self, *args):
        done = subprocess.run([self.popload, "mail", *map(str, args)],
                              check=True, stdout=subprocess.PIPE)
        return json.loads(done.stdout)

    @staticmethod
    def uid(number):
        return ("-u", number) if ROOT else ()

    # --- many small ones ---------------------------------------------------

    def small(self, owner, storage, users, messages, median=6000,
              real=True):
        """For the server `owner`; they stay until something is deleted.
        Only the accounts unless `real`."""
        top = self.dir / \
            f"{owner}-small-{storage}-{users}-{messages}-{median}"
        boxes = [Mailbox(f"u{i:06}", top / f"u{i:06}", FIRST_UID + i, storage,
                         messages) for i in range(users)]
        if top in self.made:
            return self.made[top]
        self.made[top] = boxes
        if not real or (top / "made").exists():
            return boxes
        shutil.rmtree(top, ignore_errors=True)
        top.mkdir()
        os.chmod(top, 0o711)
        if storage == "sqlite":
            self.fill_sqlite(boxes, messages, median)
        else:
            self.generate("-k", users, "-n", messages, "-m", median, "-a", 0,
                          *self.uid(FIRST_UID), storage, top)
        (top / "made").touch()
        return boxes

    def spoil(self, boxes):
        """Something is to be deleted: the next one makes new ones."""
        (boxes[0].home.parent / "made").unlink(missing_ok=True)
        self.made = {k: v for k, v in self.made.items() if v is not boxes}

    def fill_sqlite(self, boxes, messages, median):
        source = self.large("sqlite", messages, median, attached=0)
        for box in boxes:
            box.home.mkdir(mode=0o700)
            shutil.copyfile(source.path, box.path)
            os.chmod(box.path, 0o600)
            if ROOT:
                os.chown(box.home, box.uid, box.gid)
                os.chown(box.path, box.uid, box.gid)

    # --- a large one -------------------------------------------------------

    def large(self, storage, messages, median=9000, attached=5, names=False):
        """One that is made once."""
        kind = storage + ("-sw" if names else "")
        name = f"{kind}-{messages}-{median}-{attached}"
        home = self.dir / name
        box = Mailbox(name, home, FIRST_UID - 1, storage, messages)
        if (home / "made").exists():
            return box
        print(f"making {home}", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(mode=0o700)
        if ROOT:
            os.chown(home, box.uid, box.gid)
        if names:
            self.link_names(box, self.large(storage, messages, median,
                                            attached))
        elif storage == "sqlite":
            self.importer(box, self.large("maildir", messages, median,
                                          attached).path)
        else:
            self.generate("-n", messages, "-m", median, "-a", attached,
                          *self.uid(box.uid), storage, box.path)
        (home / "made").touch()
        return box

    def link_names(self, box, source):
        """The same files, with their sizes in the names."""
        for path in (box.path, *(box.path / d for d in ("cur", "new", "tmp"))):
            path.mkdir(mode=0o700)
            if ROOT:
                os.chown(path, box.uid, box.gid)
        for file in (source.path / "cur").iterdir():
            with open(file, "rb") as f:
                octets = int(f.readline().split()[2])
                stored = os.fstat(f.fileno()).st_size
            base, flags = file.name.split(":", 1)
            os.link(file, box.path / "cur" /
                    f"{base},S={stored},W={octets}:{flags}")

    def copy_for(self, owner, box):
        """Hard links to its files, for another server."""
        home = self.dir / f"{owner}-{box.home.name}"
        copy = Mailbox(box.name, home, box.uid, box.storage, box.messages)
        if not (home / "made").exists():
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run(["cp", "-al", box.home, home], check=True)
            copy.forget()
        return copy

    def deliver(self, box, number):
        """One new message, as others deliver: it has no size in its name."""
        self.generate("-n", 1, "-f", box.messages + number, "-s",
                      box.messages + number, "-d", "new", "-a", 0,
                      *self.uid(box.uid), "maildir", box.path)

    @staticmethod
    def undeliver(box):
        """Without what deliver() put there, wherever a server moved it."""
        for folder in ("new", "cur"):
            with os.scandir(box.path / folder) as entries:
                for entry in entries:
                    if "P1.bench" not in entry.name:
                        os.unlink(entry.path)
