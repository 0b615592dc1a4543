#include "submission/intake.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "message/fixup.h"
#include "message/mime.h"
#include "smtp/address.h"
#include "submission/draft.h"
#include "trust.h"

enum {
	RECEIVED_MAX = 50, /* RFC 5321, 6.3: more trace fields than that are a loop */
	HEADS_MAX = FIXUP_SPANS,
	SAY_MAX = 640,
	FROM_MAX = 2048,
};

/* The message that is open. */
struct message {
	struct draft *draft;
	struct limits *limits;
	char submitter[TRUST_NAME_SIZE];
	uint32_t uid;
	char *origin;
	uint32_t spent; /* of the quota */
	bool is_begun;  /* a byte has come, or its end */
	bool is_fixed;  /* fixup was begun and not finished */
	bool has_ended; /* fixup_end() was called: only its spans may be left */
	bool header_8bit, header_over, line_empty;
	uint64_t id;
	char id_text[TEXT_ID_SIZE];
	char peer[256]; /* for the trace */
	struct buf from;
	struct fixup fixup;
	struct queue_receipt *receipt;
	/* What the fix-up wanted stored and the queue was too busy to take: goes first. */
	struct buf waiting;
};

struct intake {
	void (*ready)(void *arg);
	void (*stored)(void *arg, const struct intake_result *result);
	void *arg;
	struct message *message; /* or NULL */
	bool is_abandoned;       /* the session has gone; freed when the queue has answered */
	bool is_stored;          /* the queue has not answered yet */
	struct buf say;
};

struct intake *intake_new(void (*ready)(void *arg), void (*stored)(void *arg, const struct intake_result *result),
			  void *arg)
{
	struct intake *intake = MEM_NEW(struct intake);

	intake->ready = ready;
	intake->stored = stored;
	intake->arg = arg;
	buf_init(&intake->say, SAY_MAX);
	return intake;
}

static struct config_rate quota_of(const struct message *m)
{
	const struct config_submitter *submitter = draft_from(m->draft)->submitter;

	return submitter ? submitter->quota : (struct config_rate){ 0 };
}

/* What is only needed until the queue has it. */
static void let_go(struct message *m)
{
	if (m->is_fixed)
		fixup_fini(&m->fixup);
	m->is_fixed = false;
	queue_receipt_free(m->receipt);
	m->receipt = NULL;
	buf_fini(&m->waiting);
	buf_fini(&m->from);
}

static void free_message(struct message *m)
{
	if (!m)
		return;
	let_go(m);
	draft_free(m->draft);
	mem_free(m->origin);
	mem_free(m);
}

static void give_back(struct message *m)
{
	limits_give_back(m->limits, m->submitter, quota_of(m), m->spent);
	m->spent = 0;
}

void intake_drop(struct intake *intake)
{
	if (!intake->message || intake->is_stored)
		return;
	give_back(intake->message);
	free_message(intake->message);
	intake->message = NULL;
}

static void free_intake(struct intake *intake)
{
	free_message(intake->message);
	buf_fini(&intake->say);
	mem_free(intake);
}

void intake_abandon(struct intake *intake)
{
	if (!intake)
		return;
	intake_drop(intake);
	if (intake->is_stored)
		intake->is_abandoned = true;
	else
		free_intake(intake);
}

struct server_reply intake_reply(enum queue_err err)
{
	const char *text = queue_err_text(err);

	switch (err) {
	case QUEUE_QUOTA:
	case QUEUE_DISK_FULL: return (struct server_reply){ 452, "4.3.1", text };
	case QUEUE_TOO_BIG: return (struct server_reply){ 552, "5.3.4", text };
	case QUEUE_STOPPING: return (struct server_reply){ 421, "4.3.2", text };
	case QUEUE_OK:
	case QUEUE_NOT_FOUND:
	case QUEUE_BUSY:
	case QUEUE_CORRUPT:
	case QUEUE_DAMAGED:
	case QUEUE_IO:
	case QUEUE_LOCKED:
	case QUEUE_SCHEMA:
	case QUEUE_INVALID:
	case QUEUE_NO_MEMORY: break;
	}
	return (struct server_reply){ 451, "4.3.0", text };
}

