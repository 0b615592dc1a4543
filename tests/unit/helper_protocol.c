/* The records between agent and helper. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "helper/protocol.h"

static struct buf out;

static int setup(void **state)
{
	(void)state;
	buf_init(&out, 1 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	buf_fini(&out);
	return 0;
}

static void records_come_back_as_they_were_written_and_cut_ones_wait(void **state)
{
	static const struct protocol_record rows[] = {
		{ .kind = PROTOCOL_RUN, .id = 1, .timeout_ms = 30000, .payload = { "pass show x", 11 } },
		{ .kind = PROTOCOL_RUN, .id = 0xfffffffe, .timeout_ms = 0xffffffff },
		{ .kind = PROTOCOL_CANCEL, .id = 0 },
		{ .kind = PROTOCOL_OUTPUT, .id = 7, .payload = { "se\0cret", 7 } },
		{ .kind = PROTOCOL_CHECK, .id = 9, .timeout_ms = 10000, .payload = { "$y$x\0secret", 11 } },
		{ .kind = PROTOCOL_FAILED, .id = 8, .payload = { "no", 2 } },
		{ .kind = PROTOCOL_FETCH, .id = 10, .timeout_ms = 60000, .payload = { "form", 4 } },
		{ .kind = PROTOCOL_ANSWER, .id = 10, .payload = { "\1\0\0", 3 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct protocol_record got;
		size_t used = 0;
		struct span whole;

		buf_clear(&out);
		assert_true(protocol_write(&out, &rows[i]));
		whole = buf_span(&out);
		for (size_t cut = 0; cut < whole.len; cut++)
			assert_int_equal(protocol_read(span_first(whole, cut), &got, &used), PROTOCOL_MORE);
		assert_int_equal(used, 0);
		assert_true(buf_append_str(&out, "next"));
		assert_int_equal(protocol_read(buf_span(&out), &got, &used), PROTOCOL_DONE);
		assert_int_equal(used, whole.len);
		assert_int_equal(got.kind, rows[i].kind);
		assert_int_equal(got.id, rows[i].id);
		assert_int_equal(got.timeout_ms, rows[i].timeout_ms);
		assert_true(span_equals(got.payload, rows[i].payload));
	}
}

static void what_is_no_record_is_refused_as_soon_as_it_shows(void **state)
{
	static const struct {
		const char *name;
		struct span bytes;
	} rows[] = {
		{ "no length", { "\0\0\0\0", 4 } },
		{ "too short for a head", { "\0\0\0\4", 4 } },
		{ "longer than a record may be", { "\0\2\0\0", 4 } },
		{ "enormous", { "\xff\xff\xff\xff", 4 } },
		{ "kind 0", { "\0\0\0\5\0\0\0\0\1", 9 } },
		{ "kind 8", { "\0\0\0\5\x08\0\0\0\1", 9 } },
		{ "negative kind", { "\0\0\0\5\x80\0\0\0\1", 9 } },
		{ "a run without its time", { "\0\0\0\6\1\0\0\0\1x", 10 } },
		{ "a fetch without its time", { "\0\0\0\6\6\0\0\0\1x", 10 } },
		{ "a check without its time", { "\0\0\0\6\5\0\0\0\1x", 10 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct protocol_record got;
		size_t used;

		if (protocol_read(rows[i].bytes, &got, &used) != PROTOCOL_BAD)
			fail_msg("%s: taken", rows[i].name);
	}
}

static void the_largest_payload_fits_and_one_byte_more_does_not(void **state)
{
	char *bytes = mem_calloc(1, PROTOCOL_PAYLOAD + 1);
	struct protocol_record record = { .kind = PROTOCOL_RUN, .payload = { bytes, PROTOCOL_PAYLOAD } }, got;
	size_t used;

	(void)state;
	assert_true(protocol_write(&out, &record));
	assert_int_equal(out.len, PROTOCOL_RECORD);
	assert_int_equal(protocol_read(buf_span(&out), &got, &used), PROTOCOL_DONE);
	assert_int_equal(got.payload.len, PROTOCOL_PAYLOAD);
	record.payload.len++;
	assert_false(protocol_write(&out, &record));
	/* An answer one byte longer than that is as long as the largest run. */
	buf_clear(&out);
	record = (struct protocol_record){ .kind = PROTOCOL_OUTPUT, .payload = { bytes, PROTOCOL_PAYLOAD } };
	assert_true(protocol_write(&out, &record));
	assert_true(buf_append_char(&out, 'x'));
	out.data[out.start + 3]++;
	assert_int_equal(protocol_read(buf_span(&out), &got, &used), PROTOCOL_BAD);
	mem_free(bytes);
}

