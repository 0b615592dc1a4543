#include "net/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/timerfd.h>
#endif

#include "base/clock.h"
#include "base/mem.h"

enum {
	TURN_ENDS = 4,
	TASK_ROUNDS = 4, /* tasks may post tasks; after this many rounds descriptors get their turn */
	JUMP_MS = 20,    /* boot time against monotonic time: more than this is a suspend */
	PULSE_S = 3600,  /* the loop wakes this often by itself; every minute where nothing announces a resume */
	PULSE_BLIND_S = 60,
};

struct loop {
	struct ev_loop *ev;
	struct list tasks;
	struct list timers; /* all that are set */
	int64_t now_ms, wall_ms;
	int64_t slept_ms; /* boot time minus monotonic time */
	bool stopped;
	bool in_turn;
	ev_check woke;
	ev_timer pulse;
	ev_timer limit;
	ev_io resumed;
	int resumed_fd;
	struct {
		void (*end)(void *arg);
		void *arg;
	} ends[TURN_ENDS];
	unsigned end_count;
	char *scratch;
	size_t scratch_len;
};

static int64_t monotonic_ms(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
		abort();
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void arm(struct loop_timer *timer)
{
	int64_t left = timer->at_ms - timer->loop->now_ms;

	ev_timer_stop(timer->loop->ev, &timer->watcher);
	ev_timer_set(&timer->watcher, left > 0 ? (double)left / 1000 : 0, 0);
	ev_timer_start(timer->loop->ev, &timer->watcher);
	timer->armed_ms = timer->at_ms;
}

static void read_clocks(struct loop *loop)
{
	int64_t slept;

	loop->now_ms = clock_boot_ms();
	loop->wall_ms = clock_wall_ms();
	slept = loop->now_ms - monotonic_ms();
	if (llabs(slept - loop->slept_ms) <= JUMP_MS)
		return;
	/* libev counts monotonic time, which stood still while the machine was suspended. */
	loop->slept_ms = slept;
	for (struct list *at = list_first(&loop->timers); at; at = list_next(&loop->timers, at))
		arm(LIST_ENTRY(at, struct loop_timer, node));
}

static void on_woke(struct ev_loop *ev, ev_check *watcher, int events)
{
	(void)watcher;
	(void)events;
	read_clocks(ev_userdata(ev));
}

static void on_pulse(struct ev_loop *ev, ev_timer *watcher, int events)
{
	(void)ev;
	(void)watcher;
	(void)events;
}

#ifdef __linux__
/* A wall-clock timer that is cancelled when the clock is set, which the kernel also does on resume. */
static void arm_resumed(const struct loop *loop)
{
	struct itimerspec never = { .it_value.tv_sec = INT32_MAX };

	timerfd_settime(loop->resumed_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL);
}

static void on_resumed(struct ev_loop *ev, ev_io *watcher, int events)
{
	const struct loop *loop = ev_userdata(ev);
	uint64_t expired;

	(void)watcher;
	(void)events;
	if (read(loop->resumed_fd, &expired, sizeof(expired)) < 0)
		arm_resumed(loop);
}

static bool watch_resume(struct loop *loop)
{
	loop->resumed_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->resumed_fd < 0)
		return false;
	arm_resumed(loop);
	ev_io_init(&loop->resumed, on_resumed, loop->resumed_fd, EV_READ);
	ev_io_start(loop->ev, &loop->resumed);
	return true;
}
#else
static bool watch_resume(struct loop *loop)
{
	loop->resumed_fd = -1;
	return false;
}
#endif

struct loop *loop_new(void)
{
	struct loop *loop = MEM_NEW(struct loop);
	double pulse;

	loop->ev = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
	if (!loop->ev)
		abort();
	ev_set_userdata(loop->ev, loop);
	list_init(&loop->tasks);
	list_init(&loop->timers);
	pulse = watch_resume(loop) ? PULSE_S : PULSE_BLIND_S;
	ev_timer_init(&loop->pulse, on_pulse, pulse, pulse);
	ev_timer_start(loop->ev, &loop->pulse);
	ev_timer_init(&loop->limit, on_pulse, 0, 0);
	ev_check_init(&loop->woke, on_woke);
	ev_set_priority(&loop->woke, EV_MAXPRI);
	ev_check_start(loop->ev, &loop->woke);
	loop->slept_ms = clock_boot_ms() - monotonic_ms();
	read_clocks(loop);
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	ev_loop_destroy(loop->ev);
	if (loop->resumed_fd >= 0)
		close(loop->resumed_fd);
	mem_free(loop->scratch);
	mem_free(loop);
}

static void run_tasks(struct loop *loop)
{
	for (int round = 0; round < TASK_ROUNDS && !list_is_empty(&loop->tasks); round++) {
		struct list batch, *node;

		list_init(&batch);
		list_append(&loop->tasks, &batch);
		list_remove(&loop->tasks);
		while ((node = list_first(&batch))) {
			struct loop_task *task = LIST_ENTRY(node, struct loop_task, node);

			list_remove(node);
			task->run(task);
		}
	}
}

static void end_turn(struct loop *loop)
{
	run_tasks(loop);
	for (unsigned i = 0; i < loop->end_count; i++)
		loop->ends[i].end(loop->ends[i].arg);
}

void loop_turn(struct loop *loop, int64_t max_ms)
{
	bool wait = max_ms != 0;

	assert(!loop->in_turn);
	loop->in_turn = true;
	if (!list_is_empty(&loop->tasks)) { /* posted from outside of a turn, or too many in the last one */
		read_clocks(loop);
		end_turn(loop);
		wait = wait && list_is_empty(&loop->tasks) && !loop->stopped;
	}
	if (wait && max_ms > 0) {
		ev_now_update(loop->ev);
		ev_timer_set(&loop->limit, (double)max_ms / 1000, 0);
		ev_timer_start(loop->ev, &loop->limit);
	}
	ev_run(loop->ev, wait ? EVRUN_ONCE : EVRUN_NOWAIT);
	ev_timer_stop(loop->ev, &loop->limit);
	end_turn(loop);
	loop->in_turn = false;
}

