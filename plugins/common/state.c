/*
 * state.c - a state: lines of text with a checksum, as state.h says.
 *
 * Runs in the worker as the mailbox's owner.  A user may have edited the file
 * or a disk damaged it: the checksum is the first that is looked at.
 */
#include "config.h"

#include "plugins/common/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

culver_status
plug_state_damaged(const struct plug_index *ix, const char *name, size_t line,
    const char *what, struct culver_call *call)
{
	char at[32] = "";

	if (line != 0)
		snprintf(at, sizeof(at), "line %zu: ", line);
	return plug_fail_as(call, CULVER_E_CORRUPT,
	    "%s/%s is damaged (%s%s); put it back from a backup, or remove it: "
	    "then its messages get new UIDLs", ix->path, name, at, what);
}

size_t
plug_state_end(const char *text, size_t n, size_t count,
    char out[PLUG_STATE_END])
{
	return (size_t)snprintf(out, PLUG_STATE_END, "end %zu %016" PRIx64
	    "\n", count, plug_hash(count, text, n));
}

/* Check the last line, cut it off, and give the count it states. */
static bool
parse_end(char *text, size_t *n, size_t *count)
{
	char want[PLUG_STATE_END];
	size_t at = *n;

	if (at == 0 || text[at - 1] != '\n' || strlen(text) != at)
		return false;
	for (at--; at > 0 && text[at - 1] != '\n'; at--)
		continue;
	if (strncmp(text + at, "end ", 4) != 0)
		return false;
	*count = strtoull(text + at + 4, NULL, 10);
	/* compare as text: there is one way to write it */
	plug_state_end(text, at, *count, want);
	if (strcmp(text + at, want) != 0)
		return false;
	text[at] = '\0';
	*n = at;
	return true;
}

culver_status
plug_state_read(const struct plug_index *ix, const char *name,
    const char *version, struct plug_state *s, struct culver_call *call)
{
	const size_t first = strlen(version);
	culver_status status;
	char wrong[64];
	size_t n;

	memset(s, 0, sizeof(*s));
	status = plug_file_read(ix, name, &s->text, &n, &s->st, call);
	if (status != CULVER_OK || s->text == NULL)
		return status;
	if (n <= first || memcmp(s->text, version, first) != 0 ||
	    s->text[first] != '\n') {
		snprintf(wrong, sizeof(wrong), "not \"%s\"", version);
		return plug_state_damaged(ix, name, 1, wrong, call);
	}
	if (!parse_end(s->text, &n, &s->count) || n <= first || s->count > n)
		return plug_state_damaged(ix, name, 0,
		    "the end or the checksum", call);
	s->next = s->text + first + 1;
	s->line = 1;
	return CULVER_OK;
}

char *
plug_state_line(struct plug_state *s)
{
	char *line = s->next, *nl;

	s->line++;
	/* without its last line the text still ends in a line end */
	if ((nl = strchr(line, '\n')) == NULL)
		return NULL;
	*nl = '\0';
	s->next = nl + 1;
	return line;
}

culver_status
plug_state_stamp(const struct plug_index *ix, const char *name,
    struct plug_stamp *out, struct culver_call *call)
{
	struct stat st;

	memset(out, 0, sizeof(*out));
	if (fstatat(ix->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		plug_stamp_set(out, &st);
	else if (errno != ENOENT)
		return plug_fail(call, errno, "cannot stat %s/%s", ix->path,
		    name);
	return CULVER_OK;
}
