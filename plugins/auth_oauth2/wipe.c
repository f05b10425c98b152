/*
 * wipe.c - memory of libraries through which tokens and secrets pass.
 *
 * Runs in a pool process.  Neither jansson nor libcurl wipes what it frees.
 */
#include "config.h"

#include <curl/curl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/auth_oauth2/oauth2.h"

void
wipe_free(void *p)
{
	if (p != NULL)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

void *
wipe_realloc(void *p, size_t n)
{
	size_t had = p != NULL ? malloc_usable_size(p) : 0;
	void *new = malloc(n > 0 ? n : 1);

	if (new == NULL)
		return NULL;
	if (had > 0)
		memcpy(new, p, had < n ? had : n);
	wipe_free(p);
	return new;
}

bool
wipe_install(void)
{
	json_set_alloc_funcs(malloc, wipe_free);
	return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_free,
	    wipe_realloc, strdup, calloc) == CURLE_OK;
}
