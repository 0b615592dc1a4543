#include "smtp/client.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "smtp/client_hello.h"
#include "smtp/client_mail.h"
#include "smtp/client_state.h"

enum {
	SEND_MAX = 96 * 1024,      /* bytes of one CLIENT_SEND: a stuffed chunk of 64 KB; a driver's buffer holds two */
	GROUP_MIN = 32 * 1024,     /* bytes of a body that are worth a write of their own */
	OUT_MAX = 4 * 1024 * 1024, /* more than the largest envelope and the largest encoded piece of a body together */
	PEER_TEXT_MAX = 256,
	GREETING_MS = 5 * 60 * 1000, /* RFC 5321, 4.5.3.2 */
	COMMAND_MS = 5 * 60 * 1000,
	DATA_MS = 10 * 60 * 1000,
	QUIT_MS = 3 * 1000,
};

struct client *client_new(const struct client_config *config, int64_t now_ms)
{
	struct client *c = MEM_NEW(struct client);

	c->config = *config;
	c->config.ehlo_name = mem_strdup(config->ehlo_name);
	c->config.user = mem_strdup(config->user ? config->user : "");
	c->config.host = config->host ? mem_strdup(config->host) : NULL;
	c->config.secret = span_of(mem_dup(config->secret.data, config->secret.len), config->secret.len);
	c->config.greeting_ms = config->greeting_ms ? config->greeting_ms : GREETING_MS;
	c->config.command_ms = config->command_ms ? config->command_ms : COMMAND_MS;
	c->config.data_ms = config->data_ms ? config->data_ms : DATA_MS;
	c->config.quit_ms = config->quit_ms ? config->quit_ms : QUIT_MS;
	c->config.chunk_bytes = config->chunk_bytes ? config->chunk_bytes : CLIENT_CHUNK_MAX;
	c->state = config->tls == CLIENT_TLS_IMPLICIT ? CLIENT_STATE_TLS : CLIENT_STATE_GREETING;
	reply_init(&c->reader);
	buf_init(&c->out, OUT_MAX);
	buf_init(&c->sending, OUT_MAX);
	buf_init(&c->rest, CLIENT_BODY_MAX);
	buf_init(&c->greeting, PEER_TEXT_MAX);
	buf_init(&c->hello, PEER_TEXT_MAX);
	buf_init(&c->words, REPLY_TEXT_MAX);
	transaction_init(&c->slots[0]);
	transaction_init(&c->slots[1]);
	c->peer.greeting = c->peer.hello = SPAN("");
	client_state_rearm(c, now_ms);
	return c;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	client_state_drop_output(c);
	sasl_free(c->sasl);
	transaction_fini(&c->slots[0]);
	transaction_fini(&c->slots[1]);
	reply_fini(&c->reader);
	buf_fini(&c->out);
	buf_fini(&c->sending);
	buf_fini(&c->rest);
	buf_fini(&c->greeting);
	buf_fini(&c->hello);
	buf_fini(&c->words);
	mem_free((char *)c->config.ehlo_name);
	mem_free((char *)c->config.user);
	mem_free((char *)c->config.host);
	mem_wipe_free((char *)c->config.secret.data, c->config.secret.len);
	mem_free(c);
}

int64_t client_deadline(const struct client *c)
{
	return c->deadline_ms;
}

const struct client_peer *client_peer(const struct client *c)
{
	return &c->peer;
}

/* ---------------------------------------------------------------- actions */

/* What was handed out by the last step is the engine's again. */
static void tidy(struct client *c)
{
	if (c->slot_is_over) {
		transaction_end(client_state_older(c));
		c->first = !c->first;
		c->slot_is_over = false;
		c->peer.messages++;
	}
	if (c->sending.len == 0 || c->handed < c->sending.len)
		return;
	if (c->is_secret)
		explicit_bzero(c->sending.data, c->sending.capacity); /* the block stays */
	c->is_secret = c->is_secret && !buf_is_empty(&c->out);
	buf_clear(&c->sending);
	if (c->sending.capacity > SEND_MAX)
		buf_release(&c->sending);
	c->handed = c->sending_end = 0;
}

static bool give_result(struct client *c, struct client_action *out)
{
	struct transaction *t = client_state_older(c);

	if (t->state == TRANSACTION_FREE)
		return false;
	if (transaction_result(t, &out->result)) {
		out->kind = CLIENT_RCPT_RESULT;
		return true;
	}
	if (!transaction_is_over(t))
		return false;
	out->kind = CLIENT_MESSAGE_DONE;
	out->message = t->message;
	c->slot_is_over = true;
	return true;
}

static bool give_failure(struct client *c, struct client_action *out)
{
	if (!c->has_failed || c->failure_is_handed)
		return false;
	c->failure_is_handed = true;
	out->kind = CLIENT_FAILED;
	out->failure = c->failure;
	out->no_pipelining = c->no_pipelining;
	return true;
}

