#include <assert.h>

#include "smtp/server_inside.h"

enum {
	OUT_MAX = 65536,
	OUT_FLUSH = 4096, /* replies of one group beyond this leave before its end */
	REPLY_MAX = 512,  /* RFC 5321, 4.5.3.1.5 */
	ENVELOPE_BASE = 16384,
	ENVELOPE_PER_RCPT = 1024,
	DEFAULT_RECIPIENTS = 1000,
};

static const int64_t DEFAULT_HOLD_MS = 30 * INT64_C(86400000);
static const int64_t HOLD_MAX_MS = INT64_C(999999999000); /* RFC 4865, 4.1: nine digits of seconds */

/* Which states may come before each state. */
static const unsigned may_follow[STATE_COUNT] = {
	[STATE_GREET] = 0,
	[STATE_START] = BIT(GREET) | BIT(TLS) | BIT(SKIP),
	[STATE_HELLO] = BIT(START) | BIT(HELLO) | BIT(MAIL) | BIT(RCPT) | BIT(CHUNKS) | BIT(ASK_MAIL) | BIT(DATA) |
			BIT(BDAT) | BIT(SKIP) | BIT(STORE) | BIT(AUTH_LINE) | BIT(ASK_AUTH),
	[STATE_MAIL] = BIT(HELLO) | BIT(ASK_MAIL) | BIT(ASK_RCPT) | BIT(SKIP),
	[STATE_RCPT] = BIT(MAIL) | BIT(RCPT) | BIT(ASK_RCPT) | BIT(SKIP),
	[STATE_CHUNKS] = BIT(BDAT),
	[STATE_ASK_MAIL] = BIT(HELLO),
	[STATE_ASK_RCPT] = BIT(MAIL) | BIT(RCPT),
	[STATE_DATA] = BIT(RCPT),
	[STATE_BDAT] = BIT(RCPT) | BIT(CHUNKS),
	[STATE_SKIP] = BIT(START) | BIT(HELLO) | BIT(MAIL) | BIT(RCPT),
	[STATE_STORE] = BIT(DATA) | BIT(BDAT),                           /* 250 only after the store has answered */
	[STATE_AUTH_LINE] = BIT(HELLO) | BIT(AUTH_LINE) | BIT(ASK_AUTH), /* a verifier came: on with the exchange */
	[STATE_ASK_AUTH] = BIT(HELLO) | BIT(AUTH_LINE) | BIT(ASK_AUTH),
	[STATE_TLS] = BIT(HELLO),
	[STATE_CLOSED] = ~0u,
};

static const unsigned waiting = BIT(ASK_MAIL) | BIT(ASK_RCPT) | BIT(STORE) | BIT(ASK_AUTH) | BIT(TLS);
static const unsigned in_transaction = BIT(MAIL) | BIT(RCPT) | BIT(CHUNKS) | BIT(DATA) | BIT(BDAT);

void server_enter(struct server *s, enum server_state state)
{
	assert(may_follow[state] & (1u << s->state));
	s->state_before = s->state;
	s->state = state;
	s->is_asked = false;
	s->is_answered = false;
}

bool server_offers(const struct server *s, unsigned features)
{
	unsigned offered = s->config->features;

	/* RFC 8689, 4.1: REQUIRETLS is never named in clear text. */
	offered &= ~(unsigned)(s->is_tls ? SERVER_STARTTLS : SERVER_REQUIRETLS);
	if (!server_auth_available(s))
		offered &= ~(unsigned)SERVER_AUTH;
	if (!(offered & SERVER_CHUNKING))
		offered &= ~(unsigned)SERVER_BINARYMIME; /* RFC 3030, 3 */
	if (!(offered & SERVER_8BITMIME))
		offered &= ~(unsigned)SERVER_SMTPUTF8; /* RFC 6531, 3.1 */
	if (!s->knows_wall)
		offered &= ~(unsigned)SERVER_FUTURERELEASE;
	return offered & features;
}

