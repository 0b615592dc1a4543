/* The sink's misbehaviour: how rules are read and when they strike. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "tools/sink_rules.h"

static void a_reply_has_code_status_and_text(void **state)
{
	struct sink_rules rules;
	(void)state;

	sink_rules_init(&rules);
	assert_null(sink_rules_reply(&rules, "rcpt=450 4.2.0 come back later"));
	assert_null(sink_rules_reply(&rules, "DOT=554 no"));
	assert_null(sink_rules_reply(&rules, "greeting=421"));
	assert_int_equal(rules.list[0].code, 450);
	assert_string_equal(rules.list[0].status, "4.2.0");
	assert_string_equal(rules.list[0].text, "come back later");
	assert_int_equal(rules.list[1].stage, SINK_RULES_DOT);
	assert_string_equal(rules.list[1].status, "5.0.0");
	assert_string_equal(rules.list[1].text, "no");
	assert_int_equal(rules.list[2].code, 421);
	sink_rules_fini(&rules);
}

static void mistakes_are_refused(void **state)
{
	static const char *const replies[] = { "rcpt",       "rcpt=",      "rcpt=45",    "rcpt=4500", "rcpt=abc",
					       "rcpt=199 x", "rcpt=600 x", "vrfy=450 x", "=450 x" };
	struct sink_rules rules;
	(void)state;

	sink_rules_init(&rules);
	assert_non_null(sink_rules_times(&rules, "1"));
	assert_non_null(sink_rules_for(&rules, "*"));
	for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++)
		if (!sink_rules_reply(&rules, replies[i]))
			fail_msg("%s", replies[i]);
	assert_non_null(sink_rules_drop(&rules, "dot=1"));
	assert_non_null(sink_rules_delay(&rules, "dot=soon"));
	assert_non_null(sink_rules_times(&rules, "many"));
	sink_rules_fini(&rules);
}

static void rules_strike_after_skipping_and_so_many_times(void **state)
{
	static const bool struck[] = { false, false, true, true, true, false, false };
	struct sink_rules rules;
	(void)state;

	sink_rules_init(&rules);
	sink_rules_drop(&rules, "dot");
	assert_null(sink_rules_skip(&rules, "2"));
	assert_null(sink_rules_times(&rules, "3"));
	for (size_t i = 0; i < sizeof struck; i++) {
		assert_null(sink_rules_arrive(&rules, SINK_RULES_MAIL, "").drop);
		assert_int_equal(sink_rules_arrive(&rules, SINK_RULES_DOT, "").drop != NULL, struck[i]);
	}
	sink_rules_fini(&rules);
}

static void addresses_that_do_not_fit_do_not_count(void **state)
{
	struct sink_rules rules;
	(void)state;

	sink_rules_init(&rules);
	sink_rules_reply(&rules, "rcpt=550 5.1.1 no such user");
	sink_rules_for(&rules, "bob@*");
	sink_rules_times(&rules, "1");
	sink_rules_delay(&rules, "rcpt=2s");
	assert_null(sink_rules_arrive(&rules, SINK_RULES_RCPT, "alice@x").reply);
	assert_non_null(sink_rules_arrive(&rules, SINK_RULES_RCPT, "bob@x").reply);
	assert_null(sink_rules_arrive(&rules, SINK_RULES_RCPT, "bob@x").reply);
	assert_int_equal(sink_rules_arrive(&rules, SINK_RULES_RCPT, "bob@x").delay->delay_ms, 2000);
	sink_rules_fini(&rules);
}

static void raw_bytes_may_hold_line_ends(void **state)
{
	struct sink_rules rules;
	(void)state;

	sink_rules_init(&rules);
	assert_null(sink_rules_raw(&rules, "dot=250 a\\r\\n\\\\"));
	assert_string_equal(sink_rules_arrive(&rules, SINK_RULES_DOT, "").raw->text, "250 a\r\n\\");
	sink_rules_fini(&rules);
}

static void only_some_commands_are_intercepted(void **state)
{
	enum sink_rules_stage stage;
	bool is_chunk;
	struct sink_rules rules;
	(void)state;

	sink_rules_init(&rules);
	sink_rules_drop(&rules, "mail");
	assert_false(sink_rules_intercepts(&rules));
	sink_rules_drop(&rules, "ehlo");
	assert_true(sink_rules_intercepts(&rules));
	sink_rules_fini(&rules);
	assert_true(sink_rules_stage_of(SPAN("ehlo there\r\n"), &stage, &is_chunk));
	assert_int_equal(stage, SINK_RULES_EHLO);
	assert_true(sink_rules_stage_of(SPAN("DATA\r\n"), &stage, &is_chunk));
	assert_int_equal(stage, SINK_RULES_DATA);
	assert_false(is_chunk);
	assert_true(sink_rules_stage_of(SPAN("bdat 5 LAST\r\n"), &stage, &is_chunk));
	assert_int_equal(stage, SINK_RULES_DATA);
	assert_true(is_chunk);
	assert_false(sink_rules_stage_of(SPAN("MAIL FROM:<a>\r\n"), &stage, &is_chunk));
	assert_false(sink_rules_stage_of(SPAN("greeting\r\n"), &stage, &is_chunk));
	assert_false(sink_rules_stage_of(SPAN("\r\n"), &stage, &is_chunk));
	assert_false(sink_rules_stage_of(SPAN(""), &stage, &is_chunk));
}

static void no_more_rules_than_there_is_room_for(void **state)
{
	struct sink_rules rules;
	(void)state;

	sink_rules_init(&rules);
	for (int i = 0; i < SINK_RULES_MAX; i++)
		assert_null(sink_rules_drop(&rules, "dot"));
	assert_non_null(sink_rules_drop(&rules, "dot"));
	sink_rules_fini(&rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reply_has_code_status_and_text),
		cmocka_unit_test(mistakes_are_refused),
		cmocka_unit_test(rules_strike_after_skipping_and_so_many_times),
		cmocka_unit_test(addresses_that_do_not_fit_do_not_count),
		cmocka_unit_test(raw_bytes_may_hold_line_ends),
		cmocka_unit_test(only_some_commands_are_intercepted),
		cmocka_unit_test(no_more_rules_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
