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

static _Bool
take(struct sums *s, enum frame_type type, const uint8_t *p, size_t n)
{
	struct frame_sum sum;

	if (type == FRAME_PROBLEM) {
		ctl_warnx("%.*s", (int)n, (const char *)p);
		return 1;
	}
	if (type != FRAME_SUM || n != sizeof(sum)) {
		ctl_warnx("the mailbox process does not say what it should");
		return 0;
	}
	memcpy(&sum, p, sizeof(sum));
	return sums_add(s, &sum);
}

int
sums_read(struct sums *s, const struct ctl_conf *conf,
    const struct ctl_user *user, uint32_t section, const uint64_t seed[2],
    _Bool progress)
{
	static uint8_t buf[FRAME_MAX];
	struct box_job job = {.what = BOX_SUMS, .seed = {seed[0], seed[1]}};
	struct frame_done done = {.status = CULVER_E_TEMP};
	struct box_child child;
	enum frame_type type;
	_Bool ended = 0, ok = 1;
	int status;
	size_t n;

	s->n = 0;
	if (!box_start(&child, conf, user, section, &job))
		return EX_NOPERM;
	while (ok && !ended &&
	    (type = frame_get(child.data, buf, &n)) != 0) {
		box_log(&child);
		ended = type == FRAME_DONE && n == sizeof(done);
		if (ended)
			memcpy(&done, buf, n);
		else
			ok = take(s, type, buf, n);
		if (progress && s->n % 100 == 0)
			fprintf(stderr, "\rlooked at %" PRIu32 " ", s->n);
	}
	s->keeps_uids = done.keeps_uids != 0;
	status = box_end_status(&child, &done, ended, user->name);
	return ok ? status : EX_DATAERR;
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
