"""Storage plugins that are linked into culverd, and the same from their files."""
import json
from pathlib import Path

import pytest

from culver import modules, numbered, until, wire

pytestmark = [pytest.mark.once, pytest.mark.needs_root]
PATHS = {"maildir": "~/Maildir", "mbox": "~/mbox"}


def session(inst):
    """What the worker of a session has mapped."""
    with inst.login() as pop:
        pid, = until("no others", lambda: len(inst.role("worker")) == 1 and
                     inst.role("worker"))
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert pop.multi("RETR 1") == wire(numbered(1))
        pop.quit()
    return maps


@pytest.mark.parametrize("name", PATHS)
def test_by_name_and_by_path(make_instance, tree, build, name):
    section = 'storage %s { plugin = "%s" path = "%s" }'
    inst = make_instance(users=1, storage=section % (name, name, PATHS[name]))
    if name == "mbox":
        box = inst.users[0].home / "mbox"
        box.write_bytes(b"From me Sun Nov 22 12:00:00 2026\n" + numbered(1) +
                        b"\n")
        inst.users[0].own(box)
    else:
        inst.users[0].deliver(numbered(1))
    inst.start()
    linked = f"#define BUILTIN_{name.upper()} 1\n" in \
        (build / "config.h").read_text()
    path, = [p["path"] for p in json.loads(inst.ctl("--json", "plugins").stdout)
             if (p["kind"], p["name"]) == ("storage", name)]
    assert ("/" not in path) == linked
    assert (f"storage_{name}.so" not in session(inst)) == linked
    file = modules(tree) / f"storage_{name}.so"
    inst.parts["storage"] = section % (name, file, PATHS[name])
    inst.stop()
    inst.write_conf()
    inst.start()
    assert str(file.name) in session(inst)
