#include "sink_session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/instant.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "net/conn.h"

enum {
	LINGER_MS = 2000,
	TLS_HANDSHAKE_MS = 30000,
	HELD_BACK_MAX = 16 * 1024, /* a command line longer than this goes to the engine as it is */
};

struct session {
	struct list node;
	struct sink_session_shared *shared;
	struct conn *conn;
	struct server *server;
	struct loop_timer timer;     /* a delay */
	struct server_action action; /* that is put off by the delay; its payload stays valid */
	struct sink_rules_now now;
	const struct sink_rules_rule *chunk_reply; /* to the chunk that begins with this line */
	bool is_delayed, is_due;                   /* waits; has waited */
	bool is_greeted, is_silent, is_ended;
	bool is_shaking; /* the TLS handshake */
	bool is_running;
	bool is_dropped; /* free it when the run is over */
	uint64_t number;
	struct sink_store_message *message;
	bool message_failed;
};

static void run(struct session *s);

/* ---------------------------------------------------------------- end */

static void session_free(struct session *s)
{
	struct sink_session_shared *shared = s->shared;

	loop_timer_stop(&s->timer);
	sink_store_abandon(s->message);
	server_free(s->server);
	conn_free(s->conn);
	list_remove(&s->node);
	mem_free(s);
	shared->changed(shared->arg);
}

static void finish(struct session *s)
{
	conn_finish(s->conn, LINGER_MS);
	s->conn = NULL;
	s->is_dropped = true;
}

static void drop(struct session *s)
{
	s->is_dropped = true;
}

/* ---------------------------------------------------------------- messages */

static void take_body(struct session *s, struct span bytes)
{
	const struct sink_session_shared *shared = s->shared;

	if (!shared->store || s->message_failed)
		return;
	if (!s->message)
		s->message = sink_store_begin(shared->store);
	if (!s->message || !sink_store_write(s->message, bytes)) {
		s->message_failed = true;
		server_fail_body(s->server, (struct server_reply){ 452, "4.3.1", "the disk takes no more" });
	}
}

/* "SUCCESS,DELAY"; "" where nothing was said. */
static json_t *describe_notify(uint8_t notify)
{
	static const char *const names[] = { "NEVER", "SUCCESS", "FAILURE", "DELAY" };
	char text[40] = "";

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (notify & 1U << i) {
			strcat(text, *text ? "," : "");
			strcat(text, names[i]);
		}
	return json_string(text);
}

/* "120;RT"; "" where nothing was said. */
static json_t *describe_by(const struct server_envelope *envelope)
{
	char text[32] = "";

	if (envelope->by != SERVER_BY_UNSAID)
		snprintf(text, sizeof text, "%" PRId64 ";%s%s", envelope->by_ms / 1000,
			 envelope->by == SERVER_BY_RETURN ? "R" : "N", envelope->by_trace ? "T" : "");
	return json_string(text);
}

/* What was asked for beyond sender and recipients (sendoff-sink(1)). */
static void describe_wishes(const struct server_envelope *envelope, json_t *out)
{
	static const char *const bodies[] = { "7bit", "8bitmime", "binarymime" };
	static const char *const rets[] = { "", "FULL", "HDRS" };
	char until[INSTANT_SIZE] = "";
	json_t *rcpts = json_array();

	for (const struct server_rcpt *rcpt = envelope->rcpts; rcpt; rcpt = rcpt->next)
		json_array_append_new(rcpts, json_pack("{s:s,s:o,s:s}", "address", rcpt->address, "notify",
						       describe_notify(rcpt->notify), "orcpt", rcpt->orcpt));
	if (envelope->hold_until_ms)
		instant_print(envelope->hold_until_ms, until);
	json_object_update_new(
		out, json_pack("{s:o,s:s,s:b,s:b,s:b,s:s,s:s,s:i,s:I,s:s,s:o}", "rcpts", rcpts, "body",
			       bodies[envelope->body], "chunked", envelope->is_chunked, "smtputf8", envelope->smtputf8,
			       "requiretls", envelope->requiretls, "ret", rets[envelope->ret], "envid", envelope->envid,
			       "priority", envelope->priority, "hold_for", (json_int_t)(envelope->hold_for_ms / 1000),
			       "hold_until", until, "by", describe_by(envelope)));
}

