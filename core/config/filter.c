/*
 * filter.c - make a program for seccomp of the system calls of a role.
 *
 * Runs in the config role; the result is installed in every role.  What no
 * list of a role names (calls.c) is trapped: it returns ENOSYS and is logged
 * once (base/sandbox.h), or ends a role that has no handler for it.  Another
 * machine's calls (32 bit, x32) end the process.
 *
 * A pool that may run programs gets ENOSYS without the trap: these have no
 * handler, and would die of it.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <culver/plugin.h>

#include "core/config/conf.h"
#include "core/config/filter.h"
#include "core/config/filter_pack.h"

#ifdef WITH_SANDBOX

#include <linux/filter.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "core/config/calls.h"

static struct scmp_arg_cmp
compare(uint8_t cond, uint8_t arg, uint64_t value)
{
	switch ((enum cond)cond) {
	case C_CLEAR:
		return SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, value, 0);
	case C_SET:
		return SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, value, value);
	case C_EQ:
	case C_ANY:
		break;
	}
	return SCMP_CMP64(arg, SCMP_CMP_EQ, value, 0);
}

static _Bool
allow(scmp_filter_ctx ctx, const struct call *c)
{
	int nr = seccomp_syscall_resolve_name(c->name), r;
	struct scmp_arg_cmp cmp[2];
	unsigned n = 0;

	if (nr == __NR_SCMP_ERROR || nr < 0)
		return 1;	/* not on this machine, or newer than it */
	if (c->cond != C_ANY)
		cmp[n++] = compare(c->cond, c->arg, c->value);
	if (c->cond2 != C_ANY)
		cmp[n++] = compare(c->cond2, c->arg2, c->value2);
	r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, nr, n, cmp);
	errno = -r;
	return r == 0 || r == -EEXIST;
}

static _Bool
is_listed(const struct call *const *lists, const char *name, _Bool *plain)
{
	_Bool found = 0;

	*plain = 0;
	for (; *lists != NULL; lists++)
		for (const struct call *c = *lists; c->name != NULL; c++)
			if (strcmp(c->name, name) == 0) {
				found = 1;
				*plain |= c->cond == C_ANY;
			}
	return found;
}

/* A filter has one action for a call and its arguments; so a call that is
 * allowed under conditions cannot also be denied by name: what meets none of
 * them falls to the default.  Deny it by the complement instead. */
static _Bool
deny(scmp_filter_ctx ctx, const struct call *const *lists, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name), r;
	_Bool plain;

	if (nr == __NR_SCMP_ERROR || nr < 0 || is_listed(lists, name, &plain))
		return 1;
	r = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0, NULL);
	errno = -r;
	return r == 0;
}

static _Bool
rules_add(scmp_filter_ctx ctx, const struct call *const *all, _Bool execs)
{
	_Bool plain;

	for (size_t i = 0; all[i] != NULL; i++)
		for (const struct call *c = all[i]; c->name != NULL; c++) {
			/* a condition beside "always" means nothing */
			is_listed(all, c->name, &plain);
			if ((!plain || c->cond == C_ANY) && !allow(ctx, c))
				return 0;
		}
	for (size_t i = 0; calls_denied[i] != NULL; i++)
		if (!deny(ctx, all, calls_denied[i]))
			return 0;
	/* clone3 keeps its flags in memory: no filter can read them, and the
	 * C library falls back on clone when it does not exist. */
	return execs || seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS),
	    SCMP_SYS(clone3), 0) == 0;
}

/* libpam wants to tell the kernel's audit of each login, and fails unless it
 * seems to have none. */
static _Bool
deny_audit(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp family = SCMP_CMP64(0, SCMP_CMP_EQ,
	    AF_NETLINK, 0);
	int r = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT),
	    SCMP_SYS(socket), 1, &family);

	errno = -r;
	return r == 0;
}

/* A worker and a locker install theirs in each session. */
static size_t
shorten(struct sock_filter *code, size_t n)
{
	static struct sock_filter packed[CONF_MAX_FILTER];
	size_t m = filter_pack(code, n, packed, CONF_MAX_FILTER);

	if (m == 0)
		return n;
	memcpy(code, packed, m * sizeof(*code));
	return m;
}

/* libseccomp 2.5 writes programs to descriptors only. */
static size_t
export(scmp_filter_ctx ctx, struct sock_filter *out)
{
	int fd = memfd_create("filter", MFD_CLOEXEC), r;
	off_t size;
	size_t n = 0;

	if (fd < 0)
		return 0;
	r = seccomp_export_bpf(ctx, fd);
	size = lseek(fd, 0, SEEK_CUR);
	if (r != 0)
		errno = -r;
	else if (size <= 0 || (size_t)size > CONF_MAX_FILTER * sizeof(*out))
		errno = E2BIG;
	else if (pread(fd, out, (size_t)size, 0) == size)
		n = (size_t)size / sizeof(*out);
	close(fd);
	return n;
}

size_t
filter_compile(enum filter_kind kind, uint64_t needs, struct sock_filter *out)
{
	const struct call *all[CALLS_MAX_LISTS];
	_Bool execs = kind == FILTER_POOL && (needs & CULVER_NEED_EXEC) != 0;
	scmp_filter_ctx ctx = seccomp_init(execs ? SCMP_ACT_ERRNO(ENOSYS) :
	    SCMP_ACT_TRAP);
	size_t n = 0;

	if (ctx == NULL) {
		errno = ENOMEM;
		return 0;
	}
	calls_collect(kind, needs, all);
	if (seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH,
	    SCMP_ACT_KILL_PROCESS) == 0 &&
	    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) == 0 &&
	    rules_add(ctx, all, execs) &&
	    (!execs || (needs & CULVER_NEED_NET) != 0 || deny_audit(ctx)))
		n = export(ctx, out);
	seccomp_release(ctx);
	return kind == FILTER_WORKER || kind == FILTER_LOCKER ?
	    shorten(out, n) : n;
}

static int
by_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

void
filter_print_base(FILE *out)
{
	const char *names[512] = {NULL};
	size_t n = 0;
	_Bool plain;

	for (size_t i = 0; calls_plugin_base[i] != NULL; i++)
		for (const struct call *c = calls_plugin_base[i];
		     c->name != NULL && n < 512; c++)
			names[n++] = c->name;
	qsort(names, n, sizeof(names[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
			continue;
		is_listed(calls_plugin_base, names[i], &plain);
		fprintf(out, "%s%s\n", names[i], plain ? "" : "*");
	}
}

#else /* without a sandbox */

size_t
filter_compile(enum filter_kind kind, uint64_t needs, struct sock_filter *out)
{
	(void)kind, (void)needs, (void)out;
	errno = 0;
	return 0;
}

void
filter_print_base(FILE *out)
{
	(void)out;
}

#endif
