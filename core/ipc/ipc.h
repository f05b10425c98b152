/*
 * ipc.h - messages between roles over SOCK_SEQPACKET socket pairs.
 *
 * Runs in every role, as root in master.  Trusts nothing that it receives:
 * ipc_recv() accepts a message only if its type is known, the sender may send
 * it to this receiver in this phase, every length fits, the end is exact and
 * the number of descriptors is right.  All of that comes from messages.def.
 */
#ifndef IPC_H
#define IPC_H

#include <stddef.h>
#include <stdint.h>

#include <culver/abi.h>

enum ipc_role {			/* bits, so that a table can name several */
	R_MASTER = 1u << 0,
	R_CONFIG = 1u << 1,
	R_GATE = 1u << 2,
	R_AUTH = 1u << 3,
	R_POOL = 1u << 4,
	R_WORKER = 1u << 5,
	R_CERTCHECK = 1u << 6,
	R_LOG = 1u << 7,
	R_CTL = 1u << 8,
	R_MANAGER = 1u << 9,
	R_LMTP = 1u << 10,
	R_LOCKER = 1u << 11,
	R_METRICS = 1u << 12
};
enum {
	IPC_ROLES = 13,
	R_ACCEPTS = R_GATE | R_LMTP	/* clients; hang on a coordinator */
};

enum ipc_phase {		/* of the less trusted end of a channel */
	P_START = 1u << 0,
	P_RUN = 1u << 1,
	P_DRAIN = 1u << 2,
	P_ANY = P_START | P_RUN | P_DRAIN
};

enum { F_SECRET = 1u << 0 };	/* carries a password: buffers are wiped */

enum ipc_grant_kind { IPC_GRANT_SESSION = 1, IPC_GRANT_DELIVERY = 2 };

/* OPEN_LISTEN: one more than there are is culverctl's socket, and who opens
 * that is the culverd that serves from then on.
 * OPEN_CERT: certificate I is 2 I, its key 2 I + 1.
 * OPEN_PASSED: what the service manager gave culverd at its start. */
enum ipc_open_kind { OPEN_RUN_DIR = 1, OPEN_LISTEN, OPEN_LOG, OPEN_CERT,
	OPEN_SPOOL, OPEN_PASSED };

/* NOTE_RETIRED: the successor serves.  NOTE_DRAINED: after that, the last gate
 * has ended, so there will be no new session.  NOTE_OVER: after the first, what
 * is left had its time, or all of Culver stops: stop. */
enum ipc_note_what { NOTE_READY, NOTE_RELOADING, NOTE_ALIVE, NOTE_RETIRED,
	NOTE_DRAINED, NOTE_OVER };

/* From a culverd's manager to its successor's: a listening socket, the other
 * end of the channel to one that was there still before, what is counted; the
 * other way: "this one serves", a client of culverctl's who asks for the older
 * one, "everything stops". */
enum ipc_handed_kind { HANDED_LISTEN = 1, HANDED_OLDER, HANDED_READY,
	HANDED_CLIENT, HANDED_STOP, HANDED_STATS };

/* In a PONG: of those who have clients, of the coordinator. */
enum ipc_pong_number {
	PONG_CONNECTIONS = 0,		/* now */
	PONG_ACCEPTED,			/* since its start */
	PONG_LOGINS = 0,		/* under way */
	PONG_HELD,			/* of these wait for a slot */
	PONG_BUSY,			/* pool processes that work on one */
	PONG_QUEUED,			/* wait for one, by section */
	PONG_NUMBERS = PONG_QUEUED + 16	/* CONF_MAX_AUTH */
};

enum ipc_want {
	IPC_WANT_VERIFY = 1u << 0,
	IPC_WANT_USER = 1u << 1,
	IPC_WANT_CREDS = 1u << 2
};

enum {				/* `flags` of a client connection */
	IPC_TLS = 1u << 0,
	IPC_LOOPBACK = 1u << 1,
	IPC_HAS_IR = 1u << 2,	/* an initial response came with AUTH */
	IPC_STLS = 1u << 3,	/* STLS was on offer when the login came; goes
				 * into the grant: CAPA after login must repeat
				 * it (RFC 2449 5) */
	IPC_DELIVERY = 1u << 5,	/* no client: a delivery, for the log */
	IPC_TOKEN = 1u << 6,	/* the password is a token */
	IPC_CERT = 1u << 7,	/* there is none: a certificate was shown */
	IPC_QUICK = 1u << 8,	/* answer now, or say that it takes longer */
	IPC_MECHS = 8		/* from this bit on: the mechanisms that CAPA
				 * showed (enum sasl_id), likewise */
};

enum {
	IPC_MAX = 65536,	/* octets of one message, header included */
	IPC_HEADER = 8,
	IPC_MAX_FDS = 6,
	IPC_ROUND = 64,		/* messages of one peer before the next one */
	IPC_REST = 65536	/* more than a socket holds: all that a peer has
				 * sent, though somebody goes on to send */
};

