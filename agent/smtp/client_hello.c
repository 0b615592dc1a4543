#include "smtp/client_hello.h"

#include "base/text.h"
#include "smtp/verdict.h"

enum { PEER_TEXT_MAX = 256, AUTH_MAX = 32 * 1024 };

static void say_hello(struct client *c, enum client_state state)
{
	const char *verb = state == CLIENT_STATE_HELO ? "HELO" : c->config.lmtp ? "LHLO" : "EHLO";

	client_state_enter(c, state);
	buf_printf(&c->out, "%s %s\r\n", verb, c->config.ehlo_name);
}

static bool is_tls_promised(const struct client *c)
{
	return c->config.tls == CLIENT_TLS_STARTTLS || c->config.tls == CLIENT_TLS_IMPLICIT;
}

static struct span first_line(const struct reply *reply)
{
	return span_first(reply->lines, span_find(reply->lines, '\n'));
}

static struct span keep_text(struct buf *buf, const struct reply *reply)
{
	buf_clear(buf);
	text_clean(buf, first_line(reply), PEER_TEXT_MAX);
	return buf_span(buf);
}

/* Writes the response to a challenge, the first one in the AUTH command itself where the mechanism allows. */
static void write_response(struct client *c, struct span challenge, int64_t now_ms)
{
	enum sasl_verdict verdict = SASL_MORE;
	bool begins = c->state != CLIENT_STATE_AUTH;

	c->is_secret = true;
	/* Room for all of it beforehand, so that no outgrown copy stays behind in freed memory. */
	buf_reserve(&c->out, AUTH_MAX);
	if (begins) {
		client_state_enter(c, CLIENT_STATE_AUTH);
		buf_printf(&c->out, "AUTH %s", sasl_name(c->mechanism));
		if (sasl_is_client_first(c->mechanism))
			buf_append_char(&c->out, ' ');
	}
	if (!begins || sasl_is_client_first(c->mechanism))
		verdict = sasl_step(c->sasl, challenge, &c->out);
	if (verdict == SASL_BAD) {
		client_state_fail_saying(c, CLIENT_LANE, "the server's challenge makes no sense", false, now_ms);
		return;
	}
	buf_append_str(&c->out, "\r\n");
	c->sasl_is_done = verdict == SASL_DONE;
}

static void begin_auth(struct client *c, int64_t now_ms)
{
	bool offers = c->offer.extensions & EHLO_BIT(EHLO_AUTH);

	if (c->config.auth == 0) {
		client_state_enter(c, CLIENT_STATE_OPEN);
		return;
	}
	c->mechanism = sasl_choose(c->offer.auth, c->config.auth);
	/* In clear text anybody may have written the offer. Where clear text was configured it is a mistake there. */
	if (!(c->is_tls && c->is_authentic) && (c->mechanism == SASL_NONE || sasl_is_plain(c->mechanism))) {
		client_state_fail_saying(c, c->config.tls == CLIENT_TLS_NONE ? CLIENT_PARKED : CLIENT_LANE,
					 "the connection is not protected: the password was not sent", true, now_ms);
		return;
	}
	if (c->mechanism == SASL_NONE) {
		client_state_fail_saying(c, CLIENT_PARKED,
					 offers ? "the server offers no AUTH mechanism that is allowed and known here"
						: "the server does not offer AUTH",
					 true, now_ms);
		return;
	}
	c->sasl = sasl_new(c->mechanism, span_str(c->config.user), c->config.secret);
	if (!c->sasl) {
		client_state_fail_saying(c, CLIENT_PARKED,
					 "the user name or the password is empty, too long or holds a NUL byte", true,
					 now_ms);
		return;
	}
	write_response(c, SPAN(""), now_ms);
}

static void after_hello(struct client *c, int64_t now_ms)
{
	bool offers = c->offer.extensions & EHLO_BIT(EHLO_STARTTLS);

	if (!c->is_tls && c->config.tls != CLIENT_TLS_NONE && offers) {
		client_state_enter(c, CLIENT_STATE_STARTTLS);
		buf_append_str(&c->out, "STARTTLS\r\n");
	} else if (!c->is_tls && is_tls_promised(c)) {
		client_state_fail_saying(c, CLIENT_LANE, "the server does not offer STARTTLS, and TLS is required",
					 true, now_ms);
	} else {
		begin_auth(c, now_ms);
	}
}

static void on_greeting(struct client *c, const struct reply *reply, int64_t now_ms)
{
	c->is_greeted = true;
	c->peer.greeting = keep_text(&c->greeting, reply);
	if (reply->code == 220)
		say_hello(c, CLIENT_STATE_EHLO);
	else if (reply->code < 400)
		client_state_doubt(c, "the server's greeting makes no sense", now_ms);
	else
		client_state_fail(c, CLIENT_LANE, reply, reply->code != 421, now_ms);
}

