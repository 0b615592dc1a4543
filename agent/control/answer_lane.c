/* pause and resume: one smart host or everything. */
#include <stdio.h>
#include <sysexits.h>

#include "control/answers.h"

static const char *name_of(const struct client *client, char out[32])
{
	if (client->permit.uid == 0)
		return "root";
	snprintf(out, 32, "uid:%u", (unsigned)client->permit.uid);
	return out;
}

static enum client_step finish(struct client *client, bool is_known)
{
	char text[400];

	if (!is_known) {
		snprintf(text, sizeof text, "no smart host \"%s\" is configured - `sendoff status` lists them",
			 client->request.lane);
		return client_fail(client, EX_USAGE, "usage", text);
	}
	return client_done(client, json_pack("{s:s}", "lane", client->request.lane));
}

static bool is_known(const struct client *client)
{
	return !client->request.lane[0] || config_smarthost(client->room->config, client->request.lane);
}

static enum client_step step_pause(struct client *client, int *budget)
{
	const struct traffic *traffic = client->room->traffic;
	const char *lane = client->request.lane;
	char by[32];

	--*budget;
	if (client->request.dry_run)
		return finish(client, is_known(client));
	return finish(client, traffic->pause(traffic->self, lane[0] ? lane : NULL, name_of(client, by)));
}

static enum client_step step_resume(struct client *client, int *budget)
{
	const struct traffic *traffic = client->room->traffic;
	const char *lane = client->request.lane;

	--*budget;
	if (client->request.dry_run)
		return finish(client, is_known(client));
	return finish(client, traffic->resume(traffic->self, lane[0] ? lane : NULL));
}

const struct client_verb answer_lane_pause_verb = { .name = "pause", .needs = CLIENT_ADMIN, .step = step_pause };
const struct client_verb answer_lane_resume_verb = { .name = "resume", .needs = CLIENT_ADMIN, .step = step_resume };
