/*
 * user.c - uid, gid and home from the passwd database, by whatever NSS has for
 * it.
 *
 * Runs in a pool process.  Accounts that nobody may be served as are refused
 * before their password is asked about, so that nobody learns it here.
 */
#include "config.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include <culver/util.h>

#include "plugins/auth_pam/pam.h"
#include "plugins/common/auth.h"
#include "plugins/common/quote.h"

enum { ENTRY_FIRST = 4096, ENTRY_MAX = 1 << 20 };

/* The entry of USER, into memory of *BUF, which the caller frees.  *PW NULL:
 * there is none. */
static culver_status
entry_find(const char *user, struct passwd *entry, struct passwd **pw,
    char **buf, struct culver_call *call)
{
	int err = ERANGE;

	*buf = NULL;
	*pw = NULL;
	for (size_t n = ENTRY_FIRST; err == ERANGE && n <= ENTRY_MAX; n *= 4) {
		free(*buf);
		*buf = malloc(n);
		err = *buf == NULL ? ENOMEM :
		    getpwnam_r(user, entry, *buf, n, pw);
	}
	/* some services of NSS say "not found" so */
	if (err == 0 || err == ENOENT || err == ESRCH)
		return CULVER_OK;
	return culver_fail(call, CULVER_E_TEMP, err, "passwd database: user "
	    "%.100s", user);
}

/* NULL, or why nobody is served as PW. */
static const char *
unsafe(const struct culver_auth *au, const struct passwd *pw)
{
	if (pw->pw_uid == 0 || pw->pw_gid == 0 ||
	    pw->pw_uid == (uid_t)-1 || pw->pw_gid == (gid_t)-1)
		return "is root's";
	if ((int64_t)pw->pw_uid < au->opt[OPT_UID_MIN].u.i)
		return "is below uid_min";
	return NULL;
}

static culver_status
refuse(const struct culver_auth *au, const char *user,
    const struct passwd *pw, const char *why, struct culver_call *call)
{
	struct quoted q;

	culver_logf(au->host, CULVER_LOG_INFO, "user %s: its uid %u (gid %u) "
	    "%s: not served", quote(&q, user), (unsigned)pw->pw_uid,
	    (unsigned)pw->pw_gid, why);
	/* of others the next section may have one of this name */
	return culver_fail(call, CULVER_E_NOUSER, 0, "user %.100s: its uid "
	    "%u (gid %u) %s", user, (unsigned)pw->pw_uid,
	    (unsigned)pw->pw_gid, why);
}

culver_status
pam_user_check(struct culver_auth *au, const char *user,
    struct culver_call *call)
{
	struct passwd entry, *pw;
	char *buf;
	culver_status st = entry_find(user, &entry, &pw, &buf, call);

	if (st == CULVER_OK && pw != NULL && unsafe(au, pw) != NULL)
		st = refuse(au, user, pw, unsafe(au, pw), call);
	free(buf);
	return st;
}

/* --- where the mail is ----------------------------------------------------- */

static culver_status
text_set(struct culver_auth *au, const char **out, const char *text,
    struct culver_call *call)
{
	*out = culver_strndup(au->host, call, text, strlen(text));
	return *out != NULL ? CULVER_OK :
	    culver_fail(call, CULVER_E_NOMEM, 0, "user");
}

/* Users that NSS does not know have what the section says, if that is much. */
static culver_status
virtual_set(struct culver_auth *au, struct culver_user *out,
    struct culver_call *call)
{
	struct auth_user u = {.host = au->host, .where = "passwd database",
	    .out = out};

	return au->opt[OPT_UID].u.i == 0 ? CULVER_E_NOUSER :
	    auth_user_end(&u, &au->opt[OPT_UID], call);
}

static culver_status
entry_set(struct culver_auth *au, const char *user, const struct passwd *pw,
    struct culver_user *out, struct culver_call *call)
{
	if (unsafe(au, pw) != NULL)
		return refuse(au, user, pw, unsafe(au, pw), call);
	out->uid = (uint32_t)pw->pw_uid;
	out->gid = (uint32_t)pw->pw_gid;
	return pw->pw_dir != NULL ? text_set(au, &out->home, pw->pw_dir,
	    call) : CULVER_OK;
}

culver_status
pam_user_lookup(struct culver_auth *au, const struct culver_auth_req *rq,
    struct culver_user *out, struct culver_call *call)
{
	struct passwd entry, *pw;
	char *buf;
	culver_status st = entry_find(rq->user, &entry, &pw, &buf, call);

	if (st == CULVER_OK)
		st = text_set(au, &out->name, pw != NULL ? pw->pw_name :
		    rq->user, call);
	if (st == CULVER_OK)
		st = pw != NULL ? entry_set(au, rq->user, pw, out, call) :
		    virtual_set(au, out, call);
	free(buf);
	return st;
}
