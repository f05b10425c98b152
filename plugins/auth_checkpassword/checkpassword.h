/*
 * checkpassword.h - the parts of the checkpassword plugin, for each other and
 * for the program that answers to it.
 *
 * Runs in a pool process as the auth user.  Names and passwords come from
 * clients; the program is an administrator's and may be wrong.
 */
#ifndef CHECKPASSWORD_H
#define CHECKPASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugins/common/auth.h"
#include "plugins/common/program.h"

enum { OPT_PROGRAM, OPT_READ, OPT_TIMEOUT, OPT_LOOKUP, OPT_REPLY, OPT_UID,
	OPT_GID, OPT_HOME, N_OPTIONS };

enum {
	CHECK_INPUT = 512,	/* octets that a program reads; the interface */
	CHECK_REPLY = 16384	/* octets of what it answers */
};

struct culver_auth {
	const struct culver_host *host;
	const struct culver_value *opt;
	char **argv;
	char *reply;		/* path of the program that answers */
	struct program program;
	struct auth_check check;
	struct auth_kept kept;
	char buf[CHECK_REPLY];	/* the answer of a run */
	size_t n;
};

/*
 * Run the program for RQ: with PASSWORD, or to look the user up if that is
 * NULL.  *STATUS is its exit status, and ROW, for 0 of a check and 2 of a
 * lookup, what it said of the user.  OK, or E_TEMP.
 */
culver_status check_run(struct culver_auth *au,
    const struct culver_auth_req *rq, const struct culver_str *password,
    int *status, struct auth_row *row, struct culver_call *call);

#endif /* CHECKPASSWORD_H */
