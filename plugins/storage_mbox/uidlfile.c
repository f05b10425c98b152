/*
 * uidlfile.c - the format of culver-uidl.
 *
 *	culver-uidl mbox 1
 *	dir DEV:INO self DEV:INO style STYLE key KEY
 *	UIDL HASH [-]
 *	...
 *	end COUNT CHECKSUM
 *
 * In the order of the file; "-" marks a message that was not there any more.
 * Runs in the worker as the mailbox's owner.  A user may have edited the file
 * or a disk damaged it: everything is checked, the checksum first.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

#define UIDL_VERSION "culver-uidl mbox 1\n"

/* The longest line: UIDL, space, 32 digits, " -", line end. */
#define LINE_ROOM (PLUG_UID_MAX + 1 + 32 + 3)

void
mb_state_free(struct mb_state *s)
{
	free(s->ent);
	free(s->text);
	memset(s, 0, sizeof(*s));
}

static culver_status
damaged(const struct plug_index *ix, size_t line, const char *what,
    struct culver_call *call)
{
	char at[32] = "";

	if (line != 0)
		snprintf(at, sizeof(at), "line %zu: ", line);
	return plug_fail_as(call, CULVER_E_CORRUPT,
	    "%s/%s is damaged (%s%s); put it back from a backup, or remove it: "
	    "then its messages get new UIDLs", ix->path, MB_UIDL, at, what);
}

/* N bytes as 2 N lower-case digits; false if they are not. */
static bool
parse_hex(const char *s, unsigned char *out, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const char *hi, *lo;
	size_t i;

	for (i = 0; i < n; i++) {
		if (s[2 * i] == '\0' || s[2 * i + 1] == '\0')
			return false;
		hi = strchr(digits, s[2 * i]);
		lo = strchr(digits, s[2 * i + 1]);
		if (hi == NULL || lo == NULL)
			return false;
		out[i] = (unsigned char)((hi - digits) * 16 + (lo - digits));
	}
	return true;
}

static uint64_t
be64(const unsigned char *p)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

/* Split "UIDL HASH [-]"; what is wrong with it, or NULL. */
static const char *
parse_entry(char *line, struct mb_ent *ent)
{
	char *space = strchr(line, ' '), *end;
	unsigned char id[16];

	if (space == NULL || !plug_uid_legal(line, (size_t)(space - line)))
		return "no legal UIDL";
	*space = '\0';
	if (!parse_hex(space + 1, id, sizeof(id)))
		return "no hash";
	end = space + 1 + 2 * sizeof(id);
	*ent = (struct mb_ent){ .uid = line, .id = { be64(id), be64(id + 8) },
	    .absent = *end != '\0' };
	return *end == '\0' || strcmp(end, " -") == 0 ? NULL : "too long";
}

/* Check the last line, cut it off, and give the count it states. */
static bool
parse_end(char *text, size_t *n, size_t *count)
{
	size_t at = *n;
	char want[64];

	if (at == 0 || text[at - 1] != '\n' || strlen(text) != at)
		return false;
	for (at--; at > 0 && text[at - 1] != '\n'; at--)
		continue;
	if (strncmp(text + at, "end ", 4) != 0)
		return false;
	*count = strtoull(text + at + 4, NULL, 10);
	/* compare as text: there is one way to write it */
	snprintf(want, sizeof(want), "end %zu %016" PRIx64 "\n", *count,
	    plug_hash(*count, text, at));
	if (strcmp(text + at, want) != 0)
		return false;
	text[at] = '\0';
	*n = at;
	return true;
}

/* The line that tells of what the state was written for. */
static bool
parse_head(const char *line, const struct stat *st, struct mb_state *s)
{
	uint64_t dev, ino;
	char style[16], key[33];
	unsigned i;

	if (sscanf(line, "dir %" SCNu64 ":%" SCNu64 " self %" SCNu64 ":%"
	    SCNu64 " style %15s key %32s", &s->dir_dev, &s->dir_ino, &dev,
	    &ino, style, key) != 6 || strlen(key) != 32 ||
	    !parse_hex(key, s->key, sizeof(s->key)))
		return false;
	s->copied = dev != st->st_dev || ino != st->st_ino;
	for (i = 0; i < MB_STYLES; i++)
		if (strcmp(style, mb_styles[i]) == 0) {
			s->style = i;
			s->known = i != MB_AUTO;
			return true;
		}
	return false;
}

/* Parse the lines after the first; NULL or what is wrong in line *NO. */
static const char *
parse_lines(struct mb_state *s, char *p, size_t count, const struct stat *st,
    size_t *no)
{
	const char *wrong;
	char *nl;

	for (*no = 2; *p != '\0'; p = nl + 1, (*no)++) {
		if ((nl = strchr(p, '\n')) == NULL)
			return "no line end";
		*nl = '\0';
		if (*no == 2) {
			if (!parse_head(p, st, s))
				return "not the directory, style and key";
			continue;
		}
		if (s->n == count)
			return "more entries than it says";
		wrong = parse_entry(p, &s->ent[s->n]);
		if (wrong != NULL)
			return wrong;
		s->ent[s->n].order = (uint32_t)s->n;
		s->n++;
	}
	return *no == 2 || s->n != count ? "fewer entries than it says" : NULL;
}

