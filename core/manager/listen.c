/*
 * listen.c - the sockets that a generation listens on, and its spool folder.
 *
 * Runs unprivileged in manager.  A socket is the last generation's, or one
 * that the service manager made before culverd started (sd_listen_fds(3)), or
 * one of the culverd that this one succeeds, or one that master makes: in this
 * order, by the address.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/manager/manager.h"

enum { PASSED_MAX = 125 + CONF_MAX_LISTEN };	/* there are no more */

static struct passed {
	int fd;
	uint32_t number;		/* of the descriptor, for messages */
	struct sockaddr_storage addr;
	socklen_t len;
	_Bool used, handed;		/* not the service manager's */
} passed[PASSED_MAX];
static unsigned n_passed;

/* Keep FD if it is a listening stream socket with an address; false: closed. */
static _Bool
passed_add(int fd, uint32_t number, _Bool handed)
{
	struct passed p = {.fd = fd, .number = number, .handed = handed,
	    .len = sizeof(p.addr)};
	int type, listens;
	socklen_t n = sizeof(int);

	if (n_passed == PASSED_MAX ||
	    getsockname(fd, (struct sockaddr *)&p.addr, &p.len) != 0 ||
	    p.len > sizeof(p.addr) ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0 ||
	    type != SOCK_STREAM || getsockopt(fd, SOL_SOCKET,
	    SO_ACCEPTCONN, &listens, &n) != 0 || !listens) {
		close(fd);
		return 0;
	}
	passed[n_passed++] = p;
	return 1;
}

void
listen_handed(int fd)
{
	if (!passed_add(fd, 0, 1))
		log_warnx("the older culverd handed something over that is "
		    "no listening socket");
}

/* Those that nobody else holds open, or (ALL) all. */
static void
passed_close(_Bool all)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n_passed; i++)
		if (all || passed[i].handed)
			close(passed[i].fd);
		else
			passed[kept++] = passed[i];
	n_passed = kept;
}

void
listen_close(void)
{
	passed_close(1);
}

/* Ask master for what the service manager passed, once. */
static void
passed_get(const struct generation *gen)
{
	static _Bool got;
	struct ipc_opened answer;
	int fd;

	for (uint32_t i = 0; !got && i < PASSED_MAX && (fd =
	     master_open(OPEN_PASSED, gen, i, &answer)) >= 0; i++)
		if (!passed_add(fd, 3 + i, 0))
			log_warnx("descriptor %u that the service manager "
			    "passed is no listening stream socket: not used",
			    3 + i);
	got = 1;
}

/* A unix socket's name may come with or without the NUL behind it. */
static _Bool
same(const struct conf_listen *l, const struct sockaddr_storage *addr,
    socklen_t len)
{
	const char *a = ((const struct sockaddr_un *)&l->addr)->sun_path;
	const char *b = ((const struct sockaddr_un *)addr)->sun_path;

	if (l->addr.ss_family != addr->ss_family)
		return 0;
	return addr->ss_family == AF_UNIX ? strncmp(a, b,
	    sizeof(((struct sockaddr_un *)0)->sun_path)) == 0 :
	    l->addr_len == len && memcmp(&l->addr, addr, len) == 0;
}

static int
listen_get(const struct generation *gen, uint32_t i,
    const struct generation *old)
{
	const struct conf_listen *l = &gen->conf.listen[i];
	struct ipc_opened answer;
	int fd = -1;

	for (uint32_t j = 0; old != NULL && j < old->conf.n_listen; j++)
		if (same(l, &old->conf.listen[j].addr,
		    old->conf.listen[j].addr_len) && old->listen_fd[j] >= 0)
			return fcntl(old->listen_fd[j], F_DUPFD_CLOEXEC, 3);
	/* one may have come by both ways */
	for (struct passed *p = passed; p < passed + n_passed; p++)
		if (same(l, &p->addr, p->len)) {
			p->used = 1;
			if (fd < 0)
				fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 3);
		}
	return fd >= 0 ? fd : master_open(OPEN_LISTEN, gen, i, &answer);
}

/* The folder of mail on its way, if there is to be any. */
static _Bool
spool_open(struct generation *gen, int diag)
{
	struct ipc_opened answer = {0};
	_Bool wanted = 0;

	for (uint32_t i = 0; i < gen->conf.n_listen; i++)
		wanted |= gen->conf.listen[i].protocol == CONF_SPEAKS_LMTP;
	if (wanted)
		gen->spool = master_open(OPEN_SPOOL, gen, 0, &answer);
	if (!wanted || gen->spool >= 0)
		return 1;
	dprintf(diag, "%s: state_dir: %s/spool: %s\n", manager.conf_path,
	    gen->conf.state_dir, strerror(errno));
	return 0;
}

_Bool
gen_listen(struct generation *gen, const struct generation *old, int diag)
{
	_Bool ok = spool_open(gen, diag);

	passed_get(gen);
	for (uint32_t i = 0; i < gen->conf.n_listen; i++) {
		const struct conf_listen *l = &gen->conf.listen[i];

		gen->listen_fd[i] = listen_get(gen, i, old);
		if (gen->listen_fd[i] >= 0)
			continue;
		dprintf(diag, "%s:%u: listen: %s: %s\n", manager.conf_path,
		    l->line, l->text, strerror(errno));
		ok = 0;
	}
	for (struct passed *p = passed; old == NULL && p < passed + n_passed;
	     p++)
		if (!p->used && !p->handed)
			dprintf(diag, "%s: warning: the service manager "
			    "passed descriptor %u, a socket with an address "
			    "that no section listen has: its clients wait for "
			    "ever\n", manager.conf_path, p->number);
	passed_close(0);
	return ok;
}