/* Small pieces of a body wait for their like, so that a small message leaves with its dot in one write. */
static bool is_worth_sending(struct client *c)
{
	bool more_comes = client_state_older(c)->state == TRANSACTION_BODY;

	return !buf_is_empty(&c->out) && (!more_comes || c->out.len >= GROUP_MIN);
}

static bool give_output(struct client *c, int64_t now_ms, struct client_action *out)
{
	size_t end;

	if (buf_is_empty(&c->sending)) {
		struct buf spare = c->sending;

		if (!is_worth_sending(c))
			return false;
		c->sending = c->out;
		c->sending_end = c->out_end;
		c->out = spare;
		c->out_end = 0;
	}
	end = c->sending.len - c->handed > SEND_MAX ? c->handed + SEND_MAX : c->sending.len;
	if (c->sending_end > c->handed && c->sending_end <= end) {
		/* The last moment to notice that the server speaks too early. */
		if (!reply_is_idle(&c->reader)) {
			client_state_doubt(c, "the server answered before the message was complete", now_ms);
			return false;
		}
		c->end_is_held = false;
		client_mail_end_is_sent(c, now_ms);
	}
	out->kind = CLIENT_SEND;
	out->data = span_of(buf_span(&c->sending).data + c->handed, end - c->handed);
	if (c->end_is_held || client_state_older(c)->state == TRANSACTION_BODY)
		client_state_limit_body(c, out->data.len);
	c->handed = end;
	client_state_rearm(c, now_ms);
	return true;
}

static bool give_wish(struct client *c, int64_t now_ms, struct client_action *out)
{
	enum client_ready ready;
	bool ahead = false;

	if (c->state == CLIENT_STATE_TLS && !c->tls_is_asked) {
		c->tls_is_asked = true;
		out->kind = CLIENT_START_TLS;
		client_state_rearm(c, now_ms);
		return true;
	}
	ready = !client_mail_has_room(c, &ahead) ? CLIENT_READY_UNSAID : ahead ? CLIENT_READY_AHEAD : CLIENT_READY_IDLE;
	if (ready > c->ready) {
		c->ready = ready;
		out->kind = CLIENT_READY;
		out->ahead = ahead;
		return true;
	}
	if (c->body_is_due) {
		c->body_is_due = false;
		c->body_is_asked = true;
		out->kind = CLIENT_WANT_BODY;
		out->message = client_state_older(c)->message;
		client_state_rearm(c, now_ms);
		return true;
	}
	return false;
}

static void quit_when_idle(struct client *c, int64_t now_ms)
{
	if (!c->quits || c->state != CLIENT_STATE_OPEN || !client_state_is_idle(c))
		return;
	client_state_enter(c, CLIENT_STATE_QUIT);
	buf_append_str(&c->out, "QUIT\r\n");
	client_state_rearm(c, now_ms);
}

/* The goodbye is a courtesy: any word of the server ends it. */
static void hang_up(struct client *c, int64_t now_ms)
{
	if (c->state != CLIENT_STATE_QUIT)
		return;
	client_state_drop_output(c);
	client_state_enter(c, CLIENT_STATE_CLOSED);
	client_state_rearm(c, now_ms);
}

void client_step(struct client *c, int64_t now_ms, struct client_action *out)
{
	*out = (struct client_action){ .kind = CLIENT_WAIT };
	tidy(c);
	if (c->state != CLIENT_STATE_CLOSED && now_ms >= c->deadline_ms) {
		if (c->state == CLIENT_STATE_QUIT)
			hang_up(c, now_ms);
		else
			client_state_late(c, now_ms);
	}
	if (give_result(c, out) || give_failure(c, out))
		return;
	quit_when_idle(c, now_ms);
	/* Sending may discover that all is lost: then there are results to give. */
	if (give_output(c, now_ms, out) || give_result(c, out) || give_failure(c, out) || give_wish(c, now_ms, out))
		return;
	if (c->state == CLIENT_STATE_CLOSED && !c->close_is_handed) {
		c->close_is_handed = true;
		c->deadline_ms = INT64_MAX;
		out->kind = CLIENT_CLOSE;
		out->no_pipelining = c->no_pipelining;
	}
}

/* ---------------------------------------------------------------- what happened */

static bool is_over(const struct client *c)
{
	return c->state == CLIENT_STATE_QUIT || c->state == CLIENT_STATE_CLOSED;
}

void client_feed(struct client *c, struct span bytes, int64_t now_ms)
{
	while (bytes.len && c->state != CLIENT_STATE_CLOSED) {
		struct reply reply;

		if (c->state == CLIENT_STATE_TLS) {
			client_state_doubt(c, "the server sent bytes in clear text where TLS begins", now_ms);
			return;
		}
		switch (reply_feed(&c->reader, &bytes, &reply)) {
		case REPLY_MORE: break;
		case REPLY_BAD:
			if (is_over(c))
				hang_up(c, now_ms);
			else
				client_state_doubt(c, "the server sent something that is not a reply", now_ms);
			break;
		case REPLY_DONE:
			if (c->state == CLIENT_STATE_QUIT)
				hang_up(c, now_ms);
			else if (c->state == CLIENT_STATE_OPEN)
				client_mail_reply(c, &reply, now_ms);
			else
				client_hello_reply(c, &reply, now_ms);
			client_state_rearm(c, now_ms);
			break;
		}
	}
}

