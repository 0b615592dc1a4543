#include "control/walk.h"

#include "route.h"

enum { GATE_COST = 4 }; /* what asking the traffic costs, in looks at a record */

void walk_init_filter(struct walk *walk, const struct client *client, const struct filter *filter)
{
	*walk = (struct walk){
		.client = client,
		.filter = filter,
		.now_ms = loop_wall_ms(client->room->loop),
		.at = filter->after,
		.cost = filter_cost(filter),
	};
}

void walk_init(struct walk *walk, const struct client *client)
{
	walk_init_filter(walk, client, &client->request.filter);
}

/* ---------------------------------------------------------------- recipients */

static const char *route_name_of(const struct walk *walk, const struct queue_envelope *envelope,
				 const struct queue_rcpt *rcpt)
{
	const struct config_route *route;

	if (!walk->filter->route)
		return "";
	route = route_of(walk->client->room->config, envelope->route, envelope->sender, rcpt->address);
	return route ? route->name : "";
}

static bool fits(struct walk *walk, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt, int *budget)
{
	const struct traffic *traffic = walk->client->room->traffic;
	struct traffic_why why = { .gate = TRAFFIC_GATE_NONE };

	if (!filter_fits_rcpt(walk->filter, rcpt, route_name_of(walk, envelope, rcpt)))
		return false;
	if (!filter_needs_gate(walk->filter))
		return filter_fits_state(walk->filter, envelope, rcpt, TRAFFIC_GATE_NONE);
	*budget -= GATE_COST;
	if (!traffic->why(traffic->self, envelope->id, rcpt->n, &why))
		return false;
	return filter_fits_state(walk->filter, envelope, rcpt, why.gate);
}

bool walk_rcpt(struct walk *walk, const struct queue_envelope *envelope, uint32_t n, int *budget,
	       struct queue_rcpt *out)
{
	struct queue_rcpt rcpt;

	for (;; n = rcpt.n + 1) {
		struct queue_view *view = queue_view(walk->client->room->queue);

		if (!view || queue_view_rcpt_from(view, envelope->id, n, &rcpt) != QUEUE_OK)
			return false;
		*budget -= walk->cost;
		if (fits(walk, envelope, &rcpt, budget)) {
			*out = rcpt;
			return true;
		}
		if (rcpt.n == UINT32_MAX)
			return false;
	}
}

/* ---------------------------------------------------------------- messages */

static enum queue_err next_id(struct walk *walk, struct queue_view *view)
{
	const struct filter *filter = walk->filter;

	if (filter->id_count == 0)
		return queue_view_next(view, walk->at, &walk->at);
	if (walk->next_id == filter->id_count)
		return QUEUE_NOT_FOUND;
	walk->at = filter->ids[walk->next_id++];
	return QUEUE_OK;
}

/* QUEUE_OK: it is chosen. */
static enum queue_err look(struct walk *walk, struct queue_view *view, int *budget, struct queue_envelope *out)
{
	enum queue_err err = queue_view_envelope(view, walk->at, out);
	struct queue_rcpt rcpt;

	*budget -= walk->cost;
	if (err != QUEUE_OK)
		return err;
	if (!permit_sees(&walk->client->permit, out->uid))
		return QUEUE_NOT_FOUND;
	if (!filter_fits_message(walk->filter, out, walk->now_ms))
		return QUEUE_INVALID;
	if (!filter_splits(walk->filter))
		return QUEUE_OK;
	return walk_rcpt(walk, out, 0, budget, &rcpt) ? QUEUE_OK : QUEUE_INVALID;
}

enum walk_step walk_next(struct walk *walk, int *budget, struct queue_envelope *out)
{
	const struct filter *filter = walk->filter;
	bool is_by_id = filter->id_count > 0;

	while (*budget > 0) {
		struct queue_view *view = queue_view(walk->client->room->queue);
		enum queue_err err = view ? next_id(walk, view) : QUEUE_IO;

		if (err == QUEUE_NOT_FOUND || (err == QUEUE_OK && walk->at > filter->until))
			return WALK_END;
		if (err != QUEUE_OK)
			return WALK_FAILED;
		/* One more is there than was asked for. */
		if (filter->limit && walk->found == filter->limit) {
			walk->cut = true;
			return WALK_END;
		}
		err = look(walk, view, budget, out);
		if (err == QUEUE_OK) {
			walk->found++;
			return WALK_FOUND;
		}
		walk->damaged += err == QUEUE_DAMAGED;
		walk->missing += is_by_id && err == QUEUE_NOT_FOUND;
		if (err == QUEUE_IO || err == QUEUE_NO_MEMORY)
			return WALK_FAILED;
	}
	return WALK_MORE;
}
