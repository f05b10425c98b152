/*
 * nets.h - who may connect to a listener, by his address.
 *
 * Runs in gate and lmtp, on addresses of the kernel's (or of a proxy that the
 * configuration trusts) and networks that conf_read() has checked.
 */
#ifndef CONFIG_NETS_H
#define CONFIG_NETS_H

#include "core/config/conf.h"

/* Is the address ADDR (16 octets of IPv6, or 4) in a network of LIST, which
 * lie in ALL?  An IPv4 address mapped into IPv6 has to come as IPv4. */
_Bool nets_have(const struct conf_net_table *all, const struct conf_nets *list,
    _Bool v6, const uint8_t *addr);

/* May ADDR connect?  Not if it is in `deny'; nor, where `allow' was set, if it
 * is not in that. */
_Bool nets_admit(const struct conf_net_table *all,
    const struct conf_admit *admit, _Bool v6, const uint8_t *addr);

#endif /* CONFIG_NETS_H */
