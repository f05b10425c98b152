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

const char *const mb_styles[MB_STYLES + 1] = { "auto", "own", "dovecot",
    "uw", "popa3d", "qpopper", "mailutils", NULL };

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
	mb_header_md5(m, p, n);
	if (m->bol && *p != ' ' && *p != '\t')
		cut = mb_header_begin(m, p, n, &name);
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
