/*
 * test_ipc.c - messages between roles: what goes through, and what is refused.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/ipc/ipc.h"

static struct ipc_in in;

struct pair {
	int a, b;
};

static int
setup(void **state)
{
	static struct pair p;
	int fd[2];

	if (!ipc_pair(fd))
		return -1;
	p = (struct pair){fd[0], fd[1]};
	*state = &p;
	return 0;
}

static int
teardown(void **state)
{
	struct pair *p = *state;

	close(p->a);
	if (p->b >= 0)
		close(p->b);
	return 0;
}

static const struct ipc_grant a_grant = {.id = 0x1234567890abcdefull,
    .kind = IPC_GRANT_SESSION, .gate = 7, .serial = UINT64_MAX, .uid = 1000,
    .gid = 1001, .section = 2, .flags = IPC_TLS, .user = "jane",
    .remote = "2001:db8::1", .mech = "PLAIN",
    .tail = {(const uint8_t *)"\0\1\2", 3}};

static void
a_message_arrives_as_it_was_sent(void **state)
{
	struct pair *p = *state;
	const struct ipc_grant *g = &in.m.grant;

	assert_int_equal(ipc_send(p->a, IPC_GRANT, &a_grant, NULL, 0),
	    CULVER_OK);
	assert_int_equal(ipc_recv(p->b, &in, R_AUTH, R_MASTER, P_RUN),
	    IPC_GOT);
	assert_int_equal(in.type, IPC_GRANT);
	assert_true(g->id == a_grant.id && g->serial == UINT64_MAX &&
	    g->gate == 7 && g->uid == 1000 && g->gid == 1001 &&
	    g->section == 2 && g->flags == IPC_TLS);
	assert_string_equal(g->user, "jane");
	assert_string_equal(g->remote, "2001:db8::1");
	assert_int_equal(g->tail.n, 3);
	assert_memory_equal(g->tail.p, "\0\1\2", 3);
	ipc_done(&in);
	assert_int_equal(ipc_recv(p->b, &in, R_AUTH, R_MASTER, P_RUN),
	    IPC_AGAIN);
}

static void
only_the_declared_sender_in_its_phase_may_send(void **state)
{
	struct pair *p = *state;
	static const struct {
		enum ipc_role from, to;
		enum ipc_phase phase;
	} wrong[] = {{R_GATE, R_MASTER, P_RUN}, {R_WORKER, R_MASTER, P_RUN},
	    {R_AUTH, R_GATE, P_RUN}, {R_AUTH, R_MASTER, P_START}};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ipc_send(p->a, IPC_GRANT, &a_grant, NULL, 0);
		assert_int_equal(ipc_recv(p->b, &in, wrong[i].from,
		    wrong[i].to, wrong[i].phase), IPC_BREACH);
	}
}

static _Bool
is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void
descriptors_are_counted_and_nobody_keeps_a_surplus_one(void **state)
{
	struct pair *p = *state;
	struct ipc_handover h = {.grant = 1, .serial = 2};
	int fds[2] = {p->a, p->b}, got;

	assert_int_equal(ipc_send(p->a, IPC_HANDOVER, &h, NULL, 0),
	    CULVER_E_PERM);
	assert_int_equal(ipc_send(p->a, IPC_HANDOVER, &h, fds, 2),
	    CULVER_E_PERM);
	assert_int_equal(ipc_send(p->a, IPC_HANDOVER, &h, fds, 1), CULVER_OK);
	assert_int_equal(ipc_recv(p->b, &in, R_GATE, R_MASTER, P_RUN),
	    IPC_GOT);
	assert_int_equal(in.nfds, 1);
	got = in.fd[0];
	assert_true(is_open(got));
	assert_int_equal(fcntl(got, F_GETFD), FD_CLOEXEC);
	ipc_done(&in);
	assert_false(is_open(got));
}

/* The same octets with a change that ipc_send() would not make. */
static void
octets_that_lie_are_a_breach(void **state)
{
	struct pair *p = *state;
	uint8_t good[1024], bad[1024];
	size_t n = ipc_encode(IPC_GRANT, &a_grant, 0, good, sizeof(good));

	assert_true(n > 0);
	for (size_t cut = 1; cut < n; cut++) {
		send(p->a, good, cut, 0);
		assert_int_equal(ipc_recv(p->b, &in, R_AUTH, R_MASTER, P_RUN),
		    IPC_BREACH);
	}
	memcpy(bad, good, n);
	bad[n] = 0;
	send(p->a, bad, n + 1, 0);
	assert_int_equal(ipc_recv(p->b, &in, R_AUTH, R_MASTER, P_RUN),
	    IPC_BREACH);
	for (size_t i = 0; i < n; i++) {
		enum ipc_result r;

		memcpy(bad, good, n);
		bad[i] ^= 0x80;
		send(p->a, bad, n, 0);
		r = ipc_recv(p->b, &in, R_AUTH, R_MASTER, P_RUN);
		assert_true(r == IPC_GOT || r == IPC_BREACH);
		if (i < 8)
			assert_int_equal(r, IPC_BREACH);
		if (r == IPC_GOT)
			ipc_done(&in);
	}
}

