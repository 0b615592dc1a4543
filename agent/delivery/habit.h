/*
 * habit - what was learnt about the ways to lanes and matters for a while: a host that worked when others did not, a family
 *         of addresses (IPv4, IPv6) that was refused, messages that had their second chance by the other one.
 *
 * In memory only: after a restart it is learnt anew.
 * Owns:    HABIT_LANES lanes, HABIT_MESSAGES messages; the ones that were used longest ago give way.
 * Never:   reads a clock.
 * Threads: any, one object per thread.
 */
#ifndef HABIT_H
#define HABIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "net/dns.h"

enum {
	HABIT_LANES = 500,
	HABIT_MESSAGES = 200,
	HABIT_AVOID_MS = 60 * 60 * 1000,  /* a refused family comes last for so long */
	HABIT_PREFER_MS = 10 * 60 * 1000, /* what worked comes before its equals for so long */
};

struct habit_lane;

struct habit {
	struct list lanes; /* the one that was used last first */
	size_t count;
	uint64_t messages[HABIT_MESSAGES];
	size_t next;
};

void habit_init(struct habit *h);
void habit_fini(struct habit *h);

/* A server refused us for where we come from. True: the other family may do better, and this one is avoided from now on;
 * false: that one was refused as well. AF_INET or AF_INET6; boot time. */
bool habit_refused(struct habit *h, const char *lane, int family, int64_t now_ms);
/* The family that comes last, or 0. */
int habit_avoids(struct habit *h, const char *lane, int64_t now_ms);
/* True, once for each message: it may be tried once more by the other family. */
bool habit_gives_chance(struct habit *h, uint64_t message);

/* A connection came about after others had failed. */
void habit_worked(struct habit *h, const char *lane, const char *host, const struct dns_address *address,
		  int64_t now_ms);
/* The host that worked, and its address; NULL: nothing is known. Valid until the next call. */
const char *habit_prefers(struct habit *h, const char *lane, int64_t now_ms, struct dns_address *out_address);

#endif
