#include "smtp/command.h"

#include <string.h>

#include "base/text.h"

static const struct {
	struct span name;
	size_t max;
} verbs[] = {
#define X(verb, max) [COMMAND_##verb] = { { #verb, sizeof(#verb) - 1 }, max },
	COMMAND_VERBS(X)
#undef X
		[COMMAND_UNKNOWN] = { { "", 0 }, COMMAND_SHORT_MAX },
	[COMMAND_HTTP] = { { "", 0 }, COMMAND_LINE_MAX },
};

const char *command_verb_name(enum command_verb verb)
{
	return verbs[verb].name.data;
}

size_t command_verb_max(enum command_verb verb)
{
	return verbs[verb].max;
}

/* BDAT and nothing that would make another word of it. */
static bool begins_chunk(struct span line)
{
	char next = line.len > 4 ? span_lower(line.data[4]) : ' ';

	return span_starts_fold(line, SPAN("BDAT")) && (next < 'a' || next > 'z') && (next < '0' || next > '9');
}

/* ---------------------------------------------------------------- lines */

void command_reader_init(struct command_reader *r)
{
	*r = (struct command_reader){ .after_cr = false };
	buf_init(&r->held, COMMAND_LINE_MAX);
}

void command_reader_fini(struct command_reader *r)
{
	buf_fini(&r->held);
}

void command_reader_wipe(struct command_reader *r)
{
	buf_wipe(&r->held);
	r->was_held = false;
}

static void skip(struct span *in, size_t n)
{
	*in = span_from(*in, n);
}

/* To the end of a line that was refused. */
static enum command_read skip_line(struct command_reader *r, struct span *in)
{
	while (in->len) {
		size_t n;

		if (r->after_cr && in->data[0] == '\n') {
			skip(in, 1);
			r->after_cr = r->is_skipping = false;
			return COMMAND_LINE;
		}
		n = span_find(*in, '\r');
		r->after_cr = n < in->len;
		if (r->after_cr)
			n++;
		skip(in, n);
		r->skipped += n;
		if (r->skipped > COMMAND_FLOOD_MAX)
			return COMMAND_FLOOD;
	}
	return COMMAND_MORE;
}

/* `part`: what has come of it beyond what is held. */
static enum command_read refuse_line(struct command_reader *r, struct span part, enum command_read why)
{
	char start[5];
	size_t held = r->held.len < sizeof(start) ? r->held.len : sizeof(start);

	memcpy(start, buf_span(&r->held).data, held);
	part = span_first(part, sizeof(start) - held);
	memcpy(start + held, part.data, part.len);
	r->was_chunk = begins_chunk(span_of(start, held + part.len));
	r->is_skipping = true;
	r->after_cr = false;
	r->skipped = 0;
	buf_release(&r->held);
	return why;
}

static enum command_read hand_out(struct command_reader *r, struct span last, struct span *out_line)
{
	r->after_cr = false;
	if (buf_is_empty(&r->held)) {
		*out_line = last;
		return COMMAND_LINE;
	}
	if (!buf_append_span(&r->held, last))
		return refuse_line(r, last, COMMAND_LONG);
	r->was_held = true;
	*out_line = buf_span(&r->held);
	return COMMAND_LINE;
}

enum command_read command_read(struct command_reader *r, struct span *in, struct span *out_line)
{
	struct span part;
	bool is_cr;
	size_t n;

	if (r->was_held) {
		r->was_held = false;
		buf_clear(&r->held);
	}
	if (r->is_skipping) {
		enum command_read end = skip_line(r, in);

		if (end != COMMAND_LINE)
			return end;
	}
	if (!in->len)
		return COMMAND_MORE;
	if (r->after_cr) {
		if (in->data[0] != '\n')
			return refuse_line(r, span_of("", 0), COMMAND_BARE);
		skip(in, 1);
		return hand_out(r, span_of("", 0), out_line);
	}
	/* The limit also bounds the search, and leaves room for CRLF. */
	part = span_first(*in, COMMAND_LINE_MAX);
	part = span_first(part, span_find(part, '\n'));
	n = span_find(part, '\r');
	part = span_first(part, n);
	if (r->held.len + n > COMMAND_LINE_MAX - 2) {
		skip(in, n);
		return refuse_line(r, part, COMMAND_LONG);
	}
	is_cr = n < in->len && in->data[n] == '\r';
	if (n + is_cr == in->len) {
		buf_append_span(&r->held, part);
		r->after_cr = is_cr;
		skip(in, in->len);
		return COMMAND_MORE;
	}
	if (is_cr && in->data[n + 1] == '\n') {
		skip(in, n + 2);
		return hand_out(r, part, out_line);
	}
	skip(in, n + 1);
	return refuse_line(r, part, COMMAND_BARE);
}

