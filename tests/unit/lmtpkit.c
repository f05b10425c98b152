/*
 * lmtpkit.c - see lmtpkit.h.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "core/lmtp/proto.h"
#include "tests/unit/lmtpkit.h"

enum { AT_LINE, AT_TEXT, AT_CHUNK, AT_SKIP };

struct kit {
	struct lmtp_session s;
	struct lmtp_body body;
	struct lmtp_reply skipped;
	int at;
	uint64_t left, size;
	culver_status status;
	size_t begin;			/* of the message, in out->text */
	_Bool long_line, begun;
	struct kit_result *out;
};

static void
say(struct kit *k, const struct lmtp_reply *r)
{
	struct kit_result *o = k->out;

	if (r->n > KIT_ROOM - 1 - o->n_replies)
		return;
	memcpy(o->replies + o->n_replies, r->text, r->n);
	o->n_replies += r->n;
	o->replies[o->n_replies] = 0;
}

static void
add(struct kit *k, const uint8_t *p, size_t n)
{
	struct kit_result *o = k->out;

	k->size += n;
	if (k->size > k->s.size_max || n > KIT_ROOM - 1 - o->n_text)
		k->status = LMTP_TOO_LARGE;
	if (k->status != CULVER_OK)
		return;
	memcpy(o->text + o->n_text, p, n);
	o->n_text += n;
}

/* What was begun is no message. */
static void
drop(struct kit *k)
{
	if (k->begun)
		k->out->n_text = k->begin;
	k->begun = 0;
}

static void
begin(struct kit *k, _Bool dots)
{
	k->status = CULVER_OK;
	k->size = 0;
	k->begin = k->out->n_text;
	k->begun = 1;
	lmtp_body_start(&k->body, dots);
}

static void
deliver(struct kit *k)
{
	struct lmtp_reply r;

	if (k->status == CULVER_OK) {
		k->out->messages++;
		k->out->text[k->out->n_text++] = 0xff;
		k->begun = 0;
	}
	drop(k);
	for (unsigned i = 0; i < k->s.n_rcpt; i++) {
		k->out->copies += k->status == CULVER_OK;
		lmtp_result(&k->s, i, k->status, 0, &r);
		say(k, &r);
	}
	lmtp_reset(&k->s);
	k->at = AT_LINE;
}

static void
look_up(struct kit *k, struct lmtp_reply *r)
{
	static const struct {
		const char *name;
		culver_status st;
	} users[] = {
		{"user", CULVER_OK}, {"full", CULVER_E_QUOTA},
		{"temp", CULVER_E_TEMP}, {"off", CULVER_E_DISABLED},
	};
	culver_status st = CULVER_E_NOUSER;
	char name[256] = "";

	for (unsigned c = 0; st == CULVER_E_NOUSER &&
	     lmtp_user(&k->s.asked, LMTP_LOCAL_NAME, "+", c, name); c++)
		for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
			if (strncmp(name, users[i].name,
			    strlen(users[i].name)) == 0)
				st = users[i].st;
	lmtp_recipient(&k->s, st, name, 0, r);
}

static void
on_line(struct kit *k, const uint8_t *line, size_t n)
{
	struct lmtp_reply r;
	enum lmtp_act act = k->long_line ? lmtp_long(&k->s, &r) :
	    lmtp_line(&k->s, line, n, &r);

	k->long_line = 0;
	if (k->s.chunks == 0)
		drop(k);
	switch (act) {
	case LMTP_ASK:
		look_up(k, &r);
		break;
	case LMTP_TEXT:
		begin(k, 1);
		k->at = AT_TEXT;
		break;
	case LMTP_CHUNK:
		if (k->s.chunks == 1)
			begin(k, 0);
		k->left = k->s.chunk;
		k->at = AT_CHUNK;
		return;
	case LMTP_SKIP:
		k->skipped = r;
		k->left = k->s.chunk;
		k->at = AT_SKIP;
		return;
	case LMTP_CLOSE:
		k->out->closed = 1;
		break;
	case LMTP_GO_ON:
		break;
	}
	say(k, &r);
}

static void
chunk_over(struct kit *k)
{
	struct lmtp_reply r;
	uint8_t end[4];

	k->at = k->at == AT_SKIP ? -1 : AT_LINE;
	if (k->at == -1) {
		k->at = AT_LINE;
		say(k, &k->skipped);
		return;
	}
	if (k->s.last)
		add(k, end, lmtp_body_end(&k->body, end));
	if (!lmtp_chunk(&k->s, k->status, &r)) {
		deliver(k);
		return;
	}
	if (k->s.failed)
		drop(k);
	say(k, &r);
}

/* Use what can be used of N octets; how many. */
static size_t
use(struct kit *k, const uint8_t *in, size_t n)
{
	uint8_t *out;
	size_t len, used, out_n = 0;

	if (k->at == AT_LINE) {
		used = lmtp_line_end(in, n, &len);
		if (used == 0 && n >= LMTP_LINE_MAX) {
			k->long_line = 1;
			return n;
		}
		k->long_line |= used > LMTP_LINE_MAX;
		if (used > 0)
			on_line(k, in, len);
		return used;
	}
	if (k->at != AT_TEXT && n > k->left)
		n = (size_t)k->left;
	out = malloc(LMTP_BODY_ROOM(n));
	if (out == NULL)
		abort();
	if (k->at != AT_SKIP)
		n = lmtp_body_add(&k->body, in, n, out, &out_n);
	if (out_n > LMTP_BODY_ROOM(n))
		abort();
	if (k->at != AT_SKIP)
		add(k, out, out_n);
	free(out);
	if (k->at == AT_TEXT) {
		if (k->body.ended)
			deliver(k);
		return n;
	}
	k->left -= n;
	if (k->left == 0)
		chunk_over(k);
	return n;
}

void
kit_serve(const uint8_t *in, size_t n, size_t step, uint64_t size_max,
    struct kit_result *out)
{
	struct kit k = {.out = out};
	struct lmtp_reply r;
	size_t from = 0, to = 0, used, pace = step;

	memset(out, 0, sizeof(*out));
	lmtp_session_start(&k.s, "mx.example", size_max);
	lmtp_greet(&k.s, &r);
	say(&k, &r);
	while (!out->closed) {
		_Bool empty_chunk = k.at >= AT_CHUNK && k.left == 0;
		uint8_t *copy;

		if (from == to && !empty_chunk) {
			if (to == n)
				break;
			pace = step == 0 ? pace + 1 : step;
			to = n - to < pace ? n : to + pace;
		}
		/* what has not arrived is out of bounds */
		copy = malloc(to - from + 1);
		if (copy == NULL)
			abort();
		memcpy(copy, in + from, to - from);
		used = use(&k, copy, to - from);
		free(copy);
		from += used;
		if (used == 0 && !empty_chunk) {
			if (to == n)
				break;
			pace = step == 0 ? pace + 1 : step;
			to = n - to < pace ? n : to + pace;
		}
	}
	drop(&k);
	lmtp_session_free(&k.s);
}
