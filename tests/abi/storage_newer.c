/*
 * storage_newer.c - a plugin built with the next minor's headers (next.sed):
 * longer tables, a new capability, a new host service.  With NEEDY it cannot
 * do without that minor.  Only tests load it.
 */
#include <culver/plugin.h>
#include <culver/storage.h>
#include <culver/util.h>

#ifdef NEEDY
#define NAME "needy"
#define NEED 1
#else
#define NAME "newer"
#define NEED 0
#endif

static const struct culver_option options[] = {
	{.name = "first", .type = CULVER_OPT_INT, .min = 1, .max = 9,
	    .def = "3", .help = "one", .since = "1.1"},
	{.name = "second", .type = CULVER_OPT_STRING, .help = "two",
	    .since = "1.1"},
};

struct culver_store {
	int traced, counted;
};

/* A plugin asks before it uses what an older host may lack. */
static culver_status
create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	static struct culver_store store;

	(void)vals, (void)user, (void)call;
	store = (struct culver_store){0, 0};
	if (CULVER_HAS(struct culver_host, host, trace))
		store.traced = host->trace(host, 1);
	if (CULVER_HAS(struct culver_host, host, count)) {
		host->count(host, "created", 1);
		store.counted = 1;
	}
	*out = &store;
	return store.traced * 2 + store.counted;	/* for the test */
}

static void
destroy(struct culver_store *store)
{
	(void)store;
}

static culver_status
novelty(struct culver_store *store)
{
	(void)store;
	return 77;
}

static culver_status
paths(struct culver_store *s, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)s, (void)out, (void)cap, (void)call;
	*n = 0;
	return CULVER_OK;
}

static culver_status
open_box(struct culver_store *s, uint32_t flags, struct culver_mailbox **out,
    struct culver_call *call)
{
	(void)s, (void)flags, (void)out, (void)call;
	return CULVER_E_TEMP;
}

static void
close_box(struct culver_mailbox *mb)
{
	(void)mb;
}

static culver_status
list(struct culver_mailbox *mb, uint32_t first, struct culver_message *out,
    uint32_t cap, uint32_t *n, struct culver_call *call)
{
	(void)mb, (void)first, (void)out, (void)cap, (void)n, (void)call;
	return CULVER_DONE;
}

static culver_status
read_message(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call)
{
	(void)mb, (void)index, (void)out, (void)call;
	return CULVER_E_GONE;
}

static culver_status
next(struct culver_content *c, struct culver_extent *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)c, (void)out, (void)cap, (void)n, (void)call;
	return CULVER_DONE;
}

static void
done(struct culver_content *c)
{
	(void)c;
}

static culver_status
expunge(struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_expunge_result *res, struct culver_call *call)
{
	(void)mb, (void)index, (void)n, (void)res, (void)call;
	return CULVER_OK;
}

static const struct culver_storage_ops ops = {
	.size = sizeof(ops), .create = create, .destroy = destroy,
	.paths = paths, .open = open_box, .close = close_box, .list = list,
	.read = read_message, .next = next, .done = done, .expunge = expunge,
	.novelty = novelty,
};

#ifdef NEEDY
#define MODULE storage_needy
#else
#define MODULE storage_newer
#endif
CULVER_PLUGIN(MODULE) = {
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR,
	.need_minor = NEED, .kind = CULVER_KIND_STORAGE,
	.caps = CULVER_ST_NOVELTY | CULVER_ST_EXACT_OCTETS, .name = NAME,
	.version = "1.1", .summary = "from the future", .options = options,
	.n_options = 2, .option_size = sizeof(struct culver_option),
	.ops = {.storage = &ops}, .license = "MIT",
};
