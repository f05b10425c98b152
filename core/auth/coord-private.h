/*
 * coord-private.h - the coordinator's state; included by core/auth only.
 * One login is a struct job, of job.h.
 */
#ifndef AUTH_COORD_PRIVATE_H
#define AUTH_COORD_PRIVATE_H

#include <sys/queue.h>

#include <culver/abi.h>

#include "core/auth/authlog.h"
#include "core/auth/coord.h"
#include "core/auth/job.h"
#include "core/auth/then.h"
#include "core/auth/throttle.h"
#include "core/auth/user.h"
#include "core/base/clock.h"
#include "core/ipc/ipc.h"

enum {
	MAX_GATES = 1024,
	MAX_GATE_JOBS = 32768,		/* logins begun and not answered */
	MAX_HELD = 2048,		/* that wait for a slot */
	MAX_HELD_ADDR = 64,		/* of one address */
	MAX_HELD_USER = 16,		/* of one user from clean addresses */
	MAX_QUEUED = 1024,		/* in one section; twice that with known
					 * pairs */
	MAX_SECRETS = 4096,		/* passwords held at once */
	MAX_TOKENS = 1024,		/* likewise, besides */
	MAX_REPLIES = 65536,		/* to one gate that does not read */
	THROTTLE_ENTRIES = 65536,
	GATE_BUCKETS = 256,
	QUEUES = 4			/* of a section; see there */
};
#define NO_POOL_TIME (5 * NS_PER_S)	/* wait for a section without any */

struct reply {
	STAILQ_ENTRY(reply) link;
	enum ipc_type type;
	uint64_t serial, number;	/* grant, or not_before */
	uint32_t uid;			/* AUTH_FOUND, as the next two */
	char user[USER_MAX + 1];
	culver_status status;
	const char *challenge;		/* of the login; when kept, behind this
					 * struct */
};

struct gate {
	LIST_ENTRY(gate) link;
	struct coord *coord;
	struct loop_io io;
	uint32_t id;
	enum ipc_role role;		/* R_GATE or R_LMTP */
	uint64_t last_serial;
	const char *dead;		/* why it ends at the next tick */
	unsigned n_jobs;
	LIST_HEAD(gate_jobs, job) jobs[GATE_BUCKETS];
	/* what its socket did not take yet */
	STAILQ_HEAD(gate_replies, reply) replies;
	unsigned n_replies;
};

struct pool {
	LIST_ENTRY(pool) link;
	struct coord *coord;
	struct loop_io io;
	unsigned section;
	uint32_t instance;
	_Bool proven;			/* it has answered before */
	_Bool busy;
	_Bool slow;			/* with what may take long */
	_Bool quick;			/* with what it may give back, */
	_Bool began;			/* and that guess was begun for it */
	uint64_t id;			/* of the login it works on */
	enum ipc_type expects;		/* as answer */
	struct job *job;		/* NULL: nobody waits for that */
};

TAILQ_HEAD(job_list, job);

struct section {
	LIST_HEAD(section_pools, pool) pools;
	unsigned n_pools, n_slow;
	/* others; known pairs, who go first; and those of whom a process said
	 * that they take long */
	struct job_list queue[QUEUES];
	unsigned n_queued[2];		/* the last ones apart */
};

struct owners {			/* by uid; zero: empty */
	struct owner *slot;
	size_t n, cap;		/* cap: 0 or a power of two */
};

struct coord {
	struct coord_setup setup;
	const struct conf_auth *conf;
	struct loop_io manager;
	struct loop_timer timer;
	uint64_t grants, jobs;		/* counts: no number is used twice */
	LIST_HEAD(coord_gates, gate) gates;
	unsigned n_gates;
	struct section section[CONF_MAX_AUTH];
	struct job_list sasl, held, active;	/* but held by deadline */
	unsigned n_held;
	uint64_t held_next;		/* no slot comes before that */
	_Bool gates_dead;
	_Bool master_stuck;		/* it had no room for the last grant */
	struct throttle *throttle;
	struct cache *cache;		/* NULL: nothing is remembered */
	uint64_t flushes;
	struct owners owners;
	struct last *logins;		/* of delay.c */
	struct authlog log;
	struct secret *secrets, *free_secret;
	size_t n_secrets;		/* used so far */
	unsigned n_tokens;
	uint8_t salt_secret[THROTTLE_KEY];
};

/* --- coord.c -------------------------------------------------------------- */

/* Make the timer fit what waits. */
void coord_schedule(struct coord *c);

/* Slots were given back: logins that wait for one ask again. */
void slots_freed(struct coord *c);

/* --- gates.c: channels of gates, and of lmtp ------------------------------- */

/* A new one, at the other end of FD, which is ours from now on. */
void gate_add(struct coord *c, uint32_t id, enum ipc_role role, int fd);

/* End the channel and drop its logins. */
void gate_end(struct gate *g, const char *why);

/* Tell a gate; what its socket does not take is kept and sent later.  Ends
 * nothing at once, so that callers can go on. */
