/* What is learnt about the ways to lanes, and which refusals are about where we come from. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "delivery/habit.h"
#include "delivery/refusal.h"
#include "net/addr.h"

static struct habit h;

static int setup(void **state)
{
	(void)state;
	habit_init(&h);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	habit_fini(&h);
	return 0;
}

static void a_refused_family_is_avoided_for_a_while(void **state)
{
	(void)state;
	assert_int_equal(habit_avoids(&h, "mx:a", 1000), 0);
	assert_true(habit_refused(&h, "mx:a", AF_INET6, 1000));
	assert_int_equal(habit_avoids(&h, "mx:a", 1001), AF_INET6);
	assert_int_equal(habit_avoids(&h, "mx:b", 1001), 0);
	assert_int_equal(habit_avoids(&h, "mx:a", 1000 + HABIT_AVOID_MS), 0);
	assert_true(habit_refused(&h, "mx:a", AF_INET, 1000 + HABIT_AVOID_MS));
	assert_int_equal(habit_avoids(&h, "mx:a", 1001 + HABIT_AVOID_MS), AF_INET);
}

static void where_both_are_refused_the_refusal_counts(void **state)
{
	(void)state;
	assert_true(habit_refused(&h, "mx:a", AF_INET6, 1000));
	assert_false(habit_refused(&h, "mx:a", AF_INET, 2000));
	assert_int_equal(habit_avoids(&h, "mx:a", 2000), AF_INET6);
	assert_true(habit_refused(&h, "mx:a", AF_INET6, 3000)); /* another connection that was still open */
}

static void a_message_has_one_chance(void **state)
{
	(void)state;
	assert_true(habit_gives_chance(&h, 7));
	assert_false(habit_gives_chance(&h, 7));
	for (uint64_t id = 100; id < 100 + HABIT_MESSAGES - 1; id++)
		assert_true(habit_gives_chance(&h, id));
	assert_false(habit_gives_chance(&h, 7));
	assert_true(habit_gives_chance(&h, 8));
}

static void what_worked_is_preferred_for_a_while(void **state)
{
	struct dns_address address = { .len = 0 }, out = { .len = 0 };
	char text[ADDR_TEXT_SIZE];

	(void)state;
	assert_true(addr_literal("192.0.2.7", &address.addr, &address.len));
	assert_null(habit_prefers(&h, "mx:a", 0, &out));
	habit_worked(&h, "mx:a", "mx2.test", &address, 1000);
	assert_string_equal(habit_prefers(&h, "mx:a", 1001, &out), "mx2.test");
	assert_string_equal(addr_host(&out.addr, text), "192.0.2.7");
	habit_worked(&h, "mx:a", habit_prefers(&h, "mx:a", 1001, &out), &address, 2000);
	assert_string_equal(habit_prefers(&h, "mx:a", 1000 + HABIT_PREFER_MS, &out), "mx2.test");
	assert_null(habit_prefers(&h, "mx:a", 2000 + HABIT_PREFER_MS, &out));
}

static void memory_is_bounded_and_the_oldest_gives_way(void **state)
{
	char name[32];

	(void)state;
	assert_true(habit_refused(&h, "mx:old", AF_INET6, 1));
	assert_true(habit_refused(&h, "mx:used", AF_INET6, 1));
	for (int i = 0; i < 3 * HABIT_LANES; i++) {
		snprintf(name, sizeof name, "mx:%d", i);
		assert_true(habit_refused(&h, name, AF_INET, 2));
		assert_int_equal(habit_avoids(&h, "mx:used", 3), AF_INET6);
	}
	assert_int_equal(h.count, HABIT_LANES);
	assert_int_equal(habit_avoids(&h, "mx:old", 3), 0);
}

static void refusals_of_where_we_come_from(void **state)
{
	static const struct {
		const char *name;
		unsigned code, subject, detail;
		const char *text;
		bool by_mx, by_relay;
	} rows[] = {
		{ "not authorised", 550, 7, 1, "not allowed", true, false },
		{ "the same for now", 450, 7, 1, "not allowed", false, false },
		{ "reverse DNS", 550, 7, 25, "no", true, true },
		{ "reverse DNS for now", 450, 7, 25, "no", true, true },
		{ "SPF", 550, 7, 23, "no", true, true },
		{ "DKIM is no matter of addresses", 550, 7, 20, "no", false, false },
		{ "null MX of the sender", 550, 7, 27, "no", true, true },
		{ "Gmail in words", 550, 0, 0,
		  "[2001:db8::1] Our system has detected that this message does not meet IPv6 sending guidelines", true,
		  true },
		{ "PTR in words", 554, 0, 0, "IP has no PTR record", true, true },
		{ "PTR in words with a status of another kind", 550, 1, 1, "No PTR Record for 192.0.2.1", true, true },
		{ "no such user", 550, 1, 1, "no such user", false, false },
		{ "a mailbox that is full", 452, 2, 2, "full", false, false },
		{ "without a status", 550, 0, 0, "no", false, false },
		{ "taken", 250, 0, 0, "reverse dns is fine", false, false },
		{ "our own words", 0, 0, 0, "reverse dns", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct reply reply = { .code = rows[i].code, .text = span_str(rows[i].text) };

		if (rows[i].subject)
			reply.status = (struct reply_status){ (uint8_t)(rows[i].code / 100), (uint16_t)rows[i].subject,
							      (uint16_t)rows[i].detail };
		if (refusal_is_of_origin(&reply, false) != rows[i].by_mx ||
		    refusal_is_of_origin(&reply, true) != rows[i].by_relay)
			fail_msg("%s", rows[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(a_refused_family_is_avoided_for_a_while),
		TEST(where_both_are_refused_the_refusal_counts),
		TEST(a_message_has_one_chance),
		TEST(what_worked_is_preferred_for_a_while),
		TEST(memory_is_bounded_and_the_oldest_gives_way),
		TEST(refusals_of_where_we_come_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
