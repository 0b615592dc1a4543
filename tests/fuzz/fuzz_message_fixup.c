/* Header and fix-up: however a message is cut, the same comes out, and what came in is all there. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "message/fixup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(struct span in, size_t piece, struct buf *all, struct fixup_facts *facts)
{
	static const struct fixup_options options = { .hostname = "host.example",
						      .id = "0abc",
						      .helo = "client",
						      .add_date = true,
						      .add_message_id = true,
						      .from = "me@example.org" };
	struct span out[FIXUP_SPANS];
	struct fixup f;
	size_t n;

	fixup_init(&f, &options);
	for (size_t at = 0; at < in.len; at += piece) {
		char *copy = malloc(piece);
		struct span now = span_first(span_from(in, at), piece);

		memcpy(copy, now.data, now.len);
		n = fixup_feed(&f, span_of(copy, now.len), out);
		for (size_t i = 0; i < n; i++)
			buf_append_span(all, out[i]);
		free(copy);
	}
	n = fixup_end(&f, out);
	for (size_t i = 0; i < n; i++)
		buf_append_span(all, out[i]);
	*facts = f.facts;
	if (!facts->ready || all->len != in.len + facts->added_bytes)
		abort();
	fixup_fini(&f);
}

/* `all` is `in` behind our fields, in one piece or with an empty line put between. */
static bool holds(struct span all, struct span in, size_t added)
{
	struct span kept = span_from(all, added);
	size_t k = 0;

	if (span_equals(kept, in))
		return true;
	kept = span_from(all, added - 2);
	while (k < in.len && kept.data[k] == in.data[k])
		k++;
	return span_equals(span_from(kept, k + 2), span_from(in, k));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(size ? data + 1 : data, size ? size - 1 : 0), rest;
	struct header_field field;
	struct fixup_facts facts;
	struct buf whole, cut;

	buf_init(&whole, size + 65536);
	buf_init(&cut, size + 65536);
	run(in, in.len ? in.len : 1, &whole, &facts);
	run(in, size ? data[0] + 1u : 1, &cut, &facts);
	if (!span_equals(buf_span(&whole), buf_span(&cut)))
		abort();
	if (!holds(buf_span(&whole), in, facts.added_bytes))
		abort();
	rest = buf_span(&whole);
	while (header_next(&rest, &field))
		;
	if (rest.len > whole.len || (!facts.header_too_long && rest.len == whole.len))
		abort();
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
