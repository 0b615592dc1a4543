#include "delivery/hop.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "delivery/aside.h"
#include "delivery/terms.h"
#include "delivery/trouble.h"
#include "log.h"

static void hop_free(struct hop *hop);
static void pump(struct hop *hop);

static struct moment moment_of(const struct hop *hop)
{
	return (struct moment){ loop_now_ms(hop->pool->loop), loop_wall_ms(hop->pool->loop) };
}

static void place(struct hop *hop, enum hop_place where)
{
	if (hop->place == HOP_IDLE)
		hop->lane->idle--;
	if (hop->place == HOP_AHEAD)
		hop->lane->ahead--;
	list_remove(&hop->waiting);
	hop->place = where;
	if (where == HOP_IDLE)
		hop->lane->idle++;
	if (where == HOP_AHEAD)
		hop->lane->ahead++;
	if (where != HOP_NOWHERE)
		list_prepend(&hop->pool->waiting, &hop->waiting);
	loop_timer_at(&hop->keep, where == HOP_IDLE ? loop_now_ms(hop->pool->loop) + HOP_KEEP_MS : INT64_MAX);
}

/* ---------------------------------------------------------------- going wrong before there is an engine */

static void lane_trouble(struct hop *hop, enum traffic_trouble trouble, const char *text)
{
	struct lane_failure failure = { .trouble = trouble, .text = text };

	trouble_failed(hop->pool, hop->lane, &failure, hop->is_ready, moment_of(hop));
	hop_free(hop);
}

static void no_network(struct hop *hop, bool dns_only, const char *text)
{
	trouble_offline(hop->pool, hop->lane, dns_only, text, moment_of(hop));
	hop_free(hop);
}

/* ---------------------------------------------------------------- messages */

/* The next message for this connection, or NULL. */
static struct load *take(struct hop *hop)
{
	struct scheduler_job *job;

	while ((job = scheduler_take(hop->pool->scheduler, hop->lane, moment_of(hop)))) {
		enum queue_err err = QUEUE_NO_MEMORY;
		struct queue_view *view = queue_view(hop->pool->queue);
		struct load *load = view ? load_new(job, view, &err) : NULL;

		if (load)
			return load;
		aside_take(&hop->pool->aside, job, view ? err : QUEUE_IO, moment_of(hop));
	}
	return NULL;
}

static bool is_used_up(const struct hop *hop)
{
	return hop->host->messages_per_connection && hop->messages >= hop->host->messages_per_connection;
}

/* The same words for all of its recipients. */
static void settle_all(struct hop *hop, struct load *load, enum settle_verdict verdict, const char *text)
{
	struct moment now = moment_of(hop);

	for (size_t i = 0; i < load->count && !load->is_damaged; i++)
		settle_rcpt(hop->pool->settle, load, i, verdict, text, "", now);
	settle_close(hop->pool->settle, load, now);
}

/* The engine gets it. False: it waits for another turn. */
static bool give(struct hop *hop, struct load *load, bool header_is_8bit)
{
	if (!client_is_ready(hop->client)) {
		settle_all(hop, load, SETTLE_UNTRIED, "");
		return false;
	}
	if (!load_message(load, client_peer(hop->client)->extensions, header_is_8bit, moment_of(hop).wall_ms)) {
		settle_all(hop, load, SETTLE_TEMPORARY, queue_err_text(QUEUE_NO_MEMORY));
		return false;
	}
	load->tls = load_text(load, span_str(hop->tls));
	list_append(&hop->loads, &load->node);
	client_message(hop->client, &load->message, loop_now_ms(hop->pool->loop));
	return true;
}

/* The engine can take a message. */
static void offer(struct hop *hop, bool ahead)
{
	struct load *load = NULL;

	place(hop, HOP_NOWHERE);
	if (hop->looking)
		return;
	if (!hop->is_retired && !is_used_up(hop))
		load = take(hop);
	if (load) {
		hop->messages++;
		if (cargo_begin(&load->cargo, cargo_terms(client_peer(hop->client)->extensions),
				load->flags & QUEUE_SMTPUTF8)) {
			hop->looking = load;
			loop_task_post(&hop->task);
		} else {
			(void)give(hop, load, false); /* it was ready */
		}
	} else if (hop->is_retired || is_used_up(hop) || !lane_may_work(hop->lane, moment_of(hop))) {
		client_quit(hop->client, loop_now_ms(hop->pool->loop));
	} else {
		place(hop, ahead ? HOP_AHEAD : HOP_IDLE);
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
	settle_all(hop, load, SETTLE_PERMANENT, text);
	return false;
}

/* A message that this server cannot take as it is, or perhaps not, is read through in steps before it is begun. */
static void look(struct hop *hop)
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
		settle_all(hop, load, SETTLE_TEMPORARY, queue_err_text(err));
		break;
	}
	if (!is_begun && client_is_ready(hop->client))
		offer(hop, !list_is_empty(&hop->loads));
	hop->pool->poke(hop->pool->arg);
}

