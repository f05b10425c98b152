/*
 * job.h - one login; included by core/auth only.
 *
 * A login is a struct job from AUTH_BEGIN to its answer.  Its states:
 *
 *	LOOSE	in no list: for as long as somebody works on it
 *	SASL	waits for the client's next response (coord.sasl)
 *	HELD	waits for its slot (coord.held, in the order of arrival)
 *	QUEUED	waits for a pool process (coord.active, and its section's queue)
 *	RUNNING	a pool process works on it, or on the same question of
 *		another login, its leader (coord.active)
 *
 * A cancelled login that is RUNNING stays without a gate until the pool
 * answers, so that a guess counts whether or not anybody waits for it.
 */
#ifndef AUTH_JOB_H
#define AUTH_JOB_H

#include <sys/queue.h>

#include <culver/abi.h>

#include "core/auth/throttle.h"
#include "core/auth/user.h"
#include "core/ipc/ipc.h"
#include "core/sasl/sasl.h"

struct coord;
struct gate;

#define JOB_TIME (30 * NS_PER_S)	/* for the answers of all sections */
#define SASL_TIME (300 * NS_PER_S)	/* for the client's next response: its
					 * gate gives up earlier, but a word of
					 * that may be lost */

/* What a login asks for. */
enum job_kind {
	KIND_LOGIN,		/* AUTH_BEGIN: to be let in */
	KIND_LOOKUP,		/* AUTH_USER of lmtp: who a user is, without
				 * password or throttle; AUTH_FOUND answers */
	KIND_DELIVERY		/* the same, with a grant */
};
enum job_state { J_LOOSE, J_SASL, J_HELD, J_QUEUED, J_RUNNING };
enum job_phase {
	PHASE_VERIFY,		/* a pool is asked about the password */
	PHASE_CREDS,		/* or for what the user has */
	PHASE_TARGET,		/* or whether the user is a master */
	PHASE_VERDICT,		/* waits for the slot of what is known here */
	PHASE_USER		/* a pool is asked about the user */
};

/* How far the throttle knows of a login. */
enum job_guess {
	GUESS_NONE,		/* it has no key: whose failure would it be? */
	GUESS_NAMED,		/* it has one, and nothing was verified */
	GUESS_BEGUN,		/* it waits for the outcome */
	GUESS_JUDGED		/* it knows; a no waits for not_before only */
};

/* A password, in memory of its own that is locked if the limits allow. */
struct secret {
	struct secret *next_free;
	size_t n;
	uint8_t *token;			/* longer ones, on the heap; or NULL */
	uint8_t password[SASL_MAX_PASSWORD];
};

struct job {
	LIST_ENTRY(job) by_serial;
	TAILQ_ENTRY(job) list;		/* sasl, held, or active */
	TAILQ_ENTRY(job) queue;		/* of its section, or its leader */
	/* RUNNING: who want to know the same */
	TAILQ_HEAD(job_followers, job) followers;
	struct job *leader;		/* RUNNING: whom it follows */
	uint64_t flushes;		/* of the coordinator, when it was asked
					 * for */
	struct coord *coord;
	struct gate *gate;		/* NULL: nobody waits any more */
	uint64_t serial, id;
	enum job_kind kind;
	enum job_state state;
	enum job_phase phase;
	enum job_guess guess;
	uint32_t flags;			/* IPC_TLS ... */
	unsigned section;		/* that is asked, or asked next */
	unsigned asked;			/* PHASE_USER: a bit a section */
	uint64_t start_at;		/* HELD: its slot, as known last */
	uint64_t queued_at, deadline;
	uint64_t not_before;
	_Bool first;			/* QUEUED: in a queue of known pairs */
	_Bool slow;			/* a process said that it takes long */
	uint64_t cap;			/* CULVER_AU_*: of whom to ask */
	_Bool wrong;			/* a section that was passed over found
					 * the credentials wrong */
	_Bool unsure;			/* one could not tell */
	_Bool masked;			/* one may have found them wrong: the
					 * time must not tell whether it did */
	const char *fake;		/* PHASE_CREDS found nothing: why */
	struct throttle_key key;
	struct throttle_slot slot;
	enum throttle_lane lane;
	struct secret *secret;
	uint32_t expire_days;
	uint64_t login_delay;
	struct sasl sasl;
	char service[16], remote[64], local[64];
	char user[USER_MAX + 1];	/* checked, as the next two */
	char target[USER_MAX + 1];	/* whom USER, a master, wants to be, if
					 * not "" */
	char master[USER_MAX + 1];	/* who is USER now, if not "" */
	_Bool renamed;			/* USER, whom a master wants, by a
					 * section that asked it so */
};

