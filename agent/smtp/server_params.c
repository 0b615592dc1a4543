#include <stdio.h>
#include <string.h>

#include "base/instant.h"
#include "base/text.h"
#include "smtp/server_inside.h"

/* Parameters of MAIL and RCPT: each sets fields of the envelope, or of the draft of a recipient. */

enum {
	ENVID_MAX = 100, /* RFC 3461, 4.4 */
	ORCPT_MAX = 500, /* RFC 3461, 4.2 */
	SECONDS_DIGITS = 9,
	SECONDS_MAX = 999999999,
};

enum verdict {
	PARAM_GOOD,
	PARAM_BAD,  /* not what the table says it takes */
	PARAM_SAID, /* refused, and a reply was said */
};

static bool is_printable(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] < ' ' || s.data[i] > '~')
			return false;
	return true;
}

/* ---------------------------------------------------------------- MAIL: what the message is */

static enum verdict set_size(struct server *s, struct span value, struct server_draft *draft)
{
	uint64_t size;

	(void)draft;
	if (value.len > 20 || !text_number(value, UINT64_MAX, &size))
		return PARAM_BAD;
	if (s->config->max_size_bytes && size > s->config->max_size_bytes) {
		server_say(s, 552, "5.3.4", "The message is larger than this server takes");
		return PARAM_SAID;
	}
	s->envelope.declared_bytes = size;
	return PARAM_GOOD;
}

/* RFC 6152, RFC 3030. */
static enum verdict set_body(struct server *s, struct span value, struct server_draft *draft)
{
	static const struct {
		struct span name;
		enum server_body body;
		unsigned feature;
	} bodies[] = {
		{ SPAN("7BIT"), SERVER_BODY_7BIT, SERVER_8BITMIME | SERVER_BINARYMIME },
		{ SPAN("8BITMIME"), SERVER_BODY_8BITMIME, SERVER_8BITMIME },
		{ SPAN("BINARYMIME"), SERVER_BODY_BINARYMIME, SERVER_BINARYMIME },
	};

	(void)draft;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		if (span_equals_fold(value, bodies[i].name) && server_offers(s, bodies[i].feature)) {
			s->envelope.body = bodies[i].body;
			return PARAM_GOOD;
		}
	return PARAM_BAD;
}

static enum verdict set_smtputf8(struct server *s, struct span value, struct server_draft *draft)
{
	(void)value;
	(void)draft;
	s->envelope.smtputf8 = true;
	return PARAM_GOOD;
}

/* RFC 4954, 5: must be understood where AUTH is offered; what it claims is not trusted and so not kept. */
static enum verdict set_auth(struct server *s, struct span value, struct server_draft *draft)
{
	struct buf decoded;
	bool good;

	(void)s;
	(void)draft;
	buf_init(&decoded, COMMAND_LINE_MAX);
	good = span_equals(value, SPAN("<>")) || text_xtext_decode(&decoded, value);
	buf_fini(&decoded);
	return good ? PARAM_GOOD : PARAM_BAD;
}

/* ---------------------------------------------------------------- MAIL: how it is to travel */

static enum verdict set_requiretls(struct server *s, struct span value, struct server_draft *draft)
{
	(void)value;
	(void)draft;
	s->envelope.requiretls = true;
	return PARAM_GOOD;
}

/* RFC 6710, 4: ["-"] NZDIGIT / "0". */
static enum verdict set_priority(struct server *s, struct span value, struct server_draft *draft)
{
	bool is_negative = value.len == 2 && value.data[0] == '-';
	struct span digit = is_negative ? span_from(value, 1) : value;

	(void)draft;
	if (digit.len != 1 || digit.data[0] < (is_negative ? '1' : '0') || digit.data[0] > '9')
		return PARAM_BAD;
	s->envelope.priority = (int8_t)((digit.data[0] - '0') * (is_negative ? -1 : 1));
	return PARAM_GOOD;
}

static enum verdict refuse_hold(struct server *s)
{
	char text[80];

