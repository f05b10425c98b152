/*
 * log.c - the log role: collect the lines of all roles and write them.
 *
 * Runs as culver-log without a file system and without network; manager gives
 * it one socket a sender, so that the name in front of a line is not the
 * sender's to choose, and the descriptor of the target.  Trusts no text.
 */
#include "config.h"

#include <errno.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/sandbox.h"
#include "core/base/stats.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/log/lines.h"

enum {
	MAX_SENDERS = 2048,
	BATCH = 64		/* messages of one sender in one round */
};

static const uint64_t repeat_every = 10 * NS_PER_S;
static const uint64_t retry_every = NS_PER_S;
static const uint64_t drain_limit = 2 * NS_PER_S;

struct sender {
	struct loop_io io;
	struct sender *next;
	enum ipc_role role;
	struct source from;
};

static struct loop *loop;
static struct lines lines;
static struct ipc_in in;
static struct conf_log conf;
static struct sender manager = {.role = R_MANAGER,
    .from.name = "manager/0"};
static struct sender *senders;	/* without the channel's */
static unsigned n_senders;
static _Bool draining, done;
static struct loop_timer repeat_timer, retry_timer, drain_timer;

static void
own_line(int level, const char *text)
{
	lines_own(&lines, level, text);
}

static void
repeat_due(struct loop_timer *timer)
{
	(void)timer;
	lines_held(&lines, &manager.from);
	for (struct sender *s = senders; s != NULL; s = s->next)
		lines_held(&lines, &s->from);
}

static void
on_held(void)
{
	if (repeat_timer.where == NULL)
		loop_timer_set(loop, &repeat_timer, clock_now() +
		    repeat_every);
}

static void sender_ready(struct loop_io *io, unsigned events);

static void
sender_add(uint32_t role, uint32_t instance, int fd)
{
	struct sender *s;

	if (n_senders >= MAX_SENDERS || (s = calloc(1, sizeof(*s))) == NULL) {
		log_errorx("no room for the log of %s %u",
		    ipc_role_name((enum ipc_role)role), instance);
		close(fd);
		return;
	}
	s->role = (enum ipc_role)role;
	snprintf(s->from.name, sizeof(s->from.name), "%s/%u",
	    ipc_role_name(s->role), instance);
	s->io = (struct loop_io){.fd = fd, .ready = sender_ready};
	if (lines.out.fd >= 0 && !loop_watch(loop, &s->io, LOOP_READ)) {
		log_error("cannot watch the log of %s", s->from.name);
		close(fd);
		free(s);
		return;
	}
	s->next = senders;
	senders = s;
	n_senders++;
}

static void
sender_remove(struct sender *s)
{
	struct sender **at = &senders;

	lines_held(&lines, &s->from);
	loop_unwatch(loop, &s->io);
	close(s->io.fd);
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	free(s);
	n_senders--;
}

/* A target, and maybe a newer snapshot; the first one lets senders speak. */
static void
on_target(uint32_t kind)
{
	static struct conf_log newer;
	_Bool first = lines.out.fd < 0;

	if (in.nfds == 2 && conf_read(in.fd[1], CONF_LOG, &newer,
	    sizeof(newer))) {
		lines.level = newer.level;
		lines.out.json = newer.json != 0;
	}
	out_target(&lines.out, in.fd[0], kind == 1 ? OUT_SYSLOG : OUT_FILE);
	in.fd[0] = -1;
	for (struct sender *s = senders; first && s != NULL; s = s->next)
		loop_watch(loop, &s->io, LOOP_READ);
}

/* LOG_TARGET and LOG_SENDER count on the channel only. */
static void
channel_message(void)
{
	if (in.type != IPC_PING && in.nfds == 0)
		return;		/* no room for it: the old one goes on */
	if (in.type == IPC_LOG_TARGET) {
		on_target(in.m.log_target.kind);
	} else if (in.type == IPC_LOG_SENDER) {
		sender_add(in.m.log_sender.role, in.m.log_sender.instance,
		    in.fd[0]);
		in.fd[0] = -1;
	}
}

static void
message(struct sender *s)
{
	struct source *from = &s->from;

	switch (in.type) {
	case IPC_LOG_LINE:
		/* a pool's lines are a plugin's */
		lines_add(&lines, from, in.m.log_line.level,
		    in.m.log_line.text, s->role == R_POOL);
		break;
	case IPC_LOG_SESSION:
		lines_session(&lines, from, &in.m.log_session);
		break;
	case IPC_LOG_WORKER:
		lines_worker(&lines, from, &in.m.log_worker);
		break;
	case IPC_LOG_TEXT:
		lines_text(&lines, from, in.m.log_text.level, in.fd[0]);
		break;
	case IPC_PING:
		ipc_pong(FD_CHANNEL, NULL, 0);
		break;
	default:
		if (s == &manager)
			channel_message();
		break;
	}
}

