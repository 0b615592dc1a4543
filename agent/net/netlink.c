#include "net/netlink.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

enum { WHOLE_BITS = 1 }; /* a default route's prefix is no longer than this: 0.0.0.0/1 and 128.0.0.0/1 are one, too */

void netlink_init(struct netlink_reading *reading)
{
	*reading = (struct netlink_reading){ .facts = { .is_known = true } };
}

void netlink_request(struct netlink_reading *reading, enum netlink_list list, uint32_t seq,
		     uint8_t out[NETLINK_REQUEST_LEN])
{
	static const struct {
		uint16_t type;
		uint8_t family;
	} lists[NETLINK_LISTS] = {
		[NETLINK_ADDRESSES] = { RTM_GETADDR, AF_UNSPEC },
		[NETLINK_LINKS] = { RTM_GETLINK, AF_UNSPEC },
		[NETLINK_ROUTES4] = { RTM_GETROUTE, AF_INET },
		[NETLINK_ROUTES6] = { RTM_GETROUTE, AF_INET6 },
	};
	struct nlmsghdr header = {
		.nlmsg_len = NETLINK_REQUEST_LEN,
		.nlmsg_type = lists[list].type,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		.nlmsg_seq = seq,
	};

	/* All three bodies begin with the family, and none is longer than this one. */
	_Static_assert(NLMSG_ALIGN(sizeof header) + sizeof(struct ifinfomsg) == NETLINK_REQUEST_LEN, "request");
	reading->seq = seq;
	memset(out, 0, NETLINK_REQUEST_LEN);
	memcpy(out, &header, sizeof header);
	out[sizeof header] = lists[list].family;
}

/* ---------------------------------------------------------------- attributes */

static struct span after(struct span s, size_t len)
{
	return span_from(s, RTA_ALIGN(len));
}

static bool next_attribute(struct span *io_rest, unsigned *out_type, struct span *out_value)
{
	struct rtattr head;

	if (io_rest->len < sizeof head)
		return false;
	memcpy(&head, io_rest->data, sizeof head);
	if (head.rta_len < sizeof head || head.rta_len > io_rest->len)
		return false;
	*out_type = head.rta_type & NLA_TYPE_MASK;
	*out_value = span_from(span_first(*io_rest, head.rta_len), sizeof head);
	*io_rest = after(*io_rest, head.rta_len);
	return true;
}

static uint32_t number_of(struct span value)
{
	uint32_t number = 0;

	if (value.len >= sizeof number)
		memcpy(&number, value.data, sizeof number);
	return number;
}

