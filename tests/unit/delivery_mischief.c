/*
 * The engine, the scheduler and the queue against servers that misbehave at random, in virtual time (mischief.h).
 *
 * Claims, on every seed: each recipient is, at any time, either in the queue or has one end in its history; nobody is
 * delivered to whom the server did not say yes in the right place; no session goes on for ever; each recipient of a
 * message gets one result, then the message is done. SEEDS=n plays so many, SEED=n that one alone and shows what is said.
 */
#include "delivery_rig.h"

#include "delivery/cargo.h"
#include "delivery/terms.h"
#include "smtp/ehlo.h"
#include "tests/unit/support/mischief.h"

enum {
	SEEDS_USUAL = 200,
	MAILS = 4,
	SESSIONS_BAD = 12, /* then the server recovers */
	SESSIONS_MAX = 400,
	STUCK_MAX = 1000,
	STEPS_MAX = 100000,
	SESSION_MAX = 8 * RIG_HOUR,
};

static const char CONF[] = "smarthost \"work\" { host = \"192.0.2.1\" port = 25 tls = opportunistic auth = none "
			   "connections = 1 recipients_per_message = 3 }\n"
			   "route \"all\" { via = {\"work\"} }\n";

/* Of a session. */
struct link {
	struct client *client;
	struct lane *lane;
	struct list loads;
	bool is_ready, has_failed, is_over, wants_tls;
	int64_t began_ms;
	unsigned results[MAILS + 64]; /* of the messages under way, by place */
};

struct world {
	struct rig rig;
	struct mischief server;
	struct chance chance;
	uint64_t ids[MAILS];
	size_t counts[MAILS], mails;
	uint64_t seed;
	unsigned sessions, stuck;
	uint64_t delivered, bounced;
};

static void wrong(const struct world *w, const char *what) __attribute__((noreturn));

static void wrong(const struct world *w, const char *what)
{
	print_error("SEED=%llu: %s (session %u)\n", (unsigned long long)w->seed, what, w->sessions);
	fail();
	abort();
}

static void show(const struct world *w, char who, const char *bytes, size_t len)
{
	if (!getenv("SEED"))
		return;
	print_message("%10lld %c ", (long long)w->rig.now.boot_ms, who);
	for (size_t i = 0; i < len && i < 300; i++)
		print_message(bytes[i] == '\r' ? "\\r" : bytes[i] == '\n' ? "\\n" : "%c", bytes[i]);
	print_message("\n");
}

static uint64_t roll(struct world *w, uint64_t below)
{
	return chance_below(&w->chance, below);
}

/* ---------------------------------------------------------------- messages and their results */

static enum settle_verdict verdict_on(struct world *w, struct load *load, const struct client_result *r)
{
	bool is_suspicious = (r->reply.code == 421 || r->reply.code == 0) &&
			     (r->phase == CLIENT_AT_MAIL || r->phase == CLIENT_AT_RCPT || r->phase == CLIENT_AT_DATA);

	switch (r->outcome) {
	case CLIENT_DELIVERED: return SETTLE_DELIVERED;
	case CLIENT_TEMPORARY: return SETTLE_TEMPORARY;
	case CLIENT_PERMANENT: return SETTLE_PERMANENT;
	case CLIENT_DOUBTFUL: return SETTLE_DOUBTFUL;
	case CLIENT_UNTRIED: break;
	}
	if (!load->was_judged && is_suspicious) {
		load->was_judged = true;
		load->is_guilty = scheduler_suspect(w->rig.scheduler, load->job->id);
	}
	return load->is_guilty ? SETTLE_TEMPORARY : SETTLE_UNTRIED;
}

static void on_result(struct world *w, const struct client_result *r)
{
	struct load *load = r->message->cookie;
	unsigned mail = MISCHIEF_NOBODY, n = load->rcpts[r->rcpt].n;
	struct buf text;

	sscanf(load->sender, "m%u@", &mail);
	if (load->rcpts[r->rcpt].has_outcome || load->rcpts[r->rcpt].is_back)
		wrong(w, "a recipient got two results");
	if (r->outcome == CLIENT_DELIVERED && mail < MAILS && !w->server.took[mail][n])
		wrong(w, "delivered to somebody whom the server did not accept");
	if (r->outcome == CLIENT_DELIVERED && r->reply.code / 100 != 2)
		wrong(w, "delivered without a yes");
	if (r->outcome == CLIENT_PERMANENT && r->reply.code && r->reply.code / 100 != 5)
		wrong(w, "refused for good without a no");
	show(w, '!', client_outcome_name(r->outcome), strlen(client_outcome_name(r->outcome)));
	buf_init(&text, 1024);
	reply_print(&r->reply, &text);
	if (r->outcome != CLIENT_UNTRIED && r->reply.code)
		scheduler_spoke(w->rig.scheduler, load->job->lane, w->rig.now);
	settle_rcpt(&w->rig.settle, load, r->rcpt, verdict_on(w, load, r), buf_cstr(&text), "mx", w->rig.now);
	load->was_delivered |= r->outcome == CLIENT_DELIVERED;
	buf_fini(&text);
}

