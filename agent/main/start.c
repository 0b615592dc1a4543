/*
 * The helper is started before anything that must not be inherited; sockets are bound before root is given up, the
 * queue is opened after it. From then on one loop runs everything.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/mem.h"
#include "main/agent.h"
#include "notify.h"

enum { DESCRIPTORS = 65536 };

/* On the terminal or in the unit's journal in plain words; as a record as well where the log is elsewhere. */
static int fail(const struct agent *agent, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(const struct agent *agent, int status, const char *format, ...)
{
	va_list args;
	struct buf text;

	buf_init(&text, AGENT_REPORT_MAX);
	va_start(args, format);
	buf_vprintf(&text, format, args);
	va_end(args);
	fprintf(stderr, "sendoffd: %s\n", buf_cstr(&text));
	if (agent->config && strcmp(agent->config->log, "syslog") == 0)
		log_event(LOG_LEVEL_ERROR, "failed", LOG_TEXT("reason", buf_cstr(&text)));
	buf_fini(&text);
	return status;
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

static void write_log(struct loop_task *task)
{
	(void)task;
	log_flush();
}

static void write_log_soon(void *arg)
{
	struct agent *agent = arg;

	loop_task_post_first(&agent->log_task);
}

static int load(struct agent *agent)
{
	struct buf errors, warnings;
	int status = 0;

	buf_init(&errors, AGENT_REPORT_MAX);
	buf_init(&warnings, AGENT_REPORT_MAX);
	agent->config = settings_read(agent->given_file, &errors, &warnings);
	if (!agent->config) {
		fputs(buf_cstr(&errors), stderr);
		status = fail(agent, EX_CONFIG, "not started: the configuration has mistakes");
	} else {
		log_open(agent->config->log, agent->config->log_level);
		settings_log(LOG_LEVEL_WARNING, "config-warning", &warnings);
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

	agent->helper = agent->user.name
				? helper_start_as(agent->loop, path, agent->user.name, agent->why, AGENT_WHY_SIZE)
				: helper_start(agent->loop, path, agent->why, AGENT_WHY_SIZE);
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
		err = sandbox_directory(folder, mode, true, &agent->user, agent->why, AGENT_WHY_SIZE);
		mem_free(folder);
	}
	if (!err)
		err = sandbox_directory(config->queue.directory, 0700, true, &agent->user, agent->why, AGENT_WHY_SIZE);
	/* Others put files into it, and neither see nor remove what is there; a user's own agent takes its user's only. If
	 * it cannot be made, submission says so and goes on. */
	if (!err)
		sandbox_directory(config->drop_directory, geteuid() == 0 ? 03733 : 0700, true, &agent->user, agent->why,
				  AGENT_WHY_SIZE);
	return err ? fail(agent, err == -EACCES ? EX_NOPERM : EX_CANTCREAT, "%s", agent->why) : 0;
}

static int bind_sockets(struct agent *agent)
{
	struct submission_setup submission = { .loop = agent->loop, .config = agent->config, .helper = agent->helper };
	struct control_setup control = {
		.loop = agent->loop, .config = agent->config, .inherited_fd = -1, .reload = reload_config, .arg = agent
	};

	agent->submission = submission_new(&submission, agent->why, AGENT_WHY_SIZE);
	if (!agent->submission)
		return fail(agent, EX_UNAVAILABLE, "cannot listen: %s", agent->why);
	agent->control = control_new(&control, agent->why, AGENT_WHY_SIZE);
	if (!agent->control)
		return fail(agent, EX_UNAVAILABLE, "cannot open the control socket: %s", agent->why);
	return 0;
}

static int open_queue(struct agent *agent)
{
	struct queue_config settings = settings_queue(agent, &agent->config->queue);
	enum queue_err err = queue_open(&settings, &agent->queue, agent->why, AGENT_WHY_SIZE);

	if (err != QUEUE_OK)
		return fail(agent, queue_status(err), "cannot open the queue: %s", agent->why);
	loop_io_init(&agent->queue_io, agent->loop, queue_fd(agent->queue), on_queue);
	loop_io_set(&agent->queue_io, LOOP_READ);
	loop_on_turn_end(agent->loop, on_turn_end, agent);
	return 0;
}

static int start_delivery(struct agent *agent)
{
	struct dns_config dns = settings_dns(agent->config);
	struct delivery_setup setup = { .loop = agent->loop, .queue = agent->queue, .config = agent->config };

	agent->dns = dns_new(agent->loop, &dns, agent->why, AGENT_WHY_SIZE);
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

int start_agent(struct agent *agent)
{
	int status = load(agent);

	if (status)
		return status;
	sandbox_descriptors(DESCRIPTORS);
	if (sandbox_find(agent->config->run_as, &agent->user, agent->why, AGENT_WHY_SIZE) != 0)
		return fail(agent, EX_OSERR, "%s", agent->why);
	agent->loop = loop_new();
	start_helper(agent);
	if ((status = make_directories(agent)) || (status = bind_sockets(agent)))
		return status;
	if (sandbox_become(&agent->user, agent->why, AGENT_WHY_SIZE) != 0)
		return fail(agent, EX_NOPERM, "%s", agent->why);
	sandbox_seal();
	if ((status = open_queue(agent)) || (status = start_delivery(agent)))
		return status;
	stop_init(agent);
	reload_init(agent);
	submission_start(agent->submission, agent->queue);
	control_start(agent->control, agent->queue, delivery_traffic(agent->delivery),
		      submission_reception(agent->submission));
	log_start(agent);
	loop_task_init(&agent->log_task, agent->loop, write_log);
	log_gather(write_log_soon, agent);
	notify_send("READY=1");
	return 0;
}
