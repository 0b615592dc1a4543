/* What the scripts cannot show: how the engine hands things out, and what it costs. */
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

static const struct server_config plain = { .hostname = "mx.example.org", .features = SERVER_PLAIN };

/* Steps once and expects this. */
static struct server_action step(struct server *s, struct span *input, enum server_action_kind want)
{
	struct server_action action;

	server_step(s, 0, input, &action);
	if (action.kind != want)
		fail_msg("action %d, wanted %d (%s)", action.kind, want, server_doing(s));
	return action;
}

/* Steps over one group that is answered in one write. */
static void exchange(struct server *s, const char *says, const char *answered)
{
	struct span input = span_str(says);
	struct server_action action = step(s, &input, SERVER_SEND);

	if (!span_equals(action.bytes, span_str(answered)))
		fail_msg("said '%.*s'", SPAN_ARGS(action.bytes));
	assert_int_equal(input.len, 0);
	step(s, &input, SERVER_NEED);
}

static struct server *begin(const struct server_config *config)
{
	struct server *s = server_new(config, false, 0);

	exchange(s, "", "220 mx.example.org ESMTP Sendoff\r\n");
	exchange(s, "HELO a\r\n", "250 mx.example.org\r\n");
	return s;
}

static void a_pipelined_group_is_answered_in_one_write(void **state)
{
	struct server *s = begin(&plain);
	struct span input = SPAN("text\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n");
	struct server_action action;

	(void)state;
	exchange(s, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n",
		 "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n"
		 "354 Send the message; end it with a line that holds only a dot\r\n");
	action = step(s, &input, SERVER_BODY);
	assert_true(span_equals(action.bytes, SPAN("text\r\n")));
	step(s, &input, SERVER_STORE);
	step(s, &input, SERVER_NEED);
	assert_true(span_starts_fold(input, SPAN("MAIL"))); /* what is behind the dot waits */
	server_accept(s, "stored");
	action = step(s, &input, SERVER_SEND);
	assert_true(
		span_equals(action.bytes, SPAN("250 2.0.0 stored\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"
					       "354 Send the message; end it with a line that holds only a dot\r\n")));
	server_free(s);
}

static void questions_answered_at_once_do_not_split_the_write(void **state)
{
	struct server_config config = plain;
	struct server *s;
	struct span input = SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
	struct server_action action;

	(void)state;
	config.ask_mail = config.ask_rcpt = true;
	s = begin(&config);
	assert_string_equal(step(s, &input, SERVER_ASK_MAIL).address, "a@b");
	server_accept(s, NULL);
	assert_string_equal(step(s, &input, SERVER_ASK_RCPT).rcpt->address, "c@d");
	server_refuse(s, (struct server_reply){ 450, "4.2.0", "later" });
	action = step(s, &input, SERVER_SEND);
	assert_true(span_equals(action.bytes, SPAN("250 2.1.0 Ok\r\n450 4.2.0 later\r\n")));
	server_free(s);
}

static void replies_leave_before_a_slow_answer(void **state)
{
	struct server_config config = plain;
	struct server *s;
	struct span input = SPAN("NOOP\r\nMAIL FROM:<a@b>\r\nNOOP\r\n");

	(void)state;
	config.ask_mail = true;
	s = begin(&config);
	step(s, &input, SERVER_ASK_MAIL);
	step(s, &input, SERVER_SEND);
	step(s, &input, SERVER_NEED);
	step(s, &input, SERVER_NEED);
	assert_int_equal(input.len, 6);
	server_free(s);
}

static void no_250_before_the_store_answers(void **state)
{
	struct server *s = begin(&plain);
	struct span input = SPAN("x\r\n.\r\n");

	(void)state;
	exchange(s, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
		 "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Send the message; end it with a line that holds only a dot\r\n");
	step(s, &input, SERVER_BODY);
	step(s, &input, SERVER_STORE);
	for (int i = 0; i < 10; i++)
		step(s, &input, SERVER_NEED);
	assert_true(server_deadline(s) == INT64_MAX);
	server_accept(s, NULL);
	step(s, &input, SERVER_SEND);
	server_free(s);
}

