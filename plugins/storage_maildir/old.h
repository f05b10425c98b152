/*
 * old.h - what the POP3 server before us wrote down about a Maildir, and what
 * that says about UIDLs and the order of messages.
 *
 * Runs in a worker, as the owner of the mailbox.  The user may have written
 * these files himself, and a crash may have left them half-written: every
 * byte is checked.  Nothing here writes.
 */
#ifndef STORAGE_MAILDIR_OLD_H
#define STORAGE_MAILDIR_OLD_H

#include "plugins/storage_maildir/maildir.h"

#define OLD_DOVECOT	"dovecot-uidlist"
#define OLD_COURIER_IMAP "courierimapuiddb"	/* a dovecot-uidlist 1 */
#define OLD_COURIER	"courierpop3dsizelist"

/* A line about a message. */
struct old_rec {
	const char *base;	/* its base name */
	const char *uidl, *guid;	/* Dovecot's P and G; NULL: none */
	uint64_t uid, validity;	/* 0: not known */
	uint64_t order;		/* Dovecot's O; UINT32_MAX: none */
	size_t line;
};

/* Such a file in memory. */
struct old_file {
	char *text;		/* owned, and ended by a NUL */
	char *next;
	struct old_rec *rec;	/* in md_order(), each base name once */
	size_t n, cap;
	uint64_t validity;	/* of the mailbox */
	size_t line;		/* the number of the last line */
	bool torn;		/* that has no end, and does not count */
};

/*
 * Parse O->text, of N bytes, as Dovecot does: NULL, or what is wrong in line
 * O->line, or old_no_memory.  What Dovecot would have begun anew is wrong.  For
 * courierimapuiddb, too.
 */
const char *old_dovecot_parse(struct old_file *o, size_t n);

/* The same for a courierpop3dsizelist. */
const char *old_courier_parse(struct old_file *o, size_t n);

extern const char old_no_memory[];

void old_free(struct old_file *o);

/* The line about BASE, or NULL. */
const struct old_rec *old_find(const struct old_file *o, const char *base);

/*
 * The UIDL that the server showed for a message; false if it is none that a
 * client may be shown (RFC 1939 section 7).  FORMAT is Dovecot's
 * pop3_uidl_format.
 */
bool old_dovecot_uidl(const struct old_file *o, const struct old_rec *r,
    const char *format, char out[PLUG_UID_MAX + 1]);
bool old_courier_uidl(const struct old_rec *r, char out[PLUG_UID_MAX + 1]);

/* Courier's order of base names: as md_order(), but for odd ones. */
int old_courier_order(const char *a, const char *b);

/* --- what old_dovecot.c and old_courier.c share (old.c) ------------------- */

/* Begin to read O->text; what is wrong with it, or NULL. */
const char *old_begin(struct old_file *o, size_t n);

/* The next whole line, without its end; NULL if there is none. */
char *old_line(struct old_file *o);

/* Add R; its line is set.  NULL, or what is wrong. */
const char *old_add(struct old_file *o, const struct old_rec *r);

/*
 * Sort.  Of records with equal base names the last one is kept, if SAME finds
 * the two alike or is NULL; else false, and O->line is the second one's.
 */
bool old_sort(struct old_file *o,
    bool (*same)(const struct old_rec *a, const struct old_rec *b));

/* The number at *P, not above MAX; false if there is none. */
bool old_number(const char **p, uint64_t max, uint64_t *v);

#endif /* STORAGE_MAILDIR_OLD_H */
