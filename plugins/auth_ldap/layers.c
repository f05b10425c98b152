/*
 * layers.c - what libldap's connections have added below and above TLS.
 *
 * Runs in a pool process.  Below: no read or write lasts past the link's time.
 * libldap itself waits only between messages, and with GnuTLS its handshake
 * would ask again and again, without an end, of a server that says nothing.
 * Above: requests are wiped as they are sent, because passwords are among them,
 * and libldap would leave them in memory that it frees.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include <lber.h>

#include "plugins/auth_ldap/dir.h"

enum { LEVEL_WAIT = (LBER_SBIOD_LEVEL_PROVIDER +
	LBER_SBIOD_LEVEL_TRANSPORT) / 2 };

static int
layer_ctrl(Sockbuf_IO_Desc *d, int opt, void *arg)
{
	return LBER_SBIOD_CTRL_NEXT(d, opt, arg);
}

/* --- below: time ------------------------------------------------------------ */

static int
wait_setup(Sockbuf_IO_Desc *d, void *arg)
{
	d->sbiod_pvt = arg;
	return 0;
}

/* It failed with errno: is it worth another try?  Waits for EVENTS. */
static bool
again(Sockbuf_IO_Desc *d, short events)
{
	const struct dir_link *l = d->sbiod_pvt;
	struct pollfd p = {.fd = -1, .events = events};
	int left;

	if (errno == EINTR)
		return true;
	if ((errno != EAGAIN && errno != EWOULDBLOCK) ||
	    ber_sockbuf_ctrl(d->sbiod_sb, LBER_SB_OPT_GET_FD, &p.fd) < 0)
		return false;
	left = auth_time_left(l->au->host, l->until);
	if (left > 0 && (poll(&p, 1, left) > 0 || errno == EINTR))
		return true;
	errno = ETIMEDOUT;
	return false;
}

static ber_slen_t
wait_read(Sockbuf_IO_Desc *d, void *buf, ber_len_t n)
{
	ber_slen_t got;

	do
		got = LBER_SBIOD_READ_NEXT(d, buf, n);
	while (got < 0 && again(d, POLLIN));
	return got;
}

static ber_slen_t
wait_write(Sockbuf_IO_Desc *d, void *buf, ber_len_t n)
{
	ber_slen_t took;

	do
		took = LBER_SBIOD_WRITE_NEXT(d, buf, n);
	while (took < 0 && again(d, POLLOUT));
	return took;
}

bool
dir_layer_wait(Sockbuf *sb, struct dir_link *l)
{
	static Sockbuf_IO layer = {
		.sbi_setup = wait_setup, .sbi_ctrl = layer_ctrl,
		.sbi_read = wait_read, .sbi_write = wait_write,
	};

	return ber_sockbuf_add_io(sb, &layer, LEVEL_WAIT, l) == 0;
}

/* --- above: wiping ---------------------------------------------------------- */

static ber_slen_t
wipe_read(Sockbuf_IO_Desc *d, void *buf, ber_len_t n)
{
	return LBER_SBIOD_READ_NEXT(d, buf, n);
}

/* What has been taken is not looked at again: requests are not sent to another
 * server. */
static ber_slen_t
wipe_write(Sockbuf_IO_Desc *d, void *buf, ber_len_t n)
{
	ber_slen_t took = LBER_SBIOD_WRITE_NEXT(d, buf, n);

	if (took > 0)
		explicit_bzero(buf, (size_t)took);
	return took;
}

bool
dir_layer_wipe(Sockbuf *sb)
{
	static Sockbuf_IO layer = {
		.sbi_ctrl = layer_ctrl, .sbi_read = wipe_read,
		.sbi_write = wipe_write,
	};

	return ber_sockbuf_add_io(sb, &layer, LBER_SBIOD_LEVEL_APPLICATION,
	    NULL) == 0;
}
