#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message/aliases.h"

/* Files that an :include: may name. */
static const struct file {
	const char *path, *text;
} files[] = {
	{ "/l/friends", "# friends\nann@x.example, Bob <bob@y.example>\n\n  joe\n" },
	{ "/l/a b", "quoted@x" },
	{ "/l/nested", ":include:/l/friends\nme@x" },
	{ "/l/loop", ":include:/l/loop, loop@x" },
	{ "/l/bad", "fine@x\n|cmd\nalso@x # no\n/var/mail/x\n" },
	{ "/l/empty", "# nobody\n" },
	{ "/l/list", "list\nlist-member@x\n" },
	{ "/l/crlf", "a@x\r\nb@x\r\n" },
};

static struct aliases *read_text(struct span text, struct buf *errors, unsigned *out_mistakes)
{
	struct aliases *a = aliases_new();
	const char *path;

	aliases_local(a, "host.example");
	*out_mistakes = aliases_read(a, "/etc/aliases", text, errors);
	while ((path = aliases_wanted(a))) {
		const struct span *found = NULL;
		struct span one;

		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
			if (strcmp(files[i].path, path) == 0) {
				one = span_str(files[i].text);
				found = &one;
			}
		}
		*out_mistakes += aliases_supply(a, path, found, "No such file or directory", errors);
	}
	return a;
}

/* "address:line address:line", or the verdict's name. */
static void expand(const struct aliases *a, const char *name, struct buf *out)
{
	static struct aliases_result result;

	switch (aliases_expand(a, span_str(name), &result)) {
	case ALIASES_NONE: buf_append_str(out, "NONE"); break;
	case ALIASES_MANY: buf_append_str(out, "MANY"); break;
	case ALIASES_LOST: buf_append_str(out, "LOST"); break;
	case ALIASES_DONE:
		for (size_t i = 0; i < result.count; i++)
			buf_printf(out, "%s%s:%d", i ? " " : "", result.targets[i].address, result.targets[i].line);
	}
}

