/*
 * journal.h - what a traced child does to the files below a directory, as a
 * list, and directories as a power cut could leave them.
 *
 * The model: a file's octets and size last when that file was synced after
 * they changed; a name made, removed or renamed lasts when a directory that it
 * is or was in was synced after that (a rename lasts whole or not at all).
 * A sync that fails drops the octets that it was for: the kernel has given
 * them up, and a second sync says nothing about them.
 * What was not synced may have lasted all the same, any part of it.  That is
 * what POSIX leaves; journalling file systems promise more, see
 * culver-plugin(7).
 */
#ifndef KIT_JOURNAL_H
#define KIT_JOURNAL_H

#include "core/tools/kit/scene.h"
#include "core/tools/kit/trace.h"

enum op_type { OP_DATA, OP_SIZE, OP_LINK, OP_UNLINK, OP_RENAME, OP_SYNC,
    OP_SYNC_ALL };

struct op {
	enum op_type type;
	uint32_t node;		/* file, or what is synced */
	uint32_t dir, dir2;	/* of name, of name2 (RENAME: the new one) */
	char *name, *name2;
	uint64_t at, n;		/* DATA; SIZE: the size is n */
	unsigned char *data;
	bool lost;		/* DATA: a sync of it failed, none can help */
	struct told told;	/* when the call began */
};

struct node {			/* a file or directory */
	dev_t dev;
	ino_t ino;
	bool is_dir;
	mode_t mode;
	unsigned char *data;	/* at the start */
	uint64_t n;
	struct entry {
		char *name;
		uint32_t node;
	} *entry;		/* at the start */
	uint32_t entries;
};

struct journal {
	const char *home;
	struct node *node;	/* [0] is the home */
	uint32_t nodes;
	struct op *op;
	uint32_t ops;
	uint32_t fail_sync;	/* the sync that fails, from 1; 0: none */
	uint32_t syncs;		/* so far */
	bool existed;		/* the file of the open() in progress */
	struct told told;
	bool mapped;		/* a file was written through mmap() */
	char trouble[256];	/* what this model has no idea of */
};

/* Begin with what is below HOME now, all of which lasts. */
void journal_start(struct journal *j, const char *home);
void journal_free(struct journal *j);

/* The node of a file that was there, or was made, last with this number; or
 * NODE_NONE. */
#define NODE_NONE UINT32_MAX
uint32_t journal_find(const struct journal *j, const struct stat *st);

/* A copy of S; the kit ends without memory. */
char *journal_text(const char *s);

/* A new node, a new operation of the call in progress; they move as others
 * are added. */
uint32_t journal_node(struct journal *j, const struct stat *st);
struct op *journal_op(struct journal *j, enum op_type type);

/* Hooks for trace_follow(), with a journal as context. */
enum trace_verdict journal_entry(void *ctx, const struct trace_call *c,
    int *err);
void journal_exit(void *ctx, const struct trace_call *c);

enum image_mode {
	IMAGE_ALL,		/* everything lasted */
	IMAGE_SYNCED,		/* only what was synced */
	IMAGE_EMPTY,		/* names lasted; octets not synced did not */
	IMAGE_ZEROS,		/* names and sizes lasted, octets are zero */
	IMAGE_NAMELESS,		/* octets lasted, names did not */
	IMAGE_HOLE,		/* all but one write lasted, the SEED-th of
				 * those not synced from the last */
	IMAGE_RANDOM		/* this and that, by a seed */
};

const char *image_name(enum image_mode mode);

/*
 * Make HOME what a power cut just before the P-th operation leaves.  Files
 * are made anew, directories stay what they are where they can.  False if
 * SEEN, a list of N_SEEN hashes, has it already; else its hash is added.
 */
struct image_seen {
	uint64_t *hash;
	size_t n, cap;
};
bool image_make(const struct journal *j, uint32_t p, enum image_mode mode,
    uint64_t seed, const struct told *told, struct image_seen *seen);

#endif /* KIT_JOURNAL_H */