/* The text is kept: what it came from may be gone when it is read. */
static enum intake_verdict refuse(struct intake *intake, struct server_reply why, struct server_reply *out_reply)
{
	buf_clear(&intake->say);
	buf_append_span(&intake->say, span_first(span_str(why.text), SAY_MAX - 1));
	*out_reply = (struct server_reply){ why.code, why.status, buf_cstr(&intake->say) };
	return INTAKE_REFUSED;
}

static enum intake_verdict refuse_message(struct intake *intake, struct server_reply why,
					  struct server_reply *out_reply)
{
	enum intake_verdict verdict = refuse(intake, why, out_reply);

	intake_drop(intake);
	return verdict;
}

/* ---------------------------------------------------------------- MAIL and RCPT */

/* "a day", or "in 10m". */
static const char *period_name(int64_t per_ms, char out[TEXT_DURATION_SIZE + 3])
{
	char duration[TEXT_DURATION_SIZE];

	switch (per_ms) {
	case 1000: return "a second";
	case 60000: return "a minute";
	case 3600000: return "an hour";
	case 86400000: return "a day";
	default: break;
	}
	snprintf(out, TEXT_DURATION_SIZE + 3, "in %s", text_duration_print(per_ms, duration));
	return out;
}

/* "uid 33 (www-data) hands in more than 30 messages a minute (submitter "web" at …); try again in 2s" */
static struct server_reply too_fast(char *out, size_t size, const struct intake_session *session,
				    const struct config_submitter *rule, struct config_rate rate, const char *what,
				    int64_t wait_ms)
{
	char name[WHO_TEXT_SIZE], period[TEXT_DURATION_SIZE + 3], wait[TEXT_DURATION_SIZE], place[200];

	if (rule)
		snprintf(place, sizeof(place), "submitter \"%.60s\" at %.100s:%d", rule->name,
			 rule->at.file ? rule->at.file : "", rule->at.line);
	else
		snprintf(place, sizeof(place), "trust.max_rate");
	snprintf(out, size, "%s hands in more than %u %s %s (%s); try again in %s",
		 who_text(session->who, name, sizeof(name)), rate.count, what, period_name(rate.per_ms, period), place,
		 text_duration_print(wait_ms + 999, wait));
	return (struct server_reply){ 451, "4.7.1", out };
}

static bool has_rate(const struct intake_session *session, const struct config_submitter *rule, char *text, size_t size,
		     struct server_reply *out_why)
{
	bool has_own = rule && rule->rate.count;
	struct config_rate rate = has_own ? rule->rate : session->config->trust.max_rate;
	int64_t wait_ms = limits_take(session->limits, session->submitter, rate, session->now_ms);

	if (wait_ms > 0)
		*out_why = too_fast(text, size, session, has_own ? rule : NULL, rate, "messages", wait_ms);
	return wait_ms <= 0;
}

static struct message *message_new(const struct intake_session *session)
{
	struct message *m = MEM_NEW(struct message);

	m->draft = draft_new(session->config, session->aliases, session->wall_ms);
	m->limits = session->limits;
	snprintf(m->submitter, sizeof(m->submitter), "%s", session->submitter);
	m->uid = session->who->has_uid ? (uint32_t)session->who->uid : UINT32_MAX;
	m->origin = mem_strdup(session->origin);
	m->line_empty = true;
	buf_init(&m->from, FROM_MAX);
	/* A header comes out whole, in front of one piece of input. */
	buf_init(&m->waiting, FIXUP_OUT_MAX + 256 * 1024);
	return m;
}