static json_t *describe(const struct session *s)
{
	const struct server_envelope *envelope = server_envelope(s->server);
	struct tls_facts facts;
	json_t *list = json_array(), *out;

	for (const struct server_rcpt *rcpt = envelope->rcpts; rcpt; rcpt = rcpt->next)
		json_array_append_new(list, json_string(rcpt->address));
	out = json_pack("{s:s,s:o,s:s,s:s,s:s,s:s,s:s,s:I,s:I}", "sender", envelope->sender, "recipients", list, "peer",
			conn_peer(s->conn), "helo", server_helo(s->server), "protocol", server_protocol(s->server),
			"user", server_user(s->server), "tls", conn_tls_facts(s->conn, &facts) ? facts.version : "",
			"connection", (json_int_t)s->number, "declared_bytes", (json_int_t)envelope->declared_bytes);
	describe_wishes(envelope, out);
	return out;
}

/* 0, or why it is not stored. */
static const char *store(struct session *s)
{
	struct sink_session_shared *shared = s->shared;
	const struct server_envelope *envelope = server_envelope(s->server);
	struct sink_store_message *message = s->message;

	s->message = NULL;
	if (shared->store && !message)
		message = sink_store_begin(shared->store);
	if (shared->store && (!message || !sink_store_finish(message, describe(s))))
		return "the message could not be stored";
	shared->last_at_ms = clock_wall_ms();
	if (shared->messages == 0)
		shared->first_at_ms = shared->last_at_ms;
	shared->messages++;
	shared->recipients += envelope->rcpt_count;
	shared->bytes += envelope->body_bytes;
	if (!shared->options->quiet && !shared->options->discard)
		fprintf(stderr, "%s: <%s> to %u, %" PRIu64 " bytes%s%s\n", conn_peer(s->conn), envelope->sender,
			envelope->rcpt_count, envelope->body_bytes, server_is_tls(s->server) ? ", TLS" : "",
			server_user(s->server)[0] ? ", authenticated" : "");
	return NULL;
}

static void forget(struct session *s)
{
	sink_store_abandon(s->message);
	s->message = NULL;
	s->message_failed = false;
}

/* ---------------------------------------------------------------- rules */

/* True: go on. False: wait for the delay, or it is dropped. Rules are asked once for each arrival. */
static bool meet(struct session *s, enum sink_rules_stage stage, const char *address)
{
	if (!s->is_due) {
		s->now = sink_rules_arrive(&s->shared->options->rules, stage, address);
		if (s->now.delay) {
			s->is_delayed = true;
			loop_timer_in(&s->timer, s->now.delay->delay_ms);
			return false;
		}
	}
	s->is_due = false;
	if (s->now.raw)
		conn_write(s->conn, s->now.raw->text, strlen(s->now.raw->text));
	if (s->now.drop && stage != SINK_RULES_DOT)
		drop(s);
	return !s->is_dropped;
}

static struct server_reply reply_of(const struct sink_rules_rule *rule)
{
	return (struct server_reply){ rule->code, rule->status, rule->text };
}

static void answer(struct session *s)
{
	if (s->now.reply && s->now.reply->code >= 400)
		server_refuse(s->server, reply_of(s->now.reply));
	else
		server_accept(s->server, NULL);
}

/* Of the one password there is, whoever asks: the name is looked at when all else is proven. */
static void give_verifier(struct session *s, const struct server_auth *auth)
{
	struct scram_verifier verifier = { .hash = auth->hash,
					   .iterations = SCRAM_ITERATIONS_MIN,
					   .salt_len = SCRAM_SALT_LEN };

	crypto_random(verifier.salt, verifier.salt_len);
	scram_derive(&verifier, span_str(s->shared->options->password));
	server_verifier(s->server, &verifier);
}

static void do_auth(struct session *s, const struct server_auth *auth)
{
	const struct sink_options *options = s->shared->options;
	bool is_first = auth->kind == SERVER_AUTH_PASSWORD || auth->kind == SERVER_AUTH_VERIFIER, is_right = false;

	/* The rules are asked once for each exchange, whatever its mechanism. */
	if (is_first && !meet(s, SINK_RULES_AUTH, auth->user))
		return;
	if (is_first && s->now.reply && (auth->kind == SERVER_AUTH_PASSWORD || s->now.reply->code >= 400)) {
		answer(s);
		return;
	}
	switch (auth->kind) {
	case SERVER_AUTH_PASSWORD:
		is_right = strcmp(auth->user, options->user) == 0 && strcmp(auth->password, options->password) == 0;
		break;
	case SERVER_AUTH_VERIFIER: give_verifier(s, auth); return;
	case SERVER_AUTH_PROVEN: is_right = strcmp(auth->user, options->user) == 0; break;
	case SERVER_AUTH_FAILED: break;
	}
	if (is_right)
		server_accept(s->server, NULL);
	else
		server_refuse(s->server, (struct server_reply){ 535, "5.7.8", "authentication credentials invalid" });
}

