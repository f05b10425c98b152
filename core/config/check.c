/*
 * check.c - Culver's own options: conversion, defaults, and what types cannot
 * say.
 *
 * Runs in the config role.  Each mistake gives one line: what was complained
 * about once is not looked at again.
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "core/base/clock.h"
#include "core/base/sandbox.h"
#include "core/config/check-private.h"
#include "core/config/conf.h"
#include "core/config/convert.h"
#include "core/config/load.h"

#define RUN_DIR_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - \
    sizeof("/control"))

void
cf_blame(struct cf_section *s, enum cf_opt o, const char *fmt, ...)
{
	struct cf_place at = s->set[o] != NULL ? s->set[o]->at : s->at;
	char text[CONVERT_ERR];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diag_error(at, cf_where(s, cf_options[o].o.name), "%s", text);
	s->bad[o] = 1;
}

static void
convert_one(struct cf_section *s, enum cf_opt o)
{
	const struct culver_option *opt = &cf_options[o].o;
	const struct cf_key *k = s->set[o];
	char err[CONVERT_ERR];

	if (!convert_default(opt, &s->v[o], err))
		cf_blame(s, o, "internal: bad default %s", err);
	if (k == NULL && (opt->flags & CULVER_OPT_REQUIRED) != 0)
		cf_blame(s, o, "required option is missing");
	if (k == NULL)
		return;
	if (k->value.broken) {
		s->bad[o] = 1;
		return;
	}
	if (!convert_value(opt, &k->value, &s->v[o], err)) {
		cf_blame(s, o, "%s", err);
		return;
	}
	s->v[o].is_set = 1;
	s->v[o].line = k->at.line;
	s->v[o].file = k->at.file->path;
}

static void
convert_all(struct cf_section *s)
{
	for (; s != NULL; s = s->next)
		for (int o = 0; o < O_COUNT; o++)
			if (cf_options[o].sect == s->sect)
				convert_one(s, (enum cf_opt)o);
}

/* --- top level and limits -------------------------------------------- */

_Bool
cf_hostname_ok(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= 255 && s[0] != '.' && s[0] != '-' &&
	    strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789.-") == n;
}

static void
check_top(struct cf_section *s, const struct cf_env *env)
{
	const char *log = s->v[O_LOG].u.s.p;
	char err[CONVERT_ERR];
	uint32_t id;

	if (!cf_is_good(s, O_HOSTNAME))
		s->v[O_HOSTNAME].u.s = (struct culver_str){.p = env->hostname,
		    .n = strlen(env->hostname)};
	if (!s->bad[O_HOSTNAME] && !cf_hostname_ok(s->v[O_HOSTNAME].u.s.p))
		cf_blame(s, O_HOSTNAME, "\"%.80s\" is no host name: wanted "
		    "letters, digits, dots and dashes, as in "
		    "\"mail.example.org\"", s->v[O_HOSTNAME].u.s.p);
	if (cf_is_good(s, O_LOG) && strcmp(log, "syslog") != 0 &&
	    strcmp(log, "stderr") != 0 && log[0] != '/')
		cf_blame(s, O_LOG, "\"%.80s\" is neither syslog nor stderr "
		    "nor an absolute path", log);
	if (cf_is_good(s, O_CONTROL_GROUP) && !cf_group_id(env->group,
	    s->v[O_CONTROL_GROUP].u.s.p, &id, err))
		cf_blame(s, O_CONTROL_GROUP, "%s", err);
	if (cf_is_good(s, O_RUN_DIR) &&
	    strlen(s->v[O_RUN_DIR].u.s.p) > RUN_DIR_MAX)
		cf_blame(s, O_RUN_DIR, "it is too long: wanted at most %zu "
		    "characters, because a socket lies in it", RUN_DIR_MAX);
	if (cf_is_good(s, O_DELIVER_GROUP) && !cf_group_id(env->group,
	    s->v[O_DELIVER_GROUP].u.s.p, &id, err))
		cf_blame(s, O_DELIVER_GROUP, "%s", err);
	if (s->v[O_GATES].u.i == 0)
		s->v[O_GATES].u.i = env->cpus < 256 ? env->cpus : 256;
}

static void
check_ranges(struct cf_section *s)
{
	const struct culver_value *v = &s->v[O_UID_RANGES];
	uint32_t first, last, min = (uint32_t)s->v[O_UID_MIN].u.i;
	char err[CONVERT_ERR];

	if (v->u.list.n > CONF_MAX_RANGE) {
		cf_blame(s, O_UID_RANGES, "it has %zu ranges: wanted at most "
		    "%d", v->u.list.n, CONF_MAX_RANGE);
		return;
	}
	for (size_t i = 0; i < v->u.list.n; i++) {
		if (!cf_range_parse(v->u.list.v[i].p, &first, &last, err)) {
			cf_blame(s, O_UID_RANGES, "%s", err);
			return;
		}
		if (!s->bad[O_UID_MIN] && last < min) {
			cf_blame(s, O_UID_RANGES, "\"%s\" lies below uid_min, "
			    "which is %u: nobody in it could log in",
			    v->u.list.v[i].p, (unsigned)min);
			return;
		}
	}
}

