/*
 * The queue's writer without a thread: groups are run when the simulation says that the disk has done its work, in the
 * caller's thread, so that the same seed is the same order of everything. Linked instead of queue/writer.c.
 */
#include "queue/writer.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/sim/disk.h"

struct writer {
	struct group *group;
	struct queue_op *waiting, **waiting_end;
	struct queue_op *flushing; /* taken, and not yet committed */
	struct queue_op *finished, **finished_end;
	int event_fd;
};

static struct writer *now_open; /* there is one queue at a time */
static bool is_power_off;

struct writer *writer_new(struct group *group)
{
	struct writer *w = calloc(1, sizeof *w);

	if (!w)
		return NULL;
	w->group = group;
	w->waiting_end = &w->waiting;
	w->finished_end = &w->finished;
	w->event_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK); /* readable for ever: nobody waits in vain */
	now_open = w;
	is_power_off = false;
	return w;
}

static void finish(struct writer *w, struct queue_op *ops)
{
	*w->finished_end = ops;
	while (*w->finished_end)
		w->finished_end = &(*w->finished_end)->next;
}

static void free_all(struct queue_op *ops)
{
	struct queue_op *next;

	for (; ops; ops = next) {
		next = ops->next;
		op_free(ops);
	}
}

void writer_free(struct writer *w)
{
	if (!w)
		return;
	free_all(w->waiting);
	free_all(w->flushing);
	free_all(w->finished);
	close(w->event_fd);
	now_open = NULL;
	free(w);
}

void writer_submit(struct writer *w, struct queue_op *op)
{
	op->next = NULL;
	*w->waiting_end = op;
	w->waiting_end = &op->next;
}

static void lose(struct writer *w, struct queue_op *ops)
{
	for (struct queue_op *op = ops; op; op = op->next)
		op->err = QUEUE_STOPPING;
	finish(w, ops);
}

/* The caller cannot wait for the disk. */
void writer_hurry(struct writer *w)
{
	if (!is_power_off) {
		while (disk_is_flushing() || disk_waits(NULL)) {
			if (!disk_is_flushing())
				disk_take(SIZE_MAX);
			disk_commit();
		}
		return;
	}
	lose(w, w->flushing);
	lose(w, w->waiting);
	w->flushing = w->waiting = NULL;
	w->waiting_end = &w->waiting;
}

struct queue_op *writer_take(struct writer *w)
{
	struct queue_op *first = w->finished;

	w->finished = NULL;
	w->finished_end = &w->finished;
	return first;
}

int writer_fd(const struct writer *w)
{
	return w->event_fd;
}

/* ---------------------------------------------------------------- the disk's side */

size_t disk_waits(bool *out_is_urgent)
{
	size_t count = 0;

	if (out_is_urgent)
		*out_is_urgent = false;
	for (struct queue_op *op = now_open->waiting; op; op = op->next) {
		count++;
		if (out_is_urgent && !op->patience_ms)
			*out_is_urgent = true;
	}
	return count;
}

bool disk_is_flushing(void)
{
	return now_open->flushing != NULL;
}

void disk_take(size_t max)
{
	struct writer *w = now_open;
	struct queue_op **end = &w->waiting;

	for (size_t i = 0; *end && i < max; i++)
		end = &(*end)->next;
	w->flushing = w->waiting;
	w->waiting = *end;
	*end = NULL;
	if (w->waiting == w->flushing)
		w->flushing = NULL;
	if (!w->waiting)
		w->waiting_end = &w->waiting;
}

void disk_commit(void)
{
	struct writer *w = now_open;
	struct queue_op *ops = w->flushing;

	w->flushing = NULL;
	group_run(w->group, ops);
	finish(w, ops);
	if (group_has_chores(w->group) && !w->waiting)
		group_chore(w->group);
}

void disk_power_off(void)
{
	is_power_off = true;
}
