/*
 * mbox.c - the storage plugin for mbox files: its descriptor, its options
 * and the operations that need no file of their own.
 *
 * Runs in a worker, one process a login, as the mailbox's owner; needs libc
 * only.  It trusts nothing that it finds in the mailbox.  Read this file
 * first, then mbox.h; culver-mbox(5) says what users see.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

/* What an mbox has of Dovecot's variables; g is m. */
#define FORMAT_HAS (PLUG_FMT_UID | PLUG_FMT_VALIDITY | PLUG_FMT_MD5 | \
    PLUG_FMT_GUID)

enum { OPT_PATH, OPT_INDEX, OPT_CREATE, OPT_UIDL, OPT_FORMAT, OPT_QUOTING,
    OPT_LOCKS, OPT_DOTLOCK, OPT_COUNT };

static const char *const quoting_choices[] = { "auto", "mboxo", "mboxrd",
    NULL };
static const char *const dotlock_choices[] = { "try", "require", "no", NULL };
static const char *const lock_names[] = { "fcntl", "flock", "dotlock", NULL };

static const struct culver_option mbox_options[OPT_COUNT] = {
	[OPT_PATH] = { .name = "path", .type = CULVER_OPT_TEMPLATE,
	    .def = "/var/mail/%{user}",
	    .help = "mbox of a user whose entry names no other" },
	[OPT_INDEX] = { .name = "index_dir", .type = CULVER_OPT_TEMPLATE,
	    .def = "~/.culver-mbox",
	    .help = "where lock, UIDLs, journal and cache of this mbox live" },
	[OPT_CREATE] = { .name = "create", .type = CULVER_OPT_BOOL,
	    .def = "no",
	    .help = "make a missing mbox in a directory of the user's" },
	[OPT_UIDL] = { .name = "uidl", .type = CULVER_OPT_ENUM,
	    .def = "auto", .choices = mb_styles,
	    .help = "the server whose UIDLs and view of messages to keep" },
	[OPT_FORMAT] = { .name = "uidl_format", .type = CULVER_OPT_STRING,
	    .def = "%08Xu%08Xv",
	    .help = "what pop3_uidl_format was, of a mailbox of Dovecot" },
	[OPT_QUOTING] = { .name = "quoting", .type = CULVER_OPT_ENUM,
	    .def = "auto", .choices = quoting_choices,
	    .help = "whether lines \">From \" lose the \">\" they were given" },
	[OPT_LOCKS] = { .name = "locks", .type = CULVER_OPT_LIST,
	    .def = "{fcntl, dotlock}",
	    .help = "which locks to take, in order: fcntl, flock, dotlock" },
	[OPT_DOTLOCK] = { .name = "dotlock", .type = CULVER_OPT_ENUM,
	    .def = "try", .choices = dotlock_choices,
	    .help = "what to do where a dotlock may not be made" },
};

/* Which lock has this name?  0 if none. */
static unsigned
lock_number(const char *name)
{
	unsigned i;

	for (i = 0; lock_names[i] != NULL; i++)
		if (strcmp(name, lock_names[i]) == 0)
			return i + 1;
	return 0;
}

/* Convert option `locks'; false if it is wrong. */
static bool
get_locks(const struct culver_values *vals, unsigned char locks[MB_LOCKS])
{
	const struct culver_value *v = &vals->v[OPT_LOCKS];
	size_t i, k;

	memset(locks, 0, MB_LOCKS);
	if (v->u.list.n == 0 || v->u.list.n > MB_LOCKS)
		return false;
	for (i = 0; i < v->u.list.n; i++) {
		locks[i] = (unsigned char)lock_number(v->u.list.v[i].p);
		if (locks[i] == 0)
			return false;
		for (k = 0; k < i; k++)
			if (locks[k] == locks[i])
				return false;
	}
	return true;
}

static bool
has_dotlock(const unsigned char locks[MB_LOCKS])
{
	return memchr(locks, MB_LOCK_DOT, MB_LOCKS) != NULL;
}

/*
 * Is the directory of `path', as far as that is the same for all users, one
 * that users may make dotlocks in by its group only, and has nobody that
 * group?
 */
static void
warn_of_spool(const struct culver_host *host, const struct culver_values *vals)
{
	const char *path = plug_opt_text(vals, OPT_PATH), *end;
	size_t same = path == NULL ? 0 : strcspn(path, "%");
	char dir[PATH_MAX];
	struct stat st;

	if (same == 0 || same >= sizeof(dir) || path[0] != '/' ||
	    strchr(path + same, '/') != NULL ||
	    (host->provides & CULVER_HOST_DOTLOCK) != 0)
		return;
	end = memrchr(path, '/', same);
	snprintf(dir, sizeof(dir), "%.*s", (int)(end - path) + 1, path);
	if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode) &&
	    (st.st_mode & S_IWGRP) != 0 && (st.st_mode & S_IWOTH) == 0)
		culver_logf(host, CULVER_LOG_WARN, "only group %u may make "
		    "dotlocks in %s: say lock_group = \"%u\" (its name is as "
		    "good), or dotlock = no", (unsigned)st.st_gid, dir,
		    (unsigned)st.st_gid);
}

static const char *
format_of(const struct culver_values *vals)
{
	const char *s = plug_opt_text(vals, OPT_FORMAT);

	return s != NULL ? s : "";
}

