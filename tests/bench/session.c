/*
 * session.c - one client's session; session.h says more.
 *
 * Every reply must have the status, the rows and the octets that it must have:
 * STAT agrees with LIST, LIST with RETR, rows are numbered 1, 2, 3, UIDLs are
 * what RFC 1939 allows, a line that begins with a dot has two, and messages
 * are those that `popload mail' or `popload sham' made, whole and in order.
 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "tests/bench/session.h"

struct session_totals session_totals;
char session_why[600];

static const char *const words[STEP_KINDS] = {
	[STEP_GREET] = "greeting", [STEP_USER] = "USER", [STEP_PASS] = "PASS",
	[STEP_STAT] = "STAT", [STEP_LIST] = "LIST", [STEP_UIDL] = "UIDL",
	[STEP_RETR] = "RETR", [STEP_DELE] = "DELE", [STEP_NOOP] = "NOOP",
	[STEP_HOLD] = "HOLD", [STEP_QUIT] = "QUIT", [STEP_CLOSE] = "close",
};

const char *
step_name(enum step_kind kind)
{
	return words[kind];
}

const char *
session_step(const struct session *s)
{
	return words[s->plan->step[s->at].kind];
}

static void
plan_add(struct plan *plan, enum step_kind kind, unsigned long n)
{
	if (plan->steps == PLAN_MAX)
		die("a plan has at most %d steps", PLAN_MAX);
	plan->step[plan->steps++] = (struct step){.kind = kind, .n = n};
}

void
plan_read(struct plan *plan, const char *text)
{
	char word[32];
	int used;

	plan->steps = 0;
	plan_add(plan, STEP_GREET, 0);
	for (; sscanf(text, " %31[A-Z]%n", word, &used) == 1;) {
		enum step_kind kind = STEP_STAT;
		char *end;

		text += used;
		if (strcmp(word, "LOGIN") == 0) {
			plan_add(plan, STEP_USER, 0);
			plan_add(plan, STEP_PASS, 0);
			continue;
		}
		while (kind < STEP_CLOSE && strcmp(word, words[kind]) != 0)
			kind++;
		if (kind == STEP_CLOSE)
			die("%s: no step of a plan", word);
		plan_add(plan, kind, *text != '=' ? 0 :
		    strtoul(text + 1, &end, 10));
		if (*text == '=')
			text = end;
		if (kind == STEP_QUIT)
			plan_add(plan, STEP_CLOSE, 0);
	}
	if (*text != '\0')
		die("%s: no step of a plan", text);
}

static bool
wrong(const struct session *s, const char *why, const char *line, size_t n)
{
	snprintf(session_why, sizeof session_why, "%s, after %s: %s%s%.*s",
	    s->user != NULL ? s->user : "-", session_step(s), why,
	    n > 0 ? ": " : "", (int)(n < 200 ? n : 200), line);
	return false;
}

static void
say(struct session *s, const char *word, const char *argument)
{
	int n = snprintf(s->out + s->out_length, sizeof s->out - s->out_length,
	    "%s%s%s\r\n", word, *argument != '\0' ? " " : "", argument);

	s->out_length += (size_t)n;
	if (s->out_length >= sizeof s->out)
		die("%s: too long", argument);
}

/* Those commands of a run that may be sent now. */
static void
say_run(struct session *s, enum step_kind kind)
{
	char number[24];

	while (s->sent < s->count && s->sent - s->done < s->plan->depth &&
	    sizeof s->out - s->out_length > 32) {
		snprintf(number, sizeof number, "%lu", s->first + s->sent++);
		say(s, words[kind], kind == STEP_NOOP ? "" : number);
	}
}

/* To the next step that has anything to do. */
static void
step_next(struct session *s)
{
	const struct step *step;

	do {
		uint64_t now = clock_now();

		session_totals.ns[s->plan->step[s->at].kind] += now - s->since;
		s->since = now;
		step = &s->plan->step[++s->at];
		s->first = 1;
		s->count = s->sent = s->done = s->last_mark = 0;
		switch (step->kind) {
		case STEP_USER:
			say(s, "USER", s->user);
			return;
		case STEP_PASS:
			say(s, "PASS", s->password);
			return;
		case STEP_RETR:
		case STEP_DELE:
			s->count = step->n == 0 || step->n > s->messages ?
			    s->messages : step->n;
			if (step->kind == STEP_RETR)
				s->first = s->messages - s->count + 1;
			break;
		case STEP_NOOP:
			s->count = step->n > 0 ? step->n : 1;
			break;
		case STEP_HOLD:
		case STEP_CLOSE:
			return;
		default:
			say(s, words[step->kind], "");
			return;
		}
	} while (s->count == 0);
	say_run(s, step->kind);
}

