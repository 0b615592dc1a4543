/* What is converted and decoded again are the same bytes, whatever they were: random parts, a new seed each time.
 * A failure names the seed; SEED=n runs it again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/text.h"
#include "message/convert.h"

enum { ROUNDS = 3000, PARTS = 4, BODY_MAX = 700 };

static uint64_t seed, dice;

static uint32_t roll(uint32_t below)
{
	dice = dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(dice >> 33) % below;
}

/* ---------------------------------------------------------------- messages */

static void random_body(struct buf *out)
{
	static const char *const pieces[] = { "\r\n",          "\r\n", " ", "\t",    "=",    "=41", ".",        "-",
					      "--b",           "--p",  "F", "From ", "word", "x",   "\xc3\xbc", "\xff",
					      "a longer piece" };
	bool bytes = roll(3) == 0;
	size_t n = roll(BODY_MAX);

	while (out->len < n) {
		uint32_t which = roll(sizeof pieces / sizeof pieces[0]);

		assert_true(bytes ? buf_append_char(out, (char)roll(256)) : buf_append_str(out, pieces[which]));
	}
}

struct message {
	struct buf whole, bodies[PARTS];
	size_t count;
};

static void random_message(struct message *m)
{
	static const char *const types[] = { "", "Content-Type: text/plain\r\n", "Content-Type: image/x\r\n" };
	static const char *const labels[] = { "", "Content-Transfer-Encoding: 8bit\r\n",
					      "Content-Transfer-Encoding: binary\r\n" };

	m->count = 1 + roll(PARTS);
	buf_clear(&m->whole);
	buf_append_str(&m->whole, "Content-Type: multipart/mixed; boundary=\"part here\"\r\n\r\n");
	for (size_t i = 0; i < m->count; i++) {
		buf_clear(&m->bodies[i]);
		random_body(&m->bodies[i]);
		buf_printf(&m->whole, "--part here\r\n%s%s\r\n", types[roll(3)], labels[roll(3)]);
		buf_append_span(&m->whole, buf_span(&m->bodies[i]));
		buf_append_str(&m->whole, "\r\n");
	}
	buf_append_str(&m->whole, "--part here--\r\n");
}

/* ---------------------------------------------------------------- conversion */

static bool convert(enum convert_target target, struct span in, struct buf *out)
{
	struct convert *c = convert_new(target);
	struct span left = in;
	struct buf piece;
	uint64_t size;

	buf_init(&piece, CONVERT_OUT_MIN);
	convert_scan(c, in);
	convert_scan_end(c);
	size = convert_facts(c)->size_bytes;
	for (; left.len; buf_clear(&piece)) {
		convert_feed(c, &left, &piece);
		buf_append_span(out, buf_span(&piece));
	}
	while (!convert_end(c, &piece))
		;
	buf_append_span(out, buf_span(&piece));
	buf_fini(&piece);
	convert_free(c);
	return size == out->len;
}

/* ---------------------------------------------------------------- decoding, written anew */

static bool decode_quoted(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned value;
		char hex[3] = { 0, 0, 0 };

		if (s.data[i] != '=') {
			buf_append_char(out, s.data[i]);
			continue;
		}
		if (i + 2 >= s.len)
			return false;
		memcpy(hex, s.data + i + 1, 2);
		i += 2;
		if (strcmp(hex, "\r\n") == 0)
			continue;
		if (sscanf(hex, "%2X", &value) != 1)
			return false;
		buf_append_char(out, (char)value);
	}
	return true;
}

static bool decode_base64(struct span s, struct buf *out)
{
	struct buf text;
	bool ok;

	buf_init(&text, s.len);
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] != '\r' && s.data[i] != '\n')
			buf_append_char(&text, s.data[i]);
	ok = text_base64_decode(out, buf_span(&text));
	buf_fini(&text);
	return ok;
}

static bool has(struct span s, const char *text)
{
	return memmem(s.data, s.len, text, strlen(text));
}

/* The next part behind `*rest`. */
static bool decode_part(struct span *rest, struct buf *out)
{
	static const char boundary[] = "\r\n--part here";
	const char *header = memmem(rest->data, rest->len, "--part here\r\n", 13);
	const char *body = header ? memmem(header, (size_t)(rest->data + rest->len - header), "\r\n\r\n", 4) : NULL;
	const char *end;
	struct span head, text;

	if (!body)
		return false;
	/* The empty line of a part without fields is the one behind its boundary. */
	head = span_of(header, (size_t)(body - header));
	text = span_from(*rest, (size_t)(body + 4 - rest->data));
	end = memmem(body + 2, (size_t)(rest->data + rest->len - body - 2), boundary, sizeof boundary - 1);
	if (!end)
		return false;
	text.len = end > text.data ? (size_t)(end - text.data) : 0;
	*rest = span_from(*rest, (size_t)(end + 2 - rest->data));
	if (has(head, "quoted-printable"))
		return decode_quoted(text, out);
	if (has(head, "base64"))
		return decode_base64(text, out);
	return buf_append_span(out, text);
}

static void check(const struct message *m, enum convert_target target, struct buf *out, struct buf *decoded)
{
	struct span rest;

	buf_clear(out);
	if (!convert(target, buf_span(&m->whole), out))
		fail_msg("SEED=%llu: the size is not what was said", (unsigned long long)seed);
	rest = buf_span(out);
	for (size_t i = 0; i < m->count; i++) {
		buf_clear(decoded);
		if (!decode_part(&rest, decoded) || !span_equals(buf_span(decoded), buf_span(&m->bodies[i])))
			fail_msg("SEED=%llu: part %zu of\n%.*s\n-- became\n%.*s", (unsigned long long)seed, i,
				 SPAN_ARGS(buf_span(&m->whole)), SPAN_ARGS(buf_span(out)));
	}
}

static void decoded_bytes_are_those_that_went_in(void **state)
{
	const char *given = getenv("SEED");
	struct message m;
	struct buf out, decoded;

	(void)state;
	crypto_random(&seed, sizeof seed);
	seed = given ? strtoull(given, NULL, 10) : seed;
	dice = seed;
	buf_init(&m.whole, SIZE_MAX / 4);
	buf_init(&out, SIZE_MAX / 4);
	buf_init(&decoded, SIZE_MAX / 4);
	for (size_t i = 0; i < PARTS; i++)
		buf_init(&m.bodies[i], SIZE_MAX / 4);
	for (int round = 0; round < ROUNDS; round++) {
		random_message(&m);
		check(&m, CONVERT_7BIT, &out, &decoded);
		check(&m, CONVERT_8BIT, &out, &decoded);
	}
	for (size_t i = 0; i < PARTS; i++)
		buf_fini(&m.bodies[i]);
	buf_fini(&m.whole);
	buf_fini(&out);
	buf_fini(&decoded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decoded_bytes_are_those_that_went_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
