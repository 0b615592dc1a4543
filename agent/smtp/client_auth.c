#include "smtp/client_auth.h"

#include "base/text.h"
#include "smtp/verdict.h"

enum {
	OUT_MIN = 32 * 1024, /* more than any response */
	COMMAND_MAX = 512,   /* RFC 5321, 4.5.3.1.4 */
	TEXT_MAX = 2048,
};

static bool is_protected(const struct client *c)
{
	return c->is_tls && c->is_authentic;
}

static struct span binding_of(const struct client *c)
{
	return c->has_binding && is_protected(c) ? span_of(c->binding, sizeof(c->binding)) : SPAN("");
}

/* What is allowed on this connection, whatever the server offers. */
static unsigned allowed(const struct client *c)
{
	unsigned mask = c->config.auth & ~c->auth_tried;

	if (!is_protected(c))
		return c->config.auth_in_clear ? mask & SASL_CHALLENGED & ~(unsigned)SASL_PLUS : 0;
	return binding_of(c).len ? mask : mask & ~(unsigned)SASL_PLUS;
}

/* RFC 5802, 6: said by a client that could and would bind, to a server that seems unable to. One that offers -PLUS and
 * then does not know it is no more able to. */
static bool could_have_bound(const struct client *c)
{
	return c->config.auth & SASL_PLUS && !(c->offer.auth & ~c->auth_tried & SASL_PLUS);
}

static struct sasl *new_exchange(const struct client *c, enum sasl_mechanism mechanism)
{
	struct sasl_setup setup = {
		.mechanism = mechanism,
		.user = span_str(c->config.user),
		.secret = c->config.secret,
		.binding = binding_of(c),
		.could_have_bound = could_have_bound(c),
		.host = c->config.host,
		.port = c->config.port,
	};

	return sasl_new(&setup);
}

static void write_line(struct client *c, struct span response)
{
	c->is_secret = true;
	/* Room for all of it beforehand, so that no outgrown copy stays behind in freed memory. */
	buf_reserve(&c->out, OUT_MIN);
	buf_append_span(&c->out, response);
	buf_append_str(&c->out, "\r\n");
}

/* RFC 4954, 4: a first response that makes the command too long waits to be asked for; an empty one is "=". */
static void write_command(struct client *c, struct span response)
{
	const char *name = sasl_name(c->mechanism);
	bool has_response = sasl_is_client_first(c->mechanism);

	c->auth_waits = has_response && strlen("AUTH  \r\n") + strlen(name) + response.len > COMMAND_MAX;
	buf_printf(&c->out, "AUTH %s", name);
	if (has_response && !c->auth_waits)
		buf_append_char(&c->out, ' ');
	write_line(c, !has_response || c->auth_waits ? SPAN("") : response.len ? response : SPAN("="));
	if (c->auth_waits)
		c->auth_response = response;
}

static void start(struct client *c, int64_t now_ms)
{
	struct span response = SPAN("");
	enum sasl_verdict verdict = SASL_MORE;

	if (sasl_is_client_first(c->mechanism))
		verdict = sasl_step(c->sasl, SPAN(""), &response);
	if (verdict == SASL_BAD) {
		client_state_fail_saying(c, CLIENT_PARKED, sasl_why(c->sasl), true, now_ms);
		return;
	}
	if (c->state != CLIENT_STATE_AUTH)
		client_state_enter(c, CLIENT_STATE_AUTH);
	c->sasl_is_done = verdict == SASL_DONE;
	write_command(c, response);
}

/* Nothing was tried yet, and nothing can be. */
static void fail_without(struct client *c, int64_t now_ms)
{
	bool offers = c->offer.extensions & EHLO_BIT(EHLO_AUTH);

	/* In clear text anybody may have written the offer. Where clear text was configured it is a mistake there. */
	if (!is_protected(c) && (!c->config.auth_in_clear || c->offer.auth & c->config.auth))
		client_state_fail_saying(c, c->config.tls == CLIENT_TLS_NONE ? CLIENT_PARKED : CLIENT_LANE,
					 "the connection is not protected: the password was not sent", true, now_ms);
	else
		client_state_fail_saying(c, CLIENT_PARKED,
					 offers ? "the server offers no AUTH mechanism that is allowed and known here"
						: "the server does not offer AUTH",
					 true, now_ms);
}

/* False: there is none left, and all is as before. One that cannot carry this name or secret gives way to the next. */
static bool choose(struct client *c)
{
	enum sasl_mechanism mechanism;
	struct sasl *next = NULL;

	while (!next && (mechanism = sasl_choose(c->offer.auth, allowed(c))) != SASL_NONE) {
		c->auth_tried |= SASL_BIT(mechanism);
		next = new_exchange(c, mechanism);
	}
	if (!next)
		return false;
	sasl_free(c->sasl);
	c->sasl = next;
	c->mechanism = mechanism;
	return true;
}

