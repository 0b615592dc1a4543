#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "smtp/dropfile.h"

#define HEAD "SENDOFF-DROP 1\r\nMAIL FROM:<me>\r\nRCPT TO:<a@b>\r\n"

static const struct {
	const char *name, *text, *parts, *error; /* parts: M, R, B as they are found; X at the end: bad */
} rows[] = {
	{ "one recipient", HEAD "BDAT 4 LAST\r\nhi\r\n", "MRB", NULL },
	{ "two recipients", HEAD "RCPT TO:<c@d> NOTIFY=NEVER\r\nBDAT 4 LAST\r\nhi\r\n", "MRRB", NULL },
	{ "an empty message", HEAD "BDAT 0 LAST\r\n", "MRB", NULL },
	{ "nothing at all", "", "X", "no message" },
	{ "half a magic", "SENDOFF-DR", "X", "no message" },
	{ "something else", "From me Tue\r\nTo: x\r\n\r\n", "X", "no message" },
	{ "another version", "SENDOFF-DROP 2\r\nMAIL FROM:<me>\r\n", "X", "another version" },
	{ "the magic only", "SENDOFF-DROP 1\r\n", "X", "not whole" },
	{ "the end in a command", HEAD "BDAT 4 LA", "MRX", "not whole" },
	{ "the end behind the commands", HEAD, "MRX", "not whole" },
	{ "the end in the message", HEAD "BDAT 4 LAST\r\nhi\r", "MRX", "message is not whole" },
	{ "more than the message", HEAD "BDAT 4 LAST\r\nhi\r\n!", "MRX", "behind the message" },
	{ "no recipient", "SENDOFF-DROP 1\r\nMAIL FROM:<me>\r\nBDAT 0 LAST\r\n", "MX", "no place" },
	{ "no sender", "SENDOFF-DROP 1\r\nRCPT TO:<a@b>\r\nBDAT 0 LAST\r\n", "X", "no place" },
	{ "two senders", HEAD "MAIL FROM:<me>\r\nBDAT 0 LAST\r\n", "MRX", "no place" },
	{ "another verb", HEAD "AUTH PLAIN xx\r\nBDAT 0 LAST\r\n", "MRX", "no place" },
	{ "a verb in front", "SENDOFF-DROP 1\r\nXCLIENT NAME=x\r\n", "X", "no place" },
	{ "a chunk that is not the last", HEAD "BDAT 0\r\n", "MRX", "cannot be read" },
	{ "a size that overflows", HEAD "BDAT 99999999999999999999999 LAST\r\nhi\r\n", "MRX", "cannot be read" },
	{ "a negative size", HEAD "BDAT -1 LAST\r\n", "MRX", "cannot be read" },
	{ "no size", HEAD "BDAT  LAST\r\n", "MRX", "cannot be read" },
	{ "a bare LF", "SENDOFF-DROP 1\r\nMAIL FROM:<me>\n", "X", "proper end" },
	{ "an empty line", HEAD "\r\nBDAT 0 LAST\r\n", "MRX", "no place" },
};

/* The file seen through a window of `window` bytes. */
static void read_in_pieces(const char *text, size_t len, size_t window, char *out_parts, struct dropfile *f)
{
	size_t n = 0;

	dropfile_init(f, len);
	for (;;) {
		struct span input = span_of(text + f->at, len - f->at < window ? len - f->at : window), line;
		enum dropfile_part part = dropfile_next(f, &input, &line);

		if (part == DROPFILE_MORE) {
			window++;
			continue;
		}
		out_parts[n++] = "?MRBX"[part];
		if (part == DROPFILE_BODY || part == DROPFILE_BAD)
			break;
		assert_true(n < 30 && line.len >= 2 && line.data[line.len - 1] == '\n');
	}
	out_parts[n] = '\0';
}

static void a_file_is_read_the_same_in_any_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t window = 1; window < 200; window += window < 70 ? 1 : 40) {
			struct dropfile f;
			char parts[32];

			read_in_pieces(rows[i].text, strlen(rows[i].text), window, parts, &f);
			if (strcmp(parts, rows[i].parts) != 0)
				fail_msg("%s (%zu): %s instead of %s", rows[i].name, window, parts, rows[i].parts);
			if (rows[i].error && !strstr(f.error, rows[i].error))
				fail_msg("%s: %s", rows[i].name, f.error);
		}
	}
}

static void no_file_cut_short_is_taken_for_whole(void **state)
{
	const char *text = HEAD "RCPT TO:<c@d>\r\nBDAT 6 LAST\r\nhi\r\n\r\n";

	(void)state;
	for (size_t len = 0; len < strlen(text); len++) {
		struct dropfile f;
		char parts[32];

		read_in_pieces(text, len, 64, parts, &f);
		assert_int_equal(parts[strlen(parts) - 1], 'X');
	}
}

static void a_line_or_a_list_without_end_is_refused(void **state)
{
	static char text[DROPFILE_LINE_MAX * 2];
	struct span input = span_of(text, sizeof(text)), line;
	struct dropfile f;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, DROPFILE_MAGIC "MAIL FROM:<", strlen(DROPFILE_MAGIC) + 11);
	dropfile_init(&f, UINT64_MAX / 2);
	assert_int_equal(dropfile_next(&f, &input, &line), DROPFILE_BAD);
	assert_non_null(strstr(f.error, "too long"));

	dropfile_init(&f, UINT64_MAX / 2);
	input = SPAN(HEAD);
	assert_int_equal(dropfile_next(&f, &input, &line), DROPFILE_MAIL);
	for (;;) {
		enum dropfile_part part;

		input = SPAN("RCPT TO:<a@b>\r\n");
		part = dropfile_next(&f, &input, &line);
		if (part == DROPFILE_BAD)
			break;
		assert_int_equal(part, DROPFILE_RCPT);
		assert_true(f.at <= DROPFILE_HEAD_MAX);
	}
	assert_non_null(strstr(f.error, "too long"));
}

static void what_is_written_can_be_read(void **state)
{
	struct dropfile f;
	struct buf text;
	char parts[32];

	(void)state;
	buf_init(&text, 1000);
	buf_append_str(&text, HEAD);
	assert_true(dropfile_body_line(&text, 5));
	buf_append_str(&text, "abc\r\n");
	read_in_pieces(buf_cstr(&text), text.len, 50, parts, &f);
	assert_string_equal(parts, "MRB");
	assert_int_equal(f.body_bytes, 5);
	assert_int_equal(f.at + f.body_bytes, text.len);
	assert_int_equal(f.rcpts, 1);
	buf_fini(&text);
}

static void only_names_of_finished_files_are_names(void **state)
{
	(void)state;
	assert_true(dropfile_is_name("0123456789abcdef0123456789abcdef"));
	assert_false(dropfile_is_name("0123456789abcdef0123456789abcde"));
	assert_false(dropfile_is_name("0123456789abcdef0123456789abcdef0"));
	assert_false(dropfile_is_name("0123456789ABCDEF0123456789abcdef"));
	assert_false(dropfile_is_name("../3456789abcdef0123456789abcdef"));
	assert_false(dropfile_is_name(DROPFILE_UNFINISHED "0123456789abcdef0123456789a"));
	assert_false(dropfile_is_name(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_read_the_same_in_any_pieces),
		cmocka_unit_test(no_file_cut_short_is_taken_for_whole),
		cmocka_unit_test(a_line_or_a_list_without_end_is_refused),
		cmocka_unit_test(what_is_written_can_be_read),
		cmocka_unit_test(only_names_of_finished_files_are_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
