/*
 * gate.h - what the files of a gate share.
 *
 * A gate is one process, confined, as `culver`: it holds every connection
 * that has not logged in, and carries the TLS of those that have.  All that
 * comes in is hostile: clients always, and answers of the coordinator and of
 * master are matched to a serial that this gate gave out.
 */
#ifndef GATE_GATE_H
#define GATE_GATE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <culver/abi.h>

#include "core/base/counts.h"
#include "core/base/loop.h"
#include "core/config/conf.h"
#include "core/ipc/ipc.h"
#include "core/pop3/line.h"
#include "core/sasl/mechs.h"

struct tls;
struct ssl_st;
struct relay;

enum {
	GATE_IN = 16384,	/* octets looked at in one run of input */
	GATE_OUT = 24576,	/* of replies to one run */
	GATE_OUT_STOP = 4096,	/* so many of them: flush before going on */
	GATE_BULK = 65536,	/* read from a worker at once */
	GATE_BUCKETS = 4096
};

/* A client's address, small: 20,000 of these are kept. */
struct peer {
	uint8_t addr[16];	/* IPv4: the first 4 */
	uint8_t family;		/* AF_INET, AF_INET6, AF_UNIX */
};

enum { PEER_TEXT = 64 };

struct buf {			/* octets on the heap, while there are some */
	uint8_t *p;
	uint32_t n, cap;
};

enum conn_state {
	CONN_PROXY,		/* a header is to come first */
	CONN_HANDSHAKE,		/* TLS, implicit or after STLS */
	CONN_AUTHORIZATION,	/* commands */
	CONN_SASL,		/* the next line answers a challenge */
	CONN_AUTH,		/* the coordinator was asked */
	CONN_DELAY,		/* it said no, and not to say so yet */
	CONN_HANDOVER,		/* master was asked for a worker */
	CONN_RELAY,		/* TLS for a worker */
	CONN_LINGER,		/* all is said; the client may close first */
	CONN_CLOSED		/* on gate.dead, freed after this round */
};

struct conn {
	struct loop_io io;
	struct loop_timer timer;
	struct gate *gate;
	struct conn *prev, *next;	/* gate.all, or gate.dead */
	struct conn *hash_next;		/* gate.by_serial */
	struct limit_ip *ip;
	struct ssl_st *ssl;		/* NULL: plain */
	struct relay *relay;		/* from the hand-over on, with TLS */
	char *user;			/* of USER, until the next command */
	struct buf in;			/* a line that has not ended */
	struct buf out;			/* what the client does not take yet */
	struct buf held;		/* a question that found no room */
	TAILQ_ENTRY(conn) held_link;	/* gate.held, if is_held */
	struct pop3_splitter split;
	uint64_t deadline;		/* of the state it is in */
	uint64_t login_by;		/* of all states before the login */
	uint64_t serial;		/* of this login attempt; 0: none */
	uint64_t not_before;		/* CONN_DELAY */
	uint64_t stamp[2];		/* of the greeting, for APOP; 0: none */
	uint64_t grant;			/* waits until `out` is empty */
	uint64_t grant_by;		/* then it is too late for it */
	const char *reason;		/* why it will close */
	culver_status status;		/* CONN_DELAY */
	struct peer peer;		/* the client, also behind a proxy */
	struct peer local;		/* what a proxy said that it wanted;
					 * family 0: ask the kernel */
	uint8_t state;			/* enum conn_state */
	uint8_t listen;			/* in conf.listen[] */
	uint16_t bad;			/* commands */
	uint32_t lingered;		/* octets dropped in CONN_LINGER */
	_Bool far;			/* this end of the connection is on
					 * another machine, client or proxy */
	_Bool proxy_tls;		/* it has TLS with its proxy, and that
					 * counts */
	_Bool unproven;			/* it may begin with a forged header */
	_Bool is_held;			/* the coordinator's channel was full */
	_Bool held_begins, held_ir;	/* AUTH_BEGIN; with a response */
	uint8_t held_mech;
	_Bool closing;			/* when `out` is empty */
	_Bool tls_wants_write;		/* whatever was asked of it */
	_Bool eof;			/* the client will send no more */
	_Bool gone;			/* nor read: the socket is dead */
};

struct listener {
	struct loop_io io;
	struct gate *gate;
	uint32_t index;		/* in conf.listen[] */
	_Bool open;
};

enum limit_event {		/* each may fill so much of the log */
	LIMIT_CLOSED, LIMIT_TLS, LIMIT_REFUSED, LIMIT_OTHER, LIMIT_N_EVENTS
};

