/*
 * auth_servers.c - which server is asked, and when one that failed is tried
 * again.
 *
 * Runs in a pool process, one login at a time.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <culver/util.h>

#include "plugins/common/servers.h"

#define MS 1000000ull
#define PAUSE_MAX (3000 * MS)

int
auth_time_left(const struct culver_host *host, uint64_t deadline)
{
	uint64_t now = host->now(host), left;

	if (now >= deadline)
		return 0;
	left = (deadline - now) / MS;
	return left < 1 ? 1 : left > 60000 ? 60000 : (int)left;
}

void
auth_servers_failed(struct auth_servers *s, unsigned at,
    const struct culver_call *call)
{
	struct auth_server *h = &s->v[at];

	snprintf(s->error, sizeof(s->error), "%s", call->err->text);
	backoff_failed(&h->backoff, s->host->now(s->host), 0, PAUSE_MAX);
	if (h->backoff.failures == 1)
		culver_logf(s->host, CULVER_LOG_WARN, "%s: %s", s->what,
		    s->error);
	s->down = true;
}

static culver_status
server_connect(struct auth_servers *s, unsigned at, unsigned to_try,
    auth_server_open *open, void *arg, struct culver_call *call)
{
	struct auth_server *h = &s->v[at];
	uint64_t now = s->host->now(s->host), deadline = call->deadline;
	uint64_t most = s->timeout;
	culver_status st;

	/* Leave time for the others and for the query. */
	if (deadline != UINT64_MAX && deadline > now &&
	    (deadline - now) / (to_try + 1) < most)
		most = (deadline - now) / (to_try + 1);
	if (deadline == UINT64_MAX || deadline - now > most)
		deadline = now + most;
	st = open(arg, at, deadline, call);
	if (st != CULVER_OK) {
		auth_servers_failed(s, at, call);
		return st;
	}
	if (s->down)
		culver_logf(s->host, CULVER_LOG_INFO, "%s: connected%s%s",
		    s->what, h->name != NULL ? " to " : "",
		    h->name != NULL ? h->name : "");
	s->down = false;
	backoff_over(&h->backoff);
	return st;
}

culver_status
auth_servers_open(struct auth_servers *s, unsigned *at, auth_server_open *open,
    void *arg, struct culver_call *call)
{
	unsigned first = *at;

	for (unsigned i = 0; i < s->n; i++) {
		unsigned now_at = (first + i) % s->n;
		uint64_t now = s->host->now(s->host);

		if (now >= call->deadline)
			break;
		if (now < s->v[now_at].backoff.not_before)
			continue;
		if (server_connect(s, now_at, s->n - i, open, arg, call) ==
		    CULVER_OK) {
			*at = now_at;
			return CULVER_OK;
		}
	}
	call->err->sys_errno = 0;
	return culver_fail(call, CULVER_E_TEMP, 0, "the %s is away: %.180s",
	    s->what, s->error[0] != 0 ? s->error : "no time to connect");
}

culver_status
auth_server_fail(const struct auth_server *h, const char *text,
    struct culver_call *call)
{
	char line[180];
	size_t n = 0;

	for (; *text != 0 && n < sizeof(line) - 1; text++)
		if ((unsigned char)*text >= 0x20)
			line[n++] = *text;
		else if (n > 0 && line[n - 1] != ' ')
			line[n++] = ' ';
	line[n] = 0;
	return culver_fail(call, CULVER_E_TEMP, 0, "%.60s: %s", h->name, line);
}

void
auth_servers_free(struct auth_servers *s)
{
	for (unsigned i = 0; i < s->n; i++)
		free(s->v[i].text);
	s->n = 0;
}
