/*
 * check-private.h - what check.c and its parts share.
 *
 * Runs in the config role.
 */
#ifndef CONFIG_CHECK_PRIVATE_H
#define CONFIG_CHECK_PRIVATE_H

#include "core/config/conf.h"
#include "core/config/load.h"

/* Is O set, and to something that could be converted? */
static inline _Bool
cf_is_good(const struct cf_section *s, enum cf_opt o)
{
	return s->set[o] != NULL && !s->bad[o];
}

/* Does section listen S speak LMTP? */
static inline _Bool
cf_is_lmtp(const struct cf_section *s)
{
	return !s->bad[O_PROTOCOL] &&
	    s->v[O_PROTOCOL].u.i == CONF_SPEAKS_LMTP;
}

/* Does it answer with metrics? */
static inline _Bool
cf_is_metrics(const struct cf_section *s)
{
	return !s->bad[O_PROTOCOL] &&
	    s->v[O_PROTOCOL].u.i == CONF_SPEAKS_METRICS;
}

/* Is S what a host can be called? */
_Bool cf_hostname_ok(const char *s);

/* Report what is wrong with sections tls and host; they are converted. */
void cf_check_tls(struct cf_config *c);

/* Without a section listen, those for metrics apart: make pop3, and pop3s if
 * there is a certificate.  With one for LMTP: add culver-deliver's. */
void cf_default_listen(struct cf_config *c);

/* Fill in default addresses and report what is wrong with the listeners;
 * their options are converted, and TLS is checked. */
void cf_check_listeners(struct cf_config *c, const struct cf_env *env);

/* Report what is wrong with the chain of auth sections; plugins are loaded. */
void cf_check_chain(struct cf_config *c);

/* Report names that `sasl' and `credentials' do not know; and, when plugins
 * are loaded, mechanisms that nobody could serve. */
void cf_check_sasl(struct cf_config *c);
void cf_check_mechs(struct cf_config *c);

#endif /* CONFIG_CHECK_PRIVATE_H */
