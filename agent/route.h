/*
 * route - which rule and which target an envelope's sender and recipient fall to.
 *
 * A target is the text the queue stores in a flow: names of lanes in order, joined by commas ("work,backup"); "" means
 * that no rule fits: the mail waits and status says so. Lanes with a weight ("work=3,home=1,backup") share the mail in
 * proportion; they stand before those without. A lane is a smart host of that name, or "mx:" and a domain: the MX of the
 * recipient's. Where the rule has a condition (`when`), its name stands behind ("work,backup?office"): the mail waits
 * until it holds. First rule that fits wins. Pure.
 * Threads: any.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include "base/buf.h"
#include "base/span.h"
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
/* What a rule (NULL: "") says of the way; a string of the configuration's. "mx" stands for the MX of each recipient's own
 * domain: route_target_of() is the target of one of them. */
const char *route_target(const struct config *config, const struct config_route *route);

#define ROUTE_DIRECT    "mx"  /* in via */
#define ROUTE_CONDITION '?'   /* before the name of the rule whose condition is to hold; no lane and no rule has it */
#define ROUTE_MX        "mx:" /* lanes begin with it: "mx:example.org", "mx:[192.0.2.1]", "mx:[IPv6:2001:db8::1]" */
enum {
	ROUTE_LANE_SIZE = 300,   /* of a lane's name, with its end */
	ROUTE_TARGET_MAX = 1000, /* longest target; the configuration has none that could become longer */
	ROUTE_WEIGHT_MAX = 1000,
	ROUTE_VIA_MAX = 16, /* lanes of a target */
};
/* The target of a rule for this recipient: "mx" in it has become the lane of the recipient's domain. `out` is cleared
 * first, and is empty where there is no target. */
void route_target_of(const struct config *config, const struct config_route *route, const char *recipient,
		     struct buf *out);
/* The recipient's domain as lanes and policies have it: lower case and A-labels, or an address literal written in one
 * way. A recipient without a domain is one of this machine's: its domain is `hostname`. `out` is cleared first. False:
 * it has no such form. */
bool route_domain(const struct config *config, const char *recipient, struct buf *out);

/* The next lane of a target, which is moved behind it, and its weight (0: none that is one was said); false at the end. Nobody else
 * reads targets. */
bool route_next(struct span *io_target, struct span *out_name, uint32_t *out_weight);
/* The name of the rule that the target's mail waits for, whose `when` must hold; "": it waits for none. A rule that is
 * not there any more, or has no `when` now, holds nothing back. */
struct span route_condition(const char *target);
/* Whether lane `name` stands in `target`, and at which place (0: first); -1: not. */
int route_place(const char *target, const char *name);
/* The lane's name at a place of the target into `out` (cleared first); false: no such place. */
bool route_name(const char *target, int place, struct buf *out);

#endif