static const struct row {
	const char *title, *text, *name, *out;
	const char *errors; /* all of them, or NULL: none */
} rows[] = {
	{ "one address", "root: me@example.com\n", "root", "me@example.com:1", NULL },
	{ "no such name", "root: me@example.com\n", "joe", "NONE", NULL },
	{ "an empty file", "", "root", "NONE", NULL },
	{ "no line end", "root: me@example.com", "root", "me@example.com:1", NULL },
	{ "lists", "root: a@x, b@x,c@x\n", "root", "a@x:1 b@x:1 c@x:1", NULL },
	{ "empty places", "root:,, a@x,,\n", "root", "a@x:1", NULL },
	{ "the case of names is folded", "RooT: a@x\n", "rOOt", "a@x:1", NULL },
	{ "the case of addresses stays", "root: Me@Example.COM\n", "root", "Me@Example.COM:1", NULL },
	{ "names lead to names", "postmaster: root\nroot: me@x\n", "postmaster", "me@x:2", NULL },
	{ "names of this machine", "a: b@localhost\nb: c@HOST.example\nc: d@localhost.localdomain\n", "a",
	  "d@localhost.localdomain:3", NULL },
	{ "names elsewhere", "a: b@other.example\nb: c@x\n", "a", "b@other.example:1", NULL },
	{ "a name that is no alias", "root: joe\n", "root", "joe:1", NULL },
	{ "continued lines", "root: a@x,\n\tb@x,\n  c@x\njoe: d@x\n", "root", "a@x:1 b@x:2 c@x:3", NULL },
	{ "comments and empty lines between", "# all\nroot:\n# one\n\n   # two\n a@x\n\n\t, b@x\n", "root",
	  "a@x:6 b@x:8", NULL },
	{ "what follows a continuation", "root: a@x,\n b@x\njoe: d@x\n", "joe", "d@x:3", NULL },
	{ "blanks around the colon", "root \t: \t a@x \t\n", "root", "a@x:1", NULL },
	{ "no blanks", "root:a@x", "root", "a@x:1", NULL },
	{ "line ends of other systems", "root: a@x,\r\n b@x\r\n\r\njoe: c@x\r\n", "root", "a@x:1 b@x:2", NULL },
	{ "a byte order mark", "\xef\xbb\xbfroot: a@x\n", "root", "a@x:1", NULL },
	{ "a quoted name", "\"John Doe\": a@x\n", "john doe", "a@x:1", NULL },
	{ "a quoted name with a colon", "\"a:b\": a@x\n", "a:b", "a@x:1", NULL },
	{ "a quoted name with an at", "\"a@b\": a@x\n", "a@b", "a@x:1", NULL },
	{ "a quoted name that needs no quotes", "\"root\": a@x\n", "root", "a@x:1", NULL },
	{ "a quoted name with a quote", "\"a\\\"b\": a@x\n", "a\"b", "a@x:1", NULL },
	{ "a quoted target", "root: \"John Doe\"\n\"john doe\": a@x\n", "root", "a@x:2", NULL },
	{ "a quoted target that is no alias", "root: \"John Doe\"\n", "root", "\"John Doe\":1", NULL },
	{ "a quoted address", "root: \"a, b\"@x, c@x\n", "root", "\"a, b\"@x:1 c@x:1", NULL },
	{ "display names", "root: \"Doe, Joe\" <joe@x>, Ann <ann@x>\n", "root", "joe@x:1 ann@x:1", NULL },
	{ "comments in brackets", "root: a@x (that is, me), b@x (a \\) b)\n", "root", "a@x:1 b@x:1", NULL },
	{ "address literals", "root: a@[192.0.2.1], b@[IPv6:2001:db8::1]\n", "root",
	  "a@[192.0.2.1]:1 b@[IPv6:2001:db8::1]:1", NULL },
	{ "UTF-8",
	  "j\xc3\xbcrgen: \xc3\xa9@b\xc3\xbc"
	  "cher.example\n",
	  "j\xc3\xbcrgen",
	  "\xc3\xa9@b\xc3\xbc"
	  "cher.example:1",
	  NULL },
	{ "numbers, plus and dots", "+49.170: a@x\n", "+49.170", "a@x:1", NULL },
	{ "owner- names are names", "list: a@x\nowner-list: me@x\n", "owner-list", "me@x:2", NULL },
	{ "an owner does not touch the list", "list: a@x\nowner-list: me@x\n", "list", "a@x:1", NULL },

	{ "the default", "*: me@x\nroot: r@x\n", "joe", "me@x:1", NULL },
	{ "the default is for the others", "*: me@x\nroot: r@x\n", "root", "r@x:2", NULL },
	{ "the default behind a name", "root: joe\n*: me@x\n", "root", "me@x:2", NULL },
	{ "the default leads to a name", "*: root\nroot: me@x\n", "joe", "me@x:2", NULL },
	{ "the default leads to no alias", "*: root\n", "joe", "root:1", NULL },
	{ "a quoted star is a name", "\"*\": a@x\n", "joe", "NONE", NULL },
	{ "a star by its name", "\"*\": a@x\n*: b@x\n", "*", "a@x:1", NULL },

	{ "a backslash stops", "root: \\joe, me@x\njoe: a@x\n", "root", "joe:1 me@x:1", NULL },
	{ "a backslash in quotes stops", "root: \"\\joe\", \"\\\\ann\"\njoe: a@x\nann: b@x\n", "root", "joe:1 ann:1",
	  NULL },
	{ "a backslash stops the default", "joe: \\joe\n*: me@x\n", "joe", "joe:1", NULL },
	{ "a quoted quote is no backslash", "root: \"\\\"x\"\n", "root", "\"\\\"x\":1", NULL },

	{ "a name means itself", "root: root, me@x\n", "root", "root:1 me@x:1", NULL },
	{ "in any case", "root: ROOT, me@x\n", "root", "ROOT:1 me@x:1", NULL },
	{ "round a corner", "a: b\nb: a, c@x\n", "a", "a:2 c@x:2", NULL },
	{ "round the same corner", "a: b\nb: a, c@x\n", "b", "b:1 c@x:2", NULL },
	{ "a pure loop ends", "a: b\nb: c\nc: a\n", "a", "a:3", NULL },
	{ "a loop beside the way", "root: a, me@x\na: b\nb: a\n", "root", "a:3 me@x:1", NULL },
	{ "diamonds give each address once", "root: a, b, me@x\na: c\nb: c\nc: me@x, d@x\n", "root", "me@x:4 d@x:4",
	  NULL },
	{ "equal addresses", "root: a@x.example, a@X.example, A@x.example\n", "root", "a@x.example:1 A@x.example:1",
	  NULL },
	{ "equal mailboxes", "root: \\Joe, \\joe, \"joe\"\n", "root", "Joe:1", NULL },

	{ "include", "list: :include:/l/friends, z@x\n", "list", "ann@x.example:2 bob@y.example:2 joe:4 z@x:1", NULL },
	{ "include follows names", "list: :INCLUDE:/l/friends\njoe: j@x\n", "list",
	  "ann@x.example:2 bob@y.example:2 j@x:2", NULL },
	{ "quoted include", "list: \":include:/l/a b\", :include: \"/l/a b\"\n", "list", "quoted@x:1", NULL },
	{ "nested include", "list: :include:/l/nested\n", "list", "ann@x.example:2 bob@y.example:2 joe:4 me@x:2",
	  NULL },
	{ "include that includes itself", "list: :include:/l/loop\n", "list", "loop@x:1", NULL },
	{ "include that leads back", "list: :include:/l/list\n", "list", "list:1 list-member@x:2", NULL },
	{ "include with other line ends", "list: :include:/l/crlf\n", "list", "a@x:1 b@x:2", NULL },
	{ "empty include", "list: :include:/l/empty\n", "list", "LOST", NULL },
	{ "missing include", "list: :include:/gone\n", "list", "LOST",
	  "/etc/aliases:1: /gone: No such file or directory\n" },
	{ "missing include beside others", "a: b@x\nlist:\n :include:/gone, me@x, :include:/gone\n", "list", "me@x:3",
	  "/etc/aliases:3: /gone: No such file or directory\n" },
	{ "mistakes in an include", "list: :include:/l/bad\n", "list", "fine@x:1",
	  "/l/bad:2: |cmd: mail is never handed to a command\n"
	  "/l/bad:3: also@x # no: words without a comma between them\n"
	  "/l/bad:4: /var/mail/x: mail is never written into a file\n" },
	{ "relative include", "list: :include:friends\n", "list", "LOST",
	  "/etc/aliases:1: :include:friends: the file of an :include: needs its whole path, from the / on\n" },
	{ "include of nothing", "list: :include:\n", "list", "LOST",
	  "/etc/aliases:1: :include:: the file of an :include: needs its whole path, from the / on\n" },

	{ "commands", "a: |/bin/cmd -x (, b@x\n", "a", "b@x:1",
	  "/etc/aliases:1: |/bin/cmd -x (: mail is never handed to a command\n" },
	{ "quoted commands", "a: \"|cmd, x\", b@x\n", "a", "b@x:1",
	  "/etc/aliases:1: \"|cmd, x\": mail is never handed to a command\n" },
	{ "files", "a: b@x,\n  /var/mail/a\n", "a", "b@x:1",
	  "/etc/aliases:2: /var/mail/a: mail is never written into a file\n" },
	{ "quoted files", "a: \"/var/mail/a b\"\n", "a", "LOST",
	  "/etc/aliases:1: \"/var/mail/a b\": mail is never written into a file\n" },
	{ "nowhere", "nobody: /dev/null\n", "nobody", "LOST",
	  "/etc/aliases:1: /dev/null: mail is never thrown away\n" },
	{ "words of others", "a: :blackhole:\n", "a", "LOST",
	  "/etc/aliases:1: :blackhole:: of the words between colons only :include: is understood\n" },
	{ "a name whose list is lost", "root: a\na: |x\n", "root", "LOST",
	  "/etc/aliases:2: |x: mail is never handed to a command\n" },
	{ "a comment at the end", "root: joe # me\njoe: a@x\n", "joe", "a@x:2",
	  "/etc/aliases:1: joe # me: words without a comma between them\n" },
	{ "no comma", "root: a@x\n b@x\n", "root", "LOST",
	  "/etc/aliases:1: a@x b@x: words without a comma between them\n" },
	{ "no colon", "root me@x\njoe: a@x\n", "joe", "a@x:2",
	  "/etc/aliases:1: root me@x: there is no : behind a name - a line is \"name: address, address\"\n" },
	{ "nothing behind the name", "root:\njoe: a@x\n", "root", "LOST",
	  "/etc/aliases:1: root: there is no address behind the name\n" },
	{ "a name with a domain", "root@x: a@x\n", "root", "NONE",
	  "/etc/aliases:1: root@x: a@x: only names of this machine can be aliases - write it without the @domain\n" },
	{ "a name with blanks", "john doe: a@x\n", "john", "NONE",
	  "/etc/aliases:1: john doe: a@x: the name is not written correctly - quote it if it has blanks or other special "
	  "characters\n" },
	{ "no name", ": a@x\n", "", "NONE", "/etc/aliases:1: : a@x: the address is empty\n" },
	{ "a name that is not closed", "\"root: a@x\n", "root", "NONE",
	  "/etc/aliases:1: \"root: a@x: a quoted name is not closed\n" },
	{ "said twice", "root: a@x\nROOT: b@x\nroot: c@x\n", "root", "a@x:1",
	  "/etc/aliases:2: root: it was said before - the first one counts\n"
	  "/etc/aliases:3: root: it was said before - the first one counts\n" },
	{ "the default twice", "*: a@x\n*: b@x\n", "root", "a@x:1",
	  "/etc/aliases:2: *: it was said before - the first one counts\n" },
	{ "a group", "a: b: c@x;, d@x\n", "a", "d@x:1",
	  "/etc/aliases:1: b: c@x;: an unexpected : stands in an address\n" },
	{ "a semicolon", "a: b@x; c@x\n", "a", "LOST",
	  "/etc/aliases:1: b@x; c@x: something stands behind an address\n" },
	{ "half an address", "a: b@, @x, \"\", <>\n", "a", "LOST",
	  "/etc/aliases:1: b@: the domain is not a valid name\n"
	  "/etc/aliases:1: @x: bad character, dot or blank before the @\n"
	  "/etc/aliases:1: \"\": an address is empty\n/etc/aliases:1: <>: an address is empty\n" },
	{ "a control character", "a: b\x01@x\nc\x01: d@x\n", "a", "LOST",
	  "/etc/aliases:1: b?@x: a control character stands in an address\n"
	  "/etc/aliases:2: c?: d@x: control characters are not allowed in an address\n" },
	{ "no UTF-8", "\xfc: a@x\nb: \xfc@x\n", "b", "LOST",
	  "/etc/aliases:1: ?: a@x: the address is not valid UTF-8\n"
	  "/etc/aliases:2: ?@x: the address is not valid UTF-8\n" },
};