culver_status
mb_state_load(const struct culver_store *store, const struct plug_index *ix,
    struct mb_state *s, struct culver_call *call)
{
	const size_t first = sizeof(UIDL_VERSION) - 1;
	culver_status status;
	const char *wrong;
	size_t n, count, line;
	struct stat st;

	memset(s, 0, sizeof(*s));
	status = plug_file_read(ix, MB_UIDL, &s->text, &n, &st, call);
	if (status != CULVER_OK)
		return status;
	if (s->text == NULL) {
		store->host->random(store->host, s->key, sizeof(s->key));
		return CULVER_OK;
	}
	s->exists = true;
	plug_stamp_set(&s->stamp, &st);
	if (n < first || memcmp(s->text, UIDL_VERSION, first) != 0)
		return damaged(ix, 1, "not \"culver-uidl mbox 1\"", call);
	if (!parse_end(s->text, &n, &count) || n < first || count > n)
		return damaged(ix, 0, "the end or the checksum", call);
	s->ent = calloc(count + 1, sizeof(*s->ent));
	if (s->ent == NULL)
		return plug_fail(call, ENOMEM, "%s/%s", ix->path, MB_UIDL);
	wrong = parse_lines(s, s->text + first, count, &st, &line);
	return wrong != NULL ? damaged(ix, line, wrong, call) : CULVER_OK;
}

/* The whole text, with its end; NULL without memory. */
static char *
make_text(const struct culver_store *store, const struct mb_state *s,
    const struct stat *self, const struct mb_line *line, size_t count,
    size_t *len)
{
	size_t room = 512 + count * LINE_ROOM, n, i;
	char key[33], *text = malloc(room);
	struct stat dir;

	if (text == NULL)
		return NULL;
	if (stat(store->dir, &dir) != 0)
		memset(&dir, 0, sizeof(dir));
	for (i = 0; i < sizeof(s->key); i++)
		snprintf(key + 2 * i, 3, "%02x", s->key[i]);
	n = (size_t)snprintf(text, room, UIDL_VERSION "dir %" PRIu64 ":%"
	    PRIu64 " self %" PRIu64 ":%" PRIu64 " style %s key %s\n",
	    (uint64_t)dir.st_dev, (uint64_t)dir.st_ino,
	    (uint64_t)self->st_dev, (uint64_t)self->st_ino,
	    mb_styles[s->style], key);
	for (i = 0; i < count; i++)
		n += (size_t)snprintf(text + n, room - n, "%s %016" PRIx64
		    "%016" PRIx64 "%s\n", line[i].uid, line[i].id[0],
		    line[i].id[1], line[i].absent ? " -" : "");
	n += (size_t)snprintf(text + n, room - n, "end %zu %016" PRIx64 "\n",
	    count, plug_hash(count, text, n));
	*len = n;
	return text;
}

culver_status
mb_state_save(const struct culver_store *store, const struct plug_index *ix,
    const struct mb_state *s, const struct mb_line *line, size_t count,
    struct culver_call *call)
{
	culver_status status;
	struct stat st;
	size_t n = 0;
	char *text;
	int fd;

	status = plug_file_create(ix, MB_UIDL, &fd, &st, call);
	if (status != CULVER_OK)
		return status;
	text = make_text(store, s, &st, line, count, &n);
	if (text == NULL) {
		close(fd);
		unlinkat(ix->fd, MB_UIDL ".new", 0);
		return plug_fail(call, ENOMEM, "%s/%s", ix->path, MB_UIDL);
	}
	status = plug_file_commit(ix, MB_UIDL, fd,
	    (struct culver_str){ .p = text, .n = n }, true, call);
	free(text);
	return status;
}

culver_status
mb_state_stamp(const struct plug_index *ix, struct plug_stamp *out,
    struct culver_call *call)
{
	struct stat st;

	memset(out, 0, sizeof(*out));
	if (fstatat(ix->fd, MB_UIDL, &st, AT_SYMLINK_NOFOLLOW) == 0)
		plug_stamp_set(out, &st);
	else if (errno != ENOENT)
		return plug_fail(call, errno, "cannot stat %s/%s", ix->path,
		    MB_UIDL);
	return CULVER_OK;
}

culver_status
mb_state_key(struct culver_store *store, const struct plug_index *ix,
    bool first, unsigned char key[16], struct culver_call *call)
{
	struct mb_state s = { .style = first && store->style == MB_AUTO ?
	    MB_OWN : store->style };
	char buf[512], *p = NULL;
	ssize_t n;
	int fd;

	fd = openat(ix->fd, MB_UIDL, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK);
	if (fd < 0 && errno != ENOENT)
		return plug_fail(call, errno, "cannot open %s/%s", ix->path,
		    MB_UIDL);
	if (fd < 0) {
		store->host->random(store->host, s.key, sizeof(s.key));
		memcpy(key, s.key, sizeof(s.key));
		return mb_state_save(store, ix, &s, NULL, 0, call);
	}
	n = pread(fd, buf, sizeof(buf) - 1, 0);
	close(fd);
	if (n > 0) {
		buf[n] = '\0';
		p = strstr(buf, " key ");
	}
	/* the session that reads all of it says what else is wrong */
	if (p == NULL || !parse_hex(p + 5, key, 16))
		return damaged(ix, 2, "no key", call);
	return CULVER_OK;
}
