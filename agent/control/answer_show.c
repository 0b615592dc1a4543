/* show and why: one message, then its recipients, then (show) how the others of them ended. */
#include "base/mem.h"
#include "control/answers.h"
#include "control/fields.h"
#include "control/story.h"

struct show {
	enum { MESSAGE, RECIPIENTS, HISTORY } phase;
	uint32_t n;       /* the next recipient */
	uint32_t history; /* the next record */
	uint64_t told;
	bool is_found; /* queued, or in the history, and theirs to see */
};

static void start(struct client *client)
{
	client->state = MEM_NEW(struct show);
}

static enum client_step not_found(struct client *client)
{
	return client_fail_queue(client, QUEUE_NOT_FOUND);
}

static enum queue_err find(struct client *client, struct queue_view **out_view, struct queue_envelope *out)
{
	enum queue_err err;

	*out_view = queue_view(client->room->queue);
	err = *out_view ? queue_view_envelope(*out_view, client->request.id, out) : QUEUE_IO;
	return err == QUEUE_OK && !permit_sees(&client->permit, out->uid) ? QUEUE_NOT_FOUND : err;
}

/* QUEUE_OK: one more was told. */
static enum queue_err tell_rcpt(struct client *client, struct show *show)
{
	struct queue_view *view;
	struct queue_envelope envelope;
	struct queue_rcpt rcpt;
	enum queue_err err = find(client, &view, &envelope);

	if (err == QUEUE_OK)
		err = queue_view_rcpt_from(view, client->request.id, show->n, &rcpt);
	if (err != QUEUE_OK)
		return err;
	show->n = rcpt.n + 1;
	show->told++;
	client_say(client, story_rcpt(client, &envelope, &rcpt));
	return QUEUE_OK;
}

static enum queue_err tell_history(struct client *client, struct show *show)
{
	struct queue_view *view = queue_view(client->room->queue);
	struct queue_outcome outcome;
	enum queue_err err =
		view ? queue_view_history_of(view, client->request.id, &show->history, &outcome) : QUEUE_IO;

	if (err != QUEUE_OK)
		return err;
	if (permit_sees(&client->permit, outcome.uid)) {
		show->is_found = true;
		client_say(client, fields_outcome(&outcome));
	}
	return QUEUE_OK;
}

static enum queue_err tell_message(struct client *client, struct show *show)
{
	struct queue_view *view;
	struct queue_envelope envelope;
	enum queue_err err = find(client, &view, &envelope);

	if (err == QUEUE_OK) {
		show->is_found = true;
		client_say(client, fields_message(&envelope));
	}
	return err;
}

static enum client_step step(struct client *client, int *budget)
{
	struct show *show = client->state;
	bool is_why = client->verb == &answer_show_why_verb;
	enum queue_err err = QUEUE_OK;

	for (; *budget > 0 && client_has_room(client); --*budget) {
		switch (show->phase) {
		case MESSAGE: err = tell_message(client, show); break;
		case RECIPIENTS: err = tell_rcpt(client, show); break;
		case HISTORY: err = tell_history(client, show); break;
		}
		if (err != QUEUE_OK && err != QUEUE_NOT_FOUND)
			return client_fail_queue(client, err);
		if (err == QUEUE_NOT_FOUND && show->phase == HISTORY)
			return show->is_found ? client_done(client, NULL) : not_found(client);
		/* A message that has left, or leaves meanwhile, still has its history. */
		if (err == QUEUE_NOT_FOUND && is_why && show->phase == RECIPIENTS && show->told)
			return client_done(client, NULL);
		if (err == QUEUE_NOT_FOUND)
			show->phase = HISTORY;
		else if (show->phase == MESSAGE)
			show->phase = RECIPIENTS;
	}
	return CLIENT_MORE;
}

static void stop(struct client *client)
{
	mem_free(client->state);
}

const struct client_verb answer_show_verb = {
	.name = "show", .needs = CLIENT_ID, .start = start, .step = step, .stop = stop
};
const struct client_verb answer_show_why_verb = {
	.name = "why", .needs = CLIENT_ID, .start = start, .step = step, .stop = stop
};
