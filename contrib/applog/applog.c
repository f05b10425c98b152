/*
 * applog.c - an example of a storage plugin: one append-only log file a user.
 *
 * Runs in a worker as the mailbox's owner; checks the file.  That is a row of
 * records, each a message or the removal of one.  Those that are added
 * together are synced while the first has type 0, where a reader stops; then
 * its type is set, an octet that cannot be torn.  Byte 0 is locked during a
 * session, byte 1 while records are added; close() unlocks, also what is -1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <culver/plugin.h>
#include <culver/storage.h>
#include <culver/util.h>

enum { OPT_PATH, OPT_CREATE, N_OPTIONS };
enum { SESSION = 0, ADDING = 1 };	/* locked bytes */
enum { MESSAGE = 'M', REMOVAL = 'R' };

struct record {
	char type, uid[35];	/* uid: 32 digits, 0 */
	uint32_t number;	/* how many messages are before it */
	int64_t received;
	uint64_t n;		/* octets that follow */
};

struct culver_content {		/* a message */
	struct record r;
	uint64_t at;		/* of its octets */
	int fd;			/* -1: it is not read, or was */
};

struct culver_store {
	const struct culver_host *host;
	char *path;
	int create;
	uint32_t uid, n, removed;
	uint64_t quota_octets, quota_messages, octets;
	uint64_t whole;		/* all records before this are known */
	struct culver_content *m;	/* N messages, also the removed */
};

struct culver_mailbox {
	struct culver_store *store;
	struct culver_content *m;
	uint32_t n;
	int fd;
};

struct culver_delivery {
	struct culver_store *store;
	struct record *r;	/* and the message behind it */
};

static culver_status
fail(struct culver_call *call, const struct culver_store *s, const char *what)
{
	return culver_fail(call, errno == ENOMEM ? CULVER_E_NOMEM :
	    errno == EBADMSG ? CULVER_E_CORRUPT :
	    errno == ENOSPC || errno == EDQUOT ? CULVER_E_NOSPACE :
	    s->host->now(s->host) >= call->deadline ? CULVER_E_TIMEOUT :
	    errno == EAGAIN ? CULVER_E_IN_USE : CULVER_E_TEMP,
	    errno, "%s: cannot %s", s->path, what);
}

/* Open the file and lock a byte of it; wait for that until the deadline. */
static int
open_locked(const struct culver_store *s, int byte, short type,
    uint64_t deadline)
{
	struct flock fl = { .l_type = type, .l_whence = SEEK_SET,
	    .l_start = byte, .l_len = 1 };
	int fd = open(s->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	while (fd >= 0 && fcntl(fd, F_OFD_SETLK, &fl) != 0) {
		if (errno != EAGAIN || s->host->now(s->host) >= deadline) {
			close(fd);	/* which leaves errno alone */
			return -1;
		}
		usleep(2000);
	}
	return fd;
}

/* Read what is not known of the file, with ADDING locked; 0 with errno. */
static int
refresh(struct culver_store *s, int fd, const struct culver_call *call)
{
	struct culver_content c = { .fd = -1 }, *m;
	uint64_t size = 0;
	struct stat st;

	errno = ESTALE;		/* if it is shorter than it was */
	if (fstat(fd, &st) != 0 || (size = (uint64_t)st.st_size) < s->whole)
		return 0;
	for (; size - s->whole >= sizeof(c.r); s->whole = c.at + c.r.n) {
		c.at = s->whole + sizeof(c.r);
		errno = ETIMEDOUT;
		if (s->host->now(s->host) >= call->deadline || pread(fd, &c.r,
		    sizeof(c.r), (off_t)s->whole) != sizeof(c.r))
			return 0;
		if (c.r.type == 0)
			break;
		errno = EBADMSG;
		if (c.r.type == REMOVAL && c.r.number < s->n && c.r.n == 0) {
			m = &s->m[c.r.number];
			s->removed += m->r.type == MESSAGE;
			s->octets -= m->r.n;
			m->r = c.r;
			continue;
		}
		if (c.r.type != MESSAGE || c.r.n > size - c.at ||
		    (m = realloc(s->m, (s->n + 1) * sizeof(*m))) == NULL)
			return 0;
		c.r.uid[sizeof(c.r.uid) - 1] = '\0';
		c.r.number = s->n;
		s->m = m;
		s->m[s->n++] = c;
		s->octets += c.r.n;
	}
	errno = ENOSPC;		/* if what follows is written in part */
	return 1;
}

/* Add the records at R, SIZE octets, for good or not at all. */
static culver_status
append(struct culver_store *s, struct record *r, size_t size,
    struct culver_call *call)
{
	int fd = open_locked(s, ADDING, F_WRLCK, call->deadline);
	culver_status status = CULVER_OK;
	const char type = r->type;

	r->type = 0;
	if (fd < 0 || !refresh(s, fd, call))
		status = fail(call, s, "lock and read it");
	else if (type == MESSAGE && !culver_quota_fits(s->quota_octets,
	    s->quota_messages, s->octets, s->n - s->removed, r->n))
		status = culver_fail(call, CULVER_E_QUOTA, 0, "%s: over quota",
		    s->path);
	else if (ftruncate(fd, (off_t)s->whole) != 0 ||
	    pwrite(fd, r, size, (off_t)s->whole) != (ssize_t)size ||
	    fsync(fd) != 0 ||
	    pwrite(fd, &type, 1, (off_t)s->whole) != 1 || fsync(fd) != 0) {
		status = fail(call, s, "add to it");
		if (ftruncate(fd, (off_t)s->whole) != 0 || fsync(fd) != 0)
			culver_logf(s->host, CULVER_LOG_ERROR,
			    "%s: cannot take back what was added", s->path);
	}
	close(fd);
	return status;
}

static void
applog_destroy(struct culver_store *s)
{
	free(s->path);
	free(s->m);
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
	*s = (struct culver_store){ .host = host, .path = s->path,
	    .create = vals->v[OPT_CREATE].u.i != 0, .uid = user->uid,
	    .quota_octets = user->quota_octets,
	    .quota_messages = user->quota_messages };
	*out = s;
	return CULVER_OK;
}

/* An empty file is an empty mailbox.  Its name must last before mail does. */
static culver_status
applog_paths(struct culver_store *s, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	size_t len = (size_t)(strrchr(s->path, '/') - s->path) + 1;
	char *folder = culver_strndup(s->host, call, s->path, len);
	int dir = -1, file = -1, ok = folder != NULL;
	culver_status status = CULVER_OK;
	struct stat st;

	if (ok && s->create && (stat(s->path, &st) != 0 || st.st_size == 0))
		ok = (dir = open(folder, O_RDONLY | O_CLOEXEC)) >= 0 &&
		    fstat(dir, &st) == 0 && st.st_uid == s->uid &&
		    (file = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC,
		    0600)) >= 0 && fsync(dir) == 0;
	if (!ok)
		status = fail(call, s, "make it in the user's folder");
	close(file);
	close(dir);
	*n = 1;
	if (cap > 0)
		*out = (struct culver_path){ .path = s->path,
		    .access = CULVER_PATH_READ | CULVER_PATH_WRITE };
	return status;
}

