/*
 * queue_kit - what the queue's tests share: a scratch directory, a hash, and operations that are waited for.
 *
 * The hash is no SHA-256 (the queue does not care), but every bit of the input reaches its 32 bytes.
 */
#ifndef QUEUE_KIT_H
#define QUEUE_KIT_H

#include "queue/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct kit {
	char dir[128];
	struct queue_config config;
	struct queue *q;
	char why[512];
	enum queue_err err; /* of the last operation waited for */
	uint64_t id;
	char warning[256];
	int flow_news, timer_news, accepted_news;
	struct queue_news last_news;
	char last_target[128];
};

/* ---------------------------------------------------------------- hash */

struct kit_hash {
	uint64_t word[4];
};

static inline void kit_hash_start(struct kit_hash *h)
{
	for (int i = 0; i < 4; i++)
		h->word[i] = 0x9e3779b97f4a7c15u * (uint64_t)(i + 1);
}

static inline void *kit_hash_new(void)
{
	struct kit_hash *h = malloc(sizeof *h);

	if (!h)
		abort();
	kit_hash_start(h);
	return h;
}

static inline void kit_hash_update(void *arg, const void *data, size_t len)
{
	struct kit_hash *h = arg;
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++) {
		h->word[0] = (h->word[0] ^ p[i]) * 0x100000001b3u;
		h->word[0] ^= h->word[0] >> 31;
	}
}

static inline void kit_hash_final(void *arg, uint8_t out[32])
{
	struct kit_hash *h = arg;

	for (int i = 1; i < 4; i++)
		h->word[i] = (h->word[i] ^ h->word[i - 1]) * 0x9e3779b97f4a7c15u;
	memcpy(out, h->word, 32);
	kit_hash_start(h);
}

/* ---------------------------------------------------------------- scratch */

static inline void kit_warn(void *arg, const char *text)
{
	struct kit *k = arg;

	snprintf(k->warning, sizeof k->warning, "%s", text);
}

static inline void kit_watch(void *arg, const struct queue_news *news)
{
	struct kit *k = arg;

	k->flow_news += news->kind == QUEUE_NEWS_FLOW;
	k->timer_news += news->kind == QUEUE_NEWS_TIMER;
	k->accepted_news += news->kind == QUEUE_NEWS_ACCEPTED;
	if (news->kind == QUEUE_NEWS_FLOW)
		snprintf(k->last_target, sizeof k->last_target, "%s", news->flow.target);
	k->last_news = *news;
}

static inline struct queue_config kit_config(const char *dir)
{
	return (struct queue_config){
		.directory = dir,
		.hash = { kit_hash_new, kit_hash_update, kit_hash_final, free },
	};
}

/* A fresh directory, not yet opened. */
static inline void kit_init(struct kit *k)
{
	const char *tmp = getenv("TMPDIR");

	memset(k, 0, sizeof *k);
	snprintf(k->dir, sizeof k->dir, "%s/sendoff-queue-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(k->dir)) {
		perror(k->dir);
		exit(1);
	}
	k->config = kit_config(k->dir);
	k->config.warn = kit_warn;
	k->config.arg = k;
}

static inline enum queue_err kit_open(struct kit *k)
{
	enum queue_err err = queue_open(&k->config, &k->q, k->why, sizeof k->why);

	if (err == QUEUE_OK)
		queue_set_watcher(k->q, kit_watch, k);
	else
		k->q = NULL;
	return err;
}

static inline void kit_close(struct kit *k)
{
	queue_close(k->q);
	k->q = NULL;
}

static inline const char *kit_path(const struct kit *k, const char *name)
{
	static char path[256];

	snprintf(path, sizeof path, "%s/%s", k->dir, name);
	return path;
}

static inline void kit_fini(struct kit *k)
{
	static const char *const names[] = { "queue.mdb", "queue.mdb-lock", "queue.pid", "copy.mdb" };

	kit_close(k);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unlink(kit_path(k, names[i]));
	rmdir(k->dir);
}

/* ---------------------------------------------------------------- operations, waited for */

static inline void kit_done(void *arg, enum queue_err err, uint64_t id)
{
	struct kit *k = arg;

	k->err = err;
	k->id = id;
}

