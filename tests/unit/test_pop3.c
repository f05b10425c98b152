/*
 * test_pop3.c - lines, commands, replies and CAPA of core/pop3.
 */
#include "config.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/pop3/capa.h"
#include "core/pop3/command.h"
#include "core/pop3/line.h"
#include "core/pop3/reply.h"

/* --- lines --------------------------------------------------------------- */

struct trace {
	size_t n;
	char text[65536];
};

static void
trace_add(struct trace *t, enum pop3_split r, const struct pop3_line *l)
{
	char head[32];
	int n = snprintf(head, sizeof(head), "%d:%zu:", (int)r,
	    r == POP3_GOT ? l->n : 0);

	assert_true(t->n + (size_t)n + l->n + 1 < sizeof(t->text));
	memcpy(t->text + t->n, head, (size_t)n);
	t->n += (size_t)n;
	if (r == POP3_GOT) {
		memcpy(t->text + t->n, l->p, l->n);
		t->n += l->n;
	}
	t->text[t->n++] = '\n';
}

/* Feed IN in pieces of STEP octets, as a connection would. */
static void
split_all(const uint8_t *in, size_t n, size_t step, struct trace *t)
{
	static uint8_t buf[2 * POP3_AUTH_MAX];
	struct pop3_splitter s = POP3_SPLITTER_INIT;
	size_t have = 0, at = 0;

	t->n = 0;
	while (at < n) {
		size_t take = n - at < step ? n - at : step;
		enum pop3_split r;
		struct pop3_line l;

		assert_true(have + take <= sizeof(buf));
		memcpy(buf + have, in + at, take);
		have += take;
		at += take;
		do {
			r = pop3_split(&s, buf, have, &l);
			if (r != POP3_MORE)
				trace_add(t, r, &l);
			assert_true(l.used <= have);
			assert_true(r == POP3_MORE || l.used > 0);
			have -= l.used;
			memmove(buf, buf + l.used, have);
		} while (r != POP3_MORE && r != POP3_FLOOD);
		if (r == POP3_FLOOD)
			return;
	}
}

static void
lines_do_not_depend_on_pieces(void **state)
{
	static const char a[] = "STAT\r\nLIST\n\r\n\n\rx\r\r\nTOP 1 1\r";
	static uint8_t in[40000];
	static struct trace whole, cut;
	size_t n = 0, step;

	(void)state;
	memcpy(in, a, sizeof(a));	/* the NUL is part of it */
	n = sizeof(a);
	in[n++] = '\n';
	memset(in + n, 'A', 253);	/* 255 with its end: just fits */
	n += 253;
	memcpy(in + n, "\r\n", 2);
	n += 2;
	memset(in + n, 'B', 254);	/* one too long */
	n += 254;
	memcpy(in + n, "\r\n", 2);
	n += 2;
	memcpy(in + n, "auth ", 5);
	memset(in + n + 5, 'c', 12281);	/* 12288 with its end */
	n += 12286;
	memcpy(in + n, "\r\n", 2);
	n += 2;
	memcpy(in + n, "AUTH ", 5);
	memset(in + n + 5, 'd', 20000);
	n += 20005;
	memcpy(in + n, "\nQUIT\r\nQUIT", 11);
	n += 11;
	split_all(in, n, 10000, &whole);
	for (step = 1; step < 300; step += step < 20 ? 1 : 37) {
		split_all(in, n, step, &cut);
		assert_int_equal(cut.n, whole.n);
		assert_memory_equal(cut.text, whole.text, whole.n);
	}
	whole.text[whole.n] = '\0';
	assert_memory_equal(whole.text, "1:4:STAT\n1:4:LIST\n1:0:\n1:0:\n"
	    "1:3:\rx\r\n1:9:TOP 1 1\r\0\n1:253:AAA", 55);
	/* the last QUIT has no end and is not executed */
	assert_string_equal(whole.text + whole.n - 14, "2:0:\n1:4:QUIT\n");
}

static void
one_long_line_is_one_error(void **state)
{
	static uint8_t in[60000];
	static struct trace t;

	(void)state;
	memset(in, 'x', sizeof(in));
	memcpy(in + sizeof(in) - 7, "\nNOOP\r\n", 7);
	split_all(in, sizeof(in), 512, &t);
	assert_int_equal(t.n, 14);
	assert_memory_equal(t.text, "2:0:\n1:4:NOOP\n", 14);
}

