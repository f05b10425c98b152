/*
 * quota.c - how much is in the mailbox: the file maildirsize of Maildir++.
 *
 *	1073741824S,1000C
 *	SIZE COUNT
 *	-SIZE -1
 *	...
 *
 * Runs in a worker as the mailbox's owner.  The first line is the quota, the
 * sum of the others what is used; every program that adds or removes a message
 * appends a line.  It may be wrong after a crash, so nobody is told that he is
 * over quota by a sum that is old: the messages are counted anew then.  Others
 * write this file, too: what cannot be read is counted anew.
 */
#include "config.h"

#include "maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <culver/util.h>

#define MD_SIZEFILE	"maildirsize"
#define MD_QUOTALOCK	"culver-quota.lock"
#define SIZEFILE_MAX	5120		/* octets, as the format says */
#define SIZEFILE_AGE	(15 * 60)	/* s */

struct usage {
	int64_t size, count;
	unsigned lines;
	time_t mtime;
};

/* --- the lock among deliveries ------------------------------------------- */

culver_status
md_quota_lock(const struct culver_store *store, int *fd,
    struct culver_call *call)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[PATH_MAX];
	culver_status status;

	snprintf(path, sizeof(path), "%s/%s", store->index, MD_QUOTALOCK);
	*fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (*fd < 0)
		return plug_fail(call, errno, "cannot open %s", path);
	while (fcntl(*fd, F_OFD_SETLK, &lock) != 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return plug_fail(call, errno, "cannot lock %s", path);
		status = md_in_time(store, call);
		if (status != CULVER_OK)
			return status;
		nanosleep(&pause, NULL);
	}
	return CULVER_OK;
}

/* --- reading --------------------------------------------------------------- */

static void
quota_text(const struct culver_store *store, char out[64])
{
	int n = 0;

	out[0] = '\0';
	if (store->quota_octets > 0)
		n = snprintf(out, 64, "%" PRIu64 "S", store->quota_octets);
	if (store->quota_messages > 0)
		snprintf(out + n, (size_t)(64 - n), "%s%" PRIu64 "C",
		    n > 0 ? "," : "", store->quota_messages);
}

/* Is LINE this store's quota, whichever part comes first? */
static bool
quota_is(const struct culver_store *store, const char *line)
{
	uint64_t octets = 0, messages = 0;
	char *end;

	while (*line != '\0') {
		uint64_t v = strtoull(line, &end, 10);

		if (end == line || (*end != 'S' && *end != 'C'))
			return false;
		*(*end == 'S' ? &octets : &messages) = v;
		line = end + 1;
		if (*line == ',')
			line++;
	}
	return octets == store->quota_octets &&
	    messages == store->quota_messages;
}

/* Add up TEXT, which is changed; false if it is none for this quota. */
static bool
sum_up(const struct culver_store *store, char *text, struct usage *u)
{
	char *line = strsep(&text, "\n"), *end;
	bool over = false;

	if (!quota_is(store, line))
		return false;
	while (text != NULL && *text != '\0') {
		line = strsep(&text, "\n");
		over |= __builtin_add_overflow(u->size,
		    strtoll(line, &end, 10), &u->size);
		if (end == line || *end != ' ')
			return false;
		line = end;
		over |= __builtin_add_overflow(u->count,
		    strtoll(line, &end, 10), &u->count);
		if (end == line || end[strspn(end, " ")] != '\0')
			return false;
		u->lines++;
	}
	return u->lines > 0 && !over && u->size >= 0 && u->count >= 0;
}

/* What maildirsize says; false if it has to be made anew. */
static bool
usage_read(const struct culver_store *store, int top, struct usage *u)
{
	char text[SIZEFILE_MAX + 1];
	struct stat st;
	ssize_t n;
	int fd = openat(top, MD_SIZEFILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC |
	    O_NONBLOCK);

	memset(u, 0, sizeof(*u));
	if (fd < 0)
		return false;
	n = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ?
	    pread(fd, text, sizeof(text), 0) : -1;
	close(fd);
	if (n <= 0 || n >= SIZEFILE_MAX || memchr(text, 0, (size_t)n) != NULL)
		return false;
	text[n] = '\0';
	u->mtime = st.st_mtim.tv_sec;
	return sum_up(store, text, u);
}

/* --- counting ---------------------------------------------------------------- */

/* The octets of a message, which its name may tell. */
static int64_t
message_size(int dir, const char *name)
{
	const char *s = strstr(name, ",S=");
	struct stat st;
	char *end;

	if (s != NULL) {
		unsigned long long v = strtoull(s + 3, &end, 10);

		if (end > s + 3 && (*end == ',' || *end == ':' || *end == 0) &&
		    v <= INT64_MAX / 2)
			return (int64_t)v;
	}
	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) ? (int64_t)st.st_size : -1;
}

/* Messages that are marked as deleted do not count (Maildir++). */
static bool
is_trashed(const char *name)
{
	const char *info = strstr(name, ":2,");

	return info != NULL && strchr(info + 3, 'T') != NULL;
}

