#include <stdio.h>

#include "base/buf.h"
#include "delivery/aside.h"
#include "delivery/hop_inside.h"
#include "delivery/refusal.h"
#include "delivery/trouble.h"
#include "log.h"

/* The next message for this connection, or NULL. */
struct load *hop_message_take(struct hop *hop)
{
	struct scheduler_job *job;

	while ((job = scheduler_take(hop->pool->scheduler, hop->lane, hop_now(hop)))) {
		enum queue_err err = QUEUE_NO_MEMORY;
		struct queue_view *view = queue_view(hop->pool->queue);
		struct load *load = view ? load_new(job, view, &err) : NULL;

		/* A lane that its route does not name any more does not get it. */
		if (load && settle_is_astray(hop->pool->settle, load)) {
			settle_astray(hop->pool->settle, load, hop_now(hop));
			continue;
		}
		if (load)
			return load;
		aside_take(&hop->pool->aside, job, view ? err : QUEUE_IO, hop_now(hop));
	}
	return NULL;
}

/* The lane has learnt meanwhile to come from elsewhere. */
static bool is_out_of_favour(struct hop *hop)
{
	return hop->family && !hop->is_last_resort &&
	       habit_avoids(&hop->pool->habit, hop->lane->name, loop_now_ms(hop->pool->loop)) == hop->family;
}

static bool is_used_up(struct hop *hop)
{
	return is_out_of_favour(hop) ||
	       (hop->host->messages_per_connection && hop->messages >= hop->host->messages_per_connection);
}

/* The same words for all of its recipients. */
void hop_message_settle(struct hop *hop, struct load *load, enum settle_verdict verdict, const char *text)
{
	struct moment now = hop_now(hop);

	for (size_t i = 0; i < load->count && !load->is_damaged; i++)
		settle_rcpt(hop->pool->settle, load, i, verdict, text, "", now);
	settle_close(hop->pool->settle, load, now);
}

/* The engine gets it. False: it waits for another turn. */
static bool give(struct hop *hop, struct load *load, bool header_is_8bit)
{
	if (!client_is_ready(hop->client)) {
		hop_message_settle(hop, load, SETTLE_UNTRIED, "");
		return false;
	}
	if (!load_message(load, client_peer(hop->client)->extensions, header_is_8bit, hop_now(hop).wall_ms)) {
		hop_message_settle(hop, load, SETTLE_TEMPORARY, queue_err_text(QUEUE_NO_MEMORY));
		return false;
	}
	load->tls = load_text(load, span_str(hop->tls));
	list_append(&hop->loads, &load->node);
	client_message(hop->client, &load->message, loop_now_ms(hop->pool->loop));
	return true;
}

/* The engine can take a message. */
void hop_message_offer(struct hop *hop, bool ahead)
{
	struct load *load = NULL;

	hop_place(hop, HOP_NOWHERE);
	if (hop->looking)
		return;
	if (!hop->is_retired && !is_used_up(hop))
		load = hop_message_take(hop);
	if (load) {
		hop->messages++;
		if (cargo_begin(&load->cargo, cargo_terms(client_peer(hop->client)->extensions),
				load->flags & QUEUE_SMTPUTF8)) {
			hop->looking = load;
			loop_task_post(&hop->task);
		} else {
			(void)give(hop, load, false); /* it was ready */
		}
	} else if (hop->is_retired || is_used_up(hop) || !lane_may_work(hop->lane, hop_now(hop))) {
		client_quit(hop->client, loop_now_ms(hop->pool->loop));
	} else {
		hop_place(hop, ahead ? HOP_AHEAD : HOP_IDLE);
	}
}

static void note_error(struct load *load, enum queue_err err)
{
	load->is_damaged = err == QUEUE_CORRUPT || err == QUEUE_DAMAGED;
	load->error = err;
}

/* False: it will not be sent, at least not now. */
static bool looked(struct hop *hop, struct load *load, const struct convert_facts *facts)
{
	char text[200];

	if (!load->cargo.is_too_much || !facts->needed || facts->cannot == CONVERT_NOTHING)
		return give(hop, load, facts->header_8bit);
	snprintf(text, sizeof text, "5.6.3 the server cannot take it as it is (no %s), and %s",
		 load->body == QUEUE_BODY_BINARY ? "BINARYMIME" : "8BITMIME", convert_why_text(facts->cannot));
	hop_message_settle(hop, load, SETTLE_PERMANENT, text);
	return false;
}

/* A message that this server cannot take as it is, or perhaps not, is read through in steps before it is begun. */
void hop_message_look(struct hop *hop)
{
	const struct convert_facts *facts;
	struct load *load = hop->looking;
	enum queue_err err;
	bool is_begun = false;

	switch (cargo_look(&load->cargo, queue_view(hop->pool->queue), &facts, &err)) {
	case CARGO_MORE: loop_task_post(&hop->task); return;
	case CARGO_DONE:
		hop->looking = NULL;
		is_begun = looked(hop, load, facts);
		break;
	case CARGO_BAD:
		hop->looking = NULL;
		note_error(load, err);
		hop_message_settle(hop, load, SETTLE_TEMPORARY, queue_err_text(err));
		break;
	}
	if (!is_begun && client_is_ready(hop->client))
		hop_message_offer(hop, !list_is_empty(&hop->loads));
	hop->pool->poke(hop->pool->arg);
}

