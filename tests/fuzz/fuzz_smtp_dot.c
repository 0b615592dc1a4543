/* Decoding does not depend on the cut; encoding writes only CRLF and stuffed dots, and is undone by decoding. A text
 * that comes by its length is the same text. */
#include <assert.h>
#include <stdint.h>

#include "base/buf.h"
#include "smtp/dot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span decode(struct span bytes, size_t piece, struct buf *out, unsigned *out_found, bool *out_done)
{
	enum dot_verdict verdict = DOT_MORE;
	struct dot_decoder d;
	size_t i = 0;

	dot_decode_init(&d);
	while (i < bytes.len && verdict == DOT_MORE) {
		struct span in = span_first(span_from(bytes, i), piece), part;
		size_t before = in.len;

		while (in.len && verdict == DOT_MORE) {
			verdict = dot_decode(&d, &in, &part);
			assert(buf_append_span(out, part));
		}
		i += before - in.len;
	}
	*out_found = d.found;
	*out_done = verdict == DOT_DONE;
	return span_from(bytes, i);
}

static void encode(struct span bytes, size_t piece, struct buf *out)
{
	struct dot_encoder e;

	dot_encode_init(&e);
	for (size_t i = 0; i < bytes.len; i += piece) {
		struct span in = span_first(span_from(bytes, i), piece);

		assert(dot_encode_append(&e, &in, out));
	}
	assert(buf_append_span(out, dot_encode_end(&e)));
}

static void read_text(struct span bytes, size_t piece, struct buf *out)
{
	struct dot_decoder d;

	dot_decode_init(&d);
	for (size_t i = 0; i < bytes.len; i += piece) {
		struct span in = span_first(span_from(bytes, i), piece), part;

		while (in.len) {
			dot_text(&d, &in, &part);
			assert(buf_append_span(out, part));
		}
	}
	assert(buf_append_span(out, dot_text_end(&d)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces, wire, back;
	struct span bytes, rest_whole, rest_pieces;
	unsigned found_whole, found_pieces;
	bool done_whole, done_pieces;
	size_t piece;

	if (size < 2)
		return 0;
	piece = 1u + data[0] % 64u;
	bytes = span_of(data + 1, size - 1);
	buf_init(&whole, 4 * size + 16);
	buf_init(&pieces, 4 * size + 16);
	buf_init(&wire, 4 * size + 16);
	buf_init(&back, 4 * size + 16);

	rest_whole = decode(bytes, size, &whole, &found_whole, &done_whole);
	rest_pieces = decode(bytes, piece, &pieces, &found_pieces, &done_pieces);
	assert(span_equals(buf_span(&whole), buf_span(&pieces)));
	assert(found_whole == found_pieces && done_whole == done_pieces && rest_whole.len == rest_pieces.len);

	encode(bytes, piece, &wire);
	rest_whole = decode(buf_span(&wire), piece, &back, &found_whole, &done_whole);
	assert(done_whole && rest_whole.len == 0 && !(found_whole & DOT_BARE_NEWLINE));
	buf_clear(&pieces);
	encode(buf_span(&back), size, &pieces);
	assert(span_equals(buf_span(&wire), buf_span(&pieces)));

	buf_clear(&pieces);
	read_text(bytes, piece, &pieces);
	assert(span_equals(buf_span(&back), buf_span(&pieces)));

	buf_fini(&whole);
	buf_fini(&pieces);
	buf_fini(&wire);
	buf_fini(&back);
	return 0;
}
