/*
 * maildir_race.c - POP3 sessions on a Maildir while one program delivers into
 * it and another reads it: renames, sets flags, removes.
 *
 * Every message has a number; who did what with it is in shared memory.  A
 * session must list all that was delivered before and nobody removed, each
 * once and whole.  CULVER_RACE_MESSAGES says how many are delivered (2000),
 * CULVER_RACE_SEED which renames; the seed is printed.
 */
#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/storage/drive.h"

#define MAX 20000

extern const struct culver_plugin storage_maildir_LTX_culver_plugin;

enum { NONE, DELIVERED, DELETED };

static struct shared {
	atomic_bool stop;
	atomic_uint n;			/* deliveries begun */
	atomic_int state[MAX];
	atomic_bool reader[MAX];	/* the reader may have removed it */
} *shared;

static char dir[256], path[300];
static unsigned long long seed = 20250607;

static unsigned
draw(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

static __attribute__((format(printf, 1, 2))) void
die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("FAIL: ");
	vprintf(fmt, ap);
	printf(" (in %s)\n", dir);
	va_end(ap);
	fflush(stdout);
	if (shared != NULL)
		shared->stop = true;
	_exit(1);
}

/* Let the others run: without rest no listing could ever be stable. */
static void
rest(void)
{
	struct timespec ts = { .tv_nsec = 300000 + (long)draw(2000000) };

	nanosleep(&ts, NULL);
}

static void
start(struct drive *d)
{
	drive_init(d, &storage_maildir_LTX_culver_plugin);
	drive_set(d, "path", path);
	if (drive_start(d) != CULVER_OK)
		die("start: %s", d->host.err.text);
}

/* --- who delivers --- */

/* As a mail transfer agent without this plugin does it. */
static void
deliver_by_hand(unsigned i, const char *text, size_t n)
{
	char tmp[400], new[500];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s/tmp/%u", path, i);
	snprintf(new, sizeof(new), "%s/new/%u.N%u%s", path, 1700000000 + i, i,
	    i % 3 == 0 ? ".a host" : ".host");
	f = fopen(tmp, "w");
	if (f == NULL || fwrite(text, 1, n, f) != n || fclose(f) != 0 ||
	    rename(tmp, new) != 0)
		die("cannot deliver %s", new);
}

static void
run_delivery(void)
{
	char text[64];
	struct drive d;
	unsigned i;

	start(&d);
	for (i = 0; i < MAX && !shared->stop; i++) {
		size_t n = (size_t)snprintf(text, sizeof(text), "%u%s", i,
		    i % 2 ? "\n" : "\r\n");

		shared->n = i + 1;
		if (i % 2 == 1)
			deliver_by_hand(i, text, n);
		else if (drive_deliver(&d, text, n, 5, NULL) != CULVER_OK)
			die("deliver: %s", d.host.err.text);
		fakehost_reset(&d.host);
		/* unless a session was faster and has deleted it */
		atomic_compare_exchange_strong(&shared->state[i],
		    &(int){ NONE }, DELIVERED);
		if (i % 4 == 3)
			rest();
	}
	drive_stop(&d);
}

/* --- who reads --- */

/* Move or remove NAME, as an IMAP server does. */
static void
touch_message(const char *sub, const char *name)
{
	char from[700], to[700];
	const char *number = strstr(name, ".N");
	int base = (int)strcspn(name, ":");

	snprintf(from, sizeof(from), "%s/%s/%s", path, sub, name);
	if (number != NULL && draw(6) == 0) {
		unsigned i = (unsigned)strtoul(number + 2, NULL, 10);

		if (i >= MAX)
			return;
		shared->reader[i] = true;
		unlink(from);
		return;
	}
	snprintf(to, sizeof(to), "%s/cur/%.*s:2,%s", path, base, name,
	    draw(2) ? "S" : "FRS");
	rename(from, to);
}

static void
run_reader(void)
{
	static const char *const subs[] = { "new", "cur" };
	char sub[400];
	unsigned i = 0;

	seed++;
	while (!shared->stop) {
		struct dirent *de;
		DIR *d;

		snprintf(sub, sizeof(sub), "%s/%s", path, subs[++i % 2]);
		d = opendir(sub);
		while (d != NULL && (de = readdir(d)) != NULL)
			if (de->d_name[0] != '.' && draw(5) == 0)
				touch_message(subs[i % 2], de->d_name);
		if (d != NULL)
			closedir(d);
		rest();
	}
}

/* --- who fetches mail --- */

