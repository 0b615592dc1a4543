/* Header and fix-up: however a message is cut, the same comes out, under every rule; without one, all that came in. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "message/fixup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct aliases *aliases(void)
{
	static struct aliases *table;
	struct buf errors;

	if (!table) {
		table = aliases_new();
		buf_init(&errors, 1000);
		aliases_read(table, "/a", SPAN("root: me@x.example\nstaff: a@x, b@y, joe\n"), &errors);
		buf_fini(&errors);
	}
	return table;
}

static struct fixup_options options_of(unsigned bits)
{
	return (struct fixup_options){ .hostname = "host.example",
				       .id = "0abc",
				       .helo = bits & 1 ? "client" : NULL,
				       .user = bits & 1 ? "uid 1000" : NULL,
				       .no_trace = bits & 2,
				       .add_date = !(bits & 4),
				       .add_message_id = !(bits & 4),
				       .from = bits & 4 ? NULL : "me@example.org",
				       .qualify = bits & 8 ? "host.example" : NULL,
				       .identity_from = bits & 16 ? "me@example.com" : NULL,
				       .identity_name = bits & 32 ? "J\xc3\xbcrgen" : NULL,
				       .original = (enum revise_original)(bits >> 6 & 3) % 3,
				       .to = bits & 256 ? "catch@example.org" : NULL,
				       .aliases = bits & 512 ? aliases() : NULL,
				       .utf8 = bits & 1024 };
}

static void run(const struct fixup_options *options, struct span in, size_t piece, struct buf *all,
		struct fixup_facts *facts)
{
	struct span out[FIXUP_SPANS];
	struct fixup f;
	size_t n;

	fixup_init(&f, options);
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
	if (!facts->ready || (int64_t)all->len != (int64_t)in.len + facts->added_bytes)
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
	struct fixup_options options;
	struct header_field field;
	struct fixup_facts facts, cut_facts;
	struct buf whole, cut;
	struct span in, rest;

	if (size < 3)
		return 0;
	in = span_of(data + 3, size - 3);
	options = options_of(data[1] | (unsigned)data[2] << 8);
	buf_init(&whole, 4 * size + (1 << 20));
	buf_init(&cut, 4 * size + (1 << 20));
	run(&options, in, in.len ? in.len : 1, &whole, &facts);
	run(&options, in, data[0] + 1u, &cut, &cut_facts);
	if (!span_equals(buf_span(&whole), buf_span(&cut)) || facts.is_changed != cut_facts.is_changed)
		abort();
	if (!facts.is_changed && !holds(buf_span(&whole), in, (size_t)facts.added_bytes))
		abort();
	rest = buf_span(&whole);
	while (header_next(&rest, &field))
		;
	if (!options.no_trace && !facts.header_too_long && rest.len == whole.len)
		abort();
	buf_fini(&whole);
	buf_fini(&cut);
	return 0;
}
