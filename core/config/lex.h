/*
 * lex.h - words, strings and marks of culver.conf(5).
 *
 * Runs in the config role, on text that an administrator wrote.
 */
#ifndef CONFIG_LEX_H
#define CONFIG_LEX_H

#include <stddef.h>
#include <stdint.h>

#include "core/config/diag.h"

enum lex_kind {
	LEX_END, LEX_WORD, LEX_STRING, LEX_OPEN, LEX_CLOSE, LEX_EQUALS,
	LEX_COMMA
};

struct lex_token {
	enum lex_kind kind;
	_Bool first;		/* on its line */
	_Bool broken;		/* and said so: no other mistake is in it */
	uint32_t line;
	const char *text;	/* WORD, STRING: what it means */
};

struct lex {
	const struct cf_file *file;
	const char *p, *end;
	uint32_t line;
	_Bool fresh;		/* nothing was read on this line yet */
	struct lex_token ahead;	/* the next token, already read */
};

/* Begin to read N octets of TEXT. */
void lex_start(struct lex *lex, const struct cf_file *file, const char *text,
    size_t n);

/* Take the next token.  Malformed text is reported and skipped. */
struct lex_token lex_next(struct lex *lex);

/* "\"word\"", "`{'", "the end of the file": for messages; short. */
const char *lex_show(const struct lex_token *token);

#endif /* CONFIG_LEX_H */
