#include "queue/message.h"

#include "queue/body.h"
#include "queue/flow.h"

#include <string.h>

enum queue_err message_load(struct apply *a, uint64_t id)
{
	uint8_t key[KEY_MAIL];
	struct queue_bytes value;
	enum queue_err err;

	key_mail(key, id, KEY_ENVELOPE, 0);
	err = store_get(a->txn, STORE_MAIL, key, sizeof key, &value);
	if (err != QUEUE_OK)
		return err;
	if (value.len > sizeof a->env_record)
		return QUEUE_DAMAGED;
	memcpy(a->env_record, value.data, value.len);
	a->env_len = value.len;
	if (!record_envelope_decode((struct queue_bytes){ a->env_record, value.len }, &a->env))
		return QUEUE_DAMAGED;
	a->env.e.id = id;
	a->id = id;
	return QUEUE_OK;
}

static enum queue_err take_rcpt(struct apply *a, struct queue_bytes value, uint32_t n)
{
	if (value.len > sizeof a->rcpt_record)
		return QUEUE_DAMAGED;
	memcpy(a->rcpt_record, value.data, value.len);
	if (!record_rcpt_decode((struct queue_bytes){ a->rcpt_record, value.len }, &a->rcpt))
		return QUEUE_DAMAGED;
	a->rcpt.n = n;
	return QUEUE_OK;
}

enum queue_err message_rcpt(struct apply *a, uint32_t n)
{
	uint8_t key[KEY_MAIL];
	struct queue_bytes value;
	enum queue_err err;

	key_mail(key, a->id, KEY_RCPT, n);
	err = store_get(a->txn, STORE_MAIL, key, sizeof key, &value);
	return err == QUEUE_OK ? take_rcpt(a, value, n) : err;
}

/* The first recipient record of the message with a number >= n. */
static enum queue_err seek_rcpt(struct apply *a, uint32_t n, struct key_mail_parts *out_parts,
				struct queue_bytes *out_value)
{
	uint8_t from[KEY_MAIL];
	struct queue_bytes key;
	enum queue_err err;

	key_mail(from, a->id, KEY_RCPT, n);
	err = store_seek(a->txn, STORE_MAIL, from, sizeof from, &key, out_value);
	if (err != QUEUE_OK)
		return err;
	if (!key_mail_read(key, out_parts) || out_parts->id != a->id || out_parts->part != KEY_RCPT)
		return QUEUE_NOT_FOUND;
	return QUEUE_OK;
}

enum queue_err message_rcpt_from(struct apply *a, uint32_t n)
{
	struct key_mail_parts parts;
	struct queue_bytes value;
	enum queue_err err = seek_rcpt(a, n, &parts, &value);

	return err == QUEUE_OK ? take_rcpt(a, value, parts.n) : err;
}

bool message_is_held(const struct apply *a)
{
	return a->env.e.flags & QUEUE_HELD;
}

bool message_is_waiting(const struct apply *a)
{
	return a->rcpt.state == QUEUE_RCPT_WAITING || a->rcpt.state == QUEUE_RCPT_DOUBTFUL;
}

void message_unschedule(struct apply *a)
{
	flow_remove(a, a->rcpt.flow_id, a->rcpt.due_ms, a->id, a->rcpt.n);
}

enum queue_err message_schedule(struct apply *a)
{
	return flow_add(a, a->rcpt.flow_id, a->rcpt.due_ms, a->id, a->rcpt.n);
}

enum queue_err message_rcpt_save(struct apply *a)
{
	uint8_t key[KEY_MAIL], *out;
	size_t len = record_rcpt_size(&a->rcpt);

	if (len == 0)
		return store_fail(a->txn, QUEUE_INVALID);
	key_mail(key, a->id, KEY_RCPT, a->rcpt.n);
	out = store_reserve(a->txn, STORE_MAIL, key, sizeof key, len);
	if (out)
		record_rcpt_encode(out, &a->rcpt);
	return a->txn->err;
}

enum queue_err message_enter(struct apply *a)
{
	enum queue_err err = flow_intern(a, &a->rcpt.flow, &a->rcpt.flow_id);