static void names_become_what_their_lines_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct buf errors, out;
		unsigned mistakes, lines = 0;
		struct aliases *a;

		buf_init(&errors, 65536);
		buf_init(&out, 65536);
		a = read_text(span_str(row->text), &errors, &mistakes);
		expand(a, row->name, &out);
		if (strcmp(buf_cstr(&out), row->out) != 0)
			fail_msg("%s: %s", row->title, buf_cstr(&out));
		if (strcmp(buf_cstr(&errors), row->errors ? row->errors : "") != 0)
			fail_msg("%s: %s", row->title, buf_cstr(&errors));
		for (const char *p = buf_cstr(&errors); *p; p++)
			lines += *p == '\n';
		assert_int_equal(mistakes, lines);
		aliases_unref(a);
		buf_fini(&errors);
		buf_fini(&out);
	}
}

/* Nothing behind the end is read: each row ends at every byte, in memory of just that size. */
static void every_file_may_end_at_every_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t n = 0; n <= strlen(rows[i].text); n++) {
			char *copy = malloc(n ? n : 1);
			struct buf errors, out;
			unsigned mistakes;
			struct aliases *a;

			memcpy(copy, rows[i].text, n);
			buf_init(&errors, 65536);
			buf_init(&out, 65536);
			a = read_text(span_of(copy, n), &errors, &mistakes);
			free(copy);
			expand(a, rows[i].name, &out);
			aliases_unref(a);
			buf_fini(&errors);
			buf_fini(&out);
		}
	}
}

