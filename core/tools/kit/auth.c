/*
 * auth.c - group auth: who is let in, and what the plugin says of whom.
 *
 * Runs in a check.  The right password is the command line's; all others are
 * made from it.  A client chooses name and password, so neither may make the
 * plugin fail: a failure tells the administrator of one that is not there.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/tools/kit/auth.h"
#include "core/tools/kit/door.h"
#include "core/tools/kit/scram.h"

enum { TIMES = 15 };
#define TIMES_MAX (10 * NS_PER_S)	/* for all of them */

static void
must_let_in(struct door *d, const struct phrase *right, const char *when)
{
	culver_status st = door_verify(d, d->b.k->user, right);

	if (st != CULVER_OK)
		kit_fail("the right password%s: returned %d %s", when, (int)st,
		    d->b.err.text);
}

static void
must_refuse(struct door *d, const char *user, const struct phrase *p,
    const char *what)
{
	bool known = strcmp(user, d->b.k->user) == 0;
	culver_status st = door_verify(d, user, p);

	if (st == CULVER_OK)
		kit_fail("%s: it is let in", what);
	if (known ? st == CULVER_E_AUTH || st == CULVER_E_DELAY ||
	    st == CULVER_E_DISABLED : st == CULVER_E_AUTH ||
	    st == CULVER_E_NOUSER || st == CULVER_E_DECLINE)
		return;
	kit_fail("%s: returned %d %s, wanted CULVER_E_AUTH%s", what, (int)st,
	    d->b.err.text, known ? "" : " or CULVER_E_NOUSER");
}

/* --- passwords ------------------------------------------------------------ */

static void
wrong_from(struct door *d, const struct phrase *right)
{
	const char *user = d->b.k->user;
	struct phrase p = *right;

	p.masked[0] ^= 1;
	must_refuse(d, user, &p, "the right password with another first "
	    "octet");
	p = *right;
	p.masked[p.n - 1] ^= 1;
	must_refuse(d, user, &p, "the right password with another last octet");
	p = *right;
	p.n--;
	must_refuse(d, user, &p, "the right password without its last octet");
	p = *right;
	phrase_add(&p, "x", 1);
	must_refuse(d, user, &p, "the right password and an x");
	p = *right;
	phrase_add(&p, "\0", 1);
	must_refuse(d, user, &p, "the right password and a NUL");
	phrase_add(&p, "and more", 8);
	must_refuse(d, user, &p, "the right password, a NUL and more");
}

static void
wrong_others(struct door *d)
{
	static const struct {
		const char *what, *text;
		size_t n;
	} list[] = {
		{ "a NUL as password", "\0", 1 },
		{ "a space as password", " ", 1 },
		{ "8-bit octets as password", "\x80\xff\xfe\xc3(\xa0", 6 },
		{ "UTF-8 as password", "p\xc3\xa4ssw\xc3\xb6rd", 10 },
		{ "control octets as password", "\r\n\t\x1b[2J\x7f", 8 },
		{ "quotes as password", "' OR '1'='1' -- \\\"%s%n{}$(id)", 29 },
	};
	static const size_t lengths[] = { 72, 73, 255, 256, 511, 512, 513,
	    1024, DOOR_LONG };
	const char *user = d->b.k->user;
	uint64_t rng = d->b.k->seed;
	struct phrase p = { .n = 0 };
	char what[64];
	size_t i;

	must_refuse(d, user, &p, "an empty password");
	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		p.n = 0;
		phrase_add(&p, list[i].text, list[i].n);
		must_refuse(d, user, &p, list[i].what);
	}
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		phrase_random(&p, &rng, lengths[i]);
		snprintf(what, sizeof(what), "a password of %zu octets",
		    lengths[i]);
		must_refuse(d, user, &p, what);
	}
}

/* What takes long is put off whether the password is right or not; else all is
 * as ever. */
static void
quick(struct door *d, const struct phrase *right)
{
	struct phrase wrong = *right;
	culver_status st;

	if ((d->caps & CULVER_AU_QUICK) == 0)
		return;
	wrong.masked[0] ^= 1;
	d->flags = CULVER_RQ_QUICK;
	st = door_verify(d, d->b.k->user, right);
	if (st != CULVER_E_UNSUPPORTED && st != CULVER_OK)
		kit_fail("the right password, quickly: returned %d %s",
		    (int)st, d->b.err.text);
	if (st == CULVER_OK)
		must_refuse(d, d->b.k->user, &wrong, "a wrong one, quickly");
	else if (door_verify(d, d->b.k->user, &wrong) != st)
		kit_fail("CULVER_RQ_QUICK tells that a password is wrong");
	d->flags = 0;
}

static void
passwords(struct kit *k)
{
	struct phrase right;
	struct door d;

	door_fixture(k, CULVER_AU_VERIFY, &right);
	door_start(&d, k);
	must_let_in(&d, &right, "");
	wrong_from(&d, &right);
	wrong_others(&d);
	quick(&d, &right);
	must_let_in(&d, &right, " after wrong ones");
	door_stop(&d);
}