void client_eof(struct client *c, struct span why, int64_t now_ms)
{
	if (is_over(c))
		hang_up(c, now_ms);
	else
		client_state_lose(c, CLIENT_STATE_GONE, why.len ? why : SPAN("the server closed the connection"),
				  now_ms);
}

void client_channel_binding(struct client *c, const uint8_t binding[CLIENT_BINDING_LEN])
{
	memcpy(c->binding, binding, sizeof(c->binding));
	c->has_binding = true;
}

void client_tls_started(struct client *c, bool authentic, int64_t now_ms)
{
	if (c->state != CLIENT_STATE_TLS)
		return;
	client_hello_secured(c, authentic);
	client_state_rearm(c, now_ms);
}

void client_tls_failed(struct client *c, struct span why, int64_t now_ms)
{
	if (!is_over(c))
		client_state_lose(c, CLIENT_STATE_GONE, why.len ? why : SPAN("TLS failed"), now_ms);
}

/* ---------------------------------------------------------------- what is wanted */

bool client_is_ready(const struct client *c)
{
	bool ahead;

	return client_mail_has_room((struct client *)c, &ahead);
}

void client_message(struct client *c, const struct client_message *message, int64_t now_ms)
{
	assert(client_is_ready(c) && message->rcpt_count > 0);
	c->ready = CLIENT_READY_UNSAID;
	client_mail_begin(c, message, now_ms);
	client_state_rearm(c, now_ms);
}

void client_body(struct client *c, struct span bytes, int64_t now_ms)
{
	bool ok;

	if (!c->body_is_asked)
		return;
	assert(bytes.len <= CLIENT_BODY_MAX);
	c->body_is_asked = false;
	if (client_state_older(c)->is_chunked) {
		client_mail_chunk(c, bytes, now_ms);
	} else {
		ok = dot_encode_append(&c->dot, &bytes, &c->out);
		assert(ok); /* at most GROUP_MIN bytes were left in it */
		c->body_is_due = true;
	}
	client_state_rearm(c, now_ms);
}

/* False when the session has failed since the body was asked for, and the driver does not know it yet. */
static bool is_in_body(const struct client *c)
{
	return c->body_is_asked || c->body_is_due;
}

void client_body_end(struct client *c, int64_t now_ms)
{
	if (client_mail_is_in_chunks(c)) {
		client_mail_chunks_end(c, now_ms);
		return;
	}
	if (!is_in_body(c))
		return;
	c->body_is_asked = c->body_is_due = false;
	client_mail_complete(c, now_ms);
	client_state_rearm(c, now_ms);
}

void client_body_abort(struct client *c, int64_t now_ms)
{
	struct client_state_ending how = { .in_body = CLIENT_UNTRIED, .at_dot = CLIENT_DOUBTFUL };

	if (!is_in_body(c) && !client_mail_is_in_chunks(c))
		return;
	c->failure.phase = CLIENT_AT_BODY;
	c->failure.reply.text = SPAN("given up before the message was complete");
	client_state_end(c, how, now_ms);
}

void client_quit(struct client *c, int64_t now_ms)
{
	c->quits = true;
	if (c->state < CLIENT_STATE_OPEN) {
		client_state_drop_output(c);
		client_state_enter(c, CLIENT_STATE_CLOSED);
		client_state_rearm(c, now_ms);
	}
}

/* ---------------------------------------------------------------- names */

enum client_phase client_phase(struct client *c)
{
	return client_state_phase(c);
}

const char *client_phase_name(enum client_phase phase)
{
	static const char *const names[] = {
		[CLIENT_AT_CONNECT] = "connection", [CLIENT_AT_GREETING] = "greeting", [CLIENT_AT_EHLO] = "EHLO",
		[CLIENT_AT_STARTTLS] = "STARTTLS",  [CLIENT_AT_TLS] = "TLS",           [CLIENT_AT_AUTH] = "AUTH",
		[CLIENT_AT_IDLE] = "idle",          [CLIENT_AT_MAIL] = "MAIL",         [CLIENT_AT_RCPT] = "RCPT",
		[CLIENT_AT_DATA] = "DATA",          [CLIENT_AT_BODY] = "body",         [CLIENT_AT_BDAT] = "BDAT",
		[CLIENT_AT_DOT] = "final dot",      [CLIENT_AT_QUIT] = "QUIT",
	};

	return names[phase];
}

const char *client_outcome_name(enum client_outcome outcome)
{
	static const char *const names[] = {
		[CLIENT_DELIVERED] = "delivered", [CLIENT_TEMPORARY] = "temporary", [CLIENT_PERMANENT] = "permanent",
		[CLIENT_DOUBTFUL] = "doubtful",   [CLIENT_UNTRIED] = "untried",
	};

	return names[outcome];
}
