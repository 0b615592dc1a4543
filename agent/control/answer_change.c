/*
 * flush, hold, release and remove: one operation for each message, so that one that fails leaves the others alone;
 * the queue gathers them into few commits, and only so many wait at a time. A dry run looks and changes nothing.
 */
#include <stdio.h>

#include "base/mem.h"
#include "control/answers.h"
#include "control/fields.h"
#include "control/story.h"
#include "log.h"
#include "route.h"

enum {
	IN_FLIGHT_MAX = 256,
	SHOWN_MAX = 20, /* rows of a dry run */
	PROGRESS_MS = 250,
	FLUSH_PAUSE_MS = 60000, /* between two attempts that one who may not do everything asks for */
	LANES_MAX = 64,         /* noted, then woken */
	CHANGE_COST = 4,
};

enum kind { FLUSH, HOLD, RELEASE, REMOVE };

struct change {
	struct walk walk;
	enum kind kind;
	char by[32];
	bool is_over;                         /* nothing more to find */
	uint64_t messages, recipients, bytes; /* chosen, where there is something to change */
	uint64_t last;                        /* the newest that was looked at */
	uint64_t done, failed, sending;
	enum queue_err error;          /* the first */
	uint64_t forbidden;            /* held by an administrator, and not theirs to release */
	uint64_t again[IN_FLIGHT_MAX]; /* the queue had too much to write: tried again */
	size_t again_count;
	char lanes[LANES_MAX][ROUTE_LANE_SIZE]; /* flush: those that the mail goes by */
	size_t lane_count;
	int64_t told_ms; /* of the last progress */
};

/* What an operation changes, for the log when it is done. */
struct words {
	uint64_t id;
	uint64_t recipients;
	enum kind kind;
	char by[32];
};

static const char *const events[] = {
	[FLUSH] = "flushed", [HOLD] = "held", [RELEASE] = "released", [REMOVE] = "removed"
};

static void start(struct client *client, enum kind kind)
{
	struct change *change = MEM_NEW(struct change);

	/* To flush is harmless: without a word about which, it means all. */
	if (kind == FLUSH && !filter_chooses(&client->request.filter))
		client->request.filter.all = true;
	walk_init(&change->walk, client);
	change->kind = kind;
	if (client->permit.uid == 0)
		snprintf(change->by, sizeof change->by, "root");
	else
		snprintf(change->by, sizeof change->by, "uid:%u", (unsigned)client->permit.uid);
	client->state = change;
}

static void start_flush(struct client *client)
{
	start(client, FLUSH);
}

static void start_hold(struct client *client)
{
	start(client, HOLD);
}

static void start_release(struct client *client)
{
	start(client, RELEASE);
}

static void start_remove(struct client *client)
{
	start(client, REMOVE);
}

/* ---------------------------------------------------------------- one message */

/* A lane's backoff is everybody's: not for those who may handle their own mail only. */
static bool may_wake(const struct client *client)
{
	return client->permit.all && !client->request.dry_run && !client->request.filter.all;
}

static void wake_noted(struct change *change)
{
	const struct traffic *traffic = change->walk.client->room->traffic;

	for (size_t i = 0; i < change->lane_count; i++)
		traffic->wake(traffic->self, change->lanes[i]);
	change->lane_count = 0;
}

static void note_lane(struct change *change, struct span name)
{
	for (size_t i = 0; i < change->lane_count; i++)
		if (span_equals(span_str(change->lanes[i]), name))
			return;
	if (name.len >= ROUTE_LANE_SIZE)
		return;
	if (change->lane_count == LANES_MAX) /* there may be a lane for every domain: one woken twice does no harm */
		wake_noted(change);
	snprintf(change->lanes[change->lane_count++], ROUTE_LANE_SIZE, "%.*s", SPAN_ARGS(name));
}

static void note_lanes(struct change *change, const char *target)
{
	struct span rest = span_str(target), name;
	uint32_t weight;

	while (may_wake(change->walk.client) && route_next(&rest, &name, &weight))
		note_lane(change, name);
}

static bool may_flush(const struct change *change, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt)
{
	const struct client *client = change->walk.client;
	int64_t now_ms = change->walk.now_ms;

	if (rcpt->state != QUEUE_RCPT_WAITING && rcpt->state != QUEUE_RCPT_DOUBTFUL)
		return false;
	/* What its sender put off, or an operator holds, is not hurried along with the rest. */
	if ((envelope->flags & QUEUE_HELD) || (envelope->hold_until_ms > now_ms && !client->request.filter.id_count))
		return false;
	return client->permit.all || rcpt->last_ms == 0 || now_ms - rcpt->last_ms >= FLUSH_PAUSE_MS;
}

