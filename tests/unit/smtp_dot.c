#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "smtp/dot.h"

struct row {
	const char *wire;
	const char *text; /* what it means */
	const char *rest; /* what does not belong to the data; NULL: the end did not come */
	unsigned found;
};

static const struct row decoded[] = {
	{ ".\r\n", "", "", 0 },
	{ "a\r\n.\r\n", "a\r\n", "", 0 },
	{ "a\r\nb\r\n.\r\nQUIT\r\n", "a\r\nb\r\n", "QUIT\r\n", 0 },
	{ "\r\n\r\n.\r\n", "\r\n\r\n", "", 0 },
	{ "..\r\n.\r\n", ".\r\n", "", 0 },
	{ "..a\r\n...\r\n.a\r\na..\r\n.\r\n", ".a\r\n..\r\na\r\na..\r\n", "", 0 },
	{ ". \r\n.\r\n", " \r\n", "", 0 },
	{ "a.\r\n.\r\n", "a.\r\n", "", 0 },
	{ "a\r\n.", "a\r\n", NULL, 0 },
	{ "a\r\n.\r", "a\r\n", NULL, 0 },
	{ "a\r", "a", NULL, 0 },
	{ "a", "a", NULL, 0 },
	{ "", "", NULL, 0 },
	{ "\xc3\xbc\r\n.\r\n", "\xc3\xbc\r\n", "", DOT_8BIT },
	/* nothing else ends data */
	{ "a\n.\n", "a\r\n.\r\n", NULL, DOT_BARE_NEWLINE },
	{ "a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", DOT_BARE_NEWLINE },
	{ "a\r.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", "", DOT_BARE_NEWLINE },
	{ "a\r\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n", "", DOT_BARE_NEWLINE },
	{ "a\r\n.\rb\r\n.\r\n", "a\r\n\r\nb\r\n", "", DOT_BARE_NEWLINE },
	{ "a\r\n.\r\r\n.\r\n", "a\r\n\r\n\r\n", "", DOT_BARE_NEWLINE },
	{ "a\r\r\n.\r\n", "a\r\n\r\n", "", DOT_BARE_NEWLINE },
	{ "\n.\r\n.\r\n", "\r\n.\r\n", "", DOT_BARE_NEWLINE },
	{ "\n\n\r\r.\r\n.\r\n", "\r\n\r\n\r\n\r\n.\r\n", "", DOT_BARE_NEWLINE },
	{ "\n\r\n.\r\n", "\r\n\r\n", "", DOT_BARE_NEWLINE },
	{ ".\r.\r\n.\r\n", "\r\n.\r\n", "", DOT_BARE_NEWLINE },
	{ "a\r\n..\n.\r\n.\r\n", "a\r\n.\r\n.\r\n", "", DOT_BARE_NEWLINE },
};

static const struct row encoded[] = {
	/* wire is what must be written, text what goes in */
	{ ".\r\n", "", NULL, 0 },
	{ "a\r\n.\r\n", "a\r\n", NULL, 0 },
	{ "a\r\n.\r\n", "a", NULL, 0 },
	{ "a\r\n.\r\n", "a\r", NULL, 0 },
	{ "..\r\n.\r\n", ".", NULL, 0 },
	{ "..\r\n.\r\n", ".\r\n", NULL, 0 },
	{ "...\r\na.\r\n..b\r\n.\r\n", "..\r\na.\r\n.b\r\n", NULL, 0 },
	{ "\r\n\r\n.\r\n", "\r\n\r\n", NULL, 0 },
	/* only CRLF leaves, and a dot behind any line end is stuffed */
	{ "a\r\n..\r\nb\r\n.\r\n", "a\n.\nb\n", NULL, 0 },
	{ "a\r\n..\r\nb\r\n.\r\n", "a\r.\rb\r", NULL, 0 },
	{ "a\r\n\r\n..\r\n.\r\n", "a\r\r\n.\r\n", NULL, 0 },
	{ "a\r\n\r\n..b\r\n.\r\n", "a\n\r.b", NULL, 0 },
	{ "\r\n..\r\n.\r\n", "\n.", NULL, 0 },
};

/* The decoder's output on the input cut in pieces: at `cut`, or (0) into single bytes. */
static enum dot_verdict decode(const char *wire, size_t len, size_t cut, struct buf *text, struct buf *rest,
			       unsigned *out_found)
{
	enum dot_verdict verdict = DOT_MORE;
	struct dot_decoder d;

	dot_decode_init(&d);
	for (size_t i = 0; i < len;) {
		size_t part = cut == 0 ? 1 : i < cut && cut < len ? cut - i : len - i;
		char *copy = mem_dup(wire + i, part);
		struct span in = span_of(copy, part), out;

		i += part;
		while (in.len && verdict == DOT_MORE) {
			verdict = dot_decode(&d, &in, &out);
			buf_append_span(text, out);
		}
		buf_append_span(rest, in);
		mem_free(copy);
	}
	*out_found = d.found;
	return verdict;
}

