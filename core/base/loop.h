/*
 * loop.h - a small event loop: descriptors and timers, one thread.
 *
 * Runs in every role but the worker, as root in master.  Callbacks may add
 * and remove anything, also themselves; a removed io gets no more events,
 * not even those that the same wait returned.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stddef.h>
#include <stdint.h>

/* Events, with the numbers that the system's own call uses. */
enum {
	LOOP_READ = 0x1,	/* also at LOOP_EOF */
	LOOP_WRITE = 0x4,
	LOOP_HANGUP = 0x18,	/* either bit: both directions are over, or an
				 * error; always watched for, alone it watches
				 * nothing else */
	LOOP_EOF = 0x2000	/* the peer will send no more, whether or not
				 * octets of it are still unread; comes with
				 * LOOP_READ, too */
};

struct loop;

/* Embedded in what it belongs to; zero is "not watched". */
struct loop_io {
	int fd;
	void (*ready)(struct loop_io *io, unsigned events);
	unsigned events;	/* watched for; 0: not in the loop */
	size_t slot;
};

/* AT is absolute (clock_now()); zero struct is "not set".  Stays where it is
 * while it is set. */
struct loop_timer {
	uint64_t at;
	void (*due)(struct loop_timer *timer);
	struct loop_timer **where;	/* that points here; NULL: not set */
	struct loop_timer *left, *right;	/* due later */
};

/* NULL with errno if the kernel gives none. */
struct loop *loop_new(void);
void loop_destroy(struct loop **loop);

/* Watch IO->fd for EVENTS; the second form replaces them.  SHARED takes
 * LOOP_READ only and wakes one of several processes (listeners). */
_Bool loop_watch(struct loop *loop, struct loop_io *io, unsigned events);
_Bool loop_watch_shared(struct loop *loop, struct loop_io *io);

/* Forget IO; call before closing its descriptor. */
void loop_unwatch(struct loop *loop, struct loop_io *io);

/* Set TIMER to AT, also if it is set already; clear it, also if it is not. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t at);
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);

/* Serve one round: wait for an event, at most until the next timer. */
_Bool loop_once(struct loop *loop);

/* Serve until loop_stop(); false with errno if the kernel fails. */
_Bool loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif /* BASE_LOOP_H */
