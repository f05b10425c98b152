/*
 * parse.c - a recursive descent over the tokens of lex.c that goes on after
 * mistakes: one mistake, one message.
 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "core/config/lex.h"
#include "core/config/mem.h"
#include "core/config/parse.h"

struct parser {
	const struct cf_source *source;
	struct cf_file *files, **files_end;
	unsigned n_files;
	const struct cf_file *open[CF_MAX_FILES + 1];	/* that include this */
	unsigned depth;
	struct lex lex;
};

static void items(struct parser *p, struct cf_block *block, unsigned depth);

static struct cf_place
place(const struct parser *p, const struct lex_token *t)
{
	return (struct cf_place){.file = p->lex.file, .line = t->line};
}

/* After a mistake: go on with what begins a line, or closes this block. */
static void
recover(struct parser *p)
{
	unsigned depth = 0;

	for (;;) {
		const struct lex_token *t = &p->lex.ahead;

		if (t->kind == LEX_END ||
		    (depth == 0 && (t->kind == LEX_CLOSE || t->first)))
			return;
		if (t->kind == LEX_OPEN)
			depth++;
		else if (t->kind == LEX_CLOSE)
			depth--;
		lex_next(&p->lex);
	}
}

static _Bool
is_text(const struct lex_token *t)
{
	return t->kind == LEX_WORD || t->kind == LEX_STRING;
}

struct item {
	struct item *next;
	const char *text;
};

static void
value_from(struct cf_value *v, const struct item *first, uint32_t n)
{
	v->text = mem_get((n + 1) * sizeof(*v->text));
	v->n = 0;
	for (; first != NULL; first = first->next)
		v->text[v->n++] = first->text;
}

/* Behind the opening brace. */
static void
list(struct parser *p, struct cf_value *v, const char *key)
{
	struct item *first = NULL, **end = &first;
	_Bool comma = 1;
	uint32_t n = 0;

	v->is_list = 1;
	for (;;) {
		struct lex_token t = p->lex.ahead;

		if (t.kind == LEX_CLOSE) {
			lex_next(&p->lex);
			break;
		}
		if (is_text(&t) ? !comma : t.kind != LEX_COMMA || comma) {
			if (!v->broken)
				diag_error(place(p, &t), key, "%s is out of "
				    "place in this list: wanted {item, item}",
				    lex_show(&t));
			v->broken = 1;
			recover(p);
			if (p->lex.ahead.kind == LEX_CLOSE &&
			    !p->lex.ahead.first)
				lex_next(&p->lex);
			break;
		}
		lex_next(&p->lex);
		comma = t.kind == LEX_COMMA;
		v->broken |= t.broken;
		if (!comma) {
			*end = mem_get(sizeof(**end));
			(*end)->text = t.text;
			end = &(*end)->next;
			n++;
		}
	}
	value_from(v, first, n);
}

static _Bool
value(struct parser *p, struct cf_value *v, const char *key, uint32_t line)
{
	struct lex_token t = p->lex.ahead;

	*v = (struct cf_value){.n = 0};
	if ((!is_text(&t) && t.kind != LEX_OPEN) || t.line != line) {
		diag_error((struct cf_place){p->lex.file, line}, key,
		    "its value is missing: wanted a word, \"text\" or {a, b} "
		    "behind the `='");
		if (t.line == line && t.kind != LEX_CLOSE)
			recover(p);
		return 0;
	}
	lex_next(&p->lex);
	if (t.kind == LEX_OPEN) {
		list(p, v, key);
	} else {
		struct item one = {.text = t.text};

		v->broken = t.broken;
		value_from(v, &one, 1);
	}
	return 1;
}

static void
setting(struct parser *p, struct cf_block *block, const struct lex_token *name)
{
	struct lex_token equals = lex_next(&p->lex);
	struct cf_key *k = mem_get(sizeof(*k));

	k->name = name->text;
	k->at = place(p, name);
	if (!value(p, &k->value, name->text, equals.line))
		k->value.broken = 1;
	*block->keys_end = k;
	block->keys_end = &k->next;
}

static void
section(struct parser *p, struct cf_block *parent,
    const struct lex_token *type, const char *name, unsigned depth)
{
	struct cf_block *b = mem_get(sizeof(*b));

	lex_next(&p->lex);		/* the opening brace */
	b->type = type->text;
	b->name = name;
	b->at = place(p, type);
	b->keys_end = &b->keys;
	b->blocks_end = &b->blocks;
	if (depth == CF_MAX_DEPTH) {
		diag_error(b->at, NULL, "sections are nested too deep here");
		recover(p);
		return;
	}
	items(p, b, depth + 1);
	*parent->blocks_end = b;
	parent->blocks_end = &b->next;
}

static void file(struct parser *p, struct cf_block *root, const char *name,
    const struct cf_place *from);

static void
include(struct parser *p, struct cf_block *block,
    const struct lex_token *word, unsigned depth)
{
	struct lex_token name = lex_next(&p->lex);
	struct cf_place at = place(p, word);
	struct lex saved = p->lex;

	if (name.broken)
		return;
	if (depth > 0)
		diag_error(at, NULL, "include \"%.200s\" stands inside a "
		    "section: move it outside of all sections", name.text);
	else if (p->n_files > CF_MAX_FILES)
		diag_error(at, NULL, "include \"%.200s\": more than %d files "
		    "are included: join some", name.text, CF_MAX_FILES);
	else if (name.text[0] == 0)
		diag_error(at, NULL, "include \"\": the name of a file is "
		    "missing");
	else
		file(p, block, name.text, &at);
	p->lex = saved;
}

