/*
 * doc.c - print what an option takes, what it is without, and what for.
 *
 * Runs in culver-plugin and at build time, on tables of plugins.
 */
#include "config.h"

#include <string.h>

#include "core/config/convert.h"
#include "core/config/doc.h"
#include "core/config/mem.h"

static const char *
type_word(uint32_t type)
{
	static const char *const words[] = {"?", "yes | no", "number", "size",
	    "time", "word", "text", "path", "template", "list"};

	return words[type <= CULVER_OPT_LIST ? type : 0];
}

static const char *
choices(const struct culver_option *o)
{
	const char *all = "";

	for (int i = 0; o->choices[i] != NULL; i++)
		all = mem_printf("%s%s%s", all, i > 0 ? " | " : "",
		    o->choices[i]);
	return all;
}

/* "1s to 1h", or NULL. */
static const char *
range(const struct culver_option *o)
{
	struct culver_option shown = *o;
	struct culver_value low = {.u.i = o->min}, high = {.u.i = o->max};

	if ((o->min == 0 && o->max == 0) || o->type < CULVER_OPT_INT ||
	    o->type > CULVER_OPT_TIME)
		return NULL;
	if (o->type == CULVER_OPT_TIME)
		return mem_printf("%s to %s", convert_show_time(o->min),
		    convert_show_time(o->max));
	shown.flags = 0;	/* a secret's bounds are none */
	return mem_printf("%s to %s", convert_show(&shown, &low),
	    convert_show(&shown, &high));
}

/* "required, 1 to 9", "default 7, 1 to 9"; "" if there is nothing to say. */
static const char *
facts(const struct culver_option *o, const char *computed)
{
	const char *text = "", *bounds = range(o);

	if ((o->flags & CULVER_OPT_REQUIRED) != 0)
		text = "required";
	else if (computed != NULL)
		text = mem_printf("default: %s", computed);
	else if (o->def != NULL)
		text = mem_printf("default %s", o->def);
	if (bounds != NULL)
		text = mem_printf("%s%s%s", text, *text ? ", " : "", bounds);
	if ((o->flags & CULVER_OPT_SECRET) != 0)
		text = mem_printf("%s%ssecret", text, *text ? ", " : "");
	if ((o->flags & CULVER_OPT_DEPRECATED) != 0)
		text = mem_printf("%s%sdeprecated", text, *text ? ", " : "");
	return text;
}

void
doc_text(FILE *out, const struct culver_option *o, const char *computed)
{
	const char *what = facts(o, computed);

	fprintf(out, "  %s = %s%s%s%s\n", o->name,
	    o->type == CULVER_OPT_ENUM ? choices(o) : type_word(o->type),
	    *what ? "  (" : "", what, *what ? ")" : "");
	if (o->help != NULL)
		fprintf(out, "\t%s\n", o->help);
}

/* TEXT so that mdoc prints it as it is, as one or many arguments of a macro
 * or as a line. */
static void
mdoc_put(FILE *out, const char *text, _Bool argument)
{
	if (text[0] == '.' || text[0] == '\'')
		fputs("\\&", out);
	for (; *text != 0; text++) {
		if (*text == '\\')
			fputs("\\e", out);
		else if (argument && *text == '"')
			fputs("\\(dq", out);
		else if (*text == '-')
			fputs("\\-", out);
		else if (*text == '~')
			fputs("\\(ti", out);
		else
			fputc(*text, out);
	}
}

/* TEXT as a sentence, in lines of at most 78 columns. */
static void
mdoc_lines(FILE *out, const char *text)
{
	if (*text >= 'a' && *text <= 'z') {
		char *copy = mem_copy(text, strlen(text));

		copy[0] = (char)(copy[0] - 'a' + 'A');
		text = copy;
	}
	while (strlen(text) > 76) {
		size_t n = 76;

		while (n > 0 && text[n] != ' ')
			n--;
		if (n == 0)
			break;
		mdoc_put(out, mem_copy(text, n), 0);
		fputc('\n', out);
		text += n + 1;
	}
	mdoc_put(out, text, 0);
	fputs(".\n", out);
}

void
doc_mdoc(FILE *out, const struct culver_option *o, const char *computed)
{
	const char *what = facts(o, computed);
	_Bool words = o->type == CULVER_OPT_ENUM || o->type == CULVER_OPT_BOOL;

	fprintf(out, ".It Cm %s No = %s ", o->name, words ? "Cm" : "Ar");
	mdoc_put(out, o->type == CULVER_OPT_ENUM ? choices(o) :
	    type_word(o->type), 1);
	if (*what) {
		/* quoted, so that no word of it is taken for a macro */
		fputs(" Pq \"", out);
		mdoc_put(out, what, 1);
		fputc('"', out);
	}
	fputc('\n', out);
	mdoc_lines(out, o->help != NULL && *o->help ? o->help :
	    "(no description)");
}
