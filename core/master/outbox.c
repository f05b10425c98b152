/*
 * outbox.c - messages of master's own for the log role and for manager, which
 * may not read as fast as sessions end.
 *
 * Runs as root.  Nothing is lost for a socket that is full for a while; the
 * log's records also outlive its role.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/master/master.h"

enum { OCTETS_MAX = 4 << 20 };

struct record {
	STAILQ_ENTRY(record) link;
	size_t n;
	uint8_t buf[];
};

static void
first_free(struct outbox *box)
{
	struct record *r = STAILQ_FIRST(&box->waiting);

	STAILQ_REMOVE_HEAD(&box->waiting, link);
	box->octets -= r->n;
	free(r);
}

static _Bool
sent(const struct outbox *box, const uint8_t *buf, size_t n)
{
	return box->io->fd >= 0 && send(box->io->fd, buf, n, MSG_DONTWAIT |
	    MSG_NOSIGNAL) == (ssize_t)n;
}

/* Send what waits, and be woken for what still does. */
void
outbox_flush(struct outbox *box)
{
	unsigned lost = box->lost;
	struct record *r;

	while ((r = STAILQ_FIRST(&box->waiting)) != NULL &&
	       sent(box, r->buf, r->n))
		first_free(box);
	if (box->io->fd >= 0)
		loop_watch(master.loop, box->io, box->events |
		    (STAILQ_EMPTY(&box->waiting) ? 0 : LOOP_WRITE));
	if (lost > 0 && STAILQ_EMPTY(&box->waiting)) {
		box->lost = 0;
		log_errorx("%u messages were lost here", lost);
	}
}

void
outbox_send(struct outbox *box, enum ipc_type type, const void *msg)
{
	uint8_t *buf = ipc_room();
	size_t n = ipc_encode(type, msg, 0, buf, IPC_MAX);
	struct record *r = NULL;

	if (box == &master.to_manager && master.manager == NULL)
		return;			/* the next one asks what it needs */
	if (n > 0 && STAILQ_EMPTY(&box->waiting) && box->lost == 0 &&
	    sent(box, buf, n))
		return;
	if (n > 0 && box->octets + n <= OCTETS_MAX)
		r = malloc(sizeof(*r) + n);
	if (r == NULL) {
		box->lost++;
		return;
	}
	r->n = n;
	memcpy(r->buf, buf, n);
	box->octets += n;
	STAILQ_INSERT_TAIL(&box->waiting, r, link);
	outbox_flush(box);
}

void
outbox_clear(struct outbox *box)
{
	while (!STAILQ_EMPTY(&box->waiting))
		first_free(box);
}

/* --- the log role's socket ------------------------------------------------ */

static void
sink_log(int level, const char *text)
{
	const struct ipc_log_line m = {.level = (uint32_t)level, .text = text};

	outbox_send(&master.log, IPC_LOG_LINE, &m);
}

void
log_ready(struct loop_io *io, unsigned events)
{
	if (events & LOOP_HANGUP)
		log_to(-1);
	else
		outbox_flush(&master.log);
	(void)io;
}

/* FD is the log role's socket from now on, for lines and for records. */
void
log_to(int fd)
{
	struct loop_io *io = master.log.io;

	loop_unwatch(master.loop, io);
	fds_close(&io->fd, 1);
	io->fd = fd;
	log_set_sink(sink_log);
	outbox_flush(&master.log);
}
