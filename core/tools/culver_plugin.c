/*
 * culver_plugin.c - culver-plugin(1), the kit of plugin authors.
 *
 * Runs as whoever calls it, and loads what it is told to: it does not ask who
 * owns a module.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/config/doc.h"
#include "core/config/mem.h"
#include "core/plugin/loader.h"
#include "core/tools/kit/check.h"
#include "core/tools/kit/commands.h"
#include "core/tools/kit/subject.h"

static const char usage_text[] =
    "usage: culver-plugin doc [--mdoc] [--plugin-dir DIR] "
    "NAME | --module FILE\n"
    "       culver-plugin versions [--plugin-dir DIR]\n"
    "       culver-plugin check [--option KEY=VALUE]... [--only GROUPS]\n"
    "           [--fixture PROGRAM] [--dir DIR] [--seed N] [--soak N] "
    "[--keep]\n"
    "           [--messages N] [--baseline FILE]\n"
    "           [--user NAME --password-file FILE]\n"
    "           NAME | --module FILE\n"
    "       culver-plugin bench [--option KEY=VALUE]... [--dir DIR] "
    "[--messages N]\n"
    "           [--json] NAME | --module FILE\n"
    "       culver-plugin serve [--option KEY=VALUE]... [--home DIR] "
    "[--port N]\n"
    "           NAME | --module FILE\n"
    "       culver-plugin new [--kind storage | auth] [--template DIR] NAME\n"
    "       culver-plugin --help | --version\n";

struct options {
	const char *dir, *module;
	const char *template, *kind, *home;
	_Bool mdoc, json;
	unsigned port;
	struct kit kit;		/* check: what the command line says */
};

