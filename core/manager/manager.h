/*
 * manager.h - what the files of core/manager share: which roles must run, by
 * which configuration, and how they are connected.
 *
 * manager is the part of culverd's supervision that needs no root.  It runs as
 * the config role's user, confined, without a file system; what it needs from
 * root it asks master for (FD_CHANNEL), and it sees neither grants nor
 * clients.  Trusts master; nobody else.
 */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "core/base/counts.h"
#include "core/base/fds.h"
#include "core/base/loop.h"
#include "core/base/stats.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/master/records.h"

enum { TICKETS = 3, SLOTS = FD_MASTER };	/* descriptors of a role */

#define CONTAINER(p, type, member) \
	((type *)(void *)((char *)(p) - offsetof(type, member)))

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
	uint32_t pid;			/* 0: master has not said */
	int log_end;			/* the log role's end of its log */
	struct generation *gen;
	struct place *place;		/* NULL: nobody waits for it */
	uint64_t started;
	uint64_t pinged;		/* waits for an answer since; 0: no */
	uint32_t missing;		/* enum sandbox_part */
	_Bool asked;			/* for its numbers: somebody waits */
	_Bool wants_numbers;		/* of others, and of the log */
	uint64_t number[PONG_NUMBERS];
};
/* How a process ended, for "%s %d". */
#define CHILD_STATUS(status) \
	WIFSIGNALED(status) ? "signal" : "status", \
	WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)
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

/* --- one configuration and the roles that live by it ---------------------- */

struct generation {
	uint32_t number;
	uint32_t config;		/* the config role's instance: its
					 * number for master; 0: none yet */
	struct conf_master conf;
	int master_snap, gate_snap, auth_snap, log_snap, cert_snap;
	int lmtp_snap, spool;		/* -1: nobody listens for LMTP */
	int metrics_snap;
	int certs_fd;			/* as certcheck made it; -1: none */
	_Bool certs_new;		/* gates that run have another */
	uint64_t certs;			/* stamp of the files behind it */
	uint64_t cert_expires;		/* the first; seconds since 1970 */
	int listen_fd[CONF_MAX_LISTEN];
	unsigned n_place;
	struct place place[5 + CONF_MAX_AUTH];
	struct loop_timer fill;		/* a place is due */
	unsigned refs;			/* manager's own, and children */
	_Bool retired;
	struct loop_timer end;		/* reload_grace is over */
};

/* --- manager -------------------------------------------------------------- */

struct load;

struct manager {
	struct loop *loop;
	const char *conf_path;		/* for messages */
	uint32_t owner;			/* master's user */
	long cores;
	struct generation *gen;		/* the current one */
	struct generation *previous;	/* until a gate of gen is ready */
	struct children children;
	struct load *load;		/* a (re)load that is under way */
	_Bool reload_wanted;		/* another one after that */
	struct child *log;
	int log_target;
	_Bool log_syslog;
	int root_fd;			/* empty folder to chroot to, or -1 */
	int auth_memory;		/* from one coordinator to the next */
	int gate_memory;		/* that all gates share */
	struct counts counts;		/* in it */
	int stats_memory;		/* of log roles and coordinators */
	struct stats *stats;		/* in it; NULL: nothing is counted */
	int ticket[TICKETS];		/* newest first; -1: none yet */
	uint32_t instances;		/* the highest yet */
	uint32_t generations;
	_Bool again;			/* the manager before this one died */
	_Bool serving;			/* a first gate has been ready */
	_Bool stopping, idle;		/* idle: no session is left */
	_Bool leaving;			/* stopping, but in no hurry: a
					 * successor serves */
	_Bool done;			/* the main loop is over */
	uint32_t breaches, missing;
	uint32_t instance, own_missing;
	uint64_t started;
	struct ipc_in in;
};
extern struct manager manager;

/* manager.c: start, reload, stop. */
void manager_reload(void);
void manager_stop(_Bool idle);
void manager_leave(void);
_Bool manager_serve(void);
void manager_serving(void);
void manager_end(int status);
_Bool manager_run_dir(const struct generation *gen);
void manager_note(enum ipc_note_what what);
_Bool log_reopen(const struct generation *gen);

/* asks.c: master.  The first does not wait for an answer, but for room in the
 * socket; the second waits (-1 with errno: no), and keeps what comes before
 * the answer, which asks_run() then serves. */
void master_tell(enum ipc_type type, const void *msg, const int *fds,
    unsigned n);
int master_open(enum ipc_open_kind kind, const struct generation *gen,
    uint32_t index, struct ipc_opened *answer);
_Bool asks_open(void);
void asks_run(void);