void gate_reply(struct gate *g, const struct reply *r);

/* End those whose time has come: they did not take their answers. */
void gates_bury(struct coord *c);

/* --- pools.c: channels of pool processes, and which login each gets -------- */

/* A new one of SECTION, at the other end of FD, which is ours from now on. */
void pool_add(struct coord *c, uint32_t section, uint32_t instance, int fd);

/* End the channel; the login that it worked on is answered with TEMP. */
void pool_end(struct pool *p, const char *why);

/* Give waiting logins to the idle processes of SECTION. */
void section_pump(struct coord *c, unsigned section);

/* --- remember.c: what was answered, and what is asked already -------------- */

/* The cache, if the configuration wants one and there is memory for it; the log
 * says if not. */
void remember_new(struct coord *c);

/* Forget all about USER (a name as it was asked for or answered), or all. */
void remember_flush(struct coord *c, const char *user);

/* Is the answer to J's question known?  Then J goes on with it, or is gone. */
_Bool remember_answer(struct job *j, uint64_t now);

/* J's section could not tell (ST, WHY); is there an older answer?  Likewise. */
_Bool remember_away(struct job *j, culver_status st, const char *why);

/* Is a process being asked J's question?  Then J waits for that answer. */
_Bool remember_follow(struct job *j, uint64_t now);

/* A process answered J, and those who follow it. */
void remember_said(struct job *j, const struct ipc_pool_answer *m);

/* No process will answer J, nor those who follow it. */
void remember_failed(struct job *j, const char *why);

/* --- delay.c: who logged in when ------------------------------------------- */

/* Room for that; NULL: no memory. */
struct last *delay_new(void);

/* Has USER's login delay passed?  Then this is a login. */
_Bool delay_passed(struct job *j, const char *user, uint64_t now);

/* --- owners.c: whose a uid is ---------------------------------------------- */

/* UID is USER's from now on: NULL; or the user whose it is already, "" if
 * there is no memory. */
const char *owners_take(struct owners *o, uint32_t uid, const char *user);
void owners_free(struct owners *o);

/* --- chain.c: the sections ----------------------------------------------- */

/* The first section from FROM on with capability CAP, of those for masters or
 * of the others; -1: there is none. */
int section_with(const struct coord *c, unsigned from, uint64_t cap,
    _Bool masters);

/* A pool's answer for J. */
void job_answer(struct job *j, const struct ipc_pool_answer *m);

/* Ask SECTION next, in the phase that J is in. */
void job_next(struct job *j, unsigned section);

/* J's section passed it over with ST; whom to ask next (-1: nobody). */
int chain_pass(struct job *j, culver_status st, const char *why);

/* J's section said ST and WHY, and nobody else is to be asked. */
void chain_broken(struct job *j, culver_status st, const char *why);

/* Why J was not let in when ST, as a no, was the last word. */
const char *chain_reason(const struct job *j, culver_status st);

/* Why a section said no, for the log. */
const char *failure_text(culver_status st);

/* --- master.c: who logs in as somebody else ------------------------------- */

/* Does J want to be somebody else?  Then set its user and target; NULL, or
 * why it may not. */
const char *master_take(struct job *j);

/* Is J somebody who wants to be, or is now, somebody else? */
_Bool job_is_master(const struct job *j);

/* J's master has shown who it is: go on as the target. */
void master_verified(struct job *j);

/* Ask the sections of masters from FROM on whether J's user, the target, is
 * one, who it must not be; then who that is. */
void master_check(struct job *j, unsigned from);

/* A section of masters says whether it knows the target. */
void master_target(struct job *j, const struct ipc_pool_creds *m);

/* --- lookup.c: who is the user ------------------------------------------- */

/* Ask all sections in order who J's user is, from section FIRST on; or only
 * the one that FIRST names for its users, if it let J in. */
void lookup_begin(struct job *j, unsigned first);

/* Does J's section say at once, with its yes, who the user is? */
_Bool lookup_at_once(const struct job *j);

/* A section's answer to that. */
void lookup_answer(struct job *j, const struct ipc_pool_answer *m);

/* --- grant.c ------------------------------------------------------------- */

/*
 * Send master the grant for J from the pool's answer; its number in *ID_R
 * (NULL: none is wanted, only check the answer).
 * OK, or the status for the client; the cause is in *WHY then.
 */
culver_status grant_send(struct job *j, const struct ipc_pool_answer *m,
    uint64_t *id_r, const char **why);

/* --- secret.c ------------------------------------------------------------ */

/* Room for MAX_SECRETS passwords; false: no memory. */
_Bool secrets_new(struct coord *c);
void secrets_destroy(struct coord *c);

/* Keep N octets (at most SASL_MAX_TOKEN); NULL: no room. */
struct secret *secret_keep(struct coord *c, const uint8_t *p, size_t n);

/* Wipe and give back; sets *S to NULL. */
void secret_drop(struct coord *c, struct secret **s);

#endif /* AUTH_COORD_PRIVATE_H */
