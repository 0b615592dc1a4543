/* A line from the control socket; what is understood is also applied. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "control/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(const struct filter *filter)
{
	const struct queue_envelope envelope = {
		.id = 42, .arrival_ms = 1000, .sender = "a@example.org", .submitter = "uid:1000", .flags = QUEUE_HELD
	};
	const struct queue_rcpt rcpt = { .address = "b@example.net",
					 .flow = { "work,backup", "uid:1000", 1 },
					 .reply = "450 4.2.0 x",
					 .host = "mx" };
	const struct queue_outcome outcome = { .id = 42,
					       .kind = QUEUE_BOUNCED,
					       .sender = "",
					       .address = "b",
					       .lane = "work",
					       .submitter = "self",
					       .reply = "550",
					       .host = "" };

	filter_fits_message(filter, &envelope, 100000);
	filter_fits_rcpt(filter, &rcpt, "rule");
	filter_fits_state(filter, &envelope, &rcpt, TRAFFIC_GATE_HELD);
	filter_fits_outcome(filter, &outcome, 100000);
	filter_chooses(filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request request;
	char why[256] = "";

	if (request_parse(span_of(data, size), &request, why, sizeof why)) {
		for (size_t i = 1; i < request.filter.id_count; i++)
			if (request.filter.ids[i - 1] >= request.filter.ids[i])
				__builtin_trap();
		if (!memchr(request.verb, 0, sizeof request.verb))
			__builtin_trap();
		apply(&request.filter);
		request_fini(&request);
	} else if (!why[0]) {
		__builtin_trap();
	}
	return 0;
}
