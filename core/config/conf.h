/*
 * conf.h - the configuration as the roles see it: fixed structs in sealed
 * memfds that the config role made, one a role, auth section and storage
 * section.  No pointers: what is not fixed lies behind the struct and is
 * named by offset and length.
 *
 * A role reads its own with conf_read(), which checks seals, size and kind
 * and that every text ends; counts and numbers are checked by conf_check_*()
 * there too, before anything uses them.  Runs in every role, as root
 * in master.  Index numbers of sections and listeners are those of the file.
 */
#ifndef CONFIG_CONF_H
#define CONFIG_CONF_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct sock_filter;

enum conf_kind {
	CONF_MASTER = 1,
	CONF_GATE,
	CONF_AUTH,
	CONF_LOG,
	CONF_POOL,		/* an auth section */
	CONF_STORAGE,		/* a storage section, for workers */
	CONF_CERTCHECK,
	CONF_LMTP,
	CONF_METRICS
};

enum {
	CONF_MAX_LISTEN = 64,
	CONF_MAX_AUTH = 16,
	CONF_MAX_STORAGE = 32,
	CONF_MAX_CERT = 4096,
	CONF_MAX_HOST = 2049,		/* with the default */
	CONF_MAX_RANGE = 16,
	CONF_MAX_GROUP = 8,
	CONF_MAX_NET = 1024,		/* of all listeners */
	CONF_MAX_FILTER = 1024,		/* BPF instructions */
	CONF_GATE_FDS = 256,		/* besides those of clients */
	CONF_MASTER_FDS = 1024,		/* besides one a session */
	CONF_NAME = 64,
	CONF_PATH = 1024
};

struct conf_head {
	uint32_t magic;		/* CONF_MAGIC */
	uint32_t kind;		/* enum conf_kind */
	uint32_t index;		/* of the section */
	uint32_t fixed;		/* sizeof the struct that begins here */
	uint32_t size;		/* of the whole file */
	uint32_t filter_at, filter_n;	/* seccomp program of the role, n
					 * instructions of 8 octets; 0: none */
	uint32_t extra_at, extra_n;	/* octets behind the struct: the values
					 * of a section (plugin/values.h),
					 * certificates */
	uint32_t reserved;
};
#define CONF_MAGIC 0x664e4f43u

enum conf_tls { CONF_TLS_STARTTLS, CONF_TLS_IMPLICIT, CONF_TLS_OFF };
enum conf_client_name { CONF_CLIENT_CN, CONF_CLIENT_EMAIL, CONF_CLIENT_UID };
enum conf_plain { CONF_PLAIN_LOCAL, CONF_PLAIN_NEVER, CONF_PLAIN_ALWAYS };

/* Who gets a listener: gates, lmtp, metrics; in the order of the option's
 * choices (options.c). */
enum conf_protocol { CONF_SPEAKS_POP3, CONF_SPEAKS_LMTP,
	CONF_SPEAKS_METRICS };

/* --- master ---------------------------------------------------------- */

struct conf_listen {
	struct sockaddr_storage addr;
	uint32_t addr_len;
	uint32_t type;			/* SOCK_STREAM, or of control's */
	uint32_t mode;			/* unix sockets */
	uint32_t uid, gid;		/* UINT32_MAX: unchanged */
	uint32_t line;
	uint32_t protocol;		/* enum conf_protocol */
	char text[128];			/* as written, for messages */
};

struct conf_auth_section {
	char name[CONF_NAME];
	uint32_t processes;
	uint32_t gid;			/* supplementary; 0: none */
};

struct conf_storage_section {
	char name[CONF_NAME];
	uint32_t n_groups;
	uint32_t groups[CONF_MAX_GROUP];
	uint32_t lock_gid;		/* of its lockers; 0: it needs none */
};

struct conf_cert_files {
	char cert[CONF_PATH], key[CONF_PATH];
};

