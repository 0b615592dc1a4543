/*
 * buf - the one growing byte buffer: every buffer that a peer can fill is one of these.
 *
 * Owns:    its bytes. `max` is its cap; an append past it changes nothing and returns false.
 * Never:   aborts because of what was appended; wraps a size.
 * Threads: any, one object per thread.
 */
#ifndef BUF_H
#define BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/span.h"

struct buf {
	char *data;      /* start of the storage; use buf_span() to read */
	size_t start;    /* consumed bytes at the front */
	size_t len;      /* bytes held, from start */
	size_t capacity; /* bytes of storage */
	size_t max;      /* most bytes held at once */
};

void buf_init(struct buf *buf, size_t max);
void buf_fini(struct buf *buf);
/* Empties it and keeps the storage; buf_release() also gives the storage back. */
void buf_clear(struct buf *buf);
void buf_release(struct buf *buf);
/* buf_release() of what is secret: the storage is overwritten first. Room that it grew out of is not: reserve ahead. */
void buf_wipe(struct buf *buf);

/* What is held; valid until the next call on the buffer. */
static inline struct span buf_span(const struct buf *buf)
{
	return span_of(buf->data ? buf->data + buf->start : "", buf->len);
}

static inline bool buf_is_empty(const struct buf *buf)
{
	return buf->len == 0;
}

/* buf_reserve() where there is no such room yet. */
char *buf_grow(struct buf *buf, size_t len);

/* Room for `len` more bytes, to be written by the caller and then taken by buf_commit(); NULL at the cap. */
static inline char *buf_reserve(struct buf *buf, size_t len)
{
	/* One byte is always kept free for the NUL of buf_cstr(). */
	if (len < buf->capacity - buf->start - buf->len && len <= buf->max && buf->len <= buf->max - len)
		return buf->data + buf->start + buf->len;
	return buf_grow(buf, len);
}
void buf_commit(struct buf *buf, size_t len);

/* All of it is appended, or nothing and false: the cap is hit. */
static inline bool buf_append(struct buf *buf, const void *data, size_t len)
{
	char *room = len ? buf_reserve(buf, len) : NULL;

	if (!room)
		return len == 0;
	memcpy(room, data, len);
	buf->len += len;
	return true;
}

static inline bool buf_append_span(struct buf *buf, struct span s)
{
	return buf_append(buf, s.data, s.len);
}

static inline bool buf_append_str(struct buf *buf, const char *text)
{
	return buf_append(buf, text, strlen(text));
}

static inline bool buf_append_char(struct buf *buf, char c)
{
	return buf_append(buf, &c, 1);
}

/* "-17" */
bool buf_append_number(struct buf *buf, int64_t number);
bool buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_vprintf(struct buf *buf, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/* Drops the first `len` bytes (at most all). */
void buf_consume(struct buf *buf, size_t len);
/* Drops all bytes after the first `len`. */
void buf_truncate(struct buf *buf, size_t len);

/* The content as a NUL-terminated string (the NUL is not counted); valid until the next call. */
const char *buf_cstr(struct buf *buf);
/* The same, handed over: the caller frees it with mem_free(); the buffer is empty after it. */
char *buf_take(struct buf *buf);

#endif
