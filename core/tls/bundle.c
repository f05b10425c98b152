/*
 * bundle.c - certificates and keys in one sealed memfd.
 *
 * Runs in certcheck, which writes it, and in gate, which checks every number
 * in it before use.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/memfd.h"
#include "core/tls/bundle.h"

#define MAGIC UINT64_C(0x31424e4443564c43)
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct head {
	uint64_t magic, n;
};

struct item {			/* N of them behind the head */
	uint32_t cert_at, cert_n, key_at, key_n;
};

static off_t
item_at(uint32_t i)
{
	return (off_t)(sizeof(struct head) + i * sizeof(struct item));
}

int
bundle_new(uint32_t n)
{
	const struct head h = {.magic = MAGIC, .n = n};
	int fd = memfd_new("culver-certificates");

	if (fd >= 0 && pwrite(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) &&
	    ftruncate(fd, item_at(n)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool
append(int fd, const struct tls_file *f, uint32_t *at)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return false;
	if (st.st_size + (off_t)f->n > BUNDLE_MAX) {
		errno = EFBIG;
		return false;
	}
	*at = (uint32_t)st.st_size;
	return pwrite(fd, f->p, f->n, st.st_size) == (ssize_t)f->n;
}

_Bool
bundle_put(int fd, uint32_t i, const struct tls_file *cert,
    const struct tls_file *key)
{
	struct item it = {.cert_n = (uint32_t)cert->n,
	    .key_n = (uint32_t)key->n};

	return append(fd, cert, &it.cert_at) && append(fd, key, &it.key_at) &&
	    pwrite(fd, &it, sizeof(it), item_at(i)) == (ssize_t)sizeof(it);
}

_Bool
bundle_seal(int fd)
{
	return fcntl(fd, F_ADD_SEALS, SEALS) == 0;
}

_Bool
bundle_check(int fd, uint32_t n)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct head h;

	return seals >= 0 && (seals & SEALS) == SEALS &&
	    pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) &&
	    h.magic == MAGIC && h.n == n;
}

static bool
file_get(int fd, uint32_t at, uint32_t n, struct tls_file *f)
{
	if (n == 0 || n >= TLS_FILE_MAX || (f->p = malloc(n)) == NULL)
		return false;
	f->n = n;
	return pread(fd, f->p, n, (off_t)at) == (ssize_t)n;
}

_Bool
bundle_get(int fd, uint32_t i, struct tls_file *cert, struct tls_file *key)
{
	struct item it;

	*cert = *key = (struct tls_file){.p = NULL};
	return pread(fd, &it, sizeof(it), item_at(i)) ==
	    (ssize_t)sizeof(it) && file_get(fd, it.cert_at, it.cert_n, cert) &&
	    file_get(fd, it.key_at, it.key_n, key);
}
