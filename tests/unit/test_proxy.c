/*
 * test_proxy.c - the header of the PROXY protocol: what is one, what it says,
 * and how much of it there may be.
 */
#include "config.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "core/gate/proxy.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define LIT(s) s, sizeof(s) - 1
#define IPV4 "\xc0\0\2\7" "\xc6\x33\x64\1" "\x12\x34" "\0\x6e"
#define IPV6 "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\7" \
	"\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1" "\x12\x34" "\0\x6e"

static struct proxy_said said;

static enum proxy_result
parse(const char *p, size_t n)
{
	return proxy_parse((const uint8_t *)p, n, &said);
}

/* Cut anywhere it is unfinished; whole, and with more behind it, it is one. */
static void
is_header(const char *p, size_t n)
{
	char more[PROXY_MAX + 8];

	for (size_t i = 0; i < n; i++)
		assert_int_equal(parse(p, i), PROXY_MORE);
	memcpy(more, p, n);
	memcpy(more + n, "CAPA\r\n", 6);
	assert_int_equal(parse(more, n + 6), PROXY_GOT);
	assert_int_equal(said.used, n);
	assert_int_equal(parse(p, n), PROXY_GOT);
	assert_int_equal(said.used, n);
}

static void
client_is(int family, const char *client, const char *server)
{
	char text[64];

	assert_int_equal(said.family, family);
	assert_string_equal(inet_ntop(family, said.client, text, sizeof(text)),
	    client);
	assert_string_equal(inet_ntop(family, said.server, text, sizeof(text)),
	    server);
}

static void
test_v1(void **state)
{
	(void)state;
	is_header(LIT("PROXY TCP4 192.0.2.7 198.51.100.1 4660 110\r\n"));
	client_is(AF_INET, "192.0.2.7", "198.51.100.1");
	assert_false(said.tls);
	is_header(LIT("PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n"));
	client_is(AF_INET6, "2001:db8::7", "2001:db8::1");
	is_header(LIT("PROXY UNKNOWN\r\n"));
	assert_int_equal(said.family, AF_UNSPEC);
	is_header(LIT("PROXY UNKNOWN ffff:f...f:ffff x 65535 65535\r\n"));
	assert_int_equal(said.family, AF_UNSPEC);
}

static void
test_v1_longest(void **state)
{
	char line[PROXY_V1_MAX + 2] = "PROXY UNKNOWN ";

	(void)state;
	memset(line + 14, 'x', sizeof(line) - 14);
	memcpy(line + PROXY_V1_MAX - 2, "\r\n", 2);
	is_header(line, PROXY_V1_MAX);
	memcpy(line + PROXY_V1_MAX - 2, "x\r\n", 3);
	assert_int_equal(parse(line, PROXY_V1_MAX), PROXY_BAD);
	assert_int_equal(parse(line, sizeof(line)), PROXY_BAD);
}

static void
test_v1_wrong(void **state)
{
	static const struct { const char *p; size_t n; } wrong[] = {
		{LIT("PROXY\r\n")}, {LIT("PROXY \r\n")},
		{LIT("proxy TCP4 192.0.2.7 192.0.2.1 1 2\r\n")},
		{LIT("PROXY TCP 192.0.2.7 192.0.2.1 1 2\r\n")},
		{LIT("PROXY UDP4 192.0.2.7 192.0.2.1 1 2\r\n")},
		{LIT("PROXY UNKNOWNS\r\n")},
		{LIT("PROXY TCP4  192.0.2.7 192.0.2.1 1 2\r\n")},
		{LIT("PROXY TCP4 192.0.2.7 192.0.2.1 1 2 \r\n")},
		{LIT("PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3\r\n")},
		{LIT("PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n")},
		{LIT("PROXY TCP4 192.0.2.7\r\n")},
		{LIT("PROXY TCP4 192.0.2 192.0.2.1 1 2\r\n")},
		{LIT("PROXY TCP4 192.0.2.7 ::1 1 2\r\n")},
		{LIT("PROXY TCP6 192.0.2.7 ::1 1 2\r\n")},
		{LIT("PROXY TCP6 ::1%lo ::1 1 2\r\n")},
		{LIT("PROXY TCP4 192.0.2.7 192.0.2.1 65536 2\r\n")},
		{LIT("PROXY TCP4 192.0.2.7 192.0.2.1 01 2\r\n")},
		{LIT("PROXY TCP4 192.0.2.7 192.0.2.1 -1 2\r\n")},
		{LIT("PROXY TCP4 192.0.2.7\0 192.0.2.1 1 2\r\n")},
		{LIT("PROXY TCP4\t192.0.2.7 192.0.2.1 1 2\r\n")},
		{LIT("PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n\r\n")},
		{LIT("HELO\r\n")}, {LIT("\x16\x03\x01")}};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (parse(wrong[i].p, wrong[i].n) != PROXY_BAD)
			fail_msg("taken: %s", wrong[i].p);
	/* not ended by LF alone */
	assert_int_equal(parse(LIT("PROXY UNKNOWN\n")), PROXY_MORE);
}

