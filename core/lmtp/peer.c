/*
 * peer.c - who may connect, and for whom he may deliver.
 *
 * Runs in lmtp, on what the kernel says of a socket's other end.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/config/nets.h"
#include "core/lmtp/lmtp.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

static _Bool
is_member(int fd, gid_t primary, gid_t wanted)
{
	gid_t groups[256];
	socklen_t n = sizeof(groups);

	if (wanted == UINT32_MAX)
		return 0;
	if (primary == wanted)
		return 1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) != 0)
		return 0;
	for (size_t i = 0; i < n / sizeof(groups[0]); i++)
		if (groups[i] == wanted)
			return 1;
	return 0;
}

/* A unix socket: its mode says who may connect; at our own everybody may, for
 * himself. */
static _Bool
local_look(struct conn *c, int fd, const struct conf_lmtp_listen *l)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	memcpy(c->remote, "unix", 5);
	if (!l->own)
		return 1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0)
		return 0;
	c->own_uid = cred.uid;
	c->own_only = cred.uid != 0 && !is_member(fd, cred.gid,
	    server.conf.deliver_gid);
	return 1;
}

_Bool
peer_look(struct conn *c, int fd, uint32_t listen)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const struct conf_lmtp_listen *l = &server.conf.listen[listen];
	struct sockaddr_storage ss = {.ss_family = AF_UNIX};
	socklen_t n = sizeof(ss);
	uint8_t addr[sizeof(struct in6_addr)] = {0};
	_Bool v6;

	if (l->is_unix)
		return local_look(c, fd, l);
	if (getpeername(fd, (struct sockaddr *)&ss, &n) != 0)
		return 0;
	v6 = ss.ss_family == AF_INET6;
	if (v6)
		memcpy(addr, &((struct sockaddr_in6 *)&ss)->sin6_addr, 16);
	else
		memcpy(addr, &((struct sockaddr_in *)&ss)->sin_addr, 4);
	if (v6 && memcmp(addr, mapped, sizeof(mapped)) == 0) {
		memmove(addr, addr + sizeof(mapped), 4);
		v6 = 0;
	}
	if (inet_ntop(v6 ? AF_INET6 : AF_INET, addr, c->remote,
	    sizeof(c->remote)) == NULL)
		return 0;
	return nets_admit(&server.conf.nets, &l->admit, v6, addr);
}