static void
endless_line_is_a_flood(void **state)
{
	static uint8_t in[POP3_FLOOD_MAX + 4096];
	static struct trace t;

	(void)state;
	memset(in, 'x', sizeof(in));
	split_all(in, sizeof(in), 1000, &t);
	assert_int_equal(t.n, 5);
	assert_memory_equal(t.text, "3:0:\n", 5);
}

static void
response_lines_may_be_long(void **state)
{
	static uint8_t in[5000];
	struct pop3_splitter s = { .sasl = 1 };
	struct pop3_line l;

	(void)state;
	memset(in, 'A', sizeof(in));
	in[4999] = '\n';
	assert_int_equal(pop3_split(&s, in, 4999, &l), POP3_MORE);
	assert_int_equal(l.used, 0);
	assert_int_equal(pop3_split(&s, in, 5000, &l), POP3_GOT);
	assert_int_equal(l.n, 4999);
	s.sasl = 0;
	assert_int_equal(pop3_split(&s, in, 5000, &l), POP3_LONG);
}

/* --- commands ------------------------------------------------------------ */

#define A POP3_AUTHORIZATION
#define T POP3_TRANSACTION

/* Every command with right, missing, surplus, zero, negative, huge and
 * non-numeric arguments: what it is in the states where it belongs. */
