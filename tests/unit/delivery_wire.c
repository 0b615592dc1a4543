/* The whole room on a real loop against a small server on loopback. */
#include "delivery_rig.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "delivery/delivery.h"
#include "net/conn.h"
#include "net/dns.h"
#include "net/listen.h"
#include "net/loop.h"
#include "net/tls.h"

enum { PEERS = 16, LINE = 1024 };

/* What the server does, and what it saw. */
struct server {
	struct loop *loop;
	struct listen *listen;
	struct peer *peers[PEERS];
	char address[64];
	unsigned port;
	struct tls_server *tls;
	const char *greeting, *ehlo, *mail, *rcpt_bad, *dot; /* replies; NULL: fine */
	bool drops_after_dot, drops_at_data, is_mute, breaks_tls;
	const char *password; /* base64 of \0user\0password */
	int connections, messages, rcpts, auths;
	char last_body[4096], last_mail[LINE], rcpt_lines[4096];
	size_t last_size;
};

struct peer {
	struct server *server;
	struct conn *conn;
	bool in_body, is_authenticated, is_secure;
	char line[LINE];
	size_t len;
	struct buf body;
};

struct world {
	struct rig rig; /* its queue and configuration; not its scheduler */
	struct loop *loop;
	struct loop_io queue_io;
	struct dns *dns;
	struct tls_client *tls;
	struct delivery *delivery;
	struct server server;
	bool is_stopped;
	uint64_t rerouted;
};

/* ---------------------------------------------------------------- the server */

static void peer_say(struct peer *peer, const char *text)
{
	conn_write(peer->conn, text, strlen(text));
	conn_write(peer->conn, "\r\n", 2);
}

static void peer_end(struct peer *peer)
{
	for (int i = 0; i < PEERS; i++)
		if (peer->server->peers[i] == peer)
			peer->server->peers[i] = NULL;
	conn_finish(peer->conn, 100);
	buf_fini(&peer->body);
	mem_free(peer);
}

/* False: the peer is gone. */
static bool peer_command(struct peer *peer, const char *line)
{
	struct server *s = peer->server;

	if (!strncasecmp(line, "EHLO", 4)) {
		peer_say(peer, s->ehlo && (!s->tls || peer->is_secure) ? s->ehlo
			       : s->tls && !peer->is_secure            ? "250-server\r\n250-PIPELINING\r\n250 STARTTLS"
							    : "250-server\r\n250-PIPELINING\r\n250 8BITMIME");
	} else if (!strcasecmp(line, "STARTTLS")) {
		peer_say(peer, "220 go ahead");
		if (s->breaks_tls)
			peer_say(peer, "500 no TLS today");
		else
			conn_tls_accept(peer->conn, s->tls);
	} else if (!strncasecmp(line, "AUTH PLAIN ", 11)) {
		s->auths++;
		peer->is_authenticated = s->password && !strcmp(line + 11, s->password);
		peer_say(peer, peer->is_authenticated ? "235 2.7.0 ok" : "535 5.7.8 wrong password");
	} else if (!strncasecmp(line, "MAIL", 4)) {
		snprintf(s->last_mail, sizeof s->last_mail, "%s", line);
		s->rcpt_lines[0] = '\0';
		peer_say(peer, s->mail ? s->mail : "250 2.1.0 ok");
	} else if (!strncasecmp(line, "RCPT", 4)) {
		s->rcpts++;
		snprintf(s->rcpt_lines + strlen(s->rcpt_lines), sizeof s->rcpt_lines - strlen(s->rcpt_lines), "%s\n",
			 line);
		peer_say(peer, s->rcpt_bad && strstr(line, s->rcpt_bad) ? "550 5.1.1 no such user" : "250 2.1.5 ok");
	} else if (!strcasecmp(line, "DATA")) {
		if (s->drops_at_data) {
			peer_end(peer);
			return false;
		}
		peer->in_body = true;
		peer_say(peer, "354 go");
	} else if (!strcasecmp(line, "QUIT")) {
		peer_say(peer, "221 bye");
		peer_end(peer);
		return false;
	} else {
		peer_say(peer, "250 ok");
	}
	return true;
}

static bool peer_body(struct peer *peer, const char *line)
{
	struct server *s = peer->server;

	if (strcmp(line, ".") != 0) {
		buf_printf(&peer->body, "%s\n", line);
		return true;
	}
	peer->in_body = false;
	s->messages++;
	s->last_size = peer->body.len;
	snprintf(s->last_body, sizeof s->last_body, "%s", buf_cstr(&peer->body));
	buf_clear(&peer->body);
	if (s->drops_after_dot) {
		peer_end(peer);
		return false;
	}
	peer_say(peer, s->dot ? s->dot : "250 2.0.0 taken");
	return true;
}

