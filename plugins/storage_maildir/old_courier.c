/*
 * old_courier.c - courierpop3dsizelist, versions 0 to 3.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.
 *
 *	/3 NEXT VALIDITY	NAME SIZE UID:VALIDITY:UTF8
 *	/2 NEXT VALIDITY	NAME SIZE UID:VALIDITY
 *	/1 NEXT			NAME SIZE UID
 *	no header		NAME SIZE
 *
 * NAME may have spaces in it and goes on with flags, which may be old ones.
 */
#include "config.h"

#include "plugins/storage_maildir/old.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The part of LINE behind its last space, which is cut off; or NULL. */
static const char *
cut_word(char *line)
{
	char *space = strrchr(line, ' ');

	if (space == NULL)
		return NULL;
	*space = '\0';
	return space + 1;
}

/* "UID", "UID:VALIDITY" or "UID:VALIDITY:UTF8" as VERSION has it. */
static bool
parse_uid(const char *p, unsigned version, struct old_rec *r)
{
	uint64_t utf8;

	if (p == NULL || !old_number(&p, UINT64_MAX, &r->uid))
		return false;
	if (version >= 2 && (*p++ != ':' ||
	    !old_number(&p, UINT64_MAX, &r->validity)))
		return false;
	if (version == 3 && *p == ':') {
		p++;
		if (!old_number(&p, UINT64_MAX, &utf8))
			return false;
	}
	return *p == '\0';
}

static const char *
parse_line(struct old_file *o, char *line, unsigned version)
{
	struct old_rec r = { .order = UINT32_MAX };
	const char *size;
	uint64_t octets;

	if (version > 0 && !parse_uid(cut_word(line), version, &r))
		return "no UID";
	size = cut_word(line);
	if (size == NULL || !old_number(&size, UINT64_MAX, &octets) ||
	    *size != '\0')
		return "no size";
	if (*line == '\0' || strchr(line, '/') != NULL)
		return "no file name";
	line[strcspn(line, ":")] = '\0';
	r.base = line;
	return old_add(o, &r);
}

static const char *
parse_header(const char *line, unsigned *version)
{
	uint64_t v, next;

	*version = 0;
	if (*line++ != '/')
		return NULL;	/* the first line is about a message */
	if (!old_number(&line, 3, &v) || v == 0 || *line++ != ' ' ||
	    !old_number(&line, UINT64_MAX, &next) ||
	    (*line != '\0' && *line != ' '))
		return "no version that Culver knows";
	*version = (unsigned)v;
	return NULL;
}

static bool
is_same(const struct old_rec *a, const struct old_rec *b)
{
	return a->uid == b->uid && a->validity == b->validity;
}

const char *
old_courier_parse(struct old_file *o, size_t n)
{
	const char *wrong = old_begin(o, n);
	unsigned version = 0;
	char *line = NULL;

	if (wrong == NULL && (line = old_line(o)) == NULL)
		wrong = "no whole line";
	if (wrong == NULL)
		wrong = parse_header(line, &version);
	if (wrong == NULL && version > 0)
		line = old_line(o);
	while (wrong == NULL && line != NULL) {
		wrong = parse_line(o, line, version);
		line = wrong == NULL ? old_line(o) : NULL;
	}
	if (wrong == NULL && !old_sort(o, is_same))
		wrong = "a second UID for a file";
	return wrong;
}

bool
old_courier_uidl(const struct old_rec *r, char out[PLUG_UID_MAX + 1])
{
	char text[PLUG_UID_MAX + 4] = "";
	const char *p = r->base;
	size_t n;

	if (r->uid != 0) {
		n = (size_t)snprintf(out, PLUG_UID_MAX + 1, "UID%" PRIu64,
		    r->uid);
		if (r->validity != 0)
			snprintf(out + n, PLUG_UID_MAX + 1 - n, "-%" PRIu64,
			    r->validity);
		return true;
	}
	for (n = 0; *p != '\0' && n <= PLUG_UID_MAX; p++) {
		unsigned char c = (unsigned char)*p;
		bool plain = c >= 0x21 && c <= 0x7e &&
		    strchr("'\"+", c) == NULL;

		n += (size_t)snprintf(text + n, 4, plain ? "%c" : "+%02X", c);
	}
	if (!plug_uid_legal(text, n))
		return false;
	memcpy(out, text, n + 1);
	return true;
}

int
old_courier_order(const char *a, const char *b)
{
	const long na = strtol(a, NULL, 10), nb = strtol(b, NULL, 10);
	signed char ca, cb;

	if (na != nb)
		return na < nb ? -1 : 1;
	/* as where it ran: char is signed, and every name has its flags */
	for (;; a++, b++) {
		if (*a == '\0' && *b == '\0')
			return 0;
		ca = *a != '\0' ? (signed char)*a : ':';
		cb = *b != '\0' ? (signed char)*b : ':';
		if (ca != cb)
			return ca < cb ? -1 : 1;
	}
}
