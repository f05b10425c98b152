/*
 * conffile.h - open the files of a configuration for the config role.
 */
#ifndef MASTER_CONFFILE_H
#define MASTER_CONFFILE_H

#include <stdint.h>

enum { CONFFILE_MAX = 101 };	/* files of one configuration */

/*
 * Open NAME, relative to the folder of the main file MAIN_PATH (absolute, no
 * symbolic links), or that file itself if NAME is empty, for reading.  Only
 * files below that folder that are root's or the caller's and that nobody
 * else may write.  -1 with an errno in *error.
 */
int conffile_open(const char *main_path, const char *name, uint32_t *error);

#endif /* MASTER_CONFFILE_H */
