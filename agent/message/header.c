#include "message/header.h"

#include <string.h>

#include "base/text.h"
#include "message/mime.h"

static const struct span names[HEADER_NAMES] = {
#define X(name, text) [HEADER_##name] = { text, sizeof(text) - 1 },
	HEADER_FIELDS(X)
#undef X
		[HEADER_OTHER] = { "", 0 },
};

const char *header_name_text(enum header_name name)
{
	return names[name].data;
}

enum header_name header_name_of(struct span name)
{
	for (int i = 0; i < HEADER_OTHER; i++)
		if (names[i].len == name.len && span_lower(names[i].data[0]) == span_lower(name.data[0]) &&
		    span_equals_fold(names[i], name))
			return (enum header_name)i;
	return HEADER_OTHER;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool header_split(struct span line, size_t *out_name, size_t *out_value)
{
	size_t i = 0, name;

	while (i < line.len && line.data[i] > ' ' && line.data[i] < 127 && line.data[i] != ':')
		i++;
	name = i;
	while (i < line.len && is_blank(line.data[i]))
		i++;
	if (name == 0 || i == line.len || line.data[i] != ':')
		return false;
	*out_name = name;
	*out_value = i + 1;
	return true;
}

/* A line without its line end. */
static struct span bare_line(struct span line)
{
	if (line.len && line.data[line.len - 1] == '\n')
		line.len--;
	if (line.len && line.data[line.len - 1] == '\r')
		line.len--;
	return line;
}

void header_init(struct header *h)
{
	memset(h, 0, sizeof(*h));
	h->last = HEADER_OTHER;
}

static enum header_verdict finished(struct header *h, size_t body)
{
	h->length = h->at;
	h->body = body;
	return HEADER_DONE;
}

static void note_field(struct header *h, struct span name, size_t value, size_t end)
{
	h->last = header_name_of(name);
	h->any = true;
	if (h->counts[h->last]++ == 0) {
		h->first[h->last].from = value;
		h->first[h->last].to = end;
	}
}

/* Takes one whole line, which ends at `end`; MORE: it belongs to the header. */
static enum header_verdict take_line(struct header *h, struct span text, size_t end)
{
	struct span line = bare_line(span_of(text.data + h->at, end - h->at));
	size_t name, value;

	if (line.len == 0)
		return finished(h, end);
	if (is_blank(line.data[0]) && h->any) {
		if (h->counts[h->last] == 1)
			h->first[h->last].to = h->at + line.len;
	} else if (header_split(line, &name, &value)) {
		note_field(h, span_of(line.data, name), h->at + value, h->at + line.len);
	} else if (!h->any) {
		return HEADER_NONE;
	} else {
		return finished(h, h->at);
	}
	h->at = end;
	h->searched = end;
	return HEADER_MORE;
}

enum header_verdict header_scan(struct header *h, struct span text)
{
	enum header_verdict verdict = HEADER_MORE;

	while (verdict == HEADER_MORE) {
		struct span unread = span_from(text, h->searched);
		size_t found = span_find(unread, '\n');

		if (found == unread.len) {
			h->searched = text.len;
			break;
		}
		verdict = take_line(h, text, h->searched + found + 1);
	}
	return verdict;
}

enum header_verdict header_finish(struct header *h, struct span text)
{
	enum header_verdict verdict = header_scan(h, text);

	if (verdict == HEADER_MORE && h->at < text.len)
		verdict = take_line(h, text, text.len);
	if (verdict == HEADER_MORE)
		verdict = h->any ? finished(h, text.len) : HEADER_NONE;
	return verdict;
}

bool header_is_resent(const struct header *h)
{
	static const enum header_name resent[] = { HEADER_RESENT_FROM, HEADER_RESENT_SENDER,    HEADER_RESENT_REPLY_TO,
						   HEADER_RESENT_TO,   HEADER_RESENT_CC,        HEADER_RESENT_BCC,
						   HEADER_RESENT_DATE, HEADER_RESENT_MESSAGE_ID };

	for (size_t i = 0; i < sizeof(resent) / sizeof(resent[0]); i++)
		if (h->counts[resent[i]])
			return true;
	return false;
}

struct span header_first(const struct header *h, struct span text, enum header_name name)
{
	if (h->counts[name] == 0)
		return span_of("", 0);
	return span_of(text.data + h->first[name].from, h->first[name].to - h->first[name].from);
}

bool header_text(struct buf *out, struct span value, size_t max)
{
	/* Sixteen bytes of encoded words make at least one character; what lies beyond cannot be shown anyway. */
	size_t most = 16 * max + 256;
	struct buf words;
	bool ok;

	buf_init(&words, 2 * most);
	ok = mime_words_decode(&words, span_first(value, most)) && text_clean(out, span_trim(buf_span(&words)), max);
	buf_fini(&words);
	return ok;
}

bool header_next(struct span *rest, struct header_field *out_field)
{
	size_t end, name, value;
	struct span line;

	end = span_find(*rest, '\n');
	end = end < rest->len ? end + 1 : end;
	line = bare_line(span_first(*rest, end));
	if (!header_split(line, &name, &value))
		return false;
	while (end < rest->len && is_blank(rest->data[end])) {
		struct span more = span_from(*rest, end);
		size_t found = span_find(more, '\n');

		end += found < more.len ? found + 1 : found;
	}
	out_field->whole = span_first(*rest, end);
	out_field->label = span_first(*rest, name);
	out_field->name = header_name_of(out_field->label);
	out_field->value = span_from(bare_line(out_field->whole), value);
	*rest = span_from(*rest, end);
	return true;
}
