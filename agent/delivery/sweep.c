#include "delivery/sweep.h"

#include <string.h>

#include "base/crypto.h"
#include "log.h"
#include "route.h"

enum { FUTURE_MS = 60 * 1000, RETRY_MS = 1000 };

static const char ROUTES[] = "routes";

void sweep_init(struct sweep *s, struct queue *queue, struct scheduler *scheduler)
{
	*s = (struct sweep){ .queue = queue, .scheduler = scheduler };
}

static void add_strings(struct crypto_sha256 *h, const struct config_strings *strings)
{
	for (size_t i = 0; i < strings->count; i++)
		crypto_sha256_update(h, strings->list[i], strlen(strings->list[i]) + 1);
	crypto_sha256_update(h, "", 1);
}

/* Of everything that decides where mail goes. */
static void digest(const struct config *config, uint8_t out[CRYPTO_SHA256_LEN])
{
	struct crypto_sha256 *h = crypto_sha256_new();

	for (size_t i = 0; i < config->route_count; i++) {
		crypto_sha256_update(h, config->routes[i].name, strlen(config->routes[i].name) + 1);
		add_strings(h, &config->routes[i].from);
		add_strings(h, &config->routes[i].to);
		add_strings(h, &config->routes[i].via);
		/* What it waits for is read anew each time; that it waits is written in the target. */
		if (config->routes[i].when.count)
			crypto_sha256_update(h, "?", 1);
	}
	/* The domain of recipients that have none, which "mx" in via becomes. */
	if (config->hostname)
		crypto_sha256_update(h, config->hostname, strlen(config->hostname) + 1);
	crypto_sha256_final(h, out);
	crypto_sha256_free(h);
}

void sweep_start(struct sweep *s, bool with_routes, struct moment now)
{
	s->now = now;
	s->with_routes |= with_routes; /* a sweep under way that did more is not cut short */
	s->is_active = true;
	s->is_begun = false;
	s->asked++;
	s->messages = s->lost = 0;
}

static void rewind_to_start(struct sweep *s)
{
	struct queue_view *view = queue_view(s->queue);
	uint64_t newest = 0;

	s->is_begun = true;
	s->id = s->last_moved = 0;
	s->n = 0;
	s->messages = 0;
	if (view && queue_view_previous(view, UINT64_MAX, &newest) != QUEUE_OK)
		newest = 0;
	/* Unreadable just now: as far as there is anything. */
	s->end_id = view ? newest : UINT64_MAX;
}

static void answered(struct sweep *s, enum queue_err err)
{
	s->is_writing = false;
	/* What has gone meanwhile is not there next time; a disk that fails is not pressed. */
	s->retry_boot_ms = err && err != QUEUE_NOT_FOUND && err != QUEUE_INVALID ? s->now.boot_ms + RETRY_MS : 0;
	queue_view_end(s->queue);
	scheduler_answered(s->scheduler);
}

static void opened(void *arg, enum queue_err err, uint64_t id)
{
	struct sweep *s = arg;

	(void)id;
	answered(s, err);
	if (!err && s->begun == s->asked)
		rewind_to_start(s);
}

static struct queue_op *forget_routes(struct sweep *s)
{
	struct queue_op *op = queue_op_new(s->queue);

	queue_op_state(op, ROUTES, (struct queue_bytes){ NULL, 0 });
	return op;
}

/* Mail that was handed in under the old routes may still wait to be written: it is there when this is answered. */
static void begin(struct sweep *s)
{
	if (!s->with_routes) {
		rewind_to_start(s);
		return;
	}
	s->begun = s->asked;
	s->is_writing = true;
	queue_op_submit(forget_routes(s), opened, s);
}

void sweep_if_needed(struct sweep *s, struct moment now)
{
	struct queue_view *view = queue_view(s->queue);
	uint8_t wanted[CRYPTO_SHA256_LEN];
	struct queue_envelope envelope;
	struct queue_bytes known;
	uint64_t newest;

	digest(s->scheduler->config, wanted);
	if (!view || queue_view_state(view, ROUTES, &known) != QUEUE_OK || known.len != sizeof wanted ||
	    memcmp(known.data, wanted, sizeof wanted) != 0) {
		sweep_start(s, true, now);
		rewind_to_start(s); /* nothing is on its way at the start */
		queue_op_submit(forget_routes(s), NULL, NULL);
		return;
	}
	if (queue_view_previous(view, UINT64_MAX, &newest) == QUEUE_OK &&
	    queue_view_envelope(view, newest, &envelope) == QUEUE_OK && envelope.arrival_ms > now.wall_ms + FUTURE_MS)
		sweep_start(s, false, now);
}

static void finished(struct sweep *s)
{
	uint8_t value[CRYPTO_SHA256_LEN];
	struct queue_op *op;

	s->is_active = false;
	if (s->lost > 1)
		log_event(LOG_LEVEL_WARNING, "route-gone", LOG_NUM("messages", s->lost));
	s->lost = 0;
	if (!s->with_routes)
		return;
	s->with_routes = false;
	digest(s->scheduler->config, value);
	op = queue_op_new(s->queue);
	queue_op_state(op, ROUTES, (struct queue_bytes){ value, sizeof value });
	queue_op_submit(op, NULL, NULL);
}

