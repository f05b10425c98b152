/*
 * evilgate.c - a gate that an attacker owns, for test_evilgate.py.
 *
 * Put in the place of libexec/culver/gate in a copy of an installed tree.  It
 * does not confine itself, gets a grant for a user whose password it knows,
 * and then uses it as the first word of `hostname` says ("twice.example").
 * What master must do is in its log: this process is killed, and no session
 * begins that was not granted.
 */
#include "config.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/config/conf.h"
#include "core/ipc/ipc.h"

static struct conf_gate conf;
static struct ipc_in in;
static uint64_t serial = 7;

static void __attribute__((noreturn))
wait_for_the_end(void)
{
	/* Bounded, should master let it live: the test then fails. */
	poll(NULL, 0, 60000);
	_exit(3);
}

static _Bool
mode_is(const char *mode)
{
	size_t n = strlen(mode);

	return strncmp(conf.hostname, mode, n) == 0 && conf.hostname[n] == '.';
}

static void
ready(void)
{
	struct ipc_ready m = {0};

	ipc_send(FD_CHANNEL, IPC_READY, &m, NULL, 0);
}

/* Wait for a message of TYPE on FD from ROLE. */
static void
await(int fd, enum ipc_role role, enum ipc_type type)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		enum ipc_result r = ipc_recv(fd, &in, role, R_GATE, P_RUN);

		if (r == IPC_GOT && in.type == type)
			return;
		if (r == IPC_GOT)
			ipc_done(&in);
		else if (r != IPC_AGAIN || poll(&p, 1, 20000) != 1)
			_exit(4);
	}
}

/* A grant of the test's first user (tests/culver.py). */
static uint64_t
get_grant(void)
{
	static const char login[] = "user1\0geheim";
	struct ipc_auth_begin m = {.serial = serial, .mech = "USER",
	    .service = "pop3", .remote = "192.0.2.1", .local = "192.0.2.2",
	    .flags = IPC_LOOPBACK,
	    .data = {(const uint8_t *)login, sizeof(login) - 1}};

	ipc_send(FD_AUTH, IPC_AUTH_BEGIN, &m, NULL, 0);
	await(FD_AUTH, R_AUTH, IPC_AUTH_YES);
	return in.m.auth_yes.grant;
}

static int
client_socket(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
		_exit(5);
	return pair[0];			/* the other end stays open here */
}

/* N octets as they are, with fds: what ipc_send() would refuse to send. */
static void
send_raw_to(int to, const void *buf, size_t n, const int *fds, unsigned nfds)
{
	char space[CMSG_SPACE(sizeof(int) * 8)] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = n};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (nfds > 0) {
		mh.msg_control = space;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	if (sendmsg(to, &mh, MSG_NOSIGNAL) < 0)
		_exit(6);
}

static void
send_raw(const void *buf, size_t n, const int *fds, unsigned nfds)
{
	send_raw_to(FD_MASTER, buf, n, fds, nfds);
}

static void
handover(uint64_t grant, uint64_t with_serial, int fd)
{
	struct ipc_handover m = {.grant = grant, .serial = with_serial};

	ipc_send(FD_MASTER, IPC_HANDOVER, &m, &fd, 1);
}

static struct sockaddr_un
rendezvous(socklen_t *n)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1,
	    "culver-evilgate-%d", (int)getppid());
	*n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
	    strlen(sun.sun_path + 1));
	return sun;
}

/* One gate gets the grant, the other one uses it. */
static void
other_gate(void)
{
	socklen_t n;
	struct sockaddr_un sun = rendezvous(&n);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint64_t grant;

	if (bind(fd, (struct sockaddr *)&sun, n) == 0) {
		if (recv(fd, &grant, sizeof(grant), 0) == sizeof(grant))
			handover(grant, serial, client_socket());
		wait_for_the_end();
	}
	grant = get_grant();
	if (sendto(fd, &grant, sizeof(grant), 0, (struct sockaddr *)&sun, n) <
	    0)
		_exit(7);
}

static void
malformed(void)
{
	struct ipc_handover m = {.serial = serial};
	static uint8_t buf[IPC_MAX + 64];
	int fds[4] = {client_socket(), client_socket(), client_socket(),
	    client_socket()};
	size_t n;

	m.grant = get_grant();
	n = ipc_encode(IPC_HANDOVER, &m, 1, buf, sizeof(buf));
	if (mode_is("nofd"))
		send_raw(buf, n, NULL, 0);
	else if (mode_is("twofds"))
		send_raw(buf, n, fds, 2);
	else if (mode_is("fourfds"))
		send_raw(buf, n, fds, 4);
	else if (mode_is("truncated"))
		send_raw(buf, n - 3, fds, 1);
	else if (mode_is("oversized"))
		send_raw(buf, sizeof(buf), fds, 1);
	else if (mode_is("trailing"))
		send_raw(buf, n + 1, fds, 1);
	else if (mode_is("flood"))
		for (int i = 0; i < 100000; i++)
			send_raw(buf, n, NULL, 0);
	else if (mode_is("notmine")) {	/* a message that only auth may send */
		buf[0] = IPC_GRANT;
		send_raw(buf, n, NULL, 0);
	}
}