static void peer_event(void *arg, enum conn_event event)
{
	struct peer *peer = arg;
	struct span in;

	if (event == CONN_EOF || event == CONN_FAILED) {
		peer_end(peer);
		return;
	}
	if (event == CONN_SECURE)
		peer->is_secure = true;
	in = conn_input(peer->conn);
	if (event != CONN_INPUT || peer->server->is_mute)
		return;
	while (in.len) {
		size_t end = span_find(in, '\n');
		char line[LINE];

		if (end == in.len)
			return;
		snprintf(line, sizeof line, "%.*s", (int)(end ? end - 1 : 0), in.data);
		conn_consume(peer->conn, end + 1);
		if (!(peer->in_body ? peer_body(peer, line) : peer_command(peer, line)))
			return;
		in = conn_input(peer->conn);
	}
}

static void server_accepted(void *arg, int fd)
{
	struct server *s = arg;
	struct peer *peer = MEM_NEW(struct peer);
	struct conn_config config = { .loop = s->loop, .event = peer_event, .arg = peer };

	s->connections++;
	peer->server = s;
	buf_init(&peer->body, 8 << 20);
	peer->conn = conn_new(&config, fd);
	for (int i = 0; i < PEERS; i++)
		if (!s->peers[i]) {
			s->peers[i] = peer;
			break;
		}
	if (!s->is_mute)
		peer_say(peer, s->greeting ? s->greeting : "220 server");
}

static void server_open(struct server *s, struct loop *loop, const char *address)
{
	char why[256];

	s->loop = loop;
	assert_int_equal(listen_tcp(loop, address, &s->listen, why, sizeof why), 0);
	snprintf(s->address, sizeof s->address, "%s", listen_name(s->listen));
	s->port = (unsigned)atoi(strrchr(s->address, ':') + 1);
	listen_start(s->listen, server_accepted, s);
}

static void server_close(struct server *s)
{
	listen_free(s->listen);
	s->listen = NULL;
	for (int i = 0; i < PEERS; i++)
		if (s->peers[i])
			peer_end(s->peers[i]);
}

/* ---------------------------------------------------------------- the world */

static void queue_ready(struct loop_io *io, int events)
{
	struct world *w = LIST_ENTRY(io, struct world, queue_io);

	(void)events;
	queue_dispatch(w->rig.queue);
}

static void turn_end(void *arg)
{
	struct world *w = arg;

	if (w->rig.queue)
		queue_view_end(w->rig.queue);
}

static void world_deliver(struct world *w)
{
	struct delivery_setup setup = { .loop = w->loop,
					.queue = w->rig.queue,
					.config = w->rig.config,
					.dns = w->dns,
					.tls = w->tls,
					.credentials_directory = w->rig.dir };

	w->delivery = delivery_new(&setup);
}

/* `keys` of smarthost "work" besides host and port. */
static struct config *world_config(struct world *w, const char *keys)
{
	struct config *config;
	char text[2048];

	snprintf(text, sizeof text,
		 "smarthost \"work\" { host = \"127.0.0.1\" port = %u %s }\n"
		 "route \"all\" { via = {\"work\"} }\n",
		 w->server.port, keys);
	config = rig_config(&w->rig, text);
	config->smarthosts[0].reconnect = (struct config_backoff){ .first_ms = 200, .factor = 2, .max_ms = 1000 };
	return config;
}

static void world_queue(struct world *w)
{
	struct queue_config config = {
		.directory = w->rig.config->queue.directory,
		.hash = bodyhash_sha256,
	};
	char why[256];

	assert_int_equal(queue_open(&config, &w->rig.queue, why, sizeof why), QUEUE_OK);
	loop_io_init(&w->queue_io, w->loop, queue_fd(w->rig.queue), queue_ready);
	loop_io_set(&w->queue_io, LOOP_READ);
}

static void world_open(struct world *w, const char *keys)
{
	struct dns_config dns = { 0 };
	char why[256];

	memset(w, 0, sizeof *w);
	w->loop = loop_new();
	server_open(&w->server, w->loop, "127.0.0.1:0");
	rig_folder(&w->rig);
	w->rig.now = (struct moment){ loop_now_ms(w->loop), loop_wall_ms(w->loop) };
	log_open("stderr", getenv("DELIVERY_LOG") ? getenv("DELIVERY_LOG") : "error");
	w->rig.config = world_config(w, keys);
	world_queue(w);
	loop_on_turn_end(w->loop, turn_end, w);
	w->dns = dns_new(w->loop, &dns, why, sizeof why);
	assert_non_null(w->dns);
	w->tls = tls_client_new();
	world_deliver(w);
}

static void world_close(struct world *w)
{
	char command[128];

	queue_wait(w->rig.queue);
	delivery_free(w->delivery);
	server_close(&w->server);
	tls_server_free(w->server.tls);
	loop_turn(w->loop, 0);
	queue_view_end(w->rig.queue);
	loop_io_stop(&w->queue_io);
	queue_close(w->rig.queue);
	w->rig.queue = NULL;
	tls_client_free(w->tls);
	dns_free(w->dns);
	for (int i = 0; i < 20; i++)
		loop_turn(w->loop, 10); /* connections that linger */
	loop_free(w->loop);
	config_unref(w->rig.config);
	snprintf(command, sizeof command, "rm -rf %s", w->rig.dir);
	assert_int_equal(system(command), 0);
}

