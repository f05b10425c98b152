/*
 * scene.h - short stretches of a plugin's life that other groups cut short:
 * by a kill, a fault, want of memory, or a power cut.
 *
 * The child that plays a scene tells in shared memory what it tried and what
 * was answered; after it, the mailbox must hold what that allows.
 */
#ifndef KIT_SCENE_H
#define KIT_SCENE_H

#include "core/tools/kit/model.h"

enum { SCENE_OLD = 6, SCENE_PUTS = 3, SCENE_UIDS = SCENE_OLD + SCENE_PUTS };

/* What the child told; plain data, so that it can be copied. */
struct told {
	struct told_put {
		bool tried, answered;
		culver_status st;
		char uid[BOX_UID];
	} put[SCENE_PUTS];
	uint32_t puts;
	struct {
		bool tried, answered;
		culver_status st;
		uint32_t removed, n;
		uint32_t at[SCENE_UIDS];	/* places in the model */
	} expunge;
	bool listed;
	uint32_t n;			/* UIDLs that a client may have seen */
	char uid[SCENE_UIDS][BOX_UID];
};

struct scene {
	const char *name;
	unsigned old;		/* messages before it; SCENE_OLD at most */
	bool known;		/* a session saw them */
	bool settled;		/* that was a while ago */
	void (*play)(struct kit *k, struct box *b);
	uint64_t caps;
};

extern const struct scene scenes[];	/* ends with name NULL */

/* How the child was ended. */
enum scene_end { SCENE_DONE, SCENE_KILLED, SCENE_FAULT, SCENE_CUT };

/* Shared memory of the scene being played. */
extern struct told *scene_told;

/* False if the plugin cannot do S. */
bool scene_fits(const struct kit *k, const struct scene *s);

/* A fresh home with what S needs; fails the check if that fails. */
void scene_prepare(struct kit *k, const struct scene *s);

/* For a child: play S, and say KIT_DONE.  All its calls lie between trace_on()
 * and trace_off(), and are those that interpose counts. */
int scene_play(void *scene);

/*
 * In processes of their own: is what is there now what TOLD allows, and does
 * the mailbox work?  What it was like before is what scene_prepare() made.
 */
void scene_check(struct kit *k, const struct told *told, enum scene_end end);

/* Group faults: every sync fails, and then the power; see power.c. */
void power_failed_syncs(struct kit *k);

/* Say in a failure what was going on. */
void scene_context(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

#endif /* KIT_SCENE_H */