static void
check_limits(struct cf_section *s)
{
	uint32_t days;

	if (cf_is_good(s, O_IDLE_TIME) &&
	    s->v[O_IDLE_TIME].u.i < (int64_t)(600 * NS_PER_S))
		diag_warning(s->set[O_IDLE_TIME]->at, "limits: idle_time",
		    "RFC 1939 asks for 10 minutes at least: clients may be "
		    "cut off");
	if (!s->bad[O_FAILURE_DELAY] && !s->bad[O_FAILURE_DELAY_MAX] &&
	    s->v[O_FAILURE_DELAY].u.i > s->v[O_FAILURE_DELAY_MAX].u.i) {
		enum cf_opt o = s->set[O_FAILURE_DELAY_MAX] != NULL ?
		    O_FAILURE_DELAY_MAX : O_FAILURE_DELAY;

		cf_blame(s, o, "failure_delay (%s) is longer than "
		    "failure_delay_max (%s)",
		    convert_show_time(s->v[O_FAILURE_DELAY].u.i),
		    convert_show_time(s->v[O_FAILURE_DELAY_MAX].u.i));
	}
	if (!s->bad[O_EXPIRE] &&
	    !cf_expire_parse(s->v[O_EXPIRE].u.s.p, &days))
		cf_blame(s, O_EXPIRE, "\"%.20s\" is not one of never, off, or "
		    "a number of days", s->v[O_EXPIRE].u.s.p);
	if (cf_is_good(s, O_UID_RANGES))
		check_ranges(s);
}

/* O says more than there are descriptors for: MOST holds.  A default that
 * does not fit is nobody's mistake.  Returns SANDBOX_DESCRIPTORS then. */
static unsigned
fit(struct cf_section *s, enum cf_opt o, const char *where, uint64_t most,
    uint64_t descriptors)
{
	if (s->bad[o] || (uint64_t)s->v[o].u.i <= most)
		return 0;
	if (s->set[o] != NULL)
		diag_warning(s->set[o]->at, where, "%llu descriptors "
		    "(RLIMIT_NOFILE, hard) are enough for %llu of them: that "
		    "many it will be", (unsigned long long)descriptors,
		    (unsigned long long)most);
	s->v[o].u.i = (int64_t)most;
	return SANDBOX_DESCRIPTORS;
}

/* A gate has one descriptor a client and one more with TLS, master one a
 * session. */
static void
fit_limits(struct cf_config *c, const struct cf_env *env)
{
	uint64_t n = env->descriptors, gates;
	struct cf_section *s = &c->limits;

	if (n == 0 || c->top.bad[O_GATES])
		return;
	gates = (uint64_t)c->top.v[O_GATES].u.i;
	c->lacks = fit(s, O_CONNECTIONS, "limits: connections",
	    n > CONF_GATE_FDS + 2 ? (n - CONF_GATE_FDS) / 2 * gates : 1, n);
	c->lacks |= fit(s, O_SESSIONS, "limits: sessions",
	    n > 2 * CONF_MASTER_FDS ? n - CONF_MASTER_FDS : n / 2 + 1, n);
}

/* --- auth and storage ------------------------------------------------ */

static void
check_allow(struct cf_section *s, enum cf_opt o)
{
	static const char *const names[] = {"net", "exec", "threads"};
	const struct culver_value *v = &s->v[o];
	unsigned known = s->sect == CF_AUTH ? 3 : 1, k;

	for (size_t i = 0; i < v->u.list.n && !s->bad[o]; i++) {
		for (k = 0; k < known; k++)
			if (strcmp(v->u.list.v[i].p, names[k]) == 0)
				break;
		if (k == known)
			cf_blame(s, o, "\"%.40s\" is not one of %s",
			    v->u.list.v[i].p, known == 3 ?
			    "net, exec, threads" : "net");
		else
			s->allow |= 1u << k;
	}
}

/* PAM is of little use without its helpers and the shadow file; no other
 * plugin gets anything that nobody wrote down. */
static void
default_pam(struct cf_section *s, const struct cf_env *env)
{
	static const struct culver_str exec = {"exec", 4};
	const char *name = s->set[O_AUTH_PLUGIN] != NULL ?
	    s->v[O_AUTH_PLUGIN].u.s.p : s->name;
	char err[CONVERT_ERR];
	uint32_t id;

	if (s->bad[O_AUTH_PLUGIN] || strcmp(name, "pam") != 0)
		return;
	if (s->set[O_AUTH_ALLOW] == NULL) {
		s->v[O_AUTH_ALLOW].u.list.v = &exec;
		s->v[O_AUTH_ALLOW].u.list.n = 1;
	}
	if (s->set[O_AUTH_GROUP] == NULL &&
	    cf_group_id(env->group, "shadow", &id, err))
		s->v[O_AUTH_GROUP].u.s = (struct culver_str){"shadow", 6};
}

