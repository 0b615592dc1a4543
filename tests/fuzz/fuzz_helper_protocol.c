/* Records between agent and helper: whatever is read can be written again, and is the same. */
#include <assert.h>
#include <stdint.h>

#include "helper/protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What FETCH and ANSWER carry, likewise. */
static void read_payload(struct span payload)
{
	struct protocol_answer answer;
	struct protocol_fetch fetch;
	struct buf again;

	buf_init(&again, PROTOCOL_PAYLOAD);
	if (protocol_fetch_read(payload, &fetch))
		assert(protocol_fetch_write(&again, &fetch) && span_equals(buf_span(&again), payload));
	buf_clear(&again);
	if (protocol_answer_read(payload, &answer))
		assert(protocol_answer_write(&again, &answer) && span_equals(buf_span(&again), payload));
	buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_of(data, size);
	struct protocol_record record;
	struct buf again;
	size_t used;

	buf_init(&again, PROTOCOL_RECORD);
	while (protocol_read(rest, &record, &used) == PROTOCOL_DONE) {
		read_payload(record.payload);
		buf_clear(&again);
		assert(used <= rest.len && protocol_write(&again, &record));
		assert(span_equals(buf_span(&again), span_first(rest, used)));
		assert(protocol_read(span_first(rest, used - 1), &record, &used) == PROTOCOL_MORE);
		rest = span_from(rest, used);
	}
	buf_fini(&again);
	return 0;
}
