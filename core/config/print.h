/*
 * print.h - what is in force and where it was set; which modules there are.
 */
#ifndef CONFIG_PRINT_H
#define CONFIG_PRINT_H

#include <stdio.h>

#include "core/config/load.h"

/* Every option of C with its value and its place, in the grammar of
 * culver.conf(5) or as a JSON array.  Secrets are not in it. */
void print_config(FILE *out, const struct cf_config *c, _Bool json);

/* Every module in ENV's folder with kind, name, version, ABI, needs and
 * summary, or why it cannot be loaded. */
void print_plugins(FILE *out, const struct cf_env *env, _Bool json);

#endif /* CONFIG_PRINT_H */
