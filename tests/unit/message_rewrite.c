#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "message/addresslist.h"
#include "message/rewrite.h"

#define UE "\xc3\xbc"

static struct aliases *aliases;

static int set_up(void **state)
{
	struct span text = SPAN("root: me@example.com\npostmaster: root\nstaff: ann@x.example, joe, bob@y.example\n"
				"lost: |cmd\n\"john doe\": jd@x.example\nself: self\nj" UE "rgen: j@b" UE
				"cher.example\nlocal: joe@localhost, me@z.example\n");
	struct buf errors;

	(void)state;
	aliases = aliases_new();
	buf_init(&errors, 1000);
	aliases_read(aliases, "/etc/aliases", text, &errors);
	buf_fini(&errors);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	aliases_unref(aliases);
	return 0;
}

enum { QUALIFY = 1, ALIASES = 2, TO = 4, UTF8 = 8 };

static struct rewrite begin(unsigned with, const char *from, const char *name)
{
	struct rewrite r;

	rewrite_init(&r, &(struct rewrite_rules){ .qualify = with & QUALIFY ? "host.example" : NULL,
						  .aliases = with & ALIASES ? aliases : NULL,
						  .to = with & TO ? "catch@example.org" : NULL,
						  .utf8 = with & UTF8,
						  .from = from,
						  .name = name });
	return r;
}