void loop_run(struct loop *loop)
{
	while (!loop->stopped)
		loop_turn(loop, -1);
	loop->stopped = false;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

int64_t loop_now_ms(const struct loop *loop)
{
	return loop->in_turn ? loop->now_ms : clock_boot_ms();
}

int64_t loop_wall_ms(const struct loop *loop)
{
	return loop->in_turn ? loop->wall_ms : clock_wall_ms();
}

static void on_io(struct ev_loop *ev, ev_io *watcher, int events)
{
	struct loop_io *io = LIST_ENTRY(watcher, struct loop_io, watcher);

	(void)ev;
	io->ready(io, events & (EV_READ | EV_WRITE));
}

void loop_io_init(struct loop_io *io, struct loop *loop, int fd, void (*ready)(struct loop_io *io, int events))
{
	*io = (struct loop_io){ .loop = loop, .ready = ready };
	ev_io_init(&io->watcher, on_io, fd, 0);
}

void loop_io_set(struct loop_io *io, int events)
{
	bool active = ev_is_active(&io->watcher);

	if (events == 0) {
		loop_io_stop(io);
		return;
	}
	if (active && (io->watcher.events & (EV_READ | EV_WRITE)) == events)
		return;
	/* Modify, not set: off and on again in one turn costs no system call then. */
	ev_io_stop(io->loop->ev, &io->watcher);
	ev_io_modify(&io->watcher, events);
	ev_io_start(io->loop->ev, &io->watcher);
}

void loop_io_stop(struct loop_io *io)
{
	if (io->loop)
		ev_io_stop(io->loop->ev, &io->watcher);
}

static void on_timer(struct ev_loop *ev, ev_timer *watcher, int events)
{
	struct loop_timer *timer = LIST_ENTRY(watcher, struct loop_timer, watcher);

	(void)ev;
	(void)events;
	if (timer->at_ms > timer->loop->now_ms) { /* it was moved meanwhile */
		arm(timer);
		return;
	}
	loop_timer_stop(timer);
	timer->fired(timer);
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*fired)(struct loop_timer *timer))
{
	*timer = (struct loop_timer){ .loop = loop, .at_ms = INT64_MAX, .fired = fired };
	list_init(&timer->node);
	ev_timer_init(&timer->watcher, on_timer, 0, 0);
}

void loop_timer_at(struct loop_timer *timer, int64_t boot_ms)
{
	struct loop *loop = timer->loop;

	if (boot_ms == INT64_MAX) {
		loop_timer_stop(timer);
		return;
	}
	timer->at_ms = boot_ms;
	if (ev_is_active(&timer->watcher) && timer->armed_ms <= boot_ms)
		return;
	if (!loop->in_turn) {
		ev_now_update(loop->ev);
		read_clocks(loop);
	}
	list_remove(&timer->node);
	list_append(&loop->timers, &timer->node);
	arm(timer);
}

void loop_timer_in(struct loop_timer *timer, int64_t delay_ms)
{
	int64_t now = loop_now_ms(timer->loop);

	loop_timer_at(timer, delay_ms >= INT64_MAX - now ? INT64_MAX : now + (delay_ms > 0 ? delay_ms : 0));
}

void loop_timer_stop(struct loop_timer *timer)
{
	if (!timer->loop)
		return;
	timer->at_ms = INT64_MAX;
	ev_timer_stop(timer->loop->ev, &timer->watcher);
	list_remove(&timer->node);
}

static void on_signal(struct ev_loop *ev, ev_signal *watcher, int events)
{
	struct loop_signal *sig = LIST_ENTRY(watcher, struct loop_signal, watcher);

	(void)ev;
	(void)events;
	sig->caught(sig);
}

void loop_signal_init(struct loop_signal *sig, struct loop *loop, int number, void (*caught)(struct loop_signal *sig))
{
	*sig = (struct loop_signal){ .loop = loop, .caught = caught };
	ev_signal_init(&sig->watcher, on_signal, number);
	ev_signal_start(loop->ev, &sig->watcher);
}

void loop_signal_stop(struct loop_signal *sig)
{
	if (sig->loop)
		ev_signal_stop(sig->loop->ev, &sig->watcher);
}

void loop_task_init(struct loop_task *task, struct loop *loop, void (*run)(struct loop_task *task))
{
	*task = (struct loop_task){ .loop = loop, .run = run };
	list_init(&task->node);
}

void loop_task_post(struct loop_task *task)
{
	if (list_is_empty(&task->node))
		list_append(&task->loop->tasks, &task->node);
}

void loop_task_post_first(struct loop_task *task)
{
	if (list_is_empty(&task->node))
		list_prepend(&task->loop->tasks, &task->node);
}

void loop_task_stop(struct loop_task *task)
{
	if (task->loop)
		list_remove(&task->node);
}

void loop_on_turn_end(struct loop *loop, void (*end)(void *arg), void *arg)
{
	assert(loop->end_count < TURN_ENDS);
	loop->ends[loop->end_count].end = end;
	loop->ends[loop->end_count++].arg = arg;
}

void *loop_scratch(struct loop *loop, size_t len)
{
	if (len > loop->scratch_len) {
		mem_free(loop->scratch);
		loop->scratch = mem_alloc(len);
		loop->scratch_len = len;
	}
	return loop->scratch;
}
