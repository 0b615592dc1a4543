#include "delivery/load.h"

enum {
	ARENA_PER_RCPT = 4096, /* address and reply */
	TEXT_MAX = 900,
};

static const char *dup(struct load *load, const char *text)
{
	const char *copy = text[0] ? mem_arena_dup(&load->arena, span_str(text)) : "";

	return copy ? copy : "";
}

const char *load_text(struct load *load, struct span text)
{
	const char *copy = text.len ? mem_arena_dup(&load->arena, span_first(text, TEXT_MAX)) : "";

	return copy ? copy : "";
}

static enum queue_err read_rcpts(struct load *load, struct queue_view *view)
{
	for (size_t i = 0; i < load->count; i++) {
		struct queue_rcpt rcpt;
		enum queue_err err = queue_view_rcpt(view, load->job->id, load->job->due[i].n, &rcpt);

		if (err)
			return err;
		if (i == 0) {
			load->target = dup(load, rcpt.flow.target);
			load->submitter = dup(load, rcpt.flow.submitter);
			load->band = rcpt.flow.band;
		}
		load->rcpts[i] = (struct load_rcpt){ .address = dup(load, rcpt.address),
						     .n = rcpt.n,
						     .attempts = rcpt.attempts,
						     .notify = rcpt.notify };
	}
	return QUEUE_OK;
}

struct load *load_new(struct scheduler_job *job, struct queue_view *view, enum queue_err *out_err)
{
	struct queue_envelope envelope;
	struct load *load;
	enum queue_err err = queue_view_envelope(view, job->id, &envelope);

	if (err) {
		*out_err = err;
		return NULL;
	}
	load = MEM_NEW(struct load);
	list_init(&load->node);
	load->job = job;
	load->count = job->count;
	mem_arena_init(&load->arena, 16384 + job->count * ARENA_PER_RCPT);
	load->sender = dup(load, envelope.sender);
	load->arrival_ms = envelope.arrival_ms;
	load->expires_ms = envelope.expires_ms;
	load->size_bytes = envelope.size_bytes;
	load->flags = envelope.flags;
	load->body = envelope.body;
	load->tls = "";
	load->rcpts = mem_arena_alloc(&load->arena, job->count * sizeof *load->rcpts);
	load->outcomes = mem_arena_alloc(&load->arena, job->count * sizeof *load->outcomes);
	err = load->rcpts && load->outcomes ? read_rcpts(load, view) : QUEUE_NO_MEMORY;
	if (err) {
		*out_err = err;
		load->job = NULL;
		load_free(load);
		return NULL;
	}
	return load;
}

void load_free(struct load *load)
{
	if (!load)
		return;
	list_remove(&load->node);
	scheduler_job_free(load->job);
	mem_arena_fini(&load->arena);
	mem_free(load);
}
