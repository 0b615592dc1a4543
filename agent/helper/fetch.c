#include "helper/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "helper/fetch_work.h"
#include "helper/protocol.h"

enum {
	FIRST_FREE = 3,
	GRACE_MS = 1000, /* the process keeps the time itself; this much later it is ended */
};

struct fetch {
	struct list node;
	struct fetch_set *set;
	char *request;
	size_t len;
	int64_t timeout_ms;
	pid_t pid; /* 0: no process */
	int fd;    /* where its answer comes from */
	struct loop_io io;
	struct loop_timer timer;
	struct loop_task task; /* an answer that was known at once */
	struct buf answer;
	void (*done)(void *arg, struct span answer);
	void *arg;
};

struct fetch_set {
	struct loop *loop;
	struct list running, waiting;
	size_t running_count, waiting_count;
};

/* ---------------------------------------------------------------- in the process */

static void become_fetcher(const struct fetch *fetch, int fd)
{
	struct buf out;
	struct span rest;

	signal(SIGCHLD, SIG_DFL);
	clearenv();
	if (dup2(fd, FIRST_FREE) < 0)
		_exit(1);
#ifdef __linux__
	if (close_range(FIRST_FREE + 1, ~0u, 0) != 0)
#endif
		for (int i = FIRST_FREE + 1; i < (int)sysconf(_SC_OPEN_MAX); i++)
			close(i);
	buf_init(&out, PROTOCOL_PAYLOAD);
	fetch_work(span_of(fetch->request, fetch->len), fetch->timeout_ms, &out);
	for (rest = buf_span(&out); rest.len;) {
		ssize_t n = write(FIRST_FREE, rest.data, rest.len);

		if (n < 0 && errno != EINTR)
			_exit(1);
		rest = span_from(rest, n > 0 ? (size_t)n : 0);
	}
	_exit(0);
}

/* ---------------------------------------------------------------- in the helper */

static void begin_next(struct fetch_set *set);

static void release(struct fetch *fetch)
{
	if (fetch->pid > 0) {
		kill(fetch->pid, SIGKILL); /* it has said what it had to say, or is not heard any more */
		while (waitpid(fetch->pid, NULL, 0) < 0 && errno == EINTR)
			;
		fetch->set->running_count--;
	} else if (!list_is_empty(&fetch->node)) {
		fetch->set->waiting_count--;
	}
	loop_io_stop(&fetch->io);
	loop_timer_stop(&fetch->timer);
	loop_task_stop(&fetch->task);
	if (fetch->fd >= 0)
		close(fetch->fd);
	buf_fini(&fetch->answer);
	list_remove(&fetch->node);
	mem_free(fetch->request);
	mem_free(fetch);
}

static void tell(struct fetch *fetch, struct span answer)
{
	void (*done)(void *arg, struct span answer) = fetch->done;
	struct fetch_set *set = fetch->set;
	struct protocol_answer checked;
	struct buf out;
	void *arg = fetch->arg;

	buf_init(&out, PROTOCOL_PAYLOAD);
	if (protocol_answer_read(answer, &checked))
		buf_append_span(&out, answer);
	release(fetch);
	done(arg, buf_span(&out));
	buf_fini(&out);
	begin_next(set);
}

static void tell_error(struct fetch *fetch, const char *error)
{
	struct protocol_answer answer = { .text = span_str(error) };
	struct buf out;

	buf_init(&out, PROTOCOL_PAYLOAD);
	protocol_answer_write(&out, &answer);
	tell(fetch, buf_span(&out));
	buf_fini(&out);
}

static void on_answer(struct loop_io *io, int events)
{
	struct fetch *fetch = LIST_ENTRY(io, struct fetch, io);
	struct protocol_answer answer;
	char piece[8192];
	ssize_t n = read(fetch->fd, piece, sizeof piece);

	(void)events;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0 && buf_append(&fetch->answer, piece, (size_t)n))
		return;
	if (n == 0 && protocol_answer_read(buf_span(&fetch->answer), &answer))
		tell(fetch, buf_span(&fetch->answer));
	else
		tell_error(fetch, "the request came to an unexpected end");
}

static void on_timeout(struct loop_timer *timer)
{
	tell_error(LIST_ENTRY(timer, struct fetch, timer), "the request took too long");
}

static void on_task(struct loop_task *task)
{
	tell_error(LIST_ENTRY(task, struct fetch, task), "too many requests wait to be sent");
}

static void begin(struct fetch *fetch)
{
	struct fetch_set *set = fetch->set;
	int ends[2];

	list_remove(&fetch->node);
	if (pipe2(ends, O_CLOEXEC) != 0) {
		loop_task_post(&fetch->task);
		return;
	}
	fetch->pid = fork();
	if (fetch->pid == 0)
		become_fetcher(fetch, ends[1]);
	close(ends[1]);
	if (fetch->pid < 0) {
		fetch->pid = 0;
		close(ends[0]);
		loop_task_post(&fetch->task);
		return;
	}
	fetch->fd = ends[0];
	list_append(&set->running, &fetch->node);
	set->running_count++;
	loop_io_init(&fetch->io, set->loop, fetch->fd, on_answer);
	loop_io_set(&fetch->io, LOOP_READ);
}

static void begin_next(struct fetch_set *set)
{
	struct list *node;

	while (set->running_count < FETCH_AT_ONCE && (node = list_first(&set->waiting))) {
		set->waiting_count--;
		begin(LIST_ENTRY(node, struct fetch, node));
	}
}

struct fetch *fetch_start(struct fetch_set *set, struct span request, int64_t timeout_ms,
			  void (*done)(void *arg, struct span answer), void *arg)
{
	struct fetch *fetch = MEM_NEW(struct fetch);

	fetch->set = set;
	fetch->done = done;
	fetch->arg = arg;
	fetch->fd = -1;
	fetch->request = mem_span_dup(request);
	fetch->len = request.len;
	fetch->timeout_ms = timeout_ms > 0 ? timeout_ms : 1;
	buf_init(&fetch->answer, PROTOCOL_PAYLOAD);
	list_init(&fetch->node);
	loop_timer_init(&fetch->timer, set->loop, on_timeout);
	loop_task_init(&fetch->task, set->loop, on_task);
	if (set->waiting_count == FETCH_WAITING) {
		loop_task_post(&fetch->task);
		return fetch;
	}
	loop_timer_in(&fetch->timer, fetch->timeout_ms + GRACE_MS);
	list_append(&set->waiting, &fetch->node);
	set->waiting_count++;
	begin_next(set);
	return fetch;
}

void fetch_cancel(struct fetch *fetch)
{
	struct fetch_set *set = fetch->set;

	release(fetch);
	begin_next(set);
}

struct fetch_set *fetch_set_new(struct loop *loop)
{
	struct fetch_set *set = MEM_NEW(struct fetch_set);

	set->loop = loop;
	list_init(&set->running);
	list_init(&set->waiting);
	return set;
}

void fetch_set_free(struct fetch_set *set)
{
	struct list *node;

	if (!set)
		return;
	while ((node = list_first(&set->waiting)) || (node = list_first(&set->running)))
		release(LIST_ENTRY(node, struct fetch, node));
	mem_free(set);
}
