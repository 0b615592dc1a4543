#include "delivery/mtasts_policy.h"

#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/text.h"
#include "smtp/address.h"

enum { FORM = 1, HEAD = 9, SLACK_MS = 5 * 60 * 1000, EXT_NAME_MAX = 32 };

struct owned {
	struct mtasts_policy policy;
	char bytes[]; /* the text, then the names with a NUL each */
};

static const char *const mode_names[] = { "none", "testing", "enforce" };

const char *mtasts_policy_mode_name(enum mtasts_mode mode)
{
	return mode_names[mode];
}

/* ---------------------------------------------------------------- the TXT record */

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static struct span skip_blanks(struct span s)
{
	while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'))
		s = span_from(s, 1);
	return s;
}

static bool starts_with(struct span s, struct span prefix)
{
	return span_equals(span_first(s, prefix.len), prefix);
}

static bool is_id(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.data[i]))
			return false;
	return s.len > 0 && s.len < MTASTS_ID_SIZE;
}

/* sts-extension: a name, "=", and printable characters but "=" and ";". */
static bool is_extension(struct span s)
{
	struct span name = span_first(s, span_find(s, '=')), value = span_from(s, name.len + 1);

	if (!name.len || name.len == s.len || name.len > EXT_NAME_MAX || !is_alnum(name.data[0]) || !value.len)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!is_alnum(name.data[i]) && !memchr("_-.", name.data[i], 3))
			return false;
	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] <= ' ' || value.data[i] > 126 || value.data[i] == '=')
			return false;
	return true;
}

bool mtasts_policy_is_record(struct span txt)
{
	struct span rest;

	if (!starts_with(txt, SPAN("v=STSv1")))
		return false;
	rest = skip_blanks(span_from(txt, 7));
	return rest.len && rest.data[0] == ';';
}

bool mtasts_policy_id(struct span txt, char out_id[MTASTS_ID_SIZE])
{
	struct span rest = txt, id = { "", 0 };
	bool is_first = true, has_end = false;

	if (!mtasts_policy_is_record(txt))
		return false;
	while (rest.len) {
		struct span field = span_first(rest, span_find(rest, ';'));

		has_end = field.len < rest.len;
		rest = skip_blanks(span_from(rest, field.len + 1));
		/* Blanks may stand around a ";", and nowhere else. */
		if (has_end)
			field = span_trim(field);
		if (is_first) {
			is_first = false;
		} else if (starts_with(field, SPAN("id="))) {
			if (!is_id(span_from(field, 3)))
				return false;
			id = id.len ? id : span_from(field, 3);
		} else if (!is_extension(field)) {
			return false;
		}
	}
	if (!id.len)
		return false;
	snprintf(out_id, MTASTS_ID_SIZE, "%.*s", SPAN_ARGS(id));
	return true;
}

/* ---------------------------------------------------------------- the policy */

static bool is_pattern(struct span s)
{
	if (starts_with(s, SPAN("*.")))
		s = span_from(s, 2);
	return !address_is_literal(s) && address_is_domain(s, 0);
}

/* What the lines say; the first of each counts, but for mx. */
struct lines {
	bool has_version;
	struct span mode, max_age;
	struct span mx[MTASTS_MX_MAX];
	size_t mx_count;
	const char *why;
};

static void take_line(struct lines *lines, struct span line)
{
	struct span name = span_first(line, span_find(line, ':')), value = span_trim(span_from(line, name.len + 1));

	if (name.len == line.len)
		return;
	if (span_equals(name, SPAN("version"))) {
		if (!lines->has_version && !span_equals(value, SPAN("STSv1")))
			lines->why = "its version is not STSv1";
		lines->has_version = true;
	} else if (span_equals(name, SPAN("mode"))) {
		lines->mode = lines->mode.data ? lines->mode : value;
	} else if (span_equals(name, SPAN("max_age"))) {
		lines->max_age = lines->max_age.data ? lines->max_age : value;
	} else if (span_equals(name, SPAN("mx"))) {
		if (!is_pattern(value))
			lines->why = "an mx in it is not a name or pattern";
		else if (lines->mx_count == MTASTS_MX_MAX)
			lines->why = "it has too many mx";
		else
			lines->mx[lines->mx_count++] = value;
	}
}

static void split(struct span text, struct lines *lines)
{
	while (text.len && !lines->why) {
		struct span line = span_first(text, span_find(text, '\n'));

		text = span_from(text, line.len + 1);
		if (line.len && line.data[line.len - 1] == '\r')
			line.len--;
		take_line(lines, line);
	}
}

static bool is_clean(struct span text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ' && !memchr("\t\r\n", text.data[i], 3))
			return false;
	return text_is_utf8(text);
}

static bool read_mode(struct span value, enum mtasts_mode *out)
{
	for (size_t i = 0; i < sizeof mode_names / sizeof mode_names[0]; i++)
		if (span_equals(value, span_str(mode_names[i]))) {
			*out = (enum mtasts_mode)i;
			return true;
		}
	return false;
}

