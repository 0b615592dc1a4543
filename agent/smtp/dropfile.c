#include "smtp/dropfile.h"

#include <string.h>

#include "base/text.h"

enum { STAGE_MAGIC, STAGE_MAIL, STAGE_RCPT, STAGE_BODY, STAGE_BAD };

void dropfile_init(struct dropfile *f, uint64_t file_bytes)
{
	*f = (struct dropfile){ .file_bytes = file_bytes, .stage = STAGE_MAGIC };
}

static enum dropfile_part bad(struct dropfile *f, const char *why)
{
	f->stage = STAGE_BAD;
	f->error = why;
	return DROPFILE_BAD;
}

/* "BDAT n LAST", and exactly n bytes of the file are left. */
static enum dropfile_part read_body(struct dropfile *f, struct span line)
{
	struct span number = span_from(line, 5);
	size_t len = span_find(number, ' ');
	uint64_t bytes;

	if (!span_equals(span_from(number, len), SPAN(" LAST\r\n")) ||
	    !text_number(span_first(number, len), UINT64_MAX / 2, &bytes))
		return bad(f, "its last command cannot be read");
	if (f->at > f->file_bytes || bytes > f->file_bytes - f->at)
		return bad(f, "the message is not whole");
	if (bytes < f->file_bytes - f->at)
		return bad(f, "something lies behind the message");
	f->stage = STAGE_BODY;
	f->body_bytes = bytes;
	return DROPFILE_BODY;
}

static enum dropfile_part read_line(struct dropfile *f, struct span line)
{
	if (f->stage == STAGE_MAIL && span_starts_fold(line, SPAN("MAIL FROM:"))) {
		f->stage = STAGE_RCPT;
		return DROPFILE_MAIL;
	}
	if (f->stage == STAGE_RCPT && span_starts_fold(line, SPAN("RCPT TO:"))) {
		f->rcpts++;
		return DROPFILE_RCPT;
	}
	if (f->stage == STAGE_RCPT && f->rcpts > 0 && span_starts_fold(line, SPAN("BDAT ")))
		return read_body(f, line);
	return bad(f, "a line in it has no place there");
}

/* The length of the line at the front of `input`, with its CRLF; 0: not all of it is there. */
static size_t line_length(struct span input)
{
	size_t lf = span_find(span_first(input, DROPFILE_LINE_MAX), '\n');

	return lf < input.len && lf < DROPFILE_LINE_MAX ? lf + 1 : 0;
}

enum dropfile_part dropfile_next(struct dropfile *f, struct span *input, struct span *out_line)
{
	struct span magic = SPAN(DROPFILE_MAGIC), line;
	size_t len;

	if (f->stage == STAGE_BAD || f->stage == STAGE_BODY)
		return bad(f, f->error ? f->error : "it has been read");
	for (;;) {
		len = line_length(*input);
		if (len == 0 && input->len >= DROPFILE_LINE_MAX)
			return bad(f, f->stage == STAGE_MAGIC ? "it is no message of sendmail"
							      : "a line in it is too long");
		if (len == 0 && f->at + input->len >= f->file_bytes)
			return bad(f, f->stage == STAGE_MAGIC ? "it is no message of sendmail" : "it is not whole");
		if (len == 0)
			return DROPFILE_MORE;
		line = span_first(*input, len);
		*input = span_from(*input, len);
		f->at += len;
		if (f->at > DROPFILE_HEAD_MAX)
			return bad(f, "its list of recipients is too long");
		if (len < 2 || line.data[len - 2] != '\r')
			return bad(f, "a line in it has no proper end");
		if (f->stage != STAGE_MAGIC)
			break;
		if (!span_equals(line, magic))
			return bad(f, span_starts_fold(line, SPAN("SENDOFF-DROP "))
					      ? "it was written by another version of sendmail"
					      : "it is no message of sendmail");
		f->stage = STAGE_MAIL;
	}
	*out_line = line;
	return read_line(f, line);
}

bool dropfile_is_name(const char *name)
{
	return strlen(name) == DROPFILE_NAME_LEN && strspn(name, "0123456789abcdef") == DROPFILE_NAME_LEN;
}

bool dropfile_body_line(struct buf *out, uint64_t body_bytes)
{
	return buf_printf(out, "BDAT %llu LAST\r\n", (unsigned long long)body_bytes);
}
