/*
 * check_sasl.c - which mechanisms can be served, and which are shown.
 *
 * Runs in the config role.  What a section can do is known when its plugin is
 * loaded; whether its users have what SCRAM needs only the administrator
 * knows, and a client that tries a mechanism its user has nothing for does
 * not try another one.
 */
#include "config.h"

#include <string.h>

#include <culver/auth.h>

#include "core/config/check-private.h"
#include "core/config/mem.h"
#include "core/sasl/mechs.h"

/* Not by default: they need the passwords themselves, and MD5. */
#define OLD (SASL_BIT(SASL_CRAM_MD5) | SASL_BIT(SASL_APOP))

static void
unknown_mech(struct cf_section *s, const char *name)
{
	const char *names[SASL_MECHS], *near;

	for (unsigned i = 0; i < SASL_USER; i++)
		names[i] = sasl_mechs[i].name;
	near = diag_nearest(name, names, SASL_USER);
	if (near != NULL)
		cf_blame(s, O_SASL, "there is no mechanism \"%.40s\", did you "
		    "mean %s?", name, near);
	else
		cf_blame(s, O_SASL, "there is no mechanism \"%.40s\"", name);
}

/* What `sasl' says. */
static uint32_t
wanted(const struct cf_section *top)
{
	const struct culver_value *v = &top->v[O_SASL];
	uint32_t mask = 0;

	if (top->set[O_SASL] == NULL)
		return SASL_ALL & ~OLD;
	for (size_t i = 0; i < v->u.list.n; i++)
		mask |= SASL_BIT(sasl_find(v->u.list.v[i].p,
		    v->u.list.v[i].n));
	return mask & SASL_ALL;
}

void
cf_check_sasl(struct cf_config *c)
{
	const struct culver_value *v = &c->top.v[O_SASL];
	struct cf_section *s;

	for (size_t i = 0; i < v->u.list.n && !c->top.bad[O_SASL]; i++)
		if (sasl_find(v->u.list.v[i].p, v->u.list.v[i].n) >=
		    SASL_USER)
			unknown_mech(&c->top, v->u.list.v[i].p);
	if (cf_is_good(&c->top, O_SASL) && v->u.list.n == 0)
		cf_blame(&c->top, O_SASL, "the list is empty: nobody could "
		    "log in");
	for (s = c->auth; s != NULL; s = s->next) {
		v = &s->v[O_CREDENTIALS];
		for (size_t i = 0; i < v->u.list.n && !s->bad[O_CREDENTIALS];
		    i++)
			if (sasl_has_find(v->u.list.v[i].p) == 0)
				cf_blame(s, O_CREDENTIALS, "\"%.40s\" is not "
				    "one of PLAIN, SCRAM-SHA-1, "
				    "SCRAM-SHA-256", v->u.list.v[i].p);
	}
}

/* What the users of S have, as the administrator says. */
static unsigned
has_of(const struct cf_section *s)
{
	const struct culver_value *v = &s->v[O_CREDENTIALS];
	unsigned has = 0;

	for (size_t i = 0; i < v->u.list.n; i++)
		has |= sasl_has_find(v->u.list.v[i].p);
	return has;
}

/* Can S serve mechanism M, and is it known that its users can use it? */
static _Bool
section_serves(const struct cf_section *s, const struct sasl_mech *m,
    _Bool *known)
{
	uint64_t cap = m->flags & SASL_F_SECRET ? CULVER_AU_CREDS :
	    m->flags & SASL_F_TOKEN ? CULVER_AU_TOKEN :
	    m->flags & SASL_F_CERT ? CULVER_AU_EXTERNAL : CULVER_AU_VERIFY;

	*known = (m->flags & SASL_F_SECRET) == 0 ||
	    (has_of(s) & m->has) != 0;
	return (cf_auth_caps(s) & cap) != 0 && s->v[O_MASTERS].u.i == 0;
}

void
cf_mechs(const struct cf_config *c, uint32_t *mechs, uint32_t *announced)
{
	const uint32_t plain = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN);
	uint32_t want = wanted(&c->top);
	_Bool known;

	if ((want & plain) != 0)
		want |= SASL_BIT(SASL_USER);
	*mechs = *announced = 0;
	for (const struct cf_section *s = c->auth; s != NULL; s = s->next)
		for (unsigned i = 0; i < SASL_MECHS; i++) {
			if ((want & SASL_BIT(i)) == 0 ||
			    ((sasl_mechs[i].flags & SASL_F_CERT) != 0 &&
			    c->tls.set[O_CLIENT_CA] == NULL) ||
			    !section_serves(s, &sasl_mechs[i], &known))
				continue;
			*mechs |= SASL_BIT(i);
			if (known)
				*announced |= SASL_BIT(i);
		}
}

/* Who names a mechanism expects it to be there. */
void
cf_check_mechs(struct cf_config *c)
{
	uint32_t mechs, announced, want = wanted(&c->top);
	const struct cf_section *s;

	for (s = c->auth; s != NULL; s = s->next)
		if (s->plugin == NULL)
			return;		/* its plugin was blamed */
	cf_mechs(c, &mechs, &announced);
	for (s = c->auth; s != NULL; s = s->next)
		if (has_of(s) != 0 && (cf_auth_caps(s) & CULVER_AU_CREDS) == 0)
			cf_blame((struct cf_section *)(uintptr_t)s,
			    O_CREDENTIALS, "the plugin %s cannot look them "
			    "up: remove this line", s->plugin->desc.name);
	for (unsigned i = 0; i < SASL_USER && cf_is_good(&c->top, O_SASL);
	    i++) {
		const char *name = sasl_mechs[i].name;

		if ((want & SASL_BIT(i)) == 0)
			continue;
		if ((mechs & SASL_BIT(i)) == 0)
			cf_blame(&c->top, O_SASL, i == SASL_EXTERNAL &&
			    c->tls.set[O_CLIENT_CA] == NULL ? "nobody vouches "
			    "for clients' certificates, which %s needs: set "
			    "client_ca in tls" : "no auth section can serve "
			    "%s: remove it", name);
		else if ((announced & SASL_BIT(i)) == 0)
			diag_warning(c->top.set[O_SASL]->at, "sasl", "%s is "
			    "not announced, because no auth section says that "
			    "its users have what it needs: add `credentials = "
			    "{%s}' there", name, i == SASL_CRAM_MD5 ||
			    i == SASL_APOP ? "PLAIN" :
			    sasl_mechs[i].has & SASL_HAS_SHA_256 ?
			    "SCRAM-SHA-256" : "SCRAM-SHA-1");
	}
}