static void on_ready(struct hop *hop, bool ahead)
{
	if (!hop->is_ready) {
		hop->is_ready = true;
		approach_forget_secret(hop->approach); /* another address will not be tried any more */
		scheduler_ready(hop->pool->scheduler, hop->lane, moment_of(hop));
	}
	offer(hop, ahead);
	hop->pool->poke(hop->pool->arg);
}

static void give_body(struct hop *hop, struct load *load)
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

static void on_result(struct hop *hop, const struct client_result *r)
{
	struct load *load = r->message->cookie;
	struct moment now = moment_of(hop);
	struct buf text;

	if (load->is_damaged)
		return; /* it is held as a whole */
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

static void on_done(struct hop *hop, struct load *load)
{
	struct moment now = moment_of(hop);

	cargo_fini(&load->cargo);
	if (load->was_delivered)
		scheduler_delivered(hop->pool->scheduler, hop->lane, now);
	list_remove(&load->node);
	settle_close(hop->pool->settle, load, now);
	hop->pool->poke(hop->pool->arg);
}

/* ---------------------------------------------------------------- the engine */

static void start_tls(struct hop *hop)
{
	char key[TERMS_KEY_SIZE];
	struct tls_demand demand = terms_tls(hop->host, key);
	int err;

	err = conn_tls_connect(hop->conn, hop->pool->tls, &demand);
	if (!err)
		return;
	client_tls_failed(hop->client,
			  err == -EPROTO ? SPAN("the server sent more behind its answer to STARTTLS")
					 : span_str(conn_error(hop->conn)),
			  loop_now_ms(hop->pool->loop));
}

static void on_secure(struct hop *hop)
{
	uint8_t binding[TLS_BINDING_LEN];
	struct tls_facts facts;
	bool known = conn_tls_facts(hop->conn, &facts);

	if (known && terms_binding(conn_tls(hop->conn), &facts, binding))
		client_channel_binding(hop->client, binding);
	if (known)
		snprintf(hop->tls, sizeof hop->tls, "%s %s", facts.version, facts.verified ? "verified" : "unverified");
	client_tls_started(hop->client, known && terms_is_authentic(hop->host, &facts), loop_now_ms(hop->pool->loop));
}

/* Whatever goes wrong before AUTH is this address's fault; another one of the host may do better. Opportunistic: a
 * server that offers TLS and cannot do it is as good as one that does not offer it. */
static bool may_try_next(struct hop *hop, const struct client_failure *failure)
{
	if (failure->object != CLIENT_LANE || failure->phase >= CLIENT_AT_AUTH || hop->is_ready || hop->is_retired)
		return false;
	if (failure->phase == CLIENT_AT_TLS && hop->host->tls == CONFIG_TLS_OPPORTUNISTIC && !hop->without_tls)
		return hop->without_tls = true;
	return approach_has_next(hop->approach);
}

static void on_failed(struct hop *hop, const struct client_action *action)
{
	const struct client_failure *f = &action->failure;
	struct lane_failure failure = {
		.trouble = f->object == CLIENT_LANE ? TRAFFIC_LANE : TRAFFIC_ACCOUNT,
		.is_parked = f->object == CLIENT_PARKED,
		.is_throttled = f->object == CLIENT_THROTTLED,
	};
	struct buf text;

	hop->tries_next = may_try_next(hop, f);
	buf_init(&text, 2048);
	buf_printf(&text, "%s: %s: ", hop->peer, client_phase_name(f->phase));
	reply_print(&f->reply, &text);
	failure.text = buf_cstr(&text);
	if (hop->tries_next)
		log_event(LOG_LEVEL_INFO, "next-address", LOG_TEXT("lane", hop->lane->name),
			  LOG_TEXT("error", failure.text));
	else
		trouble_failed(hop->pool, hop->lane, &failure, hop->is_ready, moment_of(hop));
	buf_fini(&text);
}

/* What was being read through is as before. */
static void stop_looking(struct hop *hop)
{
	struct load *load = hop->looking;

	hop->looking = NULL;
	if (load)
		settle_close(hop->pool->settle, load, moment_of(hop));
}

static void end_session(struct hop *hop)
{
	stop_looking(hop);
	if (hop->conn && hop->is_dead)
		conn_free(hop->conn);
	else if (hop->conn)
		conn_finish(hop->conn, HOP_LINGER_MS);
	hop->conn = NULL;
	client_free(hop->client);
	hop->client = NULL;
	assert(list_is_empty(&hop->loads));
	if (hop->tries_next && !hop->pool->is_stopping) {
		hop->tries_next = hop->is_dead = hop->is_late = false;
		approach_next(hop->approach, hop->without_tls);
		return;
	}
	hop_free(hop);
}

static void act(struct hop *hop, const struct client_action *action)
{
	if (action->no_pipelining)
		hop->lane->no_pipelining = true;
	switch (action->kind) {
	case CLIENT_SEND:
		if (!hop->is_dead && !conn_write(hop->conn, action->data.data, action->data.len)) {
			hop->is_dead = true;
			client_eof(hop->client, SPAN("it takes no more bytes"), loop_now_ms(hop->pool->loop));
		}
		break;
	case CLIENT_START_TLS: start_tls(hop); break;
	case CLIENT_READY: on_ready(hop, action->ahead); break;
	case CLIENT_WANT_BODY: give_body(hop, action->message->cookie); break;
	case CLIENT_RCPT_RESULT: on_result(hop, &action->result); break;
	case CLIENT_MESSAGE_DONE: on_done(hop, action->message->cookie); break;
	case CLIENT_FAILED: on_failed(hop, action); break;
	case CLIENT_WAIT:
	case CLIENT_CLOSE: break;
	}
}

static void pump(struct hop *hop)
{
	struct client_action action = { .kind = CLIENT_WAIT };

	if (!hop->client)
		return;
	/* The engine's pieces are smaller than what an output buffer that is not full takes. */
	while (hop->is_dead || hop->is_late || !conn_is_full(hop->conn)) {
		client_step(hop->client, loop_now_ms(hop->pool->loop), &action);
		if (action.kind == CLIENT_WAIT || action.kind == CLIENT_CLOSE)
			break;
		act(hop, &action);
	}
	if (action.kind == CLIENT_CLOSE) {
		act(hop, &action);
		place(hop, HOP_NOWHERE);
		end_session(hop);
	} else {
		hop->is_late = false;
		conn_deadline(hop->conn, client_deadline(hop->client));
	}
}

static void on_input(struct hop *hop)
{
	struct span in = conn_input(hop->conn);

	if (in.len)
		client_feed(hop->client, in, loop_now_ms(hop->pool->loop));
	conn_consume(hop->conn, in.len);
}

static void on_event(void *arg, enum conn_event event)
{
	struct hop *hop = arg;
	int64_t now_ms = loop_now_ms(hop->pool->loop);

	switch (event) {
	case CONN_INPUT: on_input(hop); break;
	case CONN_SECURE: on_secure(hop); break;
	case CONN_EOF:
		on_input(hop);
		client_eof(hop->client, SPAN(""), now_ms);
		break;
	case CONN_FAILED:
		hop->is_dead = true;
		if (conn_failed_in_tls(hop->conn) && !hop->tls[0])
			client_tls_failed(hop->client, span_str(conn_error(hop->conn)), now_ms);
		else
			client_eof(hop->client, span_str(conn_error(hop->conn)), now_ms);
		break;
	case CONN_DEADLINE: hop->is_late = true; break; /* also when it takes no more output */
	case CONN_DRAINED:
	case CONN_FLUSHED:
	case CONN_PROXIED: break;
	}
	pump(hop);
}

static void start_session(struct hop *hop, int fd)
{
	const struct config_smarthost *host = hop->host;
	struct conn_config conn = { .loop = hop->pool->loop, .event = on_event, .arg = hop };
	struct client_config config = terms_session(host);

	config.ehlo_name = hop->config->hostname;
	config.secret = approach_secret(hop->approach);
	config.pipelining = config.pipeline_next = !hop->lane->no_pipelining;
	if (hop->without_tls)
		config.tls = CLIENT_TLS_NONE;
	hop->conn = conn_new(&conn, fd);
	hop->tls[0] = '\0';
	if (conn_peer_host(hop->conn)[0])
		snprintf(hop->peer, sizeof hop->peer, "%s [%s]", host->host, conn_peer_host(hop->conn));
	else
		snprintf(hop->peer, sizeof hop->peer, "%s", host->host);
	hop->client = client_new(&config, loop_now_ms(hop->pool->loop));
	pump(hop);
}

/* ---------------------------------------------------------------- the way there */

static void approached(void *arg, const struct approach_result *r)
{
	struct hop *hop = arg;
	struct moment now = moment_of(hop);

	if (r->by_dns)
		trouble_reached(hop->pool, hop->lane, true, now);
	if (r->by_host)
		trouble_reached(hop->pool, hop->lane, false, now);
	switch (r->end) {
	case APPROACH_OK: start_session(hop, r->fd); break;
	case APPROACH_NO_SECRET: lane_trouble(hop, TRAFFIC_ACCOUNT, r->text); break;
	case APPROACH_NO_ADDRESS:
	case APPROACH_REFUSED:
	case APPROACH_LOCAL: lane_trouble(hop, TRAFFIC_LANE, r->text); break;
	case APPROACH_SILENT: no_network(hop, true, r->text); break;
	case APPROACH_OFFLINE: no_network(hop, false, r->text); break;
	}
}

/* ---------------------------------------------------------------- life */

static void run_task(struct loop_task *task)
{
	struct hop *hop = LIST_ENTRY(task, struct hop, task);

	if (hop->looking)
		look(hop);
	pump(hop);
}

static void kept_long_enough(struct loop_timer *timer)
{
	hop_retire(LIST_ENTRY(timer, struct hop, keep));
}

void hop_start(struct pool *pool, struct lane *lane)
{
	struct hop *hop = MEM_NEW(struct hop);
	struct approach_setup setup = {
		.account = { pool->loop, pool->helper, pool->credentials_directory },
		.dns = pool->dns,
		.host = lane->host,
		.turn = lane->failures,
	};

	hop->pool = pool;
	hop->lane = lane;
	hop->config = config_ref(pool->scheduler->config);
	hop->host = lane->host;
	list_init(&hop->waiting);
	list_init(&hop->loads);
	list_append(&pool->hops, &hop->node);
	pool->count++;
	loop_task_init(&hop->task, pool->loop, run_task);
	loop_timer_init(&hop->keep, pool->loop, kept_long_enough);
	snprintf(hop->peer, sizeof hop->peer, "%s", hop->host->host);
	hop->approach = approach_new(&setup, approached, hop);
}

static void hop_free(struct hop *hop)
{
	struct pool *pool = hop->pool;

	place(hop, HOP_NOWHERE);
	approach_free(hop->approach);
	stop_looking(hop);
	client_free(hop->client);
	conn_free(hop->conn);
	loop_task_stop(&hop->task);
	loop_timer_stop(&hop->keep);
	list_remove(&hop->node);
	pool->count--;
	scheduler_gone(pool->scheduler, hop->lane, hop->is_ready, moment_of(hop));
	config_unref(hop->config);
	mem_free(hop);
	pool->poke(pool->arg);
}

void hop_feed(struct hop *hop)
{
	if (!hop->client || hop->place == HOP_NOWHERE || !client_is_ready(hop->client))
		return;
	offer(hop, hop->place == HOP_AHEAD);
	loop_task_post(&hop->task);
}

void hop_retire(struct hop *hop)
{
	hop->is_retired = true;
	if (!hop->client || hop->place != HOP_IDLE)
		return;
	place(hop, HOP_NOWHERE);
	client_quit(hop->client, loop_now_ms(hop->pool->loop));
	loop_task_post(&hop->task);
}

void hop_cut(struct hop *hop)
{
	if (!hop->client) {
		hop_free(hop);
		return;
	}
	hop->is_retired = hop->is_dead = true;
	client_eof(hop->client, SPAN("the agent is stopping"), loop_now_ms(hop->pool->loop));
	pump(hop);
}