static void
test_v2(void **state)
{
	(void)state;
	is_header(LIT(SIG "\x21\x11\0\x0c" IPV4));
	client_is(AF_INET, "192.0.2.7", "198.51.100.1");
	assert_false(said.tls);
	is_header(LIT(SIG "\x21\x21\0\x24" IPV6));
	client_is(AF_INET6, "2001:db8::7", "2001:db8::1");
	is_header(LIT(SIG "\x20\0\0\0"));
	assert_int_equal(said.family, AF_UNSPEC);
	/* what LOCAL carries is not looked at */
	is_header(LIT(SIG "\x20\xff\0\3\xff\xff\xff"));
	assert_int_equal(said.family, AF_UNSPEC);
	is_header(LIT(SIG "\x21\0\0\0"));
	assert_int_equal(said.family, AF_UNSPEC);
}

static void
test_v2_unix(void **state)
{
	char head[16 + 216] = SIG "\x21\x31\0\xd8";

	(void)state;
	is_header(head, sizeof(head));
	assert_int_equal(said.family, AF_UNSPEC);
	head[15] = (char)0xd7;
	assert_int_equal(parse(head, sizeof(head)), PROXY_BAD);
}

static void
test_v2_tls(void **state)
{
	(void)state;
	/* a unique id, then TLS with a version in it */
	is_header(LIT(SIG "\x21\x11\0\x26" IPV4 "\5\0\2id"
	    "\x20\0\x12\1\0\0\0\0" "\x21\0\7TLSv1.3" "\x22\0\0" ""));
	assert_true(said.tls);
	is_header(LIT(SIG "\x21\x11\0\x14" IPV4 "\x20\0\5\6\0\0\0\0"));
	assert_false(said.tls);
	/* LOCAL says nothing of a client */
	is_header(LIT(SIG "\x20\x11\0\x14" IPV4 "\x20\0\5\1\0\0\0\0"));
	assert_false(said.tls);
}

static void
test_v2_wrong(void **state)
{
	static const struct { const char *p; size_t n; } wrong[] = {
		{LIT(SIG "\x11\x11\0\x0c" IPV4)},	/* version */
		{LIT(SIG "\x22\x11\0\x0c" IPV4)},	/* command */
		{LIT(SIG "\x21\x12\0\x0c" IPV4)},	/* a datagram */
		{LIT(SIG "\x21\x41\0\x0c" IPV4)},	/* no family */
		{LIT(SIG "\x21\x11\0\x0b" IPV4)},	/* too short */
		{LIT(SIG "\x21\x21\0\x0c" IPV4)},
		{LIT(SIG "\x21\x11\0\x0e" IPV4 "\5\0")},	/* TLV cut */
		{LIT(SIG "\x21\x11\0\x10" IPV4 "\5\0\2x")},
		{LIT(SIG "\x21\x11\0\x13" IPV4 "\x20\0\4\1\0\0\0")},
		{LIT(SIG "\x21\x11\x0f\xf1")},		/* too long */
		{LIT(SIG "\x21\x11\xff\xff")},
		{LIT("\r\n\r\n\0\r\nQUIT\r")}};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (parse(wrong[i].p, wrong[i].n) != PROXY_BAD)
			fail_msg("taken: %zu", i);
}

static void
test_resembles(void **state)
{
	(void)state;
	assert_true(proxy_resembles((const uint8_t *)LIT("PROXY TCP4 1")));
	assert_true(proxy_resembles((const uint8_t *)LIT("PROXY")));
	assert_true(proxy_resembles((const uint8_t *)LIT(SIG)));
	assert_true(proxy_resembles((const uint8_t *)LIT("\r\n\r\n\0")));
	assert_false(proxy_resembles((const uint8_t *)LIT("")));
	assert_false(proxy_resembles((const uint8_t *)LIT("P")));
	assert_false(proxy_resembles((const uint8_t *)LIT("\r\n\r\n")));
	assert_false(proxy_resembles((const uint8_t *)LIT("CAPA\r\n")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1),
		cmocka_unit_test(test_v1_longest),
		cmocka_unit_test(test_v1_wrong),
		cmocka_unit_test(test_v2),
		cmocka_unit_test(test_v2_unix),
		cmocka_unit_test(test_v2_tls),
		cmocka_unit_test(test_v2_wrong),
		cmocka_unit_test(test_resembles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
