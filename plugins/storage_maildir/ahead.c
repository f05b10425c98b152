/*
 * ahead.c - have the disk read the next messages while this one is read.
 *
 * Runs in the worker as the mailbox's owner.  A client, and whoever counts
 * sizes, takes the messages one after the other.  If they are not in memory
 * that waits for the disk once or more a message, and a disk that could do
 * much at a time does one thing.  So after some messages that took long, a
 * number of files are opened before their turn, and the kernel is told that
 * they will be read.
 */
#include "config.h"

#include "maildir.h"

#include <fcntl.h>
#include <unistd.h>

enum {
	SLOW_NS = 500000,	/* a message in memory takes a tenth of it */
	SLOW_MANY = 4		/* so many in a row, and we read ahead */
};

static void
ahead_open(struct culver_mailbox *mb, uint32_t index, struct culver_call *call)
{
	int *fd = &mb->ahead.fd[index % MD_AHEAD];

	/* whatever fails is found out when its turn comes */
	if (md_open_file(mb, index, fd, call) != CULVER_OK)
		*fd = -1;
	else
		(void)posix_fadvise(*fd, 0, 0, POSIX_FADV_WILLNEED);
}

void
md_ahead_stop(struct culver_mailbox *mb)
{
	struct md_ahead *a = &mb->ahead;

	for (; a->next < a->end; a->next++)
		if (a->fd[a->next % MD_AHEAD] >= 0)
			close(a->fd[a->next % MD_AHEAD]);
	a->slow = 0;
}

int
md_ahead_begin(struct culver_mailbox *mb, uint32_t index,
    struct culver_call *call)
{
	struct md_ahead *a = &mb->ahead;
	int fd = -1;

	if (index != a->next) {
		md_ahead_stop(mb);
		a->next = a->end = index;
	}
	if (a->next < a->end)
		fd = a->fd[a->next % MD_AHEAD];
	a->next++;
	if (a->end < a->next)
		a->end = a->next;
	if (a->slow >= SLOW_MANY && a->end - a->next < MD_AHEAD / 2)
		while (a->end < mb->list.n && a->end - a->next < MD_AHEAD)
			ahead_open(mb, a->end++, call);
	a->begun = mb->store->host->now(mb->store->host);
	return fd;
}

void
md_ahead_done(struct culver_mailbox *mb)
{
	struct md_ahead *a = &mb->ahead;

	if (a->slow >= SLOW_MANY)
		return;		/* what took long does not any more */
	if (mb->store->host->now(mb->store->host) - a->begun >= SLOW_NS)
		a->slow++;
	else
		a->slow = 0;
}