static const struct row {
	const char *title, *in, *out; /* NULL: it stays */
	unsigned with;
} rows[] = {
	{ "a bare name", " root", " root@host.example", QUALIFY },
	{ "an address", " a@b.example", NULL, QUALIFY },
	{ "no rule", " root", NULL, 0 },
	{ "in angle brackets", " Root <root>", " Root <root@host.example>", QUALIFY },
	{ "only in angle brackets", "<root>", "<root@host.example>", QUALIFY },
	{ "with a comment", " root (Cron Daemon)", " root@host.example (Cron Daemon)", QUALIFY },
	{ "with a comment in front", " (a) root(b)", " (a) root@host.example(b)", QUALIFY },
	{ "a list", " root, a@b, \"x, y\" <joe> ,,\r\n\tann\r\n (x)",
	  " root@host.example, a@b, \"x, y\" <joe@host.example> ,,\r\n\tann@host.example\r\n (x)", QUALIFY },
	{ "a group", " friends: root, a@b;, joe", " friends: root@host.example, a@b;, joe@host.example", QUALIFY },
	{ "an empty group", " undisclosed-recipients:;", NULL, QUALIFY },
	{ "semicolons", " root; joe", " root@host.example; joe@host.example", QUALIFY },
	{ "a quoted name", " \"john doe\", \"a@b\"", " \"john doe\"@host.example, \"a@b\"@host.example", QUALIFY },
	{ "a quoted name with quotes", " \"a\\\"b\"", " \"a\\\"b\"@host.example", QUALIFY },
	{ "odd spacing", " a (x) . b , c", " a (x) . b@host.example , c@host.example", QUALIFY },
	{ "a route", " <@x.example:root>", " <@x.example:root@host.example>", QUALIFY },
	{ "a display name in UTF-8", " J" UE "rgen <root>", " J" UE "rgen <root@host.example>", QUALIFY },
	{ "a display name in Latin 1", " J\xfcrgen <root>", " J\xfcrgen <root@host.example>", QUALIFY },
	{ "an encoded name", " =?utf-8?q?a=2C_b?= <root>", " =?utf-8?q?a=2C_b?= <root@host.example>", QUALIFY },
	{ "a UTF-8 local part", " j" UE "rgen", " j" UE "rgen@host.example", QUALIFY },
	{ "no local part", " a..b, root", " a..b, root@host.example", QUALIFY },
	{ "a Latin 1 local part", " j\xfcrgen, root", " j\xfcrgen, root@host.example", QUALIFY },
	{ "words without a comma", " root, John Doe", NULL, QUALIFY },
	{ "an unclosed quote", " root, \"joe", NULL, QUALIFY },
	{ "an unclosed comment", " root (joe", NULL, QUALIFY },
	{ "an unclosed bracket", " root, <joe", NULL, QUALIFY },
	{ "an empty address", " root, <>", NULL, QUALIFY },
	{ "a control character", " root, j\x01oe", NULL, QUALIFY },
	{ "nothing", "", NULL, QUALIFY | ALIASES | TO },
	{ "blanks", " \r\n ", NULL, QUALIFY | ALIASES | TO },

	{ "an alias", " root", " me@example.com", ALIASES },
	{ "an alias with a name", " \"Root\" <root> (x)", " \"Root\" <me@example.com> (x)", ALIASES },
	{ "an alias at this machine", " root@host.example, root@LOCALHOST, root@localhost.localdomain",
	  " me@example.com, me@example.com, me@example.com", ALIASES | QUALIFY },
	{ "an alias elsewhere", " root@other.example", NULL, ALIASES | QUALIFY | TO },
	{ "an alias in any case", " ROOT", " me@example.com", ALIASES },
	{ "an alias of an alias", " postmaster", " me@example.com", ALIASES },
	{ "an alias with many", " Staff <staff> (all), a@b",
	  " Staff <ann@x.example>,\r\n\tjoe@host.example,\r\n\tbob@y.example (all), a@b", ALIASES | QUALIFY },
	{ "an alias with many, bare", " staff, a@b", " ann@x.example,\r\n\tjoe,\r\n\tbob@y.example, a@b", ALIASES },
	{ "an alias with many in a group", " g: staff;",
	  " g: ann@x.example,\r\n\tcatch@example.org,\r\n\tbob@y.example;", ALIASES | TO },
	{ "an alias to a name here", " local", " catch@example.org,\r\n\tme@z.example", ALIASES | TO },
	{ "a quoted alias", " \"John Doe\"", " jd@x.example", ALIASES },
	{ "no alias", " joe, root", " joe@host.example, me@example.com", ALIASES | QUALIFY },
	{ "a lost alias", " lost", " lost@host.example", ALIASES | QUALIFY | TO },
	{ "an alias that means itself", " self", " self@host.example", ALIASES | QUALIFY },
	{ "an alias in UTF-8", " j" UE "rgen", " j@xn--bcher-kva.example", ALIASES },
	{ "an alias in UTF-8, as it is", " j" UE "rgen", " j@b" UE "cher.example", ALIASES | UTF8 },
	{ "a catch", " joe, Ann <ann>", " catch@example.org, Ann <catch@example.org>", TO },
	{ "a catch and aliases", " joe, root", " catch@example.org, me@example.com", TO | ALIASES },
	{ "a catch at this machine", " joe@host.example, joe@localhost", " catch@example.org, catch@example.org",
	  TO | QUALIFY },
	{ "a catch elsewhere", " joe@other.example", NULL, TO | QUALIFY },
	{ "a catch in what cannot be parsed", " joe, <", NULL, TO | ALIASES },
};

static void names_get_a_domain_or_an_address_and_the_rest_stays(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct rewrite r = begin(row->with, NULL, NULL);
		enum rewrite_verdict verdict;
		struct buf out;

		buf_init(&out, 10000);
		buf_append_str(&out, "!");
		verdict = rewrite_addresses(&r, span_str(row->in), true, &out);
		if (strcmp(buf_cstr(&out) + 1, row->out ? row->out : "") != 0)
			fail_msg("%s: '%s'", row->title, buf_cstr(&out));
		if (verdict != (row->out ? REWRITE_CHANGED : REWRITE_SAME))
			fail_msg("%s: %d", row->title, (int)verdict);
		rewrite_fini(&r);
		buf_fini(&out);
	}
}

static void aliases_are_for_recipients(void **state)
{
	struct rewrite r = begin(QUALIFY | ALIASES | TO, NULL, NULL);
	struct buf out;

	(void)state;
	buf_init(&out, 10000);
	assert_int_equal(rewrite_addresses(&r, SPAN(" root, joe"), false, &out), REWRITE_CHANGED);
	assert_string_equal(buf_cstr(&out), " root@host.example, joe@host.example");
	rewrite_fini(&r);
	buf_fini(&out);
}

