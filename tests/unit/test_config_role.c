/*
 * test_config_role.c - the config role as master sees it: the program itself
 * on a channel, and its snapshots.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/config/conf.h"
#include "core/plugin/values.h"
#include "tests/unit/configkit.h"

static void
check_master(void)
{
	struct conf_cert_files files;
	struct conf_master m;
	int fd = snap_fd(CONF_MASTER, 0);

	assert_true(conf_read(fd, CONF_MASTER, &m, sizeof(m)));
	assert_int_equal(m.n_listen, 3);
	assert_string_equal(m.listen[0].text, "127.0.0.1:1100");
	assert_int_equal(m.listen[0].addr.ss_family, AF_INET);
	assert_int_equal(m.listen[1].addr.ss_family, AF_INET6);
	assert_int_equal(m.listen[2].addr.ss_family, AF_UNIX);
	assert_int_equal(m.listen[2].mode, 0660);
	assert_int_equal(m.listen[2].uid, 7);
	assert_int_equal(m.listen[2].gid, 8);
	assert_int_equal(m.listen[0].uid, UINT32_MAX);
	assert_int_equal(m.listen[0].type, SOCK_STREAM);
	assert_int_equal(m.listen[3].type, SOCK_SEQPACKET);
	assert_int_equal(m.listen[3].mode, 0600);
	assert_string_equal(m.listen[3].text, "unix:/run/culver/control");
	assert_int_equal(m.gates, 3);
	assert_int_equal(m.listen[3].gid, UINT32_MAX);
	assert_int_equal(m.n_range, 2);
	assert_int_equal(m.range[0].first, 1000);
	assert_int_equal(m.range[0].last, 1999);
	assert_int_equal(m.range[1].last, 5000);
	assert_int_equal(m.gid_min, 1);
	assert_int_equal(m.n_auth, 1);
	assert_int_equal(m.auth[0].processes, 3);
	assert_int_equal(m.auth[0].gid, 8);
	assert_int_equal(m.n_storage, 2);
	assert_int_equal(m.storage[0].n_groups, 2);
	assert_int_equal(m.storage[0].groups[1], 9);
	assert_int_equal(m.n_cert, 3);
	assert_true(conf_cert_files(fd, &m.head, 2, &files));
	assert_string_equal(files.cert, "/x.pem");
	assert_string_equal(files.key, "/x.key");
	assert_false(conf_cert_files(fd, &m.head, 3, &files));
}

static void
check_gate(void)
{
	struct conf_gate g;
	struct conf_gate_host *host;
	int fd = snap_fd(CONF_GATE, 0);

	assert_true(conf_read(fd, CONF_GATE, &g, sizeof(g)));
	assert_string_equal(g.hostname, "mail.example.org");
	assert_int_equal(g.connections, 34);
	assert_int_equal(g.n_listen, 3);
	assert_int_equal(g.listen[0].tls, CONF_TLS_STARTTLS);
	assert_int_equal(g.listen[2].tls, CONF_TLS_OFF);
	assert_int_equal(g.listen[2].is_unix, 1);
	assert_int_equal(g.listen[2].plain_login, CONF_PLAIN_ALWAYS);
	assert_int_equal(g.n_host, 2);
	assert_int_equal(g.n_cert, 3);
	host = conf_hosts(fd, &g.head, g.n_host, g.n_cert);
	assert_non_null(host);
	assert_int_equal(host[0].n, 2);
	assert_string_equal(host[1].name, "x.example");
	assert_int_equal(host[1].first, 2);
	free(host);
	assert_null(conf_hosts(fd, &g.head, g.n_host, 2));
	assert_null(conf_hosts(fd, &g.head, 3, g.n_cert));
	assert_true(g.head.filter_n > 10 || run.n_snaps == 0);
}

static void
check_sections(void)
{
	struct conf_section s;
	struct culver_user user = {.size = sizeof(user), .name = "bob"};
	struct plugin_rules rules = {.allow = 0};
	struct plugin p;
	struct values *v;
	char err[PLUGIN_ERR];
	int fd = snap_fd(CONF_STORAGE, 0);

	assert_true(conf_read(fd, CONF_STORAGE, &s, sizeof(s)));
	assert_string_equal(s.name, "sample");
	assert_int_equal(s.owner, getuid());
	if (!plugin_load(s.module, CULVER_KIND_STORAGE, &rules, &p, err))
		fail_msg("%s", err);
	v = values_read(fd, &s.head, &p, &user, err);
	if (v == NULL)
		fail_msg("%s", err);
	assert_string_equal(v->c.v[0].u.s.p, "/m/bob");
	assert_string_equal(v->c.v[9].u.s.p, "tellnobody");
	values_destroy(&v);
	fd = snap_fd(CONF_STORAGE, 1);
	assert_true(conf_read(fd, CONF_STORAGE, &s, sizeof(s)));
	assert_null(values_read(fd, &s.head, &p, &user, err));
	assert_non_null(strstr(err, "no home"));
	assert_true(conf_read(snap_fd(CONF_POOL, 0), CONF_POOL, &s,
	    sizeof(s)));
	assert_int_equal(s.allow, CULVER_NEED_NET);
}

static void
check_others(void)
{
	struct conf_certcheck c;
	struct conf_cert cert;
	struct conf_auth a;
	struct conf_log l;
	int fd;

	assert_true(conf_read(snap_fd(CONF_AUTH, 0), CONF_AUTH, &a,
	    sizeof(a)));
	assert_int_equal(a.n_section, 1);
	assert_int_equal(a.section[0].caps, CULVER_AU_VERIFY);
	assert_int_equal(a.n_storage, 2);
	assert_string_equal(a.storage[1], "second");
	assert_int_equal(a.user_case, 1);
	assert_int_equal(a.shared_uid, 1);
	assert_true(conf_read(snap_fd(CONF_LOG, 0), CONF_LOG, &l,
	    sizeof(l)));
	assert_int_equal(l.level, CULVER_LOG_WARN);
	assert_true(conf_read(snap_fd(CONF_CERTCHECK, 0), CONF_CERTCHECK, &c,
	    sizeof(c)));
	assert_int_equal(c.n_cert, 3);
	fd = snap_fd(CONF_CERTCHECK, 0);
	assert_true(conf_cert(fd, &c.head, c.n_host, 1, &cert));
	assert_string_equal(cert.cert, "/b.pem");
	assert_string_equal(cert.file, "main");
	assert_int_equal(cert.line, 4);
	assert_false(conf_cert(fd, &c.head, c.n_host, 3, &cert));
}

static void
each_role_gets_its_part(void **state)
{
	struct conf_gate g;

	(void)state;
	run_role("run", good, NULL);
	assert_string_equal(run.said, "");
	assert_int_equal(run.status, 0);
	assert_int_equal(run.n_snaps, 10);
	check_master();
	check_gate();
	check_sections();
	check_others();
	/* One kind is not taken for another. */
	assert_false(conf_read(snap_fd(CONF_MASTER, 0), CONF_GATE, &g,
	    sizeof(g)));
	run_end();
}

