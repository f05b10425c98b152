/*
 * program.h - a program that an auth plugin starts, and what it says on its
 * standard error.
 *
 * Runs in a pool process as the auth user, for plugins with a need for exec.
 * The program is an administrator's: trusted with passwords, not to end, to be
 * quick or to be quiet.  It runs below the plugin's own confinement.
 */
#ifndef PLUGINS_COMMON_PROGRAM_H
#define PLUGINS_COMMON_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <culver/auth.h>

enum {
	PROGRAM_MAX_ARGS = 64,
	PROGRAM_MAX_FDS = 8,
	PROGRAM_LINE = 400,		/* octets of a line in the log */
	PROGRAM_MAX_LINES = 50		/* in the log, of one call */
};

#define PROGRAM_MS UINT64_C(1000000)

struct program {
	const struct culver_host *host;
	const char *name;	/* for the log */
	pid_t pid;		/* 0: there is none, or it was reaped */
	int err;		/* the reading end of its standard error; -1 */
	char line[PROGRAM_LINE + 1];	/* of it, so far */
	size_t line_n;
	unsigned lines;		/* since program_quiet() */
};

/*
 * The words of the option V as arguments, with room for EXTRA more and a NULL
 * at the end; NULL without memory.  The caller frees the array; the words are
 * the option's.
 */
char **program_argv(const struct culver_value *v, unsigned extra);

/* Options of a section that runs a program, from option FIRST on, */
enum { PROGRAM_PROGRAM, PROGRAM_READ, PROGRAM_TIMEOUT };
#define PROGRAM_OPTIONS(first) \
	[(first) + PROGRAM_PROGRAM] = {.name = "program", \
	    .type = CULVER_OPT_LIST, .flags = CULVER_OPT_REQUIRED, \
	    .help = "the program's absolute path, and its arguments"}, \
	[(first) + PROGRAM_READ] = {.name = "read", \
	    .type = CULVER_OPT_LIST, \
	    .help = "files and folders that it reads, or runs, besides " \
		"the system's and its own folder"}, \
	[(first) + PROGRAM_TIMEOUT] = {.name = "timeout", \
	    .type = CULVER_OPT_TIME, .def = "10s", .min = 100000000, \
	    .max = 30000000000, \
	    .help = "how long it may take to start, and to answer, before " \
		"it is killed; a login has 30 s for all sections"}

/* and their part of check_options(), of all values V of the section; sets
 * *BAD.  OK or E_CONFIG. */
culver_status program_options(const struct culver_value *v, uint32_t first,
    uint32_t *bad, struct culver_call *call);

/* Tell the log if PATH cannot be run: create() comes before the confinement,
 * so it is not started yet. */
void program_warn(const struct culver_host *host, const char *path);

/*
 * paths() of a plugin that runs PROGRAM: what the system's programs and
 * interpreters are made of, PROGRAM's folder, and the files and folders of the
 * option READ, whose programs may be run, too.
 */
culver_status program_paths(const struct culver_host *host,
    const char *program, const struct culver_value *read,
    struct culver_path *out, uint32_t cap, uint32_t *n,
    struct culver_call *call);

/*
 * Start ARGV with the environment ENV: descriptor i of the program is FD[i],
 * for I below N; all others are closed.  -2 in FD stands for what the log
 * gets.  It has a process group of its own, which nothing
 * that it starts can leave, and dies with this process.  What
 * was left of an earlier one must be gone.  OK, or E_TEMP.
 */
culver_status program_start(struct program *p, char *const *argv,
    char *const *env, const int *fd, unsigned n, struct culver_call *call);

enum { PROGRAM_LOG = -2 };

/*
 * Of a process that was just forked: let it, and all that it starts, stay in a
 * process group of its own, which setsid() and setpgid() seem to leave and do
 * not, and die itself with its parent.  False with errno.  Where the kernel
 * has no seccomp the group can be left.  As safe as a signal handler.
 */
bool program_apart(void);

/* Log what came on standard error since; never blocks. */
void program_listen(struct program *p);

/* A new call begins: as many lines as for any may be logged. */
void program_quiet(struct program *p);

/* Has it ended by the time UNTIL?  It is not reaped. */
bool program_wait(const struct program *p, uint64_t until);

/*
 * Wait for its end until the time UNTIL (host->now()), then kill its group in
 * any case, and reap it.  False: it is not dead yet, as in a call of the
 * kernel that cannot be ended; ask again before another is started.  *STATUS
 * is as of waitpid(), -1 if it had to be killed or is not dead.
 */
bool program_end(struct program *p, uint64_t until, int *status);

/* "ended with status 1", "was killed by signal 9", ...: of such a STATUS. */
const char *program_status_text(int status, char buf[64]);

/* Milliseconds from now to the time UNTIL, at least 0, for poll(). */
int program_left(const struct culver_host *host, uint64_t until);

#endif /* PLUGINS_COMMON_PROGRAM_H */
