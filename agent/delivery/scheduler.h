/*
 * scheduler - which message goes next, over which lane: flow -> lane -> job. Decisions only.
 *
 * Owns:    lanes, flows at work, the set of recipients in flight, the state of the network, a reference to the
 *          configuration. Reads the queue and submits operations about lanes and flows, never about messages.
 *          One step costs as much as there is to do, however many lanes and flows there are.
 * Never:   reads a clock, opens a socket, logs: time is an argument, connecting is somebody else's.
 * Threads: the queue's.
 *
 * A connection is made first, and mail is picked when it is ready: whatever goes wrong before MAIL meets no message.
 * The caller runs scheduler_step() until it has no action, whenever something happened and at scheduler_deadline().
 * Connections tell their story by scheduler_ready(), _failed() and so on; who is handed a job hands back every
 * recipient of it once, by scheduler_return() or scheduler_settled(), and the job itself by scheduler_job_end().
 */
#ifndef SCHEDULER_H
#define SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "config.h"
#include "delivery/chance.h"
#include "delivery/conditions.h"
#include "delivery/flight.h"
#include "delivery/flow.h"
#include "delivery/lane.h"
#include "delivery/lanes.h"
#include "delivery/moment.h"
#include "delivery/network.h"
#include "delivery/window.h"
#include "queue/queue.h"
#include "route.h"

enum {
	SCHEDULER_FLIGHT_MAX = 20000,    /* recipients in flight and not yet settled, all together */
	SCHEDULER_REST_MS = 10 * 1000,   /* a flow without due mail is kept in memory for so long */
	SCHEDULER_BUCKET_MS = 10 * 1000, /* token buckets are stored at most this often */
	SCHEDULER_SUSPECTS = 64,
	SCHEDULER_ASTRAY_MAX = 64, /* messages on their way into the flow of another route, all together */
};

struct scheduler {
	struct queue *queue;
	struct config *config;
	struct chance chance;
	struct lanes lanes;
	struct network network;
	struct flow_table flows;
	struct conditions conditions;
	struct window window;           /* how many flows may be in memory */
	struct list idle;               /* flows that may leave it, the longest idle first */
	struct heap wakes;              /* flows that are not active and have mail that is due then (wall clock) */
	struct list held;               /* flows whose condition does not hold, or has only just come to */
	size_t held_count, held_to_ask; /* of these; how many are to be asked whether it does now */
	struct turns line;              /* flows that wait for seats */
	struct heap away;               /* flows without seats whose lane is tried again then (boot time) */
	struct list parking;            /* of these, those that shall wait for it in the queue */
	struct {
		bool is_on, is_writing; /* those that wait there are called back */
		struct queue_timer at;
		char lane[ROUTE_LANE_SIZE]; /* "": whatever their lane */
	} recall;
	int64_t rest_boot_ms; /* flows are put to rest not before */
	int64_t room_boot_ms; /* room for those in line is made not before */
	int64_t fill_boot_ms; /* those that were turned away are looked for not before */
	size_t room_in_vain;  /* MX lanes that were looked at since one gave way */
	struct flight flight;
	unsigned astray; /* picked for a lane that their route has left, and not yet in the flow of the new one */
	int64_t rested_wall_ms; /* the first wake time of flows put to rest: for the calendar, which resets it */
	int64_t horizon_ms;     /* the longest wait that a message's backoff can give */
	int64_t write_boot_ms;  /* lanes are written not before */
	int64_t bucket_boot_ms;
	bool is_writing, is_stopped, is_pause_dirty;
	char *paused_by; /* all lanes; NULL: not paused */
	int64_t paused_wall_ms;
	uint64_t tries; /* counts lanes that were tried for the first time since the network is as it is */
	uint64_t suspects[SCHEDULER_SUSPECTS];
	size_t next_suspect;
	int64_t rush_boot_ms; /* before it, network changes do not hurry failing lanes */
	struct moment now;    /* of the last call */
	/* An operation of this folder was answered: it may be time for a step. Never called from inside scheduler_*(). */
	void (*answered)(void *arg);
	void *answered_arg;
};

static inline void scheduler_answered(struct scheduler *s)
{
	if (s->answered)
		s->answered(s->answered_arg);
}

struct scheduler_setup {
	struct queue *queue;
	struct config *config; /* takes a reference */
	uint64_t seed;
};
/* Never NULL. Lanes, pauses and token buckets are restored from the queue. */
struct scheduler *scheduler_new(const struct scheduler_setup *setup, struct moment now);
/* No job may be out any more. NULL is fine. */
void scheduler_free(struct scheduler *s);
/* A new configuration. `changed` (may be NULL) is told of each lane whose account is another one now. */
void scheduler_configure(struct scheduler *s, struct config *config, void (*changed)(void *arg, struct lane *lane),
			 void *arg, struct moment now);

/* ---- what happened in the queue */

void scheduler_news(struct scheduler *s, const struct queue_news *news, struct moment now);
/* A QUEUE_TIMER_FLOW has come. Without its time it costs more to find the flow again if there is no room for it now. */
void scheduler_timer(struct scheduler *s, const struct queue_timer *timer, struct moment now);
void scheduler_flow_due(struct scheduler *s, uint32_t flow_id, struct moment now);

/* ---- what is to be done */