/* Nothing behind the end is read, and what comes out holds only addresses that the rules gave. */
static void every_row_may_end_at_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t n = 0; n <= strlen(rows[i].in); n++) {
			struct rewrite r = begin(rows[i].with, "me@example.org", NULL);
			char *copy = malloc(n ? n : 1);
			bool replaced, parsed;
			struct buf out;

			memcpy(copy, rows[i].in, n);
			buf_init(&out, 10000);
			rewrite_addresses(&r, span_of(copy, n), true, &out);
			rewrite_from(&r, span_of(copy, n), &out, &replaced, &parsed);
			rewrite_fini(&r);
			buf_fini(&out);
			free(copy);
		}
	}
}

static const struct from_row {
	const char *title, *in, *out; /* NULL: it stays */
	const char *from, *name;
	bool replaced, parsed;
	unsigned with;
} from_rows[] = {
	{ "another address", " root@host", " me@example.com", "me@example.com", NULL, true, true, 0 },
	{ "the same address", " Me <me@Example.COM>", NULL, "me@example.com", NULL, false, true, 0 },
	{ "the same once qualified", " me", " me@host.example", "me@host.example", NULL, false, true, QUALIFY },
	{ "another mailbox in another case", " ME@example.com", " me@example.com", "me@example.com", NULL, true, true,
	  0 },
	{ "its name is kept", " \"Doe, J\" <j@x> (y)", " \"Doe, J\" <me@example.com>", "me@example.com", NULL, true,
	  true, 0 },
	{ "the name of the first is kept", " A <a@x>, B <b@x>", " A <me@example.com>", "me@example.com", NULL, true,
	  true, 0 },
	{ "an encoded name is kept", " =?iso-8859-1?q?J=FC?= <j@x>", " =?iso-8859-1?q?J=FC?= <me@example.com>",
	  "me@example.com", NULL, true, true, 0 },
	{ "a folded name is kept", "\r\n A\r\n B\r\n <j@x>", " A\r\n B <me@example.com>", "me@example.com", NULL, true,
	  true, 0 },
	{ "cron's name is kept", " root (Cron Daemon)", " Cron Daemon <me@example.com>", "me@example.com", NULL, true,
	  true, 0 },
	{ "an odd comment is quoted", " root (a \\) <b@c>, =?utf-8?q?=C3=BC?=)",
	  " =?UTF-8?B?YSApIDxiQGM+LCDDvA==?= <me@example.com>", "me@example.com", NULL, true, true, 0 },
	{ "a comment in UTF-8", " root (J" UE ")", " \"J" UE "\" <me@example.com>", "me@example.com", NULL, true, true,
	  UTF8 },
	{ "an empty comment", " root ()", " me@example.com", "me@example.com", NULL, true, true, 0 },
	{ "a new name", " Root <root>", " Alerts <me@example.com>", "me@example.com", "Alerts", true, true, 0 },
	{ "a new name, quoted", " root", " \"a. \\\"b\\\"\" <me@example.com>", "me@example.com", "a. \"b\"", true, true,
	  0 },
	{ "a new name, encoded", " root", " =?UTF-8?B?w7w=?= <me@example.com>", "me@example.com", UE, true, true, 0 },
	{ "a new name in UTF-8", " root", " \"" UE "\" <me@example.com>", "me@example.com", UE, true, true, UTF8 },
	{ "a new name for the same address", " Root <me@example.com>", " Alerts <me@example.com>", "me@example.com",
	  "Alerts", false, true, 0 },
	{ "the same name", " Alerts <me@example.com>", NULL, "me@example.com", "Alerts", false, true, 0 },
	{ "only a name", " root", " Alerts <root@host.example>", NULL, "Alerts", false, true, QUALIFY },
	{ "only a name, unqualified", " root", " Alerts <root>", NULL, "Alerts", false, true, TO },
	{ "only a name, and two authors", " a@x, b", " a@x, b@host.example", NULL, "Alerts", false, true, QUALIFY },
	{ "only a name, and no author", " <", NULL, NULL, "Alerts", false, false, QUALIFY },
	{ "no rule", " a@x", NULL, NULL, NULL, false, true, 0 },
	{ "two authors, one of them us", " me@example.com, b@x", " me@example.com", "me@example.com", NULL, true, true,
	  0 },
	{ "a group", " g: a@x;", " me@example.com", "me@example.com", NULL, true, true, 0 },
	{ "an empty group", " g:;", " me@example.com", "me@example.com", NULL, true, false, 0 },
	{ "what cannot be parsed", " John Doe", " me@example.com", "me@example.com", NULL, true, false, 0 },
	{ "what cannot be parsed, with a name", " A <a@x", " B <me@example.com>", "me@example.com", "B", true, false,
	  0 },
	{ "a bad address", " A <a@-x>", " A <me@example.com>", "me@example.com", NULL, true, true, 0 },
	{ "an empty value", " \r\n ", " me@example.com", "me@example.com", NULL, false, false, 0 },
	{ "a NUL alone is not empty", " \1", " me@example.com", "me@example.com", NULL, true, false, 0 },
	{ "an IDN", " root", " me@xn--bcher-kva.example", "me@b" UE "cher.example", NULL, true, true, 0 },
	{ "an IDN in UTF-8", " root", " me@b" UE "cher.example", "me@b" UE "cher.example", NULL, true, true, UTF8 },
	{ "the same IDN", " me@xn--bcher-kva.example", NULL, "me@b" UE "cher.example", NULL, false, true, UTF8 },
	{ "a hostile name", " root", " \"a <b@c>? Bcc: x\" <me@example.com>", "me@example.com", "a <b@c>\x01\r\nBcc: x",
	  true, true, 0 },
	{ "a rule that is no address", " a@x", NULL, "me@x>\r\nBcc: <x", NULL, false, true, 0 },
};

