#include "delivery/pool.h"

#include "delivery/hop.h"

void pool_init(struct pool *pool)
{
	list_init(&pool->hops);
	list_init(&pool->waiting);
	aside_init(&pool->aside, pool->scheduler);
	habit_init(&pool->habit);
}

void pool_fini(struct pool *pool)
{
	aside_fini(&pool->aside);
	habit_fini(&pool->habit);
}

void pool_connect(struct pool *pool, struct lane *lane)
{
	hop_start(pool, lane);
}

/* A connection without work comes before one that would queue the message behind another. */
static struct hop *find(struct pool *pool, const struct lane *lane)
{
	struct hop *ahead = NULL;

	for (struct list *node = list_first(&pool->waiting); node; node = list_next(&pool->waiting, node)) {
		struct hop *hop = LIST_ENTRY(node, struct hop, waiting);

		if (hop->lane != lane)
			continue;
		if (hop->place == HOP_IDLE)
			return hop;
		ahead = ahead ? ahead : hop;
	}
	return ahead;
}

void pool_feed(struct pool *pool, struct lane *lane)
{
	struct hop *hop = find(pool, lane);

	if (hop)
		hop_feed(hop);
}

void pool_retire(struct pool *pool, struct lane *lane, bool all)
{
	for (struct list *node = list_first(&pool->hops); node; node = list_next(&pool->hops, node)) {
		struct hop *hop = LIST_ENTRY(node, struct hop, node);

		if ((!lane || hop->lane == lane) && (all || hop->place == HOP_IDLE))
			hop_retire(hop);
	}
}

void pool_spare(struct pool *pool)
{
	struct list *next;

	for (struct list *node = list_first(&pool->waiting); node; node = next) {
		struct hop *hop = LIST_ENTRY(node, struct hop, waiting);

		next = list_next(&pool->waiting, node);
		if (hop->lane->domain && hop->place == HOP_IDLE)
			hop_retire(hop);
	}
}

void pool_stop(struct pool *pool)
{
	struct list *next;

	pool->is_stopping = true;
	pool_retire(pool, NULL, true);
	for (struct list *node = list_first(&pool->hops); node; node = next) {
		struct hop *hop = LIST_ENTRY(node, struct hop, node);

		next = list_next(&pool->hops, node);
		if (!hop->client)
			hop_cut(hop);
	}
}

void pool_cut(struct pool *pool)
{
	while (!list_is_empty(&pool->hops))
		hop_cut(LIST_ENTRY(list_first(&pool->hops), struct hop, node));
}
