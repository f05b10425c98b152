/*
 * ctl_auth.h - what the chain of auth sections says about a user, asked
 * through pool processes that culverctl starts for the one answer.
 */
#ifndef TOOLS_CTL_AUTH_H
#define TOOLS_CTL_AUTH_H

#include "core/tools/ctl_conf.h"

enum { CTL_MAX_SAID = 4 * CONF_MAX_AUTH };

/* What a section said to one question. */
struct ctl_said {
	unsigned section;
	_Bool verify;			/* about the password, else the user */
	culver_status status;
	_Bool kept;			/* culverd may remember that */
};

struct ctl_user {
	char name[256];			/* canonical */
	uint32_t section;		/* storage section */
	unsigned verified_by, found_by;	/* auth sections */
	_Bool by_master;		/* the password was a master's */
	_Bool unsure;			/* one of them could not tell */
	unsigned n_said;
	struct ctl_said said[CTL_MAX_SAID];
	struct ipc_pool_answer answer;	/* valid until the next auth_ask() */
};

/*
 * Look USER up, after PASSWORD (of N octets) was found right, if it is not
 * NULL.  0, or an exit status after a message: EX_NOUSER, EX_NOPERM (the
 * password is wrong, or the account is disabled), EX_TEMPFAIL ...
 */
int auth_ask(struct ctl *ctl, struct ctl_conf *conf, const char *user,
    const char *password, size_t n, struct ctl_user *out);

/* Wipe the last answer. */
void auth_done(void);

/* Would master let U have a session?  If not, say why. */
_Bool auth_may_become(const struct ctl_conf *conf, const struct ctl_user *u);

ctl_command ctl_user, ctl_login_test, ctl_hash;

#endif /* TOOLS_CTL_AUTH_H */
