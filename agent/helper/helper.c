#include "helper/helper.h"

#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/list.h"
#include "base/mem.h"
#include "helper/channel.h"
#include "helper/spawn.h"

enum {
	TIMEOUT_MS = 30 * 1000,
	GRACE_MS = 10 * 1000, /* the helper keeps the time itself; this much later it counts as hanging */
	REQUESTS = 64,        /* open at once */
	CHECKS = 64,          /* the same of passwords: strangers can ask for those */
	CHECK_MS = 10 * 1000,
	FETCHES = 64,
	FETCH_MS = 60 * 1000,
	END_STEPS = 200, /* of 5 ms: how long it may take to end */
};

enum kind { KIND_COMMAND, KIND_CHECK, KIND_FETCH, KINDS };

struct helper {
	struct loop *loop;
	struct channel channel;
	struct list requests;
	size_t counts[KINDS];
	uint32_t last_id;
	pid_t pid; /* 0: reaped */
	bool alive;
	char death[160];
};

struct helper_request {
	struct list node;
	struct helper *helper;
	uint32_t id;
	struct loop_timer timer;
	struct loop_task task; /* a failure that was known at once */
	char error[256];
	enum kind kind;
	void (*done)(void *arg, bool ok, struct span output, const char *error);
	void (*checked)(void *arg, enum helper_verdict verdict, const char *why);
	void (*fetched)(void *arg, const struct helper_answer *answer);
	void *arg;
};

/* ---------------------------------------------------------------- start */

static void on_record(void *arg, const struct protocol_record *record);
static void on_closed(void *arg);

struct helper *helper_start_as(struct loop *loop, const char *program, const char *user, char *why, size_t why_size)
{
	struct helper *helper;
	const struct passwd *account = NULL;
	int pair[2], error;

	if (user) {
		errno = 0;
		account = getpwnam(user);
		if (!account) {
			snprintf(why, why_size, "there is no user \"%s\" to run %s as", user, program);
			return NULL;
		}
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		snprintf(why, why_size, "%s: %s", program, strerror(errno));
		return NULL;
	}
	helper = MEM_NEW(struct helper);
	helper->loop = loop;
	list_init(&helper->requests);
	error = spawn_helper(program, account, pair[1], &helper->pid);
	close(pair[1]);
	if (error) {
		snprintf(why, why_size, "%s: %s", program, strerror(error));
		close(pair[0]);
		mem_free(helper);
		return NULL;
	}
	helper->alive = true;
	channel_init(&helper->channel, loop, pair[0], on_record, on_closed, helper);
	return helper;
}

struct helper *helper_start(struct loop *loop, const char *program, char *why, size_t why_size)
{
	return helper_start_as(loop, program, NULL, why, why_size);
}

/* ---------------------------------------------------------------- requests */

static void release(struct helper_request *request)
{
	loop_timer_stop(&request->timer);
	loop_task_stop(&request->task);
	list_remove(&request->node);
	request->helper->counts[request->kind]--;
	mem_free(request);
}

static void answer_check(const struct helper_request *was, bool ok, struct span output, const char *error)
{
	if (ok && span_equals(output, SPAN("yes")))
		was->checked(was->arg, HELPER_YES, "");
	else if (ok && span_equals(output, SPAN("no")))
		was->checked(was->arg, HELPER_NO, "");
	else
		was->checked(was->arg, HELPER_UNDONE, error);
}

/* The helper is ours, but what it says comes from where it was sent to. */
static void answer_fetch(const struct helper_request *was, bool ok, struct span output, const char *error)
{
	struct helper_answer answer = { .content_type = "", .error = error };
	struct protocol_answer got;
	char text[PROTOCOL_TEXT + 1];

	if (ok && protocol_answer_read(output, &got)) {
		snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(got.text));
		answer = (struct helper_answer){ .ok = got.ok,
						 .status = got.status,
						 .content_type = got.ok ? text : "",
						 .body = got.body,
						 .is_tls = got.is_tls,
						 .error = got.ok ? "" : text };
	} else if (ok) {
		answer.error = "sendoff-helper gave an answer that cannot be understood";
	}
	was->fetched(was->arg, &answer);
}

