"""PAM modules that hang, exit, leak, ask and talk: no other login notices, and
nothing of what they say reaches a client (tests/protocol/pam_odd.c).
"""
import pytest

from culver import PASSWORD, all_processes, cmdline, numbered, until
from pam import UNIX, PamInstance, pools

pytestmark = [pytest.mark.needs_root, pytest.mark.once,
              pytest.mark.needs("unshare")]
PERMIT = "auth required pam_permit.so\naccount required pam_permit.so\n"


@pytest.fixture(scope="module")
def instance(tree, build):
    with PamInstance(tree, users=3, options='timeout = "5s"') as inst:
        inst.put_module(build)
        for user in inst.users:
            user.deliver(numbered(1))
        yield inst


def temporary(instance, user, *words, **kw):
    before = len(instance.log_lines("auth-error", f"user={user} ", *words))
    reply = instance.login_reply(user, **kw)
    assert reply.startswith(b"-ERR [SYS/TEMP]"), (
        reply, instance.log_text()[-2000:])
    instance.wait_log("auth-error", f"user={user} ", *words, n=before + 1)


def sleepers(name):
    return [p for p in all_processes() if cmdline(p)[:1] == [name]]


def test_password_prompt(instance):
    instance.service("auth required odd.so prompt\n" + PERMIT)
    assert instance.login_reply("user1").startswith(b"+OK")
    assert instance.login_reply("user1", "wrong").startswith(b"-ERR [AUTH]")


def test_only_passwords_are_answered(instance):
    instance.service("auth required odd.so question\n" + PERMIT)
    temporary(instance, "user1", "asked for more than a password",
              "pet's name")
    instance.service("auth required odd.so prompts\n" + PERMIT)
    temporary(instance, "user1", "asked too often", "Again:")


def test_what_modules_say_is_logged_once_and_not_sent(instance):
    instance.service("auth required odd.so talk\n" + PERMIT)
    with instance.connect() as pop:
        assert pop.login("user1", PASSWORD).startswith(b"+OK")
        assert pop.stat()[0] == 1
        pop.quit()
    line, = instance.wait_log("plugin=pam", "user user1", "said a module")
    assert "\x1b" not in line and "forged" in line
    assert instance.log_lines("level=error forged") == [line]


def test_delays_are_ours(instance):
    """A module asks for 100 s: the process would be ended for it."""
    instance.service("auth required odd.so delay\n")
    for _ in range(3):
        reply = instance.login_reply("user1", "wrong")
        assert reply.startswith(b"-ERR [AUTH]"), reply
    assert not instance.log_lines("did not answer in time")


def test_pam_unix_delays_nobody(instance):
    instance.service("auth optional pam_faildelay.so delay=100000000\n" + UNIX)
    assert instance.login_reply("user1", "wrong").startswith(b"-ERR [AUTH]")


def test_hanging_module(instance):
    """Its process ends with what it has started; the pool's do not."""
    name = f"sleep-{instance.dir.name}"     # nobody else's
    instance.service(f"auth requisite odd.so hang={name} user2\n" + UNIX)
    before = pools(instance)
    with instance.connect() as pop:
        pop.ok("USER user2")
        pop.send("PASS geheim\r\n")
        until("its helpers", lambda: len(sleepers(name)) == 3)
        # another one is served meanwhile
        assert instance.login_reply("user1").startswith(b"+OK")
        assert pop.line().startswith(b"-ERR [SYS/TEMP]")
    instance.wait_log("auth-error", "user=user2", "did not answer in time")
    until("the end of what it has started", lambda: not sleepers(name))
    assert pools(instance) == before


@pytest.mark.parametrize("what, why", [
    ("exit", "process ended with status 0"),
    ("abort", "process was ended by signal 9")])
def test_module_that_ends_its_process(instance, what, why):
    instance.service(f"auth requisite odd.so {what} user2\n" + UNIX)
    before = pools(instance)
    for _ in range(3):
        temporary(instance, "user2", why)
        assert instance.login_reply("user1").startswith(b"+OK")
    assert pools(instance) == before


def test_module_that_soils_its_process(instance):
    """Descriptors until there are none, signals, an alarm, output."""
    instance.service("auth required odd.so soil\n" + PERMIT)
    before = pools(instance)
    for user in instance.users * 3:
        assert instance.login_reply(user.name).startswith(b"+OK")
    instance.service(UNIX)
    for user in instance.users * 3:
        assert instance.login_reply(user.name).startswith(b"+OK")
        assert instance.login_reply(user.name, "no").startswith(b"-ERR")
    assert pools(instance) == before
    # a build with sanitizers keeps stderr, which is no log
    assert not instance.log_lines("culver[", "printed by a module")


def test_module_that_renames_the_user(instance):
    user2 = instance.users[1]
    user2.deliver(numbered(2))
    instance.service(UNIX + "account required odd.so rename=user2 user1\n")
    with instance.connect() as pop:
        assert pop.login("user1", PASSWORD).startswith(b"+OK")
        assert pop.stat()[0] == 2
        pop.quit()
    instance.wait_log("user=user2", "uid=%d" % user2.uid)
    for bad, reason in (("root", "reason=disabled"), ("../x", "canonical")):
        instance.service(UNIX + f"account required odd.so rename={bad}"
                         " user1\n")
        assert instance.login_reply("user1").startswith(b"-ERR")
        instance.wait_log("user=user1", reason)


@pytest.mark.parametrize("phase, code, reason", [
    ("auth", 7, "bad-password"), ("auth", 10, "unknown-user"),
    ("auth", 6, "disabled"), ("auth", 11, "disabled"),
    ("account", 7, "disabled"), ("account", 12, "expired"),
    ("account", 13, "expired"), ("account", 6, "disabled")])
def test_codes(instance, phase, code, reason):
    instance.service(f"{phase} requisite odd.so code={code}\n" + PERMIT)
    before = len(instance.log_lines("auth-failed", f"reason={reason}"))
    assert instance.login_reply("user3").startswith(b"-ERR [AUTH]")
    instance.wait_log("auth-failed", f"reason={reason}", n=before + 1)


@pytest.mark.parametrize("code", [1, 3, 4, 9, 14, 19, 26])
def test_failures_are_no_wrong_passwords(instance, code):
    instance.service(f"auth requisite odd.so code={code}\n" + PERMIT)
    temporary(instance, "user3", "PAM service culver")


def test_missing_module(instance):
    instance.service("auth required pam_nosuch.so\n" + PERMIT)
    temporary(instance, "user3", "unknown")
