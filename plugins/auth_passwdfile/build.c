/*
 * build.c - make the index of a passwd file, piece by piece, so that logins
 * can be answered in between.
 *
 * Runs in a pool process.  The file is read twice: to count its lines, and to
 * note where they are.  What is wrong with a line is told once, here.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/auth_passwdfile/passwdfile.h"

enum {
	MAX_UPPERS = 5,		/* line numbers with such names in the log */
	MAX_COMPLAINTS = 20,	/* lines of one file that are logged */
	PIECE = 256 * 1024	/* octets read at once */
};

/* Hashes of one scheme and cost. */
struct kind {
	struct auth_costs costs;
	size_t count;
};

struct build {
	const struct culver_host *host;
	const char *path;
	struct span scheme;
	_Bool quiet;
	int fd;			/* while there is no index */
	struct stat st;
	struct pwindex *ix;
	uint64_t at;		/* octets that have been looked at */
	uint64_t made_at;
	size_t lines;		/* counted */
	uint32_t nr;		/* of the line at `at' */
	_Bool inside;		/* of a line that is too long */
	_Bool racy, has_plain;
	size_t complaints;
	/* names that no client can send if user_case is "lower"; only the core
	 * knows what it is */
	size_t n_uppers;
	uint32_t upper[MAX_UPPERS];
	unsigned n_kinds;
	struct kind kind[PF_KINDS];
	char buf[PIECE];
};

/* --- what an unknown user costs ------------------------------------------- */

static void
kinds_count(struct build *b, const struct hash *h)
{
	struct hash_cost cost = hash_cost(h->method, h->text);
	unsigned i;

	for (i = 0; i < b->n_kinds; i++)
		if (b->kind[i].costs.method == h->method &&
		    b->kind[i].costs.cost.usec == cost.usec &&
		    b->kind[i].costs.cost.kib == cost.kib)
			break;
	if (i == PF_KINDS)
		return;
	if (i == b->n_kinds) {
		b->n_kinds++;
		auth_costs_like(&b->kind[i].costs, h);
	}
	b->kind[i].count++;
}

/* A hash as costly as most in the file; the default scheme's if none is. */
static void
dummy_choose(struct build *b)
{
	struct auth_costs *c = &b->ix->costs;
	unsigned most = 0;

	for (unsigned i = 1; i < b->n_kinds; i++)
		if (b->kind[i].count > b->kind[most].count)
			most = i;
	if (b->n_kinds == 0)
		auth_costs_usual(c, b->scheme);
	else
		*c = b->kind[most].costs;
	c->has_plain = b->has_plain;
}

/* --- lines ---------------------------------------------------------------- */

static void
uppers_add(struct build *b, struct span user)
{
	for (size_t i = 0; i < user.n; i++)
		if (user.p[i] >= 'A' && user.p[i] <= 'Z') {
			if (b->n_uppers < MAX_UPPERS)
				b->upper[b->n_uppers] = b->nr;
			b->n_uppers++;
			return;
		}
}

/* One line for all of them. */
static void
uppers_tell(const struct build *b)
{
	char text[MAX_UPPERS * 12] = "";
	size_t n = 0;

	for (size_t i = 0; i < b->n_uppers && i < MAX_UPPERS; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%u",
		    i > 0 ? ", " : "", b->upper[i]);
	culver_logf(b->host, CULVER_LOG_INFO, "%s: %zu users with upper-case "
	    "letters in their names (line %s%s) can log in only if "
	    "user_case = keep", b->path, b->n_uppers, text,
	    b->n_uppers > MAX_UPPERS ? ", ..." : "");
}

static void
complain(struct build *b, const char *why, uint32_t first)
{
	if (b->quiet || b->complaints++ >= MAX_COMPLAINTS)
		return;
	if (first != 0)
		culver_logf(b->host, CULVER_LOG_ERROR, "%s:%u: the user of "
		    "line %u again: only that line counts", b->path, b->nr,
		    first);
	else
		culver_logf(b->host, CULVER_LOG_ERROR, "%s:%u: %s: this user "
		    "cannot log in", b->path, b->nr, why);
}

/* Look at the line AT; false: the table is full, so the file is another. */
static _Bool
line_add(struct build *b, struct span line, uint64_t at)
{
	uint32_t first = 0;
	struct entry e;
	const char *why;
	_Bool good;
	struct hash h;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n == 0 || line.p[0] == '#' || line.p[0] == ':')
		return 1;
	good = entry_parse(line.p, line.n, &e, &why);
	if (e.user.n <= PF_MAX_USER)
		first = index_add(b->ix, e.user.p, e.user.n, at, b->nr);
	if (first == UINT32_MAX)
		return 0;
	if (!good || first != 0) {
		complain(b, why, first);
		return 1;
	}
	uppers_add(b, e.user);
	h = hash_parse(e.password, b->scheme);
	if (h.state == HASH_GOOD)
		kinds_count(b, &h);
	b->has_plain |= h.state == HASH_GOOD && h.method == method_plain;
	return 1;
}

/* --- pieces --------------------------------------------------------------- */

/* The next octets of the file into b->buf; 0: the file is not what it was. */
static size_t
piece_read(struct build *b, int fd)
{
	uint64_t left = (uint64_t)b->st.st_size - b->at;
	size_t want = left < PIECE ? (size_t)left : PIECE;
	ssize_t got = pread(fd, b->buf, want, (off_t)b->at);

	return got > 0 ? (size_t)got : 0;
}

