#include <signal.h>

#include "main/agent.h"
#include "notify.h"

/* All or nothing. Everything that can refuse is asked before anything is changed. */
static struct config *read_again(struct agent *agent, struct buf *text)
{
	struct buf warnings;
	struct config *next;
	const char *restart;

	buf_init(&warnings, AGENT_REPORT_MAX);
	next = settings_read(agent->given_file, text, &warnings);
	restart = next ? config_needs_restart(agent->config, next) : NULL;
	if (restart) {
		buf_printf(text, "%s\n", restart);
	} else if (next && submission_reload(agent->submission, next, agent->why, AGENT_WHY_SIZE) != 0) {
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

bool reload_config(void *arg, struct buf *text, void (*moved)(void *reply, uint64_t messages), void *reply)
{
	struct agent *agent = arg;
	struct config *next = read_again(agent, text), *old = agent->config;
	struct queue_config queue;
	struct dns_config dns;

	if (!next) {
		settings_log(LOG_LEVEL_ERROR, "reload-refused", text);
		return false;
	}
	queue = settings_queue(agent, &next->queue);
	dns = settings_dns(next);
	queue_limits(agent->queue, &queue);
	dns_configure(agent->dns, &dns);
	control_reload(agent->control, next);
	delivery_reload(agent->delivery, next, moved, reply);
	log_open(next->log, next->log_level);
	agent->config = next;
	config_unref(old);
	settings_log(LOG_LEVEL_WARNING, "config-warning", text);
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
	buf_init(&text, AGENT_REPORT_MAX);
	reload_config(agent, &text, log_moved, NULL);
	buf_fini(&text);
	notify_send("READY=1");
}

void reload_init(struct agent *agent)
{
	loop_signal_init(&agent->hangup, agent->loop, SIGHUP, on_hangup);
}
