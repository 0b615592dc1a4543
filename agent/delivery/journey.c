#include "delivery/journey.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "base/text.h"
#include "delivery/approach.h"
#include "delivery/terms.h"
#include "delivery/journey_words.h"
#include "message/dsn_words.h"
#include "net/conn.h"
#include "route.h"
#include "smtp/client.h"

enum { LINGER_MS = 2000 };

struct traffic_walk {
	struct list node;
	struct journey_set *set;
	struct config *config; /* a reference */
	const struct config_smarthost *host;
	char *domain, *from, *to;
	struct traffic_walk_setup setup; /* its texts are gone: the copies are above */
	struct approach *approach;
	struct conn *conn;
	struct client *client;
	struct client_message message;
	struct client_rcpt rcpt;
	enum client_phase phase; /* what it waits for, and since when */
	int64_t since_ms;
	char peer[320];
	bool is_dead, is_late, is_asked, is_secure;
	bool tries_next, without_tls;
	bool is_well; /* mail can go this way */
};

static int64_t now_of(const struct traffic_walk *walk)
{
	return loop_now_ms(walk->set->pool->loop);
}

/* ---------------------------------------------------------------- telling */

static void tell(const struct traffic_walk *walk, struct traffic_step step)
{
	step.host = step.host ? step.host : "";
	step.advice = step.advice ? step.advice : "";
	walk->setup.step(walk->setup.arg, &step);
}

/* The phase that ends now. */
static void tell_phase(struct traffic_walk *walk, enum traffic_step_end end, const char *text, const char *advice)
{
	/* TCP is connected by then: what is missing is TLS from the first byte. */
	enum client_phase phase = walk->phase == CLIENT_AT_CONNECT ? CLIENT_AT_TLS : walk->phase;

	tell(walk, (struct traffic_step){ .what = client_phase_name(phase),
					  .host = walk->peer,
					  .end = end,
					  .took_ms = now_of(walk) - walk->since_ms,
					  .text = text,
					  .advice = advice });
}

static void free_session(struct traffic_walk *walk)
{
	if (walk->conn && walk->is_dead)
		conn_free(walk->conn);
	else if (walk->conn)
		conn_finish(walk->conn, LINGER_MS);
	walk->conn = NULL;
	client_free(walk->client);
	walk->client = NULL;
}

static void free_walk(struct traffic_walk *walk)
{
	free_session(walk);
	approach_free(walk->approach);
	list_remove(&walk->node);
	walk->set->count--;
	config_unref(walk->config);
	mem_free(walk->domain);
	mem_free(walk->from);
	mem_free(walk->to);
	mem_free(walk);
}

/* The last step; the walk is gone after it. */
static void finish(struct traffic_walk *walk, bool is_well, const char *text, const char *advice)
{
	tell(walk, (struct traffic_step){ .what = "result",
					  .end = is_well ? TRAFFIC_STEP_WELL : TRAFFIC_STEP_FAILED,
					  .took_ms = -1,
					  .text = text,
					  .advice = advice,
					  .is_last = true });
	free_walk(walk);
}

/* ---------------------------------------------------------------- the session */

static void start_tls(struct traffic_walk *walk)
{
	struct tls_demand demand = approach_policy(walk->approach)->demand;
	int err = conn_tls_connect(walk->conn, walk->set->pool->tls, &demand);

	if (err)
		client_tls_failed(walk->client,
				  err == -EPROTO ? SPAN("the server sent more behind its answer to STARTTLS")
						 : span_str(conn_error(walk->conn)),
				  now_of(walk));
}

static void on_secure(struct traffic_walk *walk)
{
	const struct tlspolicy *policy = approach_policy(walk->approach);
	uint8_t binding[TLS_BINDING_LEN];
	struct tls_facts facts;
	bool known = conn_tls_facts(walk->conn, &facts);
	char outcome[TLSPOLICY_OUTCOME_SIZE], text[400];

	if (known && terms_binding(conn_tls(walk->conn), &facts, binding))
		client_channel_binding(walk->client, binding);
	walk->is_secure = known;
	if (known) {
		snprintf(text, sizeof text, "%s, %s, certificate of %s", tlspolicy_outcome(policy, &facts, outcome),
			 facts.cipher, facts.peer[0] ? facts.peer : "nobody by name");
		walk->phase = CLIENT_AT_TLS;
		tell_phase(walk, facts.verified ? TRAFFIC_STEP_WELL : TRAFFIC_STEP_NOTE, text,
			   facts.verified ? "" : "it is encrypted, but nothing proves who the other side is");
	}
	client_tls_started(walk->client, known && tlspolicy_is_proven(policy, &facts), now_of(walk));
	walk->phase = CLIENT_AT_EHLO;
	walk->since_ms = now_of(walk);
}

