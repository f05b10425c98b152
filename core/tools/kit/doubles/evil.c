/*
 * evil.c - a storage plugin that breaks one rule, chosen by its option `rule'.
 *
 * A double: it is the example contrib/applog with something wrong.  The kit
 * must find each of these; `rule = none' must pass.  See tests/abi/evil.
 */
#define _GNU_SOURCE
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The loose one is also described wrong. */
#ifdef EVIL_LOOSE
#define EVIL_CAPS	CULVER_ST_READONLY
#define EVIL_SUMMARY	"breaks a rule\nand another one"
#define EVIL_HELP	NULL
#else
#define EVIL_CAPS	0
#define EVIL_SUMMARY	"breaks a rule"
#define EVIL_HELP	"what it breaks"
#endif

/* Which rule is broken, and the functions in place of libc's. */
static const char *rule = "none";
static int evil_fsync(int fd);
static ssize_t evil_pwrite(int fd, const void *p, size_t n, off_t at);
static void *evil_calloc(size_t n, size_t size);

#define fsync evil_fsync
#define pwrite evil_pwrite
#define calloc evil_calloc
#define storage_applog_LTX_culver_plugin evil_base
#include "core/tools/kit/doubles/base.h"
#undef fsync
#undef pwrite
#undef calloc

static int
is(const char *name)
{
	return strcmp(rule, name) == 0;
}

#include "core/tools/kit/doubles/soil.h"

enum { EVIL_RULE = N_OPTIONS, EVIL_OPTIONS };

static const char *const rules[] = { "none",
	"uid_space", "uid_long", "uid_empty", "uid_double", "uid_changes",
	"uid_of_place", "count_zero", "count_over", "done_with_some",
	"reserved", "octets_wrong", "flag_crlf", "flag_bol", "flag_dot",
	"extent_reserved", "extent_short", "no_error_text", "bad_status",
	"error_lines", "no_lock", "lock_waits", "lock_stays",
	"absent_is_empty", "expunge_wrong", "expunge_none", "expunge_more",
	"removed_wrong", "commit_uid", "abort_commits", "begin_shows",
	"cr_lost", "dot_lost", "nul_ends", "snapshot_grows", "path_outside",
	"path_relative", "crash", "exits",
	"fd_leak", "fd_inherited", "fd_closed", "memory_leak", "signal",
	"sigmask", "cwd", "umask", "locale", "environ", "rlimit", "child",
	"thread", "stdout", "stdio",
	"host_size", "minor_equal", "no_deadline",
	"torn", "not_atomic", "write_ignored", "malloc_unchecked",
	"fault_fd", "fault_memory",
	"arena_unchecked", "sync_ignored", "sync_again", "no_sync",
	"no_dir_sync", "readonly_lock", "uid_reused", "memory_hog",
	"check_blames", "check_silent", "late_temp", "late_lies",
	"list_cursor", "quota_ignored", "location_ignored", "uid_not_kept",
	"uid_kept_twice", "received_lost", "check_finds", "check_over",
	"create_ignored", NULL };

static culver_status
evil_check_options(const struct culver_host *host,
    const struct culver_values *vals, uint32_t *bad, struct culver_call *call)
{
	(void)host;
	rule = rules[vals->v[EVIL_RULE].u.i];
	*bad = is("check_blames") ? EVIL_OPTIONS : 0;
	if (is("check_blames"))
		return culver_fail(call, CULVER_E_CONFIG, 0, "somebody");
	return is("check_silent") ? CULVER_E_CONFIG : CULVER_OK;
}

static culver_status
evil_create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	struct culver_user u = *user;
	culver_status st;

	rule = rules[vals->v[EVIL_RULE].u.i];
	if ((is("host_size") && host->size != sizeof(*host)) ||
	    (is("minor_equal") && host->abi_minor != CULVER_ABI_MINOR))
		return culver_fail(call, CULVER_E_PERM, 0, "another host");
	if (is("location_ignored"))
		u.location = NULL;
	if (is("quota_ignored"))
		u.quota_messages = u.quota_octets = 0;
	st = applog_create(out, host, vals, &u, call);
	if (st == CULVER_OK && is("create_ignored"))
		(*out)->create = 1;
	return st;
}

static culver_status
evil_paths(struct culver_store *s, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	culver_status st = applog_paths(s, out, cap, n, call);

	if (is("arena_unchecked") && culver_alloc(s->host, call, 8) == NULL)
		raise(SIGSEGV);
	if (is("absent_is_empty") && st != CULVER_OK) {
		*n = 0;
		return CULVER_OK;
	}
	if (is("path_outside") && cap > 0)
		out[0].path = "/tmp/evil";
	if (is("path_relative") && cap > 0)
		out[0].path = "mail.log";
	return st;
}

/* A lock that a kill leaves behind. */
static const char *
lock_name(const struct culver_store *s)
{
	static char name[4096];

	snprintf(name, sizeof(name), "%.4000s.lock", s->path);
	return name;
}

