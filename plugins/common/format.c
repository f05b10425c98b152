/*
 * format.c - the UIDLs that Dovecot made by its pop3_uidl_format: format.h.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.
 * Dovecot 2.3 has %[0WIDTH][FILTERS]LETTER, and 2.4 %{NAME | FILTER | ...}.
 */
#include "config.h"

#include "plugins/common/format.h"
#include "plugins/common/md5.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MAX_FILTERS 4

/* One variable and what is done to it, in order: X, M, L, U. */
struct item {
	char letter, filter[MAX_FILTERS];
	unsigned n_filters;
	unsigned width;		/* of a number, with zeros; 0: as it is */
};

static const struct {
	char letter;
	unsigned bit;
	const char *name;
} variables[] = {
	{ 'u', PLUG_FMT_UID, "uid" },
	{ 'v', PLUG_FMT_VALIDITY, "uidvalidity" },
	{ 'm', PLUG_FMT_MD5, "md5" },
	{ 'f', PLUG_FMT_NAME, "filename" },
	{ 'g', PLUG_FMT_GUID, "guid" },
};

enum { N_VARIABLES = sizeof(variables) / sizeof(variables[0]) };

static bool
add_filter(struct item *it, char filter)
{
	if (it->n_filters == MAX_FILTERS)
		return false;
	it->filter[it->n_filters++] = filter;
	return true;
}

/* The name at *P; its length. */
static size_t
take_word(const char **p)
{
	size_t n = strspn(*p, "abcdefghijklmnopqrstuvwxyz5");

	*p += n;
	return n;
}

static bool
is_word(const char *s, size_t n, const char *word)
{
	return strlen(word) == n && strncmp(s, word, n) == 0;
}

static unsigned
take_number(const char **p)
{
	unsigned v = 0;

	for (; **p >= '0' && **p <= '9'; (*p)++)
		if (v < 1000)
			v = v * 10 + (unsigned)(**p - '0');
	return v;
}

static void
skip_spaces(const char **p)
{
	while (**p == ' ')
		(*p)++;
}

/* A filter of 2.4 at *P. */
static bool
take_filter(const char **p, struct item *it)
{
	static const struct { const char *name; char filter; } names[] = {
	    { "hex", 'X' }, { "md5", 'M' }, { "lower", 'L' },
	    { "upper", 'U' } };
	const char *word = *p;
	size_t n = take_word(p), i;

	for (i = 0; i < 4 && !is_word(word, n, names[i].name); i++)
		continue;
	if (i == 4 || !add_filter(it, names[i].filter))
		return false;
	if (**p != '(' || names[i].filter != 'X' || it->width != 0)
		return **p != '(';
	(*p)++;
	it->width = take_number(p);
	return it->width > 0 && *(*p)++ == ')';
}

/* NAME or NAME | FILTER... at *P, behind the '{'; *P then is behind '}'. */
static bool
take_long(const char **p, struct item *it)
{
	const char *word;
	size_t i, n;

	skip_spaces(p);
	word = *p;
	n = take_word(p);
	for (i = 0; i < N_VARIABLES && !is_word(word, n, variables[i].name);
	    i++)
		continue;
	if (i == N_VARIABLES)
		return false;
	it->letter = variables[i].letter;
	for (;;) {
		skip_spaces(p);
		if (**p != '|')
			return *(*p)++ == '}';
		(*p)++;
		skip_spaces(p);
		if (!take_filter(p, it))
			return false;
	}
}

/* Is it a variable, and do its filters and its width fit it? */
static bool
item_ok(const struct item *it)
{
	bool number = it->letter == 'u' || it->letter == 'v', hex = false;
	unsigned i;

	if (it->letter == '\0' || strchr("uvmfg", it->letter) == NULL)
		return false;
	for (i = 0; i < it->n_filters; i++) {
		if (it->filter[i] == 'X' && !number)
			return false;
		hex |= it->filter[i] == 'X';
		if (it->filter[i] == 'X' || it->filter[i] == 'M')
			number = false;
	}
	/* Dovecot would cut what is wider */
	if (it->width == 0)
		return true;
	return (it->letter == 'u' || it->letter == 'v') &&
	    memchr(it->filter, 'M', it->n_filters) == NULL &&
	    it->width >= (hex ? 8 : 10) && it->width <= PLUG_UID_MAX;
}

