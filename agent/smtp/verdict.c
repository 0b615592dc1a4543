#include "smtp/verdict.h"

#include <stddef.h>

#define AT(phase) (1u << CLIENT_AT_##phase)

enum {
	TRANSACTION = AT(MAIL) | AT(RCPT) | AT(DATA) | AT(BDAT) | AT(DOT),
	CONTENT = AT(DATA) | AT(BDAT) | AT(DOT),
	BEFORE_MAIL = AT(GREETING) | AT(EHLO) | AT(STARTTLS),
};

enum condition {
	RELAY = 1 << 0,         /* only from a smart host */
	STRANGER = 1 << 1,      /* only when not authenticated */
	NOT_MAILBOX = 1 << 2,   /* not with a status about an address or mailbox (RFC 3463, 3.2, 3.3) */
	UNSAID_OR_5_3 = 1 << 3, /* only without a status or with x.5.3, too many recipients */
	NOT_LMTP = 1 << 4,
};

/* Lower case; each must begin at the start of a word. */
static const char *const words_quota[] = {
	"quota exceeded",
	"exceeded quota",
	"exceeded your quota",
	"sending quota",
	"sending limit",
	"daily limit",
	"hourly limit",
	"daily message limit",
	"outgoing limit",
	"message limit exceeded",
	"rate limit",
	"ratelimit",
	"too many messages",
	"too many emails",
	"too much mail",
	"too many logins",
	"too many login",
	"too many concurrent",
	"too many auth",
	"too many connections",
	"too many session",
	"concurrent connections limit",
	"allowed outgoing messages",
	NULL,
};
static const char *const words_other_quota[] = { "mailbox", "recipient", "inbox", NULL };
static const char *const words_auth[] = {
	"authentication required",
	"authentication is required",
	"requires authentication",
	"require authentication",
	"auth required",
	"authenticate first",
	"must authenticate",
	"please authenticate",
	"not authenticated",
	"need to authenticate",
	"smtp auth",
	"relay access denied",
	"relaying denied",
	"relay denied",
	"relaying not allowed",
	"relaying not permitted",
	"relay not permitted",
	"not permitted to relay",
	"unable to relay",
	NULL,
};
static const char *const words_account[] = {
	"account disabled",
	"account is disabled",
	"account has been disabled",
	"account suspended",
	"account is suspended",
	"account has been suspended",
	"account locked",
	"account is locked",
	"account blocked",
	"account is blocked",
	"password expired",
	"password has expired",
	"token expired",
	"token has expired",
	"bad outbound sender",
	NULL,
};
static const char *const words_tls[] = { "starttls", "tls", NULL };
static const char *const words_too_many[] = { "too many recipients", "too many rcpt", NULL };

/* The first row that fits decides; what fits no row is decided by the first digit. */
static const struct row {
	unsigned phases, from, to, conditions;
	const char *const *words, *const *without;
	enum verdict verdict;
} rows[] = {
	/* A quota is often said with 421, 450, 550 or 554 alike; whose it is, the words tell. */
	{ AT(AUTH) | AT(MAIL) | CONTENT, 400, 599, RELAY | NOT_MAILBOX | NOT_LMTP, words_quota, NULL,
	  VERDICT_THROTTLED },
	{ AT(RCPT), 400, 599, RELAY | NOT_MAILBOX | NOT_LMTP, words_quota, words_other_quota, VERDICT_THROTTLED },
	{ ~0u, 421, 421, 0, NULL, NULL, VERDICT_CLOSING },
	{ BEFORE_MAIL, 400, 599, 0, NULL, NULL, VERDICT_LANE },
	/* RFC 4954, 6: 432 asks for a change of password; 454 and its kind pass. */
	{ AT(AUTH), 432, 432, 0, NULL, NULL, VERDICT_PARKED },
	{ AT(AUTH), 400, 499, 0, NULL, NULL, VERDICT_THROTTLED },
	{ AT(AUTH), 500, 599, 0, NULL, NULL, VERDICT_PARKED },
	/* RFC 3207, 4; RFC 4954, 6. */
	{ TRANSACTION, 530, 530, 0, words_tls, NULL, VERDICT_LANE },
	{ TRANSACTION, 530, 530, RELAY, NULL, NULL, VERDICT_PARKED },
	{ TRANSACTION, 534, 535, RELAY, NULL, NULL, VERDICT_PARKED },
	{ TRANSACTION, 538, 538, RELAY, NULL, NULL, VERDICT_PARKED },
	{ TRANSACTION, 500, 599, RELAY | STRANGER, words_auth, NULL, VERDICT_PARKED },
	{ AT(MAIL) | CONTENT, 500, 599, RELAY | NOT_LMTP, words_account, NULL, VERDICT_PARKED },
	{ TRANSACTION, 503, 503, 0, NULL, NULL, VERDICT_SEQUENCE },
	{ AT(RCPT), 452, 452, UNSAID_OR_5_3, words_too_many, NULL, VERDICT_TOO_MANY },
	{ AT(RCPT), 552, 552, UNSAID_OR_5_3, NULL, words_other_quota, VERDICT_TOO_MANY },
};

/* What a command hopes for; all else below 400 is senseless in its place. */
static const struct hope {
	unsigned from, to;
} hopes[] = {
	[CLIENT_AT_GREETING] = { 220, 220 }, [CLIENT_AT_EHLO] = { 250, 250 }, [CLIENT_AT_STARTTLS] = { 220, 220 },
	[CLIENT_AT_AUTH] = { 235, 235 },     [CLIENT_AT_MAIL] = { 200, 299 }, [CLIENT_AT_RCPT] = { 200, 299 },
	[CLIENT_AT_DATA] = { 354, 354 },     [CLIENT_AT_BDAT] = { 200, 299 }, [CLIENT_AT_DOT] = { 200, 299 },
	[CLIENT_AT_QUIT] = { 200, 299 },
};

static bool is_word_byte(char c)
{
	c = span_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool says(struct span text, const char *const *words)
{
	for (; *words; words++) {
		struct span word = span_str(*words);

		for (size_t i = 0; i + word.len <= text.len; i++)
			if ((i == 0 || !is_word_byte(text.data[i - 1])) && span_starts_fold(span_from(text, i), word))
				return true;
	}
	return false;
}

static bool meets(unsigned conditions, const struct reply_status *status, struct verdict_context context)
{
	if (conditions & RELAY && !context.relay)
		return false;
	if (conditions & NOT_LMTP && context.lmtp)
		return false;
	if (conditions & STRANGER && context.authenticated)
		return false;
	if (conditions & NOT_MAILBOX && status->class && (status->subject == 1 || status->subject == 2))
		return false;
	if (conditions & UNSAID_OR_5_3 && status->class && !(status->subject == 5 && status->detail == 3))
		return false;
	return true;
}

static bool fits(const struct row *row, enum client_phase phase, const struct reply *reply,
		 struct verdict_context context)
{
	return row->phases & 1u << phase && reply->code >= row->from && reply->code <= row->to &&
	       meets(row->conditions, &reply->status, context) && (!row->words || says(reply->text, row->words)) &&
	       (!row->without || !says(reply->text, row->without));
}

enum verdict verdict_of(enum client_phase phase, const struct reply *reply, struct verdict_context context)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (fits(&rows[i], phase, reply, context))
			return rows[i].verdict;
	if (reply->code >= 500)
		return VERDICT_PERMANENT;
	if (reply->code >= 400)
		return VERDICT_TEMPORARY;
	if (reply->code >= hopes[phase].from && reply->code <= hopes[phase].to)
		return VERDICT_OK;
	return VERDICT_SENSELESS;
}
