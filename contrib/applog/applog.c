/*
 * applog.c - an example of a storage plugin: one append-only log file a user.
 *
 * Runs in a worker as the mailbox's owner.  The file is a row of records: a
 * message, or the places of messages that were removed together.  Only the
 * record that ends the file can be torn: it has a checksum, and whoever adds
 * one cuts it off if that is wrong.  Byte 0 is locked during a session, byte
 * 1 while a record is added; close() unlocks.  Space is not given back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <culver/plugin.h>
#include <culver/storage.h>
#include <culver/util.h>

enum { OPT_PATH, OPT_CREATE, N_OPTIONS };
enum { SESSION = 0, ADDING = 1 };	/* locked bytes */
enum { MESSAGE = 1, REMOVAL = 2 };

struct record {
	uint64_t type, n;	/* n: octets that follow, then up to 7 zeros */
	int64_t received;
	uint64_t sum;		/* of all, with this 0 */
	char uid[40];		/* 32 digits, 0 */
};

struct culver_store {
	const struct culver_host *host;
	char *path;
	int create;
	uint32_t uid;
	uint64_t quota_octets, quota_messages;
	uint64_t whole;		/* known to be the end of a record */
};

struct culver_content {
	const struct record *r;
	uint64_t at;		/* of its octets */
	int fd;
};

struct culver_mailbox {
	int fd;
	struct culver_store *store;
	struct message {
		uint64_t at;	/* of its record */
		struct record r;
	} *m;
	uint32_t n;
	struct culver_content content;
};

struct culver_delivery {
	struct culver_store *store;
	struct record *r;	/* and room for the message behind it */
	size_t room;
};

static culver_status
fail(struct culver_call *call, const struct culver_store *s, const char *what)
{
	return culver_fail(call, errno == ENOMEM ? CULVER_E_NOMEM :
	    errno == ENOSPC || errno == EDQUOT ? CULVER_E_NOSPACE :
	    CULVER_E_TEMP, errno, "%s: cannot %s", s->path, what);
}

/* Octets of the record R in the file. */
static uint64_t
length(const struct record *r)
{
	return sizeof(*r) + ((r->n + 7) & ~UINT64_C(7));
}

static uint64_t
checksum(const struct record *r)
{
	const unsigned char *c = (const unsigned char *)r;
	uint64_t h = 0, i, n = length(r);

	for (i = 0; i < n; i++)
		h = (h ^ (i / 8 == 3 ? 0 : c[i])) * UINT64_C(0x100000001b3);
	return h;
}

/* Open the file and lock a byte of it; waits for ADDING to the deadline. */
static int
open_locked(const struct culver_store *s, int byte, short type,
    const struct culver_call *call)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET,
	    .l_start = byte, .l_len = 1 };
	const struct timespec pause = { .tv_nsec = 2000000 };
	int fd = open(s->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	while (fd >= 0 && fcntl(fd, F_OFD_SETLK, &fl) != 0)
		if (byte == ADDING && errno == EAGAIN &&
		    s->host->now(s->host) < call->deadline) {
			nanosleep(&pause, NULL);
		} else {
			close(fd);	/* which leaves errno alone */
			return -1;
		}
	return fd;
}

/* What is in the file from AT on, N octets; NULL with errno. */
static char *
load(int fd, uint64_t at, uint64_t *n)
{
	struct stat st;
	char *p = NULL;
	ssize_t r = 1;

	*n = 0;
	if (fstat(fd, &st) != 0 || (uint64_t)st.st_size < at ||
	    (p = malloc((size_t)st.st_size - at + 1)) == NULL)
		return NULL;
	while (r > 0 && at + *n < (uint64_t)st.st_size) {
		r = pread(fd, p + *n, (size_t)st.st_size - at - *n,
		    (off_t)(at + *n));
		*n += r > 0 ? (uint64_t)r : 0;
	}
	if (at + *n == (uint64_t)st.st_size)
		return p;
	free(p);
	return NULL;
}

