#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cidr.h"
#include "delivery/hop_inside.h"
#include "delivery/portal.h"
#include "delivery/refusal.h"
#include "delivery/terms.h"
#include "delivery/trouble.h"
#include "log.h"
#include "net/addr.h"
#include "smtp/ehlo.h"

enum { SENT_AT_ONCE = 128 * 1024 }; /* bytes; then others have their turn, however fast this server reads */

/* What worked when others did not. */
static void remember_way(struct hop *hop)
{
	if (hop->lane->domain && approach_story(hop->approach)[0])
		habit_worked(&hop->pool->habit, hop->lane->name, approach_host(hop->approach)->name,
			     approach_address(hop->approach), loop_now_ms(hop->pool->loop));
}

static void on_ready(struct hop *hop, bool ahead)
{
	if (!hop->is_ready) {
		hop->is_ready = true;
		if (!hop->tls[0] && approach_policy(hop->approach)->tls == CLIENT_TLS_OPPORTUNISTIC)
			hop_report_tls_failed(hop, "starttls-not-supported", "the server does not offer STARTTLS");
		remember_way(hop);
		trouble_proven(hop->pool, hop->lane, false, hop_now(hop));
		approach_forget_secret(hop->approach); /* another address will not be tried any more */
		scheduler_ready(hop->pool->scheduler, hop->lane, hop_now(hop));
	}
	hop_message_offer(hop, ahead);
	hop->pool->poke(hop->pool->arg);
}

static void start_tls(struct hop *hop)
{
	int err = conn_tls_connect(hop->conn, hop->pool->tls, &approach_policy(hop->approach)->demand);
	const char *why;

	if (!err)
		return;
	why = err == -EPROTO ? "the server sent more behind its answer to STARTTLS" : conn_error(hop->conn);
	hop_report_tls_failed(hop, "validation-failure", why);
	client_tls_failed(hop->client, span_str(why), loop_now_ms(hop->pool->loop));
}

static void on_secure(struct hop *hop)
{
	const struct tlspolicy *policy = approach_policy(hop->approach);
	uint8_t binding[TLS_BINDING_LEN];
	struct tls_facts facts;
	bool known = conn_tls_facts(hop->conn, &facts);

	if (known && terms_binding(conn_tls(hop->conn), &facts, binding))
		client_channel_binding(hop->client, binding);
	if (known) {
		tlspolicy_outcome(policy, &facts, hop->tls);
		hop_report_secure(hop, &facts);
	}
	if (known && facts.verified)
		trouble_proven(hop->pool, hop->lane, true, hop_now(hop));
	client_tls_started(hop->client, known && tlspolicy_is_proven(policy, &facts), loop_now_ms(hop->pool->loop));
}

/* A server that wants a certificate of ours says so, in TLS 1.3, only after the handshake. */
static bool has_failed_in_tls(const struct hop *hop, const struct client_failure *failure)
{
	return failure->phase == CLIENT_AT_TLS ||
	       (failure->phase == CLIENT_AT_EHLO && hop->tls[0] && failure->reply.code == 0);
}

/* Whatever goes wrong before AUTH is this address's fault; another one may do better. Opportunistic: a server that offers
 * TLS and cannot do it is as good as one that does not offer it, where nobody promised that it can. */
static bool may_try_next(struct hop *hop, const struct client_failure *failure)
{
	const struct tlspolicy *policy = approach_policy(hop->approach);

	hop->without_tls = false;
	if (failure->object != CLIENT_LANE || failure->phase >= CLIENT_AT_AUTH || hop->is_ready || hop->is_retired)
		return false;
	if (has_failed_in_tls(hop, failure) && policy->level == TLSPOLICY_OPPORTUNISTIC)
		return hop->without_tls = true;
	return approach_has_next(hop->approach);
}

/* Refused at the door for where we come from: the other family's addresses are tried first. */
static void turn_to_other_family(struct hop *hop, const struct client_failure *f)
{
	if (hop->family && f->object == CLIENT_LANE && f->phase <= CLIENT_AT_EHLO &&
	    refusal_is_of_origin(&f->reply, !hop->lane->domain) &&
	    habit_refused(&hop->pool->habit, hop->lane->name, hop->family, loop_now_ms(hop->pool->loop)))
		approach_avoid(hop->approach, hop->family);
}

