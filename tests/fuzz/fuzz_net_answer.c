/* DNS messages from a resolver: every record stays inside the message, and reading ends. */
#include <assert.h>
#include <stdint.h>

#include "net/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = { ANSWER_A, ANSWER_AAAA, ANSWER_CNAME };
	const char *message = (const char *)data;

	if (size > 4096)
		return 0;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct answer answer;
		struct answer_record record;

		if (!answer_open(&answer, span_of(data, size), "mx.example.org", true))
			continue;
		assert(memchr(answer.name, '\0', sizeof(answer.name)));
		while (answer_next(&answer, types[i], &record)) {
			assert(record.data.data >= message && record.data.data + record.data.len <= message + size);
			assert(record.type == types[i] && answer.ttl_s <= record.ttl_s);
		}
	}
	return 0;
}
