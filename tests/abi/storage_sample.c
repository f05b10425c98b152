/*
 * storage_sample.c - a storage plugin that only tests load: every type of
 * option, and a check of two options against each other.
 */
#include <culver/plugin.h>
#include <culver/storage.h>
#include <culver/util.h>

enum {
	OPT_PATH, OPT_KIND, OPT_COUNT, OPT_SIZE, OPT_TIME, OPT_FLAG, OPT_TEXT,
	OPT_DIR, OPT_NAMES, OPT_KEY, OPT_OLD, OPT_LOW, OPT_HIGH, N_OPTIONS
};

static const char *const kinds[] = {"auto", "name", "dovecot", "courier", NULL};

static const struct culver_option options[N_OPTIONS] = {
	[OPT_PATH] = {.name = "path", .type = CULVER_OPT_TEMPLATE,
	    .flags = CULVER_OPT_REQUIRED, .help = "where the mail is"},
	[OPT_KIND] = {.name = "kind", .type = CULVER_OPT_ENUM, .def = "auto",
	    .choices = kinds, .help = "which one of four"},
	[OPT_COUNT] = {.name = "count", .type = CULVER_OPT_INT, .min = -5,
	    .max = 5000, .def = "7", .help = "how many"},
	[OPT_SIZE] = {.name = "size", .type = CULVER_OPT_SIZE, .min = 1024,
	    .max = 1 << 30, .def = "1M", .help = "how much"},
	[OPT_TIME] = {.name = "wait", .type = CULVER_OPT_TIME,
	    .min = 1000000, .max = INT64_C(3600000000000), .def = "30s",
	    .help = "how long"},
	[OPT_FLAG] = {.name = "create", .type = CULVER_OPT_BOOL, .def = "no",
	    .help = "make what is missing"},
	[OPT_TEXT] = {.name = "title", .type = CULVER_OPT_STRING, .min = 2,
	    .max = 10, .help = "a short text"},
	[OPT_DIR] = {.name = "index_dir", .type = CULVER_OPT_PATH,
	    .help = "a folder"},
	[OPT_NAMES] = {.name = "names", .type = CULVER_OPT_LIST,
	    .def = "{a, \"b c\"}", .help = "some words"},
	[OPT_KEY] = {.name = "api_key", .type = CULVER_OPT_STRING,
	    .max = 64, .flags = CULVER_OPT_SECRET, .help = "a secret"},
	[OPT_OLD] = {.name = "old_name", .type = CULVER_OPT_BOOL,
	    .flags = CULVER_OPT_DEPRECATED, .def = "no",
	    .help = "use create"},
	[OPT_LOW] = {.name = "low", .type = CULVER_OPT_INT, .min = 0,
	    .max = 100, .def = "1", .help = "not above high"},
	[OPT_HIGH] = {.name = "high", .type = CULVER_OPT_INT, .min = 0,
	    .max = 100, .def = "9", .help = "not below low"},
};

static culver_status
check(const struct culver_host *host, const struct culver_values *vals,
    uint32_t *bad, struct culver_call *call)
{
	(void)host;
	if (vals->v[OPT_LOW].u.i <= vals->v[OPT_HIGH].u.i)
		return CULVER_OK;
	*bad = OPT_LOW;
	return culver_fail(call, CULVER_E_CONFIG, 0, "low is above high");
}

struct culver_store {
	int unused;
};

static culver_status
create(struct culver_store **out, const struct culver_host *host,
    const struct culver_values *vals, const struct culver_user *user,
    struct culver_call *call)
{
	static struct culver_store store;

	(void)host, (void)vals, (void)user, (void)call;
	*out = &store;
	return CULVER_OK;
}

static void
destroy(struct culver_store *store)
{
	(void)store;
}

static culver_status
paths(struct culver_store *store, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)store, (void)out, (void)cap, (void)call;
	*n = 0;
	return CULVER_OK;
}

static culver_status
open_box(struct culver_store *store, uint32_t flags,
    struct culver_mailbox **out, struct culver_call *call)
{
	(void)store, (void)flags, (void)out;
	return culver_fail(call, CULVER_E_TEMP, 0, "only a sample");
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
	(void)mb, (void)first, (void)out, (void)cap, (void)call;
	*n = 0;
	return CULVER_DONE;
}

static culver_status
read_message(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call)
{
	(void)mb, (void)index, (void)out;
	return culver_fail(call, CULVER_E_GONE, 0, "only a sample");
}

static culver_status
next(struct culver_content *c, struct culver_extent *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)c, (void)out, (void)cap, (void)call;
	*n = 0;
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
	(void)mb, (void)index, (void)n, (void)call;
	res->removed = 0;
	return CULVER_OK;
}

static const struct culver_storage_ops ops = {
	.size = sizeof(ops), .create = create, .destroy = destroy,
	.paths = paths, .open = open_box, .close = close_box, .list = list,
	.read = read_message, .next = next, .done = done, .expunge = expunge,
};

CULVER_PLUGIN(storage_sample) = {
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_STORAGE, .name = "sample", .version = "1.0",
	.summary = "for tests", .options = options, .n_options = N_OPTIONS,
	.option_size = sizeof(struct culver_option), .check_options = check,
	.ops = {.storage = &ops},
};
