/*
 * command.c - the grammar of LMTP commands; see proto.h.
 *
 * Runs in lmtp, on what a client sent.  Nothing here is lenient but for case,
 * spaces at the end, and addresses without a domain.
 */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "core/lmtp/proto.h"

struct cursor {
	const uint8_t *p;
	size_t n;
};

static const struct {
	const char *word;
	enum lmtp_verb verb;
} verbs[] = {
	{"LHLO", LMTP_LHLO}, {"MAIL", LMTP_MAIL}, {"RCPT", LMTP_RCPT},
	{"DATA", LMTP_DATA}, {"BDAT", LMTP_BDAT}, {"RSET", LMTP_RSET},
	{"NOOP", LMTP_NOOP}, {"QUIT", LMTP_QUIT}, {"VRFY", LMTP_VRFY},
	{"HELO", LMTP_HELO}, {"EHLO", LMTP_EHLO},
};

size_t
lmtp_line_end(const uint8_t *buf, size_t n, size_t *len)
{
	const uint8_t *lf = memchr(buf, '\n', n);

	if (lf == NULL)
		return 0;
	*len = (size_t)(lf - buf);
	if (*len > 0 && buf[*len - 1] == '\r')
		(*len)--;
	return (size_t)(lf - buf) + 1;
}

static void
skip(struct cursor *c, size_t n)
{
	c->p += n;
	c->n -= n;
}

/* Take WORD, in any case, off the front. */
static _Bool
take(struct cursor *c, const char *word)
{
	size_t n = strlen(word);

	if (c->n < n || strncasecmp((const char *)c->p, word, n) != 0)
		return 0;
	skip(c, n);
	return 1;
}

static _Bool
number(struct cursor *c, uint64_t *out)
{
	size_t i = 0;

	for (*out = 0; i < c->n && c->p[i] >= '0' && c->p[i] <= '9'; i++) {
		if (*out > (UINT64_MAX - 9) / 10)
			return 0;
		*out = *out * 10 + (uint64_t)(c->p[i] - '0');
	}
	skip(c, i);
	return i > 0 && i <= 20;
}

/* --- paths ---------------------------------------------------------------- */

/* One octet of UTF-8 beyond ASCII, an atom's or a domain's. */
static _Bool
is_atom(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c >= 0x80 ||
	    (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL);
}

static _Bool
is_domain(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c >= 0x80 || c == '-' || c == '.' ||
	    c == '_';
}

static _Bool
put(struct lmtp_addr *a, size_t *n, uint8_t c)
{
	if (*n >= LMTP_PATH_MAX)
		return 0;
	a->name[(*n)++] = (char)c;
	a->utf8 |= c >= 0x80;
	return 1;
}

/* "local" or "quoted local"; C is behind it then. */
static _Bool
local_part(struct cursor *c, struct lmtp_addr *a, size_t *n)
{
	const uint8_t *begin = c->p;

	if (c->n == 0 || c->p[0] != '"') {
		while (c->n > 0 && is_atom(c->p[0])) {
			if (!put(a, n, c->p[0]))
				return 0;
			skip(c, 1);
		}
		return c->p > begin;
	}
	for (skip(c, 1); c->n > 0 && c->p[0] != '"'; skip(c, 1)) {
		if (c->p[0] == '\\' && c->n > 1)
			skip(c, 1);
		if (c->p[0] < 0x20 || c->p[0] == 0x7f || !put(a, n, c->p[0]))
			return 0;
	}
	if (c->n == 0 || *n == 0)
		return 0;
	skip(c, 1);
	return 1;
}

static _Bool
domain(struct cursor *c, struct lmtp_addr *a, size_t *n)
{
	const uint8_t *begin = c->p;
	_Bool literal = c->n > 0 && c->p[0] == '[', closed = 0;

	while (c->n > 0 && !closed && (literal ? c->p[0] > 0x20 &&
	    c->p[0] < 0x7f && c->p[0] != '>' : is_domain(c->p[0]))) {
		closed = literal && c->p[0] == ']';
		if (!put(a, n, c->p[0]))
			return 0;
		skip(c, 1);
	}
	return c->p > begin && closed == literal;
}

/* "@one,@two:", which nobody uses any more (RFC 5321 F.2). */
static _Bool
route_skip(struct cursor *c)
{
	const uint8_t *colon;

	if (c->n == 0 || c->p[0] != '@')
		return 1;
	colon = memchr(c->p, ':', c->n);
	for (const uint8_t *p = c->p; colon != NULL && p < colon; p++)
		if (!is_domain(*p) && *p != '@' && *p != ',')
			return 0;
	if (colon != NULL)
		skip(c, (size_t)(colon - c->p) + 1);
	return colon != NULL;
}

