#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "smtp/command.h"

/* What the reader says to a stream, one verdict a line: "[line]", BARE, LONG, FLOOD. */
struct stream_row {
	const char *bytes;
	const char *said;
};

static const struct stream_row streams[] = {
	{ "NOOP\r\n", "[NOOP]" },
	{ "\r\n", "[]" },
	{ "NOOP\r\nQUIT\r\n", "[NOOP][QUIT]" },
	{ "NOOP\r\nQUI", "[NOOP]" },
	{ "NOOP\r", "" },
	{ "NOOP\n", "BARE" },
	{ "NOOP\nQUIT\r\n", "BARE" },
	{ "NOOP\nQUIT\r\nNOOP\r\n", "BARE[NOOP]" },
	{ "NOOP\n\nQUIT\n\r\nNOOP\r\n", "BARE[NOOP]" },
	{ "NOOP\rQUIT\r\nNOOP\r\n", "BARE[NOOP]" },
	{ "NOOP\r\r\nNOOP\r\n", "BARE[NOOP]" },
	{ "\r\r\r\nNOOP\r\n", "BARE[NOOP]" },
	{ "\n\r\nNOOP\r\n", "BARE[NOOP]" },
	{ "a\rb\nc\r\nd\ne\r\nf\r\n", "BAREBARE[f]" },
};

static void read_all(struct command_reader *r, struct span in, struct buf *said)
{
	for (;;) {
		struct span line;

		switch (command_read(r, &in, &line)) {
		case COMMAND_MORE: assert_int_equal(in.len, 0); return;
		case COMMAND_LINE: buf_printf(said, "[%.*s]", SPAN_ARGS(line)); break;
		case COMMAND_BARE: buf_append_str(said, "BARE"); break;
		case COMMAND_LONG: buf_append_str(said, "LONG"); break;
		case COMMAND_FLOOD: buf_append_str(said, "FLOOD"); return;
		}
	}
}

/* Cut at `cut`, or (0) into single bytes; every piece in a block without a byte to spare. */
static void read_cut(struct span bytes, size_t cut, struct buf *said)
{
	struct command_reader r;

	command_reader_init(&r);
	for (size_t i = 0; i < bytes.len;) {
		size_t part = cut == 0 ? 1 : i < cut && cut < bytes.len ? cut - i : bytes.len - i;
		char *copy = mem_dup(bytes.data + i, part);

		read_all(&r, span_of(copy, part), said);
		mem_free(copy);
		i += part;
	}
	command_reader_fini(&r);
}

static void only_crlf_ends_a_line_on_any_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		for (size_t cut = 0; cut <= strlen(streams[i].bytes); cut++) {
			struct buf said;

			buf_init(&said, 1000);
			read_cut(span_str(streams[i].bytes), cut, &said);
			if (strcmp(buf_cstr(&said), streams[i].said) != 0)
				fail_msg("'%s' cut at %zu: %s", streams[i].bytes, cut, buf_cstr(&said));
			buf_fini(&said);
		}
	}
}

static void expect_long(size_t len, const char *want)
{
	char *bytes = mem_alloc(len + 8);
	static const size_t cuts[] = { 1,
				       2,
				       511,
				       COMMAND_LINE_MAX - 3,
				       COMMAND_LINE_MAX - 2,
				       COMMAND_LINE_MAX - 1,
				       COMMAND_LINE_MAX,
				       COMMAND_LINE_MAX + 1,
				       1u << 30,
				       0 };

	memset(bytes, 'a', len);
	memcpy(bytes + len, "\r\nNOOP\r\n", 8);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		struct buf said;
		const char *text;

		buf_init(&said, 1 << 20);
		read_cut(span_of(bytes, len + 8), cuts[i], &said);
		text = buf_cstr(&said);
		if (strncmp(text, want, strlen(want)) != 0 || strcmp(text + strlen(text) - 6, "[NOOP]") != 0)
			fail_msg("%zu bytes, cut at %zu: %.20s", len, cuts[i], text);
		buf_fini(&said);
	}
	mem_free(bytes);
}

static void a_line_has_a_limit_and_is_skipped_to_its_end(void **state)
{
	(void)state;
	expect_long(COMMAND_LINE_MAX - 2, "[aaa");
	expect_long(COMMAND_LINE_MAX - 1, "LONG[NOOP]");
	expect_long(COMMAND_LINE_MAX + 1, "LONG[NOOP]");
	expect_long(COMMAND_FLOOD_MAX, "LONG[NOOP]");
}

static void a_line_that_does_not_end_is_a_flood(void **state)
{
	struct command_reader r;
	char block[4096];
	size_t total = 0;
	enum command_read said = COMMAND_MORE;

	(void)state;
	memset(block, 'a', sizeof(block));
	command_reader_init(&r);
	while (said != COMMAND_FLOOD && total < 200000) {
		struct span in = span_of(block, sizeof(block)), line;

		while (in.len && said != COMMAND_FLOOD)
			said = command_read(&r, &in, &line);
		total += sizeof(block);
		assert_true(r.held.capacity <= 4 * COMMAND_LINE_MAX);
	}
	assert_int_equal(said, COMMAND_FLOOD);
	assert_true(total <= COMMAND_FLOOD_MAX + 2 * COMMAND_LINE_MAX);
	command_reader_fini(&r);
}