static void the_envelope_is_readable_until_the_step_after_its_end(void **state)
{
	struct server *s = begin(&plain);
	struct span input = SPAN("\xc3\xbc\r\n.\r\n");
	const struct server_envelope *envelope = server_envelope(s);

	(void)state;
	assert_null(envelope->sender);
	exchange(s, "EHLO a\r\n",
		 "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n");
	exchange(s, "MAIL FROM:<a@b> SIZE=7 BODY=8BITMIME\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n",
		 "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n"
		 "354 Send the message; end it with a line that holds only a dot\r\n");
	step(s, &input, SERVER_BODY);
	step(s, &input, SERVER_STORE);
	server_accept(s, NULL);
	assert_string_equal(envelope->sender, "a@b");
	assert_int_equal(envelope->declared_bytes, 7);
	assert_int_equal(envelope->body, SERVER_BODY_8BITMIME);
	assert_int_equal(envelope->body_bytes, 4);
	assert_true(envelope->has_8bit);
	assert_false(envelope->has_nul);
	assert_int_equal(envelope->rcpt_count, 2);
	assert_string_equal(envelope->rcpts->address, "c@d");
	assert_string_equal(envelope->rcpts->next->address, "e@f");
	assert_null(envelope->rcpts->next->next);
	step(s, &input, SERVER_SEND);
	assert_null(envelope->sender);
	server_free(s);
}

static void a_transaction_that_ended_leaves_no_envelope(void **state)
{
	struct server_config config = plain;
	struct span input = SPAN("MAIL FROM:<a@b>\r\n");
	struct server *s;

	(void)state;
	config.ask_mail = true;
	s = begin(&config);
	step(s, &input, SERVER_ASK_MAIL);
	server_refuse(s, (struct server_reply){ 550, "5.7.1", "no" });
	step(s, &input, SERVER_SEND);
	assert_null(server_envelope(s)->sender);
	input = SPAN("MAIL FROM:<a@b>\r\nRSET\r\n");
	step(s, &input, SERVER_ASK_MAIL);
	server_accept(s, NULL);
	step(s, &input, SERVER_ABORT);
	assert_string_equal(server_envelope(s)->sender, "a@b");
	step(s, &input, SERVER_SEND);
	assert_null(server_envelope(s)->sender);
	server_free(s);
}

static void a_reply_without_a_status_gets_its_class(void **state)
{
	struct server_config config = plain;
	struct span input = SPAN("MAIL FROM:<a@b>\r\n"), again = input;
	struct server *s;

	(void)state;
	config.ask_mail = true;
	s = begin(&config);
	step(s, &input, SERVER_ASK_MAIL);
	server_refuse(s, (struct server_reply){ .code = 450, .text = "later" });
	assert_true(span_equals(step(s, &input, SERVER_SEND).bytes, SPAN("450 4.0.0 later\r\n")));
	step(s, &again, SERVER_ASK_MAIL);
	server_refuse(s, (struct server_reply){ .code = 550, .status = "" });
	assert_true(span_equals(step(s, &again, SERVER_SEND).bytes, SPAN("550 5.0.0 \r\n")));
	server_free(s);
}

static void the_first_reason_against_a_message_stays(void **state)
{
	struct server_config config = plain;
	struct span input = SPAN("12345\r\n"), end = SPAN(".\r\n");
	struct server_action action;
	struct server *s;

	(void)state;
	config.max_size_bytes = 3;
	s = begin(&config);
	exchange(s, "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
		 "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Send the message; end it with a line that holds only a dot\r\n");
	step(s, &input, SERVER_ABORT);
	server_fail_body(s, (struct server_reply){ 452, "4.3.1", "disk full" });
	step(s, &input, SERVER_NEED);
	action = step(s, &end, SERVER_SEND);
	assert_true(span_starts_fold(action.bytes, SPAN("552 5.3.4 ")));
	server_free(s);
}

static void helo_name_and_user_are_forgotten_when_tls_begins(void **state)
{
	struct server_config config = plain;
	struct span none = SPAN(""), input = SPAN("STARTTLS\r\n");
	struct server *s;

	(void)state;
	config.features |= SERVER_STARTTLS | SERVER_AUTH;
	config.auth_without_tls = true;
	s = server_new(&config, false, 0);
	step(s, &none, SERVER_SEND);
	exchange(s, "EHLO plain.example\r\n",
		 "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n"
		 "250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n");
	none = SPAN("AUTH PLAIN AGEAYg==\r\n");
	assert_string_equal(step(s, &none, SERVER_ASK_AUTH).auth->password, "b");
	server_accept(s, NULL);
	step(s, &none, SERVER_SEND);
	assert_string_equal(server_user(s), "a");
	assert_string_equal(server_helo(s), "plain.example");
	step(s, &input, SERVER_SEND);
	step(s, &input, SERVER_START_TLS);
	server_tls_started(s);
	assert_string_equal(server_user(s), "");
	assert_string_equal(server_helo(s), "");
	assert_string_equal(server_protocol(s), "SMTP");
	assert_true(server_is_tls(s));
	step(s, &none, SERVER_NEED); /* no second greeting */
	server_free(s);
}

