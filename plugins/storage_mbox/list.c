/*
 * list.c - the list of messages: an array of records and one run of bytes
 * with their strings, in memory as in culver-cache.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <stdlib.h>
#include <string.h>

void
mb_list_free(struct mb_list *l)
{
	if (l->block != NULL)
		free(l->block);
	else {
		free(l->rec);
		free(l->blob.p);
	}
	memset(l, 0, sizeof(*l));
}

bool
mb_list_add(struct mb_list *l, const struct mb_rec *rec)
{
	size_t cap = l->cap == 0 ? 32 : l->cap * 2;
	struct mb_rec *r;

	if (l->n == l->cap) {
		r = realloc(l->rec, cap * sizeof(*r));
		if (r == NULL)
			return false;
		l->rec = r;
		l->cap = cap;
	}
	l->rec[l->n++] = *rec;
	return true;
}
