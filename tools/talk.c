#include "talk.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config.h"
#include "control/protocol.h"
#include "tools/sendmail_drop.h"

#define SYSTEM_SOCKET "/run/sendoff/control"

enum { READ_BYTES = 32 * 1024 };

struct talk {
	int fd;
	struct buf in;
};

/* ---------------------------------------------------------------- finding the agent */

struct place {
	char *socket, *directory, *drop;
	bool has_mistakes; /* the configuration is not as the agent would take it, or not ours to read */
};

static void find_place(const struct cli *cli, struct place *place)
{
	char *file = config_find(cli->config);
	struct config *config;
	struct buf errors, warnings;

	buf_init(&errors, 64 * 1024);
	buf_init(&warnings, 64 * 1024);
	config = config_load(file, &errors, &warnings);
	if (!config) {
		place->has_mistakes = true;
		config = config_load_client(file);
	}
	place->socket = cli->socket ? mem_strdup(cli->socket) : config ? mem_strdup(config->control_socket) : NULL;
	place->directory = config ? mem_strdup(config->queue.directory) : NULL;
	place->drop = config && config->drop_directory ? mem_strdup(config->drop_directory) : NULL;
	config_unref(config);
	buf_fini(&errors);
	buf_fini(&warnings);
	mem_free(file);
}

/* A descriptor or -errno. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		int err = errno;

		close(fd);
		return -err;
	}
	return fd;
}

static int no_agent(const struct place *place, int err)
{
	uint64_t dropped;

	if (err == -EACCES || err == -EPERM)
		return cli_fail(EX_NOPERM, "not permitted to ask the agent at %s", place->socket);
	cli_fail(EX_UNAVAILABLE, "the agent is not running: nobody answers at %s (%s)", place->socket, strerror(-err));
	if (place->has_mistakes)
		fputs("         The configuration has mistakes, or is not yours to read: `sendoff check` says more.\n",
		      stderr);
	fputs("         Start it with `systemctl start sendoff`, or run sendoffd.\n", stderr);
	if (place->directory)
		fprintf(stderr, "         Mail that waits is safe in %s and is sent when the agent runs again.\n",
			place->directory);
	if (place->drop && sendmail_drop_count(place->drop, &dropped) && dropped > 0)
		fprintf(stderr, "         %llu message%s in %s to be taken in then.\n", (unsigned long long)dropped,
			dropped == 1 ? " waits" : "s wait", place->drop);
	return EX_UNAVAILABLE;
}

int talk_open(const struct cli *cli, struct talk **out_talk)
{
	struct place place = { .socket = NULL };
	struct talk *talk;
	int fd, status = 0;

	/* A slip in the name must not ask another agent than the one that was meant. */
	if (cli->config && !cli->socket && access(cli->config, R_OK) < 0)
		return cli_fail(errno == EACCES ? EX_NOPERM : EX_CONFIG, "cannot read %s: %s", cli->config,
				strerror(errno));
	find_place(cli, &place);
	fd = place.socket ? connect_to(place.socket) : -ENOENT;
	/* A user without an agent of their own means the machine's. */
	if ((fd == -ENOENT || fd == -ECONNREFUSED) && !cli->socket && !cli->config) {
		int other = connect_to(SYSTEM_SOCKET);

		fd = other >= 0 || other == -EACCES ? other : fd;
	}
	if (fd < 0) {
		status = cli->quiet ? EX_UNAVAILABLE : no_agent(&place, fd);
	} else {
		talk = MEM_NEW(struct talk);
		talk->fd = fd;
		buf_init(&talk->in, PROTOCOL_ANSWER_MAX + READ_BYTES);
		*out_talk = talk;
	}
	mem_free(place.socket);
	mem_free(place.directory);
	mem_free(place.drop);
	return status;
}

void talk_close(struct talk *talk)
{
	if (!talk)
		return;
	close(talk->fd);
	buf_fini(&talk->in);
	mem_free(talk);
}

