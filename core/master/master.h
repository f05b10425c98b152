/*
 * master.h - what the files of core/master share: the state of the one
 * process that is root.
 *
 * master opens by name, forks, drops, passes descriptors and reaps; what needs
 * no root is manager's (core/manager).  It reads no octet that a client wrote,
 * loads no plugin, parses nothing but messages.def's messages and conf.h's
 * checked structs, and never waits for a peer.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "core/base/fds.h"
#include "core/base/loop.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/master/spawn.h"

/* --- one configuration, straight from its config role --------------------- */

enum {	/* its snapshots: master's, each storage section's and pool's */
	SNAP_MASTER, SNAP_STORAGE, SNAP_POOL = SNAP_STORAGE + CONF_MAX_STORAGE,
	SNAPS = SNAP_POOL + CONF_MAX_AUTH
};

struct generation {
	LIST_ENTRY(generation) link;	/* newest first */
	uint32_t number;		/* the config role's instance */
	struct conf_master conf;
	int snap[SNAPS];		/* -1: did not come */
	unsigned files;			/* that the config role asked for */
	unsigned refs;			/* manager, coordinators, grants */
	_Bool forgotten;		/* manager has none any more */
};

/* --- one executed role ---------------------------------------------------- */

struct child {
	TAILQ_ENTRY(child) link;
	struct loop_io io;		/* fd -1: no channel (any more) */
	enum ipc_role role;
	uint32_t instance;		/* never given twice */
	pid_t pid;
	uint64_t started;
	unsigned grants;		/* gate: that wait for it */
	uint64_t lost_until;		/* gate: it may come with a grant that
					 * there was no room for */
	struct generation *gen;		/* of config and auth */
};
TAILQ_HEAD(children, child);

/* Messages without descriptors; those that find the socket full wait. */
struct record;
struct outbox {
	struct loop_io *io;
	unsigned events;		/* that the owner waits for */
	STAILQ_HEAD(, record) waiting;
	size_t octets;
	unsigned lost;			/* there was no room */
};

/* --- one session, from its grant to its last log line --------------------- */

enum session_state { S_GRANTED, S_QUEUED, S_STARTING, S_RUNNING };

struct session {
	LIST_ENTRY(session) by_id, by_pid;
	TAILQ_ENTRY(session) queue;
	enum session_state state;
	struct generation *gen;
	struct loop_timer timer;	/* grant or start runs out, or kill */
	struct loop_io io;		/* the worker's channel; -1: none */
	int client;			/* until the fork */
	int slot;
	pid_t pid;
	uint64_t started;
	unsigned log_lines, wishes;
	_Bool reaped;
	uint8_t end[128];		/* WORKER_END, as it came */
	uint32_t end_len;
	struct ipc_grant g;		/* KIND 0: refused; points into: */
	uint8_t message[];
};

enum { HIGH_FD = 128,			/* above what session_setup() takes */
	ANSWERS_MAX = 8,		/* at once */
	PASSED_MAX = HIGH_FD - 3 };	/* by the service manager */
/* A successor knows by this that it is one: how many descriptors the service
 * manager passed, and the highest instance yet. */
#define UPGRADE_ENV "CULVERD_UPGRADE"

/* --- master --------------------------------------------------------------- */

struct master {
	struct loop *loop;
	struct spawn_env env;
	char *conf_path;
	const char *exe;		/* as it was started, in CWD */
	char *cwd;
	char **argv;
	_Bool check, foreground;
	_Bool upgraded;			/* started by another master */
	_Bool stays;			/* whoever started it waits for it */
	int stderr_fd;			/* for `log` */
	int diag_fd;			/* for what is wrong */
	int lock;			/* run_dir/pid; -1: not ours (yet) */
	int exit_status;
	LIST_HEAD(, generation) generations;
	struct children children;
	struct child *manager;		/* NULL: waits to be started again */
	struct outbox to_manager, log;
	struct loop_io log_io;
	uint32_t instances;		/* the highest yet */
	uint64_t started;
	_Bool running;			/* a first configuration is in force */
	_Bool stopping;
	_Bool retired;			/* a successor serves */
	_Bool drained;			/* and no gate is left */
	pid_t successor;		/* 0: none */
	int successor_fd[2];		/* a pidfd, a channel to it; -1 */
	uint64_t logins, refused, breaches;
	uint32_t sessions;
	pid_t answers[ANSWERS_MAX + 1];	/* copies that answer culverctl; one
					 * more for a kick */
	unsigned passed;		/* sockets, at HIGH_FD: fds_keep() */
	struct ipc_in in;
};
extern struct master master;

/* master.c: the manager's life, and the clean stop. */
void manager_gone(const struct child *c, int status);
_Bool manager_note(struct child *manager, struct ipc_in *in);
void master_idle(void);
void master_stop(void);
void master_notify(const char *state);

/* upgrade.c: see there. */
_Bool upgrade_start(struct child *manager, struct ipc_in *in);
void upgrade_cancel(void);
_Bool upgrade_retire(void);
_Bool upgrade_exit(pid_t pid, int status);

/* outbox.c */
void outbox_send(struct outbox *box, enum ipc_type type, const void *msg);
void outbox_flush(struct outbox *box);
void outbox_clear(struct outbox *box);
void log_to(int fd);
void log_ready(struct loop_io *io, unsigned events);

/* children.c */
struct child *child_new(struct spawn *s, unsigned channel,
    struct generation *gen);
struct child *child_find(unsigned roles, uint32_t instance);
void child_tell(struct child *c, enum ipc_type type, const void *msg,
    const int *fds, unsigned n);
void child_end(struct child *c, const char *why);
void child_exit(pid_t pid, int status);
void grants_read(uint64_t grant);
void children_kill(_Bool all);

/* requests.c: what roles ask for; they are ended for what they may not. */
void request_serve(struct child *c, struct ipc_in *in);
void gen_unref(struct generation *gen);
void gen_forget(struct generation *gen);

/* files.c: open what GEN names: KIND is enum ipc_open_kind.  -1 with errno. */
int file_open(uint32_t kind, uint32_t index, const struct generation *gen,
    uint32_t *syslog);

/* sessions.c: grants and workers.  Those that serve a message of C return
 * false if it broke the rules. */
struct session *session_find(uint64_t grant);
_Bool session_grant(struct child *auth, struct ipc_in *in);
_Bool session_handover(struct child *gate, struct ipc_in *in);
_Bool session_release(struct child *gate, struct ipc_in *in);
_Bool session_exit(pid_t pid, int status);
void session_each(void (*f)(const struct session *, void *), void *arg);
void session_end(const struct session *s, void *unused);
void session_kill(const struct session *s, void *unused);
void session_setup(void);

/* A worker's descriptors, from its first call on. */
enum { WORKER_CLIENT = 3, WORKER_CHANNEL, WORKER_SNAPSHOT };

/* dropped.c: what is left for a worker to do after its drop. */
void worker_run(const struct session *s, int locker)
    __attribute__((noreturn));

/* requests.c: have a copy of master that has dropped its rights do what IN
 * asks for; FROM is the session that does, or NULL. */
_Bool report_fork(const struct ipc_in *in, const struct session *from);

/* report.c: what that copy does. */
void report_send(const struct ipc_in *in, const struct session *from);

#endif /* MASTER_MASTER_H */