static void a_whole_line_is_not_copied(void **state)
{
	char bytes[] = "NOOP\r\nQUIT\r\n";
	struct span in = span_str(bytes), line;
	struct command_reader r;

	(void)state;
	command_reader_init(&r);
	assert_int_equal(command_read(&r, &in, &line), COMMAND_LINE);
	assert_ptr_equal(line.data, bytes);
	assert_int_equal(command_read(&r, &in, &line), COMMAND_LINE);
	assert_ptr_equal(line.data, bytes + 6);
	assert_null(r.held.data);
	command_reader_fini(&r);
}

static void wiping_does_not_end_the_skipping(void **state)
{
	struct span in = SPAN("a\nQUIT\r\nNOOP\r\n"), line;
	struct command_reader r;

	(void)state;
	command_reader_init(&r);
	assert_int_equal(command_read(&r, &in, &line), COMMAND_BARE);
	command_reader_wipe(&r);
	assert_int_equal(command_read(&r, &in, &line), COMMAND_LINE);
	assert_true(span_equals(line, SPAN("NOOP")));
	command_reader_fini(&r);
}

/* ---------------------------------------------------------------- commands */

static const struct {
	const char *line;
	enum command_verb verb;
	const char *args;
} lines[] = {
	{ "NOOP", COMMAND_NOOP, "" },
	{ "noop ", COMMAND_NOOP, "" },
	{ "NoOp  a  b ", COMMAND_NOOP, "a  b" },
	{ "MAIL FROM:<a@b>", COMMAND_MAIL, "FROM:<a@b>" },
	{ "STARTTLS", COMMAND_STARTTLS, "" },
	{ "STARTTL", COMMAND_UNKNOWN, "" },
	{ "STARTTLSX", COMMAND_UNKNOWN, "" },
	{ "", COMMAND_UNKNOWN, "" },
	{ " NOOP", COMMAND_UNKNOWN, "NOOP" },
	{ "GET / HTTP/1.0", COMMAND_HTTP, "/ HTTP/1.0" },
	{ "get", COMMAND_HTTP, "" },
	{ "Host: example.org", COMMAND_HTTP, "example.org" },
	{ "AUTH PLAIN AAA=", COMMAND_AUTH, "PLAIN AAA=" },
	{ "BDAT 5 LAST", COMMAND_BDAT, "5 LAST" },
	{ "bdat", COMMAND_BDAT, "" },
	{ "BDAT\t5", COMMAND_BDAT, "\t5" },
	{ "BDAT=5", COMMAND_BDAT, "=5" },
	{ "BDAT5", COMMAND_UNKNOWN, "" },
	{ "BDATA", COMMAND_UNKNOWN, "" },
};

static void lines_are_parsed_as_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct command command;

		command_parse(span_str(lines[i].line), &command);
		if (command.verb != lines[i].verb || !span_equals(command.args, span_str(lines[i].args)))
			fail_msg("'%s': %d '%.*s'", lines[i].line, command.verb, SPAN_ARGS(command.args));
		assert_int_equal(command.len, strlen(lines[i].line) + 2);
	}
}

static void a_verb_has_a_limit_of_its_own(void **state)
{
	(void)state;
	assert_int_equal(command_verb_max(COMMAND_NOOP), 512);
	assert_int_equal(command_verb_max(COMMAND_UNKNOWN), 512);
	assert_int_equal(command_verb_max(COMMAND_AUTH), 12288);
}

/* Whatever is wrong with such a line, and however it came. */
static void a_refused_line_tells_whether_a_chunk_was_meant(void **state)
{
	static const struct {
		const char *line;
		bool was_chunk;
	} rows[] = {
		{ "BDAT 5\nQUIT\r\n", true }, { "bdat\r5\r\n", true },    { "BDAT\n", true },
		{ "BDATA 5\n", false },       { "NOOP BDAT 5\n", false }, { "\nBDAT 5\r\n", false },
		{ "BDA\nT 5\n", false },      { "b\n", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t cut = 0; cut < strlen(rows[i].line); cut++) {
			struct span all = span_str(rows[i].line), in = span_first(all, cut), line;
			struct command_reader r;
			enum command_read verdict;

			command_reader_init(&r);
			verdict = command_read(&r, &in, &line);
			in = verdict == COMMAND_MORE ? span_from(all, cut) : in;
			verdict = verdict == COMMAND_MORE ? command_read(&r, &in, &line) : verdict;
			if (verdict != COMMAND_BARE || r.was_chunk != rows[i].was_chunk)
				fail_msg("'%s' cut at %zu", rows[i].line, cut);
			command_reader_fini(&r);
		}
	}
}