static void check_decode(const struct row *row, size_t cut)
{
	struct buf text, rest;
	unsigned found;
	enum dot_verdict verdict;

	buf_init(&text, 1000);
	buf_init(&rest, 1000);
	verdict = decode(row->wire, strlen(row->wire), cut, &text, &rest, &found);
	if (strcmp(buf_cstr(&text), row->text) != 0 || found != row->found ||
	    verdict != (row->rest ? DOT_DONE : DOT_MORE) || strcmp(buf_cstr(&rest), row->rest ? row->rest : "") != 0)
		fail_msg("'%s' cut at %zu: '%s', rest '%s', found %u", row->wire, cut, buf_cstr(&text), buf_cstr(&rest),
			 found);
	buf_fini(&text);
	buf_fini(&rest);
}

static void data_is_decoded_as_the_table_says_on_any_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(decoded) / sizeof(decoded[0]); i++)
		for (size_t cut = 0; cut <= strlen(decoded[i].wire); cut++)
			check_decode(&decoded[i], cut);
}

static void encode(const char *text, size_t len, size_t cut, struct buf *wire)
{
	struct dot_encoder e;

	dot_encode_init(&e);
	for (size_t i = 0; i < len;) {
		size_t part = cut == 0 ? 1 : i < cut && cut < len ? cut - i : len - i;
		char *copy = mem_dup(text + i, part);
		struct span in = span_of(copy, part);

		i += part;
		assert_true(dot_encode_append(&e, &in, wire));
		assert_int_equal(in.len, 0);
		mem_free(copy);
	}
	buf_append_span(wire, dot_encode_end(&e));
}

static void data_is_encoded_as_the_table_says_on_any_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(encoded) / sizeof(encoded[0]); i++) {
		for (size_t cut = 0; cut <= strlen(encoded[i].text); cut++) {
			struct buf wire;

			buf_init(&wire, 1000);
			encode(encoded[i].text, strlen(encoded[i].text), cut, &wire);
			if (strcmp(buf_cstr(&wire), encoded[i].wire) != 0)
				fail_msg("'%s' cut at %zu: '%s'", encoded[i].text, cut, buf_cstr(&wire));
			buf_fini(&wire);
		}
	}
}

static void a_nul_is_found_and_kept(void **state)
{
	struct buf text, rest;
	unsigned found;

	(void)state;
	buf_init(&text, 100);
	buf_init(&rest, 100);
	assert_int_equal(decode("a\0b\r\n.\r\n", 8, 8, &text, &rest, &found), DOT_DONE);
	assert_true(span_equals(buf_span(&text), SPAN("a\0b\r\n")));
	assert_int_equal(found, DOT_NUL);
	buf_fini(&text);
	buf_fini(&rest);
}

static void odd_bytes_are_found_wherever_they_stand(void **state)
{
	(void)state;
	for (size_t at = 0; at < 40; at++) {
		for (int nul = 0; nul < 2; nul++) {
			char wire[45];
			struct buf text, rest;
			unsigned found;

			memset(wire, 'x', 40);
			memcpy(wire + 40, "\r\n.\r\n", 5);
			wire[at] = nul ? '\0' : '\x80';
			buf_init(&text, 100);
			buf_init(&rest, 100);
			decode(wire, sizeof(wire), sizeof(wire), &text, &rest, &found);
			assert_int_equal(found, nul ? DOT_NUL : DOT_8BIT);
			buf_fini(&text);
			buf_fini(&rest);
		}
	}
}

/* Line ends and dots thick on the ground. */
static size_t random_text(unsigned *seed, char *out, size_t max)
{
	static const char bytes[] = "\r\n.\r\n.a\r\n";
	size_t len = (size_t)rand_r(seed) % max;

	for (size_t i = 0; i < len; i++)
		out[i] = bytes[(size_t)rand_r(seed) % (sizeof(bytes) - 1)];
	return len;
}