	snprintf(text, sizeof(text), "Messages are held for %lld seconds at most",
		 (long long)(server_max_hold_ms(s) / 1000));
	server_say_error(s, 501, "5.5.4", text);
	return PARAM_SAID;
}

/* RFC 4865, 4.1: one to nine digits, the first of them no 0. */
static enum verdict set_hold_for(struct server *s, struct span value, struct server_draft *draft)
{
	uint64_t seconds;

	(void)draft;
	if (value.len > SECONDS_DIGITS || !text_number(value, SECONDS_MAX, &seconds) || value.data[0] == '0')
		return PARAM_BAD;
	if ((int64_t)seconds * 1000 > server_max_hold_ms(s))
		return refuse_hold(s);
	s->envelope.hold_for_ms = (int64_t)seconds * 1000;
	return PARAM_GOOD;
}

/* A time that has passed holds nothing back. */
static enum verdict set_hold_until(struct server *s, struct span value, struct server_draft *draft)
{
	int64_t until_ms;

	(void)draft;
	if (!instant_parse(value, &until_ms) || until_ms <= 0)
		return PARAM_BAD;
	if (until_ms - (s->now_ms + s->wall_ms) > server_max_hold_ms(s))
		return refuse_hold(s);
	s->envelope.hold_until_ms = until_ms;
	return PARAM_GOOD;
}

/* RFC 2852, 4: by-time ";" by-mode ["T"], by-time a sign and one to nine digits. */
static enum verdict set_by(struct server *s, struct span value, struct server_draft *draft)
{
	struct server_envelope *envelope = &s->envelope;
	struct span time = span_first(value, span_find(value, ';')), mode = span_from(value, time.len + 1);
	bool is_negative = time.len && time.data[0] == '-';
	struct span digits = time.len && (is_negative || time.data[0] == '+') ? span_from(time, 1) : time;
	uint64_t seconds;
	char letter, trace;

	(void)draft;
	if (digits.len > SECONDS_DIGITS || !text_number(digits, SECONDS_MAX, &seconds) || !mode.len || mode.len > 2)
		return PARAM_BAD;
	letter = span_lower(mode.data[0]);
	trace = mode.len == 2 ? span_lower(mode.data[1]) : 't';
	if ((letter != 'r' && letter != 'n') || trace != 't')
		return PARAM_BAD;
	envelope->by_ms = (int64_t)seconds * (is_negative ? -1000 : 1000);
	envelope->by = letter == 'r' ? SERVER_BY_RETURN : SERVER_BY_NOTIFY;
	envelope->by_trace = mode.len == 2;
	if (envelope->by != SERVER_BY_RETURN)
		return PARAM_GOOD;
	if (envelope->by_ms <= 0)
		server_say_error(s, 501, "5.5.4", "BY= with R takes a time that is still to come");
	else if (envelope->by_ms < s->config->min_deliver_by_ms)
		server_say_error(s, 555, "5.5.4", "BY= with R asks for less time than this server promises");
	else
		return PARAM_GOOD;
	return PARAM_SAID;
}

/* ---------------------------------------------------------------- delivery status notifications */

static enum verdict set_ret(struct server *s, struct span value, struct server_draft *draft)
{
	(void)draft;
	if (span_equals_fold(value, SPAN("FULL")))
		s->envelope.ret = SERVER_RET_FULL;
	else if (span_equals_fold(value, SPAN("HDRS")))
		s->envelope.ret = SERVER_RET_HDRS;
	else
		return PARAM_BAD;
	return PARAM_GOOD;
}

/* What is decoded goes into reports: printable ASCII, no line of its own (RFC 3461, 4.4). */
static enum verdict set_envid(struct server *s, struct span value, struct server_draft *draft)
{
	enum verdict verdict = PARAM_BAD;
	struct buf decoded;

	(void)draft;
	buf_init(&decoded, ENVID_MAX);
	if (text_xtext_decode(&decoded, value) && is_printable(buf_span(&decoded))) {
		/* The arena holds nothing else yet. */
		s->envelope.envid = mem_arena_dup(&s->arena, buf_span(&decoded));
		verdict = PARAM_GOOD;
	}
	buf_fini(&decoded);
	return verdict;
}

