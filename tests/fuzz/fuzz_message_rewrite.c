/* Address fields: a new value is one that reads back, with as many addresses or more, and nothing new but ours. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "message/addresslist.h"
#include "message/rewrite.h"

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

static bool read_list(struct span value, size_t *out_count, size_t *out_bare)
{
	enum addresslist_verdict verdict;
	struct addresslist l;
	struct buf text;

	*out_count = *out_bare = 0;
	buf_init(&text, ADDRESSLIST_MAX);
	addresslist_init(&l, value);
	while ((verdict = addresslist_next(&l, &text)) == ADDRESSLIST_ADDRESS) {
		struct address address;

		(*out_count)++;
		if (address_parse(buf_span(&text), ADDRESS_UTF8 | ADDRESS_BARE, &address) == ADDRESS_OK)
			*out_bare += address.local_len == address.len;
		if (l.where.len == 0 || l.where.data < value.data ||
		    l.where.data + l.where.len > value.data + value.len || l.end.data < l.where.data + l.where.len ||
		    l.end.data > value.data + value.len)
			abort();
	}
	buf_fini(&text);
	return verdict == ADDRESSLIST_END;
}

/* Whether the value may stand in a field: every line end is followed by a blank. */
static bool is_folded(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] == '\n' && (i + 1 == s.len || (s.data[i + 1] != ' ' && s.data[i + 1] != '\t')))
			return false;
	return true;
}

static void addresses(struct rewrite *r, struct span value, bool recipients)
{
	size_t before, after, bare_before, bare_after;
	enum rewrite_verdict verdict;
	struct buf out;
	bool good = read_list(value, &before, &bare_before);

	buf_init(&out, 64 * value.len + 100000);
	verdict = rewrite_addresses(r, value, recipients, &out);
	if (verdict == REWRITE_FULL || (!good && verdict != REWRITE_SAME) ||
	    (verdict == REWRITE_SAME) != (out.len == 0))
		abort();
	if (verdict == REWRITE_CHANGED) {
		if (!read_list(buf_span(&out), &after, &bare_after) || after < before ||
		    (is_folded(value) && !is_folded(buf_span(&out))))
			abort();
		/* An address that a domain makes too long may be left. */
		if (r->domain[0] && bare_after)
			abort();
	}
	buf_fini(&out);
}

static void from(struct rewrite *r, struct span value)
{
	bool replaced, parsed;
	struct buf out;

	buf_init(&out, 64 * value.len + 100000);
	if (rewrite_from(r, value, &out, &replaced, &parsed) == REWRITE_CHANGED && is_folded(value) &&
	    !is_folded(buf_span(&out)))
		abort();
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rewrite r;
	struct span value;
	unsigned bits;

	if (size < 1)
		return 0;
	bits = data[0];
	value = span_of(data + 1, size - 1);
	rewrite_init(&r, &(struct rewrite_rules){ .qualify = bits & 1 ? "host.example" : NULL,
						  .from = bits & 2 ? "me@example.com" : NULL,
						  .name = bits & 4 ? "J\xc3\xbcrgen" : NULL,
						  .to = bits & 8 ? "catch@example.org" : NULL,
						  .aliases = bits & 16 ? aliases() : NULL,
						  .utf8 = bits & 32 });
	addresses(&r, value, bits & 64);
	from(&r, value);
	rewrite_fini(&r);
	return 0;
}
