/*
 * load.c - `popload load': many clients of one POP3 server, in one process.
 *
 * It runs as whoever calls it, trusts its arguments and the file of users, and
 * nothing that the server says: session.c checks that.  A run ends with one
 * line of JSON, and with status 1 if any session was not as it must be.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "core/base/clock.h"
#include "tests/bench/session.h"

#define USAGE \
	"usage: popload load -a address -p port -s \"LOGIN STAT QUIT\"\n" \
	"  -u file of user:password lines, each used by one session at a time\n" \
	"  -c clients at a time (1)    -n sessions in all (one a client)\n" \
	"  -d end after so many ms     -e 1: TLS from the start (0)\n" \
	"  -m messages there must be   -r commands sent ahead (1)\n" \
	"  -t seconds a reply (30)     -x 1: check every octet (0)\n" \
	"  -o connections that open at a time (64)\n" \
	"  -b address to come from: each has ports for about 14,000\n" \
	"steps: LOGIN STAT LIST UIDL RETR[=newest] DELE[=oldest] NOOP[=n] QUIT\n" \
	"HOLD; with HOLD it says when all are there, and ends with its input"
#define INPUT (256 * 1024)
#define TOO_MANY 20     /* failures: a run that is for nothing ends */

struct user {
	char *name, *password;
};

struct client {
	struct session session;
	int fd;
	SSL *ssl;
	bool open, greeted, held, writing;      /* writing: awaits EPOLLOUT */
	unsigned user;
	uint64_t began, heard;
};

static long port, clients = 1, sessions = -1, duration = 0, tls = 0,
    depth = 1, expected = -1, patience = 30, thorough = 0, opening_max = 64;
static const char *address, *steps, *user_file, *from;
static struct plan plan;
static struct sockaddr_in server, source;
static SSL_CTX *ctx;
static struct user *users;
static unsigned nusers, *queue, queue_head, queue_length;
static struct client **live;    /* by their place */
static int epoll_fd;
static long started, ended, good, failed, opening, holding, live_count;
static uint64_t start, last_good, *took;
static size_t took_room;
static char input[INPUT];

/* --- users: none is in two sessions at a time ------------------------------ */

static void
users_read(const char *path)
{
	char line[512], *colon;
	FILE *f = fopen(path, "re");
	unsigned room = 0;

	if (f == NULL)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof line, f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		colon = strchr(line, ':');
		if (colon == NULL)
			die("%s: no colon in %s", path, line);
		*colon = '\0';
		if (nusers == room)
			users = need(users, room = 2 * room + 64,
			    sizeof *users);
		users[nusers].name = strdup(line);
		users[nusers].password = strdup(colon + 1);
		if (users[nusers].name == NULL ||
		    users[nusers++].password == NULL)
			die("no memory");
	}
	fclose(f);
	queue = need(NULL, nusers, sizeof *queue);
	for (; queue_length < nusers; queue_length++)
		queue[queue_length] = queue_length;
}

static unsigned
user_take(void)
{
	unsigned user;

	if (queue_length == 0)
		die("fewer users than clients");
	user = queue[queue_head];
	queue_head = (queue_head + 1) % nusers;
	queue_length--;
	return user;
}

static void
user_give(unsigned user)
{
	queue[(queue_head + queue_length++) % nusers] = user;
}

/* --- clients --------------------------------------------------------------- */

static void
client_end(struct client *c, long place, bool ok)
{
	uint64_t now = clock_now();

	if (ok) {
		if ((size_t)good == took_room)
			took = need(took, took_room = 2 * took_room + 1024,
			    sizeof *took);
		took[good++] = now - c->began;
		last_good = now;
	} else if (++failed <= 5)
		fprintf(stderr, "popload: %s\n", session_why);
	if (!c->greeted)
		opening--;
	if (c->held)
		holding--;
	SSL_free(c->ssl);
	close(c->fd);
	if (nusers > 0)
		user_give(c->user);
	session_free(&c->session);
	free(c);
	live[place] = NULL;
	live_count--;
	ended++;
}

static bool
client_fails(const char *what, const char *why)
{
	snprintf(session_why, sizeof session_why, "%s: %s", what, why);
	return false;
}

static void
client_watch(struct client *c, long place, bool writing)
{
	struct epoll_event ev = {
		.events = EPOLLIN | (writing ? (uint32_t)EPOLLOUT : 0),
		.data.u64 = (uint64_t)place,
	};

	if (writing != c->writing)
		epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
	c->writing = writing;
}

static void
client_start(long place)
{
	struct client *c = need(NULL, 1, sizeof *c);
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT,
	    .data.u64 = (uint64_t)place};
	const struct user *u;
	int one = 1;

	memset(c, 0, sizeof *c);
	c->user = nusers > 0 ? user_take() : 0;
	u = nusers > 0 ? &users[c->user] : NULL;
	c->began = c->heard = clock_now();
	session_begin(&c->session, &plan, u != NULL ? u->name : NULL,
	    u != NULL ? u->password : NULL);
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
	    sizeof one);
	if (from != NULL && bind(c->fd, (struct sockaddr *)&source,
	    sizeof source) != 0)
		die("%s: %s", from, strerror(errno));
	c->writing = true;
	live[place] = c;
	live_count++;
	started++;
	opening++;
	if (connect(c->fd, (struct sockaddr *)&server, sizeof server) != 0 &&
	    errno != EINPROGRESS) {
		client_fails("connect", strerror(errno));
		client_end(c, place, false);
		return;
	}
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev);
}