/* Up to BATCH messages of S; what the last look at its socket gave. */
static enum ipc_result
sender_read(struct sender *s)
{
	enum ipc_result got = IPC_GOT;

	for (int i = 0; i < BATCH && got == IPC_GOT; i++) {
		got = ipc_recv(s->io.fd, &in, s->role, R_LOG, P_ANY);
		if (got == IPC_GOT) {
			message(s);
			ipc_done(&in);
		}
	}
	return got;
}

static void
sender_ready(struct loop_io *io, unsigned events)
{
	struct sender *s = (struct sender *)
	    ((char *)io - offsetof(struct sender, io));
	enum ipc_result got = sender_read(s);

	(void)events;
	if (got == IPC_BREACH)
		log_errorx("%s broke the rules of its log socket; its lines "
		    "are lost from here", s->from.name);
	if (got == IPC_BREACH || got == IPC_EOF)
		sender_remove(s);
	if (draining && senders == NULL)
		done = 1;
}

static void
drain_due(struct loop_timer *timer)
{
	(void)timer;
	done = 1;
}

/* Write what master and manager have said, and do not wait for them to close
 * their sockets: they may be there until we are gone. */
static void
others_leave(void)
{
	struct sender *s, *next;

	for (s = senders; s != NULL; s = next) {
		next = s->next;
		if (s->role != R_MASTER && s->role != R_MANAGER)
			continue;
		while (sender_read(s) == IPC_GOT)
			continue;
		sender_remove(s);
	}
}

/* Manager is gone: write what the others still have to say, then end. */
static void
channel_ready(struct loop_io *io, unsigned events)
{
	enum ipc_result got = sender_read(&manager);

	(void)events;
	if (got != IPC_EOF && got != IPC_BREACH)
		return;
	loop_unwatch(loop, io);
	draining = 1;
	others_leave();
	if (senders == NULL)
		done = 1;
	else
		loop_timer_set(loop, &drain_timer, clock_now() + drain_limit);
}

static void
retry_due(struct loop_timer *timer)
{
	const struct ipc_log_again again = {
	    .error = (uint32_t)lines.out.error};

	/* The flush comes at the end of the round.  A syslog daemon that was
	 * started again needs a new connection, which only master can make. */
	(void)timer;
	if (lines.out.kind == OUT_SYSLOG && lines.out.error != EAGAIN &&
	    !draining)
		ipc_send(FD_CHANNEL, IPC_LOG_AGAIN, &again, NULL, 0);
}

static _Bool
confine(void)
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	const struct sandbox_limits limits = {.descriptors = 2 * MAX_SENDERS,
	    .memory = 64u << 20};
	size_t n = conf_filter(FD_SNAPSHOT, &conf.head, filter);

	close(FD_SNAPSHOT);
	return sandbox_limits(&limits) && sandbox_landlock(NULL, 0, 0) &&
	    sandbox_trap() && (sandbox_seccomp(filter, n) ||
	    (sandbox_missing() & SANDBOX_SECCOMP) != 0);
}

static void
ready_send(culver_status status)
{
	const struct ipc_ready ready = {.status = (uint32_t)status,
	    .missing = sandbox_missing()};

	ipc_send(FD_CHANNEL, IPC_READY, &ready, NULL, 0);
}

static void
serve(void)
{
	unsigned long lost = 0;

	/* Not loop_run(): every round ends with one write. */
	while (!done && loop_once(loop)) {
		stats_add(lines.stats, STATS_LOST, lines.out.lost_ever - lost);
		lost = lines.out.lost_ever;
		if (!out_flush(&lines.out) && retry_timer.where == NULL)
			loop_timer_set(loop, &retry_timer,
			    clock_now() + retry_every);
	}
	repeat_due(NULL);
	out_flush(&lines.out);
}

int
main(void)
{
	out_init(&lines.out);
	lines.on_held = on_held;
	log_set_sink(own_line);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	tzset();		/* reads a file, so before the confinement */
	repeat_timer.due = repeat_due;
	retry_timer.due = retry_due;
	drain_timer.due = drain_due;
	manager.io = (struct loop_io){.fd = FD_CHANNEL,
	    .ready = channel_ready};
	if (!conf_read(FD_SNAPSHOT, CONF_LOG, &conf, sizeof(conf))) {
		ready_send(CULVER_E_CONFIG);
		return 1;
	}
	lines.level = conf.level;
	lines.stats = stats_open(FD_STATS);
	close(FD_STATS);
	lines.out.json = conf.json != 0;
	loop = loop_new();
	if (loop == NULL || !loop_watch(loop, &manager.io, LOOP_READ) ||
	    !confine()) {
		ready_send(CULVER_E_PERM);
		return 1;
	}
	ready_send(CULVER_OK);
	serve();
	return 0;
}
