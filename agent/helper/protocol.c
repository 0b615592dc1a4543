#include "helper/protocol.h"

static uint32_t get32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static void put32(char *p, uint32_t v)
{
	p[0] = (char)(v >> 24);
	p[1] = (char)(v >> 16);
	p[2] = (char)(v >> 8);
	p[3] = (char)v;
}

static bool has_timeout(enum protocol_kind kind)
{
	return kind == PROTOCOL_RUN || kind == PROTOCOL_CHECK;
}

enum protocol_verdict protocol_read(struct span in, struct protocol_record *out, size_t *out_used)
{
	struct protocol_record record = { .timeout_ms = 0 };
	uint32_t len;

	if (in.len < 4)
		return PROTOCOL_MORE;
	len = get32(in.data);
	if (len < PROTOCOL_HEAD - 4 || len > PROTOCOL_RECORD - 4)
		return PROTOCOL_BAD;
	if (in.len < PROTOCOL_HEAD)
		return PROTOCOL_MORE;
	if (in.data[4] < PROTOCOL_RUN || in.data[4] > PROTOCOL_CHECK)
		return PROTOCOL_BAD;
	if (in.len - 4 < len)
		return PROTOCOL_MORE;
	record.kind = (enum protocol_kind)in.data[4];
	record.id = get32(in.data + 5);
	record.payload = span_of(in.data + PROTOCOL_HEAD, len - (PROTOCOL_HEAD - 4));
	if (has_timeout(record.kind)) {
		if (record.payload.len < 4)
			return PROTOCOL_BAD;
		record.timeout_ms = get32(record.payload.data);
		record.payload = span_from(record.payload, 4);
	}
	if (record.payload.len > PROTOCOL_PAYLOAD)
		return PROTOCOL_BAD;
	*out = record;
	*out_used = 4 + (size_t)len;
	return PROTOCOL_DONE;
}

bool protocol_write(struct buf *out, const struct protocol_record *record)
{
	size_t extra = has_timeout(record->kind) ? 4 : 0;
	char *room;

	if (record->payload.len > PROTOCOL_PAYLOAD)
		return false;
	room = buf_reserve(out, PROTOCOL_HEAD + extra + record->payload.len);
	if (!room)
		return false;
	put32(room, (uint32_t)(PROTOCOL_HEAD - 4 + extra + record->payload.len));
	room[4] = (char)record->kind;
	put32(room + 5, record->id);
	if (extra)
		put32(room + PROTOCOL_HEAD, record->timeout_ms);
	if (record->payload.len)
		memcpy(room + PROTOCOL_HEAD + extra, record->payload.data, record->payload.len);
	buf_commit(out, PROTOCOL_HEAD + extra + record->payload.len);
	return true;
}
