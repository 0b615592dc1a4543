/*
 * span - borrowed bytes: a pointer and a length, never owned, never NUL-terminated.
 *
 * A span lives until the next call on whoever handed it out; what is kept longer is copied.
 * Threads: plain values, any.
 */
#ifndef SPAN_H
#define SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
	const char *data;
	size_t len;
};

/* A span over a string literal. */
#define SPAN(literal) ((struct span){ (literal), sizeof(literal) - 1 })
/* For printf("%.*s"). */
#define SPAN_ARGS(s) (int)(s).len, (s).data

static inline struct span span_of(const void *data, size_t len)
{
	return (struct span){ data, len };
}

static inline struct span span_str(const char *text)
{
	return (struct span){ text, text ? strlen(text) : 0 };
}

static inline char span_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static inline bool span_equals(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* ASCII case folded; protocol words, domains and field names compare like this. */
static inline bool span_equals_fold(struct span a, struct span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (span_lower(a.data[i]) != span_lower(b.data[i]))
			return false;
	return true;
}

static inline bool span_starts_fold(struct span s, struct span prefix)
{
	return s.len >= prefix.len && span_equals_fold(span_of(s.data, prefix.len), prefix);
}

/* The bytes from `from` to the end; empty when `from` lies beyond it. */
static inline struct span span_from(struct span s, size_t from)
{
	return from < s.len ? span_of(s.data + from, s.len - from) : span_of(s.data + s.len, 0);
}

/* The first n bytes, or all. */
static inline struct span span_first(struct span s, size_t n)
{
	return span_of(s.data, n < s.len ? n : s.len);
}

/* The position of c, or s.len. */
static inline size_t span_find(struct span s, char c)
{
	const char *at = s.len ? memchr(s.data, c, s.len) : NULL;

	return at ? (size_t)(at - s.data) : s.len;
}

/* Without the blanks (SP and HTAB) at both ends. */
static inline struct span span_trim(struct span s)
{
	while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'))
		s.data++, s.len--;
	while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
		s.len--;
	return s;
}

#endif
