#include "message/aliases_line.h"

#include <string.h>

#include "message/addresslist.h"
#include "smtp/address.h"

static const struct span include = SPAN(":include:");

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct span trim(struct span s)
{
	while (s.len && is_blank(s.data[0]))
		s = span_from(s, 1);
	while (s.len && is_blank(s.data[s.len - 1]))
		s.len--;
	return s;
}

/* ---------------------------------------------------------------- lines */

/* The first line of s, with its line end. */
static struct span first_line(struct span s)
{
	size_t n = span_find(s, '\n');

	return span_first(s, n < s.len ? n + 1 : n);
}

static bool is_empty(struct span line)
{
	line = trim(line);
	return line.len == 0 || line.data[0] == '#';
}

bool aliases_line_next(struct span *rest, int *line, bool continued, struct buf *out, int *out_first_line)
{
	bool any = false;

	buf_clear(out);
	while (rest->len) {
		struct span one = first_line(*rest);
		bool empty = is_empty(one);

		if (any && !empty && !(continued && is_blank(one.data[0])))
			break;
		if (!any && !empty)
			*out_first_line = *line;
		any = any || !empty;
		if (!empty)
			buf_append_span(out, trim(one));
		if (any)
			buf_append_char(out, '\n');
		*rest = span_from(*rest, one.len);
		(*line)++;
	}
	return any;
}

/* ---------------------------------------------------------------- names */

/* The length of the quoted string at the front of s, quotes included; s.len + 1: it is not closed. */
static size_t quoted_length(struct span s)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.data[i] == '\\')
			i++;
		else if (s.data[i] == '"')
			return i + 1;
	}
	return s.len + 1;
}

const char *aliases_line_name(struct span *line, struct buf *out, bool *out_is_default)
{
	size_t quoted = line->len && line->data[0] == '"' ? quoted_length(*line) : 0;
	struct address address;
	enum address_err err;
	struct span name;
	size_t colon;

	if (quoted > line->len)
		return "a quoted name is not closed";
	colon = quoted + span_find(span_from(*line, quoted), ':');
	if (colon >= line->len)
		return "there is no : behind a name - a line is \"name: address, address\"";
	name = trim(span_first(*line, colon));
	*line = span_from(*line, colon + 1);
	*out_is_default = span_equals(name, SPAN("*"));
	err = address_parse(name, ADDRESS_UTF8 | ADDRESS_BARE, &address);
	if (err != ADDRESS_OK)
		return err == ADDRESS_LOCAL ? "the name is not written correctly - quote it if it has blanks or other "
					      "special characters"
					    : address_err_text(err);
	if (address.local_len < address.len)
		return "only names of this machine can be aliases - write it without the @domain";
	buf_clear(out);
	address_unquote(span_of(address.text, address.len), out);
	for (size_t i = 0; i < out->len; i++)
		out->data[out->start + i] = span_lower(out->data[out->start + i]);
	return NULL;
}

/* ---------------------------------------------------------------- items */

/* The length of the item at the front of s, up to its comma; *out_colon: a ':' stands outside of everything. */
static size_t item_length(struct span s, bool *out_colon)
{
	bool is_text = s.data[0] == '|' || s.data[0] == '/', angle = false, literal = false;
	size_t depth = 0, i = 0;

	*out_colon = false;
	for (; i < s.len; i++) {
		char c = s.data[i];

		if (c == '\\')
			i++;
		else if (c == '"' && depth == 0)
			i += quoted_length(span_from(s, i)) - 1;
		else if (c == ',' && depth == 0 && !angle && !literal)
			break;
		else if (is_text)
			continue;
		else if (c == '(')
			depth++;
		else if (c == ')')
			depth -= depth > 0;
		else if (depth)
			continue;
		else if (c == '<' || c == '>')
			angle = c == '<';
		else if (c == '[' || c == ']')
			literal = c == '[';
		else if (c == ':' && !angle && !literal)
			*out_colon = true;
	}
	return i < s.len ? i : s.len;
}

