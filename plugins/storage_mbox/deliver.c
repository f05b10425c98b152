/*
 * deliver.c - append a message that is spooled, under the locks.
 *
 * Runs in a worker as the mailbox's owner.  The spool file (spool.c), synced
 * and renamed to culver-append, is also what a crash is undone by: a piece of
 * a message is never shown.
 */
#include "config.h"

#include "plugins/storage_mbox/deliver.h"
#include "plugins/storage_mbox/uidl.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

/* The hash and the size that the message will have. */
static culver_status
hash_spool(struct culver_delivery *d, const unsigned char key[16],
    uint64_t id[2], struct culver_call *call)
{
	unsigned char *buf = malloc(MB_CHUNK), *p, *nl;
	culver_status status = CULVER_OK;
	uint64_t at = sizeof(struct mb_append);
	bool first = true;
	struct mb_msg m;
	size_t n, len;

	if (buf == NULL)
		return plug_fail(call, ENOMEM, "%s", d->store->path);
	mb_msg_begin(&m, &d->look, key);
	for (; at < d->size && status == CULVER_OK; at += n) {
		n = d->size - at < MB_CHUNK ? (size_t)(d->size - at) :
		    MB_CHUNK;
		status = mb_pread(d->store, d->fd, buf, n, at, call);
		if (status != CULVER_OK)
			break;
		nl = at + n < d->size ? memrchr(buf, '\n', n) : NULL;
		if (nl != NULL)
			n = (size_t)(nl + 1 - buf);
		else if (at + n < d->size)
			n -= 8;
		p = buf;
		len = n;
		if (first && (nl = memchr(buf, '\n', n)) != NULL) {
			p = nl + 1;
			len = n - (size_t)(p - buf);
		}
		first = false;
		mb_msg_add(&m, p, len, NULL, NULL);
	}
	mb_msg_end(&m, true, id);
	d->octets = m.octets;
	free(buf);
	return status;
}

/* Is the UIDL free? */
static culver_status
check_uid(struct culver_delivery *d, struct mb_file *f,
    struct culver_call *call)
{
	struct culver_store *store = d->store;
	culver_status status = CULVER_OK;

	if (!mb_uids_hold(store, f))
		status = mb_uids_load(store, &d->index, f, call);
	if (status == CULVER_OK && mb_uids_have(store, d->uid))
		status = plug_fail_as(call, CULVER_E_PERM,
		    "%s has another message with the UIDL %s", store->path,
		    d->uid);
	return status;
}

/* What is behind d->tally.size, into it; *DONE: it can be told. */
static culver_status
count_added(struct culver_delivery *d, struct mb_file *f, bool *done,
    struct culver_call *call)
{
	struct mb_list l = { 0 };
	culver_status status;
	size_t i;

	status = mb_tally_holds(d->store, f, &d->tally, done, call);
	if (status != CULVER_OK || !*done ||
	    d->tally.size == (uint64_t)f->st.st_size)
		return status;
	*done = d->tally.size > 0;	/* else it has no tail to compare */
	if (*done)
		status = mb_scan(d->store, f, &d->look, d->tally.key,
		    d->tally.size, &l, call);
	for (i = 0; i < l.n; i++)
		d->tally.octets += l.rec[i].octets;
	d->tally.messages += l.n;
	mb_list_free(&l);
	*done &= status == CULVER_OK;
	return status == CULVER_E_CORRUPT ? CULVER_OK : status;
}

/* Is there room?  The mbox is locked, so nothing else can take it. */
static culver_status
check_quota(struct culver_delivery *d, struct mb_file *f,
    const unsigned char key[16], struct culver_call *call)
{
	const struct culver_store *store = d->store;
	struct mb_tally *t = &d->tally;
	culver_status status = CULVER_OK;
	bool done = false;

	if (mb_tally_load(&d->index, t) && t->messages != MB_UNCOUNTED &&
	    t->look == mb_look_number(&d->look) &&
	    memcmp(t->key, key, sizeof(t->key)) == 0)
		status = count_added(d, f, &done, call);
	if (status == CULVER_OK && !done)
		status = mb_count(d->store, &d->index, f, &t->octets,
		    &t->messages, call);
	if (status == CULVER_OK && !culver_quota_fits(store->quota_octets,
	    store->quota_messages, t->octets, t->messages, d->octets))
		status = plug_fail_as(call, CULVER_E_QUOTA,
		    "%s is over its quota", store->path);
	t->octets += d->octets;
	t->messages++;
	return status;
}

