/*
 * file.c - which index of the passwd file answers, and when another is made.
 *
 * Runs in a pool process.  A file that is missing, unreadable, empty or half
 * written makes every lookup fail for now; it never makes a user unknown.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/auth_passwdfile/passwdfile.h"

#define MS UINT64_C(1000000)	/* ns */
#define SETTLE (200 * MS)	/* nobody wrote for so long: it is complete; */
#define SETTLE_SAME (500 * MS)	/* if it is that of before, written to, */
#define SETTLE_SHRUNK (2000 * MS)	/* or was longer then */
#define SETTLE_MAX (5000 * MS)	/* to wait for that */
#define PAUSE (10 * MS)		/* between two looks */
#define WAIT (1000 * MS)	/* logins wait for an index, if another one can
				 * answer; then each of them builds for */
#define SLICE (50 * MS)
#define STALE (30000 * MS)	/* no index of an older file answers */
enum { MAX_TRIES = 4 };		/* of a file that keeps changing */

void
pwfile_unload(struct pwfile *f)
{
	index_free(&f->ix);
	build_free(&f->build);
	f->behind = 0;
}

culver_status
pwfile_fail(const char *path, const char *what, struct culver_call *call)
{
	int err = errno;

	if (err == EACCES || err == EPERM)
		return culver_fail(call, CULVER_E_TEMP, err, "cannot %s %s as "
		    "uid %u, gid %u: let it read the file (chgrp, chmod 640) "
		    "and enter its folders (chmod +x)", what, path,
		    (unsigned)geteuid(), (unsigned)getegid());
	return culver_fail(call, CULVER_E_TEMP, err, "cannot %s %s", what,
	    path);
}

static uint64_t
now_of(const struct pwfile *f)
{
	return f->host->now(f->host);
}

/* --- is the file complete? ------------------------------------------------ */

/* How long nobody must have written to the file ST.  Where something else than
 * writing changed it last (rename, chmod, utimes), whoever wrote it is done. */
static uint64_t
settle_time(const struct pwfile *f, const struct stat *st)
{
	if (st->st_mtim.tv_sec != st->st_ctim.tv_sec ||
	    st->st_mtim.tv_nsec != st->st_ctim.tv_nsec)
		return 0;
	if (f->ix == NULL || f->ix->st.st_dev != st->st_dev ||
	    f->ix->st.st_ino != st->st_ino)
		return SETTLE;
	return st->st_size < f->ix->st.st_size ? SETTLE_SHRUNK : SETTLE_SAME;
}

static uint64_t
age_of(const struct stat *st)
{
	struct timespec now;
	int64_t ns;

	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec - st->st_mtim.tv_sec > 3600)
		return UINT64_MAX;
	ns = (now.tv_sec - st->st_mtim.tv_sec) * 1000000000 +
	    now.tv_nsec - st->st_mtim.tv_nsec;
	return ns > 0 ? (uint64_t)ns : 0;	/* a clock that was set back */
}

/* Wait until nobody writes to the file any more; *ST is it then.  An age that
 * we saw counts as one that the time stamp says. */
static culver_status
settle(struct pwfile *f, struct stat *st, struct culver_call *call)
{
	const struct timespec pause = {.tv_nsec = PAUSE};
	uint64_t seen = 0, behind = now_of(f) - f->behind, waited = 0;
	uint64_t most = behind < SETTLE_MAX - SETTLE ? SETTLE_MAX - behind :
	    SETTLE;
	struct stat before = *st;

	while (seen < settle_time(f, st) && age_of(st) < settle_time(f, st)) {
		if (waited > most || now_of(f) >= call->deadline)
			return culver_fail(call, CULVER_E_TEMP, 0, "%s is "
			    "being written", f->path);
		nanosleep(&pause, NULL);
		waited += PAUSE;
		if (stat(f->path, st) != 0)
			return pwfile_fail(f->path, "stat", call);
		seen = same_file(st, &before) ? seen + PAUSE : 0;
		before = *st;
	}
	return CULVER_OK;
}

