/*
 * culver_deliver.c - give one message to Culver: an LMTP client of
 * run_dir/deliver, for MTAs, mail filters and people.
 *
 *	culver-deliver [-c FILE] -u USER [-f SENDER] < message
 *
 * Runs as its caller, who is hostile: it has no rights and keeps no secret.
 * Who may deliver to whom is decided by lmtp, at the other end.  Exits as of
 * sysexits(3); what may pass is 75 (EX_TEMPFAIL), and the caller keeps the
 * message.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/config/diag.h"
#include "core/config/mem.h"
#include "core/config/parse.h"

enum { ANSWER_MS = 600 * 1000, LINE = 1024, CHUNK = 65536 };

static int sock = -1;

/* One line on stderr, where an MTA looks for the reason; STATUS. */
static int __attribute__((format(printf, 2, 3)))
say(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("culver-deliver: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

/* --- where the socket is ----------------------------------------------------- */

/* The main file is FILE; others are relative to its folder. */
static int
file_open(void *ctx, const char *name, const char **path, const char **text,
    size_t *n)
{
	const char *main_file = ctx, *slash = strrchr(main_file, '/');
	char *buf = mem_get(CF_MAX_SIZE + 1);
	FILE *f;
	int err = 0;

	*path = main_file;
	if (*name != 0)
		*path = slash != NULL && *name != '/' ?
		    mem_printf("%.*s/%s", (int)(slash - main_file), main_file,
		    name) : name;
	f = fopen(*path, "re");
	if (f == NULL)
		return errno;
	*n = fread(buf, 1, CF_MAX_SIZE, f);
	if (ferror(f))
		err = errno;
	fclose(f);
	*text = buf;
	return err;
}

/*
 * run_dir of the configuration GIVEN, or of the usual one, which need not be
 * readable: it may be root's, and then the default holds.  Mistakes elsewhere
 * in it are not ours to find.
 */
static _Bool
run_dir_find(const char *given, char out[LINE])
{
	const char *conf = given != NULL ? given :
	    SYSCONFDIR "/culver/culver.conf";
	const struct cf_source source = {.open = file_open,
	    .ctx = (void *)(uintptr_t)conf};
	const struct cf_block *root;

	snprintf(out, LINE, "/run/culver");
	if (access(conf, R_OK) != 0)
		return given == NULL;
	diag_start();
	root = cf_parse(&source);
	for (const struct cf_key *k = root->keys; k != NULL; k = k->next)
		if (strcmp(k->name, "run_dir") == 0 && k->value.n == 1)
			snprintf(out, LINE, "%s", k->value.text[0]);
	mem_end();
	return 1;
}

static _Bool
deliver_connect(const char *run_dir)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if ((size_t)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/deliver",
	    run_dir) >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return 0;
	}
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return sock >= 0 &&
	    connect(sock, (struct sockaddr *)&sun, sizeof(sun)) == 0;
}

/* --- LMTP --------------------------------------------------------------------- */

static _Bool
send_all(const char *p, size_t n)
{
	ssize_t put;

	while (n > 0) {
		put = send(sock, p, n, MSG_NOSIGNAL);
		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return 0;
		p += put;
		n -= (size_t)put;
	}
	return 1;
}

static _Bool
more(char *buf, size_t *n)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	ssize_t got;

	if (poll(&p, 1, ANSWER_MS) <= 0)
		return 0;
	got = recv(sock, buf + *n, LINE - *n, 0);
	if (got > 0)
		*n += (size_t)got;
	return got > 0;
}

/* The last line of the next reply into OUT; its code, or 0 if none came. */
static int
reply(char out[LINE])
{
	static char buf[LINE];
	static size_t n;
	char *lf;

	for (;;) {
		size_t len;
		_Bool last;

		while ((lf = memchr(buf, '\n', n)) == NULL)
			if (n == LINE || !more(buf, &n))
				return 0;
		len = (size_t)(lf - buf);
		last = len < 4 || buf[3] != '-';
		memcpy(out, buf, len);
		out[len > 0 && out[len - 1] == '\r' ? len - 1 : len] = 0;
		n -= len + 1;
		memmove(buf, lf + 1, n);
		if (last)
			return len < 3 ? 0 : (int)strtol(out, NULL, 10);
	}
}

