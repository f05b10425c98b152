/*
 * client.h - the worker's end of the client's connection: lines in, octets
 * out, with limits.
 *
 * Runs in worker.  The client is hostile and may be slow, silent or gone; the
 * socket may also be the inner end of a TLS relay.  Output is collected and
 * leaves in one write for a run of pipelined commands, or when 64 KiB are
 * full.  Once `end` is set nothing is read or written any more.
 */
#ifndef WORKER_CLIENT_H
#define WORKER_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "core/pop3/line.h"

enum {
	CLIENT_IN = 16384,	/* at least POP3_AUTH_MAX: see line.h */
	CLIENT_OUT = 65536
};

enum client_end {		/* why it is over */
	CLIENT_OPEN,
	CLIENT_GONE,		/* the client closed, or its connection died */
	CLIENT_IDLE,		/* no command, or no octet taken, in time */
	CLIENT_SHUTDOWN,	/* master wants us to end */
	CLIENT_FLOOD,		/* a line without an end */
	CLIENT_TAKEN,		/* idle, and another login wants the mailbox */
	CLIENT_BROKEN		/* client_abort() */
};

struct client {
	int fd;
	int channel;		/* to master; its end is ours, and octets are
				 * WORKER_KICK ... (worker.h) */
	uint64_t idle_time;	/* ns */
	uint64_t takeover;	/* ns; 0, as client_start() leaves it: never */
	/* says WORKER_TAKEOVER to master; NULL: there is none */
	_Bool (*tell)(int channel, _Bool stays);
	uint64_t active;	/* when a command came, or octets went */
	enum client_end end;
	_Bool told;		/* master wants us to end; seen amid a reply */
	_Bool kicked;		/* for a kick */
	struct pop3_splitter splitter;
	uint64_t looked;	/* when the channel was looked at last */
	uint64_t tick_at;	/* when tick() is due */
	_Bool ticked;		/* in a silence of the client's */
	/* called when the client is silent for a moment for the first time,
	 * and about every 30 s of waiting: IDLE for a command, else for the
	 * client to take a reply */
	void (*tick)(void *ctx, _Bool idle);
	void *ctx;
	size_t in_at, in_n;	/* unread octets: in[in_at .. in_n) */
	size_t out_n;
	uint8_t in[CLIENT_IN];	/* both last: client_rest() */
	uint8_t out[CLIENT_OUT];
};

/* Begin with socket FD, both descriptors the caller's.  Keepalive and its kin
 * are set already: the socket inherited them from the gate's listener. */
void client_start(struct client *c, int fd, int channel, uint64_t idle_time);

/*
 * The next line of input (borrowed until the next call), or POP3_LONG.  Sends
 * what was collected before it waits.  POP3_MORE: it is over, see c->end.
 */
enum pop3_split client_line(struct client *c, struct pop3_line *line);

/*
 * Another session has the mailbox.  Ask it by way of master to give way if it
 * is idle: false if there is no use.  Then client_turn() waits for a moment,
 * and says whether it is worth to try again, until UNTIL.
 */
_Bool client_ask(struct client *c);
_Bool client_turn(struct client *c, uint64_t until);

/* Nothing is to be read or sent: the buffers need no memory. */
void client_rest(struct client *c);

/* Collect output; sends when the buffer is full. */
void client_put(struct client *c, const void *p, size_t n);
void client_text(struct client *c, const char *text);
void client_number(struct client *c, uint64_t v);

/*
 * Where the caller may write up to N octets, at most CLIENT_OUT, and add what
 * it wrote to c->out_n; sends first if there is no room.
 */
uint8_t *client_room(struct client *c, size_t n);

/* Send what was collected, or its first N octets; blocks. */
void client_flush(struct client *c);
void client_flush_first(struct client *c, size_t n);

/* Forget what was collected behind the first N octets. */
void client_forget(struct client *c, size_t n);

/*
 * Close in the midst of a reply: what was collected is dropped, and the
 * client sees a reset connection where there can be one.
 */
void client_abort(struct client *c);

/* Send the rest and close; input that came too late does not cost the client
 * our last reply. */
void client_close(struct client *c);

#endif /* WORKER_CLIENT_H */
