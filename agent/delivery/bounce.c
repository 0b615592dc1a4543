#include "delivery/bounce.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "delivery/expiry.h"
#include "delivery/report.h"
#include "delivery/settle.h"
#include "log.h"
#include "route.h"

enum {
	AGAIN_MS = 60 * 1000,          /* a report that could not be queued; recipients that were in flight */
	UNTRIED_AGAIN_MS = 900 * 1000, /* mail that had no attempt yet */
	TRIED_AGAIN_MS = 2000,
};

void bounce_init(struct bounce *b, struct queue *queue, struct scheduler *scheduler)
{
	*b = (struct bounce){ .queue = queue, .scheduler = scheduler, .again_boot_ms = INT64_MAX };
	list_init(&b->reports);
	list_init(&b->expiries);
	digest_init(&b->digests);
}

static void drop(struct bounce *b, struct report *report)
{
	report_free(report);
	b->count--;
}

void bounce_fini(struct bounce *b)
{
	while (!list_is_empty(&b->reports))
		drop(b, LIST_ENTRY(list_first(&b->reports), struct report, node));
	digest_fini(&b->digests);
}

bool bounce_has_room(const struct bounce *b)
{
	return b->count < BOUNCE_MAX;
}

void bounce_again(struct bounce *b, int64_t in_ms)
{
	b->again_boot_ms = moment_min(b->again_boot_ms, b->now.boot_ms + in_ms);
}

void bounce_tried(struct bounce *b, struct moment now)
{
	b->now = now;
	if (b->again_boot_ms != INT64_MAX)
		bounce_again(b, TRIED_AGAIN_MS);
}

/* ---------------------------------------------------------------- who is to be told what */

static void done(void *arg, struct report *report, enum queue_err err, uint64_t id);

static struct report *begin(struct bounce *b, bool is_warning)
{
	struct report_setup setup = {
		.queue = b->queue,
		.scheduler = b->scheduler,
		.is_warning = is_warning,
		.now_ms = b->now.wall_ms,
		.done = done,
		.arg = b,
	};
	struct report *report = report_new(&setup);

	list_append(&b->reports, &report->node);
	b->count++;
	return report;
}

/* Whatever smart host of the target took it, it lies in a mailbox now. */
static bool is_last_hop(const struct config *config, const char *target)
{
	bool is_last = true;
	struct buf name;

	buf_init(&name, ROUTE_LANE_SIZE);
	for (int place = 0; route_name(target, place, &name); place++) {
		const struct config_smarthost *host = config_smarthost(config, buf_cstr(&name));

		is_last = is_last && host && host->protocol == CONFIG_PROTOCOL_LMTP;
	}
	buf_fini(&name);
	return is_last && target[0];
}

static enum dsn_action owed_action(const struct bounce *b, const struct queue_rcpt *rcpt)
{
	if (rcpt->state == QUEUE_RCPT_DELIVERED)
		return is_last_hop(b->scheduler->config, rcpt->flow.target) ? DSN_DELIVERED : DSN_RELAYED;
	return strncmp(rcpt->reply, SETTLE_EXPIRED, strlen(SETTLE_EXPIRED)) == 0 ? DSN_EXPIRED : DSN_FAILED;
}

static const struct report_message *last_of(const struct report *report)
{
	return &report->messages[report->message_count - 1];
}

static bool is_owed(const struct queue_rcpt *rcpt)
{
	return rcpt->state == QUEUE_RCPT_FAILED || rcpt->state == QUEUE_RCPT_DELIVERED;
}

static bool is_waiting(const struct queue_rcpt *rcpt)
{
	return rcpt->state == QUEUE_RCPT_WAITING || rcpt->state == QUEUE_RCPT_DOUBTFUL;
}

/* RFC 3461, 4.1: without NOTIFY a warning may be sent. */
static bool wants_warning(const struct queue_rcpt *rcpt)
{
	return is_waiting(rcpt) && (rcpt->notify == 0 || rcpt->notify & QUEUE_NOTIFY_DELAY);
}

