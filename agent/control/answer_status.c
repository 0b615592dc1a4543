/* One object with the whole, then one for each smart host, for some domains whose MX mail goes to, and for each target
 * that mail waits for. */
#include "base/mem.h"
#include "control/answers.h"
#include "control/census.h"
#include "control/fields.h"
#include "names.h"
#include "route.h"

struct status {
	struct census census;
	bool is_counted, is_told;
	size_t lane, condition, target;
};

static void start(struct client *client)
{
	struct status *status = MEM_NEW(struct status);

	census_init(&status->census, client);
	client->state = status;
}

static void add(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

/* The disk and other people's mail are the administrator's matter. */
static void add_queue(json_t *object, struct client *client)
{
	struct queue_stats stats;

	queue_stats(client->room->queue, &stats);
	json_object_set_new(object, "full", json_boolean(stats.is_full));
	if (!client->permit.all)
		return;
	add(object, "messages", stats.messages);
	add(object, "recipients", stats.recipients);
	add(object, "body_bytes", stats.body_bytes);
	add(object, "used_bytes", stats.used_bytes);
	add(object, "file_bytes", stats.file_bytes);
	add(object, "max_size_bytes", stats.max_size_bytes);
	add(object, "free_disk_bytes", stats.free_disk_bytes);
	add(object, "min_free_disk_bytes", client->room->config->queue.min_free_disk_bytes);
	add(object, "history_records", stats.history_records);
}

static void add_traffic(json_t *object, const struct client *client)
{
	const struct traffic *traffic = client->room->traffic;
	const struct reception *reception = client->room->reception;
	struct traffic_summary summary = { .started_ms = 0 };

	traffic->summary(traffic->self, &summary);
	json_object_set_new(object, "offline", json_boolean(summary.offline));
	json_object_set_new(object, "dns_only", json_boolean(summary.dns_only));
	json_object_set_new(object, "portal", json_boolean(summary.portal));
	json_object_set_new(object, "offline_text", fields_text(summary.offline_text));
	add(object, "offline_since_ms", (uint64_t)summary.offline_since_ms);
	add(object, "started_ms", (uint64_t)summary.started_ms);
	add(object, "sending", summary.sending);
	add(object, "connections", summary.connections);
	add(object, "mx_lanes", summary.mx_lanes);
	add(object, "mx_failing", summary.mx_failing);
	add(object, "mx_paused", summary.mx_paused);
	add(object, "mx_connections", summary.mx_connections);
	add(object, "delivered", summary.delivered);
	add(object, "deferred", summary.deferred);
	add(object, "bounced", summary.bounced);
	add(object, "doubted", summary.doubtful);
	add(object, "accepted", reception->accepted(reception->self));
	add(object, "sessions", reception->sessions(reception->self));
	json_object_set_new(object, "closed", json_boolean(reception->is_closed(reception->self)));
}

/* What is not even in the queue: files of many users, an administrator's matter. */
static void add_dropped(json_t *object, const struct client *client)
{
	const struct reception *reception = client->room->reception;
	struct reception_drop drop;
	json_t *row;

	if (!client->permit.all || !reception->dropped)
		return;
	reception->dropped(reception->self, &drop);
	row = json_object();
	json_object_set_new(row, "directory", fields_text(drop.directory));
	add(row, "waiting", drop.waiting);
	add(row, "refused", drop.refused);
	json_object_set_new(row, "why_waiting", fields_text(drop.why_waiting));
	json_object_set_new(row, "why_refused", fields_text(drop.why_refused));
	json_object_set_new(object, "dropped", row);
}

/* An operator's word on everything; that on one lane is told with the lane. */
static void add_pause(json_t *object, struct client *client)
{
	struct queue_view *view = queue_view(client->room->queue);
	struct queue_lane lane;
	bool is_paused = view && queue_view_lane(view, "*", &lane) == QUEUE_OK && lane.paused_by[0];

	json_object_set_new(object, "paused_by", fields_text(is_paused ? lane.paused_by : ""));
	add(object, "paused_ms", is_paused ? (uint64_t)lane.paused_ms : 0);
}

/* Who is let in at each listener. */
static json_t *listeners(const struct config *config)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < config->listener_count; i++) {
		const struct config_listener *l = &config->listeners[i];
		json_t *row = json_object(), *places = json_array();
		bool has_login = l->auth != CONFIG_LOGIN_NONE, has_certificate = l->client_ca || l->client_pins.count;

		if (l->socket)
			json_array_append_new(places, fields_text(l->socket));
		for (size_t k = 0; k < l->addresses.count; k++)
			json_array_append_new(places, fields_text(l->addresses.list[k]));
		json_object_set_new(row, "name", fields_text(l->name));
		json_object_set_new(row, "places", places);
		json_object_set_new(row, "trust", json_boolean(l->trust));
		json_object_set_new(row, "login", json_boolean(has_login));
		json_object_set_new(row, "certificate", json_boolean(has_certificate));
		json_object_set_new(row, "proxy", json_boolean(l->proxy.count > 0));
		json_array_append_new(rows, row);
	}
	return rows;
}

