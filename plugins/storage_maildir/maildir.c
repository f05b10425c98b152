/*
 * maildir.c - the storage plugin for Maildirs: its descriptor, its options
 * and the operations that need no file of their own.
 *
 * Runs in a worker, one process a login, as the mailbox's owner; needs libc
 * only.  It trusts nothing that it finds in the mailbox.  Read this file
 * first, then maildir.h; culver-maildir(5) says what users see.
 */
#include "config.h"

#include "plugins/common/format.h"
#include "maildir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

enum { OPT_PATH, OPT_INDEX, OPT_CREATE, OPT_TRUST, OPT_UIDL, OPT_FORMAT,
    OPT_COUNT };

static const struct culver_option maildir_options[OPT_COUNT] = {
	[OPT_PATH] = { .name = "path", .type = CULVER_OPT_TEMPLATE,
	    .def = "~/Maildir",
	    .help = "Maildir of a user whose entry names no other" },
	[OPT_INDEX] = { .name = "index_dir", .type = CULVER_OPT_TEMPLATE,
	    .help = "where lock, state and cache live; default: the Maildir" },
	[OPT_CREATE] = { .name = "create", .type = CULVER_OPT_BOOL,
	    .def = "no",
	    .help = "make a missing Maildir in a directory of the user's" },
	[OPT_TRUST] = { .name = "trust_sizes", .type = CULVER_OPT_BOOL,
	    .def = "yes",
	    .help = "believe W= in file names until a message is read" },
	[OPT_UIDL] = { .name = "uidl", .type = CULVER_OPT_ENUM,
	    .def = "auto", .choices = md_styles,
	    .help = "the server whose UIDLs and order of messages to keep" },
	[OPT_FORMAT] = { .name = "uidl_format", .type = CULVER_OPT_STRING,
	    .def = "%08Xu%08Xv",
	    .help = "what pop3_uidl_format was, of a mailbox of Dovecot" },
};

static const char *
format_of(const struct culver_values *vals)
{
	const char *s = plug_opt_text(vals, OPT_FORMAT);

	return s != NULL ? s : "";
}

static culver_status
maildir_check_options(const struct culver_host *host,
    const struct culver_values *vals, uint32_t *bad, struct culver_call *call)
{
	(void)host;
	*bad = OPT_FORMAT;
	if (plug_format_uses(format_of(vals), MD_FORMAT_HAS) == 0)
		return culver_fail(call, CULVER_E_CONFIG, 0, "%%u, %%v, %%f "
		    "and %%g, among them %%u, %%f or %%g; hexadecimal or with "
		    "zeros, in full width, %%08Xu or %%010u; %%Mf");
	return CULVER_OK;
}

static void
maildir_destroy(struct culver_store *store)
{
	free(store->format);
	free(store->path);
	free(store->index);
	free(store);
}

static culver_status
maildir_create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	const char *path = plug_location(user, vals, OPT_PATH);
	const char *index = plug_opt_text(vals, OPT_INDEX);
	struct culver_store *store = calloc(1, sizeof(*store));

	if (store == NULL)
		return culver_fail(call, CULVER_E_NOMEM, ENOMEM, "no memory");
	if (index == NULL)
		index = path;
	*store = (struct culver_store){ .host = host, .uid = user->uid,
	    .path = plug_make_path(path, user->home),
	    .index = plug_make_path(index, user->home),
	    .format = strdup(format_of(vals)),
	    .style = (unsigned)vals->v[OPT_UIDL].u.i,
	    .quota_octets = user->quota_octets,
	    .quota_messages = user->quota_messages,
	    .create = vals->v[OPT_CREATE].u.i != 0,
	    .trust_sizes = vals->v[OPT_TRUST].u.i != 0 };
	if (store->path == NULL || store->index == NULL) {
		maildir_destroy(store);
		return plug_fail_as(call, CULVER_E_PERM,
		    "%s or %s is no absolute path; has the user a home?",
		    path, index);
	}
	if (store->format == NULL) {
		maildir_destroy(store);
		return culver_fail(call, CULVER_E_NOMEM, ENOMEM, "no memory");
	}
	*out = store;
	return CULVER_OK;
}

/* Fill OUT from record R of a snapshot. */
static void
fill_message(const struct culver_mailbox *mb, const struct md_rec *r,
    struct culver_message *out)
{
	const bool exact = (r->flags & MD_COUNTED) != 0 ||
	    ((r->flags & MD_NAMED) != 0 && mb->store->trust_sizes);

	*out = (struct culver_message){ .uid = md_uid(&mb->list, r),
	    .octets = exact ? r->octets : r->size, .stored = r->size,
	    .received = r->mtime,
	    .flags = exact ? CULVER_MSG_OCTETS_EXACT : 0 };
}

static culver_status
maildir_list(struct culver_mailbox *mb, uint32_t first,
    struct culver_message *out, uint32_t cap, uint32_t *n,
    struct culver_call *call)
{
	(void)call;
	for (*n = 0; *n < cap && first + *n < mb->list.n; (*n)++)
		fill_message(mb, md_rec_of(mb, first + *n), &out[*n]);
	return first < mb->list.n ? CULVER_OK : CULVER_DONE;
}

static culver_status
maildir_put_octets(struct culver_mailbox *mb, uint32_t index,
    uint64_t octets, struct culver_call *call)
{
	struct md_rec *r;

	if (index >= mb->list.n)
		return plug_fail_as(call, CULVER_E_TEMP,
		    "%s: there is no message %lu", mb->store->path,
		    (unsigned long)index);
	r = md_rec_of(mb, index);
	if (r->octets == octets && ((r->flags & MD_COUNTED) != 0 ||
	    ((r->flags & MD_NAMED) != 0 && mb->store->trust_sizes)))
		return CULVER_OK;
	r->octets = octets;
	r->flags |= MD_COUNTED;
	mb->dirty = true;
	return CULVER_OK;
}

static const struct culver_storage_ops maildir_ops = {
	.size = sizeof(maildir_ops),
	.create = maildir_create,
	.destroy = maildir_destroy,
	.paths = md_paths,
	.open = md_open,
	.close = md_close,
	.list = maildir_list,
	.read = md_read,
	.next = md_next,
	.done = md_done,
	.expunge = md_expunge,
	.put_octets = maildir_put_octets,
	.deliver_begin = md_deliver_begin,
	.deliver_write = md_deliver_write,
	.deliver_commit = md_deliver_commit,
	.deliver_abort = md_deliver_abort,
	.check = md_check,
};

CULVER_PLUGIN(storage_maildir) = {
	.magic = CULVER_MAGIC,
	.size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR,
	.abi_minor = CULVER_ABI_MINOR,
	.need_minor = 0,
	.kind = CULVER_KIND_STORAGE,
	.caps = CULVER_ST_DELIVER | CULVER_ST_SIZE_CACHE |
	    CULVER_ST_KEEP_UID | CULVER_ST_CHECK,
	.name = "maildir",
	.version = "1.0",
	.summary = "one file per message",
	.options = maildir_options,
	.n_options = OPT_COUNT,
	.option_size = sizeof(struct culver_option),
	.check_options = maildir_check_options,
	.ops = { .storage = &maildir_ops },
};
