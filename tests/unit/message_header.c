#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message/header.h"

struct row {
	const char *name, *text;
	enum header_verdict scan; /* verdict while the message may go on */
	enum header_verdict finish;
	size_t length, body;
	const char *subject; /* raw value of the first Subject, NULL: none */
};

static const struct row rows[] = {
	{ "plain header and body", "From: a\r\nSubject: hi\r\n\r\nbody\r\n", HEADER_DONE, HEADER_DONE, 22, 24, " hi" },
	{ "folded field", "Subject: a\r\n b\r\n\tc\r\nTo: x\r\n\r\n", HEADER_DONE, HEADER_DONE, 27, 29,
	  " a\r\n b\r\n\tc" },
	{ "fold of blanks only is no empty line", "Subject: a\r\n \r\nTo: x\r\n\r\nb", HEADER_DONE, HEADER_DONE, 22, 24,
	  " a\r\n " },
	{ "second field of a name is not mixed in", "Subject: a\r\nSubject: b\r\n c\r\n\r\n", HEADER_DONE, HEADER_DONE,
	  28, 30, " a" },
	{ "blanks before the colon", "Subject \t: a\r\n\r\n", HEADER_DONE, HEADER_DONE, 14, 16, " a" },
	{ "name in any case", "sUBJECT:a\r\n\r\n", HEADER_DONE, HEADER_DONE, 11, 13, "a" },
	{ "empty value", "Subject:\r\n\r\n", HEADER_DONE, HEADER_DONE, 10, 12, "" },
	{ "empty header", "\r\nbody", HEADER_DONE, HEADER_DONE, 0, 2, NULL },
	{ "no header: text", "hello world\r\nSubject: x\r\n\r\n", HEADER_NONE, HEADER_NONE, 0, 0, NULL },
	{ "no header: begins with a blank", " a: b\r\n\r\n", HEADER_NONE, HEADER_NONE, 0, 0, NULL },
	{ "no header: begins with a colon", ": b\r\n\r\n", HEADER_NONE, HEADER_NONE, 0, 0, NULL },
	{ "no header: mailbox line", "From me Tue Nov 24 05:30:00 2026\r\nSubject: x\r\n\r\n", HEADER_NONE, HEADER_NONE,
	  0, 0, NULL },
	{ "no header: byte above 127 in the name", "S\xfc: b\r\n\r\n", HEADER_NONE, HEADER_NONE, 0, 0, NULL },
	{ "no header: DEL in the name", "S\x7f: b\r\n\r\n", HEADER_NONE, HEADER_NONE, 0, 0, NULL },
	{ "header ended by a line that is no field", "Subject: a\r\nno field\r\nTo: x\r\n\r\n", HEADER_DONE,
	  HEADER_DONE, 12, 12, " a" },
	{ "nothing", "", HEADER_MORE, HEADER_NONE, 0, 0, NULL },
	{ "only fields", "Subject: a\r\n", HEADER_MORE, HEADER_DONE, 12, 12, " a" },
	{ "last line without its end", "To: b\r\nSubject: a", HEADER_MORE, HEADER_DONE, 17, 17, " a" },
	{ "first line is cut off and no field", "hello", HEADER_MORE, HEADER_NONE, 0, 0, NULL },
	{ "LF alone ends lines too", "Subject: a\n b\n\nbody", HEADER_DONE, HEADER_DONE, 14, 15, " a\n b" },
};

static void check_row(const struct row *row, size_t cut)
{
	struct span all = span_str(row->text);
	enum header_verdict verdict = HEADER_MORE;
	struct header h;
	char *moved = NULL;

	header_init(&h);
	if (cut < all.len) { /* the bytes may lie elsewhere at the next call */
		moved = malloc(cut + 1);
		memcpy(moved, all.data, cut);
		verdict = header_scan(&h, span_of(moved, cut));
		free(moved);
	}
	if (verdict == HEADER_MORE)
		verdict = header_scan(&h, all);
	if (verdict != row->scan)
		fail_msg("%s, cut at %zu: verdict %d", row->name, cut, verdict);
	if (verdict == HEADER_MORE)
		verdict = header_finish(&h, all);
	if (verdict != row->finish)
		fail_msg("%s, cut at %zu: finished with %d", row->name, cut, verdict);
	if (verdict == HEADER_DONE && (h.length != row->length || h.body != row->body))
		fail_msg("%s, cut at %zu: length %zu, body %zu", row->name, cut, h.length, h.body);
	if ((h.counts[HEADER_SUBJECT] > 0) != (row->subject != NULL))
		fail_msg("%s: subject seen or not", row->name);
	if (row->subject && !span_equals(header_first(&h, all, HEADER_SUBJECT), span_str(row->subject)))
		fail_msg("%s, cut at %zu: subject is '%.*s'", row->name, cut,
			 SPAN_ARGS(header_first(&h, all, HEADER_SUBJECT)));
}

