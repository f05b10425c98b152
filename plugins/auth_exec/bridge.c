/*
 * bridge.c - the program that is kept running: start, hello, one request and
 * its answer at a time.
 *
 * Runs in a pool process as the auth user.  Whatever the program does that
 * the protocol does not have ends it: there is no way to find the right answer
 * again in what it says.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/auth_exec/exec.h"

#define PAUSE_MAX (10000 * PROGRAM_MS)
#define LAST_WORDS (100 * PROGRAM_MS)	/* to end by itself, once it is over */
#define END_TIME (1000 * PROGRAM_MS)	/* when the plugin ends */

static char *const environment[] = {
	(char[]){"PATH=/usr/local/bin:/usr/bin:/bin"},
	(char[]){"LANG=C.UTF-8"}, (char[]){"HOME=/"}, NULL
};

static uint64_t
now(const struct bridge *b)
{
	return b->host->now(b->host);
}

/* --- the end -------------------------------------------------------------- */

static void
hang_up(struct bridge *b)
{
	if (b->fd >= 0)
		close(b->fd);
	b->fd = -1;
	b->can = 0;
}

/* There is no program from now on, because of WHY; it may end by itself within
 * PATIENCE.  E_TEMP. */
static culver_status
down(struct bridge *b, uint64_t patience, const char *why,
    struct culver_call *call)
{
	int status = -1;
	char text[64] = "";

	hang_up(b);
	program_end(&b->program, now(b) + patience, &status);
	snprintf(b->error, sizeof(b->error), "%.100s %s", b->program.name,
	    why != NULL ? why : program_status_text(status, text));
	/* once may happen; twice in a row is likely to happen again */
	backoff_failed(&b->backoff, now(b), 1, PAUSE_MAX);
	return culver_fail(call, CULVER_E_TEMP, 0, "%s", b->error);
}

culver_status
bridge_breach(struct bridge *b, const char *why, struct culver_call *call)
{
	char text[120];

	snprintf(text, sizeof(text), "broke the protocol and was killed: %s",
	    why);
	return down(b, 0, text, call);
}

/* --- to and fro ----------------------------------------------------------- */

/* Wait for EVENTS on the program's socket, or the time UNTIL, and log what it
 * says meanwhile.  False: time is over. */
static bool
await(struct bridge *b, short events, uint64_t until)
{
	struct pollfd p[2];

	for (;;) {
		p[0] = (struct pollfd){.fd = b->fd, .events = events};
		p[1] = (struct pollfd){.fd = b->program.err,
		    .events = POLLIN};
		if (poll(p, 2, program_left(b->host, until)) < 0 &&
		    errno != EINTR)
			return false;
		if (p[1].revents != 0)
			program_listen(&b->program);
		if (p[0].revents != 0)
			return true;
		if (now(b) >= until)
			return false;
	}
}

