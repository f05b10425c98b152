/*
 * findings.c - what check() of a storage plugin found, a line each.
 *
 * Runs in a worker as the owner of the mailbox; the lines go to an
 * administrator's terminal.
 */
#include "config.h"

#include "plugins/common/plug.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <culver/util.h>

void
plug_found(struct plug_findings *f, const char *fmt, ...)
{
	char text[512], *p;
	va_list ap;

	if (f->n == f->cap)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	p = culver_strndup(f->host, f->call, text, strlen(text));
	if (p != NULL)
		f->out[f->n++] = (struct culver_str){ .p = p,
		    .n = strlen(text) };
}

culver_status
plug_judge(struct plug_findings *f, culver_status status)
{
	if (status != CULVER_E_CORRUPT && status != CULVER_E_PERM)
		return status;
	plug_found(f, "%s", f->call->err->text);
	return CULVER_OK;
}