static const struct row {
	const char *line;
	enum pop3_verb verb;
	unsigned states;
	enum pop3_parsed parsed;
	unsigned n_args;
	uint64_t number[2];
} rows[] = {
	{ "QUIT", POP3_QUIT, A | T, POP3_PARSED, 0, { 0 } },
	{ "quit", POP3_QUIT, A | T, POP3_PARSED, 0, { 0 } },
	{ "QuIt ", POP3_QUIT, A | T, POP3_PARSED, 0, { 0 } },
	{ "QUIT now", POP3_QUIT, A | T, POP3_SYNTAX, 0, { 0 } },
	{ "CAPA", POP3_CAPA, A | T, POP3_PARSED, 0, { 0 } },
	{ "CAPA 1", POP3_CAPA, A | T, POP3_SYNTAX, 0, { 0 } },
	{ "USER alice", POP3_USER, A, POP3_PARSED, 1, { 0 } },
	{ "USER alice b c ", POP3_USER, A, POP3_PARSED, 1, { 0 } },
	{ "USER", POP3_USER, A, POP3_SYNTAX, 0, { 0 } },
	{ "USER ", POP3_USER, A, POP3_SYNTAX, 0, { 0 } },
	{ "USER    ", POP3_USER, A, POP3_SYNTAX, 0, { 0 } },
	{ "USER  alice", POP3_USER, A, POP3_SYNTAX, 0, { 0 } },
	{ "PASS secret", POP3_PASS, A, POP3_PARSED, 1, { 0 } },
	{ "PASS  a b ", POP3_PASS, A, POP3_PARSED, 1, { 0 } },
	{ "PASS  ", POP3_PASS, A, POP3_PARSED, 1, { 0 } },
	{ "PASS", POP3_PASS, A, POP3_SYNTAX, 0, { 0 } },
	{ "PASS ", POP3_PASS, A, POP3_SYNTAX, 0, { 0 } },
	{ "AUTH", POP3_AUTH, A, POP3_PARSED, 0, { 0 } },
	{ "AUTH PLAIN", POP3_AUTH, A, POP3_PARSED, 1, { 0 } },
	{ "AUTH PLAIN AGEAYg==", POP3_AUTH, A, POP3_PARSED, 2, { 0 } },
	{ "AUTH PLAIN =", POP3_AUTH, A, POP3_PARSED, 2, { 0 } },
	{ "AUTH PLAIN = x", POP3_AUTH, A, POP3_SYNTAX, 0, { 0 } },
	{ "AUTH  PLAIN", POP3_AUTH, A, POP3_SYNTAX, 0, { 0 } },
	{ "STLS", POP3_STLS, A, POP3_PARSED, 0, { 0 } },
	{ "STLS x", POP3_STLS, A, POP3_SYNTAX, 0, { 0 } },
	{ "STAT", POP3_STAT, T, POP3_PARSED, 0, { 0 } },
	{ "STAT 1", POP3_STAT, T, POP3_SYNTAX, 0, { 0 } },
	{ "LIST", POP3_LIST, T, POP3_PARSED, 0, { 0 } },
	{ "LIST ", POP3_LIST, T, POP3_PARSED, 0, { 0 } },
	{ "LIST 1", POP3_LIST, T, POP3_PARSED, 1, { 1 } },
	{ "LIST 1 ", POP3_LIST, T, POP3_PARSED, 1, { 1 } },
	{ "LIST 007", POP3_LIST, T, POP3_PARSED, 1, { 7 } },
	{ "LIST 0", POP3_LIST, T, POP3_PARSED, 1, { 0 } },
	{ "LIST -1", POP3_LIST, T, POP3_NUMBER, 0, { 0 } },
	{ "LIST +1", POP3_LIST, T, POP3_NUMBER, 0, { 0 } },
	{ "LIST 1x", POP3_LIST, T, POP3_NUMBER, 0, { 0 } },
	{ "LIST 1.0", POP3_LIST, T, POP3_NUMBER, 0, { 0 } },
	{ "LIST 0x1", POP3_LIST, T, POP3_NUMBER, 0, { 0 } },
	{ "LIST one", POP3_LIST, T, POP3_NUMBER, 0, { 0 } },
	{ "LIST 1 2", POP3_LIST, T, POP3_SYNTAX, 0, { 0 } },
	{ "LIST  1", POP3_LIST, T, POP3_SYNTAX, 0, { 0 } },
	{ "LIST\t1", POP3_N_VERBS, A | T, POP3_UNKNOWN, 0, { 0 } },
	{ "LIST 4294967297", POP3_LIST, T, POP3_PARSED, 1,
	    { UINT64_C(4294967297) } },
	{ "LIST 18446744073709551615", POP3_LIST, T, POP3_PARSED, 1,
	    { UINT64_MAX } },
	{ "LIST 18446744073709551617", POP3_LIST, T, POP3_PARSED, 1,
	    { UINT64_MAX } },
	{ "LIST 99999999999999999999999999", POP3_LIST, T, POP3_PARSED, 1,
	    { UINT64_MAX } },
	{ "RETR 2", POP3_RETR, T, POP3_PARSED, 1, { 2 } },
	{ "RETR", POP3_RETR, T, POP3_SYNTAX, 0, { 0 } },
	{ "RETR ", POP3_RETR, T, POP3_SYNTAX, 0, { 0 } },
	{ "RETR 1 1", POP3_RETR, T, POP3_SYNTAX, 0, { 0 } },
	{ "RETR 0", POP3_RETR, T, POP3_PARSED, 1, { 0 } },
	{ "RETR -1", POP3_RETR, T, POP3_NUMBER, 0, { 0 } },
	{ "RETR x", POP3_RETR, T, POP3_NUMBER, 0, { 0 } },
	{ "RETR 4294967297", POP3_RETR, T, POP3_PARSED, 1,
	    { UINT64_C(4294967297) } },
	{ "DELE 3", POP3_DELE, T, POP3_PARSED, 1, { 3 } },
	{ "DELE", POP3_DELE, T, POP3_SYNTAX, 0, { 0 } },
	{ "DELE 1 2", POP3_DELE, T, POP3_SYNTAX, 0, { 0 } },
	{ "DELE 0", POP3_DELE, T, POP3_PARSED, 1, { 0 } },
	{ "DELE -3", POP3_DELE, T, POP3_NUMBER, 0, { 0 } },
	{ "DELE 1,2", POP3_DELE, T, POP3_NUMBER, 0, { 0 } },
	{ "NOOP", POP3_NOOP, T, POP3_PARSED, 0, { 0 } },
	{ "NOOP x", POP3_NOOP, T, POP3_SYNTAX, 0, { 0 } },
	{ "RSET", POP3_RSET, T, POP3_PARSED, 0, { 0 } },
	{ "RSET 1", POP3_RSET, T, POP3_SYNTAX, 0, { 0 } },
	{ "TOP 1 0", POP3_TOP, T, POP3_PARSED, 2, { 1, 0 } },
	{ "TOP 1 4294967297", POP3_TOP, T, POP3_PARSED, 2,
	    { 1, UINT64_C(4294967297) } },
	{ "TOP 1 99999999999999999999", POP3_TOP, T, POP3_PARSED, 2,
	    { 1, UINT64_MAX } },
	{ "TOP", POP3_TOP, T, POP3_SYNTAX, 0, { 0 } },
	{ "TOP 1", POP3_TOP, T, POP3_SYNTAX, 0, { 0 } },
	{ "TOP 1 1 1", POP3_TOP, T, POP3_SYNTAX, 0, { 0 } },
	{ "TOP 1 -1", POP3_TOP, T, POP3_NUMBER, 0, { 0 } },
	{ "TOP x 1", POP3_TOP, T, POP3_NUMBER, 0, { 0 } },
	{ "TOP 0 1", POP3_TOP, T, POP3_PARSED, 2, { 0, 1 } },
	{ "UIDL", POP3_UIDL, T, POP3_PARSED, 0, { 0 } },
	{ "UIDL 1", POP3_UIDL, T, POP3_PARSED, 1, { 1 } },
	{ "UIDL 0", POP3_UIDL, T, POP3_PARSED, 1, { 0 } },
	{ "UIDL -1", POP3_UIDL, T, POP3_NUMBER, 0, { 0 } },
	{ "UIDL 1 1", POP3_UIDL, T, POP3_SYNTAX, 0, { 0 } },
	{ "UTF8", POP3_UTF8, A | T, POP3_NOT_OFFERED, 0, { 0 } },
	{ "LANG *", POP3_LANG, A | T, POP3_NOT_OFFERED, 0, { 0 } },
	{ "APOP a 0123", POP3_APOP, A, POP3_PARSED, 1, { 0 } },
	{ "APOP", POP3_APOP, A, POP3_SYNTAX, 0, { 0 } },
	{ "", POP3_N_VERBS, A | T, POP3_UNKNOWN, 0, { 0 } },
	{ " ", POP3_N_VERBS, A | T, POP3_UNKNOWN, 0, { 0 } },
	{ " STAT", POP3_N_VERBS, A | T, POP3_UNKNOWN, 0, { 0 } },
	{ "STA", POP3_N_VERBS, A | T, POP3_UNKNOWN, 0, { 0 } },
	{ "STATS", POP3_N_VERBS, A | T, POP3_UNKNOWN, 0, { 0 } },
	{ "LAST", POP3_N_VERBS, A | T, POP3_UNKNOWN, 0, { 0 } },
	{ "XTND XMIT", POP3_N_VERBS, A | T, POP3_UNKNOWN, 0, { 0 } },
	{ "\xc3\xa4", POP3_N_VERBS, A | T, POP3_UNKNOWN, 0, { 0 } },
};

