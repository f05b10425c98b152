/*
 * test_passwdfile_scale.c - the passwd-file plugin and large files: what
 * answers while an index is made, files that are written in place, long lines.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/pwtest.h"

enum { USERS = 200000, LINE = 64 };

/* A clock that runs while the plugin works: 40 ms each time it looks. */
static uint64_t
ticking(const struct culver_host *host)
{
	struct fakehost *f = (struct fakehost *)(uintptr_t)host;

	return f->clock += UINT64_C(40000000);
}

/* USERS lines with the password PW; *N octets. */
static char *
many(const char *pw, size_t *n)
{
	char *text = malloc((size_t)USERS * LINE);

	assert_non_null(text);
	*n = 0;
	for (int i = 0; i < USERS; i++)
		*n += (size_t)snprintf(text + *n, LINE, "user%06d@x.example:"
		    "{PLAIN}%s:1000:1000::/home/user%06d\n", i, pw, i);
	return text;
}

static void
write_many(struct authtest *s, const char *pw)
{
	size_t n;
	char *text = many(pw, &n);

	pwtest_write(s, text, n);
	free(text);
}

/* While the index of a large file is made, the old file answers: nobody waits
 * for the whole of it, and nobody is unknown. */
static void
test_the_old_file_answers_meanwhile(void **state)
{
	struct authtest *s = *state;
	culver_status st = CULVER_E_AUTH;
	int calls;

	write_many(s, "old");
	authtest_start(s);
	assert_int_equal(authtest_verify(s, "user199999@x.example", "old"),
	    CULVER_OK);
	s->host.host.now = ticking;
	write_many(s, "new");
	assert_int_equal(authtest_verify(s, "user000000@x.example", "old"),
	    CULVER_OK);
	for (calls = 0; st == CULVER_E_AUTH && calls < 1000; calls++)
		st = authtest_verify(s, "user199999@x.example", "new");
	assert_int_equal(st, CULVER_OK);
	assert_in_range(calls, 2, 200);
	assert_int_equal(authtest_verify(s, "user000000@x.example", "old"),
	    CULVER_E_AUTH);
	assert_int_equal(authtest_verify(s, "user200000@x.example", "new"),
	    CULVER_E_NOUSER);
}

/* A small file, as most are, is read at once: the next login sees it. */
static void
test_a_small_change_is_seen_at_once(void **state)
{
	struct authtest *s = *state;

	pwtest_users(s, "a:{PLAIN}one\n");
	s->host.host.now = ticking;
	pwtest_users(s, "a:{PLAIN}two\n");
	assert_int_equal(authtest_verify(s, "a", "two"), CULVER_OK);
}

static void
put(int fd, const char *text, size_t n)
{
	if (write(fd, text, n) != (ssize_t)n)
		_exit(1);
}

/* Write N octets into the file that is there: the first half, which ends with a
 * line, and a while later the rest. */
static pid_t
write_slowly(const char *path, const char *text, size_t n)
{
	const struct timespec pause = {.tv_nsec = 400000000};
	const char *half = (const char *)memchr(text + n / 2, '\n', n / 2) + 1;
	pid_t pid = fork();
	int fd;

	if (pid != 0)
		return pid;
	fd = open(path, O_WRONLY | O_TRUNC);
	put(fd, text, (size_t)(half - text));
	nanosleep(&pause, NULL);
	put(fd, half, n - (size_t)(half - text));
	_exit(close(fd) != 0);
}

/* Half of a file that ends with a newline looks whole, but it is shorter than
 * what was there before. */
static void
test_written_in_place(void **state)
{
	struct authtest *s = *state;
	culver_status st;
	pid_t pid;
	int done, asked = 0;
	size_t n;
	char *text = many("new", &n);

	write_many(s, "old");
	authtest_start(s);
	s->host.clock = 0;
	pid = write_slowly(s->path, text, n);
	assert_true(pid > 0);
	do {
		done = waitpid(pid, &(int){0}, WNOHANG) == pid;
		st = authtest_verify(s, "user199999@x.example", "old");
		assert_true(st == CULVER_OK || st == CULVER_E_AUTH ||
		    st == CULVER_E_TEMP);
		asked++;
	} while (!done);
	assert_int_equal(authtest_verify(s, "user199999@x.example", "new"),
	    CULVER_OK);
	assert_true(asked > 0);
	free(text);
}

/* What shrank and stays so is what was meant. */
static void
test_shrunk_in_place(void **state)
{
	struct authtest *s = *state;
	int fd;

	pwtest_users(s, "a:{PLAIN}p\nb:{PLAIN}p\n");
	s->host.clock = 0;
	fd = open(s->path, O_WRONLY | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "b:{PLAIN}q\n", 11), 11);
	close(fd);
	assert_int_equal(authtest_verify(s, "b", "q"), CULVER_OK);
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_E_NOUSER);
}

static void
test_long_lines(void **state)
{
	static const size_t length[] = {1000, 65000, 65535, 65536, 262144,
	    1000000};
	struct authtest *s = *state;
	char *text = malloc(2 << 20);
	size_t n;

	assert_non_null(text);
	for (size_t i = 0; i < sizeof(length) / sizeof(length[0]); i++) {
		n = (size_t)snprintf(text, 64, "a:{PLAIN}p\nlong:{PLAIN}p:::");
		memset(text + n, 'g', length[i]);
		n = 11 + length[i];
		n += (size_t)snprintf(text + n, 64, "\nb:{PLAIN}p\n");
		pwtest_write(s, text, n);
		if (s->au == NULL)
			authtest_start(s);
		s->host.log[0] = 0;
		assert_int_equal(authtest_verify(s, "a", "p"), CULVER_OK);
		assert_int_equal(authtest_verify(s, "b", "p"), CULVER_OK);
		assert_int_equal(authtest_verify(s, "long", "p"),
		    length[i] <= PF_MAX_LINE ? CULVER_OK : CULVER_E_TEMP);
		if (length[i] > PF_MAX_LINE)
			assert_non_null(strstr(s->host.log, "/users:2: the "
			    "line is longer"));
	}
	free(text);
}

/* The file vanishes and comes back as it was. */
static void
test_gone_for_a_while(void **state)
{
	struct authtest *s = *state;
	char aside[128];

	pwtest_users(s, "a:{PLAIN}p\n");
	snprintf(aside, sizeof(aside), "%s.aside", s->path);
	assert_int_equal(rename(s->path, aside), 0);
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_E_TEMP);
	assert_int_equal(authtest_verify(s, "b", "p"), CULVER_E_TEMP);
	assert_int_equal(rename(aside, s->path), 0);
	assert_int_equal(authtest_verify(s, "a", "p"), CULVER_OK);
	assert_int_equal(authtest_verify(s, "b", "p"), CULVER_E_NOUSER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_the_old_file_answers_meanwhile),
		T(test_a_small_change_is_seen_at_once),
		T(test_written_in_place), T(test_shrunk_in_place),
		T(test_long_lines), T(test_gone_for_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