static void answer(struct helper_request *request, bool ok, struct span output, const char *error)
{
	struct helper_request was = *request;

	release(request);
	switch (was.kind) {
	case KIND_COMMAND: was.done(was.arg, ok, output, error); break;
	case KIND_CHECK: answer_check(&was, ok, output, error); break;
	case KIND_FETCH: answer_fetch(&was, ok, output, error); break;
	case KINDS: break;
	}
}

static void on_record(void *arg, const struct protocol_record *record)
{
	struct helper *helper = arg;
	struct helper_request *request = NULL;

	for (struct list *at = list_first(&helper->requests); at && !request; at = list_next(&helper->requests, at))
		if (LIST_ENTRY(at, struct helper_request, node)->id == record->id)
			request = LIST_ENTRY(at, struct helper_request, node);
	if (!request || request->error[0])
		return; /* cancelled meanwhile */
	if (record->kind == (request->kind == KIND_FETCH ? PROTOCOL_ANSWER : PROTOCOL_OUTPUT) && record->payload.len) {
		answer(request, true, record->payload, "");
	} else {
		char error[256];

		snprintf(error, sizeof(error), "%.*s",
			 (int)(record->payload.len < sizeof(error) ? record->payload.len : sizeof(error) - 1),
			 record->payload.data);
		answer(request, false, span_of("", 0), error);
	}
}

static void fail_later(struct helper_request *request, const char *error)
{
	snprintf(request->error, sizeof(request->error), "%s", error);
	loop_task_post(&request->task);
}

static void on_task(struct loop_task *task)
{
	struct helper_request *request = LIST_ENTRY(task, struct helper_request, task);
	char error[256];

	memcpy(error, request->error, sizeof(error));
	answer(request, false, span_of("", 0), error);
}

static void on_timer(struct loop_timer *timer)
{
	struct helper_request *request = LIST_ENTRY(timer, struct helper_request, timer);

	answer(request, false, span_of("", 0), "sendoff-helper does not answer");
}

static void on_closed(void *arg)
{
	struct helper *helper = arg;
	int status = 0;
	pid_t reaped = waitpid(helper->pid, &status, WNOHANG);

	if (reaped == helper->pid)
		helper->pid = 0;
	if (reaped > 0 && WIFSIGNALED(status))
		snprintf(helper->death, sizeof(helper->death),
			 "sendoff-helper was killed by signal %d - restart sendoffd", WTERMSIG(status));
	else
		snprintf(helper->death, sizeof(helper->death), "sendoff-helper has ended - restart sendoffd");
	helper->alive = false;
	channel_fini(&helper->channel);
	for (struct list *at = list_first(&helper->requests); at; at = list_next(&helper->requests, at)) {
		struct helper_request *request = LIST_ENTRY(at, struct helper_request, node);

		if (!request->error[0])
			fail_later(request, helper->death);
	}
}

static struct helper_request *request_new(struct helper *helper, enum kind kind, void *arg)
{
	struct helper_request *request = MEM_NEW(struct helper_request);

	request->helper = helper;
	request->id = ++helper->last_id;
	request->kind = kind;
	request->arg = arg;
	list_init(&request->node);
	list_append(&helper->requests, &request->node);
	helper->counts[kind]++;
	loop_timer_init(&request->timer, helper->loop, on_timer);
	loop_task_init(&request->task, helper->loop, on_task);
	return request;
}

static void send_request(struct helper_request *request, struct protocol_record record, const char *too_long)
{
	struct helper *helper = request->helper;

	record.id = request->id;
	if (!helper->alive)
		fail_later(request, helper->death);
	else if (!channel_send(&helper->channel, &record) && !helper->channel.broken)
		fail_later(request, too_long);
	else
		loop_timer_in(&request->timer, (int64_t)record.timeout_ms + GRACE_MS);
}

