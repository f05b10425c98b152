/*
 * host.c - the table of services that every plugin gets.
 *
 * Runs wherever a plugin runs.  The plugin's text and numbers are data here:
 * bounded, escaped, counted.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/plugin/host.h"

enum {
	LINE_MAX_ = 900,	/* octets of one log line, escaped */
	LINES_A_MINUTE = 10
};

/* H is the first member of the plugin_host that it belongs to, and the only
 * thing a plugin can hand back. */
static struct plugin_host *
own(const struct culver_host *h)
{
	return (struct plugin_host *)(uintptr_t)h;
}

/* TEXT with its control octets as \xNN, cut to fit. */
static void
escape(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text != 0 && n + 5 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x20 || c == 0x7f)
			n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
		else
			out[n++] = (char)c;
	}
	out[n] = 0;
}

static uint64_t
hash(const char *s, int32_t level)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (uint32_t)level;

	for (; *s != 0; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	return h;
}

/* The record of this line: its own, or the oldest one emptied. */
static struct host_line *
line_find(struct plugin_host *h, uint64_t key)
{
	struct host_line *oldest = &h->line[0];

	for (size_t i = 0; i < HOST_LINES; i++) {
		if (h->line[i].hash == key && h->line[i].n > 0)
			return &h->line[i];
		if (h->line[i].since < oldest->since)
			oldest = &h->line[i];
	}
	*oldest = (struct host_line){.hash = key};
	return oldest;
}

static void
host_log(const struct culver_host *host, int32_t level, const char *text)
{
	struct plugin_host *h = own(host);
	struct host_line *l;
	char line[LINE_MAX_];
	uint64_t now = clock_now(), missed = 0;

	if (text == NULL)
		return;
	if (level < CULVER_LOG_DEBUG || level > CULVER_LOG_ERROR)
		level = CULVER_LOG_WARN;
	escape(line, sizeof(line), text);
	l = line_find(h, hash(line, level));
	if (l->n == 0 || now - l->since >= 60 * NS_PER_S) {
		missed = l->n > LINES_A_MINUTE ? l->n - LINES_A_MINUTE : 0;
		l->since = now;
		l->n = 0;
	}
	if (l->n < UINT32_MAX)
		l->n++;
	if (l->n > LINES_A_MINUTE)
		return;
	if (missed > 0)
		log_at(level, "plugin=%s %s (and %llu times more before)",
		    h->name, line, (unsigned long long)missed);
	else
		log_at(level, "plugin=%s %s%s", h->name, line,
		    l->n == LINES_A_MINUTE ?
		    " (not repeated for up to a minute)" : "");
}

static uint64_t
host_now(const struct culver_host *host)
{
	(void)host;
	return clock_now();
}

static void
host_random(const struct culver_host *host, void *buf, size_t n)
{
	unsigned char *p = buf;

	(void)host;
	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)	/* promised never to fail: weak is worse */
			abort();
		p += got;
		n -= (size_t)got;
	}
}

static void
host_wipe(void *buf, size_t n)
{
	explicit_bzero(buf, n);
}

static void
host_count(const struct culver_host *host, const char *name, uint64_t add)
{
	struct plugin_host *h = own(host);

	if (name == NULL)
		return;
	for (size_t i = 0; i < HOST_COUNTERS; i++) {
		struct host_counter *c = &h->counter[i];

		if (c->name == NULL)
			c->name = name;
		if (strcmp(c->name, name) == 0) {
			c->n += add;
			return;
		}
	}
}

void
plugin_host_init(struct plugin_host *h, const char *name)
{
	*h = (struct plugin_host){.host = {.size = sizeof(h->host),
	    .abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR,
	    .log = host_log, .alloc = arena_alloc, .now = host_now,
	    .random = host_random, .wipe = host_wipe, .count = host_count}};
	memcpy(h->name, name, strnlen(name, sizeof(h->name) - 1));
}

struct culver_call
plugin_call(struct culver_arena *arena, struct culver_error *err,
    uint64_t deadline)
{
	*err = (struct culver_error){.size = sizeof(*err)};
	return (struct culver_call){.size = sizeof(struct culver_call),
	    .deadline = deadline, .arena = arena, .err = err};
}

const char *
plugin_error_text(struct culver_error *err)
{
	char text[sizeof(err->text)];

	err->text[sizeof(err->text) - 1] = 0;
	escape(text, sizeof(text), err->text);
	memcpy(err->text, text, sizeof(text));
	return err->text[0] != 0 ? err->text : "no reason given";
}
