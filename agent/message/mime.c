#include "message/mime.h"

#include <stdint.h>
#include <string.h>

#include "base/text.h"

static const char hex[] = "0123456789ABCDEF";

/* ---------------------------------------------------------------- quoted-printable */

static bool append_hex(struct buf *out, char mark, unsigned char c)
{
	char text[3] = { mark, hex[c >> 4], hex[c & 15] };

	return buf_append(out, text, 3);
}

/* One line without its line end. */
static bool quoted_line(struct buf *out, struct span line)
{
	size_t column = 0;
	bool ok = true;

	for (size_t i = 0; ok && i < line.len; i++) {
		unsigned char c = (unsigned char)line.data[i];
		bool last = i + 1 == line.len;
		bool plain = (c > ' ' && c < 127 && c != '=') || ((c == ' ' || c == '\t') && !last);

		/* "From " and a lone dot are what transports are known to change at the start of a line. */
		if (column == 0 && (c == '.' || c == 'F'))
			plain = false;
		if (column + (plain ? 1 : 3) > 75) {
			ok = buf_append_str(out, "=\r\n");
			column = 0;
		}
		ok = ok && (plain ? buf_append_char(out, (char)c) : append_hex(out, '=', c));
		column += plain ? 1 : 3;
	}
	return ok && buf_append_str(out, "\r\n");
}

bool mime_quoted_printable(struct buf *out, struct span s)
{
	bool ok = true;

	while (ok && s.len) {
		const char *end = memmem(s.data, s.len, "\r\n", 2);
		size_t len = end ? (size_t)(end - s.data) : s.len;

		ok = quoted_line(out, span_first(s, len));
		s = span_from(s, end ? len + 2 : len);
	}
	return ok;
}

/* ---------------------------------------------------------------- encoded words, out */

enum { WORD_BYTES = 45 }; /* makes 60 characters of base64 and a word of 72: RFC 2047 allows 75 */

/* How much of s fits a word without cutting a character. */
static size_t word_cut(struct span s)
{
	size_t n = s.len < WORD_BYTES ? s.len : WORD_BYTES;

	while (n > 0 && n < s.len && ((unsigned char)s.data[n] & 0xc0) == 0x80)
		n--;
	return n ? n : 1;
}

static bool encode_words(struct buf *out, struct span s)
{
	bool ok = true;

	for (bool first = true; ok && s.len; first = false) {
		size_t n = word_cut(s);

		ok = buf_append_str(out, first ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?") &&
		     text_base64_encode(out, span_first(s, n)) && buf_append_str(out, "?=");
		s = span_from(s, n);
	}
	return ok;
}

static bool is_atoms(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] != ' ' &&
		    !strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~",
			    s.data[i]))
			return false;
	return true;
}

static bool quote(struct buf *out, struct span s)
{
	bool ok = buf_append_char(out, '"');

	for (size_t i = 0; ok && i < s.len; i++)
		ok = (s.data[i] != '"' && s.data[i] != '\\' ? true : buf_append_char(out, '\\')) &&
		     buf_append_char(out, s.data[i]);
	return ok && buf_append_char(out, '"');
}

bool mime_words_encode(struct buf *out, struct span s, bool phrase)
{
	struct buf clean;
	struct span text;
	bool ok;

	buf_init(&clean, s.len > SIZE_MAX / 4 ? 0 : 4 * s.len + 16);
	ok = text_clean(&clean, span_trim(s), SIZE_MAX);
	text = buf_span(&clean);
	/* Text that looks like an encoded word would be read as one. */
	if (ok && (!text_is_ascii(text) || memmem(text.data, text.len, "=?", 2)))
		ok = encode_words(out, text);
	else if (ok && phrase && !is_atoms(text))
		ok = quote(out, text);
	else if (ok)
		ok = buf_append_span(out, text);
	buf_fini(&clean);
	return ok;
}

bool mime_phrase_utf8(struct buf *out, struct span s)
{
	struct buf clean;
	bool ok;

	buf_init(&clean, s.len > SIZE_MAX / 4 ? 0 : 4 * s.len + 16);
	ok = text_clean(&clean, span_trim(s), SIZE_MAX) &&
	     (is_atoms(buf_span(&clean)) ? buf_append_span(out, buf_span(&clean)) : quote(out, buf_span(&clean)));
	buf_fini(&clean);
	return ok;
}

