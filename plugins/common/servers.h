/*
 * servers.h - what auth plugins share that speak to servers: of several the
 * one that answers is used, one that does not is left alone for a time that
 * grows, so that a dead one does not cost every login its time-out.
 *
 * Runs in a pool process, one login at a time.
 */
#ifndef PLUGINS_COMMON_SERVERS_H
#define PLUGINS_COMMON_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plugins/common/auth.h"
#include "plugins/common/backoff.h"
#include "plugins/common/paths.h"

/* --- auth_servers.c ------------------------------------------------------- */

enum { AUTH_MAX_SERVERS = 16 };

struct auth_server {
	const char *name;	/* NULL: it has none */
	char *text;		/* frees name */
	unsigned port;		/* 0: the usual one */
	struct backoff backoff;
};

struct auth_servers {
	const struct culver_host *host;
	const char *what;	/* for the log: "database" */
	uint64_t timeout;	/* ns that one may take to answer */
	struct auth_server v[AUTH_MAX_SERVERS];
	unsigned n;
	char error[248];	/* of the last that failed */
	bool down;		/* it was said that one is away */
};

/* Connect to server AT by the deadline, or say in call->err why not. */
typedef culver_status auth_server_open(void *arg, unsigned at,
    uint64_t deadline, struct culver_call *call);

/*
 * Connect by OPEN to a server that is not being left alone, number *AT
 * first; OK sets *AT.  Leaves time for the others and for what is to be asked.
 * Else E_TEMP.
 */
culver_status auth_servers_open(struct auth_servers *s, unsigned *at,
    auth_server_open *open, void *arg, struct culver_call *call);

/* Server AT gave no answer, as call->err says: leave it alone for a while. */
void auth_servers_failed(struct auth_servers *s, unsigned at,
    const struct culver_call *call);

/* Fail with E_TEMP, the server's name and TEXT, which becomes one line. */
culver_status auth_server_fail(const struct auth_server *h, const char *text,
    struct culver_call *call);

void auth_servers_free(struct auth_servers *s);

/* Milliseconds to DEADLINE: from 0, at most 60000. */
int auth_time_left(const struct culver_host *host, uint64_t deadline);

/* --- auth_vars.c: %{user} and so on in what is asked ----------------------- */

enum auth_var { AUTH_VAR_USER, AUTH_VAR_NAME, AUTH_VAR_DOMAIN, AUTH_VAR_REMOTE,
	AUTH_VAR_LOCAL, AUTH_VAR_SERVICE };

#define AUTH_VARS_KNOWN "only %{user}, %{name}, %{domain}, %{remote}, " \
	"%{local} and %{service} are known"

/* Which one is called NAME, as `user'; false: none. */
bool auth_var_find(struct span name, enum auth_var *out);

/* What it stands for; in RQ, and as the client sent it: never to be pasted. */
struct span auth_var_value(enum auth_var var, const struct culver_auth_req *rq);

#endif /* PLUGINS_COMMON_SERVERS_H */
