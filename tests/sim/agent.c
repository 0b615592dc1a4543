#include "tests/sim/agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/sim/disk.h"
#include "tests/sim/sim.h"

enum {
	TIMERS_PER_TURN = 256, /* these as in delivery.c */
	SLEPT_MS = 60 * 1000,
	CLOCK_SLACK_MS = 5000,
	IDLE_MS = 1000 * 3600,
	TURNS_MOST = 20000, /* in one moment */
};

/* ---------------------------------------------------------------- the disk */

/* Not a digest that anybody should trust: it only has to tell bodies apart. */
static void *hash_new(void)
{
	return mem_calloc(1, sizeof(uint64_t));
}
static void hash_update(void *h, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t sum = *(uint64_t *)h;

	for (size_t i = 0; i < len; i++)
		sum = (sum ^ p[i]) * 0x100000001b3u;
	*(uint64_t *)h = sum;
}
static void hash_final(void *h, uint8_t out[32])
{
	memset(out, 0, 32);
	memcpy(out, h, sizeof(uint64_t));
	*(uint64_t *)h = 0;
}
static void hash_free(void *h)
{
	mem_free(h);
}

static bool fails(void *arg, const char *what)
{
	struct sim *sim = arg;

	return sim->agent.is_commit_failing && strcmp(what, "commit") == 0;
}

static void flush(struct sim *sim)
{
	struct agent *a = &sim->agent;

	a->is_commit_failing = a->fail_one_in && sim_once_in(sim, a->fail_one_in);
	if (a->is_commit_failing) {
		sim_log(sim, "a commit fails");
		a->failed_commits++;
		a->last_fail_boot_ms = sim->now.boot_ms;
	}
	disk_commit();
	a->is_commit_failing = false;
	a->flush_boot_ms = INT64_MAX;
	queue_dispatch(a->queue);
	queue_view_end(a->queue);
	agent_poke(sim);
}

/* Takes groups and commits them, as far as their time has come. True: it did something. */
static bool disk_step(struct sim *sim)
{
	struct agent *a = &sim->agent;
	size_t waits;
	bool is_urgent;

	if (disk_is_flushing()) {
		if (sim->now.boot_ms < a->flush_boot_ms)
			return false;
		flush(sim);
		return true;
	}
	waits = disk_waits(&is_urgent);
	if (!waits) {
		a->take_boot_ms = INT64_MAX;
		return false;
	}
	if (a->take_boot_ms == INT64_MAX)
		a->take_boot_ms = sim->now.boot_ms + (a->flush_most_ms ? 10 : 0);
	if (!is_urgent && sim->now.boot_ms < a->take_boot_ms)
		return false;
	a->take_boot_ms = INT64_MAX;
	disk_take(a->flush_most_ms ? 1 + (size_t)sim_roll(sim, 2 * waits) : SIZE_MAX);
	a->flush_boot_ms =
		sim->now.boot_ms + (a->flush_most_ms ? (int64_t)sim_roll(sim, (uint64_t)a->flush_most_ms) : 0);
	return true;
}

/* ---------------------------------------------------------------- start and stop */

static struct config *load(const struct sim *sim)
{
	struct buf errors, warnings;
	char text[PLAN_TEXT], path[128];
	struct config *config;
	FILE *file;

	plan_print(&sim->plan, text);
	snprintf(path, sizeof path, "%s/sendoff.conf", sim->dir);
	file = fopen(path, "w");
	if (!file)
		sim_fail(sim, "no configuration", "%s", path);
	fprintf(file,
		"hostname = \"agent.example.org\"\nqueue { directory = \"%s/queue\" lifetime = 5d warn_after = 4h }\n%s",
		sim->dir, text);
	fclose(file);
	buf_init(&errors, 8192);
	buf_init(&warnings, 8192);
	config = config_load(path, &errors, &warnings);
	if (!config)
		sim_fail(sim, "no configuration", "%s", buf_cstr(&errors));
	buf_fini(&errors);
	buf_fini(&warnings);
	return config;
}

void agent_poke(void *arg)
{
	struct sim *sim = arg;

	sim->agent.is_poked = true;
}

