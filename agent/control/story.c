#include "control/story.h"

#include "control/fields.h"
#include "route.h"

enum { NAMES_MAX = 8 };

/* What a row says of its recipients. */
struct sum {
	uint64_t left, chosen;
	unsigned states; /* bit of enum queue_rcpt_state */
	bool is_sending;
	struct queue_rcpt first;
	json_t *names;
};

static void count(struct sum *sum, struct walk *walk, const struct queue_rcpt *rcpt)
{
	const struct traffic *traffic = walk->client->room->traffic;

	if (sum->chosen++ == 0)
		sum->first = *rcpt;
	sum->states |= 1U << rcpt->state;
	if (sum->chosen <= NAMES_MAX) {
		json_array_append_new(sum->names, fields_text(rcpt->address));
		sum->is_sending |= traffic->is_sending(traffic->self, walk->at, rcpt->n);
	}
}

uint64_t story_left(const struct client *client, uint64_t id, int *budget)
{
	struct queue_view *view = queue_view(client->room->queue);
	struct queue_rcpt rcpt;
	uint64_t left = 0;

	for (uint32_t n = 0; view && queue_view_rcpt_from(view, id, n, &rcpt) == QUEUE_OK; n = rcpt.n + 1, left++)
		--*budget;
	return left;
}

static const char *state_of(const struct queue_envelope *envelope, const struct sum *sum)
{
	if (sum->is_sending)
		return "sending";
	if (envelope->flags & QUEUE_DAMAGED_BODY)
		return "damaged";
	if (envelope->flags & QUEUE_HELD)
		return "held";
	if (sum->states & 1U << QUEUE_RCPT_DOUBTFUL)
		return "doubtful";
	if (sum->states & 1U << QUEUE_RCPT_WAITING)
		return "waiting";
	return sum->states & 1U << QUEUE_RCPT_FAILED ? "failed" : "delivered";
}

/* The gate's word only: the story is told by show and why. */
static void add_gate(json_t *row, const struct walk *walk, const struct sum *sum)
{
	const struct traffic *traffic = walk->client->room->traffic;
	struct traffic_why why = { .gate = TRAFFIC_GATE_NONE };

	if (sum->chosen == 0 || !traffic->why(traffic->self, walk->at, sum->first.n, &why))
		return;
	json_object_set_new(row, "gate", fields_text(traffic_gate_name(why.gate)));
	json_object_set_new(row, "lane", fields_text(why.lane));
	json_object_set_new(row, "until_ms", json_integer(why.until_ms));
}

json_t *story_row(struct walk *walk, const struct queue_envelope *envelope, int *budget)
{
	json_t *row = fields_message(envelope);
	struct sum sum = { .names = json_array() };
	struct queue_rcpt rcpt;

	for (uint32_t n = 0; walk_rcpt(walk, envelope, n, budget, &rcpt); n = rcpt.n + 1)
		count(&sum, walk, &rcpt);
	sum.left = filter_splits(walk->filter) ? story_left(walk->client, envelope->id, budget) : sum.chosen;
	json_object_set_new(row, "state", fields_text(state_of(envelope, &sum)));
	json_object_set_new(row, "recipients", json_integer((json_int_t)sum.left));
	json_object_set_new(row, "chosen", json_integer((json_int_t)sum.chosen));
	json_object_set_new(row, "to", sum.names);
	if (sum.chosen) {
		json_object_set_new(row, "reply", fields_text(sum.first.reply));
		json_object_set_new(row, "host", fields_text(sum.first.host));
		json_object_set_new(row, "attempts", json_integer(sum.first.attempts));
	}
	add_gate(row, walk, &sum);
	return row;
}

json_t *story_rcpt(const struct client *client, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt)
{
	const struct traffic *traffic = client->room->traffic;
	const struct config_route *route =
		route_of(client->room->config, envelope->route, envelope->sender, rcpt->address);
	json_t *object = fields_rcpt(rcpt, route ? route->name : "");
	struct traffic_why why = { .gate = TRAFFIC_GATE_NONE };

	json_object_set_new(object, "id", fields_id(envelope->id));
	if (traffic->is_sending(traffic->self, envelope->id, rcpt->n))
		json_object_set_new(object, "state", json_string("sending"));
	if (traffic->why(traffic->self, envelope->id, rcpt->n, &why))
		fields_add_why(object, &why);
	return object;
}