static uint64_t world_mail(struct world *w, struct rig_mail mail)
{
	w->rig.now = (struct moment){ loop_now_ms(w->loop), loop_wall_ms(w->loop) };
	return rig_mail(&w->rig, mail);
}

/* Turns until the condition holds; fails after `seconds`. */
#define UNTIL(w, seconds, condition)                                                                               \
	do {                                                                                                       \
		int64_t end_ = clock_boot_ms() + (seconds)*1000;                                                   \
		while (!(condition)) {                                                                             \
			if (clock_boot_ms() > end_)                                                                \
				fail_msg("%s:%d: not within %d s: %s", __FILE__, __LINE__, (seconds), #condition); \
			loop_turn((w)->loop, 20);                                                                  \
		}                                                                                                  \
	} while (0)

static void pass(struct world *w, int64_t ms)
{
	int64_t end = clock_boot_ms() + ms;

	while (clock_boot_ms() < end)
		loop_turn(w->loop, 10);
}

static struct traffic_lane world_lane(struct world *w)
{
	const struct traffic *traffic = delivery_traffic(w->delivery);
	struct traffic_lane lane;

	assert_true(traffic->lane(traffic->self, 0, &lane));
	return lane;
}

static struct traffic_why world_why(struct world *w, uint64_t id)
{
	const struct traffic *traffic = delivery_traffic(w->delivery);
	struct traffic_why why;

	assert_true(traffic->why(traffic->self, id, 0, &why));
	queue_view_end(w->rig.queue);
	return why;
}

/* ---------------------------------------------------------------- tests */

static void a_message_is_delivered_byte_for_byte(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none");
	uint64_t id = world_mail(&w, (struct rig_mail){ .count = 3 });

	UNTIL(&w, 5, !rig_has(&w.rig, id));
	assert_int_equal(w.server.messages, 1);
	assert_int_equal(w.server.rcpts, 3);
	assert_string_equal(w.server.last_body, "Subject: test\n\nHello\n");
	world_close(&w);
}

static void many_messages_share_a_connection(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none connections = 1");
	for (int i = 0; i < 50; i++)
		world_mail(&w, (struct rig_mail){ 0 });
	UNTIL(&w, 10, rig_messages(&w.rig) == 0);
	assert_int_equal(w.server.messages, 50);
	assert_int_equal(w.server.connections, 1);
	world_mail(&w, (struct rig_mail){ 0 });
	UNTIL(&w, 5, rig_messages(&w.rig) == 0);
	assert_int_equal(w.server.connections, 1); /* the idle one was kept */
	world_close(&w);
}

static void a_connection_carries_no_more_messages_than_allowed(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none connections = 1 messages_per_connection = 10");
	for (int i = 0; i < 35; i++)
		world_mail(&w, (struct rig_mail){ 0 });
	UNTIL(&w, 10, rig_messages(&w.rig) == 0);
	assert_int_equal(w.server.messages, 35);
	assert_int_equal(w.server.connections, 4);
	world_close(&w);
}

static void a_refused_recipient_bounces_and_the_others_arrive(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none");
	w.server.rcpt_bad = "r1@";
	uint64_t id = world_mail(&w, (struct rig_mail){ .count = 3 });

	UNTIL(&w, 5, !rig_has(&w.rig, id) && rig_messages(&w.rig) == 0);
	assert_int_equal(w.server.messages, 2); /* the mail and the report */
	assert_non_null(strstr(w.server.last_body, "550 5.1.1 no such user"));
	assert_non_null(strstr(w.server.last_body, "r1@example.net"));
	world_close(&w);
}

static void a_server_that_is_down_makes_the_lane_wait_and_nothing_bounces(void **state)
{
	struct world w;
	char address[64];

	(void)state;
	world_open(&w, "tls = none auth = none");
	snprintf(address, sizeof address, "%s", w.server.address);
	server_close(&w.server);
	uint64_t id = world_mail(&w, (struct rig_mail){ 0 });

	UNTIL(&w, 5, world_lane(&w).failures >= 2);
	assert_int_equal(world_lane(&w).trouble, TRAFFIC_LANE);
	struct traffic_why why = world_why(&w, id);

	assert_int_equal(why.gate, TRAFFIC_GATE_LANE);
	assert_non_null(strstr(why.said, "refused"));
	assert_int_equal(rig_rcpt(&w.rig, id, 0).attempts, 0);
	queue_view_end(w.rig.queue);
	server_open(&w.server, w.loop, address);
	UNTIL(&w, 5, !rig_has(&w.rig, id));
	assert_int_equal(world_lane(&w).trouble, TRAFFIC_WELL);
	world_close(&w);
}

static void whatever_goes_wrong_before_mail_never_bounces(void **state)
{
	static const char *const greetings[] = { "554 go away", "421 busy", "hello?", "220" };
	struct world w;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		world_open(&w, "tls = starttls tls_verify = no auth = none");
		w.server.greeting = greetings[i];
		w.server.ehlo = i == 3 ? "550 no" : NULL;
		uint64_t id = world_mail(&w, (struct rig_mail){ 0 });

		UNTIL(&w, 5, world_lane(&w).failures >= 2);
		assert_true(rig_has(&w.rig, id));
		assert_int_equal(world_lane(&w).trouble, TRAFFIC_LANE);
		assert_int_equal(rig_messages(&w.rig), 1);
		world_close(&w);
	}
}

