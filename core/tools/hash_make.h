/*
 * hash_make.h - hashes that crypt(3) does not make, as Dovecot writes them.
 *
 * Runs as culverctl's caller, in the program hash.
 */
#ifndef TOOLS_HASH_MAKE_H
#define TOOLS_HASH_MAKE_H

/*
 * Hash PASSWORD with a random salt for SCHEME: a name as scheme_find() of
 * hash.c has it.  The text is static; NULL: a library failed.
 */
const char *hash_make(const char *scheme, const char *password);

#endif /* TOOLS_HASH_MAKE_H */
