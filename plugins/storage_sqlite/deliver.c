/*
 * deliver.c - add a message: collect it in wire form, then store it in one
 * transaction.
 *
 * Runs in a worker as the mailbox's owner.  The text comes from the network.
 * What does not fit into one chunk waits in a file without a name beside the
 * database, so that no lock is held while a message arrives and memory does
 * not grow with it.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <culver/util.h>

struct culver_delivery {
	struct culver_store *store;
	culver_status failed;
	int fd;			/* of the spill file, or -1 */
	uint64_t octets, spilled;
	int64_t received;
	char uid[PLUG_UID_MAX + 1];	/* kept from another mailbox, or "" */
	unsigned char last;	/* octet; LF before the first one */
	bool bare_cr, dot;	/* seen */
	size_t n, cap;
	unsigned char *buf;
};

static void
free_delivery(struct culver_delivery *d)
{
	if (d->fd >= 0)
		close(d->fd);
	free(d->buf);
	free(d);
}

culver_status
sq_deliver_begin(struct culver_store *store, const struct culver_envelope *env,
    struct culver_delivery **out, struct culver_call *call)
{
	culver_status status = sq_db_open(store, call);
	struct culver_delivery *d;

	if (status != CULVER_OK)
		return status;
	d = calloc(1, sizeof(*d));
	if (d == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	d->store = store;
	d->fd = -1;
	d->last = '\n';
	if (CULVER_HAS(struct culver_envelope, env, received)) {
		d->received = env->received;
		if (env->uid != NULL && !plug_uid_legal(env->uid,
		    strnlen(env->uid, PLUG_UID_MAX + 1))) {
			free(d);
			return plug_fail_as(call, CULVER_E_PERM,
			    "%s: the message brings an illegal UIDL",
			    store->path);
		}
		if (env->uid != NULL)
			snprintf(d->uid, sizeof(d->uid), "%s", env->uid);
	}
	*out = d;
	return CULVER_OK;
}

/* A file that is gone when it is closed. */
static int
open_spill(const struct culver_store *store)
{
	char path[PATH_MAX];
	uint32_t bits;
	int fd;

	fd = open(store->dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	store->host->random(store->host, &bits, sizeof(bits));
	snprintf(path, sizeof(path), "%s.in%08" PRIx32, store->path, bits);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (fd >= 0)
		unlink(path);
	return fd;
}

/* Move the buffer to the spill file. */
static void
spill(struct culver_delivery *d, struct culver_call *call)
{
	if (d->fd < 0 && (d->fd = open_spill(d->store)) < 0) {
		d->failed = plug_fail(call, errno,
		    "cannot make a file in %s", d->store->dir);
		return;
	}
	if (!plug_write_all(d->fd, d->buf, d->n)) {
		d->failed = plug_fail(call, errno,
		    "cannot write a file in %s", d->store->dir);
		return;
	}
	d->spilled += d->n;
	d->n = 0;
}

static bool
grow(struct culver_delivery *d, struct culver_call *call)
{
	size_t cap = d->cap == 0 ? 8192 : d->cap * 2;
	unsigned char *buf = realloc(d->buf, cap);

	if (buf == NULL) {
		d->failed = plug_fail(call, ENOMEM, "%s", d->store->path);
		return false;
	}
	d->buf = buf;
	d->cap = cap;
	return true;
}

static void
put(struct culver_delivery *d, const void *buf, size_t n,
    struct culver_call *call)
{
	const unsigned char *p = buf;
	size_t part;

	for (; n > 0 && d->failed == CULVER_OK; p += part, n -= part) {
		part = 0;
		if (d->n == SQ_CHUNK)
			spill(d, call);
		else if (d->n == d->cap)
			grow(d, call);
		else {
			part = n < d->cap - d->n ? n : d->cap - d->n;
			memcpy(d->buf + d->n, p, part);
			d->n += part;
			d->octets += part;
			d->last = p[part - 1];
		}
	}
}

/* Octets of one line, without an LF. */
static void
put_run(struct culver_delivery *d, const unsigned char *p, size_t n,
    struct culver_call *call)
{
	d->dot |= d->last == '\n' && p[0] == '.';
	d->bare_cr |= d->last == '\r' ||
	    (n > 1 && memchr(p, '\r', n - 1) != NULL);
	put(d, p, n, call);
}

culver_status
sq_deliver_write(struct culver_delivery *d, const void *buf, size_t n,
    struct culver_call *call)
{
	const unsigned char *p = buf, *end = p + n, *lf;
	size_t run;

	while (p < end && d->failed == CULVER_OK) {
		lf = memchr(p, '\n', (size_t)(end - p));
		run = (size_t)((lf != NULL ? lf : end) - p);
		if (run > 0)
			put_run(d, p, run, call);
		p += run;
		if (lf == NULL)
			continue;
		if (d->last == '\r')
			put(d, "\n", 1, call);
		else
			put(d, "\r\n", 2, call);
		p++;
	}
	return d->failed != CULVER_OK ? d->failed :
	    plug_in_time(d->store->host, d->store->path, call);
}

/* Add the buffer as a chunk; *id is its number. */
static culver_status
add_chunk(struct culver_delivery *d, int64_t *id, struct culver_call *call)
{
	struct sq_db *db = &d->store->db;
	sqlite3_stmt *st = sq_stmt(db, SQ_ADD_CHUNK);
	int rc;

	if (st == NULL)
		return sq_fail(d->store, call,
		    sqlite3_extended_errcode(db->db), "cannot add a message");
	sqlite3_bind_blob64(st, 1, d->n > 0 ? (const void *)d->buf : "", d->n,
	    SQLITE_STATIC);
	rc = sq_run(db, SQ_ADD_CHUNK);
	if (rc != SQLITE_OK)
		return sq_fail(d->store, call, rc, "cannot add a message");
	*id = sqlite3_last_insert_rowid(db->db);
	return plug_in_time(d->store->host, d->store->path, call);
}

/* The next part of the spill file to the buffer. */
static culver_status
load_chunk(struct culver_delivery *d, uint64_t at, struct culver_call *call)
{
	uint64_t left = d->spilled - at;
	size_t want = left < SQ_CHUNK ? (size_t)left : SQ_CHUNK;
	ssize_t got;

	for (d->n = 0; d->n < want; d->n += (size_t)got) {
		do {
			got = pread(d->fd, d->buf + d->n, want - d->n,
			    (off_t)(at + d->n));
		} while (got < 0 && errno == EINTR);
		if (got <= 0)
			return plug_fail(call, got < 0 ? errno : EIO,
			    "cannot read a file in %s", d->store->dir);
	}
	return CULVER_OK;
}

/* All chunks; *first is the number of the first one, which is the id. */
static culver_status
add_chunks(struct culver_delivery *d, int64_t *first, int64_t *chunks,
    struct culver_call *call)
{
	culver_status status = CULVER_OK;
	uint64_t at = 0;
	int64_t id = 0;

	*chunks = 0;
	do {
		if (d->spilled > 0)
			status = load_chunk(d, at, call);
		at += d->n;
		if (status == CULVER_OK)
			status = add_chunk(d, &id, call);
		if (status == CULVER_OK && *chunks == 0)
			*first = id;
		if (status == CULVER_OK && id != *first + *chunks)
			status = plug_fail_as(call, CULVER_E_CORRUPT,
			    "%s: chunks are not numbered one by one",
			    d->store->path);
		(*chunks)++;
	} while (status == CULVER_OK && at < d->octets);
	return status;
}

static culver_status
add_message(struct culver_delivery *d, int64_t id, int64_t chunks,
    const char *uid, struct culver_call *call)
{
	struct sq_db *db = &d->store->db;
	sqlite3_stmt *st = sq_stmt(db, SQ_ADD_MESSAGE);
	int rc;

	if (st == NULL)
		return sq_fail(d->store, call,
		    sqlite3_extended_errcode(db->db), "cannot add a message");
	sqlite3_bind_int64(st, 1, id);
	sqlite3_bind_text(st, 2, uid, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, (int64_t)d->octets);
	sqlite3_bind_int64(st, 4, d->received != 0 ? d->received :
	    (int64_t)time(NULL));
	sqlite3_bind_int64(st, 5, chunks);
	sqlite3_bind_int64(st, 6, (d->bare_cr ? 0 : SQ_CRLF) |
	    (d->dot ? 0 : SQ_NO_DOT));
	rc = sq_run(db, SQ_ADD_MESSAGE);
	if (rc == SQLITE_CONSTRAINT_UNIQUE)
		return plug_fail_as(call, CULVER_E_PERM,
		    "%s: another message has the UIDL %s", d->store->path,
		    uid);
	return rc == SQLITE_OK ? CULVER_OK :
	    sq_fail(d->store, call, rc, "cannot add a message");
}

static culver_status
check_quota(struct culver_delivery *d, struct culver_call *call)
{
	uint64_t messages = 0, octets = 0;
	struct culver_store *store = d->store;
	culver_status status;

	if (store->quota_octets == 0 && store->quota_messages == 0)
		return CULVER_OK;
	status = sq_total(store, &messages, &octets, call);
	if (status != CULVER_OK || culver_quota_fits(store->quota_octets,
	    store->quota_messages, octets, messages, d->octets))
		return status;
	return plug_fail_as(call, CULVER_E_QUOTA, "%s: over quota with %llu "
	    "messages, %llu octets", store->path,
	    (unsigned long long)messages, (unsigned long long)octets);
}

static culver_status
store_message(struct culver_delivery *d, const char *uid,
    struct culver_call *call)
{
	int64_t first = 0, chunks = 0;
	culver_status status;

	status = sq_write_begin(d->store, call);
	if (status != CULVER_OK)
		return status;
	status = check_quota(d, call);
	if (status == CULVER_OK)
		status = add_chunks(d, &first, &chunks, call);
	if (status == CULVER_OK)
		status = add_message(d, first, chunks, uid, call);
	return sq_write_end(d->store, status, call);
}

culver_status
sq_deliver_commit(struct culver_delivery *d, struct culver_str *uid,
    struct culver_call *call)
{
	const struct culver_host *host = d->store->host;
	char *name = culver_alloc(host, call, PLUG_UID_MAX + 1);
	culver_status status;

	if (name == NULL)
		d->failed = plug_fail(call, ENOMEM, "%s", d->store->path);
	else if (d->uid[0] != '\0')
		memcpy(name, d->uid, sizeof(d->uid));
	else
		plug_uid_random(host, name);
	d->bare_cr |= d->last == '\r';
	if (d->last != '\n')
		put(d, "\r\n", 2, call);
	if (d->failed == CULVER_OK && d->spilled > 0)
		spill(d, call);
	if (d->failed == CULVER_OK)
		d->failed = store_message(d, name, call);
	status = d->failed;
	if (status == CULVER_OK)
		*uid = (struct culver_str){ .p = name, .n = strlen(name) };
	free_delivery(d);
	return status;
}

void
sq_deliver_abort(struct culver_delivery *d)
{
	free_delivery(d);
}
