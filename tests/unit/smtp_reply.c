/* Replies: every row is fed whole, byte by byte and cut at every byte; all must agree. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "smtp/reply.h"

struct row {
	const char *name;
	struct span bytes;
	enum reply_verdict verdict;
	const char *printed; /* as reply_print() makes it */
	const char *lines;   /* NULL: not compared */
	size_t left;         /* bytes that belong to what follows */
};

#define BYTES(literal)                       \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

static const struct row rows[] = {
	{ "plain", BYTES("250 ok\r\n"), REPLY_DONE, "250 ok", "ok\n", 0 },
	{ "no text", BYTES("250\r\n"), REPLY_DONE, "250", "\n", 0 },
	{ "blank only", BYTES("250 \r\n"), REPLY_DONE, "250", "\n", 0 },
	{ "the next one is left alone", BYTES("250 ok\r\n354 go\r\n"), REPLY_DONE, "250 ok", "ok\n", 8 },
	{ "many lines", BYTES("250-a b\r\n250-c\r\n250 d\r\n"), REPLY_DONE, "250 a b c d", "a b\nc\nd\n", 0 },
	{ "last line without text", BYTES("250-a\r\n250\r\n"), REPLY_DONE, "250 a", "a\n\n", 0 },
	{ "first line without text", BYTES("250-\r\n250 a\r\n"), REPLY_DONE, "250 a", "\na\n", 0 },
	{ "status", BYTES("450 4.2.0 greylisted\r\n"), REPLY_DONE, "450 4.2.0 greylisted", NULL, 0 },
	{ "status without text", BYTES("550 5.7.2\r\n"), REPLY_DONE, "550 5.7.2", "5.7.2\n", 0 },
	{ "status and a blank", BYTES("550 5.7.2 \r\n"), REPLY_DONE, "550 5.7.2", NULL, 0 },
	{ "status on each line", BYTES("550-5.1.1 no\r\n550 5.1.1 such user\r\n"), REPLY_DONE, "550 5.1.1 no such user",
	  NULL, 0 },
	{ "status of another class is text", BYTES("450 5.2.0 x\r\n"), REPLY_DONE, "450 5.2.0 x", NULL, 0 },
	{ "status of no class is text", BYTES("354 3.0.0 x\r\n"), REPLY_DONE, "354 3.0.0 x", NULL, 0 },
	{ "status cut short is text", BYTES("550 5.7.\r\n"), REPLY_DONE, "550 5.7.", NULL, 0 },
	{ "status too long is text", BYTES("550 5.7.1234 x\r\n"), REPLY_DONE, "550 5.7.1234 x", NULL, 0 },
	{ "address at the front is text", BYTES("550 5.6.7.8 is listed\r\n"), REPLY_DONE, "550 5.6.7.8 is listed", NULL,
	  0 },
	{ "widest status", BYTES("550 5.999.999 x\r\n"), REPLY_DONE, "550 5.999.999 x", NULL, 0 },
	{ "lowest code", BYTES("200 x\r\n"), REPLY_DONE, "200 x", NULL, 0 },
	{ "highest code", BYTES("599 x\r\n"), REPLY_DONE, "599 x", NULL, 0 },
	{ "NUL, control bytes and 8 bit", BYTES("250 a\0b\x1b[1m\x80\xff\r\n"), REPLY_DONE, "250 a?b?[1m??", NULL, 0 },
	{ "UTF-8 stays", BYTES("250 gr\xc3\xbc\xc3\x9f\r\n"), REPLY_DONE, "250 gr\xc3\xbc\xc3\x9f", NULL, 0 },
	{ "blanks become one", BYTES("250 a \t  b\r\n"), REPLY_DONE, "250 a b", NULL, 0 },
	{ "nothing", BYTES(""), REPLY_MORE, NULL, NULL, 0 },
	{ "unfinished line", BYTES("250 ok\r"), REPLY_MORE, NULL, NULL, 0 },
	{ "unfinished reply", BYTES("250-ok\r\n"), REPLY_MORE, NULL, NULL, 0 },
	{ "bare LF", BYTES("250 ok\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "bare LF within", BYTES("250 a\n250 b\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "bare CR", BYTES("250 a\rb\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "two CR", BYTES("250 a\r\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "empty line", BYTES("\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "two digits", BYTES("25\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "four digits", BYTES("2500 ok\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "text behind the code", BYTES("250ok\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "NUL behind the code", BYTES("250\0ok\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "1xx", BYTES("150 wait\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "6xx", BYTES("650 x\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "blank in front", BYTES(" 250 ok\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "words", BYTES("HTTP/1.1 400 Bad Request\r\n"), REPLY_BAD, NULL, NULL, 0 },
	{ "codes differ", BYTES("250-a\r\n550 b\r\n"), REPLY_BAD, NULL, NULL, 0 },
};

/* Feeds the bytes in pieces: the first of `cut` bytes, then (step 0) the rest at once, or `step` bytes at a time. */
static enum reply_verdict feed(struct reply_reader *reader, struct span bytes, size_t cut, size_t step,
			       struct reply *out, size_t *out_left)
{
	enum reply_verdict verdict = REPLY_MORE;
	size_t at = 0, part = cut;

	while (at < bytes.len && verdict == REPLY_MORE) {
		size_t n = part && part < bytes.len - at ? part : bytes.len - at;
		char *piece = mem_dup(bytes.data + at, n); /* of its own size: an over-read shows */
		struct span s = span_of(piece, n);

		verdict = reply_feed(reader, &s, out);
		if (verdict == REPLY_MORE)
			assert_int_equal(s.len, 0);
		at += n - s.len;
		mem_free(piece);
		part = step;
	}
	*out_left = bytes.len - at;
	return verdict;
}

static void check(const struct row *row, size_t cut, size_t step)
{
	struct reply_reader reader;
	struct reply reply = { 0 };
	struct buf printed;
	size_t left;
	enum reply_verdict verdict;

	buf_init(&printed, 1024);
	reply_init(&reader);
	verdict = feed(&reader, row->bytes, cut, step, &reply, &left);
	if (verdict != row->verdict)
		fail_msg("%s (cut %zu): verdict %d", row->name, cut, verdict);
	if (verdict == REPLY_DONE) {
		assert_true(reply_print(&reply, &printed));
		if (!span_equals(buf_span(&printed), span_str(row->printed)))
			fail_msg("%s (cut %zu): '%s'", row->name, cut, buf_cstr(&printed));
		if (row->lines && !span_equals(reply.lines, span_str(row->lines)))
			fail_msg("%s (cut %zu): lines '%.*s'", row->name, cut, SPAN_ARGS(reply.lines));
		if (left != row->left)
			fail_msg("%s (cut %zu): %zu bytes left", row->name, cut, left);
		assert_true(reply_is_idle(&reader));
	}
	if (verdict == REPLY_MORE && row->bytes.len)
		assert_false(reply_is_idle(&reader));
	reply_fini(&reader);
	buf_fini(&printed);
}

static void every_row_reads_the_same_however_it_is_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check(&rows[i], 0, 0);
		check(&rows[i], 1, 1);
		for (size_t cut = 1; cut < rows[i].bytes.len; cut++)
			check(&rows[i], cut, 0);
	}
}

static void a_bad_reader_stays_bad_until_reset(void **state)
{
	struct reply_reader reader;
	struct reply reply;
	struct span bad = SPAN("what\r\n"), good = SPAN("250 ok\r\n");

	(void)state;
	reply_init(&reader);
	assert_int_equal(reply_feed(&reader, &bad, &reply), REPLY_BAD);
	assert_int_equal(reply_feed(&reader, &good, &reply), REPLY_BAD);
	assert_int_equal(good.len, 8);
	assert_false(reply_is_idle(&reader));
	reply_reset(&reader);
	assert_true(reply_is_idle(&reader));
	assert_int_equal(reply_feed(&reader, &good, &reply), REPLY_DONE);
	reply_fini(&reader);
}

static void a_status_is_taken_only_whole_and_of_the_class_of_the_code(void **state)
{
	static const struct {
		const char *text;
		unsigned code;
		bool is_status;
	} cases[] = { { "4.2.0 x", 450, true },   { "4.2.0", 450, true },     { "5.2.0 x", 450, false },
		      { "2.0.0 x", 354, false },  { "3.0.0 x", 354, false },  { "4.2.0x", 450, false },
		      { "4.2", 450, false },      { "4..0 x", 450, false },   { "4.2.1234 x", 450, false },
		      { "44.2.0 x", 450, false }, { "4.999.999", 450, true }, { "", 450, false } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct reply_status status;
		struct span rest;

		if (reply_status_parse(span_str(cases[i].text), cases[i].code, &status, &rest) != cases[i].is_status)
			fail_msg("%s", cases[i].text);
	}
}

static void one_reader_reads_one_reply_after_the_other(void **state)
{
	struct reply_reader reader;
	struct reply reply;
	struct span s = SPAN("250-5.0.0 a\r\n250 b\r\n354 go\r\n550 5.1.1 no\r\n");

	(void)state;
	reply_init(&reader);
	assert_int_equal(reply_feed(&reader, &s, &reply), REPLY_DONE);
	assert_int_equal(reply.code, 250);
	assert_int_equal(reply_feed(&reader, &s, &reply), REPLY_DONE);
	assert_int_equal(reply.code, 354);
	assert_true(span_equals(reply.text, SPAN("go")));
	assert_int_equal(reply_feed(&reader, &s, &reply), REPLY_DONE);
	assert_int_equal(reply.code, 550);
	assert_int_equal(reply.status.class, 5);
	assert_int_equal(reply.status.subject, 1);
	assert_int_equal(reply.status.detail, 1);
	assert_true(span_equals(reply.text, SPAN("no")));
	assert_int_equal(reply_feed(&reader, &s, &reply), REPLY_MORE);
	reply_fini(&reader);
}

static enum reply_verdict feed_lines(struct reply_reader *reader, const char *line, unsigned count, struct reply *reply)
{
	enum reply_verdict verdict = REPLY_MORE;

	for (unsigned i = 0; i < count && verdict == REPLY_MORE; i++) {
		struct span s = span_str(line);

		verdict = reply_feed(reader, &s, reply);
	}
	return verdict;
}

static void a_line_has_a_longest_length(void **state)
{
	char line[REPLY_LINE_MAX + 8];

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "250 ", 4);
	for (size_t len = REPLY_LINE_MAX - 1; len <= REPLY_LINE_MAX + 1; len++) {
		struct reply_reader reader;
		struct reply reply;
		char *bytes = mem_dup(line, len + 2);
		struct span s = span_of(bytes, len + 2);
		enum reply_verdict verdict;

		memcpy(bytes + len, "\r\n", 2);
		reply_init(&reader);
		verdict = reply_feed(&reader, &s, &reply);
		assert_int_equal(verdict, len <= REPLY_LINE_MAX ? REPLY_DONE : REPLY_BAD);
		if (verdict == REPLY_DONE)
			assert_int_equal(reply.text.len, REPLY_TEXT_MAX);
		reply_fini(&reader);
		mem_free(bytes);
	}
}

static void a_line_without_end_is_refused_before_it_ends(void **state)
{
	struct reply_reader reader;
	struct reply reply;

	(void)state;
	reply_init(&reader);
	assert_int_equal(feed_lines(&reader, "250 xxxxxxxxxxxx", 1000000, &reply), REPLY_BAD);
	assert_true(reader.line.len <= REPLY_LINE_MAX);
	reply_fini(&reader);
}

static void a_reply_has_a_largest_number_of_lines(void **state)
{
	struct reply_reader reader;
	struct reply reply;

	(void)state;
	reply_init(&reader);
	assert_int_equal(feed_lines(&reader, "250-x\r\n", REPLY_COUNT_MAX - 1, &reply), REPLY_MORE);
	assert_int_equal(feed_lines(&reader, "250 x\r\n", 1, &reply), REPLY_DONE);
	assert_int_equal(feed_lines(&reader, "250-x\r\n", REPLY_COUNT_MAX, &reply), REPLY_MORE);
	assert_int_equal(feed_lines(&reader, "250 x\r\n", 1, &reply), REPLY_BAD);
	reply_fini(&reader);
}

static void text_beyond_the_cap_is_dropped_and_the_reply_read_on(void **state)
{
	struct reply_reader reader;
	struct reply reply;
	char line[1003];

	(void)state;
	memset(line, 'y', sizeof(line));
	memcpy(line, "250-", 4);
	memcpy(line + sizeof(line) - 3, "\r\n", 3);
	reply_init(&reader);
	assert_int_equal(feed_lines(&reader, line, 100, &reply), REPLY_MORE);
	assert_int_equal(feed_lines(&reader, "250 end\r\n", 1, &reply), REPLY_DONE);
	assert_true(reply.lines.len <= REPLY_LINES_MAX);
	assert_int_equal(reply.lines.data[reply.lines.len - 1], '\n');
	assert_true(reply.text.len <= REPLY_TEXT_MAX);
	reply_fini(&reader);
}

static void text_is_cut_between_characters(void **state)
{
	struct reply_reader reader;
	struct reply reply;
	struct buf bytes;
	struct span s;

	(void)state;
	buf_init(&bytes, 4096);
	buf_append_str(&bytes, "250 x");
	for (int i = 0; i < 400; i++)
		buf_append_str(&bytes, "\xc3\xbc");
	buf_append_str(&bytes, "\r\n");
	s = buf_span(&bytes);
	reply_init(&reader);
	assert_int_equal(reply_feed(&reader, &s, &reply), REPLY_DONE);
	assert_int_equal(reply.text.len, REPLY_TEXT_MAX - 1);
	reply_fini(&reader);
	buf_fini(&bytes);
}

static void printing_into_a_full_buffer_changes_nothing(void **state)
{
	struct reply reply = { .code = 450, .status = { 4, 2, 0 }, .text = SPAN("try again") };
	struct buf out;

	(void)state;
	for (size_t max = 1; max < 19; max++) {
		buf_init(&out, max);
		assert_false(reply_print(&reply, &out));
		assert_int_equal(out.len, 0);
		buf_fini(&out);
	}
	buf_init(&out, 19);
	assert_true(reply_print(&reply, &out));
	assert_string_equal(buf_cstr(&out), "450 4.2.0 try again");
	buf_clear(&out);
	reply.code = 0;
	assert_true(reply_print(&reply, &out));
	assert_string_equal(buf_cstr(&out), "4.2.0 try again");
	buf_clear(&out);
	reply.status.class = 0;
	assert_true(reply_print(&reply, &out));
	assert_string_equal(buf_cstr(&out), "try again");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_reads_the_same_however_it_is_cut),
		cmocka_unit_test(a_bad_reader_stays_bad_until_reset),
		cmocka_unit_test(a_status_is_taken_only_whole_and_of_the_class_of_the_code),
		cmocka_unit_test(one_reader_reads_one_reply_after_the_other),
		cmocka_unit_test(a_line_has_a_longest_length),
		cmocka_unit_test(a_line_without_end_is_refused_before_it_ends),
		cmocka_unit_test(a_reply_has_a_largest_number_of_lines),
		cmocka_unit_test(text_beyond_the_cap_is_dropped_and_the_reply_read_on),
		cmocka_unit_test(text_is_cut_between_characters),
		cmocka_unit_test(printing_into_a_full_buffer_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
