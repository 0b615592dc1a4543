/* What scripts show badly: sizes, pieces, secrets in memory, and the engine's own edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "smtp/client.h"
#include "smtp/sasl.h"

enum { SEND_MAX = 96 * 1024 };

static const struct client_rcpt one[] = { { .address = "b@example.net" } };
static const struct client_message small = { .sender = "a@example.com", .rcpts = one, .rcpt_count = 1 };

static void say(struct client *c, const char *text)
{
	client_feed(c, span_str(text), 0);
}

static enum client_action_kind step(struct client *c, struct client_action *out)
{
	client_step(c, 0, out);
	return out->kind;
}

static void expect_send(struct client *c, const char *text)
{
	struct client_action a;

	assert_int_equal(step(c, &a), CLIENT_SEND);
	if (!span_equals(a.data, span_str(text)))
		fail_msg("sent '%.*s' instead of '%s'", SPAN_ARGS(a.data), text);
}

static void expect(struct client *c, enum client_action_kind kind)
{
	struct client_action a;

	assert_int_equal(step(c, &a), kind);
}

/* A session that is ready for its first message. */
static struct client *open_session(const char *offers)
{
	struct client_config config = { .ehlo_name = "client.example", .pipelining = true, .pipeline_next = true };
	struct client *c = client_new(&config, 0);

	expect(c, CLIENT_WAIT);
	say(c, "220 hello\r\n");
	expect_send(c, "EHLO client.example\r\n");
	expect(c, CLIENT_WAIT);
	say(c, "250-mx\r\n250-");
	say(c, offers);
	say(c, "\r\n250 HELP\r\n");
	expect(c, CLIENT_READY);
	expect(c, CLIENT_WAIT);
	return c;
}

static struct client *open_body(void)
{
	struct client *c = open_session("PIPELINING");

