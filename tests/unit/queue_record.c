/* The disk format: what is written is read, keys sort as their numbers do, and nothing else is believed. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "queue/key.h"
#include "queue/record.h"

#include <stdlib.h>
#include <string.h>

static const struct record_envelope envelope = {
	.e = { .arrival_ms = 1700000000000,
	       .sender = "alice@example.org",
	       .submitter = "uid:1000",
	       .uid = 1000,
	       .origin = "loopback",
	       .message_id = "<1@x>",
	       .subject = "Hello",
	       .route = "office",
	       .size_bytes = 1234,
	       .chunks = 1,
	       .rcpt_count = 2,
	       .priority = -9,
	       .flags = QUEUE_HELD },
	.timer_ms = { 1, 2, 3, 4 },
};

static uint8_t *encode(size_t *out_len)
{
	uint8_t *p;

	*out_len = record_envelope_size(&envelope);
	p = malloc(*out_len);
	assert_non_null(p);
	record_envelope_encode(p, &envelope);
	return p;
}

static void the_format_is_the_one_written_down(void **state)
{
	/* Byte for byte: a change here is a new schema. */
	static const uint8_t want[] = { 1, 3, 0, 0, 0, 0,   0,   0, 0x2a, 0, 0,   0,   0,   0,   0,   0, 7,
					0, 0, 0, 2, 0, 'm', 'x', 0, 5,    0, 'u', 'i', 'd', ':', '0', 0 };
	struct record_flow f = { .wake_ms = 42, .flow = { "mx", "uid:0", 7 } };
	uint8_t got[sizeof want];

	(void)state;
	assert_int_equal(record_flow_size(&f), sizeof want);
	record_flow_encode(got, &f);
	memset(got + 4, 0, 4); /* the checksum */
	assert_memory_equal(got, want, sizeof want);
}

static void a_record_cut_anywhere_is_damaged(void **state)
{
	struct record_envelope out;
	size_t len;
	uint8_t *p = encode(&len);

	(void)state;
	for (size_t cut = 0; cut < len; cut++) {
		uint8_t *copy = malloc(cut + 1);

		memcpy(copy, p, cut);
		assert_false(record_envelope_decode((struct queue_bytes){ copy, cut }, &out));
		/* Also with a right checksum. */
		if (cut >= 8)
			record_seal(copy, cut);
		assert_false(record_envelope_decode((struct queue_bytes){ copy, cut }, &out));
		free(copy);
	}
	assert_true(record_envelope_decode((struct queue_bytes){ p, len }, &out));
	assert_string_equal(out.e.subject, "Hello");
	assert_string_equal(out.e.route, "office");
	assert_true(out.e.priority == -9 && out.timer_ms[3] == 4);
	free(p);
}

