/*
 * approach_inside - what the parts of an approach share; nobody else includes it.
 *
 * approach.c finds the secret and the hosts and goes from one host to the next, approach_host.c learns about one host,
 * approach_dial.c connects to it.
 */
#ifndef APPROACH_INSIDE_H
#define APPROACH_INSIDE_H

#include "base/buf.h"
#include "base/mem.h"
#include "delivery/approach.h"

/* How it ended with hosts, as bits. */
enum {
	APPROACH_ENDED_REFUSED = 1 << 0,
	APPROACH_ENDED_BARRED = 1 << 1, /* must not be used now, or DNS was at fault */
	APPROACH_ENDED_SILENT = 1 << 2,
	APPROACH_ENDED_OFFLINE = 1 << 3,
	APPROACH_ENDED_NOWHERE = 1 << 4, /* DNS says that there is no such host */
};

struct approach {
	struct approach_setup setup;
	void (*done)(void *arg, const struct approach_result *result);
	void *arg;

	/* What is under way: one of these at a time. */
	struct account *account;
	struct target *target;
	struct mtasts_lookup *lookup;
	struct dns_query *query;
	struct dial *dial;
	struct loop_task task; /* the next host, in the same turn */
	struct loop_timer timer;
	int64_t left_ms;  /* of APPROACH_MS */
	int64_t begun_ms; /* the step that is under way */

	char *secret;
	size_t secret_len;
	struct account_refused refused; /* with setup.account.refused */

	struct mem_arena arena;
	struct target_host hosts[TARGET_HOSTS];
	size_t host_count;
	size_t at; /* the host that is being tried */
	bool is_authentic;
	const char *domain_alias;
	struct mtasts_policy sts_policy;
	struct mtasts_result sts;
	bool has_sts;

	/* Of the host that is being tried. */
	struct mem_arena host_arena;
	struct dns_address addresses[APPROACH_ADDRESSES]; /* not connected to yet */
	size_t count;
	struct dns_address last; /* connected to last */
	bool is_signed;          /* its addresses, or its name */
	const char *bases[TLSPOLICY_BASES];
	size_t base_count, base_at;
	struct dns_records tlsa;
	struct dns_record tlsa_list[DNS_RECORDS_MAX];
	bool has_tlsa;
	struct tlspolicy policy;
	bool is_again; /* the last address is being dialled once more */

	bool is_late_round; /* only what was put off: addresses of the family to be avoided */
	bool has_put_off;
	size_t connections;
	unsigned ended; /* APPROACH_ENDED_… */
	bool by_dns, by_host;
	struct buf story;
};

static inline const struct target_host *approach_current(const struct approach *a)
{
	return &a->hosts[a->at];
}

/* approach.c. The next host in another turn, or the end; `ended`: how the present one did. */
void approach_give_up_host(struct approach *a, unsigned ended);
void approach_end(struct approach *a, enum approach_end how, const char *status, const char *text);
/* approach_note() with the host's name in front. */
void approach_note_host(struct approach *a, const char *text);
/* The caller has a connection: its time does not count. */
void approach_rest(struct approach *a);
/* What is begun now is told of with the time that it took. */
void approach_begin(struct approach *a);
void approach_tell(struct approach *a, enum approach_step_kind kind, bool ok, const char *text);

/* approach_host.c. From its addresses to approach_dial() or approach_give_up_host(). */
void approach_host_start(struct approach *a);
void approach_host_decide(struct approach *a, bool without_tls);
/* Addresses of the family to be avoided are put off until nothing else is left. */
void approach_host_put_off(struct approach *a);

/* approach_dial.c. `again`: to the last address and no other. */
void approach_dial(struct approach *a, bool again);

#endif
