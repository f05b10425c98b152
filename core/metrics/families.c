/*
 * families.c - see families.h.
 */
#include "config.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <culver/abi.h>

#include "core/base/features.h"
#include "core/base/json.h"
#include "core/metrics/families.h"

static writer build, start_time, sessions, sessions_max, grants, connections,
    connections_max, logins_under_way, auth_queue, refused, breaches,
    processes, generation, certificate, feature;

const struct family families[] = {
	{"culver_build", "info", NULL, "version , abi",
	    "What runs.", build},
	{"culver_start_time_seconds", "gauge", "seconds", NULL,
	    "When counting began, since 1970: with culverd, with its "
	    "manager process, should that have died, or with a version "
	    "that counts other things.", start_time},
	{"culver_sessions", "gauge", NULL, NULL,
	    "Sessions and deliveries now.", sessions},
	{"culver_sessions_limit", "gauge", NULL, NULL,
	    "As many there may be.", sessions_max},
	{"culver_grants_waiting", "gauge", NULL, NULL,
	    "Logins that were allowed and have no session yet.", grants},
	{"culver_connections", "gauge", NULL, "role , process",
	    "Clients of gates (before the login, and under TLS) and of "
	    "lmtp now, by process; the oldest one is 1.", connections},
	{"culver_connections_limit", "gauge", NULL, NULL,
	    "As many all gates together may have.", connections_max},
	{"culver_auth_requests", "gauge", NULL, "state",
	    "Logins under way; of these, that wait for a slot after "
	    "failed ones; pool processes at work.", logins_under_way},
	{"culver_auth_queue", "gauge", NULL, "section",
	    "Logins that wait for a process of an auth section.", auth_queue},
	{"culver_sessions_refused", "counter", NULL, NULL,
	    "Logins that were allowed and could not become a session.",
	    refused},
	{"culver_breaches", "counter", NULL, NULL,
	    "Processes that broke the rules, or did not answer, and were "
	    "ended.", breaches},
	{"culver_processes", "gauge", NULL, "role",
	    "Processes now, without workers.", processes},
	{"culver_generation", "gauge", NULL, NULL,
	    "Configurations since the start, the present one included.",
	    generation},
	{"culver_certificate_expiry_seconds", "gauge", "seconds", NULL,
	    "When the first of the certificates expires, since 1970; 0 "
	    "without any.", certificate},
	{"culver_feature", "gauge", NULL, "name",
	    "Whether the machine gives it (1) or not (0), as culverctl "
	    "status explains.", feature},
};
const unsigned n_families = sizeof(families) / sizeof(families[0]);

static void
plain(FILE *f, const char *name, uint64_t v)
{
	fprintf(f, "%s %" PRIu64 "\n", name, v);
}

/* NAME{KEY="VALUE"} with what VALUE must not have escaped. */
static void
label(FILE *f, const char *name, const char *key, const char *value)
{
	_Bool utf8 = json_is_utf8(value, strlen(value));

	fprintf(f, "%s{%s=\"", name, key);
	for (; *value != 0; value++) {
		if (*value == '\n')
			fputs("\\n", f);
		else if ((unsigned char)*value >= 0x80 && !utf8)
			fputc('?', f);
		else if (*value == '"' || *value == '\\')
			fprintf(f, "\\%c", *value);
		else
			fputc(*value, f);
	}
	fputs("\"}", f);
}

static void
labelled(FILE *f, const char *name, const char *key, const char *value,
    uint64_t v)
{
	label(f, name, key, value);
	fprintf(f, " %" PRIu64 "\n", v);
}

static void
build(FILE *f, const char *name, const struct answer *a)
{
	fprintf(f, "%s_info{version=\"%s\",abi=\"%d\"} 1\n", name,
	    a->head.version, CULVER_ABI_MAJOR);
}

static void
start_time(FILE *f, const char *name, const struct answer *a)
{
	plain(f, name, a->m.start);
}

static void
sessions(FILE *f, const char *name, const struct answer *a)
{
	plain(f, name, a->head.sessions);
}

