#include "delivery/load.h"

#include "smtp/ehlo.h"

enum {
	ARENA_PER_RCPT = 5120, /* addresses and reply */
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
						     .orcpt = dup(load, rcpt.orcpt),
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
	load->deliver_by_ms = envelope.deliver_by_ms;
	load->route = dup(load, envelope.route);
	load->envid = dup(load, envelope.envid);
	load->ret = envelope.ret;
	load->priority = envelope.priority;
	load->size_bytes = envelope.size_bytes;
	load->flags = envelope.flags;
	load->body = envelope.body;
	cargo_init(&load->cargo, job->id, envelope.body, envelope.size_bytes);
	if (load_is_by_return(load))
		load->expires_ms = load->deliver_by_ms;
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

/* The queue's numbers are the engine's. */
_Static_assert((int)CLIENT_NOTIFY_NEVER == QUEUE_NOTIFY_NEVER && (int)CLIENT_NOTIFY_SUCCESS == QUEUE_NOTIFY_SUCCESS &&
		       (int)CLIENT_NOTIFY_FAILURE == QUEUE_NOTIFY_FAILURE &&
		       (int)CLIENT_NOTIFY_DELAY == QUEUE_NOTIFY_DELAY && (int)CLIENT_RET_FULL == QUEUE_RET_FULL &&
		       (int)CLIENT_RET_HDRS == QUEUE_RET_HDRS,
	       "the same numbers");

static enum client_by by_of(uint32_t flags)
{
	return flags & QUEUE_BY_RETURN   ? CLIENT_BY_RETURN
	       : flags & QUEUE_BY_NOTIFY ? CLIENT_BY_NOTIFY
					 : CLIENT_BY_UNSAID;
}

bool load_message(struct load *load, unsigned extensions, bool header_is_8bit, int64_t now_wall_ms)
{
	struct client_rcpt *rcpts = mem_arena_alloc(&load->arena, load->count * sizeof *rcpts);

	if (!rcpts)
		return false;
	for (size_t i = 0; i < load->count; i++)
		rcpts[i] = (struct client_rcpt){ .address = load->rcpts[i].address,
						 .orcpt = load->rcpts[i].orcpt,
						 .notify = load->rcpts[i].notify };
	load->passes_dsn = extensions & EHLO_BIT(EHLO_DSN);
	load->passes_by = extensions & EHLO_BIT(EHLO_DELIVERBY);
	load->message = (struct client_message){
		.sender = load->sender,
		.content = cargo_content(&load->cargo),
		.smtputf8 = load->flags & QUEUE_SMTPUTF8,
		.header_is_8bit = header_is_8bit,
		.requiretls = load->flags & QUEUE_REQUIRETLS,
		.priority = load->priority,
		.ret = (enum client_ret)load->ret,
		.envid = load->envid,
		.by = by_of(load->flags),
		.by_trace = load->flags & QUEUE_BY_TRACE,
		.by_ms = load->deliver_by_ms - now_wall_ms,
		.size_bytes = cargo_size(&load->cargo),
		.rcpts = rcpts,
		.rcpt_count = load->count,
		.cookie = load,
	};
	return true;
}

bool load_is_by_return(const struct load *load)
{
	return load->flags & QUEUE_BY_RETURN && load->deliver_by_ms > 0 &&
	       (load->expires_ms == 0 || load->deliver_by_ms <= load->expires_ms);
}

void load_free(struct load *load)
{
	if (!load)
		return;
	list_remove(&load->node);
	cargo_fini(&load->cargo);
	scheduler_job_free(load->job);
	mem_arena_fini(&load->arena);
	mem_free(load);
}