static void a_lost_answer_to_the_final_dot_is_doubtful(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none");
	w.server.drops_after_dot = true;
	uint64_t id = world_mail(&w, (struct rig_mail){ 0 });

	UNTIL(&w, 5, rig_rcpt(&w.rig, id, 0).state == QUEUE_RCPT_DOUBTFUL);
	assert_true(rig_rcpt(&w.rig, id, 0).due_ms > loop_wall_ms(w.loop) + 500 * 1000);
	queue_view_end(w.rig.queue);
	/* What is committed may be read before its answer is heard. */
	UNTIL(&w, 5, world_why(&w, id).gate == TRAFFIC_GATE_RETRY);
	pass(&w, 600);
	assert_int_equal(w.server.messages, 1);
	world_close(&w);
}

static void a_message_that_kills_connections_does_not_stop_the_lane(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none connections = 1");
	w.server.drops_at_data = true;
	uint64_t id = world_mail(&w, (struct rig_mail){ 0 });

	UNTIL(&w, 10, rig_rcpt(&w.rig, id, 0).attempts == 1);
	queue_view_end(w.rig.queue);
	w.server.drops_at_data = false;
	uint64_t next = world_mail(&w, (struct rig_mail){ 0 });

	UNTIL(&w, 10, !rig_has(&w.rig, next));
	assert_true(rig_has(&w.rig, id));
	world_close(&w);
}

static void starttls_with_a_wrong_certificate_sends_nothing(void **state)
{
	struct world w;
	char why[256];

	(void)state;
	world_open(&w, "tls = starttls auth = none");
	assert_int_equal(tls_server_new_self_signed("localhost", NULL, &w.server.tls, why, sizeof why), 0);
	uint64_t id = world_mail(&w, (struct rig_mail){ 0 });

	UNTIL(&w, 10, world_lane(&w).failures >= 1);
	assert_true(rig_has(&w.rig, id));
	assert_int_equal(w.server.messages, 0);
	assert_non_null(strstr(world_lane(&w).error, "certificate"));
	assert_non_null(strstr(world_lane(&w).advice, "tls_ca"));
	world_close(&w);
}

static void starttls_with_the_right_ca_is_verified_and_authenticates(void **state)
{
	struct world w;
	struct queue_history_at at = { UINT64_MAX, UINT64_MAX, UINT32_MAX };
	struct queue_outcome outcome;
	struct config *next;
	char why[256], path[128], keys[512];
	FILE *file;

	(void)state;
	world_open(&w, "tls = none auth = none");
	snprintf(path, sizeof path, "%s/ca.pem", w.rig.dir);
	assert_int_equal(tls_server_new_self_signed("smtp.example.org", path, &w.server.tls, why, sizeof why), 0);
	w.server.ehlo = "250-server\r\n250-PIPELINING\r\n250 AUTH PLAIN";
	w.server.password = "AG1lAGhlbGxv"; /* me, hello */
	snprintf(path, sizeof path, "%s/secret", w.rig.dir);
	file = fopen(path, "w");
	fprintf(file, "hello\nnot this\n");
	fclose(file);
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(keys, sizeof keys,
		 "tls = starttls tls_ca = \"%s/ca.pem\" tls_name = \"smtp.example.org\" auth = plain user = \"me\" "
		 "secret_file = \"%s\"",
		 w.rig.dir, path);
	next = world_config(&w, keys);
	delivery_reload(w.delivery, next, NULL, NULL);
	config_unref(w.rig.config);
	w.rig.config = next;
	uint64_t id = world_mail(&w, (struct rig_mail){ 0 });

	UNTIL(&w, 10, !rig_has(&w.rig, id));
	assert_int_equal(w.server.auths, 1);
	assert_int_equal(queue_view_history(queue_view(w.rig.queue), &at, &outcome), QUEUE_OK);
	assert_non_null(strstr(outcome.tls, "verified"));
	assert_null(strstr(outcome.tls, "unverified"));
	queue_view_end(w.rig.queue);
	world_close(&w);
}