static void
check_row(const struct row *r, enum pop3_state state)
{
	struct pop3_command c;
	enum pop3_parsed got = pop3_parse((const uint8_t *)r->line,
	    strlen(r->line), state, &c);

	assert_int_equal(c.verb, r->verb);
	if ((r->states & state) == 0) {
		assert_int_equal(got, POP3_WRONG_STATE);
		return;
	}
	if (got != r->parsed)
		fail_msg("\"%s\" gave %d, not %d", r->line, got, r->parsed);
	if (got != POP3_PARSED)
		return;
	assert_int_equal(c.n_args, r->n_args);
	assert_true(c.number[0] == r->number[0]);
	assert_true(c.number[1] == r->number[1]);
}

static void
every_command_in_every_state(void **state)
{
	unsigned seen[POP3_N_VERBS + 1] = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check_row(&rows[i], A);
		check_row(&rows[i], T);
		seen[rows[i].verb]++;
	}
	for (i = 0; i < POP3_N_VERBS; i++)
		if (seen[i] == 0)
			fail_msg("no row for %s",
			    pop3_verb_name((enum pop3_verb)i));
}

static void
nul_and_cr_are_errors(void **state)
{
	static const char *const lines[] = {
	    "RETR 1\0", "PASS a\0b", "PASS a\rbc", "\0QUIT\0\0", "QUIT\0\0\0" };
	struct pop3_command c;
	size_t i;

	(void)state;
	for (i = 0; i < 5; i++)
		assert_int_equal(pop3_parse((const uint8_t *)lines[i],
		    i == 0 ? 7 : 8, i == 0 ? T : A, &c), POP3_OCTET);
}

