#include "tools/sendmail_input.h"

#include <assert.h>
#include <string.h>

void sendmail_input_init(struct sendmail_input *in, bool dot_is_text)
{
	memset(in, 0, sizeof(*in));
	in->dot_is_text = dot_is_text;
}

static void put(struct sendmail_input *in, struct buf *out, struct span s)
{
	bool ok = buf_append_span(out, s);

	assert(ok); /* the caller's promise */
	in->bytes += s.len;
}

static bool is_8bit(struct span s)
{
	unsigned char all = 0;

	for (size_t i = 0; i < s.len; i++)
		all |= (unsigned char)s.data[i];
	return all > 127;
}

/* The length of the text at the front of s before a CR or LF. */
static size_t text_length(struct span s)
{
	size_t lf = span_find(s, '\n');

	return span_find(span_first(s, lf), '\r');
}

static void end_line(struct sendmail_input *in, struct buf *out)
{
	if (in->after_dot) {
		in->ended = true;
		return;
	}
	put(in, out, SPAN("\r\n"));
	in->in_line = false;
}

static void take_text(struct sendmail_input *in, struct span text, struct buf *out)
{
	if (in->after_dot) {
		put(in, out, SPAN("."));
		in->after_dot = false;
		in->in_line = true;
	}
	if (!in->in_line && !in->dot_is_text && span_equals(text, SPAN("."))) {
		in->after_dot = true; /* the next byte tells */
		return;
	}
	put(in, out, text);
	in->in_line = true;
	in->has_8bit = in->has_8bit || is_8bit(text);
}

void sendmail_input_feed(struct sendmail_input *in, struct span s, struct buf *out)
{
	while (s.len && !in->ended) {
		size_t n;

		if (in->after_cr && s.data[0] == '\n') {
			in->after_cr = false;
			s = span_from(s, 1);
			continue;
		}
		in->after_cr = false;
		n = text_length(s);
		if (n)
			take_text(in, span_first(s, n), out);
		if (n < s.len) {
			in->after_cr = s.data[n] == '\r';
			end_line(in, out);
			n++;
		}
		s = span_from(s, n);
	}
}

void sendmail_input_finish(struct sendmail_input *in, struct buf *out)
{
	/* A lone dot that the end of the stream cuts off ended the message too: that is what its writer meant. */
	if (in->after_dot)
		in->ended = true;
	else if (in->in_line)
		end_line(in, out);
}
