/*
 * queue - the durable mail queue: the whole interface of this folder.
 *
 * Owns:    the LMDB environment, the writer thread and every byte of mail between 250 and the outcome.
 * Needs:   libc and LMDB, nothing else; it knows no protocol, no clock and no configuration file.
 * Never:   calls back from another thread: answers and news are handed out by queue_dispatch().
 * Threads: all functions from one thread (the caller's loop); the writer thread is inside.
 *
 * Promise: when an operation is answered QUEUE_OK, all of its steps are in one committed transaction on
 * stable storage. When it is answered with an error, none of them happened. QUEUE.md has the states of a
 * message and what a crash leaves in each.
 *
 * Times are wall-clock milliseconds since 1970 (int64_t, *_ms), sizes are bytes (*_bytes). Text is UTF-8
 * or ASCII, NUL-terminated. Text and bytes handed in are copied; what a view hands out is borrowed and dies
 * at queue_view_end() (or at the next queue_view() after a commit).
 */
#ifndef QUEUE_H
#define QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* name, text for people */
#define QUEUE_ERRORS(X)                                                          \
	X(OK, "done")                                                            \
	X(NOT_FOUND, "no such message")                                          \
	X(QUOTA, "the queue has reached its size limit (queue.max_size)")        \
	X(DISK_FULL, "the disk that holds the queue is full")                    \
	X(TOO_BIG, "the message is larger than the size limit")                  \
	X(BUSY, "the queue has too much to write just now")                      \
	X(CORRUPT, "the stored message is damaged: its checksum does not match") \
	X(DAMAGED, "the queue file is damaged")                                  \
	X(IO, "the disk that holds the queue reports an error")                  \
	X(LOCKED, "another agent is using this queue")                           \
	X(SCHEMA, "the queue was written by a newer version")                    \
	X(INVALID, "not a legal operation in this state")                        \
	X(NO_MEMORY, "out of memory")                                            \
	X(STOPPING, "the agent is stopping")

enum queue_err {
#define X(name, text) QUEUE_##name,
	QUEUE_ERRORS(X)
#undef X
};

const char *queue_err_name(enum queue_err err); /* "not_found" */
const char *queue_err_text(enum queue_err err);

struct queue;
struct queue_op;
struct queue_receipt;
struct queue_view;

struct queue_bytes {
	const void *data;
	size_t len;
};

/* ---------------------------------------------------------------- what is stored */

/* Where one recipient's mail stands in line: one submitter's mail of one priority for one target. */
struct queue_flow {
	const char *target;    /* what routing decided: lane names in order, "work,backup"; "" no route */
	const char *submitter; /* as in the envelope */
	uint8_t band;          /* priority band, 0 is served first; 1 is normal */
};

enum queue_body { QUEUE_BODY_7BIT, QUEUE_BODY_8BIT, QUEUE_BODY_BINARY };
enum queue_ret { QUEUE_RET_UNSAID, QUEUE_RET_FULL, QUEUE_RET_HDRS };

enum {                                  /* envelope flags */
       QUEUE_HELD = 1 << 0,             /* an operator (or a failed check) holds it; not attempted until released */
       QUEUE_REPORT = 1 << 1,           /* a delivery status notification of our own making */
       QUEUE_WARNED = 1 << 2,           /* the delay warning was made */
       QUEUE_SMTPUTF8 = 1 << 3,         /* RFC 6531 */
       QUEUE_REQUIRETLS = 1 << 4,       /* RFC 8689 */
       QUEUE_DAMAGED_BODY = 1 << 5,     /* its checksum did not match when it was to be sent */
       QUEUE_BY_RETURN = 1 << 6,        /* deliver_by_ms, RFC 2852: returned when the time has passed */
       QUEUE_BY_NOTIFY = 1 << 7,        /* deliver_by_ms, RFC 2852: the sender is told when the time has passed */
       QUEUE_BY_TRACE = 1 << 8,         /* RFC 2852: relayed reports are asked for */
       QUEUE_HELD_BY_OPERATOR = 1 << 9, /* with QUEUE_HELD: who may handle only their own mail may not release it */
       QUEUE_BY_PASSED =
	       1 << 10,        /* deliver_by_ms has passed and was dealt with: the sender was told, or nobody asked */
       QUEUE_DOUBLE = 1 << 11, /* a report to the postmaster about a message that has no sender */
       QUEUE_KEPT = 1 << 12,   /* with QUEUE_HELD: a report that nobody could be given */
};