static culver_status
evil_open(struct culver_store *s, uint32_t flags, struct culver_mailbox **out,
    struct culver_call *call)
{
	culver_status st;
	int fd, i;

	soil();
	if (is("no_lock"))
		flags &= ~(uint32_t)CULVER_OPEN_EXCLUSIVE;
	if (is("readonly_lock") && (flags & CULVER_OPEN_READONLY) == 0 &&
	    access(lock_name(s), F_OK) == 0)
		return culver_fail(call, CULVER_E_IN_USE, 0, "lock");
	if ((is("readonly_lock") && (flags & CULVER_OPEN_READONLY) != 0) ||
	    (is("lock_stays") && (flags & CULVER_OPEN_EXCLUSIVE) != 0)) {
		fd = open(lock_name(s), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		    0600);
		if (fd < 0)
			return culver_fail(call, CULVER_E_IN_USE, 0, "lock");
		close(fd);
	}
	st = applog_open(s, flags, out, call);
	for (i = 0; is("lock_waits") && st == CULVER_E_IN_USE && i < 30; i++) {
		usleep(100000);
		st = applog_open(s, flags, out, call);
	}
	if (st == CULVER_OK && is("late_temp") && is_late(s, call)) {
		applog_close(*out);
		return culver_fail(call, CULVER_E_TEMP, 0, "late");
	}
	if (st == CULVER_E_IN_USE && is("no_error_text"))
		call->err->text[0] = '\0';
	if (st == CULVER_E_IN_USE && is("error_lines"))
		culver_fail(call, st, 0, "in use\r\n+OK");
	if (st == CULVER_E_IN_USE && is("bad_status"))
		st = -77;
	if (st == CULVER_E_TEMP && is("absent_is_empty")) {
		*out = calloc(1, sizeof(**out));
		(*out)->fd = -1;
		return CULVER_OK;
	}
	for (i = 0; st == CULVER_OK && (uint32_t)i < (*out)->n; i++) {
		char *uid = (*out)->m[i].r.uid;
		uint32_t random;

		s->host->random(s->host, &random, sizeof(random));
		if (is("uid_changes"))
			uid[0] = (char)('g' + random % 16);
		if (is("uid_of_place"))
			snprintf(uid, sizeof((*out)->m[i].r.uid), "%d", i + 1);
		if (is("uid_double"))
			memcpy(uid, (*out)->m[0].r.uid, 33);
	}
	return st;
}

static void
evil_close(struct culver_mailbox *mb)
{
	if (is("lock_stays") || is("readonly_lock"))
		unlink(lock_name(mb->store));
	applog_close(mb);
}

static culver_status
evil_list(struct culver_mailbox *mb, uint32_t first,
    struct culver_message *out, uint32_t cap, uint32_t *n,
    struct culver_call *call)
{
	static char uid[2][40];
	static uint32_t cursor;
	culver_status st;
	uint32_t i;

	if (is("exits") && first > 0)
		exit(0);
	if (is("snapshot_grows") && first == 0) {
		struct culver_mailbox *now = NULL, old = *mb;

		st = applog_open(mb->store, 0, &now, call);
		if (st != CULVER_OK || now == NULL)
			return st;
		*mb = (struct culver_mailbox){ .store = old.store,
		    .m = now->m, .n = now->n, .fd = old.fd };
		now->m = old.m;
		applog_close(now);
	}
	if (is("list_cursor") && first > 0)
		first = cursor;
	st = applog_list(mb, first, out, cap, n, call);
	cursor = first + *n;
	if (st == CULVER_OK && is("count_over"))
		*n = cap + 1;
	if (st == CULVER_DONE && is("count_zero"))
		return CULVER_OK;
	if (st == CULVER_OK && is("done_with_some"))
		return CULVER_DONE;
	for (i = 0; st == CULVER_OK && i < *n && i < cap; i++) {
		if (is("uid_reused"))
			out[i].uid = memcpy(uid[i % 2], out[i].uid, 33);
		if (is("uid_space"))
			out[i].uid = "a b";
		if (is("uid_long"))
			out[i].uid = "12345678901234567890123456789012345678"
			    "901234567890123456789012345678901";
		if (is("uid_empty"))
			out[i].uid = "";
		if (is("reserved"))
			out[i].reserved[1] = 1;
		if (is("octets_wrong")) {
			out[i].octets++;
			out[i].flags = CULVER_MSG_OCTETS_EXACT;
		}
	}
	return st;
}

static culver_status
evil_next(struct culver_content *c, struct culver_extent *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	culver_status st = applog_next(c, out, cap, n, call);

	if (st != CULVER_OK)
		return st;
	if (is("crash"))
		raise(SIGSEGV);
	if (is("flag_crlf"))
		out->flags |= CULVER_EXT_CRLF;
	if (is("flag_dot"))
		out->flags |= CULVER_EXT_NO_DOT;
	if (is("extent_reserved"))
		out->reserved = 1;
	if (is("extent_short"))
		out->length += 1 << 20;
	if (is("flag_bol") && cap > 1 && out->length > 10) {
		out[1] = out[0];
		out[0].length = 5;
		out[1].offset += 5;
		out[1].length -= 5;
		*n = 2;
	}
	return st;
}

