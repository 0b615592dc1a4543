#include "queue/accept.h"
#include "queue/internal.h"
#include "queue/receipt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((uint64_t)1024 * 1024)

const char *queue_err_name(enum queue_err err)
{
	static const char *const names[] = { "ok",     "not_found", "quota",     "disk_full", "too_big",
					     "busy",   "corrupt",   "damaged",   "io",        "locked",
					     "schema", "invalid",   "no_memory", "stopping" };

	_Static_assert(sizeof names / sizeof *names == QUEUE_STOPPING + 1, "a name for each error");
	return (size_t)err < sizeof names / sizeof *names ? names[err] : "unknown";
}

const char *queue_err_text(enum queue_err err)
{
	switch (err) {
#define X(name, text) \
	case QUEUE_##name: return text;
		QUEUE_ERRORS(X)
#undef X
	}
	return "unknown error";
}

bool queue_internal_must_fail(const struct queue *q, const char *what)
{
	return q->config.fail && q->config.fail(q->config.arg, what);
}

static void warn(struct queue *q, const char *text)
{
	if (q->config.warn && text)
		q->config.warn(q->config.arg, text);
}

/* ---------------------------------------------------------------- open and close */

void queue_limits(struct queue *q, const struct queue_config *config)
{
	struct group_shared *sh = &q->shared;

	sh->max_size_bytes = config->max_size_bytes ? config->max_size_bytes : 4096 * MIB;
	sh->max_message_bytes = config->max_message_bytes ? config->max_message_bytes : 50 * MIB;
	sh->min_free_disk_bytes = config->min_free_disk_bytes;
	sh->history_ms = config->history_ms ? config->history_ms : (int64_t)30 * 24 * 3600 * 1000;
	sh->history_max_bytes = config->history_max_bytes ? config->history_max_bytes : 256 * MIB;
}

/* Address space, not memory or disk: so large that records, old pages and a raised quota fit. */
static uint64_t map_size(const struct group_shared *sh)
{
	uint64_t bytes = 4 * (sh->max_size_bytes + sh->history_max_bytes) + 1024 * MIB;

	return (bytes < 32 * 1024 * MIB ? 32 * 1024 * MIB : bytes) & ~(MIB - 1);
}

static enum queue_err open_store(struct queue *q, char *why, size_t why_size)
{
	char path[4096];
	struct store_config c = {
		.path = path, .map_bytes = map_size(&q->shared), .fail = q->config.fail, .arg = q->config.arg
	};
	enum queue_err err;

	if ((size_t)snprintf(path, sizeof path, "%s/queue.mdb", q->config.directory) >= sizeof path)
		return QUEUE_INVALID;
	err = store_open(&c, &q->store, why, why_size);
	if (err != QUEUE_OK)
		return err;
	store_clear_readers(q->store);
	err = group_new(q->store, &q->shared, &q->group);
	if (err != QUEUE_OK)
		snprintf(why, why_size, "%s: %s", path, queue_err_text(err));
	else if (fsync(q->guard.dir_fd) != 0) {
		snprintf(why, why_size, "%s: %s", q->config.directory, strerror(errno));
		err = QUEUE_IO;
	}
	return err;
}

static void dispose(struct queue *q)
{
	queue_view_end(q);
	store_read_end(&q->view.txn);
	group_free(q->group);
	store_close(q->store);
	guard_close(&q->guard);
	free((char *)q->config.directory);
	free(q);
}

enum queue_err queue_open(const struct queue_config *config, struct queue **out_queue, char *why, size_t why_size)
{
	struct queue *q = calloc(1, sizeof *q);
	enum queue_err err;

	if (why_size)
		why[0] = '\0';
	if (!q)
		return QUEUE_NO_MEMORY;
	q->guard = (struct guard){ .dir_fd = -1, .lock_fd = -1 };
	q->config = *config;
	q->config.directory = strdup(config->directory);
	queue_limits(q, config);
	err = q->config.directory ? guard_open(config->directory, &q->guard, why, why_size) : QUEUE_NO_MEMORY;
	if (err == QUEUE_OK)
		err = open_store(q, why, why_size);
	if (err == QUEUE_OK) {
		q->last_id = group_counters(q->group)->last_id;
		q->next_body = group_counters(q->group)->next_body;
		q->writer = writer_new(q->group);
		if (!q->writer)
			err = QUEUE_NO_MEMORY;
	}
	if (err != QUEUE_OK) {
		if (why_size && !why[0])
			snprintf(why, why_size, "%s: %s", config->directory, queue_err_text(err));
		dispose(q);
		return err;
	}
	warn(q, guard_objection(&q->guard));
	*out_queue = q;
	return QUEUE_OK;
}

void queue_close(struct queue *q)
{
	if (!q)
		return;
	queue_wait(q);
	writer_free(q->writer);
	dispose(q);
}

/* ---------------------------------------------------------------- operations under way */

void queue_internal_submit(struct queue *q, struct queue_op *op)
{
	op->built = op->err;
	q->ops_under_way++;
	writer_submit(q->writer, op);
}

int queue_fd(const struct queue *q)
{
	return writer_fd(q->writer);
}

bool queue_is_idle(const struct queue *q)
{
	return q->ops_under_way == 0;
}

void queue_set_watcher(struct queue *q, void (*watch)(void *arg, const struct queue_news *news), void *arg)
{
	q->watch = watch;
	q->watch_arg = arg;
}

