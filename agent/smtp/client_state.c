#include "smtp/client_state.h"

#include <assert.h>

enum {
	SLOWEST_REPLY_MS = 30 * 1000, /* each, beyond the wait for one */
	SLOWEST_RATE = 250,           /* bytes of a body a second, beyond the wait for a block */
};

#define BIT(state) (1u << CLIENT_STATE_##state)

static const unsigned may_follow[CLIENT_STATES] = {
	[CLIENT_STATE_TLS] = BIT(GREETING) | BIT(EHLO) | BIT(CLOSED),
	[CLIENT_STATE_GREETING] = BIT(EHLO) | BIT(QUIT) | BIT(CLOSED),
	[CLIENT_STATE_EHLO] = BIT(HELO) | BIT(STARTTLS) | BIT(AUTH) | BIT(OPEN) | BIT(QUIT) | BIT(CLOSED),
	[CLIENT_STATE_HELO] = BIT(OPEN) | BIT(QUIT) | BIT(CLOSED),
	[CLIENT_STATE_STARTTLS] = BIT(TLS) | BIT(AUTH) | BIT(OPEN) | BIT(QUIT) | BIT(CLOSED),
	[CLIENT_STATE_AUTH] = BIT(OPEN) | BIT(QUIT) | BIT(CLOSED),
	[CLIENT_STATE_OPEN] = BIT(QUIT) | BIT(CLOSED),
	[CLIENT_STATE_QUIT] = BIT(CLOSED),
	[CLIENT_STATE_CLOSED] = 0,
};

void client_state_enter(struct client *c, enum client_state state)
{
	assert(may_follow[c->state] & 1u << state);
	c->state = state;
}

struct transaction *client_state_owed(struct client *c)
{
	struct transaction *older = client_state_older(c), *younger = client_state_younger(c);

	return transaction_is_owed(older) ? older : transaction_is_owed(younger) ? younger : NULL;
}

bool client_state_is_idle(struct client *c)
{
	return client_state_older(c)->state == TRANSACTION_FREE && client_state_younger(c)->state == TRANSACTION_FREE;
}

enum client_phase client_state_phase(struct client *c)
{
	struct transaction *t = client_state_owed(c);

	switch (c->state) {
	case CLIENT_STATE_TLS: return c->is_greeted ? CLIENT_AT_TLS : CLIENT_AT_CONNECT;
	case CLIENT_STATE_GREETING: return CLIENT_AT_GREETING;
	case CLIENT_STATE_EHLO:
	case CLIENT_STATE_HELO: return CLIENT_AT_EHLO;
	case CLIENT_STATE_STARTTLS: return CLIENT_AT_STARTTLS;
	case CLIENT_STATE_AUTH: return CLIENT_AT_AUTH;
	case CLIENT_STATE_QUIT:
	case CLIENT_STATE_CLOSED: return CLIENT_AT_QUIT;
	case CLIENT_STATE_OPEN:
	case CLIENT_STATES: break;
	}
	if (c->end_is_held || client_state_older(c)->state == TRANSACTION_BODY)
		return CLIENT_AT_BODY;
	return t ? transaction_phase(t) : CLIENT_AT_IDLE;
}

static int64_t patience(struct client *c)
{
	switch (client_state_phase(c)) {
	case CLIENT_AT_IDLE: return INT64_MAX;
	case CLIENT_AT_GREETING: return c->config.greeting_ms;
	case CLIENT_AT_BODY:
	case CLIENT_AT_BDAT:
	case CLIENT_AT_DOT: return c->config.data_ms;
	/* Closed: there is something to hand out, and a driver whose output is stuck must hear of it. */
	case CLIENT_AT_QUIT: return c->state == CLIENT_STATE_QUIT ? c->config.quit_ms : 0;
	case CLIENT_AT_CONNECT:
	case CLIENT_AT_EHLO:
	case CLIENT_AT_STARTTLS:
	case CLIENT_AT_TLS:
	case CLIENT_AT_AUTH:
	case CLIENT_AT_MAIL:
	case CLIENT_AT_RCPT:
	case CLIENT_AT_DATA: break;
	}
	return c->config.command_ms;
}