/* The whole record at offset AT of the N octets at P, or NULL. */
static struct record *
record_at(char *p, uint64_t at, uint64_t n)
{
	struct record *r = (struct record *)(p + at);

	if (n - at < sizeof(*r) || r->n > n - at || length(r) > n - at ||
	    (r->type != MESSAGE && r->type != REMOVAL))
		return NULL;
	return at + length(r) < n || checksum(r) == r->sum ? r : NULL;
}

/* Find the messages; those that a later record removes are marked first. */
static int
scan(struct culver_mailbox *mb)
{
	uint64_t n, at, end = 0, all = 0;
	char *p = load(mb->fd, 0, &n);
	struct record *r;

	if (p == NULL)
		return 0;
	for (; (r = record_at(p, end, n)) != NULL; end += length(r)) {
		const uint64_t *place = (const uint64_t *)(r + 1);

		all += r->type == MESSAGE;
		for (at = 0; r->type == REMOVAL && at < r->n / 8; at++)
			if (place[at] < end && place[at] % 8 == 0)
				((struct record *)(p + place[at]))->type =
				    REMOVAL;
	}
	mb->m = calloc(all + 1, sizeof(*mb->m));
	for (at = 0; mb->m != NULL && at < end; at += length(r)) {
		r = (struct record *)(p + at);
		if (r->type == MESSAGE && mb->n < all)
			mb->m[mb->n++] = (struct message){ at, *r };
	}
	free(p);
	return mb->m != NULL;
}

/* Has the user room for message R?  With ADDING locked. */
static culver_status
fits(struct culver_store *s, const struct record *r, int fd,
    struct culver_call *call)
{
	struct culver_mailbox mb = { .fd = fd };
	uint64_t octets = 0;

	if (r->type != MESSAGE || (s->quota_octets | s->quota_messages) == 0)
		return CULVER_OK;
	if (!scan(&mb))
		return fail(call, s, "read it");
	for (uint32_t i = 0; i < mb.n; i++)
		octets += mb.m[i].r.n;
	free(mb.m);
	return culver_quota_fits(s->quota_octets, s->quota_messages, octets,
	    mb.n, r->n) ? CULVER_OK : culver_fail(call, CULVER_E_QUOTA, 0,
	    "%s: over quota", s->path);
}

/* Add the record and its octets, which lie behind it, for good or not. */
static culver_status
append(struct culver_store *s, struct record *r, struct culver_call *call)
{
	int fd = open_locked(s, ADDING, F_WRLCK, call);
	uint64_t n = 0, at = 0, done = 0;
	culver_status status = CULVER_OK;
	char *p = fd < 0 ? NULL : load(fd, s->whole, &n);
	const struct record *old;
	ssize_t w = 1;

	if (p == NULL) {
		status = fail(call, s, "lock and read it");
		goto out;
	}
	while ((old = record_at(p, at, n)) != NULL)
		at += length(old);
	free(p);
	s->whole += at;
	if (at < n && ftruncate(fd, (off_t)s->whole) != 0) {
		status = fail(call, s, "cut off what is torn");
		goto out;
	}
	status = fits(s, r, fd, call);
	if (status != CULVER_OK)
		goto out;
	r->sum = checksum(r);
	for (n = length(r); w > 0 && done < n; done += w > 0 ? (size_t)w : 0)
		w = pwrite(fd, (char *)r + done, n - done,
		    (off_t)(s->whole + done));
	if (w <= 0 || fsync(fd) != 0) {
		status = fail(call, s, "add to it");
		if (ftruncate(fd, (off_t)s->whole) != 0 || fsync(fd) != 0)
			culver_logf(s->host, CULVER_LOG_ERROR,
			    "%s: cannot take back what was added", s->path);
	}
out:
	if (fd >= 0)
		close(fd);
	return status;
}

static void
applog_destroy(struct culver_store *s)
{
	free(s->path);
	free(s);
}

