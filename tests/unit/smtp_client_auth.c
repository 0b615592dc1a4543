/* A client logs in at our own server, with and without somebody between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/scram.h"
#include "smtp/client.h"
#include "smtp/sasl.h"
#include "smtp/server.h"

static const char here[] = "0123456789abcdef0123456789abcdef", there[] = "0123456789abcdef0123456789abcdeX";

/* What somebody between changes: `from` in what the server says, in the same length, and the byte so far behind it. */
struct between {
	const char *from, *to;
	size_t flip;
};

struct pair {
	struct client *client;
	struct server *server;
	struct buf to_server, to_client, seen; /* seen: all that the client said */
	struct between between;
	const char *password; /* the server's */
	bool is_ready, is_closed;
	enum client_object object;
	char failure[512];
};

static void client_turn(struct pair *p)
{
	struct client_action a;

	client_feed(p->client, buf_span(&p->to_client), 0);
	buf_clear(&p->to_client);
	for (;;) {
		client_step(p->client, 0, &a);
		switch (a.kind) {
		case CLIENT_WAIT: return;
		case CLIENT_SEND:
			buf_append_span(&p->to_server, a.data);
			buf_append_span(&p->seen, a.data);
			break;
		case CLIENT_READY: p->is_ready = true; break;
		case CLIENT_FAILED:
			p->object = a.failure.object;
			snprintf(p->failure, sizeof(p->failure), "%u %.*s", a.failure.reply.code,
				 SPAN_ARGS(a.failure.reply.text));
			break;
		case CLIENT_CLOSE: p->is_closed = true; return;
		case CLIENT_START_TLS: break; /* as it was from the start */
		case CLIENT_WANT_BODY:
		case CLIENT_RCPT_RESULT:
		case CLIENT_MESSAGE_DONE: fail_msg("no mail was given"); break;
		}
	}
}

static void give_verifier(struct pair *p, const struct server_auth *auth)
{
	struct scram_verifier verifier = { .hash = auth->hash, .iterations = 4096, .salt = "pepper", .salt_len = 6 };

	scram_derive(&verifier, span_str(p->password));
	server_verifier(p->server, &verifier);
}

static void decide(struct pair *p, const struct server_auth *auth)
{
	bool is_right = strcmp(auth->user, "user") == 0;

	if (auth->kind == SERVER_AUTH_VERIFIER) {
		give_verifier(p, auth);
		return;
	}
	if (auth->kind == SERVER_AUTH_PASSWORD)
		is_right = is_right && strcmp(auth->password, p->password) == 0;
	if (is_right && auth->kind != SERVER_AUTH_FAILED)
		server_accept(p->server, NULL);
	else
		server_refuse(p->server, (struct server_reply){ 535, "5.7.8", "no" });
}

static void meddle(struct pair *p, struct span bytes)
{
	char *at;
	size_t before = p->to_client.len;

	buf_append_span(&p->to_client, bytes);
	at = p->between.from ? strstr(buf_cstr(&p->to_client) + before, p->between.from) : NULL;
	if (!at)
		return;
	assert_int_equal(strlen(p->between.from), strlen(p->between.to));
	memcpy(at, p->between.to, strlen(p->between.to));
	if (p->between.flip)
		at[p->between.flip] = at[p->between.flip] == 'A' ? 'B' : 'A';
}

static void server_turn(struct pair *p)
{
	struct span input = buf_span(&p->to_server);
	struct server_action a;

	for (;;) {
		switch (server_step(p->server, 0, &input, &a)) {
		case SERVER_NEED: buf_consume(&p->to_server, p->to_server.len - input.len); return;
		case SERVER_SEND: meddle(p, a.bytes); break;
		case SERVER_ASK_AUTH: decide(p, a.auth); break;
		case SERVER_CLOSE: return;
		case SERVER_ASK_MAIL:
		case SERVER_ASK_RCPT:
		case SERVER_BODY:
		case SERVER_STORE:
		case SERVER_ABORT:
		case SERVER_START_TLS: fail_msg("nobody asked for that"); return;
		}
	}
}

struct row {
	const char *name;
	unsigned offered; /* server_mechanism */
	unsigned allowed; /* SASL_BIT() */
	const char *secret;
	const char *binding, *server_binding;
	struct between between;
	const char *used;    /* or NULL: it fails, */
	const char *failure; /* so, */
	enum client_object object;
	const char *said; /* and this was said */
};

static void play(const struct row *row, struct pair *p)
{
	struct server_config server = {
		.hostname = "mx.example.org",
		.features = SERVER_PLAIN | SERVER_AUTH,
		.mechanisms = row->offered,
	};
	struct client_config client = {
		.ehlo_name = "client.example",
		.tls = CLIENT_TLS_IMPLICIT,
		.auth = row->allowed,
		.user = "user",
		.secret = span_str(row->secret),
	};

	*p = (struct pair){ .password = "pencil", .between = row->between };
	buf_init(&p->to_server, 65536);
	buf_init(&p->to_client, 65536);
	buf_init(&p->seen, 65536);
	p->server = server_new(&server, true, 0);
	server_know(p->server, &(struct server_facts){ .binding = row->server_binding ? span_of(row->server_binding, 32)
										      : SPAN(""),
						       .user = "user" });
	p->client = client_new(&client, 0);
	if (row->binding)
		client_channel_binding(p->client, (const uint8_t *)row->binding);
	client_tls_started(p->client, true, 0);
	for (int i = 0; i < 20 && !p->is_ready && !p->is_closed; i++) {
		server_turn(p);
		client_turn(p);
	}
}

