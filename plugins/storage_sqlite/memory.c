/*
 * memory.c - where SQLite's small pieces of memory are.
 *
 * Runs in the worker as the mailbox's owner, one thread.  The library makes
 * and frees hundreds of them; with malloc() what stays of them lies scattered
 * over all the pages that a listing took.  Here they have a place of their
 * own, which is empty as soon as the database is closed.
 */
#include "config.h"

#include "plugins/storage_sqlite/sqlite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	STEP = 16,		/* bytes; a piece and its size are multiples */
	HEAD = sizeof(size_t),	/* before each piece: its size */
	SMALL = 1024,		/* larger ones are malloc()'s */
	PLACE = 512 << 10	/* so are those that find it full */
};

static size_t place[PLACE / HEAD];
static struct {
	size_t at, live;	/* what is in use, and how many pieces */
	size_t spare[SMALL / STEP + 1];	/* by size: where the first one is,
					 * from 1; each says where the next */
} m;

static int
round_up(int n)
{
	return (n + HEAD + STEP - 1) / STEP * STEP - HEAD;
}

static bool
is_ours(const size_t *head)
{
	return (uintptr_t)head - (uintptr_t)place < sizeof(place);
}

static void *
take(int want)
{
	const size_t n = (size_t)round_up(want), words = (n + HEAD) / HEAD;
	size_t *head = NULL;

	if (n <= SMALL && m.spare[n / STEP] != 0) {
		head = place + m.spare[n / STEP] - 1;
		m.spare[n / STEP] = head[1];
	} else if (n <= SMALL && words <= PLACE / HEAD - m.at) {
		head = place + m.at;
		m.at += words;
	} else
		head = malloc(n + HEAD);
	if (head == NULL)
		return NULL;
	*head = n;
	m.live += is_ours(head);
	return head + 1;
}

static void
drop(void *piece)
{
	size_t *head = (size_t *)piece - 1;

	if (!is_ours(head)) {
		free(head);
		return;
	}
	head[1] = m.spare[*head / STEP];
	m.spare[*head / STEP] = (size_t)(head - place) + 1;
	if (--m.live == 0)
		memset(&m, 0, sizeof(m));
}

static int
size_of(void *piece)
{
	return piece != NULL ? (int)((size_t *)piece)[-1] : 0;
}

static void *
change(void *piece, int want)
{
	const size_t had = ((size_t *)piece)[-1], n = (size_t)round_up(want);
	void *moved;

	if (n == had)
		return piece;
	moved = take(want);
	if (moved == NULL)
		return NULL;
	memcpy(moved, piece, n < had ? n : had);
	drop(piece);
	return moved;
}

static int
start(void *unused)
{
	(void)unused;
	return SQLITE_OK;
}

static void
end(void *unused)
{
	(void)unused;
}

void
sq_memory_start(void)
{
	static const struct sqlite3_mem_methods methods = {
		.xMalloc = take, .xFree = drop, .xRealloc = change,
		.xSize = size_of, .xRoundup = round_up, .xInit = start,
		.xShutdown = end };

#ifndef WITH_SANITIZERS		/* they are to see every piece */
	sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
#else
	(void)methods;
#endif
}

void
sq_memory_rest(void)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)(place + m.at) + page - 1) & ~(page - 1);
	uintptr_t last = (uintptr_t)(place + PLACE / HEAD) & ~(page - 1);

	/* if it fails, the memory stays */
	(void)madvise((void *)from, last - from, MADV_DONTNEED);
}
