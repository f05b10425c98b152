/*
 * snap-private.h - what snap.c and its parts share.
 *
 * Runs in the config role.  The configuration has been checked.
 */
#ifndef CONFIG_SNAP_PRIVATE_H
#define CONFIG_SNAP_PRIVATE_H

#include <stdio.h>

#include "core/config/conf.h"
#include "core/config/filter.h"
#include "core/config/snap.h"

/* Copy the text S into the array OUT. */
#define TEXT(out, s) snprintf(out, sizeof(out), "%s", s)

struct snapper {
	const struct cf_config *c;
	const struct cf_env *env;
	snap_sink *sink;
	void *ctx;
	struct conf_gate_host *hosts;
	struct conf_cert *certs;
	uint32_t n_hosts, n_certs;
	_Bool has_ca;			/* the last one */
};

struct part {			/* of one snapshot */
	enum conf_kind kind;
	uint32_t index;
	void *fixed;		/* begins with a conf_head */
	size_t size;
	const void *extra;
	size_t extra_n;
	struct sock_filter *filter;	/* of the role, and then others */
	size_t filter_n, more_n;
};

/* Write P into a memfd, seal that, and give it to the sink; or false, errno. */
_Bool snap_seal(const struct snapper *s, const struct part *p);

/* Add the filter of a role to P, for a plugin with NEEDS; false with errno. */
_Bool snap_filter(struct part *p, enum filter_kind kind, uint64_t needs);

/* What EXPIRE says, as in struct conf_gate. */
uint32_t snap_expire_days(const struct cf_config *c);

/* snap_master.c, snap_roles.c: the snapshot of a role; false with errno. */
_Bool snap_master(const struct snapper *s);
_Bool snap_gate(const struct snapper *s);
_Bool snap_certcheck(const struct snapper *s);
_Bool snap_auth(const struct snapper *s);
_Bool snap_lmtp(const struct snapper *s);
_Bool snap_metrics(const struct snapper *s);
_Bool snap_log(const struct snapper *s);

/* snap_listen.c: the listeners of gates, and those of lmtp. */
void snap_gate_listeners(const struct cf_config *c, struct conf_gate *g);
void snap_lmtp_listeners(const struct cf_config *c, struct conf_lmtp *l);

#endif /* CONFIG_SNAP_PRIVATE_H */
