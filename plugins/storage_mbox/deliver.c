/*
 * deliver.c - add a message: spool it, then append it under the locks.
 *
 * Runs in a worker as the mailbox's owner.  The text comes from the network.
 * It is written to a file of ours first, with the line ends of the mbox and
 * quoted, so that the locks are held for one copy only.  That file, synced
 * and renamed to culver-append, is also what a crash is undone by: a piece
 * of a message is never shown.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <culver/util.h>

struct culver_delivery {
	struct culver_store *store;
	struct plug_index index;
	int fd;
	char name[48];		/* of the spool file; "" when it has none */
	culver_status failed;
	bool crlf, all_quotes;	/* line ends; quote >From too */
	bool header;
	bool cr;		/* a CR is held back */
	bool bol;		/* the next byte begins a line */
	unsigned char last;	/* the last byte that was put */
	size_t begun;		/* so much of a line waits in line[] */
	unsigned char line[MB_NAME];
	struct mb_look look;
	uint64_t octets;
	char uid[PLUG_UID_MAX + 1];
	bool keep_uid;		/* the envelope named it */
	struct mb_tally tally;	/* of the mbox, with this message */
	uint64_t seal_at;	/* where in the spool file the seal goes */
	uint64_t size;		/* of the spool file, without buf */
	size_t n;
	unsigned char buf[32768];
};

static void
free_delivery(struct culver_delivery *d)
{
	if (d->fd >= 0)
		close(d->fd);
	if (d->name[0] != '\0')
		unlinkat(d->index.fd, d->name, 0);
	if (d->index.fd >= 0)
		close(d->index.fd);
	free(d);
}

static void
flush(struct culver_delivery *d, struct culver_call *call)
{
	if (d->failed == CULVER_OK && !plug_write_all(d->fd, d->buf, d->n))
		d->failed = plug_fail(call, errno, "cannot write %s/%s",
		    d->index.path, d->name);
	d->size += d->n;
	d->n = 0;
}

static void
put(struct culver_delivery *d, const void *p, size_t n,
    struct culver_call *call)
{
	const unsigned char *s = p;

	for (; n > 0; n--, s++) {
		if (d->n == sizeof(d->buf))
			flush(d, call);
		d->buf[d->n++] = *s;
	}
}

static void
put_newline(struct culver_delivery *d, struct culver_call *call)
{
	put(d, d->crlf ? "\r\n" : "\n", d->crlf ? 2 : 1, call);
}

/* A line end that came as CR CR LF keeps its CR, and gets no third one. */
static void
put_newline_after(struct culver_delivery *d, unsigned char last,
    struct culver_call *call)
{
	if (last == '\r')
		put(d, "\n", 1, call);
	else
		put_newline(d, call);
}

/* The first bytes of a line are known: what does it need? */
static void
begin_line(struct culver_delivery *d, struct culver_call *call)
{
	const unsigned char *p = d->line;
	size_t k = 0;

	while (k < d->begun && p[k] == '>')
		k++;
	if ((k == 0 || d->all_quotes) && d->begun - k >= 5 &&
	    memcmp(p + k, "From ", 5) == 0)
		put(d, ">", 1, call);
	/* only programs with the mbox in their hands may write these */
	else if (d->header && mb_is_metadata(p, d->begun))
		put(d, MB_QUOTED, sizeof(MB_QUOTED) - 1, call);
	put(d, p, d->begun, call);
	d->begun = 0;
	d->bol = false;
}

/* Does the rest of the line matter for begin_line()? */
static bool
line_undecided(const struct culver_delivery *d)
{
	size_t k = 0;

	if (d->begun == sizeof(d->line))
		return false;
	if (d->header)
		return true;
	while (k < d->begun && d->line[k] == '>')
		k++;
	return d->begun - k < 5 &&
	    memcmp(d->line + k, "From ", d->begun - k) == 0;
}

/* One byte of the message, with CRLF as LF. */
static void
take_byte(struct culver_delivery *d, unsigned char c,
    struct culver_call *call)
{
	if (c == '\n') {
		bool empty = d->bol && d->begun == 0;

		if (empty)
			d->header = false;
		if (d->bol)
			begin_line(d, call);
		put_newline_after(d, d->last, call);
		d->bol = true;
	} else if (d->bol) {
		d->line[d->begun++] = c;
		if (!line_undecided(d))
			begin_line(d, call);
	} else
		put(d, &c, 1, call);
	d->last = c;
}

culver_status
mb_deliver_write(struct culver_delivery *d, const void *buf, size_t n,
    struct culver_call *call)
{
	const unsigned char *p = buf, *end = p + n;

