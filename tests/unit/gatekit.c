/*
 * gatekit.c - a gate in this process, for tests.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/pop3/reply.h"
#include "tests/unit/gatekit.h"

static void
log_nothing(int level, const char *text)
{
	(void)level, (void)text;
}

static void
conf_fill(struct conf_gate *conf)
{
	conf->login_time = 60 * NS_PER_S;
	conf->idle_time = 600 * NS_PER_S;
	conf->connections = 100;
	conf->connections_per_ip = 3;
	conf->bad_commands = 5;
	conf->gate_logins = 3;
	conf->expire_days = UINT32_MAX;
	conf->mechs = SASL_ALL | SASL_BIT(SASL_USER);
	conf->announced = PLAIN_SET;
	conf->n_listen = KIT_N;
	conf->listen[KIT_TLS].tls = CONF_TLS_IMPLICIT;
	conf->listen[KIT_NEVER].plain_login = CONF_PLAIN_NEVER;
	conf->listen[KIT_ALWAYS].plain_login = CONF_PLAIN_ALWAYS;
	conf->listen[KIT_OFF].tls = CONF_TLS_OFF;
	conf->n_cert = conf->n_host = 1;
}

void
kit_start(struct kit *k)
{
	int manager[2], master[2], auth[2];

	log_set_sink(log_nothing);
	memset(k, 0, sizeof(*k));
	k->gate = calloc(1, sizeof(*k->gate));
	assert_non_null(k->gate);
	conf_fill(&k->gate->conf);
	k->gate->host = calloc(1, sizeof(*k->gate->host));
	assert_non_null(k->gate->host);
	k->gate->host[0].n = 1;
	assert_true(ipc_pair(manager) && ipc_pair(master) &&
	    ipc_pair(auth));
	assert_true(gate_init(k->gate, manager[0], master[0], auth[0]));
	k->manager = manager[1];
	k->master = master[1];
	k->auth = auth[1];
}

void
kit_stop(struct kit *k)
{
	int manager = k->gate->manager.fd, master = k->gate->master.fd;
	int auth = k->gate->auth_open ? k->gate->auth.fd : -1;

	gate_free(k->gate);
	close(manager);
	close(master);
	if (auth >= 0)
		close(auth);
	close(k->manager);
	close(k->master);
	if (k->auth >= 0)
		close(k->auth);
	free(k->gate);
}

static void
nothing(struct loop_timer *timer)
{
	(void)timer;
}

void
kit_turn(struct kit *k)
{
	struct loop_timer now = {.due = nothing};

	for (int i = 0; i < 12 && !k->gate->stop; i++) {
		loop_timer_set(k->gate->loop, &now, clock_now());
		gate_once(k->gate);
	}
	loop_timer_clear(k->gate->loop, &now);
}

int
kit_connect(struct kit *k, unsigned listen, const char *address)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr un = {.sa_family = AF_UNIX};
	struct peer peer;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	if (address != NULL)
		inet_pton(AF_INET, address, &in.sin_addr);
	peer_set(&peer, address != NULL ? (struct sockaddr *)&in : &un,
	    address != NULL ? sizeof(in) : sizeof(sa_family_t));
	arrive(k->gate, pair[1], listen, &peer);
	kit_turn(k);
	return pair[0];
}

void
kit_send(struct kit *k, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL),
	    strlen(text));
	kit_turn(k);
}

const char *
kit_hear(struct kit *k, int fd)
{
	static char text[65536];
	size_t n = 0;
	ssize_t got = -1;
	_Bool over;

	kit_turn(k);
	while (n < sizeof(text) - 8 &&
	    (got = recv(fd, text + n, sizeof(text) - 8 - n, 0)) > 0)
		n += (size_t)got;
	over = got == 0 || (got < 0 && errno == ECONNRESET);
	memcpy(text + n, over ? "EOF" : "", over ? 4 : 1);
	return text;
}

static void
got(struct kit *k, int fd, enum ipc_role from, enum ipc_role to,
    enum ipc_type type)
{
	ipc_done(&k->in);
	assert_int_equal(ipc_recv(fd, &k->in, from, to, P_RUN), IPC_GOT);
	assert_string_equal(ipc_name(k->in.type), ipc_name(type));
}

void
kit_auth_got(struct kit *k, enum ipc_type type)
{
	got(k, k->auth, R_GATE, R_AUTH, type);
}

void
kit_master_got(struct kit *k, enum ipc_type type)
{
	if (type == IPC_HANDOVER || type == IPC_RELEASE)
		got(k, k->master, R_GATE, R_MASTER, type);
	else
		got(k, k->manager, R_GATE, R_MANAGER, type);
}

void
kit_quiet(struct kit *k)
{
	ipc_done(&k->in);
	kit_turn(k);
	assert_int_equal(ipc_recv(k->auth, &k->in, R_GATE, R_AUTH, P_RUN),
	    IPC_AGAIN);
	assert_int_equal(ipc_recv(k->master, &k->in, R_GATE, R_MASTER, P_RUN),
	    IPC_AGAIN);
	assert_int_equal(ipc_recv(k->manager, &k->in, R_GATE, R_MANAGER,
	    P_RUN), IPC_AGAIN);
}

void
kit_auth_say(struct kit *k, enum ipc_type type, const void *msg)
{
	assert_int_equal(ipc_send(k->auth, type, msg, NULL, 0), CULVER_OK);
	kit_turn(k);
}

void
kit_master_say(struct kit *k, enum ipc_type type, const void *msg,
    const int *fds, unsigned n)
{
	int fd = type == IPC_STARTED || type == IPC_REFUSED ? k->master :
	    k->manager;

	assert_int_equal(ipc_send(fd, type, msg, fds, n), CULVER_OK);
	kit_turn(k);
}

int
kit_login(struct kit *k, int fd)
{
	struct ipc_auth_yes yes = {.grant = 7};
	struct ipc_started started;
	int client;

	if (fd >= 0)
		kit_send(k, fd, "USER u\r\nPASS p\r\n");
	kit_auth_got(k, IPC_AUTH_BEGIN);
	yes.serial = started.serial = k->in.m.auth_begin.serial;
	kit_auth_say(k, IPC_AUTH_YES, &yes);
	kit_master_got(k, IPC_HANDOVER);
	assert_int_equal(k->in.m.handover.grant, 7);
	assert_int_equal(k->in.m.handover.serial, yes.serial);
	client = k->in.fd[0];
	k->in.fd[0] = -1;
	kit_master_say(k, IPC_STARTED, &started, NULL, 0);
	return client;
}

struct kit gatekit;

int
gatekit_setup(void **state)
{
	(void)state;
	kit_start(&gatekit);
	return 0;
}

int
gatekit_teardown(void **state)
{
	(void)state;
	ipc_done(&gatekit.in);
	kit_stop(&gatekit);
	return 0;
}

int
gatekit_greeted(void)
{
	int fd = kit_connect(&gatekit, KIT_LOCAL, NULL);

	kit_expect(&gatekit, fd, POP3_GREETING);
	return fd;
}
