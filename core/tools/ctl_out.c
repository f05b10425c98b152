/*
 * ctl_out.c - print lists as a table or as JSON.
 *
 * Runs in culverctl.  User names, addresses and UIDLs were chosen by others:
 * nothing of them reaches a terminal or a JSON reader unescaped.
 */
#include "config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/tools/ctl.h"

int
plain_text(const char *s)
{
	int n = 0;

	for (; *s != 0; s++) {
		unsigned char c = (unsigned char)*s;

		n += c >= 0x20 && c <= 0x7e ? printf("%c", c) :
		    printf("\\x%02x", c);
	}
	return n;
}

void
json_text(const char *s)
{
	const char *end = s + strlen(s);
	_Bool utf8 = json_is_utf8(s, (size_t)(end - s));
	char out[JSON_CHAR];

	putchar('"');
	while (s < end)
		fwrite(out, 1, json_char(out, &s, end, utf8), stdout);
	putchar('"');
}

void
list_begin(struct ctl_list *l, const struct ctl_column *columns, unsigned n,
    _Bool json)
{
	*l = (struct ctl_list){.columns = columns, .n = n, .json = json};
	if (json) {
		putchar('[');
		return;
	}
	for (unsigned i = 0; i < n; i++) {
		int width = 0;

		for (const char *p = columns[i].name; *p != 0; p++, width++)
			putchar(*p == '_' ? '-' :
			    toupper((unsigned char)*p));
		if (i + 1 < n)
			printf("%*s", columns[i].width > width ?
			    columns[i].width - width + 1 : 1, "");
	}
	putchar('\n');
}

/* What stands in front of a cell. */
static void
cell_begin(struct ctl_list *l)
{
	if (!l->json)
		return;
	if (l->at == 0)
		printf("%s{", l->rows > 0 ? ",\n " : "");
	else
		printf(", ");
	json_text(l->columns[l->at].name);
	printf(": ");
}

static void
cell_end(struct ctl_list *l, int width)
{
	int pad = l->columns[l->at].width - width;

	if (++l->at < l->n) {
		if (!l->json)
			printf("%*s", pad > 0 ? pad + 1 : 1, "");
		return;
	}
	printf(l->json ? "}" : "\n");
	l->at = 0;
	l->rows++;
}

void
list_text(struct ctl_list *l, const char *v)
{
	int width = 0;

	cell_begin(l);
	if (l->json)
		json_text(v);
	else
		width = plain_text(*v != 0 ? v : "-");
	cell_end(l, width);
}

void
list_u64(struct ctl_list *l, uint64_t v)
{
	cell_begin(l);
	cell_end(l, printf("%" PRIu64, v));
}

void
list_bool(struct ctl_list *l, _Bool v)
{
	cell_begin(l);
	cell_end(l, printf("%s", l->json ? (v ? "true" : "false") :
	    (v ? "yes" : "no")));
}

void
list_ns(struct ctl_list *l, uint64_t ns)
{
	uint64_t s = ns / NS_PER_S;
	int n;

	cell_begin(l);
	if (l->json)
		n = printf("%" PRIu64 ".%03" PRIu64, s,
		    ns % NS_PER_S / NS_PER_MS);
	else if (s >= 86400)
		n = printf("%" PRIu64 "d%02u:%02u:%02u", s / 86400,
		    (unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60),
		    (unsigned)(s % 60));
	else
		n = printf("%02u:%02u:%02u", (unsigned)(s / 3600),
		    (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	cell_end(l, n);
}

void
list_end(struct ctl_list *l)
{
	if (l->json)
		printf("]");
}

void
ctl_copy_text(int fd, off_t at, int to)
{
	FILE *f = to == 2 ? stderr : stdout;
	unsigned char buf[4096];
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), at)) > 0) {
		at += n;
		for (ssize_t i = 0; i < n; i++) {
			unsigned char c = buf[i];

			if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
				fprintf(f, "\\x%02x", c);
			else
				putc(c, f);
		}
	}
	if (n < 0)
		ctl_warn("reading the answer");
}
