/* What a hostile peer may try with messages and commands: ends of data that are none, commands inside of them, floods.
 * Each is cut everywhere: what is done must not depend on it. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "smtp/server.h"

static const struct server_config full = { .hostname = "mx.example.org", .features = SERVER_FULL, .max_errors = ~0u };

/* A session that is over: all that was said, and each message that was stored, with its recipients, in brackets. */
struct story {
	struct buf said;
	struct buf stored;
	struct buf body;
};

static void story_init(struct story *story)
{
	buf_init(&story->said, 1 << 24);
	buf_init(&story->stored, 1 << 24);
	buf_init(&story->body, 1 << 24);
}

static void story_fini(struct story *story)
{
	buf_fini(&story->said);
	buf_fini(&story->stored);
	buf_fini(&story->body);
}

static void note(struct story *story, struct server *s, const struct server_action *action)
{
	switch (action->kind) {
	case SERVER_SEND: buf_append_span(&story->said, action->bytes); break;
	case SERVER_BODY: buf_append_span(&story->body, action->bytes); break;
	case SERVER_ABORT: buf_clear(&story->body); break;
	case SERVER_STORE:
		buf_append_char(&story->stored, '[');
		for (const struct server_rcpt *rcpt = server_envelope(s)->rcpts; rcpt; rcpt = rcpt->next)
			buf_printf(&story->stored, "%s ", rcpt->address);
		buf_append_span(&story->stored, buf_span(&story->body));
		buf_append_char(&story->stored, ']');
		buf_clear(&story->body);
		server_accept(s, NULL);
		break;
	case SERVER_ASK_MAIL:
	case SERVER_ASK_RCPT:
	case SERVER_ASK_AUTH:
	case SERVER_START_TLS: fail_msg("nothing of this was set"); break;
	case SERVER_NEED:
	case SERVER_CLOSE: break;
	}
}

/* Each piece lies in a block of its own size. */
static void feed(struct story *story, struct server *s, struct span bytes)
{
	char *copy = mem_dup(bytes.data, bytes.len);
	struct span input = span_of(copy, bytes.len);
	struct server_action action;

	do {
		server_step(s, 0, &input, &action);
		note(story, s, &action);
	} while (action.kind != SERVER_NEED);
	mem_free(copy);
}

/* Cut once, or (0) into single bytes. */
static void play(struct story *story, const struct server_config *config, struct span bytes, size_t cut)
{
	struct server *s = server_new(config, false, 0);

	for (size_t i = 0; i < bytes.len;) {
		size_t part = cut == 0 ? 1 : i < cut && cut < bytes.len ? cut - i : bytes.len - i;

		feed(story, s, span_of(bytes.data + i, part));
		i += part;
	}
	server_peer_closed(s);
	feed(story, s, span_of("", 0));
	server_free(s);
}

/* The same story on every cut. */
static void expect_story(const struct server_config *config, struct span bytes, struct span stored,
			 const char *said_end)
{
	for (size_t cut = 0; cut <= bytes.len; cut++) {
		struct story story;
		struct span said;

		story_init(&story);
		play(&story, config, bytes, cut);
		said = buf_span(&story.said);
		if (!span_equals(buf_span(&story.stored), stored))
			fail_msg("cut at %zu: stored '%s', wanted '%.*s', said %s", cut, buf_cstr(&story.stored),
				 SPAN_ARGS(stored), buf_cstr(&story.said));
		if (said.len < strlen(said_end) ||
		    !span_equals(span_from(said, said.len - strlen(said_end)), span_str(said_end)))
			fail_msg("cut at %zu: said %s", cut, buf_cstr(&story.said));
		story_fini(&story);
	}
}

/* ---------------------------------------------------------------- ends that are none */

#define OPENED "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
#define EVIL   "MAIL FROM:<evil@b>\r\nRCPT TO:<evil@d>\r\nDATA\r\n"

