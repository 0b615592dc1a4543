/* Conversion: the same whatever the cut, of the size that was said, nothing forbidden left, nothing to do the second
 * time; what cannot or need not be changed stays. The first byte says target and cut. */
#include <stdlib.h>
#include <string.h>

#include "message/convert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct convert *scan(enum convert_target target, struct span in, size_t cut)
{
	struct convert *c = convert_new(target);

	for (; in.len; in = span_from(in, cut))
		convert_scan(c, span_first(in, cut));
	convert_scan_end(c);
	return c;
}

static void take_away(struct buf *piece, struct buf *out)
{
	if (!buf_append_span(out, buf_span(piece)))
		abort();
	buf_clear(piece);
}

static void convert(struct convert *c, struct span in, size_t cut, struct buf *out)
{
	struct buf piece;

	buf_init(&piece, CONVERT_OUT_MIN);
	for (; in.len; in = span_from(in, cut))
		for (struct span part = span_first(in, cut); part.len; take_away(&piece, out))
			convert_feed(c, &part, &piece);
	while (!convert_end(c, &piece))
		take_away(&piece, out);
	take_away(&piece, out);
	buf_fini(&piece);
}

/* Behind the header of the message, but for headers and boundaries in it, which may have bytes above 127 and be long. */
static void check_bytes(struct span s, const struct convert_facts *facts, enum convert_target target)
{
	const char *body = memmem(s.data, s.len, "\r\n\r\n", 4);
	size_t line = 0;

	for (size_t i = body ? (size_t)(body - s.data) : s.len; i < s.len; i++) {
		char c = s.data[i];

		if (c == 0 || (c == '\n' && s.data[i - 1] != '\r') ||
		    (c == '\r' && (i + 1 == s.len || s.data[i + 1] != '\n')))
			abort();
		if ((unsigned char)c > 127 && target == CONVERT_7BIT && !facts->header_8bit)
			abort();
		line = c == '\n' ? 0 : line + (c != '\r');
		if (line > CONVERT_LINE_MAX && !facts->header_long)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum convert_target target = size && data[0] & 1 ? CONVERT_7BIT : CONVERT_8BIT;
	size_t cut = size ? 1 + data[0] / 2 : 1;
	struct span in = span_from(span_of(data, size), 1);
	struct convert *c = scan(target, in, in.len + 1), *pieces = scan(target, in, cut);
	struct convert_facts facts = *convert_facts(c);
	struct buf out, again;

	buf_init(&out, SIZE_MAX / 2);
	buf_init(&again, SIZE_MAX / 2);
	if (memcmp(&facts, convert_facts(pieces), sizeof facts))
		abort();
	if (!facts.cannot) {
		convert(c, in, in.len + 1, &out);
		convert(pieces, in, cut, &again);
		if (out.len != facts.size_bytes || !span_equals(buf_span(&out), buf_span(&again)))
			abort();
		if (!facts.needed && !span_equals(buf_span(&out), in))
			abort();
		check_bytes(buf_span(&out), &facts, target);
		convert_free(pieces);
		pieces = scan(target, buf_span(&out), out.len + 1);
		if (convert_facts(pieces)->needed)
			abort();
	}
	convert_free(c);
	convert_free(pieces);
	buf_fini(&out);
	buf_fini(&again);
	return 0;
}