struct limit_log {
	uint64_t at;		/* when `left` was right */
	uint32_t left, hidden;
};

struct gate {
	struct loop *loop;
	struct conf_gate conf;
	struct conf_gate_host *host;	/* conf.n_host of them; SNI */
	uint32_t id;
	struct loop_io manager, master, auth;
	_Bool auth_open;
	enum ipc_phase phase;
	_Bool stop, spent;
	_Bool hurry;			/* everything stops */
	int status;			/* exit status */
	struct tls *tls;
	struct conn *all, *dead;
	TAILQ_HEAD(held, conn) held;	/* in the order in which they came */
	uint32_t n_conn;
	uint64_t accepted;		/* since the start */
	uint64_t serial;		/* the last one given out */
	uint32_t logins;
	struct loop_timer hour, resume;
	struct listener listen[CONF_MAX_LISTEN];
	struct conn *by_serial[GATE_BUCKETS];
	struct limit_ip *by_ip[GATE_BUCKETS];
	uint64_t ip_seed[2];
	struct counts counts;		/* of by_ip, and which gates have room,
					 * with those of all gates */
	struct limit_log limit_log[LIMIT_N_EVENTS];
	size_t out_n;
	uint8_t out[GATE_OUT];		/* replies of the run in hand */
	uint8_t in[GATE_IN];
	uint8_t scratch[GATE_IN];
	uint8_t bulk[GATE_BULK];	/* on its way from worker to client */
	struct ipc_in msg;
};

/* --- gate.c: the gate itself, its channels to manager and master ---------- */

/* Set up G (zero but for conf, host and id) over these channels.  False: no
 * memory or no epoll.  The caller confines the process after it. */
_Bool gate_init(struct gate *g, int manager_fd, int master_fd, int auth_fd);
void gate_free(struct gate *g);

/* Serve until manager's or master's channel closes, or a drain ends; the exit
 * status. */
int gate_run(struct gate *g);
/* One round of it, for tests. */
void gate_once(struct gate *g);

/* Accept no more; end with the last connection. */
void gate_drain(struct gate *g);

/* A worker has taken over: count it, ask for a successor when it is time. */
void gate_count_login(struct gate *g);

/* --- listen.c ------------------------------------------------------------ */

/* Take FD, a listening socket of conf.listen[INDEX]. */
_Bool listen_add(struct gate *g, uint32_t index, int fd);
/* A connection has ended: if it is waited for, accept again. */
void listen_again(struct gate *g);
/* Close all of them; the first takes what their queues hold before. */
void listen_finish(struct gate *g);
void listen_close(struct gate *g);

/* --- limits.c ------------------------------------------------------------ */

void peer_set(struct peer *peer, const struct sockaddr *sa, socklen_t len);
/* "192.0.2.1", "2001:db8::1" or "unix". */
void peer_text(const struct peer *peer, char text[PEER_TEXT]);
_Bool peer_is_local(const struct peer *peer);

/* Count a connection of PEER (IPv6: of its /64) in *out; false: too many, of
 * all gates together, or of this one where there is no room to share them.
 * A Unix socket is not counted.  limit_leave() takes NULL. */
_Bool limit_enter(struct gate *g, const struct peer *peer,
    struct limit_ip **out);
void limit_leave(struct gate *g, struct limit_ip **ip);

/* May a line about EVENT be written now?  *hidden: how many were not. */
_Bool limit_log(struct gate *g, enum limit_event event, uint32_t *hidden);

/* "EVENT remote=... KEY=VALUE", if the log can take it. */
void limit_say(struct gate *g, enum limit_event event, const char *name,
    const struct peer *peer, const char *key, const char *value);

/* --- arrive.c: who comes, and whether he may ----------------------------- */

/* What keeps a connection out: a word for the log, and what to say of it. */
struct arrive_no {
	const char *event, *key, *why;
	const char *reply;		/* NULL: nothing */
};

/* Is a connection from PEER to LISTEN one that has a header first? */
_Bool arrive_proxied(const struct gate *g, uint32_t listen,
    const struct peer *peer);

/* May PEER connect to LISTEN?  NULL, and it is counted in *IP; or why not. */
const struct arrive_no *arrive_refuse(struct gate *g, uint32_t listen,
    const struct peer *peer, struct limit_ip **ip);

/* Does the gate hold as many as it may? */
_Bool arrive_full(const struct gate *g);

