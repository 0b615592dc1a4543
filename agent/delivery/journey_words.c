#include "delivery/journey_words.h"

#include <stdio.h>
#include <string.h>

#include "delivery/hint.h"
#include "message/dsn_words.h"
#include "smtp/ehlo.h"
#include "smtp/sasl.h"

const char *journey_words_step(enum approach_step_kind kind)
{
	switch (kind) {
	case APPROACH_SECRET: return "secret";
	case APPROACH_TARGET:
	case APPROACH_ADDRESS: return "DNS";
	case APPROACH_ALIAS: return "DNSSEC";
	case APPROACH_STS: return "MTA-STS";
	case APPROACH_TLSA: return "DANE";
	case APPROACH_POLICY: return "policy";
	case APPROACH_CONNECT: return "TCP";
	}
	return "";
}

bool journey_words_may_lack(enum approach_step_kind kind)
{
	return kind == APPROACH_STS || kind == APPROACH_TLSA || kind == APPROACH_ALIAS;
}

const char *journey_words_advice(const struct config_smarthost *host, const char *domain, enum approach_step_kind kind,
				 const char *text)
{
	switch (kind) {
	case APPROACH_SECRET:
		return host->secret_command
			       ? "run the secret_command yourself, as the agent's user, and look at what it prints"
			       : "check that the agent's user may read the secret, and nobody else";
	case APPROACH_TARGET:
	case APPROACH_ADDRESS:
		return domain ? "check what stands behind the @; if others can send mail there, check the name servers of this "
				"machine"
			      : "check `host`; if others can resolve it, check the name servers of this machine";
	case APPROACH_CONNECT:
		if (strstr(text, "source address"))
			return "check `source`: it is for addresses that this machine has now";
		if (host->proxy.host)
			return "start the proxy, or check `proxy`";
		if (domain)
			return "its server may be down; but many networks block port 25 towards the internet: if other domains "
			       "are like this, ask your provider, or use a smart host";
		if (host->host[0] == '/')
			return "start the program that takes mail at this socket, or check `host`";
		return "check `host` and `port`, and whether a firewall is in between";
	case APPROACH_POLICY:
		return "the other side, or the configuration, promises TLS that cannot be proven: mail waits rather than go "
		       "there";
	case APPROACH_STS:
	case APPROACH_TLSA:
	case APPROACH_ALIAS: break;
	}
	return "";
}

static const char *after_tls(const struct config_smarthost *host, const struct client_failure *failure)
{
	if (failure->phase == CLIENT_AT_CONNECT)
		return "is it the right port? tls = implicit is for ports like 465, tls = starttls for 587";
	if (!host->host)
		return "the other side must mend its certificate or its TLSA records";
	return "check `host`, `tls_name` and `tls_ca`; a certificate for another name means another server";
}

const char *journey_words_failure(const struct config_smarthost *host, const struct client_failure *failure,
				  bool offers_logins)
{
	bool is_own_words = failure->reply.code == 0;
	const char *hint = failure->phase == CLIENT_AT_AUTH ? hint_about_login(failure->reply.text) : NULL;

	if (hint)
		return hint;
	switch (failure->object) {
	case CLIENT_PARKED:
		if (is_own_words && failure->phase == CLIENT_AT_EHLO && offers_logins)
			return "name one in `auth` that the server offers";
		return is_own_words
			       ? "logins are taken at other ports, or only under TLS: check `port` and `tls`, or remove `user`"
			       : "check `user` and the secret; many providers want an app password or a token here";
	case CLIENT_THROTTLED: return "the provider says: not now. It passes by itself";
	case CLIENT_LANE: break;
	}
	switch (failure->phase) {
	case CLIENT_AT_CONNECT:
	case CLIENT_AT_TLS: return after_tls(host, failure);
	case CLIENT_AT_GREETING:
		return failure->reply.code
			       ? "the server refuses this machine; its words say why"
			       : "is it the right port? A server that expects TLS from the start says nothing";
	case CLIENT_AT_STARTTLS:
		return "TLS is demanded and not to be had: check `port`, or ask the other side's operator";
	case CLIENT_AT_EHLO:
		if (is_own_words)
			return "TLS is demanded and not to be had: check `port`, or ask the other side's operator";
		return "check `hostname`: it is what this machine calls itself";
	case CLIENT_AT_AUTH:
	case CLIENT_AT_IDLE:
	case CLIENT_AT_MAIL:
	case CLIENT_AT_RCPT:
	case CLIENT_AT_DATA:
	case CLIENT_AT_BODY:
	case CLIENT_AT_BDAT:
	case CLIENT_AT_DOT:
	case CLIENT_AT_QUIT: break;
	}
	return "";
}

const char *journey_words_refusal(const struct client_result *result)
{
	char status[24];

	if (result->outcome == CLIENT_TEMPORARY)
		return "a message would wait and be tried again";
	if (!result->reply.status.class)
		return "";
	snprintf(status, sizeof status, "%u.%u.%u", result->reply.status.class, result->reply.status.subject,
		 result->reply.status.detail);
	return dsn_words_advice(status);
}

static void list_extensions(unsigned extensions, struct buf *out)
{
	static const struct {
		enum ehlo_extension extension;
		const char *keyword;
	} names[] = {
#define X(name, keyword_) { EHLO_##name, keyword_ },
		EHLO_EXTENSIONS(X)
#undef X
	};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (extensions & EHLO_BIT(names[i].extension))
			buf_printf(out, " %s", names[i].keyword);
}

void journey_words_logins(unsigned offered, struct buf *out)
{
	const char *before = " (";

	if (!offered)
		return;
	for (unsigned i = 0; i < SASL_NONE; i++)
		if (offered & SASL_BIT(i)) {
			buf_printf(out, "%s%s", before, sasl_name((enum sasl_mechanism)i));
			before = " ";
		}
	buf_append_str(out, ")");
}

void journey_words_phase(enum client_phase phase, const struct client_peer *peer, struct buf *out)
{
	switch (phase) {
	case CLIENT_AT_GREETING: buf_append_span(out, peer->greeting); break;
	case CLIENT_AT_EHLO:
		buf_append_span(out, peer->hello);
		if (peer->extensions) {
			buf_append_str(out, "; offers");
			list_extensions(peer->extensions, out);
			journey_words_logins(peer->auth_offered, out);
		}
		break;
	case CLIENT_AT_STARTTLS: buf_append_str(out, "ready to start TLS"); break;
	case CLIENT_AT_AUTH:
		buf_printf(out, "logged in%s%s", peer->auth_used ? " by " : "", peer->auth_used ? peer->auth_used : "");
		break;
	case CLIENT_AT_CONNECT:
	case CLIENT_AT_TLS:
	case CLIENT_AT_IDLE:
	case CLIENT_AT_MAIL:
	case CLIENT_AT_RCPT:
	case CLIENT_AT_DATA:
	case CLIENT_AT_BODY:
	case CLIENT_AT_BDAT:
	case CLIENT_AT_DOT:
	case CLIENT_AT_QUIT: break;
	}
}
