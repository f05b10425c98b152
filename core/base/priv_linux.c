/*
 * priv_linux.c - drop ids and capabilities, and verify the drop.
 *
 * Starts as root in master's children; counted with core/master.
 */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/priv.h"

#define CHROOT_BIT (1u << CAP_SYS_CHROOT)

static struct __user_cap_header_struct head = {
    .version = _LINUX_CAPABILITY_VERSION_3};
static uint64_t bounds = UINT64_MAX;	/* what may be in the bounding set */

/* Keep of the capabilities that are there those in KEEP, and let a program
 * that is executed inherit those of them that are in INHERIT. */
static _Bool
caps_limit(uint32_t keep, uint32_t inherit)
{
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) != 0)
		return 0;
	keep &= data[0].permitted;
	data[0] = (struct __user_cap_data_struct){keep, keep, inherit & keep};
	data[1] = (struct __user_cap_data_struct){0};
	return syscall(SYS_capset, &head, data) == 0;
}

static _Bool
caps_are(uint32_t keep)
{
	struct __user_cap_data_struct data[2];

	return syscall(SYS_capget, &head, data) == 0 &&
	    data[0].effective == keep && data[0].permitted == keep &&
	    data[0].inheritable == keep && data[1].effective == 0 &&
	    data[1].permitted == 0 && data[1].inheritable == 0;
}

/* Nothing but KEEP can ever come back. */
static _Bool
bounding_limit(uint64_t keep)
{
	for (unsigned long cap = 0; cap < 64; cap++)
		if ((bounds & ~keep & UINT64_C(1) << cap) != 0 &&
		    prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 &&
		    prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			return 0;
	return 1;
}

_Bool
priv_bounds(uint32_t keep)
{
	if (geteuid() != 0)
		return 1;
	/* what is out of the bounding set cannot become inheritable */
	if (!caps_limit(keep, keep) || !bounding_limit(CHROOT_BIT))
		return 0;
	bounds = CHROOT_BIT;
	return 1;
}

static _Bool
ids_are(const struct priv_ids *ids)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	return getresuid(&ruid, &euid, &suid) == 0 &&
	    getresgid(&rgid, &egid, &sgid) == 0 && ruid == ids->uid &&
	    euid == ids->uid && suid == ids->uid && rgid == ids->gid &&
	    egid == ids->gid && sgid == ids->gid;
}

_Bool
priv_drop(const struct priv_ids *ids, _Bool keep_chroot)
{
	uint32_t keep = keep_chroot ? CHROOT_BIT : 0;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 0;
	if (geteuid() != 0)
		return priv_drop_rest() && ids_are(ids) &&
		    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
	errno = EPERM;
	if (ids->uid == 0 || ids->gid == 0 || ids->uid == (uid_t)-1 ||
	    ids->gid == (gid_t)-1 || ids->n_groups > PRIV_MAX_GROUPS ||
	    !caps_limit(~0u, keep) || !bounding_limit(0) ||
	    setgroups(ids->n_groups, ids->groups) != 0 ||
	    setresgid(ids->gid, ids->gid, ids->gid) != 0 ||
	    (keep_chroot && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) ||
	    setresuid(ids->uid, ids->uid, ids->uid) != 0 ||
	    !caps_limit(keep, keep) ||
	    (keep_chroot && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE,
		CAP_SYS_CHROOT, 0, 0) != 0) ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 0;
	errno = EPERM;
	return ids_are(ids) && caps_are(keep) && setuid(0) != 0 &&
	    setgid(0) != 0 &&
	    getgroups(0, NULL) == (int)ids->n_groups;
}

_Bool
priv_drop_rest(void)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
	    !caps_limit(0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 0;
	errno = EPERM;
	return geteuid() != 0 && caps_are(0);
}
