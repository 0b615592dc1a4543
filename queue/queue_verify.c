#include "queue/flow.h"
#include "queue/internal.h"
#include "queue/key.h"
#include "queue/pagecheck.h"

#include <string.h>

enum { RECORDS_A_STEP = 256, PAGES_CHECKED = 100000 };

/* One step of a verification. */
struct check {
	struct queue *q;
	struct queue_view *v;
	struct queue_verify *position;
	void (*say)(void *arg, uint64_t id, const char *finding);
	void *arg;
};

static void find(struct check *c, uint64_t id, const char *finding)
{
	c->position->findings++;
	c->say(c->arg, id, finding);
}

static bool exists(struct check *c, enum store_tree tree, const void *key, size_t len)
{
	struct queue_bytes value;

	return store_get(&c->v->txn, tree, key, len, &value) == QUEUE_OK;
}

static bool load_envelope(struct check *c, uint64_t id, struct record_envelope *out)
{
	uint8_t key[KEY_MAIL];
	struct queue_bytes value;

	key_mail(key, id, KEY_ENVELOPE, 0);
	return store_get(&c->v->txn, STORE_MAIL, key, sizeof key, &value) == QUEUE_OK &&
	       record_envelope_decode(value, out);
}

static bool is_waiting(const struct queue_rcpt *r)
{
	return r->state == QUEUE_RCPT_WAITING || r->state == QUEUE_RCPT_DOUBTFUL;
}

/* ---------------------------------------------------------------- messages */

static void check_rcpt(struct check *c, uint64_t id, const struct record_envelope *e, const struct queue_rcpt *r)
{
	uint8_t key[KEY_DUE];
	struct record_flow f;

	if (r->n >= e->e.rcpt_count)
		find(c, id, "a recipient has a number that the envelope does not know");
	if (!is_waiting(r) && e->timer_ms[QUEUE_TIMER_REPORT] == 0)
		find(c, id, "a report is owed and no timer reminds of it");
	if (!is_waiting(r) || (e->e.flags & QUEUE_HELD))
		return;
	key_due(key, r->flow_id, r->due_ms < 1 ? 1 : r->due_ms, id, r->n);
	if (!exists(c, STORE_SCHEDULE, key, sizeof key))
		find(c, id, "a waiting recipient is not in the schedule");
	if (flow_get(&c->v->txn, r->flow_id, &f) != QUEUE_OK)
		find(c, id, "a waiting recipient's flow is missing");
	else if (f.wake_ms == 0)
		find(c, id, "a waiting recipient's flow never wakes");
}

static void check_rcpts(struct check *c, uint64_t id, const struct record_envelope *e)
{
	struct queue_rcpt r;
	uint32_t n = 0, count = 0;
	enum queue_err err;

	while ((err = queue_view_rcpt_from(c->v, id, n, &r)) == QUEUE_OK) {
		check_rcpt(c, id, e, &r);
		count++;
		n = r.n + 1;
	}
	if (err != QUEUE_NOT_FOUND)
		find(c, id, "a recipient record is damaged");
	else if (count == 0)
		find(c, id, "a message has no recipients");
}

static void check_timers(struct check *c, uint64_t id, const struct record_envelope *e)
{
	uint8_t key[KEY_TIMER];

	for (int kind = 0; kind < RECORD_TIMERS; kind++) {
		if (!record_is_timed(e, (enum queue_timer_kind)kind))
			continue;
		key_timer(key, (struct queue_timer){ e->timer_ms[kind], (enum queue_timer_kind)kind, id });
		if (!exists(c, STORE_SCHEDULE, key, sizeof key))
			find(c, id, "a timer of the message is missing");
	}
}

static void check_body(struct check *c, uint64_t id)
{
	struct queue_body_reader r;
	struct queue_bytes chunk;
	enum queue_err err = queue_body_open(c->v, id, &r);

	if (err != QUEUE_OK)
		return;
	do
		err = queue_body_next(&r, c->v, &chunk);
	while (err == QUEUE_OK && chunk.len > 0);
	queue_body_close(&r);
	if (err != QUEUE_OK)
		find(c, id, "the body is damaged: its checksum does not match");
}

static void check_message(struct check *c, uint64_t id)
{
	struct record_envelope e;
	uint8_t key[KEY_NUMBER];

	c->position->messages++;
	if (!load_envelope(c, id, &e)) {
		find(c, id, "the envelope is missing or damaged");
		return;
	}
	check_rcpts(c, id, &e);
	check_timers(c, id, &e);
	key_number(key, 'b', e.body);
	if (e.body && !exists(c, STORE_STATE, key, sizeof key))
		find(c, id, "the message's body has no record of its owner");
	check_body(c, id);
}

