/* version, reload and verify: about the agent itself. */
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "control/answers.h"
#include "control/fields.h"
#include "control/protocol.h"

static enum client_step step_version(struct client *client, int *budget)
{
	struct traffic_summary summary = { .started_ms = 0 };
	const struct traffic *traffic = client->room->traffic;

	--*budget;
	traffic->summary(traffic->self, &summary);
	return client_done(client,
			   json_pack("{s:s,s:i,s:i,s:I}", "version", SENDOFF_VERSION, "protocol", PROTOCOL_VERSION,
				     "pid", (int)getpid(), "started_ms", (json_int_t)summary.started_ms));
}

const struct client_verb answer_agent_version_verb = { .name = "version", .step = step_version };

/* ---------------------------------------------------------------- reload */

static json_t *lines_of(struct buf *text)
{
	json_t *lines = json_array();
	struct span rest = buf_span(text);

	while (rest.len) {
		size_t end = span_find(rest, '\n');
		char *line = mem_span_dup(span_first(rest, end));

		if (line[0])
			json_array_append_new(lines, fields_text(line));
		mem_free(line);
		rest = span_from(rest, end + 1);
	}
	return lines;
}

/* Outlives its client: the answer may come when that has gone. */
struct reply {
	struct client *client; /* NULL: gone */
	bool is_here;
	uint64_t messages;
};

static void on_moved(void *arg, uint64_t messages)
{
	struct reply *reply = arg;

	if (!reply->client) {
		mem_free(reply);
		return;
	}
	reply->is_here = true;
	reply->messages = messages;
	client_wake(reply->client);
}

static bool reload(struct client *client)
{
	const struct client_room *room = client->room;
	struct reply *reply = MEM_NEW(struct reply);
	struct buf text;
	bool is_done;

	buf_init(&text, 32 * 1024);
	reply->client = client;
	is_done = room->reload(room->reload_arg, &text, on_moved, reply);
	client_say(client, json_pack("{s:s,s:o}", "type", "report", "lines", lines_of(&text)));
	buf_fini(&text);
	if (is_done)
		client->state = reply;
	else
		mem_free(reply);
	return is_done;
}

static enum client_step step_reload(struct client *client, int *budget)
{
	const struct reply *reply = client->state;

	--*budget;
	if (!reply && !reload(client))
		return client_fail(client, EX_CONFIG, "config", "not reloaded: the old configuration stays in use");
	reply = client->state;
	if (!reply->is_here)
		return CLIENT_WAIT;
	return client_done(client, json_pack("{s:I}", "rerouted", (json_int_t)reply->messages));
}

static void stop_reload(struct client *client)
{
	struct reply *reply = client->state;

	if (reply && reply->is_here)
		mem_free(reply);
	else if (reply)
		reply->client = NULL;
}

const struct client_verb answer_agent_reload_verb = {
	.name = "reload", .needs = CLIENT_ADMIN, .step = step_reload, .stop = stop_reload
};

/* ---------------------------------------------------------------- verify */

enum { VERIFY_COST = 32 }; /* a step may digest a message's body, in looks at a record */

static void start_verify(struct client *client)
{
	client->state = MEM_NEW(struct queue_verify);
}

static void say_finding(void *arg, uint64_t id, const char *finding)
{
	struct client *client = arg;
	json_t *row = json_pack("{s:s,s:o}", "type", "finding", "text", fields_text(finding));

	json_object_set_new(row, "id", id ? fields_id(id) : json_null());
	client_say(client, row);
}

static enum client_step step_verify(struct client *client, int *budget)
{
	struct queue_verify *position = client->state;

	for (; *budget > 0 && client_has_room(client); *budget -= VERIFY_COST) {
		enum queue_err err = queue_verify_step(client->room->queue, position, say_finding, client);

		if (err == QUEUE_NOT_FOUND)
			return client_done(client, json_pack("{s:I,s:I}", "messages", (json_int_t)position->messages,
							     "findings", (json_int_t)position->findings));
		if (err != QUEUE_OK)
			return client_fail_queue(client, err);
	}
	return CLIENT_MORE;
}

static void stop_verify(struct client *client)
{
	mem_free(client->state);
}

const struct client_verb answer_agent_verify_verb = {
	.name = "verify", .needs = CLIENT_ADMIN, .start = start_verify, .step = step_verify, .stop = stop_verify
};
