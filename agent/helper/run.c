#include "helper/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "helper/channel.h"

enum {
	NOTES = 1024, /* bytes of standard error that are looked at */
	FIRST_CLOSED = 3,
};

struct run {
	struct list node;
	struct run_set *set;
	char *command; /* waits for its turn; NULL: begun */
	pid_t pid;     /* 0: not running */
	int out_fd, err_fd;
	struct loop_io out_io, err_io;
	struct loop_timer timer;
	struct loop_task task; /* an answer that was known at once */
	struct buf out, err;
	bool too_much;
	bool told; /* answered or cancelled: only waits to be reaped */
	int64_t timeout_ms;
	char error[RUN_ERROR_SIZE];
	void (*done)(void *arg, bool ok, struct span output, const char *error);
	void *arg;
};

struct run_set {
	struct loop *loop;
	struct loop_signal child;
	struct list running, waiting;
	size_t running_count, waiting_count;
};

/* ---------------------------------------------------------------- in the child */

static void become_shell(const char *command, int out_fd, int err_fd)
{
	static const int defaults[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGQUIT };
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	setsid();
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		signal(defaults[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out_fd, 1) < 0 || dup2(err_fd, 2) < 0)
		_exit(126);
#ifdef __linux__
	if (close_range(FIRST_CLOSED, ~0u, 0) != 0)
#endif
		for (int fd = FIRST_CLOSED; fd < (int)sysconf(_SC_OPEN_MAX); fd++)
			close(fd);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* ---------------------------------------------------------------- the end of a run */

static void close_pipe(struct loop_io *io, int *fd)
{
	loop_io_stop(io);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void release(struct run *run)
{
	close_pipe(&run->out_io, &run->out_fd);
	close_pipe(&run->err_io, &run->err_fd);
	loop_timer_stop(&run->timer);
	loop_task_stop(&run->task);
	buf_wipe(&run->out);
	buf_wipe(&run->err);
	list_remove(&run->node);
	mem_free(run->command);
	mem_free(run);
}

static void tell(struct run *run, bool ok, struct span output)
{
	if (run->told)
		return;
	run->told = true;
	loop_timer_stop(&run->timer);
	run->done(run->arg, ok, output, run->error);
}

static void kill_all_of(const struct run *run)
{
	/* Its session may not be made yet. */
	if (run->pid > 0 && kill(-run->pid, SIGKILL) != 0)
		kill(run->pid, SIGKILL);
}

static void first_line(struct span text, struct span *out)
{
	*out = span_first(text, span_find(text, '\n'));
	if (out->len && out->data[out->len - 1] == '\r')
		out->len--;
}

/* Why, with the first thing that the command said about it. */
static void explain(struct run *run, int status)
{
	struct span notes = buf_span(&run->err), line;
	struct buf words;

	buf_init(&words, 4096);
	if (WIFSIGNALED(status))
		buf_printf(&words, "the command was killed by signal %d", WTERMSIG(status));
	else
		buf_printf(&words, "the command failed with exit status %d", WEXITSTATUS(status));
	while (notes.len && (notes.data[0] == '\n' || notes.data[0] == '\r'))
		notes = span_from(notes, 1);
	first_line(notes, &line);
	if (line.len) {
		buf_append_str(&words, ": ");
		text_clean(&words, line, 200);
	}
	snprintf(run->error, sizeof(run->error), "%s", buf_cstr(&words));
	buf_fini(&words);
}

static void begin_next(struct run_set *set);
static void drain(struct run *run);

static void on_reaped(struct run *run, int status)
{
	struct run_set *set = run->set;
	struct span line;

	/* What is in the pipes now; a daemon that the command left behind may keep them open for ever. */
	if (!run->told)
		drain(run);
	first_line(buf_span(&run->out), &line);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		explain(run, status);
	else if (run->too_much)
		snprintf(run->error, sizeof(run->error), "the command printed more than %d KiB", RUN_OUTPUT / 1024);
	else if (line.len == 0)
		snprintf(run->error, sizeof(run->error), "the command printed nothing");
	tell(run, run->error[0] == '\0', line);
	release(run);
	set->running_count--;
	begin_next(set);
}

static void on_child(struct loop_signal *sig)
{
	struct run_set *set = LIST_ENTRY(sig, struct run_set, child);
	struct list *next;

	for (struct list *at = list_first(&set->running); at; at = next) {
		struct run *run = LIST_ENTRY(at, struct run, node);
		int status;

		next = list_next(&set->running, at);
		if (waitpid(run->pid, &status, WNOHANG) == run->pid)
			on_reaped(run, status);
	}
}

/* One that has no process. */
static void leave_queue(struct run *run)
{
	if (!list_is_empty(&run->node))
		run->set->waiting_count--;
	release(run);
}

static void on_timeout(struct loop_timer *timer)
{
	struct run *run = LIST_ENTRY(timer, struct run, timer);
	char duration[TEXT_DURATION_SIZE];

	snprintf(run->error, sizeof(run->error), "the command took longer than %s",
		 text_duration_print(run->timeout_ms, duration));
	kill_all_of(run);
	tell(run, false, span_of("", 0));
	if (run->pid == 0)
		leave_queue(run);
}

/* ---------------------------------------------------------------- what it prints */

/* Bytes read, 0 at the end, -errno. What does not fit is forgotten and noted. */
static ssize_t take(int fd, struct buf *into, bool *out_too_much)
{
	char spill[512], *room = NULL;
	size_t left = into->max - into->len;
	ssize_t n;

	if (left)
		room = buf_reserve(into, left);
	n = read(fd, room ? room : spill, room ? left : sizeof(spill));
	if (n < 0)
		return -errno;
	if (room)
		buf_commit(into, (size_t)n);
	else if (n > 0)
		*out_too_much = true;
	explicit_bzero(spill, sizeof(spill));
	return n;
}

static void drain(struct run *run)
{
	bool ignored = false;

	/* Bounded: a daemon left behind may print for ever. */
	for (int i = 0; i < 64 && run->out_fd >= 0 && take(run->out_fd, &run->out, &run->too_much) > 0; i++)
		;
	for (int i = 0; i < 4 && run->err_fd >= 0 && take(run->err_fd, &run->err, &ignored) > 0; i++)
		;
}

static bool is_end(ssize_t n)
{
	return n == 0 || (n < 0 && n != -EAGAIN && n != -EINTR);
}

static void on_output(struct loop_io *io, int events)
{
	struct run *run = LIST_ENTRY(io, struct run, out_io);

	(void)events;
	if (is_end(take(run->out_fd, &run->out, &run->too_much)))
		close_pipe(io, &run->out_fd);
}

static void on_notes(struct loop_io *io, int events)
{
	struct run *run = LIST_ENTRY(io, struct run, err_io);
	bool ignored = false;

	(void)events;
	if (is_end(take(run->err_fd, &run->err, &ignored)))
		close_pipe(io, &run->err_fd);
}

/* ---------------------------------------------------------------- the beginning */

static bool fork_it(struct run *run)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 };
	bool good = pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0 && (run->pid = fork()) >= 0;

	if (good && run->pid == 0)
		become_shell(run->command, out[1], err[1]);
	if (!good) {
		snprintf(run->error, sizeof(run->error), "the command could not be started: %s", strerror(errno));
		run->pid = 0;
	}
	for (int i = good; i < 2; i++) {
		if (out[i] >= 0)
			close(out[i]);
		if (err[i] >= 0)
			close(err[i]);
	}
	if (!good)
		return false;
	run->out_fd = out[0];
	run->err_fd = err[0];
	fcntl(run->out_fd, F_SETFL, O_NONBLOCK);
	fcntl(run->err_fd, F_SETFL, O_NONBLOCK);
	return true;
}

