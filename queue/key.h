/*
 * key - the keys of the queue's trees (QUEUE.md has the table).
 *
 * Integers are big-endian, so that the order of keys is the order of time. Times below zero are taken for zero.
 * The readers answer false for a key of another kind or a wrong length.
 * Threads: any.
 */
#ifndef KEY_H
#define KEY_H

#include "queue/queue.h"

enum key_part { KEY_ENVELOPE, KEY_RCPT, KEY_BODY };
enum {
	KEY_MAIL = 13,
	KEY_DUE = 25,
	KEY_TIMER = 18,
	KEY_HISTORY = 20,
	KEY_HISTORY_OF = 21,
	KEY_FLOW = 5,
	KEY_FLOW_NAME = 13,
	KEY_NUMBER = 9,
};
struct key_mail_parts {
	uint64_t id;
	enum key_part part;
	uint32_t n;
};

void key_put64(uint8_t *p, uint64_t v);
uint64_t key_get64(const uint8_t *p);

void key_mail(uint8_t out[KEY_MAIL], uint64_t id, enum key_part part, uint32_t n);
bool key_mail_read(struct queue_bytes key, struct key_mail_parts *out);
void key_due(uint8_t out[KEY_DUE], uint32_t flow, int64_t due_ms, uint64_t id, uint32_t n);
bool key_due_read(struct queue_bytes key, uint32_t *out_flow, struct queue_due *out);
void key_timer(uint8_t out[KEY_TIMER], struct queue_timer timer);
bool key_timer_read(struct queue_bytes key, struct queue_timer *out);
void key_history(uint8_t out[KEY_HISTORY], uint64_t at_ms, uint64_t id, uint32_t n);
bool key_history_read(struct queue_bytes key, struct queue_history_at *out);
void key_history_of(uint8_t out[KEY_HISTORY_OF], uint64_t id, uint64_t at_ms, uint32_t n);
bool key_history_of_read(struct queue_bytes key, struct queue_history_at *out);
/* State tree: 'i' flow, 'k' flow by name, 'r' and 'b' body numbers. */
void key_flow(uint8_t out[KEY_FLOW], uint32_t id);
bool key_flow_read(struct queue_bytes key, uint32_t *out_id);
void key_flow_name(uint8_t out[KEY_FLOW_NAME], uint64_t hash, uint32_t id);
bool key_flow_name_read(struct queue_bytes key, uint64_t *out_hash, uint32_t *out_id);
void key_number(uint8_t out[KEY_NUMBER], char kind, uint64_t number);
bool key_number_read(struct queue_bytes key, char kind, uint64_t *out_number);
/* 'l' lane, 's' value of others; the key's length: one more than the name's. */
size_t key_name(uint8_t *out, char kind, const char *name);

#endif
