/* Aliases: every file is read to its end, every name leads somewhere, and no address comes out twice or unsound. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "message/aliases.h"
#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input up to the next zero byte: the main file, then those it includes. */
static struct span take(struct span *in)
{
	struct span part = span_first(*in, span_find(*in, '\0'));

	*in = span_from(*in, part.len + 1);
	return part;
}

static void follow(const struct aliases *a, struct span name)
{
	static struct aliases_result result;
	enum aliases_verdict verdict = aliases_expand(a, name, &result);
	struct address address;

	if ((verdict == ALIASES_DONE) != (result.count > 0))
		abort();
	for (size_t i = 0; i < result.count; i++) {
		struct span text = span_str(result.targets[i].address);

		if (address_parse(text, ADDRESS_UTF8 | ADDRESS_BARE, &address) != ADDRESS_OK ||
		    !span_equals(text, span_of(address.text, address.len)) || result.targets[i].line < 1)
			abort();
		for (size_t k = 0; k < i; k++)
			if (address_equals(text, span_str(result.targets[k].address)))
				abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size), main_file = take(&in), rest = main_file;
	struct aliases *a = aliases_new();
	unsigned mistakes, lines = 0;
	struct buf errors;
	const char *path;

	buf_init(&errors, (size_t)1 << 30);
	aliases_local(a, "host.example");
	mistakes = aliases_read(a, "/a", main_file, &errors);
	while ((path = aliases_wanted(a))) {
		struct span part = take(&in);

		mistakes += aliases_supply(a, path, part.len ? &part : NULL, "gone", &errors);
	}
	for (size_t i = 0; i < errors.len; i++)
		lines += buf_span(&errors).data[i] == '\n';
	if (lines != mistakes)
		abort();
	follow(a, SPAN("root"));
	follow(a, SPAN("*"));
	/* Whatever stands in front of a colon. */
	for (int i = 0; i < 100 && rest.len; i++) {
		struct span line = span_first(rest, span_find(rest, '\n'));

		follow(a, span_trim(span_first(line, span_find(line, ':'))));
		rest = span_from(rest, line.len + 1);
	}
	buf_fini(&errors);
	aliases_unref(a);
	return 0;
}
