/*
 * log.c - format a line for the log and hand it to this process's sink.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"

static void
to_stderr(int level, const char *text)
{
	(void)level;
	fprintf(stderr, "culver: %s\n", text);
}

static log_sink *sink = to_stderr;

void
log_set_sink(log_sink *s)
{
	sink = s != NULL ? s : to_stderr;
}

static void __attribute__((format(printf, 2, 0)))
log_va(int level, const char *fmt, va_list ap, int err)
{
	char text[2048];
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	if (n >= 0 && err != 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, ": %s",
		    strerror(err));
	sink(level, text);
}

#define LOG_FUNCTION(name, level, err)			\
	void name(const char *fmt, ...)			\
	{						\
		int saved = (err);			\
		va_list ap;				\
							\
		va_start(ap, fmt);			\
		log_va(level, fmt, ap, saved);		\
		va_end(ap);				\
	}

LOG_FUNCTION(log_debug, LOG_DEBUG_, 0)
LOG_FUNCTION(log_info, LOG_INFO_, 0)
LOG_FUNCTION(log_warn, LOG_WARN_, errno)
LOG_FUNCTION(log_warnx, LOG_WARN_, 0)
LOG_FUNCTION(log_error, LOG_ERROR_, errno)
LOG_FUNCTION(log_errorx, LOG_ERROR_, 0)

void
log_at(int level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(level, fmt, ap, 0);
	va_end(ap);
}
