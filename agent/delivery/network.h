/*
 * network - whether this machine can reach anything at all, judged by what connecting and looking up come to.
 *
 * Decides: from when on lanes that need the network wait (no attempt is counted, no lane fails), when they look again,
 *          and since when the network has been as it is now: mail is not expired before an attempt after that.
 * Never:   reads a clock or a socket.
 * Threads: any, one object per thread.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "delivery/chance.h"
#include "delivery/moment.h"

struct network {
	bool is_offline;
	bool dns_only; /* offline because no resolver answers: literal addresses still work */
	uint32_t failures;
	int64_t retry_boot_ms; /* offline: when one lane looks again */
	bool is_probing;       /* it does */
	int64_t look_boot_ms;  /* when lanes were last told to look (scheduler) */
	int64_t offline_wall_ms;
	int64_t since_wall_ms; /* start, or the last change for the better */
	char text[256];
};

void network_init(struct network *n, struct moment now);
/* No route at all, or no resolver answers. True: it was not known before. */
bool network_failed(struct network *n, bool dns_only, const char *text, const struct config_backoff *backoff,
		    struct chance *chance, struct moment now);
/* Something out there answered, be it a refusal. True: the machine had been offline. */
bool network_worked(struct network *n, struct moment now);
/* Links, addresses or routes changed, or an operator says so: look again at `boot_ms`. */
void network_changed(struct network *n, int64_t boot_ms);
/* The machine slept, or its clock was put right: what was tried before says nothing any more. */
void network_reborn(struct network *n, struct moment now);
/* May a lane that is not local try now? Offline: one at a time, from the retry time on. */
bool network_allows(const struct network *n, bool needs_dns, struct moment now);
int64_t network_deadline(const struct network *n);

#endif
