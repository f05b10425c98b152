/*
 * ctl_control.h - ask a running culverd; one answer is kept at a time.
 */
#ifndef TOOLS_CTL_CONTROL_H
#define TOOLS_CTL_CONTROL_H

#include "core/master/records.h"
#include "core/tools/ctl.h"

/* Send MSG over the control socket and wait for the answer, which is kept; 0,
 * or an exit status after a message. */
int control_ask(struct ctl *ctl, enum ipc_type type, const void *msg);

/* The same of the culverd number N of those that were upgraded and still finish
 * sessions; false: there is none (or it is gone by now). */
_Bool control_ask_older(struct ctl *ctl, uint32_t n, enum ipc_type type,
    const void *msg);

/* The head of that answer, if it has records of SIZE octets; likewise. */
int answer_head(struct rec_head *head, uint32_t magic, size_t size);

/* Its record I of SIZE octets; false: it is not there. */
_Bool answer_record(uint32_t i, void *rec, size_t size);

/* All of it, as a file that stays open until answer_done(). */
int answer_fd(void);
void answer_done(void);

#endif /* TOOLS_CTL_CONTROL_H */
