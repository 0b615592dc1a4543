#include "queue/flow.h"
#include "queue/history.h"
#include "queue/internal.h"
#include "queue/key.h"

#include <string.h>

struct queue_view *queue_view(struct queue *q)
{
	struct queue_view *v = &q->view;

	if (v->is_open)
		return v;
	v->q = q;
	if (store_read(q->store, &v->txn) != QUEUE_OK)
		return NULL;
	v->is_open = true;
	v->history_id = 0;
	return v;
}

void queue_view_end(struct queue *q)
{
	if (!q->view.is_open)
		return;
	q->view.is_open = false;
	store_read_reset(&q->view.txn);
}

/* ---------------------------------------------------------------- messages */

enum queue_err queue_view_envelope(struct queue_view *v, uint64_t id, struct queue_envelope *out)
{
	uint8_t key[KEY_MAIL];
	struct record_envelope r;
	struct queue_bytes value;
	enum queue_err err;

	key_mail(key, id, KEY_ENVELOPE, 0);
	err = store_get(&v->txn, STORE_MAIL, key, sizeof key, &value);
	if (err != QUEUE_OK)
		return err;
	if (!record_envelope_decode(value, &r))
		return QUEUE_DAMAGED;
	*out = r.e;
	out->id = id;
	return QUEUE_OK;
}

static enum queue_err read_rcpt(struct queue_bytes value, uint32_t n, struct queue_rcpt *out)
{
	struct queue_rcpt r;

	if (!record_rcpt_decode(value, &r))
		return QUEUE_DAMAGED;
	*out = r;
	out->n = n;
	return QUEUE_OK;
}

enum queue_err queue_view_rcpt(struct queue_view *v, uint64_t id, uint32_t n, struct queue_rcpt *out)
{
	uint8_t key[KEY_MAIL];
	struct queue_bytes value;
	enum queue_err err;

	key_mail(key, id, KEY_RCPT, n);
	err = store_get(&v->txn, STORE_MAIL, key, sizeof key, &value);
	return err == QUEUE_OK ? read_rcpt(value, n, out) : err;
}

enum queue_err queue_view_rcpt_from(struct queue_view *v, uint64_t id, uint32_t n, struct queue_rcpt *out)
{
	uint8_t from[KEY_MAIL];
	struct key_mail_parts parts;
	struct queue_bytes key, value;
	enum queue_err err;

	key_mail(from, id, KEY_RCPT, n);
	err = store_seek(&v->txn, STORE_MAIL, from, sizeof from, &key, &value);
	if (err != QUEUE_OK)
		return err;
	if (!key_mail_read(key, &parts))
		return QUEUE_DAMAGED;
	if (parts.id != id || parts.part != KEY_RCPT)
		return QUEUE_NOT_FOUND;
	return read_rcpt(value, parts.n, out);
}

static enum queue_err message_of(struct queue_bytes key, uint64_t *out_id)
{
	struct key_mail_parts parts;

	if (!key_mail_read(key, &parts))
		return QUEUE_DAMAGED;
	/* Below the ids lie the bodies that were streamed. */
	if (parts.id < RECORD_FIRST_ID)
		return QUEUE_NOT_FOUND;
	*out_id = parts.id;
	return QUEUE_OK;
}

enum queue_err queue_view_next(struct queue_view *v, uint64_t after, uint64_t *out_id)
{
	uint8_t from[KEY_MAIL];
	struct queue_bytes key;
	enum queue_err err;

	if (after == UINT64_MAX)
		return QUEUE_NOT_FOUND;
	key_mail(from, after < RECORD_FIRST_ID ? RECORD_FIRST_ID : after + 1, KEY_ENVELOPE, 0);
	err = store_seek(&v->txn, STORE_MAIL, from, sizeof from, &key, NULL);
	return err == QUEUE_OK ? message_of(key, out_id) : err;
}

enum queue_err queue_view_previous(struct queue_view *v, uint64_t before, uint64_t *out_id)
{
	uint8_t from[KEY_MAIL];
	struct queue_bytes key;
	enum queue_err err;

	key_mail(from, before, KEY_ENVELOPE, 0);
	err = store_seek_before(&v->txn, STORE_MAIL, from, sizeof from, &key, NULL);
	return err == QUEUE_OK ? message_of(key, out_id) : err;
}

/* ---------------------------------------------------------------- schedule */

/* The first key of the schedule behind `from`. */
static enum queue_err schedule_after(struct queue_view *v, const uint8_t *from, size_t len, struct queue_bytes *out)
{
	enum queue_err err = store_seek(&v->txn, STORE_SCHEDULE, from, len, out, NULL);

	if (err == QUEUE_OK && out->len == len && memcmp(out->data, from, len) == 0)
		err = store_next(&v->txn, STORE_SCHEDULE, out, NULL);
	return err;
}

enum queue_err queue_view_due(struct queue_view *v, uint32_t flow_id, struct queue_due after, struct queue_due *out)
{
	uint8_t from[KEY_DUE];
	struct queue_bytes key;
	struct queue_due due;
	uint32_t flow;
	enum queue_err err;

	key_due(from, flow_id, after.due_ms, after.id, after.n);
	err = schedule_after(v, from, sizeof from, &key);
	if (err != QUEUE_OK)
		return err;
	if (!key_due_read(key, &flow, &due) || flow != flow_id)
		return QUEUE_NOT_FOUND;
	*out = due;
	return QUEUE_OK;
}