static void
sessions_max(FILE *f, const char *name, const struct answer *a)
{
	plain(f, name, a->head.sessions_max);
}

static void
grants(FILE *f, const char *name, const struct answer *a)
{
	plain(f, name, a->head.grants);
}

static _Bool
role_read(const struct answer *a, uint32_t i, struct rec_status *r)
{
	return pread(a->fd, r, sizeof(*r), (off_t)(sizeof(a->head) +
	    (uint64_t)i * sizeof(*r))) == (ssize_t)sizeof(*r);
}

static void
connections(FILE *f, const char *name, const struct answer *a)
{
	unsigned gates = 0, lmtps = 0;
	struct rec_status r;

	for (uint32_t i = 0; i < a->head.count; i++) {
		if (!role_read(a, i, &r) || r.phase == REC_WAITING ||
		    (r.role != R_GATE && r.role != R_LMTP))
			continue;
		fprintf(f, "%s{role=\"%s\",process=\"%u\"} %" PRIu64 "\n",
		    name, ipc_role_name((enum ipc_role)r.role),
		    r.role == R_GATE ? ++gates : ++lmtps,
		    r.number[PONG_CONNECTIONS]);
	}
}

static void
connections_max(FILE *f, const char *name, const struct answer *a)
{
	plain(f, name, a->head.connections_max);
}

/* Number I of all coordinators together. */
static uint64_t
auth_sum(const struct answer *a, unsigned number)
{
	struct rec_status r;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < a->head.count; i++)
		if (role_read(a, i, &r) && r.role == R_AUTH)
			sum += r.number[number];
	return sum;
}

static void
logins_under_way(FILE *f, const char *name, const struct answer *a)
{
	labelled(f, name, "state", "all", auth_sum(a, PONG_LOGINS));
	labelled(f, name, "state", "delayed", auth_sum(a, PONG_HELD));
	labelled(f, name, "state", "checked", auth_sum(a, PONG_BUSY));
}

/* Of the present configuration: sections of others have other numbers. */
static void
auth_queue(FILE *f, const char *name, const struct answer *a)
{
	uint64_t n[CONF_MAX_AUTH] = {0};
	struct rec_status r;

	for (uint32_t i = 0; i < a->head.count; i++)
		if (role_read(a, i, &r) && r.role == R_AUTH &&
		    r.generation == a->head.generation)
			for (unsigned k = 0; k < CONF_MAX_AUTH; k++)
				n[k] += r.number[PONG_QUEUED + k];
	for (uint32_t k = 0; k < a->m.n_section && k < CONF_MAX_AUTH; k++)
		labelled(f, name, "section", a->m.section[k], n[k]);
}

static void
refused(FILE *f, const char *name, const struct answer *a)
{
	plain(f, name, a->head.refused);
}

static void
breaches(FILE *f, const char *name, const struct answer *a)
{
	plain(f, name, a->head.breaches);
}

static const enum ipc_role roles[] = {R_MANAGER, R_GATE, R_LMTP, R_AUTH,
    R_POOL, R_LOG, R_METRICS};
enum { N_ROLES = sizeof(roles) / sizeof(roles[0]) };

static void
processes(FILE *f, const char *name, const struct answer *a)
{
	struct rec_status r;
	uint64_t n;

	for (unsigned k = 0; k < N_ROLES; k++) {
		n = 0;
		for (uint32_t i = 0; i < a->head.count; i++)
			n += role_read(a, i, &r) && r.role == roles[k] &&
			    r.phase != REC_WAITING;
		labelled(f, name, "role", ipc_role_name(roles[k]), n);
	}
}

static void
generation(FILE *f, const char *name, const struct answer *a)
{
	plain(f, name, a->head.generation);
}

static void
certificate(FILE *f, const char *name, const struct answer *a)
{
	plain(f, name, a->m.cert_expires);
}

static void
feature(FILE *f, const char *name, const struct answer *a)
{
	for (unsigned i = 0; i < n_features; i++)
		labelled(f, name, "name", features[i].name,
		    (a->head.missing & features[i].part) == 0);
}