static void
a_secret_is_in_one_snapshot(void **state)
{
	static char text[1 << 20];
	unsigned found = 0;

	(void)state;
	run_role("run", good, NULL);
	for (unsigned i = 0; i < run.n_snaps; i++) {
		ssize_t n = pread(run.snap[i].fd, text, sizeof(text), 0);

		assert_true(n > 0);
		if (memmem(text, (size_t)n, "tellnobody", 10) != NULL) {
			found++;
			assert_int_equal(run.snap[i].kind, CONF_STORAGE);
			assert_int_equal(run.snap[i].index, 0);
		}
	}
	assert_int_equal(found, 1);
	run_end();
	run_role("print", good, NULL);
	assert_null(strstr(run.said, "tellnobody"));
	assert_non_null(strstr(run.said, "api_key = (secret)\t# main:7\n"));
	run_role("print-json", good, NULL);
	assert_null(strstr(run.said, "tellnobody"));
}

static void
a_snapshot_cannot_be_changed(void **state)
{
	int fd;

	(void)state;
	run_role("check", good, NULL);
	fd = snap_fd(CONF_MASTER, 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0), MAP_FAILED);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	run_end();
}

static void
mistakes_stop_everything(void **state)
{
	(void)state;
	run_role("run", "hostnam = x\ninclude more\n", "gates = many\n");
	assert_int_equal(run.status, EX_CONFIG);
	assert_int_equal(run.n_snaps, 0);
	assert_non_null(strstr(run.said,
	    "main:1: hostnam: unknown option, did you mean hostname?\n"));
	assert_non_null(strstr(run.said,
	    "extra:1: gates: \"many\" is not a number"));
	run_role("check", NULL, NULL);
	assert_int_equal(run.status, EX_CONFIG);
	assert_string_equal(run.said,
	    "main:1: cannot be read: No such file or directory\n");
}

