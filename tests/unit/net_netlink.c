/* The kernel's lists, built by hand, and what they come to. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "base/mem.h"
#include "net/netlink.h"
#include "net/netwatch.h"

#define TEST(name) cmocka_unit_test(name)

/* ---------------------------------------------------------------- lists by hand */

struct wire {
	_Alignas(8) char data[4096];
	size_t len, at; /* `at`: where the message being written begins */
};

static void put(struct wire *w, const void *data, size_t len)
{
	memcpy(w->data + w->len, data, len);
	w->len += len;
	while (w->len % 4)
		w->data[w->len++] = 0;
}

static void begin(struct wire *w, uint16_t type, const void *body, size_t len)
{
	struct nlmsghdr head = { .nlmsg_type = type, .nlmsg_seq = 7, .nlmsg_flags = NLM_F_MULTI };

	w->at = w->len;
	put(w, &head, sizeof head);
	put(w, body, len);
}

static void end(struct wire *w)
{
	uint32_t len = (uint32_t)(w->len - w->at);

	memcpy(w->data + w->at, &len, sizeof len);
}

static void attribute(struct wire *w, unsigned short type, const void *data, size_t len)
{
	struct rtattr head = { .rta_len = (unsigned short)(sizeof head + len), .rta_type = type };

	put(w, &head, sizeof head);
	put(w, data, len);
}

static void address(struct wire *w, uint32_t index, uint8_t scope, uint32_t flags)
{
	struct ifaddrmsg body = { .ifa_family = AF_INET, .ifa_scope = scope, .ifa_index = index };

	begin(w, RTM_NEWADDR, &body, sizeof body);
	attribute(w, IFA_FLAGS, &flags, sizeof flags);
	end(w);
}

static void link_(struct wire *w, int index, const char *name, unsigned flags)
{
	struct ifinfomsg body = { .ifi_index = index, .ifi_flags = flags };

	begin(w, RTM_NEWLINK, &body, sizeof body);
	attribute(w, IFLA_IFNAME, name, strlen(name) + 1);
	end(w);
}

struct way {
	const char *gateway;
	uint32_t interface, table;
	uint8_t bits, type;
	unsigned flags;
};

static size_t binary(const char *text, uint8_t out[16])
{
	if (inet_pton(AF_INET, text, out) == 1)
		return 4;
	assert_int_equal(inet_pton(AF_INET6, text, out), 1);
	return 16;
}

static void route(struct wire *w, struct way way)
{
	struct rtmsg body = { .rtm_family = AF_INET,
			      .rtm_dst_len = way.bits,
			      .rtm_table = RT_TABLE_MAIN,
			      .rtm_type = way.type ? way.type : RTN_UNICAST,
			      .rtm_flags = way.flags };
	uint8_t bytes[16];

	begin(w, RTM_NEWROUTE, &body, sizeof body);
	if (way.table)
		attribute(w, RTA_TABLE, &way.table, sizeof way.table);
	if (way.gateway)
		attribute(w, RTA_GATEWAY, bytes, binary(way.gateway, bytes));
	if (way.interface)
		attribute(w, RTA_OIF, &way.interface, sizeof way.interface);
	end(w);
}

static void done(struct wire *w)
{
	int status = 0;

	begin(w, NLMSG_DONE, &status, sizeof status);
	end(w);
}

static struct netlink_reading reading;

static int fresh(void **state)
{
	(void)state;
	netlink_init(&reading);
	reading.seq = 7;
	return 0;
}

static void take(struct wire *w)
{
	char *copy = mem_dup(w->data, w->len); /* so that a reading beyond the end is seen */

	assert_int_equal(netlink_read(&reading, span_of(copy, w->len)), NETLINK_MORE);
	mem_free(copy);
	*w = (struct wire){ .len = 0 };
}

static bool has_gateway(const char *network)
{
	struct cidr cidr;

	assert_true(cidr_parse(span_str(network), &cidr));
	return netfacts_has_gateway(&reading.facts, &cidr);
}

/* ---------------------------------------------------------------- what counts */

static void an_interface_counts_when_it_is_up_and_has_an_address(void **state)
{
	const unsigned up = IFF_UP | IFF_RUNNING;
	struct wire w = { .len = 0 };

	(void)state;
	for (uint32_t i = 1; i <= 4; i++)
		address(&w, i, RT_SCOPE_UNIVERSE, 0);
	address(&w, 6, RT_SCOPE_LINK, 0);
	address(&w, 7, RT_SCOPE_UNIVERSE, IFA_F_TENTATIVE);
	address(&w, 8, RT_SCOPE_UNIVERSE, IFA_F_TENTATIVE | IFA_F_OPTIMISTIC);
	take(&w);
	link_(&w, 1, "lo", up | IFF_LOOPBACK);
	link_(&w, 2, "tun0", up);
	link_(&w, 3, "down0", 0);
	link_(&w, 4, "cable0", IFF_UP);
	link_(&w, 5, "bare0", up);
	link_(&w, 6, "near0", up);
	link_(&w, 7, "early0", up);
	link_(&w, 8, "bold0", up);
	take(&w);
	assert_true(netfacts_has_interface(&reading.facts, "tun*"));
	assert_true(netfacts_has_interface(&reading.facts, "bold0"));
	assert_int_equal(reading.facts.interface_count, 2);
	assert_false(netfacts_has_interface(&reading.facts, "tun"));
	assert_false(netfacts_has_interface(&reading.facts, "lo"));
}