static void opportunistic_goes_on_in_clear_text_when_tls_is_broken(void **state)
{
	struct world w;
	char why[256];

	(void)state;
	world_open(&w, "tls = opportunistic auth = none");
	assert_int_equal(tls_server_new_self_signed("x", NULL, &w.server.tls, why, sizeof why), 0);
	uint64_t id = world_mail(&w, (struct rig_mail){ 0 });

	UNTIL(&w, 10, !rig_has(&w.rig, id));
	assert_int_equal(w.server.connections, 1);
	world_close(&w);
	world_open(&w, "tls = opportunistic auth = none");
	assert_int_equal(tls_server_new_self_signed("x", NULL, &w.server.tls, why, sizeof why), 0);
	w.server.breaks_tls = true;
	id = world_mail(&w, (struct rig_mail){ 0 });
	UNTIL(&w, 10, !rig_has(&w.rig, id));
	assert_int_equal(w.server.connections, 2);
	assert_int_equal(world_lane(&w).failures, 0);
	world_close(&w);
	/* Where TLS is promised nothing takes it away. */
	world_open(&w, "tls = starttls tls_verify = no auth = none");
	assert_int_equal(tls_server_new_self_signed("x", NULL, &w.server.tls, why, sizeof why), 0);
	w.server.breaks_tls = true;
	id = world_mail(&w, (struct rig_mail){ 0 });
	UNTIL(&w, 10, world_lane(&w).failures >= 2);
	assert_true(rig_has(&w.rig, id));
	assert_int_equal(w.server.messages, 0);
	world_close(&w);
}

static void a_refused_password_parks_the_account_until_the_secret_changes(void **state)
{
	struct world w;
	struct config *next;
	char why[256], path[128], keys[512];
	FILE *file;

	(void)state;
	world_open(&w, "tls = none auth = none");
	assert_int_equal(tls_server_new_self_signed("x", NULL, &w.server.tls, why, sizeof why), 0);
	w.server.ehlo = "250-server\r\n250-PIPELINING\r\n250 AUTH PLAIN";
	w.server.password = "AG1lAGhlbGxv";
	snprintf(path, sizeof path, "%s/secret", w.rig.dir);
	file = fopen(path, "w");
	fprintf(file, "mistaken\n");
	fclose(file);
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(keys, sizeof keys, "tls = starttls tls_verify = no auth = plain user = \"me\" secret_file = \"%s\"",
		 path);
	next = world_config(&w, keys);
	delivery_reload(w.delivery, next, NULL, NULL);
	config_unref(w.rig.config);
	w.rig.config = next;
	uint64_t id = world_mail(&w, (struct rig_mail){ 0 });

	UNTIL(&w, 10, world_lane(&w).parked);
	pass(&w, 1500);
	assert_int_equal(w.server.auths, 1); /* not hammered */
	struct traffic_why said = world_why(&w, id);

	assert_int_equal(said.gate, TRAFFIC_GATE_ACCOUNT);
	assert_true(said.parked);
	assert_non_null(strstr(said.said, "wrong password"));
	assert_non_null(strstr(said.advice, "secret"));
	file = fopen(path, "w");
	fprintf(file, "hello\n");
	fclose(file);
	UNTIL(&w, 10, !rig_has(&w.rig, id));
	assert_int_equal(w.server.auths, 2);
	world_close(&w);
}

static void note_rerouted(void *arg, uint64_t messages)
{
	((struct world *)arg)->rerouted = messages + 1;
}

static void a_reload_counts_the_mail_that_changed_route(void **state)
{
	struct world w;
	struct config *next;

	(void)state;
	world_open(&w, "tls = none auth = none");
	for (int i = 0; i < 20; i++)
		world_mail(&w, (struct rig_mail){ .target = "" });
	pass(&w, 100);
	assert_int_equal(rig_messages(&w.rig), 20);
	next = world_config(&w, "tls = none auth = none");
	delivery_reload(w.delivery, next, note_rerouted, &w);
	config_unref(w.rig.config);
	w.rig.config = next;
	UNTIL(&w, 5, w.rerouted);
	assert_int_equal(w.rerouted - 1, 20);
	UNTIL(&w, 5, rig_messages(&w.rig) == 0);
	world_close(&w);
}

static void a_reload_looks_through_all_mail_without_being_pushed(void **state)
{
	struct world w;
	const struct traffic *traffic;
	struct config *next;

	(void)state;
	world_open(&w, "tls = none auth = none");
	traffic = delivery_traffic(w.delivery);
	assert_true(traffic->pause(traffic->self, NULL, "root"));
	world_mail(&w, (struct rig_mail){ .count = 3 * SWEEP_RCPTS });
	world_mail(&w, (struct rig_mail){ .target = "" });
	pass(&w, 100);
	next = world_config(&w, "tls = none auth = none");
	delivery_reload(w.delivery, next, note_rerouted, &w);
	config_unref(w.rig.config);
	w.rig.config = next;
	UNTIL(&w, 5, w.rerouted);
	assert_int_equal(w.rerouted - 1, 1);
	world_close(&w);
}

static void note_stopped(void *arg)
{
	((struct world *)arg)->is_stopped = true;
}

