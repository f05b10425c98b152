/*
 * authlog.c - limit the rate of identical lines.
 *
 * Runs in the auth coordinator.
 */
#include "config.h"

#include "core/auth/authlog.h"
#include "core/base/clock.h"
#include "core/base/log.h"

static uint64_t
hash(const char *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *s != 0; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h ^ h >> 32;
}

void
authlog_write(struct authlog *a, int level, const char *text, uint64_t now)
{
	uint64_t h = hash(text);
	struct authlog_line *l = &a->line[h % AUTHLOG_LINES];
	uint32_t missed = 0;

	/* Two lines that share a place only lose the count of each other. */
	if (l->hash != h)
		l->n = 0;
	if (l->n == 0 || now - l->since >= 60 * NS_PER_S) {
		missed = l->n > AUTHLOG_A_MINUTE ? l->n - AUTHLOG_A_MINUTE : 0;
		l->hash = h;
		l->since = now;
		l->n = 0;
	}
	if (++l->n > AUTHLOG_A_MINUTE)
		return;
	if (missed > 0)
		log_at(level, "%s not-logged=%u", text, missed);
	else
		log_at(level, "%s", text);
}
