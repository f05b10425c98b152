/*
 * ctl.h - what the parts of culverctl share.
 *
 * culverctl runs as whoever called it, often root: it trusts master's
 * answers for their form only after ipc.h checked them, and shows no octet on
 * a terminal that could steer it.
 */
#ifndef TOOLS_CTL_H
#define TOOLS_CTL_H

#include <stdint.h>
#include <sys/types.h>
#include <sysexits.h>

#include "core/ipc/ipc.h"

struct ctl {
	const char *config;	/* -c */
	_Bool config_given;
	const char *override[IPC_ROLES];	/* -u, see spawn.h */
	const char *socket;	/* -s, or NULL: RUN_DIR/control */
	_Bool json;
	int argc;		/* the command and its arguments */
	char **argv;
};

/* A command: the exit status, of sysexits.h where that has one. */
typedef int ctl_command(struct ctl *ctl);

ctl_command ctl_status, ctl_metrics, ctl_who, ctl_kick, ctl_reload,
    ctl_upgrade, ctl_auth_flush;	/* ctl_control.c, ctl_status.c */

/* "culverctl: text" on stderr, with the text of errno or without. */
void ctl_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ctl_warnx(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* How the command in CTL is used, and EX_USAGE. */
int ctl_usage(const struct ctl *ctl);

/* Copy a file's octets from AT on to stream 1 (stdout) or 2; control
 * octets but tabs and line ends become \xNN. */
void ctl_copy_text(int fd, off_t at, int to);

/* --- ctl_out.c: lists as a table, or as JSON ------------------------------- */

struct ctl_column {
	const char *name;	/* key in JSON, upper-case as a heading */
	int width;
};

struct ctl_list {
	const struct ctl_column *columns;
	unsigned n, at;		/* next cell */
	uint64_t rows;
	_Bool json;
};

/* Every row is one call a column, in order. */
void list_begin(struct ctl_list *l, const struct ctl_column *columns,
    unsigned n, _Bool json);
void list_text(struct ctl_list *l, const char *v);
void list_u64(struct ctl_list *l, uint64_t v);
void list_bool(struct ctl_list *l, _Bool v);
/* Nanoseconds: "1d02:03:04" in a table, seconds in JSON. */
void list_ns(struct ctl_list *l, uint64_t ns);
void list_end(struct ctl_list *l);

/* A string in JSON, with its quotes; what is no UTF-8 counts as Latin-1. */
void json_text(const char *s);
/* On a terminal: octets outside 0x20..0x7e as \xNN.  Returns columns. */
int plain_text(const char *s);

#endif /* TOOLS_CTL_H */
