/*
 * loop - the one event loop (libev behind it): descriptors, timers, signals, work at the end of a turn.
 *
 * Promise: callbacks run one at a time in the loop's thread; an object that was stopped is not called again,
 *          also when its event was already found in this turn. Timers count boot time: suspend passes for them.
 * Owns:    nothing of the caller's: watchers are embedded in the caller's objects, which stop them before they die.
 * Threads: one.
 */
#ifndef LOOP_H
#define LOOP_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct loop;

struct loop *loop_new(void);
void loop_free(struct loop *loop);
/* Until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* One turn; waits at most max_ms (-1: until something happens). For tests and tools. */
void loop_turn(struct loop *loop, int64_t max_ms);

/* Time as of the start of this turn. */
int64_t loop_now_ms(const struct loop *loop);  /* boot time */
int64_t loop_wall_ms(const struct loop *loop); /* wall clock */

enum { LOOP_READ = EV_READ, LOOP_WRITE = EV_WRITE };

struct loop_io {
	ev_io watcher;
	struct loop *loop;
	void (*ready)(struct loop_io *io, int events);
};
/* Not watching anything until loop_io_set(). */
void loop_io_init(struct loop_io *io, struct loop *loop, int fd, void (*ready)(struct loop_io *io, int events));
void loop_io_set(struct loop_io *io, int events); /* 0: none */
void loop_io_stop(struct loop_io *io);

struct loop_timer {
	ev_timer watcher;
	struct list node;
	struct loop *loop;
	int64_t at_ms;    /* boot time; INT64_MAX: not set */
	int64_t armed_ms; /* what the watcher is set to, at or before at_ms: moving a deadline back costs nothing */
	void (*fired)(struct loop_timer *timer);
};
void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*fired)(struct loop_timer *timer));
/* At a point of boot time (a past one fires in the next turn); INT64_MAX stops it. */
void loop_timer_at(struct loop_timer *timer, int64_t boot_ms);
void loop_timer_in(struct loop_timer *timer, int64_t delay_ms);
void loop_timer_stop(struct loop_timer *timer);

struct loop_signal {
	ev_signal watcher;
	struct loop *loop;
	void (*caught)(struct loop_signal *sig);
};
void loop_signal_init(struct loop_signal *sig, struct loop *loop, int number, void (*caught)(struct loop_signal *sig));
void loop_signal_stop(struct loop_signal *sig);

/* Work put off to the end of this turn, once however often it is asked for; before the loop waits again. */
struct loop_task {
	struct list node;
	struct loop *loop;
	void (*run)(struct loop_task *task);
};
void loop_task_init(struct loop_task *task, struct loop *loop, void (*run)(struct loop_task *task));
void loop_task_post(struct loop_task *task);
/* Before those that wait already. */
void loop_task_post_first(struct loop_task *task);
void loop_task_stop(struct loop_task *task);

/* Called at the very end of every turn that did something, after all tasks (queue views end here). A few may be set. */
void loop_on_turn_end(struct loop *loop, void (*end)(void *arg), void *arg);

/* At least `len` bytes that all callbacks share; what is in them dies when the callback returns. */
void *loop_scratch(struct loop *loop, size_t len);

#endif