enum intake_verdict intake_mail(struct intake *intake, const struct intake_session *session,
				const struct server_envelope *envelope, struct server_reply *out_reply)
{
	enum queue_err err = queue_admit(session->queue, envelope->declared_bytes);
	struct server_reply why;
	char text[SAY_MAX];

	intake_drop(intake);
	if (err != QUEUE_OK)
		return refuse(intake, intake_reply(err), out_reply);
	intake->message = message_new(session);
	if (!draft_sender(intake->message->draft, session->who, envelope, &why) ||
	    !has_rate(session, draft_from(intake->message->draft)->submitter, text, sizeof(text), &why))
		return refuse_message(intake, why, out_reply);
	return INTAKE_OK;
}

static uint32_t most_recipients(const struct config *config, const struct config_submitter *rule)
{
	uint32_t most = config->limits.recipients;

	return rule && rule->recipients && (!most || rule->recipients < most) ? rule->recipients : most;
}

static bool spend(struct message *m, const struct intake_session *session, uint32_t count, char *text, size_t size,
		  struct server_reply *out_why)
{
	const struct config_submitter *rule = draft_from(m->draft)->submitter;
	int64_t wait_ms = count ? limits_spend(m->limits, m->submitter, quota_of(m), count, session->now_ms) : 0;

	if (wait_ms == 0) {
		m->spent += count;
		return true;
	}
	if (wait_ms == INT64_MAX) {
		snprintf(text, size, "this leads to more recipients than the whole quota (submitter \"%.60s\")",
			 rule->name);
		*out_why = (struct server_reply){ 550, "5.7.1", text };
	} else {
		*out_why = too_fast(text, size, session, rule, rule->quota, "recipients", wait_ms);
	}
	return false;
}

enum intake_verdict intake_rcpt(struct intake *intake, const struct intake_session *session,
				const struct server_rcpt *rcpt, struct server_reply *out_reply)
{
	struct message *m = intake->message;
	uint32_t before = draft_count(m->draft);
	uint32_t most = most_recipients(session->config, draft_from(m->draft)->submitter);
	struct server_reply why;
	char text[SAY_MAX];

	if (!draft_to(m->draft, rcpt, most ? most : UINT32_MAX, &why))
		return refuse(intake, why, out_reply);
	if (!spend(m, session, draft_count(m->draft) - before, text, sizeof(text), &why)) {
		draft_cut(m->draft, before);
		return refuse(intake, why, out_reply);
	}
	return INTAKE_OK;
}

/* ---------------------------------------------------------------- the trace and what is added */

/* Parentheses and backslashes mean something in a comment (RFC 5322, 3.2.2). */
static void add_quietly(char *out, size_t size, const char *text)
{
	size_t len = strlen(out);

	for (; *text && len + 1 < size; text++)
		out[len++] = strchr("()\\", *text) ? '?' : *text;
	out[len] = '\0';
}

/* "[192.0.2.7], user alice": only where privacy is full. */
static void name_peer(struct message *m, const struct who *who)
{
	if (who->host[0])
		snprintf(m->peer, sizeof(m->peer), strchr(who->host, ':') ? "[IPv6:%s]" : "[%s]", who->host);
	if (!who->user[0] && !who->has_uid)
		return;
	add_quietly(m->peer, sizeof(m->peer), who->host[0] ? ", user " : "user ");
	if (who->user[0] || who->login[0]) {
		add_quietly(m->peer, sizeof(m->peer), who->user[0] ? who->user : who->login);
	} else {
		char number[16];

		snprintf(number, sizeof(number), "%lu", (unsigned long)who->uid);
		add_quietly(m->peer, sizeof(m->peer), number);
	}
}

/* For a message without From: the identity's, else the sender. */
static const char *new_from(struct message *m)
{
	const struct envelope_from *from = draft_from(m->draft);
	const char *address = from->identity && from->identity->from ? from->identity->from : from->given;
	const char *name = from->identity ? from->identity->full_name : NULL;

	if (!address[0])
		return NULL;
	if (name && mime_words_encode(&m->from, span_str(name), true))
		buf_printf(&m->from, " <%s>", address);
	else
		buf_append_str(&m->from, address);
	return buf_cstr(&m->from);
}

