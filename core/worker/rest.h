/*
 * rest.h - give memory back while a client is silent.
 *
 * Runs in worker.  Sessions are many and most of them wait: what the next
 * command makes again need not stay in memory meanwhile.
 */
#ifndef WORKER_REST_H
#define WORKER_REST_H

#include <stddef.h>

/* Forget what is in the whole pages among the N octets at P: zeros are read
 * there next. */
void rest_pages(void *p, size_t n);

/* Give back what is free in the heap, and the stack below the caller. */
void rest_memory(void);

#endif /* WORKER_REST_H */
