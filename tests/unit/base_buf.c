/* The growing buffer: caps, growth, consumed fronts, and that a refused append changes nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

static struct buf buf;

static int setup(void **state)
{
	(void)state;
	buf_init(&buf, 1000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_fini(&buf);
	return 0;
}

static void appends_add_up(void **state)
{
	(void)state;
	assert_true(buf_is_empty(&buf));
	assert_true(buf_append(&buf, "250-", 4));
	assert_true(buf_append(&buf, NULL, 0));
	assert_true(buf_append_span(&buf, SPAN("mx")));
	assert_true(buf_append_span(&buf, span_of(NULL, 0)));
	assert_true(buf_append_char(&buf, ' '));
	assert_true(buf_append_str(&buf, "hello"));
	assert_true(buf_printf(&buf, " %d%s", 42, "!"));
	assert_string_equal(buf_cstr(&buf), "250-mx hello 42!");
	assert_int_equal(buf_span(&buf).len, 16);
	assert_false(buf_is_empty(&buf));
}

static void the_cap_refuses_whole_appends_and_changes_nothing(void **state)
{
	volatile size_t absurd = SIZE_MAX; /* the compiler would not let it pass */
	static const char block[1001];

	(void)state;
	assert_false(buf_append(&buf, block, 1001));
	assert_true(buf_append(&buf, block, 999));
	assert_false(buf_append_str(&buf, "ab"));
	assert_false(buf_printf(&buf, "%d", 10));
	assert_int_equal(buf.len, 999);
	assert_true(buf_append_char(&buf, 'x'));
	assert_false(buf_append_char(&buf, 'y'));
	assert_false(buf_append_span(&buf, SPAN("y")));
	assert_true(buf_append(&buf, "", 0));
	assert_int_equal(buf.len, 1000);
	assert_int_equal(buf_span(&buf).data[999], 'x');
	assert_int_equal(buf_cstr(&buf)[1000], '\0');
	assert_false(buf_append(&buf, block, absurd));
	assert_null(buf_reserve(&buf, SIZE_MAX));
	assert_null(buf_reserve(&buf, SIZE_MAX - 999));
}

static void a_buffer_with_cap_zero_holds_nothing(void **state)
{
	struct buf none;

	(void)state;
	buf_init(&none, 0);
	assert_false(buf_append_char(&none, 'x'));
	assert_string_equal(buf_cstr(&none), "");
	assert_int_equal(buf_span(&none).len, 0);
	buf_fini(&none);
}

static void consumed_bytes_go_from_the_front(void **state)
{
	(void)state;
	buf_append_str(&buf, "EHLO x\r\nMAIL");
	buf_consume(&buf, 8);
	assert_string_equal(buf_cstr(&buf), "MAIL");
	buf_append_str(&buf, " FROM");
	assert_string_equal(buf_cstr(&buf), "MAIL FROM");
	buf_consume(&buf, 0);
	buf_truncate(&buf, 4);
	assert_string_equal(buf_cstr(&buf), "MAIL");
	buf_truncate(&buf, 100);
	assert_string_equal(buf_cstr(&buf), "MAIL");
	buf_consume(&buf, 100);
	assert_true(buf_is_empty(&buf));
	assert_int_equal(buf.start, 0);
}

static void a_wiped_buffer_is_empty_and_fit_for_use(void **state)
{
	(void)state;
	buf_wipe(&buf);
	assert_null(buf.data);
	buf_append_str(&buf, "secret");
	buf_wipe(&buf);
	assert_null(buf.data);
	assert_true(buf_is_empty(&buf));
	assert_true(buf_append_str(&buf, "next"));
	assert_string_equal(buf_cstr(&buf), "next");
}

static void a_stream_through_a_small_buffer_does_not_grow_it(void **state)
{
	size_t capacity = 0;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		char text[16];
		int n = snprintf(text, sizeof(text), "%d,", i);

		assert_true(buf_append(&buf, text, (size_t)n));
		if (i > 100) {
			char want[16];

			n = snprintf(want, sizeof(want), "%d,", i - 101);
			assert_memory_equal(buf_span(&buf).data, want, n);
			buf_consume(&buf, (size_t)n);
		}
		if (i == 1000)
			capacity = buf.capacity;
	}
	assert_int_equal(buf.capacity, capacity);
}

static void reserved_room_is_taken_by_commit(void **state)
{
	char *room;

	(void)state;
	buf_append_str(&buf, "ab");
	room = buf_reserve(&buf, 500);
	assert_non_null(room);
	memcpy(room, "cdef", 4);
	assert_string_equal(buf_cstr(&buf), "ab");
	memcpy(room, "cdef", 4);
	buf_commit(&buf, 3);
	assert_string_equal(buf_cstr(&buf), "abcde");
	buf_commit(&buf, 0);
	assert_int_equal(buf.len, 5);
	assert_null(buf_reserve(&buf, 996));
	assert_non_null(buf_reserve(&buf, 995));
}

static void clear_keeps_the_storage_and_release_does_not(void **state)
{
	(void)state;
	buf_append_str(&buf, "x");
	buf_clear(&buf);
	assert_true(buf_is_empty(&buf));
	assert_non_null(buf.data);
	buf_release(&buf);
	assert_null(buf.data);
	assert_int_equal(buf.max, 1000);
	assert_true(buf_append_str(&buf, "again"));
	assert_string_equal(buf_cstr(&buf), "again");
}

static void numbers_are_appended_in_decimal(void **state)
{
	(void)state;
	assert_true(buf_append_number(&buf, 0));
	assert_true(buf_append_char(&buf, ' '));
	assert_true(buf_append_number(&buf, -17));
	assert_true(buf_append_char(&buf, ' '));
	assert_true(buf_append_number(&buf, INT64_MAX));
	assert_true(buf_append_char(&buf, ' '));
	assert_true(buf_append_number(&buf, INT64_MIN));
	assert_string_equal(buf_cstr(&buf), "0 -17 9223372036854775807 -9223372036854775808");
	buf.max = buf.len + 1;
	assert_false(buf_append_number(&buf, 10));
	assert_true(buf_append_number(&buf, 9));
}

static void take_hands_the_text_over(void **state)
{
	char *text;

	(void)state;
	buf_append(&buf, "a\0b", 3);
	text = buf_take(&buf);
	assert_memory_equal(text, "a\0b", 4);
	assert_true(buf_is_empty(&buf));
	mem_free(text);
	text = buf_take(&buf);
	assert_string_equal(text, "");
	mem_free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(appends_add_up),
		TEST(the_cap_refuses_whole_appends_and_changes_nothing),
		TEST(a_buffer_with_cap_zero_holds_nothing),
		TEST(consumed_bytes_go_from_the_front),
		TEST(a_stream_through_a_small_buffer_does_not_grow_it),
		TEST(reserved_room_is_taken_by_commit),
		TEST(clear_keeps_the_storage_and_release_does_not),
		TEST(a_wiped_buffer_is_empty_and_fit_for_use),
		TEST(numbers_are_appended_in_decimal),
		TEST(take_hands_the_text_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
