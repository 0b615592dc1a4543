#include "queue/group.h"

#include "queue/accept.h"
#include "queue/apply.h"
#include "queue/body.h"
#include "queue/space.h"

#include <stdlib.h>
#include <string.h>

enum { READERS_EVERY = 4096 }; /* commits between two looks for dead readers */

static const char counters_key[] = { 'z' };
static const char schema_key[] = { 'v' };

struct group {
	struct store *store;
	struct group_shared *shared;
	struct space space;
	struct record_counters committed;
	uint64_t first_body; /* of this run: lower ones in an `r` record are left over */
	bool has_garbage;
	unsigned until_readers;
	struct apply apply;
};

/* ---------------------------------------------------------------- counters and schema */

static enum queue_err save_counters(struct store_txn *t, const struct record_counters *c)
{
	uint8_t record[RECORD_COUNTERS_SIZE];

	record_counters_encode(record, c);
	return store_put(t, STORE_SCHEDULE, counters_key, sizeof counters_key, record, sizeof record);
}

static enum queue_err make_schema(struct store *store, struct record_counters *out)
{
	const uint8_t schema[4] = { RECORD_SCHEMA };
	struct store_txn t;
	enum queue_err err = store_begin(store, NULL, &t);

	if (err != QUEUE_OK)
		return err;
	*out = (struct record_counters){ .last_id = RECORD_FIRST_ID - 1, .next_flow = 1, .next_body = 1 };
	store_put(&t, STORE_STATE, schema_key, sizeof schema_key, schema, sizeof schema);
	save_counters(&t, out);
	return store_commit(&t);
}

/* NOT_FOUND: a new file. */
static enum queue_err read_schema(struct store_txn *t, uint8_t *out_schema)
{
	struct queue_bytes value;
	uint64_t entries = 0;
	enum queue_err err = store_get(t, STORE_STATE, schema_key, sizeof schema_key, &value);
	const uint8_t *p;

	if (err == QUEUE_NOT_FOUND && store_entries(t, STORE_MAIL, &entries) == QUEUE_OK && entries > 0)
		return QUEUE_DAMAGED;
	if (err != QUEUE_OK)
		return err;
	p = value.data;
	if (value.len != 4 || p[0] == 0)
		return QUEUE_DAMAGED;
	*out_schema = p[0];
	return p[0] > RECORD_SCHEMA || p[1] || p[2] || p[3] ? QUEUE_SCHEMA : QUEUE_OK;
}

/* An older agent would take the envelopes that are written from now on for damaged ones: it must not open this. */
static enum queue_err upgrade(struct store *store)
{
	const uint8_t schema[4] = { RECORD_SCHEMA };
	struct store_txn t;
	enum queue_err err = store_begin(store, NULL, &t);

	if (err != QUEUE_OK)
		return err;
	store_put(&t, STORE_STATE, schema_key, sizeof schema_key, schema, sizeof schema);
	return store_commit(&t);
}

static enum queue_err load(struct store *store, struct record_counters *out)
{
	struct store_txn t = { 0 };
	struct queue_bytes value;
	uint8_t schema = RECORD_SCHEMA;
	enum queue_err err = store_read(store, &t);

	if (err == QUEUE_OK)
		err = read_schema(&t, &schema);
	if (err == QUEUE_OK) {
		err = store_get(&t, STORE_SCHEDULE, counters_key, sizeof counters_key, &value);
		if (err == QUEUE_NOT_FOUND || (err == QUEUE_OK && !record_counters_decode(value, out)))
			err = QUEUE_DAMAGED;
		store_read_end(&t);
		return err == QUEUE_OK && schema < RECORD_SCHEMA ? upgrade(store) : err;
	}
	store_read_end(&t);
	return err == QUEUE_NOT_FOUND ? make_schema(store, out) : err;
}

