/*
 * test_log.c - what the log role writes: format, escaping, full disks.
 */
#include "config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/log.h"
#include "core/log/out.h"

static const struct timespec moment = {.tv_sec = 1700000000,
    .tv_nsec = 42999999};
static struct out out;

static int
setup(void **state)
{
	(void)state;
	setenv("TZ", "XXX-05:30", 1);
	tzset();
	out_init(&out);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (out.fd >= 0)
		close(out.fd);
	return 0;
}

static void
say(int level, const char *who, const char *text)
{
	const struct entry e = {.level = level, .who = who, .text = text};

	out_line(&out, &moment, &e);
}

static const char *
written(int fd)
{
	static char buf[65536];
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

	assert_true(n >= 0);
	buf[n] = 0;
	return buf;
}

static void
file_line_has_time_sender_and_level(void **state)
{
	int fd = memfd_create("log", 0);

	(void)state;
	out_target(&out, fd, OUT_FILE);
	say(LOG_WARN_, "gate/3", "hello");
	assert_string_equal(written(fd), "");
	assert_true(out_flush(&out));
	assert_string_equal(written(fd), "2023-11-15T03:43:20.042+05:30 "
	    "culver[gate/3]: warn hello\n");
}

static void
control_octets_are_escaped(void **state)
{
	int fd = memfd_create("log", 0);

	(void)state;
	out_target(&out, fd, OUT_FILE);
	say(LOG_INFO_, "gate/1",
	    "a\nculver[master/1]: info login\x1b[0m\x7f\xc2\x9b");
	out_flush(&out);
	assert_string_equal(written(fd), "2023-11-15T03:43:20.042+05:30 "
	    "culver[gate/1]: info a\\x0aculver[master/1]: info login\\x1b[0m"
	    "\\x7f\\xc2\\x9b\n");
}

static void
long_lines_are_cut_and_end(void **state)
{
	static char text[4 * OUT_TEXT_MAX];
	int fd = memfd_create("log", 0);
	const char *got;

	(void)state;
	memset(text, 1, sizeof(text) - 1);
	out_target(&out, fd, OUT_FILE);
	say(LOG_INFO_, "gate/1", text);
	say(LOG_INFO_, "gate/1", "next");
	assert_true(out_flush(&out));
	got = written(fd);
	assert_true(strchr(got, '\n') - got < OUT_LINE_MAX);
	assert_non_null(strstr(got, "\\x01\n2023"));
	assert_non_null(strstr(got, "info next\n"));
}

static void
syslog_lines_are_datagrams(void **state)
{
	char buf[512];
	int pair[2];
	ssize_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	out_target(&out, pair[0], OUT_SYSLOG);
	say(LOG_ERROR_, "auth/1", "one");
	say(LOG_INFO_, "auth/1", "two");
	assert_true(out_flush(&out));
	n = recv(pair[1], buf, sizeof(buf), MSG_DONTWAIT);
	assert_int_equal(n, strlen("<19>Nov 15 03:43:20 culver[auth/1]: "
	    "error one"));
	assert_memory_equal(buf, "<19>Nov 15 03:43:20 culver[auth/1]: "
	    "error one", (size_t)n);
	n = recv(pair[1], buf, sizeof(buf), MSG_DONTWAIT);
	assert_int_equal(n, strlen("<22>Nov 15 03:43:20 culver[auth/1]: "
	    "info two"));
	close(pair[1]);
}

/* A file that may not grow is what a full disk looks like. */
static void
limit_file(rlim_t size)
{
	struct rlimit rl;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &rl), 0);
	rl.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &rl), 0);
}

static void
full_disk_tears_no_line_and_is_reported(void **state)
{
	char name[] = "/tmp/culver-test-log.XXXXXX", text[1024];
	int fd = mkstemp(name);
	unsigned long kept = 0, i = 0;
	const char *got, *p;

	(void)state;
	assert_true(fd >= 0);
	unlink(name);
	signal(SIGXFSZ, SIG_IGN);
	limit_file(100);
	out_target(&out, fd, OUT_FILE);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	say(LOG_INFO_, "gate/1", "first line of all");
	say(LOG_INFO_, "gate/1", "second line of all");
	assert_false(out_flush(&out));
	assert_int_equal(strlen(written(fd)), 100);
	while (out.lost < 3) {
		say(LOG_INFO_, "gate/1", text);
		assert_true(++i < 1000);
	}
	assert_int_equal(ftruncate(fd, 100), 0);
	limit_file(RLIM_INFINITY);
	assert_true(out_flush(&out));
	say(LOG_INFO_, "gate/1", "works again");
	assert_true(out_flush(&out));
	limit_file(RLIM_INFINITY);
	assert_int_equal(lseek(fd, 0, SEEK_END) > 0, 1);
	got = mmap(NULL, 1 << 18, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_true(got != MAP_FAILED);
	for (p = got; (p = strstr(p, "info xxx")) != NULL; p++)
		kept++;
	assert_int_equal(kept, i - 3);
	assert_non_null(strstr(got, "second line of all\n"));
	assert_non_null(strstr(got, "error 3 log lines were lost here: "
	    "File too large\n"));
	assert_non_null(strstr(got, "works again\n"));
	munmap((void *)(uintptr_t)got, 1 << 18);
}

static void
new_target_counts_what_the_old_one_did_not_take(void **state)
{
	int full = open("/dev/full", O_WRONLY), fd = memfd_create("log", 0);

	(void)state;
	assert_true(full >= 0);
	out_target(&out, full, OUT_FILE);
	say(LOG_INFO_, "gate/1", "one");
	say(LOG_INFO_, "gate/1", "two");
	assert_false(out_flush(&out));
	out_target(&out, fd, OUT_FILE);
	assert_true(out_flush(&out));
	assert_non_null(strstr(written(fd), "error 2 log lines were lost "
	    "here: No space left on device\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    file_line_has_time_sender_and_level, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    control_octets_are_escaped, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    long_lines_are_cut_and_end, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    syslog_lines_are_datagrams, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    full_disk_tears_no_line_and_is_reported, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    new_target_counts_what_the_old_one_did_not_take, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