static culver_status
line_send(struct bridge *b, uint64_t until, struct culver_call *call)
{
	size_t at = 0;
	ssize_t n;

	while (at < b->line.n) {
		n = send(b->fd, b->out + at, b->line.n - at,
		    MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			at += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return down(b, LAST_WORDS, NULL, call);
		else if (!await(b, POLLOUT, until))
			return down(b, 0, "did not take a request in time and "
			    "was killed", call);
	}
	return CULVER_OK;
}

/* The one line that answers; then b->answer. */
static culver_status
line_receive(struct bridge *b, uint64_t until, struct culver_call *call)
{
	const char *lf = NULL, *why;
	ssize_t n;

	b->in_n = 0;
	while (lf == NULL) {
		if (!await(b, POLLIN, until))
			return down(b, 0, "did not answer in time and was "
			    "killed", call);
		n = recv(b->fd, b->in + b->in_n, EXEC_LINE - b->in_n,
		    MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return down(b, LAST_WORDS, NULL, call);
		if (n > 0)
			lf = memchr(b->in + b->in_n, '\n', (size_t)n);
		b->in_n += n > 0 ? (size_t)n : 0;
		if (lf == NULL && b->in_n == EXEC_LINE)
			return bridge_breach(b, "a line is too long", call);
	}
	if (lf != b->in + b->in_n - 1)
		return bridge_breach(b, "more than one line", call);
	if (!exec_parse(b->in, b->in_n - 1, &b->answer, &why))
		return bridge_breach(b, why, call);
	return CULVER_OK;
}

static uint64_t
time_limit(const struct bridge *b, const struct culver_call *call)
{
	uint64_t until = now(b) + b->timeout;

	return until < call->deadline ? until : call->deadline;
}

/* --- requests ------------------------------------------------------------- */

void
bridge_begin(struct bridge *b, const char *word)
{
	exec_begin(&b->line, word);
	exec_number(&b->line, "id", ++b->id);
}

culver_status
bridge_ask(struct bridge *b, struct culver_call *call)
{
	uint64_t until = time_limit(b, call);
	struct span id;
	char want[24];
	culver_status st;

	exec_end(&b->line);
	if (b->line.full)
		return culver_fail(call, CULVER_E_TEMP, 0, "%.100s: a request "
		    "of more than %d octets", b->program.name, EXEC_LINE);
	st = line_send(b, until, call);
	if (st == CULVER_OK)
		st = line_receive(b, until, call);
	if (st != CULVER_OK)
		return st;
	snprintf(want, sizeof(want), "%llu", (unsigned long long)b->id);
	id = exec_get(&b->answer, "id");
	if (!span_is(id, want))
		return bridge_breach(b, "an answer with another id", call);
	backoff_over(&b->backoff);
	return CULVER_OK;
}

void
bridge_done(struct bridge *b)
{
	b->host->wipe(b->in, b->in_n);
	b->host->wipe(b->out, b->line.n);
	b->in_n = b->line.n = 0;
}

/* --- the program ---------------------------------------------------------- */

/* What its hello says that it can; 0: nothing. */
static unsigned
can_parse(struct span text)
{
	static const char *const words[] = {"verify", "user", "creds",
	    "token", "external"};
	unsigned can = 0;

	while (text.n > 0) {
		const char *comma = memchr(text.p, ',', text.n);
		size_t n = comma != NULL ? (size_t)(comma - text.p) : text.n;
		struct span word = {text.p, n};

		for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (span_is(word, words[i]))
				can |= 1u << i;
		n += comma != NULL;
		text.p += n;
		text.n -= n;
	}
	return can;
}

static culver_status
hello(struct bridge *b, struct culver_call *call)
{
	uint64_t until = time_limit(b, call);
	culver_status st;

	exec_begin(&b->line, "hello");
	exec_text(&b->line, "version", "1");
	exec_end(&b->line);
	st = line_send(b, until, call);
	if (st == CULVER_OK)
		st = line_receive(b, until, call);
	if (st != CULVER_OK)
		return st;
	if (!span_is(b->answer.word, "hello"))
		return bridge_breach(b, "it did not begin with hello", call);
	if (!span_is(exec_get(&b->answer, "version"), "1"))
		return bridge_breach(b, "it has no version 1", call);
	b->can = can_parse(exec_get(&b->answer, "can"));
	if (b->can == 0)
		return bridge_breach(b, "it says that it can nothing of what "
		    "is known", call);
	return CULVER_OK;
}

static culver_status
start(struct bridge *b, struct culver_call *call)
{
	int fd[2];
	culver_status st;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0)
		return culver_fail(call, CULVER_E_TEMP, errno, "socketpair");
	st = program_start(&b->program, b->argv, environment,
	    (const int[]){fd[1], fd[1], PROGRAM_LOG}, 3, call);
	close(fd[1]);
	b->fd = fd[0];
	if (st != CULVER_OK) {
		struct culver_error why = *call->err;

		down(b, 0, NULL, call);
		snprintf(b->error, sizeof(b->error), "%.140s: %.50s",
		    why.text, strerror(why.sys_errno));
		*call->err = why;
		return st;
	}
	return hello(b, call);
}

/* Is it still there, and silent? */
static culver_status
look(struct bridge *b, struct culver_call *call)
{
	struct pollfd p = {.fd = b->fd, .events = POLLIN};
	culver_status st;
	char c;

	if (poll(&p, 1, 0) <= 0)
		return CULVER_OK;
	if (recv(b->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		return bridge_breach(b, "it spoke without being asked", call);
	st = down(b, LAST_WORDS, NULL, call);
	return now(b) < b->backoff.not_before ? st : CULVER_OK;
}

culver_status
bridge_ready(struct bridge *b, struct culver_call *call)
{
	int status;
	culver_status st;

	if (now(b) >= call->deadline)
		return culver_fail(call, CULVER_E_TIMEOUT, 0, "%.100s was not "
		    "asked: the time is over", b->program.name);
	program_quiet(&b->program);
	program_listen(&b->program);
	st = b->fd >= 0 ? look(b, call) : CULVER_OK;
	if (st != CULVER_OK || b->fd >= 0)
		return st;
	if (now(b) < b->backoff.not_before)
		return culver_fail(call, CULVER_E_TEMP, 0, "%s", b->error);
	if (b->program.pid > 0 && !program_end(&b->program, 0, &status))
		return culver_fail(call, CULVER_E_TEMP, 0, "%.100s was killed "
		    "and does not end", b->program.name);
	return start(b, call);
}

bool
bridge_open(struct bridge *b, const struct culver_host *host,
    const struct culver_value *opt)
{
	*b = (struct bridge){.host = host, .fd = -1,
	    .timeout = (uint64_t)opt[OPT_TIMEOUT].u.i,
	    .program = {.host = host, .err = -1,
		.name = opt[OPT_PROGRAM].u.list.v[0].p},
	    .argv = program_argv(&opt[OPT_PROGRAM], 0),
	    .in = malloc(EXEC_LINE + 1), .out = malloc(EXEC_LINE + 1)};
	b->line = (struct exec_out){.p = b->out, .cap = EXEC_LINE};
	return b->argv != NULL && b->in != NULL && b->out != NULL;
}

void
bridge_close(struct bridge *b)
{
	int status;

	if (b->fd >= 0 && b->program.pid > 0) {
		/* The end of its input tells it to end; then a signal. */
		hang_up(b);
		if (!program_wait(&b->program, now(b) + END_TIME))
			kill(b->program.pid, SIGTERM);
	}
	hang_up(b);
	program_end(&b->program, now(b) + END_TIME, &status);
	free(b->argv);
	free(b->in);
	free(b->out);
}
