/*
 * fakehost.c - the host table for plugins under test; see fakehost.h.
 */
#include "config.h"

#include "tests/unit/fakehost.h"

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

struct block {
	struct block *next;
	_Alignas(max_align_t) unsigned char mem[];
};

struct culver_arena {
	struct block *blocks;
	unsigned *fail;
};

/* HOST is the first member of a struct fakehost, which is not const. */
static struct fakehost *
fake(const struct culver_host *host)
{
	return (struct fakehost *)(uintptr_t)host;
}

static void
fake_log(const struct culver_host *host, int32_t level, const char *text)
{
	struct fakehost *f = fake(host);
	size_t n = strlen(f->log);

	snprintf(f->log + n, sizeof(f->log) - n, "%d %s\n", (int)level, text);
	f->logged++;
}

static void *
fake_alloc(struct culver_arena *arena, size_t n)
{
	struct block *b;

	if (*arena->fail > 0 && --*arena->fail == 0)
		return NULL;
	b = calloc(1, sizeof(*b) + n);
	if (b == NULL)
		return NULL;
	b->next = arena->blocks;
	arena->blocks = b;
	return b->mem;
}

static uint64_t
fake_now(const struct culver_host *host)
{
	struct timespec ts;

	if (fake(host)->clock != 0)
		return fake(host)->clock;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void
fake_random(const struct culver_host *host, void *buf, size_t n)
{
	struct fakehost *f = fake(host);
	unsigned char *p = buf;

	if (f->seed == 0) {
		while (n > 0) {
			ssize_t got = getrandom(p, n, 0);

			if (got > 0) {
				p += got;
				n -= (size_t)got;
			}
		}
		return;
	}
	for (; n > 0; n--) {
		f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
		*p++ = (unsigned char)(f->seed >> 56);
	}
}

static void
fake_wipe(void *buf, size_t n)
{
	explicit_bzero(buf, n);
}

static void
fake_count(const struct culver_host *host, const char *name, uint64_t add)
{
	(void)host;
	(void)name;
	(void)add;
}

void
fakehost_init(struct fakehost *f)
{
	memset(f, 0, sizeof(*f));
	f->host = (struct culver_host){ .size = sizeof(f->host),
	    .abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR,
	    .log = fake_log, .alloc = fake_alloc, .now = fake_now,
	    .random = fake_random, .wipe = fake_wipe, .count = fake_count };
	f->call = (struct culver_call){ .size = sizeof(f->call),
	    .deadline = UINT64_MAX, .err = &f->err };
	f->call.arena = calloc(1, sizeof(*f->call.arena));
	if (f->call.arena == NULL)
		abort();
	f->call.arena->fail = &f->fail_alloc;
}

struct culver_call *
fakehost_call(struct fakehost *f)
{
	memset(&f->err, 0, sizeof(f->err));
	f->err.size = sizeof(f->err);
	return &f->call;
}

void
fakehost_reset(struct fakehost *f)
{
	struct block *b;

	while ((b = f->call.arena->blocks) != NULL) {
		f->call.arena->blocks = b->next;
		free(b);
	}
	f->log[0] = '\0';
	f->logged = 0;
}

void
fakehost_free(struct fakehost *f)
{
	fakehost_reset(f);
	free(f->call.arena);
	f->call.arena = NULL;
}
