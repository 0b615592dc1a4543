/*
 * tlsrpt_send - yesterday's reports on TLS on their way to the domains that ask for them (RFC 8460, 3 and 5): by mail
 *               through the queue, or by HTTPS through sendoff-helper; one domain after the other.
 *
 * Promise: a report is queued as mail once: the operation that accepts the mail notes it. What could not be sent is tried
 *          again every hour of the day. Days that only sessions for such mails made are not reported, so that two
 *          servers do not report to each other for ever.
 * Owns:    the domain it is busy with.
 * Threads: the loop's. Logs.
 */
#ifndef TLSRPT_SEND_H
#define TLSRPT_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "delivery/tlsrpt_store.h"
#include "helper/helper.h"
#include "message/tlsreport.h"
#include "net/dns.h"
#include "net/loop.h"

enum {
	TLSRPT_SEND_JITTER_MS = 4 * 3600 * 1000, /* RFC 8460, 4.1: a random delay after midnight */
	TLSRPT_SEND_EARLIEST_MS = 150 * 1000,    /* when all of the day is written */
	TLSRPT_SEND_AGAIN_MS = 3600 * 1000,
};

struct tlsrpt_send {
	struct loop *loop;
	struct queue *queue;
	struct dns *dns;
	struct helper *helper;
	struct tlsrpt_store *store;
	const struct config *config; /* the owner's */
	int64_t jitter_ms;

	struct loop_timer timer;
	int64_t day;                      /* the one that is reported */
	bool is_busy;                     /* with a round over its domains */
	bool is_left;                     /* a domain was not finished in this round */
	bool is_over;                     /* nothing new is begun */
	bool is_writing;                  /* an operation is under way */
	int64_t over_day;                 /* the last day whose round left nothing */
	char name[QUEUE_STATE_NAME_SIZE]; /* as far as the round came */
	char domain[256];
	struct tlsreport_rua rua;
	size_t posting; /* which of rua.https */
	bool has_post_failed;
	unsigned flags; /* that the operation under way sets */
	struct buf json;
	struct dns_query *query;
	struct helper_request *request;
};

/* The caller has filled in the first part. */
void tlsrpt_send_init(struct tlsrpt_send *send);
void tlsrpt_send_configure(struct tlsrpt_send *send, const struct config *config);
void tlsrpt_send_fini(struct tlsrpt_send *send);

/* When the reports of a day are due, wall clock. */
int64_t tlsrpt_send_due_ms(int64_t day, int64_t jitter_ms);
/* The report of a count, as the configuration words it; `id` has room for TLSRPT_SEND_ID_SIZE. */
enum { TLSRPT_SEND_ID_SIZE = 33 };
struct tlsreport tlsrpt_send_report(const struct config *config, const struct tlsrpt_count *count, char *id);

#endif
