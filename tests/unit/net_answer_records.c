/* What answers for MX, SRV, TLSA, TXT and CNAME mean: rows of messages, whole and cut at every byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/answer_records.h"

enum { MESSAGE = 32 * 1024 };

/* ---------------------------------------------------------------- messages */

static unsigned char message[MESSAGE];
static size_t message_len;

static void put16(unsigned v)
{
	message[message_len++] = (unsigned char)(v >> 8);
	message[message_len++] = (unsigned char)v;
}

static void put(struct span s)
{
	memcpy(message + message_len, s.data, s.len);
	message_len += s.len;
}

static void count_up(size_t at)
{
	message[at + 1]++;
}

/* "example.org", in the answers below at offset 12 with "org" at 20. */
static void begin(unsigned flags, unsigned type)
{
	memset(message, 0, 12);
	message[2] = (unsigned char)(0x80 | flags >> 8);
	message[3] = (unsigned char)flags;
	message[5] = 1;
	message_len = 12;
	put(SPAN("\7example\3org\0"));
	put16(type);
	put16(1);
}

static void record_of(struct span owner, unsigned type, uint32_t ttl, struct span data)
{
	put(owner);
	put16(type);
	put16(1);
	put16(ttl >> 16);
	put16(ttl & 0xffff);
	put16((unsigned)data.len);
	put(data);
}

static void answer(unsigned type, struct span data)
{
	count_up(6);
	record_of(SPAN("\xc0\x0c"), type, 300, data);
}

static void soa(uint32_t ttl, uint32_t minimum)
{
	unsigned char data[24] = { 0xc0, 0x0c, 0xc0, 0x0c };

	data[20] = (unsigned char)(minimum >> 24);
	data[21] = (unsigned char)(minimum >> 16);
	data[22] = (unsigned char)(minimum >> 8);
	data[23] = (unsigned char)minimum;
	count_up(8);
	record_of(SPAN("\xc0\x0c"), ANSWER_SOA, ttl, span_of(data, sizeof(data)));
}

/* ---------------------------------------------------------------- what was read, as text */

static void show_record(struct buf *out, const struct dns_record *r, enum dns_type type)
{
	switch (type) {
	case DNS_MX: buf_printf(out, " %u %s", r->preference, *r->name ? r->name : "."); break;
	case DNS_SRV:
		buf_printf(out, " %u %u %u %s", r->preference, r->weight, r->port, *r->name ? r->name : ".");
		break;
	case DNS_CNAME: buf_printf(out, " %s", r->name); break;
	case DNS_TXT: buf_printf(out, " \"%.*s\"", SPAN_ARGS(r->data)); break;
	case DNS_TLSA:
		buf_printf(out, " %u%u%u ", r->usage, r->selector, r->matching);
		for (size_t i = 0; i < r->data.len; i++)
			buf_printf(out, "%02x", (unsigned char)r->data.data[i]);
		break;
	}
	buf_append_char(out, ';');
}

static const char *show(const struct answer_records *read, enum dns_type type)
{
	static const char *const words[] = { [DNS_OK] = "OK",         [DNS_NXDOMAIN] = "NXDOMAIN",
					     [DNS_NODATA] = "NODATA", [DNS_TEMPORARY] = "TEMPORARY",
					     [DNS_SILENT] = "SILENT", [DNS_BAD_NAME] = "BAD" };
	static char text[4096];
	struct buf out;

	buf_init(&out, sizeof(text) - 1);
	buf_append_str(&out, words[read->status]);
	if (read->detail)
		buf_printf(&out, " (%s)", read->detail);
	if (read->status != DNS_TEMPORARY)
		buf_printf(&out, " %s%s %us:", read->name, read->authentic ? " AD" : "", read->ttl_s);
	for (size_t i = 0; i < read->count; i++)
		show_record(&out, &read->list[i], type);
	snprintf(text, sizeof(text), "%s", buf_cstr(&out));
	buf_fini(&out);
	return text;
}

