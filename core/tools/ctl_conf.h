/*
 * ctl_conf.h - helper roles that culverctl starts for one answer: a config
 * role for the configuration, a pool process for a user.
 *
 * What of this runs as root is core/master's own code up to the drop.
 */
#ifndef TOOLS_CTL_CONF_H
#define TOOLS_CTL_CONF_H

#include <sys/types.h>

#include "core/config/conf.h"
#include "core/master/spawn.h"
#include "core/tools/ctl.h"

/* A started role; fds -1: not there. */
struct ctl_role {
	pid_t pid;
	int channel;		/* master's end */
	int log;		/* the log role's end */
	int pool;		/* the coordinator's end, of a pool */
};

struct ctl_conf {
	struct spawn_env env;
	struct conf_master master;
	int master_snap, auth_snap;
	int pool_snap[CONF_MAX_AUTH], storage_snap[CONF_MAX_STORAGE];
};

/*
 * Start S with its channel and log socket, and with POOL the socket of a
 * coordinator.  False after a message.
 */
_Bool role_start(struct ctl_role *r, const struct spawn_env *env,
    struct spawn *s, _Bool pool);

/* Close its channels, wait for its end, print what it logged (warnings and
 * worse, all of it with VERBOSE); its exit status, 128 + signal if killed. */
int role_end(struct ctl_role *r, _Bool verbose);

/*
 * Run a config role in MODE ("run", "print", ... of config/main.c) over CTL's
 * file.  What it says about mistakes goes to stderr.  0, or an exit status
 * after a message; then CONF is filled in mode "run", and in others *TEXT is
 * a memfd with what the role printed.
 */
int conf_load(struct ctl *ctl, const char *mode, struct ctl_conf *conf,
    int *text);
void conf_close(struct ctl_conf *conf);

/*
 * RUN_DIR/control in malloc'd memory; 0 or an exit status.  What is wrong with
 * the file is in *diag, a memfd, from *at on; -1: there is none.
 */
int conf_control_path(struct ctl *ctl, char **out, int *diag, off_t *at);

ctl_command ctl_config, ctl_plugins;

#endif /* TOOLS_CTL_CONF_H */