	client_message(c, &small, 0);
	expect_send(c, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
	expect(c, CLIENT_WAIT);
	say(c, "250 ok\r\n250 ok\r\n354 go\r\n");
	expect(c, CLIENT_READY);
	expect(c, CLIENT_WANT_BODY);
	expect(c, CLIENT_WAIT);
	return c;
}

static void a_small_message_leaves_in_one_write(void **state)
{
	struct client *c = open_body();

	(void)state;
	for (int i = 0; i < 3; i++) {
		client_body(c, SPAN("line\r\n"), 0);
		expect(c, CLIENT_WANT_BODY);
		expect(c, CLIENT_WAIT);
	}
	client_body_end(c, 0);
	expect_send(c, "line\r\nline\r\nline\r\n.\r\n");
	expect(c, CLIENT_WAIT);
	client_free(c);
}

static void a_large_body_leaves_in_bounded_pieces(void **state)
{
	struct client *c = open_body();
	char *piece = mem_alloc(CLIENT_BODY_MAX);
	uint64_t sent = 0;

	(void)state;
	memset(piece, '\n', CLIENT_BODY_MAX); /* doubles */
	for (int i = 0; i < 8; i++) {
		struct client_action a;

		client_body(c, span_of(piece, CLIENT_BODY_MAX), 0);
		while (step(c, &a) == CLIENT_SEND) {
			assert_true(a.data.len <= SEND_MAX);
			sent += a.data.len;
		}
		assert_int_equal(a.kind, CLIENT_WANT_BODY);
		expect(c, CLIENT_WAIT);
	}
	assert_int_equal(sent, 8 * 2 * (uint64_t)CLIENT_BODY_MAX);
	client_body_end(c, 0);
	expect_send(c, ".\r\n");
	mem_free(piece);
	client_free(c);
}

static void a_reply_before_the_last_piece_is_early(void **state)
{
	struct client *c = open_body();
	char *piece = mem_alloc(CLIENT_BODY_MAX);
	struct client_action a;

	(void)state;
	memset(piece, 'x', CLIENT_BODY_MAX);
	client_body(c, span_of(piece, CLIENT_BODY_MAX), 0);
	client_body_end(c, 0);
	expect(c, CLIENT_SEND); /* the first of five, the dot is in the last */
	say(c, "250 ok\r\n");
	assert_int_equal(step(c, &a), CLIENT_RCPT_RESULT);
	assert_int_equal(a.result.outcome, CLIENT_TEMPORARY);
	assert_int_equal(a.result.phase, CLIENT_AT_BODY);
	expect(c, CLIENT_MESSAGE_DONE);
	expect(c, CLIENT_FAILED);
	expect(c, CLIENT_CLOSE);
	expect(c, CLIENT_WAIT);
	mem_free(piece);
	client_free(c);
}

static void a_large_envelope_leaves_in_bounded_pieces(void **state)
{
	enum { COUNT = 4000 };
	struct client *c = open_session("PIPELINING");
	struct client_rcpt *rcpts = mem_calloc(COUNT, sizeof(*rcpts));
	struct client_message message = { .sender = "a@example.com", .rcpts = rcpts, .rcpt_count = COUNT };
	char address[255];
	struct client_action a;
	size_t sends = 0, results = 0;

	(void)state;
	memset(address, 'x', sizeof(address));
	memcpy(address + sizeof(address) - 13, "@example.net", 13);
	for (size_t i = 0; i < COUNT; i++)
		rcpts[i].address = address;
	client_message(c, &message, 0);
	while (step(c, &a) == CLIENT_SEND) {
		assert_true(a.data.len <= SEND_MAX);
		sends++;
	}
	assert_int_equal(sends, (25 + 2 + COUNT * (254 + 12) + 6 + SEND_MAX - 1) / SEND_MAX);
	say(c, "250 ok\r\n");
	for (size_t i = 0; i < COUNT; i++)
		say(c,
		    "550 5.1.1 unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown, unknown\r\n");
	say(c, "554 none\r\n");
	while (step(c, &a) == CLIENT_RCPT_RESULT) {
		assert_int_equal(a.result.outcome, CLIENT_PERMANENT);
		assert_int_equal(a.result.rcpt, results++);
		assert_int_equal(a.result.reply.code,
				 550); /* when the words do not fit any more, the code still does */
	}
	assert_int_equal(results, COUNT);
	assert_int_equal(a.kind, CLIENT_MESSAGE_DONE);
	mem_free(rcpts);
	client_free(c);
}

static void recipients_beyond_the_most_are_left_for_the_next_transaction(void **state)
{
	enum { COUNT = 4010 };
	struct client *c = open_session("PIPELINING");
	struct client_rcpt *rcpts = mem_calloc(COUNT, sizeof(*rcpts));
	struct client_message message = { .sender = "a@example.com", .rcpts = rcpts, .rcpt_count = COUNT };
	struct client_action a;
	size_t untried = 0;

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		rcpts[i].address = "b@example.net";
	client_message(c, &message, 0);
	while (step(c, &a) == CLIENT_SEND)
		continue;
	for (size_t i = 0; i < 4001; i++)
		say(c, "250 ok\r\n");
	say(c, "354 go\r\n");
	for (; step(c, &a) == CLIENT_RCPT_RESULT; untried++) {
		assert_int_equal(a.result.outcome, CLIENT_UNTRIED);
		assert_int_equal(a.result.rcpt, 4000 + untried);
	}
	assert_int_equal(untried, 10);
	assert_int_equal(a.kind, CLIENT_READY);
	expect(c, CLIENT_WANT_BODY);
	client_free(c);
	mem_free(rcpts);
}

static void a_secret_does_not_stay_in_the_output(void **state)
{
	struct client_config config = {
		.ehlo_name = "client.example",
		.tls = CLIENT_TLS_IMPLICIT,
		.auth = SASL_ALL,
		.user = "user",
		.secret = SPAN("secret"),
	};
	struct client *c = client_new(&config, 0);
	struct client_action a;
	size_t len;

	(void)state;
	expect(c, CLIENT_START_TLS);
	client_tls_started(c, true, 0);
	say(c, "220 hello\r\n");
	expect(c, CLIENT_SEND);
	say(c, "250-mx\r\n250 AUTH PLAIN\r\n");
	assert_int_equal(step(c, &a), CLIENT_SEND);
	assert_true(span_equals(a.data, SPAN("AUTH PLAIN AHVzZXIAc2VjcmV0\r\n")));
	len = a.data.len;
	{
		const char *was = a.data.data; /* the engine keeps this block and only empties it */

		expect(c, CLIENT_WAIT);
		for (size_t i = 0; i < len; i++)
			assert_int_equal(was[i], 0);
	}
	client_free(c);
}

static void what_is_learnt_of_the_server_is_told(void **state)
{
	struct client *c = open_session("SIZE 1000");
	const struct client_peer *peer = client_peer(c);

	(void)state;
	assert_true(span_equals(peer->greeting, SPAN("hello")));
	assert_true(span_equals(peer->hello, SPAN("mx")));
	assert_true(peer->esmtp);
	assert_int_equal(peer->size_max_bytes, 1000);
	assert_false(peer->tls);
	assert_null(peer->auth_used);
	client_free(c);
}

static void a_body_after_the_end_of_the_session_is_ignored(void **state)
{
	struct client *c = open_body();
	struct client_action a;

	(void)state;
	client_eof(c, SPAN(""), 0);
	client_body(c, SPAN("late"), 0);
	client_body_end(c, 0);
	client_body_abort(c, 0);
	client_quit(c, 0);
	say(c, "250 ok\r\n");
	client_eof(c, SPAN(""), 0);
	client_tls_started(c, true, 0);
	client_tls_failed(c, SPAN("x"), 0);
	assert_false(client_is_ready(c));
	assert_int_equal(step(c, &a), CLIENT_RCPT_RESULT);
	assert_int_equal(a.result.outcome, CLIENT_TEMPORARY);
	expect(c, CLIENT_MESSAGE_DONE);
	expect(c, CLIENT_FAILED);
	expect(c, CLIENT_CLOSE);
	expect(c, CLIENT_WAIT);
	client_free(c);
}

static void a_driver_with_stuck_output_is_woken_for_the_end(void **state)
{
	struct client *c = open_body();
	struct client_action a;

	(void)state;
	client_feed(c, SPAN("what?\r\n"), 7);
	while (step(c, &a) != CLIENT_CLOSE)
		assert_int_equal(client_deadline(c), 7);
	assert_int_equal(client_deadline(c), INT64_MAX);
	client_free(c);
}

static void a_session_is_freed_in_any_state(void **state)
{
	(void)state;
	client_free(NULL);
	client_free(open_session("PIPELINING"));
	client_free(open_body());
}

static void a_deadline_is_kept_per_reply_and_not_moved_by_bytes(void **state)
{
	struct client_config config = { .ehlo_name = "x", .greeting_ms = 1000, .command_ms = 500 };
	struct client *c = client_new(&config, 100);
	struct client_action a;

	(void)state;
	assert_int_equal(client_deadline(c), 1100);
	client_feed(c, SPAN("220-a\r\n220"), 900);
	client_step(c, 900, &a);
	assert_int_equal(client_deadline(c), 1100);
	client_feed(c, SPAN(" b\r\n"), 1000);
	client_step(c, 1000, &a);
	assert_int_equal(a.kind, CLIENT_SEND);
	assert_int_equal(client_deadline(c), 1500);
	client_feed(c, SPAN("250 x\r\n"), 1499);
	client_step(c, 1499, &a);
	assert_int_equal(a.kind, CLIENT_READY);
	assert_int_equal(client_deadline(c), INT64_MAX);
	client_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_small_message_leaves_in_one_write),
		cmocka_unit_test(a_large_body_leaves_in_bounded_pieces),
		cmocka_unit_test(a_reply_before_the_last_piece_is_early),
		cmocka_unit_test(a_large_envelope_leaves_in_bounded_pieces),
		cmocka_unit_test(recipients_beyond_the_most_are_left_for_the_next_transaction),
		cmocka_unit_test(a_secret_does_not_stay_in_the_output),
		cmocka_unit_test(what_is_learnt_of_the_server_is_told),
		cmocka_unit_test(a_body_after_the_end_of_the_session_is_ignored),
		cmocka_unit_test(a_driver_with_stuck_output_is_woken_for_the_end),
		cmocka_unit_test(a_session_is_freed_in_any_state),
		cmocka_unit_test(a_deadline_is_kept_per_reply_and_not_moved_by_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