struct conf_master {
	struct conf_head head;
	char run_dir[CONF_PATH], state_dir[CONF_PATH];
	char log[CONF_PATH];		/* "syslog", "stderr" or a path */
	uint32_t gates;			/* at least 1 */
	uint32_t uid_min, gid_min;
	uint32_t n_range;
	struct { uint32_t first, last; } range[CONF_MAX_RANGE];
	uint32_t sessions_max;		/* workers at once */
	uint32_t connections;		/* of all gates: for people */
	uint32_t lacks;			/* SANDBOX_*, likewise */
	uint64_t reload_grace;		/* ns */
	uint64_t stop_grace;		/* ns: what workers get at a stop */
	uint32_t n_listen, n_auth, n_storage, n_cert;
	/* [n_listen]: culverctl's socket */
	struct conf_listen listen[CONF_MAX_LISTEN + 1];
	struct conf_auth_section auth[CONF_MAX_AUTH];
	struct conf_storage_section storage[CONF_MAX_STORAGE];
};	/* extra: n_cert times struct conf_cert_files */

/* --- who may connect -------------------------------------------------- */

struct conf_net {			/* an address, how much counts */
	uint8_t addr[16];		/* IPv4: the first 4 */
	uint32_t is_v6, bits;
};

struct conf_net_table {			/* what all listeners of a role share */
	uint32_t n;
	struct conf_net net[CONF_MAX_NET];
};

struct conf_nets {			/* some of those */
	uint32_t first, n;
};

struct conf_admit {			/* to a listener */
	struct conf_nets allow, deny;
	uint32_t only;			/* nobody who is not in `allow' */
	uint32_t silent;		/* others get no answer */
};

/* --- gate ------------------------------------------------------------ */

struct conf_gate_listen {
	uint32_t tls;			/* enum conf_tls */
	uint32_t plain_login;		/* enum conf_plain */
	uint32_t is_unix;
	struct conf_admit admit;
	struct conf_nets proxy;		/* whose connections have a header */
	uint32_t proxy_tls;		/* the header's word on TLS counts */
	char name[CONF_NAME];		/* of the listen section */
};

struct conf_gate_host {			/* SNI; 0 is the default for all */
	char name[256];
	uint32_t first, n;		/* in cert[] */
};

struct conf_gate {
	struct conf_head head;
	char hostname[256];
	uint64_t login_time;		/* ns */
	uint64_t idle_time;		/* ns; for the TLS relay's client end */
	uint32_t connections;		/* of one gate */
	uint32_t connections_per_ip;
	uint32_t bad_commands;
	uint32_t gate_logins;
	uint32_t mechs, announced;	/* as in conf_auth */
	uint32_t expire_days;		/* EXPIRE in CAPA: UINT32_MAX NEVER,
					 * UINT32_MAX - 1: not announced */
	uint32_t n_listen, n_cert, n_host;
	uint32_t has_ca;		/* the last certificate is no pair but
					 * who vouches for those of clients */
	uint32_t client_name;		/* enum conf_client_name */
	struct conf_gate_listen listen[CONF_MAX_LISTEN];
	struct conf_net_table nets;
};	/* extra: n_host times struct conf_gate_host */

/* --- lmtp ------------------------------------------------------------ */

struct conf_lmtp_listen {
	uint32_t on;			/* 0: it is not lmtp's */
	uint32_t is_unix;
	uint32_t own;			/* run_dir/deliver */
	struct conf_admit admit;
};

struct conf_lmtp {
	struct conf_head head;
	char hostname[256];
	char delimiters[16];		/* of recipients; "": none */
	uint32_t names;			/* enum lmtp_names */
	uint32_t quota_permanent;
	uint32_t deliver_gid;		/* UINT32_MAX: none */
	uint32_t connections;
	uint64_t idle_time;		/* ns */
	uint64_t message_size, spool;	/* octets */
	uint32_t n_listen;
	struct conf_lmtp_listen listen[CONF_MAX_LISTEN];
	struct conf_net_table nets;
};

/* --- certificate checker --------------------------------------------- */

struct conf_cert {			/* where it was set, for messages */
	uint32_t line;
	char file[256];
	char cert[CONF_PATH], key[CONF_PATH];
};

struct conf_certcheck {
	struct conf_head head;
	char hostname[256];
	uint32_t n_cert, n_host;
	uint32_t has_ca;		/* as in conf_gate */
};	/* extra: n_host times struct conf_gate_host, n_cert times struct
	 * conf_cert */