/* What the reply TEXT means to who called us. */
static int
status_of(int code, const char *text)
{
	if (code / 100 == 2)
		return EX_OK;
	say(0, "%s", code != 0 ? text : "no answer of the server");
	if (code / 100 != 5)
		return EX_TEMPFAIL;
	if (strstr(text, " 5.1.1 ") != NULL)
		return EX_NOUSER;
	if (strstr(text, " 5.2.2 ") != NULL)
		return EX_CANTCREAT;
	if (strstr(text, " 5.7.1 ") != NULL)
		return EX_NOPERM;
	return EX_UNAVAILABLE;
}

/* Send a command; EX_OK if its reply is one of CLASS hundred. */
static int __attribute__((format(printf, 2, 3)))
command(int class, const char *fmt, ...)
{
	char text[LINE];
	va_list ap;
	int n, code;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		return say(EX_USAGE, "an address is too long");
	if (!send_all(text, (size_t)n))
		return say(EX_TEMPFAIL, "the server went away");
	code = reply(text);
	return code / 100 == class ? EX_OK : status_of(code, text);
}

/* --- addresses ---------------------------------------------------------------- */

/* Can ADDRESS stand between < and > as it is? */
static _Bool
is_plain(const char *address)
{
	for (const char *p = address; *p != 0; p++)
		if ((unsigned char)*p <= ' ' || strchr("<>\"\\(),:;\177", *p))
			return 0;
	return 1;
}

static _Bool
has_control(const char *s)
{
	for (; *s != 0; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return 1;
	return 0;
}

/* USER as a path: what is in front of the last @ in quotes where it must be. */
static _Bool
path_make(const char *user, char out[LINE])
{
	const char *at = strrchr(user, '@');
	size_t local = at != NULL ? (size_t)(at - user) : strlen(user), n = 0;

	if (has_control(user) || strlen(user) > 255 || *user == 0)
		return 0;
	if (is_plain(user) && memchr(user, '@', local) == NULL) {
		snprintf(out, LINE, "%s", user);
		return 1;
	}
	out[n++] = '"';
	for (size_t i = 0; i < local; i++) {
		if (user[i] == '"' || user[i] == '\\')
			out[n++] = '\\';
		out[n++] = user[i];
	}
	out[n++] = '"';
	snprintf(out + n, LINE - n, "%s", at != NULL ? at : "");
	return 1;
}

static _Bool
is_ascii(const char *s)
{
	for (; *s != 0; s++)
		if ((unsigned char)*s > 0x7e)
			return 0;
	return 1;
}

/* --- the message ---------------------------------------------------------------- */

struct wire {
	char buf[CHUNK];
	size_t n;
	char last;		/* octet, as the server reads it */
	_Bool lost;
};

static void
flush(struct wire *w)
{
	if (!w->lost && !send_all(w->buf, w->n))
		w->lost = 1;
	w->n = 0;
}

static void
put(struct wire *w, char c)
{
	if (w->n == sizeof(w->buf))
		flush(w);
	w->buf[w->n++] = c;
	w->last = c;
}

/* Line ends become CRLF, dots at their beginning two. */
static void
put_text(struct wire *w, const char *p, size_t n)
{
	for (; n > 0; p++, n--) {
		if (*p == '\n' && w->last != '\r')
			put(w, '\r');
		else if (*p == '.' && w->last == '\n')
			put(w, '.');
		put(w, *p);
	}
}

/* How long the line at P is, its end included. */
static size_t
line_n(const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n);

	return lf != NULL ? (size_t)(lf - p) + 1 : n;
}

