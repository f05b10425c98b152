/*
 * stats.c - see stats.h.
 */
#include "config.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/memfd.h"
#include "core/base/stats.h"

struct stats {
	uint64_t layout;		/* a sum of all names */
	uint64_t start;
	_Atomic uint64_t value[STATS_N];
};

static const char *const tls[STATS_N_TLS] = {"no", "yes"};
static const char *const mechs[STATS_N_MECH] = {"USER", "APOP", "PLAIN",
    "LOGIN", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-1", "CRAM-MD5", "EXTERNAL", "OAUTHBEARER", "XOAUTH2",
    "other"};
static const char *const failures[STATS_N_FAILURE] = {"bad-password",
    "unknown-user", "disabled", "expired", "bad-name", "malformed",
    "too-long", "other-authzid", "other-master", "no-credentials",
    "channel-binding", "no-certificate", "login-delay", "address",
    "too-many-waiting", "no-memory", "other"};
static const char *const ends[STATS_N_END] = {"quit", "update-failed",
    "disconnect", "takeover", "timeout", "bad-commands", "flood", "kick",
    "shutdown", "in-use", "stale", "storage-error", "killed", "died",
    "refused", "other"};
static const char *const deliveries[STATS_N_DELIVERY] = {"delivered",
    "over-quota", "no-space", "client-gone", "storage-error", "killed",
    "died", "refused", "other"};
static const char *const recipients[STATS_N_RECIPIENT] = {"unknown-user",
    "disabled", "over-quota", "not-permitted", "try-later", "other"};
static const char *const gate_events[STATS_N_GATE] = {"connection-closed",
    "connection-refused", "login-refused", "tls-failed", "limit"};
static const char *const lookups[STATS_N_CACHE] = {"hit", "miss"};
static const char *const clients[STATS_N_CLIENTS] = {"gate", "lmtp"};
static const char *const roles[STATS_N_ROLE] = {"gate", "lmtp", "auth", "pool",
    "log", "metrics"};
static const char *const reloads[STATS_N_RELOAD] = {"done", "refused"};
static const char *const levels[STATS_N_LEVEL] = {"debug", "info", "warn",
    "error"};

const uint64_t stats_bounds[STATS_N_BUCKET - 1] = {NS_PER_S / 10, NS_PER_S,
    10 * NS_PER_S, 60 * NS_PER_S, 600 * NS_PER_S, 3600 * NS_PER_S};
const char *const stats_bound_text[STATS_N_BUCKET] = {"0.1", "1.0", "10.0",
    "60.0", "600.0", "3600.0", "+Inf"};

const struct stats_family stats_families[STATS_FAMILIES] = {
	{"culver_logins", NULL, "POP3 sessions that began.", STATS_COUNTER,
	    STATS_LOGINS, {{"tls", STATS_N_TLS, tls},
	    {"mechanism", STATS_N_MECH, mechs}}},
	{"culver_login_failures", NULL, "Logins that were refused.",
	    STATS_COUNTER, STATS_FAILURES,
	    {{"reason", STATS_N_FAILURE, failures}}},
	{"culver_auth_errors", NULL, "Answers of auth sections that could not "
	    "tell, or could not be used.", STATS_COUNTER, STATS_AUTH_ERRORS,
	    {{0}}},
	{"culver_sessions_ended", NULL, "POP3 sessions that ended.",
	    STATS_COUNTER, STATS_ENDS, {{"tls", STATS_N_TLS, tls},
	    {"reason", STATS_N_END, ends}}},
	{"culver_messages_retrieved", NULL, "Messages that RETR sent.",
	    STATS_COUNTER, STATS_RETR, {{0}}},
	{"culver_retrieved_bytes", "bytes", "Octets of these messages.",
	    STATS_COUNTER, STATS_RETR_OCTETS, {{0}}},
	{"culver_messages_previewed", NULL, "Messages that TOP was used on.",
	    STATS_COUNTER, STATS_TOP, {{0}}},
	{"culver_messages_deleted", NULL, "Messages that sessions removed.",
	    STATS_COUNTER, STATS_DELETED, {{0}}},
	{"culver_session_duration_seconds", "seconds", "How long POP3 "
	    "sessions lasted.", STATS_HISTOGRAM, STATS_DURATION, {{0}}},
	{"culver_deliveries", NULL, "Copies of messages that LMTP had for a "
	    "mailbox, by what became of them.", STATS_COUNTER,
	    STATS_DELIVERIES, {{"result", STATS_N_DELIVERY, deliveries}}},
	{"culver_delivered_bytes", "bytes", "Octets of those that were "
	    "delivered.", STATS_COUNTER, STATS_DELIVERED_OCTETS, {{0}}},
	{"culver_recipients_refused", NULL, "Recipients that LMTP refused.",
	    STATS_COUNTER, STATS_RECIPIENTS,
	    {{"reason", STATS_N_RECIPIENT, recipients}}},
	{"culver_gate_events", NULL, "What the log says of clients without a "
	    "session.", STATS_COUNTER, STATS_GATE,
	    {{"event", STATS_N_GATE, gate_events}}},
	{"culver_auth_cache_lookups", NULL, "Questions that auth_cache was "
	    "asked.", STATS_COUNTER, STATS_CACHE,
	    {{"result", STATS_N_CACHE, lookups}}},
	{"culver_log_lines", NULL, "Lines of the log.", STATS_COUNTER,
	    STATS_LINES, {{"level", STATS_N_LEVEL, levels}}},
	{"culver_log_lines_lost", NULL, "Lines that were not written: whoever "
	    "writes them, or what takes them, was too slow.", STATS_COUNTER,
	    STATS_LOST, {{0}}},
	{"culver_connections_accepted", NULL, "Connections that were taken.",
	    STATS_COUNTER, STATS_ACCEPTED,
	    {{"role", STATS_N_CLIENTS, clients}}},
	{"culver_role_restarts", NULL, "Processes that died and were "
	    "replaced.", STATS_COUNTER, STATS_RESTARTS,
	    {{"role", STATS_N_ROLE, roles}}},
	{"culver_reloads", NULL, "Reloads, by what came of them.",
	    STATS_COUNTER, STATS_RELOADS,
	    {{"result", STATS_N_RELOAD, reloads}}},
};