/* More grants than there is room for: what came too late is refused, and what
 * was there before works; but a number that nobody gave is a breach. */
static void
hoard(void)
{
	enum { MANY = 1025 };
	uint64_t first = serial, grant[MANY];

	for (int i = 0; i < MANY; i++, serial++)
		grant[i] = get_grant();
	handover(grant[MANY - 1], first + MANY - 1, client_socket());
	await(FD_MASTER, R_MASTER, IPC_REFUSED);
	handover(grant[0], first, client_socket());
	await(FD_MASTER, R_MASTER, IPC_STARTED);
	handover(grant[1], first, client_socket());
}

/* Begin MECH without an initial response. */
static culver_status
begin(const char *mech)
{
	struct ipc_auth_begin m = {.serial = serial, .mech = mech,
	    .service = "pop3", .remote = "192.0.2.1", .local = "192.0.2.2",
	    .cert_user = "user1", .flags = IPC_TLS};

	return ipc_send(FD_AUTH, IPC_AUTH_BEGIN, &m, NULL, 0);
}

static void
step(uint64_t of, const char *text)
{
	struct ipc_auth_cont m = {.serial = of,
	    .data = {(const uint8_t *)text, (uint32_t)strlen(text)}};

	ipc_send(FD_AUTH, IPC_AUTH_CONT, &m, NULL, 0);
}

/* More logins begun and not ended than one gate may have. */
static void
hoard_steps(void)
{
	struct pollfd p = {.fd = FD_AUTH, .events = POLLIN | POLLOUT};

	for (int begun = 0; begun < 33000;) {
		if (poll(&p, 1, 20000) != 1)
			_exit(8);
		if (p.revents & POLLIN) {
			if (ipc_recv(FD_AUTH, &in, R_AUTH, R_GATE, P_RUN) ==
			    IPC_GOT)
				ipc_done(&in);
		} else if (begin("LOGIN") == CULVER_OK) {
			serial++;
			begun++;
		}
	}
	await(FD_AUTH, R_AUTH, IPC_AUTH_NO);
}

/* What a gate may not do to the coordinator; true: MODE was one of these. */
static _Bool
misuse_auth(void)
{
	static uint8_t buf[IPC_MAX], big[20000];
	struct ipc_auth_cont m = {.serial = serial, .data = {big, 12288}};
	size_t n;

	if (mode_is("stepnone")) {
		step(serial, "x");	/* of a login that never began */
	} else if (mode_is("stepbusy")) {
		begin("LOGIN");
		step(serial, "user1");
		step(serial, "geheim");
		step(serial, "geheim");	/* a pool is asked now */
	} else if (mode_is("stepbig")) {
		begin("LOGIN");
		n = ipc_encode(IPC_AUTH_CONT, &m, 0, buf, sizeof(buf));
		buf[IPC_HEADER + 8]++;	/* the length of its data, */
		buf[4]++;		/* and its own */
		send_raw_to(FD_AUTH, buf, n + 1, NULL, 0);
	} else if (mode_is("stepmech")) {
		begin("CRAM-MD5");	/* is not switched on */
	} else if (mode_is("stepcert")) {
		begin("EXTERNAL");	/* nobody vouches for certificates */
	} else if (mode_is("stepserial")) {
		begin("LOGIN");
		begin("LOGIN");		/* the same number again */
	} else if (mode_is("stepmany")) {
		hoard_steps();
	} else {
		return 0;
	}
	return 1;
}

static void
misuse(void)
{
	uint64_t grant;

	if (misuse_auth()) {
		return;
	} else if (mode_is("othergate")) {
		other_gate();
	} else if (mode_is("foreign")) {
		handover(get_grant() + 1, serial, client_socket());
	} else if (mode_is("serial")) {
		handover(get_grant(), serial + 1, client_socket());
	} else if (mode_is("good")) {
		handover(get_grant(), serial, client_socket());
	} else if (mode_is("twice")) {
		grant = get_grant();
		handover(grant, serial, client_socket());
		await(FD_MASTER, R_MASTER, IPC_STARTED);
		handover(grant, serial, client_socket());
	} else if (mode_is("late")) {
		grant = get_grant();
		poll(NULL, 0, 31000);
		handover(grant, serial, client_socket());
	} else if (mode_is("hoard")) {
		hoard();
	} else if (mode_is("directory")) {
		handover(get_grant(), serial, open("/", O_RDONLY));
	} else if (mode_is("phase")) {
		ready();		/* READY is for the start only */
	} else {
		malformed();
	}
}

int
main(void)
{
	signal(SIGTERM, SIG_IGN);
	if (!conf_read(FD_SNAPSHOT, CONF_GATE, &conf, sizeof(conf)))
		return 2;
	if (mode_is("early")) {		/* a hand-over before READY */
		handover(1, serial, client_socket());
		wait_for_the_end();
	}
	ready();
	await(FD_CHANNEL, R_MANAGER, IPC_GATE_CERTS);
	misuse();
	wait_for_the_end();
}
