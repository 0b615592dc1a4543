#include "delivery/hop.h"

#include <stdio.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "delivery/hop_inside.h"
#include "delivery/trouble.h"

void hop_place(struct hop *hop, enum hop_place where)
{
	if (hop->place == HOP_IDLE)
		hop->lane->idle--;
	if (hop->place == HOP_AHEAD)
		hop->lane->ahead--;
	list_remove(&hop->waiting);
	hop->place = where;
	if (where == HOP_IDLE)
		hop->lane->idle++;
	if (where == HOP_AHEAD)
		hop->lane->ahead++;
	if (where != HOP_NOWHERE)
		list_prepend(&hop->pool->waiting, &hop->waiting);
	loop_timer_at(&hop->keep, where == HOP_IDLE ? loop_now_ms(hop->pool->loop) + hop->host->idle_ms : INT64_MAX);
}

/* ---------------------------------------------------------------- going wrong before there is an engine */

static void lane_trouble(struct hop *hop, enum traffic_trouble trouble, const struct approach_result *r)
{
	struct lane_failure failure = { .trouble = trouble, .is_parked = r->is_refused, .text = r->text };

	trouble_failed(hop->pool, hop->lane, &failure, hop->is_ready, hop_now(hop));
	hop_free(hop);
}

static void no_network(struct hop *hop, bool dns_only, const char *text)
{
	trouble_offline(hop->pool, hop->lane, dns_only, text, hop_now(hop));
	hop_free(hop);
}

/* ---------------------------------------------------------------- the way there */

static void approached(void *arg, const struct approach_result *r)
{
	struct hop *hop = arg;
	struct moment now = hop_now(hop);

	if (r->by_dns)
		trouble_reached(hop->pool, hop->lane, true, now);
	if (r->by_host)
		trouble_reached(hop->pool, hop->lane, false, now);
	switch (r->end) {
	case APPROACH_OK: hop_session_start(hop, r->fd); break;
	case APPROACH_NO_SECRET: lane_trouble(hop, TRAFFIC_ACCOUNT, r); break;
	case APPROACH_NEVER:
		/* Said, perhaps, by a network that does not let anybody out yet: nothing bounces for that. */
		if (network_is_suspect(&hop->pool->scheduler->network, now))
			lane_trouble(hop, TRAFFIC_LANE, r);
		else
			hop_never_begin(hop, r->status, r->text);
		break;
	case APPROACH_NO_HOST:
	case APPROACH_REFUSED:
	case APPROACH_LOOKED:
	case APPROACH_LOCAL: lane_trouble(hop, TRAFFIC_LANE, r); break;
	case APPROACH_SILENT: no_network(hop, true, r->text); break;
	case APPROACH_OFFLINE: no_network(hop, false, r->text); break;
	}
}

/* ---------------------------------------------------------------- life */

static void run_task(struct loop_task *task)
{
	struct hop *hop = LIST_ENTRY(task, struct hop, task);

	if (hop->never) {
		hop_never_step(hop);
		return;
	}
	if (hop->looking)
		hop_message_look(hop);
	hop_session_pump(hop);
}

static void kept_long_enough(struct loop_timer *timer)
{
	hop_retire(LIST_ENTRY(timer, struct hop, keep));
}

void hop_start(struct pool *pool, struct lane *lane)
{
	struct hop *hop = MEM_NEW(struct hop);
	int64_t now_ms = loop_now_ms(pool->loop);
	struct approach_setup setup = {
		.account = { .loop = pool->loop,
			     .helper = pool->helper,
			     .credentials_directory = pool->credentials_directory },
		.dns = pool->dns,
		.mtasts = pool->mtasts,
		.config = pool->scheduler->config,
		.host = lane->host,
		.domain = lane->domain,
		.turn = lane->failures,
		.avoid_family = habit_avoids(&pool->habit, lane->name, now_ms),
		.step = hop_report_step,
		.step_arg = hop,
	};

	setup.prefer = habit_prefers(&pool->habit, lane->name, now_ms, &setup.prefer_address);
	crypto_random(&setup.seed, sizeof setup.seed);

	hop->pool = pool;
	hop->lane = lane;
	hop->config = config_ref(pool->scheduler->config);
	hop->host = lane->host;
	list_init(&hop->waiting);
	list_init(&hop->loads);
	list_append(&pool->hops, &hop->node);
	pool->count++;
	loop_task_init(&hop->task, pool->loop, run_task);
	loop_timer_init(&hop->keep, pool->loop, kept_long_enough);
	hop->approach = approach_new(&setup, approached, hop);
}

void hop_free(struct hop *hop)
{
	struct pool *pool = hop->pool;

	hop_place(hop, HOP_NOWHERE);
	approach_free(hop->approach);
	hop_message_stop_looking(hop);
	client_free(hop->client);
	conn_free(hop->conn);
	loop_task_stop(&hop->task);
	loop_timer_stop(&hop->keep);
	list_remove(&hop->node);
	pool->count--;
	scheduler_gone(pool->scheduler, hop->lane, hop->is_ready, hop_now(hop));
	config_unref(hop->config);
	mem_free(hop->never);
	mem_free(hop);
	pool->poke(pool->arg);
}

void hop_feed(struct hop *hop)
{
	if (!hop->client || hop->place == HOP_NOWHERE || !client_is_ready(hop->client))
		return;
	hop_message_offer(hop, hop->place == HOP_AHEAD);
	loop_task_post(&hop->task);
}

void hop_retire(struct hop *hop)
{
	hop->is_retired = true; /* one to nowhere ends by itself */
	if (!hop->client || hop->place != HOP_IDLE)
		return;
	hop_place(hop, HOP_NOWHERE);
	client_quit(hop->client, loop_now_ms(hop->pool->loop));
	loop_task_post(&hop->task);
}

void hop_cut(struct hop *hop)
{
	if (!hop->client) {
		hop_free(hop);
		return;
	}
	hop->is_retired = hop->is_dead = true;
	client_eof(hop->client, SPAN("the agent is stopping"), loop_now_ms(hop->pool->loop));
	hop_session_pump(hop);
}
