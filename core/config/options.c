/*
 * options.c - the table of Culver's own options.
 *
 * The help texts become culver.conf(5): sentences without the final full
 * stop, about what an administrator decides with the option.
 */
#include "config.h"

#include <string.h>

#include "core/config/options.h"

#define NS(s) ((s) * INT64_C(1000000000))
#define DAY NS(86400)

static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const formats[] = {"text", "json", NULL};
static const char *const cases[] = {"keep", "lower", NULL};
static const char *const protocols[] = {"pop3", "lmtp", "metrics", NULL};
static const char *const names[] = {"any", "address", "local", NULL};
static const char *const fulls[] = {"temporary", "permanent", NULL};
static const char *const refusals[] = {"reply", "close", NULL};
static const char *const tls_kinds[] = {"starttls", "implicit", "off", NULL};
static const char *const client_names[] = {"cn", "email", "uid", NULL};
static const char *const plain_kinds[] = {"local", "never", "always", NULL};
static const char *const on_unknown[] = {"next", "stop", "temporary", NULL};
static const char *const on_wrong[] = {"stop", "next", NULL};
static const char *const on_failure[] = {"temporary", "next", NULL};
static const char *const confinements[] = {"confined", "unconfined", NULL};

const struct cf_sect_info cf_sects[CF_SECTS] = {
	[CF_TOP] = {"", CF_UNNAMED, 0, ""},
	[CF_LISTEN] = {"listen", CF_NAMED, 0, "listen pop3 { ... }"},
	[CF_TLS] = {"tls", CF_UNNAMED, 0, "tls { ... }"},
	[CF_HOST] = {"host", CF_NAMED, 0, "host \"mail.example.org\" { ... }"},
	[CF_AUTH] = {"auth", CF_NAMED, 1, "auth passwdfile { ... }"},
	[CF_STORAGE] = {"storage", CF_NAMED, 1, "storage maildir { ... }"},
	[CF_CACHE] = {"auth_cache", CF_UNNAMED, 0, "auth_cache { ... }"},
	[CF_LIMITS] = {"limits", CF_UNNAMED, 0, "limits { ... }"},
};

#define TOP(nr, n, t) [nr] = {.sect = CF_TOP, .o.name = n, .o.type = t
#define LISTEN(nr, n, t) [nr] = {.sect = CF_LISTEN, .o.name = n, .o.type = t
#define TLS(nr, n, t) [nr] = {.sect = CF_TLS, .o.name = n, .o.type = t
#define HOST(nr, n, t) [nr] = {.sect = CF_HOST, .o.name = n, .o.type = t
#define AUTH(nr, n, t) [nr] = {.sect = CF_AUTH, .o.name = n, .o.type = t
#define STORAGE(nr, n, t) [nr] = {.sect = CF_STORAGE, .o.name = n, .o.type = t
#define CACHE(nr, n, t) [nr] = {.sect = CF_CACHE, .o.name = n, .o.type = t
#define LIMIT(nr, n, t) [nr] = {.sect = CF_LIMITS, .o.name = n, .o.type = t