/* Read from memory that ends where the message does, so that a sanitizer sees each step beyond. */
static const char *read_first(size_t len, enum dns_type type)
{
	unsigned char *copy = mem_dup(message, len);
	struct answer_records read;
	const char *text;

	answer_records_read(&read, span_of(copy, len), "example.org", type);
	text = show(&read, type);
	answer_records_fini(&read);
	mem_free(copy);
	return text;
}

/* The whole message means `expected`; any part of it means nothing. */
static void means(const char *row, enum dns_type type, const char *expected)
{
	const char *found = read_first(message_len, type);

	if (strcmp(found, expected) != 0)
		fail_msg("%s:\n%s instead of\n%s", row, found, expected);
	for (size_t len = 0; len < message_len; len++) {
		found = read_first(len, type);
		if (strcmp(found, "TEMPORARY (malformed answer)") != 0)
			fail_msg("%s, the first %zu bytes: %s", row, len, found);
	}
}

/* ---------------------------------------------------------------- rows */

struct row {
	const char *row;
	enum dns_type type;
	struct span data[4]; /* of records that belong to example.org */
	const char *expected;
};

static void walk(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		begin(0, answer_records_type(rows[i].type));
		for (size_t k = 0; k < 4 && rows[i].data[k].data; k++)
			answer(answer_records_type(rows[i].type), rows[i].data[k]);
		means(rows[i].row, rows[i].type, rows[i].expected);
	}
}

#define WALK(rows) walk(rows, sizeof(rows) / sizeof((rows)[0]))

static void hosts_are_read_with_their_numbers(void **state)
{
	static const struct row rows[] = {
		{ "one MX, its name written out",
		  DNS_MX,
		  { SPAN("\0\12\2mx\7example\3net\0") },
		  "OK example.org 300s: 10 mx.example.net;" },
		{ "names that point back",
		  DNS_MX,
		  { SPAN("\0\12\3mx1\xc0\x0c"), SPAN("\377\377\3mx2\xc0\x14"), SPAN("\0\0\xc0\x0c") },
		  "OK example.org 300s: 10 mx1.example.org; 65535 mx2.org; 0 example.org;" },
		{ "capitals", DNS_MX, { SPAN("\0\12\2MX\3Org\0") }, "OK example.org 300s: 10 mx.org;" },
		{ "the null MX", DNS_MX, { SPAN("\0\0\0") }, "OK example.org 300s: 0 .;" },
		{ "the root beside another",
		  DNS_MX,
		  { SPAN("\0\12\0"), SPAN("\0\24\1b\0") },
		  "OK example.org 300s: 10 .; 20 b;" },
		{ "SRV",
		  DNS_SRV,
		  { SPAN("\0\1\0\2\2\113\4smtp\xc0\x0c"), SPAN("\0\0\0\0\0\0\0") },
		  "OK example.org 300s: 1 2 587 smtp.example.org; 0 0 0 .;" },
		{ "CNAME", DNS_CNAME, { SPAN("\3www\xc0\x14") }, "OK example.org 300s: www.org;" },
		{ "underscores and digits are no offence",
		  DNS_MX,
		  { SPAN("\0\1\4_a-9\0") },
		  "OK example.org 300s: 1 _a-9;" },
	};

	(void)state;
	WALK(rows);
}

static void names_that_no_host_can_have_are_passed_over(void **state)
{
	static const struct row rows[] = {
		{ "a blank", DNS_MX, { SPAN("\0\1\3a b\0"), SPAN("\0\2\1b\0") }, "OK example.org 300s: 2 b;" },
		{ "NUL", DNS_MX, { SPAN("\0\1\3a\0b\0"), SPAN("\0\2\1b\0") }, "OK example.org 300s: 2 b;" },
		{ "a slash",
		  DNS_SRV,
		  { SPAN("\0\1\0\2\0\31\4/etc\0"), SPAN("\0\2\0\0\0\31\1b\0") },
		  "OK example.org 300s: 2 0 25 b;" },
		{ "a dot inside a label",
		  DNS_MX,
		  { SPAN("\0\1\3a.b\0"), SPAN("\0\2\1b\0") },
		  "OK example.org 300s: 2 b;" },
		{ "a backslash", DNS_MX, { SPAN("\0\1\1\\\0"), SPAN("\0\2\1b\0") }, "OK example.org 300s: 2 b;" },
		{ "eight bits", DNS_MX, { SPAN("\0\1\2\303\244\0"), SPAN("\0\2\1b\0") }, "OK example.org 300s: 2 b;" },
		{ "line ends", DNS_MX, { SPAN("\0\1\4a\r\nb\0"), SPAN("\0\2\1b\0") }, "OK example.org 300s: 2 b;" },
		{ "an address",
		  DNS_MX,
		  { SPAN("\0\1\003192\0010\0012\0011\0"), SPAN("\0\2\1b\0") },
		  "OK example.org 300s: 2 b;" },
		{ "an address of the other family",
		  DNS_MX,
		  { SPAN("\0\1\3::1\0"), SPAN("\0\2\1b\0") },
		  "OK example.org 300s: 2 b;" },
		{ "none but these: not the same as none",
		  DNS_MX,
		  { SPAN("\0\1\3a b\0") },
		  "TEMPORARY (no record names what can be a host)" },
	};

	(void)state;
	WALK(rows);
}

