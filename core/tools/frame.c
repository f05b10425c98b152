/*
 * frame.c - frames between culverctl and its worker: type, length, octets.
 *
 * Runs in both.  Lengths are checked before anything is read.
 */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/tools/ctl_mailbox.h"

struct frame_head {
	uint32_t type, length;
};

static _Bool
put_all(int fd, const void *p, size_t n)
{
	const uint8_t *at = p;
	ssize_t sent;

	while (n > 0) {
		sent = send(fd, at, n, MSG_NOSIGNAL);
		if (sent < 0 && errno != EINTR)
			return 0;
		if (sent > 0) {
			at += sent;
			n -= (size_t)sent;
		}
	}
	return 1;
}

static _Bool
get_all(int fd, void *p, size_t n)
{
	uint8_t *at = p;
	ssize_t got;

	while (n > 0) {
		got = recv(fd, at, n, 0);
		if (got == 0 || (got < 0 && errno != EINTR))
			return 0;
		if (got > 0) {
			at += got;
			n -= (size_t)got;
		}
	}
	return 1;
}

_Bool
frame_put(int fd, enum frame_type type, const void *p, size_t n)
{
	const struct frame_head head = {.type = type, .length = (uint32_t)n};

	return n <= FRAME_MAX && put_all(fd, &head, sizeof(head)) &&
	    put_all(fd, p, n);
}

enum frame_type
frame_get(int fd, uint8_t *buf, size_t *n)
{
	struct frame_head head;

	if (!get_all(fd, &head, sizeof(head)) || head.length > FRAME_MAX ||
	    head.type < FRAME_MESSAGE || head.type > FRAME_LAST ||
	    !get_all(fd, buf, head.length))
		return 0;
	*n = head.length;
	return (enum frame_type)head.type;
}
