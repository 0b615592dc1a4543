#include "smtp/ehlo.h"

#include "base/text.h"
#include "smtp/sasl.h"

static const struct span keywords[] = {
#define X(name, keyword) [EHLO_##name] = { keyword, sizeof(keyword) - 1 },
	EHLO_EXTENSIONS(X)
#undef X
};

enum { KEYWORD_COUNT = sizeof(keywords) / sizeof(keywords[0]), LIMIT_MAX = 999999, BY_MAX_S = 999999999 };

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

/* RFC 9422, 3: "RCPTMAX=20"; others mean nothing to us, and a limit of none at all is a mistake. */
static void parse_limit(struct span word, struct ehlo *out)
{
	struct span name = span_first(word, span_find(word, '='));
	uint64_t number;

	if (!text_number(span_from(word, name.len + 1), LIMIT_MAX, &number) || number == 0)
		return;
	if (span_equals_fold(name, SPAN("MAILMAX")))
		out->mail_max = (uint32_t)number;
	else if (span_equals_fold(name, SPAN("RCPTMAX")))
		out->rcpt_max = (uint32_t)number;
	else if (span_equals_fold(name, SPAN("RCPTDOMAINMAX")))
		out->domain_max = (uint32_t)number;
}

static void parse_arguments(enum ehlo_extension extension, struct span rest, struct ehlo *out)
{
	uint64_t number;

	switch (extension) {
	case EHLO_AUTH: out->auth |= mechanisms(rest); break;
	case EHLO_SIZE:
		if (!text_number(take_word(&rest), UINT64_MAX, &out->size_bytes))
			out->size_bytes = 0; /* RFC 1870, 4: no number is no fixed limit */
		break;
	case EHLO_DELIVERBY:
		if (text_number(take_word(&rest), BY_MAX_S, &number))
			out->by_min_ms = (int64_t)number * 1000;
		break;
	case EHLO_LIMITS:
		for (struct span word = take_word(&rest); word.len; word = take_word(&rest))
			parse_limit(word, out);
		break;
	case EHLO_PIPELINING:
	case EHLO_8BITMIME:
	case EHLO_STARTTLS:
	case EHLO_ENHANCEDSTATUSCODES:
	case EHLO_SMTPUTF8:
	case EHLO_DSN:
	case EHLO_CHUNKING:
	case EHLO_BINARYMIME:
	case EHLO_REQUIRETLS:
	case EHLO_MT_PRIORITY: break;
	}
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
	parse_arguments((enum ehlo_extension)i, line, out);
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
