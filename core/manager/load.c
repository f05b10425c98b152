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

#define STAMP UINT64_C(0xcbf29ce484222325)

struct load {
	struct generation *gen;
	struct child *child;
	load_done *done;
	int diag;
	_Bool complete;			/* the child said that it was all */
	uint32_t status;
	_Bool want_ticket;
	int ticket;
	int certs_fd;			/* what certcheck found right */
	uint64_t certs;			/* stamp of the files looked at */
	uint64_t expires;		/* the first certificate */
	uint32_t next, end;		/* pairs to send to certcheck */
	_Bool all_sent;
};

static struct load *
load_new(struct generation *gen, load_done *done)
{
	struct load *l;

	if (manager.load != NULL || gen == NULL ||
	    (l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	*l = (struct load){.gen = gen, .done = done, .ticket = -1,
	    .certs_fd = -1, .certs = STAMP,
	    .diag = memfd_create("diagnosis", MFD_CLOEXEC)};
	return manager.load = l;
}

static void
load_free(struct load *l)
{
	manager.load = NULL;
	fds_close(&l->certs_fd, 1);
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

	if (ok && l->certs_fd >= 0) {
		fds_close(&l->gen->certs_fd, 1);
		l->gen->certs_fd = l->certs_fd;
		l->certs_fd = -1;
		l->gen->certs_new = 1;
		l->gen->cert_expires = l->expires;
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

/* The files of certificate I and of its key, opened by master into FD; mixed
 * into a number that changes when one, or what its name leads to, does. */
static struct ipc_cert_pair
pair_open(const struct load *l, uint32_t i, int fd[2], uint64_t *stamp)
{
	struct ipc_opened answer[2];
	struct stat st;

	for (uint32_t k = 0; k < 2; k++) {
		fd[k] = master_open(OPEN_CERT, l->gen, 2 * i + k, &answer[k]);
		if (fd[k] < 0 || fstat(fd[k], &st) != 0)
			memset(&st, 0, sizeof(st));
		mix(stamp, st.st_dev);
		mix(stamp, st.st_ino);
		mix(stamp, (uint64_t)st.st_size);
		mix(stamp, (uint64_t)st.st_mtim.tv_sec);
		mix(stamp, (uint64_t)st.st_mtim.tv_nsec);
	}
	return (struct ipc_cert_pair){.index = i,
	    .cert_error = answer[0].error, .key_error = answer[1].error};
}

static uint64_t
certs_stamp(const struct load *l)
{
	uint64_t stamp = STAMP;
	int fd[2];

	for (uint32_t i = 0; i < l->gen->conf.n_cert; i++) {
		pair_open(l, i, fd, &stamp);
		fds_close(fd, 2);
	}
	return stamp;
}

/* Send the next pair; TEMP: certcheck has to read first. */
static culver_status
pair_send(struct load *l)
{
	uint64_t stamp = l->certs;
	int fd[2], open[2];
	struct ipc_cert_pair m = pair_open(l, l->next, fd, &stamp);
	culver_status st;
	unsigned n = 0;

	for (unsigned k = 0; k < 2; k++)
		if (fd[k] >= 0)
			open[n++] = fd[k];
	st = ipc_send(l->child->io.fd, IPC_CERT_PAIR, &m, open, n);
	fds_close(fd, 2);
	if (st == CULVER_OK) {
		l->certs = stamp;
		l->next++;
	}
	return st;
}

/* Send certcheck what it takes now: there may be thousands of pairs. */
static void
certs_send(struct load *l)
{
	const struct ipc_cert_go go = {.want_ticket = l->want_ticket};
	struct child *c = l->child;
	culver_status st = CULVER_OK;

	child_hurry(c);
	while (st == CULVER_OK && l->next < l->end)
		st = pair_send(l);
	if (st == CULVER_OK) {
		st = ipc_send(c->io.fd, IPC_CERT_GO, &go, NULL, 0);
		l->all_sent = st == CULVER_OK;
	}
	if (st == CULVER_OK || st == CULVER_E_TEMP)
		loop_watch(manager.loop, &c->io, LOOP_READ |
		    (st == CULVER_OK ? 0 : LOOP_WRITE));
	else
		child_end(c, "does not read its channel");
}

void
load_continue(const struct child *c)
{
	struct load *l = manager.load;

	if (l != NULL && l->child == c && c->role == R_CERTCHECK &&
	    !l->all_sent && c->io.fd >= 0)
		certs_send(l);
}

static void
certcheck_start(struct load *l, uint32_t pairs)
{
	const int fd[SLOTS] = {[FD_SNAPSHOT] = l->gen->cert_snap,
	    [FD_DIAG] = l->diag, [FD_ROOT] = manager.root_fd};

	l->complete = 0;
	l->end = pairs;
	l->child = child_new(R_CERTCHECK, 0, l->gen, fd);
	if (l->child == NULL)
		load_finish(0);
	else
		certs_send(l);
}

void
load_certs(_Bool ticket, load_done *done)
{
	struct load *l = load_new(manager.gen, done);
	_Bool changed;

	if (l == NULL)
		return;
	l->want_ticket = ticket;
	changed = certs_stamp(l) != l->gen->certs;
	if (changed) {
		certcheck_start(l, l->gen->conf.n_cert);
	} else if (ticket) {
		l->certs = l->gen->certs;
		certcheck_start(l, 0);
	} else {
		load_free(l);
	}
}

/* --- config role ---------------------------------------------------------- */

_Bool
load_start(_Bool ticket, load_done *done)
{
	struct generation *gen = gen_new();
	struct load *l = load_new(gen, done);
	int fd[SLOTS] = {0};

	if (l == NULL && gen != NULL)
		gen_unref(gen);
	if (l == NULL)
		return 0;
	fd[FD_DIAG] = l->diag;
	l->want_ticket = ticket;
	l->child = child_new(R_CONFIG, 0, l->gen, fd);
	if (l->child == NULL)
		load_finish(0);
	else
		l->gen->config = l->child->instance;
	return 1;
}

/* Where a snapshot of KIND belongs; NULL: nowhere. */
static int *
snap_place(struct generation *gen, uint32_t kind)
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
	case CONF_LMTP:
		return &gen->lmtp_snap;
	case CONF_METRICS:
		return &gen->metrics_snap;
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
		place = snap_place(l->gen, in->m.config_snap.kind);
		break;
	case IPC_CERT_TICKET:
		place = &l->ticket;
		break;
	case IPC_CERT_BUNDLE:
		place = &l->certs_fd;
		break;
	case IPC_CONFIG_DONE:
		l->complete = 1;
		l->status = in->m.config_done.status;
		return;
	case IPC_CERT_DONE:
		l->complete = 1;
		l->status = in->m.cert_done.status;
		l->expires = in->m.cert_done.expires;
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

/* Are all snapshots there that are manager's? */
static _Bool
gen_complete(struct generation *gen)
{
	return gen->master_snap >= 0 && gen->gate_snap >= 0 &&
	    gen->auth_snap >= 0 && gen->log_snap >= 0 && gen->cert_snap >= 0 &&
	    gen->lmtp_snap >= 0 && gen->metrics_snap >= 0 &&
	    conf_read(gen->master_snap, CONF_MASTER, &gen->conf,
	    sizeof(gen->conf));
}

/* The role of this load is gone: go on, or end the load. */
void
load_exit(const struct child *c, int status)
{
	struct load *l = manager.load;

	if (l == NULL || c != l->child)
		return;
	l->child = NULL;
	if (!l->complete)
		log_errorx("the %s role ended without an answer, with %s %d",
		    ipc_role_name(c->role), CHILD_STATUS(status));
	if (!l->complete || l->status != 0 || manager.stopping) {
		load_finish(0);
	} else if (c->role == R_CERTCHECK) {
		if (l->end > 0 && l->certs_fd < 0)
			log_errorx("certcheck left the certificates out");
		load_finish(l->end == 0 || l->certs_fd >= 0);
	} else if (!gen_complete(l->gen)) {
		log_errorx("the config role left something out");
		load_finish(0);
	} else if (!manager_run_dir(l->gen)) {
		load_finish(0);
	} else if (l->gen->conf.n_cert == 0) {
		load_finish(1);
	} else {
		certcheck_start(l, l->gen->conf.n_cert);
	}
}
