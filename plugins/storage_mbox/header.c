/*
 * header.c - headers in which mail programs keep data of their own: which they
 * are, what they say, and what two servers hashed of the others.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { H_NONE, H_STATUS, H_LENGTH, H_UID, H_BASE, H_IMAP, H_UIDL, H_LINES,
    H_SUBJECT, H_OWN };

static const struct {
	const char *name;
	unsigned what;
	bool hide, fleeting;
} known[] = {
	{ "Status:", H_STATUS, true, true },
	{ "X-Status:", H_STATUS, true, true },
	{ "X-Keywords:", H_STATUS, true, true },
	{ "Content-Length:", H_LENGTH, true, true },
	{ "X-UID:", H_UID, true, true },
	{ "X-IMAPbase:", H_BASE, true, true },
	{ "X-IMAP:", H_IMAP, true, true },
	{ MB_OWN_NAME, H_OWN, true, true },
	{ "X-UIDL:", H_UIDL, false, true },
	{ "Lines:", H_LINES, false, true },
	{ "X-Mozilla-Status:", H_LINES, false, true },
	{ "X-Mozilla-Status2:", H_LINES, false, true },
	{ "Subject:", H_SUBJECT, false, false },
};

/* c-client writes it, after a dash or two of which nobody is sure. */
static const char internal[] = "FOLDER INTERNAL DATA";

static bool
has_prefix(const unsigned char *p, size_t n, const char *s)
{
	size_t len = strlen(s);

	return n >= len && strncasecmp((const char *)p, s, len) == 0;
}

/*
 * How long is the name of the header at P, with its colon, if that is NAME?
 * Spaces may stand before the colon, which Dovecot reads so.
 */
static size_t
name_length(const unsigned char *p, size_t n, const char *name)
{
	size_t len = strlen(name) - 1;

	if (n <= len || strncasecmp((const char *)p, name, len) != 0)
		return 0;
	while (len < n && (p[len] == ' ' || p[len] == '\t'))
		len++;
	return len < n && p[len] == ':' ? len + 1 : 0;
}

/* A number after spaces; *P behind it; false if there is none. */
static bool
take_number(const unsigned char **p, const unsigned char *end, uint64_t max,
    uint64_t *v)
{
	const unsigned char *s = *p;

	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	if (s == end || *s < '0' || *s > '9')
		return false;
	for (*v = 0; s < end && *s >= '0' && *s <= '9'; s++) {
		*v = *v * 10 + (uint64_t)(*s - '0');
		if (*v > max)
			return false;
	}
	*p = s;
	return true;
}

static bool
only_spaces(const unsigned char *p, const unsigned char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' ||
	    *p == '\n'))
		p++;
	return p == end;
}

/* "UIDL SEAL", with the one space that we write. */
static void
note_own(struct mb_msg *m, const unsigned char *p, const unsigned char *end)
{
	const unsigned char *space;

	if (p < end && *p == ' ')
		p++;
	space = memchr(p, ' ', (size_t)(end - p));
	if (m->own_uid[0] != '\0' || space == NULL || end - space < 33 ||
	    !only_spaces(space + 33, end) ||
	    !plug_uid_legal((const char *)p, (size_t)(space - p)))
		return;
	memcpy(m->own_uid, p, (size_t)(space - p));
	m->own_uid[space - p] = '\0';
	memcpy(m->own_seal, space + 1, 32);
	m->own_seal[32] = '\0';
}

/* The value of header WHAT stands from P to END. */
static void
note_value(struct mb_msg *m, unsigned what, const unsigned char *p,
    const unsigned char *end)
{
	const unsigned char *s;
	uint64_t v, w;
	size_t n;

	switch (what) {
	case H_LENGTH:
		if (!m->has_length && take_number(&p, end, UINT64_MAX / 20,
		    &v) && only_spaces(p, end)) {
			m->length = v;
			m->has_length = true;
		}
		break;
	case H_UID:
		if (m->x_uid == 0 && take_number(&p, end, UINT32_MAX, &v) &&
		    only_spaces(p, end)) {
			m->x_uid = (uint32_t)v;
			m->uid_padded = p < end && *p == ' ';
		}
		break;
	case H_BASE:
	case H_IMAP:
		m->base_padded |= what == H_BASE && end - p > 1 &&
		    p[0] == ' ' && p[1] == ' ';
		if (m->validity == 0 && take_number(&p, end, UINT32_MAX, &v) &&
		    take_number(&p, end, UINT32_MAX, &w)) {
			m->validity = (uint32_t)v;
			m->last_uid = (uint32_t)w;
			m->pseudo |= what == H_IMAP;
		}
		break;
	case H_UIDL:
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		for (s = p; s < end && *s > 0x20 && *s < 0x7f; s++)
			continue;
		n = (size_t)(s - p);
		if (m->x_uidl[0] == '\0' && only_spaces(s, end) &&
		    plug_uid_legal((const char *)p, n)) {
			memcpy(m->x_uidl, p, n);
			m->x_uidl[n] = '\0';
		}
		break;
	case H_OWN:
		note_own(m, p, end);
		break;
	case H_SUBJECT:
		m->pseudo |= memmem(p, (size_t)(end - p), internal,
		    sizeof(internal) - 1) != NULL &&
		    memmem(p, (size_t)(end - p), "DELETE THIS MESSAGE", 19) !=
		    NULL;
		break;
	default:
		break;
	}
}