/* A word that begins something; it was taken. */
static void
item(struct parser *p, struct cf_block *block, const struct lex_token *word,
    unsigned depth)
{
	struct lex_token ahead = p->lex.ahead, name;

	if (ahead.kind == LEX_EQUALS) {
		setting(p, block, word);
	} else if (ahead.kind == LEX_OPEN) {
		section(p, block, word, NULL, depth);
	} else if (is_text(&ahead) && ahead.line == word->line &&
	    strcmp(word->text, "include") == 0) {
		include(p, block, word, depth);
	} else if (is_text(&ahead) && ahead.line == word->line) {
		name = lex_next(&p->lex);
		if (p->lex.ahead.kind == LEX_OPEN) {
			section(p, block, word, name.text, depth);
			return;
		}
		if (!word->broken && !name.broken)
			diag_error(place(p, word), NULL, "\"%.60s\" is "
			    "followed by %s: wanted `%.60s = value' or "
			    "`%.60s NAME {'", word->text, lex_show(&name),
			    word->text, word->text);
		recover(p);
	} else {
		if (!word->broken)
			diag_error(place(p, word), NULL, "\"%.60s\" stands "
			    "alone: wanted `%.60s = value' or `%.60s NAME {'",
			    word->text, word->text, word->text);
		recover(p);
	}
}

static void
items(struct parser *p, struct cf_block *block, unsigned depth)
{
	for (;;) {
		struct lex_token t = lex_next(&p->lex);

		if (t.kind == LEX_END) {
			if (depth > 0)
				diag_error(block->at, NULL, "section \"%.60s\" "
				    "is not closed: add `}' at its end",
				    block->type);
			return;
		}
		if (t.kind == LEX_CLOSE && depth > 0)
			return;
		if (t.kind == LEX_WORD) {
			item(p, block, &t, depth);
			continue;
		}
		if (!t.broken)
			diag_error(place(p, &t), NULL, t.kind == LEX_CLOSE ?
			    "%s closes no section: remove it" :
			    "%s is out of place: wanted `key = value' or a "
			    "section", lex_show(&t));
		if (t.kind != LEX_CLOSE)
			recover(p);
	}
}

/* Is the file at PATH being read already?  Then it includes itself. */
static _Bool
is_open(const struct parser *p, const char *path)
{
	for (unsigned i = 0; i < p->depth; i++)
		if (strcmp(p->open[i]->path, path) == 0)
			return 1;
	return 0;
}

static void
file(struct parser *p, struct cf_block *root, const char *name,
    const struct cf_place *from)
{
	struct cf_file *f = mem_get(sizeof(*f));
	const char *text = NULL;
	size_t n = 0;
	int error = p->source->open(p->source->ctx, name, &f->path, &text, &n);

	if (f->path == NULL)
		f->path = name[0] != 0 ? name : "culver.conf";
	f->rank = p->n_files++;
	if (error != 0) {
		struct cf_place at = {.file = f, .line = 1};

		if (from != NULL)
			diag_error(*from, NULL, "include \"%.200s\": %s: "
			    "wanted a file below the main file's folder that "
			    "only root (or who runs this) may write", name,
			    error == EPERM ? "its owner or mode will not do" :
			    error == EXDEV ? "it is elsewhere" :
			    strerror(error));
		else
			diag_error(at, NULL, "cannot be read: %s",
			    error == EPERM ? "wanted a file that belongs to "
			    "root (or to who runs this) and that nobody else "
			    "may write: chown root, chmod go-w" :
			    strerror(error));
		return;
	}
	if (from != NULL && is_open(p, f->path)) {
		diag_error(*from, NULL, "include \"%.200s\": this file is "
		    "being read already: it would include itself", name);
		return;
	}
	*p->files_end = f;
	p->files_end = &f->next;
	p->open[p->depth++] = f;
	lex_start(&p->lex, f, text, n);
	items(p, root, 0);
	p->depth--;
}

static struct cf_block *
root_new(void)
{
	struct cf_block *root = mem_get(sizeof(*root));

	root->type = "";
	root->keys_end = &root->keys;
	root->blocks_end = &root->blocks;
	return root;
}

struct cf_block *
cf_parse(const struct cf_source *source)
{
	struct cf_block *root = root_new();
	struct parser *p = mem_get(sizeof(*p));

	p->source = source;
	p->files_end = &p->files;
	file(p, root, "", NULL);
	if (p->files != NULL)
		root->at = (struct cf_place){.file = p->files, .line = 1};
	return root;
}

_Bool
cf_parse_value(const char *text, struct cf_value *out)
{
	static const struct cf_file nowhere = {.path = "(default)"};
	struct parser *p = mem_get(sizeof(*p));

	lex_start(&p->lex, &nowhere, text, strlen(text));
	return value(p, out, NULL, 1) && !out->broken &&
	    p->lex.ahead.kind == LEX_END;
}
