/*
 * deliver.c - add a message: write it to tmp/, sync it, link it into new/.
 *
 * Runs in a worker as the mailbox's owner.  The text comes from the network
 * and is stored as it is, but for line ends: CRLF becomes LF, as Unix
 * programs expect it in a Maildir.  No lock is needed.
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

#define TMP_AGE (36 * 3600L)	/* seconds, as the Maildir format says */

struct culver_delivery {
	struct culver_store *store;
	int top, tmp, new, fd;
	int64_t received;	/* 0: now */
	char uid[PLUG_UID_MAX + 1];	/* that it brings, or "" */
	char name[48];		/* in tmp/ */
	culver_status failed;
	uint64_t size, octets;
	unsigned char last;	/* the last byte of buf or before it */
	bool cr;		/* a CR is held back */
	size_t n;
	unsigned char buf[32768];
};

static void
free_delivery(struct culver_delivery *d)
{
	if (d->fd >= 0) {
		close(d->fd);
		if (d->name[0] != '\0')
			unlinkat(d->tmp, d->name, 0);
	}
	if (d->tmp >= 0)
		close(d->tmp);
	if (d->new >= 0)
		close(d->new);
	if (d->top >= 0)
		close(d->top);
	free(d);
}

/* A name that nobody had before: time, and 64 random bits. */
static void
make_name(const struct culver_host *host, char *out, size_t n)
{
	struct timespec now;
	uint64_t bits;

	clock_gettime(CLOCK_REALTIME, &now);
	host->random(host, &bits, sizeof(bits));
	snprintf(out, n, "%lld.M%06ldR%016" PRIx64 ".culver",
	    (long long)now.tv_sec, now.tv_nsec / 1000, bits);
}

static culver_status
uid_take(struct culver_delivery *d, const char *uid, struct culver_call *call)
{
	size_t n = strlen(uid);

	if (!plug_uid_legal(uid, n))
		return plug_fail_as(call, CULVER_E_PERM, "%s: no legal UIDL",
		    d->store->path);
	memcpy(d->uid, uid, n + 1);
	return CULVER_OK;
}

culver_status
md_deliver_begin(struct culver_store *store, const struct culver_envelope *env,
    struct culver_delivery **out, struct culver_call *call)
{
	struct culver_delivery *d = malloc(sizeof(*d));
	culver_status status = CULVER_OK;

	if (d == NULL)
		return plug_fail(call, ENOMEM, "%s", store->path);
	memset(d, 0, offsetof(struct culver_delivery, buf));
	d->store = store;
	d->top = d->tmp = d->new = d->fd = -1;
	if (CULVER_HAS(struct culver_envelope, env, received))
		d->received = env->received;
	if (CULVER_HAS(struct culver_envelope, env, uid) && env->uid != NULL)
		status = uid_take(d, env->uid, call);
	if (status == CULVER_OK)
		status = plug_open_dir(AT_FDCWD, NULL, store->path, &d->top,
		    call);
	if (status == CULVER_OK)
		status = plug_open_dir(d->top, "tmp", store->path, &d->tmp,
		    call);
	if (status == CULVER_OK)
		status = plug_open_dir(d->top, "new", store->path, &d->new,
		    call);
	if (status == CULVER_OK) {
		make_name(store->host, d->name, sizeof(d->name));
		d->fd = openat(d->tmp, d->name, O_WRONLY | O_CREAT | O_EXCL |
		    O_NOFOLLOW | O_CLOEXEC, 0600);
		if (d->fd < 0)
			status = plug_fail(call, errno,
			    "cannot create %s/tmp/%s", store->path, d->name);
	}
	if (status == CULVER_OK)
		*out = d;
	else
		free_delivery(d);
	return status;
}

static void
flush(struct culver_delivery *d, struct culver_call *call)
{
	if (d->failed == CULVER_OK && !plug_write_all(d->fd, d->buf, d->n))
		d->failed = plug_fail(call, errno, "cannot write %s/tmp/%s",
		    d->store->path, d->name);
	d->n = 0;
}

static void
put(struct culver_delivery *d, unsigned char c, struct culver_call *call)
{
	if (d->n == sizeof(d->buf))
		flush(d, call);
	d->buf[d->n++] = c;
	d->size++;
	d->octets++;
	if (c == '\n' && d->last != '\r')
		d->octets++;
	d->last = c;
}

culver_status
md_deliver_write(struct culver_delivery *d, const void *buf, size_t n,
    struct culver_call *call)
{
	const unsigned char *p = buf, *end = p + n;

	for (; p < end && d->failed == CULVER_OK; p++) {
		/*
		 * The CR of a CRLF goes, but not after another CR: the LF
		 * would be taken for the end of that one.
		 */
		if (d->cr && (*p != '\n' || d->last == '\r'))
			put(d, '\r', call);
		d->cr = *p == '\r';
		if (!d->cr)
			put(d, *p, call);
	}
	if (d->failed == CULVER_OK)
		return md_in_time(d->store, call);
	return d->failed;
}

