/*
 * text.c - the text of message number NR: the first ones are the odd kinds,
 * one each, the others ordinary mail that names its number.
 *
 * Texts are as an LMTP client or `culverctl mailbox import' may give them:
 * with any line ends, or none.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/tools/kit/model.h"

struct kind {
	const char *name, *text;
	size_t n;		/* of text; with NULs in it */
};

#define HEAD "Subject: odd\r\nFrom: a@example.org\r\n\r\n"
#define T(s) s, sizeof(s) - 1

static const struct kind kinds[TEXT_KINDS] = {
	{ "CRLF", T(HEAD "one\r\ntwo\r\n") },
	{ "LF", T("Subject: LF\nFrom: a@example.org\n\none\ntwo\n") },
	{ "mixed line ends", T(HEAD "crlf\r\nlf\n\r\n\n.lf\n.crlf\r\n") },
	{ "bare CR", T(HEAD "a\rb\r\n\r\r\rc\r\n\rd\r\r\r\ne\r\n") },
	{ "no final newline", T(HEAD "the last line") },
	{ "CR as the last octet", T(HEAD "the last octet is CR\r") },
	{ "NUL", T(HEAD "a\0b\r\n\0\r\n\0\0\0last\0\r\n") },
	{ "empty", T("") },
	{ "one line end", T("\r\n") },
	{ "leading dots", T(HEAD ".\r\n..\r\n...\r\n.a\r\n.. b\r\n\r\n.\r\n") },
	{ "a dot as the first octet", T(".Subject: dot\r\n\r\nbody\r\n") },
	{ "a lone dot", T(".") },
	{ "no header end", T("Subject: no end\r\nFrom: a@example.org\r\n") },
	{ "empty body", T("Subject: no body\r\n\r\n") },
	{ "From lines", T("From a@b Thu Jan  1 00:00:00 1970\r\n" HEAD
	    "From a@b Thu Jan  1 00:00:00 1970\r\n>From x\r\n>>From y\r\n"
	    "\r\nFrom a@example.org Mon Mar  2 10:00:00 2026\r\n"
	    "Subject: no message\r\n\r\ninside\r\n") },
	{ "8-bit and 1 MiB in one line", NULL, 1 << 20 },
	{ "headers that formats use", T("X-UID: 1\r\nX-UIDL: abc\r\n"
	    "Status: RO\r\nX-IMAPbase: 1 1\r\nContent-Length: 3\r\n"
	    "Subject: x\r\n\r\nbody that is longer\r\n") },
};

const char *
text_kind(uint32_t nr)
{
	return nr < TEXT_KINDS ? kinds[nr].name : "ordinary";
}

/* One long line of every octet but CR, LF and NUL. */
static char *
long_line(size_t n)
{
	char *p = malloc(n + 1);
	size_t i;

	if (p == NULL)
		kit_fail("no memory");
	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)(1 + i * 7 % 255);

		p[i] = (char)(c == '\r' || c == '\n' ? 'x' : c);
	}
	memcpy(p, HEAD, sizeof(HEAD) - 1);
	p[n - 2] = '\r';
	p[n - 1] = '\n';
	return p;
}

/* Ordinary mail of some size, a few of them large. */
static char *
ordinary(uint32_t nr, size_t *n)
{
	uint64_t rng = nr;
	size_t lines = kit_below(&rng, 12), i;
	char *p = NULL;
	FILE *f;

	if (nr % 23 == 0)
		lines = 2000;
	f = open_memstream(&p, n);
	if (f == NULL)
		kit_fail("no memory");
	fprintf(f, "From: sender%u@example.org\r\nSubject: message %u\r\n"
	    "Message-ID: <%u@kit.example.org>\r\n\r\n", nr % 7, nr, nr);
	for (i = 0; i < lines; i++)
		fprintf(f, "%s%.*s line %zu of %u\r\n", i % 5 == 3 ? "." : "",
		    (int)kit_below(&rng, 60), "...................... "
		    ".......................................", i, nr);
	fprintf(f, "end of %u%s", nr, nr % 3 == 0 ? "" : "\r\n");
	if (fclose(f) != 0)
		kit_fail("no memory");
	return p;
}

char *
text_make(uint32_t nr, size_t *n)
{
	char *p;

	if (nr >= TEXT_KINDS)
		return ordinary(nr, n);
	*n = kinds[nr].n;
	if (kinds[nr].text == NULL)
		return long_line(*n);
	p = malloc(*n + 1);
	if (p == NULL)
		kit_fail("no memory");
	memcpy(p, kinds[nr].text, *n + 1);
	return p;
}

const char *
text_wire(uint32_t nr, size_t *n)
{
	enum { SLOTS = 1024 };
	static struct slot {
		uint32_t nr;
		size_t n;
		char *wire;
	} slots[SLOTS];
	struct slot *s = &slots[nr % SLOTS];
	size_t len;
	char *text;

	if (s->wire == NULL || s->nr != nr) {
		text = text_make(nr, &len);
		free(s->wire);
		s->wire = take_wire(text, len, &s->n);
		s->nr = nr;
		free(text);
	}
	*n = s->n;
	return s->wire;
}