static void on_hello(struct client *c, const struct reply *reply, int64_t now_ms)
{
	bool is_ehlo = c->state == CLIENT_STATE_EHLO;

	if (reply->code == 250) {
		c->offer = is_ehlo ? ehlo_parse(reply->lines) : (struct ehlo){ 0 };
		c->peer.hello = keep_text(&c->hello, reply);
		c->peer.esmtp = is_ehlo;
		c->peer.extensions = c->offer.extensions;
		c->peer.auth_offered = c->offer.auth;
		c->peer.size_max_bytes = c->offer.size_bytes;
		c->peer.by_min_ms = c->offer.by_min_ms;
		c->peer.mail_max = c->offer.mail_max;
		c->peer.rcpt_max = c->offer.rcpt_max;
		c->peer.domain_max = c->offer.domain_max;
		after_hello(c, now_ms);
	} else if (reply->code < 400) {
		client_state_doubt(c,
				   c->config.lmtp ? "the server's reply does not belong to LHLO"
						  : "the server's reply does not belong to EHLO",
				   now_ms);
	} else if (is_ehlo && reply->code >= 500 && !is_tls_promised(c) && c->config.auth == 0 && !c->config.lmtp) {
		say_hello(c, CLIENT_STATE_HELO); /* RFC 5321, 3.2 */
	} else {
		client_state_fail(c, CLIENT_LANE, reply, reply->code != 421, now_ms);
	}
}

static void on_starttls(struct client *c, const struct reply *reply, int64_t now_ms)
{
	if (reply->code == 220) {
		client_state_enter(c, CLIENT_STATE_TLS); /* where every further byte in clear text is the end */
		c->tls_is_asked = false;
	} else if (reply->code < 400) {
		client_state_doubt(c, "the server's reply does not belong to STARTTLS", now_ms);
	} else if (is_tls_promised(c) || reply->code == 421) {
		client_state_fail(c, CLIENT_LANE, reply, reply->code != 421, now_ms);
	} else {
		begin_auth(c, now_ms);
	}
}

static void on_auth(struct client *c, const struct reply *reply, int64_t now_ms)
{
	/* Whoever has a name and a password has an account. */
	struct verdict_context context = { .relay = true };
	bool politely = reply->code != 421;

	if (reply->code == 334) {
		write_response(c, first_line(reply), now_ms);
		return;
	}
	switch (verdict_of(CLIENT_AT_AUTH, reply, context)) {
	case VERDICT_OK:
		if (!c->sasl_is_done) {
			client_state_doubt(c, "the server accepted before the AUTH exchange was complete", now_ms);
			return;
		}
		sasl_free(c->sasl);
		c->sasl = NULL;
		c->peer.auth_used = sasl_name(c->mechanism);
		client_state_enter(c, CLIENT_STATE_OPEN);
		return;
	case VERDICT_PARKED: client_state_fail(c, CLIENT_PARKED, reply, politely, now_ms); return;
	case VERDICT_THROTTLED: client_state_fail(c, CLIENT_THROTTLED, reply, politely, now_ms); return;
	case VERDICT_SENSELESS: client_state_doubt(c, "the server's reply does not belong to AUTH", now_ms); return;
	case VERDICT_CLOSING:
	case VERDICT_LANE:
	case VERDICT_TEMPORARY:
	case VERDICT_PERMANENT:
	case VERDICT_TOO_MANY:
	case VERDICT_SEQUENCE: client_state_fail(c, CLIENT_LANE, reply, politely, now_ms); return;
	}
}

void client_hello_reply(struct client *c, const struct reply *reply, int64_t now_ms)
{
	switch (c->state) {
	case CLIENT_STATE_GREETING: on_greeting(c, reply, now_ms); break;
	case CLIENT_STATE_EHLO:
	case CLIENT_STATE_HELO: on_hello(c, reply, now_ms); break;
	case CLIENT_STATE_STARTTLS: on_starttls(c, reply, now_ms); break;
	case CLIENT_STATE_AUTH: on_auth(c, reply, now_ms); break;
	case CLIENT_STATE_TLS:
	case CLIENT_STATE_OPEN:
	case CLIENT_STATE_QUIT:
	case CLIENT_STATE_CLOSED:
	case CLIENT_STATES: break;
	}
}

void client_hello_secured(struct client *c, bool authentic)
{
	c->is_tls = c->peer.tls = true;
	c->is_authentic = authentic;
	c->offer = (struct ehlo){ 0 };
	c->peer.hello = SPAN("");
	c->peer.extensions = c->peer.auth_offered = 0;
	c->peer.size_max_bytes = 0;
	c->peer.by_min_ms = 0;
	c->peer.mail_max = c->peer.rcpt_max = c->peer.domain_max = 0;
	reply_reset(&c->reader);
	if (c->is_greeted)
		say_hello(c, CLIENT_STATE_EHLO);
	else
		client_state_enter(c, CLIENT_STATE_GREETING);
}
