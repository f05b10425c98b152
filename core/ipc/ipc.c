/*
 * ipc.c - encode, decode, send and receive the messages of messages.def.
 *
 * Runs in every role, as root in master, on octets that a hostile peer wrote.
 * There is one encoder and one decoder for all messages: they walk a table of
 * fields that messages.def expands to, so no message has parsing code.
 */
#include "config.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/ipc/ipc.h"

enum field_kind { K_END, K_NUMBER, K_TEXT, K_BYTES };

struct field {
	uint16_t kind, offset;
	uint32_t max;			/* of a number: its octets */
};

struct header {				/* at the start of every message */
	uint16_t type, nfds;
	uint32_t len;			/* octets that follow */
};
static_assert(sizeof(struct header) == IPC_HEADER, "no padding");

struct message {
	unsigned from, to, phases, min_fds, max_fds, flags;
	const char *name;
	const struct field *fields;
};

#define U32(name, f) {K_NUMBER, offsetof(struct ipc_##name, f), 4},
#define U64(name, f) {K_NUMBER, offsetof(struct ipc_##name, f), 8},
#define TEXT(name, f, max) {K_TEXT, offsetof(struct ipc_##name, f), max},
#define BYTES(name, f, max) {K_BYTES, offsetof(struct ipc_##name, f), max},
#define END(name) {K_END, 0, 0}};
#define BEGIN(NAME, name, nr, from, to, ph, fmin, fmax, fl) \
	static const struct field name##_fields[] = {
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
static const struct message messages[] = {	/* by type */
#define BEGIN(NAME, name, nr, from, to, ph, fmin, fmax, fl) \
	[IPC_##NAME] = {from, to, ph, fmin, fmax, fl, #NAME, name##_fields},
#include "core/ipc/messages.def"
#undef BEGIN
};

static const struct message *
message_find(unsigned type)
{
	return type < sizeof(messages) / sizeof(messages[0]) &&
	    messages[type].name != NULL ? &messages[type] : NULL;
}

const char *
ipc_name(enum ipc_type type)
{
	const struct message *m = message_find(type);

	return m != NULL ? m->name : "?";
}

const char *
ipc_role_name(enum ipc_role role)
{
	static const char *const names[] = {"master", "config", "gate",
	    "auth", "pool", "worker", "certcheck", "log", "ctl", "manager",
	    "lmtp", "locker", "metrics"};

	unsigned i = (unsigned)__builtin_ctz(role | 1u << IPC_ROLES);

	return i < IPC_ROLES && role == 1u << i ? names[i] : "?";
}

_Bool
ipc_allowed(enum ipc_type type, enum ipc_role from, enum ipc_role to,
    enum ipc_phase phase)
{
	const struct message *m = message_find(type);

	return m != NULL && (m->from & from) != 0 && (m->to & to) != 0 &&
	    (m->phases & phase) != 0;
}

/* Octets of field F of the struct at BASE, written to BUF; 0 if impossible.
 * Text ends with a NUL there, too. */
static size_t
field_encode(const struct field *f, const uint8_t *base, uint8_t *buf,
    size_t room)
{
	const uint8_t *at = base + f->offset;
	unsigned nul = f->kind == K_TEXT;
	struct ipc_bytes b;
	const char *s;

	if (f->kind == K_NUMBER) {
		if (room >= f->max)
			memcpy(buf, at, f->max);
		return room >= f->max ? f->max : 0;
	}
	memcpy(&b, at, nul ? sizeof(b.p) : sizeof(b));
	if (nul) {
		s = b.p != NULL ? (const char *)b.p : "";
		b.p = (const uint8_t *)s;
		b.n = (uint32_t)strnlen(s, (size_t)f->max + 1);
	}
	if (b.n > f->max || room < sizeof(b.n) + (size_t)b.n + nul)
		return 0;
	memcpy(buf, &b.n, sizeof(b.n));
	if (b.n + nul > 0)
		memcpy(buf + sizeof(b.n), b.p, (size_t)b.n + nul);
	return sizeof(b.n) + (size_t)b.n + nul;
}

size_t
ipc_encode(enum ipc_type type, const void *msg, unsigned nfds, uint8_t *buf,
    size_t cap)
{
	const struct message *m = message_find(type);
	struct header h = {(uint16_t)type, (uint16_t)nfds, 0};
	size_t at = IPC_HEADER, n = 1;
	const struct field *f;

	if (m == NULL || nfds < m->min_fds || nfds > m->max_fds ||
	    cap < IPC_HEADER)
		return 0;
	for (f = m->fields; f->kind != K_END && n > 0; f++) {
		n = field_encode(f, msg, buf + at, cap - at);
		at += n;
	}
	h.len = (uint32_t)(at - IPC_HEADER);
	memcpy(buf, &h, sizeof(h));
	return n > 0 ? at : 0;
}

/* Octets taken from BUF for field F of the struct at BASE; 0 if malformed. */
static size_t
field_decode(const struct field *f, uint8_t *base, const uint8_t *buf,
    size_t left)
{
	uint8_t *at = base + f->offset;
	unsigned nul = f->kind == K_TEXT;
	struct ipc_bytes b = {.p = buf + sizeof(b.n)};

	if (left < (f->kind == K_NUMBER ? f->max : sizeof(b.n)))
		return 0;
	if (f->kind == K_NUMBER) {
		memcpy(at, buf, f->max);
		return f->max;
	}
	memcpy(&b.n, buf, sizeof(b.n));
	if (b.n > f->max || left < sizeof(b.n) + (size_t)b.n + nul ||
	    (nul && memchr(b.p, 0, (size_t)b.n + 1) != b.p + b.n))
		return 0;
	memcpy(at, &b, nul ? sizeof(b.p) : sizeof(b));
	return sizeof(b.n) + (size_t)b.n + nul;
}

_Bool
ipc_decode(const uint8_t *buf, size_t n, enum ipc_type *type, unsigned *nfds,
    union ipc_any *out)
{
	const struct message *m;
	const struct field *f;
	struct header h;
	size_t at = IPC_HEADER, took = 1;

	if (n < IPC_HEADER || n > IPC_MAX)
		return 0;
	memcpy(&h, buf, sizeof(h));
	m = message_find(h.type);
	*nfds = h.nfds;
	if (m == NULL || h.nfds < m->min_fds || h.nfds > m->max_fds)
		return 0;
	*type = (enum ipc_type)h.type;
	memset(out, 0, sizeof(*out));
	for (f = m->fields; f->kind != K_END && took > 0; f++) {
		took = field_decode(f, (uint8_t *)out, buf + at, n - at);
		at += took;
	}
	return took > 0 && at == n && h.len == n - IPC_HEADER;
}

_Bool
ipc_pair(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0, pair) == 0;
}

