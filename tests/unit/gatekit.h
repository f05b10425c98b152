/*
 * gatekit.h - a gate in this process, with this test as its coordinator, its
 * master and its clients.
 */
#ifndef TESTS_UNIT_GATEKIT_H
#define TESTS_UNIT_GATEKIT_H

#include "core/gate/gate.h"
#include "tests/unit/mechs.h"

struct kit {
	struct gate *gate;
	int manager, master, auth;	/* our ends */
	struct ipc_in in;	/* the last message taken */
};

/* Listeners of the gate: what each is for. */
enum { KIT_LOCAL, KIT_TLS, KIT_NEVER, KIT_ALWAYS, KIT_OFF, KIT_N };

void kit_start(struct kit *k);
void kit_stop(struct kit *k);

/* Let the gate do all that it can do now, without waiting. */
void kit_turn(struct kit *k);

/* A client on LISTEN; ADDRESS is a dotted IPv4 address, or NULL for one on a
 * Unix socket.  Our end of its connection, non-blocking. */
int kit_connect(struct kit *k, unsigned listen, const char *address);

/* Send TEXT and let the gate work. */
void kit_send(struct kit *k, int fd, const char *text);

/* What the gate said to FD since; the caller must not keep it.  "EOF" at the
 * end stands for a closed connection. */
const char *kit_hear(struct kit *k, int fd);

/* Assert that exactly TEXT was said. */
#define kit_expect(k, fd, text) assert_string_equal(kit_hear(k, fd), text)

/* Take the next message to the coordinator, or to master, and assert its
 * type; kit_quiet(): assert that there is none. */
void kit_auth_got(struct kit *k, enum ipc_type type);
void kit_master_got(struct kit *k, enum ipc_type type);
void kit_quiet(struct kit *k);

/* Answer, and let the gate work. */
void kit_auth_say(struct kit *k, enum ipc_type type, const void *msg);
void kit_master_say(struct kit *k, enum ipc_type type, const void *msg,
    const int *fds, unsigned n);

/* Log in as u/p through the coordinator and master; the worker's descriptor
 * of the client. */
int kit_login(struct kit *k, int fd);

/* A gate for tests that need one at a time, and its cmocka fixtures. */
extern struct kit gatekit;
int gatekit_setup(void **state);
int gatekit_teardown(void **state);

/* A greeted client of it that may log in in plain. */
int gatekit_greeted(void);

/* What a login gets when master or the coordinator has trouble. */
#define NOT_NOW "-ERR [SYS/TEMP] Mailbox not available now, try again " \
	"later\r\n"

#endif /* TESTS_UNIT_GATEKIT_H */