static void do_store(struct session *s)
{
	const struct server_envelope *envelope = server_envelope(s->server);
	const char *wrong;

	if (!meet(s, SINK_RULES_DOT, envelope->rcpts ? envelope->rcpts->address : ""))
		return;
	if (s->now.reply && s->now.reply->code >= 400) {
		forget(s);
		answer(s);
		return;
	}
	wrong = store(s);
	s->message_failed = false;
	/* Dropped after the dot: it was taken, and its sender will never know. */
	if (s->now.drop)
		drop(s);
	else if (wrong)
		server_refuse(s->server, (struct server_reply){ 451, "4.3.0", wrong });
	else
		server_accept(s->server, NULL);
	s->shared->changed(s->shared->arg);
}

/* ---------------------------------------------------------------- commands that the engine does not ask about */

/* What the engine may have of the input: all of it, the next line of a command, or what is left of a chunk. */
static struct span portion(const struct session *s)
{
	struct span input = conn_input(s->conn);
	uint64_t left = server_message_left(s->server);
	size_t end;

	if (!s->shared->intercepts)
		return input;
	if (left)
		return left < input.len ? span_first(input, (size_t)left) : input;
	end = span_find(input, '\n');
	if (end < input.len)
		return span_first(input, end + 1);
	return input.len >= HELD_BACK_MAX || s->is_ended ? input : span_first(input, 0);
}

static void say(struct session *s, const struct sink_rules_rule *rule)
{
	struct buf text;

	buf_init(&text, 1024);
	buf_printf(&text, "%d %s %s\r\n", rule->code, rule->status, rule->text);
	conn_write(s->conn, buf_span(&text).data, text.len);
	buf_fini(&text);
}

/* True: the line was answered here, or waits, or the connection has gone. */
static bool intercept(struct session *s, struct span line)
{
	enum sink_rules_stage stage;
	bool is_chunk;

	if (!s->shared->intercepts || server_message_left(s->server) || line.len == 0 ||
	    !sink_rules_stage_of(line, &stage, &is_chunk))
		return false;
	if (!meet(s, stage, ""))
		return true;
	if (!s->now.reply)
		return false;
	/* A chunk follows, which has to be read first: the engine does that, and gives this answer. */
	s->chunk_reply = is_chunk && s->now.reply->code >= 400 ? s->now.reply : NULL;
	if (is_chunk)
		return false;
	say(s, s->now.reply);
	conn_consume(s->conn, line.len);
	if (s->now.reply->code == 421)
		finish(s);
	return true;
}

/* ---------------------------------------------------------------- the engine, driven */

static void start_tls(struct session *s)
{
	s->is_shaking = true;
	conn_deadline(s->conn, loop_now_ms(s->shared->loop) + TLS_HANDSHAKE_MS);
	if (conn_tls_accept(s->conn, s->shared->tls) != 0)
		drop(s);
}

/* False: wait for something. */
static bool act(struct session *s, const struct server_action *action)
{
	switch (action->kind) {
	case SERVER_NEED: return false;
	case SERVER_SEND: conn_write(s->conn, action->bytes.data, action->bytes.len); return true;
	case SERVER_ASK_MAIL:
		if (meet(s, SINK_RULES_MAIL, action->address))
			answer(s);
		return true;
	case SERVER_ASK_RCPT:
		if (meet(s, SINK_RULES_RCPT, action->rcpt->address))
			answer(s);
		return true;
	case SERVER_BODY: return true;
	case SERVER_STORE: do_store(s); return true;
	case SERVER_ABORT: forget(s); return true;
	case SERVER_START_TLS: start_tls(s); return false;
	case SERVER_ASK_AUTH: do_auth(s, action->auth); return true;
	case SERVER_CLOSE: finish(s); return false;
	}
	return false;
}

