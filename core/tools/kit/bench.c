/*
 * bench.c - culver-plugin bench: how long calls take on mailboxes of 100,
 * 1,000, ... messages of 4 KiB.
 *
 * Each size has a process and a home of its own.  Times are of the plugin's
 * calls; the octets of messages are read, and nothing else is done to them.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <sys/wait.h>

#include <culver/storage.h>

#include "core/base/clock.h"
#include "core/tools/kit/check.h"
#include "core/tools/kit/commands.h"
#include "core/tools/kit/model.h"

enum { SIZE = 4096 };
enum { DELIVER, OPEN, OPEN_AGAIN, LIST, READ, EXPUNGE, ROWS };

static const char *const row[ROWS] = { "deliver", "open", "open again",
    "list", "read", "expunge" };

/* Nanoseconds; of deliver, read and expunge for one message. */
static uint64_t *took;

static void
deliver(struct box *b, uint32_t n)
{
	static const char head[] = "Subject: bench\r\n\r\n";
	static char text[SIZE];
	char uid[BOX_UID];
	uint64_t from;
	uint32_t i;

	memset(text, 'x', sizeof(text));
	memcpy(text, head, sizeof(head) - 1);
	for (i = 78; i < SIZE; i += 80) {
		text[i] = '\r';
		text[i + 1] = '\n';
	}
	from = clock_now();
	for (i = 0; i < n; i++)
		if (box_deliver(b, text, sizeof(text), uid) != CULVER_OK)
			kit_fail("%s: %s", b->doing, b->err.text);
	took[DELIVER] = (clock_now() - from) / n;
}

/* open() and list() of a new store: what a login costs. */
static void
open_it(struct kit *k, struct box *b, int which)
{
	struct culver_message m[64];
	uint32_t n = 1, total = 0;
	uint64_t from;

	box_start(b, k, 1);
	from = clock_now();
	if (box_end(b, b->ops->open(b->store, CULVER_OPEN_EXCLUSIVE, &b->mb,
	    box_begin(b, "open")), false) != CULVER_OK)
		kit_fail("open: %s", b->err.text);
	took[which] = clock_now() - from;
	from = clock_now();
	while (n > 0 && b->ops->list(b->mb, total, m, 64, &n,
	    box_begin(b, "list")) == CULVER_OK)
		total += n;
	took[LIST] = clock_now() - from;
	b->msg = NULL;
}

static void
run(struct kit *k, uint32_t n)
{
	uint32_t *index = calloc(n, sizeof(*index)), removed, i;
	struct box b;
	uint64_t from;

	box_start(&b, k, 1);
	deliver(&b, n);
	box_stop(&b);
	open_it(k, &b, OPEN);
	box_stop(&b);
	open_it(k, &b, OPEN_AGAIN);
	b.msg = calloc(n, sizeof(*b.msg));	/* sizes that nobody knows */
	if (b.msg == NULL || index == NULL)
		kit_fail("no memory");
	from = clock_now();
	for (i = 0; i < n; i++)
		box_peek(&b, i, SIZE_MAX);
	took[READ] = (clock_now() - from) / n;
	for (i = 0; i < n / 2; i++)
		index[i] = 2 * i;
	from = clock_now();
	if (box_expunge(&b, index, n / 2, &removed) != CULVER_OK)
		kit_fail("expunge: %s", b.err.text);
	took[EXPUNGE] = (clock_now() - from) / (n / 2);
	free(b.msg);
	b.msg = NULL;
	box_stop(&b);
	free(index);
}

static void
print(uint32_t n, bool json, bool first)
{
	int i;

	if (json) {
		printf("%s{\"messages\": %u", first ? "[" : ",\n ", n);
		for (i = 0; i < ROWS; i++)
			printf(", \"%s_ns\": %" PRIu64, i == OPEN_AGAIN ?
			    "open_again" : row[i], took[i]);
		putchar('}');
		return;
	}
	if (first) {
		printf("%10s", "messages");
		for (i = 0; i < ROWS; i++)
			printf("%11s us", row[i]);
		putchar('\n');
	}
	printf("%10u", n);
	for (i = 0; i < ROWS; i++)
		printf("%14.1f", (double)took[i] / 1000);
	putchar('\n');
}

int
kit_bench_main(struct kit *k, bool json)
{
	bool first = true;
	uint32_t n;

	if (!kit_begin(k, CULVER_KIND_STORAGE))
		return EX_DATAERR;
	if ((k->plugin.desc.caps & CULVER_ST_DELIVER) == 0) {
		fprintf(stderr, "culver-plugin: bench needs a plugin that can "
		    "deliver\n");
		kit_end(k);
		return EX_UNAVAILABLE;
	}
	took = kit_shared_memory(ROWS * sizeof(*took));
	for (n = 100; n <= k->messages; n *= 10, first = false) {
		pid_t pid;
		int status;

		kit_fresh_home(k);
		fflush(stdout);
		pid = kit_fork();
		if (pid == 0) {
			run(k, n);
			kit_done();
		}
		waitpid(pid, &status, 0);
		if (status != KIT_DONE << 8) {
			fprintf(stderr, "culver-plugin: %s\n",
			    k->shared->fail);
			kit_end(k);
			return 1;
		}
		print(n, json, first);
	}
	if (json)
		puts("]");
	kit_end(k);
	return 0;
}
