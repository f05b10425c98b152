/*
 * link.c - connections to servers: made, kept, and made again.
 *
 * Runs in a pool process, one login at a time.  Every wait has an end before
 * the call's: that for a connection by libldap's network time-out, all else by
 * a socket that does not block and by layers.c.
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include <culver/util.h>

#include "plugins/auth_ldap/dir.h"

enum { MAX_MESSAGE = 1024 * 1024,	/* octets that a server may send */
	MAX_URI = 1024 };

/* --- time and errors -------------------------------------------------------- */

static struct timeval
time_left(const struct dir_link *l, uint64_t deadline)
{
	int ms = auth_time_left(l->au->host, deadline);

	return (struct timeval){.tv_sec = ms / 1000,
	    .tv_usec = ms % 1000 * 1000};
}

uint64_t
dir_link_deadline(const struct dir_link *l, const struct culver_call *call)
{
	uint64_t end = l->au->host->now(l->au->host) + l->au->servers.timeout;

	return end < call->deadline ? end : call->deadline;
}

static culver_status
fail(struct dir_link *l, const char *text, struct culver_call *call)
{
	return auth_server_fail(&l->au->servers.v[l->at], text, call);
}

culver_status
dir_link_fail(struct dir_link *l, int rc, struct culver_call *call)
{
	char *more = NULL, text[200];

	if (rc == LDAP_NO_MEMORY)
		return culver_fail(call, CULVER_E_NOMEM, 0, "directory");
	/* all that is not the server's answer */
	l->lost |= rc < 0 && rc != LDAP_FILTER_ERROR;
	if (l->ld != NULL)
		ldap_get_option(l->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
	if (rc < 0 && auth_time_left(l->au->host, l->until) == 0)
		rc = LDAP_TIMEOUT;
	snprintf(text, sizeof(text), "%s%s%.120s", rc == LDAP_TIMEOUT ?
	    "no answer in time" : ldap_err2string(rc), more != NULL &&
	    more[0] != 0 ? ": " : "", more != NULL ? more : "");
	ldap_memfree(more);
	return fail(l, text, call);
}

/* --- answers ---------------------------------------------------------------- */

culver_status
dir_link_wait(struct dir_link *l, int msgid, uint64_t deadline,
    LDAPMessage **out, struct culver_call *call)
{
	struct timeval left = time_left(l, deadline);
	int rc = ldap_result(l->ld, msgid, LDAP_MSG_ONE, &left, out);

	if (rc > 0)
		return CULVER_OK;
	*out = NULL;
	if (rc < 0)
		ldap_get_option(l->ld, LDAP_OPT_RESULT_CODE, &rc);
	return dir_link_fail(l, rc < 0 ? rc : LDAP_TIMEOUT, call);
}

static void
policy_take(struct dir_link *l, LDAPControl **controls, struct dir_answer *out)
{
	LDAPControl *c = ldap_control_find(
	    LDAP_CONTROL_PASSWORDPOLICYRESPONSE, controls, NULL);
	ber_int_t expire, grace;

	if (c != NULL && ldap_parse_passwordpolicy_control(l->ld, c, &expire,
	    &grace, &out->policy) != LDAP_SUCCESS)
		out->policy = PP_noError;
}

culver_status
dir_link_result(struct dir_link *l, LDAPMessage *m, struct dir_answer *out,
    struct culver_call *call)
{
	LDAPControl **controls = NULL;
	char *text = NULL;
	int rc;

	*out = (struct dir_answer){.code = LDAP_OTHER,
	    .policy = PP_noError};
	rc = ldap_parse_result(l->ld, m, &out->code, NULL, &text, NULL,
	    &controls, 0);
	if (text != NULL)
		snprintf(out->text, sizeof(out->text), "%s", text);
	ldap_memfree(text);
	if (controls != NULL) {
		policy_take(l, controls, out);
		ldap_controls_free(controls);
	}
	if (rc != LDAP_SUCCESS)
		return dir_link_fail(l, LDAP_DECODING_ERROR, call);
	if (!dir_is_unavailable(out->code))
		return CULVER_OK;
	l->lost = l->failed = true;
	return dir_link_fail(l, out->code, call);
}

culver_status
dir_link_bind(struct dir_link *l, const char *dn,
    const struct culver_str *password, uint64_t deadline,
    struct dir_answer *out, struct culver_call *call)
{
	char oid[] = LDAP_CONTROL_PASSWORDPOLICYREQUEST;
	LDAPControl policy = {.ldctl_oid = oid};
	LDAPControl *controls[] = {&policy, NULL};
	struct berval cred = {.bv_len = password->n,
	    .bv_val = (char *)(uintptr_t)password->p};
	LDAPMessage *m = NULL;
	culver_status st;
	int msgid, rc;

	l->until = deadline;
	/* RFC 4513 5.1.2: without one of them a server says yes to anybody */
	if (dn[0] == 0 || password->n == 0)
		return culver_fail(call, CULVER_E_TEMP, 0, "a bind without a "
		    "name or password");
	rc = ldap_sasl_bind(l->ld, dn, LDAP_SASL_SIMPLE, &cred, controls, NULL,
	    &msgid);
	if (rc != LDAP_SUCCESS)
		return dir_link_fail(l, rc, call);
	st = dir_link_wait(l, msgid, deadline, &m, call);
	if (st == CULVER_OK)
		st = dir_link_result(l, m, out, call);
	ldap_msgfree(m);
	return st;
}

/* --- connect ---------------------------------------------------------------- */

static const char *
option(const struct dir_link *l, unsigned i)
{
	struct span s = span_option(&l->au->opt[i]);

	return s.n > 0 ? s.p : NULL;
}

static bool
tls_set(const struct dir_link *l)
{
	bool verify = l->au->opt[OPT_TLS].u.i == DIR_TLS_VERIFY;
	const int want = verify ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER;
	const int oldest = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, client = 0;
	const char *ca = option(l, OPT_TLS_CA);
	const char *cert = option(l, OPT_TLS_CERT);
	const char *key = option(l, OPT_TLS_KEY);

	if (ca == NULL && verify)
		ca = PLUG_SYSTEM_CA;
	return ldap_set_option(l->ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &want) ==
	    LDAP_OPT_SUCCESS &&
	    ldap_set_option(l->ld, LDAP_OPT_X_TLS_PROTOCOL_MIN, &oldest) ==
	    LDAP_OPT_SUCCESS &&
	    (ca == NULL || ldap_set_option(l->ld, LDAP_OPT_X_TLS_CACERTFILE,
	    ca) == LDAP_OPT_SUCCESS) &&
	    (cert == NULL || ldap_set_option(l->ld, LDAP_OPT_X_TLS_CERTFILE,
	    cert) == LDAP_OPT_SUCCESS) &&
	    (key == NULL || ldap_set_option(l->ld, LDAP_OPT_X_TLS_KEYFILE,
	    key) == LDAP_OPT_SUCCESS) &&
	    ldap_set_option(l->ld, LDAP_OPT_X_TLS_NEWCTX, &client) ==
	    LDAP_OPT_SUCCESS;
}

/* What holds for every server; no reading of what a server refers to. */
static bool
options_set(const struct dir_link *l)
{
	struct timeval left = time_left(l, l->until);
	const int version = LDAP_VERSION3, never = LDAP_DEREF_NEVER;

	return ldap_set_option(l->ld, LDAP_OPT_PROTOCOL_VERSION, &version) ==
	    LDAP_OPT_SUCCESS &&
	    ldap_set_option(l->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) ==
	    LDAP_OPT_SUCCESS &&
	    ldap_set_option(l->ld, LDAP_OPT_DEREF, &never) ==
	    LDAP_OPT_SUCCESS &&
	    ldap_set_option(l->ld, LDAP_OPT_RESTART, LDAP_OPT_ON) ==
	    LDAP_OPT_SUCCESS &&
	    ldap_set_option(l->ld, LDAP_OPT_NETWORK_TIMEOUT, &left) ==
	    LDAP_OPT_SUCCESS;
}

/* The socket does not block, and no message is huge. */
static bool
socket_set(struct dir_link *l, Sockbuf **sb)
{
	ber_len_t most = MAX_MESSAGE;
	int fd = -1, flags;

	return ldap_get_option(l->ld, LDAP_OPT_SOCKBUF, sb) ==
	    LDAP_OPT_SUCCESS && *sb != NULL &&
	    ber_sockbuf_ctrl(*sb, LBER_SB_OPT_SET_MAX_INCOMING, &most) >= 0 &&
	    ldap_get_option(l->ld, LDAP_OPT_DESC, &fd) == LDAP_OPT_SUCCESS &&
	    (flags = fcntl(fd, F_GETFL)) >= 0 &&
	    fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

static culver_status
start_tls(struct dir_link *l, struct culver_call *call)
{
	struct dir_answer a = {.code = LDAP_OTHER};
	LDAPMessage *m = NULL;
	culver_status st;
	int msgid, rc = ldap_start_tls(l->ld, NULL, NULL, &msgid);

	if (rc != LDAP_SUCCESS)
		return dir_link_fail(l, rc, call);
	st = dir_link_wait(l, msgid, l->until, &m, call);
	if (st == CULVER_OK)
		st = dir_link_result(l, m, &a, call);
	ldap_msgfree(m);
	if (st == CULVER_OK && a.code != LDAP_SUCCESS)
		st = fail(l, "the server does no TLS", call);
	return st;
}

static culver_status
install_tls(struct dir_link *l, struct culver_call *call)
{
	int rc = ldap_install_tls(l->ld);

	if (rc == LDAP_SUCCESS)
		return CULVER_OK;
	if (auth_time_left(l->au->host, l->until) == 0)
		return dir_link_fail(l, LDAP_TIMEOUT, call);
	/* libldap keeps to itself what it was */
	return fail(l, "no TLS that can be trusted: is its certificate for "
	    "this name, and signed by tls_ca?", call);
}

static bool
has_tls(const struct dir_link *l, const char *uri)
{
	return l->au->opt[OPT_TLS].u.i != DIR_TLS_OFF &&
	    !ldap_is_ldapi_url(uri);
}

/* It is connected: all that is added before the first request. */
static culver_status
socket_secure(struct dir_link *l, const char *uri, struct culver_call *call)
{
	bool tls = has_tls(l, uri);
	culver_status st = CULVER_OK;
	Sockbuf *sb = NULL;

	if (!socket_set(l, &sb) || !dir_layer_wait(sb, l))
		return fail(l, "the connection cannot be used", call);
	if (tls && !ldap_is_ldaps_url(uri))
		st = start_tls(l, call);
	if (tls && st == CULVER_OK)
		st = install_tls(l, call);
	/* TLS made it block again */
	if (st == CULVER_OK && (!socket_set(l, &sb) || !dir_layer_wipe(sb)))
		st = fail(l, "the connection cannot be used", call);
	return st;
}

static culver_status
search_bind(struct dir_link *l, uint64_t deadline, struct culver_call *call)
{
	const struct culver_str *password =
	    &l->au->opt[OPT_BIND_PASSWORD].u.s;
	const char *dn = option(l, OPT_BIND_DN);
	struct dir_answer a = {.code = LDAP_OTHER};
	culver_status st;
	char text[200];

	if (!l->is_search || dn == NULL)
		return CULVER_OK;
	st = dir_link_bind(l, dn, password, deadline, &a, call);
	if (st != CULVER_OK || a.code == LDAP_SUCCESS)
		return st;
	snprintf(text, sizeof(text), "bind_dn may not bind: %s%s%.100s",
	    ldap_err2string(a.code), a.text[0] != 0 ? ": " : "", a.text);
	return fail(l, text, call);
}

/* A connection to URI; ldaps:// is one to ldap:// at first, so that TLS begins
 * above the layer that minds the time. */
static int
plain_open(LDAP **ld, const char *uri, char text[MAX_URI])
{
	LDAPURLDesc *u = NULL;
	bool brackets;

	snprintf(text, MAX_URI, "%s", uri);
	if (ldap_is_ldaps_url(uri)) {
		if (ldap_url_parse(uri, &u) != LDAP_URL_SUCCESS)
			return LDAP_PARAM_ERROR;
		brackets = strchr(u->lud_host, ':') != NULL;
		snprintf(text, MAX_URI, "ldap://%s%s%s:%d",
		    brackets ? "[" : "", u->lud_host, brackets ? "]" : "",
		    u->lud_port != 0 ? u->lud_port : LDAPS_PORT);
		ldap_free_urldesc(u);
	}
	return ldap_initialize(ld, text);
}

static culver_status
server_open(void *arg, unsigned at, uint64_t deadline,
    struct culver_call *call)
{
	struct dir_link *l = arg;
	const char *uri = l->au->servers.v[at].name;
	culver_status st = CULVER_OK;
	char text[MAX_URI];
	int rc;

	l->at = at;
	l->until = deadline;
	rc = plain_open(&l->ld, uri, text);
	if (rc == LDAP_SUCCESS && (!options_set(l) ||
	    (has_tls(l, uri) && !tls_set(l))))
		st = fail(l, "libldap refuses its options: are tls_ca, "
		    "tls_certificate and tls_key right, and readable?", call);
	else if (rc == LDAP_SUCCESS)
		rc = ldap_connect(l->ld);
	if (rc != LDAP_SUCCESS)
		st = dir_link_fail(l, rc, call);
	if (st == CULVER_OK)
		st = socket_secure(l, uri, call);
	if (st == CULVER_OK)
		st = search_bind(l, deadline, call);
	if (st != CULVER_OK)
		dir_link_close(l);
	return st;
}

void
dir_link_close(struct dir_link *l)
{
	if (l->ld != NULL)
		ldap_unbind_ext(l->ld, NULL, NULL);
	l->ld = NULL;
	l->lost = l->failed = false;
}

/* --- run --------------------------------------------------------------------- */

culver_status
dir_link_run(struct dir_link *l, dir_op *op, void *arg,
    struct culver_call *call)
{
	struct auth_servers *s = &l->au->servers;
	culver_status st = CULVER_E_TEMP;

	for (unsigned i = 0; i <= s->n; i++) {
		bool kept = l->ld != NULL, failed;

		st = kept ? CULVER_OK : auth_servers_open(s, &l->at,
		    server_open, l, call);
		if (st != CULVER_OK)
			return st;
		st = op(l, arg, call);
		if (!l->lost)
			return st;
		/* A kept one may have ended long ago, unseen. */
		failed = l->failed || !kept;
		dir_link_close(l);
		if (failed)
			auth_servers_failed(s, l->at, call);
		if (st == CULVER_E_NOMEM ||
		    auth_time_left(s->host, call->deadline) == 0)
			break;
	}
	return st;
}
