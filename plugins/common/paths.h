/*
 * paths.h - what auth plugins answer to paths(): files that are replaced by
 * rename, and what the network needs.
 *
 * Runs in a pool process before it is confined.  Each call appends to the *N
 * paths that are at OUT already, and counts on where there is no room.
 */
#ifndef PLUGINS_COMMON_PATHS_H
#define PLUGINS_COMMON_PATHS_H

#include <stddef.h>
#include <stdint.h>

#include <culver/auth.h>

/* Who may sign a server's certificate where a section names nobody. */
#define PLUG_SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

/* To read the file PATH and whatever takes its place: its folder and, if it is
 * a symbolic link, the folder of what it names, too.  OK or E_NOMEM. */
culver_status plug_paths_file(const struct culver_host *host, const char *path,
    struct culver_path *out, uint32_t cap, uint32_t *n,
    struct culver_call *call);

/* To read those of COUNT files that are there; NULL and "" are none. */
void plug_paths_present(const char *const *file, size_t count,
    struct culver_path *out, uint32_t cap, uint32_t *n);

/* What finding a host by its name reads, and the system's certificates. */
void plug_paths_net(struct culver_path *out, uint32_t cap, uint32_t *n);

#endif /* PLUGINS_COMMON_PATHS_H */
