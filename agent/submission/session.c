#include "submission/session.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "log.h"
#include "smtp/address.h"
#include "submission/intake.h"

enum {
	INPUT_MAX = 64 * 1024,
	OUTPUT_MAX = 64 * 1024,
	HELD_MAX = INPUT_MAX + OUTPUT_MAX, /* of one action */
	LINGER_MS = 5000,
	TLS_HANDSHAKE_MS = 30000,
};

struct session {
	struct list node;
	struct session_shared *shared;
	struct session_policy *policy;
	struct conn *conn;
	struct server *engine;
	struct intake *intake;
	struct trust_submitter submitter;
	char client[80]; /* whose connections are counted */
	char origin[128];
	char peer[80]; /* "[192.0.2.7]" for the trace; "" for this machine's own programs */
	char tls[96];
	bool is_tcp;
	bool is_counted; /* in limits */
	bool is_shaking; /* the TLS handshake is under way: the engine is not to be asked meanwhile */
	bool is_stalled; /* the queue or the peer's window is full: an action waits to be done again */
	int64_t stalled_ms;
	struct server_action action; /* the one that waits */
	struct buf held;             /* its bytes: the connection's do not outlive the call */
	struct span rest;            /* input not taken yet, during run() */
	size_t unread;               /* length of the input when rest was taken from it */
};

/* ---------------------------------------------------------------- policy */

static void set_limits(struct server_config *server, const struct config *config)
{
	server->hostname = config->hostname;
	server->max_size_bytes = config->queue.max_message_bytes;
	server->max_recipients = config->limits.recipients;
	server->max_errors = config->limits.errors;
	server->command_timeout_ms = config->limits.command_timeout_ms;
	server->data_timeout_ms = config->limits.data_timeout_ms;
	server->session_timeout_ms = config->limits.session_timeout_ms;
}

struct session_policy *session_policy_new(struct config *config, const struct config_listener *listener, char *why,
					  size_t why_size)
{
	struct session_policy *policy = MEM_NEW(struct session_policy);

	policy->references = 1;
	policy->config = config_ref(config);
	policy->listener = listener;
	if (listener->tls != CONFIG_TLS_NONE &&
	    tls_server_new(listener->certificate, listener->key, &policy->tls, why, why_size) != 0) {
		session_policy_unref(policy);
		return NULL;
	}
	policy->trust = trust_new(&config->trust);
	set_limits(&policy->server, config);
	policy->server.features = SERVER_PLAIN;
	if (listener->tls == CONFIG_TLS_STARTTLS)
		policy->server.features |= SERVER_STARTTLS;
	policy->server.newline =
		listener->bare_newline == CONFIG_BARE_REFUSE ? SERVER_NEWLINE_REFUSE : SERVER_NEWLINE_NORMALIZE;
	policy->server.allow_bare_local_parts = true;
	policy->server.ask_mail = true;
	return policy;
}

struct session_policy *session_policy_ref(struct session_policy *policy)
{
	policy->references++;
	return policy;
}

void session_policy_unref(struct session_policy *policy)
{
	if (!policy || --policy->references > 0)
		return;
	trust_free(policy->trust);
	tls_server_free(policy->tls);
	config_unref(policy->config);
	mem_free(policy);
}

/* ---------------------------------------------------------------- end of a session */

static void session_free(struct session *s)
{
	struct session_shared *shared = s->shared;

	conn_free(s->conn);
	server_free(s->engine);
	intake_abandon(s->intake);
	buf_fini(&s->held);
	if (s->is_counted)
		limits_close(shared->limits, s->client);
	list_remove(&s->node);
	shared->count--;
	shared->tcp_count -= s->is_tcp;
	session_policy_unref(s->policy);
	mem_free(s);
	shared->gone(shared->arg);
}

static void session_finish(struct session *s)
{
	struct conn *conn = s->conn;

	s->conn = NULL;
	conn_finish(conn, LINGER_MS);
	session_free(s);
}

/* ---------------------------------------------------------------- actions */

static struct intake_session describe(const struct session *s)
{
	return (struct intake_session){
		.queue = s->shared->queue,
		.config = s->policy->config,
		.routes = s->shared->config,
		.submitter = &s->submitter,
		.origin = s->origin,
		/* A local program's mail goes out without a trace of who and where inside this machine. */
		.peer = s->peer[0] ? s->peer : NULL,
		.helo = s->peer[0] ? server_helo(s->engine) : NULL,
		.protocol = server_protocol(s->engine),
		.tls = s->tls[0] ? s->tls : NULL,
	};
}

