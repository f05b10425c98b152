/*
 * lines.c - what others sent, as lines: their own words, what master says of
 * sessions, diagnoses; identical ones in a row are counted.
 *
 * Runs in the log role.  Trusts no text.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/stats.h"
#include "core/log/lines.h"
#include "core/log/record.h"

enum {
	BURST = 8,		/* identical lines that pass unmerged */
	MAX_TEXT = 256 * 1024	/* of one LOG_TEXT */
};

static void
write_line(struct lines *l, const struct entry *e)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	out_line(&l->out, &now, e);
	stats_add(l->stats, STATS_LINES + (unsigned)e->level - LOG_DEBUG_, 1);
}

void
lines_held(struct lines *l, struct source *s)
{
	char text[64];
	const struct entry e = {.level = s->level, .who = s->who,
	    .text = text};

	if (s->held > 0) {
		snprintf(text, sizeof(text),
		    "the last line was repeated %u times", s->held);
		write_line(l, &e);
	}
	s->held = 0;
	s->same = 0;
}

/* A few identical lines in a row are written, since fail2ban and its like
 * count lines. */
static void
line(struct lines *l, struct source *s, const struct entry *given)
{
	struct entry e = *given;

	if (e.level < LOG_DEBUG_ || e.level > LOG_ERROR_)
		e.level = LOG_ERROR_;
	if ((uint32_t)e.level < l->level)
		return;
	if (s->level == e.level && strcmp(s->who, e.who) == 0 &&
	    strcmp(s->last, e.text) == 0) {
		if (++s->same > BURST) {
			s->held++;
			l->on_held();
			return;
		}
	} else {
		lines_held(l, s);
		s->level = e.level;
		s->same = 1;
		snprintf(s->who, sizeof(s->who), "%s", e.who);
		snprintf(s->last, sizeof(s->last), "%s", e.text);
	}
	write_line(l, &e);
}

/* An event of S, or something else. */
static void
event(struct lines *l, struct source *s, int level, const char *text)
{
	const struct entry e = {.level = level, .who = s->name, .text = text,
	    .pairs = text};

	line(l, s, &e);
}

/* What the log role hears of clients that never had a session, and who says
 * that lines of its own were lost. */
static void
count_line(struct lines *l, const char *text)
{
	static struct record r;
	const char *more;
	unsigned long n;
	char *end;

	if (*text >= '0' && *text <= '9') {
		n = strtoul(text, &end, 10);
		if (strcmp(end, " log lines were lost here") == 0 ||
		    strcmp(end, " messages were lost here") == 0)
			stats_add(l->stats, STATS_LOST, n);
	} else if (record_parse(&r, text)) {
		more = record_value(&r, "not-logged");
		n = 1 + (more != NULL ? strtoul(more, NULL, 10) : 0);
		stats_label(l->stats, STATS_GATE, r.event, n);
		if (strcmp(r.event, "recipient-refused") == 0 &&
		    record_value(&r, "reason") != NULL)
			stats_label(l->stats, STATS_RECIPIENTS,
			    record_value(&r, "reason"), 1);
	}
}

void
lines_add(struct lines *l, struct source *s, uint32_t level, const char *text,
    _Bool free_text)
{
	const struct entry e = {.level = (int)level, .who = s->name,
	    .text = text, .pairs = free_text ? NULL : text};

	if (!free_text)
		count_line(l, text);
	line(l, s, &e);
}

void
lines_own(struct lines *l, int level, const char *text)
{
	const struct entry e = {.level = level, .who = "log/1", .text = text};

	write_line(l, &e);
}

/* --- sessions -------------------------------------------------------------- */

