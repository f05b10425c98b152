/*
 * drive.c - drive a storage plugin without a core; see drive.h.
 */
#include "config.h"

#include "tests/storage/drive.h"

#include <ftw.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

/* "{a, b}": at most DRIVE_LIST words. */
static void
set_list(struct drive *d, uint32_t i, const char *text)
{
	struct culver_str *out = d->list[i];
	char *p, *save = NULL;
	size_t n = 0;

	snprintf(d->list_text[i], sizeof(d->list_text[i]), "%s", text);
	for (p = strtok_r(d->list_text[i], "{, }", &save); p != NULL;
	    p = strtok_r(NULL, "{, }", &save)) {
		if (n == DRIVE_LIST)
			abort();
		out[n++] = (struct culver_str){ .p = p, .n = strlen(p) };
	}
	d->value[i].u.list.v = out;
	d->value[i].u.list.n = n;
}

static int64_t
choice(const struct culver_option *o, const char *text)
{
	int64_t i;

	for (i = 0; o->choices[i] != NULL; i++)
		if (strcmp(o->choices[i], text) == 0)
			return i;
	abort();
}

static void
set_value(struct drive *d, uint32_t i, const char *text, uint32_t is_set)
{
	const struct culver_option *o = &d->plugin->options[i];
	struct culver_value *v = &d->value[i];

	memset(v, 0, sizeof(*v));
	v->is_set = is_set;
	if (text == NULL)
		return;
	switch (o->type) {
	case CULVER_OPT_BOOL:
		v->u.i = strcmp(text, "yes") == 0;
		break;
	case CULVER_OPT_INT:
		v->u.i = strtoll(text, NULL, 10);
		break;
	case CULVER_OPT_TIME:	/* in seconds */
		v->u.i = strtoll(text, NULL, 10) * 1000000000;
		break;
	case CULVER_OPT_ENUM:
		v->u.i = choice(o, text);
		break;
	case CULVER_OPT_LIST:
		set_list(d, i, text);
		break;
	default:
		v->u.s.p = text;
		v->u.s.n = strlen(text);
		break;
	}
}

void
drive_init(struct drive *d, const struct culver_plugin *plugin)
{
	uint32_t i;

	memset(d, 0, sizeof(*d));
	fakehost_init(&d->host);
	d->plugin = plugin;
	d->ops = plugin->ops.storage;
	if (plugin->n_options > DRIVE_OPTIONS)
		abort();
	for (i = 0; i < plugin->n_options; i++)
		set_value(d, i, plugin->options[i].def, 0);
	d->values = (struct culver_values){ .size = sizeof(d->values),
	    .n = plugin->n_options, .v = d->value };
	d->user = (struct culver_user){ .size = sizeof(d->user),
	    .uid = geteuid(), .gid = getegid(), .name = "alice",
	    .home = "/nonexistent" };
}

void
drive_set(struct drive *d, const char *name, const char *value)
{
	uint32_t i;

	for (i = 0; i < d->plugin->n_options; i++)
		if (strcmp(d->plugin->options[i].name, name) == 0) {
			set_value(d, i, value, 1);
			return;
		}
	abort();
}

culver_status
drive_start(struct drive *d)
{
	struct culver_path path[8];
	culver_status st;
	uint32_t n;

	st = d->ops->create(&d->store, &d->host.host, &d->values, &d->user,
	    fakehost_call(&d->host));
	if (st != CULVER_OK)
		return st;
	return d->ops->paths(d->store, path, 8, &n, fakehost_call(&d->host));
}

culver_status
drive_open(struct drive *d, uint32_t flags)
{
	culver_status st;
	uint32_t n = 0, cap = 0;

	st = d->ops->open(d->store, flags, &d->mb, fakehost_call(&d->host));
	if (st != CULVER_OK)
		return st;
	for (d->n = 0;; d->n += n) {
		if (d->n == cap) {
			/* batches that end within and at the list's end */
			cap = cap == 0 ? 7 : cap * 2;
			d->msg = realloc(d->msg, cap * sizeof(*d->msg));
			if (d->msg == NULL)
				abort();
		}
		st = d->ops->list(d->mb, d->n, d->msg + d->n, cap - d->n, &n,
		    fakehost_call(&d->host));
		if (st != CULVER_OK)
			break;
	}
	return st == CULVER_DONE ? CULVER_OK : st;
}

