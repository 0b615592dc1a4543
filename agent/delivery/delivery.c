#include "delivery/delivery.h"

#include <stdlib.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "delivery/account.h"
#include "delivery/bounce.h"
#include "delivery/calendar.h"
#include "delivery/gate.h"
#include "delivery/mtasts.h"
#include "delivery/pool.h"
#include "delivery/scheduler.h"
#include "delivery/settle.h"
#include "delivery/sweep.h"
#include "delivery/tidy.h"
#include "delivery/tlsrpt.h"
#include "delivery/upkeep.h"
#include "log.h"
#include "net/filewatch.h"
#include "net/netwatch.h"

enum {
	TIMERS_PER_TURN = 256,  /* so that a burst of expiries does not hold up sessions */
	SECRET_CHECK_MS = 5000, /* how soon a changed secret releases a refused account */
	STOP_MS = 5000,         /* what is being sent may go on for so long */
	SLEPT_MS = 60 * 1000,   /* a timer so late: the machine slept, or the agent was stopped */
	CLOCK_SLACK_MS = 5000,  /* the wall clock jumped when it leaves boot time by more */
	IDLE_MS = 1000 * 3600,  /* without a deadline: the clocks are compared at least this often */
};

struct delivery {
	struct loop *loop;
	struct queue *queue;
	struct scheduler *scheduler;
	struct settle settle;
	struct bounce bounce;
	struct calendar calendar;
	struct sweep sweep;
	struct upkeep upkeep;
	struct tidy tidy;
	struct pool pool;
	struct gate gate;
	struct netwatch *netwatch;
	struct filewatch *resolv; /* the file that names the resolvers; NULL: none does */
	struct loop_task task;
	struct loop_timer timer, stop_timer;
	uint64_t tries;         /* of the scheduler, as last seen */
	int64_t timer_boot_ms;  /* when the timer should go off */
	int64_t offset_ms;      /* wall clock minus boot time */
	int64_t secret_boot_ms; /* when parked accounts are looked at next */
	void (*reloaded)(void *arg, uint64_t messages);
	void *reloaded_arg;
	void (*stopped)(void *arg);
	void *stopped_arg;
	bool is_stopping, is_cut;
};

static struct moment moment_of(const struct delivery *d)
{
	return (struct moment){ loop_now_ms(d->loop), loop_wall_ms(d->loop) };
}

static void poke(void *arg)
{
	struct delivery *d = arg;

	loop_task_post(&d->task);
}

static void news(void *arg, const struct queue_news *n)
{
	struct delivery *d = arg;
	struct moment now = moment_of(d);

	if (n->kind == QUEUE_NEWS_TIMER || (n->kind == QUEUE_NEWS_FLOW && n->due_ms > now.wall_ms))
		calendar_news(&d->calendar, n->due_ms);
	scheduler_news(d->scheduler, n, now);
	poke(d);
}

/* ---------------------------------------------------------------- one turn */

/* Nothing waits for a time that a wrong clock invented, and nothing expires by a jump without another attempt. */
static void watch_clock(struct delivery *d, struct moment now)
{
	int64_t offset_ms = now.wall_ms - now.boot_ms, jump_ms = offset_ms - d->offset_ms;

	d->offset_ms = offset_ms;
	if (llabs(jump_ms) <= CLOCK_SLACK_MS)
		return;
	log_event(LOG_LEVEL_NOTICE, "clock-jumped", LOG_NUM("by_ms", jump_ms));
	scheduler_woke(d->scheduler, now);
	calendar_rewind(&d->calendar);
	if (jump_ms < 0)
		sweep_start(&d->sweep, false, now);
}

/* Mail that grew old while the machine slept has had no chance yet. */
static void watch_sleep(struct delivery *d, struct moment now)
{
	int64_t late_ms = now.boot_ms - d->timer_boot_ms;

	d->timer_boot_ms = INT64_MAX;
	if (late_ms < SLEPT_MS)
		return;
	log_event(LOG_LEVEL_NOTICE, "woke", LOG_NUM("after_ms", late_ms));
	scheduler_woke(d->scheduler, now);
}

static uint64_t finished(const struct delivery *d)
{
	return d->settle.delivered + d->settle.bounced + d->bounce.expired;
}

