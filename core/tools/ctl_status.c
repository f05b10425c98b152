/*
 * ctl_status.c - `culverctl status': the daemon, its processes, and what the
 * machine gives it; `culverctl metrics': what it counts.
 *
 * Runs in culverctl as its caller.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/features.h"
#include "core/metrics/openmetrics.h"
#include "core/tools/ctl_conf.h"
#include "core/tools/ctl_control.h"

/* "seccomp landlock" of a set of bits. */
static const char *
parts_text(uint32_t missing)
{
	static char text[256];
	size_t n = 0;

	text[0] = 0;
	for (unsigned i = 0; i < n_features && n < sizeof(text); i++)
		if (missing & features[i].part)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    "%s%s", n > 0 ? " " : "", features[i].name);
	return text;
}

static void
status_head(const struct rec_head *h, _Bool json)
{
	double up = (double)h->uptime_ns / (double)NS_PER_S;

	if (json) {
		printf("{\"version\": ");
		json_text(h->version);
		printf(", \"pid\": %" PRIu32 ", \"uptime\": %.3f, "
		    "\"generation\": %" PRIu32 ", \"sessions\": %" PRIu32
		    ", \"sessions_max\": %" PRIu32
		    ", \"connections_max\": %" PRIu32 ", \"logins\": %" PRIu64
		    ", \"refused\": %" PRIu64 ", \"breaches\": %" PRIu64
		    ", \"landlock\": %" PRIu32 ", \"sandbox_missing\": ",
		    h->pid, up, h->generation, h->sessions, h->sessions_max,
		    h->connections_max, h->logins, h->refused, h->breaches,
		    h->landlock);
		json_text(parts_text(h->missing));
		printf(",\n \"roles\": ");
		return;
	}
	printf("culverd ");
	plain_text(h->version);
	printf(", process %" PRIu32 ", up %.0f s, generation %" PRIu32 "\n"
	    "sessions %" PRIu32 " of at most %" PRIu32 ", connections at "
	    "most %" PRIu32 ", logins %" PRIu64 ", refused %" PRIu64
	    ", breaches %" PRIu64 "\n", h->pid, up, h->generation,
	    h->sessions, h->sessions_max, h->connections_max, h->logins,
	    h->refused, h->breaches);
	putchar('\n');
}

/* What the machine gives, and what it costs where it does not. */
static void
status_features(const struct rec_head *h, _Bool json)
{
	static const struct ctl_column columns[] = {{"feature", 17},
	    {"given", 5}, {"needs", 36}, {"costs", 1}};
	struct ctl_list l;

	if (json)
		printf(",\n \"features\": ");
	else
		printf("\nWhat this machine gives (its Landlock has version %"
		    PRIu32 "), and costs where it does not:\n", h->landlock);
	list_begin(&l, columns, 4, json);
	for (unsigned i = 0; i < n_features; i++) {
		const struct feature *f = &features[i];
		_Bool given = (h->missing & f->part) == 0;

		list_text(&l, f->name);
		list_bool(&l, given);
		list_text(&l, f->since);
		list_text(&l, given && !json ? "" : f->without);
	}
	list_end(&l);
}

/* Each culverd that was upgraded and still finishes sessions. */
static void
status_older(struct ctl *ctl)
{
	const struct ipc_ctl_who ask = {0};
	struct rec_head h;

	if (ctl->json)
		printf(",\n \"older\": [");
	for (uint32_t n = 0; control_ask_older(ctl, n, IPC_CTL_WHO, &ask) &&
	     answer_head(&h, REC_MAGIC_WHO, sizeof(struct rec_who)) == 0;
	     n++) {
		double up = (double)h.uptime_ns / (double)NS_PER_S;

		if (ctl->json) {
			printf("%s{\"version\": ", n > 0 ? ", " : "");
			json_text(h.version);
			printf(", \"pid\": %" PRIu32 ", \"uptime\": %.3f, "
			    "\"sessions\": %" PRIu32 "}", h.pid, up,
			    h.sessions);
		} else {
			printf("%san older culverd, ", n > 0 ? "" : "\n");
			plain_text(h.version);
			printf(", process %" PRIu32 ", up %.0f s, still "
			    "finishes %" PRIu32 " sessions\n", h.pid, up,
			    h.sessions);
		}
		answer_done();
	}
	if (ctl->json)
		printf("]");
}

int
ctl_status(struct ctl *ctl)
{
	static const struct ctl_column columns[] = {{"role", 9},
	    {"instance", 8}, {"section", 7}, {"generation", 10}, {"pid", 8},
	    {"phase", 8}, {"restarts", 8}, {"age", 10}, {"missing", 7}};
	static const char *const phases[] = {"starting", "running",
	    "draining", "waiting"};
	const struct ipc_ctl_status ask = {0};
	struct rec_head head;
	struct rec_status r;
	struct ctl_list l;
	int status;

	if (ctl->argc != 1)
		return ctl_usage(ctl);
	if ((status = control_ask(ctl, IPC_CTL_STATUS, &ask)) != 0 ||
	    (status = answer_head(&head, REC_MAGIC_STATUS, sizeof(r))) != 0)
		return status;
	status_head(&head, ctl->json);
	list_begin(&l, columns, 9, ctl->json);
	for (uint32_t i = 0; i < head.count; i++) {
		if (!answer_record(i, &r, sizeof(r)))
			return EX_PROTOCOL;
		list_text(&l, ipc_role_name((enum ipc_role)r.role));
		list_u64(&l, r.instance);
		list_u64(&l, r.section);
		list_u64(&l, r.generation);
		list_u64(&l, r.pid);
		list_text(&l, r.phase < 4 ? phases[r.phase] : "?");
		list_u64(&l, r.restarts);
		list_ns(&l, r.age_ns);
		list_text(&l, parts_text(r.missing));
	}
	list_end(&l);
	answer_done();
	status_features(&head, ctl->json);
	status_older(ctl);
	if (ctl->json)
		printf("}\n");
	return 0;
}

int
ctl_metrics(struct ctl *ctl)
{
	const struct ipc_ctl_metrics ask = {0};
	struct rec_head head;
	char *text;
	int status;
	size_t n;

	if (ctl->argc != 1 || ctl->json)
		return ctl_usage(ctl);
	if ((status = control_ask(ctl, IPC_CTL_METRICS, &ask)) != 0 ||
	    (status = answer_head(&head, REC_MAGIC_STATUS,
	    sizeof(struct rec_status))) != 0)
		return status;
	text = openmetrics_text(answer_fd(), &n);
	if (text == NULL) {
		ctl_warn("culverd's answer");
		return EX_PROTOCOL;
	}
	fwrite(text, 1, n, stdout);
	free(text);
	answer_done();
	return 0;
}