/* For a new Message-ID that does not name this machine; NULL: there is none. */
static const char *sender_domain(const struct message *m)
{
	const char *domain = address_domain(span_str(draft_from(m->draft)->address)).data;

	return domain && *domain && *domain != '[' && text_is_ascii(span_str(domain)) ? domain : NULL;
}

static enum revise_original original_of(enum config_original original)
{
	switch (original) {
	case CONFIG_ORIGINAL_REPLY_TO: return REVISE_REPLY_TO;
	case CONFIG_ORIGINAL_X_ORIGINAL_FROM: return REVISE_X_ORIGINAL_FROM;
	case CONFIG_ORIGINAL_DROP: break;
	}
	return REVISE_DROP;
}

static void begin(struct intake *intake, const struct intake_session *session)
{
	struct message *m = intake->message;
	const struct config *config = session->config;
	const struct config_identity *identity = draft_from(m->draft)->identity;
	bool is_full = config->privacy == CONFIG_PRIVACY_FULL;

	m->id = queue_next_id(session->queue, session->wall_ms);
	text_id_print(m->id, m->id_text);
	if (is_full)
		name_peer(m, session->who);
	fixup_init(&m->fixup, &(struct fixup_options){
				      .hostname = config->hostname,
				      .protocol = session->protocol,
				      .id = m->id_text,
				      .id_domain = is_full ? NULL : sender_domain(m),
				      .helo = is_full ? session->helo : NULL,
				      .peer = is_full && m->peer[0] ? m->peer : NULL,
				      .tls = session->tls,
				      .wall_ms = session->wall_ms,
				      .no_trace = config->privacy == CONFIG_PRIVACY_NONE,
				      .add_date = true,
				      .add_message_id = true,
				      .from = new_from(m),
				      .qualify = config->hostname,
				      .identity_from = identity ? identity->from : NULL,
				      .identity_name = identity ? identity->full_name : NULL,
				      .original = identity ? original_of(identity->original) : REVISE_DROP,
				      .to = identity ? identity->to : NULL,
				      .aliases = config->aliases_in_header ? draft_aliases(m->draft) : NULL,
			      });
	m->receipt = queue_receipt_new(session->queue);
	queue_receipt_on_ready(m->receipt, intake->ready, intake->arg);
	m->is_begun = m->is_fixed = true;
}

/* ---------------------------------------------------------------- its bytes */

/* Whether the header, up to the first empty line, has a byte above 127. */
static void note_header(struct message *m, struct span s)
{
	while (s.len && !m->header_over) {
		struct span line = span_first(s, span_find(s, '\n'));
		bool is_whole = line.len < s.len;
		bool is_empty = m->line_empty && (line.len == 0 || (line.len == 1 && line.data[0] == '\r'));

		if (!is_empty && !text_is_ascii(line))
			m->header_8bit = true;
		m->header_over = is_whole && is_empty;
		m->line_empty = is_whole || is_empty;
		s = span_from(s, line.len + 1);
	}
}

/* Whatever the queue does not take now is copied and goes first next time: the fix-up has moved on already. */
static enum queue_err append_spans(struct message *m, const struct span *spans, size_t count)
{
	enum queue_err err = QUEUE_OK;

	for (size_t i = 0; i < count; i++) {
		if (err == QUEUE_OK && spans[i].len)
			err = queue_receipt_append(m->receipt, spans[i].data, spans[i].len);
		if (err == QUEUE_BUSY && !buf_append_span(&m->waiting, spans[i]))
			err = QUEUE_NO_MEMORY;
	}
	return err;
}

/* What waits from last time; QUEUE_BUSY: still too busy. */
static enum queue_err append_waiting(struct message *m)
{
	struct span rest = buf_span(&m->waiting);
	enum queue_err err;