/* False: one of the recipients is in flight, or its outcome is; then the report waits for it. */
static bool collect_owed(struct bounce *b, struct report *report, struct queue_timer timer, struct queue_view *view,
			 const struct queue_envelope *envelope)
{
	struct queue_rcpt rcpt;

	report_about(report, timer, envelope);
	for (uint32_t n = 0; queue_view_rcpt_from(view, timer.id, n, &rcpt) == QUEUE_OK; n = rcpt.n + 1) {
		if (flight_find(&b->scheduler->flight, timer.id, rcpt.n))
			return false;
		if (!is_owed(&rcpt))
			continue;
		if (last_of(report)->count == REPORT_RCPTS) {
			report->is_partial = true;
			break;
		}
		report_add(report, envelope, &rcpt, owed_action(b, &rcpt));
	}
	return true;
}

/* Why it still waits: what was said of it, else what its smart hosts failed for. */
const char *bounce_obstacle(struct scheduler *s, const struct queue_rcpt *rcpt)
{
	struct span rest = span_str(rcpt->flow.target), name;
	struct queue_view *view = queue_view(s->queue);
	struct queue_lane record;
	char text[ROUTE_LANE_SIZE];
	uint32_t weight;

	if (!conditions_allow(&s->conditions, rcpt->flow.target))
		return conditions_of(&s->conditions, rcpt->flow.target)->obstacle;
	if (rcpt->reply[0])
		return rcpt->reply;
	if (!rest.len)
		return "no route fits its sender and recipient";
	while (route_next(&rest, &name, &weight)) {
		const struct lane *lane = lanes_find(&s->lanes, name);

		if (lane && lane->host && lane->error[0])
			return lane->error;
		if (lane || !view || !lanes_is_mx_name(name))
			continue;
		/* A domain's lane that is not in memory just now. */
		snprintf(text, sizeof text, "%.*s", SPAN_ARGS(name));
		if (queue_view_lane(view, text, &record) == QUEUE_OK && record.error[0])
			return record.error;
	}
	return "";
}

/* The time its sender set has passed, and they are to hear of it (RFC 2852, mode N); they have not yet. */
static bool is_past_by(const struct bounce *b, const struct queue_envelope *envelope)
{
	return envelope->flags & QUEUE_BY_NOTIFY && !(envelope->flags & QUEUE_BY_PASSED) &&
	       b->now.wall_ms >= envelope->deliver_by_ms;
}

/* To be told that the time has passed was asked for with the message: only NEVER forbids it. */
static bool wants_late(const struct report *report, const struct queue_rcpt *rcpt)
{
	return report->setup.is_by ? is_waiting(rcpt) && !(rcpt->notify & QUEUE_NOTIFY_NEVER) : wants_warning(rcpt);
}

/* False: mail that had no attempt yet is not late, the network was; unless it is late for its sender: then only what is
 * in flight is waited for. */
static bool collect_late(struct bounce *b, struct report *report, struct queue_timer timer, struct queue_view *view,
			 const struct queue_envelope *envelope)
{
	struct queue_rcpt rcpt;

	report_about(report, timer, envelope);
	for (uint32_t n = 0; queue_view_rcpt_from(view, timer.id, n, &rcpt) == QUEUE_OK; n = rcpt.n + 1) {
		bool is_flying = flight_find(&b->scheduler->flight, timer.id, rcpt.n);

		if (is_flying && report->setup.is_by)
			return false;
		if (!wants_late(report, &rcpt) || is_flying)
			continue;
		if (!report->setup.is_by && !(envelope->flags & QUEUE_HELD) &&
		    !scheduler_is_paused(b->scheduler, rcpt.flow.target) && !scheduler_is_tried(b->scheduler, &rcpt))
			return false;
		rcpt.reply = bounce_obstacle(b->scheduler, &rcpt);
		if (last_of(report)->count < REPORT_RCPTS)
			report_add(report, envelope, &rcpt, DSN_DELAYED);
	}
	return true;
}

static void failed(struct bounce *b, struct report *report, enum queue_err err)
{
	if (!b->is_failing)
		log_event(LOG_LEVEL_ERROR, "report", LOG_ID(report->messages[0].timer.id),
			  LOG_TEXT("error", queue_err_text(err)),
			  LOG_TEXT("doing", "the report to the sender stays owed; trying again"));
	b->is_failing = true;
	bounce_again(b, AGAIN_MS);
	drop(b, report);
}

