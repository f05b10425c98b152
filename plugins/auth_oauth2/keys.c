/*
 * keys.c - which keys are in force: those of a file, read again when it
 * changed, or of a URL, fetched again when they are old.
 *
 * Runs in a pool process, one login at a time.  What a broken file or answer
 * says is not used; what clients send makes nothing be fetched more often
 * than the section says.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <culver/util.h>

#include "plugins/auth_oauth2/oauth2.h"

#define NS_PER_S 1000000000u

/* Take the keys that N octets of TEXT are, from WHERE. */
static culver_status
keys_take(struct culver_auth *au, const char *text, size_t n,
    const char *where, struct culver_call *call)
{
	struct oauth_keyset set;
	const char *why;

	if (!oauth_keyset_parse(au->cfg, text, n, &set, &why))
		return culver_fail(call, CULVER_E_TEMP, 0, "%.120s %s", where,
		    why);
	oauth_keyset_free(&au->keys.set);
	au->keys.set = set;
	au->keys.have = true;
	return CULVER_OK;
}

/* --- a file -------------------------------------------------------------- */

static culver_status
file_refresh(struct culver_auth *au, struct culver_call *call)
{
	struct oauth_keys *k = &au->keys;
	const char *path = au->opt[OPT_KEYS].u.s.p;
	struct timespec now = {0, 0};
	struct plug_stamp stamp;
	culver_status st;
	struct stat sb;
	char *text;
	size_t n;

	if (k->have && !k->racy && stat(path, &sb) == 0) {
		plug_stamp_set(&stamp, &sb);
		if (plug_stamp_equal(&stamp, &k->stamp))
			return CULVER_OK;
	}
	k->have = false;
	clock_gettime(CLOCK_REALTIME, &now);
	st = oauth_file_read(path, OAUTH_MAX_KEYFILE, &text, &n, &k->stamp,
	    call);
	if (st != CULVER_OK)
		return st;
	/* Younger ones may change again without another time stamp. */
	k->racy = !plug_is_old(k->stamp.mtime, k->stamp.mtime_ns, now.tv_sec,
	    now.tv_nsec) || !plug_is_old(k->stamp.ctime, k->stamp.ctime_ns,
	    now.tv_sec, now.tv_nsec);
	st = keys_take(au, text, n, path, call);
	wipe_free(text);	/* it may be a private key by mistake */
	return st;
}

/* --- a URL --------------------------------------------------------------- */

static bool
older(struct culver_auth *au, uint64_t since, unsigned option)
{
	return au->host->now(au->host) - since >=
	    (uint64_t)au->opt[option].u.i;
}

static culver_status
url_fetch(struct culver_auth *au, struct culver_call *call)
{
	struct oauth_keys *k = &au->keys;
	struct oauth_answer a = {.most = OAUTH_MAX_KEYFILE};
	culver_status st;

	k->tried = true;
	k->tried_at = au->host->now(au->host);
	st = oauth_http_fetch(&au->http, &au->jwks, NULL, 0, &a, call);
	if (st == CULVER_OK && (st = keys_take(au, a.p, a.n, au->jwks.url,
	    call)) != CULVER_OK) {
		/* or every login would fetch it */
		snprintf(au->jwks.error, sizeof(au->jwks.error), "%.190s",
		    call->err->text);
		au->jwks.backoff.not_before = au->host->now(au->host) +
		    NS_PER_S;
	}
	oauth_answer_free(&a);
	k->failed = st != CULVER_OK;
	if (st == CULVER_OK)
		k->got_at = au->host->now(au->host);
	return st;
}

static culver_status
url_refresh(struct culver_auth *au, struct culver_call *call)
{
	struct oauth_keys *k = &au->keys;
	culver_status st;

	if (k->have && older(au, k->got_at, OPT_JWKS_MAX_AGE)) {
		oauth_keyset_free(&k->set);
		k->have = false;
	}
	if (k->have && (!older(au, k->got_at, OPT_JWKS_REFRESH) ||
	    (k->failed && !older(au, k->tried_at, OPT_JWKS_PAUSE))))
		return CULVER_OK;
	st = url_fetch(au, call);
	if (st == CULVER_OK || !k->have)
		return st;
	culver_logf(au->host, CULVER_LOG_WARN, "keys could not be fetched "
	    "again: %.180s; those of before are used", call->err->text);
	return CULVER_OK;
}

culver_status
oauth_keys_refresh(struct culver_auth *au, struct culver_call *call)
{
	return au->jwks.url != NULL ? url_refresh(au, call) :
	    file_refresh(au, call);
}

culver_status
oauth_keys_unknown(struct culver_auth *au, struct culver_call *call)
{
	struct oauth_keys *k = &au->keys;
	culver_status st;

	if (au->jwks.url == NULL)
		return CULVER_E_AUTH;
	if (k->tried && !older(au, k->tried_at, OPT_JWKS_PAUSE))
		return !k->failed ? CULVER_E_AUTH : culver_fail(call,
		    CULVER_E_TEMP, 0, "no key has its kid, and newer keys "
		    "cannot be had: %.150s", au->jwks.error);
	st = url_fetch(au, call);
	return st == CULVER_OK ? CULVER_OK : CULVER_E_TEMP;
}
