/*
 * report.h - what the evil storage plugins share: a mailbox with one message,
 * which says what was tried.
 *
 * For tests only; runs in a worker, confined as any other.  All of it is
 * static, as a plugin shows one symbol.
 */
#ifndef TESTS_SECURITY_REPORT_H
#define TESTS_SECURITY_REPORT_H

#include <stdio.h>
#include <string.h>

#include <culver/plugin.h>
#include <culver/storage.h>
#include <culver/util.h>

struct culver_content {
	_Bool sent;
};

static struct {
	size_t n;
	char text[65536];
} report;

/* A line "WHAT N"; what finds no room is left out. */
static void
report_line(const char *what, long n)
{
	char line[200];
	int len = snprintf(line, sizeof(line), "%s %ld\n", what, n);

	if (report.n == 0)
		report.n = (size_t)snprintf(report.text, sizeof(report.text),
		    "Subject: what was tried\n\n");
	if (len < 0 || report.n + sizeof(line) > sizeof(report.text))
		return;
	memcpy(report.text + report.n, line, (size_t)len);
	report.n += (size_t)len;
}

static void
report_destroy(struct culver_store *store)
{
	(void)store;
}

static void
report_close(struct culver_mailbox *mb)
{
	(void)mb;
}

static culver_status
report_list(struct culver_mailbox *mb, uint32_t first,
    struct culver_message *out, uint32_t cap, uint32_t *n,
    struct culver_call *call)
{
	(void)mb;
	(void)call;
	*n = first == 0 && cap > 0;
	if (*n > 0)
		out[0] = (struct culver_message){ .uid = "tried" };
	return *n > 0 ? CULVER_OK : CULVER_DONE;
}

static culver_status
report_read(struct culver_mailbox *mb, uint32_t index,
    struct culver_content **out, struct culver_call *call)
{
	static struct culver_content content;

	(void)mb;
	(void)index;
	(void)call;
	content.sent = 0;
	*out = &content;
	return CULVER_OK;
}

static culver_status
report_next(struct culver_content *c, struct culver_extent *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)cap;
	(void)call;
	*n = !c->sent;
	if (c->sent)
		return CULVER_DONE;
	c->sent = 1;
	out[0] = (struct culver_extent){ .fd = -1, .mem = report.text,
	    .length = report.n };
	return CULVER_OK;
}

static void
report_done(struct culver_content *c)
{
	(void)c;
}

static culver_status
report_expunge(struct culver_mailbox *mb, const uint32_t *index, uint32_t n,
    struct culver_expunge_result *res, struct culver_call *call)
{
	(void)mb;
	(void)index;
	(void)n;
	res->removed = 0;
	return culver_fail(call, CULVER_E_PERM, 0, "nothing is removed here");
}

/* The operations with which a plugin shows its report. */
#define REPORT_OPS .size = sizeof(struct culver_storage_ops), \
	.destroy = report_destroy, .close = report_close, \
	.list = report_list, .read = report_read, .next = report_next, \
	.done = report_done, .expunge = report_expunge

/* The descriptor of the plugin NAME with options[] and ops. */
#define REPORT_PLUGIN(MOD, NAME, CAPS, SUMMARY) CULVER_PLUGIN(MOD) = { \
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin), \
	.abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR, \
	.kind = CULVER_KIND_STORAGE, .caps = CULVER_ST_READONLY | (CAPS), \
	.name = NAME, .version = "1", .summary = SUMMARY, \
	.options = options, \
	.n_options = sizeof(options) / sizeof(options[0]), \
	.option_size = sizeof(struct culver_option), \
	.ops = { .storage = &ops } }

#endif /* TESTS_SECURITY_REPORT_H */
