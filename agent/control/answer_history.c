#include <string.h>

#include "base/mem.h"
#include "control/answers.h"
#include "control/fields.h"

struct history {
	struct queue_history_at at;
	int64_t now_ms;
	uint64_t found;
	int cost; /* of one look */
};

static void start(struct client *client)
{
	struct history *history = MEM_NEW(struct history);

	memset(&history->at, 0xff, sizeof history->at);
	history->now_ms = loop_wall_ms(client->room->loop);
	history->cost = filter_cost(&client->request.filter);
	client->state = history;
}

static enum client_step finish(struct client *client, const struct history *history, bool more)
{
	return client_done(client, json_pack("{s:I,s:b}", "records", (json_int_t)history->found, "more", more));
}

static bool is_chosen(const struct client *client, const struct history *history, const struct queue_outcome *outcome)
{
	return permit_sees(&client->permit, outcome->uid) &&
	       filter_fits_outcome(&client->request.filter, outcome, history->now_ms);
}

/* Everything further back finished too long ago. */
static bool is_past(const struct client *client, const struct history *history, const struct queue_outcome *outcome)
{
	int64_t newer_ms = client->request.filter.newer_ms;

	return newer_ms >= 0 && history->now_ms - outcome->at_ms > newer_ms;
}

static enum client_step step(struct client *client, int *budget)
{
	struct history *history = client->state;
	uint64_t limit = client->request.filter.limit;
	struct queue_outcome outcome;

	for (; *budget > 0 && client_has_room(client); *budget -= history->cost) {
		struct queue_view *view = queue_view(client->room->queue);
		enum queue_err err = view ? queue_view_history(view, &history->at, &outcome) : QUEUE_IO;

		if (err == QUEUE_NOT_FOUND || (err == QUEUE_OK && is_past(client, history, &outcome)))
			return finish(client, history, false);
		if (err == QUEUE_DAMAGED)
			continue;
		if (err != QUEUE_OK)
			return client_fail_queue(client, err);
		if (!is_chosen(client, history, &outcome))
			continue;
		if (limit && history->found == limit)
			return finish(client, history, true);
		history->found++;
		client_say(client, fields_outcome(&outcome));
	}
	return CLIENT_MORE;
}

static void stop(struct client *client)
{
	mem_free(client->state);
}

const struct client_verb answer_history_verb = { .name = "history", .start = start, .step = step, .stop = stop };
