/*
 * openmetrics.h - what culverd counts, as OpenMetrics text.
 *
 * Used in the metrics role and in culverctl.  Trusts nothing of an answer but
 * that its size does not change while it is read.
 */
#ifndef METRICS_OPENMETRICS_H
#define METRICS_OPENMETRICS_H

#include <stddef.h>

#define OPENMETRICS_TYPE \
	"application/openmetrics-text; version=1.0.0; charset=utf-8"

/* What FD, an answer to `status' or `metrics' (core/master/records.h), says, on
 * the heap; *N octets.  NULL with errno: EPROTO if it is of another version. */
char *openmetrics_text(int fd, size_t *n);

struct openmetrics_family {
	const char *name, *type;
	const char *labels;	/* their names; NULL: none */
	const char *help;
};

/* The families besides those of base/stats.h, at most CAP, into OUT; how many
 * there are. */
unsigned openmetrics_families(struct openmetrics_family *out, unsigned cap);

#endif /* METRICS_OPENMETRICS_H */
