/*
 * remember.c - logins that need no question of their own: what was answered
 * before, and what is being asked already.
 *
 * Runs in the auth coordinator.  Of credentials only passwords that a section
 * has verified are remembered: a token ends when its issuer says so, a
 * certificate is not ours to judge, and keys of SCRAM would be as good as
 * passwords.  A section that says CULVER_AU_NO_CACHE is asked every time.
 */
#include "config.h"

#include <string.h>

#include <culver/auth.h>

#include "core/auth/cache.h"
#include "core/auth/coord-private.h"
#include "core/base/log.h"
#include "core/base/stats.h"
#include "core/sasl/crypto.h"

#define IMPORTANT (IPC_TLS | IPC_LOOPBACK)	/* what a plugin is told */

void
remember_new(struct coord *c)
{
	const struct conf_auth *conf = c->conf;

	if (conf->cache_time == 0 && conf->cache_negative_time == 0 &&
	    conf->cache_away_time == 0)
		return;
	c->cache = cache_new(conf->cache_size);
	if (c->cache == NULL)
		log_warn("auth_cache: nothing is remembered: not even %d KiB "
		    "of memory can be locked (RLIMIT_MEMLOCK)",
		    CACHE_MIN / 1024);
	else if (cache_size(c->cache) < conf->cache_size)
		log_warnx("auth_cache: only %zu KiB of memory can be locked "
		    "(RLIMIT_MEMLOCK): less than its size is remembered",
		    cache_size(c->cache) / 1024);
}

void
remember_flush(struct coord *c, const char *user)
{
	c->flushes++;		/* answers that are on their way are old */
	if (c->cache != NULL)
		cache_flush(c->cache, user);
}

/* May J's question be answered by what somebody else was told? */
static _Bool
is_common(const struct job *j)
{
	uint64_t caps = j->coord->conf->section[j->section].caps;

	return (caps & CULVER_AU_NO_CACHE) == 0 && (j->phase == PHASE_USER ||
	    (j->phase == PHASE_VERIFY && j->cap == CULVER_AU_VERIFY &&
	    j->secret->token == NULL));
}

static _Bool
key_of(const struct job *j, struct cache_key *key)
{
	const struct cache_ask ask = {.section = j->section,
	    .flags = j->flags & IMPORTANT, .user = j->user,
	    .service = j->service, .remote = j->remote, .local = j->local,
	    .password = j->phase == PHASE_VERIFY ? j->secret->password : NULL,
	    .n = j->phase == PHASE_VERIFY ? j->secret->n : 0};

	return j->coord->cache != NULL && is_common(j) &&
	    cache_key(j->coord->cache, &ask, key);
}

/* --- what was answered before --------------------------------------------- */

/* Go on with J as if its section had just said what F has. */
static void
answer_kept(struct job *j, const struct cache_found *f, uint64_t now)
{
	enum ipc_type type;
	union ipc_any m;
	unsigned nfds;

	job_detach(j);
	if (j->guess != GUESS_BEGUN && j->phase == PHASE_VERIFY)
		guess_begin(j, now);
	if (ipc_decode(f->p, f->n, &type, &nfds, &m) &&
	    type == IPC_POOL_ANSWER)
		job_answer(j, &m.pool_answer);
	else
		job_broken(j, CULVER_E_TEMP, "what was kept is damaged");
}

_Bool
remember_answer(struct job *j, uint64_t now)
{
	const struct conf_auth *conf = j->coord->conf;
	struct cache_found f;
	struct cache_key key;
	_Bool known;

	if (!key_of(j, &key))
		return 0;
	known = cache_find(j->coord->cache, &key, &f) &&
	    now - f.at < (f.status == CULVER_OK ? conf->cache_time :
	    conf->cache_negative_time);
	stats_label(j->coord->setup.stats, STATS_CACHE, known ? "hit" : "miss",
	    1);
	if (!known)
		return 0;
	answer_kept(j, &f, now);
	return 1;
}

_Bool
remember_away(struct job *j, culver_status st, const char *why)
{
	struct coord *c = j->coord;
	uint64_t now = c->setup.now();
	struct cache_found f;
	struct cache_key key;

	if (!key_of(j, &key) || !cache_find(c->cache, &key, &f) ||
	    f.status != CULVER_OK || now - f.at >= c->conf->cache_away_time)
		return 0;
	job_complain(j, st, why);
	answer_kept(j, &f, now);
	return 1;
}

/* --- what is being asked already ------------------------------------------ */

