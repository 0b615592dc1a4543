/*
 * netlink - reads the kernel's lists of addresses, links and routes (rtnetlink(7)) into netfacts.
 *
 * In this order: addresses, links, routes, each as netlink_request() asks for it; a link counts where an address of it
 * was read before. Pure: bytes in, facts out.
 * Threads: any, one reading per thread.
 */
#ifndef NETLINK_H
#define NETLINK_H

#include "base/span.h"
#include "net/netfacts.h"

enum netlink_list { NETLINK_ADDRESSES, NETLINK_LINKS, NETLINK_ROUTES4, NETLINK_ROUTES6, NETLINK_LISTS };

struct netlink_reading {
	struct netfacts facts;
	uint32_t seq; /* of the request under way: what answers another one is passed over */
	size_t addressed_count;
	uint32_t addressed[NETFACTS_INTERFACES]; /* interfaces with an address */
};

void netlink_init(struct netlink_reading *reading);

enum { NETLINK_REQUEST_LEN = 32 };
/* Asks for one list; the numbers rise from one request to the next. */
void netlink_request(struct netlink_reading *reading, enum netlink_list list, uint32_t seq,
		     uint8_t out[NETLINK_REQUEST_LEN]);

enum netlink_verdict {
	NETLINK_MORE, /* the list goes on in the next datagram */
	NETLINK_DONE,
	NETLINK_BAD, /* an error, or the list changed meanwhile: all of it is to be read again */
};
/* One datagram. */
enum netlink_verdict netlink_read(struct netlink_reading *reading, struct span datagram);

#endif