static enum verdict set_notify(struct server *s, struct span value, struct server_draft *draft)
{
	static const struct {
		struct span name;
		uint8_t bit;
	} names[] = {
		{ SPAN("SUCCESS"), SERVER_NOTIFY_SUCCESS },
		{ SPAN("FAILURE"), SERVER_NOTIFY_FAILURE },
		{ SPAN("DELAY"), SERVER_NOTIFY_DELAY },
	};
	struct span rest = value;

	(void)s;
	if (span_equals_fold(value, SPAN("NEVER"))) {
		draft->notify = SERVER_NOTIFY_NEVER;
		return PARAM_GOOD;
	}
	for (;;) {
		struct span word = span_first(rest, span_find(rest, ','));
		uint8_t bit = 0;

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (span_equals_fold(word, names[i].name))
				bit = names[i].bit;
		if (!bit)
			return PARAM_BAD;
		draft->notify |= bit;
		if (word.len == rest.len)
			return PARAM_GOOD;
		rest = span_from(rest, word.len + 1);
	}
}

/* A character outside ASCII, or one that ORCPT cannot hold as it is, written "\x{1F4E7}" (RFC 6533, 3). */
static bool decode_embedded(struct span *rest, struct buf *out)
{
	uint32_t c = 0;
	size_t digits = 0;

	if (!span_starts_fold(*rest, SPAN("\\x{")))
		return false;
	for (*rest = span_from(*rest, 3); rest->len && digits <= 6; *rest = span_from(*rest, 1), digits++) {
		char d = span_lower(rest->data[0]);

		if (d >= '0' && d <= '9')
			c = c * 16 + (uint32_t)(d - '0');
		else if (d >= 'a' && d <= 'f')
			c = c * 16 + (uint32_t)(d - 'a' + 10);
		else
			break;
	}
	if (!rest->len || rest->data[0] != '}' || digits < 2 || digits > 6)
		return false;
	*rest = span_from(*rest, 1);
	if (c < 0x80)
		return (c == ' ' || c == '+' || c == '=' || c == '\\') && buf_append_char(out, (char)c);
	if (c < 0xa0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return false;
	if (c < 0x800)
		return buf_append_char(out, (char)(0xc0 | c >> 6)) && buf_append_char(out, (char)(0x80 | (c & 0x3f)));
	if (c >= 0x10000 &&
	    !(buf_append_char(out, (char)(0xf0 | c >> 18)) && buf_append_char(out, (char)(0x80 | (c >> 12 & 0x3f)))))
		return false;
	if (c < 0x10000 && !buf_append_char(out, (char)(0xe0 | c >> 12)))
		return false;
	return buf_append_char(out, (char)(0x80 | (c >> 6 & 0x3f))) && buf_append_char(out, (char)(0x80 | (c & 0x3f)));
}

/* utf-8-addr-xtext, and with SMTPUTF8, which alone lets a parameter hold such bytes, utf-8-addr-unitext of an address
 * (RFC 6533, 3). */
static bool decode_utf8_address(const struct server *s, struct span rest, struct buf *out)
{
	unsigned options = ADDRESS_UTF8 | (s->config->allow_bare_local_parts ? ADDRESS_BARE : 0);
	size_t before = out->len;
	struct address address;

	while (rest.len) {
		unsigned char c = (unsigned char)rest.data[0];

		if (c == '\\') {
			if (!decode_embedded(&rest, out))
				return false;
			continue;
		}
		if (c <= ' ' || c == '+' || c == '=' || c == 0x7f || !buf_append_char(out, (char)c))
			return false;
		rest = span_from(rest, 1);
	}
	return address_parse(span_from(buf_span(out), before), options, &address) == ADDRESS_OK;
}

static bool is_atom(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] <= ' ' || s.data[i] > '~' || strchr("()<>@,;:\\\".[]+=", s.data[i]))
			return false;
	return s.len > 0;
}

