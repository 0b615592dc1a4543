#include "verb_status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "look.h"
#include "route.h"
#include "talk.h"

enum { CELL_SIZE = 1024, NAME_WIDTH = 14, HOST_WIDTH = 30 };

struct status {
	const struct cli *cli;
	int64_t now_ms;
	json_t *whole, *lanes, *conditions, *targets;
};

static uint64_t number(const struct status *status, const char *key)
{
	int64_t value = talk_number(status->whole, key);

	return value > 0 ? (uint64_t)value : 0;
}

static void on_row(void *arg, const json_t *row)
{
	struct status *status = arg;

	if (talk_is(row, "status"))
		json_object_update(status->whole, (json_t *)(uintptr_t)row);
	else if (talk_is(row, "lane"))
		json_array_append(status->lanes, (json_t *)(uintptr_t)row);
	else if (talk_is(row, "condition"))
		json_array_append(status->conditions, (json_t *)(uintptr_t)row);
	else if (talk_is(row, "target"))
		json_array_append(status->targets, (json_t *)(uintptr_t)row);
}

/* ---------------------------------------------------------------- networks that routes wait for */

/* The condition that keeps the target's mail waiting, or NULL. */
static const json_t *missing_condition(const struct status *status, const json_t *target)
{
	struct span name = route_condition(talk_text(target, "target"));

	for (size_t i = 0; name.len && i < json_array_size(status->conditions); i++) {
		const json_t *row = json_array_get(status->conditions, i);

		if (span_equals(span_str(talk_text(row, "route")), name))
			return talk_bool(row, "holds") ? NULL : row;
	}
	return NULL;
}

/* Recipients that wait for this condition; NULL: for any. */
static uint64_t waiting_for_network(const struct status *status, const json_t *condition)
{
	uint64_t count = 0;

	for (size_t i = 0; i < json_array_size(status->targets); i++) {
		const json_t *row = json_array_get(status->targets, i), *missing = missing_condition(status, row);

		if (missing && (!condition || missing == condition))
			count += (uint64_t)talk_number(row, "recipients");
	}
	return count;
}

static void show_conditions(const struct status *status)
{
	for (size_t i = 0; i < json_array_size(status->conditions); i++) {
		const json_t *row = json_array_get(status->conditions, i);
		bool holds = talk_bool(row, "holds");
		uint64_t waiting = waiting_for_network(status, row);
		char route[CELL_SIZE], when[CELL_SIZE], since[LOOK_SIZE];

		printf("%s  %-*s %-*s %s%s%s since %s", i ? "" : "\nNetworks that routes wait for\n", NAME_WIDTH,
		       look_text(talk_text(row, "route"), 0, route, sizeof route), HOST_WIDTH,
		       look_text(talk_text(row, "when"), 0, when, sizeof when),
		       look_colour(status->cli, holds ? LOOK_GREEN : LOOK_YELLOW),
		       holds                       ? "there"
		       : talk_bool(row, "unknown") ? "cannot be seen"
						   : "not there",
		       look_colour(status->cli, LOOK_PLAIN),
		       look_time(talk_number(row, "since_ms"), status->now_ms, since));
		if (waiting)
			printf(", %" PRIu64 " waiting", waiting);
		putchar('\n');
	}
}

/* ---------------------------------------------------------------- the verdict */

static bool lane_is_well(const json_t *lane)
{
	return strcmp(talk_text(lane, "trouble"), "well") == 0 && !talk_text(lane, "paused_by")[0];
}

/* Not known to be bad, but not one connection has got through. */
static bool is_being_tried(const json_t *lane)
{
	return lane_is_well(lane) && talk_number(lane, "connecting") > 0 &&
	       talk_number(lane, "connecting") == talk_number(lane, "connections");
}

static bool lane_is_mx(const json_t *lane)
{
	return strncmp(talk_text(lane, "name"), ROUTE_MX, sizeof ROUTE_MX - 1) == 0;
}

/* Smart hosts, and as one more the way straight to domains, where a route has it. */
struct ways {
	size_t all, unwell, tried;
};

static struct ways count_ways(const struct status *status)
{
	uint64_t mx_unwell = number(status, "mx_failing") + number(status, "mx_paused");
	bool is_direct = talk_bool(status->whole, "direct") || number(status, "mx_lanes");
	struct ways ways = { .all = is_direct, .unwell = mx_unwell && mx_unwell >= number(status, "mx_lanes") };

	for (size_t i = 0; i < json_array_size(status->lanes); i++) {
		const json_t *lane = json_array_get(status->lanes, i);

		if (lane_is_mx(lane))
			continue;
		ways.all++;
		ways.unwell += !lane_is_well(lane);
		ways.tried += is_being_tried(lane);
	}
	return ways;
}

