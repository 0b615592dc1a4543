/* The verbs over a real queue, with a traffic that only remembers what it was told. */
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "bodyhash.h"
#include "control/client.h"
#include "control/control.h"
#include "control/protocol.h"
#include "names.h"

enum { DEADLINE_MS = 20000 };

struct room {
	struct client_room room;
	struct queue *queue;
	struct loop_io queue_io;
	struct traffic traffic;
	struct reception reception;
	struct config config;
	struct config_smarthost hosts[2];
	char dir[64];
	int woken_all, woken_work, woken_home, woken_mx;
	char paused[64], paused_by[64];
	int looks, looks_until_kept; /* is_kept() was asked; says so from then on */
	bool is_closed, is_sending;
	enum traffic_gate gate; /* of what has a route and is due */
	bool is_parked;
};

static struct room *here;

/* ---------------------------------------------------------------- traffic and reception */

static void summary(void *self, struct traffic_summary *out)
{
	(void)self;
	*out = (struct traffic_summary){ .started_ms = 1 };
}

static bool lane(void *self, size_t i, struct traffic_lane *out)
{
	(void)self;
	if (i >= 2)
		return false;
	*out = (struct traffic_lane){
		.name = here->hosts[i].name, .host = "h", .error = "", .advice = "", .paused_by = ""
	};
	return true;
}

static bool lane_named(void *self, const char *name, struct traffic_lane *out)
{
	(void)self;
	*out = (struct traffic_lane){ .name = "", .host = "h", .error = "", .advice = "", .paused_by = "" };
	return strcmp(name, "work") == 0 || strncmp(name, "mx:", 3) == 0;
}

static bool why(void *self, uint64_t id, uint32_t n, struct traffic_why *out)
{
	struct queue_view *view = queue_view(here->queue);
	struct queue_envelope envelope;
	struct queue_rcpt rcpt;
	(void)self;

	if (queue_view_envelope(view, id, &envelope) != QUEUE_OK || queue_view_rcpt(view, id, n, &rcpt) != QUEUE_OK)
		return false;
	*out = (struct traffic_why){ .gate = here->gate, .parked = here->is_parked, .until_ms = 1 };
	if (envelope.flags & QUEUE_HELD)
		out->gate = TRAFFIC_GATE_HELD;
	else if (!rcpt.flow.target[0])
		out->gate = TRAFFIC_GATE_ROUTE;
	snprintf(out->text, sizeof out->text, "waits");
	return true;
}

static bool is_sending(void *self, uint64_t id, uint32_t n)
{
	(void)self, (void)id, (void)n;
	return here->is_sending;
}

static bool wake(void *self, const char *name)
{
	(void)self;
	if (!name)
		here->woken_all++;
	else if (strcmp(name, "work") == 0)
		here->woken_work++;
	else if (strncmp(name, "mx:", 3) == 0)
		here->woken_mx++;
	else
		here->woken_home++;
	return true;
}

static bool pause_lane(void *self, const char *name, const char *by)
{
	(void)self;
	if (name && strcmp(name, "work") != 0 && strncmp(name, "mx:", 3) != 0)
		return false;
	snprintf(here->paused, sizeof here->paused, "%s", name ? name : "*");
	snprintf(here->paused_by, sizeof here->paused_by, "%s", by);
	return true;
}

static bool is_kept(void *self, const char *name)
{
	(void)self, (void)name;
	return here->looks++ >= here->looks_until_kept;
}

static bool resume_lane(void *self, const char *name)
{
	(void)self, (void)name;
	here->paused[0] = '\0';
	return true;
}

static uint32_t sessions(void *self)
{
	(void)self;
	return 3;
}

static uint64_t accepted(void *self)
{
	(void)self;
	return 7;
}

static void close_reception(void *self, bool closed)
{
	(void)self;
	here->is_closed = closed;
}

static bool is_closed(void *self)
{
	(void)self;
	return here->is_closed;
}

static bool reload(void *arg, struct buf *text, void (*moved)(void *reply, uint64_t messages), void *reply)
{
	const struct room *room = arg;

	if (room->is_sending) { /* stands for a configuration with mistakes */
		buf_append_str(text, "f:1: wrong\nf:2: wrong too\n");
		return false;
	}
	buf_append_str(text, "f:3: a warning\n");
	moved(reply, 5);
	return true;
}

/* ---------------------------------------------------------------- the room */

static void on_queue(struct loop_io *io, int events)
{
	(void)io, (void)events;
	queue_dispatch(here->queue);
}

static void on_turn_end(void *arg)
{
	const struct room *room = arg;

	queue_view_end(room->queue);
}

static void on_work(struct loop_timer *timer)
{
	client_work(LIST_ENTRY(timer, struct client_room, work));
}

static void open_queue(struct room *room)
{
	struct queue_config config = { .directory = room->dir, .hash = bodyhash_sha256 };
	char error[256] = "";

	strcpy(room->dir, "/tmp/sendoff-control-XXXXXX");
	assert_non_null(mkdtemp(room->dir));
	if (queue_open(&config, &room->queue, error, sizeof error) != QUEUE_OK)
		fail_msg("%s", error);
	loop_io_init(&room->queue_io, room->room.loop, queue_fd(room->queue), on_queue);
	loop_io_set(&room->queue_io, LOOP_READ);
	loop_on_turn_end(room->room.loop, on_turn_end, room);
}

static int setup(void **state)
{
	struct room *room = MEM_NEW(struct room);

	here = room;
	*state = room;
	room->room.loop = loop_new();
	open_queue(room);
	room->gate = TRAFFIC_GATE_LANE;
	room->hosts[0].name = "work";
	room->hosts[1].name = "home";
	room->hosts[0].host = room->hosts[1].host = "/run/nobody"; /* no walk looks for it */
	room->config = (struct config){ .references = 1,
					.file = "",
					.queue.directory = room->dir,
					.smarthosts = room->hosts,
					.smarthost_count = 2 };
	room->traffic = (struct traffic){ .summary = summary,
					  .lane = lane,
					  .lane_named = lane_named,
					  .why = why,
					  .is_sending = is_sending,
					  .wake = wake,
					  .pause = pause_lane,
					  .resume = resume_lane,
					  .is_kept = is_kept };
	room->reception = (struct reception){
		.sessions = sessions, .accepted = accepted, .close = close_reception, .is_closed = is_closed
	};
	room->room.queue = room->queue;
	room->room.traffic = &room->traffic;
	room->room.reception = &room->reception;
	room->room.config = &room->config;
	room->room.reload = reload;
	room->room.reload_arg = room;
	list_init(&room->room.clients);
	list_init(&room->room.busy);
	loop_timer_init(&room->room.work, room->room.loop, on_work);
	return 0;
}

static int teardown(void **state)
{
	struct room *room = *state;
	char command[128];

	while (!list_is_empty(&room->room.clients))
		client_close(LIST_ENTRY(list_first(&room->room.clients), struct client, node));
	loop_timer_stop(&room->room.work);
	/* Connections that were finished free themselves when they see that the other end has gone. */
	for (int i = 0; i < 5; i++)
		loop_turn(room->room.loop, 10);
	loop_io_stop(&room->queue_io);
	queue_close(room->queue);
	names_free(room->room.names);
	loop_free(room->room.loop);
	snprintf(command, sizeof command, "rm -r %s", room->dir);
	assert_int_equal(system(command), 0);
	mem_free(room);
	return 0;
}

static const char some_body[] = "Subject: Hello\r\n\r\nbody\r\n";
enum { SOME_BODY = sizeof some_body - 1 };
static uint64_t accepted_id;