/* The item without the quotes that stand around all of it: "|command arg", ":include:/path with blanks". */
static struct span without_quotes(struct span item)
{
	if (item.len < 2 || item.data[0] != '"' || quoted_length(item) != item.len)
		return item;
	return span_of(item.data + 1, item.len - 2);
}

static const char *read_address(struct span item, struct buf *out)
{
	struct addresslist list;
	struct address address;
	struct buf text;
	const char *error = NULL;
	enum address_err err;

	buf_init(&text, ADDRESSLIST_MAX);
	addresslist_init(&list, item);
	switch (addresslist_next(&list, &text)) {
	case ADDRESSLIST_BAD: error = list.error; break;
	case ADDRESSLIST_END: error = "there is no address"; break;
	case ADDRESSLIST_ADDRESS:
		err = address_parse(buf_span(&text), ADDRESS_UTF8 | ADDRESS_BARE, &address);
		if (err != ADDRESS_OK)
			error = address_err_text(err);
		else if (list.rest.len)
			error = "something stands behind an address";
		break;
	}
	if (!error) {
		buf_clear(out);
		buf_append(out, address.text, address.len);
	}
	buf_fini(&text);
	return error;
}

static const char *read_path(struct span path, struct buf *out)
{
	path = trim(without_quotes(trim(path)));
	if (path.len == 0 || path.data[0] != '/')
		return "the file of an :include: needs its whole path, from the / on";
	for (size_t i = 0; i < path.len; i++)
		if ((unsigned char)path.data[i] < ' ' || path.data[i] == 127)
			return "a control character stands in the path of an :include:";
	if (path.len >= 4096)
		return "the path of an :include: is too long";
	buf_clear(out);
	buf_append_span(out, path);
	return NULL;
}

/* NULL, or what is wrong; `out` is untouched then. */
static const char *read_item(struct span item, bool has_colon, struct buf *out, enum aliases_line_kind *out_kind)
{
	struct span bare = without_quotes(item);
	size_t slashes = 0;

	if (bare.len == 0)
		return "an address is empty";
	if (bare.data[0] == '|')
		return "mail is never handed to a command";
	if (span_equals(bare, SPAN("/dev/null")))
		return "mail is never thrown away";
	if (bare.data[0] == '/')
		return "mail is never written into a file";
	if (span_starts_fold(bare, include)) {
		*out_kind = ALIASES_LINE_INCLUDE;
		return read_path(span_from(bare, include.len), out);
	}
	if (bare.data[0] == ':')
		return "of the words between colons only :include: is understood";
	if (has_colon)
		return "an unexpected : stands in an address";
	while (slashes < bare.len && bare.data[slashes] == '\\' && slashes < 2)
		slashes++;
	/* "\"x" is a quoted string that begins with a quote. */
	if (slashes && (bare.data == item.data || slashes == bare.len || bare.data[slashes] != '"')) {
		*out_kind = ALIASES_LINE_MAILBOX;
		return read_address(span_from(bare, slashes), out);
	}
	*out_kind = ALIASES_LINE_ADDRESS;
	return read_address(item, out);
}

void aliases_line_items(struct aliases_line_items *items, struct span list, int line)
{
	*items = (struct aliases_line_items){ .rest = list, .line = line };
}

bool aliases_line_item(struct aliases_line_items *items, struct buf *out)
{
	struct span *rest = &items->rest;
	bool has_colon;
	struct span item;

	items->line += items->passed;
	items->passed = 0;
	for (; rest->len && (is_blank(rest->data[0]) || rest->data[0] == ','); *rest = span_from(*rest, 1))
		items->line += rest->data[0] == '\n';
	if (rest->len == 0)
		return false;
	item = trim(span_first(*rest, item_length(*rest, &has_colon)));
	*rest = span_from(*rest, item.len);
	for (size_t i = 0; i < item.len; i++)
		items->passed += item.data[i] == '\n';
	items->error = read_item(item, has_colon, out, &items->kind);
	if (items->error) {
		items->kind = ALIASES_LINE_BAD;
		buf_clear(out);
		buf_append_span(out, item);
	}
	return true;
}
