#include "route.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/text.h"
#include "smtp/address.h"

static bool fits(const struct config_strings *globs, const char *address)
{
	if (globs->count == 0)
		return true;
	for (size_t i = 0; i < globs->count; i++)
		if (text_glob(globs->list[i], span_str(address)))
			return true;
	return false;
}

const struct config_route *route_find(const struct config *config, const char *sender, const char *recipient)
{
	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *route = &config->routes[i];

		if (!*sender && route->from.count)
			continue; /* a report has no sender that a "*" could mean */
		if (fits(&route->from, sender) && fits(&route->to, recipient))
			return route;
	}
	return NULL;
}

const struct config_route *route_named(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->route_count; i++)
		if (strcmp(config->routes[i].name, name) == 0)
			return &config->routes[i];
	return NULL;
}

const struct config_route *route_of(const struct config *config, const char *name, const char *sender,
				    const char *recipient)
{
	const struct config_route *named = *name ? route_named(config, name) : NULL;

	return named ? named : route_find(config, sender, recipient);
}

const char *route_target(const struct config *config, const struct config_route *route)
{
	(void)config;
	return route && route->target ? route->target : "";
}

/* ---------------------------------------------------------------- targets */

bool route_next(struct span *io_target, struct span *out_name, uint32_t *out_weight)
{
	struct span item, name = { NULL, 0 };
	uint64_t weight = 0;

	*io_target = span_first(*io_target, span_find(*io_target, ROUTE_CONDITION));
	while (io_target->len && !name.len) { /* who has no name is nobody */
		item = span_first(*io_target, span_find(*io_target, ','));
		name = span_first(item, span_find(item, '='));
		*io_target = span_from(*io_target, item.len + 1);
	}
	if (!name.len)
		return false;
	if (name.len < item.len && !text_number(span_from(item, name.len + 1), ROUTE_WEIGHT_MAX, &weight))
		weight = 0;
	*out_name = name;
	*out_weight = (uint32_t)weight;
	return true;
}

int route_place(const char *target, const char *name)
{
	struct span rest = span_str(target), wanted = span_str(name), found;
	uint32_t weight;

	for (int place = 0; route_next(&rest, &found, &weight); place++)
		if (span_equals(found, wanted))
			return place;
	return -1;
}

bool route_name(const char *target, int place, struct buf *out)
{
	struct span rest = span_str(target), name;
	uint32_t weight;

	buf_clear(out);
	for (int i = 0; route_next(&rest, &name, &weight); i++)
		if (i == place)
			return buf_append_span(out, name);
	return false;
}

struct span route_condition(const char *target)
{
	const char *mark = strchr(target, ROUTE_CONDITION);

	return mark ? span_str(mark + 1) : SPAN("");
}

/* An address is written in one way, so that one host has one lane. */
static bool add_literal(struct span inside, bool is_v6, struct buf *out)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	memcpy(text, inside.data, inside.len); /* address_literal() has read it: it fits */
	text[inside.len] = '\0';
	inet_pton(is_v6 ? AF_INET6 : AF_INET, text, &address);
	inet_ntop(is_v6 ? AF_INET6 : AF_INET, &address, text, sizeof text);
	return buf_printf(out, "[%s%s]", is_v6 ? "IPv6:" : "", text);
}

bool route_domain(const struct config *config, const char *recipient, struct buf *out)
{
	struct span domain = address_domain(span_str(recipient)), inside;
	char ascii[ADDRESS_DOMAIN_SIZE];
	bool is_v6;

	buf_clear(out);
	if (!domain.len && config->hostname)
		domain = span_str(config->hostname);
	if (address_literal(domain, &inside, &is_v6))
		return add_literal(inside, is_v6, out);
	if (!address_is_domain(domain, ADDRESS_UTF8) || !address_domain_ascii(domain, ascii))
		return false;
	return buf_append_str(out, ascii);
}

void route_target_of(const struct config *config, const struct config_route *route, const char *recipient,
		     struct buf *out)
{
	const char *target = route_target(config, route);
	struct span rest = span_str(target), name, condition = route_condition(target);
	struct buf domain;
	uint32_t weight;

	buf_clear(out);
	if (route_place(target, ROUTE_DIRECT) < 0) {
		buf_append_str(out, target);
		return;
	}
	buf_init(&domain, ADDRESS_DOMAIN_SIZE);
	while (route_next(&rest, &name, &weight)) {
		bool is_direct = span_equals(name, SPAN(ROUTE_DIRECT));

		if (is_direct && !route_domain(config, recipient, &domain))
			continue;
		buf_append_str(out, out->len ? "," : "");
		buf_append_str(out, is_direct ? ROUTE_MX : "");
		buf_append_span(out, is_direct ? buf_span(&domain) : name);
		if (weight)
			buf_printf(out, "=%u", (unsigned)weight);
	}
	if (out->len && condition.len) {
		buf_append_char(out, ROUTE_CONDITION);
		buf_append_span(out, condition);
	}
	buf_fini(&domain);
}
