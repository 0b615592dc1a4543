#include "control/census.h"

#include <stdio.h>
#include <string.h>

void census_init(struct census *census, const struct client *client)
{
	*census = (struct census){ .messages = 0 };
	filter_init(&census->everything);
	census->everything.limit = CENSUS_MESSAGES;
	walk_init_filter(&census->walk, client, &census->everything);
}

void census_fini(struct census *census)
{
	filter_fini(&census->everything);
}

static struct census_target *row_of(struct census *census, const char *name)
{
	for (size_t i = 0; i < census->target_count; i++)
		if (strncmp(census->targets[i].name, name, CENSUS_TARGET_MAX - 1) == 0)
			return &census->targets[i];
	if (census->target_count == CENSUS_TARGETS)
		return NULL;
	snprintf(census->targets[census->target_count].name, CENSUS_TARGET_MAX, "%s", name);
	return &census->targets[census->target_count++];
}

static void count_waiting(struct census *census, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt)
{
	struct census_target *row = row_of(census, rcpt->flow.target);

	if (!row) {
		census->others++;
		return;
	}
	row->recipients++;
	row->later += rcpt->due_ms > census->walk.now_ms;
	if (row->oldest_ms == 0 || envelope->arrival_ms < row->oldest_ms)
		row->oldest_ms = envelope->arrival_ms;
}

static void count_rcpt(struct census *census, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt)
{
	census->recipients++;
	census->doubtful += rcpt->state == QUEUE_RCPT_DOUBTFUL;
	if (rcpt->state == QUEUE_RCPT_FAILED || rcpt->state == QUEUE_RCPT_DELIVERED)
		census->owed++;
	else if (envelope->flags & (QUEUE_HELD | QUEUE_DAMAGED_BODY))
		return;
	else if (envelope->hold_until_ms > census->walk.now_ms)
		census->put_off++;
	else
		count_waiting(census, envelope, rcpt);
}

static void count_message(struct census *census, const struct queue_envelope *envelope, int *budget)
{
	struct queue_rcpt rcpt;

	census->messages++;
	census->bytes += envelope->size_bytes;
	if (census->oldest_ms == 0)
		census->oldest_ms = envelope->arrival_ms;
	if (envelope->flags & QUEUE_DAMAGED_BODY)
		census->damaged++;
	else if (envelope->flags & QUEUE_HELD && envelope->flags & QUEUE_KEPT)
		census->kept++;
	else if (envelope->flags & QUEUE_HELD)
		census->held++;
	for (uint32_t n = 0; walk_rcpt(&census->walk, envelope, n, budget, &rcpt); n = rcpt.n + 1)
		count_rcpt(census, envelope, &rcpt);
}

enum walk_step census_step(struct census *census, int *budget)
{
	struct queue_envelope envelope;
	enum walk_step step;

	while ((step = walk_next(&census->walk, budget, &envelope)) == WALK_FOUND)
		count_message(census, &envelope, budget);
	census->is_cut = census->walk.cut;
	return step;
}
