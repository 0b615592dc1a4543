/*
 * queue_model - the queue as a few arrays, to compare the real one with.
 *
 * Each model_* does to the arrays what the operation of that name promises, and answers what it should answer.
 * model_compare() walks the whole queue: messages, recipients, schedule, bodies, counters, and the verification.
 */
#ifndef QUEUE_MODEL_H
#define QUEUE_MODEL_H

#include "tests/unit/queue_kit.h"

enum { MODEL_MESSAGES = 400, MODEL_RCPTS = 4, MODEL_TARGETS = 5 };

struct model_rcpt {
	bool is_there;
	enum queue_rcpt_state state;
	int64_t due_ms;
	int target;
	uint32_t attempts;
	char reply[32];
};

struct model_message {
	uint64_t id, seed;
	bool is_there, is_held;
	size_t size;
	int count;
	struct model_rcpt r[MODEL_RCPTS];
};

struct model {
	struct model_message m[MODEL_MESSAGES];
	int count;
	uint64_t history;
};

static inline const char *model_target(int n)
{
	static const char *const targets[MODEL_TARGETS] = { "mx:a.example", "mx:b.example", "via:home", "via:work,home",
							    "mx:c.example" };

	return targets[n];
}

static inline struct model_message *model_find(struct model *m, uint64_t id)
{
	for (int i = 0; i < m->count; i++)
		if (m->m[i].id == id && m->m[i].is_there)
			return &m->m[i];
	return NULL;
}

static inline bool model_waits(const struct model_rcpt *r)
{
	return r->is_there && (r->state == QUEUE_RCPT_WAITING || r->state == QUEUE_RCPT_DOUBTFUL);
}

static inline void model_leave(struct model_message *m, struct model_rcpt *r)
{
	r->is_there = false;
	m->is_there = false;
	for (int i = 0; i < m->count; i++)
		m->is_there = m->is_there || m->r[i].is_there;
}

static inline enum queue_err model_accept(struct model *m, uint64_t id, uint64_t seed, size_t size, bool is_held,
					  const int *targets, int count, int64_t due_ms)
{
	struct model_message *new = &m->m[m->count++];

	assert_true(m->count <= MODEL_MESSAGES);
	*new = (struct model_message){
		.id = id, .seed = seed, .is_there = true, .is_held = is_held, .size = size, .count = count
	};
	for (int i = 0; i < count; i++)
		new->r[i] = (struct model_rcpt){ .is_there = true, .due_ms = due_ms, .target = targets[i] };
	return QUEUE_OK;
}

static inline enum queue_err model_settle(struct model *m, uint64_t id, const struct queue_outcome *o)
{
	struct model_message *x = model_find(m, id);
	struct model_rcpt *r = x && o->n < (uint32_t)x->count ? &x->r[o->n] : NULL;

	if (!r || !model_waits(r))
		return QUEUE_OK;
	r->attempts++;
	snprintf(r->reply, sizeof r->reply, "%s", o->reply);
	if (o->kind == QUEUE_DEFERRED || o->kind == QUEUE_DOUBT) {
		r->state = o->kind == QUEUE_DOUBT ? QUEUE_RCPT_DOUBTFUL : QUEUE_RCPT_WAITING;
		r->due_ms = o->due_ms;
		return QUEUE_OK;
	}
	m->history++;
	if (!o->report_owed)
		model_leave(x, r);
	else
		r->state = o->kind == QUEUE_DELIVERED ? QUEUE_RCPT_DELIVERED : QUEUE_RCPT_FAILED;
	return QUEUE_OK;
}

static inline enum queue_err model_reported(struct model *m, uint64_t id, uint32_t n)
{
	struct model_message *x = model_find(m, id);

	if (!x || n >= (uint32_t)x->count || !x->r[n].is_there)
		return QUEUE_OK;
	if (model_waits(&x->r[n]))
		return QUEUE_INVALID;
	model_leave(x, &x->r[n]);
	return QUEUE_OK;
}

static inline enum queue_err model_remove(struct model *m, uint64_t id, uint32_t n)
{
	struct model_message *x = model_find(m, id);

	if (!x || (n != QUEUE_ALL && (n >= (uint32_t)x->count || !x->r[n].is_there)))
		return QUEUE_NOT_FOUND;
	for (uint32_t i = 0; i < (uint32_t)x->count; i++) {
		if ((n != QUEUE_ALL && n != i) || !x->r[i].is_there)
			continue;
		m->history += model_waits(&x->r[i]);
		model_leave(x, &x->r[i]);
	}
	return QUEUE_OK;
}