static _Bool
is_twin(const struct job *a, const struct job *b)
{
	return a->phase == b->phase && is_common(a) && a->gate != NULL &&
	    a->flushes == b->coord->flushes &&
	    (a->flags & IMPORTANT) == (b->flags & IMPORTANT) &&
	    strcmp(a->user, b->user) == 0 &&
	    strcmp(a->service, b->service) == 0 &&
	    strcmp(a->remote, b->remote) == 0 &&
	    strcmp(a->local, b->local) == 0 && (a->phase == PHASE_USER ||
	    (a->secret->n == b->secret->n && crypto_equal(a->secret->password,
	    b->secret->password, a->secret->n)));
}

_Bool
remember_follow(struct job *j, uint64_t now)
{
	struct pool *p;

	if (!is_common(j))
		return 0;
	LIST_FOREACH(p, &j->coord->section[j->section].pools, link)
		if (p->job != NULL && p->job->gate != NULL &&
		    is_twin(p->job, j)) {
			job_detach(j);
			j->leader = p->job;
			j->slot.start = now;
			TAILQ_INSERT_TAIL(&p->job->followers, j, queue);
			return 1;
		}
	return 0;
}

/* Does what was said to its leader hold for a login that follows?  A wrong
 * password is not verified again but in its own slot; and where the chain ends
 * with a no, each login is one failure, in turn. */
static _Bool
is_shared(const struct job *leader, const struct ipc_pool_answer *m)
{
	const struct conf_auth_part *part =
	    &leader->coord->conf->section[leader->section];
	culver_status st = (culver_status)m->verify;

	return leader->phase == PHASE_USER || st == CULVER_OK ||
	    chain_is_failure(st) ||
	    (chain_then(part, st) == CONF_THEN_NEXT &&
	    section_with(leader->coord, leader->section + 1, leader->cap,
	    job_is_master(leader)) >= 0);
}

static void
keep(struct job *j, const struct cache_key *key, culver_status st,
    const struct ipc_pool_answer *m)
{
	static uint8_t buf[16384];
	struct coord *c = j->coord;
	size_t n = ipc_encode(IPC_POOL_ANSWER, m, 0, buf, sizeof(buf));

	if (n > 0)
		cache_put(c->cache, key, st, m->user[0] != 0 ? m->user :
		    j->user, buf, n, c->setup.now());
}

/* Remember what M says to J, and forget what it contradicts. */
static void
learn(struct job *j, const struct ipc_pool_answer *m)
{
	const struct conf_auth *conf = j->coord->conf;
	_Bool verified = j->phase == PHASE_VERIFY;
	culver_status st = (culver_status)(verified ? m->verify : m->lookup);
	struct cache_key key;

	if (j->flushes != j->coord->flushes || !key_of(j, &key))
		return;
	if (verified && (st == CULVER_E_NOUSER || st == CULVER_E_DISABLED ||
	    st == CULVER_E_EXPIRED))
		cache_forget(j->coord->cache, &key, 1, 1);
	else if (verified && (st == CULVER_OK || st == CULVER_E_AUTH))
		cache_forget(j->coord->cache, &key, st == CULVER_E_AUTH,
		    st == CULVER_OK);
	if (st == CULVER_OK && (!verified || !lookup_at_once(j) ||
	    !chain_is_failure((culver_status)m->lookup)) &&
	    (conf->cache_time > 0 || conf->cache_away_time > 0))
		keep(j, &key, st, m);
	else if ((st == CULVER_E_NOUSER || (!verified &&
	    st == CULVER_E_DECLINE)) && j->kind == KIND_LOGIN &&
	    conf->cache_negative_time > 0)
		keep(j, &key, st, m);
}

void
remember_said(struct job *j, const struct ipc_pool_answer *m)
{
	struct coord *c = j->coord;
	struct job_list followers = TAILQ_HEAD_INITIALIZER(followers);
	_Bool shared = is_shared(j, m);
	struct job *f;

	learn(j, m);
	TAILQ_CONCAT(&followers, &j->followers, queue);
	job_answer(j, m);
	while ((f = TAILQ_FIRST(&followers)) != NULL) {
		TAILQ_REMOVE(&followers, f, queue);
		f->leader = NULL;
		if (shared) {
			job_answer(f, m);
		} else if (f->gate == NULL) {
			job_free(f);
		} else {
			job_unlink(f);
			job_ask(f, c->setup.now());
		}
	}
}

void
remember_failed(struct job *j, const char *why)
{
	struct job *f;

	while ((f = TAILQ_FIRST(&j->followers)) != NULL) {
		TAILQ_REMOVE(&j->followers, f, queue);
		f->leader = NULL;
		if (!remember_away(f, CULVER_E_TEMP, why))
			job_broken(f, CULVER_E_TEMP, why);
	}
	if (!remember_away(j, CULVER_E_TEMP, why))
		job_broken(j, CULVER_E_TEMP, why);
}