static void take_timers(struct delivery *d, struct moment now)
{
	struct queue_timer timer;

	if (d->scheduler->tries != d->tries)
		bounce_tried(&d->bounce, now);
	d->tries = d->scheduler->tries;
	calendar_news(&d->calendar, d->scheduler->rested_wall_ms);
	d->scheduler->rested_wall_ms = INT64_MAX;
	if (now.boot_ms >= d->bounce.again_boot_ms) {
		d->bounce.again_boot_ms = INT64_MAX;
		calendar_rewind(&d->calendar);
	}
	for (int i = 0; i < TIMERS_PER_TURN && bounce_has_room(&d->bounce); i++) {
		if (!calendar_next(&d->calendar, now.wall_ms, &timer))
			return;
		if (timer.kind == QUEUE_TIMER_FLOW)
			scheduler_timer(d->scheduler, &timer, now);
		else
			bounce_timer(&d->bounce, timer, now);
	}
}

/* A secret that has changed may be the right one. */
static bool check_secret(struct delivery *d, struct lane *lane, struct moment now)
{
	uint64_t mark;

	if (!lane->host || lane->trouble != TRAFFIC_ACCOUNT)
		return false;
	mark = account_mark(lane->host, d->pool.credentials_directory);
	if (mark == lane->secret_mark)
		return true;
	lane->secret_mark = mark;
	log_event(LOG_LEVEL_NOTICE, "released", LOG_TEXT("lane", lane->name),
		  LOG_TEXT("by", "a changed account or secret"));
	scheduler_wake(d->scheduler, lane->name, now);
	return true;
}

/* The smart hosts' only: a domain's MX has no account of its own. */
static void check_secrets(struct delivery *d, struct moment now)
{
	const struct list *lanes = &d->scheduler->lanes.hosts;
	bool any = false;

	if (now.boot_ms < d->secret_boot_ms)
		return;
	for (struct list *node = list_first(lanes); node; node = list_next(lanes, node))
		any |= check_secret(d, LIST_ENTRY(node, struct lane, node), now);
	d->secret_boot_ms = any ? now.boot_ms + SECRET_CHECK_MS : INT64_MAX;
}

static bool has_refused_account(const struct delivery *d)
{
	const struct list *lanes = &d->scheduler->lanes.hosts;

	for (struct list *node = list_first(lanes); node; node = list_next(lanes, node))
		if (LIST_ENTRY(node, struct lane, node)->trouble == TRAFFIC_ACCOUNT)
			return true;
	return false;
}

static void answer_reload(struct delivery *d)
{
	void (*reloaded)(void *arg, uint64_t messages) = d->reloaded;

	if (!reloaded || sweep_is_active(&d->sweep))
		return;
	d->reloaded = NULL;
	reloaded(d->reloaded_arg, d->sweep.messages + d->settle.rerouted);
}

static void set_timer(struct delivery *d, struct moment now)
{
	int64_t at = scheduler_deadline(d->scheduler);

	at = moment_min(at, settle_deadline(&d->settle));
	at = moment_min(at, aside_deadline(&d->pool.aside));
	at = moment_min(at, bounce_deadline(&d->bounce));
	at = moment_min(at, d->is_stopping ? INT64_MAX : sweep_deadline(&d->sweep));
	if (d->calendar.next_wall_ms != INT64_MAX && bounce_has_room(&d->bounce))
		at = moment_min(at, moment_boot(now, d->calendar.next_wall_ms));
	if (d->secret_boot_ms == INT64_MAX && has_refused_account(d))
		d->secret_boot_ms = now.boot_ms + SECRET_CHECK_MS;
	at = moment_min(at, d->secret_boot_ms);
	at = moment_min(at, upkeep_deadline(&d->upkeep, finished(d)));
	at = moment_min(at, d->is_stopping ? INT64_MAX : tidy_deadline(&d->tidy));
	at = moment_min(at, now.boot_ms + IDLE_MS);
	d->timer_boot_ms = at > now.boot_ms ? at : now.boot_ms;
	loop_timer_at(&d->timer, at);
}

