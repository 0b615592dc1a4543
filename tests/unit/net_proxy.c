/* PROXY headers, whole and cut at every byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/addr.h"
#include "net/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4        "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x00\x19"
#define V6                                                                 \
	"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" \
	"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" \
	"\x00\x01\x01\xd1"

struct row {
	const char *name;
	struct span bytes;
	enum proxy_verdict verdict;
	const char *peer, *local; /* NULL: the connection's own */
	size_t behind;            /* bytes that do not belong to it */
};

static const struct row rows[] = {
	{ "v1 over v4", SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 56324 25\r\n"), PROXY_DONE, "192.0.2.7:56324",
	  "198.51.100.1:25", 0 },
	{ "v1 over v6", SPAN("PROXY TCP6 2001:db8::7 2001:db8::1 1 465\r\n"), PROXY_DONE, "[2001:db8::7]:1",
	  "[2001:db8::1]:465", 0 },
	{ "v1 with the longest addresses",
	  SPAN("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
	       "65535\r\n"),
	  PROXY_DONE, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
	  "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", 0 },
	{ "v1 unknown", SPAN("PROXY UNKNOWN\r\n"), PROXY_DONE, NULL, NULL, 0 },
	{ "v1 unknown with words behind it", SPAN("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"), PROXY_DONE, NULL,
	  NULL, 0 },
	{ "v1 with a client that speaks at once", SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 1 25\r\nEHLO x\r\n"),
	  PROXY_DONE, "192.0.2.7:1", "198.51.100.1:25", 8 },
	{ "v1 without a protocol", SPAN("PROXY \r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 of another protocol", SPAN("PROXY UDP4 192.0.2.7 198.51.100.1 1 25\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 in lower case", SPAN("proxy TCP4 192.0.2.7 198.51.100.1 1 25\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with a v6 address as v4", SPAN("PROXY TCP4 ::1 198.51.100.1 1 25\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with a v4 address as v6", SPAN("PROXY TCP6 192.0.2.7 198.51.100.1 1 25\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with two blanks", SPAN("PROXY TCP4  192.0.2.7 198.51.100.1 1 25\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with a blank at its end", SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 1 25 \r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with a tab", SPAN("PROXY TCP4\t192.0.2.7 198.51.100.1 1 25\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with a word too much", SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 1 25 x\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 without a port", SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with a port beyond", SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 65536 25\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with a port below", SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 -1 25\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with a port in zeros", SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 0001 25\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with an octet beyond", SPAN("PROXY TCP4 192.0.2.256 198.51.100.1 1 25\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with a short address", SPAN("PROXY TCP4 192.0.2 198.51.100.1 1 25\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with a NUL in an address", SPAN("PROXY TCP4 192.0.2.7\0x 198.51.100.1 1 25\r\n"), PROXY_BAD, NULL, NULL,
	  0 },
	{ "v1 ended by LF", SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 1 25\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 ended by CR and a letter", SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 1 25\rE"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 with an LF inside", SPAN("PROXY UNKNOWN\nEHLO x\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "v1 that never ends",
	  SPAN("PROXY UNKNOWN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
	  PROXY_BAD, NULL, NULL, 0 },
	{ "v1 that has not ended", SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 1 2"), PROXY_MORE, NULL, NULL, 0 },
	{ "no header but SMTP", SPAN("EHLO x\r\n"), PROXY_BAD, NULL, NULL, 0 },
	{ "no header but TLS", SPAN("\x16\x03\x01\x02"), PROXY_BAD, NULL, NULL, 0 },
	{ "no header but an empty line", SPAN("\r\nEHLO"), PROXY_BAD, NULL, NULL, 0 },
	{ "nothing", SPAN(""), PROXY_MORE, NULL, NULL, 0 },
	{ "v2 over v4", SPAN(SIGNATURE "\x21\x11\x00\x0c" V4), PROXY_DONE, "192.0.2.7:56324", "198.51.100.1:25", 0 },
	{ "v2 over v6", SPAN(SIGNATURE "\x21\x21\x00\x24" V6), PROXY_DONE, "[2001:db8::7]:1", "[2001:db8::1]:465", 0 },
	{ "v2 with TLVs", SPAN(SIGNATURE "\x21\x11\x00\x15" V4 "\x01\x00\x03\x61\x62\x63\x04\x00\x00"), PROXY_DONE,
	  "192.0.2.7:56324", "198.51.100.1:25", 0 },
	{ "v2 with a client that speaks at once", SPAN(SIGNATURE "\x21\x11\x00\x0c" V4 "\x16\x03\x01"), PROXY_DONE,
	  "192.0.2.7:56324", "198.51.100.1:25", 3 },
	{ "v2 local", SPAN(SIGNATURE "\x20\x00\x00\x00"), PROXY_DONE, NULL, NULL, 0 },
	{ "v2 local with whatever", SPAN(SIGNATURE "\x20\x11\x00\x02zz"), PROXY_DONE, NULL, NULL, 0 },
	{ "v2 of no family", SPAN(SIGNATURE "\x21\x00\x00\x03zzz"), PROXY_DONE, NULL, NULL, 0 },
	{ "v2 of datagrams", SPAN(SIGNATURE "\x21\x12\x00\x0c" V4), PROXY_BAD, NULL, NULL, 0 },
	{ "v2 of a Unix socket, too short", SPAN(SIGNATURE "\x21\x31\x00\x0c" V4), PROXY_BAD, NULL, NULL, 0 },
	{ "v2 too short for v4", SPAN(SIGNATURE "\x21\x11\x00\x0b\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x00"),
	  PROXY_BAD, NULL, NULL, 0 },
	{ "v2 too short for v6", SPAN(SIGNATURE "\x21\x21\x00\x0c" V4), PROXY_BAD, NULL, NULL, 0 },
	{ "v2 with a TLV beyond", SPAN(SIGNATURE "\x21\x11\x00\x10" V4 "\x01\x00\x02\x61"), PROXY_BAD, NULL, NULL, 0 },
	{ "v2 with half a TLV", SPAN(SIGNATURE "\x21\x11\x00\x0e" V4 "\x01\x00"), PROXY_BAD, NULL, NULL, 0 },
	{ "v2 with a TLV of 65535 bytes", SPAN(SIGNATURE "\x21\x11\x00\x10" V4 "\x01\xff\xff\x61"), PROXY_BAD, NULL,
	  NULL, 0 },
	{ "v2 of another version", SPAN(SIGNATURE "\x31\x11\x00\x0c" V4), PROXY_BAD, NULL, NULL, 0 },
	{ "v2 with another command", SPAN(SIGNATURE "\x22\x11\x00\x0c" V4), PROXY_BAD, NULL, NULL, 0 },
	{ "v2 of 65535 bytes", SPAN(SIGNATURE "\x21\x11\xff\xff" V4), PROXY_BAD, NULL, NULL, 0 },
	{ "v2 of 4081 bytes", SPAN(SIGNATURE "\x21\x11\x0f\xf1" V4), PROXY_BAD, NULL, NULL, 0 },
	{ "v2 of which the rest is to come", SPAN(SIGNATURE "\x21\x11\x0f\xf0" V4), PROXY_MORE, NULL, NULL, 0 },
	{ "v2 with a wrong signature", SPAN("\r\n\r\n\0\r\nQUIT\r\x21\x11\x00\x0c" V4), PROXY_BAD, NULL, NULL, 0 },
};

/* In memory of exactly that length, so that the sanitizer sees a byte too far. */
static enum proxy_verdict parse(struct span bytes, struct proxy_header *out, size_t *out_taken)
{
	char *copy = mem_dup(bytes.data, bytes.len);
	const char *why = NULL;
	enum proxy_verdict verdict = proxy_parse(span_of(copy, bytes.len), out, out_taken, &why);

	assert_int_equal(verdict == PROXY_BAD, why != NULL);
	mem_free(copy);
	return verdict;
}

static void check_addresses(const struct row *row, const struct proxy_header *header)
{
	char peer[ADDR_TEXT_SIZE], local[ADDR_TEXT_SIZE];

	assert_int_equal(header->is_local, row->peer == NULL);
	if (!row->peer)
		return;
	assert_string_equal(addr_text(&header->peer, peer), row->peer);
	assert_string_equal(addr_text(&header->local, local), row->local);
}

static void every_header_is_understood_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct proxy_header header = { 0 };
		size_t taken = 0;
		enum proxy_verdict verdict = parse(rows[i].bytes, &header, &taken);

		if (verdict != rows[i].verdict)
			fail_msg("%s: verdict %d", rows[i].name, verdict);
		if (verdict != PROXY_DONE)
			continue;
		if (taken != rows[i].bytes.len - rows[i].behind)
			fail_msg("%s: %zu bytes taken", rows[i].name, taken);
		check_addresses(&rows[i], &header);
	}
}

/* Every shorter beginning asks for more, until the verdict is known; and that one stays. */
static void a_header_cut_at_every_byte_ends_in_the_same_verdict(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		enum proxy_verdict verdict = PROXY_MORE;
		struct proxy_header header = { 0 };
		size_t taken = 0;

		for (size_t len = 0; len <= row->bytes.len; len++) {
			verdict = parse(span_first(row->bytes, len), &header, &taken);
			if (verdict == PROXY_MORE)
				continue;
			if (verdict == PROXY_DONE && len != row->bytes.len - row->behind)
				fail_msg("%s: done at %zu bytes", row->name, len);
			break;
		}
		if (verdict != row->verdict)
			fail_msg("%s: verdict %d in pieces", row->name, verdict);
	}
}

static void a_header_of_the_greatest_length_is_taken_whole(void **state)
{
	static char bytes[PROXY_MAX + 1] = SIGNATURE "\x21\x11\x0f\xf0" V4;
	struct proxy_header header;
	size_t taken = 0;

	(void)state;
	bytes[28] = 0x04; /* PP2_TYPE_NOOP */
	bytes[29] = (char)((PROXY_MAX - 31) >> 8);
	bytes[30] = (char)((PROXY_MAX - 31) & 0xff);
	assert_int_equal(parse(span_of(bytes, PROXY_MAX - 1), &header, &taken), PROXY_MORE);
	assert_int_equal(parse(span_of(bytes, PROXY_MAX + 1), &header, &taken), PROXY_DONE);
	assert_int_equal(taken, PROXY_MAX);
	bytes[30]++;
	assert_int_equal(parse(span_of(bytes, PROXY_MAX + 1), &header, &taken), PROXY_BAD);
}

static void a_unix_client_of_the_proxy_has_no_address(void **state)
{
	static char bytes[16 + 216] = SIGNATURE "\x21\x31\x00\xd8";
	struct proxy_header header;
	size_t taken = 0;

	(void)state;
	assert_int_equal(parse(span_of(bytes, sizeof(bytes)), &header, &taken), PROXY_DONE);
	assert_int_equal(taken, sizeof(bytes));
	assert_true(header.is_local);
}

static void a_refused_header_leaves_the_results_alone(void **state)
{
	struct proxy_header header = { .version = 77 };
	size_t taken = 55;

	(void)state;
	assert_int_equal(parse(SPAN(SIGNATURE "\x21\x11\x00\x10" V4 "\x01\x00\x02\x61"), &header, &taken), PROXY_BAD);
	assert_int_equal(parse(SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 1 x\r\n"), &header, &taken), PROXY_BAD);
	assert_int_equal(header.version, 77);
	assert_int_equal(taken, 55);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_header_is_understood_or_refused),
		cmocka_unit_test(a_header_cut_at_every_byte_ends_in_the_same_verdict),
		cmocka_unit_test(a_header_of_the_greatest_length_is_taken_whole),
		cmocka_unit_test(a_unix_client_of_the_proxy_has_no_address),
		cmocka_unit_test(a_refused_header_leaves_the_results_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