bool server_takes(const struct server *s, unsigned features)
{
	return s->is_esmtp && server_offers(s, features);
}

uint32_t server_max_recipients(const struct server *s)
{
	return s->config->max_recipients ? s->config->max_recipients : DEFAULT_RECIPIENTS;
}

int64_t server_max_hold_ms(const struct server *s)
{
	int64_t max = s->config->max_hold_ms > 0 ? s->config->max_hold_ms : DEFAULT_HOLD_MS;

	return max < HOLD_MAX_MS ? max : HOLD_MAX_MS;
}

/* ---------------------------------------------------------------- life */

struct server *server_new(const struct server_config *config, bool is_tls, int64_t now_ms)
{
	struct server *s = MEM_NEW(struct server);

	s->config = config;
	s->is_tls = is_tls;
	s->began_ms = s->waiting_ms = now_ms;
	command_reader_init(&s->line);
	buf_init(&s->out, OUT_MAX);
	buf_init(&s->answer, REPLY_MAX);
	buf_init(&s->failure, REPLY_MAX);
	mem_arena_init(&s->arena, ENVELOPE_BASE + (size_t)server_max_recipients(s) * ENVELOPE_PER_RCPT);
	server_forget_envelope(s);
	return s;
}

/* is_local stays: the connection is the same. */
static void forget_facts(struct server *s)
{
	mem_free((char *)(uintptr_t)s->facts.user);
	mem_free((char *)(uintptr_t)s->facts.binding.data);
	s->facts = (struct server_facts){ .is_local = s->facts.is_local };
}

void server_know(struct server *s, const struct server_facts *facts)
{
	forget_facts(s);
	s->facts = *facts;
	if (facts->user)
		s->facts.user = mem_strdup(facts->user);
	s->facts.binding.data = facts->binding.len ? mem_dup(facts->binding.data, facts->binding.len) : NULL;
}

void server_free(struct server *s)
{
	if (!s)
		return;
	server_auth_forget(s);
	command_reader_wipe(&s->line);
	command_reader_fini(&s->line);
	buf_fini(&s->out);
	buf_fini(&s->answer);
	buf_fini(&s->failure);
	mem_arena_fini(&s->arena);
	mem_free(s->helo);
	mem_free(s->user);
	forget_facts(s);
	mem_free(s);
}

void server_forget_envelope(struct server *s)
{
	mem_arena_reset(&s->arena);
	s->envelope = (struct server_envelope){ .sender = NULL, .envid = "" };
	s->rcpt_end = &s->envelope.rcpts;
	s->rcpt = NULL;
	s->reset_due = false;
}

void server_drop(struct server *s)
{
	enum server_state state = s->state == STATE_SKIP ? s->state_before : s->state;

	server_auth_forget(s);
	if (!(in_transaction & (1u << state)))
		return;
	/* While a message is being thrown away the driver has heard of it already. */
	s->abort_due = s->abort_due || !s->is_discarding;
	s->reset_due = true;
	s->is_discarding = false;
	s->failure_code = 0;
	server_enter(s, STATE_HELLO);
}

/* ---------------------------------------------------------------- lines */

static void run_line(struct server *s, struct span line, int64_t now_ms)
{
	if (s->state == STATE_AUTH_LINE)
		server_auth_line(s, line);
	else
		server_verbs_run(s, line, now_ms);
}

static void refuse_line(struct server *s, const char *text)
{
	if (s->state == STATE_AUTH_LINE)
		server_auth_end(s, false);
	else if (s->line.was_chunk) {
		server_bdat_is_lost(s);
		return;
	}
	server_say_error(s, 500, "5.5.2", text);
}

static void read_line(struct server *s, int64_t now_ms, struct span *input)
{
	struct span line;

	switch (command_read(&s->line, input, &line)) {
	case COMMAND_MORE: return;
	case COMMAND_LINE: run_line(s, line, now_ms); break;
	case COMMAND_BARE: refuse_line(s, "A command ends with CRLF, a bare CR or LF has no place in it"); break;
	case COMMAND_LONG: refuse_line(s, "The line is too long"); break;
	case COMMAND_FLOOD: server_say_goodbye(s, "4.7.0", "The line does not end"); break;
	}
	s->waiting_ms = now_ms;
}