/* What is to be done about one recipient is added to `op` (NULL: a dry run), if it takes more than a word to the
 * lanes. False: there is nothing to do. */
static bool change_rcpt(struct change *change, struct queue_op *op, const struct queue_envelope *envelope,
			const struct queue_rcpt *rcpt, bool *out_is_step)
{
	const struct client *client = change->walk.client;
	int64_t now_ms = change->walk.now_ms;

	*out_is_step = true;
	switch (change->kind) {
	case FLUSH:
		if (!may_flush(change, envelope, rcpt))
			return false;
		note_lanes(change, rcpt->flow.target);
		*out_is_step = rcpt->due_ms > now_ms;
		if (op && *out_is_step)
			queue_op_due(op, envelope->id, rcpt->n, now_ms);
		return true;
	case REMOVE:
		if (op)
			queue_op_remove(op, envelope->id, rcpt->n, change->by, now_ms);
		return true;
	case HOLD:
		/* An administrator's hold goes over its owner's. */
		return !(envelope->flags & QUEUE_HELD) ||
		       (client->permit.all && !(envelope->flags & QUEUE_HELD_BY_OPERATOR));
	case RELEASE: return (envelope->flags & QUEUE_HELD) || envelope->hold_until_ms > now_ms;
	}
	return false;
}

/* Holding and releasing are about whole messages. */
static void change_message(const struct change *change, struct queue_op *op, const struct queue_envelope *envelope)
{
	int64_t now_ms = change->walk.now_ms;

	uint32_t hold = QUEUE_HELD | (change->walk.client->permit.all ? QUEUE_HELD_BY_OPERATOR : 0);

	if (change->kind == HOLD)
		queue_op_flags(op, envelope->id, hold, 0, now_ms);
	if (change->kind == RELEASE && (envelope->flags & QUEUE_HELD))
		queue_op_flags(op, envelope->id, 0, QUEUE_HELD | QUEUE_HELD_BY_OPERATOR | QUEUE_DAMAGED_BODY, now_ms);
	else if (change->kind == RELEASE)
		queue_op_due(op, envelope->id, QUEUE_ALL, now_ms);
}

static void on_told(struct client *client, void *arg, enum queue_err err)
{
	struct words *words = arg;
	struct change *change = client ? client->state : NULL;

	if (err == QUEUE_OK && words->kind != FLUSH)
		log_event(LOG_LEVEL_NOTICE, events[words->kind], LOG_ID(words->id), LOG_TEXT("by", words->by),
			  LOG_NUM("recipients", words->recipients));
	if (!change)
		return;
	if (err == QUEUE_OK) {
		change->done++;
	} else if (err == QUEUE_BUSY) {
		change->again[change->again_count++] = words->id;
	} else if (err != QUEUE_NOT_FOUND) {
		change->failed++;
		change->error = change->error == QUEUE_OK ? err : change->error;
	}
}

static void submit(struct client *client, struct change *change, struct queue_op *op, uint64_t id, uint64_t recipients)
{
	struct words *words = MEM_NEW(struct words);

	words->id = id;
	words->recipients = recipients;
	words->kind = change->kind;
	snprintf(words->by, sizeof words->by, "%s", change->by);
	client_submit(client, op, on_told, words);
}

/* How many recipients there are to change; with an operation, they are changed. */
static uint64_t change_rcpts(struct change *change, struct queue_op *op, const struct queue_envelope *envelope,
			     int *budget, uint64_t *out_steps)
{
	const struct traffic *traffic = change->walk.client->room->traffic;
	struct queue_rcpt rcpt;
	uint64_t count = 0, steps = 0;
	bool is_step;

	for (uint32_t n = 0; walk_rcpt(&change->walk, envelope, n, budget, &rcpt); n = rcpt.n + 1) {
		if (!change_rcpt(change, op, envelope, &rcpt, &is_step))
			continue;
		count++;
		steps += is_step;
		if (change->kind == REMOVE && traffic->is_sending(traffic->self, envelope->id, rcpt.n))
			change->sending++;
	}
	*out_steps = steps;
	/* Messages are held and released as a whole. */
	if (count && (change->kind == HOLD || change->kind == RELEASE))
		return story_left(change->walk.client, envelope->id, budget);
	return count;
}

static bool is_forbidden(const struct change *change, const struct queue_envelope *envelope)
{
	return change->kind == RELEASE && !permit_releases(&change->walk.client->permit, envelope->flags);
}

static void change_one(struct client *client, struct change *change, const struct queue_envelope *envelope, int *budget)
{
	struct queue_op *op = queue_op_new(client->room->queue);
	uint64_t steps, count = change_rcpts(change, op, envelope, budget, &steps);

	*budget -= CHANGE_COST;
	if (steps == 0 || is_forbidden(change, envelope)) {
		queue_op_free(op);
		if (steps)
			change->forbidden++;
		else
			change->done += count > 0;
		return;
	}
	change_message(change, op, envelope);
	submit(client, change, op, envelope->id, count);
}

