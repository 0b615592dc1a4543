#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/cidr.h"

static bool contains(const char *net, const char *host)
{
	struct cidr cidr;
	uint8_t address[16];

	assert_true(cidr_parse(span_str(net), &cidr));
	assert_true(cidr_address(span_str(host), address));
	return cidr_contains(&cidr, address);
}

static void addresses_fall_into_their_networks(void **state)
{
	(void)state;
	assert_true(contains("127.0.0.0/8", "127.255.0.1"));
	assert_false(contains("127.0.0.0/8", "128.0.0.1"));
	assert_true(contains("192.0.2.128/25", "192.0.2.129"));
	assert_false(contains("192.0.2.128/25", "192.0.2.127"));
	assert_true(contains("192.0.2.7", "192.0.2.7"));
	assert_false(contains("192.0.2.7", "192.0.2.6"));
	assert_true(contains("192.0.2.0/24", "::ffff:192.0.2.9"));
	assert_true(contains("2001:db8::/33", "2001:db8:7fff::1"));
	assert_false(contains("2001:db8::/33", "2001:db8:8000::1"));
	assert_true(contains("0.0.0.0/0", "8.8.8.8"));
	assert_false(contains("0.0.0.0/0", "2001:db8::1"));
	assert_true(contains("::/0", "8.8.8.8"));
}

static void what_is_no_network_is_refused(void **state)
{
	static const char *const bad[] = { "",         "x",          "1.2.3",         "1.2.3.4/33", "1.2.3.4/-1",
					   "1.2.3.4/", "1.2.3.4/24", "::1/129",       "::1/",       "[::1]",
					   "1.2.3.4 ", "1.2.3.4:25", "2001:db8::/16", "1.2.3.4/0x8" };
	struct cidr out;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (cidr_parse(span_str(bad[i]), &out))
			fail_msg("taken: \"%s\"", bad[i]);
	assert_false(cidr_parse(SPAN("127.0.0.1\0"), &out));
}

static void loopback_is_known_in_both_families(void **state)
{
	uint8_t a[16];

	(void)state;
	assert_true(cidr_address(SPAN("127.9.9.9"), a) && cidr_is_loopback(a));
	assert_true(cidr_address(SPAN("::1"), a) && cidr_is_loopback(a));
	assert_true(cidr_address(SPAN("10.0.0.1"), a) && !cidr_is_loopback(a));
	assert_true(cidr_address(SPAN("::2"), a) && !cidr_is_loopback(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_fall_into_their_networks),
		cmocka_unit_test(what_is_no_network_is_refused),
		cmocka_unit_test(loopback_is_known_in_both_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
