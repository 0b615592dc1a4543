/*
 * Waits until the queue is empty, and says how far it is. Ends early when the time is up, or when all that is left
 * waits for somebody to do something, for then nothing moves however long one waits. (sendoff(1) asks for a flush
 * first.)
 */
#include "base/mem.h"
#include "control/answers.h"
#include "control/walk.h"

enum {
	TICK_MS = 100,
	TELL_MS = 250,
	LOOK_MS = 1000, /* after nothing has moved for this long, it is asked whether anything can */
};

struct drain {
	struct filter everything;
	struct walk walk;
	bool is_looking;
	int64_t deadline_ms; /* boot time; INT64_MAX: none */
	int64_t moved_ms, told_ms;
	uint64_t left, settled; /* when it last moved */
};

/* All that an outcome changes. */
static uint64_t settled_of(const struct traffic_summary *summary)
{
	return summary->delivered + summary->deferred + summary->bounced + summary->doubtful;
}

static void start(struct client *client)
{
	struct drain *drain = MEM_NEW(struct drain);
	const struct reception *reception = client->room->reception;
	int64_t now_ms = loop_now_ms(client->room->loop), timeout_ms = client->request.timeout_ms;

	filter_init(&drain->everything);
	drain->deadline_ms = timeout_ms && timeout_ms < INT64_MAX - now_ms ? now_ms + timeout_ms : INT64_MAX;
	drain->moved_ms = now_ms;
	drain->left = UINT64_MAX;
	client->state = drain;
	if (client->request.close) {
		client->is_closer = true;
		if (client->room->closers++ == 0)
			reception->close(reception->self, true);
	}
}

static bool is_stuck(const struct traffic_why *why)
{
	switch (why->gate) {
	case TRAFFIC_GATE_HELD:
	case TRAFFIC_GATE_KEPT:
	case TRAFFIC_GATE_DAMAGED:
	case TRAFFIC_GATE_ROUTE:
	case TRAFFIC_GATE_PAUSED:
	case TRAFFIC_GATE_RELEASE: return true;
	case TRAFFIC_GATE_ACCOUNT: return why->parked; /* the try after an hour or so is only a hope */
	case TRAFFIC_GATE_NONE:
	case TRAFFIC_GATE_SENDING:
	case TRAFFIC_GATE_NETWORK:
	case TRAFFIC_GATE_LANE:
	case TRAFFIC_GATE_RATE:
	case TRAFFIC_GATE_RETRY:
	case TRAFFIC_GATE_LINE:
	case TRAFFIC_GATE_REPORT: return false;
	}
	return false;
}

static bool message_is_stuck(struct client *client, struct drain *drain, const struct queue_envelope *envelope,
			     int *budget)
{
	const struct traffic *traffic = client->room->traffic;
	struct traffic_why why = { .gate = TRAFFIC_GATE_NONE };
	struct queue_rcpt rcpt;

	for (uint32_t n = 0; walk_rcpt(&drain->walk, envelope, n, budget, &rcpt); n = rcpt.n + 1)
		if (traffic->why(traffic->self, envelope->id, rcpt.n, &why) && !is_stuck(&why))
			return false;
	return true;
}

static enum client_step finish(struct client *client, const char *end, const struct queue_stats *stats)
{
	return client_done(client, json_pack("{s:s,s:I,s:I}", "end", end, "messages", (json_int_t)stats->messages,
					     "recipients", (json_int_t)stats->recipients));
}

/* Looks on until something is found that can move. */
static enum client_step look(struct client *client, struct drain *drain, const struct queue_stats *stats, int *budget)
{
	struct queue_envelope envelope;
	enum walk_step step;

	while ((step = walk_next(&drain->walk, budget, &envelope)) == WALK_FOUND)
		if (!message_is_stuck(client, drain, &envelope, budget)) {
			drain->is_looking = false;
			drain->moved_ms = loop_now_ms(client->room->loop);
			client_wake_in(client, TICK_MS);
			return CLIENT_WAIT;
		}
	if (step == WALK_FAILED)
		return client_fail_queue(client, QUEUE_IO);
	return step == WALK_END ? finish(client, "stuck", stats) : CLIENT_MORE;
}

static void tell(struct client *client, const struct queue_stats *stats, const struct traffic_summary *summary)
{
	client_say(client, json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:b}", "type", "progress", "messages",
				     (json_int_t)stats->messages, "recipients", (json_int_t)stats->recipients,
				     "sending", (json_int_t)summary->sending, "delivered",
				     (json_int_t)summary->delivered, "deferred", (json_int_t)summary->deferred,
				     "bounced", (json_int_t)summary->bounced, "offline", summary->offline));
}

static enum client_step step(struct client *client, int *budget)
{
	struct drain *drain = client->state;
	const struct traffic *traffic = client->room->traffic;
	struct traffic_summary summary = { .sending = 0 };
	int64_t now_ms = loop_now_ms(client->room->loop);
	struct queue_stats stats;

	--*budget;
	queue_stats(client->room->queue, &stats);
	traffic->summary(traffic->self, &summary);
	if (stats.messages != drain->left || settled_of(&summary) != drain->settled || summary.sending) {
		drain->left = stats.messages;
		drain->settled = settled_of(&summary);
		drain->moved_ms = now_ms;
		drain->is_looking = false;
	}
	if (stats.messages == 0 || now_ms - drain->told_ms >= TELL_MS) {
		drain->told_ms = now_ms;
		tell(client, &stats, &summary);
	}
	if (stats.messages == 0)
		return finish(client, "empty", &stats);
	if (now_ms >= drain->deadline_ms)
		return finish(client, "timeout", &stats);
	if (!drain->is_looking && now_ms - drain->moved_ms >= LOOK_MS) {
		walk_init_filter(&drain->walk, client, &drain->everything);
		drain->is_looking = true;
	}
	if (drain->is_looking)
		return look(client, drain, &stats, budget);
	client_wake_in(client, TICK_MS);
	return CLIENT_WAIT;
}

static void stop(struct client *client)
{
	struct drain *drain = client->state;
	const struct reception *reception = client->room->reception;

	if (client->is_closer && --client->room->closers == 0)
		reception->close(reception->self, false);
	client->is_closer = false;
	filter_fini(&drain->everything);
	mem_free(drain);
}

const struct client_verb answer_drain_verb = {
	.name = "drain", .needs = CLIENT_ADMIN, .start = start, .step = step, .stop = stop
};
