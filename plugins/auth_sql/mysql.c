/*
 * mysql.c - users from MariaDB, through its Connector/C.
 *
 * Runs in a pool process as the auth user, with a network.  Whoever answers is
 * believed as far as `tls' says.  The library runs in its mode that does not
 * block, so nothing waits past its deadline but the resolver, which the
 * process's watchdog ends.  Queries are prepared once a connection.
 */
#include "config.h"

#include <errmsg.h>
#include <fcntl.h>
#include <mysql.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <culver/util.h>

#include "plugins/auth_sql/sql.h"

struct db {
	MYSQL *my;
	MYSQL_STMT *stmt[SQL_N_QUERIES];
};

static culver_status
fail(struct sql_conn *c, const char *text, struct culver_call *call)
{
	return auth_server_fail(sql_server(c), text, call);
}

static const char *
option(const struct sql_conn *c, unsigned i)
{
	struct span s = span_option(&c->opt[i]);

	return s.n > 0 ? s.p : NULL;
}

static void
tls_set(const struct sql_conn *c, MYSQL *my)
{
	int64_t tls = c->opt[OPT_TLS].u.i;
	const char *ca = option(c, OPT_TLS_CA);
	my_bool on = 1, verify = tls == SQL_TLS_VERIFY;

	if (tls == SQL_TLS_OFF)
		return;
	mysql_optionsv(my, MYSQL_OPT_SSL_ENFORCE, &on);
	mysql_optionsv(my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verify);
	if (ca != NULL || verify)
		mysql_optionsv(my, MYSQL_OPT_SSL_CA, ca != NULL ? ca :
		    PLUG_SYSTEM_CA);
	mysql_optionsv(my, MYSQL_OPT_SSL_CERT, option(c, OPT_TLS_CERT));
	mysql_optionsv(my, MYSQL_OPT_SSL_KEY, option(c, OPT_TLS_KEY));
}

