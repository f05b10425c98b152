/*
 * test_metrics.c - what is counted, its text, and the requests for it.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/stats.h"
#include "core/master/records.h"
#include "core/metrics/http.h"
#include "core/metrics/openmetrics.h"

#define HOST "Host: x\r\n"

static enum http_what
request(const char *text)
{
	return http_read(text, strlen(text));
}

static void
good_requests(void **state)
{
	(void)state;
	assert_int_equal(request("GET / HTTP/1.1\r\n" HOST "\r\n"), HTTP_GET);
	assert_int_equal(request("GET /metrics HTTP/1.1\r\nhOST:\r\n"
	    "Accept: text/plain;q=0.1\r\nX: \ta\xff\r\n\r\nbody"), HTTP_GET);
	assert_int_equal(request("GET /metrics?a=/b HTTP/1.1\r\n" HOST
	    "\r\n"), HTTP_GET);
	assert_int_equal(request("HEAD /metrics HTTP/1.1\r\n" HOST "\r\n"),
	    HTTP_HEAD);
	assert_int_equal(request("GET /metrics HTTP/1.0\r\n\r\n"), HTTP_GET);
}

static void
other_requests(void **state)
{
	static const struct {
		const char *text;
		enum http_what what;
	} t[] = {
		{"GET /x HTTP/1.1\r\n" HOST "\r\n", HTTP_NOT_FOUND},
		{"GET /metrics/ HTTP/1.1\r\n" HOST "\r\n", HTTP_NOT_FOUND},
		{"GET //metrics HTTP/1.1\r\n" HOST "\r\n", HTTP_NOT_FOUND},
		{"GET http://x/metrics HTTP/1.1\r\n" HOST "\r\n",
		    HTTP_NOT_FOUND},
		{"POST / HTTP/1.1\r\n" HOST "\r\n", HTTP_METHOD},
		{"get / HTTP/1.1\r\n" HOST "\r\n", HTTP_METHOD},
		{"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", HTTP_METHOD},
		{"GET / HTTP/2.0\r\n" HOST "\r\n", HTTP_VERSION},
		{"GET / HTTP/1.1\r\n\r\n", HTTP_BAD},
		{"GET / HTTP/1.1\r\n" HOST HOST "\r\n", HTTP_BAD},
		{"GET / HTTP/1.1\r\n" HOST " folded\r\n\r\n", HTTP_BAD},
		{"GET / HTTP/1.1\r\n" HOST "a b: c\r\n\r\n", HTTP_BAD},
		{"GET / HTTP/1.1\r\n" HOST "a : c\r\n\r\n", HTTP_BAD},
		{"GET / HTTP/1.1\r\n" HOST "a: b\nc: d\r\n\r\n", HTTP_BAD},
		{"GET / HTTP/1.1\r\n" HOST "none\r\n\r\n", HTTP_BAD},
		{"GET / HTTP/1.1\r\n" HOST ":\r\n\r\n", HTTP_BAD},
		{"GET  / HTTP/1.1\r\n" HOST "\r\n", HTTP_BAD},
		{"GET / HTTP/1.1 \r\n" HOST "\r\n", HTTP_BAD},
		{"GET /\r\n\r\n", HTTP_BAD}, {"GET\r\n\r\n", HTTP_BAD},
		{"GET / XTTP/1.1\r\n" HOST "\r\n", HTTP_BAD},
		{"G\x01T / HTTP/1.1\r\n" HOST "\r\n", HTTP_BAD},
		{"GET /\x7f HTTP/1.1\r\n" HOST "\r\n", HTTP_BAD},
		{"\r\n\r\n", HTTP_BAD}, {"", HTTP_MORE},
		{"GET / HTTP/1.1\r\n" HOST, HTTP_MORE},
		{"GET / HTTP/1.1\n" HOST "\n\n", HTTP_MORE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(request(t[i].text), t[i].what);
}

static void
long_requests(void **state)
{
	static char text[HTTP_REQUEST_MAX];
	static const char begin[] = "GET / HTTP/1.1\r\n" HOST "A: ";

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, begin, sizeof(begin) - 1);
	assert_int_equal(http_read(text, sizeof(text) - 1), HTTP_MORE);
	assert_int_equal(http_read(text, sizeof(text)), HTTP_LARGE);
	memcpy(text + sizeof(text) - 4, "\r\n\r\n", 4);
	assert_int_equal(http_read(text, sizeof(text)), HTTP_GET);
	text[sizeof(text) - 10] = 0;
	assert_int_equal(http_read(text, sizeof(text)), HTTP_BAD);
}

static void
heads(void **state)
{
	char out[HTTP_HEAD_MAX + 1];

	(void)state;
	out[http_head(out, HTTP_GET, 1234, 1700000000)] = 0;
	assert_string_equal(out, "HTTP/1.1 200 OK\r\n"
	    "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: "
	    "application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
	    "Content-Length: 1234\r\nConnection: close\r\n\r\n");
	out[http_head(out, HTTP_METHOD, 0, 0)] = 0;
	assert_string_equal(out, "HTTP/1.1 405 Method Not Allowed\r\n"
	    "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
	    "Content-Type: text/plain\r\nContent-Length: 23\r\n"
	    "Allow: GET, HEAD\r\nConnection: close\r\n\r\n"
	    "405 Method Not Allowed\n");
}

/* --- counting ------------------------------------------------------------------- */