static void
run_next(struct session *s)
{
	s->input = IN_LINE;
	if (++s->done == s->count)
		step_next(s);
	else
		say_run(s, s->plan->step[s->at].kind);
}

/* Digits up to an octet that is none. */
static unsigned long
digits(const char **p, const char *end)
{
	unsigned long n = 0;

	for (; *p < end && isdigit((unsigned char)**p); (*p)++)
		n = 10 * n + (unsigned long)(**p - '0');
	return n;
}

static bool
stat_reply(struct session *s, const char *line, size_t n)
{
	const char *p = line + 4, *end = line + n;

	if (n < 7 || !isdigit((unsigned char)*p))
		return wrong(s, "not numbers", line, n);
	s->messages = digits(&p, end);
	if (p == end || *p++ != ' ')
		return wrong(s, "not two numbers", line, n);
	s->total = digits(&p, end);
	if (p != end && *p != ' ')
		return wrong(s, "not two numbers", line, n);
	if (s->plan->expected >= 0 &&
	    s->messages != (unsigned long)s->plan->expected)
		return wrong(s, "not as many messages as there are", line, n);
	step_next(s);
	return true;
}

static bool
status_line(struct session *s, const char *line, size_t n)
{
	enum step_kind kind = s->plan->step[s->at].kind;

	if (kind == STEP_HOLD || kind == STEP_CLOSE)
		return wrong(s, "nothing was asked", line, n);
	if (n < 3 || memcmp(line, "+OK", 3) != 0 || (n > 3 && line[3] != ' '))
		return wrong(s, "not +OK", line, n);
	switch (kind) {
	case STEP_STAT:
		return stat_reply(s, line, n);
	case STEP_LIST:
		free(s->sizes);
		s->sizes = need(NULL, s->messages, sizeof *s->sizes);
		s->sum = 0;
		s->input = IN_LIST;
		break;
	case STEP_UIDL:
		s->crc = 0;
		s->input = IN_LIST;
		break;
	case STEP_RETR:
		s->input = IN_MESSAGE;
		s->where = LINE_BEGINS;
		s->octets = s->crc = 0;
		s->mark_length = 0;
		s->mark_ended = s->cr = false;
		break;
	case STEP_DELE:
	case STEP_NOOP:
		run_next(s);
		break;
	default:
		step_next(s);
		break;
	}
	return true;
}

static bool
list_end(struct session *s)
{
	bool list = s->plan->step[s->at].kind == STEP_LIST;

	if (s->done != s->messages)
		return wrong(s, "not as many rows as STAT said", "", 0);
	if (list && s->sum != s->total)
		return wrong(s, "not the octets that STAT said", "", 0);
	if (!list && s->plan->thorough)
		session_totals.uidl_crc = s->crc;
	s->input = IN_LINE;
	step_next(s);
	return true;
}

static bool
row(struct session *s, const char *line, size_t n)
{
	const char *p = line, *end = line + n, *q;

	if (n == 1 && *line == '.')
		return list_end(s);
	if (s->done == s->messages)
		return wrong(s, "more rows than STAT said", line, n);
	if (digits(&p, end) != s->done + 1 || p == end || *p++ != ' ')
		return wrong(s, "not the next row", line, n);
	if (s->plan->step[s->at].kind == STEP_LIST) {
		q = p;
		s->sizes[s->done] = (uint32_t)digits(&p, end);
		s->sum += s->sizes[s->done];
		if (p == q || (p != end && *p != ' '))
			return wrong(s, "not a size", line, n);
	} else {
		for (q = p; q < end && *q >= 0x21 && *q <= 0x7E;)
			q++;
		if (q != end || q == p || q - p > 70)
			return wrong(s, "not a UIDL", line, n);
		if (s->plan->thorough)
			s->crc = crc_add(s->crc, line, n);
	}
	s->done++;
	return true;
}

/* The first "\n." in [p, end), or NULL. */
static const char *
stuffed_line(const char *p, const char *end)
{
	/* no branch inside, so that compilers make vectors of it: the client
	 * is not what is to be measured */
	for (; end - p > 64; p += 64) {
		unsigned char found = 0;
		int i;

		for (i = 0; i < 64; i++)
			found |= (unsigned char)((p[i] == '\n') &
			    (p[i + 1] == '.'));
		if (found != 0)
			break;
	}
	return end - p > 1 ? memmem(p, (size_t)(end - p), "\n.", 2) : NULL;
}

static bool
ends_are_right(struct session *s, const char *p, size_t n)
{
	const char *q = p, *end = p + n;

	for (; (q = memchr(q, '\n', (size_t)(end - q))) != NULL; q++)
		if (q == p ? !s->cr : q[-1] != '\r')
			return wrong(s, "a line without CR", "", 0);
	s->cr = p[n - 1] == '\r';
	return true;
}

