/*
 * delivery_rig - a real queue in a scratch folder, a real configuration and a clock of its own, for tests of what
 *                delivery decides. Header only: unit tests of other rooms do not link delivery.
 */
#ifndef DELIVERY_RIG_H
#define DELIVERY_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "bodyhash.h"
#include "delivery/bounce.h"
#include "delivery/calendar.h"
#include "delivery/scheduler.h"
#include "delivery/settle.h"
#include "delivery/sweep.h"
#include "log.h"
#include "queue/queue.h"

enum { RIG_HOUR = 60 * 60 * 1000, RIG_DAY = 24 * RIG_HOUR };

struct rig {
	char dir[64];
	struct queue *queue;
	struct config *config;
	struct scheduler *scheduler;
	struct settle settle;
	struct bounce bounce;
	struct calendar calendar;
	struct sweep sweep;
	struct moment now;
	uint64_t seed, tries;
	uint64_t accepted; /* id of the last accept */
	enum queue_err err;
	_Atomic bool is_failing; /* the disk; asked by the writer's thread */
	pthread_mutex_t disk;    /* commits wait for it */
};

static inline bool rig_fails(void *arg, const char *what)
{
	struct rig *rig = arg;

	if (strcmp(what, "commit") == 0) {
		pthread_mutex_lock(&rig->disk);
		pthread_mutex_unlock(&rig->disk);
	}
	return rig->is_failing;
}

static inline struct config *rig_config(const struct rig *rig, const char *text)
{
	struct buf errors, warnings;
	struct config *config;
	char path[128];
	FILE *file;

	buf_init(&errors, 8192);
	buf_init(&warnings, 8192);
	snprintf(path, sizeof path, "%s/sendoff.conf", rig->dir);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file,
		"hostname = \"agent.example.org\"\nqueue { directory = \"%s/queue\" lifetime = 5d warn_after = 4h }\n%s",
		rig->dir, text);
	fclose(file);
	config = config_load(path, &errors, &warnings);
	if (!config)
		fail_msg("%s", buf_cstr(&errors));
	buf_fini(&errors);
	buf_fini(&warnings);
	return config;
}

static inline void rig_watch(void *arg, const struct queue_news *news)
{
	struct rig *rig = arg;

	if (news->kind == QUEUE_NEWS_TIMER || (news->kind == QUEUE_NEWS_FLOW && news->due_ms > rig->now.wall_ms))
		calendar_news(&rig->calendar, news->due_ms);
	scheduler_news(rig->scheduler, news, rig->now);
}

static inline void rig_start(struct rig *rig)
{
	struct queue_config config = {
		.directory = rig->config->queue.directory,
		.hash = bodyhash_sha256,
		.fail = rig_fails,
		.arg = rig,
	};
	struct scheduler_setup setup;
	char why[256] = "";

	rig->err = queue_open(&config, &rig->queue, why, sizeof why);
	if (rig->err)
		fail_msg("queue: %s", why);
	setup = (struct scheduler_setup){ .queue = rig->queue, .config = rig->config, .seed = rig->seed };
	rig->scheduler = scheduler_new(&setup, rig->now);
	settle_init(&rig->settle, rig->queue, rig->scheduler, rig->seed);
	bounce_init(&rig->bounce, rig->queue, rig->scheduler);
	calendar_init(&rig->calendar, rig->queue);
	sweep_init(&rig->sweep, rig->queue, rig->scheduler);
	queue_set_watcher(rig->queue, rig_watch, rig);
	sweep_if_needed(&rig->sweep, rig->now);
	rig->tries = 0;
}

/* What is in memory is lost; what is committed stays. */
static inline void rig_crash(struct rig *rig)
{
	queue_wait(rig->queue);
	queue_view_end(rig->queue);
	bounce_fini(&rig->bounce);
	settle_fini(&rig->settle);
	scheduler_free(rig->scheduler);
	queue_close(rig->queue);
}

/* In memory where there is such a place: what a disk does is not the question here. */
static inline void rig_folder(struct rig *rig)
{
	snprintf(rig->dir, sizeof rig->dir, "/dev/shm/delivery-test-XXXXXX");
	if (mkdtemp(rig->dir))
		return;
	snprintf(rig->dir, sizeof rig->dir, "/tmp/delivery-test-XXXXXX");
	assert_non_null(mkdtemp(rig->dir));
}

