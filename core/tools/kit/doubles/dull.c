/*
 * dull.c - the doubles `fail' and `slow': a storage plugin whose calls fail
 * with a status of the configuration, or sleep first, whatever their deadline.
 *
 * Compiled once for each, over the example contrib/applog.  For tests of what
 * calls plugins: set `call' to the one that fails or sleeps.
 */
#define _GNU_SOURCE
#define storage_applog_LTX_culver_plugin dull_base
#include "core/tools/kit/doubles/base.h"

enum { DULL_CALL = N_OPTIONS, DULL_HOW, DULL_OPTIONS };

static const char *const calls[] = { "all", "create", "paths", "open",
	"list", "read", "next", "expunge", "deliver_begin", "deliver_write",
	"deliver_commit", NULL };

static struct culver_value dull[2];

/* What happens to call NAME first; OK: nothing. */
static culver_status
first(const char *name, struct culver_call *call)
{
	const char *chosen = calls[dull[0].u.i];
	const struct timespec t = { .tv_sec = dull[1].u.i / 1000000000,
	    .tv_nsec = dull[1].u.i % 1000000000 };

	if (strcmp(chosen, "all") != 0 && strcmp(chosen, name) != 0)
		return CULVER_OK;
#ifdef DULL_SLOW
	(void)call;
	nanosleep(&t, NULL);
	return CULVER_OK;
#else
	(void)t;
	return culver_fail(call, (culver_status)dull[1].u.i, 0,
	    "%s: as configured", name);
#endif
}

/* NAME(PARAMETERS), which hands ARGS on to the example. */
#define DULL(name, parameters, args)				\
	static culver_status					\
	dull_##name parameters					\
	{							\
		culver_status st = first(#name, call);		\
								\
		return st != CULVER_OK ? st : applog_##name args;	\
	}

DULL(paths, (struct culver_store *s, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call), (s, out, cap, n, call))
DULL(open, (struct culver_store *s, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call),
    (s, flags, out, call))
DULL(list, (struct culver_mailbox *mb, uint32_t at,
    struct culver_message *out, uint32_t cap, uint32_t *n,
    struct culver_call *call), (mb, at, out, cap, n, call))
DULL(read, (struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call),
    (mb, index, out, call))
DULL(next, (struct culver_content *c, struct culver_extent *out,
    uint32_t cap, uint32_t *n, struct culver_call *call),
    (c, out, cap, n, call))
DULL(expunge, (struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_expunge_result *res, struct culver_call *call),
    (mb, index, n, res, call))
DULL(deliver_begin, (struct culver_store *s,
    const struct culver_envelope *env, struct culver_delivery **out,
    struct culver_call *call), (s, env, out, call))
DULL(deliver_write, (struct culver_delivery *d, const void *buf, size_t n,
    struct culver_call *call), (d, buf, n, call))

static culver_status
dull_create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	culver_status st;

	dull[0] = vals->v[DULL_CALL];
	dull[1] = vals->v[DULL_HOW];
	st = first("create", call);
	return st != CULVER_OK ? st :
	    applog_create(out, host, vals, user, call);
}

/* The delivery is over, also when this fails. */
static culver_status
dull_deliver_commit(struct culver_delivery *d, struct culver_str *uid,
    struct culver_call *call)
{
	culver_status st = first("deliver_commit", call);

	if (st == CULVER_OK)
		return applog_deliver_commit(d, uid, call);
	applog_deliver_abort(d);
	return st;
}

static const struct culver_option dull_options[DULL_OPTIONS] = {
	[OPT_PATH] = { .name = "path", .type = CULVER_OPT_TEMPLATE,
	    .def = "~/mail.log", .help = "log file of the user's mail" },
	[OPT_CREATE] = { .name = "create", .type = CULVER_OPT_BOOL,
	    .def = "no", .help = "make a missing file" },
	[DULL_CALL] = { .name = "call", .type = CULVER_OPT_ENUM, .def = "all",
	    .choices = calls, .help = "which call" },
#ifdef DULL_SLOW
	[DULL_HOW] = { .name = "delay", .type = CULVER_OPT_TIME,
	    .def = "100ms", .help = "how long it sleeps" },
#else
	[DULL_HOW] = { .name = "status", .type = CULVER_OPT_INT, .def = "-1",
	    .min = -1000, .max = -1, .help = "what it returns" },
#endif
};

static const struct culver_storage_ops dull_ops = {
	.size = sizeof(dull_ops), .create = dull_create,
	.destroy = applog_destroy, .paths = dull_paths, .open = dull_open,
	.close = applog_close, .list = dull_list, .read = dull_read,
	.next = dull_next, .done = applog_done, .expunge = dull_expunge,
	.deliver_begin = dull_deliver_begin,
	.deliver_write = dull_deliver_write,
	.deliver_commit = dull_deliver_commit,
	.deliver_abort = applog_deliver_abort,
};

#ifdef DULL_SLOW
CULVER_PLUGIN(storage_slow) = { .name = "slow",
	.summary = "sleeps in its calls",
#else
CULVER_PLUGIN(storage_fail) = { .name = "fail",
	.summary = "fails in its calls",
#endif
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_STORAGE, .version = "1.0",
	.caps = CULVER_ST_DELIVER | CULVER_ST_ATOMIC_EXPUNGE,
	.options = dull_options, .n_options = DULL_OPTIONS,
	.option_size = sizeof(struct culver_option),
	.ops = { .storage = &dull_ops },
};