enum { /* NOTIFY of RFC 3461, 4.1; 0: not said */
       QUEUE_NOTIFY_NEVER = 1 << 0,
       QUEUE_NOTIFY_SUCCESS = 1 << 1,
       QUEUE_NOTIFY_FAILURE = 1 << 2,
       QUEUE_NOTIFY_DELAY = 1 << 3,
};

struct queue_envelope {
	uint64_t id; /* one of queue_next_id(), or 0: the queue gives it one */
	int64_t arrival_ms;
	const char *sender;     /* reverse-path without <>, "" for the null sender */
	const char *submitter;  /* "uid:1000", "user:alice", "net:192.0.2.7", "self" for our own reports */
	uint32_t uid;           /* who may see and handle it; UINT32_MAX: nobody but administrators */
	const char *origin;     /* for people: listener, peer, EHLO name */
	const char *envid;      /* ENVID of RFC 3461, decoded, or "" */
	const char *message_id; /* the Message-ID field's value, or "" */
	const char *subject;    /* the start of the Subject field, cleaned, or "" */
	const char *route;      /* the route it must take whatever the rules say (an identity's), or "" */
	enum queue_ret ret;
	enum queue_body body;
	int8_t priority; /* MT-PRIORITY of RFC 6710, -9..9 */
	uint32_t flags;
	int64_t hold_until_ms; /* FUTURERELEASE; 0: none */
	int64_t deliver_by_ms; /* DELIVERBY; 0: none */
	int64_t expires_ms;    /* when it is given up */
	int64_t warn_ms;       /* when the sender is told that it waits; 0: never */
	uint64_t size_bytes;   /* of the body (header and all); set by the queue */
	uint32_t chunks;       /* set by the queue */
	uint8_t sha256[32];    /* set by the queue */
	uint32_t rcpt_count;   /* as accepted; set by the queue */
};

enum queue_rcpt_state {
	QUEUE_RCPT_WAITING,   /* due at due_ms */
	QUEUE_RCPT_DOUBTFUL,  /* the reply to the final dot was lost: perhaps delivered; due at due_ms */
	QUEUE_RCPT_FAILED,    /* will not be attempted again; the report to the sender is owed */
	QUEUE_RCPT_DELIVERED, /* delivered; a success report is owed */
};

struct queue_rcpt {
	uint32_t n;          /* 0, 1, 2, …; set by the queue at accept */
	const char *address; /* forward-path without <> */
	const char *orcpt;   /* "rfc822;a@b" of RFC 3461, decoded, or "" */
	uint8_t notify;      /* QUEUE_NOTIFY_… */
	enum queue_rcpt_state state;
	struct queue_flow flow; /* handed in at accept; handed out by views */
	uint32_t flow_id;       /* handed out by views */
	uint32_t attempts;      /* replies about this recipient so far */
	int64_t due_ms;
	int64_t last_ms;   /* of the last attempt; 0: none */
	const char *reply; /* last reply, cleaned: "450 4.2.0 greylisted", or "" */
	const char *host;  /* who said so: "mx.example.org [192.0.2.1]", or "" */
};

enum queue_outcome_kind {
	QUEUE_DELIVERED,
	QUEUE_BOUNCED,  /* failed for good: refused, expired or given up by an operator */
	QUEUE_DEFERRED, /* still waiting, due at due_ms; counts an attempt */
	QUEUE_DOUBT,    /* still waiting as doubtful, due at due_ms; counts an attempt */
	QUEUE_REMOVED,  /* only in the history: removed by an operator */
};

