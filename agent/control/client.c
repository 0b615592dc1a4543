#include "control/client.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/mem.h"
#include "control/answers.h"
#include "control/protocol.h"

enum {
	FIRST_REQUEST_MS = 30 * 1000,
	NEXT_REQUEST_MS = 5 * 60 * 1000,
	STALL_MS = 10 * 60 * 1000, /* a person may read a listing in a pager */
	LINGER_MS = 5 * 1000,
	TURN_MS = 2,      /* work of all clients together in one turn of the loop */
	STEP_BUDGET = 64, /* records looked at by one client before the next has its turn */
	PAUSE_MS = 4,     /* between two turns where nobody who may do everything has work */
};

/* Outlives its client and its verb. */
struct pending {
	struct list node;
	struct client *client; /* NULL: gone */
	client_told_fn *told;
	void *words;
};

const struct names *client_names(struct client *client)
{
	struct client_room *room = client->room;
	struct buf told;

	if (!room->names)
		room->names = names_new();
	buf_init(&told, 64 * 1024);
	names_refresh(room->names, room->config, clock_boot_ms(), &told);
	buf_fini(&told);
	return room->names;
}

/* ---------------------------------------------------------------- output */

bool client_has_room(const struct client *client)
{
	return !conn_is_full(client->conn);
}

void client_say(struct client *client, json_t *object)
{
	char *line = object ? json_dumps(object, JSON_COMPACT) : NULL;
	size_t len = line ? strlen(line) : 0;

	json_decref(object);
	if (!line)
		return;
	/* One write takes the line with its newline in place of the NUL, which jansson allocated with it. */
	line[len] = '\n';
	if (!conn_write(client->conn, line, len + 1))
		client->is_broken = true; /* a row is missing: no answer may look whole after this */
	free(line);
}

static void set_idle_deadline(struct client *client)
{
	int64_t wait_ms = client->asked ? NEXT_REQUEST_MS : FIRST_REQUEST_MS;

	conn_deadline(client->conn, loop_now_ms(client->room->loop) + wait_ms);
}

static void stop_verb(struct client *client)
{
	const struct client_verb *verb = client->verb;

	if (!verb)
		return;
	client->verb = NULL;
	/* Answers that are still to come belong to this verb, not to the next one. */
	while (!list_is_empty(&client->ops)) {
		struct pending *pending = LIST_ENTRY(list_first(&client->ops), struct pending, node);

		list_remove(&pending->node);
		pending->client = NULL;
	}
	client->op_count = 0;
	if (verb->stop)
		verb->stop(client);
	client->state = NULL;
	request_fini(&client->request);
	list_remove(&client->turn);
	loop_timer_stop(&client->tick);
}

enum client_step client_done(struct client *client, json_t *facts)
{
	json_t *line = json_pack("{s:b,s:b}", "done", 1, "ok", 1);

	if (facts)
		json_object_update(line, facts);
	json_decref(facts);
	client_say(client, line);
	return CLIENT_DONE;
}

enum client_step client_fail(struct client *client, int status, const char *error, const char *text)
{
	client_say(client, json_pack("{s:b,s:b,s:i,s:s,s:s}", "done", 1, "ok", 0, "exit", status, "error", error,
				     "text", text));
	return CLIENT_DONE;
}

enum client_step client_fail_queue(struct client *client, enum queue_err err)
{
	int status = err == QUEUE_NOT_FOUND ? EX_NOINPUT : EX_TEMPFAIL;

	return client_fail(client, status, queue_err_name(err), queue_err_text(err));
}

/* ---------------------------------------------------------------- requests */

static bool start_verb(struct client *client, const struct client_verb *verb)
{
	const char *missing = NULL;

	if ((verb->needs & CLIENT_ADMIN) && !client->permit.all) {
		client_fail(client, EX_NOPERM, "not permitted",
			    "only root, the agent's own user and members of group " PROTOCOL_GROUP " may do this");
		return false;
	}
	if ((verb->needs & CLIENT_CHOICE) && !filter_chooses(&client->request.filter))
		missing = "say which messages: ids, a filter, or --all";
	if ((verb->needs & CLIENT_ID) && client->request.id == 0)
		missing = "say which message";
	if (missing) {
		client_fail(client, EX_USAGE, "usage", missing);
		return false;
	}
	client->verb = verb;
	conn_deadline(client->conn, INT64_MAX);
	if (verb->start)
		verb->start(client);
	client_wake(client);
	return true;
}

/* False: it was no request of this protocol, and the client has been told so. */
static bool take_request(struct client *client, struct span line)
{
	const struct client_verb *verb;
	char why[256];

	client->asked = true;
	if (!request_parse(line, &client->request, why, sizeof why)) {
		client_fail(client, EX_PROTOCOL, "bad request", why);
		return false;
	}
	verb = answers_find(client->request.verb);
	if (!verb)
		client_fail(client, EX_PROTOCOL, "bad request", "this agent does not know that verb");
	if (!verb || !start_verb(client, verb))
		request_fini(&client->request);
	return verb != NULL;
}