static void requests_and_answers_of_https_come_back_and_cut_ones_do_not(void **state)
{
	struct protocol_fetch fetch = { .max_bytes = 65536,
					.url = SPAN("https://mta-sts.example.org/.well-known/mta-sts.txt"),
					.addresses = SPAN("192.0.2.1,2001:db8::1"),
					.ca_file = SPAN("/etc/ca.pem"),
					.content_type = SPAN("application/tlsrpt+json"),
					.body = SPAN("{\0}") },
			      got;
	struct protocol_answer answer = { .ok = true,
					  .status = 200,
					  .text = SPAN("text/plain"),
					  .body = SPAN("a\r\nb") },
			       heard;
	struct span whole;

	(void)state;
	assert_true(protocol_fetch_write(&out, &fetch));
	whole = buf_span(&out);
	for (size_t cut = 0; cut < whole.len; cut++)
		assert_false(protocol_fetch_read(span_first(whole, cut), &got));
	assert_true(protocol_fetch_read(whole, &got));
	assert_int_equal(got.max_bytes, 65536);
	assert_true(span_equals(got.url, fetch.url) && span_equals(got.addresses, fetch.addresses));
	assert_true(span_equals(got.ca_file, fetch.ca_file) && span_equals(got.content_type, fetch.content_type));
	assert_true(span_equals(got.body, fetch.body));
	assert_true(buf_append_char(&out, 'x'));
	assert_false(protocol_fetch_read(buf_span(&out), &got));

	buf_clear(&out);
	assert_true(protocol_answer_write(&out, &answer));
	whole = buf_span(&out);
	for (size_t cut = 0; cut < whole.len; cut++)
		assert_false(protocol_answer_read(span_first(whole, cut), &heard));
	assert_true(protocol_answer_read(whole, &heard));
	assert_true(heard.ok && !heard.is_tls && heard.status == 200);
	assert_true(span_equals(heard.text, answer.text) && span_equals(heard.body, answer.body));
	assert_true(buf_append_char(&out, 'x'));
	assert_false(protocol_answer_read(buf_span(&out), &heard));
}

static void what_no_request_or_answer_may_be_is_neither_written_nor_read(void **state)
{
	static char large[PROTOCOL_BODY + 1];
	static const struct protocol_fetch good = { .max_bytes = 1, .url = { "https://a", 9 } };
	struct protocol_fetch fetch;
	struct protocol_answer answer, heard;

	(void)state;
	assert_true(protocol_fetch_write(&out, &good));
#define BAD_FETCH(member, ...)                                \
	fetch = good;                                         \
	fetch.member = (__typeof__(fetch.member))__VA_ARGS__; \
	assert_false(protocol_fetch_write(&out, &fetch))
	BAD_FETCH(url, { "", 0 });
	BAD_FETCH(url, { "https://a\r\nHost: b", 18 });
	BAD_FETCH(url, { large, PROTOCOL_URL + 1 });
	BAD_FETCH(content_type, { "a\nb", 3 });
	BAD_FETCH(ca_file, { "/a\0b", 4 });
	BAD_FETCH(body, { large, PROTOCOL_BODY + 1 });
	BAD_FETCH(max_bytes, 0);
	BAD_FETCH(max_bytes, PROTOCOL_BODY + 1);
	answer = (struct protocol_answer){ .ok = false };
	assert_false(protocol_answer_write(&out, &answer)); /* says not why */
	answer = (struct protocol_answer){ .text = SPAN("no"), .status = 200 };
	assert_false(protocol_answer_write(&out, &answer));
	answer = (struct protocol_answer){ .ok = true, .is_tls = true };
	assert_false(protocol_answer_write(&out, &answer));
	answer = (struct protocol_answer){ .ok = true, .body = { large, PROTOCOL_BODY + 1 } };
	assert_false(protocol_answer_write(&out, &answer));
	assert_false(protocol_answer_read(SPAN("\4\0\0\0\0\0\0\0\0\0\0"), &heard)); /* a flag nobody knows */
	assert_false(protocol_answer_read(SPAN("\1\0\310\377\377\377\377\0\0\0\0"), &heard));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(records_come_back_as_they_were_written_and_cut_ones_wait),
		TEST(what_is_no_record_is_refused_as_soon_as_it_shows),
		TEST(the_largest_payload_fits_and_one_byte_more_does_not),
		TEST(requests_and_answers_of_https_come_back_and_cut_ones_do_not),
		TEST(what_no_request_or_answer_may_be_is_neither_written_nor_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