static void from_gets_the_address_of_the_identity(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(from_rows) / sizeof(from_rows[0]); i++) {
		const struct from_row *row = &from_rows[i];
		struct rewrite r = begin(row->with, row->from, row->name);
		bool replaced = true, parsed = true;
		enum rewrite_verdict verdict;
		struct buf out;

		buf_init(&out, 10000);
		verdict = rewrite_from(&r, span_str(row->in), &out, &replaced, &parsed);
		if (strcmp(buf_cstr(&out), row->out ? row->out : "") != 0)
			fail_msg("%s: '%s'", row->title, buf_cstr(&out));
		if (verdict != (row->out ? REWRITE_CHANGED : REWRITE_SAME))
			fail_msg("%s: %d", row->title, (int)verdict);
		if (replaced != row->replaced || parsed != row->parsed)
			fail_msg("%s: %d %d", row->title, replaced, parsed);
		rewrite_fini(&r);
		buf_fini(&out);
	}
}

static void a_new_from_has_the_name_of_the_identity(void **state)
{
	struct rewrite r = begin(0, "me@example.com", "Alerts");
	struct buf out;

	(void)state;
	buf_init(&out, 10000);
	assert_int_equal(rewrite_new_from(&r, &out), REWRITE_CHANGED);
	assert_string_equal(buf_cstr(&out), " Alerts <me@example.com>");
	buf_fini(&out);
	rewrite_fini(&r);
}

static size_t longest_line(struct span s)
{
	size_t most = 0, column = 0;

	for (size_t i = 0; i < s.len; i++) {
		column = s.data[i] == '\n' ? 0 : column + 1;
		most = column > most ? column : most;
	}
	return most;
}

