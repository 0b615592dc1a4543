#include "helper/check.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/scram.h"

enum { FIRST_FREE = 3 };

struct check {
	struct list node;
	struct check_set *set;
	char *question; /* NULL: the process has it */
	size_t len;
	pid_t pid; /* 0: no process */
	int fd;    /* where its verdict comes from */
	struct loop_io io;
	struct loop_timer timer;
	struct loop_task task; /* an answer that was known at once */
	void (*done)(void *arg, enum check_verdict verdict);
	void *arg;
};

struct check_set {
	struct loop *loop;
	struct list running, waiting;
	size_t running_count, waiting_count;
};

/* ---------------------------------------------------------------- in the process */

static enum check_verdict check_crypt(const char *hash, const char *password)
{
	struct crypt_data *data = MEM_NEW(struct crypt_data);
	/* A sanitizer would put itself in the place of crypt_r(), and libcrypt out of the link. */
	const char *made = crypt_rn(password, hash, data, sizeof(*data));
	bool works = made && made[0] != '*', same = works && strlen(made) == strlen(hash);

	same = same && crypto_equal(made, hash, strlen(hash));
	mem_wipe_free(data, sizeof(*data));
	return !works ? CHECK_UNDONE : same ? CHECK_YES : CHECK_NO;
}

static enum check_verdict check_it(struct span question)
{
	size_t secret_len = span_find(question, '\0');
	struct span password = span_from(question, secret_len + 1);
	struct scram_verifier verifier;

	if (secret_len == question.len)
		return CHECK_UNDONE;
	if (question.data[0] == '$')
		return check_crypt(question.data, password.data);
	if (!scram_read(span_first(question, span_find(span_first(question, secret_len), ' ')), &verifier))
		return CHECK_UNDONE;
	return scram_fits(&verifier, password) ? CHECK_YES : CHECK_NO;
}

/* It keeps nothing that belongs to the helper but memory, which ends with it. */
static void become_checker(const struct check *check, int fd)
{
	char verdict;

	signal(SIGCHLD, SIG_DFL);
	if (dup2(fd, FIRST_FREE) < 0)
		_exit(1);
#ifdef __linux__
	if (close_range(FIRST_FREE + 1, ~0u, 0) != 0)
#endif
		for (int i = FIRST_FREE + 1; i < (int)sysconf(_SC_OPEN_MAX); i++)
			close(i);
	verdict = (char)check_it(span_of(check->question, check->len));
	_exit(write(FIRST_FREE, &verdict, 1) == 1 ? 0 : 1);
}

/* ---------------------------------------------------------------- in the helper */

static void begin_next(struct check_set *set);

static void forget_question(struct check *check)
{
	mem_wipe_free(check->question, check->len + 1);
	check->question = NULL;
}

static void release(struct check *check)
{
	if (check->pid > 0) {
		kill(check->pid, SIGKILL); /* it has said what it had to say, or is not heard any more */
		while (waitpid(check->pid, NULL, 0) < 0 && errno == EINTR)
			;
		check->set->running_count--;
	} else if (!list_is_empty(&check->node)) {
		check->set->waiting_count--;
	}
	loop_io_stop(&check->io);
	loop_timer_stop(&check->timer);
	loop_task_stop(&check->task);
	if (check->fd >= 0)
		close(check->fd);
	if (check->question)
		forget_question(check);
	list_remove(&check->node);
	mem_free(check);
}

static void tell(struct check *check, enum check_verdict verdict)
{
	void (*done)(void *arg, enum check_verdict verdict) = check->done;
	struct check_set *set = check->set;
	void *arg = check->arg;

	release(check);
	done(arg, verdict);
	begin_next(set);
}

static void on_verdict(struct loop_io *io, int events)
{
	struct check *check = LIST_ENTRY(io, struct check, io);
	char verdict = CHECK_UNDONE;
	ssize_t n = read(check->fd, &verdict, 1);

	(void)events;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	tell(check,
	     n == 1 && (verdict == CHECK_YES || verdict == CHECK_NO) ? (enum check_verdict)verdict : CHECK_UNDONE);
}

static void on_timeout(struct loop_timer *timer)
{
	tell(LIST_ENTRY(timer, struct check, timer), CHECK_UNDONE);
}

static void on_task(struct loop_task *task)
{
	tell(LIST_ENTRY(task, struct check, task), CHECK_UNDONE);
}

static void begin(struct check *check)
{
	struct check_set *set = check->set;
	int ends[2];

	list_remove(&check->node);
	if (pipe2(ends, O_CLOEXEC) != 0) {
		loop_task_post(&check->task);
		return;
	}
	check->pid = fork();
	if (check->pid == 0)
		become_checker(check, ends[1]);
	close(ends[1]);
	if (check->pid < 0) {
		check->pid = 0;
		close(ends[0]);
		loop_task_post(&check->task);
		return;
	}
	forget_question(check);
	check->fd = ends[0];
	list_append(&set->running, &check->node);
	set->running_count++;
	loop_io_init(&check->io, set->loop, check->fd, on_verdict);
	loop_io_set(&check->io, LOOP_READ);
}

static void begin_next(struct check_set *set)
{
	struct list *node;

	while (set->running_count < CHECK_AT_ONCE && (node = list_first(&set->waiting))) {
		set->waiting_count--;
		begin(LIST_ENTRY(node, struct check, node));
	}
}

struct check *check_password(struct check_set *set, struct span question, int64_t timeout_ms,
			     void (*done)(void *arg, enum check_verdict verdict), void *arg)
{
	struct check *check = MEM_NEW(struct check);

	check->set = set;
	check->done = done;
	check->arg = arg;
	check->fd = -1;
	check->question = mem_span_dup(question);
	check->len = question.len;
	list_init(&check->node);
	loop_timer_init(&check->timer, set->loop, on_timeout);
	loop_task_init(&check->task, set->loop, on_task);
	if (set->waiting_count == CHECK_WAITING) {
		loop_task_post(&check->task);
		return check;
	}
	loop_timer_in(&check->timer, timeout_ms);
	list_append(&set->waiting, &check->node);
	set->waiting_count++;
	begin_next(set);
	return check;
}

void check_cancel(struct check *check)
{
	struct check_set *set = check->set;

	release(check);
	begin_next(set);
}

struct check_set *check_set_new(struct loop *loop)
{
	struct check_set *set = MEM_NEW(struct check_set);

	set->loop = loop;
	list_init(&set->running);
	list_init(&set->waiting);
	return set;
}

void check_set_free(struct check_set *set)
{
	struct list *node;

	if (!set)
		return;
	while ((node = list_first(&set->waiting)) || (node = list_first(&set->running)))
		release(LIST_ENTRY(node, struct check, node));
	mem_free(set);
}