/* What was being read through is as before. */
void hop_message_stop_looking(struct hop *hop)
{
	struct load *load = hop->looking;

	hop->looking = NULL;
	if (load)
		settle_close(hop->pool->settle, load, hop_now(hop));
}

void hop_message_body(struct hop *hop, struct load *load)
{
	int64_t now_ms = loop_now_ms(hop->pool->loop);
	bool is_last = false;
	struct span bytes;
	enum queue_err err = cargo_next(&load->cargo, queue_view(hop->pool->queue), &bytes, &is_last);

	if (err) {
		note_error(load, err);
		client_body_abort(hop->client, now_ms);
		return;
	}
	if (bytes.len)
		client_body(hop->client, bytes, now_ms);
	if (is_last)
		client_body_end(hop->client, now_ms);
}

/* A connection that broke, or a 421, in the middle of the oldest message: it may be the message's doing. */
static bool is_suspicious(const struct hop *hop, const struct load *load, const struct client_result *r)
{
	return list_first(&hop->loads) == &load->node && (r->reply.code == 421 || r->reply.code == 0) &&
	       (r->phase == CLIENT_AT_MAIL || r->phase == CLIENT_AT_RCPT || r->phase == CLIENT_AT_DATA);
}

static enum settle_verdict verdict_on(struct hop *hop, struct load *load, const struct client_result *r)
{
	switch (r->outcome) {
	case CLIENT_DELIVERED: return SETTLE_DELIVERED;
	case CLIENT_TEMPORARY: return SETTLE_TEMPORARY;
	case CLIENT_PERMANENT: return SETTLE_PERMANENT;
	case CLIENT_DOUBTFUL: return SETTLE_DOUBTFUL;
	case CLIENT_UNTRIED: break;
	}
	if (load->error)
		return SETTLE_TEMPORARY; /* our own disk's fault; not tried again at once */
	if (!load->was_judged && is_suspicious(hop, load, r)) {
		load->was_judged = true;
		load->is_guilty = scheduler_suspect(hop->pool->scheduler, load->job->id);
	}
	return load->is_guilty ? SETTLE_TEMPORARY : SETTLE_UNTRIED;
}

/* Refused for where the connection comes from: the other family may do better, once for each message. */
static bool has_other_way(struct hop *hop, struct load *load, const struct client_result *r)
{
	int other = hop->family == AF_INET6 ? AF_INET : AF_INET6;
	bool is_maybe, is_refused = r->outcome == CLIENT_PERMANENT || r->outcome == CLIENT_TEMPORARY;

	if (!hop->family || !is_refused || !refusal_is_of_origin(&r->reply, !hop->lane->domain))
		return false;
	if (load->is_elsewhere)
		return true;
	if (!approach_has_family(hop->approach, other, &is_maybe) && !is_maybe)
		return false;
	if (!habit_gives_chance(&hop->pool->habit, load->job->id) ||
	    !habit_refused(&hop->pool->habit, hop->lane->name, hop->family, loop_now_ms(hop->pool->loop)))
		return false;
	load->is_elsewhere = hop->is_retired = true;
	log_event(LOG_LEVEL_INFO, "other-family", LOG_ID(load->job->id), LOG_TEXT("lane", hop->lane->name),
		  LOG_TEXT("host", hop->peer), LOG_TEXT("to", other == AF_INET ? "IPv4" : "IPv6"));
	pool_retire(hop->pool, hop->lane, false);
	return true;
}

void hop_message_result(struct hop *hop, const struct client_result *r)
{
	struct load *load = r->message->cookie;
	struct moment now = hop_now(hop);
	struct buf text;

	if (load->is_damaged || has_other_way(hop, load, r))
		return; /* it is held as a whole; or goes another way, as if it had not been tried */
	buf_init(&text, 1024);
	if (load->error && r->outcome == CLIENT_UNTRIED)
		buf_append_str(&text, queue_err_text(load->error));
	else
		reply_print(&r->reply, &text);
	if (r->outcome != CLIENT_UNTRIED && r->reply.code)
		trouble_spoke(hop->pool, hop->lane, now);
	settle_rcpt(hop->pool->settle, load, r->rcpt, verdict_on(hop, load, r), buf_cstr(&text),
		    r->reply.code ? hop->peer : "", now);
	if (r->outcome == CLIENT_DELIVERED)
		load->was_delivered = true;
	buf_fini(&text);
}

void hop_message_done(struct hop *hop, struct load *load)
{
	struct moment now = hop_now(hop);

	cargo_fini(&load->cargo);
	if (load->was_delivered)
		scheduler_delivered(hop->pool->scheduler, hop->lane, now);
	list_remove(&load->node);
	settle_close(hop->pool->settle, load, now);
	hop->pool->poke(hop->pool->arg);
}
