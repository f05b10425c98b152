/*
 * run.c - one run of the program: what it is given, what it answers, its end.
 *
 * Runs in a pool process as the auth user.  The program gets name and password
 * on descriptor 3, and what it runs in turn answers on descriptor 4.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/auth_checkpassword/checkpassword.h"

enum {
	N_FDS = 5, N_ENV = 10,
	LOOK_MS = 50	/* so often whether it has ended */
};

/* --- what it is given ------------------------------------------------------- */

/* "login NUL password NUL timestamp NUL" into a pipe; its reading end, or -1
 * with errno. */
static int
input_open(const struct culver_auth *au, const char *user,
    const struct culver_str *password)
{
	char text[CHECK_INPUT];
	size_t name_n = strlen(user) + 1, n = name_n;
	size_t password_n = password != NULL ? password->n : 0;
	int fd[2], err = 0;

	if (name_n + password_n + 2 > sizeof(text)) {
		errno = EMSGSIZE;
		return -1;
	}
	if (pipe2(fd, O_CLOEXEC) != 0)
		return -1;
	memcpy(text, user, name_n);
	if (password_n > 0)
		memcpy(text + n, password->p, password_n);
	n += password_n;
	text[n++] = 0;
	text[n++] = 0;
	/* A pipe has room for it, and somebody to read it: this process. */
	if (write(fd[1], text, n) != (ssize_t)n)
		err = errno;
	au->host->wipe(text, sizeof(text));
	close(fd[1]);
	if (err != 0) {
		close(fd[0]);
		errno = err;
		return -1;
	}
	return fd[0];
}

/* NAME=VALUE for the environment; "" is as good as none. */
static char *
variable(char buf[128], const char *name, const char *value)
{
	snprintf(buf, 128, "%s=%s", name, value != NULL ? value : "");
	return buf;
}

static culver_status
start(struct culver_auth *au, const struct culver_auth_req *rq,
    bool lookup, const int *fd, struct culver_call *call)
{
	char service[128], remote[128], local[128];
	char *env[N_ENV] = {(char[]){"PATH=/usr/local/bin:/usr/bin:/bin"},
	    (char[]){"LANG=C.UTF-8"}, (char[]){"PROTO=TCP"},
	    variable(service, "SERVICE", rq->service),
	    variable(remote, "TCPREMOTEIP", rq->remote),
	    variable(local, "TCPLOCALIP", rq->local),
	    lookup ? (char[]){"AUTHORIZED=1"} : NULL};

	return program_start(&au->program, au->argv, env, fd, N_FDS, call);
}

/* --- what it answers -------------------------------------------------------- */

/* Read what there is in FD, which does not block.  E_TEMP if it is too much;
 * *END: there will be no more. */
static culver_status
answer_take(struct culver_auth *au, int fd, bool *end,
    struct culver_call *call)
{
	ssize_t n = 1;

	while (n > 0 && au->n < sizeof(au->buf)) {
		n = read(fd, au->buf + au->n, sizeof(au->buf) - au->n);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return culver_fail(call, CULVER_E_TEMP, errno, "read");
		au->n += n > 0 ? (size_t)n : 0;
	}
	*end = n == 0;
	return au->n < sizeof(au->buf) ? CULVER_OK : culver_fail(call,
	    CULVER_E_TEMP, 0, "%.100s answers with more than %d octets",
	    au->program.name, CHECK_REPLY - 1);
}

/* Read to the end of FD, or what is there when the program has ended: it may
 * have left others behind that hold it open. */
static culver_status
answer_read(struct culver_auth *au, int fd, uint64_t until,
    struct culver_call *call)
{
	bool end = false, over = false;
	culver_status st = CULVER_OK;
	struct pollfd p[2];
	int left;

