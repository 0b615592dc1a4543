#include "queue/writer.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* A group's dirty pages are in memory until the commit. */
enum { GROUP_OPS = 1024, GROUP_BYTES = 8 * 1024 * 1024 };
#define SECOND_NS ((int64_t)1000000000)

struct ops {
	struct queue_op *first, *last;
};

struct writer {
	struct group *group;
	pthread_t thread;
	int event_fd;
	pthread_mutex_t mutex; /* over all that follows */
	pthread_cond_t work;
	struct ops waiting, finished;
	bool is_urgent;   /* one that waits has no patience */
	int64_t until_ns; /* else: when the first of them has no more patience; monotonic */
	bool is_asleep, must_stop;
	bool is_signalled; /* the eventfd is readable already */
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static void append(struct ops *list, struct queue_op *first, struct queue_op *last)
{
	if (list->last)
		list->last->next = first;
	else
		list->first = first;
	list->last = last;
}

/* The head of the waiting list, up to a group's bounds. */
static struct queue_op *take_group(struct writer *w, struct queue_op **out_last)
{
	struct queue_op *first = w->waiting.first, *last = first;
	size_t bytes, count = 1;

	if (!first)
		return NULL;
	bytes = first->bytes;
	while (last->next && count < GROUP_OPS && bytes + last->next->bytes <= GROUP_BYTES) {
		last = last->next;
		bytes += last->bytes;
		count++;
	}
	w->waiting.first = last->next;
	if (!w->waiting.first) {
		w->waiting.last = NULL;
		w->is_urgent = false;
	}
	last->next = NULL;
	*out_last = last;
	return first;
}

static void hand_back(struct writer *w, struct queue_op *first, struct queue_op *last)
{
	pthread_mutex_lock(&w->mutex);
	append(&w->finished, first, last);
	if (!w->is_signalled)
		eventfd_write(w->event_fd, 1);
	w->is_signalled = true;
	pthread_mutex_unlock(&w->mutex);
}

static bool must_write(const struct writer *w)
{
	return w->waiting.first && (w->is_urgent || w->must_stop || now_ns() >= w->until_ns);
}

/* Until there is something to do. Patient operations are written with the first urgent one, or when their time is
 * over. */
static void sleep_until_needed(struct writer *w)
{
	while (!must_write(w) && !w->must_stop && !group_has_chores(w->group)) {
		struct timespec until = { .tv_sec = (time_t)(w->until_ns / SECOND_NS),
					  .tv_nsec = (long)(w->until_ns % SECOND_NS) };

		w->is_asleep = true;
		if (w->waiting.first)
			pthread_cond_timedwait(&w->work, &w->mutex, &until);
		else
			pthread_cond_wait(&w->work, &w->mutex);
		w->is_asleep = false;
	}
}

static void *run(void *arg)
{
	struct writer *w = arg;
	struct queue_op *first, *last = NULL;

	for (;;) {
		pthread_mutex_lock(&w->mutex);
		sleep_until_needed(w);
		first = take_group(w, &last);
		if (!first && w->must_stop) {
			pthread_mutex_unlock(&w->mutex);
			return NULL;
		}
		pthread_mutex_unlock(&w->mutex);
		if (first) {
			group_run(w->group, first);
			hand_back(w, first, last);
		} else {
			group_chore(w->group);
		}
	}
}

/* Signals are the caller's thread's business. */
static int start_thread(struct writer *w)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc;
}

static void init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attr);
	pthread_condattr_destroy(&attr);
}

struct writer *writer_new(struct group *group)
{
	struct writer *w = calloc(1, sizeof *w);

	if (!w)
		return NULL;
	w->group = group;
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->event_fd < 0) {
		free(w);
		return NULL;
	}
	pthread_mutex_init(&w->mutex, NULL);
	init_condition(&w->work);
	if (start_thread(w) != 0) {
		close(w->event_fd);
		free(w);
		return NULL;
	}
	return w;
}

void writer_free(struct writer *w)
{
	struct queue_op *next;

	if (!w)
		return;
	pthread_mutex_lock(&w->mutex);
	w->must_stop = true;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->mutex);
	pthread_join(w->thread, NULL);
	for (struct queue_op *op = w->finished.first; op; op = next) {
		next = op->next;
		op_free(op);
	}
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->mutex);
	close(w->event_fd);
	free(w);
}

void writer_submit(struct writer *w, struct queue_op *op)
{
	int64_t until_ns = op->patience_ms ? now_ns() + (int64_t)op->patience_ms * 1000000 : 0;
	bool must_wake;

	op->next = NULL;
	pthread_mutex_lock(&w->mutex);
	/* A sleeping writer is woken by the first patient operation to set its clock, and by every urgent one. */
	must_wake = w->is_asleep && (!w->waiting.first || !op->patience_ms || until_ns < w->until_ns);
	if (!op->patience_ms)
		w->is_urgent = true;
	else if (!w->waiting.first || until_ns < w->until_ns)
		w->until_ns = until_ns;
	append(&w->waiting, op, op);
	if (must_wake)
		w->is_asleep = false;
	pthread_mutex_unlock(&w->mutex);
	if (must_wake)
		pthread_cond_signal(&w->work);
}

void writer_hurry(struct writer *w)
{
	pthread_mutex_lock(&w->mutex);
	w->is_urgent = w->waiting.first != NULL;
	pthread_mutex_unlock(&w->mutex);
	pthread_cond_signal(&w->work);
}

struct queue_op *writer_take(struct writer *w)
{
	struct queue_op *first;
	eventfd_t count;

	pthread_mutex_lock(&w->mutex);
	if (w->is_signalled)
		eventfd_read(w->event_fd, &count);
	w->is_signalled = false;
	first = w->finished.first;
	w->finished = (struct ops){ 0 };
	pthread_mutex_unlock(&w->mutex);
	return first;
}

int writer_fd(const struct writer *w)
{
	return w->event_fd;
}