static void ask_mail(struct session *s)
{
	const struct config *config = s->policy->config;
	int64_t wait_ms;
	enum queue_err err;

	if (s->shared->is_closed) {
		server_refuse(s->engine, (struct server_reply){ 421, "4.3.2", "no new mail is taken just now" });
		return;
	}
	err = queue_admit(s->shared->queue, server_envelope(s->engine)->declared_bytes);
	if (err != QUEUE_OK) {
		server_refuse(s->engine, intake_reply(err));
		return;
	}
	wait_ms =
		limits_take(s->shared->limits, s->submitter.name, config->trust.max_rate, loop_now_ms(s->shared->loop));
	if (wait_ms > 0) {
		char duration[TEXT_DURATION_SIZE], text[160];

		snprintf(text, sizeof(text), "%s sends more than trust.max_rate allows; try again in %s",
			 s->submitter.name, text_duration_print(wait_ms + 999, duration));
		server_refuse(s->engine, (struct server_reply){ 451, "4.7.1", text });
		return;
	}
	server_accept(s->engine, NULL);
}

/* False: the action has to be done again later. */
static bool do_body(struct session *s)
{
	struct intake_session about = describe(s);
	struct server_reply reply;

	switch (intake_body(s->intake, &about, server_envelope(s->engine), loop_wall_ms(s->shared->loop),
			    s->action.bytes, &reply)) {
	case INTAKE_BUSY: return false;
	case INTAKE_REFUSED: server_fail_body(s->engine, reply); return true;
	case INTAKE_OK: break;
	}
	return true;
}

static bool do_store(struct session *s)
{
	struct intake_session about = describe(s);
	struct server_reply reply;

	switch (intake_store(s->intake, &about, server_envelope(s->engine), loop_wall_ms(s->shared->loop), &reply)) {
	case INTAKE_BUSY: return false;
	case INTAKE_REFUSED: server_refuse(s->engine, reply); return true;
	case INTAKE_OK: break;
	}
	return true;
}

static bool start_tls(struct session *s)
{
	if (conn_tls_accept(s->conn, s->policy->tls) != 0)
		return false;
	s->is_shaking = true;
	conn_deadline(s->conn, loop_now_ms(s->shared->loop) + TLS_HANDSHAKE_MS);
	return true;
}

/* ---------------------------------------------------------------- the turn of a session */

enum after { AFTER_GO_ON, AFTER_WAIT, AFTER_STALL, AFTER_END };

static enum after do_action(struct session *s)
{
	switch (s->action.kind) {
	case SERVER_NEED: return AFTER_WAIT;
	case SERVER_SEND:
		return conn_write(s->conn, s->action.bytes.data, s->action.bytes.len) ? AFTER_GO_ON : AFTER_STALL;
	case SERVER_ASK_MAIL: ask_mail(s); return AFTER_GO_ON;
	case SERVER_ASK_RCPT: server_accept(s->engine, NULL); return AFTER_GO_ON;
	case SERVER_ASK_AUTH: /* not offered */
		server_refuse(s->engine, (struct server_reply){ 504, "5.5.4", "AUTH is not available here" });
		return AFTER_GO_ON;
	case SERVER_BODY: return do_body(s) ? AFTER_GO_ON : AFTER_STALL;
	case SERVER_STORE: return do_store(s) ? AFTER_GO_ON : AFTER_STALL;
	case SERVER_ABORT: intake_drop(s->intake); return AFTER_GO_ON;
	case SERVER_START_TLS: return AFTER_WAIT; /* by run(), when the input has been given back */
	case SERVER_CLOSE: return AFTER_END;
	}
	return AFTER_END;
}

static void take_input(struct session *s)
{
	s->rest = conn_input(s->conn);
	s->unread = s->rest.len;
}

static void give_back(struct session *s)
{
	conn_consume(s->conn, s->unread - s->rest.len);
}

/* The action is kept with its bytes, and nothing is read until it could be done. The queue always answers; a peer
 * that does not read its replies is given as long as for a command. */
