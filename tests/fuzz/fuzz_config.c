/*
 * fuzz_config.c - hostile text for the parser and checks of culver.conf.
 *
 * A libFuzzer target, and with run.c a program that tries a fixed set of
 * inputs.  Besides not crashing: every complaint is one line with file and
 * line, and what is in force after a good configuration, printed and read
 * again, is the same.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/config/convert.h"
#include "core/config/load.h"
#include "core/config/mem.h"
#include "core/config/print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define W(s) { s, sizeof(s) - 1 }
struct fuzz_word { const char *p; size_t n; };
extern const struct fuzz_word fuzz_words[];
const struct fuzz_word fuzz_words[] = {
	W("\n"), W(" "), W("\""), W("\\"), W("{"), W("}"), W(" = "), W(", "),
	W("#"), W("\0"), W("\xff"), W("include \"x\"\n"), W("include y\n"),
	W("auth sample { path = /u allow = {net} }\n"),
	W("storage sample { path = ~/M }\n"), W("storage sample {\n"),
	W("path = /m/%{user}\n"), W("kind = name\n"), W("title = \"a b\"\n"),
	W("listen pop3 { address = \"127.0.0.1:110\" }\n"),
	W("listen x { address = {\"[::1]:1\", unix:/s} tls = off }\n"),
	W("tls { certificate = /c key = /k\n"),
	W("host a.example { certificate = /c key = /k } }\n"),
	W("limits { "), W("idle_time = 90m "), W("uid_ranges = {\"700-800\"} "),
	W("limits { bad_commands = 3 uid_ranges = {\"700-800\", 900} }\n"),
	W("storage b { plugin = sample\n"), W("storage c { plugin = sample "
	    "path = \"/\\\"\\\\#\" names = {a, \"b,\"} }\n"),
	W("tls { certificate = {/a, /b} key = {/c, /d} }\n"),
	W("hostname = a.b\n"), W("log = stderr\n"), W("gates = 3\n"),
	W("99999999999999999999"), W("-1"), W("10ms"), W("%{name}"),
	{ NULL, 0 }
};

#define CHECK(x) do { if (!(x)) abort(); } while (0)

struct text {
	const char *p;
	size_t n;
};

static int
open_text(void *ctx, const char *name, const char **path, const char **text,
    size_t *n)
{
	const struct text *t = ctx;

	*path = name[0] != 0 ? "other" : "main";
	*text = t->p;
	*n = t->n;
	return 0;
}

static void
load(struct cf_config *c, const struct text *t)
{
	const struct cf_env env = {
	    .source = {.open = open_text, .ctx = (void *)(uintptr_t)t},
	    .plugindir = TEST_PLUGINS, .cpus = 2,
	    .hostname = "test.example.org", .passwd = TEST_DATA "/passwd",
	    .group = TEST_DATA "/group"};

	diag_start();
	cf_load(c, &env);
}

static void
check_diagnosis(void)
{
	char *text = NULL, *line, *rest;
	size_t n, lines = 0;
	FILE *f = open_memstream(&text, &n);

	CHECK(f != NULL);
	diag_print(f);
	fclose(f);
	CHECK(strlen(text) == n);
	for (line = strtok_r(text, "\n", &rest); line != NULL;
	     line = strtok_r(NULL, "\n", &rest), lines++) {
		const char *p = strchr(line, ':');

		CHECK(line[0] == '(' || (p != NULL && p[1] >= '1' &&
		    p[1] <= '9'));
		for (p = line; *p != 0; p++)
			CHECK((unsigned char)*p >= 0x20 && *p != 0x7f);
	}
	CHECK(lines >= diag_errors() || lines > 1000);
	free(text);
}

static void
same_section(const struct cf_section *a, const struct cf_section *b)
{
	for (; a != NULL && b != NULL; a = a->next, b = b->next) {
		CHECK(strcmp(a->name, b->name) == 0);
		for (int o = 0; o < O_COUNT; o++)
			if (cf_options[o].sect == a->sect)
				CHECK(strcmp(convert_show(&cf_options[o].o,
				    &a->v[o]), convert_show(&cf_options[o].o,
				    &b->v[o])) == 0);
		if (a->plugin == NULL)
			continue;
		for (uint32_t i = 0; i < a->plugin->desc.n_options; i++) {
			struct culver_option o = plugin_option(a->plugin, i);

			CHECK(strcmp(convert_show(&o, &a->values[i]),
			    convert_show(&o, &b->values[i])) == 0);
		}
	}
	CHECK(a == NULL && b == NULL);
}

static void
check_printed(const struct cf_config *c)
{
	static struct cf_config again;
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);
	struct text t;

	CHECK(f != NULL);
	print_config(f, c, 0);
	fclose(f);
	t = (struct text){text, n};
	load(&again, &t);
	CHECK(diag_errors() == 0);
	same_section(&c->top, &again.top);
	same_section(&c->tls, &again.tls);
	same_section(&c->limits, &again.limits);
	same_section(c->listen, again.listen);
	same_section(c->host, again.host);
	same_section(c->auth, again.auth);
	same_section(c->storage, again.storage);
	free(text);
}

static const char base[] = "auth sample { path = /u allow = {net} }\n"
    "storage sample { path = ~/M }\n";

/* Add those lines of T to a right configuration that leave it right. */
static void
check_lines(const struct text *t)
{
	static struct cf_config c;
	char *good = malloc(sizeof(base) + t->n);
	struct text g = {good, sizeof(base) - 1};
	const char *p = t->p, *end = t->p + t->n;
	unsigned tries = 12;

	CHECK(good != NULL);
	memcpy(good, base, sizeof(base) - 1);
	while (p < end && tries-- > 0) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl != NULL ? nl + 1 : end) - p);

		memcpy(good + g.n, p, n);
		g.n += n;
		load(&c, &g);
		if (diag_errors() > 0)
			g.n -= n;
		p += n;
		mem_end();
	}
	load(&c, &g);
	CHECK(diag_errors() == 0);
	check_printed(&c);
	mem_end();
	free(good);
}

static void
quiet(int level, const char *text)
{
	(void)level, (void)text;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct cf_config c;
	const struct text t = {(const char *)data, n};

	log_set_sink(quiet);
	load(&c, &t);
	check_diagnosis();
	if (diag_errors() == 0)
		check_printed(&c);
	mem_end();
	if (n % 8 == 0)
		check_lines(&t);
	return 0;
}