/* --- what popa3d and Dovecot hash ------------------------------------------- */

/* popa3d's choice of lines, which it hashes as they are. */
static void
popa3d_line(struct mb_msg *m, const unsigned char *p, size_t n)
{
	if (m->bol && *p != ' ' && *p != '\t') {
		bool first = has_prefix(p, n, "Received:");

		m->fixed = has_prefix(p, n, "Delivered-To:") ||
		    (*p == 'X' && has_prefix(p, n, "X-Delivery-ID:")) ||
		    (!m->received && (first || has_prefix(p, n, "Date:") ||
		    has_prefix(p, n, "Message-ID:")));
		m->received |= first;
	}
	if (m->fixed)
		md5_add(&m->md5, p, n);
}

/*
 * Dovecot's: the same headers, but their values, without the line ends and
 * the space before the first one.
 */
static void
dovecot_line(struct mb_msg *m, const unsigned char *p, size_t n)
{
	static const char *const names[] = { "Delivered-To:",
	    "X-Delivery-ID:", "Date:", "Message-ID:", "Received:" };
	const unsigned char *end = p + n;
	size_t i, name = 0;

	if (m->bol && *p != ' ' && *p != '\t') {
		m->received |= m->in_received;
		m->fixed = m->in_received = false;
		for (i = 0; i < 5 && name == 0; i++)
			name = name_length(p, n, names[i]);
		m->fixed = name > 0 && (i <= 2 || !m->received);
		m->in_received = name > 0 && i == 5;
		p += name;
		while (name > 0 && p < end && (*p == ' ' || *p == '\t'))
			p++;
	}
	if (end > p && end[-1] == '\n')
		end--;
	if (end > p && end[-1] == '\r')
		end--;
	if (m->fixed)
		md5_add(&m->md5, p, (size_t)(end - p));
}

void
mb_header_md5(struct mb_msg *m, const unsigned char *p, size_t n)
{
	if (m->look->md5 && m->look->style == MB_POPA3D)
		popa3d_line(m, p, n);
	else if (m->look->md5)
		dovecot_line(m, p, n);
}

void
mb_msg_headers(struct mb_msg *m, char out[33])
{
	static const unsigned char order[8] = { 3, 2, 1, 0, 7, 6, 5, 4 };
	const bool popa3d = m->look->style == MB_POPA3D;
	unsigned char sum[16];
	size_t i;

	md5_end(&m->md5, sum);
	for (i = 0; i < (popa3d ? 8 : 16); i++)
		snprintf(out + 2 * i, 3, "%02x", sum[popa3d ? order[i] : i]);
}

/* --- a header begins -------------------------------------------------------- */

/* How many bytes are left out after the name of an X-IMAPbase header. */
static size_t
surplus_spaces(const struct mb_msg *m, const unsigned char *p, size_t n,
    size_t name)
{
	size_t k = name;

	if (!m->look->trim_base)
		return 0;
	while (k < n && p[k] == ' ')
		k++;
	return k > name + 1 ? k - name - 1 : 0;
}

bool
mb_is_metadata(const unsigned char *p, size_t n)
{
	const size_t k = sizeof(MB_QUOTED) - 1;
	size_t i;

	if (n > MB_NAME)
		n = MB_NAME;
	for (;; p += k, n -= k) {
		for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (known[i].hide &&
			    name_length(p, n, known[i].name) > 0)
				return true;
		if (!has_prefix(p, n, MB_QUOTED))
			return false;
	}
}

size_t
mb_header_begin(struct mb_msg *m, const unsigned char *p, size_t n,
    size_t *name)
{
	size_t i;

	m->hidden = m->fleeting = m->own = false;
	*name = 0;
	if (has_prefix(p, n, MB_QUOTED) && mb_is_metadata(
	    p + sizeof(MB_QUOTED) - 1, n - (sizeof(MB_QUOTED) - 1)))
		return sizeof(MB_QUOTED) - 1;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		*name = name_length(p, n, known[i].name);
		if (*name == 0)
			continue;
		m->own = known[i].what == H_OWN;
		m->hidden = m->own || (known[i].hide && m->look->hide);
		m->fleeting = known[i].fleeting;
		note_value(m, known[i].what, p + *name, p + n);
		if (known[i].what == H_BASE)
			return surplus_spaces(m, p, n, *name);
		break;
	}
	return 0;
}