static void stall(struct session *s)
{
	int64_t patience_ms = s->policy->server.command_timeout_ms;
	bool is_ours = s->action.kind != SERVER_SEND;

	give_back(s);
	s->is_stalled = true;
	s->stalled_ms = loop_now_ms(s->shared->loop);
	if (s->action.kind == SERVER_BODY || s->action.kind == SERVER_SEND) {
		buf_append_span(&s->held, s->action.bytes);
		s->action.bytes = buf_span(&s->held);
	}
	conn_read(s->conn, false);
	conn_deadline(s->conn, is_ours || patience_ms <= 0 ? INT64_MAX : s->stalled_ms + patience_ms);
}

static void unstall(struct session *s)
{
	s->is_stalled = false;
	buf_release(&s->held);
	if (s->action.kind != SERVER_SEND)
		server_held_up(s->engine, loop_now_ms(s->shared->loop) - s->stalled_ms);
	conn_read(s->conn, true);
	take_input(s);
}

static void run(struct session *s)
{
	enum after after;

	if (s->is_shaking)
		return;
	if (s->is_stalled) {
		after = do_action(s);
		if (after == AFTER_STALL)
			return;
		unstall(s);
	} else {
		after = AFTER_GO_ON;
		take_input(s);
	}
	while (after == AFTER_GO_ON) {
		server_step(s->engine, loop_now_ms(s->shared->loop), &s->rest, &s->action);
		after = do_action(s);
	}
	if (after == AFTER_STALL) {
		stall(s);
		return;
	}
	give_back(s);
	if (after == AFTER_END) {
		session_finish(s);
	} else if (s->action.kind == SERVER_START_TLS) {
		if (!start_tls(s))
			session_finish(s);
	} else {
		conn_deadline(s->conn, server_deadline(s->engine));
	}
}

static void on_stored(void *arg, enum queue_err err, uint64_t id)
{
	struct session *s = arg;
	char text[32 + TEXT_ID_SIZE], id_text[TEXT_ID_SIZE];
	const struct server_envelope *envelope = server_envelope(s->engine);
	const char *sender = envelope->sender;
	char full[ADDRESS_SIZE + 256];

	if (err != QUEUE_OK) {
		log_event(LOG_LEVEL_WARNING, "refused", LOG_TEXT("from", sender),
			  LOG_TEXT("submitter", s->submitter.name), LOG_TEXT("reason", queue_err_text(err)));
		server_refuse(s->engine, intake_reply(err));
	} else {
		s->shared->accepted++;
		/* As the queue has it, and every later record of this message. */
		if (sender[0] && address_domain(span_str(sender)).len == 0)
			snprintf(full, sizeof full, "%s@%s", sender, s->policy->config->hostname);
		else
			snprintf(full, sizeof full, "%s", sender);
		log_event(LOG_LEVEL_INFO, "accepted", LOG_ID(id), LOG_TEXT("from", full),
			  LOG_NUM("recipients", envelope->rcpt_count), LOG_NUM("size", envelope->body_bytes),
			  LOG_TEXT("submitter", s->submitter.name), LOG_TEXT("origin", s->origin));
		snprintf(text, sizeof(text), "queued as %s", text_id_print(id, id_text));
		server_accept(s->engine, text);
	}
	run(s);
}

static void on_ready(void *arg)
{
	run(arg);
}

/* ---------------------------------------------------------------- begin and events */

static void on_secure(struct session *s)
{
	struct tls_facts facts;

	s->is_shaking = false;
	if (conn_tls_facts(s->conn, &facts))
		snprintf(s->tls, sizeof(s->tls), "%s %s", facts.version, facts.cipher);
	if (s->engine)
		server_tls_started(s->engine);
	else
		s->engine = server_new(&s->policy->server, true, loop_now_ms(s->shared->loop));
	run(s);
}

static void on_event(void *arg, enum conn_event event)
{
	struct session *s = arg;

	switch (event) {
	case CONN_INPUT:
		if (s->engine && !s->is_stalled)
			run(s);
		return;
	case CONN_DRAINED:
	case CONN_FLUSHED: run(s); return;
	case CONN_PROXIED: return;
	case CONN_SECURE: on_secure(s); return;
	case CONN_EOF:
		if (s->is_shaking) {
			session_free(s);
			return;
		}
		server_peer_closed(s->engine);
		run(s);
		return;
	case CONN_DEADLINE:
		if (s->is_shaking || s->is_stalled)
			session_free(s); /* no handshake in time, or our replies are not read */
		else
			run(s);
		return;
	case CONN_FAILED:
		log_event(LOG_LEVEL_DEBUG, "lost", LOG_TEXT("client", s->origin),
			  LOG_TEXT("reason", conn_error(s->conn)),
			  LOG_TEXT("while", s->engine ? server_doing(s->engine) : "in the TLS handshake"));
		session_free(s);
		return;
	}
}