struct helper_request *helper_command(struct helper *helper, const char *command, int64_t timeout_ms,
				      void (*done)(void *arg, bool ok, struct span output, const char *error),
				      void *arg)
{
	struct helper_request *request = request_new(helper, KIND_COMMAND, arg);
	struct protocol_record record = { .kind = PROTOCOL_RUN, .payload = span_str(command) };

	request->done = done;
	if (timeout_ms <= 0)
		timeout_ms = TIMEOUT_MS;
	record.timeout_ms = timeout_ms < INT32_MAX ? (uint32_t)timeout_ms : INT32_MAX;
	if (helper->counts[KIND_COMMAND] > REQUESTS)
		fail_later(request, "too many commands wait to be run");
	else
		send_request(request, record, "the command is too long");
	return request;
}

struct helper_request *helper_check(struct helper *helper, const char *secret, const char *password,
				    void (*done)(void *arg, enum helper_verdict verdict, const char *why), void *arg)
{
	struct helper_request *request = request_new(helper, KIND_CHECK, arg);
	struct protocol_record record = { .kind = PROTOCOL_CHECK, .timeout_ms = CHECK_MS };
	size_t secret_len = strlen(secret), len = strlen(password);
	struct buf question;

	request->checked = done;
	buf_init(&question, PROTOCOL_PAYLOAD);
	/* Room for all of it at once: no copy is left behind by growing. */
	if (helper->counts[KIND_CHECK] > CHECKS) {
		fail_later(request, "too many passwords wait to be checked");
	} else if (!buf_reserve(&question, secret_len + 1 + len)) {
		fail_later(request, "the password is too long");
	} else {
		buf_append(&question, secret, secret_len + 1);
		buf_append(&question, password, len);
		record.payload = buf_span(&question);
		send_request(request, record, "the password is too long");
	}
	buf_wipe(&question);
	return request;
}

struct helper_request *helper_fetch(struct helper *helper, const struct helper_fetch *fetch,
				    void (*done)(void *arg, const struct helper_answer *answer), void *arg)
{
	struct helper_request *request = request_new(helper, KIND_FETCH, arg);
	int64_t timeout_ms = fetch->timeout_ms > 0 ? fetch->timeout_ms : FETCH_MS;
	struct protocol_record record = { .kind = PROTOCOL_FETCH };
	struct protocol_fetch form = {
		.max_bytes = fetch->max_bytes && fetch->max_bytes < PROTOCOL_BODY ? fetch->max_bytes : PROTOCOL_BODY,
		.url = span_str(fetch->url),
		.addresses = span_str(fetch->addresses),
		.ca_file = span_str(fetch->ca_file),
		.content_type = span_str(fetch->content_type),
		.body = fetch->body,
	};
	struct buf payload;

	request->fetched = done;
	record.timeout_ms = timeout_ms < INT32_MAX ? (uint32_t)timeout_ms : INT32_MAX;
	buf_init(&payload, PROTOCOL_PAYLOAD);
	if (helper->counts[KIND_FETCH] > FETCHES) {
		fail_later(request, "too many requests wait to be sent");
	} else if (!span_starts_fold(form.url, SPAN("https://")) || !protocol_fetch_write(&payload, &form)) {
		fail_later(request, "the request is too long, or is not one of HTTPS");
	} else {
		record.payload = buf_span(&payload);
		send_request(request, record, "the request is too long");
	}
	buf_fini(&payload);
	return request;
}

void helper_cancel(struct helper_request *request)
{
	struct protocol_record record = { .kind = PROTOCOL_CANCEL };

	if (!request)
		return;
	record.id = request->id;
	if (request->helper->alive && !request->error[0])
		channel_send(&request->helper->channel, &record);
	release(request);
}

bool helper_is_alive(const struct helper *helper)
{
	return helper->alive;
}

void helper_free(struct helper *helper)
{
	struct list *node;

	if (!helper)
		return;
	while ((node = list_first(&helper->requests)))
		release(LIST_ENTRY(node, struct helper_request, node));
	if (helper->alive)
		channel_fini(&helper->channel);
	/* The end of the socket is its sign to end; that takes a moment. */
	for (int i = 0; helper->pid && i < END_STEPS; i++) {
		if (waitpid(helper->pid, NULL, WNOHANG) != 0)
			helper->pid = 0;
		else
			usleep(5000);
	}
	if (helper->pid) {
		kill(helper->pid, SIGKILL);
		waitpid(helper->pid, NULL, 0);
	}
	mem_free(helper);
}