/* One step of the engine, or the action that had to wait. False: nothing more to do now. */
static bool step(struct session *s)
{
	struct span input, rest;
	bool goes_on;

	if (s->is_due && s->action.kind != SERVER_NEED)
		return act(s, &s->action);
	input = portion(s);
	if (intercept(s, input))
		return true;
	rest = input;
	server_step(s->server, loop_now_ms(s->shared->loop), &rest, &s->action);
	if (s->chunk_reply && server_message_left(s->server))
		server_fail_body(s->server, reply_of(s->chunk_reply));
	s->chunk_reply = NULL;
	/* The bytes of a message lie in the input; before TLS starts there must be none left in it. */
	if (s->action.kind == SERVER_BODY)
		take_body(s, s->action.bytes);
	if (input.len != rest.len)
		conn_consume(s->conn, input.len - rest.len);
	goes_on = s->action.kind == SERVER_BODY || act(s, &s->action) || input.len != rest.len;
	if (!s->is_delayed)
		s->action.kind = SERVER_NEED;
	return goes_on;
}

static bool greet(struct session *s)
{
	if (s->is_greeted)
		return true;
	if (!meet(s, SINK_RULES_GREETING, ""))
		return false;
	s->is_greeted = true;
	if (s->now.reply)
		server_turn_away(s->server, reply_of(s->now.reply));
	return true;
}

static bool is_stopped(const struct session *s)
{
	return s->is_dropped || s->is_delayed || s->is_silent || s->is_shaking;
}

static void run(struct session *s)
{
	if (s->is_running)
		return;
	s->is_running = true;
	while (!is_stopped(s) && !conn_is_full(s->conn) && greet(s) && step(s))
		;
	s->is_running = false;
	if (s->is_dropped)
		session_free(s);
	else if (!is_stopped(s))
		conn_deadline(s->conn, server_deadline(s->server));
}

/* What logins can be bound to. */
static void know(struct session *s)
{
	uint8_t binding[TLS_BINDING_LEN];
	struct server_facts facts = { .is_local = false };

	if (tls_channel_binding(conn_tls(s->conn), binding))
		facts.binding = span_of(binding, sizeof(binding));
	server_know(s->server, &facts);
}

static void on_timer(struct loop_timer *timer)
{
	struct session *s = LIST_ENTRY(timer, struct session, timer);

	s->is_delayed = false;
	s->is_due = true;
	server_held_up(s->server, s->now.delay->delay_ms);
	run(s);
}

static void on_event(void *arg, enum conn_event event)
{
	struct session *s = arg;

	switch (event) {
	case CONN_INPUT:
	case CONN_DRAINED: run(s); break;
	case CONN_DEADLINE:
		if (s->is_shaking)
			session_free(s);
		else
			run(s);
		break;
	case CONN_SECURE:
		s->is_shaking = false;
		if (s->is_greeted)
			server_tls_started(s->server);
		know(s);
		run(s);
		break;
	case CONN_EOF:
		s->is_ended = true;
		if (is_stopped(s)) {
			session_free(s);
			break;
		}
		server_peer_closed(s->server);
		run(s);
		break;
	case CONN_FAILED: session_free(s); break;
	case CONN_FLUSHED:
	case CONN_PROXIED: break;
	}
}

void sink_session_new(struct sink_session_shared *shared, int fd)
{
	struct session *s = MEM_NEW(struct session);
	struct conn_config config = { .loop = shared->loop, .event = on_event, .arg = s };
	bool is_tls = shared->options->tls == SINK_OPTIONS_IMPLICIT;

	s->shared = shared;
	s->number = ++shared->connections;
	s->is_silent = shared->options->silent;
	s->action.kind = SERVER_NEED;
	s->conn = conn_new(&config, fd);
	s->server = server_new(&shared->server, is_tls, loop_now_ms(shared->loop));
	server_wall_clock(s->server, loop_now_ms(shared->loop), loop_wall_ms(shared->loop));
	loop_timer_init(&s->timer, shared->loop, on_timer);
	list_append(&shared->sessions, &s->node);
	if (is_tls)
		start_tls(s);
	else
		run(s);
}

/* ---------------------------------------------------------------- the end of all */

void sink_session_stop_all(struct sink_session_shared *shared)
{
	struct list *next;

	for (struct list *at = list_first(&shared->sessions); at; at = next) {
		struct session *s = LIST_ENTRY(at, struct session, node);

		next = list_next(&shared->sessions, at);
		server_shut_down(s->server);
		if (is_stopped(s))
			session_free(s);
		else
			run(s);
	}
}

void sink_session_drop_all(struct sink_session_shared *shared)
{
	while (!list_is_empty(&shared->sessions))
		session_free(LIST_ENTRY(list_first(&shared->sessions), struct session, node));
}
