#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "delivery/flight.h"

enum { MANY = 1000 };

static size_t longest_row(const struct flight *f)
{
	size_t row = 0, longest = 0;

	for (size_t i = 0; i < f->size; i++) {
		row = f->seats[i].id ? row + 1 : 0;
		longest = row > longest ? row : longest;
	}
	return longest;
}

static void recipients_of_one_message_do_not_sit_in_one_row(void **state)
{
	struct flight f;

	(void)state;
	flight_init(&f);
	for (uint32_t n = 0; n < MANY; n++)
		flight_add(&f, 0x0199f00000000001u, n, NULL);
	assert_true(longest_row(&f) < 64);
	flight_fini(&f);
}

static void messages_that_came_together_do_not_sit_in_one_row(void **state)
{
	struct flight f;

	(void)state;
	flight_init(&f);
	for (uint64_t i = 0; i < MANY; i++)
		flight_add(&f, 0x0199f00000000001u + i % 8 + (i / 8 << 20), 0, NULL);
	assert_true(longest_row(&f) < 64);
	flight_fini(&f);
}

static void what_is_removed_is_gone_and_the_others_are_still_found(void **state)
{
	struct flight f;

	(void)state;
	flight_init(&f);
	for (uint32_t n = 0; n < MANY; n++)
		flight_add(&f, 1 + n % 3, n, NULL);
	for (uint32_t n = 0; n < MANY; n += 2)
		assert_true(flight_remove(&f, 1 + n % 3, n));
	for (uint32_t n = 0; n < MANY; n++) {
		const struct flight_seat *seat = flight_find(&f, 1 + n % 3, n);

		assert_int_equal(seat != NULL, n % 2);
		assert_true(!seat || (seat->id == 1 + n % 3 && seat->n == n));
	}
	assert_false(flight_remove(&f, 1, 0));
	assert_int_equal(f.count, MANY / 2);
	flight_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_of_one_message_do_not_sit_in_one_row),
		cmocka_unit_test(messages_that_came_together_do_not_sit_in_one_row),
		cmocka_unit_test(what_is_removed_is_gone_and_the_others_are_still_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
