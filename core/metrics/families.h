/*
 * families.h - the metrics that are not counted in base/stats.h: what master,
 * manager and roles say of the moment.  For core/metrics only.
 */
#ifndef METRICS_FAMILIES_H
#define METRICS_FAMILIES_H

#include <stdio.h>

#include "core/master/records.h"

struct answer {
	int fd;
	struct rec_head head;
	struct rec_metrics m;
};

/* Write the series of family NAME ("_total" and its like included). */
typedef void writer(FILE *f, const char *name, const struct answer *a);

struct family {
	const char *name, *type, *unit, *labels, *help;
	writer *write;
};

extern const struct family families[];
extern const unsigned n_families;

#endif /* METRICS_FAMILIES_H */
