/*
 * filter_pack.c - see filter_pack.h.
 *
 * Runs in the config role, on what libseccomp made there.  Every number is
 * asked what the program of libseccomp does with it; calls of the same fate go
 * together, and what looks at arguments is copied.  The new program is made
 * from its end, as it jumps forwards only: then all that it jumps to is there.
 * At last both programs are asked again, and have to agree.
 */
#include "config.h"

#include "core/config/filter_pack.h"

#ifdef WITH_SANDBOX

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>

#include "core/config/conf.h"

enum { NUMBERS = 512,		/* calls by number; what is above is ranges */
	WORDS = NUMBERS / 32, RANGES = 64, FATES = 8,
	FEW = 8,		/* calls that need no words */
	IN_MAX = CONF_MAX_FILTER };

enum { LOAD = BPF_LD | BPF_W | BPF_ABS, IMMEDIATE = BPF_LD | BPF_IMM,
	RETURN = BPF_RET | BPF_K, EQUAL = BPF_JMP | BPF_JEQ | BPF_K,
	ABOVE = BPF_JMP | BPF_JGT | BPF_K, LEAST = BPF_JMP | BPF_JGE | BPF_K,
	ANY_BIT = BPF_JMP | BPF_JSET | BPF_K, GOTO = BPF_JMP | BPF_JA,
	AND = BPF_ALU | BPF_AND | BPF_K, SHIFT = BPF_ALU | BPF_RSH | BPF_X,
	TO_X = BPF_MISC | BPF_TAX };

enum { AT_NUMBER = offsetof(struct seccomp_data, nr),
	AT_MACHINE = offsetof(struct seccomp_data, arch) };

struct program {
	const struct sock_filter *code;
	size_t n;
};

struct pack {
	struct program in;
	uint32_t machine;
	struct fate {
		uint32_t k;		/* what is returned */
		unsigned calls;		/* for how many */
		size_t end;		/* where, in the new program */
	} fate[FATES];			/* the most frequent first */
	unsigned n_fates;
	uint32_t start[RANGES];		/* of numbers that share a fate */
	unsigned n_ranges;
	_Bool copied[IN_MAX];
	size_t copy[IN_MAX];		/* where, in the new program */
	struct sock_filter *out;	/* the last instruction first */
	size_t n, cap;
	_Bool bad;
};

/* --- what a program does ---------------------------------------------------- */

/* Where P ends for call NUMBER of MACHINE: at a return, or where it begins to
 * look at arguments; P's length if it does what is not known here. */
static size_t
ask(const struct program *p, uint32_t machine, uint32_t number)
{
	uint32_t a = 0, x = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct sock_filter *c = &p->code[i];
		_Bool yes = 0;

		switch (c->code) {
		case LOAD:
			if (c->k != AT_NUMBER && c->k != AT_MACHINE)
				return i;
			a = c->k == AT_NUMBER ? number : machine;
			continue;
		case RETURN:
			return i;
		case IMMEDIATE:
			a = c->k;
			continue;
		case AND:
			a &= c->k;
			continue;
		case SHIFT:
			a = x < 32 ? a >> x : 0;
			continue;
		case TO_X:
			x = a;
			continue;
		case GOTO:
			i += c->k;
			continue;
		case EQUAL:
			yes = a == c->k;
			break;
		case ABOVE:
			yes = a > c->k;
			break;
		case LEAST:
			yes = a >= c->k;
			break;
		case ANY_BIT:
			yes = (a & c->k) != 0;
			break;
		default:
			return p->n;
		}
		i += yes ? c->jt : c->jf;
	}
	return p->n;
}

static _Bool
ends(const struct program *p, size_t at)
{
	return at < p->n && p->code[at].code == RETURN;
}

/* --- the new program, backwards --------------------------------------------- */

/* Its instruction before the ones that are there; where it is. */
static size_t
add(struct pack *p, uint16_t code, uint32_t k, size_t yes, size_t no)
{
	size_t jt = p->n - 1 - yes, jf = p->n - 1 - no;
	_Bool jumps = BPF_CLASS(code) == BPF_JMP && code != GOTO;

	if (p->n == p->cap || (jumps && (jt > 255 || jf > 255))) {
		p->bad = 1;
		return 0;
	}
	p->out[p->n] = (struct sock_filter){.code = code, .k = k,
	    .jt = jumps ? (uint8_t)jt : 0, .jf = jumps ? (uint8_t)jf : 0};
	return p->n++;
}

static size_t
add_plain(struct pack *p, uint16_t code, uint32_t k)
{
	return add(p, code, k, 0, 0);
}

/* What instruction AT of libseccomp's returns; NULL if it does not. */
static struct fate *
fate_at(struct pack *p, size_t at)
{
	for (unsigned i = 0; ends(&p->in, at) && i < p->n_fates; i++)
		if (p->in.code[at].k == p->fate[i].k)
			return &p->fate[i];
	return NULL;
}

