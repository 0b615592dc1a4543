#include "delivery/bounce.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "base/text.h"
#include "delivery/settle.h"
#include "log.h"
#include "message/dsn.h"
#include "route.h"

enum {
	AGAIN_MS = 60 * 1000,          /* a report that could not be queued; recipients that were in flight */
	UNTRIED_AGAIN_MS = 900 * 1000, /* mail that had no attempt yet */
	TRIED_AGAIN_MS = 2000,
	TOKEN_SIZE = 33,
	RCPT_TEXT_MAX = 4096,
};

enum task_kind { TASK_REPORT, TASK_WARN };

/* One report on its way: head, perhaps the body of the original, tail, operation. */
struct task {
	struct list node;
	struct bounce *bounce;
	enum task_kind kind;
	struct queue_timer timer;
	struct mem_arena arena;
	struct dsn_rcpt *rcpts;
	uint32_t *n; /* their numbers */
	size_t count;
	bool is_partial; /* more recipients are owed a report than are in this one */
	const char *sender, *target;
	char message_id[TOKEN_SIZE + 300];
	uint32_t uid;
	bool is_8bit, is_utf8;
	struct buf text, tail; /* not yet appended */
	struct queue_receipt *receipt;
	struct queue_body_reader reader;
	bool has_reader, has_tail;
};

void bounce_init(struct bounce *b, struct queue *queue, struct scheduler *scheduler)
{
	*b = (struct bounce){ .queue = queue, .scheduler = scheduler, .again_boot_ms = INT64_MAX };
	list_init(&b->tasks);
}

static void task_free(struct task *task)
{
	if (!task)
		return;
	if (task->has_reader)
		queue_body_close(&task->reader);
	queue_receipt_free(task->receipt);
	buf_fini(&task->text);
	buf_fini(&task->tail);
	mem_arena_fini(&task->arena);
	list_remove(&task->node);
	task->bounce->count--;
	mem_free(task);
}

void bounce_fini(struct bounce *b)
{
	while (!list_is_empty(&b->tasks))
		task_free(LIST_ENTRY(list_first(&b->tasks), struct task, node));
}

bool bounce_has_room(const struct bounce *b)
{
	return b->count < BOUNCE_MAX;
}

static void again(struct bounce *b, int64_t in_ms)
{
	b->again_boot_ms = moment_min(b->again_boot_ms, b->now.boot_ms + in_ms);
}

void bounce_tried(struct bounce *b, struct moment now)
{
	b->now = now;
	if (b->again_boot_ms != INT64_MAX)
		again(b, TRIED_AGAIN_MS);
}

