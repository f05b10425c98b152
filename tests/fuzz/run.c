/*
 * run.c - runs a fuzz target without a fuzzer, the same inputs each time, so
 * that `make check` tries every target on every machine.
 *
 *	fuzz_X [FILE...]	these inputs (a crash that a fuzzer found)
 *	fuzz_X			FUZZ_RUNS inputs made from FUZZ_SEED
 *
 * Inputs are made of the target's words and of random octets.
 */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What its inputs are made of, ended by { NULL, 0 }; a target has its own. */
struct fuzz_word {
	const char *p;
	size_t n;
};
extern const struct fuzz_word fuzz_words[];

enum { MAX = 4096 };

static uint64_t state;

static uint32_t
rnd(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 32) % below);
}

static size_t
make(uint8_t *buf, uint32_t n_words)
{
	size_t n = 0, pieces = 1 + rnd(40);

	while (pieces-- > 0) {
		const struct fuzz_word *w = &fuzz_words[rnd(n_words)];
		uint32_t what = rnd(8), i, times = 1;

		if (what == 0)		/* noise */
			for (i = 1 + rnd(16); i > 0 && n < MAX; i--)
				buf[n++] = (uint8_t)rnd(256);
		if (what == 1)		/* much of the same */
			times = 1 + rnd(300);
		for (; what > 0 && times > 0 && n + w->n <= MAX; times--) {
			memcpy(buf + n, w->p, w->n);
			n += w->n;
		}
	}
	for (pieces = rnd(3); pieces > 0 && n > 0; pieces--)
		buf[rnd((uint32_t)n)] = (uint8_t)rnd(256);
	return n;
}

static int
run_file(const char *name)
{
	uint8_t *buf = malloc(1 << 20);
	FILE *f = fopen(name, "rb");
	size_t n;

	if (f == NULL || buf == NULL) {
		perror(name);
		return 1;
	}
	n = fread(buf, 1, 1 << 20, f);
	fclose(f);
	LLVMFuzzerTestOneInput(buf, n);
	free(buf);
	return 0;
}

static unsigned long
setting(const char *name, unsigned long value)
{
	const char *text = getenv(name);

	return text != NULL ? strtoul(text, NULL, 0) : value;
}

int
main(int argc, char **argv)
{
	unsigned long runs = setting("FUZZ_RUNS", 5000), i;
	unsigned long seed = setting("FUZZ_SEED", 1939);
	uint32_t n_words = 0;
	static uint8_t buf[MAX];
	int bad = 0;

	for (i = 1; i < (unsigned long)argc; i++)
		bad |= run_file(argv[i]);
	if (argc > 1)
		return bad;
	while (fuzz_words[n_words].p != NULL)
		n_words++;
	printf("seed %lu, %lu inputs\n", seed, runs);
	state = UINT64_C(0x9e3779b97f4a7c15) * (seed + 1);
	for (i = 0; i < runs; i++) {
		size_t n = make(buf, n_words);
		uint8_t *exact = malloc(n + 1);	/* ASan sees its end */

		if (exact == NULL)
			return 1;
		memcpy(exact, buf, n);
		LLVMFuzzerTestOneInput(exact, n);
		free(exact);
	}
	return 0;
}