/* ---------------------------------------------------------------- all of them */

static void look_one(struct client *client, struct change *change, const struct queue_envelope *envelope, int *budget)
{
	uint64_t steps, count = change_rcpts(change, NULL, envelope, budget, &steps);

	if (count == 0)
		return;
	change->messages++;
	change->recipients += count;
	change->bytes += envelope->size_bytes;
	if (change->messages <= SHOWN_MAX)
		client_say(client, story_row(&change->walk, envelope, budget));
}

static void retry_one(struct client *client, struct change *change, int *budget)
{
	uint64_t id = change->again[--change->again_count];
	struct queue_view *view = queue_view(client->room->queue);
	struct queue_envelope envelope;

	if (view && queue_view_envelope(view, id, &envelope) == QUEUE_OK)
		change_one(client, change, &envelope, budget);
}

static void wake_lanes(struct client *client, struct change *change)
{
	const struct traffic *traffic = client->room->traffic;

	if (client->permit.all && !client->request.dry_run && client->request.filter.all)
		traffic->wake(traffic->self, NULL);
	else
		wake_noted(change);
}

static enum client_step finish(struct client *client, struct change *change)
{
	json_t *facts = json_pack("{s:I,s:I,s:I}", "missing", (json_int_t)change->walk.missing, "damaged",
				  (json_int_t)change->walk.damaged, "sending", (json_int_t)change->sending);

	if (change->kind == FLUSH)
		wake_lanes(client, change);
	if (client->request.dry_run) {
		json_object_set_new(facts, "messages", json_integer((json_int_t)change->messages));
		json_object_set_new(facts, "recipients", json_integer((json_int_t)change->recipients));
		json_object_set_new(facts, "bytes", json_integer((json_int_t)change->bytes));
		json_object_set_new(facts, "last", fields_id(change->last));
	} else {
		json_object_set_new(facts, "messages", json_integer((json_int_t)change->done));
		json_object_set_new(facts, "failed", json_integer((json_int_t)(change->failed + change->forbidden)));
	}
	if (change->forbidden)
		json_object_set_new(facts, "why", json_string("an administrator holds it"));
	if (change->error != QUEUE_OK)
		json_object_set_new(facts, "why", json_string(queue_err_text(change->error)));
	return client_done(client, facts);
}

static void tell_progress(struct client *client, struct change *change)
{
	int64_t now_ms = loop_now_ms(client->room->loop);

	if (client->request.dry_run || now_ms - change->told_ms < PROGRESS_MS)
		return;
	if (change->told_ms)
		client_say(client, json_pack("{s:s,s:I}", "type", "progress", "messages", (json_int_t)change->done));
	change->told_ms = now_ms;
}

/* After the queue had too much to write, everything given to it is waited for before the next try. */
static bool may_submit(const struct client *client, const struct change *change)
{
	return change->again_count ? client->op_count == 0 : client->op_count < IN_FLIGHT_MAX;
}

static enum client_step step(struct client *client, int *budget)
{
	struct change *change = client->state;
	struct queue_envelope envelope;

	tell_progress(client, change);
	while (*budget > 0 && client_has_room(client)) {
		if (change->is_over && change->again_count == 0)
			return client->op_count ? CLIENT_WAIT : finish(client, change);
		if (!may_submit(client, change))
			return CLIENT_WAIT;
		if (change->again_count) {
			retry_one(client, change, budget);
			continue;
		}
		switch (walk_next(&change->walk, budget, &envelope)) {
		case WALK_FOUND:
			change->last = envelope.id;
			if (client->request.dry_run)
				look_one(client, change, &envelope, budget);
			else
				change_one(client, change, &envelope, budget);
			break;
		case WALK_MORE: return CLIENT_MORE;
		case WALK_END: change->is_over = true; break;
		case WALK_FAILED: return client_fail_queue(client, QUEUE_IO);
		}
	}
	return CLIENT_MORE;
}

static void stop(struct client *client)
{
	mem_free(client->state);
}

const struct client_verb answer_change_flush_verb = {
	.name = "flush", .start = start_flush, .step = step, .stop = stop
};
const struct client_verb answer_change_hold_verb = {
	.name = "hold", .needs = CLIENT_CHOICE, .start = start_hold, .step = step, .stop = stop
};
const struct client_verb answer_change_release_verb = {
	.name = "release", .needs = CLIENT_CHOICE, .start = start_release, .step = step, .stop = stop
};
const struct client_verb answer_change_remove_verb = {
	.name = "remove", .needs = CLIENT_CHOICE, .start = start_remove, .step = step, .stop = stop
};
