/*
 * trace_look_linux.c - what a traced child that is stopped has in memory and
 * open; see trace.h.
 *
 * Runs beside the child, which is looked at through /proc.
 */
#include "config.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "core/tools/kit/trace.h"

bool
trace_text(pid_t pid, uint64_t addr, char out[PATH_MAX])
{
	size_t n = 0;

	while (n < PATH_MAX) {
		size_t step = 256 - ((addr + n) & 255);
		struct iovec mine = { out + n, step < PATH_MAX - n ? step :
		    PATH_MAX - n };
		struct iovec its = { (void *)(uintptr_t)(addr + n),
		    mine.iov_len };

		if (process_vm_readv(pid, &mine, 1, &its, 1, 0) !=
		    (ssize_t)mine.iov_len)
			return false;
		if (memchr(out + n, 0, mine.iov_len) != NULL)
			return true;
		n += mine.iov_len;
	}
	return false;
}

bool
trace_stat(pid_t pid, int fd, struct stat *st)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	return stat(path, st) == 0;
}

bool
trace_position(pid_t pid, int fd, uint64_t *pos, unsigned *flags)
{
	char path[64];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)pid, fd);
	f = fopen(path, "r");
	if (f == NULL)
		return false;
	ok = fscanf(f, "pos: %" SCNu64 " flags: %o", pos, flags) == 2;
	fclose(f);
	return ok;
}
