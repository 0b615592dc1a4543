#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "smtp/address.h"

#define A10     "aaaaaaaaaa"
#define A60     A10 A10 A10 A10 A10 A10
#define LABEL60 "." A60

struct row {
	const char *input;
	unsigned options;
	enum address_err err;
	const char *text;
};

/* Everything between the brackets; the brackets are added where a path is read. */
static const struct row mailboxes[] = {
	{ "me@example.org", 0, ADDRESS_OK, "me@example.org" },
	{ "Me+Tag@Example.ORG", 0, ADDRESS_OK, "Me+Tag@Example.ORG" },
	{ "a.b.c@x", 0, ADDRESS_OK, "a.b.c@x" },
	{ "!#$%&'*+-/=?^_`{|}~@x.y", 0, ADDRESS_OK, "!#$%&'*+-/=?^_`{|}~@x.y" },
	{ "me@my_host.example", 0, ADDRESS_OK, "me@my_host.example" },
	{ "me@1.2.3.4", 0, ADDRESS_OK, "me@1.2.3.4" },
	{ "me@xn--mnchen-3ya.example", 0, ADDRESS_OK, "me@xn--mnchen-3ya.example" },
	/* quoting changes its form, never its meaning */
	{ "\"me\"@example.org", 0, ADDRESS_OK, "me@example.org" },
	{ "\"m\\e\"@example.org", 0, ADDRESS_OK, "me@example.org" },
	{ "\"a b\"@example.org", 0, ADDRESS_OK, "\"a b\"@example.org" },
	{ "\"a\\ b\"@example.org", 0, ADDRESS_OK, "\"a b\"@example.org" },
	{ "\"a@b\"@example.org", 0, ADDRESS_OK, "\"a@b\"@example.org" },
	{ "\"a>b\"@example.org", 0, ADDRESS_OK, "\"a>b\"@example.org" },
	{ "\"a(b)\"@example.org", 0, ADDRESS_OK, "\"a(b)\"@example.org" },
	{ "\"a\\\"b\"@example.org", 0, ADDRESS_OK, "\"a\\\"b\"@example.org" },
	{ "\"a\\\\\"@example.org", 0, ADDRESS_OK, "\"a\\\\\"@example.org" },
	{ "\"\"@example.org", 0, ADDRESS_OK, "\"\"@example.org" },
	{ "\".\"@example.org", 0, ADDRESS_OK, "\".\"@example.org" },
	{ "\"a..b\"@example.org", 0, ADDRESS_OK, "\"a..b\"@example.org" },
	{ "\"me\"\"you\"@example.org", 0, ADDRESS_LOCAL, NULL },
	{ "\"me\"you@example.org", 0, ADDRESS_LOCAL, NULL },
	{ "\"me@example.org", 0, ADDRESS_QUOTES, NULL },
	/* local parts */
	{ ".me@example.org", 0, ADDRESS_LOCAL, NULL },
	{ "me.@example.org", 0, ADDRESS_LOCAL, NULL },
	{ "m..e@example.org", 0, ADDRESS_LOCAL, NULL },
	{ "m e@example.org", 0, ADDRESS_LOCAL, NULL },
	{ " me@example.org", 0, ADDRESS_LOCAL, NULL },
	{ "m,e@example.org", 0, ADDRESS_LOCAL, NULL },
	{ "@example.org", ADDRESS_BARE, ADDRESS_ROUTE, NULL },
	{ "me\n@example.org", 0, ADDRESS_CONTROL, NULL },
	{ "me@exam\tple.org", 0, ADDRESS_CONTROL, NULL },
	{ "me\x7f@example.org", 0, ADDRESS_CONTROL, NULL },
	{ "\"m\re\"@example.org", 0, ADDRESS_CONTROL, NULL },
	/* comments are refused, not dropped */
	{ "me(c)@example.org", 0, ADDRESS_COMMENT, NULL },
	{ "(c)me@example.org", 0, ADDRESS_COMMENT, NULL },
	{ "me@example.org(c)", 0, ADDRESS_COMMENT, NULL },
	{ "me@(c)example.org", 0, ADDRESS_COMMENT, NULL },
	{ "\"me\"(c)@example.org", 0, ADDRESS_COMMENT, NULL },
	/* domains */
	{ "me@", 0, ADDRESS_DOMAIN, NULL },
	{ "me@.example.org", 0, ADDRESS_DOMAIN, NULL },
	{ "me@example.org.", 0, ADDRESS_DOMAIN, NULL },
	{ "me@example..org", 0, ADDRESS_DOMAIN, NULL },
	{ "me@-example.org", 0, ADDRESS_DOMAIN, NULL },
	{ "me@example-.org", 0, ADDRESS_DOMAIN, NULL },
	{ "me@a@b", 0, ADDRESS_TRAILING, NULL },
	{ "me@example.org ", 0, ADDRESS_TRAILING, NULL },
	{ "me@example.org,you@example.org", 0, ADDRESS_TRAILING, NULL },
	{ "me@" A60 "aaa.org", 0, ADDRESS_OK, "me@" A60 "aaa.org" },
	{ "me@" A60 "aaaa.org", 0, ADDRESS_DOMAIN, NULL },
	/* literals */
	{ "me@[192.0.2.1]", 0, ADDRESS_OK, "me@[192.0.2.1]" },
	{ "me@[IPv6:2001:db8::1]", 0, ADDRESS_OK, "me@[IPv6:2001:db8::1]" },
	{ "me@[ipv6:::ffff:192.0.2.1]", 0, ADDRESS_OK, "me@[ipv6:::ffff:192.0.2.1]" },
	{ "me@[192.0.2]", 0, ADDRESS_LITERAL, NULL },
	{ "me@[192.0.2.256]", 0, ADDRESS_LITERAL, NULL },
	{ "me@[2001:db8::1]", 0, ADDRESS_LITERAL, NULL },
	{ "me@[IPv6:]", 0, ADDRESS_LITERAL, NULL },
	{ "me@[IPv6:2001:db8::1", 0, ADDRESS_LITERAL, NULL },
	{ "me@[x-tag:something]", 0, ADDRESS_LITERAL, NULL },
	{ "me@[]", 0, ADDRESS_LITERAL, NULL },
	{ "me@[192.0.2.1]x", 0, ADDRESS_TRAILING, NULL },
	/* bare local parts, postmaster */
	{ "root", 0, ADDRESS_NO_DOMAIN, NULL },
	{ "root", ADDRESS_BARE, ADDRESS_OK, "root" },
	{ "\"root\"", ADDRESS_BARE, ADDRESS_OK, "root" },
	{ "\"a@b\"", ADDRESS_BARE, ADDRESS_OK, "\"a@b\"" },
	{ "a b", ADDRESS_BARE, ADDRESS_LOCAL, NULL },
	{ "root", ADDRESS_POSTMASTER, ADDRESS_NO_DOMAIN, NULL },
	{ "PostMaster", ADDRESS_POSTMASTER, ADDRESS_OK, "PostMaster" },
	{ "postmaster", 0, ADDRESS_NO_DOMAIN, NULL },
	/* SMTPUTF8 */
	{ "m\xc3\xbc@example.org", 0, ADDRESS_NOT_ASCII, NULL },
	{ "m\xc3\xbc@example.org", ADDRESS_UTF8, ADDRESS_OK, "m\xc3\xbc@example.org" },
	{ "\"\\\\\xc3\xbc\"@example.org", ADDRESS_UTF8, ADDRESS_OK, "\"\\\\\xc3\xbc\"@example.org" },
	{ "\"\\\xc3\xbc\"@example.org", ADDRESS_UTF8, ADDRESS_QUOTES, NULL },
	{ "m\xfc@example.org", ADDRESS_UTF8, ADDRESS_NOT_UTF8, NULL },
	{ "me@b\xc3\xbc"
	  "cher.example",
	  ADDRESS_UTF8, ADDRESS_OK,
	  "me@b\xc3\xbc"
	  "cher.example" },
	{ "me@b\xc3\xbc"
	  "cher.example",
	  0, ADDRESS_NOT_ASCII, NULL },
	{ "me@\xe2\x80\xa6.example", ADDRESS_UTF8, ADDRESS_DOMAIN, NULL }, /* a character no name may have */
	/* limits, RFC 5321, 4.5.3.1 */
	{ A60 "aaaa@x.y", 0, ADDRESS_OK, A60 "aaaa@x.y" },
	{ A60 "aaaaa@x.y", 0, ADDRESS_LOCAL_LONG, NULL },
	{ "\"" A60 "a\\a\"@x.y", 0, ADDRESS_LOCAL_LONG, NULL },
	{ "\"" A60 A10 "\"@x.y", 0, ADDRESS_LOCAL_LONG, NULL },
	{ "a@a" LABEL60 LABEL60 LABEL60 LABEL60 ".aaaaaa", 0, ADDRESS_OK,
	  "a@a" LABEL60 LABEL60 LABEL60 LABEL60 ".aaaaaa" },
	{ "a@a" LABEL60 LABEL60 LABEL60 LABEL60 ".aaaaaaa", 0, ADDRESS_PATH_LONG, NULL },
	{ "a@a" LABEL60 LABEL60 LABEL60 LABEL60 ".aaaaaaaaaaa", 0, ADDRESS_PATH_LONG, NULL },
};