/* load.c: a config role, then certcheck; DONE gets a complete generation, or
 * NULL and the text that says why (a memfd).  One at a time. */
typedef void load_done(struct generation *gen, int diag);
_Bool load_start(_Bool ticket, load_done *done);
/* certcheck alone, for manager.gen: if a ticket key is due or files changed */
void load_certs(_Bool ticket, load_done *done);
void load_message(enum ipc_role from, struct ipc_in *in);
/* certcheck has room for more */
void load_continue(const struct child *c);
void load_exit(const struct child *c, int status);

/* child.c: roles as processes, their channels and log sockets. */
struct child *child_new(enum ipc_role role, uint32_t section,
    struct generation *gen, const int fd[SLOTS]);
struct child *child_find(uint32_t instance);
void child_hurry(struct child *c);
void child_tell(struct child *c, enum ipc_type type, const void *msg,
    const int *fds, unsigned n);
void child_end(struct child *c, const char *why);
void child_close(struct child *c);
void child_exit(uint32_t instance, int status);
void log_connect(struct child *log);
void log_retarget(void);
void log_text(int diag);

/* places.c: how many of which roles. */
void gen_start(struct generation *gen);
void gen_fill(struct generation *gen);
void place_leave(struct child *c, _Bool died);
void auth_gone(struct generation *gen);

/* generation.c: its life, and its gates. */
struct generation *gen_new(void);
void gen_ref(struct generation *gen);
void gen_unref(struct generation *gen);
/* listen.c: open GEN's sockets, or take them from OLD; what is wrong goes to
 * DIAG. */
_Bool gen_listen(struct generation *gen, const struct generation *old,
    int diag);
/* A socket of the culverd before this one, for gen_listen(); FD is taken. */
void listen_handed(int fd);
void listen_close(void);
void gen_retire(struct generation *gen);
void gen_hurry(void);
void gen_step(struct generation *gen);
void gen_tickets(void);
void gen_certs(struct generation *gen);
void gate_ready(struct child *c);
void lmtp_ready(struct child *c);	/* or the metrics role */
void gate_drain(struct child *c);

/* beat.c: whether roles still answer.  WATCHDOG is how often the service
 * manager wants to hear, as text in microseconds, or NULL. */
void beat_start(const char *watchdog);

/* diag.c: FD_DIAG, until there is a log role.  The second is a log_sink; the
 * third copies DIAG unless its sum, which it returns, is LAST. */
void diag_open(void);
void diag_log(int level, const char *text);
uint64_t diag_copy(int diag, uint64_t last);

/* metrics.c: where to count.  FD, which is taken, is the memory of an older
 * culverd; -1: make some. */
void metrics_memory(int fd);
/* The numbers of roles: C says what its are; ask all that have some, for the
 * metrics role ROLE, or (NULL) for clients of culverctl's; tell who waits, if
 * all are there. */
void metrics_pong(struct child *c, const struct ipc_bytes *numbers);
void metrics_ask(struct child *role);
void metrics_step(void);

/* upgrade.c: start a successor; control_upgraded() says what came of it.  The
 * second: master has started PROCESS, or (0) could not. */
void upgrade_start(void);
void upgrade_spawned(uint32_t process);
/* As a successor: take FD, which this one was started with, and what an older
 * culverd's manager has said there; false: that is not what it leads to, and
 * FD stays the caller's.  Then say there that this one serves. */
_Bool upgrade_open(int fd);
void upgrade_ready(void);
/* Have no successor any more, and let the older ones stop, too; is there still
 * one to wait for? */
void upgrade_stop(void);
_Bool upgrade_waits(void);
/* Give FD, a client of culverctl's, which stays the caller's, to the Nth older
 * one; false: there are less. */
_Bool upgrade_pass(uint32_t n, int fd);

/* control.c: the socket of culverctl, and a client that came another way; both
 * are taken. */
_Bool control_open(int fd);
void control_close(void);
void control_client(int fd);
/* Have CONN answered with the records of `who' or of `status'. */
void control_report(int conn, _Bool who);
/* Answer the clients that wait: for numbers of roles; for an upgrade, by
 * process PID or with an errno; for the reload that starts now, and for its
 * end.  DIAG is text for them, or -1, and stays the caller's. */
void control_metrics(void);
void control_upgraded(uint32_t status, uint32_t pid, int diag);
void control_reloading(void);
void control_reloaded(uint32_t status, int diag);

/* status.c: what the machine does not give (SANDBOX_*), in the log, each once;
 * the records of `culverctl status` in a memfd. */
void lacks_say(uint32_t lacks);
int status_write(uint32_t *count);

#endif /* MANAGER_MANAGER_H */
