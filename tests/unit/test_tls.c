/*
 * test_tls.c - certificates, host names, versions, tickets, ALPN.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "core/config/conf.h"
#include "core/tls/bundle.h"
#include "core/tls/tls-private.h"
#include "tests/unit/tlskit.h"

/* What a client of one connection wants, and what it then saw. */
struct client {
	const char *sni, *alpn;
	int max_version;
	SSL_SESSION *session;
	const char *sigalgs;
	/* results */
	bool ok, resumed, pop3;
	int version, key_type;
	char subject[256];
	SSL_SESSION *next;
};

static SSL_SESSION *new_session;

static int
got_session(SSL *ssl, SSL_SESSION *s)
{
	(void)ssl;
	SSL_SESSION_free(new_session);
	new_session = s;
	return 1;
}

static SSL *
client_ssl(const struct client *want, SSL_CTX *ctx, int fd)
{
	SSL *ssl;

	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
	    SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, got_session);
	ssl = SSL_new(ctx);
	assert_non_null(ssl);
	SSL_set_fd(ssl, fd);
	SSL_set_connect_state(ssl);
	SSL_set_mode(ssl, SSL_MODE_AUTO_RETRY);
	if (want->sni != NULL)
		SSL_set_tlsext_host_name(ssl,
		    (uintptr_t)want->sni);
	if (want->alpn != NULL)
		SSL_set_alpn_protos(ssl, (const unsigned char *)want->alpn,
		    (unsigned)strlen(want->alpn));
	if (want->max_version != 0)
		SSL_set_max_proto_version(ssl, want->max_version);
	if (want->session != NULL)
		SSL_set_session(ssl, want->session);
	if (want->sigalgs != NULL)
		SSL_set1_sigalgs_list(ssl, (uintptr_t)want->sigalgs);
	return ssl;
}

static void
look(struct client *c, SSL *ssl)
{
	X509 *x = SSL_get1_peer_certificate(ssl);
	const unsigned char *proto;
	unsigned n;

	c->version = SSL_version(ssl);
	c->resumed = SSL_session_reused(ssl);
	SSL_get0_alpn_selected(ssl, &proto, &n);
	c->pop3 = n == 4 && memcmp(proto, "pop3", 4) == 0;
	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName,
	    c->subject, sizeof(c->subject));
	c->key_type = EVP_PKEY_get_base_id(X509_get0_pubkey(x));
	X509_free(x);
}

/* One handshake with TLS and one octet in each direction. */
static void
connect_to(struct tls *tls, struct client *c)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	int pair[2], a = 0, b = 0;
	SSL *server, *client;
	char octet;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	server = tls_accept(tls, pair[1]);
	assert_non_null(server);
	client = client_ssl(c, ctx, pair[0]);
	for (int i = 0; i < 20 && (a != 1 || b != 1); i++) {
		a = SSL_do_handshake(client);
		b = SSL_do_handshake(server);
	}
	c->ok = a == 1 && b == 1;
	if (c->ok) {
		assert_int_equal(SSL_write(server, "x", 1), 1);
		assert_int_equal(SSL_read(client, &octet, 1), 1);
		assert_int_equal(SSL_write(client, "y", 1), 1);
		assert_int_equal(SSL_read(server, &octet, 1), 1);
		look(c, client);
	}
	c->next = new_session;
	new_session = NULL;
	/* a resumed session of TLS 1.2 changes without telling */
	if (c->resumed && c->version == TLS1_2_VERSION)
		c->next = SSL_get1_session(client);
	SSL_shutdown(client);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(ctx);
	close(pair[0]);
	close(pair[1]);
	ERR_clear_error();
}

static void
take(struct tls *tls, uint32_t index, const struct kit_cert *what)
{
	struct kit_pair p = kit_make(what);
	struct kit_files f = kit_files(&p);

	assert_null(tls_pair_take(tls, index, &f.cert, &f.key));
	kit_files_free(&f);
	kit_pair_free(&p);
}