	if (err == QUEUE_OK)
		err = message_rcpt_save(a);
	return err == QUEUE_OK ? message_schedule(a) : store_fail(a->txn, err);
}

/* The fixed part was patched. */
static enum queue_err save_envelope(struct apply *a)
{
	uint8_t key[KEY_MAIL];

	record_seal(a->env_record, a->env_len);
	key_mail(key, a->id, KEY_ENVELOPE, 0);
	return store_put(a->txn, STORE_MAIL, key, sizeof key, a->env_record, a->env_len);
}

enum queue_err message_set_flags(struct apply *a, uint32_t flags)
{
	if (flags == a->env.e.flags)
		return QUEUE_OK;
	a->env.e.flags = flags;
	record_patch_flags(a->env_record, flags);
	return save_envelope(a);
}

static void drop_timer(struct apply *a, enum queue_timer_kind kind)
{
	uint8_t key[KEY_TIMER];

	key_timer(key, (struct queue_timer){ .when_ms = a->env.timer_ms[kind], .kind = kind, .id = a->id });
	store_del(a->txn, STORE_SCHEDULE, key, sizeof key);
}

static void put_timer(struct apply *a, enum queue_timer_kind kind)
{
	uint8_t key[KEY_TIMER];

	key_timer(key, (struct queue_timer){ .when_ms = a->env.timer_ms[kind], .kind = kind, .id = a->id });
	store_put(a->txn, STORE_SCHEDULE, key, sizeof key, "", 0);
	op_news_timer(a->op, a->env.timer_ms[kind]);
}

void message_set_timer(struct apply *a, enum queue_timer_kind kind, int64_t when_ms)
{
	bool had_expiry = record_is_timed(&a->env, QUEUE_TIMER_EXPIRE), has_expiry;

	if (when_ms == a->env.timer_ms[kind])
		return;
	if (record_is_timed(&a->env, kind))
		drop_timer(a, kind);
	a->env.timer_ms[kind] = when_ms;
	record_patch_timer(a->env_record, kind, when_ms);
	save_envelope(a);
	if (record_is_timed(&a->env, kind))
		put_timer(a, kind);
	/* The expiry waits behind the warning. */
	has_expiry = record_is_timed(&a->env, QUEUE_TIMER_EXPIRE);
	if (kind == QUEUE_TIMER_WARN && had_expiry && !has_expiry)
		drop_timer(a, QUEUE_TIMER_EXPIRE);
	if (kind == QUEUE_TIMER_WARN && !had_expiry && has_expiry)
		put_timer(a, QUEUE_TIMER_EXPIRE);
}

enum queue_err message_owes_report(struct apply *a)
{
	enum queue_err err;

	for (uint32_t n = 0; (err = message_rcpt_from(a, n)) == QUEUE_OK; n = a->rcpt.n + 1)
		if (!message_is_waiting(a))
			return QUEUE_OK;
	return err;
}

static enum queue_err leave(struct apply *a)
{
	uint8_t key[KEY_MAIL];

	for (int kind = 0; kind < RECORD_TIMERS; kind++)
		if (record_is_timed(&a->env, (enum queue_timer_kind)kind))
			drop_timer(a, (enum queue_timer_kind)kind);
	body_drop(a);
	key_mail(key, a->id, KEY_ENVELOPE, 0);
	store_del(a->txn, STORE_MAIL, key, sizeof key);
	a->c.messages--;
	a->c.body_bytes -= a->env.e.size_bytes;
	return a->txn->err;
}

enum queue_err message_rcpt_leave(struct apply *a)
{
	uint8_t key[KEY_MAIL];
	struct key_mail_parts parts;
	enum queue_err err;

	if (message_is_waiting(a) && !message_is_held(a))
		message_unschedule(a);
	key_mail(key, a->id, KEY_RCPT, a->rcpt.n);
	store_del(a->txn, STORE_MAIL, key, sizeof key);
	a->c.recipients--;
	err = a->env.e.rcpt_count == 1 ? QUEUE_NOT_FOUND : seek_rcpt(a, 0, &parts, NULL);
	return err == QUEUE_NOT_FOUND ? leave(a) : err;
}
