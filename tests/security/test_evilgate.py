"""A gate that an attacker owns gets no session but what was granted to it.

tests/security/evilgate takes the gate's place in a copy of the tree, gets a
grant and misuses it as its host name says.  What must happen is what an
administrator sees: the gate is killed, and no session begins.
"""
import re
import shutil

import pytest

import culver

BREACHES = ["foreign", "serial", "othergate", "directory", "phase", "early",
            "nofd", "twofds", "fourfds", "truncated", "oversized",
            "trailing", "flood", "notmine"]


# what the coordinator ends the channel for, and with it the gate's logins
STEPS = ["stepnone", "stepbusy", "stepbig", "stepmech", "stepcert",
         "stepserial"]


@pytest.fixture(scope="module")
def evil_tree(copy_tree, build):
    """A copy of the tree whose gate is evilgate."""
    program = build / "tests/security/evilgate"
    if not program.exists():
        pytest.fail(f"{program} is missing: make check builds it")
    copy = copy_tree()
    gate = copy / "usr/local/libexec/culver/gate"
    shutil.copyfile(program, gate)
    gate.chmod(0o755)
    return copy


@pytest.fixture
def attack(evil_tree):
    instances = []

    def run(mode):
        # a gate that does not end cannot hold a stop up for longer
        inst = culver.Instance(evil_tree, users=1,
                               limits='stop_grace = "2s"',
                               top="gates = 2" if mode == "othergate"
                               else "gates = 1")
        instances.append(inst)
        inst.write_conf(inst.conf_text().replace(
            'hostname = "localhost"', f'hostname = "{mode}.example"'))
        inst.start(wait=False)
        return inst
    yield run
    for inst in instances:
        inst.stop()


def killed(inst):
    return re.search(r"gate \d+ \(pid \d+\).*killed", inst.log_text())


def logins(inst):
    return len(re.findall(r"\blogin user=", inst.log_text()))


def test_the_harness_itself_gets_a_session(attack):
    """A grant used as it must be works, so the others fail for their fault."""
    inst = attack("good")
    culver.until("a session", lambda: logins(inst) == 1)


@pytest.mark.parametrize("mode", BREACHES)
def test_breach_ends_the_gate_and_gives_no_session(attack, mode):
    inst = attack(mode)
    culver.until("the gate is killed", lambda: killed(inst))
    assert logins(inst) == 0


def test_a_grant_works_once(attack):
    inst = attack("twice")
    culver.until("the gate is killed", lambda: killed(inst))
    assert logins(inst) == 1


def test_grants_are_bounded(attack):
    """Too many are refused, which is no breach; the first still works."""
    inst = attack("hoard")
    inst.wait_log("no room for the logins of gate")
    culver.until("the gate is killed", lambda: killed(inst))
    assert logins(inst) == 1


@pytest.mark.parametrize("mode", STEPS)
def test_a_step_out_of_turn_ends_the_channel(attack, mode):
    """A response where no challenge was, one that is too long, a mechanism
    that is not configured, a number again."""
    inst = attack(mode)
    inst.wait_log("gate", "broke the protocol: closed")
    assert logins(inst) == 0


def test_logins_in_the_middle_are_bounded(attack):
    inst = attack("stepmany")
    inst.wait_log("a login was refused: too many logins begun")
    assert logins(inst) == 0


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_grant_is_void_after_30_seconds(attack):
    inst = attack("late")
    culver.until("the gate is killed", lambda: killed(inst), patience=60)
    assert logins(inst) == 0
