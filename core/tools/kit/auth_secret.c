/*
 * auth_secret.c - where a password may be after the call that it was given
 * to: nowhere.
 *
 * Runs in a check.  All memory of the process that can be written to is
 * searched, as whoever finds a core dump would do it; the kit's own copy is
 * masked.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/tools/kit/auth.h"
#include "core/tools/kit/door.h"

enum { SHORT = 8, MARK = 32, MAPS = 512 };

static const struct phrase *wanted;	/* what no log line may hold */
static bool logged;

/* Is P at TEXT?  The compiler must not make a copy that is not masked. */
static bool
is_at(const struct phrase *p, const unsigned char *text)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if ((text[i] ^ DOOR_MASK) != p->masked[i])
			return false;
	return true;
}

static unsigned
count_in(const struct phrase *p, const unsigned char *text, size_t n)
{
	const unsigned char *end = text + n;
	unsigned found = 0;

	while ((size_t)(end - text) >= p->n && (text = memchr(text,
	    p->masked[0] ^ DOOR_MASK, (size_t)(end - text) - p->n + 1)) !=
	    NULL) {
		found += is_at(p, text);
		text++;
	}
	return found;
}

/* How often is P in this process?  WHERE names the last place. */
static unsigned
count(const struct phrase *p, char where[200])
{
	static struct {
		uintptr_t from, to;
		char name[100];
	} map[MAPS];
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, to;
	char line[512], perm[5], name[100];
	unsigned n = 0, found = 0, here, i;

	/* first all, then look: stdio has a buffer there, too */
	while (f != NULL && n < MAPS && fgets(line, sizeof(line), f) != NULL) {
		name[0] = '\0';
		if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %99s", &from, &to,
		    perm, name) < 3 || strncmp(perm, "rw", 2) != 0)
			continue;
		map[n].from = from;
		map[n].to = to;
		memcpy(map[n++].name, name, sizeof(name));
	}
	if (f != NULL)
		fclose(f);
	for (i = 0; i < n; i++) {
		here = count_in(p, (const unsigned char *)map[i].from,
		    map[i].to - map[i].from);
		if (here > 0)
			snprintf(where, 200, "%s", map[i].name[0] != '\0' ?
			    map[i].name : "memory that was mapped");
		found += here;
	}
	return found;
}

static void
sink(int level, const char *text)
{
	size_t n = strlen(text), i;

	(void)level;
	for (i = 0; i + wanted->n <= n; i++)
		logged |= is_at(wanted, (const unsigned char *)text + i);
}

/* Verify, and look where P is then. */
static unsigned
leaves(struct door *d, const char *user, const struct phrase *p,
    const char *what, char where[200])
{
	wanted = p;
	logged = false;
	door_verify(d, user, p);
	if (logged)
		kit_fail("%s is in a log line", what);
	if (count_in(p, (unsigned char *)d->b.err.text,
	    sizeof(d->b.err.text)) > 0)
		kit_fail("%s is in call->err->text", what);
	door_forget(d);
	return count(p, where);
}

static void
must_leave(struct door *d, const char *user, const struct phrase *p,
    unsigned before, const char *what)
{
	char where[200] = "";
	unsigned n = leaves(d, user, p, what, where);

	if (n > before)
		kit_fail("verify_plain: %u copies of %s are in memory after "
		    "the call, the last in %s: wipe what you copy (host->wipe)",
		    n - before, what, where);
}

void
auth_secrets(struct kit *k)
{
	uint64_t rng = k->seed;
	char nobody[256], where[200];
	struct phrase right, wrong;
	unsigned before;
	struct door d;

	door_fixture(k, CULVER_AU_VERIFY, &right);
#ifdef WITH_SANITIZERS
	kit_skip("a build with sanitizers keeps what was freed");
#endif
	door_nobody(k, nobody);
	log_set_sink(sink);
	door_start(&d, k);
	phrase_random(&wrong, &rng, MARK);
	must_leave(&d, k->user, &wrong, 0, "a wrong password");
	phrase_random(&wrong, &rng, MARK);
	must_leave(&d, nobody, &wrong, 0, "an unknown user's password");
	/* what is stored in plain was loaded for the wrong one */
	before = count(&right, where);
	if (right.n >= SHORT)
		must_leave(&d, k->user, &right, before, "the right password");
	else
		kit_note("the right password has less than %d octets: it was "
		    "not looked for", SHORT);
	door_stop(&d);
	phrase_random(&wrong, &rng, MARK);
}