static void a_row_of_names_may_be_twenty_long(void **state)
{
	struct buf text, errors, out;
	unsigned mistakes;
	struct aliases *a;

	(void)state;
	buf_init(&text, 65536);
	buf_init(&errors, 1000);
	buf_init(&out, 1000);
	for (int i = 0; i < ALIASES_DEPTH; i++)
		buf_printf(&text, "n%d: n%d\n", i, i + 1);
	buf_printf(&text, "n%d: me@x\n", ALIASES_DEPTH);
	a = read_text(buf_span(&text), &errors, &mistakes);
	expand(a, "n1", &out);
	assert_string_equal(buf_cstr(&out), "me@x:21");
	buf_clear(&out);
	expand(a, "n0", &out);
	assert_string_equal(buf_cstr(&out), "MANY");
	aliases_unref(a);
	buf_fini(&text);
	buf_fini(&errors);
	buf_fini(&out);
}

static void a_name_becomes_at_most_a_thousand_addresses(void **state)
{
	static struct aliases_result result;
	struct buf text, errors;
	unsigned mistakes;
	struct aliases *a;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_init(&errors, 1000);
	buf_append_str(&text, "all:");
	for (int i = 0; i < ALIASES_TARGETS; i++)
		buf_printf(&text, " m%d@x.example,\n", i);
	buf_append_str(&text, " m1@x.example\nmore: all, one@x.example\n");
	a = read_text(buf_span(&text), &errors, &mistakes);
	assert_int_equal(mistakes, 0);
	assert_int_equal(aliases_expand(a, SPAN("all"), &result), ALIASES_DONE);
	assert_int_equal(result.count, ALIASES_TARGETS);
	assert_int_equal(aliases_expand(a, SPAN("more"), &result), ALIASES_MANY);
	assert_int_equal(result.count, 0);
	aliases_unref(a);
	buf_fini(&text);
	buf_fini(&errors);
}

