/*
 * spool.c - a message on its way: a file without a name.
 *
 * Runs in lmtp.  It is written once; whoever is to read it gets a descriptor
 * that can do nothing else.  Nothing is synced: until a worker has said that
 * its copy is safe the client keeps the message.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/lmtp/lmtp.h"

#define CLEAN_AGE 60		/* s: another lmtp may be making one now */

/* Its name is one for the moment between two calls. */
static _Bool
make(struct spool *s)
{
	char name[32];
	uint64_t bits;

	if (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
		return 0;
	snprintf(name, sizeof(name), "m%016" PRIx64, bits);
	s->write_fd = openat(FD_SPOOL, name, O_WRONLY | O_CREAT | O_EXCL |
	    O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->write_fd < 0)
		return 0;
	s->read_fd = openat(FD_SPOOL, name, O_RDONLY | O_NOFOLLOW |
	    O_CLOEXEC);
	return unlinkat(FD_SPOOL, name, 0) == 0 && s->read_fd >= 0;
}

static void
lost(struct spool *s, culver_status st)
{
	spool_close(s);
	s->status = st;
}

static void
failed(struct spool *s, const char *what)
{
	culver_status st = errno == ENOSPC || errno == EDQUOT ?
	    CULVER_E_NOSPACE : CULVER_E_TEMP;

	log_warn("%s", what);
	lost(s, st);
}

void
spool_open(struct spool *s)
{
	spool_close(s);
	s->status = CULVER_OK;
	if (make(s))
		return;
	failed(s, "cannot make a file in the spool");
}


void
spool_add(struct spool *s, const uint8_t *p, size_t n)
{
	ssize_t put;

	if (s->status != CULVER_OK)
		return;
	if (n > server.conf.message_size - s->size) {
		lost(s, LMTP_TOO_LARGE);
		return;
	}
	if (n > server.conf.spool - server.spooled) {
		log_warnx("limit what=spool: raise limits.spool");
		lost(s, CULVER_E_NOSPACE);
		return;
	}
	while (n > 0) {
		put = write(s->write_fd, p, n);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0) {
			failed(s, "cannot write to the spool");
			return;
		}
		p += put;
		n -= (size_t)put;
		s->size += (uint64_t)put;
		server.spooled += (uint64_t)put;
	}
}

void
spool_close(struct spool *s)
{
	server.spooled -= s->size;
	s->size = 0;
	if (s->write_fd >= 0)
		close(s->write_fd);
	if (s->read_fd >= 0)
		close(s->read_fd);
	s->write_fd = s->read_fd = -1;
	s->status = CULVER_E_TEMP;
}

void
spool_clean(void)
{
	int fd = openat(FD_SPOOL, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *de;
	time_t now = time(NULL);
	struct stat st;

	if (d == NULL) {
		log_error("cannot read the spool");
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((de = readdir(d)) != NULL)
		if (de->d_name[0] == 'm' && fstatat(FD_SPOOL, de->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		    st.st_ctim.tv_sec < now - CLEAN_AGE)
			unlinkat(FD_SPOOL, de->d_name, 0);
	closedir(d);
}
