/*
 * load.c - get a configuration from a config role, and have its certificates
 * checked by certcheck, before anything uses either.
 *
 * Runs unprivileged in manager.  master opens the files and has the config
 * role's channel; what that role sends comes by way of master, in sealed
 * snapshots, of which only conf_master is read.  One load at a time.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/manager/manager.h"

struct load {
	struct generation *gen;
	struct child *child;
	load_done *done;
	int diag;
	_Bool complete;			/* the child said that it was all */
	uint32_t status;
	_Bool want_ticket;
	int ticket;
	int cert_fd[2 * CONF_MAX_CERT];
	struct ipc_cert_pair pair[CONF_MAX_CERT];	/* what went wrong */
	uint64_t certs;
};

static struct load *
load_new(struct generation *gen, load_done *done)
{
	struct load *l;

	if (manager.load != NULL || gen == NULL ||
	    (l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	*l = (struct load){.gen = gen, .done = done, .ticket = -1,
	    .diag = memfd_create("diagnosis", MFD_CLOEXEC)};
	memset(l->cert_fd, 0xff, sizeof(l->cert_fd));
	return manager.load = l;
}

static void
load_free(struct load *l)
{
	manager.load = NULL;
	fds_close(l->cert_fd, 2 * CONF_MAX_CERT);
	fds_close(&l->diag, 1);
	free(l);
	if (manager.reload_wanted)
		manager_reload();
}

static void
ticket_keep(int fd)
{
	if (fd < 0)
		return;
	fds_close(&manager.ticket[TICKETS - 1], 1);
	memmove(&manager.ticket[1], &manager.ticket[0],
	    (TICKETS - 1) * sizeof(int));
	manager.ticket[0] = fd;
}

/* The end of a load, good or bad. */
static void
load_finish(_Bool ok)
{
	struct load *l = manager.load;

	for (size_t i = 0; ok && i < 2 * CONF_MAX_CERT; i++) {
		int old = l->gen->cert_fd[i];

		l->gen->cert_fd[i] = l->cert_fd[i];
		l->cert_fd[i] = old;
	}
	l->gen->certs = l->certs;	/* a bad one is reported once */
	ticket_keep(l->ticket);
	l->done(ok ? l->gen : NULL, l->diag);
	if (!ok && l->gen != manager.gen)
		gen_unref(l->gen);
	load_free(l);
}

/* --- certcheck ------------------------------------------------------------ */

static void
mix(uint64_t *sum, uint64_t v)
{
	*sum = (*sum ^ v) * UINT64_C(0x100000001b3);
}

/* The files of certificate I and of its key, opened by master; mixed into a
 * number that changes when one, or what its name leads to, does. */
static void
pair_open(struct load *l, uint32_t i)
{
	struct ipc_opened answer[2];
	struct stat st;

	for (uint32_t k = 0; k < 2; k++) {
		int fd = master_open(OPEN_CERT, l->gen, 2 * i + k, &answer[k]);

		l->cert_fd[2 * i + k] = fd;
		if (fd < 0 || fstat(fd, &st) != 0)
			memset(&st, 0, sizeof(st));
		mix(&l->certs, st.st_dev);
		mix(&l->certs, st.st_ino);
		mix(&l->certs, (uint64_t)st.st_size);
		mix(&l->certs, (uint64_t)st.st_mtim.tv_sec);
		mix(&l->certs, (uint64_t)st.st_mtim.tv_nsec);
	}
	l->pair[i] = (struct ipc_cert_pair){.index = i,
	    .cert_error = answer[0].error, .key_error = answer[1].error};
}

static void
certs_open(struct load *l)
{
	l->certs = UINT64_C(0xcbf29ce484222325);
	for (uint32_t i = 0; i < l->gen->conf.n_cert; i++)
		pair_open(l, i);
}

static void
certcheck_start(struct load *l)
{
	const int fd[SLOTS] = {[FD_SNAPSHOT] = l->gen->cert_snap,
	    [FD_DIAG] = l->diag, [FD_ROOT] = manager.root_fd};
	struct ipc_cert_go go = {.want_ticket = l->want_ticket};
	int pair[2];

	l->complete = 0;
	l->child = child_new(R_CERTCHECK, l->gen, fd);
	if (l->child == NULL) {
		load_finish(0);
		return;
	}
	for (uint32_t i = 0; i < l->gen->conf.n_cert; i++) {
		unsigned n = 0;

		for (uint32_t k = 2 * i; k < 2 * i + 2; k++)
			if (l->cert_fd[k] >= 0)
				pair[n++] = l->cert_fd[k];
		child_tell(l->child, IPC_CERT_PAIR, &l->pair[i], pair, n);
	}
	child_tell(l->child, IPC_CERT_GO, &go, NULL, 0);
}

void
load_certs(_Bool ticket, load_done *done)
{
	struct load *l = load_new(manager.gen, done);

	if (l == NULL)
		return;
	l->want_ticket = ticket;
	certs_open(l);
	if (ticket || l->certs != l->gen->certs)
		certcheck_start(l);
	else
		load_free(l);
}

/* --- config role ---------------------------------------------------------- */

_Bool
load_start(_Bool ticket, load_done *done)
{
	struct load *l = load_new(gen_new(), done);
	int fd[SLOTS] = {0};

	if (l == NULL)
		return 0;
	fd[FD_DIAG] = l->diag;
	l->want_ticket = ticket;
	l->child = child_new(R_CONFIG, l->gen, fd);
	if (l->child == NULL)
		load_finish(0);
	else
		l->gen->config = l->child->instance;
	return 1;
}

/* Where a snapshot of KIND belongs; NULL: nowhere. */
static int *
snap_place(struct generation *gen, uint32_t kind, uint32_t i)
{
	switch (kind) {
	case CONF_MASTER:
		return &gen->master_snap;
	case CONF_GATE:
		return &gen->gate_snap;
	case CONF_AUTH:
		return &gen->auth_snap;
	case CONF_LOG:
		return &gen->log_snap;
	case CONF_CERTCHECK:
		return &gen->cert_snap;
	case CONF_POOL:
		return i < CONF_MAX_AUTH ? &gen->pool_snap[i] : NULL;
	}
	return NULL;
}

/* What a config role (by way of master) or a certcheck role says. */
void
load_message(enum ipc_role from, struct ipc_in *in)
{
	struct load *l = manager.load;
	int *place = NULL;

	if (l == NULL || l->child == NULL || l->child->role != from)
		return;
	switch (in->type) {
	case IPC_CONFIG_SNAP:
		if (in->m.config_snap.kind == CONF_STORAGE)
			return;		/* for workers: master keeps it */
		place = snap_place(l->gen, in->m.config_snap.kind,
		    in->m.config_snap.index);
		break;
	case IPC_CERT_TICKET:
		place = &l->ticket;
		break;
	case IPC_CONFIG_DONE:
		l->complete = 1;
		l->status = in->m.config_done.status;
		return;
	case IPC_CERT_DONE:
		l->complete = 1;
		l->status = in->m.cert_done.status;
		return;
	default:
		break;
	}
	if (place == NULL || *place >= 0) {
		child_end(l->child, "sent what nobody asked for");
		return;
	}
	*place = in->fd[0];
	in->fd[0] = -1;
}

/* Are all snapshots there that the configuration speaks of? */
static _Bool
gen_complete(struct generation *gen)
{
	_Bool ok = gen->master_snap >= 0 && gen->gate_snap >= 0 &&
	    gen->auth_snap >= 0 && gen->log_snap >= 0 && gen->cert_snap >= 0 &&
	    conf_read(gen->master_snap, CONF_MASTER, &gen->conf,
	    sizeof(gen->conf));

	for (uint32_t i = 0; ok && i < gen->conf.n_auth; i++)
		ok = gen->pool_snap[i] >= 0;
	return ok;
}

/* The role of this load is gone: go on, or end the load. */
void
load_exit(const struct child *c)
{
	struct load *l = manager.load;

	if (l == NULL || c != l->child)
		return;
	l->child = NULL;
	if (!l->complete)
		log_errorx("the %s role ended without an answer",
		    ipc_role_name(c->role));
	if (!l->complete || l->status != 0) {
		load_finish(0);
	} else if (c->role == R_CERTCHECK) {
		load_finish(1);
	} else if (!gen_complete(l->gen)) {
		log_errorx("the config role left something out");
		load_finish(0);
	} else if (l->gen->conf.n_cert == 0) {
		load_finish(1);
	} else {
		certs_open(l);
		certcheck_start(l);
	}
}
