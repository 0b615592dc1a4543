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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_rule_that_fits_wins),
		cmocka_unit_test(a_named_rule_wins_as_long_as_it_is_there),
		cmocka_unit_test(a_report_fits_only_rules_without_from),
		cmocka_unit_test(a_target_is_read_by_place_and_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