/* RFC 3461, 4.2: addr-type ";" xtext. */
static enum verdict set_orcpt(struct server *s, struct span value, struct server_draft *draft)
{
	struct span type = span_first(value, span_find(value, ';')), rest = span_from(value, type.len + 1);
	struct buf *out = &draft->orcpt;
	size_t before;

	if (value.len > ORCPT_MAX || !is_atom(type) || !rest.len)
		return PARAM_BAD;
	buf_append_span(out, type);
	buf_append_char(out, ';');
	before = out->len;
	if (span_equals_fold(type, SPAN("utf-8")))
		return decode_utf8_address(s, rest, out) ? PARAM_GOOD : PARAM_BAD;
	if (!text_xtext_decode(out, rest) || !is_printable(span_from(buf_span(out), before)))
		return PARAM_BAD;
	return PARAM_GOOD;
}

/* ---------------------------------------------------------------- the tables */

static const struct param {
	enum command_verb verb;
	unsigned features; /* any of them */
	struct span key;
	const char *takes; /* NULL: no value */
	const char *form;  /* for HELP */
	enum verdict (*set)(struct server *s, struct span value, struct server_draft *draft);
} params[] = {
	{ COMMAND_MAIL, SERVER_SIZE, SPAN("SIZE"), "a number of octets", "octets", set_size },
	{ COMMAND_MAIL, SERVER_8BITMIME | SERVER_BINARYMIME, SPAN("BODY"), "7BIT, 8BITMIME or BINARYMIME",
	  "7BIT|8BITMIME|BINARYMIME", set_body },
	{ COMMAND_MAIL, SERVER_SMTPUTF8, SPAN("SMTPUTF8"), NULL, NULL, set_smtputf8 },
	{ COMMAND_MAIL, SERVER_AUTH, SPAN("AUTH"), "an address in xtext, or <>", "xtext", set_auth },
	{ COMMAND_MAIL, SERVER_DSN, SPAN("RET"), "FULL or HDRS", "FULL|HDRS", set_ret },
	{ COMMAND_MAIL, SERVER_DSN, SPAN("ENVID"), "up to 100 printable characters in xtext", "xtext", set_envid },
	{ COMMAND_MAIL, SERVER_REQUIRETLS, SPAN("REQUIRETLS"), NULL, NULL, set_requiretls },
	{ COMMAND_MAIL, SERVER_MT_PRIORITY, SPAN("MT-PRIORITY"), "a number from -9 to 9", "-9..9", set_priority },
	{ COMMAND_MAIL, SERVER_FUTURERELEASE, SPAN("HOLDFOR"), "a number of seconds", "seconds", set_hold_for },
	{ COMMAND_MAIL, SERVER_FUTURERELEASE, SPAN("HOLDUNTIL"), "a date and time as 2026-11-24T08:40:00Z", "date",
	  set_hold_until },
	{ COMMAND_MAIL, SERVER_DELIVERBY, SPAN("BY"), "seconds;R or seconds;N, and perhaps T", "seconds;R|N[T]",
	  set_by },
	{ COMMAND_RCPT, SERVER_DSN, SPAN("NOTIFY"), "NEVER, or a list of SUCCESS, FAILURE and DELAY",
	  "NEVER|SUCCESS,FAILURE,DELAY", set_notify },
	{ COMMAND_RCPT, SERVER_DSN, SPAN("ORCPT"), "type;address, printable and in xtext", "type;xtext", set_orcpt },
};
enum { PARAMS = sizeof(params) / sizeof(params[0]) };

