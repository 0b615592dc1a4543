#include "delivery/hop.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "delivery/trouble.h"
#include "log.h"
#include "smtp/sasl.h"

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

static void forget_job(struct hop *hop, struct scheduler_job *job, enum queue_err err)
{
	/* What cannot be read is left in flight: neither tried again and again, nor in the way of others. */
	for (size_t i = 0; i < job->count && err == QUEUE_NOT_FOUND; i++)
		scheduler_settled(hop->pool->scheduler, job, i);
	if (err != QUEUE_NOT_FOUND)
		log_event(LOG_LEVEL_ERROR, "unreadable", LOG_ID(job->id), LOG_TEXT("error", queue_err_text(err)),
			  LOG_TEXT("doing", "set aside until the next start"));
	scheduler_job_end(hop->pool->scheduler, job);
	scheduler_job_free(job);
}

static bool fill_message(struct load *load)
{
	struct client_rcpt *rcpts = mem_arena_alloc(&load->arena, load->count * sizeof *rcpts);

	if (!rcpts)
		return false;
	for (size_t i = 0; i < load->count; i++)
		rcpts[i].address = load->rcpts[i].address;
	load->message = (struct client_message){
		.sender = load->sender,
		.eight_bit = load->body != QUEUE_BODY_7BIT,
		.smtputf8 = load->flags & QUEUE_SMTPUTF8,
		.size_bytes = load->size_bytes,
		.rcpts = rcpts,
		.rcpt_count = load->count,
		.cookie = load,
	};
	return true;
}

/* The next message for this connection, or NULL. */
static struct load *take(struct hop *hop)
{
	struct scheduler_job *job;

	while ((job = scheduler_take(hop->pool->scheduler, hop->lane, moment_of(hop)))) {
		enum queue_err err = QUEUE_NO_MEMORY;
		struct load *load = load_new(job, queue_view(hop->pool->queue), &err);

		if (load && fill_message(load)) {
			load->tls = load_text(load, span_str(hop->tls));
			return load;
		}
		if (load)
			load->job = NULL;
		load_free(load);
		forget_job(hop, job, err);
	}
	return NULL;
}

static bool is_used_up(const struct hop *hop)
{
	return hop->host->messages_per_connection && hop->messages >= hop->host->messages_per_connection;
}

/* The engine can take a message. */
static void offer(struct hop *hop, bool ahead)
{
	int64_t now_ms = loop_now_ms(hop->pool->loop);
	struct load *load = NULL;

	place(hop, HOP_NOWHERE);
	if (!hop->is_retired && !is_used_up(hop))
		load = take(hop);
	if (load) {
		hop->messages++;
		list_append(&hop->loads, &load->node);
		client_message(hop->client, &load->message, now_ms);
	} else if (hop->is_retired || is_used_up(hop) || !lane_may_work(hop->lane, moment_of(hop))) {
		client_quit(hop->client, now_ms);
	} else {
		place(hop, ahead ? HOP_AHEAD : HOP_IDLE);
	}
}

static void on_ready(struct hop *hop, bool ahead)
{
	if (!hop->is_ready) {
		hop->is_ready = true;
		mem_wipe_free(hop->secret, hop->secret_len); /* another address will not be tried any more */
		hop->secret = NULL;
		hop->secret_len = 0;
		scheduler_ready(hop->pool->scheduler, hop->lane, moment_of(hop));
	}
	offer(hop, ahead);
	hop->pool->poke(hop->pool->arg);
}

static void close_body(struct hop *hop)
{
	if (hop->reading)
		queue_body_close(&hop->reader);
	hop->reading = NULL;
}

static void give_body(struct hop *hop, struct load *load)
{
	struct queue_view *view = queue_view(hop->pool->queue);
	int64_t now_ms = loop_now_ms(hop->pool->loop);
	struct queue_bytes bytes = { NULL, 0 };
	enum queue_err err = view ? QUEUE_OK : QUEUE_IO;

	if (!hop->reading && !err) {
		err = queue_body_open(view, load->job->id, &hop->reader);
		hop->reading = err ? NULL : load;
	}
	if (!err)
		err = queue_body_next(&hop->reader, view, &bytes);
	if (err) {
		load->is_damaged = err == QUEUE_CORRUPT || err == QUEUE_DAMAGED;
		load->error = err;
		client_body_abort(hop->client, now_ms);
		close_body(hop);
		return;
	}
	if (bytes.len)
		client_body(hop->client, span_of(bytes.data, bytes.len), now_ms);
	if (!bytes.len || hop->reader.next >= hop->reader.chunks) {
		client_body_end(hop->client, now_ms);
		close_body(hop);
	}
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

	if (hop->reading == load)
		close_body(hop);
	if (load->was_delivered)
		scheduler_delivered(hop->pool->scheduler, hop->lane, now);
	list_remove(&load->node);
	settle_close(hop->pool->settle, load, now);
	hop->pool->poke(hop->pool->arg);
}