/* ---------------------------------------------------------------- answers */

static void give_answer(struct server *s, int code, struct server_reply reply)
{
	assert(server_is_in(s, waiting & ~BIT(TLS)) && s->is_asked && !s->is_answered);
	s->is_answered = true;
	s->answer_code = code;
	server_say_prepare(s, &s->answer, reply);
}

void server_accept(struct server *s, const char *text)
{
	struct server_reply reply = { 250, "2.0.0", text ? text : "Ok" };
	char priority[32];

	/* A verifier is no yes or no, and who has failed has failed. */
	assert(s->state != STATE_ASK_AUTH || server_auth_question(s)->kind == SERVER_AUTH_PASSWORD ||
	       server_auth_question(s)->kind == SERVER_AUTH_PROVEN);
	if (s->state == STATE_ASK_MAIL) {
		reply.status = "2.1.0";
		reply.text = text ? text : server_verbs_ok(s, priority, sizeof(priority));
	} else if (s->state == STATE_ASK_RCPT)
		reply.status = "2.1.5";
	else if (s->state == STATE_ASK_AUTH)
		reply = (struct server_reply){ 235, "2.7.0", text ? text : "Authenticated" };
	else if (!text)
		reply.text = "The message is stored";
	give_answer(s, 0, reply);
}

void server_verifier(struct server *s, const struct scram_verifier *verifier)
{
	assert(s->state == STATE_ASK_AUTH && s->is_asked && !s->is_answered);
	server_auth_keep(s, verifier);
	s->is_answered = true;
}

void server_refuse(struct server *s, struct server_reply reply)
{
	assert(reply.code >= 400);
	give_answer(s, reply.code, reply);
}

/* Carries out what the driver has decided. */
static void take_answer(struct server *s, int64_t now_ms)
{
	bool accepted = s->answer_code == 0;

	s->is_answered = false;
	s->waiting_ms = now_ms;
	if (s->state == STATE_ASK_MAIL) {
		if (accepted)
			server_verbs_open(s);
		else
			server_enter(s, STATE_HELLO);
		s->reset_due = !accepted;
	} else if (s->state == STATE_ASK_RCPT) {
		if (accepted)
			server_verbs_add(s);
		else
			server_enter(s, s->state_before);
		s->rcpt_refused |= !accepted;
	} else if (server_auth_has_verifier(s)) {
		server_auth_verify(s);
		return;
	} else if (s->state == STATE_ASK_AUTH) {
		server_auth_end(s, accepted);
		if (!accepted && server_say_too_many(s))
			return;
	} else if (s->state == STATE_STORE) {
		s->reset_due = true;
		server_enter(s, STATE_HELLO);
	}
	server_say_line(s, &s->answer);
	if (s->answer_code == 421) {
		server_drop(s);
		server_enter(s, STATE_CLOSED);
	}
}

/* ---------------------------------------------------------------- events */

void server_turn_away(struct server *s, struct server_reply reply)
{
	assert(s->state == STATE_GREET);
	server_say_prepare(s, &s->answer, reply);
	server_say_line(s, &s->answer);
	server_enter(s, STATE_CLOSED);
}

void server_tls_started(struct server *s)
{
	assert(s->state == STATE_TLS);
	/* RFC 3207, 4.2: nothing learnt before counts any more. */
	s->is_tls = true;
	s->is_esmtp = false;
	forget_facts(s);
	mem_free(s->helo);
	s->helo = NULL;
	mem_free(s->user);
	s->user = NULL;
	s->mechanism = NULL;
	command_reader_wipe(&s->line);
	s->touch_due = true;
	server_enter(s, STATE_START);
}

