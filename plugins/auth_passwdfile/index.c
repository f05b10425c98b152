/*
 * index.c - where in a passwd file which user's line is.
 *
 * Runs in a pool process.  The file may change while it is read: what is found
 * counts only if the file is still what the index was made of.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/auth_passwdfile/passwdfile.h"

enum { PIECE = 1024 };		/* octets that most lines fit into */
#define AT_BITS 40
#define AT_MASK ((UINT64_C(1) << AT_BITS) - 1)

static _Bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

_Bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	    a->st_size == b->st_size && same_time(&a->st_mtim, &b->st_mtim) &&
	    same_time(&a->st_ctim, &b->st_ctim);
}

struct pwindex *
index_new(int fd, const struct stat *st, size_t lines, uint64_t seed)
{
	struct pwindex *ix = calloc(1, sizeof(*ix));

	if (ix == NULL || lines > UINT32_MAX / 2) {
		free(ix);
		close(fd);
		return NULL;
	}
	ix->fd = fd;
	ix->st = *st;
	ix->seed = seed;
	ix->n_slots = lines + lines / 2 + 16;
	ix->slot = calloc(ix->n_slots, sizeof(*ix->slot));
	ix->line = calloc(ix->n_slots, sizeof(*ix->line));
	if (ix->slot == NULL || ix->line == NULL)
		index_free(&ix);
	return ix;
}

void
index_free(struct pwindex **ix)
{
	if (*ix == NULL)
		return;
	close((*ix)->fd);
	free((*ix)->slot);
	free((*ix)->line);
	explicit_bzero(*ix, sizeof(**ix));
	free(*ix);
	*ix = NULL;
}

/* Whoever renames another file over it, or removes it, changes its ctime. */
_Bool
index_is_whole(const struct pwindex *ix)
{
	struct stat st;

	return fstat(ix->fd, &st) == 0 && st.st_size == ix->st.st_size &&
	    same_time(&st.st_mtim, &ix->st.st_mtim) &&
	    (same_time(&st.st_ctim, &ix->st.st_ctim) ||
	    st.st_nlink != ix->st.st_nlink);
}

/* --- the table ------------------------------------------------------------ */

static uint64_t
hash_of(const struct pwindex *ix, const char *user, size_t n)
{
	uint64_t h = ix->seed ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)user[i]) * UINT64_C(0x100000001b3);
	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	return h ^ h >> 33;
}

static size_t
slot_first(const struct pwindex *ix, uint64_t hash)
{
	return (size_t)((hash >> 32) * ix->n_slots >> 32);
}

static size_t
slot_next(const struct pwindex *ix, size_t i)
{
	return i + 1 < ix->n_slots ? i + 1 : 0;
}

static uint64_t
slot_value(uint64_t hash, uint64_t at)
{
	return hash << AT_BITS | (at + 1);
}

/* As many octets from AT on as there are, up to N; -1: cannot be read. */
static ssize_t
text_read(const struct pwindex *ix, char *out, size_t n, uint64_t at)
{
	size_t done = 0;
	ssize_t got = 1;

	while (done < n && got != 0) {
		got = pread(ix->fd, out + done, n - done,
		    (off_t)(at + done));
		if (got < 0 && errno != EINTR)
			return -1;
		if (got > 0)
			done += (size_t)got;
	}
	return (ssize_t)done;
}

/* Octets of the user's name at the front of TEXT. */
static size_t
name_length(const char *text, size_t n)
{
	size_t i = 0;

	while (i < n && text[i] != ':' && text[i] != '\n' && text[i] != '\r')
		i++;
	return i;
}

/* Have A and B the same tag, the part of the hash that a slot keeps? */
static _Bool
same_tag(uint64_t a, uint64_t b)
{
	return (a ^ b) >> AT_BITS == 0;
}

uint32_t
index_add(struct pwindex *ix, const char *user, size_t n, uint64_t at,
    uint32_t nr)
{
	uint64_t h = hash_of(ix, user, n);
	char text[PF_MAX_USER + 1];
	size_t i = slot_first(ix, h);
	ssize_t got;

	for (size_t tries = ix->n_slots; tries > 0; tries--) {
		if (ix->slot[i] == 0) {
			ix->slot[i] = slot_value(h, at);
			ix->line[i] = nr;
			return 0;
		}
		if (same_tag(ix->slot[i], slot_value(h, at))) {
			got = text_read(ix, text, n + 1,
			    (ix->slot[i] & AT_MASK) - 1);
			if (got > 0 && name_length(text, (size_t)got) == n &&
			    memcmp(text, user, n) == 0)
				return ix->line[i];
		}
		i = slot_next(ix, i);
	}
	return UINT32_MAX;
}

/* The line that SLOT says, if it is that of the user.  Another one must have
 * a name that belongs into that slot. */
static enum pwfound
line_read(const struct pwindex *ix, const char *user, size_t n, uint64_t slot,
    struct pwline *out)
{
	const char *lf = NULL;
	ssize_t got = 0;
	size_t name;

	for (size_t cap = PIECE; lf == NULL && cap <= sizeof(out->text);
	    cap *= 64) {
		got = text_read(ix, out->text, cap, (slot & AT_MASK) - 1);
		if (got < 0)
			return PW_CHANGED;
		if ((size_t)got > out->used)
			out->used = (size_t)got;
		lf = memchr(out->text, '\n', (size_t)got);
		if ((size_t)got < cap)
			break;
	}
	if (lf == NULL && (size_t)got < sizeof(out->text))
		return PW_CHANGED;
	name = name_length(out->text, (size_t)got);
	if (name != n || memcmp(out->text, user, n) != 0)
		return same_tag(slot_value(hash_of(ix, out->text, name), 0),
		    slot) ? PW_NONE : PW_CHANGED;
	out->n = lf != NULL ? (size_t)(lf - out->text) : sizeof(out->text);
	if (lf != NULL && out->n > 0 && lf[-1] == '\r')
		out->n--;
	return PW_FOUND;
}

enum pwfound
index_find(const struct pwindex *ix, const char *user, size_t n,
    struct pwline *out)
{
	uint64_t h = hash_of(ix, user, n);
	size_t i = slot_first(ix, h);
	enum pwfound found = PW_NONE;

	while (found == PW_NONE && ix->slot[i] != 0) {
		if (same_tag(ix->slot[i], slot_value(h, 0))) {
			found = line_read(ix, user, n, ix->slot[i], out);
			out->nr = ix->line[i];
		}
		i = slot_next(ix, i);
	}
	return index_is_whole(ix) ? found : PW_CHANGED;
}