/* ---------------------------------------------------------------- the engine */

static const char *const *pins(const struct config_smarthost *host)
{
	return (const char *const *)host->tls_pins.list;
}

static void start_tls(struct hop *hop)
{
	const struct config_smarthost *host = hop->host;
	char key[600];
	struct tls_demand demand = {
		.name = host->host,
		.check_name = host->tls_name,
		/* Opportunistic: whoever answers is better than clear text; what he showed is recorded. */
		.verify = host->tls_verify && host->tls != CONFIG_TLS_OPPORTUNISTIC,
		.ca_file = host->tls_ca,
		.pins = pins(host),
		.pin_count = host->tls_pins.count,
		.certificate_file = host->tls_certificate,
		.key_file = host->tls_key,
		.minimum = host->tls_minimum,
		.cache_key = key,
	};
	int err;

	snprintf(key, sizeof key, "%s:%u %d%d %s %s", host->host, host->port, host->tls, demand.verify,
		 host->tls_name ? host->tls_name : "", host->name);
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
	struct tls_facts facts;
	bool known = conn_tls_facts(hop->conn, &facts);

	if (known)
		snprintf(hop->tls, sizeof hop->tls, "%s %s", facts.version, facts.verified ? "verified" : "unverified");
	client_tls_started(hop->client, known && (facts.verified || !hop->host->tls_verify),
			   loop_now_ms(hop->pool->loop));
}

/* Whatever goes wrong before AUTH is this address's fault; another one of the host may do better. */
static bool may_try_next(const struct hop *hop, const struct client_failure *failure)
{
	return failure->object == CLIENT_LANE && failure->phase < CLIENT_AT_AUTH && hop->address_count > 0 &&
	       !hop->is_ready && !hop->is_retired;
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

static void dial_on(struct hop *hop);

static void end_session(struct hop *hop)
{
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
		dial_on(hop);
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
	case CONN_FLUSHED: break;
	}
	pump(hop);
}

static unsigned mechanisms(uint32_t auth)
{
	return (auth & CONFIG_AUTH_PLAIN ? SASL_BIT(SASL_PLAIN) : 0) |
	       (auth & CONFIG_AUTH_LOGIN ? SASL_BIT(SASL_LOGIN) : 0);
}

static enum client_tls level(enum config_tls tls)
{
	switch (tls) {
	case CONFIG_TLS_NONE: return CLIENT_TLS_NONE;
	case CONFIG_TLS_OPPORTUNISTIC: return CLIENT_TLS_OPPORTUNISTIC;
	case CONFIG_TLS_STARTTLS: return CLIENT_TLS_STARTTLS;
	case CONFIG_TLS_IMPLICIT: return CLIENT_TLS_IMPLICIT;
	}
	return CLIENT_TLS_STARTTLS;
}