enum queue_err queue_view_timer(struct queue_view *v, struct queue_timer after, struct queue_timer *out)
{
	uint8_t from[KEY_TIMER];
	struct queue_bytes key;
	struct queue_timer timer;
	enum queue_err err;

	key_timer(from, after);
	err = schedule_after(v, from, sizeof from, &key);
	if (err != QUEUE_OK)
		return err;
	if (!key_timer_read(key, &timer))
		return QUEUE_NOT_FOUND;
	*out = timer;
	return QUEUE_OK;
}

enum queue_err queue_view_flow(struct queue_view *v, uint32_t flow_id, struct queue_flow *out)
{
	struct record_flow f;
	enum queue_err err = flow_get(&v->txn, flow_id, &f);

	if (err == QUEUE_OK)
		*out = f.flow;
	return err;
}

enum queue_err queue_view_flow_next(struct queue_view *v, uint32_t after, uint32_t *out_id, struct queue_flow *out)
{
	struct record_flow f;
	enum queue_err err = flow_after(&v->txn, after, out_id, &f);

	if (err == QUEUE_OK)
		*out = f.flow;
	return err;
}

/* ---------------------------------------------------------------- lanes and state of others */

/* The length of the key, or 0 for a name that no record can have. */
static size_t name_key(uint8_t *out, char kind, const char *name, size_t max)
{
	return strlen(name) > max ? 0 : key_name(out, kind, name);
}

enum queue_err queue_view_lane(struct queue_view *v, const char *name, struct queue_lane *out)
{
	uint8_t key[RECORD_NAME_MAX + 1];
	size_t len = name_key(key, 'l', name, RECORD_NAME_MAX);
	struct queue_bytes value;
	struct queue_lane lane;
	enum queue_err err = len ? store_get(&v->txn, STORE_STATE, key, len, &value) : QUEUE_NOT_FOUND;

	if (err != QUEUE_OK)
		return err;
	if (!record_lane_decode(value, &lane))
		return QUEUE_DAMAGED;
	*out = lane;
	return QUEUE_OK;
}

enum queue_err queue_view_lane_next(struct queue_view *v, const char *after, struct queue_lane *out)
{
	uint8_t from[RECORD_NAME_MAX + 1];
	size_t len = name_key(from, 'l', after, RECORD_NAME_MAX);
	struct queue_bytes key, value;
	struct queue_lane lane;
	enum queue_err err = len ? store_seek(&v->txn, STORE_STATE, from, len, &key, &value) : QUEUE_NOT_FOUND;

	if (err == QUEUE_OK && key.len == len && memcmp(key.data, from, len) == 0)
		err = store_next(&v->txn, STORE_STATE, &key, &value);
	if (err != QUEUE_OK)
		return err;
	if (key.len < 1 || *(const char *)key.data != 'l')
		return QUEUE_NOT_FOUND;
	if (!record_lane_decode(value, &lane))
		return QUEUE_DAMAGED;
	*out = lane;
	return QUEUE_OK;
}

enum queue_err queue_view_state(struct queue_view *v, const char *name, struct queue_bytes *out)
{
	uint8_t key[RECORD_STATE_MAX + 1];
	size_t len = name_key(key, 's', name, RECORD_STATE_MAX);

	return len ? store_get(&v->txn, STORE_STATE, key, len, out) : QUEUE_NOT_FOUND;
}

enum queue_err queue_view_state_next(struct queue_view *v, const char *after, char out_name[QUEUE_STATE_NAME_SIZE],
				     struct queue_bytes *out)
{
	uint8_t from[RECORD_STATE_MAX + 1];
	size_t len = name_key(from, 's', after, RECORD_STATE_MAX);
	struct queue_bytes key, value;
	enum queue_err err = len ? store_seek(&v->txn, STORE_STATE, from, len, &key, &value) : QUEUE_NOT_FOUND;

	_Static_assert(QUEUE_STATE_NAME_SIZE == (int)RECORD_STATE_MAX + 1, "every name fits");
	if (err == QUEUE_OK && key.len == len && memcmp(key.data, from, len) == 0)
		err = store_next(&v->txn, STORE_STATE, &key, &value);
	if (err != QUEUE_OK)
		return err;
	if (key.len < 2 || key.len > RECORD_STATE_MAX + 1 || *(const char *)key.data != 's')
		return QUEUE_NOT_FOUND;
	memcpy(out_name, (const char *)key.data + 1, key.len - 1);
	out_name[key.len - 1] = '\0';
	*out = value;
	return QUEUE_OK;
}

/* ---------------------------------------------------------------- history */

enum queue_err queue_view_history(struct queue_view *v, struct queue_history_at *at, struct queue_outcome *out)
{
	return history_before(&v->txn, at, out);
}

enum queue_err queue_view_history_of(struct queue_view *v, uint64_t id, uint32_t *from, struct queue_outcome *out)
{
	enum queue_err err;

	/* The usual caller goes on where it stood. */
	if (v->history_id != id || v->history_from > *from) {
		v->history_id = id;
		v->history_from = 0;
		v->history_at = (struct queue_history_at){ 0 };
	}
	do {
		err = history_of_after(&v->txn, id, &v->history_at, out);
		if (err != QUEUE_OK)
			return err;
	} while (v->history_from++ < *from);
	(*from)++;
	return QUEUE_OK;
}
