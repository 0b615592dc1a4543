#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "when.h"

/* tun0 with an address, and a default route through 10.1.0.1 on eth0. */
static struct netfacts office(void)
{
	struct netfacts facts = { .is_known = true };
	struct netfacts_interface tun = { .index = 5, .name = "tun0" }, eth = { .index = 2, .name = "eth0" };
	struct netfacts_gateway gateway = { .interface = 2, .has_address = true };

	assert_true(cidr_address(SPAN("10.1.0.1"), gateway.address));
	netfacts_add_interface(&facts, &tun);
	netfacts_add_interface(&facts, &eth);
	netfacts_add_gateway(&facts, &gateway);
	return facts;
}

static bool holds(const char *condition, const struct netfacts *facts)
{
	struct config_strings list = { &condition, 1 };

	return when_holds(&list, facts);
}

static void a_condition_holds_where_the_network_is_as_it_says(void **state)
{
	static const struct {
		const char *condition;
		bool holds;
	} rows[] = {
		{ "interface tun*", true },
		{ "interface tun0", true },
		{ "interface TUN?", true },
		{ "interface wg*", false },
		{ "interface tun", false },
		{ " interface   tun0 ", true },
		{ "gateway 10.1.0.1", true },
		{ "gateway 10.1.0.0/16", true },
		{ "gateway 10.1.0.2", false },
		{ "gateway 10.2.0.0/16", false },
		{ "gateway fe80::1", false },
		{ "gateway ::/0", true },
		{ "online", true },
		{ "offline", false },
		{ "", false },
	};
	const struct netfacts facts = office(), nothing = { .is_known = true }, unknown = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		if (holds(rows[i].condition, &facts) != rows[i].holds)
			fail_msg("%s", rows[i].condition);
		assert_false(holds(rows[i].condition, &nothing));
		assert_false(holds(rows[i].condition, &unknown));
	}
}

static void one_condition_of_several_is_enough(void **state)
{
	const char *some[] = { "interface wg*", "gateway 10.1.0.1" }, *none[] = { "interface wg*", "gateway 10.2.0.1" };
	const struct netfacts facts = office();

	(void)state;
	assert_true(when_holds(&(struct config_strings){ some, 2 }, &facts));
	assert_false(when_holds(&(struct config_strings){ none, 2 }, &facts));
	assert_false(when_holds(&(struct config_strings){ NULL, 0 }, &facts));
}

static void what_may_have_been_meant_is_a_condition(void **state)
{
	static const struct {
		const char *text, *meant;
	} rows[] = {
		{ "tun0", "interface tun0" },
		{ "tun*", "interface tun*" },
		{ "10.1.0.0/16", "gateway 10.1.0.0/16" },
		{ "fe80::1", "gateway fe80::1" },
		{ "Online", "online" },
		{ "gatway 10.1.0.1", "gateway 10.1.0.1" },
		{ "online always", "online" },
		{ "gateway", NULL },
		{ "interface a b", NULL },
		{ "interface a/b", NULL },
		{ "interface an-interface-with-a-name-that-cannot-be", NULL },
		{ "ssid cafe", NULL },
		{ "", NULL },
	};
	char meant[WHEN_MEANT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		bool is_known = when_meant(rows[i].text, meant);

		assert_non_null(when_mistake(rows[i].text));
		if (is_known != (rows[i].meant != NULL) || (is_known && strcmp(meant, rows[i].meant) != 0))
			fail_msg("%s: %s", rows[i].text, is_known ? meant : "nothing");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_condition_holds_where_the_network_is_as_it_says),
		cmocka_unit_test(one_condition_of_several_is_enough),
		cmocka_unit_test(what_may_have_been_meant_is_a_condition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