static void
applog_close(struct culver_mailbox *mb)
{
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
	/* it may be another file by now */
	s->whole = s->octets = s->removed = s->n = 0;
	/* nothing is shown that is not yet there for good */
	if ((mb->fd = open_locked(s, SESSION, type, 0)) < 0 ||
	    (adding = open_locked(s, ADDING, F_RDLCK, call->deadline)) < 0 ||
	    !refresh(s, adding, call) ||
	    (mb->m = calloc(s->n - s->removed + 1, sizeof(*mb->m))) == NULL)
		status = fail(call, s, "open it");
	for (uint32_t i = 0; mb->m != NULL && i < s->n; i++)
		if (s->m[i].r.type == MESSAGE)
			mb->m[mb->n++] = s->m[i];
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
	const struct record *r;

	(void)call;
	for (*n = 0; *n < cap && first + *n < mb->n; ++*n) {
		r = &mb->m[first + *n].r;
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
	*out = &mb->m[index];
	(*out)->fd = mb->fd;
	return CULVER_OK;
}

static culver_status
applog_next(struct culver_content *c, struct culver_extent *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)call;
	if ((*n = c->fd >= 0 && c->r.n > 0 && cap > 0) != 0)
		*out = (struct culver_extent){ .fd = c->fd, .offset = c->at,
		    .length = c->r.n, .flags = CULVER_EXT_AT_BOL };
	c->fd = -1;
	return *n == 1 ? CULVER_OK : CULVER_DONE;
}

static void
applog_done(struct culver_content *c)
{
	c->fd = -1;
}

static culver_status
applog_expunge(struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_expunge_result *res, struct culver_call *call)
{
	struct record *r = culver_alloc(mb->store->host, call, n * sizeof(*r));
	culver_status status;

	res->removed = 0;
	if (r == NULL)
		return fail(call, mb->store, "remove messages");
	for (uint32_t i = 0; i < n; i++)
		r[i] = (struct record){ .type = REMOVAL,
		    .number = mb->m[index[i]].r.number };
	status = append(mb->store, r, n * sizeof(*r), call);
	res->removed = status == CULVER_OK ? n : 0;
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
	uintmax_t id[2];

	if (d == NULL || (d->r = calloc(1, sizeof(*d->r))) == NULL) {
		free(d);
		return fail(call, s, "add a message");
	}
	d->store = s;
	d->r->type = MESSAGE;
	d->r->received = env->received != 0 ? env->received : time(NULL);
	s->host->random(s->host, id, sizeof(id));
	snprintf(d->r->uid, sizeof(d->r->uid), "%016jx%016jx", id[0], id[1]);
	*out = d;
	return CULVER_OK;
}

static culver_status
applog_deliver_write(struct culver_delivery *d, const void *buf, size_t n,
    struct culver_call *call)
{
	struct record *r = realloc(d->r, sizeof(*r) + d->r->n + n);

	if (r == NULL)
		return fail(call, d->store, "add a message");
	d->r = r;
	memcpy((char *)(r + 1) + r->n, buf, n);
	r->n += n;
	return CULVER_OK;
}

static culver_status
applog_deliver_commit(struct culver_delivery *d, struct culver_str *uid,
    struct culver_call *call)
{
	char *name = culver_strndup(d->store->host, call, d->r->uid, 32);
	culver_status status = name == NULL ?
	    fail(call, d->store, "add a message") :
	    append(d->store, d->r, sizeof(*d->r) + d->r->n, call);

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