/* A token may have been withdrawn before its time; the command that gives it may know of another one by now. */
static bool may_renew(struct hop *hop, const struct client_failure *f, const char *text)
{
	return f->object == CLIENT_PARKED && f->phase == CLIENT_AT_AUTH && f->reply.code == 535 && !hop->is_retired &&
	       approach_refuse(hop->approach, text);
}

/* The server's answer to EHLO was good, but where TLS is a must it went no further. */
static bool lacks_starttls(const struct hop *hop, const struct client_failure *f)
{
	const struct client_peer *peer = client_peer(hop->client);

	return f->phase == CLIENT_AT_EHLO && approach_policy(hop->approach)->tls == CLIENT_TLS_STARTTLS &&
	       peer->hello.len && !peer->tls && !(peer->extensions & EHLO_BIT(EHLO_STARTTLS));
}

/* Whose promise a server did not keep, where its own domain has given it; the configuration's needs no word here. */
static const char *broken_promise(struct hop *hop, const struct client_failure *f)
{
	enum tlspolicy_level level = approach_policy(hop->approach)->level;

	if (level == TLSPOLICY_MTA_STS && has_failed_in_tls(hop, f))
		return " (its domain's MTA-STS policy demands a proof)";
	if (f->phase != CLIENT_AT_STARTTLS && !lacks_starttls(hop, f))
		return "";
	if (level == TLSPOLICY_MTA_STS)
		return " (its domain's MTA-STS policy demands TLS)";
	return level == TLSPOLICY_DANE || level == TLSPOLICY_DANE_ENCRYPT ? " (its TLSA records demand TLS)" : "";
}

/* The peer is not who it should be, and that is the network's doing. */
static bool is_deceived(struct hop *hop, const struct client_failure *f, const char *text)
{
	uint8_t literal[16];
	struct portal_signs signs = {
		.phase = f->phase,
		.code = f->reply.code,
		.is_gibberish = span_starts_fold(f->reply.text, SPAN("the server sent something that is not a reply")),
		.in_tls = has_failed_in_tls(hop, f),
		.reason = hop->conn ? conn_tls_failure(hop->conn) : TLS_FAILURE_NONE,
		.has_name = !cidr_address(span_str(approach_host(hop->approach)->name), literal),
		.address = approach_address(hop->approach)->addr,
	};

	return f->object == CLIENT_LANE && !hop->is_ready && !hop->host->proxy.host && portal_is_likely(&signs) &&
	       trouble_deceived(hop->pool, hop->lane, text, hop_now(hop));
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
	size_t reply_at;

	turn_to_other_family(hop, f);
	hop->tries_next = may_try_next(hop, f);
	buf_init(&text, 2048);
	buf_printf(&text, "%s: %s: ", hop->peer, client_phase_name(f->phase));
	reply_at = text.len;
	reply_print(&f->reply, &text);
	if (f->phase == CLIENT_AT_STARTTLS || lacks_starttls(hop, f))
		hop_report_tls_failed(hop, "starttls-not-supported", buf_cstr(&text) + reply_at);
	buf_append_str(&text, broken_promise(hop, f));
	failure.text = buf_cstr(&text);
	if (f->object == CLIENT_LANE && !hop->is_ready) {
		approach_note(hop->approach, failure.text);
		failure.text = hop->tries_next ? failure.text : approach_story(hop->approach);
	}
	hop->renews = may_renew(hop, f, failure.text);
	if (hop->renews)
		log_event(LOG_LEVEL_INFO, "token-refused", LOG_TEXT("lane", hop->lane->name),
			  LOG_TEXT("error", failure.text));
	else if (hop->tries_next)
		log_event(LOG_LEVEL_INFO, "next-address", LOG_TEXT("lane", hop->lane->name),
			  LOG_TEXT("error", failure.text));
	else if (!is_deceived(hop, f, failure.text))
		trouble_failed(hop->pool, hop->lane, &failure, hop->is_ready, hop_now(hop));
	buf_fini(&text);
}

