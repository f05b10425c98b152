/*
 * scan.c - list new/ and cur/ while others rename, add and remove files.
 *
 * Runs in the worker as the mailbox's owner, with directories that open()
 * opened.  readdir() may miss a file that is renamed meanwhile, and a client
 * that does not see a message forgets it: so a listing counts only if the
 * directories did not change while it was made, and when that cannot be
 * known, or when a message is missing, only if a second one agrees.
 */
#include "config.h"

#include "maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const dir_name[MD_DIRS] = { "new", "cur" };

static culver_status
stamp_dirs(const struct culver_store *store, const int dir[MD_DIRS],
    struct plug_stamp stamp[MD_DIRS], struct culver_call *call)
{
	struct stat st;
	int i;

	for (i = 0; i < MD_DIRS; i++) {
		if (fstat(dir[i], &st) != 0)
			return plug_fail(call, errno, "cannot stat %s/%s",
			    store->path, dir_name[i]);
		plug_stamp_set(&stamp[i], &st);
	}
	return CULVER_OK;
}

culver_status
md_snap_take(const struct culver_store *store, const int dir[MD_DIRS],
    struct md_snap *snap, struct culver_call *call)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	snap->start = now.tv_sec;
	snap->start_ns = now.tv_nsec;
	return stamp_dirs(store, dir, snap->dir, call);
}

static bool
is_settled(const struct md_snap *snap, unsigned d)
{
	const struct plug_stamp *s = &snap->dir[d];

	return plug_is_old(s->mtime, s->mtime_ns, snap->start,
	    snap->start_ns) && plug_is_old(s->ctime, s->ctime_ns,
	    snap->start, snap->start_ns);
}

bool
md_snap_settled(const struct md_snap *snap)
{
	return is_settled(snap, MD_NEW) && is_settled(snap, MD_CUR);
}

bool
md_snap_holds(const struct md_snap *snap, const struct md_snap *now,
    unsigned d)
{
	return is_settled(snap, d) &&
	    plug_stamp_equal(&snap->dir[d], &now->dir[d]);
}

/*
 * Is this entry a message: a regular file that is not hidden?  One that
 * vanished is none, and the directory has changed.  -1 with errno set.
 */
static int
is_message(int dir, const struct dirent *de)
{
	struct stat st;

	if (de->d_name[0] == '.')
		return 0;
	if (de->d_type != DT_UNKNOWN)
		return de->d_type == DT_REG;
	if (fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? 0 : -1;
	return S_ISREG(st.st_mode);
}

static culver_status
read_dir(const struct culver_store *store, int dirfd, unsigned dir,
    struct md_list *out, struct culver_call *call)
{
	culver_status status = CULVER_OK;
	const char *name = dir_name[dir];
	struct dirent *de;
	DIR *d = NULL;
	int fd;

	/* a description of its own, so that its offset begins at 0 */
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || (d = fdopendir(fd)) == NULL) {
		status = plug_fail(call, errno, "cannot list %s/%s",
		    store->path, name);
		if (fd >= 0)
			close(fd);
		return status;
	}
	while (errno = 0, (de = readdir(d)) != NULL) {
		int is = is_message(dirfd, de);

		if (is < 0)
			break;
		if (is == 0)
			continue;
		if (!md_list_add(out, de->d_name, dir, de->d_ino)) {
			status = plug_fail(call, ENOMEM, "%s/%s", store->path,
			    name);
			goto out;
		}
		if (out->n % 256 == 0 &&
		    (status = md_in_time(store, call)) != CULVER_OK)
			goto out;
	}
	if (errno != 0)
		status = plug_fail(call, errno, "cannot list %s/%s",
		    store->path, name);
out:
	closedir(d);
	return status;
}

bool
md_names_suffice(const struct culver_store *store)
{
	return store->trust_sizes && !store->dates &&
	    store->style != MD_QMAIL && store->style != MD_TPOP3D;
}

/* Believe what the name says of the size; false if it does not say all. */
static bool
believe_name(const struct md_list *l, struct md_rec *r)
{
	const char *base = md_base(l, r);
	uint64_t size, octets;

	if ((r->flags & MD_COUNTED) != 0)
		return true;
	if (!md_name_size(base, &size) || !md_name_octets(base, size, &octets))
		return false;
	r->size = size;
	r->octets = octets;
	r->flags |= MD_NAMED;
	return true;
}

/*
 * Stat the files of the directories WHICH that no earlier listing knew, but for
 * those whose names say enough; *VANISHED if one is gone.
 */
static culver_status
stat_new(const struct culver_store *store, const int dir[MD_DIRS],
    struct md_list *l, const bool which[MD_DIRS], bool *vanished,
    struct culver_call *call)
{
	const bool names = md_names_suffice(store);
	char name[NAME_MAX + 1];
	culver_status status;
	struct stat st;
	size_t i;