/* What became of one recipient in one attempt; also a record of the history. */
struct queue_outcome {
	uint64_t id; /* history only */
	uint32_t n;
	enum queue_outcome_kind kind;
	int64_t at_ms;
	int64_t due_ms;    /* DEFERRED, DOUBT */
	bool report_owed;  /* DELIVERED, BOUNCED: keep the recipient until queue_op_reported(), and set a
	                           QUEUE_TIMER_REPORT at at_ms */
	const char *reply; /* cleaned */
	const char *host;
	const char *lane;
	const char *tls;   /* facts for people: "TLSv1.3 verified", "" for none */
	uint32_t took_ms;  /* of the attempt */
	uint32_t attempts; /* history only: how many it took */
	/* The rest is filled in from the envelope and the recipient when the history is read. */
	const char *sender, *address, *submitter, *message_id, *subject;
	uint32_t uid;
	int64_t arrival_ms;
	uint64_t size_bytes;
};

enum queue_timer_kind {
	QUEUE_TIMER_WARN,    /* id: message */
	QUEUE_TIMER_EXPIRE,  /* id: message */
	QUEUE_TIMER_RELEASE, /* id: message; FUTURERELEASE */
	QUEUE_TIMER_REPORT,  /* id: message; a report is owed */
	QUEUE_TIMER_FLOW,    /* id: flow; its first entry is due then or later */
	QUEUE_TIMER_LANE,    /* id: hash of a lane's name; its retry time */
};

struct queue_timer {
	int64_t when_ms;
	enum queue_timer_kind kind;
	uint64_t id;
};

/* A lane's health and an operator's word on it; written on change only. */
struct queue_lane {
	const char *name;      /* a smart host's name, or "*" for all of them */
	uint32_t failures;     /* in a row */
	int64_t since_ms;      /* of the first of them */
	int64_t retry_ms;      /* next probe; 0: well */
	uint8_t trouble;       /* the scheduler's class of failure; 0: none */
	bool parked;           /* account refused: waits for an operator or a changed secret */
	const char *error;     /* last error for people, or "" */
	const char *paused_by; /* "root", or "": not paused */
	int64_t paused_ms;
};

/* ---------------------------------------------------------------- open and close */

/* Digests are the caller's (the island has no crypto): new, update, final (32 bytes, then starts anew), free.
 * Used from the caller's thread only. */
struct queue_hash {
	void *(*new)(void);
	void (*update)(void *h, const void *data, size_t len);
	void (*final)(void *h, uint8_t out[32]);
	void (*free)(void *h);
};

struct queue_config {
	const char *directory;        /* created with mode 0700 where missing; fsynced with its parent */
	uint64_t max_size_bytes;      /* logical quota; 0: 4 GiB */
	uint64_t max_message_bytes;   /* 0: 50 MiB */
	uint64_t min_free_disk_bytes; /* floor; 0: none */
	int64_t history_ms;           /* age kept; 0: 30 days */
	uint64_t history_max_bytes;   /* 0: 256 MiB */
	struct queue_hash hash;
	/* Calls in the caller's thread. */
	void (*warn)(void *arg, const char *text); /* what an administrator should hear: tmpfs, stale readers … */
	void *arg;
	/* For tests: NULL in production. Asked before each allocation, write and commit; true makes it fail. */
	bool (*fail)(void *arg, const char *what);
};

/* Opens or creates. QUEUE_LOCKED when another process has it open, QUEUE_SCHEMA, QUEUE_DAMAGED, QUEUE_IO,
 * QUEUE_DISK_FULL. `why` gets one line for people, with the path. Deletes chunks of interrupted receipts. */
enum queue_err queue_open(const struct queue_config *config, struct queue **out_queue, char *why, size_t why_size);
/* Finishes and answers all operations, then closes. NULL is fine. */
void queue_close(struct queue *q);
/* New limits from a reloaded configuration (the directory cannot change). */
void queue_limits(struct queue *q, const struct queue_config *config);