static void start_session(struct hop *hop, int fd)
{
	const struct config_smarthost *host = hop->host;
	struct conn_config conn = { .loop = hop->pool->loop, .event = on_event, .arg = hop };
	struct client_config config = {
		.ehlo_name = hop->config->hostname,
		.tls = level(host->tls),
		.relay = true,
		.auth = host->user ? mechanisms(host->auth) : 0,
		.user = host->user,
		.secret = span_of(hop->secret, hop->secret_len),
		.pipelining = !hop->lane->no_pipelining,
		.pipeline_next = !hop->lane->no_pipelining,
		.greeting_ms = host->timeouts.greeting_ms,
		.command_ms = host->timeouts.command_ms,
		.data_ms = host->timeouts.data_ms,
	};

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

static bool is_same_address(const struct dns_address *a, const struct dns_address *b)
{
	return a->len == b->len && memcmp(&a->addr, &b->addr, a->len) == 0;
}

/* What it is connected to is not tried a second time. */
static void strike(struct hop *hop, const struct dns_address *address)
{
	size_t kept = 0;

	for (size_t i = 0; i < hop->address_count; i++)
		if (!is_same_address(&hop->addresses[i], address))
			hop->addresses[kept++] = hop->addresses[i];
	hop->address_count = kept < hop->address_count ? kept : 0;
}

static void dialled(void *arg, const struct dial_result *result)
{
	struct hop *hop = arg;
	struct moment now = moment_of(hop);

	hop->dial = NULL;
	if (result->status != DIAL_NO_NETWORK && result->status != DIAL_LOCAL)
		trouble_reached(hop->pool, hop->lane, false, now);
	switch (result->status) {
	case DIAL_OK:
		strike(hop, &result->address);
		start_session(hop, result->fd);
		break;
	case DIAL_REFUSED:
	case DIAL_TIMEOUT:
	case DIAL_LOCAL: lane_trouble(hop, TRAFFIC_LANE, result->text); break;
	case DIAL_NO_NETWORK: no_network(hop, false, result->text); break;
	}
}

static void dial_on(struct hop *hop)
{
	struct dial_config config = {
		.addresses = hop->addresses,
		.count = hop->address_count,
		.port = hop->host->port,
		.unix_path = hop->host->host[0] == '/' ? hop->host->host : NULL,
		.timeout_ms = hop->host->timeouts.connect_ms,
	};

	hop->dial = dial_start(hop->pool->loop, &config, dialled, hop);
}

static void looked_up(void *arg, const struct dns_addresses *result)
{
	struct hop *hop = arg;
	/* After a failure that only showed once we were connected, another address comes first. */
	size_t first = result->count ? hop->lane->failures % result->count : 0;

	hop->query = NULL;
	if (result->status == DNS_OK || result->status == DNS_NXDOMAIN || result->status == DNS_NODATA)
		trouble_reached(hop->pool, hop->lane, true, moment_of(hop));
	switch (result->status) {
	case DNS_OK: break;
	case DNS_SILENT: no_network(hop, true, result->text); return;
	case DNS_NXDOMAIN:
	case DNS_NODATA:
	case DNS_TEMPORARY:
	case DNS_BAD_NAME: lane_trouble(hop, TRAFFIC_LANE, result->text); return;
	}
	for (size_t i = 0; i < result->count && i < HOP_ADDRESSES; i++)
		hop->addresses[hop->address_count++] = result->list[(first + i) % result->count];
	dial_on(hop);
}

static void look_up(struct hop *hop)
{
	if (hop->host->host[0] == '/')
		dial_on(hop);
	else
		hop->query = dns_host(hop->pool->dns, hop->host->host, looked_up, hop);
}

static void got_secret(void *arg, struct span secret, const char *why)
{
	struct hop *hop = arg;

	hop->account = NULL;
	if (why) {
		lane_trouble(hop, TRAFFIC_ACCOUNT, why);
		return;
	}
	hop->secret = mem_dup(secret.data, secret.len);
	hop->secret_len = secret.len;
	look_up(hop);
}

/* ---------------------------------------------------------------- life */

static void run_task(struct loop_task *task)
{
	pump(LIST_ENTRY(task, struct hop, task));
}

static void kept_long_enough(struct loop_timer *timer)
{
	hop_retire(LIST_ENTRY(timer, struct hop, keep));
}

void hop_start(struct pool *pool, struct lane *lane)
{
	struct hop *hop = MEM_NEW(struct hop);
	struct account_setup setup = { pool->loop, pool->helper, pool->credentials_directory };

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
	if (hop->host->user && hop->host->auth)
		hop->account = account_fetch(&setup, hop->host, got_secret, hop);
	else
		look_up(hop);
}

static void hop_free(struct hop *hop)
{
	struct pool *pool = hop->pool;

	place(hop, HOP_NOWHERE);
	account_cancel(hop->account);
	if (hop->query)
		dns_cancel(hop->query);
	if (hop->dial)
		dial_cancel(hop->dial);
	close_body(hop);
	client_free(hop->client);
	conn_free(hop->conn);
	loop_task_stop(&hop->task);
	loop_timer_stop(&hop->keep);
	mem_wipe_free(hop->secret, hop->secret_len);
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
