/*
 * sessiontest.c - see sessiontest.h.
 */
#include "config.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/pop3/capa.h"
#include "tests/unit/memstore.h"
#include "tests/unit/sessiontest.h"

struct sessiontest t;

static void
sink(int level, const char *text)
{
	if (level >= LOG_WARN_)
		t.warnings++;
	snprintf(t.last, sizeof(t.last), "%s", text);
}

static void *
read_all(void *unused)
{
	size_t cap = 1 << 16;
	ssize_t n;

	t.got = malloc(cap + 1);
	while ((n = recv(t.fd, t.got + t.n, cap - t.n, 0)) > 0) {
		t.packets++;
		t.n += (size_t)n;
		if (cap - t.n < 1 << 15)
			t.got = realloc(t.got, (cap *= 2) + 1);
	}
	t.got[t.n] = '\0';
	return unused;
}

int
session_setup(void **state)
{
	(void)state;
	mem_reset();
	memset(&t, 0, sizeof(t));
	t.type = SOCK_STREAM;
	t.idle_time = 60 * NS_PER_S;
	t.caps = MEM_CAPS;
	t.session = (struct session){ .store = &t.store, .client = &t.client,
	    .expire_days = POP3_EXPIRE_NONE, .bad_commands = 20 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, t.channel), 0);
	log_set_sink(sink);
	return 0;
}

int
session_teardown(void **state)
{
	(void)state;
	free(t.got);
	close(t.fd);
	close(t.channel[0]);
	if (t.channel[1] >= 0)
		close(t.channel[1]);
	return 0;
}

void
run_bytes(const void *in, size_t n)
{
	pthread_t reader;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, t.type, 0, pair), 0);
	t.fd = pair[1];
	assert_int_equal(send(t.fd, in, n, 0), n);
	if (!t.keep_open)
		shutdown(t.fd, SHUT_WR);
	assert_int_equal(pthread_create(&reader, NULL, read_all, NULL), 0);
	assert_true(store_init(&t.store, &mem_ops, t.caps));
	assert_int_equal(store_create(&t.store, NULL, NULL, NULL), CULVER_OK);
	client_start(&t.client, pair[0], t.channel[0], t.idle_time);
	session_run(&t.session);
	store_destroy(&t.store);
	pthread_join(reader, NULL);
	/* whatever happened: */
	assert_int_equal(mem.opened, mem.closed);
	assert_int_equal(mem.destroyed, 1);
	assert_int_equal(mem.reading, 0);
}

void
run(const char *in)
{
	run_bytes(in, strlen(in));
}

void
expect(const char *wanted)
{
	assert_string_equal((char *)t.got, wanted);
	assert_int_equal(t.n, strlen(wanted));
}

void
expect_reason(const char *wanted)
{
	assert_string_equal(t.session.report.reason, wanted);
}

void
three_messages(void)
{
	static const char a[] = "Subject: a\n\none\ntwo\nthree\n";
	static const char b[] = "Subject: b\r\n\r\n.\r\n..dots\r\n";
	static const char c[] = "no header end";

	mem_add("uid-a", a, sizeof(a) - 1);
	mem_add("uid-b", b, sizeof(b) - 1);
	mem_add("uid-c", c, sizeof(c) - 1);
}