/* Readable when queue_dispatch() has something to hand out. */
int queue_fd(const struct queue *q);
/* Hands out answers of finished operations, then news. */
void queue_dispatch(struct queue *q);
/* True while operations wait or are being written. */
bool queue_is_idle(const struct queue *q);
/* Blocks until all operations so far are finished and dispatched (shutdown, tests, offline tools). */
void queue_wait(struct queue *q);

/* What a commit changed for the one who schedules; set before the first dispatch. */
struct queue_news {
	enum { QUEUE_NEWS_FLOW, QUEUE_NEWS_TIMER, QUEUE_NEWS_ACCEPTED } kind;
	uint32_t flow_id;       /* FLOW: has an entry that is due at due_ms */
	struct queue_flow flow; /* FLOW: borrowed for the call */
	int64_t due_ms;         /* FLOW, TIMER: the earliest that was added */
	uint64_t id;            /* ACCEPTED */
};
void queue_set_watcher(struct queue *q, void (*watch)(void *arg, const struct queue_news *news), void *arg);

/* ---------------------------------------------------------------- receipt: a message coming in */

/* QUEUE_OK, or why a message of that size (0: unknown) would be refused now: QUOTA, DISK_FULL, TOO_BIG. */
enum queue_err queue_admit(const struct queue *q, uint64_t size_bytes);

/* Never NULL. Small messages stay in memory until accept; larger ones stream into chunks on disk. */
struct queue_receipt *queue_receipt_new(struct queue *q);
/* QUEUE_OK; QUEUE_BUSY: nothing was taken, try again when queue_receipt_is_ready(); else final (TOO_BIG, QUOTA,
 * DISK_FULL, IO): free the receipt. */
enum queue_err queue_receipt_append(struct queue_receipt *r, const void *data, size_t len);
bool queue_receipt_is_ready(const struct queue_receipt *r);
/* Called (from queue_dispatch) when a receipt that answered BUSY can take bytes again, or has failed. */
void queue_receipt_on_ready(struct queue_receipt *r, void (*ready)(void *arg), void *arg);
uint64_t queue_receipt_size(const struct queue_receipt *r);
/* Gives it up; its chunks are deleted. NULL is fine. Not after queue_op_accept(). */
void queue_receipt_free(struct queue_receipt *r);

/* ---------------------------------------------------------------- operations */

/* All steps of one operation happen together or not at all. Steps are copied. */
struct queue_op *queue_op_new(struct queue *q);
void queue_op_free(struct queue_op *op); /* only one that was not submitted; NULL is fine */

typedef void queue_done_fn(void *arg, enum queue_err err, uint64_t id); /* id: of the last accept step, or 0 */
/* Takes the operation. `done` may be NULL. Never answers from inside this call. */
void queue_op_submit(struct queue_op *op, queue_done_fn *done, void *arg);

/* It may wait so long for other operations to share a commit with; an operation without patience (as all are at first)
 * takes the patient ones along. For what nobody waits for: a flush less. */
void queue_op_patience(struct queue_op *op, uint32_t ms);

/* Accepts the received message: envelope, recipients, due entries (now or hold_until_ms), timers (WARN at warn_ms or,
 * with QUEUE_BY_NOTIFY, deliver_by_ms, whichever comes first; EXPIRE likewise with expires_ms and QUEUE_BY_RETURN, seen in
 * the schedule once no WARN comes before it; RELEASE
 * at hold_until_ms only where it is HELD: otherwise its recipients are due then). Takes the
 * receipt. QUOTA, DISK_FULL and TOO_BIG are possible answers. A recipient's flow is made where it is new.
 * Reports (QUEUE_REPORT) may use a reserve above the quota. */
void queue_op_accept(struct queue_op *op, struct queue_receipt *receipt, const struct queue_envelope *envelope,
		     const struct queue_rcpt *rcpts, size_t count);
/* Outcomes of an attempt; history is written for DELIVERED and BOUNCED. The last recipient to leave takes the
 * message along. A recipient that has left meanwhile is passed over. */
