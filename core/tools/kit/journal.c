/*
 * journal.c - the list itself, and what was there when it began; see
 * journal.h.
 *
 * Runs in a check, on the home of the check.
 */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/tools/kit/journal.h"

static void *
grown(void *p, uint32_t n, size_t size)
{
	if ((n & (n + 1)) == 0 || n == 0)
		p = realloc(p, (size_t)(2 * n + 2) * size);
	if (p == NULL)
		kit_fail("no memory");
	return p;
}

uint32_t
journal_find(const struct journal *j, const struct stat *st)
{
	uint32_t i = j->nodes;

	/* the last one: numbers of files are used again */
	while (i-- > 0)
		if (j->node[i].dev == st->st_dev && j->node[i].ino ==
		    st->st_ino)
			return i;
	return NODE_NONE;
}

uint32_t
journal_node(struct journal *j, const struct stat *st)
{
	j->node = grown(j->node, j->nodes, sizeof(*j->node));
	j->node[j->nodes] = (struct node){ .dev = st->st_dev,
	    .ino = st->st_ino, .is_dir = S_ISDIR(st->st_mode),
	    .mode = st->st_mode & 07777 };
	return j->nodes++;
}

/* --- the start ------------------------------------------------------------ */

static void
load_file(struct node *f, const char *path, const struct stat *st)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	f->n = (uint64_t)st->st_size;
	f->data = malloc(f->n + 1);
	if (fd < 0 || f->data == NULL ||
	    read(fd, f->data, f->n) != (ssize_t)f->n)
		kit_fail("%s: %s", path, strerror(errno));
	close(fd);
}

char *
journal_text(const char *s)
{
	char *copy = strdup(s);

	if (copy == NULL)
		kit_fail("no memory");
	return copy;
}

static void
scan(struct journal *j, uint32_t dir, const char *path)
{
	char sub[PATH_MAX];
	struct dirent *de;
	struct stat st;
	DIR *d = opendir(path);

	if (d == NULL)
		kit_fail("%s: %s", path, strerror(errno));
	while ((de = readdir(d)) != NULL) {
		struct node *parent;
		uint32_t n;

		if (strcmp(de->d_name, ".") == 0 ||
		    strcmp(de->d_name, "..") == 0)
			continue;
		if ((size_t)snprintf(sub, sizeof(sub), "%s/%s", path,
		    de->d_name) >= sizeof(sub) || lstat(sub, &st) != 0)
			kit_fail("%s: %s", sub, strerror(errno));
		if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
			continue;
		n = journal_find(j, &st);
		if (n == NODE_NONE) {
			n = journal_node(j, &st);
			if (S_ISDIR(st.st_mode))
				scan(j, n, sub);
			else
				load_file(&j->node[n], sub, &st);
		}
		parent = &j->node[dir];
		parent->entry = grown(parent->entry, parent->entries,
		    sizeof(*parent->entry));
		parent->entry[parent->entries++] = (struct entry){
		    journal_text(de->d_name), n };
	}
	closedir(d);
}

void
journal_start(struct journal *j, const char *home)
{
	struct stat st;

	*j = (struct journal){ .home = home };
	if (stat(home, &st) != 0)
		kit_fail("%s: %s", home, strerror(errno));
	scan(j, journal_node(j, &st), home);
}

void
journal_free(struct journal *j)
{
	uint32_t i, k;

	for (i = 0; i < j->nodes; i++) {
		for (k = 0; k < j->node[i].entries; k++)
			free(j->node[i].entry[k].name);
		free(j->node[i].entry);
		free(j->node[i].data);
	}
	for (i = 0; i < j->ops; i++) {
		free(j->op[i].name);
		free(j->op[i].name2);
		free(j->op[i].data);
	}
	free(j->node);
	free(j->op);
}

struct op *
journal_op(struct journal *j, enum op_type type)
{
	struct op *o;

	j->op = grown(j->op, j->ops, sizeof(*j->op));
	o = &j->op[j->ops++];
	*o = (struct op){ .type = type, .told = j->told };
	return o;
}
