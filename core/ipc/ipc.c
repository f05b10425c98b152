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

#include "core/ipc/ipc.h"

enum field_kind { K_END, K_U32, K_U64, K_TEXT, K_BYTES };

struct field {
	uint16_t kind, offset;
	uint32_t max;
};

struct message {
	enum ipc_type type;
	unsigned from, to, phases, min_fds, max_fds, flags;
	const char *name;
	const struct field *fields;
};

#define U32(name, f) {K_U32, offsetof(struct ipc_##name, f), 0},
#define U64(name, f) {K_U64, offsetof(struct ipc_##name, f), 0},
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
static const struct message messages[] = {
#define BEGIN(NAME, name, nr, from, to, ph, fmin, fmax, fl) \
	{IPC_##NAME, from, to, ph, fmin, fmax, fl, #NAME, name##_fields},
#include "core/ipc/messages.def"
#undef BEGIN
};

static const struct message *
message_find(unsigned type)
{
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		if (messages[i].type == type)
			return &messages[i];
	return NULL;
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
	    "auth", "pool", "worker", "certcheck", "log", "ctl", "manager"};

	for (unsigned i = 0; i < IPC_ROLES; i++)
		if (role == 1u << i)
			return names[i];
	return "?";
}

_Bool
ipc_allowed(enum ipc_type type, enum ipc_role from, enum ipc_role to,
    enum ipc_phase phase)
{
	const struct message *m = message_find(type);

	return m != NULL && (m->from & from) != 0 && (m->to & to) != 0 &&
	    (m->phases & phase) != 0;
}

static void
put_le(uint8_t *p, uint64_t v, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t
get_le(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

/* Octets of field F of the struct at BASE, written to BUF; 0 if impossible. */
static size_t
field_encode(const struct field *f, const uint8_t *base, uint8_t *buf,
    size_t room)
{
	const void *at = base + f->offset;
	struct ipc_bytes b = {NULL, 0};
	uint64_t v;
	unsigned width = f->kind == K_U64 ? 8 : 4;
	unsigned nul = f->kind == K_TEXT;

	if (f->kind == K_TEXT) {
		const char *s = *(const char *const *)at;

		b.p = (const uint8_t *)(s != NULL ? s : "");
		b.n = (uint32_t)strnlen((const char *)b.p, (size_t)f->max + 1);
	} else if (f->kind == K_BYTES) {
		b = *(const struct ipc_bytes *)at;
	}
	v = f->kind == K_U64 ? *(const uint64_t *)at :
	    f->kind == K_U32 ? *(const uint32_t *)at : b.n;
	if (b.n > f->max || room < width + (size_t)b.n + nul)
		return 0;
	put_le(buf, v, width);
	if (b.n > 0)
		memcpy(buf + width, b.p, b.n);
	if (nul)
		buf[width + b.n] = 0;
	return width + (size_t)b.n + nul;
}

size_t
ipc_encode(enum ipc_type type, const void *msg, unsigned nfds, uint8_t *buf,
    size_t cap)
{
	const struct message *m = message_find(type);
	size_t at = IPC_HEADER, n;

	if (m == NULL || nfds < m->min_fds || nfds > m->max_fds ||
	    cap < IPC_HEADER)
		return 0;
	for (const struct field *f = m->fields; f->kind != K_END; f++) {
		n = field_encode(f, msg, buf + at, cap - at);
		if (n == 0)
			return 0;
		at += n;
	}
	put_le(buf, type, 2);
	put_le(buf + 2, nfds, 2);
	put_le(buf + 4, at - IPC_HEADER, 4);
	return at;
}

/* Octets taken from BUF for field F of the struct at BASE; 0 if malformed. */
static size_t
field_decode(const struct field *f, uint8_t *base, const uint8_t *buf,
    size_t left)
{
	unsigned width = f->kind == K_U64 ? 8 : 4;
	unsigned nul = f->kind == K_TEXT;
	struct ipc_bytes b;
	const char *s;
	uint64_t v;

	if (left < width)
		return 0;
	v = get_le(buf, width);
	if (f->kind == K_U64) {
		memcpy(base + f->offset, &v, sizeof(v));
		return width;
	}
	b.n = (uint32_t)v;
	if (f->kind == K_U32) {
		memcpy(base + f->offset, &b.n, sizeof(b.n));
		return width;
	}
	b.p = buf + width;
	if (b.n > f->max || left < width + (size_t)b.n + nul)
		return 0;
	if (nul) {
		if (memchr(b.p, 0, (size_t)b.n + 1) != b.p + b.n)
			return 0;
		s = (const char *)b.p;
		memcpy(base + f->offset, &s, sizeof(s));
	} else {
		memcpy(base + f->offset, &b, sizeof(b));
	}
	return width + (size_t)b.n + nul;
}

_Bool
ipc_decode(const uint8_t *buf, size_t n, enum ipc_type *type, unsigned *nfds,
    union ipc_any *out)
{
	const struct message *m;
	size_t at = IPC_HEADER, took;

	if (n < IPC_HEADER || n > IPC_MAX ||
	    get_le(buf + 4, 4) != n - IPC_HEADER)
		return 0;
	m = message_find((unsigned)get_le(buf, 2));
	*nfds = (unsigned)get_le(buf + 2, 2);
	if (m == NULL || *nfds < m->min_fds || *nfds > m->max_fds)
		return 0;
	*type = m->type;
	memset(out, 0, sizeof(*out));
	for (const struct field *f = m->fields; f->kind != K_END; f++) {
		took = field_decode(f, (uint8_t *)out, buf + at, n - at);
		if (took == 0)
			return 0;
		at += took;
	}
	return at == n;
}

_Bool
ipc_pair(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0, pair) == 0;
}

union fd_control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int) * IPC_MAX_FDS)];
};

culver_status
ipc_send(int fd, enum ipc_type type, const void *msg, const int *fds,
    unsigned n)
{
	static uint8_t buf[IPC_MAX];
	const struct message *m = message_find(type);
	union fd_control control;
	struct iovec iov = {.iov_base = buf};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (n > IPC_MAX_FDS ||
	    (iov.iov_len = ipc_encode(type, msg, n, buf, sizeof(buf))) == 0)
		return CULVER_E_PERM;
	if (n > 0) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.space;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	do {
		sent = sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (m->flags & F_SECRET)
		explicit_bzero(buf, iov.iov_len);
	if (sent == (ssize_t)iov.iov_len)
		return CULVER_OK;
	return sent < 0 && (errno == EAGAIN || errno == ENOBUFS ||
	    errno == ETOOMANYREFS) ? CULVER_E_TEMP : CULVER_E_PERM;
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
	do {
		got = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return errno == EAGAIN ? IPC_AGAIN : IPC_EOF;
	in->nfds = fds_take(&mh, in->fd);
	in->len = (size_t)got;
	if (got == 0 && in->nfds == 0)
		return IPC_EOF;
	if ((mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 &&
	    ipc_decode(in->buf, in->len, &in->type, &declared, &in->m) &&
	    declared == in->nfds && ipc_allowed(in->type, from, to, phase))
		return IPC_GOT;
	ipc_done(in);
	return IPC_BREACH;
}

void
ipc_done(struct ipc_in *in)
{
	const struct message *m = in->len >= 2 ?
	    message_find((unsigned)get_le(in->buf, 2)) : NULL;

	for (unsigned i = 0; i < in->nfds; i++)
		if (in->fd[i] >= 0)
			close(in->fd[i]);
	in->nfds = 0;
	if (m == NULL || (m->flags & F_SECRET) != 0)
		explicit_bzero(in->buf, in->len);
	in->len = 0;
}
