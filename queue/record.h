/*
 * record - the values the queue writes to disk, encoded and checked (their keys: key.h).
 *
 * Owns:    nothing; decoded texts point into the record.
 * Never:   trusts a byte: every length is checked, every text must be NUL-terminated and free of NULs inside,
 *          every enumerator in range, the checksum right; else the verdict is false and the record is damaged.
 * Threads: any.
 *
 * Format (this comment is the specification; schema RECORD_SCHEMA)
 *
 * Integers are little-endian. Times are signed 64-bit milliseconds. A text is
 * its length (2), its bytes and a NUL that is not counted. Every value but body chunks, values of others and
 * the schema number begins with
 *
 *     version 1, kind 1, zero 2, check 4
 *
 * where check is record_check() over all bytes behind it, seeded with version and kind. The version is RECORD_VERSION,
 * in an envelope RECORD_ENVELOPE_VERSION; envelopes of versions 1 and 2, which an older queue may hold, are read as well
 * and stay as they are until they leave. Then follow
 *
 * envelope   arrival 8, hold until 8, deliver by 8, expires 8, warn 8, size 8, body number 8 (0: the chunk
 *            lies under the message's own id), sha256 32, timers 4 x 8 (warn, expire, release, report; 0: not
 *            set), uid 4, flags 4, chunks 4, recipients 4, ret 1, body 1, priority 1, zero 1;
 *            texts: sender, submitter, origin, envid, message id, subject; from version 2 on: route
 * recipient  flow 4, attempts 4, due 8, last 8, state 1, notify 1, band 1, zero 1;
 *            texts: address, orcpt, reply, host, target, submitter (the flow's name is here too, because a flow's
 *            number is forgotten when nothing of it is due, and a held recipient comes back later)
 * flow       wake 8, band 1, zero 3; texts: target, submitter
 * lane       since 8, retry 8, paused 8, failures 4, trouble 1, parked 1, zero 2;
 *            texts: name, error, paused by
 * outcome    arrival 8, size 8, uid 4, took 4, attempts 4, kind 1, zero 3;
 *            texts: reply, host, lane, tls, sender, address, submitter, message id, subject
 * counters   messages 8, recipients 8, body bytes 8, last id 8, next flow 8, next body 8, history records 8,
 *            history bytes 8
 * loose      (a body without an owner) chunks 4, is garbage 1, zero 3
 *
 * Fixed parts have fixed offsets, the same in every version, so that flags and timers are changed in place
 * (record_patch_*).
 *
 * Up to version 2 all timers of an envelope are in the schedule; from version 3 on its expiry is there only while no
 * warning comes before it (record_is_timed()).
 *
 * Schema 2 is schema 1 whose envelopes may be of version 2, schema 3 is schema 2 whose envelopes may be of version 3: an
 * older queue becomes one of schema 3 by its number alone, when it is opened.
 */
#ifndef RECORD_H
#define RECORD_H

#include "queue/queue.h"

enum {
	RECORD_SCHEMA = 3,
	RECORD_VERSION = 1,
	RECORD_ENVELOPE_VERSION = 3,
	RECORD_TEXT_MAX = 4096, /* longest text stored; longer ones are refused */
	RECORD_FLOW_MAX = 1024, /* target, submitter */
	RECORD_NAME_MAX = 400,  /* lane; LMDB's keys end at 511 bytes */
	RECORD_STATE_MAX = 200, /* name of a value of others */
	RECORD_TIMERS = 4,      /* kinds of timers that belong to a message */
};

/* A body larger than one chunk is cut into chunks of this many bytes: whole overflow pages of LMDB, whose header
 * takes 16 bytes of the first. Chosen by tests/bench/queue_layout, see QUEUE.md. */
enum { RECORD_CHUNK = 16 * 4096 - 16 };

/* Message ids start here, body numbers end below. */
#define RECORD_FIRST_ID ((uint64_t)1 << 40)

struct record_envelope {
	struct queue_envelope e; /* but its id */
	uint64_t body;
	int64_t timer_ms[RECORD_TIMERS]; /* by enum queue_timer_kind */
	bool has_all_timers;             /* an old one: each of them is in the schedule; set by the decoder */
};

struct record_counters {
	uint64_t messages, recipients, body_bytes, last_id, next_flow, next_body, history_records, history_bytes;
};

struct record_flow {
	int64_t wake_ms;
	struct queue_flow flow;
};

struct record_loose {
	uint32_t chunks;
	bool is_garbage;
};

/* A hash of a flow's name, the same on every machine. */
uint64_t record_flow_hash(const struct queue_flow *flow);

/* Sizes of what the encoders write. Texts are NULL-safe. 0: a text is too long. */
size_t record_envelope_size(const struct record_envelope *e);
size_t record_rcpt_size(const struct queue_rcpt *r);
size_t record_flow_size(const struct record_flow *f);
size_t record_lane_size(const struct queue_lane *l);
size_t record_outcome_size(const struct queue_outcome *o);
enum { RECORD_COUNTERS_SIZE = 8 + 8 * 8, RECORD_LOOSE_SIZE = 16 };

/* Write exactly the size above to `out`. */
void record_envelope_encode(uint8_t *out, const struct record_envelope *e);
void record_rcpt_encode(uint8_t *out, const struct queue_rcpt *r);
void record_flow_encode(uint8_t *out, const struct record_flow *f);
void record_lane_encode(uint8_t *out, const struct queue_lane *l);
void record_outcome_encode(uint8_t *out, const struct queue_outcome *o);
void record_counters_encode(uint8_t out[RECORD_COUNTERS_SIZE], const struct record_counters *c);
void record_loose_encode(uint8_t out[RECORD_LOOSE_SIZE], const struct record_loose *l);

/* True when the schedule holds this timer of the message. */
bool record_is_timed(const struct record_envelope *e, enum queue_timer_kind kind);

/* False: damaged; `out` is then undefined. Texts point into the record. */
bool record_envelope_decode(struct queue_bytes in, struct record_envelope *out);
bool record_rcpt_decode(struct queue_bytes in, struct queue_rcpt *out);
bool record_flow_decode(struct queue_bytes in, struct record_flow *out);
bool record_lane_decode(struct queue_bytes in, struct queue_lane *out);
bool record_outcome_decode(struct queue_bytes in, struct queue_outcome *out);
bool record_counters_decode(struct queue_bytes in, struct record_counters *out);
bool record_loose_decode(struct queue_bytes in, struct record_loose *out);

/* Change the fixed part of a whole and valid record in place; record_seal() makes the checksum right again. */
void record_patch_flow(uint8_t *rcpt, uint32_t flow_id);
void record_patch_flags(uint8_t *envelope, uint32_t flags);
void record_patch_timer(uint8_t *envelope, enum queue_timer_kind kind, int64_t when_ms);
void record_patch_wake(uint8_t *flow, int64_t wake_ms);
void record_seal(uint8_t *record, size_t len);

uint32_t record_check(const uint8_t *record, size_t len);

#endif