/* With somebody to ask for: the envelope and no more. */
static void on_ready(struct traffic_walk *walk)
{
	if (!walk->to || walk->is_asked) {
		walk->is_well = walk->is_well || !walk->to;
		client_quit(walk->client, now_of(walk));
		return;
	}
	walk->is_asked = true;
	walk->rcpt = (struct client_rcpt){ .address = walk->to };
	walk->message = (struct client_message){ .sender = walk->from,
						 .rcpts = &walk->rcpt,
						 .rcpt_count = 1,
						 .only_ask = true,
						 .smtputf8 = !text_is_ascii(span_str(walk->to)) ||
							     !text_is_ascii(span_str(walk->from)) };
	client_message(walk->client, &walk->message, now_of(walk));
}

/* For the story at the end. */
static void note(struct traffic_walk *walk, enum client_phase phase, const char *text)
{
	struct buf note;

	buf_init(&note, 2048);
	buf_printf(&note, "%s: %s: %.1000s", walk->peer, client_phase_name(phase), text);
	approach_note(walk->approach, buf_cstr(&note));
	buf_fini(&note);
}

static void on_result(struct traffic_walk *walk, const struct client_result *r)
{
	bool is_taken = r->outcome == CLIENT_UNTRIED && r->reply.code / 100 == 2;
	struct buf text;

	buf_init(&text, 1024);
	reply_print(&r->reply, &text);
	if (r->phase == CLIENT_AT_RCPT) {
		walk->phase = CLIENT_AT_MAIL;
		tell_phase(walk, TRAFFIC_STEP_WELL, "the sender is accepted", "");
	}
	walk->phase = r->phase;
	if (!is_taken)
		note(walk, r->phase, buf_cstr(&text));
	tell_phase(walk, is_taken ? TRAFFIC_STEP_WELL : TRAFFIC_STEP_FAILED, buf_cstr(&text),
		   is_taken ? "" : journey_words_refusal(r));
	buf_fini(&text);
	walk->is_well = is_taken;
}

static bool may_try_next(struct traffic_walk *walk, const struct client_failure *failure)
{
	const struct tlspolicy *policy = approach_policy(walk->approach);

	walk->without_tls = false;
	if (failure->object != CLIENT_LANE || failure->phase >= CLIENT_AT_AUTH || walk->is_well)
		return false;
	if (failure->phase == CLIENT_AT_TLS && policy->level == TLSPOLICY_OPPORTUNISTIC)
		return walk->without_tls = true;
	return approach_has_next(walk->approach);
}

static void on_failed(struct traffic_walk *walk, const struct client_failure *failure)
{
	struct buf text;

	buf_init(&text, 2048);
	reply_print(&failure->reply, &text);
	if (failure->object == CLIENT_PARKED && failure->phase == CLIENT_AT_EHLO)
		journey_words_logins(client_peer(walk->client)->auth_offered, &text);
	walk->phase = failure->phase;
	walk->tries_next = may_try_next(walk, failure);
	tell_phase(walk, walk->is_well ? TRAFFIC_STEP_NOTE : TRAFFIC_STEP_FAILED, buf_cstr(&text),
		   journey_words_failure(walk->host, failure, client_peer(walk->client)->auth_offered != 0));
	note(walk, failure->phase, buf_cstr(&text));
	buf_fini(&text);
}

/* What was waited for has come: how long it took, and what it was. */
static void watch_phase(struct traffic_walk *walk)
{
	enum client_phase phase = client_phase(walk->client);
	struct buf text;

	if (phase == walk->phase)
		return;
	buf_init(&text, 2048);
	/* What ends before its time is told of when the engine says why. */
	if (phase != CLIENT_AT_QUIT && walk->phase != CLIENT_AT_TLS && walk->phase != CLIENT_AT_CONNECT &&
	    walk->phase < CLIENT_AT_IDLE) {
		journey_words_phase(walk->phase, client_peer(walk->client), &text);
		tell_phase(walk, TRAFFIC_STEP_WELL, buf_cstr(&text), "");
	}
	buf_fini(&text);
	walk->phase = phase;
	walk->since_ms = now_of(walk);
}