void client_auth_begin(struct client *c, int64_t now_ms)
{
	if (c->config.auth == 0) {
		client_state_enter(c, CLIENT_STATE_OPEN);
		return;
	}
	c->auth_tried = 0;
	if (choose(c))
		start(c, now_ms);
	else if (c->auth_tried)
		client_state_fail_saying(
			c, CLIENT_PARKED,
			"the user name or the secret is empty, too long, or holds what AUTH cannot carry", true,
			now_ms);
	else
		fail_without(c, now_ms);
}

/* ---------------------------------------------------------------- replies */

/* What the server says never shows a secret to whoever reads why mail waits; what it said in a challenge, the code of an
 * OAuth error, stands behind it. */
static void fail(struct client *c, enum client_object object, const struct reply *reply, int64_t now_ms)
{
	struct reply shown = *reply;
	struct buf text;

	buf_init(&text, TEXT_MAX);
	if (c->sasl) {
		struct span reason = sasl_reason(c->sasl);

		sasl_hide(c->sasl, reply->text, &text);
		if (reason.len)
			buf_printf(&text, "%s(%.*s)", text.len ? " " : "", SPAN_ARGS(reason));
		shown.text = buf_span(&text);
	}
	client_state_fail(c, object, &shown, reply->code != 421, now_ms);
	buf_fini(&text);
}

static bool says_mechanism(struct span text)
{
	static const struct span word = { "mechanism", 9 };

	for (size_t i = 0; i + word.len <= text.len; i++)
		if (span_starts_fold(span_from(text, i), word))
			return true;
	return false;
}

/* RFC 4954, 4 and 6: it does not know the mechanism, or not for this user. Others say 534 for what is about the account
 * ("application-specific password required"). */
static bool is_lack(const struct reply *reply)
{
	return reply->code == 504 || (reply->code == 534 && says_mechanism(reply->text));
}

static void on_challenge(struct client *c, const struct reply *reply, int64_t now_ms)
{
	struct span line = span_first(reply->lines, span_find(reply->lines, '\n')), response;
	enum sasl_verdict verdict;

	if (c->auth_waits) {
		c->auth_waits = false;
		write_line(c, c->auth_response);
		return;
	}
	/* RFC 4954, 4: a challenge is one line. */
	verdict = line.len + 1 < reply->lines.len ? SASL_BAD : sasl_step(c->sasl, line, &response);
	if (verdict == SASL_BAD) {
		const char *why = sasl_why(c->sasl);

		client_state_fail_saying(c, CLIENT_LANE, *why ? why : "the server's challenge makes no sense", false,
					 now_ms);
		return;
	}
	c->sasl_is_done = verdict == SASL_DONE;
	write_line(c, response);
}

static void on_success(struct client *c, int64_t now_ms)
{
	bool proves = SASL_BIT(c->mechanism) & SASL_CHALLENGED && c->mechanism != SASL_CRAM_MD5;

	if (!c->sasl_is_done || c->auth_waits) {
		client_state_doubt(c,
				   proves ? "the server accepted without proving that it knows the password"
					  : "the server accepted before the AUTH exchange was complete",
				   now_ms);
		return;
	}
	sasl_free(c->sasl);
	c->sasl = NULL;
	c->peer.auth_used = sasl_name(c->mechanism);
	client_state_enter(c, CLIENT_STATE_OPEN);
}

void client_auth_reply(struct client *c, const struct reply *reply, int64_t now_ms)
{
	/* Whoever has a name and a password has an account. */
	struct verdict_context context = { .relay = true };

	if (reply->code == 334) {
		on_challenge(c, reply, now_ms);
		return;
	}
	switch (verdict_of(CLIENT_AT_AUTH, reply, context)) {
	case VERDICT_OK: on_success(c, now_ms); return;
	case VERDICT_PARKED:
		if (is_lack(reply) && choose(c))
			start(c, now_ms);
		else
			fail(c, CLIENT_PARKED, reply, now_ms);
		return;
	case VERDICT_THROTTLED: fail(c, CLIENT_THROTTLED, reply, now_ms); return;
	case VERDICT_SENSELESS: client_state_doubt(c, "the server's reply does not belong to AUTH", now_ms); return;
	case VERDICT_CLOSING:
	case VERDICT_LANE:
	case VERDICT_TEMPORARY:
	case VERDICT_PERMANENT:
	case VERDICT_TOO_MANY:
	case VERDICT_SEQUENCE: fail(c, CLIENT_LANE, reply, now_ms); return;
	}
}