/* One sentence, and whether it is good news. */
static const char *verdict(const struct status *status, enum look_colour *out_colour)
{
	bool has_unwell_mx = number(status, "mx_failing") || number(status, "mx_paused");
	struct ways ways = count_ways(status);

	*out_colour = LOOK_RED;
	if (talk_bool(status->whole, "full"))
		return "New mail is refused: the queue or its disk is full.";
	if (talk_text(status->whole, "paused_by")[0])
		return "All delivery is paused.";
	if (number(status, "routes") == 0 || ways.all == 0)
		return "Mail is kept, but there is no way out: no route to a smart host is configured.";
	if (talk_bool(status->whole, "offline") && talk_bool(status->whole, "dns_only"))
		return "No name server answers: mail is kept and sent when one does.";
	if (talk_bool(status->whole, "offline") && talk_bool(status->whole, "portal"))
		return "The network answers in the name of other hosts: log in to it (captive portal). Mail is kept.";
	if (talk_bool(status->whole, "offline"))
		return "This machine is offline: mail is kept and sent when the network is back.";
	if (ways.unwell == ways.all)
		return has_unwell_mx ? "No mail is flowing: no server that it is for can be used."
				     : "No mail is flowing: no smart host can be used.";
	*out_colour = LOOK_YELLOW;
	if (waiting_for_network(status, NULL) && waiting_for_network(status, NULL) == number(status, "recipients"))
		return "All that waits waits for a network that is not there.";
	if (ways.unwell + ways.tried == ways.all)
		return "Nothing is known to be wrong, but no smart host has answered yet.";
	if (ways.unwell || has_unwell_mx)
		return "Mail is flowing, but not everywhere.";
	if (number(status, "damaged"))
		return "Mail is flowing, but some stored mail is damaged.";
	if (waiting_for_network(status, NULL))
		return "Mail is flowing, but some waits for a network that is not there.";
	*out_colour = LOOK_GREEN;
	if (number(status, "messages"))
		return "Mail is flowing.";
	return talk_bool(status->whole, "own") ? "All is well: no mail of yours is waiting."
					       : "All is well: no mail is waiting.";
}

static void show_advice(const struct status *status, const char *advice)
{
	char cell[CELL_SIZE];

	if (advice[0])
		printf("      %s-> %s%s\n", look_colour(status->cli, LOOK_YELLOW),
		       look_text(advice, 0, cell, sizeof cell), look_colour(status->cli, LOOK_PLAIN));
}

/* Where others than this machine's users may come in. */
static void show_listener(const json_t *row)
{
	const json_t *places = json_object_get(row, "places");
	bool login = talk_bool(row, "login"), certificate = talk_bool(row, "certificate"),
	     trust = talk_bool(row, "trust");
	char cell[CELL_SIZE];

	if (!login && !certificate && !talk_bool(row, "proxy"))
		return;
	printf("  open to %s%s%s%s at", trust ? "those that trust names" : "",
	       trust && (login || certificate) ? ", and " : "", login ? "whoever logs in" : "",
	       certificate ? login ? " or has a certificate" : "whoever has a certificate" : "");
	for (size_t i = 0; i < json_array_size(places); i++)
		printf(" %s", look_text(json_string_value(json_array_get(places, i)), 0, cell, sizeof cell));
	printf(" (%s)%s\n", look_text(talk_text(row, "name"), 0, cell, sizeof cell),
	       talk_bool(row, "proxy") ? ", behind a proxy" : "");
}

static void show_head(const struct status *status)
{
	enum look_colour colour;
	const char *sentence = verdict(status, &colour), *file = talk_text(status->whole, "config");
	char age[LOOK_SIZE], path[CELL_SIZE];

	printf("%s%s%s\n", look_colour(status->cli, colour), sentence, look_colour(status->cli, LOOK_PLAIN));
	if (talk_text(status->whole, "paused_by")[0])
		show_advice(status, "sendoff resume");
	else if (number(status, "routes") == 0 && !talk_bool(status->whole, "own"))
		show_advice(status,
			    file[0] ? "add a smarthost and a route to it (sendoff.conf(5)), then: sendoff reload"
				    : "write a smarthost and a route into a configuration file "
				      "(sendoff.conf(5)), then: sendoff reload");
	printf("sendoffd %s, up for %s, %s%s\n", talk_text(status->whole, "version"),
	       look_age((int64_t)number(status, "started_ms"), status->now_ms, age),
	       file[0] ? "configured by " : "with built-in defaults", look_text(file, 0, path, sizeof path));
	if (talk_bool(status->whole, "offline"))
		printf("  %s since %s  %s\n",
		       talk_bool(status->whole, "dns_only") ? "no names"
		       : talk_bool(status->whole, "portal") ? "captive portal"
							    : "offline",
		       look_time((int64_t)number(status, "offline_since_ms"), status->now_ms, age),
		       look_text(talk_text(status->whole, "offline_text"), 0, path, sizeof path));
	for (size_t i = 0; i < json_array_size(json_object_get(status->whole, "listeners")); i++)
		show_listener(json_array_get(json_object_get(status->whole, "listeners"), i));
}

