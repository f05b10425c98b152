/*
 * mechs.c - the table of mechanisms.  Runs in every role; needs libc only.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/sasl/mechs.h"

#define SCRAM (SASL_F_SECRET | SASL_F_SCRAM)

const struct sasl_mech sasl_mechs[SASL_MECHS] = {
	[SASL_PLAIN] = {"PLAIN", SASL_F_PASSWORD, 0},
	[SASL_LOGIN] = {"LOGIN", SASL_F_PASSWORD, 0},
	[SASL_SCRAM_SHA_256_PLUS] = {"SCRAM-SHA-256-PLUS",
	    SCRAM | SASL_F_BINDING, SASL_HAS_PLAIN | SASL_HAS_SHA_256},
	[SASL_SCRAM_SHA_256] = {"SCRAM-SHA-256", SCRAM,
	    SASL_HAS_PLAIN | SASL_HAS_SHA_256},
	[SASL_SCRAM_SHA_1_PLUS] = {"SCRAM-SHA-1-PLUS",
	    SCRAM | SASL_F_BINDING, SASL_HAS_PLAIN | SASL_HAS_SHA_1},
	[SASL_SCRAM_SHA_1] = {"SCRAM-SHA-1", SCRAM,
	    SASL_HAS_PLAIN | SASL_HAS_SHA_1},
	[SASL_CRAM_MD5] = {"CRAM-MD5", SASL_F_SECRET, SASL_HAS_PLAIN},
	[SASL_EXTERNAL] = {"EXTERNAL", SASL_F_CERT, 0},
	[SASL_OAUTHBEARER] = {"OAUTHBEARER", SASL_F_TOKEN, 0},
	[SASL_XOAUTH2] = {"XOAUTH2", SASL_F_TOKEN, 0},
	[SASL_APOP] = {"APOP", SASL_F_COMMAND | SASL_F_SECRET,
	    SASL_HAS_PLAIN},
	[SASL_USER] = {"USER", SASL_F_COMMAND | SASL_F_PASSWORD, 0},
};

enum sasl_id
sasl_find(const char *name, size_t n)
{
	unsigned i;

	for (i = 0; i < SASL_MECHS; i++)
		if (strlen(sasl_mechs[i].name) == n &&
		    strncasecmp(sasl_mechs[i].name, name, n) == 0)
			break;
	return (enum sasl_id)i;
}

unsigned
sasl_has_find(const char *name)
{
	static const char *const names[] = {"PLAIN", "SCRAM-SHA-1",
	    "SCRAM-SHA-256"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(name, names[i]) == 0)
			return 1u << i;
	return 0;
}

size_t
sasl_list(uint32_t mask, const char *sep, char out[SASL_LIST_MAX])
{
	size_t n = 0;

	out[0] = 0;
	for (unsigned i = 0; i < SASL_MECHS && n < SASL_LIST_MAX; i++)
		if ((mask & SASL_BIT(i)) != 0 &&
		    (sasl_mechs[i].flags & SASL_F_COMMAND) == 0)
			n += (size_t)snprintf(out + n, SASL_LIST_MAX - n,
			    "%s%s", n > 0 ? sep : "", sasl_mechs[i].name);
	return n < SASL_LIST_MAX ? n : SASL_LIST_MAX - 1;
}