static void what_is_added_folds_a_line_that_would_become_too_long(void **state)
{
	static const unsigned with[] = { QUALIFY, TO, ALIASES };
	char line[900];

	(void)state;
	for (size_t i = 0; i < sizeof(line); i++)
		line[i] = "root,"[i % 5];
	for (size_t i = 0; i < 3; i++) {
		struct rewrite r = begin(with[i], NULL, NULL);
		struct addresslist l;
		struct buf out, address;
		size_t count = 0;

		buf_init(&out, 100000);
		buf_init(&address, ADDRESSLIST_MAX);
		assert_int_equal(rewrite_addresses(&r, span_of(line, sizeof(line)), true, &out), REWRITE_CHANGED);
		assert_true(longest_line(buf_span(&out)) <= 998);
		addresslist_init(&l, buf_span(&out));
		while (addresslist_next(&l, &address) == ADDRESSLIST_ADDRESS)
			count++;
		assert_int_equal(count, sizeof(line) / 5);
		rewrite_fini(&r);
		buf_fini(&out);
		buf_fini(&address);
	}
}

static void a_full_buffer_is_told_and_left_as_it_was(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t max = 0; rows[i].out && max < strlen(rows[i].out); max++) {
			struct rewrite r = begin(rows[i].with, NULL, NULL);
			struct buf out;

			buf_init(&out, max + 1);
			buf_append_str(&out, "!");
			assert_int_equal(rewrite_addresses(&r, span_str(rows[i].in), true, &out), REWRITE_FULL);
			assert_int_equal(out.len, 1);
			rewrite_fini(&r);
			buf_fini(&out);
		}
	}
	for (size_t i = 0; i < sizeof(from_rows) / sizeof(from_rows[0]); i++) {
		for (size_t max = 0; from_rows[i].out && max < strlen(from_rows[i].out); max++) {
			struct rewrite r = begin(from_rows[i].with, from_rows[i].from, from_rows[i].name);
			bool replaced, parsed;
			struct buf out;

			buf_init(&out, max);
			assert_int_equal(rewrite_from(&r, span_str(from_rows[i].in), &out, &replaced, &parsed),
					 REWRITE_FULL);
			assert_int_equal(out.len, 0);
			rewrite_fini(&r);
			buf_fini(&out);
		}
	}
}

static void a_header_has_a_hundred_names_looked_up(void **state)
{
	struct rewrite r = begin(QUALIFY | ALIASES, NULL, NULL);
	struct span out_text;
	struct buf in, out;
	size_t found = 0, left = 0;

	(void)state;
	buf_init(&in, 10000);
	buf_init(&out, 100000);
	for (int i = 0; i < REWRITE_NAMES_MAX + 10; i++)
		buf_append_str(&in, "root,");
	assert_int_equal(rewrite_addresses(&r, buf_span(&in), true, &out), REWRITE_CHANGED);
	out_text = buf_span(&out);
	for (size_t i = 0; i < out_text.len; i++) {
		found += span_starts_fold(span_from(out_text, i), SPAN("me@example.com"));
		left += span_starts_fold(span_from(out_text, i), SPAN("root@host.example"));
	}
	assert_int_equal(found, REWRITE_NAMES_MAX);
	assert_int_equal(left, 10);
	rewrite_fini(&r);
	buf_fini(&in);
	buf_fini(&out);
}

static void a_domain_that_is_none_qualifies_nothing(void **state)
{
	static const char *const domains[] = { "", "a b", "x\r\nBcc: y", "-x", "a..b", "x>" };

	(void)state;
	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
		struct rewrite r;
		struct buf out;

		buf_init(&out, 1000);
		rewrite_init(&r, &(struct rewrite_rules){ .qualify = domains[i] });
		assert_int_equal(rewrite_addresses(&r, SPAN(" root"), true, &out), REWRITE_SAME);
		rewrite_fini(&r);
		buf_fini(&out);
	}
}