void queue_op_settle(struct queue_op *op, uint64_t id, const struct queue_outcome *outcomes, size_t count);
/* The report about recipient n was made, or is not due after all: it leaves. */
void queue_op_reported(struct queue_op *op, uint64_t id, uint32_t n);
enum { QUEUE_ALL = UINT32_MAX };
/* An operator's removal of recipient n or QUEUE_ALL, with history. */
void queue_op_remove(struct queue_op *op, uint64_t id, uint32_t n, const char *by, int64_t at_ms);
/* Moves the due time of a waiting recipient (or QUEUE_ALL). */
void queue_op_due(struct queue_op *op, uint64_t id, uint32_t n, int64_t due_ms);
/* Puts a waiting recipient (or QUEUE_ALL) into another flow. */
void queue_op_flow(struct queue_op *op, uint64_t id, uint32_t n, const struct queue_flow *flow);
/* Sets and clears envelope flags. A held message leaves the schedule, a released one returns, due at due_ms. */
void queue_op_flags(struct queue_op *op, uint64_t id, uint32_t set, uint32_t clear, int64_t due_ms);
/* A message has at most one timer of each kind: setting one moves it. Its EXPIRE waits behind an earlier WARN, and comes
 * to the schedule (and is news) when that is dropped or moved. A REPORT timer stays (and is news again) as long
 * as a recipient owes a report, a FLOW timer as long as the flow has entries; steps about a message or flow that is
 * gone are passed over. */
void queue_op_timer(struct queue_op *op, struct queue_timer timer);
void queue_op_timer_drop(struct queue_op *op, struct queue_timer timer);
/* A flow without entries is forgotten, else its QUEUE_TIMER_FLOW is set to its first due time: when the
 * scheduler puts a flow to rest. Entries added meanwhile keep it. */
void queue_op_flow_rest(struct queue_op *op, uint32_t flow_id);
/* The same, but it wakes not before `until_ms`, though it has mail that is due: nothing can be done for it until then.
 * An entry that is added wakes it at that entry's time. */
void queue_op_flow_park(struct queue_op *op, uint32_t flow_id, int64_t until_ms);
void queue_op_lane(struct queue_op *op, const struct queue_lane *lane);
void queue_op_lane_drop(struct queue_op *op, const char *name);
/* Small named values of others (token buckets, caches): name up to 200 bytes, value up to 64 KiB; len 0 deletes. */
void queue_op_state(struct queue_op *op, const char *name, struct queue_bytes value);
/* History older than its bounds goes, at most `count` records. */
void queue_op_history_trim(struct queue_op *op, int64_t now_ms, size_t count);

/* ---------------------------------------------------------------- views */

/* A snapshot of the last commit; the same one until queue_view_end(). Never across a turn of the loop. NULL on
 * QUEUE_NO_MEMORY or QUEUE_IO. */
struct queue_view *queue_view(struct queue *q);
void queue_view_end(struct queue *q);

/* Lookups answer QUEUE_OK, QUEUE_NOT_FOUND (also: nothing after this one), QUEUE_DAMAGED or QUEUE_IO. */
enum queue_err queue_view_envelope(struct queue_view *v, uint64_t id, struct queue_envelope *out);
enum queue_err queue_view_rcpt(struct queue_view *v, uint64_t id, uint32_t n, struct queue_rcpt *out);
/* The first recipient with number >= n. */
enum queue_err queue_view_rcpt_from(struct queue_view *v, uint64_t id, uint32_t n, struct queue_rcpt *out);
/* The first message with id > after (0: the oldest), or with id < before (UINT64_MAX: the newest). */
enum queue_err queue_view_next(struct queue_view *v, uint64_t after, uint64_t *out_id);
enum queue_err queue_view_previous(struct queue_view *v, uint64_t before, uint64_t *out_id);