static void a_default_route_leads_everywhere_or_to_half_of_it(void **state)
{
	static const struct {
		const char *name;
		struct way way;
		bool counts;
	} rows[] = {
		{ "plain", { .gateway = "10.1.0.1", .interface = 2 }, true },
		{ "half", { .gateway = "10.1.0.1", .interface = 2, .bits = 1 }, true },
		{ "quarter", { .gateway = "10.1.0.1", .interface = 2, .bits = 2 }, false },
		{ "another table", { .gateway = "10.1.0.1", .table = 51820 }, true },
		{ "local table", { .gateway = "10.1.0.1", .table = RT_TABLE_LOCAL }, false },
		{ "refusing", { .interface = 1, .type = RTN_UNREACHABLE }, false },
		{ "without a carrier", { .gateway = "10.1.0.1", .flags = RTNH_F_LINKDOWN }, false },
		{ "dead", { .gateway = "10.1.0.1", .flags = RTNH_F_DEAD }, false },
		{ "tunnel", { .interface = 9 }, true },
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct wire w = { .len = 0 };

		fresh(state);
		route(&w, rows[i].way);
		take(&w);
		if (netfacts_is_online(&reading.facts) != rows[i].counts)
			fail_msg("%s", rows[i].name);
		if (rows[i].counts && has_gateway("10.1.0.0/16") != (rows[i].way.gateway != NULL))
			fail_msg("%s: gateway", rows[i].name);
	}
}

static void gateways_of_both_families_are_known_by_their_addresses(void **state)
{
	struct wire w = { .len = 0 };

	(void)state;
	route(&w, (struct way){ .gateway = "10.1.0.1", .interface = 2 });
	route(&w, (struct way){ .gateway = "fe80::1", .interface = 2 });
	take(&w);
	assert_true(has_gateway("10.1.0.1"));
	assert_true(has_gateway("10.1.0.0/16"));
	assert_false(has_gateway("10.2.0.0/16"));
	assert_true(has_gateway("fe80::1"));
	assert_false(has_gateway("fe80::2"));
}

static void each_path_of_a_route_with_several_counts(void **state)
{
	struct rtmsg body = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST };
	struct wire w = { .len = 0 }, paths = { .len = 0 };
	static const char *const gateways[] = { "10.1.0.1", "10.2.0.1", "10.3.0.1" };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct rtnexthop hop = { .rtnh_len = sizeof hop + 8, .rtnh_ifindex = i + 2 };
		uint8_t bytes[16];

		hop.rtnh_flags = i == 2 ? RTNH_F_LINKDOWN : 0;
		put(&paths, &hop, sizeof hop);
		attribute(&paths, RTA_GATEWAY, bytes, binary(gateways[i], bytes));
	}
	begin(&w, RTM_NEWROUTE, &body, sizeof body);
	attribute(&w, RTA_MULTIPATH, paths.data, paths.len);
	end(&w);
	take(&w);
	assert_int_equal(reading.facts.gateway_count, 2);
	assert_true(has_gateway("10.1.0.1"));
	assert_true(has_gateway("10.2.0.1"));
	assert_int_equal(reading.facts.gateways[1].interface, 3);
}

/* ---------------------------------------------------------------- datagrams */

static void a_list_ends_with_its_end_and_not_with_another_ones(void **state)
{
	struct wire w = { .len = 0 };
	uint32_t other = 6;

	(void)state;
	done(&w);
	memcpy(w.data + offsetof(struct nlmsghdr, nlmsg_seq), &other, sizeof other);
	take(&w);
	done(&w);
	assert_int_equal(netlink_read(&reading, span_of(w.data, w.len)), NETLINK_DONE);
}

static void a_list_that_changed_meanwhile_is_no_list(void **state)
{
	struct wire w = { .len = 0 };
	uint16_t flags = NLM_F_MULTI | NLM_F_DUMP_INTR;

	(void)state;
	done(&w);
	memcpy(w.data + offsetof(struct nlmsghdr, nlmsg_flags), &flags, sizeof flags);
	assert_int_equal(netlink_read(&reading, span_of(w.data, w.len)), NETLINK_BAD);
}

static void nothing_is_read_beyond_a_datagram_that_is_cut(void **state)
{
	struct wire w = { .len = 0 };

	address(&w, 2, RT_SCOPE_UNIVERSE, 0);
	link_(&w, 2, "tun0", IFF_UP | IFF_RUNNING);
	route(&w, (struct way){ .gateway = "10.1.0.1", .interface = 2 });
	for (size_t len = 0; len < w.len; len++) {
		char *copy = mem_dup(w.data, len ? len : 1);

		fresh(state);
		netlink_read(&reading, span_of(copy, len));
		assert_false(netfacts_is_online(&reading.facts));
		mem_free(copy);
	}
}

