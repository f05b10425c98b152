/*
 * mdtest.c - a Maildir for unit tests; see mdtest.h.
 */
#include "config.h"

#include "tests/unit/mdtest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct mdtest_hook mdtest_hook;
char mdtest_dir[256];
struct drive mdtest;

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_realloc(void *p, size_t n);
int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);
int __real_closedir(DIR *d);
int __wrap_closedir(DIR *d);
int __real_fstatat(int fd, const char *name, struct stat *st, int flags);
int __wrap_fstatat(int fd, const char *name, struct stat *st, int flags);
int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_unlinkat(int fd, const char *name, int flags);
int __wrap_unlinkat(int fd, const char *name, int flags);
int __real_openat(int fd, const char *name, int flags, ...);
int __wrap_openat(int fd, const char *name, int flags, ...);

/* Is this the allocation that is to fail? */
static bool
out_of_memory(void)
{
	if (mdtest_hook.fail_memory == 0 || --mdtest_hook.fail_memory > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *
__wrap_malloc(size_t n)
{
	return out_of_memory() ? NULL : __real_malloc(n);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return out_of_memory() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t n)
{
	return out_of_memory() ? NULL : __real_realloc(p, n);
}

int
__wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int r = __real_clock_gettime(id, ts);

	if (id == CLOCK_REALTIME)
		ts->tv_sec += mdtest_hook.ahead;
	return r;
}

DIR *
__wrap_fdopendir(int fd)
{
	mdtest_hook.listed++;
	if (mdtest_hook.on_list != NULL)
		mdtest_hook.on_list(mdtest_hook.listed);
	return __real_fdopendir(fd);
}

int
__wrap_closedir(DIR *d)
{
	if (mdtest_hook.on_listed != NULL)
		mdtest_hook.on_listed(mdtest_hook.listed);
	return __real_closedir(d);
}

int
__wrap_fstatat(int fd, const char *name, struct stat *st, int flags)
{
	mdtest_hook.stats++;
	if (mdtest_hook.on_stat != NULL)
		mdtest_hook.on_stat(name);
	return __real_fstatat(fd, name, st, flags);
}

int
__wrap_fstat(int fd, struct stat *st)
{
	int r = __real_fstat(fd, st);

	if (r == 0 && mdtest_hook.still != 0 && S_ISDIR(st->st_mode))
		st->st_mtim = st->st_ctim =
		    (struct timespec){ .tv_sec = mdtest_hook.still };
	return r;
}

int
__wrap_fsync(int fd)
{
	mdtest_hook.syncs++;
	if (mdtest_hook.fail_sync != 0 &&
	    mdtest_hook.syncs >= mdtest_hook.fail_sync_from) {
		errno = mdtest_hook.fail_sync;
		return -1;
	}
	return mdtest_hook.skip_sync ? 0 : __real_fsync(fd);
}

int
__wrap_unlinkat(int fd, const char *name, int flags)
{
	if (mdtest_hook.on_unlink != NULL)
		mdtest_hook.on_unlink(name);
	return __real_unlinkat(fd, name, flags);
}

int
__wrap_openat(int fd, const char *name, int flags, ...)
{
	va_list ap;
	int mode = 0;

	if ((flags & O_CREAT) != 0) {
		va_start(ap, flags);
		mode = va_arg(ap, int);
		va_end(ap);
		if (mdtest_hook.on_create != NULL)
			mdtest_hook.on_create(name);
	}
	return __real_openat(fd, name, flags, mode);
}

/* The next of a few buffers, with FIRST in it and AP after that. */
static __attribute__((format(printf, 2, 0))) const char *
format(const char *first, const char *fmt, va_list ap)
{
	static char buf[4][512];
	static unsigned which;
	char *p = buf[which++ % 4];
	size_t n;

	snprintf(p, sizeof(buf[0]), "%s", first);
	n = strlen(p);
	vsnprintf(p + n, sizeof(buf[0]) - n, fmt, ap);
	return p;
}

const char *
mdtest_path(const char *fmt, ...)
{
	char dir[300];
	const char *p;
	va_list ap;

	snprintf(dir, sizeof(dir), "%s/", mdtest_dir);
	va_start(ap, fmt);
	p = format(dir, fmt, ap);
	va_end(ap);
	return p;
}

const char *
mdtest_name(const char *fmt, ...)
{
	const char *p;
	va_list ap;

	va_start(ap, fmt);
	p = format("", fmt, ap);
	va_end(ap);
	return p;
}

culver_status
mdtest_restart(const char *name, ...)
{
	static char path[300];
	va_list ap;

	drive_stop(&mdtest);
	drive_init(&mdtest, &storage_maildir_LTX_culver_plugin);
	snprintf(path, sizeof(path), "%s/M", mdtest_dir);
	drive_set(&mdtest, "path", path);
	va_start(ap, name);
	storetest_options(&mdtest, name, ap);
	va_end(ap);
	return drive_start(&mdtest);
}

int
mdtest_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	memset(&mdtest_hook, 0, sizeof(mdtest_hook));
	snprintf(mdtest_dir, sizeof(mdtest_dir), "%s/culver-md-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(mdtest_dir));
	assert_int_equal(mkdir(mdtest_path("M"), 0700), 0);
	assert_int_equal(mkdir(mdtest_path("M/tmp"), 0700), 0);
	assert_int_equal(mkdir(mdtest_path("M/new"), 0700), 0);
	assert_int_equal(mkdir(mdtest_path("M/cur"), 0700), 0);
	drive_init(&mdtest, &storage_maildir_LTX_culver_plugin);
	assert_int_equal(mdtest_restart(NULL), CULVER_OK);
	return 0;
}

int
mdtest_teardown(void **state)
{
	(void)state;
	memset(&mdtest_hook, 0, sizeof(mdtest_hook));
	drive_stop(&mdtest);
	return drive_remove_dir(mdtest_dir);
}

void
mdtest_put(const char *name, const char *content)
{
	mdtest_spill(mdtest_path("M/%s", name), content, strlen(content));
}

void
mdtest_rename(const char *from, const char *to)
{
	assert_int_equal(rename(mdtest_path("M/%s", from),
	    mdtest_path("M/%s", to)), 0);
}

void
mdtest_remove(const char *name)
{
	assert_int_equal(unlink(mdtest_path("M/%s", name)), 0);
}

bool
mdtest_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

unsigned
mdtest_entries(const char *path)
{
	struct dirent *de;
	DIR *d = opendir(path);
	unsigned n = 0;

	assert_non_null(d);
	while ((de = readdir(d)) != NULL)
		n += strcmp(de->d_name, ".") != 0 &&
		    strcmp(de->d_name, "..") != 0;
	__real_closedir(d);
	return n;
}
