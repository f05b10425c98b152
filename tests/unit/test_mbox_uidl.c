/*
 * test_mbox_uidl.c - mailboxes that another server had: whose they are, and
 * the UIDLs that it gave.
 */
#include "config.h"

#include "tests/unit/mbtest.h"

#include <stdio.h>
#include <string.h>

#include "plugins/storage_mbox/mbox.h"

#define MAX 4
#define OWN "own"		/* one of our own */

#define INTERNAL FROM("MAILER-DAEMON") \
	"Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n" \
	"X-IMAP: 1006789012 0000000004\nStatus: RO\n"
#define TEXT "\ntext\n\n"
/* as the servers write them */
#define MU_BASE "X-IMAPbase:           1795320748                   24\n"
#define DV_BASE "X-IMAPbase: 1795320748 0000000024\n"
#define MU_UIDL(n) "X-UIDL: 4465e7fd76a61caad56c254e750e41d5.1795320748." n "\n"
#define MU(n) "4465e7fd76a61caad56c254e750e41d5.1795320748." n

/* A file, options, and the UIDLs it is shown with. */
struct sample {
	const char *name, *file;
	const char *uidl;	/* NULL: the default */
	const char *uid[MAX];
};

static const struct sample samples[] = {
	{ "Mailutils",
	  FROM("a") "S: 1\n" MU_UIDL("1") MU_BASE "X-UID: 1\n" TEXT
	  FROM("b") "S: 2\nX-UIDL: old\nX-UID: 2\n" TEXT
	  FROM("c") "S: 3\n" TEXT, NULL, { MU("1"), "old", OWN } },
	{ "Mailutils took over from qpopper",
	  FROM("a") "S: 1\nX-UIDL: abc\n" MU_BASE "X-UID: 1\n" TEXT
	  FROM("b") "S: 2\nX-UIDL: def\nX-UID: 2\n" TEXT, NULL,
	  { "abc", "def" } },
	{ "Mailutils shows the internal data",
	  INTERNAL MU_UIDL("1") MU_BASE "X-UID: 1\n" TEXT
	  FROM("a") "S: 1\n" MU_UIDL("2") "X-UID: 2\n" TEXT, NULL,
	  { MU("1"), MU("2") } },
	{ "an old Mailutils",
	  FROM("a") "S: 1\n" MU_UIDL("1") TEXT
	  FROM("b") "S: 2\n" MU_UIDL("2") TEXT FROM("c") "S: 3\n" TEXT, NULL,
	  { MU("1"), MU("2"), OWN } },
	{ "one X-UIDL does not make it Mailutils",
	  FROM("a") "S: 1\n" MU_UIDL("1") TEXT
	  FROM("b") "S: 2\n" TEXT, NULL, { OWN, OWN } },
	{ "Dovecot, with a header of Mailutils in a message",
	  FROM("a") "S: 1\n" DV_BASE "X-UID: 1\n" TEXT
	  FROM("b") "S: 2\n" MU_UIDL("7") "X-UID: 10       \n" TEXT, NULL,
	  { "000000016b026bac", "0000000a6b026bac" } },
	{ "Dovecot took over from Mailutils",
	  FROM("a") "S: 1\n" MU_UIDL("1") DV_BASE "X-UID: 1\n" TEXT
	  FROM("b") "S: 2\n" MU_UIDL("2") "X-UID: 2\n" TEXT, NULL,
	  { "000000016b026bac", "000000026b026bac" } },
	{ "Dovecot and forged headers",
	  FROM("a") "S: 1\n" DV_BASE "X-UID: 1\n" TEXT
	  FROM("b") "S: 2\nX-UID: 999\n" TEXT
	  FROM("c") "S: 3\nX-IMAPbase:   1 2\nX-UID: 1\n" TEXT
	  FROM("d") "S: 4\nX-UID: 2\n" TEXT, NULL,
	  { "000000016b026bac", OWN, OWN, "000000026b026bac" } },
	{ "UW",
	  INTERNAL TEXT FROM("a") "S: 1\nX-UID: 1\n" TEXT
	  FROM("b") "S: 2\nX-UID: 2\n" TEXT, NULL,
	  { "3c02619400000001", "3c02619400000002" } },
	{ "Dovecot took over from UW, and mail came",
	  INTERNAL TEXT FROM("a") "S: 1\nX-UID: 1\n" TEXT
	  FROM("b") "S: 2\nX-UID: 2         \n" TEXT, NULL,
	  { "000000013c026194", "000000023c026194" } },
	{ "qpopper",
	  FROM("a") "S: 1\nX-UIDL: @#!\"abc\n" TEXT
	  FROM("b") "S: 2\nX-UIDL: @#!\"def\n" TEXT, NULL,
	  { "@#!\"abc", "@#!\"def" } },
	{ "popa3d shows the internal data",
	  INTERNAL "Message-ID: <1>\n" TEXT
	  FROM("b") "Message-ID: <2>\n" TEXT
	  FROM("b") "Message-ID: <2>\nS: hashed like it\n" TEXT, "popa3d",
	  { "1f868671234609f2", "21edb979b990669d", OWN } },
	{ "no UIDL twice, and none that is illegal",
	  FROM("a") "S: 1\nX-UIDL: same\n" TEXT
	  FROM("b") "S: 2\nX-UIDL: same\n" TEXT
	  FROM("c") "S: 3\nX-UIDL: two words\n" TEXT
	  FROM("d") "S: 4\nX-UIDL: 0123456789012345678901234567890123456789"
	  "0123456789012345678901234567890\n" TEXT, "mailutils",
	  { "same", OWN, OWN, OWN } },
};

