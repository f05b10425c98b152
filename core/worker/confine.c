/*
 * confine.c - see confine.h.
 *
 * Runs in worker, as the mailbox's owner, with the plugin loaded and the
 * mailbox not open yet.  Paths are the plugin's word and the user's files: they
 * are opened with the user's rights, so they give nobody more than he has.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/sandbox.h"
#include "core/worker/confine.h"
#include "core/worker/locking.h"

/*
 * A path that is not there gives no right, and open() will say what that
 * means; it is never a reason to allow more.
 */
static _Bool
path_open(const struct culver_path *p, struct sandbox_path *out)
{
	struct stat st;
	int fd;

	fd = open(p->path, O_PATH | O_CLOEXEC |
	    ((p->access & CULVER_PATH_DIR) != 0 ? O_DIRECTORY : 0));
	if (fd < 0) {
		log_at(errno == ENOENT ? LOG_DEBUG_ : LOG_WARN_,
		    "cannot allow %s: %s", p->path, strerror(errno));
		return 0;
	}
	out->fd = fd;
	out->access = p->access;
	/* rights over a directory's names mean nothing for a file */
	if (fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode))
		out->access &= CULVER_PATH_READ | CULVER_PATH_WRITE;
	return 1;
}

static culver_status
paths_allow(struct store *store, uint64_t needs)
{
	struct sandbox_path allowed[STORE_PATHS];
	struct culver_path paths[STORE_PATHS];
	culver_status st;
	uint32_t i, n;
	size_t k = 0;
	_Bool ok;

	st = store_paths(store, paths, &n);
	if (st != CULVER_OK)
		return st;
	for (i = 0; i < n; i++)
		if ((paths[i].access & CULVER_PATH_DOTLOCK) != 0)
			break;
	locking_file(i < n ? paths[i].path : NULL);
	for (i = 0; i < n; i++)
		k += path_open(&paths[i], &allowed[k]);
	ok = sandbox_landlock(allowed, k, (needs & CULVER_NEED_NET) != 0);
	if (!ok)
		log_error("Landlock");
	while (k > 0)
		close(allowed[--k].fd);
	return ok ? CULVER_OK : CULVER_E_TEMP;
}

culver_status
confine(struct store *store, int snapshot, const struct conf_head *head,
    uint64_t needs, struct sock_filter *filter)
{
	culver_status st = paths_allow(store, needs);
	size_t n;

	if (st != CULVER_OK)
		return st;
	n = conf_filter(snapshot, head, filter);
	if (n == 0 && (sandbox_missing() & SANDBOX_SECCOMP) != 0)
		return CULVER_OK;	/* said when the server started */
	if (n == 0) {
		log_errorx("the configuration has no filter for workers");
		return CULVER_E_PERM;
	}
	if (!sandbox_trap() || !sandbox_seccomp(filter, n)) {
		log_error("seccomp");
		return CULVER_E_TEMP;
	}
	return CULVER_OK;
}
