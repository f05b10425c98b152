/*
 * lmtp.h - what the files of the lmtp role share.
 *
 * One process, confined, as `culver`: it takes mail in from mail transfer
 * agents, keeps it in an unlinked file while it is on its way, and hands that
 * file to one worker a recipient.  All that comes in is hostile: clients
 * always, workers are users, and answers of the coordinator and of master
 * count only for a serial that was given out and waits for them.
 */
#ifndef LMTP_LMTP_H
#define LMTP_LMTP_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "core/base/clock.h"
#include "core/base/loop.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/lmtp/proto.h"

enum {
	CONNECTIONS_MAX = 512,
	CONN_IN = 32768,		/* octets read ahead */
	CONN_OUT_STOP = 16384,		/* unsent replies: take no more input */
	FULL_USERS = 256		/* remembered as over quota */
};

#define ASK_TIME (45 * NS_PER_S)	/* for coordinator and master */
#define STORE_TIME (540 * NS_PER_S)	/* for a worker; RFC 5321 4.5.3.2.6
					 * gives us 600 */
#define FIRST_TIME (5 * NS_PER_S)	/* for who came just before a drain */
#define FULL_TIME (60 * NS_PER_S)	/* then a delivery is tried again */

/* --- one message on its way (spool.c) ------------------------------------- */

struct spool {
	int write_fd, read_fd;		/* -1: none */
	uint64_t size;
	culver_status status;		/* not OK: it is lost, and why */
};

/* --- one connection -------------------------------------------------------- */

enum conn_state {
	CONN_LINE,		/* commands */
	CONN_ASKED,		/* the coordinator: who is the recipient? */
	CONN_TEXT,		/* DATA */
	CONN_CHUNK,		/* BDAT */
	CONN_SKIP,		/* BDAT that nobody wants */
	CONN_GRANT,		/* the coordinator: may recipient AT have it? */
	CONN_STORE,		/* its worker, by way of master */
	CONN_CLOSED		/* on server.dead, freed after this round */
};

struct conn {
	struct loop_io io;
	struct loop_io worker;		/* fd -1: none */
	struct loop_timer timer;
	struct conn *prev, *next;
	enum conn_state state;
	struct lmtp_session s;
	struct lmtp_body body;
	struct spool spool;
	uint64_t left;			/* octets of the chunk */
	unsigned at;			/* recipient that is served */
	unsigned candidate;		/* of lmtp_user() */
	uint64_t serial;		/* of the question in hand; 0: none */
	uint64_t grant;
	char user[256];			/* that was asked for */
	char id[32];			/* of the message, for the logs */
	struct lmtp_reply skipped;	/* to say after CONN_SKIP */
	char remote[64];
	_Bool own_only;			/* may deliver to OWN_UID alone */
	uid_t own_uid;
	_Bool long_line, eof, closing;
	_Bool begun;			/* a message, at some time */
	size_t in_n;
	uint8_t *out;			/* what the client did not take yet */
	size_t out_n, out_cap;
	uint8_t in[CONN_IN];
};

struct listener {
	struct loop_io io;
	uint32_t index;
	_Bool open;
};

struct server {
	struct loop *loop;
	struct conf_lmtp conf;
	struct loop_io manager, master, auth;
	struct listener listen[CONF_MAX_LISTEN];
	struct loop_timer resume;
	struct conn *all, *dead;
	unsigned n_conn;
	uint64_t accepted;		/* since the start */
	unsigned n_own;			/* of those with own_only */
	uint64_t serial;		/* the last one given out */
	uint64_t spooled;		/* octets in all spool files */
	uint32_t id;			/* instance */
	enum ipc_phase phase;
	_Bool stop;
	int status;
	struct ipc_in msg;
};
extern struct server server;

/* --- server.c: channels, listeners ---------------------------------------- */

_Bool server_init(void);
int server_run(void);
/* The coordinator was asked, or could not be. */
_Bool server_ask(enum ipc_type type, const void *msg);
/* FD -1: none goes along. */
_Bool server_tell_master(enum ipc_type type, const void *msg, int fd);
void server_conn_gone(void);

/* --- conn.c ---------------------------------------------------------------- */

void conn_open(int fd, uint32_t listen);
/* Is there room for one more? */
_Bool conn_place(void);
void conn_close(struct conn *c);
/* With 421, and at once unless a delivery runs. */
void conn_shutdown(struct conn *c);
void conn_say(struct conn *c, const struct lmtp_reply *r);
/* Go into STATE, for at most TIME; less for one who may stay only for a first
 * message. */
void conn_enter(struct conn *c, enum conn_state state, uint64_t time);
/* After a change: use waiting input, send, watch for what comes next. */
void conn_go_on(struct conn *c);

/* --- deliver.c: recipients, one after another ------------------------------- */

/* Look c->s.asked up. */
void recipient_ask(struct conn *c);
/* The message is complete: deliver it to each, and answer for each. */
void deliver_all(struct conn *c);
/* Nobody waits for an answer any more. */
void deliver_forget(struct conn *c);
/* What C waited for did not come in time. */
void deliver_late(struct conn *c);
void deliver_found(const struct ipc_auth_found *m);
void deliver_refused(uint64_t serial, culver_status st);

/* --- spool.c ----------------------------------------------------------------- */

/* Remove what a killed process left in the folder. */
void spool_clean(void);
/* Make a file for a message, whose failure is kept in S. */
void spool_open(struct spool *s);
/* Add to it; what is too much, or cannot be written, is lost with all. */
void spool_add(struct spool *s, const uint8_t *p, size_t n);
void spool_close(struct spool *s);

/* --- peer.c ------------------------------------------------------------------ */

/* Who is at FD's other end?  False: nobody who may connect there. */
_Bool peer_look(struct conn *c, int fd, uint32_t listen);

/* --- full.c: users whose quota was full lately ------------------------------- */

/* A message of OCTETS did not fit. */
void full_add(const char *user, uint64_t octets);
/* Is there no use in sending one of OCTETS (0: unknown)? */
_Bool full_has(const char *user, uint64_t octets);
void full_forget(const char *user);

#endif /* LMTP_LMTP_H */