void server_fail_body(struct server *s, struct server_reply reply)
{
	assert(server_is_in(s, BIT(DATA) | BIT(BDAT) | BIT(CHUNKS)));
	if (s->is_discarding)
		return;
	s->is_discarding = true;
	s->failure_code = reply.code;
	server_say_prepare(s, &s->failure, reply);
}

void server_peer_closed(struct server *s)
{
	s->peer_closed = true;
}

void server_shut_down(struct server *s)
{
	s->shutting_down = true;
}

void server_held_up(struct server *s, int64_t ms)
{
	s->began_ms += ms;
	s->waiting_ms += ms;
	s->data_ms += ms;
	s->chunk_ms += ms;
}

void server_wall_clock(struct server *s, int64_t now_ms, int64_t wall_ms)
{
	s->knows_wall = true;
	s->wall_ms = wall_ms - now_ms;
}

int64_t server_deadline(const struct server *s)
{
	return server_time_deadline(s);
}

/* ---------------------------------------------------------------- steps */

static enum server_action_kind ask(struct server *s, struct server_action *out)
{
	s->is_asked = true;
	if (s->state == STATE_ASK_MAIL) {
		out->address = s->envelope.sender;
		return SERVER_ASK_MAIL;
	}
	if (s->state == STATE_ASK_RCPT) {
		out->rcpt = s->rcpt;
		out->address = s->rcpt->address;
		return SERVER_ASK_RCPT;
	}
	if (s->state == STATE_ASK_AUTH) {
		out->auth = server_auth_question(s);
		return SERVER_ASK_AUTH;
	}
	return s->state == STATE_STORE ? SERVER_STORE : SERVER_START_TLS;
}

static enum server_action_kind send_replies(struct server *s, struct server_action *out)
{
	out->bytes = buf_span(&s->out);
	s->sent = true;
	return SERVER_SEND;
}

static void greet(struct server *s)
{
	struct buf text;

	buf_init(&text, REPLY_MAX);
	buf_append_str(&text, s->config->hostname);
	buf_append_char(&text, ' ');
	buf_append_str(&text, s->config->greeting ? s->config->greeting : "ESMTP Sendoff");
	server_say(s, 220, NULL, buf_cstr(&text));
	buf_fini(&text);
	server_enter(s, STATE_START);
}

/* Nothing more can be read: is it the end? True: the state has changed. */
static bool run_out(struct server *s, int64_t now_ms)
{
	if (s->peer_closed) {
		server_drop(s);
		server_enter(s, STATE_CLOSED);
		return true;
	}
	if (now_ms >= server_time_deadline(s)) {
		server_time_out(s, now_ms);
		return true;
	}
	return false;
}

/* In a state that waits for the driver. */
static enum server_action_kind step_waiting(struct server *s, const struct span *input, struct server_action *out)
{
	if (s->state == STATE_TLS && !s->is_asked) {
		/* Bytes behind STARTTLS came in clear text and would be taken for protected ones. */
		if (input->len) {
			server_say(s, 421, "4.7.0", "Nothing may be sent behind STARTTLS before TLS has begun");
			server_enter(s, STATE_CLOSED);
			return SERVER_NEED;
		}
		if (!s->tls_invited)
			server_say(s, 220, "2.0.0", "Ready to start TLS");
		s->tls_invited = true;
		if (!buf_is_empty(&s->out))
			return send_replies(s, out);
	}
	if (!s->is_asked)
		return ask(s, out);
	return buf_is_empty(&s->out) ? SERVER_NEED : send_replies(s, out);
}

static enum server_action_kind step_closed(struct server *s, struct server_action *out)
{
	if (!buf_is_empty(&s->out))
		return send_replies(s, out);
	if (s->close_said)
		return SERVER_NEED;
	s->close_said = true;
	return SERVER_CLOSE;
}

