#include "smtp/client_mail.h"

#include <assert.h>
#include <inttypes.h>

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
	*out_ahead = older->state == TRANSACTION_BODY || older->state == TRANSACTION_CHUNK ||
		     older->state == TRANSACTION_DOT;
	/* Behind several last replies (LMTP) a lost one would be taken for another, and those before it put in doubt. */
	if (*out_ahead)
		return is_pipelining(c) && c->config.pipeline_next && !(older->is_lmtp && older->accepted > 1);
	return older->state == TRANSACTION_FREE || older->state == TRANSACTION_SETTLED;
}

/* Its next command, or the whole envelope as one group (RFC 2920, 3.1). */
static void write_commands(struct client *c, struct transaction *t, int64_t now_ms)
{
	if (!client_state_owed(c) && !reply_is_idle(&c->reader)) {
		client_state_doubt(c, "the server spoke before it was asked", now_ms);
		return;
	}
	while (transaction_write(t, &c->offer, now_ms, &c->out) && is_pipelining(c))
		;
}

/* What was just written ends something that will be answered. */
static void mark_end(struct client *c, struct transaction *t)
{
	transaction_wrote_end(t);
	c->out_end = c->out.len;
	c->end_is_held = true;
}

static void write_dot(struct client *c, struct transaction *t, struct span dot)
{
	bool ok = buf_append_span(&c->out, dot);

	assert(ok); /* there is room for it behind any body */
	mark_end(c, t);
}

void client_mail_begin(struct client *c, const struct client_message *message, int64_t now_ms)
{
	struct transaction *older = client_state_older(c);
	struct transaction *t = older->state == TRANSACTION_FREE ? older : client_state_younger(c);

	struct transaction_terms terms = {
		.offer = &c->offer,
		.is_proven = c->is_tls && c->is_authentic && !c->config.tls_unproven,
		.with_reset = c->needs_reset,
		.is_lmtp = c->config.lmtp,
		.now_ms = now_ms,
	};

	transaction_begin(t, message, &terms);
	if (t->state == TRANSACTION_SETTLED)
		return;
	c->needs_reset = false;
	if (++c->mails == c->offer.mail_max)
		c->quits = true; /* RFC 9422: one more would be refused */
	if (t == older || (older->state != TRANSACTION_BODY && older->state != TRANSACTION_CHUNK))
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

void client_mail_end_is_sent(struct client *c, int64_t now_ms)
{
	struct transaction *t = client_state_older(c);

	if (t->state == TRANSACTION_DOT || t->state == TRANSACTION_EMPTY_DOT)
		client_state_limit(t, c->config.data_ms, t->accepted, now_ms);
}

/* ---------------------------------------------------------------- by BDAT (RFC 3030) */

bool client_mail_is_in_chunks(struct client *c)
{
	const struct transaction *t = client_state_older(c);

	return t->is_chunked && (t->state == TRANSACTION_BODY || t->state == TRANSACTION_CHUNK);
}

static void begin_chunk(struct client *c)
{
	bool is_last = c->body_left <= c->config.chunk_bytes, ok;

	c->chunk_left = is_last ? c->body_left : c->config.chunk_bytes;
	ok = buf_printf(&c->out, "BDAT %" PRIu64 "%s\r\n", c->chunk_left, is_last ? " LAST" : "");
	assert(ok); /* at most GROUP_MIN bytes were left in it */
}

static void end_chunk(struct client *c, struct transaction *t, int64_t now_ms)
{
	struct transaction *next = client_state_younger(c);

	t->state = c->body_left ? TRANSACTION_CHUNK : TRANSACTION_DOT;
	mark_end(c, t);
	if (t->state == TRANSACTION_DOT && next->state == TRANSACTION_QUEUED)
		write_commands(c, next, now_ms);
}

/* What the chunk at hand takes, at most to its end; returns the rest. */
static struct span put(struct client *c, struct transaction *t, struct span bytes, int64_t now_ms)
{
	struct span part;
	bool ok;

	if (c->chunk_left == 0)
		begin_chunk(c);
	part = span_first(bytes, c->chunk_left < bytes.len ? (size_t)c->chunk_left : bytes.len);
	ok = buf_append_span(&c->out, part);
	assert(ok);
	c->chunk_left -= part.len;
	c->body_left -= part.len;
	if (c->chunk_left == 0)
		end_chunk(c, t, now_ms);
	return span_from(bytes, part.len);
}

/* What was announced cannot be taken back: only the end of the connection ends such a chunk. */
static void give_up(struct client *c, int64_t now_ms)
{
	struct client_state_ending how = { .in_body = CLIENT_TEMPORARY, .at_dot = CLIENT_DOUBTFUL };

	c->failure.phase = CLIENT_AT_BODY;
	c->failure.reply.text = SPAN("the message is not as long as was announced");
	client_state_end(c, how, now_ms);
}

void client_mail_chunk(struct client *c, struct span bytes, int64_t now_ms)
{
	struct transaction *t = client_state_older(c);

	if (bytes.len > c->body_left) {
		give_up(c, now_ms);
		return;
	}
	if (bytes.len)
		bytes = put(c, t, bytes, now_ms);
	buf_append_span(&c->rest, bytes); /* fits: it is a part of one piece */
	c->body_is_due = t->state == TRANSACTION_BODY;
}

void client_mail_chunks_end(struct client *c, int64_t now_ms)
{
	c->body_is_asked = c->body_is_due = false;
	if (c->rest.len != c->body_left)
		give_up(c, now_ms);
	client_state_rearm(c, now_ms);
}

static void begin_body(struct client *c, struct transaction *t, int64_t now_ms)
{
	dot_encode_init(&c->dot);
	c->body_left = t->message->size_bytes;
	c->chunk_left = 0;
	client_state_limit(t, 2 * c->config.data_ms, 0, now_ms);
}

/* The first chunk may begin, or the next one. */
static void go_on_with_chunks(struct client *c, struct transaction *t, int64_t now_ms)
{
	if (!buf_is_empty(&c->rest) || c->body_left == 0) {
		struct span left = put(c, t, buf_span(&c->rest), now_ms);

		buf_consume(&c->rest, c->rest.len - left.len);
	}
	c->body_is_due = t->state == TRANSACTION_BODY;
}

/* ---------------------------------------------------------------- replies */

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

	if (transaction_is_hopeless(t))
		transaction_close(t);
	if (older->state == TRANSACTION_ANSWERED && is_count_proven(client_state_younger(c)))
		transaction_settle(older, CLIENT_DOUBTFUL, CLIENT_AT_DOT, NULL);
	if (t->state == TRANSACTION_SETTLED)
		c->needs_reset = transaction_is_left_open(t);
	if (client_state_owed(c))
		return;
	/* A refused chunk leaves behind what was to travel with the last one. */
	if (!c->is_failing && t->state == TRANSACTION_SETTLED && t == older &&
	    client_state_younger(c)->state == TRANSACTION_QUEUED) {
		t = client_state_younger(c);
		if (c->needs_reset)
			transaction_reset_first(t);
		c->needs_reset = false;
		write_commands(c, t, now_ms);
		return;
	}
	if (c->is_failing)
		end_failing(c, t, now_ms);
	else if (t->state == TRANSACTION_ENVELOPE)
		write_commands(c, t, now_ms);
	else if (t->state == TRANSACTION_EMPTY_DOT)
		write_dot(c, t, SPAN(".\r\n"));
	else if (t->state == TRANSACTION_BODY) {
		if (transaction_chunks(t) == 0)
			begin_body(c, t, now_ms);
		if (t->is_chunked)
			go_on_with_chunks(c, t, now_ms);
		else
			c->body_is_due = true;
	}
}

