#include <string.h>

#include "delivery/hop_inside.h"
#include "delivery/tlsrpt.h"
#include "log.h"
#include "net/addr.h"

/* The first word of the server's greeting of our EHLO (RFC 8460, 4.4: receiving-mx-helo). */
static void helo_of(const struct hop *hop, char out[256])
{
	struct span hello = hop->client ? client_peer(hop->client)->hello : SPAN("");

	hello = span_first(span_first(hello, span_find(hello, ' ')), 255);
	memcpy(out, hello.data, hello.len);
	out[hello.len] = '\0';
}

static void local_of(const struct hop *hop, char out[ADDR_TEXT_SIZE])
{
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof addr;

	out[0] = '\0';
	if (hop->conn && getsockname(conn_fd(hop->conn), (struct sockaddr *)&addr, &len) == 0)
		addr_host(&addr, out);
}

static void note(struct hop *hop, const struct tlspolicy *policy, const struct mtasts_result *sts, const char *mx,
		 const char *failure, const char *text)
{
	char local[ADDR_TEXT_SIZE], helo[256];
	struct tlsrpt_session session = {
		.domain = hop->lane->domain,
		.policy = policy,
		.sts = sts,
		.ok = !failure,
		.failure = failure,
		.text = text,
		.mx = mx,
		.local_ip = local,
		.remote_ip = hop->conn && !hop->host->proxy.host ? conn_peer_host(hop->conn) : "",
		.helo = helo,
	};

	if (!hop->lane->domain || !hop->pool->tlsrpt)
		return;
	/* What a captive portal shows is no failure of the domain's. */
	if (failure && network_is_suspect(&hop->pool->scheduler->network, hop_now(hop)))
		return;
	local_of(hop, local);
	helo_of(hop, helo);
	tlsrpt_note(hop->pool->tlsrpt, &session, loop_wall_ms(hop->pool->loop));
}

static void note_connection(struct hop *hop, const char *failure, const char *text)
{
	if (hop->is_tls_noted)
		return;
	hop->is_tls_noted = true;
	note(hop, approach_policy(hop->approach), approach_sts(hop->approach), approach_host(hop->approach)->name,
	     failure, text);
}

void hop_report_secure(struct hop *hop, const struct tls_facts *facts)
{
	/* A policy that is only being tested does not keep mail from going, but its failures count. */
	if (facts->failure == TLS_FAILURE_NONE)
		note_connection(hop, NULL, "");
	else
		note_connection(hop, tls_failure_report(facts->failure), facts->why);
}

void hop_report_tls_failed(struct hop *hop, const char *failure, const char *text)
{
	note_connection(hop, failure, text);
}

static const char *const step_names[] = {
	[APPROACH_SECRET] = "secret",   [APPROACH_TARGET] = "target",   [APPROACH_STS] = "mta-sts",
	[APPROACH_ADDRESS] = "address", [APPROACH_ALIAS] = "alias",     [APPROACH_TLSA] = "tlsa",
	[APPROACH_POLICY] = "policy",   [APPROACH_CONNECT] = "connect",
};

void hop_report_step(void *arg, const struct approach_step *step)
{
	struct hop *hop = arg;

	if (log_is_on(LOG_LEVEL_DEBUG))
		log_event(LOG_LEVEL_DEBUG, "way", LOG_TEXT("lane", hop->lane->name),
			  LOG_TEXT("step", step_names[step->kind]), LOG_TEXT("ok", step->ok ? "yes" : "no"),
			  LOG_TEXT("host", step->host), LOG_TEXT("where", step->where),
			  LOG_NUM("took_ms", step->took_ms), LOG_TEXT("text", step->text));
	if (step->kind == APPROACH_POLICY && !step->ok)
		note(hop, step->policy, step->sts, step->host,
		     step->policy->failure ? step->policy->failure : "validation-failure", step->text);
}
