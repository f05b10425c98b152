/*
 * open.c - lock a mailbox, take its snapshot, and give both up again.
 *
 * Runs in the worker as the mailbox's owner, confined.  The snapshot is one
 * pass over the narrow table `message'; messages themselves are not touched.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct growth {
	uint32_t cap;
	size_t uids_cap;
};

static bool
make_room(struct culver_mailbox *mb, struct growth *g)
{
	void *p;

	if (mb->msg == NULL || mb->n == g->cap) {
		g->cap = g->cap == 0 ? 32 : g->cap * 2;
		p = reallocarray(mb->msg, g->cap, sizeof(*mb->msg));
		if (p == NULL)
			return false;
		mb->msg = p;
	}
	if (g->uids_cap - mb->uids_len <= PLUG_UID_MAX) {
		g->uids_cap = g->uids_cap == 0 ? 1024 : g->uids_cap * 2;
		p = realloc(mb->uids, g->uids_cap);
		if (p == NULL)
			return false;
		mb->uids = p;
	}
	return true;
}

/* What the listing is taken with: an aggregate function that is called for each
 * row, which takes half the time of a step() and six column()s. */
struct taking {
	struct culver_mailbox *mb;
	struct growth room;
	culver_status status;
	int64_t wrong;		/* the id of a row that is none */
};

/* Add the row V: id, octets, chunks, flags, uidl and maybe received. */
static bool
add_row(struct culver_mailbox *mb, int n, sqlite3_value **v)
{
	const struct sq_message *last = mb->n > 0 ? &mb->msg[mb->n - 1] : NULL;
	struct sq_message *m = &mb->msg[mb->n];
	int64_t id = sqlite3_value_int64(v[0]);
	int64_t octets = sqlite3_value_int64(v[1]);
	int64_t chunks = sqlite3_value_int64(v[2]);
	/* text() would copy it once more, for a NUL */
	const char *uid = sqlite3_value_blob(v[4]);
	int len = sqlite3_value_bytes(v[4]);

	if (id < 1 || octets < 0 || chunks < 1 || chunks > INT32_MAX ||
	    uid == NULL || len < 1 || len > PLUG_UID_MAX ||
	    (last != NULL && id < last->id + last->chunks))
		return false;
	*m = (struct sq_message){ .id = id, .octets = (uint64_t)octets,
	    .received = n > 5 ? sqlite3_value_int64(v[5]) : 0,
	    .chunks = (uint32_t)chunks, .uid = (uint32_t)mb->uids_len,
	    .flags = (uint32_t)sqlite3_value_int64(v[3]) };
	memcpy(mb->uids + mb->uids_len, uid, (size_t)len);
	mb->uids_len += (size_t)len;
	mb->uids[mb->uids_len++] = '\0';
	mb->n++;
	return true;
}

static void
take_row(sqlite3_context *context, int n, sqlite3_value **v)
{
	struct taking *t = sqlite3_user_data(context);

	if (t->mb->n == SQ_MESSAGES || !make_room(t->mb, &t->room)) {
		t->status = CULVER_E_TEMP;
	} else if (!add_row(t->mb, n, v)) {
		t->status = CULVER_E_CORRUPT;
		t->wrong = sqlite3_value_int64(v[0]);
	}
	if (t->status != CULVER_OK)
		sqlite3_result_error_code(context, SQLITE_ABORT);
}

static void
take_end(sqlite3_context *context)
{
	(void)context;
}