static void bytes_that_come_between_220_and_the_handshake_drop_the_connection(void **state)
{
	struct server_config config = plain;
	struct span input = SPAN("STARTTLS\r\n"), evil = SPAN("EHLO evil\r\n");
	struct server *s;

	(void)state;
	config.features |= SERVER_STARTTLS;
	s = begin(&config);
	exchange(s, "EHLO a\r\n",
		 "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n"
		 "250 STARTTLS\r\n");
	step(s, &input, SERVER_SEND);
	step(s, &evil, SERVER_SEND);
	step(s, &evil, SERVER_CLOSE);
	step(s, &evil, SERVER_NEED);
	server_free(s);
}

static void a_secret_lives_until_the_step_after_the_answer(void **state)
{
	static const char secret[] = "correct horse battery";
	struct server_config config = plain;
	struct span input = SPAN("AUTH PLAIN AGEAY29ycmVjdCBob3JzZSBiYXR0ZXJ5\r\n");
	struct server_action action;
	struct server *s;
	const char *password;

	(void)state;
	config.features |= SERVER_AUTH;
	config.auth_without_tls = true;
	s = begin(&config);
	exchange(s, "EHLO a\r\n",
		 "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n"
		 "250 AUTH PLAIN LOGIN\r\n");
	action = step(s, &input, SERVER_ASK_AUTH);
	password = action.auth->password;
	assert_string_equal(password, secret);
	server_refuse(s, (struct server_reply){ 535, "5.7.8", "no" });
	assert_string_equal(password, secret);
	step(s, &input, SERVER_SEND);
	assert_string_equal(server_user(s), "");
	server_free(s);
}

static void a_flood_of_commands_does_not_pile_up_replies(void **state)
{
	struct server *s = begin(&plain);
	struct buf flood;
	struct span input;
	size_t noops = 100000, said = 0;
	struct server_action action;

	(void)state;
	buf_init(&flood, 1 << 20);
	for (size_t i = 0; i < noops; i++)
		buf_append_str(&flood, "NOOP\r\n");
	input = buf_span(&flood);
	while (server_step(s, 0, &input, &action) == SERVER_SEND) {
		assert_true(action.bytes.len < 8192);
		said += action.bytes.len;
	}
	assert_int_equal(action.kind, SERVER_NEED);
	assert_int_equal(said, noops * strlen("250 2.0.0 Ok\r\n"));
	buf_fini(&flood);
	server_free(s);
}

static void an_envelope_has_a_cap(void **state)
{
	struct server_config config = plain;
	struct server *s;
	struct span input = SPAN("MAIL FROM:<a@b>\r\n");
	struct server_action action;
	char line[600];
	int accepted = 0;

	(void)state;
	config.max_recipients = 500;
	s = begin(&config);
	step(s, &input, SERVER_SEND);
	snprintf(line, sizeof(line), "RCPT TO:<%0*d@%0*d.%0*d.%0*d>\r\n", 60, 1, 60, 1, 60, 1, 60, 1);
	for (int i = 0; i < 2000; i++) {
		input = span_str(line);
		action = step(s, &input, SERVER_SEND);
		accepted += action.bytes.data[0] == '2';
	}
	assert_int_equal(accepted, 500);
	assert_int_equal(server_envelope(s)->rcpt_count, 500);
	server_free(s);
}

static size_t allocated(void)
{
	return mallinfo2().uordblks;
}

static void send_message(struct server *s)
{
	struct span input = SPAN("MAIL FROM:<someone@example.org> SIZE=1000\r\nRCPT TO:<somebody@example.net>\r\n"
				 "DATA\r\n");
	struct server_action action;

	while (server_step(s, 0, &input, &action) != SERVER_NEED)
		assert_int_equal(action.kind, SERVER_SEND);
	input = SPAN("Subject: x\r\n\r\ntext\r\n.\r\n");
	do {
		server_step(s, 0, &input, &action);
		if (action.kind == SERVER_STORE)
			server_accept(s, "queued");
	} while (action.kind != SERVER_NEED);
}

static void a_message_more_takes_no_memory_more(void **state)
{
	struct server *s = begin(&plain);
	size_t before;

	(void)state;
	exchange(s, "EHLO a\r\n",
		 "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n");
	send_message(s);
	before = allocated();
	for (int i = 0; i < 1000; i++)
		send_message(s);
	assert_int_equal(allocated(), before);
	server_free(s);
}

