#include "smtp/transaction.h"

#include <assert.h>
#include <stdio.h>

#include "smtp/address.h"
#include "smtp/passing.h"

enum {
	NUMBER_RSET,
	NUMBER_MAIL,
	NUMBER_RCPT,
	WORDS_MAX = 256 * 1024,
	ASKED_MAX = 4000,
	DOMAINS_COUNTED = TRANSACTION_DOMAINS,
};

static size_t number_data(const struct transaction *t)
{
	return NUMBER_RCPT + t->asked;
}

void transaction_init(struct transaction *t)
{
	*t = (struct transaction){ 0 };
	mem_arena_init(&t->words, WORDS_MAX);
}

void transaction_fini(struct transaction *t)
{
	transaction_end(t);
}

void transaction_end(struct transaction *t)
{
	mem_free(t->rcpts);
	mem_free(t->order);
	mem_arena_fini(&t->words);
	transaction_init(t);
}

/* A copy that lives as long as the transaction; without its text when a server had too much to say. */
static struct reply keep(struct transaction *t, const struct reply *reply)
{
	struct reply copy = *reply;
	char *text = mem_arena_dup(&t->words, reply->text);

	copy.text = text ? span_of(text, reply->text.len) : SPAN("");
	copy.lines = SPAN("");
	return copy;
}

static void decide(struct transaction_rcpt *rcpt, enum client_outcome outcome, enum client_phase phase,
		   struct reply kept)
{
	rcpt->outcome = outcome;
	rcpt->phase = phase;
	rcpt->reply = kept;
	rcpt->is_decided = true;
}

static void decide_rest(struct transaction *t, enum client_outcome outcome, enum client_phase phase,
			const struct reply *reply)
{
	struct reply kept = keep(t, reply);

	for (size_t i = 0; i < t->message->rcpt_count; i++)
		if (!t->rcpts[i].is_decided)
			decide(&t->rcpts[i], outcome, phase, kept);
}

/* Whether one more recipient keeps to what the server says it takes (RFC 9422). */
static bool has_room(struct transaction *t, const struct ehlo *offer, const char *address)
{
	struct span domain = address_domain(span_str(address));

	if (t->asked == ASKED_MAX || (offer->rcpt_max && t->asked >= offer->rcpt_max))
		return false;
	if (offer->domain_max == 0 || offer->domain_max > DOMAINS_COUNTED)
		return true;
	for (size_t i = 0; i < t->domain_count; i++)
		if (address_same_domain(t->domains[i], domain))
			return true;
	if (t->domain_count == offer->domain_max)
		return false;
	t->domains[t->domain_count++] = domain;
	return true;
}

/* The recipient gets a command, or an outcome at once. */
static void ask(struct transaction *t, size_t i, const struct ehlo *offer)
{
	struct reply own = { .text = SPAN("the recipient's address cannot be sent in SMTP") };
	struct reply surplus = { .text = SPAN("more recipients than fit in one transaction") };
	const char *address = t->message->rcpts[i].address;

	address = *address ? passing_address(address, t->with_utf8, &t->words, &own.status) : NULL;
	if (own.status.subject == 6)
		own.text = SPAN("the recipient's address is internationalized and cannot be sent without SMTPUTF8");
	if (!address) {
		decide(&t->rcpts[i], CLIENT_PERMANENT, CLIENT_AT_RCPT, keep(t, &own));
	} else if (has_room(t, offer, address)) {
		t->rcpts[i].address = address;
		t->order[t->asked++] = i;
	} else {
		decide(&t->rcpts[i], CLIENT_UNTRIED, CLIENT_AT_IDLE, keep(t, &surplus));
	}
}

/* Why this server can never take the message, in our own words. */
static bool is_refused(struct transaction *t, const struct transaction_terms *terms, struct passing_refusal *out)
{
	const struct passing_server server = { .offer = terms->offer, .is_proven = terms->is_proven };
	const char *sender = t->message->sender;

	if (!passing_allows(t->message, &server, t->message->by_ms, out))
		return true;
	t->sender = *sender ? passing_address(sender, t->with_utf8, &t->words, &out->status) : "";
	if (t->sender)
		return false;
	if (out->status.subject == 6) {
		snprintf(out->text, sizeof out->text,
			 "the sender's address is internationalized and cannot be sent without SMTPUTF8");
	} else {
		out->status = (struct reply_status){ 5, 1, 7 };
		snprintf(out->text, sizeof out->text, "the sender's address cannot be sent in SMTP");
	}
	return true;
}

