/*
 * test_worker.c - worker_main() with the Maildir module, Landlock and the real
 * seccomp filter, as the caller and without a master: does a whole session
 * come through, in silence?
 */
#include "config.h"

#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/config/conf.h"
#include "core/config/filter.h"
#include "core/ipc/ipc.h"
#include "core/plugin/loader.h"
#include "core/plugin/values.h"
#include "core/pop3/capa.h"
#include "core/worker/worker.h"
#include "tests/unit/mechs.h"

static char dir[64];

static void
make_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int
setup(void **state)
{
	static const char *const subdirs[] = { "m", "m/new", "m/cur", "m/tmp" };
	char path[256];
	size_t i;

	(void)state;
	memcpy(dir, "/tmp/culver-worker.XXXXXX", 26);
	assert_non_null(mkdtemp(dir));
	for (i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, subdirs[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	make_file("m/new/1000.a.host", "Subject: a\n\n.one\n");
	make_file("m/cur/1001.b.host:2,S", "Subject: b\n\ntwo");
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)st, (void)type, (void)f;
	return remove(path);
}

static int
teardown(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Defaults as the config role would convert them; `path` is ours. */
static struct culver_value
value_of(const struct culver_option *o, const char *path)
{
	struct culver_value v = { .u = { .i = 0 } };
	const char *text = o->def != NULL ? o->def : "";
	int i;

	if (strcmp(o->name, "path") == 0)
		text = path;
	if (o->type == CULVER_OPT_BOOL) {
		v.u.i = strcmp(text, "yes") == 0;
	} else if (o->type == CULVER_OPT_ENUM) {
		for (i = 0; o->choices[i] != NULL; i++)
			if (strcmp(o->choices[i], text) == 0)
				v.u.i = i;
	} else if (o->type == CULVER_OPT_STRING ||
	    o->type == CULVER_OPT_PATH || o->type == CULVER_OPT_TEMPLATE) {
		v.u.s = (struct culver_str){ text, strlen(text) };
	}
	return v;
}

static void
put(int fd, const void *p, size_t n)
{
	assert_int_equal(write(fd, p, n), n);
}

/* The snapshot of `storage maildir { path = PATH }`. */
static int
snapshot(const char *path)
{
	static struct sock_filter filter[CONF_MAX_FILTER];
	struct culver_value v[64];
	struct conf_section conf = { .idle_time = 60 * NS_PER_S,
	    .bad_commands = 20, .expire_days = POP3_EXPIRE_NONE };
	const struct plugin_rules rules = { .allow = 0 };
	struct plugin plugin;
	char cwd[512], err[PLUGIN_ERR];
	uint8_t *values;
	size_t nv, nf;
	uint32_t i;
	int fd = memfd_create("snapshot", MFD_ALLOW_SEALING);

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	snprintf(conf.module, sizeof(conf.module),
	    "%s/.libs/storage_maildir.so", cwd);
	snprintf(conf.name, sizeof(conf.name), "maildir");
	if (!plugin_load(conf.module, CULVER_KIND_STORAGE, &rules, &plugin,
	    err))
		fail_msg("%s", err);
	assert_true(plugin.desc.n_options <= 64);
	for (i = 0; i < plugin.desc.n_options; i++) {
		struct culver_option o = plugin_option(&plugin, i);

		v[i] = value_of(&o, path);
	}
	values = values_encode(&plugin, v, &nv);
	assert_non_null(values);
	nf = filter_compile(FILTER_WORKER, 0, filter);
	conf.head = (struct conf_head){ .magic = CONF_MAGIC,
	    .kind = CONF_STORAGE, .fixed = sizeof(conf),
	    .filter_at = sizeof(conf), .filter_n = (uint32_t)nf,
	    .extra_at = (uint32_t)(sizeof(conf) + nf * sizeof(filter[0])),
	    .extra_n = (uint32_t)nv };
	conf.head.size = conf.head.extra_at + conf.head.extra_n;
	put(fd, &conf, sizeof(conf));
	put(fd, filter, nf * sizeof(filter[0]));
	put(fd, values, nv);
	free(values);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW |
	    F_SEAL_SHRINK), 0);
	return fd;
}

struct result {
	char got[4096];		/* what the client read */
	char log[4096];		/* lines of the worker */
	struct ipc_worker_end end;
	char reason[32];
	int status;
};

