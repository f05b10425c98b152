/*
 * base.h - the example contrib/applog as part of a double: with a descriptor
 * that the module does not export.
 */
#include <culver/plugin.h>

#undef CULVER_EXPORT
#define CULVER_EXPORT __attribute__((visibility("hidden")))
#include "contrib/applog/applog.c"
#undef CULVER_EXPORT
#define CULVER_EXPORT __attribute__((visibility("default")))
