/*
 * file.c - the passwd file in memory, read again when it changed.
 *
 * Runs in a pool process.  A file that is missing, unreadable, empty or half
 * written makes every lookup fail for now; it never makes a user unknown.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/auth_passwdfile/passwdfile.h"

enum {
	MAX_UPPERS = 5,		/* line numbers with such names in the log */
	MAX_COMPLAINTS = 20,	/* lines of one file that are logged */
	MAX_TRIES = 3		/* to read a file that is being written */
};

void
pwfile_unload(struct pwfile *f)
{
	if (f->text != NULL)
		explicit_bzero(f->text, f->n);
	free(f->text);
	free(f->slots);
	f->text = NULL;
	f->slots = NULL;
	f->n = f->n_slots = f->n_users = 0;
	f->loaded = f->costs.has_plain = 0;
}

static culver_status
fail_file(const struct pwfile *f, struct culver_call *call, const char *what)
{
	int err = errno;

	if (err == EACCES || err == EPERM)
		return culver_fail(call, CULVER_E_TEMP, err, "cannot %s %s as "
		    "uid %u, gid %u: let it read the file (chgrp, chmod 640) "
		    "and enter its folders (chmod +x)", what, f->path,
		    (unsigned)geteuid(), (unsigned)getegid());
	return culver_fail(call, CULVER_E_TEMP, err, "cannot %s %s", what,
	    f->path);
}

static _Bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static _Bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	    a->st_size == b->st_size && same_time(&a->st_mtim, &b->st_mtim) &&
	    same_time(&a->st_ctim, &b->st_ctim);
}

/* --- index --------------------------------------------------------------- */

static size_t
hash_of(const struct pwfile *f, const char *user, size_t n)
{
	uint64_t h = f->seed ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)user[i]) * UINT64_C(0x100000001b3);
	return (size_t)(h ^ h >> 32) & (f->n_slots - 1);
}

static size_t
user_length(const char *line, size_t n)
{
	const char *colon = memchr(line, ':', n);

	return colon != NULL ? (size_t)(colon - line) : n;
}

