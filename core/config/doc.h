/*
 * doc.h - the documentation of an option, made from its table: what
 * `culver-plugin doc' prints and what the manual pages list.
 */
#ifndef CONFIG_DOC_H
#define CONFIG_DOC_H

#include <stdio.h>

#include <culver/plugin.h>

/* O as lines of text, or as an item of an mdoc(7) list.  COMPUTED, if not
 * NULL, says what the default is when no fixed value is. */
void doc_text(FILE *out, const struct culver_option *o, const char *computed);
void doc_mdoc(FILE *out, const struct culver_option *o, const char *computed);

#endif /* CONFIG_DOC_H */