static void publish(struct group *g)
{
	struct group_shared *sh = g->shared;

	sh->messages = g->committed.messages;
	sh->recipients = g->committed.recipients;
	sh->body_bytes = g->committed.body_bytes;
	sh->history_records = g->committed.history_records;
	sh->free_disk_bytes = g->space.free_bytes;
	sh->is_disk_full = g->space.is_exhausted;
}

enum queue_err group_new(struct store *store, struct group_shared *shared, struct group **out_group)
{
	struct group *g = calloc(1, sizeof *g);
	enum queue_err err;

	if (!g)
		return QUEUE_NO_MEMORY;
	g->store = store;
	g->shared = shared;
	err = load(store, &g->committed);
	if (err != QUEUE_OK) {
		free(g);
		return err;
	}
	space_init(&g->space, store);
	g->first_body = g->committed.next_body;
	g->has_garbage = true; /* perhaps: the first look tells */
	publish(g);
	*out_group = g;
	return QUEUE_OK;
}

void group_free(struct group *g)
{
	free(g);
}

const struct record_counters *group_counters(const struct group *g)
{
	return &g->committed;
}

/* ---------------------------------------------------------------- one operation */

static void prepare(struct group *g, struct store_txn *t)
{
	struct apply *a = &g->apply;
	struct space *sp = &g->space;
	const struct group_shared *sh = g->shared;

	/* While mail is refused nothing is committed, so nothing else looks at the disk again. */
	if (sp->free_bytes < accept_floor(sh, false))
		space_refresh(sp, g->store);
	a->txn = t;
	a->c = g->committed;
	a->shared = g->shared;
	a->has_garbage = false;
	a->reports = sp->is_exhausted || sp->free_bytes < accept_floor(sh, true) ? QUEUE_DISK_FULL : QUEUE_OK;
	a->refusal = sp->is_exhausted || sp->free_bytes < accept_floor(sh, false) ? QUEUE_DISK_FULL : QUEUE_OK;
}

static enum queue_err run_steps(struct apply *a, struct queue_op *op)
{
	enum queue_err err = op->built;

	a->op = op;
	op->err = QUEUE_OK;
	for (struct op_step *s = op->first; s && err == QUEUE_OK; s = s->next) {
		err = apply_step(a, s);
		if (err == QUEUE_OK)
			err = a->txn->err;
	}
	/* News that found no memory would leave mail unattended. */
	return err == QUEUE_OK ? op->err : err;
}

/* What a failed chunk's stream must remember: later chunks of the same body would leave a hole. */
static void note_streams(const struct queue_op *op)
{
	for (struct op_step *s = op->first; s; s = s->next)
		if (s->kind == OP_CHUNK && s->chunk.stream->err == QUEUE_OK)
			s->chunk.stream->err = op->err;
}

static void run_in_child(struct group *g, struct store_txn *parent, struct queue_op *op)
{
	struct apply *a = &g->apply;
	struct record_counters before = a->c;
	struct store_txn child;
	enum queue_err err = store_begin(g->store, parent, &child);

	if (err == QUEUE_OK) {
		a->txn = &child;
		err = run_steps(a, op);
		if (err == QUEUE_OK)
			err = store_commit(&child);
		store_abort(&child);
	}
	a->txn = parent;
	if (err == QUEUE_OK) {
		parent->writes += child.writes;
		return;
	}
	a->c = before;
	op->err = err;
	note_streams(op);
}

/* How a group is run: first as if nothing could fail. */
enum mode { STRAIGHT, CHILDREN, ALONE };

/* False: the group's transaction is spoilt. */
static bool run_op(struct group *g, struct store_txn *t, struct queue_op *op, enum mode mode)
{
	struct apply *a = &g->apply;
	struct record_counters before = a->c;
	uint64_t writes = t->writes;

	op->news = NULL;
	if (mode == CHILDREN && op->first && op->first->next) {
		run_in_child(g, t, op);
		return t->err == QUEUE_OK;
	}
	op->err = run_steps(a, op);
	if (op->err == QUEUE_OK)
		return true;
	a->c = before;
	if (t->err != QUEUE_OK || t->writes != writes)
		return false;
	note_streams(op);
	return true;
}

