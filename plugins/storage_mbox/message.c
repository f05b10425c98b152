/*
 * message.c - one message of an mbox: what is shown of it, its size, and the
 * hash that it is known by.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.  The
 * hash leaves out what other programs change while the message stays the
 * same: the headers that keep flags, CR before LF, '>' before "From ", empty
 * lines at the end.
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *const mb_styles[MB_STYLES + 1] = { "auto", "own", "dovecot",
    "uw", "popa3d", "qpopper", "mailutils", NULL };

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

void
mb_look_set(struct mb_look *l, unsigned style, unsigned quoting)
{
	const bool plain = style == MB_POPA3D || style == MB_MAILUTILS ||
	    style == MB_QPOPPER;

	*l = (struct mb_look){ .style = style,
	    .md5 = style == MB_POPA3D,
	    .any_from = style == MB_POPA3D,
	    .need_blank = style == MB_POPA3D || style == MB_MAILUTILS,
	    .use_length = style != MB_POPA3D,
	    .keep_eoh = plain || style == MB_UW,
	    .hide = !plain,
	    .show_pseudo = style == MB_POPA3D || style == MB_MAILUTILS,
	    .trim_base = style == MB_MAILUTILS,
	    .unquote = quoting == MB_QUOTE_MBOXRD ||
		(quoting == MB_QUOTE_AUTO &&
		(style == MB_OWN || style == MB_MAILUTILS)),
	    .head_as_is = style == MB_MAILUTILS };
}

void
mb_msg_begin(struct mb_msg *m, const struct mb_look *look,
    const unsigned char key[16])
{
	*m = (struct mb_msg){ .look = look, .header = true, .bol = true };
	sip_init(&m->sip, key);
	if (look->md5)
		md5_init(&m->md5);
}

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

void
mb_seal(const unsigned char key[16], const char *uid, const uint64_t id[2],
    char out[33])
{
	uint64_t w[2] = { htole64(id[0]), htole64(id[1]) };
	struct sip s;

	sip_init(&s, key);
	sip_add(&s, "seal", 4);
	sip_add(&s, w, sizeof(w));
	sip_add(&s, uid, strlen(uid));
	sip_end(&s, w);
	snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, w[0], w[1]);
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

/* A header begins at P: find out which. */
static size_t
header_begin(struct mb_msg *m, const unsigned char *p, size_t n, size_t *name)
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

/* Is the line at P, with its end, empty? */
static bool
is_blank(const unsigned char *p, size_t n)
{
	return n >= 1 && n <= 2 && p[n - 1] == '\n' && (n == 1 || *p == '\r');
}

static void
hash_blanks(struct mb_msg *m)
{
	for (; m->blanks > 0; m->blanks--)
		sip_add(&m->sip, "\n", 1);
}

static void
hash_line(struct mb_msg *m, const unsigned char *p, size_t n)
{
	hash_blanks(m);
	if (n >= 2 && p[n - 1] == '\n' && p[n - 2] == '\r') {
		sip_add(&m->sip, p, n - 2);
		sip_add(&m->sip, "\n", 1);
	} else
		sip_add(&m->sip, p, n);
}

/* N bytes from P are shown; the octets they are on the wire. */
static size_t
show(struct mb_msg *m, const unsigned char *p, size_t n, unsigned char *out)
{
	if (n == 0)
		return 0;
	m->newline = p[n - 1] == '\n';
	m->octets += n;
	if (m->newline && (n < 2 || p[n - 2] != '\r'))
		m->octets++;
	if (out != NULL && out != p)
		memmove(out, p, n);
	return n;
}

/* How many '>' are before "From " at the begin of a line; 0: it is another. */
static size_t
quotes(const unsigned char *p, size_t n)
{
	size_t k = 0;

	while (k < n && p[k] == '>')
		k++;
	return k > 0 && n - k >= 5 && memcmp(p + k, "From ", 5) == 0 ? k : 0;
}

static size_t
header_line(struct mb_msg *m, const unsigned char *p, size_t n,
    unsigned char *out)
{
	size_t name = 0, cut = 0, w, k;

	m->blank = m->bol && is_blank(p, n);
	if (m->blank) {
		m->header = false;
		m->body = m->raw + n;
		m->blank_eoh = true;
		m->blank_len = (unsigned char)n;
		m->blanks++;
		return show(m, p, n, out);
	}
	if (m->look->md5 && m->look->style == MB_POPA3D)
		popa3d_line(m, p, n);
	else if (m->look->md5)
		dovecot_line(m, p, n);
	if (m->bol && *p != ' ' && *p != '\t')
		cut = header_begin(m, p, n, &name);
	else if (m->bol && m->own)
		/* we never fold it: a message that begins with a space */
		m->hidden = m->fleeting = m->own = false;
	k = m->bol && *p == '>' ? quotes(p, n) : 0;
	if (!m->fleeting)
		hash_line(m, p + k, n - k);
	if (m->hidden)
		return 0;
	/* our own deliveries have a header of ours before all others */
	if (k > 0 && m->look->unquote &&
	    (!m->look->head_as_is || m->own_uid[0] != '\0'))
		return show(m, p + 1, n - 1, out);
	if (cut == 0)
		return show(m, p, n, out);
	w = show(m, p, name, out);
	return w + show(m, p + name + cut, n - name - cut,
	    out != NULL ? out + w : NULL);
}

static size_t
body_line(struct mb_msg *m, const unsigned char *p, size_t n,
    unsigned char *out)
{
	size_t k = m->bol && *p == '>' ? quotes(p, n) : 0;

	m->blank = m->bol && is_blank(p, n);
	if (m->blank) {
		m->blank_eoh = false;
		m->blank_len = (unsigned char)n;
		m->blanks++;
	} else
		hash_line(m, p + k, n - k);
	if (k > 0 && m->look->unquote)
		return show(m, p + 1, n - 1, out);
	return show(m, p, n, out);
}

size_t
mb_msg_add(struct mb_msg *m, const unsigned char *p, size_t n,
    unsigned char *out, size_t *stop)
{
	const unsigned char *const begin = p, *const end = p + n;
	size_t w = 0;

	while (p < end) {
		const unsigned char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = nl != NULL ? (size_t)(nl + 1 - p) :
		    (size_t)(end - p);
		unsigned char *to = out != NULL ? out + w : NULL;
		bool header = m->header;

		w += header ? header_line(m, p, len, to) :
		    body_line(m, p, len, to);
		m->raw += len;
		m->bol = nl != NULL;
		p += len;
		if (header && !m->header && stop != NULL)
			break;
	}
	if (stop != NULL)
		*stop = (size_t)(p - begin);
	return w;
}

size_t
mb_msg_end(struct mb_msg *m, bool separated, uint64_t id[2])
{
	sip_end(&m->sip, id);
	if (separated && m->blank && m->bol &&
	    !(m->look->keep_eoh && m->blank_eoh)) {
		m->octets -= 2;
		return m->blank_len;
	}
	if (m->octets > 0 && !m->newline)
		m->octets += 2;
	return 0;
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
