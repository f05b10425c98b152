/*
 * certcheck.c - the role that looks at certificates before they are used, and
 * makes ticket keys.
 *
 * Executed by master as `culver` for one check, confined as a gate is: no
 * file, no network; what it reads comes as descriptors.  Certificates may be
 * anything.  It answers with lines for people and one status.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "core/base/log.h"
#include "core/base/memfd.h"
#include "core/base/priv.h"
#include "core/base/sandbox.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/ipc/ipclog.h"
#include "core/tls/bundle.h"
#include "core/tls/check.h"
#include "core/tls/tls.h"

static struct conf_certcheck conf;
static struct conf_gate_host *host;
static struct ipc_in in;
static int bundle = -1;		/* what is right so far; -1: nothing came */
static unsigned mistakes;
static uint64_t expires;		/* the first of them; 0: none */

static bool
confine(void)
{
	/* no limit of descriptors: the kernel compares it with all that
	 * processes of this user have sent and nobody received yet, and gates
	 * hand hundreds of clients over */
	static const struct sandbox_limits limits = {.memory = 64u << 20,
	    .no_processes = 1};
	static struct sock_filter filter[CONF_MAX_FILTER];
	size_t n = conf_filter(FD_SNAPSHOT, &conf.head, filter);

	/* no filter: refused, but in a build without a sandbox */
	return sandbox_limits(&limits) && sandbox_landlock(NULL, 0, 0) &&
	    sandbox_trap() && sandbox_seccomp(filter, n);
}

static bool
leave_root(void)
{
	if (fcntl(FD_ROOT, F_GETFD) < 0)	/* nothing to leave */
		return !sandbox_may_chroot();
	if (fchdir(FD_ROOT) != 0 || chroot(".") != 0 || close(FD_ROOT) != 0)
		return false;
	return priv_drop_rest();
}

/* The name that certificate INDEX is for; "" if it is the default's. */
static const char *
host_of(uint32_t index)
{
	for (uint32_t i = 1; i < conf.n_host; i++)
		if (index >= host[i].first &&
		    index < host[i].first + host[i].n)
			return host[i].name;
	return "";
}

static bool
take_pair(void)
{
	const struct ipc_cert_pair *m = &in.m.cert_pair;
	struct check_files files = {.cert_fd = -1, .key_fd = -1,
	    .cert_error = m->cert_error, .key_error = m->key_error};
	struct conf_cert where;
	unsigned n = 0, wrong;
	bool ok = true;

	if (m->cert_error == 0 && n < in.nfds)
		files.cert_fd = in.fd[n++];
	if (m->key_error == 0 && n < in.nfds)
		files.key_fd = in.fd[n++];
	if (n != in.nfds || m->index >= conf.n_cert ||
	    !conf_cert(FD_SNAPSHOT, &conf.head, conf.n_host, m->index,
		&where)) {
		log_errorx("certcheck: a certificate that is not configured");
		return false;
	}
	wrong = conf.has_ca && m->index == conf.n_cert - 1 ?
	    check_ca(&where, &files, time(NULL), FD_DIAG) :
	    check_pair(&where, &files, host_of(m->index), time(NULL),
		FD_DIAG);
	mistakes += wrong;
	if (files.expires != 0 && (expires == 0 || files.expires < expires))
		expires = files.expires;
	if (bundle < 0)
		bundle = bundle_new(conf.n_cert);
	if (wrong == 0)
		ok = bundle >= 0 && bundle_put(bundle, m->index, &files.cert,
		    &files.key);
	if (!ok)
		log_error("certcheck: cannot keep the certificates");
	tls_file_free(&files.cert);
	tls_file_free(&files.key);
	return ok;
}

static bool
answer(enum ipc_type type, const void *msg, const int *fd)
{
	if (ipc_send(FD_CHANNEL, type, msg, fd, fd != NULL) == CULVER_OK)
		return true;
	log_error("certcheck: cannot answer");
	return false;
}

/* Nothing, if something is wrong or nothing came. */
static bool
send_bundle(void)
{
	static const struct ipc_cert_bundle msg;

	if (bundle < 0 || mistakes > 0)
		return true;
	return bundle_seal(bundle) && answer(IPC_CERT_BUNDLE, &msg, &bundle);
}

static bool
send_ticket(void)
{
	static const struct ipc_cert_ticket msg;
	unsigned char key[TLS_TICKET_SIZE];
	int fd = memfd_new("culver-ticket");
	bool ok;

	ok = fd >= 0 && RAND_priv_bytes(key, sizeof(key)) == 1 &&
	    write(fd, key, sizeof(key)) == (ssize_t)sizeof(key) &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW |
		F_SEAL_SHRINK | F_SEAL_SEAL) == 0;
	explicit_bzero(key, sizeof(key));
	if (!ok)
		log_error("certcheck: no ticket key");
	ok = ok && answer(IPC_CERT_TICKET, &msg, &fd);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* 1: go on; 0: done; -1: failed. */
static int
serve(void)
{
	struct ipc_cert_done done = {.status = 0};

	switch (in.type) {
	case IPC_CERT_PAIR:
		return take_pair() ? 1 : -1;
	case IPC_CERT_GO:
		if ((in.m.cert_go.want_ticket && !send_ticket()) ||
		    !send_bundle())
			return -1;
		done.status = mistakes > 0 ? EX_CONFIG : 0;
		done.expires = expires;
		return answer(IPC_CERT_DONE, &done, NULL) ? 0 : -1;
	default:
		return -1;
	}
}

static int
run(void)
{
	struct pollfd pfd = {.fd = FD_CHANNEL, .events = POLLIN};
	int more = 1;

	while (more > 0) {
		switch (ipc_recv(FD_CHANNEL, &in, R_MANAGER, R_CERTCHECK,
		    P_RUN)) {
		case IPC_GOT:
			more = serve();
			ipc_done(&in);
			break;
		case IPC_AGAIN:
			if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
				return EX_OSERR;
			break;
		case IPC_EOF:
			return EX_UNAVAILABLE;
		case IPC_BREACH:
			log_errorx("certcheck: malformed message of manager");
			return EX_PROTOCOL;
		}
	}
	return more == 0 ? 0 : EX_SOFTWARE;
}

int
main(void)
{
	if (!leave_root())
		return EX_OSERR;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	ipclog_open(FD_LOG);
	if (!conf_read(FD_SNAPSHOT, CONF_CERTCHECK, &conf, sizeof(conf))) {
		log_errorx("certcheck: the snapshot is not mine");
		return EX_CONFIG;
	}
	host = conf_hosts(FD_SNAPSHOT, &conf.head, conf.n_host, conf.n_cert);
	if (host == NULL) {
		log_errorx("certcheck: no hosts in the snapshot, or no "
		    "memory");
		return EX_CONFIG;
	}
	if (!tls_warm() || !confine()) {
		log_error("certcheck: not confined");
		return EX_OSERR;
	}
	return run();
}
