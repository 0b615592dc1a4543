#include "submission/intake.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "message/fixup.h"
#include "route.h"
#include "smtp/address.h"

enum {
	RECEIVED_MAX = 50,           /* RFC 5321, 6.3: more trace fields than that are a loop */
	ADDRESSES_MAX = 1024 * 1024, /* bytes of qualified addresses of one message */
	HEADS_MAX = FIXUP_SPANS,
};

struct intake {
	void (*ready)(void *arg);
	void (*stored)(void *arg, enum queue_err err, uint64_t id);
	void *arg;
	bool is_open;      /* a message is being received */
	bool is_fixed;     /* fixup was begun and not finished */
	bool is_abandoned; /* the session has gone; freed when the queue has answered */
	bool is_stored;    /* the queue has not answered yet */
	bool has_ended;    /* fixup_end() was called: only its spans may be left */
	uint64_t id;
	char id_text[TEXT_ID_SIZE];
	struct fixup fixup;
	struct queue_receipt *receipt;
	/* What the fix-up wanted stored and the queue was too busy to take: goes first. */
	struct buf waiting;
	struct queue_rcpt *rcpts; /* while it is handed over */
	struct mem_arena addresses;
};

struct intake *intake_new(void (*ready)(void *arg), void (*stored)(void *arg, enum queue_err err, uint64_t id),
			  void *arg)
{
	struct intake *intake = MEM_NEW(struct intake);

	intake->ready = ready;
	intake->stored = stored;
	intake->arg = arg;
	/* A header comes out whole, in front of one piece of input. */
	buf_init(&intake->waiting, FIXUP_HEADER_MAX + 256 * 1024);
	mem_arena_init(&intake->addresses, ADDRESSES_MAX);
	return intake;
}

void intake_drop(struct intake *intake)
{
	if (intake->is_fixed)
		fixup_fini(&intake->fixup);
	queue_receipt_free(intake->receipt);
	intake->receipt = NULL;
	buf_release(&intake->waiting);
	mem_arena_fini(&intake->addresses);
	mem_free(intake->rcpts);
	intake->rcpts = NULL;
	intake->is_open = false;
	intake->is_fixed = false;
	intake->has_ended = false;
}

static void free_intake(struct intake *intake)
{
	intake_drop(intake);
	mem_free(intake);
}

void intake_abandon(struct intake *intake)
{
	if (!intake)
		return;
	if (intake->is_stored)
		intake->is_abandoned = true;
	else
		free_intake(intake);
}

bool intake_is_open(const struct intake *intake)
{
	return intake->is_open;
}

struct server_reply intake_reply(enum queue_err err)
{
	const char *text = queue_err_text(err);

	switch (err) {
	case QUEUE_QUOTA:
	case QUEUE_DISK_FULL: return (struct server_reply){ 452, "4.3.1", text };
	case QUEUE_TOO_BIG: return (struct server_reply){ 552, "5.3.4", text };
	case QUEUE_STOPPING: return (struct server_reply){ 421, "4.3.2", text };
	case QUEUE_OK:
	case QUEUE_NOT_FOUND:
	case QUEUE_BUSY:
	case QUEUE_CORRUPT:
	case QUEUE_DAMAGED:
	case QUEUE_IO:
	case QUEUE_LOCKED:
	case QUEUE_SCHEMA:
	case QUEUE_INVALID:
	case QUEUE_NO_MEMORY: break;
	}
	return (struct server_reply){ 451, "4.3.0", text };
}

static void open_message(struct intake *intake, const struct intake_session *session, int64_t wall_ms)
{
	intake->id = queue_next_id(session->queue, wall_ms);
	text_id_print(intake->id, intake->id_text);
	fixup_init(&intake->fixup, &(struct fixup_options){
					   .hostname = session->config->hostname,
					   .protocol = session->protocol,
					   .id = intake->id_text,
					   .helo = session->helo,
					   .peer = session->peer,
					   .tls = session->tls,
					   .wall_ms = wall_ms,
					   .add_date = true,
					   .add_message_id = true,
				   });
	intake->receipt = queue_receipt_new(session->queue);
	queue_receipt_on_ready(intake->receipt, intake->ready, intake->arg);
	intake->is_open = true;
	intake->is_fixed = true;
}

static enum intake_verdict refuse(struct intake *intake, struct server_reply why, struct server_reply *out_reply)
{
	intake_drop(intake);
	*out_reply = why;
	return INTAKE_REFUSED;
}

/* Whatever the queue does not take now is copied and goes first next time: the fix-up has moved on already. */
static enum queue_err append_spans(struct intake *intake, const struct span *spans, size_t count)
{
	enum queue_err err = QUEUE_OK;

	for (size_t i = 0; i < count; i++) {
		if (err == QUEUE_OK && spans[i].len)
			err = queue_receipt_append(intake->receipt, spans[i].data, spans[i].len);
		if (err == QUEUE_BUSY && !buf_append_span(&intake->waiting, spans[i]))
			err = QUEUE_NO_MEMORY;
	}
	return err;
}

/* What waits from last time; QUEUE_BUSY: still too busy. */
static enum queue_err append_waiting(struct intake *intake)
{
	struct span rest = buf_span(&intake->waiting);
	enum queue_err err;

	if (rest.len == 0)
		return QUEUE_OK;
	err = queue_receipt_append(intake->receipt, rest.data, rest.len);
	if (err == QUEUE_OK)
		buf_release(&intake->waiting);
	return err;
}

enum intake_verdict intake_body(struct intake *intake, const struct intake_session *session,
				const struct server_envelope *envelope, int64_t wall_ms, struct span bytes,
				struct server_reply *out_reply)
{
	struct span out[HEADS_MAX];
	enum queue_err err;

