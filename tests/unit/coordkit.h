/*
 * coordkit.h - the auth coordinator over real channels, with a master, gates
 * and pools that the tests play, and a clock that they set.
 */
#ifndef TESTS_UNIT_COORDKIT_H
#define TESTS_UNIT_COORDKIT_H

#include "core/auth/coord-private.h"

#define S NS_PER_S
#define GENERATION 0xabcdefu

struct coord_kit {
	struct loop *loop;
	struct loop_io awake;		/* always readable: never block */
	struct conf_auth conf;
	struct coord *coord;
	int master, coord_end;
	_Bool gone;
	uint64_t now;
};
extern struct coord_kit t;
extern char logged[65536];	/* all lines since the test began */
extern struct ipc_in in;	/* the last message that was expected */

/* Let the coordinator handle everything that was sent. */
void pump(void);

/* The same at another time. */
void wait_until(uint64_t at);

/* Section I of the configuration, before the first gate or pool. */
void section(unsigned i, const char *name, uint64_t caps);

int coord_kit_setup(void **state);
int coord_kit_teardown(void **state);

/* A new gate or a pool of section N; our end of its channel, the caller's. */
int add_gate(uint32_t id);
int add_lmtp(uint32_t id);
int add_pool(uint32_t n);

/* What a gate sends: USER and PASS, another mechanism, a response, the end. */
void begin_from(int gate, uint64_t serial, const char *user, const char *pw,
    const char *remote);
void begin(int gate, uint64_t serial, const char *user, const char *pw);
void begin_mech(int gate, uint64_t serial, const char *mech, const void *data,
    uint32_t n);
void cont(int gate, uint64_t serial, const void *data, uint32_t n);
void cancel(int gate, uint64_t serial);

/* The next message on FD, which must be of TYPE; that there is none; that the
 * channel was closed. */
void expect(int fd, enum ipc_role to, enum ipc_type type);
void silent(int fd, enum ipc_role to);
void closed(int fd, enum ipc_role to);

/* AUTH_NO to SERIAL with STATUS; when it may be said. */
uint64_t expect_no(int gate, uint64_t serial, culver_status status);

/* What a pool answers when all is well; send an answer. */
struct ipc_pool_answer good_answer(uint64_t id);
void answer(int pool, const struct ipc_pool_answer *a);

/* The next login that the pool is asked about; its number. */
uint64_t asked(int pool);

/* Answer the next login with V for the password and L for the user. */
void verdict(int pool, culver_status v, culver_status l);

/* A grant went to master, and its number to SERIAL. */
void expect_yes(int gate, uint64_t serial);

#define T(f) cmocka_unit_test_setup_teardown(f, coord_kit_setup, \
    coord_kit_teardown)

#endif /* TESTS_UNIT_COORDKIT_H */
