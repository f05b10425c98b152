/*
 * priv.h - become somebody else for good, and prove it.
 *
 * Called by master's children right after the fork, before exec or dlopen.
 */
#ifndef BASE_PRIV_H
#define BASE_PRIV_H

#include <stdint.h>
#include <sys/types.h>

enum { PRIV_MAX_GROUPS = 8 };

struct priv_ids {
	uid_t uid;
	gid_t gid;
	unsigned n_groups;	/* supplementary groups; usually none */
	gid_t groups[PRIV_MAX_GROUPS];
};

/*
 * As root: give up all capabilities but KEEP (bits below 32), so that neither
 * this process nor a child has them again.  They are inheritable, so a program
 * that is executed as root has them, too, and no other: of what the bounding
 * set lets one get there is CAP_SYS_CHROOT at most, and priv_drop() has only
 * that to take out of it.  False with errno.
 */
_Bool priv_bounds(uint32_t keep);

/*
 * Give up groups, gid, uid and every capability, set no_new_privs and clear
 * the dumpable flag, then verify that nothing came through and that root does
 * not come back.  KEEP_CHROOT leaves CAP_SYS_CHROOT as an ambient capability
 * for the program that is executed next (priv_drop_rest() there).
 * In a process that is not root the ids must be its own already; capabilities
 * that its service manager gave it are dropped all the same.
 * False with errno: the process must exit.
 */
_Bool priv_drop(const struct priv_ids *ids, _Bool keep_chroot);

/* Drop what KEEP_CHROOT kept, and verify that no capability is left. */
_Bool priv_drop_rest(void);

#endif /* BASE_PRIV_H */