/* ---------------------------------------------------------------- encoded words, in */

struct word {
	struct span charset, text;
	char encoding;
	size_t len; /* of all of it */
};

/* =?charset?e?text?= at the front of s. */
static bool read_word(struct span s, struct word *out)
{
	size_t charset, text;

	if (s.len < 8 || s.data[0] != '=' || s.data[1] != '?')
		return false;
	charset = span_find(span_from(s, 2), '?');
	if (charset == 0 || charset + 5 >= s.len || s.data[charset + 4] != '?')
		return false;
	out->charset = span_of(s.data + 2, charset);
	out->charset.len = span_find(out->charset, '*'); /* RFC 2231, 5: a language may follow */
	out->encoding = span_lower(s.data[charset + 3]);
	text = charset + 5;
	out->text = span_from(s, text);
	out->text.len = span_find(out->text, '?');
	out->len = text + out->text.len + 2;
	for (size_t i = 0; i < out->text.len; i++)
		if (out->text.data[i] <= ' ')
			return false;
	return out->len <= s.len && s.data[out->len - 1] == '=' && (out->encoding == 'b' || out->encoding == 'q');
}

static int hex_value(char c)
{
	const char *at = c ? strchr(hex, c >= 'a' && c <= 'f' ? c - 32 : c) : NULL;

	return at ? (int)(at - hex) : -1;
}

static bool decode_q(struct buf *out, struct span s)
{
	bool ok = true;

	for (size_t i = 0; ok && i < s.len; i++) {
		int high = -1, low = -1;

		if (s.data[i] == '=' && i + 2 < s.len) {
			high = hex_value(s.data[i + 1]);
			low = hex_value(s.data[i + 2]);
		}
		if (high >= 0 && low >= 0) {
			ok = buf_append_char(out, (char)(high << 4 | low));
			i += 2;
		} else {
			ok = buf_append_char(out, s.data[i] == '_' ? ' ' : s.data[i]);
		}
	}
	return ok;
}

static bool append_latin1(struct buf *out, struct span s)
{
	bool ok = true;

	for (size_t i = 0; ok && i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		ok = c < 128 ? buf_append_char(out, (char)c)
			     : buf_append_char(out, (char)(0xc0 | c >> 6)) &&
				       buf_append_char(out, (char)(0x80 | (c & 63)));
	}
	return ok;
}

/* False: it is not one that can be read; nothing was appended. */
static bool decode_word(struct buf *out, const struct word *w)
{
	bool latin1 = span_equals_fold(w->charset, SPAN("iso-8859-1"));
	size_t before = out->len;
	struct buf bytes;
	bool ok =
		latin1 || span_equals_fold(w->charset, SPAN("utf-8")) || span_equals_fold(w->charset, SPAN("us-ascii"));

	buf_init(&bytes, w->text.len + 4);
	ok = ok && (w->encoding == 'b' ? text_base64_decode(&bytes, w->text) : decode_q(&bytes, w->text));
	ok = ok && (latin1 ? append_latin1(out, buf_span(&bytes)) : buf_append_span(out, buf_span(&bytes)));
	if (!ok)
		buf_truncate(out, before);
	buf_fini(&bytes);
	return ok;
}

bool mime_words_decode(struct buf *out, struct span s)
{
	size_t gap = 0; /* bytes of blanks that were appended last */
	bool after_word = false;

	/* Most values are plain words in one line. */
	if (span_find(s, '=') == s.len && span_find(s, '\n') == s.len && span_find(s, '\r') == s.len)
		return buf_append_span(out, s);
	while (s.len) {
		struct word w;

		if (s.data[0] == '\r' || s.data[0] == '\n') {
			s = span_from(s, 1);
			continue;
		}
		if (read_word(s, &w)) {
			size_t before = out->len;

			/* RFC 2047, 6.2: blanks between two encoded words are not shown. */
			if (after_word)
				buf_truncate(out, out->len - gap);
			if (decode_word(out, &w)) {
				s = span_from(s, w.len);
				after_word = true;
				gap = 0;
				continue;
			}
			while (out->len < before)
				if (!buf_append_char(out, ' '))
					return false;
		}
		if (!buf_append_char(out, s.data[0]))
			return false;
		if (s.data[0] == ' ' || s.data[0] == '\t') {
			gap++;
		} else {
			after_word = false;
			gap = 0;
		}
		s = span_from(s, 1);
	}
	return true;
}
