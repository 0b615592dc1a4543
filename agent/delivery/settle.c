#include "delivery/settle.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "delivery/backoff.h"
#include "log.h"
#include "route.h"

enum {
	RETRY_MS = 1000,
	LAST_TRY_MS = 60 * 1000,
	/* Nobody waits for an outcome to be flushed: it shares the flush of the next mail that comes in. A crash within
	 * this time repeats the delivery, as one does during the flush itself. */
	PATIENCE_MS = 10,
};

/* One load on its way. */
struct flying {
	struct settle *settle;
	struct load *load;
};

void settle_init(struct settle *s, struct queue *queue, struct scheduler *scheduler, uint64_t seed)
{
	*s = (struct settle){ .queue = queue, .scheduler = scheduler, .seed = seed, .retry_boot_ms = INT64_MAX };
	list_init(&s->writing);
	list_init(&s->failed);
}

static void drop_all(struct list *loads)
{
	while (!list_is_empty(loads))
		load_free(LIST_ENTRY(list_first(loads), struct load, node));
}

void settle_fini(struct settle *s)
{
	drop_all(&s->writing);
	drop_all(&s->failed);
}

static bool wants_failure(uint8_t notify)
{
	return !(notify & QUEUE_NOTIFY_NEVER) && (notify == 0 || notify & QUEUE_NOTIFY_FAILURE);
}

enum settle_fate settle_fate(const struct config *config, uint32_t flags, const char *sender, const char *address,
			     uint8_t notify)
{
	bool is_own = flags & QUEUE_REPORT;

	if (sender[0])
		return wants_failure(notify) ? SETTLE_REPORT : SETTLE_SILENT;
	/* NOTIFY of our own reports forbids others to report on them. */
	if (config->has_postmaster && !(flags & QUEUE_DOUBLE) && (is_own || wants_failure(notify)) &&
	    !span_equals_fold(span_str(address), span_str(config->postmaster)))
		return SETTLE_REPORT;
	return is_own ? SETTLE_KEEP : SETTLE_SILENT;
}

bool settle_owes_relayed(const struct load *load, uint8_t notify)
{
	if (!load->sender[0] || notify & QUEUE_NOTIFY_NEVER)
		return false;
	return (notify & QUEUE_NOTIFY_SUCCESS && !load->passes_dsn) || load->flags & QUEUE_BY_TRACE ||
	       (load->flags & QUEUE_BY_NOTIFY && !load->passes_by);
}

void settle_expired_text(int64_t waited_ms, bool is_by, const char *last_reply, char out[SETTLE_TEXT_SIZE])
{
	char waited[TEXT_DURATION_SIZE];

	snprintf(out, SETTLE_TEXT_SIZE, "%s after %s%s%s",
		 is_by ? SETTLE_EXPIRED_BY "not delivered in the time its sender set, given up"
		       : SETTLE_EXPIRED "given up",
		 text_duration_print(waited_ms < 0 ? 0 : waited_ms, waited), last_reply[0] ? "; last: " : "",
		 last_reply);
}

/* ---------------------------------------------------------------- routes that changed */

/* The route may have become another one while the message was on its way. */
static bool has_moved(const struct settle *s, const struct load *load, const char *address, struct buf *target)
{
	const struct config *config = s->scheduler->config;

	route_target_of(config, route_of(config, load->route, load->sender, address), address, target);
	return strcmp(buf_cstr(target), load->target) != 0;
}

static bool rcpt_has_moved(const struct settle *s, const struct load *load, const struct load_rcpt *rcpt)
{
	struct buf target;
	bool result;

	buf_init(&target, ROUTE_TARGET_MAX + 1);
	result = has_moved(s, load, rcpt->address, &target);
	buf_fini(&target);
	return result;
}

bool settle_is_astray(const struct settle *s, const struct load *load)
{
	for (size_t i = 0; i < load->count && s->is_rerouting; i++)
		if (rcpt_has_moved(s, load, &load->rcpts[i]))
			return true;
	return false;
}

void settle_astray(struct settle *s, struct load *load, struct moment now)
{
	lane_give_token(load->job->lane);
	load->is_astray = true;
	load->is_counted = load->job->id <= s->swept;
	s->scheduler->astray++;
	settle_close(s, load, now);
}

/* ---------------------------------------------------------------- verdict to outcome */

