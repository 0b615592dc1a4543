#include "base/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { BUF_FIRST = 256 };

void buf_init(struct buf *buf, size_t max)
{
	*buf = (struct buf){ .max = max };
}

void buf_fini(struct buf *buf)
{
	mem_free(buf->data);
	*buf = (struct buf){ .max = buf->max };
}

void buf_clear(struct buf *buf)
{
	buf->start = 0;
	buf->len = 0;
}

void buf_release(struct buf *buf)
{
	buf_fini(buf);
}

void buf_wipe(struct buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->capacity);
	buf_fini(buf);
}

char *buf_grow(struct buf *buf, size_t len)
{
	if (len > buf->max || buf->len > buf->max - len)
		return NULL;
	/* One byte is always kept free for the NUL of buf_cstr(). */
	if (buf->start + buf->len + len + 1 > buf->capacity) {
		if (buf->len + len + 1 <= buf->capacity && buf->start >= buf->capacity / 2) {
			memmove(buf->data, buf->data + buf->start, buf->len);
		} else {
			size_t want = buf->capacity ? buf->capacity : BUF_FIRST;
			char *grown;

			while (want < buf->len + len + 1)
				want = want > SIZE_MAX / 2 ? buf->len + len + 1 : want * 2;
			grown = mem_alloc(want);
			if (buf->len)
				memcpy(grown, buf->data + buf->start, buf->len);
			mem_free(buf->data);
			buf->data = grown;
			buf->capacity = want;
		}
		buf->start = 0;
	}
	return buf->data + buf->start + buf->len;
}

void buf_commit(struct buf *buf, size_t len)
{
	assert(buf->start + buf->len + len < buf->capacity || len == 0);
	buf->len += len;
}

bool buf_append_number(struct buf *buf, int64_t number)
{
	char digits[TEXT_NUMBER_SIZE];

	return buf_append_str(buf, text_number_print(number, digits));
}

bool buf_vprintf(struct buf *buf, const char *format, va_list args)
{
	va_list again;
	char *room;
	int len;

	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (len < 0)
		return false;
	room = buf_reserve(buf, (size_t)len);
	if (!room)
		return false;
	vsnprintf(room, (size_t)len + 1, format, args);
	buf_commit(buf, (size_t)len);
	return true;
}

bool buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	bool done;

	va_start(args, format);
	done = buf_vprintf(buf, format, args);
	va_end(args);
	return done;
}

void buf_consume(struct buf *buf, size_t len)
{
	if (len >= buf->len) {
		buf_clear(buf);
		return;
	}
	buf->start += len;
	buf->len -= len;
}

void buf_truncate(struct buf *buf, size_t len)
{
	if (len < buf->len)
		buf->len = len;
}

const char *buf_cstr(struct buf *buf)
{
	if (!buf->data && !buf_reserve(buf, 0))
		return "";
	buf->data[buf->start + buf->len] = '\0';
	return buf->data + buf->start;
}

char *buf_take(struct buf *buf)
{
	const char *text = buf_cstr(buf);
	char *copy = mem_dup(text, buf->len + 1);

	buf_release(buf);
	return copy;
}
