/*
 * convert.h - from a value as written to a value of its option's type.
 *
 * Runs in the config role, for Culver's own options and those of plugins.
 */
#ifndef CONFIG_CONVERT_H
#define CONFIG_CONVERT_H

#include <culver/plugin.h>

#include "core/config/parse.h"

enum { CONVERT_ERR = 1024 };

/*
 * Convert RAW to O's type and check its bounds.  On success OUT->u is set and
 * lives as long as the run's memory.  False with ERR: what is wrong and what
 * would be right; a secret is not quoted there.
 */
_Bool convert_value(const struct culver_option *o, const struct cf_value *raw,
    struct culver_value *out, char err[CONVERT_ERR]);

/* The value that O has when nobody sets it. */
_Bool convert_default(const struct culver_option *o, struct culver_value *out,
    char err[CONVERT_ERR]);

/* V as one would write it; a secret is "(secret)". */
const char *convert_show(const struct culver_option *o,
    const struct culver_value *v);

/* "10m", "1500ms": T nanoseconds in the largest unit that is exact. */
const char *convert_show_time(int64_t t);

/* TEXT in double quotes, as the configuration wants it. */
const char *convert_quote(const char *text);

#endif /* CONFIG_CONVERT_H */