struct queue_due {
	int64_t due_ms;
	uint64_t id;
	uint32_t n;
};
/* The first schedule entry of the flow that comes after `after` (all zero: the first). */
enum queue_err queue_view_due(struct queue_view *v, uint32_t flow_id, struct queue_due after, struct queue_due *out);
/* The first timer after `after` (all zero: the first). */
enum queue_err queue_view_timer(struct queue_view *v, struct queue_timer after, struct queue_timer *out);
enum queue_err queue_view_flow(struct queue_view *v, uint32_t flow_id, struct queue_flow *out);
/* The first flow with id > after. */
enum queue_err queue_view_flow_next(struct queue_view *v, uint32_t after, uint32_t *out_id, struct queue_flow *out);
enum queue_err queue_view_lane(struct queue_view *v, const char *name, struct queue_lane *out);
/* The first lane whose name is greater than `after` (""). */
enum queue_err queue_view_lane_next(struct queue_view *v, const char *after, struct queue_lane *out);
enum queue_err queue_view_state(struct queue_view *v, const char *name, struct queue_bytes *out);
enum { QUEUE_STATE_NAME_SIZE = 201 };
/* The first value whose name is greater than `after` (""). */
enum queue_err queue_view_state_next(struct queue_view *v, const char *after, char out_name[QUEUE_STATE_NAME_SIZE],
				     struct queue_bytes *out);
/* History, newest first: the newest entry older than the position, which is moved to it. Start with all ones. */
struct queue_history_at {
	uint64_t at_ms, id;
	uint32_t n;
};
enum queue_err queue_view_history(struct queue_view *v, struct queue_history_at *at, struct queue_outcome *out);
/* All history of one message, oldest first; *from counts up from 0. */
enum queue_err queue_view_history_of(struct queue_view *v, uint64_t id, uint32_t *from, struct queue_outcome *out);

/* Body, chunk by chunk, straight from the map: `out` is borrowed from the view it was read with. Views may end
 * between calls. The last chunk is handed out only if the digest of all of them is right: else QUEUE_CORRUPT.
 * After the last chunk QUEUE_OK with len 0. */
struct queue_body_reader {
	struct queue *q;
	uint64_t id;
	uint64_t chunks_at; /* private, as all of it */
	uint32_t next, chunks;
	uint64_t left_bytes;
	uint8_t sha256[32];
	void *hash;
};
enum queue_err queue_body_open(struct queue_view *v, uint64_t id, struct queue_body_reader *out);
enum queue_err queue_body_next(struct queue_body_reader *r, struct queue_view *v, struct queue_bytes *out);
void queue_body_close(struct queue_body_reader *r);

struct queue_stats {
	uint64_t messages, recipients; /* in the queue */
	uint64_t body_bytes;           /* of their bodies */
	uint64_t used_bytes;           /* of the file that are in use */
	uint64_t file_bytes, max_size_bytes, free_disk_bytes;
	uint64_t history_records;
	uint64_t commits, operations; /* since open */
	bool is_full;                 /* new mail is refused now */
};
void queue_stats(struct queue *q, struct queue_stats *out);

/* ---------------------------------------------------------------- upkeep */

/* Walks everything in bounded steps (a message with its body, or some hundred small records): *position starts all
 * zero; QUEUE_OK: more to do; QUEUE_NOT_FOUND: finished. Each finding is handed to `say`. Checks the file's pages
 * (when these are damaged it stops there with QUEUE_DAMAGED), records, schedule against recipients, chunks, digests. */
struct queue_verify {
	uint64_t messages, findings;
	bool has_pages; /* private, as the rest */
	int stage;
	uint8_t key[512];
	size_t key_len;
};
enum queue_err queue_verify_step(struct queue *q, struct queue_verify *position,
				 void (*say)(void *arg, uint64_t id, const char *finding), void *arg);
/* A consistent copy of the file while everything goes on; blocks for its duration (helper threads are LMDB's). */
enum queue_err queue_backup(struct queue *q, const char *path);

/* The next id for `now_ms`: strictly greater than every id given before, also when the clock stood back. */
uint64_t queue_next_id(struct queue *q, int64_t now_ms);

#endif
