#include "queue/apply.h"

#include "queue/accept.h"
#include "queue/body.h"
#include "queue/flow.h"
#include "queue/history.h"
#include "queue/message.h"
#include "queue/settle.h"

#include <string.h>

/* ---------------------------------------------------------------- recipients that wait */

typedef enum queue_err change_fn(struct apply *a, const struct op_step *s);

static enum queue_err change_due(struct apply *a, const struct op_step *s)
{
	bool is_held = message_is_held(a);

	if (!is_held)
		message_unschedule(a);
	a->rcpt.due_ms = s->due_ms;
	message_rcpt_save(a);
	return is_held ? a->txn->err : message_schedule(a);
}

static enum queue_err change_flow(struct apply *a, const struct op_step *s)
{
	bool is_held = message_is_held(a);

	if (!is_held)
		message_unschedule(a);
	a->rcpt.flow = s->flow;
	return is_held ? message_rcpt_save(a) : message_enter(a);
}

static enum queue_err take_out(struct apply *a, const struct op_step *s)
{
	(void)s;
	message_unschedule(a);
	return a->txn->err;
}

static enum queue_err put_in(struct apply *a, const struct op_step *s)
{
	a->rcpt.due_ms = s->flags.due_ms;
	return message_enter(a);
}

/* Each waiting recipient of the loaded message. */
static enum queue_err change_all(struct apply *a, const struct op_step *s, change_fn *change)
{
	enum queue_err err;

	for (uint32_t n = 0; (err = message_rcpt_from(a, n)) == QUEUE_OK; n = a->rcpt.n + 1) {
		if (!message_is_waiting(a))
			continue;
		err = change(a, s);
		if (err != QUEUE_OK)
			return err;
	}
	return err == QUEUE_NOT_FOUND ? QUEUE_OK : err;
}

static enum queue_err change_rcpts(struct apply *a, const struct op_step *s, change_fn *change)
{
	enum queue_err err = message_load(a, s->id);

	if (err != QUEUE_OK)
		return err;
	if (s->n == QUEUE_ALL)
		return change_all(a, s, change);
	err = message_rcpt(a, s->n);
	if (err != QUEUE_OK)
		return err;
	return message_is_waiting(a) ? change(a, s) : QUEUE_INVALID;
}

/* A held message has no due entries: they go before the flag is set and come back after it is cleared. */
static enum queue_err set_flags(struct apply *a, const struct op_step *s)
{
	enum queue_err err = message_load(a, s->id);
	uint32_t flags;
	bool was_held;

	if (err != QUEUE_OK)
		return err;
	was_held = message_is_held(a);
	flags = (a->env.e.flags & ~s->flags.clear) | s->flags.set;
	if (!was_held && (flags & QUEUE_HELD))
		err = change_all(a, s, take_out);
	if (err == QUEUE_OK)
		err = message_set_flags(a, flags);
	if (err == QUEUE_OK && was_held && !(flags & QUEUE_HELD)) {
		message_set_timer(a, QUEUE_TIMER_RELEASE, 0);
		err = change_all(a, s, put_in);
	}
	return err == QUEUE_OK ? a->txn->err : err;
}

/* ---------------------------------------------------------------- timers */

static bool is_of_message(enum queue_timer_kind kind)
{
	return (int)kind < RECORD_TIMERS;
}

static enum queue_err set_timer(struct apply *a, struct queue_timer timer)
{
	uint8_t key[KEY_TIMER];
	enum queue_err err;

	if (timer.kind == QUEUE_TIMER_FLOW)
		return flow_rest(a, (uint32_t)timer.id, timer.when_ms);
	if (is_of_message(timer.kind)) {
		err = message_load(a, timer.id);
		if (err != QUEUE_OK)
			return err == QUEUE_NOT_FOUND ? QUEUE_OK : err;
		message_set_timer(a, timer.kind, timer.when_ms);
		return a->txn->err;
	}
	key_timer(key, timer);
	op_news_timer(a->op, timer.when_ms);
	return store_put(a->txn, STORE_SCHEDULE, key, sizeof key, "", 0);
}