static void written(void *arg, enum queue_err err, uint64_t id)
{
	struct sweep *s = arg;

	(void)id;
	answered(s, err);
	if (err) { /* something of it has gone meanwhile, or the disk is full: once more */
		s->id = s->batch_id;
		s->n = s->batch_n;
		s->messages = s->batch_messages;
	}
}

static void inspect(struct sweep *s, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt,
		    struct queue_op **io_op)
{
	const struct config *config = s->scheduler->config;
	struct queue_flow flow = { .submitter = rcpt->flow.submitter, .band = rcpt->flow.band };
	bool moves, is_invented = !(envelope->flags & QUEUE_HELD) && envelope->hold_until_ms <= s->now.wall_ms &&
				  rcpt->due_ms > s->now.wall_ms + s->scheduler->horizon_ms;
	struct buf target;

	buf_init(&target, ROUTE_TARGET_MAX + 1);
	route_target_of(config, route_of(config, envelope->route, envelope->sender, rcpt->address), rcpt->address,
			&target);
	flow.target = buf_cstr(&target);
	moves = s->with_routes && strcmp(flow.target, rcpt->flow.target) != 0;
	if (!*io_op && (moves || is_invented))
		*io_op = queue_op_new(s->queue);
	if (is_invented)
		queue_op_due(*io_op, envelope->id, rcpt->n, s->now.wall_ms);
	if (moves) {
		queue_op_flow(*io_op, envelope->id, rcpt->n, &flow);
		s->messages += s->last_moved != envelope->id;
		s->last_moved = envelope->id;
	}
	buf_fini(&target);
}

/* A report that is owed since a time that a wrong clock invented is due now. */
static void inspect_owed(const struct sweep *s, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt,
			 struct queue_op **io_op)
{
	if (rcpt->last_ms <= s->now.wall_ms + FUTURE_MS)
		return;
	if (!*io_op)
		*io_op = queue_op_new(s->queue);
	queue_op_timer(*io_op, (struct queue_timer){ s->now.wall_ms, QUEUE_TIMER_REPORT, envelope->id });
}

/* The route that an identity named is no longer in the configuration: the rules decide, and somebody should know. */
static void note_lost_route(struct sweep *s, const struct queue_envelope *envelope)
{
	if (!envelope->route[0] || route_named(s->scheduler->config, envelope->route))
		return;
	if (s->lost++ == 0)
		log_event(LOG_LEVEL_WARNING, "route-gone", LOG_ID(envelope->id), LOG_TEXT("route", envelope->route),
			  LOG_TEXT("doing", "mail that was to take it goes where the rules say"));
}

/* The recipients of the message at hand, from s->n on. True: all of them were seen. */
static bool inspect_message(struct sweep *s, struct queue_view *view, size_t *io_left, struct queue_op **io_op)
{
	struct queue_envelope envelope;
	struct queue_rcpt rcpt;

	if (queue_view_envelope(view, s->id, &envelope) != QUEUE_OK)
		return true;
	if (s->with_routes && s->n == 0)
		note_lost_route(s, &envelope);
	while (*io_left && queue_view_rcpt_from(view, s->id, s->n, &rcpt) == QUEUE_OK) {
		--*io_left;
		s->n = rcpt.n + 1;
		/* What is in flight follows its route when it is settled. */
		if (rcpt.state == QUEUE_RCPT_FAILED || rcpt.state == QUEUE_RCPT_DELIVERED)
			inspect_owed(s, &envelope, &rcpt, io_op);
		else if (!flight_find(&s->scheduler->flight, s->id, rcpt.n))
			inspect(s, &envelope, &rcpt, io_op);
	}
	return *io_left > 0;
}

bool sweep_step(struct sweep *s, struct moment now)
{
	struct queue_view *view;
	struct queue_op *op = NULL;
	size_t left = SWEEP_RCPTS;
	uint64_t next;

	s->now = now;
	if (!s->is_active || s->is_writing || now.boot_ms < s->retry_boot_ms)
		return false;
	if (!s->is_begun)
		begin(s);
	if (s->is_writing)
		return true;
	if (!(view = queue_view(s->queue)))
		return false;
	s->batch_id = s->id;
	s->batch_n = s->n;
	s->batch_messages = s->messages;
	while (left) {
		if (s->id && !inspect_message(s, view, &left, &op))
			break;
		if (s->id >= s->end_id || queue_view_next(view, s->id, &next) != QUEUE_OK || next > s->end_id) {
			s->id = s->end_id;
			s->n = UINT32_MAX;
			break;
		}
		s->id = next;
		s->n = 0;
		left--;
	}
	if (op) {
		s->is_writing = true;
		queue_op_submit(op, written, s);
	} else if (s->n == UINT32_MAX) {
		finished(s);
	}
	return true;
}

int64_t sweep_deadline(const struct sweep *s)
{
	return s->is_active && !s->is_writing && s->retry_boot_ms ? s->retry_boot_ms : INT64_MAX;
}

bool sweep_is_active(const struct sweep *s)
{
	return s->is_active;
}

bool sweep_is_rerouting(const struct sweep *s)
{
	return s->is_active && s->with_routes;
}

uint64_t sweep_reached(const struct sweep *s)
{
	return s->is_begun ? s->id : 0;
}
