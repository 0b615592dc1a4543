#include "delivery/lanes.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "delivery/ledger.h"
#include "delivery/scheduler.h"
#include "route.h"

enum { SMALLEST = 64 };

/* ---------------------------------------------------------------- by name */

void lanes_init(struct lanes *lanes)
{
	*lanes = (struct lanes){ .size = SMALLEST };
	lanes->buckets = mem_calloc(lanes->size, sizeof *lanes->buckets);
	list_init(&lanes->hosts);
	list_init(&lanes->mx);
	agenda_init(&lanes->agenda);
	turns_init(&lanes->slots);
}

static void free_all(struct list *list)
{
	while (!list_is_empty(list))
		lane_free(LIST_ENTRY(list_first(list), struct lane, node));
}

void lanes_fini(struct lanes *lanes)
{
	free_all(&lanes->hosts);
	free_all(&lanes->mx);
	agenda_fini(&lanes->agenda);
	mem_free(lanes->buckets);
	lanes->buckets = NULL;
}

static struct lane **bucket(const struct lanes *lanes, struct span name)
{
	return &lanes->buckets[text_hash(name) & (lanes->size - 1)];
}

struct lane *lanes_find(const struct lanes *lanes, struct span name)
{
	struct lane *lane = *bucket(lanes, name);

	while (lane && !span_equals(span_str(lane->name), name))
		lane = lane->next;
	return lane;
}

static void enter(struct lanes *lanes, struct lane *lane)
{
	struct lane **to = bucket(lanes, span_str(lane->name));

	lane->next = *to;
	*to = lane;
}

static void grow(struct lanes *lanes)
{
	struct lane **old = lanes->buckets;
	size_t size = lanes->size;

	lanes->size *= 2;
	lanes->buckets = mem_calloc(lanes->size, sizeof *lanes->buckets);
	for (size_t i = 0; i < size; i++)
		while (old[i]) {
			struct lane *lane = old[i];

			old[i] = lane->next;
			enter(lanes, lane);
		}
	mem_free(old);
}

static struct lane *add(struct lanes *lanes, const char *name, struct moment now)
{
	struct lane *lane = lane_new(&lanes->agenda, name, now);

	if (lanes->count >= lanes->size)
		grow(lanes);
	enter(lanes, lane);
	lanes->count++;
	list_append(lane->domain ? &lanes->mx : &lanes->hosts, &lane->node);
	lanes->mx_count += lane->domain != NULL;
	return lane;
}

static void drop(struct lanes *lanes, struct lane *lane)
{
	struct lane **at = bucket(lanes, span_str(lane->name));

	while (*at != lane)
		at = &(*at)->next;
	*at = lane->next;
	lanes->count--;
	lanes->mx_count -= lane->domain != NULL;
	lane_free(lane);
}

/* ---------------------------------------------------------------- MX lanes come and go */

bool lanes_is_mx_name(struct span name)
{
	return span_starts_fold(name, SPAN(ROUTE_MX)) && name.len > sizeof ROUTE_MX - 1 && name.len < ROUTE_LANE_SIZE &&
	       !memchr(name.data, '\0', name.len);
}

struct lane *lanes_mx(struct scheduler *s, struct span name, bool anyway)
{
	struct lane *lane = lanes_find(&s->lanes, name);
	char text[ROUTE_LANE_SIZE];

	if (lane || !lanes_is_mx_name(name) || (lanes_is_full(&s->lanes) && !anyway))
		return lane && lane->domain ? lane : NULL;
	memcpy(text, name.data, name.len);
	text[name.len] = '\0';
	lane = add(&s->lanes, text, s->now);
	lane_configure(lane, config_mx(s->config, lane->domain), s->now);
	ledger_restore(s, lane, s->now);
	lane_loosen(lane); /* whoever wanted it sits down first */
	return lane;
}

const struct lane *lanes_peek(struct scheduler *s, struct span name)
{
	struct lane *lane = lanes_find(&s->lanes, name);
	char text[ROUTE_LANE_SIZE];

	if (lane || !lanes_is_mx_name(name))
		return lane && lane->host ? lane : NULL;
	memcpy(text, name.data, name.len);
	text[name.len] = '\0';
	lane = lane_new(NULL, text, s->now);
	lane_configure(lane, config_mx(s->config, lane->domain), s->now);
	ledger_restore(s, lane, s->now);
	return lane;
}

void lanes_put_back(const struct lane *lane)
{
	if (lane && !lane->agenda)
		lane_free((struct lane *)lane);
}

void lanes_drop(struct scheduler *s)
{
	struct list *loose = &s->lanes.agenda.loose, *node;

	while ((node = list_first(loose))) {
		struct lane *lane = LIST_ENTRY(node, struct lane, loose_node);

		list_remove(node);
		if (lane_is_needless(lane))
			drop(&s->lanes, lane);
	}
}

/* ---------------------------------------------------------------- configuration */

static void configure(struct lane *lane, const struct config_smarthost *host,
		      void (*changed)(void *arg, struct lane *lane), void *arg, struct moment now)
{
	if (!lane_configure(lane, host, now))
		return;
	lane_wake(lane); /* what was said of another account or host says nothing of this one */
	if (changed)
		changed(arg, lane);
}

static struct list *take_out(struct list *from)
{
	struct list *node = list_first(from);

	if (node)
		list_remove(node);
	return node;
}

void lanes_configure(struct scheduler *s, void (*changed)(void *arg, struct lane *lane), void *arg, struct moment now)
{
	const struct config *config = s->config;
	struct list before, *node;
	struct lane *lane;

	list_init(&before);
	while ((node = take_out(&s->lanes.hosts)))
		list_append(&before, node);
	for (size_t i = 0; i < config->smarthost_count; i++) {
		const struct config_smarthost *host = &config->smarthosts[i];
		bool is_new = !(lane = lanes_find(&s->lanes, span_str(host->name)));

		if (is_new)
			lane = add(&s->lanes, host->name, now);
		list_remove(&lane->node);
		list_append(&s->lanes.hosts, &lane->node);
		configure(lane, host, changed, arg, now);
		if (is_new)
			ledger_restore(s, lane, now);
	}
	/* Connections and jobs may still point at the others: they stay, without a host. */
	while ((node = take_out(&before))) {
		lane = LIST_ENTRY(node, struct lane, node);
		list_append(&s->lanes.hosts, node);
		if (lane->host && changed)
			changed(arg, lane);
		lane_configure(lane, NULL, now);
	}
	for (node = list_first(&s->lanes.mx); node; node = list_next(&s->lanes.mx, node)) {
		lane = LIST_ENTRY(node, struct lane, node);
		configure(lane, config_mx(config, lane->domain), changed, arg, now);
	}
}
