#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "log.h"
#include "submission/session_inside.h"

enum {
	INPUT_MAX = 64 * 1024,
	OUTPUT_MAX = 64 * 1024,
	HELD_MAX = INPUT_MAX + OUTPUT_MAX, /* of one action */
	LINGER_MS = 5000,
	TLS_HANDSHAKE_MS = 30000,
	PROXY_HEADER_MS = 10000,
	NAMES_ERRORS_MAX = 64 * 1024,
	/* Recipients looked up in a turn, and its length: each may be an alias of a thousand, and others wait meanwhile. */
	RCPTS = 16,
	TURN_MS = 5,
};

/* ---------------------------------------------------------------- end of a session */

static void session_free(struct session *s)
{
	struct session_shared *shared = s->shared;

	conn_free(s->conn);
	loop_timer_stop(&s->timer);
	login_cancel(s->login);
	session_mail_forget(s);
	server_free(s->engine);
	intake_abandon(s->intake);
	buf_fini(&s->held);
	if (s->client)
		limits_close(shared->limits, s->client);
	caller_fini(&s->caller);
	mem_free(s->client);
	mem_free(s->tls);
	list_remove(&s->node);
	shared->count--;
	shared->tcp_count -= s->is_tcp;
	policy_unref(s->policy);
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

static void run(struct session *s);

/* ---------------------------------------------------------------- actions */

/* What is wrong with the aliases is told when it is found, and again when it has changed. */
void session_refresh_names(struct session_shared *shared)
{
	struct buf errors;

	buf_init(&errors, NAMES_ERRORS_MAX);
	if (names_refresh(shared->names, shared->config, loop_now_ms(shared->loop), &errors)) {
		for (struct span rest = buf_span(&errors); rest.len;) {
			struct span line = span_first(rest, span_find(rest, '\n'));
			char text[512];

			rest = span_from(rest, line.len + 1);
			snprintf(text, sizeof(text), "%.*s", SPAN_ARGS(span_first(line, sizeof(text) - 1)));
			log_event(LOG_LEVEL_WARNING, "aliases", LOG_TEXT("error", text));
		}
	}
	buf_fini(&errors);
}

/* Certificates are renewed while sessions go on: each new one begins with those that are there. */
static void refresh_tls(struct session *s)
{
	char why[300];

	switch (tls_server_refresh(s->policy->tls, loop_now_ms(s->shared->loop), why, sizeof(why))) {
	case TLS_SAME: break;
	case TLS_RENEWED:
		log_event(LOG_LEVEL_NOTICE, "certificate-renewed", LOG_TEXT("listener", s->policy->listener->name));
		break;
	case TLS_KEPT:
		log_event(LOG_LEVEL_WARNING, "certificate-kept", LOG_TEXT("listener", s->policy->listener->name),
			  LOG_TEXT("error", why));
		break;
	}
}

static void on_login(void *arg)
{
	struct session *s = arg;

	s->login = NULL;
	run(s);
}

static void ask_auth(struct session *s)
{
	struct login_asker asker = {
		.listener = s->policy->listener, .source = s->client, .ready = on_login, .arg = s
	};

	s->login = login_ask(s->shared->logins, &asker, s->engine, s->action.auth);
}

static bool start_tls(struct session *s)
{
	refresh_tls(s);
	if (conn_tls_accept(s->conn, s->policy->tls) != 0)
		return false;
	s->is_shaking = true;
	conn_deadline(s->conn, loop_now_ms(s->shared->loop) + TLS_HANDSHAKE_MS);
	return true;
}

/* ---------------------------------------------------------------- the turn of a session */

enum after { AFTER_GO_ON, AFTER_WAIT, AFTER_STALL, AFTER_END };

static void on_turn(struct loop_timer *timer)
{
	run(LIST_ENTRY(timer, struct session, timer));
}

static enum after do_action(struct session *s)
{
	switch (s->action.kind) {
	case SERVER_NEED: return AFTER_WAIT;
	case SERVER_SEND:
		return conn_write(s->conn, s->action.bytes.data, s->action.bytes.len) ? AFTER_GO_ON : AFTER_STALL;
	case SERVER_ASK_MAIL: session_mail_sender(s); return AFTER_GO_ON;
	case SERVER_ASK_RCPT: session_mail_rcpt(s); return AFTER_GO_ON;
	case SERVER_ASK_AUTH: ask_auth(s); return AFTER_GO_ON;
	case SERVER_BODY: return session_mail_body(s) ? AFTER_GO_ON : AFTER_STALL;
	case SERVER_STORE: return session_mail_store(s) ? AFTER_GO_ON : AFTER_STALL;
	case SERVER_ABORT:
		intake_drop(s->intake);
		session_mail_forget(s);
		return AFTER_GO_ON;
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

static bool is_long_enough(const struct session *s, int rcpts)
{
	return rcpts == RCPTS || clock_boot_ms() - loop_now_ms(s->shared->loop) >= TURN_MS;
}

static void run(struct session *s)
{
	enum after after;
	int rcpts = 0;

	if (s->is_shaking || !s->engine)
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
	server_wall_clock(s->engine, loop_now_ms(s->shared->loop), loop_wall_ms(s->shared->loop));
	while (after == AFTER_GO_ON) {
		server_step(s->engine, loop_now_ms(s->shared->loop), &s->rest, &s->action);
		after = do_action(s);
		if (s->action.kind == SERVER_ASK_RCPT && is_long_enough(s, ++rcpts)) {
			loop_timer_in(&s->timer, 0);
			break;
		}
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

static void on_stored(void *arg, const struct intake_result *result)
{
	session_mail_stored(arg, result);
	run(arg);
}

static void on_ready(void *arg)
{
	run(arg);
}

/* ---------------------------------------------------------------- begin and events */

static void greet(struct session *s);
static void welcome(struct session *s);

/* What the connection proves, before the first step and again behind the handshake. */
static void tell_engine(struct session *s)
{
	uint8_t binding[TLS_BINDING_LEN];
	bool is_bound = conn_is_tls(s->conn) && tls_channel_binding(conn_tls(s->conn), binding);

	server_know(s->engine,
		    &(struct server_facts){ .is_local = !s->is_tcp || conn_is_loopback(s->conn),
					    .mechanisms = login_mechanisms_now(s->shared->logins, s->policy->listener),
					    .user = s->caller.certificate,
					    .binding = span_of(binding, is_bound ? sizeof(binding) : 0) });
}

static void on_secure(struct session *s)
{
	struct tls_facts facts;

	s->is_shaking = false;
	if (conn_tls_facts(s->conn, &facts)) {
		s->tls = mem_printf("%s %s", facts.version, facts.cipher);
		if (facts.user[0])
			s->caller.certificate = mem_strdup(facts.user);
	}
	if (s->engine)
		server_tls_started(s->engine);
	else
		greet(s);
	tell_engine(s);
	run(s);
}

static void turned_away(const struct session *s, const char *why)
{
	char origin[SESSION_MAIL_ORIGIN_SIZE];

	session_mail_origin(s, origin, sizeof(origin));
	log_event(LOG_LEVEL_NOTICE, "turned-away", LOG_TEXT("client", origin), LOG_TEXT("reason", why));
}

/* Before it is known who calls, nothing can be said, and none is owed. */
static void end_early(struct session *s, const char *why)
{
	turned_away(s, why);
	session_free(s);
}

static void on_failed(struct session *s)
{
	char origin[SESSION_MAIL_ORIGIN_SIZE];

	if (s->is_expecting) {
		end_early(s, conn_error(s->conn));
		return;
	}
	if (conn_failed_by_certificate(s->conn))
		turned_away(s, conn_error(s->conn));
	session_mail_origin(s, origin, sizeof(origin));
	log_event(LOG_LEVEL_DEBUG, "lost", LOG_TEXT("client", origin), LOG_TEXT("reason", conn_error(s->conn)),
		  LOG_TEXT("while", s->engine ? server_doing(s->engine) : "in the TLS handshake"));
	session_free(s);
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
	case CONN_SECURE: on_secure(s); return;
	case CONN_PROXIED:
		s->is_expecting = false;
		welcome(s);
		return;
	case CONN_EOF:
		if (s->is_shaking) {
			session_free(s);
			return;
		}
		server_peer_closed(s->engine);
		run(s);
		return;
	case CONN_DEADLINE:
		if (s->is_expecting)
			end_early(s, "no PROXY header came in time");
		else if (s->is_shaking || s->is_stalled)
			session_free(s); /* no handshake in time, or our replies are not read */
		else
			run(s);
		return;
	case CONN_FAILED: on_failed(s); return;
	}
}

/* ---------------------------------------------------------------- begin */

/* Local sockets keep a reserve, so that a flood over TCP cannot lock this machine's own programs out. */
static bool is_full(const struct session *s)
{
	uint32_t most = s->policy->config->limits.connections;

	if (most == 0)
		return false;
	return s->is_tcp ? s->shared->tcp_count > most - most / 10 : s->shared->count > most;
}

static bool count_client(struct session *s)
{
	const struct config_limits *limits = &s->policy->config->limits;
	char name[TRUST_NAME_SIZE];
	struct who who;

	caller_who(&s->caller, "", &who, name);
	if (!limits_open(s->shared->limits, s->caller.has_uid ? name : who.host, limits->connections_per_client,
			 loop_now_ms(s->shared->loop)))
		return false;
	s->client = mem_strdup(s->caller.has_uid ? name : who.host);
	return true;
}

/* True: welcome; else what to say. */
static bool judge(struct session *s, char *why, size_t why_size, struct server_reply *out_reply)
{
	s->is_trusted = caller_is_trusted(&s->caller, &s->policy->config->trust, why, why_size);
	if (!s->is_trusted && !policy_takes_proofs(s->policy))
		*out_reply = (struct server_reply){ 554, "5.7.1", why };
	else if (is_full(s))
		*out_reply = (struct server_reply){ 421, "4.7.0", "too many connections (limits.connections)" };
	else if (!count_client(s))
		*out_reply = (struct server_reply){ 421, "4.7.0",
						    "too many connections of yours (limits.connections_per_client)" };
	else
		return true;
	return false;
}

static void greet(struct session *s)
{
	const struct policy *policy = s->policy;

	s->engine = server_new(s->is_trusted ? &policy->server : &policy->strangers, conn_is_tls(s->conn),
			       loop_now_ms(s->shared->loop));
}

/* The peer is known. */
static void welcome(struct session *s)
{
	char why[256];
	struct server_reply reply;
	bool is_welcome;

	caller_init(&s->caller, s->conn, s->policy->listener);
	is_welcome = judge(s, why, sizeof(why), &reply);
	if (!is_welcome)
		turned_away(s, reply.text);
	if (s->policy->listener->tls == CONFIG_TLS_IMPLICIT) {
		if (!is_welcome || !start_tls(s))
			session_free(s); /* nothing can be said before the handshake, and none is owed */
		return;
	}
	greet(s);
	tell_engine(s);
	if (!is_welcome)
		server_turn_away(s->engine, reply);
	else if (s->shared->is_closed)
		server_turn_away(s->engine, (struct server_reply){ 421, "4.3.2", "no new mail is taken just now" });
	run(s);
}

/* A proxy that is not listed could name anybody, and one that is listed must name somebody. */
static void expect_proxy(struct session *s)
{
	struct who who;

	who_init(&who, s->policy->listener->name, conn_peer_host(s->conn), NULL);
	if (!s->is_tcp || !who_has_network(&s->policy->listener->proxy, &who)) {
		end_early(s, "not one of the proxies of this listener");
	} else if (is_full(s)) {
		end_early(s, "too many connections (limits.connections)");
	} else {
		s->is_expecting = true;
		conn_expect_proxy(s->conn);
		conn_deadline(s->conn, loop_now_ms(s->shared->loop) + PROXY_HEADER_MS);
	}
}

void session_start(struct session_shared *shared, struct policy *policy, int fd)
{
	struct session *s = MEM_NEW(struct session);

	s->shared = shared;
	s->policy = policy_ref(policy);
	buf_init(&s->held, HELD_MAX);
	s->conn = conn_new(&(struct conn_config){ .loop = shared->loop,
						  .input_max = INPUT_MAX,
						  .output_max = OUTPUT_MAX,
						  .event = on_event,
						  .arg = s },
			   fd);
	s->intake = intake_new(on_ready, on_stored, s);
	loop_timer_init(&s->timer, shared->loop, on_turn);
	s->is_tcp = conn_peer_host(s->conn)[0] != '\0';
	list_append(&shared->sessions, &s->node);
	shared->count++;
	shared->tcp_count += s->is_tcp;
	if (policy->listener->proxy.count)
		expect_proxy(s);
	else
		welcome(s);
}

void session_shut_down_all(struct session_shared *shared)
{
	for (struct list *node = list_first(&shared->sessions), *next; node; node = next) {
		struct session *s = LIST_ENTRY(node, struct session, node);

		next = list_next(&shared->sessions, node);
		if (!s->engine || s->is_shaking) {
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