static void texts_and_keys_are_read(void **state)
{
	static const struct row rows[] = {
		{ "strings are put together",
		  DNS_TXT,
		  { SPAN("\5v=STS\3v1;\0\1 \10id=2026;") },
		  "OK example.org 300s: \"v=STSv1; id=2026;\";" },
		{ "an empty string", DNS_TXT, { SPAN("\0") }, "OK example.org 300s: \"\";" },
		{ "several", DNS_TXT, { SPAN("\1a"), SPAN("\1b\1c") }, "OK example.org 300s: \"a\"; \"bc\";" },
		{ "no string at all", DNS_TXT, { SPAN("") }, "TEMPORARY (malformed record)" },
		{ "a string longer than the data", DNS_TXT, { SPAN("\1a\3bc") }, "TEMPORARY (malformed record)" },
		{ "TLSA",
		  DNS_TLSA,
		  { SPAN("\3\1\1\xde\xad"), SPAN("\2\0\2\x01"), SPAN("\377\376\375\0") },
		  "OK example.org 300s: 311 dead; 202 01; 255254253 00;" },
		{ "TLSA without data", DNS_TLSA, { SPAN("\3\1\1") }, "TEMPORARY (malformed record)" },
		{ "TLSA of one octet", DNS_TLSA, { SPAN("\3") }, "TEMPORARY (malformed record)" },
		{ "TLSA of none", DNS_TLSA, { SPAN("") }, "TEMPORARY (malformed record)" },
	};

	(void)state;
	WALK(rows);
}

static void one_malformed_record_spoils_the_answer(void **state)
{
	static const struct row rows[] = {
		{ "no name", DNS_MX, { SPAN("\0\1\1a\0"), SPAN("\0\2") }, "TEMPORARY (malformed record)" },
		{ "half a preference", DNS_MX, { SPAN("\0") }, "TEMPORARY (malformed record)" },
		{ "a name that ends early",
		  DNS_MX,
		  { SPAN("\0\1\1a\0\0"), SPAN("\0\1\1a\0") },
		  "TEMPORARY (malformed record)" },
		{ "a name that goes on in the next record",
		  DNS_MX,
		  { SPAN("\0\1\5a"), SPAN("\0\1\1a\0") },
		  "TEMPORARY (malformed record)" },
		{ "a pointer forwards", DNS_MX, { SPAN("\0\1\xc0\xff") }, "TEMPORARY (malformed record)" },
		{ "a pointer at itself", DNS_MX, { SPAN("\0\1\xc0\x2b") }, "TEMPORARY (malformed record)" },
		{ "bytes behind the pointer", DNS_MX, { SPAN("\0\1\xc0\x0c\0") }, "TEMPORARY (malformed record)" },
		{ "an unknown kind of label",
		  DNS_MX,
		  { SPAN("\0\1\x81"
			 "a\0") },
		  "TEMPORARY (malformed record)" },
		{ "a short SRV", DNS_SRV, { SPAN("\0\1\0\2\0\31") }, "TEMPORARY (malformed record)" },
	};

	(void)state;
	WALK(rows);
}

/* ---------------------------------------------------------------- the answer as a whole */

