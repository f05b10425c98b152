/*
 * lda.c - store one message; see lda.h.
 *
 * Runs in worker, as the recipient.  The file is shared with lmtp and with
 * the workers of other recipients: it is read by explicit offsets only, and
 * never mapped, so that whatever happens to it is a failed read and no signal.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/worker/lda.h"

enum { LDA_WAIT_MS = 30000 };

static struct ipc_in in;

/* The one message that lmtp sends; it was sent before we were started. */
static _Bool
receive(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	enum ipc_result r;

	while ((r = ipc_recv(fd, &in, R_LMTP, R_WORKER, P_RUN)) == IPC_AGAIN)
		if (poll(&p, 1, LDA_WAIT_MS) == 0)
			return 0;
	return r == IPC_GOT && in.type == IPC_DELIVER;
}

/* Does lmtp, and with it the client, still wait for our answer? */
static _Bool
is_waited_for(int fd)
{
	struct pollfd p = {.fd = fd, .events = 0};

	return poll(&p, 1, 0) == 0;
}

/* The first N octets of FILE. */
static culver_status
copy(struct store *store, int file, uint64_t n)
{
	static uint8_t buf[STORE_CHUNK];
	culver_status st = CULVER_OK;
	uint64_t at = 0;
	ssize_t got;

	while (st == CULVER_OK && at < n) {
		size_t want = n - at < sizeof(buf) ? (size_t)(n - at) :
		    sizeof(buf);

		got = pread(file, buf, want, (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			log_error("delivery: cannot read the message");
			return CULVER_E_TEMP;
		}
		st = store_deliver_write(store, buf, (size_t)got);
		at += (uint64_t)got;
	}
	return st;
}

static culver_status
deliver(struct store *store, int fd, const char **reason)
{
	const struct ipc_deliver *d = &in.m.deliver;
	const struct culver_envelope env = {.size = sizeof(env),
	    .sender = d->sender, .recipient = d->recipient,
	    .octets_hint = d->octets + d->head.n};
	culver_status st = store_deliver_begin(store, &env);

	if (st == CULVER_OK)
		st = store_deliver_write(store, d->head.p, d->head.n);
	if (st == CULVER_OK)
		st = copy(store, in.fd[0], d->octets);
	if (st == CULVER_OK && !is_waited_for(fd)) {
		*reason = "client-gone";
		st = CULVER_E_TEMP;
	}
	if (st == CULVER_OK)
		st = store_deliver_commit(store);
	store_deliver_abort(store);
	return st;
}

int
lda_run(struct store *store, culver_status st, int fd,
    struct ipc_worker_end *report)
{
	struct ipc_delivered answer;

	report->reason = "storage-error";
	if (!receive(fd)) {
		report->reason = "client-gone";
		return 1;
	}
	report->retr_octets = in.m.deliver.octets + in.m.deliver.head.n;
	if (st == CULVER_OK)
		st = deliver(store, fd, &report->reason);
	if (st == CULVER_OK)
		report->reason = "delivered";
	else if (st == CULVER_E_QUOTA)
		report->reason = "over-quota";
	else if (st == CULVER_E_NOSPACE)
		report->reason = "no-space";
	answer.status = (uint32_t)st;
	if (ipc_send(fd, IPC_DELIVERED, &answer, NULL, 0) != CULVER_OK)
		log_warnx("delivery: nobody took the answer (%s)",
		    report->reason);
	ipc_done(&in);
	return st != CULVER_OK;
}
