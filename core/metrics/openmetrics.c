/*
 * openmetrics.c - see openmetrics.h; OpenMetrics 1.0.
 *
 * All families are always there, and all their series, so that a counter does
 * not appear with its first event.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/stats.h"
#include "core/metrics/families.h"
#include "core/metrics/openmetrics.h"

static void
describe(FILE *f, const char *name, const char *type, const char *unit,
    const char *help)
{
	fprintf(f, "# TYPE %s %s\n", name, type);
	if (unit != NULL)
		fprintf(f, "# UNIT %s %s\n", name, unit);
	fprintf(f, "# HELP %s %s\n", name, help);
}

static void
histogram(FILE *f, const struct stats_family *s, const uint64_t *v)
{
	uint64_t n = 0, sum = v[STATS_N_BUCKET];

	for (unsigned i = 0; i < STATS_N_BUCKET; i++) {
		n += v[i];
		fprintf(f, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", s->name,
		    stats_bound_text[i], n);
	}
	fprintf(f, "%s_count %" PRIu64 "\n%s_sum %" PRIu64 ".%09" PRIu64 "\n",
	    s->name, n, s->name, sum / NS_PER_S, sum % NS_PER_S);
}

static void
counters(FILE *f, const struct stats_family *s, const uint64_t *v)
{
	const struct stats_label *a = &s->label[0], *b = &s->label[1];

	if (a->n == 0)
		fprintf(f, "%s_total %" PRIu64 "\n", s->name, *v);
	for (unsigned i = 0; i < a->n; i++) {
		if (b->n == 0)
			fprintf(f, "%s_total{%s=\"%s\"} %" PRIu64 "\n",
			    s->name, a->name, a->value[i], *v++);
		for (unsigned k = 0; k < b->n; k++)
			fprintf(f, "%s_total{%s=\"%s\",%s=\"%s\"} %" PRIu64
			    "\n", s->name, a->name, a->value[i], b->name,
			    b->value[k], *v++);
	}
}

static const char *
kind_name(const struct stats_family *s)
{
	return s->kind == STATS_HISTOGRAM ? "histogram" : "counter";
}

static void
write_all(FILE *f, const struct answer *a)
{
	char total[64];

	for (unsigned i = 0; i < n_families; i++) {
		const struct family *p = &families[i];

		describe(f, p->name, p->type, p->unit, p->help);
		snprintf(total, sizeof(total), "%s%s", p->name,
		    strcmp(p->type, "counter") == 0 ? "_total" : "");
		p->write(f, total, a);
	}
	for (unsigned i = 0; i < STATS_FAMILIES; i++) {
		const struct stats_family *s = &stats_families[i];

		describe(f, s->name, kind_name(s), s->unit, s->help);
		(s->kind == STATS_HISTOGRAM ? histogram : counters)(f, s,
		    &a->m.stats[s->first]);
	}
	fputs("# EOF\n", f);
}

static _Bool
answer_read(struct answer *a)
{
	if (pread(a->fd, &a->head, sizeof(a->head), 0) !=
	    (ssize_t)sizeof(a->head) || a->head.magic != REC_MAGIC_STATUS ||
	    a->head.size != sizeof(struct rec_status) ||
	    pread(a->fd, &a->m, sizeof(a->m), (off_t)(sizeof(a->head) +
	    (uint64_t)a->head.count * sizeof(struct rec_status))) !=
	    (ssize_t)sizeof(a->m) || a->m.magic != REC_MAGIC_METRICS ||
	    a->m.size != sizeof(a->m) || a->m.n_stats != STATS_N)
		return 0;
	a->head.version[sizeof(a->head.version) - 1] = 0;
	for (unsigned i = 0; i < CONF_MAX_AUTH; i++)
		a->m.section[i][CONF_NAME - 1] = 0;
	return 1;
}

char *
openmetrics_text(int fd, size_t *n)
{
	static struct answer a;
	char *text = NULL;
	_Bool ok;
	FILE *f;

	a = (struct answer){.fd = fd};
	if (!answer_read(&a)) {
		errno = EPROTO;
		return NULL;
	}
	f = open_memstream(&text, n);
	if (f == NULL)
		return NULL;
	write_all(f, &a);
	ok = !ferror(f);
	if (fclose(f) == 0 && ok)
		return text;
	free(text);
	errno = ENOMEM;
	return NULL;
}

unsigned
openmetrics_families(struct openmetrics_family *out, unsigned cap)
{
	for (unsigned i = 0; i < n_families && i < cap; i++)
		out[i] = (struct openmetrics_family){families[i].name,
		    families[i].type, families[i].labels, families[i].help};
	return n_families;
}
