/*
 * lane - a place mail goes, its health and its limits: one per smart host, and one per MX domain that mail is for.
 *
 * Decides: whether it may be tried now, how many connections it may have, when it is probed after a failure, whether
 *          the rate allows a message. A failing lane waits, never its mail.
 * Never:   reads a clock, writes, logs. What it wants to have done it puts on its agenda: to be looked at, to have its
 *          record written.
 * Threads: any, one object per thread.
 *
 * Health: WELL -> (failure without another working connection) -> trouble, failures 1; at retry one probe, one
 * connection with one message; the first reply about a message makes it WELL again, a failure doubles the wait.
 * Parked (the account was refused): the same, but the wait is PARK_MS until released. Paused: an operator's word,
 * independent of health. How many connections a lane that is well may have is pace.h's.
 *
 * An MX lane lives as long as somebody needs it: a flow, a connection, a message under way, a record that is not written
 * yet, an operator's pause. When it goes, its trouble and pause stay in the queue, and come back with it; how many
 * connections it may have and that its replies were in doubt is learnt anew.
 */
#ifndef LANE_H
#define LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "config.h"
#include "delivery/agenda.h"
#include "delivery/chance.h"
#include "delivery/moment.h"
#include "delivery/pace.h"
#include "queue/queue.h"
#include "traffic.h"

enum {
	LANE_BANDS = 4, /* priority bands served in order; higher numbers share the last */
	LANE_ERROR_MAX = 512,
	LANE_PARK_MS = 60 * 60 * 1000,     /* a refused account is tried once after this long */
	LANE_THROTTLE_MS = 10 * 60 * 1000, /* "too much, not now": first wait, doubling to LANE_THROTTLE_MAX_MS */
	LANE_THROTTLE_MAX_MS = 4 * 60 * 60 * 1000,
	LANE_PLAIN_MS = 60 * 60 * 1000, /* without pipelining: first wait, doubling to LANE_PLAIN_MAX_MS */
	LANE_PLAIN_MAX_MS = 24 * 60 * 60 * 1000,
};

/* A token bucket: holds at most one period's worth, fills evenly. */
struct lane_bucket {
	double tokens;
	int64_t at_boot_ms; /* when `tokens` was right */
};

struct lane {
	struct list node;       /* its owner's */
	struct lane *next;      /* of the same hash */
	struct agenda *agenda;  /* NULL: only to be read, it is not among the scheduler's lanes */
	struct list look_node;  /* agenda: now, or crowd */
	struct heap_node later; /* agenda */
	struct list dirty_node, spent_node, loose_node;
	struct list slot_node; /* in line for a connection, where MX lanes have as many as they may (scheduler) */
	uint8_t writing;       /* operations under way that carry its record or bucket */
	char *name;
	/* What an MX lane ("mx:example.org") is for, in lower case and A-labels, or an address literal with brackets: in
	 * `name`, so it lives as long. NULL: a smart host's lane. */
	const char *domain;
	/* Of the owner's configuration; NULL: no longer configured, which no MX lane ever is. Of an MX lane it says how:
	 * host->host is NULL. */
	const struct config_smarthost *host;
	bool is_local, needs_dns; /* loopback or Unix socket; has a name to look up */

	enum traffic_trouble trouble;
	bool is_parked;
	uint32_t failures;
	int64_t since_wall_ms, retry_boot_ms;
	char *error;     /* shorter than LANE_ERROR_MAX; "": none */
	char *paused_by; /* NULL: not paused */
	int64_t paused_wall_ms;

	struct pace pace;           /* how many connections it may have now */
	uint32_t connecting, ready; /* connections on their way, and past the login */
	uint32_t idle, ahead;       /* of the ready ones: without work; able to take one more message behind theirs */
	uint32_t jobs;              /* messages handed out that a connection has not done with */
	uint32_t held;              /* messages handed out that are in memory yet */
	uint32_t seats;             /* of flows */
	struct lane_bucket bucket;
	bool no_pipelining;    /* its replies were in doubt: set by connections, ended by lane_age_doubt() */
	uint32_t doubts;       /* how often they were */
	int64_t plain_boot_ms; /* when pipelining is tried again; 0: not decided */
	uint64_t secret_mark;  /* of the account's secret when it was refused (account_mark) */