static const struct row paths[] = {
	{ "<>", ADDRESS_NULL, ADDRESS_OK, "" },
	{ "<>", 0, ADDRESS_EMPTY, NULL },
	{ "me@example.org", 0, ADDRESS_BRACKETS, NULL },
	{ "<me@example.org", 0, ADDRESS_BRACKETS, NULL },
	{ "<\"me@example.org>", 0, ADDRESS_BRACKETS, NULL },
	{ "<\"a\\>", 0, ADDRESS_BRACKETS, NULL },
	{ "", ADDRESS_NULL, ADDRESS_BRACKETS, NULL },
	{ "<<me@example.org>>", 0, ADDRESS_LOCAL, NULL },
	{ "<@a.example:me@example.org>", 0, ADDRESS_OK, "me@example.org" },
	{ "<@a.example,@[192.0.2.1]:me@example.org>", 0, ADDRESS_OK, "me@example.org" },
	{ "<@a.example:postmaster>", ADDRESS_POSTMASTER, ADDRESS_OK, "postmaster" },
	{ "<@a.example me@example.org>", 0, ADDRESS_ROUTE, NULL },
	{ "<@:me@example.org>", 0, ADDRESS_ROUTE, NULL },
	{ "<@a.example,:me@example.org>", 0, ADDRESS_ROUTE, NULL },
	{ "<@a.example:>", 0, ADDRESS_LOCAL, NULL },
	{ "<@a" LABEL60 LABEL60 LABEL60 ":" A60 "@xxx.org>", 0, ADDRESS_OK, A60 "@xxx.org" },
	{ "<@a" LABEL60 LABEL60 LABEL60 ":" A60 "@xxxx.org>", 0, ADDRESS_PATH_LONG, NULL },
};