/* Some mail goes straight to the MX of its recipients' domains. */
static bool is_direct(const struct config *config)
{
	for (size_t i = 0; i < config->route_count; i++)
		if (route_place(route_target(config, &config->routes[i]), ROUTE_DIRECT) >= 0)
			return true;
	return false;
}

static json_t *whole(struct client *client, const struct census *census)
{
	json_t *object = json_pack("{s:s,s:s}", "type", "status", "version", SENDOFF_VERSION);
	const struct config *config = client->room->config;

	json_object_set_new(object, "own", json_boolean(!client->permit.all));
	add(object, "messages", census->messages);
	add(object, "recipients", census->recipients);
	add(object, "body_bytes", census->bytes);
	add(object, "counted", census->messages);
	json_object_set_new(object, "counted_all", json_boolean(!census->is_cut));
	add(object, "held", census->held);
	add(object, "kept", census->kept);
	add(object, "damaged", census->damaged);
	add(object, "doubtful", census->doubtful);
	add(object, "report_owed", census->owed);
	add(object, "put_off", census->put_off);
	add(object, "oldest_ms", (uint64_t)census->oldest_ms);
	add_queue(object, client);
	add_pause(object, client);
	add_traffic(object, client);
	add_dropped(object, client);
	json_object_set_new(object, "config", fields_text(config->file));
	json_object_set_new(object, "directory", fields_text(config->queue.directory));
	json_object_set_new(object, "aliases_error", fields_text(names_error(client_names(client))));
	json_object_set_new(object, "listeners", listeners(config));
	add(object, "routes", config->route_count);
	json_object_set_new(object, "direct", json_boolean(is_direct(config)));
	add(object, "smarthosts", config->smarthost_count);
	return object;
}

static json_t *target_row(const struct census_target *target)
{
	json_t *row = json_pack("{s:s}", "type", "target");

	json_object_set_new(row, "target", fields_text(target->name));
	add(row, "recipients", target->recipients);
	add(row, "later", target->later);
	add(row, "oldest_ms", (uint64_t)target->oldest_ms);
	return row;
}

static enum client_step count(struct client *client, struct status *status, int *budget)
{
	switch (census_step(&status->census, budget)) {
	case WALK_FOUND:
	case WALK_MORE: return CLIENT_MORE;
	case WALK_END: status->is_counted = true; return CLIENT_MORE;
	case WALK_FAILED: return client_fail_queue(client, QUEUE_IO);
	}
	return CLIENT_MORE;
}

static enum client_step step(struct client *client, int *budget)
{
	struct status *status = client->state;
	const struct traffic *traffic = client->room->traffic;
	struct traffic_lane lane = { .name = "" };
	struct traffic_condition condition;

	if (!status->is_counted)
		return count(client, status, budget);
	for (; *budget > 0 && client_has_room(client); --*budget) {
		if (!status->is_told) {
			client_say(client, whole(client, &status->census));
			status->is_told = true;
		} else if (traffic->lane(traffic->self, status->lane, &lane)) {
			status->lane++;
			client_say(client, fields_lane(&lane));
		} else if (traffic->condition && traffic->condition(traffic->self, status->condition, &condition)) {
			status->condition++;
			client_say(client, fields_condition(&condition));
		} else if (status->target < status->census.target_count) {
			client_say(client, target_row(&status->census.targets[status->target++]));
		} else {
			return client_done(client, NULL);
		}
	}
	return CLIENT_MORE;
}

static void stop(struct client *client)
{
	struct status *status = client->state;

	census_fini(&status->census);
	mem_free(status);
}

const struct client_verb answer_status_verb = { .name = "status", .start = start, .step = step, .stop = stop };
