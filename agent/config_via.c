#include <string.h>

#include "config_load.h"

void config_via_route(struct config_load *load, struct config_route *r)
{
	config_check_name(load, &r->at, "route", r->name);
	if (r->via.count == 0)
		config_error(load, &r->at, "route \"%s\" leads nowhere - add via = {\"name of a smarthost\"}", r->name);
	for (size_t i = 0; i < r->via.count; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(r->via.list[i], r->via.list[k]) == 0)
				config_error(load, config_check_at(load, r, "via", &r->at),
					     "via names \"%s\" twice - once is enough", r->via.list[i]);
	if (r->lifetime_ms && r->warn_after_ms >= r->lifetime_ms)
		config_warn(
			load,
			config_check_at(load, r, config_where(load, r, "warn_after") ? "warn_after" : "lifetime",
					&r->at),
			"route \"%s\": mail expires before its sender is warned - make warn_after shorter than lifetime",
			r->name);
	config_check_backoff(load, &r->retry, "retry", &r->at);
}

static void check_via(struct config_load *load, const struct config_route *r)
{
	const struct config *config = load->config;
	const char **names = mem_calloc(config->smarthost_count + 1, sizeof(*names));

	for (size_t i = 0; i < config->smarthost_count; i++)
		names[i] = config->smarthosts[i].name;
	for (size_t i = 0; i < r->via.count; i++) {
		const char *nearest;

		if (config_smarthost(config, r->via.list[i]))
			continue;
		nearest = config_nearest(r->via.list[i], names, config->smarthost_count);
		if (nearest)
			config_error(load, config_check_at(load, r, "via", &r->at),
				     "via names no smarthost \"%s\" - did you mean \"%s\"?", r->via.list[i], nearest);
		else
			config_error(load, config_check_at(load, r, "via", &r->at),
				     "via names no smarthost \"%s\" - add smarthost \"%s\" { host = … }",
				     r->via.list[i], r->via.list[i]);
	}
	mem_free(names);
}

void config_via_check(struct config_load *load)
{
	const struct config *config = load->config;
	const struct config_route *all = NULL;

	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *r = &config->routes[i];

		check_via(load, r);
		if (all)
			config_warn(load, &r->at, "route \"%s\" is never used: \"%s\" (%s:%d) before it takes all mail",
				    r->name, all->name, all->at.file, all->at.line);
		else if (r->from.count == 0 && r->to.count == 0)
			all = r;
	}
	for (size_t i = 0; i < config->smarthost_count; i++) {
		const struct config_smarthost *h = &config->smarthosts[i];
		bool is_used = false;

		for (size_t k = 0; k < config->route_count; k++)
			for (size_t n = 0; n < config->routes[k].via.count; n++)
				is_used = is_used || strcmp(config->routes[k].via.list[n], h->name) == 0;
		if (!is_used)
			config_warn(load, &h->at,
				    "no route leads to smarthost \"%s\" - add route \"rest\" { via = {\"%s\"} }",
				    h->name, h->name);
	}
}