static void answer(struct queue *q, struct queue_op *op)
{
	struct queue_receipt *next;

	q->ops_under_way--;
	if (op->done)
		op->done(op->arg, op->err, op->id);
	for (struct queue_receipt *r = op->receipts; r; r = next) {
		next = r->next;
		r->next = NULL;
		queue_receipt_finish(r, op->err);
	}
	op->receipts = NULL;
}

static void tell_news(struct queue *q, const struct queue_op *op)
{
	if (op->err != QUEUE_OK || !q->watch)
		return;
	for (const struct op_news *n = op->news; n; n = n->next)
		q->watch(q->watch_arg, &n->news);
}

static void tell_warnings(struct queue *q)
{
	char text[96];
	uint32_t dead = atomic_exchange(&q->shared.stale_readers, 0);

	if (dead == 0)
		return;
	snprintf(text, sizeof text, "%u reader(s) of the queue file died without leaving; cleared", (unsigned)dead);
	warn(q, text);
}

void queue_dispatch(struct queue *q)
{
	struct queue_op *first = writer_take(q->writer), *next;

	for (struct queue_op *op = first; op; op = op->next)
		answer(q, op);
	for (struct queue_op *op = first; op; op = op->next)
		tell_news(q, op);
	for (struct queue_op *op = first; op; op = next) {
		next = op->next;
		op_free(op);
	}
	queue_receipt_wake(q);
	tell_warnings(q);
}

void queue_wait(struct queue *q)
{
	struct pollfd p = { .fd = queue_fd(q), .events = POLLIN };

	while (!queue_is_idle(q)) {
		writer_hurry(q->writer);
		poll(&p, 1, -1);
		queue_dispatch(q);
	}
}

/* ---------------------------------------------------------------- room and facts */

enum { SMALL_MESSAGE = 16 * 1024 }; /* bytes: when not even that fits, the queue is full */

/* While mail is refused nothing is committed, so nobody else would notice that the disk has room again. */
static uint64_t free_disk(const struct queue *q)
{
	const struct group_shared *sh = &q->shared;

	return sh->free_disk_bytes < sh->min_free_disk_bytes ? guard_free_bytes(store_fd(q->store))
							     : sh->free_disk_bytes;
}

enum queue_err queue_internal_room(const struct queue *q, uint64_t more_bytes, bool with_reserve)
{
	const struct group_shared *sh = &q->shared;
	uint64_t used = accept_charge(sh->body_bytes + q->receiving_bytes, sh->messages, sh->recipients);

	if (used + accept_charge(more_bytes, 1, 1) > accept_quota(sh, with_reserve))
		return QUEUE_QUOTA;
	return sh->is_disk_full || free_disk(q) < accept_floor(sh, with_reserve) ? QUEUE_DISK_FULL : QUEUE_OK;
}

enum queue_err queue_admit(const struct queue *q, uint64_t size_bytes)
{
	return size_bytes > q->shared.max_message_bytes ? QUEUE_TOO_BIG : queue_internal_room(q, size_bytes, false);
}

static uint64_t free_pages(struct queue *q, uint64_t txn_id)
{
	bool was_open = q->view.is_open;
	struct queue_view *v;

	if (txn_id == q->free_pages_at && txn_id != 0)
		return q->free_pages;
	v = queue_view(q);
	if (v && store_free_pages(&v->txn, &q->free_pages) == QUEUE_OK)
		q->free_pages_at = txn_id;
	if (!was_open)
		queue_view_end(q);
	return q->free_pages;
}

void queue_stats(struct queue *q, struct queue_stats *out)
{
	const struct group_shared *sh = &q->shared;
	struct store_space space;
	struct stat st;
	/* Never lseek(): LMDB's writer seeks and writes on this descriptor, and would write at the wrong place. */
	off_t end = fstat(store_fd(q->store), &st) == 0 ? st.st_size : 0;

	store_space(q->store, &space);
	*out = (struct queue_stats){
		.messages = sh->messages,
		.recipients = sh->recipients,
		.body_bytes = sh->body_bytes,
		.used_bytes = (space.last_page + 1 - free_pages(q, space.txn_id)) * space.page_bytes,
		.file_bytes = end > 0 ? (uint64_t)end : 0,
		.max_size_bytes = sh->max_size_bytes,
		.free_disk_bytes = guard_free_bytes(store_fd(q->store)),
		.history_records = sh->history_records,
		.commits = sh->commits,
		.operations = sh->operations,
		/* As a small message would find it. */
		.is_full = queue_internal_room(q, SMALL_MESSAGE, false) != QUEUE_OK,
	};
}

uint64_t queue_next_id(struct queue *q, int64_t now_ms)
{
	uint64_t id = now_ms > 0 ? (uint64_t)now_ms << 20 : 0;

	if (id <= q->last_id)
		id = q->last_id + 1;
	q->last_id = id;
	return id;
}

enum queue_err queue_backup(struct queue *q, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum queue_err err;

	if (fd < 0)
		return errno == EEXIST ? QUEUE_INVALID : errno == ENOSPC ? QUEUE_DISK_FULL : QUEUE_IO;
	err = store_copy(q->store, fd, false);
	if (err == QUEUE_OK && fsync(fd) != 0)
		err = QUEUE_IO;
	close(fd);
	if (err != QUEUE_OK)
		unlink(path);
	return err;
}
