/*
 * load.c - get a configuration from a config role, and have its certificates
 * checked by certcheck, before anything uses either.
 *
 * Runs as root, but reads nothing itself: it opens the files that the config
 * role asks for, keeps the sealed snapshots that it gets, and reads only its
 * own, which conf_read() checks.  One load at a time, driven by the loop.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/master/conffile.h"
#include "core/master/master.h"

struct load {
	struct generation *gen;
	struct child *child;
	load_done *done;
	int diag;
	unsigned files;
	_Bool complete;			/* the child said that it was all */
	uint32_t status;
	_Bool want_ticket;
	int ticket;
	int cert_fd[2 * CONF_MAX_CERT];
};

static struct load *
load_new(struct generation *gen, load_done *done)
{
	struct load *l;

	if (master.load != NULL || gen == NULL ||
	    (l = calloc(1, sizeof(*l))) == NULL)
		return NULL;
	*l = (struct load){.gen = gen, .done = done, .ticket = -1,
	    .diag = memfd_create("diagnosis", MFD_CLOEXEC)};
	memset(l->cert_fd, 0xff, sizeof(l->cert_fd));
	return master.load = l;
}

/* The end of a load, good or bad. */
static void
load_finish(_Bool ok)
{
	struct load *l = master.load;

	master.load = NULL;
	for (size_t i = 0; i < 2 * CONF_MAX_CERT; i++) {
		if (ok && l->cert_fd[i] >= 0) {
			int old = l->gen->cert_fd[i];

			l->gen->cert_fd[i] = l->cert_fd[i];
			l->cert_fd[i] = old;
		}
		if (l->cert_fd[i] >= 0)
			close(l->cert_fd[i]);
	}
	if (l->ticket >= 0) {
		if (master.ticket[TICKETS - 1] >= 0)
			close(master.ticket[TICKETS - 1]);
		memmove(&master.ticket[1], &master.ticket[0],
		    (TICKETS - 1) * sizeof(int));
		master.ticket[0] = l->ticket;
	}
	l->done(ok ? l->gen : NULL, l->diag);
	if (!ok && l->gen != master.gen)
		gen_unref(l->gen);
	close(l->diag);
	free(l);
	if (master.reload_again)
		master_reload();
}

/* --- certcheck ------------------------------------------------------------------ */

static void
mix(uint64_t *sum, uint64_t v)
{
	*sum = (*sum ^ v) * UINT64_C(0x100000001b3);
}

/* A number that changes when a certificate or key file, or what its name
 * leads to, does. */
uint64_t
certs_stamp(const struct generation *gen)
{
	struct conf_cert_files files;
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	struct stat st;

	for (uint32_t i = 0; i < 2 * gen->conf.n_cert; i++) {
		if (!conf_cert_files(gen->master_snap, &gen->conf.head, i / 2,
		    &files) || stat(i % 2 ? files.key : files.cert, &st) != 0)
			memset(&st, 0, sizeof(st));
		mix(&sum, st.st_dev);
		mix(&sum, st.st_ino);
		mix(&sum, (uint64_t)st.st_size);
		mix(&sum, (uint64_t)st.st_mtim.tv_sec);
		mix(&sum, (uint64_t)st.st_mtim.tv_nsec);
	}
	return sum;
}

static _Bool
pair_send(struct load *l, uint32_t i)
{
	struct conf_cert_files files;
	struct ipc_cert_pair m = {.index = i};
	int fds[2];
	unsigned n = 0;

	if (!conf_cert_files(l->gen->master_snap, &l->gen->conf.head, i,
	    &files))
		return 0;
	l->cert_fd[2 * i] = file_open_cert(files.cert, &m.cert_error);
	l->cert_fd[2 * i + 1] = file_open_cert(files.key, &m.key_error);
	for (unsigned k = 0; k < 2; k++)
		if (l->cert_fd[2 * i + k] >= 0)
			fds[n++] = l->cert_fd[2 * i + k];
	return ipc_send(l->child->io.fd, IPC_CERT_PAIR, &m, fds, n) ==
	    CULVER_OK;
}

static _Bool
certcheck_start(struct load *l)
{
	struct spawn s = {.fd = {-1, -1, l->gen->cert_snap, l->diag, -1, -1}};
	struct ipc_cert_go go = {.want_ticket = l->want_ticket};

	l->complete = 0;
	l->gen->certs = certs_stamp(l->gen);
	l->child = child_new(R_CERTCHECK, l->gen, &s);
	if (l->child == NULL)
		return 0;
	for (uint32_t i = 0; i < l->gen->conf.n_cert; i++)
		if (!pair_send(l, i))
			return 0;
	return ipc_send(l->child->io.fd, IPC_CERT_GO, &go, NULL, 0) ==
	    CULVER_OK;
}

_Bool
load_certs(_Bool ticket, load_done *done)
{
	struct load *l = load_new(master.gen, done);

	if (l == NULL)
		return 0;
	l->want_ticket = ticket;
	if (!certcheck_start(l))
		load_finish(0);
	return 1;
}

/* --- config role ------------------------------------------------------------------ */

_Bool
load_start(const char *mode, load_done *done)
{
	struct load *l = load_new(gen_new(), done);
	struct spawn s = {.fd = {-1, -1, -1, -1, -1, -1},
	    .arg = {master.env.plugins, mode}};

	if (l == NULL)
		return 0;
	s.fd[3] = l->diag;
	l->want_ticket = strcmp(mode, "run") == 0 && master.ticket[0] < 0;
	l->child = child_new(R_CONFIG, l->gen, &s);
	if (l->child == NULL)
		load_finish(0);
	return 1;
}

static void
send_file(struct load *l, const char *name)
{
	struct ipc_config_file m = {.path = *name ? name : master.conf_path};
	int fd = -1;

	m.error = EMFILE;	/* too many files */
	if (l->files++ < CONFFILE_MAX)
		fd = conffile_open(master.conf_path, name, &m.error);
	if (ipc_send(l->child->io.fd, IPC_CONFIG_FILE, &m, &fd, fd >= 0) !=
	    CULVER_OK)
		child_end(l->child, "does not read its channel");
	if (fd >= 0)
		close(fd);
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
	case CONF_STORAGE:
		return i < CONF_MAX_STORAGE ? &gen->storage_snap[i] : NULL;
	}
	return NULL;
}

void
load_message(struct child *c, struct ipc_in *in)
{
	struct load *l = master.load;
	int *place = NULL;

	if (l == NULL || c != l->child)
		return;
	switch (in->type) {
	case IPC_CONFIG_OPEN:
		send_file(l, in->m.config_open.name);
		return;
	case IPC_CONFIG_SNAP:
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
		child_end(c, "sent what nobody asked for");
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
	for (uint32_t i = 0; ok && i < gen->conf.n_storage; i++)
		ok = gen->storage_snap[i] >= 0;
	return ok;
}

/* The role of this load is gone: go on, or end the load. */
void
load_exit(struct child *c)
{
	struct load *l = master.load;

	if (l == NULL || c != l->child)
		return;
	if (!l->complete)
		log_errorx("the %s role ended without an answer",
		    ipc_role_name(c->role));
	if (!l->complete || l->status != 0)
		load_finish(0);
	else if (c->role == R_CERTCHECK)
		load_finish(1);
	else if (!gen_complete(l->gen)) {
		log_errorx("the config role left something out");
		load_finish(0);
	} else if (l->gen->conf.n_cert == 0)
		load_finish(1);
	else if (!certcheck_start(l))
		load_finish(0);
}