static void what_was_encoded_decodes_to_itself_with_whole_lines(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed < 3000; seed++) {
		char text[64];
		unsigned r = seed, found;
		size_t len = random_text(&r, text, sizeof(text));
		struct buf wire, once, rest, again;

		buf_init(&wire, 1000);
		buf_init(&once, 1000);
		buf_init(&rest, 1000);
		buf_init(&again, 1000);
		encode(text, len, (size_t)rand_r(&r) % 64, &wire);
		assert_int_equal(decode(wire.data, wire.len, (size_t)rand_r(&r) % 64, &once, &rest, &found), DOT_DONE);
		assert_int_equal(rest.len, 0);
		assert_int_equal(found, 0); /* nothing bare ever leaves */
		encode(once.data, once.len, 0, &again);
		assert_true(span_equals(buf_span(&wire), buf_span(&again)));
		buf_fini(&wire);
		buf_fini(&once);
		buf_fini(&rest);
		buf_fini(&again);
	}
}

static void text_without_dots_is_handed_out_in_one_piece(void **state)
{
	char wire[] = "Subject: x\r\n\r\nline\r\nline with a . in it\r\n\r\nlast\r\n.\r\n";
	struct dot_decoder d;
	struct span in = span_str(wire), out;

	(void)state;
	dot_decode_init(&d);
	assert_int_equal(dot_decode(&d, &in, &out), DOT_MORE);
	assert_ptr_equal(out.data, wire);
	assert_int_equal(out.len, strlen(wire) - 3);
}

static void a_full_buffer_stops_the_encoder_between_two_pieces(void **state)
{
	struct span in = SPAN("aaaa\r\n.b\r\n.c");
	struct dot_encoder e;
	struct buf wire;

	(void)state;
	buf_init(&wire, 8);
	dot_encode_init(&e);
	assert_false(dot_encode_append(&e, &in, &wire));
	assert_string_equal(buf_cstr(&wire), "aaaa\r\n.");
	buf_clear(&wire);
	assert_true(dot_encode_append(&e, &in, &wire));
	assert_string_equal(buf_cstr(&wire), ".b\r\n..c");
	buf_fini(&wire);
}

/* As the server reads the text of chunks: only line ends mean anything. */
static void text_without_an_end_is_read_as_the_table_says_on_any_cut(void **state)
{
	static const struct row rows[] = {
		{ "", "", NULL, 0 },
		{ "a", "a\r\n", NULL, 0 },
		{ "a\r\n", "a\r\n", NULL, 0 },
		{ ".\r\n", ".\r\n", NULL, 0 },
		{ "..", "..\r\n", NULL, 0 },
		{ "a\r\n.\r\nb\r\n..\r\n", "a\r\n.\r\nb\r\n..\r\n", NULL, 0 },
		{ "a\r", "a\r\n", NULL, DOT_BARE_NEWLINE },
		{ "a\n", "a\r\n", NULL, DOT_BARE_NEWLINE },
		{ "\r\r\n\n\r", "\r\n\r\n\r\n\r\n", NULL, DOT_BARE_NEWLINE },
		{ "\n\r\nb", "\r\n\r\nb\r\n", NULL, DOT_BARE_NEWLINE },
		{ "a\n.\n", "a\r\n.\r\n", NULL, DOT_BARE_NEWLINE },
		{ "a\r.\rb", "a\r\n.\r\nb\r\n", NULL, DOT_BARE_NEWLINE },
		{ "\xc3\xbc\r\n", "\xc3\xbc\r\n", NULL, DOT_8BIT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].wire);

		for (size_t cut = 0; cut <= len; cut++) {
			struct dot_decoder d;
			struct buf text;

			buf_init(&text, 1000);
			dot_decode_init(&d);
			for (size_t at = 0; at < len;) {
				size_t part = cut == 0 ? 1 : at < cut && cut < len ? cut - at : len - at;
				char *copy = mem_dup(rows[i].wire + at, part);
				struct span in = span_of(copy, part), out;

				at += part;
				while (in.len) {
					dot_text(&d, &in, &out);
					buf_append_span(&text, out);
				}
				mem_free(copy);
			}
			buf_append_span(&text, dot_text_end(&d));
			assert_int_equal(dot_text_end(&d).len, 0);
			if (strcmp(buf_cstr(&text), rows[i].text) != 0 || d.found != rows[i].found)
				fail_msg("'%s' cut at %zu: '%s', found %u", rows[i].wire, cut, buf_cstr(&text),
					 d.found);
			buf_fini(&text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(data_is_decoded_as_the_table_says_on_any_cut),
		cmocka_unit_test(data_is_encoded_as_the_table_says_on_any_cut),
		cmocka_unit_test(a_nul_is_found_and_kept),
		cmocka_unit_test(odd_bytes_are_found_wherever_they_stand),
		cmocka_unit_test(what_was_encoded_decodes_to_itself_with_whole_lines),
		cmocka_unit_test(text_without_dots_is_handed_out_in_one_piece),
		cmocka_unit_test(text_without_an_end_is_read_as_the_table_says_on_any_cut),
		cmocka_unit_test(a_full_buffer_stops_the_encoder_between_two_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
