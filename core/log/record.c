/*
 * record.c - see record.h.
 */
#include "config.h"

#include <string.h>

#include "core/log/record.h"

static const char *const events[] = {
	"login", "session-end", "session-note", "delivery",
	"auth-failed", "auth-refused", "auth-error",
	"connection-closed", "connection-refused", "limit", "login-refused",
	"tls-failed", "recipient-refused", "lmtp-refused", "feature-missing"
};

static const struct record_key keys[] = {
	{"user", RECORD_TEXT}, {"master", RECORD_TEXT},
	{"remote", RECORD_TEXT}, {"tls", RECORD_BOOL}, {"mech", RECORD_TEXT},
	{"session", RECORD_TEXT}, {"uid", RECORD_NUMBER},
	{"pid", RECORD_NUMBER}, {"retr", RECORD_NUMBER},
	{"octets", RECORD_NUMBER}, {"top", RECORD_NUMBER},
	{"deleted", RECORD_NUMBER}, {"left", RECORD_NUMBER},
	{"left-octets", RECORD_NUMBER}, {"duration-ms", RECORD_NUMBER},
	{"reason", RECORD_TEXT}, {"error", RECORD_TEXT},
	{"what", RECORD_TEXT}, {"not-logged", RECORD_NUMBER},
	{"recipient", RECORD_TEXT}, {"sender", RECORD_TEXT},
	{"feature", RECORD_TEXT}, {"needs", RECORD_TEXT},
	{"costs", RECORD_TEXT}
};

enum {
	N_EVENTS = sizeof(events) / sizeof(events[0]),
	N_KEYS = sizeof(keys) / sizeof(keys[0])
};

static const char *
event_find(const char *s, size_t n)
{
	for (unsigned i = 0; i < N_EVENTS; i++)
		if (strlen(events[i]) == n && memcmp(events[i], s, n) == 0)
			return events[i];
	return NULL;
}

static const struct record_key *
key_find(const char *s, size_t n)
{
	for (unsigned i = 0; i < N_KEYS; i++)
		if (strlen(keys[i].name) == n &&
		    memcmp(keys[i].name, s, n) == 0)
			return &keys[i];
	return NULL;
}

static int
hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	    c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value at S to OUT, without its quotes: what is behind it, or NULL. */
static const char *
value_read(const char *s, char *out, size_t *n)
{
	_Bool quoted = *s == '"';

	*n = 0;
	for (s += quoted; *s != 0 && *s != (quoted ? '"' : ' '); s++) {
		char c = *s;

		if (!quoted && (c == '"' || c == '\\' || c == '='))
			return NULL;
		if (c == '\\') {
			int high = s[1] == 'x' ? hex_digit(s[2]) : -1;
			int low = high >= 0 ? hex_digit(s[3]) : -1;

			if (low < 0)
				return NULL;
			c = (char)(high << 4 | low);
			s += 3;
		}
		out[(*n)++] = c;
	}
	out[*n] = 0;
	if (quoted)
		return *s == '"' ? s + 1 : NULL;
	return *n > 0 ? s : NULL;
}

/* As kv.c writes it, or as a switch has it. */
static _Bool
value_fits(const struct record_pair *p)
{
	const char *v = p->value;

	if (p->key->kind == RECORD_NUMBER)
		return p->n <= 20 && strspn(v, "0123456789") == p->n &&
		    p->n > 0 && (v[0] != '0' || p->n == 1);
	return p->key->kind != RECORD_BOOL || strcmp(v, "yes") == 0 ||
	    strcmp(v, "no") == 0;
}

/* " key=value" at S: what is behind it, or NULL. */
static const char *
pair_read(struct record *r, const char *s, char **room)
{
	struct record_pair *p = &r->pair[r->n];
	const char *eq = strchr(s, '=');

	if (*s++ != ' ' || eq == NULL || r->n == RECORD_PAIRS)
		return NULL;
	p->key = key_find(s, (size_t)(eq - s));
	if (p->key == NULL || record_value(r, p->key->name) != NULL)
		return NULL;
	p->value = *room;
	s = value_read(eq + 1, *room, &p->n);
	*room += p->n + 1;
	if (s == NULL || !value_fits(p))
		return NULL;
	r->n++;
	return s;
}

_Bool
record_parse(struct record *r, const char *line)
{
	const char *s = line + strcspn(line, " ");
	char *room = r->octets;

	r->n = 0;
	r->event = event_find(line, (size_t)(s - line));
	/* no value is longer than what it was made of, end included */
	if (r->event == NULL || *s == 0 || strlen(line) >= RECORD_OCTETS)
		return 0;
	while (s != NULL && *s != 0)
		s = pair_read(r, s, &room);
	return s != NULL;
}

const char *
record_value(const struct record *r, const char *key)
{
	for (unsigned i = 0; i < r->n; i++)
		if (strcmp(r->pair[i].key->name, key) == 0)
			return r->pair[i].value;
	return NULL;
}
