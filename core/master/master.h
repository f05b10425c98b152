/*
 * master.h - what the files of core/master share: the state of the one
 * process that is root.
 *
 * master binds, forks, drops, passes descriptors and reaps.  It reads no octet
 * that a client wrote, loads no plugin, parses nothing but messages.def's
 * messages and conf.h's checked structs, and never waits for a peer.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "core/base/loop.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/master/spawn.h"

enum { TICKETS = 3 };

/* --- one executed role ---------------------------------------------------- */

struct generation;
struct place;

struct child {
	TAILQ_ENTRY(child) link;
	struct loop_io io;		/* its channel; fd -1: closed */
	struct loop_timer timer;	/* READY, drain or kill is due */
	enum ipc_role role;
	enum ipc_phase phase;
	uint32_t instance;		/* never given twice */
	pid_t pid;
	int log_end;			/* the log role's end of its log */
	struct generation *gen;
	struct place *place;		/* NULL: nobody waits for it */
	uint64_t started;
	uint32_t missing;		/* enum sandbox_part */
};
TAILQ_HEAD(children, child);

/* How many children of a role (and auth section) a generation needs. */
struct place {
	enum ipc_role role;
	uint32_t section;		/* of pools */
	uint32_t want, have;
	uint64_t due;			/* no start before that */
	uint64_t delay;			/* grows while they keep dying */
	uint32_t restarts;
};

/* --- one configuration and the roles that live by it ------------------------- */

struct generation {
	uint32_t number;
	struct conf_master conf;
	int master_snap, gate_snap, auth_snap, log_snap, cert_snap;
	int pool_snap[CONF_MAX_AUTH], storage_snap[CONF_MAX_STORAGE];
	int cert_fd[2 * CONF_MAX_CERT];
	uint64_t certs;			/* certs_stamp() when they were read */
	int listen_fd[CONF_MAX_LISTEN];
	unsigned n_place;
	struct place place[3 + CONF_MAX_AUTH];
	struct loop_timer fill;		/* a place is due */
	unsigned refs;			/* children and grants */
	_Bool retired;
	struct loop_timer end;		/* reload_grace is over */
};

/* --- one session, from its grant to its last log line ------------------------- */

enum session_state { S_GRANTED, S_QUEUED, S_STARTING, S_RUNNING };

struct session {
	LIST_ENTRY(session) by_id, by_pid;
	TAILQ_ENTRY(session) queue;
	uint64_t id, serial;
	uint32_t gate, kind, section, flags;
	uid_t uid;
	gid_t gid;
	enum session_state state;
	struct generation *gen;
	struct loop_timer timer;	/* grant or start runs out, or kill */
	struct loop_io io;		/* the worker's channel; -1: none */
	int client;			/* until the fork */
	int slot;
	pid_t pid;
	uint64_t started;
	unsigned log_lines;
	_Bool ended;			/* WORKER_END came */
	_Bool reaped;
	struct ipc_worker_end end;
	char reason[32];
	uint32_t tail_len;
	char *remote, *mech;		/* behind USER in the same block */
	uint8_t *tail;
	char user[];
};

/* --- master ------------------------------------------------------------------ */

struct load;

struct master {
	struct loop *loop;
	struct spawn_env env;
	const char *conf_path;
	_Bool foreground;
	int stderr_fd;
	struct generation *gen;		/* the current one */
	struct generation *previous;	/* until a gate of gen is ready */
	struct children children;
	struct load *load;		/* a (re)load that is under way */
	struct child *log;
	int log_target;
	_Bool log_syslog;
	int ticket[TICKETS];		/* newest first; -1: none yet */
	uint32_t instances;
	uint32_t generations;
	uint64_t started;
	_Bool reload_again;		/* asked for while one was under way */
	_Bool stopping;
	uint64_t logins, refused, breaches;
	uint32_t sessions, missing;
	struct ipc_in in;
};
extern struct master master;

/* master.c: diagnosis before there is a log role, and the clean stop. */
void master_stop(void);
void master_notify(const char *state);
void master_serving(void);
_Bool master_reload(void);
_Bool log_reopen(const struct generation *gen);

/* load.c: a config role, then certcheck; DONE gets a complete generation, or
 * NULL and the text that says why (a memfd).  One at a time. */
typedef void load_done(struct generation *gen, int diag);
_Bool load_start(const char *mode, load_done *done);
/* certcheck alone, for master.gen */
_Bool load_certs(_Bool ticket, load_done *done);
void load_message(struct child *c, struct ipc_in *in);
void load_exit(struct child *c);
uint64_t certs_stamp(const struct generation *gen);

/* files.c: everything that master opens by name. */
int file_open_cert(const char *path, uint32_t *error);
int file_open_log(const char *log, _Bool *syslog);
int file_run_dir(const char *run_dir);
int file_listen(const struct conf_listen *l);
int file_control(const char *run_dir, uint32_t gid);

/* roles.c: children of a generation, their supervision and their channels. */
struct generation *gen_new(void);
void gen_ref(struct generation *gen);
void gen_unref(struct generation *gen);
_Bool gen_listen(struct generation *gen, struct generation *old, int diag);
void gen_start(struct generation *gen);
void gen_retire(struct generation *gen);
void gen_step(struct generation *gen);
void gen_tickets(void);
void gen_certs(struct generation *gen);
void log_retarget(void);
void log_record(enum ipc_type type, const void *msg);
struct child *child_new(enum ipc_role role, struct generation *gen,
    struct spawn *s);
struct child *child_find(enum ipc_role role, uint32_t instance);
void child_tell(struct child *c, enum ipc_type type, const void *msg,
    const int *fds, unsigned n);
void child_end(struct child *c, const char *why);
void child_exit(pid_t pid, int status);
void child_close(struct child *c);

/* sessions.c: grants and workers. */
_Bool session_known(uint64_t grant);
void session_grant(struct child *auth, const struct ipc_grant *g);
void session_handover(struct child *gate, const struct ipc_handover *h,
    int fd);
void session_gate_gone(uint32_t gate);
_Bool session_exit(pid_t pid, int status);
unsigned session_kick(uint64_t id, const char *user,
    const struct generation *gen);
void session_each(void (*f)(const struct session *, void *), void *arg);
void session_setup(void);
void session_kill_all(void);

/* control.c: the socket of culverctl. */
_Bool control_open(int fd);
void control_reloaded(uint32_t status, int diag);

/* report.c: runs after a drop; answer `who` or `status` on CLIENT. */
void report_send(int client, _Bool who);

#endif /* MASTER_MASTER_H */