static culver_status
applog_create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	const char *path = user->location != NULL ? user->location :
	    vals->v[OPT_PATH].u.s.p;
	struct culver_store *s = calloc(1, sizeof(*s));

	if (s == NULL || path[0] != '/' || (s->path = strdup(path)) == NULL) {
		free(s);
		return culver_fail(call, path[0] != '/' ? CULVER_E_PERM :
		    CULVER_E_NOMEM, 0, "%.100s: no memory or no path", path);
	}
	s->host = host;
	s->create = vals->v[OPT_CREATE].u.i != 0;
	s->uid = user->uid;
	s->quota_octets = user->quota_octets;
	s->quota_messages = user->quota_messages;
	*out = s;
	return CULVER_OK;
}

/* An empty file is an empty mailbox.  Its name must last before mail does. */
static culver_status
applog_paths(struct culver_store *s, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	size_t len = (size_t)(strrchr(s->path, '/') - s->path) + 1;
	char *parent = culver_strndup(s->host, call, s->path, len);
	char *path = culver_strndup(s->host, call, s->path, strlen(s->path));
	int fd = -1, dir = -1, ok = path != NULL && parent != NULL;
	struct stat st;

	if (ok && s->create && (stat(path, &st) != 0 || st.st_size == 0)) {
		ok = stat(parent, &st) == 0 && st.st_uid == s->uid &&
		    (fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) >= 0
		    && (dir = open(parent, O_RDONLY | O_CLOEXEC)) >= 0 &&
		    fsync(dir) == 0;
		if (fd >= 0)
			close(fd);
		if (dir >= 0)
			close(dir);
	}
	if (!ok)
		return fail(call, s, "make it in a folder of the user's");
	*n = 1;
	if (cap > 0)
		*out = (struct culver_path){ .path = path,
		    .access = CULVER_PATH_READ | CULVER_PATH_WRITE };
	return CULVER_OK;
}

static void
applog_close(struct culver_mailbox *mb)
{
	if (mb->fd >= 0)
		close(mb->fd);
	free(mb->m);
	free(mb);
}

static culver_status
applog_open(struct culver_store *s, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call)
{
	short type = (flags & CULVER_OPEN_EXCLUSIVE) != 0 ? F_WRLCK : F_UNLCK;
	struct culver_mailbox *mb = calloc(1, sizeof(*mb));
	culver_status status = CULVER_OK;
	int adding = -1;

	if (mb == NULL)
		return fail(call, s, "open it");
	mb->store = s;
	mb->fd = open_locked(s, SESSION, type, call);
	if (mb->fd < 0)
		status = errno == EAGAIN ? culver_fail(call, CULVER_E_IN_USE,
		    0, "%s: another session", s->path) :
		    fail(call, s, "open it");
	/* nothing is shown that is not yet there for good */
	else if ((adding = open_locked(s, ADDING, F_RDLCK, call)) < 0 ||
	    !scan(mb))
		status = fail(call, s, "read it");
	if (adding >= 0)
		close(adding);
	if (status == CULVER_OK)
		*out = mb;
	else
		applog_close(mb);
	return status;
}

static culver_status
applog_list(struct culver_mailbox *mb, uint32_t first,
    struct culver_message *out, uint32_t cap, uint32_t *n,
    struct culver_call *call)
{
	(void)call;
	for (*n = 0; *n < cap && first + *n < mb->n; ++*n) {
		const struct record *r = &mb->m[first + *n].r;

		out[*n] = (struct culver_message){ .uid = r->uid,
		    .stored = r->n, .octets = r->n, .received = r->received };
	}
	return *n > 0 ? CULVER_OK : CULVER_DONE;
}

static culver_status
applog_read(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call)
{
	(void)call;
	mb->content = (struct culver_content){ .r = &mb->m[index].r,
	    .at = mb->m[index].at + sizeof(struct record), .fd = mb->fd };
	*out = &mb->content;
	return CULVER_OK;
}

static culver_status
applog_next(struct culver_content *c, struct culver_extent *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)call;
	*n = c->r != NULL && c->r->n > 0 && cap > 0;
	if (*n == 1)
		*out = (struct culver_extent){ .fd = c->fd, .offset = c->at,
		    .length = c->r->n, .flags = CULVER_EXT_AT_BOL };
	c->r = NULL;
	return *n == 1 ? CULVER_OK : CULVER_DONE;
}

