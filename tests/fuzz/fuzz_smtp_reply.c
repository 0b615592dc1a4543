/* Replies: whole and in pieces they read the same, and their text is clean and bounded. First byte: size of pieces. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "smtp/ehlo.h"
#include "smtp/reply.h"

static void demand(int claim)
{
	if (!claim)
		abort();
}

static void look(const struct reply *reply, struct buf *out)
{
	demand(reply->code >= 200 && reply->code <= 599);
	demand(reply->text.len <= REPLY_TEXT_MAX && reply->lines.len <= REPLY_LINES_MAX);
	demand(text_is_utf8(reply->text) && text_is_utf8(reply->lines));
	for (size_t i = 0; i < reply->text.len; i++)
		demand((unsigned char)reply->text.data[i] >= 0x20 && reply->text.data[i] != 0x7f);
	demand(reply->lines.len > 0 && reply->lines.data[reply->lines.len - 1] == '\n');
	(void)ehlo_parse(reply->lines);
	if (reply_print(reply, out))
		buf_append_char(out, '\n');
}

/* Everything that is read, printed, and how it ends. */
static void read_all(struct span bytes, size_t piece, struct buf *out)
{
	struct reply_reader reader;
	enum reply_verdict verdict = REPLY_MORE;

	reply_init(&reader);
	while (bytes.len && verdict != REPLY_BAD) {
		struct span s = span_first(bytes, piece);
		struct reply reply;

		bytes = span_from(bytes, s.len);
		do {
			verdict = reply_feed(&reader, &s, &reply);
			if (verdict == REPLY_DONE)
				look(&reply, out);
		} while (verdict == REPLY_DONE);
	}
	buf_printf(out, "%d %d", verdict, reply_is_idle(&reader));
	reply_fini(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, cut;

	if (size < 1)
		return 0;
	buf_init(&whole, 1 << 20);
	buf_init(&cut, 1 << 20);
	read_all(span_of(data + 1, size - 1), size, &whole);
	read_all(span_of(data + 1, size - 1), data[0] % 16 + 1u, &cut);
	demand(span_equals(buf_span(&whole), buf_span(&cut)));
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
