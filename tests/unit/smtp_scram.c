/* SCRAM through the engine, with libgsasl as the client: who knows the secret gets in, on this connection only. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <gsasl.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "smtp/server.h"

static const char here[] = "0123456789abcdef0123456789abcdef", there[] = "0123456789abcdef0123456789abcdeX";

struct talk {
	struct server *server;
	char said[4096]; /* by us: the last line */
	enum server_auth_kind asked;
	bool is_asked;
	char user[64];
};

static void say(struct talk *talk, const char *line)
{
	char *text = mem_printf("%s\r\n", line);
	struct span input = span_str(text);
	struct server_action action;

	talk->is_asked = false;
	while (server_step(talk->server, 0, &input, &action) != SERVER_NEED) {
		if (action.kind == SERVER_SEND)
			snprintf(talk->said, sizeof(talk->said), "%.*s", SPAN_ARGS(action.bytes));
		if (action.kind == SERVER_ASK_AUTH) {
			talk->is_asked = true;
			talk->asked = action.auth->kind;
			snprintf(talk->user, sizeof(talk->user), "%s", action.auth->user);
		}
	}
	mem_free(text);
}

/* What the driver has decided is carried out by the next step. */
static void go_on(struct talk *talk)
{
	struct span none = SPAN("");
	struct server_action action;

	talk->is_asked = false;
	while (server_step(talk->server, 0, &none, &action) != SERVER_NEED) {
		if (action.kind == SERVER_SEND)
			snprintf(talk->said, sizeof(talk->said), "%.*s", SPAN_ARGS(action.bytes));
		if (action.kind == SERVER_ASK_AUTH) {
			talk->is_asked = true;
			talk->asked = action.auth->kind;
		}
	}
}

static void give_verifier(struct talk *talk, enum scram_hash hash, const char *password)
{
	struct scram_verifier verifier = { .hash = hash, .iterations = 4096, .salt = "pepper", .salt_len = 6 };

	assert_true(talk->is_asked);
	assert_int_equal(talk->asked, SERVER_AUTH_VERIFIER);
	scram_derive(&verifier, span_str(password));
	server_verifier(talk->server, &verifier);
	go_on(talk);
}

struct row {
	const char *mechanism;
	enum scram_hash hash;
	const char *password, *binding; /* the client's */
	bool is_right;
};

static Gsasl_session *client_start(Gsasl *library, const struct row *row)
{
	char *base64 = NULL;
	Gsasl_session *session;

	assert_int_equal(gsasl_client_start(library, row->mechanism, &session), GSASL_OK);
	gsasl_property_set(session, GSASL_AUTHID, "j\xc3\xbcrgen,=");
	gsasl_property_set(session, GSASL_PASSWORD, row->password);
	if (row->binding) {
		assert_int_equal(gsasl_base64_to(row->binding, 32, &base64, NULL), GSASL_OK);
		gsasl_property_set(session, GSASL_CB_TLS_EXPORTER, base64);
		gsasl_free(base64);
	}
	return session;
}

/* The client's answer to what was said last ("334 …"). */
static int client_step(Gsasl_session *session, struct talk *talk, char **out)
{
	char *challenge = talk->said + 4;

	challenge[strcspn(challenge, "\r\n")] = '\0';
	return gsasl_step64(session, challenge, out);
}

