/*
 * traffic - what the delivering side shows and does for the control socket.
 *
 * The two rooms do not know each other: delivery/ fills this in, control/ calls it, main/ introduces them.
 * Text handed out is borrowed for the call.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

enum traffic_trouble { /* whose failure it is (and so who waits) */
		       TRAFFIC_WELL,
		       TRAFFIC_NETWORK, /* the machine is offline: every lane waits, no attempt is counted */
		       TRAFFIC_LANE,    /* this host: refused, TLS, greeting … */
		       TRAFFIC_ACCOUNT, /* password refused, quota: parked or throttled */
};

enum { TRAFFIC_MX_SHOWN = 50 };

struct traffic_lane {
	const char *name, *host; /* "work", "smtp.example.com:587"; "mx:example.org", "example.org" */
	enum traffic_trouble trouble;
	bool parked;                           /* waits for an operator or a changed secret */
	const char *paused_by;                 /* "", or who */
	int64_t paused_ms, since_ms, retry_ms; /* wall clock; 0: none */
	uint32_t failures;
	const char *error;                     /* the last one, in plain words, or "" */
	const char *advice;                    /* what the user can do, or "" */
	uint32_t connections, connections_max; /* open now; allowed */
	uint32_t connecting;                   /* of these: not yet ready for mail */
	uint64_t delivered, deferred, bounced; /* recipients since start */
	int64_t last_success_ms;
	bool insecure; /* verification is off, or TLS is not required */
};

enum traffic_gate {
	TRAFFIC_GATE_NONE,    /* nothing holds it: next in line */
	TRAFFIC_GATE_SENDING, /* being delivered now */
	TRAFFIC_GATE_HELD,    /* an operator's hold */
	TRAFFIC_GATE_KEPT,    /* a report that nobody could be given */
	TRAFFIC_GATE_DAMAGED, /* checksum does not match */
	TRAFFIC_GATE_ROUTE,   /* no route */
	TRAFFIC_GATE_NETWORK,
	TRAFFIC_GATE_PAUSED,
	TRAFFIC_GATE_LANE,
	TRAFFIC_GATE_ACCOUNT,
	TRAFFIC_GATE_RATE,    /* the smart host's rate limit */
	TRAFFIC_GATE_RETRY,   /* its own backoff after a reply about it */
	TRAFFIC_GATE_RELEASE, /* FUTURERELEASE */
	TRAFFIC_GATE_LINE,    /* others are before it */
	TRAFFIC_GATE_REPORT,  /* failed; its report is still to be made */
};
const char *traffic_gate_name(enum traffic_gate gate); /* "held", "account" … ; in traffic.c */

struct traffic_why {
	enum traffic_gate gate;
	bool parked;                /* ACCOUNT: as of the lane */
	char lane[300];             /* or "" */
	int64_t since_ms, until_ms; /* wall clock; 0: unknown, or until something is done */
	char said[512];             /* what was said, "" if nothing */
	char by[256];               /* by whom; "" where the text says it, or nobody did */
	char text[512];             /* one sentence: what it waits for */
	char advice[512];           /* one sentence: what the user can do, or "" */
};

/* What a route waits for (`when`). */
struct traffic_condition {
	const char *route;
	const char *when; /* in words: "interface tun*, or gateway 10.1.0.1" */
	bool holds;
	bool is_unknown;  /* does not hold, because nothing can be seen of the network here */
	int64_t since_ms; /* wall clock: as it is now */
	struct config_at at;
};

struct traffic_summary {
	bool offline;  /* no network */
	bool dns_only; /* with `offline`: there is one, but no resolver answers */
	bool portal;   /* with `offline`: there is one, but it answers in the name of other hosts (captive portal) */
	int64_t offline_since_ms;
	char offline_text[256];
	uint32_t sending; /* recipients in attempts just now */
	uint32_t connections;
	uint32_t mx_lanes;                               /* domains that have mail, or are paused */
	uint32_t mx_failing, mx_paused;                  /* of these: not to be used */
	uint32_t mx_connections;                         /* of `connections`: to MX */
	uint64_t delivered, deferred, bounced, doubtful; /* recipients since start */
	int64_t started_ms;
};