static inline void rig_open(struct rig *rig, const char *conf)
{
	*rig = (struct rig){ .now = { 1000000, 1764000000000 }, .seed = 42 };
	pthread_mutex_init(&rig->disk, NULL);
	rig_folder(rig);
	log_open("stderr", "error");
	rig->config = rig_config(rig, conf);
	rig_start(rig);
}

static inline void rig_close(struct rig *rig)
{
	char command[128];

	rig_crash(rig);
	pthread_mutex_destroy(&rig->disk);
	config_unref(rig->config);
	snprintf(command, sizeof command, "rm -rf %s", rig->dir);
	assert_int_equal(system(command), 0);
}

/* Everything that is submitted is committed and heard of; timers that are due are dealt with; sweeps go to their end. */
static inline void rig_turn(struct rig *rig)
{
	struct queue_timer timer;
	bool more = true;

	while (more) {
		more = false;
		calendar_news(&rig->calendar, rig->scheduler->rested_wall_ms);
		rig->scheduler->rested_wall_ms = INT64_MAX;
		if (rig->scheduler->tries != rig->tries)
			bounce_tried(&rig->bounce, rig->now);
		rig->tries = rig->scheduler->tries;
		if (rig->now.boot_ms >= rig->bounce.again_boot_ms) {
			rig->bounce.again_boot_ms = INT64_MAX;
			calendar_rewind(&rig->calendar);
		}
		while (bounce_has_room(&rig->bounce) && calendar_next(&rig->calendar, rig->now.wall_ms, &timer)) {
			if (timer.kind == QUEUE_TIMER_FLOW)
				scheduler_flow_due(rig->scheduler, (uint32_t)timer.id, rig->now);
			else
				bounce_timer(&rig->bounce, timer, rig->now);
			more = true;
		}
		settle_step(&rig->settle, rig->now);
		bounce_step(&rig->bounce, rig->now);
		more |= sweep_step(&rig->sweep, rig->now);
		more |= !queue_is_idle(rig->queue);
		queue_wait(rig->queue);
		queue_view_end(rig->queue);
	}
}

static inline void rig_pass(struct rig *rig, int64_t ms)
{
	rig->now.boot_ms += ms;
	rig->now.wall_ms += ms;
}

static inline void rig_accepted(void *arg, enum queue_err err, uint64_t id)
{
	struct rig *rig = arg;

	rig->err = err;
	rig->accepted = id;
}

struct rig_mail {
	const char *sender, *submitter, *target;
	uint8_t band, notify;
	size_t count; /* recipients; 0: one */
	const char *rcpt;
	int64_t lifetime_ms, warn_ms;
	uint32_t flags;
	const char *route, *envid, *orcpt;
	int64_t by_ms;   /* DELIVERBY: from now on; 0: not said */
	int64_t hold_ms; /* FUTURERELEASE: likewise */
	enum queue_ret ret;
	const char *body; /* NULL: a small one */
	size_t body_len;  /* 0: of the text */
	enum queue_body kind;
};

/* Hands a message in; the commit comes when it comes. */
static inline void rig_hand_in(struct rig *rig, struct rig_mail m)
{
	const char *body = m.body ? m.body : "Subject: test\r\n\r\nHello\r\n";
	size_t len = m.body_len ? m.body_len : strlen(body);
	struct queue_receipt *receipt = queue_receipt_new(rig->queue);
	struct queue_op *op = queue_op_new(rig->queue);
	size_t count = m.count ? m.count : 1;
	struct queue_rcpt *rcpts = mem_calloc(count, sizeof *rcpts);
	char(*names)[64] = mem_calloc(count, sizeof *names);
	struct queue_envelope envelope = {
		.arrival_ms = rig->now.wall_ms,
		.sender = m.sender ? m.sender : "me@example.org",
		.submitter = m.submitter ? m.submitter : "uid:1000",
		.uid = 1000,
		.origin = "",
		.envid = m.envid ? m.envid : "",
		.message_id = "x@example.org",
		.subject = "test",
		.expires_ms = rig->now.wall_ms + (m.lifetime_ms ? m.lifetime_ms : 5 * RIG_DAY),
		.warn_ms = m.warn_ms ? rig->now.wall_ms + m.warn_ms : 0,
		.flags = m.flags,
		.route = m.route,
		.ret = m.ret,
		.body = m.kind,
		.deliver_by_ms = m.by_ms ? rig->now.wall_ms + m.by_ms : 0,
		.hold_until_ms = m.hold_ms ? rig->now.wall_ms + m.hold_ms : 0,
	};

	for (size_t i = 0; i < count; i++) {
		snprintf(names[i], sizeof names[i], "r%zu@example.net", i);
		rcpts[i] = (struct queue_rcpt){
			.address = m.rcpt ? m.rcpt : names[i],
			.orcpt = m.orcpt ? m.orcpt : "",
			.notify = m.notify,
			.flow = { .target = m.target ? m.target : "work",
				  .submitter = envelope.submitter,
				  .band = m.band ? m.band : 1 },
			.due_ms = rig->now.wall_ms,
			.reply = "",
			.host = "",
		};
	}
	for (size_t at = 0, part; at < len; at += part) {
		part = len - at < 60000 ? len - at : 60000;
		while (queue_receipt_append(receipt, body + at, part) == QUEUE_BUSY)
			queue_wait(rig->queue);
	}
	queue_op_accept(op, receipt, &envelope, rcpts, count);
	queue_op_submit(op, rig_accepted, rig);
	mem_free(rcpts);
	mem_free(names);
}

