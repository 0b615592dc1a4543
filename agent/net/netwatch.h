/*
 * netwatch - what this machine's network is like (netfacts.h), and when its links, addresses or routes change (rtnetlink).
 *
 * Owns:    two netlink sockets. Needs no privileges. Where there is no netlink the facts stay unknown and nothing is ever
 *          told: retries go on without it.
 * Promise: `facts` tells what is gone at once; what is new when nothing has changed for NETWATCH_STAND_MS, or has been
 *          there for twice as long: VPNs set their routes right behind the address. `changed` comes NETWATCH_QUIET_MS after
 *          the last event of a burst, at the latest NETWATCH_MOST_MS after its first; lost events (ENOBUFS) count as a
 *          change. Neither comes from inside netwatch_new(). What the kernel lists is read at most NETWATCH_LIST_MAX bytes
 *          far, and the more seldom the longer it is.
 * Threads: the loop's.
 */
#ifndef NETWATCH_H
#define NETWATCH_H

#include "net/loop.h"
#include "net/netfacts.h"

enum {
	NETWATCH_QUIET_MS = 1000,
	NETWATCH_MOST_MS = 5000,
	NETWATCH_STAND_MS = 50,
	NETWATCH_LIST_MAX = 1 << 20,
};

struct netwatch;

struct netwatch_setup {
	struct loop *loop;
	void (*changed)(void *arg);
	void (*facts)(void *arg, const struct netfacts *facts); /* NULL: nobody asks */
	void *arg;
};
struct netwatch *netwatch_new(const struct netwatch_setup *setup);
void netwatch_free(struct netwatch *watch); /* NULL is fine */
/* As they were told last, or at the start. */
const struct netfacts *netwatch_facts(const struct netwatch *watch);

#endif