static const struct config_backoff *retry_of(const struct settle *s, const struct load *load,
					     const struct load_rcpt *rcpt)
{
	const struct config_route *route = route_of(s->scheduler->config, load->route, load->sender, rcpt->address);

	return route ? &route->retry : &s->scheduler->config->retry;
}

/* Recipients that are put off together come back together: the jitter is the message's, not each one's. */
static int64_t due_ms(const struct settle *s, const struct load *load, const struct load_rcpt *rcpt, bool is_doubtful,
		      struct moment now)
{
	struct chance chance = { .state = s->seed ^ load->job->id ^ ((uint64_t)rcpt->attempts << 48) };
	int64_t wait_ms = backoff_ms(retry_of(s, load, rcpt), rcpt->attempts + 1, &chance);
	int64_t left_ms = load->expires_ms - now.wall_ms;

	if (left_ms > 0 && wait_ms > left_ms)
		wait_ms = left_ms; /* one last attempt at the end of its life */
	if (wait_ms < LAST_TRY_MS && left_ms < LAST_TRY_MS)
		wait_ms = LAST_TRY_MS;
	if (is_doubtful && wait_ms < SETTLE_DOUBT_MS)
		wait_ms = SETTLE_DOUBT_MS;
	return now.wall_ms + wait_ms;
}

static void give_up(struct load *load, struct queue_outcome *o, struct moment now)
{
	char text[SETTLE_TEXT_SIZE];

	settle_expired_text(now.wall_ms - load->arrival_ms, load_is_by_return(load), o->reply, text);
	o->reply = load_text(load, span_str(text));
	o->kind = QUEUE_BOUNCED;
	if (load_is_by_return(load))
		o->host = ""; /* these are our words */
}

static void put_off(const struct settle *s, struct load *load, const struct load_rcpt *rcpt, struct queue_outcome *o,
		    enum settle_verdict verdict, struct moment now)
{
	if (now.wall_ms >= load->expires_ms && load->expires_ms > 0) {
		give_up(load, o, now);
		return;
	}
	o->kind = verdict == SETTLE_DOUBTFUL ? QUEUE_DOUBT : QUEUE_DEFERRED;
	o->due_ms = due_ms(s, load, rcpt, verdict == SETTLE_DOUBTFUL, now);
}

/* It failed for good. */
static void end_in_vain(const struct settle *s, struct load *load, const struct load_rcpt *rcpt,
			struct queue_outcome *o)
{
	switch (settle_fate(s->scheduler->config, load->flags, load->sender, rcpt->address, rcpt->notify)) {
	case SETTLE_REPORT: o->report_owed = true; break;
	case SETTLE_SILENT: break;
	case SETTLE_KEEP:
		load->is_kept = true;
		o->kind = QUEUE_DEFERRED;
		o->due_ms = o->at_ms; /* when it is released */
		break;
	}
}

void settle_rcpt(struct settle *s, struct load *load, size_t i, enum settle_verdict verdict, const char *reply,
		 const char *host, struct moment now)
{
	struct load_rcpt *rcpt = &load->rcpts[i];
	struct queue_outcome *o = &load->outcomes[load->outcome_count];

	if (rcpt->has_outcome || rcpt->is_back || rcpt->is_moving)
		return;
	if (verdict == SETTLE_UNTRIED) {
		rcpt->is_moving = rcpt_has_moved(s, load, rcpt);
		rcpt->is_back = !rcpt->is_moving;
		if (rcpt->is_back)
			scheduler_return(s->scheduler, load->job, i, now);
		return;
	}
	*o = (struct queue_outcome){
		.id = load->job->id,
		.n = rcpt->n,
		.at_ms = now.wall_ms,
		.reply = load_text(load, span_str(reply)),
		.host = load_text(load, span_str(host)),
		.lane = load->job->lane->name,
		.tls = load->tls,
		.took_ms = (uint32_t)(now.boot_ms - load->job->at_boot_ms),
		.address = rcpt->address,
		.attempts = rcpt->attempts + 1,
	};
	switch (verdict) {
	case SETTLE_DELIVERED: o->kind = QUEUE_DELIVERED; break;
	case SETTLE_PERMANENT: o->kind = QUEUE_BOUNCED; break;
	case SETTLE_TEMPORARY:
	case SETTLE_DOUBTFUL:
	case SETTLE_UNTRIED: put_off(s, load, rcpt, o, verdict, now); break;
	}
	if (o->kind == QUEUE_BOUNCED)
		end_in_vain(s, load, rcpt, o);
	else
		o->report_owed = o->kind == QUEUE_DELIVERED && settle_owes_relayed(load, rcpt->notify);
	rcpt->has_outcome = true;
	load->outcome_count++;
}

