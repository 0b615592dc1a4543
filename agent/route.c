#include "route.h"

#include <string.h>

#include "base/text.h"

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

/* The name at the front of *rest, which is moved behind it; empty at the end. */
static struct span next_name(struct span *rest)
{
	struct span name = span_first(*rest, span_find(*rest, ','));

	*rest = span_from(*rest, name.len + 1);
	return name;
}

int route_place(const char *target, const char *name)
{
	struct span rest = span_str(target), wanted = span_str(name);

	for (int place = 0; rest.len; place++)
		if (span_equals(next_name(&rest), wanted))
			return place;
	return -1;
}

bool route_name(const char *target, int place, struct buf *out)
{
	struct span rest = span_str(target);

	buf_clear(out);
	for (int i = 0; rest.len; i++) {
		struct span name = next_name(&rest);

		if (i == place)
			return buf_append_span(out, name);
	}
	return false;
}