/* The server does not want the rest of a chunk, and would have it all the same (RFC 3030, 2): faster is a new
 * connection. As it came early, it may be about something else, and refuses nothing for good. */
static void on_early_refusal(struct client *c, const struct reply *reply, int64_t now_ms)
{
	struct client_state_ending how = { .in_body = CLIENT_UNTRIED, .at_dot = CLIENT_DOUBTFUL };

	transaction_settle(client_state_older(c), CLIENT_TEMPORARY, CLIENT_AT_BDAT, reply);
	c->failure.phase = CLIENT_AT_IDLE;
	c->failure.reply.text = SPAN("the connection ended with the message before");
	client_state_end(c, how, now_ms);
}

static bool is_inside_chunk(struct client *c)
{
	return client_state_older(c)->is_chunked && (c->chunk_left > 0 || c->end_is_held);
}

/* Its commands are written and have not left: the server's reply cannot be to them. What travels behind a dot is written
 * last. */
static bool is_unsent(struct client *c, const struct transaction *t)
{
	return !buf_is_empty(&c->out) &&
	       (t == client_state_younger(c) || !transaction_is_owed(client_state_younger(c)));
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
	struct verdict_context context = {
		.relay = c->config.relay,
		.lmtp = c->config.lmtp,
		.authenticated = c->peer.auth_used,
	};
	enum client_phase phase = client_state_phase(c);
	enum client_object object = CLIENT_LANE;

	if (phase == CLIENT_AT_BODY && is_inside_chunk(c) && reply->code >= 400 && reply->code != 421) {
		on_early_refusal(c, reply, now_ms);
		return;
	}
	if (!t || phase == CLIENT_AT_BODY) {
		on_surplus(c, reply, phase, now_ms);
		return;
	}
	if (is_unsent(c, t)) {
		client_state_doubt(c, "the server spoke before it was asked", now_ms);
		return;
	}
	if (t->limit_ms == INT64_MAX)
		client_state_limit(t, c->config.command_ms, t->asked, now_ms);
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
