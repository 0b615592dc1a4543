#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "message/addresslist.h"

static const struct row {
	const char *in, *out; /* addresses joined by '|'; '!' and what is wrong where it goes wrong */
} rows[] = {
	{ "", "" },
	{ " \r\n\t", "" },
	{ "a@b.example", "a@b.example|" },
	{ "root", "root|" },
	{ " a@b , c@d\r\n ,e@f", "a@b|c@d|e@f|" },
	{ "a@b;c@d", "a@b|c@d|" },
	{ ",,a@b,,", "a@b|" },
	{ "Alice <a@b>", "a@b|" },
	{ "\"Doe, John\" <j@d>, b@c", "j@d|b@c|" },
	{ "\"a \\\" <x@y>\" <j@d>", "j@d|" },
	{ "John Q. Public <j@d>", "j@d|" },
	{ "a@b.c <d@e.f>", "d@e.f|" },
	{ "<a@b>", "a@b|" },
	{ "<a@b> (Alice, from b)", "a@b|" },
	{ "a@b (Alice (the \\) first)), c@d", "a@b|c@d|" },
	{ "(comment) a (x) @ (y) b . c", "a@b.c|" },
	{ "\"a b\"@c", "\"a b\"@c|" },
	{ "\"a\\\"b\"@c", "\"a\\\"b\"@c|" },
	{ "\"a\r\n b\"@c", "\"a b\"@c|" },
	{ "a.\"b c\".d@e", "a.\"b c\".d@e|" },
	{ "a@[192.0.2.1], b@[IPv6:2001:db8::1]", "a@[192.0.2.1]|b@[IPv6:2001:db8::1]|" },
	{ "friends: a@b, Bob <c@d>;, e@f", "a@b|c@d|e@f|" },
	{ "undisclosed-recipients:;", "" },
	{ "my friends: a@b", "a@b|" },
	{ "\"my: friends\": a@b;", "a@b|" },
	{ "a: b: c@d", "c@d|" },
	{ "<@x,@y:a@b>", "a@b|" },
	{ "=?utf-8?Q?J=C3=BCrgen?= <j@d>", "j@d|" },
	{ "\xc3\xbc@\xc3\xbc.example", "\xc3\xbc@\xc3\xbc.example|" },
	{ "Alice Bob", "!words without a comma between them" },
	{ "a@b c@d", "!words without a comma between them" },
	{ "a@b, c d@e", "a@b|!words without a comma between them" },
	{ "<a b@c>", "!a blank stands inside an address" },
	{ "<a@b", "!a < is not closed" },
	{ "a@b>", "!an unexpected character stands in an address" },
	{ "<<a@b>>", "!an unexpected character stands inside <>" },
	{ "<a@b> c", "!something stands behind the > of an address" },
	{ "<a@b><c@d>", "!something stands behind the > of an address" },
	{ "<a@b,c@d>", "!an unexpected character stands inside <>" },
	{ "<>", "!an address is empty" },
	{ "<@x>", "@x|" },
	{ "\"a", "!a quoted string is not closed" },
	{ "\"a\\", "!a quoted string is not closed" },
	{ "(a", "!a comment is not closed" },
	{ "(a\\)", "!a comment is not closed" },
	{ "a@[b", "!an address literal is not closed" },
	{ ":", "!an unexpected : stands in an address" },
	{ "a@b:c", "!an unexpected : stands in an address" },
	{ "a\x01@b", "!a control character stands in an address" },
	{ "\"a\\\r\nRCPT\"@b", "!a control character stands in an address" },
	{ "\"a\tb\"@b", "!a control character stands in an address" },
	{ "a@[\x7f]", "!a control character stands in an address" },
	{ "\"a\\\\\"@b", "\"a\\\\\"@b|" },
	{ "a)@b", "!an unexpected character stands in an address" },
};

static void read_list(struct span in, struct buf *all)
{
	enum addresslist_verdict verdict;
	struct addresslist l;
	struct buf address;

	buf_init(&address, ADDRESSLIST_MAX);
	addresslist_init(&l, in);
	while ((verdict = addresslist_next(&l, &address)) == ADDRESSLIST_ADDRESS) {
		buf_append_span(all, buf_span(&address));
		buf_append_char(all, '|');
	}
	if (verdict == ADDRESSLIST_BAD)
		buf_printf(all, "!%s", l.error);
	assert_int_equal(addresslist_next(&l, &address), ADDRESSLIST_END);
	buf_fini(&address);
}

static void addresses_come_out_of_lists_and_nothing_is_guessed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf all;

		buf_init(&all, 10000);
		read_list(span_str(rows[i].in), &all);
		if (strcmp(buf_cstr(&all), rows[i].out) != 0)
			fail_msg("'%s': %s", rows[i].in, buf_cstr(&all));
		buf_fini(&all);
	}
}

/* Nothing behind the end is read: each row ends at every byte in memory of just that size. */
static void every_row_may_end_at_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t n = 0; n <= strlen(rows[i].in); n++) {
			char *copy = malloc(n ? n : 1);
			struct buf all;

			memcpy(copy, rows[i].in, n);
			buf_init(&all, 10000);
			read_list(span_of(copy, n), &all);
			buf_fini(&all);
			free(copy);
		}
	}
}

static void a_long_name_is_fine_a_long_address_is_not(void **state)
{
	char text[5001];
	struct buf all;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 7, " <a@b>", 7);
	buf_init(&all, 10000);
	read_list(span_str(text), &all);
	assert_string_equal(buf_cstr(&all), "a@b|");
	buf_clear(&all);
	memset(text + sizeof(text) - 7, 'x', 6);
	read_list(span_str(text), &all);
	assert_string_equal(buf_cstr(&all), "!an address is too long");
	buf_fini(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_come_out_of_lists_and_nothing_is_guessed),
		cmocka_unit_test(every_row_may_end_at_every_byte),
		cmocka_unit_test(a_long_name_is_fine_a_long_address_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