static void no_is_told_from_no_data_and_from_trouble(void **state)
{
	static const struct {
		const char *row;
		unsigned flags;
		const char *expected;
	} rows[] = {
		{ "no such name", ANSWER_NXDOMAIN, "NXDOMAIN example.org 90s:" },
		{ "no such name, proven", 0x20 | ANSWER_NXDOMAIN, "NXDOMAIN example.org AD 90s:" },
		{ "no data", 0, "NODATA example.org 90s:" },
		{ "no data, proven", 0x20, "NODATA example.org AD 90s:" },
		{ "SERVFAIL", ANSWER_SERVFAIL, "TEMPORARY (SERVFAIL)" },
		{ "REFUSED", ANSWER_REFUSED, "TEMPORARY (REFUSED)" },
		{ "another code", 9, "TEMPORARY (error answer)" },
		{ "cut off, over TCP too", 0x200, "TEMPORARY (incomplete answer)" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(rows[i].flags, ANSWER_MX);
		soa(3600, 90);
		means(rows[i].row, DNS_MX, rows[i].expected);
	}
	begin(0, ANSWER_MX);
	soa(60, 90);
	means("the SOA's own time is less", DNS_MX, "NODATA example.org 60s:");
	begin(0, ANSWER_MX);
	means("no SOA", DNS_MX, "NODATA example.org 0s:");
	begin(0, ANSWER_MX);
	count_up(8);
	record_of(SPAN("\xc0\x0c"), ANSWER_SOA, 300, SPAN("\0\0\0\0"));
	means("an SOA that cannot be read", DNS_MX, "NODATA example.org 0s:");
	begin(0, ANSWER_MX);
	count_up(8);
	record_of(SPAN("\xc0\x0c"), ANSWER_NS, 300, SPAN("\xc0\x0c"));
	means("a referral", DNS_MX, "TEMPORARY (incomplete answer)");
	begin(0x200, ANSWER_MX);
	answer(ANSWER_MX, SPAN("\0\12\1a\0"));
	means("the half of a list", DNS_MX, "TEMPORARY (incomplete answer)");
}

static void aliases_are_followed_to_their_end(void **state)
{
	(void)state;
	begin(0x20, ANSWER_MX);
	count_up(6);
	record_of(SPAN("\xc0\x0c"), ANSWER_CNAME, 120, SPAN("\5Other\xc0\x14"));
	count_up(6);
	record_of(SPAN("\5other\3org\0"), ANSWER_MX, 300, SPAN("\0\12\1a\0"));
	means("one alias", DNS_MX, "OK other.org AD 120s: 10 a;");

	begin(0, ANSWER_MX);
	count_up(6);
	record_of(SPAN("\xc0\x0c"), ANSWER_CNAME, 30, SPAN("\5other\xc0\x14"));
	soa(3600, 90);
	means("an alias of a name without MX", DNS_MX, "NODATA other.org 30s:");

	begin(ANSWER_NXDOMAIN, ANSWER_MX);
	count_up(6);
	record_of(SPAN("\xc0\x0c"), ANSWER_CNAME, 300, SPAN("\5other\xc0\x14"));
	soa(3600, 90);
	means("an alias of nothing", DNS_MX, "NXDOMAIN other.org 90s:");

	begin(0, ANSWER_MX);
	count_up(6);
	record_of(SPAN("\xc0\x0c"), ANSWER_CNAME, 300, SPAN("\xc0\x0c"));
	means("an alias of itself", DNS_MX, "TEMPORARY (the aliases run in a circle)");

	begin(0, ANSWER_CNAME);
	count_up(6);
	record_of(SPAN("\xc0\x0c"), ANSWER_CNAME, 300, SPAN("\xc0\x0c"));
	means("asked for the alias, it is the answer", DNS_CNAME, "OK example.org 300s: example.org;");
}

static void records_of_other_names_and_classes_are_passed_by(void **state)
{
	(void)state;
	begin(0, ANSWER_MX);
	count_up(6);
	record_of(SPAN("\4evil\3org\0"), ANSWER_MX, 10, SPAN("\0\1\4evil\0"));
	answer(ANSWER_TXT, SPAN("\1x"));
	answer(ANSWER_MX, SPAN("\0\12\1a\0"));
	means("another's records", DNS_MX, "OK example.org 300s: 10 a;");

	begin(0, ANSWER_MX);
	answer(ANSWER_MX, SPAN("\0\12\1a\0"));
	message[message_len - 5 - 10 + 3] = 3; /* class CHAOS */
	means("another class", DNS_MX, "NODATA example.org 0s:");
}

static void what_is_beyond_the_cap_is_passed_over(void **state)
{
	struct answer_records read;

	(void)state;
	begin(0, ANSWER_MX);
	for (int i = 0; i < DNS_RECORDS_MAX + 20; i++)
		answer(ANSWER_MX, SPAN("\0\12\1a\0"));
	answer_records_read(&read, span_of(message, message_len), "example.org", DNS_MX);
	assert_int_equal(read.status, DNS_OK);
	assert_int_equal(read.count, DNS_RECORDS_MAX);
	answer_records_fini(&read);
}

/* A whole message of them would keep the agent busy for seconds. */
static void a_name_of_too_many_pointers_is_malformed(void **state)
{
	size_t at;

	(void)state;
	for (unsigned pointers = 126; pointers <= 127; pointers++) {
		begin(0, ANSWER_MX);
		at = message_len + 2 + 10; /* the first data: pointers, each to the one before */
		count_up(6);
		record_of(SPAN("\xc0\x0c"), 99, 300, SPAN("\xc0\x0c"));
		for (unsigned i = 1; i < pointers; i++, at += 2)
			put16(0xc000 | (unsigned)at);
		message[at - 2 * (pointers - 1) - 1] = (unsigned char)(2 * pointers);
		count_up(6);
		put16(0xc000 | (unsigned)at);
		record_of(SPAN(""), ANSWER_MX, 300, SPAN("\0\1\xc0\x0c"));
		assert_string_equal(read_first(message_len, DNS_MX), pointers == 126
									     ? "OK example.org 300s: 1 example.org;"
									     : "TEMPORARY (malformed answer)");
	}
}

static void an_answer_of_too_many_records_is_malformed(void **state)
{
	(void)state;
	for (unsigned records = 1024; records <= 1025; records++) {
		begin(0, ANSWER_MX);
		for (unsigned i = 0; i < records; i++)
			record_of(SPAN("\xc0\x0c"), ANSWER_MX, 300, SPAN("\0\0\0"));
		message[6] = (unsigned char)(records >> 8);
		message[7] = (unsigned char)records;
		if (records == 1024)
			assert_memory_equal(read_first(message_len, DNS_MX), "OK ", 3);
		else
			assert_string_equal(read_first(message_len, DNS_MX), "TEMPORARY (malformed answer)");
	}
}

static void any_byte_may_be_wrong(void **state)
{
	(void)state;
	begin(0, ANSWER_SRV);
	answer(ANSWER_SRV, SPAN("\0\1\0\2\2\113\4smtp\xc0\x0c"));
	answer(ANSWER_SRV, SPAN("\0\1\0\2\2\113\1b\3org\0"));
	soa(3600, 90);
	for (size_t at = 0; at < message_len; at++) {
		unsigned char was = message[at];

		for (unsigned v = 0; v < 256; v++) {
			message[at] = (unsigned char)v;
			read_first(message_len, DNS_SRV); /* whatever it means: it ends, inside the message */
		}
		message[at] = was;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_are_read_with_their_numbers),
		cmocka_unit_test(names_that_no_host_can_have_are_passed_over),
		cmocka_unit_test(texts_and_keys_are_read),
		cmocka_unit_test(one_malformed_record_spoils_the_answer),
		cmocka_unit_test(no_is_told_from_no_data_and_from_trouble),
		cmocka_unit_test(aliases_are_followed_to_their_end),
		cmocka_unit_test(records_of_other_names_and_classes_are_passed_by),
		cmocka_unit_test(what_is_beyond_the_cap_is_passed_over),
		cmocka_unit_test(a_name_of_too_many_pointers_is_malformed),
		cmocka_unit_test(an_answer_of_too_many_records_is_malformed),
		cmocka_unit_test(any_byte_may_be_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
