/*
 * ipclog.c - send log lines to the log role.
 */
#include "config.h"

#include <stdio.h>

#include "core/base/log.h"
#include "core/ipc/ipc.h"
#include "core/ipc/ipclog.h"

static int log_fd = -1;
static unsigned lost;

static void
send_line(int level, const char *text)
{
	struct ipc_log_line line = {.level = (uint32_t)level, .text = text};
	char note[64];

	if (lost > 0) {
		struct ipc_log_line gap = {.level = LOG_WARN_, .text = note};

		snprintf(note, sizeof(note), "%u log lines were lost here",
		    lost);
		if (ipc_send(log_fd, IPC_LOG_LINE, &gap, NULL, 0) == CULVER_OK)
			lost = 0;
	}
	if (ipc_send(log_fd, IPC_LOG_LINE, &line, NULL, 0) != CULVER_OK)
		lost++;
}

void
ipclog_open(int fd)
{
	log_fd = fd;
	log_set_sink(send_line);
}
