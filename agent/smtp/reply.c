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

static enum reply_verdict end_line(struct reply_reader *reader, struct span line, struct reply *out)
{
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

static void skip(struct span *input, size_t n)
{
	*input = span_from(*input, n);
}

/* How many bytes come before the first CR or LF; looks a little further than any line may reach. */
static size_t run_of(struct span input)
{
	struct span reach = span_first(input, REPLY_LINE_MAX + 1);

	return span_find(span_first(reach, span_find(reach, '\r')), '\n');
}

static enum reply_verdict take_newline(struct reply_reader *reader, struct span line, struct span *io_input,
				       struct reply *out)
{
	enum reply_verdict verdict;

	reader->cr = false;
	verdict = io_input->data[0] == '\n' ? end_line(reader, line, out) : REPLY_BAD;
	if (verdict != REPLY_BAD)
		skip(io_input, 1);
	return verdict;
}

/* A part of a line, or its end. One that lies whole in the input is read there. */
static enum reply_verdict take(struct reply_reader *reader, struct span *io_input, struct reply *out)
{
	struct span run;
	size_t room = REPLY_LINE_MAX - reader->line.len;

	if (reader->cr)
		return take_newline(reader, buf_span(&reader->line), io_input, out);
	run = span_first(*io_input, run_of(*io_input));
	if (buf_is_empty(&reader->line) && run.len <= room && run.len + 1 < io_input->len &&
	    run.data[run.len] == '\r') {
		skip(io_input, run.len + 1);
		return take_newline(reader, run, io_input, out);
	}
	buf_append_span(&reader->line, span_first(run, room));
	skip(io_input, run.len < room ? run.len : room);
	if (run.len > room)
		return REPLY_BAD;
	if (io_input->len == 0)
		return REPLY_MORE;
	if (io_input->data[0] == '\n')
		return REPLY_BAD;
	reader->cr = true;
	skip(io_input, 1);
	return REPLY_MORE;
}

enum reply_verdict reply_feed(struct reply_reader *reader, struct span *io_input, struct reply *out)
{
	if (reader->bad)
		return REPLY_BAD;
	if (reader->done)
		reply_reset(reader);
	while (io_input->len) {
		enum reply_verdict verdict = take(reader, io_input, out);

		if (verdict == REPLY_BAD)
			reader->bad = true;
		if (verdict != REPLY_MORE)
			return verdict;
	}
	return REPLY_MORE;
}

static bool print_number(struct buf *out, char before, unsigned number)
{
	char digits[12], *at = digits + sizeof(digits);

	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	if (before)
		*--at = before;
	return buf_append(out, at, (size_t)(digits + sizeof(digits) - at));
}

bool reply_print(const struct reply *reply, struct buf *out)
{
	size_t before = out->len;
	const struct reply_status *status = &reply->status;
	bool ok = true;

	if (reply->code)
		ok = print_number(out, 0, reply->code);
	if (ok && status->class)
		ok = print_number(out, reply->code ? ' ' : 0, status->class) &&
		     print_number(out, '.', status->subject) && print_number(out, '.', status->detail);
	if (ok && reply->text.len)
		ok = (out->len == before || buf_append_char(out, ' ')) && buf_append_span(out, reply->text);
	if (!ok)
		buf_truncate(out, before);
	return ok;
}
