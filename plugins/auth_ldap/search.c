/*
 * search.c - find the one entry of a user.
 *
 * Runs in a pool process.  What is searched for holds a client's text, quoted;
 * a search that failed, or found several, never means "unknown user".
 */
#include "config.h"

#include <string.h>
#include <sys/time.h>

#include <culver/util.h>

#include "plugins/auth_ldap/dir.h"

enum { MAX_MESSAGES = 100 };	/* that answer one search */

struct search {
	const struct culver_auth_req *rq;
	struct dir_found *out;
	char base[DIR_MAX_EXPANDED], filter[DIR_MAX_EXPANDED];
	unsigned entries;
	culver_status taken;	/* what became of the first one */
};

static culver_status
result_read(struct dir_link *l, struct search *s, LDAPMessage *m,
    struct culver_call *call)
{
	struct dir_answer a;
	culver_status st = dir_link_result(l, m, &a, call);

	if (st != CULVER_OK)
		return st;
	if (a.code == LDAP_NO_SUCH_OBJECT &&
	    dir_template_varies(span_option(&l->au->opt[OPT_BASE])))
		return CULVER_E_NOUSER;
	if (s->entries > 1 || a.code == LDAP_SIZELIMIT_EXCEEDED)
		return culver_fail(call, CULVER_E_TEMP, 0, "the search gives "
		    "several entries for user %s", s->rq->user);
	if (a.code != LDAP_SUCCESS)
		return culver_fail(call, CULVER_E_TEMP, 0, "%.60s: the "
		    "search: %s%s%.100s", l->au->servers.v[l->at].name,
		    ldap_err2string(a.code), a.text[0] != 0 ? ": " : "",
		    a.text);
	return s->entries == 0 ? CULVER_E_NOUSER : s->taken;
}

/* Wipe an entry's values, which stand in the message itself: a password may
 * be among them. */
static void
entry_wipe(LDAP *ld, LDAPMessage *e)
{
	BerElement *ber = NULL;
	struct berval dn, attr, *v = NULL;

	if (ldap_get_dn_ber(ld, e, &ber, &dn) == LDAP_SUCCESS)
		while (ldap_get_attribute_ber(ld, e, ber, &attr, &v) ==
		    LDAP_SUCCESS && attr.bv_val != NULL) {
			for (unsigned i = 0; v != NULL && v[i].bv_val != NULL;
			    i++)
				explicit_bzero(v[i].bv_val, v[i].bv_len);
			ldap_memfree(v);
			v = NULL;
		}
	ber_free(ber, 0);
}

/* Read all that answers the search MSGID. */
static culver_status
answers_read(struct dir_link *l, struct search *s, int msgid,
    struct culver_call *call)
{
	culver_status st = CULVER_OK;
	LDAPMessage *m;

	for (unsigned i = 0; i < MAX_MESSAGES; i++) {
		int type;

		st = dir_link_wait(l, msgid, l->until, &m, call);
		if (st != CULVER_OK)
			return st;
		type = ldap_msgtype(m);
		if (type == LDAP_RES_SEARCH_ENTRY && s->entries++ == 0)
			s->taken = dir_entry_take(l->au, l->ld, m, s->rq,
			    s->out, call);
		if (type == LDAP_RES_SEARCH_RESULT)
			st = result_read(l, s, m, call);
		if (type == LDAP_RES_SEARCH_ENTRY)
			entry_wipe(l->ld, m);
		ldap_msgfree(m);
		/* references to other servers are none of ours */
		if (type == LDAP_RES_SEARCH_RESULT)
			return st;
	}
	l->lost = true;
	return culver_fail(call, CULVER_E_TEMP, 0, "%.60s: the search does "
	    "not end", l->au->servers.v[l->at].name);
}

static culver_status
search_op(struct dir_link *l, void *arg, struct culver_call *call)
{
	static const int scopes[] = {LDAP_SCOPE_SUBTREE, LDAP_SCOPE_ONELEVEL,
	    LDAP_SCOPE_BASE};
	struct search *s = arg;
	/* libldap does not write there */
	char **ask = (char **)(uintptr_t)l->au->map.ask;
	struct timeval limit = {.tv_sec = (time_t)((l->au->servers.timeout +
	    999999999) / 1000000000)};
	int msgid, rc;

	s->entries = 0;
	s->taken = CULVER_OK;
	*s->out = (struct dir_found){.dn = NULL};
	l->until = dir_link_deadline(l, call);
	rc = ldap_search_ext(l->ld, s->base, scopes[l->au->opt[OPT_SCOPE].u.i],
	    s->filter, ask, 0, NULL, NULL, &limit, 2, &msgid);
	if (rc != LDAP_SUCCESS)
		return dir_link_fail(l, rc, call);
	return answers_read(l, s, msgid, call);
}

culver_status
dir_find(struct culver_auth *au, const struct culver_auth_req *rq,
    struct dir_found *out, struct culver_call *call)
{
	struct span base = span_option(&au->opt[OPT_BASE]);
	struct search s = {.rq = rq, .out = out};
	const char *why;

	*out = (struct dir_found){.dn = NULL};
	if (base.n == 0)
		return culver_fail(call, CULVER_E_DECLINE, 0, "there is no "
		    "base to search below");
	/* nobody looks at the names of what the entry is below */
	if (dir_template_varies(base) && !dir_name_is_plain(rq->user))
		return CULVER_E_NOUSER;
	if (!dir_expand(base, rq, true, s.base, &why) ||
	    !dir_expand(span_option(&au->opt[OPT_FILTER]), rq, true, s.filter,
	    &why))
		return culver_fail(call, CULVER_E_TEMP, 0, "what to search "
		    "for user %s: %s", rq->user, why);
	return dir_link_run(&au->search, search_op, &s, call);
}