/* `last` is said behind our proof. */
static void play_to(const struct row *row, const char *last)
{
	static const struct server_config config = {
		.hostname = "mx.example.org",
		.features = SERVER_PLAIN | SERVER_AUTH,
		.mechanisms = SERVER_AUTH_SCRAM,
	};
	struct talk talk = { .server = server_new(&config, true, 0) };
	Gsasl *library;
	Gsasl_session *session;
	char *answer = NULL, *line;

	server_know(talk.server, &(struct server_facts){ .binding = span_of(here, 32) });
	assert_int_equal(gsasl_init(&library), GSASL_OK);
	session = client_start(library, row);
	say(&talk, "EHLO a");
	assert_int_equal(gsasl_step64(session, "", &answer), GSASL_NEEDS_MORE);
	line = mem_printf("AUTH %s %s", row->mechanism, answer);
	gsasl_free(answer);
	say(&talk, line);
	mem_free(line);
	assert_string_equal(talk.user, "j\xc3\xbcrgen,=");
	give_verifier(&talk, row->hash, "pencil");
	assert_memory_equal(talk.said, "334 ", 4);
	assert_int_equal(client_step(session, &talk, &answer), GSASL_NEEDS_MORE);
	say(&talk, answer);
	gsasl_free(answer);
	if (row->is_right) {
		/* Our own proof comes before 235, and the client finds it right. */
		assert_false(talk.is_asked);
		assert_memory_equal(talk.said, "334 ", 4);
		assert_string_equal(server_user(talk.server), "");
		assert_int_equal(client_step(session, &talk, &answer), GSASL_OK);
		assert_string_equal(answer, "");
		gsasl_free(answer);
		say(&talk, last);
	}
	if (row->is_right && *last) {
		assert_false(talk.is_asked);
		assert_memory_equal(talk.said, "501 5.5.2 ", 10);
		assert_string_equal(server_user(talk.server), "");
	} else if (row->is_right) {
		assert_true(talk.is_asked);
		assert_int_equal(talk.asked, SERVER_AUTH_PROVEN);
		server_accept(talk.server, NULL);
		go_on(&talk);
		assert_memory_equal(talk.said, "235 2.7.0 ", 10);
		assert_string_equal(server_user(talk.server), "j\xc3\xbcrgen,=");
		assert_string_equal(server_mechanism(talk.server), row->mechanism);
	} else {
		assert_true(talk.is_asked);
		assert_int_equal(talk.asked, SERVER_AUTH_FAILED);
		server_refuse(talk.server, (struct server_reply){ 535, "5.7.8", "no" });
		go_on(&talk);
		assert_memory_equal(talk.said, "535 5.7.8 no", 12);
		assert_string_equal(server_user(talk.server), "");
	}
	gsasl_finish(session);
	gsasl_done(library);
	server_free(talk.server);
}

static void play(const struct row *row)
{
	play_to(row, "");
}

static void who_knows_the_secret_gets_in(void **state)
{
	(void)state;
	play(&(struct row){ "SCRAM-SHA-256", SCRAM_SHA_256, "pencil", NULL, true });
	play(&(struct row){ "SCRAM-SHA-1", SCRAM_SHA_1, "pencil", NULL, true });
	play(&(struct row){ "SCRAM-SHA-256-PLUS", SCRAM_SHA_256, "pencil", here, true });
}

static void nobody_else_does(void **state)
{
	(void)state;
	play(&(struct row){ "SCRAM-SHA-256", SCRAM_SHA_256, "Pencil", NULL, false });
	play(&(struct row){ "SCRAM-SHA-1", SCRAM_SHA_1, "pencil ", NULL, false });
	play(&(struct row){ "SCRAM-SHA-256-PLUS", SCRAM_SHA_256, "pencils", here, false });
}

static void nothing_is_said_behind_our_proof(void **state)
{
	(void)state;
	play_to(&(struct row){ "SCRAM-SHA-256", SCRAM_SHA_256, "pencil", NULL, true }, "bj1hbGljZQ==");
}

static void a_login_passed_on_from_another_connection_fails(void **state)
{
	(void)state;
	play(&(struct row){ "SCRAM-SHA-256-PLUS", SCRAM_SHA_256, "pencil", there, false });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_knows_the_secret_gets_in),
		cmocka_unit_test(nobody_else_does),
		cmocka_unit_test(nothing_is_said_behind_our_proof),
		cmocka_unit_test(a_login_passed_on_from_another_connection_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
