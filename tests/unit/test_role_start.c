/*
 * test_role_start.c - a role that cannot be confined does not work: the
 * programs gate, certcheck and auth, as master starts them, with snapshots
 * that are not what they should be.
 *
 * Runs the programs of the build directory as the caller.
 */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/config/conf.h"
#include "core/ipc/ipc.h"

static const struct role {
	const char *path;
	enum conf_kind kind;
	size_t size;
} roles[] = {
    {"core/gate/gate", CONF_GATE, sizeof(struct conf_gate)},
    {"core/tls/certcheck", CONF_CERTCHECK, sizeof(struct conf_certcheck)},
    {"core/auth/auth", CONF_AUTH, sizeof(struct conf_auth)}};

/* A snapshot for R that is right but for its missing filter, and its MAGIC. */
static int
snapshot(const struct role *r, uint32_t magic)
{
	const struct conf_head h = {.magic = magic, .kind = r->kind,
	    .fixed = (uint32_t)r->size, .size = (uint32_t)r->size,
	    .filter_at = (uint32_t)r->size, .extra_at = (uint32_t)r->size};
	int fd = memfd_create("snapshot", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)r->size), 0);
	assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK |
	    F_SEAL_GROW | F_SEAL_WRITE), 0);
	return fd;
}

static void __attribute__((noreturn))
child(const struct role *r, int snap)
{
	static const int channels[] = {FD_CHANNEL, FD_LOG, FD_AUTH, FD_MASTER};
	int pair[2], high = fcntl(snap, F_DUPFD_CLOEXEC, 100);
	char path[4096];

	/* the other ends stay open for as long as the program runs */
	for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
		if (!ipc_pair(pair) ||
		    fcntl(pair[0], F_DUPFD, 200) < 0 ||
		    fcntl(pair[1], F_DUPFD_CLOEXEC, 300 + (int)i) < 0)
			_exit(1);
	}
	for (int fd = FD_CHANNEL; fd < 20; fd++)
		close(fd);
	for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++)
		dup2(300 + (int)i, channels[i]);
	dup2(high, FD_SNAPSHOT);
	snprintf(path, sizeof(path), "%s/%s", BUILD_DIR, r->path);
	alarm(5);		/* it must not begin to serve */
	execl(path, r->path, "1", (char *)NULL);
	_exit(127);
}

/* The wait status of R, started with a snapshot of MAGIC. */
static int
run(const struct role *r, uint32_t magic)
{
	int snap = snapshot(r, magic), status = -1;
	pid_t pid = fork();

	if (pid == 0)
		child(r, snap);
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(snap);
	return status;
}

static void
each_ends(uint32_t magic)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		int status = run(&roles[i], magic);

		if (!WIFEXITED(status) || WEXITSTATUS(status) == 0 ||
		    WEXITSTATUS(status) == 127)
			fail_msg("%s: wait status 0x%x", roles[i].path,
			    (unsigned)status);
	}
}

static void
test_no_snapshot_of_its_own(void **state)
{
	(void)state;
	each_ends(CONF_MAGIC + 1);
}

#ifdef WITH_SANDBOX
static void
test_no_filter(void **state)
{
	(void)state;
	each_ends(CONF_MAGIC);
}
#endif

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_snapshot_of_its_own),
#ifdef WITH_SANDBOX
	    cmocka_unit_test(test_no_filter),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