/* Where call NUMBER of MACHINE is to be led to: a fate, or a copy. */
static size_t
place_on(struct pack *p, uint32_t machine, uint32_t number)
{
	size_t at = ask(&p->in, machine, number);
	const struct fate *fate = fate_at(p, at);

	return fate != NULL ? fate->end : p->copy[at];
}

static size_t
place(struct pack *p, uint32_t number)
{
	return place_on(p, p->machine, number);
}

/* Of the calls of WORD, one bit each: which have that fate? */
static uint32_t
bits(struct pack *p, unsigned word, const struct fate *fate)
{
	uint32_t set = 0;

	for (unsigned i = 0; i < 32; i++)
		if (place(p, word * 32 + i) == fate->end)
			set |= 1u << i;
	return set;
}

/* Load the word of the number in A, among [LO, HI), and go to TEST; to MISS
 * where all of it is 0. */
static size_t
add_words(struct pack *p, const struct fate *fate, unsigned lo, unsigned hi,
    size_t test, size_t miss)
{
	unsigned mid = lo + (hi - lo) / 2;
	uint32_t set;
	size_t high, low;

	if (hi - lo == 1) {
		if ((set = bits(p, lo, fate)) == 0)
			return miss;
		add_plain(p, GOTO, (uint32_t)(p->n - 1 - test));
		return add_plain(p, IMMEDIATE, set);
	}
	high = add_words(p, fate, mid, hi, test, miss);
	low = add_words(p, fate, lo, mid, test, miss);
	return high == low ? low : add(p, LEAST, mid * 32, high, low);
}

/* Calls of FATE go there, all others to MISS, which is the instruction that
 * follows or a fate.  X is the number's bit. */
static size_t
add_bitmap(struct pack *p, const struct fate *fate, size_t miss)
{
	size_t test, root;

	add(p, ANY_BIT, 1, fate->end, miss);
	test = add_plain(p, SHIFT, 0);
	root = add_words(p, fate, 0, WORDS, test, miss);
	if (root != p->n - 1)
		add_plain(p, GOTO, (uint32_t)(p->n - 1 - root));
	return add_plain(p, LOAD, AT_NUMBER);
}

/* --- the parts ---------------------------------------------------------------- */

/* What comes of NUMBER of MACHINE is one of the fates; false: there are too
 * many, or it is none. */
static _Bool
add_fate(struct pack *p, uint32_t machine, uint32_t number, unsigned calls)
{
	size_t at = ask(&p->in, machine, number);
	struct fate *fate = fate_at(p, at);

	if (!ends(&p->in, at) || (fate == NULL && p->n_fates == FATES))
		return 0;
	if (fate == NULL)
		fate = &p->fate[p->n_fates++];
	fate->k = p->in.code[at].k;
	fate->calls += calls;
	return 1;
}

static _Bool
find_fates(struct pack *p)
{
	struct fate *most = p->fate, first;

	if (!add_fate(p, ~p->machine, 0, 0))
		return 0;
	for (unsigned i = 0; i < p->n_ranges; i++)
		if (!add_fate(p, p->machine, p->start[i], 0))
			return 0;
	for (uint32_t nr = 0; nr < NUMBERS; nr++)
		if (ends(&p->in, ask(&p->in, p->machine, nr)) &&
		    !add_fate(p, p->machine, nr, 1))
			return 0;
	for (unsigned i = 0; i < p->n_fates; i++)
		if (p->fate[i].calls > most->calls)
			most = &p->fate[i];
	first = p->fate[0];
	p->fate[0] = *most;
	*most = first;
	return 1;
}

static _Bool
add_start(struct pack *p, uint32_t start)
{
	unsigned i = p->n_ranges;

	for (unsigned k = 0; k < p->n_ranges; k++)
		if (p->start[k] == start)
			return 1;
	if (start < NUMBERS)
		return 1;
	if (i == RANGES)
		return 0;
	for (; i > 0 && p->start[i - 1] > start; i--)
		p->start[i] = p->start[i - 1];
	p->start[i] = start;
	p->n_ranges++;
	return 1;
}

/* Where the fates of large numbers may change: at what the program compares
 * with, and behind it. */
static _Bool
find_ranges(struct pack *p)
{
	if (!add_start(p, NUMBERS))
		return 0;
	for (size_t i = 0; i < p->in.n; i++) {
		const struct sock_filter *c = &p->in.code[i];

		if (BPF_CLASS(c->code) == BPF_JMP && c->code != GOTO &&
		    (!add_start(p, c->k) || (c->k != UINT32_MAX &&
		    !add_start(p, c->k + 1))))
			return 0;
	}
	return 1;
}

/* Mark what AT leads to. */
static _Bool
mark(struct pack *p, size_t at)
{
	p->copied[at] = 1;
	for (size_t i = at; i < p->in.n; i++) {
		const struct sock_filter *c = &p->in.code[i];
		size_t jt = i + 1 + c->jt, jf = i + 1 + c->jf;

		if (!p->copied[i] || c->code == RETURN)
			continue;
		if (c->code != LOAD && c->code != AND && c->code != EQUAL &&
		    c->code != ABOVE && c->code != LEAST)
			return 0;
		if (BPF_CLASS(c->code) != BPF_JMP)
			jt = jf = i + 1;
		if (jt >= p->in.n || jf >= p->in.n)
			return 0;
		p->copied[jt] = p->copied[jf] = 1;
	}
	return 1;
}