static const struct {
	const char *args;
	enum command_path_verdict verdict;
	const char *params; /* "KEY=VALUE KEY " */
} path_rows[] = {
	{ "FROM:<a@b>", COMMAND_PATH_OK, "" },
	{ "from: <a@b>", COMMAND_PATH_OK, "" },
	{ "FROM:<a@b> SIZE=1", COMMAND_PATH_OK, "SIZE=1 " },
	{ "FROM:<a@b>  SIZE=1  X-y  body=8BITMIME", COMMAND_PATH_OK, "SIZE=1 X-y body=8BITMIME " },
	{ "FROM:<\"a b\"@c> 1=<>", COMMAND_PATH_OK, "1=<> " },
	{ "FROM<a@b>", COMMAND_PATH_WORD, NULL },
	{ "FROM", COMMAND_PATH_WORD, NULL },
	{ "", COMMAND_PATH_WORD, NULL },
	{ "FROM :<a@b>", COMMAND_PATH_WORD, NULL },
	{ "TO:<a@b>", COMMAND_PATH_WORD, NULL },
	{ "FROM:", COMMAND_PATH_ADDRESS, NULL },
	{ "FROM:a@b", COMMAND_PATH_ADDRESS, NULL },
	{ "FROM:<a@b", COMMAND_PATH_ADDRESS, NULL },
	{ "FROM:<a@b>SIZE=1", COMMAND_PATH_PARAM, NULL },
	{ "FROM:<a@b>\tSIZE=1", COMMAND_PATH_PARAM, NULL },
	{ "FROM:<a@b> SIZE=", COMMAND_PATH_PARAM, NULL },
	{ "FROM:<a@b> =1", COMMAND_PATH_PARAM, NULL },
	{ "FROM:<a@b> -A=1", COMMAND_PATH_PARAM, NULL },
	{ "FROM:<a@b> A_B=1", COMMAND_PATH_PARAM, NULL },
	{ "FROM:<a@b> A=1=2", COMMAND_PATH_PARAM, NULL },
	{ "FROM:<a@b> A=\x01", COMMAND_PATH_PARAM, NULL },
	{ "FROM:<a@b> A=\x7f", COMMAND_PATH_PARAM, NULL },
	{ "FROM:<a@b> A=\xc3\xbc", COMMAND_PATH_PARAM, NULL },
	{ "FROM:<a@b> 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", COMMAND_PATH_OK,
	  "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 " },
	{ "FROM:<a@b> 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", COMMAND_PATH_MANY, NULL },
};

static void paths_and_parameters_are_parsed_as_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(path_rows) / sizeof(path_rows[0]); i++) {
		struct span args = span_str(path_rows[i].args);
		char *copy = mem_dup(args.data, args.len);
		struct command_path path = { .param_count = 0 };
		struct buf params;
		enum address_err err;
		enum command_path_verdict verdict =
			command_path(span_of(copy, args.len), SPAN("FROM:"), ADDRESS_NULL, &path, &err);

		buf_init(&params, 1000);
		for (size_t n = 0; verdict == COMMAND_PATH_OK && n < path.param_count; n++) {
			buf_append_span(&params, path.params[n].key);
			if (path.params[n].has_value)
				buf_printf(&params, "=%.*s", SPAN_ARGS(path.params[n].value));
			buf_append_char(&params, ' ');
		}
		if (verdict != path_rows[i].verdict ||
		    strcmp(buf_cstr(&params), path_rows[i].params ? path_rows[i].params : "") != 0)
			fail_msg("'%s': %d '%s'", path_rows[i].args, verdict, buf_cstr(&params));
		buf_fini(&params);
		mem_free(copy);
	}
}

static void arguments_may_end_at_every_byte(void **state)
{
	static const char args[] = "FROM:<@a.b:\"c \\d\"@[IPv6:::1]> SIZE=12 BODY=8BITMIME";

	(void)state;
	for (size_t n = 0; n < sizeof(args); n++) {
		char *copy = mem_dup(args, n);
		struct command_path path;
		struct command command;
		enum address_err err;

		command_path(span_of(copy, n), SPAN("FROM:"), 0, &path, &err);
		command_parse(span_of(copy, n), &command);
		mem_free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_crlf_ends_a_line_on_any_cut),
		cmocka_unit_test(a_line_has_a_limit_and_is_skipped_to_its_end),
		cmocka_unit_test(a_line_that_does_not_end_is_a_flood),
		cmocka_unit_test(a_whole_line_is_not_copied),
		cmocka_unit_test(wiping_does_not_end_the_skipping),
		cmocka_unit_test(lines_are_parsed_as_the_table_says),
		cmocka_unit_test(a_verb_has_a_limit_of_its_own),
		cmocka_unit_test(a_refused_line_tells_whether_a_chunk_was_meant),
		cmocka_unit_test(paths_and_parameters_are_parsed_as_the_table_says),
		cmocka_unit_test(arguments_may_end_at_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