static void end_session(struct traffic_walk *walk)
{
	char text[400];

	free_session(walk);
	if (walk->tries_next) {
		walk->tries_next = walk->is_dead = walk->is_late = walk->is_secure = false;
		approach_next(walk->approach, walk->without_tls);
		return;
	}
	snprintf(text, sizeof text, "%s would take it", walk->peer);
	finish(walk, walk->is_well, walk->is_well ? text : approach_story(walk->approach), "");
}

static void act(struct traffic_walk *walk, const struct client_action *action)
{
	switch (action->kind) {
	case CLIENT_SEND:
		if (!walk->is_dead && !conn_write(walk->conn, action->data.data, action->data.len)) {
			walk->is_dead = true;
			client_eof(walk->client, SPAN("it takes no more bytes"), now_of(walk));
		}
		break;
	case CLIENT_START_TLS: start_tls(walk); break;
	case CLIENT_READY: on_ready(walk); break;
	case CLIENT_RCPT_RESULT: on_result(walk, &action->result); break;
	case CLIENT_FAILED: on_failed(walk, &action->failure); break;
	case CLIENT_WANT_BODY: /* never of what only asks */
	case CLIENT_MESSAGE_DONE:
	case CLIENT_WAIT:
	case CLIENT_CLOSE: break;
	}
}

static void pump(struct traffic_walk *walk)
{
	struct client_action action = { .kind = CLIENT_WAIT };

	while (walk->is_dead || walk->is_late || !conn_is_full(walk->conn)) {
		watch_phase(walk);
		client_step(walk->client, now_of(walk), &action);
		if (action.kind == CLIENT_WAIT || action.kind == CLIENT_CLOSE)
			break;
		act(walk, &action);
	}
	if (action.kind == CLIENT_CLOSE) {
		end_session(walk);
		return;
	}
	walk->is_late = false;
	conn_deadline(walk->conn, client_deadline(walk->client));
}

static void on_input(struct traffic_walk *walk)
{
	struct span in = conn_input(walk->conn);

	if (in.len)
		client_feed(walk->client, in, now_of(walk));
	conn_consume(walk->conn, in.len);
}

static void on_event(void *arg, enum conn_event event)
{
	struct traffic_walk *walk = arg;

	switch (event) {
	case CONN_INPUT: on_input(walk); break;
	case CONN_SECURE: on_secure(walk); break;
	case CONN_EOF:
		on_input(walk);
		client_eof(walk->client, SPAN(""), now_of(walk));
		break;
	case CONN_FAILED:
		walk->is_dead = true;
		if (conn_failed_in_tls(walk->conn) && !walk->is_secure)
			client_tls_failed(walk->client, span_str(conn_error(walk->conn)), now_of(walk));
		else
			client_eof(walk->client, span_str(conn_error(walk->conn)), now_of(walk));
		break;
	case CONN_DEADLINE: walk->is_late = true; break;
	case CONN_DRAINED:
	case CONN_FLUSHED:
	case CONN_PROXIED: break;
	}
	pump(walk);
}

static void start_session(struct traffic_walk *walk, int fd)
{
	struct conn_config conn = { .loop = walk->set->pool->loop, .event = on_event, .arg = walk };
	const struct tlspolicy *policy = approach_policy(walk->approach);
	const struct target_host *target = approach_host(walk->approach);
	struct client_config config = terms_session(walk->host);

	config.ehlo_name = walk->config->hostname;
	config.secret = approach_secret(walk->approach);
	config.pipelining = true;
	config.tls = policy->tls;
	config.tls_unproven = policy->is_unproven;
	config.relay = !walk->domain;
	walk->conn = conn_new(&conn, fd);
	if (conn_peer_host(walk->conn)[0] && !walk->host->proxy.host)
		snprintf(walk->peer, sizeof walk->peer, "%.250s [%.60s]", target->name, conn_peer_host(walk->conn));
	else
		snprintf(walk->peer, sizeof walk->peer, "%.310s", target->name);
	walk->client = client_new(&config, now_of(walk));
	walk->phase = client_phase(walk->client);
	walk->since_ms = now_of(walk);
	pump(walk);
}

/* ---------------------------------------------------------------- the way there */