/* Every name leads to two of the next: without memory that would be two to the power of twenty steps. */
static void a_thicket_of_names_is_walked_once(void **state)
{
	static struct aliases_result result;
	struct buf text, errors;
	unsigned mistakes;
	struct aliases *a;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_init(&errors, 1000);
	for (int i = 0; i < 10; i++)
		for (int k = 0; k < 60; k++) {
			buf_printf(&text, "n%d-%d:", i, k);
			for (int to = 0; to < 60; to++)
				buf_printf(&text, " n%d-%d,", i + 1, to);
			buf_append_char(&text, '\n');
		}
	a = read_text(buf_span(&text), &errors, &mistakes);
	assert_int_equal(aliases_expand(a, SPAN("n0-0"), &result), ALIASES_DONE);
	assert_int_equal(result.count, 60);
	aliases_unref(a);
	buf_fini(&text);
	buf_fini(&errors);
}

static void text_without_bounds_is_refused(void **state)
{
	struct buf errors, out;
	char *text = malloc(ALIASES_MAX_BYTES + 1);
	struct span whole = span_of(text, ALIASES_MAX_BYTES + 1), rest;
	struct aliases *a = aliases_new();

	(void)state;
	buf_init(&errors, 1000);
	buf_init(&out, 1000);
	memset(text, '#', ALIASES_MAX_BYTES + 1);
	assert_int_equal(aliases_read(a, "/f", whole, &errors), 1);
	assert_string_equal(buf_cstr(&errors),
			    "/f:1: the files are too long, more than 4194304 bytes with all that they include\n");
	aliases_unref(a);
	buf_clear(&errors);

	/* All of them together count. */
	a = aliases_new();
	assert_int_equal(aliases_read(a, "/f", SPAN("a: :include:/big\nb: c@x\n"), &errors), 0);
	rest = span_first(whole, ALIASES_MAX_BYTES - 10);
	assert_int_equal(aliases_supply(a, "/big", &rest, NULL, &errors), 1);
	assert_string_equal(buf_cstr(&errors),
			    "/f:1: /big: the files are too long, more than 4194304 bytes with all that they include\n");
	assert_null(aliases_wanted(a));
	expand(a, "a", &out);
	expand(a, "b", &out);
	assert_string_equal(buf_cstr(&out), "LOSTc@x:2");
	aliases_unref(a);
	buf_fini(&errors);
	buf_fini(&out);
	free(text);
}

