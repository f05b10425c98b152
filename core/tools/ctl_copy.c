/*
 * ctl_copy.c - `culverctl mailbox copy`: all mail of a user from one storage
 * section to another, with order, dates and UIDLs.
 *
 * Runs in culverctl as its caller, often root, between two workers that are
 * the user.  It looks at both mailboxes first and copies what is missing, so
 * a copy that was interrupted goes on where it ended, and one that is complete
 * copies nothing; then it looks again, and only what it finds there counts.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/tools/ctl_auth.h"
#include "core/tools/ctl_mailbox.h"

struct copy {
	struct ctl *ctl;
	const char *from_name, *to_name;
	_Bool new_uidls;
	uint32_t from, to;		/* sections */
	uint64_t seed[2];
	struct sums source, target;
	uint32_t *match;		/* of a source message */
	_Bool progress;
};

static struct ctl_conf conf;
static struct ctl_user user;

static int
sums_of(const struct copy *c, uint32_t section, struct sums *s)
{
	return sums_read(s, &conf, &user, section, c->seed, c->progress);
}

/* What was matched must be equal; how much is not. */
static uint32_t
differences(const struct copy *c)
{
	uint32_t bad = 0, last = 0;

	for (uint32_t i = 0; i < c->source.n; i++) {
		const struct frame_sum *a = &c->source.v[i], *b;

		if (c->match[i] == UINT32_MAX)
			continue;
		b = &c->target.v[c->match[i]];
		if (sum_compare(a, b) != 0) {
			ctl_warnx("%s in %s is another message than in %s",
			    a->uidl, c->to_name, c->from_name);
			bad++;
		} else if (a->received != 0 && b->received != 0 &&
		    a->received != b->received) {
			ctl_warnx("%s was received at %" PRId64 ", in %s at %"
			    PRId64, a->uidl, a->received, c->to_name,
			    b->received);
			bad++;
		} else if (c->match[i] < last) {
			ctl_warnx("%s is not in the same order in %s",
			    a->uidl, c->to_name);
			bad++;
		}
		last = c->match[i];
	}
	return bad;
}

/* --- copying -------------------------------------------------------------------------- */

/* Pass on what the source sends; its DONE in *DONE. */
static _Bool
relay(struct copy *c, const struct box_child *source, int target,
    uint32_t missing, struct frame_done *done)
{
	static uint8_t buf[FRAME_MAX];
	enum frame_type type;
	uint32_t sent = 0;
	size_t n;

	while ((type = frame_get(source->data, buf, &n)) != 0) {
		box_log(source);
		if (type == FRAME_DONE && n == sizeof(*done)) {
			memcpy(done, buf, n);
			return 1;
		}
		if ((type != FRAME_BEGIN && type != FRAME_DATA &&
		    type != FRAME_FILE_END) || !frame_put(target, type, buf,
		    n))
			return 0;	/* the target says why */
		sent += type == FRAME_FILE_END;
		if (c->progress && type == FRAME_FILE_END)
			fprintf(stderr, "\rcopied %" PRIu32 " of %" PRIu32 " ",
			    sent, missing);
	}
	return 0;
}

static int
transfer(struct copy *c, char **uidl, uint32_t missing)
{
	static uint8_t buf[FRAME_MAX];
	struct box_job send = {.what = BOX_SEND, .uidl = uidl,
	    .n_uidl = (int)missing}, take = {.what = BOX_TAKE};
	struct frame_done sent = {.status = CULVER_E_TEMP}, taken = sent;
	struct box_child source, target;
	_Bool ok, ended = 0;
	int status, other;
	size_t n;

	if (!box_start(&target, &conf, &user, c->to, &take))
		return EX_NOPERM;
	if (!box_start(&source, &conf, &user, c->from, &send)) {
		box_end(&target);
		return EX_NOPERM;
	}
	ok = relay(c, &source, target.data, missing, &sent);
	if (ok && sent.status == CULVER_OK)
		frame_put(target.data, FRAME_END, "", 0);
	else
		shutdown(target.data, SHUT_WR);
	if (frame_get(target.data, buf, &n) == FRAME_DONE &&
	    n == sizeof(taken)) {
		memcpy(&taken, buf, n);
		ended = 1;
	}
	status = box_end_status(&target, &taken, ended, user.name);
	/* when the target stopped first the source could not go on */
	other = ok ? box_end_status(&source, &sent, 1, user.name) :
	    (box_end(&source), 0);
	return other != 0 ? other : status;
}