/* By how much an extension lets a command grow, in octets. */
static const struct growth {
	unsigned feature;
	enum command_verb verb;
	size_t octets;
} growths[] = {
	{ SERVER_SIZE, COMMAND_MAIL, 26 },          /* RFC 1870, 3 */
	{ SERVER_8BITMIME, COMMAND_MAIL, 17 },      /* RFC 6152, 2 */
	{ SERVER_AUTH, COMMAND_MAIL, 500 },         /* RFC 4954, 3 */
	{ SERVER_SMTPUTF8, COMMAND_MAIL, 10 },      /* RFC 6531, 3.1 */
	{ SERVER_SMTPUTF8, COMMAND_VRFY, 10 },      /* the same */
	{ SERVER_SMTPUTF8, COMMAND_EXPN, 10 },      /* the same */
	{ SERVER_DSN, COMMAND_MAIL, 116 },          /* RFC 3461: " RET=FULL ENVID=" and what that holds */
	{ SERVER_DSN, COMMAND_RCPT, 536 },          /* " NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=", likewise */
	{ SERVER_REQUIRETLS, COMMAND_MAIL, 11 },    /* RFC 8689, 2 */
	{ SERVER_MT_PRIORITY, COMMAND_MAIL, 15 },   /* RFC 6710, 3 */
	{ SERVER_FUTURERELEASE, COMMAND_MAIL, 34 }, /* RFC 4865, 4 */
	{ SERVER_DELIVERBY, COMMAND_MAIL, 17 },     /* RFC 2852, 3 */
};

size_t server_params_line_max(const struct server *s, enum command_verb verb)
{
	size_t max = command_verb_max(verb);

	for (size_t i = 0; i < sizeof(growths) / sizeof(growths[0]); i++)
		if (growths[i].verb == verb && server_offers(s, growths[i].feature))
			max += growths[i].octets;
	return max;
}

void server_params_list(const struct server *s, enum command_verb verb, struct buf *out)
{
	for (size_t i = 0; i < PARAMS; i++) {
		if (params[i].verb != verb || !server_takes(s, params[i].features))
			continue;
		buf_printf(out, " [%s", params[i].key.data);
		if (params[i].form)
			buf_printf(out, "=%s", params[i].form);
		buf_append_char(out, ']');
	}
}

/* ---------------------------------------------------------------- reading them */

static const struct param *find_param(const struct server *s, enum command_verb verb, struct span key)
{
	for (size_t i = 0; i < PARAMS; i++)
		if (params[i].verb == verb && span_equals_fold(params[i].key, key))
			return server_takes(s, params[i].features) ? &params[i] : NULL;
	return NULL;
}

static void refuse_value(struct server *s, const struct param *param)
{
	char text[120];

	if (param->takes)
		snprintf(text, sizeof(text), "%s= takes %s", param->key.data, param->takes);
	else
		snprintf(text, sizeof(text), "%s takes no value", param->key.data);
	server_say_error(s, 501, "5.5.4", text);
}

/* What no parameter can see alone. */
static bool agree(struct server *s)
{
	const struct server_envelope *envelope = &s->envelope;
	int64_t until_ms = envelope->hold_until_ms - (s->now_ms + s->wall_ms);
	int64_t hold_ms = envelope->hold_for_ms ? envelope->hold_for_ms : envelope->hold_until_ms ? until_ms : 0;

	if (envelope->hold_for_ms && envelope->hold_until_ms)
		server_say_error(s, 501, "5.5.4", "HOLDFOR= and HOLDUNTIL= exclude each other");
	else if (envelope->by != SERVER_BY_UNSAID && hold_ms > 0 && hold_ms >= envelope->by_ms)
		server_say_error(s, 501, "5.5.4", "The message would be held beyond the time of BY=");
	else
		return true;
	return false;
}

bool server_params_set(struct server *s, enum command_verb verb, const struct command_path *path,
		       struct server_draft *draft)
{
	unsigned seen = 0;

	for (size_t i = 0; i < path->param_count; i++) {
		const struct command_param *given = &path->params[i];
		const struct param *param = find_param(s, verb, given->key);
		unsigned bit = param ? 1u << (param - params) : 0;
		enum verdict verdict;

		if (!param) {
			server_say_error(s, 555, "5.5.4", "A parameter is not known here");
			return false;
		}
		if (seen & bit) {
			server_say_error(s, 501, "5.5.4", "A parameter is given twice");
			return false;
		}
		seen |= bit;
		verdict = given->has_value == (param->takes != NULL) ? param->set(s, given->value, draft) : PARAM_BAD;
		if (verdict == PARAM_BAD)
			refuse_value(s, param);
		if (verdict != PARAM_GOOD)
			return false;
	}
	return verb != COMMAND_MAIL || agree(s);
}
