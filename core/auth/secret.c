/*
 * secret.c - the passwords of logins that are being checked, in one place.
 *
 * Runs in the auth coordinator.  The memory is locked as far as the limits
 * allow (the log says if they do not), left out of core dumps, and wiped when a
 * password is given back.  Tokens, which are longer and end by themselves, are
 * on the heap.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/auth/coord-private.h"
#include "core/base/log.h"

#define SECRETS_SIZE (MAX_SECRETS * sizeof(struct secret))

_Bool
secrets_new(struct coord *c)
{
	void *p = mmap(NULL, SECRETS_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 0;
	if (mlock2(p, SECRETS_SIZE, MLOCK_ONFAULT) != 0)
		log_warn("passwords may reach the swap space: cannot lock "
		    "%zu KiB (RLIMIT_MEMLOCK)", SECRETS_SIZE / 1024);
	(void)madvise(p, SECRETS_SIZE, MADV_DONTDUMP);
	c->secrets = p;
	c->free_secret = NULL;
	c->n_secrets = 0;
	return 1;
}

void
secrets_destroy(struct coord *c)
{
	if (c->secrets == NULL)
		return;
	explicit_bzero(c->secrets, SECRETS_SIZE);
	munmap(c->secrets, SECRETS_SIZE);
	c->secrets = c->free_secret = NULL;
}

struct secret *
secret_keep(struct coord *c, const uint8_t *p, size_t n)
{
	struct secret *s = c->free_secret;
	uint8_t *token = NULL;

	if (n > sizeof(s->password)) {
		token = n <= SASL_MAX_TOKEN && c->n_tokens < MAX_TOKENS ?
		    malloc(n) : NULL;
		if (token == NULL)
			return NULL;
	}
	if (s != NULL)
		c->free_secret = s->next_free;
	else if (c->n_secrets < MAX_SECRETS)	/* untouched until needed */
		s = &c->secrets[c->n_secrets++];
	else
		goto full;
	if (n > 0)
		memcpy(token != NULL ? token : s->password, p, n);
	s->token = token;
	s->n = n;
	c->n_tokens += token != NULL;
	return s;
full:
	free(token);
	return NULL;
}

void
secret_drop(struct coord *c, struct secret **s)
{
	if (*s == NULL)
		return;
	if ((*s)->token != NULL) {
		explicit_bzero((*s)->token, (*s)->n);
		free((*s)->token);
		(*s)->token = NULL;
		c->n_tokens--;
	} else {
		explicit_bzero((*s)->password, (*s)->n);
	}
	(*s)->n = 0;
	(*s)->next_free = c->free_secret;
	c->free_secret = *s;
	*s = NULL;
}
