/* The table: what a server's reply means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "smtp/verdict.h"

enum { MX, RELAY, USER }; /* who is asked: an MX, a smart host, a smart host after AUTH */

static const struct row {
	enum client_phase phase;
	int who;
	unsigned code;
	struct reply_status status;
	const char *text;
	enum verdict verdict;
} rows[] = {
	{ CLIENT_AT_GREETING, RELAY, 220, { 0 }, "hello", VERDICT_OK },
	{ CLIENT_AT_GREETING, RELAY, 554, { 5, 7, 1 }, "no", VERDICT_LANE },
	{ CLIENT_AT_GREETING, RELAY, 450, { 4, 0, 0 }, "later", VERDICT_LANE },
	{ CLIENT_AT_GREETING, RELAY, 250, { 0 }, "ok", VERDICT_SENSELESS },
	{ CLIENT_AT_EHLO, MX, 550, { 0 }, "your name is bad", VERDICT_LANE },
	{ CLIENT_AT_STARTTLS, MX, 454, { 0 }, "no", VERDICT_LANE },
	{ CLIENT_AT_AUTH, USER, 235, { 0 }, "", VERDICT_OK },
	{ CLIENT_AT_AUTH, USER, 250, { 0 }, "", VERDICT_SENSELESS },
	{ CLIENT_AT_AUTH, RELAY, 535, { 5, 7, 8 }, "bad", VERDICT_PARKED },
	{ CLIENT_AT_AUTH, RELAY, 534, { 5, 7, 9 }, "too weak", VERDICT_PARKED },
	{ CLIENT_AT_AUTH, RELAY, 504, { 5, 5, 4 }, "mechanism", VERDICT_PARKED },
	{ CLIENT_AT_AUTH, RELAY, 432, { 4, 7, 12 }, "password transition", VERDICT_PARKED },
	{ CLIENT_AT_AUTH, RELAY, 432, { 4, 3, 2 }, "Concurrent connections limit exceeded", VERDICT_THROTTLED },
	{ CLIENT_AT_AUTH, RELAY, 454, { 4, 7, 0 }, "temporary", VERDICT_THROTTLED },
	{ CLIENT_AT_AUTH,
	  RELAY,
	  454,
	  { 4, 7, 0 },
	  "Too many login attempts, please try again later.",
	  VERDICT_THROTTLED },
	{ CLIENT_AT_AUTH, RELAY, 421, { 4, 3, 0 }, "down", VERDICT_CLOSING },
	{ CLIENT_AT_MAIL, MX, 250, { 0 }, "ok", VERDICT_OK },
	{ CLIENT_AT_MAIL, MX, 354, { 0 }, "go", VERDICT_SENSELESS },
	{ CLIENT_AT_MAIL, MX, 451, { 0 }, "later", VERDICT_TEMPORARY },
	{ CLIENT_AT_MAIL, MX, 550, { 0 }, "no", VERDICT_PERMANENT },
	{ CLIENT_AT_MAIL, MX, 421, { 0 }, "bye", VERDICT_CLOSING },
	{ CLIENT_AT_MAIL, MX, 503, { 5, 5, 1 }, "EHLO first", VERDICT_SEQUENCE },
	{ CLIENT_AT_MAIL, RELAY, 530, { 5, 7, 0 }, "Authentication required", VERDICT_PARKED },
	{ CLIENT_AT_MAIL, USER, 530, { 5, 7, 0 }, "Authentication required", VERDICT_PARKED },
	{ CLIENT_AT_MAIL, MX, 530, { 5, 7, 0 }, "Authentication required", VERDICT_PERMANENT },
	{ CLIENT_AT_MAIL, MX, 530, { 5, 7, 0 }, "Must issue a STARTTLS command first", VERDICT_LANE },
	{ CLIENT_AT_MAIL, RELAY, 535, { 0 }, "no", VERDICT_PARKED },
	{ CLIENT_AT_MAIL, MX, 535, { 0 }, "no", VERDICT_PERMANENT },
	{ CLIENT_AT_MAIL, RELAY, 550, { 5, 1, 8 }, "Access denied, bad outbound sender", VERDICT_PARKED },
	{ CLIENT_AT_MAIL, RELAY, 550, { 5, 4, 6 }, "Hourly limit reached", VERDICT_THROTTLED },
	{ CLIENT_AT_MAIL, RELAY, 451, { 4, 7, 1 }, "Rate limit exceeded", VERDICT_THROTTLED },
	{ CLIENT_AT_MAIL, RELAY, 451, { 4, 7, 1 }, "separate limit", VERDICT_TEMPORARY },
	{ CLIENT_AT_MAIL, MX, 451, { 4, 7, 1 }, "Rate limit exceeded", VERDICT_TEMPORARY },
	{ CLIENT_AT_MAIL, RELAY, 421, { 4, 7, 0 }, "Too many messages", VERDICT_THROTTLED },
	{ CLIENT_AT_MAIL,
	  USER,
	  550,
	  { 5, 7, 60 },
	  "Client does not have permissions to send as this sender",
	  VERDICT_PERMANENT },
	{ CLIENT_AT_RCPT, MX, 250, { 0 }, "ok", VERDICT_OK },
	{ CLIENT_AT_RCPT, MX, 251, { 0 }, "will forward", VERDICT_OK },
	{ CLIENT_AT_RCPT, MX, 450, { 4, 2, 0 }, "greylisted", VERDICT_TEMPORARY },
	{ CLIENT_AT_RCPT, MX, 550, { 5, 1, 1 }, "unknown", VERDICT_PERMANENT },
	{ CLIENT_AT_RCPT, RELAY, 452, { 4, 5, 3 }, "anything", VERDICT_TEMPORARY },
	{ CLIENT_AT_RCPT, RELAY, 452, { 4, 5, 3 }, "Too many recipients", VERDICT_TOO_MANY },
	{ CLIENT_AT_RCPT, RELAY, 452, { 0 }, "Too many recipients", VERDICT_TOO_MANY },
	{ CLIENT_AT_RCPT, RELAY, 452, { 4, 2, 2 }, "over quota", VERDICT_TEMPORARY },
	{ CLIENT_AT_RCPT, RELAY, 552, { 0 }, "no", VERDICT_TOO_MANY },
	{ CLIENT_AT_RCPT, RELAY, 552, { 0 }, "mailbox is full", VERDICT_PERMANENT },
	{ CLIENT_AT_RCPT, RELAY, 552, { 5, 2, 2 }, "full", VERDICT_PERMANENT },
	{ CLIENT_AT_RCPT, RELAY, 452, { 0 }, "Mailbox quota exceeded", VERDICT_TEMPORARY },
	{ CLIENT_AT_RCPT, RELAY, 452, { 0 }, "Quota exceeded", VERDICT_THROTTLED },
	{ CLIENT_AT_RCPT, RELAY, 554, { 5, 7, 1 }, "<x@y>: Relay access denied", VERDICT_PARKED },
	{ CLIENT_AT_RCPT, USER, 554, { 5, 7, 1 }, "<x@y>: Relay access denied", VERDICT_PERMANENT },
	{ CLIENT_AT_RCPT, MX, 554, { 5, 7, 1 }, "<x@y>: Relay access denied", VERDICT_PERMANENT },
	{ CLIENT_AT_RCPT, RELAY, 550, { 5, 2, 1 }, "account disabled", VERDICT_PERMANENT },
	{ CLIENT_AT_RCPT, RELAY, 550, { 5, 7, 1 }, "Authentication Required", VERDICT_PARKED },
	{ CLIENT_AT_RCPT, USER, 550, { 5, 7, 26 }, "Gmail requires all senders to authenticate", VERDICT_PERMANENT },
	{ CLIENT_AT_DATA, MX, 354, { 0 }, "go", VERDICT_OK },
	{ CLIENT_AT_DATA, MX, 250, { 0 }, "ok", VERDICT_SENSELESS },
	{ CLIENT_AT_DATA, MX, 554, { 0 }, "no valid recipients", VERDICT_PERMANENT },
	{ CLIENT_AT_DOT, MX, 250, { 0 }, "queued", VERDICT_OK },
	{ CLIENT_AT_DOT, MX, 354, { 0 }, "go", VERDICT_SENSELESS },
	{ CLIENT_AT_DOT, MX, 552, { 5, 3, 4 }, "too big", VERDICT_PERMANENT },
	{ CLIENT_AT_DOT, MX, 421, { 0 }, "bye", VERDICT_CLOSING },
	{ CLIENT_AT_DOT, RELAY, 550, { 5, 4, 5 }, "Daily user sending quota exceeded.", VERDICT_THROTTLED },
	{ CLIENT_AT_DOT,
	  RELAY,
	  554,
	  { 5, 7, 0 },
	  "Your message could not be sent. The limit on the number of allowed outgoing messages was exceeded.",
	  VERDICT_THROTTLED },
};

