#include "smtp/client_mail.h"

#include <assert.h>

#include "smtp/verdict.h"

static bool is_pipelining(const struct client *c)
{
	return c->config.pipelining && !c->no_pipelining && c->offer.extensions & EHLO_BIT(EHLO_PIPELINING);
}

bool client_mail_has_room(struct client *c, bool *out_ahead)
{
	struct transaction *older = client_state_older(c), *younger = client_state_younger(c);

	if (c->state != CLIENT_STATE_OPEN || c->quits || c->is_failing || younger->state != TRANSACTION_FREE)
		return false;
	*out_ahead = older->state == TRANSACTION_BODY || older->state == TRANSACTION_DOT;
	if (*out_ahead)
		return is_pipelining(c) && c->config.pipeline_next;
	return older->state == TRANSACTION_FREE || older->state == TRANSACTION_SETTLED;
}

/* Its next command, or the whole envelope as one group (RFC 2920, 3.1). */
static void write_commands(struct client *c, struct transaction *t, int64_t now_ms)
{
	if (!client_state_owed(c) && !reply_is_idle(&c->reader)) {
		client_state_doubt(c, "the server spoke before it was asked", now_ms);
		return;
	}
	while (transaction_write(t, &c->offer, &c->out) && is_pipelining(c))
		;
}

static void write_dot(struct client *c, struct transaction *t, struct span dot)
{
	bool ok = buf_append_span(&c->out, dot);

	assert(ok); /* there is room for it behind any body */
	t->sent++;
	c->out_dot = c->out.len;
	c->dot_is_held = true;
}

void client_mail_begin(struct client *c, const struct client_message *message, int64_t now_ms)
{
	struct transaction *older = client_state_older(c);
	struct transaction *t = older->state == TRANSACTION_FREE ? older : client_state_younger(c);

	transaction_begin(t, message, c->needs_reset, &c->offer);
	if (t->state == TRANSACTION_SETTLED)
		return;
	c->needs_reset = false;
	if (t == older || older->state != TRANSACTION_BODY)
		write_commands(c, t, now_ms);
}

void client_mail_complete(struct client *c, int64_t now_ms)
{
	struct transaction *t = client_state_older(c), *next = client_state_younger(c);

	t->state = TRANSACTION_DOT;
	write_dot(c, t, dot_encode_end(&c->dot));
	if (next->state == TRANSACTION_QUEUED)
		write_commands(c, next, now_ms);
}

/* An answered dot stands when what travelled behind it was answered in good order, too. */
static bool is_count_proven(const struct transaction *behind)
{
	return behind->state == TRANSACTION_FREE || behind->state == TRANSACTION_SETTLED || behind->refusals_are_final;
}

static void end_failing(struct client *c, const struct transaction *t, int64_t now_ms)
{
	struct client_state_ending how = {
		/* After 354 a QUIT would be text. */
		.politely = t->state != TRANSACTION_BODY && t->state != TRANSACTION_EMPTY_DOT,
		.in_body = CLIENT_UNTRIED,
		.at_dot = CLIENT_TEMPORARY,
	};

	c->has_failed = true;
	client_state_end(c, how, now_ms);
}

/* What follows from a reply to `t` that came in good order. */
static void go_on(struct client *c, struct transaction *t, int64_t now_ms)
{
	struct transaction *older = client_state_older(c);

	if (older->state == TRANSACTION_ANSWERED && is_count_proven(client_state_younger(c)))
		transaction_settle(older, CLIENT_DOUBTFUL, CLIENT_AT_DOT, NULL);
	if (transaction_is_hopeless(t))
		transaction_close(t);
	if (t->state == TRANSACTION_SETTLED)
		c->needs_reset = transaction_is_left_open(t);
	if (client_state_owed(c))
		return;
	if (c->is_failing)
		end_failing(c, t, now_ms);
	else if (t->state == TRANSACTION_ENVELOPE)
		write_commands(c, t, now_ms);
	else if (t->state == TRANSACTION_EMPTY_DOT)
		write_dot(c, t, SPAN(".\r\n"));
	else if (t->state == TRANSACTION_BODY) {
		dot_encode_init(&c->dot);
		c->body_is_due = true;
	}
}

/* Nobody asked, or the message that it would be about is not yet complete. */
static void on_surplus(struct client *c, const struct reply *reply, enum client_phase phase, int64_t now_ms)
{
	bool is_farewell = reply->code == 421 || (phase == CLIENT_AT_BODY && reply->code >= 400);

	/* A server that gives up in the middle says why; its words are better than ours. */
	if (is_farewell) {
		client_state_note(c, CLIENT_LANE, phase, reply);
		client_state_lose(c, CLIENT_STATE_GONE, reply->text, now_ms);
	} else if (phase == CLIENT_AT_BODY) {
		client_state_doubt(c, "the server answered before the message was complete", now_ms);
	} else {
		client_state_doubt(c, "the server sent a reply that nobody asked for", now_ms);
	}
}

void client_mail_reply(struct client *c, const struct reply *reply, int64_t now_ms)
{
	struct transaction *t = client_state_owed(c);
	struct verdict_context context = { .relay = c->config.relay, .authenticated = c->peer.auth_used };
	enum client_phase phase = client_state_phase(c);
	enum client_object object = CLIENT_LANE;

	if (!t || phase == CLIENT_AT_BODY) {
		on_surplus(c, reply, phase, now_ms);
		return;
	}
	switch (transaction_reply(t, reply, context)) {
	case TRANSACTION_GOES_ON: go_on(c, t, now_ms); return;
	case TRANSACTION_OUT_OF_STEP:
		c->no_pipelining = c->quits = true;
		go_on(c, t, now_ms);
		return;
	case TRANSACTION_DOUBT:
		client_state_doubt(c, "the server's reply does not belong to the command", now_ms);
		return;
	case TRANSACTION_CLOSING: client_state_fail(c, CLIENT_LANE, reply, false, now_ms); return;
	case TRANSACTION_PARKED: object = CLIENT_PARKED; break;
	case TRANSACTION_THROTTLED: object = CLIENT_THROTTLED; break;
	case TRANSACTION_LANE: break;
	}
	client_state_note(c, object, phase, reply);
	if (reply->code == 421)
		client_state_fail(c, object, reply, false, now_ms);
	else
		go_on(c, t, now_ms);
}
