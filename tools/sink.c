#include "sink.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/listen.h"
#include "net/loop.h"
#include "look.h"
#include "net/tls.h"
#include "sink_options.h"
#include "sink_session.h"
#include "sink_store.h"

enum {
	GRACE_MS = 2000,
	MAX_SIZE_BYTES = 1024 * 1024 * 1024,
};

struct sink {
	struct sink_options options;
	struct sink_session_shared shared;
	struct listen *listen;
	struct loop_signal terminated, interrupted, asked;
	struct loop_timer grace;
	bool is_stopping;
};

/* ---------------------------------------------------------------- stopping */

static void on_changed(void *arg)
{
	struct sink *sink = arg;
	uint64_t most = sink->options.exit_after;

	if (most && sink->shared.messages >= most && !sink->is_stopping) {
		sink->is_stopping = true;
		loop_timer_in(&sink->grace, GRACE_MS);
	}
	if (sink->is_stopping && list_is_empty(&sink->shared.sessions))
		loop_stop(sink->shared.loop);
}

static void on_grace(struct loop_timer *timer)
{
	struct sink *sink = LIST_ENTRY(timer, struct sink, grace);

	sink_session_drop_all(&sink->shared);
	loop_stop(sink->shared.loop);
}

static void stop(struct sink *sink)
{
	if (sink->is_stopping)
		return;
	sink->is_stopping = true;
	listen_pause(sink->listen, true);
	loop_timer_in(&sink->grace, GRACE_MS);
	sink_session_stop_all(&sink->shared);
	on_changed(sink);
}

static void on_terminated(struct loop_signal *sig)
{
	stop(LIST_ENTRY(sig, struct sink, terminated));
}

static void on_interrupted(struct loop_signal *sig)
{
	stop(LIST_ENTRY(sig, struct sink, interrupted));
}

/* At the end, and whenever SIGUSR1 asks. */
static void tell_counts(const struct sink *sink)
{
	const struct sink_session_shared *shared = &sink->shared;
	char messages[LOOK_SIZE], recipients[LOOK_SIZE], bytes[LOOK_SIZE], connections[LOOK_SIZE];

	if (sink->options.json)
		printf("{\"messages\":%" PRIu64 ",\"recipients\":%" PRIu64 ",\"bytes\":%" PRIu64
		       ",\"connections\":%" PRIu64 ",\"first_at_ms\":%" PRId64 ",\"last_at_ms\":%" PRId64 "}\n",
		       shared->messages, shared->recipients, shared->bytes, shared->connections, shared->first_at_ms,
		       shared->last_at_ms);
	else
		printf("%s, %s, %s, %s\n", look_count(shared->messages, "message", messages),
		       look_count(shared->recipients, "recipient", recipients),
		       look_count(shared->bytes, "byte", bytes),
		       look_count(shared->connections, "connection", connections));
	fflush(stdout);
}

static void on_asked(struct loop_signal *sig)
{
	tell_counts(LIST_ENTRY(sig, struct sink, asked));
}

/* ---------------------------------------------------------------- starting */

static void configure(struct sink *sink)
{
	const struct sink_options *options = &sink->options;
	struct server_config *server = &sink->shared.server;
	bool has_tls = options->tls != SINK_OPTIONS_PLAIN;

	*server = (struct server_config){
		.hostname = options->name,
		.greeting = "ESMTP Sendoff sink",
		.features = SERVER_FULL,
		.max_size_bytes = options->max_size_bytes ? options->max_size_bytes : MAX_SIZE_BYTES,
		.max_recipients = options->max_recipients ? (uint32_t)options->max_recipients : 100000,
		.max_errors = UINT32_MAX,
		.min_data_rate = 1,
		.allow_bare_local_parts = true,
		.mechanisms = SERVER_AUTH_PASSWORDS | SERVER_AUTH_SCRAM,
		.auth_without_tls = !has_tls,
		.require_auth = options->user && !options->optional_auth,
		.ask_mail = true,
		.ask_rcpt = true,
	};
	if (options->tls == SINK_OPTIONS_STARTTLS)
		server->features |= SERVER_STARTTLS;
	if (options->user)
		server->features |= SERVER_AUTH;
	server->features &= ~options->without;
	sink->shared.intercepts = sink_rules_intercepts(&options->rules);
}

