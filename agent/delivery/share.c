#include "delivery/share.h"

static uint32_t common(uint32_t a, uint32_t b)
{
	while (b) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

void share_begin(struct flow *flow, struct chance *chance)
{
	uint32_t total = 0, divisor = 0;
	uint64_t turns;

	for (size_t i = 0; i < flow->share_count; i++) {
		total += flow->seats[i].weight;
		divisor = common(flow->seats[i].weight, divisor);
	}
	if (flow->share_count < 2)
		return;
	/* Weights are small (route.h), and so is a round. */
	for (turns = chance_below(chance, total / divisor); turns; turns--)
		share_turn(flow, UINT32_MAX);
}

size_t share_turn(struct flow *flow, uint32_t able)
{
	size_t best = SIZE_MAX;
	int64_t total = 0;

	for (size_t i = 0; i < flow->share_count; i++) {
		struct flow_seat *seat = &flow->seats[i];

		if (!(able & 1U << i)) {
			seat->credit = 0;
			continue;
		}
		seat->credit += seat->weight;
		total += seat->weight;
		if (best == SIZE_MAX || seat->credit > flow->seats[best].credit)
			best = i;
	}
	if (best != SIZE_MAX)
		flow->seats[best].credit -= total;
	return best;
}