static void on_accepted(void *arg, enum queue_err err, uint64_t id)
{
	(void)arg;
	if (err != QUEUE_OK)
		fail_msg("%s", queue_err_text(err));
	accepted_id = id;
}

/* A message of uid 1000 from a@example.org unless said otherwise; recipients end with NULL. */
static uint64_t put(const char *sender, uint32_t uid, const char *const *rcpts, int64_t due_ms)
{
	struct queue_envelope envelope = { .arrival_ms = clock_wall_ms(),
					   .sender = sender,
					   .submitter = uid == 1000 ? "uid:1000" : "uid:1001",
					   .uid = uid,
					   .origin = "test",
					   .envid = "",
					   .message_id = "<x@y>",
					   .subject = "Hello",
					   .expires_ms = clock_wall_ms() + 1000000 };
	struct queue_receipt *receipt = queue_receipt_new(here->queue);
	struct queue_op *op = queue_op_new(here->queue);
	struct queue_rcpt list[8] = { { .n = 0 } };
	char lanes[8][64];
	size_t count = 0;

	for (; rcpts[count]; count++) {
		snprintf(lanes[count], sizeof lanes[count], "mx:%s=2", strchr(rcpts[count], '@') + 1);
		list[count] = (struct queue_rcpt){ .address = rcpts[count],
						   .orcpt = "",
						   .flow = { .target = strstr(rcpts[count], "nowhere")  ? ""
								       : strstr(rcpts[count], "direct") ? lanes[count]
													: "work,home",
							     .submitter = envelope.submitter,
							     .band = 1 },
						   .reply = "",
						   .host = "" };
	}
	assert_int_equal(queue_receipt_append(receipt, some_body, SOME_BODY), QUEUE_OK);
	queue_op_accept(op, receipt, &envelope, list, count);
	queue_op_submit(op, on_accepted, NULL);
	queue_wait(here->queue);
	if (due_ms) {
		op = queue_op_new(here->queue);
		queue_op_due(op, accepted_id, QUEUE_ALL, due_ms);
		queue_op_submit(op, NULL, NULL);
		queue_wait(here->queue);
	}
	queue_view_end(here->queue);
	return accepted_id;
}

static uint64_t put_one(const char *sender, const char *rcpt)
{
	return put(sender, 1000, (const char *const[]){ rcpt, NULL }, 0);
}

/* ---------------------------------------------------------------- asking */

static const struct permit admin = { .uid = 0, .all = true }, alice = { .uid = 1000 }, mallory = { .uid = 1001 };

static int connect_as(struct permit permit)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	client_open(&here->room, pair[0], permit);
	return pair[1];
}

/* Turns the loop until a line is there. NULL: the other side has closed. */
static json_t *next_line(int fd, struct buf *in)
{
	int64_t deadline_ms = clock_boot_ms() + DEADLINE_MS;

	for (;;) {
		struct span held = buf_span(in);
		size_t end = span_find(held, '\n');
		char bytes[4096];
		ssize_t n;

		if (end < held.len) {
			json_t *line = json_loadb(held.data, end, 0, NULL);

			assert_non_null(line);
			buf_consume(in, end + 1);
			return line;
		}
		n = read(fd, bytes, sizeof bytes);
		if (n > 0)
			assert_true(buf_append(in, bytes, (size_t)n));
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return NULL;
		else
			loop_turn(here->room.loop, 20);
		if (clock_boot_ms() > deadline_ms)
			fail_msg("no answer in time");
	}
}

/* All lines of the answer to one request, on a connection of its own. */
static json_t *ask(struct permit permit, const char *request)
{
	int fd = connect_as(permit);
	json_t *lines = json_array(), *line;
	struct buf in;

	buf_init(&in, 4 * 1024 * 1024);
	assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	assert_int_equal(write(fd, "\n", 1), 1);
	do {
		line = next_line(fd, &in);
		assert_non_null(line);
		json_array_append_new(lines, line);
	} while (!json_is_true(json_object_get(line, "done")));
	buf_fini(&in);
	close(fd);
	return lines;
}

static const json_t *row(const json_t *lines, size_t i)
{
	return json_array_get(lines, i);
}

static const json_t *last(const json_t *lines)
{
	return json_array_get(lines, json_array_size(lines) - 1);
}

static const char *text_of(const json_t *line, const char *key)
{
	const char *text = json_string_value(json_object_get(line, key));

	return text ? text : "";
}

static int64_t number_of(const json_t *line, const char *key)
{
	return json_integer_value(json_object_get(line, key));
}

static void assert_failed(const json_t *lines, int status)
{
	assert_true(json_is_false(json_object_get(last(lines), "ok")));
	assert_int_equal(number_of(last(lines), "exit"), status);
	assert_string_not_equal(text_of(last(lines), "text"), "");
}

static const char *request_about(const char *verb, uint64_t id, const char *more)
{
	static char line[256];
	char text[TEXT_ID_SIZE];

	snprintf(line, sizeof line, "{\"v\":1,\"verb\":\"%s\",\"id\":\"%s\"%s}", verb, text_id_print(id, text), more);
	return line;
}

static const char *request_for(const char *verb, const char *filter, const char *more)
{
	static char line[512];

	snprintf(line, sizeof line, "{\"v\":1,\"verb\":\"%s\",\"filter\":%s%s}", verb, filter, more);
	return line;
}

/* ---------------------------------------------------------------- tests */

static void a_listing_has_one_row_a_message(void **state)
{
	uint64_t first = put("a@example.org", 1000,
			     (const char *const[]){ "b@one.test", "c@one.test", "d@nowhere.test", NULL }, 0);
	char id[TEXT_ID_SIZE];
	json_t *lines;
	(void)state;

	put_one("b@example.org", "x@nowhere.test");
	lines = ask(admin, "{\"v\":1,\"verb\":\"list\"}");
	assert_int_equal(json_array_size(lines), 3);
	assert_string_equal(text_of(row(lines, 0), "id"), text_id_print(first, id));
	assert_string_equal(text_of(row(lines, 0), "sender"), "a@example.org");
	assert_string_equal(text_of(row(lines, 0), "state"), "waiting");
	assert_string_equal(text_of(row(lines, 0), "gate"), "lane");
	assert_int_equal(number_of(row(lines, 0), "recipients"), 3);
	assert_int_equal(number_of(row(lines, 0), "size_bytes"), SOME_BODY);
	assert_string_equal(text_of(row(lines, 1), "gate"), "route");
	assert_int_equal(number_of(last(lines), "messages"), 2);
	json_decref(lines);
}

