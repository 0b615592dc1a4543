#include <string.h>

#include "base/text.h"
#include "config_load.h"
#include "route.h"
#include "smtp/address.h"

/* "NAME" or "NAME=WEIGHT"; false: the weight is none. */
static bool read_via(const char *text, struct span *out_name, uint32_t *out_weight)
{
	struct span s = span_str(text), name = span_first(s, span_find(s, '='));
	uint64_t weight = 0;

	*out_name = name;
	if (name.len < s.len && (!text_number(span_from(s, name.len + 1), ROUTE_WEIGHT_MAX, &weight) || weight == 0))
		return false;
	*out_weight = (uint32_t)weight;
	return true;
}

static void check_weights(struct config_load *load, const struct config_route *r, const struct config_at *at)
{
	struct span bare = { 0 }, name;
	uint32_t weight;

	for (size_t i = 0; i < r->via.count; i++) {
		if (!read_via(r->via.list[i], &name, &weight))
			config_error(load, at, "via: \"%s\" has no weight from 1 to %d - write \"%.*s=3\", or \"%.*s\"",
				     r->via.list[i], ROUTE_WEIGHT_MAX, SPAN_ARGS(span_trim(name)),
				     SPAN_ARGS(span_trim(name)));
		else if (!weight && !bare.data)
			bare = name;
		else if (weight && bare.data)
			config_error(load, at,
				     "via: \"%s\" stands behind \"%.*s\", which has no weight and waits for those that "
				     "have - put it in front, or give \"%.*s\" a weight",
				     r->via.list[i], SPAN_ARGS(bare), SPAN_ARGS(bare));
	}
}

/* The queue keeps no longer ones: the domain of a recipient may be as long as any. */
static void check_length(struct config_load *load, const struct config_route *r, const struct config_at *at)
{
	size_t len = r->when.count ? 1 + strlen(r->name) : 0;

	if (r->via.count > ROUTE_VIA_MAX)
		config_error(load, at, "via names %zu ways - at most %d", r->via.count, ROUTE_VIA_MAX);
	for (size_t i = 0; i < r->via.count; i++) {
		struct span s = span_str(r->via.list[i]);

		len += s.len + 1;
		if (span_equals(span_first(s, span_find(s, '=')), SPAN(ROUTE_DIRECT)))
			len += ADDRESS_DOMAIN_MAX + 1;
	}
	if (r->via.count <= ROUTE_VIA_MAX && len > ROUTE_TARGET_MAX)
		config_error(load, at, "via: the names are longer than %d bytes together - name fewer, or shorten them",
			     ROUTE_TARGET_MAX);
}

void config_via_route(struct config_load *load, struct config_route *r)
{
	const struct config_at *at = config_check_at(load, r, "via", &r->at);
	struct span name, other;
	uint32_t weight;

	config_check_name(load, &r->at, "route", r->name);
	if (r->via.count == 0)
		config_error(load, &r->at, "route \"%s\" leads nowhere - add via = {\"name of a smarthost\"}", r->name);
	for (size_t i = 0; i < r->via.count; i++)
		for (size_t k = 0; k < i; k++) {
			read_via(r->via.list[i], &name, &weight);
			read_via(r->via.list[k], &other, &weight);
			if (span_equals(name, other))
				config_error(load, at, "via names \"%.*s\" twice - once is enough", SPAN_ARGS(name));
		}
	check_weights(load, r, at);
	check_length(load, r, at);
	config_when_check(load, r);
	if (r->lifetime_ms && r->warn_after_ms >= r->lifetime_ms)
		config_warn(
			load,
			config_check_at(load, r, config_where(load, r, "warn_after") ? "warn_after" : "lifetime",
					&r->at),
			"route \"%s\": mail expires before its sender is warned - make warn_after shorter than lifetime",
			r->name);
	config_check_backoff(load, &r->retry, "retry", &r->at);
}

void config_via_targets(struct config_load *load)
{
	for (size_t i = 0; i < load->config->route_count; i++) {
		struct config_route *route = &load->config->routes[i];
		struct buf text;

		buf_init(&text, 1 << 20);
		for (size_t k = 0; k < route->via.count; k++) {
			buf_append_str(&text, k ? "," : "");
			buf_append_str(&text, route->via.list[k]);
		}
		if (route->when.count)
			buf_printf(&text, "%c%s", ROUTE_CONDITION, route->name);
		route->target = config_keep(load, buf_span(&text));
		buf_fini(&text);
	}
}

/* ---------------------------------------------------------------- the routes together */

static bool is_known(const struct config *config, struct span name)
{
	for (size_t i = 0; i < config->smarthost_count; i++)
		if (span_equals(name, span_str(config->smarthosts[i].name)))
			return true;
	return span_equals(name, SPAN(ROUTE_DIRECT));
}

/* "work:3": as others write it. */
static bool say_weight(struct config_load *load, const struct config_at *at, struct span span)
{
	struct span name = span_first(span, span_find(span, ':'));

	if (name.len == span.len || !is_known(load->config, name))
		return false;
	config_error(load, at, "via names no smarthost \"%.*s\" - a weight is written \"%.*s=3\"", SPAN_ARGS(span),
		     SPAN_ARGS(name));
	return true;
}

static void say_unknown(struct config_load *load, const struct config_at *at, struct span span)
{
	const struct config *config = load->config;
	const char **names = mem_calloc(config->smarthost_count + 1, sizeof(*names)), *nearest;
	char *name = mem_span_dup(span);

	for (size_t i = 0; i < config->smarthost_count; i++)
		names[i] = config->smarthosts[i].name;
	names[config->smarthost_count] = ROUTE_DIRECT;
	nearest = strcasecmp(name, ROUTE_DIRECT) == 0 ? ROUTE_DIRECT
						      : config_nearest(name, names, config->smarthost_count + 1);
	if (nearest)
		config_error(load, at, "via names no smarthost \"%s\" - did you mean \"%s\"?", name, nearest);
	else
		config_error(load, at, "via names no smarthost \"%s\" - add smarthost \"%s\" { host = … }", name, name);
	mem_free(name);
	mem_free(names);
}

static void check_names(struct config_load *load, const struct config_route *r)
{
	struct span name;
	uint32_t weight;

	for (size_t i = 0; i < r->via.count; i++) {
		const struct config_at *at = config_check_at(load, r, "via", &r->at);

		/* What is wrong with a weight has been said. */
		if (read_via(r->via.list[i], &name, &weight) && !is_known(load->config, name) &&
		    !say_weight(load, at, name))
			say_unknown(load, at, name);
	}
}

void config_via_check(struct config_load *load)
{
	const struct config *config = load->config;
	const struct config_route *all = NULL;

	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *r = &config->routes[i];

		check_names(load, r);
		if (all)
			config_warn(load, &r->at, "route \"%s\" is never used: \"%s\" (%s:%d) before it takes all mail",
				    r->name, all->name, all->at.file, all->at.line);
		else if (r->from.count == 0 && r->to.count == 0)
			all = r;
	}
	for (size_t i = 0; i < config->smarthost_count; i++) {
		const struct config_smarthost *h = &config->smarthosts[i];
		bool is_used = false;

		for (size_t k = 0; k < config->route_count && !is_used; k++)
			is_used = route_place(config->routes[k].target, h->name) >= 0;
		if (!is_used)
			config_warn(load, &h->at,
				    "no route leads to smarthost \"%s\" - add route \"rest\" { via = {\"%s\"} }",
				    h->name, h->name);
	}
}