static void
check_auth(struct cf_section *s, const struct cf_env *env)
{
	char err[CONVERT_ERR];
	uint32_t id;

	default_pam(s, env);
	check_allow(s, O_AUTH_ALLOW);
	if (s->set[O_PROCESSES] == NULL)
		s->v[O_PROCESSES].u.i = env->cpus;
	if (!cf_is_good(s, O_AUTH_GROUP))
		return;
	if (!cf_group_id(env->group, s->v[O_AUTH_GROUP].u.s.p, &id, err))
		cf_blame(s, O_AUTH_GROUP, "%s", err);
	else if (id == 0)
		cf_blame(s, O_AUTH_GROUP, "group 0 is never given to "
		    "anybody: remove it");
}

static void
check_groups(struct cf_section *s, const struct cf_env *env)
{
	const struct culver_value *v = &s->v[O_GROUPS];
	char err[CONVERT_ERR];
	uint32_t id;

	if (v->u.list.n > CONF_MAX_GROUP)
		cf_blame(s, O_GROUPS, "it has %zu groups: wanted at most %d",
		    v->u.list.n, CONF_MAX_GROUP);
	for (size_t i = 0; i < v->u.list.n && !s->bad[O_GROUPS]; i++) {
		if (!cf_group_id(env->group, v->u.list.v[i].p, &id, err))
			cf_blame(s, O_GROUPS, "%s", err);
		else if (id == 0)
			cf_blame(s, O_GROUPS, "group 0 is never given to "
			    "anybody: remove it");
	}
	if (!cf_is_good(s, O_LOCK_GROUP))
		return;
	if (!cf_group_id(env->group, s->v[O_LOCK_GROUP].u.s.p, &id, err))
		cf_blame(s, O_LOCK_GROUP, "%s", err);
	else if (id == 0)
		cf_blame(s, O_LOCK_GROUP, "group 0 is never given to "
		    "anybody: wanted the spool's group, as in \"mail\"");
}

static void
check_sections(struct cf_config *c, const struct cf_env *env)
{
	struct cf_section *s;
	int n = 0;

	for (s = c->auth; s != NULL; s = s->next) {
		check_auth(s, env);
		if (++n == CONF_MAX_AUTH + 1)
			diag_error(s->at, cf_where(s, NULL), "there are more "
			    "than %d sections auth", CONF_MAX_AUTH);
	}
	if (n == 0)
		diag_error(c->top.at, "auth", "there is no such section, so "
		    "nobody could log in: add `auth passwdfile { path = "
		    "\"/etc/culver/users\" }'");
	n = 0;
	for (s = c->storage; s != NULL; s = s->next) {
		check_allow(s, O_STORAGE_ALLOW);
		check_groups(s, env);
		if (++n == CONF_MAX_STORAGE + 1)
			diag_error(s->at, cf_where(s, NULL), "there are more "
			    "than %d sections storage", CONF_MAX_STORAGE);
	}
	if (n == 0)
		diag_error(c->top.at, "storage", "there is no such section, "
		    "so nobody has a mailbox: add `storage maildir { path = "
		    "\"~/Maildir\" }'");
}

/* A section that no file has still needs a place for messages. */
static void
imply(struct cf_section *s, const struct cf_config *c)
{
	if (s->at.file == NULL) {
		s->at = c->top.at;
		s->implied = 1;
	}
}

void
cf_check(struct cf_config *c, const struct cf_env *env)
{
	cf_default_listen(c);
	imply(&c->tls, c);
	imply(&c->cache, c);
	imply(&c->limits, c);
	convert_all(&c->top);
	convert_all(&c->tls);
	convert_all(&c->cache);
	convert_all(&c->limits);
	convert_all(c->listen);
	convert_all(c->host);
	convert_all(c->auth);
	convert_all(c->storage);
	check_top(&c->top, env);
	check_limits(&c->limits);
	fit_limits(c, env);
	cf_check_tls(c);
	cf_check_listeners(c, env);
	check_sections(c, env);
	cf_check_sasl(c);
}

void
cf_load(struct cf_config *c, const struct cf_env *env)
{
	const struct cf_block *root = cf_parse(&env->source);

	*c = (struct cf_config){.listen = NULL};
	if (root->at.file == NULL)
		return;		/* no file at all, and diag says so */
	cf_merge(c, root);
	cf_check(c, env);
	if (env->before_modules != NULL)
		env->before_modules(c);
	cf_modules(c, env);
	cf_check_chain(c);
	cf_check_mechs(c);
}
