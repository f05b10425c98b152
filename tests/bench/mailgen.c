/*
 * mailgen.c - `popload mail': makes mailboxes that are the same for the same
 * arguments.
 *
 * Sizes are log-normal, some messages are large as if they had an attachment;
 * one line in forty begins with a dot.  Runs as root where the mailboxes are
 * to belong to others, and writes only where it is told to.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/bench/popload.h"

#define USAGE \
	"usage: popload mail [-option value]... maildir|mbox PATH\n" \
	"  -n messages (20)           -f number of the first one (1)\n" \
	"  -m median octets (9000)    -a with an attachment, of 1000 (5)\n" \
	"  -s seed (1)                -w 1: ,S=,W= in the names (0)\n" \
	"  -d cur|new (cur)           -u uid and gid of the files (the caller)\n" \
	"  -k users (0): PATH/uNNNNNN/Maildir or mbox for so many, the uid and\n" \
	"     the seed one more for each"
#define TEXT_LINES 60000
#define CODE_LINES 160000       /* as base64: 76 to a line */
#define WIDTH 76

/* Lines to cut messages from, with the line ends of files and of the wire. */
struct pool {
	char *lf, *crlf;
	size_t *start;          /* of each line in lf; lines + 1 of them */
	size_t lines;
};

struct mailbox {
	bool mbox;
	const char *dir;
	long uid, seed, sizes_in_names;
	FILE *file;             /* of an mbox */
};

static struct pool text, code;
static long messages = 20, first = 1, median = 9000, attached = 5, seed = 1,
    names = 0, uid = -1, users = 0;
static const char *folder = "cur";

