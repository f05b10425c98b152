/*
 * conf.c - read and check a snapshot of the configuration.
 *
 * Runs in every role, as root in master.  A snapshot comes from the config
 * role, which read what an administrator wrote: it is checked all the same.
 */
#include "config.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/config/conf.h"

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK)
#define END_TEXT(a) ((a)[sizeof(a) - 1] = 0)

static _Bool
read_at(int fd, void *out, size_t n, off_t at)
{
	return pread(fd, out, n, at) == (ssize_t)n;
}

static _Bool
part_fits(uint32_t at, uint64_t n, const struct conf_head *h)
{
	return n == 0 || (at >= h->fixed && at <= h->size &&
	    n <= h->size - at);
}

static _Bool
master_check(struct conf_master *c)
{
	END_TEXT(c->run_dir);
	END_TEXT(c->state_dir);
	END_TEXT(c->log);
	if (c->n_listen > CONF_MAX_LISTEN || c->n_range > CONF_MAX_RANGE ||
	    c->n_storage > CONF_MAX_STORAGE || c->run_dir[0] != '/')
		return 0;
	for (uint32_t i = 0; i <= c->n_listen; i++)
		if (c->listen[i].addr_len < sizeof(sa_family_t) ||
		    c->listen[i].addr_len > sizeof(struct sockaddr_un))
			return 0;
	return 1;
}

/* What is in master's part for others than master; how many groups a worker
 * gets, master's priv_drop() looks at. */
static _Bool
master_check_rest(struct conf_master *c)
{
	if (c->n_auth > CONF_MAX_AUTH || c->n_cert > CONF_MAX_CERT + 1 ||
	    c->gates < 1 || c->gates > 256)
		return 0;
	for (uint32_t i = 0; i <= c->n_listen; i++)
		END_TEXT(c->listen[i].text);
	for (uint32_t i = 0; i < c->n_storage; i++) {
		END_TEXT(c->storage[i].name);
		if (c->storage[i].n_groups > CONF_MAX_GROUP)
			return 0;
	}
	for (uint32_t i = 0; i < c->n_auth; i++) {
		END_TEXT(c->auth[i].name);
		if (c->auth[i].processes < 1 || c->auth[i].processes > 257)
			return 0;
	}
	return 1;
}

static _Bool
net_table_check(const struct conf_net_table *t)
{
	if (t->n > CONF_MAX_NET)
		return 0;
	for (uint32_t i = 0; i < t->n; i++)
		if (t->net[i].bits > (t->net[i].is_v6 ? 128 : 32))
			return 0;
	return 1;
}

static _Bool
nets_check(const struct conf_nets *nets, const struct conf_net_table *t)
{
	return nets->first <= t->n && nets->n <= t->n - nets->first;
}

static _Bool
admit_check(const struct conf_admit *a, const struct conf_net_table *t)
{
	return nets_check(&a->allow, t) && nets_check(&a->deny, t);
}

static _Bool
gate_check(struct conf_gate *c)
{
	END_TEXT(c->hostname);
	if (c->n_listen > CONF_MAX_LISTEN || c->n_cert > CONF_MAX_CERT + 1 ||
	    c->n_host > CONF_MAX_HOST || c->client_name > CONF_CLIENT_UID ||
	    !net_table_check(&c->nets))
		return 0;
	for (uint32_t i = 0; i < c->n_listen; i++) {
		END_TEXT(c->listen[i].name);
		if (c->listen[i].tls > CONF_TLS_OFF ||
		    c->listen[i].plain_login > CONF_PLAIN_ALWAYS ||
		    !admit_check(&c->listen[i].admit, &c->nets) ||
		    !nets_check(&c->listen[i].proxy, &c->nets))
			return 0;
	}
	return 1;
}

static _Bool
certcheck_check(struct conf_certcheck *c)
{
	END_TEXT(c->hostname);
	return c->n_cert <= CONF_MAX_CERT + 1 && c->n_host <= CONF_MAX_HOST;
}

static _Bool
lmtp_check(struct conf_lmtp *c)
{
	END_TEXT(c->hostname);
	END_TEXT(c->delimiters);
	if (c->n_listen > CONF_MAX_LISTEN || !net_table_check(&c->nets))
		return 0;
	for (uint32_t i = 0; i < c->n_listen; i++)
		if (!admit_check(&c->listen[i].admit, &c->nets))
			return 0;
	return 1;
}

