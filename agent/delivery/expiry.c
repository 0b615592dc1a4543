#include "delivery/expiry.h"

#include "base/mem.h"
#include "delivery/settle.h"
#include "log.h"

enum {
	AGAIN_MS = 60 * 1000,          /* recipients that were in flight */
	UNTRIED_AGAIN_MS = 900 * 1000, /* mail that had no attempt yet */
	RCPT_TEXT_MAX = 4096,
	AT_ONCE = 200, /* recipients in one operation */
};

struct expiry {
	struct list node;
	struct bounce *bounce;
	struct queue_timer timer;
	struct mem_arena arena;
	struct queue_outcome outcomes[AT_ONCE];
	size_t count;
	const char *sender;
	bool is_partial; /* more recipients are to be given up than these */
	bool is_kept;    /* a report that nobody could be given: to be held */
	bool is_by;      /* because the time its sender set has passed */
};

static void drop_timer(struct bounce *b, struct queue_timer timer)
{
	struct queue_op *op = queue_op_new(b->queue);

	queue_op_timer_drop(op, timer);
	queue_op_submit(op, NULL, NULL);
}

bool expiry_has(const struct list *expiries, struct queue_timer timer)
{
	for (struct list *node = list_first(expiries); node; node = list_next(expiries, node)) {
		const struct expiry *e = LIST_ENTRY(node, struct expiry, node);

		if (e->timer.id == timer.id && e->timer.kind == timer.kind)
			return true;
	}
	return false;
}

static void expired(void *arg, enum queue_err err, uint64_t id)
{
	struct expiry *e = arg;
	struct bounce *b = e->bounce;

	(void)id;
	queue_view_end(b->queue);
	scheduler_answered(b->scheduler);
	b->count--;
	if (err && err != QUEUE_NOT_FOUND)
		bounce_again(b, AGAIN_MS);
	for (size_t i = 0; i < e->count && err == QUEUE_OK; i++) {
		b->expired += !e->is_kept;
		log_event(e->is_kept ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, e->is_kept ? "kept" : "bounced",
			  LOG_ID(e->timer.id), LOG_TEXT("from", e->sender), LOG_TEXT("to", e->outcomes[i].address),
			  LOG_TEXT("host", e->outcomes[i].host), LOG_TEXT("reply", e->outcomes[i].reply),
			  LOG_TEXT("report", e->outcomes[i].report_owed ? "owed" : "none"));
	}
	list_remove(&e->node);
	for (size_t i = 0; i < e->count; i++)
		flight_remove(&b->scheduler->flight, e->timer.id, e->outcomes[i].n);
	if (e->is_partial && !err)
		bounce_timer(b, e->timer, b->now);
	mem_arena_fini(&e->arena);
	mem_free(e);
}

static const char *keep_for(struct expiry *e, const char *text)
{
	const char *copy = text[0] ? mem_arena_dup(&e->arena, span_str(text)) : "";

	return copy ? copy : "";
}

static void add_expired(struct expiry *e, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt)
{
	char text[SETTLE_TEXT_SIZE];
	struct queue_outcome *o;

	settle_expired_text(e->bounce->now.wall_ms - envelope->arrival_ms, e->is_by,
			    bounce_obstacle(e->bounce->scheduler, rcpt), text);
	e->outcomes[e->count++] = (struct queue_outcome){
		.n = rcpt->n,
		.kind = QUEUE_BOUNCED,
		.at_ms = e->bounce->now.wall_ms,
		.reply = keep_for(e, text),
		.host = e->is_by ? "" : keep_for(e, rcpt->host),
		.lane = "",
		.tls = "",
		.address = keep_for(e, rcpt->address),
	};
	o = &e->outcomes[e->count - 1];
	switch (settle_fate(e->bounce->scheduler->config, envelope->flags, envelope->sender, rcpt->address,
			    rcpt->notify)) {
	case SETTLE_REPORT: o->report_owed = true; break;
	case SETTLE_SILENT: break;
	case SETTLE_KEEP:
		e->is_kept = true;
		o->kind = QUEUE_DEFERRED;
		o->due_ms = o->at_ms; /* when it is released */
		break;
	}
}

static bool has_had_its_chance(struct bounce *b, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt)
{
	return !(envelope->flags & QUEUE_HELD) && !scheduler_is_paused(b->scheduler, rcpt->flow.target) &&
	       scheduler_is_tried(b->scheduler, rcpt);
}

/* RFC 2852, mode R: whatever kept it, after this time its sender does not want it delivered any more. */
static bool must_return(const struct bounce *b, const struct queue_envelope *envelope)
{
	return envelope->flags & QUEUE_BY_RETURN && envelope->deliver_by_ms > 0 &&
	       b->now.wall_ms >= envelope->deliver_by_ms;
}

/* The timer stays: recipients in flight are judged when they come back, others when they were attempted. */
void expiry_start(struct bounce *b, struct queue_timer timer, struct queue_view *view,
		  const struct queue_envelope *envelope)
{
	struct expiry *e = MEM_NEW(struct expiry);
	struct queue_op *op;
	struct queue_rcpt rcpt;
	bool is_left = false;

	e->bounce = b;
	e->timer = timer;
	list_init(&e->node);
	mem_arena_init(&e->arena, (size_t)AT_ONCE * RCPT_TEXT_MAX);
	e->sender = keep_for(e, envelope->sender);
	e->is_by = must_return(b, envelope);
	for (uint32_t n = 0; queue_view_rcpt_from(view, timer.id, n, &rcpt) == QUEUE_OK; n = rcpt.n + 1) {
		if (rcpt.state != QUEUE_RCPT_WAITING && rcpt.state != QUEUE_RCPT_DOUBTFUL)
			continue;
		if (e->count == AT_ONCE) {
			e->is_partial = true;
			break;
		}
		if (flight_find(&b->scheduler->flight, timer.id, rcpt.n)) {
			bounce_again(b, AGAIN_MS);
			is_left = true;
		} else if (!e->is_by && !has_had_its_chance(b, envelope, &rcpt)) {
			bounce_again(b, UNTRIED_AGAIN_MS);
			is_left = true;
		} else {
			add_expired(e, envelope, &rcpt);
		}
	}
	if (!e->count) {
		if (!is_left)
			drop_timer(b, timer);
		mem_arena_fini(&e->arena);
		mem_free(e);
		return;
	}
	op = queue_op_new(b->queue);
	queue_op_settle(op, timer.id, e->outcomes, e->count);
	if (e->is_kept)
		queue_op_flags(op, timer.id, QUEUE_HELD | QUEUE_KEPT, 0, 0);
	/* Not attempted while they are being given up. */
	for (size_t i = 0; i < e->count; i++)
		flight_add(&b->scheduler->flight, timer.id, e->outcomes[i].n, NULL);
	b->count++;
	list_append(&b->expiries, &e->node);
	queue_op_submit(op, expired, e);
}