static void a_domain_of_other_letters_is_written_as_the_header_allows(void **state)
{
	static const char *const want[] = { " root@xn--bcher-kva.example", " root@b" UE "cher.example" };

	(void)state;
	for (int utf8 = 0; utf8 < 2; utf8++) {
		struct rewrite r;
		struct buf out;

		buf_init(&out, 1000);
		rewrite_init(&r, &(struct rewrite_rules){ .qualify = "b" UE "cher.example", .utf8 = utf8 });
		assert_int_equal(rewrite_addresses(&r, SPAN(" root"), false, &out), REWRITE_CHANGED);
		assert_string_equal(buf_cstr(&out), want[utf8]);
		rewrite_fini(&r);
		buf_fini(&out);
	}
}

static void names_at_this_machine_are_known_in_either_form(void **state)
{
	static const char *const forms[] = { "b" UE "cher.example", "xn--bcher-kva.example" };

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct buf in, out;
		struct rewrite r;

		buf_init(&in, 1000);
		buf_init(&out, 1000);
		buf_printf(&in, " joe@%s", forms[i / 2]);
		rewrite_init(&r, &(struct rewrite_rules){ .qualify = forms[i % 2], .to = "catch@example.org" });
		assert_int_equal(rewrite_addresses(&r, buf_span(&in), true, &out), REWRITE_CHANGED);
		assert_string_equal(buf_cstr(&out), " catch@example.org");
		rewrite_fini(&r);
		buf_fini(&in);
		buf_fini(&out);
	}
}

static uint32_t word = 20261124;

static uint32_t next_word(void)
{
	word = word * 1664525 + 1013904223;
	return word >> 8;
}

/* A field with one address elsewhere is not read closely; with a second one it is. Whether it is must not show. */
static void a_short_cut_leads_to_the_same_end(void **state)
{
	static const char *const pieces[] = { "a",         "root",         "@",  "@", "<",     ">",
					      "localhost", "host.example", "b.", " ", "\r\n ", "x.example",
					      "\"",        "\\",           ",",  ":", ";",     "(",
					      ")",         "\x01",         "[",  "]", UE,      "" };
	unsigned changed = 0;

	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct rewrite r = begin(next_word() & 1 ? QUALIFY : QUALIFY | ALIASES | TO, NULL, NULL);
		unsigned count = 1 + next_word() % 7, simple = next_word() & 1;
		enum rewrite_verdict alone, beside;
		struct buf in, one, two;

		buf_init(&in, 1000);
		buf_init(&one, 1000);
		buf_init(&two, 1000);
		for (unsigned k = 0; k < count; k++)
			buf_append_str(&in, pieces[next_word() % (simple ? 12 : 24)]);
		alone = rewrite_addresses(&r, buf_span(&in), true, &one);
		buf_append_str(&in, ",z@elsewhere.example");
		beside = rewrite_addresses(&r, buf_span(&in), true, &two);
		if (alone == REWRITE_CHANGED)
			buf_append_str(&one, ",z@elsewhere.example");
		if (alone != beside || strcmp(buf_cstr(&one), buf_cstr(&two)) != 0)
			fail_msg("'%s': '%s' and '%s'", buf_cstr(&in), buf_cstr(&one), buf_cstr(&two));
		changed += alone == REWRITE_CHANGED;
		rewrite_fini(&r);
		buf_fini(&in);
		buf_fini(&one);
		buf_fini(&two);
	}
	assert_true(changed > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_get_a_domain_or_an_address_and_the_rest_stays),
		cmocka_unit_test(aliases_are_for_recipients),
		cmocka_unit_test(every_row_may_end_at_every_byte),
		cmocka_unit_test(from_gets_the_address_of_the_identity),
		cmocka_unit_test(a_new_from_has_the_name_of_the_identity),
		cmocka_unit_test(what_is_added_folds_a_line_that_would_become_too_long),
		cmocka_unit_test(a_full_buffer_is_told_and_left_as_it_was),
		cmocka_unit_test(a_header_has_a_hundred_names_looked_up),
		cmocka_unit_test(a_domain_that_is_none_qualifies_nothing),
		cmocka_unit_test(names_at_this_machine_are_known_in_either_form),
		cmocka_unit_test(a_short_cut_leads_to_the_same_end),
		cmocka_unit_test(a_domain_of_other_letters_is_written_as_the_header_allows),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
