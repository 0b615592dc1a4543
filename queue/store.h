/*
 * store - LMDB, wrapped once: an environment with four trees, transactions, and their errors in our words.
 *
 * Owns:    the environment, its trees and every transaction's handles.
 * Errors:  stick to the transaction: after the first failure other than NOT_FOUND every call answers the same,
 *          and so does the commit. A commit or abort consumes the transaction, whatever it answers.
 * Threads: one writing transaction at a time, from the writer's thread; the reading one from the caller's.
 *          Bytes handed out by a reading transaction live until it is reset, by a writing one until its next write.
 */
#ifndef STORE_H
#define STORE_H

#include "queue/queue.h"

struct MDB_txn;
struct MDB_cursor;
struct store;

enum store_tree { STORE_MAIL, STORE_SCHEDULE, STORE_STATE, STORE_HISTORY };
enum { STORE_TREES = 4 };

struct store_config {
	const char *path;
	uint64_t map_bytes;
	bool (*fail)(void *arg, const char *what);
	void *arg;
};

struct store_txn {
	struct store *store;
	struct MDB_txn *txn; /* NULL: not begun, or consumed */
	struct MDB_cursor *cursors[STORE_TREES];
	enum queue_err err; /* sticky */
	uint64_t writes;    /* puts and deletes so far */
	bool is_reader;
};

/* Opens or creates the file with mode 0600. The file is looked at before LMDB maps it (pagecheck.h). `why` gets one
 * line for people. */
enum queue_err store_open(const struct store_config *config, struct store **out_store, char *why, size_t why_size);
void store_close(struct store *s);

/* Inside `parent` where that is not NULL: a child; the parent rests meanwhile. */
enum queue_err store_begin(struct store *s, struct store_txn *parent, struct store_txn *out_txn);
enum queue_err store_commit(struct store_txn *t);
void store_abort(struct store_txn *t);
/* A reading transaction is begun once, then reset and renewed. */
enum queue_err store_read(struct store *s, struct store_txn *t);
void store_read_reset(struct store_txn *t);
void store_read_end(struct store_txn *t);

/* QUEUE_OK, QUEUE_NOT_FOUND or the sticky error. */
enum queue_err store_get(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len,
			 struct queue_bytes *out_value);
/* The first record with a key >= `key`, and the last one with a key < `key`. out_value may be NULL. */
enum queue_err store_seek(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len,
			  struct queue_bytes *out_key, struct queue_bytes *out_value);
enum queue_err store_seek_before(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len,
				 struct queue_bytes *out_key, struct queue_bytes *out_value);
/* The record after the one that the last seek or next on this tree found, with nothing else done to the tree since. */
enum queue_err store_next(struct store_txn *t, enum store_tree tree, struct queue_bytes *out_key,
			  struct queue_bytes *out_value);
enum queue_err store_put(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len, const void *value,
			 size_t value_len);
/* Like store_put(), but QUEUE_INVALID (sticky) when the key is there already. */
enum queue_err store_add(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len, const void *value,
			 size_t value_len);
/* Room for a value that the caller fills before its next call; NULL on failure. */
uint8_t *store_reserve(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len, size_t value_len);
enum queue_err store_del(struct store_txn *t, enum store_tree tree, const void *key, size_t key_len);

/* Fails the transaction: for what was found wrong in a record. */
enum queue_err store_fail(struct store_txn *t, enum queue_err err);

int store_fd(const struct store *s);
/* True when the test's hook wants `what` to fail. */
bool store_must_fail(const struct store *s, const char *what);

struct store_space {
	uint64_t page_bytes, last_page, map_bytes, txn_id;
};
void store_space(const struct store *s, struct store_space *out);
/* Pages on the free list as the snapshot shows it. */
enum queue_err store_free_pages(struct store_txn *t, uint64_t *out_pages);
enum queue_err store_entries(struct store_txn *t, enum store_tree tree, uint64_t *out_count);
/* Frees the slots of readers that died; the number of them. */
int store_clear_readers(struct store *s);
/* A consistent copy while everything goes on; with `compact` without free pages. */
enum queue_err store_copy(struct store *s, int fd, bool compact);

#endif