	for (au->n = 0; st == CULVER_OK && !end && !over;) {
		left = program_left(au->host, until);
		if (left == 0)
			return culver_fail(call, CULVER_E_TEMP, 0, "%.100s "
			    "did not end in time and was killed",
			    au->program.name);
		p[0] = (struct pollfd){.fd = fd, .events = POLLIN};
		p[1] = (struct pollfd){.fd = au->program.err,
		    .events = POLLIN};
		over = poll(p, 2, left < LOOK_MS ? left : LOOK_MS) == 0 &&
		    program_wait(&au->program, 0);
		program_listen(&au->program);
		st = answer_take(au, fd, &end, call);
	}
	return st;
}

/* "name=value NUL ... NUL" of the buffer into ROW. */
static culver_status
answer_parse(struct culver_auth *au, struct auth_row *row,
    struct culver_call *call)
{
	char *p = au->buf, *end = p + au->n, *eq, *nul;
	culver_status st = CULVER_OK;

	row->n = 0;
	row->rows = 1;
	while (st == CULVER_OK && p < end && *p != 0) {
		nul = memchr(p, 0, (size_t)(end - p));
		eq = nul != NULL ? memchr(p, '=', (size_t)(nul - p)) : NULL;
		if (eq == NULL)
			break;
		*eq = 0;
		st = auth_row_add(au->host, row, p, eq + 1,
		    (size_t)(nul - eq) - 1, call);
		p = nul + 1;
	}
	if (st == CULVER_OK && (p != end - 1 || *p != 0))
		return culver_fail(call, CULVER_E_TEMP, 0, "%.100s did not run "
		    "the program in its arguments, which answers for it",
		    au->program.name);
	return st;
}

/* Wait for all of it; then nothing of the run is left. */
static culver_status
finish(struct culver_auth *au, int fd, int *status, struct culver_call *call)
{
	uint64_t now = au->host->now(au->host);
	uint64_t until = now + (uint64_t)au->opt[OPT_TIMEOUT].u.i;
	culver_status st;
	char text[64];

	if (until > call->deadline)
		until = call->deadline;
	st = answer_read(au, fd, until, call);
	program_end(&au->program, st == CULVER_OK ? until : 0, status);
	if (st == CULVER_OK && (*status == -1 || WIFSIGNALED(*status)))
		return culver_fail(call, CULVER_E_TEMP, 0, "%.100s %s",
		    au->program.name, program_status_text(*status, text));
	*status = st == CULVER_OK ? WEXITSTATUS(*status) : -1;
	return st;
}

culver_status
check_run(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, int *status, struct auth_row *row,
    struct culver_call *call)
{
	int fd[N_FDS] = {-1, PROGRAM_LOG, PROGRAM_LOG, -1, -1};
	int none[2] = {-1, -1}, out[2] = {-1, -1};
	culver_status st;

	if (au->host->now(au->host) >= call->deadline)
		return culver_fail(call, CULVER_E_TIMEOUT, 0, "%.100s was not "
		    "run: the time is over", au->program.name);
	program_quiet(&au->program);
	if (au->program.pid > 0 && !program_end(&au->program, 0, status))
		return culver_fail(call, CULVER_E_TEMP, 0, "%.100s was killed "
		    "and does not end", au->program.name);
	fd[3] = input_open(au, rq->user, password);
	if (fd[3] < 0 || pipe2(none, O_CLOEXEC) != 0 ||
	    pipe2(out, O_CLOEXEC) != 0 ||
	    fcntl(out[0], F_SETFL, O_NONBLOCK) != 0) {
		st = culver_fail(call, CULVER_E_TEMP, errno, "pipe");
	} else {
		close(none[1]);
		none[1] = -1;
		fd[0] = none[0];
		fd[4] = out[1];
		st = start(au, rq, password == NULL, fd, call);
		close(out[1]);
		out[1] = -1;
		if (st == CULVER_OK)
			st = finish(au, out[0], status, call);
	}
	for (unsigned i = 0; i < 2; i++) {
		if (none[i] >= 0)
			close(none[i]);
		if (out[i] >= 0)
			close(out[i]);
	}
	if (fd[3] >= 0)
		close(fd[3]);
	if (st == CULVER_OK && *status == (password != NULL ? 0 : 2))
		st = answer_parse(au, row, call);
	au->host->wipe(au->buf, sizeof(au->buf));
	return st;
}
