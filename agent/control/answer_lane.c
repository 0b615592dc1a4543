/* pause and resume: one smart host, the MX of one domain, or everything. */
#include <stdio.h>
#include <sysexits.h>

#include "base/mem.h"
#include "control/answers.h"
#include "route.h"

enum {
	KEPT_LOOK_MS = 2,
	KEPT_MOST_MS = 5000, /* a disk that takes longer is said to */
};

static const char *name_of(const struct client *client, char out[32])
{
	if (client->permit.uid == 0)
		return "root";
	snprintf(out, 32, "uid:%u", (unsigned)client->permit.uid);
	return out;
}

static bool is_mx(const char *lane)
{
	return span_starts_fold(span_str(lane), SPAN(ROUTE_MX));
}

static enum client_step finish(struct client *client, bool is_known)
{
	const char *lane = client->request.lane;
	char text[400];

	if (is_known)
		return client_done(client, json_pack("{s:s}", "lane", lane));
	if (is_mx(lane))
		snprintf(text, sizeof text, "%s is not paused, and nothing is known to be wrong with it", lane);
	else
		snprintf(text, sizeof text, "no smart host \"%s\" is configured - `sendoff status` lists them", lane);
	return client_fail(client, EX_USAGE, "usage", text);
}

/* The lane of a domain is called by its name in lower case and A-labels, however it was typed. False: `lane` begins as
 * such a name does, and no domain follows. */
static bool read_domain(struct client *client)
{
	struct request *request = &client->request;
	char address[sizeof request->lane + 2];
	struct buf domain;
	bool is_good;

	if (!is_mx(request->lane))
		return true;
	snprintf(address, sizeof address, "x@%s", request->lane + sizeof ROUTE_MX - 1);
	buf_init(&domain, ROUTE_LANE_SIZE);
	is_good = address[2] && route_domain(client->room->config, address, &domain);
	if (is_good)
		snprintf(request->lane, sizeof request->lane, ROUTE_MX "%s", buf_cstr(&domain));
	buf_fini(&domain);
	return is_good;
}

static enum client_step fail_domain(struct client *client)
{
	char text[400];

	snprintf(text, sizeof text, "\"%s\" is not " ROUTE_MX " and a domain - as in " ROUTE_MX "example.org",
		 client->request.lane);
	return client_fail(client, EX_USAGE, "usage", text);
}

static bool is_known(const struct client *client)
{
	const struct traffic *traffic = client->room->traffic;
	const char *name = client->request.lane;
	struct traffic_lane lane;

	return !name[0] || traffic->lane_named(traffic->self, name, &lane);
}

/* ---------------------------------------------------------------- answers */

/* Done means that a crash does not undo it: the answer waits for the commit. */
struct word {
	int64_t deadline_ms; /* boot time */
};

static enum client_step give(struct client *client, bool is_known)
{
	struct word *word;

	if (!is_known)
		return finish(client, false);
	client->state = word = MEM_NEW(struct word);
	word->deadline_ms = loop_now_ms(client->room->loop) + KEPT_MOST_MS;
	client_wake_in(client, KEPT_LOOK_MS);
	return CLIENT_WAIT;
}

static enum client_step await(struct client *client)
{
	const struct traffic *traffic = client->room->traffic;
	const struct word *word = client->state;
	const char *lane = client->request.lane;

	if (traffic->is_kept(traffic->self, lane[0] ? lane : NULL))
		return finish(client, true);
	if (loop_now_ms(client->room->loop) >= word->deadline_ms)
		return client_fail(client, EX_TEMPFAIL, "not_kept",
				   "it holds now, but could not be written to the queue yet: a restart might undo it");
	client_wake_in(client, KEPT_LOOK_MS);
	return CLIENT_WAIT;
}

static void stop(struct client *client)
{
	mem_free(client->state);
}

static enum client_step step_pause(struct client *client, int *budget)
{
	const struct traffic *traffic = client->room->traffic;
	const char *lane = client->request.lane;
	char by[32];

	--*budget;
	if (client->state)
		return await(client);
	if (!read_domain(client))
		return fail_domain(client);
	if (client->request.dry_run)
		return finish(client, is_known(client));
	return give(client, traffic->pause(traffic->self, lane[0] ? lane : NULL, name_of(client, by)));
}

static enum client_step step_resume(struct client *client, int *budget)
{
	const struct traffic *traffic = client->room->traffic;
	const char *lane = client->request.lane;

	--*budget;
	if (client->state)
		return await(client);
	if (!read_domain(client))
		return fail_domain(client);
	if (client->request.dry_run)
		return finish(client, is_known(client));
	return give(client, traffic->resume(traffic->self, lane[0] ? lane : NULL));
}

const struct client_verb answer_lane_pause_verb = {
	.name = "pause", .needs = CLIENT_ADMIN, .step = step_pause, .stop = stop
};
const struct client_verb answer_lane_resume_verb = {
	.name = "resume", .needs = CLIENT_ADMIN, .step = step_resume, .stop = stop
};
