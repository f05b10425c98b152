/*
 * ipclog.h - the log sink of every executed role and of master: LOG_LINE
 * messages on FD.  A full socket loses the line, and the next line that gets
 * through says how many were lost.
 */
#ifndef IPC_IPCLOG_H
#define IPC_IPCLOG_H

void ipclog_open(int fd);

#endif /* IPC_IPCLOG_H */
