#include "smtp/reply.h"

#include "base/text.h"

void reply_init(struct reply_reader *reader)
{
	*reader = (struct reply_reader){ 0 };
	buf_init(&reader->line, REPLY_LINE_MAX);
	buf_init(&reader->lines, REPLY_LINES_MAX);
	buf_init(&reader->text, REPLY_TEXT_MAX);
}

void reply_fini(struct reply_reader *reader)
{
	buf_fini(&reader->line);
	buf_fini(&reader->lines);
	buf_fini(&reader->text);
}

void reply_reset(struct reply_reader *reader)
{
	buf_clear(&reader->line);
	buf_clear(&reader->lines);
	buf_clear(&reader->text);
	reader->code = 0;
	reader->count = 0;
	reader->cr = reader->bad = reader->done = false;
}

bool reply_is_idle(const struct reply_reader *reader)
{
	return !reader->bad && !reader->cr && buf_is_empty(&reader->line) && (reader->done || reader->count == 0);
}

/* One to three digits at the front, followed by `end` or, for 0, by a blank or the end of the text. */
static bool take_number(struct span *s, char end, uint16_t *out)
{
	size_t n = 0;
	uint16_t number = 0;

	while (n < s->len && n < 3 && s->data[n] >= '0' && s->data[n] <= '9')
		number = (uint16_t)(number * 10 + (s->data[n++] - '0'));
	if (n == 0)
		return false;
	*s = span_from(*s, n);
	if (end ? s->len == 0 || s->data[0] != end : s->len > 0 && s->data[0] != ' ')
		return false;
	*s = span_from(*s, 1);
	*out = number;
	return true;
}

bool reply_status_parse(struct span text, unsigned code, struct reply_status *out, struct span *out_rest)
{
	uint16_t class, subject, detail;

	if (!take_number(&text, '.', &class) || !take_number(&text, '.', &subject) || !take_number(&text, 0, &detail))
		return false;
	if (class != code / 100 || (class != 2 && class != 4 && class != 5))
		return false;
	*out = (struct reply_status){ (uint8_t) class, subject, detail };
	*out_rest = text;
	return true;
}

/* Joins the lines into one; the status code is that of the first line and is dropped from all (RFC 2034, 4). */
static void finish(struct reply_reader *reader, struct reply *out)
{
	struct span left = buf_span(&reader->lines);
	struct reply_status status = { 0 };

	buf_clear(&reader->text);
	for (bool first = true; left.len; first = false) {
		struct span line = span_first(left, span_find(left, '\n')), rest;
		struct reply_status here;

		left = span_from(left, line.len + 1);
		if (reply_status_parse(line, reader->code, &here, &rest)) {
			line = rest;
			if (first)
				status = here;
		}
		if (!buf_is_empty(&reader->text) && line.len && !buf_append_char(&reader->text, ' '))
			break;
		text_clean(&reader->text, line, REPLY_TEXT_MAX - reader->text.len);
	}
	reader->done = true;
	*out = (struct reply){
		.code = reader->code,
		.status = status,
		.text = buf_span(&reader->text),
		.lines = buf_span(&reader->lines),
	};
}

/* Three digits that are a code, or 0. */
static unsigned line_code(struct span line)
{
	unsigned code = 0;

	if (line.len < 3)
		return 0;
	for (size_t i = 0; i < 3; i++) {
		if (line.data[i] < '0' || line.data[i] > '9')
			return 0;
		code = code * 10 + (unsigned)(line.data[i] - '0');
	}
	return code >= 200 && code <= 599 ? code : 0;
}

static enum reply_verdict end_line(struct reply_reader *reader, struct reply *out)
{
	struct span line = buf_span(&reader->line);
	unsigned code = line_code(line);
	char mark = line.len > 3 ? line.data[3] : ' ';

	if (code == 0 || (mark != ' ' && mark != '-'))
		return REPLY_BAD;
	if (reader->count > 0 && code != reader->code)
		return REPLY_BAD;
	if (++reader->count > REPLY_COUNT_MAX)
		return REPLY_BAD;
	reader->code = code;
	/* Text beyond the cap is dropped, the '\n' that ends its line too. */
	if (reader->lines.len + 1 < REPLY_LINES_MAX) {
		text_clean(&reader->lines, span_from(line, 4), REPLY_LINES_MAX - 1 - reader->lines.len);
		buf_append_char(&reader->lines, '\n');
	}
	buf_clear(&reader->line);
	if (mark == '-')
		return REPLY_MORE;
	finish(reader, out);
	return REPLY_DONE;
}

static enum reply_verdict take_byte(struct reply_reader *reader, char c, struct reply *out)
{
	if (reader->cr) {
		reader->cr = false;
		return c == '\n' ? end_line(reader, out) : REPLY_BAD;
	}
	if (c == '\r') {
		reader->cr = true;
		return REPLY_MORE;
	}
	if (c == '\n')
		return REPLY_BAD;
	return buf_append_char(&reader->line, c) ? REPLY_MORE : REPLY_BAD;
}

enum reply_verdict reply_feed(struct reply_reader *reader, struct span *io_input, struct reply *out)
{
	if (reader->bad)
		return REPLY_BAD;
	if (reader->done)
		reply_reset(reader);
	while (io_input->len) {
		enum reply_verdict verdict = take_byte(reader, io_input->data[0], out);

		if (verdict == REPLY_BAD) {
			reader->bad = true;
			return REPLY_BAD;
		}
		*io_input = span_from(*io_input, 1);
		if (verdict == REPLY_DONE)
			return REPLY_DONE;
	}
	return REPLY_MORE;
}

bool reply_print(const struct reply *reply, struct buf *out)
{
	size_t before = out->len;
	bool ok = true;

	if (reply->code)
		ok = buf_printf(out, "%u", reply->code);
	if (ok && reply->status.class)
		ok = buf_printf(out, "%s%u.%u.%u", reply->code ? " " : "", reply->status.class, reply->status.subject,
				reply->status.detail);
	if (ok && reply->text.len)
		ok = (out->len == before || buf_append_char(out, ' ')) && buf_append_span(out, reply->text);
	if (!ok)
		buf_truncate(out, before);
	return ok;
}
