/*
 * auth_sample.c - an auth plugin that only tests load: it needs the network.
 */
#include <culver/auth.h>
#include <culver/plugin.h>
#include <culver/util.h>

static const struct culver_option options[] = {
	{.name = "path", .type = CULVER_OPT_PATH,
	    .flags = CULVER_OPT_REQUIRED, .help = "a file"},
	{.name = "scheme", .type = CULVER_OPT_STRING, .def = "CRYPT",
	    .help = "a word"},
};

struct culver_auth {
	int unused;
};

static culver_status
create(struct culver_auth **out, const struct culver_host *host,
    const struct culver_values *vals, struct culver_call *call)
{
	static struct culver_auth au;

	(void)host, (void)vals, (void)call;
	*out = &au;
	return CULVER_OK;
}

static void
destroy(struct culver_auth *au)
{
	(void)au;
}

static culver_status
paths(struct culver_auth *au, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)au, (void)out, (void)cap, (void)call;
	*n = 0;
	return CULVER_OK;
}

static culver_status
verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	(void)au, (void)rq, (void)password, (void)ok;
	return culver_fail(call, CULVER_E_AUTH, 0, "only a sample");
}

static const struct culver_auth_ops ops = {
	.size = sizeof(ops), .create = create, .destroy = destroy,
	.paths = paths, .verify_plain = verify,
};

CULVER_PLUGIN(auth_sample) = {
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_AUTH, .caps = CULVER_AU_VERIFY,
	.needs = CULVER_NEED_NET,
	.name = "sample", .version = "1.0", .summary = "for tests",
	.options = options, .n_options = 2,
	.option_size = sizeof(struct culver_option), .ops = {.auth = &ops},
};
