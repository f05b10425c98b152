/*
 * log.c - the log role: collect the lines of all roles and write them.
 *
 * Runs as culver-log without a file system and without network; manager gives
 * it one socket a sender, so that the name in front of a line is not the
 * sender's to choose, and the descriptor of the target.  Trusts no text.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/loop.h"
#include "core/base/sandbox.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/log/out.h"

enum {
	MAX_SENDERS = 2048,
	BATCH = 64,		/* messages of one sender in one round */
	BURST = 8,		/* identical lines that pass unmerged */
	MAX_TEXT = 256 * 1024	/* of one LOG_TEXT */
};

static const uint64_t repeat_every = 10 * NS_PER_S;
static const uint64_t retry_every = NS_PER_S;
static const uint64_t drain_limit = 2 * NS_PER_S;

struct sender {
	struct loop_io io;
	struct sender *next;
	enum ipc_role role;
	char name[32];		/* "gate/1" */
	int level;		/* of its last line: */
	char who[40];
	char last[OUT_TEXT_MAX];
	unsigned same;		/* times in a row */
	unsigned held;		/* of these not written */
};

static struct loop *loop;
static struct out out;
static struct ipc_in in;
static struct conf_log conf;
static struct sender manager = {.role = R_MANAGER, .name = "manager/0"};
static struct sender *senders;	/* without the channel's */
static unsigned n_senders;
static _Bool draining, done;
static struct loop_timer repeat_timer, retry_timer, drain_timer;

static void
write_line(int level, const char *who, const char *text)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	out_line(&out, &now, level, who, text);
}

static void
own_line(int level, const char *text)
{
	write_line(level, "log/1", text);
}

/* Write how often the last line of S came again since it was written. */
static void
held_write(struct sender *s)
{
	char note[64];

	if (s->held > 0) {
		snprintf(note, sizeof(note),
		    "the last line was repeated %u times", s->held);
		write_line(s->level, s->who, note);
	}
	s->held = 0;
	s->same = 0;
}

static void
repeat_due(struct loop_timer *timer)
{
	(void)timer;
	held_write(&manager);
	for (struct sender *s = senders; s != NULL; s = s->next)
		held_write(s);
}

/* A line that S sent, named WHO; a few identical ones in a row are written,
 * since fail2ban and its like count lines. */
static void
line(struct sender *s, uint32_t level, const char *who, const char *text)
{
	if (level < LOG_DEBUG_ || level > LOG_ERROR_)
		level = LOG_ERROR_;
	if (level < conf.level)
		return;
	if (s->level == (int)level && strcmp(s->who, who) == 0 &&
	    strcmp(s->last, text) == 0) {
		if (++s->same > BURST) {
			s->held++;
			if (repeat_timer.where == NULL)
				loop_timer_set(loop, &repeat_timer,
				    clock_now() + repeat_every);
			return;
		}
	} else {
		held_write(s);
		s->level = (int)level;
		s->same = 1;
		snprintf(s->who, sizeof(s->who), "%s", who);
		snprintf(s->last, sizeof(s->last), "%s", text);
	}
	write_line((int)level, who, text);
}

static const char *
yes_no(uint32_t flags)
{
	return flags & IPC_TLS ? "yes" : "no";
}

static void
kv_hex(struct kv *kv, const char *key, uint64_t v)
{
	char text[20];

	snprintf(text, sizeof(text), "%016" PRIx64, v);
	kv_text(kv, key, text);
}

/* Whose mailbox, and who is there if that is somebody else. */
static void
who(struct kv *kv, const struct ipc_log_session *m)
{
	kv_text(kv, "user", m->user);
	if (*m->master != 0)
		kv_text(kv, "master", m->master);
}

static void
on_login(struct sender *s, const struct ipc_log_session *m)
{
	struct kv kv;

	if (m->flags & IPC_DELIVERY)
		return;			/* its end says all */
	kv_start(&kv, "login");
	who(&kv, m);
	kv_text(&kv, "remote", m->remote);
	kv_text(&kv, "tls", yes_no(m->flags));
	kv_text(&kv, "mech", m->mech);
	kv_hex(&kv, "session", m->session);
	kv_u64(&kv, "uid", m->uid);
	kv_u64(&kv, "pid", m->pid);
	line(s, LOG_INFO_, s->name, kv.buf);
}