static void
printing_says_where_from(void **state)
{
	(void)state;
	run_role("print", good, NULL);
	assert_int_equal(run.status, 0);
	assert_int_equal(run.n_snaps, 0);
	assert_non_null(strstr(run.said,
	    "hostname = \"mail.example.org\"\t# main:1\n"));
	assert_non_null(strstr(run.said, "\tidle_time = \"10m\"\t# default\n"));
	assert_non_null(strstr(run.said, "\nstorage \"second\" {\t# main:9\n"));
	run_role("print-json", good, NULL);
	assert_non_null(strstr(run.said, "{\"section\":\"limits\",\"name\":"
	    "\"\",\"option\":\"connections\",\"value\":100,\"file\":\"main\","
	    "\"line\":10,\"default\":false}"));
	run_role("plugins", good, NULL);
	assert_non_null(strstr(run.said, "auth sample 1.0 (ABI 0.0, needs "
	    "net): for tests\n"));
	run_role("plugins-json", good, NULL);
	assert_non_null(strstr(run.said, "\"kind\":\"storage\",\"name\":"
	    "\"sample\",\"version\":\"1.0\",\"abi\":\"0.0\",\"needs\":\"\","
	    "\"wants\":\"\",\"summary\":\"for tests\"}"));
}

static void
a_module_of_others_is_refused(void **state)
{
	char path[4096];

	(void)state;
	snprintf(path, sizeof(path), "%s/storage_sample.so", modules);
	assert_int_equal(chmod(path, 0775), 0);
	run_role("check", good, NULL);
	assert_int_equal(run.status, EX_CONFIG);
	assert_non_null(strstr(run.said, "main:7: storage sample: plugin: "));
	assert_non_null(strstr(run.said, "mode: wanted writable by its owner "
	    "only, got 0775\n"));
	assert_int_equal(chmod(path, 0755), 0);
	assert_int_equal(chmod(modules, 0777), 0);
	run_role("check", good, NULL);
	assert_non_null(strstr(run.said, "mode: wanted writable by its owner "
	    "only, got 0777\n"));
	assert_int_equal(chmod(modules, 0755), 0);
	run_role("plugins", good, NULL);
	assert_null(strstr(run.said, "cannot"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_role_gets_its_part),
	    cmocka_unit_test(a_secret_is_in_one_snapshot),
	    cmocka_unit_test(a_snapshot_cannot_be_changed),
	    cmocka_unit_test(mistakes_stop_everything),
	    cmocka_unit_test(printing_says_where_from),
	    cmocka_unit_test(a_module_of_others_is_refused),
	};

	return cmocka_run_group_tests(tests, modules_make, modules_remove);
}
