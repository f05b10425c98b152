/*
 * features.c - see features.h.
 */
#include "core/base/features.h"

const struct feature features[] = {
	{SANDBOX_SECCOMP, "seccomp", "Linux 3.17, built with the sandbox",
	    "no process is kept from system calls that it does not need, and "
	    "of several users with one uid only the first who comes is let "
	    "in (shared_uid)"},
	{SANDBOX_LANDLOCK, "landlock", "Linux 5.13",
	    "processes with one uid can open each other's files, and of "
	    "several users with one uid only the first who comes is let in "
	    "(shared_uid)"},
	{SANDBOX_REFER, "landlock-refer", "Linux 5.19",
	    "who stores mail moves it between folders, which the first "
	    "version of Landlock forbids, and goes without: as without "
	    "landlock"},
	{SANDBOX_TRUNCATE, "landlock-truncate", "Linux 6.2",
	    "files that a process may only read it can empty, too"},
	{SANDBOX_NET, "landlock-net", "Linux 6.7",
	    "only seccomp keeps processes from the network"},
	{SANDBOX_IOCTL, "landlock-ioctl", "Linux 6.10",
	    "only seccomp keeps processes from commands to devices"},
	{SANDBOX_SCOPE, "landlock-scope", "Linux 6.12",
	    "processes of auth sections can send signals to each other and "
	    "to the coordinator"},
	{SANDBOX_CHROOT, "chroot", "start as root",
	    "only Landlock and seccomp keep those who talk to the network "
	    "from the file system"},
	{SANDBOX_MEMLOCK, "memory-lock", "RLIMIT_MEMLOCK unlimited",
	    "memory that passwords pass through may reach the swap space, "
	    "and auth_cache is no larger than what can be locked"},
	{SANDBOX_NOEXEC, "memfd-noexec", "Linux 6.3",
	    "nothing but seccomp keeps memory that processes share from "
	    "being executed"},
	{SANDBOX_UNDUMPABLE, "undumpable", "fs.suid_dumpable 0 or 2",
	    "a user with a shell can look into his worker while it drops its "
	    "rights"},
	{SANDBOX_DESCRIPTORS, "descriptors", "a higher RLIMIT_NOFILE",
	    "fewer connections or sessions at once than limits says"},
};
const unsigned n_features = sizeof(features) / sizeof(features[0]);
