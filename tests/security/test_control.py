"""The control socket: who may look must not keep root from acting."""
import os
import socket
import subprocess
import sys

import pytest

from culver import until

GID = 61777
# Connects as often as it can, says so, and holds the connections.
HOLD = """
import os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[3]))
held = []
for _ in range(40):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(sys.argv[1])
    held.append(s)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.needs_root
def test_members_of_the_group_do_not_keep_root_out(make_instance):
    inst = make_instance(users=1, top=f'control_group = "{GID}"')
    inst.start()
    path = str(inst.dir / "run/control")
    with subprocess.Popen([sys.executable, "-c", HOLD, path, str(GID),
                           str(inst.users[0].uid)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as held:
        assert held.stdout.readline() == b"held\n"
        for _ in range(3):
            assert inst.ctl("status").returncode == 0
        assert inst.ctl("reload").returncode == 0
        held.stdin.close()
    # and those who left have left their places
    until("a look", lambda: inst.ctl("who").returncode == 0)


def test_a_flood_of_questions_harms_nobody(make_instance):
    """Who asks and does not wait for the answer makes processes, but few at a
    time; logins go on, and so does culverctl."""
    inst = make_instance(users=1).start()
    ask = bytes([112, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0])     # CTL_WHO
    most = 0
    for i in range(300):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(str(inst.dir / "run/control"))
            s.send(ask)
        if i % 50 == 0:
            most = max(most, len(inst.role("worker")))
    assert most <= 8
    inst.login(inst.users[0]).quit()
    until("an answer", lambda: inst.ctl("status").returncode == 0)
    assert os.path.exists(f"/proc/{inst.pid}")