	(void)envelope;
	if (!intake->is_open)
		open_message(intake, session, wall_ms);
	err = append_waiting(intake);
	if (err == QUEUE_BUSY)
		return INTAKE_BUSY;
	if (err == QUEUE_OK)
		err = append_spans(intake, out, fixup_feed(&intake->fixup, bytes, out));
	if (err != QUEUE_OK && err != QUEUE_BUSY)
		return refuse(intake, intake_reply(err), out_reply);
	return INTAKE_OK;
}

/* A bare local part ("root") belongs to this machine (RFC 6409, 8). NULL: over the cap. */
static const char *qualify(struct intake *intake, const struct config *config, const char *address)
{
	char *full;
	size_t local_len = strlen(address), host_len = strlen(config->hostname);

	if (address_domain(span_str(address)).len || local_len == 0)
		return address;
	full = mem_arena_alloc(&intake->addresses, local_len + 1 + host_len + 1);
	if (full) {
		memcpy(full, address, local_len);
		full[local_len] = '@';
		memcpy(full + local_len + 1, config->hostname, host_len + 1);
	}
	return full;
}

struct schedule {
	int64_t lifetime_ms, warn_ms;
};

static bool fill_rcpts(struct intake *intake, const struct intake_session *session,
		       const struct server_envelope *envelope, const char *sender, int64_t wall_ms,
		       struct schedule *out_schedule)
{
	const struct config *routes = session->routes;
	struct schedule schedule = { 0 };
	size_t n = 0;

	intake->rcpts = mem_realloc(intake->rcpts, envelope->rcpt_count, sizeof(*intake->rcpts));
	for (const struct server_rcpt *rcpt = envelope->rcpts; rcpt; rcpt = rcpt->next) {
		const char *address = qualify(intake, session->config, rcpt->address);
		const struct config_route *route;
		int64_t lifetime, warn;

		if (!address)
			return false;
		route = route_find(routes, sender, address);
		lifetime = route ? route->lifetime_ms : routes->queue.lifetime_ms;
		warn = route ? route->warn_after_ms : routes->queue.warn_after_ms;
		/* The message lives as long as the most patient of its routes, and warns with the first. */
		if (lifetime > schedule.lifetime_ms)
			schedule.lifetime_ms = lifetime;
		if (warn > 0 && (schedule.warn_ms == 0 || warn < schedule.warn_ms))
			schedule.warn_ms = warn;
		intake->rcpts[n++] = (struct queue_rcpt){
			.address = address,
			.orcpt = "",
			.flow = { .target = route_target(routes, route),
				  .submitter = session->submitter->name,
				  .band = 1 },
			.due_ms = wall_ms,
			.reply = "",
			.host = "",
		};
	}
	assert(n == envelope->rcpt_count);
	*out_schedule = schedule;
	return true;
}

static void on_accepted(void *arg, enum queue_err err, uint64_t id)
{
	struct intake *intake = arg;

	intake->is_stored = false;
	if (intake->is_abandoned)
		free_intake(intake);
	else
		intake->stored(intake->arg, err, id);
}

static void submit(struct intake *intake, const struct intake_session *session, const struct server_envelope *envelope,
		   const char *sender, const struct schedule *schedule, int64_t wall_ms)
{
	const struct fixup_facts *facts = fixup_facts(&intake->fixup);
	struct queue_op *op = queue_op_new(session->queue);

	queue_op_accept(op, intake->receipt,
			&(struct queue_envelope){
				.id = intake->id,
				.arrival_ms = wall_ms,
				.sender = sender,
				.submitter = session->submitter->name,
				.uid = session->submitter->uid,
				.origin = session->origin,
				.envid = "",
				.message_id = facts->message_id,
				.subject = facts->subject,
				.body = envelope->body == SERVER_BODY_8BITMIME || envelope->has_8bit ? QUEUE_BODY_8BIT
												     : QUEUE_BODY_7BIT,
				.expires_ms = wall_ms + schedule->lifetime_ms,
				.warn_ms = schedule->warn_ms ? wall_ms + schedule->warn_ms : 0,
			},
			intake->rcpts, envelope->rcpt_count);
	intake->receipt = NULL;
	intake->is_stored = true;
	queue_op_submit(op, on_accepted, intake);
}

enum intake_verdict intake_store(struct intake *intake, const struct intake_session *session,
				 const struct server_envelope *envelope, int64_t wall_ms,
				 struct server_reply *out_reply)
{
	struct span out[HEADS_MAX];
	struct schedule schedule;
	const char *sender;
	enum queue_err err;

	if (!intake->is_open)
		open_message(intake, session, wall_ms);
	err = append_waiting(intake);
	if (err == QUEUE_OK && !intake->has_ended) {
		intake->has_ended = true;
		err = append_spans(intake, out, fixup_end(&intake->fixup, out));
	}
	if (err == QUEUE_BUSY)
		return INTAKE_BUSY;
	if (err != QUEUE_OK)
		return refuse(intake, intake_reply(err), out_reply);
	if (fixup_facts(&intake->fixup)->received > RECEIVED_MAX)
		return refuse(intake,
			      (struct server_reply){ 554, "5.4.6", "too many hops: this message goes round in a loop" },
			      out_reply);
	sender = qualify(intake, session->config, envelope->sender);
	if (!sender || !fill_rcpts(intake, session, envelope, sender, wall_ms, &schedule))
		return refuse(intake, (struct server_reply){ 452, "4.5.3", "too many recipients" }, out_reply);
	submit(intake, session, envelope, sender, &schedule, wall_ms);
	/* The queue has copied what it needs: the next message can be received at once. */
	intake_drop(intake);
	return INTAKE_OK;
}
