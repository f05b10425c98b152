/*
 * image_disk.c - put a directory that a power cut could have left on disk.
 *
 * Runs in a check, on the home of the check.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/tools/kit/image.h"

int
image_by_name(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name,
	    ((const struct entry *)b)->name);
}

static int
remove_file(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return type == FTW_DP || type == FTW_D ? 0 : remove(path);
}

static void
write_file(struct build *b, uint32_t node, const char *path)
{
	const struct content *c = &b->node[node];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    b->j->node[node].mode);

	if (fd < 0 || (c->n > 0 && write(fd, c->data, c->n) !=
	    (ssize_t)c->n) || close(fd) != 0)
		kit_fail("%s: %s", path, strerror(errno));
}

static void
write_dir(struct build *b, uint32_t dir, const char *path, unsigned depth)
{
	const struct content *c = &b->node[dir];
	char sub[PATH_MAX];
	uint32_t i;

	for (i = 0; i < c->entries; i++) {
		uint32_t n = c->entry[i].node;
		struct content *e = &b->node[n];

		if ((size_t)snprintf(sub, sizeof(sub), "%s/%s", path,
		    c->entry[i].name) >= sizeof(sub))
			kit_fail("%s: too long", path);
		if (b->j->node[n].is_dir) {
			if (mkdir(sub, b->j->node[n].mode) != 0 &&
			    errno != EEXIST)
				kit_fail("%s: %s", sub, strerror(errno));
			if (depth > 0)
				write_dir(b, n, sub, depth - 1);
		} else if (e->made != NULL) {
			if (link(e->made, sub) != 0)
				kit_fail("%s: %s", sub, strerror(errno));
		} else {
			write_file(b, n, sub);
			e->made = strdup(sub);
		}
	}
}

/* Remove directories that the image does not have. */
static void
prune(const struct build *b, uint32_t dir, const char *path)
{
	struct content none = { .n = 0 };
	const struct content *c = dir == UINT32_MAX ? &none : &b->node[dir];
	struct stat st;
	char sub[PATH_MAX];
	uint32_t i, k;

	for (i = 0; i < b->j->nodes; i++) {
		const struct node *n = &b->j->node[i];

		for (k = 0; dir != UINT32_MAX && k < n->entries &&
		    i == dir; k++) {
			struct entry *found = c->entries == 0 ? NULL :
			    bsearch(&n->entry[k], c->entry, c->entries,
			    sizeof(*c->entry), image_by_name);

			snprintf(sub, sizeof(sub), "%s/%s", path,
			    n->entry[k].name);
			if (stat(sub, &st) != 0 || !S_ISDIR(st.st_mode))
				continue;
			if (found == NULL)
				kit_remove(sub, true);
			else
				prune(b, found->node, sub);
		}
	}
}

/* Directories that operations made and the image lacks. */
static void
prune_made(const struct build *b, const char *home)
{
	uint32_t i;

	for (i = 0; i < b->j->ops; i++) {
		const struct op *o = &b->j->op[i];
		char sub[PATH_MAX];

		/* emptied already, so what is wanted is made again */
		if (o->type == OP_LINK && b->j->node[o->node].is_dir &&
		    o->dir == 0) {
			snprintf(sub, sizeof(sub), "%s/%s", home, o->name);
			kit_remove(sub, true);
		}
	}
}

void
image_write(struct build *b)
{
	const char *home = b->j->home;

	nftw(home, remove_file, 16, FTW_DEPTH | FTW_PHYS);
	prune(b, 0, home);
	prune_made(b, home);
	write_dir(b, 0, home, IMAGE_DEPTH);
}