/* Take FD, just accepted from PEER, or turn it away. */
void arrive(struct gate *g, int fd, uint32_t listen, const struct peer *peer);

/* C is there and may be: greet, or wait for TLS. */
void arrive_begin(struct conn *c);

/* CONN_PROXY: go on with the header.  True: it is over, C has begun. */
_Bool arrive_header(struct conn *c);

/* C's connection must not begin with a header: false if it was closed for
 * that, or nothing has come yet. */
_Bool arrive_prove(struct conn *c);

/* --- conn.c: a connection, its input and output -------------------------- */

/* Take the accepted socket FD of LISTEN and the count IP (NULL: none yet, or
 * it is not counted). */
void conn_open(struct gate *g, int fd, uint32_t listen,
    const struct peer *peer, struct limit_ip *ip);

/* End it now, whatever is pending; safe to call at any depth. */
void conn_close(struct conn *c, const char *reason);

/* End it when the client has got what was said. */
void conn_finish(struct conn *c, const char *reason);

/* Say TEXT or N octets, with the run in hand; conn_settle() sends them. */
void conn_say(struct conn *c, const char *text);
void conn_say_n(struct conn *c, const void *p, size_t n);

/* Go into STATE, until DEADLINE (0: keep it). */
void conn_enter(struct conn *c, enum conn_state state, uint64_t deadline);

/* After a change: send, look at waiting input, watch for what comes next. */
void conn_settle(struct conn *c);

/* Close every connection that no worker serves or is about to serve. */
void conn_close_waiting(struct gate *g);

/* Does it take lines now? */
_Bool conn_listens(const struct conn *c);

/* --- stream.c: octets from and to a client, plain or TLS ----------------- */

/* Send what was said; what the client does not take is kept in c->out. */
void stream_flush(struct conn *c);

/* One run of input: handle the whole lines that are there.  True: there is
 * more that no event will tell of. */
_Bool stream_run(struct conn *c);

/* Go on with the handshake; true when it is done. */
_Bool stream_handshake(struct conn *c);

/* Send N octets through TLS: how many went, -1 if the client is gone. */
ssize_t stream_write_tls(struct conn *c, const uint8_t *p, size_t n);

enum { STREAM_AGAIN = -1, STREAM_LOST = -2 };	/* 0: the end */
/* Read up to N octets from TLS. */
ssize_t stream_read_tls(struct conn *c, uint8_t *p, size_t n);

_Bool buf_set(struct buf *b, const void *p, size_t n);	/* p may be in b */
_Bool buf_add(struct buf *b, const void *p, size_t n);
void buf_free(struct buf *b);				/* wipes */

/* --- authz.c: the AUTHORIZATION state ------------------------------------ */

/* Handle one line of the client, without its end. */
void authz_line(struct conn *c, const uint8_t *line, size_t n);

/* Say who we are. */
void authz_greet(struct conn *c);

/* Count a bad command that REPLY answers. */
void authz_bad(struct conn *c, const char *reply);

/* IPC_TLS and its kin, as they are now. */
uint32_t authz_flags(const struct conn *c);

/* --- login.c: the exchange with coordinator and master ------------------- */

/* Ask the coordinator about DATA by MECH.  The state changes at once. */
void login_begin(struct conn *c, enum sasl_id mech, _Bool has_ir,
    const uint8_t *data, size_t n);
/* The answer to a challenge. */
void login_continue(struct conn *c, const uint8_t *data, size_t n);
/* The client gave up or went away. */
void login_cancel(struct conn *c);
/* CONN_DELAY is over. */
void login_deny(struct conn *c);
/* `out` is empty now: what waited for that. */
void login_resume(struct conn *c);

/* The coordinator's channel is ready, or gone. */
void login_auth_ready(struct loop_io *io, unsigned events);
void login_auth_gone(struct gate *g);

void login_started(struct gate *g, uint64_t serial);
void login_refused(struct gate *g, uint64_t serial, culver_status status);

/* --- relay.c ------------------------------------------------------------- */

/* Make the socket pair; the worker's end in *worker_end, the caller's.  False:
 * no descriptor or memory. */
_Bool relay_prepare(struct conn *c, int *worker_end);
/* The worker runs: carry octets from now on. */
void relay_start(struct conn *c);
/* The client's socket is ready for EVENTS. */
void relay_ready(struct conn *c, unsigned events);
/* Its time is over, or another one counts now. */
void relay_due(struct conn *c);
void relay_free(struct conn *c);

#endif /* GATE_GATE_H */