static enum built
count_piece(struct build *b)
{
	size_t n = piece_read(b, b->fd);
	const char *p = b->buf, *end = b->buf + n;

	if (n == 0)
		return BUILD_CHANGED;
	for (; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
		b->lines++;
	b->at += n;
	return BUILD_MORE;
}

/* Note the lines that end in this piece. */
static enum built
index_piece(struct build *b)
{
	size_t n = piece_read(b, b->ix->fd);
	char *p = b->buf, *lf, *end = b->buf + n;

	if (n == 0)
		return BUILD_CHANGED;
	while ((lf = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		b->nr += !b->inside;
		if (!b->inside && !line_add(b, (struct span){p,
		    (size_t)(lf - p)}, b->at + (uint64_t)(p - b->buf)))
			return BUILD_CHANGED;
		b->inside = 0;
		p = lf + 1;
	}
	if (p == b->buf && n < PIECE)
		return BUILD_CHANGED;
	if (p == b->buf) {		/* no end in all of it */
		b->nr += !b->inside;
		if (!b->inside && !line_add(b, (struct span){p, n}, b->at))
			return BUILD_CHANGED;
		b->inside = 1;
		p = end;
	}
	b->at += (uint64_t)(p - b->buf);
	return BUILD_MORE;
}

static enum built
index_begin(struct build *b, struct culver_call *call)
{
	uint64_t seed;

	b->host->random(b->host, &seed, sizeof(seed));
	b->ix = index_new(b->fd, &b->st, b->lines, seed);
	b->fd = -1;
	if (b->ix == NULL) {
		culver_fail(call, CULVER_E_TEMP, ENOMEM, "index of %s",
		    b->path);
		return BUILD_FAILED;
	}
	b->ix->racy = b->racy;
	b->ix->made_at = b->made_at;
	b->at = 0;
	return BUILD_MORE;
}

static enum built
index_end(struct build *b)
{
	if (!index_is_whole(b->ix))
		return BUILD_CHANGED;
	dummy_choose(b);
	if (b->complaints > MAX_COMPLAINTS)
		culver_logf(b->host, CULVER_LOG_ERROR, "%s: %zu more lines "
		    "like these", b->path, b->complaints - MAX_COMPLAINTS);
	if (!b->quiet && b->n_uppers > 0)
		uppers_tell(b);
	return BUILT;
}

enum built
build_step(struct build *b, uint64_t until, struct culver_call *call)
{
	enum built r;

	do {
		_Bool over = b->at == (uint64_t)b->st.st_size;

		if (b->ix == NULL)
			r = over ? index_begin(b, call) : count_piece(b);
		else
			r = over ? index_end(b) : index_piece(b);
	} while (r == BUILD_MORE && b->host->now(b->host) < until);
	return r;
}

/* --- begin, end ----------------------------------------------------------- */

static culver_status
text_check(const struct build *b, struct culver_call *call)
{
	char last;

	if (!S_ISREG(b->st.st_mode))
		return culver_fail(call, CULVER_E_TEMP, 0, "%s is not a "
		    "regular file", b->path);
	if (b->st.st_size == 0)
		return culver_fail(call, CULVER_E_TEMP, 0, "%s is empty: "
		    "taken for half written", b->path);
	if (b->st.st_size > PF_MAX_FILE)
		return culver_fail(call, CULVER_E_TEMP, EFBIG, "%s", b->path);
	if (pread(b->fd, &last, 1, b->st.st_size - 1) != 1)
		return culver_fail(call, CULVER_E_TEMP, errno, "read %s",
		    b->path);
	if (last != '\n')
		return culver_fail(call, CULVER_E_TEMP, 0, "the last line of "
		    "%s has no newline: taken for half written", b->path);
	return CULVER_OK;
}

struct build *
build_new(const struct culver_host *host, const char *path,
    struct span scheme, _Bool quiet, struct culver_call *call)
{
	struct build *b = calloc(1, sizeof(*b));
	struct timespec now;

	if (b == NULL) {
		culver_fail(call, CULVER_E_TEMP, ENOMEM, "index of %s", path);
		return NULL;
	}
	b->host = host;
	b->path = path;
	b->scheme = scheme;
	b->quiet = quiet;
	b->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	clock_gettime(CLOCK_REALTIME, &now);
	b->made_at = host->now(host);
	if (b->fd < 0 || fstat(b->fd, &b->st) != 0) {
		pwfile_fail(path, b->fd < 0 ? "open" : "stat", call);
		build_free(&b);
		return NULL;
	}
	b->racy = now.tv_sec - b->st.st_ctim.tv_sec < PF_RACY ||
	    now.tv_sec - b->st.st_mtim.tv_sec < PF_RACY;
	if (text_check(b, call) != CULVER_OK)
		build_free(&b);
	return b;
}

void
build_free(struct build **b)
{
	if (*b == NULL)
		return;
	if ((*b)->fd >= 0)
		close((*b)->fd);
	index_free(&(*b)->ix);
	explicit_bzero(*b, sizeof(**b));
	free(*b);
	*b = NULL;
}

struct pwindex *
build_take(struct build *b)
{
	struct pwindex *ix = b->ix;

	b->ix = NULL;
	return ix;
}
