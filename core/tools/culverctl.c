/*
 * culverctl.c - the administrator's tool: options and the table of commands.
 *
 * Runs as its caller, often root.  It asks culverd over its control socket,
 * or starts roles of its own for one answer, dropped as master drops them.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/tools/ctl.h"
#include "core/tools/ctl_auth.h"
#include "core/tools/ctl_conf.h"
#include "core/tools/ctl_mailbox.h"

static const struct command {
	const char *name;
	ctl_command *run;
	const char *args;	/* how it is used */
	const char *help;
} commands[] = {
	{"status", ctl_status, "", "what culverd runs"},
	{"metrics", ctl_metrics, "", "what culverd counts, as OpenMetrics"},
	{"who", ctl_who, "", "who is logged in"},
	{"kick", ctl_kick, "USER | --session ID", "end sessions"},
	{"reload", ctl_reload, "", "read the configuration again"},
	{"upgrade", ctl_upgrade, "", "go on with the program that is on the "
	    "disk by now"},
	{"auth-flush", ctl_auth_flush, "[USER]", "forget what auth sections "
	    "answered"},
	{"config", ctl_config, "", "all settings and where they are set"},
	{"plugins", ctl_plugins, "", "the plugins that are installed"},
	{"user", ctl_user, "USER", "what the auth sections say of a user"},
	{"login-test", ctl_login_test, "USER", "the same with a password, "
	    "from stdin"},
	{"hash", ctl_hash, "[--scheme SCHEME]", "hash a password for a "
	    "passwd file"},
	{"mailbox", ctl_mailbox, "COMMAND USER ...", "list, stat, check, "
	    "export DIR, import PATH [--resume], delete UIDL..., empty, copy --from "
	    "SECTION --to SECTION, uidl-diff FILE"},
};

enum { N_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static void __attribute__((format(printf, 1, 0)))
warn_va(const char *fmt, va_list ap, int err)
{
	char text[2048];

	vsnprintf(text, sizeof(text), fmt, ap);
	fprintf(stderr, "culverctl: ");
	for (const char *p = text; *p != 0; p++)
		fprintf(stderr, *p < 0x20 || *p > 0x7e ? "\\x%02x" : "%c",
		    (unsigned char)*p);
	if (err != 0)
		fprintf(stderr, ": %s", strerror(err));
	fputc('\n', stderr);
}

void
ctl_warn(const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	va_start(ap, fmt);
	warn_va(fmt, ap, saved);
	va_end(ap);
	errno = saved;
}

void
ctl_warnx(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	warn_va(fmt, ap, 0);
	va_end(ap);
}

static void
sink(int level, const char *text)
{
	(void)level;
	ctl_warnx("%s", text);
}

int
ctl_usage(const struct ctl *ctl)
{
	for (unsigned i = 0; i < N_COMMANDS; i++)
		if (ctl->argc > 0 && strcmp(ctl->argv[0], commands[i].name) ==
		    0)
			fprintf(stderr, "usage: culverctl [-c FILE] %s %s\n"
			    "  %s\n", commands[i].name, commands[i].args,
			    commands[i].help);
	return EX_USAGE;
}

static int
usage(FILE *f)
{
	fprintf(f, "usage: culverctl [-c FILE] [-s SOCKET] [-u ROLE=ID] "
	    "[--json] COMMAND ...\n");
	for (unsigned i = 0; i < N_COMMANDS; i++)
		fprintf(f, "  %-12s %-22s %s\n", commands[i].name,
		    commands[i].args, commands[i].help);
	return EX_USAGE;
}

/* Take --json out of the command's words, wherever it stands. */
static void
json_take(struct ctl *ctl)
{
	int n = 0;

	for (int i = 0; i < ctl->argc; i++) {
		if (strcmp(ctl->argv[i], "--json") == 0)
			ctl->json = 1;
		else
			ctl->argv[n++] = ctl->argv[i];
	}
	ctl->argc = n;
	ctl->argv[n] = NULL;
}

static int
options(struct ctl *ctl, int argc, char **argv)
{
	static const struct option longs[] = {{"json", no_argument, NULL, 'j'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'}, {0}};
	int opt;

	while ((opt = getopt_long(argc, argv, "+c:s:u:hV", longs, NULL)) != -1)
		if (opt == 'c') {
			ctl->config = optarg;
			ctl->config_given = 1;
		} else if (opt == 's') {
			ctl->socket = optarg;
		} else if (opt == 'j') {
			ctl->json = 1;
		} else if (opt == 'h') {
			usage(stdout);
			exit(0);
		} else if (opt == 'V') {
			exit(printf("culverctl %s\n", PACKAGE_VERSION) < 0);
		} else if (opt != 'u' ||
		    !spawn_override(ctl->override, optarg)) {
			return usage(stderr);
		}
	ctl->argc = argc - optind;
	ctl->argv = argv + optind;
	json_take(ctl);
	return ctl->argc > 0 ? 0 : usage(stderr);
}

/* Descriptors 0 to 2 exist, and nothing else is inherited. */
static void
process_setup(void)
{
	int fd;

	syscall(SYS_close_range, 3, ~0u, 0);
	do {
		fd = open("/dev/null", O_RDWR);	/* the lowest that is free */
	} while (fd >= 0 && fd <= 2);
	if (fd < 0)
		exit(EX_OSERR);
	close(fd);
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	log_set_sink(sink);
}

int
main(int argc, char **argv)
{
	struct ctl ctl = {.config = SYSCONFDIR "/culver/culver.conf"};
	int status;

	process_setup();
	if ((status = options(&ctl, argc, argv)) != 0)
		return status;
	for (unsigned i = 0; i < N_COMMANDS; i++) {
		if (strcmp(ctl.argv[0], commands[i].name) != 0)
			continue;
		status = commands[i].run(&ctl);
		if (fflush(stdout) != 0 || ferror(stdout)) {
			ctl_warn("writing the answer");
			return EX_IOERR;
		}
		return status;
	}
	ctl_warnx("%s is no command; `culverctl --help` lists them",
	    ctl.argv[0]);
	return EX_USAGE;
}