static void
two_who_count_share_one_sum(void **state)
{
	int fd = stats_make();
	struct stats *a = stats_open(fd), *b = stats_open(fd);

	(void)state;
	assert_true(a != NULL && b != NULL);
	stats_add(a, STATS_RETR, 3);
	stats_add(b, STATS_RETR, UINT64_C(1) << 40);
	assert_int_equal(stats_get(a, STATS_RETR), (UINT64_C(1) << 40) + 3);
	stats_label(a, STATS_FAILURES, "bad-password", 2);
	stats_label(b, STATS_FAILURES, "what nobody expects", 5);
	assert_int_equal(stats_get(b, STATS_FAILURES), 2);
	assert_int_equal(stats_get(b, STATS_FAILURES + STATS_N_FAILURE - 1),
	    5);
	/* what has no "other" counts known values only */
	stats_label(a, STATS_GATE, "what nobody expects", 5);
	for (unsigned i = 0; i < STATS_N; i++)
		assert_true(i == STATS_RETR || i == STATS_FAILURES ||
		    i == STATS_FAILURES + STATS_N_FAILURE - 1 ||
		    stats_get(a, i) == 0);
	stats_add(a, STATS_N, 1);
	stats_add(NULL, 0, 1);
	assert_int_equal(stats_get(NULL, 0), 0);
	assert_true(stats_start(a) > 1700000000 &&
	    stats_start(a) <= (uint64_t)time(NULL));
	assert_int_equal(stats_start(NULL), 0);
	assert_true(ftruncate(fd, 0) != 0);
	/* of a version that counts other things */
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	assert_null(stats_open(fd));
	stats_close(b);
	assert_null(stats_open(memfd_create("x", 0)));
	close(fd);
}

static void
families_do_not_overlap(void **state)
{
	unsigned at = 0;

	(void)state;
	for (int i = 0; i < STATS_FAMILIES; i++) {
		const struct stats_family *f = &stats_families[i];
		unsigned n = f->kind == STATS_HISTOGRAM ?
		    STATS_N_BUCKET + 1 : 1;

		assert_int_equal(f->first, at);
		for (int k = 0; k < 2 && f->label[k].n > 0; k++) {
			n *= f->label[k].n;
			for (unsigned v = 0; v < f->label[k].n; v++) {
				assert_non_null(f->label[k].value[v]);
				assert_int_equal(stats_index(f->first, k,
				    f->label[k].value[v]), v);
			}
		}
		at += n;
	}
	assert_int_equal(at, STATS_N);
}

/* --- text ------------------------------------------------------------------------ */

static int
answer(const struct rec_head *h, const struct rec_metrics *m)
{
	int fd = memfd_create("answer", 0);

	assert_int_equal(pwrite(fd, h, sizeof(*h), 0), sizeof(*h));
	assert_int_equal(pwrite(fd, m, sizeof(*m), sizeof(*h)), sizeof(*m));
	return fd;
}

static void
text_escapes_and_sums(void **state)
{
	struct rec_head h = {.magic = REC_MAGIC_STATUS,
	    .size = sizeof(struct rec_status), .version = "1.2"};
	static struct rec_metrics m = {.magic = REC_MAGIC_METRICS,
	    .size = sizeof(m), .n_stats = STATS_N, .n_section = 3,
	    .section = {"a\"b\\c\nd", "\xff\xc3\xa9", "\xc3\xa9"}};
	char *text;
	size_t n;
	int fd;

	(void)state;
	m.stats[STATS_DURATION] = 2;
	m.stats[STATS_DURATION + 2] = 3;
	m.stats[STATS_DURATION + STATS_N_BUCKET] = 12 * NS_PER_S + 5;
	fd = answer(&h, &m);
	text = openmetrics_text(fd, &n);
	assert_non_null(text);
	assert_int_equal(strlen(text), n);
	assert_non_null(strstr(text, "{section=\"a\\\"b\\\\c\\nd\"} 0\n"));
	assert_non_null(strstr(text, "{section=\"???\"} 0\n"));
	assert_non_null(strstr(text, "{section=\"\xc3\xa9\"} 0\n"));
	assert_non_null(strstr(text, "_bucket{le=\"0.1\"} 2\n"));
	assert_non_null(strstr(text, "_bucket{le=\"1.0\"} 2\n"));
	assert_non_null(strstr(text, "_bucket{le=\"10.0\"} 5\n"));
	assert_non_null(strstr(text, "_bucket{le=\"+Inf\"} 5\n"));
	assert_non_null(strstr(text, "_count 5\n"));
	assert_non_null(strstr(text, "_sum 12.000000005\n"));
	assert_string_equal(text + n - 6, "# EOF\n");
	free(text);
	close(fd);
}

static void
answers_of_another_version(void **state)
{
	struct rec_head h = {.magic = REC_MAGIC_STATUS,
	    .size = sizeof(struct rec_status)};
	static struct rec_metrics m = {.magic = REC_MAGIC_METRICS,
	    .size = sizeof(m), .n_stats = STATS_N + 1};
	size_t n;
	int fd = answer(&h, &m);

	(void)state;
	errno = 0;
	assert_null(openmetrics_text(fd, &n));
	assert_int_equal(errno, EPROTO);
	h.count = 1u << 31;			/* more than there are */
	assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	assert_null(openmetrics_text(fd, &n));
	assert_int_equal(ftruncate(fd, 7), 0);
	assert_null(openmetrics_text(fd, &n));
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_requests),
		cmocka_unit_test(other_requests),
		cmocka_unit_test(long_requests),
		cmocka_unit_test(heads),
		cmocka_unit_test(two_who_count_share_one_sum),
		cmocka_unit_test(families_do_not_overlap),
		cmocka_unit_test(text_escapes_and_sums),
		cmocka_unit_test(answers_of_another_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
