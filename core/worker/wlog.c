/*
 * wlog.c - see wlog.h.  Runs in worker, also inside the handler of SIGSYS, so
 * it allocates nothing.
 */
#include "config.h"

#include <stdio.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/ipc/ipc.h"
#include "core/worker/wlog.h"

static struct {
	int channel;
	unsigned tokens, lost;
	uint64_t filled;	/* when tokens were added last */
} w = { .channel = -1 };

static _Bool
may_write(void)
{
	uint64_t now = clock_now(), add = (now - w.filled) / NS_PER_S;

	if (add > 0) {
		w.tokens += add < WLOG_BURST ? (unsigned)add : WLOG_BURST;
		if (w.tokens > WLOG_BURST)
			w.tokens = WLOG_BURST;
		w.filled = now;
	}
	if (w.tokens == 0)
		return 0;
	w.tokens--;
	return 1;
}

static void
sink(int level, const char *text)
{
	char line[1024];
	struct ipc_worker_log m = { .level = (uint32_t)level, .text = line };

	if (!may_write()) {
		w.lost++;
		return;
	}
	if (w.lost > 0)
		snprintf(line, sizeof(line), "%.960s (%u lines lost before)",
		    text, w.lost);
	else
		snprintf(line, sizeof(line), "%s", text);
	if (ipc_send(w.channel, IPC_WORKER_LOG, &m, NULL, 0) == CULVER_OK)
		w.lost = 0;
	else
		w.lost++;
}

void
wlog_open(int channel)
{
	w.channel = channel;
	w.tokens = WLOG_BURST;
	w.lost = 0;
	w.filled = clock_now();
	log_set_sink(sink);
}
