/*
 * uidlfile.c - the format of culver-uidl: see uidl.h.
 *
 * Runs in the worker as the mailbox's owner.  A user may have edited the file
 * or a disk damaged it: everything is checked, the checksum first.
 */
#include "config.h"

#include "plugins/common/state.h"
#include "uidl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UIDL_VERSION "culver-uidl 1"

void
uidl_state_free(struct uidl_state *s)
{
	free(s->ent);
	free(s->by_uid);
	free(s->text);
	memset(s, 0, sizeof(*s));
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Undo the escapes of S in place; false if a byte should not be there. */
static bool
unescape(char *s)
{
	char *out = s;

	for (; *s != '\0'; s++, out++) {
		int hi, lo;

		*out = *s;
		if (*s != '%') {
			if ((unsigned char)*s < 0x21 || *s > 0x7e || *s == '/')
				return false;
			continue;
		}
		if ((hi = hex_value(s[1])) < 0 || (lo = hex_value(s[2])) < 0)
			return false;
		*out = (char)(hi * 16 + lo);
		if (*out == '\0' || *out == '/')
			return false;
		s += 2;
	}
	*out = '\0';
	return true;
}

/* The rank behind a base name, which is cut off; false if it is none. */
static bool
parse_rank(char *base, uint32_t *rank)
{
	char *space = strchr(base, ' '), want[16];

	*rank = 0;
	if (space == NULL)
		return true;
	*space++ = '\0';
	*rank = (uint32_t)strtoul(space, NULL, 10);
	snprintf(want, sizeof(want), "%" PRIu32, *rank);
	return *rank > 0 && strcmp(space, want) == 0;
}

/* Split "UIDL BASENAME [RANK]"; what is wrong with it, or NULL. */
static const char *
parse_entry(char *line, struct uidl_ent *ent, const struct uidl_ent *before)
{
	char *space = strchr(line, ' ');
	uint32_t rank;

	if (space == NULL || !plug_uid_legal(line, (size_t)(space - line)))
		return "no legal UIDL";
	*space = '\0';
	if (!parse_rank(space + 1, &rank))
		return "no rank";
	if (!unescape(space + 1) || strlen(space + 1) > NAME_MAX ||
	    strchr(space + 1, ':') != NULL)
		return "no legal base name";
	*ent = (struct uidl_ent){ .uid = line, .base = space + 1,
	    .rank = rank };
	if (before != NULL && md_order(before->base, ent->base) >= 0)
		return "not in order";
	return NULL;
}

/* What stands behind the directories: who had the mailbox before us. */
static bool
parse_from(const char *s, unsigned *from)
{
	const char word[] = " from ";

	*from = MD_AUTO;
	if (*s == '\0')
		return true;
	if (strncmp(s, word, sizeof(word) - 1) != 0)
		return false;
	for (*from = MD_NAME; md_styles[*from] != NULL; (*from)++)
		if (strcmp(s + sizeof(word) - 1, md_styles[*from]) == 0)
			return true;
	return false;
}

/* The line that tells of what the state was written for. */
static bool
parse_dirs(const char *line, const struct stat *st, struct md_memory *mem,
    unsigned *from)
{
	uint64_t v[6];
	char want[256];
	size_t n;

	if (sscanf(line, "dirs %" SCNu64 ":%" SCNu64 " %" SCNu64 ":%" SCNu64
	    " self %" SCNu64 ":%" SCNu64, &v[0], &v[1], &v[2], &v[3], &v[4],
	    &v[5]) != 6)
		return false;
	snprintf(want, sizeof(want), "dirs %" PRIu64 ":%" PRIu64 " %" PRIu64
	    ":%" PRIu64 " self %" PRIu64 ":%" PRIu64, v[0], v[1], v[2], v[3],
	    v[4], v[5]);
	*mem = (struct md_memory){
	    .valid = v[4] == st->st_dev && v[5] == st->st_ino,
	    .dev = { v[0], v[2] }, .ino = { v[1], v[3] } };
	n = strlen(want);
	return strncmp(line, want, n) == 0 && parse_from(line + n, from);
}

/* Parse the lines after the first; NULL or what is wrong in the last one. */
static const char *
parse_lines(struct uidl_state *s, struct plug_state *file)
{
	char *line = plug_state_line(file);
	const char *wrong;

	if (line != NULL && !parse_dirs(line, &file->st, &s->mem,
	    &s->from))
		return "not the directories";
	while (line != NULL && (line = plug_state_line(file)) != NULL) {
		if (s->n == file->count)
			return "more entries than it says";
		wrong = parse_entry(line, &s->ent[s->n],
		    s->n > 0 ? &s->ent[s->n - 1] : NULL);
		if (wrong != NULL)
			return wrong;
		s->n++;
	}
	return file->line == 2 || s->n != file->count ?
	    "fewer entries than it says" : NULL;
}

culver_status
uidl_state_load(const struct plug_index *ix, struct uidl_state *s,
    struct culver_call *call)
{
	struct plug_state file;
	culver_status status;
	const char *wrong;

	memset(s, 0, sizeof(*s));
	status = plug_state_read(ix, MD_UIDL, UIDL_VERSION, &file, call);
	s->text = file.text;
	if (status != CULVER_OK || s->text == NULL)
		return status;
	s->exists = true;
	plug_stamp_set(&s->stamp, &file.st);
	s->ent = calloc(file.count + 1, sizeof(*s->ent));
	if (s->ent == NULL)
		return plug_fail(call, ENOMEM, "%s/%s", ix->path, MD_UIDL);
	wrong = parse_lines(s, &file);
	if (wrong != NULL)
		return plug_state_damaged(ix, MD_UIDL, file.line, wrong, call);
	return CULVER_OK;
}

static void
text_put(struct uidl_text *t, const char *s, size_t n)
{
	size_t cap = t->cap == 0 ? 4096 : t->cap;
	char *p;

	while (cap < t->n + n + 1)
		cap *= 2;
	if (cap != t->cap && !t->failed) {
		p = realloc(t->p, cap);
		if (p == NULL)
			t->failed = true;
		else {
			t->p = p;
			t->cap = cap;
		}
	}
	if (t->failed)
		return;
	memcpy(t->p + t->n, s, n);
	t->n += n;
}

void
uidl_text_begin(struct uidl_text *t, const struct md_snap *snap,
    const struct stat *self, unsigned from)
{
	char line[256];
	int n = snprintf(line, sizeof(line), UIDL_VERSION "\ndirs %" PRIu64
	    ":%" PRIu64 " %" PRIu64 ":%" PRIu64 " self %" PRIu64 ":%" PRIu64
	    "%s%s\n", snap->dir[MD_NEW].dev, snap->dir[MD_NEW].ino,
	    snap->dir[MD_CUR].dev, snap->dir[MD_CUR].ino,
	    (uint64_t)self->st_dev, (uint64_t)self->st_ino,
	    from != MD_AUTO ? " from " : "",
	    from != MD_AUTO ? md_styles[from] : "");

	text_put(t, line, (size_t)n);
}

void
uidl_text_add(struct uidl_text *t, const char *uid, const char *base,
    uint32_t rank)
{
	char number[16];

	text_put(t, uid, strlen(uid));
	text_put(t, " ", 1);
	for (; *base != '\0'; base++) {
		char esc[4];

		if ((unsigned char)*base >= 0x21 &&
		    (unsigned char)*base <= 0x7e && *base != '%')
			text_put(t, base, 1);
		else {
			snprintf(esc, sizeof(esc), "%%%02X",
			    (unsigned char)*base);
			text_put(t, esc, 3);
		}
	}
	if (rank != 0) {
		snprintf(number, sizeof(number), " %" PRIu32, rank);
		text_put(t, number, strlen(number));
	}
	text_put(t, "\n", 1);
	t->count++;
}

void
uidl_text_end(struct uidl_text *t)
{
	char line[PLUG_STATE_END];
	size_t n;

	if (t->failed)
		return;
	n = plug_state_end(t->p, t->n, t->count, line);
	text_put(t, line, n);
}
