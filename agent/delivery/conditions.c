#include "delivery/conditions.h"

#include <string.h>

#include "base/mem.h"
#include "route.h"
#include "when.h"

enum { TEXT_MAX = 300 };

static void free_list(struct conditions *c)
{
	for (size_t i = 0; i < c->count; i++) {
		mem_free(c->list[i].text);
		mem_free(c->list[i].obstacle);
	}
	mem_free(c->list);
}

void conditions_fini(struct conditions *c)
{
	free_list(c);
	c->list = NULL;
	c->count = 0;
}

static const struct condition *named(const struct conditions *c, struct span name)
{
	for (size_t i = 0; i < c->count; i++)
		if (span_equals(span_str(c->list[i].route->name), name))
			return &c->list[i];
	return NULL;
}

static void write_texts(struct condition *condition)
{
	const struct config_strings *when = &condition->route->when;
	struct buf text;

	buf_init(&text, TEXT_MAX);
	for (size_t i = 0; i < when->count; i++)
		if (!buf_printf(&text, "%s%s", i ? ", or " : "", when->list[i]))
			break;
	condition->text = mem_span_dup(buf_span(&text));
	condition->obstacle =
		mem_printf("it waits for the network of route \"%s\": %s", condition->route->name, condition->text);
	buf_fini(&text);
}

void conditions_configure(struct conditions *c, const struct config *config, struct moment now)
{
	struct condition *list = mem_calloc(config->route_count + 1, sizeof *list);
	size_t count = 0;

	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *route = &config->routes[i];
		const struct condition *before = named(c, span_str(route->name));
		bool holds = when_holds(&route->when, &c->facts);

		if (!route->when.count)
			continue;
		list[count++] = (struct condition){
			.route = route,
			.holds = holds,
			.since_wall_ms = before && before->holds == holds ? before->since_wall_ms : now.wall_ms,
		};
		write_texts(&list[count - 1]);
		if (holds && before && !before->holds)
			c->came_wall_ms = now.wall_ms;
	}
	free_list(c);
	c->list = list;
	c->count = count;
}

bool conditions_see(struct conditions *c, const struct netfacts *facts, struct moment now)
{
	bool is_news = false;

	c->facts = *facts;
	for (size_t i = 0; i < c->count; i++) {
		struct condition *condition = &c->list[i];
		bool holds = when_holds(&condition->route->when, facts);

		if (holds == condition->holds)
			continue;
		condition->holds = holds;
		condition->since_wall_ms = now.wall_ms;
		if (holds)
			c->came_wall_ms = now.wall_ms;
		is_news = true;
	}
	return is_news;
}

const struct condition *conditions_of(const struct conditions *c, const char *target)
{
	struct span name = c->count ? route_condition(target) : SPAN("");

	return name.len ? named(c, name) : NULL;
}

bool conditions_allow(const struct conditions *c, const char *target)
{
	const struct condition *condition = conditions_of(c, target);

	return !condition || condition->holds;
}
