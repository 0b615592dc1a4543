#include "smtp/client_hello.h"

#include "base/text.h"
#include "smtp/client_auth.h"

enum { PEER_TEXT_MAX = 256 };

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
		client_auth_begin(c, now_ms);
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
		client_auth_begin(c, now_ms);
	}
}

void client_hello_reply(struct client *c, const struct reply *reply, int64_t now_ms)
{
	if (!buf_is_empty(&c->out)) {
		client_state_doubt(c, "the server spoke before it was asked", now_ms);
		return;
	}
	switch (c->state) {
	case CLIENT_STATE_GREETING: on_greeting(c, reply, now_ms); break;
	case CLIENT_STATE_EHLO:
	case CLIENT_STATE_HELO: on_hello(c, reply, now_ms); break;
	case CLIENT_STATE_STARTTLS: on_starttls(c, reply, now_ms); break;
	case CLIENT_STATE_AUTH: client_auth_reply(c, reply, now_ms); break;
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
