#include "base/mem.h"
#include "base/text.h"
#include "log.h"
#include "submission/session_inside.h"

/* All that is known of a session, for the calls of the intake. Who sends is made out at MAIL, and stays until the message
 * is over: only there can it change (AUTH, STARTTLS), or what the system says of a user. */
struct session_about {
	struct who who;
	char name[TRUST_NAME_SIZE];
	char origin[SESSION_MAIL_ORIGIN_SIZE];
	struct intake_session session;
};

void session_mail_origin(const struct session *s, char *out, size_t size)
{
	text_join(out, size, s->policy->listener->name, " ", conn_peer(s->conn), NULL);
}

void session_mail_forget(struct session *s)
{
	mem_free(s->about);
	s->about = NULL;
}

static const struct session_about *describe(struct session *s)
{
	const char *helo = server_helo(s->engine);
	struct session_about *about = s->about;

	if (!about) {
		about = s->about = mem_alloc(sizeof(*about));
		caller_who(&s->caller, server_user(s->engine), &about->who, about->name);
		session_mail_origin(s, about->origin, sizeof(about->origin));
	}
	about->session = (struct intake_session){
		.queue = s->shared->queue,
		.config = s->policy->config,
		.routes = s->shared->config,
		.aliases = names_aliases(s->shared->names),
		.limits = s->shared->limits,
		.who = &about->who,
		.submitter = about->name,
		.origin = about->origin,
		.helo = helo[0] ? helo : NULL,
		.protocol = server_protocol(s->engine),
		.tls = s->tls,
		.now_ms = loop_now_ms(s->shared->loop),
		.wall_ms = loop_wall_ms(s->shared->loop),
	};
	return about;
}

static void log_refusal(const struct session *s, const struct session_about *about, const char *recipient,
			const struct server_reply *reply)
{
	const char *sender = server_envelope(s->engine)->sender;

	if (recipient)
		log_event(LOG_LEVEL_NOTICE, "refused", LOG_TEXT("from", sender ? sender : ""),
			  LOG_TEXT("to", recipient), LOG_TEXT("submitter", about->name),
			  LOG_TEXT("origin", about->origin), LOG_NUM("code", reply->code),
			  LOG_TEXT("reason", reply->text));
	else
		log_event(LOG_LEVEL_NOTICE, "refused", LOG_TEXT("from", sender ? sender : ""),
			  LOG_TEXT("submitter", about->name), LOG_TEXT("origin", about->origin),
			  LOG_NUM("code", reply->code), LOG_TEXT("reason", reply->text));
}

void session_mail_sender(struct session *s)
{
	struct server_reply reply;
	const struct session_about *about;

	if (s->shared->is_closed) {
		server_refuse(s->engine, (struct server_reply){ 421, "4.3.2", "no new mail is taken just now" });
		return;
	}
	session_mail_forget(s);
	session_refresh_names(s->shared);
	about = describe(s);
	if (intake_mail(s->intake, &about->session, server_envelope(s->engine), &reply) == INTAKE_OK) {
		server_accept(s->engine, NULL);
		return;
	}
	log_refusal(s, about, NULL, &reply);
	session_mail_forget(s);
	server_refuse(s->engine, reply);
}

void session_mail_rcpt(struct session *s)
{
	struct server_reply reply;
	const struct session_about *about;

	about = describe(s);
	if (intake_rcpt(s->intake, &about->session, s->action.rcpt, &reply) == INTAKE_OK) {
		server_accept(s->engine, NULL);
		return;
	}
	log_refusal(s, about, s->action.rcpt->address, &reply);
	server_refuse(s->engine, reply);
}

bool session_mail_body(struct session *s)
{
	struct server_reply reply;
	const struct session_about *about;

	about = describe(s);
	switch (intake_body(s->intake, &about->session, s->action.bytes, &reply)) {
	case INTAKE_BUSY: return false;
	case INTAKE_REFUSED: server_fail_body(s->engine, reply); return true;
	case INTAKE_OK: break;
	}
	return true;
}

bool session_mail_store(struct session *s)
{
	struct server_reply reply;
	const struct session_about *about;

	about = describe(s);
	switch (intake_store(s->intake, &about->session, server_envelope(s->engine), &reply)) {
	case INTAKE_BUSY: return false;
	case INTAKE_REFUSED:
		log_refusal(s, about, NULL, &reply);
		server_refuse(s->engine, reply);
		return true;
	case INTAKE_OK: break;
	}
	return true;
}

void session_mail_stored(struct session *s, const struct intake_result *result)
{
	const struct server_envelope *envelope = server_envelope(s->engine);
	char text[32 + TEXT_ID_SIZE], id_text[TEXT_ID_SIZE];
	const struct session_about *about;

	about = describe(s);
	if (result->err != QUEUE_OK) {
		log_event(LOG_LEVEL_WARNING, "refused", LOG_TEXT("from", result->sender),
			  LOG_TEXT("submitter", about->name), LOG_TEXT("reason", queue_err_text(result->err)));
		server_refuse(s->engine, intake_reply(result->err));
	} else {
		s->shared->accepted++;
		log_event(LOG_LEVEL_INFO, "accepted", LOG_ID(result->id), LOG_TEXT("from", result->sender),
			  LOG_NUM("recipients", result->recipients), LOG_NUM("size", envelope->body_bytes),
			  LOG_TEXT("submitter", about->name), LOG_TEXT("origin", about->origin));
		server_accept(s->engine,
			      text_join(text, sizeof(text), "queued as ", text_id_print(result->id, id_text), NULL));
	}
	session_mail_forget(s);
}
