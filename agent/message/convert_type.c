#include "message/convert_type.h"

#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Blanks and comments (RFC 5322, 3.2.2) at the front. */
static struct span skip_comments(struct span s)
{
	unsigned depth = 0;
	size_t i = 0;

	for (; i < s.len; i++) {
		char c = s.data[i];

		if (depth && c == '\\' && i + 1 < s.len)
			i++;
		else if (c == '(')
			depth++;
		else if (depth && c == ')')
			depth--;
		else if (!depth && !is_blank(c))
			break;
	}
	return span_from(s, i);
}

/* A token (RFC 2045, 5.1) at the front. */
static struct span take_token(struct span *s)
{
	size_t i = 0;
	struct span token;

	while (i < s->len && s->data[i] > ' ' && s->data[i] < 127 && !strchr("()<>@,;:\\\"/[]?=", s->data[i]))
		i++;
	token = span_first(*s, i);
	*s = span_from(*s, i);
	return token;
}

/* ---------------------------------------------------------------- parameters */

struct parameter {
	struct span name, value; /* the value as written, quotes and all */
};

/* The next one behind a semicolon; false: there is none. Semicolons in quotes do not count. */
static bool next_parameter(struct span *s, struct parameter *out)
{
	size_t end = 0, equals;
	bool quoted = false;
	struct span one;

	*s = span_from(*s, span_find(*s, ';') + 1);
	if (s->len == 0)
		return false;
	for (; end < s->len && (quoted || s->data[end] != ';'); end++)
		if (s->data[end] == '"')
			quoted = !quoted;
		else if (quoted && s->data[end] == '\\')
			end++;
	one = span_first(*s, end);
	*s = span_from(*s, end);
	one = skip_comments(one);
	equals = span_find(one, '=');
	out->name = span_trim(span_first(one, equals));
	out->value = skip_comments(span_from(one, equals + 1));
	return true;
}

static void append(struct convert_type *type, char c)
{
	/* One too many tells that it is too long. */
	if (type->boundary_len < sizeof type->boundary)
		type->boundary[type->boundary_len] = c;
	if (type->boundary_len <= sizeof type->boundary)
		type->boundary_len++;
}

static int hex_of(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, span_lower(c)) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* RFC 2231, 4: charset'language'text, the first two only in the first section. */
static void append_extended(struct convert_type *type, struct span s, bool first)
{
	if (first)
		for (int i = 0; i < 2 && span_find(s, '\'') < s.len; i++)
			s = span_from(s, span_find(s, '\'') + 1);
	for (size_t i = 0; i < s.len; i++) {
		int high = i + 2 < s.len && s.data[i] == '%' ? hex_of(s.data[i + 1]) : -1;
		int low = high >= 0 ? hex_of(s.data[i + 2]) : -1;

		if (low >= 0) {
			append(type, (char)(16 * high + low));
			i += 2;
		} else {
			append(type, s.data[i]);
		}
	}
}

static void append_value(struct convert_type *type, struct span s, bool extended, bool first)
{
	if (s.len && s.data[0] == '"') {
		for (size_t i = 1; i < s.len && s.data[i] != '"'; i++) {
			if (s.data[i] == '\\' && i + 1 < s.len)
				i++;
			append(type, s.data[i]);
		}
		return;
	}
	/* Without quotes it must not have a blank, and often does; only a comment is no part of it. */
	for (size_t i = 0; i + 1 < s.len; i++)
		if (is_blank(s.data[i]) && s.data[i + 1] == '(')
			s = span_first(s, i);
	s = span_trim(s);
	if (extended)
		append_extended(type, s, first);
	else
		for (size_t i = 0; i < s.len; i++)
			append(type, s.data[i]);
}

/* boundary=, or in sections (RFC 2231, 3): boundary*0=, boundary*1*=, taken in the order in which they come. */
static void read_boundary(struct span s, struct convert_type *type)
{
	struct parameter p;
	bool any = false;

	while (next_parameter(&s, &p)) {
		struct span rest = span_from(p.name, 8);
		bool whole = rest.len == 0 || span_equals(rest, SPAN("*"));

		if (!span_starts_fold(p.name, SPAN("boundary")) || (rest.len && rest.data[0] != '*') || (any && whole))
			continue;
		append_value(type, p.value, rest.len && rest.data[rest.len - 1] == '*', !any);
		any = true;
		if (whole)
			break;
	}
	if (type->boundary_len > sizeof type->boundary)
		type->boundary_len = 0;
	while (type->boundary_len && is_blank(type->boundary[type->boundary_len - 1]))
		type->boundary_len--;
}

/* ---------------------------------------------------------------- types */

static enum convert_kind kind_of_message(struct span subtype)
{
	static const struct {
		const char *name;
		enum convert_kind kind;
	} known[] = {
		{ "rfc822", CONVERT_KIND_MESSAGE },
		{ "global", CONVERT_KIND_MESSAGE },
		{ "news", CONVERT_KIND_MESSAGE },
		{ "delivery-status", CONVERT_KIND_FIELDS },
		{ "disposition-notification", CONVERT_KIND_FIELDS },
		{ "feedback-report", CONVERT_KIND_FIELDS },
		/* RFC 6533, 6: these may be encoded where the transport is not clean. */
		{ "global-delivery-status", CONVERT_KIND_TEXT },
		{ "global-disposition-notification", CONVERT_KIND_TEXT },
		{ "global-headers", CONVERT_KIND_TEXT },
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (span_equals_fold(subtype, span_str(known[i].name)))
			return known[i].kind;
	return CONVERT_KIND_FIXED;
}

void convert_type_read(struct span value, struct convert_type *out)
{
	struct span rest = skip_comments(value), type = take_token(&rest), subtype;

	*out = (struct convert_type){ .kind = CONVERT_KIND_TEXT };
	rest = skip_comments(rest);
	if (type.len == 0 || rest.len == 0 || rest.data[0] != '/')
		return;
	rest = skip_comments(span_from(rest, 1));
	subtype = take_token(&rest);
	if (subtype.len == 0)
		return;
	if (span_equals_fold(type, SPAN("multipart"))) {
		out->kind = CONVERT_KIND_MULTIPART;
		out->is_digest = span_equals_fold(subtype, SPAN("digest"));
		out->seals = span_equals_fold(subtype, SPAN("signed")) || span_equals_fold(subtype, SPAN("encrypted"));
		read_boundary(skip_comments(rest), out);
	} else if (span_equals_fold(type, SPAN("message"))) {
		out->kind = kind_of_message(subtype);
	} else if (!span_equals_fold(type, SPAN("text"))) {
		out->kind = CONVERT_KIND_DATA;
	}
}

/* ---------------------------------------------------------------- labels */

static const char *const label_names[] = {
	[CONVERT_LABEL_7BIT] = "7bit",           [CONVERT_LABEL_8BIT] = "8bit",     [CONVERT_LABEL_BINARY] = "binary",
	[CONVERT_LABEL_QP] = "quoted-printable", [CONVERT_LABEL_BASE64] = "base64",
};

enum convert_label convert_type_label(struct span value)
{
	struct span rest = skip_comments(value), word = take_token(&rest);

	for (int i = 0; i <= CONVERT_LABEL_BASE64; i++)
		if (span_equals_fold(word, span_str(label_names[i])))
			return (enum convert_label)i;
	return CONVERT_LABEL_7BIT;
}

const char *convert_type_label_text(enum convert_label label)
{
	return label_names[label];
}