/* NULL: welcome; else what to say. */
static const struct server_reply *judge(struct session *s, char *why, size_t why_size, struct server_reply *reply)
{
	const struct config_limits *limits = &s->policy->config->limits;
	/* Local sockets keep a reserve, so that a flood over TCP cannot lock this machine's own programs out. */
	uint32_t most = limits->connections, reserve = most / 10;
	struct trust_peer peer = { .is_unix = !s->is_tcp,
				   .is_loopback = conn_is_loopback(s->conn),
				   .host = conn_peer_host(s->conn) };
	gid_t gid;

	peer.has_uid = conn_peer_user(s->conn, &peer.uid, &gid);
	if (!trust_judge(s->policy->trust, &peer, &s->submitter, why, why_size)) {
		*reply = (struct server_reply){ 554, "5.7.1", why };
		return reply;
	}
	snprintf(s->client, sizeof(s->client), "%s", peer.has_uid ? s->submitter.name : peer.host);
	if (s->is_tcp && most && s->shared->tcp_count > most - reserve)
		*reply = (struct server_reply){ 421, "4.7.0", "too many connections (limits.connections)" };
	else if (!s->is_tcp && most && s->shared->count > most)
		*reply = (struct server_reply){ 421, "4.7.0", "too many connections (limits.connections)" };
	else if (!limits_open(s->shared->limits, s->client, limits->connections_per_client,
			      loop_now_ms(s->shared->loop)))
		*reply = (struct server_reply){ 421, "4.7.0",
						"too many connections of yours (limits.connections_per_client)" };
	else {
		s->is_counted = true;
		return NULL;
	}
	return reply;
}

static void begin(struct session *s)
{
	char why[200];
	struct server_reply reply;
	const struct server_reply *away = judge(s, why, sizeof(why), &reply);

	snprintf(s->origin, sizeof(s->origin), "%s %s", s->policy->listener->name, conn_peer(s->conn));
	if (s->is_tcp && !conn_is_loopback(s->conn))
		snprintf(s->peer, sizeof(s->peer), strchr(conn_peer_host(s->conn), ':') ? "[IPv6:%s]" : "[%s]",
			 conn_peer_host(s->conn));
	if (away)
		log_event(LOG_LEVEL_NOTICE, "turned-away", LOG_TEXT("client", s->origin),
			  LOG_TEXT("reason", away->text));
	if (s->policy->listener->tls == CONFIG_TLS_IMPLICIT) {
		if (away || !start_tls(s))
			session_free(s); /* nothing can be said before the handshake, and none is owed */
		return;
	}
	s->engine = server_new(&s->policy->server, false, loop_now_ms(s->shared->loop));
	if (away)
		server_turn_away(s->engine, *away);
	else if (s->shared->is_closed)
		server_turn_away(s->engine, (struct server_reply){ 421, "4.3.2", "no new mail is taken just now" });
	run(s);
}

void session_start(struct session_shared *shared, struct session_policy *policy, int fd)
{
	struct session *s = MEM_NEW(struct session);

	s->shared = shared;
	s->policy = session_policy_ref(policy);
	buf_init(&s->held, HELD_MAX);
	s->conn = conn_new(&(struct conn_config){ .loop = shared->loop,
						  .input_max = INPUT_MAX,
						  .output_max = OUTPUT_MAX,
						  .event = on_event,
						  .arg = s },
			   fd);
	s->intake = intake_new(on_ready, on_stored, s);
	s->is_tcp = conn_peer_host(s->conn)[0] != '\0';
	list_append(&shared->sessions, &s->node);
	shared->count++;
	shared->tcp_count += s->is_tcp;
	begin(s);
}

void session_shut_down_all(struct session_shared *shared)
{
	for (struct list *node = list_first(&shared->sessions), *next; node; node = next) {
		struct session *s = LIST_ENTRY(node, struct session, node);

		next = list_next(&shared->sessions, node);
		if (s->is_shaking) {
			session_free(s);
			continue;
		}
		server_shut_down(s->engine);
		run(s);
	}
}

void session_free_all(struct session_shared *shared)
{
	while (!list_is_empty(&shared->sessions))
		session_free(LIST_ENTRY(list_first(&shared->sessions), struct session, node));
}