static uint64_t
draw(uint64_t *state)
{
	uint64_t z = (*state += 0x9E3779B97F4A7C15u);   /* splitmix64 */

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

/* From 0, excluded, to 1. */
static double
draw_share(uint64_t *state)
{
	return ((double)(draw(state) >> 11) + 1) / 9007199254740992.0;
}

static size_t
text_line(char *line, uint64_t *state)
{
	uint64_t r = draw(state) % 200;
	size_t n = r < 20 ? 0 : 20 + (size_t)(draw(state) % (WIDTH - 20)), i;

	if (r == 20)
		n = 1;          /* a dot alone */
	for (i = 0; i < n; i++)
		line[i] = draw(state) % 6 == 0 ? ' ' :
		    (char)('a' + draw(state) % 26);
	if (r >= 20 && r < 25)
		line[0] = '.';
	return n;
}

static size_t
code_line(char *line, uint64_t *state)
{
	size_t i;

	for (i = 0; i < WIDTH; i++)
		line[i] = (char)('A' + draw(state) % 26);
	return WIDTH;
}

static void
pool_make(struct pool *pool, size_t lines,
    size_t (*make)(char *line, uint64_t *state))
{
	uint64_t state = 12345;
	size_t i, n, at = 0;

	*pool = (struct pool){
		.lf = need(NULL, lines, WIDTH + 1),
		.crlf = need(NULL, lines, WIDTH + 2),
		.start = need(NULL, lines + 1, sizeof(size_t)), .lines = lines,
	};
	for (i = 0; i < lines; i++) {
		n = make(pool->lf + at, &state);
		memcpy(pool->crlf + at + i, pool->lf + at, n);
		memcpy(pool->crlf + at + i + n, "\r\n", 2);
		pool->start[i] = at;
		at += n;
		pool->lf[at++] = '\n';
	}
	pool->start[lines] = at;
}

/* Whole lines of about n octets, from anywhere: as in a file, and how many
 * octets that is on the wire, whose CRC-32 goes on. */
static struct iovec
pool_cut(const struct pool *pool, size_t n, uint64_t *state, size_t *octets,
    uint32_t *crc)
{
	size_t room = n / 20 + 2 < pool->lines ? pool->lines - n / 20 - 1 : 1,
	    a = draw(state) % room, b = a, from, to;

	while (b < pool->lines && pool->start[b] - pool->start[a] < n)
		b++;
	from = pool->start[a] + a;
	to = pool->start[b] + b;
	*octets += to - from;
	*crc = crc_add(*crc, pool->crlf + from, to - from);
	return (struct iovec){.iov_base = pool->lf + pool->start[a],
	    .iov_len = pool->start[b] - pool->start[a]};
}

static void
check(bool ok, const char *what)
{
	if (!ok)
		die("%s: %s", what, strerror(errno));
}

static void
own(const char *path, long id)
{
	if (id >= 0)
		check(lchown(path, (uid_t)id, (gid_t)id) == 0, path);
}

static void
maildir_put(const struct mailbox *box, unsigned long nr, struct iovec *part,
    int parts, size_t stored, size_t octets)
{
	char path[4096];
	ssize_t n;
	int fd, at;

	at = snprintf(path, sizeof path, "%s/%s/%lu.M%luP%ld.bench", box->dir,
	    folder, 1600000000 + nr, nr % 1000000, box->seed);
	if (box->sizes_in_names != 0)
		at += snprintf(path + at, sizeof path - (size_t)at,
		    ",S=%zu,W=%zu", stored, octets);
	if (strcmp(folder, "cur") == 0)
		snprintf(path + at, sizeof path - (size_t)at, ":2,S");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	check(fd >= 0, path);
	n = writev(fd, part, parts);
	check(n >= 0 && (size_t)n == stored, path);
	if (box->uid >= 0)
		check(fchown(fd, (uid_t)box->uid, (gid_t)box->uid) == 0, path);
	close(fd);
}

static void
mbox_put(const struct mailbox *box, unsigned long nr, const struct iovec *part,
    int parts)
{
	int i;

	fprintf(box->file, "From bench@example.org Mon Jan  1 %02lu:%02lu:%02lu"
	    " 2024\n", nr / 3600 % 24, nr / 60 % 60, nr % 60);
	for (i = 0; i < parts; i++)
		fwrite(part[i].iov_base, 1, part[i].iov_len, box->file);
	fputc('\n', box->file);
}

static size_t
size_draw(uint64_t *state)
{
	double normal = sqrt(-2 * log(draw_share(state))) *
	    cos(6.283185307179586 * draw_share(state));
	double size = (double)median * exp(1.1 * normal);

	return size < 300 ? 1 : size > 2e6 ? 2000000 : (size_t)size - 280;
}

static size_t
message_put(const struct mailbox *box, unsigned long nr, uint64_t *state)
{
	char mark[MARK_MAX], head[512];
	struct iovec part[4] = {{.iov_base = mark}, {.iov_base = head}};
	size_t octets = 0, stored = 0, lines = 1;
	uint32_t crc;
	int parts = 3, i;
	char *p;

	part[1].iov_len = (size_t)snprintf(head, sizeof head,
	    "Received: from mx.example.org (mx.example.org [192.0.2.%lu])\n"
	    "\tby mail.example.net with ESMTPS id %016llX\n"
	    "From: Sender %lu <sender%lu@example.org>\n"
	    "To: <user@example.net>\nSubject: message %lu\n"
	    "Message-ID: <%lu.%ld@example.org>\n\n", nr % 250,
	    (unsigned long long)draw(state), nr % 97, nr % 97, nr, nr, seed);
	for (crc = 0, p = head; *p != '\0'; p++) {
		if (*p == '\n') {
			crc = crc_add(crc, "\r", 1);
			lines++;
		}
		crc = crc_add(crc, p, 1);
	}
	octets = part[1].iov_len + lines - 1;
	part[2] = pool_cut(&text, size_draw(state), state, &octets, &crc);
	if ((long)(draw(state) % 1000) < attached)
		part[parts++] = pool_cut(&code, 1000000 + draw(state) % 5000000,
		    state, &octets, &crc);
	octets += (size_t)snprintf(mark, sizeof mark, MARK_FORMAT "\n", nr,
	    0ul, 0ul) + 1;
	part[0].iov_len = (size_t)snprintf(mark, sizeof mark, MARK_FORMAT "\n",
	    nr, (unsigned long)octets, (unsigned long)crc);
	for (i = 0; i < parts; i++)
		stored += part[i].iov_len;
	if (box->mbox)
		mbox_put(box, nr, part, parts);
	else
		maildir_put(box, nr, part, parts, stored, octets);
	return octets;
}

static void
folder_make(const char *path, long id)
{
	/* a delivery does not touch other folders, whose time stamps count */
	if (mkdir(path, 0700) == 0)
		own(path, id);
	else
		check(errno == EEXIST, path);
}

/* The octets of the mailbox on the wire. */
static unsigned long long
mailbox_make(struct mailbox *box)
{
	static const char *const sub[] = {"cur", "new", "tmp"};
	uint64_t state = (uint64_t)box->seed * 1000003u + (uint64_t)first;
	unsigned long long octets = 0;
	char path[4096];
	size_t i;
	long n;

	if (box->mbox) {
		box->file = fopen(box->dir, "wxe");
		check(box->file != NULL, box->dir);
		check(chmod(box->dir, 0600) == 0, box->dir);
		own(box->dir, box->uid);
	} else {
		folder_make(box->dir, box->uid);
		for (i = 0; i < sizeof sub / sizeof *sub; i++) {
			snprintf(path, sizeof path, "%s/%s", box->dir, sub[i]);
			folder_make(path, box->uid);
		}
	}
	for (n = 0; n < messages; n++)
		octets += message_put(box, (unsigned long)(first + n), &state);
	if (box->mbox)
		check(fclose(box->file) == 0, box->dir);
	return octets;
}

static unsigned long long
homes_make(struct mailbox *box, const char *top)
{
	unsigned long long octets = 0;
	char home[2048], path[4096];
	long i;

	for (i = 0; i < users; i++) {
		box->uid = uid < 0 ? -1 : uid + i;
		box->seed = seed + i;
		snprintf(home, sizeof home, "%s/u%06ld", top, i);
		folder_make(home, box->uid);
		snprintf(path, sizeof path, "%s/%s", home,
		    box->mbox ? "mbox" : "Maildir");
		box->dir = path;
		octets += mailbox_make(box);
	}
	return octets;
}

int
mail_main(int argc, char **argv)
{
	const struct option_word words[] = {
		{'n', NULL, &messages, 0, 100000000},
		{'f', NULL, &first, 1, 99999999},
		{'m', NULL, &median, 1, 2000000},
		{'a', NULL, &attached, 0, 1000},
		{'s', NULL, &seed, 0, 1L << 30}, {'w', NULL, &names, 0, 1},
		{'d', &folder, NULL, 0, 0}, {'u', NULL, &uid, 0, 1L << 31},
		{'k', NULL, &users, 1, 999999}, {'\0', NULL, NULL, 0, 0},
	};
	int i = options_read(argc, argv, words, USAGE);
	struct mailbox box = {.uid = uid, .seed = seed,
	    .sizes_in_names = names};
	unsigned long long octets;

	if (argc - i != 2 || (strcmp(argv[i], "maildir") != 0 &&
	    strcmp(argv[i], "mbox") != 0) || (strcmp(folder, "cur") != 0 &&
	    strcmp(folder, "new") != 0))
		die("%s", USAGE);
	box.mbox = strcmp(argv[i], "mbox") == 0;
	box.dir = argv[i + 1];
	pool_make(&text, TEXT_LINES, text_line);
	if (attached > 0)
		pool_make(&code, CODE_LINES, code_line);
	octets = users > 0 ? homes_make(&box, argv[i + 1]) : mailbox_make(&box);
	printf("{\"messages\": %ld, \"octets\": %llu}\n",
	    messages * (users > 0 ? users : 1), octets);
	return 0;
}