/* --- job.c: its lists, and what its gate says ----------------------------- */

/* Handle a gate's message.  False: it broke a rule. */
_Bool job_begin(struct gate *g, const struct ipc_auth_begin *m);
_Bool job_continue(struct gate *g, const struct ipc_auth_cont *m);
_Bool job_cancel(struct gate *g, const struct ipc_auth_cancel *m);
_Bool job_lookup(struct gate *g, const struct ipc_auth_user *m);

/* Work on J, whose slot has come and which is in no list. */
void job_go(struct job *j, uint64_t now);

/* Let J, which is in no list, go on if its slot has come; else hold it. */
void job_ask(struct job *j, uint64_t now);

/* Put J, which is active, into the queue of its section; false: it is full,
 * and J is gone. */
_Bool job_enqueue(struct job *j, uint64_t now);

/* No process, queue or leader has J, which is active, any more. */
void job_detach(struct job *j);

/* Take J out of the lists of its state. */
void job_unlink(struct job *j);

/* The gate of J is gone or gave up. */
void job_orphan(struct job *j);

/* End J with STATUS, which the gate answers at NOT_BEFORE (0: now). */
void job_no(struct job *j, culver_status status, uint64_t not_before);

/* End J without an answer. */
void job_free(struct job *j);

/* --- ending.c: how it fails ------------------------------------------------ */

/* One line about J: its client, and KEY=VALUE. */
void job_log(const struct job *j, int level, const char *event,
    const char *key, const char *value);

/* Log that J's section could not tell; is that for an administrator? */
_Bool job_complain(const struct job *j, culver_status status,
    const char *why);

/* J's credentials are about to be verified: take its slot. */
void guess_begin(struct job *j, uint64_t now);

/* They were not: give it back. */
void guess_void(struct job *j);

/* The chain is over and let J in nowhere: when may its client hear so? */
uint64_t job_count(struct job *j, uint64_t now);

/* J ends, and nobody has told the throttle: a password that was wrong
 * somewhere is a failure, whatever became of the other sections.  Sets
 * j->not_before. */
void job_settle(struct job *j, uint64_t now);

/* Slow down the address of J, of which nothing was verified, by one slot at
 * most; when the client may hear of it. */
uint64_t job_slow(struct job *j, uint64_t now);

/* The client of J goes away without an answer. */
void job_abandoned(struct job *j, uint64_t now);

/* End J: its client gave wrong credentials; REASON is for the log. */
void job_failed(struct job *j, const char *reason);

/* End J, whose credentials were right, as one whose were wrong. */
void job_closed(struct job *j, const char *reason);

/* End J with a system failure, at j->not_before; WHY is for the log. */
void job_broken(struct job *j, culver_status status, const char *why);

/* End J: too much waits already, and nothing was verified. */
void job_refuse(struct job *j, const char *why);

/* --- ticks.c ------------------------------------------------------------- */

/* Let held logins go whose slot has come, and end those that are overdue. */
void jobs_tick(struct coord *c, uint64_t now);

/* When jobs_tick() has something to do; UINT64_MAX: nothing waits. */
uint64_t jobs_next(const struct coord *c);

/* --- exchange.c: what a login says, step by step -------------------------- */

/* Begin J's mechanism, of which M brought the facts; false: no memory. */
_Bool exchange_start(struct job *j, enum sasl_id id,
    const struct ipc_auth_begin *m);

/* A response of N octets; NULL: the client waits for us. */
void exchange_step(struct job *j, const uint8_t *in, size_t n);

/* A pool's answer for J in PHASE_CREDS; J's slot in PHASE_VERDICT. */
void exchange_creds(struct job *j, const struct ipc_pool_creds *m);
void exchange_verdict(struct job *j, uint64_t now);

/* A section said no to J's password or token; REASON is for the log. */
void exchange_denied(struct job *j, const char *reason);

#endif /* AUTH_JOB_H */