static void on_done(struct world *w, struct link *link, struct load *load)
{
	for (size_t i = 0; i < load->count; i++)
		if (!load->rcpts[i].has_outcome && !load->rcpts[i].is_back)
			wrong(w, "a message is done, and a recipient has no result");
	cargo_fini(&load->cargo);
	if (load->was_delivered)
		scheduler_delivered(w->rig.scheduler, link->lane, w->rig.now);
	list_remove(&load->node);
	settle_close(&w->rig.settle, load, w->rig.now);
	rig_turn(&w->rig);
}

static void refuse_all(struct world *w, struct load *load)
{
	for (size_t i = 0; i < load->count; i++)
		settle_rcpt(&w->rig.settle, load, i, SETTLE_PERMANENT, "5.6.3 cannot be converted", "", w->rig.now);
	settle_close(&w->rig.settle, load, w->rig.now);
	rig_turn(&w->rig);
}

/* False: it cannot be sent to this server. */
static bool look(struct load *load, struct queue *queue, bool *out_8bit)
{
	const struct convert_facts *facts;
	enum cargo_look state;
	enum queue_err err;

	while ((state = cargo_look(&load->cargo, queue_view(queue), &facts, &err)) == CARGO_MORE)
		;
	queue_view_end(queue);
	assert_int_equal(state, CARGO_DONE);
	*out_8bit = facts->header_8bit;
	return !load->cargo.is_too_much || !facts->needed || facts->cannot == CONVERT_NOTHING;
}

static void offer(struct world *w, struct link *link)
{
	unsigned extensions = client_peer(link->client)->extensions;
	struct load *load = rig_take(&w->rig, link->lane);
	bool header_is_8bit = false;

	if (!load) {
		client_quit(link->client, w->rig.now.boot_ms);
		return;
	}
	if (cargo_begin(&load->cargo, cargo_terms(extensions), load->flags & QUEUE_SMTPUTF8) &&
	    !look(load, w->rig.queue, &header_is_8bit)) {
		refuse_all(w, load);
		client_quit(link->client, w->rig.now.boot_ms);
		return;
	}
	assert_true(load_message(load, extensions, header_is_8bit, w->rig.now.wall_ms));
	list_append(&link->loads, &load->node);
	client_message(link->client, &load->message, w->rig.now.boot_ms);
}

static void give_body(struct world *w, struct link *link, struct load *load)
{
	bool is_last = false;
	struct span bytes;

	if (!w->server.is_calm && roll(w, 300) == 0) {
		client_body_abort(link->client, w->rig.now.boot_ms);
		return;
	}
	assert_int_equal(cargo_next(&load->cargo, queue_view(w->rig.queue), &bytes, &is_last), QUEUE_OK);
	if (bytes.len)
		client_body(link->client, bytes, w->rig.now.boot_ms);
	if (is_last)
		client_body_end(link->client, w->rig.now.boot_ms);
	queue_view_end(w->rig.queue);
}

/* ---------------------------------------------------------------- a session */

static void on_failed(struct world *w, struct link *link, const struct client_failure *f)
{
	struct lane_failure failure = {
		.trouble = f->object == CLIENT_LANE ? TRAFFIC_LANE : TRAFFIC_ACCOUNT,
		.is_parked = f->object == CLIENT_PARKED,
		.is_throttled = f->object == CLIENT_THROTTLED,
		.text = "failed",
	};

	if (link->has_failed || !list_is_empty(&link->loads))
		wrong(w, "a session failed twice, or before its messages were done");
	link->has_failed = true;
	scheduler_failed(w->rig.scheduler, link->lane, &failure, link->is_ready, w->rig.now);
}

static void start_tls(struct world *w, struct link *link)
{
	if (w->server.out.len || !w->server.starts_tls || roll(w, 8) == 0) {
		client_tls_failed(link->client, SPAN("no TLS today"), w->rig.now.boot_ms);
		return;
	}
	w->server.is_tls = true;
	w->server.mode = MISCHIEF_COMMANDS;
	w->server.in.len = 0;
	client_tls_started(link->client, true, w->rig.now.boot_ms);
}