/* The variable at *P, behind its '%'; *P then is behind it. */
static bool
take_item(const char **p, struct item *it)
{
	*it = (struct item){ .letter = '\0' };
	if (**p == '{') {
		(*p)++;
		return take_long(p, it) && item_ok(it);
	}
	if (**p == '0') {
		it->width = take_number(p);
		if (it->width == 0)
			return false;
	}
	for (; **p != '\0' && strchr("XMLU", **p) != NULL; (*p)++)
		if (!add_filter(it, **p))
			return false;
	if (**p != '\0')
		it->letter = *(*p)++;
	return item_ok(it);
}

/* Make TEXT, of ROOM octets, what FILTER makes of it. */
static void
apply(char filter, const struct item *it, uint32_t number, char *text,
    size_t room)
{
	unsigned char sum[16];
	struct md5 md5;
	char *p;

	if (filter == 'X')
		snprintf(text, room, "%0*" PRIx32, (int)it->width, number);
	else if (filter == 'M') {
		md5_init(&md5);
		md5_add(&md5, text, strlen(text));
		md5_end(&md5, sum);
		plug_hex(sum, sizeof(sum), text);
	} else
		for (p = text; *p != '\0'; p++)
			*p = (char)(filter == 'L' ?
			    tolower((unsigned char)*p) :
			    toupper((unsigned char)*p));
}

/* The value of IT, without the end if it is longer than any UIDL may be. */
static bool
make_item(const struct item *it, const struct plug_format_vars *v, char *text,
    size_t room)
{
	const char *from = it->letter == 'm' ? v->md5 : it->letter == 'f' ?
	    v->name : v->guid;
	uint32_t number = it->letter == 'u' ? v->uid : v->validity;
	unsigned i;

	if (it->letter == 'u' || it->letter == 'v')
		snprintf(text, room, "%0*" PRIu32, (int)it->width, number);
	else if (from == NULL || strlen(from) >= room)
		return false;
	else
		memcpy(text, from, strlen(from) + 1);
	for (i = 0; i < it->n_filters; i++)
		apply(it->filter[i], it, number, text, room);
	return true;
}

bool
plug_format_make(const char *format, const struct plug_format_vars *vars,
    char out[PLUG_UID_MAX + 1])
{
	char text[NAME_MAX + 1];
	struct item it;
	size_t n = 0, k;

	while (*format != '\0') {
		text[0] = *format++;
		text[1] = '\0';
		if (text[0] == '%' && (!take_item(&format, &it) ||
		    !make_item(&it, vars, text, sizeof(text))))
			return false;
		k = strlen(text);
		if (k > PLUG_UID_MAX - n)
			return false;
		memcpy(out + n, text, k);
		n += k;
	}
	out[n] = '\0';
	return plug_uid_legal(out, n);
}

unsigned
plug_format_uses(const char *format, unsigned have)
{
	static const struct plug_format_vars largest = { .uid = UINT32_MAX,
	    .validity = UINT32_MAX, .md5 = "0123456789abcdef0123456789abcdef",
	    .name = "1", .guid = "1" };
	/* an mbox has the hash of its headers for a guid */
	struct plug_format_vars vars = largest;
	char uid[PLUG_UID_MAX + 1];
	const char *p = format;
	unsigned uses = 0, i;
	struct item it;

	if ((have & PLUG_FMT_MD5) != 0)
		vars.guid = vars.md5;
	while (*p != '\0') {
		if (*p++ != '%')
			continue;
		if (!take_item(&p, &it))
			return 0;
		for (i = 0; i < N_VARIABLES; i++)
			if (variables[i].letter == it.letter)
				uses |= variables[i].bit;
	}
	/* the validity is the same for all */
	if ((uses & ~have) != 0 || (uses & ~(unsigned)PLUG_FMT_VALIDITY) == 0 ||
	    !plug_format_make(format, &vars, uid))
		return 0;
	return uses;
}
