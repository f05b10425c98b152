/*
 * dotlock.h - make and remove one dotlock, the file that keeps other
 * programs out of a mailbox.
 *
 * Runs as the mailbox's owner in a storage plugin, where he may make files
 * beside the mailbox, and where he may not in the locker (core/locker), with
 * the group of the spool directory.  So it needs nothing but the C library.
 * Nothing found in the directory is trusted.
 */
#ifndef PLUGINS_COMMON_DOTLOCK_H
#define PLUGINS_COMMON_DOTLOCK_H

#include <fcntl.h>

/* How files are opened; core/config/calls.c allows the locker no other. */
#define DOTLOCK_MAKE	(O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC)
#define DOTLOCK_LOOK	(O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
#define DOTLOCK_MODE	0600
#define DOTLOCK_ROOM	17	/* octets of a name that is put behind */

enum dotlock_note {		/* what became of a dotlock of others */
	DOTLOCK_NOTHING,
	DOTLOCK_REMOVED,	/* it was old, or Culver's and its maker dead */
	DOTLOCK_LOST		/* it was renamed, and could not be put back */
};

struct dotlock {
	int dir;		/* where NAME is, or AT_FDCWD */
	const char *name;	/* of the dotlock itself */
	int fd;			/* -1: not ours */
	enum dotlock_note note;	/* of the last dotlock_take() */
};

/*
 * Try once.  1: ours now; 0: another's, or it just changed: try again; -1
 * with errno.  The dotlock is the caller's by an open file description lock
 * on D->fd: while that, or a copy of it, is open, no Culver takes it for a
 * dead one's.
 */
int dotlock_take(struct dotlock *d);

/* Remove it, if it is still ours, and close D->fd. */
void dotlock_drop(struct dotlock *d);

/* A sentence's end about D->note, after the dotlock's name; or NULL. */
const char *dotlock_note_text(enum dotlock_note note);

#endif /* PLUGINS_COMMON_DOTLOCK_H */