/* The next thing that happens from outside: bytes in some cut, the end of the connection, or time. */
static void wait_for_server(struct world *w, struct link *link)
{
	struct mischief *s = &w->server;
	size_t len = s->out.len;
	int64_t deadline_ms = client_deadline(link->client);
	char *piece;

	if (s->is_slow && len) {
		if (deadline_ms <= w->rig.now.boot_ms + 60 * 1000) {
			rig_pass(&w->rig, deadline_ms - w->rig.now.boot_ms);
			return;
		}
		rig_pass(&w->rig, 60 * 1000);
		len = 1;
	} else if (len > 1 && roll(w, 3) == 0) {
		len = 1 + roll(w, len);
	}
	if (len) {
		piece = mem_dup(s->out.data, len); /* an over-read shows */
		mischief_drop(&s->out, len);
		show(w, '>', piece, len);
		client_feed(link->client, span_of(piece, len), w->rig.now.boot_ms);
		mem_free(piece);
	} else if (s->is_closed) {
		client_eof(link->client, SPAN(""), w->rig.now.boot_ms);
	} else if (deadline_ms == INT64_MAX) {
		wrong(w, "a session waits for ever");
	} else {
		rig_pass(&w->rig, deadline_ms - w->rig.now.boot_ms);
	}
}

/* False: it has nothing to do but to wait. */
static bool act(struct world *w, struct link *link)
{
	struct client_action a;

	client_step(link->client, w->rig.now.boot_ms, &a);
	link->lane->no_pipelining |= a.no_pipelining;
	switch (a.kind) {
	case CLIENT_WAIT: return false;
	case CLIENT_SEND:
		show(w, '<', a.data.data, a.data.len);
		mischief_feed(&w->server, a.data.data, a.data.len);
		/* What the server says in between is there before the next piece is sent. */
		if (w->server.out.len && (w->server.mode == MISCHIEF_BODY || w->server.mode == MISCHIEF_CHUNK))
			wait_for_server(w, link);
		break;
	case CLIENT_START_TLS: start_tls(w, link); break;
	case CLIENT_READY:
		if (!link->is_ready)
			scheduler_ready(w->rig.scheduler, link->lane, w->rig.now);
		link->is_ready = true;
		offer(w, link);
		break;
	case CLIENT_WANT_BODY: give_body(w, link, a.message->cookie); break;
	case CLIENT_RCPT_RESULT: on_result(w, &a.result); break;
	case CLIENT_MESSAGE_DONE: on_done(w, link, a.message->cookie); break;
	case CLIENT_FAILED: on_failed(w, link, &a.failure); break;
	case CLIENT_CLOSE: link->is_over = true; break;
	}
	return true;
}

static struct client_config config_of(struct world *w, const struct lane *lane)
{
	struct client_config config = terms_session(lane->host);

	config.ehlo_name = "client.example";
	config.tls = CLIENT_TLS_OPPORTUNISTIC;
	config.tls_unproven = true;
	config.lmtp = w->server.is_lmtp;
	config.pipelining = config.pipeline_next = !lane->no_pipelining;
	config.chunk_bytes = roll(w, 2) ? 700 : 0;
	return config;
}

static void session(struct world *w, struct lane *lane)
{
	struct client_config config = config_of(w, lane);
	struct link link = { .lane = lane, .began_ms = w->rig.now.boot_ms };
	int steps = 0;

	w->sessions++;
	w->server.is_calm = w->sessions > SESSIONS_BAD;
	mischief_connect(&w->server);
	list_init(&link.loads);
	link.client = client_new(&config, w->rig.now.boot_ms);
	scheduler_reached(w->rig.scheduler, lane, false, w->rig.now);
	while (!link.is_over) {
		if (++steps > STEPS_MAX)
			wrong(w, "a session does not come to an end");
		if (w->rig.now.boot_ms - link.began_ms > SESSION_MAX)
			wrong(w, "a session goes on for hours");
		if (!act(w, &link))
			wait_for_server(w, &link);
	}
	if (!list_is_empty(&link.loads))
		wrong(w, "a session ended before its messages were done");
	client_free(link.client);
	scheduler_gone(w->rig.scheduler, lane, link.is_ready, w->rig.now);
	rig_turn(&w->rig);
}

/* ---------------------------------------------------------------- the world */

