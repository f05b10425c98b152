/*
 * ctl_auth.c - `user`, `login-test`: what the auth sections say; and `hash`.
 *
 * Runs in culverctl as its caller.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/auth/settings.h"
#include "core/base/log.h"
#include "core/tools/ctl_auth.h"
#include "core/tools/password.h"

/* name NUL value NUL ... as rows, or as the members of an object. */
static void
fields_print(const struct ipc_bytes *b, _Bool json)
{
	const char *p = (const char *)b->p, *end = p + b->n, *value;
	const char *comma = "";

	if (b->n > 0 && end[-1] != 0)
		return;		/* no plugin of ours */
	for (; p < end; p = value + strlen(value) + 1, comma = ", ") {
		value = p + strlen(p) + 1;
		if (value >= end)
			return;
		printf("%s", json ? comma : "field    ");
		json ? json_text(p) : (void)plain_text(p);
		printf(json ? ": " : "=");
		json ? json_text(value) : (void)plain_text(value);
		if (!json)
			putchar('\n');
	}
}

static void
text_print(const char *key, const char *value, _Bool json)
{
	if (json) {
		printf(", ");
		json_text(key);
		printf(": ");
		json_text(value);
	} else if (*value != 0) {
		printf("%-8s ", key);
		plain_text(value);
		putchar('\n');
	}
}

/* Which section said what, in the order in which they were asked. */
static void
said_print(const struct ctl_conf *c, const struct ctl_user *u, _Bool json)
{
	static const char *const words[] = {"wrong", "unknown", "disabled",
	    "expired", "too-soon", "not-mine"};

	for (unsigned i = 0; i < u->n_said; i++) {
		const struct ctl_said *s = &u->said[i];
		const char *name = c->master.auth[s->section].name;
		const char *what = s->verify ? "password" : "user";
		const char *word = s->status == CULVER_OK ? s->verify ?
		    "right" : "found" : s->status <= CULVER_E_AUTH &&
		    s->status >= CULVER_E_DECLINE ?
		    words[CULVER_E_AUTH - s->status] : "failed";

		if (json)
			printf("%s{\"section\": \"%s\", \"asked\": \"%s\", "
			    "\"said\": \"%s\", \"remembered\": %s}",
			    i > 0 ? ", " : "", name, what, word,
			    s->kept ? "true" : "false");
		else
			printf("asked    section %s: %s %s%s\n", name, what,
			    word, s->kept ? ", remembered" : "");
	}
}

static void
user_print(const struct ctl_conf *c, const struct ctl_user *u, _Bool json)
{
	const struct ipc_pool_answer *a = &u->answer;

	printf(json ? "{\"user\": " : "user     ");
	json ? json_text(u->name) : (void)plain_text(u->name);
	printf(json ? ", \"uid\": %" PRIu32 ", \"gid\": %" PRIu32 :
	    "\nuid      %" PRIu32 "\ngid      %" PRIu32 "\n", a->uid, a->gid);
	text_print("home", a->home, json);
	text_print("location", a->location, json);
	text_print("storage", c->master.storage[u->section].name, json);
	text_print("found-by", c->master.auth[u->found_by].name, json);
	if (json)
		printf(", \"quota_octets\": %" PRIu64 ", \"quota_messages\": %"
		    PRIu64 ", \"fields\": {", a->quota_octets,
		    a->quota_messages);
	else if (a->quota_octets != 0 || a->quota_messages != 0)
		printf("quota    %" PRIu64 " octets, %" PRIu64 " messages\n",
		    a->quota_octets, a->quota_messages);
	fields_print(&a->fields, json);
	if (!json)
		return;
	printf("}, \"asked\": [");
	said_print(c, u, 1);
	printf("]}\n");
}

/* May the user, whose password was right, log in? */
static _Bool
may_log_in(const struct ctl_user *u)
{
	struct settings s;
	const char *wrong = settings_read(&u->answer.fields, &s);

	if (wrong != NULL)
		ctl_warnx("%s: the field %s cannot be understood", u->name,
		    wrong);
	else if (s.closed)
		ctl_warnx("%s: the account is closed (nologin)", u->name);
	return wrong == NULL && !s.closed;
}

static int
ask_and_print(struct ctl *ctl, const char *password, size_t n)
{
	static struct ctl_conf c;
	static struct ctl_user u;
	int status = auth_ask(ctl, &c, ctl->argv[1], password, n, &u);

	if (!ctl->json)
		said_print(&c, &u, 0);
	if (status == 0) {
		if (password != NULL && !ctl->json)
			printf("the password is right (section %s)\n",
			    c.master.auth[u.verified_by].name);
		user_print(&c, &u, ctl->json);
		if (!auth_may_become(&c, &u) || (password != NULL &&
		    !u.by_master && !may_log_in(&u)))
			status = EX_NOPERM;
	}
	auth_done();
	conf_close(&c);
	return status;
}

int
ctl_user(struct ctl *ctl)
{
	return ctl->argc == 2 ? ask_and_print(ctl, NULL, 0) : ctl_usage(ctl);
}

int
ctl_login_test(struct ctl *ctl)
{
	char password[PASSWORD_MAX];
	int status = EX_NOINPUT;
	ssize_t n;

	if (ctl->argc != 2)
		return ctl_usage(ctl);
	n = password_read("Password: ", password);
	if (n >= 0)
		status = ask_and_print(ctl, password, (size_t)n);
	explicit_bzero(password, sizeof(password));
	return status;
}

static void
log_nothing(int level, const char *text)
{
	(void)level, (void)text;
}

int
ctl_hash(struct ctl *ctl)
{
	static struct ctl_conf c;
	const char *scheme = "";
	char path[640];

	if (ctl->argc == 3 && strcmp(ctl->argv[1], "--scheme") == 0)
		scheme = ctl->argv[2];
	else if (ctl->argc != 1)
		return ctl_usage(ctl);
	/* Only the folder counts here; that is known without accounts too. */
	log_set_sink(log_nothing);
	spawn_setup(&c.env, ctl->override);
	snprintf(path, sizeof(path), "%s/hash", c.env.libexec);
	execl(path, "hash", ctl->json ? "json" : "text", scheme, (char *)NULL);
	ctl_warn("%s (built only where libxcrypt was found)", path);
	return EX_UNAVAILABLE;
}