union fd_control {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(int) * IPC_MAX_FDS)];
};

static uint8_t room[IPC_MAX];

uint8_t *
ipc_room(void)
{
	return room;
}

culver_status
ipc_send(int fd, enum ipc_type type, const void *msg, const int *fds,
    unsigned n)
{
	const struct message *m = message_find(type);
	union fd_control control = {.space = {0}};
	struct iovec iov = {.iov_base = room};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (n > IPC_MAX_FDS ||
	    (iov.iov_len = ipc_encode(type, msg, n, room, IPC_MAX)) == 0)
		return CULVER_E_PERM;
	if (n > 0) {
		mh.msg_control = control.space;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		control.head = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
		    .cmsg_type = SCM_RIGHTS,
		    .cmsg_len = CMSG_LEN(sizeof(int) * n)};
		memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * n);
	}
	sent = sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (m->flags & F_SECRET)
		explicit_bzero(room, iov.iov_len);
	if (sent == (ssize_t)iov.iov_len)
		return CULVER_OK;
	return sent < 0 && (errno == EAGAIN || errno == ENOBUFS ||
	    errno == ETOOMANYREFS) ? CULVER_E_TEMP : CULVER_E_PERM;
}

void
ipc_pong(int fd, const uint64_t *numbers, unsigned n)
{
	const struct ipc_pong pong = {.numbers = {(const uint8_t *)numbers,
	    n * (uint32_t)sizeof(*numbers)}};

	(void)ipc_send(fd, IPC_PONG, &pong, NULL, 0);
}

/* No padding, in which the kernel could put one more descriptor. */
static_assert(CMSG_SPACE(sizeof(int) * IPC_MAX_FDS) ==
    CMSG_LEN(sizeof(int) * IPC_MAX_FDS), "IPC_MAX_FDS must be even");

/* Take the descriptors out of the control data, where the kernel puts at most
 * one block of them; what did not fit it has closed (MSG_CTRUNC). */
static unsigned
fds_take(struct msghdr *mh, int out[IPC_MAX_FDS])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(mh);
	size_t n;

	if (c == NULL || c->cmsg_level != SOL_SOCKET ||
	    c->cmsg_type != SCM_RIGHTS)
		return 0;
	n = c->cmsg_len - CMSG_LEN(0);
	memcpy(out, CMSG_DATA(c), n);
	return (unsigned)(n / sizeof(int));
}

static void
fds_drop(struct ipc_in *in)
{
	for (; in->nfds > 0; in->fd[in->nfds] = -1)
		if (in->fd[--in->nfds] >= 0)
			close(in->fd[in->nfds]);
}

/*
 * The kernel gives fewer descriptors than were sent when there is no room for
 * them in this process (or in the system): that is not the sender's fault, who
 * can only send too many.  The message counts, without any.
 */
static void
fds_lose(struct ipc_in *in)
{
	log_warnx("no descriptor is free: what came with %s is lost",
	    ipc_name(in->type));
	fds_drop(in);
}

enum ipc_result
ipc_recv(int fd, struct ipc_in *in, enum ipc_role from, enum ipc_role to,
    enum ipc_phase phase)
{
	union fd_control control;
	struct iovec iov = {.iov_base = in->buf, .iov_len = sizeof(in->buf)};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space)};
	unsigned declared = 0;
	ssize_t got;

	in->nfds = 0;
	in->len = 0;
	memset(in->fd, 0xff, sizeof(in->fd));
	got = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return errno == EAGAIN ? IPC_AGAIN : IPC_EOF;
	in->nfds = fds_take(&mh, in->fd);
	in->len = (size_t)got;
	if (got == 0 && in->nfds == 0)
		return IPC_EOF;
	if ((mh.msg_flags & MSG_TRUNC) != 0 ||
	    !ipc_decode(in->buf, in->len, &in->type, &declared, &in->m) ||
	    !ipc_allowed(in->type, from, to, phase))
		goto breach;
	if ((mh.msg_flags & MSG_CTRUNC) != 0 && declared > in->nfds)
		fds_lose(in);
	else if ((mh.msg_flags & MSG_CTRUNC) != 0 || declared != in->nfds)
		goto breach;
	return IPC_GOT;
breach:
	ipc_done(in);
	return IPC_BREACH;
}

void
ipc_done(struct ipc_in *in)
{
	const struct message *m;
	struct header h = {0};

	memcpy(&h, in->buf, in->len < sizeof(h) ? in->len : sizeof(h));
	m = message_find(h.type);
	fds_drop(in);
	if (m == NULL || (m->flags & F_SECRET) != 0)
		explicit_bzero(in->buf, in->len);
	in->len = 0;
}