/* due_ms or, where that is negative, target. */
static inline enum queue_err model_change(struct model *m, uint64_t id, uint32_t n, int64_t due_ms, int target)
{
	struct model_message *x = model_find(m, id);

	if (!x || (n != QUEUE_ALL && (n >= (uint32_t)x->count || !x->r[n].is_there)))
		return QUEUE_NOT_FOUND;
	if (n != QUEUE_ALL && !model_waits(&x->r[n]))
		return QUEUE_INVALID;
	for (uint32_t i = 0; i < (uint32_t)x->count; i++) {
		if ((n != QUEUE_ALL && n != i) || !model_waits(&x->r[i]))
			continue;
		if (due_ms >= 0)
			x->r[i].due_ms = due_ms;
		else
			x->r[i].target = target;
	}
	return QUEUE_OK;
}

static inline enum queue_err model_hold(struct model *m, uint64_t id, bool hold, int64_t due_ms)
{
	struct model_message *x = model_find(m, id);

	if (!x)
		return QUEUE_NOT_FOUND;
	for (int i = 0; i < x->count && x->is_held && !hold; i++)
		if (model_waits(&x->r[i]))
			x->r[i].due_ms = due_ms;
	x->is_held = hold;
	return QUEUE_OK;
}

/* ---------------------------------------------------------------- the comparison */

static inline void model_say(void *arg, uint64_t id, const char *finding)
{
	(void)arg;
	fprintf(stderr, "verification: message %llx: %s\n", (unsigned long long)id, finding);
}

static inline uint64_t model_verify(struct kit *k)
{
	struct queue_verify v = { 0 };

	while (queue_verify_step(k->q, &v, model_say, NULL) == QUEUE_OK)
		queue_view_end(k->q);
	queue_view_end(k->q);
	return v.findings;
}

static inline void model_compare_message(struct kit *k, const struct model_message *x)
{
	struct queue_envelope e;
	struct queue_rcpt r;
	uint64_t size;
	enum queue_err err;

	assert_int_equal(queue_view_envelope(queue_view(k->q), x->id, &e), QUEUE_OK);
	assert_int_equal(e.size_bytes, x->size);
	assert_int_equal(!!(e.flags & QUEUE_HELD), x->is_held);
	for (int n = 0; n < x->count; n++) {
		err = queue_view_rcpt(queue_view(k->q), x->id, (uint32_t)n, &r);
		assert_int_equal(err, x->r[n].is_there ? QUEUE_OK : QUEUE_NOT_FOUND);
		if (err != QUEUE_OK)
			continue;
		assert_int_equal(r.state, x->r[n].state);
		assert_string_equal(r.flow.target, model_target(x->r[n].target));
		assert_int_equal(r.attempts, x->r[n].attempts);
		assert_string_equal(r.reply, x->r[n].reply);
		if (model_waits(&x->r[n]))
			assert_int_equal(r.due_ms, x->r[n].due_ms);
	}
	queue_view_end(k->q);
	assert_int_equal(kit_read_body(k, x->id, x->seed, &size), QUEUE_OK);
	assert_int_equal(size, x->size);
}

/* Each due entry belongs to a recipient that waits, and there are as many. */
static inline uint64_t model_count_due(struct kit *k, struct model *m)
{
	struct queue_view *v = queue_view(k->q);
	struct queue_flow flow;
	uint32_t id = 0;
	uint64_t count = 0;

	while (queue_view_flow_next(v, id, &id, &flow) == QUEUE_OK) {
		struct queue_due due = { 0 };

		while (queue_view_due(v, id, due, &due) == QUEUE_OK) {
			struct model_message *x = model_find(m, due.id);

			assert_non_null(x);
			assert_true(model_waits(&x->r[due.n]) && !x->is_held && x->r[due.n].due_ms == due.due_ms);
			assert_string_equal(flow.target, model_target(x->r[due.n].target));
			count++;
		}
	}
	queue_view_end(k->q);
	return count;
}

static inline void model_compare(struct kit *k, struct model *m)
{
	struct queue_stats s;
	uint64_t messages = 0, rcpts = 0, due = 0, bytes = 0, id = 0, seen = 0;

	for (int i = 0; i < m->count; i++) {
		const struct model_message *x = &m->m[i];

		if (!x->is_there)
			continue;
		messages++;
		bytes += x->size;
		for (int n = 0; n < x->count; n++) {
			rcpts += x->r[n].is_there;
			due += model_waits(&x->r[n]) && !x->is_held;
		}
		model_compare_message(k, x);
	}
	while (queue_view_next(queue_view(k->q), id, &id) == QUEUE_OK) {
		assert_non_null(model_find(m, id));
		seen++;
	}
	queue_view_end(k->q);
	assert_int_equal(seen, messages);
	assert_int_equal(model_count_due(k, m), due);
	queue_stats(k->q, &s);
	assert_int_equal(s.messages, messages);
	assert_int_equal(s.recipients, rcpts);
	assert_int_equal(s.body_bytes, bytes);
	assert_int_equal(s.history_records, m->history);
	assert_int_equal(model_verify(k), 0);
}

#endif
