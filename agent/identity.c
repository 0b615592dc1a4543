#include "identity.h"

#include "base/text.h"
#include "smtp/address.h"

static bool fits(const struct config_strings *globs, const char *address)
{
	for (size_t i = 0; i < globs->count; i++)
		if (text_glob(globs->list[i], span_str(address)))
			return true;
	return globs->count == 0;
}

const struct config_submitter *identity_submitter(const struct config *config, const struct who *who)
{
	for (size_t i = 0; i < config->submitter_count; i++)
		if (who_fits(&config->submitters[i].who, who))
			return &config->submitters[i];
	return NULL;
}

bool identity_allows(const struct config_submitter *submitter, const char *sender)
{
	return !submitter || !*sender || fits(&submitter->senders, sender);
}

const struct config_identity *identity_find(const struct config *config, const struct who *who, const char *sender)
{
	for (size_t i = 0; *sender && i < config->identity_count; i++) {
		const struct config_identity *identity = &config->identities[i];

		if (who_fits(&identity->who, who) && fits(&identity->senders, sender))
			return identity;
	}
	return NULL;
}

const char *identity_sender(const struct config_identity *identity, const char *sender)
{
	if (!identity || !*sender)
		return sender;
	return identity->envelope ? identity->envelope : identity->from ? identity->from : sender;
}

bool identity_is_local(const struct config *config, const char *address)
{
	struct span domain = address_domain(span_str(address));

	return domain.len == 0 || address_same_domain(domain, span_str(config->hostname)) ||
	       address_same_domain(domain, SPAN("localhost")) ||
	       address_same_domain(domain, SPAN("localhost.localdomain"));
}
