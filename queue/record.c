#include "queue/record.h"

#include <string.h>

enum kind { ENVELOPE = 1, RCPT, FLOW, LANE, OUTCOME, COUNTERS, LOOSE };
enum { HEAD = 8 };

/* Versions of an envelope: since when it has a route, and only the first of warning and expiry in the schedule. */
enum { WITH_ROUTE = 2, WITH_ONE_OF_TWO = 3 };

/* Offsets of what is changed in place. */
enum { ENVELOPE_TIMERS = HEAD + 88, ENVELOPE_FLAGS = HEAD + 124, RCPT_FLOW = HEAD, FLOW_WAKE = HEAD };

/* ---------------------------------------------------------------- bytes */

static uint64_t load(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void store(uint8_t *p, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t load_word(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof v);
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? v : __builtin_bswap64(v);
}

/* Not cryptographic: it finds flipped bits and wrong lengths. Eight bytes a step, because the writer pays it. */
static uint64_t mix(uint64_t h, const uint8_t *p, size_t len)
{
	const uint64_t k = 0x9e3779b97f4a7c15u;

	h = (h ^ len) * k;
	for (; len >= 8; p += 8, len -= 8) {
		h = (h ^ load_word(p)) * k;
		h ^= h >> 29;
	}
	h = (h ^ load(p, len)) * k;
	return h ^ h >> 32;
}

uint32_t record_check(const uint8_t *record, size_t len)
{
	return (uint32_t)mix(load(record, 2), record + HEAD, len - HEAD);
}

uint64_t record_flow_hash(const struct queue_flow *flow)
{
	uint64_t h = mix(flow->band, (const uint8_t *)flow->target, strlen(flow->target));

	return mix(h, (const uint8_t *)flow->submitter, strlen(flow->submitter));
}

/* ---------------------------------------------------------------- writing */

/* What the encoders write to. Sizes come from the same code as the bytes: with p NULL only the length counts. */
struct out {
	uint8_t *p;
	size_t len;
	bool is_bad;
};

static void put(struct out *o, uint64_t v, size_t bytes)
{
	if (o->p)
		store(o->p + o->len, v, bytes);
	o->len += bytes;
}

static void put_head(struct out *o, enum kind kind)
{
	put(o, kind == ENVELOPE ? RECORD_ENVELOPE_VERSION : RECORD_VERSION, 1);
	put(o, kind, 1);
	put(o, 0, 6);
}

static void put_text(struct out *o, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	if (len > RECORD_TEXT_MAX) {
		o->is_bad = true;
		return;
	}
	put(o, len, 2);
	if (o->p) {
		if (len)
			memcpy(o->p + o->len, text, len);
		o->p[o->len + len] = '\0';
	}
	o->len += len + 1;
}

static void put_bytes(struct out *o, const void *data, size_t len)
{
	if (o->p)
		memcpy(o->p + o->len, data, len);
	o->len += len;
}

static size_t finish(struct out *o)
{
	if (o->p)
		record_seal(o->p, o->len);
	return o->is_bad ? 0 : o->len;
}

static size_t write_envelope(uint8_t *p, const struct record_envelope *r)
{
	struct out o = { .p = p };
	const struct queue_envelope *e = &r->e;

	put_head(&o, ENVELOPE);
	put(&o, (uint64_t)e->arrival_ms, 8);
	put(&o, (uint64_t)e->hold_until_ms, 8);
	put(&o, (uint64_t)e->deliver_by_ms, 8);
	put(&o, (uint64_t)e->expires_ms, 8);
	put(&o, (uint64_t)e->warn_ms, 8);
	put(&o, e->size_bytes, 8);
	put(&o, r->body, 8);
	put_bytes(&o, e->sha256, sizeof e->sha256);
	for (int i = 0; i < RECORD_TIMERS; i++)
		put(&o, (uint64_t)r->timer_ms[i], 8);
	put(&o, e->uid, 4);
	put(&o, e->flags, 4);
	put(&o, e->chunks, 4);
	put(&o, e->rcpt_count, 4);
	put(&o, e->ret, 1);
	put(&o, e->body, 1);
	put(&o, (uint8_t)e->priority, 1);
	put(&o, 0, 1);
	put_text(&o, e->sender);
	put_text(&o, e->submitter);
	put_text(&o, e->origin);
	put_text(&o, e->envid);
	put_text(&o, e->message_id);
	put_text(&o, e->subject);
	put_text(&o, e->route);
	return finish(&o);
}

static size_t write_rcpt(uint8_t *p, const struct queue_rcpt *r)
{
	struct out o = { .p = p };

	put_head(&o, RCPT);
	put(&o, r->flow_id, 4);
	put(&o, r->attempts, 4);
	put(&o, (uint64_t)r->due_ms, 8);
	put(&o, (uint64_t)r->last_ms, 8);
	put(&o, r->state, 1);
	put(&o, r->notify, 1);
	put(&o, r->flow.band, 1);
	put(&o, 0, 1);
	put_text(&o, r->address);
	put_text(&o, r->orcpt);
	put_text(&o, r->reply);
	put_text(&o, r->host);
	put_text(&o, r->flow.target);
	put_text(&o, r->flow.submitter);
	return finish(&o);
}

static size_t write_flow(uint8_t *p, const struct record_flow *f)
{
	struct out o = { .p = p };

	put_head(&o, FLOW);
	put(&o, (uint64_t)f->wake_ms, 8);
	put(&o, f->flow.band, 1);
	put(&o, 0, 3);
	put_text(&o, f->flow.target);
	put_text(&o, f->flow.submitter);
	return finish(&o);
}

static size_t write_lane(uint8_t *p, const struct queue_lane *l)
{
	struct out o = { .p = p };

	put_head(&o, LANE);
	put(&o, (uint64_t)l->since_ms, 8);
	put(&o, (uint64_t)l->retry_ms, 8);
	put(&o, (uint64_t)l->paused_ms, 8);
	put(&o, l->failures, 4);
	put(&o, l->trouble, 1);
	put(&o, l->parked, 1);
	put(&o, 0, 2);
	put_text(&o, l->name);
	put_text(&o, l->error);
	put_text(&o, l->paused_by);
	return finish(&o);
}

static size_t write_outcome(uint8_t *p, const struct queue_outcome *h)
{
	struct out o = { .p = p };

	put_head(&o, OUTCOME);
	put(&o, (uint64_t)h->arrival_ms, 8);
	put(&o, h->size_bytes, 8);
	put(&o, h->uid, 4);
	put(&o, h->took_ms, 4);
	put(&o, h->attempts, 4);
	put(&o, h->kind, 1);
	put(&o, 0, 3);
	put_text(&o, h->reply);
	put_text(&o, h->host);
	put_text(&o, h->lane);
	put_text(&o, h->tls);
	put_text(&o, h->sender);
	put_text(&o, h->address);
	put_text(&o, h->submitter);
	put_text(&o, h->message_id);
	put_text(&o, h->subject);
	return finish(&o);
}

size_t record_envelope_size(const struct record_envelope *e)
{
	return write_envelope(NULL, e);
}

size_t record_rcpt_size(const struct queue_rcpt *r)
{
	return write_rcpt(NULL, r);
}

size_t record_flow_size(const struct record_flow *f)
{
	return write_flow(NULL, f);
}

size_t record_lane_size(const struct queue_lane *l)
{
	return write_lane(NULL, l);
}

size_t record_outcome_size(const struct queue_outcome *o)
{
	return write_outcome(NULL, o);
}

void record_envelope_encode(uint8_t *out, const struct record_envelope *e)
{
	write_envelope(out, e);
}

void record_rcpt_encode(uint8_t *out, const struct queue_rcpt *r)
{
	write_rcpt(out, r);
}

void record_flow_encode(uint8_t *out, const struct record_flow *f)
{
	write_flow(out, f);
}

void record_lane_encode(uint8_t *out, const struct queue_lane *l)
{
	write_lane(out, l);
}

void record_outcome_encode(uint8_t *out, const struct queue_outcome *o)
{
	write_outcome(out, o);
}

void record_counters_encode(uint8_t out[RECORD_COUNTERS_SIZE], const struct record_counters *c)
{
	struct out o = { .p = out };

	put_head(&o, COUNTERS);
	put(&o, c->messages, 8);
	put(&o, c->recipients, 8);
	put(&o, c->body_bytes, 8);
	put(&o, c->last_id, 8);
	put(&o, c->next_flow, 8);
	put(&o, c->next_body, 8);
	put(&o, c->history_records, 8);
	put(&o, c->history_bytes, 8);
	finish(&o);
}

void record_loose_encode(uint8_t out[RECORD_LOOSE_SIZE], const struct record_loose *l)
{
	struct out o = { .p = out };

	put_head(&o, LOOSE);
	put(&o, l->chunks, 4);
	put(&o, l->is_garbage, 1);
	put(&o, 0, 3);
	finish(&o);
}

/* ---------------------------------------------------------------- reading */

struct in {
	const uint8_t *p;
	size_t left;
	bool is_bad;
};

static bool is_version(uint8_t version, enum kind kind)
{
	return version == RECORD_VERSION || (kind == ENVELOPE && version > 0 && version <= RECORD_ENVELOPE_VERSION);
}

static struct in open_record(struct queue_bytes bytes, enum kind kind)
{
	struct in in = { .p = bytes.data, .left = bytes.len };

	if (in.left < HEAD || !is_version(in.p[0], kind) || in.p[1] != kind || in.p[2] || in.p[3] ||
	    load(in.p + 4, 4) != record_check(in.p, in.left)) {
		in.is_bad = true;
		in.left = 0;
		return in;
	}
	in.p += HEAD;
	in.left -= HEAD;
	return in;
}

static uint64_t take(struct in *in, size_t bytes)
{
	uint64_t v;

	if (in->left < bytes) {
		in->is_bad = true;
		in->left = 0;
		return 0;
	}
	v = load(in->p, bytes);
	in->p += bytes;
	in->left -= bytes;
	return v;
}

static void take_zero(struct in *in, size_t bytes)
{
	if (take(in, bytes) != 0)
		in->is_bad = true;
}

static uint8_t take_upto(struct in *in, uint8_t max)
{
	uint8_t v = (uint8_t)take(in, 1);

	if (v > max)
		in->is_bad = true;
	return v;
}

static const char *take_text(struct in *in)
{
	size_t len = (size_t)take(in, 2);
	const char *text = (const char *)in->p;

	if (in->is_bad || len > RECORD_TEXT_MAX || in->left <= len || text[len] != '\0' || memchr(text, 0, len)) {
		in->is_bad = true;
		in->left = 0;
		return "";
	}
	in->p += len + 1;
	in->left -= len + 1;
	return text;
}

static bool close_record(const struct in *in)
{
	return !in->is_bad && in->left == 0;
}

bool record_envelope_decode(struct queue_bytes bytes, struct record_envelope *out)
{
	struct in in = open_record(bytes, ENVELOPE);
	struct queue_envelope *e = &out->e;
	uint8_t version;

	e->id = 0;
	e->arrival_ms = (int64_t)take(&in, 8);
	e->hold_until_ms = (int64_t)take(&in, 8);
	e->deliver_by_ms = (int64_t)take(&in, 8);
	e->expires_ms = (int64_t)take(&in, 8);
	e->warn_ms = (int64_t)take(&in, 8);
	e->size_bytes = take(&in, 8);
	out->body = take(&in, 8);
	if (in.left < sizeof e->sha256)
		return false;
	memcpy(e->sha256, in.p, sizeof e->sha256);
	in.p += sizeof e->sha256;
	in.left -= sizeof e->sha256;
	for (int i = 0; i < RECORD_TIMERS; i++)
		out->timer_ms[i] = (int64_t)take(&in, 8);
	e->uid = (uint32_t)take(&in, 4);
	e->flags = (uint32_t)take(&in, 4);
	e->chunks = (uint32_t)take(&in, 4);
	e->rcpt_count = (uint32_t)take(&in, 4);
	e->ret = (enum queue_ret)take_upto(&in, QUEUE_RET_HDRS);
	e->body = (enum queue_body)take_upto(&in, QUEUE_BODY_BINARY);
	e->priority = (int8_t)take(&in, 1);
	take_zero(&in, 1);
	e->sender = take_text(&in);
	e->submitter = take_text(&in);
	e->origin = take_text(&in);
	e->envid = take_text(&in);
	e->message_id = take_text(&in);
	e->subject = take_text(&in);
	version = bytes.len ? *(const uint8_t *)bytes.data : 0;
	e->route = version >= WITH_ROUTE ? take_text(&in) : "";
	out->has_all_timers = version < WITH_ONE_OF_TWO;
	if (e->chunks > e->size_bytes || (e->chunks == 0) != (e->size_bytes == 0) || out->body >= RECORD_FIRST_ID)
		in.is_bad = true;
	return close_record(&in);
}

bool record_rcpt_decode(struct queue_bytes bytes, struct queue_rcpt *out)
{
	struct in in = open_record(bytes, RCPT);

	*out = (struct queue_rcpt){ .flow_id = (uint32_t)take(&in, 4) };
	out->attempts = (uint32_t)take(&in, 4);
	out->due_ms = (int64_t)take(&in, 8);
	out->last_ms = (int64_t)take(&in, 8);
	out->state = (enum queue_rcpt_state)take_upto(&in, QUEUE_RCPT_DELIVERED);
	out->notify = (uint8_t)take(&in, 1);
	out->flow.band = (uint8_t)take(&in, 1);
	take_zero(&in, 1);
	out->address = take_text(&in);
	out->orcpt = take_text(&in);
	out->reply = take_text(&in);
	out->host = take_text(&in);
	out->flow.target = take_text(&in);
	out->flow.submitter = take_text(&in);
	return close_record(&in);
}

bool record_flow_decode(struct queue_bytes bytes, struct record_flow *out)
{
	struct in in = open_record(bytes, FLOW);

	out->wake_ms = (int64_t)take(&in, 8);
	out->flow.band = (uint8_t)take(&in, 1);
	take_zero(&in, 3);
	out->flow.target = take_text(&in);
	out->flow.submitter = take_text(&in);
	return close_record(&in);
}

bool record_lane_decode(struct queue_bytes bytes, struct queue_lane *out)
{
	struct in in = open_record(bytes, LANE);

	out->since_ms = (int64_t)take(&in, 8);
	out->retry_ms = (int64_t)take(&in, 8);
	out->paused_ms = (int64_t)take(&in, 8);
	out->failures = (uint32_t)take(&in, 4);
	out->trouble = (uint8_t)take(&in, 1);
	out->parked = take_upto(&in, 1) != 0;
	take_zero(&in, 2);
	out->name = take_text(&in);
	out->error = take_text(&in);
	out->paused_by = take_text(&in);
	return close_record(&in);
}

bool record_outcome_decode(struct queue_bytes bytes, struct queue_outcome *out)
{
	struct in in = open_record(bytes, OUTCOME);

	*out = (struct queue_outcome){ .arrival_ms = (int64_t)take(&in, 8) };
	out->size_bytes = take(&in, 8);
	out->uid = (uint32_t)take(&in, 4);
	out->took_ms = (uint32_t)take(&in, 4);
	out->attempts = (uint32_t)take(&in, 4);
	out->kind = (enum queue_outcome_kind)take_upto(&in, QUEUE_REMOVED);
	take_zero(&in, 3);
	out->reply = take_text(&in);
	out->host = take_text(&in);
	out->lane = take_text(&in);
	out->tls = take_text(&in);
	out->sender = take_text(&in);
	out->address = take_text(&in);
	out->submitter = take_text(&in);
	out->message_id = take_text(&in);
	out->subject = take_text(&in);
	return close_record(&in);
}

bool record_counters_decode(struct queue_bytes bytes, struct record_counters *out)
{
	struct in in = open_record(bytes, COUNTERS);

	out->messages = take(&in, 8);
	out->recipients = take(&in, 8);
	out->body_bytes = take(&in, 8);
	out->last_id = take(&in, 8);
	out->next_flow = take(&in, 8);
	out->next_body = take(&in, 8);
	out->history_records = take(&in, 8);
	out->history_bytes = take(&in, 8);
	return close_record(&in);
}

bool record_loose_decode(struct queue_bytes bytes, struct record_loose *out)
{
	struct in in = open_record(bytes, LOOSE);

	out->chunks = (uint32_t)take(&in, 4);
	out->is_garbage = take_upto(&in, 1) != 0;
	take_zero(&in, 3);
	return close_record(&in);
}

bool record_is_timed(const struct record_envelope *e, enum queue_timer_kind kind)
{
	int64_t warn_ms = e->timer_ms[QUEUE_TIMER_WARN];

	if (e->timer_ms[kind] == 0)
		return false;
	return kind != QUEUE_TIMER_EXPIRE || e->has_all_timers || warn_ms == 0 || e->timer_ms[kind] < warn_ms;
}

/* ---------------------------------------------------------------- changing in place */

void record_patch_flow(uint8_t *rcpt, uint32_t flow_id)
{
	store(rcpt + RCPT_FLOW, flow_id, 4);
}

void record_patch_flags(uint8_t *envelope, uint32_t flags)
{
	store(envelope + ENVELOPE_FLAGS, flags, 4);
}

void record_patch_timer(uint8_t *envelope, enum queue_timer_kind kind, int64_t when_ms)
{
	store(envelope + ENVELOPE_TIMERS + 8 * (size_t)kind, (uint64_t)when_ms, 8);
}

void record_patch_wake(uint8_t *flow, int64_t wake_ms)
{
	store(flow + FLOW_WAKE, (uint64_t)wake_ms, 8);
}

void record_seal(uint8_t *record, size_t len)
{
	store(record + 4, record_check(record, len), 4);
}
