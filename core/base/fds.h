/*
 * fds.h - descriptors that may be there or not.
 */
#ifndef BASE_FDS_H
#define BASE_FDS_H

#include <stddef.h>

/* Close those of the N at FD that are not negative; all of them become -1. */
void fds_close(int *fd, size_t n);

#endif /* BASE_FDS_H */
