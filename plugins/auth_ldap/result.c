/*
 * result.c - what a server's answer to a user's password means.
 *
 * Runs in a pool process.  A fault of the server or of the configuration is
 * never taken for a wrong password.
 */
#include "config.h"

#include <string.h>

#include "plugins/auth_ldap/dir.h"

struct meaning {
	const char *text;	/* in what the server says */
	culver_status status;
	const char *why;
};

/* Active Directory answers invalidCredentials to all, with a code of its own
 * in the text: "80090308: LdapErr: DSID-0C09044E, comment: ..., data 52e". */
static const struct meaning active_directory[] = {
	{"data 525", CULVER_E_NOUSER, "there is no such user"},
	{"data 530", CULVER_E_DISABLED, "may not log in at this time"},
	{"data 531", CULVER_E_DISABLED, "may not log in from here"},
	{"data 532", CULVER_E_EXPIRED, "the password has expired"},
	{"data 533", CULVER_E_DISABLED, "the account is disabled"},
	{"data 701", CULVER_E_DISABLED, "the account has expired"},
	{"data 773", CULVER_E_EXPIRED, "the password must be changed"},
	{"data 775", CULVER_E_DISABLED, "the account is locked"},
};

static culver_status
invalid(const struct dir_answer *a, const char **why)
{
	*why = "wrong password";
	if (a->policy == PP_accountLocked) {
		*why = "the account is locked";
		return CULVER_E_DISABLED;
	}
	if (a->policy == PP_passwordExpired) {
		*why = "the password has expired";
		return CULVER_E_EXPIRED;
	}
	for (size_t i = 0; i < sizeof(active_directory) /
	    sizeof(active_directory[0]); i++) {
		const struct meaning *m = &active_directory[i];

		if (strstr(a->text, m->text) != NULL) {
			*why = m->why;
			return m->status;
		}
	}
	return CULVER_E_AUTH;
}

culver_status
dir_bind_status(const struct dir_answer *a, const char **why)
{
	*why = a->text[0] != 0 ? a->text : ldap_err2string(a->code);
	switch (a->code) {
	case LDAP_SUCCESS:
		if (a->policy != PP_changeAfterReset)
			return CULVER_OK;
		*why = "the password must be changed";
		return CULVER_E_EXPIRED;
	case LDAP_INVALID_CREDENTIALS:
		return invalid(a, why);
	case LDAP_NO_SUCH_OBJECT:
		return CULVER_E_NOUSER;
	case LDAP_INAPPROPRIATE_AUTH:	/* it has no password */
	case LDAP_CONSTRAINT_VIOLATION:	/* too many tries */
		return CULVER_E_DISABLED;
	case LDAP_UNWILLING_TO_PERFORM:	/* 389 Directory Server, FreeIPA */
		if (strncmp(a->text, "Account inactivated", 19) == 0)
			return CULVER_E_DISABLED;
		break;
	default:
		break;
	}
	return CULVER_E_TEMP;
}

bool
dir_is_unavailable(int code)
{
	return code == LDAP_BUSY || code == LDAP_UNAVAILABLE;
}
