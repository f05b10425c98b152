/*
 * capa.c - see capa.h.  Runs in gate and worker.
 *
 * RFC 2449 5: "Capabilities available in the AUTHORIZATION state MUST be
 * announced in both states", so USER, SASL and STLS are told after login,
 * too.  STLS is not announced once TLS is active, because it is no longer
 * available then (RFC 2595 4).
 */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/pop3/capa.h"

struct out {
	char *buf;
	size_t cap, n;
};

static void __attribute__((format(printf, 2, 3)))
add(struct out *o, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(o->buf + o->n, o->cap - o->n, fmt, ap);
	va_end(ap);
	/* a line that does not fit whole is left out */
	if (n > 0 && (size_t)n < o->cap - o->n)
		o->n += (size_t)n;
}

size_t
pop3_capa(const struct pop3_capa *c, char *buf, size_t cap)
{
	struct out o = { .buf = buf, .cap = cap };

	add(&o, "+OK Capability list follows\r\n"
	    "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n");
	if (c->user)
		add(&o, "USER\r\n");
	if (c->sasl != NULL && c->sasl[0] != '\0')
		add(&o, "SASL %.400s\r\n", c->sasl);
	if (c->stls)
		add(&o, "STLS\r\n");
	if (c->expire_days == POP3_EXPIRE_NEVER)
		add(&o, "EXPIRE NEVER%s\r\n", c->expire_user ? " USER" : "");
	else if (c->expire_days != POP3_EXPIRE_NONE)
		add(&o, "EXPIRE %u%s\r\n", c->expire_days,
		    c->expire_user ? " USER" : "");
	if (c->login_delay > 0)
		add(&o, "LOGIN-DELAY %u\r\n", c->login_delay);
	add(&o, "IMPLEMENTATION Culver\r\n.\r\n");
	return o.n;
}