static void stop_if_done(struct delivery *d)
{
	void (*stopped)(void *arg) = d->stopped;

	if (!stopped || d->pool.count || (!settle_is_idle(&d->settle) && !d->is_cut))
		return;
	d->stopped = NULL;
	loop_timer_stop(&d->stop_timer);
	stopped(d->stopped_arg);
}

static void turn(struct loop_task *task)
{
	struct delivery *d = LIST_ENTRY(task, struct delivery, task);
	struct moment now = moment_of(d);
	struct scheduler_action action;

	watch_sleep(d, now);
	watch_clock(d, now);
	settle_step(&d->settle, now);
	aside_step(&d->pool.aside, now);
	if (!d->is_stopping) {
		take_timers(d, now);
		bounce_step(&d->bounce, now);
		check_secrets(d, now);
		if (sweep_step(&d->sweep, now))
			poke(d); /* where it changed nothing no answer will come */
		d->settle.is_rerouting = sweep_is_rerouting(&d->sweep);
		d->settle.swept = sweep_reached(&d->sweep);
		upkeep_step(&d->upkeep, finished(d), now);
		tidy_step(&d->tidy, now);
	}
	while (scheduler_step(d->scheduler, now, &action)) {
		switch (action.kind) {
		case SCHEDULER_CONNECT: pool_connect(&d->pool, action.lane); break;
		case SCHEDULER_FEED: pool_feed(&d->pool, action.lane); break;
		}
	}
	if (scheduler_is_crowded(d->scheduler))
		pool_spare(&d->pool);
	set_timer(d, now);
	answer_reload(d);
	stop_if_done(d);
}

static void timer_fired(struct loop_timer *timer)
{
	poke(LIST_ENTRY(timer, struct delivery, timer));
}

static void on_network(void *arg)
{
	struct delivery *d = arg;

	log_event(LOG_LEVEL_INFO, "network-changed");
	scheduler_network_changed(d->scheduler, moment_of(d));
	poke(d);
}

static void on_resolvers(void *arg)
{
	struct delivery *d = arg;

	log_event(LOG_LEVEL_INFO, "resolvers-changed");
	scheduler_network_changed(d->scheduler, moment_of(d));
	poke(d);
}

/* Who asks resolvers by the file looks at it before each question: what is watched for is that there is a reason to ask. */
static void watch_resolvers(struct delivery *d)
{
	const char *file = d->pool.dns ? dns_resolv_file(d->pool.dns) : NULL;

	filewatch_free(d->resolv);
	d->resolv = file ? filewatch_new(d->loop, file, on_resolvers, d) : NULL;
}

static void on_facts(void *arg, const struct netfacts *facts)
{
	struct delivery *d = arg;

	if (scheduler_network_facts(d->scheduler, facts, moment_of(d)))
		poke(d);
}

static size_t tls_reports(void *self, int64_t day, const char *domain,
			  void (*report)(void *arg, const char *domain, const char *json), void *arg)
{
	struct gate *gate = self;

	return tlsrpt_reports(gate->pool->tlsrpt, day, domain, report, arg);
}

/* ---------------------------------------------------------------- life */

/* What connections to the MX of domains need besides. */
static void prepare_mx(struct delivery *d, const struct delivery_setup *setup)
{
	struct mtasts_setup mtasts = { setup->loop, setup->queue, setup->dns, setup->helper };
	struct tlsrpt_setup tlsrpt = { setup->loop, setup->queue, setup->dns, setup->helper, setup->config };

	d->pool.mtasts = mtasts_new(&mtasts);
	d->pool.tlsrpt = tlsrpt_new(&tlsrpt);
}

struct delivery *delivery_new(const struct delivery_setup *setup)
{
	struct delivery *d = MEM_NEW(struct delivery);
	struct scheduler_setup scheduler = { .queue = setup->queue, .config = setup->config };
	struct netwatch_setup netwatch = { .loop = setup->loop, .changed = on_network, .facts = on_facts, .arg = d };
	struct moment now;