static void the_number_of_included_files_is_bounded(void **state)
{
	struct buf text, errors;
	struct aliases *a = aliases_new();
	const char *path;
	int wanted = 0;

	(void)state;
	buf_init(&text, 1 << 20);
	buf_init(&errors, 1 << 20);
	for (int i = 0; i < 300; i++)
		buf_printf(&text, "n%d: :include:/l/%d, me@x\n", i, i);
	assert_int_equal(aliases_read(a, "/f", buf_span(&text), &errors), 300 - 256);
	while ((path = aliases_wanted(a))) {
		struct span one = SPAN("them@x");

		assert_int_equal(aliases_supply(a, path, &one, NULL, &errors), 0);
		wanted++;
	}
	assert_int_equal(wanted, 256);
	assert_non_null(strstr(buf_cstr(&errors), "/f:257: /l/256: too many files are included\n"));
	aliases_unref(a);
	buf_fini(&text);
	buf_fini(&errors);
}

static void a_file_that_nobody_wanted_is_passed_over(void **state)
{
	struct span text = SPAN("evil@x");
	struct aliases *a = aliases_new();
	struct buf errors, out;

	(void)state;
	buf_init(&errors, 1000);
	buf_init(&out, 1000);
	assert_int_equal(aliases_read(a, "/f", SPAN("a: :include:/one\n"), &errors), 0);
	assert_int_equal(aliases_supply(a, "/two", &text, NULL, &errors), 0);
	assert_string_equal(aliases_wanted(a), "/one");
	/* Until it is there, nothing is known. */
	expand(a, "a", &out);
	assert_string_equal(buf_cstr(&out), "LOST");
	assert_int_equal(aliases_supply(a, "/one", &text, NULL, &errors), 0);
	assert_int_equal(aliases_supply(a, "/one", &text, NULL, &errors), 0);
	buf_clear(&out);
	expand(a, "a", &out);
	assert_string_equal(buf_cstr(&out), "evil@x:1");
	aliases_unref(a);
	aliases_unref(NULL);
	buf_fini(&errors);
	buf_fini(&out);
}

static void a_table_lives_as_long_as_somebody_has_it(void **state)
{
	struct aliases *a = aliases_new();
	struct buf errors, out;

	(void)state;
	buf_init(&errors, 1000);
	buf_init(&out, 1000);
	assert_int_equal(aliases_read(a, "/f", SPAN("a: b@x\n"), &errors), 0);
	assert_ptr_equal(aliases_ref(a), a);
	aliases_unref(a);
	expand(a, "a", &out);
	assert_string_equal(buf_cstr(&out), "b@x:1");
	aliases_unref(a);
	buf_fini(&errors);
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_become_what_their_lines_say),
		cmocka_unit_test(every_file_may_end_at_every_byte),
		cmocka_unit_test(a_row_of_names_may_be_twenty_long),
		cmocka_unit_test(a_name_becomes_at_most_a_thousand_addresses),
		cmocka_unit_test(a_thicket_of_names_is_walked_once),
		cmocka_unit_test(text_without_bounds_is_refused),
		cmocka_unit_test(the_number_of_included_files_is_bounded),
		cmocka_unit_test(a_file_that_nobody_wanted_is_passed_over),
		cmocka_unit_test(a_table_lives_as_long_as_somebody_has_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