static void
arguments_are_kept_whole(void **state)
{
	struct pop3_command c;

	(void)state;
	pop3_parse((const uint8_t *)"PASS  a b ", 10, A, &c);
	assert_int_equal(c.arg[0].n, 5);
	assert_memory_equal(c.arg[0].p, " a b ", 5);
	pop3_parse((const uint8_t *)"user al ice  ", 13, A, &c);
	assert_int_equal(c.arg[0].n, 6);
	assert_memory_equal(c.arg[0].p, "al ice", 6);
	pop3_parse((const uint8_t *)"AUTH plain YQ==", 15, A, &c);
	assert_memory_equal(c.arg[0].p, "plain", 5);
	assert_int_equal(c.arg[1].n, 4);
	assert_memory_equal(c.arg[1].p, "YQ==", 4);
}

/* --- replies ------------------------------------------------------------- */

static void
check_reply(const char *r, const char *begins)
{
	assert_non_null(r);
	assert_true(strlen(r) <= POP3_REPLY_MAX);
	assert_string_equal(r + strlen(r) - 2, "\r\n");
	assert_null(strchr(strchr(r, '\r') + 2, '\n'));
	if (strncmp(r, begins, strlen(begins)) != 0)
		fail_msg("\"%s\" should begin with \"%s\"", r, begins);
}

static void
statuses_have_their_codes(void **state)
{
	static const struct {
		culver_status st;
		const char *login, *command, *update;
	} rows_[] = {
		{ CULVER_E_TEMP, "-ERR [SYS/TEMP]", "-ERR [SYS/TEMP]",
		    "-ERR [SYS/TEMP]" },
		{ CULVER_E_TIMEOUT, "-ERR [SYS/TEMP]", "-ERR [SYS/TEMP]",
		    "-ERR [SYS/TEMP]" },
		{ CULVER_E_NOMEM, "-ERR [SYS/TEMP]", "-ERR [SYS/TEMP]",
		    "-ERR [SYS/TEMP]" },
		{ CULVER_E_NOSPACE, "-ERR [SYS/TEMP]", "-ERR [SYS/TEMP]",
		    "-ERR [SYS/TEMP]" },
		{ CULVER_E_STALE, "-ERR [SYS/TEMP]", "-ERR [SYS/TEMP]",
		    "-ERR [SYS/TEMP]" },
		{ CULVER_E_PERM, "-ERR [SYS/PERM]", "-ERR [SYS/PERM]",
		    "-ERR [SYS/PERM]" },
		{ CULVER_E_CORRUPT, "-ERR [SYS/PERM]", "-ERR [SYS/PERM]",
		    "-ERR [SYS/PERM]" },
		{ CULVER_E_GONE, "-ERR [SYS/TEMP]", "-ERR Message is gone",
		    "-ERR [SYS/TEMP]" },
		{ CULVER_E_IN_USE, "-ERR [IN-USE]", "-ERR [SYS/TEMP]",
		    "-ERR [SYS/TEMP]" },
		{ CULVER_E_DELAY, "-ERR [LOGIN-DELAY]", "-ERR [SYS/TEMP]",
		    "-ERR [SYS/TEMP]" },
		{ -12345, "-ERR [SYS/TEMP]", "-ERR [SYS/TEMP]",
		    "-ERR [SYS/TEMP]" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows_) / sizeof(rows_[0]); i++) {
		check_reply(pop3_status_reply(rows_[i].st, POP3_AT_LOGIN),
		    rows_[i].login);
		check_reply(pop3_status_reply(rows_[i].st, POP3_AT_COMMAND),
		    rows_[i].command);
		check_reply(pop3_status_reply(rows_[i].st, POP3_AT_UPDATE),
		    rows_[i].update);
	}
}