static void end(struct pair *p)
{
	client_free(p->client);
	server_free(p->server);
	buf_fini(&p->to_server);
	buf_fini(&p->to_client);
	buf_fini(&p->seen);
}

enum {
	SHA_1 = SERVER_AUTH_SCRAM_SHA_1,
	SHA_256 = SERVER_AUTH_SCRAM_SHA_256,
	SHA_256_PLUS = SERVER_AUTH_SCRAM_SHA_256_PLUS,
	SCRAM = SASL_PLUS | SASL_BIT(SASL_SCRAM_SHA_256) | SASL_BIT(SASL_SCRAM_SHA_1),
	PASSWORDS = SASL_CHALLENGED | SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN),
};

static void who_knows_the_password_gets_in_and_nobody_between_does(void **state)
{
	static const struct row rows[] = {
		{ "plain", SERVER_AUTH_PASSWORDS, PASSWORDS, "pencil", .used = "PLAIN" },
		{ "login", SERVER_AUTH_LOGIN, PASSWORDS, "pencil", .used = "LOGIN" },
		{ "external", SERVER_AUTH_EXTERNAL, SASL_BIT(SASL_EXTERNAL), "", .used = "EXTERNAL" },
		{ "scram-sha-1", SHA_1, PASSWORDS, "pencil", .used = "SCRAM-SHA-1" },
		{ "the best", SERVER_AUTH_PASSWORDS | SERVER_AUTH_SCRAM, PASSWORDS, "pencil", .used = "SCRAM-SHA-256" },
		{ "the best, bound", SERVER_AUTH_PASSWORDS | SERVER_AUTH_SCRAM, PASSWORDS, "pencil", here, here,
		  .used = "SCRAM-SHA-256-PLUS", .said = "AUTH SCRAM-SHA-256-PLUS cD10bHMtZXhwb3J0ZXIs" },
		{ "only the server could bind", SERVER_AUTH_SCRAM, SCRAM, "pencil", NULL, here, .used = "SCRAM-SHA-256",
		  .said = "AUTH SCRAM-SHA-256 biws" },
		{ "only the client could bind", SERVER_AUTH_SCRAM, SCRAM, "pencil", here, NULL, .used = "SCRAM-SHA-256",
		  .said = "AUTH SCRAM-SHA-256 eSws" },
		{ "-PLUS is not allowed", SERVER_AUTH_SCRAM, SASL_BIT(SASL_SCRAM_SHA_1), "pencil", here, here,
		  .used = "SCRAM-SHA-1" },
		{ "wrong, plain", SERVER_AUTH_PASSWORDS, PASSWORDS, "pen", .failure = "535 no",
		  .object = CLIENT_PARKED },
		{ "wrong, scram", SERVER_AUTH_PASSWORDS | SERVER_AUTH_SCRAM, PASSWORDS, "pen", here, here,
		  .failure = "535 no", .object = CLIENT_PARKED },
		{ "two TLS connections, and somebody between", SERVER_AUTH_PASSWORDS | SERVER_AUTH_SCRAM, SCRAM,
		  "pencil", here, there, .failure = "535 no", .object = CLIENT_PARKED },
		{ "who takes -PLUS away", SERVER_AUTH_SCRAM, SCRAM, "pencil", here, there,
		  .between = { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-NONE", 0 }, .failure = "535 no",
		  .object = CLIENT_PARKED, .said = "AUTH SCRAM-SHA-256 eSws" },
		{ "who does so where there is no binding to begin with", SERVER_AUTH_SCRAM, SCRAM, "pencil", NULL,
		  there, .between = { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256-NONE", 0 }, .used = "SCRAM-SHA-256" },
		{ "who changes the salt", SHA_256, SCRAM, "pencil",
		  .between = { "cz1jR1Z3Y0dWeSxp", "cz1jR1Z3Y0dWeixp", 0 }, .failure = "535 no",
		  .object = CLIENT_PARKED },
		{ "who accepts in the server's place", SHA_256, SCRAM, "pencil", .between = { "334 dj", "235 dj", 0 },
		  .failure = "0 the server accepted without proving that it knows the password",
		  .object = CLIENT_LANE },
		{ "who cannot sign as the server", SHA_256, SCRAM, "pencil", .between = { "334 dj", "334 dj", 12 },
		  .failure = "0 the server cannot prove that it knows the password", .object = CLIENT_LANE },
		{ "who makes it cheap", SHA_256, SCRAM, "pencil", .between = { "PTQwOTY=", "PTEwOTY=", 0 },
		  .failure = "0 the server's challenge would make the password easy to guess (too few iterations)",
		  .object = CLIENT_LANE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct pair p;
		const char *used;

		play(row, &p);
		used = client_peer(p.client)->auth_used;
		if (row->used ? !p.is_ready || !used || strcmp(used, row->used) != 0 ||
					strcmp(server_user(p.server), "user") != 0
			      : p.is_ready || strcmp(p.failure, row->failure) != 0 || p.object != row->object ||
					server_user(p.server)[0])
			fail_msg("%s: used %s, %s\n%s", row->name, used ? used : "none", p.failure, buf_cstr(&p.seen));
		if (row->said && !strstr(buf_cstr(&p.seen), row->said))
			fail_msg("%s: %s", row->name, buf_cstr(&p.seen));
		end(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_knows_the_password_gets_in_and_nobody_between_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