static int make_tls(struct sink *sink)
{
	const struct sink_options *options = &sink->options;
	char why[512] = "";
	int err;

	if (options->tls == SINK_OPTIONS_PLAIN)
		return 0;
	if (options->certificate)
		err = tls_server_new(options->certificate, options->key, &sink->shared.tls, why, sizeof why);
	else
		err = tls_server_new_self_signed(options->name, options->write_ca, &sink->shared.tls, why, sizeof why);
	return err ? cli_fail(EX_CANTCREAT, "%s", why) : 0;
}

static int make_store(struct sink *sink)
{
	char why[512] = "";

	if (!sink->options.maildir)
		return 0;
	if (sink_store_open(sink->options.maildir, sink->options.sync, &sink->shared.store, why, sizeof why) != 0)
		return cli_fail(EX_CANTCREAT, "%s", why);
	return 0;
}

/* Written under another name first: whoever sees the file sees the port in it. */
static int write_port(const char *file, const char *port)
{
	char *part = mem_printf("%s.part", file);
	FILE *out = fopen(part, "w");
	bool is_written = out && fprintf(out, "%s\n", port) > 0;

	if (out && fclose(out) != 0)
		is_written = false;
	is_written = is_written && rename(part, file) == 0;
	mem_free(part);
	return is_written ? 0 : cli_fail(EX_CANTCREAT, "the port cannot be written to %s", file);
}

static void on_accept(void *arg, int fd)
{
	sink_session_new(&((struct sink *)arg)->shared, fd);
}

static int start(struct sink *sink)
{
	const char *name, *port;
	char why[512] = "";
	int status;

	if (listen_tcp(sink->shared.loop, sink->options.listen, &sink->listen, why, sizeof why) != 0)
		return cli_fail(EX_OSERR, "%s", why);
	name = listen_name(sink->listen);
	port = strrchr(name, ':');
	port = port ? port + 1 : name;
	listen_start(sink->listen, on_accept, sink);
	status = sink->options.port_file ? write_port(sink->options.port_file, port) : 0;
	printf("%s\n", port);
	fflush(stdout);
	return status;
}

int sink_run(struct cli *cli)
{
	struct sink *sink = MEM_NEW(struct sink);
	int status = sink_options_parse(&sink->options, cli);

	list_init(&sink->shared.sessions);
	sink->shared.options = &sink->options;
	sink->shared.changed = on_changed;
	sink->shared.arg = sink;
	sink->shared.loop = loop_new();
	loop_timer_init(&sink->grace, sink->shared.loop, on_grace);
	loop_signal_init(&sink->terminated, sink->shared.loop, SIGTERM, on_terminated);
	loop_signal_init(&sink->interrupted, sink->shared.loop, SIGINT, on_interrupted);
	loop_signal_init(&sink->asked, sink->shared.loop, SIGUSR1, on_asked);
	signal(SIGPIPE, SIG_IGN);
	configure(sink);
	status = status ? status : make_tls(sink);
	status = status ? status : make_store(sink);
	status = status ? status : start(sink);
	if (status == 0) {
		loop_run(sink->shared.loop);
		tell_counts(sink);
	}
	sink_session_drop_all(&sink->shared);
	listen_free(sink->listen);
	loop_signal_stop(&sink->terminated);
	loop_signal_stop(&sink->interrupted);
	loop_signal_stop(&sink->asked);
	loop_timer_stop(&sink->grace);
	loop_free(sink->shared.loop);
	sink_store_close(sink->shared.store);
	tls_server_free(sink->shared.tls);
	sink_options_fini(&sink->options);
	mem_free(sink);
	return status;
}