/* Takes what the lines said into `policy`; NULL, or what is wrong. */
static const char *judge(struct lines *lines, struct mtasts_policy *policy)
{
	uint64_t max_age;

	if (lines->why)
		return lines->why;
	if (!lines->has_version)
		return "it does not say its version";
	if (!read_mode(lines->mode, &policy->mode))
		return "its mode is missing or unknown";
	if (!lines->max_age.len || lines->max_age.len > 10 || !text_number(lines->max_age, UINT64_MAX, &max_age))
		return "its max_age is missing or not a number";
	if (!lines->mx_count && policy->mode != MTASTS_NONE)
		return "it names no mx";
	policy->max_age_s = max_age < MTASTS_POLICY_AGE_S ? (int64_t)max_age : MTASTS_POLICY_AGE_S;
	return NULL;
}

struct mtasts_policy *mtasts_policy_new(struct span text, const char *id, int64_t fetched_wall_ms, const char **out_why)
{
	struct mtasts_policy policy = { .fetched_wall_ms = fetched_wall_ms };
	struct lines lines = { .has_version = false };
	struct owned *owned;
	const char *why;
	size_t names = 0;
	char *at;

	if (text.len > MTASTS_POLICY_TEXT)
		lines.why = "it is too large";
	else if (!is_clean(text))
		lines.why = "it is not plain text";
	else
		split(text, &lines);
	why = judge(&lines, &policy);
	if (why) {
		*out_why = why;
		return NULL;
	}
	snprintf(policy.id, sizeof policy.id, "%s", id);
	for (size_t i = 0; i < lines.mx_count; i++)
		names += lines.mx[i].len + 1;
	owned = mem_alloc(sizeof *owned + text.len + names);
	owned->policy = policy;
	memcpy(owned->bytes, text.data, text.len);
	owned->policy.text = span_of(owned->bytes, text.len);
	at = owned->bytes + text.len;
	for (size_t i = 0; i < lines.mx_count; i++) {
		owned->policy.mx[owned->policy.mx_count++] = at;
		for (size_t k = 0; k < lines.mx[i].len; k++)
			*at++ = span_lower(lines.mx[i].data[k]);
		*at++ = '\0';
	}
	return &owned->policy;
}

void mtasts_policy_free(struct mtasts_policy *policy)
{
	if (policy)
		mem_free(LIST_ENTRY(policy, struct owned, policy));
}

bool mtasts_policy_is_over(const struct mtasts_policy *policy, int64_t wall_ms)
{
	return wall_ms - policy->fetched_wall_ms > policy->max_age_s * 1000;
}

bool mtasts_policy_is_old(const struct mtasts_policy *policy, int64_t wall_ms)
{
	int64_t fresh_s = policy->max_age_s / 2 < MTASTS_POLICY_FRESH_S ? policy->max_age_s / 2 : MTASTS_POLICY_FRESH_S;

	return wall_ms - policy->fetched_wall_ms > fresh_s * 1000;
}

bool mtasts_policy_is_from_the_future(const struct mtasts_policy *policy, int64_t wall_ms)
{
	return policy->fetched_wall_ms - wall_ms > SLACK_MS;
}

/* ---------------------------------------------------------------- the record */

bool mtasts_policy_write(struct buf *out, const char *domain, const struct mtasts_policy *policy)
{
	size_t id_len = strlen(policy->id), domain_len = strlen(domain);
	uint64_t fetched = (uint64_t)policy->fetched_wall_ms;
	char head[HEAD];

	head[0] = FORM;
	for (int i = 0; i < 8; i++)
		head[1 + i] = (char)(fetched >> (56 - 8 * i));
	return domain_len <= ADDRESS_DOMAIN_MAX && buf_append(out, head, sizeof head) &&
	       buf_append_char(out, (char)id_len) && buf_append(out, policy->id, id_len) &&
	       buf_append_char(out, (char)(domain_len >> 8)) && buf_append_char(out, (char)domain_len) &&
	       buf_append(out, domain, domain_len) && buf_append_span(out, policy->text);
}

/* The next `size` bytes as a number, then as many bytes as it says. */
static bool take_field(struct span *rest, size_t size, struct span *out)
{
	size_t len = 0;

	if (rest->len < size)
		return false;
	for (size_t i = 0; i < size; i++)
		len = len << 8 | (unsigned char)rest->data[i];
	*rest = span_from(*rest, size);
	if (len > rest->len)
		return false;
	*out = span_first(*rest, len);
	*rest = span_from(*rest, len);
	return true;
}

struct mtasts_policy *mtasts_policy_read(struct span record, const char *domain)
{
	struct span rest = record, id, name;
	char id_text[MTASTS_ID_SIZE];
	uint64_t fetched = 0;
	const char *why;

	if (rest.len < HEAD || rest.data[0] != FORM)
		return NULL;
	for (int i = 0; i < 8; i++)
		fetched = fetched << 8 | (unsigned char)rest.data[1 + i];
	rest = span_from(rest, HEAD);
	if (fetched > INT64_MAX / 2 || !take_field(&rest, 1, &id) || !is_id(id) || !take_field(&rest, 2, &name) ||
	    (domain && !span_equals(name, span_str(domain))))
		return NULL;
	snprintf(id_text, sizeof id_text, "%.*s", SPAN_ARGS(id));
	return mtasts_policy_new(rest, id_text, (int64_t)fetched, &why);
}
