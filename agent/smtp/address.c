#include "smtp/address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <idn2.h>
#include <string.h>

#include "base/text.h"

const char *address_err_text(enum address_err err)
{
	static const char *const texts[] = {
#define X(name, text) text,
		ADDRESS_ERRORS(X)
#undef X
	};

	return texts[err];
}

/* A reading position. Every byte is looked at through peek(), which is 0 at the end: NUL itself is a control
 * character and never allowed. */
struct reader {
	const char *p, *end;
	unsigned options;
};

static unsigned char peek(const struct reader *r)
{
	return r->p < r->end ? (unsigned char)*r->p : 0;
}

static bool take(struct reader *r, char c)
{
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

static bool is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 5322, 3.2.3; with RFC 6532, 3.2 every byte of a UTF-8 sequence (validity is checked over the whole). */
static bool is_atext(unsigned char c)
{
	return is_alnum(c) || c >= 0x80 || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool is_dot_string(struct span s)
{
	bool after_dot = true;

	for (size_t i = 0; i < s.len; i++) {
		bool dot = s.data[i] == '.';

		if (dot ? after_dot : !is_atext((unsigned char)s.data[i]))
			return false;
		after_dot = dot;
	}
	return !after_dot;
}

/* ---------------------------------------------------------------- domains */

static enum address_err read_literal(struct reader *r)
{
	const char *start = r->p, *close = memchr(r->p, ']', (size_t)(r->end - r->p));
	struct span inside;
	bool is_v6;

	if (!close || !address_literal(span_of(start, (size_t)(close + 1 - start)), &inside, &is_v6))
		return ADDRESS_LITERAL;
	r->p = close + 1;
	return ADDRESS_OK;
}

/* Labels of letters, digits, '-' and '_' (and bytes of UTF-8 where allowed), no '-' at their ends. */
static enum address_err read_name(struct reader *r)
{
	const char *start = r->p;
	bool has_utf8 = false;

	do {
		const char *label = r->p;

		while (is_alnum(peek(r)) || peek(r) == '-' || peek(r) == '_' || peek(r) >= 0x80) {
			has_utf8 |= peek(r) >= 0x80;
			r->p++;
		}
		if (r->p == label || *label == '-' || r->p[-1] == '-')
			return ADDRESS_DOMAIN;
		if (!has_utf8 && r->p - label > ADDRESS_LABEL_MAX)
			return ADDRESS_DOMAIN;
	} while (take(r, '.'));
	if (r->p - start > ADDRESS_DOMAIN_MAX)
		return ADDRESS_DOMAIN_LONG;
	if (has_utf8) {
		char ascii[ADDRESS_DOMAIN_SIZE];

		/* A name that cannot be looked up is no name. */
		if (!address_domain_ascii(span_of(start, (size_t)(r->p - start)), ascii))
			return ADDRESS_DOMAIN;
	}
	return ADDRESS_OK;
}

static enum address_err read_domain(struct reader *r)
{
	return peek(r) == '[' ? read_literal(r) : read_name(r);
}

bool address_literal(struct span s, struct span *out_inside, bool *out_is_v6)
{
	static const struct span tag = SPAN("IPv6:");
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;
	struct span inside;
	bool is_v6;

	if (s.len < 3 || s.data[0] != '[' || s.data[s.len - 1] != ']')
		return false;
	inside = span_of(s.data + 1, s.len - 2);
	is_v6 = span_starts_fold(inside, tag);
	if (is_v6)
		inside = span_from(inside, tag.len);
	if (inside.len >= sizeof(text) || span_find(inside, '\0') != inside.len)
		return false;
	memcpy(text, inside.data, inside.len);
	text[inside.len] = '\0';
	if (inet_pton(is_v6 ? AF_INET6 : AF_INET, text, &addr) != 1)
		return false;
	*out_inside = inside;
	*out_is_v6 = is_v6;
	return true;
}

bool address_is_literal(struct span s)
{
	struct span inside;
	bool is_v6;

	return address_literal(s, &inside, &is_v6);
}

bool address_is_domain(struct span s, unsigned options)
{
	struct reader r = { s.data, s.data + s.len, options };

	if (!(options & ADDRESS_UTF8) && !text_is_ascii(s))
		return false;
	return s.len && read_domain(&r) == ADDRESS_OK && r.p == r.end;
}

bool address_domain_ascii(struct span domain, char out[ADDRESS_DOMAIN_SIZE])
{
	char text[ADDRESS_DOMAIN_SIZE];
	char *ascii = NULL;
	bool is_name;
	size_t len;

	if (domain.len == 0 || domain.len > ADDRESS_DOMAIN_MAX || span_find(domain, '\0') != domain.len)
		return false;
	for (size_t i = 0; i < domain.len; i++)
		text[i] = span_lower(domain.data[i]);
	text[domain.len] = '\0';
	if (text_is_ascii(domain)) {
		memcpy(out, text, domain.len + 1);
		return true;
	}
	if (!text_is_utf8(domain) ||
	    idn2_lookup_u8((const uint8_t *)text, (uint8_t **)&ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	len = strlen(ascii);
	/* Characters that count for nothing (a soft hyphen) may leave an empty label, or no name at all. */
	is_name = len <= ADDRESS_DOMAIN_MAX && address_is_domain(span_of(ascii, len), 0);
	if (is_name)
		memcpy(out, ascii, len + 1);
	idn2_free(ascii);
	return is_name;
}

bool address_same_domain(struct span a, struct span b)
{
	char ascii_a[ADDRESS_DOMAIN_SIZE], ascii_b[ADDRESS_DOMAIN_SIZE];

	if (span_equals_fold(a, b))
		return true;
	if (text_is_ascii(a) && text_is_ascii(b))
		return false;
	return address_domain_ascii(a, ascii_a) && address_domain_ascii(b, ascii_b) && strcmp(ascii_a, ascii_b) == 0;
}

/* ---------------------------------------------------------------- local parts */

bool address_unquote(struct span local, struct buf *out)
{
	if (local.len < 2 || local.data[0] != '"')
		return buf_append_span(out, local);
	for (size_t i = 1; i + 1 < local.len; i++) {
		if (local.data[i] == '\\' && i + 2 < local.len)
			i++;
		if (!buf_append_char(out, local.data[i]))
			return false;
	}
	return true;
}

bool address_quote(struct span meaning, struct buf *out)
{
	for (size_t i = 0; i < meaning.len; i++)
		if ((unsigned char)meaning.data[i] < 0x20 || meaning.data[i] == 0x7f)
			return false;
	if (is_dot_string(meaning))
		return buf_append_span(out, meaning);
	if (!buf_append_char(out, '"'))
		return false;
	for (size_t i = 0; i < meaning.len; i++) {
		char c = meaning.data[i];

		if ((c == '"' || c == '\\') && !buf_append_char(out, '\\'))
			return false;
		if (!buf_append_char(out, c))
			return false;
	}
	return buf_append_char(out, '"');
}

/* Quoted-string of RFC 5321, 4.1.2. The canonical text is never longer than what was read. */
static enum address_err read_quoted(struct reader *r, struct address *out)
{
	char meaning[ADDRESS_LOCAL_MAX];
	const char *start = r->p++;
	size_t len = 0;
	struct buf text;

	while (peek(r) != '"') {
		bool escaped = take(r, '\\');

		if (r->p == r->end || (escaped && peek(r) >= 0x80))
			return ADDRESS_QUOTES;
		if (len == sizeof(meaning))
			return ADDRESS_LOCAL_LONG;
		meaning[len++] = *r->p++;
	}
	r->p++;
	if (r->p - start > ADDRESS_LOCAL_MAX)
		return ADDRESS_LOCAL_LONG;
	buf_init(&text, ADDRESS_LOCAL_MAX);
	if (address_quote(span_of(meaning, len), &text)) {
		struct span quoted = buf_span(&text);

		memcpy(out->text, quoted.data, quoted.len);
		out->len = quoted.len;
	}
	buf_fini(&text);
	return ADDRESS_OK;
}

static enum address_err read_local(struct reader *r, struct address *out)
{
	const char *start = r->p;
	size_t len;

	if (peek(r) == '"')
		return read_quoted(r, out);
	while (is_atext(peek(r)) || peek(r) == '.')
		r->p++;
	if (peek(r) == '(')
		return ADDRESS_COMMENT;
	len = (size_t)(r->p - start);
	if (!is_dot_string(span_of(start, len)))
		return ADDRESS_LOCAL;
	if (len > ADDRESS_LOCAL_MAX)
		return ADDRESS_LOCAL_LONG;
	memcpy(out->text, start, len);
	out->len = len;
	return ADDRESS_OK;
}

/* ---------------------------------------------------------------- mailboxes and paths */

static bool may_be_bare(const struct address *a, unsigned options)
{
	if (options & ADDRESS_BARE)
		return true;
	return (options & ADDRESS_POSTMASTER) && span_equals_fold(span_of(a->text, a->len), SPAN("postmaster"));
}

static enum address_err read_mailbox(struct reader *r, struct address *out)
{
	enum address_err err = read_local(r, out);
	const char *domain;

	if (err != ADDRESS_OK)
		return err;
	out->local_len = out->len;
	if (!take(r, '@')) {
		if (peek(r) == '(')
			return ADDRESS_COMMENT;
		if (r->p < r->end && peek(r) != '>')
			return ADDRESS_LOCAL;
		return may_be_bare(out, r->options) ? ADDRESS_OK : ADDRESS_NO_DOMAIN;
	}
	domain = r->p;
	err = read_domain(r);
	if (peek(r) == '(' && err != ADDRESS_DOMAIN_LONG)
		return ADDRESS_COMMENT;
	if (err != ADDRESS_OK)
		return err;
	/* Callers have measured what is read, and the canonical text is never longer. */
	assert(out->len + 1 + (size_t)(r->p - domain) < ADDRESS_SIZE);
	out->text[out->len++] = '@';
	memcpy(out->text + out->len, domain, (size_t)(r->p - domain));
	out->len += (size_t)(r->p - domain);
	return ADDRESS_OK;
}

/* RFC 5321, appendix C: accepted, checked and stripped. */
static enum address_err skip_route(struct reader *r)
{
	if (peek(r) != '@')
		return ADDRESS_OK;
	do {
		if (!take(r, '@') || read_domain(r) != ADDRESS_OK)
			return ADDRESS_ROUTE;
	} while (take(r, ','));
	return take(r, ':') ? ADDRESS_OK : ADDRESS_ROUTE;
}

/* What holds for all of an address, wherever its parts begin. */
static enum address_err check_bytes(struct span s, unsigned options)
{
	bool is_ascii = true;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c < 0x20 || c == 0x7f)
			return ADDRESS_CONTROL;
		is_ascii &= c < 0x80;
	}
	if (is_ascii)
		return ADDRESS_OK;
	if (!(options & ADDRESS_UTF8))
		return ADDRESS_NOT_ASCII;
	return text_is_utf8(s) ? ADDRESS_OK : ADDRESS_NOT_UTF8;
}

/* The length of the path at the front of s, brackets included: up to the first '>' outside quotes; 0: none. */
static size_t path_length(struct span s)
{
	bool quoted = false;

	if (!s.len || s.data[0] != '<')
		return 0;
	for (size_t i = 1; i < s.len; i++) {
		if (quoted && s.data[i] == '\\')
			i++;
		else if (s.data[i] == '"')
			quoted = !quoted;
		else if (s.data[i] == '>' && !quoted)
			return i + 1;
	}
	return 0;
}

static enum address_err finish(struct address *result, struct address *out)
{
	result->text[result->len] = '\0';
	*out = *result;
	return ADDRESS_OK;
}

enum address_err address_path(struct span s, unsigned options, struct address *out, size_t *out_taken)
{
	size_t len = path_length(s);
	struct address result = { .len = 0 };
	struct reader r;
	enum address_err err;

	if (!len)
		return check_bytes(s, options) == ADDRESS_CONTROL ? ADDRESS_CONTROL : ADDRESS_BRACKETS;
	if (len > ADDRESS_PATH_MAX)
		return ADDRESS_PATH_LONG;
	err = check_bytes(span_of(s.data, len), options);
	if (err != ADDRESS_OK)
		return err;
	r = (struct reader){ s.data + 1, s.data + len - 1, options };
	if (r.p == r.end) {
		if (!(options & ADDRESS_NULL))
			return ADDRESS_EMPTY;
		*out_taken = len;
		return finish(&result, out);
	}
	err = skip_route(&r);
	if (err == ADDRESS_OK)
		err = read_mailbox(&r, &result);
	if (err == ADDRESS_OK && r.p != r.end)
		err = ADDRESS_TRAILING;
	if (err != ADDRESS_OK)
		return err;
	*out_taken = len;
	return finish(&result, out);
}

enum address_err address_parse(struct span s, unsigned options, struct address *out)
{
	struct address result = { .len = 0 };
	struct reader r = { s.data, s.data + s.len, options };
	enum address_err err;

	if (!s.len)
		return options & ADDRESS_NULL ? finish(&result, out) : ADDRESS_EMPTY;
	if (s.len > ADDRESS_PATH_MAX - 2)
		return ADDRESS_PATH_LONG;
	err = check_bytes(s, options);
	if (err == ADDRESS_OK)
		err = read_mailbox(&r, &result);
	if (err == ADDRESS_OK && r.p != r.end)
		err = ADDRESS_TRAILING;
	return err == ADDRESS_OK ? finish(&result, out) : err;
}

/* A domain never holds an '@', so the last one parts the two, unless it lies within the quotes. */
static size_t split(struct span text)
{
	for (size_t i = text.len; i > 0; i--) {
		if (text.data[i - 1] == '@')
			return i - 1;
		if (text.data[i - 1] == '"')
			break;
	}
	return text.len;
}

struct span address_local(struct span text)
{
	return span_first(text, split(text));
}

struct span address_domain(struct span text)
{
	return span_from(text, split(text) + 1);
}

bool address_equals(struct span a, struct span b)
{
	return span_equals(address_local(a), address_local(b)) &&
	       address_same_domain(address_domain(a), address_domain(b));
}
