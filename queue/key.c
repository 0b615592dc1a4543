#include "queue/key.h"

#include <string.h>

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 3; i >= 0; i--) {
		p[i] = (uint8_t)v;
		v >>= 8;
	}
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void key_put64(uint8_t *p, uint64_t v)
{
	put32(p, (uint32_t)(v >> 32));
	put32(p + 4, (uint32_t)v);
}

uint64_t key_get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static uint64_t time_of(int64_t ms)
{
	return ms > 0 ? (uint64_t)ms : 0;
}

/* The key's bytes when it has that length, else NULL. */
static const uint8_t *sized(struct queue_bytes key, size_t len)
{
	return key.len == len ? key.data : NULL;
}

void key_mail(uint8_t out[KEY_MAIL], uint64_t id, enum key_part part, uint32_t n)
{
	key_put64(out, id);
	out[8] = (uint8_t)part;
	put32(out + 9, n);
}

bool key_mail_read(struct queue_bytes key, struct key_mail_parts *out)
{
	const uint8_t *p = sized(key, KEY_MAIL);

	if (!p || p[8] > KEY_BODY)
		return false;
	out->id = key_get64(p);
	out->part = (enum key_part)p[8];
	out->n = get32(p + 9);
	return true;
}

void key_due(uint8_t out[KEY_DUE], uint32_t flow, int64_t due_ms, uint64_t id, uint32_t n)
{
	out[0] = 'd';
	put32(out + 1, flow);
	key_put64(out + 5, time_of(due_ms));
	key_put64(out + 13, id);
	put32(out + 21, n);
}

bool key_due_read(struct queue_bytes key, uint32_t *out_flow, struct queue_due *out)
{
	const uint8_t *p = sized(key, KEY_DUE);

	if (!p || p[0] != 'd')
		return false;
	*out_flow = get32(p + 1);
	out->due_ms = (int64_t)key_get64(p + 5);
	out->id = key_get64(p + 13);
	out->n = get32(p + 21);
	return true;
}

void key_timer(uint8_t out[KEY_TIMER], struct queue_timer timer)
{
	out[0] = 't';
	key_put64(out + 1, time_of(timer.when_ms));
	out[9] = (uint8_t)timer.kind;
	key_put64(out + 10, timer.id);
}

bool key_timer_read(struct queue_bytes key, struct queue_timer *out)
{
	const uint8_t *p = sized(key, KEY_TIMER);

	if (!p || p[0] != 't' || p[9] > QUEUE_TIMER_LANE)
		return false;
	out->when_ms = (int64_t)key_get64(p + 1);
	out->kind = (enum queue_timer_kind)p[9];
	out->id = key_get64(p + 10);
	return true;
}

void key_history(uint8_t out[KEY_HISTORY], uint64_t at_ms, uint64_t id, uint32_t n)
{
	key_put64(out, at_ms);
	key_put64(out + 8, id);
	put32(out + 16, n);
}

bool key_history_read(struct queue_bytes key, struct queue_history_at *out)
{
	const uint8_t *p = sized(key, KEY_HISTORY);

	if (!p)
		return false;
	out->at_ms = key_get64(p);
	out->id = key_get64(p + 8);
	out->n = get32(p + 16);
	return true;
}

void key_history_of(uint8_t out[KEY_HISTORY_OF], uint64_t id, uint64_t at_ms, uint32_t n)
{
	out[0] = 0xff;
	key_put64(out + 1, id);
	key_put64(out + 9, at_ms);
	put32(out + 17, n);
}

bool key_history_of_read(struct queue_bytes key, struct queue_history_at *out)
{
	const uint8_t *p = sized(key, KEY_HISTORY_OF);

	if (!p || p[0] != 0xff)
		return false;
	out->id = key_get64(p + 1);
	out->at_ms = key_get64(p + 9);
	out->n = get32(p + 17);
	return true;
}

void key_flow(uint8_t out[KEY_FLOW], uint32_t id)
{
	out[0] = 'i';
	put32(out + 1, id);
}

bool key_flow_read(struct queue_bytes key, uint32_t *out_id)
{
	const uint8_t *p = sized(key, KEY_FLOW);

	if (!p || p[0] != 'i')
		return false;
	*out_id = get32(p + 1);
	return true;
}

void key_flow_name(uint8_t out[KEY_FLOW_NAME], uint64_t hash, uint32_t id)
{
	out[0] = 'k';
	key_put64(out + 1, hash);
	put32(out + 9, id);
}

bool key_flow_name_read(struct queue_bytes key, uint64_t *out_hash, uint32_t *out_id)
{
	const uint8_t *p = sized(key, KEY_FLOW_NAME);

	if (!p || p[0] != 'k')
		return false;
	*out_hash = key_get64(p + 1);
	*out_id = get32(p + 9);
	return true;
}

void key_number(uint8_t out[KEY_NUMBER], char kind, uint64_t number)
{
	out[0] = (uint8_t)kind;
	key_put64(out + 1, number);
}

bool key_number_read(struct queue_bytes key, char kind, uint64_t *out_number)
{
	const uint8_t *p = sized(key, KEY_NUMBER);

	if (!p || p[0] != (uint8_t)kind)
		return false;
	*out_number = key_get64(p + 1);
	return true;
}

size_t key_name(uint8_t *out, char kind, const char *name)
{
	size_t len = strlen(name);

	out[0] = (uint8_t)kind;
	memcpy(out + 1, name, len);
	return len + 1;
}