	for (i = 0; i < l->n; i++) {
		struct md_rec *r = &l->rec[i];

		if ((r->flags & MD_STAT) != 0 || !which[r->dir] ||
		    (names && believe_name(l, r)))
			continue;
		if ((status = md_in_time(store, call)) != CULVER_OK)
			return status;
		md_file_name(l, r, name);
		if (fstatat(dir[r->dir], name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
			if (errno != ENOENT)
				return plug_fail(call, errno,
				    "cannot stat %s/%s/%s", store->path,
				    dir_name[r->dir], name);
			*vanished = true;
			return CULVER_OK;
		}
		md_rec_stat(l, r, &st);
	}
	return CULVER_OK;
}

/* One value for the set of base names. */
static uint64_t
fingerprint(const struct md_list *l)
{
	uint64_t h = l->n;
	size_t i;

	for (i = 0; i < l->n; i++)
		h = plug_hash(h, md_base(l, &l->rec[i]), l->rec[i].base_len);
	return h;
}

/*
 * Which directories are as they were SINCE, so that what is KNOWN of them
 * holds?  Of several files of one message KNOWN has only one: then none is.
 */
static void
see_what_holds(const struct md_list *known, const struct md_snap *since,
    const struct md_snap *now, bool holds[MD_DIRS])
{
	size_t i;

	holds[MD_NEW] = since != NULL && md_snap_holds(since, now, MD_NEW);
	holds[MD_CUR] = since != NULL && md_snap_holds(since, now, MD_CUR);
	for (i = 0; i < known->n; i++)
		if ((known->rec[i].flags & MD_DUP) != 0)
			holds[MD_NEW] = holds[MD_CUR] = false;
}

/* One listing of what does not hold.  *STABLE: the directories did not change
 * meanwhile. */
static culver_status
scan_once(const struct culver_store *store, const int dir[MD_DIRS],
    const struct md_list *known, const struct md_snap *since,
    struct md_list *out, bool holds[MD_DIRS], struct md_snap *snap,
    bool *stable, struct culver_call *call)
{
	struct plug_stamp after[MD_DIRS] = { { 0 } };
	culver_status status;
	int i;

	status = md_snap_take(store, dir, snap, call);
	if (status == CULVER_OK)
		see_what_holds(known, since, snap, holds);
	/* new/ first: a file that moves to cur/ meanwhile is seen there */
	for (i = 0; i < MD_DIRS && status == CULVER_OK; i++)
		if (!holds[i])
			status = read_dir(store, dir[i], (unsigned)i, out,
			    call);
	if (status == CULVER_OK)
		status = stamp_dirs(store, dir, after, call);
	if (status != CULVER_OK)
		return status;
	*stable = plug_stamp_equal(&snap->dir[MD_NEW], &after[MD_NEW]) &&
	    plug_stamp_equal(&snap->dir[MD_CUR], &after[MD_CUR]);
	if (!md_list_sort(out))
		return plug_fail(call, ENOMEM, "%s", store->path);
	return CULVER_OK;
}

/* The same, with sizes; LAST is the listing before, and is freed. */
static culver_status
scan_more(const struct culver_store *store, const int dir[MD_DIRS],
    struct md_list *known, struct md_list *last, struct md_list *out,
    const bool holds[MD_DIRS], size_t *missing, bool *vanished,
    struct culver_call *call)
{
	static const bool none[MD_DIRS], all[MD_DIRS] = { true, true };
	long gone = md_list_inherit(out, last, none);
	culver_status status;

	md_list_free(last);
	if (gone >= 0)
		gone = md_list_inherit(out, known, holds);
	if (gone < 0)
		return plug_fail(call, ENOMEM, "%s", store->path);
	*missing = (size_t)gone;
	*vanished = false;
	status = stat_new(store, dir, out, all, vanished, call);
	if (status == CULVER_OK)
		status = stat_new(store, dir, known, holds, vanished, call);
	return status;
}

culver_status
md_scan(const struct culver_store *store, const int dir[MD_DIRS],
    struct md_list *known, const struct md_snap *since,
    struct md_list *out, struct md_snap *snap, size_t *missing,
    struct culver_call *call)
{
	struct md_list last = { 0 };
	culver_status status = CULVER_OK;
	uint64_t print, last_print = 0;
	bool stable, vanished, have_last = false, holds[MD_DIRS] = { false };
	int i;

	for (i = 0; i < MD_SCANS; i++) {
		last = *out;
		*out = (struct md_list){ 0 };
		status = scan_once(store, dir, known, since, out, holds, snap,
		    &stable, call);
		if (status == CULVER_OK)
			status = scan_more(store, dir, known, &last, out,
			    holds, missing, &vanished, call);
		if (status != CULVER_OK)
			goto out;
		if (!stable || vanished) {
			have_last = false;
			continue;
		}
		if (*missing == 0 && md_snap_settled(snap))
			goto out;
		print = plug_hash(fingerprint(out), holds, sizeof(holds));
		if (have_last && print == last_print)
			goto out;
		have_last = true;
		last_print = print;
	}
	status = plug_fail_as(call, CULVER_E_TEMP,
	    "%s changed during each of %d listings", store->path, MD_SCANS);
out:
	if (status == CULVER_OK && (holds[MD_NEW] || holds[MD_CUR]) &&
	    known->n > 0 && !md_list_merge(out, known, holds))
		status = plug_fail(call, ENOMEM, "%s", store->path);
	md_list_free(&last);
	if (status != CULVER_OK)
		md_list_free(out);
	return status;
}
