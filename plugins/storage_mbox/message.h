/*
 * message.h - one message of an mbox, and how files are cut into messages.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.
 */
#ifndef STORAGE_MBOX_MESSAGE_H
#define STORAGE_MBOX_MESSAGE_H

#include "plugins/common/md5.h"
#include "plugins/common/plug.h"
#include "plugins/storage_mbox/digest.h"

#define MB_OWN_NAME	"X-Culver-UIDL:"	/* UIDL and seal */
#define MB_QUOTED	"X-Culver-"
#define MB_NAME		128	/* the bytes of a header that decide this */
#define MB_LINE		4096	/* no From_ line is longer */

enum {				/* option `uidl', and who had the file */
	MB_AUTO, MB_OWN, MB_DOVECOT, MB_UW, MB_POPA3D, MB_QPOPPER,
	MB_MAILUTILS, MB_STYLES
};
extern const char *const mb_styles[MB_STYLES + 1];

enum { MB_QUOTE_AUTO, MB_QUOTE_MBOXO, MB_QUOTE_MBOXRD };

/* --- From_ lines (from.c) ------------------------------------------------- */

/*
 * Is P, N bytes and with or without its line end, a From_ line of one of the
 * shapes in culver-mbox(5)?  *WHEN gets its date in Unix seconds, UTC if it
 * names no offset.
 */
bool mb_from_parse(const unsigned char *p, size_t n, int64_t *when);

/* Write a From_ line without its end; its length.  N is at least 128. */
size_t mb_from_make(char *out, size_t n, const char *sender, int64_t when);

/* --- one message (message.c, header.c) ------------------------------------- */

/* How a file is cut into messages and what of them is shown. */
struct mb_look {
	unsigned style;		/* never MB_AUTO */
	bool md5;		/* the hash of headers is wanted */
	bool any_from;		/* each "From " begins a message ... */
	bool need_blank;	/* ... but only after an empty line */
	bool use_length;	/* Content-Length counts */
	bool keep_eoh;		/* the end of headers is no separator */
	bool hide;		/* headers that mail readers add */
	bool show_pseudo;	/* the internal data is a message */
	bool trim_base;		/* spaces in X-IMAPbase */
	bool unquote;		/* >From */
	bool head_as_is;	/* but not in headers */
};

void mb_look_set(struct mb_look *l, unsigned style, unsigned quoting);

/* A message as its bytes go by, from behind the From_ line. */
struct mb_msg {
	const struct mb_look *look;
	struct sip sip;
	struct md5 md5;
	uint64_t raw, octets;	/* bytes that went by; octets as shown */
	uint64_t body;		/* raw at the first byte of the body */
	uint64_t length;	/* Content-Length, if has_length */
	uint64_t blanks;	/* empty lines that the hash has not seen */
	uint32_t x_uid, validity, last_uid;
	bool header, bol, hidden, fleeting, fixed, received, in_received;
	bool has_length, pseudo;
	bool base_padded, uid_padded;	/* X-IMAPbase, X-UID have spaces */
	bool blank, blank_eoh;	/* the last line was empty; and ended headers */
	bool newline;		/* the last byte shown was LF */
	bool own;		/* the last line was MB_OWN_NAME */
	unsigned char blank_len;
	char x_uidl[PLUG_UID_MAX + 1];
	char own_uid[PLUG_UID_MAX + 1], own_seal[33];
};

void mb_msg_begin(struct mb_msg *m, const struct mb_look *look,
    const unsigned char key[16]);

/*
 * Take N bytes: whole lines, but for the last one of the message and for
 * lines longer than MB_LINE, which may come in pieces that do not end in CR.
 * What is shown of them is written to OUT, which may be P or NULL; returns
 * how much that is.  Stops behind the end of the headers if STOP is not
 * NULL, and says there how many bytes it took.
 */
size_t mb_msg_add(struct mb_msg *m, const unsigned char *p, size_t n,
    unsigned char *out, size_t *stop);

/* A header begins at P: find out which, and take what it says.  How many bytes
 * are left out behind its first *NAME. */
size_t mb_header_begin(struct mb_msg *m, const unsigned char *p, size_t n,
    size_t *name);

/* A line of the headers goes into the hash of mb_msg_headers(), or not. */
void mb_header_md5(struct mb_msg *m, const unsigned char *p, size_t n);

/*
 * Is P, N bytes, the begin of a header that mail programs keep their data in?
 * Mail that is delivered with one, or with such a name behind MB_QUOTED, has
 * MB_QUOTED put before it.
 */
bool mb_is_metadata(const unsigned char *p, size_t n);

/*
 * The end.  *ID names the message; returns how many bytes of a separator
 * stand at its end, which are not shown; only if SEPARATED.
 */
size_t mb_msg_end(struct mb_msg *m, bool separated, uint64_t id[2]);

/*
 * What stands behind the UIDL in an MB_OWN_NAME header of the message ID, so
 * that nobody else can write one.
 */
void mb_seal(const unsigned char key[16], const char *uid,
    const uint64_t id[2], char out[33]);

/*
 * What popa3d, or with look->style MB_DOVECOT what Dovecot, made of headers;
 * 16 or 32 digits.  After mb_msg_end(), with look->md5.
 */
void mb_msg_headers(struct mb_msg *m, char out[33]);

#endif /* STORAGE_MBOX_MESSAGE_H */