/* All that can be sent now. */
static bool
client_send(struct client *c, long place)
{
	struct session *s = &c->session;
	size_t done = 0;
	bool blocked = false;

	while (done < s->out_length && !blocked) {
		size_t left = s->out_length - done;
		ssize_t n = c->ssl != NULL ?
		    SSL_write(c->ssl, s->out + done, (int)left) :
		    send(c->fd, s->out + done, left, MSG_NOSIGNAL);

		if (n > 0)
			done += (size_t)n;
		else if (c->ssl != NULL ?
		    SSL_get_error(c->ssl, (int)n) == SSL_ERROR_WANT_WRITE :
		    errno == EAGAIN)
			blocked = true;
		else
			return client_fails(session_step(s), "sending failed");
	}
	memmove(s->out, s->out + done, s->out_length - done);
	s->out_length -= done;
	client_watch(c, place, blocked);
	return true;
}

/* What is there to read: its length, 0 at the end, -1 if nothing is yet. */
static ssize_t
client_read(struct client *c)
{
	ssize_t n;
	int error;

	if (c->ssl == NULL) {
		n = recv(c->fd, input, sizeof input, 0);
		return n >= 0 ? n : errno == EAGAIN ? -1 : 0;
	}
	ERR_clear_error();
	n = SSL_read(c->ssl, input, sizeof input);
	if (n > 0)
		return n;
	error = SSL_get_error(c->ssl, (int)n);
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ?
	    -1 : 0;
}

/* False at the end of the session, which *ok is about. */
static bool
client_receive(struct client *c, long place, bool *ok)
{
	struct session *s = &c->session;
	ssize_t n = 0;

	while ((n = client_read(c)) > 0) {
		c->heard = clock_now();
		if (!c->greeted) {
			c->greeted = true;
			opening--;
		}
		*ok = session_input(s, input, (size_t)n) &&
		    (s->out_length == 0 || client_send(c, place));
		if (!*ok)
			return false;
		if (!c->held && session_holds(s)) {
			c->held = true;
			holding++;
		}
		if (c->ssl == NULL && n < INPUT)
			break;
	}
	if (n == 0)
		*ok = session_end(s);
	return n != 0;
}

/* The handshake, if there is one: true when it is done. */
static bool
client_open(struct client *c, long place, bool *ok)
{
	int error = 0, n;
	socklen_t length = sizeof error;

	if (c->ssl == NULL) {
		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
		if (error != 0) {
			*ok = client_fails("connect", strerror(error));
			return false;
		}
		client_watch(c, place, false);
		if (ctx == NULL)
			return c->open = true;
		c->ssl = SSL_new(ctx);
		if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
			die("no memory for TLS");
	}
	ERR_clear_error();
	n = SSL_connect(c->ssl);
	if (n == 1)
		return c->open = true;
	error = SSL_get_error(c->ssl, n);
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		*ok = client_fails("TLS handshake", "failed");
	return false;
}

static void
client_event(struct client *c, long place, uint32_t events)
{
	bool ok = true, goes_on = true;

	if (c->open || client_open(c, place, &ok)) {
		if ((events & EPOLLOUT) != 0 && c->session.out_length > 0)
			ok = client_send(c, place);
		if (ok)
			goes_on = client_receive(c, place, &ok);
	}
	if (!ok || !goes_on)
		client_end(c, place, ok);
}

/* --- the run --------------------------------------------------------------- */

static void
silent_end(uint64_t now)
{
	long i;

	for (i = 0; i < clients; i++) {
		struct client *c = live[i];

		if (c == NULL || session_holds(&c->session) ||
		    now - c->heard < (uint64_t)patience * NS_PER_S)
			continue;
		snprintf(session_why, sizeof session_why, "%s, after %s: no"
		    " answer for %ld s", c->session.user != NULL ?
		    c->session.user : "-", session_step(&c->session),
		    patience);
		client_end(c, i, false);
	}
}

static bool
starts_more(uint64_t now)
{
	return failed < TOO_MANY && (sessions < 0 || started < sessions) &&
	    (duration == 0 || now - start < (uint64_t)duration * NS_PER_MS);
}

/* Whether what holds the sessions said that they may end. */
static bool
let_go(long *told)
{
	char c;

	if (*told < 0) {
		printf("{\"holding\": %ld, \"seconds\": %.3f}\n", holding,
		    (double)(clock_now() - start) / 1e9);
		fflush(stdout);
		*told = holding;
		fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
	}
	return read(0, &c, 1) >= 0 || errno != EAGAIN;
}