/* Default, a.example with RSA beside ECDSA, *.b.example. */
static struct tls *
three_hosts(void)
{
	static const struct conf_gate_host host[] = {
	    {.first = 0, .n = 1}, {.name = "a.example", .first = 1, .n = 2},
	    {.name = "*.b.example", .first = 3, .n = 1}};
	struct tls *tls = tls_new(host, 3, 4);

	assert_non_null(tls);
	take(tls, 0, &(struct kit_cert){.name = "default"});
	take(tls, 1, &(struct kit_cert){.name = "a.example"});
	take(tls, 2, &(struct kit_cert){.name = "a.example",
	    .rsa_bits = 2048});
	take(tls, 3, &(struct kit_cert){.name = "*.b.example"});
	assert_false(tls_ready(tls));
	assert_true(tls_commit(tls));
	assert_true(tls_ready(tls));
	return tls;
}

static void
test_host_match(void **state)
{
	(void)state;
	assert_true(tls_host_match("a.example", "A.Example"));
	assert_false(tls_host_match("a.example", "b.a.example"));
	assert_true(tls_host_match("*.example", "b.EXAMPLE"));
	assert_false(tls_host_match("*.example", "c.b.example"));
	assert_false(tls_host_match("*.example", ".example"));
	assert_false(tls_host_match("*.example", "example"));
}

static void
test_sni(void **state)
{
	static const struct { const char *ask, *get; } table[] = {
	    {NULL, "default"}, {"", "default"}, {"unknown.org", "default"},
	    {"a.example", "a.example"}, {"A.EXAMPLE", "a.example"},
	    {"x.b.example", "*.b.example"}, {"y.x.b.example", "default"}};
	struct tls *tls = three_hosts();

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct client c = {.sni = table[i].ask};

		connect_to(tls, &c);
		assert_true(c.ok);
		assert_string_equal(c.subject, table[i].get);
		SSL_SESSION_free(c.next);
	}
	tls_destroy(&tls);
}

static void
test_rsa_beside_ecdsa(void **state)
{
	struct client ec = {.sni = "a.example"};
	struct client rsa = {.sni = "a.example",
	    .sigalgs = "RSA-PSS+SHA256:RSA+SHA256"};
	struct tls *tls = three_hosts();

	(void)state;
	connect_to(tls, &ec);
	connect_to(tls, &rsa);
	assert_true(ec.ok && rsa.ok);
	assert_int_equal(ec.key_type, EVP_PKEY_EC);
	assert_int_equal(rsa.key_type, EVP_PKEY_RSA);
	SSL_SESSION_free(ec.next);
	SSL_SESSION_free(rsa.next);
	tls_destroy(&tls);
}

static void
test_versions(void **state)
{
	struct client v11 = {.max_version = TLS1_1_VERSION};
	struct client v12 = {.max_version = TLS1_2_VERSION}, v13 = {.ok = 0};
	struct tls *tls = three_hosts();

	(void)state;
	connect_to(tls, &v11);
	connect_to(tls, &v12);
	connect_to(tls, &v13);
	assert_false(v11.ok);
	assert_true(v12.ok && v13.ok);
	assert_int_equal(v12.version, TLS1_2_VERSION);
	assert_int_equal(v13.version, TLS1_3_VERSION);
	SSL_SESSION_free(v12.next);
	SSL_SESSION_free(v13.next);
	tls_destroy(&tls);
}

static void
test_alpn(void **state)
{
	struct client pop3 = {.alpn = "\4imap\4pop3"};
	struct client http = {.alpn = "\2h2\10http/1.1"}, none = {.ok = 0};
	struct tls *tls = three_hosts();

	(void)state;
	connect_to(tls, &pop3);
	connect_to(tls, &http);
	connect_to(tls, &none);
	assert_true(pop3.ok && pop3.pop3);
	assert_false(http.ok);
	assert_true(none.ok && !none.pop3);
	SSL_SESSION_free(pop3.next);
	SSL_SESSION_free(none.next);
	tls_destroy(&tls);
}

static void
keys(struct tls *tls, const char *seeds)
{
	int fd[3] = {-1, -1, -1};
	unsigned n = 0;

	for (; seeds[n] != 0; n++)
		fd[n] = kit_ticket_file((unsigned char)seeds[n]);
	assert_true(tls_tickets_take(tls, fd, n));
	while (n > 0)
		close(fd[--n]);
}