static void begin(struct run *run)
{
	struct run_set *set = run->set;

	if (!fork_it(run)) {
		loop_task_post(&run->task);
		return;
	}
	mem_free(run->command);
	run->command = NULL;
	list_remove(&run->node);
	list_append(&set->running, &run->node);
	set->running_count++;
	loop_io_init(&run->out_io, set->loop, run->out_fd, on_output);
	loop_io_init(&run->err_io, set->loop, run->err_fd, on_notes);
	loop_io_set(&run->out_io, LOOP_READ);
	loop_io_set(&run->err_io, LOOP_READ);
}

static void begin_next(struct run_set *set)
{
	struct list *node;

	while (set->running_count < RUN_AT_ONCE && (node = list_first(&set->waiting))) {
		list_remove(node);
		set->waiting_count--;
		begin(LIST_ENTRY(node, struct run, node));
	}
}

static void on_task(struct loop_task *task)
{
	struct run *run = LIST_ENTRY(task, struct run, task);

	tell(run, false, span_of("", 0));
	release(run);
}

struct run *run_command(struct run_set *set, const char *command, int64_t timeout_ms,
			void (*done)(void *arg, bool ok, struct span output, const char *error), void *arg)
{
	struct run *run = MEM_NEW(struct run);

	run->set = set;
	run->done = done;
	run->arg = arg;
	run->out_fd = run->err_fd = -1;
	run->timeout_ms = timeout_ms;
	buf_init(&run->out, RUN_OUTPUT);
	buf_init(&run->err, NOTES);
	list_init(&run->node);
	loop_timer_init(&run->timer, set->loop, on_timeout);
	loop_task_init(&run->task, set->loop, on_task);
	if (set->waiting_count == RUN_WAITING) {
		snprintf(run->error, sizeof(run->error), "too many commands wait to be run");
		loop_task_post(&run->task);
		return run;
	}
	run->command = mem_strdup(command);
	loop_timer_in(&run->timer, timeout_ms);
	list_append(&set->waiting, &run->node);
	set->waiting_count++;
	begin_next(set);
	return run;
}

void run_cancel(struct run *run)
{
	if (!run || run->told)
		return;
	run->told = true;
	loop_timer_stop(&run->timer);
	kill_all_of(run);
	if (run->pid == 0)
		leave_queue(run);
}

struct run_set *run_set_new(struct loop *loop)
{
	struct run_set *set = MEM_NEW(struct run_set);

	set->loop = loop;
	list_init(&set->running);
	list_init(&set->waiting);
	loop_signal_init(&set->child, loop, SIGCHLD, on_child);
	return set;
}

void run_set_free(struct run_set *set)
{
	struct list *node;

	if (!set)
		return;
	loop_signal_stop(&set->child);
	while ((node = list_first(&set->waiting)))
		release(LIST_ENTRY(node, struct run, node));
	while ((node = list_first(&set->running))) {
		struct run *run = LIST_ENTRY(node, struct run, node);

		kill_all_of(run);
		waitpid(run->pid, NULL, 0);
		release(run);
	}
	mem_free(set);
}
