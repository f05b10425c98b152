/*
 * ctl_sums.c - what each message of a mailbox is, in order, and which message
 * is which: for commands that go on where they were interrupted.
 *
 * Runs in culverctl as its caller, often root; what a mailbox process says is
 * a user's.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/tools/ctl_auth.h"
#include "core/tools/ctl_mailbox.h"

enum { MAX_MESSAGES = 1 << 22 };

_Bool
sums_add(struct sums *s, const struct frame_sum *sum)
{
	if (s->n >= MAX_MESSAGES) {
		ctl_warnx("more than %d messages", (int)MAX_MESSAGES);
		return 0;
	}
	if (s->n == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 256;
		void *v = reallocarray(s->v, cap, sizeof(*s->v));

		if (v == NULL) {
			ctl_warn("%u messages", s->n);
			return 0;
		}
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n] = *sum;
	s->v[s->n].uidl[sizeof(s->v->uidl) - 1] = 0;
	s->n++;
	return 1;
}

struct hearing {
	struct sums *sums;
	_Bool progress;
};

static _Bool
take(void *arg, enum frame_type type, const uint8_t *p, size_t n)
{
	const struct hearing *h = arg;
	struct frame_sum sum;

	if (type != FRAME_SUM || n != sizeof(sum))
		return box_nonsense();
	memcpy(&sum, p, sizeof(sum));
	if (h->progress && h->sums->n % 100 == 0)
		fprintf(stderr, "\rlooked at %" PRIu32 " ", h->sums->n);
	return sums_add(h->sums, &sum);
}

int
sums_read(struct sums *s, const struct ctl_conf *conf,
    const struct ctl_user *user, uint32_t section, const uint64_t seed[2],
    _Bool progress)
{
	struct box_job job = {.what = BOX_SUMS, .seed = {seed[0], seed[1]}};
	struct hearing h = {s, progress};
	struct box_child child;
	struct frame_done done;
	int status;

	s->n = 0;
	if (!box_start(&child, conf, user, section, &job))
		return EX_NOPERM;
	status = box_hear(&child, user->name, take, &h, &done);
	s->keeps_uids = done.keeps_uids != 0;
	return status;
}

/* --- which is which --------------------------------------------------------- */

/* qsort() has no argument for it. */
static const struct sums *sorting;

int
sum_compare(const struct frame_sum *a, const struct frame_sum *b)
{
	return a->octets != b->octets ? (a->octets < b->octets ? -1 : 1) :
	    memcmp(a->hash, b->hash, sizeof(a->hash));
}

/* UIDLs where they are kept, else content. */
static int
compare(const struct frame_sum *a, const struct frame_sum *b)
{
	return sorting->keeps_uids ? strcmp(a->uidl, b->uidl) :
	    sum_compare(a, b);
}

static int
by_index(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;
	int d = compare(&sorting->v[*x], &sorting->v[*y]);

	return d != 0 ? d : *x < *y ? -1 : *x > *y;
}

/* The first of INDEX that is not less than KEY. */
static uint32_t
lower(const uint32_t *index, const struct frame_sum *key)
{
	uint32_t lo = 0, hi = sorting->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (compare(&sorting->v[index[mid]], key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint32_t
sums_match(const struct sums *source, const struct sums *target,
    uint32_t **match)
{
	uint32_t missing = 0, at;
	uint32_t *index = calloc(target->n + 1, sizeof(*index));
	uint8_t *used = calloc(target->n + 1, 1);

	*match = reallocarray(*match, source->n + 1, sizeof(**match));
	if (used == NULL || index == NULL || *match == NULL) {
		ctl_warn("%u messages", target->n);
		exit(EX_OSERR);
	}
	for (uint32_t i = 0; i < target->n; i++)
		index[i] = i;
	sorting = target;
	qsort(index, target->n, sizeof(*index), by_index);
	for (uint32_t i = 0; i < source->n; i++) {
		const struct frame_sum *key = &source->v[i];

		(*match)[i] = UINT32_MAX;
		for (at = lower(index, key); at < target->n &&
		    compare(&target->v[index[at]], key) == 0; at++)
			if (!used[at]) {
				used[at] = 1;
				(*match)[i] = index[at];
				break;
			}
		missing += (*match)[i] == UINT32_MAX;
	}
	free(used);
	free(index);
	return missing;
}