static void
resume(struct tls *first, struct tls *second, int version, bool expected)
{
	struct client a = {.max_version = version}, b = a;

	connect_to(first, &a);
	assert_true(a.ok && !a.resumed);
	assert_non_null(a.next);
	b.session = a.next;
	connect_to(second, &b);
	assert_true(b.ok);
	assert_int_equal(b.resumed, expected);
	SSL_SESSION_free(a.next);
	SSL_SESSION_free(b.next);
}

static void
test_tickets(void **state)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct tls *one = three_hosts(), *two = three_hosts();
	struct client c = {.max_version = TLS1_3_VERSION};

	(void)state;
	connect_to(one, &c);		/* no keys yet: no ticket */
	assert_true(c.ok);
	assert_null(c.next);
	for (int i = 0; i < 2; i++) {
		keys(one, "a");
		keys(two, "a");
		resume(one, two, versions[i], true);
		keys(two, "bca");	/* rotated twice: still known */
		resume(one, two, versions[i], true);
		keys(two, "dbc");	/* three times: forgotten */
		resume(one, two, versions[i], false);
	}
	tls_destroy(&one);
	tls_destroy(&two);
}

/* A ticket under an old key is answered with one under the newest. */
static void
test_ticket_is_renewed(void **state)
{
	struct client a = {.max_version = TLS1_2_VERSION}, b = a, c = a;
	struct tls *tls = three_hosts();

	(void)state;
	keys(tls, "a");
	connect_to(tls, &a);
	keys(tls, "ba");
	b.session = a.next;
	connect_to(tls, &b);
	assert_true(b.resumed);
	assert_non_null(b.next);
	keys(tls, "b");
	c.session = b.next;
	connect_to(tls, &c);
	assert_true(c.resumed);
	SSL_SESSION_free(a.next);
	SSL_SESSION_free(b.next);
	SSL_SESSION_free(c.next);
	tls_destroy(&tls);
}

static void
test_malformed_tickets(void **state)
{
	struct tls *tls = three_hosts();
	int small = kit_text_file("short"), open80, good = kit_ticket_file('a');
	char eighty[81];

	(void)state;
	memset(eighty, 'x', 80);
	eighty[80] = 0;
	open80 = kit_text_file(eighty);		/* right size, not sealed */
	fcntl(small, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK |
	    F_SEAL_SEAL);
	assert_false(tls_tickets_take(tls, &small, 1));
	assert_false(tls_tickets_take(tls, &open80, 1));
	assert_false(tls_tickets_take(tls, (int[]){good, small}, 2));
	assert_true(tls_tickets_take(tls, &good, 1));
	close(small);
	close(open80);
	close(good);
	tls_destroy(&tls);
}

static void
test_reload(void **state)
{
	struct tls *tls = three_hosts();
	struct client before = {.sni = NULL}, bad = before, after = before;
	struct kit_pair p = kit_make(&(struct kit_cert){.name = "other"});
	struct kit_pair q = kit_make(&(struct kit_cert){.name = "third"});
	struct kit_files f = kit_files(&p), g = kit_files(&q);
	struct tls_file junk = {.p = (char[]){'j', 'u'}, .n = 2};

	(void)state;
	connect_to(tls, &before);
	assert_string_equal(before.subject, "default");
	assert_non_null(tls_pair_take(tls, 0, &f.cert, &g.key));
	assert_non_null(tls_pair_take(tls, 0, &junk, &g.key));
	assert_non_null(tls_pair_take(tls, 4, &f.cert, &f.key));
	assert_true(tls_commit(tls));
	connect_to(tls, &bad);
	assert_string_equal(bad.subject, "default");
	take(tls, 0, &(struct kit_cert){.name = "new"});
	assert_true(tls_commit(tls));
	connect_to(tls, &after);
	assert_string_equal(after.subject, "new");
	kit_files_free(&f);
	kit_files_free(&g);
	kit_pair_free(&p);
	kit_pair_free(&q);
	tls_destroy(&tls);
}

