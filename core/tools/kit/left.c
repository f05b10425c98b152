/*
 * left.c - descriptors and memory that a plugin's calls leave; see left.h.
 *
 * Runs in a check and in its children, which may be traced: so it makes few
 * system calls.
 */
#include "config.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/config/mem.h"
#include "core/tools/kit/interpose.h"
#include "core/tools/kit/kit.h"
#include "core/tools/kit/left.h"

static struct {
	bool first[LEFT_FDS], last[LEFT_FDS];
	const char *by[LEFT_FDS];	/* the call that opened it */
	int64_t used;
} was;

/* The run with a fault that left the most, in the parent. */
static struct {
	bool known;
	int64_t octets;
	char fault[200];
} most;

unsigned
left_open(bool fd[LEFT_FDS])
{
	struct pollfd p[LEFT_FDS];
	unsigned n = 0;
	int i;

	for (i = 0; i < LEFT_FDS; i++)
		p[i] = (struct pollfd){ .fd = i };
	if (poll(p, LEFT_FDS, 0) < 0)
		kit_fail("poll: descriptors cannot be looked at");
	for (i = 0; i < LEFT_FDS; i++) {
		fd[i] = (p[i].revents & POLLNVAL) == 0;
		n += fd[i];
	}
	return n;
}

void
left_begin(void)
{
	left_open(was.first);
	memcpy(was.last, was.first, sizeof(was.last));
	mem_end();		/* the kit's own */
	was.used = interpose.used;
}

void
left_call(const char *doing)
{
	bool now[LEFT_FDS];
	int i;

	left_open(now);
	for (i = 0; i < LEFT_FDS; i++)
		if (now[i] && !was.last[i])
			was.by[i] = doing;
	memcpy(was.last, now, sizeof(was.last));
}

static void
fail_open(int fd)
{
	char link[32], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	kit_fail("%s opened descriptor %d (%s), which is open after destroy",
	    was.by[fd] != NULL ? was.by[fd] : "a later call", fd, path);
}

void
left_end(void)
{
	bool now[LEFT_FDS];
	int i;

	left_open(now);
	for (i = 0; i < LEFT_FDS; i++)
		if (now[i] && !was.first[i])
			fail_open(i);
	mem_end();
	kit_shared->left = interpose.used - was.used;
}

void
left_weigh(const char *fault)
{
	int64_t octets = kit_shared->left;

	if (fault == NULL) {
		if (most.known && most.octets > octets)
			kit_fail("%s: %lld octets of memory are in use after "
			    "destroy, and %lld when nothing fails", most.fault,
			    (long long)most.octets, (long long)octets);
		most.known = false;
	} else if (!most.known || octets > most.octets) {
		most.known = true;
		most.octets = octets;
		snprintf(most.fault, sizeof(most.fault), "%s", fault);
	}
}