/* One more of TLS or not, and of the second label's VALUE. */
static void
count_two(struct lines *l, unsigned first, unsigned n, uint32_t flags,
    const char *value)
{
	stats_add(l->stats, first + (flags & IPC_TLS ? n : 0) +
	    stats_index(first, 1, value), 1);
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
login(struct lines *l, struct source *s, const struct ipc_log_session *m)
{
	struct kv kv;

	if (m->flags & IPC_DELIVERY)
		return;			/* its end says all */
	count_two(l, STATS_LOGINS, STATS_N_MECH, m->flags, m->mech);
	kv_start(&kv, "login");
	who(&kv, m);
	kv_text(&kv, "remote", m->remote);
	kv_text(&kv, "tls", yes_no(m->flags));
	kv_text(&kv, "mech", m->mech);
	kv_hex(&kv, "session", m->session);
	kv_u64(&kv, "uid", m->uid);
	kv_u64(&kv, "pid", m->pid);
	event(l, s, LOG_INFO_, kv.buf);
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

/* The same as a label: without numbers, and without what depends on the
 * configuration. */
static const char *
end_class(const struct ipc_log_session *m, const char *reason)
{
	return *m->refused != 0 ? "refused" :
	    strncmp(reason, "killed-by-", 10) == 0 ? "killed" :
	    strncmp(reason, "died-with-", 10) == 0 ? "died" : reason;
}

static void
delivery(struct lines *l, struct source *s, const struct ipc_log_session *m,
    const struct ipc_worker_end *end, const char *reason)
{
	struct kv kv;

	stats_label(l->stats, STATS_DELIVERIES, end_class(m, reason), 1);
	if (strcmp(reason, "delivered") == 0)
		stats_add(l->stats, STATS_DELIVERED_OCTETS, end->retr_octets);
	kv_start(&kv, "delivery");
	kv_text(&kv, "user", m->user);
	kv_text(&kv, "remote", m->remote);
	kv_hex(&kv, "session", m->session);
	kv_u64(&kv, "octets", end->retr_octets);
	kv_u64(&kv, "duration-ms", m->duration / NS_PER_MS);
	kv_text(&kv, "reason", reason);
	event(l, s, LOG_INFO_, kv.buf);
}

static void
count_end(struct lines *l, const struct ipc_log_session *m,
    const struct ipc_worker_end *end, const char *reason)
{
	count_two(l, STATS_ENDS, STATS_N_END, m->flags, end_class(m, reason));
	if (*m->refused != 0)
		return;			/* it did not begin */
	stats_add(l->stats, STATS_RETR, end->retr);
	stats_add(l->stats, STATS_RETR_OCTETS, end->retr_octets);
	stats_add(l->stats, STATS_TOP, end->top);
	stats_add(l->stats, STATS_DELETED, end->deleted);
	stats_duration(l->stats, m->duration);
}

static void
session_end(struct lines *l, struct source *s, const struct ipc_log_session *m)
{
	union ipc_any any;
	const char *reason = end_reason(m, &any);
	const struct ipc_worker_end *end = &any.worker_end;
	struct kv kv;

	if (m->flags & IPC_DELIVERY) {
		delivery(l, s, m, end, reason);
		return;
	}
	count_end(l, m, end, reason);
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
	event(l, s, LOG_INFO_, kv.buf);
}

void
lines_session(struct lines *l, struct source *s,
    const struct ipc_log_session *m)
{
	if (m->begins)
		login(l, s, m);
	else
		session_end(l, s, m);
}

/* A worker's own words come last, behind what master knows of it. */
void
lines_worker(struct lines *l, struct source *s, const struct ipc_log_worker *m)
{
	char who[40], text[OUT_TEXT_MAX];
	struct kv kv;
	const struct entry e = {.level = (int)m->level, .who = who,
	    .text = text, .pairs = kv.buf, .note = m->text};

	snprintf(who, sizeof(who), "worker/%016" PRIx64, m->session);
	kv_start(&kv, "session-note");
	kv_text(&kv, "user", m->user);
	snprintf(text, sizeof(text), "%.1000s: %.1023s", kv.buf, m->text);
	line(l, s, &e);
}

void
lines_text(struct lines *l, struct source *s, uint32_t level, int fd)
{
	static char buf[MAX_TEXT + 1];
	ssize_t n = pread(fd, buf, MAX_TEXT, 0);
	char *p = buf, *end;

	if (n < 0) {
		lines_add(l, s, LOG_ERROR_, "a diagnosis was unreadable", 1);
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
		lines_add(l, s, level, text, 1);
		end += *end == '\n';
	}
}