static void a_mute_server_does_not_hold_up_the_end(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none");
	w.server.is_mute = true;
	uint64_t id = world_mail(&w, (struct rig_mail){ 0 });

	UNTIL(&w, 5, w.server.connections == 1);
	delivery_stop(w.delivery, note_stopped, &w);
	UNTIL(&w, 8, w.is_stopped);
	assert_true(rig_has(&w.rig, id));
	world_close(&w);
}

static void stopping_finishes_what_is_under_way_and_starts_nothing(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none connections = 1");
	for (int i = 0; i < 300; i++)
		world_mail(&w, (struct rig_mail){ 0 });
	UNTIL(&w, 5, w.server.messages > 3);
	delivery_stop(w.delivery, note_stopped, &w);
	UNTIL(&w, 4, w.is_stopped);
	queue_wait(w.rig.queue);
	queue_view_end(w.rig.queue);
	assert_int_equal(w.server.messages + (int)rig_messages(&w.rig), 300);
	assert_true(rig_messages(&w.rig) > 0);
	world_close(&w);
}

/* In every page that holds it. */
static void corrupt(const struct world *w, const char *from, const char *to)
{
	char path[128];
	struct stat st;
	FILE *file;
	char *data;

	snprintf(path, sizeof path, "%s/queue/queue.mdb", w->rig.dir);
	file = fopen(path, "r+");
	assert_non_null(file);
	assert_int_equal(fstat(fileno(file), &st), 0);
	data = mem_alloc((size_t)st.st_size);
	assert_int_equal(fread(data, 1, (size_t)st.st_size, file), st.st_size);
	for (char *p = data; (p = memmem(p, (size_t)(data + st.st_size - p), from, strlen(from))); p++)
		memcpy(p, to, strlen(to));
	rewind(file);
	fwrite(data, 1, (size_t)st.st_size, file);
	fclose(file);
	mem_free(data);
}

static void a_flipped_bit_in_the_body_is_never_sent(void **state)
{
	const struct traffic *traffic;
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none connections = 1");
	traffic = delivery_traffic(w.delivery);
	traffic->pause(traffic->self, NULL, "root");
	uint64_t id = world_mail(&w, (struct rig_mail){ .count = 3 });

	pass(&w, 50);
	queue_wait(w.rig.queue);
	delivery_free(w.delivery);
	loop_io_stop(&w.queue_io);
	queue_close(w.rig.queue);
	corrupt(&w, "Hello\r\n", "Jello\r\n");
	world_queue(&w);
	world_deliver(&w);
	traffic = delivery_traffic(w.delivery);
	traffic->resume(traffic->self, NULL);
	UNTIL(&w, 5, world_why(&w, id).gate == TRAFFIC_GATE_DAMAGED);
	uint64_t next = world_mail(&w, (struct rig_mail){ 0 });

	UNTIL(&w, 5, !rig_has(&w.rig, next));
	assert_true(rig_has(&w.rig, id));
	assert_int_equal(w.server.messages, 1);
	assert_int_equal(world_lane(&w).failures, 0);
	world_close(&w);
}

static void paused_mail_waits_until_resumed(void **state)
{
	struct world w;
	const struct traffic *traffic;

	(void)state;
	world_open(&w, "tls = none auth = none");
	traffic = delivery_traffic(w.delivery);
	assert_true(traffic->pause(traffic->self, NULL, "root"));
	uint64_t id = world_mail(&w, (struct rig_mail){ 0 });

	pass(&w, 200);
	assert_int_equal(w.server.connections, 0);
	assert_int_equal(world_why(&w, id).gate, TRAFFIC_GATE_PAUSED);
	assert_true(traffic->resume(traffic->self, NULL));
	UNTIL(&w, 5, !rig_has(&w.rig, id));
	assert_false(traffic->pause(traffic->self, "nowhere", "root"));
	world_close(&w);
}

static bool is_idle(struct world *w)
{
	return rig_messages(&w->rig) == 0;
}

static const char UMLAUT[] = "Subject: test\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
			     "Content-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9f"
			     "e\r\n";

static void eight_bit_text_is_converted_for_a_server_without_8bitmime(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none");
	w.server.ehlo = "250-server\r\n250 SIZE";
	world_mail(&w, (struct rig_mail){ .body = UMLAUT, .kind = QUEUE_BODY_8BIT });
	UNTIL(&w, 5, w.server.messages == 1 && is_idle(&w));
	assert_non_null(strstr(w.server.last_body, "Content-Transfer-Encoding: quoted-printable\n"));
	assert_non_null(strstr(w.server.last_body, "Gr=C3=BC=C3=9Fe"));
	assert_null(strstr(w.server.last_mail, "BODY="));
	assert_non_null(strstr(w.server.last_mail, " SIZE="));
	/* The next one needs nothing, and one that only says so neither. */
	world_mail(&w, (struct rig_mail){ 0 });
	UNTIL(&w, 5, w.server.messages == 2 && is_idle(&w));
	world_mail(&w, (struct rig_mail){ .kind = QUEUE_BODY_8BIT });
	UNTIL(&w, 5, w.server.messages == 3 && is_idle(&w));
	assert_string_equal(w.server.last_body, "Subject: test\n\nHello\n");
	/* Where it is offered it goes as it is. */
	assert_int_equal(w.server.connections, 1);
	world_close(&w);
}

