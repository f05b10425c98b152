/*
 * read.c - give the core the bytes of a message.
 *
 * Runs in the worker as the mailbox's owner.  Other readers rename, remove
 * and (wrongly) change the files meanwhile.  Messages are never mapped: a file
 * that is cut while it is mapped kills the process.
 */
#include "config.h"

#include "maildir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

/* List again, for names that changed, and note what is gone. */
static culver_status
rescan(struct culver_mailbox *mb, struct culver_call *call)
{
	struct md_list fresh = { 0 };
	struct md_snap snap;
	culver_status status;
	size_t missing, i;

	status = md_scan(mb->store, mb->dir,
	    mb->rescanned ? &mb->names : &mb->list, NULL, &fresh, &snap,
	    &missing, call);
	if (status != CULVER_OK)
		return status;
	md_list_free(&mb->names);
	mb->names = fresh;
	mb->rescanned = true;
	/* what arrived since is not in the snapshot, so that is void */
	mb->changed = true;
	mb->dirty = true;
	for (i = 0; i < mb->list.n; i++) {
		struct md_rec *r = &mb->list.rec[i];

		if (md_list_find(&mb->names, md_base(&mb->list, r)) == NULL)
			r->flags |= MD_GONE;
	}
	return CULVER_OK;
}

culver_status
md_locate(struct culver_mailbox *mb, uint32_t index, bool again,
    unsigned *dir, char name[NAME_MAX + 1], struct culver_call *call)
{
	const struct md_rec *r = md_rec_of(mb, index);
	const char *base = md_base(&mb->list, r);
	const struct md_list *l = &mb->list;
	culver_status status;

	if (again && (r->flags & MD_GONE) == 0 &&
	    (status = rescan(mb, call)) != CULVER_OK)
		return status;
	if ((r->flags & MD_GONE) != 0)
		return plug_fail_as(call, CULVER_E_GONE,
		    "%s: another program removed %s", mb->store->path, base);
	if (mb->rescanned) {
		l = &mb->names;
		r = md_list_find(l, base);
		if (r == NULL)
			return plug_fail_as(call, CULVER_E_TEMP,
			    "%s: %s is lost", mb->store->path, base);
	}
	md_file_name(l, r, name);
	*dir = r->dir;
	return CULVER_OK;
}

/* Open message INDEX under the name it had last, or with AGAIN has now. */
static culver_status
open_once(struct culver_mailbox *mb, uint32_t index, bool again, int *fd,
    struct culver_call *call)
{
	char name[NAME_MAX + 1];
	culver_status status;
	unsigned dir = MD_NEW;

	status = md_locate(mb, index, again, &dir, name, call);
	if (status != CULVER_OK)
		return status;
	*fd = openat(mb->dir[dir], name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK | O_NOCTTY);
	if (*fd >= 0)
		return CULVER_OK;
	return plug_fail(call, errno, "%s: cannot open %s", mb->store->path,
	    name);
}

culver_status
md_open_file(struct culver_mailbox *mb, uint32_t index, int *fd,
    struct culver_call *call)
{
	return open_once(mb, index, false, fd, call);
}

static culver_status
open_message(struct culver_mailbox *mb, uint32_t index, int *fd,
    struct culver_call *call)
{
	culver_status status = CULVER_OK;
	int i;

	*fd = md_ahead_begin(mb, index, call);
	for (i = 0; *fd < 0 && i < MD_SCANS; i++) {
		call->err->sys_errno = 0;
		status = open_once(mb, index, i > 0, fd, call);
		if (status != CULVER_OK && call->err->sys_errno != ENOENT)
			break;
	}
	return status;
}

/* Is the file as long as it was when it was listed? */
static culver_status
check_size(struct culver_content *c, struct md_rec *r,
    struct culver_call *call)
{
	struct culver_mailbox *mb = c->mb;
	struct stat st;

	if (fstat(c->fd, &st) != 0)
		return plug_fail(call, errno, "%s: cannot stat %s",
		    mb->store->path, md_base(&mb->list, r));
	if (S_ISREG(st.st_mode) &&
	    (r->flags & (MD_STAT | MD_NAMED)) == MD_NAMED) {
		/* the first look at it; a name that was wrong is corrected */
		mb->dirty |= (uint64_t)st.st_size != r->size;
		md_rec_stat(&mb->list, r, &st);
		c->size = r->size;
	}
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size == c->size)
		return CULVER_OK;
	/* the next session must look again, or it would say this for ever */
	r->flags &= ~(unsigned)(MD_STAT | MD_COUNTED | MD_NAMED);
	mb->dirty = true;
	return plug_fail_as(call, CULVER_E_TEMP,
	    "%s: %s had %llu bytes when it was listed, now %llu",
	    mb->store->path, md_base(&mb->list, r),
	    (unsigned long long)c->size, (unsigned long long)st.st_size);
}

culver_status
md_read(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call)
{
	struct culver_content *c = &mb->content;
	culver_status status;

	if (index >= mb->list.n || c->fd >= 0)
		return plug_fail_as(call, CULVER_E_TEMP,
		    "%s: read of message %lu out of turn", mb->store->path,
		    (unsigned long)index);
	*c = (struct culver_content){ .mb = mb, .fd = -1,
	    .index = index, .size = md_rec_of(mb, index)->size };
	status = open_message(mb, index, &c->fd, call);
	if (status == CULVER_OK)
		status = check_size(c, md_rec_of(mb, index), call);
	if (status == CULVER_OK)
		*out = c;
	else
		md_done(c);
	return status;
}

culver_status
md_next(struct culver_content *c, struct culver_extent *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	culver_status status;

	*n = 0;
	if (c->given || c->size == 0) {
		/* before the core ends the message: did it read all of it? */
		status = check_size(c, md_rec_of(c->mb, c->index), call);
		return status == CULVER_OK ? CULVER_DONE : status;
	}
	if (cap == 0)
		return CULVER_OK;
	memset(out, 0, sizeof(*out));
	out->fd = c->fd;
	out->flags = CULVER_EXT_AT_BOL;
	out->length = c->size;
	c->given = true;
	*n = 1;
	return CULVER_OK;
}

void
md_done(struct culver_content *c)
{
	if (c->fd < 0)
		return;
	close(c->fd);
	c->fd = -1;
	md_ahead_done(c->mb);
}