static int __attribute__((format(printf, 2, 3)))
fail(int status, const char *fmt, ...)
{
	va_list ap;

	fputs("culver-plugin: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}

/* What of this installation lies at REL, seen from this program. */
static const char *
beside(const char *rel)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash;

	exe[n > 0 ? n : 0] = 0;
	slash = strrchr(exe, '/');
	if (slash == NULL)
		return "";
	*slash = 0;
	return mem_printf("%s/%s", exe, rel);
}

static _Bool
load(const char *path, struct plugin *p)
{
	const struct plugin_rules rules = {.allow = UINT32_MAX};
	char err[PLUGIN_ERR];

	if (plugin_load(path, 0, &rules, p, err))
		return 1;
	fail(0, "%s", err);
	return 0;
}

/* NAME is storage_maildir, or maildir if only one kind has one. */
static _Bool
find(const char *dir, const char *name, char path[PLUGIN_PATH])
{
	char err[PLUGIN_ERR], other[PLUGIN_PATH];
	_Bool is_storage = strncmp(name, "storage_", 8) == 0;
	_Bool is_auth = strncmp(name, "auth_", 5) == 0;
	_Bool storage, auth;

	if (is_storage || is_auth) {
		if (plugin_find(dir, name + (is_storage ? 8 : 5), is_storage ?
		    CULVER_KIND_STORAGE : CULVER_KIND_AUTH, path, err))
			return 1;
		fail(0, "%s", err);
		return 0;
	}
	auth = plugin_find(dir, name, CULVER_KIND_AUTH, other, err);
	storage = plugin_find(dir, name, CULVER_KIND_STORAGE, path, err);
	if (auth && !storage)
		memcpy(path, other, sizeof(other));
	if (auth && storage)
		fail(0, "there are storage_%s and auth_%s: say which", name,
		    name);
	else if (!auth && !storage)
		fail(0, "there is no plugin \"%s\" in %s", name, dir);
	return auth != storage;
}

static void
print_doc(const struct plugin *p, _Bool mdoc)
{
	const struct culver_plugin *d = &p->desc;

	if (mdoc)
		puts(".Bl -tag -width Ds");
	else
		printf("%s %s %s: %s\nABI %u.%u, needs %s\n%s\n",
		    plugin_kind_name(d->kind), d->name,
		    d->version != NULL ? d->version : "",
		    d->summary != NULL ? d->summary : "",
		    (unsigned)d->abi_major, (unsigned)d->abi_minor,
		    d->needs != 0 ? plugin_needs_text(d->needs) : "nothing",
		    d->n_options > 0 ? "options:" : "no options");
	for (uint32_t i = 0; i < d->n_options; i++) {
		struct culver_option o = plugin_option(p, i);

		if (mdoc)
			doc_mdoc(stdout, &o, NULL);
		else
			doc_text(stdout, &o, NULL);
	}
	if (mdoc)
		puts(".El");
}

/* The module that the command line names, for plugin_load(); or an exit
 * status. */
static int
chosen(const struct options *opt, int argc, char **argv,
    char path[PLUGIN_PATH])
{
	if ((opt->module != NULL) == (argc == 1) || argc > 1)
		return fail(EX_USAGE, "wanted the name of one plugin, or "
		    "--module FILE\n%s", usage_text);
	if (opt->module != NULL) {
		char *real = realpath(opt->module, NULL);

		if (real == NULL || strlen(real) >= PLUGIN_PATH) {
			free(real);
			return fail(EX_NOINPUT, "%s: cannot be found",
			    opt->module);
		}
		memcpy(path, real, strlen(real) + 1);
		free(real);
	} else if (!find(opt->dir, argv[0], path)) {
		return EX_NOINPUT;
	}
	return 0;
}

static int
cmd_doc(const struct options *opt, int argc, char **argv)
{
	char path[PLUGIN_PATH];
	int status = chosen(opt, argc, argv, path);
	struct plugin p;

	if (status != 0)
		return status;
	if (!load(path, &p))
		return EX_DATAERR;
	print_doc(&p, opt->mdoc);
	return 0;
}

/* For `check', which looks at a module's constructors in a fresh process. */
static int
cmd_load(const struct options *opt, int argc, char **argv)
{
	char path[PLUGIN_PATH];
	int status = chosen(opt, argc, argv, path);
	struct plugin p;

	return status != 0 ? status : load(path, &p) ? 0 : EX_DATAERR;
}

/* The kit that is to run the chosen module, on MESSAGES messages if the command
 * line says nothing; NULL and an exit status if there is none. */
static struct kit *
kit_of(const struct options *opt, int argc, char **argv, uint32_t messages,
    int *status)
{
	static char path[PLUGIN_PATH];
	static struct kit k;

	*status = chosen(opt, argc, argv, path);
	if (*status != 0)
		return NULL;
	k = opt->kit;
	k.module = path;
	if (k.messages == 0)
		k.messages = messages;
	return &k;
}

static int
cmd_check(const struct options *opt, int argc, char **argv)
{
	int status;
	struct kit *k = kit_of(opt, argc, argv, 100000, &status);

	if (k == NULL)
		return status;
	if (k->seed == 0)
		k->seed = (clock_now() >> 10) % 1000000000 + 1;
	return kit_check_main(k);
}

static int
cmd_bench(const struct options *opt, int argc, char **argv)
{
	int status;
	struct kit *k = kit_of(opt, argc, argv, 10000, &status);

	return k == NULL ? status : kit_bench_main(k, opt->json);
}

static int
cmd_serve(const struct options *opt, int argc, char **argv)
{
	int status;
	struct kit *k = kit_of(opt, argc, argv, 0, &status);

	return k == NULL ? status : kit_serve_main(k, opt->port, opt->home);
}

static int
cmd_new(const struct options *opt, int argc, char **argv)
{
	if (argc != 1)
		return fail(EX_USAGE, "new takes a name\n%s", usage_text);
	return kit_new_main(opt->template, opt->kind, argv[0]);
}

static void
version_seen(void *ctx, const char *path)
{
	struct plugin p;
	char *real;

	(void)ctx;
	if (!load(path, &p))
		return;
	/* what is preloaded has a name only */
	real = strchr(path, '/') != NULL ? realpath(path, NULL) : NULL;
	printf("%s_%s %s ABI %u.%u needs %u.%u %s\n",
	    plugin_kind_name(p.desc.kind), p.desc.name,
	    p.desc.version != NULL ? p.desc.version : "-",
	    (unsigned)p.desc.abi_major, (unsigned)p.desc.abi_minor,
	    (unsigned)p.desc.abi_major, (unsigned)p.desc.need_minor,
	    real != NULL ? real : path);
	free(real);
}

static int
cmd_versions(const struct options *opt, int argc, char **argv)
{
	(void)argv;
	if (argc != 0 || opt->module != NULL)
		return fail(EX_USAGE, "versions takes no argument\n%s",
		    usage_text);
	printf("culver " PACKAGE_VERSION " ABI %d.%d\n", CULVER_ABI_MAJOR,
	    CULVER_ABI_MINOR);
	if (!plugin_each(opt->dir, 0, version_seen, NULL))
		return fail(EX_NOINPUT, "%s: cannot be read", opt->dir);
	return 0;
}

static const struct command {
	const char *name;
	int (*run)(const struct options *opt, int argc, char **argv);
} commands[] = {
	{"doc", cmd_doc}, {"versions", cmd_versions},
	{"check", cmd_check}, {"load", cmd_load},
	{"new", cmd_new}, {"bench", cmd_bench}, {"serve", cmd_serve},
};

static int
run(const char *name, const struct options *opt, int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->name, name) != 0)
			continue;
		return c->run(opt, argc, argv);
	}
	return fail(EX_USAGE, "there is no command \"%s\"\n%s", name,
	    usage_text);
}

