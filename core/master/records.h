/*
 * records.h - what master answers to `culverctl who` and `culverctl status`:
 * a memfd with one rec_head and behind it COUNT records of one kind.
 *
 * Fixed little structs, so that master formats no text as root.  The reader
 * checks magic and record size: master may be of another version than
 * culverctl while a host is being upgraded.  Zeroed before use; texts end
 * with NUL.
 */
#ifndef MASTER_RECORDS_H
#define MASTER_RECORDS_H

#include <stdint.h>

#include "core/base/stats.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"

/* Whoever changes a record gives its magic another number; with rec_head, which
 * stands in front of both kinds, the first two. */
#define REC_MAGIC_WHO 0x34485743u	/* "CWH4" */
#define REC_MAGIC_STATUS 0x34545343u	/* "CST4" */
#define REC_MAGIC_METRICS 0x3254454du	/* "MET2" */

struct rec_head {
	uint32_t magic;		/* REC_MAGIC_* */
	uint32_t size;		/* octets of one record */
	uint32_t count;		/* records that follow */
	uint32_t pid;		/* master's */
	uint32_t generation;	/* of gates and auth; 1 after the start */
	uint32_t sessions;	/* workers now */
	uint32_t sessions_max;
	uint32_t connections_max;	/* of all gates */
	uint32_t missing;	/* set of enum sandbox_part, since the start */
	uint32_t landlock;	/* ABI; 0: none */
	uint64_t uptime_ns;
	uint64_t logins;	/* sessions started since the start */
	uint64_t refused;	/* hand-overs that became no session */
	uint64_t breaches;	/* peers ended because they broke the rules */
	uint64_t grants;	/* logins that were allowed and wait for the
				 * gate to bring the client */
	char version[32];
};

/* One session. */
struct rec_who {
	uint64_t session;
	uint64_t age_ns;	/* since the worker was forked */
	uint32_t pid, uid;
	uint32_t flags;		/* IPC_TLS */
	uint32_t section;	/* storage section */
	char user[256], remote[64], mech[32];
	char master[256];	/* who logged in as USER, or "" */
};

enum rec_phase { REC_STARTING, REC_RUNNING, REC_DRAINING, REC_WAITING };

/* One role process, or one that waits to be started again. */
struct rec_status {
	uint32_t role;		/* enum ipc_role */
	uint32_t instance;	/* never given twice; the gate's id */
	uint32_t section;	/* auth section of a pool */
	uint32_t generation;
	uint32_t pid;		/* 0: REC_WAITING */
	uint32_t phase;		/* enum rec_phase */
	uint32_t restarts;	/* of this place since the start */
	uint32_t missing;	/* what READY said */
	uint64_t age_ns;	/* since it was started */
	uint64_t number[PONG_NUMBERS];	/* of the last PONG */
};

/* Behind the last rec_status: what manager knows besides. */
struct rec_metrics {
	uint32_t magic, size;
	uint32_t n_stats;	/* STATS_N */
	uint32_t n_section;	/* of auth, now */
	uint64_t start;		/* of counting, seconds since 1970 */
	uint64_t cert_expires;	/* the first one, likewise; 0: none */
	char section[CONF_MAX_AUTH][CONF_NAME];
	uint64_t stats[STATS_N];
};

#endif /* MASTER_RECORDS_H */