	for (; p < end && d->failed == CULVER_OK; p++) {
		/* the CR of a CRLF goes, but not after another CR */
		if (d->cr && (*p != '\n' || d->last == '\r'))
			take_byte(d, '\r', call);
		d->cr = *p == '\r';
		if (!d->cr)
			take_byte(d, *p, call);
	}
	if (d->failed == CULVER_OK)
		return plug_in_time(d->store->host, d->store->path, call);
	return d->failed;
}

/* Does the mbox have CRLF, and whose is it?  What is not known is as usual. */
static void
learn(struct culver_delivery *d)
{
	const struct culver_store *store = d->store;
	char buf[256], style[16];
	unsigned i, is = store->style == MB_AUTO ? MB_OWN : store->style;
	const char *p;
	ssize_t n;
	int fd;

	fd = open(store->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK | O_NOCTTY);
	n = fd < 0 ? -1 : pread(fd, buf, sizeof(buf), 0);
	if (fd >= 0)
		close(fd);
	p = n > 0 ? memchr(buf, '\n', (size_t)n) : NULL;
	d->crlf = p != NULL && p > buf && p[-1] == '\r';
	fd = openat(d->index.fd, MB_UIDL, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK);
	n = fd < 0 ? -1 : pread(fd, buf, sizeof(buf) - 1, 0);
	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	p = strstr(buf, " style ");
	if (store->style == MB_AUTO && p != NULL &&
	    sscanf(p, " style %15s", style) == 1)
		for (i = MB_OWN; i < MB_STYLES; i++)
			if (strcmp(style, mb_styles[i]) == 0)
				is = i;
	mb_look_set(&d->look, is, store->quoting);
	d->all_quotes = d->look.unquote;
}

static culver_status
make_spool(struct culver_delivery *d, struct culver_call *call)
{
	uint64_t bits;

	d->store->host->random(d->store->host, &bits, sizeof(bits));
	snprintf(d->name, sizeof(d->name), MB_SPOOL "%016" PRIx64, bits);
	d->fd = openat(d->index.fd, d->name, O_RDWR | O_CREAT | O_EXCL |
	    O_NOFOLLOW | O_CLOEXEC, 0600);
	if (d->fd >= 0)
		return CULVER_OK;
	d->name[0] = '\0';
	return plug_fail(call, errno, "cannot create a file in %s",
	    d->index.path);
}

culver_status
mb_deliver_begin(struct culver_store *store, const struct culver_envelope *env,
    struct culver_delivery **out, struct culver_call *call)
{
	static const char no_seal[33] = "00000000000000000000000000000000";
	static const struct mb_append none;
	struct culver_delivery *d = malloc(sizeof(*d));
	culver_status status;
	struct timespec now;
	char from[512];
	size_t n;

	if (d == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	memset(d, 0, offsetof(struct culver_delivery, buf));
	d->store = store;
	d->fd = d->index.fd = -1;
	d->header = d->bol = true;
	if (CULVER_HAS(struct culver_envelope, env, uid) && env->uid != NULL) {
		snprintf(d->uid, sizeof(d->uid), "%s", env->uid);
		d->keep_uid = true;
	} else
		plug_uid_random(store->host, d->uid);
	status = mb_index_open(store, &d->index, call);
	if (status == CULVER_OK)
		status = make_spool(d, call);
	if (status != CULVER_OK) {
		free_delivery(d);
		return status;
	}
	learn(d);
	clock_gettime(CLOCK_REALTIME, &now);
	n = mb_from_make(from, sizeof(from), env->sender,
	    CULVER_HAS(struct culver_envelope, env, received) &&
	    env->received != 0 ? env->received : now.tv_sec);
	put(d, &none, sizeof(none), call);
	put(d, from, n, call);
	put_newline(d, call);
	n = (size_t)snprintf(from, sizeof(from), "%s %s ", MB_OWN_NAME,
	    d->uid);
	put(d, from, n, call);
	d->seal_at = d->n;
	put(d, no_seal, 32, call);
	put_newline(d, call);
	*out = d;
	return CULVER_OK;
}

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

/* The end of the text: its last line, and the separator. */
static void
finish_text(struct culver_delivery *d, struct culver_call *call)
{
	if (d->cr)
		take_byte(d, '\r', call);
	if (d->bol && d->begun > 0)
		begin_line(d, call);
	/* a CR at the end is no part of the line end that is added */
	if (!d->bol)
		put(d, d->crlf || d->last == '\r' ? "\r\n" : "\n",
		    d->crlf || d->last == '\r' ? 2 : 1, call);
	put_newline(d, call);
	flush(d, call);
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
	finish_text(d, call);
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
	free_delivery(d);
	return status;
}

void
mb_deliver_abort(struct culver_delivery *d)
{
	free_delivery(d);
}
