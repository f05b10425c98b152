/*
 * storage_@NAME@.c - a storage plugin: a directory with a file a message,
 * whose name is the message's UIDL.  Mail gets in by whoever writes files.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <culver/plugin.h>
#include <culver/storage.h>
#include <culver/util.h>

struct culver_store { const struct culver_host *host; char *path; };
struct culver_content { int fd; uint64_t left; };
struct culver_mailbox { struct dirent **file; int n, dir;
    const struct culver_host *host; struct culver_content content; };

static culver_status
failed(struct culver_call *call, const char *what)
{
	return culver_fail(call, CULVER_E_TEMP, errno, "cannot %s: %s", what,
	    strerror(errno));
}

static culver_status
create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	const char *path = user->location != NULL ? user->location :
	    vals->v[0].u.s.p;

	if ((*out = calloc(1, sizeof(**out))) == NULL)
		return failed(call, "get memory");
	**out = (struct culver_store){ host, strdup(path) };
	if ((*out)->path != NULL)
		return CULVER_OK;
	free(*out);
	return failed(call, "get memory");
}

static void
destroy(struct culver_store *s)
{
	free(s->path);
	free(s);
}

static culver_status
paths(struct culver_store *s, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)call;
	*n = 1;
	if (cap > 0)
		*out = (struct culver_path){ .path = s->path,
		    .access = CULVER_PATH_DIR | CULVER_PATH_READ |
			CULVER_PATH_WRITE | CULVER_PATH_CREATE };
	return CULVER_OK;
}

static void
box_close(struct culver_mailbox *mb)
{
	while (mb->n > 0)
		free(mb->file[--mb->n]);
	free(mb->file);
	if (mb->dir >= 0)
		close(mb->dir);		/* this gives up the lock */
	free(mb);
}

static int
is_message(const struct dirent *d)
{
	size_t n = strlen(d->d_name), i = 0;

	while (i < n && d->d_name[i] > ' ' && d->d_name[i] < 0x7f)
		i++;
	return d->d_name[0] != '.' && i == n && n <= 70;	/* a UIDL */
}

static culver_status
box_open(struct culver_store *s, uint32_t flags, struct culver_mailbox **out,
    struct culver_call *call)
{
	struct culver_mailbox *mb = calloc(1, sizeof(*mb));
	culver_status status = CULVER_OK;

	if (mb == NULL)
		return failed(call, "get memory");
	mb->host = s->host;
	mb->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mb->dir >= 0 && (flags & CULVER_OPEN_EXCLUSIVE) != 0 &&
	    flock(mb->dir, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		status = culver_fail(call, CULVER_E_IN_USE, 0, "in use");
	else if (mb->dir < 0 || (mb->n = scandirat(mb->dir, ".", &mb->file,
	    is_message, alphasort)) < 0)
		status = culver_fail(call, CULVER_E_TEMP, errno,
		    "cannot open %s: %s", s->path, strerror(errno));
	if (status != CULVER_OK)
		box_close(mb);
	*out = mb;
	return status;
}

static culver_status
list(struct culver_mailbox *mb, uint32_t first, struct culver_message *out,
    uint32_t cap, uint32_t *n, struct culver_call *call)
{
	(void)call;
	for (*n = 0; *n < cap && first + *n < (uint32_t)mb->n; ++*n)
		out[*n] = (struct culver_message){
		    .uid = mb->file[first + *n]->d_name };
	return *n > 0 ? CULVER_OK : CULVER_DONE;
}

static void
done(struct culver_content *c)
{
	close(c->fd);
}

static culver_status
message_read(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call)
{
	struct culver_content *c = *out = &mb->content;
	off_t end;

	c->fd = openat(mb->dir, mb->file[index]->d_name, O_RDONLY | O_CLOEXEC);
	if (c->fd < 0)
		return errno != ENOENT ? failed(call, "open a message") :
		    culver_fail(call, CULVER_E_GONE, 0, "it was removed");
	if ((end = lseek(c->fd, 0, SEEK_END)) >= 0) {
		c->left = (uint64_t)end;
		return CULVER_OK;
	}
	done(c);
	return failed(call, "see how long a message is");
}

static culver_status
next(struct culver_content *c, struct culver_extent *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)call;
	if ((*n = c->left > 0 && cap > 0) != 0)
		*out = (struct culver_extent){ .fd = c->fd, .length = c->left,
		    .flags = CULVER_EXT_AT_BOL };
	c->left = 0;
	return *n > 0 ? CULVER_OK : CULVER_DONE;
}

static culver_status
expunge(struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_expunge_result *res, struct culver_call *call)
{
	for (res->removed = 0; res->removed < n; res->removed++)
		if (mb->host->now(mb->host) >= call->deadline)
			return culver_fail(call, CULVER_E_TIMEOUT, 0, "late");
		else if (unlinkat(mb->dir, mb->file[index[res->removed]]->
		    d_name, 0) != 0 && errno != ENOENT)
			return failed(call, "remove a message");
	return fsync(mb->dir) == 0 ? CULVER_OK : failed(call, "sync");
}

static const struct culver_option options[] = { { .name = "path",
    .type = CULVER_OPT_TEMPLATE, .def = "~/@NAME@", .help = "directory" } };

static const struct culver_storage_ops ops = {
	.size = sizeof(ops), .create = create, .destroy = destroy,
	.paths = paths, .open = box_open, .close = box_close, .list = list,
	.read = message_read, .next = next, .done = done, .expunge = expunge,
};

CULVER_PLUGIN(storage_@NAME@) = {
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_STORAGE, .name = "@NAME@", .version = "0.1",
	.summary = "a directory with a file a message", .options = options,
	.n_options = 1, .option_size = sizeof(struct culver_option),
	.ops = { .storage = &ops },
};
