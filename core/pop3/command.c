/*
 * command.c - see command.h.  Runs in gate and worker on lines from the
 * network.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "core/pop3/command.h"

enum grammar {
	NOTHING,	/* no argument */
	ONE_NUMBER,
	MAYBE_NUMBER,
	TWO_NUMBERS,
	NAME,		/* all behind the space, spaces inside included */
	SECRET,		/* all behind the space, every octet counts */
	MAYBE_WORDS	/* up to two words */
};

#define BOTH (POP3_AUTHORIZATION | POP3_TRANSACTION)

static const struct verb {
	const char name[5];
	unsigned char states;	/* none: known, but not offered */
	unsigned char grammar;
} verbs[POP3_N_VERBS] = {
	[POP3_QUIT] = { "QUIT", BOTH, NOTHING },
	[POP3_CAPA] = { "CAPA", BOTH, NOTHING },
	[POP3_USER] = { "USER", POP3_AUTHORIZATION, NAME },
	[POP3_PASS] = { "PASS", POP3_AUTHORIZATION, SECRET },
	[POP3_AUTH] = { "AUTH", POP3_AUTHORIZATION, MAYBE_WORDS },
	[POP3_STLS] = { "STLS", POP3_AUTHORIZATION, NOTHING },
	[POP3_STAT] = { "STAT", POP3_TRANSACTION, NOTHING },
	[POP3_LIST] = { "LIST", POP3_TRANSACTION, MAYBE_NUMBER },
	[POP3_RETR] = { "RETR", POP3_TRANSACTION, ONE_NUMBER },
	[POP3_DELE] = { "DELE", POP3_TRANSACTION, ONE_NUMBER },
	[POP3_NOOP] = { "NOOP", POP3_TRANSACTION, NOTHING },
	[POP3_RSET] = { "RSET", POP3_TRANSACTION, NOTHING },
	[POP3_TOP] = { "TOP", POP3_TRANSACTION, TWO_NUMBERS },
	[POP3_UIDL] = { "UIDL", POP3_TRANSACTION, MAYBE_NUMBER },
	[POP3_APOP] = { "APOP", POP3_AUTHORIZATION, NAME },
	[POP3_UTF8] = { "UTF8", 0, NOTHING },
	[POP3_LANG] = { "LANG", 0, NOTHING },
};

static enum pop3_verb
find_verb(const uint8_t *p, size_t n)
{
	unsigned i;

	for (i = 0; i < POP3_N_VERBS; i++)
		if (strlen(verbs[i].name) == n &&
		    strncasecmp(verbs[i].name, (const char *)p, n) == 0)
			break;
	return (enum pop3_verb)i;
}

/* Decimal digits only; what does not fit is UINT64_MAX. */
static bool
get_number(const struct pop3_arg *arg, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	for (i = 0; i < arg->n; i++) {
		unsigned digit = (unsigned)arg->p[i] - '0';

		if (digit > 9)
			return false;
		if (v > (UINT64_MAX - digit) / 10)
			v = UINT64_MAX;
		else
			v = v * 10 + digit;
	}
	*out = v;
	return arg->n > 0;
}

/* Cut [P, P+N) at single spaces into at most two words; false if there are
 * more, or an empty one. */
static bool
get_words(const uint8_t *p, size_t n, struct pop3_command *out)
{
	while (n > 0 && p[n - 1] == ' ')
		n--;
	while (n > 0) {
		const uint8_t *sp = memchr(p, ' ', n);
		size_t len = sp != NULL ? (size_t)(sp - p) : n;

		if (len == 0 || out->n_args == 2)
			return false;
		out->arg[out->n_args++] = (struct pop3_arg){ p, len };
		if (sp == NULL)
			break;
		p += len + 1;
		n -= len + 1;
	}
	return true;
}

static enum pop3_parsed
get_whole(const uint8_t *p, size_t n, bool secret, struct pop3_command *out)
{
	if (!secret) {
		while (n > 0 && p[n - 1] == ' ')
			n--;
		if (n > 0 && p[0] == ' ')
			return POP3_SYNTAX;
	}
	if (n == 0)
		return POP3_SYNTAX;
	out->arg[out->n_args++] = (struct pop3_arg){ p, n };
	return POP3_PARSED;
}

static enum pop3_parsed
get_args(unsigned grammar, const uint8_t *p, size_t n,
    struct pop3_command *out)
{
	static const struct { unsigned char least, most; } counts[] = {
		[NOTHING] = { 0, 0 }, [ONE_NUMBER] = { 1, 1 },
		[MAYBE_NUMBER] = { 0, 1 }, [TWO_NUMBERS] = { 2, 2 },
		[MAYBE_WORDS] = { 0, 2 },
	};
	unsigned i;

	if (grammar == NAME || grammar == SECRET)
		return get_whole(p, n, grammar == SECRET, out);
	if (!get_words(p, n, out) || out->n_args < counts[grammar].least ||
	    out->n_args > counts[grammar].most)
		return POP3_SYNTAX;
	if (grammar == MAYBE_WORDS)
		return POP3_PARSED;
	for (i = 0; i < out->n_args; i++)
		if (!get_number(&out->arg[i], &out->number[i]))
			return POP3_NUMBER;
	return POP3_PARSED;
}

enum pop3_parsed
pop3_parse(const uint8_t *line, size_t n, enum pop3_state state,
    struct pop3_command *out)
{
	const uint8_t *sp;
	const struct verb *v;
	size_t len;

	*out = (struct pop3_command){ .verb = POP3_N_VERBS };
	if (n == 0)
		return POP3_UNKNOWN;
	sp = memchr(line, ' ', n);
	len = sp != NULL ? (size_t)(sp - line) : n;
	out->verb = find_verb(line, len);
	if (memchr(line, '\0', n) != NULL || memchr(line, '\r', n) != NULL)
		return POP3_OCTET;
	if (out->verb == POP3_N_VERBS)
		return POP3_UNKNOWN;
	v = &verbs[out->verb];
	if (v->states == 0)
		return POP3_NOT_OFFERED;
	if ((v->states & state) == 0)
		return POP3_WRONG_STATE;
	if (sp == NULL)
		len--;		/* nothing behind the keyword */
	return get_args(v->grammar, line + len + 1, n - len - 1, out);
}

const char *
pop3_verb_name(enum pop3_verb verb)
{
	return (unsigned)verb < POP3_N_VERBS ? verbs[verb].name : "?";
}
