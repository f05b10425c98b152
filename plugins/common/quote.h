/*
 * quote.h - names and other words of clients in log lines of auth plugins.
 *
 * Runs in a pool process.  The words are hostile; quoted they can look like
 * nothing but one word.
 */
#ifndef PLUGINS_COMMON_QUOTE_H
#define PLUGINS_COMMON_QUOTE_H

struct quoted {
	char text[256];
};

/*
 * TEXT as in the core's own lines: a plain word as it is, else in double
 * quotes with \xNN for quotes, backslashes, control and non-ASCII octets; the
 * end of a long one is left out.  In OUT, which is returned for printf().
 */
const char *quote(struct quoted *out, const char *text);

#endif /* PLUGINS_COMMON_QUOTE_H */
