/*
 * sham.c - `popload sham': what a POP3 server costs that does nothing.
 *
 * One process, one epoll loop, no login, no mailbox, no file: every user has
 * the same messages, which are in memory as they go over the wire.  Nothing
 * that keeps mail can be faster by much; other servers are compared with it.
 * Runs as whoever calls it, listens where it is told to, trusts its clients,
 * and ends with its input.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tests/bench/popload.h"

#define USAGE \
	"usage: popload sham -a address -p port [-option value]...\n" \
	"  -n messages (20)   -s octets of each (14000)\n" \
	"  -e port for TLS    -c file of the certificate   -k of its key"
#define AHEAD (256 * 1024)      /* no more commands while so much is unsent */

struct buffer {
	char *data;
	size_t length, room;
};

struct peer {
	int fd;
	SSL *ssl;
	bool shaken, quits;
	char in[4096];
	size_t in_length;
	struct buffer out;
	size_t sent;
	uint32_t awaits;
};

static long port, tls_port, messages = 20, size = 14000;
static const char *address, *certificate, *key;
static SSL_CTX *ctx;
static struct buffer body, list, uidl;
static size_t octets;           /* of a message */
static unsigned long body_crc;
static int epoll_fd;

static void
buffer_add(struct buffer *b, const char *data, size_t n)
{
	if (b->room - b->length < n) {
		b->room = 2 * b->room + n;
		b->data = need(b->data, b->room, 1);
	}
	memcpy(b->data + b->length, data, n);
	b->length += n;
}

static void
buffer_text(struct buffer *b, const char *text)
{
	buffer_add(b, text, strlen(text));
}

static void
mailbox_make(void)
{
	static const char line[] = "Nobody wrote this, and nobody reads it;"
	    " it is as long as other lines are.\r\n";
	char text[80];
	long i;

	octets = (size_t)snprintf(text, sizeof text, MARK_FORMAT "\r\n", 0ul,
	    0ul, 0ul);
	while (octets + body.length < (size_t)size)
		buffer_add(&body, line, sizeof line - 1);
	octets += body.length;
	body_crc = crc_add(0, body.data, body.length);
	buffer_text(&body, ".\r\n");
	for (i = 1; i <= messages; i++) {
		snprintf(text, sizeof text, "%ld %zu\r\n", i, octets);
		buffer_text(&list, text);
		snprintf(text, sizeof text, "%ld 1600000000.M%ldP1.bench\r\n",
		    i, i);
		buffer_text(&uidl, text);
	}
	buffer_text(&list, ".\r\n");
	buffer_text(&uidl, ".\r\n");
}

static bool
is(const char *line, const char *word)
{
	return strncmp(line, word, 4) == 0;
}

static void
answer(struct peer *p, const char *line)
{
	char text[MARK_MAX + 8] = "+OK\r\n";

	if (is(line, "STAT"))
		snprintf(text, sizeof text, "+OK %ld %zu\r\n", messages,
		    octets * (size_t)messages);
	else if (is(line, "RETR"))
		snprintf(text, sizeof text, "+OK\r\n" MARK_FORMAT "\r\n",
		    strtoul(line + 4, NULL, 10), (unsigned long)octets,
		    body_crc);
	buffer_text(&p->out, text);
	if (is(line, "RETR"))
		buffer_add(&p->out, body.data, body.length);
	else if (is(line, "LIST"))
		buffer_add(&p->out, list.data, list.length);
	else if (is(line, "UIDL"))
		buffer_add(&p->out, uidl.data, uidl.length);
	else if (is(line, "QUIT"))
		p->quits = true;
}

/* Answers what is there, until enough is unsent. */
static void
commands(struct peer *p)
{
	char *line = p->in, *end = p->in + p->in_length, *lf = NULL;

	while (!p->quits && p->out.length - p->sent < AHEAD &&
	    (lf = memchr(line, '\n', (size_t)(end - line))) != NULL) {
		*lf = '\0';
		answer(p, line);
		line = lf + 1;
	}
	p->in_length = (size_t)(end - line);
	memmove(p->in, line, p->in_length);
}

static void
await(struct peer *p, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = p};

	if (p->awaits != events)
		epoll_ctl(epoll_fd, p->awaits == 0 ? EPOLL_CTL_ADD :
		    EPOLL_CTL_MOD, p->fd, &ev);
	p->awaits = events;
}

/* Whether to go on after n of recv, send and the like: 1, wait: 0, end: -1. */
static int
went(struct peer *p, ssize_t n)
{
	int error;

	if (n > 0)
		return 1;
	if (p->ssl == NULL)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	error = SSL_get_error(p->ssl, (int)n);
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ?
	    0 : -1;
}

