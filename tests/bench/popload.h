/*
 * popload.h - what the parts of the benchmarks' one program share: a load
 * generator for POP3 servers, a sham server to compare them with, and makers
 * of mailboxes.
 *
 * Run by tests/bench/run or by hand; never installed.  Trusts its arguments,
 * and no server: what is not the reply that there must be ends in an error.
 *
 * The first line of each message that it makes or serves is
 *     X-Bench: NUMBER OCTETS CRC
 * the message's number in the mailbox, the octets of the whole message on the
 * wire and, in hexadecimal, the CRC-32 of those behind this line; so that who
 * reads it knows whether it is right, whole and in order.
 */
#ifndef BENCH_POPLOAD_H
#define BENCH_POPLOAD_H

#include <stddef.h>
#include <stdint.h>

#define MARK_FORMAT "X-Bench: %08lu %08lu %08lx"
#define MARK_MAX 64

/* What an option that begins with a letter is, and where it goes. */
struct option_word {
	char letter;
	const char **text;      /* one of both */
	long *number;
	long min, max;
};

/* Reads options, each with a value, from argv[1] on; dies with `usage' if one
 * is wrong.  The index of the first argument that is none. */
int options_read(int argc, char **argv, const struct option_word *words,
    const char *usage);

/* A number that is all of `text' and within min..max; dies if it is not. */
long number_read(const char *text, long min, long max);

/* Writes the line to standard error and exits with status 2. */
void die(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* realloc() of n objects that dies rather than return NULL. */
void *need(void *old, size_t n, size_t size);

/* The CRC-32 of what had `crc' (0 at first) with these octets behind it. */
uint32_t crc_add(uint32_t crc, const void *octets, size_t n);

/* Soft and, where it may, hard limit of descriptors up to n. */
void descriptors_raise(unsigned long n);

/* The three commands: what main() would be. */
int load_main(int argc, char **argv);
int sham_main(int argc, char **argv);
int mail_main(int argc, char **argv);

#endif