/* ---------------------------------------------------------------- into the queue */

static const char *event_name(enum queue_outcome_kind kind)
{
	switch (kind) {
	case QUEUE_DELIVERED: return "delivered";
	case QUEUE_BOUNCED: return "bounced";
	case QUEUE_DEFERRED: return "deferred";
	case QUEUE_DOUBT: return "doubtful";
	case QUEUE_REMOVED: return "removed";
	}
	return "";
}

static void log_outcome(const struct load *load, const struct queue_outcome *o)
{
	struct log_field fields[] = {
		LOG_ID(load->job->id),
		LOG_TEXT("from", load->sender),
		LOG_TEXT("to", o->address),
		LOG_TEXT("lane", o->lane),
		LOG_TEXT("host", o->host),
		LOG_TEXT("tls", o->tls),
		LOG_NUM("took_ms", o->took_ms),
		LOG_NUM("delay_ms", o->at_ms - load->arrival_ms),
		LOG_NUM("attempts", o->attempts),
		LOG_TEXT("reply", o->reply),
		{ .key = NULL },
		{ .key = NULL },
	};

	if (load->is_kept) {
		fields[10] = (struct log_field)LOG_TEXT("reason", "a report that nobody could be given");
		log_fields(LOG_LEVEL_WARNING, "kept", fields);
		return;
	}
	if (o->kind == QUEUE_DEFERRED || o->kind == QUEUE_DOUBT)
		fields[10] = (struct log_field)LOG_NUM("retry_ms", o->due_ms - o->at_ms);
	else if (o->kind == QUEUE_BOUNCED && !o->report_owed)
		fields[10] = (struct log_field)LOG_TEXT("report", "none");
	log_fields(o->kind == QUEUE_DOUBT ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, event_name(o->kind), fields);
}

static void count(struct settle *s, const struct load *load, const struct queue_outcome *o)
{
	struct lane *lane = load->job->lane;

	switch (o->kind) {
	case QUEUE_DELIVERED: s->delivered++, lane->delivered++; break;
	case QUEUE_BOUNCED: s->bounced++, lane->bounced++; break;
	case QUEUE_DEFERRED: s->deferred++, lane->deferred++; break;
	case QUEUE_DOUBT: s->doubtful++, lane->deferred++; break;
	case QUEUE_REMOVED: break;
	}
}

static void submit(struct settle *s, struct load *load);

/* Where it could not be put into another flow it is due in the old one as before. */
static void hand_back(struct settle *s, struct load *load, bool has_moved_rcpts)
{
	bool any = false;

	for (size_t i = 0; i < load->count; i++)
		any |= load->rcpts[i].is_moving;
	s->rerouted += any && has_moved_rcpts && !load->is_counted;
	s->scheduler->astray -= load->is_astray;
	for (size_t i = 0; i < load->count; i++)
		if (load->rcpts[i].is_moving && !has_moved_rcpts)
			scheduler_return(s->scheduler, load->job, i, s->now);
		else if (!load->rcpts[i].is_back)
			scheduler_settled(s->scheduler, load->job, i);
}

static void finish(struct settle *s, struct load *load, bool has_moved_rcpts)
{
	for (size_t i = 0; i < load->outcome_count; i++) {
		count(s, load, &load->outcomes[i]);
		log_outcome(load, &load->outcomes[i]);
	}
	if (load->is_damaged)
		log_event(LOG_LEVEL_ERROR, "held", LOG_ID(load->job->id), LOG_TEXT("from", load->sender),
			  LOG_TEXT("reason", "the stored message is damaged: its checksum does not match"));
	hand_back(s, load, has_moved_rcpts);
	load_free(load);
}

