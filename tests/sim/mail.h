/*
 * mail - what was handed in, what the servers took of it, what its senders were told: the truth about each recipient.
 */
#ifndef MAIL_H
#define MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "delivery/chance.h"
#include "queue/queue.h"

struct sim;

enum { MAIL_RCPTS = 4 };

struct mail_fate {
	struct chance lot; /* what servers make of it is drawn from this, so that it depends on nothing else */
	uint32_t taken;    /* times that a server took it */
	bool is_excused;   /* a reply was lost, or a crash came before the commit: it may be taken again */
	bool is_removed;   /* by an operator */
	uint32_t told_failed, told_delayed, told_relayed; /* in reports */
	int64_t refused_boot_ms;                          /* a server refused it for good; 0: none did */
	int64_t first_tried_boot_ms;                      /* 0: never; greylisting counts from it */
	int64_t taken_boot_ms;                            /* the first time */
};

enum mail_state {
	MAIL_UNANSWERED, /* on its way into the queue */
	MAIL_ACCEPTED,   /* 250 */
	MAIL_REFUSED,
	MAIL_UNKNOWN, /* a crash took the answer */
};

struct mail {
	uint64_t key; /* for its recipients' lots; 0: its number */
	enum mail_state state;
	uint64_t id;
	const char *sender, *submitter, *domain;
	uint8_t band, notify;
	size_t count;
	int64_t lifetime_ms, warn_ms, hold_ms;
	int64_t hold_until_ms; /* wall clock; 0: not held */
	int64_t accepted_boot_ms;
	struct mail_fate fates[MAIL_RCPTS];
};

/* "m12r3@a.example" */
void mail_address(size_t number, size_t n, const char *domain, char out[64]);
/* The fate behind such an address; NULL: it is another's (a report goes there). */
struct mail_fate *mail_fate_of(struct sim *sim, const char *address);
/* Fills the next free one in; its number. */
size_t mail_add(struct sim *sim, const struct mail *mail);
/* Hands it in. */
void mail_submit(struct sim *sim, const struct mail *mail);
/* One that the dice make up. */
void mail_arrives(struct sim *sim);
void mail_answered(struct sim *sim, size_t number, enum queue_err err, uint64_t id, bool is_crash);
/* The queue has accepted a message: a report is read, and what it says is noted. */
void mail_came_in(struct sim *sim, uint64_t id);

#endif