static void
nobody_learns_which_users_exist(void **state)
{
	const char *wrong = pop3_status_reply(CULVER_E_AUTH, POP3_AT_LOGIN);

	(void)state;
	check_reply(wrong, "-ERR [AUTH]");
	assert_string_equal(wrong,
	    pop3_status_reply(CULVER_E_NOUSER, POP3_AT_LOGIN));
	assert_string_equal(wrong,
	    pop3_status_reply(CULVER_E_DISABLED, POP3_AT_LOGIN));
	assert_string_equal(wrong,
	    pop3_status_reply(CULVER_E_EXPIRED, POP3_AT_LOGIN));
}

static void
parse_errors_are_errors(void **state)
{
	int i;

	(void)state;
	for (i = POP3_UNKNOWN; i <= POP3_NUMBER; i++) {
		check_reply(pop3_parse_reply((enum pop3_parsed)i, A), "-ERR ");
		check_reply(pop3_parse_reply((enum pop3_parsed)i, T), "-ERR ");
	}
}

static void
numbers_are_decimal(void **state)
{
	uint8_t out[POP3_NUMBER_MAX];
	char wanted[POP3_NUMBER_MAX + 1];
	uint64_t v, limit = 1;
	int i, j;

	(void)state;
	for (i = 0; i <= 20; i++, limit *= 10)
		for (j = -1; j < 13; j++) {
			v = i == 20 ? UINT64_MAX - (uint64_t)(j + 1) :
			    limit + (uint64_t)j;
			snprintf(wanted, sizeof(wanted), "%" PRIu64, v);
			memset(out, '?', sizeof(out));
			assert_int_equal(pop3_number(v, out), strlen(wanted));
			assert_memory_equal(out, wanted, strlen(wanted));
		}
}

/* --- CAPA ---------------------------------------------------------------- */

static void
check_capa(const struct pop3_capa *c, const char *wanted)
{
	char buf[POP3_CAPA_MAX + 1];
	size_t n = pop3_capa(c, buf, POP3_CAPA_MAX);

	assert_true(n < POP3_CAPA_MAX);
	buf[n] = '\0';
	assert_string_equal(buf, wanted);
}

#define CAPA_ALWAYS "+OK Capability list follows\r\nTOP\r\nUIDL\r\n" \
	"RESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"

static void
capa_says_what_is_true(void **state)
{
	(void)state;
	check_capa(&(struct pop3_capa){ .expire_days = POP3_EXPIRE_NONE },
	    CAPA_ALWAYS "IMPLEMENTATION Culver\r\n.\r\n");
	check_capa(&(struct pop3_capa){ .stls = 1, .user = 1,
	    .sasl = "PLAIN LOGIN", .expire_days = POP3_EXPIRE_NEVER },
	    CAPA_ALWAYS "USER\r\nSASL PLAIN LOGIN\r\nSTLS\r\nEXPIRE NEVER\r\n"
	    "IMPLEMENTATION Culver\r\n.\r\n");
	check_capa(&(struct pop3_capa){ .expire_days = 30, .expire_user = 1,
	    .sasl = "", .login_delay = 900 },
	    CAPA_ALWAYS "EXPIRE 30 USER\r\nLOGIN-DELAY 900\r\n"
	    "IMPLEMENTATION Culver\r\n.\r\n");
	check_capa(&(struct pop3_capa){ .expire_days = 0 },
	    CAPA_ALWAYS "EXPIRE 0\r\nIMPLEMENTATION Culver\r\n.\r\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_do_not_depend_on_pieces),
		cmocka_unit_test(one_long_line_is_one_error),
		cmocka_unit_test(endless_line_is_a_flood),
		cmocka_unit_test(response_lines_may_be_long),
		cmocka_unit_test(every_command_in_every_state),
		cmocka_unit_test(nul_and_cr_are_errors),
		cmocka_unit_test(arguments_are_kept_whole),
		cmocka_unit_test(statuses_have_their_codes),
		cmocka_unit_test(nobody_learns_which_users_exist),
		cmocka_unit_test(parse_errors_are_errors),
		cmocka_unit_test(numbers_are_decimal),
		cmocka_unit_test(capa_says_what_is_true),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