static void log_reported(const struct report *report, uint64_t id)
{
	for (size_t i = 0; i < report->message_count; i++) {
		struct log_field fields[] = {
			LOG_ID(report->messages[i].timer.id),
			LOG_TEXT("to", report->sender),
			LOG_TEXT("about", report->setup.is_warning ? "delay" : "outcome"),
			LOG_NUM("recipients", report->messages[i].count),
			{ .key = "report", .id = id },
			{ .key = NULL },
		};

		log_fields(LOG_LEVEL_NOTICE, "reported", fields);
	}
}

static void done(void *arg, struct report *report, enum queue_err err, uint64_t id)
{
	struct bounce *b = arg;
	struct queue_timer timer = report->messages[0].timer;
	bool is_partial = report->is_partial;

	queue_view_end(b->queue);
	scheduler_answered(b->scheduler);
	if (err && err != QUEUE_NOT_FOUND) {
		failed(b, report, err);
		return;
	}
	b->is_failing = false;
	if (err && report->message_count > 1)
		bounce_again(b, TRIED_AGAIN_MS); /* one of the messages has gone, the others are still owed theirs */
	else
		log_reported(report, id);
	drop(b, report);
	if (is_partial)
		bounce_timer(b, timer, b->now);
}

/* ---------------------------------------------------------------- timers */

static void drop_timer(struct bounce *b, struct queue_timer timer)
{
	struct queue_op *op = queue_op_new(b->queue);

	queue_op_timer_drop(op, timer);
	queue_op_submit(op, NULL, NULL);
}

/* Who is told of a message: its sender, or, where it has none, the postmaster that the configuration names. */
static const char *told(const struct bounce *b, const struct queue_envelope *envelope)
{
	return envelope->sender[0] ? envelope->sender : b->scheduler->config->postmaster;
}

/* True: it may have a mail of its own. */
static bool is_alone(struct bounce *b, struct queue_timer timer, bool is_warning, const struct queue_envelope *envelope)
{
	enum digest_verdict verdict = digest_take(&b->digests, told(b, envelope), is_warning, timer, b->now.boot_ms);

	if (verdict == DIGEST_FULL)
		bounce_again(b, AGAIN_MS);
	return verdict == DIGEST_ALONE;
}

static void settle_report(struct bounce *b, struct queue_timer timer, struct queue_view *view,
			  const struct queue_envelope *envelope)
{
	struct report *report = begin(b, false);

	report->is_double = !envelope->sender[0];
	if (!collect_owed(b, report, timer, view, envelope)) {
		drop(b, report);
		bounce_again(b, AGAIN_MS / 10);
	} else if (!report->count) {
		drop(b, report);
		drop_timer(b, timer);
	} else if (report->is_partial || is_alone(b, timer, false, envelope)) {
		report_start(report, view, envelope, told(b, envelope));
	} else {
		drop(b, report);
	}
}

/* When the sender may have to be told again after this; 0: never. */
static int64_t next_warning(const struct bounce *b, const struct queue_envelope *envelope)
{
	bool has_by = envelope->flags & QUEUE_BY_NOTIFY && !(envelope->flags & QUEUE_BY_PASSED);

	return has_by && envelope->deliver_by_ms > b->now.wall_ms ? envelope->deliver_by_ms : 0;
}

/* There is nothing to say now. */
static void pass_over(struct bounce *b, struct queue_timer timer, int64_t next_ms)
{
	struct queue_op *op;

	if (!next_ms) {
		drop_timer(b, timer);
		return;
	}
	op = queue_op_new(b->queue);
	queue_op_timer(op, (struct queue_timer){ .when_ms = next_ms, .kind = timer.kind, .id = timer.id });
	queue_op_submit(op, NULL, NULL);
}

static void warn(struct bounce *b, struct queue_timer timer, struct queue_view *view,
		 const struct queue_envelope *envelope)
{
	struct report *report = begin(b, true);

	report->setup.is_by = is_past_by(b, envelope);
	report->warn_again_ms = next_warning(b, envelope);
	if (!envelope->sender[0] || b->now.wall_ms >= envelope->expires_ms) {
		drop(b, report);
		drop_timer(b, timer);
	} else if (envelope->flags & QUEUE_WARNED && !report->setup.is_by) {
		pass_over(b, timer, report->warn_again_ms);
		drop(b, report);
	} else if (!collect_late(b, report, timer, view, envelope)) {
		bounce_again(b, report->setup.is_by ? AGAIN_MS / 10 : UNTRIED_AGAIN_MS);
		drop(b, report);
	} else if (!report->count) {
		pass_over(b, timer, report->warn_again_ms);
		drop(b, report);
	} else if (report->setup.is_by || report->warn_again_ms || is_alone(b, timer, true, envelope)) {
		report_start(report, view, envelope, envelope->sender);
	} else {
		drop(b, report);
	}
}