/* What looks at arguments, and then the fates. */
static _Bool
add_copies(struct pack *p)
{
	for (uint32_t nr = 0; nr < NUMBERS; nr++) {
		size_t at = ask(&p->in, p->machine, nr);

		if (!ends(&p->in, at) && (at == p->in.n || !mark(p, at)))
			return 0;
	}
	for (size_t i = p->in.n; i-- > 0; ) {
		const struct sock_filter *c = &p->in.code[i];

		if (p->copied[i])
			p->copy[i] = add(p, c->code, c->k,
			    BPF_CLASS(c->code) == BPF_JMP ?
			    p->copy[i + 1 + c->jt] : 0,
			    BPF_CLASS(c->code) == BPF_JMP ?
			    p->copy[i + 1 + c->jf] : 0);
	}
	for (unsigned i = 0; i < p->n_fates; i++)
		p->fate[i].end = add_plain(p, RETURN, p->fate[i].k);
	return 1;
}

/* What is done with a number: the last is asked first. */
static size_t
add_numbers(struct pack *p)
{
	size_t next = p->fate[0].end;

	for (unsigned i = 1; i < p->n_fates; i++)
		if (p->fate[i].calls >= FEW)
			next = add_bitmap(p, &p->fate[i], next);
	for (uint32_t nr = 0; nr < NUMBERS; nr++) {
		const struct fate *fate = fate_at(p,
		    ask(&p->in, p->machine, nr));

		if (fate == NULL || (fate != p->fate && fate->calls < FEW))
			next = add(p, EQUAL, nr, place(p, nr), next);
	}
	for (unsigned i = 0; i < p->n_ranges; i++)
		if (i == 0 || place(p, p->start[i]) !=
		    place(p, p->start[i - 1]))
			next = add(p, LEAST, p->start[i],
			    place(p, p->start[i]), next);
	return add_plain(p, LOAD, AT_NUMBER);
}

/* --- the whole -------------------------------------------------------------- */

/* Does NEW lead NUMBER of MACHINE where libseccomp's program does?  Where that
 * is P counts from the end. */
static _Bool
agrees(const struct pack *p, const struct program *new, uint32_t machine,
    uint32_t number)
{
	size_t was = ask(&p->in, machine, number);
	size_t is = ask(new, machine, number);

	if (was == p->in.n || is == new->n)
		return 0;
	return ends(&p->in, was) ? ends(new, is) &&
	    new->code[is].k == p->in.code[was].k :
	    p->n - 1 - is == p->copy[was];
}

static _Bool
all_agree(const struct pack *p, const struct program *new)
{
	for (uint32_t nr = 0; nr < NUMBERS; nr++)
		if (!agrees(p, new, p->machine, nr) ||
		    !agrees(p, new, ~p->machine, nr))
			return 0;
	for (unsigned i = 0; i < p->n_ranges; i++)
		if (!agrees(p, new, p->machine, p->start[i]) ||
		    !agrees(p, new, ~p->machine, p->start[i]) ||
		    !agrees(p, new, p->machine, p->start[i] - 1))
			return 0;
	return 1;
}

static void
turn(struct sock_filter *code, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		struct sock_filter c = code[i];

		code[i] = code[n - 1 - i];
		code[n - 1 - i] = c;
	}
}

size_t
filter_pack(const struct sock_filter *in, size_t n, struct sock_filter *out,
    size_t cap)
{
	static struct pack p;
	struct program new = {.code = out};
	size_t next;

	/* it begins with a look at the machine, and is for one only */
	if (n < 2 || n > IN_MAX || in[0].code != LOAD ||
	    in[0].k != AT_MACHINE || in[1].code != EQUAL)
		return 0;
	p = (struct pack){.in = {in, n}, .machine = in[1].k, .out = out,
	    .cap = cap < n ? cap : n - 1};
	if (!ends(&p.in, 2 + in[1].jf) || !find_ranges(&p) ||
	    !find_fates(&p) || !add_copies(&p))
		return 0;
	next = add_numbers(&p);
	add(&p, EQUAL, p.machine, next, place_on(&p, ~p.machine, 0));
	add_plain(&p, LOAD, AT_MACHINE);
	/* the number's bit before all else: when a program is installed the
	 * kernel follows it for each number, to keep what it answers, and
	 * gives up here at once */
	add_plain(&p, TO_X, 0);
	add_plain(&p, AND, 31);
	add_plain(&p, LOAD, AT_NUMBER);
	if (p.bad)
		return 0;
	turn(out, p.n);
	new.n = p.n;
	return all_agree(&p, &new) ? new.n : 0;
}

#endif /* WITH_SANDBOX */