static culver_status
count_dir(const struct culver_store *store, int parent, const char *sub,
    struct usage *u, struct culver_call *call)
{
	int fd = openat(parent, sub, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	culver_status status = CULVER_OK;
	struct dirent *de;
	int64_t size;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return errno == ENOENT || errno == ENOTDIR ? CULVER_OK :
		    plug_fail(call, errno, "cannot count %s/%s", store->path,
			sub);
	}
	while (status == CULVER_OK && (de = readdir(d)) != NULL) {
		if (de->d_name[0] == '.' || is_trashed(de->d_name))
			continue;
		size = message_size(fd, de->d_name);
		if (size < 0)
			continue;
		if (__builtin_add_overflow(u->size, size, &u->size))
			u->size = INT64_MAX;	/* names can say anything */
		u->count++;
		status = md_in_time(store, call);
	}
	closedir(d);
	return status;
}

/* The Maildir and its folders, but for the trash. */
static culver_status
count_all(const struct culver_store *store, int top, struct usage *u,
    struct culver_call *call)
{
	char sub[NAME_MAX + 8];
	culver_status status;
	struct dirent *de;
	int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	memset(u, 0, sizeof(*u));
	if (d == NULL) {
		status = plug_fail(call, errno, "cannot read %s", store->path);
		if (fd >= 0)
			close(fd);
		return status;
	}
	status = count_dir(store, top, "new", u, call);
	if (status == CULVER_OK)
		status = count_dir(store, top, "cur", u, call);
	while (status == CULVER_OK && (de = readdir(d)) != NULL) {
		if (de->d_name[0] != '.' || strcmp(de->d_name, ".") == 0 ||
		    strcmp(de->d_name, "..") == 0 ||
		    strcmp(de->d_name, ".Trash") == 0)
			continue;
		snprintf(sub, sizeof(sub), "%s/new", de->d_name);
		status = count_dir(store, top, sub, u, call);
		snprintf(sub, sizeof(sub), "%s/cur", de->d_name);
		if (status == CULVER_OK)
			status = count_dir(store, top, sub, u, call);
	}
	closedir(d);
	return status;
}

/* Count, and write what was counted.  That it cannot be written costs the
 * next delivery a count of its own. */
static culver_status
usage_count(const struct culver_store *store, int top, struct usage *u,
    struct culver_call *call)
{
	culver_status status = count_all(store, top, u, call);
	char quota[64], name[64], text[160];
	uint64_t bits;
	bool ok;
	int fd, n;

	if (status != CULVER_OK)
		return status;
	store->host->random(store->host, &bits, sizeof(bits));
	snprintf(name, sizeof(name), "tmp/%016" PRIx64 ".maildirsize", bits);
	quota_text(store, quota);
	n = snprintf(text, sizeof(text), "%s\n%" PRId64 " %" PRId64 "\n",
	    quota, u->size, u->count);
	fd = openat(top, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
	    O_CLOEXEC, 0600);
	ok = fd >= 0 && plug_write_all(fd, text, (size_t)n) &&
	    renameat(top, name, top, MD_SIZEFILE) == 0;
	if (!ok)
		culver_logf(store->host, CULVER_LOG_WARN, "%s: cannot write "
		    "%s: %s", store->path, MD_SIZEFILE, strerror(errno));
	if (fd >= 0 && !ok)
		unlinkat(top, name, 0);
	if (fd >= 0)
		close(fd);
	return CULVER_OK;
}

/* --- for deliveries and sessions ----------------------------------------------- */

static bool
fits(const struct culver_store *store, const struct usage *u, uint64_t size)
{
	return culver_quota_fits(store->quota_octets, store->quota_messages,
	    (uint64_t)u->size, (uint64_t)u->count, size);
}

/* Not time(): the dynamic linker of glibc asks at each login which one to
 * take, with five look-ups. */
static int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec;
}

culver_status
md_quota_check(const struct culver_store *store, int top, uint64_t size,
    struct culver_call *call)
{
	bool counted = false;
	culver_status status;
	struct usage u;

	if (!usage_read(store, top, &u)) {
		status = usage_count(store, top, &u, call);
		if (status != CULVER_OK)
			return status;
		counted = true;
	}
	if (!fits(store, &u, size) && !counted && (u.lines > 1 ||
	    now() - u.mtime > SIZEFILE_AGE || now() < u.mtime)) {
		status = usage_count(store, top, &u, call);
		if (status != CULVER_OK)
			return status;
	}
	if (fits(store, &u, size))
		return CULVER_OK;
	return plug_fail_as(call, CULVER_E_QUOTA, "%s: %" PRIu64 " octets do "
	    "not fit: %" PRId64 " octets and %" PRId64 " messages are there",
	    store->path, size, u.size, u.count);
}

void
md_quota_add(const struct culver_store *store, int top, int64_t size,
    int64_t count)
{
	char line[64];
	int fd = openat(top, MD_SIZEFILE, O_WRONLY | O_APPEND | O_NOFOLLOW |
	    O_CLOEXEC | O_NONBLOCK);
	int n;

	if (fd < 0 && errno == ENOENT)
		return;		/* nobody counts */
	n = snprintf(line, sizeof(line), "%" PRId64 " %" PRId64 "\n", size,
	    count);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		culver_logf(store->host, CULVER_LOG_WARN, "%s: cannot add to "
		    "%s: %s", store->path, MD_SIZEFILE, strerror(errno));
	if (fd >= 0)
		close(fd);
}

bool
md_quota_is_kept(const struct culver_store *store)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", store->path, MD_SIZEFILE);
	return access(path, F_OK) == 0;
}

void
md_quota_removed(const struct culver_store *store, int64_t size,
    int64_t count)
{
	int top = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (top < 0)
		return;
	md_quota_add(store, top, -size, -count);
	close(top);
}
