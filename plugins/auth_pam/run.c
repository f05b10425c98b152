/*
 * run.c - one call of PAM in a process of its own, so that modules that hang,
 * exit, leak or change what belongs to their process do that to nobody else.
 *
 * Runs in a pool process and in the child that it forks for a login.  What the
 * child writes is checked: a module may have written it.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <culver/util.h>

#include "plugins/auth_pam/pam.h"

#define END_TIME (200 * PROGRAM_MS)
#define RESULT_FD (STDERR_FILENO + 1)	/* in the child */

/* --- in the child -------------------------------------------------------- */

/* Delays are the coordinator's: a process that sleeps serves nobody. */
static void
no_delay(int code, unsigned usec, void *data)
{
	(void)code, (void)usec, (void)data;
}

static int
items_set(pam_handle_t *pam, const struct pam_job *job)
{
	/* modules of times and places want a terminal */
	int code = pam_set_item(pam, PAM_TTY, "culver");

	if (code == PAM_SUCCESS && job->remote[0] != 0)
		code = pam_set_item(pam, PAM_RHOST, job->remote);
	if (code == PAM_SUCCESS)
		code = pam_set_item(pam, PAM_FAIL_DELAY,
		    (const void *)no_delay);
	return code;
}

static void
user_get(pam_handle_t *pam, struct pam_result *res)
{
	const void *user = NULL;

	if (pam_get_item(pam, PAM_USER, &user) == PAM_SUCCESS && user != NULL)
		snprintf(res->user, sizeof(res->user), "%s",
		    (const char *)user);
}

static void
pam_ask(const struct pam_job *job, struct talk *t, struct pam_result *res)
{
	const struct pam_conv conv = {talk_conv, t};
	pam_handle_t *pam = NULL;

	res->phase = PHASE_START;
	res->code = pam_start(job->service, job->user, &conv, &pam);
	if (res->code == PAM_SUCCESS)
		res->code = items_set(pam, job);
	if (res->code == PAM_SUCCESS) {
		res->phase = PHASE_AUTH;
		res->code = pam_authenticate(pam, PAM_DISALLOW_NULL_AUTHTOK);
	}
	if (res->code == PAM_SUCCESS && job->account) {
		res->phase = PHASE_ACCOUNT;
		res->code = pam_acct_mgmt(pam, PAM_DISALLOW_NULL_AUTHTOK);
	}
	if (res->code == PAM_SUCCESS)
		user_get(pam, res);
	snprintf(res->error, sizeof(res->error), "%s",
	    pam_strerror(pam, res->code));
	if (pam != NULL)
		pam_end(pam, res->code);
}

static void __attribute__((noreturn))
child(const struct pam_job *job, int out, pid_t parent)
{
	static struct pam_result res;
	static struct talk t;

	t.password = job->password;
	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	/* modules get nothing by which the pool is asked, and answers */
	if (!program_apart() || getppid() != parent ||
	    (out != RESULT_FD && dup3(out, RESULT_FD, O_CLOEXEC) < 0) ||
	    close_range(RESULT_FD + 1, UINT_MAX, 0) != 0)
		_exit(1);
	pam_ask(job, &t, &res);
	res.note.n = t.n_notes;
	memcpy(res.note.text, t.note, sizeof(t.note));
	memcpy(res.refused, t.refused, sizeof(t.refused));
	_Static_assert(sizeof(res) <= 4096, "is written at once");
	_exit(write(RESULT_FD, &res, sizeof(res)) != sizeof(res));
}

/* --- in the pool process -------------------------------------------------- */

static bool
text_ends(const char *text, size_t size)
{
	return memchr(text, 0, size) != NULL;
}

static bool
result_check(const struct pam_result *r)
{
	if (r->phase > PHASE_ACCOUNT || r->note.n > TALK_NOTES ||
	    !text_ends(r->user, sizeof(r->user)) ||
	    !text_ends(r->error, sizeof(r->error)) ||
	    !text_ends(r->refused, sizeof(r->refused)))
		return false;
	for (uint32_t i = 0; i < r->note.n; i++)
		if (!text_ends(r->note.text[i], TALK_TEXT))
			return false;
	return true;
}

/* Read the result; OK, E_TIMEOUT, or E_TEMP at an end before it. */
static culver_status
result_read(const struct culver_host *host, int fd, uint64_t deadline,
    struct pam_result *out)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t have = 0;

	while (have < sizeof(*out)) {
		uint64_t now = host->now(host);
		uint64_t ms = deadline > now ? (deadline - now) / 1000000 : 0;
		ssize_t n;
		int r;

		if (deadline <= now)
			return CULVER_E_TIMEOUT;
		r = poll(&p, 1, ms < 60000 ? (int)ms + 1 : 60000);
		if (r == 0 || (r < 0 && errno == EINTR))
			continue;
		n = r < 0 ? -1 : read(fd, (char *)out + have,
		    sizeof(*out) - have);
		if (n <= 0)
			return CULVER_E_TEMP;
		have += (size_t)n;
	}
	return CULVER_OK;
}

static culver_status
start(struct culver_auth *au, const struct pam_job *job, int *fd,
    struct culver_call *call)
{
	pid_t parent = getpid();
	int end[2], status, err;

	if (!program_end(&au->child, 0, &status))
		return culver_fail(call, CULVER_E_TEMP, 0, "PAM service %s: "
		    "the process of an earlier login cannot be ended",
		    job->service);
	if (pipe2(end, O_CLOEXEC) != 0)
		return culver_fail(call, CULVER_E_TEMP, errno, "PAM: pipe");
	au->child.pid = fork();
	if (au->child.pid == 0)
		child(job, end[1], parent);
	err = errno;
	close(end[1]);
	*fd = end[0];
	if (au->child.pid > 0)
		return CULVER_OK;
	au->child.pid = 0;
	close(end[0]);
	return culver_fail(call, CULVER_E_TEMP, err, "PAM: fork");
}

culver_status
pam_run(struct culver_auth *au, const struct pam_job *job, uint64_t deadline,
    struct pam_result *out, struct culver_call *call)
{
	culver_status st;
	char how[64];
	int fd = -1, status;

	*out = (struct pam_result){.code = PAM_SYSTEM_ERR};
	st = start(au, job, &fd, call);
	if (st != CULVER_OK)
		return st;
	st = result_read(au->host, fd, deadline, out);
	close(fd);
	/* one that closed its pipe is about to end */
	program_end(&au->child, st == CULVER_E_TEMP ?
	    au->host->now(au->host) + END_TIME : 0, &status);
	if (st == CULVER_OK && result_check(out))
		return CULVER_OK;
	if (st == CULVER_E_TIMEOUT)
		return culver_fail(call, st, 0, "PAM service %s did not "
		    "answer in time: its process was ended", job->service);
	return culver_fail(call, CULVER_E_TEMP, 0, "PAM service %s did not "
	    "answer: a module's process %s", job->service,
	    program_status_text(status, how));
}
