/*
 * evil_auth.c - an auth plugin that breaks one rule, chosen by its option
 * `rule'.
 *
 * A double: the kit must find each of these; `rule = none' must pass.  Users
 * are lines "name:password:uid" of a file.  See tests/abi/evil.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <culver/auth.h>
#include <culver/util.h>

enum { OPT_PATH, OPT_RULE, N_OPTIONS };

struct culver_auth {
	const struct culver_host *host;
	const char *path;
};

/* A line of the file, in the call's arena. */
struct line {
	char *name, *password;
	uint32_t uid;
};

static const char *rule = "none";

static const char *const rules[] = { "none", "empty_ok", "prefix_ok",
	"longer_ok", "nul_ends", "near_ok", "long_fails", "long_crashes",
	"eighth_bit", "pattern_user", "unknown_ok", "unknown_fails",
	"changes_password", "bad_status", "no_error_text", "ok_too_long",
	"ok_size", "logs_password", "keeps_password", "plain_wrong",
	"cred_any_form", "scram_wrong", "scram_short", "uid_zero",
	"home_relative", "user_control", "unsaid_fault", "fault_lets_in",
	"fault_stays", "fault_fd", "malloc_unchecked", "fd_leak", "fd_inherited",
	"memory_leak", "signal", "umask", "host_size", "late_refuses",
	"path_relative", NULL };

static int
is(const char *name)
{
	return strcmp(rule, name) == 0;
}

static culver_status
create(struct culver_auth **out, const struct culver_host *host,
    const struct culver_values *vals, struct culver_call *call)
{
	struct culver_auth *au = malloc(sizeof(*au));

	rule = rules[vals->v[OPT_RULE].u.i];
	if (is("malloc_unchecked") && au == NULL)
		raise(SIGSEGV);
	if (au == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "no memory");
	if (is("host_size") && host->size != sizeof(*host)) {
		free(au);
		return culver_fail(call, CULVER_E_PERM, 0, "another host");
	}
	*au = (struct culver_auth){ host, vals->v[OPT_PATH].u.s.p };
	*out = au;
	return CULVER_OK;
}

static void
destroy(struct culver_auth *au)
{
	if (!is("memory_leak"))
		free(au);
}

static culver_status
paths(struct culver_auth *au, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	(void)call;
	*n = 1;
	if (cap > 0)
		out[0] = (struct culver_path){ .path = is("path_relative") ?
		    "users" : au->path, .access = CULVER_PATH_READ };
	return CULVER_OK;
}

