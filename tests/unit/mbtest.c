/*
 * mbtest.c - an mbox in a temporary directory; see mbtest.h.
 */
#include "config.h"

#include "tests/unit/mbtest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct mbtest_hook mbtest_hook;
char mbtest_dir[64];
struct drive mbtest;

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
ssize_t __real_pread(int fd, void *buf, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *buf, size_t n, off_t at);
ssize_t __real_pwrite(int fd, const void *buf, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t n, off_t at);
ssize_t __real_write(int fd, const void *buf, size_t n);
ssize_t __wrap_write(int fd, const void *buf, size_t n);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

int
__wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = __real_clock_gettime(id, ts);

	if (id == CLOCK_REALTIME)
		ts->tv_sec += mbtest_hook.ahead;
	return r;
}

ssize_t
__wrap_pread(int fd, void *buf, size_t n, off_t at)
{
	ssize_t r = __real_pread(fd, buf, n, at);

	if (r > 0)
		mbtest_hook.bytes += (uint64_t)r;
	return r;
}

static bool
write_fails(void)
{
	if (mbtest_hook.fail_write == 0 || --mbtest_hook.fail_write > 0)
		return false;
	errno = mbtest_hook.write_errno;
	return true;
}

ssize_t
__wrap_pwrite(int fd, const void *buf, size_t n, off_t at)
{
	mbtest_hook.ahead += mbtest_hook.slow;
	return write_fails() ? -1 : __real_pwrite(fd, buf, n, at);
}

ssize_t
__wrap_write(int fd, const void *buf, size_t n)
{
	return write_fails() ? -1 : __real_write(fd, buf, n);
}

int
__wrap_fsync(int fd)
{
	mbtest_hook.syncs++;
	if (mbtest_hook.fail_sync > 0 && --mbtest_hook.fail_sync == 0) {
		errno = EIO;
		return -1;
	}
	return __real_fsync(fd);
}

const char *
mbtest_path(const char *fmt, ...)
{
	static char buf[4][256];
	static unsigned next;
	char *p = buf[next++ % 4];
	va_list ap;
	int n;

	n = snprintf(p, sizeof(buf[0]), "%s/", mbtest_dir);
	va_start(ap, fmt);
	vsnprintf(p + n, sizeof(buf[0]) - (size_t)n, fmt, ap);
	va_end(ap);
	return p;
}

void
mbtest_add(char *buf, size_t size, size_t *n, const char *fmt, ...)
{
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(buf + *n, size - *n, fmt, ap);
	va_end(ap);
	assert_in_range(len, 0, size - *n - 1);
	*n += (size_t)len;
}

char *
mbtest_big(size_t body, size_t *n)
{
	const size_t room = body + 128;
	char *buf = malloc(room);
	size_t i;

	assert_non_null(buf);
	*n = 0;
	mbtest_add(buf, room, n, FROM("big") "S: 0\n\n");
	for (i = 0; i < body; i++)
		buf[(*n)++] = i % 70 == 69 ? '\n' : 'x';
	buf[*n] = '\0';
	return buf;
}

bool
mbtest_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

void
mbtest_put(const char *text)
{
	mbtest_spill(mbtest_path("M"), text, strlen(text));
}

void
mbtest_append(const char *text)
{
	FILE *f = fopen(mbtest_path("M"), "a");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

void
mbtest_is(const char *text)
{
	size_t n;
	char *buf = mbtest_slurp(mbtest_path("M"), &n);

	assert_string_equal(buf, text);
	assert_int_equal(n, strlen(text));
	free(buf);
}

static void
init(void)
{
	drive_init(&mbtest, &storage_mbox_LTX_culver_plugin);
	drive_set(&mbtest, "path", strdup(mbtest_path("M")));
	drive_set(&mbtest, "index_dir", strdup(mbtest_path("I")));
}

static void
stop(void)
{
	uint32_t i;

	drive_stop(&mbtest);
	for (i = 0; i < mbtest.plugin->n_options; i++)
		if (mbtest.plugin->options[i].type == CULVER_OPT_TEMPLATE)
			free((char *)(uintptr_t)mbtest.value[i].u.s.p);
}

int
mbtest_setup(void **state)
{
	(void)state;
	memset(&mbtest_hook, 0, sizeof(mbtest_hook));
	mbtest_hook.ahead = 10;
	storetest_dir(mbtest_dir, "mbox");
	init();
	return drive_start(&mbtest) == CULVER_OK ? 0 : -1;
}

int
mbtest_teardown(void **state)
{
	(void)state;
	stop();
	return drive_remove_dir(mbtest_dir);
}

culver_status
mbtest_restart(const char *name, ...)
{
	va_list ap;

	stop();
	init();
	va_start(ap, name);
	storetest_options(&mbtest, name, ap);
	va_end(ap);
	return drive_start(&mbtest);
}

void
mbtest_fetch_is(uint32_t index, const char *text)
{
	storetest_fetch_is(&mbtest, index, text);
	assert_int_equal(mbtest.msg[index].octets, strlen(text));
	assert_true(mbtest.msg[index].flags & CULVER_MSG_OCTETS_EXACT);
}

void
mbtest_fetch_fails(uint32_t index, culver_status st)
{
	char *wire;
	size_t n;

	assert_int_equal(drive_fetch(&mbtest, index, &wire, &n), st);
	assert_string_not_equal(mbtest.host.err.text, "");
}

const char *
mbtest_uid(uint32_t index)
{
	static char uid[8][71];
	static unsigned next;
	char *p = uid[next++ % 8];

	assert_true(index < mbtest.n);
	snprintf(p, 71, "%s", mbtest.msg[index].uid);
	return p;
}
