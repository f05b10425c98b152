/*
 * hash.c - hash a password for a passwd file: the end of `culverctl hash`.
 *
 *	hash text|json [SCHEME]
 *
 * Runs as culverctl's caller, in a program of its own so that culverctl maps
 * no libcrypt and no libcrypto.  The password comes from stdin and is never an
 * argument.
 */
#include "config.h"

#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#include "core/tools/hash_make.h"
#include "core/tools/password.h"

/* As the passwdfile plugin names them; cost 0 is crypt(3)'s choice, which for
 * bcrypt is that of 1999. */
static const struct {
	const char *name, *prefix;	/* NULL: not of crypt(3) */
	unsigned long cost;
} schemes[] = {
	{"YESCRYPT", "$y$", 0},
	{"SHA512-CRYPT", "$6$", 0},
	{"SHA256-CRYPT", "$5$", 0},
	{"BLF-CRYPT", "$2b$", 11},
	{"SCRYPT", "$7$", 0},
#ifdef WITH_ARGON2
	{"ARGON2ID", NULL, 0},
	{"ARGON2I", NULL, 0},
#endif
	{"PBKDF2", NULL, 0},
	{"SSHA512", NULL, 0},
	{"SSHA256", NULL, 0},
	{"SHA512", NULL, 0},
	{"SHA256", NULL, 0},
	{"SCRAM-SHA-256", NULL, 0},
	{"SCRAM-SHA-1", NULL, 0},
};
enum { N_SCHEMES = sizeof(schemes) / sizeof(schemes[0]) };

static int
scheme_find(const char *name)
{
	if (*name == 0)
		return 0;
	for (int i = 0; i < N_SCHEMES; i++)
		if (strcasecmp(name, schemes[i].name) == 0)
			return i;
	if (strcasecmp(name, "bcrypt") == 0)
		return scheme_find("BLF-CRYPT");
	fprintf(stderr, "culverctl: hash: no scheme %s; there are", name);
	for (int i = 0; i < N_SCHEMES; i++)
		fprintf(stderr, " %s", schemes[i].name);
	fputc('\n', stderr);
	return -1;
}

/* A person types it twice. */
static ssize_t
ask(char password[PASSWORD_MAX])
{
	char again[PASSWORD_MAX];
	ssize_t n = password_read("New password: ", password), m;

	if (n < 0 || !password_interactive())
		return n;
	m = password_read("The same again: ", again);
	if (m != n || memcmp(password, again, (size_t)n) != 0) {
		if (m >= 0)
			fprintf(stderr, "culverctl: these two differ\n");
		n = -1;
	}
	explicit_bzero(again, sizeof(again));
	return n;
}

int
main(int argc, char **argv)
{
	static struct crypt_data data;
	char password[PASSWORD_MAX], setting[CRYPT_GENSALT_OUTPUT_SIZE];
	int scheme = argc >= 2 ? scheme_find(argc > 2 ? argv[2] : "") : -1;
	int status = EX_USAGE;
	const char *hash = NULL;

	if (scheme < 0)
		return status;
	if (ask(password) < 0) {
		status = EX_NOINPUT;
		goto out;
	}
	status = EX_SOFTWARE;
	if (schemes[scheme].prefix == NULL)
		hash = hash_make(schemes[scheme].name, password);
	else if (crypt_gensalt_rn(schemes[scheme].prefix, schemes[scheme].cost,
	    NULL, 0, setting, sizeof(setting)) != NULL)
		hash = crypt_rn(password, setting, &data, sizeof(data));
	if (hash == NULL) {
		perror("culverctl: hash");
		goto out;
	}
	status = 0;
	/* A hash has no octet that JSON would escape. */
	if (printf(strcmp(argv[1], "json") == 0 ?
	    "{\"hash\": \"{%s}%s\"}\n" : "{%s}%s\n", schemes[scheme].name,
	    hash) < 0 || fflush(stdout) != 0)
		status = EX_IOERR;
out:
	explicit_bzero(password, sizeof(password));
	explicit_bzero(&data, sizeof(data));
	return status;
}
