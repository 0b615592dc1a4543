/*
 * netwatch - tells when the machine's links, addresses or routes change (rtnetlink), once the dust has settled.
 *
 * Owns:    a netlink socket. Needs no privileges. Where there is no netlink it stays silent: retries go on without it.
 * Promise: `changed` comes NETWATCH_QUIET_MS after the last event of a burst, at the latest NETWATCH_MOST_MS after its
 *          first; lost events (ENOBUFS) count as a change. Never from inside netwatch_new().
 * Threads: the loop's.
 */
#ifndef NETWATCH_H
#define NETWATCH_H

#include "net/loop.h"

enum { NETWATCH_QUIET_MS = 1000, NETWATCH_MOST_MS = 5000 };

struct netwatch;

struct netwatch *netwatch_new(struct loop *loop, void (*changed)(void *arg), void *arg);
void netwatch_free(struct netwatch *watch); /* NULL is fine */

#endif
