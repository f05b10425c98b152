/*
 * ctl_control.c - the commands that ask a running culverd over its control
 * socket: who, kick, reload, upgrade; ctl_status.c has the others.
 *
 * Runs in culverctl as its caller.  Answers are fixed records in a memfd of
 * master; they are checked, since master may be of another version.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/master/records.h"
#include "core/tools/ctl.h"
#include "core/tools/ctl_conf.h"
#include "core/tools/ctl_control.h"

enum { ANSWER_MS = 90000 };	/* an upgrade may take 60 s, and a reload
				 * checks configuration and keys */

static struct ipc_in in;		/* the answer */

static int
connect_error(const char *path)
{
	switch (errno) {
	case ENOENT:
	case ECONNREFUSED:
		ctl_warnx("no culverd answers at %s: is it running, with this "
		    "configuration?", path);
		return -EX_UNAVAILABLE;
	case EACCES:
	case EPERM:
		ctl_warnx("%s is for root and the control_group only", path);
		return -EX_NOPERM;
	default:
		ctl_warn("%s", path);
		return -EX_UNAVAILABLE;
	}
}

/* A connection to master's control socket, or a negative exit status. */
static int
control_connect(struct ctl *ctl)
{
	static char *path;		/* found once */
	static int diag = -1;
	static off_t at;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = -1, dir = -1, status;

	if (ctl->socket != NULL && path == NULL)
		path = strdup(ctl->socket);
	else if (path == NULL && (status = conf_control_path(ctl, &path, &diag,
	    &at)) != 0)
		return -status;
	if (path == NULL)
		return -EX_OSERR;
	if (strlen(path) < sizeof(sun.sun_path)) {
		memcpy(sun.sun_path, path, strlen(path) + 1);
	} else {
		/* A long path is reached through its folder. */
		char *slash = strrchr(path, '/');

		*slash = 0;
		dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		snprintf(sun.sun_path, sizeof(sun.sun_path),
		    "/proc/self/fd/%d/%.64s", dir, slash + 1);
		*slash = '/';
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
		status = connect_error(path);
		/* The folder may be wrong because the file is. */
		if (diag >= 0)
			ctl_copy_text(diag, at, 2);
		if (fd >= 0)
			close(fd);
		fd = status;
	}
	if (dir >= 0)
		close(dir);
	return fd;
}

/* Wait for the answer on FD: false if there is none. */
static _Bool
control_answer(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, ANSWER_MS) == 1 &&
	    ipc_recv(fd, &in, R_MASTER, R_CTL, P_ANY) == IPC_GOT &&
	    in.type == IPC_CTL_ANSWER;
}

int
control_ask(struct ctl *ctl, enum ipc_type type, const void *msg)
{
	int fd = control_connect(ctl), status = 0;

	if (fd < 0)
		return -fd;
	if (ipc_send(fd, type, msg, NULL, 0) != CULVER_OK ||
	    !control_answer(fd)) {
		ctl_warnx("culverd gave no answer to %s", ctl->argv[0]);
		status = EX_UNAVAILABLE;
	}
	close(fd);
	return status;
}

_Bool
control_ask_older(struct ctl *ctl, uint32_t n, enum ipc_type type,
    const void *msg)
{
	const struct ipc_ctl_older older = {.n = n};
	int fd = control_connect(ctl);
	_Bool ok;

	if (fd < 0)
		return 0;
	ok = ipc_send(fd, IPC_CTL_OLDER, &older, NULL, 0) == CULVER_OK &&
	    ipc_send(fd, type, msg, NULL, 0) == CULVER_OK &&
	    control_answer(fd) && in.m.ctl_answer.status != ENXIO;
	close(fd);
	return ok;
}

/* The exit status for an answer that is a no; OTHER if it is not for want of
 * rights. */
static int
no_status(int other)
{
	const uint32_t why = in.m.ctl_answer.status;

	return why == EPERM || why == EACCES ? EX_NOPERM : other;
}

static int
refused(void)
{
	errno = (int)in.m.ctl_answer.status;
	ctl_warn("culverd refused");
	return no_status(EX_UNAVAILABLE);
}

int
answer_head(struct rec_head *head, uint32_t magic, size_t size)
{
	if (in.m.ctl_answer.status != 0)
		return refused();
	if (in.nfds != 1 || pread(in.fd[0], head, sizeof(*head), 0) !=
	    (ssize_t)sizeof(*head) || head->magic != magic ||
	    head->size != size || head->count != in.m.ctl_answer.count) {
		ctl_warnx("culverd and culverctl are of different versions: "
		    "restart culverd or use its culverctl");
		return EX_PROTOCOL;
	}
	head->version[sizeof(head->version) - 1] = 0;
	return 0;
}

_Bool
answer_record(uint32_t i, void *rec, size_t size)
{
	return pread(in.fd[0], rec, size, (off_t)(sizeof(struct rec_head) +
	    (uint64_t)i * size)) == (ssize_t)size;
}

int
answer_fd(void)
{
	return in.fd[0];
}

void
answer_done(void)
{
	ipc_done(&in);
}

/* The sessions of one answer; 0 or an exit status. */
static int
who_list(struct ctl_list *l)
{
	struct rec_head head;
	struct rec_who r;
	char id[20];
	int status = answer_head(&head, REC_MAGIC_WHO, sizeof(r));

	for (uint32_t i = 0; status == 0 && i < head.count; i++) {
		if (!answer_record(i, &r, sizeof(r)))
			return EX_PROTOCOL;
		r.user[sizeof(r.user) - 1] = 0;
		r.remote[sizeof(r.remote) - 1] = 0;
		r.mech[sizeof(r.mech) - 1] = 0;
		r.master[sizeof(r.master) - 1] = 0;
		snprintf(id, sizeof(id), "%016" PRIx64, r.session);
		list_text(l, id);
		list_text(l, r.user);
		list_text(l, r.remote);
		list_bool(l, (r.flags & IPC_TLS) != 0);
		list_text(l, r.mech);
		list_u64(l, r.uid);
		list_u64(l, r.pid);
		list_ns(l, r.age_ns);
		list_text(l, r.master);
	}
	ipc_done(&in);
	return status;
}