static void the_end_of_a_header_is_found_wherever_it_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t cut = 0; cut <= strlen(rows[i].text); cut++)
			check_row(&rows[i], cut);
}

static void an_endless_line_is_read_once(void **state)
{
	const size_t len = 1 << 20;
	char *text = malloc(len);
	struct header h;

	(void)state;
	memset(text, 'x', len);
	header_init(&h);
	for (size_t n = 1; n <= len; n++) {
		assert_int_equal(header_scan(&h, span_of(text, n)), HEADER_MORE);
		assert_int_equal(h.searched, n); /* the next search begins here */
	}
	free(text);
}

static void fields_are_counted_by_name(void **state)
{
	struct span text = SPAN("Received: a\r\nReceived: b\r\n c\r\nX-Other: d\r\nreceived: e\r\n\r\n");
	struct header h;

	(void)state;
	header_init(&h);
	assert_int_equal(header_scan(&h, text), HEADER_DONE);
	assert_int_equal(h.counts[HEADER_RECEIVED], 3);
	assert_int_equal(h.counts[HEADER_OTHER], 1);
	assert_int_equal(h.counts[HEADER_DATE], 0);
	assert_int_equal(header_first(&h, text, HEADER_DATE).len, 0);
}

static void every_field_has_its_name(void **state)
{
	(void)state;
	for (int i = 0; i < HEADER_OTHER; i++)
		assert_int_equal(header_name_of(span_str(header_name_text((enum header_name)i))), i);
	assert_int_equal(header_name_of(SPAN("message-id")), HEADER_MESSAGE_ID);
	assert_int_equal(header_name_of(SPAN("Message-I")), HEADER_OTHER);
	assert_int_equal(header_name_of(SPAN("")), HEADER_OTHER);
}

static void a_header_comes_apart_into_its_fields(void **state)
{
	struct span rest = SPAN("To: a,\r\n b\r\nX-Y :z\r\nBcc: c");
	struct header_field f;

	(void)state;
	assert_true(header_next(&rest, &f));
	assert_int_equal(f.name, HEADER_TO);
	assert_true(span_equals(f.whole, SPAN("To: a,\r\n b\r\n")));
	assert_true(span_equals(f.value, SPAN(" a,\r\n b")));
	assert_true(header_next(&rest, &f));
	assert_int_equal(f.name, HEADER_OTHER);
	assert_true(span_equals(f.label, SPAN("X-Y")));
	assert_true(span_equals(f.value, SPAN("z")));
	assert_true(header_next(&rest, &f));
	assert_int_equal(f.name, HEADER_BCC);
	assert_true(span_equals(f.whole, SPAN("Bcc: c")));
	assert_false(header_next(&rest, &f));
	rest = SPAN("no field\r\n");
	assert_false(header_next(&rest, &f));
}

static void shown_text_is_unfolded_decoded_cleaned_and_cut(void **state)
{
	static const struct {
		const char *value, *text;
	} texts[] = {
		{ " plain", "plain" },
		{ " a\r\n\tb  c ", "a b c" },
		{ " =?utf-8?Q?Gr=C3=BC=C3=9Fe_an?= alle", "Gr\xc3\xbc\xc3\x9f"
							  "e an alle" },
		{ "=?UTF-8?B?SGVs?=\r\n =?UTF-8?B?bG8=?=", "Hello" },
		{ "=?iso-8859-1?q?=FC?=", "\xc3\xbc" },
		{ "=?iso-2022-jp?B?GyRC?=", "=?iso-2022-jp?B?GyRC?=" },
		{ "a =?utf-8?Q?b_c", "a =?utf-8?Q?b_c" },
		{ "=?utf-8?Q?evil=0D=0ABcc:_x?=", "evil Bcc: x" },
		{ "=?utf-8?Q?=1B[31m?=", "?[31m" },
		{ "\xff\x01", "??" },
		{ "0123456789012345678901234567890123456789", "01234567890123456789012345678901" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct buf out;

		buf_init(&out, 4096);
		assert_true(header_text(&out, span_str(texts[i].value), 32));
		assert_string_equal(buf_cstr(&out), texts[i].text);
		buf_fini(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_end_of_a_header_is_found_wherever_it_is_cut),
		cmocka_unit_test(an_endless_line_is_read_once),
		cmocka_unit_test(fields_are_counted_by_name),
		cmocka_unit_test(every_field_has_its_name),
		cmocka_unit_test(a_header_comes_apart_into_its_fields),
		cmocka_unit_test(shown_text_is_unfolded_decoded_cleaned_and_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
