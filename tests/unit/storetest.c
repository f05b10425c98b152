/*
 * storetest.c - what the kits of the storage plugins' tests share; see
 * storetest.h.
 */
#include "config.h"

#include "tests/unit/storetest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void
storetest_dir(char *dir, const char *name)
{
	snprintf(dir, 64, "%s/culver-%s-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", name);
	assert_non_null(mkdtemp(dir));
}

void
storetest_spill(const char *path, const void *buf, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(buf, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

char *
storetest_slurp(const char *path, size_t *n)
{
	struct stat st;
	FILE *f = fopen(path, "r");
	char *buf;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	buf = malloc((size_t)st.st_size + 1);
	assert_non_null(buf);
	*n = fread(buf, 1, (size_t)st.st_size, f);
	assert_int_equal(*n, st.st_size);
	buf[*n] = '\0';
	fclose(f);
	return buf;
}

void
storetest_options(struct drive *d, const char *name, va_list ap)
{
	for (; name != NULL; name = va_arg(ap, const char *))
		drive_set(d, name, va_arg(ap, const char *));
}

void
storetest_open(struct drive *d, uint32_t n)
{
	if (drive_open(d, EXCL) != CULVER_OK)
		fail_msg("open: %s", d->host.err.text);
	assert_int_equal(d->n, n);
}

void
storetest_reopen(struct drive *d, uint32_t n)
{
	drive_close(d);
	storetest_open(d, n);
}

void
storetest_open_fails(struct drive *d, culver_status st, const char *word)
{
	drive_close(d);
	assert_int_equal(drive_open(d, EXCL), st);
	if (strstr(d->host.err.text, word) == NULL)
		fail_msg("no \"%s\" in: %s", word, d->host.err.text);
}

void
storetest_fetch_is(struct drive *d, uint32_t index, const char *text)
{
	char *wire;
	size_t n;

	if (drive_fetch(d, index, &wire, &n) != CULVER_OK)
		fail_msg("read: %s", d->host.err.text);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(wire, text, n);
	free(wire);
}

culver_status
storetest_expunge(struct drive *d, uint32_t n, ...)
{
	struct culver_expunge_result res = { .size = sizeof(res) };
	uint32_t index[16], i;
	culver_status st;
	va_list ap;

	assert_in_range(n, 0, 16);
	va_start(ap, n);
	for (i = 0; i < n; i++)
		index[i] = va_arg(ap, uint32_t);
	va_end(ap);
	st = d->ops->expunge(d->mb, index, n, &res, fakehost_call(&d->host));
	assert_int_equal(res.removed, st == CULVER_OK ? n : 0);
	return st;
}
