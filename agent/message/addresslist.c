#include "message/addresslist.h"

/* What has been read of one place in the list. */
struct place {
	struct buf *out;
	bool in_word;        /* the last thing in `out` is a word, and ... */
	bool gap;            /* ... a blank or comment followed it */
	bool loose;          /* two words stood side by side: a display name, or an error */
	bool too_long;       /* `out` is full */
	bool at;             /* an '@' was read */
	struct span where;   /* the bytes that made `out` */
	struct span phrase;  /* those in front of a '<' */
	struct span comment; /* the last one */
	const char *end;     /* behind a '>', or NULL */
};

void addresslist_init(struct addresslist *l, struct span value)
{
	*l = (struct addresslist){ .rest = value };
}

static enum addresslist_verdict bad(struct addresslist *l, const char *error)
{
	l->error = error;
	l->rest.len = 0;
	return ADDRESSLIST_BAD;
}

static void start(struct place *p)
{
	buf_clear(p->out);
	p->in_word = p->gap = p->loose = p->too_long = p->at = false;
	p->where = span_of("", 0);
}

/* The bytes from `at` on belong to what is being read. */
static void extend(struct place *p, const char *at, size_t len)
{
	if (p->where.len == 0)
		p->where.data = at;
	p->where.len = (size_t)(at + len - p->where.data);
}

static void put(struct place *p, char c)
{
	/* A display name may be longer; an address may not. */
	if (!buf_append_char(p->out, c))
		p->too_long = true;
}

static void word(struct place *p)
{
	p->loose = p->loose || (p->in_word && p->gap);
	p->in_word = true;
	p->gap = false;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The length of the comment at the front, its nested ones included; 0: it is not closed. */
static size_t comment_length(struct span s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] == '\\')
			i++;
		else if (s.data[i] == '(')
			depth++;
		else if (s.data[i] == ')' && --depth == 0)
			return i + 1;
	}
	return 0;
}

static bool is_control(char c)
{
	return (unsigned char)c < ' ' || c == 127;
}

/* Takes what stands between two delimiters, with them, without folding. NULL, or what is wrong. */
static const char *take_closed(struct addresslist *l, struct place *p, char close, const char *unclosed)
{
	struct span s = l->rest;

	word(p);
	put(p, s.data[0]);
	for (size_t i = 1; i < s.len; i++) {
		bool escaped = s.data[i] == '\\' && i + 1 < s.len;

		if (s.data[i] == '\r' || s.data[i] == '\n')
			continue;
		if (escaped)
			put(p, s.data[i++]);
		/* Also behind a backslash: a line end there would become one of the envelope's. */
		if (is_control(s.data[i]))
			return "a control character stands in an address";
		put(p, s.data[i]);
		if (s.data[i] == close && !escaped) {
			extend(p, s.data, i + 1);
			l->rest = span_from(s, i + 1);
			return NULL;
		}
	}
	return unclosed;
}

/* Takes one blank, comment, word, dot or '@' off the front. NULL, or what is wrong. */
static const char *take_token(struct addresslist *l, struct place *p)
{
	struct span s = l->rest;
	char c = s.data[0];
	size_t len = 1;

	if (is_blank(c)) {
		p->gap = true;
	} else if (c == '(') {
		len = comment_length(s);
		p->gap = true;
		if (len == 0)
			return "a comment is not closed";
		p->comment = span_of(s.data + 1, len - 2);
	} else if (c == '"') {
		return take_closed(l, p, '"', "a quoted string is not closed");
	} else if (c == '[') {
		return take_closed(l, p, ']', "an address literal is not closed");
	} else if (is_control(c)) {
		return "a control character stands in an address";
	} else if (c == ')' || c == ']' || c == '\\' || c == '>') {
		return "an unexpected character stands in an address";
	} else {
		bool joins = c == '.' || c == '@';

		if (!joins)
			word(p);
		p->in_word = !joins;
		p->gap = false;
		p->at = p->at || c == '@';
		put(p, c);
		extend(p, s.data, 1);
	}
	l->rest = span_from(s, len);
	return NULL;
}

/* The inside of <...>, from behind the '<' to behind the '>'. */
static const char *take_angle(struct addresslist *l, struct place *p)
{
	p->phrase = p->where;
	start(p);
	while (l->rest.len) {
		char c = l->rest.data[0];
		bool is_route = !buf_is_empty(p->out) && buf_span(p->out).data[0] == '@';
		const char *error = NULL;

		if (c == '>') {
			l->rest = span_from(l->rest, 1);
			p->end = l->rest.data;
			return p->loose ? "a blank stands inside an address" : NULL;
		}
		if (is_route && c == ':') { /* RFC 5322, 4.4: a route is read and dropped */
			start(p);
			l->rest = span_from(l->rest, 1);
		} else if (is_route && c == ',') {
			put(p, c);
			p->in_word = false;
			l->rest = span_from(l->rest, 1);
		} else if (c == ':' || c == ',' || c == ';' || c == '<') {
			return "an unexpected character stands inside <>";
		} else {
			error = take_token(l, p);
		}
		if (error)
			return error;
	}
	return "a < is not closed";
}

/* Reads one place up to the ',' or ';' behind it, or to the end. */
static const char *take_place(struct addresslist *l, struct place *p, bool *out_angle)
{
	bool angle = false;

	start(p);
	p->phrase = p->comment = span_of("", 0);
	p->end = NULL;
	while (l->rest.len) {
		char c = l->rest.data[0];
		const char *error = NULL;

		if (c == ',' || c == ';')
			break;
		if (angle && !is_blank(c) && c != '(')
			return "something stands behind the > of an address";
		if (c == '<') {
			l->rest = span_from(l->rest, 1);
			error = take_angle(l, p);
			angle = true;
			if (!error && buf_is_empty(p->out))
				error = "an address is empty";
		} else if (c == ':') {
			/* The name of a group; its members follow as places of their own. */
			if (p->at || buf_is_empty(p->out))
				return "an unexpected : stands in an address";
			l->rest = span_from(l->rest, 1);
			start(p);
		} else {
			error = take_token(l, p);
		}
		if (error)
			return error;
	}
	*out_angle = angle;
	return NULL;
}

enum addresslist_verdict addresslist_next(struct addresslist *l, struct buf *out)
{
	struct place p = { .out = out };

	for (;;) {
		bool angle = false;
		const char *error = take_place(l, &p, &angle);

		if (error)
			return bad(l, error);
		if (p.loose && !angle)
			return bad(l, "words without a comma between them");
		if (p.too_long)
			return bad(l, "an address is too long");
		if (!buf_is_empty(out)) {
			l->where = p.where;
			l->phrase = p.phrase;
			l->comment = p.comment;
			l->end = span_of(p.end ? p.end : p.where.data + p.where.len, 0);
			l->rest = span_from(l->rest, 1);
			return ADDRESSLIST_ADDRESS;
		}
		if (l->rest.len == 0)
			return ADDRESSLIST_END;
		l->rest = span_from(l->rest, 1);
	}
}