static void show_if_any(const struct status *status, const char *key, const char *word)
{
	if (number(status, key))
		printf(", %" PRIu64 " %s", number(status, key), word);
}

static void show_counts(const struct status *status)
{
	const char *whose = talk_bool(status->whole, "own") ? " of yours" : "";
	char count[LOOK_SIZE], rcpts[LOOK_SIZE], size[TEXT_SIZE_SIZE], age[LOOK_SIZE];

	if (number(status, "messages"))
		printf("\nWaiting: %s%s (%s, %s), the oldest for %s; %" PRIu64 " being sent\n",
		       look_count(number(status, "messages"), "message", count), whose,
		       look_count(number(status, "recipients"), "recipient", rcpts),
		       text_size_print(number(status, "body_bytes"), size),
		       look_age((int64_t)number(status, "oldest_ms"), status->now_ms, age), number(status, "sending"));
	printf("%sSince start: %" PRIu64 " accepted; recipients: %" PRIu64 " delivered",
	       number(status, "messages") ? "" : "\n", number(status, "accepted"), number(status, "delivered"));
	show_if_any(status, "deferred", "deferred");
	show_if_any(status, "bounced", "bounced");
	show_if_any(status, "doubted", "doubtful");
	putchar('\n');
	if (!talk_bool(status->whole, "counted_all"))
		printf("(What follows counts the oldest %" PRIu64 " messages only.)\n", number(status, "counted"));
}

/* ---------------------------------------------------------------- lanes */

/* "recipients" that wait for the target whose first name this is, or how many of them are not due until "later". */
static uint64_t waiting_for(const struct status *status, const char *name, const char *which)
{
	size_t len = strlen(name);
	uint64_t count = 0;

	for (size_t i = 0; i < json_array_size(status->targets); i++) {
		const json_t *row = json_array_get(status->targets, i);
		const char *target = talk_text(row, "target");

		if (strncmp(target, name, len) == 0 && !missing_condition(status, row) &&
		    (target[len] == '\0' || target[len] == ',' || target[len] == '=' || target[len] == ROUTE_CONDITION))
			count += (uint64_t)talk_number(row, which);
	}
	return count;
}

static void lane_state(const struct status *status, const json_t *lane, char *out, size_t size)
{
	const char *trouble = talk_text(lane, "trouble");
	int64_t last_ms = talk_number(lane, "last_success_ms");
	char age[LOOK_SIZE];

	if (talk_text(lane, "paused_by")[0])
		snprintf(out, size, "paused by %.32s since %s", talk_text(lane, "paused_by"),
			 look_time(talk_number(lane, "paused_ms"), status->now_ms, age));
	else if (talk_bool(lane, "parked"))
		snprintf(out, size, "account refused");
	else if (strcmp(trouble, "account") == 0)
		snprintf(out, size, "account cannot be used just now");
	else if (strcmp(trouble, "network") == 0)
		snprintf(out, size, "waits for the network");
	else if (strcmp(trouble, "host") == 0)
		snprintf(out, size, "failing");
	else if (is_being_tried(lane))
		snprintf(out, size, "being connected to");
	else if (last_ms)
		snprintf(out, size, "well, last delivery %s ago", look_age(last_ms, status->now_ms, age));
	else
		snprintf(out, size, "well, nothing sent yet");
}

static void lane_trouble(const struct status *status, const json_t *lane)
{
	char cell[CELL_SIZE], since[LOOK_SIZE], next[LOOK_SIZE], times[LOOK_SIZE];

	if (talk_number(lane, "failures"))
		printf("      failed %s since %s%s%s\n",
		       look_count((uint64_t)talk_number(lane, "failures"), "time", times),
		       look_time(talk_number(lane, "since_ms"), status->now_ms, since),
		       talk_number(lane, "retry_ms") ? ", next try " : "",
		       talk_number(lane, "retry_ms") ? look_until(talk_number(lane, "retry_ms"), status->now_ms, next)
						     : "");
	if (talk_text(lane, "error")[0])
		printf("      %s\n", look_text(talk_text(lane, "error"), 0, cell, sizeof cell));
	show_advice(status, talk_text(lane, "advice"));
}

