/*
 * auth_nets.c - Dovecot's allow_nets: the networks from which a user may come.
 *
 * Runs in a pool process, or in the coordinator.  The address is what the gate
 * saw, the list an administrator's; what cannot be understood admits nobody.
 */
#include "config.h"

#include <arpa/inet.h>
#include <string.h>

#include "plugins/common/nets.h"

struct address {
	unsigned bits;			/* 32, 128 */
	unsigned char octet[16];
};

static _Bool
address_parse(struct span s, struct address *out)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	char text[INET6_ADDRSTRLEN];

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, 0, s.n) != NULL)
		return 0;
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	out->bits = 32;
	if (inet_pton(AF_INET, text, out->octet) == 1)
		return 1;
	out->bits = 128;
	if (inet_pton(AF_INET6, text, out->octet) != 1)
		return 0;
	if (memcmp(out->octet, mapped, sizeof(mapped)) == 0) {
		memmove(out->octet, out->octet + 12, 4);
		out->bits = 32;
	}
	return 1;
}

/* The digits behind the slash, at most MAX. */
static _Bool
width_parse(struct span s, unsigned max, unsigned *out)
{
	unsigned v = 0;

	if (s.n == 0 || s.n > 3)
		return 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return 0;
		v = v * 10 + (unsigned)(s.p[i] - '0');
	}
	*out = v;
	return v <= max;
}

static _Bool
same_net(const struct address *a, const struct address *b, unsigned width)
{
	unsigned whole = width / 8, rest = width % 8;
	unsigned char mask = (unsigned char)(0xff00u >> rest);

	return a->bits == b->bits &&
	    memcmp(a->octet, b->octet, whole) == 0 &&
	    (rest == 0 || ((a->octet[whole] ^ b->octet[whole]) & mask) == 0);
}

static _Bool
net_has(struct span net, const struct address *remote)
{
	const char *slash = memchr(net.p, '/', net.n);
	struct span width = {"", 0};
	struct address a;
	unsigned bits;

	if (slash != NULL) {
		width = (struct span){slash + 1,
		    net.n - (size_t)(slash - net.p) - 1};
		net.n = (size_t)(slash - net.p);
	}
	if (!address_parse(net, &a))
		return 0;
	bits = a.bits;
	if (slash != NULL && !width_parse(width, a.bits, &bits))
		return 0;
	return same_net(&a, remote, bits);
}

_Bool
auth_nets_have(struct span nets, const char *remote)
{
	struct span from = {remote, strlen(remote)};
	struct address a;
	_Bool is_local = from.n == 0 || strcmp(remote, "unix") == 0;
	_Bool ok = is_local || address_parse(from, &a);

	for (size_t i = 0, n; ok && i < nets.n; i += n + 1) {
		struct span one = {nets.p + i, 0};

		for (n = 0; i + n < nets.n && one.p[n] != ',' &&
		    one.p[n] != ' '; n++)
			;
		one.n = n;
		if (is_local ? n == 5 && memcmp(one.p, "local", 5) == 0 :
		    n > 0 && net_has(one, &a))
			return 1;
	}
	return 0;
}
