/*
 * fds.c - descriptors that may be there or not.
 *
 * Runs in every role, in master as root.
 */
#include "config.h"

#include <unistd.h>

#include "core/base/fds.h"

void
fds_close(int *fd, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (fd[i] >= 0)
			close(fd[i]);
		fd[i] = -1;
	}
}
