/* Our client and our server talk to each other: every bit of mail arrives, and round trips are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "smtp/client.h"
#include "smtp/sasl.h"
#include "smtp/server.h"

enum { MESSAGES = 20 };

/* Bytes on a link stay on it until the other side's turn: a turn is half a round trip. */
struct pair {
	struct client *client;
	struct server *server;
	struct buf to_server, to_client;
	struct buf stored;   /* all bodies the server stored, one behind the other */
	struct buf expected; /* as they were handed to the client, with CRLF line ends */
	struct client_message messages[MESSAGES];
	char bodies[MESSAGES][128];
	size_t given, under_way, delivered, stores;
	unsigned turns;
	bool server_tls, wants_tls, is_ready, is_closed, is_binary;
};

static const struct client_rcpt rcpts[] = { { .address = "b@example.net" }, { .address = "c@example.net" } };

static void give(struct pair *p)
{
	if (!p->is_ready || p->given == MESSAGES)
		return;
	p->is_ready = false;
	client_message(p->client, &p->messages[p->given++], 0);
}

static void client_turn(struct pair *p)
{
	struct client_action a;

	client_feed(p->client, buf_span(&p->to_client), 0);
	buf_clear(&p->to_client);
	for (;;) {
		client_step(p->client, 0, &a);
		switch (a.kind) {
		case CLIENT_WAIT: return;
		case CLIENT_SEND: assert_true(buf_append_span(&p->to_server, a.data)); break;
		case CLIENT_START_TLS: p->wants_tls = true; return;
		case CLIENT_READY:
			p->is_ready = true;
			give(p);
			if (p->given == MESSAGES)
				client_quit(p->client, 0);
			break;
		case CLIENT_WANT_BODY:
			client_body(p->client, span_str(p->bodies[p->under_way++]), 0);
			client_body_end(p->client, 0);
			break;
		case CLIENT_RCPT_RESULT:
			assert_int_equal(a.result.outcome, CLIENT_DELIVERED);
			p->delivered++;
			break;
		case CLIENT_MESSAGE_DONE: break;
		case CLIENT_FAILED:
			fail_msg("%s: %u %.*s", client_phase_name(a.failure.phase), a.failure.reply.code,
				 SPAN_ARGS(a.failure.reply.text));
			break;
		case CLIENT_CLOSE: p->is_closed = true; return;
		}
	}
}

static void server_turn(struct pair *p)
{
	struct span input = buf_span(&p->to_server);
	struct server_action a;

	for (;;) {
		switch (server_step(p->server, 0, &input, &a)) {
		case SERVER_NEED: buf_consume(&p->to_server, p->to_server.len - input.len); return;
		case SERVER_SEND: assert_true(buf_append_span(&p->to_client, a.bytes)); break;
		case SERVER_ASK_MAIL:
		case SERVER_ASK_RCPT: server_accept(p->server, NULL); break;
		case SERVER_BODY: assert_true(buf_append_span(&p->stored, a.bytes)); break;
		case SERVER_STORE:
			p->stores++;
			assert_int_equal(server_envelope(p->server)->rcpt_count, 2);
			server_accept(p->server, "queued");
			break;
		case SERVER_ABORT: fail_msg("aborted"); break;
		case SERVER_START_TLS:
			assert_int_equal(input.len, 0);
			p->server_tls = true;
			break;
		case SERVER_ASK_AUTH:
			assert_string_equal(a.auth->user, "user");
			assert_string_equal(a.auth->password, "secret");
			server_accept(p->server, NULL);
			break;
		case SERVER_CLOSE: return;
		}
	}
}

static void switch_to_tls(struct pair *p)
{
	if (!p->server_tls || !p->wants_tls)
		return;
	p->wants_tls = p->server_tls = false;
	server_tls_started(p->server);
	client_tls_started(p->client, true, 0);
	client_turn(p);
}

static void write_messages(struct pair *p)
{
	for (size_t i = 0; i < MESSAGES; i++) {
		p->messages[i] = (struct client_message){ .sender = "a@example.com", .rcpts = rcpts, .rcpt_count = 2 };
		snprintf(p->bodies[i], sizeof(p->bodies[i]), "Subject: %zu\n\n.\n..\nMAIL FROM:<x@y>\nlast%zu", i, i);
		p->messages[i].size_bytes = strlen(p->bodies[i]);
		p->messages[i].content = p->is_binary ? CLIENT_BINARY : CLIENT_7BIT;
		if (p->is_binary) {
			buf_append_str(&p->expected, p->bodies[i]);
			continue;
		}
		for (const char *c = p->bodies[i]; *c; c++)
			assert_true(*c == '\n' ? buf_append_str(&p->expected, "\r\n")
					       : buf_append_char(&p->expected, *c));
		buf_append_str(&p->expected, "\r\n");
	}
}