/* A copy without a byte to spare: an over-read shows under the sanitizer. */
static enum address_err read_path(struct span s, unsigned options, struct address *out, size_t *out_taken)
{
	char *copy = mem_dup(s.data, s.len);
	enum address_err err = address_path(span_of(copy, s.len), options, out, out_taken);

	mem_free(copy);
	return err;
}

static enum address_err read_mailbox(struct span s, unsigned options, struct address *out)
{
	char *copy = mem_dup(s.data, s.len);
	enum address_err err = address_parse(span_of(copy, s.len), options, out);

	mem_free(copy);
	return err;
}

static void check_row(const struct row *row, enum address_err err, const struct address *got)
{
	if (err != row->err || (err == ADDRESS_OK && strcmp(got->text, row->text) != 0))
		fail_msg("%s: '%s', %s", row->input, got->text, address_err_text(err));
	if (err != ADDRESS_OK) {
		assert_string_equal(got->text, "untouched");
		return;
	}
	assert_int_equal(got->len, strlen(got->text));
	assert_int_equal(got->local_len, address_local(span_str(got->text)).len);
}

static void mailboxes_are_read_as_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mailboxes) / sizeof(mailboxes[0]); i++) {
		struct address got = { .text = "untouched" };

		/* Without brackets it is no source route. */
		if (mailboxes[i].err != ADDRESS_ROUTE)
			check_row(&mailboxes[i], read_mailbox(span_str(mailboxes[i].input), mailboxes[i].options, &got),
				  &got);
	}
}

