/*
 * memfd.c - see memfd.h.
 */
#include "config.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/memfd.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

enum { FLAGS = MFD_CLOEXEC | MFD_ALLOW_SEALING };

int
memfd_new(const char *name)
{
	int fd = memfd_create(name, FLAGS | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, FLAGS);
	return fd;
}

_Bool
memfd_noexec(void)
{
	int fd = memfd_create("try", FLAGS | MFD_NOEXEC_SEAL);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}