static void a_deadline_is_known_in_every_state(void **state)
{
	struct server_config config = plain;
	struct span input = SPAN("");
	struct server_action action;
	struct server *s;

	(void)state;
	config.command_timeout_ms = 100;
	config.data_timeout_ms = 200;
	config.session_timeout_ms = 1000;
	config.min_data_rate = 1000; /* a byte a millisecond */
	s = server_new(&config, false, 5000);
	server_step(s, 5000, &input, &action);
	assert_int_equal(server_deadline(s), 5100);
	input = SPAN("HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
	server_step(s, 5050, &input, &action);
	assert_int_equal(server_deadline(s), 5150);
	input = SPAN("DATA\r\n");
	server_step(s, 5100, &input, &action);
	assert_int_equal(server_deadline(s), 5300);
	input = SPAN("xxxxxxxxxx\r\nxxxxxxxx");
	server_step(s, 5290, &input, &action);
	assert_int_equal(server_deadline(s), 5320); /* begun + timeout + 20 bytes */
	server_held_up(s, 1000);
	assert_int_equal(server_deadline(s), 6320);
	input = SPAN("\r\n.\r\n");
	do
		server_step(s, 6300, &input, &action);
	while (action.kind != SERVER_STORE);
	assert_true(server_deadline(s) == INT64_MAX);
	server_accept(s, NULL);
	server_step(s, 6990, &input, &action);
	assert_int_equal(server_deadline(s), 7000); /* the session's own comes first */
	server_free(s);
}

static void freeing_is_possible_in_every_state(void **state)
{
	static const char *const sessions[] = {
		"",
		"HELO a\r\n",
		"HELO a\r\nMAIL FROM:<a@b>\r\n",
		"HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx",
		"EHLO a\r\nAUTH LOGIN\r\n",
		"EHLO a\r\nAUTH PLAIN AGEAYg==\r\n",
		"EHLO a\r\nSTARTTLS\r\n",
		"NOO",
		"QUIT\r\n",
		"HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n",
		"EHLO a\r\nMAIL FROM:<a@b> ENVID=x\r\nRCPT TO:<c@d> ORCPT=a;b\r\nBDAT 5\r\nx",
		"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1\r\nx",
		"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1 LAST\r\nx",
		"EHLO a\r\nMAIL FROM:<a@b>\r\nBDAT 5\r\nx",
		"BDAT\r\n",
	};
	struct server_config config = plain;

	(void)state;
	server_free(NULL);
	config.features = SERVER_FULL | SERVER_STARTTLS | SERVER_AUTH;
	config.auth_without_tls = true;
	for (size_t i = 0; i < sizeof(sessions) / sizeof(sessions[0]); i++) {
		struct server *s = server_new(&config, false, 0);
		struct span input = span_str(sessions[i]);
		struct server_action action;

		while (server_step(s, 0, &input, &action) != SERVER_NEED)
			;
		server_free(s);
	}
}

static void the_session_says_what_it_is_doing(void **state)
{
	struct server *s = begin(&plain);

	(void)state;
	assert_string_equal(server_doing(s), "waits for a command");
	exchange(s, "MAIL FROM:<a@b>\r\n", "250 2.1.0 Ok\r\n");
	assert_string_equal(server_doing(s), "waits for recipients");
	exchange(s, "X\r\n", "500 5.5.1 The command is not known\r\n");
	assert_int_equal(server_errors(s), 1);
	server_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pipelined_group_is_answered_in_one_write),
		cmocka_unit_test(questions_answered_at_once_do_not_split_the_write),
		cmocka_unit_test(replies_leave_before_a_slow_answer),
		cmocka_unit_test(no_250_before_the_store_answers),
		cmocka_unit_test(the_envelope_is_readable_until_the_step_after_its_end),
		cmocka_unit_test(a_transaction_that_ended_leaves_no_envelope),
		cmocka_unit_test(a_reply_without_a_status_gets_its_class),
		cmocka_unit_test(the_first_reason_against_a_message_stays),
		cmocka_unit_test(helo_name_and_user_are_forgotten_when_tls_begins),
		cmocka_unit_test(bytes_that_come_between_220_and_the_handshake_drop_the_connection),
		cmocka_unit_test(a_secret_lives_until_the_step_after_the_answer),
		cmocka_unit_test(a_flood_of_commands_does_not_pile_up_replies),
		cmocka_unit_test(an_envelope_has_a_cap),
		cmocka_unit_test(a_message_more_takes_no_memory_more),
		cmocka_unit_test(a_deadline_is_known_in_every_state),
		cmocka_unit_test(freeing_is_possible_in_every_state),
		cmocka_unit_test(the_session_says_what_it_is_doing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