static void
text_has_no_nul_and_no_more_than_its_limit(void **state)
{
	struct pair *p = *state;
	char name[300];
	struct ipc_grant g = a_grant;
	uint8_t buf[1024];
	size_t n, at;

	memset(name, 'x', sizeof(name) - 1);
	name[255] = 0;
	g.user = name;
	assert_int_equal(ipc_send(p->a, IPC_GRANT, &g, NULL, 0), CULVER_OK);
	name[255] = 'x';
	name[256] = 0;
	assert_int_equal(ipc_send(p->a, IPC_GRANT, &g, NULL, 0),
	    CULVER_E_PERM);
	n = ipc_encode(IPC_GRANT, &a_grant, 0, buf, sizeof(buf));
	for (at = 0; memcmp(buf + at, "jane", 4) != 0; at++)
		;
	assert_int_equal(ipc_recv(p->b, &in, R_AUTH, R_MASTER, P_RUN),
	    IPC_GOT);
	ipc_done(&in);
	buf[at + 1] = 0;
	send(p->a, buf, n, 0);
	assert_int_equal(ipc_recv(p->b, &in, R_AUTH, R_MASTER, P_RUN),
	    IPC_BREACH);
}

static void
a_password_does_not_stay_in_the_buffer(void **state)
{
	struct pair *p = *state;
	static const char data[] = "user\0hunter2";
	struct ipc_auth_begin m = {.serial = 1, .mech = "USER",
	    .service = "pop3", .remote = "::1", .local = "::1",
	    .data = {(const uint8_t *)data, sizeof(data)}};

	assert_int_equal(ipc_send(p->a, IPC_AUTH_BEGIN, &m, NULL, 0),
	    CULVER_OK);
	assert_int_equal(ipc_recv(p->b, &in, R_GATE, R_AUTH, P_RUN), IPC_GOT);
	assert_non_null(memmem(in.buf, sizeof(in.buf), "hunter2", 7));
	ipc_done(&in);
	assert_null(memmem(in.buf, sizeof(in.buf), "hunter2", 7));
}

static void
a_full_socket_is_temporary_and_a_closed_one_is_not(void **state)
{
	struct pair *p = *state;
	culver_status st = CULVER_OK;

	for (int i = 0; i < 100000 && st == CULVER_OK; i++)
		st = ipc_send(p->a, IPC_GRANT, &a_grant, NULL, 0);
	assert_int_equal(st, CULVER_E_TEMP);
	close(p->b);
	p->b = -1;
	assert_int_equal(ipc_send(p->a, IPC_GRANT, &a_grant, NULL, 0),
	    CULVER_E_PERM);
}

static void
the_end_of_a_peer_is_seen_after_its_messages(void **state)
{
	struct pair *p = *state;

	ipc_send(p->b, IPC_GRANT, &a_grant, NULL, 0);
	close(p->b);
	p->b = -1;
	assert_int_equal(ipc_recv(p->a, &in, R_AUTH, R_MASTER, P_RUN),
	    IPC_GOT);
	ipc_done(&in);
	assert_int_equal(ipc_recv(p->a, &in, R_AUTH, R_MASTER, P_RUN),
	    IPC_EOF);
}

/* Who has no room for descriptors must not blame who sends them. */
static void
a_full_table_is_no_breach(void **state)
{
	const struct ipc_handover msg = {.grant = 7, .serial = 9};
	struct pair *p = *state;
	struct rlimit limit, full;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(ipc_send(p->a, IPC_HANDOVER, &msg, &p->a, 1),
	    CULVER_OK);
	full = limit;
	full.rlim_cur = 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	assert_int_equal(ipc_recv(p->b, &in, R_GATE, R_MASTER, P_RUN),
	    IPC_GOT);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(in.type, IPC_HANDOVER);
	assert_int_equal(in.m.handover.serial, 9);
	assert_int_equal(in.nfds, 0);
	assert_int_equal(in.fd[0], -1);
	ipc_done(&in);
	/* the next one arrives whole */
	assert_int_equal(ipc_send(p->a, IPC_HANDOVER, &msg, &p->a, 1),
	    CULVER_OK);
	assert_int_equal(ipc_recv(p->b, &in, R_GATE, R_MASTER, P_RUN),
	    IPC_GOT);
	assert_int_equal(in.nfds, 1);
	ipc_done(&in);
}

/* But one that carries what it does not speak of is, also then. */
static void
a_full_table_excuses_nothing_else(void **state)
{
	const struct ipc_auth_cancel msg = {.serial = 9};
	struct pair *p = *state;
	uint8_t buf[64];
	struct iovec iov = {.iov_base = buf,
	    .iov_len = ipc_encode(IPC_AUTH_CANCEL, &msg, 0, buf,
	    sizeof(buf))};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.space = {0}};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	struct rlimit limit, full;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &p->a, sizeof(int));
	assert_int_equal(sendmsg(p->a, &mh, 0), iov.iov_len);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	full = limit;
	full.rlim_cur = 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &full), 0);
	assert_int_equal(ipc_recv(p->b, &in, R_GATE, R_AUTH, P_RUN),
	    IPC_BREACH);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_message_arrives_as_it_was_sent),
		T(only_the_declared_sender_in_its_phase_may_send),
		T(descriptors_are_counted_and_nobody_keeps_a_surplus_one),
		T(octets_that_lie_are_a_breach),
		T(text_has_no_nul_and_no_more_than_its_limit),
		T(a_password_does_not_stay_in_the_buffer),
		T(a_full_socket_is_temporary_and_a_closed_one_is_not),
		T(the_end_of_a_peer_is_seen_after_its_messages),
		T(a_full_table_is_no_breach),
		T(a_full_table_excuses_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