static void end_session(struct hop *hop)
{
	hop_message_stop_looking(hop);
	if (hop->conn && hop->is_dead)
		conn_free(hop->conn);
	else if (hop->conn)
		conn_finish(hop->conn, HOP_LINGER_MS);
	hop->conn = NULL;
	client_free(hop->client);
	hop->client = NULL;
	assert(list_is_empty(&hop->loads));
	if (hop->renews && !hop->pool->is_stopping) {
		hop->renews = hop->is_dead = hop->is_late = false;
		approach_renew(hop->approach);
		return;
	}
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
	case CLIENT_WANT_BODY: hop_message_body(hop, action->message->cookie); break;
	case CLIENT_RCPT_RESULT: hop_message_result(hop, &action->result); break;
	case CLIENT_MESSAGE_DONE: hop_message_done(hop, action->message->cookie); break;
	case CLIENT_FAILED: on_failed(hop, action); break;
	case CLIENT_WAIT:
	case CLIENT_CLOSE: break;
	}
}

void hop_session_pump(struct hop *hop)
{
	struct client_action action = { .kind = CLIENT_WAIT };
	size_t sent = 0;

	if (!hop->client)
		return;
	/* The engine's pieces are smaller than what an output buffer that is not full takes. */
	while (hop->is_dead || hop->is_late || (!conn_is_full(hop->conn) && sent < SENT_AT_ONCE)) {
		client_step(hop->client, loop_now_ms(hop->pool->loop), &action);
		if (action.kind == CLIENT_WAIT || action.kind == CLIENT_CLOSE)
			break;
		sent += action.kind == CLIENT_SEND ? action.data.len : 0;
		act(hop, &action);
	}
	if (sent >= SENT_AT_ONCE)
		loop_task_post(&hop->task);
	if (action.kind == CLIENT_CLOSE) {
		act(hop, &action);
		hop_place(hop, HOP_NOWHERE);
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
		if (conn_failed_in_tls(hop->conn) && !hop->tls[0]) {
			hop_report_tls_failed(hop, tls_failure_report(conn_tls_failure(hop->conn)),
					      conn_error(hop->conn));
			client_tls_failed(hop->client, span_str(conn_error(hop->conn)), now_ms);
		} else
			client_eof(hop->client, span_str(conn_error(hop->conn)), now_ms);
		break;
	case CONN_DEADLINE: hop->is_late = true; break; /* also when it takes no more output */
	case CONN_DRAINED:
	case CONN_FLUSHED:
	case CONN_PROXIED: break;
	}
	hop_session_pump(hop);
}

/* "mx1.example.org [192.0.2.1]"; behind a proxy nobody knows which address it is. */
static void name_peer(struct hop *hop)
{
	const char *name = approach_host(hop->approach)->name, *address = conn_peer_host(hop->conn);
	const struct config_proxy *proxy = &hop->host->proxy;
	const struct dns_address *at = approach_address(hop->approach);

	hop->family = proxy->host ? 0 : at->addr.ss_family;
	if (hop->family != AF_INET && hop->family != AF_INET6)
		hop->family = 0;
	hop->is_last_resort = hop->family && habit_avoids(&hop->pool->habit, hop->lane->name,
							  loop_now_ms(hop->pool->loop)) == hop->family;
	if (proxy->host)
		snprintf(hop->peer, sizeof hop->peer, "%s via %s:%u", name, proxy->host, proxy->port);
	else if (address[0])
		snprintf(hop->peer, sizeof hop->peer, "%s [%s]", name, address);
	else
		snprintf(hop->peer, sizeof hop->peer, "%s", name);
}

void hop_session_start(struct hop *hop, int fd)
{
	const struct tlspolicy *policy = approach_policy(hop->approach);
	struct conn_config conn = { .loop = hop->pool->loop, .event = on_event, .arg = hop };
	struct client_config config = terms_session(hop->host);

	config.ehlo_name = hop->config->hostname;
	config.secret = approach_secret(hop->approach);
	config.pipelining = config.pipeline_next = !hop->lane->no_pipelining;
	config.relay = !hop->lane->domain;
	config.tls = policy->tls;
	config.tls_unproven = policy->is_unproven;
	hop->conn = conn_new(&conn, fd);
	hop->tls[0] = '\0';
	hop->is_tls_noted = false;
	name_peer(hop);
	hop->client = client_new(&config, loop_now_ms(hop->pool->loop));
	hop_session_pump(hop);
}
