/*
 * Arbitrary bytes as records and keys: decoding never reads past them, and what decodes encodes to the same bytes.
 * The first byte says what the rest is; with its highest bit the checksum is made right first, to get behind it.
 */
#include "queue/key.h"
#include "queue/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KINDS = 8 };

static void must_be_same(struct queue_bytes in, const uint8_t *out, size_t size)
{
	assert(size == in.len);
	assert(memcmp(out, in.data, size) == 0);
}

static uint8_t *room(size_t size)
{
	uint8_t *p = malloc(size ? size : 1);

	if (!p)
		abort();
	return p;
}

#define ROUND_TRIP(type, name)                                  \
	do {                                                    \
		type r;                                         \
		if (record_##name##_decode(in, &r)) {           \
			size_t size = record_##name##_size(&r); \
			uint8_t *out = room(size);              \
			record_##name##_encode(out, &r);        \
			must_be_same(in, out, size);            \
			free(out);                              \
		}                                               \
	} while (0)

/* One of an older version is the same but for what it lacks, and is written in the newest. */
static void read_envelope(struct queue_bytes in)
{
	struct record_envelope r, again;
	uint8_t *out;
	size_t size;

	if (!record_envelope_decode(in, &r))
		return;
	size = record_envelope_size(&r);
	out = room(size);
	record_envelope_encode(out, &r);
	if (*(const uint8_t *)in.data == RECORD_ENVELOPE_VERSION) {
		must_be_same(in, out, size);
	} else {
		assert(r.has_all_timers);
		assert(*(const uint8_t *)in.data == 1 ? *r.e.route == '\0' && size == in.len + 3 : size == in.len);
		assert(memcmp(out + 8, (const uint8_t *)in.data + 8, in.len - 8) == 0);
		assert(record_envelope_decode((struct queue_bytes){ out, size }, &again));
	}
	free(out);
}

static void decode(unsigned kind, struct queue_bytes in)
{
	struct record_counters counters;
	struct record_loose loose;
	uint8_t fixed[RECORD_COUNTERS_SIZE];

	switch (kind) {
	case 0: read_envelope(in); break;
	case 1: ROUND_TRIP(struct queue_rcpt, rcpt); break;
	case 2: ROUND_TRIP(struct record_flow, flow); break;
	case 3: ROUND_TRIP(struct queue_lane, lane); break;
	case 4: ROUND_TRIP(struct queue_outcome, outcome); break;
	case 5:
		if (record_counters_decode(in, &counters)) {
			record_counters_encode(fixed, &counters);
			must_be_same(in, fixed, RECORD_COUNTERS_SIZE);
		}
		break;
	case 6:
		if (record_loose_decode(in, &loose)) {
			record_loose_encode(fixed, &loose);
			must_be_same(in, fixed, RECORD_LOOSE_SIZE);
		}
		break;
	default: break;
	}
}

static void read_keys(struct queue_bytes in)
{
	struct key_mail_parts mail;
	struct queue_due due;
	struct queue_timer timer;
	struct queue_history_at at;
	uint8_t out[KEY_DUE];
	uint32_t id;
	uint64_t number;

	if (key_mail_read(in, &mail)) {
		key_mail(out, mail.id, mail.part, mail.n);
		must_be_same(in, out, KEY_MAIL);
	}
	if (key_due_read(in, &id, &due) && due.due_ms >= 0) {
		key_due(out, id, due.due_ms, due.id, due.n);
		must_be_same(in, out, KEY_DUE);
	}
	if (key_timer_read(in, &timer) && timer.when_ms >= 0) {
		key_timer(out, timer);
		must_be_same(in, out, KEY_TIMER);
	}
	if (key_history_read(in, &at)) {
		key_history(out, at.at_ms, at.id, at.n);
		must_be_same(in, out, KEY_HISTORY);
	}
	if (key_history_of_read(in, &at)) {
		key_history_of(out, at.id, at.at_ms, at.n);
		must_be_same(in, out, KEY_HISTORY_OF);
	}
	if (key_flow_name_read(in, &number, &id)) {
		key_flow_name(out, number, id);
		must_be_same(in, out, KEY_FLOW_NAME);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct queue_bytes in;
	uint8_t *copy;

	if (size < 1)
		return 0;
	/* An allocation of its own, so that the sanitizer sees a read past its end. */
	copy = room(size - 1);
	memcpy(copy, data + 1, size - 1);
	in = (struct queue_bytes){ .data = copy, .len = size - 1 };
	if ((data[0] & 0x80) && in.len >= 8)
		record_seal(copy, in.len);
	decode((data[0] & 0x7f) % KINDS, in);
	read_keys(in);
	free(copy);
	return 0;
}