static void show_lane(const struct status *status, const json_t *lane)
{
	uint64_t waiting = waiting_for(status, talk_text(lane, "name"), "recipients"),
		 later = waiting_for(status, talk_text(lane, "name"), "later");
	char name[CELL_SIZE], host[CELL_SIZE], state[CELL_SIZE];

	lane_state(status, lane, state, sizeof state);
	look_text(talk_text(lane, "name"), 0, name, sizeof name);
	look_text(talk_text(lane, "host"), 0, host, sizeof host);
	if (lane_is_mx(lane)) /* its host is in its name */
		printf("  %-*s", NAME_WIDTH + 1 + HOST_WIDTH, name);
	else
		printf("  %-*s %-*s", NAME_WIDTH, name, HOST_WIDTH, host);
	printf(" %s%s%s", look_colour(status->cli, lane_is_well(lane) ? LOOK_GREEN : LOOK_RED), state,
	       look_colour(status->cli, LOOK_PLAIN));
	if (waiting)
		printf(", %" PRIu64 " waiting", waiting);
	if (later)
		printf(" (%" PRIu64 " for a later try)", later);
	if (talk_number(lane, "connections"))
		printf(", %" PRId64 " of %" PRId64 " connections", talk_number(lane, "connections"),
		       talk_number(lane, "connections_max"));
	putchar('\n');
	if (!lane_is_well(lane))
		lane_trouble(status, lane);
	if (talk_bool(lane, "insecure"))
		printf("      %snot secure: its certificate is not checked or TLS is not required%s\n",
		       look_colour(status->cli, LOOK_YELLOW), look_colour(status->cli, LOOK_PLAIN));
}

/* ---------------------------------------------------------------- the rest */

static void show_matter(const struct status *status, uint64_t count, const char *noun, const char *what,
			const char *advice)
{
	char text[LOOK_SIZE];

	if (count == 0)
		return;
	printf("  %s %s\n", look_count(count, noun, text), what);
	show_advice(status, advice);
}

static uint64_t without_route(const struct status *status)
{
	uint64_t count = 0;

	for (size_t i = 0; i < json_array_size(status->targets); i++) {
		const json_t *row = json_array_get(status->targets, i);

		if (!talk_text(row, "target")[0])
			count += (uint64_t)talk_number(row, "recipients");
	}
	return count;
}

static void show_matters(const struct status *status)
{
	uint64_t unrouted = without_route(status);

	/* Without any route the head has said so. */
	show_matter(status, number(status, "routes") ? unrouted : 0, "recipient",
		    unrouted == 1 ? "fits no route" : "fit no route",
		    "add a route that fits to the configuration (sendoff.conf(5)), then: sendoff reload");
	show_matter(status, number(status, "held"), "message", "held by an operator",
		    "sendoff list --state held; sendoff release ID");
	show_matter(
		status, number(status, "kept"), "report", "that nobody could be given, kept until somebody reads it",
		"sendoff list --state held; sendoff cat ID; sendoff remove ID; or set postmaster (sendoff.conf(5))");
	show_matter(status, number(status, "damaged"), "message",
		    "damaged: the stored bytes do not match their checksum",
		    "look at the disk; sendoff list --state damaged; sendoff remove ID");
	show_matter(status, number(status, "doubtful"), "recipient",
		    "perhaps delivered: the last reply was lost; tried again after a pause", "");
	show_matter(status, number(status, "put_off"), "recipient", "put off by the sender", "");
	show_matter(status, number(status, "report_owed"), "recipient",
		    "done with; the report to the sender is being made", "");
}

/* What sendmail has left while the agent did not run. */
static void show_dropped(const struct status *status)
{
	const json_t *drop = json_object_get(status->whole, "dropped");
	uint64_t waiting = (uint64_t)talk_number(drop, "waiting"), refused = (uint64_t)talk_number(drop, "refused");
	char count[LOOK_SIZE], why[CELL_SIZE], path[CELL_SIZE];

	if (waiting == 0 && refused == 0)
		return;
	look_text(talk_text(drop, "directory"), 0, path, sizeof path);
	printf("\nDropped while the agent did not run: %s\n", path);
	if (waiting) {
		look_text(talk_text(drop, "why_waiting"), 0, why, sizeof why);
		printf("  %s to be taken in%s%s\n", look_count(waiting, "dropped message", count), why[0] ? ": " : "",
		       why);
	}
	if (refused) {
		look_text(talk_text(drop, "why_refused"), 0, why, sizeof why);
		printf("  %s refused%s%s\n", look_count(refused, "dropped message", count), why[0] ? ": " : "", why);
		printf("      %s-> look at %s/refused: FILE.why has the reason of each; remove them, or move one back up to "
		       "have it tried again%s\n",
		       look_colour(status->cli, LOOK_YELLOW), path, look_colour(status->cli, LOOK_PLAIN));
	}
}