/* A step of a walk to a next hop, as it is done. Texts are borrowed for the call. */
enum traffic_step_end { TRAFFIC_STEP_WELL, TRAFFIC_STEP_NOTE, TRAFFIC_STEP_FAILED };
struct traffic_step {
	const char *what; /* "DNS", "DANE", "MTA-STS", "TCP", "TLS", "EHLO", "AUTH", "MAIL", "RCPT", "RSET", "QUIT" … */
	const char *host; /* whom it was done with: "mx.example.org [192.0.2.1]", or "" */
	enum traffic_step_end end;
	int64_t took_ms;    /* -1: no time was needed */
	const char *text;   /* one line: what came of it */
	const char *advice; /* what the user can do, or "" */
	bool is_last;       /* nothing follows; `end` is that of the whole walk */
};
struct traffic_walk_setup {
	const char *what;                                         /* a smart host's name, "mx:DOMAIN", or a domain */
	const char *from, *to;                                    /* for MAIL and RCPT; NULL: not that far */
	bool only_look;                                           /* DNS and policies, no connection: for explain */
	void (*step)(void *arg, const struct traffic_step *step); /* never from inside walk() */
	void *arg;
};
struct traffic_walk;

struct traffic {
	void *self;
	void (*summary)(void *self, struct traffic_summary *out);
	/* All smart hosts of the configuration, in its order; then at most TRAFFIC_MX_SHOWN domains: those in trouble or
	 * paused before those at work. i counts from 0; false: no more. */
	bool (*lane)(void *self, size_t i, struct traffic_lane *out);
	/* A smart host, or the MX of a domain ("mx:example.org") as it is or as mail would find it. False: no such lane. */
	bool (*lane_named)(void *self, const char *name, struct traffic_lane *out);
	/* Each route that waits for a network, in the configuration's order. i counts from 0; false: no more. NULL: none does. */
	bool (*condition)(void *self, size_t i, struct traffic_condition *out);
	/* The gate before recipient n of a message. False: no such recipient. */
	bool (*why)(void *self, uint64_t id, uint32_t n, struct traffic_why *out);
	bool (*is_sending)(void *self, uint64_t id, uint32_t n);
	/* Forget backoff (and parking) of a lane, or of all and the network's (NULL). False: no such lane. */
	bool (*wake)(void *self, const char *lane);
	/* NULL: everything. Kept across restarts. An MX lane may be paused before there is mail for it. */
	bool (*pause)(void *self, const char *lane, const char *by);
	bool (*resume)(void *self, const char *lane);
	/* What people said of that lane (NULL: of all) is on stable storage. */
	bool (*is_kept)(void *self, const char *lane);
	/* Starts a walk; NULL, with `why`, when there is no such place or too many are under way. */
	struct traffic_walk *(*walk)(void *self, const struct traffic_walk_setup *setup, char *why, size_t why_size);
	void (*walk_cancel)(void *self, struct traffic_walk *walk); /* not after the last step; NULL is fine */
	/* What is known of TLS towards domains on a day (RFC 8460), as days since 1970 in UTC: each domain's report as JSON
	 * through `report`. The number of them. `domain` NULL: all. */
	size_t (*tls_reports)(void *self, int64_t day, const char *domain,
			      void (*report)(void *arg, const char *domain, const char *json), void *arg);
};

/* What sendmail(1) has left while the agent did not run, and is not in the queue. */
struct reception_drop {
	const char *directory;                   /* borrowed for the call */
	uint64_t waiting;                        /* to be taken in */
	uint64_t refused;                        /* kept aside */
	char why_waiting[512], why_refused[512]; /* of one of them; "": nothing is known */
};

/* What the accepting side shows and does. */
struct reception {
	void *self;
	uint32_t (*sessions)(void *self);
	uint64_t (*accepted)(void *self); /* messages since start */
	/* While closed, new mail is answered 421 4.3.2 and listeners pause (drain --close). */
	void (*close)(void *self, bool closed);
	bool (*is_closed)(void *self);
	void (*dropped)(void *self, struct reception_drop *out); /* looks at the disk; NULL: there is none */
};

#endif