static void exchange(unsigned features, struct client_config config, struct pair *p)
{
	struct server_config server = { .hostname = "mx.example.org", .features = features };

	buf_init(&p->to_server, 1 << 20);
	buf_init(&p->to_client, 1 << 20);
	buf_init(&p->stored, 1 << 20);
	buf_init(&p->expected, 1 << 20);
	write_messages(p);
	config.ehlo_name = "client.example";
	p->server = server_new(&server, false, 0);
	p->client = client_new(&config, 0);
	for (p->turns = 0; !p->is_closed; p->turns++) {
		assert_true(p->turns < 1000);
		server_turn(p);
		client_turn(p);
		switch_to_tls(p);
	}
	assert_int_equal(p->delivered, 2 * MESSAGES);
	assert_int_equal(p->stores, MESSAGES);
	assert_true(span_equals(buf_span(&p->stored), buf_span(&p->expected)));
	client_free(p->client);
	server_free(p->server);
	buf_fini(&p->to_server);
	buf_fini(&p->to_client);
	buf_fini(&p->stored);
	buf_fini(&p->expected);
}

static void mail_arrives_without_pipelining(void **state)
{
	struct pair p = { 0 };

	(void)state;
	exchange(SERVER_SIZE, (struct client_config){ .pipelining = true, .pipeline_next = true }, &p);
	/* Greeting, EHLO, then MAIL, two RCPT, DATA, body; QUIT. */
	assert_int_equal(p.turns, 2 + 5 * MESSAGES + 1);
}

static void mail_arrives_with_pipelining(void **state)
{
	struct pair p = { 0 };

	(void)state;
	exchange(SERVER_PLAIN, (struct client_config){ .pipelining = true }, &p);
	assert_int_equal(p.turns, 2 + 2 * MESSAGES + 1);
}

static void the_steady_state_is_one_round_trip_a_message(void **state)
{
	struct pair p = { 0 };

	(void)state;
	exchange(SERVER_PLAIN, (struct client_config){ .pipelining = true, .pipeline_next = true }, &p);
	assert_int_equal(p.turns, 2 + 1 + MESSAGES + 1);
}

static void binary_mail_arrives_byte_for_byte(void **state)
{
	const unsigned features = SERVER_PLAIN | SERVER_CHUNKING | SERVER_BINARYMIME;
	struct client_config config = { .pipelining = true, .pipeline_next = true };
	struct pair p = { .is_binary = true };

	(void)state;
	exchange(features, config, &p);
	/* One chunk a message: the steady state is one round trip, as with DATA. */
	assert_int_equal(p.turns, 2 + 1 + MESSAGES + 1);
	for (config.chunk_bytes = 1; config.chunk_bytes < 60; config.chunk_bytes += 7) {
		p = (struct pair){ .is_binary = true };
		exchange(features, config, &p);
	}
}

static void mail_arrives_over_starttls_with_auth(void **state)
{
	struct pair p = { 0 };
	struct client_config config = {
		.tls = CLIENT_TLS_STARTTLS,
		.auth = SASL_BIT(SASL_PLAIN),
		.user = "user",
		.secret = SPAN("secret"),
		.pipelining = true,
		.pipeline_next = true,
	};

	(void)state;
	exchange(SERVER_PLAIN | SERVER_STARTTLS | SERVER_AUTH, config, &p);
	config.auth = SASL_BIT(SASL_LOGIN);
	p = (struct pair){ 0 };
	exchange(SERVER_PLAIN | SERVER_STARTTLS | SERVER_AUTH, config, &p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_arrives_without_pipelining),
		cmocka_unit_test(mail_arrives_with_pipelining),
		cmocka_unit_test(the_steady_state_is_one_round_trip_a_message),
		cmocka_unit_test(binary_mail_arrives_byte_for_byte),
		cmocka_unit_test(mail_arrives_over_starttls_with_auth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