/* The line at offset AT, without its end (LF or CRLF). */
static struct span
line_at(const struct pwfile *f, size_t at)
{
	const char *p = f->text + at, *lf = memchr(p, '\n', f->n - at);
	struct span line = {p, (size_t)(lf - p)};

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* The slot that USER has, or would get. */
static struct slot *
slot_find(const struct pwfile *f, const char *user, size_t n)
{
	for (size_t i = hash_of(f, user, n);; i = (i + 1) & (f->n_slots - 1)) {
		struct slot *s = &f->slots[i];
		struct span line;

		if (s->line == 0)
			return s;
		line = line_at(f, s->at);
		if (user_length(line.p, line.n) == n &&
		    memcmp(line.p, user, n) == 0)
			return s;
	}
}

_Bool
pwfile_find(const struct pwfile *f, const char *user, struct span *line,
    uint32_t *line_nr)
{
	const struct slot *s = slot_find(f, user, strlen(user));

	if (s->line == 0)
		return 0;
	*line = line_at(f, s->at);
	*line_nr = s->line;
	return 1;
}

/* --- what an unknown user costs ------------------------------------------ */

struct kinds {
	unsigned n;
	struct {
		const struct method *method;
		struct hash_cost cost;
		struct span text;	/* of the first of its kind */
		size_t count;
	} kind[PF_KINDS];
};

static void
kinds_count(struct kinds *k, const struct hash *h)
{
	struct hash_cost cost = hash_cost(h->method, h->text);
	unsigned i;

	for (i = 0; i < k->n; i++)
		if (k->kind[i].method == h->method &&
		    k->kind[i].cost.usec == cost.usec &&
		    k->kind[i].cost.kib == cost.kib)
			break;
	if (i == PF_KINDS)
		return;
	if (i == k->n) {
		k->n++;
		k->kind[i].method = h->method;
		k->kind[i].cost = cost;
		k->kind[i].text = h->text;
		k->kind[i].count = 0;
	}
	k->kind[i].count++;
}

/* A hash as costly as most in the file; the default scheme's if none is. */
static void
dummy_choose(struct pwfile *f, const struct kinds *k)
{
	unsigned most = 0;

	if (k->n == 0) {
		auth_costs_usual(&f->costs, f->scheme);
		return;
	}
	for (unsigned i = 1; i < k->n; i++)
		if (k->kind[i].count > k->kind[most].count)
			most = i;
	auth_costs_like(&f->costs, &(struct hash){
	    .method = k->kind[most].method, .text = k->kind[most].text});
}

/* --- loading ------------------------------------------------------------- */

/* Names that no client can send if user_case is "lower"; only the core knows
 * what it is. */
struct uppers {
	size_t n;
	uint32_t line[MAX_UPPERS];
};

static void
uppers_add(struct uppers *u, struct span user, uint32_t nr)
{
	for (size_t i = 0; i < user.n; i++)
		if (user.p[i] >= 'A' && user.p[i] <= 'Z') {
			if (u->n < MAX_UPPERS)
				u->line[u->n] = nr;
			u->n++;
			return;
		}
}

/* One line for all of them. */
static void
uppers_tell(const struct pwfile *f, const struct uppers *u)
{
	char text[MAX_UPPERS * 12] = "";
	size_t n = 0;

	for (size_t i = 0; i < u->n && i < MAX_UPPERS; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u",
		    i > 0 ? ", " : "", u->line[i]);
	if (u->n > 0)
		culver_logf(f->host, CULVER_LOG_INFO, "%s: %zu users with "
		    "upper-case letters in their names (line %s%s) can log in "
		    "only if user_case = keep", f->path, u->n, text,
		    u->n > MAX_UPPERS ? ", ..." : "");
}

/* Look at one line; what is wrong with it is told once, here. */
static void
line_add(struct pwfile *f, size_t at, uint32_t nr, struct kinds *kinds,
    struct uppers *uppers, size_t *complaints)
{
	struct span line = line_at(f, at);
	struct entry e;
	const char *why;
	_Bool good = entry_parse(line.p, line.n, &e, &why);
	struct slot *s = slot_find(f, e.user.p, e.user.n);
	struct hash h;

	if (s->line != 0) {
		if ((*complaints)++ < MAX_COMPLAINTS)
			culver_logf(f->host, CULVER_LOG_ERROR, "%s:%u: the "
			    "user of line %u again: only that line counts",
			    f->path, nr, s->line);
		return;
	}
	*s = (struct slot){.at = (uint32_t)at, .line = nr};
	f->n_users++;
	if (!good) {
		if ((*complaints)++ < MAX_COMPLAINTS)
			culver_logf(f->host, CULVER_LOG_ERROR, "%s:%u: %s: "
			    "this user cannot log in", f->path, nr, why);
		return;
	}
	uppers_add(uppers, e.user, nr);
	h = hash_parse(e.password, f->scheme);
	if (h.state == HASH_GOOD)
		kinds_count(kinds, &h);
	f->costs.has_plain |= h.state == HASH_GOOD &&
	    h.method == method_plain;
}

static culver_status
index_build(struct pwfile *f, struct culver_call *call)
{
	size_t lines = 0, complaints = 0, at = 0, slots = 16;
	struct kinds kinds = {.n = 0};
	struct uppers uppers = {.n = 0};
	uint32_t nr = 0;

	for (const char *p = f->text; (p = memchr(p, '\n',
	    f->n - (size_t)(p - f->text))) != NULL; p++)
		lines++;
	while (slots < lines * 2)
		slots *= 2;
	f->slots = calloc(slots, sizeof(*f->slots));
	if (f->slots == NULL)
		return culver_fail(call, CULVER_E_TEMP, ENOMEM, "index of %s",
		    f->path);
	f->n_slots = slots;
	while (at < f->n) {
		const char *lf = memchr(f->text + at, '\n', f->n - at);
		struct span line = line_at(f, at);

		nr++;
		if (line.n > 0 && line.p[0] != '#' && line.p[0] != ':')
			line_add(f, at, nr, &kinds, &uppers,
			    &complaints);
		at = (size_t)(lf - f->text) + 1;
	}
	if (complaints > MAX_COMPLAINTS)
		culver_logf(f->host, CULVER_LOG_ERROR, "%s: %zu more lines "
		    "like these", f->path, complaints - MAX_COMPLAINTS);
	uppers_tell(f, &uppers);
	dummy_choose(f, &kinds);
	return CULVER_OK;
}

/* Read all of FD into f->text; EAGAIN: it changed meanwhile. */
static _Bool
text_read(struct pwfile *f, int fd)
{
	struct stat after;
	ssize_t got;

	f->text = malloc((size_t)f->st.st_size + 1);
	if (f->text == NULL)
		return 0;
	for (f->n = 0; f->n < (size_t)f->st.st_size; f->n += (size_t)got) {
		got = pread(fd, f->text + f->n,
		    (size_t)f->st.st_size - f->n, (off_t)f->n);
		if (got < 0)
			return 0;
		if (got == 0)
			break;
	}
	f->text[f->n] = 0;
	if (fstat(fd, &after) != 0)
		return 0;
	errno = EAGAIN;
	return f->n == (size_t)f->st.st_size && same_file(&f->st, &after);
}

static culver_status
text_check(const struct pwfile *f, struct culver_call *call)
{
	if (!S_ISREG(f->st.st_mode))
		return culver_fail(call, CULVER_E_TEMP, 0, "%s is not a "
		    "regular file", f->path);
	if (f->st.st_size == 0)
		return culver_fail(call, CULVER_E_TEMP, 0, "%s is empty: "
		    "taken for half written", f->path);
	if (f->st.st_size > PF_MAX_FILE)
		return culver_fail(call, CULVER_E_TEMP, EFBIG, "%s", f->path);
	return CULVER_OK;
}

static culver_status
load_once(struct pwfile *f, struct culver_call *call)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct timespec now;
	culver_status st;

	if (fd < 0)
		return fail_file(f, call, "open");
	clock_gettime(CLOCK_REALTIME, &now);
	f->loaded_at = f->host->now(f->host);
	if (fstat(fd, &f->st) != 0)
		st = fail_file(f, call, "stat");
	else if ((st = text_check(f, call)) == CULVER_OK && !text_read(f, fd))
		st = fail_file(f, call, "read");
	close(fd);
	if (st != CULVER_OK)
		return st;
	if (f->n == 0 || f->text[f->n - 1] != '\n')
		return culver_fail(call, CULVER_E_TEMP, 0, "the last line of "
		    "%s has no newline: taken for half written", f->path);
	f->racy = now.tv_sec - f->st.st_ctim.tv_sec < PF_RACY ||
	    now.tv_sec - f->st.st_mtim.tv_sec < PF_RACY;
	return index_build(f, call);
}

static culver_status
load(struct pwfile *f, struct culver_call *call)
{
	culver_status st = CULVER_E_TEMP;

	f->host->random(f->host, &f->seed, sizeof(f->seed));
	for (int i = 0; i < MAX_TRIES; i++) {
		pwfile_unload(f);
		st = load_once(f, call);
		if (st == CULVER_OK || call->err->sys_errno != EAGAIN)
			break;
	}
	if (st == CULVER_OK)
		f->loaded = 1;
	else
		pwfile_unload(f);
	return st;
}

culver_status
pwfile_refresh(struct pwfile *f, struct culver_call *call)
{
	struct stat st;

	if (stat(f->path, &st) != 0) {
		pwfile_unload(f);
		return fail_file(f, call, "stat");
	}
	if (f->loaded && same_file(&st, &f->st) && (!f->racy ||
	    f->host->now(f->host) - f->loaded_at <
	    (uint64_t)PF_RACY * 1000000000u))
		return CULVER_OK;
	return load(f, call);
}