/* Of what others took for an end of data: as it is sent, and how it is read as text in DATA and in BDAT. */
static const struct end {
	struct span wire, data, bdat;
} ends[] = {
	{ SPAN("\n.\n"), SPAN("\r\n.\r\n"), SPAN("\r\n.\r\n") },
	{ SPAN("\r.\r"), SPAN("\r\n.\r\n"), SPAN("\r\n.\r\n") },
	{ SPAN("\r\n.\n"), SPAN("\r\n\r\n"), SPAN("\r\n.\r\n") },
	{ SPAN("\n.\r\n"), SPAN("\r\n.\r\n"), SPAN("\r\n.\r\n") },
	{ SPAN("\r\n.\r"), SPAN("\r\n\r\n"), SPAN("\r\n.\r\n") },
	{ SPAN("\r.\r\n"), SPAN("\r\n.\r\n"), SPAN("\r\n.\r\n") },
	{ SPAN("\r.\n"), SPAN("\r\n.\r\n"), SPAN("\r\n.\r\n") },
	{ SPAN("\n.\r"), SPAN("\r\n.\r\n"), SPAN("\r\n.\r\n") },
	{ SPAN("\r\n.\r\r\n"), SPAN("\r\n\r\n\r\n"), SPAN("\r\n.\r\n\r\n") },
	{ SPAN("\r\r\n.\r\r\n"), SPAN("\r\n\r\n\r\n\r\n"), SPAN("\r\n\r\n.\r\n\r\n") },
	{ SPAN("\r\n\0.\r\n"), SPAN("\r\n\0.\r\n"), SPAN("\r\n\0.\r\n") },
	{ SPAN("\r\n.\0\r\n"), SPAN("\r\n\0\r\n"), SPAN("\r\n.\0\r\n") },
	{ SPAN("\r\0\n.\r\n"), SPAN("\r\n\0\r\n.\r\n"), SPAN("\r\n\0\r\n.\r\n") },
	{ SPAN("\r\n. \r\n"), SPAN("\r\n \r\n"), SPAN("\r\n. \r\n") },
	{ SPAN("\r\n..\r\n"), SPAN("\r\n.\r\n"), SPAN("\r\n..\r\n") },
};
enum { ENDS = sizeof(ends) / sizeof(ends[0]) };

static void nothing_but_crlf_dot_crlf_ends_data(void **state)
{
	(void)state;
	for (size_t i = 0; i < ENDS; i++) {
		struct buf wire, want;

		buf_init(&wire, 1000);
		buf_init(&want, 1000);
		buf_append_str(&wire, OPENED "DATA\r\nx");
		buf_append_span(&wire, ends[i].wire);
		buf_append_str(&wire, EVIL "\r\n.\r\nQUIT\r\n");
		buf_append_str(&want, "[c@d x");
		buf_append_span(&want, ends[i].data);
		buf_append_str(&want, EVIL "\r\n]");
		expect_story(&full, buf_span(&wire), buf_span(&want),
			     "250 2.0.0 The message is stored\r\n221 2.0.0 Goodbye\r\n");
		buf_fini(&wire);
		buf_fini(&want);
	}
}

/* The message parted into two chunks at each of its bytes, as well. */
static void nothing_ends_a_chunk_but_its_length(void **state)
{
	(void)state;
	for (size_t i = 0; i < ENDS; i++) {
		struct buf message, want;
		struct span all;

		buf_init(&message, 1000);
		buf_init(&want, 1000);
		buf_append_char(&message, 'x');
		buf_append_span(&message, ends[i].wire);
		buf_append_str(&message, EVIL);
		buf_append_str(&want, "[c@d x");
		buf_append_span(&want, ends[i].bdat);
		buf_append_str(&want, EVIL "]");
		all = buf_span(&message);
		for (size_t at = 0; at <= all.len; at++) {
			struct buf wire;

			buf_init(&wire, 1000);
			buf_printf(&wire, OPENED "BDAT %zu\r\n", at);
			buf_append_span(&wire, span_first(all, at));
			buf_printf(&wire, "BDAT %zu LAST\r\n", all.len - at);
			buf_append_span(&wire, span_from(all, at));
			buf_append_str(&wire, "QUIT\r\n");
			expect_story(&full, buf_span(&wire), buf_span(&want),
				     "250 2.0.0 The message is stored\r\n221 2.0.0 Goodbye\r\n");
			buf_fini(&wire);
		}
		buf_fini(&message);
		buf_fini(&want);
	}
}

