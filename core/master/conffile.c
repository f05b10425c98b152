/*
 * conffile.c - open the files of a configuration for the config role.
 *
 * Runs as root in master and in culverctl, up to the drop.  Names come from
 * the configuration, which only root can write, through a role that is not
 * trusted: nothing outside the main file's folder is opened.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/config/conf.h"
#include "core/master/conffile.h"

#define OPEN_READ (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

int
conffile_open(const char *main_path, const char *name, uint32_t *error)
{
	struct open_how how = {.flags = OPEN_READ,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	const char *file = strrchr(main_path, '/') + 1;
	char dir[CONF_PATH];
	struct stat st;
	int at, fd;

	snprintf(dir, sizeof(dir), "%.*s", (int)(file - main_path),
	    main_path);
	at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = (int)syscall(SYS_openat2, at, *name ? name : file, &how,
	    sizeof(how));
	*error = fd < 0 ? (uint32_t)errno : 0;
	close(at);
	/* root's (or the caller's), and nobody else may write it */
	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    (st.st_mode & 022) != 0 ||
	    (st.st_uid != 0 && st.st_uid != geteuid()))) {
		close(fd);
		*error = EPERM;
		return -1;
	}
	return fd;
}