static void a_listing_is_filtered_and_limited(void **state)
{
	json_t *lines;
	(void)state;

	put_one("a@example.org", "b@one.test");
	put_one("a@example.org", "b@nowhere.test");
	put_one("z@example.org", "b@nowhere.test");
	lines = ask(admin, request_for("list", "{\"from\":\"a@*\",\"to\":\"*nowhere*\"}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
	lines = ask(admin, request_for("list", "{\"state\":\"route\"}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 2);
	json_decref(lines);
	lines = ask(admin, request_for("list", "{\"limit\":\"2\"}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 2);
	assert_true(json_is_true(json_object_get(last(lines), "more")));
	json_decref(lines);
}

static void a_deep_queue_is_listed_in_pieces_and_whole(void **state)
{
	enum { DEEP = 3000 };
	json_t *lines;
	(void)state;

	for (int i = 0; i < DEEP; i++) {
		struct queue_envelope envelope = { .arrival_ms = clock_wall_ms(),
						   .sender = "a@example.org",
						   .submitter = "uid:1000",
						   .uid = 1000,
						   .origin = "",
						   .envid = "",
						   .message_id = "",
						   .subject = "",
						   .expires_ms = INT64_MAX / 2 };
		struct queue_rcpt rcpt = {
			.address = "b@one.test", .orcpt = "", .flow = { "work", "uid:1000", 1 }, .reply = "", .host = ""
		};
		struct queue_op *op = queue_op_new(here->queue);

		queue_op_accept(op, queue_receipt_new(here->queue), &envelope, &rcpt, 1);
		queue_op_submit(op, NULL, NULL);
		if (i % 100 == 0)
			queue_wait(here->queue);
	}
	queue_wait(here->queue);
	lines = ask(admin, "{\"v\":1,\"verb\":\"list\"}");
	assert_int_equal(json_array_size(lines), DEEP + 1);
	for (size_t i = 1; i < DEEP; i++)
		assert_true(strcmp(text_of(row(lines, i - 1), "id"), text_of(row(lines, i), "id")) < 0);
	json_decref(lines);
	lines = ask(admin, request_for("remove", "{\"all\":true}", ""));
	assert_int_equal(number_of(last(lines), "messages"), DEEP);
	assert_int_equal(number_of(last(lines), "failed"), 0);
	json_decref(lines);
	lines = ask(admin, "{\"v\":1,\"verb\":\"list\"}");
	assert_int_equal(json_array_size(lines), 1);
	json_decref(lines);
}

static void others_see_and_handle_only_their_own(void **state)
{
	uint64_t hers = put("a@example.org", 1000, (const char *const[]){ "b@one.test", NULL }, 0);
	uint64_t his = put("m@example.org", 1001, (const char *const[]){ "b@one.test", NULL }, 0);
	static const char *const verbs[] = { "show", "why", "cat" };
	char id[TEXT_ID_SIZE], filter[64];
	json_t *lines;
	(void)state;

	lines = ask(alice, "{\"v\":1,\"verb\":\"list\"}");
	assert_int_equal(number_of(last(lines), "messages"), 1);
	assert_string_equal(text_of(row(lines, 0), "id"), text_id_print(hers, id));
	json_decref(lines);
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		lines = ask(mallory, request_about(verbs[i], hers, ""));
		assert_int_equal(json_array_size(lines), 1);
		assert_failed(lines, 66);
		json_decref(lines);
		lines = ask(mallory, request_about(verbs[i], his, ""));
		assert_true(json_is_true(json_object_get(last(lines), "ok")));
		json_decref(lines);
	}
	snprintf(filter, sizeof filter, "{\"ids\":[\"%s\"]}", text_id_print(hers, id));
	lines = ask(mallory, request_for("remove", filter, ""));
	assert_int_equal(number_of(last(lines), "messages"), 0);
	assert_int_equal(number_of(last(lines), "missing"), 1);
	json_decref(lines);
	lines = ask(mallory, request_for("hold", "{\"all\":true}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
	lines = ask(alice, request_for("list", "{\"state\":\"held\"}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 0);
	json_decref(lines);
	lines = ask(mallory, "{\"v\":1,\"verb\":\"status\"}");
	assert_int_equal(number_of(row(lines, 0), "messages"), 1);
	assert_true(json_is_true(json_object_get(row(lines, 0), "own")));
	assert_null(json_object_get(row(lines, 0), "used_bytes"));
	json_decref(lines);
}

static void what_is_about_all_is_for_administrators(void **state)
{
	static const char *const requests[] = {
		"{\"v\":1,\"verb\":\"pause\"}",
		"{\"v\":1,\"verb\":\"resume\"}",
		"{\"v\":1,\"verb\":\"reload\"}",
		"{\"v\":1,\"verb\":\"verify\"}",
		"{\"v\":1,\"verb\":\"drain\",\"close\":true}",
	};
	(void)state;

	for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
		json_t *lines = ask(alice, requests[i]);

		assert_failed(lines, 77);
		json_decref(lines);
	}
	assert_string_equal(here->paused, "");
	assert_false(here->is_closed);
}

static void holding_and_releasing_change_only_what_they_must(void **state)
{
	json_t *lines;
	(void)state;

	put_one("a@example.org", "b@one.test");
	put_one("a@example.org", "c@one.test");
	lines = ask(admin, request_for("hold", "{\"to\":\"b@*\"}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
	lines = ask(admin, request_for("hold", "{\"all\":true}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
	lines = ask(admin, request_for("list", "{\"state\":\"held\"}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 2);
	assert_string_equal(text_of(row(lines, 0), "state"), "held");
	assert_string_equal(text_of(row(lines, 0), "gate"), "held");
	json_decref(lines);
	lines = ask(admin, request_for("release", "{\"state\":\"held\"}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 2);
	json_decref(lines);
	lines = ask(admin, request_for("release", "{\"all\":true}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 0);
	json_decref(lines);
}

static void what_an_administrator_holds_its_owner_cannot_release(void **state)
{
	char filter[64], id[TEXT_ID_SIZE];
	uint64_t mine;
	json_t *lines;
	(void)state;

	mine = put_one("a@example.org", "b@one.test");
	snprintf(filter, sizeof filter, "{\"ids\":[\"%s\"]}", text_id_print(mine, id));
	/* Their own hold they may undo. */
	json_decref(ask(alice, request_for("hold", filter, "")));
	lines = ask(alice, request_for("release", filter, ""));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
	/* An administrator's goes over it, and is undone by an administrator only. */
	json_decref(ask(alice, request_for("hold", filter, "")));
	lines = ask(admin, request_for("hold", filter, ""));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
	lines = ask(alice, request_for("list", "{}", ""));
	assert_true(json_is_true(json_object_get(row(lines, 0), "held_by_administrator")));
	json_decref(lines);
	lines = ask(alice, request_for("release", filter, ""));
	assert_int_equal(number_of(last(lines), "messages"), 0);
	assert_int_equal(number_of(last(lines), "failed"), 1);
	assert_string_equal(text_of(last(lines), "why"), "an administrator holds it");
	json_decref(lines);
	lines = ask(alice, request_for("list", "{\"state\":\"held\"}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
	lines = ask(admin, request_for("release", filter, ""));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
	lines = ask(alice, request_for("list", "{}", ""));
	assert_false(json_is_true(json_object_get(row(lines, 0), "held_by_administrator")));
	assert_false(json_is_true(json_object_get(row(lines, 0), "held")));
	json_decref(lines);
}

static void a_dry_run_counts_and_shows_and_changes_nothing(void **state)
{
	json_t *lines;
	(void)state;

	put_one("a@example.org", "b@one.test");
	put(" c@example.org", 1001, (const char *const[]){ "x@one.test", "y@one.test", NULL }, 0);
	lines = ask(admin, request_for("remove", "{\"all\":true}", ",\"dry_run\":true"));
	assert_int_equal(json_array_size(lines), 3);
	assert_int_equal(number_of(last(lines), "messages"), 2);
	assert_int_equal(number_of(last(lines), "recipients"), 3);
	assert_int_equal(number_of(last(lines), "bytes"), 2 * SOME_BODY);
	json_decref(lines);
	lines = ask(admin, "{\"v\":1,\"verb\":\"list\"}");
	assert_int_equal(number_of(last(lines), "messages"), 2);
	json_decref(lines);
}

static void a_message_is_held_with_all_its_recipients(void **state)
{
	json_t *lines;
	(void)state;

	put("a@example.org", 1000, (const char *const[]){ "b@one.test", "c@two.test", NULL }, 0);
	lines = ask(admin, request_for("hold", "{\"to\":\"c@*\"}", ",\"dry_run\":true"));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	assert_int_equal(number_of(last(lines), "recipients"), 2);
	json_decref(lines);
	lines = ask(admin, request_for("remove", "{\"to\":\"c@*\"}", ",\"dry_run\":true"));
	assert_int_equal(number_of(last(lines), "recipients"), 1);
	json_decref(lines);
}

static void what_came_after_a_dry_run_is_not_touched(void **state)
{
	char filter[96];
	json_t *lines;
	(void)state;

	put_one("a@example.org", "b@one.test");
	lines = ask(admin, request_for("remove", "{\"all\":true}", ",\"dry_run\":true"));
	snprintf(filter, sizeof filter, "{\"all\":true,\"until\":\"%s\"}", text_of(last(lines), "last"));
	json_decref(lines);
	put_one("a@example.org", "later@one.test");
	lines = ask(admin, request_for("remove", filter, ""));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
	lines = ask(admin, "{\"v\":1,\"verb\":\"list\"}");
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
}

static void removing_by_recipient_leaves_the_others(void **state)
{
	uint64_t id =
		put("a@example.org", 1000, (const char *const[]){ "b@one.test", "c@two.test", "d@two.test", NULL }, 0);
	json_t *lines;
	(void)state;

	lines = ask(alice, request_for("remove", "{\"to\":\"*@two.test\"}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
	lines = ask(alice, request_about("show", id, ""));
	/* message, one recipient, two records of the history, the end */
	assert_int_equal(json_array_size(lines), 5);
	assert_string_equal(text_of(row(lines, 1), "address"), "b@one.test");
	assert_string_equal(text_of(row(lines, 2), "outcome"), "removed");
	json_decref(lines);
	lines = ask(alice, request_for("history", "{\"state\":\"removed\"}", ""));
	assert_int_equal(number_of(last(lines), "records"), 2);
	json_decref(lines);
	lines = ask(mallory, request_for("history", "{}", ""));
	assert_int_equal(number_of(last(lines), "records"), 0);
	json_decref(lines);
}

static void a_message_that_has_left_is_still_told_of(void **state)
{
	uint64_t id = put_one("a@example.org", "b@one.test");
	json_t *lines = ask(admin, request_for("remove", "{\"all\":true}", ""));
	(void)state;

	json_decref(lines);
	lines = ask(alice, request_about("show", id, ""));
	assert_int_equal(json_array_size(lines), 2);
	assert_string_equal(text_of(row(lines, 0), "recipient"), "b@one.test");
	json_decref(lines);
	lines = ask(mallory, request_about("show", id, ""));
	assert_failed(lines, 66);
	json_decref(lines);
}

static void changing_without_saying_what_is_refused(void **state)
{
	static const char *const verbs[] = { "hold", "release", "remove" };
	(void)state;

	put_one("a@example.org", "b@one.test");
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
		json_t *lines = ask(admin, request_for(verbs[i], "{\"limit\":\"5\"}", ""));

		assert_failed(lines, 64);
		json_decref(lines);
	}
}

static int64_t due_of(uint64_t id)
{
	struct queue_rcpt rcpt;

	queue_view_end(here->queue);
	assert_int_equal(queue_view_rcpt(queue_view(here->queue), id, 0, &rcpt), QUEUE_OK);
	return rcpt.due_ms;
}

static void a_flush_makes_due_and_wakes(void **state)
{
	int64_t later_ms = clock_wall_ms() + 3600000;
	uint64_t one = put("a@example.org", 1000, (const char *const[]){ "b@one.test", NULL }, later_ms);
	uint64_t two = put("a@example.org", 1000, (const char *const[]){ "b@two.test", NULL }, later_ms);
	json_t *lines;
	(void)state;

	lines = ask(admin, request_for("flush", "{\"to\":\"*two*\"}", ""));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
	assert_int_equal(due_of(one), later_ms);
	assert_true(due_of(two) < later_ms);
	assert_int_equal(here->woken_work, 1);
	assert_int_equal(here->woken_home, 1);
	assert_int_equal(here->woken_all, 0);
	lines = ask(admin, "{\"v\":1,\"verb\":\"flush\"}");
	json_decref(lines);
	assert_true(due_of(one) < later_ms);
	assert_int_equal(here->woken_all, 1);
}

static void a_flush_wakes_each_domain_it_is_about(void **state)
{
	enum { DOMAINS = 100 };
	char address[64];
	(void)state;

	for (int i = 0; i < DOMAINS; i++) {
		snprintf(address, sizeof address, "b@d%d.direct.test", i);
		put("a@example.org", 1000, (const char *const[]){ address, address, NULL }, 0);
	}
	put_one("a@example.org", "b@other.test");
	json_decref(ask(admin, request_for("flush", "{\"to\":\"*direct*\"}", ",\"dry_run\":true")));
	assert_int_equal(here->woken_mx, 0);
	json_decref(ask(admin, request_for("flush", "{\"to\":\"*direct*\"}", "")));
	assert_int_equal(here->woken_mx, DOMAINS);
	assert_int_equal(here->woken_all + here->woken_work + here->woken_home, 0);
}

static void a_flush_of_ones_own_mail_wakes_no_lane(void **state)
{
	uint64_t id =
		put("a@example.org", 1000, (const char *const[]){ "b@one.test", NULL }, clock_wall_ms() + 3600000);
	json_t *lines = ask(alice, "{\"v\":1,\"verb\":\"flush\"}");
	(void)state;

	json_decref(lines);
	assert_true(due_of(id) <= clock_wall_ms());
	assert_int_equal(here->woken_all + here->woken_work + here->woken_home, 0);
}

static void held_mail_is_not_flushed(void **state)
{
	json_t *lines;
	(void)state;

	put_one("a@example.org", "b@one.test");
	json_decref(ask(admin, request_for("hold", "{\"all\":true}", "")));
	lines = ask(admin, request_for("flush", "{\"all\":true}", ",\"dry_run\":true"));
	assert_int_equal(number_of(last(lines), "messages"), 0);
	json_decref(lines);
}

static void the_bytes_come_out_as_they_went_in(void **state)
{
	enum { BIG = 700 * 1000 };
	struct queue_envelope envelope = { .arrival_ms = clock_wall_ms(),
					   .sender = "",
					   .submitter = "uid:1000",
					   .uid = 1000,
					   .origin = "",
					   .envid = "",
					   .message_id = "",
					   .subject = "",
					   .expires_ms = INT64_MAX / 2 };
	struct queue_rcpt rcpt = {
		.address = "b@one.test", .orcpt = "", .flow = { "work", "uid:1000", 1 }, .reply = "", .host = ""
	};
	struct queue_receipt *receipt = queue_receipt_new(here->queue);
	struct queue_op *op = queue_op_new(here->queue);
	char *body = mem_alloc(BIG);
	struct buf out;
	json_t *lines;
	(void)state;

	for (size_t i = 0; i < BIG; i++)
		body[i] = (char)(i * 7 + i / 251);
	for (size_t at = 0; at < BIG;) {
		size_t len = BIG - at < 10000 ? BIG - at : 10000;
		enum queue_err err = queue_receipt_append(receipt, body + at, len);

		if (err == QUEUE_BUSY)
			queue_wait(here->queue);
		else
			assert_int_equal(err, QUEUE_OK);
		at += err == QUEUE_OK ? len : 0;
	}
	queue_op_accept(op, receipt, &envelope, &rcpt, 1);
	queue_op_submit(op, on_accepted, NULL);
	queue_wait(here->queue);
	lines = ask(alice, request_about("cat", accepted_id, ""));
	assert_int_equal(number_of(last(lines), "bytes"), BIG);
	buf_init(&out, BIG);
	for (size_t i = 0; i + 1 < json_array_size(lines); i++)
		assert_true(text_base64_decode(&out, span_str(text_of(row(lines, i), "data"))));
	assert_int_equal(out.len, BIG);
	assert_memory_equal(buf_span(&out).data, body, BIG);
	buf_fini(&out);
	mem_free(body);
	json_decref(lines);
}

static void status_counts_what_waits_for_what(void **state)
{
	json_t *lines;
	(void)state;

	put_one("a@example.org", "b@one.test");
	put("a@example.org", 1001, (const char *const[]){ "b@one.test", "c@nowhere.test", NULL }, 0);
	put_one("a@example.org", "held@one.test");
	json_decref(ask(admin, request_for("hold", "{\"to\":\"held@*\"}", "")));
	lines = ask(admin, "{\"v\":1,\"verb\":\"status\"}");
	/* the whole, two smart hosts, two targets, the end */
	assert_int_equal(json_array_size(lines), 6);
	assert_int_equal(number_of(row(lines, 0), "messages"), 3);
	assert_int_equal(number_of(row(lines, 0), "held"), 1);
	assert_int_equal(number_of(row(lines, 0), "accepted"), 7);
	assert_string_equal(text_of(row(lines, 1), "name"), "work");
	assert_string_equal(text_of(row(lines, 3), "target"), "work,home");
	assert_int_equal(number_of(row(lines, 3), "recipients"), 2);
	assert_string_equal(text_of(row(lines, 4), "target"), "");
	assert_int_equal(number_of(row(lines, 4), "recipients"), 1);
	json_decref(lines);
}

static void pausing_names_who_did_it(void **state)
{
	json_t *lines = ask(admin, "{\"v\":1,\"verb\":\"pause\",\"lane\":\"work\"}");
	(void)state;

	json_decref(lines);
	assert_string_equal(here->paused, "work");
	assert_string_equal(here->paused_by, "root");
	lines = ask(admin, "{\"v\":1,\"verb\":\"pause\",\"lane\":\"unknown\"}");
	assert_failed(lines, 64);
	json_decref(lines);
	lines = ask((struct permit){ .uid = 1002, .all = true }, "{\"v\":1,\"verb\":\"pause\"}");
	json_decref(lines);
	assert_string_equal(here->paused, "*");
	assert_string_equal(here->paused_by, "uid:1002");
	lines = ask(admin, "{\"v\":1,\"verb\":\"resume\"}");
	json_decref(lines);
	assert_string_equal(here->paused, "");
	lines = ask(admin, "{\"v\":1,\"verb\":\"pause\",\"dry_run\":true}");
	json_decref(lines);
	assert_string_equal(here->paused, "");
}

static void a_pause_is_answered_when_it_is_on_disk(void **state)
{
	json_t *lines;

	(void)state;
	here->looks_until_kept = 3;
	lines = ask(admin, "{\"v\":1,\"verb\":\"pause\",\"lane\":\"work\"}");
	assert_true(json_is_true(json_object_get(row(lines, 0), "ok")));
	assert_int_equal(here->looks, 4);
	json_decref(lines);
}

static void a_pause_that_a_disk_does_not_take_is_not_called_done(void **state)
{
	json_t *lines;

	(void)state;
	here->looks_until_kept = INT_MAX;
	lines = ask(admin, "{\"v\":1,\"verb\":\"resume\",\"lane\":\"work\"}");
	assert_failed(lines, 75);
	json_decref(lines);
}

static void a_domain_is_paused_under_one_name_however_it_is_typed(void **state)
{
	static const struct {
		const char *typed, *paused;
	} rows[] = {
		{ "mx:example.org", "mx:example.org" },
		{ "MX:Example.ORG", "mx:example.org" },
		{ "mx:b\u00fccher.example", "mx:xn--bcher-kva.example" },
		{ "mx:[192.0.2.1]", "mx:[192.0.2.1]" },
	};
	static const char *const wrong[] = { "mx:", "mx:a b", "mx:-.example", "mx:a..b" };
	char request[400];
	(void)state;

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		snprintf(request, sizeof request, "{\"v\":1,\"verb\":\"pause\",\"lane\":\"%s\"}", rows[i].typed);
		json_t *lines = ask(admin, request);

		assert_string_equal(here->paused, rows[i].paused);
		assert_string_equal(text_of(last(lines), "lane"), rows[i].paused);
		json_decref(lines);
	}
	here->paused[0] = '\0';
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		snprintf(request, sizeof request, "{\"v\":1,\"verb\":\"pause\",\"lane\":\"%s\"}", wrong[i]);
		json_t *lines = ask(admin, request);

		assert_failed(lines, 64);
		json_decref(lines);
	}
	assert_string_equal(here->paused, "");
}

static void a_reload_says_what_is_wrong_or_how_much_moved(void **state)
{
	json_t *lines = ask(admin, "{\"v\":1,\"verb\":\"reload\"}");
	(void)state;

	assert_int_equal(json_array_size(json_object_get(row(lines, 0), "lines")), 1);
	assert_int_equal(number_of(last(lines), "rerouted"), 5);
	json_decref(lines);
	here->is_sending = true;
	lines = ask(admin, "{\"v\":1,\"verb\":\"reload\"}");
	assert_int_equal(json_array_size(json_object_get(row(lines, 0), "lines")), 2);
	assert_failed(lines, 78);
	json_decref(lines);
}

static void verify_finds_nothing_in_a_sound_queue(void **state)
{
	json_t *lines;
	(void)state;

	put_one("a@example.org", "b@one.test");
	lines = ask(admin, "{\"v\":1,\"verb\":\"verify\"}");
	assert_true(json_is_true(json_object_get(last(lines), "ok")));
	assert_int_equal(number_of(last(lines), "messages"), 1);
	assert_int_equal(number_of(last(lines), "findings"), 0);
	json_decref(lines);
}

static void drain_ends_when_the_queue_is_empty(void **state)
{
	json_t *lines = ask(admin, "{\"v\":1,\"verb\":\"drain\"}");
	(void)state;

	assert_string_equal(text_of(last(lines), "end"), "empty");
	json_decref(lines);
}

static void drain_ends_when_nothing_can_move(void **state)
{
	json_t *lines;
	(void)state;

	put_one("a@example.org", "b@nowhere.test");
	put_one("a@example.org", "b@one.test");
	json_decref(ask(admin, request_for("hold", "{\"to\":\"*one*\"}", "")));
	lines = ask(admin, "{\"v\":1,\"verb\":\"drain\"}");
	assert_string_equal(text_of(last(lines), "end"), "stuck");
	assert_int_equal(number_of(last(lines), "messages"), 2);
	json_decref(lines);
}

static void drain_does_not_wait_for_a_refused_account(void **state)
{
	json_t *lines;
	(void)state;

	put_one("a@example.org", "b@one.test");
	here->gate = TRAFFIC_GATE_ACCOUNT;
	lines = ask(admin, "{\"v\":1,\"verb\":\"drain\",\"timeout_ms\":1500}");
	assert_string_equal(text_of(last(lines), "end"), "timeout"); /* a limit passes by itself */
	json_decref(lines);
	here->is_parked = true;
	lines = ask(admin, "{\"v\":1,\"verb\":\"drain\",\"timeout_ms\":30000}");
	assert_string_equal(text_of(last(lines), "end"), "stuck");
	json_decref(lines);
}

static void drain_ends_when_the_time_is_up(void **state)
{
	json_t *lines;
	(void)state;

	put_one("a@example.org", "b@one.test");
	lines = ask(admin, "{\"v\":1,\"verb\":\"drain\",\"timeout_ms\":300}");
	assert_string_equal(text_of(last(lines), "end"), "timeout");
	assert_int_equal(number_of(last(lines), "messages"), 1);
	json_decref(lines);
}

static void turn_until(bool (*is_so)(void))
{
	int64_t deadline_ms = clock_boot_ms() + DEADLINE_MS;

	while (!is_so() && clock_boot_ms() < deadline_ms)
		loop_turn(here->room.loop, 20);
	assert_true(is_so());
}

static bool reception_is_closed(void)
{
	return here->is_closed;
}

static bool reception_is_open(void)
{
	return !here->is_closed;
}

static void drain_with_close_opens_again_however_it_ends(void **state)
{
	static const char request[] = "{\"v\":1,\"verb\":\"drain\",\"close\":true}\n";
	int one, two;
	(void)state;

	put_one("a@example.org", "b@one.test");
	one = connect_as(admin);
	two = connect_as(admin);
	assert_int_equal(write(one, request, sizeof request - 1), sizeof request - 1);
	assert_int_equal(write(two, request, sizeof request - 1), sizeof request - 1);
	turn_until(reception_is_closed);
	loop_turn(here->room.loop, 20);
	close(one); /* as if its user pressed ^C */
	for (int64_t until = clock_boot_ms() + 600; clock_boot_ms() < until;)
		loop_turn(here->room.loop, 20);
	assert_true(here->is_closed); /* the other still wants it */
	close(two);
	turn_until(reception_is_open);
}

/* ---------------------------------------------------------------- hostile clients */

static void several_requests_on_one_connection_are_answered_in_order(void **state)
{
	static const char requests[] = "{\"v\":1,\"verb\":\"list\"}\n{\"v\":1,\"verb\":\"version\"}\n"
				       "{\"v\":1,\"verb\":\"nonsense\"}\n{\"v\":1,\"verb\":\"version\"}\n";
	int fd = connect_as(admin);
	struct buf in;
	json_t *line;
	(void)state;

	buf_init(&in, 65536);
	assert_int_equal(write(fd, requests, sizeof requests - 1), sizeof requests - 1);
	line = next_line(fd, &in);
	assert_int_equal(number_of(line, "messages"), 0);
	assert_non_null(json_object_get(line, "messages"));
	json_decref(line);
	line = next_line(fd, &in);
	assert_string_equal(text_of(line, "version"), SENDOFF_VERSION);
	json_decref(line);
	line = next_line(fd, &in);
	assert_string_equal(text_of(line, "error"), "bad request");
	json_decref(line);
	assert_null(next_line(fd, &in)); /* who talks nonsense is not listened to any more */
	buf_fini(&in);
	close(fd);
}

static void a_line_without_end_is_cut_off(void **state)
{
	char *line = mem_alloc(PROTOCOL_REQUEST_MAX);
	int fd = connect_as(alice);
	size_t sent = 0;
	struct buf in;
	json_t *answer;
	(void)state;

	memset(line, 'a', PROTOCOL_REQUEST_MAX);
	while (sent < PROTOCOL_REQUEST_MAX) {
		ssize_t n = send(fd, line, PROTOCOL_REQUEST_MAX - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		else
			assert_int_equal(errno, EAGAIN);
		loop_turn(here->room.loop, 0);
	}
	buf_init(&in, 65536);
	answer = next_line(fd, &in);
	assert_string_equal(text_of(answer, "error"), "bad request");
	json_decref(answer);
	assert_null(next_line(fd, &in));
	buf_fini(&in);
	close(fd);
	mem_free(line);
}

static bool all_clients_have_gone(void)
{
	return list_is_empty(&here->room.clients);
}

static void a_client_that_goes_in_the_middle_harms_nobody(void **state)
{
	static const char request[] = "{\"v\":1,\"verb\":\"remove\",\"filter\":{\"all\":true}}\n";
	json_t *lines;
	(void)state;

	for (int i = 0; i < 300; i++)
		put_one("a@example.org", "b@one.test");
	for (int i = 0; i < 20; i++) {
		int fd = connect_as(admin);

		assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
		for (int turn = 0; turn < i / 4; turn++)
			loop_turn(here->room.loop, 0);
		close(fd);
	}
	turn_until(all_clients_have_gone);
	queue_wait(here->queue);
	lines = ask(admin, "{\"v\":1,\"verb\":\"version\"}");
	assert_true(json_is_true(json_object_get(last(lines), "ok")));
	json_decref(lines);
}

static bool operations_are_pending(void)
{
	const struct list *first = list_first(&here->room.clients);

	return first && LIST_ENTRY(first, struct client, node)->op_count > 0;
}

static void answers_of_the_queue_may_come_when_the_client_has_gone(void **state)
{
	static const char request[] = "{\"v\":1,\"verb\":\"remove\",\"filter\":{\"all\":true}}\n";
	struct queue_stats stats;
	int fd;
	(void)state;

	for (int i = 0; i < 50; i++)
		put_one("a@example.org", "b@one.test");
	fd = connect_as(admin);
	assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
	/* The answers lie ready from here on, and are not fetched. */
	loop_io_set(&here->queue_io, 0);
	turn_until(operations_are_pending);
	client_close(LIST_ENTRY(list_first(&here->room.clients), struct client, node));
	queue_wait(here->queue);
	loop_io_set(&here->queue_io, LOOP_READ);
	queue_view_end(here->queue);
	queue_stats(here->queue, &stats);
	assert_true(stats.messages < 50);
	close(fd);
}

static void a_client_that_does_not_read_waits_alone(void **state)
{
	static const char request[] = "{\"v\":1,\"verb\":\"list\"}\n";
	json_t *lines, *line;
	struct buf in;
	int fd, small = 4096;
	size_t rows = 0;
	(void)state;

	for (int i = 0; i < 1500; i++)
		put_one("a@example.org", "b@one.test");
	fd = connect_as(admin);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
	for (int i = 0; i < 200; i++)
		loop_turn(here->room.loop, 0);
	assert_true(list_is_empty(&here->room.busy)); /* it costs nothing while it waits */
	lines = ask(alice, "{\"v\":1,\"verb\":\"list\"}");
	assert_int_equal(number_of(last(lines), "messages"), 1500);
	json_decref(lines);
	/* The slow one gets everything when it reads at last. */
	buf_init(&in, 1024 * 1024);
	while ((line = next_line(fd, &in))) {
		bool is_last = json_is_true(json_object_get(line, "done"));

		json_decref(line);
		if (is_last)
			break;
		rows++;
	}
	assert_int_equal(rows, 1500);
	buf_fini(&in);
	close(fd);
}

/* ---------------------------------------------------------------- the socket itself */

static int dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static void the_agents_own_user_is_known_by_the_kernels_word(void **state)
{
	static const char request[] = "{\"v\":1,\"verb\":\"pause\"}\n";
	struct control_setup how = {
		.loop = here->room.loop, .config = &here->config, .inherited_fd = -1, .reload = reload, .arg = here
	};
	char path[96], error[256] = "";
	struct control *control;
	struct buf in;
	json_t *line;
	int fd;
	(void)state;

	snprintf(path, sizeof path, "%s/control", here->dir);
	here->config.control_socket = path;
	control = control_new(&how, error, sizeof error);
	if (!control)
		fail_msg("%s", error);
	control_start(control, here->queue, &here->traffic, &here->reception);
	fd = dial(path);
	assert_int_equal(write(fd, request, sizeof request - 1), sizeof request - 1);
	buf_init(&in, 65536);
	line = next_line(fd, &in);
	assert_true(json_is_true(json_object_get(line, "ok")));
	json_decref(line);
	assert_string_equal(here->paused, "*");
	control_reload(control, &here->config);
	control_free(control);
	assert_int_equal(here->config.references, 1);
	assert_null(next_line(fd, &in));
	buf_fini(&in);
	close(fd);
}

static void too_many_clients_are_turned_away_with_a_word(void **state)
{
	struct control_setup how = {
		.loop = here->room.loop, .config = &here->config, .inherited_fd = -1, .reload = reload, .arg = here
	};
	char path[96], error[256] = "";
	int fds[80], turned_away = 0;
	struct control *control;
	(void)state;

	snprintf(path, sizeof path, "%s/control", here->dir);
	here->config.control_socket = path;
	control = control_new(&how, error, sizeof error);
	assert_non_null(control);
	control_start(control, here->queue, &here->traffic, &here->reception);
	for (int i = 0; i < 80; i++) {
		fds[i] = dial(path);
		loop_turn(here->room.loop, 20);
	}
	for (int i = 0; i < 80; i++) {
		char bytes[256];
		ssize_t n = read(fds[i], bytes, sizeof bytes - 1);

		if (n > 0) {
			bytes[n] = '\0';
			assert_non_null(strstr(bytes, "\"busy\""));
			turned_away++;
		}
		close(fds[i]);
	}
	assert_int_equal(turned_away, 80 - 64);
	control_free(control);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---------------------------------------------------------------- explain */

static const char *any[] = { "*" }, *loopback[] = { "127.0.0.0/8" }, *root[] = { "root" }, *shop[] = { "*@shop.test" },
		  *uid_33[] = { "4000000033" }, *to_work[] = { "work", "home" };
static const char *office[] = { "192.0.2.1:25" };

static void write_rules(struct room *room)
{
	static struct config_listener listeners[] = {
		{ .name = "local", .at = { "a.conf", 1 }, .socket = "/s", .trust = true },
		{ .name = "office", .at = { "a.conf", 2 }, .addresses = { office, 1 }, .auth = CONFIG_LOGIN_REQUIRED },
	};
	static struct config_submitter submitters[] = {
		{ .name = "web",
		  .at = { "a.conf", 20 },
		  .who.uids = { uid_33, 1 },
		  .senders = { shop, 1 },
		  .rate = { 30, 60000 },
		  .quota = { 500, 86400000 },
		  .recipients = 7 },
	};
	static struct config_identity identities[] = {
		{ .name = "cron",
		  .at = { "a.conf", 30 },
		  .who.users = { root, 1 },
		  .from = "alerts@example.com",
		  .full_name = "Alerts",
		  .to = "me@example.com",
		  .route = "all" },
	};
	static struct config_route routes[] = {
		{ .name = "shop", .at = { "a.conf", 40 }, .from = { shop, 1 }, .target = "" },
		{ .name = "all",
		  .at = { "a.conf", 41 },
		  .via = { to_work, 2 },
		  .target = "work,home",
		  .lifetime_ms = 86400000,
		  .warn_after_ms = 3600000 },
	};
	static char aliases[128];
	FILE *out;

	snprintf(aliases, sizeof aliases, "%s/aliases", room->dir);
	out = fopen(aliases, "w");
	assert_non_null(out);
	fputs("# names\nstaff: ann@example.org, joe\nlost: |/bin/sh\n", out);
	fclose(out);
	room->config.hostname = "laptop.test";
	room->config.aliases = aliases;
	room->config.listeners = listeners;
	room->config.listener_count = 2;
	room->config.trust = (struct config_trust){
		.networks = { loopback, 1 }, .uids = { any, 1 }, .max_rate = { 600, 60000 }, .uids_at = { "a.conf", 10 }
	};
	room->config.submitters = submitters;
	room->config.submitter_count = 1;
	room->config.identities = identities;
	room->config.identity_count = 1;
	room->config.routes = routes;
	room->config.route_count = 2;
}

/* The test's own folder has another name each time. */
static const char *without_folder(const char *text)
{
	static char out[512];
	const char *folder = strstr(text, here->dir);

	if (!folder)
		return text;
	snprintf(out, sizeof out, "%.*s%s", (int)(folder - text), text, folder + strlen(here->dir) + 1);
	return out;
}

/* The answer as lines "step verdict file:line text", "recipient how file:line address route", "lane name". */
static const char *explain(struct permit permit, const char *more)
{
	static struct buf text;
	char request[512];
	json_t *lines;

	snprintf(request, sizeof request, "{\"v\":1,\"verb\":\"explain\",%s}", more);
	lines = ask(permit, request);
	if (!text.max)
		buf_init(&text, 65536);
	buf_clear(&text);
	for (size_t i = 0; i < json_array_size(lines); i++) {
		const json_t *line = row(lines, i);
		const char *type = text_of(line, "type"), *file = text_of(line, "file");

		if (strrchr(file, '/'))
			file = strrchr(file, '/') + 1;
		if (strcmp(type, "rule") == 0)
			buf_printf(&text, "%s %s %s:%d %s\n", text_of(line, "step"), text_of(line, "verdict"), file,
				   (int)number_of(line, "line"), without_folder(text_of(line, "text")));
		else if (strcmp(type, "recipient") == 0)
			buf_printf(&text, "recipient %s %s:%d %s %s:%d\n", text_of(line, "how"), file,
				   (int)number_of(line, "line"), text_of(line, "address"), text_of(line, "route"),
				   (int)number_of(line, "route_line"));
		else if (strcmp(type, "way") == 0)
			buf_printf(&text, "way %s\n", text_of(line, "lane"));
		else if (strcmp(type, "lane") == 0)
			buf_printf(&text, "lane %s\n", text_of(line, "name"));
		else if (json_is_true(json_object_get(line, "ok")))
			buf_printf(&text, "%s\n",
				   json_is_true(json_object_get(line, "accepted")) ? "accepted" : "refused");
		else
			buf_printf(&text, "exit %d\n", (int)number_of(line, "exit"));
	}
	json_decref(lines);
	return buf_cstr(&text);
}

static void explain_tells_each_rule_with_its_line(void **state)
{
	write_rules(*state);
	assert_string_equal(explain(admin, "\"from\":\"joe\",\"to\":\"staff\",\"uid\":4000000001"),
			    "who note a.conf:1 uid 4000000001 comes in at listener \"local\"\n"
			    "trust yes a.conf:10 trust.uids lets in uid 4000000001\n"
			    "submitter note :0 no submitter section is about them: any sender is allowed\n"
			    "rate note :0 at most 600 messages a minute\n"
			    "sender note :0 <joe> has no domain: it gets this machine's name, <joe@laptop.test>\n"
			    "identity note :0 no identity is about them: the sender stays <joe@laptop.test>\n"
			    "aliases note :0 aliases:3: |/bin/sh: mail is never handed to a command\n"
			    "recipient alias aliases:2 ann@example.org all:41\nway work\nway home\n"
			    "recipient alias aliases:2 joe@laptop.test all:41\nway work\nway home\n"
			    "lane work\nlane home\naccepted\n");
	assert_string_equal(explain(admin, "\"from\":\"root\",\"to\":\"ann\",\"user\":\"root\","
					   "\"listener\":\"office\""),
			    "who note a.conf:2 user root comes in at listener \"office\"\n"
			    "trust yes a.conf:2 whoever logs in at listener \"office\" may send\n"
			    "submitter note :0 no submitter section is about them: any sender is allowed\n"
			    "rate note :0 at most 600 messages a minute\n"
			    "sender note :0 <root> has no domain: it gets this machine's name, <root@laptop.test>\n"
			    "identity yes a.conf:30 identity \"cron\": the sender is <alerts@example.com>\n"
			    "from note a.conf:30 From becomes Alerts <alerts@example.com>; the old one is dropped\n"
			    "route yes a.conf:30 identity \"cron\" chooses route \"all\"\n"
			    "aliases note :0 aliases:3: |/bin/sh: mail is never handed to a command\n"
			    "recipient identity a.conf:30 me@example.com all:41\nway work\nway home\n"
			    "lane work\nlane home\naccepted\n");
}

static void explain_tells_what_would_be_refused(void **state)
{
	write_rules(*state);
	assert_string_equal(explain(admin, "\"from\":\"x@other.test\",\"to\":\"a@b.test\",\"uid\":4000000033"),
			    "who note a.conf:1 uid 4000000033 comes in at listener \"local\"\n"
			    "trust yes a.conf:10 trust.uids lets in uid 4000000033\n"
			    "submitter no a.conf:20 submitter \"web\" does not allow <x@other.test>\n"
			    "rate note a.conf:20 at most 30 messages a minute\n"
			    "quota note a.conf:20 at most 500 recipients a day\n"
			    "recipients note a.conf:20 at most 7 recipients a message\n"
			    "identity note :0 no identity is about them: the sender stays <x@other.test>\n"
			    "recipient given :0 a@b.test all:41\nway work\nway home\n"
			    "lane work\nlane home\nrefused\n");
	assert_string_equal(explain(admin, "\"from\":\"<>\",\"to\":\"<lost>\",\"host\":\"192.0.2.7\""),
			    "who note a.conf:2 192.0.2.7 comes in at listener \"office\"\n"
			    "trust no a.conf:2 only who logs in may send at listener \"office\"\n"
			    "submitter note :0 no submitter section is about them: any sender is allowed\n"
			    "rate note :0 at most 600 messages a minute\n"
			    "identity note :0 no identity is about them: the sender stays <>\n"
			    "aliases note :0 aliases:3: |/bin/sh: mail is never handed to a command\n"
			    "aliases no :0 in aliases the alias lost leads nowhere that can be read now\n"
			    "refused\n");
}

static void status_tells_of_broken_aliases_and_open_listeners(void **state)
{
	const json_t *office_row;
	json_t *lines;

	write_rules(*state);
	lines = ask(admin, "{\"v\":1,\"verb\":\"status\"}");
	assert_non_null(strstr(text_of(row(lines, 0), "aliases_error"), "aliases:3: "));
	office_row = json_array_get(json_object_get(row(lines, 0), "listeners"), 1);
	assert_string_equal(text_of(office_row, "name"), "office");
	assert_true(json_is_true(json_object_get(office_row, "login")));
	assert_true(json_is_false(json_object_get(office_row, "trust")));
	json_decref(lines);
}

static void explain_is_for_ones_own_mail(void **state)
{
	write_rules(*state);
	assert_non_null(strstr(explain(alice, "\"from\":\"a@b.test\",\"to\":\"c@d.test\""), "accepted\n"));
	assert_non_null(strstr(explain(alice, "\"from\":\"a@b.test\",\"to\":\"c@d.test\",\"uid\":1000"), "accepted\n"));
	assert_string_equal(explain(alice, "\"from\":\"a@b.test\",\"to\":\"c@d.test\",\"uid\":0"), "exit 77\n");
	assert_string_equal(explain(alice, "\"from\":\"a@b.test\",\"to\":\"c@d.test\",\"user\":\"x\""), "exit 77\n");
	assert_string_equal(explain(alice, "\"from\":\"a@b.test\",\"to\":\"c@d.test\",\"host\":\"::1\""), "exit 77\n");
}

static void explain_refuses_what_is_no_address(void **state)
{
	static const char *const wrong[] = {
		"\"from\":\"a@b.test\"",
		"\"to\":\"a@b.test\"",
		"\"from\":\"a@b\\n\",\"to\":\"c\"",
		"\"from\":\"a\",\"to\":\"\"",
		"\"from\":\"<a\",\"to\":\"c\"",
		"\"from\":\"<a>b\",\"to\":\"c\"",
		"\"from\":\"a\",\"to\":\"c\",\"listener\":\"none\"",
		"\"from\":\"a\",\"to\":\"c\",\"host\":\"here\"",
	};

	write_rules(*state);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		if (strcmp(explain(admin, wrong[i]), "exit 64\n") != 0)
			fail_msg("%s: %s", wrong[i], explain(admin, wrong[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_listing_has_one_row_a_message),
		TEST(a_listing_is_filtered_and_limited),
		TEST(a_deep_queue_is_listed_in_pieces_and_whole),
		TEST(others_see_and_handle_only_their_own),
		TEST(what_is_about_all_is_for_administrators),
		TEST(holding_and_releasing_change_only_what_they_must),
		TEST(what_an_administrator_holds_its_owner_cannot_release),
		TEST(a_dry_run_counts_and_shows_and_changes_nothing),
		TEST(a_message_is_held_with_all_its_recipients),
		TEST(what_came_after_a_dry_run_is_not_touched),
		TEST(removing_by_recipient_leaves_the_others),
		TEST(a_message_that_has_left_is_still_told_of),
		TEST(changing_without_saying_what_is_refused),
		TEST(a_flush_makes_due_and_wakes),
		TEST(a_flush_wakes_each_domain_it_is_about),
		TEST(a_flush_of_ones_own_mail_wakes_no_lane),
		TEST(held_mail_is_not_flushed),
		TEST(the_bytes_come_out_as_they_went_in),
		TEST(status_counts_what_waits_for_what),
		TEST(pausing_names_who_did_it),
		TEST(a_pause_is_answered_when_it_is_on_disk),
		TEST(a_pause_that_a_disk_does_not_take_is_not_called_done),
		TEST(a_domain_is_paused_under_one_name_however_it_is_typed),
		TEST(a_reload_says_what_is_wrong_or_how_much_moved),
		TEST(verify_finds_nothing_in_a_sound_queue),
		TEST(drain_ends_when_the_queue_is_empty),
		TEST(drain_ends_when_nothing_can_move),
		TEST(drain_does_not_wait_for_a_refused_account),
		TEST(drain_ends_when_the_time_is_up),
		TEST(drain_with_close_opens_again_however_it_ends),
		TEST(several_requests_on_one_connection_are_answered_in_order),
		TEST(a_line_without_end_is_cut_off),
		TEST(a_client_that_goes_in_the_middle_harms_nobody),
		TEST(answers_of_the_queue_may_come_when_the_client_has_gone),
		TEST(a_client_that_does_not_read_waits_alone),
		TEST(the_agents_own_user_is_known_by_the_kernels_word),
		TEST(too_many_clients_are_turned_away_with_a_word),
		TEST(explain_tells_each_rule_with_its_line),
		TEST(explain_tells_what_would_be_refused),
		TEST(status_tells_of_broken_aliases_and_open_listeners),
		TEST(explain_is_for_ones_own_mail),
		TEST(explain_refuses_what_is_no_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
