/*
 * serve.c - culver-plugin serve: a POP3 server in one process, for gdb.
 *
 * Runs as whoever calls it, with a worker's code for the session but without
 * its confinement; any user name, one password, loopback only.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/pop3/capa.h"
#include "core/pop3/command.h"
#include "core/pop3/reply.h"
#include "core/tools/kit/commands.h"
#include "core/tools/kit/subject.h"
#include "core/worker/session.h"

static char password[17];

static int
complain(const char *what)
{
	fprintf(stderr, "culver-plugin: %s: %s\n", what, strerror(errno));
	return EX_OSERR;
}

/* A socket that listens on loopback. */
static int
listener(unsigned port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
	    sizeof(one)) == 0 && bind(fd, (struct sockaddr *)&sin,
	    sizeof(sin)) == 0 && listen(fd, 5) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void
capabilities(struct client *c)
{
	const struct pop3_capa capa = { .user = true,
	    .expire_days = POP3_EXPIRE_NONE };
	char buf[POP3_CAPA_MAX];

	client_put(c, buf, pop3_capa(&capa, buf, sizeof(buf)));
}

/* The AUTHORIZATION state; true when somebody logged in, as USER. */
static bool
log_in(struct client *c, char user[256])
{
	struct pop3_command cmd;
	struct pop3_line line;
	enum pop3_split got;

	user[0] = '\0';
	client_text(c, "+OK culver-plugin\r\n");
	while ((got = client_line(c, &line)) != POP3_MORE) {
		enum pop3_parsed parsed = got == POP3_LONG ? POP3_PARSED :
		    pop3_parse(line.p, line.n, POP3_AUTHORIZATION, &cmd);

		if (got == POP3_LONG || parsed != POP3_PARSED) {
			client_text(c, got == POP3_LONG ? POP3_TOO_LONG :
			    pop3_parse_reply(parsed, POP3_AUTHORIZATION));
		} else if (cmd.verb == POP3_QUIT) {
			client_text(c, POP3_OK);
			return false;
		} else if (cmd.verb == POP3_CAPA) {
			capabilities(c);
		} else if (cmd.verb == POP3_USER && cmd.arg[0].n < 256) {
			memcpy(user, cmd.arg[0].p, cmd.arg[0].n);
			user[cmd.arg[0].n] = '\0';
			client_text(c, POP3_OK);
		} else if (cmd.verb == POP3_PASS && user[0] != '\0' &&
		    cmd.arg[0].n == strlen(password) && memcmp(cmd.arg[0].p,
		    password, cmd.arg[0].n) == 0) {
			return true;
		} else {
			client_text(c, "-ERR [AUTH] any user, and the "
			    "password that was printed\r\n");
		}
	}
	return false;
}

/* The session of USER, as a worker has it. */
static void
session(struct kit *k, struct client *c, const char *user)
{
	struct session s = { .client = c, .expire_days = POP3_EXPIRE_NONE,
	    .bad_commands = 20, .report = { .reason = "" } };
	struct culver_path paths[STORE_PATHS];
	struct plugin_host host;
	struct values *values;
	struct box_user u;
	struct store store;
	culver_status st = CULVER_E_NOMEM;
	uint32_t n;

	subject_user(k, &u);
	u.u.name = user;
	values = subject_values(k, &u.u);
	plugin_host_init(&host, k->plugin.desc.name);
	s.store = &store;
	if (store_init(&store, &k->plugin.storage, k->plugin.desc.caps))
		st = store_create(&store, &host.host, &values->c, &u.u);
	if (st == CULVER_OK)
		st = store_paths(&store, paths, &n);
	if (st == CULVER_OK)
		session_run(&s);
	else
		session_refuse(&s, st);
	printf("%s: %s\n", user, s.report.reason);
	fflush(stdout);
	store_destroy(&store);
	values_destroy(&values);
}

static bool
prepare(struct kit *k, const char *home)
{
	const struct plugin_rules rules = { .allow = UINT32_MAX };
	unsigned char random[8];
	char err[PLUGIN_ERR], *real = realpath(home, NULL);
	int i;

	if (real == NULL || strlen(real) >= sizeof(k->home)) {
		complain(home);
		return false;
	}
	memcpy(k->home, real, strlen(real) + 1);
	free(real);
	if (!plugin_load(k->module, CULVER_KIND_STORAGE, &rules, &k->plugin,
	    err) || !subject_check(k, err)) {
		fprintf(stderr, "culver-plugin: %s\n", err);
		return false;
	}
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return false;
	for (i = 0; i < 8; i++)
		snprintf(password + 2 * i, 3, "%02x", random[i]);
	return true;
}

int
kit_serve_main(struct kit *k, unsigned port, const char *home)
{
	static struct client c;		/* too large for a stack */
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	char user[256];
	int fd, channel[2];

	k->shared = kit_shared = mmap(NULL, sizeof(*kit_shared), PROT_READ |
	    PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (kit_shared == MAP_FAILED || !prepare(k, home))
		return EX_DATAERR;
	signal(SIGPIPE, SIG_IGN);
	fd = listener(port);
	if (fd < 0 || getsockname(fd, (struct sockaddr *)&sin, &len) != 0)
		return complain("cannot listen");
	/* a worker would hear from master there; nobody writes to it */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) !=
	    0)
		return complain("socketpair");
	printf("POP3 on 127.0.0.1 port %u, any user, password %s, process "
	    "%d\n", (unsigned)ntohs(sin.sin_port), password, (int)getpid());
	fflush(stdout);
	for (;;) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0 && errno != EINTR && errno != ECONNABORTED)
			return complain("accept");
		if (client < 0)
			continue;
		client_start(&c, client, channel[0], 600 * NS_PER_S);
		if (log_in(&c, user))
			session(k, &c, user);
		else
			client_close(&c);
	}
}
