#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "smtp/sasl_server.h"
#include "smtp/server_inside.h"

/* AUTH (RFC 4954): the frame around a SASL exchange. */

/* One exchange; a new one for every AUTH. */
struct server_exchange {
	struct sasl_server *sasl;
	enum server_mechanism mechanism;
	bool has_verifier; /* the answer to what was asked */
	struct scram_verifier verifier;
};

static const struct {
	enum server_mechanism mechanism;
	const char *name;
} rows[] = {
#define X(name, keyword) { SERVER_AUTH_##name, keyword },
	SERVER_MECHANISMS(X)
#undef X
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const char *name_of(enum server_mechanism mechanism)
{
	size_t i = 0;

	while (rows[i].mechanism != mechanism)
		i++;
	return rows[i].name;
}

unsigned server_auth_available(const struct server *s)
{
	unsigned mask = s->config->mechanisms ? s->config->mechanisms : SERVER_AUTH_PASSWORDS;

	if (s->facts.mechanisms)
		mask &= s->facts.mechanisms;
	if (!s->is_tls && !s->facts.is_local && !s->config->auth_without_tls)
		mask = 0;
	if (!s->facts.binding.len)
		mask &= ~(unsigned)SERVER_AUTH_SCRAM_SHA_256_PLUS;
	if (!s->facts.user)
		mask &= ~(unsigned)SERVER_AUTH_EXTERNAL;
	return mask;
}

void server_auth_list(const struct server *s, struct buf *out)
{
	unsigned available = server_auth_available(s);

	for (size_t i = 0; i < ROWS; i++) {
		if (!(available & rows[i].mechanism))
			continue;
		buf_append_char(out, ' ');
		buf_append_str(out, rows[i].name);
	}
}

void server_auth_forget(struct server *s)
{
	if (!s->exchange)
		return;
	sasl_server_free(s->exchange->sasl);
	mem_wipe_free(s->exchange, sizeof(*s->exchange));
	s->exchange = NULL;
	command_reader_wipe(&s->line);
}

const struct server_auth *server_auth_question(const struct server *s)
{
	return sasl_server_question(s->exchange->sasl);
}

void server_auth_end(struct server *s, bool accepted)
{
	if (accepted) {
		s->user = mem_strdup(server_auth_question(s)->user);
		s->mechanism = name_of(s->exchange->mechanism);
	}
	server_auth_forget(s);
	server_enter(s, STATE_HELLO);
}

/* Ends an exchange that went wrong; the peer may try again. */
static void give_up(struct server *s, int code, const char *status, const char *text)
{
	server_auth_forget(s);
	if (s->state != STATE_HELLO)
		server_enter(s, STATE_HELLO);
	server_say_error(s, code, status, text);
}

static void say_challenge(struct server *s, struct span challenge)
{
	struct buf text;

	buf_init(&text, COMMAND_AUTH_MAX);
	text_base64_encode(&text, challenge);
	server_enter(s, STATE_AUTH_LINE);
	server_say(s, 334, NULL, buf_cstr(&text));
	buf_fini(&text);
}

static void take(struct server *s, enum sasl_server_verdict verdict, struct buf *challenge)
{
	switch (verdict) {
	case SASL_SERVER_SAY: say_challenge(s, buf_span(challenge)); break;
	case SASL_SERVER_ASK: server_enter(s, STATE_ASK_AUTH); break;
	case SASL_SERVER_BAD: give_up(s, 501, "5.5.2", "The credentials are malformed"); break;
	}
	buf_fini(challenge);
}

/* "=" is an empty initial response (RFC 4954, 4); some clients say it later as well. */
static void respond(struct server *s, struct span base64)
{
	struct buf response, challenge;

	buf_init(&response, COMMAND_AUTH_MAX);
	buf_init(&challenge, COMMAND_AUTH_MAX);
	/* Room for all of it at once: no copy is left behind by growing. */
	if (!span_equals(base64, SPAN("=")) &&
	    (!buf_reserve(&response, base64.len) || !text_base64_decode(&response, base64)))
		give_up(s, 501, "5.5.2", "That is not base64");
	else
		take(s, sasl_server_step(s->exchange->sasl, buf_span(&response), &challenge), &challenge);
	buf_wipe(&response);
}

void server_auth_verify(struct server *s)
{
	struct server_exchange *exchange = s->exchange;
	struct buf challenge;

	exchange->has_verifier = false;
	buf_init(&challenge, COMMAND_AUTH_MAX);
	take(s, sasl_server_verifier(exchange->sasl, &exchange->verifier, &challenge), &challenge);
}

bool server_auth_has_verifier(const struct server *s)
{
	return s->exchange && s->exchange->has_verifier;
}

void server_auth_keep(struct server *s, const struct scram_verifier *verifier)
{
	assert(server_auth_question(s)->kind == SERVER_AUTH_VERIFIER);
	s->exchange->has_verifier = true;
	s->exchange->verifier = *verifier;
}

static bool start(struct server *s, enum server_mechanism mechanism)
{
	bool offers_plus = server_auth_available(s) & SERVER_AUTH_SCRAM_SHA_256_PLUS;
	struct sasl_server_setup setup = { mechanism, s->facts.user, s->facts.binding, offers_plus };
	struct sasl_server *sasl = sasl_server_new(&setup);

	if (!sasl)
		return false;
	s->exchange = MEM_NEW(struct server_exchange);
	s->exchange->sasl = sasl;
	s->exchange->mechanism = mechanism;
	return true;
}

void server_auth_begin(struct server *s, struct span args)
{
	struct span name = span_first(args, span_find(args, ' '));
	struct span initial = span_trim(span_from(args, name.len));
	struct buf challenge;
	size_t i = 0;

	while (i < ROWS && !span_equals_fold(name, span_str(rows[i].name)))
		i++;
	if (i < ROWS && rows[i].mechanism == SERVER_AUTH_EXTERNAL && !s->facts.user) {
		server_say_error(s, 504, "5.5.4", "EXTERNAL needs a client certificate that is trusted here");
		return;
	}
	if (i == ROWS || !(server_auth_available(s) & rows[i].mechanism)) {
		server_say_error(s, 504, "5.5.4", "The mechanism is not available");
		return;
	}
	if (!start(s, rows[i].mechanism)) {
		server_say(s, 454, "4.7.0", "The mechanism is not available just now");
		return;
	}
	buf_init(&challenge, COMMAND_AUTH_MAX);
	if (initial.len)
		respond(s, initial);
	else
		take(s, sasl_server_begin(s->exchange->sasl, &challenge), &challenge);
}

void server_auth_line(struct server *s, struct span line)
{
	if (span_equals(line, SPAN("*")))
		give_up(s, 501, "5.7.0", "Authentication was cancelled");
	else
		respond(s, line);
}