/* Says goodbye to one that has said its last word, or a wrong one. */
static void finish(struct client *client)
{
	conn_finish(client->conn, LINGER_MS);
	client->conn = NULL;
	client_close(client);
}

/* Lines that wait are answered one after the other. The client may be gone after it. */
static void take_requests(struct client *client)
{
	while (!client->verb) {
		struct span input = conn_input(client->conn);
		size_t end = span_find(input, '\n');
		bool is_too_long = end == input.len && input.len >= PROTOCOL_REQUEST_MAX;

		if (is_too_long)
			client_fail(client, EX_PROTOCOL, "bad request", "the request is too long");
		if (is_too_long || (end == input.len && client->ended) ||
		    (end < input.len && !take_request(client, span_first(input, end)))) {
			finish(client);
			return;
		}
		if (end == input.len) {
			set_idle_deadline(client);
			return;
		}
		conn_consume(client->conn, end + 1);
	}
}

static void on_event(void *arg, enum conn_event event)
{
	struct client *client = arg;

	switch (event) {
	case CONN_INPUT: take_requests(client); break;
	case CONN_EOF:
		client->ended = true;
		take_requests(client);
		break;
	case CONN_DRAINED:
		if (client->verb) {
			conn_deadline(client->conn, INT64_MAX);
			client_wake(client);
		}
		break;
	case CONN_DEADLINE:
	case CONN_FAILED: client_close(client); break;
	case CONN_SECURE:
	case CONN_FLUSHED:
	case CONN_PROXIED: break;
	}
}

/* ---------------------------------------------------------------- work */

void client_wake(struct client *client)
{
	struct client_room *room = client->room;

	if (!client->verb || !list_is_empty(&client->turn))
		return;
	list_append(&room->busy, &client->turn);
	loop_timer_in(&room->work, 0);
}

static void on_tick(struct loop_timer *timer)
{
	client_wake(LIST_ENTRY(timer, struct client, tick));
}

void client_wake_in(struct client *client, int64_t ms)
{
	loop_timer_in(&client->tick, ms);
}

static void work_one(struct client *client)
{
	int budget = STEP_BUDGET;
	enum client_step step;

	if (!client_has_room(client)) {
		conn_deadline(client->conn, loop_now_ms(client->room->loop) + STALL_MS);
		return;
	}
	step = client->verb->step(client, &budget);
	if (client->is_broken) {
		client_close(client);
	} else if (step == CLIENT_MORE) {
		client_wake(client);
	} else if (step == CLIENT_DONE) {
		stop_verb(client);
		take_requests(client);
	}
}

static bool has_administrator(const struct client_room *room)
{
	for (struct list *at = list_first(&room->busy); at; at = list_next(&room->busy, at))
		if (LIST_ENTRY(at, struct client, turn)->permit.all)
			return true;
	return false;
}

void client_work(struct client_room *room)
{
	int64_t end_ms = clock_boot_ms() + TURN_MS;

	do {
		struct list *first = list_first(&room->busy);

		if (!first)
			return;
		list_remove(first);
		work_one(LIST_ENTRY(first, struct client, turn));
	} while (clock_boot_ms() < end_ms);
	/* Whoever may only look after their own mail cannot keep the loop busy with it. */
	loop_timer_in(&room->work, has_administrator(room) ? 0 : PAUSE_MS);
}

/* ---------------------------------------------------------------- operations */

static void on_op_done(void *arg, enum queue_err err, uint64_t id)
{
	struct pending *pending = arg;
	struct client *client = pending->client;

	(void)id;
	pending->told(client, pending->words, err);
	if (client) {
		list_remove(&pending->node);
		client->op_count--;
		client_wake(client);
	}
	mem_free(pending->words);
	mem_free(pending);
}

void client_submit(struct client *client, struct queue_op *op, client_told_fn *told, void *words)
{
	struct pending *pending = MEM_NEW(struct pending);

	pending->client = client;
	pending->told = told;
	pending->words = words;
	list_append(&client->ops, &pending->node);
	client->op_count++;
	queue_op_submit(op, on_op_done, pending);
}

/* ---------------------------------------------------------------- life */

void client_open(struct client_room *room, int fd, struct permit permit)
{
	struct client *client = MEM_NEW(struct client);
	struct conn_config config = {
		.loop = room->loop, .input_max = PROTOCOL_REQUEST_MAX, .event = on_event, .arg = client
	};

	client->room = room;
	client->permit = permit;
	client->conn = conn_new(&config, fd);
	list_init(&client->turn);
	list_init(&client->ops);
	list_append(&room->clients, &client->node);
	loop_timer_init(&client->tick, room->loop, on_tick);
	set_idle_deadline(client);
}

void client_close(struct client *client)
{
	stop_verb(client);
	list_remove(&client->node);
	loop_timer_stop(&client->tick);
	conn_free(client->conn);
	mem_free(client);
}