static void on_step(void *arg, const struct approach_step *s)
{
	struct traffic_walk *walk = arg;
	char text[900];

	snprintf(text, sizeof text, "%s%s%s", s->where, s->where[0] && s->text[0] ? ": " : "", s->text);
	tell(walk, (struct traffic_step){
			   .what = journey_words_step(s->kind),
			   .host = s->host,
			   .end = s->ok                             ? TRAFFIC_STEP_WELL
				  : journey_words_may_lack(s->kind) ? TRAFFIC_STEP_NOTE
								    : TRAFFIC_STEP_FAILED,
			   .took_ms = s->took_ms,
			   .text = text,
			   .advice = s->ok ? "" : journey_words_advice(walk->host, walk->domain, s->kind, s->text) });
}

static void approached(void *arg, const struct approach_result *r)
{
	struct traffic_walk *walk = arg;
	char text[700];

	switch (r->end) {
	case APPROACH_OK: start_session(walk, r->fd); return;
	case APPROACH_LOOKED: finish(walk, true, r->text, ""); return;
	case APPROACH_NEVER:
		snprintf(text, sizeof text, "a message would come back at once: %s %s", r->status, r->text);
		finish(walk, false, text, dsn_words_advice(r->status));
		return;
	case APPROACH_NO_SECRET:
	case APPROACH_NO_HOST:
	case APPROACH_REFUSED:
	case APPROACH_SILENT:
	case APPROACH_OFFLINE:
	case APPROACH_LOCAL: finish(walk, false, r->text, ""); return;
	}
}

/* A smart host by its name, or a domain. */
static bool find_place(struct traffic_walk *walk, const char *what)
{
	struct buf mailbox, domain;
	bool ok;

	walk->host = config_smarthost(walk->config, what);
	if (walk->host)
		return true;
	if (strncmp(what, ROUTE_MX, strlen(ROUTE_MX)) == 0)
		what += strlen(ROUTE_MX);
	else if (!strchr(what, '.') && what[0] != '[')
		return false;
	buf_init(&mailbox, 1024);
	buf_init(&domain, 1024);
	ok = buf_printf(&mailbox, "x@%s", what) && route_domain(walk->config, buf_cstr(&mailbox), &domain);
	if (ok) {
		walk->domain = mem_strdup(buf_cstr(&domain));
		walk->host = config_mx(walk->config, walk->domain);
	}
	buf_fini(&mailbox);
	buf_fini(&domain);
	return ok;
}

static void set_out(struct traffic_walk *walk)
{
	const struct pool *pool = walk->set->pool;
	struct approach_setup setup = {
		.account = { .loop = pool->loop,
			     .helper = pool->helper,
			     .credentials_directory = pool->credentials_directory },
		.dns = pool->dns,
		.mtasts = pool->mtasts,
		.config = walk->config,
		.host = walk->host,
		.domain = walk->domain,
		.only_look = walk->setup.only_look,
		.step = on_step,
		.step_arg = walk,
	};

	crypto_random(&setup.seed, sizeof setup.seed);
	walk->approach = approach_new(&setup, approached, walk);
}

/* ---------------------------------------------------------------- life */

void journey_init(struct journey_set *set, const struct pool *pool)
{
	*set = (struct journey_set){ .pool = pool };
	list_init(&set->walks);
}

void journey_fini(struct journey_set *set)
{
	while (!list_is_empty(&set->walks))
		free_walk(LIST_ENTRY(list_first(&set->walks), struct traffic_walk, node));
}

struct traffic_walk *journey_start(struct journey_set *set, const struct traffic_walk_setup *setup, char *why,
				   size_t why_size)
{
	struct traffic_walk *walk;

	if (set->count >= (setup->only_look ? JOURNEY_LOOKS_MAX : JOURNEY_MAX)) {
		snprintf(why, why_size, "too many tests are under way already - try again in a while");
		return NULL;
	}
	walk = MEM_NEW(struct traffic_walk);
	walk->set = set;
	walk->setup = *setup;
	walk->config = config_ref(set->pool->scheduler->config);
	walk->from = mem_strdup(setup->from ? setup->from : "");
	walk->to = setup->to ? mem_strdup(setup->to) : NULL;
	list_append(&set->walks, &walk->node);
	set->count++;
	if (!find_place(walk, setup->what)) {
		snprintf(
			why, why_size,
			"there is no smarthost \"%.200s\", and it is no domain either - `sendoff status` lists the smart "
			"hosts",
			setup->what);
		free_walk(walk);
		return NULL;
	}
	set_out(walk);
	return walk;
}

void journey_cancel(struct traffic_walk *walk)
{
	if (walk)
		free_walk(walk);
}