/* One round of work; SERVER_NEED: nothing is to be handed out yet. */
static enum server_action_kind turn(struct server *s, int64_t now_ms, struct span *input, struct server_action *out)
{
	if (s->state == STATE_GREET) {
		greet(s);
	} else if (s->state == STATE_DATA) {
		if (server_data_read(s, now_ms, input, out))
			return SERVER_BODY;
	} else if (s->state == STATE_BDAT) {
		if (server_bdat_read(s, now_ms, input, out))
			return SERVER_BODY;
	} else if (s->state == STATE_SKIP) {
		server_bdat_skip(s, now_ms, input);
	} else {
		read_line(s, now_ms, input);
	}
	return buf_span(&s->out).len >= OUT_FLUSH ? send_replies(s, out) : SERVER_NEED;
}

/* There is something to do even if no more bytes come. */
static bool has_work(const struct server *s, const struct span *input)
{
	return input->len || s->state == STATE_GREET || (server_is_in(s, BIT(BDAT) | BIT(SKIP)) && !s->chunk_left);
}

static void begin_step(struct server *s, int64_t now_ms)
{
	s->now_ms = now_ms;
	if (s->sent)
		buf_clear(&s->out);
	s->sent = false;
	if (s->touch_due)
		s->waiting_ms = now_ms;
	s->touch_due = false;
	if (s->is_answered)
		take_answer(s, now_ms);
}

static enum server_action_kind step(struct server *s, int64_t now_ms, struct span *input, struct server_action *out)
{
	begin_step(s, now_ms);
	for (;;) {
		enum server_action_kind kind;

		if (s->abort_due) {
			s->abort_due = false;
			return SERVER_ABORT;
		}
		/* An ABORT still shows the envelope; the step after it forgets it. */
		if (s->reset_due)
			server_forget_envelope(s);
		if (s->state == STATE_CLOSED)
			return step_closed(s, out);
		if (server_is_in(s, waiting)) {
			kind = step_waiting(s, input, out);
			if (s->state != STATE_CLOSED)
				return kind;
			continue;
		}
		if (s->shutting_down) {
			server_say_goodbye(s, "4.3.2", "The server is shutting down");
			continue;
		}
		if (has_work(s, input)) {
			kind = turn(s, now_ms, input, out);
			if (kind != SERVER_NEED)
				return kind;
			continue;
		}
		if (!buf_is_empty(&s->out))
			return send_replies(s, out);
		if (!run_out(s, now_ms))
			return SERVER_NEED;
	}
}

enum server_action_kind server_step(struct server *s, int64_t now_ms, struct span *input, struct server_action *out)
{
	*out = (struct server_action){ .kind = SERVER_NEED };
	out->kind = step(s, now_ms, input, out);
	return out->kind;
}

/* ---------------------------------------------------------------- facts */

const struct server_envelope *server_envelope(const struct server *s)
{
	return &s->envelope;
}

const char *server_helo(const struct server *s)
{
	return s->helo ? s->helo : "";
}

const char *server_protocol(const struct server *s)
{
	/* RFC 3848 knows the suffixes for ESMTP only. */
	static const char *const names[2][2][2] = {
		{ { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } },
		{ { "UTF8SMTP", "UTF8SMTPA" }, { "UTF8SMTPS", "UTF8SMTPSA" } },
	};

	return s->is_esmtp ? names[s->envelope.smtputf8][s->is_tls][s->user != NULL] : "SMTP";
}

const char *server_user(const struct server *s)
{
	return s->user ? s->user : "";
}

const char *server_mechanism(const struct server *s)
{
	return s->mechanism ? s->mechanism : "";
}

bool server_is_tls(const struct server *s)
{
	return s->is_tls;
}

uint32_t server_errors(const struct server *s)
{
	return s->errors;
}

uint64_t server_message_left(const struct server *s)
{
	if (s->state == STATE_DATA)
		return UINT64_MAX;
	return server_is_in(s, BIT(BDAT) | BIT(SKIP)) ? s->chunk_left : 0;
}

const char *server_doing(const struct server *s)
{
	static const char *const doing[] = {
#define X(name, text) text,
		SERVER_STATES(X)
#undef X
	};

	return doing[s->state];
}
