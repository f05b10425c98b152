/*
 * loop_linux.c - the event loop over epoll, timers in a binary heap.
 *
 * Runs in every role but the worker, as root in master.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/loop.h"

enum { BATCH = 64 };

static_assert((uint32_t)LOOP_READ == EPOLLIN &&
    (uint32_t)LOOP_WRITE == EPOLLOUT && (uint32_t)LOOP_EOF == EPOLLRDHUP &&
    (uint32_t)LOOP_HANGUP == ((uint32_t)EPOLLHUP | EPOLLERR),
    "events go to epoll as they are");

struct loop {
	int epfd;
	_Bool stop;
	struct epoll_event ev[BATCH];
	int n_ev;
	struct loop_timer **heap;
	size_t n, cap;
};

struct loop *
loop_new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return NULL;
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0) {
		free(loop);
		return NULL;
	}
	return loop;
}

void
loop_destroy(struct loop **loop)
{
	if (*loop == NULL)
		return;
	close((*loop)->epfd);
	free((*loop)->heap);
	free(*loop);
	*loop = NULL;
}

_Bool
loop_watch(struct loop *loop, struct loop_io *io, unsigned events)
{
	struct epoll_event ev = {.data.ptr = io,
	    .events = events & LOOP_READ ? events | LOOP_EOF : events};
	int op = io->events != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (io->events == events)
		return 1;
	if (events == 0)
		loop_unwatch(loop, io);
	else if (epoll_ctl(loop->epfd, op, io->fd, &ev) != 0)
		return 0;
	io->events = events;
	return 1;
}

_Bool
loop_watch_shared(struct loop *loop, struct loop_io *io)
{
	struct epoll_event ev = {.data.ptr = io,
	    .events = EPOLLIN | EPOLLEXCLUSIVE};

	if (io->events != 0)
		return 1;
	if (epoll_ctl(loop->epfd, EPOLL_CTL_ADD, io->fd, &ev) != 0)
		return 0;
	io->events = LOOP_READ;
	return 1;
}

void
loop_unwatch(struct loop *loop, struct loop_io *io)
{
	if (io->events == 0)
		return;
	io->events = 0;
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, io->fd, NULL);
	for (int i = 0; i < loop->n_ev; i++)
		if (loop->ev[i].data.ptr == io)
			loop->ev[i].data.ptr = NULL;
}

static void
heap_put(struct loop *loop, size_t i, struct loop_timer *t)
{
	loop->heap[i] = t;
	t->slot = i + 1;
}

static void
heap_up(struct loop *loop, size_t i, struct loop_timer *t)
{
	for (; i > 0 && loop->heap[(i - 1) / 2]->at > t->at; i = (i - 1) / 2)
		heap_put(loop, i, loop->heap[(i - 1) / 2]);
	heap_put(loop, i, t);
}

static void
heap_down(struct loop *loop, size_t i, struct loop_timer *t)
{
	for (size_t c; (c = 2 * i + 1) < loop->n; i = c) {
		if (c + 1 < loop->n &&
		    loop->heap[c + 1]->at < loop->heap[c]->at)
			c++;
		if (loop->heap[c]->at >= t->at)
			break;
		heap_put(loop, i, loop->heap[c]);
	}
	heap_put(loop, i, t);
}

_Bool
loop_timer_set(struct loop *loop, struct loop_timer *t, uint64_t at)
{
	loop_timer_clear(loop, t);
	if (loop->n == loop->cap) {
		size_t cap = loop->cap ? loop->cap * 2 : 64;
		void *heap = reallocarray(loop->heap, cap,
		    sizeof(struct loop_timer *));

		if (heap == NULL)
			return 0;
		loop->heap = heap;
		loop->cap = cap;
	}
	t->at = at;
	heap_up(loop, loop->n++, t);
	return 1;
}

void
loop_timer_clear(struct loop *loop, struct loop_timer *t)
{
	size_t i = t->slot - 1;

	if (t->slot == 0)
		return;
	t->slot = 0;
	struct loop_timer *last = loop->heap[--loop->n];
	if (last == t)
		return;
	if (i > 0 && loop->heap[(i - 1) / 2]->at > last->at)
		heap_up(loop, i, last);
	else
		heap_down(loop, i, last);
}

static int
wait_ms(const struct loop *loop)
{
	uint64_t now, left;

	if (loop->n == 0)
		return -1;
	now = clock_now();
	if (loop->heap[0]->at <= now)
		return 0;
	left = (loop->heap[0]->at - now) / NS_PER_MS + 1;
	return left > 60000 ? 60000 : (int)left;
}

_Bool
loop_once(struct loop *loop)
{
	int n = epoll_wait(loop->epfd, loop->ev, BATCH, wait_ms(loop));

	if (n < 0)
		return errno == EINTR;
	loop->n_ev = n;
	for (int i = 0; i < n; i++) {
		struct loop_io *io = loop->ev[i].data.ptr;

		if (io != NULL)
			io->ready(io, loop->ev[i].events);
	}
	loop->n_ev = 0;
	for (uint64_t now = clock_now();
	     loop->n > 0 && loop->heap[0]->at <= now;) {
		struct loop_timer *t = loop->heap[0];

		loop_timer_clear(loop, t);
		t->due(t);
	}
	return 1;
}

_Bool
loop_run(struct loop *loop)
{
	while (!loop->stop)
		if (!loop_once(loop))
			return 0;
	return 1;
}

void
loop_stop(struct loop *loop)
{
	loop->stop = 1;
}