static bool is_at_work(const struct bounce *b, struct queue_timer timer)
{
	for (struct list *node = list_first(&b->tasks); node; node = list_next(&b->tasks, node)) {
		const struct task *task = LIST_ENTRY(node, struct task, node);

		if (task->timer.id == timer.id && task->timer.kind == timer.kind)
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- who is to be told what */

static struct task *task_new(struct bounce *b, enum task_kind kind, struct queue_timer timer)
{
	struct task *task = MEM_NEW(struct task);

	task->bounce = b;
	task->kind = kind;
	task->timer = timer;
	mem_arena_init(&task->arena, (size_t)BOUNCE_RCPTS * RCPT_TEXT_MAX);
	task->rcpts = mem_arena_alloc(&task->arena, BOUNCE_RCPTS * sizeof *task->rcpts);
	task->n = mem_arena_alloc(&task->arena, BOUNCE_RCPTS * sizeof *task->n);
	buf_init(&task->text, 4096);
	buf_init(&task->tail, 4096);
	list_append(&b->tasks, &task->node);
	b->count++;
	return task;
}

static const char *keep(struct task *task, const char *text)
{
	const char *copy = text[0] ? mem_arena_dup(&task->arena, span_str(text)) : "";

	return copy ? copy : "";
}

static void add_rcpt(struct task *task, const struct queue_envelope *envelope, const struct queue_rcpt *rcpt,
		     enum dsn_action action)
{
	task->n[task->count] = rcpt->n;
	task->rcpts[task->count++] = (struct dsn_rcpt){
		.address = keep(task, rcpt->address),
		.orcpt = keep(task, rcpt->orcpt),
		.action = action,
		.reply = keep(task, rcpt->reply),
		.host = keep(task, rcpt->host),
		.last_ms = rcpt->last_ms,
		.retry_until_ms = envelope->expires_ms,
		.attempts = rcpt->attempts,
	};
}

static enum dsn_action owed_action(const struct queue_rcpt *rcpt)
{
	if (rcpt->state == QUEUE_RCPT_DELIVERED)
		return DSN_RELAYED;
	return strncmp(rcpt->reply, SETTLE_EXPIRED, strlen(SETTLE_EXPIRED)) == 0 ? DSN_EXPIRED : DSN_FAILED;
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
static bool collect_owed(struct bounce *b, struct task *task, struct queue_view *view,
			 const struct queue_envelope *envelope)
{
	struct queue_rcpt rcpt;

	for (uint32_t n = 0; queue_view_rcpt_from(view, task->timer.id, n, &rcpt) == QUEUE_OK; n = rcpt.n + 1) {
		if (flight_find(&b->scheduler->flight, task->timer.id, rcpt.n))
			return false;
		if (!is_owed(&rcpt))
			continue;
		if (task->count == BOUNCE_RCPTS) {
			task->is_partial = true;
			break;
		}
		add_rcpt(task, envelope, &rcpt, owed_action(&rcpt));
	}
	return true;
}

/* False: mail that had no attempt yet is not late, the network was. */
static bool collect_late(struct bounce *b, struct task *task, struct queue_view *view,
			 const struct queue_envelope *envelope)
{
	struct queue_rcpt rcpt;

	for (uint32_t n = 0; queue_view_rcpt_from(view, task->timer.id, n, &rcpt) == QUEUE_OK; n = rcpt.n + 1) {
		if (!wants_warning(&rcpt) || flight_find(&b->scheduler->flight, task->timer.id, rcpt.n))
			continue;
		if (!(envelope->flags & QUEUE_HELD) && !scheduler_is_paused(b->scheduler, rcpt.flow.target) &&
		    !scheduler_is_tried(b->scheduler, &rcpt))
			return false;
		if (task->count < BOUNCE_RCPTS)
			add_rcpt(task, envelope, &rcpt, DSN_DELAYED);
	}
	return true;
}

/* ---------------------------------------------------------------- the report */

static void token(char out[TOKEN_SIZE])
{
	uint8_t random[(TOKEN_SIZE - 1) / 2];

	crypto_random(random, sizeof random);
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(out + 2 * i, 3, "%02x", random[i]);
}

/* Writes the head and the tail; opens the original where it goes along. False: it cannot be read. */
static bool compose(struct bounce *b, struct task *task, struct queue_view *view, const struct queue_envelope *envelope)
{
	const struct config *config = b->scheduler->config;
	struct queue_bytes first = { "", 0 };
	char boundary[TOKEN_SIZE], unique[TOKEN_SIZE], id[TEXT_ID_SIZE];
	size_t max = dsn_head_max(task->count);
	struct dsn_report report = {
		.hostname = config->hostname,
		.from = config->postmaster,
		.sender = envelope->sender,
		.report_id = task->message_id,
		.boundary = boundary,
		.id = text_id_print(task->timer.id, id),
		.message_id = envelope->message_id,
		.subject = envelope->subject,
		.envid = envelope->envid,
		.arrival_ms = envelope->arrival_ms,
		.now_ms = b->now.wall_ms,
		.rcpts = task->rcpts,
		.rcpt_count = task->count,
		.is_8bit = envelope->body != QUEUE_BODY_7BIT,
	};

	token(boundary);
	token(unique);
	snprintf(task->message_id, sizeof task->message_id, "%s@%.255s", unique, config->hostname);
	report.whole = dsn_wants_whole(envelope->ret == QUEUE_RET_FULL, envelope->size_bytes, task->rcpts, task->count);
	if (queue_body_open(view, task->timer.id, &task->reader) == QUEUE_OK) {
		task->has_reader = true;
		/* A damaged original does not keep the report from its sender. */
		if (!report.whole && queue_body_next(&task->reader, view, &first) != QUEUE_OK)
			first = (struct queue_bytes){ "", 0 };
	} else {
		report.whole = false;
	}
	report.header = dsn_header(span_of(first.data, first.len));
	buf_fini(&task->text);
	buf_init(&task->text, max);
	if (!dsn_head(&task->text, &report) || !dsn_tail(&task->tail, &report))
		return false;
	task->is_8bit = dsn_is_8bit(&report);
	if (task->has_reader && !report.whole) {
		queue_body_close(&task->reader);
		task->has_reader = false;
	}
	task->is_utf8 = !text_is_ascii(span_str(envelope->sender));
	task->uid = envelope->uid;
	task->sender = keep(task, envelope->sender);
	task->target = keep(task, route_target(config, route_find(config, "", envelope->sender)));
	return true;
}

static void failed(struct task *task, enum queue_err err)
{
	struct bounce *b = task->bounce;

	if (!b->is_failing)
		log_event(LOG_LEVEL_ERROR, "report", LOG_ID(task->timer.id), LOG_TEXT("error", queue_err_text(err)),
			  LOG_TEXT("doing", "the report to the sender stays owed; trying again"));
	b->is_failing = true;
	again(b, AGAIN_MS);
	task_free(task);
}

static void done(void *arg, enum queue_err err, uint64_t id)
{
	struct task *task = arg;
	struct bounce *b = task->bounce;
	struct queue_timer timer = task->timer;
	struct log_field fields[] = {
		LOG_ID(timer.id),
		LOG_TEXT("to", task->sender),
		LOG_TEXT("about", task->kind == TASK_WARN ? "delay" : "outcome"),
		LOG_NUM("recipients", task->count),
		{ .key = "report", .id = id },
		{ .key = NULL },
	};
	bool is_partial = task->is_partial;

	queue_view_end(b->queue);
	scheduler_answered(b->scheduler);
	if (err && err != QUEUE_NOT_FOUND) {
		failed(task, err);
		return;
	}
	b->is_failing = false;
	log_fields(LOG_LEVEL_NOTICE, "reported", fields);
	task_free(task);
	if (is_partial)
		bounce_timer(b, timer, b->now);
}

static void submit(struct task *task)
{
	struct bounce *b = task->bounce;
	const struct config *config = b->scheduler->config;
	const struct config_route *route = route_find(config, "", task->sender);
	struct queue_op *op = queue_op_new(b->queue);
	struct queue_envelope envelope = {
		.arrival_ms = b->now.wall_ms,
		.sender = "",
		.submitter = "self",
		.uid = task->uid,
		.origin = "report",
		.envid = "",
		.message_id = task->message_id,
		.subject = task->kind == TASK_WARN ? "Delivery is delayed" : "Delivery report",
		.ret = QUEUE_RET_HDRS,
		.body = task->is_8bit ? QUEUE_BODY_8BIT : QUEUE_BODY_7BIT,
		.flags = QUEUE_REPORT | (task->is_utf8 ? QUEUE_SMTPUTF8 : 0),
		.expires_ms = b->now.wall_ms + (route ? route->lifetime_ms : config->queue.lifetime_ms),
	};
	struct queue_rcpt rcpt = {
		.address = task->sender,
		.orcpt = "",
		.notify = QUEUE_NOTIFY_NEVER,
		.flow = { .target = task->target, .submitter = "self", .band = 1 },
		.due_ms = b->now.wall_ms,
		.reply = "",
		.host = "",
	};

	queue_op_accept(op, task->receipt, &envelope, &rcpt, 1);
	task->receipt = NULL;
	if (task->kind == TASK_WARN) {
		queue_op_flags(op, task->timer.id, QUEUE_WARNED, 0, 0);
	} else {
		for (size_t i = 0; i < task->count; i++)
			queue_op_reported(op, task->timer.id, task->n[i]);
	}
	/* Operations are applied in the order they were submitted: outcomes that come later set the timer anew. */
	if (!task->is_partial)
		queue_op_timer_drop(op, task->timer);
	queue_op_submit(op, done, task);
}

/* The next piece to append: what is composed, then the original's chunks, then the tail. False: an error. */
static bool next_piece(struct task *task, struct span *out, enum queue_err *out_err)
{
	struct queue_view *view;
	struct queue_bytes bytes = { NULL, 0 };

	if (!buf_is_empty(&task->text)) {
		*out = buf_span(&task->text);
		return true;
	}
	if (task->has_reader) {
		view = queue_view(task->bounce->queue);
		*out_err = view ? queue_body_next(&task->reader, view, &bytes) : QUEUE_IO;
		if (*out_err && *out_err != QUEUE_CORRUPT)
			return false;
		*out = span_of(bytes.data, bytes.len);
		if (bytes.len && *out_err == QUEUE_OK)
			return true;
		queue_body_close(&task->reader);
		task->has_reader = false;
	}
	*out = task->has_tail ? span_of("", 0) : buf_span(&task->tail);
	task->has_tail = true;
	return true;
}

static void run(void *arg)
{
	struct task *task = arg;
	struct span piece;
	enum queue_err err = QUEUE_OK;

	for (;;) {
		if (!next_piece(task, &piece, &err))
			break;
		if (!piece.len) {
			submit(task);
			return;
		}
		err = queue_receipt_append(task->receipt, piece.data, piece.len);
		if (err == QUEUE_BUSY) {
			/* What came from the map or the tail must be at hand when the queue takes bytes again. */
			if (buf_is_empty(&task->text)) {
				buf_fini(&task->text);
				buf_init(&task->text, piece.len);
				buf_append_span(&task->text, piece);
			}
			return;
		}
		if (err)
			break;
		buf_clear(&task->text);
	}
	failed(task, err);
}

static void start(struct bounce *b, struct task *task, struct queue_view *view, const struct queue_envelope *envelope)
{
	if (!compose(b, task, view, envelope)) {
		failed(task, QUEUE_NO_MEMORY);
		return;
	}
	task->receipt = queue_receipt_new(b->queue);
	queue_receipt_on_ready(task->receipt, run, task);
	run(task);
}

/* ---------------------------------------------------------------- timers */

static void drop_timer(struct bounce *b, struct queue_timer timer)
{
	struct queue_op *op = queue_op_new(b->queue);

	queue_op_timer_drop(op, timer);
	queue_op_submit(op, NULL, NULL);
}

static void report(struct bounce *b, struct queue_timer timer, struct queue_view *view,
		   const struct queue_envelope *envelope)
{
	struct task *task = task_new(b, TASK_REPORT, timer);

	if (!collect_owed(b, task, view, envelope)) {
		task_free(task);
		again(b, AGAIN_MS / 10);
	} else if (task->count) {
		start(b, task, view, envelope);
	} else {
		task_free(task);
		drop_timer(b, timer);
	}
}

static void warn(struct bounce *b, struct queue_timer timer, struct queue_view *view,
		 const struct queue_envelope *envelope)
{
	struct task *task = task_new(b, TASK_WARN, timer);

	if (!envelope->sender[0] || envelope->flags & QUEUE_WARNED || b->now.wall_ms >= envelope->expires_ms) {
		task_free(task);
		drop_timer(b, timer);
	} else if (!collect_late(b, task, view, envelope)) {
		task_free(task);
		again(b, UNTRIED_AGAIN_MS);
	} else if (task->count) {
		start(b, task, view, envelope);
	} else {
		task_free(task);
		drop_timer(b, timer);
	}
}

/* FUTURERELEASE: held until now. */
static void release(struct bounce *b, struct queue_timer timer, const struct queue_envelope *envelope)
{
	struct queue_op *op;

	if (!(envelope->flags & QUEUE_HELD)) {
		drop_timer(b, timer);
		return;
	}
	op = queue_op_new(b->queue);
	queue_op_flags(op, timer.id, 0, QUEUE_HELD, b->now.wall_ms);
	queue_op_submit(op, NULL, NULL);
	log_event(LOG_LEVEL_INFO, "released", LOG_ID(timer.id), LOG_TEXT("by", "its hold time"));
}

struct expiry {
	struct bounce *bounce;
	uint64_t id;
	struct mem_arena arena;
	struct queue_outcome outcomes[BOUNCE_RCPTS];
	size_t count;
};

static void expired(void *arg, enum queue_err err, uint64_t id)
{
	struct expiry *e = arg;
	struct bounce *b = e->bounce;

	(void)id;
	queue_view_end(b->queue);
	scheduler_answered(b->scheduler);
	b->count--;
	if (err && err != QUEUE_NOT_FOUND)
		again(b, AGAIN_MS);
	for (size_t i = 0; i < e->count && err == QUEUE_OK; i++) {
		b->expired++;
		log_event(LOG_LEVEL_NOTICE, "bounced", LOG_ID(e->id), LOG_TEXT("to", e->outcomes[i].address),
			  LOG_TEXT("host", e->outcomes[i].host), LOG_TEXT("reply", e->outcomes[i].reply),
			  LOG_TEXT("report", e->outcomes[i].report_owed ? "owed" : "none"));
	}
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

	settle_expired_text(e->bounce->now.wall_ms - envelope->arrival_ms, rcpt->reply, text);
	e->outcomes[e->count++] = (struct queue_outcome){
		.n = rcpt->n,
		.kind = QUEUE_BOUNCED,
		.at_ms = e->bounce->now.wall_ms,
		.report_owed = settle_owes_failure(envelope->sender, rcpt->notify),
		.reply = keep_for(e, text),
		.host = keep_for(e, rcpt->host),
		.lane = "",
		.tls = "",
		.address = keep_for(e, rcpt->address),
	};
}

/* The timer stays: recipients in flight are judged when they come back, others when they were attempted. */
static void expire(struct bounce *b, struct queue_timer timer, struct queue_view *view,
		   const struct queue_envelope *envelope)
{
	struct expiry *e = MEM_NEW(struct expiry);
	struct queue_op *op;
	struct queue_rcpt rcpt;
	bool is_left = false;

	e->bounce = b;
	e->id = timer.id;
	mem_arena_init(&e->arena, (size_t)BOUNCE_RCPTS * RCPT_TEXT_MAX);
	for (uint32_t n = 0; queue_view_rcpt_from(view, timer.id, n, &rcpt) == QUEUE_OK; n = rcpt.n + 1) {
		if (!is_waiting(&rcpt))
			continue;
		if (e->count == BOUNCE_RCPTS || flight_find(&b->scheduler->flight, timer.id, rcpt.n)) {
			again(b, e->count == BOUNCE_RCPTS ? 0 : AGAIN_MS);
			is_left = true;
		} else if (envelope->flags & QUEUE_HELD || scheduler_is_paused(b->scheduler, rcpt.flow.target) ||
			   !scheduler_is_tried(b->scheduler, &rcpt)) {
			again(b, UNTRIED_AGAIN_MS);
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
	b->count++;
	queue_op_submit(op, expired, e);
}

void bounce_timer(struct bounce *b, struct queue_timer timer, struct moment now)
{
	struct queue_view *view = queue_view(b->queue);
	struct queue_envelope envelope;

	b->now = now;
	if (is_at_work(b, timer))
		return;
	if (!view || queue_view_envelope(view, timer.id, &envelope) != QUEUE_OK) {
		again(b, UNTRIED_AGAIN_MS); /* gone, or unreadable just now */
		return;
	}
	switch (timer.kind) {
	case QUEUE_TIMER_REPORT: report(b, timer, view, &envelope); break;
	case QUEUE_TIMER_WARN: warn(b, timer, view, &envelope); break;
	case QUEUE_TIMER_EXPIRE: expire(b, timer, view, &envelope); break;
	case QUEUE_TIMER_RELEASE: release(b, timer, &envelope); break;
	case QUEUE_TIMER_FLOW:
	case QUEUE_TIMER_LANE: break;
	}
}
