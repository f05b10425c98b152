/*
 * fuzz_passwd.c - what might stand in a line of a passwd file: fields, schemes,
 * hashes and their parameters.
 *
 * A libFuzzer target (--enable-fuzzers builds it with clang), and with run.c a
 * program that tries a fixed set of inputs.  What is taken for a good hash
 * that costs little must be one that can be checked.
 */
#include "config.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/auth_passwdfile/passwdfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define W(s) { s, sizeof(s) - 1 }
struct fuzz_word { const char *p; size_t n; };
extern const struct fuzz_word fuzz_words[];
const struct fuzz_word fuzz_words[] = {
	W(":"), W("u:"), W("1000:"), W("/home/u:"), W(" "), W("="), W("mail="),
	W("nologin"), W("{"), W("}"), W("{SHA256}"), W("{SSHA512.HEX}"),
	W("{PBKDF2}$1$"), W("{ARGON2ID}$argon2id$v=19$m="), W("64"),
	W(",t="), W(",p="), W("$"), W("1"), W("Y3VsdmVyY3VsdmVy"), W("A"),
	W("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), W("AA=="), W("="),
	W("{SCRAM-SHA-256}4096,"), W(","), W("$6$rounds="), W("$y$j"), W("T"),
	W("$2b$"), W("$7$C"), W("U..../...."), W("99999999"), W("!"), W("\xff"),
	W("0123456789abcdef0123456789abcdef01234567"), W("\n"), W("\r"),
	{ NULL, 0 }
};

#define CHECK(x) do { if (!(x)) abort(); } while (0)

static void
hash_try(struct span password)
{
	static struct crypt_data work;
	const struct culver_str guess = {"guess", 5};
	struct hash h = hash_parse(password, (struct span){"CRYPT", 5});
	struct hash_cost cost;
	char *text;

	CHECK(h.text.n <= password.n);
	if (h.state != HASH_GOOD)
		return;
	CHECK(h.method != NULL);
	cost = hash_cost(h.method, h.text);
	CHECK(hash_cost_bearable(&cost));
	if (cost.usec > 1000 || cost.kib > 1024 || h.text.n == 0)
		return;
	text = strndup(h.text.p, h.text.n);
	CHECK(text != NULL);
	/* crypt(3) looks at its own hashes only then */
	CHECK(hash_verify(h.method, text, &guess, &work) != CULVER_E_TEMP ||
	    h.method->verify == NULL);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *line = malloc(n + 1);	/* exact, so that sanitizers see */
	struct span name, value, rest;
	struct entry e;
	const char *why;

	CHECK(line != NULL);
	if (n > 0)
		memcpy(line, data, n);
	hash_try((struct span){line, n});
	if (entry_parse(line, n, &e, &why)) {
		CHECK(e.user.n <= PF_MAX_USER);
		hash_try(e.password);
		for (rest = e.extra; entry_next_extra(&rest, &name, &value);)
			CHECK(name.n + value.n <= e.extra.n);
	} else {
		CHECK(why != NULL);
	}
	free(line);
	return 0;
}
