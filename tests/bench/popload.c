/*
 * popload.c - the benchmarks' program: its commands and what they share.
 *
 *     popload load|sham|mail [-option value]...
 *     popload forks MILLISECONDS UID
 *
 * popload.h says what it is.
 */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "tests/bench/popload.h"

void
die(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("popload: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

void *
need(void *old, size_t n, size_t size)
{
	void *p = reallocarray(old, n > 0 ? n : 1, size);

	if (p == NULL)
		die("no memory for %zu times %zu octets", n, size);
	return p;
}

long
number_read(const char *text, long min, long max)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || n < min || n > max)
		die("%s: not a number from %ld to %ld", text, min, max);
	return n;
}

int
options_read(int argc, char **argv, const struct option_word *words,
    const char *usage)
{
	const struct option_word *w;
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i += 2) {
		for (w = words; w->letter != '\0' && w->letter != argv[i][1];)
			w++;
		if (w->letter == '\0' || argv[i][2] != '\0' || i + 1 == argc)
			die("%s: no such option, or no value\n%s", argv[i],
			    usage);
		if (w->text != NULL)
			*w->text = argv[i + 1];
		else
			*w->number = number_read(argv[i + 1], w->min, w->max);
	}
	return i;
}

uint32_t
crc_add(uint32_t crc, const void *octets, size_t n)
{
	static uint32_t table[256];
	const unsigned char *p = octets;
	uint32_t i, k;

	for (i = 0; table[255] == 0 && i < 256; i++) {
		table[i] = i;
		for (k = 0; k < 8; k++)
			table[i] = (table[i] >> 1) ^
			    ((table[i] & 1) != 0 ? 0xEDB88320u : 0);
	}
	crc = ~crc;
	for (; n > 0; n--)
		crc = (crc >> 8) ^ table[(crc ^ *p++) & 0xFF];
	return ~crc;
}

void
descriptors_raise(unsigned long n)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) != 0 || rl.rlim_cur >= n)
		return;
	if (rl.rlim_max < n) {
		struct rlimit more = {.rlim_cur = n, .rlim_max = n};

		if (setrlimit(RLIMIT_NOFILE, &more) == 0)
			return;
	}
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

/* `popload forks ms uid': how many processes a second the machine can start
 * that only become somebody and end. */
static int
forks_main(int argc, char **argv)
{
	long ms = argc == 3 ? number_read(argv[1], 1, 3600000) : 0, n;
	uid_t id = argc == 3 ? (uid_t)number_read(argv[2], 0, 1L << 31) : 0;
	uint64_t start = clock_now(), end = start + (uint64_t)ms * NS_PER_MS;
	int status;
	pid_t pid;

	for (n = 0; clock_now() < end; n++) {
		pid = fork();
		if (pid == 0)
			_exit(setgroups(0, NULL) != 0 ||
			    setresgid(id, id, id) != 0 ||
			    setresuid(id, id, id) != 0);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			die("cannot start processes, or not as %ld", (long)id);
	}
	printf("{\"forks\": %ld, \"seconds\": %.6f}\n", n,
	    (double)(clock_now() - start) / 1e9);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {
		{"load", load_main}, {"sham", sham_main}, {"mail", mail_main},
		{"forks", forks_main},
	};
	size_t i;

	for (i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	fputs("usage: popload load|sham|mail [-option value]...\n"
	    "       popload forks ms uid\n", stderr);
	return 2;
}