static void what_is_beyond_the_bounds_is_not_seen(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 2 * NETFACTS_INTERFACES; i++) {
		struct wire w = { .len = 0 };

		address(&w, i, RT_SCOPE_UNIVERSE, 0);
		link_(&w, (int)i, "eth", IFF_UP | IFF_RUNNING);
		route(&w, (struct way){ .interface = i + 1 });
		take(&w);
	}
	assert_int_equal(reading.facts.interface_count, NETFACTS_INTERFACES);
	assert_int_equal(reading.facts.gateway_count, NETFACTS_GATEWAYS);
	for (uint32_t i = 0; i < 2 * NETFACTS_INTERFACES; i++)
		netfacts_add_interface(&reading.facts,
				       &(struct netfacts_interface){ .index = 1000 + i, .name = "more" });
	assert_int_equal(reading.facts.interface_count, NETFACTS_INTERFACES);
}

/* ---------------------------------------------------------------- facts */

static struct netfacts facts_of(const char *const *names, uint8_t last)
{
	struct netfacts facts = { .is_known = true };
	struct netfacts_gateway gateway = { .interface = 2, .has_address = true, .address = { [15] = last } };

	for (uint32_t i = 0; names[i]; i++) {
		struct netfacts_interface interface = { .index = (uint32_t)names[i][0] };

		strcpy(interface.name, names[i]);
		netfacts_add_interface(&facts, &interface);
	}
	if (last)
		netfacts_add_gateway(&facts, &gateway);
	return facts;
}

static void facts_are_equal_whatever_their_order(void **state)
{
	struct netfacts a = facts_of((const char *const[]){ "a", "b", NULL }, 1),
			b = facts_of((const char *const[]){ "b", "a", NULL }, 1),
			c = facts_of((const char *const[]){ "b", "c", NULL }, 1),
			d = facts_of((const char *const[]){ "a", "b", NULL }, 2), unknown = { 0 };

	(void)state;
	assert_true(netfacts_equal(&a, &b));
	assert_false(netfacts_equal(&a, &c));
	assert_false(netfacts_equal(&a, &d));
	assert_false(netfacts_equal(&a, &unknown));
	assert_true(netfacts_equal(&unknown, &unknown));
}

static void what_is_in_both_is_what_has_stayed(void **state)
{
	struct netfacts a = facts_of((const char *const[]){ "a", "b", NULL }, 1),
			b = facts_of((const char *const[]){ "b", "c", NULL }, 2), unknown = { 0 }, both;

	(void)state;
	netfacts_both(&a, &b, &both);
	assert_true(both.is_known);
	assert_int_equal(both.interface_count, 1);
	assert_true(netfacts_has_interface(&both, "b"));
	assert_false(netfacts_is_online(&both));
	netfacts_both(&a, &unknown, &both);
	assert_false(both.is_known);
	assert_int_equal(both.interface_count, 0);
}

static void only_a_new_default_route_is_another_network(void **state)
{
	static const char *const none[] = { NULL }, *const some[] = { "a", NULL };
	struct netfacts off = facts_of(none, 0), on = facts_of(none, 1), more = facts_of(some, 1),
			other = facts_of(none, 2), unknown = { 0 };

	(void)state;
	assert_true(netfacts_is_elsewhere(&off, &on));
	assert_true(netfacts_is_elsewhere(&on, &other));
	assert_false(netfacts_is_elsewhere(&on, &more));
	assert_false(netfacts_is_elsewhere(&on, &off));
	assert_false(netfacts_is_elsewhere(&on, &on));
	assert_false(netfacts_is_elsewhere(&unknown, &on));
}

static void never(void *arg)
{
	(void)arg;
	fail_msg("nothing has changed");
}

static void this_machine_can_be_looked_at(void **state)
{
	struct loop *loop = loop_new();
	struct netwatch_setup setup = { .loop = loop, .changed = never };
	struct netwatch *watch = netwatch_new(&setup);

	(void)state;
	assert_true(netwatch_facts(watch)->is_known);
	netwatch_free(watch);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_interface_counts_when_it_is_up_and_has_an_address, fresh),
		TEST(a_default_route_leads_everywhere_or_to_half_of_it),
		cmocka_unit_test_setup(gateways_of_both_families_are_known_by_their_addresses, fresh),
		cmocka_unit_test_setup(each_path_of_a_route_with_several_counts, fresh),
		cmocka_unit_test_setup(a_list_ends_with_its_end_and_not_with_another_ones, fresh),
		cmocka_unit_test_setup(a_list_that_changed_meanwhile_is_no_list, fresh),
		TEST(nothing_is_read_beyond_a_datagram_that_is_cut),
		cmocka_unit_test_setup(what_is_beyond_the_bounds_is_not_seen, fresh),
		TEST(facts_are_equal_whatever_their_order),
		TEST(what_is_in_both_is_what_has_stayed),
		TEST(only_a_new_default_route_is_another_network),
		TEST(this_machine_can_be_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