static int64_t later(int64_t ms, int64_t by_ms)
{
	return ms > INT64_MAX - by_ms ? INT64_MAX : ms + by_ms;
}

static int64_t limit(struct client *c)
{
	struct transaction *older = client_state_older(c), *owed = client_state_owed(c);
	bool is_sending = c->end_is_held || older->state == TRANSACTION_BODY;

	if (c->state != CLIENT_STATE_OPEN || (!is_sending && !owed))
		return INT64_MAX;
	return is_sending ? older->limit_ms : owed->limit_ms;
}

void client_state_rearm(struct client *c, int64_t now_ms)
{
	int64_t ms = later(now_ms, patience(c)), limit_ms = limit(c);

	c->deadline_ms = ms < limit_ms ? ms : limit_ms;
}

void client_state_limit(struct transaction *t, int64_t wait_ms, size_t count, int64_t now_ms)
{
	t->limit_ms = later(now_ms, later(wait_ms, (int64_t)count * SLOWEST_REPLY_MS));
}

void client_state_limit_body(struct client *c, size_t bytes)
{
	struct transaction *t = client_state_older(c);

	t->limit_ms = later(t->limit_ms, (int64_t)bytes * 1000 / SLOWEST_RATE);
}

void client_state_drop_output(struct client *c)
{
	if (c->is_secret) {
		buf_wipe(&c->out);
		buf_wipe(&c->sending);
	}
	c->is_secret = false;
	buf_clear(&c->out);
	buf_clear(&c->sending);
	buf_clear(&c->rest);
	c->handed = c->out_end = c->sending_end = 0;
	c->end_is_held = false;
}

static void end_transaction(struct client *c, struct transaction *t, struct client_state_ending how)
{
	enum client_outcome outcome = CLIENT_UNTRIED;
	enum client_phase phase = c->failure.phase;

	if (t->state == TRANSACTION_FREE || t->state == TRANSACTION_SETTLED)
		return;
	if (how.in_doubt)
		transaction_distrust(t);
	switch (t->state) {
	case TRANSACTION_DOT:
	case TRANSACTION_ANSWERED:
		/* A held end is this one's: the younger one's envelope cannot have been answered before it was sent. */
		phase = c->end_is_held ? CLIENT_AT_BODY : CLIENT_AT_DOT;
		outcome = c->end_is_held ? how.in_body : how.at_dot;
		break;
	case TRANSACTION_BODY:
	case TRANSACTION_CHUNK:
		phase = t->state == TRANSACTION_CHUNK && !c->end_is_held ? CLIENT_AT_BDAT : CLIENT_AT_BODY;
		outcome = how.in_body;
		break;
	case TRANSACTION_FREE:
	case TRANSACTION_QUEUED:
	case TRANSACTION_ENVELOPE:
	case TRANSACTION_EMPTY_DOT:
	case TRANSACTION_SETTLED: break;
	}
	transaction_settle(t, outcome, phase, &c->failure.reply);
}

void client_state_end(struct client *c, struct client_state_ending how, int64_t now_ms)
{
	end_transaction(c, client_state_older(c), how);
	end_transaction(c, client_state_younger(c), how);
	client_state_drop_output(c);
	c->body_is_due = c->body_is_asked = false;
	client_state_enter(c, how.politely ? CLIENT_STATE_QUIT : CLIENT_STATE_CLOSED);
	if (how.politely)
		buf_append_str(&c->out, "QUIT\r\n");
	client_state_rearm(c, now_ms);
}

void client_state_note(struct client *c, enum client_object object, enum client_phase phase, const struct reply *reply)
{
	if (c->is_failing)
		return;
	c->is_failing = true;
	c->failure = (struct client_failure){ .object = object, .phase = phase, .reply = *reply };
	buf_append_span(&c->words, span_first(reply->text, REPLY_TEXT_MAX));
	c->failure.reply.text = buf_span(&c->words);
	c->failure.reply.lines = SPAN("");
}

