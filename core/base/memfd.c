/*
 * memfd.c - see memfd.h.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

void *
memfd_share(int fd, size_t size)
{
	const int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *p;

	if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(fd, &st) != 0 ||
	    st.st_size != (off_t)size)
		return NULL;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return p != MAP_FAILED ? p : NULL;
}
