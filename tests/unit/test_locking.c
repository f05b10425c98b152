/*
 * test_locking.c - core/worker/locking.c with a locker whose answers come
 * late, in another number, or never.  The test is the locker.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <culver/host.h>

#include "core/base/clock.h"
#include "core/ipc/ipc.h"
#include "core/worker/locking.h"

static struct culver_host host;
static int locker;
static struct ipc_in in;
static struct culver_error err;

/* The next answer, with FD if that is one. */
static void
answer(culver_status status, int fd)
{
	const struct ipc_lock_done done = {.status = (uint32_t)status,
	    .text = ""};

	assert_int_equal(ipc_send(locker, IPC_LOCK_DONE, &done, &fd, fd >= 0),
	    CULVER_OK);
}

/* The worker asked this next. */
static void
asked(enum ipc_type type)
{
	assert_int_equal(ipc_recv(locker, &in, R_WORKER, R_LOCKER,
	    type == IPC_LOCK_FILE ? P_START : P_RUN), IPC_GOT);
	assert_int_equal(in.type, type);
	ipc_done(&in);
}

static void
asked_nothing(void)
{
	struct pollfd p = {.fd = locker, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 0), 0);
}

static culver_status
call(int op, uint64_t deadline)
{
	struct culver_call c = {.size = sizeof(c), .deadline = deadline,
	    .err = &err};

	return host.dotlock(&host, op, &c);
}

static uint64_t
soon(void)
{
	return clock_now() + 60 * NS_PER_S;
}

static int
setup(void **state)
{
	int pair[2];

	(void)state;
	memset(&err, 0, sizeof(err));
	err.size = sizeof(err);
	assert_true(ipc_pair(pair));
	locker = pair[1];
	locking_start(&host, pair[0]);
	answer(CULVER_OK, -1);
	locking_file("/var/mail/anna");
	asked(IPC_LOCK_FILE);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	call(CULVER_DOTLOCK_DROP, 0);
	locking_file(NULL);
	if (locker >= 0)
		close(locker);
	return 0;
}

/* A TAKE that is not answered in time fails, and is undone later; what then
 * comes late is no answer to the next one. */
static void
test_late_take(void **state)
{
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(call(CULVER_DOTLOCK_TAKE, 0), CULVER_E_TEMP);
	asked(IPC_LOCK_TAKE);
	asked(IPC_LOCK_DROP);
	asked_nothing();
	answer(CULVER_OK, file);		/* late: to the TAKE */
	answer(CULVER_OK, -1);			/* to the DROP */
	answer(CULVER_E_IN_USE, -1);		/* to the next TAKE */
	assert_int_equal(call(CULVER_DOTLOCK_TAKE, soon()), CULVER_E_IN_USE);
	asked(IPC_LOCK_TAKE);
	answer(CULVER_OK, file);
	assert_int_equal(call(CULVER_DOTLOCK_TAKE, soon()), CULVER_OK);
	asked(IPC_LOCK_TAKE);
	close(file);
}

/* KEEP waits for nothing, and takes no lock away when nobody listens. */
static void
test_keep(void **state)
{
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(call(CULVER_DOTLOCK_KEEP, 0), CULVER_OK);
	asked_nothing();			/* there is nothing to keep */
	answer(CULVER_OK, file);
	close(file);
	assert_int_equal(call(CULVER_DOTLOCK_TAKE, soon()), CULVER_OK);
	asked(IPC_LOCK_TAKE);
	for (int i = 0; i < 10000; i++)		/* more than a socket holds */
		assert_int_equal(call(CULVER_DOTLOCK_KEEP, 0), CULVER_OK);
	for (int i = 0; i < 2; i++)
		asked(IPC_LOCK_KEEP);
}

/* A DROP whose call has no time left is not waited for. */
static void
test_late_drop(void **state)
{
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	answer(CULVER_OK, file);
	assert_int_equal(call(CULVER_DOTLOCK_TAKE, soon()), CULVER_OK);
	asked(IPC_LOCK_TAKE);
	assert_int_equal(call(CULVER_DOTLOCK_DROP, 0), CULVER_OK);
	asked(IPC_LOCK_DROP);
	answer(CULVER_OK, -1);			/* late */
	answer(CULVER_OK, file);
	assert_int_equal(call(CULVER_DOTLOCK_TAKE, soon()), CULVER_OK);
	asked(IPC_LOCK_TAKE);
	close(file);
}

static void
test_locker_dies(void **state)
{
	(void)state;
	close(locker);
	locker = -1;
	assert_int_equal(call(CULVER_DOTLOCK_TAKE, soon()), CULVER_E_TEMP);
	assert_int_equal(call(CULVER_DOTLOCK_TAKE, soon()), CULVER_E_TEMP);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_late_take, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_keep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_drop, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_locker_dies, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