/* A number of the command line; false with a line if it is none. */
static _Bool
number(const char *name, const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	if (errno == 0 && end != text && *end == 0 && text[0] != '-' &&
	    *out <= max)
		return 1;
	fail(0, "--%s: \"%s\" is no number up to %llu", name, text,
	    (unsigned long long)max);
	return 0;
}

static _Bool
kit_option(struct kit *k, int c, const char *arg)
{
	uint64_t n = 0;

	switch (c) {
	case 'o':
		if (k->n_options == KIT_OPTIONS - 1)
			return 0;
		k->option[k->n_options++] = arg;
		break;
	case 'O': k->only = arg; break;
	case 'x': k->fixture = arg; break;
	case 'b': k->baseline = arg; break;
	case 'u': k->user = arg; break;
	case 'P': return subject_password(k, arg);
	case 'D': k->dir = arg; break;
	case 'k': k->keep = 1; break;
	case 's': return number("seed", arg, UINT64_MAX, &k->seed);
	case 'S':
		if (!number("soak", arg, 1000000, &n))
			return 0;
		k->soak = (uint32_t)n;
		break;
	case 'M':
		if (!number("messages", arg, 1000000, &n) || n < 1)
			return 0;
		k->messages = (uint32_t)n;
		break;
	default: return 0;
	}
	return 1;
}

static const struct option longs[] = {
	{"help", no_argument, NULL, 'h'}, {"mdoc", no_argument, NULL, 'm'},
	{"module", required_argument, NULL, 'f'},
	{"plugin-dir", required_argument, NULL, 'd'},
	{"version", no_argument, NULL, 'V'},
	{"option", required_argument, NULL, 'o'},
	{"only", required_argument, NULL, 'O'},
	{"fixture", required_argument, NULL, 'x'},
	{"baseline", required_argument, NULL, 'b'},
	{"user", required_argument, NULL, 'u'},
	{"password-file", required_argument, NULL, 'P'},
	{"dir", required_argument, NULL, 'D'},
	{"keep", no_argument, NULL, 'k'},
	{"seed", required_argument, NULL, 's'},
	{"messages", required_argument, NULL, 'M'},
	{"template", required_argument, NULL, 't'},
	{"kind", required_argument, NULL, 'K'},
	{"home", required_argument, NULL, 'H'},
	{"port", required_argument, NULL, 'p'},
	{"json", no_argument, NULL, 'j'},
	{"soak", required_argument, NULL, 'S'}, {NULL, 0, NULL, 0}};

int
main(int argc, char **argv)
{
	static struct options opt;
	uint64_t n;
	int c, status;

	opt = (struct options){.dir = beside(REL_SBIN "/" REL_PLUGIN),
	    .template = beside(REL_DATA "/plugin-template"),
	    .kind = "storage", .home = ".", .kit.soak = 4};
	while ((c = getopt_long(argc, argv, "hV", longs, NULL)) != -1)
		switch (c) {
		case 'm': opt.mdoc = 1; break;
		case 'j': opt.json = 1; break;
		case 't': opt.template = optarg; break;
		case 'K': opt.kind = optarg; break;
		case 'H': opt.home = optarg; break;
		case 'p':
			if (!number("port", optarg, 65535, &n))
				return EX_USAGE;
			opt.port = (unsigned)n;
			break;
		case 'f': opt.module = optarg; break;
		case 'd': opt.dir = optarg; break;
		case 'V': puts("culver-plugin " PACKAGE_VERSION); return 0;
		case 'h': fputs(usage_text, stdout); return 0;
		default:
			if (c == '?' || !kit_option(&opt.kit, c, optarg))
				return EX_USAGE;
		}
	if (optind == argc) {
		fputs(usage_text, stderr);
		return EX_USAGE;
	}
	status = run(argv[optind], &opt, argc - optind - 1,
	    argv + optind + 1);
	if (fflush(stdout) != 0 && status == 0)
		status = fail(EX_IOERR, "cannot write");
	return status;
}
