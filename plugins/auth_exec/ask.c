/*
 * ask.c - what is asked of the program, and what its answers mean.
 *
 * Runs in a pool process as the auth user.  Names and passwords come from
 * clients; the program is an administrator's.
 */
#include "config.h"

#include <string.h>

#include <culver/util.h>

#include "plugins/auth_exec/exec.h"

#define S UINT64_C(1000000000)

/* --- questions ------------------------------------------------------------ */

static void
begin(struct bridge *b, const char *word, const struct culver_auth_req *rq)
{
	bridge_begin(b, word);
	exec_put(&b->line, "user", rq->user, strlen(rq->user));
	exec_text(&b->line, "service", rq->service);
	exec_text(&b->line, "remote", rq->remote);
	exec_text(&b->line, "local", rq->local);
	exec_text(&b->line, "session", rq->session);
	exec_text(&b->line, "tls", rq->flags & CULVER_RQ_TLS ? "yes" : "no");
}

static bool
too_long(const struct culver_auth_req *rq)
{
	return strnlen(rq->user, EXEC_NAME + 1) > EXEC_NAME;
}

/* The answer's fields, without those of the protocol. */
static culver_status
row_take(struct culver_auth *au, struct auth_row *row,
    struct culver_call *call)
{
	static const char *const own[] = {"id", "login_delay", "expire_days"};
	const struct exec_line *l = &au->bridge.answer;
	culver_status st = CULVER_OK;

	row->n = 0;
	row->rows = 1;
	for (unsigned i = 0; i < l->n && st == CULVER_OK; i++) {
		const struct exec_field *f = &l->field[i];
		bool skip = false;

		for (size_t k = 0; k < sizeof(own) / sizeof(own[0]); k++)
			skip |= span_is(f->name, own[k]);
		if (!skip)
			st = auth_row_add(au->host, row, f->name.p,
			    f->value.p, f->value.n, call);
	}
	return st;
}

/* Ask what was begun.  On OK the answer is in ROW; its name is checked. */
static culver_status
ask(struct culver_auth *au, bool has_password, struct auth_row *row,
    struct culver_call *call)
{
	static const struct { const char *word; culver_status st; } words[] = {
		{"ok", CULVER_OK}, {"wrong", CULVER_E_AUTH},
		{"delay", CULVER_E_DELAY}, {"unknown", CULVER_E_NOUSER},
		{"disabled", CULVER_E_DISABLED}, {"expired", CULVER_E_EXPIRED},
		{"pass", CULVER_E_DECLINE}, {"temp", CULVER_E_TEMP},
	};
	struct bridge *b = &au->bridge;
	culver_status st = bridge_ask(b, call);
	struct span error;
	size_t i;

	if (st != CULVER_OK)
		return st;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_is(b->answer.word, words[i].word))
			break;
	if (i == sizeof(words) / sizeof(words[0]) ||
	    (!has_password && (i == 1 || i == 2)))
		return bridge_breach(b, "an answer that this request does "
		    "not have", call);
	st = words[i].st;
	if (st == CULVER_OK)
		return row_take(au, row, call);
	error = exec_get(&b->answer, "error");
	return culver_fail(call, st, 0, "%.100s: %.140s", b->program.name,
	    error.n > 0 ? error.p : words[i].word);
}

/* --- passwords ------------------------------------------------------------ */

/* A decimal of at most nine digits. */
static bool
number(struct span s, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		*out = *out * 10 + (uint64_t)(s.p[i] - '0');
	}
	return s.n > 0 && s.n < 10;
}

/* What else the program says of a user who may log in. */
static culver_status
ok_fill(struct culver_auth *au, struct culver_auth_ok *ok, const char *name,
    struct culver_call *call)
{
	struct bridge *b = &au->bridge;
	struct span delay = exec_get(&b->answer, "login_delay");
	struct span expire = exec_get(&b->answer, "expire_days");
	uint64_t seconds = 0, days = 0;

	if ((delay.p != NULL && !number(delay, &seconds)) ||
	    (expire.p != NULL && !number(expire, &days)))
		return bridge_breach(b, "login_delay or expire_days is not a "
		    "number", call);
	if (name != NULL && CULVER_HAS(struct culver_auth_ok, ok, user))
		ok->user = name;
	if (CULVER_HAS(struct culver_auth_ok, ok, login_delay))
		ok->login_delay = seconds * S;
	if (CULVER_HAS(struct culver_auth_ok, ok, expire_days))
		ok->expire_days = (uint32_t)days;
	return CULVER_OK;
}

/* A program that cannot look users up has said all that there is to say when
 * it let one in: the section's options are the rest. */
static culver_status
keep(struct culver_auth *au, const struct culver_auth_req *rq,
    const char *name, struct auth_row *row, struct culver_call *call)
{
	culver_status st = CULVER_OK;

	if (name == NULL)
		name = rq->user;
	if ((au->bridge.can & CAN_USER) == 0)
		st = auth_row_add(au->host, row, "userdb_user", name,
		    strlen(name), call);
	if (st == CULVER_OK)
		auth_kept_set(&au->kept, rq, name, row);
	return st;
}

