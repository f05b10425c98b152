/*
 * load.h - a whole configuration: read, merged, converted and checked.
 *
 * Runs in the config role, confined.  Everything lives until mem_end().
 */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "core/config/conf.h"
#include "core/config/options.h"
#include "core/config/parse.h"
#include "core/plugin/loader.h"

struct cf_other {		/* a key that must be an option of the plugin */
	struct cf_other *next;
	const struct cf_key *key;
};

struct cf_section {
	struct cf_section *next;
	enum cf_sect sect;
	const char *name;		/* "" if it has none */
	struct cf_place at;
	_Bool implied;			/* in no file; AT is the main one */
	const struct cf_key *set[O_COUNT];	/* NULL: the default holds */
	struct culver_value v[O_COUNT];
	_Bool bad[O_COUNT];		/* was complained about: no value */
	/* auth and storage */
	struct cf_other *others;
	uint32_t allow;
	struct plugin *plugin;		/* NULL: could not be loaded */
	struct culver_value *values;	/* of the plugin's options */
};

struct cf_config {
	struct cf_section top, tls, cache, limits;
	struct cf_section *listen, *host, *auth, *storage;	/* lists */
	unsigned lacks;		/* SANDBOX_DESCRIPTORS or 0 */
};

/* The section listen of run_dir/deliver, which nobody writes. */
#define CF_OWN_LISTENER "culver-deliver"

struct cf_env {			/* what the configuration meets */
	struct cf_source source;
	const char *plugindir;
	_Bool check_owner;	/* of modules; OWNER may own them, or root */
	uid_t owner;
	unsigned cpus;
	uint64_t descriptors;	/* that a process may have; 0: never mind */
	unsigned lacks;		/* SANDBOX_*: what the machine cannot give */
	const char *hostname;
	const char *passwd, *group;	/* /etc/passwd, /etc/group */
	/* Called when all text was read and before any module is loaded; may
	 * be NULL. */
	void (*before_modules)(const struct cf_config *c);
};

struct cf_addr {
	struct sockaddr_storage ss;
	socklen_t len;
	_Bool is_unix, is_local;
};

/* Read everything into C.  What is wrong goes to diag; C is complete only if
 * diag_errors() is 0 afterwards. */
void cf_load(struct cf_config *c, const struct cf_env *env);

/* The steps of cf_load(), each of which reports its mistakes to diag. */
void cf_merge(struct cf_config *c, const struct cf_block *root);
void cf_check(struct cf_config *c, const struct cf_env *env);
void cf_modules(struct cf_config *c, const struct cf_env *env);

/* Report at option O of S (or at S, where it is not set). */
void cf_blame(struct cf_section *s, enum cf_opt o, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "storage maildir", "storage maildir: path": what messages begin with; NULL
 * for the top level. */
const char *cf_where(const struct cf_section *s, const char *key);

/* IPV4:PORT, [IPV6]:PORT or unix:PATH; false with ERR. */
_Bool cf_addr_parse(const char *text, struct cf_addr *out, char *err);

/* "192.0.2.0/24", "::1"; false with ERR. */
_Bool cf_net_parse(const char *text, struct conf_net *out, char *err);

/* "1000-1999" or "1000"; false with ERR. */
_Bool cf_range_parse(const char *text, uint32_t *first, uint32_t *last,
    char *err);

/* The id of NAME (or of a number) in FILE, a passwd or a group file; false
 * with ERR.  Never through NSS. */
_Bool cf_user_id(const char *file, const char *name, uint32_t *id, char *err);
_Bool cf_group_id(const char *file, const char *name, uint32_t *id,
    char *err);

/* UINT32_MAX: NEVER, UINT32_MAX - 1: off; false if TEXT is neither of these
 * nor days. */
_Bool cf_expire_parse(const char *text, uint32_t *days);

/* How many processes answer for auth section S. */
uint32_t cf_auth_processes(const struct cf_section *s);

/* CULVER_AU_* of what auth section S is asked for; 0 without a plugin. */
uint64_t cf_auth_caps(const struct cf_section *s);

/* Fill in what the coordinator knows of auth section SEC. */
void cf_auth_part(const struct cf_config *c, const struct cf_section *sec,
    struct conf_auth_part *out);

/* What CONFIG, with its plugins, serves and shows: bits of enum sasl_id. */
void cf_mechs(const struct cf_config *c, uint32_t *mechs, uint32_t *announced);

#endif /* CONFIG_LOAD_H */
