/*
 * lines.c - messages with odd line ends, each on its own: octets, extents and
 * what TOP would read.  Runs in a check.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "core/tools/kit/model.h"
#include "core/tools/kit/walk.h"

/* The mailbox's only message is NR. */
static void
check_one(struct box *b, uint32_t nr)
{
	char *text, *want, *wire;
	size_t n, want_n, wire_n, i;

	text = text_make(nr, &n);
	want = take_wire(text, n, &want_n);
	if (b->n != 1)
		kit_fail("%s: %u messages, and 1 was put in", text_kind(nr),
		    b->n);
	if (box_read(b, 0, &wire, &wire_n) != CULVER_OK)
		kit_fail("%s: read: %s", text_kind(nr), b->err.text);
	for (i = 0; i < wire_n && i < want_n && wire[i] == want[i]; i++)
		continue;
	if (i < want_n || i < wire_n)
		kit_fail("%s: %zu octets were put in (lines ending in CRLF), "
		    "%zu came out; they differ at octet %zu", text_kind(nr),
		    want_n, wire_n, i);
	box_peek(b, 0, 1);
	box_peek(b, 0, 80);
	free(text);
	free(want);
	free(wire);
}

void
lines_check(struct kit *k)
{
	static struct model m;
	uint32_t nr, round;
	struct box b;

	for (nr = 0; nr < TEXT_KINDS; nr++) {
		kit_fresh_home(k);
		box_start(&b, k, nr);
		model_init(&m, k, nr);
		model_put(&m, &b, 1);
		/* twice: the second session may know the size */
		for (round = 0; round < 2; round++) {
			box_must_open(&b, CULVER_OPEN_EXCLUSIVE);
			check_one(&b, nr);
			box_close(&b);
		}
		box_stop(&b);
	}
}