/* The number of message INDEX; -1 if it vanished, -2 if it moves on. */
static int
read_number(struct drive *d, uint32_t index)
{
	culver_status st;
	unsigned i;
	char *wire, want[64];
	size_t n;

	st = drive_fetch(d, index, &wire, &n);
	if (st == CULVER_E_GONE || st == CULVER_E_TEMP)
		return st == CULVER_E_GONE ? -1 : -2;
	if (st != CULVER_OK)
		die("read: %s", d->host.err.text);
	wire[n - 2] = '\0';
	i = (unsigned)strtoul(wire, NULL, 10);
	snprintf(want, sizeof(want), "%u", i);
	if (n < 3 || i >= shared->n || strcmp(want, wire) != 0)
		die("message %s is torn", d->msg[index].uid);
	free(wire);
	return (int)i;
}

/* What must be there at the least, before the session begins. */
static unsigned
expect(bool *must)
{
	unsigned n = shared->n, i;

	for (i = 0; i < n; i++)
		must[i] = shared->state[i] == DELIVERED && !shared->reader[i];
	return n;
}

static void
remove_some(struct drive *d, const int *number)
{
	struct culver_expunge_result res = { .size = sizeof(res) };
	uint32_t *index = calloc(d->n + 1, sizeof(*index)), n = 0, i;

	if (index == NULL)
		die("memory");
	for (i = 0; i < d->n; i++)
		if (number[i] >= 0 && draw(3) == 0)
			index[n++] = i;
	if (d->ops->expunge(d->mb, index, n, &res,
	    fakehost_call(&d->host)) == CULVER_OK)
		for (i = 0; i < n; i++)
			shared->state[number[index[i]]] = DELETED;
	else
		/* some may be gone: nobody can say which */
		for (i = 0; i < n; i++)
			shared->reader[number[index[i]]] = true;
	free(index);
}

/* One session; false if the mailbox did not rest. */
static bool
run_session(bool last)
{
	static bool must[MAX], seen[MAX];
	struct drive d;
	unsigned n, i, restless = 0, lost = 0;
	int *number;
	culver_status st;

	start(&d);
	n = expect(must);
	st = drive_open(&d, CULVER_OPEN_EXCLUSIVE);
	if (st != CULVER_OK) {
		if (st != CULVER_E_TEMP || last ||
		    strstr(d.host.err.text, "changed") == NULL)
			die("open: %s", d.host.err.text);
		drive_stop(&d);
		return false;
	}
	number = calloc(d.n + 1, sizeof(*number));
	memset(seen, 0, sizeof(seen));
	for (i = 0; i < d.n && number != NULL; i++) {
		number[i] = read_number(&d, i);
		restless += number[i] == -2;
		if (number[i] < 0)
			continue;
		if (seen[number[i]])
			die("message %d is there twice", number[i]);
		seen[number[i]] = true;
		if (shared->state[number[i]] == DELETED)
			die("message %d came back", number[i]);
	}
	for (i = 0; i < n; i++)
		if (must[i] && !seen[i] && !shared->reader[i] &&
		    ++lost > restless)
			die("message %u is lost", i);
	remove_some(&d, number);
	free(number);
	drive_stop(&d);
	return true;
}

/* --- all of it --- */

static pid_t
in_child(void (*fn)(void))
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		fn();
		_exit(0);
	}
	return pid;
}

static void
make_maildir(void)
{
	static const char *const subs[] = { "", "/new", "/cur", "/tmp" };
	char sub[310];
	size_t i;

	snprintf(dir, sizeof(dir), "%s/culver-race-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(dir) == NULL)
		die("cannot make %s", dir);
	snprintf(path, sizeof(path), "%s/M", dir);
	for (i = 0; i < 4; i++) {
		snprintf(sub, sizeof(sub), "%s%s", path, subs[i]);
		if (mkdir(sub, 0700) != 0)
			die("cannot make %s", sub);
	}
}

int
main(void)
{
	const char *s = getenv("CULVER_RACE_SEED");
	const char *c = getenv("CULVER_RACE_MESSAGES");
	unsigned target = c != NULL ? (unsigned)strtoul(c, NULL, 10) : 2000;
	unsigned i, good = 0, sessions;
	pid_t pid[2];
	int status;

	if (s != NULL)
		seed = strtoull(s, NULL, 10);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("seed %llu\n", seed);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	make_maildir();
	pid[0] = in_child(run_delivery);
	pid[1] = in_child(run_reader);
	for (sessions = 0; shared->n < target && shared->n < MAX - 1 &&
	    !shared->stop; sessions++)
		good += run_session(false);
	shared->stop = true;
	for (i = 0; i < 2; i++)
		if (waitpid(pid[i], &status, 0) != pid[i] || status != 0)
			die("a helper failed");
	run_session(true);
	printf("%u sessions, %u of them saw a mailbox at rest; %u messages\n",
	    sessions, good, (unsigned)shared->n);
	drive_remove_dir(dir);
	return good > 0 ? 0 : 1;
}
