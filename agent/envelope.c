#include "envelope.h"

#include <string.h>

#include "base/text.h"
#include "identity.h"
#include "route.h"

bool envelope_qualify(const struct config *config, const char *address, char out[ADDRESS_SIZE])
{
	bool is_bare = *address && address_domain(span_str(address)).len == 0;
	/* Angle brackets count: RFC 5321, 4.5.3.1.3. */
	size_t len = strlen(address) + (is_bare ? 1 + strlen(config->hostname) : 0) + 2;

	if (len > ADDRESS_PATH_MAX)
		return false;
	text_join(out, ADDRESS_SIZE, address, is_bare ? "@" : "", is_bare ? config->hostname : "", NULL);
	return true;
}

enum envelope_verdict envelope_from(const struct config *config, const struct who *who, const char *sender,
				    struct envelope_from *out)
{
	char given[ADDRESS_SIZE];

	if (!envelope_qualify(config, sender, given))
		return ENVELOPE_LONG;
	memcpy(out->given, given, sizeof(given));
	out->submitter = identity_submitter(config, who);
	out->identity = identity_find(config, who, out->given);
	out->address = identity_sender(out->identity, out->given);
	out->route = out->identity && out->identity->route ? out->identity->route : "";
	return identity_allows(out->submitter, out->given) ? ENVELOPE_OK : ENVELOPE_NOT_ALLOWED;
}

/* One end of a recipient into the list, unless it is there already. */
static enum envelope_verdict add(const struct config *config, const struct envelope_from *from,
				 const struct aliases_target *target, struct mem_arena *storage, struct envelope_to *to)
{
	bool by_identity = from->identity && from->identity->to && identity_is_local(config, target->address);
	struct envelope_rcpt rcpt = { .by_identity = by_identity,
				      .alias_file = target->file,
				      .alias_line = target->line };
	char full[ADDRESS_SIZE];

	if (!envelope_qualify(config, by_identity ? from->identity->to : target->address, full))
		return ENVELOPE_LONG;
	for (size_t i = 0; i < to->count; i++)
		if (strcmp(to->list[i].address, full) == 0)
			return ENVELOPE_OK;
	rcpt.address = mem_arena_dup(storage, span_str(full));
	if (!rcpt.address)
		return ENVELOPE_MANY;
	rcpt.route = route_of(config, from->route, from->address, rcpt.address);
	to->list[to->count++] = rcpt;
	return ENVELOPE_OK;
}

static enum aliases_verdict expand(const struct config *config, const struct aliases *aliases, const char *recipient,
				   struct aliases_result *out)
{
	enum aliases_verdict verdict;
	struct buf local;

	if (!aliases || !identity_is_local(config, recipient))
		return ALIASES_NONE;
	buf_init(&local, ADDRESS_PATH_MAX);
	verdict = address_unquote(address_local(span_str(recipient)), &local)
			  ? aliases_expand(aliases, buf_span(&local), out)
			  : ALIASES_NONE;
	buf_fini(&local);
	return verdict;
}

enum envelope_verdict envelope_to(const struct config *config, const struct envelope_from *from,
				  const struct aliases *aliases, const char *recipient, struct mem_arena *storage,
				  struct envelope_to *out)
{
	struct aliases_result result;
	enum envelope_verdict verdict = ENVELOPE_OK;
	struct envelope_to to = { 0 };

	switch (expand(config, aliases, recipient, &result)) {
	case ALIASES_MANY: return ENVELOPE_MANY;
	case ALIASES_LOST: return ENVELOPE_LOST;
	case ALIASES_NONE:
		result.targets[0] = (struct aliases_target){ .address = recipient };
		result.count = 1;
		break;
	case ALIASES_DONE: break;
	}
	to.list = mem_arena_alloc(storage, (result.count ? result.count : 1) * sizeof(*to.list));
	if (!to.list)
		return ENVELOPE_MANY;
	for (size_t i = 0; i < result.count && verdict == ENVELOPE_OK; i++)
		verdict = add(config, from, &result.targets[i], storage, &to);
	if (verdict == ENVELOPE_OK && to.count == 0)
		verdict = ENVELOPE_LOST;
	if (verdict == ENVELOPE_OK)
		*out = to;
	return verdict;
}