/*
 * The length of what an MTA puts before a message for a program: a line
 * "From ", with which mboxes begin, and Return-Path, which says what the
 * caller has said if there is RENEWED.
 */
static size_t
envelope_n(const char *p, size_t n, _Bool renewed)
{
	static const char path[] = "Return-Path:";
	size_t skip = 0;

	if (n >= 5 && memcmp(p, "From ", 5) == 0)
		skip = line_n(p, n);
	if (renewed && n - skip >= sizeof(path) - 1 &&
	    strncasecmp(p + skip, path, sizeof(path) - 1) == 0)
		do
			skip += line_n(p + skip, n - skip);
		while (skip < n && (p[skip] == ' ' || p[skip] == '\t'));
	return skip;
}

/*
 * All of stdin, but for its Return-Path if it is RENEWED; false: it could not
 * be read or sent.
 */
static _Bool
text_send(_Bool renewed)
{
	static struct wire w = {.last = '\n'};
	static char in[CHUNK];
	size_t n = fread(in, 1, sizeof(in), stdin);
	size_t skip = envelope_n(in, n, renewed);

	do {
		put_text(&w, in + skip, n - skip);
		skip = 0;
	} while (!w.lost && (n = fread(in, 1, sizeof(in), stdin)) > 0);
	if (ferror(stdin)) {
		say(0, "cannot read the message: %s", strerror(errno));
		return 0;	/* its end is missing: nothing is delivered */
	}
	if (w.last != '\n') {
		put(&w, '\r');
		put(&w, '\n');
	}
	put(&w, '.');
	put(&w, '\r');
	put(&w, '\n');
	flush(&w);
	return !w.lost;
}

static int
deliver(const char *user, const char *sender, _Bool sender_known)
{
	const char *utf8 = is_ascii(user) && is_ascii(sender) ? "" :
	    " SMTPUTF8";
	char text[LINE], path[LINE];
	int status, code;

	if (!path_make(user, path))
		return say(EX_NOUSER, "no user has such a name");
	code = reply(text);
	status = code / 100 == 2 ? EX_OK : status_of(code, text);
	if (status == EX_OK)
		status = command(2, "LHLO localhost\r\n");
	if (status == EX_OK)
		status = command(2, "MAIL FROM:<%s>%s\r\n", sender, utf8);
	if (status == EX_OK)
		status = command(2, "RCPT TO:<%s>\r\n", path);
	if (status == EX_OK)
		status = command(3, "DATA\r\n");
	if (status != EX_OK)
		return status;
	if (!text_send(sender_known))
		return EX_TEMPFAIL;
	code = reply(text);
	status = status_of(code, text);
	send_all("QUIT\r\n", 6);
	return status;
}

static int
usage(void)
{
	fprintf(stderr, "usage: culver-deliver [-c file] -u user [-f sender] "
	    "< message\n");
	return EX_USAGE;
}

int
main(int argc, char **argv)
{
	const char *conf = NULL, *user = NULL, *sender = NULL;
	char run_dir[LINE];
	int opt;

	while ((opt = getopt(argc, argv, "c:f:u:")) != -1) {
		if (opt == 'c')
			conf = optarg;
		else if (opt == 'f')
			sender = strcmp(optarg, "<>") == 0 ? "" : optarg;
		else if (opt == 'u')
			user = optarg;
		else
			return usage();
	}
	if (user == NULL || optind != argc)
		return usage();
	if (sender != NULL && (has_control(sender) ||
	    strpbrk(sender, "<> ") != NULL))
		return say(EX_USAGE, "-f wants an address");
	signal(SIGPIPE, SIG_IGN);
	if (!run_dir_find(conf, run_dir))
		return say(EX_TEMPFAIL, "%s: %s", conf, strerror(errno));
	if (!deliver_connect(run_dir))
		return say(EX_TEMPFAIL, "%s/deliver: %s; does culverd run, "
		    "with a listener for LMTP?", run_dir, strerror(errno));
	return deliver(user, sender != NULL ? sender : "", sender != NULL);
}