int
ctl_who(struct ctl *ctl)
{
	static const struct ctl_column columns[] = {{"session", 16},
	    {"user", 24}, {"remote", 20}, {"tls", 3}, {"mech", 6},
	    {"uid", 6}, {"pid", 8}, {"age", 8}, {"master", 12}};
	const struct ipc_ctl_who ask = {0};
	struct ctl_list l;
	int status;

	if (ctl->argc != 1)
		return ctl_usage(ctl);
	if ((status = control_ask(ctl, IPC_CTL_WHO, &ask)) != 0)
		return status;
	list_begin(&l, columns, 9, ctl->json);
	status = who_list(&l);
	for (uint32_t n = 0; status == 0 &&
	     control_ask_older(ctl, n, IPC_CTL_WHO, &ask); n++)
		status = who_list(&l);
	list_end(&l);
	if (ctl->json)
		printf("\n");
	return status;
}

static _Bool
session_parse(const char *text, uint64_t *out)
{
	char *end;

	if (strspn(text, "0123456789abcdefABCDEF") != strlen(text) ||
	    strlen(text) < 1 || strlen(text) > 16)
		return 0;
	*out = strtoull(text, &end, 16);
	return *out != 0;
}

/* Add to N how many were ended by the answer; 0 or an exit status. */
static int
kick_count(uint32_t *n)
{
	const uint32_t why = in.m.ctl_answer.status;

	if (why == 0)
		*n += in.m.ctl_answer.count;
	return why == 0 || why == ENOENT || why == ESRCH ? 0 : refused();
}

int
ctl_kick(struct ctl *ctl)
{
	struct ipc_ctl_kick ask = {.user = ""};
	uint32_t ended = 0;
	int status;

	if (ctl->argc == 3 && strcmp(ctl->argv[1], "--session") == 0) {
		if (!session_parse(ctl->argv[2], &ask.session)) {
			ctl_warnx("%s is not a session as `culverctl who` "
			    "shows it", ctl->argv[2]);
			return EX_USAGE;
		}
	} else if (ctl->argc == 2 && ctl->argv[1][0] != '-' &&
	    ctl->argv[1][0] != 0 && strlen(ctl->argv[1]) <= 255) {
		ask.user = ctl->argv[1];
	} else {
		return ctl_usage(ctl);
	}
	if ((status = control_ask(ctl, IPC_CTL_KICK, &ask)) != 0 ||
	    (status = kick_count(&ended)) != 0)
		return status;
	for (uint32_t n = 0; status == 0 &&
	     control_ask_older(ctl, n, IPC_CTL_KICK, &ask); n++)
		status = kick_count(&ended);
	if (status != 0)
		return status;
	if (ctl->json)
		printf("{\"ended\": %" PRIu32 "}\n", ended);
	else if (ended > 0)
		printf("sessions told to end: %" PRIu32 "\n", ended);
	else
		ctl_warnx("no session %s%s", ctl->argc == 2 ? "of " : "",
		    ctl->argv[ctl->argc - 1]);
	return ended > 0 ? 0 : 1;
}

int
ctl_auth_flush(struct ctl *ctl)
{
	struct ipc_ctl_flush ask = {.user = ctl->argc == 2 ? ctl->argv[1] :
	    ""};
	int status;

	if (ctl->argc > 2 || (ctl->argc == 2 && (ask.user[0] == 0 ||
	    ask.user[0] == '-' || strlen(ask.user) > 255)))
		return ctl_usage(ctl);
	if ((status = control_ask(ctl, IPC_CTL_FLUSH, &ask)) != 0)
		return status;
	return in.m.ctl_answer.status == 0 ? 0 : refused();
}

int
ctl_reload(struct ctl *ctl)
{
	const struct ipc_ctl_reload ask = {0};
	int status;

	if (ctl->argc != 1)
		return ctl_usage(ctl);
	if ((status = control_ask(ctl, IPC_CTL_RELOAD, &ask)) != 0)
		return status;
	if (in.nfds == 1)
		ctl_copy_text(in.fd[0], 0, 2);
	if (in.m.ctl_answer.status == 0)
		return 0;
	errno = (int)in.m.ctl_answer.status;
	if (in.nfds == 1)
		ctl_warnx("culverd refused the configuration; nothing "
		    "changed");
	else
		ctl_warn("culverd did not reload; nothing changed");
	return no_status(1);
}

int
ctl_upgrade(struct ctl *ctl)
{
	const struct ipc_ctl_upgrade ask = {0};
	int status;

	if (ctl->argc != 1)
		return ctl_usage(ctl);
	if ((status = control_ask(ctl, IPC_CTL_UPGRADE, &ask)) != 0)
		return status;
	if (in.nfds == 1)
		ctl_copy_text(in.fd[0], 0, 2);
	errno = (int)in.m.ctl_answer.status;
	if (errno == 0 && ctl->json)
		printf("{\"pid\": %" PRIu32 "}\n", in.m.ctl_answer.count);
	else if (errno == 0)
		printf("process %" PRIu32 " serves from now on\n",
		    in.m.ctl_answer.count);
	else if (in.nfds == 1)
		ctl_warnx("the new culverd did not start; the old one goes "
		    "on, and nothing changed");
	else
		ctl_warn("culverd refused");
	return in.m.ctl_answer.status == 0 ? 0 : no_status(1);
}