static inline enum queue_err kit_run(struct kit *k, struct queue_op *op)
{
	k->err = QUEUE_STOPPING;
	queue_op_submit(op, kit_done, k);
	queue_wait(k->q);
	return k->err;
}

/* Byte i of a test body: neither constant nor periodic in the chunk size. */
static inline uint8_t kit_byte(uint64_t seed, size_t i)
{
	return (uint8_t)((i * 2654435761u >> 7) ^ seed ^ i);
}

static inline enum queue_err kit_append(struct kit *k, struct queue_receipt *r, uint64_t seed, size_t len)
{
	uint8_t part[10000];
	enum queue_err err = QUEUE_OK;

	for (size_t done = 0, n; done < len; done += n) {
		n = len - done < sizeof part ? len - done : sizeof part;
		for (size_t i = 0; i < n; i++)
			part[i] = kit_byte(seed, done + i);
		while ((err = queue_receipt_append(r, part, n)) == QUEUE_BUSY)
			queue_wait(k->q);
		if (err != QUEUE_OK)
			break;
	}
	return err;
}

static inline struct queue_envelope kit_envelope(int64_t now_ms)
{
	return (struct queue_envelope){
		.arrival_ms = now_ms,
		.sender = "alice@example.org",
		.submitter = "uid:1000",
		.uid = 1000,
		.origin = "loopback",
		.message_id = "<1@example.org>",
		.subject = "Hello",
		.warn_ms = now_ms + 4 * 3600 * 1000,
		.expires_ms = now_ms + 5LL * 24 * 3600 * 1000,
	};
}

static inline struct queue_rcpt kit_rcpt(const char *address, const char *target)
{
	return (struct queue_rcpt){ .address = address,
				    .flow = { .target = target, .submitter = "uid:1000", .band = 1 } };
}

/* Accepts a body of `size` bytes (of kit_byte with this seed) for `count` recipients; the id in k->id. */
static inline enum queue_err kit_accept(struct kit *k, struct queue_envelope e, const struct queue_rcpt *rcpts,
					size_t count, uint64_t seed, size_t size)
{
	struct queue_receipt *r = queue_receipt_new(k->q);
	struct queue_op *op;
	enum queue_err err = kit_append(k, r, seed, size);

	if (err != QUEUE_OK) {
		queue_receipt_free(r);
		return err;
	}
	op = queue_op_new(k->q);
	queue_op_accept(op, r, &e, rcpts, count);
	return kit_run(k, op);
}

/* One message for one recipient. */
static inline enum queue_err kit_accept_one(struct kit *k, int64_t now_ms, const char *target, size_t size)
{
	struct queue_rcpt rcpt = kit_rcpt("bob@example.net", target);

	return kit_accept(k, kit_envelope(now_ms), &rcpt, 1, 7, size);
}

static inline enum queue_err kit_settle(struct kit *k, uint64_t id, struct queue_outcome o)
{
	struct queue_op *op = queue_op_new(k->q);

	queue_op_settle(op, id, &o, 1);
	return kit_run(k, op);
}

/* Reads the whole body and compares it with kit_byte(seed); QUEUE_OK and the size, or the reader's error. */
static inline enum queue_err kit_read_body(struct kit *k, uint64_t id, uint64_t seed, uint64_t *out_size)
{
	struct queue_body_reader r;
	struct queue_bytes b;
	uint64_t size = 0;
	enum queue_err err = queue_body_open(queue_view(k->q), id, &r);

	if (err != QUEUE_OK) {
		queue_view_end(k->q);
		return err;
	}
	while ((err = queue_body_next(&r, queue_view(k->q), &b)) == QUEUE_OK && b.len > 0) {
		for (size_t i = 0; i < b.len; i++) {
			if (((const uint8_t *)b.data)[i] != kit_byte(seed, size + i)) {
				err = QUEUE_CORRUPT;
				goto out;
			}
		}
		size += b.len;
		queue_view_end(k->q);
	}
	*out_size = size;
out:
	queue_body_close(&r);
	queue_view_end(k->q);
	return err;
}

static inline struct queue_stats kit_stats(struct kit *k)
{
	struct queue_stats s;

	queue_stats(k->q, &s);
	return s;
}

#endif
