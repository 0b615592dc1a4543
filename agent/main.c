/*
 * sendoffd - the agent: what is started in which order, signals, reload, the end.
 *
 * The helper is started before anything that must not be inherited; sockets are bound before root is given up, the
 * queue is opened after it. From then on one loop runs everything; see agent/README.md.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "config.h"
#include "control/control.h"
#include "delivery/delivery.h"
#include "helper/helper.h"
#include "log.h"
#include "net/dns.h"
#include "net/loop.h"
#include "net/tls.h"
#include "notify.h"
#include "queue/queue.h"
#include "sandbox.h"
#include "submission/submission.h"

enum {
	WHY_SIZE = 512,
	REPORT_MAX = 64 * 1024,
	DESCRIPTORS = 65536,
	STOP_MS = 4500,      /* for what is being received and sent to come to its end */
	STOP_WRITE_MS = 100, /* and then for last replies to leave */
};

struct agent {
	const char *given_file; /* --config, or NULL */
	struct config *config;
	struct sandbox_user user;
	struct loop *loop;
	struct helper *helper;
	struct queue *queue;
	struct loop_io queue_io;
	struct dns *dns;
	struct tls_client *tls;
	struct submission *submission;
	struct delivery *delivery;
	struct control *control;
	struct loop_signal term, interrupt, hangup;
	struct loop_timer stop_timer;
	bool is_stopping, is_received, is_delivered;
	char why[WHY_SIZE];
};

/* ---------------------------------------------------------------- saying what went wrong at the start */

