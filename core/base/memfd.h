/*
 * memfd.h - memory that processes give to each other as a descriptor.
 */
#ifndef BASE_MEMFD_H
#define BASE_MEMFD_H

#include <stddef.h>

/* A new memfd NAME that can be sealed and, where the kernel knows that (Linux
 * 6.3), never be executed; -1 with errno. */
int memfd_new(const char *name);

/* Does it know that? */
_Bool memfd_noexec(void);

/* The SIZE octets of FD, shared; NULL: it does not have them, or could lose
 * them, which would end us with SIGBUS. */
void *memfd_share(int fd, size_t size);

#endif /* BASE_MEMFD_H */
