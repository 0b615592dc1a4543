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
	return kind == PROTOCOL_RUN || kind == PROTOCOL_CHECK || kind == PROTOCOL_FETCH;
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
	if (in.data[4] < PROTOCOL_RUN || in.data[4] > PROTOCOL_ANSWER)
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

/* ---------------------------------------------------------------- what FETCH and ANSWER carry */

enum { ANSWER_OK = 1 << 0, ANSWER_TLS = 1 << 1 };

static bool is_text(struct span s, size_t max)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] < ' ' || s.data[i] == 127)
			return false;
	return s.len <= max;
}

static bool is_fetch(const struct protocol_fetch *fetch)
{
	return fetch->url.len && is_text(fetch->url, PROTOCOL_URL) && is_text(fetch->addresses, PROTOCOL_TEXT) &&
	       is_text(fetch->ca_file, PROTOCOL_TEXT) && is_text(fetch->content_type, PROTOCOL_TEXT) &&
	       fetch->body.len <= PROTOCOL_BODY && fetch->max_bytes && fetch->max_bytes <= PROTOCOL_BODY;
}

static bool is_answer(const struct protocol_answer *answer)
{
	return is_text(answer->text, PROTOCOL_TEXT) && answer->body.len <= PROTOCOL_BODY &&
	       (answer->ok ? !answer->is_tls : answer->text.len && !answer->body.len && !answer->status);
}

static bool put_number(struct buf *out, uint32_t v)
{
	char bytes[4];

	put32(bytes, v);
	return buf_append(out, bytes, sizeof bytes);
}

static bool put_field(struct buf *out, struct span field)
{
	return put_number(out, (uint32_t)field.len) && buf_append_span(out, field);
}

static bool get_number(struct span *rest, uint32_t *out_number)
{
	if (rest->len < 4)
		return false;
	*out_number = get32(rest->data);
	*rest = span_from(*rest, 4);
	return true;
}

static bool get_field(struct span *rest, struct span *out)
{
	uint32_t len;

	if (!get_number(rest, &len) || len > rest->len)
		return false;
	*out = span_first(*rest, len);
	*rest = span_from(*rest, len);
	return true;
}

bool protocol_fetch_write(struct buf *out, const struct protocol_fetch *fetch)
{
	return is_fetch(fetch) && put_number(out, fetch->max_bytes) && put_field(out, fetch->url) &&
	       put_field(out, fetch->addresses) && put_field(out, fetch->ca_file) &&
	       put_field(out, fetch->content_type) && put_field(out, fetch->body);
}

bool protocol_fetch_read(struct span payload, struct protocol_fetch *out)
{
	struct protocol_fetch fetch;

	if (!get_number(&payload, &fetch.max_bytes) || !get_field(&payload, &fetch.url) ||
	    !get_field(&payload, &fetch.addresses) || !get_field(&payload, &fetch.ca_file) ||
	    !get_field(&payload, &fetch.content_type) || !get_field(&payload, &fetch.body) || payload.len ||
	    !is_fetch(&fetch))
		return false;
	*out = fetch;
	return true;
}

bool protocol_answer_write(struct buf *out, const struct protocol_answer *answer)
{
	char head[3] = { (char)((answer->ok ? ANSWER_OK : 0) | (answer->is_tls ? ANSWER_TLS : 0)),
			 (char)(answer->status >> 8), (char)answer->status };

	return is_answer(answer) && buf_append(out, head, sizeof head) && put_field(out, answer->text) &&
	       put_field(out, answer->body);
}

bool protocol_answer_read(struct span payload, struct protocol_answer *out)
{
	struct protocol_answer answer;
	unsigned char flags;

	if (payload.len < 3)
		return false;
	flags = (unsigned char)payload.data[0];
	answer.ok = flags & ANSWER_OK;
	answer.is_tls = flags & ANSWER_TLS;
	answer.status = (uint16_t)((unsigned char)payload.data[1] << 8 | (unsigned char)payload.data[2]);
	payload = span_from(payload, 3);
	if (flags & ~(ANSWER_OK | ANSWER_TLS) || !get_field(&payload, &answer.text) ||
	    !get_field(&payload, &answer.body) || payload.len || !is_answer(&answer))
		return false;
	*out = answer;
	return true;
}