static void
applog_done(struct culver_content *c)
{
	c->r = NULL;
}

static culver_status
applog_expunge(struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_expunge_result *res, struct culver_call *call)
{
	struct record *r = calloc(1, sizeof(*r) + n * sizeof(uint64_t));
	culver_status status;

	res->removed = 0;
	if (r == NULL)
		return fail(call, mb->store, "remove messages");
	*r = (struct record){ .type = REMOVAL, .n = n * sizeof(uint64_t) };
	for (uint32_t i = 0; i < n; i++)
		((uint64_t *)(r + 1))[i] = mb->m[index[i]].at;
	status = append(mb->store, r, call);
	free(r);
	if (status == CULVER_OK)
		res->removed = n;
	return status;
}

static void
applog_deliver_abort(struct culver_delivery *d)
{
	free(d->r);
	free(d);
}

static culver_status
applog_deliver_begin(struct culver_store *s, const struct culver_envelope *env,
    struct culver_delivery **out, struct culver_call *call)
{
	struct culver_delivery *d = calloc(1, sizeof(*d));
	uint64_t bits[2];

	if (d == NULL || (d->r = calloc(1, sizeof(*d->r))) == NULL) {
		free(d);
		return fail(call, s, "add a message");
	}
	d->store = s;
	d->r->type = MESSAGE;
	d->r->received = env->received != 0 ? env->received : time(NULL);
	s->host->random(s->host, bits, sizeof(bits));
	for (int i = 0; i < 32; i++)
		d->r->uid[i] = "0123456789abcdef"[bits[i / 16] >>
		    i % 16 * 4 & 15];
	*out = d;
	return CULVER_OK;
}

static culver_status
applog_deliver_write(struct culver_delivery *d, const void *buf, size_t n,
    struct culver_call *call)
{
	size_t need = sizeof(*d->r) + d->r->n + n + 8;

	if (need > d->room) {
		struct record *r = realloc(d->r, 2 * need);

		if (r == NULL)
			return fail(call, d->store, "add a message");
		d->r = r;
		d->room = 2 * need;
	}
	memcpy((char *)(d->r + 1) + d->r->n, buf, n);
	d->r->n += n;
	memset((char *)(d->r + 1) + d->r->n, 0, 8);
	return CULVER_OK;
}

static culver_status
applog_deliver_commit(struct culver_delivery *d, struct culver_str *uid,
    struct culver_call *call)
{
	char *name = culver_strndup(d->store->host, call, d->r->uid, 32);
	culver_status status = name == NULL ? culver_fail(call,
	    CULVER_E_NOMEM, 0, "no memory") : append(d->store, d->r, call);

	if (status == CULVER_OK)
		*uid = (struct culver_str){ .p = name, .n = 32 };
	applog_deliver_abort(d);
	return status;
}

static const struct culver_option options[N_OPTIONS] = {
	[OPT_PATH] = { .name = "path", .type = CULVER_OPT_TEMPLATE,
	    .def = "~/mail.log", .help = "log file of the user's mail" },
	[OPT_CREATE] = { .name = "create", .type = CULVER_OPT_BOOL,
	    .def = "no", .help = "make a missing file" },
};

static const struct culver_storage_ops ops = {
	.size = sizeof(ops), .create = applog_create,
	.destroy = applog_destroy, .paths = applog_paths,
	.open = applog_open, .close = applog_close, .list = applog_list,
	.read = applog_read, .next = applog_next, .done = applog_done,
	.expunge = applog_expunge, .deliver_begin = applog_deliver_begin,
	.deliver_write = applog_deliver_write,
	.deliver_commit = applog_deliver_commit,
	.deliver_abort = applog_deliver_abort,
};

CULVER_PLUGIN(storage_applog) = {
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_STORAGE, .name = "applog", .version = "1.0",
	.caps = CULVER_ST_DELIVER | CULVER_ST_ATOMIC_EXPUNGE,
	.summary = "one append-only log file a user", .options = options,
	.n_options = N_OPTIONS, .option_size = sizeof(struct culver_option),
	.ops = { .storage = &ops },
};
