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

#include "plugins/common/state.h"
#include "plugins/storage_mbox/uidl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

#define UIDL_VERSION "culver-uidl mbox 1"

/* The longest line: UIDL, space, 32 digits, " -", line end. */
#define LINE_ROOM (PLUG_UID_MAX + 1 + 32 + 3)

void
mb_state_free(struct mb_state *s)
{
	free(s->ent);
	free(s->text);
	memset(s, 0, sizeof(*s));
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

/* Parse the lines after the first; NULL or what is wrong in the last one. */
static const char *
parse_lines(struct mb_state *s, struct plug_state *file)
{
	char *line = plug_state_line(file);
	const char *wrong;

	if (line != NULL && !parse_head(line, &file->st, s))
		return "not the directory, style and key";
	while (line != NULL && (line = plug_state_line(file)) != NULL) {
		if (s->n == file->count)
			return "more entries than it says";
		wrong = parse_entry(line, &s->ent[s->n]);
		if (wrong != NULL)
			return wrong;
		s->ent[s->n].order = (uint32_t)s->n;
		s->n++;
	}
	return file->line == 2 || s->n != file->count ?
	    "fewer entries than it says" : NULL;
}

culver_status
mb_state_load(const struct culver_store *store, const struct plug_index *ix,
    struct mb_state *s, struct culver_call *call)
{
	struct plug_state file;
	culver_status status;
	const char *wrong;

	memset(s, 0, sizeof(*s));
	status = plug_state_read(ix, MB_UIDL, UIDL_VERSION, &file, call);
	s->text = file.text;
	if (status != CULVER_OK)
		return status;
	if (s->text == NULL) {
		store->host->random(store->host, s->key, sizeof(s->key));
		return CULVER_OK;
	}
	s->exists = true;
	plug_stamp_set(&s->stamp, &file.st);
	s->ent = calloc(file.count + 1, sizeof(*s->ent));
	if (s->ent == NULL)
		return plug_fail(call, ENOMEM, "%s/%s", ix->path, MB_UIDL);
	wrong = parse_lines(s, &file);
	if (wrong != NULL)
		return plug_state_damaged(ix, MB_UIDL, file.line, wrong, call);
	return CULVER_OK;
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
	plug_hex(s->key, sizeof(s->key), key);
	n = (size_t)snprintf(text, room, UIDL_VERSION "\ndir %" PRIu64 ":%"
	    PRIu64 " self %" PRIu64 ":%" PRIu64 " style %s key %s\n",
	    (uint64_t)dir.st_dev, (uint64_t)dir.st_ino,
	    (uint64_t)self->st_dev, (uint64_t)self->st_ino,
	    mb_styles[s->style], key);
	for (i = 0; i < count; i++)
		n += (size_t)snprintf(text + n, room - n, "%s %016" PRIx64
		    "%016" PRIx64 "%s\n", line[i].uid, line[i].id[0],
		    line[i].id[1], line[i].absent ? " -" : "");
	/* 512 has room for it */
	*len = n + plug_state_end(text, n, count, text + n);
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
	status = plug_file_commit(ix, MB_UIDL, fd,
	    (struct culver_str){ .p = text, .n = n }, true, call);
	free(text);
	return status;
}

culver_status
mb_state_stamp(const struct plug_index *ix, struct plug_stamp *out,
    struct culver_call *call)
{
	return plug_state_stamp(ix, MB_UIDL, out, call);
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
		return plug_state_damaged(ix, MB_UIDL, 2, "no key", call);
	return CULVER_OK;
}