/* The name of the message, and with it its UIDL; false if it has no room. */
static bool
final_name(const struct culver_delivery *d, char out[NAME_MAX + 1])
{
	char name[48];
	int n;

	make_name(d->store->host, name, sizeof(name));
	n = snprintf(out, NAME_MAX + 1, "%s,S=%" PRIu64 ",W=%" PRIu64, name,
	    d->size, d->octets);
	if (d->uid[0] != '\0')
		return md_uid_append(out, d->uid);
	if (n > PLUG_UID_MAX)	/* terabytes: do without the sizes */
		snprintf(out, NAME_MAX + 1, "%s", name);
	return true;
}

/* Give the written file its name in new/, durably, or remove it again. */
static culver_status
publish(struct culver_delivery *d, char name[NAME_MAX + 1],
    struct culver_call *call)
{
	const char *path = d->store->path;
	culver_status status;
	int i;

	for (i = 0; i < 5; i++) {
		if (!final_name(d, name))
			return plug_fail_as(call, CULVER_E_PERM,
			    "%s: no file name has room for this UIDL", path);
		if (linkat(d->tmp, d->name, d->new, name, 0) == 0)
			break;
		if (errno != EEXIST || i == 4)
			return plug_fail(call, errno, "cannot link %s/new/%s",
			    path, name);
	}
	if (fsync(d->new) == 0)
		return CULVER_OK;
	status = plug_fail(call, errno, "cannot sync %s/new", path);
	unlinkat(d->new, name, 0);
	return status;
}

culver_status
md_deliver_commit(struct culver_delivery *d, struct culver_str *uid,
    struct culver_call *call)
{
	const bool limited = d->store->quota_octets > 0 ||
	    d->store->quota_messages > 0;
	const struct timespec times[2] = { { .tv_sec = d->received },
	    { .tv_sec = d->received } };
	char *name = culver_alloc(d->store->host, call, NAME_MAX + 1);
	culver_status status;
	int lock = -1;

	if (d->cr)
		put(d, '\r', call);
	if (d->size > 0 && d->last != '\n')
		d->octets += 2;
	flush(d, call);
	status = d->failed;
	if (status == CULVER_OK && d->received != 0 &&
	    futimens(d->fd, times) != 0)
		status = plug_fail(call, errno, "cannot date %s/tmp/%s",
		    d->store->path, d->name);
	if (status == CULVER_OK && fsync(d->fd) != 0)
		status = plug_fail(call, errno, "cannot sync %s/tmp/%s",
		    d->store->path, d->name);
	/* nothing that can fail may come after the message is there */
	if (status == CULVER_OK && name == NULL)
		status = plug_fail(call, ENOMEM, "%s", d->store->path);
	if (status == CULVER_OK && limited)
		status = md_quota_lock(d->store, &lock, call);
	if (status == CULVER_OK && limited)
		status = md_quota_check(d->store, d->top, d->size, call);
	if (status == CULVER_OK)
		status = publish(d, name, call);
	if (status == CULVER_OK)
		md_quota_add(d->store, d->top, (int64_t)d->size, 1);
	if (lock >= 0)
		close(lock);
	if (status == CULVER_OK && d->uid[0] != '\0')
		memcpy(name, d->uid, strlen(d->uid) + 1);
	if (status == CULVER_OK)
		*uid = (struct culver_str){ .p = name, .n = strlen(name) };
	free_delivery(d);
	return status;
}

void
md_deliver_abort(struct culver_delivery *d)
{
	free_delivery(d);
}

/* Remove NAME if nobody can be writing it any more. */
static void
clean_one(int tmp, const char *name, time_t now)
{
	struct stat st;

	if (fstatat(tmp, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && st.st_mtim.tv_sec < now - TMP_AGE &&
	    st.st_ctim.tv_sec < now - TMP_AGE)
		unlinkat(tmp, name, 0);
}

void
md_clean_tmp(const struct culver_store *store, struct culver_call *call)
{
	struct culver_error err = { .size = sizeof(err) };
	struct culver_call quiet = { .size = sizeof(quiet), .err = &err,
	    .deadline = call->deadline };
	struct timespec now;
	struct dirent *de;
	int top, tmp;
	DIR *d;

	if (plug_open_dir(AT_FDCWD, NULL, store->path, &top, &quiet) !=
	    CULVER_OK)
		return;
	tmp = openat(top, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	close(top);
	if (tmp < 0)
		return;
	d = fdopendir(tmp);
	if (d == NULL) {
		close(tmp);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	while ((de = readdir(d)) != NULL &&
	    md_in_time(store, &quiet) == CULVER_OK)
		if (de->d_name[0] != '.')
			clean_one(tmp, de->d_name, now.tv_sec);
	closedir(d);
}