/* The program says whether the password is right. */
static culver_status
verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct bridge *b = &au->bridge;
	struct auth_account a = {.where = b->program.name, .user = rq->user,
	    .remote = rq->remote != NULL ? rq->remote : ""};
	const char *name = NULL;
	struct auth_row row;
	culver_status st;

	if (password->n > EXEC_PASSWORD)
		return CULVER_E_AUTH;
	begin(b, "verify", rq);
	if (rq->flags & CULVER_RQ_EXTERNAL)
		exec_text(&b->line, "external", "yes");
	else
		exec_put(&b->line, rq->flags & CULVER_RQ_TOKEN ? "token" :
		    "password", password->p, password->n);
	st = ask(au, true, &row, call);
	if (st == CULVER_OK && auth_row_closes(&au->check, &a, &row))
		st = CULVER_E_DISABLED;
	if (st == CULVER_OK)
		st = auth_row_user(au->host, a.where, &row, &name, call);
	if (st == CULVER_OK)
		st = ok_fill(au, ok, name, call);
	return st == CULVER_OK ? keep(au, rq, name, &row, call) : st;
}

/* The program says what is stored of the user.  OK if it can be checked and
 * the account is open; with OPEN_ONLY it does not matter whether it can. */
static culver_status
stored_find(struct culver_auth *au, const struct culver_auth_req *rq,
    bool open_only, struct auth_row *row, struct auth_account *a,
    struct culver_call *call)
{
	culver_status st;

	*a = (struct auth_account){.where = au->bridge.program.name,
	    .user = rq->user, .remote = rq->remote != NULL ? rq->remote : ""};
	begin(&au->bridge, "creds", rq);
	st = ask(au, false, row, call);
	if (st != CULVER_OK)
		return st;
	st = auth_row_hash(&au->check, a, row, open_only, call);
	return st == CULVER_OK && auth_row_closes(&au->check, a, row) ?
	    CULVER_E_DISABLED : st;
}

/* A program that only gives what is stored: the plugin does the rest. */
static culver_status
verify_stored(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	bool external = (rq->flags & CULVER_RQ_EXTERNAL) != 0;
	const char *name = NULL;
	struct auth_account a;
	struct auth_row row;
	culver_status st = stored_find(au, rq, external, &row, &a, call);

	if (!external && st != CULVER_E_DECLINE)
		st = auth_verify(&au->check, &a, st, password, call);
	if (st == CULVER_OK)
		st = auth_row_user(au->host, a.where, &row, &name, call);
	if (st == CULVER_OK)
		st = ok_fill(au, ok, name, call);
	return st == CULVER_OK ? keep(au, rq, name, &row, call) : st;
}

culver_status
exec_verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	bool token = (rq->flags & CULVER_RQ_TOKEN) != 0;
	bool external = (rq->flags & CULVER_RQ_EXTERNAL) != 0;
	unsigned need = token ? CAN_TOKEN : external ? CAN_EXTERNAL :
	    CAN_VERIFY;
	culver_status st;

	auth_kept_drop(&au->kept);
	if (too_long(rq))
		return CULVER_E_NOUSER;
	st = bridge_ready(&au->bridge, call);
	if (st != CULVER_OK)
		return st;
	if (au->bridge.can & need)
		st = verify(au, rq, password, ok, call);
	else if (!token && (au->bridge.can & CAN_CREDS))
		st = verify_stored(au, rq, password, ok, call);
	else
		st = culver_fail(call, CULVER_E_DECLINE, 0, "%.100s does not "
		    "check this", au->bridge.program.name);
	bridge_done(&au->bridge);
	return st;
}

culver_status
exec_creds(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_cred *out, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	const char *name = NULL;
	struct auth_account a;
	struct auth_row row;
	culver_status st;

	if (too_long(rq))
		return CULVER_E_NOUSER;
	st = bridge_ready(&au->bridge, call);
	if (st != CULVER_OK)
		return st;
	if (au->bridge.can & CAN_CREDS) {
		st = stored_find(au, rq, false, &row, &a, call);
		if (st != CULVER_E_DECLINE)
			st = auth_creds(&au->check, &a, st, out, call);
		if (st == CULVER_OK)
			st = auth_row_user(au->host, a.where, &row, &name,
			    call);
		if (st == CULVER_OK)
			st = ok_fill(au, ok, name, call);
	} else {
		st = culver_fail(call, CULVER_E_DECLINE, 0, "%.100s gives no "
		    "stored passwords", au->bridge.program.name);
	}
	bridge_done(&au->bridge);
	return st;
}

/* --- the user's data ------------------------------------------------------ */

culver_status
exec_user(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_user *out, struct culver_call *call)
{
	struct auth_user u = {.host = au->host, .out = out,
	    .where = au->bridge.program.name};
	struct auth_row row;
	culver_status st;

	if (too_long(rq))
		return CULVER_E_NOUSER;
	if (auth_kept_has(&au->kept, rq)) {
		st = auth_kept_give(&au->kept, &u, rq->user, call);
	} else {
		st = bridge_ready(&au->bridge, call);
		if (st == CULVER_OK && (au->bridge.can & CAN_USER) == 0)
			st = culver_fail(call, CULVER_E_DECLINE, 0, "%.100s "
			    "knows nothing of users", au->bridge.program.name);
		if (st == CULVER_OK) {
			begin(&au->bridge, "user", rq);
			st = ask(au, false, &row, call);
		}
		if (st == CULVER_OK)
			st = auth_row_give(&row, false, &u, rq->user, call);
		bridge_done(&au->bridge);
	}
	auth_kept_drop(&au->kept);
	return st == CULVER_OK ? auth_user_end(&u, &au->opt[OPT_UID], call) :
	    st;
}
