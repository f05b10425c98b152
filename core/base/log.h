/*
 * log.h - one line for the log, from any role.
 *
 * Text goes to a sink that the process chose: the log role's socket
 * (ipc/ipclog.h), a worker's channel, or stderr before there is either.  The
 * receiver adds time, role and session, and escapes control octets.  No
 * secrets, ever.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

enum { LOG_DEBUG_ = 1, LOG_INFO_, LOG_WARN_, LOG_ERROR_ }; /* as in host.h */

typedef void log_sink(int level, const char *text);

/* NULL: stderr. */
void log_set_sink(log_sink *sink);

/* log_warn() and log_error() add the text of errno, the others do not. */
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_errorx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_at(int level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * key=value pairs, so that no value can forge another pair: what is not a
 * plain word is put in double quotes with \xNN for quotes, backslashes,
 * control and non-ASCII octets.  Too long a line is cut between pairs.
 */
struct kv {
	size_t n;
	char buf[2048];		/* NUL-terminated */
};

void kv_start(struct kv *kv, const char *event);
void kv_text(struct kv *kv, const char *key, const char *value);
void kv_u64(struct kv *kv, const char *key, uint64_t value);

#endif /* BASE_LOG_H */
