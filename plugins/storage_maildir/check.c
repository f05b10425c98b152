/*
 * check.c - look for damage that reading the messages would not show.
 *
 * Runs in the worker as the mailbox's owner, also on a Maildir that open()
 * refuses: are all directories there, is culver-uidl whole, is there anything
 * among the messages that is none.
 */
#include "config.h"

#include "maildir.h"
#include "uidl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

struct findings {
	struct plug_findings to;
	const struct culver_store *store;
	struct culver_call *call;
};

/* The text of the last failure is a finding. */
static culver_status
find(struct findings *f)
{
	plug_found(&f->to, "%s", f->call->err->text);
	return CULVER_OK;
}

static bool
is_message(int dir, const struct dirent *de)
{
	struct stat st;

	if (de->d_type != DT_UNKNOWN)
		return de->d_type == DT_REG;
	return fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    S_ISREG(st.st_mode);
}

/* Entries of the open directory D, called SUB, that are no messages. */
static culver_status
check_entries(struct findings *f, const char *sub, DIR *d)
{
	char first[NAME_MAX + 1] = "";
	unsigned long strange = 0;
	struct dirent *de;
	culver_status status = CULVER_OK;

	while (status == CULVER_OK && (errno = 0, de = readdir(d)) != NULL) {
		status = plug_in_time(f->store->host, f->store->path, f->call);
		if (de->d_name[0] == '.' || is_message(dirfd(d), de))
			continue;
		if (strange++ == 0)
			snprintf(first, sizeof(first), "%s", de->d_name);
	}
	if (status == CULVER_OK && errno != 0)
		return plug_fail(f->call, errno, "cannot read %s/%s",
		    f->store->path, sub);
	if (status != CULVER_OK || strange == 0)
		return status;
	plug_found(&f->to, "%s/%s: %lu entries are no files, and not shown, "
	    "like %.100s", f->store->path, sub, strange, first);
	return CULVER_OK;
}

static culver_status
check_dir(struct findings *f, int top, const char *sub)
{
	culver_status status;
	DIR *d;
	int fd;

	status = plug_open_dir(top, sub, f->store->path, &fd, f->call);
	if (status != CULVER_OK)
		return f->call->err->sys_errno == ENOENT ||
		    f->call->err->sys_errno == ENOTDIR ? find(f) : status;
	d = fdopendir(fd);
	if (d == NULL) {
		close(fd);
		return plug_fail(f->call, errno, "cannot read %s/%s",
		    f->store->path, sub);
	}
	/* what is in tmp/ is nobody's mail yet */
	if (strcmp(sub, "tmp") != 0)
		status = check_entries(f, sub, d);
	closedir(d);
	return status;
}

static culver_status
check_uidl(struct findings *f)
{
	struct plug_index ix = { .path = f->store->index };
	struct uidl_state s = { .n = 0 };
	culver_status status;

	status = plug_open_dir(AT_FDCWD, NULL, ix.path, &ix.fd, f->call);
	if (status != CULVER_OK)
		return status;
	status = uidl_state_load(&ix, &s, f->call);
	uidl_state_free(&s);
	close(ix.fd);
	return status == CULVER_E_CORRUPT ? find(f) : status;
}

culver_status
md_check(struct culver_store *store, struct culver_str *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	static const char *const subs[] = { "new", "cur", "tmp" };
	struct findings f = { .store = store, .call = call, .to = {
	    .host = store->host, .call = call, .out = out, .cap = cap } };
	culver_status status;
	size_t i;
	int top;

	status = plug_open_dir(AT_FDCWD, NULL, store->path, &top, call);
	if (status != CULVER_OK)
		return status;
	for (i = 0; i < 3 && status == CULVER_OK; i++)
		status = check_dir(&f, top, subs[i]);
	close(top);
	if (status == CULVER_OK)
		status = check_uidl(&f);
	*n = f.to.n;
	return status;
}