char *
drive_wire(const char *raw, size_t n, size_t *wire_n)
{
	char *out = malloc(2 * n + 3);
	size_t i, w = 0;

	if (out == NULL)
		abort();
	for (i = 0; i < n; i++) {
		if (raw[i] == '\n' && (i == 0 || raw[i - 1] != '\r'))
			out[w++] = '\r';
		out[w++] = raw[i];
	}
	if (n > 0 && raw[n - 1] != '\n') {
		out[w++] = '\r';
		out[w++] = '\n';
	}
	*wire_n = w;
	return out;
}

/* Append the bytes of extent E; false if the file is shorter. */
static bool
take(const struct culver_extent *e, char **raw, size_t *n)
{
	char *p = realloc(*raw, *n + e->length + 1);
	size_t got = 0;

	if (p == NULL)
		abort();
	*raw = p;
	while (got < e->length) {
		ssize_t r = e->fd < 0 ? (ssize_t)e->length :
		    pread(e->fd, p + *n + got, e->length - got,
			(off_t)(e->offset + got));

		if (e->fd < 0)
			memcpy(p + *n, e->mem, e->length);
		if (r <= 0)
			return false;
		got += (size_t)r;
	}
	*n += got;
	return true;
}

culver_status
drive_fetch(struct drive *d, uint32_t index, char **wire, size_t *n)
{
	struct culver_content *c;
	struct culver_extent e[3];
	culver_status st;
	char *raw = NULL;
	size_t raw_n = 0;
	uint32_t i, k;

	*wire = NULL;
	*n = 0;
	st = d->ops->read(d->mb, index, &c, fakehost_call(&d->host));
	if (st != CULVER_OK)
		return st;
	do {
		st = d->ops->next(c, e, 3, &k, fakehost_call(&d->host));
		for (i = 0; i < k && st == CULVER_OK; i++)
			if (!take(&e[i], &raw, &raw_n))
				st = CULVER_E_TEMP;
	} while (st == CULVER_OK);
	d->ops->done(c);
	if (st == CULVER_DONE) {
		*wire = drive_wire(raw != NULL ? raw : "", raw_n, n);
		st = CULVER_OK;
	}
	free(raw);
	return st;
}

culver_status
drive_deliver(struct drive *d, const char *buf, size_t n, size_t chunk,
    char *uid)
{
	struct culver_envelope env = { .size = sizeof(env), .sender = "",
	    .recipient = "alice" };
	struct culver_delivery *dl;
	struct culver_str id;
	culver_status st;
	size_t at, k;

	st = d->ops->deliver_begin(d->store, &env, &dl,
	    fakehost_call(&d->host));
	if (st != CULVER_OK)
		return st;
	for (at = 0; at < n; at += k) {
		k = n - at < chunk ? n - at : chunk;
		st = d->ops->deliver_write(dl, buf + at, k,
		    fakehost_call(&d->host));
		if (st != CULVER_OK) {
			d->ops->deliver_abort(dl);
			return st;
		}
	}
	st = d->ops->deliver_commit(dl, &id, fakehost_call(&d->host));
	if (st == CULVER_OK && uid != NULL)
		snprintf(uid, 71, "%s", id.p);
	return st;
}

void
drive_close(struct drive *d)
{
	if (d->mb != NULL)
		d->ops->close(d->mb);
	d->mb = NULL;
	free(d->msg);
	d->msg = NULL;
	d->n = 0;
}

void
drive_stop(struct drive *d)
{
	drive_close(d);
	if (d->store != NULL)
		d->ops->destroy(d->store);
	d->store = NULL;
	fakehost_free(&d->host);
}

static int
remove_entry(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

int
drive_remove_dir(const char *path)
{
	return nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}
