/*
 * nets.c - see nets.h.  Runs in gate and lmtp.
 */
#include "config.h"

#include <string.h>

#include "core/config/nets.h"

static _Bool
is_in(const struct conf_net *net, _Bool v6, const uint8_t *addr)
{
	uint32_t whole = net->bits / 8, rest = net->bits % 8;

	if ((net->is_v6 != 0) != v6 || memcmp(net->addr, addr, whole) != 0)
		return 0;
	return rest == 0 || ((net->addr[whole] ^ addr[whole]) &
	    (0xff00 >> rest) & 0xff) == 0;
}

_Bool
nets_have(const struct conf_net_table *all, const struct conf_nets *list,
    _Bool v6, const uint8_t *addr)
{
	for (uint32_t i = 0; i < list->n; i++)
		if (is_in(&all->net[list->first + i], v6, addr))
			return 1;
	return 0;
}

_Bool
nets_admit(const struct conf_net_table *all, const struct conf_admit *admit,
    _Bool v6, const uint8_t *addr)
{
	return !nets_have(all, &admit->deny, v6, addr) &&
	    (!admit->only || nets_have(all, &admit->allow, v6, addr));
}