/* On the terminal or in the unit's journal in plain words; as a record as well where the log is elsewhere. */
static int fail(const struct agent *agent, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(const struct agent *agent, int status, const char *format, ...)
{
	va_list args;
	struct buf text;

	buf_init(&text, REPORT_MAX);
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	fprintf(stderr, "sendoffd: %s\n", buf_cstr(&text));
	if (agent->config && strcmp(agent->config->log, "syslog") == 0)
		log_event(LOG_LEVEL_ERROR, "failed", LOG_TEXT("reason", buf_cstr(&text)));
	buf_fini(&text);
	return status;
}

/* Each line of a report as a record. */
static void log_lines(enum log_level level, const char *event, struct buf *text)
{
	char *rest = (char *)(uintptr_t)buf_cstr(text), *line;

	while ((line = strsep(&rest, "\n")))
		if (*line)
			log_event(level, event, LOG_TEXT("text", line));
}

static struct config *read_config(const char *given_file, struct buf *errors, struct buf *warnings)
{
	char *file = config_find(given_file);
	struct config *config = config_load(file, errors, warnings);

	mem_free(file);
	return config;
}

/* ---------------------------------------------------------------- the queue */

static void *hash_new(void)
{
	return crypto_sha256_new();
}

static void hash_update(void *h, const void *data, size_t len)
{
	crypto_sha256_update(h, data, len);
}

static void hash_final(void *h, uint8_t out[32])
{
	crypto_sha256_final(h, out);
}

static void hash_free(void *h)
{
	crypto_sha256_free(h);
}

static void queue_warns(void *arg, const char *text)
{
	(void)arg;
	log_event(LOG_LEVEL_WARNING, "queue-warning", LOG_TEXT("text", text));
}

static struct queue_config queue_settings(struct agent *agent, const struct config_queue *q)
{
	return (struct queue_config){
		.directory = q->directory,
		.max_size_bytes = q->max_size_bytes,
		.max_message_bytes = q->max_message_bytes,
		.min_free_disk_bytes = q->min_free_disk_bytes,
		.history_ms = q->history_ms,
		.hash = { hash_new, hash_update, hash_final, hash_free },
		.warn = queue_warns,
		.arg = agent,
	};
}

static int queue_status(enum queue_err err)
{
	switch (err) {
	case QUEUE_OK: return EX_OK;
	case QUEUE_LOCKED:
	case QUEUE_BUSY:
	case QUEUE_STOPPING: return EX_TEMPFAIL;
	case QUEUE_NO_MEMORY: return EX_OSERR;
	case QUEUE_DISK_FULL:
	case QUEUE_QUOTA:
	case QUEUE_TOO_BIG:
	case QUEUE_IO: return EX_CANTCREAT;
	case QUEUE_NOT_FOUND:
	case QUEUE_CORRUPT:
	case QUEUE_DAMAGED:
	case QUEUE_SCHEMA:
	case QUEUE_INVALID: break;
	}
	return EX_UNAVAILABLE;
}

static void on_queue(struct loop_io *io, int events)
{
	struct agent *agent = LIST_ENTRY(io, struct agent, queue_io);

	(void)events;
	queue_dispatch(agent->queue);
}

static void on_turn_end(void *arg)
{
	struct agent *agent = arg;

	if (agent->queue)
		queue_view_end(agent->queue);
}

/* ---------------------------------------------------------------- reload */

static struct dns_config dns_settings(const struct config *config)
{
	return (struct dns_config){
		.servers = config->dns_servers.list,
		.server_count = config->dns_servers.count,
		.trust_ad = config->dns_trust_ad,
	};
}

/* All or nothing. Everything that can refuse is asked before anything is changed. */
static struct config *read_again(struct agent *agent, struct buf *text)
{
	struct buf warnings;
	struct config *next;
	const char *restart;

	buf_init(&warnings, REPORT_MAX);
	next = read_config(agent->given_file, text, &warnings);
	restart = next ? config_needs_restart(agent->config, next) : NULL;
	if (restart) {
		buf_printf(text, "%s\n", restart);
	} else if (next && submission_reload(agent->submission, next, agent->why, WHY_SIZE) != 0) {
		buf_printf(text, "%s\n", agent->why);
		restart = agent->why;
	}
	if (restart) {
		config_unref(next);
		next = NULL;
	}
	if (next)
		buf_append_span(text, buf_span(&warnings));
	buf_fini(&warnings);
	return next;
}

static bool reload(void *arg, struct buf *text, void (*moved)(void *reply, uint64_t messages), void *reply)
{
	struct agent *agent = arg;
	struct config *next = read_again(agent, text), *old = agent->config;
	struct queue_config queue;
	struct dns_config dns;

	if (!next) {
		log_lines(LOG_LEVEL_ERROR, "reload-refused", text);
		return false;
	}
	queue = queue_settings(agent, &next->queue);
	dns = dns_settings(next);
	queue_limits(agent->queue, &queue);
	dns_configure(agent->dns, &dns);
	control_reload(agent->control, next);
	delivery_reload(agent->delivery, next, moved, reply);
	log_open(next->log, next->log_level);
	agent->config = next;
	config_unref(old);
	log_lines(LOG_LEVEL_WARNING, "config-warning", text);
	log_event(LOG_LEVEL_NOTICE, "reloaded", LOG_TEXT("config", next->file),
		  LOG_NUM("smarthosts", next->smarthost_count), LOG_NUM("routes", next->route_count));
	return true;
}

static void log_moved(void *arg, uint64_t messages)
{
	(void)arg;
	log_event(LOG_LEVEL_NOTICE, "rerouted", LOG_NUM("messages", messages));
}

static void on_hangup(struct loop_signal *sig)
{
	struct agent *agent = LIST_ENTRY(sig, struct agent, hangup);
	struct buf text;

	if (agent->is_stopping)
		return;
	notify_send("RELOADING=1");
	buf_init(&text, REPORT_MAX);
	reload(agent, &text, log_moved, NULL);
	buf_fini(&text);
	notify_send("READY=1");
}

/* ---------------------------------------------------------------- stop */

static void stop_if_done(struct agent *agent)
{
	if (agent->is_received && agent->is_delivered)
		loop_timer_in(&agent->stop_timer, STOP_WRITE_MS);
}

static void on_received(void *arg)
{
	struct agent *agent = arg;

	agent->is_received = true;
	stop_if_done(agent);
}

static void on_delivered(void *arg)
{
	struct agent *agent = arg;

	agent->is_delivered = true;
	stop_if_done(agent);
}

static void on_stop_time(struct loop_timer *timer)
{
	loop_stop(timer->loop);
}

/* The second time at once: what was being sent is still due then. */
static void stop(struct agent *agent, const char *signal_name)
{
	if (agent->is_stopping) {
		loop_stop(agent->loop);
		return;
	}
	agent->is_stopping = true;
	log_event(LOG_LEVEL_NOTICE, "stopping", LOG_TEXT("signal", signal_name));
	notify_send("STOPPING=1");
	loop_timer_in(&agent->stop_timer, STOP_MS);
	submission_stop(agent->submission, on_received, agent);
	delivery_stop(agent->delivery, on_delivered, agent);
}

static void on_term(struct loop_signal *sig)
{
	stop(LIST_ENTRY(sig, struct agent, term), "TERM");
}

static void on_interrupt(struct loop_signal *sig)
{
	stop(LIST_ENTRY(sig, struct agent, interrupt), "INT");
}

/* ---------------------------------------------------------------- start, step by step: 0 or an exit status */

static int load(struct agent *agent)
{
	struct buf errors, warnings;
	int status = 0;

	buf_init(&errors, REPORT_MAX);
	buf_init(&warnings, REPORT_MAX);
	agent->config = read_config(agent->given_file, &errors, &warnings);
	if (!agent->config) {
		fputs(buf_cstr(&errors), stderr);
		status = fail(agent, EX_CONFIG, "not started: the configuration has mistakes");
	} else {
		log_open(agent->config->log, agent->config->log_level);
		log_lines(LOG_LEVEL_WARNING, "config-warning", &warnings);
	}
	buf_fini(&errors);
	buf_fini(&warnings);
	return status;
}

/* Beside sendoffd where it was built, in lib/sendoff where it was installed. */
static char *helper_path(void)
{
	static const char *const places[] = { "/sendoff-helper", "/../lib/sendoff/sendoff-helper" };
	char self[4096];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *path = NULL;

	while (len > 0 && self[len - 1] != '/')
		len--;
	for (size_t i = 0; i < 2 && len > 0; i++) {
		mem_free(path);
		path = mem_printf("%.*s%s", (int)len - 1, self, places[i]);
		if (access(path, X_OK) == 0)
			return path;
	}
	return path ? path : mem_strdup("/usr/local/lib/sendoff/sendoff-helper");
}

/* Without it mail is accepted all the same; accounts with a secret_command wait and say why. */
static void start_helper(struct agent *agent)
{
	char *path = helper_path();

	agent->helper = agent->user.name ? helper_start_as(agent->loop, path, agent->user.name, agent->why, WHY_SIZE)
					 : helper_start(agent->loop, path, agent->why, WHY_SIZE);
	if (!agent->helper)
		log_event(LOG_LEVEL_ERROR, "no-helper", LOG_TEXT("reason", agent->why));
	mem_free(path);
}

/* The directories of sockets and queue, while there is still the right to make them. */
static int make_directories(struct agent *agent)
{
	const struct config *config = agent->config;
	mode_t mode = geteuid() == 0 ? 0755 : 0700;
	int err = 0;

	for (size_t i = 0; !err && i <= config->listener_count; i++) {
		const char *path = i < config->listener_count ? config->listeners[i].socket : config->control_socket;
		const char *slash = path ? strrchr(path, '/') : NULL;
		char *folder;

		if (!slash || slash == path)
			continue;
		folder = mem_span_dup(span_of(path, (size_t)(slash - path)));
		err = sandbox_directory(folder, mode, true, &agent->user, agent->why, WHY_SIZE);
		mem_free(folder);
	}
	if (!err)
		err = sandbox_directory(config->queue.directory, 0700, true, &agent->user, agent->why, WHY_SIZE);
	return err ? fail(agent, err == -EACCES ? EX_NOPERM : EX_CANTCREAT, "%s", agent->why) : 0;
}

static int bind_sockets(struct agent *agent)
{
	struct submission_setup submission = { .loop = agent->loop, .config = agent->config };
	struct control_setup control = {
		.loop = agent->loop, .config = agent->config, .inherited_fd = -1, .reload = reload, .arg = agent
	};

	agent->submission = submission_new(&submission, agent->why, WHY_SIZE);
	if (!agent->submission)
		return fail(agent, EX_UNAVAILABLE, "cannot listen: %s", agent->why);
	agent->control = control_new(&control, agent->why, WHY_SIZE);
	if (!agent->control)
		return fail(agent, EX_UNAVAILABLE, "cannot open the control socket: %s", agent->why);
	return 0;
}

static int open_queue(struct agent *agent)
{
	struct queue_config settings = queue_settings(agent, &agent->config->queue);
	enum queue_err err = queue_open(&settings, &agent->queue, agent->why, WHY_SIZE);

	if (err != QUEUE_OK)
		return fail(agent, queue_status(err), "cannot open the queue: %s", agent->why);
	loop_io_init(&agent->queue_io, agent->loop, queue_fd(agent->queue), on_queue);
	loop_io_set(&agent->queue_io, LOOP_READ);
	loop_on_turn_end(agent->loop, on_turn_end, agent);
	return 0;
}

static int start_delivery(struct agent *agent)
{
	struct dns_config dns = dns_settings(agent->config);
	struct delivery_setup setup = { .loop = agent->loop, .queue = agent->queue, .config = agent->config };

	agent->dns = dns_new(agent->loop, &dns, agent->why, WHY_SIZE);
	if (!agent->dns)
		return fail(agent, EX_OSERR, "cannot start the resolver: %s", agent->why);
	agent->tls = tls_client_new();
	setup.dns = agent->dns;
	setup.tls = agent->tls;
	setup.helper = agent->helper;
	agent->delivery = delivery_new(&setup);
	return 0;
}

static void log_start(struct agent *agent)
{
	struct buf names, hosts;
	struct queue_stats stats;

	buf_init(&names, 4096);
	buf_init(&hosts, 4096);
	submission_names(agent->submission, &names);
	if (agent->config->smarthost_count == 0)
		buf_append_str(&hosts, "none");
	for (size_t i = 0; i < agent->config->smarthost_count; i++)
		buf_printf(&hosts, "%s%s", i ? ", " : "", agent->config->smarthosts[i].name);
	queue_stats(agent->queue, &stats);
	log_event(LOG_LEVEL_NOTICE, "started", LOG_TEXT("version", SENDOFF_VERSION),
		  LOG_TEXT("config", *agent->config->file ? agent->config->file : "built-in"),
		  LOG_TEXT("listeners", buf_cstr(&names)), LOG_TEXT("smarthosts", buf_cstr(&hosts)),
		  LOG_TEXT("queue", agent->config->queue.directory), LOG_NUM("messages", stats.messages),
		  LOG_NUM("recipients", stats.recipients));
	if (agent->config->route_count == 0)
		log_event(LOG_LEVEL_WARNING, "no-route",
			  LOG_TEXT("text", "mail is accepted and waits: the configuration has no route"));
	buf_fini(&names);
	buf_fini(&hosts);
}

static int start(struct agent *agent)
{
	int status = load(agent);

	if (status)
		return status;
	sandbox_descriptors(DESCRIPTORS);
	if (sandbox_find(agent->config->run_as, &agent->user, agent->why, WHY_SIZE) != 0)
		return fail(agent, EX_OSERR, "%s", agent->why);
	agent->loop = loop_new();
	loop_timer_init(&agent->stop_timer, agent->loop, on_stop_time);
	start_helper(agent);
	if ((status = make_directories(agent)) || (status = bind_sockets(agent)))
		return status;
	if (sandbox_become(&agent->user, agent->why, WHY_SIZE) != 0)
		return fail(agent, EX_NOPERM, "%s", agent->why);
	sandbox_seal();
	if ((status = open_queue(agent)) || (status = start_delivery(agent)))
		return status;
	loop_signal_init(&agent->term, agent->loop, SIGTERM, on_term);
	loop_signal_init(&agent->interrupt, agent->loop, SIGINT, on_interrupt);
	loop_signal_init(&agent->hangup, agent->loop, SIGHUP, on_hangup);
	submission_start(agent->submission, agent->queue);
	control_start(agent->control, agent->queue, delivery_traffic(agent->delivery),
		      submission_reception(agent->submission));
	log_start(agent);
	notify_send("READY=1");
	return 0;
}

/* Also what was only half started. The queue answers everything it was given before its askers go. */
static void end(struct agent *agent)
{
	/* An answer may lead to one more operation; not to endless ones, since nothing new comes in. */
	for (int i = 0; agent->queue && i < 100 && (i == 0 || !queue_is_idle(agent->queue)); i++)
		queue_wait(agent->queue);
	control_free(agent->control);
	delivery_free(agent->delivery);
	submission_free(agent->submission);
	if (agent->queue) {
		queue_view_end(agent->queue);
		loop_io_stop(&agent->queue_io);
	}
	queue_close(agent->queue);
	dns_free(agent->dns);
	tls_client_free(agent->tls);
	helper_free(agent->helper);
	loop_free(agent->loop);
	config_unref(agent->config);
	log_close();
}

/* ---------------------------------------------------------------- the command line */

static const char usage[] = "usage: sendoffd [--config FILE] [--check | --version]\n"
			    "The agent stays in the foreground; see sendoffd(8) and sendoff.conf(5).\n";

static int check(const char *file)
{
	struct buf errors, warnings;
	struct config *config;

	buf_init(&errors, REPORT_MAX);
	buf_init(&warnings, REPORT_MAX);
	config = read_config(file, &errors, &warnings);
	fputs(buf_cstr(&errors), stderr);
	fputs(buf_cstr(&warnings), stderr);
	if (config)
		printf("%s: fine\n", *config->file ? config->file : "built-in defaults");
	buf_fini(&errors);
	buf_fini(&warnings);
	if (!config)
		return EX_CONFIG;
	config_unref(config);
	return EX_OK;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "check", no_argument, NULL, 'k' },
		{ "version", no_argument, NULL, 'v' },      { "foreground", no_argument, NULL, 'f' },
		{ "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
	};
	struct agent agent = { 0 };
	bool only_check = false;
	int option, status;

	sandbox_streams();
	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) >= 0) {
		switch (option) {
		case 'c': agent.given_file = optarg; break;
		case 'k': only_check = true; break;
		case 'f': break; /* there is no other way */
		case 'v': puts("sendoffd " SENDOFF_VERSION); return EX_OK;
		case 'h': fputs(usage, stdout); return EX_OK;
		default: fputs(usage, stderr); return EX_USAGE;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	if (only_check)
		return check(agent.given_file);
	status = start(&agent);
	if (status == 0)
		loop_run(agent.loop);
	if (status == 0)
		log_event(LOG_LEVEL_NOTICE, "stopped");
	end(&agent);
	return status;
}