/* Accepts a message and waits for the commit; its id. */
static inline uint64_t rig_mail(struct rig *rig, struct rig_mail m)
{
	rig_hand_in(rig, m);
	queue_wait(rig->queue);
	queue_view_end(rig->queue);
	assert_int_equal(rig->err, QUEUE_OK);
	return rig->accepted;
}

static inline bool rig_step(struct rig *rig, struct scheduler_action *out)
{
	return scheduler_step(rig->scheduler, rig->now, out);
}

static inline struct lane *rig_lane(struct rig *rig, const char *name)
{
	struct lane *lane = scheduler_lane(rig->scheduler, name);

	assert_non_null(lane);
	return lane;
}

/* The scheduler wants one connection of the lane, which then is ready. */
static inline struct lane *rig_connect(struct rig *rig, const char *name)
{
	struct scheduler_action action;

	if (!rig_step(rig, &action))
		fail_msg("nothing to do, although %s should be connected", name);
	assert_int_equal(action.kind, SCHEDULER_CONNECT);
	assert_string_equal(action.lane->name, name);
	scheduler_ready(rig->scheduler, action.lane, rig->now);
	return action.lane;
}

static inline void rig_nothing(struct rig *rig)
{
	struct scheduler_action action;

	if (rig_step(rig, &action))
		fail_msg("%s of %s, although nothing should be done",
			 action.kind == SCHEDULER_CONNECT ? "CONNECT" : "FEED", action.lane->name);
}

static inline void rig_refuse(struct rig *rig, struct lane *lane, enum traffic_trouble trouble, bool parked)
{
	struct lane_failure failure = { .trouble = trouble, .is_parked = parked, .text = "connection refused" };

	scheduler_failed(rig->scheduler, lane, &failure, false, rig->now);
	scheduler_gone(rig->scheduler, lane, false, rig->now);
}

static inline struct load *rig_take(struct rig *rig, struct lane *lane)
{
	struct scheduler_job *job = scheduler_take(rig->scheduler, lane, rig->now);
	enum queue_err err = QUEUE_OK;
	struct load *load = job ? load_new(job, queue_view(rig->queue), &err) : NULL;

	assert_int_equal(err, QUEUE_OK);
	queue_view_end(rig->queue);
	return load;
}

/* The same verdict for all recipients, committed. */
static inline void rig_settle(struct rig *rig, struct load *load, enum settle_verdict verdict, const char *reply)
{
	if (verdict != SETTLE_UNTRIED)
		scheduler_spoke(rig->scheduler, load->job->lane, rig->now);
	for (size_t i = 0; i < load->count; i++)
		settle_rcpt(&rig->settle, load, i, verdict, reply, "mx.example.net", rig->now);
	settle_close(&rig->settle, load, rig->now);
	queue_wait(rig->queue);
	queue_view_end(rig->queue);
}

static inline struct queue_rcpt rig_rcpt(struct rig *rig, uint64_t id, uint32_t n)
{
	struct queue_rcpt rcpt;

	assert_int_equal(queue_view_rcpt(queue_view(rig->queue), id, n, &rcpt), QUEUE_OK);
	return rcpt;
}

static inline bool rig_has(struct rig *rig, uint64_t id)
{
	struct queue_envelope envelope;
	bool has = queue_view_envelope(queue_view(rig->queue), id, &envelope) == QUEUE_OK;

	queue_view_end(rig->queue);
	return has;
}

static inline uint64_t rig_messages(struct rig *rig)
{
	struct queue_stats stats;

	queue_stats(rig->queue, &stats);
	return stats.messages;
}

#endif