/* ---------------------------------------------------------------- asking */

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
	(void)number;
	is_interrupted = 1;
}

void talk_catch_interrupt(void)
{
	struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
}

json_t *talk_request(const struct cli *cli, const char *verb)
{
	json_t *request = json_pack("{s:i,s:s}", "v", PROTOCOL_VERSION, "verb", verb);

	if (json_object_size(cli->said))
		json_object_set(request, "filter", cli->said);
	return request;
}

static bool send_line(struct talk *talk, json_t *request)
{
	char *line = json_dumps(request, JSON_COMPACT);
	size_t len = line ? strlen(line) : 0, sent = 0;
	bool is_sent = line && len < PROTOCOL_REQUEST_MAX;

	if (line)
		line[len++] = '\n';
	while (is_sent && sent < len) {
		ssize_t n = send(talk->fd, line + sent, len - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		else if (errno != EINTR)
			is_sent = false;
	}
	free(line);
	json_decref(request);
	return is_sent;
}

/* The next object, or NULL when the agent has gone or talks nonsense. */
static json_t *next_object(struct talk *talk)
{
	for (;;) {
		struct span held = buf_span(&talk->in);
		size_t end = span_find(held, '\n');
		json_t *object;
		char *room;
		ssize_t n;

		if (end < held.len) {
			object = json_loadb(held.data, end, 0, NULL);
			buf_consume(&talk->in, end + 1);
			return object;
		}
		room = buf_reserve(&talk->in, READ_BYTES);
		if (!room)
			return NULL;
		n = read(talk->fd, room, READ_BYTES);
		if (n > 0)
			buf_commit(&talk->in, (size_t)n);
		else if (n == 0 || errno != EINTR || is_interrupted)
			return NULL;
	}
}

static int finish(json_t *last, json_t **out_done)
{
	int status = 0;

	if (!talk_bool(last, "ok")) {
		status = (int)talk_number(last, "exit");
		cli_fail(0, "%s", talk_text(last, "text")[0] ? talk_text(last, "text") : "the agent refused");
		status = status > 0 && status < 256 ? status : EX_TEMPFAIL;
	}
	if (status == 0 && out_done)
		*out_done = last;
	else
		json_decref(last);
	return status;
}

int talk_ask(struct talk *talk, json_t *request, void (*row)(void *arg, const json_t *row), void *arg,
	     json_t **out_done)
{
	json_t *object;

	if (!send_line(talk, request))
		return cli_fail(EX_UNAVAILABLE, "the agent has closed the connection");
	while ((object = next_object(talk))) {
		if (json_is_true(json_object_get(object, "done")))
			return finish(object, out_done);
		if (row)
			row(arg, object);
		json_decref(object);
	}
	if (is_interrupted)
		return TALK_INTERRUPTED;
	return cli_fail(EX_UNAVAILABLE, "the agent has gone in the middle of its answer");
}

int talk_once(const struct cli *cli, json_t *request, void (*row)(void *arg, const json_t *row), void *arg,
	      json_t **out_done)
{
	struct talk *talk = NULL;
	int status = talk_open(cli, &talk);

	if (status)
		json_decref(request);
	else
		status = talk_ask(talk, request, row, arg, out_done);
	talk_close(talk);
	return status;
}

/* ---------------------------------------------------------------- rows */

const char *talk_text(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text ? text : "";
}

int64_t talk_number(const json_t *row, const char *key)
{
	return json_integer_value(json_object_get(row, key));
}

bool talk_bool(const json_t *row, const char *key)
{
	return json_is_true(json_object_get(row, key));
}

bool talk_is(const json_t *row, const char *type)
{
	return strcmp(talk_text(row, "type"), type) == 0;
}

void talk_print(const json_t *row)
{
	json_dumpf(row, stdout, JSON_COMPACT);
	putchar('\n');
}
