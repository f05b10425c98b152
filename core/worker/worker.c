/*
 * worker.c - one session, from the verified drop to the last report.
 *
 * Runs as the mailbox's owner.  The plugin is loaded and its store created
 * before the sandbox closes, because both open files that the session must
 * not see; the mailbox is opened inside it.  The grant's tail comes from the
 * coordinator, which reads what clients and user databases say: it is decoded
 * and checked here, with the user's rights.
 */
#include "config.h"

#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/sandbox.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/plugin/host.h"
#include "core/plugin/loader.h"
#include "core/plugin/values.h"
#include "core/worker/client.h"
#include "core/worker/confine.h"
#include "core/worker/lda.h"
#include "core/worker/locking.h"
#include "core/worker/session.h"
#include "core/worker/wlog.h"
#include "core/worker/worker.h"

_Static_assert(CLIENT_OUT >= CONF_MAX_FILTER * sizeof(struct sock_filter) &&
    offsetof(struct client, out) % _Alignof(struct sock_filter) == 0,
    "a filter in the client's buffer");

enum {
	DESCRIPTORS = 256,
	MEMORY = 1 << 30,
	FIELDS_MAX = 64
};

struct worker {
	const struct worker_start *ws;
	struct conf_section conf;
	union ipc_any tail;
	struct culver_user user;
	struct culver_field fields[FIELDS_MAX];
	struct plugin plugin;
	struct plugin_host host;
	struct values *values;
	struct store store;
	struct session session;
	struct client client;		/* last: its buffers are large */
};

static const char *
text_or_null(const char *s)
{
	return s[0] != '\0' ? s : NULL;
}

/* name NUL value NUL ...; false if it does not end so, or has too many. */
static bool
get_fields(struct worker *w, const struct ipc_bytes *b)
{
	const char *p = (const char *)b->p, *end = p + b->n;
	struct culver_user *u = &w->user;

	while (p < end) {
		const char *value = memchr(p, '\0', (size_t)(end - p));
		const char *next;

		if (value == NULL || ++value == end ||
		    u->n_fields == FIELDS_MAX)
			return false;
		next = memchr(value, '\0', (size_t)(end - value));
		if (next == NULL)
			return false;
		w->fields[u->n_fields++] = (struct culver_field){
		    .name = p, .value = value };
		p = next + 1;
	}
	u->fields = w->fields;
	return true;
}

static bool
get_user(struct worker *w)
{
	const struct worker_start *ws = w->ws;
	const struct ipc_userdata *d = &w->tail.userdata;
	enum ipc_type type;
	unsigned nfds;

	if (!ipc_decode(ws->tail, ws->tail_len, &type, &nfds, &w->tail) ||
	    type != IPC_USERDATA || nfds != 0 || d->user[0] == '\0')
		return false;
	w->user = (struct culver_user){ .size = sizeof(w->user),
	    .uid = ws->uid, .gid = ws->gid, .name = d->user,
	    .home = text_or_null(d->home),
	    .location = text_or_null(d->location),
	    .quota_octets = d->quota_octets,
	    .quota_messages = d->quota_messages };
	return get_fields(w, &d->fields);
}

static culver_status
load(struct worker *w)
{
	const struct plugin_rules rules = { .allow = w->conf.allow };
	char err[PLUGIN_ERR];

	if (!plugin_load_known(w->conf.module, CULVER_KIND_STORAGE, &rules,
	    &w->plugin, err)) {
		log_errorx("%s", err);
		return CULVER_E_PERM;
	}
	w->values = values_read(w->ws->snapshot, &w->conf.head, &w->plugin,
	    &w->user, err);
	if (w->values == NULL) {
		log_errorx("storage %s: %s", w->conf.name, err);
		return CULVER_E_PERM;
	}
	plugin_host_init(&w->host, w->plugin.desc.name);
	locking_start(&w->host.host, w->ws->locker);
	if (!store_init(&w->store, &w->plugin.storage, w->plugin.desc.caps)) {
		log_errorx("no memory");
		return CULVER_E_NOMEM;
	}
	return store_create(&w->store, &w->host.host, &w->values->c, &w->user);
}

/* Everything before the mailbox is opened; what fails is logged. */
static culver_status
start(struct worker *w)
{
	const struct sandbox_limits limits = { .descriptors = DESCRIPTORS,
	    .memory = MEMORY, .no_processes = true };
	culver_status st;

	if (!get_user(w)) {
		log_errorx("the grant's user record is malformed");
		return CULVER_E_PERM;
	}
	if (!sandbox_limits(&limits)) {
		log_error("resource limits");
		return CULVER_E_TEMP;
	}
	st = load(w);
	/* in a page that is going to be used anyway: nothing is sent yet */
	return st != CULVER_OK ? st : confine(&w->store, w->ws->snapshot,
	    &w->conf.head, w->plugin.desc.needs,
	    (struct sock_filter *)(void *)w->client.out);
}

static uint32_t
expire_days(const struct worker *w)
{
	uint32_t own = w->tail.userdata.expire_days;

	return own != 0 ? own : w->conf.expire_days;
}

static _Bool
tell_takeover(int channel, _Bool stays)
{
	const struct ipc_worker_takeover m = {.stays = stays};

	return ipc_send(channel, IPC_WORKER_TAKEOVER, &m, NULL, 0) ==
	    CULVER_OK;
}

/* The last message; master may be busy, so wait for it a little. */
static void
report(const struct worker *w)
{
	const struct ipc_worker_end *end = &w->session.report;
	struct pollfd p = { .fd = w->ws->channel, .events = POLLOUT };
	uint64_t until = clock_now() + 5 * NS_PER_S;

	while (ipc_send(p.fd, IPC_WORKER_END, end, NULL, 0) == CULVER_E_TEMP &&
	    clock_now() < until)
		poll(&p, 1, 100);
}

/* master tells us when to end, through the channel and nothing else: a Ctrl-C
 * at its terminal must not cut a reply or an UPDATE short. */
static void
ignore_signals(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE };
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_IGN);
}

int
worker_main(const struct worker_start *ws)
{
	static struct worker w;		/* too large for a stack */
	culver_status st;
	int status = 0;

	w.ws = ws;
	ignore_signals();
	wlog_open(ws->channel);
	w.session = (struct session){ .store = &w.store, .client = &w.client,
	    .flags = ws->flags, .report = { .reason = "" } };
	st = conf_read(ws->snapshot, CONF_STORAGE, &w.conf, sizeof(w.conf)) ?
	    CULVER_OK : CULVER_E_PERM;
	client_start(&w.client, ws->client, ws->channel,
	    st == CULVER_OK ? w.conf.idle_time : 10 * 60 * NS_PER_S);
	if (st != CULVER_OK)
		log_errorx("the storage section's snapshot is malformed");
	else
		st = start(&w);
	if (ws->job != NULL) {
		status = ws->job(&w.store, st, ws->job_arg);
	} else if (ws->flags & IPC_DELIVERY) {
		status = lda_run(&w.store, st, ws->client, &w.session.report);
	} else if (st == CULVER_OK) {
		w.client.takeover = w.conf.takeover;
		w.client.tell = tell_takeover;
		w.session.bad_commands = w.conf.bad_commands;
		w.session.expire_days = expire_days(&w);
		w.session.login_delay = (uint32_t)(w.tail.userdata.login_delay /
		    NS_PER_S);
		session_run(&w.session);
	} else {
		session_refuse(&w.session, st);
		status = 1;
	}
	store_destroy(&w.store);
	values_destroy(&w.values);
	report(&w);
	return status;
}
