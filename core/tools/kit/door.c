/*
 * door.c - calls of an auth plugin's table, with what each must keep; see
 * door.h.  Runs in a check, in the process that the plugin runs in.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/tools/kit/door.h"

enum { PATHS = 256 };

/* --- passwords ------------------------------------------------------------ */

void
phrase_add(struct phrase *p, const void *text, size_t n)
{
	const unsigned char *c = text;

	for (; n > 0 && p->n < sizeof(p->masked); n--)
		p->masked[p->n++] = *c++ ^ DOOR_MASK;
}

void
phrase_random(struct phrase *p, uint64_t *rng, size_t n)
{
	for (p->n = 0; p->n < n; p->n++)
		p->masked[p->n] = (unsigned char)('a' + kit_below(rng, 26)) ^
		    DOOR_MASK;
}

void
door_fixture(const struct kit *k, uint64_t caps, struct phrase *right)
{
	if ((caps & ~k->plugin.desc.caps) != 0)
		kit_skip("no %s", kit_caps(k, caps & ~k->plugin.desc.caps));
	if (k->user == NULL || k->n_secret == 0)
		kit_skip("no --user and --password-file");
	memcpy(right->masked, k->secret, k->n_secret);
	right->n = k->n_secret;
}

void
door_nobody(const struct kit *k, char name[256])
{
	const char *at = k->user != NULL ? strchr(k->user, '@') : NULL;

	snprintf(name, 256, "culverkit%llu%.200s",
	    (unsigned long long)k->seed % 1000000, at != NULL ? at : "");
}

/* --- around a call -------------------------------------------------------- */

bool
door_is_failure(culver_status st)
{
	return st == CULVER_E_TEMP || st == CULVER_E_PERM ||
	    (st <= CULVER_E_NOSPACE && st >= CULVER_E_NOMEM) ||
	    st == CULVER_E_STALE;
}

bool
door_refuses(culver_status st)
{
	return st <= CULVER_E_AUTH && st >= CULVER_E_DECLINE;
}

/* OTHER: a further status that this call has. */
static culver_status
end(struct door *d, culver_status st, culver_status other)
{
	if (box_hooks.after != NULL)
		box_hooks.after(&d->b, st);
	if (st != CULVER_OK && st != other && !door_is_failure(st) &&
	    !door_refuses(st))
		kit_fail("%s: returned %d, which is no status of this call",
		    d->b.doing, (int)st);
	if (door_is_failure(st))
		box_error(&d->b, st);
	return st;
}

/* The octets of TAIL behind a struct that the plugin knows no more of. */
static void
check_tail(const struct door *d, const unsigned char tail[BOX_TAIL])
{
	size_t i;

	for (i = 0; i < BOX_TAIL; i++)
		if (tail[i] != 0xA5)
			kit_fail("%s: wrote behind the struct that it was to "
			    "fill", d->b.doing);
}

