/*
 * pam_odd.c - a PAM module that misbehaves as its arguments say, for
 * test_pam_modules.py.
 *
 * Runs in the process that Culver's PAM plugin starts for a login.  The first
 * argument says what it does, a second one to which user only.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAM_SM_AUTH
#define PAM_SM_ACCOUNT
#include <security/pam_ext.h>
#include <security/pam_modules.h>

static int
answer_is_password(pam_handle_t *pam, int style, const char *prompt)
{
	const void *conv_item = NULL;
	const struct pam_conv *conv;
	const struct pam_message m = {style, prompt};
	const struct pam_message *list = &m;
	struct pam_response *r = NULL;
	int code = pam_get_item(pam, PAM_CONV, &conv_item);

	conv = conv_item;
	if (code == PAM_SUCCESS)
		code = conv->conv(1, &list, &r, conv->appdata_ptr);
	if (code != PAM_SUCCESS)
		return code;
	if (r != NULL && r->resp != NULL) {
		code = strcmp(r->resp, "geheim") == 0 ? PAM_SUCCESS :
		    PAM_AUTH_ERR;
		free(r->resp);
	}
	free(r);
	return code;
}

static void __attribute__((noreturn))
hang(const char *helper)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	signal(SIGTERM, SIG_IGN);
	/* nor shall a helper of it stay, in whatever group it wants to be */
	for (int how = 0; how < 3; how++)
		if (fork() == 0) {
			if (how == 1)
				setsid();
			if (how == 2)
				setpgid(0, 0);
			execl("/bin/sleep", helper, "1000",
			    (char *)NULL);
		}
	for (;;)
		pause();
}

/* What harms the process that does it, and nobody else. */
static int
soil(void)
{
	static const int signals[] = {SIGALRM, SIGCHLD, SIGPIPE, SIGSYS};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_IGN);
	for (int i = 0; i < 1000; i++)
		open("/dev/null", O_RDONLY);
	printf("+OK printed by a module\r\n");
	fflush(stdout);
	fprintf(stderr, "+OK printed by a module\r\n");
	alarm(1);
	umask(0777);
	return PAM_SUCCESS;
}

static int
do_it(pam_handle_t *pam, const char *what)
{
	if (strncmp(what, "hang=", 5) == 0)
		hang(what + 5);
	if (strcmp(what, "exit") == 0)
		exit(0);
	if (strcmp(what, "abort") == 0)
		raise(SIGKILL);
	if (strcmp(what, "soil") == 0)
		return soil();
	if (strcmp(what, "prompt") == 0)
		return answer_is_password(pam, PAM_PROMPT_ECHO_OFF,
		    "Password: ");
	if (strcmp(what, "question") == 0)
		return answer_is_password(pam, PAM_PROMPT_ECHO_ON,
		    "Your pet's name: ");
	if (strcmp(what, "prompts") == 0)
		for (;;)
			if (answer_is_password(pam, PAM_PROMPT_ECHO_OFF,
			    "Again: ") != PAM_SUCCESS)
				return PAM_CONV_ERR;
	if (strcmp(what, "talk") == 0) {
		for (int i = 0; i < 3; i++)
			pam_info(pam, "+OK said a module\r\n\x1b[31mlevel="
			    "error forged");
		return PAM_SUCCESS;
	}
	if (strcmp(what, "delay") == 0) {
		pam_fail_delay(pam, 100000000);
		return PAM_AUTH_ERR;
	}
	if (strncmp(what, "rename=", 7) == 0)
		return pam_set_item(pam, PAM_USER, what + 7);
	if (strncmp(what, "code=", 5) == 0)
		return (int)strtol(what + 5, NULL, 10);
	return PAM_SERVICE_ERR;
}

static int
odd(pam_handle_t *pam, int argc, const char **argv)
{
	const char *user = NULL;

	if (argc > 1 && (pam_get_user(pam, &user, NULL) != PAM_SUCCESS ||
	    strcmp(user, argv[1]) != 0))
		return PAM_IGNORE;
	return argc > 0 ? do_it(pam, argv[0]) : PAM_SERVICE_ERR;
}

/* What libpam looks for. */
#pragma GCC visibility push(default)

int
pam_sm_authenticate(pam_handle_t *pam, int flags, int argc, const char **argv)
{
	(void)flags;
	return odd(pam, argc, argv);
}

int
pam_sm_setcred(pam_handle_t *pam, int flags, int argc, const char **argv)
{
	(void)pam, (void)flags, (void)argc, (void)argv;
	return PAM_SUCCESS;
}

int
pam_sm_acct_mgmt(pam_handle_t *pam, int flags, int argc, const char **argv)
{
	(void)flags;
	return odd(pam, argc, argv);
}