/* What no plugin may do to its process. */
static void
soil(void)
{
	if (is("fd_leak") && open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
		return;
	if (is("fd_inherited") && open("/dev/null", O_RDONLY) < 0)
		return;
	if (is("signal"))
		signal(SIGUSR1, SIG_IGN);
	if (is("umask"))
		umask(0);
}

/* The whole file as text in the arena; NULL: it cannot be read. */
static char *
load(struct culver_auth *au, struct culver_call *call)
{
	static int broken;
	int fd = open(au->path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text = NULL;
	size_t n = 0;
	ssize_t r = 1;

	if (fd >= 0 && fstat(fd, &st) == 0)
		text = au->host->alloc(call->arena, (size_t)st.st_size + 1);
	while (text != NULL && r > 0 && n < (size_t)st.st_size)
		n += (r = read(fd, text + n, (size_t)st.st_size - n)) > 0 ?
		    (size_t)r : 0;
	if (fd >= 0)
		close(fd);
	broken |= text == NULL || n != (size_t)st.st_size;
	if (text == NULL || n != (size_t)st.st_size ||
	    (broken && is("fault_stays")))
		return NULL;
	return text;
}

/* Find the user: OK, E_NOUSER, or a failure. */
static culver_status
find(struct culver_auth *au, const char *user, struct line *l,
    struct culver_call *call)
{
	char *text = load(au, call), *next, *colon;

	soil();
	if (text == NULL && is("fault_fd") &&
	    open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
		return CULVER_E_NOUSER;
	if (text == NULL && is("unsaid_fault"))
		return CULVER_E_NOUSER;
	if (text == NULL)
		return culver_fail(call, CULVER_E_TEMP, errno, "%s",
		    is("no_error_text") ? "" : au->path);
	for (; text != NULL && *text != '\0'; text = next) {
		next = strchrnul(text, '\n');
		if (*next == '\n')
			*next++ = '\0';
		l->name = text;
		if ((colon = strchr(text, ':')) == NULL)
			continue;
		*colon = '\0';
		l->password = colon + 1;
		if ((colon = strchr(l->password, ':')) == NULL)
			continue;
		*colon = '\0';
		l->uid = (uint32_t)strtoul(colon + 1, NULL, 10);
		if (is("pattern_user") ? fnmatch(user, l->name, 0) == 0 :
		    strcmp(user, l->name) == 0)
			return CULVER_OK;
	}
	return is("unknown_fails") ? culver_fail(call, CULVER_E_TEMP, 0,
	    "nobody has this name") : CULVER_E_NOUSER;
}

static int
matches(const char *want, const struct culver_str *p)
{
	size_t n = strlen(want), i;

	if (is("nul_ends"))
		return strcmp(want, p->p) == 0;
	if (is("empty_ok") && p->n == 0)
		return 1;
	if (is("prefix_ok") && p->n > 0 && p->n < n)
		return memcmp(want, p->p, p->n) == 0;
	if (is("longer_ok") && p->n > n)
		return memcmp(want, p->p, n) == 0;
	for (i = 0; is("near_ok") && p->n == n && i < n; i++)
		if ((want[i] ^ p->p[i]) & ~1)
			return 0;
	return is("near_ok") ? p->n == n : p->n == n &&
	    memcmp(want, p->p, n) == 0;
}

/* What a rule does to a password before it is compared. */
static culver_status
abuse(struct culver_auth *au, const struct culver_str *p,
    struct culver_call *call)
{
	static char kept[64];
	char small[600];
	size_t i;

	if (is("long_fails") && p->n > 255)
		return culver_fail(call, CULVER_E_TEMP, 0, "too long");
	if (is("long_crashes") && p->n >= sizeof(small))
		raise(SIGSEGV);
	for (i = 0; is("eighth_bit") && i < p->n; i++)
		if ((p->p[i] & 0x80) != 0)
			return culver_fail(call, CULVER_E_TEMP, 0, "no ASCII");
	if (is("changes_password") && p->n > 0)
		((char *)(uintptr_t)p->p)[0] ^= 1;
	if (is("logs_password"))
		culver_logf(au->host, CULVER_LOG_INFO, "password %s", p->p);
	if (is("keeps_password"))
		memcpy(kept, p->p, p->n < 64 ? p->n : 64);
	return CULVER_OK;
}

static culver_status
verify(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct line l = { .uid = 0 };
	culver_status st;

	if (is("late_refuses") && au->host->now(au->host) >= call->deadline)
		return CULVER_E_AUTH;
	st = find(au, rq->user, &l, call);
	if (is("ok_too_long"))
		memset(ok + 1, 0, 8);
	if (is("ok_size"))
		ok->size = 8;
	if (is("bad_status"))
		return -77;
	if ((st == CULVER_E_NOUSER && is("unknown_ok")) ||
	    (st == CULVER_E_TEMP && is("fault_lets_in")))
		return CULVER_OK;
	if (st != CULVER_OK)
		return st;
	st = abuse(au, password, call);
	if (st != CULVER_OK)
		return st;
	return matches(l.password, password) ? CULVER_OK : CULVER_E_AUTH;
}

/* The keys of RFC 7677's example, whose password is "pencil". */
static void
scram(struct culver_cred *out)
{
	static const unsigned char salt[17] = {
	    0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0,
	    0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81,
	}, stored[33] = {
	    0x58, 0x6e, 0x5d, 0xf2, 0x83, 0xe6, 0xdc, 0xeb, 0x5c, 0x3e,
	    0x79, 0x1d, 0x8b, 0x85, 0x28, 0xec, 0x19, 0x1e, 0x66, 0x40,
	    0x45, 0xce, 0x97, 0x17, 0x92, 0xe2, 0xe6, 0xb5, 0xbb, 0x13,
	    0xe2, 0xa6,
	}, server[33] = {
	    0xc1, 0xf3, 0xcb, 0xc1, 0xc1, 0x3a, 0x9d, 0x35, 0xa1, 0x4c,
	    0x09, 0x90, 0xee, 0xd9, 0x76, 0x29, 0xea, 0x22, 0x58, 0x63,
	    0xe5, 0x66, 0xa4, 0x31, 0x4a, 0xb9, 0x9f, 0x3f, 0x00, 0xe5,
	    0xd9, 0xd5,
	};
	size_t n = is("scram_short") ? 20 : 32;

	out->salt = (struct culver_str){ (const char *)salt, 16 };
	out->stored_key = (struct culver_str){ (const char *)stored, n };
	out->server_key = (struct culver_str){ (const char *)
	    (is("scram_wrong") ? stored : server), n };
	out->iterations = 4096;
}

static culver_status
creds(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_cred *out, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	struct line l = { .uid = 0 };
	culver_status st = find(au, rq->user, &l, call);

	(void)ok;
	if (st != CULVER_OK)
		return st;
	if (out->form == CULVER_CRED_SCRAM_SHA256) {
		scram(out);
		return CULVER_OK;
	}
	if (out->form != CULVER_CRED_PLAIN && !is("cred_any_form"))
		return CULVER_E_UNSUPPORTED;
	out->secret = (struct culver_str){ l.password, strlen(l.password) };
	if (is("plain_wrong"))
		out->secret.n--;
	return CULVER_OK;
}

static culver_status
user(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_user *out, struct culver_call *call)
{
	struct line l = { .uid = 0 };
	culver_status st = find(au, rq->user, &l, call);

	if (st != CULVER_OK)
		return st;
	out->name = is("user_control") ? "a\tb" : l.name;
	out->uid = out->gid = is("uid_zero") ? 0 : l.uid;
	out->home = is("home_relative") ? "home" : "/home";
	return CULVER_OK;
}

static const struct culver_option options[N_OPTIONS] = {
	[OPT_PATH] = { .name = "path", .type = CULVER_OPT_PATH,
	    .flags = CULVER_OPT_REQUIRED, .help = "the file of users" },
	[OPT_RULE] = { .name = "rule", .type = CULVER_OPT_ENUM,
	    .def = "none", .choices = rules, .help = "what it breaks" },
};

static const struct culver_auth_ops ops = {
	.size = sizeof(ops), .create = create, .destroy = destroy,
	.paths = paths, .verify_plain = verify, .lookup_creds = creds,
	.lookup_user = user,
};

CULVER_PLUGIN(auth_evil) = {
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_AUTH, .name = "evil", .version = "1.0",
	.caps = CULVER_AU_VERIFY | CULVER_AU_CREDS | CULVER_AU_USER,
	.summary = "breaks a rule", .options = options,
	.n_options = N_OPTIONS,
	.option_size = sizeof(struct culver_option), .ops = { .auth = &ops },
};