static void news(void *arg, const struct queue_news *n)
{
	struct sim *sim = arg;
	struct agent *a = &sim->agent;

	if (a->is_dying)
		return;
	if (n->kind == QUEUE_NEWS_TIMER || (n->kind == QUEUE_NEWS_FLOW && n->due_ms > sim->now.wall_ms))
		calendar_news(&a->calendar, n->due_ms);
	if (n->kind == QUEUE_NEWS_ACCEPTED)
		mail_came_in(sim, n->id);
	scheduler_news(a->scheduler, n, sim->now);
	agent_poke(sim);
}

void agent_start(struct sim *sim)
{
	struct agent *a = &sim->agent;
	struct queue_config queue;
	struct scheduler_setup setup;
	char why[256] = "";

	if (!a->config)
		a->config = load(sim);
	queue = (struct queue_config){
		.directory = a->config->queue.directory,
		.hash = { hash_new, hash_update, hash_final, hash_free },
		.fail = fails,
		.arg = sim,
	};
	if (queue_open(&queue, &a->queue, why, sizeof why))
		sim_fail(sim, "the queue opens", "%s", why);
	a->is_dying = false;
	a->flush_boot_ms = a->take_boot_ms = INT64_MAX;
	setup = (struct scheduler_setup){ a->queue, a->config, sim->seed + sim->crashes };
	a->scheduler = scheduler_new(&setup, sim->now);
	settle_init(&a->settle, a->queue, a->scheduler, sim->seed);
	bounce_init(&a->bounce, a->queue, a->scheduler);
	calendar_init(&a->calendar, a->queue);
	sweep_init(&a->sweep, a->queue, a->scheduler);
	upkeep_init(&a->upkeep, a->queue, a->scheduler, sim->now);
	tidy_init(&a->tidy, a->queue, a->scheduler, sim->now);
	aside_init(&a->aside, a->scheduler);
	a->scheduler->answered = agent_poke;
	a->scheduler->answered_arg = sim;
	a->tries = 0;
	a->timer_boot_ms = INT64_MAX;
	a->offset_ms = sim->now.wall_ms - sim->now.boot_ms;
	queue_set_watcher(a->queue, news, sim);
	sweep_if_needed(&a->sweep, sim->now);
	mirror_started(sim);
	agent_poke(sim);
}

static void drop(struct sim *sim)
{
	struct agent *a = &sim->agent;

	a->is_dying = true;
	conn_drop_all(sim);
	queue_wait(a->queue);
	queue_view_end(a->queue);
	bounce_fini(&a->bounce);
	aside_fini(&a->aside);
	settle_fini(&a->settle);
	scheduler_free(a->scheduler);
	queue_close(a->queue);
	a->queue = NULL;
	a->scheduler = NULL;
}

static void excuse(struct sim *sim, const struct list *loads)
{
	for (struct list *node = list_first(loads); node; node = list_next(loads, node)) {
		const struct load *load = LIST_ENTRY(node, struct load, node);

		for (size_t i = 0; i < load->count; i++) {
			struct mail_fate *fate = mail_fate_of(sim, load->rcpts[i].address);

			if (fate)
				fate->is_excused = true;
		}
	}
}

/* What the disk does not have yet will be forgotten. */
static void excuse_unwritten(struct sim *sim)
{
	excuse(sim, &sim->agent.settle.writing);
	excuse(sim, &sim->agent.settle.failed);
}

void agent_crash(struct sim *sim)
{
	excuse_unwritten(sim);
	disk_power_off();
	drop(sim);
}

void agent_stop(struct sim *sim)
{
	struct agent *a = &sim->agent;

	scheduler_stop(a->scheduler, sim->now);
	conn_cut_all(sim);
	queue_wait(a->queue);
	excuse_unwritten(sim);
	drop(sim);
}

void agent_reload(struct sim *sim)
{
	struct agent *a = &sim->agent;
	struct config *next = load(sim);

	scheduler_configure(a->scheduler, next, mirror_account_changed, sim, sim->now);
	sweep_start(&a->sweep, true, sim->now);
	config_unref(a->config);
	a->config = next;
	agent_poke(sim);
}

/* ---------------------------------------------------------------- a turn */