const struct cf_option cf_options[O_COUNT] = {
	TOP(O_HOSTNAME, "hostname", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 255, .computed = "the machine's name",
	    .o.help = "the server's name in the replies of LMTP and in the "
	    "Received fields that it adds; POP3 does not tell it"},
	TOP(O_RUN_DIR, "run_dir", CULVER_OPT_PATH),
	    .o.min = 1, .o.max = 900, .o.def = "/run/culver",
	    .o.help = "folder of sockets and of what lives as long as the "
	    "server; each instance on a machine needs its own"},
	TOP(O_STATE_DIR, "state_dir", CULVER_OPT_PATH),
	    .o.min = 1, .o.max = 900, .o.def = "/var/lib/culver",
	    .o.help = "folder of what outlives the server"},
	TOP(O_LOG, "log", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 1023, .o.def = "syslog",
	    .o.help = "where log lines go: syslog, stderr, or the absolute "
	    "path of a file, which is opened again on reload"},
	TOP(O_LOG_LEVEL, "log_level", CULVER_OPT_ENUM),
	    .o.def = "info", .o.choices = levels,
	    .o.help = "the least important lines that are still written"},
	TOP(O_LOG_FORMAT, "log_format", CULVER_OPT_ENUM),
	    .o.def = "text", .o.choices = formats,
	    .o.help = "how lines are written: text for people, or one JSON "
	    "object a line"},
	TOP(O_CONTROL_GROUP, "control_group", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 255, .computed = "none",
	    .o.help = "members of this group (a name or a number) may ask "
	    "for status and sessions; only root may change anything; "
	    "cannot change in a reload"},
	TOP(O_USER_CASE, "user_case", CULVER_OPT_ENUM),
	    .o.def = "lower", .o.choices = cases,
	    .o.help = "whether login names are turned to lower case before "
	    "anybody is asked about them"},
	TOP(O_GATES, "gates", CULVER_OPT_INT),
	    .o.min = 0, .o.max = 256, .o.def = "0",
	    .computed = "one for each processor",
	    .o.help = "how many processes accept connections; 0 is one for "
	    "each processor"},
	TOP(O_RECIPIENT_DELIMITER, "recipient_delimiter", CULVER_OPT_STRING),
	    .o.min = 0, .o.max = 15, .o.def = "+",
	    .o.help = "characters that end the user's name in the local part "
	    "of a recipient: mail for user+tag is user's, unless there is a "
	    "user+tag; \"\": none"},
	TOP(O_RECIPIENT_NAME, "recipient_name", CULVER_OPT_ENUM),
	    .o.def = "any", .o.choices = names,
	    .o.help = "which user a recipient is: the one with this address "
	    "for a name, the one with its local part, or any of them, asked "
	    "for in this order"},
	TOP(O_QUOTA_FULL, "quota_full", CULVER_OPT_ENUM),
	    .o.def = "temporary", .o.choices = fulls,
	    .o.help = "whether mail for a user over quota may come again "
	    "later (452) or goes back (552)"},
	TOP(O_DELIVER_GROUP, "deliver_group", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 255, .computed = "culver-deliver, if there "
	    "is such a group",
	    .o.help = "members of this group (a name or a number) may "
	    "deliver to everybody with culver-deliver, others only to "
	    "themselves"},
	TOP(O_SASL, "sasl", CULVER_OPT_LIST),
	    .o.min = 1, .o.max = 40, .computed = "all but CRAM-MD5 and APOP",
	    .o.help = "the ways to log in that are served, if an auth section "
	    "can: PLAIN, LOGIN, SCRAM-SHA-256-PLUS, SCRAM-SHA-256, "
	    "SCRAM-SHA-1-PLUS, SCRAM-SHA-1, CRAM-MD5, EXTERNAL, OAUTHBEARER, "
	    "XOAUTH2, APOP; USER and PASS go with PLAIN and LOGIN"},
	TOP(O_MASTER_SEPARATOR, "master_separator", CULVER_OPT_STRING),
	    .o.min = 0, .o.max = 1, .computed = "none",
	    .o.help = "the character between user and master in the names of "
	    "master users, as * in user*master"},

	LISTEN(O_ADDRESS, "address", CULVER_OPT_LIST),
	    .o.min = 1, .o.max = 127, .computed = "all addresses, port 110 "
	    "for a section named pop3, 995 for one named pop3s; "
	    "run_dir/metrics for metrics",
	    .o.help = "where clients connect to: IPV4:PORT, [IPV6]:PORT or "
	    "unix:PATH"},
	LISTEN(O_PROTOCOL, "protocol", CULVER_OPT_ENUM),
	    .o.def = "pop3", .o.choices = protocols,
	    .o.help = "what is spoken there; lmtp takes mail in, metrics "
	    "answers HTTP with what culverctl metrics shows"},
	LISTEN(O_TLS, "tls", CULVER_OPT_ENUM),
	    .o.choices = tls_kinds, .computed = "implicit in a section named "
	    "pop3s; otherwise starttls, or off without a certificate",
	    .o.help = "whether TLS begins with the STLS command, at once, or "
	    "is not offered"},
	LISTEN(O_PLAIN_LOGIN, "plain_login", CULVER_OPT_ENUM),
	    .o.def = "local", .o.choices = plain_kinds,
	    .o.help = "who may log in without TLS; local is loopback "
	    "addresses and unix sockets"},
	LISTEN(O_PROXY, "proxy", CULVER_OPT_LIST),
	    .computed = "none",
	    .o.help = "networks of proxies, whose connections begin with a "
	    "header of the PROXY protocol, version 1 or 2: the client that "
	    "it names is then who counts; not for connections from "
	    "elsewhere, which are closed if they begin with one"},
	LISTEN(O_PROXY_TLS, "proxy_tls", CULVER_OPT_BOOL),
	    .o.def = "no",
	    .o.help = "whether a client that has TLS with the proxy, as the "
	    "proxy says, counts as one with TLS here"},
	LISTEN(O_MODE, "mode", CULVER_OPT_STRING),
	    .o.min = 3, .o.max = 4, .computed = "0666 for pop3, 0660 for "
	    "the others",
	    .o.help = "permissions of unix sockets, in octal"},
	LISTEN(O_OWNER, "owner", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 255, .computed = "the user that starts "
	    "Culver", .o.help = "owner of unix sockets, a name or a number"},
	LISTEN(O_GROUP, "group", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 255, .computed = "the group of the user "
	    "that starts Culver",
	    .o.help = "group of unix sockets, a name or a number"},
	LISTEN(O_LISTEN_ALLOW, "allow", CULVER_OPT_LIST),
	    .o.min = 1, .o.max = 64, .computed = "127.0.0.0/8 and ::1 for "
	    "lmtp, all for pop3",
	    .o.help = "networks that may connect over TCP, as "
	    "{\"127.0.0.1\", \"192.0.2.0/24\", \"2001:db8::/32\"}"},
	LISTEN(O_LISTEN_DENY, "deny", CULVER_OPT_LIST),
	    .o.min = 1, .o.max = 64, .computed = "none",
	    .o.help = "networks that may not, even if they are in allow"},
	LISTEN(O_REFUSAL, "refusal", CULVER_OPT_ENUM),
	    .o.def = "reply", .o.choices = refusals,
	    .o.help = "what who may not connect gets: a line that says so "
	    "(where TLS begins at once, nothing), or nothing"},

	TLS(O_CERTIFICATE, "certificate", CULVER_OPT_LIST),
	    .o.min = 1, .o.max = 1023, .computed = "none",
	    .o.help = "PEM file with the certificate and its chain; several, "
	    "as RSA beside ECDSA, as a list"},
	TLS(O_KEY, "key", CULVER_OPT_LIST),
	    .o.min = 1, .o.max = 1023, .computed = "none",
	    .o.help = "PEM file with the private key; as many as "
	    "certificates, in the same order"},
	TLS(O_CLIENT_CA, "client_ca", CULVER_OPT_PATH),
	    .o.min = 1, .o.max = 1000, .computed = "none",
	    .o.help = "PEM file with the certificates of those who vouch for "
	    "users: clients are asked for one of theirs, need none, and can "
	    "log in with it by EXTERNAL"},
	TLS(O_CLIENT_NAME, "client_name", CULVER_OPT_ENUM),
	    .o.def = "cn", .o.choices = client_names,
	    .o.help = "where the certificate of a client has the user's name: "
	    "the subject's CN or UID, or the address in subjectAltName; one "
	    "with several of these is none"},

	HOST(O_HOST_CERTIFICATE, "certificate", CULVER_OPT_LIST),
	    .o.min = 1, .o.max = 1023, .o.flags = CULVER_OPT_REQUIRED,
	    .o.help = "as in tls, for clients that ask for this host"},
	HOST(O_HOST_KEY, "key", CULVER_OPT_LIST),
	    .o.min = 1, .o.max = 1023, .o.flags = CULVER_OPT_REQUIRED,
	    .o.help = "as in tls"},

	AUTH(O_AUTH_PLUGIN, "plugin", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 1000, .computed = "the section's name",
	    .o.help = "the plugin, by name or by the absolute path of its "
	    "module"},
	AUTH(O_AUTH_ALLOW, "allow", CULVER_OPT_LIST),
	    .computed = "nothing; exec for the plugin pam",
	    .o.help = "what the plugin may do besides the least: net, exec, "
	    "threads"},
	AUTH(O_AUTH_GROUP, "group", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 255, .computed = "none; shadow for the "
	    "plugin pam, if there is such a group",
	    .o.help = "supplementary group (a name or a number) of the "
	    "processes that answer for this section"},
	AUTH(O_PROCESSES, "processes", CULVER_OPT_INT),
	    .o.min = 1, .o.max = 256, .computed = "one for each processor",
	    .o.help = "how many processes answer for this section, each one "
	    "login at a time"},
	AUTH(O_CREDENTIALS, "credentials", CULVER_OPT_LIST),
	    .o.min = 1, .o.max = 40, .computed = "none",
	    .o.help = "what all users of this section have besides what a "
	    "password can be checked with: PLAIN, SCRAM-SHA-1, SCRAM-SHA-256; "
	    "CAPA announces the mechanisms that need it"},
	AUTH(O_PROVIDES, "provides", CULVER_OPT_LIST),
	    .o.min = 1, .o.max = 10, .computed = "{passwords, users}",
	    .o.help = "what this section is asked for, if its plugin can: "
	    "passwords (and what else a client shows), users (where a user's "
	    "mail is)"},
	AUTH(O_USER_DATA, "user_data", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 63, .computed = "this section, then the "
	    "others in turn",
	    .o.help = "the only section that is asked where the mail of those "
	    "is whom this one lets in"},
	AUTH(O_ON_UNKNOWN, "on_unknown", CULVER_OPT_ENUM),
	    .o.def = "next", .o.choices = on_unknown,
	    .o.help = "what a user that is not known here means: ask the next "
	    "section, refuse, or tell the client to try later"},
	AUTH(O_ON_WRONG, "on_wrong", CULVER_OPT_ENUM),
	    .o.def = "stop", .o.choices = on_wrong,
	    .o.help = "what a wrong password means: refuse, or ask the next "
	    "section, which may know another user of this name"},
	AUTH(O_ON_FAILURE, "on_failure", CULVER_OPT_ENUM),
	    .o.def = "temporary", .o.choices = on_failure,
	    .o.help = "what it means if this section cannot tell: the client "
	    "is told to try later, or the next section is asked first"},
	AUTH(O_MASTERS, "masters", CULVER_OPT_BOOL),
	    .o.def = "no",
	    .o.help = "whether this section knows the passwords of masters, "
	    "who may log in as any user, and nothing else"},

	STORAGE(O_STORAGE_PLUGIN, "plugin", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 1000, .computed = "the section's name",
	    .o.help = "the plugin, by name or by the absolute path of its "
	    "module"},
	STORAGE(O_STORAGE_ALLOW, "allow", CULVER_OPT_LIST),
	    .computed = "nothing",
	    .o.help = "what the plugin may do besides the least: net"},
	STORAGE(O_GROUPS, "groups", CULVER_OPT_LIST),
	    .computed = "none",
	    .o.help = "supplementary groups of the processes that serve "
	    "these mailboxes"},
	STORAGE(O_LOCK_GROUP, "lock_group", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 255, .computed = "none",
	    .o.help = "the group (a name or a number) that may make dotlocks "
	    "in the mail spool, where users may not: each session has a "
	    "process of that group for it, which can do nothing else"},

	CACHE(O_CACHE_SIZE, "size", CULVER_OPT_SIZE),
	    .o.min = 1 << 16, .o.max = 1 << 29, .o.def = "16M",
	    .o.help = "how much is remembered; what is oldest gives way"},
	CACHE(O_CACHE_TIME, "time", CULVER_OPT_TIME),
	    .o.min = 0, .o.max = DAY, .o.def = "0s",
	    .o.help = "how long a right password and where a user's mail is "
	    "are good without asking again"},
	CACHE(O_CACHE_NEGATIVE_TIME, "negative_time", CULVER_OPT_TIME),
	    .o.min = 0, .o.max = NS(3600), .o.def = "0s",
	    .o.help = "how long a section is not asked again about a user "
	    "that it did not know"},
	CACHE(O_CACHE_AWAY_TIME, "away_time", CULVER_OPT_TIME),
	    .o.min = 0, .o.max = 7 * DAY, .o.def = "0s",
	    .o.help = "how old such an answer may be if the section that gave "
	    "it cannot be asked"},

	LIMIT(O_LOGIN_TIME, "login_time", CULVER_OPT_TIME),
	    .o.min = NS(1), .o.max = NS(3600), .o.def = "60s",
	    .o.help = "from the connection to a successful login"},
	LIMIT(O_IDLE_TIME, "idle_time", CULVER_OPT_TIME),
	    .o.min = NS(1), .o.max = DAY, .o.def = "10m",
	    .o.help = "how long a logged-in client may be silent; RFC 1939 "
	    "asks for 10 minutes at least, so less draws a warning"},
	LIMIT(O_CONNECTIONS, "connections", CULVER_OPT_INT),
	    .o.min = 1, .o.max = 1000000, .o.def = "20000",
	    .o.help = "connections at once, those of sessions under TLS "
	    "included; fewer where RLIMIT_NOFILE allows fewer, as "
	    "culverctl status shows"},
	LIMIT(O_CONNECTIONS_PER_IP, "connections_per_ip", CULVER_OPT_INT),
	    .o.min = 1, .o.max = 1000000, .o.def = "100",
	    .o.help = "connections at once from one address (of IPv6, from "
	    "one /64): those that are not logged in, and sessions under TLS; "
	    "of others a mailbox has one at a time, and `sessions' counts "
	    "all"},
	LIMIT(O_SESSIONS, "sessions", CULVER_OPT_INT),
	    .o.min = 1, .o.max = 1000000, .o.def = "10000",
	    .o.help = "logged-in sessions at once; fewer where RLIMIT_NOFILE "
	    "allows fewer"},
	LIMIT(O_BAD_COMMANDS, "bad_commands", CULVER_OPT_INT),
	    .o.min = 1, .o.max = 10000, .o.def = "20",
	    .o.help = "after so many wrong commands a connection is closed"},
	LIMIT(O_FAILURE_DELAY, "failure_delay", CULVER_OPT_TIME),
	    .o.min = 0, .o.max = NS(60), .o.def = "1s",
	    .o.help = "how long the answer to a failed login is held back; "
	    "doubles for each further one of an address or a user"},
	LIMIT(O_FAILURE_DELAY_MAX, "failure_delay_max", CULVER_OPT_TIME),
	    .o.min = 0, .o.max = NS(300), .o.def = "15s",
	    .o.help = "the longest such delay"},
	LIMIT(O_TAKEOVER, "takeover", CULVER_OPT_TIME),
	    .o.min = 0, .o.max = DAY, .o.def = "30s",
	    .o.help = "a session whose client has sent no command and taken "
	    "no octet for so long gives way to a new login to the same "
	    "mailbox; 0: never"},
	LIMIT(O_RELOAD_GRACE, "reload_grace", CULVER_OPT_TIME),
	    .o.min = NS(1), .o.max = 7 * DAY, .o.def = "1h",
	    .o.help = "how long sessions from before a reload or an upgrade "
	    "may go on"},
	LIMIT(O_STOP_GRACE, "stop_grace", CULVER_OPT_TIME),
	    .o.min = 0, .o.max = NS(3600), .o.def = "30s",
	    .o.help = "how long sessions get to finish what they are doing "
	    "when the server stops"},
	LIMIT(O_GATE_LOGINS, "gate_logins", CULVER_OPT_INT),
	    .o.min = 1, .o.max = 1000000000, .o.def = "100000",
	    .o.help = "after so many logins a process that accepts "
	    "connections is replaced by a fresh one"},
	LIMIT(O_EXPIRE, "expire", CULVER_OPT_STRING),
	    .o.min = 1, .o.max = 10, .o.def = "off",
	    .o.help = "what the EXPIRE capability announces: never, a number "
	    "of days, or off for no announcement; nothing is deleted by it"},
	LIMIT(O_UID_MIN, "uid_min", CULVER_OPT_INT),
	    .o.min = 1, .o.max = 4294967294, .o.def = "500",
	    .o.help = "nobody with a user id below this one gets a session; "
	    "0 and those of Culver's own roles are refused in any case"},
	LIMIT(O_GID_MIN, "gid_min", CULVER_OPT_INT),
	    .o.min = 1, .o.max = 4294967294, .o.def = "1",
	    .o.help = "nobody with a group id below this one gets a session; "
	    "where all mailboxes have groups of their own, set it to the "
	    "lowest; 0 and those of Culver's own roles are refused in any "
	    "case"},
	LIMIT(O_UID_RANGES, "uid_ranges", CULVER_OPT_LIST),
	    .o.def = "{}",
	    .o.help = "if not empty, user ids must be in one of these "
	    "ranges, as {\"1000-1999\", \"5000-5999\"}"},
	LIMIT(O_SHARED_UID, "shared_uid", CULVER_OPT_ENUM),
	    .o.def = "confined", .o.choices = confinements,
	    .o.help = "whether several users of one user id are served where "
	    "the kernel has no Landlock or no seccomp, which keep their "
	    "processes apart: confined lets in the first one who comes, "
	    "until the next reload, and refuses the others; unconfined "
	    "accepts the risk"},
	LIMIT(O_MESSAGE_SIZE, "message_size", CULVER_OPT_SIZE),
	    .o.min = 1024, .o.max = INT64_C(1) << 40, .o.def = "50M",
	    .o.help = "the largest message that is taken in by LMTP"},
	LIMIT(O_SPOOL, "spool", CULVER_OPT_SIZE),
	    .o.min = 65536, .o.max = INT64_C(1) << 50, .o.def = "1G",
	    .o.help = "how much mail may be on its way in at once, in "
	    "state_dir/spool"},
};

enum cf_sect
cf_sect_find(const char *word, enum cf_sect parent)
{
	for (int s = CF_LISTEN; s < CF_SECTS; s++)
		if (strcmp(cf_sects[s].word, word) == 0 &&
		    (s == CF_HOST) == (parent == CF_TLS) &&
		    (parent == CF_TOP || parent == CF_TLS))
			return (enum cf_sect)s;
	return CF_SECTS;
}

enum cf_opt
cf_option_find(enum cf_sect s, const char *name)
{
	int i;

	for (i = 0; i < O_COUNT; i++)
		if (cf_options[i].sect == s &&
		    strcmp(cf_options[i].o.name, name) == 0)
			break;
	return (enum cf_opt)i;
}