/* An outcome that came while a report was being made may owe another one: then the timer stays. */
static enum queue_err drop_message_timer(struct apply *a, struct queue_timer timer)
{
	enum queue_err err = QUEUE_NOT_FOUND;

	if (timer.kind == QUEUE_TIMER_REPORT)
		err = message_owes_report(a);
	if (err == QUEUE_OK)
		op_news_timer(a->op, timer.when_ms);
	if (err != QUEUE_NOT_FOUND)
		return err;
	message_set_timer(a, timer.kind, 0);
	return a->txn->err;
}

static enum queue_err drop_timer(struct apply *a, struct queue_timer timer)
{
	uint8_t key[KEY_TIMER];
	enum queue_err err = QUEUE_NOT_FOUND;

	if (timer.kind == QUEUE_TIMER_FLOW)
		return flow_rest(a, (uint32_t)timer.id, INT64_MAX);
	if (is_of_message(timer.kind))
		err = message_load(a, timer.id);
	if (err == QUEUE_OK && a->env.timer_ms[timer.kind] == timer.when_ms)
		return drop_message_timer(a, timer);
	if (err != QUEUE_OK && err != QUEUE_NOT_FOUND)
		return err;
	/* A lane's, or one that its message does not know (any more). */
	key_timer(key, timer);
	err = store_del(a->txn, STORE_SCHEDULE, key, sizeof key);
	return err == QUEUE_NOT_FOUND ? QUEUE_OK : err;
}

/* ---------------------------------------------------------------- state of others */

static enum queue_err put_lane(struct apply *a, const struct queue_lane *lane)
{
	uint8_t key[RECORD_NAME_MAX + 1], *out;
	size_t len = record_lane_size(lane);

	if (len == 0)
		return QUEUE_INVALID;
	out = store_reserve(a->txn, STORE_STATE, key, key_name(key, 'l', lane->name), len);
	if (out)
		record_lane_encode(out, lane);
	return a->txn->err;
}

static enum queue_err drop_name(struct apply *a, char kind, const char *name)
{
	uint8_t key[RECORD_NAME_MAX + 1];
	enum queue_err err = store_del(a->txn, STORE_STATE, key, key_name(key, kind, name));

	return err == QUEUE_NOT_FOUND ? QUEUE_OK : err;
}

static enum queue_err put_state(struct apply *a, const char *name, struct queue_bytes value)
{
	uint8_t key[RECORD_NAME_MAX + 1];

	if (value.len == 0)
		return drop_name(a, 's', name);
	return store_put(a->txn, STORE_STATE, key, key_name(key, 's', name), value.data, value.len);
}

enum queue_err apply_step(struct apply *a, struct op_step *s)
{
	switch (s->kind) {
	case OP_ACCEPT: return accept_apply(a, s);
	case OP_SETTLE: return settle_apply(a, s);
	case OP_REPORTED: return settle_reported(a, s);
	case OP_REMOVE: return settle_remove(a, s);
	case OP_DUE: return change_rcpts(a, s, change_due);
	case OP_FLOW: return change_rcpts(a, s, change_flow);
	case OP_FLAGS: return set_flags(a, s);
	case OP_TIMER: return set_timer(a, s->timer);
	case OP_TIMER_DROP: return drop_timer(a, s->timer);
	case OP_FLOW_REST: return flow_rest(a, s->flow_id, INT64_MAX);
	case OP_FLOW_PARK: return flow_park(a, (uint32_t)s->timer.id, s->timer.when_ms);
	case OP_LANE: return put_lane(a, &s->lane);
	case OP_LANE_DROP: return drop_name(a, 'l', s->lane.name);
	case OP_STATE: return put_state(a, s->state.name, s->state.value);
	case OP_TRIM: return history_trim(a, s->trim.now_ms, s->trim.count);
	case OP_CHUNK: return body_chunk(a, s);
	case OP_DISOWN: return body_disown(a, s->body);
	}
	return QUEUE_INVALID;
}