/* Once TLS has begun it lets the socket block after all. */
static void
block_not(MYSQL *my)
{
	int fd = mysql_get_socket(my), flags = fcntl(fd, F_GETFL);

	if (flags != -1 && (flags & O_NONBLOCK) == 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* Wait for WANT, which the library said; what to tell it in turn. */
static int
await(const struct sql_conn *c, int want, uint64_t deadline)
{
	const struct db *d = c->db;
	struct pollfd p = {.fd = mysql_get_socket(d->my)};
	int left;

	p.events = (short)(((want & MYSQL_WAIT_READ) != 0 ? POLLIN : 0) |
	    ((want & MYSQL_WAIT_WRITE) != 0 ? POLLOUT : 0) |
	    ((want & MYSQL_WAIT_EXCEPT) != 0 ? POLLPRI : 0));
	while ((left = auth_time_left(c->host, deadline)) > 0)
		if (poll(&p, 1, left) > 0) {
			block_not(d->my);
			return want & ~MYSQL_WAIT_TIMEOUT;
		}
	/* under TLS it waits without a time-out: let it see an end */
	shutdown(p.fd, SHUT_RDWR);
	return want;
}

static void
options_set(const struct sql_conn *c, MYSQL *my)
{
	/* its own times are in whole seconds, and never over before ours */
	const unsigned hour = 3600, no = 0;
	const size_t stack = 256u << 10;

	mysql_optionsv(my, MYSQL_OPT_NONBLOCK, &stack);
	mysql_optionsv(my, MYSQL_OPT_CONNECT_TIMEOUT, &hour);
	mysql_optionsv(my, MYSQL_OPT_READ_TIMEOUT, &hour);
	mysql_optionsv(my, MYSQL_OPT_WRITE_TIMEOUT, &hour);
	mysql_optionsv(my, MYSQL_OPT_LOCAL_INFILE, &no);
	mysql_optionsv(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (sql_server(c)->name[0] != '/')
		tls_set(c, my);
}

/* Find out if something between us and the server forgets the connection. */
static void
keep_alive(MYSQL *my)
{
	static const struct { int name, value; } options[] = {
		{TCP_KEEPIDLE, 30}, {TCP_KEEPINTVL, 10}, {TCP_KEEPCNT, 3}};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		setsockopt(mysql_get_socket(my), IPPROTO_TCP,
		    options[i].name, &options[i].value,
		    sizeof(options[i].value));
}

static culver_status
db_open(struct sql_conn *c, uint64_t deadline, struct culver_call *call)
{
	const struct auth_server *h = sql_server(c);
	struct db *d = calloc(1, sizeof(*d));
	bool is_socket = h->name[0] == '/';
	MYSQL *done = NULL;
	int want;

	c->db = d;
	if (d == NULL || (d->my = mysql_init(NULL)) == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "database");
	options_set(c, d->my);
	want = mysql_real_connect_start(&done, d->my,
	    is_socket ? NULL : h->name, option(c, OPT_USER),
	    option(c, OPT_PASSWORD), option(c, OPT_DATABASE), h->port,
	    is_socket ? h->name : NULL, 0);
	while (want != 0)
		want = mysql_real_connect_cont(&done, d->my,
		    await(c, want, deadline));
	if (done != NULL) {
		block_not(d->my);
		if (!is_socket)
			keep_alive(d->my);
		return CULVER_OK;
	}
	return fail(c, auth_time_left(c->host, deadline) > 0 ?
	    mysql_error(d->my) : "no answer in time", call);
}

static void
db_close(struct sql_conn *c)
{
	struct db *d = c->db;

	/* so that nobody says good-bye to a server that does not listen */
	if (c->lost && d->my != NULL)
		shutdown(mysql_get_socket(d->my), SHUT_RDWR);
	for (unsigned i = 0; i < SQL_N_QUERIES; i++)
		if (d->stmt[i] != NULL)
			mysql_stmt_close(d->stmt[i]);
	if (d->my != NULL)
		mysql_close(d->my);
	free(d);
}

/* Is N, an error of a statement, one of the connection? */
static bool
is_lost(unsigned n)
{
	static const unsigned ends[] = {0,
	    1053, 1077,		/* the server ends */
	    1243,		/* it is not the one that we prepared it at */
	    1927, 4031};	/* the connection was ended */

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (n == ends[i])
			return true;
	return (n >= CR_MIN_ERROR && n <= CR_MAX_ERROR) ||
	    (n >= CER_MIN_ERROR && n <= CER_MAX_ERROR);
}

static culver_status
stmt_fail(struct sql_conn *c, MYSQL_STMT *st, struct culver_call *call)
{
	c->lost |= is_lost(mysql_stmt_errno(st));
	return fail(c, c->lost &&
	    auth_time_left(c->host, call->deadline) == 0 ?
	    "no answer in time" : mysql_stmt_error(st), call);
}

/* Query WHICH, prepared; NULL: it cannot be. */
static MYSQL_STMT *
prepare(struct sql_conn *c, unsigned which, struct culver_call *call)
{
	struct db *d = c->db;
	const char *text = c->query[which].text;
	MYSQL_STMT *st = d->stmt[which];
	int want, rc = 0;

	if (st != NULL)
		return st;
	st = mysql_stmt_init(d->my);
	if (st == NULL) {
		culver_fail(call, CULVER_E_NOMEM, 0, "query");
		return NULL;
	}
	d->stmt[which] = st;
	for (want = mysql_stmt_prepare_start(&rc, st, text,
	    (unsigned long)strlen(text)); want != 0;)
		want = mysql_stmt_prepare_cont(&rc, st,
		    await(c, want, call->deadline));
	if (rc == 0 && mysql_stmt_param_count(st) == c->query[which].n)
		return st;
	if (rc == 0)
		fail(c, "the query has placeholders of its own", call);
	else
		stmt_fail(c, st, call);
	return NULL;
}

static culver_status
execute(struct sql_conn *c, MYSQL_STMT *st, const struct sql_values *values,
    struct culver_call *call)
{
	MYSQL_BIND in[SQL_MAX_VARS];
	int want, rc = 0;

	memset(in, 0, sizeof(in));
	for (unsigned i = 0; i < values->n; i++) {
		char *copy = culver_strndup(c->host, call, values->v[i].p,
		    values->v[i].n);

		if (copy == NULL)
			return culver_fail(call, CULVER_E_NOMEM, 0, "query");
		in[i].buffer_type = MYSQL_TYPE_STRING;
		in[i].buffer = copy;
		in[i].buffer_length = (unsigned long)values->v[i].n;
	}
	if (values->n > 0 && mysql_stmt_bind_param(st, in) != 0)
		return stmt_fail(c, st, call);
	for (want = mysql_stmt_execute_start(&rc, st); want != 0;)
		want = mysql_stmt_execute_cont(&rc, st,
		    await(c, want, call->deadline));
	return rc == 0 ? CULVER_OK : stmt_fail(c, st, call);
}

/* The columns of the row that was fetched. */
static culver_status
take(struct sql_conn *c, MYSQL_STMT *st, const MYSQL_RES *meta,
    const MYSQL_BIND *out, struct auth_row *row, struct culver_call *call)
{
	const MYSQL_FIELD *field = mysql_fetch_fields((MYSQL_RES *)(uintptr_t)
	    meta);
	char text[AUTH_MAX_VALUE + 2];
	culver_status status = CULVER_OK;

	for (unsigned i = 0; i < mysql_stmt_field_count(st) &&
	    status == CULVER_OK; i++) {
		unsigned long n = 0;
		my_bool null = 0, cut = 0;
		MYSQL_BIND one = {.buffer_type = MYSQL_TYPE_STRING,
		    .buffer = text, .buffer_length = sizeof(text) - 1,
		    .length = &n, .is_null = &null, .error = &cut};

		if (*out[i].is_null)
			continue;
		if (mysql_stmt_fetch_column(st, &one, i, 0) != 0)
			status = stmt_fail(c, st, call);
		else
			status = auth_row_add(c->host, row, field[i].name, text,
			    n < sizeof(text) ? n : sizeof(text), call);
	}
	c->host->wipe(text, sizeof(text));
	return status;
}

static culver_status
fetch(struct sql_conn *c, MYSQL_STMT *st, const MYSQL_RES *meta,
    struct auth_row *row, struct culver_call *call)
{
	MYSQL_BIND out[AUTH_MAX_COLUMNS];
	unsigned long length[AUTH_MAX_COLUMNS];
	my_bool null[AUTH_MAX_COLUMNS], cut[AUTH_MAX_COLUMNS];
	unsigned n = mysql_stmt_field_count(st);
	culver_status status = CULVER_OK;
	int want, rc = 0;

	if (n > AUTH_MAX_COLUMNS)
		return fail(c, "too many columns", call);
	memset(out, 0, sizeof(out));
	for (unsigned i = 0; i < n; i++) {
		out[i].buffer_type = MYSQL_TYPE_STRING;
		out[i].length = &length[i];
		out[i].is_null = &null[i];
		out[i].error = &cut[i];
	}
	if (mysql_stmt_bind_result(st, out) != 0)
		return stmt_fail(c, st, call);
	while (status == CULVER_OK && row->rows < 2) {
		for (want = mysql_stmt_fetch_start(&rc, st); want != 0;)
			want = mysql_stmt_fetch_cont(&rc, st,
			    await(c, want, call->deadline));
		if (rc == MYSQL_NO_DATA)
			break;
		if (rc != 0 && rc != MYSQL_DATA_TRUNCATED)
			return stmt_fail(c, st, call);
		if (row->rows++ == 0)
			status = take(c, st, meta, out, row, call);
	}
	return status;
}

/* Let the server send what it still has for ST, which is used again unless
 * it did not work. */
static void
finish(struct sql_conn *c, unsigned which, bool works,
    const struct culver_call *call)
{
	struct db *d = c->db;
	my_bool rc;
	int want;

	if (d->stmt[which] == NULL || c->lost)
		return;
	for (want = mysql_stmt_free_result_start(&rc, d->stmt[which]);
	    want != 0;)
		want = mysql_stmt_free_result_cont(&rc, d->stmt[which],
		    await(c, want, call->deadline));
	if (auth_time_left(c->host, call->deadline) == 0)
		c->lost = true;		/* who knows what comes next */
	if (works || c->lost)
		return;
	mysql_stmt_close(d->stmt[which]);
	d->stmt[which] = NULL;
}

static culver_status
db_run(struct sql_conn *c, unsigned which, const struct sql_values *values,
    struct auth_row *row, struct culver_call *call)
{
	MYSQL_STMT *st = prepare(c, which, call);
	MYSQL_RES *meta = NULL;
	culver_status status = CULVER_E_TEMP;

	if (st != NULL)
		status = execute(c, st, values, call);
	if (status == CULVER_OK &&
	    (meta = mysql_stmt_result_metadata(st)) == NULL)
		status = fail(c, "the query gives no rows", call);
	if (status == CULVER_OK)
		status = fetch(c, st, meta, row, call);
	if (meta != NULL)
		mysql_free_result(meta);
	finish(c, which, status == CULVER_OK, call);
	return status;
}

static void
warm(void)
{
	mysql_library_init(0, NULL, NULL);
}

const struct sql_driver sql_driver_mysql = {
	.warm = warm, .open = db_open, .run = db_run, .close = db_close,
};
