/*
 * addr.c - addresses, ranges and ids as they are written.
 *
 * Runs in the config role.  Nothing is resolved over the network or NSS.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "core/config/convert.h"
#include "core/config/load.h"

#define WANTED "wanted IPV4:PORT, [IPV6]:PORT or unix:PATH"

/* Digits only, at most MAX. */
static _Bool
digits(const char *s, uint64_t max, uint64_t *out)
{
	size_t n = strspn(s, "0123456789");

	if (n == 0 || n > 10 || s[n] != 0)
		return 0;
	*out = strtoull(s, NULL, 10);
	return *out <= max;
}

static _Bool
unix_parse(const char *path, struct cf_addr *out, char *err)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&out->ss;
	size_t n = strlen(path);

	if (path[0] != '/' || n >= sizeof(un->sun_path)) {
		snprintf(err, CONVERT_ERR, "\"unix:%.200s\": wanted an "
		    "absolute path of at most %zu octets", path,
		    sizeof(un->sun_path) - 1);
		return 0;
	}
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, n + 1);
	out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	out->is_unix = out->is_local = 1;
	return 1;
}

static _Bool
ip_parse(const char *host, _Bool v6, uint16_t port, struct cf_addr *out)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->ss;
	struct sockaddr_in *in4 = (struct sockaddr_in *)&out->ss;

	if (v6) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		out->len = sizeof(*in6);
		if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
			return 0;
		out->is_local = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
		return 1;
	}
	in4->sin_family = AF_INET;
	in4->sin_port = htons(port);
	out->len = sizeof(*in4);
	if (inet_pton(AF_INET, host, &in4->sin_addr) != 1)
		return 0;
	out->is_local = ntohl(in4->sin_addr.s_addr) >> 24 == 127;
	return 1;
}

_Bool
cf_addr_parse(const char *text, struct cf_addr *out, char *err)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	_Bool v6 = text[0] == '[';
	uint64_t port;
	size_t n;

	*out = (struct cf_addr){.len = 0};
	if (strncmp(text, "unix:", 5) == 0)
		return unix_parse(text + 5, out, err);
	if (colon == NULL || colon == text) {
		snprintf(err, CONVERT_ERR, "\"%.100s\" has no port: " WANTED,
		    text);
		return 0;
	}
	if (!digits(colon + 1, 65535, &port) || port == 0) {
		snprintf(err, CONVERT_ERR, "\"%.100s\": \"%.20s\" is no port: "
		    "wanted 1 to 65535", text, colon + 1);
		return 0;
	}
	n = (size_t)(colon - text);
	if (v6 && text[n - 1] == ']' && n - 2 < sizeof(host)) {
		memcpy(host, text + 1, n - 2);
		host[n - 2] = 0;
	} else if (!v6 && n < sizeof(host)) {
		memcpy(host, text, n);
		host[n] = 0;
	} else {
		host[0] = 0;
	}
	if (ip_parse(host, v6, (uint16_t)port, out))
		return 1;
	snprintf(err, CONVERT_ERR, "\"%.100s\": \"%.60s\" is no address: "
	    WANTED, text, host);
	return 0;
}

_Bool
cf_range_parse(const char *text, uint32_t *first, uint32_t *last, char *err)
{
	const char *dash = strchr(text, '-');
	char low[16];
	uint64_t a, b;
	size_t n = dash != NULL ? (size_t)(dash - text) : strlen(text);

	snprintf(low, sizeof(low), "%.*s", n < 15 ? (int)n : 15, text);
	if (n > 10 || !digits(low, UINT32_MAX - 1, &a) ||
	    !digits(dash != NULL ? dash + 1 : low, UINT32_MAX - 1, &b) ||
	    a == 0 || b < a) {
		snprintf(err, CONVERT_ERR, "\"%.60s\" is no range of ids: "
		    "wanted FIRST-LAST, as in \"1000-1999\"", text);
		return 0;
	}
	*first = (uint32_t)a;
	*last = (uint32_t)b;
	return 1;
}

static _Bool
id_number(const char *name, uint32_t *id)
{
	uint64_t n;

	if (!digits(name, UINT32_MAX - 1, &n))
		return 0;
	*id = (uint32_t)n;
	return 1;
}

_Bool
cf_net_parse(const char *text, struct conf_net *out, char *err)
{
	const char *slash = strchr(text, '/');
	size_t n = slash != NULL ? (size_t)(slash - text) : strlen(text);
	char host[64];
	uint64_t bits = UINT64_MAX;

	*out = (struct conf_net){.is_v6 = memchr(text, ':', n) != NULL};
	out->bits = out->is_v6 ? 128 : 32;
	if (n < sizeof(host)) {
		memcpy(host, text, n);
		host[n] = 0;
	}
	if (slash == NULL)
		bits = out->bits;
	else
		digits(slash + 1, out->bits, &bits);
	if (n < sizeof(host) && bits <= out->bits &&
	    inet_pton(out->is_v6 ? AF_INET6 : AF_INET, host, out->addr) == 1) {
		out->bits = (uint32_t)bits;
		return 1;
	}
	snprintf(err, CONVERT_ERR, "\"%.80s\" is no network: wanted an "
	    "address, or one with a prefix, as in 192.0.2.0/24 or "
	    "2001:db8::/32", text);
	return 0;
}

_Bool
cf_user_id(const char *file, const char *name, uint32_t *id, char *err)
{
	const struct passwd *pw = NULL;
	FILE *f;

	if (id_number(name, id))
		return 1;
	f = fopen(file, "re");
	while (f != NULL && (pw = fgetpwent(f)) != NULL)
		if (strcmp(pw->pw_name, name) == 0) {
			*id = pw->pw_uid;
			break;
		}
	if (f != NULL)
		fclose(f);
	if (pw == NULL)
		snprintf(err, CONVERT_ERR, "%s has no user \"%.60s\": wanted "
		    "a name from there, or a number", file, name);
	return pw != NULL;
}

_Bool
cf_group_id(const char *file, const char *name, uint32_t *id, char *err)
{
	const struct group *gr = NULL;
	FILE *f;

	if (id_number(name, id))
		return 1;
	f = fopen(file, "re");
	while (f != NULL && (gr = fgetgrent(f)) != NULL)
		if (strcmp(gr->gr_name, name) == 0) {
			*id = gr->gr_gid;
			break;
		}
	if (f != NULL)
		fclose(f);
	if (gr == NULL)
		snprintf(err, CONVERT_ERR, "%s has no group \"%.60s\": wanted "
		    "a name from there, or a number", file, name);
	return gr != NULL;
}

_Bool
cf_expire_parse(const char *text, uint32_t *days)
{
	uint64_t n;

	if (strcmp(text, "never") == 0)
		*days = UINT32_MAX;
	else if (strcmp(text, "off") == 0)
		*days = UINT32_MAX - 1;
	else if (digits(text, 36500, &n))
		*days = (uint32_t)n;
	else
		return 0;
	return 1;
}
