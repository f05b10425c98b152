/*
 * mechs.h - what CAPA shows where a password may be sent, for tests.
 */
#ifndef TESTS_UNIT_MECHS_H
#define TESTS_UNIT_MECHS_H

#include "core/ipc/ipc.h"
#include "core/sasl/mechs.h"

#define PLAIN_SET (SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | \
	SASL_BIT(SASL_USER))
#define PLAIN_MECHS (PLAIN_SET << IPC_MECHS)

#endif /* TESTS_UNIT_MECHS_H */