size_t
lmtp_path(const uint8_t *p, size_t len, struct lmtp_addr *a)
{
	struct cursor c = {p, len};
	const uint8_t *raw;
	size_t n = 0;

	memset(a, 0, sizeof(*a));
	if (!take(&c, "<"))
		return 0;
	if (take(&c, ">"))
		return 2;
	if (!route_skip(&c))
		return 0;
	raw = c.p;
	if (!local_part(&c, a, &n))
		return 0;
	a->local_n = (uint16_t)n;
	if (c.n > 0 && c.p[0] == '@') {
		skip(&c, 1);
		if (!put(a, &n, '@') || !domain(&c, a, &n))
			return 0;
	}
	n = (size_t)(c.p - raw);
	if (!take(&c, ">") || n > LMTP_PATH_MAX)
		return 0;
	memcpy(a->raw, raw, n);
	return (size_t)(c.p - p);
}

/* --- arguments ------------------------------------------------------------ */

/* One parameter of MAIL. */
static enum lmtp_wrong
parameter(struct cursor *c, struct lmtp_command *out)
{
	if (take(c, "SIZE=")) {
		out->has_size = 1;
		if (!number(c, &out->size))
			return LMTP_SYNTAX;
	} else if (take(c, "BODY=8BITMIME")) {
		out->eight_bit = 1;
	} else if (take(c, "SMTPUTF8")) {
		out->smtputf8 = 1;
	} else if (!take(c, "BODY=7BIT")) {
		return LMTP_PARAMETER;
	}
	return c->n == 0 || c->p[0] == ' ' ? LMTP_RIGHT : LMTP_PARAMETER;
}

static enum lmtp_wrong
path_command(struct cursor *c, const char *word, struct lmtp_command *out)
{
	enum lmtp_wrong wrong = LMTP_RIGHT;
	size_t used;

	if (!take(c, word))
		return LMTP_SYNTAX;
	while (c->n > 0 && c->p[0] == ' ')	/* not in RFC 5321; common */
		skip(c, 1);
	used = lmtp_path(c->p, c->n, &out->addr);
	if (used == 0 || (out->verb == LMTP_RCPT && out->addr.raw[0] == 0))
		return LMTP_ADDRESS;
	skip(c, used);
	while (c->n > 0 && wrong == LMTP_RIGHT) {
		if (c->p[0] != ' ')
			return LMTP_ADDRESS;
		skip(c, 1);
		if (c->n > 0 && c->p[0] != ' ')
			wrong = out->verb == LMTP_MAIL ? parameter(c, out) :
			    LMTP_PARAMETER;
	}
	return wrong;
}

static enum lmtp_wrong
bdat(struct cursor *c, struct lmtp_command *out)
{
	if (!take(c, " ") || !number(c, &out->size))
		return LMTP_SYNTAX;
	if (take(c, " LAST"))
		out->last = 1;
	return c->n == 0 ? LMTP_RIGHT : LMTP_SYNTAX;
}

static enum lmtp_wrong
lhlo(struct cursor *c, struct lmtp_command *out)
{
	if (!take(c, " ") || c->n == 0)
		return LMTP_SYNTAX;
	out->text = (const char *)c->p;
	out->text_n = c->n;
	return LMTP_RIGHT;
}

enum lmtp_wrong
lmtp_parse(const uint8_t *line, size_t n, struct lmtp_command *out)
{
	struct cursor c = {line, n};

	memset(out, 0, sizeof(*out));
	out->verb = LMTP_UNKNOWN;
	for (size_t i = 0; i < n; i++)
		if (line[i] < 0x20 || line[i] == 0x7f)
			return LMTP_SYNTAX;
	while (c.n > 0 && c.p[c.n - 1] == ' ')
		c.n--;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (take(&c, verbs[i].word)) {
			if (c.n == 0 || c.p[0] == ' ')
				out->verb = verbs[i].verb;
			break;
		}
	switch (out->verb) {
	case LMTP_LHLO:
		return lhlo(&c, out);
	case LMTP_MAIL:
		return path_command(&c, " FROM:", out);
	case LMTP_RCPT:
		return path_command(&c, " TO:", out);
	case LMTP_BDAT:
		return bdat(&c, out);
	case LMTP_DATA:
	case LMTP_RSET:
	case LMTP_QUIT:
		return c.n == 0 ? LMTP_RIGHT : LMTP_SYNTAX;
	default:
		return LMTP_RIGHT;
	}
}
