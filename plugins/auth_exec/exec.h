/*
 * exec.h - the parts of the plugin that asks a program, for each other.
 *
 * Runs in a pool process as the auth user.  The program is an administrator's
 * and may be wrong: nothing it says is believed to be well-formed.  Names and
 * passwords come from clients.
 */
#ifndef EXEC_H
#define EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugins/common/auth.h"
#include "plugins/common/backoff.h"
#include "plugins/common/program.h"

enum { OPT_PROGRAM, OPT_READ, OPT_TIMEOUT, OPT_SCHEME, OPT_ALLOW_WEAK,
	OPT_UID, OPT_GID, OPT_HOME, N_OPTIONS };

/* --- wire.c: lines of the protocol, culver-exec(5) ------------------------- */

enum {
	EXEC_LINE = 65536,	/* octets of a line, its LF included */
	EXEC_FIELDS = AUTH_MAX_COLUMNS,
	EXEC_NAME = 255,	/* of a user */
	EXEC_PASSWORD = 9216	/* as much as a pool process takes */
};

struct exec_field {
	struct span name, value;	/* NUL-terminated */
};

struct exec_line {
	struct span word;
	unsigned n;
	struct exec_field field[EXEC_FIELDS];
};

/*
 * Read the N octets at LINE, without the LF: a word and fields name=value with
 * a TAB before each.  Decodes in place, so OUT borrows from LINE, which has
 * room for a NUL behind.  False with a constant text in *WHY.
 */
bool exec_parse(char *line, size_t n, struct exec_line *out, const char **why);

/* The value of the field NAME; "" if there is none, with p NULL. */
struct span exec_get(const struct exec_line *l, const char *name);

/* A line that is being written. */
struct exec_out {
	char *p;
	size_t n, cap;
	bool full;		/* it did not fit */
};

void exec_begin(struct exec_out *o, const char *word);
/* Octets of VALUE that are not printable, and '%', become %XX. */
void exec_put(struct exec_out *o, const char *name, const char *value,
    size_t n);
void exec_text(struct exec_out *o, const char *name, const char *value);
void exec_number(struct exec_out *o, const char *name, uint64_t value);
void exec_end(struct exec_out *o);

/* --- bridge.c: the program that runs ---------------------------------------- */

enum {				/* what it said that it can */
	CAN_VERIFY = 1u << 0,
	CAN_USER = 1u << 1,
	CAN_CREDS = 1u << 2,
	CAN_TOKEN = 1u << 3,
	CAN_EXTERNAL = 1u << 4
};

struct bridge {
	const struct culver_host *host;
	uint64_t timeout;
	struct program program;
	char **argv;
	int fd;			/* its standard input and output; -1 */
	unsigned can;		/* since its hello */
	struct backoff backoff;	/* of starting it */
	uint64_t id;		/* of the last request */
	char error[200];	/* why there is none */
	char *in, *out;		/* EXEC_LINE + 1 octets each */
	size_t in_n;
	struct exec_out line;	/* in `out' */
	struct exec_line answer;	/* in `in' */
};

/* False without memory.  The program is started by the first request. */
bool bridge_open(struct bridge *b, const struct culver_host *host,
    const struct culver_value *opt);
void bridge_close(struct bridge *b);

/* A program that runs and has said hello; b->can is known.  OK or E_TEMP. */
culver_status bridge_ready(struct bridge *b, struct culver_call *call);

/*
 * Ask what was written to b->line since bridge_begin(), whose id has been put
 * into it.  OK with b->answer, which is good until bridge_done(), or E_TEMP:
 * then there is no program any more.
 */
void bridge_begin(struct bridge *b, const char *word);
culver_status bridge_ask(struct bridge *b, struct culver_call *call);

/* The answer is none that the protocol has: end the program. */
culver_status bridge_breach(struct bridge *b, const char *why,
    struct culver_call *call);

/* Wipe the request and its answer. */
void bridge_done(struct bridge *b);

/* --- ask.c: questions and what the answers mean ------------------------------ */

struct culver_auth {
	const struct culver_host *host;
	const struct culver_value *opt;
	struct bridge bridge;
	struct auth_costs costs;
	struct auth_check check;
	struct auth_kept kept;
};

culver_status exec_verify(struct culver_auth *au,
    const struct culver_auth_req *rq, const struct culver_str *password,
    struct culver_auth_ok *ok, struct culver_call *call);
culver_status exec_creds(struct culver_auth *au,
    const struct culver_auth_req *rq, struct culver_cred *out,
    struct culver_auth_ok *ok, struct culver_call *call);
culver_status exec_user(struct culver_auth *au,
    const struct culver_auth_req *rq, struct culver_user *out,
    struct culver_call *call);

#endif /* EXEC_H */
