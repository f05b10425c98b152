/*
 * features.h - what Culver takes from the kernel and the machine if it is
 * there, and what it costs where it is not.
 *
 * One table for `culverd -t', the warnings at the start, `culverctl status' and
 * the metrics.  What Culver cannot do without (close_range of Linux 5.9,
 * openat2) is not in it: it does not start then.
 */
#ifndef BASE_FEATURES_H
#define BASE_FEATURES_H

#include "core/base/sandbox.h"

struct feature {
	enum sandbox_part part;
	const char *name;	/* "landlock-scope" */
	const char *since;	/* what gives it: "Linux 6.12" */
	const char *without;	/* what it costs, without the full stop */
};
extern const struct feature features[];
extern const unsigned n_features;

#endif /* BASE_FEATURES_H */