void transaction_begin(struct transaction *t, const struct client_message *message,
		       const struct transaction_terms *terms)
{
	struct passing_refusal refusal = { 0 };
	struct reply own;

	assert(t->state == TRANSACTION_FREE);
	t->state = TRANSACTION_QUEUED;
	t->message = message;
	t->is_chunked = passing_by_chunks(message);
	t->with_utf8 = passing_with_utf8(message, terms->offer);
	t->is_lmtp = terms->is_lmtp;
	t->by_at_ms = terms->now_ms + message->by_ms;
	t->limit_ms = INT64_MAX;
	t->rcpts = mem_calloc(message->rcpt_count, sizeof(*t->rcpts));
	t->order = mem_calloc(message->rcpt_count, sizeof(*t->order));
	t->sent = t->answered = terms->with_reset ? NUMBER_RSET : NUMBER_MAIL;
	if (is_refused(t, terms, &refusal)) {
		own = (struct reply){ .text = span_str(refusal.text), .status = refusal.status };
		transaction_settle(t, CLIENT_PERMANENT, CLIENT_AT_MAIL, &own);
		return;
	}
	for (size_t i = 0; i < message->rcpt_count; i++)
		ask(t, i, terms->offer);
	if (t->asked == 0)
		transaction_settle(t, CLIENT_PERMANENT, CLIENT_AT_RCPT, NULL);
}

void transaction_reset_first(struct transaction *t)
{
	assert(t->state == TRANSACTION_QUEUED && t->sent == NUMBER_MAIL);
	t->sent = t->answered = NUMBER_RSET;
}

enum client_phase transaction_phase(const struct transaction *t)
{
	if (t->state == TRANSACTION_BODY)
		return CLIENT_AT_BODY;
	if (t->answered < NUMBER_RCPT)
		return CLIENT_AT_MAIL;
	if (t->answered < number_data(t))
		return CLIENT_AT_RCPT;
	if (t->is_chunked)
		return t->state == TRANSACTION_CHUNK ? CLIENT_AT_BDAT : CLIENT_AT_DOT;
	return t->answered == number_data(t) ? CLIENT_AT_DATA : CLIENT_AT_DOT;
}

bool transaction_is_owed(const struct transaction *t)
{
	return t->answered < t->sent;
}

static bool write_rcpt(const struct transaction *t, size_t i, const struct ehlo *offer, struct buf *out)
{
	size_t n = t->order[i];

	return passing_rcpt(out, &t->message->rcpts[n], t->rcpts[n].address, offer, t->with_utf8);
}

bool transaction_write(struct transaction *t, const struct ehlo *offer, int64_t now_ms, struct buf *out)
{
	size_t number = t->sent;
	bool ok;

	assert(t->state == TRANSACTION_QUEUED || t->state == TRANSACTION_ENVELOPE);
	if (number > number_data(t) || ((t->is_chunked || t->message->only_ask) && number == number_data(t)))
		return false;
	if (number == NUMBER_RSET)
		ok = buf_append_str(out, "RSET\r\n");
	else if (number == NUMBER_MAIL)
		ok = passing_mail(out, t->message, t->sender, offer, t->by_at_ms - now_ms);
	else if (number < number_data(t))
		ok = write_rcpt(t, number - NUMBER_RCPT, offer, out);
	else
		ok = buf_append_str(out, "DATA\r\n");
	assert(ok); /* addresses and their number are bounded */
	t->state = TRANSACTION_ENVELOPE;
	t->sent++;
	return true;
}

bool transaction_is_hopeless(const struct transaction *t)
{
	if (t->state != TRANSACTION_ENVELOPE || t->answered != t->sent || t->sent > number_data(t))
		return false;
	return t->mail_refused || (t->sent == number_data(t) && (t->accepted == 0 || t->message->only_ask));
}

/* All replies up to DATA are in: those who were too many know now whether somebody else was taken. */
static void end_envelope(struct transaction *t)
{
	for (size_t i = 0; i < t->message->rcpt_count; i++) {
		struct transaction_rcpt *rcpt = &t->rcpts[i];

		if (rcpt->is_too_many && !rcpt->is_decided)
			decide(rcpt, t->accepted ? CLIENT_UNTRIED : CLIENT_TEMPORARY, CLIENT_AT_RCPT, rcpt->reply);
	}
	t->refusals_are_final = true;
	t->cursor = 0;
}

void transaction_close(struct transaction *t)
{
	end_envelope(t);
	transaction_settle(t, CLIENT_UNTRIED, CLIENT_AT_RCPT, NULL);
}

bool transaction_is_left_open(const struct transaction *t)
{
	return t->mail_accepted && !t->dot_answered;
}

