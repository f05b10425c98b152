/*
 * options.h - every option of Culver itself, in one table that the parser,
 * the defaults, the printing and culver.conf(5) share.
 */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <culver/plugin.h>

enum cf_sect {
	CF_TOP, CF_LISTEN, CF_TLS, CF_HOST, CF_AUTH, CF_STORAGE, CF_CACHE,
	CF_LIMITS, CF_SECTS
};

enum cf_name_rule { CF_UNNAMED, CF_NAMED };

struct cf_sect_info {
	const char *word;		/* "listen" */
	enum cf_name_rule named;
	_Bool has_plugin;		/* further options are a plugin's */
	const char *example;		/* for a message about a missing name */
};

/* In the order of the table in options.c, section by section. */
enum cf_opt {
	O_HOSTNAME, O_RUN_DIR, O_STATE_DIR, O_LOG, O_LOG_LEVEL, O_LOG_FORMAT,
	O_CONTROL_GROUP, O_USER_CASE, O_GATES,
	O_RECIPIENT_DELIMITER, O_RECIPIENT_NAME, O_QUOTA_FULL,
	O_DELIVER_GROUP, O_SASL, O_MASTER_SEPARATOR,

	O_ADDRESS, O_PROTOCOL, O_TLS, O_PLAIN_LOGIN, O_PROXY, O_PROXY_TLS,
	O_MODE, O_OWNER, O_GROUP, O_LISTEN_ALLOW, O_LISTEN_DENY, O_REFUSAL,

	O_CERTIFICATE, O_KEY, O_CLIENT_CA, O_CLIENT_NAME,

	O_HOST_CERTIFICATE, O_HOST_KEY,

	O_AUTH_PLUGIN, O_AUTH_ALLOW, O_AUTH_GROUP, O_PROCESSES,
	O_CREDENTIALS, O_PROVIDES, O_USER_DATA, O_ON_UNKNOWN, O_ON_WRONG,
	O_ON_FAILURE, O_MASTERS,

	O_STORAGE_PLUGIN, O_STORAGE_ALLOW, O_GROUPS, O_LOCK_GROUP,

	O_CACHE_SIZE, O_CACHE_TIME, O_CACHE_NEGATIVE_TIME, O_CACHE_AWAY_TIME,

	O_LOGIN_TIME, O_IDLE_TIME, O_CONNECTIONS, O_CONNECTIONS_PER_IP,
	O_SESSIONS, O_BAD_COMMANDS, O_FAILURE_DELAY, O_FAILURE_DELAY_MAX,
	O_TAKEOVER, O_RELOAD_GRACE, O_STOP_GRACE, O_GATE_LOGINS, O_EXPIRE,
	O_UID_MIN, O_GID_MIN, O_UID_RANGES, O_SHARED_UID,
	O_MESSAGE_SIZE, O_SPOOL,

	O_COUNT
};

struct cf_option {
	struct culver_option o;
	enum cf_sect sect;
	const char *computed;	/* what the default is when it depends */
};

extern const struct cf_option cf_options[O_COUNT];
extern const struct cf_sect_info cf_sects[CF_SECTS];

/* The section WORD names below PARENT; CF_SECTS: none. */
enum cf_sect cf_sect_find(const char *word, enum cf_sect parent);

/* The option NAME of section S; O_COUNT: none. */
enum cf_opt cf_option_find(enum cf_sect s, const char *name);

#endif /* CONFIG_OPTIONS_H */
