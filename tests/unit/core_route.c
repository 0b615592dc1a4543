#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "route.h"

static const char *work_from[] = { "*@example.com", "boss@*" }, *lab_to[] = { "*@lab.internal" }, *any[] = { "*" };
static struct config_route routes[] = {
	{ .name = "work", .from = { work_from, 2 }, .target = "work,backup" },
	{ .name = "lab", .to = { lab_to, 1 }, .target = "lab" },
	{ .name = "both", .from = { any, 1 }, .to = { any, 1 }, .target = "x" },
};
static const struct config config = { .routes = routes, .route_count = 3 };

static void the_first_rule_that_fits_wins(void **state)
{
	static const struct {
		const char *sender, *recipient, *route;
	} rows[] = {
		{ "me@example.com", "you@lab.internal", "work" }, { "me@EXAMPLE.com", "you@elsewhere", "work" },
		{ "boss@home", "you@elsewhere", "work" },         { "me@home", "you@Lab.Internal", "lab" },
		{ "me@home", "you@lab.internal.org", "both" },    { "", "you@lab.internal", "lab" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(route_find(&config, rows[i].sender, rows[i].recipient)->name, rows[i].route);
}

static void a_named_rule_wins_as_long_as_it_is_there(void **state)
{
	(void)state;
	assert_string_equal(route_of(&config, "lab", "me@example.com", "you@elsewhere")->name, "lab");
	assert_string_equal(route_of(&config, "", "me@example.com", "you@elsewhere")->name, "work");
	assert_string_equal(route_of(&config, "gone", "me@example.com", "you@elsewhere")->name, "work");
	assert_null(route_named(&config, "gone"));
	assert_null(route_named(&config, ""));
}

static void a_report_fits_only_rules_without_from(void **state)
{
	(void)state;
	assert_null(route_find(&config, "", "me@home"));
	assert_string_equal(route_target(&config, NULL), "");
}

static void a_target_is_read_by_place_and_name(void **state)
{
	const char *target = route_target(&config, &routes[0]);
	struct buf name;

	(void)state;
	buf_init(&name, 64);
	assert_string_equal(target, "work,backup");
	assert_int_equal(route_place(target, "work"), 0);
	assert_int_equal(route_place(target, "backup"), 1);
	assert_int_equal(route_place(target, "back"), -1);
	assert_int_equal(route_place(target, ""), -1);
	assert_int_equal(route_place("", ""), -1);
	assert_true(route_name(target, 0, &name));
	assert_string_equal(buf_cstr(&name), "work");
	assert_true(route_name(target, 1, &name));
	assert_string_equal(buf_cstr(&name), "backup");
	assert_false(route_name(target, 2, &name));
	assert_string_equal(buf_cstr(&name), "");
	assert_false(route_name("", 0, &name));
	buf_fini(&name);
}

static void lanes_have_weights(void **state)
{
	struct span rest = SPAN("work=3,home=1000,mx:[IPv6:2001:db8::1]=2,backup,,=7,odd=x,");
	static const struct {
		const char *name;
		uint32_t weight;
	} rows[] = {
		{ "work", 3 }, { "home", 1000 }, { "mx:[IPv6:2001:db8::1]", 2 }, { "backup", 0 }, { "odd", 0 },
	};
	struct span name;
	uint32_t weight;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(route_next(&rest, &name, &weight));
		assert_true(span_equals(name, span_str(rows[i].name)));
		assert_int_equal(weight, rows[i].weight);
	}
	assert_false(route_next(&rest, &name, &weight));
	assert_int_equal(route_place("work=3,home=1", "home"), 1);
	assert_int_equal(route_place("work=3,home=1", "home=1"), -1);
}

static void a_condition_stands_behind_the_lanes_and_is_none(void **state)
{
	struct span rest = SPAN("work=3,backup?office"), name;
	uint32_t weight;
	struct buf out;

	(void)state;
	buf_init(&out, 64);
	assert_true(span_equals(route_condition("work=3,backup?office"), SPAN("office")));
	assert_int_equal(route_condition("work,backup").len, 0);
	assert_int_equal(route_condition("").len, 0);
	assert_true(route_next(&rest, &name, &weight));
	assert_true(route_next(&rest, &name, &weight));
	assert_true(span_equals(name, SPAN("backup")));
	assert_false(route_next(&rest, &name, &weight));
	rest = SPAN("?office");
	assert_false(route_next(&rest, &name, &weight));
	assert_int_equal(route_place("work?office", "work"), 0);
	assert_int_equal(route_place("work?office", "office"), -1);
	assert_true(route_name("work?office", 0, &out));
	assert_string_equal(buf_cstr(&out), "work");
	assert_false(route_name("work?office", 1, &out));
	buf_fini(&out);
}

static void mx_in_a_target_is_the_recipients_own(void **state)
{
	static const struct {
		const char *target, *recipient, *wanted;
	} rows[] = {
		{ "work,backup", "you@example.org", "work,backup" },
		{ "mx", "you@Example.ORG", "mx:example.org" },
		{ "mx", "\"a@b\"@example.org", "mx:example.org" },
		{ "mx", "you@m\xc3\xbcnchen.example", "mx:xn--mnchen-3ya.example" },
		{ "mx", "you@[192.0.2.1]", "mx:[192.0.2.1]" },
		{ "mx", "you@[ipv6:2001:DB8:0::1]", "mx:[IPv6:2001:db8::1]" },
		{ "work=3,mx=1,backup", "you@example.org", "work=3,mx:example.org=1,backup" },
		{ "mx,backup", "you@example.org", "mx:example.org,backup" },
		{ "mx", "root", "mx:host.example.net" }, /* this machine's */
		{ "mx,backup", "you@[nonsense]", "backup" },
		{ "mx", "you@a,b", "" },
		{ "mxer,amx", "you@example.org", "mxer,amx" },
		{ "work?office", "you@example.org", "work?office" },
		{ "mx=2,backup?office", "you@example.org", "mx:example.org=2,backup?office" },
		{ "mx?office", "you@a,b", "" },
		{ NULL, "you@example.org", "" },
	};
	const struct config own = { .hostname = "Host.example.net" };
	struct buf out;

	(void)state;
	buf_init(&out, ROUTE_TARGET_MAX + 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config_route route = { .target = rows[i].target };

		route_target_of(&own, &route, rows[i].recipient, &out);
		assert_string_equal(buf_cstr(&out), rows[i].wanted);
	}
	route_target_of(&own, NULL, "you@example.org", &out);
	assert_string_equal(buf_cstr(&out), "");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_rule_that_fits_wins),
		cmocka_unit_test(a_named_rule_wins_as_long_as_it_is_there),
		cmocka_unit_test(a_report_fits_only_rules_without_from),
		cmocka_unit_test(a_target_is_read_by_place_and_name),
		cmocka_unit_test(lanes_have_weights),
		cmocka_unit_test(a_condition_stands_behind_the_lanes_and_is_none),
		cmocka_unit_test(mx_in_a_target_is_the_recipients_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
