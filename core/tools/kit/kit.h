/*
 * kit.h - what the groups of `culver-plugin check` share.
 *
 * Runs as whoever calls it.  Each check runs in a child of its own; the
 * plugin under test may crash, hang or lie there, and that is a failed check.
 */
#ifndef KIT_KIT_H
#define KIT_KIT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/plugin/loader.h"

enum {
	KIT_OPTIONS = 64,
	KIT_SECRET = 255,	/* octets of --password-file */
	KIT_FAILED = 3,		/* exit status of a child with kit_fail() */
	KIT_SKIPPED = 4,
	KIT_DONE = 42		/* ... that got to its end: see kit_done() */
};

/* In memory that all children share. */
struct kit_shared {
	char fail[2048];
	char note[4096];
	char log[1024];		/* the plugin's last lines */
	uint64_t operations;	/* calls of the plugin's table */
	uint64_t kills, faults, cuts;
	uint64_t losses, duplicates;
	int64_t left;		/* octets of memory that a run left in use */
};

struct kit {
	const char *module;	/* for plugin_load() */
	struct plugin plugin;
	const char *option[KIT_OPTIONS];	/* "key=value" */
	unsigned n_options;
	const char *fixture;	/* how mail gets in without DELIVER */
	const char *user;	/* of an auth plugin; NULL: none is known */
	unsigned char secret[KIT_SECRET];	/* his password, masked */
	size_t n_secret;
	const char *baseline;	/* file: "NAME MOST" a line */
	const char *only;	/* groups, with commas; NULL: all */
	const char *dir;	/* where to work; NULL: choose */
	uint64_t seed;
	uint32_t soak;		/* how many random walks */
	uint32_t messages;	/* of group scale */
	bool keep;
	char top[PATH_MAX - 256];	/* of this run */
	char home[PATH_MAX - 128];	/* of this check */
	struct kit_shared *shared;
	unsigned n, failed;	/* checks so far */
};

struct kit_check {
	const char *group, *name;
	void (*run)(struct kit *k);
	unsigned seconds;	/* then it has failed */
	uint64_t caps;		/* CULVER_ST_*: not without these */
};

/* Run the check and write its line; true if it did not fail. */
bool kit_run(struct kit *k, const struct kit_check *c);

/* In a check: it has failed, and why.  The first one counts. */
void kit_fail(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* In a check: it cannot be done with this plugin, because. */
void kit_skip(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* CAPS of the plugin's kind as their names in the headers; static. */
const char *kit_caps(const struct kit *k, uint64_t caps);

/* A line below the check's own. */
void kit_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * In a check: a number that depends on the machine.  It is printed, and too
 * high only if it is above what k->baseline has for NAME.
 */
void kit_number(const struct kit *k, const char *name, double value);

/* The memory that kit_fail() writes to; set by check.c. */
extern struct kit_shared *kit_shared;

/* fork() that dies with its parent and fails the check if it cannot. */
pid_t kit_fork(void);

/* The end of a child of a check.  Not exit status 0: the plugin could have
 * called exit(). */
void kit_done(void) __attribute__((noreturn));

/* Wait for a child made by kit_fork(); if it failed the check, so do we.
 * Returns 0 if it ended by kit_done(), -1 if by another exit(), or the status
 * as of waitpid(). */
int kit_join(pid_t pid);

/* Zeroed memory that children share. */
void *kit_shared_memory(size_t n);
void kit_unshare_memory(void *p, size_t n);

/* Remove PATH and all below; the directory itself if SELF. */
void kit_remove(const char *path, bool self);

/* Make k->home anew, empty. */
void kit_fresh_home(struct kit *k);

/* A sequence of numbers that depends on the seed alone. */
uint64_t kit_random(uint64_t *state);
uint32_t kit_below(uint64_t *state, uint32_t n);

/* The groups. */
extern const struct kit_check kit_elf[], kit_descriptor[], kit_options[],
    kit_storage[], kit_crash[], kit_faults[], kit_power[],
    kit_hygiene[], kit_versions[], kit_deadline[], kit_scale[],
    kit_auth[], kit_auth_hygiene[], kit_auth_deadline[], kit_auth_faults[];

#endif /* KIT_KIT_H */
