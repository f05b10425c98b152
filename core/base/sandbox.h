/*
 * sandbox.h - confine this process: Landlock, seccomp, limits.
 *
 * Every role calls it on itself after its drop; nothing here runs as root.
 * What the kernel cannot do is reported, never ignored.
 */
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

struct sock_filter;

enum sandbox_part {		/* a set of these is "what is missing" */
	SANDBOX_SECCOMP = 1u << 0,
	SANDBOX_LANDLOCK = 1u << 1,
	SANDBOX_TRUNCATE = 1u << 2,	/* Landlock 3 */
	SANDBOX_NET = 1u << 3,		/* Landlock 4 */
	SANDBOX_SCOPE = 1u << 4,	/* Landlock 6: signals */
	SANDBOX_CHROOT = 1u << 5,	/* only root can */
	SANDBOX_REFER = 1u << 6,	/* Landlock 2: link and rename */
	SANDBOX_IOCTL = 1u << 7,	/* Landlock 5: on devices */
	/* not asked for by sandbox_missing(), but said by who finds out */
	SANDBOX_MEMLOCK = 1u << 8,	/* all memory of the coordinator */
	SANDBOX_NOEXEC = 1u << 9,	/* MFD_NOEXEC_SEAL */
	SANDBOX_UNDUMPABLE = 1u << 10,	/* fs.suid_dumpable is not 1 */
	SANDBOX_DESCRIPTORS = 1u << 11	/* as many as `limits' asks for */
};

/* Without these, workers of one uid are not kept apart. */
enum { SANDBOX_APART = SANDBOX_SECCOMP | SANDBOX_LANDLOCK | SANDBOX_REFER };

/* The kernel's Landlock ABI; 0: it has none, or this build does not use it. */
long sandbox_landlock_abi(void);

/* What this kernel (or this build) cannot do; the second is what a kernel with
 * seccomp and that Landlock ABI cannot. */
unsigned sandbox_missing(void);
unsigned sandbox_lacks(long landlock_abi);

/* Did the drop before the exec keep CAP_SYS_CHROOT (priv.h)?  Then a program
 * that was given no folder to chroot to must not go on. */
_Bool sandbox_may_chroot(void);

/* A file or folder (O_PATH is enough) and CULVER_PATH_* bits of plugin.h. */
struct sandbox_path {
	int fd;
	uint32_t access;
};

/*
 * From now on the file system is PATHS and nothing else; no TCP port is bound
 * or connected to unless NET, no signal leaves the process.  Needs
 * no_new_privs.  True also where the kernel knows no Landlock, or only its
 * first ABI, which forbids rename() and link() from one folder to another, and
 * PATHS has a tree to make files in: see sandbox_missing().
 */
_Bool sandbox_landlock(const struct sandbox_path *paths, size_t n, _Bool net);

/* Install a filter that the config role compiled. */
_Bool sandbox_seccomp(const struct sock_filter *filter, size_t n);

/*
 * Make a trapped system call return ENOSYS and log its number once
 * (SECCOMP_RET_TRAP raises SIGSYS).
 */
_Bool sandbox_trap(void);

struct sandbox_limits {		/* 0: leave as it is, but for CORE */
	uint64_t descriptors;
	uint64_t memory;	/* RLIMIT_DATA, octets */
	_Bool no_processes;	/* RLIMIT_NPROC 0 */
};

/* Set the limits; there is no core dump, and nobody else may look into this
 * process (PR_SET_DUMPABLE), in any case. */
_Bool sandbox_limits(const struct sandbox_limits *limits);

#endif /* BASE_SANDBOX_H */
