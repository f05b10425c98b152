/*
 * format.c - the UIDLs that Dovecot made by its pop3_uidl_format.
 *
 * Pure functions over memory, run in the worker as the mailbox's owner.  Of
 * Dovecot's variables an mbox has the UID (u), the UID validity (v) and the
 * MD5 sum of some headers (m, and g is the same).
 */
#include "config.h"

#include "plugins/storage_mbox/mbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One variable: %[0WIDTH][X]LETTER. */
struct item {
	char letter;
	bool hex;
	unsigned width;
};

/* The variable at *P, behind its '%'; *P then is behind it. */
static bool
take_item(const char **p, struct item *it)
{
	const char *s = *p;
	bool padded = *s == '0';

	*it = (struct item){ .letter = '\0' };
	for (; padded && *s >= '0' && *s <= '9' && it->width < 100; s++)
		it->width = it->width * 10 + (unsigned)(*s - '0');
	it->hex = *s == 'X';
	s += it->hex;
	it->letter = *s;
	*p = s + 1;
	if (*s == 'm' || *s == 'g')
		return !padded && !it->hex;
	/* Dovecot would cut what is wider */
	return (*s == 'u' || *s == 'v') && (!padded ||
	    (it->width >= (it->hex ? 8 : 10) && it->width <= PLUG_UID_MAX));
}

unsigned
mb_format_uses(const char *format)
{
	const uint32_t max = UINT32_MAX;
	char uid[PLUG_UID_MAX + 1];
	unsigned uses = 0;
	const char *p = format;
	struct item it;

	while (*p != '\0') {
		if (*p++ != '%')
			continue;
		if (!take_item(&p, &it))
			return 0;
		uses |= it.letter == 'u' ? MB_USES_UID :
		    it.letter == 'v' ? MB_USES_VALIDITY : MB_USES_MD5;
	}
	/* the validity is the same for all */
	if ((uses & (MB_USES_UID | MB_USES_MD5)) == 0 ||
	    !mb_format_make(format, max, max,
	    "0123456789abcdef0123456789abcdef", uid))
		return 0;
	return uses;
}

bool
mb_format_make(const char *format, uint32_t uid, uint32_t validity,
    const char *md5, char out[PLUG_UID_MAX + 1])
{
	const size_t room = PLUG_UID_MAX + 1;
	struct item it;
	size_t n = 0;
	uint32_t v;
	int k;

	while (*format != '\0' && n < room - 1) {
		if (*format != '%') {
			out[n++] = *format++;
			continue;
		}
		format++;
		if (!take_item(&format, &it))
			return false;
		v = it.letter == 'u' ? uid : validity;
		if (it.letter == 'm' || it.letter == 'g')
			k = snprintf(out + n, room - n, "%s", md5);
		else if (it.hex)
			k = snprintf(out + n, room - n, "%0*" PRIx32,
			    (int)it.width, v);
		else
			k = snprintf(out + n, room - n, "%0*" PRIu32,
			    (int)it.width, v);
		if (k < 0 || (size_t)k >= room - n)
			return false;
		n += (size_t)k;
	}
	out[n] = '\0';
	return *format == '\0' && plug_uid_legal(out, n);
}
