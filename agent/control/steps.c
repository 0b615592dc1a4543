#include "control/steps.h"

#include "control/fields.h"

static const char *end_name(enum traffic_step_end end)
{
	switch (end) {
	case TRAFFIC_STEP_WELL: return "well";
	case TRAFFIC_STEP_NOTE: return "note";
	case TRAFFIC_STEP_FAILED: return "failed";
	}
	return "failed";
}

static void heard(void *arg, const struct traffic_step *step)
{
	struct steps *steps = arg;
	json_t *row;

	if (steps->count++ < STEPS_MAX || step->is_last) {
		row = json_pack("{s:s,s:s,s:s}", "type", "step", "what", step->what, "end", end_name(step->end));
		json_object_set_new(row, "host", fields_text(step->host));
		json_object_set_new(row, "text", fields_text(step->text));
		json_object_set_new(row, "advice", fields_text(step->advice));
		if (step->took_ms >= 0)
			json_object_set_new(row, "took_ms", json_integer(step->took_ms));
		json_array_append_new(steps->rows, row);
	} else {
		steps->lost++;
	}
	if (step->is_last) {
		steps->is_over = true;
		steps->end = step->end;
		steps->walk = NULL;
	}
	client_wake(steps->client);
}

bool steps_start(struct steps *steps, struct client *client, struct traffic_walk_setup setup, char *why,
		 size_t why_size)
{
	const struct traffic *traffic = client->room->traffic;

	*steps = (struct steps){ .client = client, .rows = json_array() };
	setup.step = heard;
	setup.arg = steps;
	steps->walk = traffic->walk(traffic->self, &setup, why, why_size);
	return steps->walk;
}

bool steps_say(struct steps *steps)
{
	while (json_array_size(steps->rows) && client_has_room(steps->client)) {
		json_t *row = json_incref(json_array_get(steps->rows, 0));

		json_array_remove(steps->rows, 0);
		client_say(steps->client, row);
	}
	return steps->is_over && !json_array_size(steps->rows);
}

void steps_stop(struct steps *steps)
{
	const struct traffic *traffic = steps->client ? steps->client->room->traffic : NULL;

	if (traffic && steps->walk)
		traffic->walk_cancel(traffic->self, steps->walk);
	steps->walk = NULL;
	json_decref(steps->rows);
	steps->rows = NULL;
}
