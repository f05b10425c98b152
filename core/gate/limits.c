/*
 * limits.c - addresses, how many connections one may have, and how much of
 * the log an event may fill.
 *
 * Runs in gate.  Addresses come from the kernel; who sends from them is not
 * trusted, so buckets are chosen with a secret.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/gate/gate.h"

struct limit_ip {
	struct limit_ip *next;
	uint64_t key[2];
	uint32_t n;
};

void
peer_set(struct peer *peer, const struct sockaddr *sa, socklen_t len)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	memset(peer, 0, sizeof(*peer));
	peer->family = AF_UNIX;
	if (len >= sizeof(in) && sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		peer->family = AF_INET;
		memcpy(peer->addr, &in.sin_addr, 4);
	} else if (len >= sizeof(in6) && sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		if (memcmp(&in6.sin6_addr, mapped, sizeof(mapped)) == 0) {
			peer->family = AF_INET;
			memcpy(peer->addr, in6.sin6_addr.s6_addr + 12, 4);
		} else {
			peer->family = AF_INET6;
			memcpy(peer->addr, &in6.sin6_addr, 16);
		}
	}
}

void
peer_text(const struct peer *peer, char text[PEER_TEXT])
{
	if (peer->family == AF_UNIX ||
	    inet_ntop(peer->family, peer->addr, text, PEER_TEXT) == NULL)
		memcpy(text, "unix", 5);
}

_Bool
peer_is_local(const struct peer *peer)
{
	if (peer->family == AF_INET)
		return peer->addr[0] == 127;
	if (peer->family == AF_INET6)
		return memcmp(peer->addr, &in6addr_loopback, 16) == 0;
	return peer->family == AF_UNIX;
}

static uint64_t
mix(uint64_t h)
{
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

static struct limit_ip **
bucket_of(struct gate *g, const uint64_t key[2])
{
	uint64_t h = mix(mix(key[0] ^ g->ip_seed[0]) ^ key[1] ^ g->ip_seed[1]);

	return &g->by_ip[h % GATE_BUCKETS];
}

/* Tell the other gates. */
static void
share(struct gate *g, const struct limit_ip *ip)
{
	uint32_t hidden;

	if (!counts_set(&g->counts, ip->key, ip->n) &&
	    limit_log(g, LIMIT_OTHER, &hidden))
		log_warnx("gate: no room to count an address together with "
		    "other gates");
}

_Bool
limit_enter(struct gate *g, const struct peer *peer, struct limit_ip **out)
{
	uint64_t key[2] = {0, peer->family};
	struct limit_ip **bucket, *ip;

	*out = NULL;
	if (g->conf.connections_per_ip == 0)
		return 0;
	if (peer->family == AF_UNIX)
		return 1;
	memcpy(&key[0], peer->addr, peer->family == AF_INET ? 4 : 8);
	bucket = bucket_of(g, key);
	for (ip = *bucket; ip != NULL; ip = ip->next)
		if (ip->key[0] == key[0] && ip->key[1] == key[1])
			break;
	if (ip == NULL) {
		if ((ip = calloc(1, sizeof(*ip))) == NULL)
			return 0;
		memcpy(ip->key, key, sizeof(key));
		ip->next = *bucket;
		*bucket = ip;
	}
	ip->n++;
	*out = ip;
	share(g, ip);
	/* after that, so that of two gates at least one sees the other */
	if (ip->n + counts_others(&g->counts, ip->key) <=
	    g->conf.connections_per_ip)
		return 1;
	limit_leave(g, out);
	return 0;
}

void
limit_leave(struct gate *g, struct limit_ip **ipp)
{
	struct limit_ip *ip = *ipp, **at;

	if (ip == NULL)
		return;
	*ipp = NULL;
	ip->n--;
	share(g, ip);
	if (ip->n > 0)
		return;
	for (at = bucket_of(g, ip->key); *at != ip; at = &(*at)->next)
		;
	*at = ip->next;
	free(ip);
}

/* A burst of 20, then one a second. */
_Bool
limit_log(struct gate *g, enum limit_event event, uint32_t *hidden)
{
	enum { BURST = 20 };
	struct limit_log *l = &g->limit_log[event];
	uint64_t now = clock_now(), more;

	if (l->at == 0) {
		l->at = now;
		l->left = BURST;
	}
	more = (now - l->at) / NS_PER_S;
	if (more > 0) {
		l->left = more < BURST - l->left ? l->left + (uint32_t)more :
		    BURST;
		l->at = now;
	}
	if (l->left == 0) {
		l->hidden++;
		return 0;
	}
	l->left--;
	*hidden = l->hidden;
	l->hidden = 0;
	return 1;
}

void
limit_say(struct gate *g, enum limit_event event, const char *name,
    const struct peer *peer, const char *key, const char *value)
{
	char text[PEER_TEXT];
	uint32_t hidden;
	struct kv kv;

	if (!limit_log(g, event, &hidden))
		return;
	peer_text(peer, text);
	kv_start(&kv, name);
	kv_text(&kv, "remote", text);
	kv_text(&kv, key, value);
	if (hidden > 0)
		kv_u64(&kv, "not-logged", hidden);
	log_info("%s", kv.buf);
}