static _Bool
auth_check(struct conf_auth *c)
{
	END_TEXT(c->hostname);
	if (c->n_section > CONF_MAX_AUTH || c->n_storage > CONF_MAX_STORAGE)
		return 0;
	for (uint32_t i = 0; i < c->n_section; i++)
		END_TEXT(c->section[i].name);
	for (uint32_t i = 0; i < c->n_storage; i++)
		END_TEXT(c->storage[i]);
	return 1;
}

static _Bool
section_check(struct conf_section *c)
{
	END_TEXT(c->name);
	END_TEXT(c->module);
	END_TEXT(c->hostname);
	return 1;
}

static _Bool
kind_check(enum conf_kind kind, void *out)
{
	switch (kind) {
	case CONF_MASTER:
		return master_check(out) && master_check_rest(out);
	case CONF_GATE:
		return gate_check(out);
	case CONF_AUTH:
		return auth_check(out);
	case CONF_LOG:
	case CONF_METRICS:
		return 1;
	case CONF_LMTP:
		return lmtp_check(out);
	case CONF_CERTCHECK:
		return certcheck_check(out);
	case CONF_POOL:
	case CONF_STORAGE:
		return section_check(out);
	}
	return 0;
}

/* Everything about a snapshot that is the same for all kinds. */
static _Bool
snapshot_read(int fd, enum conf_kind kind, void *out, size_t size)
{
	struct conf_head *h = out;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &st) == 0 &&
	    read_at(fd, out, size, 0) && h->magic == CONF_MAGIC &&
	    h->kind == kind && h->fixed == size &&
	    (off_t)h->size == st.st_size &&
	    part_fits(h->filter_at, (uint64_t)h->filter_n * 8, h) &&
	    part_fits(h->extra_at, h->extra_n, h);
}

_Bool
conf_read(int fd, enum conf_kind kind, void *out, size_t size)
{
	return snapshot_read(fd, kind, out, size) && kind_check(kind, out);
}

_Bool
conf_read_master(int fd, struct conf_master *out)
{
	_Bool ok = snapshot_read(fd, CONF_MASTER, out, sizeof(*out)) &&
	    master_check(out);

	memset(out, 0, ok ? 0 : sizeof(*out));
	return ok;
}

size_t
conf_filter(int fd, const struct conf_head *h, struct sock_filter *out)
{
	size_t n = h->filter_n;

	if (n == 0 || n > CONF_MAX_FILTER ||
	    !read_at(fd, out, n * sizeof(*out), (off_t)h->filter_at))
		return 0;
	return n;
}

size_t
conf_locker_filter(int fd, const struct conf_section *c,
    struct sock_filter *out)
{
	struct conf_head h = c->head;

	h.filter_at += h.filter_n * (uint32_t)sizeof(*out);
	h.filter_n = c->locker_filter_n;
	return conf_filter(fd, &h, out);
}

/* Element I of those of SIZE octets that begin AT in the extra part. */
static _Bool
element(int fd, const struct conf_head *h, uint64_t at, uint32_t i, void *out,
    size_t size)
{
	return at + (i + UINT64_C(1)) * size <= h->extra_n &&
	    read_at(fd, out, size,
	    (off_t)(h->extra_at + at + (uint64_t)i * size));
}

_Bool
conf_cert_files(int fd, const struct conf_head *h, uint32_t i,
    struct conf_cert_files *out)
{
	if (h->kind != CONF_MASTER || !element(fd, h, 0, i, out, sizeof(*out)))
		return 0;
	END_TEXT(out->cert);
	END_TEXT(out->key);
	return 1;
}

struct conf_gate_host *
conf_hosts(int fd, const struct conf_head *h, uint32_t n_host,
    uint32_t n_cert)
{
	size_t size = n_host * sizeof(struct conf_gate_host);
	struct conf_gate_host *host = NULL;
	_Bool ok = (h->kind == CONF_GATE || h->kind == CONF_CERTCHECK) &&
	    size <= h->extra_n && (host = malloc(size + 1)) != NULL &&
	    read_at(fd, host, size, (off_t)h->extra_at);

	for (uint32_t i = 0; ok && i < n_host; i++) {
		END_TEXT(host[i].name);
		ok = host[i].first <= n_cert &&
		    host[i].n <= n_cert - host[i].first;
	}
	if (ok)
		return host;
	free(host);
	return NULL;
}

_Bool
conf_cert(int fd, const struct conf_head *h, uint32_t n_host, uint32_t i,
    struct conf_cert *out)
{
	if (h->kind != CONF_CERTCHECK || !element(fd, h,
	    (uint64_t)n_host * sizeof(struct conf_gate_host), i, out,
	    sizeof(*out)))
		return 0;
	END_TEXT(out->file);
	END_TEXT(out->cert);
	END_TEXT(out->key);
	return 1;
}
