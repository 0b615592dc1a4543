#include "submission/trust.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "base/cidr.h"
#include "base/mem.h"
#include "base/text.h"

struct trust {
	bool any_uid;
	uid_t *uids;
	size_t uid_count;
	struct cidr *networks;
	size_t network_count;
};

static bool find_uid(const char *name, uid_t *out_uid)
{
	const struct passwd *entry;
	uint64_t number;

	if (text_number(span_str(name), UINT32_MAX - 1, &number)) {
		*out_uid = (uid_t)number;
		return true;
	}
	entry = getpwnam(name);
	if (entry)
		*out_uid = entry->pw_uid;
	return entry != NULL;
}

struct trust *trust_new(const struct config_trust *config)
{
	struct trust *trust = MEM_NEW(struct trust);

	trust->uids = mem_calloc(config->uids.count, sizeof(*trust->uids));
	trust->networks = mem_calloc(config->networks.count, sizeof(*trust->networks));
	for (size_t i = 0; i < config->uids.count; i++) {
		if (strcmp(config->uids.list[i], "*") == 0)
			trust->any_uid = true;
		else if (find_uid(config->uids.list[i], &trust->uids[trust->uid_count]))
			trust->uid_count++;
	}
	for (size_t i = 0; i < config->networks.count; i++)
		if (cidr_parse(span_str(config->networks.list[i]), &trust->networks[trust->network_count]))
			trust->network_count++;
	return trust;
}

void trust_free(struct trust *trust)
{
	if (!trust)
		return;
	mem_free(trust->uids);
	mem_free(trust->networks);
	mem_free(trust);
}

static bool has_uid(const struct trust *trust, uid_t uid)
{
	if (trust->any_uid)
		return true;
	for (size_t i = 0; i < trust->uid_count; i++)
		if (trust->uids[i] == uid)
			return true;
	return false;
}

static bool has_network(const struct trust *trust, const char *host)
{
	uint8_t address[16];

	if (!cidr_address(span_str(host), address))
		return false;
	for (size_t i = 0; i < trust->network_count; i++)
		if (cidr_contains(&trust->networks[i], address))
			return true;
	return false;
}

bool trust_judge(const struct trust *trust, const struct trust_peer *peer, struct trust_submitter *out, char *why,
		 size_t why_size)
{
	if (!peer->is_unix && !has_network(trust, peer->host)) {
		snprintf(why, why_size, "%s is not among the networks that may send here (trust.networks)", peer->host);
		return false;
	}
	if (peer->has_uid && !has_uid(trust, peer->uid)) {
		snprintf(why, why_size, "the user with uid %lu may not send here (trust.uids)",
			 (unsigned long)peer->uid);
		return false;
	}
	/* Where only some users may send, nobody gets in by hiding who they are. */
	if (!peer->has_uid && (peer->is_unix || (peer->is_loopback && !trust->any_uid))) {
		snprintf(why, why_size, "the system does not tell who is calling");
		return false;
	}
	if (peer->has_uid)
		snprintf(out->name, sizeof(out->name), "uid:%lu", (unsigned long)peer->uid);
	else
		snprintf(out->name, sizeof(out->name), "net:%s", peer->host);
	out->uid = peer->has_uid ? (uint32_t)peer->uid : UINT32_MAX;
	return true;
}