/* Names that are not the user's, however like it they are. */
static unsigned
strange_names(const struct kit *k, char name[][256])
{
	static const char *const list[] = { "", "*", "%", "' OR '1'='1",
	    "' OR 1=1 -- ", "x' UNION SELECT 1 -- ", "\\", "\"", "a:b", ":",
	    "$(id)", "`id`", "%s%n%s", "{user}", "%{user}", "root:x:0:0",
	    "\xc3\xa4\xc3\xb6\xc3\xbc", "\xff\xfe\x80", "*)(uid=*", "a b",
	    "#comment", "~root", "+", "-", "@", "@example.org" };
	size_t len = strlen(k->user), i;
	unsigned n = 0;

	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		snprintf(name[n++], 256, "%s", list[i]);
	memset(name[n], 'x', 255);
	name[n++][255] = '\0';
	snprintf(name[n++], 256, "%.250s*", k->user);
	snprintf(name[n++], 256, "%.250s%%", k->user);
	snprintf(name[n++], 256, "%.250s:", k->user);
	snprintf(name[n++], 256, "%.250sx", k->user);
	snprintf(name[n++], 256, "x%.250s", k->user);
	if (len > 1) {
		snprintf(name[n++], 256, "%.*s", (int)len - 1, k->user);
		snprintf(name[n++], 256, "%.*s_", (int)len - 1, k->user);
		snprintf(name[n++], 256, "%.*s?", (int)len - 1, k->user);
		snprintf(name[n++], 256, "%.*s%%", (int)len - 1, k->user);
	}
	return n;
}

static void
nobodies(struct kit *k)
{
	static char name[64][256];
	struct culver_user u;
	struct phrase right;
	char what[400];
	unsigned n, i;
	struct door d;

	door_fixture(k, 0, &right);
	door_start(&d, k);
	n = strange_names(k, name);
	door_nobody(k, name[n++]);
	for (i = 0; i < n; i++) {
		snprintf(what, sizeof(what), "the right password for the user "
		    "\"%.255s\"", name[i]);
		if ((d.caps & CULVER_AU_VERIFY) != 0)
			must_refuse(&d, name[i], &right, what);
		if ((d.caps & CULVER_AU_USER) != 0 &&
		    !door_refuses(door_user(&d, name[i], &u)))
			kit_fail("lookup_user of \"%s\": it is somebody, or "
			    "the plugin failed: %s", name[i], d.b.err.text);
	}
	if ((d.caps & CULVER_AU_VERIFY) != 0)
		must_let_in(&d, &right, " after unknown users");
	door_stop(&d);
}

/* --- time ----------------------------------------------------------------- */

/* The least of some times, which a busy machine changes least: numbers, and a
 * failure only if a baseline makes one of them. */
static void
same_time(struct kit *k)
{
	uint64_t wrong = UINT64_MAX, unknown = UINT64_MAX;
	uint64_t from, took, start = clock_now(), rng = k->seed;
	struct phrase p;
	char nobody[256];
	struct door d;
	unsigned n;

	door_fixture(k, CULVER_AU_VERIFY, &p);
	phrase_random(&p, &rng, 12);
	door_nobody(k, nobody);
	door_start(&d, k);
	door_verify(&d, k->user, &p);
	door_verify(&d, nobody, &p);
	for (n = 0; n < TIMES && clock_now() - start < TIMES_MAX; n++) {
		from = clock_now();
		door_verify(&d, k->user, &p);
		took = clock_now() - from;
		wrong = took < wrong ? took : wrong;
		from = clock_now();
		door_verify(&d, nobody, &p);
		took = clock_now() - from;
		unknown = took < unknown ? took : unknown;
	}
	if (n > 0) {
		kit_number(k, "auth_wrong_ms", (double)wrong / 1e6);
		kit_number(k, "auth_unknown_ms", (double)unknown / 1e6);
		kit_number(k, "auth_time_ratio", wrong > unknown ?
		    (double)wrong / (double)unknown :
		    (double)unknown / (double)wrong);
	}
	door_stop(&d);
}

/* --- lookups -------------------------------------------------------------- */

static bool
equals(const struct phrase *p, const struct culver_str *s)
{
	size_t i;

	for (i = 0; i < p->n && i < s->n; i++)
		if ((unsigned char)s->p[i] != (p->masked[i] ^ DOOR_MASK))
			return false;
	return p->n == s->n;
}