/* What a reply means for those it is about. One that is about account or host decides nothing about them. */
static enum client_outcome refusal(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_PERMANENT: return CLIENT_PERMANENT;
	case VERDICT_TEMPORARY:
	case VERDICT_SEQUENCE:
	case VERDICT_TOO_MANY: return CLIENT_TEMPORARY;
	case VERDICT_OK: return CLIENT_DELIVERED;
	case VERDICT_LANE:
	case VERDICT_CLOSING:
	case VERDICT_PARKED:
	case VERDICT_THROTTLED:
	case VERDICT_SENSELESS: break;
	}
	return CLIENT_UNTRIED;
}

static void to_mail(struct transaction *t, enum verdict verdict, const struct reply *reply)
{
	if (verdict == VERDICT_OK) {
		t->mail_accepted = true;
		return;
	}
	t->mail_refused = true;
	decide_rest(t, refusal(verdict), CLIENT_AT_MAIL, reply);
}

static void to_rcpt(struct transaction *t, size_t i, enum verdict verdict, const struct reply *reply)
{
	struct transaction_rcpt *rcpt = &t->rcpts[t->order[i]];

	if (verdict == VERDICT_OK) {
		t->accepted++;
		if (t->message->only_ask)
			decide(rcpt, CLIENT_UNTRIED, CLIENT_AT_RCPT, keep(t, reply));
	} else if (verdict == VERDICT_TOO_MANY) {
		rcpt->is_too_many = true;
		rcpt->reply = keep(t, reply);
	} else {
		decide(rcpt, refusal(verdict), CLIENT_AT_RCPT, keep(t, reply));
	}
}

static void to_data(struct transaction *t, enum verdict verdict, const struct reply *reply)
{
	end_envelope(t);
	if (verdict == VERDICT_OK)
		t->state = t->accepted ? TRANSACTION_BODY : TRANSACTION_EMPTY_DOT;
	else
		transaction_settle(t, refusal(verdict), CLIENT_AT_DATA, reply);
}

/* Where no DATA asks for the body, it may follow when all recipients are answered. */
static void to_last_rcpt(struct transaction *t)
{
	if (!t->is_chunked || t->message->only_ask || t->answered != number_data(t) || t->accepted == 0)
		return;
	end_envelope(t);
	t->state = TRANSACTION_BODY;
}

/* A chunk that is not the last: after a refusal the message is over (RFC 3030, 2). */
static void to_chunk(struct transaction *t, enum verdict verdict, const struct reply *reply)
{
	if (verdict == VERDICT_OK)
		t->state = TRANSACTION_BODY;
	else
		transaction_settle(t, refusal(verdict), CLIENT_AT_BDAT, reply);
}

/* LMTP: the replies come in the order of the recipients that were accepted, which have no outcome yet. */
static void to_next_rcpt(struct transaction *t, enum client_outcome outcome, const struct reply *reply)
{
	while (t->rcpts[t->order[t->told]].is_decided)
		t->told++; /* not beyond the end: as many are owed as were accepted */
	decide(&t->rcpts[t->order[t->told]], outcome, CLIENT_AT_DOT, keep(t, reply));
}

static void to_dot(struct transaction *t, enum verdict verdict, const struct reply *reply)
{
	if (t->is_lmtp)
		to_next_rcpt(t, refusal(verdict), reply);
	else
		decide_rest(t, refusal(verdict), CLIENT_AT_DOT, reply);
	if (transaction_is_owed(t))
		return;
	t->dot_answered = true;
	t->state = TRANSACTION_ANSWERED;
}

/* Everybody has an outcome already. */
static enum transaction_news to_moot(struct transaction *t, size_t number)
{
	if (number == number_data(t)) {
		transaction_close(t);
	} else if (number > number_data(t)) {
		t->dot_answered = true;
		t->state = TRANSACTION_SETTLED;
	}
	return TRANSACTION_GOES_ON;
}

/* Where our own earlier commands failed, the server can only refuse, in whatever words (RFC 2920, 3.1): those say
 * nothing about anybody. Consent to a recipient of a refused sender, or to the data of nobody's message, does not
 * fit in: there a reply was lost or came twice. */
static bool is_moot(const struct transaction *t, size_t number, enum verdict verdict, bool *out_fits)
{
	*out_fits = verdict != VERDICT_OK;
	if (t->mail_refused)
		return true;
	if (number == number_data(t) && t->accepted == 0 && verdict != VERDICT_OK)
		return true;
	*out_fits = true;
	return t->state == TRANSACTION_EMPTY_DOT;
}

