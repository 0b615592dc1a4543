/* Spans and lists. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/list.h"
#include "base/span.h"

static void spans_compare_by_bytes_or_folded(void **state)
{
	(void)state;
	assert_true(span_equals(SPAN("abc"), span_str("abc")));
	assert_false(span_equals(SPAN("abc"), SPAN("abC")));
	assert_false(span_equals(SPAN("abc"), SPAN("ab")));
	assert_true(span_equals(SPAN(""), span_of(NULL, 0)));
	assert_true(span_equals_fold(SPAN("STARTTLS"), SPAN("StartTLS")));
	assert_false(span_equals_fold(SPAN("[]"), SPAN("{}")));             /* 32 apart, no letters */
	assert_false(span_equals_fold(SPAN("\xc3\x84"), SPAN("\xc3\xa4"))); /* only ASCII folds */
	assert_false(span_equals_fold(SPAN("a"), SPAN("ab")));
	assert_true(span_starts_fold(SPAN("MAIL FROM:<>"), SPAN("mail from:")));
	assert_true(span_starts_fold(SPAN("x"), SPAN("")));
	assert_false(span_starts_fold(SPAN("MAI"), SPAN("mail")));
	assert_int_equal(span_lower('Z'), 'z');
	assert_int_equal(span_lower('@'), '@');
	assert_int_equal(span_lower('['), '[');
	assert_int_equal(span_str(NULL).len, 0);
}

static void parts_of_spans_stay_inside(void **state)
{
	struct span s = SPAN("key=value");

	(void)state;
	assert_int_equal(span_find(s, '='), 3);
	assert_int_equal(span_find(s, 'x'), s.len);
	assert_int_equal(span_find(span_of(NULL, 0), 'x'), 0);
	assert_true(span_equals(span_first(s, 3), SPAN("key")));
	assert_true(span_equals(span_first(s, 100), s));
	assert_true(span_equals(span_from(s, 4), SPAN("value")));
	assert_int_equal(span_from(s, 9).len, 0);
	assert_int_equal(span_from(s, 1000).len, 0);
	assert_ptr_equal(span_from(s, 1000).data, s.data + s.len);
	assert_true(span_equals(span_trim(SPAN(" \t a b\t ")), SPAN("a b")));
	assert_true(span_equals(span_trim(SPAN("\r\n")), SPAN("\r\n")));
	assert_int_equal(span_trim(SPAN("  \t")).len, 0);
	assert_int_equal(span_trim(SPAN("")).len, 0);
}

struct item {
	char name;
	struct list node;
};

static const char *names(const struct list *head)
{
	static char text[16];
	size_t n = 0;

	for (struct list *at = list_first(head); at; at = list_next(head, at))
		text[n++] = LIST_ENTRY(at, struct item, node)->name;
	text[n] = '\0';
	return text;
}

static void lists_keep_their_order(void **state)
{
	struct list head;
	struct item a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };

	(void)state;
	list_init(&head);
	list_init(&b.node);
	assert_true(list_is_empty(&head));
	assert_null(list_first(&head));
	list_append(&head, &b.node);
	list_append(&head, &c.node);
	list_prepend(&head, &a.node);
	assert_string_equal(names(&head), "abc");
	list_remove(&b.node);
	assert_string_equal(names(&head), "ac");
	list_remove(&b.node); /* twice is harmless */
	assert_true(list_is_empty(&b.node));
	assert_string_equal(names(&head), "ac");
	list_append(&head, &b.node);
	assert_string_equal(names(&head), "acb");
	list_remove(&a.node);
	list_remove(&c.node);
	list_remove(&b.node);
	assert_true(list_is_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans_compare_by_bytes_or_folded),
		cmocka_unit_test(parts_of_spans_stay_inside),
		cmocka_unit_test(lists_keep_their_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
