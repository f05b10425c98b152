/*
 * mysql.c - users from MariaDB, through its Connector/C.
 *
 * Runs in a pool process as the auth user, with a network.  The library waits
 * in whole seconds: for an answer as long as connect_timeout says, and no
 * longer than that past a call's deadline, where the process's watchdog is.
 */
#include "config.h"

#include <errmsg.h>
#include <mysql.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/auth_sql/sql.h"

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

static culver_status
db_open(struct sql_conn *c, uint64_t deadline, struct culver_call *call)
{
	const struct auth_server *h = sql_server(c);
	MYSQL *my = mysql_init(NULL);
	unsigned seconds = (unsigned)(auth_time_left(c->host, deadline) +
	    999) / 1000;
	unsigned no = 0;
	bool is_socket = h->name[0] == '/';

	c->db = my;
	if (my == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "database");
	mysql_optionsv(my, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	mysql_optionsv(my, MYSQL_OPT_READ_TIMEOUT, &seconds);
	mysql_optionsv(my, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	mysql_optionsv(my, MYSQL_OPT_LOCAL_INFILE, &no);
	mysql_optionsv(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	if (!is_socket)
		tls_set(c, my);
	if (mysql_real_connect(my, is_socket ? NULL : h->name,
	    option(c, OPT_USER), option(c, OPT_PASSWORD),
	    option(c, OPT_DATABASE), h->port, is_socket ? h->name : NULL,
	    0) == NULL)
		return fail(c, mysql_error(my), call);
	return CULVER_OK;
}

static void
db_close(struct sql_conn *c)
{
	mysql_close(c->db);
}

/* An error of the client's side is one of the connection. */
static culver_status
stmt_fail(struct sql_conn *c, MYSQL_STMT *st, struct culver_call *call)
{
	unsigned n = mysql_stmt_errno(st);

	c->lost = n == 0 || (n >= CR_MIN_ERROR && n <= CR_MAX_ERROR) ||
	    n == 1053 || n == 1927;	/* the server ends, the connection */
	return fail(c, mysql_stmt_error(st), call);
}

static culver_status
execute(struct sql_conn *c, MYSQL_STMT *st, unsigned which,
    const struct sql_values *values, struct culver_call *call)
{
	MYSQL_BIND in[SQL_MAX_VARS];
	const char *text = c->query[which].text;

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
	if (mysql_stmt_prepare(st, text, (unsigned long)strlen(text)) != 0)
		return stmt_fail(c, st, call);
	if (mysql_stmt_param_count(st) != values->n)
		return fail(c, "the query has placeholders of its own", call);
	if ((values->n > 0 && mysql_stmt_bind_param(st, in) != 0) ||
	    mysql_stmt_execute(st) != 0)
		return stmt_fail(c, st, call);
	return CULVER_OK;
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
	int rc;

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
		rc = mysql_stmt_fetch(st);
		if (rc == MYSQL_NO_DATA)
			break;
		if (rc != 0 && rc != MYSQL_DATA_TRUNCATED)
			return stmt_fail(c, st, call);
		if (row->rows++ == 0)
			status = take(c, st, meta, out, row, call);
	}
	return status;
}

static culver_status
db_run(struct sql_conn *c, unsigned which, const struct sql_values *values,
    struct auth_row *row, struct culver_call *call)
{
	MYSQL_STMT *st = mysql_stmt_init(c->db);
	MYSQL_RES *meta = NULL;
	culver_status status;

	if (st == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "query");
	status = execute(c, st, which, values, call);
	if (status == CULVER_OK &&
	    (meta = mysql_stmt_result_metadata(st)) == NULL)
		status = fail(c, "the query gives no rows", call);
	if (status == CULVER_OK)
		status = fetch(c, st, meta, row, call);
	if (meta != NULL)
		mysql_free_result(meta);
	mysql_stmt_close(st);
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