static void
collect(int channel, struct result *r)
{
	static struct ipc_in in;

	while (ipc_recv(channel, &in, R_WORKER, R_MASTER, P_RUN) == IPC_GOT) {
		if (in.type == IPC_WORKER_LOG &&
		    in.m.worker_log.level >= LOG_INFO_) {
			strncat(r->log, in.m.worker_log.text, 1024);
			strncat(r->log, "\n", 2);
		} else if (in.type == IPC_WORKER_END) {
			r->end = in.m.worker_end;
			snprintf(r->reason, sizeof(r->reason), "%s",
			    in.m.worker_end.reason);
		}
		ipc_done(&in);
	}
}

/* One session in a process of its own; the client says IN at once. */
static void
serve(const char *path, const char *in, struct result *r)
{
	static uint8_t tail[4096];
	const struct ipc_userdata user = { .user = "alice", .home = dir,
	    .location = "" };
	struct worker_start ws = { .tail = tail, .uid = getuid(),
	    .gid = getgid(), .flags = PLAIN_MECHS };
	int client[2], channel[2], status;
	ssize_t n, at = 0;
	pid_t pid;

	memset(r, 0, sizeof(*r));
	ws.snapshot = snapshot(path);
	ws.tail_len = ipc_encode(IPC_USERDATA, &user, 0, tail, sizeof(tail));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, client), 0);
	assert_true(ipc_pair(channel));
	put(client[1], in, strlen(in));
	shutdown(client[1], SHUT_WR);
	ws.client = client[0];
	ws.channel = channel[0];
	pid = fork();
	if (pid == 0) {
		close(client[1]);
		close(channel[1]);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(worker_main(&ws));
	}
	close(client[0]);
	close(channel[0]);
	close(ws.snapshot);
	while ((n = read(client[1], r->got + at,
	    sizeof(r->got) - 1 - (size_t)at)) > 0)
		at += n;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	r->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	collect(channel[1], r);
	close(client[1]);
	close(channel[1]);
}

static void
session_in_the_sandbox(void **state)
{
	static struct result r;
	char path[128], said[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/m", dir);
	snprintf(said, sizeof(said), "plugin=maildir %s: UIDLs are the files' "
	    "names, for no other server left any\n", path);
	serve(path, "CAPA\r\nSTAT\r\nUIDL\r\nRETR 1\r\nTOP 2 0\r\nDELE 1\r\n"
	    "QUIT\r\n", &r);
	assert_string_equal(r.log, said);	/* no trapped call either */
	assert_string_equal(r.got, "+OK Logged in\r\n"
	    "+OK Capability list follows\r\nTOP\r\nUIDL\r\nRESP-CODES\r\n"
	    "AUTH-RESP-CODE\r\nPIPELINING\r\nUSER\r\nSASL PLAIN LOGIN\r\n"
	    "IMPLEMENTATION Culver\r\n.\r\n"
	    "+OK 2 39\r\n+OK\r\n1 1000.a.host\r\n2 1001.b.host\r\n.\r\n"
	    "+OK 20 octets\r\nSubject: a\r\n\r\n..one\r\n.\r\n"
	    "+OK\r\nSubject: b\r\n\r\n.\r\n+OK\r\n+OK Bye\r\n");
	assert_int_equal(r.status, 0);
	assert_string_equal(r.reason, "quit");
	assert_int_equal(r.end.retr, 1);
	assert_int_equal(r.end.deleted, 1);
	assert_int_equal(r.end.left, 1);
	snprintf(path, sizeof(path), "%s/m/new/1000.a.host", dir);
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/m/cur/1001.b.host:2,S", dir);
	assert_int_equal(access(path, F_OK), 0);
}

/* A fault never looks like an empty mailbox. */
static void
absent_mailbox_is_temporary(void **state)
{
	static struct result r;
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/elsewhere", dir);
	serve(path, "STAT\r\nQUIT\r\n", &r);
	assert_memory_equal(r.got, "-ERR [SYS/TEMP]", 15);
	assert_null(strchr(strchr(r.got, '\n') + 1, '\n'));
	assert_string_equal(r.reason, "storage-error");
	assert_non_null(strstr(r.log, "elsewhere"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(session_in_the_sandbox, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(absent_mailbox_is_temporary,
		    setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