/* --- indexes -------------------------------------------------------------- */

static void
adopt(struct pwfile *f)
{
	index_free(&f->ix);
	f->ix = build_take(f->build);
	f->costs = f->ix->costs;
	build_free(&f->build);
}

/* Make a new index of the file that f->ix is of, while that answers: it was
 * made so soon after a change that there may have been another one. */
static void
look_again(struct pwfile *f, struct culver_call *call)
{
	uint64_t now = now_of(f);
	enum built r = BUILD_FAILED;

	if (!f->ix->racy || now - f->ix->made_at < PF_RACY * 1000 * MS)
		return;
	if (f->build == NULL)
		f->build = build_new(f->host, f->path, f->scheme, 1, call);
	if (f->build != NULL)
		r = build_step(f->build, now + SLICE, call);
	if (r == BUILT)
		adopt(f);
	else if (r != BUILD_MORE)
		build_free(&f->build);
}

/* May f->ix answer for a file that it is not of? */
static _Bool
may_answer(const struct pwfile *f, uint64_t now)
{
	return f->ix != NULL && index_is_whole(f->ix) &&
	    (now - f->behind < STALE || now - f->ix->made_at < STALE);
}

/* Go on with the index of the file as it is now, ST.  MORE: f->ix answers. */
static enum built
catch_up(struct pwfile *f, struct stat *st, struct culver_call *call)
{
	uint64_t now, until;
	enum built r;

	if (f->build == NULL && settle(f, st, call) != CULVER_OK)
		return BUILD_FAILED;
	now = now_of(f);
	if (f->build == NULL) {
		f->build = build_new(f->host, f->path, f->scheme, 0, call);
		f->begun = now;
	}
	if (f->build == NULL)
		return BUILD_FAILED;
	until = !may_answer(f, now) ? call->deadline :
	    f->begun + WAIT > now + SLICE ? f->begun + WAIT : now + SLICE;
	r = build_step(f->build, until, call);
	if (r == BUILD_MORE) {
		if (may_answer(f, now_of(f)))
			return r;
		culver_fail(call, CULVER_E_TEMP, 0, "%s is still being read",
		    f->path);
		return BUILD_FAILED;
	}
	if (r == BUILT)
		adopt(f);
	else
		build_free(&f->build);
	return r;
}

culver_status
pwfile_refresh(struct pwfile *f, struct culver_call *call)
{
	struct stat st;
	enum built r = BUILD_CHANGED;

	for (int i = 0; i < MAX_TRIES; i++) {
		if (stat(f->path, &st) != 0)
			return pwfile_fail(f->path, "stat", call);
		if (f->ix != NULL && same_file(&st, &f->ix->st)) {
			if (f->behind != 0)
				build_free(&f->build);
			f->behind = 0;
			look_again(f, call);
			return CULVER_OK;
		}
		if (f->behind == 0) {
			build_free(&f->build);
			f->behind = now_of(f);
		}
		r = catch_up(f, &st, call);
		if (r == BUILD_MORE)
			return CULVER_OK;
		if (r == BUILD_FAILED)
			return CULVER_E_TEMP;
	}
	/* it is another one each time, but each was complete */
	if (r == BUILT)
		return CULVER_OK;
	return culver_fail(call, CULVER_E_TEMP, 0, "%s keeps changing",
	    f->path);
}

culver_status
pwfile_find(struct pwfile *f, const char *user, struct pwline *out,
    struct culver_call *call)
{
	culver_status st;

	for (int i = 0; i < MAX_TRIES; i++) {
		st = pwfile_refresh(f, call);
		if (st != CULVER_OK)
			return st;
		switch (index_find(f->ix, user, strlen(user), out)) {
		case PW_FOUND:
			return CULVER_OK;
		case PW_NONE:
			return CULVER_E_NOUSER;
		case PW_CHANGED:
			break;
		}
	}
	return culver_fail(call, CULVER_E_TEMP, 0, "%s is not what it was "
	    "when it was read", f->path);
}