static int
copy_missing(struct copy *c, uint32_t missing)
{
	char **uidl = calloc((size_t)missing + 1, sizeof(*uidl));
	uint32_t n = 0;
	int status;

	if (uidl == NULL)
		return EX_OSERR;
	for (uint32_t i = 0; i < c->source.n; i++)
		if (c->match[i] == UINT32_MAX)
			uidl[n++] = c->source.v[i].uidl;
	status = transfer(c, uidl, n);
	free(uidl);
	return status;
}

/* --- the command ------------------------------------------------------------------------ */

static int
copy_run(struct copy *c)
{
	uint32_t missing, left = 0;
	int status;

	if ((status = sums_of(c, c->from, &c->source)) != 0 ||
	    (status = sums_of(c, c->to, &c->target)) != 0)
		return status;
	if (!c->target.keeps_uids && !c->new_uidls) {
		ctl_warnx("storage %s cannot keep UIDLs, so clients would "
		    "fetch all mail again: --new-uidls allows that",
		    c->to_name);
		return EX_UNAVAILABLE;
	}
	missing = sums_match(&c->source, &c->target, &c->match);
	if (differences(c) > 0)
		return EX_DATAERR;
	status = missing > 0 ? copy_missing(c, missing) : 0;
	if (missing > 0 && status == 0) {
		status = sums_of(c, c->to, &c->target);
		left = sums_match(&c->source, &c->target, &c->match);
		if (status == 0 && left > 0)
			ctl_warnx("%" PRIu32 " messages are missing in %s",
			    left, c->to_name);
		if (status == 0 && (differences(c) > 0 || left > 0))
			status = EX_DATAERR;
	}
	if (c->progress)
		fprintf(stderr, "\r                              \r");
	if (status != 0)
		return status;
	if (c->ctl->json)
		printf("{\"messages\": %" PRIu32 ", \"copied\": %" PRIu32
		    "}\n", c->source.n, missing);
	else
		printf("%" PRIu32 " messages copied, %" PRIu32 " are there and "
		    "equal\n", missing, c->source.n);
	return 0;
}

static _Bool
section_find(const char *name, uint32_t *out)
{
	for (uint32_t i = 0; i < conf.master.n_storage; i++)
		if (strcmp(conf.master.storage[i].name, name) == 0) {
			*out = i;
			return 1;
		}
	ctl_warnx("the configuration has no `storage %s'", name);
	return 0;
}

/* USER --from SECTION --to SECTION [--new-uidls], in any order. */
static const char *
arguments(struct copy *c)
{
	const char *name = NULL;

	for (char **arg = c->ctl->argv + 2; *arg != NULL; arg++) {
		const char *word = arg[0], *value = arg[1];

		if (strcmp(word, "--new-uidls") == 0) {
			c->new_uidls = 1;
		} else if (strcmp(word, "--from") == 0 && value != NULL) {
			c->from_name = value;
			arg++;
		} else if (strcmp(word, "--to") == 0 && value != NULL) {
			c->to_name = value;
			arg++;
		} else if (word[0] == '-' || name != NULL) {
			return NULL;
		} else {
			name = word;
		}
	}
	return c->from_name != NULL && c->to_name != NULL ? name : NULL;
}

int
ctl_mailbox_copy(struct ctl *ctl)
{
	struct copy c = {.ctl = ctl,
	    .progress = isatty(2) == 1 && !ctl->json};
	const char *name = arguments(&c);
	int status;

	if (name == NULL)
		return ctl_usage(ctl);
	if (getrandom(c.seed, sizeof(c.seed), 0) != (ssize_t)sizeof(c.seed))
		return EX_OSERR;
	status = auth_ask(ctl, &conf, name, NULL, 0, &user);
	if (status == 0 && (!section_find(c.from_name, &c.from) ||
	    !section_find(c.to_name, &c.to)))
		status = EX_USAGE;
	if (status == 0 && c.from == c.to) {
		ctl_warnx("it is there already");
		status = EX_USAGE;
	}
	if (status == 0)
		status = copy_run(&c);
	free(c.source.v);
	free(c.target.v);
	free(c.match);
	conf_close(&conf);
	return status;
}