/* The message says itself which UIDL it has, sealed with the state's key. */
static culver_status
seal(struct culver_delivery *d, struct mb_file *f, struct culver_call *call)
{
	const struct culver_store *store = d->store;
	unsigned char key[16];
	culver_status status;
	uint64_t id[2];
	char text[33];

	status = mb_state_key(d->store, &d->index, f->st.st_size == 0, key,
	    call);
	if (status == CULVER_OK)
		status = hash_spool(d, key, id, call);
	if (status == CULVER_OK && d->keep_uid)
		status = check_uid(d, f, call);
	d->tally.messages = MB_UNCOUNTED;
	if (status == CULVER_OK && (store->quota_octets != 0 ||
	    store->quota_messages != 0))
		status = check_quota(d, f, key, call);
	if (status != CULVER_OK)
		return status;
	memcpy(d->tally.key, key, sizeof(key));
	d->tally.look = mb_look_number(&d->look);
	mb_seal(key, d->uid, id, text);
	if (!plug_pwrite_all(d->fd, text, 32, d->seal_at))
		return plug_fail(call, errno, "cannot write %s/%s",
		    d->index.path, d->name);
	return CULVER_OK;
}

/* What the mbox lacks before a From_ line: it ends in an empty line. */
static culver_status
missing_newlines(struct culver_delivery *d, const struct mb_file *f,
    size_t *n, struct culver_call *call)
{
	const uint64_t size = (uint64_t)f->st.st_size;
	unsigned char end[4] = { 0 };
	culver_status status;
	size_t k = size < sizeof(end) ? (size_t)size : sizeof(end);

	*n = 0;
	if (size == 0)
		return CULVER_OK;
	status = mb_pread(d->store, f->fd, end + sizeof(end) - k, k, size - k,
	    call);
	if (end[3] != '\n')
		*n = 2;
	else if (end[2] != '\n' && !(end[2] == '\r' && end[1] == '\n'))
		*n = 1;
	return status;
}

/* The spool file becomes what a crash is undone by. */
static culver_status
make_intent(struct culver_delivery *d, const struct mb_file *f,
    struct mb_append *a, struct culver_call *call)
{
	const char *const nl = d->crlf ? "\r\n\r\n" : "\n\n";
	culver_status status;
	size_t lines = 0, n;

	status = missing_newlines(d, f, &lines, call);
	if (status != CULVER_OK)
		return status;
	n = lines * (d->crlf ? 2 : 1);
	*a = (struct mb_append){ .magic = MB_APPEND_MAGIC,
	    .size = htole64((uint64_t)f->st.st_size),
	    .from = htole64(sizeof(*a) - n),
	    .length = htole64(d->size - sizeof(*a) + n) };
	memcpy(a->room + sizeof(a->room) - n, nl, n);
	a->sum = mb_append_sum(a);
	if (!plug_pwrite_all(d->fd, a, sizeof(*a), 0) || fsync(d->fd) != 0)
		return plug_fail(call, errno, "cannot write %s/%s",
		    d->index.path, d->name);
	if (renameat(d->index.fd, d->name, d->index.fd, MB_APPEND) != 0)
		return plug_fail(call, errno, "cannot rename %s/%s",
		    d->index.path, d->name);
	snprintf(d->name, sizeof(d->name), "%s", MB_APPEND);
	if (fsync(d->index.fd) != 0)
		return plug_fail(call, errno, "cannot sync %s",
		    d->index.path);
	return CULVER_OK;
}