static void bare_newlines_are_refused_in_data_and_chunks_alike(void **state)
{
	struct server_config config = full;

	(void)state;
	config.newline = SERVER_NEWLINE_REFUSE;
	for (size_t i = 0; i < 10; i++) {
		struct buf wire;

		buf_init(&wire, 1000);
		buf_append_str(&wire, OPENED "DATA\r\nx");
		buf_append_span(&wire, ends[i].wire);
		buf_append_str(&wire, "y\r\n.\r\n");
		expect_story(&config, buf_span(&wire), span_of("", 0),
			     "550 5.5.2 The message has line ends other than CRLF\r\n");
		buf_clear(&wire);
		buf_printf(&wire, OPENED "BDAT %zu LAST\r\nx", ends[i].wire.len + 2);
		buf_append_span(&wire, ends[i].wire);
		buf_append_str(&wire, "y");
		expect_story(&config, buf_span(&wire), span_of("", 0),
			     "550 5.5.2 The message has line ends other than CRLF\r\n");
		buf_fini(&wire);
	}
}

/* A binary message is what was sent, whatever its bytes and however it is parted. */
static void a_binary_message_arrives_byte_by_byte(void **state)
{
	char all[256];
	struct buf want;

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	buf_init(&want, 1000);
	buf_append_str(&want, "[c@d ");
	buf_append(&want, all, sizeof(all));
	buf_append_char(&want, ']');
	for (size_t at = 0; at <= sizeof(all); at += 13) {
		struct buf wire;

		buf_init(&wire, 1000);
		buf_append_str(&wire, "EHLO a\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nRCPT TO:<c@d>\r\n");
		buf_printf(&wire, "BDAT %zu\r\n", at);
		buf_append(&wire, all, at);
		buf_printf(&wire, "BDAT %zu LAST\r\n", sizeof(all) - at);
		buf_append(&wire, all + at, sizeof(all) - at);
		expect_story(&full, buf_span(&wire), buf_span(&want), "250 2.0.0 The message is stored\r\n");
		buf_fini(&wire);
	}
	buf_fini(&want);
}

/* ---------------------------------------------------------------- commands in chunks */

#define TEN     "xxxxxxxxxx"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

/* Refused for every reason there is; the octets hold what would end the session or open a message. */
static void no_octet_of_a_refused_chunk_is_a_command(void **state)
{
	static const struct {
		const char *before, *stored, *said_end;
	} rows[] = {
		{ "", "", "503 5.5.1 Say EHLO first\r\n250 2.0.0 Ok\r\n" },
		{ "HELO a\r\n", "", "502 5.5.1 BDAT is not available\r\n250 2.0.0 Ok\r\n" },
		{ "EHLO a\r\n", "", "503 5.5.1 Say MAIL FROM:<address> first\r\n250 2.0.0 Ok\r\n" },
		{ "EHLO a\r\nMAIL FROM:<a@b>\r\n", "", "503 5.5.1 Say RCPT TO:<address> first\r\n250 2.0.0 Ok\r\n" },
		{ OPENED "BDAT 101\r\nx" HUNDRED, "",
		  "552 5.3.4 The message is larger than this server takes\r\n250 2.0.0 Ok\r\n" },
		{ OPENED "BDAT 0 LAST\r\n", "[c@d ]", "503 5.5.1 Say MAIL FROM:<address> first\r\n250 2.0.0 Ok\r\n" },
	};
	static const char chunk[] = "QUIT\r\nRSET\r\n" EVIL ".\r\nBDAT 3 LAST\r\n";
	struct server_config config = full;

	(void)state;
	config.max_size_bytes = 100;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf wire;

		buf_init(&wire, 2000);
		buf_printf(&wire, "%sBDAT %zu\r\n%sNOOP\r\n", rows[i].before, strlen(chunk), chunk);
		expect_story(&config, buf_span(&wire), span_str(rows[i].stored), rows[i].said_end);
		buf_fini(&wire);
	}
}

/* ---------------------------------------------------------------- floods */

static size_t allocated(void)
{
	return mallinfo2().uordblks;
}

static void a_hundred_thousand_recipients_take_bounded_memory(void **state)
{
	struct server *s = server_new(&full, false, 0);
	struct span input = SPAN("EHLO a\r\nMAIL FROM:<a@b>\r\n");
	struct server_action action;
	size_t before = allocated(), accepted = 0, refused = 0;
	char line[900];

	(void)state;
	while (server_step(s, 0, &input, &action) != SERVER_NEED)
		;
	for (int i = 0; i < 100000; i++) {
		snprintf(line, sizeof(line), "RCPT TO:<%0*d@%0*d.example> ORCPT=rfc822;%0*d\r\n", 60, i, 60, i, 490, i);
		input = span_str(line);
		while (server_step(s, 0, &input, &action) != SERVER_NEED) {
			accepted += span_starts_fold(action.bytes, SPAN("250 "));
			refused += span_starts_fold(action.bytes, SPAN("452 4.5.3 "));
		}
	}
	assert_int_equal(accepted, 1000);
	assert_int_equal(refused, 99000);
	assert_int_equal(server_envelope(s)->rcpt_count, 1000);
	assert_true(allocated() - before < 2 * 1024 * 1024);
	server_free(s);
}