/* FUTURERELEASE: held until now. */
static void release(struct bounce *b, struct queue_timer timer, const struct queue_envelope *envelope)
{
	struct queue_op *op;

	if (!(envelope->flags & QUEUE_HELD) || envelope->flags & QUEUE_HELD_BY_OPERATOR) {
		drop_timer(b, timer);
		return;
	}
	op = queue_op_new(b->queue);
	queue_op_flags(op, timer.id, 0, QUEUE_HELD, b->now.wall_ms);
	queue_op_submit(op, NULL, NULL);
	log_event(LOG_LEVEL_INFO, "released", LOG_ID(timer.id), LOG_TEXT("by", "its hold time"));
}

static bool is_at_work(const struct bounce *b, struct queue_timer timer)
{
	for (struct list *node = list_first(&b->reports); node; node = list_next(&b->reports, node)) {
		const struct report *report = LIST_ENTRY(node, struct report, node);

		for (size_t i = 0; i < report->message_count; i++)
			if (report->messages[i].timer.id == timer.id && report->messages[i].timer.kind == timer.kind)
				return true;
	}
	return expiry_has(&b->expiries, timer) || digest_has(&b->digests, timer);
}

void bounce_timer(struct bounce *b, struct queue_timer timer, struct moment now)
{
	struct queue_view *view = queue_view(b->queue);
	struct queue_envelope envelope;

	b->now = now;
	if (is_at_work(b, timer))
		return;
	if (!view || queue_view_envelope(view, timer.id, &envelope) != QUEUE_OK) {
		bounce_again(b, UNTRIED_AGAIN_MS); /* gone, or unreadable just now */
		return;
	}
	switch (timer.kind) {
	case QUEUE_TIMER_REPORT: settle_report(b, timer, view, &envelope); break;
	case QUEUE_TIMER_WARN: warn(b, timer, view, &envelope); break;
	case QUEUE_TIMER_EXPIRE: expiry_start(b, timer, view, &envelope); break;
	case QUEUE_TIMER_RELEASE: release(b, timer, &envelope); break;
	case QUEUE_TIMER_FLOW:
	case QUEUE_TIMER_LANE: break;
	}
}

/* ---------------------------------------------------------------- many at once */

/* What it tells of is looked at again: it may have been released, delivered or removed meanwhile. False: not now. */
static bool add_to_digest(struct bounce *b, struct report *report, struct queue_timer timer, struct queue_view *view)
{
	struct queue_envelope envelope;
	bool ok, is_empty;

	if (report->count >= REPORT_RCPTS_MAX - REPORT_RCPTS ||
	    queue_view_envelope(view, timer.id, &envelope) != QUEUE_OK)
		return false;
	report->is_double = !envelope.sender[0];
	ok = report->setup.is_warning ? collect_late(b, report, timer, view, &envelope)
				      : collect_owed(b, report, timer, view, &envelope);
	is_empty = ok && !last_of(report)->count;
	if (!ok || is_empty)
		report_not_about(report);
	if (is_empty)
		drop_timer(b, timer);
	return ok;
}

static void send_digest(struct bounce *b, struct digest *digest)
{
	struct queue_view *view = queue_view(b->queue);
	struct report *report = begin(b, digest->is_warning);

	for (size_t i = 0; i < digest->count; i++)
		if (!view || !add_to_digest(b, report, digest->timers[i], view))
			bounce_again(b, TRIED_AGAIN_MS);
	if (report->message_count)
		report_start_digest(report, digest->address);
	else
		drop(b, report);
	digest_free(digest);
}

void bounce_step(struct bounce *b, struct moment now)
{
	struct digest *digest;

	b->now = now;
	while (bounce_has_room(b) && (digest = digest_next(&b->digests, now.boot_ms)))
		send_digest(b, digest);
}

void bounce_hurry(struct bounce *b)
{
	digest_hurry(&b->digests);
}

int64_t bounce_deadline(const struct bounce *b)
{
	return bounce_has_room(b) ? moment_min(b->again_boot_ms, digest_deadline(&b->digests)) : b->again_boot_ms;
}
