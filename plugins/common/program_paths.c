/*
 * program_paths.c - what a program may read and run.
 *
 * Runs in a pool process before it is confined.  What is named here is open to
 * every user of the machine, but for what the administrator adds.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <culver/util.h>

#include "plugins/common/paths.h"
#include "plugins/common/program.h"

#define RUN (CULVER_PATH_READ | CULVER_PATH_EXEC | CULVER_PATH_DIR)

/* Of these those that are there: programs and their libraries. */
static const struct {
	const char *path;
	uint32_t access;
} common[] = {
	{"/usr", RUN}, {"/bin", RUN}, {"/sbin", RUN}, {"/lib", RUN},
	{"/lib64", RUN}, {"/lib32", RUN},
	{"/etc/ld.so.cache", CULVER_PATH_READ},
	{"/etc/perl", CULVER_PATH_READ | CULVER_PATH_DIR},
	{"/etc/python3", CULVER_PATH_READ | CULVER_PATH_DIR},
	{"/etc/localtime", CULVER_PATH_READ},
	{"/etc/protocols", CULVER_PATH_READ},
	{"/etc/ssl/openssl.cnf", CULVER_PATH_READ},
	{"/etc/ssl/certs", CULVER_PATH_READ | CULVER_PATH_DIR},
	{"/dev/null", CULVER_PATH_READ | CULVER_PATH_WRITE},
	{"/dev/urandom", CULVER_PATH_READ},
	{"/dev/random", CULVER_PATH_READ},
};

struct paths {
	struct culver_path *out;
	uint32_t cap, n;
};

static void
add(struct paths *p, const char *path, uint32_t access)
{
	if (p->n < p->cap)
		p->out[p->n] = (struct culver_path){.path = path,
		    .access = access};
	p->n++;
}

/* The folder of PATH, if it is not one of the system's. */
static culver_status
add_folder(const struct culver_host *host, struct paths *p, const char *path,
    struct culver_call *call)
{
	const char *slash = strrchr(path, '/');
	char *dir;

	if (strncmp(path, "/usr/", 5) == 0 || slash == NULL)
		return CULVER_OK;
	/* The root's own would be all there is. */
	dir = culver_strndup(host, call, path,
	    slash == path ? strlen(path) : (size_t)(slash - path));
	if (dir == NULL)
		return culver_fail(call, CULVER_E_NOMEM, 0, "paths");
	add(p, dir, slash == path ? RUN & ~(uint32_t)CULVER_PATH_DIR : RUN);
	return CULVER_OK;
}

/* The program may be a link; it and what it names can be replaced by rename,
 * so their folders are what has to be open. */
static culver_status
add_program(const struct culver_host *host, struct paths *p,
    const char *program, struct culver_call *call)
{
	char *real = realpath(program, NULL);
	culver_status st = add_folder(host, p, program, call);

	if (st == CULVER_OK && real != NULL && strcmp(real, program) != 0)
		st = add_folder(host, p, real, call);
	free(real);
	return st;
}

culver_status
program_paths(const struct culver_host *host, const char *program,
    const struct culver_value *read, struct culver_path *out, uint32_t cap,
    uint32_t *n, struct culver_call *call)
{
	struct paths p = {.out = out, .cap = cap};
	culver_status st;
	struct stat sb;

	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		if (stat(common[i].path, &sb) == 0)
			add(&p, common[i].path, common[i].access);
	st = add_program(host, &p, program, call);
	for (size_t i = 0; i < read->u.list.n; i++) {
		const char *path = read->u.list.v[i].p;

		add(&p, path, stat(path, &sb) == 0 && S_ISDIR(sb.st_mode) ?
		    RUN : RUN & ~(uint32_t)CULVER_PATH_DIR);
	}
	plug_paths_net(out, cap, &p.n);
	*n = p.n;
	return st;
}