/* Octets of the message itself. */
static bool
content(struct session *s, const char *p, size_t n)
{
	s->octets += n;
	if (s->plan->thorough && !ends_are_right(s, p, n))
		return false;
	while (!s->mark_ended && n > 0) {
		if (s->mark_length == sizeof s->mark)
			return wrong(s, "no message of this benchmark", "", 0);
		s->mark_ended = *p == '\n';
		s->mark[s->mark_length++] = *p++;
		n--;
	}
	if (s->plan->thorough)
		s->crc = crc_add(s->crc, p, n);
	return true;
}

static bool
message_end(struct session *s)
{
	unsigned long nr, octets, crc, at = s->first + s->done;

	if (!s->mark_ended)
		return wrong(s, "no message of this benchmark", "", 0);
	s->mark[--s->mark_length] = '\0';
	if (sscanf(s->mark, "X-Bench: %lu %lu %lx", &nr, &octets, &crc) != 3)
		return wrong(s, "no message of this benchmark", s->mark,
		    s->mark_length);
	if (octets != s->octets)
		return wrong(s, "not as long as it says", s->mark,
		    s->mark_length);
	if (s->sizes != NULL && s->sizes[at - 1] != s->octets)
		return wrong(s, "not the octets that LIST said", s->mark,
		    s->mark_length);
	if (nr <= s->last_mark || (s->plan->expected >= 0 && nr != at))
		return wrong(s, "not the message in turn", s->mark,
		    s->mark_length);
	if (s->plan->thorough && crc != s->crc)
		return wrong(s, "not what was put there", s->mark,
		    s->mark_length);
	s->last_mark = nr;
	session_totals.messages++;
	session_totals.octets += octets;
	run_next(s);
	return true;
}

/* Octets of a message on the wire; *used are those up to its end. */
static bool
message(struct session *s, const char *p, size_t n, size_t *used)
{
	const char *start = p, *end = p + n, *q;

	for (; p < end && s->input == IN_MESSAGE; ) {
		switch (s->where) {
		case LINE_BEGINS:
			s->where = *p == '.' ? AFTER_DOT : LINE_GOES_ON;
			p += *p == '.';
			break;
		case LINE_GOES_ON:
			q = stuffed_line(p, end);
			q = q != NULL ? q + 1 : end;
			if (!content(s, p, (size_t)(q - p)))
				return false;
			s->where = q[-1] == '\n' ? LINE_BEGINS : LINE_GOES_ON;
			p = q;
			break;
		case AFTER_DOT:
			if (*p != '.' && *p != '\r')
				return wrong(s, "a dot alone", p, 1);
			s->where = *p == '.' ? LINE_GOES_ON : AFTER_DOT_CR;
			p += *p == '\r';
			break;
		case AFTER_DOT_CR:
			if (*p++ != '\n')
				return wrong(s, "a dot alone", "CR", 2);
			if (!message_end(s))
				return false;
			*used = (size_t)(p - start);
			return true;
		}
	}
	*used = n;
	return true;
}

bool
session_input(struct session *s, const char *p, size_t n)
{
	const char *end = p + n, *q, *line;
	size_t used, length;

	while (p < end) {
		if (s->input == IN_MESSAGE) {
			if (!message(s, p, (size_t)(end - p), &used))
				return false;
			p += used;
			continue;
		}
		q = memchr(p, '\n', (size_t)(end - p));
		line = p;
		length = (size_t)((q != NULL ? q : end) - p);
		if (q == NULL || s->line_length > 0) {
			if (length >= sizeof s->line - s->line_length)
				return wrong(s, "a long line", p, length);
			memcpy(s->line + s->line_length, p, length);
			s->line_length += length;
			if (q == NULL)
				return true;
			line = s->line;
			length = s->line_length;
			s->line_length = 0;
		}
		p = q + 1;
		if (length == 0 || line[length - 1] != '\r')
			return wrong(s, "a line without CR", line, length);
		if (!(s->input == IN_LIST ? row(s, line, length - 1) :
		    status_line(s, line, length - 1)))
			return false;
	}
	return true;
}

void
session_begin(struct session *s, const struct plan *plan, const char *user,
    const char *password)
{
	memset(s, 0, sizeof *s);
	s->plan = plan;
	s->user = user;
	s->password = password;
	s->since = clock_now();
}

bool
session_end(struct session *s)
{
	if (s->plan->step[s->at].kind != STEP_CLOSE || s->line_length > 0)
		return wrong(s, "the server closed", "", 0);
	session_totals.ns[STEP_CLOSE] += clock_now() - s->since;
	return true;
}

bool
session_holds(const struct session *s)
{
	return s->plan->step[s->at].kind == STEP_HOLD;
}

void
session_free(struct session *s)
{
	free(s->sizes);
	s->sizes = NULL;
}