static void eight_bit_text_goes_as_it_is_where_it_may(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none");
	world_mail(&w, (struct rig_mail){ .body = UMLAUT, .kind = QUEUE_BODY_8BIT });
	UNTIL(&w, 5, w.server.messages == 1 && is_idle(&w));
	assert_non_null(strstr(w.server.last_body, "Gr\xc3\xbc\xc3\x9f"
						   "e\n"));
	assert_non_null(strstr(w.server.last_mail, " BODY=8BITMIME"));
	world_close(&w);
}

static void a_large_message_is_looked_at_while_others_go_on(void **state)
{
	static const char head[] = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n";
	static const char line[] = "0123456789012345678901234567890123456789 \xc3\xbc\r\n"; /* 45 bytes */
	size_t size = 3 << 20, at = sizeof head - 1;
	char *body = mem_alloc(size);
	struct world w;

	(void)state;
	memcpy(body, head, at);
	for (; at + sizeof line - 1 <= size; at += sizeof line - 1)
		memcpy(body + at, line, sizeof line - 1);
	world_open(&w, "tls = none auth = none connections = 1");
	w.server.ehlo = "250-server\r\n250-PIPELINING\r\n250 SIZE";
	world_mail(&w, (struct rig_mail){ .body = body, .body_len = at, .kind = QUEUE_BODY_8BIT });
	for (int i = 0; i < 5; i++)
		world_mail(&w, (struct rig_mail){ 0 });
	UNTIL(&w, 20, w.server.messages == 6 && is_idle(&w));
	assert_int_equal(w.server.connections, 1);
	mem_free(body);
	world_close(&w);
}

static void binary_mail_is_converted_where_bdat_is_not_known(void **state)
{
	static const char body[] = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
				   "Content-Transfer-Encoding: binary\r\n\r\na\nb\0c\r";
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none");
	world_mail(&w, (struct rig_mail){ .body = body, .body_len = sizeof body - 1, .kind = QUEUE_BODY_BINARY });
	UNTIL(&w, 5, w.server.messages == 1 && is_idle(&w));
	assert_non_null(strstr(w.server.last_body, "Content-Transfer-Encoding: base64\n"));
	assert_non_null(strstr(w.server.last_body, "\nYQpiAGMN\n"));
	world_close(&w);
}

static void what_cannot_be_converted_comes_back(void **state)
{
	static const char body[] =
		"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=b; protocol=p/q\r\n\r\n"
		"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
		"Gr\xc3\xbc\xc3\x9f"
		"e\r\n--b\r\nContent-Type: p/q\r\n\r\nseal\r\n--b--\r\n";
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none");
	w.server.ehlo = "250-server\r\n250 PIPELINING";
	world_mail(&w, (struct rig_mail){ .body = body, .kind = QUEUE_BODY_8BIT });
	world_mail(&w, (struct rig_mail){ 0 });
	UNTIL(&w, 5, w.server.messages == 2 && is_idle(&w));
	/* One of them is the report. */
	assert_non_null(strstr(w.server.last_body, "5.6.3"));
	assert_non_null(strstr(w.server.last_body, "signed"));
	assert_int_equal(w.server.connections, 1);
	world_close(&w);
}

static void smtputf8_is_left_out_where_nothing_needs_it(void **state)
{
	static const char header[] = "Subject: Gr\xc3\xbc\xc3\x9f"
				     "e\r\n\r\nHello\r\n";
	char longline[1200];
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none");
	world_mail(&w, (struct rig_mail){ .flags = QUEUE_SMTPUTF8,
					  .rcpt = "a@b\xc3\xbc"
						  "cher.example" });
	UNTIL(&w, 5, w.server.messages == 1 && is_idle(&w));
	assert_null(strstr(w.server.last_mail, "SMTPUTF8"));
	assert_string_equal(w.server.rcpt_lines, "RCPT TO:<a@xn--bcher-kva.example>\n");
	/* What was only looked at for this stays as it is, also where a converter would find something to do. */
	memset(longline + 14, 'x', 1100);
	memcpy(longline, "Subject: x\r\n\r\n", 14);
	memcpy(longline + 1114, "\r\n", 3);
	world_mail(&w, (struct rig_mail){ .flags = QUEUE_SMTPUTF8, .body = longline });
	UNTIL(&w, 5, w.server.messages == 2 && is_idle(&w));
	assert_null(strstr(w.server.last_body, "Content-Transfer-Encoding"));
	/* A header that is not ASCII needs it. */
	world_mail(&w, (struct rig_mail){ .flags = QUEUE_SMTPUTF8, .body = header, .kind = QUEUE_BODY_8BIT });
	UNTIL(&w, 5, w.server.messages == 3 && is_idle(&w));
	assert_non_null(strstr(w.server.last_body, "5.6.7"));
	world_close(&w);
}