static void arrive(struct world *w)
{
	static char body[150000];
	static const enum queue_body kinds[] = { QUEUE_BODY_7BIT, QUEUE_BODY_8BIT, QUEUE_BODY_BINARY };
	enum queue_body kind = kinds[roll(w, 3)];
	char sender[32];
	size_t head, len;

	snprintf(sender, sizeof sender, "m%zu@example.org", w->mails);
	head = (size_t)snprintf(body, sizeof body,
				"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n%s\r\n",
				kind == QUEUE_BODY_BINARY ? "Content-Transfer-Encoding: binary\r\n"
				: kind == QUEUE_BODY_8BIT ? "Content-Transfer-Encoding: 8bit\r\n"
							  : "");
	len = head + roll(w, roll(w, 8) ? 3000 : sizeof body - head);
	for (size_t i = head; i < len; i++)
		body[i] = (i - head) % 40 == 38   ? '\r'
			  : (i - head) % 40 == 39 ? '\n'
			  : (i - head) % 40 == 0  ? '.'
						  : 'x';
	w->counts[w->mails] = 1 + roll(w, 5);
	w->ids[w->mails] = rig_mail(&w->rig, (struct rig_mail){
						     .sender = sender,
						     .count = w->counts[w->mails],
						     .body = body,
						     .body_len = len,
						     .kind = kind,
						     .notify = roll(w, 2) ? QUEUE_NOTIFY_NEVER : 0,
					     });
	w->mails++;
}

/* Each recipient is in the queue or has one end. */
static void check(struct world *w)
{
	for (size_t i = 0; i < w->mails; i++) {
		unsigned ended[MISCHIEF_RCPTS] = { 0 };
		struct queue_view *view = queue_view(w->rig.queue);
		struct queue_outcome o;
		struct queue_rcpt rcpt;
		uint32_t from = 0;

		while (queue_view_history_of(view, w->ids[i], &from, &o) == QUEUE_OK) {
			ended[o.n]++;
			if (o.kind == QUEUE_DELIVERED && !w->server.took[i][o.n])
				wrong(w, "the history says delivered, the server did not take it");
		}
		for (uint32_t n = 0; n < w->counts[i]; n++) {
			bool waits = queue_view_rcpt(view, w->ids[i], n, &rcpt) == QUEUE_OK &&
				     (rcpt.state == QUEUE_RCPT_WAITING || rcpt.state == QUEUE_RCPT_DOUBTFUL);

			if (ended[n] > 1)
				wrong(w, "a recipient has two ends");
			if (waits == (ended[n] == 1))
				wrong(w, waits ? "a recipient waits and has an end" : "a recipient is lost");
		}
		queue_view_end(w->rig.queue);
	}
}

static void pass_to_next(struct world *w)
{
	struct rig *rig = &w->rig;
	int64_t at = moment_min(scheduler_deadline(rig->scheduler), settle_deadline(&rig->settle));

	at = moment_min(at, rig->bounce.again_boot_ms);
	if (rig->calendar.next_wall_ms != INT64_MAX)
		at = moment_min(at, moment_boot(rig->now, rig->calendar.next_wall_ms));
	if (at == INT64_MAX)
		wrong(w, "there is mail, and nothing will ever happen");
	w->stuck = at > rig->now.boot_ms ? 0 : w->stuck + 1;
	if (w->stuck > STUCK_MAX)
		wrong(w, "something is due, and nobody does it");
	rig_pass(rig, at > rig->now.boot_ms ? at - rig->now.boot_ms : 1);
}

/* Reports apart: one that nobody takes is kept. */
static bool has_mail(struct world *w)
{
	for (size_t i = 0; i < w->mails; i++)
		if (rig_has(&w->rig, w->ids[i]))
			return true;
	return false;
}

static void play(uint64_t seed)
{
	struct world *w = MEM_NEW(struct world);
	struct scheduler_action action;
	size_t mails;

	w->seed = seed;
	rig_open(&w->rig, CONF);
	w->chance.state = seed;
	w->server.state = ~seed;
	w->server.malice = (unsigned)(roll(w, 4) ? 5 + roll(w, 60) : 200 + roll(w, 400));
	w->server.is_lmtp = roll(w, 4) == 0;
	for (mails = 1 + roll(w, MAILS); mails; mails--)
		arrive(w);
	while (rig_turn(&w->rig), has_mail(w)) {
		if (!rig_step(&w->rig, &action)) {
			pass_to_next(w);
			continue;
		}
		assert_int_equal(action.kind, SCHEDULER_CONNECT);
		session(w, action.lane);
		check(w);
		if (w->sessions > SESSIONS_MAX)
			wrong(w, "mail does not come to its end");
	}
	check(w);
	assert_int_equal(w->rig.scheduler->flight.count, 0);
	assert_true(settle_is_idle(&w->rig.settle));
	rig_close(&w->rig);
	mischief_free(&w->server);
	mem_free(w);
}

static void every_recipient_ends_delivered_bounced_or_queued(void **state)
{
	const char *one = getenv("SEED"), *many = getenv("SEEDS");
	uint64_t seeds = many ? strtoull(many, NULL, 10) : SEEDS_USUAL;

	(void)state;
	if (one)
		play(strtoull(one, NULL, 10));
	for (uint64_t seed = 1; !one && seed <= seeds; seed++)
		play(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_recipient_ends_delivered_bounced_or_queued),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