static void a_record_with_any_bit_flipped_is_damaged(void **state)
{
	struct record_envelope out;
	size_t len;
	uint8_t *p = encode(&len);

	(void)state;
	for (size_t bit = 0; bit < 8 * len; bit++) {
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(record_envelope_decode((struct queue_bytes){ p, len }, &out));
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	free(p);
}

/* As an agent wrote it that knew no routes: without the last text. */
static uint8_t *encode_first_version(size_t *out_len)
{
	uint8_t *p = encode(out_len);

	*out_len -= 2 + sizeof "office";
	p[0] = 1;
	record_seal(p, *out_len);
	return p;
}

static void an_envelope_of_the_first_version_is_read_and_changed_in_place(void **state)
{
	struct record_envelope out;
	size_t len;
	uint8_t *p = encode_first_version(&len);

	(void)state;
	assert_true(record_envelope_decode((struct queue_bytes){ p, len }, &out));
	assert_string_equal(out.e.subject, "Hello");
	assert_string_equal(out.e.route, "");
	record_patch_flags(p, QUEUE_WARNED);
	record_patch_timer(p, QUEUE_TIMER_REPORT, 99);
	record_seal(p, len);
	assert_true(record_envelope_decode((struct queue_bytes){ p, len }, &out));
	assert_true(out.e.flags == QUEUE_WARNED && out.timer_ms[QUEUE_TIMER_REPORT] == 99);
	free(p);
}

static void a_version_must_fit_what_follows(void **state)
{
	struct record_envelope out;
	struct queue_rcpt rcpt = { .address = "a@x" }, back;
	size_t len;
	uint8_t *p = encode(&len);

	(void)state;
	for (int version = 0; version < 5; version++) {
		p[0] = (uint8_t)version;
		record_seal(p, len);
		assert_int_equal(record_envelope_decode((struct queue_bytes){ p, len }, &out),
				 version == 2 || version == RECORD_ENVELOPE_VERSION);
	}
	free(p);
	p = encode_first_version(&len);
	p[0] = RECORD_ENVELOPE_VERSION;
	record_seal(p, len);
	assert_false(record_envelope_decode((struct queue_bytes){ p, len }, &out));
	free(p);
	len = record_rcpt_size(&rcpt);
	p = malloc(len);
	assert_non_null(p);
	record_rcpt_encode(p, &rcpt);
	assert_true(record_rcpt_decode((struct queue_bytes){ p, len }, &back));
	p[0] = RECORD_ENVELOPE_VERSION;
	record_seal(p, len);
	assert_false(record_rcpt_decode((struct queue_bytes){ p, len }, &back));
	free(p);
}

static void fields_are_changed_in_place(void **state)
{
	struct record_envelope out;
	size_t len;
	uint8_t *p = encode(&len);

	(void)state;
	record_patch_flags(p, QUEUE_WARNED);
	record_patch_timer(p, QUEUE_TIMER_REPORT, 99);
	assert_false(record_envelope_decode((struct queue_bytes){ p, len }, &out));
	record_seal(p, len);
	assert_true(record_envelope_decode((struct queue_bytes){ p, len }, &out));
	assert_true(out.e.flags == QUEUE_WARNED && out.timer_ms[QUEUE_TIMER_REPORT] == 99 && out.timer_ms[2] == 3);
	free(p);
}

static void keys_sort_as_their_numbers_do(void **state)
{
	static const uint64_t values[] = { 0, 1, 255, 256, 65535, 0x7fffffff, 0x80000000u, 0xffffffffu };
	enum { VALUES = sizeof values / sizeof *values };
	uint8_t a[KEY_DUE], b[KEY_DUE];

	(void)state;
	for (int i = 0; i < VALUES - 1; i++) {
		key_due(a, 5, (int64_t)values[i], UINT64_MAX, UINT32_MAX);
		key_due(b, 5, (int64_t)values[i + 1], 0, 0);
		assert_true(memcmp(a, b, KEY_DUE) < 0);
		key_due(a, (uint32_t)values[i], INT64_MAX, 0, 0);
		key_due(b, (uint32_t)values[i + 1], 0, 0, 0);
		assert_true(memcmp(a, b, KEY_DUE) < 0);
		key_mail(a, 9, KEY_RCPT, (uint32_t)values[i]);
		key_mail(b, 9, KEY_RCPT, (uint32_t)values[i + 1]);
		assert_true(memcmp(a, b, KEY_MAIL) < 0);
	}
	/* Times before 1970 are taken for zero, not for the end of time. */
	key_due(a, 5, -1, 1, 1);
	key_due(b, 5, 0, 1, 1);
	assert_memory_equal(a, b, KEY_DUE);
}

static void flows_that_differ_in_anything_hash_apart(void **state)
{
	const struct queue_flow flows[] = {
		{ "mx:a", "uid:1", 1 }, { "mx:a", "uid:1", 2 }, { "mx:a", "uid:2", 1 },
		{ "mx:b", "uid:1", 1 }, { "mx:au", "id:1", 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof flows / sizeof *flows; i++)
		for (size_t j = 0; j < i; j++)
			assert_true(record_flow_hash(&flows[i]) != record_flow_hash(&flows[j]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_format_is_the_one_written_down),
		cmocka_unit_test(a_record_cut_anywhere_is_damaged),
		cmocka_unit_test(a_record_with_any_bit_flipped_is_damaged),
		cmocka_unit_test(an_envelope_of_the_first_version_is_read_and_changed_in_place),
		cmocka_unit_test(a_version_must_fit_what_follows),
		cmocka_unit_test(fields_are_changed_in_place),
		cmocka_unit_test(keys_sort_as_their_numbers_do),
		cmocka_unit_test(flows_that_differ_in_anything_hash_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
