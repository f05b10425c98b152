/*
 * filter_pack.h - a shorter program for seccomp that decides the same.
 *
 * Who installs a filter pays by its length, as the kernel translates it each
 * time: a worker does so in each session, so its program is worth the trouble.
 */
#ifndef CONFIG_FILTER_PACK_H
#define CONFIG_FILTER_PACK_H

#include <stddef.h>

struct sock_filter;

/*
 * Write a program to OUT, which has room for CAP instructions, that decides as
 * the N instructions of IN do, which are libseccomp's: for each machine, each
 * number of a call, and the same way for its arguments.  The number of
 * instructions; 0 if IN is none of libseccomp's, or there is nothing to gain,
 * or the result did not stand the comparison of both, which is made for every
 * number that IN tells apart.
 *
 * It keeps the calls that are allowed in words of 32 bits, and looks at one
 * bit.  The kernel cannot say beforehand what comes of that, as it does for
 * programs that compare only: each call runs the program.
 */
size_t filter_pack(const struct sock_filter *in, size_t n,
    struct sock_filter *out, size_t cap);

#endif /* CONFIG_FILTER_PACK_H */
