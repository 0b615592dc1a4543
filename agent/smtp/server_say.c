#include <assert.h>

#include "base/text.h"
#include "smtp/server_inside.h"

enum { REPLY_TEXT_MAX = 400, DEFAULT_ERRORS = 20 };

static void append_reply(struct buf *out, int code, const char *status, const char *text)
{
	char digits[4] = { (char)('0' + code / 100), (char)('0' + code / 10 % 10), (char)('0' + code % 10), ' ' };

	buf_append(out, digits, sizeof(digits));
	if (status) {
		buf_append_str(out, status);
		buf_append_char(out, ' ');
	}
	buf_append_str(out, text);
}

void server_say(struct server *s, int code, const char *status, const char *text)
{
	append_reply(&s->out, code, server_offers(s, SERVER_ENHANCEDSTATUSCODES) ? status : NULL, text);
	buf_append_span(&s->out, SPAN("\r\n"));
}

void server_say_last(struct server *s, struct server_reply reply)
{
	server_drop(s);
	server_say(s, reply.code, reply.status, reply.text);
	server_enter(s, STATE_CLOSED);
}

void server_say_goodbye(struct server *s, const char *status, const char *text)
{
	server_say_last(s, (struct server_reply){ 421, status, text });
}

bool server_say_too_many(struct server *s)
{
	uint32_t max = s->config->max_errors ? s->config->max_errors : DEFAULT_ERRORS;

	if (++s->errors < max)
		return false;
	server_say_goodbye(s, "4.7.0", "Too many errors on this connection");
	return true;
}

void server_say_error(struct server *s, int code, const char *status, const char *text)
{
	if (!server_say_too_many(s))
		server_say(s, code, status, text);
}

/* RFC 6531, 3.7.4: only a client that said SMTPUTF8 is given UTF-8. */
static void keep_ascii(struct buf *line)
{
	size_t kept = 0;

	for (size_t i = 0; i < line->len; i++) {
		unsigned char c = (unsigned char)line->data[line->start + i];

		if (c < 0x80)
			line->data[line->start + kept++] = (char)c;
		else if (c >= 0xc0)
			line->data[line->start + kept++] = '?';
	}
	buf_truncate(line, kept);
}

void server_say_prepare(const struct server *s, struct buf *line, struct server_reply reply)
{
	const char *fallback[] = { "2.0.0", "4.0.0", "5.0.0" };
	bool has_status = reply.status && *reply.status;

	assert((reply.code >= 200 && reply.code < 300) || (reply.code >= 400 && reply.code < 600));
	buf_clear(line);
	append_reply(line, reply.code, NULL, "");
	if (server_offers(s, SERVER_ENHANCEDSTATUSCODES)) {
		int class = reply.code / 100;

		text_clean(line, span_str(has_status ? reply.status : fallback[class > 3 ? class - 3 : 0]), 16);
		buf_append_char(line, ' ');
	}
	text_clean(line, span_str(reply.text ? reply.text : ""), REPLY_TEXT_MAX);
	if (!s->envelope.smtputf8)
		keep_ascii(line);
}

void server_say_line(struct server *s, const struct buf *line)
{
	buf_append_span(&s->out, buf_span(line));
	buf_append_span(&s->out, SPAN("\r\n"));
}