static culver_status
evil_expunge(struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_expunge_result *res, struct culver_call *call)
{
	uint32_t *other = calloc((size_t)n + 1, sizeof(*other)), i;
	culver_status st = CULVER_OK;

	res->removed = 0;
	if (other == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "no memory");
	for (i = 0; i < n; i++)
		other[i] = index[i];
	if (is("expunge_wrong"))
		other[0] = other[0] > 0 ? other[0] - 1 : mb->n - 1;
	res->removed = n;
	if (is("expunge_more") && n < mb->n) {
		for (i = 0; i < n && index[i] == i; i++)
			continue;
		other[n] = i;
		st = applog_expunge(mb, other, n + 1, res, call);
		res->removed = n;
	} else if (is("not_atomic")) {
		for (i = 0; i < n && st == CULVER_OK; i++)
			st = applog_expunge(mb, &other[i], 1, res, call);
		res->removed = st == CULVER_OK ? n : 0;
	} else if (!is("expunge_none")) {
		st = applog_expunge(mb, other, n, res, call);
	}
	if (is("removed_wrong") && res->removed > 0)
		res->removed--;
	free(other);
	return st;
}

static void
evil_abort(struct culver_delivery *d)
{
	struct culver_error err = { .size = sizeof(err) };
	struct culver_call call = { .size = sizeof(call), .err = &err,
	    .deadline = UINT64_MAX };

	if (is("abort_commits"))
		append(d->store, d->r, sizeof(*d->r) + d->r->n, &call);
	applog_deliver_abort(d);
}

static culver_status
evil_write(struct culver_delivery *d, const void *buf, size_t n,
    struct culver_call *call)
{
	char *copy = malloc(n + 1);
	culver_status st = CULVER_E_NOMEM;

	if (copy == NULL)
		return culver_fail(call, st, 0, "no memory");
	memcpy(copy, buf, n);
	st = applog_deliver_write(d, copy, spoil(copy, n), call);
	free(copy);
	if (st == CULVER_OK && is("begin_shows")) {
		st = append(d->store, d->r, sizeof(*d->r) + d->r->n, call);
		d->r->type = MESSAGE;
	}
	return st;
}

static culver_status
evil_commit(struct culver_delivery *d, struct culver_str *uid,
    struct culver_call *call)
{
	const struct culver_store *s = d->store;
	uint64_t n = d->r->n;
	culver_status st;

	if (is("torn") && n > 80) {
		/* the first half, and then all of it in its place */
		d->r->n = n / 2;
		st = append(d->store, d->r, sizeof(*d->r) + n / 2, call);
		d->r->n = n;
		d->r->type = MESSAGE;
		if (st == CULVER_OK && truncate(d->store->path,
		    (off_t)d->store->whole) != 0)
			st = fail(call, d->store, "be torn");
		if (st != CULVER_OK) {
			applog_deliver_abort(d);
			return st;
		}
	}
	st = applog_deliver_commit(d, uid, call);
	if (st == CULVER_OK && is("late_lies") && is_late(s, call))
		return culver_fail(call, CULVER_E_TIMEOUT, 0, "late");
	if (st != CULVER_OK)
		litter();
	else
		uid->n = strlen(uid->p);
	if (st == CULVER_OK && is("commit_uid"))
		*uid = (struct culver_str){ "nobody", 6 };
	return st;
}

static const struct culver_option evil_options[EVIL_OPTIONS] = {
	[OPT_PATH] = { .name = "path", .type = CULVER_OPT_TEMPLATE,
	    .def = "~/mail.log", .help = "log file of the user's mail" },
	[OPT_CREATE] = { .name = "create", .type = CULVER_OPT_BOOL,
	    .def = "no", .help = "make a missing file" },
	[EVIL_RULE] = { .name = "rule", .type = CULVER_OPT_ENUM,
	    .def = "none", .choices = rules, .help = EVIL_HELP },
};

static const struct culver_storage_ops evil_ops = {
	.size = sizeof(evil_ops), .create = evil_create,
	.destroy = applog_destroy, .paths = evil_paths, .open = evil_open,
	.close = evil_close, .list = evil_list, .read = applog_read,
	.next = evil_next, .done = applog_done, .expunge = evil_expunge,
	.deliver_begin = evil_begin, .deliver_write = evil_write,
	.deliver_commit = evil_commit, .deliver_abort = evil_abort,
	.check = evil_check,
};

CULVER_PLUGIN(storage_evil) = {
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_STORAGE, .name = "evil", .version = "1.0",
	.caps = CULVER_ST_DELIVER | CULVER_ST_ATOMIC_EXPUNGE |
	    CULVER_ST_KEEP_UID | CULVER_ST_CHECK | EVIL_CAPS,
	.summary = EVIL_SUMMARY, .options = evil_options,
	.check_options = evil_check_options,
	.n_options = EVIL_OPTIONS,
	.option_size = sizeof(struct culver_option),
	.ops = { .storage = &evil_ops },
};
