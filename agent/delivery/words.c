#include "delivery/words.h"

#include <stdio.h>
#include <string.h>

#include "delivery/hint.h"

void words_place(const struct lane *lane, char *out, size_t size)
{
	if (lane->domain)
		snprintf(out, size, "the MX of %s", lane->domain);
	else
		snprintf(out, size, "smarthost \"%s\"", lane->name);
}

void words_host(const struct lane *lane, char *out, size_t size)
{
	if (!lane->host)
		snprintf(out, size, "%s", lane->name);
	else if (lane->domain)
		snprintf(out, size, "%s", lane->domain);
	else if (lane->host->host[0] == '/' || lane->host->port == 0) /* a socket; "srv:DOMAIN" */
		snprintf(out, size, "%s", lane->host->host);
	else
		snprintf(out, size, "%s:%u", lane->host->host, lane->host->port);
}

static const char *secret_word(const struct config_smarthost *host)
{
	return host->secret_command ? "secret_command" : host->secret_credential ? "secret_credential" : "the secret";
}

/* Our own words about a secret that could not be had (account.c); a server's begin with its name. */
static bool is_about_secret(const char *error)
{
	return error[0] == '/' || strncmp(error, "secret_", 7) == 0 || strncmp(error, "the secret", 10) == 0;
}

static bool says(const struct lane *lane, const char *word)
{
	return strstr(lane->error, word) != NULL;
}

/* ---------------------------------------------------------------- smart hosts */

static void advise_account(const struct lane *lane, char *out, size_t size)
{
	const struct config_smarthost *host = lane->host;
	const char *hint = hint_about_login(span_str(lane->error));

	if (hint)
		snprintf(out, size, "%s; then: sendoff resume %s", hint, lane->name);
	else if (says(lane, "not offer AUTH"))
		snprintf(
			out, size,
			"passwords are taken at other ports, or only under TLS: check port and tls of smarthost \"%s\", or "
			"remove its user; then: sendoff reload",
			lane->name);
	else if (is_about_secret(lane->error))
		snprintf(out, size, "check %s of smarthost \"%s\"; sendoff resume %s tries at once", secret_word(host),
			 lane->name, lane->name);
	else if (lane->is_parked && host->secret_file)
		snprintf(out, size,
			 "check user and secret_file (%s) of smarthost \"%s\"; a changed file is tried at once, "
			 "else: sendoff resume %s",
			 host->secret_file, lane->name, lane->name);
	else if (lane->is_parked)
		snprintf(out, size, "check user and %s of smarthost \"%s\", then: sendoff resume %s", secret_word(host),
			 lane->name, lane->name);
	else
		snprintf(out, size,
			 "nothing if it passes by itself, as a provider's limit does; sendoff resume %s tries at once",
			 lane->name);
}

static void advise_host(const struct lane *lane, char *out, size_t size)
{
	const char *hint = hint_about_login(span_str(lane->error));

	if (hint)
		snprintf(out, size, "%s", hint);
	else if (lane->host->proxy.host && strncmp(lane->error, "proxy ", 6) == 0)
		snprintf(
			out, size,
			"nothing if the proxy recovers; else start it, or check proxy of smarthost \"%s\"; sendoff flush tries "
			"at once",
			lane->name);
	else if (says(lane, "source address"))
		snprintf(
			out, size,
			"check source of smarthost \"%s\": it is for addresses that this machine has now; sendoff flush "
			"tries at once",
			lane->name);
	else if (lane->host->host[0] == '/')
		snprintf(
			out, size,
			"start the program that takes mail at this socket, or check host of smarthost \"%s\"; sendoff flush "
			"tries at once",
			lane->name);
	else if (says(lane, "SRV records"))
		snprintf(out, size, "check host of smarthost \"%s\", or name the server itself there", lane->name);
	else if (says(lane, "DANE") || says(lane, "TLSA"))
		snprintf(
			out, size,
			"mail waits until the server is proven by its TLSA records, as tls of smarthost \"%s\" has it: ask "
			"its operator, or check dns (trust_ad)",
			lane->name);
	else if (says(lane, "certificate"))
		snprintf(out, size,
			 "the server is not proven to be the one you mean: check host, tls_name and tls_ca of "
			 "smarthost \"%s\", or ask its operator",
			 lane->name);
	else if (says(lane, "not offer STARTTLS"))
		snprintf(out, size,
			 "mail is not sent in clear text: check host, port and tls of smarthost \"%s\" (a server of "
			 "port 465 wants tls = implicit), or ask its operator",
			 lane->name);
	else
		snprintf(out, size,
			 "nothing if the server recovers; else check host, port and tls of smarthost \"%s\" or ask its "
			 "operator; sendoff flush tries at once",
			 lane->name);
}

/* ---------------------------------------------------------------- MX */

/* What the domain itself promises is not for the sender to waive by accident: the sentences say whom to ask first. */
static void advise_mx(const struct lane *lane, char *out, size_t size)
{
	const char *domain = lane->domain;

	if (says(lane, "MTA-STS"))
		snprintf(
			out, size,
			"%s has published which servers its mail goes to, and that they prove themselves; mail waits for "
			"one that does: tell its operator by another way; sendoff test %s shows each step",
			domain, domain);
	else if (says(lane, "DANE") || says(lane, "TLSA"))
		snprintf(
			out, size,
			"%s has published what its servers' certificates are, and mail waits for one that fits: tell its "
			"operator by another way; sendoff test %s shows each step",
			domain, domain);
	else if (says(lane, "certificate") || says(lane, "STARTTLS"))
		snprintf(out, size,
			 "mail is not sent without the TLS that tls in mx or domain \"%s\" demands: ask the domain's "
			 "operator; sendoff test %s shows each step",
			 domain, domain);
	else if (lane->host->proxy.host && strncmp(lane->error, "proxy ", 6) == 0)
		snprintf(
			out, size,
			"nothing if the proxy recovers; else start it, or check proxy of mx or domain \"%s\"; sendoff flush "
			"tries at once",
			domain);
	else if (says(lane, "source address"))
		snprintf(
			out, size,
			"check source of mx or domain \"%s\": it is for addresses that this machine has now; sendoff flush "
			"tries at once",
			domain);
	else if (lane->trouble == TRAFFIC_ACCOUNT)
		snprintf(out, size,
			 "its servers do not take mail from this machine just now: a smart host may (route to = "
			 "{\"*@%s\"}); sendoff resume %s tries at once",
			 domain, lane->name);
	else if (says(lane, "timed out") || says(lane, "unreachable"))
		snprintf(
			out, size,
			"nothing if its servers recover; if all domains are like this, the network does not let port %u "
			"out: use a smart host; sendoff test %s shows each step",
			lane->host->port, domain);
	else
		snprintf(
			out, size,
			"nothing if its servers or its DNS recover; sendoff test %s shows each step; sendoff flush tries at "
			"once",
			domain);
}

void words_advice(const struct lane *lane, char *out, size_t size)
{
	out[0] = '\0';
	if (!lane->host)
		return;
	if (lane->paused_by)
		snprintf(out, size, "sendoff resume %s lets it go on", lane->name);
	else if (lane->trouble == TRAFFIC_WELL)
		return;
	else if (lane->domain)
		advise_mx(lane, out, size);
	else if (lane->trouble == TRAFFIC_ACCOUNT)
		advise_account(lane, out, size);
	else
		advise_host(lane, out, size);
}
