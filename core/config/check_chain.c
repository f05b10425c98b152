/*
 * check_chain.c - the auth sections as a chain: what each of them is asked for
 * and what its answers lead to.
 *
 * Runs in the config role, when the plugins are loaded.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <culver/auth.h>

#include "core/config/check-private.h"
#include "core/config/conf.h"

#define PASSWORDS ((uint64_t)(CULVER_AU_VERIFY | CULVER_AU_CREDS | \
    CULVER_AU_TOKEN | CULVER_AU_EXTERNAL))

/* What `provides' says: a set of CULVER_AU_*. */
static uint64_t
wanted(const struct cf_section *s)
{
	const struct culver_value *v = &s->v[O_PROVIDES];
	uint64_t caps = s->set[O_PROVIDES] != NULL ? CULVER_AU_NO_CACHE |
	    CULVER_AU_QUICK : UINT64_MAX;

	for (size_t i = 0; i < v->u.list.n; i++)
		caps |= strcmp(v->u.list.v[i].p, "passwords") == 0 ?
		    PASSWORDS : (uint64_t)CULVER_AU_USER;
	return caps;
}

uint64_t
cf_auth_caps(const struct cf_section *s)
{
	uint64_t caps = s->plugin != NULL ? s->plugin->desc.caps : 0;

	return s->v[O_MASTERS].u.i != 0 ? caps & (CULVER_AU_VERIFY |
	    CULVER_AU_CREDS | CULVER_AU_NO_CACHE | CULVER_AU_QUICK) :
	    caps & wanted(s);
}

/* One process more, where it can be told to check no password that takes
 * long. */
uint32_t
cf_auth_processes(const struct cf_section *s)
{
	return (uint32_t)s->v[O_PROCESSES].u.i +
	    ((cf_auth_caps(s) & CULVER_AU_QUICK) != 0);
}

static void
check_provides(struct cf_section *s)
{
	const struct culver_value *v = &s->v[O_PROVIDES];

	for (size_t i = 0; i < v->u.list.n && !s->bad[O_PROVIDES]; i++)
		if (strcmp(v->u.list.v[i].p, "passwords") != 0 &&
		    strcmp(v->u.list.v[i].p, "users") != 0)
			cf_blame(s, O_PROVIDES, "\"%.40s\" is not one of "
			    "passwords, users", v->u.list.v[i].p);
	if (cf_is_good(s, O_PROVIDES) && s->plugin != NULL &&
	    (cf_auth_caps(s) & (PASSWORDS | CULVER_AU_USER)) == 0)
		cf_blame(s, O_PROVIDES, "the plugin %s can answer for nothing "
		    "of that", s->plugin->desc.name);
}

static void
check_user_data(const struct cf_config *c, struct cf_section *s)
{
	const char *name = s->v[O_USER_DATA].u.s.p;
	const struct cf_section *other = c->auth;

	if (!cf_is_good(s, O_USER_DATA))
		return;
	while (other != NULL && strcmp(other->name, name) != 0)
		other = other->next;
	if (other == NULL)
		cf_blame(s, O_USER_DATA, "there is no section `auth %.63s'",
		    name);
	else if (other->plugin != NULL &&
	    (cf_auth_caps(other) & CULVER_AU_USER) == 0)
		cf_blame(s, O_USER_DATA, "section %s does not say where mail "
		    "is: its plugin cannot, or it is not asked (provides)",
		    name);
}

/* A master's name is the user's, this character, and the master's. */
static void
check_separator(struct cf_section *top, const struct cf_section *master)
{
	const char *sep = top->v[O_MASTER_SEPARATOR].u.s.p;

	if (top->bad[O_MASTER_SEPARATOR])
		return;
	if (top->set[O_MASTER_SEPARATOR] == NULL || sep[0] == 0) {
		if (master != NULL && cf_is_good(master, O_MASTERS))
			diag_warning(master->set[O_MASTERS]->at,
			    cf_where(master, "masters"), "without "
			    "`master_separator = \"*\"' masters log in only "
			    "by mechanisms that name the user besides them, "
			    "as PLAIN, and not by USER and PASS");
		return;
	}
	if (strchr("!#$%&*+,:;<=>?^`|~", sep[0]) == NULL)
		cf_blame(top, O_MASTER_SEPARATOR, "\"%s\" could be part of a "
		    "name: wanted a character as * or %%", sep);
	else if (master == NULL)
		cf_blame(top, O_MASTER_SEPARATOR, "there are no masters: add "
		    "a section with `masters = yes'");
}

static void
check_masters(struct cf_config *c)
{
	const struct cf_section *user = NULL;
	struct cf_section *s, *master = NULL;

	for (s = c->auth; s != NULL; s = s->next) {
		if (s->v[O_MASTERS].u.i == 0) {
			user = s;
			continue;
		}
		master = s;
		if (s->plugin != NULL &&
		    (cf_auth_caps(s) & CULVER_AU_VERIFY) == 0)
			cf_blame(s, O_MASTERS, "the plugin %s cannot check "
			    "their passwords", s->plugin->desc.name);
		if (cf_is_good(s, O_PROVIDES) || cf_is_good(s, O_USER_DATA))
			cf_blame(s, cf_is_good(s, O_PROVIDES) ? O_PROVIDES :
			    O_USER_DATA, "a section of masters is asked for "
			    "passwords only: remove this");
	}
	if (user == NULL && master != NULL)
		cf_blame(master, O_MASTERS, "there is no other section, so "
		    "nobody has a mailbox");
	check_separator(&c->top, master);
}

void
cf_check_chain(struct cf_config *c)
{
	for (struct cf_section *s = c->auth; s != NULL; s = s->next)
		if (s->v[O_MASTERS].u.i == 0)
			check_provides(s);
	check_masters(c);
	for (struct cf_section *s = c->auth; s != NULL; s = s->next)
		check_user_data(c, s);
}

/* The index of section NAME, or CONF_NO_SECTION. */
static uint32_t
section_find(const struct cf_config *c, const char *name)
{
	uint32_t i = 0;

	for (const struct cf_section *s = c->auth; s != NULL; s = s->next, i++)
		if (strcmp(s->name, name) == 0)
			return i;
	return CONF_NO_SECTION;
}

void
cf_auth_part(const struct cf_config *c, const struct cf_section *sec,
    struct conf_auth_part *out)
{
	/* in the order of their names in options.c */
	static const enum conf_then unknown[] = {CONF_THEN_NEXT,
	    CONF_THEN_STOP, CONF_THEN_TEMP};
	static const enum conf_then wrong[] = {CONF_THEN_STOP, CONF_THEN_NEXT};
	static const enum conf_then failure[] = {CONF_THEN_TEMP,
	    CONF_THEN_NEXT};

	snprintf(out->name, sizeof(out->name), "%s", sec->name);
	out->caps = cf_auth_caps(sec);
	out->processes = cf_auth_processes(sec);
	out->masters = sec->v[O_MASTERS].u.i != 0;
	out->on_unknown = unknown[sec->v[O_ON_UNKNOWN].u.i];
	out->on_wrong = wrong[sec->v[O_ON_WRONG].u.i];
	out->on_failure = failure[sec->v[O_ON_FAILURE].u.i];
	out->user_data = sec->set[O_USER_DATA] == NULL ? CONF_NO_SECTION :
	    section_find(c, sec->v[O_USER_DATA].u.s.p);
}
