/*
 * sqtest.c - a database in a temporary directory; see sqtest.h.
 */
#include "config.h"

#include "tests/unit/sqtest.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <sqlite3.h>

extern const struct culver_plugin storage_sqlite_LTX_culver_plugin;

char sqtest_dir[64];
struct drive sqtest;
uint32_t sqtest_magic;

int __real_statfs(const char *path, struct statfs *buf);
int __wrap_statfs(const char *path, struct statfs *buf);

int
__wrap_statfs(const char *path, struct statfs *buf)
{
	int r = __real_statfs(path, buf);

	if (r == 0 && sqtest_magic != 0)
		buf->f_type = (__fsword_t)sqtest_magic;
	return r;
}

const char *
sqtest_path(const char *name)
{
	static char path[4][256];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", sqtest_dir, name);
	return path[i];
}

static culver_status
begin(void)
{
	drive_init(&sqtest, &storage_sqlite_LTX_culver_plugin);
	drive_set(&sqtest, "path", sqtest_path("m.db"));
	drive_set(&sqtest, "create", "yes");
	drive_set(&sqtest, "busy_timeout", "0");
	return CULVER_OK;
}

int
sqtest_setup(void **state)
{
	(void)state;
	sqtest_magic = 0;
	snprintf(sqtest_dir, sizeof(sqtest_dir), "%s/culver-sqlite-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(sqtest_dir) == NULL)
		return -1;
	begin();
	return drive_start(&sqtest) == CULVER_OK ? 0 : -1;
}

void
sqtest_stop(void)
{
	if (sqtest.host.call.arena != NULL)
		drive_stop(&sqtest);
}

static int
remove_entry(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

int
sqtest_teardown(void **state)
{
	(void)state;
	sqtest_stop();
	return nftw(sqtest_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

culver_status
sqtest_restart(const char *name, ...)
{
	va_list ap;

	sqtest_stop();
	begin();
	va_start(ap, name);
	for (; name != NULL; name = va_arg(ap, const char *))
		drive_set(&sqtest, name, va_arg(ap, const char *));
	va_end(ap);
	return drive_start(&sqtest);
}

const char *
sqtest_deliver(const char *text)
{
	static char uid[71];

	if (drive_deliver(&sqtest, text, strlen(text), 1000, uid) != CULVER_OK)
		fail_msg("deliver: %s", sqtest.host.err.text);
	return uid;
}

void
sqtest_open(uint32_t n)
{
	if (drive_open(&sqtest, EXCL) != CULVER_OK)
		fail_msg("open: %s", sqtest.host.err.text);
	assert_int_equal(sqtest.n, n);
}

void
sqtest_reopen(uint32_t n)
{
	drive_close(&sqtest);
	sqtest_open(n);
}

void
sqtest_open_fails(culver_status st, const char *word)
{
	drive_close(&sqtest);
	assert_int_equal(drive_open(&sqtest, EXCL), st);
	if (strstr(sqtest.host.err.text, word) == NULL)
		fail_msg("no '%s' in: %s", word, sqtest.host.err.text);
}

void
sqtest_fetch_is(uint32_t index, const char *text)
{
	char *wire;
	size_t n;

	if (drive_fetch(&sqtest, index, &wire, &n) != CULVER_OK)
		fail_msg("read: %s", sqtest.host.err.text);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(wire, text, n);
	free(wire);
}

culver_status
sqtest_expunge(uint32_t n, ...)
{
	struct culver_expunge_result res = { .size = sizeof(res) };
	uint32_t index[8], i;
	culver_status st;
	va_list ap;

	va_start(ap, n);
	for (i = 0; i < n; i++)
		index[i] = va_arg(ap, uint32_t);
	va_end(ap);
	st = sqtest.ops->expunge(sqtest.mb, index, n, &res,
	    fakehost_call(&sqtest.host));
	assert_int_equal(res.removed, st == CULVER_OK ? n : 0);
	return st;
}

static sqlite3 *
connect_db(void)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(sqtest_path("m.db"), &db), SQLITE_OK);
	return db;
}

int
sqtest_try(const char *sql)
{
	sqlite3 *db = connect_db();
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	sqlite3_close(db);
	return rc;
}

void
sqtest_sql(const char *sql)
{
	int rc = sqtest_try(sql);

	if (rc != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errstr(rc));
}

int64_t
sqtest_number(const char *sql)
{
	sqlite3 *db = connect_db();
	sqlite3_stmt *st;
	int64_t n;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

uint32_t
sqtest_check(const char **text)
{
	static struct culver_str line[20];
	uint32_t n = 0;
	culver_status st;

	*text = "";
	st = sqtest.ops->check(sqtest.store, line, 20, &n,
	    fakehost_call(&sqtest.host));
	if (st != CULVER_OK)
		fail_msg("check: %s", sqtest.host.err.text);
	if (n > 0)
		*text = line[0].p;
	return n;
}

void
sqtest_damage(const char *name, long at, int c, size_t n)
{
	FILE *f;

	if (n == 0) {
		assert_int_equal(truncate(sqtest_path(name), at), 0);
		return;
	}
	f = fopen(sqtest_path(name), "r+");
	assert_non_null(f);
	fseek(f, at, SEEK_SET);
	for (; n > 0; n--)
		fputc(c, f);
	assert_int_equal(fclose(f), 0);
}

bool
sqtest_exists(const char *name)
{
	return access(sqtest_path(name), F_OK) == 0;
}

long
sqtest_size(const char *name)
{
	struct stat st;

	assert_int_equal(stat(sqtest_path(name), &st), 0);
	return (long)st.st_size;
}