static void
run(bool hold)
{
	struct epoll_event events[256];
	uint64_t now, looked = start;
	long place = 0, told = -1;
	int n, i;

	for (;;) {
		now = clock_now();
		while (live_count < clients && opening < opening_max &&
		    starts_more(now)) {
			while (live[place] != NULL)
				place = (place + 1) % clients;
			client_start(place);
		}
		if (live_count == 0 && !starts_more(now))
			return;
		if (hold && holding == live_count && !starts_more(now) &&
		    let_go(&told))
			return;
		n = epoll_wait(epoll_fd, events, 256, 50);
		for (i = 0; i < n; i++) {
			long which = (long)events[i].data.u64;

			if (live[which] != NULL)
				client_event(live[which], which,
				    events[i].events);
		}
		if (now - looked > NS_PER_S / 4)
			silent_end(looked = clock_now());
	}
}

static int
compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The median and its kin, in ms. */
static double
quantile(double share)
{
	return good == 0 ? 0 :
	    (double)took[(size_t)((double)(good - 1) * share)] / 1e6;
}

static void
report(bool hold)
{
	double seconds = (double)(last_good - start) / 1e9;
	struct rusage ru;
	unsigned i;

	getrusage(RUSAGE_SELF, &ru);
	if (good > 0)
		qsort(took, (size_t)good, sizeof *took, compare);
	printf("{\"sessions\": %ld, \"failed\": %ld, \"held\": %ld,"
	    " \"seconds\": %.6f, \"client_ms\": %.3f,"
	    " \"p50\": %.4f, \"p95\": %.4f, \"p99\": %.4f, \"max\": %.4f,"
	    " \"messages\": %lu, \"octets\": %lu, \"uidl_crc\": %lu,"
	    " \"steps\": {", good, failed, hold ? holding : 0,
	    good > 0 ? seconds : 0,
	    (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e3 +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e3,
	    quantile(0.5), quantile(0.95), quantile(0.99), quantile(1),
	    session_totals.messages, session_totals.octets,
	    (unsigned long)session_totals.uidl_crc);
	for (i = 0; i < STEP_KINDS; i++)
		printf("%s\"%s\": %.6f", i > 0 ? ", " : "", step_name(i),
		    (double)session_totals.ns[i] / 1e6);
	printf("}}\n");
}

static SSL_CTX *
tls_context(void)
{
	SSL_CTX *made = SSL_CTX_new(TLS_client_method());

	if (made == NULL)
		die("no TLS");
	/* full handshakes; what the certificate says is no matter here */
	SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION);
	SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(made, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(made, SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (clients == 1) {     /* fewer reads a record */
		SSL_CTX_set_read_ahead(made, 1);
		SSL_CTX_set_default_read_buffer_len(made, 128 * 1024);
	}
	return made;
}

static struct sockaddr_in
address_read(const char *text)
{
	struct sockaddr_in sin = {.sin_family = AF_INET};

	if (inet_pton(AF_INET, text, &sin.sin_addr) != 1)
		die("%s: no IPv4 address", text);
	return sin;
}

int
load_main(int argc, char **argv)
{
	const struct option_word words[] = {
		{'a', &address, NULL, 0, 0}, {'p', NULL, &port, 1, 65535},
		{'b', &from, NULL, 0, 0},
		{'s', &steps, NULL, 0, 0}, {'u', &user_file, NULL, 0, 0},
		{'c', NULL, &clients, 1, 100000},
		{'n', NULL, &sessions, 1, 1L << 40},
		{'d', NULL, &duration, 1, 1L << 30}, {'e', NULL, &tls, 0, 1},
		{'m', NULL, &expected, 0, 1L << 30},
		{'r', NULL, &depth, 1, 1000}, {'t', NULL, &patience, 1, 3600},
		{'x', NULL, &thorough, 0, 1},
		{'o', NULL, &opening_max, 1, 100000}, {'\0', NULL, NULL, 0, 0},
	};
	bool hold;

	if (options_read(argc, argv, words, USAGE) != argc ||
	    address == NULL || port == 0 || steps == NULL)
		die("%s", USAGE);
	plan_read(&plan, steps);
	plan.depth = (unsigned long)depth;
	plan.expected = expected;
	plan.thorough = thorough != 0;
	hold = plan.step[plan.steps - 1].kind == STEP_HOLD;
	if (!hold && plan.step[plan.steps - 1].kind != STEP_CLOSE)
		die("a plan ends in QUIT or HOLD");
	if (sessions < 0 && duration == 0)
		sessions = clients;
	if (user_file != NULL)
		users_read(user_file);
	else if (strstr(steps, "LOGIN") != NULL)
		die("LOGIN needs users");
	server = address_read(address);
	server.sin_port = htons((uint16_t)port);
	source = address_read(from != NULL ? from : "0.0.0.0");
	descriptors_raise((unsigned long)clients + 64);
	signal(SIGPIPE, SIG_IGN);
	ctx = tls != 0 ? tls_context() : NULL;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	live = need(NULL, (size_t)clients, sizeof *live);
	memset(live, 0, (size_t)clients * sizeof *live);
	start = last_good = clock_now();
	run(hold);
	report(hold);
	return failed > 0 ? 1 : 0;
}