/* ---------------------------------------------------------------- a group */

static void after_commit(struct group *g)
{
	g->committed = g->apply.c;
	g->shared->commits++;
	space_refresh(&g->space, g->store);
	if (g->until_readers-- == 0) {
		g->until_readers = READERS_EVERY;
		g->shared->stale_readers += (uint32_t)store_clear_readers(g->store);
	}
}

/* In a child, so that what cannot be swept stops no mail. True when there is more. */
static bool sweep_in_child(struct group *g, struct store_txn *parent)
{
	struct store_txn child;
	bool more = false;
	enum queue_err err = store_begin(g->store, parent, &child);

	if (err == QUEUE_OK) {
		g->apply.txn = &child;
		err = body_sweep(&g->apply, g->first_body, &more);
		if (err == QUEUE_OK)
			err = store_commit(&child);
		store_abort(&child);
	}
	g->apply.txn = parent;
	return err == QUEUE_OK && more;
}

static enum queue_err finish(struct group *g, struct store_txn *t)
{
	struct apply *a = &g->apply;
	bool has_garbage = g->has_garbage || a->has_garbage;
	enum queue_err err;

	if (t->writes == 0) {
		store_abort(t);
		return QUEUE_OK;
	}
	if (has_garbage)
		has_garbage = sweep_in_child(g, t);
	save_counters(t, &a->c);
	err = store_commit(t);
	if (err == QUEUE_OK) {
		g->has_garbage = has_garbage;
		after_commit(g);
	}
	return err;
}

/* True when all operations of the list have their answer. */
static bool run_once(struct group *g, struct queue_op *ops, enum mode mode)
{
	bool is_alone = mode == ALONE;
	struct store_txn t;
	enum queue_err err;

	space_ensure(&g->space, g->store);
	err = store_begin(g->store, NULL, &t);
	if (err == QUEUE_OK) {
		prepare(g, &t);
		for (struct queue_op *op = ops; op; op = op->next) {
			if (run_op(g, &t, op, mode))
				continue;
			store_abort(&t);
			if (is_alone)
				note_streams(op);
			return is_alone;
		}
		err = finish(g, &t);
	}
	if (err == QUEUE_OK)
		return true;
	if (is_alone) {
		ops->err = err;
		note_streams(ops);
	}
	return is_alone;
}

void group_run(struct group *g, struct queue_op *ops)
{
	struct queue_op *next;
	uint64_t count = 0;

	for (struct queue_op *op = ops; op; op = op->next)
		count++;
	if (!run_once(g, ops, ops->next ? STRAIGHT : ALONE) && !run_once(g, ops, CHILDREN)) {
		for (struct queue_op *op = ops; op; op = next) {
			next = op->next;
			op->next = NULL;
			run_once(g, op, ALONE);
			op->next = next;
		}
	}
	g->shared->operations += count;
	publish(g);
}

/* ---------------------------------------------------------------- chores */

static void sweep(struct group *g)
{
	struct store_txn t;
	bool more = false;
	enum queue_err err = store_begin(g->store, NULL, &t);

	if (err == QUEUE_OK) {
		prepare(g, &t);
		err = body_sweep(&g->apply, g->first_body, &more);
		if (err == QUEUE_OK && t.writes > 0)
			err = store_commit(&t);
		else
			store_abort(&t);
	}
	/* A failure is not tried again before the next commit finds something to sweep. */
	g->has_garbage = err == QUEUE_OK && more;
	if (err == QUEUE_OK)
		space_refresh(&g->space, g->store);
	publish(g);
}

bool group_has_chores(const struct group *g)
{
	return g->has_garbage || space_is_bare(&g->space, g->store);
}

void group_chore(struct group *g)
{
	if (g->has_garbage)
		sweep(g);
	else if (space_is_bare(&g->space, g->store))
		space_fill(&g->space, g->store);
}