/* Copy the text to the end of the mbox, durably. */
static culver_status
append(struct culver_delivery *d, struct mb_file *f,
    const struct mb_append *a, struct culver_call *call)
{
	const uint64_t from = le64toh(a->from), length = le64toh(a->length);
	unsigned char *buf = malloc(MB_CHUNK);
	culver_status status = CULVER_OK;
	uint64_t done;
	size_t n;

	if (buf == NULL)
		return plug_fail(call, ENOMEM, "%s", d->store->path);
	for (done = 0; done < length && status == CULVER_OK; done += n) {
		n = length - done < MB_CHUNK ? (size_t)(length - done) :
		    MB_CHUNK;
		status = mb_pread(d->store, d->fd, buf, n, from + done, call);
		if (status == CULVER_OK && !plug_pwrite_all(f->fd, buf, n,
		    (uint64_t)f->st.st_size + done))
			status = plug_fail(call, errno, "cannot write %s",
			    d->store->path);
		if (status == CULVER_OK)
			status = mb_file_tick(d->store, f, call);
	}
	free(buf);
	if (status == CULVER_OK && fsync(f->fd) != 0)
		status = plug_fail(call, errno, "cannot sync %s",
		    d->store->path);
	return status;
}

/* Take back what append() wrote; if even that fails, recovery will. */
static void
roll_back(struct culver_delivery *d, struct mb_file *f)
{
	if (ftruncate(f->fd, f->st.st_size) == 0 && fsync(f->fd) == 0)
		return;
	culver_logf(d->store->host, CULVER_LOG_ERROR,
	    "%s: cannot take back a delivery (%s): done when the mailbox is "
	    "next opened", d->store->path, strerror(errno));
	d->name[0] = '\0';
}

static culver_status
append_locked(struct culver_delivery *d, struct mb_file *f,
    struct culver_call *call)
{
	struct timespec before;
	culver_status status;
	struct mb_append a;
	bool known;

	if (!f->writable)
		return plug_fail_as(call, CULVER_E_PERM,
		    "%s may not be written", d->store->path);
	status = mb_recover(d->store, &d->index, f, call);
	if (status == CULVER_OK)
		status = seal(d, f, call);
	if (status == CULVER_OK)
		status = make_intent(d, f, &a, call);
	if (status != CULVER_OK)
		return status;
	mb_tally_begin(&before);
	status = append(d, f, &a, call);
	if (status != CULVER_OK) {
		roll_back(d, f);
		return status;
	}
	known = mb_uids_hold(d->store, f);
	mb_tally_save(d->store, &d->index, f, &before, false, &d->tally,
	    call);
	if (known)
		mb_uids_add(d->store, f, d->uid);
	return CULVER_OK;
}

culver_status
mb_deliver_commit(struct culver_delivery *d, struct culver_str *uid,
    struct culver_call *call)
{
	struct mb_file f = MB_FILE_NONE;
	culver_status status;
	char *name;

	/* nothing that can fail may come after the message is there */
	name = culver_alloc(d->store->host, call, sizeof(d->uid));
	mb_spool_finish(d, call);
	status = d->failed;
	if (status == CULVER_OK && name == NULL)
		status = plug_fail(call, ENOMEM, "%s", d->store->path);
	if (status == CULVER_OK)
		status = mb_file_open(d->store, &f, true, call);
	if (status == CULVER_OK)
		status = append_locked(d, &f, call);
	if (status == CULVER_OK) {
		memcpy(name, d->uid, strlen(d->uid));
		*uid = (struct culver_str){ .p = name, .n = strlen(name) };
	}
	if (d->name[0] != '\0')		/* while the mbox is locked */
		unlinkat(d->index.fd, d->name, 0);
	d->name[0] = '\0';
	mb_file_close(d->store, &f);
	mb_spool_free(d);
	return status;
}

void
mb_deliver_abort(struct culver_delivery *d)
{
	mb_spool_free(d);
}