static void an_endless_chunk_takes_no_memory(void **state)
{
	static const char *const sessions[] = { OPENED "BDAT 18446744073709551615\r\n",
						"EHLO a\r\nBDAT 18446744073709551615 LAST\r\n" };
	static char block[65536];

	(void)state;
	memset(block, '\n', sizeof(block));
	for (size_t i = 0; i < 2; i++) {
		struct server_config config = full;
		struct span input = span_str(sessions[i]);
		struct server_action action;
		struct server *s;
		size_t before;

		config.max_size_bytes = 1000000;
		s = server_new(&config, false, 0);
		while (server_step(s, 0, &input, &action) != SERVER_NEED)
			;
		before = allocated();
		for (int n = 0; n < 200; n++) {
			input = span_of(block, sizeof(block));
			while (server_step(s, 0, &input, &action) != SERVER_NEED)
				assert_int_equal(action.kind, SERVER_BODY);
			assert_int_equal(input.len, 0);
		}
		assert_int_equal(allocated(), before);
		assert_int_equal(server_message_left(s), UINT64_MAX - 200 * sizeof(block));
		server_free(s);
	}
}

/* ---------------------------------------------------------------- commands cut short */

/* Each command, and each of its beginnings, has one answer: 250 or a refusal, and nothing is read beyond its end. */
static void every_beginning_of_a_command_has_one_answer(void **state)
{
	static const char *const commands[] = {
		"MAIL FROM:<\"a b\"@b> SIZE=1 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+20b MT-PRIORITY=-3 HOLDFOR=10 BY=20;RT",
		"MAIL FROM:<\xc3\xbc@\xc3\xbc.example> SMTPUTF8 HOLDUNTIL=1970-01-01T00:00:00.123+01:00 REQUIRETLS",
		"RCPT TO:<\xe4\xb8\xad@d> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=utf-8;\\x{4E2D}\\x{FC}a@b",
		"RCPT TO:<c@d> NOTIFY=NEVER ORCPT=rfc822;a+2Bb@d",
		"VRFY \xc3\xbc SMTPUTF8",
		"HELP MAIL",
		"EHLO \xc3\xbc.example",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		for (size_t n = 0; n <= strlen(commands[i]); n++) {
			struct server *s = server_new(&full, true, 0);
			struct story story;
			size_t before, lines = 0;
			struct buf line;

			story_init(&story);
			buf_init(&line, 1000);
			server_wall_clock(s, 0, 0);
			feed(&story, s, SPAN("EHLO a\r\n"));
			if (commands[i][0] == 'R')
				feed(&story, s, SPAN("MAIL FROM:<a@b> SMTPUTF8\r\n"));
			before = story.said.len;
			buf_append(&line, commands[i], n);
			buf_append_str(&line, "\r\n");
			feed(&story, s, buf_span(&line));
			for (size_t at = before; at + 4 < story.said.len; at++)
				lines += (at == before || buf_span(&story.said).data[at - 1] == '\n') &&
					 buf_span(&story.said).data[at + 3] == ' ';
			if (lines != 1)
				fail_msg("'%.*s': %zu replies", (int)n, commands[i], lines);
			buf_fini(&line);
			story_fini(&story);
			server_free(s);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_but_crlf_dot_crlf_ends_data),
		cmocka_unit_test(nothing_ends_a_chunk_but_its_length),
		cmocka_unit_test(bare_newlines_are_refused_in_data_and_chunks_alike),
		cmocka_unit_test(a_binary_message_arrives_byte_by_byte),
		cmocka_unit_test(no_octet_of_a_refused_chunk_is_a_command),
		cmocka_unit_test(a_hundred_thousand_recipients_take_bounded_memory),
		cmocka_unit_test(an_endless_chunk_takes_no_memory),
		cmocka_unit_test(every_beginning_of_a_command_has_one_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