/* Between messages every server may hang up, be it while our next MAIL is on its way; one that never takes a message is
 * in trouble. */
static bool is_farewell(struct client *c)
{
	enum client_phase phase = client_state_phase(c);

	return c->state == CLIENT_STATE_OPEN && (phase == CLIENT_AT_IDLE || phase == CLIENT_AT_MAIL) &&
	       (c->peer.messages > 0 || client_state_older(c)->dot_answered);
}

void client_state_fail(struct client *c, enum client_object object, const struct reply *reply, bool politely,
		       int64_t now_ms)
{
	struct client_state_ending how = {
		.politely = politely,
		.in_body = CLIENT_UNTRIED,
		/* 421 to a final dot is about the host, but a message that provokes it must not come first again. In LMTP
		 * it answers for one recipient; perhaps others had the message before. */
		.at_dot = transaction_has_many_ends(client_state_older(c)) ? CLIENT_DOUBTFUL : CLIENT_TEMPORARY,
	};

	client_state_note(c, object, client_state_phase(c), reply);
	c->has_failed = !(reply->code == 421 && c->failure.object == CLIENT_LANE && is_farewell(c));
	client_state_end(c, how, now_ms);
}

void client_state_fail_saying(struct client *c, enum client_object object, const char *text, bool politely,
			      int64_t now_ms)
{
	struct reply own = { .text = span_str(text), .lines = SPAN("") };

	client_state_fail(c, object, &own, politely, now_ms);
}

/* Replies that fit badly show that counting fails on this host; so may replies that do not come while others that were
 * sent behind them in one group did, or should have. */
static bool is_counting_at_fault(struct client *c, enum client_state_loss loss)
{
	struct transaction *older = client_state_older(c), *younger = client_state_younger(c);

	if (c->state != CLIENT_STATE_OPEN)
		return false;
	switch (loss) {
	case CLIENT_STATE_GONE: return older->state == TRANSACTION_ANSWERED;
	case CLIENT_STATE_SILENT:
		return older->state == TRANSACTION_ANSWERED ||
		       (older->sent > older->answered + 1 && !transaction_has_many_ends(older)) ||
		       transaction_is_owed(younger);
	case CLIENT_STATE_DOUBT: break;
	}
	return true;
}

void client_state_lose(struct client *c, enum client_state_loss loss, struct span text, int64_t now_ms)
{
	struct reply own = { .text = text, .lines = SPAN("") };
	struct client_state_ending how = {
		/* Nothing travelled behind several last replies: those that came were in their places. */
		.in_doubt = loss == CLIENT_STATE_DOUBT || !transaction_has_many_ends(client_state_older(c)),
		.in_body = CLIENT_TEMPORARY,
		.at_dot = CLIENT_DOUBTFUL,
	};
	bool is_miscounting = is_counting_at_fault(c, loss);

	c->no_pipelining = c->no_pipelining || is_miscounting;
	client_state_note(c, CLIENT_LANE, client_state_phase(c), &own);
	c->has_failed = loss != CLIENT_STATE_GONE || is_miscounting || !is_farewell(c);
	client_state_end(c, how, now_ms);
}

void client_state_late(struct client *c, int64_t now_ms)
{
	struct span text = SPAN("the server did not answer in time");

	if (now_ms >= limit(c))
		text = client_state_phase(c) == CLIENT_AT_BODY ? SPAN("the server takes the message too slowly")
							       : SPAN("the server answers too slowly");
	client_state_lose(c, CLIENT_STATE_SILENT, text, now_ms);
}

void client_state_doubt(struct client *c, const char *text, int64_t now_ms)
{
	client_state_lose(c, CLIENT_STATE_DOUBT, span_str(text), now_ms);
}
