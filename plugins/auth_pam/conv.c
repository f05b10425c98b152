/*
 * conv.c - the conversation with PAM's modules: a password for those who ask
 * for one, nothing for anybody else.
 *
 * Runs in a process of one login.  Modules choose what they ask and say;
 * nothing of it reaches the client.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/auth_pam/pam.h"

/* TEXT in one line, without what a log could take for its own. */
static void
text_copy(char out[TALK_TEXT], const char *before, const char *text)
{
	int n;

	if (text == NULL)
		text = "";
	n = snprintf(out, TALK_TEXT, "%s%s", before, text);
	if (n >= TALK_TEXT)
		n = TALK_TEXT - 1;
	for (int i = 0; i < n; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = out[i] == '\n' || out[i] == '\t' ? ' ' : '?';
	while (n > 0 && out[n - 1] == ' ')
		out[--n] = 0;
}

static void
note_add(struct talk *t, const char *text)
{
	char line[TALK_TEXT];

	text_copy(line, "", text);
	if (line[0] == 0 || t->n_notes == TALK_NOTES)
		return;
	for (unsigned i = 0; i < t->n_notes; i++)
		if (strcmp(t->note[i], line) == 0)
			return;
	memcpy(t->note[t->n_notes++], line, sizeof(line));
}

static int
answer(struct talk *t, const struct pam_message *m, struct pam_response *r)
{
	switch (m->msg_style) {
	case PAM_TEXT_INFO:
	case PAM_ERROR_MSG:
		note_add(t, m->msg);
		return PAM_SUCCESS;
	case PAM_PROMPT_ECHO_OFF:
		if (++t->prompts > TALK_PROMPTS) {
			text_copy(t->refused, "asked too often: ", m->msg);
			return PAM_CONV_ERR;
		}
		r->resp = strdup(t->password);
		return r->resp != NULL ? PAM_SUCCESS : PAM_BUF_ERR;
	default:
		text_copy(t->refused, "asked for more than a password: ",
		    m->msg);
		return PAM_CONV_ERR;
	}
}

int
talk_conv(int n, const struct pam_message **msg, struct pam_response **resp,
    void *arg)
{
	struct talk *t = arg;
	struct pam_response *r;
	int code = PAM_SUCCESS;

	if (n <= 0 || n > PAM_MAX_NUM_MSG || ++t->rounds > TALK_ROUNDS)
		return PAM_CONV_ERR;
	r = calloc((size_t)n, sizeof(*r));
	if (r == NULL)
		return PAM_BUF_ERR;
	for (int i = 0; i < n && code == PAM_SUCCESS; i++)
		code = msg[i] != NULL ? answer(t, msg[i], &r[i]) :
		    PAM_CONV_ERR;
	if (code == PAM_SUCCESS) {
		*resp = r;
		return PAM_SUCCESS;
	}
	for (int i = 0; i < n; i++)
		if (r[i].resp != NULL) {
			explicit_bzero(r[i].resp, strlen(r[i].resp));
			free(r[i].resp);
		}
	free(r);
	return code;
}
