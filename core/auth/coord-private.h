/*
 * coord-private.h - the coordinator's state; included by core/auth only.
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
#ifndef AUTH_COORD_PRIVATE_H
#define AUTH_COORD_PRIVATE_H

#include <sys/queue.h>

#include <culver/abi.h>

#include "core/auth/authlog.h"
#include "core/auth/coord.h"
#include "core/auth/then.h"
#include "core/auth/throttle.h"
#include "core/auth/user.h"
#include "core/base/clock.h"
#include "core/ipc/ipc.h"
#include "core/sasl/sasl.h"

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
	GATE_BUCKETS = 256
};
#define JOB_TIME (30 * NS_PER_S)	/* for the answers of all sections */
#define SASL_TIME (300 * NS_PER_S)	/* for the client's next response: its
					 * gate gives up earlier, but a word of
					 * that may be lost */
#define NO_POOL_TIME (5 * NS_PER_S)	/* wait for a section without any */

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
	_Bool first;			/* QUEUED: in queue[1] */
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
	uint64_t id;			/* of the login it works on */
	enum ipc_type expects;		/* as answer */
	struct job *job;		/* NULL: nobody waits for that */
};

TAILQ_HEAD(job_list, job);

struct section {
	LIST_HEAD(section_pools, pool) pools;
	unsigned n_pools;
	struct job_list queue[2];	/* others; known pairs, who go first */
	unsigned n_queued;
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

/* --- coord.c: channels --------------------------------------------------- */

/* End the channel and all that hangs on it.  gate_end() drops its logins,
 * pool_end() answers the one that it worked on with TEMP. */
void gate_end(struct gate *g, const char *why);
void pool_end(struct pool *p, const char *why);

/* Tell a gate; what its socket does not take is kept and sent later.  Ends
 * nothing at once, so that callers can go on. */
void gate_reply(struct gate *g, const struct reply *r);

/* Make the timer fit what waits. */
void coord_schedule(struct coord *c);

/* --- job.c: one login ---------------------------------------------------- */

/* Handle a gate's message.  False: it broke a rule. */
_Bool job_begin(struct gate *g, const struct ipc_auth_begin *m);
_Bool job_continue(struct gate *g, const struct ipc_auth_cont *m);
_Bool job_cancel(struct gate *g, const struct ipc_auth_cancel *m);
_Bool job_lookup(struct gate *g, const struct ipc_auth_user *m);

/* Work on J, whose slot has come and which is in no list. */
void job_go(struct job *j, uint64_t now);

/* Slots were given back: those that wait ask again. */
void slots_freed(struct coord *c);

/* The gate of J is gone or gave up. */
void job_orphan(struct job *j);

/* Log that J's section could not tell; is that for an administrator? */
_Bool job_complain(const struct job *j, culver_status status,
    const char *why);

/* End J with a system failure, at j->not_before; WHY is for the log. */
void job_broken(struct job *j, culver_status status, const char *why);

/* End J: its client gave wrong credentials; REASON is for the log. */
void job_failed(struct job *j, const char *reason);

/* J's credentials are about to be verified: take its slot. */
void guess_begin(struct job *j, uint64_t now);

/* The chain is over and let J in nowhere: when may its client hear so? */
uint64_t job_count(struct job *j, uint64_t now);

/* J ends, and nobody has told the throttle: a password that was wrong
 * somewhere is a failure, whatever became of the other sections.  Sets
 * j->not_before. */
void job_settle(struct job *j, uint64_t now);

/* End J, whose credentials were right, as one whose were wrong. */
void job_closed(struct job *j, const char *reason);

/* End J: too much waits already, and nothing was verified. */
void job_refuse(struct job *j, const char *why);

/* End J with STATUS, which the gate answers at NOT_BEFORE (0: now). */
void job_no(struct job *j, culver_status status, uint64_t not_before);

/* End J without an answer. */
void job_free(struct job *j);

/* One line about J: its client, and KEY=VALUE. */
void job_log(const struct job *j, int level, const char *event,
    const char *key, const char *value);

/* Let J, which is in no list, go on if its slot has come; else hold it. */
void job_ask(struct job *j, uint64_t now);

/* Put J, which is active, into the queue of its section; false: it is full,
 * and J is gone. */
_Bool job_enqueue(struct job *j, uint64_t now);

/* No process, queue or leader has J, which is active, any more. */
void job_detach(struct job *j);

/* Take J out of the lists of its state. */
void job_unlink(struct job *j);

/* The client of J goes away without an answer. */
void job_abandoned(struct job *j, uint64_t now);

/* --- ticks.c ------------------------------------------------------------- */

/* Let held logins go whose slot has come, and end those that are overdue. */
void jobs_tick(struct coord *c, uint64_t now);

/* When jobs_tick() has something to do; UINT64_MAX: nothing waits. */
uint64_t jobs_next(const struct coord *c);

/* Slow down the address of J, of which nothing was verified, by one slot at
 * most; when the client may hear of it. */
uint64_t job_slow(struct job *j, uint64_t now);

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

/* --- remember.c: what was answered, and what is asked already -------------- */

/* The cache, if the configuration wants one; false: no memory. */
_Bool remember_new(struct coord *c);

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

/* Give waiting logins to the idle processes of SECTION. */
void section_pump(struct coord *c, unsigned section);

/* A pool's answer for J. */
void job_answer(struct job *j, const struct ipc_pool_answer *m);

/* Ask SECTION next, in the phase that J is in. */
void job_next(struct job *j, unsigned section);

/* J's section passed it over with ST; whom to ask next (-1: nobody). */
int chain_pass(struct job *j, culver_status st, const char *why);

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