enum scheduler_action_kind {
	SCHEDULER_CONNECT, /* open one connection for `lane`; it counts as connecting */
	SCHEDULER_FEED,    /* a ready connection of `lane` may take a job; an idle one first */
};
struct scheduler_action {
	enum scheduler_action_kind kind;
	struct lane *lane;
};
bool scheduler_step(struct scheduler *s, struct moment now, struct scheduler_action *out);
/* Boot time; INT64_MAX: nothing comes by itself. */
int64_t scheduler_deadline(const struct scheduler *s);
/* Takes no further message and opens no connection; token buckets are written. */
void scheduler_stop(struct scheduler *s, struct moment now);

/* One message, or those of its recipients that go together. */
struct scheduler_job {
	struct lane *lane;
	uint32_t flow_id;
	uint64_t id;
	int64_t at_wall_ms, at_boot_ms; /* when it was taken */
	size_t count;
	struct queue_due due[]; /* of each recipient */
};
/* The next message for a ready connection of the lane, or NULL. */
struct scheduler_job *scheduler_take(struct scheduler *s, struct lane *lane, struct moment now);
/* Recipient i is as before: still due. */
void scheduler_return(struct scheduler *s, const struct scheduler_job *job, size_t i, struct moment now);
/* Its outcome is committed. */
void scheduler_settled(struct scheduler *s, const struct scheduler_job *job, size_t i);
/* The connection has done with it; recipients may still wait to be settled. */
void scheduler_job_end(struct scheduler *s, struct scheduler_job *job);
/* All recipients are handed back and the job has ended. */
void scheduler_job_free(struct scheduler_job *job);

/* ---- the story of a connection: CONNECT, then ready() or one of the others, at last gone() */

void scheduler_ready(struct scheduler *s, struct lane *lane, struct moment now);
/* It is over; says nothing about the lane's health. */
void scheduler_gone(struct scheduler *s, struct lane *lane, bool was_ready, struct moment now);
/* It failed (gone() still follows). True: the lane's health changed, and idle connections should be closed. */
bool scheduler_failed(struct scheduler *s, struct lane *lane, const struct lane_failure *failure, bool was_ready,
		      struct moment now);
/* There is no network, or no resolver. True: this is news. When other lanes that need the network have working
 * connections it is the lane's own trouble. */
bool scheduler_offline(struct scheduler *s, struct lane *lane, bool dns_only, const char *text, struct moment now);
/* The network answered: a resolver, or a host. True: it had been thought offline. */
bool scheduler_reached(struct scheduler *s, struct lane *lane, bool by_dns, struct moment now);
/* Other lanes than this one have connections over the network that work. */
bool scheduler_has_others(const struct scheduler *s, const struct lane *but);
/* A peer is not who it should be. True: it counts as the network's doing (network.h), not as the lane's. */
bool scheduler_deceived(struct scheduler *s, struct lane *lane, const char *text, struct moment now);
/* A peer speaks SMTP, and (`is_proven`) is who it should be. True: the network had been taken for a captive portal's. */
bool scheduler_proven(struct scheduler *s, struct lane *lane, bool is_proven, struct moment now);
/* The other side spoke about a message. True: the lane had been in trouble. */
bool scheduler_spoke(struct scheduler *s, struct lane *lane, struct moment now);
void scheduler_delivered(struct scheduler *s, struct lane *lane, struct moment now);
/* The message was under way when the connection was lost or the server said 421. The first time nobody blames it;
 * true: it happened before, so it shall have a backoff of its own, lest it stops the lane for good. */
bool scheduler_suspect(struct scheduler *s, uint64_t id);

/* ---- what people say */

struct lane *scheduler_lane(struct scheduler *s, const char *name); /* a configured one in memory, or NULL */
/* NULL: all lanes. False: no such lane. An MX lane may be paused whether there is mail for it or not; woken or resumed is
 * one of which something is known. */
bool scheduler_wake(struct scheduler *s, const char *name, struct moment now);
bool scheduler_pause(struct scheduler *s, const char *name, const char *by, struct moment now);
bool scheduler_resume(struct scheduler *s, const char *name, struct moment now);
/* Links, addresses or routes changed: look again at a moment up to two seconds from now. */
void scheduler_network_changed(struct scheduler *s, struct moment now);
/* What can be seen of the network: mail of routes whose condition (`when`) came to hold leaves at once, where it ceased to no
 * more is sent. Until it is told for the first time no condition holds. True: one changed. */
bool scheduler_network_facts(struct scheduler *s, const struct netfacts *facts, struct moment now);
/* The machine slept, or a clock jumped: the same, and what was tried before does not count for expiry any more. */
void scheduler_woke(struct scheduler *s, struct moment now);

/* ---- what is asked */

/* Was the recipient attempted since the network (also that which its route waits for) is as it is, or a lane of its target tried in vain? */
bool scheduler_is_tried(struct scheduler *s, const struct queue_rcpt *rcpt);
/* A lane of the target is paused (or all are), or its route waits for a network: no attempt can be expected. */
bool scheduler_is_paused(struct scheduler *s, const char *target);
/* The lane in memory that would take mail for the target now, or one of those with weights; NULL: there is none. */
struct lane *scheduler_choice(struct scheduler *s, const char *target);
/* MX lanes with mail wait for a connection: idle ones of others are better closed. */
bool scheduler_is_crowded(const struct scheduler *s);

#endif