static void written(void *arg, enum queue_err err, uint64_t id)
{
	struct flying *flying = arg;
	struct settle *s = flying->settle;
	struct load *load = flying->load;

	(void)id;
	mem_free(flying);
	scheduler_answered(s->scheduler);
	/* What this view shows is older than the outcome: the recipients would look due once more. */
	queue_view_end(s->queue);
	if ((err == QUEUE_NOT_FOUND || err == QUEUE_INVALID) && !load->keeps_flow) {
		/* An operator removed one of the recipients: without changes of flow the others can be settled. */
		load->keeps_flow = true;
		submit(s, load);
		return;
	}
	if (err == QUEUE_OK || err == QUEUE_NOT_FOUND || (err == QUEUE_INVALID && !load->outcome_count)) {
		finish(s, load, err == QUEUE_OK);
		return;
	}
	if (list_is_empty(&s->failed)) {
		s->retry_boot_ms = s->now.boot_ms + RETRY_MS;
		log_event(LOG_LEVEL_ERROR, "queue", LOG_ID(load->job->id), LOG_TEXT("error", queue_err_text(err)),
			  LOG_TEXT("doing", "the outcome could not be stored; trying again"));
	}
	list_remove(&load->node);
	list_append(&s->failed, &load->node);
}

static void follow_route(struct settle *s, struct queue_op *op, const struct load *load, const char *address,
			 uint32_t n)
{
	struct queue_flow flow = { .submitter = load->submitter, .band = load->band };
	struct buf target;

	buf_init(&target, ROUTE_TARGET_MAX + 1);
	if (has_moved(s, load, address, &target)) {
		flow.target = buf_cstr(&target);
		queue_op_flow(op, load->job->id, n, &flow);
	}
	buf_fini(&target);
}

static bool is_there(struct settle *s, const struct load *load, size_t i)
{
	struct queue_view *view = queue_view(s->queue);
	struct queue_rcpt rcpt;

	return view && queue_view_rcpt(view, load->job->id, load->rcpts[i].n, &rcpt) == QUEUE_OK;
}

static void submit(struct settle *s, struct load *load)
{
	struct queue_op *op = queue_op_new(s->queue);
	struct flying *flying = MEM_NEW(struct flying);

	if (load->outcome_count)
		queue_op_settle(op, load->job->id, load->outcomes, load->outcome_count);
	for (size_t i = 0; i < load->outcome_count && !load->keeps_flow; i++)
		if (load->outcomes[i].kind == QUEUE_DEFERRED || load->outcomes[i].kind == QUEUE_DOUBT)
			follow_route(s, op, load, load->outcomes[i].address, load->outcomes[i].n);
	for (size_t i = 0; i < load->count; i++)
		if (load->rcpts[i].is_moving && (!load->keeps_flow || is_there(s, load, i)))
			follow_route(s, op, load, load->rcpts[i].address, load->rcpts[i].n);
	if (load->is_damaged)
		queue_op_flags(op, load->job->id, QUEUE_HELD | QUEUE_DAMAGED_BODY, 0, 0);
	else if (load->is_kept)
		queue_op_flags(op, load->job->id, QUEUE_HELD | QUEUE_KEPT, 0, 0);
	flying->settle = s;
	flying->load = load;
	list_remove(&load->node);
	list_append(&s->writing, &load->node);
	queue_op_patience(op, PATIENCE_MS);
	queue_op_submit(op, written, flying);
}

void settle_close(struct settle *s, struct load *load, struct moment now)
{
	bool is_moving = false;

	s->now = now;
	for (size_t i = 0; i < load->count && !load->is_damaged; i++) {
		settle_rcpt(s, load, i, SETTLE_UNTRIED, "", "", now);
		is_moving |= load->rcpts[i].is_moving;
	}
	scheduler_job_end(s->scheduler, load->job);
	if (load->outcome_count || load->is_damaged || is_moving)
		submit(s, load);
	else
		load_free(load);
}

void settle_step(struct settle *s, struct moment now)
{
	struct list again;

	s->now = now;
	if (now.boot_ms < s->retry_boot_ms)
		return;
	s->retry_boot_ms = INT64_MAX;
	list_init(&again);
	while (!list_is_empty(&s->failed)) {
		struct list *node = list_first(&s->failed);

		list_remove(node);
		list_append(&again, node);
	}
	while (!list_is_empty(&again))
		submit(s, LIST_ENTRY(list_first(&again), struct load, node));
}

int64_t settle_deadline(const struct settle *s)
{
	return s->retry_boot_ms;
}

bool settle_is_idle(const struct settle *s)
{
	return list_is_empty(&s->writing) && list_is_empty(&s->failed);
}