static void
mix(uint64_t *sum, const char *text)
{
	do
		*sum = (*sum ^ (unsigned char)*text) *
		    UINT64_C(0x100000001b3);
	while (*text++ != 0);
}

static uint64_t
layout(void)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325) ^ STATS_N;

	for (int i = 0; i < STATS_FAMILIES; i++) {
		const struct stats_family *f = &stats_families[i];

		mix(&sum, f->name);
		for (int k = 0; k < 2; k++)
			for (unsigned v = 0; v < f->label[k].n; v++)
				mix(&sum, f->label[k].value[v]);
	}
	for (int i = 0; i < STATS_N_BUCKET; i++)
		mix(&sum, stats_bound_text[i]);
	return sum;
}

int
stats_make(void)
{
	const uint64_t head[2] = {layout(), (uint64_t)time(NULL)};
	int fd = memfd_new("stats");

	if (fd >= 0 && ftruncate(fd, sizeof(struct stats)) == 0 &&
	    pwrite(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK |
		F_SEAL_GROW) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

struct stats *
stats_open(int fd)
{
	struct stats *s = memfd_share(fd, sizeof(*s));

	if (s == NULL || s->layout == layout())
		return s;
	stats_close(s);
	return NULL;
}

void
stats_close(struct stats *s)
{
	if (s != NULL)
		munmap(s, sizeof(*s));
}

uint64_t
stats_start(const struct stats *s)
{
	return s != NULL ? s->start : 0;
}

void
stats_add(struct stats *s, unsigned at, uint64_t n)
{
	if (s != NULL && at < STATS_N)
		atomic_fetch_add_explicit(&s->value[at], n,
		    memory_order_relaxed);
}

uint64_t
stats_get(const struct stats *s, unsigned at)
{
	return s != NULL && at < STATS_N ? atomic_load_explicit(&s->value[at],
	    memory_order_relaxed) : 0;
}

static const struct stats_family *
family_at(unsigned first)
{
	for (int i = 0; i < STATS_FAMILIES; i++)
		if (stats_families[i].first == first)
			return &stats_families[i];
	return NULL;
}

unsigned
stats_index(unsigned first, int label, const char *value)
{
	const struct stats_family *f = family_at(first);
	const struct stats_label *l = f != NULL ? &f->label[label] : NULL;

	if (l == NULL || l->n == 0)
		return 0;
	for (unsigned i = 0; i < l->n; i++)
		if (strcmp(l->value[i], value) == 0)
			return i;
	return strcmp(l->value[l->n - 1], "other") == 0 ? l->n - 1 : STATS_N;
}

void
stats_label(struct stats *s, unsigned first, const char *value, uint64_t n)
{
	if (s != NULL)
		stats_add(s, first + stats_index(first, 0, value), n);
}

void
stats_duration(struct stats *s, uint64_t ns)
{
	unsigned i = 0;

	while (i < STATS_N_BUCKET - 1 && ns > stats_bounds[i])
		i++;
	stats_add(s, STATS_DURATION + i, 1);
	stats_add(s, STATS_DURATION + STATS_N_BUCKET, ns);
}
