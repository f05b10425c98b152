/*
 * test_maildir_merge.c - a directory that changed is listed anew and put among
 * what is known of the other one.
 */
#include "config.h"

#include "tests/unit/mdtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/storage_maildir/maildir.h"

enum { NAMES = 60, ROUNDS = 300 };

static uint32_t seed;

static uint32_t
number(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

/* Name I; some are alike in their times, some in the beginning of them. */
static const char *
name_of(uint32_t i)
{
	return mdtest_name("%u.%c%u", i / 3 * (i % 5 == 0 ? 1000 : 1),
	    'a' + (char)(i % 3), i);
}

/* Each name with a CHANCE in 64, to DIR of L and of BOTH. */
static void
fill(struct md_list *l, struct md_list *both, unsigned dir, uint32_t chance,
    uint32_t ino)
{
	uint32_t i;

	for (i = 0; i < NAMES; i++)
		if (number(64) < chance) {
			assert_true(md_list_add(l, name_of(i), dir, ino + i));
			assert_true(md_list_add(both, name_of(i), dir,
			    ino + i));
		}
}

/* Give records of L that do not end in an even digit a UIDL of their own. */
static void
give_uids(struct md_list *l)
{
	char uid[PLUG_UID_MAX + 1];
	size_t i;

	for (i = 0; i < l->n; i++) {
		const char *base = md_base(l, &l->rec[i]);

		if (base[strlen(base) - 1] % 2 == 0)
			continue;
		snprintf(uid, sizeof(uid), "u-%s", base);
		assert_true(md_list_set_uid(l, &l->rec[i], uid));
	}
}

static void
expect_same(const struct md_list *l, const struct md_list *both)
{
	size_t i;

	assert_int_equal(l->n, both->n);
	for (i = 0; i < l->n; i++) {
		const struct md_rec *a = &l->rec[i], *b = &both->rec[i];

		assert_string_equal(md_base(l, a), md_base(both, b));
		assert_int_equal(a->dir, b->dir);
		assert_int_equal(a->ino, b->ino);
		assert_int_equal(a->flags & MD_DUP, b->flags & MD_DUP);
		assert_string_equal(md_uid(l, a), md_uid(both, b));
	}
}

static void
lists_are_merged_as_they_would_be_sorted(void **state)
{
	const bool holds[2][MD_DIRS] = { { true, false }, { false, true } };
	uint32_t few, many, i;

	(void)state;
	for (i = 0; i < ROUNDS; i++) {
		struct md_list l = { 0 }, from = { 0 }, both = { 0 };
		unsigned read = i % 2;

		seed = i;
		few = number(3) == 0 ? 0 : number(64);
		many = number(64);
		fill(&l, &both, read, few, 1000);
		fill(&from, &both, !read, many, 2000);
		assert_true(md_list_sort(&l));
		assert_true(md_list_sort(&from));
		give_uids(&from);
		give_uids(&l);
		assert_true(md_list_sort(&both));
		give_uids(&both);
		assert_true(md_list_merge(&l, &from, holds[!read]));
		expect_same(&l, &both);
		/* there is room for some more UIDLs, and then there is more */
		give_uids(&l);
		give_uids(&l);
		expect_same(&l, &both);
		md_list_free(&l);
		md_list_free(&from);
		md_list_free(&both);
	}
}

/* UIDLs of the open mailbox, in one text. */
static char *
uidls(void)
{
	const size_t size = (mdtest.n + 1) * (PLUG_UID_MAX + 2);
	char *text = calloc(1, size);
	size_t at = 0;
	uint32_t i;

	assert_non_null(text);
	for (i = 0; i < mdtest.n; i++)
		at += (size_t)snprintf(text + at, size - at, "%s\n",
		    mdtest.msg[i].uid);
	return text;
}

enum { NOWHERE, NEW, CUR };

static const char *
file_of(uint32_t i, int where)
{
	/* some have no legal UIDL */
	return mdtest_name("%s/%s%s%s", where == NEW ? "new" : "cur",
	    name_of(i), i % 7 == 0 ? " " : "", where == NEW ? "" : ":2,");
}

/* Another program puts message I into a directory, moves it, or removes it. */
static void
change(uint32_t i, int where[NAMES])
{
	int to = (int)number(3);

	if (where[i] == to)
		return;
	if (where[i] == NOWHERE)
		mdtest_put(file_of(i, to), mdtest_name("%s\n", name_of(i)));
	else if (to == NOWHERE)
		mdtest_remove(file_of(i, where[i]));
	else
		mdtest_rename(file_of(i, where[i]), file_of(i, to));
	where[i] = to;
}

static void
a_mailbox_that_changes_is_listed_as_if_anew(void **state)
{
	int where[NAMES] = { 0 };
	uint32_t round, i, n;
	char *got, *anew;
	const char *base;

	(void)state;
	seed = 1;
	for (round = 0; round < 60; round++) {
		mdtest_hook.ahead += 10;
		for (i = number(4); i > 0; i--)
			change(number(NAMES), where);
		for (i = n = 0; i < NAMES; i++)
			n += where[i] != 0;
		mdtest_open(n);
		got = uidls();
		for (i = 0; i < n; i += 5) {
			base = md_base(&mdtest.mb->list,
			    md_rec_of(mdtest.mb, i));
			mdtest_fetch_is(i, mdtest_name("%.*s\r\n",
			    (int)strcspn(base, " "), base));
		}
		drive_close(&mdtest);
		/* once without what it remembers; but that stays */
		rename(mdtest_path("M/" MD_CACHE), mdtest_path("kept"));
		mdtest_open(n);
		anew = uidls();
		assert_string_equal(got, anew);
		free(got);
		free(anew);
		drive_close(&mdtest);
		rename(mdtest_path("kept"), mdtest_path("M/" MD_CACHE));
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, mdtest_setup, mdtest_teardown)
	const struct CMUnitTest tests[] = {
		T(lists_are_merged_as_they_would_be_sorted),
		T(a_mailbox_that_changes_is_listed_as_if_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