static void paths_are_read_as_the_tables_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mailboxes) / sizeof(mailboxes[0]); i++) {
		struct address got = { .text = "untouched" };
		char *path = mem_printf("<%s>", mailboxes[i].input);
		size_t taken = 0;

		/* An open quote hides the bracket. */
		if (mailboxes[i].err != ADDRESS_QUOTES)
			check_row(&mailboxes[i], read_path(span_str(path), mailboxes[i].options, &got, &taken), &got);
		if (mailboxes[i].err == ADDRESS_OK)
			assert_int_equal(taken, strlen(path));
		mem_free(path);
	}
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct address got = { .text = "untouched" };
		size_t taken = 0;

		check_row(&paths[i], read_path(span_str(paths[i].input), paths[i].options, &got, &taken), &got);
	}
}

static void a_path_ends_at_its_bracket(void **state)
{
	struct address got;
	size_t taken;

	(void)state;
	assert_int_equal(read_path(SPAN("<a@b> SIZE=1 <x>"), 0, &got, &taken), ADDRESS_OK);
	assert_int_equal(taken, 5);
	assert_string_equal(got.text, "a@b");
	assert_int_equal(read_path(SPAN("<\"a>b\\\">\"@c>>"), 0, &got, &taken), ADDRESS_OK);
	assert_int_equal(taken, 12);
}

static void every_row_may_end_at_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mailboxes) / sizeof(mailboxes[0]); i++) {
		char *path = mem_printf("<%s>", mailboxes[i].input);

		for (size_t n = 0; n < strlen(path); n++) {
			struct address got;
			size_t taken;

			read_mailbox(span_of(mailboxes[i].input, n < strlen(mailboxes[i].input) ? n : 0),
				     mailboxes[i].options, &got);
			/* Without its last bracket a path is none. */
			assert_int_not_equal(read_path(span_of(path, n), mailboxes[i].options, &got, &taken),
					     ADDRESS_OK);
		}
		mem_free(path);
	}
}

static void what_is_canonical_is_read_as_itself(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(mailboxes) / sizeof(mailboxes[0]); i++) {
		struct address got, again;

		if (read_mailbox(span_str(mailboxes[i].input), mailboxes[i].options, &got) != ADDRESS_OK)
			continue;
		assert_int_equal(read_mailbox(span_str(got.text), mailboxes[i].options, &again), ADDRESS_OK);
		assert_string_equal(again.text, got.text);
	}
}

static void a_nul_is_a_control_character(void **state)
{
	struct address got;
	size_t taken;

	(void)state;
	assert_int_equal(read_mailbox(SPAN("me\0@example.org"), 0, &got), ADDRESS_CONTROL);
	assert_int_equal(read_path(SPAN("<me@example.org\0>"), 0, &got, &taken), ADDRESS_CONTROL);
	assert_int_equal(read_path(SPAN("<\"me\0\"@example.org>"), 0, &got, &taken), ADDRESS_CONTROL);
}

static void an_address_parts_at_its_last_at(void **state)
{
	(void)state;
	assert_true(span_equals(address_local(SPAN("\"a@b\"@c")), SPAN("\"a@b\"")));
	assert_true(span_equals(address_domain(SPAN("\"a@b\"@c")), SPAN("c")));
	assert_true(span_equals(address_local(SPAN("\"a@b\"")), SPAN("\"a@b\"")));
	assert_int_equal(address_domain(SPAN("\"a@b\"")).len, 0);
	assert_int_equal(address_domain(SPAN("root")).len, 0);
	assert_int_equal(address_local(SPAN("")).len, 0);
}

static void unquoting_and_quoting_are_each_others_reverse(void **state)
{
	static const char *const meanings[] = { "me", "a b", "a\"b", "a\\b", "", ".", "a@b", "a..b", "\\", "\"" };
	struct buf quoted, back;

	(void)state;
	buf_init(&quoted, 100);
	buf_init(&back, 100);
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
		buf_clear(&quoted);
		buf_clear(&back);
		assert_true(address_quote(span_str(meanings[i]), &quoted));
		assert_true(address_unquote(buf_span(&quoted), &back));
		assert_string_equal(buf_cstr(&back), meanings[i]);
	}
	assert_false(address_quote(SPAN("a\nb"), &quoted));
	buf_fini(&quoted);
	buf_fini(&back);
}

