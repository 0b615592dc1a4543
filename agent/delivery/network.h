/*
 * network - whether this machine can reach anything at all, judged by what connecting and looking up come to.
 *
 * Decides: from when on lanes that need the network wait (no attempt is counted, no lane fails), when they look again,
 *          and since when the network has been as it is now: mail is not expired before an attempt after that.
 *          Whether a peer that is not what it should be is the network's doing: right behind a new default route, before
 *          any peer was proven, a network that answers in the name of other hosts may be one that wants people to log in
 *          (a captive portal). That counts as offline, too, but not for ever: it may be a mistake of the configuration.
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

enum {
	NETWORK_SUSPECT_MS =
		2 * 60 * 1000, /* behind a new default route: a peer that is not proven may be a portal's doing */
	NETWORK_PORTAL_MS = 10 * 60 * 1000, /* likewise, for as long as one was found within NETWORK_SUSPECT_MS */
	NETWORK_PORTAL_RETRY_MS =
		30 * 1000,     /* its network is looked at again at least so often: people log in any time */
	NETWORK_LET_MS = 1000, /* the lane that met it lets the others go before by so much */
};

struct network {
	bool is_offline;
	bool dns_only;           /* offline because no resolver answers: literal addresses still work */
	bool is_portal;          /* offline because peers are not who they should be */
	bool is_suspect;         /* a default route has come, and no peer was proven since */
	int64_t linked_boot_ms;  /* when it came */
	const void *witness;     /* portal: who met it last; only compared */
	int64_t witness_boot_ms; /* when that one may look again */
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
/* May a lane (`who`) that is not local try now? Offline: one at a time, from the retry time on. */
bool network_allows(const struct network *n, bool needs_dns, const void *who, struct moment now);
int64_t network_deadline(const struct network *n);
/* It is time that lanes look whether they may; true once for each such time. */
bool network_is_due(struct network *n, struct moment now);

/* A default route has come that was not there before: lanes look at `boot_ms` at the latest. */
void network_linked(struct network *n, int64_t boot_ms);
/* A peer was proven to be who it should be. True: the network had been taken for a captive portal's. */
bool network_proven(struct network *n, struct moment now);
/* Whether what a peer is, says or cannot prove, and a "no such host", may be a captive portal's doing. */
bool network_is_suspect(const struct network *n, struct moment now);
/* Suspect: lane `who` met a peer that is not who it should be. True: it was not known before. */
bool network_deceives(struct network *n, const void *who, const char *text, const struct config_backoff *backoff,
		      struct chance *chance, struct moment now);

#endif
