#include "trust.h"

#include <stdio.h>
#include <string.h>

#include "base/cidr.h"
#include "base/crypto.h"
#include "base/text.h"

static bool has_any(const struct config_strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->list[i], "*") == 0)
			return true;
	return false;
}

static bool is_loopback_address(const char *host)
{
	uint8_t address[16];

	return cidr_address(span_str(host), address) && cidr_is_loopback(address);
}

static bool judge_network(const struct config_trust *config, const struct trust_peer *peer, const struct who *who,
			  char *why, size_t why_size)
{
	if (peer->is_unnamed || (peer->is_proxied && is_loopback_address(who->host))) {
		snprintf(why, why_size, "the proxy does not say for whom it calls");
		return false;
	}
	if (who_has_network(&config->networks, who))
		return true;
	snprintf(why, why_size, "%s is not among the networks that may send here (trust.networks)", who->host);
	return false;
}

/* Where users are told apart, nobody gets in by hiding who they are: a socket that its owner closed before we could ask
 * belongs to nobody, and its message would go by none of the rules. */
static bool must_know(const struct config_trust *config)
{
	return config->tells_users_apart || (!has_any(&config->uids) && !has_any(&config->gids));
}

static bool judge_user(const struct config_trust *config, const struct trust_peer *peer, const struct who *who,
		       char *why, size_t why_size)
{
	char name[WHO_TEXT_SIZE];

	if (who->has_uid) {
		if (who_has_uid(&config->uids, who) || who_has_gid(&config->gids, who))
			return true;
		snprintf(why, why_size, "%s may not send here (trust.uids, trust.gids)",
			 who_text(who, name, sizeof(name)));
		return false;
	}
	if (peer->is_unix || (peer->is_loopback && must_know(config))) {
		snprintf(why, why_size, "the system does not tell who is calling");
		return false;
	}
	return true;
}

bool trust_judge(const struct config_trust *config, const struct trust_peer *peer, const struct who *who, char *why,
		 size_t why_size)
{
	if (!peer->is_unix && !judge_network(config, peer, who, why, why_size))
		return false;
	return judge_user(config, peer, who, why, why_size);
}

static void digest(const char *text, uint8_t out[CRYPTO_SHA256_LEN])
{
	struct crypto_sha256 *h = crypto_sha256_new();

	crypto_sha256_update(h, text, strlen(text));
	crypto_sha256_final(h, out);
	crypto_sha256_free(h);
}

/* Two long names that begin alike must not be one submitter. */
static void name_user(const char *kind, const char *user, char out[TRUST_NAME_SIZE])
{
	uint8_t sum[CRYPTO_SHA256_LEN];

	if (strlen(kind) + strlen(user) < TRUST_NAME_SIZE) {
		text_join(out, TRUST_NAME_SIZE, kind, user, NULL);
		return;
	}
	digest(user, sum);
	snprintf(out, TRUST_NAME_SIZE, "%s%.120s#%02x%02x%02x%02x%02x%02x%02x%02x", kind, user, sum[0], sum[1], sum[2],
		 sum[3], sum[4], sum[5], sum[6], sum[7]);
}

void trust_name(const struct who *who, bool by_certificate, char out[TRUST_NAME_SIZE])
{
	char uid[TEXT_NUMBER_SIZE];

	if (who->user[0])
		name_user(by_certificate ? "cert:" : "user:", who->user, out);
	else if (who->has_uid)
		text_join(out, TRUST_NAME_SIZE, "uid:", text_number_print(who->uid, uid), NULL);
	else
		text_join(out, TRUST_NAME_SIZE, "net:", who->host, NULL);
}