static uint64_t finished(const struct agent *a)
{
	return a->settle.delivered + a->settle.bounced + a->bounce.expired;
}

static void watch_clock(struct sim *sim)
{
	struct agent *a = &sim->agent;
	int64_t offset_ms = sim->now.wall_ms - sim->now.boot_ms, jump_ms = offset_ms - a->offset_ms;
	int64_t late_ms = sim->now.boot_ms - a->timer_boot_ms;

	a->timer_boot_ms = INT64_MAX;
	a->offset_ms = offset_ms;
	if (late_ms >= SLEPT_MS) {
		scheduler_woke(a->scheduler, sim->now);
		mirror_hurried(sim, true);
	}
	if (llabs(jump_ms) <= CLOCK_SLACK_MS)
		return;
	scheduler_woke(a->scheduler, sim->now);
	mirror_hurried(sim, true);
	calendar_rewind(&a->calendar);
	if (jump_ms < 0)
		sweep_start(&a->sweep, false, sim->now);
}

static void take_timers(struct sim *sim)
{
	struct agent *a = &sim->agent;
	struct queue_timer timer;

	if (a->scheduler->tries != a->tries)
		bounce_tried(&a->bounce, sim->now);
	a->tries = a->scheduler->tries;
	calendar_news(&a->calendar, a->scheduler->rested_wall_ms);
	a->scheduler->rested_wall_ms = INT64_MAX;
	if (sim->now.boot_ms >= a->bounce.again_boot_ms) {
		a->bounce.again_boot_ms = INT64_MAX;
		calendar_rewind(&a->calendar);
	}
	for (int i = 0; i < TIMERS_PER_TURN && bounce_has_room(&a->bounce); i++) {
		if (!calendar_next(&a->calendar, sim->now.wall_ms, &timer))
			return;
		if (timer.kind == QUEUE_TIMER_FLOW)
			scheduler_flow_due(a->scheduler, (uint32_t)timer.id, sim->now);
		else
			bounce_timer(&a->bounce, timer, sim->now);
	}
}

/* What the agent's parts wait for, in boot time. */
static int64_t due(const struct sim *sim, int part, const char **out_name)
{
	static const char *const names[] = { "scheduler", "settle", "aside", "bounce",   "sweep",
					     "timers",    "upkeep", "tidy",  "the disk", "the disk's patience" };
	const struct agent *a = &sim->agent;

	*out_name = names[part];
	switch (part) {
	case 0: return scheduler_deadline(a->scheduler);
	case 1: return settle_deadline(&a->settle);
	case 2: return aside_deadline(&a->aside);
	case 3: return bounce_deadline(&a->bounce);
	case 4: return sweep_deadline(&a->sweep);
	case 5:
		return a->calendar.next_wall_ms != INT64_MAX && bounce_has_room(&a->bounce)
			       ? moment_boot(sim->now, a->calendar.next_wall_ms)
			       : INT64_MAX;
	case 6: return upkeep_deadline(&a->upkeep, finished(a));
	case 7: return tidy_deadline(&a->tidy);
	case 8: return a->flush_boot_ms;
	default: return a->take_boot_ms;
	}
}

enum { LOOP_PARTS = 8, PARTS = 10 };

static int64_t loop_deadline(const struct sim *sim)
{
	int64_t at = sim->now.boot_ms + IDLE_MS;
	const char *name;

	for (int part = 0; part < LOOP_PARTS; part++)
		at = moment_min(at, due(sim, part, &name));
	return at;
}

int64_t agent_deadline(const struct sim *sim)
{
	return moment_min(loop_deadline(sim), moment_min(sim->agent.flush_boot_ms, sim->agent.take_boot_ms));
}

const char *agent_what_is_due(const struct sim *sim)
{
	const char *name;

	for (int part = 0; part < PARTS; part++)
		if (due(sim, part, &name) <= sim->now.boot_ms)
			return name;
	return "nothing of the agent's";
}