static int
send_all(struct peer *p)
{
	ssize_t n;
	int more = 1;

	while (p->sent < p->out.length && more == 1) {
		const char *data = p->out.data + p->sent;
		size_t left = p->out.length - p->sent;

		ERR_clear_error();
		n = p->ssl != NULL ? SSL_write(p->ssl, data, (int)left) :
		    send(p->fd, data, left, MSG_NOSIGNAL);
		more = went(p, n);
		p->sent += n > 0 ? (size_t)n : 0;
	}
	if (more == 1)
		p->sent = p->out.length = 0;
	return more;
}

static int
receive(struct peer *p)
{
	size_t room = sizeof p->in - p->in_length;
	ssize_t n;
	int more;

	if (room == 0)
		return 1;
	ERR_clear_error();
	n = p->ssl != NULL ? SSL_read(p->ssl, p->in + p->in_length,
	    (int)room) : recv(p->fd, p->in + p->in_length, room, 0);
	more = went(p, n);
	p->in_length += more == 1 ? (size_t)n : 0;
	return more;
}

/* False when it is to be closed. */
static bool
serve(struct peer *p)
{
	int more;

	if (p->ssl != NULL && !p->shaken) {
		ERR_clear_error();
		more = went(p, SSL_accept(p->ssl));
		await(p, EPOLLIN);
		if (more != 1)
			return more == 0;
	}
	if (!p->shaken)
		buffer_text(&p->out, "+OK\r\n");
	p->shaken = true;
	for (;;) {
		commands(p);
		more = send_all(p);
		if (more < 0 || (more == 1 && p->quits))
			return false;
		if (more == 0) {
			await(p, EPOLLOUT);
			return true;
		}
		if (memchr(p->in, '\n', p->in_length) != NULL)
			continue;
		more = receive(p);
		if (more < 1)
			break;
	}
	await(p, EPOLLIN);
	return more == 0;
}

static void
peer_end(struct peer *p)
{
	if (p->ssl != NULL && p->quits)
		SSL_shutdown(p->ssl);
	SSL_free(p->ssl);
	close(p->fd);
	free(p->out.data);
	free(p);
}

static void
peers_accept(int listener, bool tls)
{
	struct peer *p;
	int one = 1, fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK |
	    SOCK_CLOEXEC)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		p = need(NULL, 1, sizeof *p);
		memset(p, 0, sizeof *p);
		p->fd = fd;
		if (tls) {
			p->ssl = SSL_new(ctx);
			if (p->ssl == NULL || SSL_set_fd(p->ssl, fd) != 1)
				die("no memory for TLS");
		}
		if (!serve(p))
			peer_end(p);
	}
}

static int
listener_open(long at)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)at)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0), one = 1;

	if (inet_pton(AF_INET, address, &sin.sin_addr) != 1)
		die("%s: no IPv4 address", address);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&sin, sizeof sin) != 0 ||
	    listen(fd, 4096) != 0)
		die("%s:%ld: %s", address, at, strerror(errno));
	return fd;
}

static void
tls_start(void)
{
	ctx = SSL_CTX_new(TLS_server_method());
	if (ctx == NULL || certificate == NULL || key == NULL ||
	    SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		die("no certificate and key for TLS");
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
}

static void
run(int listeners[2])
{
	struct epoll_event events[256];
	int places[3], i, n;            /* their addresses are names */

	for (i = 0; i < 3; i++) {
		struct epoll_event ev = {.events = EPOLLIN,
		    .data.ptr = &places[i]};

		if (i == 2)
			epoll_ctl(epoll_fd, EPOLL_CTL_ADD, 0, &ev);
		else if (listeners[i] >= 0)
			epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listeners[i], &ev);
	}
	for (;;) {
		n = epoll_wait(epoll_fd, events, 256, -1);
		for (i = 0; i < n; i++) {
			void *p = events[i].data.ptr;

			if (p == &places[2])
				return;
			if (p == &places[0] || p == &places[1])
				peers_accept(listeners[p == &places[1]],
				    p == &places[1]);
			else if (!serve(p))
				peer_end(p);
		}
	}
}

int
sham_main(int argc, char **argv)
{
	const struct option_word words[] = {
		{'a', &address, NULL, 0, 0}, {'p', NULL, &port, 1, 65535},
		{'e', NULL, &tls_port, 1, 65535},
		{'n', NULL, &messages, 0, 10000000},
		{'s', NULL, &size, 100, 10000000},
		{'c', &certificate, NULL, 0, 0}, {'k', &key, NULL, 0, 0},
		{'\0', NULL, NULL, 0, 0},
	};
	int listeners[2] = {-1, -1};

	if (options_read(argc, argv, words, USAGE) != argc ||
	    address == NULL || port == 0)
		die("%s", USAGE);
	signal(SIGPIPE, SIG_IGN);
	descriptors_raise(100000);
	mailbox_make();
	if (tls_port != 0)
		tls_start();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listeners[0] = listener_open(port);
	if (tls_port != 0)
		listeners[1] = listener_open(tls_port);
	run(listeners);
	return 0;
}