/* ---------------------------------------------------------------- small records, one at a time */

static void check_mail_record(struct check *c, struct queue_bytes key, struct queue_bytes value)
{
	struct key_mail_parts parts;
	struct record_envelope e;
	uint8_t loose[KEY_NUMBER], owner[KEY_NUMBER];

	(void)value;
	if (!key_mail_read(key, &parts)) {
		find(c, 0, "a record of the mail tree has no legal key");
		return;
	}
	if (parts.id < RECORD_FIRST_ID) {
		key_number(loose, 'r', parts.id);
		key_number(owner, 'b', parts.id);
		if (!exists(c, STORE_STATE, loose, sizeof loose) && !exists(c, STORE_STATE, owner, sizeof owner))
			find(c, 0, "a chunk belongs to no message and no receipt");
		return;
	}
	if (parts.part == KEY_ENVELOPE)
		check_message(c, parts.id);
	else if (!load_envelope(c, parts.id, &e))
		find(c, parts.id, "a record of a message has no envelope");
	else if (parts.part == KEY_BODY && (e.body || parts.n >= e.e.chunks))
		find(c, parts.id, "a chunk is not part of its message's body");
}

static void check_due(struct check *c, uint32_t flow, const struct queue_due *due)
{
	struct record_envelope e;
	struct queue_rcpt r;

	if (!load_envelope(c, due->id, &e) || queue_view_rcpt(c->v, due->id, due->n, &r) != QUEUE_OK)
		find(c, due->id, "the schedule names a recipient that is not there");
	else if (!is_waiting(&r) || (e.e.flags & QUEUE_HELD) || r.flow_id != flow ||
		 (r.due_ms < 1 ? 1 : r.due_ms) != due->due_ms)
		find(c, due->id, "the schedule names a recipient that is not due then");
}

static void check_timer(struct check *c, const struct queue_timer *t)
{
	struct record_envelope e;
	struct record_flow f;

	if ((int)t->kind < RECORD_TIMERS) {
		if (!load_envelope(c, t->id, &e) || e.timer_ms[t->kind] != t->when_ms || !record_is_timed(&e, t->kind))
			find(c, t->id, "a timer's message does not know it");
	} else if (t->kind == QUEUE_TIMER_FLOW) {
		if (flow_get(&c->v->txn, (uint32_t)t->id, &f) != QUEUE_OK || f.wake_ms != t->when_ms)
			find(c, 0, "a timer's flow does not know it");
	}
}

static void check_schedule_record(struct check *c, struct queue_bytes key, struct queue_bytes value)
{
	struct queue_due due;
	struct queue_timer timer;
	struct record_counters counters;
	uint32_t flow;

	if (key_due_read(key, &flow, &due))
		check_due(c, flow, &due);
	else if (key_timer_read(key, &timer))
		check_timer(c, &timer);
	else if (key.len != 1 || *(const char *)key.data != 'z' || !record_counters_decode(value, &counters))
		find(c, 0, "a record of the schedule is damaged");
}

static void check_flow(struct check *c, uint32_t id, struct queue_bytes value)
{
	uint8_t name[KEY_FLOW_NAME], timer[KEY_TIMER];
	struct record_flow f;

	if (!record_flow_decode(value, &f)) {
		find(c, 0, "a flow's record is damaged");
		return;
	}
	key_flow_name(name, record_flow_hash(&f.flow), id);
	if (!exists(c, STORE_STATE, name, sizeof name))
		find(c, 0, "a flow is not found by its name");
	key_timer(timer, (struct queue_timer){ f.wake_ms, QUEUE_TIMER_FLOW, id });
	if (f.wake_ms && !exists(c, STORE_SCHEDULE, timer, sizeof timer))
		find(c, 0, "a flow's wake time is not in the schedule");
}

static void check_owner(struct check *c, uint64_t body, struct queue_bytes value)
{
	struct record_envelope e;
	uint64_t id = value.len == 8 ? key_get64(value.data) : 0;

	if (!load_envelope(c, id, &e) || e.body != body)
		find(c, id, "a body's owner does not know it");
}

static void check_state_record(struct check *c, struct queue_bytes key, struct queue_bytes value)
{
	struct record_loose loose;
	struct queue_lane lane;
	struct record_flow f;
	uint64_t number;
	uint32_t id;

	if (key_flow_read(key, &id))
		check_flow(c, id, value);
	else if (key_flow_name_read(key, &number, &id)) {
		if (flow_get(&c->v->txn, id, &f) != QUEUE_OK)
			find(c, 0, "a flow's name leads nowhere");
	} else if (key_number_read(key, 'b', &number))
		check_owner(c, number, value);
	else if (key_number_read(key, 'r', &number)) {
		if (!record_loose_decode(value, &loose))
			find(c, 0, "the record of a receipt is damaged");
	} else if (*(const char *)key.data == 'l' && !record_lane_decode(value, &lane))
		find(c, 0, "a lane's record is damaged");
}