/* ---------------------------------------------------------------- commands */

static bool is_http(struct span word)
{
	static const struct span words[] = {
		SPAN("GET"),   SPAN("POST"),  SPAN("PUT"),    SPAN("HEAD"), SPAN("OPTIONS"), SPAN("CONNECT"),
		SPAN("PATCH"), SPAN("TRACE"), SPAN("DELETE"), SPAN("PRI"),  SPAN("Host:"),
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_equals_fold(word, words[i]))
			return true;
	return false;
}

enum command_verb command_verb_of(struct span word)
{
	for (int verb = 0; verb < COMMAND_UNKNOWN; verb++)
		if (span_equals_fold(word, verbs[verb].name))
			return (enum command_verb)verb;
	return COMMAND_UNKNOWN;
}

void command_parse(struct span line, struct command *out)
{
	struct span word = span_first(line, span_find(line, ' '));

	out->verb = command_verb_of(span_trim(word));
	out->args = span_trim(span_from(line, word.len));
	out->len = line.len + 2;
	if (out->verb == COMMAND_UNKNOWN && begins_chunk(line)) {
		out->verb = COMMAND_BDAT;
		out->args = span_from(line, 4);
	} else if (out->verb == COMMAND_UNKNOWN && is_http(span_trim(word))) {
		out->verb = COMMAND_HTTP;
	}
}

static bool is_keyword(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = span_lower(s.data[i]);

		if ((c < '0' || c > '9') && (c < 'a' || c > 'z') && (c != '-' || i == 0))
			return false;
	}
	return s.len > 0;
}

static bool is_value(struct span s, unsigned options)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c <= ' ' || c == '=' || c == 0x7f || (c > 0x7f && !(options & ADDRESS_UTF8)))
			return false;
	}
	return s.len > 0 && text_is_utf8(s);
}

static struct span without_blanks(struct span s)
{
	while (s.len && s.data[0] == ' ')
		skip(&s, 1);
	return s;
}

/* RFC 5321, 4.1.2: Mail-parameters and Rcpt-parameters. */
static enum command_path_verdict read_params(struct span rest, unsigned options, struct command_path *out)
{
	out->param_count = 0;
	if (rest.len && rest.data[0] != ' ')
		return COMMAND_PATH_PARAM;
	for (rest = without_blanks(rest); rest.len; rest = without_blanks(rest)) {
		struct span word = span_first(rest, span_find(rest, ' '));
		struct span key = span_first(word, span_find(word, '='));
		struct command_param param = { key, span_from(word, key.len + 1), key.len < word.len };

		if (!is_keyword(key) || (param.has_value && !is_value(param.value, options)))
			return COMMAND_PATH_PARAM;
		if (out->param_count == COMMAND_PARAMS_MAX)
			return COMMAND_PATH_MANY;
		out->params[out->param_count++] = param;
		skip(&rest, word.len);
	}
	return COMMAND_PATH_OK;
}

enum command_path_verdict command_path(struct span args, struct span word, unsigned options, struct command_path *out,
				       enum address_err *out_err)
{
	enum address_err err;
	size_t taken;

	if (!span_starts_fold(args, word))
		return COMMAND_PATH_WORD;
	args = without_blanks(span_from(args, word.len));
	err = address_path(args, options, &out->address, &taken);
	if (err != ADDRESS_OK) {
		*out_err = err;
		return COMMAND_PATH_ADDRESS;
	}
	return read_params(span_from(args, taken), options, out);
}
