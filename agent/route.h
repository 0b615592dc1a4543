/*
 * route - which rule and which target an envelope's sender and recipient fall to.
 *
 * A target is the text the queue stores in a flow: smart host names in order, joined by commas ("work,backup");
 * "" means that no rule fits: the mail waits and status says so. First match wins. Pure.
 * Threads: any.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include "base/buf.h"
#include "config.h"

/* The first rule that fits, or NULL. Sender "" is the null reverse-path; it fits `from` globs only where a rule has
 * none, so that reports leave by the default route. */
const struct config_route *route_find(const struct config *config, const char *sender, const char *recipient);
/* The rule of that name, or NULL. */
const struct config_route *route_named(const struct config *config, const char *name);
/* The rule for a recipient: the one that the envelope names (an identity's; "": none), whatever its globs say, else the
 * first that fits. A name that a reload has taken away counts as none, so that no mail is left behind. */
const struct config_route *route_of(const struct config *config, const char *name, const char *sender,
				    const char *recipient);
/* The target of a rule (NULL: ""); a string of the configuration's. */
const char *route_target(const struct config *config, const struct config_route *route);
/* The lane of the MX of the recipient's domain is called "mx:" and the domain in lower case and A-labels, or the address
 * literal: "mx:example.org", "mx:[192.0.2.1]". */
#define ROUTE_MX "mx:"
enum { ROUTE_LANE_SIZE = 300 };
/* The target of a rule for this recipient: "mx" in it has become the lane of the recipient's domain. `out` is cleared
 * first, and is empty where there is no target. */
void route_target_of(const struct config *config, const struct config_route *route, const char *recipient,
		     struct buf *out);
/* Whether lane `name` stands in `target`, and at which place (0: first); -1: not. */
int route_place(const char *target, const char *name);
/* The name at a place of the target into `out` (cleared first); false: no such place. */
bool route_name(const char *target, int place, struct buf *out);

#endif