/* SQL has take() see each row, in the order of their ids. */
static int
take_all(struct taking *t, const char *sql)
{
	sqlite3 *db = t->mb->store->db.db;
	sqlite3_stmt *st;
	int rc;

	rc = sqlite3_create_function_v2(db, "take", -1, SQLITE_UTF8 |
	    SQLITE_DIRECTONLY, t, NULL, take_row, take_end, NULL);
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
		rc = SQLITE_OK;
	sqlite3_finalize(st);
	sqlite3_create_function_v2(db, "take", -1, SQLITE_UTF8, NULL, NULL,
	    NULL, NULL, NULL);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static culver_status
take_snapshot(struct culver_mailbox *mb, struct culver_call *call)
{
	struct culver_store *store = mb->store;
	struct taking t = { .mb = mb, .status = CULVER_OK };
	int rc = take_all(&t, (mb->flags & CULVER_OPEN_DATES) != 0 ?
	    "SELECT take(id,octets,chunks,flags,uidl,received) "
	    "FROM message NOT INDEXED" :
	    "SELECT take(id,octets,chunks,flags,uidl) "
	    "FROM message NOT INDEXED");

	if (t.status == CULVER_E_CORRUPT)
		t.status = plug_fail_as(call, CULVER_E_CORRUPT,
		    "%s: the row of message %lld is wrong", store->path,
		    (long long)t.wrong);
	else if (t.status != CULVER_OK)
		t.status = plug_fail(call, ENOMEM, "%s: %lu messages",
		    store->path, (unsigned long)mb->n);
	else if (rc != SQLITE_OK)
		t.status = sq_fail(store, call, rc, "cannot list it");
	/* a session may be long, and its listing is done */
	sqlite3_db_release_memory(store->db.db);
	return t.status;
}

/* The same where nobody else is at the database; false if that is not so. */
static bool
take_alone(struct culver_mailbox *mb, struct culver_call *call)
{
	struct culver_store *store = mb->store;
	bool taken = sq_db_open_alone(store, call);

	if (!taken)
		return false;
	taken = take_snapshot(mb, call) == CULVER_OK;
	sq_db_rest(store);
	taken = taken && store->resting;
	/* what is wrong is said by who tries again */
	if (!taken) {
		sq_db_close(store);
		sq_db_forget(store);
		mb->n = 0;
		mb->uids_len = 0;
	}
	return taken;
}

static void
release(struct culver_mailbox *mb)
{
	sq_done(&mb->content);
	sq_db_forget(mb->store);
	free(mb->content.buf);
	free(mb->msg);
	free(mb->uids);
	if (mb->lock >= 0)
		close(mb->lock);
	free(mb);
}

culver_status
sq_open(struct culver_store *store, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call)
{
	struct culver_mailbox *mb = calloc(1, sizeof(*mb));
	culver_status status;

	if (mb == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	mb->store = store;
	mb->flags = flags;
	mb->lock = -1;
	if (store->db.db != NULL && !sq_db_is_named(store))
		sq_db_close(store);
	/* the lock file says that there was a database: not before it */
	status = sq_file_ready(store, call);
	if (status == CULVER_OK && (flags & CULVER_OPEN_EXCLUSIVE) != 0)
		status = sq_lock(store, &mb->lock, call);
	if (status == CULVER_OK && !take_alone(mb, call)) {
		status = sq_db_open(store, call);
		if (status == CULVER_OK)
			status = take_snapshot(mb, call);
	}
	if (status == CULVER_OK)
		*out = mb;
	else
		release(mb);
	return status;
}

void
sq_close(struct culver_mailbox *mb)
{
	release(mb);
}

/* The mailbox stays ours by its lock; a connection that waits with the client
 * only takes memory, and keeps others from what they need it alone for. */
culver_status
sq_keepalive(struct culver_mailbox *mb, struct culver_call *call)
{
	(void)call;
	if (mb->content.mb != NULL)	/* amid a message */
		return CULVER_OK;
	free(mb->content.buf);
	mb->content.buf = NULL;
	sq_db_rest(mb->store);
	sq_memory_rest();
	return CULVER_OK;
}

culver_status
sq_list(struct culver_mailbox *mb, uint32_t first, struct culver_message *out,
    uint32_t cap, uint32_t *n, struct culver_call *call)
{
	const struct sq_message *m;

	(void)call;
	for (*n = 0; *n < cap && first + *n < mb->n; (*n)++) {
		m = &mb->msg[first + *n];
		out[*n] = (struct culver_message){ .uid = mb->uids + m->uid,
		    .octets = m->octets, .stored = m->octets,
		    .received = m->received,
		    .flags = CULVER_MSG_OCTETS_EXACT };
	}
	return first < mb->n ? CULVER_OK : CULVER_DONE;
}
