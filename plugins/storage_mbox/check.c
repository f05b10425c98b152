/*
 * check.c - look for damage that reading the messages would not show.
 *
 * Runs in the worker as the mailbox's owner, also on an mbox that open()
 * refuses, and changes nothing: is the file an mbox to its end, do headers
 * and cache tell the truth about it, are state, journal and dotlock whole or
 * things that somebody has to look after.
 */
#include "config.h"

#include "plugins/storage_mbox/journal.h"
#include "plugins/storage_mbox/uidl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OLD_LOCK	300	/* seconds: nobody works for so long */

struct check {
	struct plug_findings f;
	struct culver_store *store;
	struct culver_call *call;
	struct plug_index ix;
	struct mb_file file;
	struct mb_state state;
	struct mb_cache cache;
	struct mb_look look;
	struct mb_list list;
};

static int
uid_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Is the state readable, and no UIDL in it twice? */
static culver_status
check_state(struct check *c)
{
	const char **uid;
	culver_status status;
	size_t i;

	status = mb_state_load(c->store, &c->ix, &c->state, c->call);
	if (status != CULVER_OK)
		return plug_judge(&c->f, status);
	uid = calloc(c->state.n + 1, sizeof(*uid));
	if (uid == NULL)
		return plug_fail(c->call, ENOMEM, "%s", c->store->path);
	for (i = 0; i < c->state.n; i++)
		uid[i] = c->state.ent[i].uid;
	qsort(uid, c->state.n, sizeof(*uid), uid_order);
	for (i = 1; i < c->state.n; i++)
		if (strcmp(uid[i], uid[i - 1]) == 0) {
			plug_found(&c->f, "%s/%s has the UIDL %s twice",
			    c->ix.path, MB_UIDL, uid[i]);
			break;
		}
	free(uid);
	return CULVER_OK;
}

/* A change that was begun: can it be finished? */
static culver_status
check_journal(struct check *c)
{
	static const char *const old[] = { MB_JOURNAL ".old",
	    MB_APPEND ".old" };
	culver_status status;
	const char *why;
	struct stat st;
	size_t i;

	status = mb_recover_look(c->store, &c->ix, &c->file, &why, c->call);
	if (status == CULVER_OK && why != NULL)
		plug_found(&c->f, "%s/%s cannot be replayed: %s", c->ix.path,
		    MB_JOURNAL, why);
	for (i = 0; i < 2; i++)
		if (fstatat(c->ix.fd, old[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			plug_found(&c->f, "%s/%s is of a change that could not "
			    "be finished: see the log of that time, then "
			    "remove it", c->ix.path, old[i]);
	return status;
}

static void
check_dotlock(struct check *c)
{
	char name[PATH_MAX + 8];
	struct timespec now;
	struct stat st;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(name, sizeof(name), "%s.lock", c->store->path);
	if (lstat(name, &st) == 0 && st.st_mtim.tv_sec < now.tv_sec - OLD_LOCK)
		plug_found(&c->f, "%s is %lld seconds old: a process left it, "
		    "and programs that use dotlocks wait for it", name,
		    (long long)(now.tv_sec - st.st_mtim.tv_sec));
}

/* Does the file end where a program that writes one ends? */
static culver_status
check_end(struct check *c)
{
	const uint64_t size = (uint64_t)c->file.st.st_size;
	unsigned char end[64];
	size_t n = size < sizeof(end) ? (size_t)size : sizeof(end), zeros = 0;
	culver_status status;

	if (size == 0)
		return CULVER_OK;
	status = mb_pread(c->store, c->file.fd, end, n, size - n, c->call);
	if (status != CULVER_OK)
		return status;
	while (zeros < n && end[n - 1 - zeros] == 0)
		zeros++;
	if (zeros > 0)
		plug_found(&c->f, "%s ends in %s%zu zero bytes: a crash of the "
		    "system may have cut the last message", c->store->path,
		    zeros == n ? "at least " : "", zeros);
	else if (end[n - 1] != '\n')
		plug_found(&c->f, "%s ends in the middle of a line: the last "
		    "message may have been cut", c->store->path);
	return CULVER_OK;
}

/* What the cache says of an unchanged file must be in it. */
static void
check_cache(struct check *c)
{
	const struct mb_list *a = &c->cache.list, *b = &c->list;
	bool same = a->n == b->n;
	size_t i;

	for (i = 0; i < a->n && same; i++)
		same = a->rec[i].start == b->rec[i].start &&
		    a->rec[i].head == b->rec[i].head &&
		    a->rec[i].next == b->rec[i].next &&
		    a->rec[i].octets == b->rec[i].octets &&
		    a->rec[i].id[0] == b->rec[i].id[0] &&
		    a->rec[i].id[1] == b->rec[i].id[1];
	if (!same)
		plug_found(&c->f, "%s/%s does not say what is in %s, whose "
		    "time stamps did not change: remove it", c->ix.path,
		    MB_CACHE, c->store->path);
}

/* The messages, from the first From_ line to the last. */
static culver_status
check_messages(struct check *c)
{
	culver_status status;
	bool holds = false;

	mb_cache_load(c->store, &c->ix, &c->cache, c->call);
	status = mb_cache_holds(c->store, &c->ix, &c->cache, &holds, c->call);
	if (status != CULVER_OK)
		return status;
	mb_look_set(&c->look, holds ? c->cache.snap.style :
	    c->store->style != MB_AUTO ? c->store->style :
	    c->state.style != MB_AUTO ? c->state.style : MB_OWN,
	    c->store->quoting);
	status = mb_scan(c->store, &c->file, &c->look, holds ?
	    c->cache.snap.key : c->state.key, 0, &c->list, c->call);
	if (status != CULVER_OK)
		return plug_judge(&c->f, status);
	if (c->list.odd_lengths > 0)
		plug_found(&c->f, "%s: the Content-Length of %lu messages "
		    "leads nowhere, the first at offset %llu: From_ lines "
		    "count instead", c->store->path,
		    (unsigned long)c->list.odd_lengths,
		    (unsigned long long)c->list.odd_first);
	if (holds)
		check_cache(c);
	return check_end(c);
}

culver_status
mb_check(struct culver_store *store, struct culver_str *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	struct check c = { .store = store, .call = call, .ix = { .fd = -1 },
	    .file = MB_FILE_NONE, .f = { .host = store->host, .call = call,
	    .out = out, .cap = cap } };
	culver_status status;

	status = mb_index_open(store, &c.ix, call);
	if (status == CULVER_OK)
		status = check_state(&c);
	check_dotlock(&c);	/* before ours may be there */
	if (status == CULVER_OK)
		status = mb_file_open(store, &c.file, false, call);
	if (status == CULVER_OK)
		status = check_journal(&c);
	/* until it is replayed the file is not what it will be */
	if (status == CULVER_OK && !mb_recover_needed(&c.ix))
		status = check_messages(&c);
	*n = c.f.n;
	mb_file_close(store, &c.file);
	mb_list_free(&c.list);
	mb_list_free(&c.cache.list);
	mb_state_free(&c.state);
	if (c.ix.fd >= 0)
		close(c.ix.fd);
	return status;
}