/* A renewal of one of many does not make all contexts anew. */
static void
test_unchanged_is_kept(void **state)
{
	struct tls *tls = three_hosts();
	SSL_CTX *before[3] = {tls->ctx[0], tls->ctx[1], tls->ctx[2]};
	struct kit_pair p = kit_make(&(struct kit_cert){.name = "new"});
	struct kit_files f = kit_files(&p);

	(void)state;
	assert_null(tls_pair_take(tls, 0, &f.cert, &f.key));
	assert_true(tls_commit(tls));
	assert_ptr_not_equal(tls->ctx[0], before[0]);
	assert_ptr_equal(tls->ctx[1], before[1]);
	assert_ptr_equal(tls->ctx[2], before[2]);
	before[0] = tls->ctx[0];
	assert_null(tls_pair_take(tls, 0, &f.cert, &f.key));
	assert_true(tls_commit(tls));
	assert_ptr_equal(tls->ctx[0], before[0]);
	/* the second of a host's two pairs */
	assert_null(tls_pair_take(tls, 2, &f.cert, &f.key));
	assert_true(tls_commit(tls));
	assert_ptr_not_equal(tls->ctx[1], before[1]);
	kit_files_free(&f);
	kit_pair_free(&p);
	tls_destroy(&tls);
}

/* --- what certcheck makes, and a gate reads ------------------------------- */

static void
test_bundle(void **state)
{
	struct tls *tls = three_hosts();
	struct kit_pair p = kit_make(&(struct kit_cert){.name = "new"});
	struct kit_files f = kit_files(&p), got;
	struct client c = {.sni = "x.b.example"};
	int fd = bundle_new(4), few = bundle_new(3);

	(void)state;
	assert_true(fd >= 0 && few >= 0 && bundle_seal(few));
	for (uint32_t i = 0; i < 4; i++)
		assert_true(bundle_put(fd, i, &f.cert, &f.key));
	/* one that can still change is none, nor is one of other pairs */
	assert_false(tls_certs_take(tls, fd));
	assert_false(tls_certs_take(tls, few));
	assert_true(bundle_seal(fd));
	assert_false(bundle_put(fd, 0, &f.cert, &f.key));
	assert_true(bundle_get(fd, 3, &got.cert, &got.key));
	assert_int_equal(got.key.n, f.key.n);
	assert_memory_equal(got.key.p, f.key.p, f.key.n);
	kit_files_free(&got);
	connect_to(tls, &c);
	assert_string_equal(c.subject, "*.b.example");
	assert_true(tls_certs_take(tls, fd));
	connect_to(tls, &c);
	assert_string_equal(c.subject, "new");
	close(fd);
	close(few);
	kit_files_free(&f);
	kit_pair_free(&p);
	tls_destroy(&tls);
}

/* Numbers in it that lead nowhere lose one pair and harm nothing. */
static void
test_bundle_is_checked(void **state)
{
	struct tls *tls = three_hosts();
	struct kit_pair p = kit_make(&(struct kit_cert){.name = "new"});
	struct kit_files f = kit_files(&p), got;
	const uint32_t far[4] = {0xfffffff0u, 200, 32, 0xffffffffu};
	struct client c = {.sni = NULL};
	int fd = bundle_new(4);

	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		assert_true(bundle_put(fd, i, &f.cert, &f.key));
	assert_int_equal(pwrite(fd, far, sizeof(far), 16), sizeof(far));
	assert_true(bundle_seal(fd));
	assert_false(bundle_get(fd, 0, &got.cert, &got.key));
	kit_files_free(&got);
	assert_true(tls_certs_take(tls, fd));
	connect_to(tls, &c);
	assert_string_equal(c.subject, "default");
	close(fd);
	kit_files_free(&f);
	kit_pair_free(&p);
	tls_destroy(&tls);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_host_match),
	    cmocka_unit_test(test_sni),
	    cmocka_unit_test(test_rsa_beside_ecdsa),
	    cmocka_unit_test(test_versions),
	    cmocka_unit_test(test_alpn),
	    cmocka_unit_test(test_tickets),
	    cmocka_unit_test(test_ticket_is_renewed),
	    cmocka_unit_test(test_malformed_tickets),
	    cmocka_unit_test(test_reload),
	    cmocka_unit_test(test_unchanged_is_kept),
	    cmocka_unit_test(test_bundle),
	    cmocka_unit_test(test_bundle_is_checked),
	};

	if (!tls_warm())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
