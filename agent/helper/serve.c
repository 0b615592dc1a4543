#include "helper/serve.h"

#include "base/mem.h"
#include "helper/channel.h"
#include "helper/check.h"
#include "helper/fetch.h"
#include "helper/run.h"

struct serve {
	struct loop *loop;
	struct run_set *runs;
	struct check_set *checks;
	struct fetch_set *fetches;
	struct channel agent;
	struct list jobs;
};

struct job {
	struct list node;
	struct serve *serve;
	uint32_t id;
	struct run *run; /* one of the three */
	struct check *check;
	struct fetch *fetch;
};

static void end_job(struct job *job)
{
	list_remove(&job->node);
	mem_free(job);
}

static void on_done(void *arg, bool ok, struct span output, const char *error)
{
	struct job *job = arg;
	struct protocol_record record = { .kind = ok ? PROTOCOL_OUTPUT : PROTOCOL_FAILED,
					  .id = job->id,
					  .payload = ok ? output : span_str(error) };

	channel_send(&job->serve->agent, &record);
	end_job(job);
}

static void on_checked(void *arg, enum check_verdict verdict)
{
	switch (verdict) {
	case CHECK_YES: on_done(arg, true, SPAN("yes"), ""); break;
	case CHECK_NO: on_done(arg, true, SPAN("no"), ""); break;
	case CHECK_UNDONE: on_done(arg, false, SPAN(""), "the password could not be checked"); break;
	}
}

static void on_fetched(void *arg, struct span answer)
{
	struct job *job = arg;
	struct protocol_record record = { .kind = PROTOCOL_ANSWER, .id = job->id, .payload = answer };

	channel_send(&job->serve->agent, &record);
	end_job(job);
}

static struct job *add_job(struct serve *serve, uint32_t id)
{
	struct job *job = MEM_NEW(struct job);

	job->serve = serve;
	job->id = id;
	list_init(&job->node);
	list_append(&serve->jobs, &job->node);
	return job;
}

static void begin_run(struct serve *serve, const struct protocol_record *record)
{
	struct job *job = add_job(serve, record->id);
	char *command = mem_span_dup(record->payload);

	job->run = run_command(serve->runs, command, record->timeout_ms, on_done, job);
	mem_free(command);
}

static void begin_check(struct serve *serve, const struct protocol_record *record)
{
	struct job *job = add_job(serve, record->id);

	job->check = check_password(serve->checks, record->payload, record->timeout_ms, on_checked, job);
}

static void begin_fetch(struct serve *serve, const struct protocol_record *record)
{
	struct job *job = add_job(serve, record->id);

	job->fetch = fetch_start(serve->fetches, record->payload, record->timeout_ms, on_fetched, job);
}

static void cancel_job(struct serve *serve, uint32_t id)
{
	for (struct list *at = list_first(&serve->jobs); at; at = list_next(&serve->jobs, at)) {
		struct job *job = LIST_ENTRY(at, struct job, node);

		if (job->id == id) {
			if (job->run)
				run_cancel(job->run);
			else if (job->check)
				check_cancel(job->check);
			else
				fetch_cancel(job->fetch);
			end_job(job);
			return;
		}
	}
}

static void on_record(void *arg, const struct protocol_record *record)
{
	struct serve *serve = arg;

	switch (record->kind) {
	case PROTOCOL_RUN: begin_run(serve, record); break;
	case PROTOCOL_CHECK: begin_check(serve, record); break;
	case PROTOCOL_FETCH: begin_fetch(serve, record); break;
	case PROTOCOL_CANCEL: cancel_job(serve, record->id); break;
	case PROTOCOL_OUTPUT:
	case PROTOCOL_ANSWER:
	case PROTOCOL_FAILED: break; /* these are ours to say */
	}
}

static void on_closed(void *arg)
{
	struct serve *serve = arg;

	loop_stop(serve->loop);
}

void serve_until_closed(int fd)
{
	struct serve serve = { .loop = loop_new() };
	struct list *node;

	list_init(&serve.jobs);
	serve.runs = run_set_new(serve.loop);
	serve.checks = check_set_new(serve.loop);
	serve.fetches = fetch_set_new(serve.loop);
	channel_init(&serve.agent, serve.loop, fd, on_record, on_closed, &serve);
	loop_run(serve.loop);
	channel_fini(&serve.agent);
	run_set_free(serve.runs);
	check_set_free(serve.checks);
	fetch_set_free(serve.fetches);
	while ((node = list_first(&serve.jobs)))
		end_job(LIST_ENTRY(node, struct job, node));
	loop_free(serve.loop);
}
