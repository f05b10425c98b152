/*
 * parse.h - the grammar of culver.conf(5): text to a tree.
 *
 *	file    = { setting | section | include }
 *	setting = WORD "=" value
 *	section = WORD [ WORD | STRING ] "{" { setting | section } "}"
 *	value   = WORD | STRING | "{" [ item { "," item } [ "," ] ] "}"
 *	include = "include" ( WORD | STRING )
 *
 * Line ends are white space, but for these: a value begins on the line of its
 * "=", a section's name stands on the line of the section's word, and a
 * string ends on its line.  Runs in the config role.
 */
#ifndef CONFIG_PARSE_H
#define CONFIG_PARSE_H

#include <stddef.h>
#include <stdint.h>

#include "core/config/diag.h"

enum { CF_MAX_FILES = 100, CF_MAX_DEPTH = 4, CF_MAX_SIZE = 1 << 20 };

struct cf_value {		/* as written */
	_Bool is_list;
	_Bool broken;		/* was complained about already */
	uint32_t n;		/* 1 unless it is a list */
	const char **text;
};

struct cf_key {
	struct cf_key *next;
	const char *name;
	struct cf_place at;
	struct cf_value value;
};

struct cf_block {
	struct cf_block *next;
	const char *type;
	const char *name;	/* NULL: none */
	struct cf_place at;
	struct cf_key *keys;
	struct cf_block *blocks;	/* both in the order they were read */
	struct cf_key **keys_end;
	struct cf_block **blocks_end;
};

/*
 * Where files come from: the main one is NAME "".  Gives the text (N octets,
 * at most CF_MAX_SIZE) and the path for messages, or an errno.
 */
struct cf_source {
	int (*open)(void *ctx, const char *name, const char **path,
	    const char **text, size_t *n);
	void *ctx;
};

/* Read the main file and what it includes.  What is wrong goes to diag; the
 * rest is in the tree, so that its mistakes are found as well. */
struct cf_block *cf_parse(const struct cf_source *source);

/* Parse TEXT as one value, as behind a "="; false if it is none. */
_Bool cf_parse_value(const char *text, struct cf_value *out);

#endif /* CONFIG_PARSE_H */
