/*
 * loop_linux.c - the event loop over epoll, timers in a heap.
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
	struct loop_timer *first;	/* due first: the top of a heap */
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

/* Put the heaps A and B together at AT.  Children change sides on the way
 * (a skew heap), which keeps the way short without any count. */
static void
heap_merge(struct loop_timer **at, struct loop_timer *a, struct loop_timer *b)
{
	struct loop_timer *first, *rest;

	while (a != NULL && b != NULL) {
		first = b->at < a->at ? b : a;
		b = b->at < a->at ? a : b;
		rest = first->right;
		first->right = first->left;
		if (first->right != NULL)
			first->right->where = &first->right;
		first->where = at;
		*at = first;
		at = &first->left;
		a = rest;
	}
	*at = a != NULL ? a : b;
	if (*at != NULL)
		(*at)->where = at;
}

void
loop_timer_set(struct loop *loop, struct loop_timer *t, uint64_t at)
{
	loop_timer_clear(loop, t);
	t->at = at;
	t->left = t->right = NULL;
	heap_merge(&loop->first, loop->first, t);
}

void
loop_timer_clear(struct loop *loop, struct loop_timer *t)
{
	(void)loop;
	if (t->where != NULL)
		heap_merge(t->where, t->left, t->right);
	t->where = NULL;
}

static int
wait_ms(const struct loop *loop)
{
	uint64_t now = clock_now(), at;

	if (loop->first == NULL)
		return -1;
	at = loop->first->at;
	return at <= now ? 0 : at - now > 60 * NS_PER_S ? 60000 :
	    (int)((at - now) / NS_PER_MS + 1);
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
	     loop->first != NULL && loop->first->at <= now;) {
		struct loop_timer *t = loop->first;

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
