/*
 * model.c - keep account of what must be in the mailbox, and compare.
 *
 * Runs in a check.  A message is known by its text, and from the first time
 * that it was listed also by its UIDL, which may never change.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/tools/kit/model.h"

void
model_init(struct model *m, struct kit *k, uint32_t first)
{
	memset(m, 0, sizeof(*m));
	m->k = k;
	m->next = first;
}

bool
model_can_put(const struct kit *k)
{
	return (k->plugin.desc.caps & CULVER_ST_DELIVER) != 0 ||
	    k->fixture != NULL;
}

static void
add(struct model *m, const char *uid)
{
	struct model_message *e = &m->m[m->n];

	if (m->n == MODEL_MAX)
		kit_fail("the kit's model is full");
	*e = (struct model_message){ .nr = m->next, .there = true };
	memcpy(e->uid, uid, strlen(uid) + 1);
	m->n++;
	m->next++;
}

static void
write_file(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "w");

	if (f == NULL || fwrite(text, 1, n, f) != n || fclose(f) != 0)
		kit_fail("%s: %s", path, strerror(errno));
}

static void
folder_of(const struct kit *k, char folder[PATH_MAX - 64])
{
	snprintf(folder, PATH_MAX - 64, "%.3900s/fixture", k->top);
	if (mkdir(folder, 0700) != 0)
		kit_fail("%s: %s", folder, strerror(errno));
}

/* SCRIPT HOME FOLDER: it puts the .eml files there into the mailbox. */
static void
run_fixture(const struct kit *k, const char *folder)
{
	int status;
	pid_t pid = kit_fork();

	if (pid == 0) {
		execl(k->fixture, k->fixture, k->home, folder, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) != pid && errno == EINTR)
		continue;
	kit_remove(folder, true);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		kit_fail("%s %s %s: %s %d", k->fixture, k->home, folder,
		    WIFEXITED(status) ? "exit status" : "signal",
		    WIFEXITED(status) ? WEXITSTATUS(status) :
		    WTERMSIG(status));
}

void
model_empty_box(const struct kit *k)
{
	char folder[PATH_MAX - 64];

	if (k->fixture == NULL || k->plugin.desc.kind != CULVER_KIND_STORAGE ||
	    (k->plugin.desc.caps & CULVER_ST_DELIVER) != 0)
		return;
	folder_of(k, folder);
	run_fixture(k, folder);
}

static void
put_by_fixture(struct model *m, uint32_t n)
{
	char folder[PATH_MAX - 64], file[PATH_MAX];
	uint32_t i;

	folder_of(m->k, folder);
	for (i = 0; i < n; i++) {
		size_t len;
		char *text = text_make(m->next, &len);

		snprintf(file, sizeof(file), "%s/%06u.eml", folder, i);
		write_file(file, text, len);
		free(text);
		add(m, "");
	}
	run_fixture(m->k, folder);
}

void
model_put(struct model *m, struct box *b, uint32_t n)
{
	char uid[BOX_UID];

	if (!model_can_put(m->k))
		kit_skip("no CULVER_ST_DELIVER and no --fixture");
	if ((b->caps & CULVER_ST_DELIVER) == 0) {
		put_by_fixture(m, n);
		return;
	}
	for (; n > 0; n--) {
		size_t len;
		char *text = text_make(m->next, &len);

		if (box_deliver(b, text, len, uid) != CULVER_OK)
			kit_fail("%s of message %u (%s): %s", b->doing,
			    m->next, text_kind(m->next), b->err.text);
		free(text);
		add(m, uid);
	}
}

static bool
is_text_of(const struct model_message *e, const char *wire, size_t n)
{
	size_t want_n;
	const char *want = text_wire(e->nr, &want_n);

	return want_n == n && memcmp(want, wire, n) == 0;
}

/* The message that the one with UID and this text is; it is marked. */
static uint32_t
find(struct model *m, const char *uid, const char *wire, size_t n)
{
	uint32_t i;

	for (i = 0; i < m->n; i++)
		if (strcmp(m->m[i].uid, uid) == 0) {
			if (is_text_of(&m->m[i], wire, n))
				return i;
			kit_shared->losses++;
			kit_fail("message %u (%s), uid %s: its %zu octets are "
			    "not what was delivered", m->m[i].nr,
			    text_kind(m->m[i].nr), uid, n);
		}
	for (i = 0; i < m->n; i++)
		if ((m->m[i].there || m->m[i].maybe) && !m->m[i].seen &&
		    is_text_of(&m->m[i], wire, n)) {
			if (m->m[i].uid[0] != '\0')
				kit_fail("message %u had the uid %s and now "
				    "has %s", m->m[i].nr, m->m[i].uid, uid);
			return i;
		}
	for (i = 0; i < m->n && !is_text_of(&m->m[i], wire, n); i++)
		continue;
	if (i < m->n && m->m[i].seen) {
		kit_shared->duplicates++;
		kit_fail("message %u is there twice, again as %s", m->m[i].nr,
		    uid);
	}
	if (i < m->n)
		kit_fail("message %u was removed and is back, as %s",
		    m->m[i].nr, uid);
	kit_shared->losses++;
	kit_fail("the message %s with %zu octets is none that was delivered: "
	    "\"%.*s\"", uid, n, n < 60 ? (int)n : 60, wire);
}

static void
compare_one(struct model *m, struct box *b, uint32_t i, uint32_t *index)
{
	char *wire;
	size_t n;
	uint32_t at;

	if (box_read(b, i, &wire, &n) != CULVER_OK)
		kit_fail("%s of message %u (%s): %s", b->doing, i,
		    b->msg[i].uid, b->err.text);
	at = find(m, b->msg[i].uid, wire, n);
	free(wire);
	if (m->m[at].seen) {
		kit_shared->duplicates++;
		kit_fail("message %u is there twice", m->m[at].nr);
	}
	if (!m->m[at].there && !m->m[at].maybe)
		kit_fail("message %u, uid %s, was removed and is there",
		    m->m[at].nr, b->msg[i].uid);
	m->m[at].seen = true;
	memcpy(m->m[at].uid, b->msg[i].uid, strlen(b->msg[i].uid) + 1);
	if (index != NULL)
		index[i] = at;
}

void
model_compare(struct model *m, struct box *b, uint32_t *index)
{
	uint32_t i;

	for (i = 0; i < m->n; i++)
		m->m[i].seen = false;
	for (i = 0; i < b->n; i++)
		compare_one(m, b, i, index);
	for (i = 0; i < m->n; i++)
		if (m->m[i].there && !m->m[i].seen) {
			kit_shared->losses++;
			kit_fail("message %u (%s), uid \"%s\", is lost; %u "
			    "messages are there", m->m[i].nr,
			    text_kind(m->m[i].nr), m->m[i].uid, b->n);
		}
}

void
model_check(struct model *m, struct box *b)
{
	box_must_open(b, CULVER_OPEN_EXCLUSIVE);
	model_compare(m, b, NULL);
	box_close(b);
}