/* v4 as cidr.h has it; false: of neither family. */
static bool address_of(struct span value, uint8_t out[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (value.len == 16) {
		memcpy(out, value.data, 16);
	} else if (value.len == 4) {
		memcpy(out, mapped, sizeof mapped);
		memcpy(out + sizeof mapped, value.data, 4);
	} else {
		return false;
	}
	return true;
}

/* ---------------------------------------------------------------- addresses and links */

static bool is_addressed(const struct netlink_reading *reading, uint32_t index)
{
	for (size_t i = 0; i < reading->addressed_count; i++)
		if (reading->addressed[i] == index)
			return true;
	return false;
}

/* One that is not yet known to be unique (RFC 4862, 5.4) cannot be sent from. */
static void read_address(struct netlink_reading *reading, struct span body)
{
	struct ifaddrmsg head;
	struct span rest, value;
	uint32_t flags;
	unsigned type;

	if (body.len < sizeof head)
		return;
	memcpy(&head, body.data, sizeof head);
	flags = head.ifa_flags;
	rest = after(body, sizeof head);
	while (next_attribute(&rest, &type, &value))
		if (type == IFA_FLAGS)
			flags = number_of(value);
	if (head.ifa_scope >= RT_SCOPE_LINK || flags & IFA_F_DADFAILED ||
	    (flags & IFA_F_TENTATIVE && !(flags & IFA_F_OPTIMISTIC)))
		return;
	if (reading->addressed_count < NETFACTS_INTERFACES && !is_addressed(reading, head.ifa_index))
		reading->addressed[reading->addressed_count++] = head.ifa_index;
}

static void read_link(struct netlink_reading *reading, struct span body)
{
	struct netfacts_interface interface = { 0 };
	struct ifinfomsg head;
	struct span rest, value, name = { 0 };
	unsigned type;

	if (body.len < sizeof head)
		return;
	memcpy(&head, body.data, sizeof head);
	rest = after(body, sizeof head);
	while (next_attribute(&rest, &type, &value))
		if (type == IFLA_IFNAME)
			name = span_first(value, span_find(value, '\0'));
	interface.index = (uint32_t)head.ifi_index;
	if (!name.len || name.len >= sizeof interface.name || head.ifi_flags & IFF_LOOPBACK ||
	    !(head.ifi_flags & IFF_UP) || !(head.ifi_flags & IFF_RUNNING) || !is_addressed(reading, interface.index))
		return;
	memcpy(interface.name, name.data, name.len);
	netfacts_add_interface(&reading->facts, &interface);
}

/* ---------------------------------------------------------------- routes */

static void take_gateway(struct netfacts_gateway *gateway, unsigned type, struct span value)
{
	if (type == RTA_OIF)
		gateway->interface = number_of(value);
	else if (type == RTA_GATEWAY)
		gateway->has_address = address_of(value, gateway->address);
	else if (type == RTA_VIA) /* of the other family, which stands in front */
		gateway->has_address = address_of(span_from(value, sizeof(struct rtvia)), gateway->address);
}

static void read_paths(struct netlink_reading *reading, struct span paths)
{
	struct rtnexthop head;

	while (paths.len >= sizeof head) {
		struct netfacts_gateway gateway = { 0 };
		struct span rest, value;
		unsigned type;

		memcpy(&head, paths.data, sizeof head);
		if (head.rtnh_len < sizeof head || head.rtnh_len > paths.len)
			return;
		gateway.interface = (uint32_t)head.rtnh_ifindex;
		rest = span_from(span_first(paths, head.rtnh_len), sizeof head);
		while (next_attribute(&rest, &type, &value))
			take_gateway(&gateway, type, value);
		if (!(head.rtnh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)))
			netfacts_add_gateway(&reading->facts, &gateway);
		paths = span_from(paths, RTNH_ALIGN(head.rtnh_len));
	}
}

static void read_route(struct netlink_reading *reading, struct span body)
{
	struct netfacts_gateway gateway = { 0 };
	struct rtmsg head;
	struct span rest, value, paths = { 0 };
	uint32_t table;
	unsigned type;

	if (body.len < sizeof head)
		return;
	memcpy(&head, body.data, sizeof head);
	table = head.rtm_table;
	if (head.rtm_dst_len > WHOLE_BITS || head.rtm_src_len || head.rtm_type != RTN_UNICAST ||
	    head.rtm_flags & (RTM_F_CLONED | RTNH_F_DEAD | RTNH_F_LINKDOWN))
		return;
	rest = after(body, sizeof head);
	while (next_attribute(&rest, &type, &value)) {
		take_gateway(&gateway, type, value);
		if (type == RTA_TABLE)
			table = number_of(value);
		else if (type == RTA_MULTIPATH)
			paths = value;
	}
	if (table == RT_TABLE_LOCAL)
		return;
	if (paths.len)
		read_paths(reading, paths);
	else
		netfacts_add_gateway(&reading->facts, &gateway);
}

/* ---------------------------------------------------------------- datagrams */

enum netlink_verdict netlink_read(struct netlink_reading *reading, struct span datagram)
{
	struct nlmsghdr head;

	while (datagram.len >= sizeof head) {
		struct span body;

		memcpy(&head, datagram.data, sizeof head);
		if (head.nlmsg_len < sizeof head || head.nlmsg_len > datagram.len)
			return NETLINK_BAD;
		body = span_from(span_first(datagram, head.nlmsg_len), NLMSG_ALIGN(sizeof head));
		datagram = span_from(datagram, NLMSG_ALIGN(head.nlmsg_len));
		if (head.nlmsg_seq != reading->seq)
			continue;
		if (head.nlmsg_flags & NLM_F_DUMP_INTR)
			return NETLINK_BAD;
		switch (head.nlmsg_type) {
		case NLMSG_DONE: return NETLINK_DONE;
		case NLMSG_ERROR: return NETLINK_BAD;
		case RTM_NEWADDR: read_address(reading, body); break;
		case RTM_NEWLINK: read_link(reading, body); break;
		case RTM_NEWROUTE: read_route(reading, body); break;
		}
	}
	return NETLINK_MORE;
}
