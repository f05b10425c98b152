/*
 * old_dovecot.c - dovecot-uidlist, versions 1 and 3, and courierimapuiddb.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.
 *
 *	1 VALIDITY NEXT			3 VVALIDITY NNEXT GGUID ...
 *	UID NAME			UID [KEYvalue ...] :NAME
 *
 * UIDs ascend.  NAME may go on with flags, which may be old ones.
 */
#include "config.h"

#include "plugins/common/format.h"
#include "plugins/storage_maildir/old.h"

#include <stdio.h>
#include <string.h>

/* The value at *P, up to a space; *P then is behind it and the spaces. */
static char *
take_word(char **p)
{
	char *word = *p, *end = word + strcspn(word, " ");

	*p = end + strspn(end, " ");
	*end = '\0';
	return word;
}

static const char *
parse_header3(struct old_file *o, char *line, uint64_t *next)
{
	while (*line != '\0') {
		const char *word = take_word(&line), *value = word + 1;

		if (*word == 'V' && (!old_number(&value, UINT32_MAX,
		    &o->validity) || *value != '\0'))
			return "no UID validity";
		if (*word == 'N' && (!old_number(&value, UINT32_MAX, next) ||
		    *value != '\0'))
			return "no next UID";
		if (*word == 'G' && (strlen(value) != 32 ||
		    strspn(value, "0123456789abcdefABCDEF") != 32))
			return "no GUID";
	}
	return NULL;
}

static const char *
parse_header(struct old_file *o, char *line, unsigned *version,
    uint64_t *next)
{
	const char *wrong = NULL, *p;

	if (line == NULL || (line[0] != '1' && line[0] != '3') ||
	    line[1] != ' ')
		return "no version that Culver knows";
	*version = (unsigned)(line[0] - '0');
	p = line + 2;
	if (*version == 3)
		wrong = parse_header3(o, line + 2, next);
	else if (!old_number(&p, UINT32_MAX, &o->validity) || *p++ != ' ' ||
	    !old_number(&p, UINT32_MAX, next))
		wrong = "no header of version 1";
	if (wrong == NULL && (o->validity == 0 || *next == 0))
		wrong = "no UID validity or next UID";
	return wrong;
}

/* The keys of version 3 at *P, up to the ':'. */
static void
parse_keys(char **p, struct old_rec *r)
{
	while (**p != '\0' && **p != ':') {
		char *word = take_word(p);
		const char *value = word + 1;
		uint64_t order;

		/* the first one of a key counts */
		if (*word == 'P' && r->uidl == NULL)
			r->uidl = value;
		else if (*word == 'G' && r->guid == NULL && *value != '\0')
			r->guid = value;
		else if (*word == 'O' && r->order == UINT32_MAX &&
		    old_number(&value, UINT64_MAX - 1, &order) &&
		    *value == '\0')
			r->order = order;
	}
	if (**p == ':')
		(*p)++;
}

static const char *
parse_line(struct old_file *o, char *line, unsigned version, uint64_t next,
    uint64_t *before)
{
	struct old_rec r = { .validity = o->validity, .order = UINT32_MAX };
	const char *p = line;

	if (!old_number(&p, UINT32_MAX - 1, &r.uid) || *p != ' ' ||
	    r.uid == 0)
		return "no UID";
	if (r.uid <= *before)
		return "the UIDs do not ascend";
	if (version == 1 && r.uid >= next)
		return "a UID that is not below the next one";
	*before = r.uid;
	line += p - line;
	line += strspn(line, " ");
	if (version == 3)
		parse_keys(&line, &r);
	if (*line == '\0' || strchr(line, '/') != NULL)
		return "no file name";
	line[strcspn(line, ":")] = '\0';
	r.base = line;
	return old_add(o, &r);
}

const char *
old_dovecot_parse(struct old_file *o, size_t n)
{
	const char *wrong = old_begin(o, n);
	uint64_t next = 0, before = 0;
	unsigned version = 0;
	char *line = NULL;

	if (wrong == NULL)
		line = old_line(o);
	if (wrong == NULL)
		wrong = parse_header(o, line, &version, &next);
	while (wrong == NULL && (line = old_line(o)) != NULL)
		wrong = parse_line(o, line, version, next, &before);
	/* a file that came back has two lines, and the last one's UID */
	if (wrong == NULL)
		old_sort(o, NULL);
	return wrong;
}

bool
old_dovecot_uidl(const struct old_file *o, const struct old_rec *r,
    const char *format, char out[PLUG_UID_MAX + 1])
{
	const struct plug_format_vars vars = { .uid = (uint32_t)r->uid,
	    .validity = (uint32_t)o->validity, .name = r->base,
	    .guid = r->guid != NULL ? r->guid : r->base };
	const char *kept = r->uidl;

	if (kept == NULL)
		return plug_format_make(format, &vars, out);
	if (*kept == '\0')
		kept = r->base;
	if (!plug_uid_legal(kept, strlen(kept)))
		return false;
	snprintf(out, PLUG_UID_MAX + 1, "%s", kept);
	return true;
}