static void what_was_asked_about_reports_is_passed_on(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "tls = none auth = none");
	w.server.ehlo = "250-server\r\n250-DSN\r\n250 PIPELINING";
	world_mail(&w, (struct rig_mail){ .notify = QUEUE_NOTIFY_SUCCESS,
					  .orcpt = "rfc822;x@example.net",
					  .envid = "a+b",
					  .ret = QUEUE_RET_HDRS,
					  .rcpt = "y@example.net" });
	UNTIL(&w, 5, w.server.messages == 1 && is_idle(&w));
	assert_string_equal(w.server.last_mail, "MAIL FROM:<me@example.org> RET=HDRS ENVID=a+2Bb");
	assert_string_equal(w.server.rcpt_lines, "RCPT TO:<y@example.net> NOTIFY=SUCCESS ORCPT=rfc822;x@example.net\n");
	/* The server takes over: no report of ours. */
	pass(&w, 100);
	assert_int_equal(w.server.messages, 1);
	w.server.ehlo = NULL;
	world_close(&w);
}

static void a_connection_that_ends_while_a_message_is_looked_at_loses_nothing(void **state)
{
	size_t size = 6 << 20;
	char *body = mem_alloc(size);
	struct world w;

	(void)state;
	memset(body, 'x', size);
	for (size_t i = 0; i + 2 <= size; i += 70)
		memcpy(body + i, "\r\n", 2);
	memcpy(body, "Subject: a\r\n", 12);
	world_open(&w, "tls = none auth = none");
	w.server.ehlo = "250-server\r\n250 PIPELINING";
	uint64_t id = world_mail(&w, (struct rig_mail){ .body = body, .body_len = size, .kind = QUEUE_BODY_8BIT });
	const struct traffic *traffic = delivery_traffic(w.delivery);

	for (int i = 0; i < 200 && !traffic->is_sending(traffic->self, id, 0); i++)
		loop_turn(w.loop, 20);
	assert_true(traffic->is_sending(traffic->self, id, 0));
	assert_int_equal(w.server.messages, 0);
	for (int i = 0; i < PEERS; i++)
		if (w.server.peers[i])
			peer_end(w.server.peers[i]);
	UNTIL(&w, 20, w.server.messages == 1 && is_idle(&w));
	assert_true(w.server.connections > 1);
	/* And the end of the agent comes in the middle. */
	world_mail(&w, (struct rig_mail){ .body = body, .body_len = size, .kind = QUEUE_BODY_8BIT });
	for (int i = 0; i < 3; i++)
		loop_turn(w.loop, 20);
	mem_free(body);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eight_bit_text_is_converted_for_a_server_without_8bitmime),
		cmocka_unit_test(eight_bit_text_goes_as_it_is_where_it_may),
		cmocka_unit_test(a_large_message_is_looked_at_while_others_go_on),
		cmocka_unit_test(binary_mail_is_converted_where_bdat_is_not_known),
		cmocka_unit_test(what_cannot_be_converted_comes_back),
		cmocka_unit_test(smtputf8_is_left_out_where_nothing_needs_it),
		cmocka_unit_test(what_was_asked_about_reports_is_passed_on),
		cmocka_unit_test(a_connection_that_ends_while_a_message_is_looked_at_loses_nothing),
		cmocka_unit_test(a_message_is_delivered_byte_for_byte),
		cmocka_unit_test(many_messages_share_a_connection),
		cmocka_unit_test(a_connection_carries_no_more_messages_than_allowed),
		cmocka_unit_test(a_refused_recipient_bounces_and_the_others_arrive),
		cmocka_unit_test(a_server_that_is_down_makes_the_lane_wait_and_nothing_bounces),
		cmocka_unit_test(whatever_goes_wrong_before_mail_never_bounces),
		cmocka_unit_test(a_lost_answer_to_the_final_dot_is_doubtful),
		cmocka_unit_test(a_message_that_kills_connections_does_not_stop_the_lane),
		cmocka_unit_test(starttls_with_a_wrong_certificate_sends_nothing),
		cmocka_unit_test(starttls_with_the_right_ca_is_verified_and_authenticates),
		cmocka_unit_test(opportunistic_goes_on_in_clear_text_when_tls_is_broken),
		cmocka_unit_test(a_refused_password_parks_the_account_until_the_secret_changes),
		cmocka_unit_test(a_reload_counts_the_mail_that_changed_route),
		cmocka_unit_test(a_reload_looks_through_all_mail_without_being_pushed),
		cmocka_unit_test(a_mute_server_does_not_hold_up_the_end),
		cmocka_unit_test(stopping_finishes_what_is_under_way_and_starts_nothing),
		cmocka_unit_test(a_flipped_bit_in_the_body_is_never_sent),
		cmocka_unit_test(paused_mail_waits_until_resumed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