static void check_history_record(struct check *c, struct queue_bytes key, struct queue_bytes value)
{
	uint8_t other[KEY_HISTORY_OF];
	struct queue_history_at at;
	struct queue_outcome o;

	if (key_history_read(key, &at)) {
		key_history_of(other, at.id, at.at_ms, at.n);
		if (!record_outcome_decode(value, &o))
			find(c, at.id, "a record of the history is damaged");
		else if (!exists(c, STORE_HISTORY, other, KEY_HISTORY_OF))
			find(c, at.id, "a record of the history is not found by its message");
		return;
	}
	if (!key_history_of_read(key, &at)) {
		find(c, 0, "a record of the history has no legal key");
		return;
	}
	key_history(other, at.at_ms, at.id, at.n);
	if (!exists(c, STORE_HISTORY, other, KEY_HISTORY))
		find(c, at.id, "the history of a message leads nowhere");
}

/* ---------------------------------------------------------------- the walk */

static const struct {
	enum store_tree tree;
	void (*check)(struct check *c, struct queue_bytes key, struct queue_bytes value);
} stages[] = {
	{ STORE_MAIL, check_mail_record },
	{ STORE_SCHEDULE, check_schedule_record },
	{ STORE_STATE, check_state_record },
	{ STORE_HISTORY, check_history_record },
};
enum { STAGES = sizeof stages / sizeof *stages };

static bool is_behind(const struct queue_bytes *key, const struct queue_verify *p)
{
	size_t least = key->len < p->key_len ? key->len : p->key_len;
	int order = memcmp(key->data, p->key, least);

	return order > 0 || (order == 0 && key->len > p->key_len);
}

/* The record behind the position. DAMAGED: the tree's order is broken. */
static enum queue_err next_record(struct check *c, struct queue_bytes *out_key, struct queue_bytes *out_value)
{
	struct queue_verify *p = c->position;
	enum store_tree tree = stages[p->stage].tree;
	static const uint8_t lowest[1] = { 0 };
	enum queue_err err;

	err = store_seek(&c->v->txn, tree, p->key_len ? p->key : lowest, p->key_len ? p->key_len : 1, out_key,
			 out_value);
	if (err == QUEUE_OK && out_key->len == p->key_len && memcmp(out_key->data, p->key, p->key_len) == 0)
		err = store_next(&c->v->txn, tree, out_key, out_value);
	/* A damaged page may send the walk back to where it was. */
	return err == QUEUE_OK && !is_behind(out_key, p) ? QUEUE_DAMAGED : err;
}

static void remember(struct queue_verify *p, struct queue_bytes key)
{
	p->key_len = key.len < sizeof p->key ? key.len : sizeof p->key; /* LMDB's keys are shorter */
	memcpy(p->key, key.data, p->key_len);
}

/* First: LMDB, and so everything else here, would follow a damaged page anywhere. */
static enum queue_err check_pages(struct check *c)
{
	char why[160];
	enum queue_err err = pagecheck_file(store_fd(c->q->store), PAGES_CHECKED, 0, why, sizeof why);

	c->position->has_pages = err == QUEUE_OK;
	if (err != QUEUE_OK)
		find(c, 0, why);
	return err;
}

enum queue_err queue_verify_step(struct queue *q, struct queue_verify *position,
				 void (*say)(void *arg, uint64_t id, const char *finding), void *arg)
{
	struct check c = { .q = q, .v = queue_view(q), .position = position, .say = say, .arg = arg };
	uint64_t messages = position->messages;
	struct queue_bytes key, value;
	enum queue_err err;

	if (!c.v)
		return QUEUE_IO;
	if (!position->has_pages)
		return check_pages(&c);
	if (position->stage >= STAGES)
		return QUEUE_NOT_FOUND;
	for (int i = 0; i < RECORDS_A_STEP && position->messages == messages; i++) {
		err = next_record(&c, &key, &value);
		if (err == QUEUE_NOT_FOUND) {
			position->stage++;
			position->key_len = 0;
			return position->stage < STAGES ? QUEUE_OK : QUEUE_NOT_FOUND;
		}
		if (err != QUEUE_OK) {
			find(&c, 0, queue_err_text(err));
			return err;
		}
		remember(position, key);
		stages[position->stage].check(&c, key, value);
	}
	return QUEUE_OK;
}
