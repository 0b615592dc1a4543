#include "submission/policy.h"

#include "base/mem.h"
#include "submission/draft.h"
#include "submission/login.h"

static void set_limits(struct server_config *server, const struct config *config)
{
	server->hostname = config->hostname;
	server->max_size_bytes = config->queue.max_message_bytes;
	server->max_recipients = config->limits.recipients;
	server->max_errors = config->limits.errors;
	server->command_timeout_ms = config->limits.command_timeout_ms;
	server->data_timeout_ms = config->limits.data_timeout_ms;
	server->session_timeout_ms = config->limits.session_timeout_ms;
	server->max_hold_ms = INT64_C(86400000) * DRAFT_HOLD_MAX_DAYS;
}

static bool make_tls(struct policy *policy, char *why, size_t why_size)
{
	const struct config_listener *listener = policy->listener;

	if (listener->tls == CONFIG_TLS_NONE)
		return true;
	if (tls_server_new(listener->certificate, listener->key, &policy->tls, why, why_size) != 0)
		return false;
	return (!listener->client_ca && !listener->client_pins.count) ||
	       tls_server_ask_clients(policy->tls, listener->client_ca, listener->client_pins.list,
				      listener->client_pins.count, why, why_size) == 0;
}

struct policy *policy_new(struct config *config, const struct config_listener *listener, char *why, size_t why_size)
{
	struct policy *policy = MEM_NEW(struct policy);

	policy->references = 1;
	policy->config = config_ref(config);
	policy->listener = listener;
	if (!make_tls(policy, why, why_size)) {
		policy_unref(policy);
		return NULL;
	}
	set_limits(&policy->server, config);
	policy->server.features = SERVER_FULL;
	if (listener->tls == CONFIG_TLS_STARTTLS)
		policy->server.features |= SERVER_STARTTLS;
	policy->server.newline =
		listener->bare_newline == CONFIG_BARE_REFUSE ? SERVER_NEWLINE_REFUSE : SERVER_NEWLINE_NORMALIZE;
	policy->server.mechanisms = login_mechanisms(listener);
	if (policy->server.mechanisms)
		policy->server.features |= SERVER_AUTH;
	policy->server.allow_bare_local_parts = true;
	policy->server.ask_mail = true;
	policy->server.ask_rcpt = true;
	policy->strangers = policy->server;
	policy->strangers.require_auth = true;
	return policy;
}

struct policy *policy_ref(struct policy *policy)
{
	policy->references++;
	return policy;
}

void policy_unref(struct policy *policy)
{
	if (!policy || --policy->references > 0)
		return;
	tls_server_free(policy->tls);
	config_unref(policy->config);
	mem_free(policy);
}

bool policy_takes_proofs(const struct policy *policy)
{
	return policy->server.mechanisms != 0;
}