/* --- auth coordinator ------------------------------------------------ */

/* What an answer of a section leads to. */
enum conf_then { CONF_THEN_NEXT, CONF_THEN_STOP, CONF_THEN_TEMP };

struct conf_auth_part {
	char name[CONF_NAME];
	uint64_t caps;			/* CULVER_AU_* of its plugin, as far as
					 * it is asked for that */
	uint32_t processes;
	uint32_t on_unknown, on_wrong, on_failure;	/* enum conf_then */
	uint32_t user_data;		/* the only section that is asked for
					 * it, or CONF_NO_SECTION */
	uint32_t masters;		/* it is asked about masters only */
};
#define CONF_NO_SECTION UINT32_MAX

struct conf_auth {
	struct conf_head head;
	char hostname[256];
	uint32_t mechs, announced;	/* bits of enum sasl_id: those that are
					 * served, and those that CAPA shows */
	uint64_t failure_delay, failure_delay_max;	/* ns */
	uint64_t cache_size;				/* octets */
	uint64_t cache_time, cache_negative_time, cache_away_time;	/* ns */
	uint32_t user_case;		/* 0: as sent, 1: lower-case */
	uint32_t master_separator;	/* a character; 0: none */
	uint32_t uid_min, gid_min;
	uint32_t shared_uid;		/* 1: a uid may have several users also
					 * where nothing keeps them apart */
	uint32_t n_section, n_storage;
	struct conf_auth_part section[CONF_MAX_AUTH];
	char storage[CONF_MAX_STORAGE][CONF_NAME];	/* names, in order */
};

/* --- log ------------------------------------------------------------- */

struct conf_log {
	struct conf_head head;
	uint32_t level;			/* least level that is written */
	uint32_t json;			/* 0: lines are text */
};

/* --- metrics --------------------------------------------------------- */

struct conf_metrics {
	struct conf_head head;
};

/* --- auth pool and worker: a section with its plugin ----------------- */

struct conf_section {
	struct conf_head head;
	char name[CONF_NAME];		/* of the section */
	char module[CONF_PATH];		/* file of the module */
	uint32_t allow;			/* CULVER_NEED_* that are allowed */
	uint32_t owner;			/* who may own the module besides root:
					 * 0 when master is root */
	/* what a worker needs besides (storage sections only) */
	char hostname[256];
	uint64_t idle_time;		/* ns */
	uint64_t takeover;		/* ns; 0: never */
	uint32_t bad_commands;
	uint32_t expire_days;		/* as in conf_gate */
	uint32_t locker_filter_n;	/* of lockers, behind the workers' */
};

/*
 * Read the fixed part of a snapshot of KIND from FD into OUT (SIZE is the
 * sizeof its struct) and check it.  False: it is not one; do not use it.
 */
_Bool conf_read(int fd, enum conf_kind kind, void *out, size_t size);

/* The same for master, which is root: without what others read; that n_auth
 * fits is looked at where it is used.  After a failure OUT is all zeros: no
 * count in it is too large. */
_Bool conf_read_master(int fd, struct conf_master *out);

/* Element I of the extra part of CONF_MASTER.  False: there is none. */
_Bool conf_cert_files(int fd, const struct conf_head *head, uint32_t i,
    struct conf_cert_files *out);

/* All N_HOST hosts of CONF_GATE or CONF_CERTCHECK, checked against N_CERT; the
 * caller frees them.  NULL: malformed, or no memory. */
struct conf_gate_host *conf_hosts(int fd, const struct conf_head *head,
    uint32_t n_host, uint32_t n_cert);

/* Certificate I of CONF_CERTCHECK, behind N_HOST hosts; false: there is
 * none. */
_Bool conf_cert(int fd, const struct conf_head *head, uint32_t n_host,
    uint32_t i, struct conf_cert *out);

/* The seccomp program of a snapshot into OUT (room for CONF_MAX_FILTER); 0 if
 * it has none or is malformed. */
size_t conf_filter(int fd, const struct conf_head *head,
    struct sock_filter *out);

/* The same for the lockers of a storage section. */
size_t conf_locker_filter(int fd, const struct conf_section *section,
    struct sock_filter *out);

#endif /* CONFIG_CONF_H */
