/*
 * coord.h - the auth coordinator: logins of all gates, over the pools.
 *
 * Runs as the auth user without files, network or plugins.  It trusts master;
 * gates and pools are hostile until checked, and one that breaks a rule loses
 * its channel, which ends its own logins and nobody else's.
 */
#ifndef AUTH_COORD_H
#define AUTH_COORD_H

#include <stdint.h>

#include "core/base/loop.h"
#include "core/config/conf.h"

struct coord;
struct stats;

struct coord_setup {
	struct loop *loop;
	int manager;			/* who brings gates and pools */
	int master;			/* who takes grants */
	int memory;			/* for throttle_new() */
	struct stats *stats;		/* NULL: nothing is counted */
	uint32_t generation;		/* 24 bits, given by master */
	const struct conf_auth *conf;	/* must outlive the coordinator */
	_Bool one_user;			/* a uid: nothing keeps two apart */
	uint64_t (*now)(void);		/* clock_now(), or a test's clock */
	void (*gone)(void *ctx);	/* manager closed its channel */
	void *ctx;
};

/* NULL with errno: no memory, or the loop failed.  Takes over no descriptor
 * but those that messages carry. */
struct coord *coord_new(const struct coord_setup *setup);

/* Drop all logins, close all gates and pools. */
void coord_destroy(struct coord **c);

/* Serve what is due now; the loop's timer calls it. */
void coord_tick(struct coord *c);

#endif /* AUTH_COORD_H */
