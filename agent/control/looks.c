#include "control/looks.h"

#include <string.h>

#include "control/fields.h"
#include "route.h"

void looks_init(struct looks *looks, struct client *client, struct mem_arena *arena)
{
	*looks = (struct looks){ .client = client, .arena = arena };
}

static void stop(struct looks *looks)
{
	if (looks->is_looking)
		steps_stop(&looks->steps);
	looks->is_looking = false;
}

void looks_fini(struct looks *looks)
{
	stop(looks);
}

static bool is_worth_it(const struct config *config, const char *name)
{
	const struct config_smarthost *host = config_smarthost(config, name);

	if (!host) /* a name that a reload has taken away, or the MX of a domain */
		return strncmp(name, ROUTE_MX, strlen(ROUTE_MX)) == 0;
	return host->host[0] != '/' && !host->proxy.host;
}

static void add(struct looks *looks, const struct config *config, struct span lane)
{
	const char *name;

	for (size_t i = 0; i < looks->count; i++)
		if (span_equals(span_str(looks->lanes[i]), lane))
			return;
	name = looks->count < LOOKS_MAX ? mem_arena_dup(looks->arena, lane) : NULL;
	if (name && is_worth_it(config, name))
		looks->lanes[looks->count++] = name;
}

void looks_add(struct looks *looks, const struct config *config, const char *target)
{
	struct span rest = span_str(target), name;
	uint32_t weight;

	while (route_next(&rest, &name, &weight))
		add(looks, config, name);
}

static void begin(struct looks *looks)
{
	struct traffic_walk_setup setup = { .what = looks->lanes[looks->at], .only_look = true };
	char why[200];

	client_say(looks->client, json_pack("{s:s,s:o}", "type", "look", "lane", fields_text(setup.what)));
	if (steps_start(&looks->steps, looks->client, setup, why, sizeof why)) {
		looks->is_looking = true;
		looks->begun_ms = loop_now_ms(looks->client->room->loop);
		client_wake_in(looks->client, LOOKS_MS);
	} else {
		steps_stop(&looks->steps);
		looks->at++;
	}
}

bool looks_say(struct looks *looks)
{
	while (looks->at < looks->count) {
		if (!looks->is_looking)
			begin(looks);
		if (!looks->is_looking)
			continue;
		if (!steps_say(&looks->steps) && loop_now_ms(looks->client->room->loop) < looks->begun_ms + LOOKS_MS)
			return false;
		stop(looks);
		looks->at++;
	}
	return true;
}