	if (rest.len == 0)
		return QUEUE_OK;
	err = queue_receipt_append(m->receipt, rest.data, rest.len);
	if (err == QUEUE_OK)
		buf_release(&m->waiting);
	return err;
}

enum intake_verdict intake_body(struct intake *intake, const struct intake_session *session, struct span bytes,
				struct server_reply *out_reply)
{
	struct message *m = intake->message;
	struct span out[HEADS_MAX];
	enum queue_err err;

	if (!m->is_begun)
		begin(intake, session);
	err = append_waiting(m);
	if (err == QUEUE_BUSY)
		return INTAKE_BUSY;
	if (err == QUEUE_OK) {
		note_header(m, bytes);
		err = append_spans(m, out, fixup_feed(&m->fixup, bytes, out));
	}
	if (err != QUEUE_OK && err != QUEUE_BUSY)
		return refuse_message(intake, intake_reply(err), out_reply);
	return INTAKE_OK;
}

/* ---------------------------------------------------------------- its end */

static void on_accepted(void *arg, enum queue_err err, uint64_t id)
{
	struct intake *intake = arg;
	struct message *m = intake->message;
	struct intake_result result = {
		.err = err, .id = id, .sender = draft_from(m->draft)->address, .recipients = draft_count(m->draft)
	};

	/* The callback may begin the next message, or end the session and the intake with it. */
	intake->is_stored = false;
	intake->message = NULL;
	if (intake->is_abandoned) {
		free_intake(intake);
	} else {
		if (err != QUEUE_OK)
			give_back(m);
		intake->stored(intake->arg, &result);
	}
	free_message(m);
}

static void submit(struct intake *intake, const struct intake_session *session, const struct server_envelope *envelope)
{
	struct message *m = intake->message;
	struct queue_op *op = queue_op_new(session->queue);
	struct queue_envelope sealed;
	const struct queue_rcpt *rcpts = draft_seal(m->draft,
						    &(struct draft_end){ .routes = session->routes,
									 .envelope = envelope,
									 .facts = fixup_facts(&m->fixup),
									 .header_8bit = m->header_8bit,
									 .id = m->id,
									 .submitter = m->submitter,
									 .uid = m->uid,
									 .origin = m->origin,
									 .wall_ms = session->wall_ms },
						    &sealed);

	queue_op_accept(op, m->receipt, &sealed, rcpts, draft_count(m->draft));
	m->receipt = NULL;
	if (m->spent)
		limits_keep(m->limits, m->submitter, op, session->now_ms, session->wall_ms);
	if (session->state)
		queue_op_state(op, session->state, session->state_value);
	intake->is_stored = true;
	queue_op_submit(op, on_accepted, intake);
	let_go(m); /* the queue has copied what it needs */
}

enum intake_verdict intake_store(struct intake *intake, const struct intake_session *session,
				 const struct server_envelope *envelope, struct server_reply *out_reply)
{
	struct message *m = intake->message;
	struct span out[HEADS_MAX];
	enum queue_err err;

	if (!m->is_begun)
		begin(intake, session);
	err = append_waiting(m);
	if (err == QUEUE_OK && !m->has_ended) {
		m->has_ended = true;
		err = append_spans(m, out, fixup_end(&m->fixup, out));
	}
	if (err == QUEUE_BUSY)
		return INTAKE_BUSY;
	if (err != QUEUE_OK)
		return refuse_message(intake, intake_reply(err), out_reply);
	if (fixup_facts(&m->fixup)->received > RECEIVED_MAX)
		return refuse_message(
			intake,
			(struct server_reply){ 554, "5.4.6", "too many hops: this message goes round in a loop" },
			out_reply);
	/* In a body it can be encoded where the next hop does not take it; in a header nothing can be done. */
	if (fixup_facts(&m->fixup)->has_nul)
		return refuse_message(intake, (struct server_reply){ 550, "5.6.0", "the header has NUL bytes in it" },
				      out_reply);
	submit(intake, session, envelope);
	return INTAKE_OK;
}