static void turn(struct sim *sim)
{
	struct agent *a = &sim->agent;
	struct scheduler_action action;

	a->is_poked = false;
	watch_clock(sim);
	settle_step(&a->settle, sim->now);
	aside_step(&a->aside, sim->now);
	take_timers(sim);
	bounce_step(&a->bounce, sim->now);
	if (sweep_step(&a->sweep, sim->now))
		agent_poke(sim);
	upkeep_step(&a->upkeep, finished(a), sim->now);
	tidy_step(&a->tidy, sim->now);
	while (scheduler_step(a->scheduler, sim->now, &action)) {
		switch (action.kind) {
		case SCHEDULER_CONNECT: conn_open(sim, action.lane); break;
		case SCHEDULER_FEED: conn_feed(sim, action.lane); break;
		}
	}
	if (scheduler_is_crowded(a->scheduler))
		conn_spare(sim);
	queue_view_end(a->queue);
	a->timer_boot_ms = loop_deadline(sim);
	if (a->timer_boot_ms < sim->now.boot_ms)
		a->timer_boot_ms = sim->now.boot_ms;
}

/* Operations that the disk has not looked at. */
static bool has_new_work(const struct sim *sim)
{
	return !disk_is_flushing() && sim->agent.take_boot_ms == INT64_MAX && disk_waits(NULL);
}

void agent_turn(struct sim *sim)
{
	bool more = true;

	for (int i = 0; more; i++) {
		if (i == TURNS_MOST)
			sim_fail(sim, PROPS_CLOCK, "something is to be done at once, for ever");
		more = disk_step(sim);
		if (!more || sim->agent.is_poked) {
			turn(sim);
			more |= sim->agent.is_poked || has_new_work(sim);
		}
	}
}

/* ---------------------------------------------------------------- mail comes in */

struct submission {
	struct sim *sim;
	size_t mail;
};

static void accepted(void *arg, enum queue_err err, uint64_t id)
{
	struct submission *submission = arg;
	struct sim *sim = submission->sim;

	mail_answered(sim, submission->mail, err, id, sim->agent.is_dying);
	mem_free(submission);
}

void agent_submit(struct sim *sim, size_t number)
{
	struct agent *a = &sim->agent;
	const struct mail *mail = &sim->mails[number];
	struct queue_receipt *receipt = queue_receipt_new(a->queue);
	struct queue_op *op = queue_op_new(a->queue);
	struct submission *submission = MEM_NEW(struct submission);
	struct queue_rcpt rcpts[MAIL_RCPTS];
	char names[MAIL_RCPTS][64], subject[32];
	struct buf targets[MAIL_RCPTS];
	struct queue_envelope envelope = {
		.arrival_ms = sim->now.wall_ms,
		.sender = mail->sender,
		.submitter = mail->submitter,
		.uid = 1000,
		.origin = "",
		.envid = "",
		.message_id = "",
		.subject = subject,
		.expires_ms = sim->now.wall_ms + mail->lifetime_ms,
		.warn_ms = mail->warn_ms ? sim->now.wall_ms + mail->warn_ms : 0,
		.hold_until_ms = mail->hold_ms ? sim->now.wall_ms + mail->hold_ms : 0,
		.route = "",
	};

	snprintf(subject, sizeof subject, "mail %zu", number);
	for (size_t n = 0; n < mail->count; n++) {
		mail_address(number, n, mail->domain, names[n]);
		buf_init(&targets[n], ROUTE_TARGET_MAX + 1);
		route_target_of(a->config, route_of(a->config, "", mail->sender, names[n]), names[n], &targets[n]);
		rcpts[n] = (struct queue_rcpt){
			.address = names[n],
			.orcpt = "",
			.notify = mail->notify,
			.flow = { .target = buf_cstr(&targets[n]), .submitter = mail->submitter, .band = mail->band },
			.due_ms = mail->hold_ms ? sim->now.wall_ms + mail->hold_ms : sim->now.wall_ms,
			.reply = "",
			.host = "",
		};
	}
	submission->sim = sim;
	submission->mail = number;
	if (queue_receipt_append(receipt, "Subject: sim\r\n\r\nHello\r\n", 23))
		sim_fail(sim, "a receipt takes bytes", "it does not");
	queue_op_accept(op, receipt, &envelope, rcpts, mail->count);
	queue_op_submit(op, accepted, submission);
	for (size_t n = 0; n < mail->count; n++)
		buf_fini(&targets[n]);
}