/* Names that lead elsewhere than they should are found out late otherwise. */
static void show_aliases(const struct status *status)
{
	const char *error = talk_text(status->whole, "aliases_error");
	char cell[CELL_SIZE];

	if (error[0])
		printf("\nAliases: %s%s%s\n", look_colour(status->cli, LOOK_RED),
		       look_text(error, 0, cell, sizeof cell), look_colour(status->cli, LOOK_PLAIN));
}

static void show_disk(const struct status *status)
{
	uint64_t used = number(status, "used_bytes"), max = number(status, "max_size_bytes"),
		 left = number(status, "free_disk_bytes");
	char used_text[TEXT_SIZE_SIZE], max_text[TEXT_SIZE_SIZE], free_text[TEXT_SIZE_SIZE], path[CELL_SIZE];

	if (max == 0)
		return;
	printf("\nQueue: %s: %s of %s in use, %s free on the disk\n",
	       look_text(talk_text(status->whole, "directory"), 0, path, sizeof path), text_size_print(used, used_text),
	       text_size_print(max, max_text), text_size_print(left, free_text));
	if (talk_bool(status->whole, "full"))
		show_advice(status, left <= number(status, "min_free_disk_bytes")
					    ? "make room on the disk (queue.min_free_disk keeps a reserve)"
					    : "let mail out, remove some, or raise queue.max_size");
	else if (used > max / 10 * 8)
		show_advice(status, "more than 80 % of queue.max_size is in use");
}

/* How many rows there were. */
static size_t show_lanes(const struct status *status, const char *title, bool of_mx)
{
	size_t shown = 0;

	for (size_t i = 0; i < json_array_size(status->lanes); i++) {
		const json_t *lane = json_array_get(status->lanes, i);

		if (lane_is_mx(lane) != of_mx)
			continue;
		if (shown++ == 0)
			printf("\n%s\n", title);
		show_lane(status, lane);
	}
	return shown;
}

/* Those in trouble come first, and not all of thousands are told. */
static void show_domains(const struct status *status)
{
	size_t shown = show_lanes(status, "Domains", true);
	uint64_t all = number(status, "mx_lanes"), unwell = number(status, "mx_failing") + number(status, "mx_paused");
	char count[LOOK_SIZE];

	if (all <= shown)
		return;
	printf("%s  %s%s that mail was sent to just now or waits for; of all %" PRIu64 ", %" PRIu64 " cannot be used\n",
	       shown ? "" : "\nDomains\n", shown ? "and " : "",
	       look_count(all - shown, shown ? "more domain" : "domain", count), all, unwell);
}

static void show(const struct status *status)
{
	show_head(status);
	show_counts(status);
	show_lanes(status, "Smart hosts", false);
	show_domains(status);
	show_conditions(status);
	if ((without_route(status) && number(status, "routes")) || number(status, "held") ||
	    number(status, "damaged") || number(status, "doubtful") || number(status, "put_off") ||
	    number(status, "report_owed"))
		printf("\nAlso\n");
	show_matters(status);
	show_dropped(status);
	show_aliases(status);
	show_disk(status);
	if (talk_bool(status->whole, "closed"))
		printf("New mail is refused just now: a drain with --close is at work.\n");
}

/* One object, the lanes and targets in it. */
static void print(const struct status *status)
{
	json_object_set(status->whole, "lanes", status->lanes);
	json_object_set(status->whole, "conditions", status->conditions);
	json_object_set(status->whole, "targets", status->targets);
	talk_print(status->whole);
}

int verb_status_run(struct cli *cli)
{
	struct status status = { .cli = cli,
				 .now_ms = clock_wall_ms(),
				 .whole = json_object(),
				 .lanes = json_array(),
				 .conditions = json_array(),
				 .targets = json_array() };
	int err = talk_once(cli, talk_request(cli, "status"), on_row, &status, NULL);

	if (err == 0 && cli->json)
		print(&status);
	else if (err == 0)
		show(&status);
	json_decref(status.whole);
	json_decref(status.lanes);
	json_decref(status.conditions);
	json_decref(status.targets);
	return err;
}
