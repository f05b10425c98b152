/*
 * culver/auth.h - who is this, and where does their mail live.
 *
 * Runs in a pool of unprivileged processes, one pool a section of the
 * configuration, each process serving one call at a time, so every call may
 * block.  The plugin completes struct culver_auth.
 */
#ifndef CULVER_AUTH_H
#define CULVER_AUTH_H

#include <culver/abi.h>
#include <culver/host.h>
#include <culver/plugin.h>
#include <culver/storage.h>

#ifdef __cplusplus
extern "C" {
#endif

struct culver_auth;

enum {				/* [BIT] as in storage.h */
	CULVER_AU_VERIFY = 1u << 0,	/* passdb: verify_plain */
	CULVER_AU_CREDS = 1u << 1,		/* passdb: lookup_creds */
	CULVER_AU_USER = 1u << 2,		/* userdb: lookup_user */
	CULVER_AU_NO_CACHE = 1u << 3,	/* results must not be cached */
	CULVER_AU_TOKEN = 1u << 4,	/* verify_plain heeds CULVER_RQ_TOKEN */
	CULVER_AU_EXTERNAL = 1u << 5,	/* verify_plain heeds
					 * CULVER_RQ_EXTERNAL */
	CULVER_AU_QUICK = 1u << 6	/* verify_plain heeds
					 * CULVER_RQ_QUICK */
};

enum {				/* request flags */
	CULVER_RQ_TLS = 1u << 0,
	CULVER_RQ_LOOPBACK = 1u << 1,
	/* [TOKEN] The password is an OAuth 2.0 bearer token (RFC 6750).  OK
	 * only if it is good and, where `user` is not "", that user's; where
	 * it is "", ok->user says whose it is. */
	CULVER_RQ_TOKEN = 1u << 2,
	/* [EXTERNAL] The password is empty: a certificate has shown who it
	 * is.  OK if there is such a user who may log in. */
	CULVER_RQ_EXTERNAL = 1u << 3,
	/* [QUICK] Others wait for this process, all others of the section being
	 * busy: if to check PASSWORD would take more than about 2 ms, the
	 * answer is E_UNSUPPORTED, and the question comes again without this
	 * flag, when a process has time.  For a user who is not there it is
	 * the same as for most who are. */
	CULVER_RQ_QUICK = 1u << 4
};

struct culver_auth_req {
	uint32_t size;
	uint32_t flags;
	const char *user;	/* as `user_case` says; no '/', no leading '.',
				 * no control byte, 1 to 255 bytes of UTF-8;
				 * maybe "" with CULVER_RQ_TOKEN */
	const char *service;	/* "pop3" */
	const char *remote, *local;	/* address text */
	const char *session;	/* for log lines */
};

enum {				/* one wanted form per lookup_creds() */
	CULVER_CRED_HASH = 1,	/* "{SCHEME}..." the core verifies itself */
	CULVER_CRED_PLAIN,		/* APOP, CRAM-MD5 */
	CULVER_CRED_SCRAM_SHA1,	/* salt, iterations, two keys */
	CULVER_CRED_SCRAM_SHA256
};

/*
 * The core has set size, form and, for SCRAM, salt and iterations, and cleared
 * the rest; the plugin fills in no member that size does not cover
 * (CULVER_HAS()), and leaves size as it is.
 * All byte strings are in the call's arena, which the core wipes.
 */
struct culver_cred {
	uint32_t size;
	uint32_t form;		/* CULVER_CRED_*, as asked */
	struct culver_str secret;	/* HASH, PLAIN; at most 1024 bytes */
	/* SCRAM (RFC 5802 3): the user's own; or, if only the password is
	 * known, StoredKey and ServerKey that are made of it with the salt and
	 * the iterations that are there already.  That salt belongs to the
	 * user's name: names that no user has get one, too. */
	struct culver_str salt;	/* 1..64 bytes */
	struct culver_str stored_key, server_key;	/* 20 or 32 bytes */
	uint32_t iterations;	/* 1..10,000,000 */
	uint32_t reserved0;
};

/* Extra facts that come with a positive answer; size as in culver_cred. */
struct culver_auth_ok {
	uint32_t size;
	uint32_t reserved0;
	const char *user;	/* new canonical name, or NULL */
	uint64_t login_delay;	/* ns between logins, RFC 2449; 0: default */
	uint32_t expire_days;	/* RFC 2449 EXPIRE; UINT32_MAX: NEVER */
	uint32_t reserved1;
};

struct culver_auth_ops {
	uint32_t size;
	uint32_t reserved0;

	culver_status (*create)(struct culver_auth **out,
	    const struct culver_host *host, const struct culver_values *vals,
	    struct culver_call *call);
	void (*destroy)(struct culver_auth *au);

	/* As in storage.h; called once after create(). */
	culver_status (*paths)(struct culver_auth *au,
	    struct culver_path *out, uint32_t cap, uint32_t *n,
	    struct culver_call *call);

	/*
	 * [VERIFY, TOKEN, EXTERNAL] Is PASSWORD right?  The core asks with a
	 * password only where VERIFY is, and with a request flag of the others
	 * only where they are.  OK, E_AUTH, E_NOUSER, E_DISABLED,
	 * E_EXPIRED, E_DELAY, E_DECLINE, or a system failure; with
	 * CULVER_RQ_QUICK E_UNSUPPORTED, too.  The core owns
	 * and wipes PASSWORD; no copy may outlive the call.
	 */
	culver_status (*verify_plain)(struct culver_auth *au,
	    const struct culver_auth_req *rq, const struct culver_str *password,
	    struct culver_auth_ok *ok, struct culver_call *call);

	/*
	 * [CREDS] Give the stored secret in form out->form.  E_UNSUPPORTED if
	 * the user has none in that form; else as verify_plain(), but for
	 * E_AUTH.  Should take as long for a user whom it does not know.
	 */
	culver_status (*lookup_creds)(struct culver_auth *au,
	    const struct culver_auth_req *rq, struct culver_cred *out,
	    struct culver_auth_ok *ok, struct culver_call *call);

	/* [USER] Ids, home and location; strings in the arena.  The core has
	 * set out->size, as in culver_cred. */
	culver_status (*lookup_user)(struct culver_auth *au,
	    const struct culver_auth_req *rq, struct culver_user *out,
	    struct culver_call *call);
	/* ABI 1.0 ends here. */
};

#ifdef __cplusplus
}
#endif

#endif /* CULVER_AUTH_H */
