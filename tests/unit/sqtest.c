/*
 * sqtest.c - a database in a temporary directory; see sqtest.h.
 */
#include "config.h"

#include "tests/unit/sqtest.h"

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

static void
begin(void)
{
	drive_init(&sqtest, &storage_sqlite_LTX_culver_plugin);
	drive_set(&sqtest, "path", sqtest_path("m.db"));
	drive_set(&sqtest, "create", "yes");
	drive_set(&sqtest, "busy_timeout", "0");
}

int
sqtest_setup(void **state)
{
	(void)state;
	sqtest_magic = 0;
	storetest_dir(sqtest_dir, "sqlite");
	begin();
	return drive_start(&sqtest) == CULVER_OK ? 0 : -1;
}

void
sqtest_stop(void)
{
	if (sqtest.host.call.arena != NULL)
		drive_stop(&sqtest);
}

int
sqtest_teardown(void **state)
{
	(void)state;
	sqtest_stop();
	return drive_remove_dir(sqtest_dir);
}

culver_status
sqtest_restart(const char *name, ...)
{
	va_list ap;

	sqtest_stop();
	begin();
	va_start(ap, name);
	storetest_options(&sqtest, name, ap);
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