	d->loop = setup->loop;
	d->queue = setup->queue;
	now = moment_of(d);
	d->offset_ms = now.wall_ms - now.boot_ms;
	d->timer_boot_ms = INT64_MAX;
	crypto_random(&scheduler.seed, sizeof scheduler.seed);
	d->scheduler = scheduler_new(&scheduler, now);
	settle_init(&d->settle, d->queue, d->scheduler, scheduler.seed);
	bounce_init(&d->bounce, d->queue, d->scheduler);
	calendar_init(&d->calendar, d->queue);
	sweep_init(&d->sweep, d->queue, d->scheduler);
	upkeep_init(&d->upkeep, d->queue, d->scheduler, now);
	tidy_init(&d->tidy, d->queue, d->scheduler, now);
	d->pool = (struct pool){
		.loop = d->loop,
		.queue = d->queue,
		.dns = setup->dns,
		.tls = setup->tls,
		.helper = setup->helper,
		.credentials_directory =
			setup->credentials_directory ? setup->credentials_directory : getenv("CREDENTIALS_DIRECTORY"),
		.scheduler = d->scheduler,
		.settle = &d->settle,
		.poke = poke,
		.arg = d,
	};
	pool_init(&d->pool);
	prepare_mx(d, setup);
	gate_init(&d->gate, &d->pool, &d->bounce, now.wall_ms);
	d->gate.traffic.tls_reports = tls_reports;
	loop_task_init(&d->task, d->loop, turn);
	loop_timer_init(&d->timer, d->loop, timer_fired);
	d->netwatch = netwatch_new(&netwatch);
	watch_resolvers(d);
	scheduler_network_facts(d->scheduler, netwatch_facts(d->netwatch), now);
	d->scheduler->answered = poke;
	d->scheduler->answered_arg = d;
	queue_set_watcher(d->queue, news, d);
	sweep_if_needed(&d->sweep, now);
	poke(d);
	return d;
}

static void account_changed(void *arg, struct lane *lane)
{
	struct delivery *d = arg;

	pool_retire(&d->pool, lane, true);
	lane->no_pipelining = false;
	lane->doubts = 0;
	lane->plain_boot_ms = 0;
	lane->secret_mark = 0;
}

void delivery_reload(struct delivery *d, struct config *config, void (*done)(void *arg, uint64_t messages), void *arg)
{
	struct moment now = moment_of(d);

	if (d->reloaded)
		d->reloaded(d->reloaded_arg, d->sweep.messages + d->settle.rerouted);
	d->reloaded = done;
	d->reloaded_arg = arg;
	tlsrpt_configure(d->pool.tlsrpt, config);
	watch_resolvers(d);
	scheduler_configure(d->scheduler, config, account_changed, d, now);
	sweep_start(&d->sweep, true, now);
	d->settle.is_rerouting = true;
	d->settle.rerouted = d->settle.swept = 0;
	poke(d);
}

const struct traffic *delivery_traffic(struct delivery *d)
{
	return &d->gate.traffic;
}

static void stop_now(struct loop_timer *timer)
{
	struct delivery *d = LIST_ENTRY(timer, struct delivery, stop_timer);

	d->is_cut = true;
	pool_cut(&d->pool);
	poke(d);
}

void delivery_stop(struct delivery *d, void (*done)(void *arg), void *arg)
{
	d->stopped = done;
	d->stopped_arg = arg;
	d->is_stopping = true;
	scheduler_stop(d->scheduler, moment_of(d));
	pool_stop(&d->pool);
	loop_timer_init(&d->stop_timer, d->loop, stop_now);
	loop_timer_in(&d->stop_timer, STOP_MS);
	poke(d);
}

void delivery_free(struct delivery *d)
{
	if (!d)
		return;
	queue_set_watcher(d->queue, NULL, NULL);
	pool_stop(&d->pool);
	pool_cut(&d->pool);
	/* Every answer still finds its asker. */
	queue_wait(d->queue);
	netwatch_free(d->netwatch);
	filewatch_free(d->resolv);
	if (d->is_stopping)
		loop_timer_stop(&d->stop_timer);
	loop_timer_stop(&d->timer);
	loop_task_stop(&d->task);
	queue_view_end(d->queue);
	gate_fini(&d->gate);
	bounce_fini(&d->bounce);
	pool_fini(&d->pool);
	mtasts_free(d->pool.mtasts);
	tlsrpt_free(d->pool.tlsrpt);
	settle_fini(&d->settle);
	scheduler_free(d->scheduler);
	mem_free(d);
}