static enum transaction_news beyond(enum verdict verdict)
{
	switch (verdict) {
	case VERDICT_LANE: return TRANSACTION_LANE;
	case VERDICT_CLOSING: return TRANSACTION_CLOSING;
	case VERDICT_PARKED: return TRANSACTION_PARKED;
	case VERDICT_THROTTLED: return TRANSACTION_THROTTLED;
	case VERDICT_SENSELESS: return TRANSACTION_DOUBT;
	case VERDICT_SEQUENCE: return TRANSACTION_OUT_OF_STEP;
	case VERDICT_OK:
	case VERDICT_TEMPORARY:
	case VERDICT_PERMANENT:
	case VERDICT_TOO_MANY: break;
	}
	return TRANSACTION_GOES_ON;
}

enum transaction_news transaction_reply(struct transaction *t, const struct reply *reply,
					struct verdict_context context)
{
	enum verdict verdict = verdict_of(transaction_phase(t), reply, context);
	size_t number = t->answered;
	enum transaction_news news;
	bool fits, moot;

	assert(transaction_is_owed(t));
	if (verdict == VERDICT_CLOSING && transaction_has_many_ends(t))
		to_next_rcpt(t, CLIENT_TEMPORARY, reply);
	if (verdict == VERDICT_SENSELESS || verdict == VERDICT_CLOSING)
		return beyond(verdict);
	moot = is_moot(t, number, verdict, &fits);
	if (!fits)
		return TRANSACTION_DOUBT;
	t->answered++;
	if (number == NUMBER_RSET)
		return verdict == VERDICT_OK ? TRANSACTION_GOES_ON : TRANSACTION_LANE;
	if (moot)
		return to_moot(t, number);
	news = beyond(verdict);
	if (number == NUMBER_MAIL)
		to_mail(t, verdict, reply);
	else if (number < number_data(t))
		to_rcpt(t, number - NUMBER_RCPT, verdict, reply);
	else if (t->state == TRANSACTION_CHUNK)
		to_chunk(t, verdict, reply);
	else if (number == number_data(t) && !t->is_chunked)
		to_data(t, verdict, reply);
	else
		to_dot(t, verdict, reply);
	if (number < number_data(t))
		to_last_rcpt(t);
	/* RFC 2033, 4.2: the data of nobody's message must be refused; how many replies would follow, nobody knows. */
	if (t->is_lmtp && t->state == TRANSACTION_EMPTY_DOT) {
		t->state = TRANSACTION_SETTLED;
		return TRANSACTION_DOUBT;
	}
	return news;
}

bool transaction_has_many_ends(const struct transaction *t)
{
	return t->is_lmtp && t->state == TRANSACTION_DOT && t->accepted > 1;
}

void transaction_wrote_end(struct transaction *t)
{
	t->sent += t->is_lmtp && t->state == TRANSACTION_DOT ? t->accepted : 1;
}

size_t transaction_chunks(const struct transaction *t)
{
	return t->is_chunked && t->sent > number_data(t) ? t->sent - number_data(t) : 0;
}

void transaction_settle(struct transaction *t, enum client_outcome outcome, enum client_phase phase,
			const struct reply *reply)
{
	static const struct reply nothing = { .text = { "", 0 } };

	decide_rest(t, outcome, phase, reply ? reply : &nothing);
	t->state = TRANSACTION_SETTLED;
	t->cursor = 0;
}

void transaction_distrust(struct transaction *t)
{
	for (size_t i = 0; i < t->message->rcpt_count; i++) {
		struct transaction_rcpt *rcpt = &t->rcpts[i];
		bool is_own = rcpt->reply.code == 0;

		if (!is_own && (!t->refusals_are_final || rcpt->phase == CLIENT_AT_DOT))
			rcpt->is_decided = false;
		if (!t->refusals_are_final)
			rcpt->is_too_many = false;
	}
}

bool transaction_result(struct transaction *t, struct client_result *out)
{
	bool settled = t->state == TRANSACTION_SETTLED;

	if (!settled && !t->refusals_are_final)
		return false;
	for (; t->cursor < t->message->rcpt_count; t->cursor++) {
		struct transaction_rcpt *rcpt = &t->rcpts[t->cursor];

		if (!rcpt->is_decided || rcpt->is_handed || (!settled && rcpt->phase == CLIENT_AT_DOT))
			continue;
		rcpt->is_handed = true;
		*out = (struct client_result){
			.message = t->message,
			.rcpt = t->cursor++,
			.outcome = rcpt->outcome,
			.phase = rcpt->phase,
			.reply = rcpt->reply,
		};
		return true;
	}
	return false;
}

bool transaction_is_over(const struct transaction *t)
{
	return t->state == TRANSACTION_SETTLED && t->cursor == t->message->rcpt_count;
}
