/*
 * arrive.c - from accept() to the greeting: who comes, which header a proxy
 * sends first, and who is kept out.
 *
 * Runs in gate on octets of the network.  Whose connections have a header is
 * decided by the kernel's address; from then on the client that the header
 * names is the peer, for limits, networks, throttle and log.
 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/config/nets.h"
#include "core/gate/gate.h"
#include "core/gate/proxy.h"
#include "core/pop3/reply.h"
#include "core/tls/tls.h"

static const struct arrive_no full = {"limit", "what", "connections",
    POP3_BUSY};
static const struct arrive_no many = {"limit", "what", "connections-per-ip",
    POP3_BUSY};
static const struct arrive_no network = {"connection-refused", "reason",
    "network", POP3_KEPT_OUT};
static const struct arrive_no unanswered = {"connection-refused", "reason",
    "network", NULL};

_Bool
arrive_full(const struct gate *g)
{
	return g->n_conn >= g->conf.connections;
}

_Bool
arrive_proxied(const struct gate *g, uint32_t listen, const struct peer *peer)
{
	return peer->family != AF_UNIX && nets_have(&g->conf.nets,
	    &g->conf.listen[listen].proxy, peer->family == AF_INET6,
	    peer->addr);
}

const struct arrive_no *
arrive_refuse(struct gate *g, uint32_t listen, const struct peer *peer,
    struct limit_ip **ip)
{
	const struct conf_admit *admit = &g->conf.listen[listen].admit;

	if (peer->family != AF_UNIX && !nets_admit(&g->conf.nets, admit,
	    peer->family == AF_INET6, peer->addr))
		return admit->silent ? &unanswered : &network;
	return limit_enter(g, peer, ip) ? NULL : &many;
}

static bool
greets_in_tls(const struct gate *g, uint32_t listen)
{
	return g->conf.listen[listen].tls == CONF_TLS_IMPLICIT;
}

/* In plain a last word; a TLS client could not read one. */
static void
turn_away(struct gate *g, int fd, uint32_t listen, const struct peer *peer,
    const struct arrive_no *no)
{
	limit_say(g, LIMIT_REFUSED, no->event, peer, no->key, no->why);
	if (no->reply != NULL && !greets_in_tls(g, listen))
		(void)!send(fd, no->reply, strlen(no->reply),
		    MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

void
arrive(struct gate *g, int fd, uint32_t listen, const struct peer *peer)
{
	const struct arrive_no *no = arrive_full(g) ? &full : NULL;
	struct limit_ip *ip = NULL;

	if (no == NULL && !arrive_proxied(g, listen, peer))
		no = arrive_refuse(g, listen, peer, &ip);
	if (no != NULL)
		turn_away(g, fd, listen, peer, no);
	else
		conn_open(g, fd, listen, peer, ip);
}

void
arrive_begin(struct conn *c)
{
	struct gate *g = c->gate;

	conn_enter(c, CONN_HANDSHAKE, c->login_by);
	if (!greets_in_tls(g, c->listen)) {
		authz_greet(c);
		conn_enter(c, CONN_AUTHORIZATION, 0);
		stream_flush(c);
	} else if (!tls_ready(g->tls)) {
		conn_close(c, "tls-not-available");
	}
}

/* --- behind a proxy --------------------------------------------------------- */

static void
address_set(struct peer *out, int family, const uint8_t *addr)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	memcpy(&in.sin_addr, addr, sizeof(in.sin_addr));
	memcpy(&in6.sin6_addr, addr, sizeof(in6.sin6_addr));
	if (family == AF_INET)
		peer_set(out, (struct sockaddr *)&in, sizeof(in));
	else
		peer_set(out, (struct sockaddr *)&in6, sizeof(in6));
}

/* The proxy has said whom it brings: now that one is let in, or not. */
static void
introduce(struct conn *c, const struct proxy_said *said)
{
	struct gate *g = c->gate;
	const struct arrive_no *no;

	if (said->family != AF_UNSPEC) {
		address_set(&c->peer, said->family, said->client);
		address_set(&c->local, said->family, said->server);
	}
	c->proxy_tls = said->tls && g->conf.listen[c->listen].proxy_tls;
	no = arrive_refuse(g, c->listen, &c->peer, &c->ip);
	if (no == NULL) {
		arrive_begin(c);
		return;
	}
	limit_say(g, LIMIT_REFUSED, no->event, &c->peer, no->key, no->why);
	/* there is a line about it already, so this end is an ordinary one */
	if (no->reply != NULL && !greets_in_tls(g, c->listen)) {
		conn_say(c, no->reply);
		conn_finish(c, "quit");
	} else {
		conn_close(c, "client");
	}
}

_Bool
arrive_header(struct conn *c)
{
	struct gate *g = c->gate;
	size_t had = c->in.n, take;
	enum proxy_result result;
	struct proxy_said said;
	ssize_t got;

	if (had > 0)
		memcpy(g->in, c->in.p, had);
	got = recv(c->io.fd, g->in + had, PROXY_MAX - had,
	    MSG_PEEK | MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (got <= 0) {
		conn_close(c, "client");
		return false;
	}
	result = proxy_parse(g->in, had + (size_t)got, &said);
	take = result == PROXY_GOT ? said.used - had : (size_t)got;
	if (result == PROXY_BAD)
		conn_close(c, "proxy-header");
	else if (recv(c->io.fd, g->scratch, take, MSG_DONTWAIT) !=
	    (ssize_t)take)
		conn_close(c, "lost");
	else if (!buf_set(&c->in, g->in, result == PROXY_GOT ? 0 :
	    had + take))
		conn_close(c, "memory");
	else if (result == PROXY_GOT)
		introduce(c, &said);
	/* what follows the header may be a password */
	explicit_bzero(g->in, had + (size_t)got);
	return result == PROXY_GOT && c->state != CONN_CLOSED;
}

_Bool
arrive_prove(struct conn *c)
{
	uint8_t first[PROXY_SIGNATURE];
	ssize_t got = recv(c->io.fd, first, sizeof(first),
	    MSG_PEEK | MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	c->unproven = false;
	if (got <= 0 || !proxy_resembles(first, (size_t)got))
		return true;
	conn_close(c, "not-a-proxy");
	return false;
}
