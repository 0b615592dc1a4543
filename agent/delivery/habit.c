#include "delivery/habit.h"

#include <string.h>

#include "base/mem.h"

struct habit_lane {
	struct list node;
	char *name;
	int64_t avoid_v4_ms, avoid_v6_ms; /* boot time until which; 0: not */
	char *host;                       /* that worked, or NULL */
	struct dns_address address;
	int64_t prefer_ms;
};

void habit_init(struct habit *h)
{
	memset(h, 0, sizeof *h);
	list_init(&h->lanes);
}

static void drop(struct habit *h, struct habit_lane *lane)
{
	list_remove(&lane->node);
	h->count--;
	mem_free(lane->name);
	mem_free(lane->host);
	mem_free(lane);
}

void habit_fini(struct habit *h)
{
	while (!list_is_empty(&h->lanes))
		drop(h, LIST_ENTRY(list_first(&h->lanes), struct habit_lane, node));
}

static struct habit_lane *find(struct habit *h, const char *name)
{
	for (struct list *node = list_first(&h->lanes); node; node = list_next(&h->lanes, node)) {
		struct habit_lane *lane = LIST_ENTRY(node, struct habit_lane, node);

		if (strcmp(lane->name, name) != 0)
			continue;
		list_remove(&lane->node);
		list_prepend(&h->lanes, &lane->node);
		return lane;
	}
	return NULL;
}

static struct habit_lane *need(struct habit *h, const char *name)
{
	struct habit_lane *lane = find(h, name);

	if (lane)
		return lane;
	if (h->count == HABIT_LANES)
		drop(h, LIST_ENTRY(h->lanes.prev, struct habit_lane, node));
	lane = MEM_NEW(struct habit_lane);
	lane->name = mem_strdup(name);
	list_prepend(&h->lanes, &lane->node);
	h->count++;
	return lane;
}

bool habit_refused(struct habit *h, const char *name, int family, int64_t now_ms)
{
	struct habit_lane *lane = need(h, name);
	int64_t *this_one = family == AF_INET6 ? &lane->avoid_v6_ms : &lane->avoid_v4_ms;
	const int64_t *other = family == AF_INET6 ? &lane->avoid_v4_ms : &lane->avoid_v6_ms;

	if (*other > now_ms)
		return false;
	*this_one = now_ms + HABIT_AVOID_MS;
	return true;
}

int habit_avoids(struct habit *h, const char *name, int64_t now_ms)
{
	const struct habit_lane *lane = find(h, name);

	if (!lane)
		return 0;
	return lane->avoid_v6_ms > now_ms ? AF_INET6 : lane->avoid_v4_ms > now_ms ? AF_INET : 0;
}

bool habit_gives_chance(struct habit *h, uint64_t message)
{
	for (size_t i = 0; i < HABIT_MESSAGES; i++)
		if (h->messages[i] == message)
			return false;
	h->messages[h->next++ % HABIT_MESSAGES] = message;
	return true;
}

void habit_worked(struct habit *h, const char *name, const char *host, const struct dns_address *address,
		  int64_t now_ms)
{
	struct habit_lane *lane = need(h, name);
	char *copy = mem_strdup(host); /* it may be the one that it replaces */

	mem_free(lane->host);
	lane->host = copy;
	lane->address = *address;
	lane->prefer_ms = now_ms + HABIT_PREFER_MS;
}

const char *habit_prefers(struct habit *h, const char *name, int64_t now_ms, struct dns_address *out_address)
{
	const struct habit_lane *lane = find(h, name);

	if (!lane || !lane->host || lane->prefer_ms <= now_ms)
		return NULL;
	*out_address = lane->address;
	return lane->host;
}