static void domains_are_the_same_in_any_case_and_form(void **state)
{
	(void)state;
	assert_true(address_same_domain(SPAN("Example.ORG"), SPAN("example.org")));
	assert_false(address_same_domain(SPAN("example.org"), SPAN("example.net")));
	assert_true(address_same_domain(SPAN("b\xc3\xbc"
					     "cher.example"),
					SPAN("xn--bcher-kva.example")));
	assert_true(address_same_domain(SPAN("B\xc3\x9c"
					     "CHER.example"),
					SPAN("b\xc3\xbc"
					     "cher.EXAMPLE")));
	assert_false(address_same_domain(SPAN("b\xc3\xbc"
					      "cher.example"),
					 SPAN("bucher.example")));
	assert_true(address_equals(SPAN("me@Example.org"), SPAN("me@example.ORG")));
	assert_false(address_equals(SPAN("Me@example.org"), SPAN("me@example.org")));
	assert_false(address_equals(SPAN("me"), SPAN("me@example.org")));
}

static void domains_have_a_form_for_dns(void **state)
{
	char ascii[ADDRESS_DOMAIN_SIZE];

	(void)state;
	assert_true(address_domain_ascii(SPAN("MX.Example.org"), ascii));
	assert_string_equal(ascii, "mx.example.org");
	assert_true(address_domain_ascii(SPAN("B\xc3\xbc"
					      "cher.example"),
					 ascii));
	assert_string_equal(ascii, "xn--bcher-kva.example");
	assert_true(address_domain_ascii(SPAN("stra\xc3\x9f"
					      "e.example"),
					 ascii));
	assert_string_equal(ascii, "xn--strae-oqa.example"); /* not "strasse": RFC 5891 keeps the two apart */
	assert_false(address_domain_ascii(SPAN("b\xfc"
					       "cher.example"),
					  ascii));
	assert_false(address_domain_ascii(SPAN(""), ascii));
	assert_false(address_domain_ascii(SPAN("a\0b"), ascii));
	/* A soft hyphen counts for nothing: what is left is no name. */
	assert_false(address_domain_ascii(SPAN("\xc2\xad"), ascii));
	assert_false(address_domain_ascii(SPAN("a.\xc2\xad.example"), ascii));
}

static void literals_have_an_inside(void **state)
{
	struct span inside;
	bool is_v6;

	(void)state;
	assert_true(address_literal(SPAN("[192.0.2.1]"), &inside, &is_v6));
	assert_true(span_equals(inside, SPAN("192.0.2.1")) && !is_v6);
	assert_true(address_literal(SPAN("[IPv6:::1]"), &inside, &is_v6));
	assert_true(span_equals(inside, SPAN("::1")) && is_v6);
	assert_false(address_literal(SPAN("[192.0.2.1\0]"), &inside, &is_v6));
	assert_false(address_literal(SPAN("[1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19:20:21:22:23]"), &inside,
				     &is_v6));
	assert_true(address_is_literal(SPAN("[192.0.2.1]")));
	assert_false(address_is_literal(SPAN("192.0.2.1")));
	assert_true(address_is_domain(SPAN("[192.0.2.1]"), 0));
	assert_true(address_is_domain(SPAN("example.org"), 0));
	assert_false(address_is_domain(SPAN("example.org "), 0));
	assert_false(address_is_domain(SPAN(""), 0));
	assert_true(address_is_domain(SPAN("aaa" LABEL60 LABEL60 LABEL60 LABEL60 ".aaaaaaa"), 0));
	assert_false(address_is_domain(SPAN("aaa" LABEL60 LABEL60 LABEL60 LABEL60 ".aaaaaaaa"), 0));
	assert_false(address_is_domain(SPAN("b\xc3\xbc"
					    "cher.example"),
				       0));
	assert_true(address_is_domain(SPAN("b\xc3\xbc"
					   "cher.example"),
				      ADDRESS_UTF8));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mailboxes_are_read_as_the_table_says),
		cmocka_unit_test(paths_are_read_as_the_tables_say),
		cmocka_unit_test(a_path_ends_at_its_bracket),
		cmocka_unit_test(every_row_may_end_at_every_byte),
		cmocka_unit_test(what_is_canonical_is_read_as_itself),
		cmocka_unit_test(a_nul_is_a_control_character),
		cmocka_unit_test(an_address_parts_at_its_last_at),
		cmocka_unit_test(unquoting_and_quoting_are_each_others_reverse),
		cmocka_unit_test(domains_are_the_same_in_any_case_and_form),
		cmocka_unit_test(domains_have_a_form_for_dns),
		cmocka_unit_test(literals_have_an_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