enum {				/* descriptors of an executed role at start */
	FD_CHANNEL = 3,		/* to manager; of config and manager: master */
	FD_LOG = 4,		/* to the log role */
	FD_SNAPSHOT = 5,	/* its part of the configuration */
	FD_DIAG = 6,		/* config, certcheck, manager: what is wrong,
				 * as text */
	FD_MEMORY = 6,		/* auth: a memfd that outlives it (throttle);
				 * gate: one that all share (base/counts.h) */
	FD_SPOOL = 6,		/* lmtp: its spool directory, to chroot to */
	FD_ROOT = 7,		/* gate, certcheck: empty folder to chroot to */
	FD_STATS = 7,		/* auth, log: base/stats.h */
	FD_READY = 7,		/* manager: pipe to who started culverd, if
				 * that waits until a gate serves; or a channel
				 * to the manager of an older culverd */
	FD_AUTH = 8,		/* gate, lmtp: to the coordinator */
	FD_POOL = 8,		/* pool: to the coordinator */
	FD_MASTER = 9		/* gate, lmtp, auth: grants and hand-overs */
};

struct ipc_bytes {
	const uint8_t *p;
	uint32_t n;
};

/* struct ipc_NAME for every message */
#define BEGIN(NAME, name, nr, from, to, ph, fmin, fmax, fl) struct ipc_##name {
#define U32(name, f) uint32_t f;
#define U64(name, f) uint64_t f;
#define TEXT(name, f, max) const char *f;
#define BYTES(name, f, max) struct ipc_bytes f;
#define END(name) };
#include "core/ipc/messages.def"
#undef BEGIN
#undef U32
#undef U64
#undef TEXT
#undef BYTES
#undef END

#define U32(name, f)
#define U64(name, f)
#define TEXT(name, f, max)
#define BYTES(name, f, max)
#define END(name)
enum ipc_type {
#define BEGIN(NAME, name, nr, from, to, ph, fmin, fmax, fl) IPC_##NAME = nr,
#include "core/ipc/messages.def"
#undef BEGIN
};

union ipc_any {
#define BEGIN(NAME, name, nr, from, to, ph, fmin, fmax, fl) \
	struct ipc_##name name;
#include "core/ipc/messages.def"
#undef BEGIN
};
#undef U32
#undef U64
#undef TEXT
#undef BYTES
#undef END

/* One received message.  Text and bytes point into BUF and are valid until
 * ipc_done(). */
struct ipc_in {
	enum ipc_type type;
	unsigned nfds;
	int fd[IPC_MAX_FDS];	/* a handler that keeps one sets it to -1;
				 * there may be none: see ipc_recv() */
	union ipc_any m;
	size_t len;
	uint8_t buf[IPC_MAX];
};

enum ipc_result { IPC_GOT, IPC_AGAIN, IPC_EOF, IPC_BREACH };

/* Room for one message that is encoded and sent at once, the same that
 * ipc_send() uses: a process that has just forked copies what it writes to. */
uint8_t *ipc_room(void);

/* A connected pair, non-blocking and close-on-exec; false with errno. */
_Bool ipc_pair(int pair[2]);

/*
 * Send MSG (a struct ipc_NAME that fits TYPE) with N descriptors, which stay
 * the caller's.  Never blocks.  OK, E_TEMP when the socket is full, E_PERM
 * when the peer is gone or the message breaks its own declaration.
 */
culver_status ipc_send(int fd, enum ipc_type type, const void *msg,
    const int *fds, unsigned n);

/*
 * Receive one message that FROM may send to TO in PHASE.  Never blocks.
 * IPC_BREACH: the peer broke the rules; end it.  After IPC_GOT call
 * ipc_done(), which closes descriptors that nobody took.  If this process had
 * no room for the descriptors of a message, there are none with it (nfds 0,
 * fd[] -1), after a line in the log: that is nobody's breach.
 */
enum ipc_result ipc_recv(int fd, struct ipc_in *in, enum ipc_role from,
    enum ipc_role to, enum ipc_phase phase);
void ipc_done(struct ipc_in *in);

/* Answer manager's PING on FD, with N NUMBERS.  If that cannot be sent, it is
 * not: then the socket is full of what manager does not read. */
void ipc_pong(int fd, const uint64_t *numbers, unsigned n);

/* The same between memory and a struct: for the tail of a grant, and tests.
 * Encoded octets or 0; decoding borrows from BUF. */
size_t ipc_encode(enum ipc_type type, const void *msg, unsigned nfds,
    uint8_t *buf, size_t cap);
_Bool ipc_decode(const uint8_t *buf, size_t n, enum ipc_type *type,
    unsigned *nfds, union ipc_any *out);

/* May FROM send TYPE to TO in PHASE? */
_Bool ipc_allowed(enum ipc_type type, enum ipc_role from, enum ipc_role to,
    enum ipc_phase phase);

/* "GRANT", "gate"; "?" if unknown. */
const char *ipc_name(enum ipc_type type);
const char *ipc_role_name(enum ipc_role role);

#endif /* IPC_H */