static void
check_scram(const struct phrase *right, const struct culver_cred *c)
{
	bool sha256 = c->form == CULVER_CRED_SCRAM_SHA256;
	unsigned char stored[SCRAM_KEY], server[SCRAM_KEY], text[DOOR_LONG];
	const char *name = sha256 ? "SCRAM-SHA-256" : "SCRAM-SHA-1";
	size_t i, n;

	if (c->salt.n == 0 || c->iterations == 0)
		kit_fail("%s: no salt or no iterations", name);
	if (c->iterations < 4096)
		kit_note("%s: %u iterations; RFC 5802 wants 4096 or more",
		    name, c->iterations);
	for (i = 0; i < right->n; i++)
		text[i] = right->masked[i] ^ DOOR_MASK;
	n = scram_keys(sha256, text, right->n, c->salt.p, c->salt.n,
	    c->iterations, stored, server);
	explicit_bzero(text, sizeof(text));
	if (n == 0)
		kit_fail("%s: keys cannot be made with %u iterations", name,
		    c->iterations);
	if (c->stored_key.n != n || c->server_key.n != n)
		kit_fail("%s: keys of %zu and %zu octets, wanted %zu", name,
		    c->stored_key.n, c->server_key.n, n);
	if (memcmp(c->stored_key.p, stored, n) != 0)
		kit_fail("%s: the stored key is not that of the password",
		    name);
	if (memcmp(c->server_key.p, server, n) != 0)
		kit_fail("%s: the server key is not that of the password",
		    name);
}

static void
check_form(const struct phrase *right, const struct culver_cred *c)
{
	switch (c->form) {
	case CULVER_CRED_HASH:
		if (c->secret.n < 3 || c->secret.p[0] != '{' ||
		    memchr(c->secret.p, '}', c->secret.n) == NULL)
			kit_fail("the hash does not begin with {SCHEME}");
		break;
	case CULVER_CRED_PLAIN:
		if (!equals(right, &c->secret))
			kit_fail("the plain secret is not the password");
		break;
	default:
		check_scram(right, c);
	}
}

static void
stored(struct kit *k)
{
	static const char *const name[] = { [CULVER_CRED_HASH] = "hash",
	    [CULVER_CRED_PLAIN] = "plain",
	    [CULVER_CRED_SCRAM_SHA1] = "SCRAM-SHA-1",
	    [CULVER_CRED_SCRAM_SHA256] = "SCRAM-SHA-256" };
	struct culver_cred c;
	struct phrase right;
	char nobody[256];
	bool declines = false;	/* as configured it has none */
	struct door d;
	uint32_t form;
	culver_status st;

	door_fixture(k, CULVER_AU_CREDS, &right);
	door_nobody(k, nobody);
	door_start(&d, k);
	for (form = CULVER_CRED_HASH; form <= CULVER_CRED_SCRAM_SHA256;
	    form++) {
		st = door_creds(&d, k->user, form, &c);
		if (st == CULVER_OK)
			check_form(&right, &c);
		else if (st == CULVER_E_DECLINE)
			declines = true;
		else if (st != CULVER_E_UNSUPPORTED)
			kit_fail("lookup_creds, form %s: returned %d %s",
			    name[form], (int)st, d.b.err.text);
		kit_note("%s: %s", name[form], st == CULVER_OK ? "given" :
		    declines ? "declined" : "not supported");
		st = door_creds(&d, nobody, form, &c);
		if (!door_refuses(st) && st != CULVER_E_UNSUPPORTED)
			kit_fail("lookup_creds of an unknown user: returned "
			    "%d", (int)st);
	}
	st = door_creds(&d, k->user, 99, &c);
	if (st != CULVER_E_UNSUPPORTED && !declines)
		kit_fail("lookup_creds of a form of a later minor: returned "
		    "%d, wanted CULVER_E_UNSUPPORTED", (int)st);
	door_stop(&d);
}

static void
place(struct kit *k)
{
	struct culver_user u;
	struct phrase right;
	struct door d;
	culver_status st;

	door_fixture(k, CULVER_AU_USER, &right);
	door_start(&d, k);
	st = door_user(&d, k->user, &u);
	if (st == CULVER_E_DECLINE)
		kit_note("declined: %s", d.b.err.text);
	else if (st != CULVER_OK)
		kit_fail("lookup_user: returned %d %s", (int)st,
		    d.b.err.text);
	else
		kit_note("user %s, uid %u, gid %u, home %s", u.name != NULL ?
		    u.name : k->user, u.uid, u.gid, u.home != NULL ? u.home :
		    "none");
	door_stop(&d);
}

const struct kit_check kit_auth[] = {
	{ "auth", "the right password, and wrong ones", passwords, 600, 0 },
	{ "auth", "users whom nobody knows", nobodies, 600, 0 },
	{ "auth", "an unknown user takes as long as a wrong password",
	    same_time, 120, 0 },
	{ "auth", "stored secrets", stored, 60, 0 },
	{ "auth", "the user's ids and home", place, 60, 0 },
	{ "auth", "no copy of a password stays behind", auth_secrets, 120,
	    0 },
	{ .group = NULL },
};