static culver_status
mbox_check_options(const struct culver_host *host,
    const struct culver_values *vals, uint32_t *bad, struct culver_call *call)
{
	unsigned char locks[MB_LOCKS];

	*bad = OPT_FORMAT;
	if (plug_format_uses(format_of(vals), FORMAT_HAS) == 0)
		return culver_fail(call, CULVER_E_CONFIG, 0, "%%u, %%v, %%m "
		    "and %%g, among them %%u, %%m or %%g; hexadecimal or with "
		    "zeros, in full width, %%08Xu or %%010u");
	*bad = OPT_LOCKS;
	if (!get_locks(vals, locks))
		return culver_fail(call, CULVER_E_CONFIG, 0, "a list of "
		    "fcntl, flock and dotlock, each at most once");
	*bad = OPT_DOTLOCK;
	if (vals->v[OPT_DOTLOCK].u.i == MB_DOT_NO && locks[1] == 0 &&
	    locks[0] == MB_LOCK_DOT)
		return culver_fail(call, CULVER_E_CONFIG, 0, "with \"no\" "
		    "and locks = {dotlock} there would be no lock");
	if (vals->v[OPT_DOTLOCK].u.i != MB_DOT_NO && has_dotlock(locks))
		warn_of_spool(host, vals);
	return CULVER_OK;
}

static void
mbox_destroy(struct culver_store *store)
{
	mb_uids_forget(store);
	free(store->path);
	free(store->dir);
	free(store->dot);
	free(store->format);
	free(store->index);
	free(store);
}

static void
set_locks(struct culver_store *store, const struct culver_values *vals)
{
	size_t i;

	store->dotlock = (unsigned)vals->v[OPT_DOTLOCK].u.i;
	if (!get_locks(vals, store->locks))
		store->locks[0] = MB_LOCK_FCNTL;
	for (i = 0; i < MB_LOCKS; i++)
		if (store->dotlock == MB_DOT_NO &&
		    store->locks[i] == MB_LOCK_DOT)
			store->locks[i] = 0;
}

static culver_status
mbox_create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	const char *path = plug_location(user, vals, OPT_PATH);
	const char *index = plug_opt_text(vals, OPT_INDEX);
	struct culver_store *store = calloc(1, sizeof(*store));

	if (store == NULL)
		return culver_fail(call, CULVER_E_NOMEM, ENOMEM, "no memory");
	if (index == NULL)
		index = "";
	*store = (struct culver_store){ .host = host, .uid = user->uid,
	    .uids_size = UINT64_MAX,
	    .path = plug_make_path(path, user->home),
	    .index = plug_make_path(index, user->home),
	    .create = vals->v[OPT_CREATE].u.i != 0,
	    .style = (unsigned)vals->v[OPT_UIDL].u.i,
	    .quoting = (unsigned)vals->v[OPT_QUOTING].u.i,
	    .quota_octets = user->quota_octets,
	    .quota_messages = user->quota_messages };
	set_locks(store, vals);
	if (store->path == NULL || store->index == NULL) {
		mbox_destroy(store);
		return plug_fail_as(call, CULVER_E_PERM,
		    "%s or %s is no absolute path; has the user a home?",
		    path, index);
	}
	store->dir = plug_parent(store->path);
	store->format = strdup(format_of(vals));
	if (store->format != NULL)
		store->uses = plug_format_uses(store->format,
		    FORMAT_HAS);
	if (store->dir == NULL || store->format == NULL ||
	    asprintf(&store->dot, "%s.lock", store->path) < 0) {
		store->dot = NULL;
		mbox_destroy(store);
		return culver_fail(call, CULVER_E_NOMEM, ENOMEM, "no memory");
	}
	*out = store;
	return CULVER_OK;
}

static culver_status
mbox_list(struct culver_mailbox *mb, uint32_t first,
    struct culver_message *out, uint32_t cap, uint32_t *n,
    struct culver_call *call)
{
	(void)call;
	for (*n = 0; *n < cap && first + *n < mb->list.n; (*n)++) {
		const struct mb_rec *r = &mb->list.rec[first + *n];

		out[*n] = (struct culver_message){
		    .uid = mb_uid(&mb->list, r), .octets = r->octets,
		    .stored = r->next - r->start, .received = r->received,
		    .flags = CULVER_MSG_OCTETS_EXACT };
	}
	return first < mb->list.n ? CULVER_OK : CULVER_DONE;
}

static const struct culver_storage_ops mbox_ops = {
	.size = sizeof(mbox_ops),
	.create = mbox_create,
	.destroy = mbox_destroy,
	.paths = mb_paths,
	.open = mb_open,
	.close = mb_close,
	.list = mbox_list,
	.read = mb_read,
	.next = mb_next,
	.done = mb_done,
	.expunge = mb_expunge,
	.deliver_begin = mb_deliver_begin,
	.deliver_write = mb_deliver_write,
	.deliver_commit = mb_deliver_commit,
	.deliver_abort = mb_deliver_abort,
	.check = mb_check,
};

CULVER_PLUGIN(storage_mbox) = {
	.magic = CULVER_MAGIC,
	.size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR,
	.abi_minor = CULVER_ABI_MINOR,
	.need_minor = 0,
	.kind = CULVER_KIND_STORAGE,
	.caps = CULVER_ST_DELIVER | CULVER_ST_ATOMIC_EXPUNGE |
	    CULVER_ST_EXACT_OCTETS | CULVER_ST_KEEP_UID | CULVER_ST_CHECK |
	    CULVER_ST_DOTLOCK,
	.name = "mbox",
	.version = "1.0",
	.summary = "one file per mailbox",
	.options = mbox_options,
	.n_options = OPT_COUNT,
	.option_size = sizeof(struct culver_option),
	.check_options = mbox_check_options,
	.ops = { .storage = &mbox_ops },
};
