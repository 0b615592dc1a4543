#include "queue/accept.h"

#include "queue/body.h"
#include "queue/flow.h"

#include <string.h>

/* What the quota is charged beside the body. */
enum { PER_MESSAGE = 1024, PER_RCPT = 512 };

uint64_t accept_charge(uint64_t body_bytes, uint64_t messages, uint64_t recipients)
{
	return body_bytes + messages * PER_MESSAGE + recipients * PER_RCPT;
}

uint64_t accept_quota(const struct group_shared *limits, bool is_report)
{
	uint64_t quota = limits->max_size_bytes;

	return is_report ? quota + quota / 8 : quota;
}

uint64_t accept_floor(const struct group_shared *limits, bool is_report)
{
	uint64_t floor = limits->min_free_disk_bytes;

	return is_report ? floor / 2 : floor;
}

static enum queue_err check_room(const struct apply *a, const struct op_accept *accept)
{
	bool is_report = accept->flags & QUEUE_REPORT;
	enum queue_err refusal = is_report ? a->reports : a->refusal;

	if (refusal != QUEUE_OK)
		return refusal;
	if (accept->size_bytes > a->shared->max_message_bytes)
		return QUEUE_TOO_BIG;
	return accept_charge(a->c.body_bytes + accept->size_bytes, a->c.messages + 1,
			     a->c.recipients + accept->rcpt_count) > accept_quota(a->shared, is_report)
		       ? QUEUE_QUOTA
		       : QUEUE_OK;
}

/* Ids rise, so only one that is not the newest may be there already. */
static enum queue_err check_id(struct apply *a, uint64_t id)
{
	uint8_t key[KEY_MAIL];
	struct queue_bytes value;
	enum queue_err err;

	if (id > a->c.last_id)
		return QUEUE_OK;
	key_mail(key, id, KEY_ENVELOPE, 0);
	err = store_get(a->txn, STORE_MAIL, key, sizeof key, &value);
	if (err == QUEUE_OK)
		return QUEUE_INVALID;
	return err == QUEUE_NOT_FOUND ? QUEUE_OK : err;
}

static void put_rcpt(struct apply *a, uint64_t id, uint32_t n, struct op_rcpt *r, bool is_held)
{
	uint8_t key[KEY_MAIL];
	uint32_t flow_id = 0;
	enum queue_err err = is_held ? QUEUE_OK : flow_intern(a, &r->flow, &flow_id);

	if (err != QUEUE_OK) {
		store_fail(a->txn, err);
		return;
	}
	record_patch_flow(r->record, flow_id);
	record_seal(r->record, r->len);
	key_mail(key, id, KEY_RCPT, n);
	store_put(a->txn, STORE_MAIL, key, sizeof key, r->record, r->len);
	if (!is_held)
		flow_add(a, flow_id, r->due_ms, id, n);
}

static void put_timers(struct apply *a, uint64_t id, const struct op_accept *accept)
{
	struct record_envelope e = { 0 };
	uint8_t key[KEY_TIMER];

	memcpy(e.timer_ms, accept->timer_ms, sizeof e.timer_ms);
	for (int kind = 0; kind < RECORD_TIMERS; kind++) {
		struct queue_timer timer = { .when_ms = accept->timer_ms[kind],
					     .kind = (enum queue_timer_kind)kind,
					     .id = id };

		if (!record_is_timed(&e, timer.kind))
			continue;
		key_timer(key, timer);
		store_put(a->txn, STORE_SCHEDULE, key, sizeof key, "", 0);
		op_news_timer(a->op, timer.when_ms);
	}
}

enum queue_err accept_apply(struct apply *a, struct op_step *s)
{
	struct op_accept *accept = &s->accept;
	uint8_t key[KEY_MAIL];
	enum queue_err err = check_room(a, accept);

	if (err == QUEUE_OK)
		err = check_id(a, s->id);
	if (err == QUEUE_OK)
		err = body_is_whole(a, accept);
	if (err != QUEUE_OK)
		return err;
	key_mail(key, s->id, KEY_ENVELOPE, 0);
	store_put(a->txn, STORE_MAIL, key, sizeof key, accept->envelope, accept->envelope_len);
	for (uint32_t n = 0; n < accept->rcpt_count && a->txn->err == QUEUE_OK; n++)
		put_rcpt(a, s->id, n, &accept->rcpts[n], accept->flags & QUEUE_HELD);
	body_finish(a, s->id, accept);
	put_timers(a, s->id, accept);
	a->c.messages++;
	a->c.recipients += accept->rcpt_count;
	a->c.body_bytes += accept->size_bytes;
	if (s->id > a->c.last_id)
		a->c.last_id = s->id;
	op_news_accepted(a->op, s->id);
	return a->txn->err;
}