static void
test_whose(void **state)
{
	size_t i, k, n;

	(void)state;
	for (i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		const struct sample *s = &samples[i];

		print_message("  %s\n", s->name);
		for (n = 0; n < MAX && s->uid[n] != NULL; n++)
			continue;
		remove(mbtest_path("I/culver-uidl"));
		remove(mbtest_path("I/culver-cache"));
		mbtest_restart("uidl", s->uidl != NULL ? s->uidl : "auto",
		    NULL);
		mbtest_put(s->file);
		mbtest_open((uint32_t)n);
		for (k = 0; k < n; k++) {
			const char *uid = mbtest_uid((uint32_t)k);

			if (strcmp(s->uid[k], OWN) != 0)
				assert_string_equal(uid, s->uid[k]);
			else {
				assert_int_equal(strlen(uid), 32);
				assert_int_equal(strspn(uid,
				    "0123456789abcdef"), 32);
			}
		}
	}
}

/* What the servers show of headers, and so do we then. */
static void
test_views(void **state)
{
	(void)state;
	mbtest_put(FROM("a") "Status : RO\nX-UID\t: 1\nS: 1\n" DV_BASE TEXT);
	mbtest_open(1);
	mbtest_fetch_is(0, "S: 1\r\n\r\ntext\r\n");
	drive_close(&mbtest);
	remove(mbtest_path("I/culver-uidl"));
	mbtest_put(FROM("a") ">From b\nS: 1\n" MU_UIDL("1") MU_BASE
	    "X-UID: 1\n\n>From c\n\n");
	mbtest_open(1);
	mbtest_fetch_is(0, ">From b\r\nS: 1\r\nX-UIDL: " MU("1") "\r\n"
	    "X-IMAPbase: 1795320748                   24\r\nX-UID: 1\r\n"
	    "\r\nFrom c\r\n");
	drive_close(&mbtest);
	remove(mbtest_path("I/culver-uidl"));
	mbtest_put(FROM("a") ">From b\nS: 1\n\n>From c\n\n");
	mbtest_open(1);
	mbtest_fetch_is(0, "From b\r\nS: 1\r\n\r\nFrom c\r\n");
}

/* The hashes are those that Dovecot 2.3.19 gave for these headers. */
static void
test_dovecot_hash(void **state)
{
	(void)state;
	mbtest_restart("uidl_format", "%m", NULL);
	mbtest_put(FROM("a") "From: a@x\nSubject: dup\nDate: today\n"
	    "Message-ID: <dup@x>\n" DV_BASE "X-UID: 1\n" TEXT
	    FROM("b") "Received: from x\n\tby y; today\n"
	    "Received: from z\n by w\nDelivered-To: u\nX-Delivery-ID: 5\n"
	    "Date: x\nMessage-ID: <rec@x>\n folded\nX-UID: 2\n" TEXT
	    FROM("c") "Date: x\nSubject: rec\n folded\nReceived: by x\n\ty\n"
	    "Date: z\nMessage-ID: <l@x>\nX-UID: 3\n" TEXT);
	mbtest_open(3);
	assert_string_equal(mbtest_uid(0), "5b6316f36c29f5a0de56ec924ac24d96");
	assert_string_equal(mbtest_uid(1), "57c68498f0a7127fd1511284f2736e42");
	assert_string_equal(mbtest_uid(2), "733f90035e8a873e332008e2ad49e724");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whose, mbtest_setup,
		    mbtest_teardown),
		cmocka_unit_test_setup_teardown(test_views, mbtest_setup,
		    mbtest_teardown),
		cmocka_unit_test_setup_teardown(test_dovecot_hash,
		    mbtest_setup, mbtest_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