static void
check_text(const struct door *d, const char *what, const char *s, size_t max)
{
	size_t n = s != NULL ? strnlen(s, max + 1) : 0, i;

	if (n > max)
		kit_fail("%s: %s has more than %zu octets", d->b.doing, what,
		    max);
	for (i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			kit_fail("%s: %s has a control octet", d->b.doing,
			    what);
}

/* --- create, destroy ------------------------------------------------------ */

static culver_status
get_paths(struct door *d)
{
	struct culver_path path[PATHS + 1];
	uint32_t cap = 1 + kit_below(&d->b.rng, 3), n, i;
	culver_status st;

	for (;;) {
		memset(path, 0xA5, sizeof(path));
		n = UINT32_MAX;
		st = end(d, d->ops->paths(d->au, path, cap, &n,
		    box_begin(&d->b, "paths")), CULVER_OK);
		if (st != CULVER_OK)
			return st;
		if (n > PATHS)
			kit_fail("paths: %u paths", n);
		for (i = 0; i < n && i < cap; i++)
			box_check_path(&path[i], "");
		if (((unsigned char *)&path[cap])[0] != 0xA5)
			kit_fail("paths: wrote behind the %u of CAP", cap);
		if (n <= cap)
			return st;
		cap = n;
	}
}

culver_status
door_create(struct door *d, struct kit *k)
{
	culver_status st;

	memset(d, 0, sizeof(*d));
	box_init(&d->b, k, k->seed);
	d->ops = &k->plugin.auth;
	d->caps = k->plugin.desc.caps;
	st = end(d, d->ops->create(&d->au, &d->b.host.h, &d->b.values->c,
	    box_begin(&d->b, "create")), CULVER_E_CONFIG);
	if (st != CULVER_OK) {
		d->au = NULL;
		return st;
	}
	if (d->au == NULL)
		kit_fail("create: OK, and nothing created");
	return get_paths(d);
}

void
door_start(struct door *d, struct kit *k)
{
	culver_status st = door_create(d, k);

	if (st != CULVER_OK)
		kit_fail("%s: returned %d: %s", d->b.doing, (int)st,
		    d->b.err.text);
}

void
door_stop(struct door *d)
{
	if (d->au != NULL) {
		box_begin(&d->b, "destroy");
		d->ops->destroy(d->au);
		if (box_hooks.after != NULL)
			box_hooks.after(&d->b, CULVER_OK);
	}
	d->au = NULL;
	box_stop(&d->b);
}

void
door_forget(struct door *d)
{
	arena_wipe(d->b.arena);
}

/* --- questions ------------------------------------------------------------ */

struct request {
	struct culver_auth_req r;
	unsigned char later[BOX_TAIL];
};

static const struct culver_auth_req *
request(const struct door *d, struct request *rq, const char *user)
{
	memset(rq, 0xA5, sizeof(*rq));
	rq->r = (struct culver_auth_req){ .size = sizeof(rq->r),
	    .flags = CULVER_RQ_LOOPBACK | d->flags, .user = user,
	    .service = "pop3", .remote = "127.0.0.1", .local = "127.0.0.1",
	    .session = "c0ffee" };
	if (d->b.newer)
		rq->r.size += BOX_TAIL;
	return &rq->r;
}

struct answer {
	struct culver_auth_ok ok;
	unsigned char later[BOX_TAIL];
};

static struct culver_auth_ok *
answer(const struct door *d, struct answer *a)
{
	memset(a, 0xA5, sizeof(*a));
	a->ok = (struct culver_auth_ok){ .size = sizeof(a->ok) };
	if (d->b.newer)
		a->ok.size += BOX_TAIL;
	return &a->ok;
}

static void
take_answer(struct door *d, const struct answer *a, culver_status st)
{
	check_tail(d, a->later);
	if (a->ok.size != sizeof(a->ok) + (d->b.newer ? BOX_TAIL : 0) ||
	    a->ok.reserved0 != 0 || a->ok.reserved1 != 0)
		kit_fail("%s: changed size or a reserved member of struct "
		    "culver_auth_ok", d->b.doing);
	d->ok = a->ok;
	if (st == CULVER_OK)
		check_text(d, "the canonical name", a->ok.user, 255);
}

culver_status
door_verify(struct door *d, const char *user, const struct phrase *p)
{
	unsigned char *text = malloc(p->n + 1);
	struct culver_str password = { (char *)text, p->n };
	struct request rq;
	struct answer a;
	culver_status st;
	size_t i;

	if (text == NULL)
		kit_fail("no memory");
	for (i = 0; i < p->n; i++)
		text[i] = p->masked[i] ^ DOOR_MASK;
	text[p->n] = '\0';
	st = end(d, d->ops->verify_plain(d->au, request(d, &rq, user),
	    &password, answer(d, &a), box_begin(&d->b, "verify_plain")),
	    d->flags & CULVER_RQ_QUICK ? CULVER_E_UNSUPPORTED : CULVER_OK);
	for (i = 0; i < p->n; i++)
		if (text[i] != (p->masked[i] ^ DOOR_MASK))
			kit_fail("verify_plain changed the password");
	explicit_bzero(text, p->n);
	free(text);
	take_answer(d, &a, st);
	return st;
}

static void
check_cred(const struct door *d, const struct culver_cred *c)
{
	const struct culver_str *s[] = { &c->secret, &c->salt,
	    &c->stored_key, &c->server_key };
	size_t i;

	for (i = 0; i < sizeof(s) / sizeof(s[0]); i++)
		if (s[i]->n > 0 && (s[i]->p == NULL ||
		    s[i]->p[s[i]->n] != '\0'))
			kit_fail("%s, form %u: a string has no NUL behind it",
			    d->b.doing, c->form);
	if (c->reserved0 != 0)
		kit_fail("%s: reserved0 is not zero", d->b.doing);
}

culver_status
door_creds(struct door *d, const char *user, uint32_t form,
    struct culver_cred *out)
{
	struct {
		struct culver_cred c;
		unsigned char later[BOX_TAIL];
	} cred;
	struct request rq;
	struct answer a;
	culver_status st;

	memset(&cred, 0xA5, sizeof(cred));
	cred.c = (struct culver_cred){ .size = sizeof(cred.c), .form = form };
	if (form == CULVER_CRED_SCRAM_SHA1 ||
	    form == CULVER_CRED_SCRAM_SHA256) {
		cred.c.salt = (struct culver_str){ "0123456789abcdef", 16 };
		cred.c.iterations = 4096;
	}
	if (d->b.newer)
		cred.c.size += BOX_TAIL;
	st = end(d, d->ops->lookup_creds(d->au, request(d, &rq, user),
	    &cred.c, answer(d, &a), box_begin(&d->b, "lookup_creds")),
	    CULVER_E_UNSUPPORTED);
	take_answer(d, &a, st);
	check_tail(d, cred.later);
	if (cred.c.form != form || cred.c.size != sizeof(cred.c) +
	    (d->b.newer ? BOX_TAIL : 0))
		kit_fail("lookup_creds: changed size or form of struct "
		    "culver_cred");
	if (st == CULVER_OK)
		check_cred(d, &cred.c);
	*out = cred.c;
	return st;
}

static void
check_user(const struct door *d, const struct culver_user *u)
{
	uint32_t i;

	check_text(d, "name", u->name, 255);
	check_text(d, "home", u->home, 4095);
	check_text(d, "location", u->location, 4095);
	check_text(d, "storage", u->storage, 63);
	if (u->uid == 0 || u->gid == 0 || u->uid == UINT32_MAX ||
	    u->gid == UINT32_MAX)
		kit_fail("lookup_user: uid %u, gid %u: wanted numbers above 0",
		    u->uid, u->gid);
	if (u->home != NULL && u->home[0] != '\0' && u->home[0] != '/')
		kit_fail("lookup_user: the home %s is not absolute", u->home);
	if (u->n_fields > 256 || (u->n_fields > 0 && u->fields == NULL))
		kit_fail("lookup_user: %u fields", u->n_fields);
	for (i = 0; i < u->n_fields; i++) {
		if (u->fields[i].name == NULL || u->fields[i].value == NULL ||
		    u->fields[i].name[0] == '\0')
			kit_fail("lookup_user: field %u has no name or no "
			    "value", i);
		check_text(d, "the name of a field", u->fields[i].name, 4096);
		check_text(d, "a field", u->fields[i].value, 4096);
	}
	if (u->reserved0 != 0)
		kit_fail("lookup_user: reserved0 is not zero");
}

culver_status
door_user(struct door *d, const char *user, struct culver_user *out)
{
	struct box_user u;
	struct request rq;
	culver_status st;

	memset(&u, 0xA5, sizeof(u));
	u.u = (struct culver_user){ .size = sizeof(u.u) };
	if (d->b.newer)
		u.u.size += BOX_TAIL;
	st = end(d, d->ops->lookup_user(d->au, request(d, &rq, user), &u.u,
	    box_begin(&d->b, "lookup_user")), CULVER_OK);
	check_tail(d, u.later);
	if (u.u.size != sizeof(u.u) + (d->b.newer ? BOX_TAIL : 0))
		kit_fail("lookup_user: changed the size of struct "
		    "culver_user");
	if (st == CULVER_OK)
		check_user(d, &u.u);
	*out = u.u;
	return st;
}
