/*
 * auth_@NAME@.c - an auth plugin: users are the lines of a text file,
 * "name:password:uid:gid:home".  Change where they come from; the answers and
 * how failures are told from them are what matters.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <culver/auth.h>
#include <culver/plugin.h>
#include <culver/util.h>

enum { NAME, PASSWORD, UID, GID, HOME, FIELDS };	/* of a line */
enum { OPT_PATH, N_OPTIONS };

struct culver_auth { const struct culver_host *host; const char *path; };

static culver_status
create(struct culver_auth **out, const struct culver_host *host,
    const struct culver_values *vals, struct culver_call *call)
{
	if ((*out = calloc(1, sizeof(**out))) == NULL)
		return culver_fail(call, CULVER_E_NOMEM, errno, "no memory");
	**out = (struct culver_auth){ host, vals->v[OPT_PATH].u.s.p };
	return CULVER_OK;
}

static void
destroy(struct culver_auth *au)
{
	free(au);
}

/* What is not named here cannot be opened later.  A file that is replaced by
 * rename is named through its directory. */
static culver_status
paths(struct culver_auth *au, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	const char *slash = strrchr(au->path, '/');
	size_t len = slash == au->path ? 1 : (size_t)(slash - au->path);
	char *dir = culver_strndup(au->host, call, au->path, len);

	if (dir == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "no memory");
	*n = 1;
	if (cap > 0)
		*out = (struct culver_path){ .path = dir,
		    .access = CULVER_PATH_DIR | CULVER_PATH_READ };
	return CULVER_OK;
}

/* The file as text in the call's arena, which the host wipes. */
static char *
load(struct culver_auth *au, struct culver_call *call)
{
	int fd = open(au->path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text = NULL;
	size_t n = 0;
	ssize_t r = 1;

	if (fd >= 0 && fstat(fd, &st) == 0)
		text = culver_alloc(au->host, call, (size_t)st.st_size + 1);
	while (text != NULL && r > 0 && n < (size_t)st.st_size) {
		r = read(fd, text + n, (size_t)st.st_size - n);
		n += r > 0 ? (size_t)r : 0;
	}
	if (fd >= 0)
		close(fd);
	return text != NULL && n == (size_t)st.st_size ? text : NULL;
}

/* Split LINE at its colons; 0 if there are too few. */
static int
split(char *line, char *field[FIELDS])
{
	for (int i = 0; i < FIELDS; i++) {
		field[i] = line;
		line = strchr(line, i < FIELDS - 1 ? ':' : '\0');
		if (line == NULL)
			return 0;
		if (i < FIELDS - 1)
			*line++ = '\0';
	}
	return 1;
}

/* OK, E_NOUSER, or E_TEMP: what cannot be read never means "no such user". */
static culver_status
find(struct culver_auth *au, const char *user, char *field[FIELDS],
    struct culver_call *call)
{
	char *line = load(au, call), *next;

	if (line == NULL)
		return culver_fail(call, CULVER_E_TEMP, errno, "cannot read "
		    "%s", au->path);
	for (; *line != '\0'; line = next) {
		next = line + strcspn(line, "\n");
		if (*next != '\0')
			*next++ = '\0';
		if (split(line, field) && strcmp(field[NAME], user) == 0)
			return CULVER_OK;
	}
	return CULVER_E_NOUSER;
}

/* As long for every password of N octets, which may have NULs in it. */
static int
equal(const char *want, const struct culver_str *p)
{
	size_t n = strlen(want), i;
	unsigned char diff = n != p->n;

	for (i = 0; i < p->n; i++)
		diff |= (unsigned char)(p->p[i] ^ want[n > 0 ? i % n : 0]);
	return diff == 0;
}

static culver_status
verify_plain(struct culver_auth *au, const struct culver_auth_req *rq,
    const struct culver_str *password, struct culver_auth_ok *ok,
    struct culver_call *call)
{
	char *field[FIELDS];
	culver_status status = find(au, rq->user, field, call);

	(void)ok;
	if (status != CULVER_OK)
		return status;
	return field[PASSWORD][0] != '\0' && equal(field[PASSWORD], password) ?
	    CULVER_OK : CULVER_E_AUTH;
}

static culver_status
lookup_user(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_user *out, struct culver_call *call)
{
	char *field[FIELDS];
	culver_status status = find(au, rq->user, field, call);

	if (status != CULVER_OK)
		return status;
	out->name = field[NAME];	/* in the arena, so it lives on */
	out->uid = (uint32_t)strtoul(field[UID], NULL, 10);
	out->gid = (uint32_t)strtoul(field[GID], NULL, 10);
	out->home = field[HOME];
	if (out->uid != 0 && out->gid != 0)
		return CULVER_OK;
	return culver_fail(call, CULVER_E_TEMP, 0, "%s: user %s has no uid or "
	    "gid above 0", au->path, field[NAME]);
}

static const struct culver_option options[N_OPTIONS] = {
	[OPT_PATH] = { .name = "path", .type = CULVER_OPT_PATH,
	    .flags = CULVER_OPT_REQUIRED, .help = "the file of users" },
};

static const struct culver_auth_ops ops = {
	.size = sizeof(ops), .create = create, .destroy = destroy,
	.paths = paths, .verify_plain = verify_plain,
	.lookup_user = lookup_user,
};

CULVER_PLUGIN(auth_@NAME@) = {
	.magic = CULVER_MAGIC, .size = sizeof(struct culver_plugin),
	.abi_major = CULVER_ABI_MAJOR, .abi_minor = CULVER_ABI_MINOR,
	.kind = CULVER_KIND_AUTH, .name = "@NAME@", .version = "0.1",
	.caps = CULVER_AU_VERIFY | CULVER_AU_USER,
	.summary = "users in a text file", .options = options,
	.n_options = N_OPTIONS,
	.option_size = sizeof(struct culver_option), .ops = { .auth = &ops },
};
