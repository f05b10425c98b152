/*
 * test_certcheck.c - what the certificate checker says about a pair.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/config/conf.h"
#include "core/tls/check.h"
#include "core/tls/tls.h"
#include "tests/unit/tlskit.h"

struct verdict {
	unsigned mistakes;
	char text[4096];
};

static struct verdict
check(struct check_files *files, const char *host)
{
	static const struct conf_cert where = {.line = 7,
	    .file = "/c/culver.conf",
	    .cert = "/c/cert.pem", .key = "/c/key.pem"};
	struct verdict v;
	int out = memfd_create("diag", 0);
	ssize_t n;

	v.mistakes = check_pair(&where, files, host, time(NULL), out);
	n = pread(out, v.text, sizeof(v.text) - 1, 0);
	assert_true(n >= 0);
	v.text[n] = 0;
	tls_file_free(&files->cert);
	tls_file_free(&files->key);
	close(out);
	return v;
}

static struct verdict
check_fds(int cert, int key)
{
	struct check_files f = {.cert_fd = cert, .key_fd = key};
	struct verdict v = check(&f, "");

	close(cert);
	close(key);
	return v;
}

static struct verdict
check_made(const struct kit_cert *what, const char *host)
{
	struct kit_pair p = kit_make(what);
	struct check_files f = {.cert_fd = kit_cert_file(&p.x, 1),
	    .key_fd = kit_key_file(p.key, NULL)};
	struct verdict v = check(&f, host);

	close(f.cert_fd);
	close(f.key_fd);
	kit_pair_free(&p);
	return v;
}

#define AT_CERT "/c/culver.conf:7: tls: certificate /c/cert.pem: "
#define AT_KEY "/c/culver.conf:7: tls: key /c/key.pem: "
#define WARN_CERT "/c/culver.conf:7: warning: tls: certificate /c/cert.pem: "

static void
says(struct verdict v, unsigned mistakes, const char *text)
{
	if (v.mistakes != mistakes || strstr(v.text, text) == NULL)
		fail_msg("wanted %u and \"%s\", got %u and \"%s\"", mistakes,
		    text, v.mistakes, v.text);
	assert_int_equal(v.text[strlen(v.text) - 1], '\n');
}

static void
test_check_sound(void **state)
{
	struct verdict v;

	(void)state;
	v = check_made(&(struct kit_cert){.name = "a.example"}, "a.example");
	assert_string_equal(v.text, "");
	assert_int_equal(v.mistakes, 0);
	v = check_made(&(struct kit_cert){.name = "*.b.example",
	    .rsa_bits = 2048}, "*.b.example");
	assert_string_equal(v.text, "");
}

static void
test_check_made(void **state)
{
	(void)state;
	says(check_made(&(struct kit_cert){.name = "x", .from = -7200,
	    .to = -3600}, ""), 1, AT_CERT "has expired on ");
	says(check_made(&(struct kit_cert){.name = "x", .from = 3600}, ""), 0,
	    WARN_CERT "is not valid before ");
	says(check_made(&(struct kit_cert){.name = "x", .rsa_bits = 1024}, ""),
	    1, AT_KEY "is too weak (1024 bits); use RSA");
	says(check_made(&(struct kit_cert){.name = "x", .digest = "SHA1"}, ""),
	    1, AT_CERT "is signed with MD5 or SHA-1");
	says(check_made(&(struct kit_cert){.name = "x"}, "a.example"), 0,
	    WARN_CERT "is not for the name a.example");
}

static void
test_check_files(void **state)
{
	struct kit_pair p = kit_make(&(struct kit_cert){.name = "p"});
	struct kit_pair q = kit_make(&(struct kit_cert){.name = "q"});
	struct check_files gone = {.cert_fd = -1, .key_fd = -1,
	    .cert_error = ENOENT, .key_error = EACCES};
	struct verdict v = check(&gone, "");

	(void)state;
	says(v, 2, AT_CERT "cannot be opened: No such file");
	says(v, 2, AT_KEY "cannot be opened: Permission denied");
	says(check_fds(kit_text_file(""), kit_key_file(p.key, NULL)), 1,
	    AT_CERT "is empty");
	says(check_fds(kit_text_file("junk"), kit_key_file(p.key, NULL)), 1,
	    AT_CERT "holds no PEM block");
	says(check_fds(kit_cert_file(&p.x, 1), kit_text_file("junk")), 1,
	    AT_KEY "holds no PEM block");
	says(check_fds(kit_key_file(p.key, NULL), kit_cert_file(&p.x, 1)), 2,
	    AT_CERT "holds the other half");
	says(check_fds(kit_cert_file(&p.x, 1), kit_key_file(p.key, "pass")), 1,
	    AT_KEY "has a passphrase");
	says(check_fds(kit_cert_file(&p.x, 1), kit_key_file(q.key, NULL)), 1,
	    AT_KEY "does not belong to the certificate /c/cert.pem");
	says(check_fds(kit_text_file("-----BEGIN CERTIFICATE-----\nAAAA\n"
	    "-----END CERTIFICATE-----\n"), kit_key_file(p.key, NULL)), 1,
	    AT_CERT "is damaged");
	kit_pair_free(&p);
	kit_pair_free(&q);
}

static void
test_check_chain(void **state)
{
	struct kit_pair root = kit_make(&(struct kit_cert){.name = "root"});
	struct kit_pair mid = kit_make(&(struct kit_cert){.name = "mid",
	    .issuer = &root});
	struct kit_pair leaf = kit_make(&(struct kit_cert){.name = "leaf",
	    .issuer = &mid});
	X509 *good[] = {leaf.x, mid.x, root.x};
	X509 *mixed[] = {leaf.x, root.x, mid.x};
	X509 *upside[] = {mid.x, leaf.x};

	(void)state;
	assert_string_equal(check_fds(kit_cert_file(good, 3),
	    kit_key_file(leaf.key, NULL)).text, "");
	says(check_fds(kit_cert_file(mixed, 3), kit_key_file(leaf.key, NULL)),
	    0, WARN_CERT "the chain is out of order: CN = root did not issue "
	    "CN = leaf");
	says(check_fds(kit_cert_file(upside, 2), kit_key_file(leaf.key, NULL)),
	    1, AT_CERT "the chain is out of order: the server's own "
	    "certificate is number 2");
	kit_pair_free(&leaf);
	kit_pair_free(&mid);
	kit_pair_free(&root);
}

/* A name in a certificate cannot forge a line. */
static void
test_check_hostile_name(void **state)
{
	struct kit_pair root =
	    kit_make(&(struct kit_cert){.name = "r\n/x:1: "});
	struct kit_pair leaf = kit_make(&(struct kit_cert){.name = "leaf"});
	X509 *chain[] = {leaf.x, root.x};
	struct verdict v = check_fds(kit_cert_file(chain, 2),
	    kit_key_file(leaf.key, NULL));

	(void)state;
	assert_null(strstr(v.text, "\n/x:1"));
	says(v, 0, "r\\0A/x:1");
	kit_pair_free(&leaf);
	kit_pair_free(&root);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_check_sound),
	    cmocka_unit_test(test_check_made),
	    cmocka_unit_test(test_check_files),
	    cmocka_unit_test(test_check_chain),
	    cmocka_unit_test(test_check_hostile_name),
	};

	if (!tls_warm())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
