#include "smtp/ehlo.h"

#include "base/text.h"
#include "smtp/sasl.h"

static const struct span keywords[] = {
#define X(name, keyword) [EHLO_##name] = { keyword, sizeof(keyword) - 1 },
	EHLO_EXTENSIONS(X)
#undef X
};

enum { KEYWORD_COUNT = sizeof(keywords) / sizeof(keywords[0]) };

static struct span take_word(struct span *s)
{
	struct span word;

	*s = span_trim(*s);
	word = span_first(*s, span_find(*s, ' '));
	*s = span_from(*s, word.len);
	return word;
}

static unsigned mechanisms(struct span names)
{
	unsigned mask = 0;

	for (struct span name = take_word(&names); name.len; name = take_word(&names)) {
		enum sasl_mechanism found = sasl_find(name);

		if (found != SASL_NONE)
			mask |= SASL_BIT(found);
	}
	return mask;
}

static void parse_line(struct span line, struct ehlo *out)
{
	static const struct span old_auth = { "AUTH=", 5 };
	struct span word;
	unsigned i = 0;

	/* "AUTH=LOGIN" is how servers spoke before RFC 2554 was final; some still say it beside AUTH. */
	if (span_starts_fold(line, old_auth)) {
		out->extensions |= EHLO_BIT(EHLO_AUTH);
		out->auth |= mechanisms(span_from(line, old_auth.len));
		return;
	}
	word = take_word(&line);
	while (i < KEYWORD_COUNT && !span_equals_fold(word, keywords[i]))
		i++;
	if (i == KEYWORD_COUNT)
		return;
	out->extensions |= EHLO_BIT(i);
	if (i == EHLO_AUTH)
		out->auth |= mechanisms(line);
	else if (i == EHLO_SIZE && !text_number(take_word(&line), UINT64_MAX, &out->size_bytes))
		out->size_bytes = 0; /* RFC 1870, 4: no number is no fixed limit */
}

struct ehlo ehlo_parse(struct span lines)
{
	struct ehlo ehlo = { 0 };

	lines = span_from(lines, span_find(lines, '\n') + 1);
	while (lines.len) {
		struct span line = span_first(lines, span_find(lines, '\n'));

		lines = span_from(lines, line.len + 1);
		parse_line(line, &ehlo);
	}
	return ehlo;
}