static void every_reply_means_what_the_table_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct reply reply = { .code = row->code, .status = row->status, .text = span_str(row->text) };
		struct verdict_context context = { .relay = row->who != MX, .authenticated = row->who == USER };
		enum verdict verdict = verdict_of(row->phase, &reply, context);

		if (verdict != row->verdict)
			fail_msg("%s: %u %s: %d instead of %d", client_phase_name(row->phase), row->code, row->text,
				 verdict, row->verdict);
	}
}

/* Whatever goes wrong before MAIL never bounces. */
static void no_reply_before_mail_is_about_a_message(void **state)
{
	static const enum client_phase phases[] = { CLIENT_AT_GREETING, CLIENT_AT_EHLO, CLIENT_AT_STARTTLS,
						    CLIENT_AT_AUTH };

	(void)state;
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		for (unsigned code = 200; code < 600; code++) {
			struct reply reply = { .code = code, .text = SPAN("") };
			enum verdict verdict = verdict_of(phases[i], &reply, (struct verdict_context){ .relay = true });

			assert_true(verdict != VERDICT_PERMANENT && verdict != VERDICT_TEMPORARY &&
				    verdict != VERDICT_TOO_MANY && verdict != VERDICT_SEQUENCE);
		}
	}
}

static void only_2xx_is_consent_to_a_final_dot(void **state)
{
	(void)state;
	for (unsigned code = 200; code < 600; code++) {
		struct reply reply = { .code = code, .text = SPAN("") };
		enum verdict verdict = verdict_of(CLIENT_AT_DOT, &reply, (struct verdict_context){ .relay = false });

		assert_int_equal(verdict == VERDICT_OK, code < 300);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reply_means_what_the_table_says),
		cmocka_unit_test(no_reply_before_mail_is_about_a_message),
		cmocka_unit_test(only_2xx_is_consent_to_a_final_dot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