/* Why the session ended: its worker's last word, if it had one in END. */
static const char *
end_reason(const struct ipc_log_session *m, union ipc_any *end)
{
	static char text[32];
	int status = (int)m->status;
	enum ipc_type type;
	unsigned nfds;

	if (ipc_decode(m->end.p, m->end.n, &type, &nfds, end) &&
	    type == IPC_WORKER_END)
		return end->worker_end.reason;
	memset(end, 0, sizeof(*end));
	if (*m->refused != 0)
		return m->refused;
	snprintf(text, sizeof(text), WIFSIGNALED(status) ?
	    "killed-by-signal-%d" : "died-with-status-%d",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return text;
}

static void
delivery(struct sender *s, const struct ipc_log_session *m,
    const struct ipc_worker_end *end, const char *reason)
{
	struct kv kv;

	kv_start(&kv, "delivery");
	kv_text(&kv, "user", m->user);
	kv_text(&kv, "remote", m->remote);
	kv_hex(&kv, "session", m->session);
	kv_u64(&kv, "octets", end->retr_octets);
	kv_u64(&kv, "duration-ms", m->duration / NS_PER_MS);
	kv_text(&kv, "reason", reason);
	line(s, LOG_INFO_, s->name, kv.buf);
}

static void
on_session(struct sender *s, const struct ipc_log_session *m)
{
	union ipc_any any;
	const char *reason = end_reason(m, &any);
	const struct ipc_worker_end *end = &any.worker_end;
	struct kv kv;

	if (m->flags & IPC_DELIVERY) {
		delivery(s, m, end, reason);
		return;
	}
	kv_start(&kv, "session-end");
	who(&kv, m);
	kv_text(&kv, "remote", m->remote);
	kv_text(&kv, "tls", yes_no(m->flags));
	kv_hex(&kv, "session", m->session);
	kv_u64(&kv, "retr", end->retr);
	kv_u64(&kv, "octets", end->retr_octets);
	kv_u64(&kv, "top", end->top);
	kv_u64(&kv, "deleted", end->deleted);
	kv_u64(&kv, "left", end->left);
	kv_u64(&kv, "left-octets", end->left_octets);
	kv_u64(&kv, "duration-ms", m->duration / NS_PER_MS);
	kv_text(&kv, "reason", reason);
	line(s, LOG_INFO_, s->name, kv.buf);
}

/* A worker's own words come last, behind what master knows of it. */
static void
on_worker(struct sender *s, const struct ipc_log_worker *m)
{
	char who[40], text[OUT_TEXT_MAX];
	struct kv kv;

	snprintf(who, sizeof(who), "worker/%016" PRIx64, m->session);
	kv_start(&kv, "session-note");
	kv_text(&kv, "user", m->user);
	snprintf(text, sizeof(text), "%.1000s: %.1023s", kv.buf, m->text);
	line(s, m->level, who, text);
}

/* Every line of the memfd that a config role or a checker wrote. */
static void
on_text(struct sender *s, uint32_t level, int fd)
{
	static char buf[MAX_TEXT + 1];
	ssize_t n = pread(fd, buf, MAX_TEXT, 0);
	char *p = buf, *end;

	if (n < 0) {
		line(s, LOG_ERROR_, s->name, "a diagnosis was unreadable");
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		if (buf[i] == 0)
			buf[i] = '?';
	buf[n] = 0;
	for (; *p != 0; p = end) {
		char text[OUT_TEXT_MAX];

		end = p + strcspn(p, "\n");
		snprintf(text, sizeof(text), "%.*s", (int)(end - p), p);
		line(s, level, s->name, text);
		end += *end == '\n';
	}
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
	snprintf(s->name, sizeof(s->name), "%s/%u", ipc_role_name(s->role),
	    instance);
	s->io = (struct loop_io){.fd = fd, .ready = sender_ready};
	if (out.fd >= 0 && !loop_watch(loop, &s->io, LOOP_READ)) {
		log_error("cannot watch the log of %s", s->name);
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

	held_write(s);
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
	_Bool first = out.fd < 0;

	if (in.nfds == 2 && conf_read(in.fd[1], CONF_LOG, &newer,
	    sizeof(newer)))
		conf = newer;
	out_target(&out, in.fd[0], kind == 1 ? OUT_SYSLOG : OUT_FILE);
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
	switch (in.type) {
	case IPC_LOG_LINE:
		line(s, in.m.log_line.level, s->name, in.m.log_line.text);
		break;
	case IPC_LOG_SESSION:
		if (in.m.log_session.begins)
			on_login(s, &in.m.log_session);
		else
			on_session(s, &in.m.log_session);
		break;
	case IPC_LOG_WORKER:
		on_worker(s, &in.m.log_worker);
		break;
	case IPC_LOG_TEXT:
		on_text(s, in.m.log_text.level, in.fd[0]);
		break;
	case IPC_PING:
		ipc_pong(FD_CHANNEL);
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
		    "are lost from here", s->name);
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
	const struct ipc_log_again again = {.error = (uint32_t)out.error};

	/* The flush comes at the end of the round.  A syslog daemon that was
	 * started again needs a new connection, which only master can make. */
	(void)timer;
	if (out.kind == OUT_SYSLOG && out.error != EAGAIN && !draining)
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
	/* Not loop_run(): every round ends with one write. */
	while (!done && loop_once(loop)) {
		if (!out_flush(&out) && retry_timer.where == NULL)
			loop_timer_set(loop, &retry_timer,
			    clock_now() + retry_every);
	}
	repeat_due(NULL);
	out_flush(&out);
}

int
main(void)
{
	out_init(&out);
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
