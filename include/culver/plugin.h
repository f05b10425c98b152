/*
 * culver/plugin.h - what a module exports: one constant descriptor.
 */
#ifndef CULVER_PLUGIN_H
#define CULVER_PLUGIN_H

#include <culver/abi.h>
#include <culver/host.h>

#ifdef __cplusplus
extern "C" {
#endif

struct culver_storage_ops;
struct culver_auth_ops;

enum {
	CULVER_KIND_STORAGE = 1,
	CULVER_KIND_AUTH = 2,
	CULVER_KIND_CHECK = 3	/* reserved: message checks, a later minor */
};

/*
 * What a plugin needs beyond memory and its own paths().  Each must also be
 * allowed by the administrator (`allow = {net}` in its section), or the
 * plugin is refused when the configuration is checked.  The base set of
 * system calls is listed in culver-plugin(7), is part of the ABI and only
 * grows; any other call returns ENOSYS and kills nobody; the
 * host logs it once (SECCOMP_RET_TRAP).
 */
enum {
	CULVER_NEED_NET = 1u << 0,	/* socket, connect, name resolution */
	CULVER_NEED_EXEC = 1u << 1,	/* fork, execve, wait; auth only */
	CULVER_NEED_THREADS = 1u << 2	/* auth only */
};

enum {				/* culver_path.access */
	CULVER_PATH_READ = 1u << 0,
	CULVER_PATH_WRITE = 1u << 1,
	CULVER_PATH_CREATE = 1u << 2,	/* names in a directory, and removing */
	CULVER_PATH_DIR = 1u << 3,	/* a directory, always with the whole tree
				 * below (Landlock knows no less).  A file
				 * that others replace by rename must be
				 * named through its directory. */
	CULVER_PATH_DOTLOCK = 1u << 4,	/* the file that culver_host.dotlock is
				 * for: one, and the user's; only with
				 * CULVER_HOST_DOTLOCK */
	CULVER_PATH_EXEC = 1u << 5	/* with CULVER_NEED_EXEC: what is there
				 * may be run, interpreters and the dynamic
				 * linker included */
};

struct culver_path {		/* fixed for ABI 1 */
	const char *path;	/* absolute, in the arena; links are followed */
	uint32_t access;
	uint32_t reserved0;
};

/* Type of an option.  The core parses, bounds-checks and converts. */
enum {
	CULVER_OPT_BOOL = 1,	/* u.i: 0 or 1 */
	CULVER_OPT_INT,		/* u.i, within min..max */
	CULVER_OPT_SIZE,		/* u.i bytes; K, M, G suffixes */
	CULVER_OPT_TIME,		/* u.i nanoseconds; ms, s, m, h, d suffixes */
	CULVER_OPT_ENUM,		/* u.i: index into choices */
	CULVER_OPT_STRING,		/* u.s */
	CULVER_OPT_PATH,		/* u.s, absolute and normalised */
	CULVER_OPT_TEMPLATE,	/* u.s, %{user} and so on and a leading ~/
				 * already expanded, from the grant */
	CULVER_OPT_LIST		/* u.list of strings */
};

enum {
	CULVER_OPT_REQUIRED = 1u << 0,	/* no default: absence is an error */
	CULVER_OPT_SECRET = 1u << 1,	/* never printed, dumped or logged */
	CULVER_OPT_DEPRECATED = 1u << 2	/* accepted with a warning; see help */
};

struct culver_option {
	const char *name;	/* [a-z][a-z0-9_]*, unique in the table */
	uint32_t type;
	uint32_t flags;
	int64_t  min, max;	/* value, or string length; both 0: any */
	const char *def;	/* config syntax, parsed like a user's value */
	const char *const *choices;	/* ENUM, NULL-terminated */
	const char *help;	/* one line for --help and the manual page */
};

/* A converted value, at the same index as its option. */
struct culver_value {
	uint32_t is_set;	/* 0: the default was used */
	uint32_t line;		/* where it was set; 0 for defaults */
	const char *file;
	union {
		int64_t i;
		struct culver_str s;
		struct { const struct culver_str *v; size_t n; } list;
	} u;
};

struct culver_values {
	uint32_t size;
	uint32_t n;		/* always the plugin's own n_options */
	const struct culver_value *v;	/* valid until destroy() */
};

/*
 * The first six members are frozen for all majors: they are what a host
 * reads before it knows whether it understands the rest.
 */
struct culver_plugin {
	uint32_t magic;		/* CULVER_MAGIC */
	uint32_t size;
	uint16_t abi_major;	/* CULVER_ABI_MAJOR it was compiled with */
	uint16_t abi_minor;	/* CULVER_ABI_MINOR it was compiled with */
	uint16_t need_minor;	/* oldest host minor it can work with */
	uint16_t kind;		/* CULVER_KIND_* */

	uint64_t caps;		/* CULVER_ST_* or CULVER_AU_* bits */
	uint64_t needs;		/* CULVER_NEED_* bits it cannot work without */
	const char *name;	/* in the configuration: "maildir" */
	const char *version;	/* free form, for logs */
	const char *summary;	/* one line */

	const struct culver_option *options;
	uint32_t n_options;
	uint32_t option_size;	/* sizeof(struct culver_option): array stride */

	/*
	 * Cross-field checks after every value passed its own.  Runs in the
	 * unprivileged config process, so it must not need the resources.
	 * On CULVER_E_CONFIG set *bad to the option to blame; the core prints
	 * "file:line: name: call->err->text".  May be NULL.
	 */
	culver_status (*check_options)(const struct culver_host *host,
	    const struct culver_values *vals, uint32_t *bad,
	    struct culver_call *call);

	union {
		const struct culver_storage_ops *storage;
		const struct culver_auth_ops *auth;
	} ops;

	/* CULVER_NEED_* bits that it can do without: it has those of them
	 * that its section allows. */
	uint64_t wants;
};

#define CULVER_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
#define CULVER_C_LINKAGE extern "C"
#else
#define CULVER_C_LINKAGE extern
#endif

/*
 * Defines the only exported symbol: CULVER_PLUGIN(storage_maildir) = { ... };
 * The _LTX_ part lets libltdl find it both in storage_maildir.so and preloaded.
 * MOD may be a macro; it is expanded.
 */
#define CULVER_PLUGIN(mod) CULVER_PLUGIN_(mod)
#define CULVER_PLUGIN_(mod) \
	CULVER_C_LINKAGE CULVER_EXPORT const struct culver_plugin mod##_LTX_culver_plugin; \
	const struct culver_plugin mod##_LTX_culver_plugin

#ifdef __cplusplus
}
#endif

#endif /* CULVER_PLUGIN_H */