	struct list
		bands[LANE_BANDS]; /* flows that may have mail for it, whose turn is longest ago first (scheduler) */
	uint64_t turns;            /* that flows had */

	int64_t tried_wall_ms; /* when an attempt last came to an end, well or not; 0: never since start */
	int64_t success_wall_ms;
	uint64_t delivered, deferred, bounced;
};

/* `agenda` outlives it; NULL: the lane is only to be read. */
struct lane *lane_new(struct agenda *agenda, const char *name, struct moment now);
void lane_free(struct lane *lane); /* NULL is fine */

/* Something changed: see whether it has work. */
void lane_look(struct lane *lane);
/* Nothing can change before that boot time: look then, or (by) at least then. */
void lane_look_at(struct lane *lane, int64_t boot_ms);
void lane_look_by(struct lane *lane, int64_t boot_ms);
/* Somebody needs it less: perhaps nobody does any more. */
void lane_loosen(struct lane *lane);
/* An MX lane that nothing keeps in memory. */
bool lane_is_needless(const struct lane *lane);
/* Nothing happens on it by itself, for that long or (INT64_MAX) until it is told otherwise: boot time, 0: it is at work. */
int64_t lane_rests_until(const struct lane *lane);

/* True when what matters to the account changed: host, port, TLS, user or the secret's place. */
bool lane_configure(struct lane *lane, const struct config_smarthost *host, struct moment now);
/* From the queue at start; a retry time that a wrong clock invented is cut to the longest wait there can be. */
void lane_restore(struct lane *lane, const struct queue_lane *record, struct moment now);
/* Its record; texts are the lane's. False: nothing to remember, the record may go. An MX lane with a rate keeps one while
 * it is well, since_ms saying when its bucket was stored: so everything about it can be found and forgotten some day. */
bool lane_record(const struct lane *lane, struct moment now, struct queue_lane *out);

/* No trouble and not paused: it takes its mail, and lanes behind it in a target get none. */
bool lane_is_well(const struct lane *lane);
/* A connection may be opened or used now: well, or its time has come for one probe. Knows nothing of slots. */
bool lane_may_work(const struct lane *lane, struct moment now);
/* One more connection may be opened. */
bool lane_has_slot(const struct lane *lane, struct moment now);
/* One more message may be handed to a connection (a probe gets one). */
bool lane_has_turn(const struct lane *lane, struct moment now);

struct lane_failure {
	enum traffic_trouble trouble; /* LANE or ACCOUNT */
	bool is_parked, is_throttled; /* ACCOUNT */
	bool was_ready;               /* the connection had come to work (scheduler_failed() says so) */
	const char *text;             /* for people */
};
/* A connection failed; `others` is how many other connections still work. True when the lane's health changed. */
bool lane_failed(struct lane *lane, const struct lane_failure *failure, uint32_t others, struct chance *chance,
		 struct moment now);
/* The other side spoke about a message. True when the lane had been in trouble. */
bool lane_succeeded(struct lane *lane, struct moment now);
/* A message was delivered: one more connection may be tried. */
void lane_rise(struct lane *lane, struct moment now);
/* Before each new connection: a host whose replies were in doubt is spoken to one command at a time, which costs round
 * trips and no message, and after a while in the usual way again. */
void lane_age_doubt(struct lane *lane, struct moment now);
/* The network is another one: what a host failed for may have been the old one, so it is probed at `boot_ms` at the latest;
 * what an account failed for was not. */
void lane_hurry(struct lane *lane, int64_t boot_ms);
/* Forgets trouble and backoff; the rate is still kept. */
void lane_wake(struct lane *lane);
void lane_pause(struct lane *lane, const char *by, struct moment now);
void lane_resume(struct lane *lane);

/* Rate limit: takes a token, or false. */
bool lane_take_token(struct lane *lane, struct moment now);
/* What was taken for a message that was not even begun goes back. */
void lane_give_token(struct lane *lane);
bool lane_has_rate(const struct lane *lane);
/* Boot time when there will be one; 0: there is one now. */
int64_t lane_token_ms(const struct lane *lane, struct moment now);
/* Kept across restarts as text, "tokens wall-ms". */
enum { LANE_BUCKET_SIZE = 64 };
size_t lane_bucket_print(const struct lane *lane, struct moment now, char out[LANE_BUCKET_SIZE]);
void lane_bucket_restore(struct lane *lane, const char *text, struct moment now);

#endif
